"""The books: slices, round trips, limits, quadrature, depth over time."""

import math
from collections import Counter
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.effort import cases
from support.floors import assert_floors
from support.quadrature import integral

from liqsim.mechanics.ladder import LadderBook
from liqsim.mechanics.liquidity import Fill, FiniteBook
from liqsim.units import NOTIONAL_DIVISOR, RATIO_SCALE, taker_cost_uusd
from liqsim.world.markets import BookState

HALF_LIFE_US = 60_000_000
FLATTENING_ROOM = 0.05
"""Depth, as a share of a position, below which its owner waits for better times to close it."""
FLOAT = 1e-12
"""Relative pad for what doubles lose, far above what a book may gain by it."""


@dataclass(frozen=True)
class Shape:
    """A book's parameters, kept beside the book for the tests' own arithmetic."""

    depth_e8: float
    exponent: float
    reach: float
    permanent_share: float
    fill_depth_e8: float = math.inf

    @property
    def kind(self) -> str:
        return "power" if self.fill_depth_e8 == math.inf else "capped"

    def book(self) -> FiniteBook:
        return FiniteBook(
            self.depth_e8, self.exponent, self.reach, self.permanent_share, self.fill_depth_e8
        )

    def reached(self, state: BookState) -> float:
        """Return the units within reach on one side of an untouched book."""
        return self.unit(state) * (self.reach / 0.01) ** self.exponent

    def capacity(self, state: BookState, sign: int = 1) -> float:
        """Return what one order can get of an untouched book."""
        own = self.fill_depth_e8 * state.multiplier_e6 / RATIO_SCALE
        return min(self.reached(state), own)

    def room(self, state: BookState, at_us: int, sign: int) -> float:
        own = self.fill_depth_e8 * state.multiplier_e6 / RATIO_SCALE - state.taken_at(at_us, sign)
        return min(self.reached(state) - sign * state.consumed_at(at_us), own)

    def unit(self, state: BookState) -> float:
        return self.depth_e8 * state.multiplier_e6 / RATIO_SCALE

    def permanent(self, net: float) -> float:
        return 0.01 * self.permanent_share * net / self.depth_e8

    def log_price(self, state: BookState, consumed: float, net: float) -> float:
        """Return the displacement, written down once more."""
        depths = abs(consumed) / self.unit(state)
        transient = 0.01 * (1.0 - self.permanent_share) * depths ** (1.0 / self.exponent)
        return self.permanent(net) + math.copysign(transient, consumed)


@dataclass(frozen=True)
class Rungs:
    """A ladder's parameters, likewise: (offset in 1e-6, units in 1e-8) per side."""

    asks: tuple[tuple[int, int], ...]
    bids: tuple[tuple[int, int], ...]
    kind = "ladder"

    def book(self) -> LadderBook:
        return LadderBook(self.asks, self.bids)

    @property
    def depth_e8(self) -> float:
        return float(sum(units for _, units in self.asks))

    def capacity(self, state: BookState, sign: int = 1) -> float:
        side = self.asks if sign > 0 else self.bids
        return sum(units for _, units in side) * state.multiplier_e6 / RATIO_SCALE

    def room(self, state: BookState, at_us: int, sign: int) -> float:
        return self.capacity(state, sign) - sign * state.consumed_at(at_us)

    def permanent(self, net: float) -> float:
        return 0.0

    def price_at(self, state: BookState, unit: Fraction) -> Fraction:
        """Return the price, over the reference, of the unit that ends at *unit* of the axis."""
        if unit == 0:
            return Fraction(1)
        side, sign = (self.asks, 1) if unit > 0 else (self.bids, -1)
        end, price = Fraction(0), Fraction(1)
        for offset, units in side:
            if abs(unit) > end:
                price = 1 + sign * Fraction(offset, RATIO_SCALE)
            end += Fraction(units * state.multiplier_e6, RATIO_SCALE)
        return price

    def log_price(self, state: BookState, consumed: float, net: float) -> float:
        return math.log(self.price_at(state, Fraction(consumed)))


