"""
Tables out of CSV and Parquet files, cell by cell: exact, and refused with line and column.

CSV is read as text by the standard library, which knows the line of every row whatever stands in
the cells. Parquet is read by Arrow; its rows are counted from 1, without a header.
"""

import csv
import hashlib
import io
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal, DecimalException
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Final, NoReturn

import attrs
import pyarrow as pa

from liqsim.scenario.bars import TIMESTAMPS
from liqsim.scenario.fields import Scalar
from liqsim.scenario.toml import shown
from liqsim.scenario.values import expected, read_value, unix_us
from liqsim.units import SECOND_US, YEAR_US

PROBLEMS_MAX: Final = 10
"""So many lines of a file are named when it is refused; the rest is counted."""

_TICKS_US: Final = {"unix_s": SECOND_US, "unix_ms": 1_000, "unix_us": 1}
_LAST_US: Final = 253_402_300_800 * SECOND_US
"""The year 10000 in Unix time: a finer unit that is taken for seconds ends up beyond it."""

_PLAIN = re.compile(r"(-?[0-9]{1,18})(?:\.([0-9]{1,8})0*)?")
_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,4})?")
_WHOLE = re.compile(r"[0-9]{1,19}")
_ISO = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?"
    r"(Z|[+-][0-9]{2}:?[0-9]{2})?"
)
_UTC_NAMES: Final = frozenset({"UTC", "Z", "Etc/UTC", "+00:00", "-00:00", "GMT", "Etc/GMT"})


class FileRefusedError(Exception):
    """A file cannot be used; each of its texts follows the file's name in a message."""

    def __init__(self, texts: Sequence[str]) -> None:
        super().__init__(*texts)
        self.texts = tuple(texts)


@attrs.frozen
class DataFile:
    """
    A table as it was read.

    Attributes:
        sha256: Hash of the file's bytes, hex.
        columns: Cells by the name of their column: text, or what Arrow makes of Parquet.
        lines: Line of every row.
        line_word: What a line is called: `line` of text, or `row` of Parquet.
    """

    sha256: str
    columns: dict[str, list[Any]]
    lines: Sequence[int]
    line_word: str

    def at(self, row: int, column: str | None = None) -> str:
        """Return where a cell stands, in words."""
        place = f"{self.line_word} {self.lines[row]}"
        return place if column is None else f"{place}, column {column}"

    def refusal(self, row: int, column: str, text: str) -> str:
        """Return the sentence that refuses a cell."""
        cell = self.columns[column][row]
        value = "an empty cell" if cell is None or cell == "" else shown(cell)
        return f"at {self.at(row, column)}: {value} {text}"

    def read(self, column: str, reader: Callable[[Any], Any], problems: list[str]) -> list[Any]:
        """Return a column through *reader*; what it refuses is added to *problems*, and None."""
        values = []
        for row, cell in enumerate(self.columns[column]):
            try:
                values.append(reader(cell))
            except ValueError as error:
                values.append(None)
                problems.append(self.refusal(row, column, str(error)))
        return values


def refuse(problems: Sequence[str]) -> None:
    """
    Refuse a file if there are *problems* with it.

    Raises:
        FileRefusedError: There are some; those beyond the first few are only counted.
    """
    if problems:
        more = len(problems) - PROBLEMS_MAX
        rest = [f"has {more} more such problem{'s'[: more > 1]}"] if more > 0 else []
        raise FileRefusedError([*problems[:PROBLEMS_MAX], *rest])


def fail(text: str) -> NoReturn:
    """
    Refuse a file for one reason.

    Raises:
        FileRefusedError: Always.
    """
    raise FileRefusedError([text])


