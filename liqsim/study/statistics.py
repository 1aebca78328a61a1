"""
What many seeds say of a measure: medians, tail means, and how sure their differences are.

Outcomes of cascades are heavy-tailed, so nothing here rests on a normal law: intervals are
percentile bootstraps over seeds, which every variant shares.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs
import numpy as np
import numpy.typing as npt

RESAMPLES: Final = 2_000
LEVEL: Final = 0.95
FEW: Final = 20
"""With fewer seeds a tail is one run."""
_TAIL_OF: Final = 20
"""The worst one in so many seeds, rounded up, are those whose mean is the tail mean."""

_TWO: Final = 2
"""One seed says nothing of others."""
_SEED: Final = 20_120
_NORMAL_QUANTILE: Final = 1.959963984540054
"""Of (1 + `LEVEL`) / 2."""

_Floats = npt.NDArray[np.float64]


@attrs.frozen
class Estimate:
    """
    A figure over seeds, with its interval at `LEVEL`.

    Attributes:
        value: On the seeds at hand.
        low: Lower end.
        high: Upper end.
    """

    value: float
    low: float
    high: float


@attrs.frozen
class Summary:
    """
    A measure over seeds.

    Attributes:
        runs: Seeds on which the measure is defined.
        pairs: Those on which it is defined in the first variant too.
        median: Its median.
        tail_mean: Mean of its worst twentieth.
        median_difference: Median of the paired differences to the first variant; None without any.
        tail_difference: Difference of the tail means of those seeds.
    """

    runs: int
    pairs: int
    median: float
    tail_mean: float
    median_difference: Estimate | None
    tail_difference: Estimate | None


def summary(
    here: Sequence[float | None], first: Sequence[float | None], *, is_worse_high: bool
) -> Summary | None:
    """
    Return what seeds, in one order, say of a measure; None where it is never defined.

    >>> found = summary([1.0, 4.0, 3.0], [0.0, 1.0, 2.0], is_worse_high=True)
    >>> found.median, found.tail_mean, found.median_difference.value, found.tail_difference.value
    (3.0, 4.0, 1.0, 2.0)
    """
    known = np.array([x for x in here if x is not None], dtype=np.float64)
    if not len(known):
        return None
    pairs = [(x, y) for x, y in zip(here, first, strict=True) if x is not None and y is not None]
    tail = _tail_mean if is_worse_high else lambda values: -_tail_mean(-values)
    differences: list[Estimate | None] = [None, None]
    if pairs:
        one, other = np.array(pairs, dtype=np.float64).T
        differences = [
            _estimate(one, other, lambda x, y: np.median(x - y, axis=-1)),
            _estimate(one, other, lambda x, y: tail(x) - tail(y)),
        ]
    return Summary(
        len(known), len(pairs), float(np.median(known)), float(tail(known)), *differences
    )


def tail_mean(values: Sequence[float]) -> float:
    """Return the mean of the highest twentieth of *values*, rounded up."""
    return float(_tail_mean(np.array(values, dtype=np.float64)))


def mean_estimate(values: Sequence[float]) -> Estimate | None:
    """Return the mean of *values*, one per seed, with its interval; None for a single seed."""
    if len(values) < _TWO:
        return None
    known = np.array(values, dtype=np.float64)
    return _estimate(known, known, lambda x, _: np.mean(x, axis=-1))


def share_interval(share: float, runs: int) -> tuple[float, float]:
    """
    Return the 95 % interval of a share of *runs* seeds: Wilson's, which holds at 0 and 1 too.

    Source: Wilson 1927, Journal of the American Statistical Association 22.

    >>> [round(end, 4) for end in share_interval(0.0, 100)]
    [0.0, 0.037]
    """
    z = _NORMAL_QUANTILE
    middle = (share + z * z / (2 * runs)) / (1 + z * z / runs)
    half = z / (1 + z * z / runs) * (share * (1 - share) / runs + (z / (2 * runs)) ** 2) ** 0.5
    return max(middle - half, 0.0), min(middle + half, 1.0)


def _tail_mean(values: _Floats) -> Any:
    count = math.ceil(values.shape[-1] / _TAIL_OF)
    return np.sort(values, axis=-1)[..., -count:].mean(axis=-1)


def _estimate(one: _Floats, other: _Floats, of: Callable[[_Floats, _Floats], Any]) -> Estimate:
    rows = np.random.Generator(np.random.PCG64(_SEED)).integers(
        0, len(one), size=(RESAMPLES, len(one))
    )
    low, high = np.quantile(of(one[rows], other[rows]), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(of(one, other)), float(low), float(high))
