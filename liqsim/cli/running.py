"""`liqsim run` and `liqsim resume`: from a scenario or an interrupted log to a sealed one."""

import itertools
import json
import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer

from liqsim.api import (
    Finished,
    Outlook,
    Prices,
    Scenario,
    load_scenario,
    logged_references,
    read_baseline,
    run_to_log,
    scenario_file,
    scenario_from_toml,
    twin_of,
)
from liqsim.cli import telemetry
from liqsim.cli.options import AsJson, LogJson, LogPath, Quiet, ScenarioName, Verbose
from liqsim.cli.outcome_table import print_outcome
from liqsim.cli.outlook import print_outlook
from liqsim.cli.progress import simulated_time
from liqsim.cli.twin_table import difference, twin_lines
from liqsim.errors import InputFileError, LiqsimError, LogError, ResumeError, ScenarioError
from liqsim.scenario import names_files
from replay.log import Log

_HERE: Final = Path()
_RUNS: Final = Path("runs")


def run(
    scenario_name: ScenarioName,
    *,
    seed: Annotated[
        int | None, typer.Option(help="Seed of every draw, in place of the scenario's.")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Set a key of the scenario, such as venue.tranches.share=0.2; may be repeated.",
            show_default=False,
        ),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(
            metavar="LOG",
            help="Face the reference prices that the purged run behind LOG has found.",
            show_default=False,
        ),
    ] = None,
    with_twin: Annotated[
        bool,
        typer.Option(
            "--twin",
            help="Also run the twin: the same without impact, into a log named …_twin.",
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            metavar="PATH",
            help="The log to write; it must not exist.",
            show_default="runs/TIME_NAME_SEED.duckdb",
        ),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
    log_json: LogJson = False,
) -> None:
    """
    Run a scenario, print what it came to, and leave an event log.

    Before the run, b of every market is said on stderr: above 1, what is due there feeds itself.

    Example: liqsim run black_thursday_2020 --set venue.tranches.share=0.2
    """
    telemetry.configure(verbose=verbose, quiet=quiet, as_json=log_json)
    if out is not None:
        _refuse_unusable(out)
        if with_twin:
            _refuse_unusable(_twin_path(out))
    faced = None if baseline is None else read_baseline(baseline)
    settings = [*(overrides or ()), *([f"baseline={faced.digest}"] if faced else [])]
    with scenario_file(scenario_name) as file:
        scenario = load_scenario(file, overrides=settings, seed=seed)
    if faced is not None:
        faced.check(scenario)
    references = None if faced is None else faced.prices
    folder = file.parent
    is_shown = not (quiet or as_json)
    outlook = partial(print_outlook, is_shown=is_shown and not log_json)
    try:
        finished = (
            _run_under_new_name(scenario, folder, references, outlook, is_shown=is_shown)
            if out is None
            else _run(scenario, out, folder, references, outlook, is_shown=is_shown)
        )
        twin_path = None
        if with_twin:
            twin_path = _run_twin(scenario, finished.path, file.parent, is_shown=is_shown)
    except ScenarioError as error:
        # Found while prices and accounts were drawn, where no file is known.
        message = "\n".join(f"{file}: {line}" for line in str(error).splitlines())
        raise ScenarioError(message) from error
    _print(finished.path, twin_path, as_json=as_json, quiet=quiet, verbose=verbose)


def resume(
    log_path: LogPath,
    *,
    files: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER",
            help="Where the scenario was: names of its files are relative to it.",
            show_default="the current folder",
        ),
    ] = _HERE,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
    log_json: LogJson = False,
) -> None:
    """
    Finish the log of a run that was interrupted.

    The run is done again from its start, checked against what was logged, and goes on from there.
    Files that its scenario reads must be the same, to the byte.

    Example: liqsim resume runs/20200312T000000Z_black_thursday_2020_1.duckdb
    """
    telemetry.configure(verbose=verbose, quiet=quiet, as_json=log_json)
    with Log(log_path) as log:
        manifest = log.manifest
    if manifest.status == "sealed":
        message = f"{log_path}: is sealed already, there is nothing to resume"
        raise ResumeError(message)
    source = f"{log_path} (its scenario)"
    try:
        scenario = scenario_from_toml(manifest.scenario_toml, source=source, folder=files)
    except InputFileError as error:
        error.add_note("--files FOLDER says where the scenario and its files are")
        raise
    references = logged_references(log_path) if scenario.baseline else None
    _run(scenario, log_path, files, references, is_shown=not (quiet or as_json), resume=True)
    _print(log_path, None, as_json=as_json, quiet=quiet, verbose=verbose)


