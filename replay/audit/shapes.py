"""
Shapes of books of the read side's own: what price stands at a consumed volume.

Volumes are signed, in 1e-8 units; bought is positive. Displacement is in log price.
"""

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from replay.terms import DepthTerms, LadderTerms

_ONE_PERCENT: Final = 0.01
ROUNDING: Final = 1e-12
"""Relative difference between two computations of one consumed volume."""

Floats = npt.NDArray[np.float64]


class Shape(Protocol):
    """What a finite book looks like."""

    def moved(self, consumed: Any, net: Any, multiplier: Any) -> Any:
        """Return the displacement, of numbers or of arrays."""
        ...

    def range(self, consumed: float, net: int, multiplier: float) -> tuple[float, float]:
        """Return between which displacements a rounding of *consumed* leaves the price."""
        ...

    def capacity(self, sign: int, multiplier: float) -> float:
        """Return the largest volume that one side can have consumed."""
        ...

    def own(self, multiplier: float) -> float:
        """Return the largest volume that is taken from the venue's own quotes on one side."""
        ...

    def average(self, start: float, quantity: int, multiplier: float) -> float | None:
        """Return average price / reference of a walk from *start*; None if only its ends bind."""
        ...


class FlatShape:
    """A market without impact."""

    def moved(self, consumed: Any, net: Any, multiplier: Any) -> Any:  # noqa: ARG002
        """Return zero."""
        return consumed * 0.0

    def range(self, consumed: float, net: int, multiplier: float) -> tuple[float, float]:  # noqa: ARG002
        """Return zero."""
        return 0.0, 0.0

    def capacity(self, sign: int, multiplier: float) -> float:  # noqa: ARG002
        """Return that there is no bound."""
        return math.inf

    def own(self, multiplier: float) -> float:  # noqa: ARG002
        """Return that there is no bound."""
        return math.inf

    def average(self, start: float, quantity: int, multiplier: float) -> float | None:  # noqa: ARG002
        """Return nothing: the ends are equal."""
        return None


class PowerShape:
    """
    Depth that grows as a power of the distance.

    Args:
        terms: The book.
        start_e8: The market's start price.
    """

    def __init__(self, terms: DepthTerms, start_e8: int) -> None:
        self._terms = terms
        self._calm_e8 = terms.depth_uusd * 1e10 / start_e8
        own = terms.fill_depth_uusd
        self._own_e8 = math.inf if own is None else own * 1e10 / start_e8

    def moved(self, consumed: Any, net: Any, multiplier: Any) -> Any:
        """Return permanent and transient displacement."""
        share = self._terms.permanent_share
        size = (np.abs(consumed) / (self._calm_e8 * multiplier)) ** (1 / self._terms.exponent)
        transient = np.copysign(size, consumed)
        return (share * (net / self._calm_e8) + (1 - share) * transient) * _ONE_PERCENT

    def range(self, consumed: float, net: int, multiplier: float) -> tuple[float, float]:
        """Return one displacement twice: it is continuous."""
        moved = float(self.moved(consumed, net, multiplier))
        return moved, moved

    def capacity(self, sign: int, multiplier: float) -> float:  # noqa: ARG002 — both sides are alike
        """Return what lies within reach."""
        reach = float((self._terms.reach / _ONE_PERCENT) ** self._terms.exponent)
        return reach * self._calm_e8 * multiplier

    def own(self, multiplier: float) -> float:
        """Return the fill depth in force."""
        return self._own_e8 * multiplier

    def average(self, start: float, quantity: int, multiplier: float) -> float | None:  # noqa: ARG002
        """Return nothing: prices before and after bound the average."""
        return None


class LadderShape:
    """
    Explicit levels.

    Args:
        terms: The book.
    """

    def __init__(self, terms: LadderTerms) -> None:
        self._asks, self._bids = _Levels(terms.asks, 1), _Levels(terms.bids, -1)

    def moved(self, consumed: Any, net: Any, multiplier: Any) -> Any:  # noqa: ARG002
        """Return the place of the last unit consumed; nothing is permanent."""
        taken = np.abs(consumed) / multiplier
        beyond = np.where(np.greater(consumed, 0), self._asks.log(taken), self._bids.log(taken))
        return np.where(np.equal(consumed, 0), 0.0, beyond)

    def range(self, consumed: float, net: int, multiplier: float) -> tuple[float, float]:
        """Return both sides of a step if the volume is so near that rounding may take it."""
        ends = (
            float(self.moved(consumed * factor, net, multiplier))
            for factor in (1.0 - ROUNDING, 1.0 + ROUNDING)
        )
        low, high = sorted(ends)
        return low, high

    def capacity(self, sign: int, multiplier: float) -> float:
        """Return all units of a side."""
        return (self._asks if sign > 0 else self._bids).total * multiplier

    def own(self, multiplier: float) -> float:  # noqa: ARG002
        """Return that there is no bound but the levels."""
        return math.inf

    def average(self, start: float, quantity: int, multiplier: float) -> float | None:
        """Return the mean of what the levels ask between two volumes."""
        low, high = sorted((start, start + quantity))
        value = self._asks.value(max(low, 0.0), max(high, 0.0), multiplier)
        value += self._bids.value(max(-high, 0.0), max(-low, 0.0), multiplier)
        return value / abs(quantity)


class _Levels:
    def __init__(self, levels: Sequence[tuple[Decimal, int]], sign: int) -> None:
        self._prices = [float(1 + sign * offset) for offset, _ in levels]
        self._logs = np.log(np.array(self._prices))
        self._ends = np.cumsum(np.array([units for _, units in levels], dtype=np.float64))
        self.total = float(self._ends[-1])

    def log(self, taken: Any) -> Any:
        """Return the log price, over the reference, of the last of *taken* calm units."""
        # A hair less: what a level holds in full must not look like the next one's first.
        row = np.searchsorted(self._ends, np.asarray(taken) * (1.0 - 2.0**-48), side="left")
        return self._logs[np.minimum(row, len(self._logs) - 1)]

    def value(self, low: float, high: float, multiplier: float) -> float:
        """Return what the volume between two places costs, over the reference."""
        begin, parts = 0.0, []
        for end, price in zip([*self._ends[:-1].tolist(), math.inf], self._prices, strict=True):
            parts.append(max(min(end * multiplier, high) - max(begin, low), 0.0) * price)
            begin = end * multiplier
        return math.fsum(parts)


def shape_of(terms: DepthTerms | LadderTerms | None, start_e8: int) -> Shape:
    """Return the shape of a market's book."""
    if terms is None:
        return FlatShape()
    if isinstance(terms, LadderTerms):
        return LadderShape(terms)
    return PowerShape(terms, start_e8)
