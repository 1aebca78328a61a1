"""
A judge of what a model of cascades is asked about, and of its answer.

It reads all events of the window at every look, and the margin of every account at both prices.
"""

import json
import math
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import pairwise
from typing import Any

from liqsim.events import (
    BookSampled,
    InventorySold,
    OracleUpdated,
    OrderFilled,
    PositionReduced,
    TradeFilled,
    TrancheTakenOver,
)
from liqsim.scenario.mitigations import Predictive

_MOST = 10**18 - 1
_YEAR_S = Fraction(36_525 * 864)


def seen_by(spec: Predictive, books: Any, market: int, at_us: int) -> dict[str, int] | None:
    """Return what the mitigation sees of a market now, and the chance that its model finds."""
    mark = books.marks[market][0]
    if not mark:
        return None
    model = json.loads(spec.content)
    since, distance = at_us - model["window_us"], Fraction(model["distance_e6"], 10**6)
    of_market = [e for e in books.entries if getattr(e.event, "market_id", None) == market]
    late = [e.event for e in of_market if e.sim_time_us > since]
    fills = OrderFilled | TradeFilled | InventorySold | PositionReduced
    trades = [e.cost_uusd for e in late if isinstance(e, fills)]
    forced = [abs(e.cost_uusd) for e in late if isinstance(e, OrderFilled | TrancheTakenOver)]
    marks = [
        (e.sim_time_us, e.event.mark_price_e8)
        for e in of_market
        if isinstance(e.event, OracleUpdated | BookSampled)
    ]
    squares = [
        Fraction(round(math.log(b / a) ** 2 * 1e18), 10**18)
        for (_, a), (when, b) in pairwise(marks)
        if when > since
    ]
    variance = sum(squares) * _YEAR_S / Fraction(model["window_us"], 10**6)
    gross = sum(map(abs, trades))
    seen = {
        "imbalance_e6": abs(sum(trades)) * 10**6 // gross if gross else 0,
        "forced_uusd": sum(forced),
        "depth_uusd": min(_depth_e8(books, market, at_us, distance) * mark // 10**10, _MOST),
        "ladder_uusd": int(_worth(books, market, ladder_of(spec, books, market)) * 10**6),
        "open_interest_uusd": books.at_stake(market) // 10**10,
        "volatility_e6": math.isqrt(math.floor(variance * 10**12)),
    }
    return seen | {"risk_e6": _risk_e6(model, seen)}


def _depth_e8(books: Any, market: int, at_us: int, distance: Fraction) -> int:
    """Return the least that an order of any size would get within the distance."""
    desk = books.simulation.context.markets[market]
    reference = desk.path.at(at_us)
    moved = desk.liquidity.displacement(desk.state.book, at_us)
    price = max(round(reference * math.exp(moved)), 1) if moved else reference
    got = []
    for sign, bound in (
        (-1, max(math.ceil(price * (1 - distance)), 1)),
        (1, math.floor(price * (1 + distance))),
    ):
        fill = desk.liquidity.fill(desk.state.book, at_us, reference, sign * _MOST, bound)
        got.append(0 if fill is None else abs(fill.quantity_e8))
    return min(got)


def ladder_of(spec: Predictive, books: Any, market: int) -> list[int]:
    """Return who would be due if the mark moved by the model's distance, to the worse side."""
    distance = Fraction(json.loads(spec.content)["distance_e6"], 10**6)
    sides = []
    for sign in (-1, 1):
        price = math.floor(books.marks[market][0] * (1 + sign * distance))
        held = enumerate(books.units[market])
        sides.append([b for b, units in held if units and books.is_due_at(b, market, price)])
    lower, higher = (_worth(books, market, side) for side in sides)
    return sides[higher > lower]


def _worth(books: Any, market: int, buckets: list[int]) -> Fraction:
    return sum((books.worth(market, bucket) for bucket in buckets), Fraction())


def _risk_e6(model: dict[str, Any], seen: dict[str, int]) -> int:
    def over_depth(name: str) -> int:
        if not seen[name]:
            return 0
        depth = seen["depth_uusd"]
        ratio = min(seen[name] * 10**6 // depth, 10**10) if depth else 10**10
        return int(Decimal(ratio * 10**6).sqrt())

    features = {
        "imbalance": seen["imbalance_e6"],
        "forced": over_depth("forced_uusd"),
        "interest": over_depth("open_interest_uusd"),
        "ladder": over_depth("ladder_uusd"),
        "volatility": seen["volatility_e6"],
    }
    odds = model["intercept_e6"]
    for row in model["features"]:
        away = features[row["name"]] - row["mean_e6"]
        odds += math.floor(Fraction(row["weight_e6"] * away, row["deviation_e6"]))
    odds = max(min(odds, 40 * 10**6), -40 * 10**6)
    with localcontext(prec=60):  # To a float the chance is 1 where odds are high.
        return math.floor(10**6 / (1 + (Decimal(-odds) / 10**6).exp()))
