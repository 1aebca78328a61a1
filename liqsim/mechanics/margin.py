"""
The margin equation of a bucket and the prices that follow from it.

margin = cash + sum over legs of phi(quantity, price), with phi = price x (quantity - weight) for a
perp under marginal maintenance tiers, weight = sum of tier rate x the part of |quantity| in it.
All tests are exact: margins are compared in USD x 1e-22 as Python integers.
"""

from collections.abc import Sequence
from functools import cache

from liqsim.units import NOTIONAL_DIVISOR, RATIO_SCALE, ceil_div

Tiers = tuple[tuple[int, int], ...]
"""(from_units_e8, rate_e6), the first from 0, rates not falling."""

MARGIN_SCALE = NOTIONAL_DIVISOR * RATIO_SCALE
"""Scaled margins per micro-USD."""


def weight_e14(tiers: Tiers, size_e8: int) -> int:
    """
    Return units that maintenance asks for a position of *size_e8* >= 0, in 1e-14.

    >>> weight_e14(((0, 5_000), (200 * 10**8, 10_000)), 300 * 10**8) / 10**14
    2.0
    """
    weight = previous = 0
    for start, rate in tiers:  # Most positions end in the first tier: no table is faster.
        if size_e8 <= start:
            break
        # A marginal rate adds its increment on the part above its own start.
        weight += (rate - previous) * (size_e8 - start)
        previous = rate
    return weight


@cache
def tiers_in_force(tiers: Tiers, multiplier_e6: int) -> Tiers:
    """
    Return *tiers* with every rate times a multiplier, rounded up.

    >>> tiers_in_force(((0, 5_000), (200 * 10**8, 10_001)), 1_500_000)
    ((0, 7500), (20000000000, 15002))
    """
    return tuple((start, ceil_div(rate * multiplier_e6, RATIO_SCALE)) for start, rate in tiers)


def scaled_margin(cash_uusd: int, legs: Sequence[tuple[int, int, int]]) -> int:
    """Return margin x MARGIN_SCALE of *cash* and *legs* (quantity_e8, weight_e14, price_e8)."""
    margin = cash_uusd * MARGIN_SCALE
    for quantity, weight, price in legs:
        margin += price * (quantity * RATIO_SCALE - weight)
    return margin


def with_buffer(weight: int, buffer_e6: int) -> int:
    """Return *weight* raised by the restore buffer, rounded up."""
    return ceil_div(weight * (RATIO_SCALE + buffer_e6), RATIO_SCALE)


def trigger_price_e8(
    cash_uusd: int, quantity_e8: int, weight: int, *, due_at_zero: bool = False
) -> int | None:
    """
    Return the price nearest to safety at which a one-leg bucket is due; None if no price makes it.

    A long is due at that price and every lower one, a short at it and every higher one.

    >>> trigger_price_e8(-900 * 10**6, 10 * 10**8, 10**13)  # 10 units, 1 %: 900 / 9.9
    9090909090
    """
    slope = quantity_e8 * RATIO_SCALE - weight
    amount = cash_uusd * MARGIN_SCALE
    if quantity_e8 > 0:
        # Due iff price x slope < -amount, with slope > 0 because rates stay below one.
        level = -amount // slope if due_at_zero else ceil_div(-amount, slope) - 1
        return level if level >= 1 else None
    level = ceil_div(amount, -slope) if due_at_zero else amount // -slope + 1
    return max(level, 1)


def restore_price_e8(
    cash_uusd: int, quantity_e8: int, weight: int, *, due_at_zero: bool = False
) -> int | None:
    """
    Return the price nearest to danger at which a bucket is not due; None if there is none.

    *weight* carries the buffer. A long is restored at that price and above, a short at it and
    below.
    """
    slope = quantity_e8 * RATIO_SCALE - weight
    amount = cash_uusd * MARGIN_SCALE
    if quantity_e8 > 0:
        if slope <= 0:
            return None
        return max(-amount // slope + 1 if due_at_zero else ceil_div(-amount, slope), 1)
    level = ceil_div(amount, -slope) - 1 if due_at_zero else amount // -slope
    return level if level >= 1 else None


def bankruptcy_price_e8(cash_uusd: int, quantity_e8: int) -> int:
    """
    Return the price at which equity is zero; 0 if no positive price does it.

    Rounded so that closing there leaves the bucket at zero or above: up for a long, down for a
    short.

    >>> bankruptcy_price_e8(-900 * 10**6, 10 * 10**8), bankruptcy_price_e8(1_100 * 10**6, -10**9)
    (9000000000, 11000000000)
    """
    if quantity_e8 > 0:
        return max(ceil_div(-cash_uusd * NOTIONAL_DIVISOR, quantity_e8), 0)
    return max(cash_uusd * NOTIONAL_DIVISOR // -quantity_e8, 0)
