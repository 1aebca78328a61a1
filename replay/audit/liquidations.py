"""Triggers and ends: marks, margins, bankruptcy prices, and what every bucket was left with."""

from liqsim.events import (
    NO_CAUSE,
    Entry,
    LiquidationEnded,
    LiquidationOutcome,
    LiquidationTriggered,
    LiquidationUnresolved,
    OracleUpdated,
    UnresolvedReason,
    UpdateReason,
)
from replay.audit import funding, grace, keepers, marks, shadow
from replay.audit.book import Book, LiquidationProgress
from replay.audit.findings import usd
from replay.margin import E22_PER_UUSD


def oracle_updated(book: Book, entry: Entry, e: OracleUpdated) -> None:
    """Check an update's instants, its place among the others, and the fill it is due to."""
    book.check_published(entry, e.sampled_at_us, e.published_at_us)
    if e.market_id >= len(book.terms.markets):
        return  # Reported as owner_unknown.
    terms, is_new = book.terms.markets[e.market_id], e.market_id not in book.published_at
    if is_new != (e.reason is UpdateReason.FIRST) and not (is_new and terms.can_overtake):
        message = f"the reason is {e.reason.name} of the market's {'first' if is_new else 'later'}"
        book.findings.add("first_update", entry.seq, f"{message} update")
    if not terms.quorum <= e.reports_count <= terms.source_count:
        book.findings.add(
            "reports_count",
            entry.seq,
            f"{e.reports_count} reports, must be {terms.quorum} to {terms.source_count}",
        )
    before = book.published_at.get(e.market_id)
    if e.reason is UpdateReason.HEARTBEAT and before is not None:
        gap = e.published_at_us - before
        if gap < terms.heartbeat_us:
            message = f"published {gap} us after the update before, must be {terms.heartbeat_us}"
            book.findings.add("heartbeat_early", entry.seq, message)
    book.published_at[e.market_id] = e.published_at_us
    marks.index_landed(book, entry, e)
    _check_shown(book, entry, e)


def _check_shown(book: Book, entry: Entry, e: OracleUpdated) -> None:
    """Check what displacement the median report shows, and that the cause is the newest in it."""
    # The log does not say which source is the median: where catch-ups differ, any may be.
    possible = {
        0 if catch_up is None else max(e.sampled_at_us - catch_up, 0)
        for catch_up in book.terms.markets[e.market_id].catch_ups_us
    }
    # Of two reports in the middle, one may be newer and the other show more.
    is_one = e.reports_count % 2 == 1
    is_shown = e.shows_at_us in possible if is_one else True
    if not is_shown or not min(possible) <= e.shows_at_us <= max(possible):
        message = f"shows what stood at {e.shows_at_us} us, must be one of {sorted(possible)}"
        book.findings.add("oracle_shows", entry.seq, message)
    depth = book.depths.get(e.market_id)
    if entry.cause_seq != NO_CAUSE and depth is not None:
        newest = depth.newest_fill(e.shows_at_us)
        book.expect("cause_fill", entry, "the fill it is due to", entry.cause_seq, newest)