KINDS = ("power", "capped", "ladder")
PERMANENT_MOVE_MAX = 20.0
"""Log price over which one sweep of a calm book's depth may move it for good; beyond is no book."""

exponents = st.one_of(st.sampled_from([1.0, 0.5, 2.0, 3.0]), st.floats(0.5, 3.0))
powers = st.builds(
    Shape,
    depth_e8=st.one_of(
        st.floats(1e3, 1e6), st.floats(1e8, 1e13), st.integers(3, 15).map(lambda n: 10.0**n)
    ),
    exponent=exponents,
    reach=st.sampled_from([0.0001, 0.005, 0.05, 0.25, 1.0]),
    permanent_share=st.sampled_from([0.0, 0.05, 0.3, 1.0]),
).filter(
    lambda shape: (
        0.1 * shape.permanent_share * (shape.reach / 0.01) ** shape.exponent <= PERMANENT_MOVE_MAX
    )
)


@st.composite
def cappeds(draw):
    """Draw a power book whose venue quotes less, about as much or more than there is."""
    shape = draw(powers)
    share = draw(st.sampled_from([0.001, 0.1, 0.35, 0.9, 5.0]))
    whole = shape.depth_e8 * (shape.reach / 0.01) ** shape.exponent
    return replace(shape, fill_depth_e8=max(share * whole, 1.0))


@st.composite
def ladders(draw):
    """Draw a ladder of one to six levels a side, with and without a spread."""
    scale = draw(st.sampled_from([1, 10**4, 10**8, 10**12]))

    def side(offset_max):
        offsets = draw(st.lists(st.integers(0, offset_max), min_size=1, max_size=6, unique=True))
        return tuple((offset, scale * draw(st.integers(1, 500))) for offset in sorted(offsets))

    narrow = draw(st.booleans())
    return Rungs(side(20_000 if narrow else 3_000_000), side(20_000 if narrow else 900_000))


