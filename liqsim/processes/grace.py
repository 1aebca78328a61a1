"""Grace periods: they have whoever could be put up wait, and record that."""

from collections.abc import Iterator

from liqsim.events import Action, BookSampled, DecisionRecorded, OracleUpdated
from liqsim.mechanics.mitigations.grace import ended_us, last_outage_us
from liqsim.processes.context import Context, MarketDesk
from liqsim.scenario.mitigations import Grace


class Graces:
    """
    All grace periods of a venue.

    Args:
        context: The run.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._rules = [
            (number, spec)
            for number, spec in enumerate(context.scenario.mitigations)
            if isinstance(spec, Grace)
        ]
        venue = context.scenario.venue
        has_engine = venue.executor != "keepers" and venue.engine is not None
        self._outages = venue.engine.outages if has_engine and venue.engine is not None else ()
        self._marked_at_us: dict[int, int] = {}
        self._stale_us: dict[int, int] = {}
        if self._rules and venue.mark_max_age_us:
            for cls in (OracleUpdated, BookSampled):
                context.journal.listen(cls, self._marked)

    def _marked(self, event: OracleUpdated | BookSampled, _seq: int, at_us: int) -> None:
        before_us = self._marked_at_us.get(event.market_id, at_us)
        self._marked_at_us[event.market_id] = at_us
        if at_us - before_us > self._context.scenario.venue.mark_max_age_us:
            self._stale_us[event.market_id] = at_us

    def lasts(self, desk: MarketDesk) -> bool:
        """Return whether a grace period has slices of a market wait now."""
        return any(until > self._context.now_us for _, _, until in self._periods(desk))

    def _periods(self, desk: MarketDesk) -> Iterator[tuple[int, int, int]]:
        """Yield mitigation, beginning and end of the last period of each rule in a market."""
        now, halt_us = self._context.now_us, desk.state.halted_until_us
        for number, spec in self._rules:
            if spec.market in ("", desk.spec.name):
                ended = ended_us(
                    spec,
                    halt_us=halt_us if 0 < halt_us <= now else None,
                    outage_us=last_outage_us(self._outages, now),
                    stale_us=self._stale_us.get(desk.market_id),
                )
                if ended is not None:
                    yield number, ended, ended + spec.span_us

    def left_us(self, bucket: int, desk: MarketDesk, cause: int) -> int:
        """Return how long a slice of a leg must wait; if it must, that is recorded."""
        now, longest_us = self._context.now_us, 0
        for number, ended, until in self._periods(desk):
            if until > now:
                decision = DecisionRecorded(
                    mitigation_id=number,
                    action=Action.DELAYED,
                    market_id=desk.market_id,
                    bucket_id=bucket,
                    until_at_us=until,
                    ended_at_us=ended,
                )
                self._context.journal.append(decision, cause)
                longest_us = max(longest_us, until - now)
        return longest_us
