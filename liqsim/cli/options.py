"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from liqsim.study.runs import SEEDS_MAX

LogPath = Annotated[Path, typer.Argument(metavar="LOG", help="An event log.", show_default=False)]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.", metavar="")
]
Verbose = Annotated[
    int,
    typer.Option(
        "-v",
        "--verbose",
        count=True,
        help="Say more; twice for still more.",
        show_default=False,
        metavar="",
    ),
]
Quiet = Annotated[
    bool,
    typer.Option("-q", "--quiet", help="No progress bar; print only where the log is.", metavar=""),
]
NoBar = Annotated[bool, typer.Option("-q", "--quiet", help="No progress bar.", metavar="")]
LogJson = Annotated[
    bool, typer.Option("--log-json", help="Write the operator's log as JSON lines.", metavar="")
]
ScenarioName = Annotated[
    str,
    typer.Argument(
        metavar="SCENARIO",
        help="A TOML file, or the name of a shipped scenario.",
        show_default=False,
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Set a key of the scenario; may be repeated.",
        show_default=False,
    ),
]
PointOverrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Set a key of the scenario at every point; may be repeated.",
        show_default=False,
    ),
]
SweepFile = Annotated[
    Path,
    typer.Option(
        "-o",
        "--out",
        metavar="FILE.duckdb",
        help="Where the rows go; what it has already is not run again.",
        show_default=False,
    ),
]
Seeds = Annotated[
    int,
    typer.Option(metavar="N", help="Run it with the seeds 0 to N - 1.", min=1, max=SEEDS_MAX),
]
PointSeeds = Annotated[
    int,
    typer.Option(
        metavar="N", help="Run every point with the seeds 0 to N - 1.", min=1, max=SEEDS_MAX
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(metavar="N", help="Runs at a time.", show_default="as many as cores", min=1),
]
