"""Rate limits as an audit keeps them: what was booked under each, and what accounts wait for."""

from collections import deque

import attrs

from liqsim.events import DecisionRecorded
from replay.terms import MitigationTerms


@attrs.frozen
class Grant:
    """
    What an ask got.

    Attributes:
        market_id: The market of the leg.
        at_us: From when on.
        amount_uusd: For how much; None for any amount.
        booked_uusd: How much is booked.
    """

    market_id: int
    at_us: int
    amount_uusd: int | None
    booked_uusd: int


@attrs.define
class Limit:
    """
    A rate limit and what was booked under it.

    Attributes:
        number: Its place in the scenario.
        market_id: The market where it acts; None for all.
        max_uusd: The most per span.
        span_us: The span.
        is_fixed: Whether spans follow each other.
        least_uusd: The least that a slice is cut to.
        booked: (when, how much).
    """

    number: int
    market_id: int | None
    max_uusd: int
    span_us: int
    is_fixed: bool
    least_uusd: int
    booked: list[tuple[int, int]] = attrs.Factory(list)

    def used(self, at_us: int) -> int:
        """Return what is booked in the span of an instant, up to it."""
        if self.is_fixed:
            span = at_us // self.span_us
            return sum(b for when, b in self.booked if when // self.span_us == span)
        return sum(b for when, b in self.booked if 0 <= at_us - when < self.span_us)

    def first(self, at_us: int, value: int) -> tuple[int, int]:
        """Return the first instant with room for a slice, and for how much of it."""
        last = max((when for when, _ in self.booked), default=0)
        starts = {max(at_us, last)}
        for when, _ in self.booked:
            starts.add(when + self.span_us)
        if self.is_fixed:
            spans = {start // self.span_us for start in starts}
            starts |= {(span + 1) * self.span_us for span in spans}
        for start in sorted(start for start in starts if start >= max(at_us, last)):
            room = self.max_uusd - self.used(start)
            if room >= value or room >= max(self.least_uusd, 1):
                return start, min(room, value)
        message = "a limit that never has room"
        raise AssertionError(message)


@attrs.define
class Pacing:
    """
    The mitigations that pace, and who has asked.

    Attributes:
        limits: The rate limits.
        grants: What accounts wait for.
        due: Decisions of the ask in course, still to come.
        asked: Whose that is, and when.
    """

    limits: list[Limit] = attrs.Factory(list)
    grants: dict[int, Grant] = attrs.Factory(dict)
    due: deque[DecisionRecorded] = attrs.Factory(deque)
    asked: tuple[int, int] | None = None

    def of(self, market_id: int) -> list[Limit]:
        """Return the limits of a market."""
        return [limit for limit in self.limits if limit.market_id in (None, market_id)]

    def release(self, bucket: int) -> None:
        """Forget what an account waits for, and give back what is booked for it."""
        grant = self.grants.pop(bucket, None)
        if grant is not None:
            for limit in self.of(grant.market_id):
                if (grant.at_us, grant.booked_uusd) in limit.booked:
                    limit.booked.remove((grant.at_us, grant.booked_uusd))


def pacing_of(rows: tuple[MitigationTerms, ...]) -> Pacing:
    """Return the mitigations of a run that pace."""
    return Pacing(
        [
            Limit(
                number,
                row.market_id,
                row.usd("max_usd"),
                row.duration("span"),
                row.word("window") == "fixed",
                row.usd("least_usd"),
            )
            for number, row in enumerate(rows)
            if row.kind == "rate_limit"
        ]
    )
