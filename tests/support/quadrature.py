"""Numerical integration that knows nothing of the code under test."""

import math
from collections.abc import Callable

_STEP = 1.0 / 64.0
_REACH = 4.0


def integral(function: Callable[[float], float], start: float, end: float) -> float:
    """
    Integrate by the double-exponential rule (Takahasi, Mori 1974), split at zero.

    It converges exponentially even where a power has no derivative at an end.
    """
    if start < 0.0 < end or end < 0.0 < start:
        return integral(function, start, 0.0) + integral(function, 0.0, end)
    half = (end - start) / 2.0
    terms = []
    for number in range(-round(_REACH / _STEP), round(_REACH / _STEP) + 1):
        t = number * _STEP
        inner = math.pi / 2.0 * math.sinh(t)
        # The distance to the nearer end, without cancellation.
        share = math.exp(-abs(inner)) / math.cosh(inner)
        point = start + half * share if inner < 0.0 else end - half * share
        weight = math.pi / 2.0 * math.cosh(t) / math.cosh(inner) ** 2
        terms.append(weight * function(point))
    return half * _STEP * math.fsum(terms)
