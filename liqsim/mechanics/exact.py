"""Products, quotients and sums of many integers, exact where an int64 would overflow."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

_SURE_BELOW: Final = 2.0**50
"""Below this, a float quotient of five roundings is less than one off."""

_SMALL_DIVISOR: Final = 2**61

_PART: Final = 10**6


def divmod_exact(values: Ints, factors: Ints | int, divisors: Ints | int) -> tuple[Ints, Ints]:
    """
    Return the exact quotients and remainders of *values* x *factors* / *divisors*.

    Products need not fit an int64; nothing is negative. Where quotient and divisor are small
    enough, a float quotient is at most one off and the remainder, exact modulo 2 ** 64, says which
    way; elsewhere Python integers decide.
    """
    factor_column = np.broadcast_to(np.asarray(factors, dtype=np.int64), values.shape)
    if not isinstance(divisors, int):
        divisor_column = np.asarray(divisors, dtype=np.int64)
    elif divisors < _SMALL_DIVISOR:
        divisor_column = np.full(values.shape, divisors, dtype=np.int64)
    else:
        return _divmod_slowly(values.tolist(), factor_column.tolist(), [divisors] * len(values))
    quotient = values.astype(np.float64) * factor_column / divisor_column
    is_sure = (quotient < _SURE_BELOW) & (divisor_column < _SMALL_DIVISOR)
    quotients = np.where(is_sure, quotient, 0.0).astype(np.int64)
    # Unsigned products wrap by definition; the remainder lies within two divisors of zero.
    products = values.astype(np.uint64) * factor_column.astype(np.uint64)
    subtracted = quotients.astype(np.uint64) * divisor_column.astype(np.uint64)
    remainders = (products - subtracted).astype(np.int64)
    step = (remainders >= divisor_column).astype(np.int64) - (remainders < 0)
    quotients += step
    remainders -= step * divisor_column
    rows = np.flatnonzero(~is_sure)
    if len(rows):
        quotients[rows], remainders[rows] = _divmod_slowly(
            values[rows].tolist(), factor_column[rows].tolist(), divisor_column[rows].tolist()
        )
    return quotients, remainders


def sum_exact(values: npt.NDArray[Any]) -> int:
    """
    Return the sum of many values without sign, which need not fit their type.

    >>> sum_exact(np.full(3, 2**62)) == 3 * 2**62
    True
    """
    return int((values // _PART).sum()) * _PART + int((values % _PART).sum())


def _divmod_slowly(values: list[int], factors: list[int], divisors: list[int]) -> tuple[Ints, Ints]:
    pairs = [divmod(v * f, d) for v, f, d in zip(values, factors, divisors, strict=True)]
    quotients, remainders = zip(*pairs, strict=True) if pairs else ((), ())
    return np.array(quotients, dtype=np.int64), np.array(remainders, dtype=np.int64)
