"""
Breakers and grace periods in random runs: judged event by event, and what must hold of them.

A judge that shares no rule with them looks at the whole past anew at every decision and at the end
of every instant (support/halts.py); the audit of the log does so by its own code.
"""

from collections import Counter
from collections.abc import Callable

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.auditor import audited
from support.effort import cases
from support.floors import assert_floors
from support.halting import foreseen, halting, inert, widening
from support.scenarios import HANDMADE, Raw, events_of, load, scenarios
from support.sinks import ListSink

from liqsim.events import DecisionRecorded, Entry, MarketExtremes
from liqsim.mechanics.paths import ReferencePath
from liqsim.runner import Prepared, Simulation, prepare, run_to_log
from replay.verify import verify

_FLOORS = {
    "runs": 16,
    "halted liquidations": 60,
    "halted new risk": 10,
    "halted at a higher level": 15,
    "halted the venue": 15,
    "halted on fall": 15,
    "halted on rise": 5,
    "halted on volatility": 15,
    "halted on flow": 2,
    "halted on drawdown": 4,
    "halted on divergence": 40,
    "put up as a halt ended": 15,
    "graced": 20,
    "graced after an old mark": 5,
    "unresolved: halted": 8,
}

_FLOORS_OF_RUNNING = {
    "runs": 16,
    "runs verified": 4,
    "traded: anticipated": 60,
    "ran ahead, long": 35,
    "ran ahead, short": 25,
    "ran ahead again": 8,
}


@pytest.mark.parametrize("executor", ["engine", "keepers"])
def test_every_law_holds_after_every_event_of_runs_with_halts(executor: str) -> None:
    census: Counter[str] = Counter()

    @cases(16)
    @given(halting(executor))
    def every_law_holds(raw: Raw) -> None:
        census.update(audited(prepare(load(raw))).census)

    every_law_holds()

    assert_floors(census, _FLOORS)


_WIDENED_FLOORS = {
    "widened": 90,
    "widened at a higher level": 30,
    "widened over a level": 6,
    "widened the venue": 35,
    "widened on fall": 35,
    "widened on rise": 20,
    "widened on volatility": 20,
    "widened on flow": 20,
    "widened on drawdown": 15,
    "widened on divergence": 20,
    "product of several": 120,
    "triggered by a change of rules": 10,
}


@pytest.mark.parametrize("executor", ["engine", "keepers"])
def test_every_law_holds_after_every_event_of_runs_with_widened_margins(executor: str) -> None:
    census: Counter[str] = Counter()

    @cases(16)
    @given(widening(executor))
    def every_law_holds(raw: Raw) -> None:
        census.update(audited(prepare(load(raw))).census)

    every_law_holds()

    assert_floors(census, _WIDENED_FLOORS)


@pytest.mark.parametrize("drawn", [halting, widening])
def test_the_audit_finds_nothing_in_runs_with_halts(
    drawn: Callable[[str], st.SearchStrategy[Raw]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    census: Counter[str] = Counter()

    @cases(5)
    @given(st.one_of(drawn("engine"), drawn("keepers")))
    def nothing_is_found(raw: Raw) -> None:
        path = tmp_path_factory.mktemp("audit") / "run.duckdb"
        run_to_log(load(raw), path)

        assert verify(path) == []
        census["decisions"] += sum(
            isinstance(entry.event, DecisionRecorded) for entry in events_of(raw)
        )

    nothing_is_found()

    assert_floors(census, {"decisions": 12})


@pytest.mark.parametrize("executor", ["engine", "keepers"])
def test_every_law_holds_where_accounts_run_from_halts(
    executor: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    census: Counter[str] = Counter()

    @cases(16)
    @given(foreseen(executor))
    def every_law_holds(raw: Raw) -> None:
        found = audited(prepare(load(raw))).census
        census.update(found)
        if found["traded: anticipated"]:
            path = tmp_path_factory.mktemp("audit") / "run.duckdb"
            run_to_log(load(raw), path)
            assert verify(path) == []
            census["runs verified"] += 1

    every_law_holds()

    assert_floors(census, _FLOORS_OF_RUNNING)


def test_what_never_binds_changes_nothing() -> None:
    census: Counter[str] = Counter()

    @cases(12)
    @given(st.one_of(scenarios("engine"), scenarios("keepers")))
    def nothing_changes(raw: Raw) -> None:
        rows = [row | {"name": f"m{number}"} for number, row in enumerate(inert())]
        absent = events_of(raw | {"mitigations": []})

        assert events_of(raw | {"mitigations": rows}) == absent
        census["events"] += len(absent)

    nothing_changes()

    assert_floors(census, {"events": 4_000})


@pytest.mark.parametrize("name", ["engine_cascade", "keeper_race", "cross_crash", "panic"])
def test_what_never_binds_changes_nothing_by_hand(name: str) -> None:
    rows = [row | {"name": f"m{number}"} for number, row in enumerate(inert())]

    assert events_of(HANDMADE[name](mitigations=rows)) == events_of(HANDMADE[name]())


def _run(prepared: Prepared) -> list[Entry]:
    sink = ListSink()
    Simulation(prepared, sink).run()
    return sink.entries


def _until(entries: list[Entry], at_us: int) -> list[Entry]:
    return [
        entry
        for entry in entries
        if entry.sim_time_us < at_us and not isinstance(entry.event, MarketExtremes)
    ]


def test_no_halt_looks_ahead() -> None:
    census: Counter[str] = Counter()

    @cases(20)
    @given(st.one_of(halting("engine"), halting("keepers")), st.integers(20, 80))
    def nothing_before_has_changed(raw: Raw, percent: int) -> None:
        prepared = prepare(load(raw | {"path_mode": "on_top"}))
        at_us = prepared.scenario.end_us * percent // 100
        paths = []
        for path in prepared.paths:
            first = -(-at_us // path.step_us)
            prices = np.array(path.prices_e8)
            prices[first:] = prices[first:] * 3 // 2
            paths.append(ReferencePath(path.step_us, prices))
        other = _run(attrs.evolve(prepared, paths=tuple(paths)))
        known = _until(_run(prepared), at_us)

        assert _until(other, at_us) == known
        census["decisions"] += sum(isinstance(entry.event, DecisionRecorded) for entry in known)

    nothing_before_has_changed()

    assert_floors(census, {"decisions": 20})
