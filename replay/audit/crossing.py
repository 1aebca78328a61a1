"""
Crossing: who was held, who met whom, and who should have.

A slice that could be put up meets those that are held on the other side, the earliest first; if
there are none it is held itself, until its time is over. Whom the mark would leave with a hole
neither meets anybody nor waits.
"""

from collections import deque
from typing import Final

import attrs

from liqsim.events import (
    Action,
    DecisionRecorded,
    Entry,
    Executor,
    TranchesCrossed,
    TrancheStarted,
    TrancheTakenOver,
)
from liqsim.events.mitigation import NOT_OBSERVED
from replay.audit import incentives
from replay.audit.book import Book
from replay.audit.findings import e8
from replay.audit.holds import Hold, Meeting
from replay.audit.legs import check_leg, slice_e8
from replay.audit.settlement import settle
from replay.fold import cost_of

_UNSET: Final = {field.name: NOT_OBSERVED for field in attrs.fields(DecisionRecorded)}


def decision_recorded(book: Book, entry: Entry, e: DecisionRecorded) -> None:
    """Check that a slice is held that may be, for as long as it may, and that nobody met it."""
    bucket, market = e.bucket_id, e.market_id
    liquidation = book.liquidations.get(book.liquidation_of.get(bucket, -1))
    if liquidation is None or market not in book.legs(bucket) or not _is_due(book, market, bucket):
        message = f"bucket {bucket} cannot be held in market {market}"
        book.findings.add("hold", entry.seq, message)
        return
    hold = _asked(book, entry, market, bucket)
    check_held(book, entry, e, book.holds.rules[market][0], hold)
    _check_unmet(book, entry, market, bucket)


def check_held(book: Book, entry: Entry, e: DecisionRecorded, number: int, hold: Hold) -> None:
    """Check that a slice is held, by mitigation *number*, that could be put up, and until when."""
    bucket, market, now = e.bucket_id, e.market_id, entry.sim_time_us
    liquidation = book.liquidations[book.liquidation_of[bucket]]
    right = _UNSET | {
        "mitigation_id": number,
        "action": Action.HELD,
        "market_id": market,
        "bucket_id": bucket,
        "wanted_e8": slice_e8(book, market, bucket, liquidation, book.mark(market)),
        "until_at_us": hold.until_us,
    }
    for name, value in right.items():
        book.expect("decision", entry, name, getattr(e, name), value)
    book.check_fresh(entry, bucket)
    check_leg(book, entry, e, liquidation)
    is_waiting = now < liquidation.earliest_us or liquidation.open_tranche >= 0
    is_waiting |= book.auctions.waits_until(bucket) > now
    if hold.is_held or is_waiting or book.is_restored(bucket) or now >= hold.until_us:
        message = f"bucket {bucket} has nothing to put up that could still be held"
        book.findings.add("hold", entry.seq, message)
    if book.breakers.is_halted(market, now):
        book.findings.add("halted", entry.seq, f"held in market {market}, which is halted")
    hold.is_held = True


def passed(book: Book, entry: Entry, market: int, bucket: int) -> None:
    """Check that a slice which goes on, to be put up or paced, has waited, and met nobody."""
    if market not in book.holds.rules or not _is_due(book, market, bucket):
        return
    hold = book.holds.of.get((bucket, market))
    if hold is None or entry.sim_time_us < hold.until_us:
        book.findings.add("hold", entry.seq, f"bucket {bucket} has not been held long enough")
    _check_unmet(book, entry, market, bucket)


def is_met(book: Book, e: TrancheStarted) -> bool:
    """Return whether a slice is put up to be met by one that has asked."""
    return e.executor is Executor.CROSSING and book.holds.meeting is not None


def size_e8(book: Book, entry: Entry, e: TrancheStarted, wanted: int) -> int:
    """Return the units that a slice must have to be crossed."""
    meeting, bucket = book.holds.meeting, e.bucket_id
    if meeting is not None:
        account, size, _ = meeting.other = (
            meeting.left.popleft() if meeting.left else (-1, 0, False)
        )
        book.expect("crossed", entry, "bucket_id", bucket, account)
        book.expect("crossed", entry, "sim_time_us", entry.sim_time_us, meeting.at_us)
        meeting.other_seq = entry.seq
        return size
    parts, left = [], wanted
    if _is_due(book, e.market_id, bucket):
        _asked(book, entry, e.market_id, bucket)
        for other, units in _waiting(book, e.market_id, bucket, entry.sim_time_us):
            if left:
                parts.append((other, min(units, left), units <= left))
                left -= parts[-1][1]
    if not parts:
        message = f"there is nobody with whom bucket {bucket} could be crossed"
        book.findings.add("crossed", entry.seq, message)
    book.holds.meeting = Meeting(entry.seq, entry.sim_time_us, not left, deque(parts))
    return wanted - left


