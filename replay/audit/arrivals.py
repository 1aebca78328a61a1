"""New accounts: who may become one, when, and with what."""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final

from liqsim.eventlog.reader import OwnerRow
from liqsim.events import Entry, FundsDeposited, TradeFilled
from replay.audit import collateral
from replay.audit.book import Arriving, Book
from replay.audit.findings import Findings, e8
from replay.terms import TraderTerms

_E6: Final = 10**6
_E10: Final = 10**10


def arriving(
    owners: Iterable[OwnerRow], traders: Mapping[str, TraderTerms], findings: Findings
) -> dict[int, Arriving]:
    """Return what is known of the cohort of each account of those that may grow."""
    found: dict[int, Arriving] = {}
    members: dict[str, list[int]] = {
        name: [] for name, terms in traders.items() if terms.arrivals is not None
    }
    for owner in owners:
        if owner.kind == "bucket" and owner.cohort in members:
            members[owner.cohort].append(owner.owner_id)
    for name, ids in members.items():
        law = traders[name].arrivals
        assert law is not None
        if len(ids) != law.accounts + law.accounts_max:
            message = f"cohort {name} has {len(ids)} accounts, those that may arrive included"
            findings.add("manifest", None, message)
        ids.sort()
        one = Arriving(law, deque(ids[law.accounts :]))
        found |= dict.fromkeys(ids, one)
    return found


def note_start(book: Book, bucket: int, value_uusd: int) -> None:
    """Note the value of a position of the start: who arrives has one like it."""
    if bucket in book.arriving:
        cohort = book.arriving[bucket]
        insort(cohort.worth_uusd, value_uusd * cohort.law.size_e6 // _E6)


def check_deposit(book: Book, entry: Entry, e: FundsDeposited) -> None:
    """Check that an account which pays in without a cause may arrive now, and has never been."""
    cohort = book.arriving.get(e.owner_id)
    if cohort is None:
        _report(book, entry, f"account {e.owner_id} is given money that nothing asks for")
        return
    windows = cohort.law.windows
    if windows and not any(start <= entry.sim_time_us < end for start, end in windows):
        _report(book, entry, f"account {e.owner_id} arrives outside the windows of its cohort")
    if e.owner_id in book.fold.cash_uusd:
        _report(book, entry, f"account {e.owner_id} arrives, and has been here before")
    else:
        book.expect("trader", entry, "who arrives next", e.owner_id, cohort.free.popleft())
    book.paid_in = entry.seq, e.owner_id, e.amount_uusd


def check_opened(book: Book, entry: Entry, e: TradeFilled) -> None:
    """Check side, size and leverage of a position with which an account arrives; note them."""
    cohort = book.arriving.get(e.bucket_id)
    paid_uusd = collateral.take_paid_in(book, entry, e)
    if cohort is None or paid_uusd is None:
        return
    law = cohort.law
    if law.long_share_e6 == (0 if e.quantity_e8 > 0 else _E6):
        _report(book, entry, f"account {e.bucket_id} arrives on the wrong side")
    collateral.check_collateral(book, entry, e, paid_uusd, law.leverages)
    price = collateral.quoted_e8(book, entry, e)
    if price and not _is_worth_any(cohort.worth_uusd, e.ordered_e8, price):
        message = f"ordered is {e8(abs(e.ordered_e8))}, which no account of the start is worth"
        _report(book, entry, message)
    value = abs(e.quantity_e8) * e.price_e8 // _E10
    book.start_uusd[e.bucket_id] = value if e.quantity_e8 > 0 else -value
    book.start_leverage_e6[e.bucket_id] = value * _E6 // max(paid_uusd - e.fee_uusd, 1)


def _is_worth_any(worth_uusd: list[int], ordered_e8: int, price_e8: float) -> bool:
    """Return whether an order is worth one of the values, which rise."""
    place = bisect_left(worth_uusd, abs(ordered_e8) * price_e8 / _E10)
    nearest = worth_uusd[max(place - 1, 0) : place + 1]
    return any(collateral.is_worth(ordered_e8, value, price_e8) for value in nearest)


def _report(book: Book, entry: Entry, message: str) -> None:
    book.findings.add("trader", entry.seq, message)
