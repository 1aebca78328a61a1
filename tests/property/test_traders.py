"""
Accounts that act of their own will, in random crashes judged event by event.

`Auditor` works out again who may act, when and by how much; here the kinds of action have floors,
and what holds between two runs is compared.
"""

from collections import Counter
from copy import deepcopy

from hypothesis import given
from hypothesis import strategies as st
from support.auditor import audited
from support.effort import apart, cases
from support.floors import assert_floors
from support.scenarios import Raw, load, scenarios, traders

from liqsim.runner import prepare

_FLOORS = {
    "runs": 60,
    "topped up": 40,
    "topped up again": 10,
    "traded: reduced": 40,
    "traded: closed": 40,
    "traded in part": 10,
    "restored before reacting": 10,
    "liquidated before reacting": 10,
    "near, and no order filled": 10,
    "displaced by trading": 10,
    "traded: stopped": 10,
    "traded: opened": 10,
    "rebalanced up": 10,
    "rebalanced down": 10,
    "rebalanced below the most": 10,
}


@st.composite
def _acting(draw: st.DrawFn) -> Raw:
    """Draw a scenario in which the accounts of every isolated cohort act."""
    raw = deepcopy(draw(st.one_of(scenarios("engine"), scenarios("keepers"))))
    for table in raw["population"]["cohorts"].values():
        if "legs" not in table:
            table["traders"] = draw(traders())
    return raw


def test_every_law_holds_where_accounts_act() -> None:
    census: Counter[str] = Counter()

    @cases(60)
    @given(apart(_acting()))
    def every_law_holds(raw: Raw) -> None:
        census.update(audited(prepare(load(raw))).census)

    every_law_holds()

    assert_floors(census, _FLOORS)
