"""Keeper bots: they watch offers, race to land a call, take over, and sell on."""

from collections import Counter
from collections.abc import Callable
from typing import Protocol

import attrs
import simpy

from liqsim.events import FailedCall, KeeperCallFailed
from liqsim.mechanics.resale import expected_profit_uusd, resale_order_e8, takeover_cost_uusd
from liqsim.mechanics.windows import window_left_us
from liqsim.processes.context import Context, MarketDesk, Priority, Process
from liqsim.processes.incentives import Promise
from liqsim.processes.resale import Inventory
from liqsim.rng import Stream, lognormal_us
from liqsim.scenario.model import Keeper, Latency
from liqsim.units import BOUND

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

    def promise(self, offer: Offer) -> Promise:
        """Return what a keeper is paid for taking *offer* over now, beside what it sells on."""
        ...

    def hand_over(self, offer: Offer, keeper_id: int, call_cost_uusd: int, sent_at_us: int) -> int:
        """Let a keeper have *offer*; return the number of the takeover."""
        ...


class Keepers:
    """All keeper bots of one venue."""

    def __init__(self, context: Context, bots: tuple[Keeper, ...], first_owner: int) -> None:
        self._context = context
        self._bots = [
            _Bot(context, spec, first_owner + number, self._wake_at)
            for number, spec in enumerate(bots)
        ]
        self._wakes: set[int] = set()

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

    def look_at_rewards(self, law: str) -> None:
        """Have every keeper call for what it has put off and rewards of *law* now make worth it."""
        for bot in self._bots:
            bot.retry_rewarded(law)

    def _wake_at(self, at_us: int) -> None:
        """
        Plan that at *at_us* whoever waits for that instant looks again.

        All of them in one wake-up, in their own order and after what lands then: which of them was
        the first to put an offer off must not decide who is the first to call.
        """
        if at_us not in self._wakes:
            self._wakes.add(at_us)
            delay = at_us - self._context.now_us
            self._context.call(delay, Priority.KEEPER, self._woken, at_us, rank=1)

    def _woken(self, at_us: int) -> None:
        self._wakes.remove(at_us)
        for bot in self._bots:
            bot.retry(at_us)


@attrs.frozen
class _PutOff:
    """
    An offer that a keeper has put off.

    Attributes:
        offer: The offer.
        attempt: Tries for it so far.
        until_us: When a rising reward will make it worth a call, if it waits for that.
    """

    offer: Offer
    attempt: int
    until_us: int | None = None


