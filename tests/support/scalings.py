"""
A judge of mitigations that scale margin rates or haircuts on coins, or charge for leverage.

It keeps what could be seen at every look, and at the end works out the whole chain of decisions at
once: volatility as a sum over all squared returns, products over all that holds at an instant.
"""

import math
from collections import Counter
from fractions import Fraction
from itertools import pairwise
from typing import Any

from liqsim.events import (
    NO_CAUSE,
    Action,
    CoinHaircutChanged,
    DecisionRecorded,
    DepthChanged,
    Entry,
    LeverageFeePaid,
    MaintenanceChanged,
    PositionReduced,
)
from liqsim.scenario import Scenario
from liqsim.scenario.mitigations import (
    ConcentrationMargin,
    CorrelationMargin,
    DynamicMargin,
    LeverageFee,
    MarginScaling,
    OpenInterestMargin,
    Predictive,
    StressMargin,
)
from support.predictions import seen_by

_YEAR_S = 365.25 * 86_400


def _volatility(marks: list[int], period_us: int, half_life_us: int) -> int | None:
    """Return the annual volatility in 1e-6: the oldest square has what is left of all weights."""
    seen = [mark for mark in marks if mark]
    if len(seen) < 2:
        return None
    squares = [math.log(b / a) ** 2 for a, b in pairwise(seen)][::-1]
    keep = 0.5 ** (period_us / half_life_us)
    weights = [(1 - keep) * keep**age for age in range(len(squares))]
    weights[-1] = keep ** (len(squares) - 1)
    variance = math.fsum(w * s for w, s in zip(weights, squares, strict=True))
    return round(math.sqrt(variance * _YEAR_S / (period_us / 1e6)) * 1e6)


def _correlation(looks: list[list[tuple[int, int]]], market: int, spec: Any) -> int | None:
    """Return the correlation with the other markets in 1e-6, from all that was ever seen."""
    pairs = []
    known = [look for look in looks if all(mark for mark, _ in look)]
    for before, now in pairwise(known):
        moves = [math.log(b / a) for (a, _), (b, _) in zip(before, now, strict=True)]
        weights = [at_stake for _, at_stake in now]
        weights[market] = 0
        if any(weights):
            basket = sum(w * r for w, r in zip(weights, moves, strict=True)) / sum(weights)
            pairs.append((moves[market], basket))
    if len(pairs) < spec.half_life_us / spec.period_us:
        return None
    keep = 0.5 ** (spec.period_us / spec.half_life_us)
    weights = [(1 - keep) * keep**age for age in range(len(pairs))][::-1]
    weights[0] = keep ** (len(pairs) - 1)
    sums = [
        math.fsum(w * p[i] * p[j] for w, p in zip(weights, pairs, strict=True))
        for i, j in ((0, 0), (0, 1), (1, 1))
    ]
    if not sums[0] or not sums[2]:
        return None
    return round(max(min(sums[1] / math.sqrt(sums[0] * sums[2]), 1), 0) * 1e6)


