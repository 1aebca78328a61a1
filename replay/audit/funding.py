"""Funding: when it is set, at which rate, and who pays how much of it."""

import math
from collections import deque
from fractions import Fraction
from typing import Final

from liqsim.events import Entry, FundingPaid, FundingSet
from replay.audit.book import Book

_E9: Final = 10**9
_E19: Final = 10**19


def funding_set(book: Book, entry: Entry, e: FundingSet) -> None:
    """Check time, rate and mark of a payment, and note who must make or receive it."""
    if e.market_id >= len(book.terms.markets):
        return  # Reported as owner_unknown.
    terms, premium = (
        book.terms.markets[e.market_id].funding,
        book.mark_parts[e.market_id].premium_e9,
    )
    if terms is None:
        message = f"positions in market {e.market_id} pay nothing"
        book.findings.add("funding", entry.seq, message)
        return
    due_us = _due_us(book, e.market_id)
    book.expect("funding", entry, "sim_time_us", entry.sim_time_us, due_us)
    book.funding_at[e.market_id] = entry.sim_time_us
    book.expect("funding", entry, "premium_e9", e.premium_e9, premium)
    book.expect_mark(entry, e.market_id, e.mark_price_e8)
    rate = terms.interest + Fraction(math.floor(terms.weight * premium), _E9)
    right = min(max(rate, -terms.cap), terms.cap) * _E9
    book.expect("funding", entry, "rate_e9", e.rate_e9, right)
    payers: list[int] = []
    if e.rate_e9:
        payers = sorted({*book.sides[e.market_id, True], *book.sides[e.market_id, False]})
    book.funding = (entry.seq, e, deque(payers))


def _due_us(book: Book, market: int) -> int | None:
    """Return when the next payment is due in a market: the first is after its first mark."""
    terms, instants = book.terms.markets[market].funding, book.marks[market][0]
    if terms is None or not instants:
        return None
    last = book.funding_at.get(market, instants[0])
    return (last // terms.interval_us + 1) * terms.interval_us


def funding_paid(book: Book, entry: Entry, e: FundingPaid) -> None:
    """Check that the next in turn pays what its position does."""
    seq, funding, payers = book.funding or (-1, None, deque[int]())
    if funding is None or entry.cause_seq != seq or e.market_id != funding.market_id:
        book.findings.add("funding", entry.seq, "no funding has been set for it")
        return
    right = payers.popleft() if payers else None
    book.expect("funding", entry, "bucket_id", e.bucket_id, right)
    position = book.position(e.market_id, e.bucket_id)
    book.expect("position", entry, "quantity_e8", e.quantity_e8, position)
    exact = Fraction(position * funding.mark_price_e8 * funding.rate_e9, _E19)
    book.expect("funding", entry, "amount_uusd", e.amount_uusd, math.ceil(exact))


def funding_left(book: Book, entry: Entry) -> None:
    """Check that everyone has paid once anything else happens."""
    assert book.funding is not None
    _, _, payers = book.funding
    for bucket in payers:
        book.findings.add("funding", entry.seq, f"bucket {bucket} has neither paid nor received")
    book.funding = None


def all_paid(book: Book) -> None:
    """Check that no payment was due before the end that is not there."""
    for market, terms in enumerate(book.terms.markets):
        due_us = None if terms.funding is None else _due_us(book, market)
        if due_us is not None and due_us < book.terms.end_us:
            message = f"funding of market {market} was due at {due_us} us"
            book.findings.add("funding", None, message)
