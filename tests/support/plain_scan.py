"""
Who is due, by looking at every account in turn, in Python integers.

Written from the definition alone: margin = cash + quantity x price - price x the units that
maintenance asks for. Nothing here is fast, and nothing is shared with what it judges.
"""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

import attrs

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


# With kinks ---------------------------------------------------------------------------------------


@attrs.frozen
class KinkedRule:
    """
    How a position counts.

    Attributes:
        tiers: (start, rate_e6), starts in 1e-8 units or in 1e-6 USD.
        is_by_notional: Which of the two.
        haircut_e6: Share of an unrealised profit that does not count.
        is_inverse: Whether maintenance is asked at the entry price.
        coin_haircut_e6: Share of the value of coins that does not count.
    """

    tiers: Tiers
    is_by_notional: bool = False
    haircut_e6: int = 0
    is_inverse: bool = False
    coin_haircut_e6: int = 0

    def counted_at(self, entry_e8: int, price_e8: int) -> int:
        """Return the price at which a position's notional counts."""
        return entry_e8 if self.is_inverse else price_e8

    def share(self, quantity_e8: int, entry_e8: int, price_e8: int, buffer_e6: int = 0) -> int:
        """Return what a position adds to a margin, in USD x 1e-22."""
        value, asked = quantity_e8 * price_e8 * 10**6, 0
        counted_e8 = self.counted_at(entry_e8, price_e8)
        for number, (start, rate) in enumerate(self.tiers):
            size = abs(quantity_e8) * (counted_e8 if self.is_by_notional else 1)
            scale = 10**10 if self.is_by_notional else 1
            end = size
            if number < len(self.tiers) - 1:
                end = min(self.tiers[number + 1][0] * scale, size)
            asked += rate * max(end - start * scale, 0) * (1 if self.is_by_notional else counted_e8)
        asked += -(-asked * buffer_e6 // 10**6)
        profit = quantity_e8 * (price_e8 - entry_e8)
        return value - asked - (self.haircut_e6 * profit if profit > 0 else 0)


def due_buckets(
    buckets: Mapping[int, tuple[int, Sequence[tuple[int, ...]]]],
    market: int,
    prices_e8: Sequence[int],
    rules: Sequence[KinkedRule],
    *,
    due_at_zero: bool,
) -> list[int]:
    """
    Return the due ones with a leg in *market*, weakest margin per notional first.

    A bucket is (cash, (quantity, entry price, and coins if it has any) in every market).
    """
    found = []
    for number, (cash, legs) in buckets.items():
        margin, notional = cash * ONE_UUSD, 0
        for (quantity, entry, *coins), price, rule in zip(legs, prices_e8, rules, strict=True):
            margin += rule.share(quantity, entry, price)
            margin += sum(coins) * price * (10**6 - rule.coin_haircut_e6)
            notional += abs(quantity) * rule.counted_at(entry, price)
        if legs[market][0] and is_due(margin, due_at_zero=due_at_zero):
            found.append((Fraction(margin, notional), number))
    return [number for _, number in sorted(found)]
