"""
Auctions: who waited for one, whether it was held, at which price it cleared, and who traded.

The price is found among the few at which it can lie, rather than searched for: the mark, the end
of the schedule, the reserve prices, and where bids come up to what is for sale by then.
"""

from collections import deque
from fractions import Fraction
from typing import Final

import attrs

from liqsim.events import (
    AuctionHeld,
    DecisionRecorded,
    Entry,
    InventorySold,
    LotOffered,
    OrderFilled,
    TradeFilled,
    TranchesCrossed,
    TrancheStarted,
    TrancheTakenOver,
)
from liqsim.events.mitigation import NOT_OBSERVED
from replay.audit import crossing, grace
from replay.audit.book import Book
from replay.audit.holds import Hold
from replay.audit.legs import slice_e8
from replay.audit.lots import Auction
from replay.terms import MitigationTerms

_E6: Final = 10**6
_E10: Final = 10**10
_BOUND: Final = 10**18
_UNSET: Final = {field.name: NOT_OBSERVED for field in attrs.fields(DecisionRecorded)}
_LATER: Final = (
    AuctionHeld, TrancheStarted, OrderFilled, TrancheTakenOver, TranchesCrossed, InventorySold,
    TradeFilled,
)  # fmt: skip
"""What comes, within an instant, when its auctions are held or after them."""


# Waiting ------------------------------------------------------------------------------------------


def decision_recorded(book: Book, entry: Entry, e: DecisionRecorded) -> None:
    """Check that a slice waits for an auction that may, and until when it is."""
    bucket, market, now = e.bucket_id, e.market_id, entry.sim_time_us
    liquidation = book.liquidations.get(book.liquidation_of.get(bucket, -1))
    is_due = market in book.auctions.rules and book.is_sound(market, bucket)
    if liquidation is None or market not in book.legs(bucket) or not is_due:
        message = f"bucket {bucket} cannot wait for an auction in market {market}"
        book.findings.add("hold", entry.seq, message)
        return
    crossing.passed(book, entry, market, bucket)
    book.check_waits_no_more(entry, bucket)
    number, row = book.auctions.rules[market]
    wait = book.auctions.of.get((bucket, market))
    if wait is None:
        period = row.duration("period")
        wait = book.auctions.of[bucket, market] = Hold(now, now - now % period + period)
    crossing.check_held(book, entry, e, number, wait)
    book.auctions.called.add((wait.until_us, market))


def passed(book: Book, entry: Entry, market: int, bucket: int) -> None:
    """Check that a slice which goes on, to be put up or paced, has waited for its auction."""
    if market not in book.auctions.rules or not book.is_sound(market, bucket):
        return
    wait = book.auctions.of.get((bucket, market))
    if wait is None or entry.sim_time_us < wait.until_us:
        message = f"bucket {bucket} has not waited for an auction"
        book.findings.add("hold", entry.seq, message)


def look(book: Book, entry: Entry) -> None:
    """Find auctions that lack, and what the last one has left undone."""
    auctions, now, e = book.auctions, entry.sim_time_us, entry.event
    is_later = isinstance(e, _LATER) or (isinstance(e, DecisionRecorded) and e.bucket_id >= 0)
    for called in sorted(auctions.called):
        at_us, market = called
        if at_us < now or (at_us == now and is_later):
            auctions.called.discard(called)
            if _lots(book, market, at_us):
                auctions.due[market] = at_us
    _check_held(book, now, entry.seq)


def finish(book: Book) -> None:
    """Find, at the end of the run, auctions that lack."""
    _check_held(book, book.terms.end_us, book.fold.seq)


def _check_held(book: Book, now: int, seq: int) -> None:
    auctions, held = book.auctions, book.auctions.held
    for market, at_us in list(auctions.due.items()):
        if at_us < now:
            del auctions.due[market]
            book.findings.add("auction", seq, f"none was held in market {market} at {at_us} us")
    if held is not None and held.at_us < now:
        auctions.held = None
        for what in ("lots", "starts", "pairs", "taken"):
            left = getattr(held, what)
            if left:
                book.findings.add("auction", held.seq, f"{len(left)} {what} lack after it")


# What it clears -----------------------------------------------------------------------------------


