"""A judge of mark prices: works every mark out again from what has landed, in fractions."""

import math
from collections import Counter
from fractions import Fraction

from liqsim.events import BookSampled, MarkBasis, MarkFeed, OracleUpdated, ShadowUpdated
from liqsim.scenario.model import Mark
from liqsim.units import BOUND

_E6 = 10**6
_E9 = 10**9


class _Side:
    """What has landed, with or without displacement: (price, instant, what it shows) each."""

    def __init__(self) -> None:
        self.index: tuple[int, int, int] | None = None
        self.book: tuple[int, int, int] | None = None
        self.premium = 0
        self.last = 0


class MarkJudge:
    """
    Judges the marks and shadow marks of one market.

    Args:
        rule: Its mark rule.
        census: Counts which parts of the rule decided.
    """

    def __init__(self, rule: Mark, census: Counter[str]) -> None:
        self._rule = rule
        self._census = census
        self._mark, self._shadow = _Side(), _Side()

    @property
    def premium_e9(self) -> int:
        """The smoothed premium."""
        return self._mark.premium

    def landed(self, event: OracleUpdated | BookSampled, at_us: int, depth_e6: int) -> None:
        """Judge the mark that an event gives the market, and its shadow mark."""
        mark, shadow = self._mark, self._shadow
        if isinstance(event, OracleUpdated):
            assert event.book_price_e8 == (mark.book or (0,))[0]
            mark.index = event.price_e8, at_us, event.shows_at_us
            if event.shadow_price_e8:
                shadow.index = event.shadow_price_e8, at_us, 0
        else:
            assert event.index_price_e8 == (mark.index or (0,))[0]
            self._sampled(mark, event.price_e8, at_us, event.sampled_at_us, depth_e6)
            assert event.premium_e9 == mark.premium
            if event.shadow_price_e8:
                self._sampled(shadow, event.shadow_price_e8, at_us, 0, depth_e6)
            assert event.shadow_premium_e9 == shadow.premium
            self._census["premium"] += event.premium_e9 != 0
        last = mark.last
        right = self._made(mark, at_us, depth_e6)
        assert (event.mark_price_e8, event.basis, event.mark_shows_at_us) == right
        self._bounded(event, last)
        if event.shadow_price_e8:
            self._made(shadow, at_us, depth_e6)
        assert event.shadow_mark_e8 == shadow.last
        self._census[f"mark: {event.basis.name.lower()}"] += 1
        self._census["mark shows the book"] += (
            mark.book is not None and event.mark_shows_at_us == mark.book[2] > 0
        )

    def shadow_landed(self, event: ShadowUpdated, at_us: int, depth_e6: int) -> None:
        """Judge a shadow mark that moves by itself."""
        if event.feed is MarkFeed.ORACLE:
            self._shadow.index = event.price_e8, at_us, 0
        else:
            self._sampled(self._shadow, event.price_e8, at_us, 0, depth_e6)
            self._census["shadow sample by itself"] += 1
        assert event.premium_e9 == self._shadow.premium
        self._made(self._shadow, at_us, depth_e6)
        assert event.shadow_mark_e8 == self._shadow.last

    def _bounded(self, event: OracleUpdated | BookSampled, last: int) -> None:
        """Check the promises of guard and clamp by themselves."""
        rule, mark = self._rule, event.mark_price_e8
        if rule.max_step_e6 is not None and last:
            assert abs(mark - last) * _E6 <= rule.max_step_e6 * last
        is_both = event.basis in {MarkBasis.INDEX, MarkBasis.BLEND, MarkBasis.GUARDED}
        if rule.guard_e6 is not None and is_both and self._mark.book:
            book = self._mark.book[0]
            assert abs(mark - book) * _E6 <= rule.guard_e6 * book

    def _is_sound(self, side: _Side, at_us: int, depth_e6: int) -> tuple[bool, bool]:
        """Return whether the index is fresh, and the book deep enough."""
        most = self._rule.max_index_age_us
        is_fresh = side.index is not None and (not most or at_us - side.index[1] <= most)
        return is_fresh, depth_e6 >= self._rule.min_depth_e6

    def _sampled(self, side: _Side, price: int, at_us: int, shows_us: int, depth_e6: int) -> None:
        if all(self._is_sound(side, at_us, depth_e6)):
            assert side.index is not None
            newest = (price - side.index[0]) * _E9 // side.index[0]
            since = side.book[1] if side.book else 0
            half_life = self._rule.smoothing_us
            kept = 0.5 ** ((at_us - since) / half_life) if half_life else 0.0
            side.premium = newest + round((side.premium - newest) * kept)
        side.book = price, at_us, shows_us

    def _made(self, side: _Side, at_us: int, depth_e6: int) -> tuple[int, MarkBasis, int]:
        price, basis, shows = self._unclamped(side, at_us, depth_e6)
        step = self._rule.max_step_e6
        if step is not None and side.last:
            clamped = _nearest(price, side.last, step)
            price, basis = clamped, basis if clamped == price else MarkBasis.CLAMPED
        side.last = sorted((1, price, BOUND - 1))[1]
        return side.last, basis, shows

    def _unclamped(self, side: _Side, at_us: int, depth_e6: int) -> tuple[int, MarkBasis, int]:
        rule, index, book = self._rule, side.index, side.book
        if book is None or index is None:
            (price, _, shows), basis = (
                (index, MarkBasis.INDEX) if book is None else (book, MarkBasis.BOOK)
            )  # type: ignore[misc]
            return price, basis, shows
        is_fresh, is_deep = self._is_sound(side, at_us, depth_e6)
        if not is_deep:
            model = Fraction(index[0]) * (1 + Fraction(side.premium, _E9))
            return math.floor(model), MarkBasis.MODEL, index[2]
        if not is_fresh:
            near = _nearest(book[0], index[0], rule.band_e6)
            if near == book[0]:
                return near, MarkBasis.BOOK, book[2]
            return near, MarkBasis.BANDED, index[2]
        weight = Fraction(rule.book_weight_e6, _E6)
        price, basis, shows = index[0], MarkBasis.INDEX, index[2]
        if weight:
            price = math.floor(weight * book[0] + (1 - weight) * index[0])
            basis, shows = MarkBasis.BLEND, book[2] if weight == 1 else max(index[2], book[2])
        if rule.guard_e6 is not None:
            near = _nearest(price, book[0], rule.guard_e6)
            if near != price:
                return near, MarkBasis.GUARDED, book[2]
        return price, basis, shows


def _nearest(price: int, centre: int, share_e6: int) -> int:
    """Return the whole price within a share of *centre* from it that is nearest to *price*."""
    reach = centre * share_e6 // _E6  # The centre is whole, so both bounds round alike.
    return sorted((centre - reach, price, centre + reach))[1]
