"""
What an execution leaves the bucket with, who gets the rest, and who pays what is missing.

Recomputed from balances before the execution: the part that is left keeps its share of the cash;
what the execution brought beyond that is the fee's and then surplus, what it lacks is the fund's.
"""

from typing import Final

from liqsim.events import (
    DecisionRecorded,
    Entry,
    Event,
    FundDrawn,
    OrderFilled,
    SurplusRouted,
    TrancheStarted,
    TrancheTakenOver,
)
from replay.audit import coins, fund
from replay.audit.book import Book, Hole, Owed
from replay.audit.findings import event_text, usd
from replay.fold import cost_of

_E16: Final = 10**16
_CODES: Final[dict[type[Event], str]] = {
    SurplusRouted: "surplus",
    FundDrawn: "draw",
    DecisionRecorded: "decision",
}


def settle(
    book: Book,
    entry: Entry,
    e: OrderFilled | TrancheTakenOver,
    fee_on_execution_e6: int,
    *,
    may_draw: bool = True,
) -> None:
    """Check the fee of an execution, and note what surplus or, if it may, draw must follow it."""
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
    draw = min(-gain, book.payable(e.market_id, e.bucket_id))
    if surplus > 0:
        book.owed.append(Owed(entry.seq, SurplusRouted, surplus))
    if not may_draw:
        return
    if gain < 0:
        for decision in fund.capped_draw(book, e.market_id, e.bucket_id, -gain):
            book.owed.append(Owed(entry.seq, DecisionRecorded, 0, decision))
    if draw > 0:
        book.owed.append(Owed(entry.seq, FundDrawn, draw))


def check_owed(book: Book, entry: Entry) -> None:
    """Check that what the execution right before must be followed by is what follows."""
    owed, e = book.owed.popleft() if book.owed else None, entry.event
    while owed is not None and not _is_owed(e, owed):
        if owed.decision is not None:
            message = f"{event_text(owed.decision)} must come after it"
        else:
            message = (
                f"event {owed.seq} must be followed by {owed.kind.TAG} of {usd(owed.amount_uusd)}"
            )
        book.findings.add(_CODES[owed.kind], owed.seq, message)
        owed = book.owed.popleft() if book.owed else None
    if isinstance(e, DecisionRecorded):
        if owed is not None:
            book.expect("decision", entry, "cause_seq", entry.cause_seq, owed.seq)
        else:
            fund.noted(book, e)
    elif isinstance(e, SurplusRouted | FundDrawn):
        if owed is not None:
            code = _CODES[owed.kind]
            book.expect(code, entry, "amount_uusd", e.amount_uusd, owed.amount_uusd)
            book.expect(code, entry, "cause_seq", entry.cause_seq, owed.seq)
        elif isinstance(e, FundDrawn) and book.causes.event(entry.cause_seq, TrancheStarted):
            _check_hole(book, entry, e)
        else:
            message = f"{usd(e.amount_uusd)} that the event before did not bring about"
            book.findings.add(_CODES[type(e)], entry.seq, message)


def _is_owed(e: Event, owed: Owed) -> bool:
    return isinstance(e, owed.kind) and owed.decision in (None, e)


def fund_has_paid(book: Book, entry: Entry, hole: Hole, what: str) -> None:
    """Check that the fund has paid what it can of a hole before others pay, or it is bad debt."""
    if book.drawn_for == hole.tranche_seq:
        return
    owed = max(-book.cash(hole.bucket_id), 0)
    fund.check_caps(book, entry, fund.capped_draw(book, hole.market_id, hole.bucket_id, owed))
    if (most := book.payable(hole.market_id, hole.bucket_id)) > 0:
        book.findings.add("draw", entry.seq, f"{what} while the fund can pay {usd(most)}")


def _check_hole(book: Book, entry: Entry, e: FundDrawn) -> None:
    """Check a draw for what a bucket without a position is short of."""
    tranche = book.tranches.get(e.tranche_seq)
    market = 0 if tranche is None else tranche.start.market_id
    if tranche is not None:
        coins.check_spent(book, entry, market, e.bucket_id, e)
    if book.legs(e.bucket_id):
        book.findings.add("draw", entry.seq, f"bucket {e.bucket_id} still has a position")
    owed = -book.cash(e.bucket_id)
    fund.check_caps(book, entry, fund.capped_draw(book, market, e.bucket_id, max(owed, 0)))
    book.drawn_for = e.tranche_seq
    right = min(owed, book.payable(market, e.bucket_id))
    if right <= 0 or e.amount_uusd != right:
        message = f"amount is {usd(e.amount_uusd)}, must be {usd(max(right, 0))}"
        book.findings.add("draw", entry.seq, message)