def read_file(
    folder: Path,
    name: str,
    *,
    columns: Sequence[str],
    optional: Sequence[str] = (),
    unread: Iterable[str] = (),
    sha256: str = "",
) -> DataFile:
    """
    Return the file *name* in *folder*.

    Args:
        folder: What the name is relative to.
        name: Ends in .csv or .parquet.
        columns: Columns that it must have.
        optional: Columns that it may have.
        unread: Columns that it may have, and that nobody reads.
        sha256: What its bytes must hash to, unless empty.

    Raises:
        FileRefusedError: It cannot be read, has other bytes or other columns, or no rows.
    """
    data = _bytes(folder, name)
    digest = hashlib.sha256(data).hexdigest()
    if sha256 and digest != sha256.lower():
        fail(f"must be the file of SHA-256 {sha256}; it has changed: now it is {digest}")
    header, rows_of = (_parquet if _suffix(name) == ".parquet" else _csv)(data)
    _check_header(header, columns, (*columns, *optional, *unread))
    kept = [column for column in header if column in {*columns, *optional}]
    file = attrs.evolve(rows_of(kept), sha256=digest)
    if not file.lines:
        fail("is empty, it must have rows below its header")
    return file


def number_reader(scalar: Scalar) -> Callable[[Any], int]:
    """Return the reader of a number in the unit of *scalar*; never rounded."""
    decimals = len(str(scalar.scale)) - 1
    low, high = int(scalar.low * scalar.scale), int(scalar.high * scalar.scale)
    wanted = f"must be {expected(scalar)}"

    def read(cell: Any) -> int:
        if isinstance(cell, str):
            # Nearly every cell: whole digits, point, digits.
            if (plain := _PLAIN.fullmatch(cell)) and len(plain[2] or "") <= decimals:
                value = int(plain[1] + (plain[2] or "").ljust(decimals, "0"))
                if low < value <= high:
                    return value
            if not _NUMBER.fullmatch(cell):
                raise ValueError(wanted)
            cell = Decimal(cell)
        is_number = isinstance(cell, int | float | Decimal) and not isinstance(cell, bool)
        if not is_number:
            raise ValueError(wanted)
        try:
            return int(read_value(scalar, cell, 0))
        except DecimalException:
            raise ValueError(wanted) from None

    return read


def instant_reader(form: str) -> Callable[[Any], int]:
    """Return the reader of timestamps of a *form*, into microseconds of Unix time."""
    return _read_utc if form == "utc" else _unix_reader(form)


def unit_hint(form: str, times_us: Sequence[int]) -> list[str]:
    """Return the sentence that doubts the unit of times that a finer one puts into 1970, if any."""
    if form in _TICKS_US and max(times_us) < YEAR_US:
        return [f"lies in 1970 throughout: is timestamps = {form!r} the right unit?"]
    return []


def _read_utc(cell: Any) -> int:
    if isinstance(cell, _Instant):
        return _in_range(cell)
    found = _ISO.fullmatch(cell) if isinstance(cell, str) else None
    if found is None:
        msg = (
            "must be a UTC time such as 2020-03-12T10:30:00Z, "
            f"unless `timestamps` says {', '.join(TIMESTAMPS[1:])}"
        )
        raise ValueError(msg)
    if found[1] is None:
        msg = "must say that it is UTC, by a Z or +00:00 at its end"
        raise ValueError(msg)
    try:
        moment = datetime.fromisoformat(cell)
    except ValueError:
        msg = "must be a date and time that exists"
        raise ValueError(msg) from None
    if moment.utcoffset() != timedelta(0):
        msg = "must be UTC, with a Z or +00:00 at its end"
        raise ValueError(msg)
    return _in_range(unix_us(moment))


def _unix_reader(form: str) -> Callable[[Any], int]:
    tick_us = _TICKS_US[form]

    def read(cell: Any) -> int:
        if isinstance(cell, str) and _WHOLE.fullmatch(cell):
            cell = int(cell)
        is_whole = isinstance(cell, int) and not isinstance(cell, bool | _Instant)
        if not is_whole:
            unit = {SECOND_US: "", 1_000: "milli", 1: "micro"}[tick_us]
            msg = f"must be a whole number of {unit}seconds since 1970, as timestamps = {form!r}"
            raise ValueError(msg)
        return _in_range(cell * tick_us, f" as timestamps = {form!r}")

    return read


