"""Which leg of a due cross account the next tranche is cut from."""

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Final

import attrs


@attrs.frozen
class LegView:
    """
    A leg as the venue sees it when it is about to cut a tranche.

    Attributes:
        loss_uusd: Unrealised loss at the mark; negative is a profit.
        value_uusd: What the book would take of the tranche now, at the market price.
        slippage_uusd: What taking it would cost against the market price.
        release_uusd: Maintenance margin that it would set free.
    """

    loss_uusd: int
    value_uusd: int
    slippage_uusd: int
    release_uusd: int


def first_leg(legs: Sequence[LegView], rule: str) -> int:
    """
    Return the index of the leg that goes first, the first of equals.

    `largest_release`: most maintenance margin set free per dollar of slippage. `largest_loss`:
    largest unrealised loss. `most_liquid`: least slippage per dollar; a leg that nobody would take
    any of comes last.

    >>> first_leg([LegView(5, 100, 2, 4), LegView(9, 100, 3, 5)], "largest_release")
    0
    >>> first_leg([LegView(5, 100, 2, 4), LegView(9, 100, 3, 5)], "largest_loss")
    1
    """
    score = _SCORES[rule]
    return max(range(len(legs)), key=lambda index: (score(legs[index]), -index))


def _release(leg: LegView) -> Fraction:
    return Fraction(leg.release_uusd, max(leg.slippage_uusd, 1))


def _loss(leg: LegView) -> Fraction:
    return Fraction(leg.loss_uusd)


def _liquidity(leg: LegView) -> Fraction:
    if not leg.value_uusd:
        return Fraction(-(10**18))
    return -Fraction(leg.slippage_uusd, leg.value_uusd)


_SCORES: Final[Mapping[str, Callable[[LegView], Fraction]]] = {
    "largest_release": _release,
    "largest_loss": _loss,
    "most_liquid": _liquidity,
}
