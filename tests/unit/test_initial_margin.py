"""Initial margin: who may open a position, and where a liquidation stops, worked out by hand."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support.auditor import audited
from support.scenarios import (
    HANDMADE,
    Raw,
    changed,
    listed,
    load,
    prepared_by_hand,
    small_scenario,
)

from liqsim.errors import ScenarioError
from liqsim.events import LiquidationEnded, TrancheStarted
from liqsim.mechanics import population
from liqsim.mechanics.margin import MarginRule, initial_margin_uusd
from liqsim.runner import prepare, run_to_log
from replay.log import Log

TIERS = [[0, Decimal("0.03")], [5, Decimal("0.2")]]


def asking(**overrides: Any) -> Raw:
    """Return a venue that asks for 3 % of the first 5 units and 20 % of the rest."""
    return changed(small_scenario(markets__ETH__initial=TIERS), overrides)


@pytest.mark.parametrize(
    ("is_by_notional", "start", "size", "price", "expected"),
    [
        (False, 5 * 10**8, 4 * 10**8, 100 * 10**8, 12_000_000),
        (False, 5 * 10**8, 10 * 10**8, 100 * 10**8, 15_000_000 + 100_000_000),
        (True, 500 * 10**6, 10 * 10**8, 100 * 10**8, 15_000_000 + 100_000_000),
        (True, 500 * 10**6, 1, 1, 1),  # Rounded up.
    ],
)
def test_initial_margin_is_marginal_like_maintenance(
    *, is_by_notional: bool, start: int, size: int, price: int, expected: int
) -> None:
    rule = MarginRule(
        ((0, 10_000),), is_by_notional=is_by_notional, initial=((0, 30_000), (start, 200_000))
    )

    assert initial_margin_uusd(rule, size, price) == expected


def test_where_none_is_asked_for_it_is_zero() -> None:
    assert initial_margin_uusd(MarginRule(((0, 10_000),)), 10**8, 10**10) == 0


def test_it_caps_the_leverage_that_was_drawn() -> None:
    # 1,000 USD at leverage 10 would be 100 of collateral; 15 + 100 are asked for.
    accounts = prepare(load(asking())).accounts

    assert accounts.collaterals_uusd.tolist() == [115_000_000]
    relaxed = asking(population__cohorts__longs__leverage={"median": 5, "max": 50})
    assert prepare(load(relaxed)).accounts.collaterals_uusd.tolist() == [200_000_000]


def test_a_listed_account_below_it_is_refused_with_its_row() -> None:
    rows = ("ana", "ETH", 10, 100, 100), ("ben", "ETH", -10, 100, 115)
    raw = asking(population={"accounts": listed(*rows)})

    with pytest.raises(ScenarioError) as refused:
        prepare(load(raw))

    assert str(refused.value).endswith(
        "line 2: ana has 100 USD of collateral, must have the initial margin, 115 USD; "
        'due_at_start = "liquidate" would let it be'
    )
    raw["population"]["accounts"]["due_at_start"] = "liquidate"
    assert prepare(load(raw)).accounts.collaterals_uusd.tolist() == [100_000_000, 115_000_000]


@pytest.mark.parametrize(("restore_to", "tranches"), [("maintenance", 1), ("initial", 4)])
def test_a_liquidation_stops_at_the_margin_that_is_named(restore_to: str, tranches: int) -> None:
    # Long 10 from 100 with 100: equity is 8 at 90.80, and stays 8 whatever is sold there.
    # 1 % of 8 units is 7.26: one tranche of 2 is enough. 3 % of 4 units is 10.90, of 2 units 5.45.
    raw = small_scenario(
        markets__ETH__initial=[[0, Decimal("0.03")]],
        venue__waterfall={"surplus_to": "trader"},
        venue__tranches={"share": Decimal("0.2"), "restore_to": restore_to},
    )
    auditor = audited(prepared_by_hand(raw, [(10, 100, 100)], {0: 100, 10: "90.8"}))

    events = [entry.event for entry in auditor.entries]
    assert sum(isinstance(event, TrancheStarted) for event in events) == tranches
    (ended,) = (event for event in events if isinstance(event, LiquidationEnded))
    assert ended.quantity_e8 == (10 - 2 * tranches) * 10**8


@pytest.mark.parametrize("is_asked", [True, False])
def test_the_audit_finds_who_opened_with_less(
    *, is_asked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_asked:
        monkeypatch.setattr(population, "initial_margin_uusd", lambda *_: 0)
    run_to_log(load(HANDMADE["asking"]()), tmp_path / "run.duckdb")

    with Log(tmp_path / "run.duckdb") as log:
        codes = {finding.code for finding in log.verify()}
    assert codes == (set() if is_asked else {"initial_margin"})


@pytest.mark.parametrize(
    ("changes", "place", "bound"),
    [
        ({"initial": [[0, Decimal("0.005")]]}, "initial.0.1", "must be at least that of"),
        ({"initial": [[1, Decimal("0.02")]]}, "initial.0.0", "must be 0"),
        ({"initial": [[0, 1]]}, "initial.0.1", "must be below 1"),
        ({"initial_usd": [[0, Decimal("0.02")]]}, "initial_usd", "must not be there without"),
        ({"maintenance_usd": [[0, Decimal("0.02")]]}, "maintenance_usd", "must not be there"),
        ({"maintenance": []}, "maintenance", "must have at least one tier, or maintenance_usd"),
    ],
)
def test_what_tiers_may_not_be(changes: Raw, place: str, bound: str) -> None:
    raw = small_scenario()
    raw["markets"]["ETH"] |= changes

    with pytest.raises(ScenarioError) as refused:
        load(raw)

    assert f"markets.ETH.{place}" in str(refused.value)
    assert bound in str(refused.value)


@pytest.mark.parametrize(
    ("venue", "place"),
    [
        ({"margin": {"unrealised_profit_haircut": Decimal("0.99")}}, "unrealised_profit_haircut"),
        (
            {
                "margin": {"unrealised_profit_haircut": Decimal("0.1")},
                "tranches": {"restore_buffer": 10},
            },
            "unrealised_profit_haircut",
        ),
        ({"tranches": {"restore_to": "initial"}}, "restore_to"),
    ],
)
def test_what_a_margin_may_not_be(venue: Raw, place: str) -> None:
    raw = small_scenario(markets__ETH__maintenance=[[0, Decimal("0.09")]])
    raw["population"]["cohorts"]["longs"]["leverage"]["max"] = 10
    raw["venue"] |= venue

    with pytest.raises(ScenarioError, match=place):
        load(raw)
