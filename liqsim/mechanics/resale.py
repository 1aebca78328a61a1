"""What a keeper sells on, what it may pay to buy back, and what it expects of a takeover."""

from liqsim.units import NOTIONAL_DIVISOR, ceil_div, taker_cost_uusd


def resale_order_e8(inventory_e8: int, most_held_e8: int, parts: int) -> int:
    """
    Return the next order for an inventory of which *most_held_e8* is to be sold in *parts*.

    >>> resale_order_e8(25, 90, 4), resale_order_e8(-7, 90, 4), resale_order_e8(0, 0, 4)
    (-23, 7, 0)
    """
    part = min(abs(inventory_e8), ceil_div(most_held_e8, parts))
    return -part if inventory_e8 > 0 else part


def resale_pause_us(spacing_us: int, ordered_e8: int, sold_e8: int, half_life_us: int) -> int:
    """
    Return the time to the next sale after one of which *sold_e8* of *ordered_e8* units were filled.

    A book that gave less than it was asked for is left to refill by half, so that a keeper does
    not sell crumbs to a book that it has just emptied.

    >>> resale_pause_us(1, 10, 10, 60), resale_pause_us(1, 10, 4, 60), resale_pause_us(1, 10, 0, 60)
    (1, 60, 1)
    """
    is_cut_short = 0 < sold_e8 < ordered_e8
    return max(spacing_us, half_life_us) if is_cut_short else spacing_us


def affordable_price_e8(spare_uusd: int, size_e8: int) -> int:
    """
    Return the highest price at which *size_e8* > 0 units cost no more than *spare_uusd*.

    >>> affordable_price_e8(3 * 10**6, 2 * 10**8) / 10**8
    1.5
    """
    return spare_uusd * NOTIONAL_DIVISOR // size_e8


def takeover_cost_uusd(size_e8: int, price_e8: int, call_cost_uusd: int) -> int:
    """
    Return the capital that taking *size_e8* over and the call for it take, rounded up.

    >>> takeover_cost_uusd(1, 1, 5)
    6
    """
    return ceil_div(size_e8 * price_e8, NOTIONAL_DIVISOR) + call_cost_uusd


def expected_profit_uusd(
    held_e8: int, takeover_price_e8: int, resale_price_e8: int, call_cost_uusd: int
) -> int:
    """
    Return what taking *held_e8* (negative is short) over and selling it on brings.

    >>> expected_profit_uusd(10**8, 99 * 10**8, 100 * 10**8, 250_000) / 10**6
    0.75
    """
    paid = taker_cost_uusd(held_e8, takeover_price_e8)
    paid += taker_cost_uusd(-held_e8, resale_price_e8) + call_cost_uusd
    return -paid
