"""
Lowest and highest prices over a run, exact between events.

The market price is reference x exp(displacement). Between two states of the book the displacement
moves monotonically towards its permanent part, and the reference is held within each step, so
within a (state, step) segment the extremes lie at its two ends. Bounds per state find the few
states that could hold an extreme; only their segments are looked at.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from liqsim.events import MarketExtremes
from liqsim.mechanics.liquidity import Displacement, displaced_price_e8
from liqsim.mechanics.paths import ReferencePath
from liqsim.world.markets import BookState, Market

_SLACK: Final = 1e-9


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
    seen = sign * path.prices_e8[np.array(starts) // path.step_us] * np.exp(first)
    reached = float(seen.min())
    # Prices are rounded to a unit, and at least one: what comes within a unit may stand level.
    target = (max(reached, 1.0) if sign > 0 else reached) + abs(reached) * _SLACK + 1.0
    best: tuple[int, int] | None = None
    for row in np.flatnonzero(references * np.exp(sign * moves) <= target).tolist():
        price = _signed_price(sign, path, displacement, history[row])
        edge = sign * displaced_price_e8(sign * int(references[row]), sign * float(moves[row]))
        near = target / math.exp(sign * moves[row])
        for from_us, to_us in _spans(starts[row], lasts[row], path, sign, near):
            lowest = min(price(from_us), price(to_us))
            if best is None or lowest < best[0]:
                best = lowest, _first_at(price, lowest, from_us, to_us)
            if lowest == edge:
                break  # Nothing later in this state is lower.
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


def _spans(
    start_us: int, last_us: int, path: ReferencePath, sign: int, near: float
) -> Iterator[tuple[int, int]]:
    """Yield (first, last) instant of the steps of one state whose reference is at most *near*."""
    step = path.step_us
    low, high = start_us // step, last_us // step
    for offset in np.flatnonzero(sign * path.prices_e8[low : high + 1] <= near).tolist():
        from_us = (low + offset) * step
        yield max(start_us, from_us), min(last_us, from_us + step - 1)


def _signed_price(
    sign: int, path: ReferencePath, displacement: Displacement, state: BookState
) -> Callable[[int], int]:
    return lambda at_us: sign * displaced_price_e8(path.at(at_us), displacement(state, at_us))


def _first_at(price: Callable[[int], int], lowest: int, from_us: int, to_us: int) -> int:
    """Return the first instant of *lowest*, at one end of a span in which prices move one way."""
    if price(from_us) == lowest:
        return from_us
    span = range(from_us, to_us + 1)
    return span[bisect_left(span, True, key=lambda at_us: price(at_us) <= lowest)]  # noqa: FBT003 — what it looks for
