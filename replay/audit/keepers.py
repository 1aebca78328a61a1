"""
Keepers: when they may call, what an offer must promise them, and what becomes of it.

A call is judged by what stood when it was sent, a takeover and a call that fails by what stands
when they land. What a log does not tell is not judged: see the limits in `docs/log-format.md`.
"""

import math
from typing import Final

import numpy as np

from liqsim.events import (
    Entry,
    FailedCall,
    KeeperCallFailed,
    LiquidationUnresolved,
    PositionDeleveraged,
    TrancheSettled,
    TrancheStarted,
    TrancheTakenOver,
)
from replay.audit import auctions, desk, incentives, vaults
from replay.audit.book import Book, Offer, Resale
from replay.audit.findings import usd
from replay.audit.settlement import settle
from replay.terms import KeeperTerms

_E10: Final = 10**10
_CLEARLY: Final = 1e-3
"""Relative difference of two slippages that no rounding and no quadrature explains."""


# Offers -------------------------------------------------------------------------------------------


def offered(book: Book, entry: Entry, e: TrancheStarted) -> None:
    """Note an offer, and whether any price will do: then it is deleveraged before it is offered."""
    price, limit = discounted(book, e.mark_price_e8, is_sale=e.quantity_e8 < 0), e.limit_price_e8
    is_forced = price < limit if e.quantity_e8 < 0 else price > limit
    book.offers[entry.seq] = Offer(e, entry.sim_time_us, abs(e.quantity_e8), is_forced)


def deleveraged(book: Book, e: PositionDeleveraged | TrancheTakenOver) -> None:
    """Note that less is offered, where deleveraging, or a vault, comes before the offer."""
    offer = book.offers.get(e.tranche_seq)
    if offer is not None and offer.is_forced:
        offer.size_e8 -= abs(e.quantity_e8)


def settled(book: Book, entry: Entry, e: TrancheSettled) -> None:
    """Check that an offer that nobody took was withdrawn for a reason."""
    offer = book.offers.get(e.tranche_seq)
    if offer is None or offer.ended_as is not None or not offer.size_e8:
        return
    offer.ended_as = FailedCall.RESTORED
    if not _is_restored(book, e.bucket_id):
        book.findings.add("offer", entry.seq, "withdrawn, and the margin is not restored")


def unresolved(book: Book, entry: Entry, e: LiquidationUnresolved) -> None:
    """Check that no offer is left that a mark should have withdrawn."""
    liquidation = book.liquidations.get(e.liquidation_seq)
    if liquidation is not None:
        _check_standing(book, entry, liquidation.open_tranche)


def _check_standing(book: Book, entry: Entry, tranche_seq: int) -> None:
    """Check that no mark that landed on an offer restored the margin."""
    offer = book.offers.get(tranche_seq)
    if offer is None or not _is_restored(book, offer.start.bucket_id):
        return
    # Deleveraging before the offer may restore a margin by itself: only the next mark tells.
    legs = book.legs(offer.start.bucket_id)
    if any(book.causes.newest_judge.get(leg, -1) > tranche_seq for leg in legs):
        book.findings.add("offer", entry.seq, "it stands, and the margin is restored")


def _is_restored(book: Book, bucket: int) -> bool:
    return book.is_restored(bucket)


def _is_beyond(book: Book, offer: Offer) -> bool:
    """Return whether the price of an offer is now beyond bankruptcy and fund."""
    market, bucket = offer.start.market_id, offer.start.bucket_id
    if not book.position(market, bucket) or not offer.size_e8:
        return False  # Reported as fill_size.
    limit, is_sale = book.limit_price(market, bucket, offer.size_e8), offer.start.quantity_e8 < 0
    price = discounted(book, book.mark(market), is_sale=is_sale)
    return price < limit if is_sale else price > limit


def discounted(book: Book, mark: int, *, is_sale: bool) -> int:
    """Return the mark less (for a sale) the discount, rounded for the bucket."""
    return desk.discounted(mark, book.terms.discount_e6, is_sale=is_sale)


# Calls --------------------------------------------------------------------------------------------


def tranche_taken_over(book: Book, entry: Entry, e: TrancheTakenOver) -> None:
    """Check what a takeover takes, at which price, of which offer, and with which capital."""
    book.check_reduces(entry, e.market_id, e.bucket_id, e.quantity_e8)
    is_bidder = e.keeper_id in book.auctions.bidders
    if e.keeper_id in book.vaults:
        vaults.taken_over(book, entry, e)
    elif is_bidder:
        auctions.taken_over(book, entry, e)
    _call_landed(book, entry, e)
    settle(book, entry, e, book.terms.takeover_fee_e6, may_draw=not is_bidder)
    incentives.executed(book, entry, e)
    if not is_bidder:  # What they can pay is in the schedule that the auction is held against.
        _check_capital(book, entry, e)
    _note_inventory(book, entry, e)
    tranche = book.open_tranche(entry, e.tranche_seq)
    if tranche is not None:
        book.check_within_slice(entry, tranche, e.quantity_e8)
        tranche.taken_over_e8 += abs(e.quantity_e8)
    if e.keeper_id in book.vaults:
        deleveraged(book, e)
        return
    if e.keeper_id == book.desk_id or is_bidder:
        return  # Price and size are checked as those of the desk, or of the auction.
    right = discounted(book, book.mark(e.market_id), is_sale=e.quantity_e8 < 0)
    book.expect("takeover_price", entry, "price_e8", e.price_e8, right)
    offer = book.offers.get(e.tranche_seq)
    if offer is None:
        return
    book.expect("offer", entry, "its size", abs(e.quantity_e8), offer.size_e8)
    if offer.ended_as is not None:
        message = f"taken over after it had ended: {offer.ended_as.name}"
        book.findings.add("offer", entry.seq, message)
    _check_standing(book, entry, e.tranche_seq)
    if not offer.is_forced and _is_beyond(book, offer):
        book.findings.add("offer", entry.seq, "taken over beyond its limit")
    offer.ended_as = FailedCall.LOST_RACE


