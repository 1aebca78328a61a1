"""
Measure what docs/bench.md states: each figure a ratio against a baseline timed in this process.

Usage: python bench/run.py [NAME …] [-o results.json]

Pairs of (measured, baseline) are interleaved, five of them; medians and ranges are printed with
the baseline's absolute rate, because machines differ and a lone baseline is wrong by a factor.
"""

import argparse
import gc
import json
import os
import platform
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import duckdb
import numpy as np
import simpy

from liqsim.eventlog.reader import open_log
from liqsim.eventlog.writer import BATCH_EVENTS, EventLogWriter
from liqsim.events import (
    EVENT_CLASSES,
    FundsDeposited,
    MarkBasis,
    OracleUpdated,
    Owner,
    TrancheTakenOver,
    UpdateReason,
)
from liqsim.mechanics.paths import ReferencePath
from liqsim.mechanics.scan import margin_candidates, slopes_of
from liqsim.processes.context import Context, Priority, Process
from liqsim.runner import Prepared, Simulation, prepare, run_to_log
from liqsim.scenario import load_scenario, scenario_from_dict
from liqsim.scenario.model import Scenario
from replay.log import Log

ROOT = Path(__file__).parents[1]
PAIRS = 5
SCENARIO = ROOT / "scenarios" / "black_thursday_2020.toml"
Measure = Callable[[Path], dict[str, Any]]


class Quiet:
    """A sink that keeps nothing."""

    def recorder_of(self, _cls: Any) -> Callable[..., None]:
        """Return a recorder that drops."""
        return lambda *_: None

    def record_many(self, *_: Any) -> None:
        """Drop."""


def seconds_of(work: Callable[[], Any]) -> float:
    """Return how long *work* takes, garbage collected before."""
    gc.collect()
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def compared(
    measured: Callable[[], float], baseline: Callable[[], float], unit: str
) -> dict[str, Any]:
    """Return both rates and their ratio over interleaved pairs; both return units per second."""
    pairs = [(measured(), baseline()) for _ in range(PAIRS)]
    ratios = [m / b for m, b in pairs]
    return {
        "ratio": statistics.median(ratios),
        "ratio_range": [min(ratios), max(ratios)],
        "measured_per_second": statistics.median(m for m, _ in pairs),
        "baseline_per_second": statistics.median(b for _, b in pairs),
        "unit": unit,
    }


def kinds_of(log: Path) -> dict[str, int]:
    """Return the count of events by kind."""
    with open_log(log) as reader:
        return {cls.TAG: span.count for cls, span in reader.spans.items()}


def tiny(**changes: Any) -> Scenario:
    """Return a scenario in which nothing happens by itself."""
    raw: dict[str, Any] = {
        "name": "bench",
        "start": "2020-01-01T00:00:00Z",
        "end": "2020-01-01T01:00:00Z",
        "markets": {
            "ETH": {
                "maintenance": [[0, 0.01]],
                "path": {
                    "kind": "gbm",
                    "step": "1s",
                    "start_price": 100,
                    "volatility": 0,
                },
                "liquidity": {"kind": "no_impact"},
                "oracle": {
                    "deviation": 0.5,
                    "heartbeat": "1h",
                    "landing": {"median": "0s", "p99": "0s"},
                    "sources": {"one": {"period": "1m", "latency": {"median": "0s", "p99": "0s"}}},
                },
            }
        },
        "venue": {
            "executor": "engine",
            "fund": {"initial_usd": 1000},
            "engine": {"reaction": "1h"},
        },
        "population": {},
    }
    raw.update(changes)
    for key in ("start", "end"):
        raw[key] = datetime.fromisoformat(str(raw[key])).astimezone(UTC)
    return scenario_from_dict(raw, source="bench")


def fresh(folder: Path, name: str) -> Path:
    """Return a path in *folder* at which there is no log."""
    for path in (folder / name, folder / f"{name}.wal"):
        path.unlink(missing_ok=True)
    return folder / name


# The kernel ------------------------------------------------------------------------------------


