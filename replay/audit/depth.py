"""
Finite books of the read side's own: what flow has done to each market, and what price follows.

Displacement is a function of consumed volume, which refills, and of net volume, which does not.
"""

import math
from bisect import bisect_left, bisect_right
from itertools import permutations
from operator import attrgetter
from typing import Final

import attrs
import numpy as np
import numpy.typing as npt

from liqsim.events import (
    NO_CAUSE,
    DepthChanged,
    Entry,
    InventorySold,
    OrderFilled,
    PositionReduced,
    TradeFilled,
)
from replay.audit.findings import Findings, e8
from replay.audit.shapes import ROUNDING, Floats, shape_of
from replay.terms import MarketTerms

_E6: Final = 10**6
_TOLERANCE: Final = 1e-9
"""Relative difference between two computations of one price, beside one unit of 1e-8."""

_NODES: Final = (np.arange(256) + 0.5) / 256
"""Midpoints of the parts of an order that a quote is averaged over."""

_FAR: Final = 100.0
"""Displacement beyond which a forged fill would only overflow."""

Fill = OrderFilled | InventorySold | TradeFilled | PositionReduced
"""What takes volume from a book."""

_OWN_PARTS: Final = (InventorySold, TradeFilled)
"""Fills whose part of the volume is kept by itself; what is closed by force is the rest."""

_Range = tuple[float, float]
_Ints = npt.NDArray[np.int64]


@attrs.frozen
class _State:
    """
    A book as of one instant.

    Attributes:
        at_us: The instant.
        bought_e8: Volume bought and not yet refilled.
        sold_e8: Volume sold and not yet refilled.
        consumed_e8: The difference, kept by itself: it may be small against both.
        net_e8: Signed volume ever traded.
        multiplier: Depth as a multiple of the calm depth.
        half_life_us: Half-life of what is not yet refilled.
        parts: (consumed, net) volume of each of `_OWN_PARTS`.
    """

    at_us: int
    bought_e8: float
    sold_e8: float
    consumed_e8: float
    net_e8: int
    multiplier: float
    half_life_us: int
    parts: tuple[tuple[float, int], ...] = ((0.0, 0),) * len(_OWN_PARTS)

    def at(self, at_us: int) -> "_State":
        """Return the state at *at_us*, refilled since."""
        volumes = (self.bought_e8, self.sold_e8, self.consumed_e8, *(v for v, _ in self.parts))
        bought, sold, consumed, *parts = (self.left(volume, at_us) for volume in volumes)
        return attrs.evolve(
            self,
            at_us=at_us,
            bought_e8=bought,
            sold_e8=sold,
            consumed_e8=consumed,
            parts=tuple((v, net) for v, (_, net) in zip(parts, self.parts, strict=True)),
        )

    def left(self, volume_e8: float, at_us: int) -> float:
        """Return what is left at *at_us* of a volume of its own instant."""
        if at_us == self.at_us:
            return volume_e8  # Dust is swept by time alone.
        volume_e8 *= math.exp2(min(self.at_us - at_us, 0) / self.half_life_us)
        return volume_e8 if abs(volume_e8) >= 1 else 0.0

    def traded(self, quantity_e8: int, kind: type[Fill]) -> "_State":
        """Return the state after a fill in its own instant."""
        return attrs.evolve(
            self,
            bought_e8=self.bought_e8 + max(quantity_e8, 0),
            sold_e8=self.sold_e8 + max(-quantity_e8, 0),
            consumed_e8=self.consumed_e8 + quantity_e8,
            net_e8=self.net_e8 + quantity_e8,
            parts=tuple(
                (v + quantity_e8 * (own is kind), net + quantity_e8 * (own is kind))
                for own, (v, net) in zip(_OWN_PARTS, self.parts, strict=True)
            ),
        )

    def scaled(self, multiplier: float, half_life_us: int) -> "_State":
        """Return the state after a change of depth in its own instant."""
        kept = min(multiplier / self.multiplier, 1.0)
        return attrs.evolve(
            self,
            bought_e8=self.bought_e8 * kept,
            sold_e8=self.sold_e8 * kept,
            consumed_e8=self.consumed_e8 * kept,
            parts=tuple((v * kept, net) for v, net in self.parts),
            multiplier=multiplier,
            half_life_us=half_life_us,
        )


