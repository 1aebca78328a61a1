"""Which check a decision of a mitigation is for."""

from collections.abc import Callable, Mapping
from typing import Final

from liqsim.events import DecisionRecorded, Entry
from replay.audit import pacing, scalings
from replay.audit.book import Book

_CHECKS: Final[Mapping[str, Callable[[Book, Entry, DecisionRecorded], None]]] = {
    "rate_limit": pacing.decision_recorded,
    "dynamic_margin": scalings.scaled,
    "open_interest_margin": scalings.scaled,
    "stress_margin": scalings.scaled,
    "leverage_fee": scalings.charged,
}


def decision_recorded(book: Book, entry: Entry, e: DecisionRecorded) -> None:
    """Hold a decision against what its mitigation must have decided."""
    rows = book.terms.mitigations
    if e.mitigation_id >= len(rows):
        book.findings.add("decision", entry.seq, f"there is no mitigation {e.mitigation_id}")
        return
    _CHECKS[rows[e.mitigation_id].kind](book, entry, e)