def busy(number: int) -> Callable[[Context], Process]:
    """Return an actor that appends one event per timeout; every fourth actor a wide one."""

    def process(context: Context) -> Process:
        journal, delay = context.journal, 1_000 + number
        if number % 4:
            narrow = int(Owner.FUND)
            while True:
                yield context.wake(delay, Priority.ACTOR)
                journal.append(FundsDeposited(narrow, 1))
        while True:
            yield context.wake(delay, Priority.ACTOR)
            journal.append(TrancheTakenOver(0, 2, 3, 0, 1, 10**8, 1, 0, 0, 5))

    return process


def kernel(folder: Path) -> dict[str, Any]:
    """Events simulated, applied and logged, to a sealed log, against bare SimPy."""
    span_us = 8_000_000
    scenario = tiny(end="2020-01-01T00:00:08Z")
    events = sum((span_us - 1) // (1_000 + n) for n in range(50))
    actors = [busy(number) for number in range(50)]

    def ours() -> float:
        log = fresh(folder, "kernel.duckdb")
        taken = seconds_of(lambda: run_to_log(scenario, log, actors=actors))
        return events / taken

    def bare() -> float:
        def process(env: simpy.Environment, delay: int) -> Iterator[simpy.Event]:
            while True:
                yield env.timeout(delay)

        env = simpy.Environment()
        for number in range(50):
            env.process(process(env, 1_000 + number))
        return events / seconds_of(lambda: env.run(until=span_us))

    result = compared(ours, bare, "events")
    return result | {"bar": ">= 0.25", "kinds": kinds_of(folder / "kernel.duckdb")}


def black_thursday(folder: Path) -> dict[str, Any]:
    """The shipped scenario, to a sealed log."""
    scenario = load_scenario(SCENARIO)
    rates, walls = [], []
    for _ in range(PAIRS):
        log = fresh(folder, "black_thursday.duckdb")
        taken = seconds_of(lambda log=log: run_to_log(scenario, log))  # type: ignore[misc]
        walls.append(taken)
        rates.append(sum(kinds_of(log).values()) / taken)
    return {
        "seconds": statistics.median(walls),
        "seconds_range": [min(walls), max(walls)],
        "events_per_second": statistics.median(rates),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "bar": ">= 40000 events/s, <= 10 s",
        "kinds": kinds_of(folder / "black_thursday.duckdb"),
    }


def black_thursday_100k(folder: Path) -> dict[str, Any]:
    """The shipped scenario with ten times the accounts, in a process of its own."""
    cohorts = load_scenario(SCENARIO).population.cohorts
    settings = [f"population.cohorts.{c.name}.accounts={c.accounts * 10}" for c in cohorts]
    script = (
        "import json, resource, sys, time; from pathlib import Path\n"
        "from liqsim.runner import run_to_log; from liqsim.scenario import load_scenario\n"
        "started = time.perf_counter()\n"
        "scenario = load_scenario(Path(sys.argv[1]), overrides=sys.argv[3:])\n"
        "events = run_to_log(scenario, Path(sys.argv[2])).event_count\n"
        "peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "print(json.dumps([time.perf_counter() - started, events, peak]))"
    )
    log = fresh(folder, "hundred_thousand.duckdb")
    done = subprocess.run(
        [sys.executable, "-c", script, str(SCENARIO), str(log), *settings],
        check=True,
        capture_output=True,
        text=True,
    )
    seconds, events, peak = json.loads(done.stdout)
    return {
        "seconds": seconds,
        "events_per_second": events / seconds,
        "peak_mib": peak,
        "bar": "<= 60 s, <= 1024 MiB",
        "kinds": kinds_of(log),
    }


# Margins ---------------------------------------------------------------------------------------


def book_of(count: int, near: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (collateral, quantity, entry) of *count* longs, *near* of them close to 100 USD."""
    entry = np.full(count, 100 * 10**8, dtype=np.int64)
    quantity = np.full(count, 10 * 10**8, dtype=np.int64)
    far = 500 * 10**6 + np.arange(count, dtype=np.int64) % 10**6
    collateral = far
    # Near accounts become due one after another as the price falls below 100.
    collateral[:near] = 10 * 10**6 + np.arange(near, dtype=np.int64) * 10**4
    return collateral, quantity, entry


def margin_scan(_folder: Path) -> dict[str, Any]:
    """Margins of a million buckets, against numpy reading their arrays once."""
    count = 1_000_000

    def of(assets: int) -> dict[str, Any]:
        collateral, quantity, _ = book_of(count, 100)
        cash = collateral - 10**9 * assets  # Ten units of each bought at 100 USD.
        tiers = [((0, 10_000),)] * assets
        slopes = slopes_of(np.tile(quantity, (assets, 1)), tiers)
        prices = [99 * 10**8] * assets
        rounds = 20

        def ours() -> float:
            work = partial(margin_candidates, cash, slopes, prices)
            return count * rounds / seconds_of(lambda: [work() for _ in range(rounds)])

        def baseline() -> float:
            return (
                count
                * rounds
                / seconds_of(lambda: [(cash.sum(), slopes.sum()) for _ in range(rounds)])
            )

        return compared(ours, baseline, "accounts")

    return _by_assets(of) | {"bar": ">= 0.3 and >= 100 M accounts/s"}


def _by_assets(measure: Callable[[int], dict[str, Any]]) -> dict[str, Any]:
    return {
        f"{name}_{assets}": value
        for assets in (1, 3)
        for name, value in measure(assets).items()
        if name != "unit"
    }


def accounts_of(prepared: Prepared, count: int, near: int, assets: int = 1) -> Prepared:
    """Return *prepared* with *count* accounts of one leg in each of its first *assets* markets."""
    collateral, quantity, entry = book_of(count, near)
    legs = {
        "rows": np.repeat(np.arange(count, dtype=np.int64), assets),
        "market_ids": np.tile(np.arange(assets, dtype=np.int64), count),
        "quantities_e8": np.repeat(quantity, assets),
        "entries_e8": np.repeat(entry, assets),
    }
    accounts = attrs.evolve(
        prepared.accounts,
        names=[f"a_{number}" for number in range(count)],
        cohorts=["all"] * count,
        collaterals_uusd=collateral,
        **legs,
    )
    return attrs.evolve(prepared, accounts=accounts)


def venue_with(count: int, assets: int) -> tuple[Simulation, Any]:
    """Return a simulation with *count* buckets and its venue, before its first mark."""
    base = prepare(tiny())
    markets = base.scenario.markets[:1] * assets
    scenario = attrs.evolve(base.scenario, markets=markets)
    prepared = attrs.evolve(base, scenario=scenario, paths=base.paths[:1] * assets)
    simulation = Simulation(accounts_of(prepared, count, 1_000, assets), Quiet())
    simulation._fund_owners()  # noqa: SLF001 — the bench stops half way on purpose
    simulation._open_positions()  # noqa: SLF001
    return simulation, simulation._start_processes()  # noqa: SLF001


def price_update(_folder: Path) -> dict[str, Any]:
    """A price update at a million buckets against 10,000, with the same near and due accounts."""

    def rate(count: int, assets: int) -> float:
        simulation, venue = venue_with(count, assets)
        updates, journal = 400, simulation.journal

        def land(market: int, price: int) -> None:
            event = OracleUpdated(
                market, price, UpdateReason.DEVIATION, 1, 0, 0, 0, price,
                price, MarkBasis.INDEX, 0, 0, price,
            )  # fmt: skip
            venue.mark_landed(market, journal.append(event))

        def work() -> None:
            for step in range(updates):
                # A saw-tooth: most moves make nobody due, some one account.
                land(step % assets, 10**10 - (step - step % 3) * 10**6 // assets)

        for market in range(assets):  # Who has several legs is indexed when all have a mark.
            land(market, 10**10)
        return updates / seconds_of(work)

    def of(assets: int) -> dict[str, Any]:
        result = compared(lambda: rate(1_000_000, assets), lambda: rate(10_000, assets), "updates")
        collateral, quantity, _ = book_of(1_000_000, 1_000)
        cash = collateral - 10**9 * assets
        slopes = slopes_of(np.tile(quantity, (assets, 1)), [((0, 10_000),)] * assets)
        scan = statistics.median(
            seconds_of(lambda: margin_candidates(cash, slopes, [10**10] * assets))
            for _ in range(20)
        )
        return result | {
            "time_ratio": 1.0 / result["ratio"],
            "share_of_scan": 1.0 / result["measured_per_second"] / scan,
        }

    return _by_assets(of) | {"bar": "time ratio <= 2, share of scan <= 0.25"}


# Paths -----------------------------------------------------------------------------------------


def held_paths(_folder: Path) -> dict[str, Any]:
    """A run on a 1-second path against the same held path in 60-second bars, identical rows."""
    results = {}
    for name, overrides in {
        "cascade": [],
        "calm": [
            f"population.cohorts.{m}_{c}.leverage={{ median = 1.1, min = 1, max = 1.2 }}"
            for m in ("btc", "eth")
            for c in ("small", "mid", "large", "basis")
        ],
    }.items():
        scenario = load_scenario(SCENARIO, overrides=overrides)
        base = prepare(scenario)
        coarse = tuple(
            ReferencePath(60_000_000, np.ascontiguousarray(p.prices_e8[::60])) for p in base.paths
        )
        fine = tuple(ReferencePath(1_000_000, np.repeat(p.prices_e8, 60)) for p in coarse)
        rows: dict[str, list[Any]] = {}

        def run(label: str, paths: Any, base: Prepared = base, rows: Any = rows) -> float:
            sink = Rows()
            simulation = Simulation(attrs.evolve(base, paths=paths), sink)
            taken = seconds_of(simulation.run)
            rows[label] = sink.rows
            return 1.0 / taken

        result = compared(partial(run, "fine", fine), partial(run, "coarse", coarse), "runs")
        results[name] = {
            "time_ratio": 1.0 / result["ratio"],
            "range": sorted(1.0 / r for r in result["ratio_range"]),
            "identical_rows": rows["fine"] == rows["coarse"],
            "events": len(rows["fine"]),
        }
    return results | {"bar": "<= 1.2 in a cascade, <= 3 calm, identical rows"}


class Rows:
    """A sink that keeps rows as tuples."""

    def __init__(self) -> None:
        self.rows: list[Any] = []

    def recorder_of(self, _cls: Any) -> Callable[..., None]:
        """Return a recorder that appends."""
        return lambda *row: self.rows.append(row)

    def record_many(self, cls: Any, *row: Any) -> None:
        """Append one row for the lot."""
        self.rows.append((cls.TAG, len(row)))


# The log ---------------------------------------------------------------------------------------


def big_log(folder: Path, count: int) -> Path:
    """Return a sealed log of a million events or more with *count* accounts, made once."""
    path = folder / f"big_{count}.duckdb"
    if path.exists():
        return path
    prepared = accounts_of(prepare(tiny(end="2020-01-01T00:01:00Z")), count, 0)
    writer = EventLogWriter.create(path, prepared.header())

    def fees(context: Context) -> Process:
        journal = context.journal
        for number in range(800_000):
            if number % 50 == 0:
                yield context.wake(3_000, Priority.ACTOR)
            journal.append(FundsDeposited(5 + number % count, 1))

    Simulation(prepared, writer, [fees]).run()
    writer.seal(0.0)
    return path


def fold(folder: Path) -> dict[str, Any]:
    """Stepping through a log in seq order, events built, against fetchall of the same tables."""
    log = fresh(folder, "fold.duckdb")
    count = run_to_log(load_scenario(SCENARIO), log).event_count
    with Log(log) as reader, duckdb.connect(str(log), read_only=True, config=_same()) as plain:

        def ours() -> float:
            return count / seconds_of(lambda: sum(1 for _ in reader.entries()))

        def baseline() -> float:
            return count / seconds_of(
                lambda: [plain.execute(f"from {c.TAG}").fetchall() for c in EVENT_CLASSES]
            )

        return compared(ours, baseline, "events") | {"bar": ">= 1.0"}


def _same() -> dict[str, Any]:
    return {"enable_external_access": "false"}


def state_at(folder: Path) -> dict[str, Any]:
    """State at an instant of a log of a million events or more, as a relation."""
    found: dict[str, Any] = {}
    for accounts, label in ((100_000, "100k"), (1_000_000, "1m")):
        with Log(big_log(folder, accounts)) as log:
            last = log.reader.last_seq
            state = log.state_at(seq=last - 400_000)

            def median(work: Callable[[], Any]) -> float:
                work()
                return statistics.median(seconds_of(work) for _ in range(PAIRS))

            one, system = (
                partial(state.balances, [77_777]),
                partial(state.balances, system_only=True),
            )
            found |= {
                f"events_{label}": last + 1,
                f"one_owner_{label}_seconds": median(lambda one=one: one().fetchall()),
                f"system_owners_{label}_seconds": median(lambda all_=system: all_().fetchall()),
                f"accounts_{label}_seconds": median(
                    lambda all_=state.balances: all_().to_arrow_table()
                ),
            }
    bar = "one owner < 0.03 s, system owners < 0.1 s, 100 k accounts < 0.15 s, 1 M < 0.6 s"
    return found | {"bar": bar}


def rows_into_duckdb(folder: Path) -> dict[str, Any]:
    """Rows into DuckDB at the fixed batch."""
    prepared = prepare(tiny())
    batches = 12
    numbers = np.arange(BATCH_EVENTS * batches, dtype=np.int64)
    columns = {"owner_id": numbers % 7, "amount_uusd": numbers}

    def rate() -> float:
        writer = EventLogWriter.create(fresh(folder, "rows.duckdb"), prepared.header())
        taken = seconds_of(lambda: writer.record_many(FundsDeposited, 0, 0, -1, columns))
        writer.seal(0.0)
        return len(numbers) / taken

    rates = [rate() for _ in range(PAIRS)]
    return {
        "rows_per_second": statistics.median(rates),
        "range": [min(rates), max(rates)],
        "bar": ">= 800000",
    }


def reopening(folder: Path) -> dict[str, Any]:
    """Opening a log that a killed process left with its write-ahead log."""
    times = []
    script = (
        "import sys; sys.path.insert(0, sys.argv[3]);"
        "import run; from pathlib import Path; run.die_writing(Path(sys.argv[1]), int(sys.argv[2]))"
    )
    for number in range(PAIRS):
        log = fresh(folder, f"killed_{number}.duckdb")
        done = subprocess.run(
            [sys.executable, "-c", script, str(log), "15", str(ROOT / "bench")], check=False
        )
        if done.returncode != -signal.SIGKILL:
            message = f"the writer was to be killed, it ended with {done.returncode}"
            raise RuntimeError(message)
        started = time.perf_counter()
        with open_log(log) as reader:
            events = reader.last_seq + 1
        times.append(time.perf_counter() - started)
    return {
        "seconds": statistics.median(times),
        "range": [min(times), max(times)],
        "events": events,
        "bar": "< 1 s",
    }


def die_writing(log: Path, batches: int) -> None:
    """Write some batches and die as by a power cut."""
    writer = EventLogWriter.create(log, prepare(tiny()).header())
    numbers = np.arange(BATCH_EVENTS * batches, dtype=np.int64)
    columns = {"owner_id": numbers % 7, "amount_uusd": numbers}
    writer.record_many(FundsDeposited, 0, 0, -1, columns)
    os.kill(os.getpid(), signal.SIGKILL)


MEASURES: dict[str, Measure] = {
    "kernel": kernel,
    "black_thursday": black_thursday,
    "black_thursday_100k": black_thursday_100k,
    "margin_scan": margin_scan,
    "price_update": price_update,
    "held_paths": held_paths,
    "fold": fold,
    "state_at": state_at,
    "rows_into_duckdb": rows_into_duckdb,
    "reopening": reopening,
}


def main() -> None:
    """Run the measures that were named, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[1])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(MEASURES))
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "bench" / "results.json")
    options = parser.parse_args()
    unknown = set(options.names) - set(MEASURES)
    if unknown:
        parser.error(f"unknown measure {', '.join(sorted(unknown))}; known: {', '.join(MEASURES)}")
    results: dict[str, Any] = {
        "machine": {
            "cores": os.cpu_count(),
            "processor": platform.machine(),
            "python": platform.python_version(),
        }
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, measure in MEASURES.items():
            if options.names and name not in options.names:
                continue
            results[name] = measure(Path(folder))
            print(f"{name}: {measure.__doc__}")
            for key, value in results[name].items():
                print(f"    {key} = {_shown(value)}")
    options.output.write_text(json.dumps(results, indent=2) + "\n")
    print(f"written to {options.output}")


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, list):
        return " to ".join(_shown(part) for part in value)
    if isinstance(value, dict):
        return ", ".join(f"{k} {_shown(v)}" for k, v in value.items() if v != 0)
    return str(value)


if __name__ == "__main__":
    main()
