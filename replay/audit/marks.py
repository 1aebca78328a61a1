"""What the mark rule makes of what has landed, and samples of the venue's own book."""

import math
from fractions import Fraction
from typing import Final

from liqsim.events import (
    NO_CAUSE,
    BookSampled,
    Entry,
    MarkBasis,
    MarkFeed,
    OracleUpdated,
    ShadowUpdated,
    UpdateReason,
)
from replay.audit.book import Book, MarkParts
from replay.audit.findings import e8
from replay.terms import MarkTerms

_E9: Final = 10**9
_BOUND: Final = 10**18
_PREMIUM_SLACK: Final = 1e-9
"""Relative difference between two computations of a smoothed premium, beside two of its units."""


def index_landed(book: Book, entry: Entry, e: OracleUpdated) -> None:
    """Check the mark and the shadow mark that an oracle update leads to."""
    parts, shadow = book.mark_parts[e.market_id], book.shadow_parts[e.market_id]
    book.expect("mark_rule", entry, "book_price_e8", e.book_price_e8, parts.book_e8)
    _take_index(parts, entry, e.price_e8, e.shows_at_us)
    if e.shadow_price_e8:
        _take_index(shadow, entry, e.shadow_price_e8, 0)
    _check_marks(book, entry, e)


def book_sampled(book: Book, entry: Entry, e: BookSampled) -> None:
    """Check a sample of the book, and the mark and the shadow mark that it leads to."""
    book.check_published(entry, e.sampled_at_us, e.published_at_us)
    if e.market_id not in book.depths:
        return  # Reported as owner_unknown.
    parts, shadow = book.mark_parts[e.market_id], book.shadow_parts[e.market_id]
    terms = book.terms.markets[e.market_id].mark
    _check_sample(book, entry, e, parts, terms)
    book.expect("mark_rule", entry, "index_price_e8", e.index_price_e8, parts.index_e8)
    _take_sample(book, entry, e.market_id, parts, e.price_e8, e.premium_e9)
    parts.book_shows_us = e.sampled_at_us
    if e.shadow_price_e8:
        _check_undisplaced(book, entry, e.market_id, e.sampled_at_us, e.shadow_price_e8)
        _take_sample(book, entry, e.market_id, shadow, e.shadow_price_e8, e.shadow_premium_e9)
    else:
        name = "shadow_premium_e9"
        book.expect("mark_rule", entry, name, e.shadow_premium_e9, shadow.premium_e9)
    _check_marks(book, entry, e)


def shadow_landed(book: Book, entry: Entry, e: ShadowUpdated) -> None:
    """Check the shadow mark that an update without displacement leads to."""
    shadow, market = book.shadow_parts[e.market_id], book.terms.markets[e.market_id]
    terms = market.mark
    if e.feed is MarkFeed.ORACLE:
        _take_index(shadow, entry, e.price_e8, 0)
        book.expect("mark_rule", entry, "premium_e9", e.premium_e9, shadow.premium_e9)
    else:
        if not market.samples_book:
            message = f"nothing uses the book of market {e.market_id}"
            book.findings.add("book_price", entry.seq, message)
        _check_undisplaced(book, entry, e.market_id, e.sampled_at_us, e.price_e8)
        _take_sample(book, entry, e.market_id, shadow, e.price_e8, e.premium_e9)
    right, _, _ = _made(terms, shadow, entry.sim_time_us, book.depths[e.market_id].multiplier_e6)
    book.expect("mark_rule", entry, "shadow_mark_e8", e.shadow_mark_e8, right)
    shadow.mark_e8 = e.shadow_mark_e8


def _take_index(parts: MarkParts, entry: Entry, price_e8: int, shows_us: int) -> None:
    parts.index_e8, parts.index_at_us = price_e8, entry.sim_time_us
    parts.index_shows_us = shows_us


