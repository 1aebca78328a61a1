"""
The ladder: quotes at given distances from the reference, taken level by level.

The market price is the price of the last unit that was taken and has not come back: whoever
trades the other way is first served what was taken, at the prices at which it was taken. It is
thus a function of consumed volume alone, as in the power book, and no round trip pays.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from liqsim.mechanics.liquidity import WalkedBook
from liqsim.units import RATIO_SCALE, ceil_div
from liqsim.world.markets import BookState

_BELOW: Final = 1.0 - 2.0**-50
"""A volume this close above the end of a level is at its end: scaling by a depth rounds."""

Levels = Sequence[tuple[int, int]]
"""(distance from the reference in 1e-6 of it, units in 1e-8), nearest first."""


class _Side:
    """One side of a ladder: where levels end, in 1e-8 calm units, and their prices."""

    def __init__(self, levels: Levels, sign: int) -> None:
        self.ends_e8 = list(accumulate(units_e8 for _, units_e8 in levels))
        self.prices_e6 = [RATIO_SCALE + sign * offset_e6 for offset_e6, _ in levels]
        self.logs = [math.log(price_e6 / RATIO_SCALE) for price_e6 in self.prices_e6]

    def level(self, book: BookState, taken: float) -> int:
        """Return the level of the last unit of *taken*."""
        calm = taken * RATIO_SCALE / book.multiplier_e6 * _BELOW
        return min(bisect_left(self.ends_e8, calm), len(self.ends_e8) - 1)

    def value(self, start: int, end: int, scale: int) -> int:
        """Return the sum of prices, in 1e-6, of [*start*, *end*), in parts of *scale* a unit."""
        total, begin, last = 0, 0, len(self.ends_e8) - 1
        for row, (end_e8, price_e6) in enumerate(zip(self.ends_e8, self.prices_e6, strict=True)):
            # What rounding of the room lets through beyond the last level belongs to it.
            finish = max(end_e8 * scale, end) if row == last else end_e8 * scale
            total += max(min(finish, end) - max(begin, start), 0) * price_e6
            begin = finish
        return total


class LadderBook(WalkedBook):
    """
    A book of explicit levels.

    Args:
        asks: Levels above the reference.
        bids: Levels below it.
    """

    def __init__(self, asks: Levels, bids: Levels) -> None:
        self._asks, self._bids = _Side(asks, 1), _Side(bids, -1)

    def _room(self, book: BookState, at_us: int, sign: int) -> float:
        side = self._asks if sign > 0 else self._bids
        return side.ends_e8[-1] * book.multiplier_e6 / RATIO_SCALE - sign * book.consumed_at(at_us)

    def _at(self, book: BookState, consumed: float, net_e8: float) -> float:  # noqa: ARG002
        if consumed == 0.0:
            return 0.0
        side = self._asks if consumed > 0.0 else self._bids
        return side.logs[side.level(book, abs(consumed))]

    def _respects(
        self,
        book: BookState,
        consumed: float,
        net_e8: int,  # noqa: ARG002 — nothing is permanent here
        reference_e8: int,
        sign: int,
        limit_e8: int,
    ) -> bool:
        price_e6 = RATIO_SCALE
        if consumed != 0.0:
            side = self._asks if consumed > 0.0 else self._bids
            price_e6 = side.prices_e6[side.level(book, abs(consumed))]
        return sign * (reference_e8 * price_e6 - limit_e8 * RATIO_SCALE) <= 0

    def _average_e8(
        self, book: BookState, consumed: float, reference_e8: int, quantity_e8: int
    ) -> int:
        # In integers, exact: a calm 1e-8 unit has `scale` parts, and so has a float a last digit.
        numerator, denominator = consumed.as_integer_ratio()
        scale = denominator * book.multiplier_e6
        start = numerator * RATIO_SCALE
        end = start + quantity_e8 * denominator * RATIO_SCALE
        low, high = min(start, end), max(start, end)
        value = self._asks.value(max(low, 0), max(high, 0), scale)
        value += self._bids.value(max(-high, 0), max(-low, 0), scale)
        weight = abs(quantity_e8) * denominator * RATIO_SCALE * RATIO_SCALE
        if quantity_e8 < 0:
            return reference_e8 * value // weight
        return ceil_div(reference_e8 * value, weight)
