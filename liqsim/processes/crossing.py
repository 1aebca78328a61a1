"""Crossing: due slices are held for a time, so that those of the other side can meet them."""

import simpy

from liqsim.mechanics.mitigations.pacing import Ask
from liqsim.processes.context import Context, MarketDesk, Priority
from liqsim.processes.holds import Holds
from liqsim.scenario.mitigations import Crossing


class Crossings:
    """
    Who is held for whom.

    Args:
        context: The run.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._rules = {
            market_id: (number, spec.hold_us)
            for number, spec in enumerate(context.scenario.mitigations)
            for market_id, market in enumerate(context.scenario.markets)
            if isinstance(spec, Crossing) and spec.market in ("", market.name)
        }
        self._holds = Holds(context, self._rules)

    def rule_of(self, desk: MarketDesk) -> int | None:
        """Return the number of the mitigation that crosses slices of a market; None if none."""
        rule = self._rules.get(desk.market_id)
        return None if rule is None else rule[0]

    def asked(self, ask: Ask) -> None:
        """Take note that a slice could be put up: the first time, the time it may wait begins."""
        self._holds.asked(ask, ask.now_us + self._rules[ask.market_id][1])

    def since_us(self, desk: MarketDesk, bucket: int) -> int:
        """Return when the slice of a leg could first have been put up."""
        return self._holds.of(desk, bucket).since_us

    def waiting(self, ask: Ask) -> list[int]:
        """Return the buckets whose slices are held on the other side, the earliest first."""
        desk = self._context.markets[ask.market_id]
        units = self._context.world.ledger.unit_views[ask.market_id]
        return [
            bucket
            for bucket in self._holds.held(ask.market_id)
            if (units[bucket] > 0) is not ask.is_long
            and ask.now_us < self._holds.of(desk, bucket).until_us
        ]

    def hold(self, ask: Ask, cause: int) -> simpy.Event | None:
        """Hold a slice, and return what fires when it is free; None if it has waited enough."""
        freed = self._holds.hold(ask, self._rules[ask.market_id][0], cause)
        if freed is not None:
            hold = self._holds.of(self._context.markets[ask.market_id], ask.bucket_id)
            wait = hold.until_us - ask.now_us
            self._context.call(wait, Priority.LIQUIDATION, hold.free, freed)
        return freed

    def release(self, desk: MarketDesk, bucket: int) -> None:
        """Have a slice that was crossed ask again: what is left of it goes on waiting."""
        hold = self._holds.of(desk, bucket)
        hold.free(hold.freed)

    def forget(self, bucket: int) -> None:
        """Take note that the slice of a bucket is no more: the next may wait anew."""
        self._holds.forget(bucket)
