"""The commands, gathered."""

from importlib.metadata import version
from typing import Annotated

import typer

from liqsim.cli.auditing import outcome, verify
from liqsim.cli.comparing import compare
from liqsim.cli.policy import Commands, reported
from liqsim.cli.pricing import marginal
from liqsim.cli.querying import QueryCommand, export, query
from liqsim.cli.replaying import replay
from liqsim.cli.running import resume, run
from liqsim.cli.shipped import scenarios
from liqsim.cli.stressing import stress
from liqsim.cli.surfacing import surface
from liqsim.cli.sweeping import sweep
from liqsim.cli.training import train_model

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(value: bool) -> None:  # noqa: FBT001 — a callback of typer
    if value:
        typer.echo(f"liqsim {version('liqsim')}")
        raise typer.Exit


@app.callback()
def main(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version.",
            callback=_print_version,
            is_eager=True,
            metavar="",
        ),
    ] = False,
) -> None:
    """
    Simulate liquidation cascades, and read what happened from their logs.

    Begin with: liqsim run black_thursday_2020
    """


for command in (
    run,
    compare,
    stress,
    sweep,
    surface,
    marginal,
    resume,
    outcome,
    verify,
    replay,
    query,
    export,
    scenarios,
):
    app.command(cls=QueryCommand if command is query else None)(reported(command))
app.command("train")(reported(train_model))
