"""Collateral that an account pays in for a position which it opens of its own will."""

from typing import Final

from liqsim.events import Entry, TradeFilled
from replay.audit.book import Book
from replay.audit.findings import usd
from replay.margin import maintenance_e22

_E16: Final = 10**16
_NEAR_ONE: Final = 1e-9
"""Relative difference between two computations of one float."""


def opening_missing(book: Book, entry: Entry) -> None:
    """Report collateral for a position that is not opened right after it."""
    book.findings.add("trader", entry.seq, "collateral is followed by no opening")
    book.paid_in = None


def take_paid_in(book: Book, entry: Entry, e: TradeFilled) -> int | None:
    """Return what was paid in for an opening right before it; None after a report."""
    paid, book.paid_in = book.paid_in, None
    if paid is None or paid[:2] != (entry.cause_seq, e.bucket_id):
        message = f"account {e.bucket_id} opens without collateral for it"
        book.findings.add("trader", entry.seq, message)
        return None
    return paid[2]


def check_collateral(
    book: Book, entry: Entry, e: TradeFilled, paid_uusd: int, leverages: tuple[float, float]
) -> None:
    """Check that collateral, less the fee, is within the leverage, and at least initial margin."""
    value, margin = abs(e.cost_uusd), paid_uusd - e.fee_uusd
    low, high = (value / leverage for leverage in reversed(leverages))
    rule = book.rule(e.market_id).as_initial
    asked = -(-maintenance_e22(rule, e.quantity_e8, e.price_e8) // _E16)
    if margin < asked:
        message = f"collateral of {usd(margin)} is below an initial margin of {usd(asked)}"
        book.findings.add("trader", entry.seq, message)
    if not low * (1 - _NEAR_ONE) - 1 <= margin <= max(high * (1 + _NEAR_ONE) + 1, asked):
        message = f"collateral of {usd(margin)} on {usd(value)} is beyond the leverage"
        book.findings.add("trader", entry.seq, message)


def quoted_e8(book: Book, entry: Entry, e: TradeFilled) -> float | None:
    """Return the market price before an order; None in a market that has no book here."""
    depth = book.depths.get(e.market_id)
    if depth is None:
        return None
    sign = 1 if e.ordered_e8 > 0 else -1
    return depth.quote(entry.sim_time_us, e.reference_price_e8, sign).price_e8


def is_worth(ordered_e8: int, value_uusd: float, price_e8: float) -> bool:
    """Return whether an order is worth *value_uusd* at a price known to a rounding."""
    right = value_uusd * 10**10 / price_e8
    return abs(abs(ordered_e8) - right) <= 2 + right * _NEAR_ONE + right / price_e8
