"""
Lowest and highest prices over a run, exact between events.

The market price is reference x exp(displacement). Between two states of the book the displacement
moves monotonically towards its permanent part, and the reference is held within each step, so
within a (state, step) segment the extremes lie at its two ends. Bounds per state find the few
states that could hold an extreme; only their segments are looked at.
"""

import math
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from liqsim.events import MarketExtremes
from liqsim.mechanics.liquidity import displaced_price_e8
from liqsim.mechanics.paths import ReferencePath
from liqsim.world.markets import BookState, Market

_SLACK: Final = 1e-9
Displacement = Callable[[BookState, int], float]


def market_extremes(
    market_id: int, path: ReferencePath, market: Market, displacement: Displacement, end_us: int
) -> MarketExtremes:
    """Return the extremes of one market over [0, *end_us*)."""
    lowest_market, lowest_at = _extreme(1, path, market, displacement, end_us)
    highest_market, highest_at = _extreme(-1, path, market, displacement, end_us)
    low, high = int(path.prices_e8.argmin()), int(path.prices_e8.argmax())
    last_us = end_us - 1
    end_reference = path.at(last_us)
    return MarketExtremes(
        market_id=market_id,
        start_price_e8=path.at(0),
        lowest_market_e8=lowest_market,
        lowest_market_at_us=lowest_at,
        highest_market_e8=highest_market,
        highest_market_at_us=highest_at,
        lowest_reference_e8=path.at(low * path.step_us),
        lowest_reference_at_us=low * path.step_us,
        highest_reference_e8=path.at(high * path.step_us),
        highest_reference_at_us=high * path.step_us,
        end_market_e8=displaced_price_e8(end_reference, displacement(market.book, last_us)),
        end_reference_e8=end_reference,
    )


def _extreme(
    sign: int, path: ReferencePath, market: Market, displacement: Displacement, end_us: int
) -> tuple[int, int]:
    """Return (price, first instant) of the lowest (*sign* 1) or highest (-1) market price."""
    history = market.history
    starts = [state.at_us for state in history]
    # A state that another fill of its instant replaced at once still stood for that instant.
    lasts = [max(end - 1, start) for start, end in zip(starts, [*starts[1:], end_us], strict=True)]
    first = np.array([displacement(s, t) for s, t in zip(history, starts, strict=True)])
    last = np.array([displacement(s, t) for s, t in zip(history, lasts, strict=True)])
    moves = np.minimum(sign * first, sign * last)
    references = _lowest_between(sign * path.prices_e8, starts, lasts, path.step_us)
    slack = _SLACK + 2.0 / int(path.prices_e8.min())
    bounds = sign * np.log(sign * references) + moves
    seen = sign * (np.log(path.prices_e8[np.array(starts) // path.step_us]) + first)
    best: tuple[int, int] | None = None
    for row in np.flatnonzero(bounds <= seen.min() + slack).tolist():
        state = history[row]
        for at_us in _segment_ends(starts[row], lasts[row], path, first[row], last[row], sign):
            price = sign * displaced_price_e8(path.at(at_us), displacement(state, at_us))
            if best is None or (price, at_us) < best:
                best = price, at_us
    assert best is not None
    return sign * best[0], best[1]


def _lowest_between(
    prices: npt.NDArray[np.int64], starts: list[int], lasts: list[int], step_us: int
) -> npt.NDArray[np.int64]:
    """Return the lowest of *prices* over each span [start, last]."""
    padded = np.append(prices, prices[-1])
    cuts = np.empty(2 * len(starts), dtype=np.int64)
    cuts[0::2] = np.array(starts) // step_us
    cuts[1::2] = np.array(lasts) // step_us + 1
    return np.minimum.reduceat(padded, cuts)[0::2]


def _segment_ends(
    start_us: int, last_us: int, path: ReferencePath, first: float, last: float, sign: int
) -> Iterator[int]:
    """Yield the instants of one state at which its extreme can stand."""
    step = path.step_us
    low, high = start_us // step, last_us // step
    if first == last:
        prices = sign * path.prices_e8[low : high + 1]
        yield max(start_us, (low + int(prices.argmin())) * step)
        return
    # Towards the extreme side the displacement may still be moving: both ends of each step count.
    reach = math.exp(abs(first - last)) * (1.0 + _SLACK)
    prices = path.prices_e8[low : high + 1]
    near = prices <= prices.min() * reach if sign > 0 else prices >= prices.max() / reach
    for offset in np.flatnonzero(near).tolist():
        yield max(start_us, (low + offset) * step)
        yield min(last_us, (low + offset + 1) * step - 1)
