"""What the contract suite adds up of a run: nothing that is moved is left out of it."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import attrs
import pytest
from support.scenarios import Raw, auctioned, crossed, events_of, rewarded

from liqsim.events import (
    KeeperRewarded,
    PenaltyRouted,
    TranchesCrossed,
    TrancheSettled,
    TrancheTakenOver,
)
from liqsim.testing.contract import _assert_close, _story, _totals


@pytest.mark.parametrize(
    ("scenario", "cls", "key"),
    [
        (crossed, TranchesCrossed, "quantity_e8"),
        (crossed, TranchesCrossed, "cost_uusd"),
        (crossed, TranchesCrossed, "fee_uusd"),
        (crossed, TranchesCrossed, "other_fee_uusd"),
        (crossed, TrancheSettled, "crossed_e8"),
        (rewarded, PenaltyRouted, "amount_uusd"),
        (rewarded, KeeperRewarded, "amount_uusd"),
    ],
)
def test_twice_as_much_is_another_total(
    scenario: Callable[..., Raw], cls: type[Any], key: str
) -> None:
    fees = {"venue__fees": {"liquidation_on_execution": Decimal("0.005")}}
    one = events_of(scenario(**fees))
    other = [
        attrs.evolve(entry, event=attrs.evolve(entry.event, **{key: 2 * getattr(entry.event, key)}))
        if isinstance(entry.event, cls)
        else entry
        for entry in one
    ]
    assert one != other

    _assert_close(_totals(one), _totals(one))
    with pytest.raises(AssertionError):
        _assert_close(_totals(one), _totals(other))


def test_what_rounding_leaves_is_no_part_of_the_story() -> None:
    entries = [e for e in events_of(auctioned()) if isinstance(e.event, TrancheTakenOver)]
    dust = [attrs.evolve(e, event=attrs.evolve(e.event, cost_uusd=-999)) for e in entries]

    assert len(_story(entries)) == len(entries) > 3
    assert _story(dust) == []
