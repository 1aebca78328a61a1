"""Realised volatility of marks that are looked at once per period."""

import math

from liqsim.units import YEAR_US


class Volatility:
    """
    Annual volatility of marks seen once per period, exponentially weighted.

    Args:
        period_us: The period.
        half_life_periods: Periods after which a squared return counts half.
    """

    def __init__(self, period_us: int, half_life_periods: float) -> None:
        self._keep = 0.5 ** (1.0 / half_life_periods)
        self._per_year = YEAR_US / period_us
        self._last: float | None = None
        self._variance: float | None = None

    def saw(self, log_mark: float) -> None:
        """Take in the mark of one more period."""
        if self._last is not None:
            square = (log_mark - self._last) ** 2
            before = square if self._variance is None else self._variance
            self._variance = self._keep * before + (1.0 - self._keep) * square
        self._last = log_mark

    @property
    def annual(self) -> float | None:
        """The volatility; None before the second mark."""
        return None if self._variance is None else math.sqrt(self._variance * self._per_year)
