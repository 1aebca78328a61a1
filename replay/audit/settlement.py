"""
What an execution leaves the bucket with, who gets the rest, and who pays what is missing.

Recomputed from balances before the execution: the part that is left keeps its share of the cash;
what the execution brought beyond that is the fee's and then surplus, what it lacks is the fund's.
"""

from typing import Final

from liqsim.events import (
    BadDebtRecorded,
    Entry,
    FundDrawn,
    OrderFilled,
    SurplusRouted,
    TrancheStarted,
    TrancheTakenOver,
)
from replay.audit import coins
from replay.audit.book import Book, Owed
from replay.audit.findings import usd
from replay.fold import cost_of

_E16: Final = 10**16
_CODES: Final = {SurplusRouted: "surplus", FundDrawn: "draw"}


def settle(
    book: Book, entry: Entry, e: OrderFilled | TrancheTakenOver, fee_on_execution_e6: int
) -> None:
    """Check the fee of an execution, and note what surplus or draw must follow it."""
    position = book.position(e.market_id, e.bucket_id)
    if not position:
        return  # Reported as fill_size.
    cash = book.equity_behind(e.market_id, e.bucket_id, e.price_e8)
    closed = coins.executed(book, entry, e)
    # Of inverse contracts, what closing them at the price would have cost; the rest is settled.
    cost = e.cost_uusd if closed == e.quantity_e8 else cost_of(closed, e.price_e8)
    kept = -(-cash * (position + closed) // position)
    gain = cash - cost - kept
    mark = book.fold.marks_e8.get(e.market_id, 0)
    rated = mark * book.terms.fee_on_mark_e6 + e.price_e8 * fee_on_execution_e6
    full = -(-abs(e.quantity_e8) * rated // _E16)
    book.expect("fee", entry, "fee_uusd", e.fee_uusd, min(full, max(gain, 0)))
    # While other legs are open, what a leg leaves over is their margin.
    is_last = book.legs(e.bucket_id) == [e.market_id]
    surplus = gain - e.fee_uusd if is_last and book.terms.surplus_to == "fund" else 0
    draw = min(-gain, book.fold.fund_uusd)
    if surplus > 0:
        book.owed = Owed(entry.seq, SurplusRouted, surplus)
    elif draw > 0:
        book.owed = Owed(entry.seq, FundDrawn, draw)


def check_owed(book: Book, entry: Entry) -> None:
    """Check that what the execution right before must be followed by is what follows."""
    owed, e = book.owed, entry.event
    book.owed = None
    if owed is not None and not isinstance(e, owed.kind):
        message = f"event {owed.seq} must be followed by {owed.kind.TAG} of {usd(owed.amount_uusd)}"
        book.findings.add(_CODES[owed.kind], owed.seq, message)
        owed = None
    if isinstance(e, SurplusRouted | FundDrawn):
        if owed is not None:
            code = _CODES[owed.kind]
            book.expect(code, entry, "amount_uusd", e.amount_uusd, owed.amount_uusd)
            book.expect(code, entry, "cause_seq", entry.cause_seq, owed.seq)
        elif isinstance(e, FundDrawn) and book.causes.event(entry.cause_seq, TrancheStarted):
            _check_hole(book, entry, e)
        else:
            message = f"{usd(e.amount_uusd)} that the event before did not bring about"
            book.findings.add(_CODES[type(e)], entry.seq, message)


def fund_is_empty(book: Book, entry: Entry, e: BadDebtRecorded) -> None:
    """Check that the fund has paid what it can before a debt is bad."""
    if book.fold.fund_uusd > 0:
        message = f"{usd(e.amount_uusd)} are bad debt while the fund has {usd(book.fold.fund_uusd)}"
        book.findings.add("draw", entry.seq, message)


def _check_hole(book: Book, entry: Entry, e: FundDrawn) -> None:
    """Check a draw for what a bucket without a position is short of."""
    tranche = book.tranches.get(e.tranche_seq)
    if tranche is not None:
        coins.check_spent(book, entry, tranche.start.market_id, e.bucket_id, e)
    if book.legs(e.bucket_id):
        book.findings.add("draw", entry.seq, f"bucket {e.bucket_id} still has a position")
    right = min(-book.cash(e.bucket_id), book.fold.fund_uusd)
    if right <= 0 or e.amount_uusd != right:
        message = f"amount is {usd(e.amount_uusd)}, must be {usd(max(right, 0))}"
        book.findings.add("draw", entry.seq, message)
