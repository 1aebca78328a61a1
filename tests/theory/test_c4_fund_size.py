"""
C4: the fund that minimises r K + k E[(D - K)+] is the 1 - r/k quantile of its largest net draw D.

Chitra (arXiv 2512.01112) sizes an insurance fund so: a dollar in it costs r a year, a dollar that
it lacks costs k. For an exponential draw of mean m: K = m ln(k / r), cost r m (1 + ln(k / r)).

`fund_size(confidence)` of a sweep, asked as docs/compare.md does, is held to the published figures
on exponential draws; it and the view `fund_sizing` are held, on crashes through the shipped runner,
to what is lost with the fund that they name and with any other. There is no impact and no
deleveraging, so that a smaller fund changes nothing but who pays: what it lacks is bad debt, to the
last unit. Where the deleveraged pay, a fund that was too small is told to be.
"""

import math
import shutil
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
    engine_cascade,
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


def sweep_of(raw: Raw, folder: Path, *sizes: int, seeds: int) -> Path:
    """Return a sweep over seeds of funds of those sizes."""
    scenario, out = folder / f"{raw['name']}.toml", folder / "s.duckdb"
    scenario.write_text(dump(raw), encoding="utf-8")
    axes = sweeping.read_axes([f"venue.fund.initial_usd={','.join(map(str, sizes))}"])
    sweeping.run_sweep(
        sweeping.Sweep(scenario, (), axes, seeds), out, jobs=1, progress=lambda *_: None
    )
    return out


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a sweep over seeds with a fund that nothing empties."""
    return sweep_of(gaps(), tmp_path_factory.mktemp("sizing"), ENOUGH_USD, seeds=SEEDS)


@pytest.mark.parametrize("anchor", ANCHORS, ids=lambda anchor: f"{anchor.fund:.0f}")
def test_the_fund_of_a_sweep_with_exponential_draws_is_the_published_one(
    anchor: Anchor, swept: Path, tmp_path: Path
) -> None:
    assert anchor.mean * math.log(anchor.k / anchor.r) == pytest.approx(anchor.fund, rel=1e-9)

    draws = np.random.default_rng(4).exponential(anchor.mean, DRAWS)
    out = tmp_path / "drawn.duckdb"
    shutil.copy(swept, out)
    with duckdb.connect(str(out)) as store:
        store.register("drawn", {"seed": np.arange(DRAWS), "draw_usd": draws})
        store.execute("delete from runs")
        store.execute(
            f"insert into runs by name select 0 as point, {ENOUGH_USD} as venue_fund_initial_usd, "
            "seed, draw_usd as fund_drawdown_usd from drawn"
        )
        query = f"select fund_usd, is_lower_bound from fund_size(1 - {anchor.r} / {anchor.k})"
        ((fund_usd, is_lower_bound),) = store.sql(query).fetchall()

    fund = float(fund_usd)
    assert not is_lower_bound
    share = 1 - anchor.r / anchor.k
    error = anchor.mean * math.sqrt(share / (1 - share) / DRAWS)
    assert fund == pytest.approx(anchor.fund, abs=4 * error)
    lacking = np.maximum(draws - fund, 0)
    error = anchor.k * float(lacking.std()) / math.sqrt(DRAWS)
    assert anchor.r * fund + anchor.k * lacking.mean() == pytest.approx(anchor.cost, abs=4 * error)


def test_no_other_fund_costs_less_in_runs_than_the_quantile_of_the_sweep(swept: Path) -> None:
    with duckdb.connect(str(swept), read_only=True) as store:
        ((median, ninth, largest, p_capped),) = store.sql(
            "select draw_50_usd, draw_90_usd, draw_max_usd, p_capped from fund_sizing"
        ).fetchall()
        draws = [
            draw
            for (draw,) in store.sql("select fund_drawdown_usd from runs order by seed").fetchall()
        ]
    assert len(draws) == SEEDS
    assert len(set(draws)) == SEEDS
    assert min(draws) > 0 == p_capped
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


def test_a_fund_that_has_others_deleveraged_is_no_size(tmp_path: Path) -> None:
    out = sweep_of(engine_cascade(), tmp_path, 500, 5_000, ENOUGH_USD, seeds=3)
    with duckdb.connect(str(out), read_only=True) as store:
        deleveraged = store.sql(
            "select list(deleveraged_usd > 0 order by seed), min(fund_lowest_usd) > 0 from runs "
            "group by point order by point"
        ).fetchall()
        third, all_three = (
            store.sql(f"select fund_usd, is_lower_bound from fund_size({share})").fetchall()
            for share in ("0.33", "1")
        )
        capped = store.sql("select p_capped from fund_sizing").fetchall()

    # No fund was ever empty: limit prices leave some dollars in it.
    assert deleveraged == [([True] * 3, True), ([True, True, False], True), ([False] * 3, True)]
    assert [share for (share,) in capped] == pytest.approx([1, 2 / 3, 0])
    # 5,000 were enough for the least draw of the three, which is the same with any larger fund.
    assert [is_lower_bound for _, is_lower_bound in third] == [True, False, False]
    assert third[1][0] == third[2][0] < 5_000
    assert [is_lower_bound for _, is_lower_bound in all_three] == [True, True, False]
    assert all_three[0][0] < all_three[1][0] < all_three[2][0]
