"""Accounts that act of their own will: when they may, by how much, and what it leaves them with."""

from typing import Final

from liqsim.events import (
    NO_CAUSE,
    Entry,
    FundsDeposited,
    FundsWithdrawn,
    TradeFilled,
    TradeReason,
)
from replay.audit.book import Book
from replay.audit.executions import check_order, note_flow
from replay.audit.findings import e8, usd
from replay.margin import slope_e14
from replay.terms import TraderTerms

_E6: Final = 10**6
_E16: Final = 10**16


def trade_filled(book: Book, entry: Entry, e: TradeFilled) -> None:
    """Check an order: its right, time, size, fee, entry price, and what it leaves."""
    check_order(book, entry, e)
    terms = _acts(book, entry, e.bucket_id)
    position = book.position(e.market_id, e.bucket_id)
    book.expect_mark(entry, e.market_id, e.mark_price_e8)
    fee = -(-abs(e.quantity_e8) * e.price_e8 * book.terms.taker_fee_e6 // _E16)
    book.expect("fee", entry, "fee_uusd", e.fee_uusd, fee)
    _check_entry(book, entry, e, position)
    _check_left(book, entry, e, position)
    if terms is not None:
        _check_slippage(book, entry, e, terms)
        _check_near(book, entry, e.market_id, e.bucket_id, terms)
        _check_size(book, entry, e, position, terms)
    note_flow(book, entry, e)


def funds_deposited(book: Book, entry: Entry, e: FundsDeposited) -> None:
    """Check a deposit after the start: a top-up."""
    if not entry.sim_time_us:
        return  # The scenario's, checked with the openings.
    terms, home = _acts(book, entry, e.owner_id), book.buckets.get(e.owner_id)
    if terms is None or home is None:
        return
    _check_near(book, entry, home, e.owner_id, terms)
    book.top_ups[e.owner_id] += 1
    if terms.near is None or not terms.near.can_top_up:
        _report(book, entry, f"account {e.owner_id} tops up, and its cohort does not")
        return
    if book.top_ups[e.owner_id] > terms.near.top_up_times:
        _report(book, entry, f"account {e.owner_id} tops up {book.top_ups[e.owner_id]} times")
    at_zero = int(book.terms.due_at_zero)
    lacking = at_zero - _margin(book, home, e.owner_id, terms.near.top_up_to_e6)
    book.expect("trader", entry, "amount_uusd", e.amount_uusd, max(-(-lacking // _E16), 0))


def funds_withdrawn(book: Book, entry: Entry, e: FundsWithdrawn) -> None:
    """Check that who withdraws has closed its position, and takes all that is left."""
    if book.legs(e.bucket_id) or book.fold.seq != entry.cause_seq or not e.amount_uusd:
        _report(book, entry, f"account {e.bucket_id} withdraws, and has not just closed")
    book.expect("trader", entry, "amount_uusd", e.amount_uusd, book.cash(e.bucket_id))
    book.leaves = None


def leaver_stayed(book: Book, entry: Entry) -> None:
    """Report an account that has closed its position and does not take out what is left."""
    _report(book, entry, f"account {book.leaves} has closed its position and leaves money behind")
    book.leaves = None


def traded(book: Book, entry: Entry, e: TradeFilled) -> None:
    """Note, once a trade is folded, who must withdraw now."""
    del entry
    if not book.position(e.market_id, e.bucket_id) and book.cash(e.bucket_id):
        book.leaves = e.bucket_id


def _acts(book: Book, entry: Entry, bucket: int) -> TraderTerms | None:
    """Return the terms by which an account acts; report one that may not."""
    terms = book.trader_terms.get(bucket)
    if terms is None:
        _report(book, entry, f"account {bucket} acts, and its cohort holds what it has")
    elif bucket in book.liquidation_of:
        _report(book, entry, f"account {bucket} acts in its liquidation")
    elif entry.cause_seq != NO_CAUSE and (cause := book.causes.seen.get(entry.cause_seq)):
        waited = entry.sim_time_us - cause.sim_time_us
        median, p99 = terms.reaction_us
        if waited < 1 or (median == p99 and waited != max(median, 1)):
            _report(book, entry, f"account {bucket} acts {waited} us after its reason")
    return terms


def _margin(book: Book, market: int, bucket: int, buffer_e6: int) -> int:
    """Return the margin at (1 + buffer) x maintenance, in 1e-22 USD; its units rounded up."""
    quantity = book.position(market, bucket)
    asked = quantity * _E6 - slope_e14(book.tiers(market), quantity)
    raised = -(-asked * (_E6 + buffer_e6) // _E6)
    return book.cash(bucket) * _E16 + book.mark(market) * (quantity * _E6 - raised)


def _check_near(book: Book, entry: Entry, market: int, bucket: int, terms: TraderTerms) -> None:
    """Check that an account that acts is near its liquidation."""
    if terms.near is None:
        _report(book, entry, f"account {bucket} acts, and has nothing to react to")
        return
    margin = _margin(book, market, bucket, terms.near.alert_buffer_e6)
    if not book.is_due(margin):
        message = f"account {bucket} has {usd(margin // _E16)} above its alert: it is not near"
        _report(book, entry, message)


def _check_size(
    book: Book, entry: Entry, e: TradeFilled, position: int, terms: TraderTerms
) -> None:
    """Check the order that a reason makes."""
    near = terms.near
    share_e6 = _E6
    if e.reason is TradeReason.REDUCED:
        share_e6 = near.reduce_by_e6 if near is not None else 0
    size = -(-abs(position) * share_e6 // _E6)
    book.expect("trader", entry, "ordered_e8", e.ordered_e8, -size if position > 0 else size)
    if near is not None and not near.may(e.reason):
        _report(book, entry, f"account {e.bucket_id} has {e.reason.name}, and its cohort does not")


def _check_slippage(book: Book, entry: Entry, e: TradeFilled, terms: TraderTerms) -> None:
    """Check that the price moved no further than the account lets it."""
    depth = book.depths.get(e.market_id)
    if depth is None:
        return
    sign = 1 if e.quantity_e8 > 0 else -1
    before = depth.quote(entry.sim_time_us, e.reference_price_e8, sign).price_e8
    limit = before * (1 + sign * terms.slippage_e6 / _E6)
    if sign * (e.market_price_e8 - limit) > 2 + limit / 10**9:
        message = f"moved the market to {e8(e.market_price_e8)}, limit {e8(limit)}"
        _report(book, entry, message)


def _check_entry(book: Book, entry: Entry, e: TradeFilled, position: int) -> None:
    """Check the entry price: what is added is averaged in, against the account."""
    after, old = position + e.quantity_e8, book.fold.entry_prices_e8.get((e.market_id, e.bucket_id))
    if not after:
        right = 0
    elif position * e.quantity_e8 < 0:
        right = old or 0
    else:
        value = position * (old or 0) + e.quantity_e8 * e.price_e8
        right = -(-value // after) if after > 0 else max(value // after, 1)
    book.expect("entry_price", entry, "entry_price_e8", e.entry_price_e8, right)


def _check_left(book: Book, entry: Entry, e: TradeFilled, position: int) -> None:
    """Check that a trade leaves no account due, or in debt."""
    after = position + e.quantity_e8
    cash = book.cash(e.bucket_id) - e.cost_uusd - e.fee_uusd
    mark, slope = book.mark(e.market_id), slope_e14(book.tiers(e.market_id), after)
    margin = cash * _E16 + mark * slope
    if cash < 0 if not after else book.is_due(margin):
        _report(book, entry, f"leaves account {e.bucket_id} a margin of {usd(margin // _E16)}")


def _report(book: Book, entry: Entry, message: str) -> None:
    book.findings.add("trader", entry.seq, message)
