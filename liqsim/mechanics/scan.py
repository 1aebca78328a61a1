"""
Margins of many buckets at once, in floats that only propose; integers decide afterwards.

The relative error of a proposed margin is below `MARGIN_ERROR` of the sum of its terms' sizes, so
every bucket that is due is among the candidates.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from liqsim.units import NOTIONAL_DIVISOR, RATIO_SCALE

MARGIN_ERROR: Final = 1e-12
_BLOCK: Final = 16_384
"""Buckets per pass: small enough for temporaries to stay in cache."""

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def margin_candidates(cash: Ints, slopes: Floats, prices_e8: list[int]) -> Ints:
    """
    Return the rows whose margin may be negative.

    Args:
        cash: Shape (buckets,), micro-USD.
        slopes: Shape (legs, buckets): quantity less weight, in 1e-8 units.
        prices_e8: One mark price per leg.
    """
    found = []
    factors = [price / NOTIONAL_DIVISOR for price in prices_e8]
    for start in range(0, len(cash), _BLOCK):
        block = slice(start, start + _BLOCK)
        margin = cash[block].astype(np.float64)
        size = np.abs(margin)
        for leg, factor in enumerate(factors):
            value = slopes[leg, block] * factor
            margin += value
            size += np.abs(value)
        size *= MARGIN_ERROR
        size += 1.0
        rows = np.flatnonzero(margin < size)
        if len(rows):
            found.append(rows + start)
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)


def slopes_of(units: Ints, tiers: list[tuple[tuple[int, int], ...]]) -> Floats:
    """Return quantity less maintenance weight per leg and bucket, in 1e-8 units."""
    slopes = units.astype(np.float64)
    for leg, leg_tiers in enumerate(tiers):
        size = np.abs(units[leg]).astype(np.float64)
        previous = 0
        for start, rate in leg_tiers:
            # A marginal rate adds its increment on the part above its own start.
            slopes[leg] -= (rate - previous) / RATIO_SCALE * np.maximum(size - start, 0.0)
            previous = rate
    return slopes


def trigger_levels(cash: Ints, units: Ints, slopes: Floats) -> tuple[Ints, Ints]:
    """
    Return (rows, levels): one-leg buckets and prices not safer than their trigger.

    Levels err on the early side by a relative `MARGIN_ERROR` and one unit, so that an index over
    them proposes in time. Shapes as in `margin_candidates`, for one leg.
    """
    rows = np.flatnonzero(units)
    level = -cash[rows].astype(np.float64) * NOTIONAL_DIVISOR / slopes[rows]
    is_long = units[rows] > 0
    slack = np.abs(level) * MARGIN_ERROR + 1.0
    level = np.where(is_long, np.ceil(level + slack), np.floor(level - slack))
    level = np.clip(level, -1.0, 9e18)
    return rows, level.astype(np.int64)
