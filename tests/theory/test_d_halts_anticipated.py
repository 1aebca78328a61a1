"""
Part D: a price-based halt draws the price to it, where traders anticipate it.

Chen, Petukhov, Wang and Xing ("The Dark Side of Circuit Breakers", Journal of Finance) show that
near the threshold volatility rises and the halt becomes likelier. Here a breaker halts at a fall of
2 % from the high; the reference is a geometric Brownian motion of constant volatility; forty
accounts are long at leverages that the fall is no danger to. Where they anticipate the halt, each
closes at a closeness to it that is drawn evenly from the second half of the way, and its sale moves
the price for good. Every path is run with and without that: all else is the same draws.

On 36 seeds, of the paths that come into the last quarter of the way: with anticipation local
variance is higher there than in the first quarter in 28 of 28 (sign test p = 4e-9), without in 14
of 22 (p = 0.29). The halt comes on 33 seeds against 10: on 23 with anticipation alone, on none
without it alone (p = 1e-7).

Local variance is the mean squared log return of the mark over two seconds, of steps that begin in a
quarter of the way to the halt, up to the halt; every number is read with SQL from the sealed logs
of runs through the shipped runner.
"""

import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import duckdb
import pytest
from support.scenarios import INSTANTLY, Raw, at, cohort, load, market, small_scenario

from liqsim.runner import run_to_log

SEEDS = range(36)
BOUND = Decimal("0.02")
SIGNIFICANT = 0.01


@attrs.frozen
class Run:
    """
    One run.

    Attributes:
        is_halted: Whether the halt came.
        variances: Local variance in the first and the last quarter of the way; None where no step
            began.
        sold_at: Closeness to the halt, of its bound, at each sale.
    """

    is_halted: bool
    variances: list[float | None]
    sold_at: list[float]

    @property
    def reached(self) -> bool:
        """Whether the price came into the last quarter."""
        return self.variances[1] is not None

    @property
    def rises(self) -> bool:
        """Whether the last quarter is the more volatile one."""
        first, last = self.variances
        return first is not None and last is not None and last > first


def story(seed: int, act: Raw) -> Raw:
    """Return the scenario of a seed, in which accounts act like *act*."""
    table = market(
        path={"kind": "gbm", "step": "2s", "start_price": 100, "volatility": 4},
        liquidity={
            "kind": "power_book",
            "depth_usd": 1_000_000,
            "reach": 1,
            "permanent_share": 1,
            "half_life": "1s",
        },
    )
    table["oracle"]["sources"]["one"]["period"] = "2s"
    longs = cohort(
        accounts=40,
        notional_usd=2_000_000,
        size={"alpha": 50},
        leverage={"median": 2, "min": Decimal("1.9"), "max": Decimal("2.1")},
        traders={"reaction": INSTANTLY, "slippage": 1} | act,
    )
    return small_scenario(
        end=at(500),
        seed=seed,
        markets__ETH=table,
        venue__waterfall={"deleveraging": "none"},
        population__cohorts={"longs": longs},
        mitigations=[
            {
                "kind": "breaker",
                "when": [{"observable": "fall", "window": "24h", "above": BOUND}],
                "duration": "1h",
                "cool_down": "1h",
            }
        ],
    )


_STEPS = """
    with halt as (
        select coalesce(min(sim_time), 'infinity'::timestamp) as since from decision_recorded
    ),
    marks as (
        select sim_time, mark_price::double as mark,
            max(mark_price::double) over (order by seq) as high,
            lead(mark_price::double) over (order by seq) as next, lead(sim_time) over (order by seq)
                as next_at
        from oracle_updated
    )
    select least(floor(4 * (1 - mark / high) / {bound}), 3) as quarter,
        avg(ln(next / mark) ** 2) as value
    from marks, halt where next is not null and next_at <= since group by all
"""


def measured(path: Path) -> Run:
    """Return what a log says of the way to the halt."""
    # The tables alone are asked: to define all views takes longer than a run.
    with duckdb.connect(str(path), read_only=True) as log:
        found = {
            int(quarter): value for quarter, value in log.sql(_STEPS.format(bound=BOUND)).fetchall()
        }
        ((halts,),) = log.sql("select count(*) from decision_recorded").fetchall()
        ((liquidations,),) = log.sql("select count(*) from liquidation_triggered").fetchall()
        sold = log.sql("select closeness::double from trade_filled where reason = 'anticipated'")
        sold_at = [closeness for (closeness,) in sold.fetchall()]
    assert not liquidations
    return Run(halts > 0, [found.get(0), found.get(3)], sold_at)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Run, Run]]:
    """Return the runs of every seed without, and with, traders who anticipate the halt."""
    folder = tmp_path_factory.mktemp("halts")
    rows = []
    for seed in SEEDS:
        row = []
        for name, act in (("not", {}), ("ahead", {"anticipate": {"share": 1}})):
            path = folder / f"{seed}_{name}.duckdb"
            run_to_log(load(story(seed, act)), path)
            row.append(measured(path))
        rows.append((row[0], row[1]))
    return rows


def sign_test(successes: int, trials: int, *, two_sided: bool = False) -> float:
    """Return the chance of at least as many successes of a fair coin, or as far from half."""
    most = max(successes, trials - successes) if two_sided else successes
    tail = sum(math.comb(trials, k) for k in range(most, trials + 1)) / 2**trials
    return min(2 * tail, 1) if two_sided else tail


def count(runs: Any) -> tuple[int, int]:
    """Return in how many runs that come into the last quarter variance rises, and of how many."""
    reached = [run for run in runs if run.reached]
    return sum(run.rises for run in reached), len(reached)


def test_volatility_rises_near_a_halt_that_traders_anticipate(pairs: list[tuple[Run, Run]]) -> None:
    rises, trials = count(ahead for _, ahead in pairs)

    assert trials >= 15
    assert sign_test(rises, trials) < SIGNIFICANT


def test_it_does_not_where_nobody_does(pairs: list[tuple[Run, Run]]) -> None:
    rises, trials = count(plain for plain, _ in pairs)

    assert trials >= 15
    assert sign_test(rises, trials, two_sided=True) > SIGNIFICANT


def test_the_halt_becomes_likelier(pairs: list[tuple[Run, Run]]) -> None:
    apart = [(plain, ahead) for plain, ahead in pairs if plain.is_halted != ahead.is_halted]
    brought = sum(ahead.is_halted for _, ahead in apart)

    assert len(apart) >= 7
    assert sign_test(brought, len(apart)) < SIGNIFICANT
    # And of the paths that come into the last quarter, more go on to the bound.
    shares = [
        sum(run.is_halted for run in runs if run.reached) / sum(run.reached for run in runs)
        for runs in zip(*pairs, strict=True)
    ]
    assert shares[0] < shares[1]


def test_they_sell_the_more_the_closer_it_is(pairs: list[tuple[Run, Run]]) -> None:
    sold_at = [closeness for _, ahead in pairs for closeness in ahead.sold_at]

    assert not any(plain.sold_at for plain, _ in pairs)
    assert min(sold_at) >= 0.5
    assert len(sold_at) > 300
    assert sum(closeness > 0.75 for closeness in sold_at) > len(sold_at) / 2
