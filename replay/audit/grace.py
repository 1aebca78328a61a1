"""Grace periods: what they follow, whom they have wait, and who did not wait."""

import attrs

from liqsim.events import (
    Action,
    BookSampled,
    DecisionRecorded,
    Entry,
    OracleUpdated,
    TrancheStarted,
)
from liqsim.events.mitigation import NOT_OBSERVED
from replay.audit.book import Book
from replay.audit.graces import Grace


def decision_recorded(book: Book, entry: Entry, e: DecisionRecorded) -> None:
    """Hold the decision of a grace period against what it follows."""
    grace, now = book.graces.of[e.mitigation_id], entry.sim_time_us
    ended = _ended_us(book, grace, e.market_id, now)
    is_free = ended is None or ended + grace.span_us <= now
    is_own = grace.market_id in (None, e.market_id) and e.market_id in book.legs(e.bucket_id)
    if is_free or not is_own or e.bucket_id not in book.liquidation_of:
        message = f"bucket {e.bucket_id} has nothing to wait for in market {e.market_id}"
        book.findings.add("decision", entry.seq, message)
        return
    assert ended is not None
    right = {
        "mitigation_id": e.mitigation_id,
        "action": Action.DELAYED,
        "market_id": e.market_id,
        "bucket_id": e.bucket_id,
        "until_at_us": ended + grace.span_us,
        "ended_at_us": ended,
    }
    for field in attrs.fields(DecisionRecorded):
        value = right.get(field.name, NOT_OBSERVED)
        book.expect("decision", entry, field.name, getattr(e, field.name), value)
    book.graces.told.add((e.mitigation_id, e.bucket_id, e.until_at_us))


def tranche_started(book: Book, entry: Entry, e: TrancheStarted) -> None:
    """Check that no grace period has a slice wait, and that one that did has told."""
    now = entry.sim_time_us
    liquidation = book.liquidations.get(e.liquidation_seq)
    for grace in book.graces.of.values():
        ended = _ended_us(book, grace, e.market_id, now)
        if ended is None or grace.market_id not in (None, e.market_id):
            continue
        until_us = ended + grace.span_us
        if now < until_us:
            message = f"a grace period in market {e.market_id} lasts until {until_us} us"
            book.findings.add("halted", entry.seq, message)
        is_told = (grace.number, e.bucket_id, until_us) in book.graces.told
        if now == until_us and liquidation is not None and not is_told:
            # Elsewhere another wait may end at the same instant.
            is_alone = len(book.terms.mitigations) == 1 and not book.terms.engine.is_limited
            if is_alone and liquidation.earliest_us < now and not book.terms.mark_max_age_us:
                message = f"bucket {e.bucket_id} has waited for the end of a grace period"
                book.findings.add("decision", entry.seq, f"{message}, and nothing told so")


def after(book: Book, entry: Entry) -> None:
    """Note the end of a time in which the mark was too old."""
    if isinstance(entry.event, OracleUpdated | BookSampled):
        market, graces, now = entry.event.market_id, book.graces, entry.sim_time_us
        before_us = graces.marked_at_us.get(market, now)
        graces.marked_at_us[market] = now
        if now - before_us > book.terms.mark_max_age_us > 0:
            graces.stale_us[market] = now


def lasts(book: Book, bucket: int, at_us: int) -> bool:
    """Return whether a grace period stops some leg of a bucket."""
    return any(lasts_in(book, market, at_us) for market in book.legs(bucket))


def lasts_in(book: Book, market: int, at_us: int) -> bool:
    """Return whether a grace period stops slices of a market."""
    return any(
        (ended := _ended_us(book, grace, market, at_us)) is not None
        and at_us < ended + grace.span_us
        for grace in book.graces.of.values()
        if grace.market_id in (None, market)
    )


def _ended_us(book: Book, grace: Grace, market: int, at_us: int) -> int | None:
    """Return when what a grace follows has last ended in a market."""
    ends = []
    if grace.after_halts:
        ends.append(book.breakers.halted_until_us[market])
    if grace.after_outages:
        ends += [end for _, end in book.terms.engine.outages]
    if grace.after_stale:
        ends.append(book.graces.stale_us[market])
    return max((end for end in ends if 0 < end <= at_us), default=None)
