"""Which leg of a cross account a tranche may be cut from."""

import math
from typing import Final

import numpy as np

from liqsim.events import DecisionRecorded, Entry, TrancheStarted
from replay.audit.book import Book, LiquidationProgress
from replay.audit.coins import slice_size_e8
from replay.margin import E22_PER_UUSD, maintenance_e22

_E6: Final = 10**6
_E10: Final = 10**10
_NOBODY: Final = 1e18
_CLEARLY: Final = 1e-3
"""Relative difference of two scores that no rounding and no quadrature explains."""


def slice_e8(
    book: Book, market: int, bucket: int, liquidation: LiquidationProgress, mark_e8: int
) -> int:
    """Return the units of the next tranche of a leg: position, share or cap, and then the dust."""
    at_trigger = slice_size_e8(book, market, bucket, liquidation.sizes_e8.get(market, 0), mark_e8)
    share = -(-at_trigger * book.terms.share_e6 // _E6)
    cap = max(book.terms.max_uusd * _E10 // max(mark_e8, 1), 1)
    held = slice_size_e8(book, market, bucket, abs(book.position(market, bucket)), mark_e8)
    size = min(held, share, cap)
    return held if (held - size) * mark_e8 < book.terms.min_uusd * _E10 else size


def check_leg(
    book: Book,
    entry: Entry,
    e: TrancheStarted | DecisionRecorded,
    liquidation: LiquidationProgress,
) -> None:
    """Check that no other leg stands clearly before the one chosen."""
    legs = book.legs(e.bucket_id)
    if len(legs) < 2 or e.market_id not in legs:  # noqa: PLR2004 — one leg leaves no choice
        return
    score = _loss if book.terms.first_leg == "largest_loss" else _in_book
    scores = {leg: score(book, entry, leg, e.bucket_id, liquidation) for leg in legs}
    best = max(legs, key=lambda leg: scores[leg][0])
    least, most = scores[best][0], scores[e.market_id][1]
    if least - most > _CLEARLY * max(abs(least), abs(most)):
        message = f"cut from market {e.market_id}, must be from market {best}"
        book.findings.add("leg_order", entry.seq, message)


def _loss(
    book: Book, _entry: Entry, market: int, bucket: int, _liquidation: LiquidationProgress
) -> tuple[float, float]:
    """Return the unrealised loss, twice."""
    entry_price = book.fold.entry_prices_e8.get((market, bucket), 0)
    loss = book.position(market, bucket) * (entry_price - book.mark(market)) // _E10
    return loss, loss


def _in_book(
    book: Book, entry: Entry, market: int, bucket: int, liquidation: LiquidationProgress
) -> tuple[float, float]:
    """
    Return between what a leg's score must lie: its costs are known to a few micro-USD only.

    The score is maintenance released per slippage, or less slippage per value, as the venue ranks.
    """
    position, mark = book.position(market, bucket), book.mark(market)
    size = slice_e8(book, market, bucket, liquidation, mark)
    if market not in book.depths or market not in book.paths:
        return -math.inf, math.inf
    at_us, prices = book.paths[market]
    row = int(np.searchsorted(at_us, entry.sim_time_us, side="right")) - 1
    order = -size if position > 0 else size
    quote = book.depths[market].quote(entry.sim_time_us, int(prices[row]), order)
    if not quote.taken_e8:
        return (-_NOBODY, -_NOBODY) if book.terms.first_leg == "most_liquid" else (0.0, 0.0)
    slippage = quote.taken_e8 * quote.slippage_e8 / _E10
    pad = 2.0 + quote.taken_e8 * 2.0 / _E10
    least, most = max(slippage - pad, 0.0), slippage + pad
    if book.terms.first_leg == "most_liquid":
        value = max(quote.taken_e8 * quote.price_e8 / _E10 - 1.0, 1.0)
        return -most / value, -least / value
    rule = book.rule(market)
    left = abs(position) - quote.taken_e8
    released = maintenance_e22(rule, position, mark) - maintenance_e22(rule, left, mark)
    uusd = released / E22_PER_UUSD
    return (uusd - 1.0) / max(most, 1.0), (uusd + 1.0) / max(least, 1.0)
