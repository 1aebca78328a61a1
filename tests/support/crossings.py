"""Judges crossings: who is held, how long, and who meets whom. It remembers asks, not holds."""

from collections import Counter, defaultdict
from collections.abc import Callable

from liqsim.events import Action, DecisionRecorded
from liqsim.scenario import Scenario
from liqsim.scenario.mitigations import Crossing


class CrossingJudge:
    """
    Follows the slices that a run holds.

    Args:
        scenario: Its parameters.
        census: Counts what it meets.
        meetable: Returns the units that (market, bucket) could meet now, signed as its position; 0
            of one that cannot be crossed.
    """

    def __init__(
        self,
        scenario: Scenario,
        census: Counter[str],
        meetable: Callable[[int, int], int],
    ) -> None:
        self._census = census
        self._meetable = meetable
        self.rules = {
            market: (number, spec.hold_us)
            for market, table in enumerate(scenario.markets)
            for number, spec in enumerate(scenario.mitigations)
            if isinstance(spec, Crossing) and spec.hold_us and spec.market in ("", table.name)
        }
        # Of the slice in hand of each account: when it asked, where, and whether it was held then.
        self._asks: defaultdict[int, list[tuple[int, int, bool]]] = defaultdict(list)
        self.triggers: dict[int, int] = {}

    def since(self, bucket: int, market: int) -> int | None:
        """Return when the slice in hand first asked."""
        return next((at for at, where, _ in self._asks[bucket] if where == market), None)

    def until(self, bucket: int, market: int) -> int | None:
        """Return until when the slice in hand may be held; None if it has not asked."""
        since = self.since(bucket, market)
        return None if since is None else since + self.rules[market][1]

    def held_until(self, bucket: int) -> int:
        """Return until when a bucket is held; 0 if it is not."""
        asks = self._asks[bucket]
        return (self.until(bucket, asks[-1][1]) or 0) if asks and asks[-1][2] else 0

    def waiting(self, at: int, market: int, *, is_long: bool) -> list[tuple[int, int]]:
        """Return who is held on a side and can be met, the first to have asked first."""
        rows = []
        for bucket in list(self._asks):
            asks, units = self._asks[bucket], 0
            if asks and asks[-1][1:] == (market, True) and self.held_until(bucket) > at:
                units = self._meetable(market, bucket)
            if (units > 0) if is_long else (units < 0):
                rows.append((self.since(bucket, market), self.triggers[bucket], bucket, abs(units)))
        return [(bucket, units) for _, _, bucket, units in sorted(rows)]

    def decided(self, at: int, event: DecisionRecorded) -> None:
        """Judge that a slice is held."""
        market, bucket = event.market_id, event.bucket_id
        number, hold_us = self.rules[market]
        units = self._meetable(market, bucket)
        assert (event.mitigation_id, event.action) == (number, Action.HELD)
        assert event.wanted_e8 == abs(units) > 0
        assert not self.waiting(at, market, is_long=units < 0), "somebody could be met"
        assert self.held_until(bucket) <= at, "held already"
        again = self.since(bucket, market)
        assert event.until_at_us == (at if again is None else again) + hold_us > at
        self._census["held"] += 1
        self._census["held again after a crossing"] += again is not None
        self._asks[bucket].append((at, market, True))

    def passes(self, at: int, market: int, bucket: int) -> None:
        """Judge that a slice goes on to be put up or paced."""
        units = self._meetable(market, bucket) if market in self.rules else 0
        if not units:
            return
        until = self.until(bucket, market)
        assert until is not None, "neither held nor met"
        assert until <= at, "put up while it is held"
        assert not self.waiting(at, market, is_long=units < 0), "somebody could be met"
        self._census["held in vain"] += 1

    def put_up(self, bucket: int) -> None:
        """Take note that the slice in hand is put up, or its liquidation over."""
        self._asks.pop(bucket, None)

    def meets(self, at: int, market: int, bucket: int) -> list[tuple[int, int, bool]]:
        """Return whom a slice that asks meets: bucket, units, and whether that is all of it."""
        units = self._meetable(market, bucket)
        left, found = abs(units), []
        for other, whole in self.waiting(at, market, is_long=units < 0):
            if left:
                found.append((other, min(left, whole), whole <= left))
                left -= found[-1][1]
        assert found, "nobody is there to be met"
        self._census["met several at once"] += len(found) > 1
        self._census["asker crossed in part"] += left > 0
        self._census["asked again and met"] += bool(self._asks[bucket])
        self.met(at, market, bucket, is_whole=not left)
        return found

    def met(self, at: int, market: int, bucket: int, *, is_whole: bool) -> None:
        """Take note that a slice is crossed."""
        self._asks[bucket].append((at, market, False))
        if is_whole:
            del self._asks[bucket]
