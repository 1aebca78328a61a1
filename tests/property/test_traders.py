"""
Accounts that act of their own will, in random crashes judged event by event.

`Auditor` works out again who may act, when and by how much; here the kinds of action have floors,
and what holds between two runs is compared.
"""

from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.auditor import audited
from support.effort import apart, cases
from support.floors import assert_floors
from support.scenarios import (
    Raw,
    arrivals,
    comeback,
    events_of,
    forewarned,
    leave_room,
    load,
    newcomers,
    panic,
    rebalanced,
    scenarios,
    traders,
)

from liqsim.events import TradeFilled
from liqsim.runner import prepare

_FLOORS = {
    "runs": 60,
    "topped up": 40,
    "topped up again": 4,
    "traded: reduced": 40,
    "traded: closed": 30,
    "traded in part": 10,
    "restored before reacting": 3,
    "liquidated before reacting": 4,
    "near, and no order filled": 3,
    "displaced by trading": 10,
    "traded: stopped": 10,
    "traded: opened": 10,
    "traded: relevered": 10,
    "rebalanced up": 10,
    "rebalanced down": 10,
    "rebalanced below the most": 10,
    "traded: arrived": 60,
    "traded after arriving": 30,
    "triggered after arriving": 20,
    "a cohort is full": 10,
}


@st.composite
def _acting(draw: st.DrawFn) -> Raw:
    """Draw a scenario in which the accounts of every isolated cohort act."""
    raw = deepcopy(draw(st.one_of(scenarios("engine"), scenarios("keepers"))))
    for table in raw["population"]["cohorts"].values():
        if "legs" not in table:
            table.pop("collateral", None)  # Who has coins does not act, yet.
            table["traders"] = draw(traders())
    for market in raw["markets"].values():
        market.pop("contract", None)
    leave_room(raw)
    for table in raw["population"]["cohorts"].values():
        if "traders" in table and draw(st.booleans()):
            table["traders"]["arrivals"] = draw(arrivals(raw, table["market"]))
    return raw


def test_every_law_holds_where_accounts_act() -> None:
    census: Counter[str] = Counter()

    @cases(60)
    @given(apart(_acting()))
    def every_law_holds(raw: Raw) -> None:
        census.update(audited(prepare(load(raw))).census)

    every_law_holds()

    assert_floors(census, _FLOORS)


@pytest.mark.parametrize("story", [panic, comeback, rebalanced, newcomers, forewarned])
def test_nobody_looks_ahead(story: Callable[..., Raw]) -> None:
    raw = story()
    path = raw["markets"]["ETH"]["path"]
    path["bridge_volatility"] = 0
    other = deepcopy(raw)
    other["markets"]["ETH"]["path"]["knots"][-1][1] = 60
    middle_us = 80 * 10**6  # The last knot but one: from there on the paths differ.

    before, after = (
        [entry for entry in events_of(tables) if entry.sim_time_us < middle_us]
        for tables in (raw, other)
    )

    assert any(isinstance(entry.event, TradeFilled) for entry in before)
    assert before == after


@pytest.mark.parametrize("story", [panic, comeback, newcomers, forewarned])
def test_acting_accounts_shift_nobody_elses_draws(story: Callable[..., Raw]) -> None:
    # Without impact accounts meet only in the fund and in deleveraging, which are switched off.
    calm = {
        "markets__ETH__liquidity": {"kind": "no_impact"},
        "venue__waterfall": {"deleveraging": "none"},
        "venue__fund__initial_usd": 10**6,
    }
    crowd = story()["population"]["cohorts"]["crowd"]
    holding = {key: value for key, value in crowd.items() if key != "traders"}
    alone = story(**calm, population__cohorts={"crowd": crowd})
    beside = story(
        **calm, population__cohorts={"others": holding | {"accounts": 7}, "crowd": crowd}
    )

    def acts(raw: Raw, shift: int) -> list[Any]:
        return [
            (entry.sim_time_us, attrs.evolve(entry.event, bucket_id=entry.event.bucket_id - shift))
            for entry in events_of(raw)
            if isinstance(entry.event, TradeFilled)
        ]

    assert acts(alone, 0) == acts(beside, 7) != []
