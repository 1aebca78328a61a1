"""`liqsim query` and `liqsim export`: a person's own SQL over a log, and all of it as files."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from liqsim.cli.options import AsJson, LogPath, Verbose
from liqsim.cli.progress import share_done
from liqsim.cli.text import counted, layout, terminal_width
from liqsim.errors import ExportError
from replay.export import WRITERS, export_log, refuse_unusable, write_result
from replay.log import Log
from replay.query import column_names, text_rows, to_csv, to_json
from replay.views import IN_ORDER, MACROS, described


class QueryCommand(TyperCommand):
    """Takes SQL that begins with a comment for SQL, not for an option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse *args*; a space before `-- what is asked` keeps it from looking like an option."""
        return super().parse_args(ctx, [f" {arg}" if _is_comment(arg) else arg for arg in args])


def _is_comment(arg: str) -> bool:
    r"""
    Return whether an argument begins with a comment: the name of an option has no blank in it.

    >>> _is_comment("--note: all\nfrom runs where seed = 1"), _is_comment("--output=my file.csv")
    (True, False)
    """
    name, _, _ = arg.partition("=")
    return arg.startswith("--") and any(character.isspace() for character in name)


class Format(StrEnum):
    """How a result is printed or written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


def query(
    log_path: LogPath,
    sql: Annotated[
        str | None,
        typer.Argument(
            metavar="SQL",
            help="One SELECT or EXPLAIN; without it, the tables and views are listed.",
            show_default=False,
        ),
    ] = None,
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write the result to this new file; its ending says how: .csv, .json, .parquet.",
            show_default=False,
        ),
    ] = None,
    form: Annotated[
        Format | None,
        typer.Option(
            "--format", "-f", help="How the result is printed or written.", show_default="table"
        ),
    ] = None,
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """
    Ask a log one question in SQL (DuckDB's); nothing can be changed by it.

    In CSV and JSON decimals keep all their places (as text in JSON) and times are ISO 8601, UTC.

    In Parquet decimals stay decimals, and times timestamps. --json is short for -f json.

    Example: liqsim query LOG "select market, count(*) from liquidations group by market"

    Example: liqsim query LOG "from account_life" -o lives.parquet
    """
    del verbose  # Asked for by the policy on errors.
    if as_json and form not in (None, Format.JSON):
        message = f"--json and --format {form} contradict each other: give one of them"
        raise ExportError(message)
    form = _form(Format.JSON if as_json else form, output)
    if output is not None:
        if sql is None:
            message = f"{output}: there is no SQL whose result could be written"
            raise ExportError(message)
        refuse_unusable(output)
    with Log(log_path) as log:
        log.comment_views()
        if sql is None:
            _print_catalogue(log)
            return
        result = log.query(sql)
    if output is not None:
        write_result(result, output, form)
        typer.echo(f"{counted(result.num_rows, 'row')}: {output}", err=True)
        return
    match form:
        case Format.CSV:
            typer.echo(to_csv(result), nl=False)
        case Format.JSON:
            typer.echo(to_json(result), nl=False)
        case _:
            rows = list(text_rows(result))
            for line in layout(column_names(result), rows, terminal_width()):
                typer.echo(line)


def _form(form: Format | None, output: Path | None) -> Format:
    """Return the format that was asked for, by its name or by the ending of the file."""
    if output is None:
        if form is Format.PARQUET:
            message = "--format parquet is for a file: say which with --output FILE"
            raise ExportError(message)
        return form or Format.TABLE
    known = ", ".join(f".{kind}" for kind in WRITERS)
    ending = output.suffix.lower().removeprefix(".")
    if form in WRITERS and ending in WRITERS and form != ending:
        message = f"--format {form} and the ending of {output} contradict each other"
        raise ExportError(message)
    found = form or ending
    if found not in WRITERS:
        message = f"{output}: the ending of an output must be one of {known}, or --format say it"
        raise ExportError(message)
    return Format(found)


def export(
    log_path: LogPath,
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="The folder to make; it must not exist."),
    ],
    *,
    verbose: Verbose = 0,
) -> None:
    """
    Write every table and view of a log as Parquet files into a new folder.

    Decimals stay decimals, times timestamps (UTC). The folder appears when all of it is there.

    Example: liqsim export runs/LOG.duckdb parquet/
    """
    del verbose  # Asked for by the policy on errors.
    with Log(log_path) as log, share_done("writing", is_shown=True) as report:
        counts = export_log(log, folder, report)
    rows = counted(sum(counts.values()), "row")
    typer.echo(f"{rows} in {counted(len(counts), 'file')}: {folder}")


def _print_catalogue(log: Log) -> None:
    tables = log.sql(
        "select table_name, comment from duckdb_tables() where not temporary union all "
        "select view_name, comment from duckdb_views() where not internal and not temporary "
        "order by 1"
    ).fetchall()
    views = [
        [f"{name}(upto, instant)" if name in MACROS else name, described(name)[0]]
        for name in IN_ORDER
    ]
    width = terminal_width()
    for title, rows in (("view", views), ("table", tables)):
        cells = [[name, comment or ""] for name, comment in rows]
        for line in layout([title, "what it holds"], cells, width, wrap_last=True):
            typer.echo(line)
        typer.echo()
    typer.echo('their columns: liqsim query LOG "describe liquidations"; what each means:')
    typer.echo("  select column_name, comment from duckdb_columns() where table_name = 'fills'")
