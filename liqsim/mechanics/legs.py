"""Which leg of a due cross account the next tranche is cut from."""

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Final

import attrs

from liqsim.mechanics.liquidity import Fill
from liqsim.mechanics.margin import MARGIN_SCALE, MarginRule, maintenance_at
from liqsim.units import NOTIONAL_DIVISOR


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


def leg_view(
    *,
    position_e8: int,
    entry_e8: int,
    mark_e8: int,
    rule: MarginRule,
    market_price_e8: int,
    fill: Fill | None,
) -> LegView:
    """
    Return the view of a leg of which the book would take *fill* now.

    >>> leg_view(position_e8=10 * 10**8, entry_e8=100 * 10**8, mark_e8=90 * 10**8,
    ...          rule=MarginRule(((0, 10_000),)), market_price_e8=89 * 10**8,
    ...          fill=Fill(-4 * 10**8, 88 * 10**8, 87 * 10**8))
    LegView(loss_uusd=100000000, value_uusd=356000000, slippage_uusd=4000000, release_uusd=3600000)
    """
    taken = 0 if fill is None else abs(fill.quantity_e8)
    slippage = 0 if fill is None else taken * abs(fill.price_e8 - market_price_e8)
    size = abs(position_e8)
    release = maintenance_at(rule, size, mark_e8) - maintenance_at(rule, size - taken, mark_e8)
    return LegView(
        loss_uusd=position_e8 * (entry_e8 - mark_e8) // NOTIONAL_DIVISOR,
        value_uusd=taken * market_price_e8 // NOTIONAL_DIVISOR,
        slippage_uusd=slippage // NOTIONAL_DIVISOR,
        release_uusd=release // MARGIN_SCALE,
    )


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
