"""
Who filled a hole that the fund could not: stakers first, then winners, then all, then nobody.

Worked out account by account from the folded balances: profits, what each can pay before it is
due, shares by the largest remainder; and compared event by event with what was recorded.
"""

from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from typing import Final

from liqsim.events import (
    BadDebtRecorded,
    Entry,
    Event,
    FundingIndexMoved,
    LossSocialised,
    ProfitCut,
    StakeSlashed,
)
from replay.audit import coins, settlement
from replay.audit.book import Book, Hole
from replay.audit.findings import event_text, usd
from replay.audit.queue import rank_e6
from replay.margin import E22_PER_UUSD

_E10: Final = 10**10
_E6: Final = 10**6
_LAYERS: Final = 3
_CODES: Final[dict[type[Event], str]] = {
    StakeSlashed: "slashing",
    ProfitCut: "haircut",
    FundingIndexMoved: "socialised",
    LossSocialised: "socialised",
}

Shared = StakeSlashed | ProfitCut | FundingIndexMoved | LossSocialised


def loss_shared(book: Book, entry: Entry, e: Shared | BadDebtRecorded) -> None:
    """Check that *e* is what must come next of the hole of its tranche."""
    hole = book.hole
    if hole is None or hole.tranche_seq != e.tranche_seq:
        hole = book.hole = _opened(book, entry, e)
    right = _next_due(book, hole)
    if e == right:
        hole.due.popleft()
        return
    if isinstance(e, BadDebtRecorded):
        _report_missing(book, entry.seq, right)
        hole.due.clear()  # Said once.
        hole.layer = _LAYERS
        return
    message = (
        f"{event_text(e)} was recorded, {'nothing' if right is None else event_text(right)} is due"
    )
    book.findings.add(_CODES[type(e)], entry.seq, message)
    if type(e) is type(right):
        hole.due.popleft()


def hole_left(book: Book, entry: Entry) -> None:
    """Check that nothing is due of a hole when something else happens."""
    if book.hole is not None:
        _report_missing(book, entry.seq, _next_due(book, book.hole))
        book.hole = None


def _opened(book: Book, entry: Entry, e: Shared | BadDebtRecorded) -> Hole:
    tranche = book.tranches.get(e.tranche_seq)
    market = 0 if tranche is None else tranche.start.market_id
    coins.check_spent(book, entry, market, e.bucket_id, e)
    hole = Hole(e.tranche_seq, e.bucket_id, market)
    what = "others pay"
    if isinstance(e, BadDebtRecorded):
        what = f"{usd(e.amount_uusd)} are bad debt"
    settlement.fund_has_paid(book, entry, hole, what)
    if not isinstance(e, BadDebtRecorded):
        book.open_tranche(entry, e.tranche_seq)
        if book.legs(e.bucket_id):
            message = f"bucket {e.bucket_id} still has a position"
            book.findings.add(_CODES[type(e)], entry.seq, message)
    return hole


def _report_missing(book: Book, seq: int, right: Shared | None) -> None:
    if right is not None:
        book.findings.add(_CODES[type(right)], seq, f"{event_text(right)} is missing before it")


def _next_due(book: Book, hole: Hole) -> Shared | None:
    """Return what must be recorded next; a layer is worked out when the one before is done."""
    while not hole.due and hole.layer < _LAYERS:
        hole.due = deque((_slashes, _cuts, _shares)[hole.layer](book, hole))
        hole.layer += 1
    return hole.due[0] if hole.due else None


def _slashes(book: Book, hole: Hole) -> Iterator[StakeSlashed]:
    """Yield what each staker pays of a hole, one pool after the other."""
    owed = -book.cash(hole.bucket_id)
    for number, row in enumerate(book.terms.mitigations):
        if row.kind != "staking" or row.market_id not in (None, hole.market_id):
            continue
        most = {
            staker: book.cash(staker) * row.ratio("max_share") // _E6
            for staker in book.purses.get(number, ())
        }
        for staker, amount in _proportional(min(max(owed, 0), sum(most.values())), most).items():
            if amount:
                owed -= amount
                left = book.cash(staker) - amount
                yield StakeSlashed(
                    number, hole.tranche_seq, hole.bucket_id, staker, most[staker], amount, left
                )


