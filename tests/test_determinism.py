"""
The same scenario and seed give the same events: again, elsewhere, with company, and never early.

What may differ is written down as a tie rule and tested as such.
"""

import ast
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from support.effort import cases
from support.floors import assert_floors
from support.scenarios import (
    HANDMADE,
    Raw,
    events_of,
    keeper,
    keeper_race,
    load,
    scenarios,
    squeeze,
)
from support.single import account, frictionless
from support.sinks import ListSink

import liqsim
from liqsim.events import (
    Entry,
    FundsDeposited,
    InventorySold,
    KeeperCallFailed,
    LiquidationTriggered,
    OracleUpdated,
    TrancheTakenOver,
)
from liqsim.mechanics.paths import ReferencePath
from liqsim.processes.context import Context, Priority, Process
from liqsim.rng import Stream
from liqsim.runner import Prepared, Simulation, prepare, run_to_log

BUSY = ("engine_cascade", "keeper_race", "squeeze")
"""Noise, latencies, racing keepers, two markets that wake at the same instants."""


def _entries(prepared: Prepared, *actors: Any) -> list[Entry]:
    sink = ListSink()
    Simulation(prepared, sink, actors).run()
    return sink.entries


# Again, and elsewhere -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", BUSY)
def test_a_second_run_in_one_process_has_the_same_digest(name: str, tmp_path: Path) -> None:
    scenario = load(HANDMADE[name]())

    first = run_to_log(scenario, tmp_path / "first.duckdb")
    second = run_to_log(scenario, tmp_path / "second.duckdb")

    assert first.event_count == second.event_count > 100
    assert first.digest == second.digest
    assert (
        first.digest != run_to_log(load(HANDMADE[name](seed=2)), tmp_path / "other.duckdb").digest
    )


_SCRIPT = """
import sys
from pathlib import Path
from support.scenarios import HANDMADE, load
from liqsim.runner import run_to_log

folder, *names = sys.argv[1:]
for name in names:
    print(run_to_log(load(HANDMADE[name]()), Path(folder) / f"{name}.duckdb").digest)
"""


def _digests_elsewhere(folder: Path, hash_seed: str) -> list[str]:
    folder.mkdir()
    tests = Path(__file__).parent
    path = os.pathsep.join([str(tests), str(tests.parent), os.environ.get("PYTHONPATH", "")])
    finished = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(folder), *BUSY],
        env=os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    # Commentary may go to the console too; a digest is a line of its own.
    return [line for line in finished.stdout.splitlines() if len(line) == 64]


def test_other_processes_with_other_hash_seeds_have_the_same_digest(tmp_path: Path) -> None:
    here = [run_to_log(load(HANDMADE[name]()), tmp_path / f"{name}.duckdb").digest for name in BUSY]

    assert _digests_elsewhere(tmp_path / "one", "1") == here
    assert _digests_elsewhere(tmp_path / "two", "31337") == here


def test_commentary_changes_no_digest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def drop(_logger: Any, _name: str, _event: Any) -> Any:
        raise structlog.DropEvent

    digests = {}
    try:
        for name, processors in (
            ("silent", [drop]),
            ("loud", [structlog.processors.JSONRenderer(default=str)]),
        ):
            structlog.configure(
                processors=processors,
                wrapper_class=structlog.make_filtering_bound_logger(0),
                logger_factory=structlog.PrintLoggerFactory(),
            )
            scenario = load(keeper_race())
            digests[name] = run_to_log(scenario, tmp_path / f"{name}.duckdb").digest
            output = capsys.readouterr().out
            assert bool(output) == (name == "loud")
    finally:
        structlog.reset_defaults()

    assert digests["silent"] == digests["loud"]


# In company ---------------------------------------------------------------------------------------


class Bystander:
    """An actor that draws numbers and wakes at given instants, and appends nothing."""

    def __init__(self, instants_us: list[int], priority: Priority) -> None:
        self._instants_us = instants_us
        self._priority = priority
        self.wake_count = 0

    def __call__(self, context: Context) -> Process:
        stream = Stream(context.scenario.seed, "bystander", "draws")
        for index, instant in enumerate(self._instants_us):
            yield context.wake(instant - context.now_us, self._priority)
            stream.normal_at(0, index)
            random.random()
            np.random.default_rng(index).normal()
            self.wake_count += 1


