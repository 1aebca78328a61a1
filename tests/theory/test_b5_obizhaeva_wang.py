"""
B5: selling X over T at least cost in a book that refills at rate rho: two equal blocks at the ends,
a constant rate between them (Obizhaeva, Wang, Journal of Financial Markets 16, 2013).

Costs are read with SQL from the sealed logs of runs through the shipped runner.
"""

import math
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.ladder import START
from support.sales import cost_of, sale

from replay.log import Log

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


def sliced(
    law: dict[str, Any], seconds: int, units: float, depth: float, resilience: float
) -> dict[str, Any]:
    """Return a scenario in which one account of *units* is liquidated in slices, to the end."""
    scenario = sale(depth=depth, permanent=0.0, resilience=resilience, schedule={1: units})
    scenario["end"] = START + timedelta(seconds=seconds)
    (path,) = (market["path"] for market in scenario["markets"].values())
    path["knots"][1][0] = scenario["end"]
    scenario["venue"]["tranches"] = {"restore_buffer": 10, "spacing": "1ms"}
    scenario["mitigations"] = [{"kind": "slices", "interval": "1s", "least_usd": 0} | law]
    return scenario


def shares_of(log: Path) -> list[float]:
    """Return the slices that a run put up, as shares of the first position."""
    with Log(log) as reader:
        rows = reader.sql(
            "select t.quantity::double / l.quantity::double from tranche_started as t "
            "join liquidation_triggered as l on l.seq = t.liquidation_seq order by t.seq"
        ).fetchall()
    return [-share for (share,) in rows]


def test_b5_slices_of_a_venue_that_knows_its_book_are_the_schedule(tmp_path: Path) -> None:
    resilience, horizon = 2.2231, 1
    per_second, log = resilience * horizon / SLICES, tmp_path / "run.duckdb"
    law = {
        "law": "obizhaeva_wang",
        "parts": SLICES + 1,
        "half_life": f"{math.log(2) / per_second:.6f}s",
    }
    cost_of(sliced(law, 500, 1_000, 1_000, per_second), log)

    end, *middle, last = shares_of(log)
    assert len(middle) == SLICES - 1
    right = 1 / (resilience * horizon + 2)
    assert math.isclose(end, right, rel_tol=4e-3)
    assert math.isclose(last, right, rel_tol=4e-3)
    assert math.isclose(sum(middle) / horizon, resilience * right, rel_tol=4e-3)
    assert max(middle) - min(middle) < 1e-8


def test_b5_few_slices_are_cheapest_by_the_schedule_of_the_books_own_resilience(
    tmp_path: Path,
) -> None:
    # In n trades, with a of what was taken missing at the next: kappa X^2 / 2 times (1 + a) /
    # ((n - 2)(1 - a) + 2), which by the least-cost condition is half of X times the first.
    units, depth, parts = 1_000.0, 1_000.0, 5
    half_life = 2.0
    left = 0.5 ** (1 / half_life)

    def cost(name: str, law: dict[str, Any]) -> float:
        scenario = sliced(law, 20, units, depth, math.log(2) / half_life)
        paid, sold, sales = cost_of(scenario, tmp_path / f"{name}.duckdb")
        assert (sales, round(sold, 3)) == (parts, units)
        return paid

    def wang(guess: str) -> dict[str, Any]:
        return {"law": "obizhaeva_wang", "parts": parts, "half_life": guess}

    least = cost("known", wang("2s"))
    first = 1 / ((parts - 2) * (1 - left) + 2)
    assert math.isclose(least, units**2 / depth * first * (1 + left) / 2, rel_tol=1e-3)
    assert cost("fast", wang("0.5s")) > least * 1.001
    assert cost("slow", wang("20s")) > least * 1.001
    assert cost("even", {"law": "time_weighted", "parts": parts}) > least * 1.001
