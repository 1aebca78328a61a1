"""
A judge of positions that mitigations reduce: every step worked out again, and those that lack.

It asks the live book what each order would get, and tries each step on the balances.
"""

from collections import Counter
from fractions import Fraction
from typing import Any

import attrs

from liqsim.events import (
    NO_CAUSE,
    Action,
    DecisionRecorded,
    DepthChanged,
    Entry,
    LeverageFeePaid,
    PositionReduced,
)
from liqsim.scenario import Scenario
from liqsim.scenario.mitigations import Predictive
from support.predictions import ladder_of, seen_by


@attrs.define
class _Look:
    """A look that saw a cascade come: who is still to be looked at, and what it may still trade."""

    number: int
    market: int
    at_us: int
    seen: dict[str, int]
    waiting: list[int]
    left_e8: int
    decision_seq: int = -1


class ReductionJudge:
    """
    Judges one run.

    Args:
        scenario: Its parameters.
        books: The auditor, whose books are read.
        census: Where rare cases are counted.
    """

    def __init__(self, scenario: Scenario, books: Any, census: Counter[str]) -> None:
        self._books = books
        self._census = census
        self._specs = {
            (number, market): spec
            for number, spec in enumerate(scenario.mitigations)
            for market, table in enumerate(scenario.markets)
            if isinstance(spec, Predictive)
            and spec.action == "deleverage"
            and spec.market in ("", table.name)
        }
        self._next_us = {pair: spec.period_us for pair, spec in self._specs.items()}
        self._first: dict[tuple[int, int, int], int] = {}
        self._closed: Counter[tuple[int, int, int]] = Counter()
        self._look: _Look | None = None

    def look(self, entry: Entry) -> None:
        """Look at all that was to be looked at before *entry*."""
        event = entry.event
        if self._look is not None:
            if isinstance(event, PositionReduced):
                return
            assert self._step(self._look) is None, "a step is missing"
            self._look = None
        self._look_until(entry.sim_time_us, event)

    def finish(self, end_us: int) -> None:
        """Check that no step lacks at the end."""
        assert self._look is None
        self._look_until(end_us - 1, None)

    def _look_until(self, until_us: int, event: Any) -> None:
        is_early = isinstance(event, DepthChanged | LeverageFeePaid) or (
            isinstance(event, DecisionRecorded) and event.action is Action.CHARGED
        )
        while due := [
            (at, pair) for pair, at in self._next_us.items() if at <= until_us - is_early
        ]:
            at_us, pair = min(due)
            self._next_us[pair] += self._specs[pair].period_us
            look = self._looked(pair, at_us)
            if look is None or self._step(attrs.evolve(look, waiting=[*look.waiting])) is None:
                continue
            assert isinstance(event, DecisionRecorded), "a decision is missing"
            told = event.mitigation_id, event.market_id, event.action
            assert (*told, until_us) == (*pair, Action.REDUCED, at_us)
            self._look = look
            return

    def _looked(self, pair: tuple[int, int], at_us: int) -> _Look | None:
        spec, (number, market), books = self._specs[pair], pair, self._books
        seen = seen_by(spec, books, market, at_us)
        if seen is None:
            return None
        self._census["looks that reduce nobody"] += seen["risk_e6"] < spec.above_e6
        if seen["risk_e6"] < spec.above_e6:
            return None
        near = [
            bucket
            for bucket in ladder_of(spec, books, market)
            if not books.is_stopped(bucket, market, at_us)
        ]
        near.sort(key=lambda bucket: (self._ratio(bucket), bucket))
        mark = books.marks[market][0]
        return _Look(number, market, at_us, seen, near, spec.most_uusd * 10**10 // mark)

    def _ratio(self, bucket: int) -> Fraction:
        worth = sum(self._books.worth(leg, bucket) for leg in self._books.legs(bucket))
        return self._books.margin(bucket) / worth

    def _step(self, look: _Look) -> PositionReduced | None:
        """Return the next step of a look; None if there is none."""
        spec, books, market = self._specs[look.number, look.market], self._books, look.market
        desk = books.simulation.context.markets[market]
        while look.waiting:
            bucket = look.waiting.pop(0)
            held = books.units[market][bucket]
            key = look.number, market, bucket
            most = Fraction(self._first.get(key, abs(held)) * spec.cap_e6, 10**6)
            step = Fraction(abs(held) * spec.step_e6, 10**6)
            room = int(most // 1) - self._closed[key]
            size = min(int(step // 1), room, look.left_e8)
            if size <= 0:
                self._census["step without room"] += room <= 0
                continue
            sign = -1 if held > 0 else 1
            reference, arrival = desk.path.at(look.at_us), desk.market_price_e8(look.at_us)
            exact = Fraction(arrival * (10**6 + sign * spec.slippage_e6), 10**6)
            limit = int(exact // 1) if sign > 0 else max(int(-(-exact // 1)), 1)
            book = desk.state.book
            fill = desk.liquidity.fill(book, look.at_us, reference, sign * size, limit)
            if fill is None:
                self._census["step without a fill"] += 1
                continue
            value = fill.quantity_e8 * fill.price_e8
            fee = -(-abs(value) * books.taker_fee_e6 // 10**16)
            event = PositionReduced(
                bucket_id=bucket,
                market_id=market,
                ordered_e8=sign * size,
                quantity_e8=fill.quantity_e8,
                price_e8=fill.price_e8,
                cost_uusd=-(-value // 10**10),
                fee_uusd=fee,
                mark_price_e8=books.marks[market][0],
                reference_price_e8=reference,
                arrival_price_e8=arrival,
                market_price_e8=fill.market_price_e8,
            )
            if books.would_be_due(event):
                self._census["step that would be too much"] += 1
                continue
            return event
        return None

    def decided(self, entry: Entry, event: DecisionRecorded) -> None:
        """Take in a decision."""
        look = self._look
        assert look is not None
        assert look.decision_seq < 0
        assert entry.cause_seq == NO_CAUSE
        right = DecisionRecorded(look.number, Action.REDUCED, market_id=look.market, **look.seen)
        assert event == right
        look.decision_seq = entry.seq

    def reduced(self, entry: Entry, event: PositionReduced) -> None:
        """Take in a step."""
        look, bucket, market = self._look, event.bucket_id, event.market_id
        assert look is not None
        assert entry.cause_seq == look.decision_seq
        assert event == self._step(look)
        held, size = self._books.units[market][bucket], abs(event.quantity_e8)
        key = look.number, market, bucket
        self._first.setdefault(key, abs(held))
        self._closed[key] += size
        look.left_e8 -= size
        self._census["step"] += 1
        self._census["step of a short"] += held < 0
        self._census["step of a cross account"] += len(self._books.legs(bucket)) > 1
        self._census["step cut by its book"] += event.quantity_e8 != event.ordered_e8
        self._census["step that uses up the look"] += not look.left_e8
