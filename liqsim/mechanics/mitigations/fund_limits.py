"""
What the insurance fund may pay now: no more than so much for a slice, nor in any span of time.

The same amount bounds the limit price of an order and what the fund pays for its fill, so that an
order is not sent to where nobody would pay for it.
"""

from collections.abc import Iterable, Sequence

import attrs

from liqsim.scenario.mitigations import FundLimits


@attrs.frozen
class Draw:
    """
    What the fund has paid.

    Attributes:
        at_us: When.
        market_id: For a position in this market.
        amount_uusd: How much.
    """

    at_us: int
    market_id: int
    amount_uusd: int


def drawn_uusd(spec: FundLimits, draws: Iterable[Draw], at_us: int) -> int:
    """
    Return what of *draws*, none of them after *at_us*, falls into the span that ends there.

    >>> spec = FundLimits("", "", True, 100, 100, 10)
    >>> drawn_uusd(spec, [Draw(3, 0, 40), Draw(9, 0, 50)], 12)
    90
    >>> drawn_uusd(spec, [Draw(3, 0, 40), Draw(9, 0, 50)], 13)
    50
    """
    return sum(draw.amount_uusd for draw in draws if draw.at_us > at_us - spec.span_us)


def payable_uusd(spec: FundLimits, used_uusd: int, paid_uusd: int) -> int:
    """
    Return the most that the fund may pay now.

    Args:
        spec: The limit.
        used_uusd: What it has paid in the span.
        paid_uusd: What of that, or before, was for the same slice.

    >>> spec = FundLimits("", "", True, 60, 100, 10)
    >>> payable_uusd(spec, 0, 0), payable_uusd(spec, 70, 20), payable_uusd(spec, 100, 0)
    (60, 30, 0)
    """
    return max(min(spec.max_draw_uusd - paid_uusd, spec.max_window_uusd - used_uusd), 0)


def kept_for(spec: FundLimits, draws: Sequence[Draw], at_us: int) -> list[Draw]:
    """Return those of *draws* that a span may still hold at *at_us* or later."""
    return [draw for draw in draws if draw.at_us > at_us - spec.span_us]
