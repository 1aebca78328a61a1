"""Crossing: due slices are held for a time, so that those of the other side can meet them."""

import attrs
import simpy

from liqsim.events import Action, DecisionRecorded
from liqsim.mechanics.mitigations.pacing import Ask
from liqsim.processes.context import Context, MarketDesk, Priority
from liqsim.scenario.mitigations import Crossing


@attrs.define(eq=False)
class _Hold:
    """
    How long a slice may be held.

    Attributes:
        since_us: When it could first have been put up.
        until_us: Until when it may be held.
        liquidation_seq: The trigger.
        freed: Fires when it is held no longer; None while it is not held.
    """

    since_us: int
    until_us: int
    liquidation_seq: int
    freed: simpy.Event | None = None


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
        # By account and market: a leg that comes first again has been held already.
        self._holds: dict[tuple[int, int], _Hold] = {}

    def rule_of(self, desk: MarketDesk) -> int | None:
        """Return the number of the mitigation that crosses slices of a market; None if none."""
        rule = self._rules.get(desk.market_id)
        return None if rule is None else rule[0]

    def asked(self, ask: Ask) -> None:
        """Take note that a slice could be put up: the first time, the time it may wait begins."""
        leg = ask.bucket_id, ask.market_id
        if leg not in self._holds:
            until = ask.now_us + self._rules[ask.market_id][1]
            self._holds[leg] = _Hold(ask.now_us, until, ask.liquidation_seq)

    def since_us(self, desk: MarketDesk, bucket: int) -> int:
        """Return when the slice of a leg could first have been put up."""
        return self._holds[bucket, desk.market_id].since_us

    def waiting(self, ask: Ask) -> list[int]:
        """Return the buckets whose slices are held on the other side, the earliest first."""
        units = self._context.world.ledger.unit_views[ask.market_id]
        found = [
            (hold.since_us, hold.liquidation_seq, bucket)
            for (bucket, market_id), hold in self._holds.items()
            if hold.freed is not None
            and market_id == ask.market_id
            and (units[bucket] > 0) is not ask.is_long
            and ask.now_us < hold.until_us
        ]
        return [bucket for *_, bucket in sorted(found)]

    def hold(self, ask: Ask, cause: int) -> simpy.Event | None:
        """Hold a slice, and return what fires when it is free; None if it has waited enough."""
        hold, context = self._holds[ask.bucket_id, ask.market_id], self._context
        if ask.now_us >= hold.until_us:
            return None
        decision = DecisionRecorded(
            mitigation_id=self._rules[ask.market_id][0],
            action=Action.HELD,
            market_id=ask.market_id,
            bucket_id=ask.bucket_id,
            wanted_e8=ask.wanted_e8,
            until_at_us=hold.until_us,
        )
        context.journal.append(decision, cause)
        freed = hold.freed = context.env.event()
        context.call(hold.until_us - ask.now_us, Priority.LIQUIDATION, self._free, hold, freed)
        return freed

    def _free(self, hold: _Hold, freed: simpy.Event) -> None:
        if hold.freed is freed:
            hold.freed = None
            freed.succeed()

    def crossed(self, desk: MarketDesk, bucket: int, *, is_whole: bool) -> None:
        """Take note that a slice was crossed: what is left of it goes on waiting."""
        hold = self._holds[bucket, desk.market_id]
        if hold.freed is not None:
            self._free(hold, hold.freed)
        if is_whole:
            self.forget(bucket)

    def forget(self, bucket: int) -> None:
        """Take note that the slice of a bucket is no more: the next may wait anew."""
        for market_id in self._rules:
            self._holds.pop((bucket, market_id), None)