shapes = st.one_of(powers, cappeds(), ladders())
references = st.one_of(
    st.integers(10**8, 10**13), st.integers(1, 10**4), st.sampled_from([10**12, 194_61 * 10**6])
)
multipliers = st.sampled_from([RATIO_SCALE, RATIO_SCALE // 2, 70_000, 3 * RATIO_SCALE, 10**7])


@st.composite
def states(draw, shape):
    """Draw a book that flow has touched: any consumed volume within reach, any net volume."""
    calm = BookState(0, 0.0, 0, draw(multipliers), HALF_LIFE_US)
    share = draw(st.one_of(st.sampled_from([0.0, -0.9, -0.3, 0.2, 0.6]), st.floats(-1.0, 1.0)))
    net = draw(
        st.one_of(st.just(0), st.integers(-round(2 * shape.depth_e8), round(shape.depth_e8)))
    )
    capacity = shape.capacity(calm, 1 if share > 0 else -1)
    consumed = float(math.trunc(share * capacity))
    # What both sides have taken beside it, within what either may take.
    both = draw(st.sampled_from([0.0, 0.0, 0.3, 1.0])) * (capacity - abs(consumed))
    gross = abs(consumed) + 2.0 * math.trunc(max(both, 0.0))
    return BookState(0, consumed, net, calm.multiplier_e6, HALF_LIFE_US, gross=gross)


@st.composite
def orders(draw, shape, state):
    """Draw an order between one unit and more than the whole book."""
    share = st.one_of(st.sampled_from([0.01, 0.5, 1.0, 1.5, 3.0]), st.floats(1e-6, 2.5))
    sizes = st.one_of(st.integers(1, 100), share.map(lambda part: part * shape.capacity(state)))
    size = draw(sizes)
    return draw(st.sampled_from([-1, 1])) * min(max(round(size), 1), 10**18 - 1)


def cost_of(fill: Fill) -> int:
    return taker_cost_uusd(fill.quantity_e8, fill.price_e8)


# Slices -------------------------------------------------------------------------------------------


def test_slices_of_one_instant_cost_what_one_order_costs():
    seen = Counter()

    @cases(800)
    @given(st.data())
    def check(data):
        shape = data.draw(shapes)
        state = data.draw(states(shape))
        order = data.draw(orders(shape, state))
        reference = data.draw(references)
        book = shape.book()
        whole = book.fill(state, 0, reference, order, None)
        if whole is None:
            seen["no depth"] += 1
            return
        cuts = data.draw(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=6))
        bounds = [0, *sorted(round(cut * abs(order)) for cut in cuts), abs(order)]
        sign = 1 if order > 0 else -1
        fills, after = [], state
        for start, end in pairwise(bounds):
            if end == start:
                continue
            fill = book.fill(after, 0, reference, sign * (end - start), None)
            if fill is None:
                continue
            fills.append(fill)
            after = after.traded(0, fill.quantity_e8, 0)
        seen["several slices"] += len(fills) > 1
        seen["exhausted"] += abs(whole.quantity_e8) < abs(order)
        seen["through zero"] += state.consumed * (state.consumed + whole.quantity_e8) < 0
        seen[f"{shape.kind}: several slices"] += len(fills) > 1
        seen[f"{shape.kind}: exhausted"] += abs(whole.quantity_e8) < abs(order)

        # The last unit may fall either way where volumes no longer fit a double.
        volume_pad = 4.0 * math.ulp(max(shape.capacity(state), abs(state.consumed), 1.0))
        filled = sum(fill.quantity_e8 for fill in fills)
        assert abs(filled - whole.quantity_e8) <= volume_pad * len(fills) + 1
        if filled != whole.quantity_e8:
            seen["another last unit"] += 1
            return
        # One price unit per filled unit and slice, one micro-USD per rounded cost.
        size = abs(whole.quantity_e8)
        unit = sum(abs(f.quantity_e8) for f in fills) / NOTIONAL_DIVISOR + len(fills) + 1
        float_pad = 1e-10 * abs(cost_of(whole)) + size / NOTIONAL_DIVISOR
        assert abs(sum(map(cost_of, fills)) - cost_of(whole)) <= unit + float_pad
        # Where the book ends up does not depend on the cuts either.
        one = book.displacement(state.traded(0, whole.quantity_e8, 0), 0)
        assert math.isclose(one, book.displacement(after, 0), rel_tol=1e-9, abs_tol=1e-9)

    check()
    assert seen["several slices"] >= 130
    assert seen["exhausted"] >= 30
    assert seen["through zero"] >= 15
    assert_floors(
        seen,
        {f"{kind}: several slices": 35 for kind in KINDS}
        | {f"{kind}: exhausted": 10 for kind in KINDS},
    )


# Round trips --------------------------------------------------------------------------------------


@st.composite
def round_trips(draw):
    """Draw (shape, reference, steps); a step waits, changes depth or trades."""
    shape = draw(shapes)
    step = st.one_of(
        st.tuples(st.just("wait"), st.sampled_from([1, 10**6, HALF_LIFE_US, 20 * HALF_LIFE_US])),
        st.tuples(st.just("depth"), multipliers, st.sampled_from([1_000, HALF_LIFE_US])),
        st.tuples(st.just("trade"), st.floats(-1.5, 1.5), st.floats(-0.3, 0.3)),
        st.tuples(st.just("market"), st.floats(-1.5, 1.5)),
        st.tuples(st.just("units"), st.integers(-50, 50)),
        st.tuples(st.just("flatten")),
    )
    return shape, draw(references), draw(st.lists(step, min_size=1, max_size=14))


class Trader:
    """Somebody alone with a book at a constant reference price, whose cash is counted exactly."""

    def __init__(self, shape: Shape, reference_e8: int) -> None:
        self.shape, self.reference_e8 = shape, reference_e8
        self.book = shape.book()
        self.state = BookState(0, 0.0, 0, RATIO_SCALE, HALF_LIFE_US)
        self.now_us = self.cash_uusd = self.units_e8 = self.fills = 0

    def trade(self, quantity_e8: int, limit_e8: int | None = None) -> None:
        if quantity_e8 == 0:
            return
        fill = self.book.fill(self.state, self.now_us, self.reference_e8, quantity_e8, limit_e8)
        if fill is None:
            return
        self.state = self.state.traded(self.now_us, fill.quantity_e8, 0)
        self.units_e8 += fill.quantity_e8
        self.cash_uusd -= cost_of(fill)
        self.fills += 1

    def act(self, step) -> None:
        match step:
            case ("wait", delay_us):
                self.now_us += delay_us
            case ("depth", multiplier_e6, half_life_us):
                self.state = self.state.with_depth(self.now_us, multiplier_e6, half_life_us)
            case ("trade", share, distance):
                limit = max(round(self.reference_e8 * math.exp(distance)), 1)
                self.trade(round(share * self.shape.capacity(self.state)), limit)
            case ("market", share):
                self.trade(round(share * self.shape.capacity(self.state)))
            case ("units", quantity_e8):
                self.trade(quantity_e8)
            case ("flatten",):
                self.trade(-self.units_e8)

    def go_flat(self) -> None:
        """Trade the position away, in a depth that has room for a unit and as often as it asks."""
        while self.units_e8:
            self.trade(-self.units_e8)
            if self.units_e8:
                self.now_us += 20 * self.state.half_life_us
                side = -1 if self.units_e8 > 0 else 1
                if self.shape.capacity(self.state, side) < max(
                    FLATTENING_ROOM * abs(self.units_e8), 2.0
                ):
                    self.act(("depth", self.state.multiplier_e6 * 10, HALF_LIFE_US))


def test_no_round_trip_pays():
    seen = Counter()

    @cases(1_500)
    @given(round_trips())
    def check(trip):
        shape, reference, steps = trip
        trader = Trader(shape, reference)
        for step in steps:
            trader.act(step)
        seen["flat at the end by chance"] += trader.units_e8 == 0 and trader.fills > 1
        trader.go_flat()
        if not trader.fills:
            seen["never traded"] += 1
            return
        seen["round trip"] += 1
        seen["many fills"] += trader.fills >= 5
        seen[f"{shape.kind}: round trip"] += 1
        seen[f"{shape.kind}: many fills"] += trader.fills >= 5
        seen["depth changed on the way"] += any(step[0] == "depth" for step in steps)
        assert trader.cash_uusd <= 0

    check()
    assert seen["round trip"] >= 600
    assert seen["many fills"] >= 150
    assert seen["depth changed on the way"] >= 150
    assert_floors(
        seen,
        {f"{kind}: round trip": 150 for kind in KINDS}
        | {f"{kind}: many fills": 40 for kind in KINDS},
    )


def test_no_machine_of_a_few_moves_pays():
    """Every way to order five moves out of ten, on five books: no luck needed to find one."""
    moves = [
        ("market", 0.4), ("market", -0.4), ("market", 1.2), ("market", -1.2),
        ("wait", HALF_LIFE_US), ("flatten",),
        ("depth", 250_000, HALF_LIFE_US), ("depth", 4_000_000, HALF_LIFE_US),
    ]  # fmt: skip
    seen = Counter()

    def search(shape, steps, left):
        if steps and steps[-1] == "stop":
            return
        trader = Trader(shape, 200 * 10**8)
        for step in steps:
            trader.act(step)
        trader.go_flat()
        seen["tried"] += 1
        seen["traded"] += trader.fills > 1
        assert trader.cash_uusd <= 0, steps
        if left:
            for move in moves:
                search(shape, [*steps, move], left - 1)

    for exponent in (1.0, 0.5, 2.0):
        search(Shape(10.0**11, exponent, 0.05, 0.3), [], 4 if exponent == 1.0 else 3)
    search(Shape(10.0**11, 2.0, 0.05, 0.3, 3 * 10.0**11), [], 3)
    levels = ((1_000, 10**11), (20_000, 10**11), (150_000, 2 * 10**11))
    search(Rungs(levels, levels), [], 3)
    assert seen["traded"] >= 4_000


@pytest.mark.parametrize(
    "shape",
    [
        Shape(10.0**11, 2.0, 1.0, 0.3),
        Shape(10.0**11, 2.5, 0.25, 1.0),
        Shape(10.0**11, 1.0, 1.0, 1.0),
        Shape(10.0**11, 3.0, 0.1, 1.0),
    ],
)
@pytest.mark.parametrize("side", [-1, 1])
def test_sweeping_a_book_in_parts_and_back_at_once_does_not_pay(shape, side):
    """Far sweeps, where a series in the permanent move would have lost all its digits."""
    trader = Trader(shape, 200 * 10**8)
    for _ in range(2):
        trader.act(("market", side / 2))
    trader.act(("flatten",))

    assert trader.fills == 3
    assert trader.units_e8 == 0
    assert trader.cash_uusd <= 0


# Bounds of a fill ---------------------------------------------------------------------------------


def test_a_fill_keeps_to_depth_limit_and_side():
    seen = Counter()

    @cases(2_000)
    @given(st.data())
    def check(data):
        shape = data.draw(shapes)
        state = data.draw(states(shape))
        order = data.draw(orders(shape, state))
        reference = data.draw(references)
        book, sign = shape.book(), 1 if order > 0 else -1
        limit = None
        if data.draw(st.booleans()):
            # Around where the price is and where this order would take it.
            here = book.displacement(state, 0)
            there = shape.log_price(state, state.consumed + order, state.net_e8 + order)
            there = min(max(there, -30.0), 30.0)
            share = data.draw(st.floats(-0.2, 1.2))
            limit = round(reference * math.exp(min(here + share * (there - here), 30.0)))
            limit = min(max(limit, 1), 10**18 - 1)
        at_us = data.draw(st.sampled_from([0, 1, HALF_LIFE_US // 3, HALF_LIFE_US, 10**12]))
        fill = book.fill(state, at_us, reference, order, limit)
        room = shape.room(state, at_us, sign)

        def marginal(size: int) -> float:
            return reference * math.exp(
                book.displacement(state.traded(at_us, sign * size, 0), at_us)
            )

        def crosses(size: int) -> bool:
            return limit is not None and sign * (marginal(size) - limit) > 0

        if fill is None:
            seen["nothing"] += 1
            assert crosses(1) or room < 1
            return
        size = abs(fill.quantity_e8)
        seen["filled"] += 1
        assert fill.quantity_e8 * order > 0
        assert size <= abs(order)
        assert size <= room
        assert fill.price_e8 >= 1
        if limit is not None:
            assert sign * (fill.price_e8 - limit) <= 0
            assert sign * (marginal(size) - limit) <= FLOAT * limit
            assert sign * (fill.market_price_e8 - limit) <= 0.5 + FLOAT * limit
        if size < min(abs(order), math.floor(room)):
            seen["limit binds"] += 1
            seen[f"{shape.kind}: limit binds"] += 1
            assert crosses(size + 1)
        seen["depth exhausted"] += size < abs(order) and size >= math.floor(room)
        seen[f"{shape.kind}: depth exhausted"] += size < abs(order) and size >= math.floor(room)
        seen["crosses zero consumed"] += (
            state.consumed_at(at_us) * (state.consumed_at(at_us) + fill.quantity_e8) < 0
        )
        # The average lies between the price before and the price after, rounded against the taker.
        before, after = marginal(0), marginal(size)
        low, high = min(before, after), max(before, after)
        assert low * (1 - FLOAT) - 1 <= fill.price_e8 <= max(high * (1 + FLOAT) + 1, 1)
        assert abs(fill.market_price_e8 - max(after, 1.0)) <= 0.5 + FLOAT * after

    check()
    assert seen["limit binds"] >= 40
    assert seen["depth exhausted"] >= 60
    assert seen["crosses zero consumed"] >= 25
    assert seen["nothing"] >= 20
    assert_floors(
        seen,
        {f"{kind}: limit binds": 10 for kind in KINDS}
        | {f"{kind}: depth exhausted": 18 for kind in KINDS},
    )


def test_the_average_is_the_integral_of_the_price():
    seen = Counter()

    @cases(300)
    @given(st.data())
    def check(data):
        shape = data.draw(powers)
        state = data.draw(states(shape))
        order = data.draw(orders(shape, state))
        reference = 10**16  # Fine enough to see a relative error of 1e-9.
        fill = shape.book().fill(state, 0, reference, order, None)
        if fill is None or abs(fill.quantity_e8) < 10:
            return
        quantity = fill.quantity_e8

        def price(volume: float) -> float:
            # *volume* is the consumed volume after that part of the order.
            net = state.net_e8 + (volume - state.consumed)
            return math.exp(shape.log_price(state, volume, net))

        total = integral(price, state.consumed, state.consumed + quantity)
        expected = reference * total / quantity
        # What a double cannot tell apart in the volumes is not the book's fault.
        pad = 8.0 * math.ulp(max(abs(state.consumed), 1.0)) / abs(quantity)

        assert abs(fill.price_e8 - expected) <= (1e-9 + pad) * expected + 1
        # And never better for the taker than it is, but for the quadrature's own error.
        assert (fill.price_e8 - expected) * quantity >= -1e-12 * abs(expected * quantity)
        seen["exponent 1" if shape.exponent == 1.0 else "another exponent"] += 1
        seen["through zero"] += state.consumed * (state.consumed + quantity) < 0

    check()
    assert seen["another exponent"] >= 80
    assert seen["exponent 1"] >= 10
    assert seen["through zero"] >= 8


def test_a_ladder_is_taken_unit_by_unit():
    """A walk in exact fractions, one unit after another, on ladders of few units."""
    seen = Counter()

    @cases(300)
    @given(st.data())
    def check(data):
        levels = st.lists(st.integers(0, 900_000), min_size=1, max_size=4, unique=True)
        asks, bids = (
            tuple((offset, data.draw(st.integers(1, 12))) for offset in sorted(data.draw(levels)))
            for _ in range(2)
        )
        shape, multiplier = (
            Rungs(asks, bids),
            data.draw(st.sampled_from([10**6, 500_000, 2 * 10**6])),
        )
        state = BookState(0, 0.0, 0, multiplier, HALF_LIFE_US)
        most = {sign: math.floor(shape.capacity(state, sign)) for sign in (-1, 1)}
        place = data.draw(st.integers(-most[-1], most[1]))
        order = data.draw(st.integers(-60, 60).filter(bool))
        reference = data.draw(references)
        limit = data.draw(st.one_of(st.none(), st.floats(0.1, 2).map(lambda m: int(m * reference))))
        sign = 1 if order > 0 else -1
        fill = shape.book().fill(
            attrs.evolve(state, consumed=float(place)), 0, reference, order, limit
        )
        # Taken and given back, a unit has the price of where it lies on the axis.
        prices, here = [], place
        while len(prices) < abs(order) and -most[-1] <= here + sign <= most[1]:
            after = reference * shape.price_at(state, Fraction(here + sign))
            if limit is not None and sign * (after - limit) > 0:
                break
            middle = Fraction(2 * here + sign, 2)
            # At half a depth a unit may lie in two levels; one here lies in whole or half units.
            halves = [middle + Fraction(side, 4) for side in (-1, 1)]
            prices.append(sum(_of_half(shape, state, half) for half in halves) * reference / 2)
            here += sign
        if (
            limit is not None
            and sign * (reference * shape.price_at(state, Fraction(place)) - limit) > 0
        ):
            prices = []
        if not prices:
            assert fill is None
            seen["nothing"] += 1
            return
        average = sum(prices) / len(prices)
        assert fill is not None
        assert fill.quantity_e8 == sign * len(prices)
        assert fill.price_e8 == max(math.ceil(average) if sign > 0 else math.floor(average), 1)
        seen["filled"] += 1
        seen["several levels"] += len(set(prices)) > 1
        seen["through zero"] += place * here < 0

    check()
    assert_floors(seen, {"filled": 120, "several levels": 60, "through zero": 20, "nothing": 20})


def _of_half(shape, state, middle):
    """Return the price of the half unit around *middle*: its far end tells the level."""
    return shape.price_at(state, middle + Fraction(1 if middle > 0 else -1, 4))


def test_own_quotes_cap_a_fill_and_change_no_price():
    seen = Counter()

    @cases(800)
    @given(st.data())
    def check(data):
        shape = data.draw(cappeds())
        state = data.draw(states(shape))
        order = data.draw(orders(shape, state))
        reference = data.draw(references)
        sign = 1 if order > 0 else -1
        uncapped = replace(shape, fill_depth_e8=math.inf)
        fill = shape.book().fill(state, 0, reference, order, None)
        own = shape.fill_depth_e8 * state.multiplier_e6 / RATIO_SCALE
        if fill is None:
            seen["nothing"] += 1
            return
        assert abs(fill.quantity_e8) <= own
        assert fill == uncapped.book().fill(state, 0, reference, fill.quantity_e8, None)
        assert shape.book().displacement(state, 0) == uncapped.book().displacement(state, 0)
        # What the other side trades puts no quotes back: the cap is no second reach.
        back = state.traded(0, -sign * max(abs(fill.quantity_e8) // 2, 1), 0)
        assert math.isclose(
            back.taken_at(0, sign), state.taken_at(0, sign), rel_tol=1e-9, abs_tol=1
        )
        if own - state.taken_at(0, sign) < min(
            abs(order), shape.reached(state) - sign * state.consumed
        ):
            seen["the cap binds"] += 1
            after = state.traded(0, fill.quantity_e8, 0)
            again = shape.book().fill(after, 0, reference, sign, None)
            assert again is None or own > 2**50
            # Half a life later half of it is quoted again, whatever the price did.
            half = after.taken_at(HALF_LIFE_US, sign)
            assert math.isclose(half, after.taken_at(0, sign) / 2, rel_tol=1e-9, abs_tol=1)

    check()
    assert_floors(seen, {"the cap binds": 60})


# Time and depth -----------------------------------------------------------------------------------


@cases(300)
@given(st.data())
def test_falling_depth_keeps_the_displacement_and_rising_depth_the_volume(data):
    shape = data.draw(shapes)
    state = data.draw(states(shape))
    book, new = shape.book(), data.draw(multipliers)
    at_us = data.draw(st.sampled_from([0, 10**6, HALF_LIFE_US]))
    after = state.with_depth(at_us, new, 2 * HALF_LIFE_US)

    assert after.multiplier_e6 == new
    assert after.half_life_us == 2 * HALF_LIFE_US
    assert after.net_e8 == state.net_e8
    if new >= state.multiplier_e6:
        assert after.consumed == state.consumed_at(at_us)
        before, now = (book.displacement(s, at_us) for s in (state, after))
        permanent = shape.permanent(state.net_e8)
        assert abs(now - permanent) <= abs(before - permanent) + 1e-15
    else:
        before, now = (book.displacement(s, at_us) for s in (state, after))
        assert math.isclose(before, now, rel_tol=1e-12, abs_tol=1e-12)


@cases(200)
@given(st.floats(1e3, 1e15), st.sampled_from([-1, 1]), st.integers(1, 10**9), st.integers(0, 8))
def test_half_of_the_consumed_volume_refills_in_a_half_life(volume, sign, half_life_us, count):
    state = BookState(5, sign * volume, 0, RATIO_SCALE, half_life_us)

    left = state.consumed_at(5 + count * half_life_us)

    assert math.isclose(left, sign * volume * 0.5**count, rel_tol=1e-15)
    assert abs(state.consumed_at(5 + count * half_life_us + half_life_us // 3)) <= abs(left)


@cases(200)
@given(shapes, st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=8), multipliers)
def test_what_stays_is_linear_in_signed_volume(shape, volumes, multiplier_e6):
    state = BookState(0, 0.0, 0, multiplier_e6, 1_000)
    for number, volume in enumerate(volumes):
        state = state.traded(number * 700, volume, number)

    refilled = shape.book().displacement(state, 10**9)

    expected = shape.permanent(sum(volumes))
    assert math.isclose(refilled, expected, rel_tol=1e-12, abs_tol=1e-300)
