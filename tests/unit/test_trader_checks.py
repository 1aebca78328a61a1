"""What a table of traders may not say, and what the loader says then."""

from decimal import Decimal
from typing import Any

import pytest
from support.scenarios import Raw, at, changed, constant, cross_crash, load, small_scenario

from liqsim.errors import ScenarioError

_PATH = "population.cohorts.longs.traders"


def _with(**tables: Any) -> Raw:
    traders = {"reaction": constant("1s")} | tables
    return small_scenario(population__cohorts__longs__traders=traders)


def _near(**changes: Any) -> Raw:
    return _with(near={"alert_buffer": 1} | changes)


def _arrivals(**changes: Any) -> Raw:
    law = {"per_hour": 10, "max_per_hour": 20, "accounts_max": 5}
    return _with(arrivals=law | changes)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (
            _near(top_up_share=Decimal("0.6"), close_share=Decimal("0.5")),
            f"{_PATH}.near must have shares that sum to at most 1, not 1.1",
        ),
        (
            _near(top_up_share=1, top_up_to=Decimal("0.5")),
            f"{_PATH}.near.top_up_to = 0.5 must be at least alert_buffer, 1",
        ),
        (
            _near(alert_buffer=99),
            f"{_PATH}.near.alert_buffer = 99 must leave 1 + alert_buffer times the highest",
        ),
        (
            changed(
                _near(alert_buffer=2, top_up_to=2, top_up_share=1),
                {
                    "markets__ETH__maintenance": [],
                    "markets__ETH__maintenance_usd": [[0, Decimal("0.01")], [1, Decimal("0.4")]],
                },
            ),
            (
                f"{_PATH}.near.alert_buffer = 2 must leave 1 + alert_buffer times the highest "
                "maintenance rate of ETH, 0.4, below 1"
            ),
        ),
        (
            changed(
                _near(alert_buffer=79),
                {"venue__margin__unrealised_profit_haircut": Decimal("0.2")},
            ),
            (
                f"{_PATH}.near.alert_buffer = 79 must leave 1 + alert_buffer times the highest "
                "maintenance rate of ETH, 0.01, below 0.8"
            ),
        ),
        (
            _with(stop={"share": 1, "nearest": Decimal("0.2"), "farthest": Decimal("0.1")}),
            f"{_PATH}.stop.farthest = 0.1 must be at least nearest, 0.2",
        ),
        (
            _arrivals(max_per_hour=5),
            f"{_PATH}.arrivals.max_per_hour = 5 must be at least per_hour, 10",
        ),
        (
            changed(
                _arrivals(accounts_max=100_000, size=100),
                {"population__cohorts__longs__notional_usd": 10**9},
            ),
            f"{_PATH}.arrivals.accounts_max = 100000 must leave positions, all as large",
        ),
        (
            changed(_arrivals(fee_elasticity=1), {"venue__fees": {"taker": Decimal("0.001")}}),
            f"{_PATH}.arrivals.fee_reference is missing, needed beside fee_elasticity",
        ),
        (
            _arrivals(windows=[[at(20), at(10)]]),
            f"{_PATH}.arrivals.windows.0 = [2026-01-01T00:00:20Z, 2026-01-01T00:00:10Z] must end",
        ),
        (_arrivals(accounts_max=0), f"{_PATH}.arrivals.accounts_max = 0 must be"),
        (
            cross_crash(population__cohorts__cross__traders={"reaction": constant("1s")}),
            "population.cohorts.cross.traders must not be there beside legs: only isolated",
        ),
        (
            small_scenario(population__cohorts__longs__traders={}),
            f"{_PATH}.reaction.median is missing",
        ),
    ],
)
def test_what_traders_may_not_be(raw: Raw, message: str) -> None:
    with pytest.raises(ScenarioError) as refusal:
        load(raw)

    assert message in str(refusal.value)
