"""`liqsim sweep`: a grid of scenarios over seeds, into a file of outcomes."""

from pathlib import Path
from typing import Annotated

import duckdb
import typer

from liqsim.api import scenario_file
from liqsim.cli import telemetry
from liqsim.cli.options import Jobs, PointOverrides, PointSeeds, Quiet, ScenarioName, SweepFile
from liqsim.cli.progress import share_done
from liqsim.cli.text import counted, layout, terminal_width
from liqsim.errors import StudyError
from liqsim.study.sweep import Sweep, read_axes, run_sweep


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
            with share_done("runs", is_shown=not quiet) as report:
                made = run_sweep(planned, out, jobs=jobs, progress=report)
        except KeyboardInterrupt as error:
            error.add_note(f"what was run is in {out}; the same command goes on from there")
            raise
    if quiet:
        typer.echo(out)
        return
    with duckdb.connect(str(out), read_only=True) as store:
        relation = store.sql(
            "select * exclude (point, liquidated_median_usd, regret_median_usd) from points"
        )
        ((held,),) = store.sql("select count(*) from runs").fetchall()
        rows = [[_cell(value) for value in row] for row in relation.fetchall()]
        for line in layout(relation.columns, rows, terminal_width()):
            typer.echo(line)
    points = counted(len(planned.points()), "point")
    typer.echo(f"\n{points}; {counted(made, 'run')} made now, {held:,} in {out}")


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


def _cell(value: object) -> str:
    return f"{value:,.6g}" if isinstance(value, float) else str(value)
