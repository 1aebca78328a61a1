"""The venue's desk: of every slice it takes over what it can, at its price, before the market."""

from typing import Final

from liqsim.events import Entry, TrancheStarted, TrancheTakenOver
from replay.audit.book import Book, DeskDue
from replay.audit.findings import e8

_E6: Final = 10**6
_E10: Final = 10**10
_BOUND: Final = 10**18


def tranche_started(book: Book, entry: Entry, e: TrancheStarted) -> None:
    """Note what the desk must take over of a slice."""
    terms = book.terms.desk
    position, mark = book.position(e.market_id, e.bucket_id), book.mark(e.market_id)
    if terms is None or book.desk_id is None or not position or not mark:
        return
    is_long, size = position > 0, abs(e.quantity_e8)
    if terms.pays_bankruptcy:
        price = book.bankruptcy_price(e.market_id, e.bucket_id)
    else:
        price = discounted(mark, book.terms.discount_e6, is_sale=is_long)
        limit = book.limit_price(e.market_id, e.bucket_id, size)
        if price < limit if is_long else price > limit:
            return
    if not 0 < price < _BOUND:
        return
    held = book.position(e.market_id, book.desk_id) * (1 if is_long else -1)
    room = terms.position_limit_uusd * _E10 // mark - held
    paid_for = max(book.free_capital(book.desk_id), 0) * _E10 // price
    due = min(size, room, paid_for)
    if due > 0:
        book.desk_due = DeskDue(entry.seq, due, price)


def check_due(book: Book, entry: Entry) -> None:
    """Check that what the desk must take over comes right after the slice is put up."""
    due, e = book.desk_due, entry.event
    book.desk_due = None
    is_right = isinstance(e, TrancheTakenOver) and due is not None and e.tranche_seq == due.seq
    if due is not None and not is_right:
        message = f"the desk does not take {e8(due.size_e8)} of tranche {due.seq} over"
        book.findings.add("desk", entry.seq, message)
    if isinstance(e, TrancheTakenOver) and e.keeper_id == book.desk_id:
        if due is None or not is_right:
            book.findings.add("desk", entry.seq, "it takes over what it cannot")
            return
        book.expect("desk", entry, "its size", abs(e.quantity_e8), due.size_e8)
        book.expect("takeover_price", entry, "price_e8", e.price_e8, due.price_e8)
        book.expect("lifecycle", entry, "sent_at_us", e.sent_at_us, entry.sim_time_us)


def discounted(mark: int, discount_e6: int, *, is_sale: bool) -> int:
    """Return the mark less (for a sale) a discount, rounded for the bucket."""
    if is_sale:
        return max(-(-mark * (_E6 - discount_e6) // _E6), 1)
    return max(mark * (_E6 + discount_e6) // _E6, 1)
