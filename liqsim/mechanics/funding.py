"""Funding: what ties the price of a perp to its index."""

from typing import Final

from liqsim.scenario.model import Funding
from liqsim.units import NOTIONAL_DIVISOR, RATIO_SCALE, ceil_div

RATE_SCALE: Final = 10**9


def funding_rate_e9(spec: Funding, premium_e9: int) -> int:
    """
    Return what longs pay of their value at the mark, given the smoothed premium.

    Interest and the weighted premium, rounded down, within the cap.
    """
    rate = spec.interest_e9 + spec.premium_weight_e6 * premium_e9 // RATIO_SCALE
    return min(max(rate, -spec.cap_e9), spec.cap_e9)


def funding_uusd(quantity_e8: int, mark_e8: int, rate_e9: int) -> int:
    """
    Return what a position pays, in micro-USD, rounded up: who receives gets the floor.

    >>> funding_uusd(3 * 10**8, 100_00000001, 100_000), funding_uusd(-3 * 10**8, 10**10, 100_000)
    (30001, -30000)
    """
    return ceil_div(quantity_e8 * mark_e8 * rate_e9, NOTIONAL_DIVISOR * RATE_SCALE)
