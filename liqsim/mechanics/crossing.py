"""
An index of price levels: who is crossed by a move, without looking at anyone else.

Members loaded in bulk sit in sorted arrays that a cursor walks; members added later sit in heaps.
Removing or moving a member only raises its generation: stale entries are skipped when met.
A crossed member leaves the index; the caller confirms in integers and puts it back if it must.
"""

from heapq import heappop, heappush

import numpy as np
import numpy.typing as npt

from liqsim.world.views import int_view


class CrossingIndex:
    """Members with a falling level (crossed at or below it) or a rising one (at or above)."""

    def __init__(self) -> None:
        self._generation: dict[int, int] = {}
        self._falling: list[tuple[int, int, int]] = []  # (-level, member, generation)
        self._rising: list[tuple[int, int, int]] = []
        self._bulk: list[_Sorted] = []

    def load(
        self, members: npt.NDArray[np.int64], levels: npt.NDArray[np.int64], *, is_falling: bool
    ) -> None:
        """Add many members at once."""
        self._bulk.append(_Sorted(members, levels, is_falling=is_falling))

    def add(self, member: int, level: int, *, is_falling: bool) -> None:
        """Add *member*, or move it to another level."""
        self.put(
            member, falling=level if is_falling else None, rising=None if is_falling else level
        )

    def put(self, member: int, *, falling: int | None, rising: int | None) -> None:
        """Add *member*, or move it, with a level on each side, on one, or on none."""
        generation = self._generation.get(member, 0) + 1
        self._generation[member] = generation
        if falling is not None:
            heappush(self._falling, (-falling, member, generation))
        if rising is not None:
            heappush(self._rising, (rising, member, generation))

    def remove(self, member: int) -> None:
        """Drop *member* if it is there."""
        self._generation[member] = self._generation.get(member, 0) + 1

    def crossed(self, price_e8: int) -> list[int]:
        """Take out and return the members whose level *price_e8* has reached, in no order."""
        current = self._generation.get
        members = [
            member for run in self._bulk for member in run.crossed(price_e8) if not current(member)
        ]
        for member in members:
            self.remove(member)
        for heap, bound in ((self._falling, -price_e8), (self._rising, price_e8)):
            while heap and heap[0][0] <= bound:
                _, member, generation = heappop(heap)
                if current(member) == generation:
                    members.append(member)
                    self.remove(member)  # At once: it may stand on the other side too.
        return members


class _Sorted:
    """Members loaded in bulk, in the order in which a move reaches them."""

    def __init__(
        self, members: npt.NDArray[np.int64], levels: npt.NDArray[np.int64], *, is_falling: bool
    ) -> None:
        keys = -levels if is_falling else levels
        order = np.argsort(keys, kind="stable")
        self._keys = int_view(np.ascontiguousarray(keys[order]))
        self._members = int_view(np.ascontiguousarray(members[order]))
        self._sign = -1 if is_falling else 1
        self._cursor = 0

    def crossed(self, price_e8: int) -> list[int]:
        cursor = start = self._cursor
        bound, keys, size = self._sign * price_e8, self._keys, len(self._keys)
        while cursor < size and keys[cursor] <= bound:
            cursor += 1
        self._cursor = cursor
        return self._members[start:cursor].tolist()
