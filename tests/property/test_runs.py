"""
Whole runs of random scenarios, judged event by event.

`Auditor` keeps books of its own, works every decision out again, and compares its books with the
live ledger after each event. What it counts has floors: a run that meets no deleveraging says
nothing about deleveraging.
"""

from collections import Counter
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.auditor import audited
from support.effort import cases
from support.floors import assert_floors
from support.scenarios import (
    HANDMADE,
    LAST_LAYERS,
    Raw,
    load,
    scenarios,
    scenarios_from_files,
)

from liqsim.eventlog.writer import EventLogWriter
from liqsim.processes.context import Context, Priority, Process
from liqsim.runner import Prepared, Simulation, prepare
from replay.fold import Fold
from replay.log import Log

_RUNS = 140

_FLOORS_OF_BOTH = {
    "runs": _RUNS,
    "fill in a ladder": 25,
    "fill in a capped book": 100,
    "depth_changed": 50,
    "oracle_updated because of a fill": 20,
    "oracle_updated after a catch-up": 50,
    "triggered long": 200,
    "triggered short": 200,
    "tranche cut by share": 200,
    "tranche cut by cap": 500,
    "tranche cancelled": 40,
    "dust taken along": 4,
    "fee capped": 12,
    "surplus_routed": 15,
    "fund_drawn": 70,
    "fund exhausted": 200,
    "executed beyond bankruptcy": 500,
    "position_deleveraged": 200,
    "bad_debt_recorded": 60,
    "restored": 50,
    "closed": 200,
    "queue exhausted": 5,
    "triggered cross": 40,
    "triggered hedged": 10,
    "choice of a leg": 100,
    "surplus kept for other legs": 10,
    "deleveraged cross": 3,
    "unresolved: spacing": 7,
    "unresolved: run_ended": 1,
    "fill in a purged market": 100,
    "fill off history": 50,
    "shadow_updated": 60,
    "first_order": 500,
    "rule_induced": 60,
    "accelerated": 10,
    "induced": 10,
    "crossed by an account": 4,
    "averted": 3,
    "triggered by a change of rules": 25,
    "due by the haircut on profit": 5,
    "due by a tier of notional": 50,
    "opened with no more than initial margin": 80,
    "not restored but by maintenance": 1,
    "mark: blend": 800,
    "mark: guarded": 300,
    "mark: model": 400,
    "mark: book": 60,
    "mark: banded": 60,
    "mark: clamped": 400,
    "book_sampled because of a fill": 80,
    "shadow sample by itself": 20,
    "funding_paid": 1_500,
    "funding received": 800,
    "funding in a liquidation": 200,
    "funding of a cross account": 200,
    "triggered by funding": 4,
    "triggered with coins": 250,
    "triggered inverse": 120,
    "settled in coins": 400,
    "debt paid in coins": 60,
    "coins did not suffice": 60,
    "deleveraged inverse": 50,
    "coins left over": 10,
}
_FLOORS_OF_HOLES = {
    "runs": 53,
    "profit_cut: pro_rata": 200,
    "profit_cut: queue": 200,
    "profit cut whole": 50,
    "profit cut by margin": 500,
    "loss_socialised: notional": 100,
    "loss_socialised: equity": 100,
    "share capped": 10,
    "bad debt after shares": 100,
    "contribution at a time": 10,
    "contribution on a condition": 20,
    "contribution again": 15,
    "contribution short": 5,
    "cross account pays": 2_000,
}
_FLOORS = {
    "engine": {
        "order_filled": 500,
        "partial fill": 50,
        "limit or depth binds": 20,
        "later retry": 20,
        "order after another in one instant": 100,
        "restored before any tranche": 2,
        "forced fill": 100,
        "order waited": 200,
        "order waited for an outage": 20,
        "order in an overload": 20,
        "engine behind or down at the end": 10,
        "unresolved: no_depth": 10,
        "unresolved: no_fresh_price": 5,
        "rest cancelled on an old mark": 25,
        "taken over by the desk": 150,
        "desk takes a part": 100,
    },
    "keepers": {
        "tranche_taken_over": 500,
        "inventory_sold": 500,
        "partial resale": 100,
        "forced takeover": 100,
        "call failed: lost_race": 100,
        "call failed: beyond_limit": 10,
        "part of an inventory": 300,
        "call failed: restored": 3,
        "unresolved: no_executor": 20,
    },
}


@pytest.mark.parametrize("executor", ["engine", "keepers"])
def test_every_law_holds_after_every_event_of_random_runs(executor: str) -> None:
    census: Counter[str] = Counter()

    @cases(_RUNS)
    @given(scenarios(executor))
    def every_law_holds(raw: Raw) -> None:
        census.update(audited(prepare(load(raw))).census)

    every_law_holds()

    assert_floors(census, _FLOORS_OF_BOTH | _FLOORS[executor])


def test_every_law_holds_after_every_event_of_runs_from_files() -> None:
    census: Counter[str] = Counter()

    @cases(48)
    @given(st.one_of(scenarios_from_files("engine"), scenarios_from_files("keepers")))
    def every_law_holds(raw: Raw) -> None:
        prepared = prepare(load(raw))
        census.update(audited(prepared).census)
        census["due at the start"] += prepared.due_at_start
        holdings = prepared.scenario.population.accounts.holdings
        census["not due at the start"] += len(holdings) - prepared.due_at_start
        census["cross"] += sum(len(holding.legs) > 1 for holding in holdings)

    every_law_holds()

    floors = {
        "due at the start": 2,
        "cross": 3,
        "not due at the start": 15,
        "triggered long": 15,
        "triggered short": 15,
        "closed": 15,
    }
    assert_floors(census, floors)


