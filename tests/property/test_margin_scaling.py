"""Margin rates that follow what a venue sees, and fees on leverage, under the auditor."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from support.auditor import audited
from support.effort import cases
from support.floors import assert_floors
from support.scenarios import Raw, load, scalings, scenarios

from liqsim.runner import prepare


def test_every_law_holds_after_every_event_of_random_runs() -> None:
    census: Counter[str] = Counter()

    @cases(24)
    @given(st.data(), st.one_of(scenarios("engine"), scenarios("keepers")), st.integers(1, 2))
    def every_law_holds(data: st.DataObject, raw: Raw, most: int) -> None:
        data.draw(scalings(raw, most))
        census.update(audited(prepare(load(raw))).census)

    every_law_holds()

    floors = {
        "DynamicMargin raised": 30,
        "DynamicMargin lowered": 30,
        "OpenInterestMargin raised": 8,
        "OpenInterestMargin lowered": 8,
        "StressMargin raised": 8,
        "StressMargin lowered": 8,
        "product of several": 20,
        "fees charged": 10,
        "fee cut to what can be paid": 10,
        "triggered by a change of rules": 10,
    }
    assert_floors(census, floors)
