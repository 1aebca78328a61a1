"""Medians, tail means and intervals over seeds."""

import math

import duckdb
import numpy as np
import pytest

from liqsim.study.statistics import summary
from liqsim.study.sweep import TAIL_OF
from liqsim.study.variants import read_variant


def test_a_constant_difference_has_no_width():
    found = summary([3.0, 9.0, 4.0], [1.0, 7.0, 2.0], is_worse_high=True)

    assert found is not None
    for estimate in (found.median_difference, found.tail_difference):
        assert estimate is not None
        assert (estimate.value, estimate.low, estimate.high) == (2.0, 2.0, 2.0)


def test_the_tail_is_the_worst_twentieth():
    values = [float(n) for n in range(100)]
    high = summary(values, values, is_worse_high=True)
    low = summary(values, values, is_worse_high=False)

    assert high is not None
    assert low is not None
    assert (high.tail_mean, low.tail_mean) == (97.0, 2.0)


def test_the_tail_is_rounded_up_in_the_views_of_a_sweep_too():
    for count in (1, 19, 20, 21, 50, 90, 130):
        values = [float(n) for n in range(count)]
        found = summary(values, values, is_worse_high=True)
        sql = f"select {TAIL_OF.format('x')} from (select unnest(range({count})) as x)"
        ((view,),) = duckdb.sql(sql).fetchall()
        worst = values[-math.ceil(count / 20) :]
        assert found is not None
        assert found.tail_mean == view == sum(worst) / len(worst)


def test_what_is_not_defined_on_a_seed_is_in_no_pair():
    found = summary([1.0, None, 5.0], [0.0, 9.0, None], is_worse_high=True)

    assert found is not None
    assert (found.runs, found.pairs, found.median) == (2, 1, 3.0)
    assert found.median_difference is not None
    assert found.median_difference.value == 1.0
    assert summary([None], [1.0], is_worse_high=True) is None
    alone = summary([2.0], [None], is_worse_high=True)
    assert alone is not None
    assert (alone.runs, alone.pairs, alone.median_difference) == (1, 0, None)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    # Heavy tails: a t interval would not. 300 samples of 60 pairs whose median difference is 0.
    draws = np.random.Generator(np.random.PCG64(7))
    held = 0
    for _ in range(300):
        one, other = draws.standard_t(2, size=(2, 60))
        found = summary(list(one + 5), list(other + 5), is_worse_high=True)
        assert found is not None
        assert found.median_difference is not None
        held += found.median_difference.low <= 0 <= found.median_difference.high
    # Binomial(300, 0.95) has 5 sigma = 19; bootstraps of a median err on the wide side.
    assert held >= 266


@pytest.mark.parametrize(
    ("text", "name", "settings"),
    [
        ("none", "none", ()),
        ("a=1,b=[1, 2], c='x,y'", "a=1,b=[1, 2], c='x,y'", ("a=1", "b=[1, 2]", "c='x,y'")),
        ("plain: none", "plain", ()),
        ("two words: a.b=2026-01-01T00:00:00Z", "two words", ("a.b=2026-01-01T00:00:00Z",)),
        ("a.b=2026-01-01T00:00:00Z", "a.b=2026-01-01T00:00:00Z", ("a.b=2026-01-01T00:00:00Z",)),
        ("a={ x = 1, y = 2 }", "a={ x = 1, y = 2 }", ("a={ x = 1, y = 2 }",)),
    ],
)
def test_a_variant_is_read_as_it_is_written(text, name, settings):
    found = read_variant(text)

    assert (found.name, found.settings) == (name, settings)
