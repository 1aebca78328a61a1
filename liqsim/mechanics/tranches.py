"""How a due position is cut into tranches and child orders."""

from liqsim.units import NOTIONAL_DIVISOR, RATIO_SCALE, ceil_div


def tranche_size_e8(
    *,
    remaining_e8: int,
    at_trigger_e8: int,
    share_e6: int,
    max_uusd: int,
    mark_e8: int,
    min_uusd: int = 0,
) -> int:
    """
    Return the units of the next tranche: a share of the position at its trigger, capped in USD.

    What would be left and is worth less than *min_uusd* goes with it.

    >>> sizes = {"remaining_e8": 10**9, "at_trigger_e8": 10**9, "share_e6": 200_000,
    ...          "max_uusd": 10**12, "mark_e8": 10**10}
    >>> tranche_size_e8(**sizes), tranche_size_e8(**sizes, min_uusd=801 * 10**6)
    (200000000, 1000000000)
    """
    share = ceil_div(at_trigger_e8 * share_e6, RATIO_SCALE)
    size = min(remaining_e8, share, units_within_e8(max_uusd, mark_e8))
    is_dust = (remaining_e8 - size) * mark_e8 < min_uusd * NOTIONAL_DIVISOR
    return remaining_e8 if is_dust else size


def units_within_e8(max_uusd: int, mark_e8: int) -> int:
    """Return the units worth at most *max_uusd* at the mark, at least one unit of the scale."""
    return max(max_uusd * NOTIONAL_DIVISOR // mark_e8, 1)


def takeover_price_e8(mark_e8: int, discount_e6: int, position_e8: int) -> int:
    """
    Return the price at which a keeper takes over, rounded for the bucket.

    >>> takeover_price_e8(100, 5_000, 1), takeover_price_e8(100, 5_000, -1)
    (100, 100)
    """
    if position_e8 > 0:
        return max(ceil_div(mark_e8 * (RATIO_SCALE - discount_e6), RATIO_SCALE), 1)
    return max(mark_e8 * (RATIO_SCALE + discount_e6) // RATIO_SCALE, 1)
