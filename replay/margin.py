"""
Margin and bankruptcy price, in formulas of the read side's own.

Everything is exact: margins are integers of 1e-22 USD (price 1e-8 x units 1e-8 x rate 1e-6).
"""

from collections.abc import Iterable, Sequence
from typing import Final

E22_PER_UUSD: Final = 10**16
_E6: Final = 10**6


def maintenance_e22(tiers: Sequence[tuple[int, int]], quantity_e8: int, price_e8: int) -> int:
    """
    Return the maintenance margin of a position.

    Each tier's rate counts from its start upwards, in place of the rate below it.

    >>> maintenance_e22([(0, 5_000), (200 * 10**8, 10_000)], -300 * 10**8, 10**8) // 10**22
    2
    """
    return _asked_e14(tiers, abs(quantity_e8)) * price_e8


def slope_e14(tiers: Sequence[tuple[int, int]], quantity_e8: int) -> int:
    """
    Return what a leg adds to the margin per unit of its price, in 1e-14 units.

    >>> slope_e14([(0, 5_000)], -(10**8))
    -100500000000000
    """
    return quantity_e8 * _E6 - _asked_e14(tiers, abs(quantity_e8))


def _asked_e14(tiers: Sequence[tuple[int, int]], size_e8: int) -> int:
    total, below = 0, 0
    for start, rate in tiers:
        total += (rate - below) * max(size_e8 - start, 0)
        below = rate
    return total


def margin_e22(
    cash_uusd: int,
    legs: Iterable[tuple[Sequence[tuple[int, int]], int, int]],
    *,
    buffer_e6: int = 0,
) -> int:
    """
    Return cash + position values - maintenance x (1 + buffer), rounded down for the buffer.

    A leg is (tiers, quantity_e8, price_e8).
    """
    total = cash_uusd * E22_PER_UUSD
    for tiers, quantity, price in legs:
        maintenance = maintenance_e22(tiers, quantity, price)
        total += quantity * price * _E6 - -(-maintenance * (_E6 + buffer_e6) // _E6)
    return total


def bankruptcy_price_e8(cash_uusd: int, quantity_e8: int) -> int:
    """
    Return the price at which equity is zero, up for a long, down for a short; 0 if there is none.

    >>> bankruptcy_price_e8(-90_000_001, 10**8), bankruptcy_price_e8(90_000_001, -3 * 10**8)
    (9000000100, 3000000033)
    """
    if quantity_e8 == 0:
        return 0
    exact = -cash_uusd * 10**10
    rounded = -(-exact // quantity_e8) if quantity_e8 > 0 else exact // quantity_e8
    return max(rounded, 0)