def liquidation_triggered(book: Book, entry: Entry, e: LiquidationTriggered) -> None:
    """Check position, mark, margin and bankruptcy price of a trigger."""
    position = book.position(e.market_id, e.bucket_id)
    book.expect("position", entry, "quantity_e8", e.quantity_e8, position)
    if e.bucket_id in book.liquidation_of:
        message = f"bucket {e.bucket_id} is in liquidation already"
        book.findings.add("lifecycle", entry.seq, message)
    if book.expect_mark(entry, e.market_id, e.mark_price_e8):
        margin = book.margin(e.bucket_id)
        floor = margin // E22_PER_UUSD
        book.expect("margin", entry, "margin_uusd", e.margin_uusd, floor)
        ceiling = -(-book.maintenance(e.bucket_id) // E22_PER_UUSD)
        book.expect("margin", entry, "maintenance_uusd", e.maintenance_uusd, ceiling)
        if not book.is_due(margin):
            message = f"bucket {e.bucket_id} has a margin of {usd(floor)}"
            book.findings.add("not_due", entry.seq, message)
        if not book.is_judged(e.bucket_id):
            message = f"bucket {e.bucket_id} is judged before every market has a mark"
            book.findings.add("not_due", entry.seq, message)
    shadow.triggered(book, entry, e)
    right = book.bankruptcy_price(e.market_id, e.bucket_id)
    what = "bankruptcy_price_e8"
    book.expect("bankruptcy_price", entry, what, e.bankruptcy_price_e8, right)
    earliest = entry.sim_time_us + book.terms.reaction_us
    if e.bucket_id in book.settled_at_us:
        # Spacing holds between the tranches of a bucket, also of two liquidations.
        spaced = book.settled_at_us[e.bucket_id] + book.terms.spacing_us
        earliest = max(earliest, spaced)
    sizes = {leg: abs(book.position(leg, e.bucket_id)) for leg in book.legs(e.bucket_id)}
    book.liquidations[entry.seq] = LiquidationProgress(e, sizes, earliest)
    book.liquidation_of.setdefault(e.bucket_id, entry.seq)


def liquidation_ended(book: Book, entry: Entry, e: LiquidationEnded) -> None:
    """Check the state in which a liquidation ended."""
    liquidation = book.liquidations.pop(e.liquidation_seq, None)
    if liquidation is None:
        if book.causes.event(e.liquidation_seq, LiquidationTriggered) is not None:
            message = f"liquidation {e.liquidation_seq} has ended already"
            book.findings.add("lifecycle", entry.seq, message)
        return
    if liquidation.open_tranche >= 0:
        message = f"tranche {liquidation.open_tranche} is not settled"
        book.findings.add("lifecycle", entry.seq, message)
    book.liquidation_of.pop(e.bucket_id, None)
    book.pacing.ended(e.bucket_id)
    book.forget_slice(e.bucket_id)
    book.shadows.watch(e.bucket_id, entry.seq)
    position = book.position(e.market_id, e.bucket_id)
    book.expect("ended_state", entry, "quantity_e8", e.quantity_e8, position)
    book.expect("ended_state", entry, "cash_uusd", e.cash_uusd, book.cash(e.bucket_id))
    is_open = bool(book.legs(e.bucket_id))
    right = LiquidationOutcome.RESTORED if is_open else LiquidationOutcome.CLOSED
    book.expect("ended_state", entry, "outcome", e.outcome.name, right.name)
    if is_open and e.market_id in book.fold.marks_e8:
        margin = book.restored_margin(e.bucket_id)
        if book.is_due(margin):
            message = f"margin above the buffer is {usd(margin // E22_PER_UUSD)}: not restored"
            book.findings.add("ended_state", entry.seq, message)


def liquidation_unresolved(book: Book, entry: Entry, e: LiquidationUnresolved) -> None:
    """Check that an unresolved liquidation is open, and that the run is over."""
    if e.bucket_id in book.unresolved:
        message = f"bucket {e.bucket_id} is recorded twice"
        book.findings.add("unresolved_state", entry.seq, message)
    book.unresolved.add(e.bucket_id)
    keepers.unresolved(book, entry, e)
    until_us = book.waits_until(e.bucket_id)
    is_paced = until_us > entry.sim_time_us
    if is_paced != (e.reason is UnresolvedReason.PACED):
        message = f"the reason is {e.reason.name.lower()}"
        book.findings.add("unresolved_state", entry.seq, message)
    if e.reason is UnresolvedReason.HALTED:
        now = entry.sim_time_us
        is_halted = any(book.breakers.is_halted(leg, now) for leg in book.legs(e.bucket_id))
        if not is_halted and not grace.lasts(book, e.bucket_id, now):
            book.findings.add("unresolved_state", entry.seq, "nothing is halted")
    last_us = book.terms.end_us - 1
    book.expect("unresolved_state", entry, "sim_time_us", entry.sim_time_us, last_us)
    position = book.position(e.market_id, e.bucket_id)
    book.expect("unresolved_state", entry, "quantity_e8", e.quantity_e8, position)
    if book.liquidation_of.get(e.bucket_id) != e.liquidation_seq:
        message = f"bucket {e.bucket_id} is not in liquidation {e.liquidation_seq}"
        book.findings.add("unresolved_state", entry.seq, message)


def all_over(book: Book, *, is_sealed: bool) -> None:
    """Check what every bucket was left with."""
    if is_sealed:
        funding.all_paid(book)
        for bucket, seq in book.liquidation_of.items():
            if bucket not in book.unresolved:
                message = f"liquidation {seq} of bucket {bucket} did not end"
                book.findings.add("unresolved_missing", None, message)
        shadow.check_open(book)
    served = book.liquidation_of.keys() | book.unresolved
    in_tranche = {tranche.start.bucket_id for tranche in book.tranches.values()}
    for bucket in book.buckets:
        if not book.legs(bucket):
            cash, debt = book.cash(bucket), book.fold.bad_debt_uusd.get(bucket, 0)
            is_right = cash == -debt if debt else cash >= 0
            if not is_right and bucket not in in_tranche:
                message = f"bucket {bucket} ends with {usd(cash)} and a bad debt of {usd(debt)}"
                book.findings.add("bad_debt", None, message)
        elif is_sealed and bucket not in served and book.is_judged(bucket):
            _check_calm(book, bucket)


def _check_calm(book: Book, bucket: int) -> None:
    """Check that a bucket in no liquidation is not due at the end, nor without displacement."""
    margin = book.margin(bucket)
    if book.is_due(margin):
        message = f"bucket {bucket} ends with a margin of {usd(margin // E22_PER_UUSD)}"
        book.findings.add("due_unserved", None, message)
    shadow.check_uncrossed(book, bucket)
