"""The margin equation and its prices against fractions, up to the bounds and around every edge."""

from collections import Counter
from fractions import Fraction
from itertools import product
from random import Random

import attrs
from hypothesis import given
from hypothesis import strategies as st
from support.effort import cases
from support.floors import assert_floors
from support.restoring import restore_price

from liqsim.mechanics.margin import (
    MARGIN_SCALE,
    Pieces,
    Tiers,
    bankruptcy_price_e8,
    scaled_margin,
    trigger_price_e8,
    weight_e14,
    with_buffer,
)
from liqsim.units import (
    BOUND,
    NOTIONAL_DIVISOR,
    RATIO_SCALE,
    UNIT_SCALE,
    USD_SCALE,
    taker_cost_uusd,
)

OVERFLOW = 2**63
"""quantity_e8 x price_e8 from here on does not fit an int64: 922 USD."""
ONE_UUSD = Fraction(1, USD_SCALE)
RATES = [0, 1, 5_000, 10_000, 500_000, 999_999]
BATCH = 50
"""Buckets drawn from one seed: numbers need no shrinking, and a draw costs more than its check."""
seeds = st.integers(0, 2**32)


@attrs.frozen
class Bucket:
    """A one-leg bucket, and everything about it in fractions of a unit and a dollar."""

    cash_uusd: int
    quantity_e8: int
    tiers: Tiers

    @property
    def weight(self) -> int:
        return weight_e14(self.tiers, abs(self.quantity_e8))

    @property
    def pieces(self) -> Pieces:
        return one_piece(self.quantity_e8, self.weight)

    def exact_weight(self) -> Fraction:
        """Return the units that maintenance asks for: each part of the size at its own rate."""
        size = abs(self.quantity_e8)
        ends = [start for start, _ in self.tiers[1:]] + [max(size, self.tiers[-1][0])]
        parts = [
            Fraction(max(min(size, end) - start, 0), UNIT_SCALE) * Fraction(rate, RATIO_SCALE)
            for (start, rate), end in zip(self.tiers, ends, strict=True)
        ]
        return sum(parts, Fraction(0))

    def margin(self, price_e8: int, weight: Fraction | None = None) -> Fraction:
        weight = self.exact_weight() if weight is None else weight
        held = Fraction(self.quantity_e8, UNIT_SCALE) - weight
        return Fraction(self.cash_uusd, USD_SCALE) + held * Fraction(price_e8, UNIT_SCALE)


def one_piece(quantity_e8: int, weight: int) -> Pieces:
    return ((quantity_e8 * RATIO_SCALE - weight, 0),)


def is_due(margin: Fraction, *, due_at_zero: bool) -> bool:
    return margin < 0 or (due_at_zero and margin == 0)


def magnitude(random: Random, top: int) -> int:
    """Draw an integer in [1, *top*], every order of magnitude equally likely."""
    low = 10 ** random.randrange(len(str(top)))
    return random.randint(low, min(10 * low, top))


