"""The ladder before the start, where a whole per cent is met exactly."""

import numpy as np
import pytest
from support.scenarios import small_scenario

from liqsim.mechanics.branching import STEPS, units_due
from liqsim.mechanics.margin import margin_rules
from liqsim.mechanics.population import Accounts
from liqsim.scenario import scenario_from_dict

UNIT = 10**8


def accounts(*positions: tuple[int, int, int]) -> Accounts:
    """Return isolated accounts in the first market: (collateral in micro-USD, units, price)."""
    count = len(positions)
    collaterals, units, entries = (
        np.array(column, dtype=np.int64) for column in zip(*positions, strict=True)
    )
    return Accounts(
        names=[str(number) for number in range(count)],
        cohorts=[""] * count,
        collaterals_uusd=collaterals,
        rows=np.arange(count),
        market_ids=np.zeros(count, dtype=np.int64),
        quantities_e8=units * UNIT,
        entries_e8=entries * UNIT,
    )


def due(drawn: Accounts, *, due_at_zero: bool = False) -> dict[tuple[bool, int], int]:
    """Return units by side and step, zeros left out, at a start price of 100."""
    raw = small_scenario(markets__ETH__maintenance=[[0, 0]])
    rules = margin_rules(scenario_from_dict(raw, source="test"))
    ladder = units_due(drawn, rules, [100 * UNIT], due_at_zero=due_at_zero)
    return {
        (is_long, step): units // UNIT
        for (_, is_long), row in ladder.items()
        for step, units in enumerate(row)
        if units
    }


@pytest.mark.parametrize("step", range(1, STEPS))
def test_a_margin_of_zero_at_a_whole_per_cent(step: int) -> None:
    # Without maintenance: 7 units from 100 with 7 x step USD reach zero at exactly step per cent.
    drawn = accounts((7 * step * 10**6, 7, 100), (7 * step * 10**6, -7, 100))

    assert due(drawn) == {(True, step + 1): 7, (False, step + 1): 7}
    assert due(drawn, due_at_zero=True) == {(True, step): 7, (False, step): 7}


def test_a_unit_of_money_more_or_less_decides() -> None:
    drawn = accounts((7 * 10**7 + 1, 7, 100), (7 * 10**7 - 1, 7, 100))

    assert due(drawn) == {(True, 11): 7, (True, 10): 7}
    assert due(drawn, due_at_zero=True) == {(True, 11): 7, (True, 10): 7}


def test_who_is_due_already_is_at_step_zero_and_far_ones_are_left_out() -> None:
    drawn = accounts((10**6, 1, 110), (40 * 10**6, 1, 100), (0, 1, 100))

    assert due(drawn) == {(True, 0): 1, (True, 1): 1}
    assert due(drawn, due_at_zero=True) == {(True, 0): 2}


def test_nobody_is_an_empty_ladder() -> None:
    nobody = accounts((10**6, 1, 100))
    empty = Accounts(
        [],
        [],
        *(
            array[:0]
            for array in (
                nobody.collaterals_uusd,
                nobody.rows,
                nobody.market_ids,
                nobody.quantities_e8,
                nobody.entries_e8,
            )
        ),
    )

    assert due(empty) == {}
