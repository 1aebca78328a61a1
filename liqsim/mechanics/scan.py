"""
Margins of many buckets at once, in floats that only propose; integers decide afterwards.

Proposals err by less than a relative `MARGIN_ERROR` of the legs' values, towards danger, so every
bucket that is due is among the candidates.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from liqsim.mechanics.margin import MARGIN_SCALE, MarginRule, credits_of
from liqsim.units import NOTIONAL_DIVISOR, RATIO_SCALE

MARGIN_ERROR: Final = 1e-12
_NO_LEVEL: Final = 9e18
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


def pieces_of(
    units: Ints, entries_e8: Ints, rule: MarginRule, buffer_e6: int = 0
) -> list[tuple[Floats, Floats]]:
    """
    Return the pieces of many positions in one market: (slopes, constants) each.

    Slopes are in 1e-8 units, constants in micro-USD; both err towards danger, by `MARGIN_ERROR`
    of the quantity and of the haircut at entry.
    """
    raised = 1.0 + buffer_e6 / RATIO_SCALE
    if rule.is_by_notional:
        held, size = units.astype(np.float64), np.abs(units).astype(np.float64)
        plain = [
            (
                held - size * (rate / RATIO_SCALE * raised + MARGIN_ERROR * raised),
                np.full(len(units), credit / MARGIN_SCALE * raised),
            )
            for (_, rate), credit in zip(rule.tiers, credits_of(rule.tiers), strict=True)
        ]
    else:
        slopes = slopes_of(units[None, :], [rule.tiers])[0]
        if buffer_e6:
            slopes -= (units - slopes) * (buffer_e6 / RATIO_SCALE)
        plain = [(slopes, np.zeros(len(units)))]
    if not rule.unrealised_haircut_e6:
        return plain
    cut = units * (rule.unrealised_haircut_e6 / RATIO_SCALE)
    at_entry = cut * (entries_e8 / NOTIONAL_DIVISOR)
    at_entry -= np.abs(at_entry) * MARGIN_ERROR
    return plain + [(slopes - cut, constants + at_entry) for slopes, constants in plain]


def trigger_levels(
    cash: Ints, units: Ints, pieces: list[tuple[Floats, Floats]]
) -> tuple[Ints, Ints]:
    """
    Return (rows, levels): one-leg buckets and prices not safer than their trigger.

    Levels err on the early side by a relative `MARGIN_ERROR` and one unit, so that an index over
    them proposes in time. All arrays have one item per bucket.
    """
    rows = np.flatnonzero(units)
    is_long, own_cash = units[rows] > 0, cash[rows].astype(np.float64)
    levels = np.where(is_long, -1.0, _NO_LEVEL)
    for slopes, constants in pieces:
        slope, constant = slopes[rows], constants[rows]
        level = -(own_cash + constant) * NOTIONAL_DIVISOR / slope
        scale = (np.abs(own_cash) + np.abs(constant)) * NOTIONAL_DIVISOR / np.abs(slope)
        slack = 2.0 * scale * MARGIN_ERROR + 1.0
        # The piece nearest to safety is the one that decides.
        early = np.where(is_long, np.ceil(level + slack), np.floor(level - slack))
        levels = np.where(is_long, np.maximum(levels, early), np.minimum(levels, early))
    return rows, np.clip(levels, -1.0, _NO_LEVEL).astype(np.int64)
