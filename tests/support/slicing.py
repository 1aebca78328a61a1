"""
A judge of mitigations that judge the instant, for the auditor of the tests.

It looks back over all events so far, and asks the live book by other questions than the rule does.
"""

import math
from collections import Counter
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any, Protocol

import attrs

from liqsim.events import (
    Action,
    DecisionRecorded,
    Entry,
    InventorySold,
    LiquidationTriggered,
    OrderFilled,
    PositionReduced,
    TradeFilled,
    TrancheSettled,
    TrancheStarted,
)
from liqsim.events.mitigation import NOT_OBSERVED
from liqsim.runner import Simulation
from liqsim.scenario.mitigations import Delays, Mitigation, Slices, SlippageCap
from liqsim.scenario.model import Scenario

_E16 = 10**10
_JUDGED = (Slices, Delays, SlippageCap)
_LOOKED_AT = (
    OrderFilled,
    InventorySold,
    TradeFilled,
    PositionReduced,
    LiquidationTriggered,
    TrancheStarted,
    TrancheSettled,
)
_TICKS = 2
"""Prices of 1e-8 by which two computations of one price may differ."""


@attrs.frozen
class Asked:
    """What an account asks for, as the auditor knows it."""

    at_us: int
    bucket: int
    market: int
    wanted_e8: int
    at_trigger_e8: int
    mark_e8: int
    is_long: bool


class Past(Protocol):
    """What the auditor has seen, the present event included."""

    entries: list[Entry]
    census: Counter[str]