def auction_held(book: Book, entry: Entry, e: AuctionHeld) -> None:
    """Hold an auction against the one worked out again."""
    market, now, mark = e.market_id, entry.sim_time_us, book.mark(e.market_id)
    due = book.auctions.due.pop(market, -1)
    if due != now or market not in book.auctions.rules:
        book.findings.add("auction", entry.seq, f"nobody waits for it in market {market}")
        return
    number, row = book.auctions.rules[market]
    lots = _lots(book, market, now)
    longs = sum(-lot.quantity_e8 for lot in lots if lot.quantity_e8 < 0)
    shorts = sum(lot.quantity_e8 for lot in lots if lot.quantity_e8 > 0)
    width = max(mark * row.ratio("distance") // _E6, 1)
    free, bids = _bids(book, number, row, market, width, is_long=longs >= shorts)
    price, fills = _cleared(lots, mark, width, bids)
    lots = [attrs.evolve(lot, filled_e8=fill) for lot, fill in zip(lots, fills, strict=True)]
    sold = [(lot.bucket_id, lot.filled_e8, 0) for lot in lots if lot.quantity_e8 < 0]
    bought = [
        (lot.bucket_id, lot.filled_e8, lot.held_since_at_us) for lot in lots if lot.quantity_e8 > 0
    ]
    right = AuctionHeld(
        mitigation_id=number,
        market_id=market,
        mark_price_e8=mark,
        price_e8=price,
        for_sale_e8=longs,
        for_purchase_e8=shorts,
        bids_e8=bids,
        taken_e8=sum(units for _, units, _ in sold) - sum(units for _, units, _ in bought),
        free_uusd=free,
    )
    for field in attrs.fields(AuctionHeld):
        actual = getattr(e, field.name)
        book.expect("auction", entry, field.name, actual, getattr(right, field.name))
    held = book.auctions.held = Auction(entry.seq, now, market, price, deque(lots))
    held.starts.extend(
        (lot.bucket_id, lot.filled_e8, lot.filled_e8 == abs(lot.quantity_e8))
        for lot in lots
        if lot.filled_e8
    )
    met: dict[int, int] = {}
    for seller, units, _ in sold:
        for buyer, wanted, since_us in bought:
            left = units - met.get(seller, 0), wanted - met.get(buyer, 0)
            if min(left) > 0:
                held.pairs.append((seller, buyer, min(left), since_us))
                met[seller] = met.get(seller, 0) + min(left)
                met[buyer] = met.get(buyer, 0) + min(left)
    rests = ((lot.bucket_id, lot.filled_e8 - met.get(lot.bucket_id, 0)) for lot in lots)
    held.taken.extend(rest for rest in rests if rest[1])
    for lot in lots:
        book.auctions.of[lot.bucket_id, market].is_held = False


def _lots(book: Book, market: int, at_us: int) -> list[LotOffered]:
    """Return what must be offered in the auction of an instant, in order, nothing of it filled."""
    if book.breakers.is_halted(market, at_us) or grace.lasts_in(book, market, at_us):
        return []
    found = []
    for (bucket, where), wait in book.auctions.of.items():
        seq = book.liquidation_of.get(bucket, -1)
        liquidation = book.liquidations.get(seq)
        if liquidation is None or not wait.is_held:
            continue
        if (where, wait.until_us) != (market, at_us):
            continue
        if book.is_restored(bucket) or book.is_stale(bucket, at_us):
            continue
        if book.is_sound(market, bucket):
            units = slice_e8(book, market, bucket, liquidation, book.mark(market))
            order = -units if book.position(market, bucket) > 0 else units
            reserve = book.bankruptcy_price(market, bucket)
            lot = LotOffered(seq, bucket, market, order, reserve, 0, wait.since_us)
            found.append((wait.since_us, seq, bucket, lot))
    return [lot for *_, lot in sorted(found, key=lambda row: row[:3])]


def _bids(
    book: Book, number: int, row: MitigationTerms, market: int, width: int, *, is_long: bool
) -> tuple[int, int]:
    """Return the free capital of bidders, and the units for which they bid."""
    owner = next(iter(book.purses.get(number, ())), None)
    if owner is None:
        return 0, 0
    mark, free = book.mark(market), max(book.free_capital(owner), 0)
    held = book.position(market, owner) if is_long else -book.position(market, owner)
    units = (
        row.usd("bids_usd") * _E10 // mark,
        free * _E10 // (mark if is_long else mark + width),
        row.usd("position_limit_usd") * _E10 // mark - held,
    )
    bids = max(min(units), 0)
    is_dust = Fraction(bids * mark, _E10) < row.usd("least_usd")
    return free, 0 if is_dust else bids


def _cleared(lots: list[LotOffered], mark: int, width: int, bids: int) -> tuple[int, list[int]]:
    """Return the price at which lots clear, and what of each is filled."""
    total = {sign: sum(abs(lot.quantity_e8) for lot in _of(lots, sign)) for sign in (-1, 1)}
    sign = -1 if total[-1] >= total[1] else 1
    larger, smaller = _of(lots, sign), total[-sign]
    reach = width if bids else 0
    # How far the price may move against each.
    rooms = {
        lot.bucket_id: sign * ((lot.reserve_price_e8 or (_BOUND if sign > 0 else 0)) - mark)
        for lot in larger
    }

    def ahead(moved: int) -> int:
        return sum(abs(lot.quantity_e8) for lot in larger if rooms[lot.bucket_id] > moved)

    candidates = {0, reach, *(room for room in rooms.values() if room <= width)}
    if bids:
        steps = [ahead(room) for room in (-1, *rooms.values())]
        candidates |= {-(-(step - smaller) * width // bids) for step in steps if step > smaller}
    prices = sorted(moved for moved in candidates if 0 <= moved <= reach)
    enough = [moved for moved in prices if ahead(moved) <= smaller + bids * moved // width]
    moved = enough[0] if enough else reach
    to_give = smaller + bids * moved // width
    fills = {lot.bucket_id: abs(lot.quantity_e8) for lot in _of(lots, -sign)}
    rationed = [lot for lot in larger if rooms[lot.bucket_id] > moved]
    if enough:
        fills |= {lot.bucket_id: abs(lot.quantity_e8) for lot in rationed}
        to_give -= ahead(moved)
        rationed = [lot for lot in larger if rooms[lot.bucket_id] == moved]
    whole = sum(abs(lot.quantity_e8) for lot in rationed)
    given = min(to_give, whole)
    for lot in rationed:
        fills[lot.bucket_id] = given * abs(lot.quantity_e8) // whole
    spare = given - sum(fills[lot.bucket_id] for lot in rationed)
    for lot in rationed[:spare]:
        fills[lot.bucket_id] += 1
    return max(mark + sign * moved, 1), [fills.get(lot.bucket_id, 0) for lot in lots]


def _of(lots: list[LotOffered], sign: int) -> list[LotOffered]:
    return [lot for lot in lots if lot.quantity_e8 * sign > 0]


# What trades --------------------------------------------------------------------------------------


def lot_offered(book: Book, entry: Entry, e: LotOffered) -> None:
    """Check that a slice is offered in its turn, at its reserve price, and what of it is filled."""
    held = book.auctions.held
    if held is None or not held.lots:
        book.findings.add("auction", entry.seq, "no auction has room for it")
        return
    right = held.lots.popleft()
    book.expect("auction", entry, "cause_seq", entry.cause_seq, held.seq)
    for field in attrs.fields(LotOffered):
        actual = getattr(e, field.name)
        book.expect("auction", entry, field.name, actual, getattr(right, field.name))


def size_e8(book: Book, entry: Entry, e: TrancheStarted) -> int:
    """Return the units that a slice must have that is put up in an auction."""
    held = book.auctions.held
    if held is None or held.lots or not held.starts:
        book.findings.add("auction", entry.seq, "no auction has it put up")
        return 0
    bucket, units, is_whole = held.starts.popleft()
    book.expect("auction", entry, "bucket_id", e.bucket_id, bucket)
    book.expect("auction", entry, "market_id", e.market_id, held.market_id)
    if is_whole:
        book.forget_slice(e.bucket_id)
    return units


def tranches_crossed(book: Book, entry: Entry, e: TranchesCrossed) -> None:
    """Check who sells how much to whom in an auction, at its price, and what that costs both."""
    held = book.auctions.held
    book.check_fresh(entry, e.bucket_id)
    if held is None or held.starts or not held.pairs:
        book.findings.add("auction", entry.seq, "no auction has them met")
        return
    seller, buyer, units, since_us = held.pairs.popleft()
    for what, actual, right in (
        ("mitigation_id", e.mitigation_id, book.auctions.rules[held.market_id][0]),
        ("market_id", e.market_id, held.market_id),
        ("tranche_seq", e.tranche_seq, book.slice_of(seller)),
        ("other_tranche_seq", e.other_tranche_seq, book.slice_of(buyer)),
        ("quantity_e8", e.quantity_e8, -units),
        ("price_e8", e.price_e8, held.price_e8),
        ("held_since_at_us", e.held_since_at_us, since_us),
    ):
        book.expect("auction", entry, what, actual, right)
    crossing.settle_both(book, entry, e)


def taken_over(book: Book, entry: Entry, e: TrancheTakenOver) -> None:
    """Check that bidders take over what an auction leaves them, at its price."""
    held = book.auctions.held
    book.expect("lifecycle", entry, "sent_at_us", e.sent_at_us, entry.sim_time_us)
    if held is None or held.pairs or not held.taken:
        book.findings.add("auction", entry.seq, "no auction has bidders take it over")
        return
    bucket, units = held.taken.popleft()
    owner = next(iter(book.purses.get(book.auctions.rules[held.market_id][0], ())), -1)
    for what, actual, right in (
        ("keeper_id", e.keeper_id, owner),
        ("bucket_id", e.bucket_id, bucket),
        ("its size", abs(e.quantity_e8), units),
        ("price_e8", e.price_e8, held.price_e8),
    ):
        book.expect("auction", entry, what, actual, right)