def tranches_crossed(book: Book, entry: Entry, e: TranchesCrossed) -> None:
    """Check who is crossed with whom, at the mark, and what that costs both."""
    meeting, market = book.holds.meeting, e.market_id
    book.check_fresh(entry, e.bucket_id)
    if meeting is None:
        book.findings.add("crossed", entry.seq, "no tranche asks for it")
        return
    account, size, is_whole = meeting.other
    hold = book.holds.of.get((account, market))
    is_sale = book.position(market, e.bucket_id) > 0
    quantity = -size if is_sale else size
    for what, actual, right in (
        ("mitigation_id", e.mitigation_id, book.holds.rules.get(market, (-1, 0))[0]),
        ("tranche_seq", e.tranche_seq, meeting.seq),
        ("other_tranche_seq", e.other_tranche_seq, meeting.other_seq),
        ("counterparty_id", e.counterparty_id, account),
        ("quantity_e8", e.quantity_e8, quantity),
        ("price_e8", e.price_e8, book.mark(market)),
        ("held_since_at_us", e.held_since_at_us, -1 if hold is None else hold.since_us),
    ):
        book.expect("crossed", entry, what, actual, right)
    settle_both(book, entry, e)
    meeting.other_seq, meeting.other = -1, (-1, 0, False)
    if hold is not None:
        hold.is_held = False
        if is_whole:
            book.forget_slice(account)


def settle_both(book: Book, entry: Entry, e: TranchesCrossed) -> None:
    """Check what it costs both sides that they are met with each other."""
    market = e.market_id
    cost = cost_of(e.quantity_e8, e.price_e8)
    for seq, one in (
        (e.tranche_seq, (e.bucket_id, e.counterparty_id, e.quantity_e8, cost, e.fee_uusd)),
        (
            e.other_tranche_seq,
            (e.counterparty_id, e.bucket_id, -e.quantity_e8, -cost, e.other_fee_uusd),
        ),
    ):
        bucket, other, units, paid, fee = one
        # To each side it is as if the other took its slice over.
        taken = TrancheTakenOver(
            seq, bucket, other, market, units, e.price_e8, paid, fee, 0, entry.sim_time_us
        )
        book.check_reduces(entry, market, bucket, units)
        settle(book, entry, taken, book.terms.takeover_fee_e6, may_draw=False)
        incentives.executed(book, entry, taken)
        tranche = book.open_tranche(entry, seq)
        if tranche is not None:
            book.check_within_slice(entry, tranche, units)
            tranche.crossed_e8 += abs(units)


def settled(book: Book, entry: Entry, start: TrancheStarted, seq: int) -> None:
    """Check, when a slice is settled, that it met all that it had to."""
    meeting = book.holds.meeting
    if meeting is None or seq != meeting.seq:
        return
    book.holds.meeting = None
    book.expect("crossed", entry, "sim_time_us", entry.sim_time_us, meeting.at_us)
    if meeting.left:
        message = f"{len(meeting.left)} held on the other side were not met before"
        book.findings.add("crossed", entry.seq, message)
    if meeting.is_whole:
        book.forget_slice(start.bucket_id)


def _asked(book: Book, entry: Entry, market: int, bucket: int) -> Hold:
    """Return how long a slice may be held that could be put up now, and that it waits no more."""
    now = entry.sim_time_us
    book.check_waits_no_more(entry, bucket)
    hold = book.holds.of.get((bucket, market))
    if hold is None:
        until = now + book.holds.rules[market][1]
        hold = book.holds.of[bucket, market] = Hold(now, until)
    return hold


def _is_due(book: Book, market: int, bucket: int) -> bool:
    """Return whether a leg is crossed at all: there is a rule, and the mark leaves no hole."""
    return market in book.holds.rules and book.is_sound(market, bucket)


def _waiting(book: Book, market: int, bucket: int, now: int) -> list[tuple[int, int]]:
    """Return who is held on the other side and can be met, and the units of each, in order."""
    is_long = book.position(market, bucket) > 0
    found = []
    for (other, where), hold in book.holds.of.items():
        seq = book.liquidation_of.get(other, -1)
        liquidation = book.liquidations.get(seq)
        if liquidation is None or not hold.is_held or now >= hold.until_us:
            continue
        if where != market or (book.position(market, other) > 0) == is_long:
            continue
        if book.is_restored(other) or book.is_stale(other, now) or not _is_due(book, market, other):
            continue
        units = slice_e8(book, market, other, liquidation, book.mark(market))
        found.append((hold.since_us, seq, other, units))
    return [(other, units) for _, _, other, units in sorted(found)]


def _check_unmet(book: Book, entry: Entry, market: int, bucket: int) -> None:
    for other, units in _waiting(book, market, bucket, entry.sim_time_us)[:1]:
        message = f"bucket {bucket} could be crossed with {e8(units)} of bucket {other}"
        book.findings.add("crossed", entry.seq, message)
