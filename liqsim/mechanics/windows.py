"""Spans of time in which something is down."""

from bisect import bisect_right
from operator import itemgetter

from liqsim.scenario.model import Windows


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
