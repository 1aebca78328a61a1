"""
Why a bucket was due: what of it is displacement, and whose.

A shadow mark is what a market's oracle would have made of prices without displacement. A trigger
that is due there too is of first order; one that only a change of the rules made due is
rule-induced; what becomes of any other, later shadow marks tell.
"""

from collections.abc import Callable, Sequence
from itertools import combinations
from math import factorial
from typing import Final

import attrs

from liqsim.events import Standing
from liqsim.mechanics.margin import MARGIN_SCALE, Pieces, phi
from liqsim.world.markets import BookState, Flow

LOG_SCALE: Final = 10**9
"""Log points, in which displacement is recorded, per unit of log price."""


def standing_of(*, is_due_under_start: bool, is_due_on_shadow: bool) -> Standing:
    """
    Return how a trigger stands; that a rule made it due goes before all else.

    Args:
        is_due_under_start: Whether it is due at the marks under the maintenance of the start.
        is_due_on_shadow: Whether it is due at the shadow marks, or the same balances were before.
    """
    if not is_due_under_start:
        return Standing.RULE_INDUCED
    return Standing.FIRST_ORDER if is_due_on_shadow else Standing.OPEN


def other_assets_uusd(
    *,
    margin: int,
    shadow_margin: int,
    pieces: Pieces,
    mark_e8: int,
    shadow_e8: int,
) -> int:
    """
    Return the margin that a bucket lost to displacement in the marks of its other legs.

    Args:
        margin: At the marks, in USD x 1e-22.
        shadow_margin: At the shadow marks, likewise.
        pieces: Its leg in the market that made it due.
        mark_e8: Mark there.
        shadow_e8: Shadow mark there.

    Returns:
        Micro-USD, rounded down; negative is gained.
    """
    lost_here = phi(pieces, shadow_e8) - phi(pieces, mark_e8)
    return (shadow_margin - margin - lost_here) // MARGIN_SCALE


def displacement_by_flow_e9(
    displacement: Callable[[BookState, int], float], book: BookState, at_us: int
) -> tuple[int, ...]:
    """
    Return the displacement of a book at *at_us* by whose flow made it, one number per `Flow`.

    Each is the Shapley value of its flow: what the displacement gains when the flow is added,
    averaged over the orders in which flows could be added. Parts sum to the rounded whole: forced
    flow has what rounding leaves.
    """
    whole = displacement(book, at_us)

    def of(flows: Sequence[Flow]) -> float:
        if not flows:
            return 0.0
        if len(flows) == len(Flow):
            return whole  # In sum the parts may be a rounding off, which dust may hang on.
        consumed = sum(book.part(flow)[0] for flow in flows)
        net_e8 = sum(book.part(flow)[1] for flow in flows)
        return displacement(attrs.evolve(book, consumed=consumed, net_e8=net_e8), at_us)

    parts = [0] * len(Flow)
    for flow in Flow:
        if flow is not Flow.FORCED and book.part(flow) != (0.0, 0):
            parts[flow] = round(_shapley(flow, of) * LOG_SCALE)
    parts[Flow.FORCED] = round(whole * LOG_SCALE) - sum(parts)
    return tuple(parts)


def _shapley(flow: Flow, value: Callable[[Sequence[Flow]], float]) -> float:
    others = [other for other in Flow if other is not flow]
    count, share = len(Flow), 0.0
    for size in range(count):
        weight = factorial(size) * factorial(count - 1 - size) / factorial(count)
        for before in combinations(others, size):
            share += weight * (value((*before, flow)) - value(before))
    return share
