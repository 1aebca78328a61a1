"""
A judge of breakers and grace periods that looks at the whole past anew at every decision.

It shares no rule with what it judges: windows are lists that are searched from the start, halts a
list of spans, and every level is tried at the end of every instant.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from fractions import Fraction
from itertools import pairwise
from typing import Any

import attrs

from liqsim.events import (
    Action,
    BookSampled,
    DecisionRecorded,
    DepthChanged,
    Entry,
    FundDrawn,
    InventorySold,
    OracleUpdated,
    OrderFilled,
    PositionReduced,
    TradeFilled,
    TranchesCrossed,
    TrancheStarted,
    TrancheTakenOver,
)
from liqsim.scenario import Scenario
from liqsim.scenario.mitigations import Breaker, DivergencePause, Grace

_YEAR_US = 31_557_600 * 10**6
_COLUMNS = {
    "fall": "fall_e6",
    "rise": "rise_e6",
    "volatility": "volatility_e6",
    "flow": "forced_uusd",
    "drawdown": "drawdown_e6",
    "divergence": "divergence_e6",
}

_ACTIONS = {
    "halt_liquidations": Action.HALTED,
    "halt_new_risk": Action.RISK_HALTED,
    "widen_margin": Action.WIDENED,
}
_DID = {Action.HALTED: "halted", Action.RISK_HALTED: "halted", Action.WIDENED: "widened"}


@attrs.frozen
class _Level:
    conditions: list[tuple[str, int, int]]
    needs_all: bool
    duration: int
    factor: int

    def holds(self, seen: dict[str, float]) -> bool:
        held = [seen[name] > bound for name, _, bound in self.conditions]
        return all(held) if self.needs_all else any(held)


@attrs.frozen
class _Span:
    number: int
    level: int
    market: int
    since: int
    until: int
    action: Action
    factor: int
    seq: int


class HaltJudge:
    """
    Judges the breakers and grace periods of one run.

    Args:
        scenario: The run's.
        census: Where rare cases are counted.
        fund: Returns the fund's balance.
        price: Returns a market's price in the book as it stands, at an instant.
    """

    def __init__(
        self,
        scenario: Scenario,
        census: Counter[str],
        fund: Callable[[], int],
        price: Callable[[int, int], int],
    ) -> None:
        self._scenario = scenario
        self._census = census
        self._fund, self._price = fund, price
        self._markets = range(len(scenario.markets))
        self._marks: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
        self._index: defaultdict[int, int] = defaultdict(int)
        self._flows: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
        self._fund_highest = 0
        self._moved: set[tuple[str, int]] = set()
        self._at = 0
        self.spans: list[_Span] = []
        self._stale_ends: defaultdict[int, list[int]] = defaultdict(list)

    # Asked by the auditor -------------------------------------------------------------------------

    def is_halted(self, market: int, at: int, *, is_of_risk: bool = False) -> bool:
        """Return whether a market is halted."""
        action = Action.RISK_HALTED if is_of_risk else Action.HALTED
        return any(
            span.market in (-1, market) and span.action is action
            for span in self.spans
            if span.since <= at < span.until
        )

    def closeness(self, market: int, at: int, sign: int) -> tuple[Fraction, Fraction]:
        """Return the least and the most that the share of the way to the next halt may be."""
        found = [(Fraction(0), Fraction(0))]
        for number, spec in enumerate(self._scenario.mitigations):
            if not isinstance(spec, Breaker | DivergencePause):
                continue
            is_wide = isinstance(spec, Breaker) and spec.scope == "venue"
            if isinstance(spec, Breaker) and "halt" not in spec.action:
                continue
            for seen in self._markets if is_wide else (market,):
                if spec.market not in ("", self._scenario.markets[seen].name):
                    continue
                found += [
                    self._way(level, seen, at, sign)
                    for place, level in enumerate(_levels(spec))
                    if self._is_free(number, place, -1 if is_wide else seen, at)
                ]
        lows, highs = zip(*found, strict=True)
        return max(lows) - Fraction(1, 10**6), max(highs)

    def _way(self, level: _Level, market: int, at: int, sign: int) -> tuple[Fraction, Fraction]:
        """Return how far a level has come, where what runs against the other side has not."""
        ways = []
        for name, window, bound in level.conditions:
            against = {"fall": 1, "rise": -1}.get(name, 0)
            ends = self._range(name, window, market, at)
            way = [min(Fraction(end) / max(bound, 1), Fraction(1)) for end in ends]
            ways.append((way[0], way[1]) if against in (0, sign) else (Fraction(0), Fraction(0)))
        lows, highs = zip(*ways, strict=True)
        return (min(lows), min(highs)) if level.needs_all else (max(lows), max(highs))

    def in_grace(self, market: int, at: int) -> bool:
        """Return whether a grace period in a market lasts."""
        return any(at < until for until in self.graces_until(market, at))

    def graces_until(self, market: int, at: int) -> list[int]:
        """Return when grace periods end that began up to *at*."""
        name = self._scenario.markets[market].name
        return [
            end + spec.span_us
            for spec in self._scenario.mitigations
            if isinstance(spec, Grace) and spec.market in ("", name)
            for end in self._ends(spec, market)
            if end <= at
        ]

    def _ends(self, spec: Grace, market: int) -> Iterable[int]:
        venue = self._scenario.venue
        if spec.after_halts:
            stopped = [s for s in self.spans if s.market in (-1, market)]
            yield from (span.until for span in stopped if span.action is Action.HALTED)
        if spec.after_outages and venue.executor != "keepers" and venue.engine is not None:
            yield from (end for _, end in venue.engine.outages)
        if spec.after_stale:
            yield from self._stale_ends[market]

    # Told by the auditor --------------------------------------------------------------------------

    def before(self, entry: Entry, position: Callable[[int, int], int]) -> None:
        """Judge an event by what was before it."""
        at, event = entry.sim_time_us, entry.event
        if at > self._at:
            self._nobody_should_have_halted()
            self._at = at
        closing = TrancheStarted | OrderFilled | TrancheTakenOver | TranchesCrossed
        if isinstance(event, closing | PositionReduced):
            assert not self.is_halted(event.market_id, at), f"{event} in a halt"
        if isinstance(event, TrancheStarted | PositionReduced):
            assert not self.in_grace(event.market_id, at), f"{event} in a grace period"
        if isinstance(event, TrancheStarted):
            ended = [s for s in self.spans if s.until == at and s.action is not Action.WIDENED]
            self._census["put up as a halt ended"] += bool(ended)
        if isinstance(event, TradeFilled):
            held = position(event.market_id, event.bucket_id)
            if abs(held + event.quantity_e8) > abs(held):
                assert not self.is_halted(event.market_id, at, is_of_risk=True), f"{event} halted"

    def decides(self, event: DecisionRecorded) -> bool:
        """Return whether a decision is of a kind that this judges."""
        spec = self._scenario.mitigations[event.mitigation_id]
        return isinstance(spec, Grace | Breaker | DivergencePause)

    def decided(self, entry: Entry, event: DecisionRecorded, legs: list[int]) -> None:
        """Judge a decision."""
        spec = self._scenario.mitigations[event.mitigation_id]
        if isinstance(spec, Grace):
            self._graced(entry, event, spec, legs)
        elif isinstance(spec, Breaker | DivergencePause):
            self._halted(entry, event, spec)

    def after(self, entry: Entry) -> None:
        """Note what an event has moved."""
        event, at = entry.event, entry.sim_time_us
        self._fund_highest = max(self._fund_highest, self._fund())
        names: set[str] = set()
        if isinstance(event, OracleUpdated | BookSampled):
            names = {"fall", "rise", "volatility", "divergence"}
            marks, limit = self._marks[event.market_id], self._scenario.venue.mark_max_age_us
            if limit and marks and at - marks[-1][0] > limit:
                self._stale_ends[event.market_id].append(at)
            marks.append((at, event.mark_price_e8))
        if isinstance(event, OracleUpdated):
            self._index[event.market_id] = event.price_e8
        if isinstance(event, OrderFilled | TrancheTakenOver):
            value = abs(event.cost_uusd)
            self._flows[event.market_id].append((at, value))
            names.add("flow")
        fills = OrderFilled | TradeFilled | InventorySold | PositionReduced
        if isinstance(event, fills | DepthChanged):
            names.add("divergence")
        if isinstance(event, FundDrawn):
            self._moved |= {("drawdown", market) for market in self._markets}
        self._moved |= {(name, getattr(event, "market_id", 0)) for name in names}

    def finish(self) -> None:
        """Check what holds once the run is over."""
        self._nobody_should_have_halted()
        end = self._scenario.end_us
        for number, spec in enumerate(self._scenario.mitigations):
            if not isinstance(spec, Breaker | DivergencePause):
                continue
            levels = _levels(spec)
            for market in (-1, *self._markets):
                halted = sum(
                    span.until - span.since
                    for span in self.spans
                    if (span.number, span.market) == (number, market)
                )
                most = sum(
                    (end // (level.duration + spec.cool_down_us) + 1) * level.duration
                    for level in levels
                )
                assert halted <= most, "cool-downs bound the time halted"

    # Breakers -------------------------------------------------------------------------------------

    def _halted(
        self, entry: Entry, event: DecisionRecorded, spec: Breaker | DivergencePause
    ) -> None:
        at, market, number = entry.sim_time_us, event.seen_market_id, event.level_number - 1
        levels, is_wide = _levels(spec), isinstance(spec, Breaker) and spec.scope == "venue"
        level, scope = levels[number], -1 if is_wide else market
        action = Action.HALTED if isinstance(spec, DivergencePause) else _ACTIONS[spec.action]
        assert event.action is action
        assert event.market_id == scope
        since = at + getattr(spec, "notice_us", 0) * (action is Action.WIDENED)
        assert event.until_at_us == since + level.duration
        acts = (since, level.factor) if action is Action.WIDENED else (-1, -1)
        assert (event.from_at_us, event.multiplier_e6) == acts
        assert spec.market in ("", self._scenario.markets[market].name)
        told = {name: getattr(event, _COLUMNS[name]) for name, _, _ in level.conditions}
        assert level.holds(told)
        for name, window, _ in level.conditions:
            low, high = self._range(name, window, market, at)
            assert low <= told[name] <= high, f"{name} is in [{low}, {high}]: {event}"
        assert self._is_free(event.mitigation_id, number, scope, at)
        for above in range(number + 1, len(levels)):
            if self._is_free(event.mitigation_id, above, scope, at):
                assert not self._is_clearly_met(levels[above], market, at), "a higher level"
        spans = self.spans
        if action is Action.WIDENED:
            own = [s for s in spans if (s.number, s.market) == (event.mitigation_id, scope)]
            self._census["widened over a level"] += any(s.until > since for s in own)
        spans.append(
            _Span(
                event.mitigation_id,
                number,
                scope,
                since,
                event.until_at_us,
                action,
                level.factor,
                entry.seq,
            )
        )
        did = _DID[action]
        of = {Action.RISK_HALTED: " new risk", Action.HALTED: " liquidations"}.get(action, "")
        self._census[did + of] += 1
        self._census[f"{did} at a higher level"] += number > 0
        self._census[f"{did} the venue"] += is_wide
        for name in told:
            self._census[f"{did} on {name}"] += 1

    def _nobody_should_have_halted(self) -> None:
        moved, self._moved = self._moved, set()
        for number, spec in enumerate(self._scenario.mitigations):
            if not isinstance(spec, Breaker | DivergencePause):
                continue
            is_wide = isinstance(spec, Breaker) and spec.scope == "venue"
            for market in self._markets:
                if spec.market not in ("", self._scenario.markets[market].name):
                    continue
                for place, level in enumerate(_levels(spec)):
                    if any((name, market) in moved for name, _, _ in level.conditions) and (
                        self._is_free(number, place, -1 if is_wide else market, self._at)
                    ):
                        assert not self._is_clearly_met(level, market, self._at), "no halt"

    def _is_free(self, number: int, level: int, scope: int, at: int) -> bool:
        spec = self._scenario.mitigations[number]
        assert isinstance(spec, Breaker | DivergencePause)
        return not any(
            (span.number, span.market) == (number, scope)
            and span.level >= level
            and at < span.until + spec.cool_down_us
            for span in self.spans
        )

    def _is_clearly_met(self, level: _Level, market: int, at: int) -> bool:
        return level.holds(
            {name: self._range(name, window, market, at)[0] for name, window, _ in level.conditions}
        )

    def _range(self, name: str, window: int, market: int, at: int) -> tuple[float, float]:
        """Return the least and the most that an observation may be."""
        if name in ("fall", "rise"):
            return self._extreme(window, market, at, is_fall=name == "fall")
        if name == "volatility":
            return self._volatility(window, market, at)
        if name == "flow":
            exact = sum(value for when, value in self._flows[market] if at - window < when)
            return exact, exact
        if name == "drawdown":
            if not self._fund_highest:
                return 0, 0
            lost = Fraction(self._fund_highest - self._fund(), self._fund_highest)
            return int(lost * 10**6), int(lost * 10**6)
        index = self._index[market]
        if not index:
            return 0, 0
        apart = abs(self._price(market, at) - index) * 10**6 / index
        slack = 2 + apart * 1e-9
        return apart - slack, apart + slack

    def _extreme(self, window: int, market: int, at: int, *, is_fall: bool) -> tuple[int, int]:
        marks = self._marks[market]
        if not marks:
            return 0, 0
        ends = [when for when, _ in marks[1:]] + [at + 1]
        stood = [price for (_, price), end in zip(marks, ends, strict=True) if end > at - window]
        base = max(stood) if is_fall else min(stood)
        exact = Fraction(abs(marks[-1][1] - base), base) * 10**6 // 1
        return int(exact), int(exact)

    def _volatility(self, window: int, market: int, at: int) -> tuple[float, float]:
        marks, variance, count = self._marks[market], 0.0, 0
        for (_, before), (when, after) in pairwise(marks):
            if when > at - window:
                variance += math.log1p((after - before) / before) ** 2
                count += 1
        per_year, slack = _YEAR_US / window, count * 1e-18 + 1e-12 * math.sqrt(variance)
        low, high = max(variance - slack, 0), variance + slack
        return math.sqrt(low * per_year) * 1e6 - 2, math.sqrt(high * per_year) * 1e6 + 2

    # Grace periods --------------------------------------------------------------------------------

    def _graced(self, entry: Entry, event: DecisionRecorded, spec: Grace, legs: list[int]) -> None:
        market, at = event.market_id, entry.sim_time_us
        assert event.action is Action.DELAYED
        assert market in legs
        assert spec.market in ("", self._scenario.markets[market].name)
        assert not self.is_halted(market, at)
        ended = max(end for end in self._ends(spec, market) if end <= at)
        assert (event.ended_at_us, event.until_at_us) == (ended, ended + spec.span_us)
        assert at < event.until_at_us
        self._census["graced"] += 1
        self._census["graced after an old mark"] += ended in self._stale_ends[market]


def _levels(spec: Any) -> list[_Level]:
    if isinstance(spec, DivergencePause):
        return [_Level([("divergence", 1, spec.above_e6)], False, spec.duration_us, 1)]
    return [
        _Level(
            [(c.observable, c.window_us, c.above_e6) for c in part.when],
            part.join == "all",
            part.duration_us,
            part.factor_e6 or spec.factor_e6,
        )
        for part in (spec, *spec.stages)
    ]
