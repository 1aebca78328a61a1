"""Batch auctions: due slices wait for the next one of their market."""

from collections.abc import Callable

import attrs
import simpy

from liqsim.events import Action, DecisionRecorded
from liqsim.mechanics.mitigations.batch_auction import next_auction_us
from liqsim.mechanics.mitigations.pacing import Ask
from liqsim.processes.context import Context, MarketDesk, Priority
from liqsim.scenario.mitigations import BatchAuction


@attrs.define(eq=False)
class _Wait:
    """
    A slice that waits for an auction, or has waited for it.

    Attributes:
        since_us: When it could first have been put up.
        until_us: When the auction is.
        liquidation_seq: The trigger.
        freed: Fires when it waits no longer; None while it does not.
    """

    since_us: int
    until_us: int
    liquidation_seq: int
    freed: simpy.Event | None = None


class Auctions:
    """
    Who waits for the next auction of which market.

    Args:
        context: The run.
        hold: Holds the auction of a market, which is due.
    """

    def __init__(self, context: Context, hold: Callable[[MarketDesk], None]) -> None:
        self._context = context
        self._hold = hold
        self._rules = {
            market_id: (number, spec)
            for number, spec in enumerate(context.scenario.mitigations)
            for market_id, market in enumerate(context.scenario.markets)
            if isinstance(spec, BatchAuction)
            and spec.period_us
            and spec.market in ("", market.name)
        }
        # By account and market: a leg that comes first again has waited already.
        self._waits: dict[tuple[int, int], _Wait] = {}
        self._called: set[tuple[int, int]] = set()

    def has_rule(self, desk: MarketDesk) -> bool:
        """Return whether slices of a market are auctioned."""
        return desk.market_id in self._rules

    def rule_of(self, desk: MarketDesk) -> tuple[int, BatchAuction]:
        """Return the mitigation that auctions slices of a market, its number first."""
        return self._rules[desk.market_id]

    def wait(self, ask: Ask, cause: int) -> simpy.Event | None:
        """Have a slice wait, and return what fires after its auction; None if that is over."""
        context, now = self._context, ask.now_us
        number, spec = self._rules[ask.market_id]
        leg = ask.bucket_id, ask.market_id
        waits = self._waits.get(leg)
        if waits is None:
            until = next_auction_us(now, spec.period_us)
            waits = self._waits[leg] = _Wait(now, until, ask.liquidation_seq)
        if now >= waits.until_us:
            return None
        decision = DecisionRecorded(
            mitigation_id=number,
            action=Action.HELD,
            market_id=ask.market_id,
            bucket_id=ask.bucket_id,
            wanted_e8=ask.wanted_e8,
            until_at_us=waits.until_us,
        )
        context.journal.append(decision, cause)
        waits.freed = context.env.event()
        if (ask.market_id, waits.until_us) not in self._called:
            self._called.add((ask.market_id, waits.until_us))
            desk = context.markets[ask.market_id]
            context.call(
                waits.until_us - now, Priority.AUCTION, self._due, desk, rank=ask.market_id
            )
        return waits.freed

    def _due(self, desk: MarketDesk) -> None:
        self._called.discard((desk.market_id, self._context.now_us))
        waiting = [self._waits[bucket, desk.market_id] for bucket in self.waiting(desk)]
        self._hold(desk)
        for one in waiting:
            if one.freed is not None:
                freed, one.freed = one.freed, None
                freed.succeed()

    def waiting(self, desk: MarketDesk) -> list[int]:
        """Return the buckets whose slices wait for an auction, the earliest first."""
        found = [
            (waits.since_us, waits.liquidation_seq, bucket)
            for (bucket, market_id), waits in self._waits.items()
            if waits.freed is not None and market_id == desk.market_id
        ]
        return [bucket for *_, bucket in sorted(found)]

    def since_us(self, desk: MarketDesk, bucket: int) -> int:
        """Return when the slice of a leg could first have been put up."""
        return self._waits[bucket, desk.market_id].since_us

    def forget(self, bucket: int) -> None:
        """Take note that the slice of a bucket is no more: the next waits for an auction anew."""
        for market_id in self._rules:
            self._waits.pop((bucket, market_id), None)
