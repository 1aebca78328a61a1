"""
What is settled in coins: of inverse positions every execution, of others a debt without a position.

An inverse position of some contract units at an entry price is cut into slices of the coin, worth
at the mark what the contract units are at their entry. What an execution closes of them, and what
it should have left in cash had it been at the entry price, is worked out before it; what must be
exchanged with the makers for that, once it has happened.
"""

from typing import Final

from liqsim.events import (
    CoinsSettled,
    DecisionRecorded,
    Entry,
    Event,
    FundDrawn,
    OrderFilled,
    PositionDeleveraged,
    SurplusRouted,
    TrancheStarted,
    TrancheTakenOver,
)
from replay.audit.book import Book, CoinsDue, InverseSlice
from replay.audit.findings import usd
from replay.fold import cost_of

_E10: Final = 10**10
_BEFORE: Final = (SurplusRouted, DecisionRecorded, FundDrawn, CoinsSettled)
"""What may come between an execution and its settlement."""


def slice_size_e8(book: Book, market: int, bucket: int, units_e8: int, mark_e8: int) -> int:
    """Return the order that closes contract units of a position, rounded up."""
    if not book.rule(market).is_inverse:
        return units_e8
    return -(-units_e8 * book.entry_price(market, bucket) // max(mark_e8, 1))


def tranche_started(book: Book, e: TrancheStarted) -> None:
    """Note the contract units behind a slice."""
    if not book.rule(e.market_id).is_inverse:
        return
    held, size = abs(book.position(e.market_id, e.bucket_id)), abs(e.quantity_e8)
    whole = slice_size_e8(book, e.market_id, e.bucket_id, held, e.mark_price_e8)
    units = held * size // max(whole, 1)
    book.slices[e.bucket_id] = InverseSlice(size, units, e.mark_price_e8)


def executed(book: Book, entry: Entry, e: OrderFilled | TrancheTakenOver) -> int:
    """Note what must be settled after an execution; return its contract units, signed."""
    part = book.slices.get(e.bucket_id)
    if not book.rule(e.market_id).is_inverse or part is None or not part.size_e8:
        return e.quantity_e8
    size = min(abs(e.quantity_e8), part.size_e8)
    units = part.units_e8 * size // part.size_e8
    part.size_e8, part.units_e8 = part.size_e8 - size, part.units_e8 - units
    return _note(book, entry, e.market_id, e.bucket_id, units, e.price_e8)


def deleveraged(book: Book, entry: Entry, e: PositionDeleveraged) -> None:
    """Note what must be settled after a deleveraging, on both sides."""
    part = book.slices.get(e.bucket_id)
    if not book.rule(e.market_id).is_inverse or part is None or not part.size_e8:
        return
    size = min(abs(e.quantity_e8), part.size_e8)
    units = part.units_e8 * size // part.size_e8
    part.size_e8, part.units_e8 = part.size_e8 - size, part.units_e8 - units
    _note(book, entry, e.market_id, e.bucket_id, units, e.price_e8)
    most = book.closable(e.market_id, e.counterparty_id, part.mark_e8)
    if most:
        held = abs(book.position(e.market_id, e.counterparty_id))
        units = held * min(size, most) // most
        _note(book, entry, e.market_id, e.counterparty_id, units, e.price_e8)


def _note(book: Book, entry: Entry, market: int, account: int, units: int, price_e8: int) -> int:
    held = book.position(market, account)
    closed = -units if held > 0 else units
    cash = book.cash(account) - cost_of(closed, book.entry_price(market, account))
    left = held + closed
    book.coins_due.append(CoinsDue(entry.seq, account, left, cash if left else 0, price_e8))
    return closed


def coins_settled(book: Book, entry: Entry, e: CoinsSettled) -> None:
    """Check a settlement against what the execution before must have left."""
    book.open_tranche(entry, e.tranche_seq)
    if book.run is not None:
        book.run.last_seq = entry.seq  # The next one may be deleveraged after it.
    held, coins = book.position(e.market_id, e.account_id), book.coins(e.market_id, e.account_id)
    cash = book.cash(e.account_id)
    if book.coins_due:
        due = book.coins_due.popleft()
        book.expect("coins", entry, "account_id", e.account_id, due.account_id)
        book.expect("coins", entry, "cause_seq", entry.cause_seq, due.seq)
    elif held or cash >= 0 or coins <= 0:
        message = f"account {e.account_id} has {usd(cash)}, and nothing to settle in coins"
        book.findings.add("coins", entry.seq, message)
        return
    else:
        price = book.mark(e.market_id)
        due = CoinsDue(entry.cause_seq, e.account_id, 0, 0, price)
    if due.account_id != e.account_id or not due.price_e8:
        return
    lacks = due.cash_uusd - cash
    free = coins + held - due.units_e8
    sold = min(-(-lacks * _E10 // due.price_e8), free)
    # Who sells all that is free gets what it is worth, and a micro-dollar if that is all it lacks.
    worth = sold * due.price_e8 // _E10
    amount = lacks if sold < free or worth >= lacks - 1 else worth
    for name, actual, right in (
        ("price_e8", e.price_e8, due.price_e8),
        ("units_e8", e.units_e8, due.units_e8 - held),
        ("coins_e8", e.coins_e8, held - due.units_e8 - sold),
        ("amount_uusd", e.amount_uusd, amount),
    ):
        book.expect("coins", entry, name, actual, right)


def check_due(book: Book, entry: Entry) -> None:
    """Check that nothing comes between an execution and its settlement but the fund's part."""
    if book.coins_due and not isinstance(entry.event, _BEFORE):
        for due in book.coins_due:
            message = f"event {due.seq} is not settled in coins for account {due.account_id}"
            book.findings.add("coins", due.seq, message)
        book.coins_due.clear()


def check_spent(book: Book, entry: Entry, market: int, bucket: int, event: Event) -> None:
    """Check that a bucket without a position owes nothing that its coins could pay."""
    coins = book.coins(market, bucket)
    if not book.legs(bucket) and book.cash(bucket) < 0 < coins:
        message = f"bucket {bucket} owes {usd(-book.cash(bucket))} at {event.TAG}, and has coins"
        book.findings.add("coins", entry.seq, message)
