"""Margin rates that follow what a venue sees, and fees on leverage, under the auditor."""

from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.auditor import audited
from support.effort import apart, cases
from support.floors import assert_floors
from support.models import model_text
from support.scenarios import (
    HANDMADE,
    Raw,
    at,
    concentrations,
    correlations,
    events_of,
    haircuts,
    load,
    scaled,
    scalings,
    scenarios,
)

from liqsim.events import Action, DecisionRecorded, MaintenanceChanged
from liqsim.runner import prepare


def test_every_law_holds_after_every_event_of_random_runs() -> None:
    census: Counter[str] = Counter()

    @cases(36)
    @given(st.data(), st.one_of(scenarios("engine"), scenarios("keepers")), st.integers(1, 2))
    def every_law_holds(data: st.DataObject, raw: Raw, most: int) -> None:
        data.draw(scalings(raw, most))
        census.update(audited(prepare(load(raw))).census)

    every_law_holds()

    floors = {
        "DynamicMargin raised": 15,
        "DynamicMargin lowered": 15,
        "OpenInterestMargin raised": 8,
        "OpenInterestMargin lowered": 8,
        "StressMargin raised": 8,
        "StressMargin lowered": 8,
        "Predictive raised": 8,
        "Predictive lowered": 8,
        "Predictive at its highest": 2,
        "product of several": 20,
        "fees charged": 10,
        "fee cut to what can be paid": 10,
        "triggered by a change of rules": 10,
    }
    assert_floors(census, floors)


def test_every_law_holds_where_rates_follow_concentration() -> None:
    census: Counter[str] = Counter()

    @cases(16)
    @given(st.data(), st.one_of(scenarios("engine"), scenarios("keepers")), st.integers(0, 1))
    def every_law_holds(data: st.DataObject, raw: Raw, most: int) -> None:
        data.draw(scalings(raw, most))
        data.draw(concentrations(raw))
        census.update(audited(prepare(load(raw))).census)

    every_law_holds()

    floors = {
        "ConcentrationMargin raised": 30,
        "ConcentrationMargin lowered": 12,
        "product of several": 20,
        "triggered by a change of rules": 6,
    }
    assert_floors(census, floors)


def test_every_law_holds_where_rates_follow_correlation() -> None:
    census: Counter[str] = Counter()

    @cases(16)
    @given(st.data(), st.one_of(scenarios("engine"), scenarios("keepers")), st.integers(0, 1))
    def every_law_holds(data: st.DataObject, raw: Raw, most: int) -> None:
        data.draw(scalings(raw, most))
        data.draw(correlations(raw))
        census.update(audited(prepare(load(raw))).census)

    every_law_holds()

    floors = {
        "CorrelationMargin raised": 15,
        "CorrelationMargin lowered": 60,
        "product of several": 15,
    }
    assert_floors(census, floors)


def test_every_law_holds_where_the_haircut_on_coins_follows_correlation() -> None:
    census: Counter[str] = Counter()

    @st.composite
    def cut(draw: st.DrawFn) -> Raw:
        raw: Raw = draw(st.one_of(scenarios("engine"), scenarios("keepers")))
        draw(scalings(raw, 0))
        if draw(st.booleans()):
            draw(correlations(raw))
        draw(haircuts(raw))
        return raw

    @cases(32)
    @given(apart(cut()))
    def every_law_holds(raw: Raw) -> None:
        census.update(audited(prepare(load(raw))).census)

    every_law_holds()

    floors = {
        "haircut on coins raised": 100,
        "haircut on coins lowered": 150,
        "haircut by several": 40,
        "triggered by a haircut on coins": 5,
    }
    assert_floors(census, floors)


# Absent, inert, and blind to the future -----------------------------------------------------------

_INERT: list[Raw] = [
    {
        "kind": "predictive",
        "period": "2s",
        "model": "calm.json",
        "content": model_text(intercept=-4, ladder=1),
        "reference": 1,
        "high": Decimal("1.05"),  # As of others: together they could take rates too far.
        "name": "never",
    },
    {"kind": "dynamic_margin", "period": "2s", "low": 1, "high": 1},
    {"kind": "open_interest_margin", "period": "2s", "reference_usd": 1, "high": 1},
    {"kind": "stress_margin", "period": "2s"},
    {"kind": "concentration_margin", "period": "2s", "reference": 1, "high": Decimal("1.05")},
    {"kind": "correlation_margin", "period": "2s", "half_life": "6s", "reference": 1}
    | {"high": Decimal("1.05")},
    {"kind": "leverage_fee", "period": "2s", "rate": 0, "name": "for nothing"},
    {"kind": "leverage_fee", "period": "2s", "leverage": 1_000_000},
]


@pytest.mark.parametrize("name", ["cross_crash", "keeper_race", "tightened", "in_coins", "panic"])
def test_what_never_binds_is_as_if_it_were_absent(name: str) -> None:
    assert events_of(HANDMADE[name](mitigations=_INERT)) == events_of(HANDMADE[name]())


@pytest.mark.parametrize("seconds", [25, 60, 95])
def test_nothing_is_decided_by_what_comes_later(seconds: int) -> None:
    raw, others = scaled(), scaled()
    for table in others["markets"].values():
        table["shocks"] = [{"at": at(seconds), "fraction": Decimal("0.4"), "over": "3s"}]
    points = [point for point in raw["mitigations"][2]["points"] if point[0] < at(seconds)]
    others["mitigations"][2]["points"] = [*points, [at(seconds), 9]]
    before, after = (
        [entry for entry in events_of(run) if entry.sim_time_us < seconds * 10**6]
        for run in (raw, others)
    )

    assert sum(isinstance(entry.event, DecisionRecorded) for entry in before) > 10
    assert before == after
    assert events_of(raw) != events_of(others)


def test_every_change_was_announced_and_is_bounded_and_ramped() -> None:
    entries, rules = events_of(scaled()), scaled()["mitigations"]
    announced: dict[tuple[int, int], list[Decimal]] = {}
    times: dict[int, set[int]] = {0: set(), 1: set()}
    for entry in entries:
        event: Any = entry.event
        if isinstance(event, DecisionRecorded) and event.action is not Action.CHARGED:
            rule = rules[event.mitigation_id]
            chain = announced.setdefault((event.mitigation_id, event.market_id), [Decimal(1)])
            chain.append(Decimal(event.multiplier_e6) / 10**6)
            step = chain[-1] - chain[-2]
            assert -rule["restore"] <= step <= rule["ramp"]
            assert rule["low"] <= chain[-1] <= rule["high"]
            notice = int(rule["notice"].removesuffix("s")) * 10**6
            assert event.from_at_us == entry.sim_time_us + notice
            times[event.market_id].add(event.from_at_us)
        elif isinstance(event, MaintenanceChanged):
            assert entry.sim_time_us in times[event.market_id]
            cause: Any = entries[entry.cause_seq].event
            assert (cause.market_id, cause.from_at_us) == (event.market_id, entry.sim_time_us)

    assert sum(map(len, announced.values())) > 25
    assert len(announced) == 5
