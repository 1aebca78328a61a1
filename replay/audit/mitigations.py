"""Decisions of mitigations, each held against what its own kind works out."""

from liqsim.events import DecisionRecorded, Entry
from replay.audit import halts, pacing
from replay.audit.book import Book


def decision_recorded(book: Book, entry: Entry, e: DecisionRecorded) -> None:
    """Hold a decision against the one worked out again."""
    if e.mitigation_id in book.breakers.breakers:
        halts.decision_recorded(book, entry, e)
    else:
        pacing.decision_recorded(book, entry, e)
