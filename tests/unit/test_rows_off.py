"""A mitigation that is off refuses nothing: the scenario is what it is without the row."""

from decimal import Decimal
from typing import Any

import pytest
from support.scenarios import Raw, keeper_race, load, small_scenario

from liqsim.errors import ScenarioError

CROSSING: Raw = {"kind": "crossing", "hold": "6s"}
VAULT: Raw = {"kind": "backstop", "name": "vault", "purse_usd": 1_000}
ROUTED: Raw = {
    "kind": "penalty_routing",
    "keeper": 0,
    "fund": Decimal("0.5"),
    "treasury": Decimal("0.25"),
    "burn": Decimal("0.25"),
}
WIDE: Raw = {
    "kind": "breaker",
    "action": "widen_margin",
    "when": [{"observable": "fall", "above": Decimal("0.1")}],
    "factor": 900,
}


@pytest.mark.parametrize(
    ("raw", "row", "beside"),
    [
        (small_scenario(), CROSSING | {"name": "other"}, [CROSSING]),
        (small_scenario(), WIDE, []),
        (small_scenario(), {"kind": "dynamic_margin", "high": 900}, []),
        (
            small_scenario(),
            {"kind": "pool", "name": "vault", "deposits": [{"amount_usd": 1}]},
            [VAULT],
        ),
        (small_scenario(), ROUTED, [VAULT | {"name": "burn"}]),
        (small_scenario(), CROSSING | {"market": "nowhere"}, []),
        (small_scenario(), {"kind": "predictive", "model": "nowhere.json"}, []),
        (small_scenario(), {"kind": "keeper_reward"}, []),
        (
            keeper_race(),
            {"kind": "pool", "deposits": [{"amount_usd": 1}], "when": "always"},
            [],
        ),
        (keeper_race(), ROUTED | {"name": "b"}, [ROUTED | {"name": "a", "market": "ETH"}]),
    ],
)
def test_a_row_that_is_off_refuses_nothing(raw: Raw, row: Raw, beside: list[Raw]) -> None:
    others: list[Any] = [*beside]
    if not beside:
        others = [{"kind": "rate_limit", "max_usd": 10**6}]
    for rows in ([*others, row], [row, *others]):
        with pytest.raises(ScenarioError):
            load(raw | {"mitigations": rows})  # Or it would say nothing that it is taken when off.
        without = load(raw | {"mitigations": others})
        off = [each | {"on": False} if each is row else each for each in rows]
        assert load(raw | {"mitigations": off}) == without


def test_a_row_is_numbered_as_in_the_file_where_one_before_it_is_off() -> None:
    rows = [CROSSING | {"on": False}, CROSSING, VAULT, CROSSING | {"name": "other"}]
    rows += [VAULT | {"on": False}, WIDE]

    with pytest.raises(ScenarioError) as refused:
        load(small_scenario(mitigations=rows))

    wide, crossing = str(refused.value).splitlines()
    assert 'mitigations.3.market = "" must differ from that of' in crossing
    assert "mitigations.5.factor = 900 must be at most" in wide


def test_keys_of_a_row_that_is_off_are_still_read() -> None:
    for row in (CROSSING | {"hold": "-6s"}, CROSSING | {"holds": "6s"}):
        with pytest.raises(ScenarioError, match=r"mitigations\.0\.hold"):
            load(small_scenario(mitigations=[row | {"on": False}]))