def _take_sample(
    book: Book, entry: Entry, market: int, parts: MarkParts, price_e8: int, premium_e9: int
) -> None:
    """Check the premium that a sample leaves, and take note of both."""
    terms, depth_e6 = book.terms.markets[market].mark, book.depths[market].multiplier_e6
    is_sound = parts.index_e8 and depth_e6 >= terms.min_depth_e6
    right = float(parts.premium_e9)
    if is_sound and not _is_old(terms, parts, entry.sim_time_us):
        over = float(Fraction(price_e8 - parts.index_e8, parts.index_e8) * _E9)
        right, gone = over, entry.sim_time_us - parts.book_at_us
        if terms.smoothing_us:
            right += (parts.premium_e9 - over) * math.exp2(-gone / terms.smoothing_us)
    if abs(premium_e9 - right) > 2 + _PREMIUM_SLACK * abs(right):
        book.findings.expect("mark_rule", entry.seq, "premium_e9", premium_e9, round(right))
    parts.book_e8, parts.book_at_us, parts.premium_e9 = price_e8, entry.sim_time_us, premium_e9


def _check_marks(book: Book, entry: Entry, e: OracleUpdated | BookSampled) -> None:
    """Check mark and shadow mark of an update of either feed, and note the mark."""
    market, now = e.market_id, entry.sim_time_us
    parts, shadow = book.mark_parts[market], book.shadow_parts[market]
    terms, depth = book.terms.markets[market], book.depths.get(market)
    multiplier_e6 = 10**6 if depth is None else depth.multiplier_e6
    right, basis, shows_us = _made(terms.mark, parts, now, multiplier_e6)
    book.expect("mark_rule", entry, "mark_price_e8", e.mark_price_e8, right)
    book.expect("mark_rule", entry, "basis", e.basis.name, basis.name)
    book.expect("mark_rule", entry, "mark_shows_at_us", e.mark_shows_at_us, shows_us)
    parts.mark_e8 = e.mark_price_e8
    on_shadow = shadow.mark_e8
    if e.shadow_price_e8:
        on_shadow, _, _ = _made(terms.mark, shadow, now, multiplier_e6)
    book.expect("mark_rule", entry, "shadow_mark_e8", e.shadow_mark_e8, on_shadow)
    shadow.mark_e8 = e.shadow_mark_e8
    if terms.depth is None or depth is None or depth.newest_fill(now) == NO_CAUSE:
        # Nothing can have set the two apart.
        book.expect("shadow", entry, "shadow_price_e8", e.shadow_price_e8, e.price_e8)
        book.expect("shadow", entry, "shadow_mark_e8", e.shadow_mark_e8, e.mark_price_e8)
    for column, value in zip(book.marks[market], (now, e.mark_price_e8), strict=True):
        column.append(value)
    book.shown_at[market] = e.mark_shows_at_us


def _check_sample(
    book: Book, entry: Entry, e: BookSampled, parts: MarkParts, terms: MarkTerms
) -> None:
    """Check that a sample is of its instant, and due."""
    problem = _untimely(e, parts, terms)
    if not book.terms.markets[e.market_id].samples_book:
        problem = f"nothing uses the book of market {e.market_id}"
    if problem:
        book.findings.add("book_price", entry.seq, problem)
    depth = book.depths[e.market_id]
    if entry.cause_seq != NO_CAUSE:
        newest = depth.newest_fill(e.sampled_at_us)
        book.expect("cause_fill", entry, "the fill it is due to", entry.cause_seq, newest)
    reference = _reference(book, e.market_id, e.sampled_at_us)
    if reference is not None:
        low, high = depth.price_before(e.sampled_at_us, reference)
        if not low <= e.price_e8 <= high:
            name = "price_e8"
            book.findings.expect("book_price", entry.seq, name, e.price_e8, round(low))


