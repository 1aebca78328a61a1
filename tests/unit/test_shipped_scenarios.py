"""What must hold in the shipped scenarios whoever executes."""

from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from support.sinks import ListSink

from liqsim.events import KeeperCallFailed, TrancheSettled, TrancheStarted, TrancheTakenOver
from liqsim.runner import Simulation, prepare
from liqsim.scenario import Scenario, load_scenario

_SCENARIOS = Path(__file__).parents[2] / "scenarios"


_ENOUGH_US = 3_600 * 10**6
"""Of Black Thursday, the first hour: it has thousands of tranches, and takes seconds."""


class _EnoughError(Exception):
    pass


def _stop(now_us: int, _end_us: int) -> None:
    if now_us > _ENOUGH_US:
        raise _EnoughError


def _run(name: str, *overrides: str) -> tuple[Scenario, ListSink]:
    scenario, sink = load_scenario(_SCENARIOS / f"{name}.toml", overrides=overrides), ListSink()
    with suppress(_EnoughError):
        Simulation(prepare(scenario), sink).run(_stop)
    return scenario, sink


def _assert_spaced(scenario: Scenario, sink: ListSink) -> int:
    """Check the spacing between any two tranches of a bucket; return how many there are."""
    settled: dict[int, int] = {}
    pairs = 0
    for entry in sink.entries:
        event = entry.event
        if isinstance(event, TrancheSettled):
            settled[event.bucket_id] = entry.sim_time_us
        elif isinstance(event, TrancheStarted) and event.bucket_id in settled:
            gap_us = entry.sim_time_us - settled[event.bucket_id]
            assert gap_us >= scenario.venue.tranches.spacing_us
            pairs += 1
    return pairs


def test_in_black_thursday_each_keeper_wins_and_loses() -> None:
    scenario, sink = _run("black_thursday_2020", "venue.executor=keepers")

    won = Counter(event.keeper_id for event in sink.of(TrancheTakenOver))
    lost = Counter(event.keeper_id for event in sink.of(KeeperCallFailed))
    assert scenario.venue.keepers is not None
    names = [bot.name for bot in scenario.venue.keepers.bots]
    assert set(won) == set(lost) == set(range(5, 5 + len(names)))
    assert len(names) == 10
    assert _assert_spaced(scenario, sink) > 1_000


@pytest.mark.parametrize(
    ("name", "least"), [("black_thursday_2020", 1_000), ("linear_cascade", 0), ("quiet_day", 0)]
)
def test_no_two_tranches_of_an_account_come_closer_than_the_spacing(name: str, least: int) -> None:
    assert _assert_spaced(*_run(name)) >= least
