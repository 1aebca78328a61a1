"""
The margin equation of a bucket and the prices that follow from it.

margin = cash + sum over legs of phi(price). Of a perp, phi is concave in its own price: it is the
least of a few lines, its *pieces*. Maintenance by units makes one piece, price x (quantity -
weight) with weight = sum of tier rate x the part of |quantity| in it; every tier by notional is a
piece, and a haircut on unrealised profit makes two of each. An inverse contract is a number of
dollars, |quantity| x entry price: its maintenance is constant. Coins that are collateral add to the
slope of every piece. So a bucket with one leg is due from the first price at which one of its
pieces is.
All tests are exact: margins are compared in USD x 1e-22 as Python integers.
"""

from collections.abc import Iterable
from functools import cache

import attrs

from liqsim.scenario.model import MarginTerms, Market, Scenario
from liqsim.units import NOTIONAL_DIVISOR, RATIO_SCALE, ceil_div

Tiers = tuple[tuple[int, int], ...]
"""(start, rate_e6), the first from 0, rates not falling; starts in 1e-8 units or 1e-6 USD."""

Pieces = tuple[tuple[int, int], ...]
"""(slope, constant) of lines in the price: slopes in 1e-14 units, constants in USD x 1e-22."""

MARGIN_SCALE = NOTIONAL_DIVISOR * RATIO_SCALE
"""Scaled margins per micro-USD."""


def weight_e14(tiers: Tiers, size_e8: int) -> int:
    """
    Return units that maintenance asks for a position of *size_e8* >= 0, in 1e-14.

    >>> weight_e14(((0, 5_000), (200 * 10**8, 10_000)), 300 * 10**8) / 10**14
    2.0
    """
    weight = previous = 0
    for start, rate in tiers:  # Most positions end in the first tier: no table is faster.
        if size_e8 <= start:
            break
        # A marginal rate adds its increment on the part above its own start.
        weight += (rate - previous) * (size_e8 - start)
        previous = rate
    return weight


@attrs.frozen
class MarginRule:
    """
    How positions in a market count in a margin.

    Attributes:
        tiers: Maintenance tiers.
        is_by_notional: Whether they start at notionals in 1e-6 USD, at the price that counts, not
            at sizes in 1e-8 units.
        unrealised_haircut_e6: Share of an unrealised profit that does not count.
        initial: Tiers of the initial margin, which start likewise; empty where none is asked for.
        is_inverse: Whether the notional that counts is that at the entry price.
        coin_haircut_e6: Share of the value of coins that does not count.
    """

    tiers: Tiers
    is_by_notional: bool = False
    unrealised_haircut_e6: int = 0
    initial: Tiers = ()
    is_inverse: bool = False
    coin_haircut_e6: int = 0

    def price_that_counts(self, price_e8: int, entry_e8: int) -> int:
        """Return the price at which maintenance values a position."""
        return entry_e8 if self.is_inverse else price_e8


def margin_rule(market: Market, terms: MarginTerms) -> MarginRule:
    """Return the rule of a market at the start."""
    is_by_notional = not market.maintenance
    return MarginRule(
        tiers=market.maintenance_usd if is_by_notional else market.maintenance,
        is_by_notional=is_by_notional,
        unrealised_haircut_e6=terms.unrealised_haircut_e6,
        initial=market.initial_usd if is_by_notional else market.initial,
        is_inverse=market.is_inverse,
        coin_haircut_e6=terms.coin_haircut_e6,
    )


def margin_rules(scenario: Scenario) -> tuple[MarginRule, ...]:
    """Return the rule of every market at the start."""
    return tuple(margin_rule(market, scenario.venue.margin) for market in scenario.markets)


@cache
def rule_in_force(
    rule: MarginRule, multiplier_e6: int, coin_haircut_e6: int | None = None
) -> MarginRule:
    """
    Return *rule* with every rate times a multiplier, rounded up, and perhaps another haircut.

    >>> rule_in_force(MarginRule(((0, 5_000), (200 * 10**8, 10_001))), 1_500_000).tiers
    ((0, 7500), (20000000000, 15002))
    """
    tiers = tuple(
        (start, ceil_div(rate * multiplier_e6, RATIO_SCALE)) for start, rate in rule.tiers
    )
    initial = tuple((start, ceil_div(r * multiplier_e6, RATIO_SCALE)) for start, r in rule.initial)
    haircut_e6 = rule.coin_haircut_e6 if coin_haircut_e6 is None else coin_haircut_e6
    return attrs.evolve(rule, tiers=tiers, initial=initial, coin_haircut_e6=haircut_e6)


