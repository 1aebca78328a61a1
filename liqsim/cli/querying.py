"""`liqsim query`: a person's own SQL over a log."""

from enum import StrEnum
from typing import Annotated

import typer

from liqsim.cli.options import LogPath, Verbose
from liqsim.cli.text import layout, terminal_width
from replay.log import Log
from replay.query import column_names, text_rows, to_csv, to_json
from replay.views import VIEWS, view_sql


class Format(StrEnum):
    """How a result is printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


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
        Format, typer.Option("--format", "-f", help="How the result is printed.")
    ] = Format.TABLE,
    verbose: Verbose = 0,
) -> None:
    """
    Ask a log one question in SQL (DuckDB's); nothing can be changed by it.

    In CSV and JSON decimals keep all their places (as text in JSON) and times are ISO 8601, UTC.

    Example: liqsim query LOG "select market, count(*) from liquidations group by market"
    """
    del verbose  # Asked for by the policy on errors.
    with Log(log_path) as log:
        if sql is None:
            _print_catalogue(log)
            return
        result = log.query(sql)
    match output:
        case Format.CSV:
            typer.echo(to_csv(result), nl=False)
        case Format.JSON:
            typer.echo(to_json(result), nl=False)
        case Format.TABLE:
            rows = list(text_rows(result))
            for line in layout(column_names(result), rows, terminal_width()):
                typer.echo(line)


def _print_catalogue(log: Log) -> None:
    tables = log.sql(
        "select table_name, comment from duckdb_tables() union all "
        "select view_name, comment from duckdb_views() where not internal and not temporary "
        "order by 1"
    ).fetchall()
    views = [[name, _purpose(name)] for name in VIEWS]
    width = terminal_width()
    for title, rows in (("view", views), ("table", tables)):
        cells = [[name, comment or ""] for name, comment in rows]
        for line in layout([title, "what it holds"], cells, width, wrap_last=True):
            typer.echo(line)
        typer.echo()
    typer.echo('their columns: liqsim query LOG "describe liquidations"')


def _purpose(view: str) -> str:
    """Return the sentence that heads the file of a view."""
    first = view_sql(view).split("\n--\n", maxsplit=1)[0]
    text = " ".join(line.removeprefix("--").strip() for line in first.splitlines())
    return text.removeprefix(f"{view}: ")
