"""`liqsim sweep`: a grid of scenarios over seeds, into a file of outcomes."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import duckdb
import typer

from liqsim.api import scenario_file
from liqsim.cli import telemetry
from liqsim.cli.options import (
    AsJson,
    Jobs,
    PointOverrides,
    PointSeeds,
    Quiet,
    ScenarioName,
    SweepFile,
)
from liqsim.cli.progress import share_done
from liqsim.cli.text import counted, layout, terminal_width, usd
from liqsim.errors import StudyError
from liqsim.study.sweep import Sweep, read_axes, run_sweep

_CHANCES: Final = ("runs", "p_bad_debt", "p_deleveraged", "amplification_median")
_AMOUNTS: Final = (
    "unpaid_median_usd",
    "unpaid_tail_usd",
    "deleveraged_median_usd",
    "deleveraged_tail_usd",
)
_HEADS: Final = {
    "p_bad_debt": "bad debt, %",
    "p_deleveraged": "deleveraging, %",
    "amplification_median": "amplification",
    "unpaid_median_usd": "unpaid",
    "unpaid_tail_usd": "worst 5 %",
    "deleveraged_median_usd": "deleveraged",
    "deleveraged_tail_usd": "worst 5 %",
}
_NO_CENTS: Final = 1_000
"""From there on a table has whole dollars."""


def sweep(
    scenario_name: ScenarioName,
    *,
    out: SweepFile,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=V1,V2,…",
            help="Values of a key; several make a grid of all their combinations.",
            show_default=False,
        ),
    ] = None,
    seeds: PointSeeds = 1,
    overrides: PointOverrides = None,
    jobs: Jobs = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """
    Run every point of a grid over seeds; a row of outcomes per run goes into FILE.duckdb.

    Every point meets the same seeds. The rows do not depend on --jobs; the same command again goes
    on where it was stopped.

    Example: liqsim sweep linear_cascade --grid venue.tranches.share=0.1,1 --seeds 4 -o s.duckdb
    """
    telemetry.configure(verbose=0, quiet=True, as_json=False)
    refuse_no_sweep(out)
    axes = read_axes(grid or ())
    with scenario_file(scenario_name) as file:
        planned = Sweep(file, tuple(overrides or ()), axes, seeds)
        try:
            with share_done("runs", is_shown=not (quiet or as_json)) as report:
                made = run_sweep(planned, out, jobs=jobs, progress=report)
        except KeyboardInterrupt as error:
            error.add_note(f"what was run is in {out}; the same command goes on from there")
            raise
    with duckdb.connect(str(out), read_only=True) as store:
        relation = store.sql("from points")
        points = [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]
        ((held,),) = store.sql("select count(*) from runs").fetchall()
    if as_json:
        about = {"file": str(out), "runs_made": made, "runs": held, "points": points}
        typer.echo(json.dumps(about, allow_nan=False))
        return
    if quiet:
        typer.echo(out)
        return
    for line in _lines(points, [axis.column for axis in axes], terminal_width()):
        typer.echo(line)
    typer.echo("\nShares of seeds; medians, and means of the worst 5 % of seeds, in USD.")
    size = counted(len(planned.points()), "point")
    typer.echo(f"{size}; {counted(made, 'run')} made now, {held:,} in {out}")


def _lines(points: Sequence[Mapping[str, Any]], axes: Sequence[str], width: int) -> Iterator[str]:
    """Yield one table of *points*; where it is too wide two, or three with the axes by numbers."""
    for tables in (
        [(*axes, *_CHANCES, *_AMOUNTS)],
        [(*axes, *_CHANCES), (*axes, *_AMOUNTS)],
        [("point", *axes), ("point", *_CHANCES), ("point", *_AMOUNTS)],
    ):
        shown = [list(_table(points, columns)) for columns in tables]
        if not width or max(len(line) for table in shown for line in table) <= width:
            break
    else:
        shown = [list(_table(points, columns, width)) for columns in tables]
    for number, table in enumerate(shown):
        if number:
            yield ""
        yield from table


def _table(
    points: Sequence[Mapping[str, Any]], columns: Sequence[str], width: int = 0
) -> Iterator[str]:
    rows = [[_cell(name, point[name]) for name in columns] for point in points]
    return layout([_HEADS.get(name, name) for name in columns], rows, width, wrap_last=True)


def refuse_no_sweep(out: Path) -> None:
    """
    Refuse a file that cannot hold a sweep by its name alone.

    Raises:
        StudyError: Its folder does not exist, or it ends otherwise.
    """
    if not out.parent.is_dir():
        message = f"{out}: there is no folder {out.parent}"
        raise StudyError(message)
    if out.suffix != ".duckdb":
        message = f"{out}: must end in .duckdb"
        raise StudyError(message)


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name.startswith("p_"):
        return f"{100 * value:.1f}"
    if name.endswith("_usd") and name in _HEADS:
        return f"{value:,.0f}" if abs(value) >= _NO_CENTS else usd(f"{value:.6f}")
    return f"{value:,.12g}" if isinstance(value, float) else str(value)
