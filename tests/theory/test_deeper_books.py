"""
A deeper book never makes a deeper trough, with permanent linear impact and longs only.

By induction over the sales: displacement is then -units sold / depth, whoever sold them and when.
If up to some instant the deeper book has seen no more units sold, its price is no lower, so nobody
is due there who is not due in the shallower one: it has seen no more units sold after it either.

With resilience this is not so: what a shallow book sells early is forgotten when the price is at
its lowest, and what a deeper one has not sold yet is sold there.
"""

import random
from collections import Counter
from decimal import Decimal

from support.floors import assert_floors
from support.scenarios import (
    INSTANTLY,
    Raw,
    at,
    cohort,
    constant,
    knots,
    listed,
    load,
    market,
    small_scenario,
    source,
)
from support.sinks import ListSink

from liqsim.events import LiquidationTriggered, MarketExtremes, OrderFilled, TrancheSettled
from liqsim.runner import Simulation, prepare

_FLOORS = {
    "cases": 40,
    "sold": 26,
    "a shallower trough": 26,
    "fewer liquidated": 12,
    "fewer units sold": 10,
    "in slices": 14,
    "late marks": 10,
}
DEPTHS_USD = (30_000, 50_000, 80_000, 120_000, 200_000, 400_000, 1_000_000)
ROUNDING_E8 = 2
"""A price is rounded to 1e-8 from a displacement that is known to some 1e-16."""


def book(depth_usd: int, permanent_share: int) -> Raw:
    """Return a book whose impact is linear."""
    return {
        "kind": "power_book",
        "depth_usd": depth_usd,
        "exponent": 1,
        "reach": 1,
        "permanent_share": permanent_share,
        "half_life": "5s",
    }


def told(raw: Raw) -> ListSink:
    """Run a scenario."""
    sink = ListSink()
    Simulation(prepare(load(raw)), sink).run()
    return sink


def trough_e8(sink: ListSink) -> int:
    """Return the lowest market price of a run."""
    (extremes,) = sink.of(MarketExtremes)
    return int(extremes.lowest_market_e8)


def units_sold(sink: ListSink) -> int:
    """Return what was sold in all."""
    return -sum(fill.quantity_e8 for fill in sink.of(OrderFilled))


def crash(draw: random.Random) -> Raw:
    """Return a fall in some steps, of longs who are due at many prices on the way."""
    second, price, points = 0, 100.0, [(0.0, 100.0)]
    for _ in range(draw.choice((2, 3, 5))):
        second += draw.choice((10, 20, 30))
        price = round(price * draw.choice((0.85, 0.9, 0.95, 0.97, 1.02)), 6)
        points.append((second, price))
    points.append((second + 30, price))
    late = draw.choice((INSTANTLY, INSTANTLY, constant("1500ms")))
    table = market(
        path=knots(*points, volatility=draw.choice((0, 2, 5))),
        maintenance=[[0, Decimal("0.01")], [200, Decimal("0.03")]],
        oracle={
            "deviation": draw.choice((0, Decimal("0.002"))),
            "heartbeat": "5s",
            "landing": late,
            "sources": {"one": source(latency=draw.choice((INSTANTLY, constant("2s"))))},
        },
    )
    cohorts = {
        f"longs{number}": cohort(
            accounts=draw.choice((5, 15, 30)),
            notional_usd=draw.choice((100_000, 400_000)),
            leverage={"median": draw.choice((5, 10, 20)), "sigma": 0.5, "max": 50},
            entry={"long_sd": 0.02},
        )
        for number in range(draw.choice((1, 2)))
    }
    return small_scenario(
        end=at(second + 30),
        seed=draw.randrange(2**31),
        markets__ETH=table,
        venue__engine={"reaction": draw.choice(("0s", "2s"))},
        venue__tranches={"share": draw.choice((1, 1, Decimal("0.3"))), "spacing": "1s"},
        venue__fund__initial_usd=draw.choice((0, 10**4, 10**9)),
        venue__waterfall={"deleveraging": "none", "surplus_to": "fund"},
        population__cohorts=cohorts,
    )


def test_with_permanent_linear_impact_a_deeper_book_makes_no_deeper_trough() -> None:
    census: Counter[str] = Counter()
    for number in range(40):
        draw = random.Random(number)
        raw, depths = crash(draw), sorted(draw.sample(DEPTHS_USD, 2))
        runs = []
        for depth in depths:
            raw["markets"]["ETH"]["liquidity"] = book(depth, 1)
            runs.append(told(raw))
        shallow, deep = runs

        assert trough_e8(deep) >= trough_e8(shallow) - ROUNDING_E8, (number, depths)
        assert units_sold(deep) <= units_sold(shallow), (number, depths)

        liquidated = [len(run.of(LiquidationTriggered)) for run in runs]
        census["cases"] += 1
        census["sold"] += units_sold(shallow) > 0
        census["a shallower trough"] += trough_e8(deep) > trough_e8(shallow) + ROUNDING_E8
        census["fewer liquidated"] += liquidated[1] < liquidated[0]
        census["fewer units sold"] += units_sold(deep) < units_sold(shallow)
        census["in slices"] += len(shallow.of(TrancheSettled)) > liquidated[0]
        census["late marks"] += raw["markets"]["ETH"]["oracle"]["landing"] != INSTANTLY

    assert_floors(census, _FLOORS)


def two_longs(depth_usd: int, permanent_share: int) -> Raw:
    """
    Return two longs of 10, due at 93 and at 90, in a fall to 92.9 and, a minute later, to 80.

    Collateral is what leaves a margin of zero there: 10 x (100 - 99 % of 93) = 79.30, and 109.
    """
    path = knots((0, 100), (9, 100), (10, "92.9"), (69, "92.9"), (70, 80), (90, 80))
    raw = small_scenario(
        end=at(90),
        markets__ETH=market(path=path, liquidity=book(depth_usd, permanent_share)),
        venue__fund__initial_usd=10**6,
        venue__waterfall={"deleveraging": "none", "surplus_to": "fund"},
    )
    rows = ("first", "ETH", 10, 100, "79.3"), ("second", "ETH", 10, 100, 109)
    raw["population"] = {"accounts": listed(*rows)}
    return raw


def test_with_resilience_a_deeper_book_can_make_a_deeper_trough() -> None:
    # 10 units move the price by 10 / 2.5 = 4 % of log price in the shallow book: at 92.9 the first
    # sale ends at 89.3, and at 89.7, a second later, the other long is due. A minute later nobody
    # is left. In a book of twice the depth it ends at 91.1, and the other is due at 80 alone: at
    # the lowest reference price its sale takes another 2 %.
    shallow, deep = (told(two_longs(depth, 0)) for depth in (250, 500))

    assert [len(run.of(LiquidationTriggered)) for run in (shallow, deep)] == [2, 2]
    assert trough_e8(shallow) > Decimal("79.9") * 10**8
    assert trough_e8(deep) < 79 * 10**8


def test_the_same_with_impact_for_good_is_no_counter_example() -> None:
    shallow, deep = (told(two_longs(depth, 1)) for depth in (250, 500))

    assert trough_e8(shallow) < trough_e8(deep) < 80 * 10**8
