"""
Whose stake is slashed for a hole, and by how much.

A hole takes no more than a share of what each has staked at that instant; all pay in proportion to
that, so that no stake pays before another.
"""

from collections.abc import Sequence

import attrs

from liqsim.units import RATIO_SCALE


@attrs.frozen
class Slash:
    """
    What one staker pays.

    Attributes:
        place: Its place among the stakers.
        basis_uusd: The most that the hole could take of its stake.
        amount_uusd: How much it pays, above zero.
    """

    place: int
    basis_uusd: int
    amount_uusd: int


def decide_slashing(stakes_uusd: Sequence[int], max_share_e6: int, hole_uusd: int) -> list[Slash]:
    """
    Return who pays what of a hole.

    The most of each stake is rounded down. Parts are rounded down too; the micro-dollars that are
    left over go one each to the largest remainders, ties to the first. Nobody pays more than its
    most.

    >>> [(s.place, s.basis_uusd, s.amount_uusd) for s in decide_slashing([100, 50], 500_000, 20)]
    [(0, 50, 13), (1, 25, 7)]
    """
    most = [stake * max_share_e6 // RATIO_SCALE for stake in stakes_uusd]
    whole = sum(most)
    paid = min(hole_uusd, whole)
    if not paid:
        return []
    parts = [divmod(paid * basis, whole) for basis in most]
    left = paid - sum(part for part, _ in parts)
    first = sorted(range(len(parts)), key=lambda place: (-parts[place][1], place))[:left]
    amounts = [part + (place in first) for place, (part, _) in enumerate(parts)]
    return [
        Slash(place, basis, amount)
        for place, (basis, amount) in enumerate(zip(most, amounts, strict=True))
        if amount
    ]
