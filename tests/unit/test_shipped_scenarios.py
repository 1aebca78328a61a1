"""
What must hold in the shipped scenarios whoever executes.

Black Thursday runs over the whole of its two days, with a part of its accounts in a market that is
as much smaller: every instant of its schedules is met, in seconds.
"""

from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from support.sinks import ListSink

from liqsim.events import (
    Entry,
    FailedCall,
    KeeperCallFailed,
    OracleUpdated,
    OrderFilled,
    TrancheSettled,
    TrancheStarted,
    TrancheTakenOver,
)
from liqsim.runner import Simulation, prepare
from liqsim.scenario import Scenario, load_scenario
from liqsim.scenario.model import PowerBook
from liqsim.units import DAY_US, SECOND_US

_SCENARIOS = Path(__file__).parents[2] / "scenarios"


@cache
def _run(name: str, *overrides: str) -> tuple[Scenario, ListSink]:
    scenario, sink = load_scenario(_SCENARIOS / f"{name}.toml", overrides=overrides), ListSink()
    Simulation(prepare(scenario), sink).run()
    return scenario, sink


def _black_thursday(*overrides: str, part: int) -> tuple[Scenario, ListSink]:
    """Run one in *part* of its accounts, in books of the same part of their depth."""
    full = load_scenario(_SCENARIOS / "black_thursday_2020.toml")
    smaller = []
    for cohort in full.population.cohorts:
        here = f"population.cohorts.{cohort.name}"
        smaller.append(f"{here}.accounts={-(-cohort.accounts // part)}")
        smaller.append(f"{here}.notional_usd={cohort.notional_uusd // 10**6 // part}")
    for market in full.markets:
        book, here = market.liquidity, f"markets.{market.name}.liquidity"
        assert isinstance(book, PowerBook)
        assert book.fill_depth_uusd is not None
        smaller.append(f"{here}.depth_usd={book.depth_uusd // 10**6 // part}")
        smaller.append(f"{here}.fill_depth_usd={book.fill_depth_uusd // 10**6 // part}")
    return _run("black_thursday_2020", *smaller, *overrides)


def _with_the_engine() -> tuple[Scenario, ListSink]:
    return _black_thursday(part=10)


def _with_keepers() -> tuple[Scenario, ListSink]:
    # With the cap on fills, ten keepers would ask the dry book for crumbs at every mark.
    uncapped = (f"markets.{market}.liquidity.fill_depth_usd=999999999" for market in ("BTC", "ETH"))
    return _black_thursday("venue.executor=keepers", *uncapped, part=20)


def _spaced_by_day(scenario: Scenario, sink: ListSink) -> Counter[int]:
    """Check the spacing between any two tranches of a bucket; return how many there are a day."""
    settled: dict[int, int] = {}
    pairs: Counter[int] = Counter()
    for entry in sink.entries:
        event = entry.event
        if isinstance(event, TrancheSettled):
            settled[event.bucket_id] = entry.sim_time_us
        elif isinstance(event, TrancheStarted) and event.bucket_id in settled:
            gap_us = entry.sim_time_us - settled[event.bucket_id]
            assert gap_us >= scenario.venue.tranches.spacing_us
            pairs[entry.sim_time_us // DAY_US] += 1
    return pairs


def test_in_black_thursday_each_keeper_wins_and_loses() -> None:
    scenario, sink = _with_keepers()

    won = Counter(event.keeper_id for event in sink.of(TrancheTakenOver))
    failed = sink.of(KeeperCallFailed)
    lost = Counter(e.keeper_id for e in failed if e.reason is FailedCall.LOST_RACE)
    assert scenario.venue.keepers is not None
    names = [bot.name for bot in scenario.venue.keepers.bots]
    assert set(won) == set(lost) == set(range(5, 5 + len(names)))
    assert len(names) == 10
    assert _spaced_by_day(scenario, sink)[0] > 1_000


def test_no_two_tranches_of_an_account_come_closer_than_the_spacing_on_either_day() -> None:
    pairs = _spaced_by_day(*_with_the_engine())

    assert pairs[0] > 2_500
    assert pairs[1] > 700


@pytest.mark.parametrize("name", ["linear_cascade", "quiet_day"])
def test_no_two_tranches_of_an_account_come_closer_than_the_spacing(name: str) -> None:
    _spaced_by_day(*_run(name))


def test_black_thursday_stands_still_in_its_outage_and_goes_on_after_it() -> None:
    scenario, sink = _with_the_engine()
    assert scenario.venue.engine is not None
    ((down_us, up_us),) = scenario.venue.engine.outages
    assert down_us == DAY_US + 8_160 * SECOND_US  # 02:16 of the second day.

    def within(start_us: int, end_us: int, *classes: type[Any]) -> list[Entry]:
        chosen = (entry for entry in sink.entries if isinstance(entry.event, classes))
        return [entry for entry in chosen if start_us <= entry.sim_time_us < end_us]

    assert within(down_us - 60 * SECOND_US, down_us, TrancheStarted)
    assert within(down_us, up_us, OracleUpdated)
    assert not within(down_us, up_us, TrancheStarted, OrderFilled)
    # Who waited is served once it is over, the earliest trigger first, so many a second.
    first, second, *_ = within(up_us, up_us + SECOND_US, TrancheStarted)
    assert (first.sim_time_us, second.sim_time_us) == (up_us, up_us + 33_334)
    assert first.event.liquidation_seq < second.event.liquidation_seq
    assert len(within(up_us + SECOND_US, scenario.end_us, TrancheStarted)) > 30