def _run_under_new_name(
    scenario: Scenario,
    folder: Path,
    references: Sequence[Prices] | None,
    outlook: Outlook,
    *,
    is_shown: bool,
) -> Finished:
    is_new_folder = not _RUNS.exists()
    _RUNS.mkdir(exist_ok=True)
    try:
        for path in _log_paths(scenario, _utc_now()):
            if _is_taken(path) or _wal(path).exists():
                continue
            try:
                return _run(scenario, path, folder, references, outlook, is_shown=is_shown)
            except LogError as error:
                # Another process may take the name while we draw prices and accounts.
                if not isinstance(error.__context__, FileExistsError):
                    raise
        raise AssertionError  # The names have no end.
    except LiqsimError:
        if is_new_folder:
            with suppress(OSError):
                _RUNS.rmdir()  # A refused scenario leaves nothing behind; a log stays.
        raise


def _run(
    scenario: Scenario,
    path: Path,
    folder: Path,
    references: Sequence[Prices] | None,
    outlook: Outlook | None = None,
    *,
    is_shown: bool,
    resume: bool = False,
) -> Finished:
    """Run into the log at *path*; the scenario's files are relative to *folder*."""
    try:
        with simulated_time(scenario, path, is_shown=is_shown) as report:
            return run_to_log(
                scenario,
                path,
                progress=report,
                outlook=outlook,
                resume=resume,
                references=references,
            )
    except (ScenarioError, LogError):
        raise  # Nothing was simulated.
    except ResumeError as error:
        if str(path) not in str(error):
            error.add_note(f"log: {path}")
        raise
    except BaseException as error:
        if path.exists():
            files = f" --files {_quoted(folder)}" if names_files(scenario) else ""
            command = f"liqsim resume {_quoted(path)}{files}"
            error.add_note(f"what was logged is kept; to finish it: {command}")
        else:
            error.add_note("nothing was written")
        raise


def _log_paths(scenario: Scenario, now: datetime) -> Iterator[Path]:
    stem = f"{now:%Y%m%dT%H%M%SZ}_{scenario.name}_{scenario.seed}"
    yield _RUNS / f"{stem}.duckdb"
    for number in itertools.count(2):
        yield _RUNS / f"{stem}-{number}.duckdb"


def _refuse_unusable(out: Path) -> None:
    if _is_taken(out):
        message = f"{out}: exists already; liqsim never overwrites a log"
    elif _wal(out).exists():
        message = f"{_wal(out)}: is left from another log of that name; move it away first"
    elif not out.parent.is_dir():
        message = f"{out}: there is no folder {out.parent}"
    else:
        return
    raise LogError(message)


def _is_taken(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def _wal(path: Path) -> Path:
    """Return where DuckDB keeps what is not in the file yet, and would look for it again."""
    return path.with_name(f"{path.name}.wal")


def _run_twin(scenario: Scenario, path: Path, folder: Path, *, is_shown: bool) -> Path:
    """Run the twin of the finished run behind the log at *path*; return its log."""
    with Log(path) as log:
        digest = log.manifest.reference_digest or ""
    twin = twin_of(scenario, reference_digest=digest, folder=folder)
    references = logged_references(path) if twin.baseline else None
    return _run(twin, _twin_path(path), folder, references, is_shown=is_shown).path


def _twin_path(path: Path) -> Path:
    return path.with_name(f"{path.stem}_twin{path.suffix}")


def _print(path: Path, twin: Path | None, *, as_json: bool, quiet: bool, verbose: int) -> None:
    if quiet and not as_json:
        for each in (path, twin):
            if each is not None:
                typer.echo(each)
        return
    with Log(path) as log:
        if twin is None:
            print_outcome(log, as_json=as_json, verbose=verbose)
            return
        with Log(twin) as other:
            actual, without = log.outcome(), other.outcome()
        if as_json:
            pair = {"twin": without, "difference": difference(actual, without)}
            typer.echo(json.dumps(actual | pair, allow_nan=False))
            return
        print_outcome(log, as_json=False, verbose=verbose)
    title, *lines = twin_lines(actual, without)
    typer.echo()
    typer.echo(typer.style(title, bold=True))
    for line in lines:
        typer.echo(line)
    typer.echo(f"log of the twin  {twin}")


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def _utc_now() -> datetime:
    return datetime.now(UTC)
