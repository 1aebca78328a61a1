"""
C4: the fund that minimises r K + k E[(D - K)+] is the 1 - r/k quantile of its largest net draw D.

Chitra (arXiv 2512.01112) sizes an insurance fund so: a dollar in it costs r a year, a dollar that
it lacks costs k. For an exponential draw of mean m: K = m ln(k / r), cost r m (1 + ln(k / r)).

The view `fund_sizing` of a sweep, and the query that docs/compare.md gives beside it, are held to
the published figures on exponential draws; and, on crashes through the shipped runner, to what is
lost with the fund that they name and with any other. There is no impact and no deleveraging, so
that a smaller fund changes nothing but who pays: what it lacks is bad debt, to the last unit.
"""

import math
from decimal import Decimal
from pathlib import Path

import attrs
import duckdb
import numpy as np
import pytest
from support.scenarios import (
    INSTANTLY,
    Raw,
    at,
    cohort,
    knots,
    load,
    market,
    small_scenario,
    source,
)
from support.sinks import ListSink

from liqsim.events import BadDebtRecorded
from liqsim.runner import Simulation, prepare
from liqsim.scenario.toml import dump
from liqsim.study import sweep as sweeping

SEEDS = 11
ENOUGH_USD = 10**9
DRAWS = 400_000
MILLION = 10**6


@attrs.frozen
class Anchor:
    """
    One published case: what a dollar costs, mean draw, fund and cost, in USD.

    Attributes:
        r: What a dollar in the fund costs.
        k: What a dollar costs that it lacks.
        mean: Mean of the draw.
        fund: The best size.
        cost: What it then costs.
    """

    r: float
    k: float
    mean: float
    fund: float
    cost: float


ANCHORS = [
    Anchor(0.05, 1, 10 * MILLION, 29_957_322.74, 1_997_866.14),
    Anchor(0.05, 0.5, 10 * MILLION, 23_025_850.93, 1_651_292.55),
    Anchor(0.10, 5, 2 * MILLION, 7_824_046.01, 982_404.60),
]


@pytest.mark.parametrize("anchor", ANCHORS, ids=lambda anchor: f"{anchor.fund:.0f}")
def test_the_quantile_of_exponential_draws_is_the_published_fund(anchor: Anchor) -> None:
    assert anchor.mean * math.log(anchor.k / anchor.r) == pytest.approx(anchor.fund, rel=1e-9)

    draws = np.random.default_rng(4).exponential(anchor.mean, DRAWS)
    with duckdb.connect() as store:
        store.register("drawn", {"fund_drawdown_usd": draws})
        query = f"select quantile_cont(fund_drawdown_usd, 1 - {anchor.r} / {anchor.k}) from drawn"
        ((fund,),) = store.sql(query).fetchall()

    share = 1 - anchor.r / anchor.k
    error = anchor.mean * math.sqrt(share / (1 - share) / DRAWS)
    assert fund == pytest.approx(anchor.fund, abs=4 * error)
    lacking = np.maximum(draws - fund, 0)
    error = anchor.k * float(lacking.std()) / math.sqrt(DRAWS)
    assert anchor.r * fund + anchor.k * lacking.mean() == pytest.approx(anchor.cost, abs=4 * error)


def gaps(fund_usd: object = ENOUGH_USD, seed: int = 0) -> Raw:
    """Return a fall in gaps that the seed draws, over longs of many leverages."""
    table = market(
        path=knots((0, 100), (20, 93), (60, 93), volatility=30, step="5s"),
        oracle={
            "deviation": 0,
            "heartbeat": "5s",
            "landing": INSTANTLY,
            "sources": {"one": source(period="5s")},
        },
    )
    longs = cohort(
        accounts=20,
        notional_usd=200_000,
        leverage={"median": 20, "min": 8, "max": 50, "sigma": Decimal("0.4")},
    )
    return small_scenario(
        name="gaps",
        seed=seed,
        markets__ETH=table,
        end=at(60),
        venue__fund__initial_usd=fund_usd,
        venue__waterfall={"deleveraging": "none", "surplus_to": "trader"},
        population__cohorts={"longs": longs},
    )


def bad_debt_usd(fund_usd: Decimal, seed: int) -> Decimal:
    """Return what nobody has paid in a run with a fund of that size."""
    sink = ListSink()
    Simulation(prepare(load(gaps(fund_usd, seed))), sink).run()
    return Decimal(sum(event.amount_uusd for event in sink.of(BadDebtRecorded))).scaleb(-6)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a sweep over seeds with a fund that nothing empties."""
    folder = tmp_path_factory.mktemp("sizing")
    scenario, out = folder / "gaps.toml", folder / "s.duckdb"
    scenario.write_text(dump(gaps()), encoding="utf-8")
    axes = sweeping.read_axes([f"venue.fund.initial_usd={ENOUGH_USD}"])
    sweeping.run_sweep(
        sweeping.Sweep(scenario, (), axes, SEEDS), out, jobs=1, progress=lambda *_: None
    )
    return out


def test_no_other_fund_costs_less_in_runs_than_the_quantile_of_the_sweep(swept: Path) -> None:
    with duckdb.connect(str(swept), read_only=True) as store:
        ((median, ninth, largest, p_empty),) = store.sql(
            "select draw_50_usd, draw_90_usd, draw_max_usd, p_empty from fund_sizing"
        ).fetchall()
        draws = [
            draw
            for (draw,) in store.sql("select fund_drawdown_usd from runs order by seed").fetchall()
        ]
    assert len(draws) == SEEDS
    assert len(set(draws)) == SEEDS
    assert min(draws) > 0 == p_empty
    assert largest == float(max(draws))

    sizes = sorted({Decimal(0), *draws, max(draws) + 100})
    lacking = {}
    for fund in sizes:
        debts = [bad_debt_usd(fund, seed) for seed in range(SEEDS)]
        # The draw of the sweep is what a smaller fund lacks.
        assert debts == [max(draw - fund, Decimal(0)) for draw in draws]
        lacking[fund] = sum(debts) / SEEDS
    # Of eleven draws the 0.9 and the 0.5 quantile are draws themselves, and the only best sizes.
    for quantile, ratio in ((ninth, Decimal("0.1")), (median, Decimal("0.5"))):
        cost = {fund: ratio * fund + short for fund, short in lacking.items()}
        best = min(cost, key=cost.__getitem__)
        assert float(best) == quantile
        assert sorted(cost.values())[1] > cost[best]