@pytest.mark.parametrize("priority", [Priority.DEPTH, Priority.KEEPER, Priority.ACTOR])
@pytest.mark.parametrize("name", BUSY)
def test_an_actor_that_appends_nothing_changes_no_event(name: str, priority: Priority) -> None:
    prepared = prepare(load(HANDMADE[name]()))
    alone = _entries(prepared)
    # Busy instants, and the ones before them.
    instants = sorted({max(e.sim_time_us - early, 0) for e in alone for early in (0, 1)})
    bystanders = [Bystander(instants, priority) for _ in range(2)]

    assert _entries(prepared, *bystanders) == alone
    assert all(b.wake_count == len(instants) > 50 for b in bystanders)


def _masked(entries: list[Entry], keepers: set[int]) -> list[Entry]:
    def mask(event: Any) -> Any:
        if isinstance(event, TrancheTakenOver | KeeperCallFailed | InventorySold):
            return attrs.evolve(event, keeper_id=0) if event.keeper_id in keepers else event
        if isinstance(event, FundsDeposited) and event.owner_id in keepers:
            return attrs.evolve(event, owner_id=0)
        return event

    return [attrs.evolve(entry, event=mask(entry.event)) for entry in entries]


def _winners(entries: list[Entry], names: list[str]) -> list[str]:
    return [
        names[entry.event.keeper_id - 5]
        for entry in entries
        if isinstance(entry.event, TrancheTakenOver)
    ]


@pytest.mark.parametrize("is_tied", [True, False])
def test_swapping_identical_keepers_changes_who_wins_and_nothing_else(is_tied: bool) -> None:
    # Tied keepers land at the same instant; then the order of the scenario decides. The others
    # have latencies of their own, keyed by name.
    latency = {"median": "900ms", "p99": "900ms" if is_tied else "4s"}
    racer = keeper(reaction=latency, landing=latency, purse_usd=20_000)
    runs = {}
    for names in (["ann", "bob"], ["bob", "ann"]):
        raw = keeper_race(venue__keepers__bots=dict.fromkeys(names, racer))
        runs[tuple(names)] = events_of(raw)
    (names, first), (swapped_names, second) = runs.items()

    assert _masked(first, {5, 6}) == _masked(second, {5, 6})
    assert sum(isinstance(e.event, TrancheTakenOver) for e in first) > 10
    assert sum(isinstance(e.event, KeeperCallFailed) for e in first) > 5
    winners, swapped = _winners(first, list(names)), _winners(second, list(swapped_names))
    if is_tied:
        assert winners != swapped
    else:
        assert winners == swapped
        assert set(winners) == {"ann", "bob"}


def test_starting_markets_in_another_order_changes_only_the_order_within_an_instant() -> None:
    # With neither fund nor shared keepers, markets share nothing but the clock.
    raw = squeeze(venue__waterfall={"surplus_to": "trader"}, venue__fund__initial_usd=0)
    turned = raw | {"markets": dict(reversed(raw["markets"].items()))}
    first, second = events_of(raw), events_of(turned)

    def of_market(entries: list[Entry], market: int, as_market: int) -> list[Any]:
        members = [
            e.event.bucket_id
            for e in entries
            if type(e.event).TAG == "position_opened" and e.event.market_id == market
        ]
        mine = []
        for entry in entries:
            event: Any = entry.event
            owner = getattr(event, "bucket_id", getattr(event, "owner_id", None))
            if getattr(event, "market_id", market if owner in members else None) != market:
                continue
            fields = {
                name: value
                for name, value in attrs.asdict(event).items()
                if not name.endswith("_seq")
            }
            if "market_id" in fields:
                fields["market_id"] = as_market
            mine.append((entry.sim_time_us, type(event).TAG, fields))
        return mine

    assert [e.event for e in first] != [e.event for e in second]
    for market in (0, 1):
        here = of_market(first, market, market)
        assert len(here) > 100
        assert here == of_market(second, 1 - market, market)


# Never early --------------------------------------------------------------------------------------