def _in_range(at_us: int, form: str = "") -> int:
    if not 0 <= at_us < _LAST_US:
        msg = f"must be a time from the year 1970 to 9999{form}"
        raise ValueError(msg)
    return at_us


class _Instant(int):
    """An instant that Parquet itself calls one, in microseconds of Unix time."""

    __slots__ = ()


_Rows = Callable[[Sequence[str]], DataFile]


def _bytes(folder: Path, name: str) -> bytes:
    if not name or PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive:
        fail("must be a name relative to the folder of the scenario")
    if _suffix(name) not in {".csv", ".parquet"}:
        fail("must end in .csv or .parquet")
    path = folder / name
    try:
        return path.read_bytes()
    except FileNotFoundError:
        fail(f"is not there: there is no file {path}")
    except IsADirectoryError:
        fail(f"must be a file; {path} is a directory")
    except (OSError, ValueError) as error:
        fail(f"cannot be read: {getattr(error, 'strerror', None) or error}")


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _csv(data: bytes) -> tuple[list[str], _Rows]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        fail(f"at line {line}: is not UTF-8 text")
    # The header is looked at before the rows: a comment above it is no fault of theirs.
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        for row in reader:
            if row:
                rows.append(row)
                lines.append(reader.line_num)
    except csv.Error as error:
        fail(f"at line {reader.line_num}: is not CSV: {error}")
    if not rows:
        fail("is empty, it must have a header and rows")
    header = rows.pop(0)
    del lines[0]

    def rows_of(kept: Sequence[str]) -> DataFile:
        refuse(
            [
                f"at line {line}: has {len(row)} columns, must have {len(header)} as the header"
                for row, line in zip(rows, lines, strict=True)
                if len(row) != len(header)
            ]
        )
        places = {name: header.index(name) for name in kept}
        cells = {name: [row[place] for row in rows] for name, place in places.items()}
        return DataFile("", cells, lines, "line")

    return header, rows_of


def _parquet(data: bytes) -> tuple[list[str], _Rows]:
    if not data:
        fail("is empty, it must have rows")
    # Here, as it takes long to load and few scenarios need it.
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        table = pq.read_table(pa.BufferReader(data))
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        fail(f"is not a Parquet file: {reason}")

    def rows_of(kept: Sequence[str]) -> DataFile:
        cells = {name: _plain(name, table.column(name)) for name in kept}
        return DataFile("", cells, range(1, table.num_rows + 1), "row")

    return table.column_names, rows_of


def _plain(name: str, column: Any) -> list[Any]:
    """Return a column of Parquet as Python values; its timestamps as `_Instant`."""
    if not pa.types.is_timestamp(column.type):
        return list(column.to_pylist())
    zone = column.type.tz
    if zone not in _UTC_NAMES:
        has = "no time zone" if zone is None else f"the time zone {zone}"
        fail(f"at column {name}: has {has}, must be UTC")
    try:
        ticks = column.cast(pa.timestamp("us", zone)).cast(pa.int64()).to_pylist()
    except pa.ArrowException:
        fail(f"at column {name}: must be whole microseconds")
    return [None if tick is None else _Instant(tick) for tick in ticks]


def _check_header(header: Sequence[str], columns: Sequence[str], known: Sequence[str]) -> None:
    problems = []
    for number, name in enumerate(header, start=1):
        if name in header[: number - 1]:
            problems.append(f"at line 1, column {number}: {shown(name)} is there twice")
        elif name not in known:
            text = f"is not a known column, must be one of {', '.join(known)}"
            problems.append(f"at line 1, column {number}: {shown(name)} {text}")
    missing = [f"at line 1: the column {name} is missing" for name in columns if name not in header]
    refuse([*problems, *missing])
