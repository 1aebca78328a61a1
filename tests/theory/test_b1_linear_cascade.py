"""
B1: a shock x, impact a unit, density of triggers: the fall is x / (1 - b), b = impact x density.

Every number is read with SQL from the sealed log of a run through the shipped runner.
"""

import math
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from support.ladder import BP, ladder

from liqsim.api import load_scenario, run_to_log
from liqsim.scenario import scenario_from_dict
from replay.log import Log

SCENARIOS = Path(__file__).parents[2] / "scenarios"


def fall_and_units(scenario: Any, log: Path) -> tuple[float, float, int]:
    """Return (fall in basis points, units sold, liquidations) of a run."""
    run_to_log(scenario, log)
    with Log(log) as reader:
        start, lowest = reader.sql(
            "select start_price, lowest_market from market_extremes"
        ).fetchall()[0]
        units, orders = reader.sql("select -sum(quantity), count(*) from order_filled").fetchall()[
            0
        ]
        assert reader.verify() == []
    return math.log(start / lowest) / BP, float(units), orders


def discrete(shock: float, impact: float, density: float, spacing: float, levels: int) -> float:
    """Return the fall on a ladder: every level reached is sold, every sale moves the price."""
    fall = shock
    sold = 0
    while True:
        # A trigger is a whole number of 1e-8 USD: a level met to within rounding is not passed.
        due = min(math.floor(fall / spacing - 1e-7), levels)
        if due <= sold:
            return fall
        sold = due
        fall = shock + impact * density * spacing * sold


# (impact, density, shock, b, total, units, discrete) as published.
TABLE = [
    (0.01, 14, 100, 0.14, 116.279070, 1_627.907, 116.24),
    (0.01, 40, 100, 0.40, 166.666667, 6_666.667, 166.40),
    (0.01, 90, 100, 0.90, 1_000.0, 90_000.0, 995.95),
]


@pytest.mark.parametrize(("impact", "density", "shock", "b", "total", "units", "table"), TABLE)
def test_b1_total_fall(
    impact: float,
    density: float,
    shock: float,
    b: float,
    total: float,
    units: float,
    table: float,
    tmp_path: Path,
) -> None:
    spacing = 0.5
    raw = ladder(
        shock_bp=shock,
        impact_bp=impact,
        density=density,
        spacing_bp=spacing,
        levels=math.ceil(total / spacing) + 20,
    )

    fall, sold, _ = fall_and_units(scenario_from_dict(raw, source="b1"), tmp_path / "b1.duckdb")

    # The published count triggers at or past a level, a venue strictly past it.
    one_level = impact * density * spacing
    assert fall == pytest.approx(table, abs=one_level / (1 - b))
    assert fall == pytest.approx(discrete(shock, impact, density, spacing, 10**6), abs=1e-4)
    bias = fall - total
    assert -(b * spacing) / (1 - b) - 1e-4 <= bias <= 1e-4
    assert sold == pytest.approx((fall - shock) / impact, rel=1e-6)
    assert sold == pytest.approx(units, abs=density * spacing / (1 - b) + 1)


def test_b1_bias_shrinks_with_spacing(tmp_path: Path) -> None:
    impact, density, shock, b = 0.01, 40.0, 100.0, 0.4
    biases = []
    for spacing in (8.0, 4.0, 1.0):
        raw = ladder(
            shock_bp=shock,
            impact_bp=impact,
            density=density,
            spacing_bp=spacing,
            levels=math.ceil(180 / spacing),
        )
        fall, _, _ = fall_and_units(
            scenario_from_dict(raw, source="b1"), tmp_path / f"{spacing}.duckdb"
        )
        biases.append(shock / (1 - b) - fall)
        assert 0 <= biases[-1] <= b * spacing / (1 - b) + 1e-4

    assert biases == sorted(biases, reverse=True)
    assert biases[-1] < biases[0] / 4


def test_b1_slope_of_log_total_on_log_multiplier(tmp_path: Path) -> None:
    impact, shock, spacing = 0.01, 100.0, 0.5
    points = []
    for b in (0.1, 0.3, 0.5, 0.7, 0.85, 0.95):
        total = shock / (1 - b)
        raw = ladder(
            shock_bp=shock,
            impact_bp=impact,
            density=b / impact,
            spacing_bp=spacing,
            levels=math.ceil(total / spacing) + 20,
            seconds=400,
        )
        fall, _, _ = fall_and_units(scenario_from_dict(raw, source="b1"), tmp_path / f"{b}.duckdb")
        points.append((math.log(1 / (1 - b)), math.log(fall)))

    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / sum(
        (x - mean_x) ** 2 for x, _ in points
    )
    assert slope == pytest.approx(1.0, abs=0.01)


def test_b1_supercritical_ladder_of_finite_width_is_sold_out(tmp_path: Path) -> None:
    impact, density, shock, width, spacing = 0.01, 120.0, 50.0, 1_000.0, 1.0
    raw = ladder(
        shock_bp=shock,
        impact_bp=impact,
        density=density,
        spacing_bp=spacing,
        levels=int(width / spacing),
    )

    fall, sold, count = fall_and_units(scenario_from_dict(raw, source="b1"), tmp_path / "b.duckdb")

    assert count == width / spacing
    assert sold == pytest.approx(density * width, rel=1e-6)
    assert fall == pytest.approx(shock + impact * density * width, rel=1e-6)  # 1,250.


WAVES = (0.01, 40.0, 1_000.0, 0.4)
"""Impact, density, shock in basis points, b."""


