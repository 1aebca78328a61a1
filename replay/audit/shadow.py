"""Shadow marks, the classes that rest on them, and balances that became due there."""

from typing import Final

from liqsim.events import (
    NO_CAUSE,
    Entry,
    LiquidationTriggered,
    ShadowCrossed,
    ShadowUpdated,
    Standing,
)
from replay.audit import marks
from replay.audit.book import Book, Snapshot
from replay.audit.findings import usd
from replay.margin import E22_PER_UUSD, margin_e22

_E9: Final = 10**9
_SLACK_E9: Final = 2
"""What rounding may do to a recorded displacement."""


def shadow_updated(book: Book, entry: Entry, e: ShadowUpdated) -> None:
    """Check an update's instants, and that it can be another than the mark's."""
    book.check_published(entry, e.sampled_at_us, e.published_at_us)
    depth = book.depths.get(e.market_id)
    if depth is None:
        return  # Reported as owner_unknown.
    is_displaced = book.terms.markets[e.market_id].depth is not None
    if not is_displaced or depth.newest_fill(entry.sim_time_us) == NO_CAUSE:
        message = f"the shadow mark of market {e.market_id} moves by itself before anybody trades"
        book.findings.add("shadow", entry.seq, message)
    marks.shadow_landed(book, entry, e)


def triggered(book: Book, entry: Entry, e: LiquidationTriggered) -> None:
    """Check what a trigger says of the shadow marks and of the rules of the start."""
    if e.market_id not in book.fold.marks_e8 or e.market_id >= len(book.terms.markets):
        return  # Reported as mark or as owner_unknown.
    held = book.held(e.bucket_id)
    shadow_e8 = book.fold.shadow_marks_e8[e.market_id]
    book.expect("shadow", entry, "shadow_mark_e8", e.shadow_mark_e8, shadow_e8)
    margin, start = book.margin(e.bucket_id), book.start_margin(e.bucket_id)
    on_shadow = book.shadow_margin(book.cash(e.bucket_id), held)
    market, bucket = e.market_id, e.bucket_id
    entered, coins = book.entry_price(market, bucket), book.coins(market, bucket)
    position = book.position(market, bucket), entered, coins
    own = {e.market_id: position}
    at_mark = margin_e22(0, [(book.rule(e.market_id), *position, book.mark(e.market_id))])
    lost = (on_shadow - margin) - (book.shadow_margin(0, own) - at_mark)
    for name, actual, right in (
        ("shadow_margin_uusd", e.shadow_margin_uusd, on_shadow),
        ("start_margin_uusd", e.start_margin_uusd, start),
        ("other_assets_uusd", e.other_assets_uusd, lost),
    ):
        book.expect("margin", entry, name, actual, right // E22_PER_UUSD)
    is_first = book.is_due(on_shadow) or e.bucket_id in book.shadows.crossed
    standing = Standing.FIRST_ORDER if is_first else Standing.OPEN
    if not book.is_due(start):
        standing = Standing.RULE_INDUCED
    book.expect("standing", entry, "standing", e.standing.name, standing.name)
    if standing is Standing.OPEN:
        snapshot = Snapshot(e.bucket_id, book.cash(e.bucket_id), held)
        book.shadows.open_triggers[entry.seq] = snapshot
    _check_displacement(book, entry, e)


def _check_displacement(book: Book, entry: Entry, e: LiquidationTriggered) -> None:
    if e.market_id not in book.depths:
        return
    shown_us = book.shown_at[e.market_id]
    parts = book.depths[e.market_id].moved_by(shown_us)
    for name, actual, (low, high) in (
        ("forced_displacement_e9", e.forced_displacement_e9, parts[0]),
        ("hedging_displacement_e9", e.hedging_displacement_e9, parts[1]),
        ("trading_displacement_e9", e.trading_displacement_e9, parts[2]),
    ):
        slack = _SLACK_E9 + max(abs(low), abs(high))
        if not low * _E9 - slack <= actual <= high * _E9 + slack:
            book.findings.expect("displacement", entry.seq, name, actual, round(low * _E9))


def shadow_crossed(book: Book, entry: Entry, e: ShadowCrossed) -> None:
    """Check that balances became due at the shadow marks, and were not before."""
    shadows = book.shadows
    if e.liquidation_seq == NO_CAUSE:
        snapshot: Snapshot | None = None
        if e.bucket_id not in shadows.crossed and e.bucket_id not in book.liquidation_of:
            snapshot = Snapshot(e.bucket_id, book.cash(e.bucket_id), book.held(e.bucket_id))
        shadows.crossed.add(e.bucket_id)
    else:
        snapshot = shadows.open_triggers.pop(e.liquidation_seq, None)
    if snapshot is None:
        message = f"bucket {e.bucket_id} is not watched with these balances"
        book.findings.add("crossing", entry.seq, message)
        return
    shadow_e8 = book.fold.shadow_marks_e8.get(e.market_id, 0)
    book.expect("shadow", entry, "shadow_mark_e8", e.shadow_mark_e8, shadow_e8)
    margin = book.shadow_margin(snapshot.cash_uusd, snapshot.held)
    floor = margin // E22_PER_UUSD
    book.expect("margin", entry, "shadow_margin_uusd", e.shadow_margin_uusd, floor)
    if not book.is_due(margin) or e.market_id not in snapshot.held:
        message = f"balances of bucket {e.bucket_id} have a shadow margin of {usd(floor)}"
        book.findings.add("crossing", entry.seq, message)


def check_uncrossed(book: Book, bucket: int) -> None:
    """Check that a bucket in no liquidation is not due at the shadow marks without a crossing."""
    judged = (book.causes.newest_shadow_judge.get(market, -1) for market in book.legs(bucket))
    if max(judged, default=-1) < book.shadows.since.get(bucket, -1):
        return  # Nobody has looked at it since.
    margin = book.shadow_margin(book.cash(bucket), book.held(bucket))
    if bucket not in book.shadows.crossed and book.is_due(margin):
        message = f"bucket {bucket} ends due at the shadow marks, and nothing in the log says so"
        book.findings.add("crossing", None, message)


def check_open(book: Book) -> None:
    """Check that the balances of no trigger have become due at the shadow marks unrecorded."""
    for seq, snapshot in book.shadows.open_triggers.items():
        if book.is_due(book.shadow_margin(snapshot.cash_uusd, snapshot.held)):
            message = f"trigger {seq} ends due at the shadow marks, and nothing in the log says so"
            book.findings.add("crossing", None, message)
