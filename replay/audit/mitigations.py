"""Decisions of mitigations, each held against what its own kind works out."""

from liqsim.events import DecisionRecorded, Entry
from replay.audit import grace, halts, pacing
from replay.audit.book import Book


def decision_recorded(book: Book, entry: Entry, e: DecisionRecorded) -> None:
    """Hold a decision against the one worked out again."""
    if e.mitigation_id in book.breakers.breakers:
        halts.decision_recorded(book, entry, e)
    elif e.mitigation_id in book.graces.of:
        grace.decision_recorded(book, entry, e)
    else:
        pacing.decision_recorded(book, entry, e)


def after(book: Book, entry: Entry) -> None:
    """Note what an event moves that mitigations observe, once it is folded."""
    if book.breakers.breakers:
        halts.after(book, entry)
    if book.graces.of:
        grace.after(book, entry)
