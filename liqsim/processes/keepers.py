"""Keeper bots: they watch offers, race to land a call, take over, and sell on."""

from typing import Protocol

import attrs
import simpy

from liqsim.events import FailedCall, InventorySold, KeeperCallFailed
from liqsim.mechanics.resale import (
    affordable_price_e8,
    expected_profit_uusd,
    resale_order_e8,
    resale_pause_us,
    takeover_cost_uusd,
)
from liqsim.mechanics.windows import window_left_us
from liqsim.processes.context import Context, MarketDesk, Priority, Process
from liqsim.rng import Stream, lognormal_us
from liqsim.scenario.model import Keeper, Latency
from liqsim.units import NOTIONAL_DIVISOR, ceil_div, taker_cost_uusd

_ATTEMPTS_PER_ROW = 1_000
_BUCKETS_MAX = 2**32


def draw_key(bucket: int, offer_number: int, attempt: int) -> tuple[int, int]:
    """
    Return entity and index of a keeper's draw: no two tries, at any offers, share one.

    Offers of a bucket are a thousand indices apart; tries beyond go on under another entity.

    >>> draw_key(7, 2, 5), draw_key(7, 2, 1_005)
    ((7, 2005), (4294967303, 2005))
    """
    row, place = divmod(attempt, _ATTEMPTS_PER_ROW)
    return row * _BUCKETS_MAX + bucket, offer_number * _ATTEMPTS_PER_ROW + place


@attrs.define(eq=False)
class Offer:
    """
    A slice on offer to keepers.

    Attributes:
        tranche_seq: Its `tranche_started`.
        bucket_id: The bucket.
        offer_number: Count of offers of the bucket, over all its liquidations.
        desk: The market.
        size_e8: Units on offer, all or nothing.
        is_long: Whether who takes it over is long then.
        is_forced: Whether any price will do, because nobody is left to share the loss.
        closed: Fires when the offer is taken or withdrawn.
        closed_as: What a call that lands too late is told; None while the offer is open.
        taken_e8: Units taken over.
        pursuers: Keepers that react to it or have a call on its way.
    """

    tranche_seq: int
    bucket_id: int
    offer_number: int
    desk: MarketDesk
    size_e8: int
    is_long: bool
    is_forced: bool
    closed: simpy.Event
    closed_as: FailedCall | None = None
    taken_e8: int = 0
    pursuers: int = 0

    @property
    def is_open(self) -> bool:
        """Whether it can still be had."""
        return self.closed_as is None

    def close(self, reason: FailedCall) -> None:
        """Take it off the board; only the first reason counts."""
        if self.closed_as is None:
            self.closed_as = reason
            self.closed.succeed()


class Seller(Protocol):
    """What keepers need of the venue."""

    def takeover_price_e8(self, offer: Offer) -> int:
        """Return the price at which *offer* can be had now."""
        ...

    def judge(self, offer: Offer) -> FailedCall | None:
        """Return why a call that lands now cannot have *offer*; None if it can."""
        ...

    def next_mark(self, market_id: int) -> simpy.Event:
        """Return an event that fires when the next mark of a market lands."""
        ...

    def hand_over(self, offer: Offer, keeper_id: int, call_cost_uusd: int, sent_at_us: int) -> int:
        """Let a keeper have *offer*; return the number of the takeover."""
        ...


class Keepers:
    """All keeper bots of one venue."""

    def __init__(self, context: Context, bots: tuple[Keeper, ...], first_owner: int) -> None:
        self._bots = [_Bot(context, spec, first_owner + number) for number, spec in enumerate(bots)]

    def serve(self, seller: Seller) -> None:
        """Name the venue whose offers these keepers take."""
        for bot in self._bots:
            bot.seller = seller

    def show(self, offer: Offer) -> None:
        """Let every keeper see *offer*."""
        for bot in self._bots:
            bot.see(offer)

    def look_again(self) -> None:
        """Have every keeper look again at what it has put off: prices have changed."""
        for bot in self._bots:
            bot.retry()


