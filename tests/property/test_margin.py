"""The margin equation and its prices against fractions, up to the bounds and around every edge."""

from collections import Counter
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.effort import cases

from liqsim.mechanics.margin import (
    MARGIN_SCALE,
    bankruptcy_price_e8,
    restore_price_e8,
    scaled_margin,
    trigger_price_e8,
    weight_e14,
    with_buffer,
)
from liqsim.units import BOUND, RATIO_SCALE, UNIT_SCALE, USD_SCALE, taker_cost_uusd

PRICE_MAX = BOUND - 1
OVERFLOW = 2**63
"""quantity_e8 x price_e8 from here on does not fit an int64: 922 USD."""

sizes = st.one_of(
    st.integers(1, 1_000),
    st.integers(10**6, 10**12),
    st.integers(BOUND - 1_000, BOUND - 1),
    st.integers(0, 17).map(lambda n: 10**n),
)
prices = st.one_of(
    st.integers(1, 1_000), st.integers(10**6, 10**13), st.integers(PRICE_MAX - 1_000, PRICE_MAX)
)
rates = st.one_of(st.sampled_from([0, 1, 5_000, 10_000, 500_000, 999_999]), st.integers(0, 999_999))


@st.composite
def tiers(draw):
    """Draw marginal tiers: the first from zero, rates not falling."""
    starts = [0, *sorted(draw(st.lists(sizes, max_size=4, unique=True)))]
    steps = sorted(draw(st.lists(rates, min_size=len(starts), max_size=len(starts))))
    return list(zip(starts, steps, strict=True))


@st.composite
def buckets(draw):
    """Draw (cash, quantity, tiers) whose margin is near zero at some price as often as not."""
    size, ladder, price = draw(sizes), draw(tiers()), draw(prices)
    quantity = draw(st.sampled_from([-1, 1])) * size
    if draw(st.integers(0, 5)) == 0:
        cash = draw(st.integers(-BOUND + 1, BOUND - 1))
    else:
        margin = exact_weight(ladder, size) * price - Fraction(quantity * price)
        nearest = round(margin * USD_SCALE / UNIT_SCALE**2)
        cash = nearest + draw(st.sampled_from([-1, 0, 0, 1]))
    cash = min(max(cash, -BOUND + 1), BOUND - 1)
    return cash, quantity, ladder


def exact_weight(ladder, size: int) -> Fraction:
    """Return the units (1e-8) that maintenance asks for: each part of the size at its own rate."""
    total = Fraction(0)
    for (start, rate), (end, _) in pairwise([*ladder, (max(size, ladder[-1][0]), 0)]):
        total += Fraction(rate, RATIO_SCALE) * max(min(size, end) - start, 0)
    return total


def exact_margin(cash: int, quantity: int, weight: Fraction, price: int) -> Fraction:
    """Return the margin in USD."""
    held = Fraction(quantity * price) - weight * price
    return Fraction(cash, USD_SCALE) + held / UNIT_SCALE**2


def is_due(margin: Fraction, *, due_at_zero: bool) -> bool:
    return margin < 0 or (due_at_zero and margin == 0)


@cases(500)
@given(buckets(), prices)
def test_weight_and_margin_are_the_fractions(bucket, price):
    cash, quantity, ladder = bucket

    weight = weight_e14(ladder, abs(quantity))
    margin = scaled_margin(cash, [(quantity, weight, price)])

    assert Fraction(weight, RATIO_SCALE) == exact_weight(ladder, abs(quantity))
    expected = exact_margin(cash, quantity, exact_weight(ladder, abs(quantity)), price)
    assert Fraction(margin, MARGIN_SCALE * USD_SCALE) == expected


def test_a_margin_of_several_legs_is_their_sum():
    legs = [(3 * 10**18, 10**23, 10**17), (-(10**9), 10**13, 5), (7, 0, 10**18 - 1)]

    together = scaled_margin(-(10**17), legs)

    assert together == scaled_margin(-(10**17), []) + sum(scaled_margin(0, [leg]) for leg in legs)


def test_the_trigger_price_is_the_last_due_one():
    seen = Counter()

    @cases(1_000)
    @given(buckets(), st.booleans())
    def check(bucket, due_at_zero):
        cash, quantity, ladder = bucket
        weight = exact_weight(ladder, abs(quantity))

        def due(price: int) -> bool:
            return is_due(exact_margin(cash, quantity, weight, price), due_at_zero=due_at_zero)

        level = trigger_price_e8(
            cash, quantity, weight_e14(ladder, abs(quantity)), due_at_zero=due_at_zero
        )

        seen["long" if quantity > 0 else "short"] += 1
        if level is None:
            assert quantity > 0
            assert not due(1)  # Nor any higher price: a long's margin rises with it.
            seen["never due"] += 1
            return
        towards_safety = 1 if quantity > 0 else -1
        assert level >= 1
        assert due(level)
        if level + towards_safety >= 1:
            assert not due(level + towards_safety)
        else:
            seen["due at every price"] += 1
        seen["beyond int64"] += abs(quantity) * level >= OVERFLOW
        margin = exact_margin(cash, quantity, weight, level)
        seen["zero at the level"] += margin == 0
        seen["within one micro-USD of zero"] += abs(margin) < Fraction(1, USD_SCALE)

    check()
    assert seen["long"] >= 150
    assert seen["short"] >= 150
    assert seen["never due"] >= 15
    assert seen["due at every price"] >= 15
    assert seen["beyond int64"] >= 200
    assert seen["zero at the level"] >= 15
    assert seen["within one micro-USD of zero"] >= 50


