"""
The outcome of small scenarios, as text that a diff can show.

A change here is a change of what the simulator says: say why in the commit. Set GOLDEN=write to
write the files anew. USD are kept to the cent: digests belong to one set of libraries, cents do
not.
"""

import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support.scenarios import HANDMADE, load

from liqsim.runner import run_to_log
from replay.log import Log

_KEYS = (
    "event_count",
    "accounts",
    "liquidated_accounts",
    "liquidations",
    "tranches",
    "liquidated_usd",
    "lowest_market_eth",
    "lowest_reference_eth",
    "fees_usd",
    "surplus_usd",
    "bad_debt_usd",
    "fund_lowest_usd",
    "fund_end_usd",
    "adl_events",
    "deleveraged_usd",
    "keeper_attempts_won",
    "keeper_attempts_lost",
    "keeper_profit_usd",
    "first_liquidation_at",
    "due_wait_max_us",
    "unresolved_buckets",
)


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, str) and value.replace(".", "").replace("-", "").isdigit():
        return f"{Decimal(value):.2f}"
    return str(value)


@pytest.mark.parametrize("name", ["engine_cascade", "keeper_race", "squeeze", "cross_crash"])
def test_the_outcome_is_the_one_that_was_agreed(name: str, tmp_path: Path) -> None:
    path = tmp_path / "golden.duckdb"
    run_to_log(load(HANDMADE[name]()), path)
    with Log(path) as log:
        outcome = {key.lower(): value for key, value in log.outcome().items()}
    lines = [f"{key:<24}{_text(outcome[key]):>30}" for key in _KEYS]
    actual = "\n".join(lines) + "\n"

    golden = Path(__file__).with_name(f"{name}.txt")
    if os.environ.get("GOLDEN") == "write":
        golden.write_text(actual)

    assert golden.read_text() == actual
