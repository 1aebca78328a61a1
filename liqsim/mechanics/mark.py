"""
The mark price: what a venue makes of the index and of the price of its own book.

A pure rule over what has landed. Both prices sound, the mark is a blend of them, held near the
book's price by a guard; with a thin book it is the index and what the book used to stand above it;
with a stale index the book's price, held near the last index. A last clamp bounds its step.
"""

from typing import Final

import attrs

from liqsim.events import MarkBasis
from liqsim.events.schema import PREMIUM_MOST_E9
from liqsim.scenario.model import Mark
from liqsim.units import BOUND, RATIO_SCALE, ceil_div
from liqsim.world.markets import MarkInputs

PREMIUM_SCALE: Final = 10**9


@attrs.frozen
class Marked:
    """
    A mark, and how it came about.

    Attributes:
        price_e8: The mark.
        basis: Which part of the rule decided.
        shows_us: The instant just before which the displacement stood that it shows.
    """

    price_e8: int
    basis: MarkBasis
    shows_us: int


def marked(rule: Mark, inputs: MarkInputs, *, last_e8: int, now_us: int, depth_e6: int) -> Marked:
    """
    Return the mark that *rule* makes of *inputs*.

    Args:
        rule: The rule.
        inputs: The newest prices that have landed, at least one of them.
        last_e8: The last mark; 0 before the first.
        now_us: The present instant.
        depth_e6: Depth as a multiple of the calm depth.
    """
    price, basis, shows_us = _unclamped(rule, inputs, now_us, depth_e6)
    if rule.max_step_e6 is not None and last_e8:
        clamped = _within(price, last_e8, rule.max_step_e6)
        if clamped != price:
            price, basis = clamped, MarkBasis.CLAMPED
    return Marked(min(max(price, 1), BOUND - 1), basis, shows_us)


def _unclamped(
    rule: Mark, inputs: MarkInputs, now_us: int, depth_e6: int
) -> tuple[int, MarkBasis, int]:
    index, book = inputs.index_e8, inputs.book_e8
    of_index, of_book = inputs.index_shows_us, inputs.book_shows_us
    if not book:
        return index, MarkBasis.INDEX, of_index
    if not index:
        return book, MarkBasis.BOOK, of_book
    if _is_thin(rule, depth_e6):
        # What the premium shows is older and a mean of many instants: the index is named.
        model = index * (PREMIUM_SCALE + inputs.premium_e9) // PREMIUM_SCALE
        return model, MarkBasis.MODEL, of_index
    if _is_stale(rule, inputs, now_us):
        banded = _within(book, index, rule.band_e6)
        if banded != book:
            return banded, MarkBasis.BANDED, of_index
        return book, MarkBasis.BOOK, of_book
    return _of_both(rule, inputs)


def _of_both(rule: Mark, inputs: MarkInputs) -> tuple[int, MarkBasis, int]:
    """Return what the rule makes of two prices that are sound."""
    index, book = inputs.index_e8, inputs.book_e8
    of_index, of_book = inputs.index_shows_us, inputs.book_shows_us
    price, basis, shows_us = index, MarkBasis.INDEX, of_index
    if rule.book_weight_e6:
        rest_e6 = RATIO_SCALE - rule.book_weight_e6
        price = (index * rest_e6 + book * rule.book_weight_e6) // RATIO_SCALE
        basis = MarkBasis.BLEND
        shows_us = max(of_index, of_book) if rest_e6 else of_book
    if rule.guard_e6 is not None:
        guarded = _within(price, book, rule.guard_e6)
        if guarded != price:
            return guarded, MarkBasis.GUARDED, of_book
    return price, basis, shows_us


def premium_e9(rule: Mark, inputs: MarkInputs, book_e8: int, *, now_us: int, depth_e6: int) -> int:
    """
    Return the smoothed premium once the book's price has been sampled at *book_e8*.

    It begins at zero, and stays as it is while either price is not sound.

    Args:
        rule: The rule.
        inputs: What had landed before the sample.
        book_e8: The sample.
        now_us: The present instant.
        depth_e6: Depth as a multiple of the calm depth.
    """
    index, last = inputs.index_e8, inputs.premium_e9
    if not index or _is_thin(rule, depth_e6) or _is_stale(rule, inputs, now_us):
        return last
    newest = min((book_e8 - index) * PREMIUM_SCALE // index, PREMIUM_MOST_E9)
    if not rule.smoothing_us:
        return newest
    kept: float = 0.5 ** ((now_us - inputs.book_at_us) / rule.smoothing_us)
    return newest + round((last - newest) * kept)


def _is_thin(rule: Mark, depth_e6: int) -> bool:
    return depth_e6 < rule.min_depth_e6


def _is_stale(rule: Mark, inputs: MarkInputs, now_us: int) -> bool:
    return 0 < rule.max_index_age_us < now_us - inputs.index_at_us


def _within(price_e8: int, centre_e8: int, share_e6: int) -> int:
    """Return the price nearest to *price_e8* within a share of another from it."""
    low = ceil_div(centre_e8 * (RATIO_SCALE - share_e6), RATIO_SCALE)
    high = centre_e8 * (RATIO_SCALE + share_e6) // RATIO_SCALE
    return min(max(price_e8, low), high)