def test_the_restore_price_is_the_first_that_is_not_due():
    seen = Counter()

    @cases(1_000)
    @given(buckets(), st.booleans(), st.sampled_from([0, 1, 100_000, 10**6, 10**7]))
    def check(bucket, due_at_zero, buffer_e6):
        cash, quantity, ladder = bucket
        weight = weight_e14(ladder, abs(quantity))
        raised = with_buffer(weight, buffer_e6)
        exact = Fraction(raised, RATIO_SCALE)
        # The buffer is rounded against restoration, by less than one unit of the weight.
        ideal = exact_weight(ladder, abs(quantity)) * Fraction(RATIO_SCALE + buffer_e6, RATIO_SCALE)
        assert 0 <= exact - ideal < Fraction(1, RATIO_SCALE)

        def restored(price: int) -> bool:
            return not is_due(exact_margin(cash, quantity, exact, price), due_at_zero=due_at_zero)

        level = restore_price_e8(cash, quantity, raised, due_at_zero=due_at_zero)

        if quantity > 0 and exact >= quantity:
            seen["no higher price helps"] += 1
            assert level is None
            return
        if level is None:
            assert quantity < 0
            assert not restored(1)
            seen["no positive price helps"] += 1
            return
        towards_danger = -1 if quantity > 0 else 1
        assert restored(level)
        if level + towards_danger >= 1:
            assert not restored(level + towards_danger)
        seen["beyond int64"] += abs(quantity) * level >= OVERFLOW
        seen["edge"] += 1

    check()
    assert seen["edge"] >= 150
    assert seen["beyond int64"] >= 200
    assert seen["no higher price helps"] >= 15
    assert seen["no positive price helps"] >= 15


def test_the_bankruptcy_price_leaves_zero_or_less_than_one_unit_more():
    seen = Counter()

    @cases(800)
    @given(buckets())
    def check(bucket):
        cash, quantity, _ = bucket
        price = bankruptcy_price_e8(cash, quantity)

        def equity(at_price: int) -> Fraction:
            return exact_margin(cash, quantity, Fraction(0), at_price)

        if price == 0:
            seen["no positive price"] += 1
            assert equity(0) >= 0 if quantity > 0 else not equity(1) >= 0
            return
        assert equity(price) >= 0
        assert equity(price - 1 if quantity > 0 else price + 1) < 0
        # Settled in whole micro-USD, closing there leaves nothing owed either.
        assert cash - taker_cost_uusd(-quantity, price) >= 0
        seen["edge"] += 1
        seen["beyond int64"] += abs(quantity) * price >= OVERFLOW

    check()
    assert seen["edge"] >= 250
    assert seen["beyond int64"] >= 150
    assert seen["no positive price"] >= 15


ANCHOR_A3 = [
    ("10", "0.005", 0.9045226131, 1.0945273632),
    ("20", "0.01", 0.9595959596, 1.0396039604),
    ("50", "0.01", 0.9898989899, 1.0099009901),
    ("1.5", "0.10", 0.370370, 1.515152),
    ("9.5", "0.10", 0.994152, None),
]
"""Leverage, maintenance, trigger of a long and of a short as multiples of entry."""


@pytest.mark.parametrize(("leverage", "maintenance", "long", "short"), ANCHOR_A3)
def test_a3_trigger_and_bankruptcy_prices(leverage, maintenance, long, short):
    entry, quantity = 10**15, 10**9  # Prices fine enough to see 1e-9 of the entry.
    ladder = [(0, int(Fraction(maintenance) * RATIO_SCALE))]
    decimals = 6 if Fraction(maintenance) == Fraction("0.1") else 10
    for sign, published in ((1, long), (-1, short)):
        cash = round(quantity * entry / Fraction(leverage) / 10**10) - taker_cost_uusd(
            sign * quantity, entry
        )
        level = trigger_price_e8(cash, sign * quantity, weight_e14(ladder, quantity))
        zero = bankruptcy_price_e8(cash, sign * quantity)
        closed = (1 - sign / Fraction(leverage)) / (1 - sign * Fraction(maintenance))

        assert level is not None
        assert abs(Fraction(level, entry) - closed) <= closed / 10**9
        assert abs(Fraction(zero, entry) - (1 - sign / Fraction(leverage))) <= Fraction(1, 10**9)
        if published is not None:
            assert round(level / entry, decimals) == pytest.approx(published, abs=10.0**-decimals)
