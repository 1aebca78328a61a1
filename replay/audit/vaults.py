"""Vaults and pools: of what is left of a slice each takes what it can, before others must."""

from typing import Final

from liqsim.events import Entry, TrancheTakenOver
from replay.audit.book import Book, TrancheProgress
from replay.audit.desk import discounted
from replay.audit.findings import e8

_E10: Final = 10**10
_BOUND: Final = 10**18


def most(book: Book, vault: int, tranche: TrancheProgress) -> tuple[int, int]:
    """Return how much of what is left of a slice one can take over now, and at which price."""
    terms, start = book.vaults[vault], tranche.start
    market, bucket = start.market_id, start.bucket_id
    position, mark = book.position(market, bucket), book.mark(market)
    left = abs(start.quantity_e8) - tranche.done_e8
    if terms.market_id not in (None, market) or not position or not mark or left <= 0:
        return 0, 0
    is_long = position > 0
    price = discounted(mark, terms.ratio("discount"), is_sale=is_long)
    limit = book.limit_price(market, bucket, left)
    if (price < limit if is_long else price > limit) or price >= _BOUND:
        return 0, price
    held = book.position(market, vault) * (1 if is_long else -1)
    room = terms.usd("position_limit_usd") * _E10 // mark - held
    paid_for = max(book.free_capital(vault), 0) * _E10 // price
    return max(min(left, room, paid_for), 0), price


def taken_over(book: Book, entry: Entry, e: TrancheTakenOver) -> None:
    """Check that one takes over what it can, at its price, and that it is its turn."""
    book.expect("lifecycle", entry, "sent_at_us", e.sent_at_us, entry.sim_time_us)
    tranche = book.tranches.get(e.tranche_seq)
    if tranche is None:
        return  # Reported as lifecycle.
    size, price = most(book, e.keeper_id, tranche)
    book.expect("backstop", entry, "its size", abs(e.quantity_e8), size)
    book.expect("takeover_price", entry, "price_e8", e.price_e8, price)
    if book.ahead is not None and book.ahead.due is not None:
        book.ahead.due = None
        tranche.ahead.add(e.keeper_id)
        return  # The others are asked once the book has given what it has.
    if e.keeper_id in tranche.ahead:
        message = f"pool {e.keeper_id} has gone ahead of the book, and is asked again"
        book.findings.add("pool", entry.seq, message)
    before = [vault for vault in book.vaults if vault < e.keeper_id]
    check_done(book, entry, tranche, before)
    tranche.asked |= {(vault, entry.sim_time_us) for vault in (*before, e.keeper_id)}


def check_done(
    book: Book, entry: Entry, tranche: TrancheProgress, vaults: list[int] | None = None
) -> None:
    """Check that no vault could take over more of what is left of a slice before *entry*."""
    for vault in book.vaults if vaults is None else vaults:
        if (vault, entry.sim_time_us) in tranche.asked or vault in tranche.ahead:
            continue  # It is asked once, though what was taken over might let it take more.
        size, _ = most(book, vault, tranche)
        if size:
            message = f"vault {vault} could take {e8(size)} of the slice over before it"
            book.findings.add("backstop", entry.seq, message)
            return
