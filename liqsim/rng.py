"""
Keyed randomness: a draw is a function of (seed, actor, purpose, entity, index), of nothing else.

A `Stream` is named by seed, actor and purpose. Its 128-bit key is the BLAKE2b hash of the names;
`at` hashes (entity, index) under that key for single draws, `block` runs the counter-based
Philox-4x64 generator (Salmon and others, SC 2011) under the same key for long runs of draws.
Adding an actor, or drawing more or less elsewhere, shifts no other draw.
"""

import math
from hashlib import blake2b
from statistics import NormalDist
from struct import Struct

import numpy as np
import numpy.typing as npt

_PACK = Struct("<qq").pack
_STANDARD_NORMAL = NormalDist()
_inverse_normal = _STANDARD_NORMAL.inv_cdf

TABLE_BITS = 16
"""Bulk draws of noise and latency pick one of 2**16 equally likely quantiles."""


def key_of(seed: int, *names: str) -> bytes:
    """Return the 128-bit key of *names* under *seed*."""
    text = "\x1f".join((str(seed), *names))
    return blake2b(text.encode(), digest_size=16).digest()


class Stream:
    """All draws of one actor for one purpose."""

    def __init__(self, seed: int, actor: str, purpose: str) -> None:
        self._key = key_of(seed, actor, purpose)

    def at(self, entity: int, index: int) -> float:
        """Return the uniform draw in (0, 1) of (*entity*, *index*); both fit an int64."""
        digest = blake2b(_PACK(entity, index), key=self._key, digest_size=8).digest()
        return ((int.from_bytes(digest, "little") >> 12) + 0.5) * 2.0**-52

    def normal_at(self, entity: int, index: int) -> float:
        """Return the standard normal draw of (*entity*, *index*)."""
        return _inverse_normal(self.at(entity, index))

    def block(self, start: int, count: int) -> npt.NDArray[np.uint64]:
        """Return the raw 64-bit draws of index *start* … *start* + *count* - 1."""
        key = np.frombuffer(self._key, dtype=np.uint64)
        skip = start % 4
        generator = np.random.Philox(key=key, counter=[start // 4, 0, 0, 0])
        return generator.random_raw(count + skip)[skip:]

    def uniforms(self, start: int, count: int) -> list[float]:
        """Return uniforms in (0, 1) of index *start* … as Python floats."""
        raw = self.block(start, count)
        return (((raw >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52).tolist()  # type: ignore[no-any-return]

    def normals(self, start: int, count: int) -> list[float]:
        """Return standard normals of index *start* …, by scalar inversion."""
        return [_inverse_normal(u) for u in self.uniforms(start, count)]

    def quantiles(self, start: int, count: int) -> npt.NDArray[np.int64]:
        """Return rows of a quantile table (0 … 2**16 - 1) of index *start* …."""
        return (self.block(start, count) >> np.uint64(64 - TABLE_BITS)).astype(np.int64)


def _midpoints() -> list[float]:
    size = 1 << TABLE_BITS
    return [(row + 0.5) / size for row in range(size)]


_NORMAL_TABLE: list[float] = []


def normal_table() -> list[float]:
    """Return the 2**16 midpoint quantiles of the standard normal, computed once by scalar math."""
    if not _NORMAL_TABLE:
        _NORMAL_TABLE.extend(_inverse_normal(u) for u in _midpoints())
    return _NORMAL_TABLE


P99_NORMAL = _inverse_normal(0.99)


def lognormal_us(median_us: int, p99_us: int, normal: float) -> int:
    """
    Return the lognormal duration at a standard *normal* quantile, given median and 99th percentile.

    >>> lognormal_us(2_000_000, 15_000_000, 0.0)
    2000000
    """
    if p99_us == median_us:
        return median_us
    sigma = math.log(p99_us / median_us) / P99_NORMAL
    return round(median_us * math.exp(sigma * normal))
