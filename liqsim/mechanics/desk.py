"""What a desk, a vault or a pool takes over of a slice, and out of which capital."""

from collections.abc import Iterable

from liqsim.mechanics.resale import affordable_price_e8
from liqsim.units import NOTIONAL_DIVISOR, RATIO_SCALE


def desk_size_e8(
    size_e8: int,
    *,
    price_e8: int,
    mark_e8: int,
    free_uusd: int,
    held_e8: int,
    limit_uusd: int,
    is_long: bool,
) -> int:
    """
    Return how much of a slice of *size_e8* > 0 somebody with an inventory takes over.

    It pays in full out of the capital that is free, and holds no more in the market than its limit
    at the mark allows.

    Args:
        size_e8: Units on offer.
        price_e8: Price of the takeover.
        mark_e8: Mark of the market.
        free_uusd: Capital that is free; may be negative.
        held_e8: Its inventory there; negative is short.
        limit_uusd: The most that the inventory may be worth at the mark, on either side.
        is_long: Whether the slice is of a long.

    >>> unit, usd = 10**8, 10**6
    >>> desk_size_e8(10 * unit, price_e8=90 * unit, mark_e8=91 * unit, free_uusd=450 * usd,
    ...              held_e8=0, limit_uusd=10_000 * usd, is_long=True) / unit
    5.0
    >>> desk_size_e8(10 * unit, price_e8=90 * unit, mark_e8=100 * unit, free_uusd=10_000 * usd,
    ...              held_e8=4 * unit, limit_uusd=700 * usd, is_long=True) / unit
    3.0
    """
    # The dearest price at which one unit of 1e-8 is paid for, turned round.
    paid_for = affordable_price_e8(max(free_uusd, 0), price_e8)
    room = limit_uusd * NOTIONAL_DIVISOR // mark_e8 - (held_e8 if is_long else -held_e8)
    return max(min(size_e8, paid_for, room), 0)


def free_capital_uusd(cash_uusd: int, worth_uusd: Iterable[int], leverage_e6: int) -> int:
    """
    Return what may be paid for more: leverage x capital, less what is held on either side.

    Under a leverage of 1 that is the cash, of which a short ties up its proceeds and as much again.

    Args:
        cash_uusd: Cash.
        worth_uusd: Value of each inventory at the mark, rounded down; negative is short.
        leverage_e6: The most that what is held may come to, as a multiple of the capital.

    >>> free_capital_uusd(700, [300], 1_000_000), free_capital_uusd(1_300, [-300], 1_000_000)
    (700, 700)
    >>> free_capital_uusd(700, [300], 500_000)
    200
    """
    worth = list(worth_uusd)
    capital = cash_uusd + sum(worth)
    return capital * leverage_e6 // RATIO_SCALE - sum(map(abs, worth))
