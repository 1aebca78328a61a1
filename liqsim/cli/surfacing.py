"""`liqsim surface`: shocks of several sizes against books of several depths."""

from pathlib import Path
from typing import Annotated

import typer

from liqsim.api import scenario_file
from liqsim.cli import telemetry
from liqsim.cli.options import Jobs, PointOverrides, PointSeeds, Quiet, ScenarioName, SweepFile
from liqsim.cli.progress import share_done
from liqsim.cli.stressing import moment_of
from liqsim.cli.sweeping import refuse_no_sweep
from liqsim.cli.text import counted, layout, terminal_width
from liqsim.errors import StudyError
from liqsim.study.heat_map import HeatMap, draw, figure_text, is_of, refuse_undrawable
from liqsim.study.hints import unknown
from liqsim.study.surface import (
    CHANCES,
    Surface,
    heights,
    label_of,
    read_depths,
    read_shocks,
    unit_of,
)
from liqsim.study.sweep import run_sweep
from replay.export import refuse_unusable
from replay.measures import MEASURES


def surface(
    scenario_name: ScenarioName,
    *,
    shocks: Annotated[
        list[str],
        typer.Option(
            "--shock",
            metavar="MARKET=F1,F2,…[/DURATION]",
            help="Moves of a reference price, such as ETH=0,-0.1,-0.3/20m; 0 is none.",
            show_default=False,
        ),
    ],
    out: SweepFile,
    depth: Annotated[
        list[str] | None,
        typer.Option(
            metavar="R1,R2,…",
            help="What every book's depth is multiplied by from then on, each 0.000001 to 1.",
            show_default="1",
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="When both begin, in UTC.", show_default="a tenth of the run"
        ),
    ] = None,
    seeds: PointSeeds = 1,
    measure: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="What is shown: p_bad_debt, p_deleveraged, or the median of a measure.",
        ),
    ] = "p_bad_debt",
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png", help="Also draw it there; or .svg, .pdf.", show_default=False
        ),
    ] = None,
    overrides: PointOverrides = None,
    jobs: Jobs = None,
    quiet: Quiet = False,
) -> None:
    """
    Run a scenario under every pair of shock and depth; rows go into FILE.duckdb, as of a sweep.

    The same command again goes on where it was stopped, and may ask for more seeds.

    Example: liqsim surface oracle_lag --shock ETH=-0.1,-0.3/20m --depth 1,0.25 -o s.duckdb
    """
    telemetry.configure(verbose=0, quiet=True, as_json=False)
    refuse_no_sweep(out)
    if measure not in CHANCES and measure not in MEASURES:
        message = f"--measure {measure}: {unknown(measure, (*CHANCES, *MEASURES))}"
        raise StudyError(message)
    if plot is not None:
        refuse_undrawable(plot)
    moves, ratios = (
        read_shocks(_once("--shock", shocks)),
        read_depths(_once("--depth", depth or ["1"])),
    )
    with scenario_file(scenario_name) as file:
        planned = Surface(file, tuple(overrides or ()), moves, ratios, moment_of(at), seeds)
        mark = planned.mark(measure)
        if plot is not None and not is_of(plot, mark):
            refuse_unusable(plot)
        try:
            with share_done("runs", is_shown=not quiet) as report:
                made = run_sweep(planned.sweep(), out, jobs=jobs, progress=report)
        except KeyboardInterrupt as error:
            error.add_note(f"what was run is in {out}; the same command goes on from there")
            raise
    shown = _heat_map(planned, measure, file.stem, out)
    if plot is not None:
        draw(shown, plot, mark)
    if quiet:
        typer.echo(out)
        return
    typer.echo(f"{shown.title}, {shown.unit}\n")
    rows = [
        [name, *(figure_text(value, is_share=shown.is_share) for value in cells)]
        for name, cells in zip(shown.rows, shown.cells, strict=True)
    ]
    columns = [f"{name} %" for name in shown.columns]
    for line in layout(["depth \\ shock", *columns], rows, terminal_width()):
        typer.echo(line)
    if seeds == 1:
        typer.echo("\nOne seed: no interval.")
    points = counted(len(moves) * len(ratios), "point")
    typer.echo(f"\n{points}; {counted(made, 'run')} made now, in {out}")


def _once(option: str, given: list[str]) -> str:
    if len(given) > 1:
        message = f"{option} {given[1]}: is given twice; several values are parted by commas"
        raise StudyError(message)
    return given[0]


def _heat_map(planned: Surface, measure: str, name: str, out: Path) -> HeatMap:
    found = heights(out, measure, planned.seeds)
    market, over = planned.shocks[0].market, planned.shocks[0].over or "0s"
    return HeatMap(
        title=f"{name}: {label_of(measure, planned.seeds)}",
        across=f"move of {market} over {over}, %",
        columns=[f"{(shock.fraction * 100).normalize():f}" for shock in planned.shocks],
        up="depth of books, ratio",
        rows=[f"{depth.normalize():f}" for depth in planned.depths],
        unit=unit_of(measure),
        is_share=measure in CHANCES,
        cells=[
            [found[float(shock.fraction), float(depth)] for shock in planned.shocks]
            for depth in planned.depths
        ],
    )