def call_failed(book: Book, entry: Entry, e: KeeperCallFailed) -> None:
    """Check that what a call failed for was so."""
    _call_landed(book, entry, e)
    offer = book.offers.get(e.tranche_seq)
    if offer is None:
        return  # Reported as reference_kind or executor.
    reason, ended_as = e.reason, offer.ended_as
    if reason is FailedCall.PURSE_SHORT:
        is_right = ended_as is None  # Which other calls were on their way, the log does not tell.
    elif reason is FailedCall.BEYOND_LIMIT and ended_as is None:
        is_right = not offer.is_forced and _is_beyond(book, offer)
        offer.ended_as = FailedCall.BEYOND_LIMIT
    else:
        is_right = reason is ended_as
    if not is_right:
        state = "the offer stands" if ended_as is None else f"the offer ended: {ended_as.name}"
        book.findings.add("call_failed", entry.seq, f"{reason.name}, but {state}")


def _call_landed(book: Book, entry: Entry, e: TrancheTakenOver | KeeperCallFailed) -> None:
    """Check when a call was sent, what it cost, and what it promised."""
    offer, terms = book.offers.get(e.tranche_seq), book.keeper_terms.get(e.keeper_id)
    since_us = 0 if offer is None else offer.since_us
    if not since_us <= e.sent_at_us <= entry.sim_time_us:
        message = f"sent at {e.sent_at_us} us, must be from {since_us} to {entry.sim_time_us}"
        book.findings.add("lifecycle", entry.seq, message)
        return
    if terms is None:
        return  # Reported as owner_unknown.
    book.expect("call_cost", entry, "call_cost_uusd", e.call_cost_uusd, terms.call_cost_uusd)
    check_up(book, entry, terms, e.sent_at_us)
    if offer is not None:
        _check_promise(book, entry, e, offer, terms)


def check_up(book: Book, entry: Entry, terms: KeeperTerms, at_us: int) -> None:
    """Check that a keeper that does something is not down."""
    if any(start <= at_us < end for start, end in terms.downtime):
        book.findings.add("keeper_down", entry.seq, f"sent at {at_us} us, while it is down")


def _check_promise(
    book: Book,
    entry: Entry,
    e: TrancheTakenOver | KeeperCallFailed,
    offer: Offer,
    terms: KeeperTerms,
) -> None:
    """Check that an offer promised what the keeper asks for, in the book as a call was sent."""
    market, least = offer.start.market_id, terms.min_profit_uusd
    if least is None or market not in book.depths or not offer.size_e8:
        return
    at_us, prices = book.paths[market]
    row = int(np.searchsorted(at_us, e.sent_at_us, side="right")) - 1
    is_sale = offer.start.quantity_e8 < 0
    part = -(-offer.size_e8 // terms.resale_parts)
    # Who takes a long over sells it on, as the bucket's order would.
    quotes = book.depths[market].quotes(e.sent_at_us, int(prices[row]), -part if is_sale else part)
    paid = discounted(book, book.mark_at(market, e.sent_at_us), is_sale=is_sale)
    on_top = incentives.most_promised(book, offer, e.sent_at_us, paid)
    most = -float("inf")
    for quote in quotes:
        if quote.taken_e8 < part * (1 - 1e-9) - 1:
            continue  # The book does not show enough for one part.
        slippage = quote.slippage_e8 * (1 - _CLEARLY) - 2
        gain = quote.price_e8 - slippage - paid if is_sale else paid - quote.price_e8 - slippage
        most = max(most, offer.size_e8 * gain / _E10 - terms.call_cost_uusd + on_top + 2)
    if most < least:
        promised = f"{usd(round(most))} or less" if math.isfinite(most) else "nothing"
        message = f"sent for {promised}, must be for {usd(least)} or more"
        book.findings.add("keeper_profit", entry.seq, message)


def _check_capital(book: Book, entry: Entry, e: TrancheTakenOver) -> None:
    """Check that what a keeper pays is not tied up: a short ties up twice its value."""
    need = -(-abs(e.quantity_e8) * e.price_e8 // _E10) + e.call_cost_uusd
    free = book.free_capital(e.keeper_id)
    if need > free:
        message = f"{usd(need)} are paid out of {usd(free)} that are free"
        book.findings.add("keeper_capital", entry.seq, message)


def _note_inventory(book: Book, entry: Entry, e: TrancheTakenOver) -> None:
    """Note what a keeper will have to sell."""
    if e.keeper_id not in book.keeper_terms:
        return
    held = abs(book.position(e.market_id, e.keeper_id) - e.quantity_e8)
    first_us = entry.sim_time_us + book.keeper_terms[e.keeper_id].resale_delay_us
    resale = book.resales.setdefault((e.keeper_id, e.market_id), Resale(0, first_us))
    resale.most_held_e8 = max(resale.most_held_e8, held) if held else 0
