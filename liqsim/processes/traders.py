"""Traders: accounts that top up, trade and leave of their own will, some time after a reason."""

from functools import partial

import attrs

from liqsim.events import FundsDeposited, FundsWithdrawn, TradeFilled, TradeReason
from liqsim.mechanics.crossing import CrossingIndex
from liqsim.mechanics.liquidity import displaced_price_e8
from liqsim.mechanics.margin import trigger_price_e8, weight_e14, with_buffer
from liqsim.mechanics.traders import (
    Account,
    Habit,
    habit_of,
    limit_e8,
    reduction_e8,
    taker_fee_uusd,
    top_up_uusd,
)
from liqsim.processes.context import Context, MarketDesk, Priority
from liqsim.processes.venue import Venue
from liqsim.rng import Stream, lognormal_us
from liqsim.scenario.model import Traders as Spec
from liqsim.units import taker_cost_uusd


@attrs.define(eq=False)
class _Group:
    """The accounts of one cohort: who they are, how they act, and what draws for them."""

    spec: Spec
    desk: MarketDesk
    first_bucket: int
    reactions: Stream


@attrs.define(eq=False)
class _Trader:
    """One account: what it does near its liquidation, and how far it has come."""

    group: _Group
    habit: Habit
    reactions: int = 0
    top_ups: int = 0
    is_reacting: bool = False