@cache
def initial_rule(rule: MarginRule) -> MarginRule:
    """Return *rule* with initial margin in the place of maintenance."""
    return attrs.evolve(rule, tiers=rule.initial)


def credits_of(tiers: Tiers) -> tuple[int, ...]:
    """
    Return what each tier by notional takes off rate x notional, in USD x 1e-22.

    Maintenance is the largest over tiers of rate x notional - credit: rates do not fall.
    """
    credit = previous = 0
    taken_off = []
    for start, rate in tiers:
        credit += (rate - previous) * start * NOTIONAL_DIVISOR
        previous = rate
        taken_off.append(credit)
    return tuple(taken_off)


def _asked(
    rule: MarginRule, size_e8: int, entry_e8: int, buffer_e6: int
) -> Iterable[tuple[int, int]]:
    """Yield (weight, credit): maintenance is the largest of price x weight - credit."""
    if rule.is_inverse:
        asked = maintenance_at(rule, size_e8, entry_e8)
        return ((0, -(with_buffer(asked, buffer_e6) if buffer_e6 else asked)),)
    return _lines(rule, size_e8, buffer_e6)


def _lines(rule: MarginRule, size_e8: int, buffer_e6: int) -> Iterable[tuple[int, int]]:
    """Yield the same in the price that counts."""
    if not rule.is_by_notional:
        weight = weight_e14(rule.tiers, size_e8)
        return ((with_buffer(weight, buffer_e6) if buffer_e6 else weight, 0),)
    lines = zip(rule.tiers, credits_of(rule.tiers), strict=True)
    if not buffer_e6:
        return [(rate * size_e8, credit) for (_, rate), credit in lines]
    raised = RATIO_SCALE + buffer_e6
    return [
        (with_buffer(rate * size_e8, buffer_e6), credit * raised // RATIO_SCALE)
        for (_, rate), credit in lines
    ]


def pieces(
    rule: MarginRule, quantity_e8: int, entry_e8: int, buffer_e6: int = 0, coins_e8: int = 0
) -> Pieces:
    """
    Return what a position adds to its bucket's margin, with maintenance raised by a buffer.

    The coins of its market that the bucket has are counted with it.

    >>> usd = 10**22
    >>> by_notional = MarginRule(((0, 10_000), (500 * 10**6, 50_000)), is_by_notional=True)
    >>> [(s / 10**14, c / usd) for s, c in pieces(by_notional, 10 * 10**8, 0)]
    [(9.9, 0.0), (9.5, 20.0)]
    """
    held = quantity_e8 * RATIO_SCALE
    if coins_e8:
        held += coins_e8 * (RATIO_SCALE - rule.coin_haircut_e6)
    if not (rule.is_by_notional or rule.unrealised_haircut_e6 or buffer_e6 or rule.is_inverse):
        return ((held - weight_e14(rule.tiers, abs(quantity_e8)), 0),)  # By far the most common.
    plain = tuple(
        (held - weight, credit)
        for weight, credit in _asked(rule, abs(quantity_e8), entry_e8, buffer_e6)
    )
    if not rule.unrealised_haircut_e6:
        return plain
    # Of a profit quantity x (price - entry) a share does not count: lower only if there is one.
    cut = rule.unrealised_haircut_e6 * quantity_e8
    return plain + tuple((slope - cut, constant + cut * entry_e8) for slope, constant in plain)


def phi(of: Pieces, price_e8: int) -> int:
    """Return what a position of these pieces adds to a margin at a price, in USD x 1e-22."""
    if len(of) == 1:
        return of[0][0] * price_e8 + of[0][1]
    return min(slope * price_e8 + constant for slope, constant in of)


def maintenance_at(rule: MarginRule, size_e8: int, price_e8: int) -> int:
    """
    Return the maintenance margin of a position of *size_e8* >= 0, in USD x 1e-22.

    The price is the one that counts: of an inverse contract that of its entry.
    """
    return max(weight * price_e8 - credit for weight, credit in _lines(rule, size_e8, 0))


def initial_margin_uusd(rule: MarginRule, size_e8: int, price_e8: int) -> int:
    """
    Return what an account must have to open a position of *size_e8* >= 0, in 1e-6 USD, rounded up.

    Of several legs, the sum; equity at the prices of their entry must not be below it. Zero where
    the market asks for none.

    >>> rule = MarginRule(((0, 10_000),), initial=((0, 20_000), (5 * 10**8, 50_000)))
    >>> initial_margin_uusd(rule, 10 * 10**8, 100 * 10**8) / 10**6  # 2 % of 500, 5 % of 500.
    35.0
    """
    if not rule.initial:
        return 0
    return ceil_div(maintenance_at(initial_rule(rule), size_e8, price_e8), MARGIN_SCALE)


def scaled_margin(cash_uusd: int, legs: Iterable[tuple[Pieces, int]]) -> int:
    """Return margin x MARGIN_SCALE of *cash* and *legs* (pieces, price_e8)."""
    margin = cash_uusd * MARGIN_SCALE
    for of, price in legs:
        margin += phi(of, price)
    return margin


def with_buffer(weight: int, buffer_e6: int) -> int:
    """Return *weight* raised by the restore buffer, rounded up."""
    return ceil_div(weight * (RATIO_SCALE + buffer_e6), RATIO_SCALE)


def trigger_price_e8(
    cash_uusd: int, of: Pieces, *, is_long: bool, due_at_zero: bool = False
) -> int | None:
    """
    Return the price nearest to safety at which a one-leg bucket is due; None if no price makes it.

    A long is due at that price and every lower one, a short at it and every higher one.

    >>> ten = pieces(MarginRule(((0, 10_000),)), 10 * 10**8, 0)
    >>> trigger_price_e8(-900 * 10**6, ten, is_long=True)  # 10 units, 1 %: 900 / 9.9
    9090909090
    """
    falling, rising = due_prices_e8(cash_uusd, of, due_at_zero=due_at_zero)
    return falling if is_long else rising


def due_prices_e8(
    cash_uusd: int, of: Pieces, *, due_at_zero: bool = False
) -> tuple[int | None, int | None]:
    """
    Return the price at and below which a one-leg bucket is due, and that at and above which it is.

    A position alone has one of them; coins beside a short turn some of its pieces round, or all.

    >>> short_with_coins = pieces(MarginRule(((0, 0),)), -(10**8), 0, coins_e8=3 * 10**8)
    >>> due_prices_e8(-80 * 10**6, short_with_coins)
    (3999999999, None)
    """
    cash = cash_uusd * MARGIN_SCALE
    falling, rising = 0, None
    for slope, constant in of:
        amount = cash + constant
        if slope > 0:
            # Due iff price x slope < -amount.
            below = -amount // slope if due_at_zero else ceil_div(-amount, slope) - 1
            falling = max(falling, below)
        elif slope < 0:
            above = ceil_div(amount, -slope) if due_at_zero else amount // -slope + 1
            rising = max(above if rising is None else min(rising, above), 1)
        elif amount < 0 or (amount == 0 and due_at_zero):
            rising = 1
    return falling or None, rising


def safe_prices_e8(
    cash_uusd: int, of: Pieces, *, due_at_zero: bool = False
) -> tuple[int, int | None] | None:
    """Return lowest and highest price at which a bucket is not due, if any; None is no bound."""
    below, above = due_prices_e8(cash_uusd, of, due_at_zero=due_at_zero)
    low, high = (below or 0) + 1, None if above is None else above - 1
    return None if high is not None and low > high else (low, high)


def bankruptcy_price_e8(cash_uusd: int, quantity_e8: int) -> int:
    """
    Return the price at which equity is zero; 0 if no positive price does it.

    The quantity is all that moves with the price: units of the position, and coins. Rounded so that
    closing there leaves the bucket at zero or above: up for a long, down for a short.

    >>> bankruptcy_price_e8(-900 * 10**6, 10 * 10**8), bankruptcy_price_e8(1_100 * 10**6, -10**9)
    (9000000000, 11000000000)
    """
    if quantity_e8 > 0:
        return max(ceil_div(-cash_uusd * NOTIONAL_DIVISOR, quantity_e8), 0)
    return max(cash_uusd * NOTIONAL_DIVISOR // -quantity_e8, 0) if quantity_e8 else 0
