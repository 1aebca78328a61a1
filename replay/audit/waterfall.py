"""Who paid and who gained beyond bankruptcy."""

from collections import deque

from liqsim.events import BadDebtRecorded, Entry, FundDrawn, PositionDeleveraged, SurplusRouted
from replay.audit import coins, fund, keepers, vaults
from replay.audit.book import Book, Deleveraging
from replay.audit.findings import e8
from replay.audit.losses import loss_shared
from replay.audit.queue import due


def position_deleveraged(book: Book, entry: Entry, e: PositionDeleveraged) -> None:
    """Check price, rank and counterparty of a deleveraging."""
    book.check_reduces(entry, e.market_id, e.bucket_id, e.quantity_e8)
    other = book.position(e.market_id, e.counterparty_id)
    tranche = book.tranches.get(e.tranche_seq)
    cut_at = 1 if tranche is None else tranche.start.mark_price_e8
    most = book.closable(e.market_id, e.counterparty_id, cut_at)
    if e.quantity_e8 * other <= 0 or abs(e.quantity_e8) > most:
        message = f"{e8(-e.quantity_e8)} does not reduce the position {e8(other)}"
        book.findings.add("deleverage_side", entry.seq, message)
    if e.counterparty_id in book.liquidation_of:
        message = f"bucket {e.counterparty_id} is in liquidation"
        book.findings.add("deleverage_side", entry.seq, message)
    if book.terms.deleveraging == "none":
        book.findings.add("deleverage_side", entry.seq, "the venue does not deleverage")
    _check_queue(book, entry, e)
    keepers.deleveraged(book, e)
    coins.deleveraged(book, entry, e)
    tranche = book.open_tranche(entry, e.tranche_seq)
    if tranche is not None:
        book.check_within_slice(entry, tranche, e.quantity_e8)
        tranche.deleveraged_e8 += abs(e.quantity_e8)
        tranche.cut.add(e.counterparty_id)


def surplus_routed(book: Book, entry: Entry, e: SurplusRouted) -> None:
    """Check that a surplus belongs to a tranche in course."""
    book.open_tranche(entry, e.tranche_seq)


def fund_drawn(book: Book, entry: Entry, e: FundDrawn) -> None:
    """Check what a draw leaves in the fund; after it is folded."""
    what = "balance_uusd"
    book.expect("fund_balance", entry, what, e.balance_uusd, book.fold.fund_uusd)
    book.open_tranche(entry, e.tranche_seq)
    fund.fund_drawn(book, entry, e)


def bad_debt_recorded(book: Book, entry: Entry, e: BadDebtRecorded) -> None:
    """Check that the debt is what the bucket is short of, and its position gone."""
    hole = -book.cash(e.bucket_id)
    book.expect("bad_debt", entry, "amount_uusd", e.amount_uusd, hole)
    loss_shared(book, entry, e)
    if book.legs(e.bucket_id):
        message = f"bucket {e.bucket_id} still has a position"
        book.findings.add("bad_debt", entry.seq, message)


def deleveraging_left(book: Book, seq: int) -> None:
    """Check that nobody is left in the queue who should have been deleveraged before *seq*."""
    run, book.run = book.run, None
    tranche = book.tranches.get(run.tranche_seq) if run is not None else None
    if run is None or tranche is None or not run.queue:
        return
    left = abs(tranche.start.quantity_e8) - tranche.done_e8
    message = f"account {run.queue[0][0]} is left out, with {e8(left)} of the slice left"
    book.findings.add("deleverage_rank", seq, message)


def _check_queue(book: Book, entry: Entry, e: PositionDeleveraged) -> None:
    run = book.run
    if run is None or (run.tranche_seq, run.last_seq) != (e.tranche_seq, entry.seq - 1):
        deleveraging_left(book, entry.seq)
        if e.tranche_seq in book.tranches:
            vaults.check_done(book, entry, book.tranches[e.tranche_seq])
        run = book.run = _started(book, entry, e)
    # The price is the one before the first: closing at a rounded price moves the exact one.
    book.expect("deleverage_price", entry, "price_e8", e.price_e8, run.price_e8)
    what = "rank_number"
    book.expect("deleverage_rank", entry, what, e.rank_number, run.rank_number + 1)
    run.last_seq, run.rank_number = entry.seq, e.rank_number
    next_id, size = run.queue.popleft() if run.queue else (None, 0)
    if next_id != e.counterparty_id:
        message = f"counterparty_id is {e.counterparty_id}, must be {next_id}"
        book.findings.add("deleverage_rank", entry.seq, message)
        run.queue.clear()  # Said once.
    else:
        book.expect("deleverage_rank", entry, "its size", abs(e.quantity_e8), size)


def _started(book: Book, entry: Entry, e: PositionDeleveraged) -> Deleveraging:
    """Return a deleveraging that begins with *e*: its price, and who stands in the queue at it."""
    market, price = e.market_id, book.bankruptcy_price(e.market_id, e.bucket_id)
    tranche = book.tranches.get(e.tranche_seq)
    cut_at, left = 1, abs(e.quantity_e8)
    if tranche is not None:
        cut_at = tranche.start.mark_price_e8
        left = abs(tranche.start.quantity_e8) - tranche.done_e8
    queue = deque(due(book, market, e.bucket_id, price, left, cut_at))
    return Deleveraging(e.tranche_seq, entry.seq, 0, price, queue)
