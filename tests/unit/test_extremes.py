"""Lowest and highest prices against a look at every microsecond of small random histories."""

from collections import Counter
from random import Random

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.effort import cases
from support.floors import assert_floors

from liqsim.mechanics.extremes import market_extremes
from liqsim.mechanics.ladder import LadderBook
from liqsim.mechanics.liquidity import FiniteBook, FrictionlessBook, displaced_price_e8
from liqsim.mechanics.paths import ReferencePath
from liqsim.units import RATIO_SCALE
from liqsim.world.markets import Market

DEPTH_E8 = 10**8
BATCH = 10
"""Histories drawn from one seed."""


@attrs.frozen
class History:
    """
    What happened to one market.

    Attributes:
        path: Its reference path, in steps of a few microseconds.
        market: Its states.
        book: Its book.
        end_us: The end, exclusive.
    """

    path: ReferencePath
    market: Market
    book: FiniteBook | FrictionlessBook | LadderBook
    end_us: int

    def every_price(self):
        """Yield (price, instant) at every microsecond and for every state that stood in it."""
        states = self.market.history
        ends = [state.at_us for state in states[1:]] + [self.end_us]
        for state, end_us in zip(states, ends, strict=True):
            for at_us in range(state.at_us, max(end_us, state.at_us + 1)):
                displacement = self.book.displacement(state, at_us)
                yield displaced_price_e8(self.path.at(at_us), displacement), at_us

    def extremes(self):
        return market_extremes(0, self.path, self.market, self.book.displacement, self.end_us)


