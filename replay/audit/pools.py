"""
Pools that go ahead of the book: when they must, with how much of a slice, and on which price.

What the venue's own book would give is known to a rounding, so that the price recorded is held
against bounds; what follows from it is recomputed to the last unit.
"""

from collections import deque
from typing import Final

import attrs
import numpy as np

from liqsim.events import (
    Action,
    CoinsSettled,
    DecisionRecorded,
    Entry,
    FundDrawn,
    PenaltyRouted,
    SurplusRouted,
    TrancheStarted,
    TrancheTakenOver,
)
from liqsim.events.mitigation import NOT_OBSERVED
from replay.audit import vaults
from replay.audit.book import Ahead, Book, TrancheProgress
from replay.audit.findings import e8
from replay.terms import MitigationTerms

_TOLERANCE: Final = 1e-9
_AVERAGING: Final = 1e-3
"""Relative error of a slippage that is averaged over points of the walk."""
_OF_A_TAKEOVER: Final = (
    DecisionRecorded, SurplusRouted, FundDrawn, CoinsSettled, PenaltyRouted,
)  # fmt: skip
"""What may come between two takeovers ahead of the book."""


def tranche_started(book: Book, entry: Entry, e: TrancheStarted) -> None:
    """Note which pools may go ahead of the book with a slice."""
    pools = deque(
        owner
        for owner, row in book.vaults.items()
        if row.kind == "pool" and row.market_id in (None, e.market_id)
    )
    if pools and book.terms.executor != "keepers":
        book.ahead = Ahead(entry.seq, entry.sim_time_us, pools)


def decided(book: Book, entry: Entry, e: DecisionRecorded) -> None:
    """Hold a decision to go ahead against the one worked out again."""
    ahead = book.ahead
    owner = next(iter(book.purses.get(e.mitigation_id, ())), -1)
    if ahead is None or owner not in ahead.left:
        book.findings.add("pool", entry.seq, "there is no slice that it could go ahead with")
        return
    while ahead.left[0] != owner:
        _pass_over(book, entry, ahead, ahead.left.popleft())
    ahead.left.popleft()
    tranche = book.tranches[ahead.seq]
    size, price = vaults.most(book, owner, tranche)
    right = attrs.evolve(
        e,
        action=Action.ABSORBED,
        market_id=tranche.start.market_id,
        bucket_id=tranche.start.bucket_id,
        wanted_e8=_left(tranche),
        size_e8=size,
        amount_uusd=max(book.free_capital(owner), 0),
    )
    for field in attrs.fields(DecisionRecorded):
        actual = getattr(e, field.name)
        book.expect("pool", entry, field.name, actual, getattr(right, field.name))
    book.expect("pool", entry, "cause_seq", entry.cause_seq, ahead.seq)
    _check_price(book, entry, ahead, tranche, e.book_price_e8)
    quoted, row = e.book_price_e8, book.vaults[owner]
    is_better = quoted >= price if tranche.start.quantity_e8 < 0 else quoted <= price
    if row.word("when") == "worse" and quoted != NOT_OBSERVED and is_better:
        message = f"it goes ahead at {e8(price)}, and the book would give {e8(quoted)}"
        book.findings.add("pool", entry.seq, message)
    ahead.due = owner, size, price


def look(book: Book, entry: Entry) -> None:
    """Check that what was decided comes next, and that no pool was passed over."""
    ahead, e = book.ahead, entry.event
    if ahead is None:
        return
    if ahead.due is not None:
        if isinstance(e, TrancheTakenOver) and e.keeper_id == ahead.due[0]:
            return  # It is checked as a takeover.
        book.findings.add("pool", entry.seq, f"pool {ahead.due[0]} takes nothing over before it")
        ahead.due = None
    by_desk = isinstance(e, TrancheTakenOver) and e.keeper_id == book.desk_id
    if entry.sim_time_us == ahead.at_us and (by_desk or isinstance(e, _OF_A_TAKEOVER)):
        return
    while ahead.left:
        _pass_over(book, entry, ahead, ahead.left.popleft())
    book.ahead = None


def _left(tranche: TrancheProgress) -> int:
    return abs(tranche.start.quantity_e8) - tranche.done_e8


def _pass_over(book: Book, entry: Entry, ahead: Ahead, owner: int) -> None:
    """Check that a pool that has not gone ahead did not have to."""
    tranche = book.tranches.get(ahead.seq)
    if tranche is None:
        return  # Reported as lifecycle.
    size, price = vaults.most(book, owner, tranche)
    if size and _must(book, ahead, tranche, book.vaults[owner], price):
        message = f"pool {owner} does not take {e8(size)} of the slice over ahead of the book"
        book.findings.add("pool", entry.seq, message)


def _must(
    book: Book, ahead: Ahead, tranche: TrancheProgress, row: MitigationTerms, price: int
) -> bool:
    """Return whether a pool must go ahead, whatever is rounded in what the book would give."""
    if row.word("when") == "always":
        return True
    quote = _quoted(book, ahead, tranche, 1 - _TOLERANCE)
    if quote is None:
        return False
    is_all, given, slack = quote
    is_worse = given + slack < price if tranche.start.quantity_e8 < 0 else given - slack > price
    return not is_all or is_worse


def _check_price(
    book: Book, entry: Entry, ahead: Ahead, tranche: TrancheProgress, said: int
) -> None:
    """Check what a decision says that the book would give."""
    if said == NOT_OBSERVED:
        quote = _quoted(book, ahead, tranche, 1 + _TOLERANCE)
        if quote is not None and quote[0]:
            book.findings.add("pool", entry.seq, "the book would take all that is left")
        return
    quote = _quoted(book, ahead, tranche, 1 - _TOLERANCE)
    if quote is not None and (not quote[0] or abs(quote[1] - said) > quote[2]):
        message = f"book_price_e8 is {said}, must be {round(quote[1])}"
        book.findings.add("pool", entry.seq, message)


def _quoted(
    book: Book, ahead: Ahead, tranche: TrancheProgress, share: float
) -> tuple[bool, float, float] | None:
    """Return whether the book takes so much of what is left, its price, and how surely that is."""
    market, left = tranche.start.market_id, _left(tranche)
    if market not in book.depths or market not in book.paths or not left:
        return None
    at_us, prices = book.paths[market]
    reference = int(prices[int(np.searchsorted(at_us, ahead.at_us, side="right")) - 1])
    is_sale, wanted = tranche.start.quantity_e8 < 0, max(round(left * share), 1)
    quote = book.depths[market].quote(ahead.at_us, reference, -wanted if is_sale else wanted)
    price = quote.price_e8 + (-quote.slippage_e8 if is_sale else quote.slippage_e8)
    slack = 3 + _AVERAGING * quote.slippage_e8 + _TOLERANCE * quote.price_e8
    return quote.taken_e8 >= wanted - (share < 1), max(price, 1.0), slack
