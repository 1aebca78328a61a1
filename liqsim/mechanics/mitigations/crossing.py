"""Who meets whom when due positions of both sides are crossed."""

from collections.abc import Iterable


def matches_e8(wanted_e8: int, waiting: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """
    Return who of those *waiting* is met, and by how many units, until none of *wanted_e8* is left.

    Args:
        wanted_e8: Units of the slice that asks.
        waiting: Account and units of its slice, in the order in which they are met.

    >>> matches_e8(10, [(7, 4), (9, 20), (8, 1)]), matches_e8(10, [])
    ([(7, 4), (9, 6)], [])
    """
    found, left = [], wanted_e8
    for account, units in waiting:
        if not left:
            break
        found.append((account, min(units, left)))
        left -= found[-1][1]
    return found
