"""When new accounts arrive: candidates at a constant rate, of whom an intensity admits some."""

import math
from collections import deque
from typing import Final

import attrs

from liqsim.scenario.model import Arrivals, Cohort
from liqsim.units import RATIO_SCALE

_HOUR_US: Final = 3_600 * 10**6


@attrs.frozen
class Reserved:
    """
    The owners that are kept for accounts of a cohort which arrive; they have nothing before.

    Attributes:
        cohort: The cohort.
        market_id: Its market.
        buckets: The owners, in the order in which they are given away.
    """

    cohort: Cohort
    market_id: int
    buckets: range

    @property
    def names(self) -> list[str]:
        """Their names: they go on where those of the accounts of the start end."""
        first = self.cohort.accounts
        return [f"{self.cohort.name}_{first + row:05d}" for row in range(len(self.buckets))]


def gap_us(per_hour: float, uniform: float) -> int:
    """
    Return the time from one candidate to the next, whose draw from (0, 1) is *uniform*.

    >>> gap_us(60.0, 0.5) / 10**6  # A minute times ln 2.
    41.588831
    """
    return max(round(-math.log(uniform) * _HOUR_US / per_hour), 1)


def intensity_per_hour(
    law: Arrivals, *, is_long: bool, fall: float, margin_rate: float, fee_e6: int
) -> float:
    """
    Return how many candidates like this one would be admitted per hour, if all were.

    Args:
        law: The law of the cohort.
        is_long: The side of the candidate.
        fall: How far the mark is below its highest, as a share of that.
        margin_rate: Initial margin asked now of its position, as a share of that.
        fee_e6: Taker fee.
    """
    rate = law.per_hour
    if is_long:
        rate *= 1.0 + law.dip_slope * fall
    if law.margin_reference_e6 is not None:
        margin = margin_rate * RATIO_SCALE / law.margin_reference_e6
        rate *= response(margin, law.margin_elasticity)
    if law.fee_reference_e6 is not None:
        rate *= response(fee_e6 / law.fee_reference_e6, law.fee_elasticity)
    return min(rate, law.max_per_hour)


def highest_per_hour(law: Arrivals) -> float:
    """Return an intensity that `intensity_per_hour` never exceeds."""
    if law.margin_elasticity or law.fee_elasticity:
        return law.max_per_hour
    # No mark falls by more than the whole.
    return min(law.per_hour * (1.0 + law.dip_slope), law.max_per_hour)


def response(cost: float, elasticity: float) -> float:
    """
    Return the factor by which demand answers to a *cost*, as a multiple of one where it is 1.

    >>> response(2.0, 1.5), response(2.0, 0.0), response(0.0, 1.0)
    (0.3535533905932738, 1.0, inf)
    """
    if not elasticity:
        return 1.0
    return cost**-elasticity if cost else math.inf


class Highs:
    """
    The highest of the marks that landed within a window up to now.

    Args:
        window_us: Its length.
    """

    def __init__(self, window_us: int) -> None:
        self._window_us = window_us
        self._marks: deque[tuple[int, int]] = deque()  # Falling: only these can be the highest.

    def saw(self, at_us: int, mark_e8: int) -> None:
        """Take in a mark; they come in the order of time."""
        while self._marks and self._marks[-1][1] <= mark_e8:
            self._marks.pop()
        self._marks.append((at_us, mark_e8))

    def fall(self, now_us: int) -> float:
        """Return how far the newest mark is below the highest, as a share of that."""
        marks = self._marks
        while len(marks) > 1 and marks[0][0] < now_us - self._window_us:
            marks.popleft()
        return (marks[0][1] - marks[-1][1]) / marks[0][1] if marks else 0.0