def history(random: Random) -> History:
    """Draw a history in which states change within steps, at their edges and many at once."""
    step_us, count = random.randint(1, 9), random.randint(1, 8)
    end_us = step_us * count
    scale = random.choice([100, 5_000, 10**7, 19_461 * 10**6, 10**13])
    spread = random.choice([0, 2, scale // 100, scale // 10])
    prices = [scale + random.randint(-spread, spread) for _ in range(count)]
    book: FiniteBook | LadderBook = FiniteBook(
        DEPTH_E8, random.choice([1.0, 0.5, 2.0]), 0.5, random.choice([0.0, 0.0, 0.3, 1.0])
    )
    if random.random() < 0.25:
        levels = [(random.randrange(2_000), DEPTH_E8 // 3), (9_000, DEPTH_E8), (40_000, DEPTH_E8)]
        book = LadderBook(levels, levels[: random.randint(1, 3)])
    market = Market(random.choice([1, 3, 20, 400]))
    at_us = random.choice([0, random.randrange(end_us)])
    for seq in range(random.randint(0, 5)):
        at_us += random.choice([0, random.randint(0, 6), random.randint(0, end_us)])
        if at_us >= end_us:
            break
        if random.random() < 0.8:
            quantity = random.choice([-1, 1]) * random.randint(1, 3 * DEPTH_E8)
            market.set_book(market.book.traded(at_us, quantity, seq))
        else:
            multiplier = random.choice([RATIO_SCALE // 4, RATIO_SCALE, 3 * RATIO_SCALE])
            market.set_book(market.book.with_depth(at_us, multiplier, random.randint(1, 50)))
    return History(ReferencePath(step_us, np.array(prices, dtype=np.int64)), market, book, end_us)


def expected_of(case: History) -> dict[str, int]:
    prices = list(case.every_price())
    lowest, lowest_at = min(prices)
    highest, highest_at = min((-price, at_us) for price, at_us in prices)
    references = [(case.path.at(at_us), at_us) for at_us in range(case.end_us)]
    lowest_reference, low_at = min(references)
    highest_reference, high_at = min((-price, at_us) for price, at_us in references)
    last = max(at_us for _, at_us in prices)
    return {
        "market_id": 0,
        "start_price_e8": references[0][0],
        "lowest_market_e8": lowest,
        "lowest_market_at_us": lowest_at,
        "highest_market_e8": -highest,
        "highest_market_at_us": highest_at,
        "lowest_reference_e8": lowest_reference,
        "lowest_reference_at_us": low_at,
        "highest_reference_e8": -highest_reference,
        "highest_reference_at_us": high_at,
        "end_market_e8": [price for price, at_us in prices if at_us == last][-1],
        "end_reference_e8": references[-1][0],
    }


FIRST_INSTANTS = ("lowest_market_at_us", "highest_market_at_us")


def census_of(case: History) -> Counter[str]:
    states = case.market.history
    prices = list(case.every_price())
    worst = [min(prices)[0], max(prices)[0]]
    instants = [state.at_us for state in states]
    return Counter(
        {
            "one instant, many states": len(set(instants)) < len(instants) - 1,
            "calm": len(states) == 1,
            "a ladder": isinstance(case.book, LadderBook),
            "depth changed": any(s.multiplier_e6 != RATIO_SCALE for s in states),
            "decays upwards": any(s.consumed < 0 for s in states),
            "decays downwards": any(s.consumed > 0 for s in states),
            "ends displaced": abs(case.book.displacement(states[-1], case.end_us - 1)) > 1e-6,
            "tie": any(sum(price == edge for price, _ in prices) > 1 for edge in worst),
        }
    )


FLOORS = {
    "one instant, many states": 85,
    "calm": 50,
    "a ladder": 120,
    "depth changed": 100,
    "decays upwards": 200,
    "decays downwards": 200,
    "ends displaced": 300,
    "tie": 300,
}


def test_extremes_are_those_of_every_microsecond():
    census = Counter()

    @cases(80)
    @given(st.integers(0, 2**32))
    def check(seed):
        random = Random(seed)
        for _ in range(BATCH):
            case = history(random)
            found, expected = attrs.asdict(case.extremes()), expected_of(case)
            for field in FIRST_INSTANTS:
                extreme = expected[field.removesuffix("_at_us") + "_e8"]
                assert (extreme, found.pop(field)) in set(case.every_price())
                expected.pop(field)
            assert found == expected
            census.update(census_of(case))

    check()
    assert_floors(census, FLOORS)


def test_extremes_are_told_with_the_first_instant_at_which_they_stood():
    census = Counter()

    @cases(80)
    @given(st.integers(0, 2**32))
    def check(seed):
        random = Random(seed)
        for _ in range(BATCH):
            case = history(random)
            assert attrs.asdict(case.extremes()) == expected_of(case)
            census.update(census_of(case))

    check()
    assert_floors(census, FLOORS)


# By hand ------------------------------------------------------------------------------------------


def by_hand(prices, *trades, permanent_share=0.0, half_life_us=10, step_us=30) -> History:
    """Return a history of (instant, quantity) *trades* in a book one depth of which moves 1 %."""
    market = Market(half_life_us)
    for seq, (at_us, quantity) in enumerate(trades):
        market.set_book(market.book.traded(at_us, quantity, seq))
    path = ReferencePath(step_us, np.array(prices, dtype=np.int64))
    book = FiniteBook(DEPTH_E8, 1.0, 0.5, permanent_share)
    return History(path, market, book, step_us * len(prices))


def test_without_impact_market_and_reference_are_one():
    case = by_hand([10, 9, 12, 9, 12], (40, -DEPTH_E8), (70, DEPTH_E8))
    calm = attrs.evolve(case, book=FrictionlessBook())

    extremes = calm.extremes()

    assert (extremes.lowest_market_e8, extremes.lowest_market_at_us) == (9, 30)
    assert (extremes.highest_market_e8, extremes.highest_market_at_us) == (12, 60)
    assert (extremes.lowest_reference_e8, extremes.lowest_reference_at_us) == (9, 30)
    assert (extremes.highest_reference_e8, extremes.highest_reference_at_us) == (12, 60)
    assert (extremes.end_market_e8, extremes.end_reference_e8) == (12, 12)


def test_a_state_that_stood_for_no_time_counts():
    # Sold and bought back within one instant.
    case = by_hand([10**6, 10**6], (25, -DEPTH_E8), (25, DEPTH_E8))

    extremes = case.extremes()

    assert (extremes.lowest_market_e8, extremes.lowest_market_at_us) == (990_050, 25)
    assert extremes.end_market_e8 == 10**6


def test_the_refill_can_carry_the_price_above_everything_before():
    # A reference that jumps while the book is still sold out: the top comes as the book refills,
    # right before the reference falls back.
    case = by_hand([10**9, 2 * 10**9, 10**9], (0, -30 * DEPTH_E8), half_life_us=5)

    extremes = case.extremes()

    assert extremes.highest_market_at_us == 59
    assert extremes.lowest_market_at_us == 0


@pytest.mark.parametrize(("side", "share"), [(-1, 0.5), (1, 0.5), (-1, 1.0), (1, 1.0)])
def test_the_permanent_part_stays(side, share):
    case = by_hand([10**9] * 40, (0, side * DEPTH_E8), permanent_share=share)

    extremes = case.extremes()

    permanent = round(10**9 * np.exp(0.01 * side * share))
    assert extremes.end_market_e8 == permanent
    # The calm instant before the trade is the far side; the trade itself the near one.
    at_once = round(10**9 * np.exp(0.01 * side))
    assert sorted([10**9, at_once]) == [extremes.lowest_market_e8, extremes.highest_market_e8]
    assert extremes.lowest_market_at_us == extremes.highest_market_at_us == 0


def test_a_price_that_refills_to_its_old_level_is_told_when_it_is_first_back():
    # Calm at 1,000 for no time, sold at 0; rounded to a unit the book is back long before the end.
    case = by_hand([1_000, 900], (0, -DEPTH_E8), half_life_us=5, step_us=60)
    market = Market(5)
    market.history = case.market.history[1:]  # As if the run began in the sold-out book.

    extremes = attrs.evolve(case, market=market).extremes()

    assert extremes.highest_market_e8 == 1_000
    assert extremes.highest_market_at_us == 22  # 990 x exp(…) rounds to 1,000 from here on.


def test_of_two_references_that_round_to_one_price_the_first_counts():
    # 0.5 % down for good, 101 and 100 are both written 100.
    case = by_hand([200, 101, 100], (0, -DEPTH_E8 // 2), permanent_share=1.0)

    extremes = case.extremes()

    assert (extremes.lowest_market_e8, extremes.lowest_market_at_us) == (100, 30)
