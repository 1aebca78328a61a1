"""Slices that wait before they go to the book: for the other side, or for an auction."""

from collections.abc import Iterable

import attrs
import simpy

from liqsim.events import Action, DecisionRecorded
from liqsim.mechanics.mitigations.pacing import Ask
from liqsim.processes.context import Context, MarketDesk


@attrs.define(eq=False)
class Hold:
    """
    How long the slice of a leg may be held.

    Attributes:
        since_us: When it could first have been put up.
        until_us: Until when it may be held.
        freed: Fires when it is held no longer; None while it is not held.
    """

    since_us: int
    until_us: int
    freed: simpy.Event | None = None

    def free(self, freed: simpy.Event | None) -> None:
        """Let it go on if it is still held as it was when *freed* was to fire."""
        if freed is not None and self.freed is freed:
            self.freed = None
            freed.succeed()


class Holds:
    """
    Whoever is held by one kind of mitigation, until a slice of the account is put up.

    By leg: one that comes first again has been held already.

    Args:
        context: The run.
        markets: Where slices are held.
    """

    def __init__(self, context: Context, markets: Iterable[int]) -> None:
        self._context = context
        self._markets = tuple(markets)
        self._of: dict[tuple[int, int], Hold] = {}

    def of(self, desk: MarketDesk, bucket: int) -> Hold:
        """Return how long the slice of a leg may be held."""
        return self._of[bucket, desk.market_id]

    def asked(self, ask: Ask, until_us: int) -> Hold:
        """Take note that a slice could be put up: the first time says until when it may wait."""
        return self._of.setdefault((ask.bucket_id, ask.market_id), Hold(ask.now_us, until_us))

    def hold(self, ask: Ask, mitigation_id: int, cause: int) -> simpy.Event | None:
        """Hold a slice, and return what fires when it is free; None if it has waited enough."""
        hold = self._of[ask.bucket_id, ask.market_id]
        if ask.now_us >= hold.until_us:
            return None
        decision = DecisionRecorded(
            mitigation_id=mitigation_id,
            action=Action.HELD,
            market_id=ask.market_id,
            bucket_id=ask.bucket_id,
            wanted_e8=ask.wanted_e8,
            until_at_us=hold.until_us,
        )
        self._context.journal.append(decision, cause)
        hold.freed = self._context.env.event()
        return hold.freed

    def held(self, market_id: int) -> list[int]:
        """Return the buckets whose slices are held in a market, the earliest first."""
        triggers = self._context.world.liquidation_seq
        found = [
            (hold.since_us, int(triggers[bucket]), bucket)
            for (bucket, market), hold in self._of.items()
            if hold.freed is not None and market == market_id
        ]
        return [bucket for *_, bucket in sorted(found)]

    def forget(self, bucket: int) -> None:
        """Take note that the slice of a bucket is no more: the next may wait anew."""
        for market_id in self._markets:
            self._of.pop((bucket, market_id), None)
