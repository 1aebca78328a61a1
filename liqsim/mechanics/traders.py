"""What accounts that act of their own will do: pure rules; processes decide when."""

import math
from enum import IntEnum

import attrs

from liqsim.mechanics.margin import (
    MARGIN_SCALE,
    MarginRule,
    initial_margin_uusd,
    pieces,
    scaled_margin,
)
from liqsim.mechanics.waterfall import FeeRates
from liqsim.scenario.model import (
    Anticipation,
    Leverage,
    Near,
    Rebalance,
    Return,
    Stop,
    Windows,
)
from liqsim.units import (
    NOTIONAL_DIVISOR,
    RATIO_SCALE,
    ceil_div,
    taker_cost_uusd,
)


class Habit(IntEnum):
    """What an account does when it comes near its liquidation."""

    HOLDS = 0
    TOPS_UP = 1
    REDUCES = 2
    CLOSES = 3


def habit_of(near: Near, uniform: float) -> Habit:
    """Return what the account does whose draw from (0, 1) is *uniform*."""
    bound = 0
    for habit, share_e6 in (
        (Habit.TOPS_UP, near.top_up_share_e6),
        (Habit.REDUCES, near.reduce_share_e6),
        (Habit.CLOSES, near.close_share_e6),
    ):
        bound += share_e6
        if uniform * RATIO_SCALE < bound:
            return habit
    return Habit.HOLDS


@attrs.frozen
class Account:
    """
    An isolated account, and what it is judged by.

    Attributes:
        cash_uusd: Its cash.
        quantity_e8: Its position; negative is short.
        entry_e8: Entry price of the position.
        rule: How the position counts in a margin, under the maintenance in force.
        mark_e8: The mark price.
        due_at_zero: Whether a margin of exactly zero is due.
    """

    cash_uusd: int
    quantity_e8: int
    entry_e8: int
    rule: MarginRule
    mark_e8: int
    due_at_zero: bool

    def is_due(self, buffer_e6: int = 0) -> bool:
        """Return whether its margin at (1 + buffer) x maintenance makes it due, or would."""
        return bool(self.quantity_e8) and self.margin(buffer_e6) < self.due_at_zero

    def is_allowed(self) -> bool:
        """Return whether the venue lets it trade to what it is: not due, nor in debt."""
        return not self.is_due() if self.quantity_e8 else self.cash_uusd >= 0

    def margin(self, buffer_e6: int = 0) -> int:
        """Return that margin, in USD x 1e-22."""
        of = pieces(self.rule, self.quantity_e8, self.entry_e8, buffer_e6)
        return scaled_margin(self.cash_uusd, [(of, self.mark_e8)])

    def has_initial_margin(self) -> bool:
        """Return whether its equity at the mark is what the position needs to be opened."""
        equity = self.cash_uusd + self.quantity_e8 * self.mark_e8 // NOTIONAL_DIVISOR
        return equity >= initial_margin_uusd(self.rule, abs(self.quantity_e8), self.mark_e8)

    def traded(self, quantity_e8: int, price_e8: int, fee_uusd: int) -> "Account":
        """Return what it is after a trade at an average price."""
        return attrs.evolve(
            self,
            cash_uusd=self.cash_uusd - taker_cost_uusd(quantity_e8, price_e8) - fee_uusd,
            quantity_e8=self.quantity_e8 + quantity_e8,
            entry_e8=entry_after_e8(self.quantity_e8, self.entry_e8, quantity_e8, price_e8),
        )


def top_up_uusd(account: Account, buffer_e6: int) -> int:
    """Return the least that makes *account* not due at (1 + buffer) x maintenance."""
    return max(ceil_div(account.due_at_zero - account.margin(buffer_e6), MARGIN_SCALE), 0)


