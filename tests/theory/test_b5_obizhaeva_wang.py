"""
B5: selling X over T at least cost in a book that refills at rate rho: two equal blocks at the ends,
a constant rate between them (Obizhaeva, Wang, Journal of Financial Markets 16, 2013).

Costs are read with SQL from the sealed logs of runs through the shipped runner.
"""

import math
from pathlib import Path

import pytest
from support.sales import cost_of, sale

SLICES = 400

# (units X, depth q, permanent lambda, resilience rho, horizon T, end block, rate, cost, one block)
TABLE = [
    (100_000, 5_000, 1e-4, 2.2231, 1, 23_679.288, 52_641.425, 736_792.877, 1_000_000),
    (1_000, 100, 0.002, 1.0, 10, 83.33333, 83.33333, 1_666.66667, 5_000),
]


@pytest.mark.parametrize(
    ("units", "depth", "permanent", "resilience", "horizon", "end", "rate", "cost", "block"), TABLE
)
def test_b5_cost_of_the_best_schedule_and_of_one_block(
    tmp_path: Path,
    units: float,
    depth: float,
    permanent: float,
    resilience: float,
    horizon: float,
    end: float,
    rate: float,
    cost: float,
    block: float,
) -> None:
    per_second = resilience * horizon / SLICES
    # What the constant rate sells is spread evenly over the instants between the ends.
    middle = rate * horizon / (SLICES - 1)
    best = {1: end} | {1 + k: middle for k in range(1, SLICES)} | {1 + SLICES: end}
    assert math.isclose(sum(best.values()), units, rel_tol=1e-6)

    def run(name: str, schedule: dict[int, float]) -> float:
        scenario = sale(depth=depth, permanent=permanent, resilience=per_second, schedule=schedule)
        paid, sold, sales = cost_of(scenario, tmp_path / f"{name}.duckdb")
        assert sales == len(schedule)
        assert math.isclose(sold, units, rel_tol=1e-6)
        return paid

    least = run("best", best)
    assert math.isclose(least, cost, rel_tol=1e-3)
    assert math.isclose(run("block", {1: units}), block, rel_tol=2e-4)
    # Nothing else of the same length is cheaper: neither an even sale nor larger ends.
    even = {1 + k: units / (SLICES + 1) for k in range(SLICES + 1)}
    assert run("even", even) > least * 1.001
    larger = best | {1: end * 1.2, 1 + SLICES: end * 1.2}
    rest = (units - 2.4 * end) / (SLICES - 1)
    assert run("larger", larger | {1 + k: rest for k in range(1, SLICES)}) > least * 1.001
