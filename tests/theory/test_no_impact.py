"""
Without impact the market price is the reference, and a plain loop gives the same outcomes.

The loop knows path and accounts only: no journal, no index, no planner, no book.
"""

import random
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from support.scenarios import (
    absorbed,
    auctioned,
    concentrated,
    correlated,
    crossed,
    engine_cascade,
    events_of,
    foreseen,
    forewarned,
    pooled,
    rationed,
    rewarded,
    scaled,
    stepped_down,
    tripped,
    vaulted,
)
from support.single import START, account, frictionless

from liqsim.api import run_to_log
from liqsim.events import (
    InventorySold,
    MarketExtremes,
    OrderFilled,
    PositionReduced,
    TradeFilled,
)
from liqsim.scenario import scenario_from_dict
from liqsim.scenario.mitigations import MITIGATIONS
from replay.log import Log

TIERS = [(Fraction(0), Fraction(1, 100)), (Fraction(5), Fraction(3, 100))]


def maintenance(size: Fraction, price: Fraction) -> Fraction:
    ends = [*(start for start, _ in TIERS[1:]), size]
    return price * sum(
        (rate * (min(size, end) - start) for (start, rate), end in zip(TIERS, ends, strict=True)
         if size > start), Fraction(0)
    )  # fmt: skip


def plain_loop(
    prices: list[Fraction], accounts: dict[int, tuple[Fraction, Fraction]]
) -> dict[int, tuple[int, Fraction, Fraction]]:
    """Return {bucket: (second, price, cash after)} of everyone liquidated; whole, at the price."""
    done: dict[int, tuple[int, Fraction, Fraction]] = {}
    for second, price in enumerate(prices):
        for bucket, (cash, quantity) in accounts.items():
            equity = cash + quantity * price
            if bucket not in done and equity < maintenance(abs(quantity), price):
                done[bucket] = second, price, max(equity, Fraction(0))
    return done


def scenario_of(seed: int) -> dict[str, Any]:
    draw = random.Random(seed)
    cohorts = {
        f"a{number}": account(
            notional_usd=Decimal(draw.randrange(100, 100_000)),
            leverage=Decimal(draw.randrange(2, 45)),
            is_long=draw.random() < 0.5,
            entry=Decimal(draw.randrange(-20, 20)) / 1000,
        )
        for number in range(60)
    }
    knots = [(0, 1000), (100, 1000 - draw.randrange(50, 400)), (200, 1000 + draw.randrange(0, 500))]
    return frictionless(
        cohorts,
        knots=[*knots, (300, 1000)],
        maintenance=[[0, Decimal("0.01")], [5, Decimal("0.03")]],
        bridge_volatility=20,
        seed=seed,
    )


@pytest.mark.parametrize("seed", range(8))
def test_outcomes_equal_those_of_a_plain_loop(seed: int, tmp_path: Path) -> None:
    log = tmp_path / "run.duckdb"
    run_to_log(scenario_from_dict(scenario_of(seed), source="loop"), log)

    with Log(log) as reader:
        prices = [
            Fraction(price)
            for (price,) in reader.sql("select price from reference_prices order by sim_time")
            .fetchall()
        ]  # fmt: skip
        accounts = {
            bucket: (Fraction(deposit) - Fraction(cost), Fraction(quantity))
            for bucket, deposit, cost, quantity in reader.sql(
                "select bucket_id, amount_usd, cost_usd, quantity from position_opened "
                "join funds_deposited on owner_id = bucket_id"
            ).fetchall()
        }
        found = {
            bucket: (int((at - START.replace(tzinfo=None)).total_seconds()), Fraction(price), cash)
            for bucket, at, price, cash in reader.sql(
                "select e.bucket_id, e.sim_time, f.price, e.cash_usd from liquidation_ended as e "
                "join order_filled as f using (bucket_id)"
            ).fetchall()
        }
        extremes = reader.sql(
            "select lowest_market = lowest_reference and highest_market = highest_reference "
            "and end_market = end_reference from market_extremes"
        ).fetchall()
        off_reference = reader.sql(
            "select count(*) from order_filled where market_price <> reference_price "
            "or price <> reference_price"
        ).fetchall()
    expected = plain_loop(prices, accounts)

    assert len(expected) >= 10, "too few liquidations to tell"
    assert {b: row[:2] for b, row in found.items()} == {b: row[:2] for b, row in expected.items()}
    for bucket, (_, _, cash) in found.items():
        # Costs are rounded up to a micro-USD; a hole is the fund's, which is large.
        assert abs(Fraction(cash) - expected[bucket][2]) <= Fraction(2, 10**6)
    assert extremes == [(True,)]
    assert off_reference == [(0,)]


