"""
What the insurance fund can pay now: what it has, within the limits that the scenario sets it.

A limit that keeps it from paying, or an order from a price that it would pay for, is recorded as a
decision right before what it changes.
"""

from collections.abc import Callable, Iterable

from liqsim.events import Action, DecisionRecorded, Entry, FundDrawn, TrancheStarted
from replay.audit.book import Book
from replay.audit.findings import event_text


def capped(
    book: Book, market: int, bucket: int, wanted: int, differs: Callable[[int], bool]
) -> list[DecisionRecorded]:
    """Return the decisions of the limits under which what *differs* tells apart is different."""
    tranche = book.slice_of(bucket)
    return [
        DecisionRecorded(
            mitigation_id=limit.number,
            action=Action.CAPPED,
            market_id=market,
            bucket_id=bucket,
            used_uusd=limit.used(book.now_us),
            amount_uusd=most,
            wanted_uusd=wanted,
            paid_uusd=limit.paid_for(tranche),
        )
        for limit in book.limits_on_fund(market)
        if differs(most := limit.room(book.now_us, tranche))
    ]


def capped_draw(book: Book, market: int, bucket: int, shortfall: int) -> list[DecisionRecorded]:
    """Return the decisions that keep the fund from paying what it has of a shortfall."""
    wanted = min(shortfall, book.fold.fund_uusd)
    return capped(book, market, bucket, wanted, lambda most: most < wanted)


def noted(book: Book, e: DecisionRecorded) -> None:
    """Note a decision that no execution brought about, until what it changes comes."""
    if book.kind_of(e.mitigation_id) == "fund_limits":
        book.caps.append(e)


def fund_drawn(book: Book, entry: Entry, e: FundDrawn) -> None:
    """Note a draw."""
    tranche = book.tranches.get(e.tranche_seq)
    market = 0 if tranche is None else tranche.start.market_id
    for limit in book.limits_on_fund(market):
        limit.pays(entry.sim_time_us, e.tranche_seq, e.amount_uusd)


def check_caps(book: Book, entry: Entry, right: Iterable[DecisionRecorded]) -> None:
    """Check that the decisions noted are those that must come right before *entry*."""
    due, noted = list(right), book.caps
    book.caps = []
    for decision in due:
        if decision not in noted:
            message = f"{event_text(decision)} is missing before it"
            book.findings.add("decision", entry.seq, message)
    for decision in noted:
        if decision not in due:
            message = f"{event_text(decision)} was recorded before it, and is not due"
            book.findings.add("decision", entry.seq, message)


def check_limit_caps(book: Book, entry: Entry, e: TrancheStarted) -> None:
    """Check the decisions that move the limit price of a slice."""
    size, has = abs(e.quantity_e8), max(book.fold.fund_uusd, 0)
    if not size or not book.position(e.market_id, e.bucket_id):
        return

    def limit_at(payable_uusd: int) -> int:
        return book.limit_price(e.market_id, e.bucket_id, size, payable_uusd)

    free = limit_at(has) if book.fund_limits else 0
    check_caps(
        book,
        entry,
        capped(
            book,
            e.market_id,
            e.bucket_id,
            has,
            lambda most: most < has and limit_at(most) != free,
        ),
    )
