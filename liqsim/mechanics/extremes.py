"""
Lowest and highest prices over a run, exact between events.

The market price is reference x exp(displacement). Between two states of the book the displacement
moves monotonically towards its permanent part, and the reference is held within each step, so
within a (step, state) segment the extremes lie at its two ends. Floats find the segments that could
hold an extreme, the one price function decides.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from liqsim.events import MarketExtremes
from liqsim.mechanics.liquidity import displaced_price_e8
from liqsim.mechanics.paths import ReferencePath
from liqsim.world.markets import BookState, Market

_SLACK: Final = 1e-9


def market_extremes(
    market_id: int,
    path: ReferencePath,
    market: Market,
    displacement: Callable[[BookState, int], float],
    end_us: int,
) -> MarketExtremes:
    """Return the extremes of one market over [0, *end_us*)."""
    at_us, states = _segment_ends(path, market, end_us)
    history = market.history
    moved = np.array([displacement(history[s], t) for t, s in zip(at_us, states, strict=True)]) if (
        len(history) > 1
    ) else np.zeros(len(at_us))
    reference = path.prices_e8[np.array(at_us) // path.step_us]
    logs = np.log(reference) + moved

    def extreme(sign: int) -> tuple[int, int]:
        candidates = np.flatnonzero(sign * logs <= (sign * logs).min() + _SLACK + 2.0 / reference.min())
        found = [
            (sign * displaced_price_e8(path.at(at_us[i]), float(moved[i])), at_us[i])
            for i in candidates.tolist()
        ]
        price, at = min(found)
        return sign * price, at

    lowest_market, lowest_at = extreme(1)
    highest_market, highest_at = extreme(-1)
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


def _segment_ends(
    path: ReferencePath, market: Market, end_us: int
) -> tuple[list[int], list[int]]:
    """Return the ends of all segments: instants, and the state of the book in force at each."""
    starts: npt.NDArray[np.int64] = np.arange(len(path.prices_e8)) * path.step_us
    changes = np.array([state.at_us for state in market.history], dtype=np.int64)
    cuts = np.unique(np.concatenate((starts, changes)))
    first = np.searchsorted(changes, cuts, side="right") - 1
    lasts = np.append(cuts[1:], end_us) - 1
    # Every state of an instant counts, also those that another fill in it replaced at once.
    return (
        [*cuts.tolist(), *lasts.tolist(), *changes.tolist()],
        [*first.tolist(), *first.tolist(), *range(len(changes))],
    )
