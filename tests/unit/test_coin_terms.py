"""What coin collateral and inverse contracts may go with, in scenarios and in files of accounts."""

from decimal import Decimal
from typing import Any

import pytest
from support.files import data_file
from support.scenarios import (
    Raw,
    changed,
    constant,
    events_of,
    in_coins,
    listed,
    load,
    small_scenario,
)

from liqsim.errors import ScenarioError
from liqsim.events import CoinsDeposited, FundsDeposited, LiquidationTriggered, PositionOpened
from liqsim.runner import prepare

COHORT = "population.cohorts.longs"
INVERSE: Raw = {
    "markets__ETH__contract": "inverse",
    "markets__ETH__maintenance": [],
    "markets__ETH__maintenance_usd": [[0, Decimal("0.01")]],
}
COINS: Raw = {"population__cohorts__longs__collateral": "coin"}
REFUSED: list[tuple[Raw, str]] = [
    (
        COINS | {"markets__ETH__contract": "inverse"},
        "markets.ETH.maintenance must be maintenance_usd: an inverse contract is in dollars",
    ),
    (INVERSE, f'{COHORT}.collateral = "usd" must be "coin": the contract of ETH is inverse'),
    (
        INVERSE | COINS | {"markets__ETH__funding": {}},
        "markets.ETH.funding",
    ),
    (
        INVERSE | COINS | {"venue__waterfall__profit_haircut": "queue"},
        'venue.waterfall.profit_haircut = "queue" must be "none": ETH is inverse',
    ),
    (
        COINS | {"population__cohorts__longs__traders": {"reaction": constant("1s")}},
        f"{COHORT}.traders",
    ),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED, ids=range(len(REFUSED)))
def test_what_is_not_built_together_is_refused(changes: Raw, message: str) -> None:
    with pytest.raises(ScenarioError) as error:
        load(small_scenario(**changes))

    assert message in str(error.value)


@pytest.mark.parametrize("is_inverse", [True, False])
def test_cross_accounts_hold_no_coins(*, is_inverse: bool) -> None:
    table = in_coins()["population"]["cohorts"]["eth"] | {
        "market": "",
        "legs": {"ETH": {"share": Decimal("0.5")}, "BTC": {"share": Decimal("0.5")}},
    }
    table |= {"collateral": "usd" if is_inverse else "coin"}

    with pytest.raises(ScenarioError) as error:
        load(changed(in_coins(), {"population__cohorts__cross": table}))

    key = "legs.ETH" if is_inverse else "collateral"
    assert f"population.cohorts.cross.{key}" in str(error.value)


def test_a_cohort_deposits_coins_worth_its_collateral_at_the_entry() -> None:
    events = [entry.event for entry in events_of(small_scenario(**COINS))]

    deposits = [event for event in events if isinstance(event, CoinsDeposited)]
    assert [(event.bucket_id, event.quantity_e8) for event in deposits] == [(5, 10**8)]
    assert not any(isinstance(event, FundsDeposited) for event in events)
    opened = next(event for event in events if isinstance(event, PositionOpened))
    assert (opened.quantity_e8, opened.cost_uusd) == (10 * 10**8, 1_000 * 10**6)


# Files of accounts --------------------------------------------------------------------------------


def file_of(*rows: tuple[Any, ...], **changes: Any) -> Raw:
    """Return a population of accounts whose last column is coins."""
    head = "account,market,quantity,entry_price,collateral_usd,collateral_coins"
    text = "\n".join([head, *(",".join(map(str, row)) for row in rows)]) + "\n"
    return {"file": data_file(text)} | changes


def test_an_account_of_a_file_may_have_coins() -> None:
    accounts = file_of(("ann", "ETH", 10, 100, "", 1), ("bob", "ETH", -1, 100, 20, ""))
    raw = small_scenario(population__accounts=accounts, population__cohorts={})

    prepared = prepare(load(raw))

    assert prepared.accounts.coins_e8.tolist() == [10**8, 0]
    assert prepared.accounts.collaterals_uusd.tolist() == [0, 20 * 10**6]
    assert prepared.header().assets()[0] == (-1, "ETH coin", "coin", None)


def test_an_account_of_a_file_is_due_by_its_coins() -> None:
    accounts = file_of(("ann", "ETH", 10, 110, "", 1), due_at_start="liquidate")
    raw = small_scenario(**INVERSE, population__accounts=accounts, population__cohorts={})

    triggered = [
        entry.event for entry in events_of(raw) if isinstance(entry.event, LiquidationTriggered)
    ]

    # -1,100 + 11 x 100 = 0 of equity, and 11 asked of 1,100 dollars.
    assert [event.margin_uusd for event in triggered] == [-11 * 10**6]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("ann", "ETH", 10, 100, 100, 1)], "must be empty beside collateral_usd"),
        ([("ann", "ETH", 10, 100, "", 0)], "collateral_coins"),
        ([("ann", "ETH", 10, 100, "", "")], "must be given in one of the rows"),
        (
            [("ann", "ETH", 10, 100, "", 1), ("ann", "BTC", 1, 100, "", "")],
            "an account with positions in several markets holds no coins",
        ),
    ],
)
def test_a_row_that_cannot_be_is_refused(rows: list[tuple[Any, ...]], message: str) -> None:
    raw = in_coins(markets__ETH__contract="linear", population__accounts=file_of(*rows))

    with pytest.raises(ScenarioError) as error:
        load(raw)

    assert message in str(error.value)


def test_an_account_with_an_inverse_contract_must_have_coins() -> None:
    raw = in_coins(population__accounts=listed(("ann", "ETH", 10, 100, 100)))

    with pytest.raises(ScenarioError, match="has an inverse contract"):
        load(raw)
