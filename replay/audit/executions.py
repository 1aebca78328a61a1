"""Fills and resales: sizes, prices, fees and limits."""

from typing import Final

from liqsim.events import (
    DepthChanged,
    Entry,
    InventorySold,
    OrderFilled,
)
from replay.audit import engine, incentives, keepers
from replay.audit.book import Book, TrancheProgress
from replay.audit.depth import Fill
from replay.audit.findings import e8
from replay.audit.queue import candidates
from replay.audit.settlement import settle

_E6: Final = 10**6


def order_filled(book: Book, entry: Entry, e: OrderFilled) -> None:
    """Check an order's size, time, fee and limit."""
    engine.order_filled(book, entry, e)
    book.check_fresh(entry, e.bucket_id)
    book.check_reduces(entry, e.market_id, e.bucket_id, e.quantity_e8)
    check_order(book, entry, e)
    note_flow(book, entry, e)
    settle(book, entry, e, book.terms.order_fee_e6)
    incentives.executed(book, entry, e)
    tranche = book.open_tranche(entry, e.tranche_seq)
    if tranche is None:
        return
    book.check_within_slice(entry, tranche, e.quantity_e8)
    tranche.filled_e8 += abs(e.quantity_e8)
    limit = tranche.start.limit_price_e8
    is_sale = tranche.start.quantity_e8 < 0
    is_beyond = e.price_e8 < limit if is_sale else e.price_e8 > limit
    if is_beyond and (left := _deleverageable(book, tranche)) is not None:
        book.findings.add(
            "limit_crossed",
            entry.seq,
            f"filled at {e8(e.price_e8)}, limit {e8(limit)}, "
            f"while bucket {left} could be deleveraged",
        )


def inventory_sold(book: Book, entry: Entry, e: InventorySold) -> None:
    """Check that a keeper sells no more than it has, in parts of the right size, in time."""
    book.check_reduces(entry, e.market_id, e.keeper_id, e.quantity_e8)
    check_order(book, entry, e)
    note_flow(book, entry, e)
    resale = book.resales.get((e.keeper_id, e.market_id))
    if resale is None:
        return  # It has nothing: reported as fill_size.
    terms, inventory = book.keeper_terms[e.keeper_id], book.position(e.market_id, e.keeper_id)
    keepers.check_up(book, entry, terms, entry.sim_time_us)
    part = min(abs(inventory), -(-resale.most_held_e8 // terms.resale_parts))
    book.expect("resale", entry, "ordered_e8", e.ordered_e8, -part if inventory > 0 else part)
    if entry.sim_time_us < resale.earliest_us:
        message = f"sold at {entry.sim_time_us} us, must be at {resale.earliest_us} or later"
        book.findings.add("resale", entry.seq, message)
    wait_us = terms.resale_spacing_us
    if e.quantity_e8 != e.ordered_e8 and e.market_id in book.depths:
        wait_us = max(wait_us, book.depths[e.market_id].half_life_us)
    resale.earliest_us = entry.sim_time_us + wait_us
    if not inventory + e.quantity_e8:
        del book.resales[e.keeper_id, e.market_id]


def note_flow(book: Book, entry: Entry, e: Fill) -> None:
    """Have the market's book take a fill, and check it."""
    depth = book.depths.get(e.market_id)
    if depth is not None:
        depth.filled(entry, e)


def depth_changed(book: Book, entry: Entry, e: DepthChanged) -> None:
    """Have the market's book change its depth."""
    depth = book.depths.get(e.market_id)
    if depth is not None:
        depth.changed(entry, e)


def check_order(book: Book, entry: Entry, e: Fill) -> None:
    """Check that a fill is of its order, and no larger."""
    if abs(e.quantity_e8) > abs(e.ordered_e8) or e.quantity_e8 * e.ordered_e8 <= 0:
        message = f"{e8(e.quantity_e8)} was filled of an order of {e8(e.ordered_e8)}"
        book.findings.add("fill_size", entry.seq, message)


def _deleverageable(book: Book, tranche: TrancheProgress) -> int | None:
    """Return an account that could be deleveraged for a slice and was not, if there is one."""
    market, bucket = tranche.start.market_id, tranche.start.bucket_id
    price = book.bankruptcy_price(market, bucket)
    if book.terms.deleveraging == "none" or not price:
        return None
    cap, cut_at = book.terms.deleveraging_cap_e6, tranche.start.mark_price_e8
    # Of nobody else is there less: with a cap all that may be closed is.
    tried = tranche.cut if cap < _E6 else ()
    return next(
        (
            other
            for other in candidates(book, market, bucket, price)
            if other not in tried and book.closable(market, other, cut_at) * cap >= _E6
        ),
        None,
    )
