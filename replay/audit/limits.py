"""Rate limits as an audit keeps them: what was booked under each, and what accounts wait for."""

from collections import deque
from collections.abc import Callable

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
class Judging:
    """
    An ask that those who judge the instant have before them.

    Attributes:
        now_us: When it is asked.
        bucket_id: The account.
        market_id: The market of the leg.
        tranche_number: Its count within the liquidation.
        wanted_e8: Units of the slice.
        left: Numbers of those who have not spoken.
        size_e8: The units that the others leave.
        until_us: Until when they have it wait.
    """

    now_us: int
    bucket_id: int
    market_id: int
    tranche_number: int
    wanted_e8: int
    left: deque[int]
    size_e8: int
    until_us: int


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

    def first(self, at_us: int, value: int, unit: int) -> tuple[int, int]:
        """Return the first instant with room for a slice, of no less than a unit, and for what."""
        last = max((when for when, _ in self.booked), default=0)
        starts = {max(at_us, last)}
        for when, _ in self.booked:
            starts.add(when + self.span_us)
        if self.is_fixed:
            spans = {start // self.span_us for start in starts}
            starts |= {(span + 1) * self.span_us for span in spans}
        for start in sorted(start for start in starts if start >= max(at_us, last)):
            room = self.max_uusd - self.used(start)
            if room >= min(value, max(self.least_uusd, unit), self.max_uusd):
                return start, min(room, value)
        message = "a limit that never has room"
        raise AssertionError(message)


@attrs.define
class Pacing:
    """
    The mitigations that pace, and who has asked.

    Attributes:
        limits: The rate limits.
        judges: Those that judge the instant: number, and the market where it acts.
        judging: The ask that they have before them.
        waits: Until when they have accounts wait.
        grants: What accounts wait for under rate limits.
        due: Decisions of the ask in course, still to come.
        asked: Whose that is, and when.
        judged_e8: What those that judge the instant left of it.
    """

    limits: list[Limit] = attrs.Factory(list)
    judges: list[tuple[int, int | None]] = attrs.Factory(list)
    judging: Judging | None = None
    waits: dict[int, int] = attrs.Factory(dict)
    grants: dict[int, Grant] = attrs.Factory(dict)
    due: deque[DecisionRecorded] = attrs.Factory(deque)
    asked: tuple[int, int] | None = None
    judged_e8: int = 0

    def of(self, market_id: int) -> list[Limit]:
        """Return the limits of a market."""
        return [limit for limit in self.limits if limit.market_id in (None, market_id)]

    def judges_of(self, market_id: int) -> deque[int]:
        """Return the numbers of those that judge the instant in a market."""
        return deque(number for number, market in self.judges if market in (None, market_id))

    def waits_until(self, bucket: int) -> int:
        """Return until when an account waits; 0 if it does not."""
        grant = self.grants.get(bucket)
        return max(self.waits.get(bucket, 0), grant.at_us if grant is not None else 0)

    def ended(self, bucket: int) -> None:
        """Forget an account whose liquidation has ended."""
        self.release(bucket)
        self.waits.pop(bucket, None)

    def lessen(self, bucket: int, value_uusd: int) -> None:
        """Give back what is booked for an account above a value."""
        grant = self.grants[bucket]
        if value_uusd < grant.booked_uusd:
            self.release(bucket)
            self.grants[bucket] = attrs.evolve(grant, booked_uusd=value_uusd)
            for limit in self.of(grant.market_id):
                limit.booked.append((grant.at_us, value_uusd))

    def release(self, bucket: int) -> None:
        """Forget what an account waits for, and give back what is booked for it."""
        grant = self.grants.pop(bucket, None)
        if grant is not None:
            for limit in self.of(grant.market_id):
                if (grant.at_us, grant.booked_uusd) in limit.booked:
                    limit.booked.remove((grant.at_us, grant.booked_uusd))


def pacing_of(rows: tuple[MitigationTerms, ...], is_judge: Callable[[str], bool]) -> Pacing:
    """Return the mitigations of a run that pace; *is_judge* says which kinds judge the instant."""
    return Pacing(
        judges=[(n, row.market_id) for n, row in enumerate(rows) if is_judge(row.kind)],
        limits=[
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
        ],
    )