def _with_another_future(prepared: Prepared, from_us: int, factors: list[float]) -> Prepared:
    """Return *prepared* with every price at or after *from_us* multiplied by one of *factors*."""
    paths = []
    for path in prepared.paths:
        prices = path.prices_e8.copy()
        first = -(-from_us // path.step_us)
        for index in range(first, len(prices)):
            prices[index] = max(round(int(prices[index]) * factors[index % len(factors)]), 1)
        paths.append(ReferencePath(path.step_us, prices))
    return attrs.evolve(prepared, paths=tuple(paths))


def _before(entries: list[Entry], instant_us: int) -> list[Entry]:
    return [entry for entry in entries if entry.sim_time_us < instant_us]


@pytest.mark.parametrize("executor", ["engine", "keepers"])
def test_what_comes_later_changes_nothing_before(executor: str) -> None:
    census: Counter[str] = Counter()

    @cases(40)
    @given(
        scenarios(executor),
        st.integers(1, 999),
        st.lists(st.sampled_from([0.5, 0.9, 1.1, 2.0]), min_size=1, max_size=5),
    )
    def the_past_stays(raw: Raw, part: int, factors: list[float]) -> None:
        prepared = prepare(load(raw))
        instant = prepared.scenario.end_us * part // 1_000
        entries = _entries(prepared)
        others = _entries(_with_another_future(prepared, instant, factors))

        assert _before(entries, instant) == _before(others, instant)
        census["runs"] += 1
        census["with another future"] += entries != others
        past = _before(entries, instant)
        census["with a past"] += any(isinstance(e.event, LiquidationTriggered) for e in past)

    the_past_stays()

    assert_floors(census, {"runs": 40, "with another future": 25, "with a past": 8})


@pytest.mark.parametrize("name", BUSY)
@pytest.mark.parametrize("seconds", [19.999999, 33.5, 61, 90])
def test_what_comes_later_changes_nothing_before_in_handmade_runs(
    name: str, seconds: float
) -> None:
    prepared = prepare(load(HANDMADE[name]()))
    instant = round(seconds * 1_000_000)
    entries = _entries(prepared)
    others = _entries(_with_another_future(prepared, instant, [0.7, 1.3]))

    assert entries != others
    assert _before(entries, instant) == _before(others, instant)


# Banned constructs --------------------------------------------------------------------------------

_CORE = ("mechanics", "world", "events", "processes", "journal.py", "rng.py")
_BANNED_MODULES = frozenset({"time", "datetime", "random", "uuid", "secrets"})
_BANNED_CALLS = frozenset({"hash", "id", "urandom", "getrandom"})
_MARKER = "# det-ok: "
_ORDERED = frozenset({"sorted", "len", "min", "max", "any", "all", "set", "frozenset", "bool"})


def offences(source: str) -> Iterator[tuple[int, str]]:
    """Yield (line, what) for everything in *source* whose value or order is not the scenario's."""
    lines = source.splitlines()
    for line, what in _offences(ast.parse(source)):
        _, marker, reason = lines[line - 1].partition(_MARKER)
        if not (marker and reason.strip()):
            yield line, what


def _offences(tree: ast.AST) -> Iterator[tuple[int, str]]:
    sets = _names_of_sets(tree)
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    if alias.name.split(".")[0] in _BANNED_MODULES:
                        yield node.lineno, f"import of {alias.name}"
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] in _BANNED_MODULES:
                yield node.lineno, f"import from {module}"
            case ast.Attribute(value=ast.Attribute(attr="random"), attr=attr) if attr != "Philox":
                # Counter-based generators are keyed; the others count draws.
                yield node.lineno, f"numpy's random.{attr}"
            case ast.Call(func=ast.Name(id=name)) if name in _BANNED_CALLS:
                yield node.lineno, f"call of {name}"
            case ast.Call(func=ast.Attribute(attr=name)) if name in _BANNED_CALLS:
                yield node.lineno, f"call of {name}"
            case ast.Call(func=func, args=arguments):
                name = func.id if isinstance(func, ast.Name) else getattr(func, "attr", "")
                if name not in _ORDERED and not _is_set_method(func, sets):
                    for argument in arguments:
                        if _is_set(argument, sets):
                            yield node.lineno, f"a set passed to {name}"
        for iterable in _iterated(node):
            if _is_set(iterable, sets):
                yield iterable.lineno, "iteration over a set"


def _iterated(node: ast.AST) -> Iterator[ast.expr]:
    match node:
        case ast.For(iter=iterable) | ast.YieldFrom(value=iterable) | ast.Starred(value=iterable):
            yield iterable
        case ast.ListComp(generators=parts) | ast.GeneratorExp(generators=parts):
            yield from (part.iter for part in parts)
        case ast.DictComp(generators=parts):
            yield from (part.iter for part in parts)


def _is_set(node: ast.expr, sets: frozenset[str]) -> bool:
    match node:
        case ast.Set() | ast.SetComp():
            return True
        case ast.Call(func=ast.Name(id="set" | "frozenset")):
            return True
        case ast.Name(id=name):
            return name in sets
        case ast.Attribute(attr=name):
            return f".{name}" in sets
        case ast.BinOp(left=left, op=ast.BitOr() | ast.BitAnd() | ast.Sub(), right=right):
            return _is_set(left, sets) or _is_set(right, sets)
    return False


