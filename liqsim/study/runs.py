"""Runs every variant of a scenario on the same shocks, on all cores, and measures the logs."""

import multiprocessing
import tempfile
from collections import deque
from collections.abc import Callable, Container, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import attrs

from liqsim.api import Scenario, load_scenario, read_baseline, run_to_log
from liqsim.errors import ScenarioError, StudyError
from liqsim.scenario.scaling_checks import seen_by_model
from liqsim.study.gains import Gain, gains
from liqsim.study.variants import Variant, in_variant
from replay.log import Log
from replay.measures import Profit, measures, profits, story

Progress = Callable[[int, int], None]
"""Hears (runs done, all runs)."""


@attrs.frozen
class Study:
    """
    What is to be run.

    Attributes:
        file: The scenario.
        settings: Keys set in every variant.
        variants: The variants; the others are held against the first.
        seeds: The seeds; None stands for the scenario's own.
        keep: Folder in which the logs stay; None for none.
        same_shocks: Whether variants with other paths or shocks are refused.
        with_owners: Whether what every owner made is asked for.
    """

    file: Path
    settings: tuple[str, ...]
    variants: tuple[Variant, ...]
    seeds: tuple[int | None, ...]
    keep: Path | None = None
    same_shocks: bool = True
    with_owners: bool = False

    @property
    def size(self) -> int:
        """How many runs it is."""
        return len(self.seeds) * len(self.variants)


@attrs.frozen
class Measured:
    """
    One run.

    Attributes:
        variant: Name of the variant.
        seed: Its seed.
        outcome: As `liqsim run --json` has it.
        measures: Every one of `replay.measures.MEASURES`.
        gains: Who gained and who lost against the first variant.
        is_same: Whether nothing happened otherwise than in the first variant.
    """

    variant: str
    seed: int
    outcome: dict[str, Any]
    measures: dict[str, Any]
    gains: list[Gain]
    is_same: bool


@attrs.frozen
class _Task:
    file: Path
    settings: tuple[str, ...]
    seed: int | None
    log: Path
    baseline: Path | None
    is_kept: bool
    stays: bool
    with_owners: bool


@attrs.frozen
class Found:
    """
    What a run came to.

    Attributes:
        outcome: As `liqsim run --json` has it.
        measures: Every one of `replay.measures.MEASURES`.
        profits: What every owner made; empty if not asked for.
        story: The same for runs with the same events, see `replay.measures.story`; empty if the
            owners are not asked for.
    """

    outcome: dict[str, Any]
    measures: dict[str, Any]
    profits: list[Profit]
    story: str


def check(study: Study) -> bool:
    """
    Load every variant, so that a wrong one is said before anything is run.

    Return whether the others must face the reference prices that the first variant finds.

    Raises:
        ScenarioError: One is refused.
        StudyError: A log is in the way, or the variants do not face the same shocks.
    """
    for log in _logs(study):
        if log.exists():
            message = f"{log}: exists already; liqsim never overwrites a log"
            raise StudyError(message)
    first: Scenario | None = None
    for variant in study.variants:
        settings = [*study.settings, *variant.settings]
        for setting in settings:
            if setting.partition("=")[0].strip() == "seed" and study.seeds != (None,):
                message = f"{setting}: the seeds are given already, and are those of every variant"
                raise StudyError(message)
        try:
            scenario = load_scenario(study.file, overrides=settings, seed=study.seeds[0])
        except ScenarioError as error:
            raise in_variant(variant, error) from error
        if scenario.baseline:
            message = f"baseline = {scenario.baseline}: the first variant is the others' baseline"
            raise StudyError(message)
        _check_seeds(study, variant, scenario)
        first = first or scenario
        what = _other_shocks(first, scenario)
        if what and (study.same_shocks or scenario.path_mode == "purged" or what == "path_mode"):
            message = (
                f"the variants {study.variants[0].name!r} and {variant.name!r} differ in {what}: "
                "they do not face the same shocks"
            )
            raise StudyError(message)
    assert first is not None
    return first.path_mode == "purged"


