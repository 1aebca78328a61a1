"""Spans of time in which something is down or slower."""

from bisect import bisect_right
from collections.abc import Sequence
from operator import itemgetter

from liqsim.scenario.model import Overload, Windows
from liqsim.units import RATIO_SCALE, SECOND_US, ceil_div


def window_left_us(windows: Windows, now_us: int) -> int:
    """
    Return how long *now_us* is still inside *windows*, those that touch being one; 0 outside.

    >>> window_left_us(((10, 20), (20, 25)), 12), window_left_us(((10, 20),), 20)
    (13, 0)
    """
    until_us = now_us
    row = bisect_right(windows, now_us, key=itemgetter(0)) - 1 if windows else -1
    while 0 <= row < len(windows) and windows[row][0] <= until_us < windows[row][1]:
        until_us, row = windows[row][1], row + 1
    return until_us - now_us


def order_us(rate_e6: int, overloads: Sequence[Overload], now_us: int) -> int:
    """
    Return how long an order sent now keeps others waiting; 0 without a limit.

    Args:
        rate_e6: Orders per second outside the overloads, in 1e-6; 0 is no limit.
        overloads: Windows with a rate of their own.
        now_us: The present instant.

    >>> order_us(3_000_000, [Overload(10, 20, 500_000)], 9)
    333334
    >>> order_us(3_000_000, [Overload(10, 20, 500_000)], 10)
    2000000
    """
    inside = (o.rate_e6 for o in overloads if o.start_us <= now_us < o.end_us)
    rate_e6 = next(inside, rate_e6)
    return ceil_div(SECOND_US * RATIO_SCALE, rate_e6) if rate_e6 else 0
