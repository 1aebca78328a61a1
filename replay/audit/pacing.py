"""
What mitigations let be put up, and when: every decision worked out again, and those that lack.

An account asks whenever it could put a slice up. An ask shows as the decisions that it led to, as
the start of a tranche, or as both; what no decision tells must have been let through as it was.
"""

from collections.abc import Iterator
from typing import Final

import attrs

from liqsim.events import Action, DecisionRecorded, Entry, TrancheStarted
from liqsim.events.mitigation import NOT_OBSERVED
from replay.audit import auctions, crossing, own
from replay.audit.book import Book
from replay.audit.judges import (
    check_depth,
    check_foreign,
    decision_of,
    is_foreign,
    lets_through,
)
from replay.audit.legs import slice_e8
from replay.audit.limits import Grant, Judging, Limit

_E10: Final = 10**10


def decision_recorded(book: Book, entry: Entry, e: DecisionRecorded) -> None:
    """Hold a decision against the one worked out again."""
    pacing = book.pacing
    if not pacing.due and not _goes_on(book, entry, e.bucket_id) and not _begin(book, entry, e):
        return
    judging = pacing.judging
    if judging is not None and e.mitigation_id in judging.left:
        while judging.left[0] != e.mitigation_id:
            _pass_over(book, entry, judging, judging.left.popleft())
        _judged(book, entry, judging, judging.left.popleft(), e)
        return
    if judging is not None:
        _finish(book, entry, judging)
    if not pacing.due:
        book.findings.add("decision", entry.seq, "nothing had to be decided")
        return
    right = pacing.due.popleft()
    _compare(book, entry, e, right)


def check_left(book: Book, entry: Entry) -> None:
    """Report decisions that lack before *entry*, which is none."""
    pacing, e = book.pacing, entry.event
    judging = pacing.judging
    if judging is not None and not (
        isinstance(e, TrancheStarted) and _goes_on(book, entry, e.bucket_id)
    ):
        _finish(book, entry, judging)
    _check_missing(book, entry)


def _check_missing(book: Book, entry: Entry) -> None:
    """Report decisions that lack before *entry*."""
    if book.pacing.due:
        book.findings.add("decision", entry.seq, f"{len(book.pacing.due)} decisions lack before it")
        book.pacing.due.clear()