def test_every_law_holds_after_every_event_where_others_pay_for_holes() -> None:
    # Not drawn: a crash must meet every combination of layers, however the draws fall.
    census: Counter[str] = Counter()
    for name in ("shared_losses", "keeper_race", "squeeze", "cross_crash"):
        # Crowds of cross accounts are the dearest to judge: every other combination will do.
        for number, layers in enumerate(LAST_LAYERS[:: 1 + (name == "cross_crash")]):
            raw = HANDMADE[name](
                seed=number,
                venue__due_at_zero=bool(number % 2),
                venue__fund__initial_usd=20,
                venue__waterfall={"deleveraging": "none"} | layers,
            )
            census.update(audited(prepare(load(raw))).census)

    assert_floors(census, _FLOORS_OF_HOLES)


@pytest.mark.parametrize("name", HANDMADE)
def test_every_law_holds_after_every_event_of_handmade_runs(name: str) -> None:
    auditor = audited(prepare(load(HANDMADE[name]())))

    assert auditor.entries


def test_handmade_runs_meet_dry_books_and_ladders() -> None:
    census: Counter[str] = Counter()
    for name in ("dry_book", "rungs"):
        census.update(audited(prepare(load(HANDMADE[name]()))).census)

    assert_floors(census, {"later retry": 10, "fill in a capped book": 10, "fill in a ladder": 10})


def test_without_a_move_against_anyone_nothing_happens() -> None:
    auditor = audited(prepare(load(HANDMADE["quiet"]())))

    kinds = {type(entry.event).TAG for entry in auditor.entries}
    assert kinds == {"funds_deposited", "position_opened", "oracle_updated", "market_extremes"}


class Photographer:
    """An actor that copies the live ledger at given instants."""

    def __init__(self, instants_us: list[int]) -> None:
        self._instants_us = sorted(instants_us)
        self.pictures: list[tuple[int, dict[tuple[int, int], int]]] = []

    def __call__(self, context: Context) -> Process:
        for instant in self._instants_us:
            yield context.wake(instant - context.now_us, Priority.ACTOR)
            self.take(context)

    def take(self, context: Context) -> None:
        ledger = context.world.ledger
        self.pictures.append((context.journal.next_seq - 1, _balances(ledger)))


def _balances(ledger: Any) -> dict[tuple[int, int], int]:
    """Return every balance that is not zero by (owner, asset)."""
    rows = dict(enumerate([ledger.cash.tolist(), *ledger.units.tolist()]))
    rows |= {-number - 1: row for number, row in enumerate(ledger.coins.tolist())}
    return {
        (owner, asset): value
        for asset, row in rows.items()
        for owner, value in enumerate(row)
        if value
    }


def _of_fold(fold: Fold) -> dict[tuple[int, int], int]:
    balances = {(owner, 0): value for owner, value in fold.cash_uusd.items()}
    balances |= {(owner, m + 1): value for (m, owner), value in fold.units_e8.items()}
    balances |= {(owner, -m - 1): value for (m, owner), value in fold.coins_e8.items()}
    return {key: value for key, value in balances.items() if value}


def _of_sql(log: Log, seq: int) -> dict[tuple[int, int], int]:
    assets = {asset.name: asset.asset_id for asset in log.reader.assets}
    scale = {asset.name: 6 if asset.asset_id == 0 else 8 for asset in log.reader.assets}
    rows = log.state_at(seq=seq).balances().fetchall()
    return {
        (owner_id, assets[asset]): int(Decimal(balance).scaleb(scale[asset]))
        for owner_id, _, _, asset, balance in rows
    }


def _logged(prepared: Prepared, path: Path, photographer: Photographer) -> None:
    writer = EventLogWriter.create(path, prepared.header())
    simulation = Simulation(prepared, writer, [photographer])
    simulation.run()
    # A purged run finds its reference while it runs.
    found = simulation.references if prepared.scenario.is_purging else ()
    writer.seal(0.0, [(path.step_us, path.prices_e8) for path in found])
    photographer.take(simulation.context)


@pytest.mark.parametrize("name", HANDMADE)
def test_live_world_equals_fold_equals_sql(name: str, tmp_path: Path) -> None:
    prepared = prepare(load(HANDMADE[name]()))
    random = Random(name)
    photographer = Photographer([random.randrange(prepared.scenario.end_us - 1) for _ in range(6)])
    _logged(prepared, tmp_path / "run.duckdb", photographer)

    with Log(tmp_path / "run.duckdb") as log:
        assert len(photographer.pictures) == 7
        for seq, live in photographer.pictures:
            assert _of_fold(log.fold(seq)) == live
            assert _of_sql(log, seq) == live
        assert log.verify() == []


def test_live_world_equals_fold_equals_sql_in_random_runs(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    census: Counter[str] = Counter()

    @cases(4)
    @given(
        st.one_of(scenarios("engine"), scenarios("keepers")),
        st.lists(st.integers(0, 10**6), min_size=3, max_size=3),
    )
    def they_are_equal(raw: Raw, parts: list[int]) -> None:
        prepared = prepare(load(raw))
        last_us = prepared.scenario.end_us - 1
        photographer = Photographer([last_us * part // 10**6 for part in parts])
        path = tmp_path_factory.mktemp("parity") / "run.duckdb"
        _logged(prepared, path, photographer)

        with Log(path) as log:
            for seq, live in photographer.pictures:
                assert _of_fold(log.fold(seq)) == live
                assert _of_sql(log, seq) == live
            assert log.verify() == []
            census["events"] += log.reader.last_seq + 1
        census["runs"] += 1

    they_are_equal()

    assert_floors(census, {"runs": 4, "events": 400})
