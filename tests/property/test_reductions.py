"""Positions that mitigations reduce, under the auditor, in random crashes beside other rules."""

from collections import Counter
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

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
    cross_crash,
    events_of,
    load,
    reducing,
    scalings,
    scenarios,
    stepped_down,
)

from liqsim.events import PositionReduced
from liqsim.runner import prepare, run_to_log
from replay.verify import verify


def _cross() -> Raw:
    unchanged = {f"markets__{name}__maintenance_changes": [] for name in ("ETH", "BTC")}
    return cross_crash(mitigations=[], **unchanged)


def test_every_law_holds_after_every_event_of_random_runs() -> None:
    census: Counter[str] = Counter()

    @cases(6)
    @given(
        st.data(),
        apart(st.one_of(scenarios("engine"), scenarios("keepers"), st.builds(_cross))),
        st.integers(1, 2),
        st.integers(0, 1),
    )
    def every_law_holds(data: st.DataObject, raw: Raw, most: int, others: int) -> None:
        data.draw(scalings(raw, others))
        data.draw(reducing(raw, most))
        census.update(audited(prepare(load(raw))).census)
        with TemporaryDirectory() as folder:
            run_to_log(load(raw), Path(folder) / "run.duckdb")
            assert verify(Path(folder) / "run.duckdb") == []

    every_law_holds()

    floors = {
        "step": 100,
        "step of a short": 50,
        "step of a cross account": 35,
        "step cut by its book": 30,
        "step that uses up the look": 7,
        "step without room": 5,
        "step without a fill": 30,
        "looks that reduce nobody": 20,
    }
    assert_floors(census, floors)


_INERT: list[Raw] = [
    stepped_down()["mitigations"][0] | {"name": name, **keys}
    for name, keys in (
        ("never sure", {"above": 1}),
        ("capped to nothing", {"above": 0, "cap": 0}),
        ("without a budget", {"above": 0, "most_usd": 0}),
        ("nobody near", {"above": 0, "content": model_text(distance=0.000001)}),
    )
]


@pytest.mark.parametrize("name", ["cross_crash", "keeper_race", "tightened", "panic"])
def test_what_never_binds_is_as_if_it_were_absent(name: str) -> None:
    assert events_of(HANDMADE[name](mitigations=_INERT)) == events_of(HANDMADE[name]())


@pytest.mark.parametrize("seconds", [25, 60])
def test_no_step_knows_what_comes_later(seconds: int) -> None:
    raw, other = stepped_down(), stepped_down()
    for table in other["markets"].values():
        table["shocks"] = [{"at": at(seconds), "fraction": Decimal("-0.4"), "over": "3s"}]
    before, after = (
        [entry for entry in events_of(run) if entry.sim_time_us < seconds * 10**6]
        for run in (raw, other)
    )

    assert sum(isinstance(entry.event, PositionReduced) for entry in before) > 10
    assert before == after
    assert events_of(raw) != events_of(other)
