"""Price bars out of a file: what they must be among themselves, and to the run that uses them."""

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Final

import attrs

from liqsim.scenario.bars import Bars
from liqsim.scenario.datafile import (
    DataFile,
    fail,
    instant_reader,
    number_reader,
    read_file,
    refuse,
    unit_hint,
)
from liqsim.scenario.model import PRICE, FilePath
from liqsim.scenario.toml import inline
from liqsim.scenario.values import duration_text, instant_of
from liqsim.units import UNIT_SCALE, ceil_div, format_scaled

TIME: Final = "timestamp"
PRICES: Final = ("open", "high", "low", "close")
UNREAD: Final = (
    "volume",
    "volume_usd",
    "quote_volume",
    "sell_volume_usd",
    "taker_buy_volume",
    "taker_buy_quote_volume",
    "trades",
    "count",
    "close_time",
)
"""What exports carry beside a bar's prices."""

_PRICE_DECIMALS: Final = len(str(UNIT_SCALE)) - 1


@attrs.frozen
class BarFile:
    """
    A file of bars that are right among themselves.

    Attributes:
        file: The file.
        times_us: Start of every bar, in microseconds of Unix time.
        bar_us: Length of a bar.
        rows: (open, high, low, close) of every bar, in 1e-8 USD.
        timestamps: How its times were read.
    """

    file: DataFile
    times_us: list[int]
    bar_us: int
    rows: list[tuple[int, int, int, int]]
    timestamps: str

    def covers(self, start_us: int, end_us: int) -> bool:
        """Return whether the bars reach from *start_us* to *end_us* of Unix time."""
        return self.times_us[0] <= start_us and end_us <= self.times_us[-1] + self.bar_us

    def within(self, start_us: int, end_us: int) -> Bars:
        """
        Return the bars that a run from *start_us* to *end_us* of Unix time touches.

        Raises:
            FileRefusedError: There are none for a part of it.
        """
        first_us, last_us = self.times_us[0], self.times_us[-1] + self.bar_us
        problems = []
        if first_us > start_us:
            text = f"must be at or before the start of the run, {_time(start_us)}"
            problems.append(self.file.refusal(0, TIME, text))
        if last_us < end_us:
            text = f"ends at {_time(last_us)}, must reach the end of the run, {_time(end_us)}"
            problems.append(self.file.refusal(len(self.rows) - 1, TIME, text))
        refuse(problems and [*problems, *unit_hint(self.timestamps, self.times_us)])
        first = (start_us - first_us) // self.bar_us
        last = ceil_div(end_us - first_us, self.bar_us)
        unix_us = self.times_us[first]
        return Bars(unix_us, unix_us - start_us, self.bar_us, tuple(self.rows[first:last]))


def read_bar_file(folder: Path, spec: FilePath) -> BarFile:
    """
    Return the bars in the file that *spec* names.

    Raises:
        FileRefusedError: The file cannot be used.
    """
    columns = (TIME, *PRICES)
    file = read_file(folder, spec.file, columns=columns, unread=UNREAD, sha256=spec.sha256)
    problems: list[str] = []
    times_us = file.read(TIME, instant_reader(spec.timestamps), problems)
    read_price = number_reader(PRICE)
    rows = list(zip(*(file.read(name, read_price, problems) for name in PRICES), strict=True))
    refuse(problems)
    for row, (opening, high, low, close) in enumerate(rows):
        if high < low:
            text = f"must be at least the low, {_price(low)}"
            problems.append(file.refusal(row, "high", text))
            continue
        for name, price in (("open", opening), ("close", close)):
            if not low <= price <= high:
                text = f"must be from the low to the high, {_price(low)} to {_price(high)}"
                problems.append(file.refusal(row, name, text))
    _check_order(file, times_us, problems)
    refuse(problems)
    bar_us = spec.bar_us or _usual_gap_us(times_us)
    for row, (before, after) in enumerate(pairwise(times_us), start=1):
        if after - before != bar_us:
            span = f"one bar of {duration_text(bar_us)} after the row before it"
            problems.append(file.refusal(row, TIME, f"must be {_time(before + bar_us)}, {span}"))
    refuse(problems and [*unit_hint(spec.timestamps, times_us), *problems])
    return BarFile(file, times_us, bar_us, rows, spec.timestamps)


def _check_order(file: DataFile, times_us: list[int], problems: list[str]) -> None:
    first_at: dict[int, int] = {}
    for row, at_us in enumerate(times_us):
        if at_us in first_at:
            text = f"must not repeat, it is at {file.at(first_at[at_us])} already"
            problems.append(file.refusal(row, TIME, text))
        elif row and at_us < times_us[row - 1]:
            problems.append(file.refusal(row, TIME, "must be after the one before it"))
        first_at.setdefault(at_us, row)


def _usual_gap_us(times_us: list[int]) -> int:
    """Return the most frequent time between two rows, of several the shortest."""
    if len(times_us) == 1:
        fail("has one row, so `bar` must say how long a bar is")
    gaps = Counter(after - before for before, after in pairwise(times_us))
    return min(gaps, key=lambda gap_us: (-gaps[gap_us], gap_us))


def _time(unix_us: int) -> str:
    return inline(instant_of(unix_us))


def _price(price_e8: int) -> str:
    return format_scaled(price_e8, _PRICE_DECIMALS).rstrip("0").rstrip(".")