@pytest.mark.parametrize("fall", ["0.90", "0.95"])
def test_no_bad_debt_if_the_market_falls_less_than_the_buffer(fall: str, tmp_path: Path) -> None:
    # 20x with maintenance 3 %: due at 0.95/0.97 = 0.979 of entry, bankrupt at 0.95. Impact and
    # latency are real; what counts is that the last fill is above bankruptcy.
    cohorts = {
        f"a{number}": account(notional_usd=3_000 + 100 * number, leverage=Decimal(20), is_long=True)
        for number in range(30)
    }
    raw = frictionless(
        cohorts,
        knots=[(0, 1000), (100, 1000), (700, Decimal(fall) * 1000), (900, Decimal(fall) * 1000)],
        maintenance=[[0, Decimal("0.03")]],
        liquidity={
            "kind": "power_book",
            "depth_usd": 1_000_000,
            "permanent_share": Decimal("0.1"),
            "half_life": "30s",
        },
        venue={
            "tranches": {
                "share": Decimal("0.25"),
                "spacing": "2s",
                "restore_buffer": Decimal("0.5"),
            },
            "fund": {"initial_usd": 0},
            "waterfall": {"surplus_to": "trader", "deleveraging": "none"},
            "engine": {"reaction": "1s"},
        },
    )
    log = tmp_path / "run.duckdb"
    run_to_log(scenario_from_dict(raw, source="buffer"), log)

    with Log(log) as reader:
        ((fills, within),) = reader.sql(
            "select count(*), bool_and(f.market_price >= l.bankruptcy_price) "
            "from order_filled as f join tranche_started as t on t.seq = f.tranche_seq "
            "join liquidation_triggered as l on l.seq = t.liquidation_seq"
        ).fetchall()
        outcome = reader.outcome()
    assert fills >= 30
    assert within, "the case must be one in which the buffer was enough"
    assert (outcome["bad_debt_usd"], outcome["deleveraged_usd"]) == ("0.000000", "0.000000")


KINDS = sorted(MITIGATIONS.values())


def both_ways() -> dict[str, Any]:
    """Return a crash in which rates follow a model, and positions are reduced at every look."""
    raw = foreseen()
    (steps,) = stepped_down()["mitigations"]
    raw["mitigations"].append(steps | {"name": "steps", "above": 0})
    return raw


BINDING = {
    "rate_limit": rationed,
    "staking": absorbed,
    "fund_limits": absorbed,
    "backstop": vaulted,
    "dynamic_margin": scaled,
    "open_interest_margin": scaled,
    "stress_margin": scaled,
    "leverage_fee": scaled,
    "breaker": forewarned,
    "grace": tripped,
    "concentration_margin": concentrated,
    "correlation_margin": correlated,
    "predictive": both_ways,
    "crossing": crossed,
    "batch_auction": auctioned,
    "pool": pooled,
    "penalty_routing": rewarded,
    "keeper_reward": rewarded,
}
"""Scenarios in which rows of a kind bind."""
TIGHT: dict[str, dict[str, Any]] = {
    "delays": {"per_million": "1h"},
    "divergence_pause": {"above": Decimal("0.0001"), "duration": "2s", "cool_down": "2s"},
}
"""Parameters with which a kind binds by itself."""


_NEED_MORE = {"predictive", "penalty_routing", "crossing", "batch_auction", "pool"}
"""Kinds of which a row with defaults cannot stand beside that of the scenario."""


@pytest.mark.parametrize("kind", [*KINDS, "all of them"])
def test_without_impact_no_mitigation_moves_a_market_price(kind: str) -> None:
    raw = BINDING.get(kind, engine_cascade)()
    kinds = [kind]
    if kind == "all of them":  # But for what needs a model, or keepers.
        kinds = [word for word in KINDS if word not in ("predictive", "keeper_reward")]
    if kind in _NEED_MORE:
        kinds = []
    plain = [{"kind": word, "name": f"plain {word}"} | TIGHT.get(word, {}) for word in kinds]
    rows = [*raw.get("mitigations", ()), *plain]
    raw["mitigations"] = []
    for table in raw["markets"].values():
        table["liquidity"] = {"kind": "no_impact"}

    absent, there = (events_of(raw | {"mitigations": listed}) for listed in ([], rows))

    for entries in (absent, there):
        for event in (entry.event for entry in entries):
            if isinstance(event, OrderFilled | TradeFilled | InventorySold | PositionReduced):
                assert event.market_price_e8 == event.reference_price_e8
    assert [e.event for e in there if isinstance(e.event, MarketExtremes)] == [
        e.event for e in absent if isinstance(e.event, MarketExtremes)
    ]
    # A book without impact takes any order: there is no slippage for a cap to keep down.
    assert there != absent or kind not in {*BINDING, *TIGHT, "slices", "all of them"}
