"""
The venue's own engine: child orders into the book, what is left down the waterfall.

Where it can send only so many orders a second, or none in an outage, the orders of all
liquidations go through one turnstile, the earliest trigger first.
"""

from heapq import heappop, heappush
from typing import Protocol

import attrs
import simpy

from liqsim.events import OrderFilled
from liqsim.mechanics.liquidity import displaced_price_e8
from liqsim.mechanics.tranches import units_within_e8
from liqsim.mechanics.waterfall import FeeRates, Settlement
from liqsim.mechanics.windows import order_us, window_left_us
from liqsim.processes.context import Context, MarketDesk, Priority
from liqsim.scenario.model import Windows
from liqsim.units import taker_cost_uusd


@attrs.frozen(eq=False)
class Tranche:
    """
    A slice that has been put up.

    Attributes:
        seq: Its `tranche_started`.
        bucket_id: The bucket.
        desk: The market.
        size_e8: Units, without sign.
        limit_e8: Worst price of its execution.
        is_long: Whether the position is long.
        went_ahead: The pools, as owners, that have taken over of it ahead of the book.
    """

    seq: int
    bucket_id: int
    desk: MarketDesk
    size_e8: int
    limit_e8: int
    is_long: bool
    went_ahead: list[int] = attrs.Factory(list)


class Principal(Protocol):
    """What the engine needs of the venue."""

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
        ...

    def route(
        self, tranche_seq: int, desk: MarketDesk, bucket: int, settlement: Settlement, cause: int
    ) -> None:
        """Record what the fund paid or gained by one execution, and what is settled in coins."""
        ...

    def backstop(self, tranche: Tranche, size_e8: int) -> int:
        """Have the vaults take over up to *size_e8*; return how much."""
        ...

    def deleverage(self, tranche: Tranche, size_e8: int) -> int:
        """Close up to *size_e8* against winners at bankruptcy; return how much."""
        ...

    def limit_e8(self, desk: MarketDesk, bucket: int, size_e8: int) -> int:
        """Return the worst price of an order of *size_e8* now."""
        ...

    def is_restored(self, bucket: int) -> bool:
        """Return whether the margin of *bucket* is restored at the marks."""
        ...

    def is_stopped(self, bucket: int, desk: MarketDesk) -> bool:
        """Return whether a mark is too old to judge *bucket* by, or its market is halted."""
        ...


class _Turnstile:
    """
    Lets one order through at a time, the earliest trigger first; none in an outage.

    SimPy's own resource sorts its queue at every request, which is slow with hundreds waiting.
    """

    def __init__(self, context: Context, outages: Windows) -> None:
        self._context = context
        self._outages = outages
        self._queue: list[tuple[int, simpy.Event]] = []  # No two have one trigger.
        self._is_shut = False
        self._is_planned = False

    def ask(self, trigger_seq: int) -> simpy.Event:
        """Return an event that fires when the turn has come."""
        turn = self._context.env.event()
        heappush(self._queue, (trigger_seq, turn))
        self._plan()
        return turn

    def open(self) -> None:
        """Let the next order through."""
        self._is_shut = False
        self._plan()

    def _plan(self) -> None:
        # Not at once, but when all who ask in this instant have asked.
        if not self._is_planned:
            self._is_planned = True
            wait = window_left_us(self._outages, self._context.now_us)
            self._context.call(wait, Priority.ORDER, self._let_through)

    def _let_through(self) -> None:
        self._is_planned = False
        if self._queue and not self._is_shut:
            self._is_shut = True
            _, turn = heappop(self._queue)
            turn.succeed()


