"""Measures of runs, worked out by hand."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support.scenarios import INSTANTLY, at, crossed, keeper, listed, load, small_scenario, vaulted

from liqsim.api import run_to_log
from liqsim.eventlog.reader import open_log
from replay.measures import measures, profits, story

FALL = [{"at": at(10), "fraction": Decimal("-0.11")}]
ROWS = (
    ("long", "ETH", 10, 100, 100),
    ("strong", "ETH", -6, 100, 300),
    ("weak", "ETH", -6, 100, 60),
)


def measured(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    raw = small_scenario(
        markets__ETH__shocks=FALL, population={"accounts": listed(*ROWS)}, **changes
    )
    path = tmp_path / "run.duckdb"
    run_to_log(load(raw), path)
    with open_log(path) as log:
        return measures(log)


def test_who_is_deleveraged_spares_the_other_what_the_market_would_have_taken(
    tmp_path: Path,
) -> None:
    found = measured(tmp_path)

    # Ten are closed at their bankruptcy price of 90, where the mark is 89: no book was met.
    assert found["deleveraging_spared_usd"] == "10.000000"
    assert found["slippage_usd"] == found["takeover_discount_usd"] == "0.000000"


def test_what_a_keeper_takes_over_is_at_a_discount(tmp_path: Path) -> None:
    bots = {"ann": {"purse_usd": 10_000, "reaction": {"median": "0s", "p99": "0s"}}}
    bots["ann"] |= {"landing": bots["ann"]["reaction"]}
    keepers = {"discount": Decimal("0.01"), "reaction": "0s", "bots": bots}
    found = measured(
        tmp_path,
        venue={
            "executor": "keepers",
            "fund": {"initial_usd": 1_000},
            "waterfall": {"surplus_to": "fund"},
            "keepers": keepers,
        },
    )

    # Ten at 89 less 1 %.
    assert found["takeover_discount_usd"] == "8.900000"
    assert found["slippage_usd"] == found["deleveraging_spared_usd"] == "0.000000"


@pytest.mark.parametrize(
    ("changes", "covered", "paid", "owes"),
    [
        ({"venue__fund__initial_usd": 500}, 10, 0, 0),
        ({"venue__waterfall": {"socialise": "notional", "deleveraging": "none"}}, 10, 5, 0),
        ({"venue__waterfall": {"deleveraging": "none"}}, 0, 0, 10),
    ],
    ids=["fund", "others", "nobody"],
)
def test_what_is_missing_is_covered_or_owed(
    tmp_path: Path, changes: dict[str, Any], covered: int, paid: int, owes: int
) -> None:
    measured(tmp_path, **changes)
    with open_log(tmp_path / "run.duckdb") as log:
        found = {profit.name: profit for profit in profits(log)}

    # Ten from 100 sold at 89 lose 110, of which the account has 100.
    assert found["long"].covered_usd == covered
    assert found["long"].owes_usd == owes
    assert [found[name].paid_usd for name in ("strong", "weak")] == [paid, paid]
    assert sum(profit.usd for profit in found.values()) == 0


def test_a_story_is_that_of_its_events_whatever_their_numbers(tmp_path: Path) -> None:
    raw = vaulted()
    rows = raw["mitigations"]
    idle = [row | {"position_limit_usd": 0} if row["kind"] == "backstop" else row for row in rows]
    told = {}
    for name, mitigations in (("none", []), ("idle", idle), ("busy", rows)):
        path = tmp_path / f"{name}.duckdb"
        run_to_log(load(raw | {"mitigations": mitigations}), path)
        with open_log(path) as log:
            told[name] = (story(log), measures(log)["mitigation_acts"])

    assert told["none"] == told["idle"]
    assert told["none"][0] != told["busy"][0]
    assert told["none"][1] == 0 < told["busy"][1]


ROUTING = {
    "kind": "penalty_routing",
    "keeper": Decimal("0.25"),
    "fund": Decimal("0.5"),
    "treasury": Decimal("0.15"),
    "burn": Decimal("0.1"),
}
REWARD = {"kind": "keeper_reward", "base_usd": 1, "budget_usd": 50}


def told_of(
    path: Path, mitigations: list[dict[str, Any]], fraction: str = "-0.094"
) -> tuple[str, int]:
    """Return story and acts of a fall to 90.6, at which the long is due and can pay a penalty."""
    raw = small_scenario(
        markets__ETH__shocks=[{"at": at(10), "fraction": Decimal(fraction)}],
        population={"accounts": listed(*ROWS)},
        venue__executor="keepers",
        venue__keepers={
            "discount": 0,
            "bots": {"kit": keeper(reaction=INSTANTLY, landing=INSTANTLY, purse_usd=10_000)},
        },
        venue__fees={"liquidation_on_execution": Decimal("0.005")},
        mitigations=mitigations,
    )
    run_to_log(load(raw), path)
    with open_log(path) as log:
        return story(log), measures(log)["mitigation_acts"]


@pytest.mark.parametrize(
    ("mitigations", "acts"),
    # Keeper, fund and burn have a share each, which is one act though burn is a purse of its own.
    [([], 0), ([ROUTING], 3), ([REWARD], 1), ([ROUTING, REWARD], 4)],
    ids=["none", "shares", "reward", "both"],
)
def test_what_the_treasury_pays_on_is_an_act(
    tmp_path: Path, mitigations: list[dict[str, Any]], acts: int
) -> None:
    assert told_of(tmp_path / "run.duckdb", mitigations)[1] == acts


def test_a_reward_that_never_pays_tells_the_same_story(tmp_path: Path) -> None:
    none, idle = (
        told_of(tmp_path / f"{len(rows)}.duckdb", rows, fraction="-0.01") for rows in ([], [REWARD])
    )

    assert none == idle == (none[0], 0)


def test_slices_that_are_met_are_acts_beside_what_was_held(tmp_path: Path) -> None:
    path = tmp_path / "run.duckdb"
    run_to_log(load(crossed()), path)
    with open_log(path) as log:
        ((decided, met),) = log.rows(
            "select (select count(*) from decision_recorded), count(*) from tranches_crossed"
        )
        assert decided > 0 < met
        assert measures(log)["mitigation_acts"] == decided + met
