"""
B4: expected cost of selling in slices, each in a book that has refilled (Almgren, Chriss,
Journal of Risk 3, 2001): permanent impact gamma, temporary impact eta per unit of rate.

In a book that refills between slices a slice of n units costs kappa n^2 / 2 beside the permanent
part, so that their model is ours with lambda = gamma and kappa = 2 eta / tau - gamma. The half
spread is a cost per unit that no book here has: it is added by hand. The standard deviation of the
cost belongs to the price and is left out.
"""

import math
from itertools import pairwise
from pathlib import Path

import pytest
from support.sales import cost_of, sale

UNITS, SLICES, SLICE_DAYS = 1_000_000, 5, 1.0
HALF_SPREAD, ETA, GAMMA = 0.0625, 2.5e-6, 2.5e-7
SECONDS_PER_SLICE = 100
"""At a half-life of a second, 2 ** -100 of a slice is left for the next."""

# Holdings after each slice, and the expected cost.
EVEN = ([800_000, 600_000, 400_000, 200_000, 0], 662_500.0)
AVERSE = ([541_956, 289_854, 147_897, 62_142, 0], 911_226.99)
AT_ONCE = ([0], 2_562_500.0)


@pytest.mark.parametrize(("holdings", "expected"), [EVEN, AVERSE, AT_ONCE])
def test_b4_expected_cost_of_a_schedule(
    tmp_path: Path, holdings: list[int], expected: float
) -> None:
    slices = [before - after for before, after in pairwise([UNITS, *holdings])]
    kappa = 2.0 * ETA / SLICE_DAYS - GAMMA
    scenario = sale(
        depth=1.0 / (GAMMA + kappa),
        permanent=GAMMA,
        resilience=math.log(2.0),
        schedule={1 + k * SECONDS_PER_SLICE: float(units) for k, units in enumerate(slices)},
        start_price=20_000,
    )

    cost, sold, sales = cost_of(scenario, tmp_path / "b4.duckdb")

    assert sales == len(slices)
    assert math.isclose(sold, UNITS, rel_tol=1e-6)
    assert math.isclose(cost + HALF_SPREAD * UNITS, expected, rel_tol=1e-4)
