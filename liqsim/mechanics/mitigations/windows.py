"""
What a venue observes of a market: windows over marks and forced flow, all of it in integers.

A float is used once, in the logarithm of a return, whose square is rounded before it is summed: so
a sum does not depend on the order in which returns entered and left the window.
"""

import math
from collections import deque
from typing import Final

from liqsim.units import BOUND, RATIO_SCALE, YEAR_US

_SQUARE_SCALE: Final = 10**18
_FOREVER: Final = 2**62


class Extreme:
    """
    The highest or the lowest of the prices that stood at some instant of a window up to now.

    Args:
        window_us: Its length; the price that stood when it began is one of them.
        is_high: Whether it is the highest.
    """

    def __init__(self, window_us: int, *, is_high: bool) -> None:
        self._window_us = window_us
        self._sign = 1 if is_high else -1
        self._prices: deque[list[int]] = deque()  # (price x sign, until when), falling.

    def saw(self, at_us: int, price_e8: int) -> None:
        """Take in a price that stands from *at_us* on; they come in the order of time."""
        prices, price = self._prices, self._sign * price_e8
        if prices:
            prices[-1][1] = at_us
        while prices and prices[-1][0] <= price:
            prices.pop()
        prices.append([price, _FOREVER])

    def value(self, now_us: int) -> int:
        """
        Return the extreme; 0 before the first price.

        >>> high = Extreme(10, is_high=True)
        >>> high.saw(0, 120), high.saw(5, 100), high.saw(20, 90)
        (None, None, None)
        >>> high.value(14), high.value(15), high.value(20), high.value(30)
        (120, 100, 100, 90)
        """
        prices = self._prices
        while prices and prices[0][1] <= now_us - self._window_us:
            prices.popleft()
        return self._sign * prices[0][0] if prices else 0


class Total:
    """
    The sum of what came in a window up to now, without what came at the instant it begins.

    Args:
        window_us: Its length.
    """

    def __init__(self, window_us: int) -> None:
        self._window_us = window_us
        self._parts: deque[tuple[int, int]] = deque()
        self._sum = 0

    def saw(self, at_us: int, amount: int) -> None:
        """Take in an amount; they come in the order of time."""
        self._parts.append((at_us, amount))
        self._sum += amount

    def value(self, now_us: int) -> int:
        """
        Return the sum.

        >>> flow = Total(10)
        >>> flow.saw(0, 7), flow.saw(5, 1), flow.value(9), flow.value(10)
        (None, None, 8, 1)
        """
        while self._parts and self._parts[0][0] <= now_us - self._window_us:
            self._sum -= self._parts.popleft()[1]
        return self._sum


def fall_e6(highest_e8: int, price_e8: int) -> int:
    """
    Return how far a price is below the highest, as a share of that, rounded down.

    >>> fall_e6(300, 200), fall_e6(0, 0)
    (333333, 0)
    """
    return (highest_e8 - price_e8) * RATIO_SCALE // highest_e8 if highest_e8 else 0


def rise_e6(lowest_e8: int, price_e8: int) -> int:
    """
    Return how far a price is above the lowest, as a share of that, rounded down.

    >>> rise_e6(300, 400), rise_e6(0, 0)
    (333333, 0)
    """
    return distance_e6(lowest_e8, price_e8)


def distance_e6(base_e8: int, price_e8: int) -> int:
    """
    Return how far a price is from another one, as a share of that, rounded down.

    >>> distance_e6(300, 200), distance_e6(300, 400)
    (333333, 333333)
    """
    if not base_e8:
        return 0
    return min(abs(price_e8 - base_e8) * RATIO_SCALE // base_e8, BOUND - 1)


def squared_return(before_e8: int, after_e8: int) -> int:
    """Return the square of the log return from one price to the next, in 1e-18."""
    return round(math.log(after_e8 / before_e8) ** 2 * _SQUARE_SCALE)


def volatility_e6(squares: int, window_us: int) -> int:
    """
    Return the annualised volatility that squared returns of a window add up to, rounded down.

    >>> volatility_e6(squared_return(100, 101), YEAR_US) == int(math.log(1.01) * 10**6)
    True
    """
    return math.isqrt(squares * YEAR_US // (RATIO_SCALE * window_us))
