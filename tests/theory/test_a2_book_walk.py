"""A2: buy 5 into asks 1 at 1.0, 3 at 1.1, 1 and more at 1.2: it costs 5.5, 1.1 on average."""

from decimal import Decimal
from pathlib import Path

import pytest
from support.scenarios import at, cohort, knots, load, market, small_scenario

from liqsim.mechanics.ladder import LadderBook
from liqsim.mechanics.liquidity import Liquidity
from liqsim.runner import run_to_log
from liqsim.units import taker_cost_uusd
from liqsim.world.markets import BookState
from replay.log import Log

UNIT, USD = 10**8, 10**6
LEVELS = ((0, 1 * UNIT), (100_000, 3 * UNIT), (200_000, 10 * UNIT))
CALM = BookState(0, 0.0, 0, 10**6, 60 * 10**6)


def walk(
    order: float, *, state: BookState = CALM, limit: float | None = None
) -> tuple[float, float, float, BookState]:
    """Return (units, USD, market price) of an order at a reference of 1, and the book after it."""
    book: Liquidity = LadderBook(LEVELS, LEVELS)
    limit_e8 = None if limit is None else round(limit * UNIT)
    fill = book.fill(state, 0, UNIT, round(order * UNIT), limit_e8)
    assert fill is not None
    cost = taker_cost_uusd(fill.quantity_e8, fill.price_e8)
    after = state.traded(0, fill.quantity_e8, 0)
    return fill.quantity_e8 / UNIT, cost / USD, fill.market_price_e8 / UNIT, after


def test_a2_one_order() -> None:
    assert walk(5)[:3] == (5, 5.5, 1.2)


@pytest.mark.parametrize("parts", [(1, 3, 1), (2, 2, 1), (0.5, 4, 0.5), (1,) * 5])
def test_a2_in_slices(parts: tuple[float, ...]) -> None:
    state, total = CALM, 0.0
    for part in parts:
        units, cost, price, state = walk(part, state=state)
        assert units == part
        total += cost

    assert total == pytest.approx(5.5, abs=1e-6)
    assert price == 1.2


def test_a2_with_a_limit_at_the_middle_level() -> None:
    # 1 at 1.0 and 3 at 1.1.
    assert walk(5, limit=1.1)[:3] == (4, 4.3, 1.1)


def test_a2_mirrored() -> None:
    # 1 at 1.0, 3 at 0.9, 1 at 0.8.
    assert walk(-5)[:3] == (-5, -4.5, 0.8)


def test_a2_with_half_the_depth() -> None:
    # 0.5 at 1.0, 1.5 at 1.1, 0.5 at 1.2.
    assert walk(2.5, state=CALM.with_depth(0, 500_000, 1))[:3] == (2.5, 2.75, 1.2)


def test_a2_and_back_again() -> None:
    *_, state = walk(5)

    assert walk(-5, state=state)[:3] == (-5, -5.5, 1.0)


def test_a2_in_a_run(tmp_path: Path) -> None:
    """A short of 5 from 0.9 is bought back at a reference of 1; the fund pays what it lacks."""
    asks = [[0, 1], [Decimal("0.1"), 3], [Decimal("0.2"), 10]]
    raw = small_scenario(
        markets__ETH=market(
            path=knots((0, 0.9), (9, 0.9), (10, 1), (60, 1)),
            liquidity={"kind": "ladder", "asks": asks, "bids": [[0, 1]], "half_life": "10s"},
        ),
        end=at(60),
        venue__fund__initial_usd=100,
        population__cohorts={"short": cohort(notional_usd=Decimal("4.5"), long_share=0)},
    )
    run_to_log(load(raw), tmp_path / "a2.duckdb")

    with Log(tmp_path / "a2.duckdb") as log:
        fills = log.sql(
            "select quantity, cost_usd, price, reference_price, market_price from order_filled"
        ).fetchall()
        assert log.verify() == []
    assert fills == [tuple(map(Decimal, ("5", "5.5", "1.1", "1", "1.2")))]
