"""Who would be due without displacement: balances watched at the shadow marks."""

from operator import attrgetter

import numpy as np

from liqsim.events import NO_CAUSE, ShadowCrossed
from liqsim.mechanics.margin import MARGIN_SCALE
from liqsim.mechanics.radius import Ints
from liqsim.processes.context import Context, MarketDesk, Priority
from liqsim.processes.margins import Holdings, LiveHoldings, Margins
from liqsim.world.views import int_view

_SHADOW = attrgetter("shadow_e8")


class Shadow:
    """
    Records who becomes due at the shadow marks: live balances, and those that stood at a trigger.

    A bucket in no liquidation is watched with its balances, and recorded once until they change. A
    trigger that was not due at the shadow marks is watched with the balances that it found. All is
    judged once per instant, when every mark of the instant has landed.

    Args:
        context: The run.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._holdings = LiveHoldings.of(context.world)
        self._live = Margins(context, self._holdings, _SHADOW)
        self._snapshots = _Snapshots(len(context.markets))
        self._open = Margins(context, self._snapshots, _SHADOW)
        self._crossed: dict[int, None] = {}
        self._triggers: dict[int, tuple[int, int]] = {}
        self._moved: dict[int, int] = {}

    def open_books(self) -> None:
        """Index every bucket by what would make it due."""
        self._live.open_books()

    def margin(self, bucket: int) -> int:
        """Return the margin of *bucket* at the shadow marks, in USD x 1e-22."""
        return self._live.margin(bucket)

    def is_due(self, bucket: int) -> bool:
        """Return whether the balances of *bucket* are due at the shadow marks, or were before."""
        return bucket in self._crossed or self._live.is_due(self._live.margin(bucket))

    def triggered(self, bucket: int, seq: int, *, is_open: bool) -> None:
        """Watch the balances of a trigger, if it *is_open* why they are due, not the bucket's."""
        self._live.forget(bucket)
        if is_open:
            member = self._snapshots.take(self._holdings, bucket)
            self._triggers[member] = bucket, seq
            self._open.enter(member, self._live.home(bucket))

    def watch(self, bucket: int) -> None:
        """Watch *bucket*, which is in no liquidation, with the balances that it has now."""
        self._crossed.pop(bucket, None)
        self._live.watch(bucket)

    def watch_all(self, buckets: Ints) -> None:
        """Watch many *buckets*, all with positions, likewise."""
        for bucket in buckets.tolist():
            self._crossed.pop(bucket, None)
        self._live.watch_all(buckets)

    def rules_changed(self, desk: MarketDesk, seq: int) -> None:
        """Judge everyone under the new rules of a market: rates, or the haircut on coins."""
        is_watched = self._context.world.liquidation_seq < 0
        is_watched[: self._context.first_bucket] = False
        is_watched[list(self._crossed)] = False
        self._live.reindex(desk, np.flatnonzero(is_watched))
        self._open.reindex(desk, np.array(list(self._triggers), dtype=np.int64))
        if desk.state.shadow_e8:
            self.moved(desk, seq)

    def moved(self, desk: MarketDesk, seq: int) -> None:
        """Take note that event *seq* set the shadow mark of *desk*, or how it is judged."""
        if not self._moved:
            self._context.call(0, Priority.CROSSING, self._judge)
        self._moved[desk.market_id] = seq
        self._live.mark_moved(desk)
        self._open.mark_moved(desk)

    def _judge(self) -> None:
        moved, self._moved = self._moved, {}
        for market_id in sorted(moved):
            desk = self._context.markets[market_id]
            for bucket, margin in self._live.now_due(desk):
                self._crossed[bucket] = None
                self._record(desk, bucket, NO_CAUSE, margin, moved[market_id])
            for member, margin in self._open.now_due(desk):
                bucket, trigger_seq = self._triggers.pop(member)
                self._record(desk, bucket, trigger_seq, margin, moved[market_id])

    def _record(
        self, desk: MarketDesk, bucket: int, liquidation_seq: int, margin: int, cause: int
    ) -> None:
        event = ShadowCrossed(
            bucket_id=bucket,
            market_id=desk.market_id,
            liquidation_seq=liquidation_seq,
            shadow_mark_e8=desk.state.shadow_e8,
            shadow_margin_uusd=margin // MARGIN_SCALE,
        )
        self._context.journal.append(event, cause)


class _Snapshots:
    """Balances that stood at triggers; members are numbered in the order of the triggers."""

    def __init__(self, market_count: int) -> None:
        self._count = 0
        empty = np.zeros((market_count, 0), dtype=np.int64)
        self._set(np.zeros(0, dtype=np.int64), empty, empty, empty)

    def _set(self, cash: Ints, units: Ints, coins: Ints, entry_e8: Ints) -> None:
        self.cash, self.units, self.coins, self.entry_e8 = cash, units, coins, entry_e8
        self.cash_view = int_view(cash)
        self.unit_views = tuple(int_view(row) for row in units)
        self.coin_views = tuple(int_view(row) for row in coins)
        self.entry_views = tuple(int_view(row) for row in entry_e8)

    def take(self, holdings: Holdings, bucket: int) -> int:
        """Keep the balances that *bucket* has now; return the number of the member."""
        member = self._count
        if member == len(self.cash):
            room = np.zeros((len(self.units), max(member, 64)), dtype=np.int64)
            self._set(
                np.concatenate([self.cash, np.zeros(room.shape[1], dtype=np.int64)]),
                np.concatenate([self.units, room], axis=1),
                np.concatenate([self.coins, room], axis=1),
                np.concatenate([self.entry_e8, room], axis=1),
            )
        self.cash[member] = holdings.cash[bucket]
        self.units[:, member] = holdings.units[:, bucket]
        self.coins[:, member] = holdings.coins[:, bucket]
        self.entry_e8[:, member] = holdings.entry_e8[:, bucket]
        self._count = member + 1
        return member
