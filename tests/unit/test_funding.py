"""
Funding, worked out by hand, and the audit of funding that is not what it should be.

Amounts in the comments are USD. The long holds 10 at 100 with a collateral of 100.
"""

from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import attrs
import numpy as np
import pytest
from support.scenarios import Raw, funded, knots, load, market, small_scenario
from support.verdicts import codes, codes_of
from unit.handmade_log import tamper
from unit.test_settlement_paths import FIRST, LONG, MAKERS, SECOND, SHORT, Run

from liqsim.events import FundingPaid, FundingSet, LiquidationTriggered, Standing
from liqsim.mechanics.funding import funding_rate_e9, funding_uusd
from liqsim.processes import funding
from liqsim.runner import run_to_log
from liqsim.scenario.model import Funding


def flat(price: float, **rates: Any) -> Raw:
    raw = market(path=knots((0, price), (60, price)))
    return small_scenario(markets__ETH=raw | {"funding": {"interval": "25s"} | rates})


def entries(run: Run, kind: type[Any]) -> list[Any]:
    return [entry for entry in run.entries if isinstance(entry.event, kind)]


def test_longs_pay_shorts_through_the_makers() -> None:
    run = Run(flat(100, interest=Decimal("0.001")), [LONG, SHORT])

    # Twice, after 25 s and after 50 s: 10 x 100 x 0.001 = 1.
    assert [(e.sim_time_us, e.event.rate_e9) for e in entries(run, FundingSet)] == [
        (25_000_000, 1_000_000),
        (50_000_000, 1_000_000),
    ]
    assert run.cash[FIRST] == -900 - 2
    assert run.cash[SECOND] == 1_100 + 2
    assert run.cash[MAKERS] == 0


def test_a_negative_rate_is_received_by_longs_and_bounded_by_the_cap() -> None:
    rates = {"interest": Decimal("-0.002"), "cap": Decimal("0.0005")}
    run = Run(flat(100, **rates), [LONG])

    assert run.cash[FIRST] == -900 + 2 * Decimal("0.5")
    assert run.cash[MAKERS] == 1_000 - 2 * Decimal("0.5")


def test_the_makers_have_what_rounding_leaves() -> None:
    # 0.3 x 33.33333333 x 0.0001 = 0.000999999...: the long pays 0.001, the short gets 0.000999.
    positions = [(Decimal("0.3"), 33, 10), (Decimal("-0.3"), 33, 10)]
    run = Run(flat(33.33333333, interest=Decimal("0.0001"), interval="40s"), positions)

    paid = [event.amount_uusd for event in run.of(FundingPaid)]
    assert paid == [1_000, -999]
    assert run.cash[MAKERS] == Decimal("0.000001")


def test_who_cannot_bear_it_is_due_by_it_and_of_first_order() -> None:
    # At 91 the margin is 910 - 900 - 9.1 = 0.9; funding takes 910 x 0.001 = 0.91.
    run = Run(flat(91, interest=Decimal("0.001")), [LONG])

    (trigger,) = entries(run, LiquidationTriggered)
    assert isinstance(run.entries[trigger.cause_seq].event, FundingSet)
    assert trigger.sim_time_us == 25_000_000
    assert trigger.event.margin_uusd == -10_000
    assert trigger.event.standing is Standing.FIRST_ORDER
    # Sold at 91: 910 - 900 - 0.91 = 9.09 is surplus, and goes to the fund.
    assert run.cash[FIRST] == 0
    assert len(run.of(FundingPaid)) == 1


def test_nobody_pays_before_there_is_a_mark() -> None:
    raw = flat(100, interest=Decimal("0.001"), premium_weight=0)
    raw["markets"]["ETH"]["oracle"]["landing"] = {"median": "30s", "p99": "30s"}
    run = Run(raw, [LONG])

    assert [entry.sim_time_us for entry in entries(run, FundingSet)] == [50_000_000]


@pytest.mark.parametrize(
    ("premium_e9", "rate_e9"), [(0, 100), (3_000, 1_600), (-3_001, -1_401), (10**9, 10_000)]
)
def test_the_rate_is_interest_and_weighted_premium_within_the_cap(
    premium_e9: int, rate_e9: int
) -> None:
    spec = Funding(interval_us=1, interest_e9=100, premium_weight_e6=500_000, cap_e9=10_000)

    assert funding_rate_e9(spec, premium_e9) == rate_e9


# The audit ----------------------------------------------------------------------------------------


def test_an_amount_one_unit_off_is_found_out(tmp_path: Path) -> None:
    def dear(*given: int) -> int:
        return funding_uusd(*given) + 1

    with patch.object(funding, "funding_uusd", dear):
        assert codes_of(funded(), tmp_path / "run.duckdb") == {"funding"}


def test_another_rate_is_found_out(tmp_path: Path) -> None:
    def dear(spec: Funding, premium_e9: int) -> int:
        return funding_rate_e9(spec, premium_e9) - 1

    with patch.object(funding, "funding_rate_e9", dear):
        assert codes_of(funded(), tmp_path / "run.duckdb") == {"funding"}


def test_an_account_that_is_left_out_is_found_out(tmp_path: Path) -> None:
    every = np.flatnonzero

    def but_one(given: Any) -> Any:
        return every(given)[1:]

    with patch.object(
        funding,
        "np",
        SimpleNamespace(**vars(np) | {"flatnonzero": but_one}),
    ):
        assert "funding" in codes_of(flat(100, interest=Decimal("0.001")), tmp_path / "run.duckdb")


@pytest.mark.parametrize("interval_us", [5_000_000, 20_000_000])
def test_payments_at_other_times_are_found_out(interval_us: int, tmp_path: Path) -> None:
    scenario = load(funded())
    (one,) = scenario.markets
    assert one.funding is not None
    other = attrs.evolve(one, funding=attrs.evolve(one.funding, interval_us=interval_us))
    path = tmp_path / "run.duckdb"
    run_to_log(attrs.evolve(scenario, markets=(other,)), path)

    assert codes(path) == {"funding"}


@pytest.mark.parametrize(
    "statement",
    [
        "update funding_set set premium = premium + 0.0001",
        "update funding_set set mark_price = mark_price + 1",
        "update funding_paid set quantity = quantity + 1",
    ],
)
def test_changed_rows_are_found_out(statement: str, tmp_path: Path) -> None:
    path = tmp_path / "run.duckdb"
    assert codes_of(funded(), path) == set()
    tamper(path, statement)

    assert codes(path) & {"funding", "position", "mark"}
