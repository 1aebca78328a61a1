"""
Margin and bankruptcy price, in formulas of the read side's own.

Everything is exact: margins are integers of 1e-22 USD (price 1e-8 x units 1e-8 x rate 1e-6).
"""

from collections.abc import Iterable, Sequence
from typing import Final

import attrs

E22_PER_UUSD: Final = 10**16
_E6: Final = 10**6


@attrs.frozen
class LegRule:
    """
    How a position counts in a margin.

    Attributes:
        tiers: (start, rate_e6) of the maintenance margin, starts in 1e-8 units or in 1e-6 USD.
        is_by_notional: Whether a tier is a part of the notional, not of the size.
        unrealised_haircut_e6: Share of an unrealised profit that does not count.
        initial: (start, rate_e6) of the initial margin, likewise; empty where there is none.
        is_inverse: Whether a position is a number of dollars, its notional at the entry price.
        coin_haircut_e6: Share of the value of coins that does not count.
    """

    tiers: tuple[tuple[int, int], ...] = ()
    is_by_notional: bool = False
    unrealised_haircut_e6: int = 0
    initial: tuple[tuple[int, int], ...] = ()
    is_inverse: bool = False
    coin_haircut_e6: int = 0

    def price_that_counts(self, entry_e8: int, price_e8: int) -> int:
        """Return the price at which maintenance values a position."""
        return entry_e8 if self.is_inverse else price_e8

    @property
    def as_initial(self) -> "LegRule":
        """The rule with initial margin for maintenance."""
        return attrs.evolve(self, tiers=self.initial)

    @property
    def is_straight(self) -> bool:
        """Whether what a position adds to a margin is in proportion to its price."""
        return not (self.is_by_notional or self.unrealised_haircut_e6)


Leg = tuple[LegRule, int, int, int, int]
"""Rule, quantity_e8, entry price, coins_e8 beside it, price."""


def maintenance_e22(rule: LegRule, quantity_e8: int, price_e8: int) -> int:
    """
    Return the maintenance margin of a position at the price that counts for it.

    Each tier's rate counts from its start upwards, in place of the rate below it.

    >>> maintenance_e22(LegRule(((0, 5_000), (200 * 10**8, 10_000))), -300 * 10**8, 10**8) // 10**22
    2
    >>> by_notional = LegRule(((0, 5_000), (200 * 10**6, 10_000)), is_by_notional=True)
    >>> maintenance_e22(by_notional, -150 * 10**8, 2 * 10**8) // 10**22
    2
    """
    if rule.is_by_notional:
        notional_e16 = abs(quantity_e8) * price_e8
        return _asked([(start * 10**10, rate) for start, rate in rule.tiers], notional_e16)
    return _asked(rule.tiers, abs(quantity_e8)) * price_e8


def slope_e14(rule: LegRule, quantity_e8: int) -> int:
    """
    Return what a leg under a straight rule adds to the margin per unit of its price.

    >>> slope_e14(LegRule(((0, 5_000),)), -(10**8))
    -100500000000000
    """
    return quantity_e8 * _E6 - _asked(rule.tiers, abs(quantity_e8))


def _asked(tiers: Sequence[tuple[int, int]], size: int) -> int:
    total, below = 0, 0
    for start, rate in tiers:
        total += (rate - below) * max(size - start, 0)
        below = rate
    return total


def margin_e22(cash_uusd: int, legs: Iterable[Leg], *, buffer_e6: int = 0) -> int:
    """
    Return cash + position values - maintenance x (1 + buffer) - what of profits does not count.

    Coins are worth their price less the haircut. Rounded down for the buffer.
    """
    total = cash_uusd * E22_PER_UUSD
    for rule, quantity, entry, coins, price in legs:
        maintenance = maintenance_e22(rule, quantity, rule.price_that_counts(entry, price))
        total += coins * price * (_E6 - rule.coin_haircut_e6)
        total += quantity * price * _E6 - -(-maintenance * (_E6 + buffer_e6) // _E6)
        total -= rule.unrealised_haircut_e6 * max(quantity * (price - entry), 0)
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