def _is_set_method(func: ast.expr, sets: frozenset[str]) -> bool:
    return isinstance(func, ast.Attribute) and _is_set(func.value, sets)


def _names_of_sets(tree: ast.AST) -> frozenset[str]:
    names = set()
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[target], value=value) if _is_set(value, frozenset()):
                names.add(_name(target))
            case ast.AnnAssign(target=target, annotation=annotation):
                if ast.unparse(annotation).split("[")[0] in {"set", "frozenset"}:
                    names.add(_name(target))
            case ast.arg(arg=name, annotation=ast.expr() as annotation):
                if ast.unparse(annotation).split("[")[0] in {"set", "frozenset"}:
                    names.add(name)
    return frozenset(names)


def _name(target: ast.expr) -> str:
    return f".{target.attr}" if isinstance(target, ast.Attribute) else ast.unparse(target)


def _core_files() -> list[Path]:
    root = Path(next(iter(liqsim.__path__)))
    return [
        file
        for part in _CORE
        for file in (sorted((root / part).rglob("*.py")) if "." not in part else [root / part])
    ]


@pytest.mark.parametrize("file", _core_files(), ids=lambda file: f"{file.parent.name}/{file.name}")
def test_the_core_asks_no_clock_and_no_luck(file: Path) -> None:
    assert list(offences(file.read_text())) == []


def test_the_runner_times_itself_and_no_more() -> None:
    source = (Path(next(iter(liqsim.__path__))) / "runner.py").read_text()
    asked = {
        node.attr
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in _BANNED_MODULES
    }

    assert asked <= {"perf_counter"}
    assert {what for _, what in offences(source)} <= {"import of time"}


@pytest.mark.parametrize(
    "line",
    [
        "import time",
        "import random as r",
        "from datetime import datetime",
        "from uuid import uuid4",
        "x = hash('a')",
        "x = id(y)",
        "x = os.urandom(8)",
        "x = np.random.default_rng()",
        "x = np.random.normal()",
        "for x in {1, 2}: pass",
        "for x in set(y): pass",
        "x = [y for y in {1, 2}]",
        "x = {y: 1 for y in frozenset(z)}",
        "x = list({1, 2})",
        "x = set(y)\nfor z in x: pass",
        "x: set[int] = y\nz = tuple(x)",
        "self.x: set[int] = y\nfor z in self.x: pass",
        "def f(x: set[int]):\n    return [*x]",
        "x = set(y)\nfor z in x | {1}: pass",
        "for x in {1, 2}: pass  # det-ok: ",
    ],
)
def test_the_check_sees_what_it_is_for(line: str) -> None:
    assert list(offences(line))


@pytest.mark.parametrize(
    "line",
    [
        "x = {1, 2}\ny = 1 in x",
        "x = sorted({1, 2})",
        "x = len(set(y))",
        "for x in sorted(set(y)): pass",
        "x = dict.fromkeys([1, 2])",
        "for x in [1, 2]: pass",
        "x = np.random.Philox(key=1)",
        "for x in {1, 2}: pass  # det-ok: the sum is the same in any order",
        "x = set(y)\nx.update({1})",
    ],
)
def test_the_check_leaves_alone_what_is_ordered(line: str) -> None:
    assert list(offences(line)) == []


def test_updates_that_land_in_one_instant_go_by_market_however_they_came() -> None:
    raw = frictionless(
        {"holder": account(notional_usd=100, leverage=2, is_long=True, market="SLOW")},
        knots=[(0, 1000), (20, 1100)],
        maintenance=[[0, Decimal("0.01")]],
    )
    one = raw["markets"].pop("ONE")
    for name, seconds in (("FAST", 1), ("SLOW", 3)):  # The slow one's is sent before.
        landing = {"median": f"{seconds}s", "p99": f"{seconds}s"}
        raw["markets"][name] = one | {"oracle": one["oracle"] | {"landing": landing}}

    entries = events_of(raw)

    updates = [entry for entry in entries if isinstance(entry.event, OracleUpdated)]
    landings = [(entry.sim_time_us, entry.event.market_id) for entry in updates]
    assert landings == sorted(landings)
    assert Counter(Counter(at for at, _ in landings).values())[2] > 10
