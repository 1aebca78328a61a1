"""
An index of safe radii: whose margin may have changed its sign, without looking at anyone else.

A bucket with several risky legs has no trigger price. It has a radius: while no log price moves by
more, its margin cannot reach zero. Members are kept in bands by powers of two; all of a band share
one anchor, the prices at which the band was last looked through, and are looked at again once a
price has left the band around it. Candidates leave the index; the caller confirms in integers and
puts them back if it must.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_LOWEST: Final = -40
"""Band of whoever is nearer to zero than a float can tell: looked at after every move."""
_HIGHEST: Final = 10
_OUTSIDE: Final = -128
_RADIUS_ERROR: Final = 1e-9


def safe_radius(margin: Floats, value: Floats) -> Floats:
    """
    Return how far every log price may move before *margin* can change its sign; 0 where unsure.

    Args:
        margin: Micro-USD, shape (buckets,).
        value: Sum of the legs' absolute shares in it, micro-USD, shape (buckets,).

    Returns:
        Natural-log distances, shape (buckets,); infinite without a leg.

    A move by r changes a leg's share of the margin by at most |share| (e**r - 1), so that the
    legs' absolute shares, summed up in *value*, bound the change of the margin.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        radius = np.log1p(np.abs(margin) / value) * (1.0 - _RADIUS_ERROR)
    return np.where(value > 0.0, radius, np.inf)


class RadiusIndex:
    """
    Members by safe radius.

    Args:
        member_count: Members are numbers below this; a higher one makes room for itself.
        radii_of: Returns the safe radius of members at the present prices, 0 for who is due.
    """

    def __init__(self, member_count: int, radii_of: Callable[[Ints], Floats]) -> None:
        self._radii_of = radii_of
        self._band_of = np.full(member_count, _OUTSIDE, dtype=np.int8)
        self._bands: dict[int, _Band] = {}

    def add(self, members: Ints, log_prices: Sequence[float]) -> None:
        """Put *members* where their present radius belongs; who is in already is moved."""
        missing = int(members.max(initial=-1)) + 1 - len(self._band_of)
        if missing > 0:
            more = max(missing, len(self._band_of))
            self._band_of = np.append(self._band_of, np.full(more, _OUTSIDE, dtype=np.int8))
        self._place(members, self._radii_of(members), log_prices)

    def remove(self, member: int) -> None:
        """Drop *member* if it is there."""
        self._band_of[member] = _OUTSIDE

    @property
    def has_unsure(self) -> bool:
        """Whether somebody is nearer to zero than a float can tell, and is reached by no move."""
        return _LOWEST in self._bands

    def reached(self, log_prices: Sequence[float]) -> list[int]:
        """Take out and return the members whose margin may have changed its sign, in no order."""
        left = [number for number, band in self._bands.items() if band.is_left(log_prices)]
        if not left:
            return []
        members = np.concatenate([self._members(number) for number in left])
        for number in left:
            del self._bands[number]
        radii = self._radii_of(members)
        near = radii <= 0.0
        self._place(members[~near], radii[~near], log_prices)
        candidates: list[int] = members[near].tolist()
        self._band_of[members[near]] = _OUTSIDE
        return candidates

    def _members(self, number: int) -> Ints:
        members = np.concatenate(self._bands[number].members)
        # Who was moved away is stale here; who came back is here twice.
        return np.unique(members[self._band_of[members] == number])

    def _place(self, members: Ints, radii: Floats, log_prices: Sequence[float]) -> None:
        if not len(members):
            return
        # frexp(x) = (m, e) with 0.5 <= m < 1, so that 2 ** (e - 1) <= x.
        numbers = np.clip(np.frexp(np.minimum(radii, 2.0**_HIGHEST))[1] - 1, _LOWEST, _HIGHEST)
        numbers[radii <= 0.0] = _LOWEST
        for number in np.unique(numbers).tolist():
            chosen = numbers == number
            band = self._band(number, log_prices)
            fits = radii[chosen] >= 2.0**number + band.distance(log_prices)
            self._put(members[chosen][fits], number, log_prices)
            # One band lower the anchor is at most half as far away, so there it fits.
            self._put(members[chosen][~fits], max(number - 1, _LOWEST), log_prices)

    def _put(self, members: Ints, number: int, log_prices: Sequence[float]) -> None:
        if len(members):
            self._band(number, log_prices).members.append(members)
            self._band_of[members] = number

    def _band(self, number: int, log_prices: Sequence[float]) -> "_Band":
        band = self._bands.get(number)
        if band is None:
            band = self._bands[number] = _Band(number, tuple(log_prices))
        # A band that prices have left must be looked through before it takes anybody in.
        assert number == _LOWEST or not band.is_left(log_prices)
        return band


class _Band:
    """Members whose radius is at least 2 ** number around the anchor."""

    def __init__(self, number: int, anchor: tuple[float, ...]) -> None:
        self._reach = 2.0**number if number > _LOWEST else -1.0
        self._anchor = anchor
        self.members: list[Ints] = []

    def distance(self, log_prices: Sequence[float]) -> float:
        return max(abs(now - then) for now, then in zip(log_prices, self._anchor, strict=True))

    def is_left(self, log_prices: Sequence[float]) -> bool:
        # Asked of every band at every mark, so without a generator.
        for now, then in zip(log_prices, self._anchor, strict=True):
            if abs(now - then) > self._reach:
                return True
        return False
