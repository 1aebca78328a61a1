"""What the venue's own book would take now: within a distance, or within a slippage."""

from collections.abc import Callable

from liqsim.mechanics.liquidity import Fill
from liqsim.units import BOUND, RATIO_SCALE, ceil_div

Quote = Callable[[int, int | None], Fill | None]
"""Returns what an order (negative: sells) within a limit would get now; None if nothing."""


def within_distance_e8(quote: Quote, price_e8: int, distance_e6: int, *, is_sale: bool) -> int:
    """Return the units that the book holds on one side within *distance_e6* of the price."""
    if is_sale:
        limit = max(ceil_div(price_e8 * (RATIO_SCALE - distance_e6), RATIO_SCALE), 1)
        fill = quote(-BOUND + 1, limit)
    else:
        fill = quote(BOUND - 1, price_e8 * (RATIO_SCALE + distance_e6) // RATIO_SCALE)
    return 0 if fill is None else abs(fill.quantity_e8)


def within_slippage_e8(
    quote: Quote, price_e8: int, slippage_e6: int, wanted_e8: int, *, is_sale: bool
) -> int:
    """
    Return the most of *wanted_e8* of which the book would fill what it can within the slippage.

    The average price of what it fills is then no further from *price_e8* than *slippage_e6*.
    """

    def fits(size_e8: int) -> bool:
        fill = quote(-size_e8 if is_sale else size_e8, None)
        if fill is None:
            return True
        away = price_e8 - fill.price_e8 if is_sale else fill.price_e8 - price_e8
        return away * RATIO_SCALE <= price_e8 * slippage_e6

    if fits(wanted_e8):
        return wanted_e8
    low, high = 0, wanted_e8
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
