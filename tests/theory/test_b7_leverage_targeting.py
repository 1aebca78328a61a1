"""
B7: who keeps a leverage L sells (L - 1) r A after a fall of r, and so makes the price fall on.

Every number is read with SQL from the sealed log of a run through the shipped runner.

The closed forms hold for small moves, assets A and depth D that stay what they are, and trading
without end. What is left of that here: an account rebalances once a second, on the mark of that
second; its assets shrink and its depth grows with the fall; it pays half of its own impact. The
first sale is held to the published figures as they stand; the amplification is taken from a
hundredth of the published shock, where all that is left are terms of the order of the fall.
"""

import math
from decimal import Decimal
from pathlib import Path

import pytest
from support.scenarios import Raw, cohort, constant, knots, load, market, small_scenario

from liqsim.runner import run_to_log
from replay.log import Log

MILLION = 10**6
BILLION = 10**9


def bank(leverage: int, assets_usd: int, r: float, liquidity: Raw, *, long_share: int = 1) -> Raw:
    """Return one account of *assets_usd* that keeps *leverage*, and a price that moves by *r*."""
    after = round(100 * (1 + Decimal(str(r))), 8)
    path = knots((0, 100), (9, 100), (10, after), (60, after))
    account = cohort(
        notional_usd=assets_usd,
        long_share=long_share,
        leverage={"median": leverage, "max": 10},
        traders={
            "reaction": constant("0s"),
            "slippage": 1,
            "rebalance": {"period": "1s", "target_leverage": leverage},
        },
    )
    raw = small_scenario(
        markets__ETH=market(path=path, liquidity=liquidity), population__cohorts={"bank": account}
    )
    return raw | {"end": path["knots"][-1][0]}


def logged(raw: Raw, folder: Path) -> Log:
    run_to_log(load(raw), folder / "run.duckdb")
    return Log(folder / "run.duckdb")


def depth(usd_per_log: int) -> Raw:
    """Return a book in which so many USD move the log price by one, for good."""
    return {
        "kind": "power_book",
        "depth_usd": usd_per_log // 100,
        "permanent_share": 1,
        "reach": 1,
        "half_life": "1s",
    }


@pytest.mark.parametrize(
    ("leverage", "assets", "depth_usd", "r", "sale", "amplification"),
    [
        (5, 10 * MILLION, 100 * MILLION, 0.02, 800_000, 1.666667),
        (3, 50 * MILLION, 200 * MILLION, 0.05, 5 * MILLION, 2.0),
        (2, 100 * MILLION, BILLION, 0.10, 10 * MILLION, 1.111111),
    ],
)
def test_b7_a_bank_that_keeps_its_leverage(
    leverage: int,
    assets: int,
    depth_usd: int,
    r: float,
    sale: int,
    amplification: float,
    tmp_path: Path,
) -> None:
    with logged(bank(leverage, assets, -r, depth(depth_usd)), tmp_path) as log:
        ((first,),) = log.sql(
            "select -ordered::double * mark_price::double from trades "
            "where mark_price < 100 order by seq limit 1"
        ).fetchall()
        assert log.verify() == []
    assert first == pytest.approx(sale, rel=1e-9)

    small = tmp_path / "small"
    small.mkdir()
    with logged(bank(leverage, assets, -r / 100, depth(depth_usd)), small) as log:
        ((market_end, reference_end),) = log.sql(
            "select end_market::double, end_reference::double from market_extremes"
        ).fetchall()
        assert log.verify() == []
    fall = math.log(market_end / 100) / math.log(reference_end / 100)
    assert fall == pytest.approx(amplification, rel=3 * r / 100 * amplification)


@pytest.mark.parametrize(
    ("leverage", "r", "trade"),
    [
        (2, -0.05, -100 * MILLION),
        (3, -0.05, -300 * MILLION),
        (-1, -0.05, -100 * MILLION),
        (-2, 0.10, 600 * MILLION),
    ],
)
def test_b7_a_leveraged_fund(leverage: int, r: float, trade: int, tmp_path: Path) -> None:
    size, side = abs(leverage), int(leverage > 0)
    raw = bank(size, size * BILLION, r, {"kind": "no_impact"}, long_share=side)
    with logged(raw, tmp_path) as log:
        ((value,),) = log.sql(
            "select sum(ordered::double * mark_price::double) from trades"
        ).fetchall()
        assert log.verify() == []
    assert value == pytest.approx(trade, rel=1e-9)