class ScalingJudge:
    """
    Judges one run.

    Args:
        scenario: Its parameters.
        books: The auditor, whose books are read.
        census: Where rare cases are counted.
    """

    def __init__(self, scenario: Scenario, books: Any, census: Counter[str]) -> None:
        self._scenario = scenario
        self._books = books
        self._census = census
        pairs = [
            (number, market)
            for number, spec in enumerate(scenario.mitigations)
            for market, table in enumerate(scenario.markets)
            if isinstance(spec, MarginScaling | LeverageFee)
            and getattr(spec, "action", "raise_margin") == "raise_margin"
            and spec.market in ("", table.name)
        ]
        # Of each look: when, mark, contracts of all owners and what is at stake; of every market
        # mark and that.
        self._all: dict[tuple[int, int], list[list[tuple[int, int]]]] = {p: [] for p in pairs}
        self._looks: dict[tuple[int, int], list[tuple[int, int, list[int], int]]] = {
            pair: [] for pair in pairs
        }
        # What a model was asked about, and its answer.
        self._seen: dict[tuple[int, int], list[dict[str, int] | None]] = {p: [] for p in pairs}
        self._decided: dict[tuple[int, int], list[Entry]] = {p: [] for p in pairs}
        self._changed: list[tuple[int, Entry]] = []
        self._cuts: list[tuple[int, Entry]] = []
        self._turns: list[tuple[int, tuple[int, int]]] = []
        self._payers: list[LeverageFeePaid] = []

    def look(self, entry: Entry) -> None:
        """Look at everything that was to be looked at before *entry*."""
        is_step = _is_step(entry.event)
        self._look_until(entry.sim_time_us, is_early=is_step)
        self._ask_until(entry.sim_time_us, is_early=is_step or _comes_first(entry.event))
        if isinstance(entry.event, DepthChanged) and self._turns:
            return
        assert not self._payers or isinstance(entry.event, LeverageFeePaid), self._payers
        while self._turns and not self._payers:
            at_us, pair = self._turns[0]
            payers = self._fee(pair)
            if payers:
                event: Any = entry.event
                assert isinstance(event, DecisionRecorded), payers
                assert (event.mitigation_id, event.market_id) == pair
                assert (event.action, entry.sim_time_us) == (Action.CHARGED, at_us)
                return
            self._turns.pop(0)

    def _look_until(self, until_us: int, *, is_early: bool = False) -> None:
        """Look at markets; in an instant, steps that reduce positions come before all but fees."""
        fees = []
        for (number, market), looks in self._looks.items():
            spec: Any = self._scenario.mitigations[number]
            is_before = is_early and not isinstance(spec, LeverageFee)
            while (len(looks) + 1) * spec.period_us <= until_us - is_before:
                at_us = (len(looks) + 1) * spec.period_us
                books = self._books
                seen = books.contracts(market), books.at_stake(market)
                looks.append((at_us, books.marks[market][0], *seen))
                if isinstance(spec, CorrelationMargin):
                    self._all[number, market].append(
                        [(mark, books.at_stake(of)) for of, (mark, _, _) in enumerate(books.marks)]
                    )
                if isinstance(spec, LeverageFee):
                    fees.append((at_us, (number, market)))
        self._turns += sorted(fees)

    def _ask_until(self, until_us: int, *, is_early: bool) -> None:
        """Ask models what they see; in an instant, depth and fees change before they look."""
        for (number, market), seen in self._seen.items():
            spec = self._scenario.mitigations[number]
            if not isinstance(spec, Predictive):
                continue
            while (at_us := (len(seen) + 1) * spec.period_us) <= until_us - is_early:
                seen.append(seen_by(spec, self._books, market, at_us))

    def decided(self, entry: Entry, event: DecisionRecorded) -> None:
        """Take in a decision."""
        assert entry.cause_seq == NO_CAUSE
        pair = event.mitigation_id, event.market_id
        if event.action is not Action.CHARGED:
            self._decided[pair].append(entry)
            return
        at_us, turn = self._turns.pop(0)
        assert (at_us, turn) == (entry.sim_time_us, pair)
        self._payers = self._fee(pair, event)
        assert self._payers
        self._census["fees charged"] += 1

    def _fee(self, pair: tuple[int, int], event: Any = None) -> list[LeverageFeePaid]:
        spec: Any = self._scenario.mitigations[pair[0]]
        marks, books, market = [mark for _, mark, *_ in self._looks[pair]], self._books, pair[1]
        if self._turns and event is None:  # Looks of later turns are not part of this one.
            marks = marks[: self._turns[0][0] // spec.period_us]
        volatility = _volatility(marks, spec.period_us, spec.half_life_us)
        if volatility is None:
            return []
        if event is not None:
            assert abs(event.volatility_e6 - volatility) <= 1
            volatility = event.volatility_e6
        multiple = min(Fraction(volatility, spec.reference_e6), Fraction(spec.high_e6, 10**6))
        multiple = Fraction(-(-multiple * 10**6 // 1), 10**6)
        if event is not None:
            assert event.multiplier_e6 == multiple * 10**6
        due = []
        for bucket in books.standing(market):
            worth = {leg: books.worth(leg, bucket) for leg in books.legs(bucket)}
            equity = books.equity(bucket)
            room = books.room(bucket)
            is_high = sum(worth.values()) > Fraction(spec.leverage_e6, 10**6) * equity
            fee = worth[market] * Fraction(spec.rate_e6, 10**6) * multiple * 10**6
            amount = int(min(-(-fee // 1), room))
            if is_high and amount > 0:
                self._census["fee cut to what can be paid"] += event is not None and amount < fee
                due.append(LeverageFeePaid(bucket, market, books.units[market][bucket], amount))
        return due

    def paid(self, entry: Entry, event: LeverageFeePaid) -> None:
        """Take in a payment."""
        assert isinstance(self._books.entries[entry.cause_seq].event, DecisionRecorded)
        assert event == self._payers.pop(0)

    def changed(self, entry: Entry, event: MaintenanceChanged) -> None:
        """Take in a change of the rates in force."""
        self._changed.append((event.market_id, entry))

    def cut(self, entry: Entry, event: CoinHaircutChanged) -> None:
        """Take in a change of the haircut on coins."""
        self._cuts.append((event.market_id, entry))

    def finish(self, end_us: int, spans: list[Any]) -> None:
        """Work out every decision and change of rates, breakers' *spans* included, and compare."""
        self._look_until(end_us - 1)
        self._ask_until(end_us - 1, is_early=False)
        while self._turns:
            assert not self._fee(self._turns[0][1])
            self._turns.pop(0)
        for market, table in enumerate(self._scenario.markets):
            dated = [(c.at_us, -1, c.multiplier_e6, NO_CAUSE) for c in table.maintenance_changes]
            cuts: list[tuple[int, int, int, int]] = []
            for (number, other), entries in self._decided.items():
                spec: Any = self._scenario.mitigations[number]
                if other != market or not isinstance(spec, MarginScaling):
                    continue
                is_of_haircut = getattr(spec, "scales", "") == "haircut"
                if is_of_haircut and not self._books.had_coins(market):
                    assert not entries
                    continue
                self._chain(number, market)
                (cuts if is_of_haircut else dated).extend(
                    _announced(number, entry) for entry in entries
                )
            spans_here = [
                span
                for span in spans
                if span.action is Action.WIDENED and span.market in (-1, market)
            ]
            for number in {span.number for span in spans_here}:
                dated += _widest([span for span in spans_here if span.number == number])
            self._products(market, dated, end_us)
            self._haircuts(market, cuts, end_us)

    def _chain(self, number: int, market: int) -> None:
        """Compare the decisions of one mitigation in one market."""
        spec: Any = self._scenario.mitigations[number]
        recorded = {e.sim_time_us: e.event for e in self._decided[number, market]}
        assert len(recorded) == len(self._decided[number, market])
        multiplier, marks = Fraction(1), []
        for place, (at_us, mark, contracts, at_stake) in enumerate(self._looks[number, market]):
            marks.append(mark)
            event: Any = recorded.pop(at_us, None)
            match spec:
                case DynamicMargin():
                    seen = _volatility(marks, spec.period_us, spec.half_life_us)
                    told, reference = event and event.volatility_e6, spec.reference_e6
                case OpenInterestMargin():
                    seen = at_stake // 10**10 if mark else None
                    told, reference = event and event.open_interest_uusd, spec.reference_uusd
                case ConcentrationMargin():
                    seen = self._concentration(contracts, spec.largest)
                    told, reference = event and event.concentration_e6, spec.reference_e6
                case CorrelationMargin():
                    seen = _correlation(self._all[number, market][: len(marks)], market, spec)
                    told, reference = event and event.correlation_e6, spec.reference_e6
                case StressMargin():
                    seen = {since: index for since, index in spec.points if since <= at_us}
                    seen = seen[max(seen)] if seen else None
                    told, reference = event and event.index_e6, spec.reference_e6
                case Predictive():
                    asked = self._seen[number, market][place]
                    seen = asked and asked["risk_e6"]
                    told, reference = event and event.risk_e6, spec.reference_e6
                    assert event is None or asked == {
                        name: getattr(event, name) for name in asked or {}
                    }
            slack = isinstance(spec, DynamicMargin | CorrelationMargin)
            if event is None:
                near = [] if seen is None else [seen, max(seen - slack, 0), seen + slack]
                after = [_step(spec, multiplier, Fraction(value, reference)) for value in near]
                assert multiplier in after or not after, f"no decision at {at_us}"
                continue
            assert seen is not None
            assert abs(told - seen) <= slack
            stepped = _step(spec, multiplier, Fraction(told, reference))
            assert event.multiplier_e6 == stepped * 10**6
            assert event.action is (Action.RAISED if stepped > multiplier else Action.LOWERED)
            assert stepped != multiplier
            assert event.from_at_us == at_us + spec.notice_us
            self._census[f"{type(spec).__name__} {event.action.name.lower()}"] += 1
            self._census[f"{type(spec).__name__} at its highest"] += stepped * 10**6 == spec.high_e6
            multiplier = stepped
        assert not recorded

    def _concentration(self, contracts: list[int], largest: int) -> int | None:
        """Return the larger share that either side's *largest* accounts have, in 1e-6."""
        open_interest = sum(held for held in contracts if held > 0)
        own = contracts[self._books.first_bucket :]
        sides = ([u for u in own if u > 0], [-u for u in own if u < 0])
        most = max(sum(sorted(side, reverse=True)[:largest]) for side in sides)
        return int(Fraction(most, open_interest) * 10**6) if open_interest else None

    def _products(self, market: int, dated: list[tuple[int, int, int, int]], end_us: int) -> None:
        """Compare the changes of one market with what holds after every instant."""
        found = {e.sim_time_us: e for m, e in self._changed if m == market}
        assert len(found) == sum(m == market for m, _ in self._changed)
        in_force = 10**6
        for at_us in sorted({at_us for at_us, *_ in dated if at_us < end_us}):
            newest = {
                number: multiplier
                for since, number, multiplier, _ in sorted(dated, key=lambda d: (d[0], d[3]))
                if since <= at_us
            }
            now = [row for row in dated if row[0] == at_us]
            product = -(-math.prod(newest.values()) // 10 ** (6 * (len(newest) - 1)))
            if product == in_force and all(number >= 0 for _, number, _, _ in now):
                continue
            entry = found.pop(at_us)
            assert isinstance(entry.event, MaintenanceChanged)
            assert entry.event.multiplier_e6 == product
            assert entry.cause_seq == max(seq for *_, seq in now)
            self._census["product of several"] += sum(m != 10**6 for m in newest.values()) > 1
            in_force = product
        assert not found

    def _haircuts(self, market: int, dated: list[tuple[int, int, int, int]], end_us: int) -> None:
        """Compare the haircuts on coins of one market with what was announced by each instant."""
        at_start = self._scenario.venue.margin.coin_haircut_e6
        told = [
            (e.sim_time_us, e.cause_seq, e.event.coin_haircut_e6)  # type: ignore[union-attr]
            for of, e in self._cuts
            if of == market
        ]
        right, in_force = [], at_start
        for at_us in sorted({since for since, *_ in dated if since < end_us}):
            # Of each rule the latest that holds, and of all these the product.
            newest = {n: m for since, n, m, _ in sorted(dated) if since <= at_us}
            product = -(-math.prod(newest.values()) // 10 ** (6 * (len(newest) - 1)))
            haircut = -(-at_start * product // 10**6)
            if haircut != in_force:
                right.append((at_us, max(seq for when, *_, seq in dated if when == at_us), haircut))
                self._census["haircut on coins raised"] += haircut > in_force
                self._census["haircut on coins lowered"] += haircut < in_force
                self._census["haircut by several"] += sum(m != 10**6 for m in newest.values()) > 1
            in_force = haircut
        assert told == right


def _announced(number: int, entry: Entry) -> tuple[int, int, int, int]:
    assert isinstance(entry.event, DecisionRecorded)
    return entry.event.from_at_us, number, entry.event.multiplier_e6, entry.seq


def _widest(spans: list[Any]) -> list[tuple[int, int, int, int]]:
    """Return what one breaker makes of the rates of a market, whenever that may change."""
    rows = []
    for at_us in {at for span in spans for at in (span.since, span.until)}:
        factors = [span.factor for span in spans if span.since <= at_us < span.until]
        seq = max(span.seq for span in spans if at_us in (span.since, span.until))
        rows.append((at_us, spans[0].number, max([10**6, *factors]), seq))
    return rows


def _step(spec: MarginScaling, before: Fraction, asked: Fraction) -> Fraction:
    bounds = spec.low_e6, spec.high_e6, spec.ramp_e6, spec.restore_e6, spec.grain_e6
    low, high, ramp, restore, grain = (Fraction(value, 10**6) for value in bounds)
    target = sorted((low, -(-asked / grain // 1) * grain, high))[1]
    return sorted((before - restore, target, before + ramp))[1]


def _is_step(event: Any) -> bool:
    is_decision = isinstance(event, DecisionRecorded) and event.action is Action.REDUCED
    return is_decision or isinstance(event, PositionReduced)


def _comes_first(event: Any) -> bool:
    """Return whether an event is of those that come before a look in its instant."""
    is_charge = isinstance(event, DecisionRecorded) and event.action is Action.CHARGED
    return is_charge or isinstance(event, DepthChanged | LeverageFeePaid)
