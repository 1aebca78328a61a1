"""The margins of all buckets at the marks: who is due, who is restored, who must be looked at."""

import math
from collections.abc import Callable
from fractions import Fraction
from operator import attrgetter, itemgetter
from typing import Final, Protocol

import attrs
import numpy as np

from liqsim.mechanics.coins import value_uusd
from liqsim.mechanics.crossing import CrossingIndex
from liqsim.mechanics.exact import divmod_exact, sum_exact
from liqsim.mechanics.margin import (
    MARGIN_SCALE,
    MarginRule,
    Pieces,
    bankruptcy_price_e8,
    due_prices_e8,
    initial_rule,
    maintenance_at,
    phi,
    pieces,
    safe_prices_e8,
    scaled_margin,
)
from liqsim.mechanics.radius import Bools, Floats, Ints, RadiusIndex, safe_radius
from liqsim.mechanics.scan import MARGIN_ERROR, pieces_of, trigger_levels
from liqsim.processes.context import Context, MarketDesk
from liqsim.units import BOUND, NOTIONAL_DIVISOR, RATIO_SCALE
from liqsim.world.markets import Market
from liqsim.world.views import int_view
from liqsim.world.world import World

CROSS: Final = -1
"""The home of a cross bucket, which has legs in several markets."""

_RULE = attrgetter("rule")
_START_RULE = attrgetter("start_rule")

_ROOM_ERROR: Final = 2.0 * MARGIN_ERROR
"""More than what float margins err by, per market, as a share of cash and legs."""


Moved = tuple[MarketDesk, int]
"""A market, and what its price is taken to be."""


class Holdings(Protocol):
    """Cash, units and entry prices of members, as the world has them of owners."""

    @property
    def cash(self) -> Ints:
        """Shape (members,), in 1e-6."""

    @property
    def units(self) -> Ints:
        """Shape (markets, members), in 1e-8."""

    @property
    def coins(self) -> Ints:
        """Coins of each market, shape (markets, members), in 1e-8."""

    @property
    def cash_view(self) -> "memoryview[int]":
        """The same cash, item by item."""

    @property
    def unit_views(self) -> "tuple[memoryview[int], ...]":
        """The same units, one view per market."""

    @property
    def coin_views(self) -> "tuple[memoryview[int], ...]":
        """The same coins, one view per market."""

    @property
    def entry_e8(self) -> Ints:
        """Entry prices, shape (markets, members)."""

    @property
    def entry_views(self) -> "tuple[memoryview[int], ...]":
        """The same entry prices, one view per market."""


@attrs.frozen(eq=False)
class LiveHoldings:
    """
    The balances of a world as they stand; its arrays are never replaced.

    Attributes:
        cash: As `Holdings`, and so are the others.
        units: Likewise.
        coins: Likewise.
        cash_view: Likewise.
        unit_views: Likewise.
        coin_views: Likewise.
        entry_e8: Likewise.
        entry_views: Likewise.
    """

    cash: Ints
    units: Ints
    coins: Ints
    cash_view: "memoryview[int]"
    unit_views: "tuple[memoryview[int], ...]"
    coin_views: "tuple[memoryview[int], ...]"
    entry_e8: Ints
    entry_views: "tuple[memoryview[int], ...]"

    @classmethod
    def of(cls, world: World) -> "LiveHoldings":
        """Return those of *world*."""
        ledger, views = world.ledger, tuple(int_view(row) for row in world.entry_e8)
        return cls(
            cash=ledger.cash,
            units=ledger.units,
            coins=ledger.coins,
            cash_view=ledger.cash_view,
            unit_views=ledger.unit_views,
            coin_views=ledger.coin_views,
            entry_e8=world.entry_e8,
            entry_views=views,
        )


