"""Fees on leverage: who pays, and how much, at the volatility of the moment."""

from typing import Final

from liqsim.scenario.mitigations import LeverageFee
from liqsim.units import NOTIONAL_DIVISOR, RATIO_SCALE, ceil_div

_SCALE: Final = NOTIONAL_DIVISOR * RATIO_SCALE * RATIO_SCALE


def fee_multiplier_e6(spec: LeverageFee, volatility_e6: int) -> int:
    """
    Return the multiple of the rate at an annual volatility, rounded up, at most the largest.

    >>> spec = LeverageFee("", "", True, 1, 10**7, 100, 1, 800_000, 3 * 10**6)
    >>> fee_multiplier_e6(spec, 1_200_000), fee_multiplier_e6(spec, 8_000_000)
    (1500000, 3000000)
    """
    return min(ceil_div(volatility_e6 * RATIO_SCALE, spec.reference_e6), spec.high_e6)


def leverage_fee_uusd(
    spec: LeverageFee, multiplier_e6: int, notional_e16: int, room_uusd: int
) -> int:
    """
    Return what a position worth *notional_e16* pays, rounded up, of *room_uusd* that it can.

    >>> spec = LeverageFee("", "", True, 1, 10**7, 100, 1, 800_000, 3 * 10**6)
    >>> leverage_fee_uusd(spec, 1_500_000, 5_000 * 10**16, 10**9)  # 0.01 % x 1.5 of 5,000 USD
    750000
    >>> leverage_fee_uusd(spec, 1_500_000, 5_000 * 10**16, 600_000)
    600000
    """
    return min(ceil_div(notional_e16 * spec.rate_e6 * multiplier_e6, _SCALE), room_uusd)
