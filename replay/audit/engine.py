"""
When the engine sends orders: none in an outage, none too soon after another, first things first.

An order shows as the start of its tranche, as a fill, or as both; a fill that is not whole may be
followed, in the same instant, by what nobody shared: that is the same order.
"""

from liqsim.events import Entry, OrderFilled, TrancheStarted
from replay.audit import grace
from replay.audit.book import Book


def tranche_started(book: Book, entry: Entry, e: TrancheStarted) -> None:
    """Check that a tranche starts with an order that may go, before any of a later trigger."""
    if not book.terms.engine.is_limited:
        return
    _order_sent(book, entry)
    book.order_of = entry.seq
    for seq, liquidation in book.liquidations.items():
        if seq >= e.liquidation_seq:
            break  # They stand in the order of their triggers.
        if liquidation.open_tranche >= 0 or entry.sim_time_us < liquidation.earliest_us:
            continue
        bucket = liquidation.trigger.bucket_id
        if book.is_stale(bucket, entry.sim_time_us) or _is_held(book, bucket, entry.sim_time_us):
            continue
        if not book.is_restored(bucket):
            message = f"liquidation {seq} was triggered earlier, and still waits"
            book.findings.add("engine_order", entry.seq, message)
            return


def _is_held(book: Book, bucket: int, at_us: int) -> bool:
    """Return whether a mitigation has a bucket wait."""
    until_us = book.waits_until(bucket)
    is_halted = any(book.breakers.is_halted(leg, at_us) for leg in book.legs(bucket))
    return until_us > at_us or is_halted or grace.lasts(book, bucket, at_us)


def order_filled(book: Book, entry: Entry, e: OrderFilled) -> None:
    """Check that a fill is of an order in course, or of one that may go."""
    if not book.terms.engine.is_limited:
        return
    if (book.order_of, book.order_at_us) != (e.tranche_seq, entry.sim_time_us):
        _order_sent(book, entry)
    book.order_of = e.tranche_seq if abs(e.quantity_e8) < abs(e.ordered_e8) else -1


def _order_sent(book: Book, entry: Entry) -> None:
    at_us, engine = entry.sim_time_us, book.terms.engine
    if engine.is_down(at_us):
        book.findings.add("engine_outage", entry.seq, f"an order at {at_us} us, in an outage")
    elif book.order_at_us >= 0:
        earliest = book.order_at_us + engine.order_us(book.order_at_us)
        if at_us < earliest:
            message = f"an order at {at_us} us, must be at {earliest} or later"
            book.findings.add("engine_rate", entry.seq, message)
    book.order_at_us = at_us
