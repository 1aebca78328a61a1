"""
Who is due, by looking at every account in turn, in Python integers.

Written from the definition alone: margin = cash + quantity x price - price x the units that
maintenance asks for. Nothing here is fast, and nothing is shared with what it judges.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction

Tiers = Sequence[tuple[int, int]]
"""(from_units_e8, rate_e6): the rate on the part of a position above that size."""

ONE_UUSD = 10**16
"""Scaled margins (USD x 1e-22) in a micro-USD."""


def slope_e14(quantity_e8: int, tiers: Tiers) -> int:
    """Return quantity less the units that maintenance asks for, in 1e-14 units."""
    size, asked = abs(quantity_e8), 0
    for number, (start, rate) in enumerate(tiers):
        is_last = number == len(tiers) - 1
        end = size if is_last else min(tiers[number + 1][0], size)
        asked += rate * max(end - start, 0)
    return quantity_e8 * 10**6 - asked


def scaled_margin(cash_uusd: int, quantity_e8: int, price_e8: int, tiers: Tiers) -> int:
    """Return the margin of one account in USD x 1e-22, exact."""
    return cash_uusd * ONE_UUSD + price_e8 * slope_e14(quantity_e8, tiers)


def is_due(margin: int, *, due_at_zero: bool) -> bool:
    """Return whether an account of this margin is due."""
    return margin < 0 or (margin == 0 and due_at_zero)


def due_accounts(
    accounts: Iterable[tuple[int, int, int]], price_e8: int, tiers: Tiers, *, due_at_zero: bool
) -> list[int]:
    """
    Return the due ones of *accounts* (number, cash, quantity), weakest margin ratio first.

    An account without a position is never due, whatever it owes.
    """
    found = []
    for number, cash, quantity in accounts:
        margin = scaled_margin(cash, quantity, price_e8, tiers)
        if quantity and is_due(margin, due_at_zero=due_at_zero):
            found.append((Fraction(margin, abs(quantity) * price_e8), number))
    return [number for _, number in sorted(found)]