def _check_seeds(study: Study, variant: Variant, scenario: Scenario) -> None:
    """Check that no model of a variant has seen any of the seeds; the first has been loaded."""
    for seed in study.seeds[1:]:
        for spec in scenario.mitigations:
            if seed is not None and (why := seen_by_model(spec, seed)):
                raise in_variant(variant, ScenarioError(f"{study.file}: seed = {seed} {why}"))


def _other_shocks(one: Scenario, other: Scenario) -> str:
    """Return in what the shocks of two scenarios differ; empty if in nothing."""
    for key in ("path_mode", "seed", "start_unix_us", "end_us"):
        if getattr(one, key) != getattr(other, key):
            return key.removesuffix("_unix_us").removesuffix("_us")
    if [market.name for market in one.markets] != [market.name for market in other.markets]:
        return "markets"
    for here, there in zip(one.markets, other.markets, strict=True):
        for key in ("path", "shocks"):
            if getattr(here, key) != getattr(there, key):
                return f"markets.{here.name}.{key}"
    return ""


Key = tuple[int, int]
"""Numbers of a seed and of a variant, from 0, in a study."""


def measured(study: Study, *, jobs: int, progress: Progress) -> list[list[Measured]]:
    """
    Return what every seed, and in it every variant, came to, in the order of *study*.

    What comes back does not depend on *jobs*.
    """
    shares_references = check(study)
    progress(0, study.size)
    found: dict[int, dict[int, Found]] = {row: {} for row in range(len(study.seeds))}
    finished: dict[int, list[Measured]] = {}
    with completed(study, jobs=jobs, shares_references=shares_references) as runs:
        for done, ((row, column), run) in enumerate(runs, start=1):
            progress(done, study.size)
            found[row][column] = run
            if len(found[row]) == len(study.variants):
                # Profits of every owner are many: no more seeds than are under way hold them.
                finished[row] = _joined(study, found.pop(row))
    return [finished[row] for row in range(len(study.seeds))]


@contextmanager
def completed(
    study: Study, *, jobs: int, shares_references: bool, skip: Container[Key] = ()
) -> Iterator[Iterator[tuple[Key, Found]]]:
    """
    Give an iterator over the runs of *study*, each as it ends, without those to *skip*.

    *shares_references* is what `check` has found. Leaving the context ends what is under way.
    """
    with _folder(study) as folder, _pool(min(jobs, study.size)) as start:
        yield _completed(study, folder, start, jobs, skip, shares_references=shares_references)


def _completed(
    study: Study,
    folder: Path,
    start: "Callable[[_Task], Future[Found]]",
    jobs: int,
    skip: Container[Key],
    *,
    shares_references: bool,
) -> Iterator[tuple[Key, Found]]:
    columns = range(len(study.variants))
    ahead: deque[Key] = deque()
    missing: dict[int, set[int]] = {}
    for row in range(len(study.seeds)):
        missing[row] = {column for column in columns if (row, column) not in skip}
        if shares_references and missing[row]:
            ahead.append((row, 0))  # The others of its seed come when it has found them.
        else:
            ahead.extend((row, column) for column in sorted(missing[row]))
    running: dict[Future[Found], Key] = {}
    while ahead or running:
        while ahead and len(running) < jobs:
            row, column = ahead.popleft()
            task = _task(study, folder, row, column, waits=shares_references)
            running[start(task)] = row, column
        ready, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in ready:
            row, column = running.pop(future)
            try:
                found = future.result()
            except BrokenProcessPool:
                message = "a run was killed, perhaps for want of memory: --jobs 1 needs the least"
                raise StudyError(message) from None
            if shares_references and column == 0:
                ahead.extendleft((row, other) for other in sorted(missing[row] - {0}, reverse=True))
            if column in missing[row]:
                missing[row].discard(column)
                yield (row, column), found
            if not missing[row] and study.keep is None:
                (folder / _name(study, row, 0)).unlink(missing_ok=True)


