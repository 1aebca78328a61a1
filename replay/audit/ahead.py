"""Accounts that trade ahead of a halt: whether one was as close, how often, and by how much."""

from typing import Final

from liqsim.events import Entry, TradeFilled, TradeReason
from liqsim.events.mitigation import NOT_OBSERVED
from replay.audit.book import Book
from replay.audit.breakers import Breaker, Level
from replay.audit.halts import observation
from replay.terms import AnticipationTerms

_E6: Final = 10**6
_RUN_FROM_BY: Final = {"fall": 1, "rise": -1}
"""Which side has to fear an observable; both the others."""


def check(book: Book, entry: Entry, e: TradeFilled, law: AnticipationTerms | None) -> int:
    """Check why an account trades ahead of a halt; return which share of its position it may."""
    if law is None:
        _report(book, entry, f"account {e.bucket_id} runs from halts, and its cohort does not")
        return _E6
    book.ran_ahead[e.bucket_id] += 1
    if book.ran_ahead[e.bucket_id] > law.times:
        message = f"account {e.bucket_id} runs ahead {book.ran_ahead[e.bucket_id]} times"
        _report(book, entry, message)
    side = 1 if book.position(e.market_id, e.bucket_id) > 0 else -1
    low, high = _closeness(book, e.market_id, side, entry.sim_time_us)
    if not low <= e.closeness_e6 <= high:
        message = f"closeness_e6 is {e.closeness_e6}, must be from {low} to {high}"
        _report(book, entry, message)
    if e.closeness_e6 < law.from_e6:
        message = f"account {e.bucket_id} runs from {e.closeness_e6}, not from {law.from_e6} on"
        _report(book, entry, message)
    return law.reduce_by_e6


def check_unseen(book: Book, entry: Entry, e: TradeFilled) -> None:
    """Check that who trades for another reason tells no closeness to a halt."""
    if e.reason is not TradeReason.ANTICIPATED:
        book.expect("trader", entry, "closeness_e6", e.closeness_e6, NOT_OBSERVED)


def _closeness(book: Book, market: int, side: int, at_us: int) -> tuple[int, int]:
    """Return between which values the closeness to the next halt lies, as one side sees it."""
    low = high = 0
    for number, breaker in book.breakers.breakers.items():
        if not book.terms.mitigations[number].is_halt:
            continue
        for seen in _looked_at(book, breaker, market):
            for place, level in enumerate(breaker.levels):
                if breaker.is_free(place, seen, at_us):
                    ends = _of_level(book, level, seen, side, at_us)
                    low, high = max(low, ends[0]), max(high, ends[1])
    return low, high


def _looked_at(book: Book, breaker: Breaker, market: int) -> list[int]:
    """Return the markets where what a breaker looks at may halt *market*."""
    everywhere = list(range(len(book.terms.markets)))
    markets = everywhere if breaker.market_id is None else [breaker.market_id]
    return markets if breaker.is_wide else [one for one in markets if one == market]


def _of_level(book: Book, level: Level, market: int, side: int, at_us: int) -> tuple[int, int]:
    shares = []
    for condition in level.conditions:
        is_feared = _RUN_FROM_BY.get(condition.observable, side) == side
        bound = condition.above_e6 or 1
        shares.append(
            [
                min(value * _E6 // bound, _E6) if is_feared else 0
                for value in observation(book, condition, market, at_us)
            ]
        )
    of = min if level.needs_all else max
    lows, highs = zip(*shares, strict=True)
    return of(lows), of(highs)


def _report(book: Book, entry: Entry, message: str) -> None:
    book.findings.add("trader", entry.seq, message)
