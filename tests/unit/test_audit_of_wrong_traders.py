"""
The audit of logs in which accounts act of their own will otherwise than they may.

As with wrong venues, what was done is recorded truthfully; only working it out again can find it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import pytest
from support.scenarios import constant, load, panic

from liqsim.mechanics import traders as rules
from liqsim.processes import traders
from liqsim.runner import run_to_log
from replay.verify import verify

Wrong = Callable[[], Any]


def _off_by_one(module: Any, name: str) -> Wrong:
    right = getattr(module, name)
    return lambda: patch.object(module, name, lambda *args: right(*args) + 1)


def _always(owner: Any, name: str, value: Any) -> Wrong:
    return lambda: patch.object(owner, name, lambda *_: value)


def _unless_in_debt() -> Any:
    def is_allowed(account: rules.Account) -> bool:
        return bool(account.quantity_e8) or account.cash_uusd >= 0

    return patch.object(rules.Account, "is_allowed", is_allowed)


WRONG_TRADERS: Final[dict[str, tuple[Wrong, set[str]]]] = {
    "an entry price off by one": (_off_by_one(rules, "entry_after_e8"), {"entry_price"}),
    "a top-up that is too large": (_off_by_one(traders, "top_up_uusd"), {"trader"}),
    "a reduction that is too large": (_off_by_one(traders, "reduction_e8"), {"trader"}),
    "a fee that is too large": (_off_by_one(traders, "taker_fee_uusd"), {"fee"}),
    "a reaction before its time": (_always(traders.Traders, "_delay_us", 1), {"trader"}),
    "a trade that leaves an account due": (_unless_in_debt, {"trader"}),
}


@pytest.mark.parametrize("name", WRONG_TRADERS)
def test_a_log_of_wrong_traders_is_found_out(name: str, tmp_path: Path) -> None:
    wrong, expected = WRONG_TRADERS[name]
    traders_of = "population__cohorts__crowd__traders__"
    raw = panic(**{f"{traders_of}reaction": constant("8s"), f"{traders_of}slippage": 1})
    with wrong():
        run_to_log(load(raw), tmp_path / "run.duckdb")

    codes = {finding.code for finding in verify(tmp_path / "run.duckdb")}

    assert expected <= codes