@pytest.fixture(scope="module")
def waves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the log of a cascade of many generations."""
    impact, density, shock, _ = WAVES
    raw = ladder(shock_bp=shock, impact_bp=impact, density=density, spacing_bp=1.0, levels=1_700)
    log = tmp_path_factory.mktemp("b1") / "generations.duckdb"
    run_to_log(scenario_from_dict(raw, source="b1"), log)
    return log


def test_b1_generations_shrink_by_the_branching_ratio(waves: Path) -> None:
    impact, density, shock, b = WAVES
    with Log(waves) as reader:
        # Without latency one generation is sold per oracle sample.
        generations = [
            float(units)
            for (units,) in reader.sql(
                "select -sum(quantity) from order_filled group by sim_time order by sim_time"
            ).fetchall()
        ]

        # Each generation is triggered by an update that names a fill of the one before.
        parents = reader.sql(
            """
            select f.sim_time, min(parent.sim_time), max(parent.sim_time), count(parent.seq)
            from order_filled as f
            join tranche_started as t on t.seq = f.tranche_seq
            join liquidation_triggered as l on l.seq = t.liquidation_seq
            join oracle_updated as u on u.seq = l.cause_seq
            left join order_filled as parent on parent.seq = u.cause_seq
            group by f.sim_time order by f.sim_time
            """
        ).fetchall()
    assert parents[0][1:] == (None, None, 0), "the shock has no fill behind it"
    for (before, *_), (_, first, last, known) in pairwise(parents):
        assert (first, last) == (before, before)
        assert known > 0

    for k, units in enumerate(generations[:6]):
        assert units * impact == pytest.approx(shock * b ** (k + 1), abs=2 * impact * density)


def test_b1_generations_and_reproduction_of_the_views(waves: Path) -> None:
    impact, density, shock, b = WAVES
    with Log(waves) as reader:
        generations = reader.sql(
            """
            select g.generation, -sum(f.quantity)::double
            from genealogy as g join forced_fills as f using (liquidation_seq)
            group by g.generation order by g.generation
            """
        ).fetchall()
        ratios = reader.sql("select r from generations order by generation limit 5").fetchall()
        episodes = reader.sql("select generations, roots, liquidations from episodes").fetchall()

    assert [number for number, _ in generations] == list(range(len(generations)))
    # The shock is what the theory calls generation 0: it moves the price by x itself.
    for number, units in generations[:6]:
        assert units * impact == pytest.approx(shock * b ** (number + 1), abs=2 * impact * density)
    assert len(generations) >= 6
    for (ratio,), (_, units) in zip(ratios, generations, strict=False):
        # In USD, so that the fall itself makes the next generation cheaper.
        assert ratio == pytest.approx(b, rel=2 * density / units + 0.05)
    assert len(episodes) == 1
    assert episodes[0][0] == len(generations)


@pytest.mark.parametrize(("impact", "density", "b"), [row[:2] + row[3:4] for row in TABLE])
def test_b1_branching_ratio(impact: float, density: float, b: float, tmp_path: Path) -> None:
    spacing, steps = 0.5, 3
    width = 1e4 * math.log(100 / (100 - steps))
    raw = ladder(
        shock_bp=1,
        impact_bp=impact,
        density=density,
        spacing_bp=spacing,
        levels=math.ceil(width / spacing) + 2,
        seconds=5,
    )
    scenario, log = scenario_from_dict(raw, source="b1"), tmp_path / "b.duckdb"
    said: list[Any] = []
    run_to_log(scenario, log, outlook=said.extend)

    with Log(log) as reader:
        rows = reader.sql(
            "select step, units::double, impact, density, b from liquidation_ladder "
            f"where moment = 'start' and side = 'long' and step between 1 and {steps}"
        ).fetchall()
        largest = reader.sql(
            "select b, step from branching where moment = 'start' and side = 'long'"
        ).fetchall()
    assert len(rows) == steps
    for step, units, per_unit, per_log, ratio in rows:
        one_level = density * spacing
        span = 1e4 * math.log((101 - step) / (100 - step))
        assert per_unit / BP == pytest.approx(impact, rel=1e-9)
        assert units == pytest.approx(density * span, abs=one_level * 1.001)
        assert per_log * BP == pytest.approx(density, rel=spacing / span * 1.001)
        assert ratio == pytest.approx(b, rel=spacing / span * 1.001)
    assert (said[0].market, said[0].is_long) == ("LIN", True)
    assert (said[0].ratio, said[0].step) == (pytest.approx(largest[0][0]), largest[0][1])
    assert said[0].above_one == ()


def test_b1_branching_above_one_where_the_ladder_is_dense(tmp_path: Path) -> None:
    # 120 units a basis point over 350 of them, from the start price down: b = 1.2.
    raw = ladder(shock_bp=1, impact_bp=0.01, density=120, spacing_bp=1, levels=350, seconds=5)
    said: list[Any] = []
    run_to_log(scenario_from_dict(raw, source="b1"), tmp_path / "b.duckdb", outlook=said.extend)

    longs, shorts = said
    assert longs.above_one == (1, 2, 3)  # 350 basis points end within the fourth per cent.
    assert longs.ratio == pytest.approx(1.2, rel=0.011)
    assert (shorts.ratio, shorts.above_one) == (0.0, ())


def test_b1_shipped_scenario(tmp_path: Path) -> None:
    path = SCENARIOS / "linear_cascade.toml"
    raw = ladder(shock_bp=100, impact_bp=0.01, density=40, spacing_bp=4, levels=50)
    assert scenario_from_dict(raw, source="b1") == load_scenario(path)
    assert tomllib.loads(path.read_text())["name"] == "linear_cascade"

    fall, _, count = fall_and_units(load_scenario(path), tmp_path / "shipped.duckdb")

    assert fall == pytest.approx(discrete(100, 0.01, 40, 4, 50), abs=1e-4)
    assert 0 <= 100 / 0.6 - fall <= 0.4 * 4 / 0.6 + 1e-4
    assert count == 40
