"""Paths through bars: the prices of each bar exactly, and nobody else's draws."""

import math
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.effort import cases
from support.floors import assert_floors
from support.scenarios import at, bars, load, market, small_scenario

from liqsim.mechanics.bar_paths import bar_path, bar_prices
from liqsim.mechanics.paths import reference_path
from liqsim.scenario.bars import Bars
from liqsim.units import BOUND, SECOND_US

MINUTE_US = 60 * SECOND_US
START_US = 1_583_971_200 * SECOND_US
CRASH = ((100, 101, 95, 96), (96, 96, 60, 61), (62, 90, 61, 88), (88, 88, 88, 88))


@st.composite
def ohlc(draw):
    """Draw a bar anywhere between one unit and the bound, often with prices that coincide."""
    low = draw(st.one_of(st.integers(1, 5), st.integers(1, BOUND - 1)))
    width = draw(st.one_of(st.sampled_from([0, 1, 2]), st.integers(0, low), st.integers(0, BOUND)))
    high = min(low + width, BOUND - 1)
    ends, between = st.sampled_from([low, high]), st.integers(low, high)
    inside = st.one_of(ends, between, between, st.just((low + high) // 2))
    return draw(inside), high, low, draw(inside)


draws = st.floats(0, 1, exclude_min=True, exclude_max=True)
normals = st.lists(st.floats(-8, 8), min_size=4, max_size=40)


def kind_of(bar, path):
    """Return the case that a bar is of."""
    opening, high, low, close = bar
    if high == low:
        return "flat"
    ends = {opening, close}
    if {low, high} <= ends:
        return "extremes at its ends"
    if high in ends:
        return "high at an end"
    if low in ends:
        return "low at an end"
    return "low first" if path.index(low) < path.index(high) else "high first"


def test_every_bar_is_met_exactly():
    census = Counter()

    @cases(250)
    @given(ohlc(), st.tuples(draws, draws, draws), normals)
    def bar_is_met(bar, places, noise):
        path = bar_path(bar, places, noise)

        opening, high, low, close = bar
        assert len(path) == len(noise)
        assert (path[0], max(path), min(path), path[-1]) == (opening, high, low, close)
        assert all(type(price) is int for price in path)
        census[kind_of(bar, path)] += 1
        census["as short as can be"] += len(path) == 4
        census["moves between"] += len(set(path)) > 4

    bar_is_met()

    assert_floors(
        census,
        {
            "flat": 8,
            "extremes at its ends": 8,
            "high at an end": 8,
            "low at an end": 8,
            "low first": 8,
            "high first": 8,
            "as short as can be": 8,
            "moves between": 40,
        },
    )


def made(rows, *, first_us=0, bar_us=MINUTE_US):
    scaled = tuple(tuple(round(Decimal(str(price)) * 10**8) for price in row) for row in rows)
    return Bars(START_US + first_us, first_us, bar_us, scaled)


def prices(of, *, step_us=SECOND_US, seed=1, name="ETH", count=None):
    count = count or (of.bar_us * len(of.rows) + of.first_us) // step_us
    return bar_prices(of, step_us, count, seed=seed, market=name)


def test_later_bars_change_nothing_before_them():
    one = prices(made(CRASH))
    other = prices(made((*CRASH[:2], (60, 70, 50, 55), (55, 200, 54, 199))))

    assert one[:120] == other[:120]
    assert one[120:] != other[120:]
    assert one[:60] == prices(made(CRASH[:1]))


def test_a_bar_is_the_same_wherever_file_and_run_begin():
    whole = prices(made(CRASH))
    without_the_first = attrs.evolve(made(CRASH[1:]), first_unix_us=START_US + MINUTE_US)
    from_within = attrs.evolve(made(CRASH, first_us=-7 * SECOND_US), first_unix_us=START_US)

    assert prices(without_the_first) == whole[60:]
    assert prices(from_within) == whole[7:]
    assert prices(made(CRASH), count=90) == whole[:90]


def test_equal_bars_take_different_ways():
    path = prices(made([CRASH[0]] * 3))

    assert path[:60] != path[60:120]
    assert len({path[60 * n : 60 * n + 60].index(95 * 10**8) for n in range(3)}) == 3


@pytest.mark.parametrize("change", [{"seed": 2}, {"name": "BTC"}])
def test_another_seed_or_market_takes_another_way(change):
    assert prices(made(CRASH)) != prices(made(CRASH), **change)
    assert prices(made(CRASH)) == prices(made(CRASH))


def test_a_bar_that_rose_met_its_low_first():
    # By the docstring's odds: 2 ** (16 * (close - open) / range), in logs.
    def low_first(close, seed):
        path = prices(made([(100, 110, 90, close)]), seed=seed)
        return path.index(90 * 10**8) < path.index(110 * 10**8)

    log_range = math.log(110 / 90)
    for close in (97, 100, 102):
        odds = 2 ** (16 * math.log(close / 100) / log_range)
        share = sum(low_first(close, seed) for seed in range(400)) / 400
        assert share == pytest.approx(odds / (1 + odds), abs=0.08)


def test_the_path_of_a_bar_is_as_rough_as_its_range_says():
    path = np.array(prices(made([(100, 101, 99, 100)]), step_us=10_000)) / 1e8

    moves = np.diff(np.log(path))
    sigma = math.log(101 / 99) / (2 * math.sqrt(math.log(2)))
    assert math.sqrt((moves**2).sum()) == pytest.approx(sigma, rel=0.05)
    assert abs(moves).max() < 6 * sigma / math.sqrt(6_000)


# In a scenario ------------------------------------------------------------------------------------


def path_of(*rows, **changes):
    end = changes.pop("end", at(20 * len(rows)))
    raw = small_scenario(end=end, markets__ETH=market(path=bars(*rows), **changes))
    (one,) = load(raw).markets
    return reference_path(one, seed=1, end_us=(end - at(0)) // timedelta(microseconds=1))


def test_a_run_may_end_within_a_bar():
    whole, part = path_of(*CRASH), path_of(*CRASH, end=at(50))

    assert whole.view.tolist()[:50] == part.view.tolist()


def test_a_shock_comes_on_top_of_bars():
    calm = path_of(*CRASH)
    shocked = path_of(*CRASH, shocks=[{"at": at(30), "fraction": Decimal("-0.5")}])

    for second, (before, after) in enumerate(zip(calm.view, shocked.view, strict=True)):
        assert after == pytest.approx(before / 2 if second >= 30 else before, rel=1e-9)


def test_a_jump_between_two_bars_stays():
    path = path_of((100, 100, 100, 100), (90, 90, 90, 90), (120, 120, 120, 120))

    assert [later - before for before, later in pairwise(path.view) if later != before] == [
        -10 * 10**8,
        30 * 10**8,
    ]