class Traders:
    """
    Has accounts act when a reason and their reaction time have passed.

    Nobody acts while in liquidation: the venue has the position then.

    Args:
        context: The run.
        venue: Judges and watches their accounts.
    """

    def __init__(self, context: Context, venue: Venue) -> None:
        self._context = context
        self._venue = venue
        self._ledger = context.world.ledger
        self._fee_e6 = context.scenario.venue.fees.taker_e6
        self._due_at_zero = context.scenario.venue.due_at_zero
        self._near = [CrossingIndex() for _ in context.markets]
        self._traders: dict[int, _Trader] = {}
        desks = {desk.spec.name: desk for desk in context.markets}
        first = context.first_bucket
        for cohort in context.scenario.population.cohorts:
            if cohort.traders is not None:
                stream = partial(Stream, context.scenario.seed, f"traders.{cohort.name}")
                group = _Group(cohort.traders, desks[cohort.market], first, stream("reaction"))
                self._enter(group, stream("habit").uniforms(0, cohort.accounts))
            first += cohort.accounts

    def _enter(self, group: _Group, habits: list[float]) -> None:
        for row, uniform in enumerate(habits):
            near = group.spec.near
            habit = Habit.HOLDS if near is None else habit_of(near, uniform)
            self._traders[group.first_bucket + row] = _Trader(group, habit)

    def start(self) -> None:
        """Watch every account that acts, from the balances of the start on."""
        self._venue.follow(self)
        for bucket in self._traders:
            self.watch(bucket)

    # Told by the venue --------------------------------------------------------------------------

    def judged(self, desk: MarketDesk, seq: int) -> None:
        """Have whoever is near its liquidation at the mark react to event *seq*."""
        for bucket in sorted(self._near[desk.market_id].crossed(desk.state.mark_e8)):
            if not self._is_in_liquidation(bucket):
                self._plan(bucket, seq)

    def maintenance_changed(self, desk: MarketDesk) -> None:
        """Watch the accounts of a market at the maintenance that is now in force."""
        for bucket, trader in self._traders.items():
            if trader.group.desk is desk:
                self.watch(bucket)

    def watch(self, bucket: int) -> None:
        """Watch *bucket*, unless it holds or is about to act, by what would bring it near."""
        trader = self._traders.get(bucket)
        if trader is None or trader.habit is Habit.HOLDS or trader.is_reacting:
            return
        near, desk = trader.group.spec.near, trader.group.desk
        assert near is not None
        quantity = self._ledger.unit_views[desk.market_id][bucket]
        index, level = self._near[desk.market_id], None
        if quantity and not self._is_in_liquidation(bucket) and not self._is_tired(trader):
            weight = with_buffer(weight_e14(desk.tiers, abs(quantity)), near.alert_buffer_e6)
            cash, at_zero = self._ledger.cash_view[bucket], self._due_at_zero
            level = trigger_price_e8(cash, quantity, weight, due_at_zero=at_zero)
        if level is None:
            index.remove(bucket)
        else:
            index.add(bucket, level, is_falling=quantity > 0)

    def _is_in_liquidation(self, bucket: int) -> bool:
        return bool(self._context.world.liquidation_seq[bucket] >= 0)

    def _is_tired(self, trader: _Trader) -> bool:
        near = trader.group.spec.near
        assert near is not None
        return trader.habit is Habit.TOPS_UP and trader.top_ups >= near.top_up_times

    # Near the liquidation -----------------------------------------------------------------------

    def _plan(self, bucket: int, seq: int) -> None:
        trader = self._traders[bucket]
        trader.is_reacting = True
        delay = self._delay_us(trader, bucket)
        trader.reactions += 1
        self._context.call(delay, Priority.TRADER, self._react, bucket, seq)

    def _delay_us(self, trader: _Trader, bucket: int) -> int:
        """Return the reaction time, which is never none: what is seen is acted on later."""
        law, group = trader.group.spec.reaction, trader.group
        normal = group.reactions.normal_at(bucket - group.first_bucket, trader.reactions)
        return max(lognormal_us(law.median_us, law.p99_us, normal), 1)

    def _react(self, bucket: int, seq: int) -> None:
        trader = self._traders[bucket]
        trader.is_reacting = False
        if self._is_in_liquidation(bucket):
            return  # Watched again when that is over.
        account, near = self._account(bucket, trader.group.desk), trader.group.spec.near
        assert near is not None
        if account.is_due(near.alert_buffer_e6):
            match trader.habit:
                case Habit.TOPS_UP:
                    amount = top_up_uusd(account, near.top_up_to_e6)
                    self._context.journal.append(FundsDeposited(bucket, amount), seq)
                    trader.top_ups += 1
                    self._venue.balances_changed(bucket)
                case Habit.REDUCES:
                    order = reduction_e8(account.quantity_e8, near.reduce_by_e6)
                    self._trade(bucket, order, TradeReason.REDUCED, seq)
                case Habit.CLOSES:
                    self._trade(bucket, -account.quantity_e8, TradeReason.CLOSED, seq)
        self.watch(bucket)

    def _account(self, bucket: int, desk: MarketDesk) -> Account:
        return Account(
            cash_uusd=self._ledger.cash_view[bucket],
            quantity_e8=self._ledger.unit_views[desk.market_id][bucket],
            entry_e8=int(self._context.world.entry_e8[desk.market_id, bucket]),
            tiers=desk.tiers,
            mark_e8=desk.state.mark_e8,
            due_at_zero=self._due_at_zero,
        )

    # Orders -------------------------------------------------------------------------------------

    def _trade(self, bucket: int, order_e8: int, reason: TradeReason, cause: int) -> None:
        """
        Send an order to the book; what it gets within the slippage is traded, the rest is not.

        The venue refuses a fill that would leave the account due at the mark.
        """
        group, now = self._traders[bucket].group, self._context.now_us
        desk = group.desk
        book, reference = desk.state.book, desk.path.at(now)
        market = displaced_price_e8(reference, desk.liquidity.displacement(book, now))
        limit = limit_e8(market, order_e8, group.spec.slippage_e6)
        fill = desk.liquidity.fill(book, now, reference, order_e8, limit)
        if fill is None:
            return
        fee = taker_fee_uusd(self._fee_e6, fill.quantity_e8, fill.price_e8)
        account = self._account(bucket, desk).traded(fill.quantity_e8, fill.price_e8, fee)
        if not account.is_allowed():
            return
        event = TradeFilled(
            bucket_id=bucket,
            market_id=desk.market_id,
            reason=reason,
            ordered_e8=order_e8,
            quantity_e8=fill.quantity_e8,
            price_e8=fill.price_e8,
            cost_uusd=taker_cost_uusd(fill.quantity_e8, fill.price_e8),
            fee_uusd=fee,
            entry_price_e8=account.entry_e8,
            mark_price_e8=desk.state.mark_e8,
            reference_price_e8=reference,
            market_price_e8=fill.market_price_e8,
        )
        seq = self._context.journal.append(event, cause)
        self._context.book_changed(desk.market_id)
        if not account.quantity_e8 and account.cash_uusd:
            self._context.journal.append(FundsWithdrawn(bucket, account.cash_uusd), seq)
        self._venue.balances_changed(bucket)
