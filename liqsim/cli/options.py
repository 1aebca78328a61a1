"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

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
