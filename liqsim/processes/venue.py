"""The venue: judges margins at every mark, and runs one liquidation per due bucket."""

from collections.abc import Generator, Iterator
from functools import partial
from operator import attrgetter
from typing import Any, Protocol

import attrs
import numpy as np
import simpy

from liqsim.events import (
    NO_CAUSE,
    Action,
    AuctionHeld,
    BadDebtRecorded,
    DecisionRecorded,
    Executor,
    FailedCall,
    LiquidationEnded,
    LiquidationOutcome,
    LiquidationTriggered,
    LiquidationUnresolved,
    LotOffered,
    PositionDeleveraged,
    Standing,
    SurplusRouted,
    TranchesCrossed,
    TrancheSettled,
    TrancheStarted,
    TrancheTakenOver,
    UnresolvedReason,
)
from liqsim.events.mitigation import NOT_OBSERVED
from liqsim.mechanics.classes import displacement_by_flow_e9, other_assets_uusd, standing_of
from liqsim.mechanics.desk import desk_size_e8
from liqsim.mechanics.legs import LegView, first_leg, leg_view
from liqsim.mechanics.liquidity import displaced_price_e8
from liqsim.mechanics.margin import MARGIN_SCALE
from liqsim.mechanics.mitigations.batch_auction import Lot, bids_e8, clear, pairs_e8, width_e8
from liqsim.mechanics.mitigations.crossing import matches_e8
from liqsim.mechanics.mitigations.pacing import Ask
from liqsim.mechanics.mitigations.pool import goes_ahead
from liqsim.mechanics.radius import Ints
from liqsim.mechanics.tranches import takeover_price_e8, tranche_size_e8
from liqsim.mechanics.waterfall import (
    FeeRates,
    Settlement,
    decide_deleveraging,
    decide_settlement,
    limit_price_e8,
)
from liqsim.processes.auctions import Auctions
from liqsim.processes.coins import Coins
from liqsim.processes.context import Context, MarketDesk, Priority, Process
from liqsim.processes.crossing import Crossings
from liqsim.processes.engine import Engine, Tranche
from liqsim.processes.fund import Fund
from liqsim.processes.grace import Graces
from liqsim.processes.halts import Halts
from liqsim.processes.incentives import Incentives, Promise, Reward
from liqsim.processes.keepers import Keepers, Offer
from liqsim.processes.losses import share_loss
from liqsim.processes.margins import LiveHoldings, Margins
from liqsim.processes.pacing import Pacing
from liqsim.processes.resale import Inventory
from liqsim.processes.shadow import Shadow
from liqsim.processes.staking import Stakers
from liqsim.scenario.mitigations import Absorber, Backstop, BatchAuction, Pool, purses_of
from liqsim.scenario.model import LiquidationDesk, NoImpact
from liqsim.units import (
    BOUND,
    RATIO_SCALE,
    ceil_div,
    format_usd,
    taker_cost_uusd,
)
from liqsim.world.markets import Flow


@attrs.define(eq=False)
class Liquidation:
    """
    A liquidation in course.

    Attributes:
        seq: Its trigger.
        bucket_id: The bucket.
        desk: The market whose mark triggered it.
        at_trigger_e8: Units without sign of each leg at the trigger, by market.
        cause: Its last settlement, before the first its trigger.
        triggered_at_us: When it was triggered.
        tranches: Slices that it has put up.
        waits_for: What it waits for.
    """

    seq: int
    bucket_id: int
    desk: MarketDesk
    at_trigger_e8: dict[int, int]
    cause: int
    triggered_at_us: int
    tranches: int = 0
    waits_for: UnresolvedReason = UnresolvedReason.RUN_ENDED


@attrs.frozen(eq=False)
class _Absorbing:
    """
    A vault or a pool at work.

    Attributes:
        mitigation_id: Place of the mitigation in the scenario.
        spec: The mitigation.
        only: The market where it acts; None for all of them.
        inventory: What it has taken over.
    """

    mitigation_id: int
    spec: Backstop | Pool
    only: int | None
    inventory: Inventory


@attrs.frozen(eq=False)
class _Offered:
    """
    A slice that takes part in an auction.

    Attributes:
        bucket_id: Whose.
        liquidation: Its liquidation.
        lot: What it offers.
        since_us: When it could first have been put up.
    """

    bucket_id: int
    liquidation: Liquidation
    lot: Lot
    since_us: int


class Follower(Protocol):
    """Whoever acts on what the venue does: told when accounts are judged, freed or moved."""

    def judged(self, desk: MarketDesk, seq: int) -> None:
        """Take note that event *seq* has judged the accounts of a market, and triggered some."""
        ...

    def rules_changed(self, desk: MarketDesk) -> None:
        """Take note that rules of margin have changed, before anybody is judged by them."""
        ...

    def watch(self, bucket: int) -> None:
        """Take note that *bucket*, which is in no liquidation, has other balances."""
        ...

    def ended(self, bucket: int, seq: int) -> None:
        """Take note of event *seq*, the end of a liquidation of *bucket*."""
        ...