class Margins:
    """
    Margins of many buckets at one sort of price, and the indexes over them.

    An isolated bucket has a leg in one market and is indexed by the price at which it becomes due;
    a cross bucket has legs in several and is indexed by a safe radius over all marks. It is judged
    once every market has a mark.

    Args:
        context: The run.
        holdings: The balances.
        mark: Returns the price of a market that counts: its mark, or its shadow mark.
    """

    def __init__(self, context: Context, holdings: Holdings, mark: Callable[[Market], int]) -> None:
        self._context = context
        self._holdings = holdings
        self._mark = mark
        self._has_coins = bool(context.scenario.coin_markets)
        self._due_at_zero = context.scenario.venue.due_at_zero
        tranches = context.scenario.venue.tranches
        self._buffer_e6 = tranches.restore_buffer_e6
        self._restores_initial = tranches.restore_to == "initial"
        self._due = [CrossingIndex() for _ in context.markets]
        self._restored = [CrossingIndex() for _ in context.markets]
        # The market of an isolated bucket, any market without a leg; `CROSS` of a cross bucket.
        self._home: Ints = np.zeros(len(holdings.cash), dtype=np.int64)
        self._home_view = int_view(self._home)
        self._log_marks = [0.0] * len(context.markets)
        self._has_all_marks = False
        self._cross: Ints = np.empty(0, dtype=np.int64)
        self._cross_due = RadiusIndex(len(holdings.cash), self._radii_to_due)
        self._cross_restored = RadiusIndex(len(holdings.cash), self._radii_to_restored)
        self._candidates: dict[int, None] = {}

    def open_books(self) -> None:
        """Index every bucket of the ledger by what would make it due."""
        first = self._context.first_bucket
        units = self._holdings.units[:, first:]
        is_cross = np.count_nonzero(units, axis=0) > 1
        self._home[first:] = np.where(is_cross, CROSS, np.argmax(units != 0, axis=0))
        for reserved in self._context.reserved:
            self._home[reserved.buckets.start : reserved.buckets.stop] = reserved.market_id
        self._cross = np.flatnonzero(is_cross) + first
        isolated = np.flatnonzero(~is_cross) + first
        for desk in self._context.markets:
            self._load(desk, isolated)

    def _load(self, desk: MarketDesk, isolated: Ints) -> None:
        """Index those of *isolated* buckets that have a position in one market."""
        if self._has_coins:
            own = self._with_coins(desk, isolated)
            for bucket in isolated[own & (self._holdings.units[desk.market_id, isolated] != 0)]:
                self.watch(int(bucket))
            isolated = isolated[~own]
        held = self._holdings.units[desk.market_id, isolated]
        entries = self._holdings.entry_e8[desk.market_id, isolated]
        rows, levels = trigger_levels(
            self._holdings.cash[isolated], held, pieces_of(held, entries, desk.rule)
        )
        longs = held[rows] > 0
        index = self._due[desk.market_id]
        index.load(isolated[rows[longs]], levels[longs], is_falling=True)
        index.load(isolated[rows[~longs]], levels[~longs], is_falling=False)

    def _with_coins(self, desk: MarketDesk, members: Ints) -> Bools:
        """Return which of *members* can be due on both sides, or with a constant maintenance."""
        if desk.rule.is_inverse:
            return np.equal(self._home[members], desk.market_id)
        has_coins: Bools = self._holdings.coins[desk.market_id, members] != 0
        return has_coins

    def enter(self, member: int, home: int) -> None:
        """Index a new *member*, the next one in number, of balances that stand already."""
        size = len(self._home)
        if member >= size:
            self._home = np.concatenate([self._home, np.zeros(max(size, 1), dtype=np.int64)])
            self._home_view = int_view(self._home)
        self._home[member] = home
        self.watch(member)

    def reindex(self, desk: MarketDesk, members: Ints) -> None:
        """
        Index *members* anew now that the maintenance of one market has changed.

        Args:
            desk: The market.
            members: Everyone who is in the index.
        """
        held = members[self._holdings.units[desk.market_id, members] != 0]
        is_cross = self._home[held] == CROSS
        self._due[desk.market_id] = CrossingIndex()
        self._load(desk, held[~is_cross])
        if self._has_all_marks and is_cross.any():
            self._cross_due.add(held[is_cross], self._log_marks)

    # One bucket ---------------------------------------------------------------------------------

    def home(self, bucket: int) -> int:
        """Return the market of an isolated bucket, or `CROSS`."""
        return self._home_view[bucket]

    def position(self, desk: MarketDesk, bucket: int) -> int:
        """Return its units in one market; negative is short."""
        return self._holdings.unit_views[desk.market_id][bucket]

    def legs(self, bucket: int) -> list[MarketDesk]:
        """Return the markets in which it holds a position."""
        home, views, desks = (
            self._home_view[bucket],
            self._holdings.unit_views,
            self._context.markets,
        )
        if home != CROSS:
            return [desks[home]] if views[home][bucket] else []
        return [desk for desk in desks if views[desk.market_id][bucket]]

    def margin(self, bucket: int) -> int:
        """Return its margin at the marks, in USD x 1e-22, exact."""
        return self._margin(bucket, 0, _RULE)

    def margin_after(self, bucket: int, desk: MarketDesk, units_e8: int, paid_uusd: int) -> int:
        """Return what its margin would be once it had paid so much for units of a market."""
        margin, mark, rule = self.margin(bucket), self._mark(desk.state), desk.rule
        held = self.position(desk, bucket)
        entry = self._holdings.entry_views[desk.market_id][bucket]
        before, after = (phi(pieces(rule, size, entry), mark) for size in (held, held + units_e8))
        return margin + after - before - paid_uusd * MARGIN_SCALE

    def start_margin(self, bucket: int) -> int:
        """Return its margin at the marks under the maintenance of the start, likewise."""
        return self._margin(bucket, 0, _START_RULE)

    def _margin(
        self,
        bucket: int,
        buffer_e6: int,
        rule_of: Callable[[MarketDesk], MarginRule],
        moved: Moved | None = None,
    ) -> int:
        legs = []
        for desk in self.legs(bucket):
            of = self._pieces(desk, bucket, rule_of(desk), buffer_e6)
            legs.append((of, self._price(desk, moved)))
        return scaled_margin(self._holdings.cash_view[bucket], legs)

    def _price(self, desk: MarketDesk, moved: Moved | None) -> int:
        """Return the price of a market that counts, if that of one were another."""
        return moved[1] if moved is not None and moved[0] is desk else self._mark(desk.state)

    def pieces(self, desk: MarketDesk, bucket: int) -> Pieces:
        """Return what one of its legs adds to its margin."""
        return self._pieces(desk, bucket, desk.rule, 0)

    def _pieces(self, desk: MarketDesk, bucket: int, rule: MarginRule, buffer_e6: int) -> Pieces:
        entry = self._holdings.entry_views[desk.market_id][bucket]
        coins = self._holdings.coin_views[desk.market_id][bucket] if self._has_coins else 0
        return pieces(rule, self.position(desk, bucket), entry, buffer_e6, coins)

    def is_due(self, margin: int) -> bool:
        """Return whether *margin* makes a bucket due."""
        return margin < 0 or (margin == 0 and self._due_at_zero)

    def maintenance(self, bucket: int) -> int:
        """Return its maintenance margin at the marks, in USD x 1e-22."""
        asked = 0
        for desk in self.legs(bucket):
            entry = self._holdings.entry_views[desk.market_id][bucket]
            price = desk.rule.price_that_counts(self._mark(desk.state), entry)
            asked += maintenance_at(desk.rule, abs(self.position(desk, bucket)), price)
        return asked

    def exposure(self, desk: MarketDesk, bucket: int) -> int:
        """Return its units in one market and its coins of it, which move alike with the price."""
        market_id = desk.market_id
        return self._holdings.unit_views[market_id][bucket] + self.coins(desk, bucket)

    def cash_uusd(self, bucket: int) -> int:
        """Return its cash."""
        return self._holdings.cash_view[bucket]

    def coins(self, desk: MarketDesk, bucket: int) -> int:
        """Return its coins of one market."""
        return self._holdings.coin_views[desk.market_id][bucket]

    def bankruptcy_price_e8(self, desk: MarketDesk, bucket: int) -> int:
        """Return the price of one market at which its equity is zero; 0 if none is."""
        cash = self.leg_cash_uusd(desk, bucket)
        price = bankruptcy_price_e8(cash, self.exposure(desk, bucket))
        return price if price < BOUND else 0

    def backing_uusd(self, desk: MarketDesk, bucket: int, price_e8: int) -> int:
        """Return what stands behind one leg, and what its coins are worth at a price."""
        return self.leg_cash_uusd(desk, bucket) + value_uusd(self.coins(desk, bucket), price_e8)

    def leg_cash_uusd(self, desk: MarketDesk, bucket: int) -> int:
        """
        Return what stands behind one leg: cash, and the value of the other legs at their marks.

        So the bankruptcy price of a leg is where the whole bucket's equity is zero while the other
        marks stand. Rounded down; with one leg it is the cash, exactly.
        """
        cash = self._holdings.cash_view[bucket]
        if self._home_view[bucket] != CROSS:
            return cash
        others = sum(
            self.position(other, bucket) * self._mark(other.state)
            for other in self.legs(bucket)
            if other is not desk
        )
        return cash + others // NOTIONAL_DIVISOR

    def backing_of_all(self, desk: MarketDesk, price_e8: int, buckets: Ints) -> Ints:
        """Return `backing_uusd` of many *buckets*."""
        cash = self._holdings.cash[buckets]
        if self._has_coins:
            coins = self._holdings.coins[desk.market_id, buckets]
            cash += divmod_exact(coins, price_e8, NOTIONAL_DIVISOR)[0]
        is_cross = self._home[buckets] == CROSS
        cross = buckets[is_cross]
        whole, rest = np.zeros_like(cross), np.zeros_like(cross)
        for other in self._context.markets:
            if other is not desk:
                units = self._holdings.units[other.market_id, cross]
                values = divmod_exact(np.abs(units), self._mark(other.state), NOTIONAL_DIVISOR)
                whole += np.where(units < 0, -values[0], values[0])
                rest += np.where(units < 0, -values[1], values[1])
        cash[is_cross] += whole + rest // NOTIONAL_DIVISOR
        return cash

    def room_uusd(self, bucket: int) -> int:
        """Return what it can pay at the marks without becoming due; nothing before it is judged."""
        is_judged = self._home_view[bucket] != CROSS or self._are_marks_complete()
        return max((self.margin(bucket) - self._due_at_zero) // MARGIN_SCALE, 0) * is_judged

    def rooms_at_least(self, buckets: Ints) -> Floats:
        """Return floats that are not above `room_uusd` of many buckets, nor far below."""
        margin, value, _ = self._margins_of(buckets, 0, _RULE)
        scale = np.abs(self._holdings.cash[buckets]) + value
        rooms = margin - scale * (_ROOM_ERROR * len(self._context.markets)) - 2.0
        if self._has_coins:
            for desk in self._context.markets:
                rooms[self._with_coins(desk, buckets)] = -1.0  # Only integers know.
        if not self._are_marks_complete():
            rooms[self._home[buckets] == CROSS] = -1.0
        return rooms

    def _are_marks_complete(self) -> bool:
        return all(self._mark(desk.state) for desk in self._context.markets)

    def is_restored(self, bucket: int) -> bool:
        """Return whether its margin, above the buffer, is that of an end of its liquidation."""
        return not self.is_due(self._margin(bucket, self._buffer_e6, self._restore_rule))

    def _restore_rule(self, desk: MarketDesk) -> MarginRule:
        return initial_rule(desk.rule) if self._restores_initial else desk.rule

    # All buckets --------------------------------------------------------------------------------

    def mark_moved(self, desk: MarketDesk) -> None:
        """Take note that *desk* has a new mark, before anything else asks or changes."""
        self._log_marks[desk.market_id] = math.log(self._mark(desk.state))
        if not self._has_all_marks:
            if not self._are_marks_complete():
                return
            self._has_all_marks = True
            self._cross_due.add(self._cross, self._log_marks)
        self._candidates |= dict.fromkeys(self._cross_due.reached(self._log_marks))

    def now_due(self, desk: MarketDesk) -> list[tuple[int, int]]:
        """Take out who is due at the mark of *desk*: (bucket, margin), weakest first."""
        candidates = dict.fromkeys(self._due[desk.market_id].crossed(self._mark(desk.state)))
        candidates |= self._candidates
        self._candidates = {}
        if self._cross_due.has_unsure:  # Put in since the mark has moved, maybe due already.
            candidates |= dict.fromkeys(self._cross_due.reached(self._log_marks))
        due = []
        for bucket in candidates:
            margin = self.margin(bucket)
            if self.is_due(margin) and self.position(desk, bucket):
                due.append((Fraction(margin, self._notional(bucket)), bucket, margin))
            else:
                self.watch(bucket)  # The index errs on the early side.
        return [(bucket, margin) for _, bucket, margin in sorted(due)]

    def now_restored(self, desk: MarketDesk) -> list[int]:
        """
        Take out whose margin the new mark of *desk* restores, among those watched; by number.

        What follows depends on the order, and the indexes return their members in none.
        """
        restored = self._restored[desk.market_id].crossed(self._mark(desk.state))
        if self._has_coins:
            for bucket in [bucket for bucket in restored if not self.is_restored(bucket)]:
                restored.remove(bucket)  # It was safe between the last mark and this one.
                self.watch_restoration(bucket)
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
        if home == CROSS:
            self._candidates.pop(bucket, None)
            if not self.legs(bucket):
                self._cross_due.remove(bucket)
            elif self._has_all_marks:
                self._cross_due.add(np.array([bucket]), self._log_marks)
            return
        desk = self._context.markets[home]
        quantity = self.position(desk, bucket)
        index = self._due[desk.market_id]
        levels: tuple[int | None, int | None] = (None, None)
        if quantity:
            levels = due_prices_e8(
                self._holdings.cash_view[bucket],
                self.pieces(desk, bucket),
                due_at_zero=self._due_at_zero,
            )
        index.put(bucket, falling=levels[0], rising=levels[1])

    def watch_all(self, buckets: Ints) -> None:
        """Index many *buckets*, all with positions, by what would make them due."""
        is_cross = self._home[buckets] == CROSS
        if self._has_all_marks and is_cross.any():
            for bucket in buckets[is_cross].tolist():
                self._candidates.pop(bucket, None)
            self._cross_due.add(buckets[is_cross], self._log_marks)
        for bucket in buckets[~is_cross].tolist():
            self.watch(bucket)

    def forget(self, bucket: int) -> None:
        """Watch *bucket* no longer."""
        home = self._home_view[bucket]
        if home == CROSS:
            self._candidates.pop(bucket, None)
            self._cross_due.remove(bucket)
        else:
            self._due[home].remove(bucket)

    def watch_restoration(self, bucket: int) -> None:
        """Index *bucket*, which is due, by what would restore its margin."""
        home = self._home_view[bucket]
        if home == CROSS:
            self._cross_restored.add(np.array([bucket]), self._log_marks)
            return
        desk = self._context.markets[home]
        safe = safe_prices_e8(
            self._holdings.cash_view[bucket],
            self._pieces(desk, bucket, self._restore_rule(desk), self._buffer_e6),
            due_at_zero=self._due_at_zero,
        )
        if safe is None:
            self._restored[home].remove(bucket)
            return
        low, high = safe
        if high is None or self._mark(desk.state) < low:
            self._restored[home].add(bucket, low, is_falling=False)
        else:
            self._restored[home].add(bucket, high, is_falling=True)

    def forget_restoration(self, bucket: int) -> None:
        """Watch *bucket* no longer for its restoration."""
        home = self._home_view[bucket]
        if home == CROSS:
            self._cross_restored.remove(bucket)
        else:
            self._restored[home].remove(bucket)

    def notional_of_leg(self, desk: MarketDesk, bucket: int) -> int:
        """Return what one of its legs is worth at the mark, in USD x 1e-16, without sign."""
        entry = self._holdings.entry_views[desk.market_id][bucket]
        price = desk.rule.price_that_counts(self._mark(desk.state), entry)
        return abs(self.position(desk, bucket)) * price

    def is_leveraged(self, bucket: int, leverage_e6: int) -> bool:
        """Return whether its legs are worth more than a multiple of its equity at the marks."""
        legs = self.legs(bucket)
        equity = self._holdings.cash_view[bucket] * NOTIONAL_DIVISOR
        equity += sum(self.exposure(desk, bucket) * self._mark(desk.state) for desk in legs)
        return self._notional(bucket) * RATIO_SCALE > leverage_e6 * equity

    def _notional(self, bucket: int) -> int:
        return sum(self.notional_of_leg(desk, bucket) for desk in self.legs(bucket))

    def ladder(self, desk: MarketDesk, distance_e6: int) -> tuple[int, Ints]:
        """
        Return what all have in a market who would be due if its mark moved so far, and who.

        In USD x 1e-16, at the mark; dollars of inverse contracts are what they are. Down or up,
        whichever makes more due, or down; the other marks stand. Who is due already is in it.
        """
        held = self._holdings.units[desk.market_id]
        buckets = np.flatnonzero(held[self._context.first_bucket :]) + self._context.first_bucket
        if not self._are_marks_complete():
            buckets = buckets[self._home[buckets] != CROSS]
        mark = self._mark(desk.state)
        lower = mark * (RATIO_SCALE - distance_e6) // RATIO_SCALE
        higher = mark * (RATIO_SCALE + distance_e6) // RATIO_SCALE
        sides = [self._due_at(desk, price, buckets) for price in (lower, higher)]
        return max(((self._worth_e16(desk, side), side) for side in sides), key=itemgetter(0))

    def weakest_first(self, buckets: Ints) -> list[int]:
        """Return *buckets* by margin ratio at the marks, then by number."""
        ratios = {b: Fraction(self.margin(b), self._notional(b)) for b in buckets.tolist()}
        return sorted(ratios, key=lambda bucket: (ratios[bucket], bucket))

    def _worth_e16(self, desk: MarketDesk, buckets: Ints) -> int:
        """Return what *buckets* have in a market at the mark, in USD x 1e-16."""
        if desk.rule.is_inverse:
            return sum(self.notional_of_leg(desk, bucket) for bucket in buckets.tolist())
        return sum_exact(np.abs(self._holdings.units[desk.market_id, buckets])) * self._mark(
            desk.state
        )

    def _due_at(self, desk: MarketDesk, price_e8: int, buckets: Ints) -> Ints:
        """Return those of *buckets* that would be due at a price of a market."""
        moved = desk, price_e8
        margin, _, error = self._margins_of(buckets, 0, _RULE, moved)
        # Half as much again as floats err by; what is nearer than that, integers decide.
        is_due, is_near = margin < -2.0 - 1.5 * error, np.abs(margin) <= 2.0 + 1.5 * error
        if self._has_coins:
            with_coins = np.logical_or.reduce(
                [self._with_coins(other, buckets) for other in self._context.markets]
            )
            is_due, is_near = is_due & ~with_coins, is_near | with_coins
        for row in np.flatnonzero(is_near).tolist():
            is_due[row] = self.is_due(self._margin(int(buckets[row]), 0, _RULE, moved))
        due: Ints = buckets[is_due]
        return due

    def _radii_to_due(self, buckets: Ints) -> Floats:
        margin, value, _ = self._margins_of(buckets, 0, _RULE)
        radius = safe_radius(margin, value)
        radius[margin < 1.0] = 0.0
        return radius

    def _radii_to_restored(self, buckets: Ints) -> Floats:
        margin, value, error = self._margins_of(buckets, self._buffer_e6, self._restore_rule)
        margin += error  # Here an error towards danger would come too late.
        radius = safe_radius(margin, value)
        radius[margin > -1.0] = 0.0
        return radius

    def _margins_of(
        self,
        buckets: Ints,
        buffer_e6: int,
        rule_of: Callable[[MarketDesk], MarginRule],
        moved_to: Moved | None = None,
    ) -> tuple[Floats, Floats, Floats]:
        """
        Return margins, how much the legs may move in them, and their error, in micro-USD.

        Near zero a margin is too low, by less than the error. A leg's price that rises or falls by
        its whole moves the margin by no more than the leg's part of the second.
        """
        holdings, raised = self._holdings, 1.0 + buffer_e6 / RATIO_SCALE
        margin = holdings.cash[buckets].astype(np.float64)
        moved, gross = np.zeros_like(margin), np.zeros_like(margin)
        for desk in self._context.markets:
            units = holdings.units[desk.market_id, buckets]
            entries = holdings.entry_e8[desk.market_id, buckets]
            factor = self._price(desk, moved_to) / NOTIONAL_DIVISOR
            found = pieces_of(units, entries, rule_of(desk), buffer_e6)
            rises = [slopes * factor for slopes, _ in found]
            shares = [rise + constants for rise, (_, constants) in zip(rises, found, strict=True)]
            margin += np.minimum.reduce(shares)
            # A leg is on one piece here and on another there: the steepest bounds its move.
            moved += np.maximum.reduce([np.abs(rise) for rise in rises])
            # Of the positions, not of the shares: under rates near one these are a small part.
            gross += np.abs(units) * factor
            haircut_e6 = desk.rule.unrealised_haircut_e6
            if haircut_e6:
                gross += np.abs(units) * (entries / NOTIONAL_DIVISOR) * (haircut_e6 / RATIO_SCALE)
        error = gross * (2.0 * MARGIN_ERROR * raised)
        return margin, moved + error, error
