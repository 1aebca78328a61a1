"""The margins of all buckets at the marks: who is due, who is restored, who must be looked at."""

import math
from fractions import Fraction
from typing import Final

import numpy as np

from liqsim.mechanics.crossing import CrossingIndex
from liqsim.mechanics.exact import divmod_exact
from liqsim.mechanics.margin import (
    MARGIN_SCALE,
    restore_price_e8,
    scaled_margin,
    trigger_price_e8,
    weight_e14,
    with_buffer,
)
from liqsim.mechanics.radius import Floats, Ints, RadiusIndex, safe_radius
from liqsim.mechanics.scan import MARGIN_ERROR, slopes_of, trigger_levels
from liqsim.processes.context import Context, MarketDesk
from liqsim.units import NOTIONAL_DIVISOR, RATIO_SCALE
from liqsim.world.views import int_view

_CROSS: Final = -1

_ROOM_ERROR: Final = 2.0 * MARGIN_ERROR
"""More than what float margins err by, per market, as a share of cash and legs."""


class Margins:
    """
    Margins of one venue's buckets, and the indexes over them.

    An isolated bucket has a leg in one market and is indexed by the price at which it becomes due;
    a cross bucket has legs in several and is indexed by a safe radius over all marks. It is judged
    once every market has a mark.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._ledger = context.world.ledger
        self._due_at_zero = context.scenario.venue.due_at_zero
        self._buffer_e6 = context.scenario.venue.tranches.restore_buffer_e6
        self._due = [CrossingIndex() for _ in context.markets]
        self._restored = [CrossingIndex() for _ in context.markets]
        owner_count = len(self._ledger.cash)
        # The market of an isolated bucket, any market without a leg; `_CROSS` of a cross bucket.
        self._home: Ints = np.zeros(owner_count, dtype=np.int64)
        self._home_view = int_view(self._home)
        self._log_marks = [0.0] * len(context.markets)
        self._has_all_marks = False
        self._cross: Ints = np.empty(0, dtype=np.int64)
        self._cross_due = RadiusIndex(owner_count, self._radii_to_due)
        self._cross_restored = RadiusIndex(owner_count, self._radii_to_restored)

    def open_books(self) -> None:
        """Index every isolated bucket by the price at which it becomes due."""
        first = self._context.first_bucket
        units = self._ledger.units[:, first:]
        is_cross = np.count_nonzero(units, axis=0) > 1
        self._home[first:] = np.where(is_cross, _CROSS, np.argmax(units != 0, axis=0))
        self._cross = np.flatnonzero(is_cross) + first
        for desk in self._context.markets:
            held = np.where(is_cross, 0, units[desk.market_id])
            slopes = slopes_of(held[None, :], [desk.spec.maintenance])[0]
            rows, levels = trigger_levels(self._ledger.cash[first:], held, slopes)
            longs = held[rows] > 0
            index = self._due[desk.market_id]
            index.load(rows[longs] + first, levels[longs], is_falling=True)
            index.load(rows[~longs] + first, levels[~longs], is_falling=False)

    # One bucket ---------------------------------------------------------------------------------

    def position(self, desk: MarketDesk, bucket: int) -> int:
        """Return its units in one market; negative is short."""
        return self._ledger.unit_views[desk.market_id][bucket]

    def legs(self, bucket: int) -> list[MarketDesk]:
        """Return the markets in which it holds a position."""
        home, views, desks = self._home_view[bucket], self._ledger.unit_views, self._context.markets
        if home != _CROSS:
            return [desks[home]] if views[home][bucket] else []
        return [desk for desk in desks if views[desk.market_id][bucket]]

    def margin(self, bucket: int, buffer_e6: int = 0) -> int:
        """Return its margin at the marks, in USD x 1e-22, exact."""
        legs = []
        for desk in self.legs(bucket):
            quantity = self.position(desk, bucket)
            weight = weight_e14(desk.spec.maintenance, abs(quantity))
            if buffer_e6:
                weight = with_buffer(weight, buffer_e6)
            legs.append((quantity, weight, desk.state.mark_e8))
        return scaled_margin(self._ledger.cash_view[bucket], legs)

    def maintenance(self, bucket: int) -> int:
        """Return its maintenance margin at the marks, in USD x 1e-22."""
        return sum(
            weight_e14(desk.spec.maintenance, abs(self.position(desk, bucket))) * desk.state.mark_e8
            for desk in self.legs(bucket)
        )

    def leg_cash_uusd(self, desk: MarketDesk, bucket: int) -> int:
        """
        Return what stands behind one leg: cash, and the value of the other legs at their marks.

        So the bankruptcy price of a leg is where the whole bucket's equity is zero while the other
        marks stand. Rounded down; with one leg it is the cash, exactly.
        """
        cash = self._ledger.cash_view[bucket]
        if self._home_view[bucket] != _CROSS:
            return cash
        others = sum(
            self.position(other, bucket) * other.state.mark_e8
            for other in self.legs(bucket)
            if other is not desk
        )
        return cash + others // NOTIONAL_DIVISOR

    def leg_cash_of_all(self, desk: MarketDesk, buckets: Ints) -> Ints:
        """Return `leg_cash_uusd` of many *buckets*."""
        cash = self._ledger.cash[buckets]
        is_cross = self._home[buckets] == _CROSS
        cross = buckets[is_cross]
        whole, rest = np.zeros_like(cross), np.zeros_like(cross)
        for other in self._context.markets:
            if other is not desk:
                units = self._ledger.units[other.market_id, cross]
                values = divmod_exact(np.abs(units), other.state.mark_e8, NOTIONAL_DIVISOR)
                whole += np.where(units < 0, -values[0], values[0])
                rest += np.where(units < 0, -values[1], values[1])
        cash[is_cross] += whole + rest // NOTIONAL_DIVISOR
        return cash

    def room_uusd(self, bucket: int) -> int:
        """Return what it can pay at the marks without becoming due; nothing before it is judged."""
        is_judged = self._home_view[bucket] != _CROSS or self._are_marks_complete()
        return max((self.margin(bucket) - self._due_at_zero) // MARGIN_SCALE, 0) * is_judged

    def rooms_at_least(self, buckets: Ints) -> Floats:
        """Return floats that are not above `room_uusd` of many buckets, nor far below."""
        margin, value, _ = self._margins_of(buckets, buffer_e6=0)
        scale = np.abs(self._ledger.cash[buckets]) + value
        rooms = margin - scale * (_ROOM_ERROR * len(self._context.markets)) - 2.0
        if not self._are_marks_complete():
            rooms[self._home[buckets] == _CROSS] = -1.0
        return rooms

    def _are_marks_complete(self) -> bool:
        return all(desk.state.mark_e8 for desk in self._context.markets)

    def is_restored(self, bucket: int) -> bool:
        """Return whether its margin, above the buffer, is not due."""
        margin = self.margin(bucket, self._buffer_e6)
        return margin > 0 or (margin == 0 and not self._due_at_zero)

    # All buckets --------------------------------------------------------------------------------

    def now_due(self, desk: MarketDesk) -> list[tuple[int, int]]:
        """Take out who is due now that *desk* has a new mark: (bucket, margin), weakest first."""
        candidates = self._due[desk.market_id].crossed(desk.state.mark_e8)
        if len(self._cross):
            self._log_marks[desk.market_id] = math.log(desk.state.mark_e8)
            candidates += self._cross_candidates()
        due = []
        for bucket in candidates:
            margin = self.margin(bucket)
            is_due = margin < 0 or (margin == 0 and self._due_at_zero)
            if is_due and self.position(desk, bucket):
                due.append((Fraction(margin, self._notional(bucket)), bucket, margin))
            else:
                self.watch(bucket)  # The index errs on the early side.
        return [(bucket, margin) for _, bucket, margin in sorted(due)]

    def now_restored(self, desk: MarketDesk) -> list[int]:
        """
        Take out whose margin the new mark of *desk* restores, among those watched; by number.

        What follows depends on the order, and the indexes return their members in none.
        """
        restored = self._restored[desk.market_id].crossed(desk.state.mark_e8)
        if self._has_all_marks:
            for bucket in self._cross_restored.reached(self._log_marks):
                if self.is_restored(bucket):
                    restored.append(bucket)
                else:
                    self.watch_restoration(bucket)
        return sorted(restored)

    def watch(self, bucket: int) -> None:
        """Index *bucket* by what would make it due."""
        home = self._home_view[bucket]
        if home == _CROSS:
            if not self.legs(bucket):
                self._cross_due.remove(bucket)
            elif self._has_all_marks:
                self._cross_due.add(np.array([bucket]), self._log_marks)
            return
        desk = self._context.markets[home]
        quantity = self.position(desk, bucket)
        index = self._due[desk.market_id]
        level = quantity and trigger_price_e8(
            self._ledger.cash_view[bucket],
            quantity,
            weight_e14(desk.spec.maintenance, abs(quantity)),
            due_at_zero=self._due_at_zero,
        )
        if level:
            index.add(bucket, level, is_falling=quantity > 0)
        else:
            index.remove(bucket)

    def watch_all(self, buckets: Ints) -> None:
        """Index many *buckets*, all with positions, by what would make them due."""
        is_cross = self._home[buckets] == _CROSS
        if self._has_all_marks and is_cross.any():
            self._cross_due.add(buckets[is_cross], self._log_marks)
        for bucket in buckets[~is_cross].tolist():
            self.watch(bucket)

    def watch_restoration(self, bucket: int) -> None:
        """Index *bucket*, which is due, by what would restore its margin."""
        home = self._home_view[bucket]
        if home == _CROSS:
            self._cross_restored.add(np.array([bucket]), self._log_marks)
            return
        desk = self._context.markets[home]
        quantity = self.position(desk, bucket)
        weight = with_buffer(weight_e14(desk.spec.maintenance, abs(quantity)), self._buffer_e6)
        level = restore_price_e8(
            self._ledger.cash_view[bucket], quantity, weight, due_at_zero=self._due_at_zero
        )
        if level is not None:
            self._restored[desk.market_id].add(bucket, level, is_falling=quantity < 0)

    def forget_restoration(self, bucket: int) -> None:
        """Watch *bucket* no longer for its restoration."""
        home = self._home_view[bucket]
        if home == _CROSS:
            self._cross_restored.remove(bucket)
        else:
            self._restored[home].remove(bucket)

    def _cross_candidates(self) -> list[int]:
        if not self._has_all_marks:
            if not self._are_marks_complete():
                return []
            self._has_all_marks = True
            self._cross_due.add(self._cross, self._log_marks)
        return self._cross_due.reached(self._log_marks)

    def _notional(self, bucket: int) -> int:
        return sum(
            abs(self.position(desk, bucket)) * desk.state.mark_e8 for desk in self.legs(bucket)
        )

    def _radii_to_due(self, buckets: Ints) -> Floats:
        margin, value, _ = self._margins_of(buckets, buffer_e6=0)
        radius = safe_radius(margin, value)
        radius[margin < 1.0] = 0.0
        return radius

    def _radii_to_restored(self, buckets: Ints) -> Floats:
        margin, value, error = self._margins_of(buckets, buffer_e6=self._buffer_e6)
        margin += error  # Here an error towards danger would come too late.
        radius = safe_radius(margin, value)
        radius[margin > -1.0] = 0.0
        return radius

    def _margins_of(self, buckets: Ints, *, buffer_e6: int) -> tuple[Floats, Floats, Floats]:
        """
        Return margins, the sum of the legs' absolute shares in them, and their error, in micro-USD.

        Near zero a margin is too low, by less than the error; the shares are not too small.
        """
        units = self._ledger.units[:, buckets]
        slopes = slopes_of(units, [desk.spec.maintenance for desk in self._context.markets])
        if buffer_e6:
            slopes -= (units - slopes) * (buffer_e6 / RATIO_SCALE)
        marks = np.array([desk.state.mark_e8 for desk in self._context.markets], dtype=np.float64)
        factors = (marks / NOTIONAL_DIVISOR)[:, None]
        shares = slopes * factors
        margin = self._ledger.cash[buckets].astype(np.float64)
        for share in shares:  # One after another, for the same sum whatever numpy does with axes.
            margin += share
        # Of the positions, not of the shares: under rates near one these are a small part.
        gross = (np.abs(units) * factors).sum(axis=0)
        error = gross * (2.0 * MARGIN_ERROR * (1.0 + buffer_e6 / RATIO_SCALE))
        return margin, np.abs(shares).sum(axis=0) + error, error