class Venue:
    """
    One perp venue.

    Args:
        context: The run.
        keepers: The keeper bots; None where the engine executes.
        desk_id: Owner number of the venue's desk, if it has one in use.
        first_purse: Owner number of the first owner that mitigations bring in.
    """

    def __init__(
        self,
        context: Context,
        keepers: Keepers | None,
        desk_id: int | None = None,
        first_purse: int = 0,
    ) -> None:
        self._context = context
        self._spec = context.scenario.venue
        self._keepers = keepers
        self._engine = Engine(context, self) if keepers is None else None
        self._ledger = context.world.ledger
        self._margins = Margins(context, LiveHoldings.of(context.world), attrgetter("mark_e8"))
        self._coins = Coins(context, self._margins)
        self._pacing = Pacing(context)
        self._crossings = Crossings(context)
        self._auctions = Auctions(context, self._hold_auction)
        self._halts = Halts(context)
        self._graces = Graces(context)
        if keepers is not None:
            context.journal.listen(DecisionRecorded, self._decided)
        self._fund = Fund(context)
        self._stakers = Stakers(context, first_purse)
        self._incentives = Incentives(context, self._margins, first_purse)
        for desk in context.markets:
            look = partial(self._look_at_rewards_soon, "scarcity", desk.market_id)
            context.on_trade(desk.market_id, look)
        self._looks_due: set[str] = set()
        self._desk: Inventory | None = None
        if self._spec.desk_in_use is not None:
            assert desk_id is not None
            self._desk = Inventory(context, desk_id, self._spec.desk_in_use, self.next_mark)
        self._bidders: dict[int, Inventory] = {}
        self._absorbers = self._open_absorbers(first_purse)
        # Where nothing displaces a price, a shadow mark is the mark.
        books = [desk.spec.liquidity for desk in context.markets]
        has_impact = any(not isinstance(book, NoImpact) for book in books)
        self._shadow = Shadow(context) if has_impact else None
        self._inside: dict[int, tuple[int, tuple[int, ...]]] = {}
        self._offers: dict[int, Offer] = {}
        self._next_mark = [context.env.event() for _ in context.markets]
        self._offer_counts: dict[int, int] = {}
        self._liquidations: dict[int, Liquidation] = {}
        self._settled_at_us: dict[int, int] = {}
        self._follower: Follower | None = None
        fees = self._spec.fees
        self._takeover_fees = FeeRates(
            fees.liquidation_on_mark_e6, fees.liquidation_on_execution_e6
        )

    def _open_absorbers(self, first_purse: int) -> list["_Absorbing"]:
        """Return vaults and pools, in order, and note who bids in auctions."""
        found = []
        context, mitigations = self._context, self._context.scenario.mitigations
        numbers = {market.name: n for n, market in enumerate(context.scenario.markets)}
        for owner, purse in enumerate(purses_of(mitigations), first_purse):
            spec = mitigations[purse.mitigation_id]
            if not isinstance(spec, Absorber):
                continue
            leverage = spec.leverage_e6 if isinstance(spec, Pool) else RATIO_SCALE
            inventory = Inventory(context, owner, spec, self.next_mark, leverage_e6=leverage)
            if isinstance(spec, Backstop | Pool):
                only = numbers.get(spec.market)
                found.append(_Absorbing(purse.mitigation_id, spec, only, inventory))
            else:
                self._bidders[purse.mitigation_id] = inventory
        return found

    # Margins ------------------------------------------------------------------------------------

    @property
    def margins(self) -> Margins:
        """The margins of its accounts at the marks."""
        return self._margins

    def follow(self, follower: Follower) -> None:
        """Have *follower* told what becomes of the accounts."""
        self._follower = follower

    def balances_changed(self, bucket: int) -> None:
        """Take note that *bucket* has traded or moved money itself."""
        if bucket not in self._liquidations:
            self._watch(bucket)

    def closeness_to_halt_e6(self, desk: MarketDesk, *, is_long: bool) -> int:
        """Return how close, as a share of its bound, one side of a market sees the next halt."""
        return self._halts.closeness_e6(desk.market_id, is_long=is_long)

    def lets_top_up(self, bucket: int) -> bool:
        """Return whether *bucket*, in liquidation, waits for the end of a halt or of a grace."""
        is_waiting = self._liquidations[bucket].waits_for is UnresolvedReason.HALTED
        return is_waiting and self._is_held_back(bucket)

    def _is_held_back(self, bucket: int) -> bool:
        return any(map(self.holds_back, self._margins.legs(bucket)))

    def holds_back(self, desk: MarketDesk) -> bool:
        """Return whether a halt or a grace keeps due positions of a market from being put up."""
        return self._is_halted(desk) or self._graces.lasts(desk)

    def open_books(self) -> None:
        """Index every bucket by what would make it due."""
        self._margins.open_books()
        if self._shadow is not None:
            self._shadow.open_books()

    def mark_landed(self, market_id: int, mark_seq: int) -> None:
        """
        Trigger whoever the new mark makes due, and withdraw the offers of whom it restores.

        Triggers go by margin ratio, the weakest first, then by number; withdrawals by number.
        """
        desk = self._context.markets[market_id]
        if self._shadow is not None:
            self._shadow.moved(desk, mark_seq)
        self._margins.mark_moved(desk)
        self._judge(desk, mark_seq)
        if self._keepers is not None:
            self._keepers.look_again()
        waiting, self._next_mark[market_id] = self._next_mark[market_id], self._context.env.event()
        waiting.succeed()

    def shadow_landed(self, market_id: int, shadow_seq: int) -> None:
        """Have whoever the new shadow mark makes due recorded."""
        assert self._shadow is not None
        self._shadow.moved(self._context.markets[market_id], shadow_seq)

    def rules_changed(self, market_id: int, change_seq: int) -> None:
        """Judge everyone under new rates or a new haircut of a market, at the marks as they are."""
        desk = self._context.markets[market_id]
        is_idle = self._context.world.liquidation_seq < 0
        is_idle[: self._context.first_bucket] = False
        self._margins.reindex(desk, np.flatnonzero(is_idle))
        for bucket in self._offers:
            if self._margins.position(desk, bucket):
                self._margins.watch_restoration(bucket)
        if self._shadow is not None:
            self._shadow.rules_changed(desk, change_seq)
        if self._follower is not None:
            self._follower.rules_changed(desk)
        if desk.state.mark_e8:
            self._judge(desk, change_seq)
        self._look_at_rewards_soon("violation")

    def funding_paid(self, market_id: int, funding_seq: int, buckets: Ints) -> None:
        """Judge everyone who has paid or received funding, at the marks as they stand."""
        desk = self._context.markets[market_id]
        self._watch_all(buckets[self._context.world.liquidation_seq[buckets] < 0])
        for bucket in self._offers:
            if self._margins.position(desk, bucket):
                self._margins.watch_restoration(bucket)
        if self._shadow is not None:
            self._shadow.moved(desk, funding_seq)
        self._judge(desk, funding_seq)
        self._look_at_rewards_soon("violation")

    def fees_paid(self, buckets: Ints) -> None:
        """Take note that *buckets*, none of them due or in a liquidation, have paid a fee."""
        self._watch_all(buckets)

    def _judge(self, desk: MarketDesk, cause: int) -> None:
        for bucket, margin in self._margins.now_due(desk):
            self._trigger(desk, bucket, margin, cause)
        for bucket in self._margins.now_restored(desk):
            self._offers[bucket].close(FailedCall.RESTORED)
        if self._follower is not None:
            self._follower.judged(desk, cause)

    def _watch(self, bucket: int) -> None:
        """Index *bucket*, which is in no liquidation, by what would make it due."""
        self._margins.watch(bucket)
        if self._shadow is not None:
            self._shadow.watch(bucket)
        if self._follower is not None:
            self._follower.watch(bucket)

    def _watch_all(self, buckets: Ints) -> None:
        self._margins.watch_all(buckets)
        if self._shadow is not None:
            self._shadow.watch_all(buckets)
        if self._follower is not None:
            for bucket in buckets.tolist():
                self._follower.watch(bucket)

    # A liquidation ------------------------------------------------------------------------------

    def _trigger(self, desk: MarketDesk, bucket: int, margin: int, cause: int) -> None:
        quantity, margins, shadow = (
            self._margins.position(desk, bucket),
            self._margins,
            self._shadow,
        )
        shadow_margin = margin if shadow is None else shadow.margin(bucket)
        start_margin = margins.start_margin(bucket)
        is_due_on_shadow = shadow is None or shadow.is_due(bucket)
        flows = self._displacement_in_mark(desk)
        event = LiquidationTriggered(
            bucket_id=bucket,
            market_id=desk.market_id,
            quantity_e8=quantity,
            mark_price_e8=desk.state.mark_e8,
            margin_uusd=margin // MARGIN_SCALE,
            maintenance_uusd=ceil_div(margins.maintenance(bucket), MARGIN_SCALE),
            bankruptcy_price_e8=margins.bankruptcy_price_e8(desk, bucket),
            shadow_mark_e8=desk.state.shadow_e8,
            shadow_margin_uusd=shadow_margin // MARGIN_SCALE,
            start_margin_uusd=start_margin // MARGIN_SCALE,
            other_assets_uusd=other_assets_uusd(
                margin=margin,
                shadow_margin=shadow_margin,
                pieces=margins.pieces(desk, bucket),
                mark_e8=desk.state.mark_e8,
                shadow_e8=desk.state.shadow_e8,
            ),
            forced_displacement_e9=flows[Flow.FORCED],
            hedging_displacement_e9=flows[Flow.HEDGING],
            trading_displacement_e9=flows[Flow.TRADING],
            standing=standing_of(
                is_due_under_start=margins.is_due(start_margin), is_due_on_shadow=is_due_on_shadow
            ),
        )
        seq = self._context.journal.append(event, cause)
        if shadow is not None:
            shadow.triggered(bucket, seq, is_open=event.standing is Standing.OPEN)
        sizes = {
            leg.market_id: abs(self._margins.position(leg, bucket)) for leg in margins.legs(bucket)
        }
        self._context.start(
            self._liquidate(Liquidation(seq, bucket, desk, sizes, seq, self._context.now_us))
        )

    def _displacement_in_mark(self, desk: MarketDesk) -> tuple[int, ...]:
        """Return the displacement that the mark shows, by whose flow made it."""
        state = desk.state
        seq, flows = self._inside.get(desk.market_id, (NO_CAUSE, ()))
        if seq != state.mark_seq:
            book, at_us = state.book_before(state.mark_shows_us), state.mark_shows_us
            displacement = desk.liquidity.displacement
            flows = displacement_by_flow_e9(displacement, book, max(at_us, book.at_us))
            self._inside[desk.market_id] = state.mark_seq, flows
        return flows

    def _liquidate(self, liquidation: Liquidation) -> Process:
        """Put up tranches until no leg is left or the margin is restored."""
        bucket = liquidation.bucket_id
        reaction, spacing = self._reaction_us(), self._spacing_left_us(bucket)
        if spacing > reaction:
            liquidation.waits_for = UnresolvedReason.SPACING
        self._liquidations[bucket] = liquidation
        yield self._context.wake(max(reaction, spacing), Priority.LIQUIDATION)
        while not self._is_over(bucket):
            place = yield from self._find_place(liquidation)
            if place is None:
                continue  # The wait may have changed what there is to do.
            self._forget_slice(bucket)
            tranche = self._put_up(liquidation, *place, Executor[self._spec.executor.upper()])
            liquidation.waits_for = UnresolvedReason.RUN_ENDED
            filled, taken_over, deleveraged = yield from self._execute(tranche)
            cancelled = tranche.size_e8 - filled - taken_over - deleveraged
            self._settle(liquidation, tranche, filled, taken_over, deleveraged, cancelled)
            if not self._is_over(bucket):
                pause = self._pause_us(liquidation, tranche.desk, cancelled)
                yield self._context.wake(pause, Priority.LIQUIDATION)
        self._pass_on(bucket)
        self._pacing.forget(bucket)
        self._forget_slice(bucket)
        self._end(liquidation)

    def _find_place(
        self, liquidation: Liquidation
    ) -> "Generator[simpy.Event, Any, tuple[MarketDesk, int] | None]":
        """Return the leg and the units of the next slice if it may be put up now; else wait."""
        context, bucket = self._context, liquidation.bucket_id
        stale = self._stale_leg(bucket)
        if stale is not None:
            self._pass_on(bucket)
            liquidation.waits_for = UnresolvedReason.NO_FRESH_PRICE
            context.log.info("mark_stale", bucket_id=bucket, market=stale.spec.name)
            yield self._next_mark[stale.market_id]
            # Nobody's balances move before everyone is judged at all marks of the instant.
            yield context.wake(0, Priority.LIQUIDATION)
            return None
        stopped = self._stopped_us(liquidation)
        if stopped:
            self._pass_on(bucket)
            liquidation.waits_for = UnresolvedReason.HALTED
            yield context.wake(stopped, Priority.LIQUIDATION)
            return None
        if context.scenario.mitigations and (
            (yield from self._meet(liquidation)) or (yield from self._await_auction(liquidation))
        ):
            return None
        if self._engine is not None and not self._engine.has_turn(bucket):
            yield self._engine.turn(bucket)
            return None
        desk = self._next_leg(liquidation)
        size = self._tranche_size(liquidation, desk)
        if context.scenario.mitigations:
            ask = self._ask(liquidation, desk, size)
            at_us, size = self._pacing.grant(ask, liquidation.cause)
            if at_us > context.now_us:
                self._pass_on(bucket)
                liquidation.waits_for = UnresolvedReason.PACED
                yield context.wake(at_us - context.now_us, Priority.LIQUIDATION)
                return None
        return desk, size

    def _meet(self, liquidation: Liquidation) -> "Generator[simpy.Event, Any, bool]":
        """Cross the next slice with those held on the other side, or hold it; return if either."""
        bucket, desk = liquidation.bucket_id, self._next_leg(liquidation)
        if self._crossings.rule_of(desk) is None or self._is_bankrupt(desk, bucket):
            return False
        ask = self._ask(liquidation, desk, self._tranche_size(liquidation, desk))
        self._crossings.asked(ask)
        waiting = [
            (other, self._tranche_size(self._liquidations[other], desk))
            for other in self._crossings.waiting(ask)
            if not self._is_over(other) and not self.is_stale(other)
            if not self._is_bankrupt(desk, other)
        ]
        parts = matches_e8(ask.wanted_e8, waiting)
        freed = None if parts else self._crossings.hold(ask, liquidation.cause)
        if not parts and freed is None:
            return False
        if freed is None:
            self._cross(liquidation, ask, waiting, parts)
        yield from self._stand_aside(liquidation, freed)
        return True

    def _stand_aside(
        self, liquidation: Liquidation, freed: simpy.Event | None
    ) -> "Generator[simpy.Event, Any, None]":
        """Give back turn and place until the slice is freed, if it is held, and may be put up."""
        bucket = liquidation.bucket_id
        self._pass_on(bucket)
        self._pacing.forget(bucket)
        if freed is not None:
            liquidation.waits_for = UnresolvedReason.PACED
            yield freed
        if not self._is_over(bucket):
            yield self._context.wake(self._spacing_left_us(bucket), Priority.LIQUIDATION)

    def _is_bankrupt(self, desk: MarketDesk, bucket: int) -> bool:
        """Return whether a leg closed at the mark would leave a hole, which others must pay."""
        position, mark = self._margins.position(desk, bucket), desk.state.mark_e8
        return self._margins.backing_uusd(desk, bucket, mark) < taker_cost_uusd(-position, mark)

    def _cross(
        self,
        liquidation: Liquidation,
        ask: Ask,
        waiting: list[tuple[int, int]],
        parts: list[tuple[int, int]],
    ) -> None:
        """Put the slice of *ask* up with *parts* of those *waiting*, and settle all of them."""
        desk, size = self._context.markets[ask.market_id], sum(part for _, part in parts)
        tranche = self._put_up(liquidation, desk, size, Executor.CROSSING)
        for (bucket, part), (_, whole) in zip(parts, waiting, strict=False):
            other = self._liquidations[bucket]
            theirs = self._put_up(other, desk, part, Executor.CROSSING)
            number, since_us = self._crossings.rule_of(desk), self._crossings.since_us(desk, bucket)
            assert number is not None
            self._exchange(number, tranche, theirs, part, desk.state.mark_e8, since_us)
            self._crossings.release(desk, bucket)
            if part == whole:
                self._forget_slice(bucket)
            self._settle(other, theirs, crossed=part)
            self._pause_us(other, desk, 0)
        self._crossings.release(desk, ask.bucket_id)
        if size == ask.wanted_e8:
            self._forget_slice(ask.bucket_id)
        self._settle(liquidation, tranche, crossed=size)
        self._pause_us(liquidation, desk, 0)

    def _forget_slice(self, bucket: int) -> None:
        """Take note that the slice in hand is no more: the next may wait anew."""
        self._crossings.forget(bucket)
        self._auctions.forget(bucket)

    def _exchange(
        self,
        number: int,
        tranche: Tranche,
        theirs: Tranche,
        size: int,
        price: int,
        since_us: int,
    ) -> None:
        """Record that two slices meet by mitigation *number*, and what that leaves."""
        desk = tranche.desk
        quantity = -size if tranche.is_long else size
        cost = taker_cost_uusd(quantity, price)
        one = self.settlement(desk, tranche.bucket_id, quantity, cost, price, self._takeover_fees)
        two = self.settlement(desk, theirs.bucket_id, -quantity, -cost, price, self._takeover_fees)
        seq = self._context.journal.append(
            TranchesCrossed(
                mitigation_id=number,
                tranche_seq=tranche.seq,
                bucket_id=tranche.bucket_id,
                other_tranche_seq=theirs.seq,
                counterparty_id=theirs.bucket_id,
                market_id=desk.market_id,
                quantity_e8=quantity,
                price_e8=price,
                cost_uusd=cost,
                fee_uusd=one.fee_uusd,
                other_fee_uusd=two.fee_uusd,
                held_since_at_us=since_us,
            ),
            tranche.seq,
        )
        # Nobody is bankrupt there: what rounding took, if anything, is no matter of the fund.
        both = (tranche, one), (theirs, two)
        for mine, settled in both:
            self._route_surplus(mine.seq, mine.bucket_id, settled, seq)
        for mine, settled in both:
            market, fee = desk.market_id, settled.fee_uusd
            self._incentives.route(mine.seq, mine.bucket_id, market, fee, None, seq)

    # Auctions -----------------------------------------------------------------------------------

    def _await_auction(self, liquidation: Liquidation) -> "Generator[simpy.Event, Any, bool]":
        """Have the next slice wait for its auction; return whether it did."""
        bucket, desk = liquidation.bucket_id, self._next_leg(liquidation)
        if not self._auctions.has_rule(desk) or self._is_bankrupt(desk, bucket):
            return False
        ask = self._ask(liquidation, desk, self._tranche_size(liquidation, desk))
        freed = self._auctions.wait(ask, liquidation.cause)
        if freed is None:
            return False
        yield from self._stand_aside(liquidation, freed)
        return True

    def _hold_auction(self, desk: MarketDesk) -> None:
        """Clear what waits in a market at one price, if anything may be put up there."""
        offered = [] if self.holds_back(desk) else list(self._offered(desk))
        if not offered:
            return
        number, spec = self._auctions.rule_of(desk)
        mark, lots = desk.state.mark_e8, [one.lot for one in offered]
        net = sum(lot.quantity_e8 for lot in lots)
        free, bids = self._bids(number, spec, desk, is_long=net <= 0)
        width = width_e8(mark, spec.distance_e6)
        price, fills = clear(lots, mark_e8=mark, width_e8=width, bids_e8=bids)
        bought = sum(
            fill if lot.quantity_e8 > 0 else -fill for lot, fill in zip(lots, fills, strict=True)
        )
        event = AuctionHeld(
            mitigation_id=number,
            market_id=desk.market_id,
            mark_price_e8=mark,
            price_e8=price,
            for_sale_e8=sum(-lot.quantity_e8 for lot in lots if lot.quantity_e8 < 0),
            for_purchase_e8=sum(lot.quantity_e8 for lot in lots if lot.quantity_e8 > 0),
            bids_e8=bids,
            taken_e8=-bought,
            free_uusd=free,
        )
        seq = self._context.journal.append(event, NO_CAUSE)
        for one, fill in zip(offered, fills, strict=True):
            lot = LotOffered(
                liquidation_seq=one.liquidation.seq,
                bucket_id=one.bucket_id,
                market_id=desk.market_id,
                quantity_e8=one.lot.quantity_e8,
                reserve_price_e8=one.lot.reserve_e8,
                filled_e8=fill,
                held_since_at_us=one.since_us,
            )
            self._context.journal.append(lot, seq)
        self._trade_lots(desk, offered, fills, price)

    def _offered(self, desk: MarketDesk) -> Iterator[_Offered]:
        """Yield the slices that take part in the auction of a market, the earliest first."""
        for bucket in self._auctions.waiting(desk):
            if self._is_over(bucket) or self.is_stale(bucket) or self._is_bankrupt(desk, bucket):
                continue
            liquidation, position = self._liquidations[bucket], self._margins.position(desk, bucket)
            size = self._tranche_size(liquidation, desk)
            reserve = self._margins.bankruptcy_price_e8(desk, bucket)
            lot = Lot(-size if position > 0 else size, reserve)
            yield _Offered(bucket, liquidation, lot, self._auctions.since_us(desk, bucket))

    def _bids(
        self, number: int, spec: BatchAuction, desk: MarketDesk, *, is_long: bool
    ) -> tuple[int, int]:
        """Return the capital of bidders that is free, and the units for which they bid."""
        bidders = self._bidders.get(number)
        if bidders is None:
            return 0, 0
        free = max(bidders.free_uusd(), 0)
        held = bidders.units_e8(desk.market_id)
        return free, bids_e8(
            spec, mark_e8=desk.state.mark_e8, free_uusd=free, held_e8=held, is_long=is_long
        )

    def _trade_lots(
        self,
        desk: MarketDesk,
        offered: list[_Offered],
        fills: list[int],
        price: int,
    ) -> None:
        """Have lots that sell meet lots that buy, and bidders take what is left of either."""
        number, _ = self._auctions.rule_of(desk)
        sold, bought = (
            [
                fill * (one.lot.quantity_e8 * sign > 0)
                for one, fill in zip(offered, fills, strict=True)
            ]
            for sign in (-1, 1)
        )
        tranches = {
            place: self._put_up(one.liquidation, desk, fill, Executor.AUCTION)
            for place, (one, fill) in enumerate(zip(offered, fills, strict=True))
            if fill
        }
        crossed = [0] * len(offered)
        for seller, buyer, size in pairs_e8(sold, bought):
            since_us = offered[buyer].since_us
            self._exchange(number, tranches[seller], tranches[buyer], size, price, since_us)
            crossed[seller] += size
            crossed[buyer] += size
        for place, tranche in tranches.items():
            one, rest = offered[place], fills[place] - crossed[place]
            if rest:
                inventory = self._bidders[number]
                self._stock(inventory, tranche, rest, price, may_draw=False)
            if fills[place] == abs(one.lot.quantity_e8):
                self._forget_slice(one.bucket_id)
            self._settle(one.liquidation, tranche, taken_over=rest, crossed=crossed[place])
            self._pause_us(one.liquidation, desk, 0)

    # Execution ----------------------------------------------------------------------------------

    def _execute(self, tranche: Tranche) -> "Generator[simpy.Event, Any, tuple[int, int, int]]":
        """Have a slice executed; return (filled, taken over, deleveraged)."""
        if self._engine is None:
            taken_over, deleveraged = yield from self._offer(tranche)
            return 0, taken_over, deleveraged
        taken_over = self._desk_takes(tranche)
        taken_over += self._go_ahead(tranche, tranche.size_e8 - taken_over)
        rest = attrs.evolve(tranche, size_e8=tranche.size_e8 - taken_over)
        if not rest.size_e8:
            self._engine.hold(tranche.bucket_id)
            return 0, taken_over, 0
        filled, backstopped, deleveraged = yield from self._engine.execute(rest)
        return filled, taken_over + backstopped, deleveraged

    def _pause_us(self, liquidation: Liquidation, desk: MarketDesk, cancelled_e8: int) -> int:
        """Return how long the next slice waits for the last, and note what it waits for."""
        pause = self._spec.tranches.spacing_us
        liquidation.waits_for = UnresolvedReason.SPACING
        if self.is_stale(liquidation.bucket_id):
            liquidation.waits_for = UnresolvedReason.NO_FRESH_PRICE
        elif self._is_halted(desk):
            liquidation.waits_for = UnresolvedReason.HALTED
        elif cancelled_e8 and self._keepers is None:
            assert self._spec.engine is not None
            pause = max(pause, self._spec.engine.retry_us)
            liquidation.waits_for = UnresolvedReason.NO_DEPTH
        return pause

    def _ask(self, liquidation: Liquidation, desk: MarketDesk, size: int) -> Ask:
        bucket = liquidation.bucket_id
        return Ask(
            now_us=self._context.now_us,
            liquidation_seq=liquidation.seq,
            bucket_id=bucket,
            market_id=desk.market_id,
            tranche_number=liquidation.tranches + 1,
            at_trigger_e8=self._coins.size_e8(
                desk, bucket, liquidation.at_trigger_e8[desk.market_id]
            ),
            wanted_e8=size,
            mark_e8=desk.state.mark_e8,
            is_long=self._margins.position(desk, bucket) > 0,
        )

    def _pass_on(self, bucket: int) -> None:
        if self._engine is not None:
            self._engine.pass_on(bucket)

    def _spacing_left_us(self, bucket: int) -> int:
        """Return how long the next tranche must wait for the last, of whichever liquidation."""
        if bucket not in self._settled_at_us:
            return 0
        earliest = self._settled_at_us[bucket] + self._spec.tranches.spacing_us
        return max(earliest - self._context.now_us, 0)

    def _is_over(self, bucket: int) -> bool:
        return not self._margins.legs(bucket) or self._margins.is_restored(bucket)

    def _reaction_us(self) -> int:
        executor = self._spec.engine if self._keepers is None else self._spec.keepers
        assert executor is not None
        return executor.reaction_us

    def _stale_leg(self, bucket: int) -> MarketDesk | None:
        """Return a market whose mark is too old to judge *bucket* by; None if all are fresh."""
        limit = self._spec.mark_max_age_us
        if not limit:
            return None
        now = self._context.now_us
        legs = self._margins.legs(bucket)
        return next((leg for leg in legs if now - leg.state.mark_at_us > limit), None)

    def is_stale(self, bucket: int) -> bool:
        """Return whether a mark is too old to judge *bucket* by."""
        return self._stale_leg(bucket) is not None

    def is_stopped(self, bucket: int, desk: MarketDesk) -> bool:
        """Return whether a mark is too old to judge *bucket* by, or its market is halted."""
        return self._is_halted(desk) or self.is_stale(bucket)

    def _is_halted(self, desk: MarketDesk) -> bool:
        return self._context.now_us < desk.state.halted_until_us

    def _stopped_us(self, liquidation: Liquidation) -> int:
        """Return how long a halt, or the grace after it, stops the leg that comes next."""
        if not self._context.scenario.mitigations:
            return 0
        bucket, leg = liquidation.bucket_id, self._next_leg(liquidation)
        halted = self._halt_left_us(liquidation)
        return halted or self._graces.left_us(bucket, leg, liquidation.cause)

    def _halt_left_us(self, liquidation: Liquidation) -> int:
        """Return how long the leg that comes next is still halted; 0 if it is not."""
        if not any(map(self._is_halted, self._context.markets)):
            return 0
        return max(self._next_leg(liquidation).state.halted_until_us - self._context.now_us, 0)

    def _decided(self, event: DecisionRecorded, _seq: int, _at_us: int) -> None:
        """Withdraw the offers that a halt has stopped."""
        if event.action is Action.HALTED:
            for offer in self._offers.values():
                if self._is_halted(offer.desk):
                    offer.close(FailedCall.HALTED)

    def _next_leg(self, liquidation: Liquidation) -> MarketDesk:
        """Return the leg that the next tranche is cut from."""
        legs = self._margins.legs(liquidation.bucket_id)
        if len(legs) == 1:
            return legs[0]
        views = [self._view(liquidation, leg) for leg in legs]
        return legs[first_leg(views, self._spec.cross.first_leg)]

    def _view(self, liquidation: Liquidation, desk: MarketDesk) -> LegView:
        """Return what the venue sees of one leg, in its own book as it stands."""
        bucket, now = liquidation.bucket_id, self._context.now_us
        position = self._margins.position(desk, bucket)
        size = self._tranche_size(liquidation, desk)
        order, book, reference = -size if position > 0 else size, desk.state.book, desk.path.at(now)
        return leg_view(
            position_e8=position,
            entry_e8=int(self._context.world.entry_e8[desk.market_id, bucket]),
            mark_e8=desk.state.mark_e8,
            rule=desk.rule,
            market_price_e8=displaced_price_e8(reference, desk.liquidity.displacement(book, now)),
            fill=desk.liquidity.fill(book, now, reference, order, None),
        )

    def _tranche_size(self, liquidation: Liquidation, desk: MarketDesk) -> int:
        spec, bucket = self._spec.tranches, liquidation.bucket_id
        return tranche_size_e8(
            remaining_e8=self._coins.size_e8(
                desk, bucket, abs(self._margins.position(desk, bucket))
            ),
            at_trigger_e8=self._coins.size_e8(
                desk, bucket, liquidation.at_trigger_e8[desk.market_id]
            ),
            share_e6=spec.share_e6,
            max_uusd=spec.max_uusd,
            min_uusd=spec.min_uusd,
            mark_e8=desk.state.mark_e8,
        )

    def _put_up(
        self, liquidation: Liquidation, desk: MarketDesk, size: int, executor: Executor
    ) -> Tranche:
        bucket, cause = liquidation.bucket_id, liquidation.cause
        liquidation.tranches += 1
        self._coins.slice_put_up(desk, bucket, size)
        self._fund.slice_put_up(bucket)
        limit_of = partial(self.limit_e8, desk, bucket, size)
        if executor.is_meeting:
            limit = limit_of(0)  # The fund pays nothing where slices meet.
        else:
            limit = limit_of()
            self._fund.record_limits(desk.market_id, bucket, limit_of, cause)
        event = TrancheStarted(
            liquidation_seq=liquidation.seq,
            bucket_id=bucket,
            market_id=desk.market_id,
            tranche_number=liquidation.tranches,
            quantity_e8=-size if self._margins.position(desk, bucket) > 0 else size,
            mark_price_e8=desk.state.mark_e8,
            limit_price_e8=limit,
            executor=executor,
        )
        seq = self._context.journal.append(event, cause)
        return Tranche(seq, bucket, desk, size, limit, is_long=event.quantity_e8 < 0)

    def limit_e8(
        self, desk: MarketDesk, bucket: int, size_e8: int, payable_uusd: int | None = None
    ) -> int:
        """Return the worst price of an order of *size_e8* now, or if the fund could pay so much."""
        return limit_price_e8(
            self._margins.leg_cash_uusd(desk, bucket),
            self._margins.position(desk, bucket),
            self._coins.units_of_e8(desk, bucket, size_e8),
            self._fund.payable_uusd(desk.market_id, bucket)
            if payable_uusd is None
            else payable_uusd,
            self._margins.coins(desk, bucket),
        )

    def _settle(
        self,
        liquidation: Liquidation,
        tranche: Tranche,
        filled: int = 0,
        taken_over: int = 0,
        deleveraged: int = 0,
        cancelled: int = 0,
        crossed: int = 0,
    ) -> None:
        journal, bucket = self._context.journal, tranche.bucket_id
        if not self._margins.legs(bucket):
            self._coins.pay_debt(tranche.seq, tranche.desk, bucket, tranche.seq)
            self._fill_hole(tranche)
        self._settled_at_us[bucket] = self._context.now_us
        liquidation.cause = journal.append(
            TrancheSettled(
                tranche_seq=tranche.seq,
                bucket_id=bucket,
                filled_e8=filled,
                taken_over_e8=taken_over,
                deleveraged_e8=deleveraged,
                cancelled_e8=cancelled,
                crossed_e8=crossed,
            ),
            tranche.seq,
        )

    def _fill_hole(self, tranche: Tranche) -> None:
        """Have others pay what a bucket without a position still owes, and record the rest."""
        bucket, desk = tranche.bucket_id, tranche.desk
        hole = max(-self._ledger.cash_view[bucket], 0)
        drawn = self._fund.draw(tranche.seq, bucket, desk.market_id, hole, tranche.seq)
        if hole > drawn:
            drawn += self._stakers.slash(tranche.seq, bucket, desk.market_id, hole - drawn)
        if hole > drawn:
            share_loss(
                self._context,
                self._margins,
                self._watch_all,
                desk,
                tranche.seq,
                bucket,
                was_long=tranche.is_long,
            )
        debt = -self._ledger.cash_view[bucket]
        if debt > 0:
            self._context.log.info("bad_debt", bucket_id=bucket, usd=format_usd(debt))
            event = BadDebtRecorded(tranche.seq, bucket, debt)
            self._context.journal.append(event, tranche.seq)

    def _end(self, liquidation: Liquidation) -> None:
        bucket, desk = liquidation.bucket_id, liquidation.desk
        is_closed = not self._margins.legs(bucket)
        del self._liquidations[bucket]
        seq = self._context.journal.append(
            LiquidationEnded(
                liquidation_seq=liquidation.seq,
                bucket_id=bucket,
                market_id=desk.market_id,
                outcome=LiquidationOutcome.CLOSED if is_closed else LiquidationOutcome.RESTORED,
                quantity_e8=self._margins.position(desk, bucket),
                cash_uusd=self._ledger.cash_view[bucket],
            ),
            liquidation.cause,
        )
        self._watch(bucket)
        if self._follower is not None:
            self._follower.ended(bucket, seq)

    def is_restored(self, bucket: int) -> bool:
        """Return whether the margin of *bucket* is restored at the marks."""
        return self._margins.is_restored(bucket)

    # Settlement ---------------------------------------------------------------------------------

    def settlement(
        self,
        desk: MarketDesk,
        bucket: int,
        quantity_e8: int,
        cost_uusd: int,
        price_e8: int,
        rates: FeeRates,
    ) -> Settlement:
        """Return what an execution leaves to the fee, the fund and the account."""
        closed = self._coins.closing(desk, bucket, quantity_e8, price_e8)
        return self._settlement(desk, bucket, quantity_e8, closed, cost_uusd, price_e8, rates)

    def _settlement(
        self,
        desk: MarketDesk,
        bucket: int,
        quantity_e8: int,
        closed: int,
        cost_uusd: int,
        price_e8: int,
        rates: FeeRates,
    ) -> Settlement:
        fee = rates.fee_uusd(abs(quantity_e8), desk.state.mark_e8, price_e8)
        if desk.rule.is_inverse:
            cost_uusd = taker_cost_uusd(closed, price_e8)
        return decide_settlement(
            self._margins.backing_uusd(desk, bucket, price_e8),
            self._margins.position(desk, bucket),
            closed,
            cost_uusd,
            fee,
            taker_uusd=rates.taker_uusd(abs(quantity_e8), price_e8),
            has_other_legs=len(self._margins.legs(bucket)) > 1,
        )

    def route(
        self,
        tranche_seq: int,
        desk: MarketDesk,
        bucket: int,
        settlement: Settlement,
        cause: int,
        keeper_id: int | None = None,
    ) -> None:
        """Record what others paid or gained by one execution, and what is settled in coins."""
        self._route_surplus(tranche_seq, bucket, settlement, cause)
        shortfall = settlement.shortfall_uusd
        self._fund.draw(tranche_seq, bucket, desk.market_id, shortfall, cause)
        self._coins.settle(tranche_seq, desk, bucket, cause)
        penalty = settlement.penalty_uusd
        self._incentives.route(tranche_seq, bucket, desk.market_id, penalty, keeper_id, cause)

    def _route_surplus(
        self, tranche_seq: int, bucket: int, settlement: Settlement, cause: int
    ) -> None:
        if settlement.surplus_uusd and self._spec.waterfall.surplus_to == "fund":
            surplus = SurplusRouted(tranche_seq, bucket, settlement.surplus_uusd)
            self._context.journal.append(surplus, cause)

    def deleverage(self, tranche: Tranche, size_e8: int) -> int:
        """Close up to *size_e8* against winners at bankruptcy; return how much."""
        if not size_e8 or self._spec.waterfall.deleveraging == "none":
            return 0
        desk, bucket, world = tranche.desk, tranche.bucket_id, self._context.world
        position = self._margins.position(desk, bucket)
        price = self._margins.bankruptcy_price_e8(desk, bucket)
        if not price:
            return 0
        first, sizes = self._context.first_bucket, self._coins.sizes_e8(desk, bucket)
        idle = np.flatnonzero(world.liquidation_seq[first:] < 0) + first
        parts = decide_deleveraging(
            price_e8=price,
            size_e8=size_e8,
            takes_shorts=position > 0,
            ids=idle,
            cash_of=partial(self._margins.backing_of_all, desk, price),
            units=self._ledger.units[desk.market_id],
            entry_e8=world.entry_e8[desk.market_id],
            sizes_e8=sizes,
            rule=self._spec.waterfall.deleveraging,
            cap_e6=self._spec.waterfall.deleveraging_cap_e6,
        )
        self._context.log.info(
            "deleveraging", bucket_id=bucket, market=desk.spec.name, accounts=len(parts)
        )
        for number, part in enumerate(parts, start=1):
            quantity = -part.size_e8 if position > 0 else part.size_e8
            self._coins.closing(desk, bucket, quantity, price)
            other = part.counterparty_id
            whole = part.size_e8 if sizes is None else int(sizes[other])
            self._coins.opposed(desk, other, part.size_e8, whole, price)
            seq = self._context.journal.append(
                PositionDeleveraged(
                    tranche_seq=tranche.seq,
                    bucket_id=bucket,
                    counterparty_id=other,
                    market_id=desk.market_id,
                    rank_number=number,
                    quantity_e8=quantity,
                    price_e8=price,
                    cost_uusd=taker_cost_uusd(quantity, price),
                ),
                tranche.seq,
            )
            self._coins.settle(tranche.seq, desk, bucket, seq)
            self._coins.settle(tranche.seq, desk, other, seq)
            self._coins.pay_debt(tranche.seq, desk, other, seq)
            self._watch(other)
        return sum(part.size_e8 for part in parts)

    # Execution by keepers -----------------------------------------------------------------------

    def _offer(self, tranche: Tranche) -> "simpy.events.ProcessGenerator":
        """Offer the slice to keepers until it is gone; return (taken over, deleveraged)."""
        desk, bucket = tranche.desk, tranche.bucket_id
        left, taken_over, deleveraged, is_forced = tranche.size_e8, 0, 0, False
        if self._is_beyond(desk, bucket, left, self._takeover_price(desk, bucket)):
            taken_over = self.backstop(tranche, left)
            deleveraged = self.deleverage(tranche, left - taken_over)
            left -= taken_over + deleveraged
            is_forced = True  # Nobody is left to share the loss: any price will do.
        if not left:
            return taken_over, deleveraged
        number = self._offer_counts[bucket] = self._offer_counts.get(bucket, 0) + 1
        offer = self._offers[bucket] = Offer(
            tranche_seq=tranche.seq,
            bucket_id=bucket,
            offer_number=number,
            desk=desk,
            size_e8=left,
            is_long=self._margins.position(desk, bucket) > 0,
            is_forced=is_forced,
            closed=self._context.env.event(),
        )
        self._margins.watch_restoration(bucket)
        assert self._keepers is not None
        self._keepers.show(offer)
        self._liquidations[bucket].waits_for = UnresolvedReason.NO_EXECUTOR
        yield offer.closed
        del self._offers[bucket]
        self._margins.forget_restoration(bucket)
        if offer.closed_as is FailedCall.BEYOND_LIMIT:
            backstopped = self.backstop(tranche, left)
            taken_over += backstopped
            deleveraged += self.deleverage(tranche, left - backstopped)
        return taken_over + offer.taken_e8, deleveraged

    def next_mark(self, market_id: int) -> simpy.Event:
        """Return an event that fires when the next mark of a market lands."""
        return self._next_mark[market_id]

    def takeover_price_e8(self, offer: Offer) -> int:
        """Return the price at which *offer* can be had now."""
        return self._takeover_price(offer.desk, offer.bucket_id)

    def judge(self, offer: Offer) -> FailedCall | None:
        """Return why a call that lands now cannot have *offer*; None if it can."""
        if offer.closed_as is not None:
            return offer.closed_as
        desk, bucket = offer.desk, offer.bucket_id
        price = self._takeover_price(desk, bucket)
        if not offer.is_forced and self._is_beyond(desk, bucket, offer.size_e8, price):
            offer.close(FailedCall.BEYOND_LIMIT)
            return offer.closed_as
        return None

    def hand_over(self, offer: Offer, keeper_id: int, call_cost_uusd: int, sent_at_us: int) -> int:
        """Let a keeper have *offer*; return the number of the takeover."""
        desk, bucket = offer.desk, offer.bucket_id
        rewards = self._rewards(offer)  # By what stands before the takeover changes it.
        seq = self._take_over(
            offer.tranche_seq,
            bucket,
            desk,
            offer.size_e8,
            self._takeover_price(desk, bucket),
            keeper_id=keeper_id,
            call_cost_uusd=call_cost_uusd,
            sent_at_us=sent_at_us,
            is_keeper=True,
        )
        self._incentives.pay(rewards, offer.tranche_seq, bucket, keeper_id, seq)
        offer.taken_e8 = offer.size_e8
        offer.close(FailedCall.LOST_RACE)
        return seq

    def _take_over(
        self,
        tranche_seq: int,
        bucket: int,
        desk: MarketDesk,
        size_e8: int,
        price_e8: int,
        *,
        keeper_id: int,
        call_cost_uusd: int,
        sent_at_us: int,
        is_keeper: bool = False,
        may_draw: bool = True,
    ) -> int:
        """Record that somebody takes over a slice, or part of it; return the number of that."""
        quantity = -size_e8 if self._margins.position(desk, bucket) > 0 else size_e8
        cost = taker_cost_uusd(quantity, price_e8)
        settlement = self.settlement(desk, bucket, quantity, cost, price_e8, self._takeover_fees)
        if not may_draw:
            settlement = attrs.evolve(settlement, shortfall_uusd=0)
        event = TrancheTakenOver(
            tranche_seq=tranche_seq,
            bucket_id=bucket,
            keeper_id=keeper_id,
            market_id=desk.market_id,
            quantity_e8=quantity,
            price_e8=price_e8,
            cost_uusd=cost,
            fee_uusd=settlement.fee_uusd,
            call_cost_uusd=call_cost_uusd,
            sent_at_us=sent_at_us,
        )
        seq = self._context.journal.append(event, tranche_seq)
        self.route(tranche_seq, desk, bucket, settlement, seq, keeper_id if is_keeper else None)
        return seq

    # What keepers count on -----------------------------------------------------------------------

    def promise(self, offer: Offer) -> Promise:
        """Return what a keeper is paid for taking *offer* over now, beside what it sells on."""
        last_us = self._context.scenario.end_us - 1
        share = self._penalty_share(offer)
        return Promise(self._context.now_us, last_us, share, self._rewards(offer))

    def _rewards(self, offer: Offer) -> list[Reward]:
        if not self._incentives.has_rewards:
            return []
        since_us = self._liquidations[offer.bucket_id].triggered_at_us
        return self._incentives.rewards(offer.desk, offer.bucket_id, since_us)

    def _penalty_share(self, offer: Offer) -> int:
        """Return what of the penalty of a takeover of *offer* now would be its keeper's."""
        desk, bucket = offer.desk, offer.bucket_id
        if not self._incentives.has_routing:
            return 0
        quantity, price = (
            -offer.size_e8 if offer.is_long else offer.size_e8,
            self.takeover_price_e8(offer),
        )
        closed = self._coins.would_close(desk, bucket, quantity)
        cost = taker_cost_uusd(quantity, price)
        settled = self._settlement(desk, bucket, quantity, closed, cost, price, self._takeover_fees)
        return self._incentives.keeper_share_uusd(desk.market_id, settled.fee_uusd)

    def _look_at_rewards_soon(self, law: str, market_id: int | None = None) -> None:
        """
        Have keepers look at rewards of *law* once what moves them has happened.

        With *market_id*, only if it acts there; a margin is moved by what any market does.
        """
        if law not in self._looks_due and self._incentives.has_law(law, market_id):
            self._looks_due.add(law)
            self._context.call(0, Priority.KEEPER, self._look_at_rewards, law, rank=1)

    def _look_at_rewards(self, law: str) -> None:
        self._looks_due.remove(law)
        assert self._keepers is not None
        self._keepers.look_at_rewards(law)

    def _desk_takes(self, tranche: Tranche) -> int:
        """Have the venue's desk take over what it can of a slice; return the units."""
        terms, desk, bucket = self._spec.desk_in_use, tranche.desk, tranche.bucket_id
        if terms is None or self._desk is None:
            return 0
        if terms.price == "mark":
            return self._stocked(self._desk, terms, tranche, tranche.size_e8)
        price = self._margins.bankruptcy_price_e8(desk, bucket)
        return self._stocked(self._desk, terms, tranche, tranche.size_e8, price)

    def _go_ahead(self, tranche: Tranche, size_e8: int) -> int:
        """Have the pools that go ahead of the book take over up to *size_e8*; return how much."""
        left, desk = size_e8, tranche.desk
        for one in self._absorbers:
            pool = one.spec
            if not left or not isinstance(pool, Pool) or one.only not in (None, desk.market_id):
                continue
            size, price = self._part(one.inventory, pool, tranche, left)
            book_price = self._price_in_book(tranche, left) if size else None
            if not size or not goes_ahead(pool.when, price, book_price, is_long=tranche.is_long):
                continue
            decision = DecisionRecorded(
                mitigation_id=one.mitigation_id,
                action=Action.ABSORBED,
                market_id=desk.market_id,
                bucket_id=tranche.bucket_id,
                wanted_e8=left,
                size_e8=size,
                amount_uusd=one.inventory.free_uusd(),
                book_price_e8=NOT_OBSERVED if book_price is None else book_price,
            )
            self._context.journal.append(decision, tranche.seq)
            self._stock(one.inventory, tranche, size, price)
            tranche.went_ahead.append(one.inventory.owner_id)
            left -= size
        return size_e8 - left

    def _price_in_book(self, tranche: Tranche, size_e8: int) -> int | None:
        """Return the average price of *size_e8* in the book as it stands; None if it has less."""
        desk, now = tranche.desk, self._context.now_us
        order = -size_e8 if tranche.is_long else size_e8
        fill = desk.liquidity.fill(desk.state.book, now, desk.path.at(now), order, None)
        return None if fill is None or fill.quantity_e8 != order else fill.price_e8

    def backstop(self, tranche: Tranche, size_e8: int) -> int:
        """
        Have vaults and pools take over up to *size_e8*, one after the other; return how much.

        A pool that has gone ahead of the book is not asked for more of the same slice.
        """
        left = size_e8
        for one in self._absorbers:
            acts = one.only in (None, tranche.desk.market_id)
            if left and acts and one.inventory.owner_id not in tranche.went_ahead:
                left -= self._stocked(one.inventory, one.spec, tranche, left)
        return size_e8 - left

    def _stocked(
        self,
        inventory: Inventory,
        terms: LiquidationDesk | Backstop | Pool,
        tranche: Tranche,
        size_e8: int,
        price_e8: int | None = None,
    ) -> int:
        """Add what can be of a slice to an inventory; return the units."""
        size, price = self._part(inventory, terms, tranche, size_e8, price_e8)
        if size:
            self._stock(inventory, tranche, size, price)
        return size

    def _part(
        self,
        inventory: Inventory,
        terms: LiquidationDesk | Backstop | Pool,
        tranche: Tranche,
        size_e8: int,
        price_e8: int | None = None,
    ) -> tuple[int, int]:
        """Return how much of a slice an inventory can take, at a price or the mark's discount."""
        desk, bucket = tranche.desk, tranche.bucket_id
        mark, position = desk.state.mark_e8, self._margins.position(desk, bucket)
        if price_e8 is None:
            price_e8 = takeover_price_e8(mark, terms.discount_e6, position)
            if self._is_beyond(desk, bucket, size_e8, price_e8):
                return 0, price_e8
        if not 0 < price_e8 < BOUND:
            # No price leaves the bucket without equity: it is no takeover at bankruptcy.
            return 0, price_e8
        size = desk_size_e8(
            size_e8,
            price_e8=price_e8,
            mark_e8=mark,
            free_uusd=inventory.free_uusd(),
            held_e8=inventory.units_e8(desk.market_id),
            limit_uusd=terms.position_limit_uusd,
            is_long=tranche.is_long,
        )
        return size, price_e8

    def _stock(
        self,
        inventory: Inventory,
        tranche: Tranche,
        size_e8: int,
        price_e8: int,
        *,
        may_draw: bool = True,
    ) -> None:
        """Add *size_e8* of a slice to an inventory."""
        seq = self._take_over(
            tranche.seq,
            tranche.bucket_id,
            tranche.desk,
            size_e8,
            price_e8,
            keeper_id=inventory.owner_id,
            call_cost_uusd=0,
            sent_at_us=self._context.now_us,
            may_draw=may_draw,
        )
        inventory.taken_over(tranche.desk, seq)

    def _takeover_price(self, desk: MarketDesk, bucket: int) -> int:
        spec = self._spec.keepers
        assert spec is not None
        return takeover_price_e8(
            desk.state.mark_e8, spec.discount_e6, self._margins.position(desk, bucket)
        )

    def _is_beyond(self, desk: MarketDesk, bucket: int, size_e8: int, price_e8: int) -> bool:
        """Return whether *price_e8* is worse than bankruptcy less what the fund can pay."""
        limit = self.limit_e8(desk, bucket, size_e8)
        return price_e8 < limit if self._margins.position(desk, bucket) > 0 else price_e8 > limit

    # The end ------------------------------------------------------------------------------------

    def close_books(self) -> None:
        """Record every liquidation that is still open, and what it waits for."""
        for bucket in np.flatnonzero(self._context.world.liquidation_seq >= 0).tolist():
            liquidation = self._liquidations[bucket]
            reason = liquidation.waits_for
            if reason is UnresolvedReason.NO_FRESH_PRICE and not self.is_stale(bucket):
                reason = UnresolvedReason.SPACING  # A fresh one has landed in the pause.
            if reason is UnresolvedReason.HALTED and not self._is_held_back(bucket):
                reason = UnresolvedReason.SPACING  # The halt has ended in the pause.
            if bucket in self._offers and self._offers[bucket].pursuers:
                reason = UnresolvedReason.RUN_ENDED
            if self._engine is not None and self._engine.is_waiting(bucket):
                is_halted = self._halt_left_us(liquidation) > 0
                reason = UnresolvedReason.HALTED if is_halted else UnresolvedReason.NO_EXECUTOR
            self._context.journal.append(
                LiquidationUnresolved(
                    liquidation_seq=liquidation.seq,
                    bucket_id=bucket,
                    market_id=liquidation.desk.market_id,
                    quantity_e8=self._margins.position(liquidation.desk, bucket),
                    reason=reason,
                ),
                liquidation.seq,
            )