def _untimely(e: BookSampled, parts: MarkParts, terms: MarkTerms) -> str | None:
    """Return why a sample was not due; None if it was."""
    gap, moved = e.published_at_us - parts.book_at_us, abs(e.price_e8 - parts.book_e8)
    is_first, reason = not parts.book_e8, e.reason
    for is_wrong, problem in (
        (
            e.sampled_at_us != e.published_at_us // terms.period_us * terms.period_us,
            f"sampled at {e.sampled_at_us} us for {e.published_at_us} us",
        ),
        ((reason is UpdateReason.FIRST) != is_first, f"the reason is {reason.name}"),
        (
            not is_first and gap > terms.heartbeat_us + terms.period_us,
            f"the last sample was {gap} us ago",
        ),
        (
            reason is UpdateReason.HEARTBEAT and gap < terms.heartbeat_us,
            f"a heartbeat {gap} us after the last sample",
        ),
        (
            reason is UpdateReason.DEVIATION and moved < terms.deviation * parts.book_e8,
            f"a move by {e8(moved)} from {e8(parts.book_e8)} is no deviation",
        ),
    ):
        if is_wrong:
            return problem
    return None


def _check_undisplaced(
    book: Book, entry: Entry, market: int, sampled_at_us: int, price_e8: int
) -> None:
    """Check that a sample without displacement is the reference price."""
    reference = _reference(book, market, sampled_at_us)
    if reference is not None:
        book.expect("book_price", entry, "the sample without displacement", price_e8, reference)


def _reference(book: Book, market: int, at_us: int) -> int | None:
    if market not in book.paths:
        return None
    instants, prices = book.paths[market]
    place = int(instants.searchsorted(at_us, side="right")) - 1
    return int(prices[place]) if place >= 0 else None


def _is_old(terms: MarkTerms, parts: MarkParts, now_us: int) -> bool:
    return terms.max_index_age_us > 0 and now_us - parts.index_at_us > terms.max_index_age_us


def _made(
    terms: MarkTerms, parts: MarkParts, now_us: int, multiplier_e6: int
) -> tuple[int, MarkBasis, int]:
    """Return the mark that the rule makes, which part decided, and what it shows."""
    index, own = Fraction(parts.index_e8), Fraction(parts.book_e8)
    shown = {True: parts.book_shows_us, False: parts.index_shows_us}
    if not (own and index):
        price, basis = own or index, MarkBasis.BOOK if own else MarkBasis.INDEX
        shows = shown[bool(own)]
    elif multiplier_e6 < terms.min_depth_e6:
        price, basis = index + index * Fraction(parts.premium_e9, _E9), MarkBasis.MODEL
        shows = shown[False]
    elif _is_old(terms, parts, now_us):
        price, is_bound = _bounded(own, index, terms.band)
        basis, shows = (MarkBasis.BANDED if is_bound else MarkBasis.BOOK), shown[not is_bound]
    else:
        price = index + (own - index) * terms.weight
        basis = MarkBasis.BLEND if terms.weight else MarkBasis.INDEX
        counted = [shown[True]] * (terms.weight > 0) + [shown[False]] * (terms.weight < 1)
        shows = max(counted)
        price, is_bound = _bounded(Fraction(math.floor(price)), own, terms.guard)
        if is_bound:
            basis, shows = MarkBasis.GUARDED, shown[True]
    price, is_bound = _bounded(Fraction(math.floor(price)), Fraction(parts.mark_e8), terms.step)
    if is_bound:
        basis = MarkBasis.CLAMPED
    return min(max(math.floor(price), 1), _BOUND - 1), basis, shows


def _bounded(price: Fraction, centre: Fraction, share: Fraction | None) -> tuple[Fraction, bool]:
    """Return the whole price nearest to one within a share of another, and whether it differs."""
    if share is None or not centre:
        return price, False
    low, high = math.ceil(centre * (1 - share)), math.floor(centre * (1 + share))
    bounded = min(max(price, Fraction(low)), Fraction(high))
    return bounded, bounded != price