class SliceJudge:
    """
    Works decisions out again, and what a slice may then be.

    Args:
        scenario: The run.
        past: What has happened.
    """

    def __init__(self, scenario: Scenario, past: Past) -> None:
        self._past = past
        markets = [market.name for market in scenario.markets]
        self._specs: dict[int, tuple[int | None, Mitigation]] = {
            number: (markets.index(spec.market) if spec.market else None, spec)
            for number, spec in enumerate(scenario.mitigations)
            if isinstance(spec, _JUDGED)
        }
        self._waits: dict[int, int] = {}
        self._said: list[tuple[int, DecisionRecorded]] = []
        self._kept: list[Entry] = []
        self._met: set[int] = set()
        self._read = 0

    def watch(self, simulation: Simulation) -> None:
        """Name the run whose book is asked."""
        self._simulation = simulation

    @property
    def judges(self) -> bool:
        """Whether any mitigation judges the instant."""
        return bool(self._specs)

    def left(self, asked: Asked) -> int:
        """Return what decisions of this instant have left of what was wanted."""
        sizes = [
            event.size_e8
            for at_us, event in self._said
            if (at_us, event.bucket_id) == (asked.at_us, asked.bucket)
            and event.action is Action.CUT
        ]
        return min([asked.wanted_e8, *sizes])

    def is_mine(self, mitigation_id: int) -> bool:
        """Return whether a mitigation judges the instant."""
        return mitigation_id in self._specs

    def waits_until(self, bucket: int) -> int:
        """Return until when an account waits."""
        return self._waits.get(bucket, 0)

    def forget(self, bucket: int) -> None:
        """Take note that an account waits for nothing any more: its slice is held, or crossed."""
        self._waits.pop(bucket, None)

    def decided(self, asked: Asked, event: DecisionRecorded) -> None:
        """Judge a decision."""
        market, spec = self._specs[event.mitigation_id]
        assert market in (None, asked.market)
        assert event.wanted_e8 == asked.wanted_e8
        until, size, seen = self._rule(asked, spec, event)
        assert {name: getattr(event, name) for name in seen} == seen
        if until > asked.at_us:
            assert (event.action, event.until_at_us) == (Action.DELAYED, until)
            assert event.size_e8 == NOT_OBSERVED
            self._waits[asked.bucket] = max(self._waits.get(asked.bucket, 0), until)
            self._past.census[f"waits: {type(spec).__name__}"] += 1
        else:
            assert (event.action, event.size_e8) == (Action.CUT, size)
            assert size < asked.wanted_e8
            assert event.until_at_us == NOT_OBSERVED
            self._past.census[f"cut: {_name(spec)}"] += 1
        self._said.append((asked.at_us, event))

    def started(self, asked: Asked) -> int:
        """Return the most that a slice put up now may be of what was wanted."""
        said = {
            event.mitigation_id: event
            for at_us, event in self._said
            if (at_us, event.bucket_id) == (asked.at_us, asked.bucket)
        }
        self._said.clear()
        assert self._waits.pop(asked.bucket, 0) <= asked.at_us, "put up while it waits"
        most = asked.wanted_e8
        for number, (market, spec) in self._specs.items():
            if market not in (None, asked.market):
                continue
            decision = said.get(number)
            until, size, _ = self._rule(asked, spec, decision)
            assert until <= asked.at_us, f"put up against {spec}"
            assert (decision is not None) == (size < asked.wanted_e8), f"{spec}: {size}"
            most = min(most, size)
        return most

    def _rule(
        self, asked: Asked, spec: Mitigation, said: DecisionRecorded | None
    ) -> tuple[int, int, dict[str, int]]:
        """Return until when, how much, and what was observed."""
        match spec:
            case Slices():
                return self._slices(asked, spec, said)
            case Delays():
                forced = self._forced(asked, spec.window_us)
                pause = -(-forced * spec.per_million_us // 10**12)
                since = max(
                    e.sim_time_us
                    for e in self._earlier()
                    if isinstance(e.event, LiquidationTriggered | TrancheSettled)
                    and e.event.bucket_id == asked.bucket
                )
                steps = range(0, 65 * max(spec.max_us // 64, 1), max(spec.max_us // 64, 1))
                pause = next((step for step in steps if step >= pause), spec.max_us)
                until = since + min(pause, spec.max_us)
                return until, asked.wanted_e8, {"forced_uusd": forced}
            case SlippageCap():
                return self._capped(asked, spec, said)
            case _:
                raise AssertionError(spec)

    def _earlier(self) -> list[Entry]:
        """Return what is looked at of all events before the present one."""
        new = self._past.entries[self._read : -1]
        self._read += len(new)
        self._met |= {
            entry.seq
            for entry in new  # What is crossed or auctioned meets no book.
            if isinstance(entry.event, TrancheStarted) and entry.event.executor.is_meeting
        }
        self._kept += [
            entry
            for entry in new
            if isinstance(entry.event, _LOOKED_AT)
            and getattr(entry.event, "tranche_seq", entry.seq) not in self._met
        ]
        return self._kept

    def _slices(
        self, asked: Asked, spec: Slices, said: DecisionRecorded | None
    ) -> tuple[int, int, dict[str, int]]:
        trigger = max(
            e.seq
            for e in self._earlier()
            if isinstance(e.event, LiquidationTriggered) and e.event.bucket_id == asked.bucket
        )
        before = [
            e.sim_time_us
            for e in self._earlier()
            if isinstance(e.event, TrancheStarted)
            and (e.event.liquidation_seq, e.event.market_id) == (trigger, asked.market)
        ]
        if before and asked.at_us < before[-1] + spec.interval_us:
            return before[-1] + spec.interval_us, asked.wanted_e8, {}
        size, seen = self._of_law(asked, spec, said, len(before) + 1)
        return 0, max(size, _units(spec.least_uusd, asked.mark_e8)), seen

    def _of_law(
        self, asked: Asked, spec: Slices, said: DecisionRecorded | None, place: int
    ) -> tuple[int, dict[str, int]]:
        whole = asked.at_trigger_e8
        if spec.law == "fixed":
            return _units(spec.amount_uusd, asked.mark_e8), {}
        if spec.law == "time_weighted":
            return -(-whole // spec.parts), {}
        if spec.law == "obizhaeva_wang":
            left = Fraction(round(math.pow(2.0, -spec.interval_us / spec.half_life_us) * 10**9))
            left /= 10**9
            weight = 1 if place == 1 or place >= spec.parts else 1 - left
            return math.ceil(whole * weight / (2 + (spec.parts - 2) * (1 - left))), {}
        if spec.law == "participation":
            since = asked.at_us - spec.window_us
            traded = sum(
                abs(e.event.cost_uusd)
                for e in self._earlier()
                if isinstance(e.event, OrderFilled | InventorySold | TradeFilled | PositionReduced)
                and e.event.market_id == asked.market
                and e.sim_time_us > since
            )
            forced = self._forced(asked, spec.window_us)
            volume = traded + spec.background_uusd * spec.window_us // 3_600_000_000
            room = max(volume * spec.share_e6 // 10**6 - forced, 0)
            seen = {"forced_uusd": forced, "traded_uusd": traded}
            return _units(room, asked.mark_e8), seen
        if said is not None:
            depth = said.depth_e8
            assert self.holds(asked, spec.distance_e6, depth, _TICKS)
            assert not self.holds(asked, spec.distance_e6, depth + 2, -_TICKS)
            return depth * spec.share_e6 // 10**6, {}
        # Enough for what is wanted, or the least is.
        needed = -(-asked.wanted_e8 * 10**6 // spec.share_e6)
        return asked.wanted_e8 if self.holds(asked, spec.distance_e6, needed, _TICKS) else 0, {}

    def _forced(self, asked: Asked, window_us: int) -> int:
        up: dict[int, TrancheStarted] = {}
        total = 0
        for entry in self._earlier():
            match entry.event:
                case TrancheStarted() as start if start.market_id == asked.market:
                    up[entry.seq] = start
                case TrancheSettled(tranche_seq=seq, cancelled_e8=cancelled) if seq in up:
                    start = up.pop(seq)
                    done = abs(start.quantity_e8) - cancelled
                    if entry.sim_time_us > asked.at_us - window_us:
                        total += -(-done * start.mark_price_e8 // _E16)
                case _:
                    pass
        return total + sum(
            -(-abs(start.quantity_e8) * start.mark_price_e8 // _E16) for start in up.values()
        )

    def _capped(
        self, asked: Asked, spec: SlippageCap, said: DecisionRecorded | None
    ) -> tuple[int, int, dict[str, int]]:
        def fits(size: int) -> bool:
            fill = self.fill(asked, size)
            if fill is None:
                return True
            away = abs(Fraction(fill.price_e8, self._price(asked)) - 1)
            return away <= Fraction(spec.max_slippage_e6, 10**6)

        if said is None:
            return 0, asked.wanted_e8 if fits(asked.wanted_e8) else 0, {}
        size = said.depth_e8
        assert size == 0 or fits(size)
        assert not fits(size + 1)
        assert size < asked.wanted_e8
        is_enough = size > 0 and size * asked.mark_e8 >= spec.least_uusd * _E16
        return 0 if is_enough else asked.at_us + spec.retry_us, size, {}

    def fill(self, asked: Asked, size: int) -> Any:
        desk = self._simulation.context.markets[asked.market]
        order, reference = -size if asked.is_long else size, desk.path.at(asked.at_us)
        return desk.liquidity.fill(desk.state.book, asked.at_us, reference, order, None)

    def _price(self, asked: Asked) -> int:
        desk = self._simulation.context.markets[asked.market]
        moved = desk.liquidity.displacement(desk.state.book, asked.at_us)
        return max(round(desk.path.at(asked.at_us) * math.exp(moved)), 1)

    def holds(self, asked: Asked, distance_e6: int, size: int, ticks: int) -> bool:
        """Return whether so much can be had within the distance, and so many ticks."""
        if not size:
            return True
        fill = self.fill(asked, size)
        if fill is None or abs(fill.quantity_e8) < size:
            return False
        away = abs(fill.market_price_e8 - self._price(asked))
        return away * 10**6 <= self._price(asked) * distance_e6 + ticks * 10**6


def _units(uusd: int, mark_e8: int) -> int:
    return max(uusd * _E16 // mark_e8, 1)


def _name(spec: Mitigation) -> str:
    # By its law, not its kind: each is a case of its own.
    return spec.law if isinstance(spec, Slices) else type(spec).__name__


_READ_BY = {
    "fixed": ("amount_usd",),
    "depth_share": ("share", "distance"),
    "participation": ("share", "window", "background_usd_per_hour"),
    "time_weighted": ("parts",),
    "obizhaeva_wang": ("parts", "half_life"),
}
_LAWS = tuple(_READ_BY)


def _one(random: Random, kind: str, law: str) -> dict[str, Any]:
    """Return parameters that bind in the small runs of the tests."""
    pick = random.choice
    least = pick((1, 1, 50, 2_000))
    if kind == "delays":
        return {
            "window": pick(("5s", "1m")),
            "per_million": pick(("10s", "5m", "1h")),
            "max": pick(("3s", "20s")),
        }
    if kind == "slippage_cap":
        return {
            "max_slippage": pick((0, Decimal("0.0002"), Decimal("0.002"))),
            "least_usd": pick((0, least)),
            "retry": pick(("500ms", "7s")),
        }
    common = {"law": law, "interval": pick(("0s", "2s", "2s", "6s")), "least_usd": least}
    own = {
        "amount_usd": least * pick((1, 3, 40)),
        "share": pick((Decimal("0.02"), Decimal("0.2"), 1)),
        "distance": pick((Decimal("0.0005"), Decimal("0.01"), 1)),
        "window": pick(("3s", "40s")),
        "background_usd_per_hour": pick((0, 50_000, 3_000_000)),
        "parts": pick((2, 3, 9)),
        "half_life": pick(("1s", "10s")),
    }
    return common | {key: own[key] for key in _READ_BY[law]}


def slowed(number: int, market: str) -> list[dict[str, Any]]:
    """Return one or two mitigations that judge the instant, some of them in *market* alone."""
    random = Random(f"slowed {number}")  # Small numbers alone give draws that are alike.
    kinds = ["slices", random.choice(("slices", "delays", "slippage_cap"))]
    kinds = random.sample(kinds, random.choice((1, 2, 2)))
    return [
        {"kind": kind, "name": f"m{place}", "market": random.choice(("", "", market))}
        | _one(random, kind, _LAWS[(number + place) % len(_LAWS)])
        for place, kind in enumerate(kinds)
    ]