class Engine:
    """
    Executes tranches.

    Args:
        context: The run.
        principal: The venue it works for.
    """

    def __init__(self, context: Context, principal: Principal) -> None:
        spec = context.scenario.venue.engine
        assert spec is not None
        fees = context.scenario.venue.fees
        self._context = context
        self._spec = spec
        self._principal = principal
        self._fees = FeeRates(
            fees.liquidation_on_mark_e6, fees.liquidation_on_execution_e6, fees.taker_e6
        )
        is_limited = bool(spec.rate_e6 or spec.overloads or spec.outages)
        self._turnstile = _Turnstile(context, spec.outages) if is_limited else None
        self._turns: dict[int, simpy.Event] = {}

    def has_turn(self, bucket: int) -> bool:
        """Return whether an order of *bucket* may go at this instant."""
        turn = self._turns.get(bucket)
        return self._turnstile is None or (turn is not None and turn.triggered)

    def is_waiting(self, bucket: int) -> bool:
        """Return whether *bucket* has asked for its turn and not used it."""
        return bucket in self._turns

    def turn(self, bucket: int) -> simpy.Event:
        """
        Return an event that fires when an order of *bucket* may go.

        From then on, until the order goes or the turn is passed on, no other order does.
        """
        assert self._turnstile is not None
        trigger_seq = int(self._context.world.liquidation_seq[bucket])
        turn = self._turns[bucket] = self._turnstile.ask(trigger_seq)
        return turn

    def pass_on(self, bucket: int) -> None:
        """Let the next order go instead of that of *bucket*, if it is its turn."""
        if bucket in self._turns:
            assert self._turnstile is not None
            del self._turns[bucket]
            self._turnstile.open()

    def execute(self, tranche: Tranche) -> "simpy.events.ProcessGenerator":
        """
        Send child orders, the remainder down the waterfall.

        Return (filled, taken over, deleveraged).

        It is the bucket's turn. An order that had to wait for its turn does not go if the margin is
        restored by then, and no later order goes on a mark that has become too old, or once its
        market is halted. Nothing else makes the position smaller meanwhile: an account in
        liquidation does not stand in the deleveraging queue.
        """
        desk, bucket, left = tranche.desk, tranche.bucket_id, tranche.size_e8
        while left:
            child = min(left, units_within_e8(self._spec.child_order_uusd, desk.state.mark_e8))
            part = self._send(tranche, child, self._limit(tranche, child))
            self.hold(bucket)
            left -= part
            if part < child:
                break  # Limit or depth is reached: the other children would get nothing.
            if left and self._spec.child_spacing_us:
                yield self._context.wake(self._spec.child_spacing_us, Priority.LIQUIDATION)
            if left and not self.has_turn(bucket):
                asked_us = self._context.now_us
                yield self.turn(bucket)
                if asked_us < self._context.now_us and self._principal.is_restored(bucket):
                    self.pass_on(bucket)
                    return tranche.size_e8 - left, 0, 0
            if left and self._principal.is_stopped(bucket, desk):
                self.pass_on(bucket)
                return tranche.size_e8 - left, 0, 0
        filled = tranche.size_e8 - left
        taken_over = self._principal.backstop(tranche, left)
        left -= taken_over
        if not left or not self._has_depth(tranche):
            return filled, taken_over, 0  # What the book cannot take waits for it to refill.
        deleveraged = self._principal.deleverage(tranche, left)
        left -= deleveraged
        if left:
            filled += self._send(tranche, left, None)
        return filled, taken_over, deleveraged

    def hold(self, bucket: int) -> None:
        """Keep the turnstile shut for as long as the order of *bucket* takes."""
        if self._turnstile is not None:
            del self._turns[bucket]
            busy = order_us(self._spec.rate_e6, self._spec.overloads, self._context.now_us)
            self._context.call(busy, Priority.ORDER, self._turnstile.open)

    def _has_depth(self, tranche: Tranche) -> bool:
        """Return whether the book would take another unit at some price."""
        desk, now = tranche.desk, self._context.now_us
        unit = -1 if tranche.is_long else 1
        book, reference = desk.state.book, desk.path.at(now)
        return desk.liquidity.fill(book, now, reference, unit, None) is not None

    def _limit(self, tranche: Tranche, size_e8: int) -> int:
        """Return the limit now, never beyond the one announced with the tranche."""
        limit = self._principal.limit_e8(tranche.desk, tranche.bucket_id, size_e8)
        return max(limit, tranche.limit_e8) if tranche.is_long else min(limit, tranche.limit_e8)

    def _send(self, tranche: Tranche, size_e8: int, limit_e8: int | None) -> int:
        """Send one order to the book and settle its fill; return the units filled."""
        desk, bucket, now = tranche.desk, tranche.bucket_id, self._context.now_us
        order = -size_e8 if tranche.is_long else size_e8
        reference, book = desk.path.at(now), desk.state.book
        fill = desk.liquidity.fill(book, now, reference, order, limit_e8)
        if fill is None:
            return 0
        cost = taker_cost_uusd(fill.quantity_e8, fill.price_e8)
        settlement = self._principal.settlement(
            desk, bucket, fill.quantity_e8, cost, fill.price_e8, self._fees
        )
        event = OrderFilled(
            tranche_seq=tranche.seq,
            bucket_id=bucket,
            market_id=desk.market_id,
            ordered_e8=order,
            quantity_e8=fill.quantity_e8,
            price_e8=fill.price_e8,
            cost_uusd=cost,
            fee_uusd=settlement.fee_uusd,
            reference_price_e8=reference,
            arrival_price_e8=displaced_price_e8(reference, desk.liquidity.displacement(book, now)),
            market_price_e8=fill.market_price_e8,
        )
        seq = self._context.journal.append(event, tranche.seq)
        self._principal.route(tranche.seq, desk, bucket, settlement, seq)
        self._context.book_changed(desk.market_id)
        return abs(fill.quantity_e8)