def _cuts(book: Book, hole: Hole) -> Iterator[ProfitCut]:
    """Yield the cuts of profit that a hole brings about."""
    owed, terms = -book.cash(hole.bucket_id), book.terms
    mark = book.fold.marks_e8.get(hole.market_id, 0)
    if terms.profit_haircut == "none" or owed <= 0:
        return
    basis = {}
    for payer in _standing(book, hole):
        quantity = book.position(hole.market_id, payer)
        entered = book.fold.entry_prices_e8.get((hole.market_id, payer), mark)
        profit = quantity * (mark - entered) // _E10
        if profit > 0 and (most := min(profit, room(book, payer))) > 0:
            basis[payer] = most
    budget = min(owed * terms.haircut_severity_e6 // _E6, sum(basis.values()))
    if terms.profit_haircut == "pro_rata":
        amounts = _proportional(budget, basis)
    else:
        amounts = {}
        ranks = {payer: rank_e6(book, hole.market_id, payer, mark) for payer in basis}
        for payer in sorted(basis, key=lambda payer: (-ranks[payer], payer)):
            amounts[payer] = min(budget, basis[payer])
            budget -= amounts[payer]
    for payer, amount in amounts.items():
        if amount:
            quantity = book.position(hole.market_id, payer)
            move = -(-amount * _E10 // abs(quantity))
            entry = book.fold.entry_prices_e8[hole.market_id, payer] + (
                move if quantity > 0 else -move
            )
            yield ProfitCut(
                hole.tranche_seq,
                hole.bucket_id,
                payer,
                hole.market_id,
                mark,
                basis[payer],
                amount,
                entry,
            )


def _shares(book: Book, hole: Hole) -> Iterator[FundingIndexMoved | LossSocialised]:
    """Yield the shares of a loss that is left after cuts of profit."""
    owed, terms = -book.cash(hole.bucket_id), book.terms
    mark = book.fold.marks_e8.get(hole.market_id, 0)
    if terms.socialise == "none" or owed <= 0:
        return
    rooms = {payer: room(book, payer) for payer in _standing(book, hole)}
    if terms.socialise == "funding_index":
        yield from _charged(book, hole, owed, rooms)
        return
    basis = {}
    for payer, most in sorted(rooms.items()):
        if most > 0:
            value = book.position(hole.market_id, payer) * mark
            is_equity = terms.socialise == "equity"
            backing = book.equity_behind(hole.market_id, payer, mark)
            dollars = abs(book.position(hole.market_id, payer)) * (
                book.entry_price(hole.market_id, payer)
                if book.rule(hole.market_id).is_inverse
                else mark
            )
            basis[payer] = backing + value // _E10 if is_equity else dollars // _E10
    for payer, share in _proportional(owed, basis).items():
        amount = min(share, rooms[payer])
        if amount:
            yield LossSocialised(
                hole.tranche_seq, hole.bucket_id, payer, hole.market_id, mark, basis[payer], amount
            )


def _charged(
    book: Book, hole: Hole, owed: int, rooms: dict[int, int]
) -> Iterator[FundingIndexMoved | LossSocialised]:
    """Yield what the units on the other side than the one that was closed are charged."""
    market, tranche = hole.market_id, book.tranches.get(hole.tranche_seq)
    if tranche is None:
        return  # Reported as lifecycle.
    closed = tranche.start.quantity_e8  # An order that sells has closed a long: shorts pay.
    units = {
        payer: book.position(market, payer)
        for payer, most in rooms.items()
        if most > 0 and book.position(market, payer) * closed > 0
    }
    whole = sum(units.values())
    if not whole:
        return
    charges = {payer: -(-owed * held // whole) for payer, held in sorted(units.items())}
    paid = {payer: min(charge, rooms[payer]) for payer, charge in charges.items()}
    residue = max(sum(paid.values()) - owed, 0)
    yield FundingIndexMoved(hole.tranche_seq, hole.bucket_id, market, whole, owed, residue)
    mark = book.fold.marks_e8.get(market, 0)
    for payer, amount in paid.items():
        yield LossSocialised(
            hole.tranche_seq, hole.bucket_id, payer, market, mark, charges[payer], amount
        )


def _standing(book: Book, hole: Hole) -> list[int]:
    """Return the accounts with a position in the market and in no liquidation, by number."""
    sides = (book.sides[hole.market_id, is_long] for is_long in (True, False))
    return sorted(b for side in sides for b in side if b not in book.liquidation_of)


def room(book: Book, bucket: int) -> int:
    """Return how many whole micro-USD a bucket can lose before it is due at the marks."""
    if not book.is_judged(bucket):
        return 0
    margin = book.margin(bucket)
    return max((margin - 1 if book.terms.due_at_zero else margin) // E22_PER_UUSD, 0)


def _proportional(total: int, weights: dict[int, int]) -> dict[int, int]:
    """Split *total* by *weights*: floors, then one unit each to the largest remainders."""
    whole = sum(weights.values())
    if not whole:
        return {}
    exact = {payer: Fraction(total * weight, whole) for payer, weight in weights.items()}
    shares = {payer: int(share) for payer, share in exact.items()}
    by_rest = sorted(exact, key=lambda payer: (shares[payer] - exact[payer], payer))
    for payer in by_rest[: total - sum(shares.values())]:
        shares[payer] += 1
    return shares
