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
from replay.audit.book import Book
from replay.audit.legs import slice_e8
from replay.audit.limits import Grant, Limit

_E10: Final = 10**10


def decision_recorded(book: Book, entry: Entry, e: DecisionRecorded) -> None:
    """Hold a decision against the one worked out again."""
    pacing = book.pacing
    if not pacing.due:
        pacing.asked = None
        liquidation = book.liquidations.get(book.liquidation_of.get(e.bucket_id, -1))
        if liquidation is None or e.market_id not in book.legs(e.bucket_id):
            message = f"bucket {e.bucket_id} is not in liquidation in market {e.market_id}"
            book.findings.add("decision", entry.seq, message)
            return
        pacing.release(e.bucket_id)
        mark = book.mark(e.market_id)
        wanted = slice_e8(book, e.market_id, e.bucket_id, liquidation, mark)
        _ask(book, entry, e.market_id, e.bucket_id, wanted)
        if not pacing.due:
            book.findings.add("decision", entry.seq, "nothing had to be decided")
            return
    right = pacing.due.popleft()
    for field in attrs.fields(DecisionRecorded):
        actual = getattr(e, field.name)
        book.expect("decision", entry, field.name, actual, getattr(right, field.name))


def decision_left(book: Book, entry: Entry) -> None:
    """Report decisions that lack before *entry*."""
    book.findings.add("decision", entry.seq, f"{len(book.pacing.due)} decisions lack before it")
    book.pacing.due.clear()


def size_e8(book: Book, entry: Entry, e: TrancheStarted, wanted: int) -> int:
    """Return the units that a slice must have of those *wanted*, and note that it is put up."""
    pacing = book.pacing
    if not pacing.limits:
        return wanted
    if pacing.asked != (e.bucket_id, entry.sim_time_us):
        grant = pacing.grants.get(e.bucket_id)
        if grant is not None and (grant.at_us, grant.market_id) != (entry.sim_time_us, e.market_id):
            pacing.release(e.bucket_id)
            grant = None
        if grant is None:
            _ask(book, entry, e.market_id, e.bucket_id, wanted)
            if pacing.due:
                decision_left(book, entry)
    pacing.asked = None
    grant = pacing.grants.pop(e.bucket_id, None)
    if grant is None or grant.amount_uusd is None:
        return wanted
    if grant.at_us > entry.sim_time_us:
        message = f"at {entry.sim_time_us} us, a mitigation has it wait until {grant.at_us}"
        book.findings.add("tranche_spacing", entry.seq, message)
    return min(wanted, max(grant.amount_uusd * _E10 // max(e.mark_price_e8, 1), 1))


def _ask(book: Book, entry: Entry, market: int, bucket: int, wanted: int) -> None:
    """Work out what an ask of now gets, and which decisions must tell of it."""
    pacing, now = book.pacing, entry.sim_time_us
    limits, value = pacing.of(market), -(-wanted * book.mark(market) // _E10)
    at_us = now
    for _ in range(len(limits) + 1):  # Each pass at least one of them has its last word.
        at_us = max([at_us, *(limit.first(at_us, value)[0] for limit in limits)])
    amounts = [limit.first(at_us, value)[1] for limit in limits]
    booked = min([value, *amounts])
    grant = Grant(market, at_us, min(amounts, default=None), booked)
    pacing.due.extend(_decisions(limits, amounts, grant, now, bucket, wanted, value))
    for limit in limits:
        limit.booked = [row for row in limit.booked if row[0] > now - limit.span_us]
        limit.booked.append((at_us, booked))
    pacing.grants[bucket] = grant
    pacing.asked = bucket, now


def _decisions(
    limits: list[Limit],
    amounts: list[int],
    grant: Grant,
    now: int,
    bucket: int,
    wanted: int,
    value: int,
) -> Iterator[DecisionRecorded]:
    for limit, amount in zip(limits, amounts, strict=True):
        is_delayed = limit.first(now, value)[0] > now
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
