"""Judges what mitigations that pace promise: how much is put up per span, and not too soon."""

from collections import Counter, defaultdict

from liqsim.events import Action, DecisionRecorded
from liqsim.events.mitigation import NOT_OBSERVED
from liqsim.scenario import Scenario
from liqsim.scenario.mitigations import RateLimit

_E10 = 10**10


class PacingJudge:
    """
    Follows the slices of one run.

    Args:
        scenario: Its parameters.
        census: Counts what it meets.
    """

    def __init__(self, scenario: Scenario, census: Counter[str]) -> None:
        self._census = census
        numbers = {market.name: number for number, market in enumerate(scenario.markets)}
        self._limits = {
            number: (spec, numbers.get(spec.market))
            for number, spec in enumerate(scenario.mitigations)
            if isinstance(spec, RateLimit)
        }
        self._put_up: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
        self._said: dict[int, list[tuple[int, DecisionRecorded]]] = {}

    def decided(self, at: int, wanted: int, mark: int, event: DecisionRecorded) -> None:
        """Take a decision on an account that wants to put up so many units at a mark."""
        spec, market = self._limits[event.mitigation_id]
        value = -(-wanted * mark // _E10)
        assert market in (None, event.market_id)
        assert event.wanted_e8 == wanted
        until = at if event.until_at_us == NOT_OBSERVED else event.until_at_us
        # What is booked for others and not put up yet is in what is used.
        assert self._used(event.mitigation_id, until) <= event.used_uusd <= spec.max_uusd
        assert event.amount_uusd == min(value, spec.max_uusd - event.used_uusd) > 0
        assert event.amount_uusd in (value, max(event.amount_uusd, spec.least_uusd))
        if event.action is Action.DELAYED:
            assert until > at
        else:
            assert event.amount_uusd < value
        self._census[f"slice {event.action.name.lower()} by a rate limit"] += 1
        self._census[f"rate limit, {spec.window}"] += 1
        said = self._said.get(event.bucket_id, [])
        still = [(when, other) for when, other in said if when == at]
        self._said[event.bucket_id] = [*still, (at, event)]

    def until(self, bucket: int, market: int | None = None) -> int | None:
        """Return the instant that an account waits for, with any leg; None if it waits for none."""
        said = (event.until_at_us for _, event in self._of(bucket, market))
        return max((until for until in said if until != NOT_OBSERVED), default=None)

    def size(self, at: int, bucket: int, market: int, wanted: int, mark: int) -> int:
        """Return the units that a slice must have of those wanted."""
        said = [
            event
            for when, event in self._of(bucket, market)
            if at == (when if event.until_at_us == NOT_OBSERVED else event.until_at_us)
        ]
        amounts = [event.amount_uusd for event in said]
        return min([wanted, *(max(amount * _E10 // mark, 1) for amount in amounts)])

    def put_up(self, at: int, bucket: int, market: int, value: int) -> None:
        """Take note of a slice, and check that no span has too much."""
        self._said.pop(bucket, None)
        for number, (spec, where) in self._limits.items():
            if where in (None, market):
                self._put_up[number].append((at, value))
                assert self._used(number, at) <= spec.max_uusd

    def forget(self, bucket: int) -> None:
        """Take note that an account waits for nothing any more: its slice is held, or crossed."""
        self._said.pop(bucket, None)

    def _of(self, bucket: int, market: int | None) -> list[tuple[int, DecisionRecorded]]:
        said = self._said.get(bucket, [])
        return [row for row in said if market in (None, row[1].market_id)]

    def _used(self, number: int, at: int) -> int:
        spec, _ = self._limits[number]
        if spec.window == "fixed":
            return sum(
                v for t, v in self._put_up[number] if t // spec.span_us == at // spec.span_us
            )
        return sum(value for t, value in self._put_up[number] if t > at - spec.span_us)
