"""Realised correlation of returns that are looked at once per period."""

import math
from collections.abc import Sequence


class Correlation:
    """
    Correlation of a return with that of a basket, exponentially weighted; means count as zero.

    Args:
        half_life_periods: Periods after which a pair of returns counts half.

    >>> moves = Correlation(2)
    >>> for own, basket in ((0.01, 0.02), (0.01, -0.02), (0.02, 0.04)):
    ...     moves.saw(own, basket)
    >>> round(moves.value, 6)
    0.779519
    """

    def __init__(self, half_life_periods: float) -> None:
        self._keep = 0.5 ** (1.0 / half_life_periods)
        self._least = half_life_periods
        self._count = 0
        self._moments = 0.0, 0.0, 0.0

    def saw(self, own: float, basket: float) -> None:
        """Take in the returns of one more period."""
        new = own * own, own * basket, basket * basket
        keep = self._keep if self._count else 0.0
        pairs = zip(self._moments, new, strict=True)
        square, product, other = (keep * old + (1.0 - keep) * one for old, one in pairs)
        self._moments = square, product, other
        self._count += 1

    @property
    def value(self) -> float | None:
        """It, from -1 to 1; None before a half-life has passed, and where nothing has moved."""
        own, product, basket = self._moments
        if self._count < self._least or not own or not basket:
            return None
        return max(-1.0, min(product / math.sqrt(own * basket), 1.0))


def basket_return(returns: Sequence[float], weights: Sequence[float]) -> float | None:
    """
    Return the weighted mean of *returns*; None where nothing has a weight.

    >>> basket_return([0.5, -1.0], [3, 1]), basket_return([0.5], [0])
    (0.125, None)
    """
    whole = math.fsum(weights)
    if not whole:
        return None
    return math.fsum(r * w for r, w in zip(returns, weights, strict=True)) / whole
