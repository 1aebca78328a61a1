"""Traders: accounts that top up, trade, leave and return, some time after a reason."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import Final

import attrs

from liqsim.events import TradeReason
from liqsim.events.mitigation import NOT_OBSERVED
from liqsim.mechanics.arrivals import Reserved
from liqsim.mechanics.crossing import CrossingIndex
from liqsim.mechanics.margin import pieces, trigger_price_e8
from liqsim.mechanics.traders import (
    Habit,
    acts_from_e6,
    gain_e8,
    habit_of,
    leverage_of,
    rebalancing_e8,
    reduction_e8,
    return_size_uusd,
    return_us,
    start_leverage_e6,
    stop_distance_e6,
    stop_e8,
    top_up_uusd,
)
from liqsim.processes.arrivals import Arrivals
from liqsim.processes.context import Context, MarketDesk, Priority
from liqsim.processes.orders import Orders
from liqsim.processes.rebalancing import Rebalancing
from liqsim.processes.venue import Venue
from liqsim.rng import Stream, lognormal_us
from liqsim.scenario.model import Anticipation, Cohort, Latency, Relever
from liqsim.scenario.model import Traders as Spec
from liqsim.units import NOTIONAL_DIVISOR, RATIO_SCALE

_FIRST_ROW_OF_ARRIVALS: Final = 2**32
"""Draws for who arrives go by the candidate, apart from those for accounts of the start."""

Reaction = Callable[[int, int], None]
"""What an account does, called with its number and the event that it reacts to."""


@attrs.define(eq=False)
class _Group:
    """The accounts of one cohort: who they are, how they act, and what draws for them."""

    cohort: Cohort
    spec: Spec
    desk: MarketDesk
    first_bucket: int
    habits: Stream
    stops: Stream
    relevers: Stream
    anticipators: Stream
    closenesses: Stream
    reactions: Stream
    returns: Stream
    return_delays: Stream
    leverages: Stream


@attrs.define(eq=False)
class _Trader:
    """One account: what it does and where, what it was at the start, and how far it has come."""

    group: _Group
    row: int
    habit: Habit
    stop_distance_e6: int | None
    relevers: bool
    anticipates: bool
    leverage_e6: int = 0
    levered_at_e8: int = 0
    is_long: bool = True
    start_uusd: int = 0
    reactions: int = 0
    top_ups: int = 0
    times_ahead: int = 0
    closings: int = 0
    is_reacting: bool = False


class Traders:
    """
    Has accounts act when a reason and their reaction time have passed.

    Nobody acts while in liquidation: the venue has the position then. But whom a halt or a grace
    period keeps from being put up may top up.

    Args:
        context: The run.
        venue: Judges and watches their accounts.
    """

    def __init__(self, context: Context, venue: Venue) -> None:
        self._context = context
        self._venue = venue
        self._orders = Orders(context, venue)
        self._ledger = context.world.ledger
        self._near = [CrossingIndex() for _ in context.markets]
        self._stops = [CrossingIndex() for _ in context.markets]
        self._gains = [CrossingIndex() for _ in context.markets]
        self._ahead: dict[int, dict[bool, CrossingIndex]] = {}
        self._traders: dict[int, _Trader] = {}
        self._rebalancings: list[Rebalancing] = []
        self._arrivals: list[list[Arrivals]] = [[] for _ in context.markets]
        reserved = {reserved.cohort.name: reserved for reserved in context.reserved}
        desks = {desk.spec.name: desk for desk in context.markets}
        first = context.first_bucket
        for cohort in context.scenario.population.cohorts:
            if cohort.traders is not None:
                desk, kept = desks[cohort.market], reserved.get(cohort.name)
                self._enter(cohort, cohort.traders, desk, first, kept)
            first += cohort.accounts

    def _enter(
        self, cohort: Cohort, spec: Spec, desk: MarketDesk, first: int, reserved: Reserved | None
    ) -> None:
        names = "habit stop relever anticipator closeness reaction return return_delay leverage"
        stream = partial(Stream, self._context.scenario.seed, f"traders.{cohort.name}")
        group = _Group(cohort, spec, desk, first, *map(stream, names.split()))
        own = range(first, first + cohort.accounts)
        for bucket, trader in zip(own, _drawn(group, 0, cohort.accounts), strict=True):
            self._traders[bucket] = trader
        if spec.anticipate is not None:
            self._ahead[desk.market_id] = {True: CrossingIndex(), False: CrossingIndex()}
        if spec.rebalance is not None:
            self._rebalancings.append(
                Rebalancing(
                    self._context,
                    self._orders,
                    desk,
                    spec.rebalance,
                    [*own, *(reserved.buckets if reserved is not None else ())],
                    slippage_e6=spec.slippage_e6,
                )
            )
        if spec.arrivals is not None and reserved is not None:
            self._arrivals[desk.market_id].append(
                Arrivals(
                    self._context,
                    self._orders,
                    reserved,
                    spec.arrivals,
                    slippage_e6=spec.slippage_e6,
                    value_uusd=lambda place: self._traders[first + place].start_uusd,
                    admit=partial(self._admit, group),
                )
            )

    def _admit(self, group: _Group, bucket: int, candidate: int) -> None:
        """Have an account that has arrived act like those of the start."""
        (self._traders[bucket],) = _drawn(group, _FIRST_ROW_OF_ARRIVALS + candidate, 1)
        self._note_start(bucket)

    def start(self) -> None:
        """Watch every account that acts, from the balances of the start on."""
        self._venue.follow(self)
        for bucket in self._traders:
            self._note_start(bucket)
        for rebalancing in self._rebalancings:
            rebalancing.start()
        for arrivals in chain.from_iterable(self._arrivals):
            arrivals.start()

    def _note_start(self, bucket: int) -> None:
        """Note the position with which an account begins, and watch it from then on."""
        trader = self._traders[bucket]
        account = self._orders.account(bucket, trader.group.desk)
        trader.is_long = account.quantity_e8 > 0
        trader.leverage_e6 = start_leverage_e6(account)
        trader.start_uusd = abs(account.quantity_e8) * account.entry_e8 // NOTIONAL_DIVISOR
        self.watch(bucket)

    # Told by the venue --------------------------------------------------------------------------

    def judged(self, desk: MarketDesk, seq: int) -> None:
        """Have whoever the mark brings to what it waits for react to event *seq*."""
        if seq == desk.state.mark_seq:
            for arrivals in self._arrivals[desk.market_id]:
                arrivals.saw_mark()
        # Of several reasons at once the first counts: a stop, the margin, a gain, a halt ahead.
        reactions = self._stop, self._near_reaction, self._relever, self._run_ahead
        mark, of = desk.state.mark_e8, desk.market_id
        crossed = [indexes[of].crossed(mark) for indexes in (self._stops, self._near, self._gains)]
        crossed.append(self._close_to_halt(desk))
        reasons = sorted(
            (bucket, place) for place, buckets in enumerate(crossed) for bucket in buckets
        )
        for bucket, place in reasons:
            trader, react = self._traders[bucket], reactions[place]
            may_act = not self._orders.is_in_liquidation(bucket) or (
                self._tops_up(trader, react) and self._venue.holds_back(desk)
            )
            if may_act and not trader.is_reacting:
                trader.is_reacting = True
                law, stream = trader.group.spec.reaction, trader.group.reactions
                delay = _delay_us(law, stream, trader.row, trader.reactions)
                trader.reactions += 1
                args = react, bucket, seq, trader.closings
                self._context.call(delay, Priority.TRADER, self._react, *args)

    def _close_to_halt(self, desk: MarketDesk) -> list[int]:
        """Take out and return those who find the next halt close enough to trade ahead of it."""
        return [
            bucket
            for is_long, index in self._ahead.get(desk.market_id, {}).items()
            for bucket in index.crossed(self._venue.closeness_to_halt_e6(desk, is_long=is_long))
        ]

    def rules_changed(self, desk: MarketDesk) -> None:
        """Watch the accounts of a market under the rules that are now in force."""
        for bucket, trader in self._traders.items():
            if trader.group.desk is desk:
                self.watch(bucket)

    def watch(self, bucket: int) -> None:
        """Watch *bucket*, unless it is about to act, by what would make it."""
        trader = self._traders.get(bucket)
        if trader is None or trader.is_reacting:
            return
        desk = trader.group.desk
        quantity = self._ledger.unit_views[desk.market_id][bucket]
        is_free = bool(quantity) and not self._orders.is_in_liquidation(bucket)
        for indexes, level, is_falling in (
            (self._near, self._near_e8(bucket, trader) if is_free else None, quantity > 0),
            (self._stops, self._stop_e8(bucket, trader) if is_free else None, quantity > 0),
            (self._gains, self._gain_e8(bucket, trader) if is_free else None, quantity < 0),
        ):
            if level is None:
                indexes[desk.market_id].remove(bucket)
            else:
                indexes[desk.market_id].add(bucket, level, is_falling=is_falling)
        acts_from = self._acts_from_e6(trader) if is_free else None
        for is_long, index in self._ahead.get(desk.market_id, {}).items():
            if acts_from is None or is_long is not (quantity > 0):
                index.remove(bucket)
            else:
                index.add(bucket, acts_from, is_falling=False)

    def _near_e8(self, bucket: int, trader: _Trader) -> int | None:
        near, desk = trader.group.spec.near, trader.group.desk
        is_tired = near is not None and trader.top_ups >= near.top_up_times
        if near is None or trader.habit is Habit.HOLDS:
            return None
        if trader.habit is Habit.TOPS_UP and is_tired:
            return None
        account = self._orders.account(bucket, desk)
        quantity, at_zero = account.quantity_e8, account.due_at_zero
        of = pieces(desk.rule, quantity, account.entry_e8, near.alert_buffer_e6)
        return trigger_price_e8(account.cash_uusd, of, is_long=quantity > 0, due_at_zero=at_zero)

    def _stop_e8(self, bucket: int, trader: _Trader) -> int | None:
        if trader.stop_distance_e6 is None:
            return None
        account = self._orders.account(bucket, trader.group.desk)
        return stop_e8(account.quantity_e8, account.entry_e8, trader.stop_distance_e6)

    def _gain_e8(self, bucket: int, trader: _Trader) -> int | None:
        law = trader.group.spec.relever
        if law is None or not trader.relevers:
            return None
        account = self._orders.account(bucket, trader.group.desk)
        # Once it has added, the next gain counts from the mark of then: else it would at each mark.
        base = trader.levered_at_e8 or account.entry_e8
        best = max if account.quantity_e8 > 0 else min
        return gain_e8(account.quantity_e8, best(base, account.entry_e8), law.gain_e6)

    def _acts_from_e6(self, trader: _Trader) -> int | None:
        """Return the closeness to a halt from which an account trades ahead of it this time."""
        law = trader.group.spec.anticipate
        if law is None or not trader.anticipates or trader.times_ahead >= law.times:
            return None
        return acts_from_e6(law, trader.group.closenesses.at(trader.row, trader.times_ahead))

    def ended(self, bucket: int, seq: int) -> None:
        """Take note that liquidation *seq* has ended; who lost its position may come back."""
        trader = self._traders.get(bucket)
        if trader is None:
            return
        spec, group = trader.group.spec.returns, trader.group
        account = self._orders.account(bucket, group.desk)
        if account.quantity_e8:
            return
        number, trader.closings = trader.closings, trader.closings + 1
        trader.levered_at_e8 = 0
        if spec is None or account.cash_uusd < 0:
            return
        if group.returns.at(trader.row, 4 * number) * RATIO_SCALE >= spec.share_e6:
            return
        delay = _delay_us(spec.delay, group.return_delays, trader.row, number)
        at_us = return_us(spec.windows, self._context.now_us + delay)
        if at_us is not None:
            wait = at_us - self._context.now_us
            self._context.call(wait, Priority.TRADER, self._come_back, bucket, seq, number)

    # What they do -------------------------------------------------------------------------------

    def _react(self, react: Reaction, bucket: int, seq: int, closings: int) -> None:
        trader = self._traders[bucket]
        trader.is_reacting = False
        may_act = not self._orders.is_in_liquidation(bucket) or (
            self._tops_up(trader, react) and self._venue.lets_top_up(bucket)
        )
        # Of a position that was liquidated meanwhile, nothing is left to react to.
        if may_act and trader.closings == closings:
            react(bucket, seq)
        self.watch(bucket)

    def _tops_up(self, trader: _Trader, react: Reaction) -> bool:
        """Return whether a reaction only adds collateral: a halt leaves that to an account."""
        return trader.habit is Habit.TOPS_UP and react == self._near_reaction

    def _near_reaction(self, bucket: int, seq: int) -> None:
        trader = self._traders[bucket]
        group, near = trader.group, trader.group.spec.near
        account = self._orders.account(bucket, group.desk)
        assert near is not None
        if not account.is_due(near.alert_buffer_e6):
            return
        match trader.habit:
            case Habit.TOPS_UP:
                trader.top_ups += 1
                self._orders.top_up(bucket, top_up_uusd(account, near.top_up_to_e6), seq)
            case Habit.REDUCES:
                order = reduction_e8(account.quantity_e8, near.reduce_by_e6)
                self._trade(bucket, order, TradeReason.REDUCED, seq)
            case Habit.CLOSES:
                self._trade(bucket, -account.quantity_e8, TradeReason.CLOSED, seq)

    def _stop(self, bucket: int, seq: int) -> None:
        quantity = self._ledger.unit_views[self._traders[bucket].group.desk.market_id][bucket]
        if quantity:
            self._trade(bucket, -quantity, TradeReason.STOPPED, seq)

    def _relever(self, bucket: int, seq: int) -> None:
        trader = self._traders[bucket]
        account = self._orders.account(bucket, trader.group.desk)
        trader.levered_at_e8 = account.mark_e8
        order = rebalancing_e8(account, trader.leverage_e6)
        if order * account.quantity_e8 > 0:
            self._trade(bucket, order, TradeReason.RELEVERED, seq)

    def _run_ahead(self, bucket: int, seq: int) -> None:
        """Trade ahead of a halt that is as close still; whom it has caught is too late."""
        trader = self._traders[bucket]
        desk, law = trader.group.desk, trader.group.spec.anticipate
        quantity = self._ledger.unit_views[desk.market_id][bucket]
        acts_from = self._acts_from_e6(trader)
        closeness = self._venue.closeness_to_halt_e6(desk, is_long=quantity > 0)
        assert law is not None
        if not quantity or acts_from is None or closeness < acts_from:
            return
        trader.times_ahead += 1
        order = reduction_e8(quantity, law.reduce_by_e6)
        self._trade(bucket, order, TradeReason.ANTICIPATED, seq, closeness_e6=closeness)

    def _trade(
        self,
        bucket: int,
        order_e8: int,
        reason: TradeReason,
        cause: int,
        *,
        closeness_e6: int = NOT_OBSERVED,
    ) -> None:
        group = self._traders[bucket].group
        self._orders.trade(
            bucket,
            group.desk,
            order_e8,
            slippage_e6=group.spec.slippage_e6,
            reason=reason,
            cause=cause,
            closeness_e6=closeness_e6,
        )

    def _come_back(self, bucket: int, seq: int, number: int) -> None:
        trader = self._traders[bucket]
        group, spec = trader.group, trader.group.spec.returns
        assert spec is not None
        row, draws = trader.row, group.returns
        is_same = draws.at(row, 4 * number + 2) * RATIO_SCALE < spec.same_side_e6
        self._orders.open(
            bucket,
            group.desk,
            return_size_uusd(spec, trader.start_uusd, draws.normal_at(row, 4 * number + 1)),
            is_long=trader.is_long == is_same,
            leverage=leverage_of(group.cohort.leverage, group.leverages.normal_at(row, number)),
            slippage_e6=group.spec.slippage_e6,
            reason=TradeReason.OPENED,
            cause=seq,
        )


def _drawn(group: _Group, first_row: int, count: int) -> Iterator[_Trader]:
    """Yield what *count* accounts of a cohort are, whose draws are those of the rows from there."""
    spec = group.spec
    streams = group.habits, group.relevers, group.anticipators
    uniforms = zip(*(stream.uniforms(first_row, count) for stream in streams), strict=True)
    stops = group.stops.uniforms(2 * first_row, 2 * count)
    for place, (habit_draw, relever, anticipator) in enumerate(uniforms):
        habit = Habit.HOLDS if spec.near is None else habit_of(spec.near, habit_draw)
        distance = (
            None
            if spec.stop is None
            else stop_distance_e6(spec.stop, stops[2 * place], stops[2 * place + 1])
        )
        yield _Trader(
            group,
            first_row + place,
            habit,
            distance,
            relevers=_is_one(relever, spec.relever),
            anticipates=_is_one(anticipator, spec.anticipate),
        )


def _is_one(uniform: float, law: Relever | Anticipation | None) -> bool:
    """Return whether an account is one of the share that does something."""
    return law is not None and uniform * RATIO_SCALE < law.share_e6


def _delay_us(law: Latency, stream: Stream, row: int, number: int) -> int:
    """Return the n-th delay of an account, which is never none: what is seen is acted on later."""
    return max(lognormal_us(law.median_us, law.p99_us, stream.normal_at(row, number)), 1)
