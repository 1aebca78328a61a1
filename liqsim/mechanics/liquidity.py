"""
Books: what an order gets, and what it does to the market price.

`FiniteBook`: cumulative depth within log distance x of mid is depth x (x / 1 %) ** exponent, up to
a finite reach. The consumed volume refills exponentially (volume-reverting resilience: Alfonsi,
Fruth, Schied, Quantitative Finance 10, 2010); the permanent part is linear in signed volume
(Huberman, Stanzl, Econometrica 72, 2004). Price is a function of (consumed, net) volume, so
slicing within an instant changes nothing and no round trip pays.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, Protocol

import attrs

from liqsim.units import RATIO_SCALE
from liqsim.world.markets import BookState

ONE_PERCENT: Final = 0.01
_SERIES_TERMS: Final = 40
_GAUSS: Final = tuple(
    (0.5 + side * node / 2.0, weight / 2.0)
    for node, weight in (
        (0.1488743389816312, 0.2955242247147529),
        (0.4333953941292472, 0.2692667193099964),
        (0.6794095682990244, 0.2190863625159820),
        (0.8650633666889845, 0.1494513491505806),
        (0.9739065285171717, 0.0666713443086881),
    )
    for side in (-1.0, 1.0)
)
"""Nodes on [0, 1] and weights of the Gauss-Legendre rule of ten points."""
_FLOAT_ERROR: Final = 4e-15
"""Relative error bound of one computed average price; taken from the taker."""


@attrs.frozen
class Fill:
    """
    What an order got.

    Attributes:
        quantity_e8: Filled, signed as the order.
        price_e8: Average price, rounded against the taker, never beyond the limit.
        market_price_e8: Market price after it.
    """

    quantity_e8: int
    price_e8: int
    market_price_e8: int


Displacement = Callable[[BookState, int], float]
"""Returns log(market price / reference price) of a book at an instant."""


class Liquidity(Protocol):
    """The port that every book implements."""

    def displacement(self, book: BookState, at_us: int) -> float:
        """Return log(market price / reference price) at *at_us*."""
        ...

    def fill(
        self,
        book: BookState,
        at_us: int,
        reference_e8: int,
        quantity_e8: int,
        limit_e8: int | None,
    ) -> Fill | None:
        """Return what an order for *quantity_e8* (negative sells) gets now; None if nothing."""
        ...


def displaced_price_e8(reference_e8: int, displacement: float) -> int:
    """Return reference x exp(displacement), to the nearest unit, at least one."""
    if displacement == 0.0:
        return reference_e8
    return max(round(reference_e8 * math.exp(displacement)), 1)


class FrictionlessBook:
    """Absorbs any order at the reference price (a twin without impact)."""

    def displacement(self, book: BookState, at_us: int) -> float:  # noqa: ARG002 — the port's shape
        """Return zero."""
        return 0.0

    def fill(
        self,
        book: BookState,  # noqa: ARG002 — the port's shape
        at_us: int,  # noqa: ARG002 — the port's shape
        reference_e8: int,
        quantity_e8: int,
        limit_e8: int | None,
    ) -> Fill | None:
        """Return the whole order at the reference price, unless that crosses the limit."""
        if limit_e8 is not None and (reference_e8 - limit_e8) * quantity_e8 > 0:
            return None
        return Fill(quantity_e8, reference_e8, reference_e8)


class WalkedBook(ABC):
    """
    A book that an order walks until the order, the depth or the limit is exhausted.

    What is left to a subclass depends on consumed and net volume alone, so that parts of an order
    that follow each other within an instant get what the whole order gets.
    """

    def displacement(self, book: BookState, at_us: int) -> float:
        """Return log(market price / reference price) at *at_us*."""
        return self._at(book, book.consumed_at(at_us), book.net_e8)

    def fill(
        self,
        book: BookState,
        at_us: int,
        reference_e8: int,
        quantity_e8: int,
        limit_e8: int | None,
    ) -> Fill | None:
        """Walk the book until the order, the depth or the limit is exhausted."""
        consumed = book.consumed_at(at_us)
        sign = 1 if quantity_e8 > 0 else -1
        size = min(abs(quantity_e8), max(int(self._room(book, at_us, sign)), 0))
        if limit_e8 is not None:
            size = self._within(book, consumed, reference_e8, sign, size, limit_e8)
        if size == 0:
            return None
        quantity = sign * size
        price = self._average_e8(book, consumed, reference_e8, quantity)
        if limit_e8 is not None:
            price = max(price, limit_e8) if sign < 0 else min(price, limit_e8)
        after = self._at(book, consumed + quantity, book.net_e8 + quantity)
        return Fill(quantity, max(price, 1), displaced_price_e8(reference_e8, after))

    @abstractmethod
    def _room(self, book: BookState, at_us: int, sign: int) -> float:
        """Return the units that buyers (*sign* 1) or sellers (-1) can still get now."""

    @abstractmethod
    def _at(self, book: BookState, consumed: float, net_e8: float) -> float:
        """Return the displacement at these volumes."""

    @abstractmethod
    def _respects(
        self,
        book: BookState,
        consumed: float,
        net_e8: int,
        reference_e8: int,
        sign: int,
        limit_e8: int,
    ) -> bool:
        """Return whether the price at these volumes is within the limit."""

    @abstractmethod
    def _average_e8(
        self, book: BookState, consumed: float, reference_e8: int, quantity_e8: int
    ) -> int:
        """Return the average price of the next *quantity_e8*, rounded against the taker."""

    def _within(
        self,
        book: BookState,
        consumed: float,
        reference_e8: int,
        sign: int,
        size: int,
        limit_e8: int,
    ) -> int:
        """Return the largest part of *size* whose last unit still respects the limit."""

        def respects(part: int) -> bool:
            moved = sign * part
            return self._respects(
                book, consumed + moved, book.net_e8 + moved, reference_e8, sign, limit_e8
            )

        if respects(size):
            return size
        low, high = 0, size
        if not respects(0):
            return 0
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if respects(middle) else (low, middle)
        return low


class FiniteBook(WalkedBook):
    """
    The power-law book.

    Args:
        depth_e8: Units within 1 % of mid on one side, in calm times.
        exponent: Depth within x grows as x ** exponent.
        reach: Log distance up to which there are quotes.
        permanent_share: Share of the impact of one calm 1 % depth that is permanent.
        fill_depth_e8: Units of the venue's own quotes on one side, in calm times.
    """

    def __init__(
        self,
        depth_e8: float,
        exponent: float,
        reach: float,
        permanent_share: float,
        fill_depth_e8: float = math.inf,
    ) -> None:
        self._depth_e8 = depth_e8
        self._fill_depth_e8 = fill_depth_e8
        self._inverse = 1.0 / exponent
        self._capacity: float = (reach / ONE_PERCENT) ** exponent
        self._transient = (1.0 - permanent_share) * ONE_PERCENT
        self._permanent = permanent_share * ONE_PERCENT / depth_e8  # Per 1e-8 unit, always calm.

    def _room(self, book: BookState, at_us: int, sign: int) -> float:
        room = self._capacity * self._unit(book) - sign * book.consumed_at(at_us)
        # Opposite flow does not put quotes back: else this would be another word for the reach.
        own = self._fill_depth_e8 * book.multiplier_e6 / RATIO_SCALE
        return min(room, own - book.taken_at(at_us, sign))

    def _unit(self, book: BookState) -> float:
        return self._depth_e8 * book.multiplier_e6 / RATIO_SCALE

    def _at(self, book: BookState, consumed: float, net_e8: float) -> float:
        depths = consumed / self._unit(book)
        if self._inverse != 1.0:
            depths = math.copysign(abs(depths) ** self._inverse, depths)
        return self._permanent * net_e8 + self._transient * depths

    def _respects(
        self,
        book: BookState,
        consumed: float,
        net_e8: int,
        reference_e8: int,
        sign: int,
        limit_e8: int,
    ) -> bool:
        price = reference_e8 * math.exp(self._at(book, consumed, net_e8))
        return price >= limit_e8 if sign < 0 else price <= limit_e8

    def _average_e8(
        self, book: BookState, consumed: float, reference_e8: int, quantity_e8: int
    ) -> int:
        average = reference_e8 * self._average(book, consumed, quantity_e8)
        error = average * _FLOAT_ERROR
        return math.floor(average - error) if quantity_e8 < 0 else math.ceil(average + error)

    def _average(self, book: BookState, consumed: float, quantity: int) -> float:
        """Return the average of exp(displacement) over the next *quantity* units."""
        unit = self._unit(book)
        if self._inverse == 1.0:
            start = math.exp(self._at(book, consumed, book.net_e8))
            move = (self._permanent + self._transient / unit) * quantity
            return start * (math.expm1(move) / move if move else 1.0)
        # In multiples of the 1 % depth.
        origin = math.exp(self._permanent * (book.net_e8 - consumed))
        return origin * self._mean(consumed / unit, quantity / unit, self._permanent * unit)

    def _mean(self, start: float, width: float, slope: float) -> float:
        """
        Return the mean of exp(slope t + transient sign(t) |t| ** inverse) from *start* on.

        All that is summed is positive and no integral is taken from another, so that neither a
        small order deep in the book nor a long fall loses digits.
        """
        end = start + width
        if start * end < 0.0:  # The root has a kink in the middle of the book.
            before, after = start / -width, end / width
            return before * self._mean(start, -start, slope) + after * self._mean(0.0, end, slope)
        low, high = sorted((abs(start), abs(end)))
        if slope * abs(width) <= 1.0:
            if 2.0 * low >= high:  # Smooth enough for ten points.
                return math.fsum(
                    weight * self._relative(start + width * node, slope) for node, weight in _GAUSS
                )
            if low == 0.0:
                return self._mean_from_middle(start + end, slope)
        half = width / 2.0
        return (self._mean(start, half, slope) + self._mean(start + half, half, slope)) / 2.0

    def _relative(self, depth: float, slope: float) -> float:
        root = math.copysign(abs(depth) ** self._inverse, depth)
        return math.exp(slope * depth + self._transient * root)

    def _mean_from_middle(self, depth: float, slope: float) -> float:
        """Return that mean between 0 and *depth*, by the double series of the exponential."""
        size = abs(depth)
        sign = math.copysign(1.0, depth)
        power = sign * self._transient * size**self._inverse
        linear = sign * slope * size
        total, outer = 0.0, 1.0
        for i in range(_SERIES_TERMS):
            inner, row = outer, 0.0
            for j in range(_SERIES_TERMS):
                row += inner / (self._inverse * i + j + 1.0)
                inner *= linear / (j + 1.0)
                if abs(inner) < 1e-19:  # noqa: PLR2004 — far below a float's precision
                    break
            total += row
            outer *= power / (i + 1.0)
            if abs(outer) < 1e-19:  # noqa: PLR2004 — far below a float's precision
                break
        return total
