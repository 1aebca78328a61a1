"""
A price path through bars, which has the open, high, low and close of each exactly.

What happens within a bar is drawn: the bar says where the price was, not when. Draws are keyed by
the market and by time, so a bar's path depends on that bar alone: not on the other bars, nor on
where the run or the file begins.
"""

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise

from liqsim.rng import Stream
from liqsim.scenario.bars import Bars

_ORDER, _FIRST_PLACE, _SECOND_PLACE = range(3)
_PARKINSON = 2.0 * math.sqrt(math.log(2.0))
"""The range of a bar in log price is so many of its standard deviations (Parkinson, 1980)."""


def bar_prices(bars: Bars, step_us: int, count: int, *, seed: int, market: str) -> list[int]:
    """
    Return *count* prices in 1e-8 USD, one per step from the scenario's start.

    Every whole bar begins at its open, ends at its close, touches its high and its low, and never
    leaves the range between them.
    """
    actor = f"market.{market}"
    draws, noise = Stream(seed, actor, "bar"), Stream(seed, actor, "bar_bridge")
    steps = bars.bar_us // step_us
    normals = noise.normals(bars.first_unix_us // step_us, steps * len(bars.rows))
    prices: list[int] = []
    for number, bar in enumerate(bars.rows):
        at_us = bars.first_unix_us + number * bars.bar_us
        places = [draws.at(at_us, index) for index in (_ORDER, _FIRST_PLACE, _SECOND_PLACE)]
        prices += bar_path(bar, places, normals[number * steps : (number + 1) * steps])
    skipped = -bars.first_us // step_us
    return prices[skipped : skipped + count]


def bar_path(
    bar: tuple[int, int, int, int], places: Sequence[float], normals: Sequence[float]
) -> list[int]:
    """
    Return the prices of one bar, as many as there are *normals*; at least four.

    Args:
        bar: Open, high, low and close, in 1e-8 USD.
        places: Three uniform draws: the order of high and low, and where they stand.
        normals: One standard normal draw per step.

    >>> bar_path((10_000, 12_000, 9_000, 9_500), (0.9, 0.5, 0.1), [0.0] * 6)
    [10000, 12000, 10392, 9000, 9247, 9500]
    """
    _, high, low, _ = bar
    if high == low:
        return [low] * len(normals)
    anchors = _anchors(bar, places, len(normals))
    # In logs above the low, which keeps its accuracy however narrow the bar is.
    height = math.log1p((high - low) / low)
    sigma = height / (_PARKINSON * math.sqrt(len(normals)))
    prices = [anchors[0][1]]
    for (first, start), (last, end) in pairwise(anchors):
        steps = last - first
        start_log, end_log = (math.log1p((price - low) / low) for price in (start, end))
        walk = list(accumulate(sigma * normal for normal in normals[first:last]))
        slope = (end_log - start_log - walk[-1]) / steps
        for step in range(1, steps):
            above = _folded(start_log + slope * step + walk[step - 1], height)
            prices.append(min(low + round(low * math.expm1(above)), high))
        prices.append(end)
    return prices


def _anchors(
    bar: tuple[int, int, int, int], places: Sequence[float], steps: int
) -> list[tuple[int, int]]:
    """Return the (step, price) that the path of a bar meets exactly."""
    opening, high, low, close = bar
    between = [price for price in (low, high) if price not in (opening, close)]
    if len(between) > 1 and places[_ORDER] >= _low_first(bar):
        between.reverse()
    # Drawn from the steps between the first and the last, without the one that is taken.
    taken: list[int] = []
    for _, place in zip(between, places[_FIRST_PLACE:], strict=False):
        step = 1 + int(place * (steps - 2 - len(taken)))
        taken.append(step + any(other <= step for other in taken))
    inner = zip(sorted(taken), between, strict=True)
    return [(0, opening), *inner, (steps - 1, close)]


def _low_first(bar: tuple[int, int, int, int]) -> float:
    """
    Return how likely the low came before the high.

    By the reflection principle, a Brownian path that meets both in one order has, to leading
    order, a density of exp(-d^2 / 2 s^2), d being the way that it goes in log price. With the
    variance s^2 that Parkinson's estimate takes from the range, the odds of the two orders are 2
    to the power of 16 x (close - open) / range.
    """
    opening, high, low, close = bar
    share = math.log(close / opening) / math.log1p((high - low) / low)
    return 1.0 / (1.0 + math.pow(2.0, -16.0 * share))


def _folded(value: float, height: float) -> float:
    """Return *value* reflected at 0 and at *height* until it lies between them."""
    value %= 2.0 * height
    return min(value, 2.0 * height - value)
