"""
Margins of many buckets at once, in floats that only propose; integers decide afterwards.

Proposals err by less than a relative `MARGIN_ERROR` of the legs' values, towards danger, so every
bucket that is due is among the candidates.
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
        slopes: Shape (legs, buckets), as `slopes_of` returns them.
        prices_e8: One mark price per leg.
    """
    found = []
    factors = [price / NOTIONAL_DIVISOR for price in prices_e8]
    margin, value = np.empty(_BLOCK), np.empty(_BLOCK)
    is_due = np.empty(_BLOCK, dtype=bool)
    for start in range(0, len(cash), _BLOCK):
        block = slice(start, min(start + _BLOCK, len(cash)))
        size = block.stop - start
        total, leg_value, mask = margin[:size], value[:size], is_due[:size]
        np.multiply(slopes[0, block], factors[0], out=total)
        for leg, factor in enumerate(factors[1:], start=1):
            np.multiply(slopes[leg, block], factor, out=leg_value)
            np.add(total, leg_value, out=total)
        np.copyto(leg_value, cash[block])  # Faster than adding integers to floats.
        np.add(total, leg_value, out=total)
        np.less(total, 1.0, out=mask)
        if mask.any():
            found.append(np.flatnonzero(mask) + start)
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)


def slopes_of(units: Ints, tiers: list[tuple[tuple[int, int], ...]]) -> Floats:
    """
    Return quantity less maintenance weight per leg and bucket, in 1e-8 units.

    Each is taken `MARGIN_ERROR` of the quantity worse than it is: near zero margin, cash is as
    large as the legs' values together, so that covers the rounding of both, and the digits that
    cancel under rates near one.
    """
    slopes = units.astype(np.float64)
    for leg, leg_tiers in enumerate(tiers):
        size = np.abs(units[leg]).astype(np.float64)
        previous, largest = 0, float(size.max(initial=0.0))
        for start, rate in leg_tiers:
            if start >= largest:
                break
            # A marginal rate adds its increment on the part above its own start.
            slopes[leg] -= (rate - previous) / RATIO_SCALE * np.maximum(size - start, 0.0)
            previous = rate
    return slopes - np.abs(units) * MARGIN_ERROR


def trigger_levels(cash: Ints, units: Ints, slopes: Floats) -> tuple[Ints, Ints]:
    """
    Return (rows, levels): one-leg buckets and prices not safer than their trigger.

    Levels err on the early side by a relative `MARGIN_ERROR` and one unit, so that an index over
    them proposes in time. Shapes as in `margin_candidates`, for one leg.
    """
    rows = np.flatnonzero(units)
    level = -cash[rows].astype(np.float64) * NOTIONAL_DIVISOR / slopes[rows]
    is_long = units[rows] > 0
    slack = 2.0 * np.abs(level) * MARGIN_ERROR + 1.0
    level = np.where(is_long, np.ceil(level + slack), np.floor(level - slack))
    level = np.clip(level, -1.0, 9e18)
    return rows, level.astype(np.int64)
