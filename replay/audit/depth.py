"""
Finite books of the read side's own: what flow has done to each market, and what price follows.

Displacement is a function of consumed volume, which refills, and of net volume, which does not.
"""

import math
from bisect import bisect_left
from typing import Final, TypeVar

import attrs
import numpy as np
import numpy.typing as npt

from liqsim.events import NO_CAUSE, DepthChanged, Entry, InventorySold, OrderFilled
from replay.audit.findings import Findings
from replay.terms import DepthTerms, MarketTerms

_E6: Final = 10**6
_ONE_PERCENT: Final = 0.01
_TOLERANCE: Final = 1e-9
"""Relative difference between two computations of one price, beside one unit of 1e-8."""

_NODES: Final = (np.arange(256) + 0.5) / 256
"""Midpoints of the parts of an order that a quote is averaged over."""

_FAR: Final = 100.0
"""Displacement beyond which a forged fill would only overflow."""

_Floats = npt.NDArray[np.float64]
_Number = TypeVar("_Number", float, _Floats)
_Ints = npt.NDArray[np.int64]


@attrs.frozen
class _State:
    """
    A book as of one instant.

    Attributes:
        at_us: The instant.
        consumed_e8: Signed volume not yet refilled.
        net_e8: Signed volume ever traded.
        multiplier: Depth as a multiple of the calm depth.
        half_life_us: Half-life of the consumed volume.
    """

    at_us: int
    consumed_e8: float
    net_e8: int
    multiplier: float
    half_life_us: int

    def consumed_at(self, at_us: int) -> float:
        """Return the volume not yet refilled at *at_us*."""
        if at_us == self.at_us:
            return self.consumed_e8  # Dust is swept by time alone.
        left = self.consumed_e8 * math.exp2(min(self.at_us - at_us, 0) / self.half_life_us)
        return left if abs(left) >= 1 else 0.0


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
    """

    def __init__(self, terms: MarketTerms, start_e8: int, findings: Findings) -> None:
        self._depth = terms.depth
        self._findings = findings
        self._calm_e8 = terms.depth.depth_uusd * 1e10 / start_e8 if terms.depth else 1.0
        half_life = terms.depth.half_life_us if terms.depth else 1
        self._states = [_State(0, 0.0, 0, 1.0, half_life)]
        self._fills_at: list[int] = []
        self._fill_seqs: list[int] = []

    def changed(self, entry: Entry, e: DepthChanged) -> None:
        """Note a change of depth: where it falls the displacement stays, else the volume."""
        if e.multiplier_e6 < 1 or e.half_life_us < 1:
            return  # Reported as value_range.
        last = self._states[-1]
        consumed, multiplier = last.consumed_at(entry.sim_time_us), e.multiplier_e6 / _E6
        consumed *= min(multiplier / last.multiplier, 1.0)
        self._states.append(
            _State(entry.sim_time_us, consumed, last.net_e8, multiplier, e.half_life_us)
        )

    def filled(self, entry: Entry, e: OrderFilled | InventorySold) -> None:
        """Check prices and size of a fill."""
        reference, quantity, now = e.reference_price_e8, e.quantity_e8, entry.sim_time_us
        self._fills_at.append(now)
        self._fill_seqs.append(entry.seq)
        last = self._states[-1]
        consumed = last.consumed_at(now)
        before = self._price(reference, consumed, last.net_e8, last.multiplier)
        state = attrs.evolve(
            last, at_us=now, consumed_e8=consumed + quantity, net_e8=last.net_e8 + quantity
        )
        self._states.append(state)
        after = self._price(reference, state.consumed_e8, state.net_e8, state.multiplier)
        if not is_near(e.market_price_e8, after):
            message = f"market_price_e8 is {e.market_price_e8}, must be {round(after)}"
            self._findings.add("market_price", entry.seq, message)
        low, high = sorted((before, after))
        if not low - _slack(low) <= e.price_e8 <= high + _slack(high):
            message = f"filled at {e.price_e8}, must be from {round(low)} to {round(high)}"
            self._findings.add("fill_price", entry.seq, message)
        if self._depth is not None:
            reach = (self._depth.reach / _ONE_PERCENT) ** self._depth.exponent
            most = reach * self._calm_e8 * state.multiplier
            used = math.copysign(1.0, quantity) * state.consumed_e8
            if used > most * (1 + _TOLERANCE) + 1:
                message = f"{round(used)} are consumed, the book has {round(most)}"
                self._findings.add("fill_depth", entry.seq, message)

    def quote(self, now: int, reference: int, quantity: int) -> Quote:
        """Return what the book would take of an order now, and what that would cost."""
        last = self._states[-1]
        consumed, sign = last.consumed_at(now), 1 if quantity > 0 else -1
        taken = abs(quantity)
        if self._depth is not None:
            reach = (self._depth.reach / _ONE_PERCENT) ** self._depth.exponent
            most = reach * self._calm_e8 * last.multiplier - sign * consumed
            taken = min(taken, max(math.floor(most), 0))
        volumes: list[float] = (sign * taken * _NODES).tolist()
        average = math.fsum(
            self._price(reference, consumed + volume, last.net_e8 + volume, last.multiplier)
            for volume in volumes
        ) / len(volumes)
        before = self._price(reference, consumed, last.net_e8, last.multiplier)
        return Quote(taken, before, abs(average - before))

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

    def _prices(self, moments: _Ints, states: _Ints, at_us: _Ints, prices: _Ints) -> _Floats:
        columns = np.array(
            [(s.at_us, s.consumed_e8, s.net_e8, s.multiplier, s.half_life_us) for s in self._states]
        )
        since, consumed, net, multiplier, half_life = columns[states].T
        left = consumed * np.exp2(np.minimum(since - moments, 0) / half_life)
        consumed = np.where((np.abs(left) >= 1) | (moments == since), left, 0.0)
        reference = prices[np.searchsorted(at_us, moments, side="right") - 1]
        if self._depth is None:
            return reference.astype(np.float64)
        size = (np.abs(consumed) / (self._calm_e8 * multiplier)) ** (1 / self._depth.exponent)
        moved = _displacement(self._depth, np.copysign(size, consumed), net / self._calm_e8)
        found: _Floats = np.maximum(reference * np.exp(np.clip(moved, -_FAR, _FAR)), 1.0)
        return found

    def _price(self, reference: int, consumed: float, net: float, multiplier: float) -> float:
        if self._depth is None:
            return float(reference)
        size = (abs(consumed) / (self._calm_e8 * multiplier)) ** (1 / self._depth.exponent)
        moved = _displacement(self._depth, math.copysign(size, consumed), net / self._calm_e8)
        return max(reference * math.exp(min(max(moved, -_FAR), _FAR)), 1.0)


def _displacement(terms: DepthTerms, transient: _Number, permanent: _Number) -> _Number:
    share = terms.permanent_share
    return (share * permanent + (1 - share) * transient) * _ONE_PERCENT


def _slack(price: float) -> float:
    return 1 + _TOLERANCE * price


def is_near(price_e8: int, right: float) -> bool:
    """Return whether two computations can have led to the two prices."""
    return abs(price_e8 - right) <= _slack(right)
