"""
A person's own SQL over a log, and its result as a table, CSV or JSON.

Exactly one SELECT or EXPLAIN is admitted (DESCRIBE, SHOW, SUMMARIZE, FROM and VALUES count as
SELECT); the log is read-only, its configuration locked and other files out of reach.

In CSV and JSON a decimal keeps all its places (as a string in JSON, so that no reader rounds it),
a time is ISO 8601 in UTC with six decimals, an interval as DuckDB writes it (`1 day 03:27:13`), an
empty value is empty in CSV and null in JSON.
"""

import csv
import io
import json
import math
import re
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import duckdb
import pyarrow as pa

from liqsim.errors import QueryError
from liqsim.eventlog.reader import LogReader


def query(log: LogReader, sql: str) -> pa.Table:
    """
    Return the result of one SELECT or EXPLAIN.

    Raises:
        QueryError: *sql* is something else, or DuckDB rejects it.
    """
    relation = admitted(log, sql)
    try:
        return relation.to_arrow_table()
    except (duckdb.Error, pa.ArrowException) as error:
        raise QueryError(" ".join(str(error).split())) from error


def admitted(log: LogReader, sql: str) -> duckdb.DuckDBPyRelation:
    """
    Return one SELECT or EXPLAIN as a lazy relation.

    Raises:
        QueryError: *sql* is something else, or DuckDB rejects it.
    """
    kinds = log.statement_types(sql)
    if kinds == ["EXPLAIN"]:
        # EXPLAIN ANALYZE runs what it explains, so that must be a SELECT as well.
        kinds = _explained_types(log, sql)
    if len(kinds) != 1:
        message = f"only one SELECT or EXPLAIN is allowed, these are {len(kinds)} statements"
        raise QueryError(message)
    if kinds != ["SELECT"]:
        message = f"only one SELECT or EXPLAIN is allowed, this is {kinds[0]}"
        raise QueryError(message)
    return log.ask(sql)


_BLANK: Final = r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*"
_EXPLAIN: Final = re.compile(rf"{_BLANK}explain\b{_BLANK}", re.IGNORECASE | re.DOTALL)
_EXPLAIN_OPTIONS: Final = re.compile(
    rf"(?:analy[sz]e\b{_BLANK})?(?:\([^()]*\){_BLANK})?", re.IGNORECASE | re.DOTALL
)


def _explained_types(log: LogReader, sql: str) -> list[str]:
    """Return the types of what an EXPLAIN explains: the text behind the word, or behind options."""
    word = _EXPLAIN.match(sql)
    rest = sql[word.end() :] if word else ""
    options = _EXPLAIN_OPTIONS.match(rest)
    for candidate in (rest, rest[options.end() :] if options else ""):
        try:
            return log.statement_types(candidate)
        except QueryError:
            continue
    return ["EXPLAIN of something unknown"]


def column_names(table: pa.Table) -> list[str]:
    """Return the names of a result's columns."""
    return list(table.column_names)


def text_rows(table: pa.Table) -> Iterator[list[str]]:
    """Yield a result's rows as text, for a table on a screen or CSV."""
    for row in _rows(table):
        yield [_text(value) for value in row]


def to_csv(table: pa.Table) -> str:
    """Return a result as CSV with a header line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(column_names(table))
    writer.writerows(text_rows(table))
    return text.getvalue()


def to_json(table: pa.Table) -> str:
    """Return a result as a JSON array of objects, one line per row."""
    names = column_names(table)
    lines = (
        json.dumps(dict(zip(names, map(_plain, row), strict=True)), ensure_ascii=False)
        for row in _rows(table)
    )
    return "[" + ",\n ".join(lines) + "]\n"


def _rows(table: pa.Table) -> Iterator[tuple[Any, ...]]:
    for batch in table.to_batches():
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _text(value: Any) -> str:
    plain = _plain(value)
    match plain:
        case None:
            return ""
        case bool():
            return "true" if plain else "false"
        case list() | dict():
            return json.dumps(plain, ensure_ascii=False)
        case _:
            return str(plain)


def _plain(value: Any) -> Any:
    """Return *value* as JSON has it: only null, booleans, numbers, text, lists and objects."""
    plain = value
    match value:
        case Decimal():
            plain = f"{value:f}"
        case datetime():
            plain = f"{value:%Y-%m-%dT%H:%M:%S.%fZ}"
        case date() | time():
            plain = value.isoformat()
        case bytes():
            plain = value.hex()
        case timedelta() | UUID():
            plain = str(value)
        case float() if not math.isfinite(value):
            plain = str(value)
        case pa.MonthDayNano():
            plain = _interval(value)
        case list() | tuple():
            plain = [_plain(item) for item in value]
        case dict():
            plain = {str(key): _plain(item) for key, item in value.items()}
    return plain


def _interval(value: pa.MonthDayNano) -> str:
    """
    Return an interval as DuckDB writes it.

    >>> _interval(pa.MonthDayNano([14, -1, 12_433_193_061_000]))
    '1 year 2 months -1 day 03:27:13.193061'
    """
    years, months = divmod(abs(value.months), 12)
    sign = -1 if value.months < 0 else 1
    counts = ((sign * years, "year"), (sign * months, "month"), (value.days, "day"))
    parts = [f"{n} {unit}" if abs(n) == 1 else f"{n} {unit}s" for n, unit in counts if n]
    if value.nanoseconds or not parts:
        seconds, micro = divmod(abs(value.nanoseconds) // 1_000, 1_000_000)
        minutes, second = divmod(seconds, 60)
        clock = f"{minutes // 60:02}:{minutes % 60:02}:{second:02}"
        fraction = f".{micro:06}".rstrip("0") if micro else ""
        parts.append(f"{'-' if value.nanoseconds < 0 else ''}{clock}{fraction}")
    return " ".join(parts)