class _Bot:
    """One keeper. It tries for several offers at once, as far as its purse reaches."""

    seller: Seller

    def __init__(self, context: Context, spec: Keeper, owner_id: int) -> None:
        self._context = context
        self._spec = spec
        self._owner_id = owner_id
        self._reactions = Stream(context.scenario.seed, f"keeper.{spec.name}", "reaction")
        self._landings = Stream(context.scenario.seed, f"keeper.{spec.name}", "landing")
        self._committed_uusd = 0
        self._calls_in_flight = 0
        self._put_off: list[tuple[Offer, int]] = []
        self._most_held_e8 = [0] * len(context.markets)
        self._is_selling = [False] * len(context.markets)
        self._takeover_seq = [-1] * len(context.markets)

    def see(self, offer: Offer) -> None:
        self._context.start(self._try_for(offer, attempt=0))

    def _try_for(self, offer: Offer, attempt: int) -> Process:
        """React, send a call if the offer is still there and affordable, and land it."""
        while True:
            down = self._down_for_us()
            if down:
                yield self._context.wake(down, Priority.KEEPER)
            reaction = self._delay_us(self._reactions, self._spec.reaction, offer, attempt)
            offer.pursuers += 1
            yield self._context.wake(reaction, Priority.KEEPER)
            offer.pursuers -= 1
            attempt += 1
            if not offer.is_open:
                return  # Nothing was sent: nothing happened.
            if not self._down_for_us():
                break
        need = self._need_uusd(offer)
        if need > self._available_uusd() or not self._is_worth(offer):
            self._put_off.append((offer, attempt))
            return
        self._committed_uusd += need
        self._calls_in_flight += 1
        offer.pursuers += 1
        sent_at = self._context.now_us
        landing = self._delay_us(self._landings, self._spec.landing, offer, attempt)
        yield self._context.wake(landing, Priority.KEEPER)
        self._committed_uusd -= need
        self._calls_in_flight -= 1
        offer.pursuers -= 1
        self._land(offer, attempt, sent_at)
        self.retry()

    def _land(self, offer: Offer, attempt: int, sent_at_us: int) -> None:
        failure = self.seller.judge(offer)
        cost = self._spec.call_cost_uusd
        if failure is None and self._need_uusd(offer) > self._available_uusd():
            failure = FailedCall.PURSE_SHORT
        if failure is not None:
            event = KeeperCallFailed(offer.tranche_seq, self._owner_id, failure, cost, sent_at_us)
            self._context.journal.append(event, offer.tranche_seq)
            if failure is FailedCall.PURSE_SHORT:
                self._put_off.append((offer, attempt))
            return
        market_id = offer.desk.market_id
        seq = self.seller.hand_over(offer, self._owner_id, cost, sent_at_us)
        self._takeover_seq[market_id] = seq
        held = abs(self._inventory_e8(market_id))
        self._most_held_e8[market_id] = max(self._most_held_e8[market_id], held) if held else 0
        if not self._is_selling[market_id]:
            self._context.start(self._sell(offer.desk))

    def _sell(self, desk: MarketDesk) -> Process:
        """Sell the inventory of one market on, a part at a time, until none is left."""
        market_id, delay = desk.market_id, self._spec.resale_delay_us
        self._is_selling[market_id] = True
        while True:
            yield self._context.wake(max(delay, self._down_for_us()), Priority.RESALE)
            if self._down_for_us():
                continue
            ordered, sold = self._send(desk)
            if not self._inventory_e8(market_id):
                break
            if not sold:
                yield self.seller.next_mark(market_id)  # Until prices move there is no use.
            spacing = self._spec.resale_spacing_us or self._spec.resale_delay_us
            delay = resale_pause_us(spacing, ordered, sold, desk.state.book.half_life_us)
        self._is_selling[market_id] = False
        self._most_held_e8[market_id] = 0

    def _send(self, desk: MarketDesk) -> tuple[int, int]:
        """Send the next order for the inventory of one market; return (ordered, filled) units."""
        now, market_id = self._context.now_us, desk.market_id
        inventory = self._inventory_e8(market_id)
        most, parts = self._most_held_e8[market_id], self._spec.resale_parts
        order_e8 = resale_order_e8(inventory, most, parts)
        if not order_e8:
            return 0, 0
        reference = desk.path.at(now)
        limit = None
        if order_e8 > 0:
            # A short is bought back for no more than the purse holds after the calls on their way.
            cash = self._context.world.ledger.cash_view[self._owner_id]
            spare = cash - self._calls_in_flight * self._spec.call_cost_uusd
            limit = affordable_price_e8(spare, order_e8)
            if limit < 1:
                return abs(order_e8), 0
        fill = desk.liquidity.fill(desk.state.book, now, reference, order_e8, limit)
        if fill is None:
            return abs(order_e8), 0
        event = InventorySold(
            keeper_id=self._owner_id,
            market_id=market_id,
            ordered_e8=order_e8,
            quantity_e8=fill.quantity_e8,
            price_e8=fill.price_e8,
            cost_uusd=taker_cost_uusd(fill.quantity_e8, fill.price_e8),
            reference_price_e8=reference,
            market_price_e8=fill.market_price_e8,
        )
        self._context.journal.append(event, self._takeover_seq[market_id])
        self._context.book_changed(market_id)
        self.retry()
        return abs(order_e8), abs(fill.quantity_e8)

    def retry(self) -> None:
        """Look again at offers that were out of reach, now that capital may have come back."""
        waiting, self._put_off = self._put_off, []
        for offer, attempt in waiting:
            if not offer.is_open:
                continue
            if self._need_uusd(offer) <= self._available_uusd() and self._is_worth(offer):
                self._context.start(self._try_for(offer, attempt))
            else:
                self._put_off.append((offer, attempt))

    def _down_for_us(self) -> int:
        """Return how long this keeper is still down; 0 when it is up."""
        return window_left_us(self._spec.downtime, self._context.now_us)

    def _need_uusd(self, offer: Offer) -> int:
        """Return what a call for *offer* and the takeover itself cost."""
        price = self.seller.takeover_price_e8(offer)
        return takeover_cost_uusd(offer.size_e8, price, self._spec.call_cost_uusd)

    def _is_worth(self, offer: Offer) -> bool:
        """
        Return whether *offer* promises the least profit that the keeper asks for.

        Every part is reckoned to fetch what the book shows for one now; what the book cannot show
        promises nothing.
        """
        if self._spec.min_profit_uusd is None:
            return True
        desk, now = offer.desk, self._context.now_us
        held = offer.size_e8 if offer.is_long else -offer.size_e8
        part = resale_order_e8(held, offer.size_e8, self._spec.resale_parts)
        fill = desk.liquidity.fill(desk.state.book, now, desk.path.at(now), part, None)
        if fill is None or fill.quantity_e8 != part:
            return False
        price, cost = self.seller.takeover_price_e8(offer), self._spec.call_cost_uusd
        profit = expected_profit_uusd(held, price, fill.price_e8, cost)
        return profit >= self._spec.min_profit_uusd

    def _available_uusd(self) -> int:
        """Return the capital that is free: a short ties up its proceeds and as much again."""
        available = self._context.world.ledger.cash_view[self._owner_id] - self._committed_uusd
        for desk in self._context.markets:
            short = max(-self._inventory_e8(desk.market_id), 0)
            available -= 2 * ceil_div(short * desk.state.mark_e8, NOTIONAL_DIVISOR)
        return available

    def _inventory_e8(self, market_id: int) -> int:
        return self._context.world.ledger.unit_views[market_id][self._owner_id]

    def _delay_us(self, stream: Stream, law: Latency, offer: Offer, attempt: int) -> int:
        if law.median_us == law.p99_us:
            return law.median_us
        bucket = offer.bucket_id - self._context.first_bucket
        entity, index = draw_key(bucket, offer.offer_number, attempt)
        return lognormal_us(law.median_us, law.p99_us, stream.normal_at(entity, index))
