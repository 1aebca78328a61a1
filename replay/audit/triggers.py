"""
Whom a mark or a change of maintenance makes due.

All of them must be triggered right after it, the weakest first. Each judge is held against every
bucket, in floats that only propose; exact margins decide.
"""

from collections.abc import Collection
from fractions import Fraction
from typing import Final

import numpy as np
import numpy.typing as npt

from liqsim.events import (
    BookSampled,
    CoinHaircutChanged,
    Entry,
    FundingPaid,
    FundingSet,
    LiquidationEnded,
    LiquidationTriggered,
    MaintenanceChanged,
    OracleUpdated,
)
from replay.audit.book import Book
from replay.fold import Move
from replay.margin import LegRule, slope_e14

_E10: Final = 10**10
_E6: Final = 10**6
_SLACK: Final = 1e-9
"""Far more, as a share of cash and legs, than the floats err by; they are taken afresh often."""

_NEVER: Final = 1e300

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Triggers:
    """
    Who is due at a mark, and what has yet to be recorded of it.

    Args:
        buckets: Owner ids of all buckets.
        market_count: How many markets there are.
    """

    def __init__(self, buckets: Collection[int], market_count: int) -> None:
        self._owners: Ints = np.array(sorted(buckets), dtype=np.int64)
        self._row_of = {bucket: row for row, bucket in enumerate(self._owners.tolist())}
        self._changed = set(self._row_of)
        # A row is proposed where cash + what the legs add at the marks is not positive.
        self._cash: Floats = np.full(len(self._owners), _NEVER)
        self._slopes: Floats = np.zeros((market_count, len(self._owners)))
        self._units, self._entries = np.zeros_like(self._slopes), np.zeros_like(self._slopes)
        self._coins, self._has_coins = np.zeros_like(self._slopes), False
        self._sum, self._product = np.empty_like(self._cash), np.empty_like(self._cash)
        self._due: dict[int, int] = {}  # The place of each in the order, until it is triggered.
        self._last = -1
        self._funded: int | None = None

    def before(self, book: Book, entry: Entry) -> None:
        """Check that an event that is no trigger comes after all that are due."""
        if self._funded is not None and not isinstance(entry.event, FundingPaid):
            market, self._funded = self._funded, None
            self._judged(book, market)
        if self._due and not isinstance(entry.event, LiquidationTriggered):
            self.others_due(book, entry.seq)

    def after(self, book: Book, entry: Entry, moves: tuple[Move, ...]) -> None:
        """Note what an event, folded already, changes for whom, and whom it makes due."""
        for owner, _, _ in moves:
            self._note(owner)
        match entry.event:
            case OracleUpdated() | BookSampled():
                self._judged(book, entry.event.market_id)
            case FundingSet():
                self._funded = entry.event.market_id  # Once everybody has paid.
            case MaintenanceChanged() | CoinHaircutChanged():
                self._changed.update(self._row_of)
                self._judged(book, entry.event.market_id)
            case LiquidationTriggered():
                self._note(entry.event.bucket_id)
                self._triggered(book, entry, entry.event)
            case LiquidationEnded():
                self._note(entry.event.bucket_id)

    def others_due(self, book: Book, seq: int | None) -> None:
        """Report who was due at the last mark and was not triggered before *seq*."""
        for bucket in self._due:
            message = f"bucket {bucket} was due at the last mark, and is not triggered"
            book.findings.add("trigger_missing", seq, message)
            self._cash[self._row_of[bucket]] = _NEVER  # Said once.
        self._due.clear()

    def _note(self, owner: int) -> None:
        if owner in self._row_of:
            self._changed.add(owner)

    def _judged(self, book: Book, market_id: int) -> None:
        """Work out who is due at the marks and must be triggered now; it is about one market."""
        if market_id >= len(self._slopes):
            return  # Reported as owner_unknown.
        self._refresh(book)
        np.copyto(self._sum, self._cash)
        for market, slopes in enumerate(self._slopes):
            rule, mark = book.rule(market), book.mark(market)
            if rule.is_straight:
                np.multiply(slopes, mark / _E10, out=self._product)
                self._sum += self._product
            else:
                self._sum += _added(rule, self._units[market], self._entries[market], mark)
            if self._has_coins:
                counted = (_E6 - rule.coin_haircut_e6) / _E6
                self._sum += self._coins[market] * (counted * mark / _E10)
        found = []
        for bucket in self._owners[self._sum <= 0.0].tolist():
            if not book.position(market_id, bucket):
                continue  # A mark of another market will find it.
            margin = book.margin(bucket)
            if book.is_due(margin):
                found.append((Fraction(margin, book.worth_e16(bucket)), bucket))
        self._due = {bucket: place for place, (_, bucket) in enumerate(sorted(found))}
        self._last = -1

    def _triggered(self, book: Book, entry: Entry, e: LiquidationTriggered) -> None:
        """Check that a trigger is the next that is due."""
        place = self._due.pop(e.bucket_id, None)
        if place is None:
            return  # Not due, or due since an earlier mark: reported as such.
        if place < self._last:
            message = f"bucket {e.bucket_id} is triggered after one that was less due"
            book.findings.add("trigger_order", entry.seq, message)
        self._last = max(self._last, place)

    def _refresh(self, book: Book) -> None:
        waiting = set()
        for bucket in self._changed:
            row, legs = self._row_of[bucket], book.legs(bucket)
            if not legs or bucket in book.liquidation_of:
                self._cash[row] = _NEVER
            elif not book.is_judged(bucket):
                waiting.add(bucket)
            else:
                cash, scale = float(book.cash(bucket)), 0.0
                self._slopes[:, row] = self._units[:, row] = self._coins[:, row] = 0.0
                for market in legs:
                    units, entry_price = (
                        book.position(market, bucket),
                        book.entry_price(market, bucket),
                    )
                    slope = slope_e14(book.rule(market), units) / _E6
                    self._slopes[market, row] = slope
                    self._units[market, row], self._entries[market, row] = units, entry_price
                    worth = max(book.mark(market), entry_price)
                    scale += max(abs(slope), 2.0 * abs(units)) * worth / _E10
                    if coins := book.coins(market, bucket):
                        self._coins[market, row], self._has_coins = coins, True
                        scale += coins * worth / _E10
                self._cash[row] = cash - (abs(cash) + scale) * _SLACK - 1.0
        self._changed = waiting


def _added(rule: LegRule, units: Floats, entries_e8: Floats, mark_e8: int) -> Floats:
    """Return what positions add to margins where that is not in proportion to the mark."""
    notional, below = np.abs(units) * (mark_e8 / _E10), 0
    if rule.is_inverse:
        notional = np.abs(units) * (entries_e8 / _E10)
    added = units * (mark_e8 / _E10)
    for start, rate in rule.tiers:
        size, worth = (notional, 1.0) if rule.is_by_notional else (np.abs(units), mark_e8 / _E10)
        added -= (rate - below) / _E6 * worth * np.maximum(size - start, 0.0)
        below = rate
    profit = units * ((mark_e8 - entries_e8) / _E10)
    return added - rule.unrealised_haircut_e6 / _E6 * np.maximum(profit, 0.0)