def draw_bucket(random: Random) -> tuple[Bucket, int]:
    """Draw a bucket and a price at which its margin is often within one unit of zero."""
    # Of whole units and dollars, margins can be exactly zero.
    grain = random.choice([1, UNIT_SCALE])
    size = grain * magnitude(random, (BOUND - 1) // grain)
    price = grain * magnitude(random, (BOUND - 1) // grain)
    near = [size, size + grain, max(size - grain, grain), magnitude(random, BOUND // grain) * grain]
    starts = sorted({0, *random.sample(near, random.randint(0, 4))})
    rates = sorted(random.choice([*RATES, random.randrange(RATIO_SCALE)]) for _ in starts)
    bucket = Bucket(0, random.choice([-1, 1]) * size, tuple(zip(starts, rates, strict=True)))
    cash = round(-bucket.margin(price) * USD_SCALE) + random.choice([-1, 0, 0, 1])
    if abs(cash) >= BOUND or random.random() < 0.2:
        cash = random.choice([-1, 1]) * magnitude(random, BOUND - 1)
    return attrs.evolve(bucket, cash_uusd=cash), price


# The equation -------------------------------------------------------------------------------------


def test_weight_and_margin_are_the_fractions():
    census = Counter()

    @cases(40)
    @given(seeds)
    def check(seed):
        random = Random(seed)
        for _ in range(BATCH):
            bucket, price = draw_bucket(random)
            leg = (bucket.pieces, price)

            assert Fraction(bucket.weight, UNIT_SCALE * RATIO_SCALE) == bucket.exact_weight()
            margin = Fraction(scaled_margin(bucket.cash_uusd, [leg]), MARGIN_SCALE * USD_SCALE)
            assert margin == bucket.margin(price)
            starts = [start for start, _ in bucket.tiers]
            size = abs(bucket.quantity_e8)
            census["several tiers"] += len(starts) > 2
            census["ends on a tier"] += size in starts
            census["one unit past a tier"] += size - 1 in starts
            census["one unit short of a tier"] += size + 1 in starts
            census["beyond int64"] += size * price >= OVERFLOW
            census["zero"] += margin == 0
            census["within one micro-USD of zero"] += 0 < abs(margin) <= ONE_UUSD
            census["at the bounds"] += size > BOUND // 10 and price > BOUND // 10

    check()
    assert_floors(
        census,
        {
            "several tiers": 500,
            "ends on a tier": 400,
            "one unit past a tier": 150,
            "one unit short of a tier": 150,
            "beyond int64": 500,
            "zero": 50,
            "within one micro-USD of zero": 300,
            "at the bounds": 10,
        },
    )


def test_no_position_needs_no_maintenance():
    assert weight_e14(((0, 5_000), (10, 10_000)), 0) == 0


def test_a_margin_of_several_legs_is_their_sum():
    random = Random(1)
    for count in range(6):
        buckets = [draw_bucket(random) for _ in range(count)]
        legs = [(bucket.pieces, price) for bucket, price in buckets]
        cash = random.randint(-BOUND, BOUND)

        margin = Fraction(scaled_margin(cash, legs), MARGIN_SCALE * USD_SCALE)

        phis = [attrs.evolve(bucket, cash_uusd=0).margin(price) for bucket, price in buckets]
        assert margin == Fraction(cash, USD_SCALE) + sum(phis)


def test_a_buffer_raises_a_weight_and_rounds_up():
    random = Random(2)
    for _ in range(1_000):
        weight = random.choice([0, 1, magnitude(random, BOUND * RATIO_SCALE)])
        buffer_e6 = random.choice([0, 1, 100_000, RATIO_SCALE, random.randint(0, 10 * RATIO_SCALE)])

        exact = weight * (1 + Fraction(buffer_e6, RATIO_SCALE))
        assert 0 <= with_buffer(weight, buffer_e6) - exact < 1


# Its prices ---------------------------------------------------------------------------------------


def check_trigger(random: Random, census: Counter[str]) -> None:
    (bucket, _), due_at_zero = draw_bucket(random), random.random() < 0.5
    is_long, weight = bucket.quantity_e8 > 0, bucket.exact_weight()

    def due(price: int) -> bool:
        return is_due(bucket.margin(price, weight), due_at_zero=due_at_zero)

    level = trigger_price_e8(
        bucket.cash_uusd, bucket.pieces, is_long=is_long, due_at_zero=due_at_zero
    )

    if level is None:
        assert is_long
        assert not due(1)  # Nor at any higher price: a long's margin rises with it.
        census["never due"] += 1
        return
    assert level >= 1
    assert due(level)
    if is_long or level > 1:
        assert not due(level + (1 if is_long else -1))
    else:
        census["due at every price"] += 1
    margin = bucket.margin(level, weight)
    census["long" if is_long else "short"] += 1
    census["beyond int64"] += abs(bucket.quantity_e8) * level >= OVERFLOW
    census["due at zero exactly"] += margin == 0
    census["zero beside the level"] += not due_at_zero and (
        bucket.margin(level + (1 if is_long else -1), weight) == 0
    )
    census["within one micro-USD of zero"] += 0 < abs(margin) <= ONE_UUSD


def test_the_trigger_price_is_the_last_due_one():
    census = Counter()

    @cases(80)
    @given(seeds)
    def check(seed):
        random = Random(seed)
        for _ in range(BATCH):
            check_trigger(random, census)

    check()
    assert_floors(
        census,
        {
            "long": 1_000,
            "short": 1_500,
            "never due": 100,
            "due at every price": 100,
            "beyond int64": 1_000,
            "due at zero exactly": 100,
            "zero beside the level": 100,
            "within one micro-USD of zero": 300,
        },
    )


def check_restore(random: Random, census: Counter[str]) -> None:
    (bucket, _), due_at_zero = draw_bucket(random), random.random() < 0.5
    raised = with_buffer(bucket.weight, random.choice([0, 1, 100_000, RATIO_SCALE, 10**7]))
    is_long, weight = bucket.quantity_e8 > 0, Fraction(raised, UNIT_SCALE * RATIO_SCALE)

    def restored(price: int) -> bool:
        return not is_due(bucket.margin(price, weight), due_at_zero=due_at_zero)

    of = one_piece(bucket.quantity_e8, raised)
    level = restore_price(bucket.cash_uusd, of, is_long=is_long, due_at_zero=due_at_zero)

    if is_long and weight >= Fraction(bucket.quantity_e8, UNIT_SCALE):
        # More maintenance than position: no higher price helps; lower ones only who owes nothing.
        assert level is None if not restored(1) else level == 1
        census["no higher price helps"] += 1
        return
    if level is None:
        assert not is_long
        assert not restored(1)
        census["no positive price helps"] += 1
        return
    assert level >= 1
    assert restored(level)
    if not is_long or level > 1:
        assert not restored(level + (-1 if is_long else 1))
    else:
        census["restored at every price"] += 1
    census["long" if is_long else "short"] += 1
    census["beyond int64"] += abs(bucket.quantity_e8) * level >= OVERFLOW
    census["restored at zero exactly"] += bucket.margin(level, weight) == 0


def test_the_restore_price_is_the_first_that_is_not_due():
    census = Counter()

    @cases(80)
    @given(seeds)
    def check(seed):
        random = Random(seed)
        for _ in range(BATCH):
            check_restore(random, census)

    check()
    assert_floors(
        census,
        {
            "long": 500,
            "short": 1_000,
            "no higher price helps": 80,
            "no positive price helps": 100,
            "restored at every price": 50,
            "beyond int64": 600,
            "restored at zero exactly": 50,
        },
    )


def test_at_the_bankruptcy_price_equity_is_zero_or_less_than_a_unit_of_price_above():
    census = Counter()

    @cases(60)
    @given(seeds)
    def check(seed):
        random = Random(seed)
        for _ in range(BATCH):
            bucket, _ = draw_bucket(random)
            # Equity is margin without maintenance.
            if random.random() < 0.5:
                value = Fraction(bucket.quantity_e8 * magnitude(random, 10**12), NOTIONAL_DIVISOR)
                cash = round(-value) + random.choice([-1, 0, 1])
                bucket = attrs.evolve(bucket, cash_uusd=min(max(cash, 1 - BOUND), BOUND - 1))
            is_long = bucket.quantity_e8 > 0

            price = bankruptcy_price_e8(bucket.cash_uusd, bucket.quantity_e8)

            def equity(at_price: int, bucket: Bucket = bucket) -> Fraction:
                return bucket.margin(at_price, Fraction(0))

            if price == 0:
                assert equity(0) >= 0 if is_long else equity(1) < 0
                census["no positive price"] += 1
                continue
            assert price > 0
            assert equity(price) >= 0
            assert equity(price + (-1 if is_long else 1)) < 0
            # Settled in whole micro-USD, closing there leaves nothing owed either.
            assert bucket.cash_uusd - taker_cost_uusd(-bucket.quantity_e8, price) >= 0
            census["long" if is_long else "short"] += 1
            census["exact"] += equity(price) == 0
            census["rounded"] += equity(price) > 0
            census["beyond int64"] += abs(bucket.quantity_e8) * price >= OVERFLOW

    check()
    assert_floors(
        census,
        {
            "no positive price": 100,
            "long": 600,
            "short": 600,
            "exact": 200,
            "rounded": 600,
            "beyond int64": 600,
        },
    )


def test_every_price_of_a_small_world():
    """Every bucket of a few units and dollars, at every price of its small world."""
    prices = range(1, 20)
    scale = 100 * UNIT_SCALE  # So that a unit of price is a unit of money per leg.
    for cash, leg, rate, due_at_zero in product(
        range(-15, 16), (-3, -1, 1, 3), (0, 100_000, 500_000), (False, True)
    ):
        bucket = Bucket(cash, leg * scale, ((0, rate),))
        margins = [bucket.margin(price) for price in prices]
        due = {
            price
            for price, margin in zip(prices, margins, strict=True)
            if is_due(margin, due_at_zero=due_at_zero)
        }

        of, is_long = bucket.pieces, leg > 0
        trigger = trigger_price_e8(cash, of, is_long=is_long, due_at_zero=due_at_zero)
        restore = restore_price(cash, of, is_long=is_long, due_at_zero=due_at_zero)

        if leg > 0:
            assert due == {price for price in prices if trigger and price <= trigger}
            assert due == {price for price in prices if restore and price < restore}
        else:
            assert due == {price for price in prices if trigger and price >= trigger}
            assert due == {price for price in prices if price > (restore or 0)}
