"""Values and tables as text: for people, so with thousands separators; never read by a program."""

import math
import re
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import zip_longest
from typing import Any, Final

from rich.cells import cell_len

_GAP: Final = "  "
_NUMBER: Final = re.compile(r"[-+]?[\d,]*\.?\d+(?:e[+-]?\d+)?", re.IGNORECASE)
_LAST_COLUMN_MIN: Final = 20
_PRICE_PLACES: Final = ((1_000, 2), (1, 4))
_MILLISECOND: Final = 1_000
_SECOND: Final = 1_000_000
_UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_CENT: Final = Decimal("0.01")


def terminal_width() -> int:
    """Return the width of the terminal; 0, which is no limit, where output goes elsewhere."""
    return shutil.get_terminal_size((0, 0)).columns


def iso(unix_us: int) -> str:
    """
    Return microseconds of Unix time as ISO 8601 in UTC.

    >>> iso(1_584_009_540_000_000)
    '2020-03-12T10:39:00.000000Z'
    """
    return f"{_UNIX_EPOCH + timedelta(microseconds=unix_us):%Y-%m-%dT%H:%M:%S.%fZ}"


def clock(value: datetime | str) -> str:
    """
    Return a UTC time to the second, as a table shows it.

    >>> clock("2020-03-12T10:39:00.123456Z")
    '2020-03-12 10:39:00'
    """
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def usd(value: Decimal | str) -> str:
    """
    Return an amount to the cent, or with all its places where that would make it nothing.

    >>> usd("1234567.125001"), usd("-0.000004"), usd("0.000000")
    ('1,234,567.13', '-0.000004', '0.00')
    """
    amount = Decimal(value)
    return f"{amount:,.6f}" if 0 < abs(amount) < _CENT else f"{amount:,.2f}"


def price(value: Decimal | str) -> str:
    """
    Return a price, to the cent from 1,000 up, with four places from 1 up, else with all eight.

    >>> price("5550.00000000"), price("84.96385810"), price("0.00001234")
    ('5,550.00', '84.9639', '0.00001234')
    """
    exact = Decimal(value)
    places = next((places for low, places in _PRICE_PLACES if abs(exact) >= low), 8)
    return f"{exact:,.{places}f}"


def span(microseconds: int) -> str:
    """
    Return a duration in the units a person would use.

    >>> span(1_599_376), span(250), span(172_800_000_000), span(5_400_000_000), span(0)
    ('1.599 s', '250 us', '2 d', '1 h 30 m', '0 s')
    """
    if microseconds < _MILLISECOND:
        return f"{microseconds} us" if microseconds else "0 s"
    if microseconds < 60 * _SECOND:
        size, unit = (_SECOND, "s") if microseconds >= _SECOND else (_MILLISECOND, "ms")
        return f"{microseconds / size:.3f}".rstrip("0").rstrip(".") + f" {unit}"
    seconds = round(microseconds / _SECOND)
    parts = []
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts)


def counted(count: int, noun: str) -> str:
    """
    Return a count and its noun.

    >>> counted(1, "row"), counted(1_200, "row")
    ('1 row', '1,200 rows')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def percent(part: float, whole: float) -> str:
    """
    Return what part of a whole something is.

    >>> percent(5475, 10_000), percent(1, 0)
    ('54.8 %', '-')
    """
    return f"{100 * part / whole:.1f} %" if whole and math.isfinite(part / whole) else "-"


def printable(value: Any) -> str:
    """Return *value* without what would steer the terminal: a log may come from anyone."""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def layout(
    names: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int = 0,
    *,
    wrap_last: bool = False,
) -> Iterator[str]:
    """
    Yield the lines of a table; where it is wider than *width*, of one record per row instead.

    Args:
        names: Names of the columns.
        rows: Cells as text; a column of numbers is set to the right.
        width: Width there is; 0 is no limit.
        wrap_last: Break the text of the last column rather than give up the table.
    """
    cells = [[printable(cell) for cell in row] for row in rows]
    columns = list(zip(*cells, strict=True)) if cells else [()] * len(names)
    widths = [
        max(map(cell_len, (name, *column))) for name, column in zip(names, columns, strict=True)
    ]
    is_multiline = any("\n" in cell for row in cells for cell in row)
    spare = width - sum(widths[:-1]) - len(_GAP) * (len(widths) - 1)
    is_wrapped = wrap_last and width > 0 and _LAST_COLUMN_MIN <= spare < widths[-1]
    if is_wrapped:
        widths[-1] = spare
    elif is_multiline or 0 < width < sum(widths) + len(_GAP) * (len(widths) - 1):
        yield from _records(names, cells, width)
        return
    is_number = [_is_numeric(column) for column in columns]
    yield _line(names, widths, is_number)
    yield _GAP.join("-" * size for size in widths)
    for row in cells:
        if not is_wrapped:
            yield _line(row, widths, is_number)
            continue
        parts = textwrap.wrap(row[-1], spare) or [""]
        yield _line([*row[:-1], parts[0]], widths, is_number)
        for part in parts[1:]:
            yield _line([*[""] * (len(row) - 1), part], widths, is_number)


def _records(names: Sequence[str], cells: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    size = max(map(cell_len, names))
    for number, row in enumerate(cells, start=1):
        title = f"--- {number} "
        yield title + "-" * max(3, min(width or 40, 40) - len(title))
        for name, cell in zip(names, row, strict=True):
            first, *others = cell.split("\n")
            yield f"{_padded(name, size)}{_GAP}{first}".rstrip()
            yield from (f"{' ' * size}{_GAP}{line}".rstrip() for line in others)


def _line(cells: Sequence[str], widths: Sequence[int], is_number: Sequence[bool]) -> str:
    return _GAP.join(
        _padded(cell, size, right=right)
        for cell, size, right in zip_longest(cells, widths, is_number)
    ).rstrip()


def _padded(text: str, size: int, *, right: bool = False) -> str:
    blank = " " * (size - cell_len(text))
    return blank + text if right else text + blank


def _is_numeric(column: Sequence[str]) -> bool:
    filled = [cell for cell in column if cell not in ("", "-")]
    return all(_NUMBER.fullmatch(cell) for cell in filled)