class _Bot:
    """One keeper. It tries for several offers at once, as far as its purse reaches."""

    seller: Seller

    def __init__(
        self, context: Context, spec: Keeper, owner_id: int, wake_at: Callable[[int], None]
    ) -> None:
        self._context = context
        self._wake_at = wake_at
        self._spec = spec
        self._owner_id = owner_id
        self._reactions = Stream(context.scenario.seed, f"keeper.{spec.name}", "reaction")
        self._landings = Stream(context.scenario.seed, f"keeper.{spec.name}", "landing")
        self._committed_uusd = 0
        self._counted_uusd: Counter[int] = Counter()
        self._calls_in_flight = 0
        self._put_off: list[_PutOff] = []
        self._inventory = Inventory(
            context,
            owner_id,
            spec,
            lambda market_id: self.seller.next_mark(market_id),  # noqa: PLW0108 — named later
            down_for_us=self._down_for_us,
            # Calls on their way must be paid for.
            reserved_uusd=lambda: self._calls_in_flight * spec.call_cost_uusd,
            after_sale=self.retry,
        )

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
        rewards = self._count_on(offer, attempt)
        if rewards is None:
            return
        self._counted_uusd.update(rewards)
        self._committed_uusd += need
        self._calls_in_flight += 1
        offer.pursuers += 1
        sent_at = self._context.now_us
        landing = self._delay_us(self._landings, self._spec.landing, offer, attempt)
        yield self._context.wake(landing, Priority.KEEPER)
        self._committed_uusd -= need
        self._counted_uusd.subtract(rewards)
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
                self._put_off.append(_PutOff(offer, attempt))
            return
        seq = self.seller.hand_over(offer, self._owner_id, cost, sent_at_us)
        self._inventory.taken_over(offer.desk, seq)

    def retry(self, until_us: int | None = None) -> None:
        """
        Look again at offers that were out of reach: capital may have come back, prices changed.

        With *until_us*, at those alone that were put off until then.
        """
        waiting, self._put_off = self._put_off, []
        for put_off in waiting:
            if not put_off.offer.is_open:
                continue
            if until_us not in (None, put_off.until_us):
                self._put_off.append(put_off)
            elif self._count_on(put_off.offer, put_off.attempt) is not None:
                self._context.start(self._try_for(put_off.offer, put_off.attempt))

    def retry_rewarded(self, law: str) -> None:
        """
        Call for offers that were put off and that rewards of *law*, and they alone, make worth it.

        Without that law nobody would look now: a law that pays nothing must not have somebody see
        sooner what else has changed. All others stay put off as they were.
        """
        waiting, self._put_off = self._put_off, []
        for put_off in waiting:
            offer = put_off.offer
            lacking = self._lacking_uusd(offer) if offer.is_open else None
            if (
                lacking is not None
                and self._need_uusd(offer) <= self._available_uusd()
                and self.seller.promise(offer).is_made_by(law, lacking, self._counted_uusd)
            ):
                self._context.start(self._try_for(offer, put_off.attempt))
            else:
                self._put_off.append(put_off)

    def _count_on(self, offer: Offer, attempt: int) -> dict[int, int] | None:
        """
        Return the rewards that a call for *offer* counts on, by mitigation; None if it is put off.

        It is if the purse cannot pay, or if what the treasury would pay now does not make it worth
        a call; what own calls on their way count on will not be paid twice.
        """
        until_us = None
        if self._need_uusd(offer) <= self._available_uusd():
            lacking = self._lacking_uusd(offer)
            if lacking is not None:
                promise = self.seller.promise(offer)
                rewards = promise.parts_uusd(self._counted_uusd)
                if lacking <= promise.penalty_uusd + sum(rewards.values()):
                    return rewards
                until_us = promise.from_us(lacking, self._counted_uusd)
        self._put_off.append(_PutOff(offer, attempt, until_us))
        if until_us is not None:
            self._wake_at(until_us)
        return None

    def _down_for_us(self) -> int:
        """Return how long this keeper is still down; 0 when it is up."""
        return window_left_us(self._spec.downtime, self._context.now_us)

    def _need_uusd(self, offer: Offer) -> int:
        """Return what a call for *offer* and the takeover itself cost."""
        price = self.seller.takeover_price_e8(offer)
        return takeover_cost_uusd(offer.size_e8, price, self._spec.call_cost_uusd)

    def _lacking_uusd(self, offer: Offer) -> int | None:
        """
        Return what *offer* lacks to the least profit that the keeper asks for; negative is spare.

        Every part is reckoned to fetch what the book shows for one now; what the book cannot show
        promises nothing, and then nothing that is paid on top can make up for it: None.
        """
        if self._spec.min_profit_uusd is None:
            return -BOUND
        desk, now = offer.desk, self._context.now_us
        held = offer.size_e8 if offer.is_long else -offer.size_e8
        part = resale_order_e8(held, offer.size_e8, self._spec.resale_parts)
        fill = desk.liquidity.fill(desk.state.book, now, desk.path.at(now), part, None)
        if fill is None or fill.quantity_e8 != part:
            return None
        price, cost = self.seller.takeover_price_e8(offer), self._spec.call_cost_uusd
        profit = expected_profit_uusd(held, price, fill.price_e8, cost)
        return self._spec.min_profit_uusd - profit

    def _available_uusd(self) -> int:
        return self._inventory.free_uusd() - self._committed_uusd

    def _delay_us(self, stream: Stream, law: Latency, offer: Offer, attempt: int) -> int:
        if law.median_us == law.p99_us:
            return law.median_us
        bucket = offer.bucket_id - self._context.first_bucket
        entity, index = draw_key(bucket, offer.offer_number, attempt)
        return lognormal_us(law.median_us, law.p99_us, stream.normal_at(entity, index))