def _joined(study: Study, found: dict[int, Found]) -> list[Measured]:
    first = found[0]
    return [
        Measured(
            variant=study.variants[column].name,
            seed=found[column].outcome["seed"],
            outcome=found[column].outcome,
            measures=found[column].measures,
            gains=gains(first.profits, found[column].profits),
            is_same=found[column].story == first.story,
        )
        for column in sorted(found)
    ]


def _task(study: Study, folder: Path, row: int, column: int, *, waits: bool) -> _Task:
    variant, seed = study.variants[column], study.seeds[row]
    first = folder / _name(study, row, 0)
    return _Task(
        file=study.file,
        settings=(*study.settings, *variant.settings),
        seed=seed,
        log=folder / _name(study, row, column),
        baseline=first if waits and column else None,
        # Others read the log of the first: it goes when all of its seed are done.
        is_kept=study.keep is not None or (waits and not column),
        stays=study.keep is not None,
        with_owners=study.with_owners,
    )


def _logs(study: Study) -> Iterator[Path]:
    """Yield the logs that are to stay."""
    if study.keep is not None:
        for row in range(len(study.seeds)):
            for column in range(len(study.variants)):
                yield study.keep / _name(study, row, column)


def _name(study: Study, row: int, column: int) -> str:
    seed = study.seeds[row]
    return f"{study.file.stem}_{'' if seed is None else f'{seed}_'}{column + 1}.duckdb"


def _run(task: _Task) -> Found:
    """Run one variant and measure its log; in a process of its own."""
    settings, references = list(task.settings), None
    faced = None if task.baseline is None else read_baseline(task.baseline)
    if faced is not None:
        settings.append(f"baseline={faced.digest}")
    scenario = load_scenario(task.file, overrides=settings, seed=task.seed)
    if faced is not None:
        faced.check(scenario)
        references = faced.prices
    run_to_log(scenario, task.log, references=references)
    with Log(task.log) as log:
        outcome = log.outcome() | ({} if task.stays else {"log": None})
        found = Found(
            outcome,
            measures(log.reader, outcome),
            profits(log.reader) if task.with_owners else [],
            story(log.reader) if task.with_owners else "",
        )
    if not task.is_kept:
        task.log.unlink()
    return found


@contextmanager
def _folder(study: Study) -> Iterator[Path]:
    if study.keep is not None:
        study.keep.mkdir(exist_ok=True)
        yield study.keep
        return
    with tempfile.TemporaryDirectory(prefix="liqsim_") as folder:
        yield Path(folder)


@contextmanager
def _pool(jobs: int) -> Iterator[Callable[[_Task], Future[Found]]]:
    if jobs == 1:
        yield _at_once
        return
    # A fork of a process in which DuckDB has threads may stand still for good.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        try:
            yield lambda task: pool.submit(_run, task)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _at_once(task: _Task) -> Future[Found]:
    future: Future[Found] = Future()
    try:
        future.set_result(_run(task))
    except Exception as error:  # noqa: BLE001 — raised again where the result is asked for
        future.set_exception(error)
    return future


SEEDS_MAX: Final = 100_000
"""Every run of a study is planned before the first one."""


def seeds_of(count: int | None, seed: int | None) -> tuple[int | None, ...]:
    """
    Return the seeds 0 to *count* - 1, or the one *seed*, which None leaves to the scenario.

    Raises:
        StudyError: Both are given, or there is no seed.
    """
    if count is None:
        return (seed,)
    if seed is not None:
        message = "--seeds runs the seeds 0 to N - 1, and --seed one: give one of them"
        raise StudyError(message)
    if not 1 <= count <= SEEDS_MAX:
        message = f"--seeds {count}: must be from 1 to {SEEDS_MAX}"
        raise StudyError(message)
    return tuple(range(count))


def floats_of(runs: Sequence[Measured], name: str) -> list[float | None]:
    """Return one measure of *runs* as floats; None where it is not defined."""
    return [None if (x := run.measures[name]) is None else float(x) for run in runs]
