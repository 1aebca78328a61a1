"""The audit of ladders and of the venue's own quotes, on logs of real runs."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support.scenarios import Raw, engine_cascade, load, squeeze
from support.verdicts import codes
from unit.handmade_log import tamper

from liqsim.runner import run_to_log

LEVELS = [[Decimal("0.001"), 100], [Decimal("0.01"), 300], [Decimal("0.1"), 3_000]]
LADDER = {"kind": "ladder", "asks": LEVELS, "bids": LEVELS, "half_life": "20s"}


def ladder(base: Callable[..., Raw]) -> Raw:
    return base(markets__ETH__liquidity=LADDER)


def capped() -> Raw:
    return engine_cascade(markets__ETH__liquidity__fill_depth_usd=2_000)


def log_of(raw: Any, tmp_path: Path) -> Path:
    path = tmp_path / "run.duckdb"
    run_to_log(load(raw), path)
    return path


@pytest.mark.parametrize(
    "raw",
    [ladder(engine_cascade), ladder(squeeze), capped()],
    ids=["ladder sold", "ladder bought", "capped"],
)
def test_nothing_is_found_in_a_true_log(raw: Raw, tmp_path: Path) -> None:
    assert codes(log_of(raw, tmp_path)) == set()


def test_a_better_fill_within_the_walk_is_found(tmp_path: Path) -> None:
    # Within the prices before and after, so only the walk itself tells.
    path = log_of(ladder(engine_cascade), tmp_path)
    tamper(
        path,
        "update order_filled set price = price + 0.01 where seq = ("
        "select seq from order_filled where price - market_price > 0.02 order by seq limit 1)",
    )

    assert "fill_price" in codes(path)


def test_more_than_the_venue_quotes_is_found(tmp_path: Path) -> None:
    path = log_of(capped(), tmp_path)
    tamper(path, "update runs set scenario_toml = "
        "replace(scenario_toml, 'fill_depth_usd = 2000', 'fill_depth_usd = 1900')")  # fmt: skip

    assert "fill_depth" in codes(path)


def test_a_ladder_with_fewer_units_is_found(tmp_path: Path) -> None:
    path = log_of(ladder(engine_cascade), tmp_path)
    tamper(path, "update runs set scenario_toml = replace(scenario_toml, '300', '200')")

    assert {"market_price", "fill_price"} & codes(path)
