"""Fills, takeovers and resales: sizes, prices, fees and limits."""

from typing import Final

from liqsim.events import (
    DepthChanged,
    Entry,
    FailedCall,
    InventorySold,
    KeeperCallFailed,
    OrderFilled,
    TrancheTakenOver,
)
from replay.audit import engine
from replay.audit.book import Book, Resale
from replay.audit.findings import e8
from replay.audit.settlement import settle

_E10: Final = 10**10
_E6: Final = 10**6


def order_filled(book: Book, entry: Entry, e: OrderFilled) -> None:
    """Check an order's size, time, fee and limit."""
    engine.order_filled(book, entry, e)
    book.check_reduces(entry, e.market_id, e.bucket_id, e.quantity_e8)
    _check_order(book, entry, e)
    note_flow(book, entry, e)
    settle(book, entry, e, book.terms.order_fee_e6)
    tranche = book.open_tranche(entry, e.tranche_seq)
    if tranche is None:
        return
    book.check_within_slice(entry, tranche, e.quantity_e8)
    tranche.filled_e8 += abs(e.quantity_e8)
    limit = tranche.start.limit_price_e8
    is_sale = tranche.start.quantity_e8 < 0
    is_beyond = e.price_e8 < limit if is_sale else e.price_e8 > limit
    if is_beyond and (left := _deleverageable(book, e.market_id, e.bucket_id)) is not None:
        book.findings.add(
            "limit_crossed",
            entry.seq,
            f"filled at {e8(e.price_e8)}, limit {e8(limit)}, "
            f"while bucket {left} could be deleveraged",
        )


def tranche_taken_over(book: Book, entry: Entry, e: TrancheTakenOver) -> None:
    """Check size, price and fee of a takeover."""
    book.check_reduces(entry, e.market_id, e.bucket_id, e.quantity_e8)
    call_landed(book, entry, e)
    settle(book, entry, e, book.terms.takeover_fee_e6)
    _note_inventory(book, entry, e)
    book.taken_over.add(e.tranche_seq)
    tranche = book.open_tranche(entry, e.tranche_seq)
    marks = [book.fold.marks_e8.get(e.market_id, 0)]
    if tranche is not None:
        book.check_within_slice(entry, tranche, e.quantity_e8)
        tranche.taken_over_e8 += abs(e.quantity_e8)
        marks.append(tranche.start.mark_price_e8)
    right = [_discounted(book, mark, is_sale=e.quantity_e8 < 0) for mark in marks]
    if e.price_e8 not in right:
        message = f"taken over at {e8(e.price_e8)}, must be at {e8(right[0])}"
        book.findings.add("takeover_price", entry.seq, message)


def _note_inventory(book: Book, entry: Entry, e: TrancheTakenOver) -> None:
    """Note what a keeper will have to sell."""
    if e.keeper_id not in book.keeper_terms:
        return
    held = abs(book.position(e.market_id, e.keeper_id) - e.quantity_e8)
    first_us = entry.sim_time_us + book.keeper_terms[e.keeper_id].resale_delay_us
    resale = book.resales.setdefault((e.keeper_id, e.market_id), Resale(0, first_us))
    resale.most_held_e8 = max(resale.most_held_e8, held) if held else 0


def inventory_sold(book: Book, entry: Entry, e: InventorySold) -> None:
    """Check that a keeper sells no more than it has, in parts of the right size, in time."""
    book.check_reduces(entry, e.market_id, e.keeper_id, e.quantity_e8)
    _check_order(book, entry, e)
    note_flow(book, entry, e)
    resale = book.resales.get((e.keeper_id, e.market_id))
    if resale is None:
        return  # It has nothing: reported as fill_size.
    terms, inventory = book.keeper_terms[e.keeper_id], book.position(e.market_id, e.keeper_id)
    part = min(abs(inventory), -(-resale.most_held_e8 // terms.resale_parts))
    book.expect("resale", entry, "ordered_e8", e.ordered_e8, -part if inventory > 0 else part)
    if entry.sim_time_us < resale.earliest_us:
        message = f"sold at {entry.sim_time_us} us, must be at {resale.earliest_us} or later"
        book.findings.add("resale", entry.seq, message)
    resale.earliest_us = entry.sim_time_us + terms.resale_spacing_us
    if not inventory + e.quantity_e8:
        del book.resales[e.keeper_id, e.market_id]


def note_flow(book: Book, entry: Entry, e: OrderFilled | InventorySold) -> None:
    """Have the market's book take a fill, and check it."""
    depth = book.depths.get(e.market_id)
    if depth is not None:
        depth.filled(entry, e)


def depth_changed(book: Book, entry: Entry, e: DepthChanged) -> None:
    """Have the market's book change its depth."""
    depth = book.depths.get(e.market_id)
    if depth is not None:
        depth.changed(entry, e)


def call_failed(book: Book, entry: Entry, e: KeeperCallFailed) -> None:
    """Check that a call lost the race if, and only if, another won it."""
    call_landed(book, entry, e)
    if (e.reason is FailedCall.LOST_RACE) != (e.tranche_seq in book.taken_over):
        is_taken = "is" if e.tranche_seq in book.taken_over else "is not"
        message = f"{e.reason.name}, but tranche {e.tranche_seq} {is_taken} taken over"
        book.findings.add("call_failed", entry.seq, message)


def call_landed(book: Book, entry: Entry, e: TrancheTakenOver | KeeperCallFailed) -> None:
    """Check that a call was sent before it landed, and what it cost."""
    if e.keeper_id in book.keeper_terms:
        right = book.keeper_terms[e.keeper_id].call_cost_uusd
        book.expect("call_cost", entry, "call_cost_uusd", e.call_cost_uusd, right)
    if e.sent_at_us > entry.sim_time_us:
        book.findings.add("lifecycle", entry.seq, "the call landed before it was sent")


def _check_order(book: Book, entry: Entry, e: OrderFilled | InventorySold) -> None:
    if abs(e.quantity_e8) > abs(e.ordered_e8) or e.quantity_e8 * e.ordered_e8 <= 0:
        message = f"{e8(e.quantity_e8)} was filled of an order of {e8(e.ordered_e8)}"
        book.findings.add("fill_size", entry.seq, message)


def _deleverageable(book: Book, market: int, bucket: int) -> int | None:
    """
    Return an account that stands in the deleveraging queue of *bucket*, if there is one.

    It is on the other side, not in liquidation, has a profit and equity at the bankruptcy price.
    """
    if book.terms.deleveraging == "none":
        return None
    position = book.position(market, bucket)
    price = book.bankruptcy_price(market, bucket)
    if not price:
        return None
    for other in book.sides[market, position < 0]:
        quantity = book.position(market, other)
        profit = quantity * (price - book.fold.entry_prices_e8.get((market, other), price))
        equity = book.backing(market, other) * _E10 + quantity * price
        if profit > 0 and equity >= 0 and other not in book.liquidation_of:
            return other
    return None


def _discounted(book: Book, mark: int, *, is_sale: bool) -> int:
    """Return the mark less (for a sale) the discount, rounded for the bucket."""
    discount = book.terms.discount_e6
    if is_sale:
        return max(-(-mark * (_E6 - discount) // _E6), 1)
    return max(mark * (_E6 + discount) // _E6, 1)