def reduction_e8(quantity_e8: int, share_e6: int) -> int:
    """
    Return the order that trades a share of a position away, rounded up.

    >>> reduction_e8(-101, 500_000), reduction_e8(100, 1_000_000)
    (51, -100)
    """
    size = ceil_div(abs(quantity_e8) * share_e6, RATIO_SCALE)
    return -size if quantity_e8 > 0 else size


def entry_after_e8(quantity_e8: int, entry_e8: int, traded_e8: int, price_e8: int) -> int:
    """
    Return the entry price after a trade; 0 without a position.

    What is added enters at its price, and the mean by size is rounded against the account: up for
    a long, down for a short. What is traded away leaves the entry price of the rest as it is.

    >>> entry_after_e8(200, 90, 100, 100), entry_after_e8(-200, 90, -100, 100)
    (94, 93)
    >>> entry_after_e8(200, 90, -100, 100), entry_after_e8(200, 90, -200, 100)
    (90, 0)
    """
    after = quantity_e8 + traded_e8
    if not after:
        return 0
    if quantity_e8 * traded_e8 < 0:
        return entry_e8
    value = abs(quantity_e8) * entry_e8 + abs(traded_e8) * price_e8
    return ceil_div(value, after) if after > 0 else max(value // -after, 1)


def limit_e8(market_price_e8: int, order_e8: int, slippage_e6: int) -> int:
    """
    Return the worst price of an order: *slippage_e6* away from the market, rounded inwards.

    >>> limit_e8(1_000, -5, 100_000), limit_e8(1_000, 5, 100_000)
    (900, 1100)
    """
    if order_e8 < 0:
        return max(ceil_div(market_price_e8 * (RATIO_SCALE - slippage_e6), RATIO_SCALE), 1)
    return market_price_e8 * (RATIO_SCALE + slippage_e6) // RATIO_SCALE


def taker_fee_uusd(rate_e6: int, quantity_e8: int, price_e8: int) -> int:
    """Return the fee on a fill, rounded up."""
    return FeeRates(0, rate_e6).fee_uusd(abs(quantity_e8), 0, price_e8)


# Stops --------------------------------------------------------------------------------------------


def stop_distance_e6(stop: Stop, uniform: float, where: float) -> int | None:
    """Return how far from its entry price an account stops; None where it has no stop."""
    if uniform * RATIO_SCALE >= stop.share_e6:
        return None
    return stop.nearest_e6 + int(where * (stop.farthest_e6 - stop.nearest_e6 + 1))


def stop_e8(quantity_e8: int, entry_e8: int, distance_e6: int) -> int:
    """
    Return the mark at which a stop is reached, and beyond which it is.

    >>> stop_e8(1, 1_001, 100_000), stop_e8(-1, 1_001, 100_000)
    (900, 1102)
    """
    if quantity_e8 > 0:
        return max(entry_e8 * (RATIO_SCALE - distance_e6) // RATIO_SCALE, 1)
    return ceil_div(entry_e8 * (RATIO_SCALE + distance_e6), RATIO_SCALE)


def gain_e8(quantity_e8: int, entry_e8: int, gain_e6: int) -> int:
    """
    Return the mark at which a position has gained that share of its entry price.

    >>> gain_e8(1, 1_001, 100_000), gain_e8(-1, 1_001, 100_000)
    (1102, 900)
    """
    return stop_e8(-quantity_e8, entry_e8, gain_e6)


# Halts ahead --------------------------------------------------------------------------------------


def acts_from_e6(law: Anticipation, uniform: float) -> int:
    """
    Return the closeness to a halt from which an account trades ahead of it.

    It is the largest of `steepness` even draws between `from` and the bound, so that the share of
    accounts which act up to a closeness is ((closeness - from) / (1 - from)) ^ steepness.

    >>> law = Anticipation(10**6, 500_000, 2, 10**6, 1)
    >>> acts_from_e6(law, 0.25), acts_from_e6(law, 0.999)
    (750000, 999749)
    """
    room = RATIO_SCALE - law.from_e6
    return law.from_e6 + int(room * uniform ** (1 / law.steepness))


# Returns ------------------------------------------------------------------------------------------


def return_us(windows: Windows, at_us: int) -> int | None:
    """
    Return the first instant from *at_us* on that is in *windows*; None if there is none.

    >>> return_us(((10, 20),), 4), return_us(((10, 20),), 15), return_us(((10, 20),), 20)
    (10, 15, None)
    """
    if not windows:
        return at_us
    return next((max(start, at_us) for start, end in windows if at_us < end), None)


def is_inside(windows: Windows, at_us: int) -> bool:
    """
    Return whether *at_us* is in one of *windows*, or there are none.

    >>> is_inside(((10, 20),), 10), is_inside(((10, 20),), 20), is_inside((), 5)
    (True, False, True)
    """
    return not windows or any(start <= at_us < end for start, end in windows)


def share_of_uusd(amount_uusd: int, share_e6: int) -> int:
    """Return a share of an amount, rounded down."""
    return amount_uusd * share_e6 // RATIO_SCALE


def return_size_uusd(spec: Return, start_uusd: int, normal: float) -> int:
    """Return the value of a position that is opened again, from that at the start."""
    return int(start_uusd * (spec.size_e6 / RATIO_SCALE) * math.exp(spec.size_sigma * normal))


def leverage_of(law: Leverage, normal: float) -> float:
    """Return the leverage at a standard *normal* quantile of a cohort's law."""
    return min(max(law.median * math.exp(law.sigma * normal), law.low), law.high)


def units_worth_e8(value_uusd: int, price_e8: int) -> int:
    """Return the units that *value_uusd* buys at a price, rounded down."""
    return value_uusd * NOTIONAL_DIVISOR // price_e8


def collateral_uusd(value_uusd: int, leverage: float) -> int:
    """Return what a position of *value_uusd* at *leverage* needs, rounded up."""
    return math.ceil(value_uusd / leverage)


def start_leverage_e6(account: Account) -> int:
    """
    Return the leverage at which an account that has not traded yet holds its position.

    >>> start_leverage_e6(Account(-90 * 10**6, 10**8, 10**10, MarginRule(()), 1, due_at_zero=False))
    10000000
    """
    value = abs(account.quantity_e8) * account.entry_e8 // NOTIONAL_DIVISOR
    collateral = account.cash_uusd + taker_cost_uusd(account.quantity_e8, account.entry_e8)
    return value * RATIO_SCALE // max(collateral, 1)


# Rebalancing --------------------------------------------------------------------------------------


def target_leverage_e6(spec: Rebalance, volatility: float | None) -> int:
    """
    Return the multiple of equity to trade to.

    With a target volatility it is target / volatility, at most the target leverage, and the target
    leverage itself while there is no volatility to divide by.
    """
    if spec.target_volatility is None or not volatility:
        return spec.target_leverage_e6
    return min(int(spec.target_volatility / volatility * RATIO_SCALE), spec.target_leverage_e6)


def rebalancing_e8(account: Account, leverage_e6: int) -> int:
    """
    Return the order that takes an account to *leverage_e6* times its equity at the mark.

    The target is rounded down in units, and has the side of the position. None of an account
    without a position or without equity.

    >>> account = Account(-90 * 10**6, 10**10, 10**8, MarginRule(()), 98 * 10**6, due_at_zero=False)
    >>> rebalancing_e8(account, 10 * 10**6)  # 100 at 0.98 on 8 of equity: 80 / 0.98 are its due.
    -1836734694
    """
    quantity, mark = account.quantity_e8, account.mark_e8
    # In USD x 1e-16, so that nothing is rounded before the units are.
    equity = account.cash_uusd * NOTIONAL_DIVISOR + quantity * mark
    if not quantity or equity <= 0:
        return 0
    target = equity * leverage_e6 // (mark * RATIO_SCALE)
    return (target if quantity > 0 else -target) - quantity