@attrs.frozen
class Quote:
    """
    What a book would do with an order.

    Attributes:
        taken_e8: Units that it would take.
        price_e8: Market price before.
        slippage_e8: Distance of the average price from it.
    """

    taken_e8: int
    price_e8: float
    slippage_e8: float


class MarketDepth:
    """
    The book of one market, fill by fill.

    Args:
        terms: The market.
        start_e8: Its start price.
        findings: Where findings go.
        history: Instants and prices of the history that its reference was found in, if it was.
    """

    def __init__(
        self,
        terms: MarketTerms,
        start_e8: int,
        findings: Findings,
        history: tuple[_Ints, _Ints] | None = None,
    ) -> None:
        self._history = history
        self._shape = shape_of(terms.depth, start_e8)
        self._findings = findings
        half_life = terms.depth.half_life_us if terms.depth else 1
        self._states = [_State(0, 0.0, 0.0, 0.0, 0, 1.0, half_life)]
        self._states_at = [-1]
        self._fills_at: list[int] = []
        self._fill_seqs: list[int] = []

    @property
    def half_life_us(self) -> int:
        """Half-life of what is not yet refilled, now."""
        return self._states[-1].half_life_us

    @property
    def multiplier_e6(self) -> int:
        """Depth as a multiple of the calm depth, now."""
        return round(self._states[-1].multiplier * _E6)

    def price_before(self, at_us: int, reference: int) -> tuple[float, float]:
        """Return between which prices the market stood just before an instant."""
        place = max(bisect_left(self._states_at, at_us) - 1, 0)
        state = self._states[place].at(max(at_us, self._states_at[place]))
        low, high = self._range(reference, state)
        return low - _slack(low), high + _slack(high)

    def price_now(self, at_us: int, reference: int) -> tuple[float, float]:
        """Return between which prices the market stands, after all fills so far."""
        low, high = sorted(self._range(reference, self._states[-1].at(at_us)))
        return low - _slack(low), high + _slack(high)

    def changed(self, entry: Entry, e: DepthChanged) -> None:
        """Note a change of depth: where it falls the displacement stays, else the volume."""
        if e.multiplier_e6 < 1 or e.half_life_us < 1:
            return  # Reported as value_range.
        now = self._states[-1].at(entry.sim_time_us)
        self._states.append(now.scaled(e.multiplier_e6 / _E6, e.half_life_us))
        self._states_at.append(entry.sim_time_us)

    def filled(self, entry: Entry, e: Fill) -> None:
        """Check prices and size of a fill."""
        self._fills_at.append(entry.sim_time_us)
        self._fill_seqs.append(entry.seq)
        reference, quantity = e.reference_price_e8, e.quantity_e8
        self._check_purged(entry, reference)
        before = self._states[-1].at(entry.sim_time_us)
        after = before.traded(quantity, type(e))
        self._states.append(after)
        self._states_at.append(entry.sim_time_us)
        (low, high), (least, most) = self._range(reference, before), self._range(reference, after)
        if isinstance(e, OrderFilled | PositionReduced) and not (
            low - _slack(low) <= e.arrival_price_e8 <= high + _slack(high)
        ):
            message = f"arrival_price is {e8(e.arrival_price_e8)}, must be {e8(low)}"
            self._findings.add("market_price", entry.seq, message)
        if not least - _slack(least) <= e.market_price_e8 <= most + _slack(most):
            message = f"market_price is {e8(e.market_price_e8)}, must be {e8(least)}"
            self._findings.add("market_price", entry.seq, message)
        low, high = min(low, least), max(high, most)
        if not low - _slack(low) <= e.price_e8 <= high + _slack(high):
            message = f"filled at {e8(e.price_e8)}, must be from {e8(low)} to {e8(high)}"
            self._findings.add("fill_price", entry.seq, message)
        self._check_average(entry, e, before, high - low)
        self._check_depth(entry, quantity, after)

    def _check_purged(self, entry: Entry, reference: int) -> None:
        """Check the reference of a fill against history, where it was found in one."""
        if self._history is None:
            return
        at_us, prices = self._history
        row = int(np.searchsorted(at_us, entry.sim_time_us, side="right")) - 1
        step = int(at_us[row])
        before = bisect_left(self._states, step, key=attrgetter("at_us")) - 1
        state = self._states[max(before, 0)].at(step)
        moved = self._shape.range(state.consumed_e8, state.net_e8, state.multiplier)
        low, high = sorted(max(int(prices[row]) * math.exp(-_clipped(m)), 1.0) for m in moved)
        if not low - _slack(low) <= reference <= high + _slack(high):
            message = f"reference_price_e8 is {reference}, must be {round(low)}"
            self._findings.add("purged_reference", entry.seq, message)

    def check_purged(self, at_us: _Ints, references: _Ints) -> None:
        """Check all reference prices against history, once every fill has been seen."""
        if self._history is None or not np.array_equal(at_us, self._history[0]):
            return  # Another number of steps is reported with the digests.
        low, high = self._purged(*self._history)
        wrong = np.flatnonzero(
            (references < low - 1 - _TOLERANCE * low) | (references > high + 1 + _TOLERANCE * high)
        )
        if len(wrong):
            row = int(wrong[0])
            message = (
                f"the reference price from {at_us[row]} us on is {references[row]}, must be "
                f"{round(low[row])}; {len(wrong)} of {len(references)} are wrong"
            )
            self._findings.add("purged_reference", None, message)

    def _purged(self, at_us: _Ints, prices: _Ints) -> tuple[Floats, Floats]:
        """Return between what history without the displacement before each instant must lie."""
        starts = np.array([state.at_us for state in self._states], dtype=np.int64)
        standing = np.maximum(np.searchsorted(starts, at_us, side="left") - 1, 0)
        # At the end of a ladder's level a rounding decides on which side of it the price stands.
        ends = [
            np.maximum(prices * np.exp(-self._moved(at_us, standing, factor)), 1.0)
            for factor in (1.0 - ROUNDING, 1.0 + ROUNDING)
        ]
        return np.minimum(*ends), np.maximum(*ends)

    def _check_average(self, entry: Entry, e: Fill, before: _State, width: float) -> None:
        if not e.quantity_e8:
            return  # Reported as fill_size.
        average = self._shape.average(before.consumed_e8, e.quantity_e8, before.multiplier)
        if average is None:
            return
        right = max(average * e.reference_price_e8, 1.0)
        # Where the walk began is known to a rounding, of which a small order may be a large part.
        shift = _TOLERANCE * abs(before.consumed_e8) / abs(e.quantity_e8) * width
        if abs(e.price_e8 - right) > _slack(right) + shift:
            message = f"filled at {e8(e.price_e8)}, must be {e8(right)}"
            self._findings.add("fill_price", entry.seq, message)

    def _check_depth(self, entry: Entry, quantity: int, after: _State) -> None:
        sign = 1 if quantity > 0 else -1
        taken = after.bought_e8 if sign > 0 else after.sold_e8
        for used, most, what in (
            (
                sign * after.consumed_e8,
                self._shape.capacity(sign, after.multiplier),
                "the book has",
            ),
            (taken, self._shape.own(after.multiplier), "the venue itself quotes"),
        ):
            if used > most * (1 + _TOLERANCE) + 1:
                message = f"{round(used)} are consumed, {what} {round(most)}"
                self._findings.add("fill_depth", entry.seq, message)

    def quote(self, now: int, reference: int, quantity: int) -> Quote:
        """Return what the book would take of an order now, and what that would cost."""
        return self._quote(self._states[-1].at(now), reference, quantity)

    def walked(self, now: int, reference: int, quantity: int) -> tuple[float, float, float, float]:
        """Return the price now, between what it stands after a trade, and the room on its side."""
        last, sign = self._states[-1].at(now), 1 if quantity > 0 else -1
        after = last.traded(quantity, OrderFilled)
        taken = last.bought_e8 if sign > 0 else last.sold_e8
        room = min(
            self._shape.capacity(sign, last.multiplier) - sign * last.consumed_e8,
            self._shape.own(last.multiplier) - taken,
        )
        price = self._price(reference, last.consumed_e8, last.net_e8, last.multiplier)
        return price, *self._range(reference, after), max(room, 0.0)

    def quotes(self, at_us: int, reference: int, quantity: int) -> list[Quote]:
        """Return what each state of one instant would take of an order: the first to the last."""
        instant = attrgetter("at_us")
        first = bisect_left(self._states, at_us, key=instant)
        end = bisect_right(self._states, at_us, key=instant)
        states = self._states[max(first - 1, 0) : end]
        return [self._quote(state.at(at_us), reference, quantity) for state in states]

    def _quote(self, last: _State, reference: int, quantity: int) -> Quote:
        consumed, net, sign = last.consumed_e8, last.net_e8, 1 if quantity > 0 else -1
        taken = last.bought_e8 if sign > 0 else last.sold_e8
        most = min(
            float(abs(quantity)),
            self._shape.capacity(sign, last.multiplier) - sign * consumed,
            self._shape.own(last.multiplier) - taken,
        )
        size = max(math.floor(most), 0)
        before = self._price(reference, consumed, net, last.multiplier)
        walked = self._shape.average(consumed, sign * size, last.multiplier) if size else None
        if walked is not None:
            return Quote(size, before, abs(walked * reference - before))
        volumes = sign * size * _NODES
        moved = self._shape.moved(consumed + volumes, net + volumes, last.multiplier)
        walk = np.maximum(reference * np.exp(np.clip(moved, -_FAR, _FAR)), 1.0)
        return Quote(size, before, abs(float(walk.mean()) - before))

    def moved_by(self, shown_us: int) -> tuple[_Range, ...]:
        """
        Return the displacement just before an instant: by orders, then by each of `_OWN_PARTS`.

        Each as the range in which rounding may leave it. A part is the mean, over all orders in
        which the parts could come about, of what it adds to those before it.
        """
        place = max(bisect_left(self._states_at, shown_us) - 1, 0)
        state = self._states[place]
        shown_us = max(shown_us, state.at_us)
        rest = state.consumed_e8 - sum(v for v, _ in state.parts)
        volumes = [(rest, state.net_e8 - sum(net for _, net in state.parts)), *state.parts]
        present = [n for n, volume in enumerate(volumes) if not n or any(volume)]
        if present == [0]:
            whole = self._log_range(state, state.consumed_e8, state.net_e8, shown_us)
            return whole, *((0.0, 0.0) for _ in state.parts)
        ranges = [(0.0, 0.0)] * len(volumes)
        orders = list(permutations(present))
        for order in orders:
            before = (0.0, 0.0)
            for end, number in enumerate(order, start=1):
                consumed, net = map(sum, zip(*(volumes[n] for n in order[:end]), strict=True))
                after = self._log_range(state, consumed, int(net), shown_us)
                low, high = ranges[number]
                ranges[number] = low + after[0] - before[1], high + after[1] - before[0]
                before = after
        return tuple((low / len(orders), high / len(orders)) for low, high in ranges)

    def _log_range(self, state: _State, consumed: float, net: int, at_us: int) -> _Range:
        """Return the displacement if *consumed* were all that is in a book, refilled since."""
        # The difference of volumes is known to a rounding of all that it is made of.
        error = ROUNDING * (state.bought_e8 + state.sold_e8)
        ends = [
            end
            for shifted in (consumed - error, consumed, consumed + error)
            for end in self._shape.range(state.left(shifted, at_us), net, state.multiplier)
        ]
        return min(ends), max(ends)

    def newest_fill(self, before_us: int) -> int:
        """Return the number of the newest fill before *before_us*, or `NO_CAUSE`."""
        place = bisect_left(self._fills_at, before_us)
        return self._fill_seqs[place - 1] if place else NO_CAUSE

    def extremes(self, at_us: _Ints, prices: _Ints, end_us: int) -> tuple[float, float, float]:
        """Return the lowest and the highest market price of [0, *end_us*), and the last."""
        starts = np.array([state.at_us for state in self._states], dtype=np.int64)
        steps = at_us[at_us < end_us]
        # Between neighbouring instants one state stands and one reference price is held, and the
        # displacement moves one way: both ends of each span, and every state at its own instant.
        instants = np.unique(np.concatenate([starts, steps]))
        ends = np.append(instants[1:], end_us) - 1
        standing = np.searchsorted(starts, instants, side="right") - 1
        moments = np.concatenate([instants, ends, starts])
        states = np.concatenate([standing, standing, np.arange(len(starts))])
        found = self._prices(moments, states, at_us, prices)
        return float(found.min()), float(found.max()), float(found[2 * len(instants) - 1])

    def stood_at(self, moment_us: int, price_e8: int, at_us: _Ints, prices: _Ints) -> bool:
        """Return whether *price_e8* was the market price at some point of one instant."""
        starts = [state.at_us for state in self._states]
        standing = int(np.searchsorted(starts, moment_us, side="right")) - 1
        states = {standing} | set(np.flatnonzero(np.array(starts) == moment_us).tolist())
        rows = np.array(sorted(states), dtype=np.int64)
        found = self._prices(np.full(len(rows), moment_us), rows, at_us, prices)
        return any(is_near(price_e8, price) for price in found.tolist())

    def _prices(self, moments: _Ints, states: _Ints, at_us: _Ints, prices: _Ints) -> Floats:
        reference = prices[np.searchsorted(at_us, moments, side="right") - 1]
        found: Floats = np.maximum(reference * np.exp(self._moved(moments, states)), 1.0)
        return found

    def _moved(self, moments: _Ints, states: _Ints, factor: float = 1.0) -> Floats:
        """Return the displacement of each of *states* at its moment, its volume times *factor*."""
        columns = np.array(
            [(s.at_us, s.consumed_e8, s.net_e8, s.multiplier, s.half_life_us) for s in self._states]
        )
        since, consumed, net, multiplier, half_life = columns[states].T
        left = consumed * np.exp2(np.minimum(since - moments, 0) / half_life)
        consumed = np.where((np.abs(left) >= 1) | (moments == since), left, 0.0)
        moved = self._shape.moved(consumed * factor, net, multiplier)
        clipped: Floats = np.clip(moved, -_FAR, _FAR)
        return clipped

    def _range(self, reference: int, state: _State) -> tuple[float, float]:
        """Return between which prices the market stands in *state*."""
        moved = self._shape.range(state.consumed_e8, state.net_e8, state.multiplier)
        low, high = (max(reference * math.exp(_clipped(m)), 1.0) for m in moved)
        return low, high

    def _price(self, reference: int, consumed: float, net: int, multiplier: float) -> float:
        moved = float(self._shape.moved(consumed, net, multiplier))
        return max(reference * math.exp(_clipped(moved)), 1.0)


def _clipped(moved: float) -> float:
    return min(max(moved, -_FAR), _FAR)


def _slack(price: float) -> float:
    return 1 + _TOLERANCE * price


def is_near(price_e8: int, right: float) -> bool:
    """Return whether two computations can have led to the two prices."""
    return abs(price_e8 - right) <= _slack(right)
