"""Price bars as they were read from a file."""

from typing import Final

import attrs

TIMESTAMPS: Final = ("utc", "unix_s", "unix_ms", "unix_us")
"""What may mark the start of a bar: a UTC time, or a number since 1970."""


@attrs.frozen
class Bars:
    """
    Consecutive bars of one market, without gaps; only those that the run touches.

    Attributes:
        first_unix_us: Start of the first bar, in microseconds of Unix time.
        first_us: The same in microseconds since the scenario's start; zero or negative.
        bar_us: Length of a bar, in microseconds.
        rows: (open, high, low, close) of every bar, in 1e-8 USD.
    """

    first_unix_us: int
    first_us: int
    bar_us: int
    rows: tuple[tuple[int, int, int, int], ...]
