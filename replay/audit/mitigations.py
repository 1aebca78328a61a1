"""Decisions of mitigations, each held against what its own kind works out."""

from collections.abc import Callable, Mapping
from typing import Final

from liqsim.events import DecisionRecorded, Entry, TranchesCrossed
from replay.audit import auctions, crossing, grace, halts, pacing, pools, reductions, scalings
from replay.audit.book import Book
from replay.audit.judges import is_judge

_CHECKS: Final[Mapping[str, Callable[[Book, Entry, DecisionRecorded], None]]] = {
    "crossing": crossing.decision_recorded,
    "rate_limit": pacing.decision_recorded,
    "breaker": halts.decision_recorded,
    "divergence_pause": halts.decision_recorded,
    "grace": grace.decision_recorded,
    "dynamic_margin": scalings.scaled,
    "open_interest_margin": scalings.scaled,
    "concentration_margin": scalings.scaled,
    "correlation_margin": scalings.scaled,
    "stress_margin": scalings.scaled,
    "predictive": reductions.decided,
    "leverage_fee": scalings.charged,
    "pool": pools.decided,
    "batch_auction": auctions.decision_recorded,
}
_HELD_LATER: Final = "fund_limits"
"""Decisions on what the fund may pay are held against what they change, once that comes."""


def decision_recorded(book: Book, entry: Entry, e: DecisionRecorded) -> None:
    """Hold a decision against the one worked out again."""
    rows = book.terms.mitigations
    if e.mitigation_id >= len(rows):
        book.findings.add("decision", entry.seq, f"there is no mitigation {e.mitigation_id}")
        return
    kind = rows[e.mitigation_id].kind
    if kind in _CHECKS:
        _CHECKS[kind](book, entry, e)
    elif is_judge(kind):
        pacing.decision_recorded(book, entry, e)
    elif kind != _HELD_LATER:
        message = f"mitigation {e.mitigation_id} decides nothing"
        book.findings.add("decision", entry.seq, message)


def tranches_crossed(book: Book, entry: Entry, e: TranchesCrossed) -> None:
    """Hold slices that are met with each other against who must meet whom."""
    is_auction = book.kind_of(e.mitigation_id) == "batch_auction"
    check = auctions.tranches_crossed if is_auction else crossing.tranches_crossed
    check(book, entry, e)


def after(book: Book, entry: Entry) -> None:
    """Note what an event moves that mitigations observe, once it is folded."""
    if book.breakers.breakers:
        halts.after(book, entry)
    if book.graces.of:
        grace.after(book, entry)