def size_e8(book: Book, entry: Entry, e: TrancheStarted, wanted: int) -> int:
    """Return the units that a slice must have of those *wanted*, and note that it is put up."""
    pacing = book.pacing
    if not pacing.limits and not pacing.judges:
        return wanted
    if pacing.asked != (e.bucket_id, entry.sim_time_us):
        _open(book, entry, e.market_id, e.bucket_id, wanted, e.tranche_number)
    if pacing.judging is not None:
        _finish(book, entry, pacing.judging)
    _check_missing(book, entry)
    pacing.asked = None
    wanted = min(wanted, pacing.judged_e8)
    grant = pacing.grants.pop(e.bucket_id, None)
    until = max(pacing.waits.pop(e.bucket_id, 0), grant.at_us if grant is not None else 0)
    if until > entry.sim_time_us:
        message = f"at {entry.sim_time_us} us, a mitigation has it wait until {until}"
        book.findings.add("tranche_spacing", entry.seq, message)
    if grant is None or grant.amount_uusd is None:
        return wanted
    return min(wanted, max(grant.amount_uusd * _E10 // max(e.mark_price_e8, 1), 1))


def _goes_on(book: Book, entry: Entry, bucket: int) -> bool:
    """Return whether an ask of *bucket* at this instant is in course."""
    judging = book.pacing.judging
    return judging is not None and (judging.bucket_id, judging.now_us) == (
        bucket,
        entry.sim_time_us,
    )


def _begin(book: Book, entry: Entry, e: DecisionRecorded) -> bool:
    """Take note of the ask that a decision is the first to tell of; return whether it can be."""
    if book.pacing.judging is not None:
        _finish(book, entry, book.pacing.judging)
    liquidation = book.liquidations.get(book.liquidation_of.get(e.bucket_id, -1))
    if liquidation is None or e.market_id not in book.legs(e.bucket_id):
        message = f"bucket {e.bucket_id} is not in liquidation in market {e.market_id}"
        book.findings.add("decision", entry.seq, message)
        return False
    mark = book.mark(e.market_id)
    wanted = slice_e8(book, e.market_id, e.bucket_id, liquidation, mark)
    crossing.passed(book, entry, e.market_id, e.bucket_id)
    auctions.passed(book, entry, e.market_id, e.bucket_id)
    _open(book, entry, e.market_id, e.bucket_id, wanted, liquidation.tranches + 1)
    return True


def _open(
    book: Book, entry: Entry, market: int, bucket: int, wanted: int, tranche_number: int
) -> None:
    """Lay an ask before those who judge the instant."""
    pacing, now = book.pacing, entry.sim_time_us
    left = pacing.judges_of(market)
    pacing.judging = Judging(now, bucket, market, tranche_number, wanted, left, wanted, now)
    pacing.asked = bucket, now
    if (until := pacing.waits.pop(bucket, 0)) > now:
        message = f"bucket {bucket} asks while a mitigation has it wait until {until}"
        book.findings.add("tranche_spacing", entry.seq, message)


def _judged(book: Book, entry: Entry, judging: Judging, number: int, e: DecisionRecorded) -> None:
    """Check one who judges the instant, and heed what it says."""
    if is_foreign(book.terms.mitigations[number].kind):
        check_foreign(book, entry, judging, e)
        own.check(book, entry, judging, e)
    else:
        check_depth(book, entry, judging, e)
        right = decision_of(book, judging, number, max(e.depth_e8, 0))
        if right is None:
            book.findings.add("decision", entry.seq, "nothing had to be decided")
            return
        _compare(book, entry, e, right)
    judging.until_us = max(judging.until_us, e.until_at_us)
    if e.size_e8 != NOT_OBSERVED:
        judging.size_e8 = min(judging.size_e8, e.size_e8)


def _compare(book: Book, entry: Entry, e: DecisionRecorded, right: DecisionRecorded) -> None:
    for field in attrs.fields(DecisionRecorded):
        actual = getattr(e, field.name)
        book.expect("decision", entry, field.name, actual, getattr(right, field.name))


def _pass_over(book: Book, entry: Entry, judging: Judging, number: int) -> None:
    """Check that one who has not spoken had nothing to say."""
    is_foreign_kind = is_foreign(book.kind_of(number))
    if not (
        own.lets_through(book, entry, judging, number)
        if is_foreign_kind
        else lets_through(book, judging, number)
    ):
        message = f"a decision of mitigation {number} on bucket {judging.bucket_id} lacks before it"
        book.findings.add("decision", entry.seq, message)


def _finish(book: Book, entry: Entry, judging: Judging) -> None:
    """Lay what those who judge the instant leave before those who book ahead."""
    pacing, bucket, now = book.pacing, judging.bucket_id, judging.now_us
    while judging.left:
        _pass_over(book, entry, judging, judging.left.popleft())
    pacing.judging, pacing.judged_e8 = None, judging.size_e8
    if judging.until_us > now:
        pacing.release(bucket)
        pacing.waits[bucket] = judging.until_us
        return
    grant, market = pacing.grants.get(bucket), judging.market_id
    if grant is None or (grant.at_us, grant.market_id) != (now, market):
        pacing.release(bucket)
        if pacing.limits:
            _ask(book, now, market, bucket, judging.size_e8)
    elif judging.size_e8 < judging.wanted_e8:
        pacing.lessen(bucket, -(-judging.size_e8 * book.mark(market) // _E10))


def _ask(book: Book, now: int, market: int, bucket: int, wanted: int) -> None:
    """Work out what an ask of now gets, and which decisions must tell of it."""
    pacing, mark = book.pacing, book.mark(market)
    limits, value, unit = pacing.of(market), -(-wanted * mark // _E10), -(-mark // _E10)
    at_us = now
    for _ in range(len(limits) + 1):  # Each pass at least one of them has its last word.
        at_us = max([at_us, *(limit.first(at_us, value, unit)[0] for limit in limits)])
    amounts = [limit.first(at_us, value, unit)[1] for limit in limits]
    booked = min([value, *amounts])
    grant = Grant(market, at_us, min(amounts, default=None), booked)
    pacing.due.extend(_decisions(limits, amounts, grant, now, bucket, wanted, mark))
    for limit in limits:
        limit.booked = [row for row in limit.booked if row[0] > now - limit.span_us]
        limit.booked.append((at_us, booked))
    pacing.grants[bucket] = grant


def _decisions(
    limits: list[Limit],
    amounts: list[int],
    grant: Grant,
    now: int,
    bucket: int,
    wanted: int,
    mark: int,
) -> Iterator[DecisionRecorded]:
    value, unit = -(-wanted * mark // _E10), -(-mark // _E10)
    for limit, amount in zip(limits, amounts, strict=True):
        is_delayed = limit.first(now, value, unit)[0] > now
        if is_delayed or amount < value:
            yield DecisionRecorded(
                mitigation_id=limit.number,
                action=Action.DELAYED if is_delayed else Action.CUT,
                market_id=grant.market_id,
                bucket_id=bucket,
                wanted_e8=wanted,
                used_uusd=limit.used(grant.at_us),
                amount_uusd=amount,
                until_at_us=grant.at_us if grant.at_us > now else NOT_OBSERVED,
            )
