"""Accounts out of files: exactly what the file says, after the cohorts, and due or not."""

import io
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.files import FILES, data_file
from support.scenarios import (
    changed,
    cohort,
    engine_cascade,
    events_of,
    keeper,
    knots,
    listed,
    load,
    market,
    run,
    shared_losses,
    small_scenario,
)

from liqsim.errors import ScenarioError
from liqsim.events import FundsDeposited, LiquidationTriggered, PositionOpened
from liqsim.runner import prepare
from liqsim.scenario import scenario_from_toml

ROWS = (
    ("0xA1", "ETH", "1.5", "100.00000001", "20.000001"),
    ("mit Leerzeichen", "ETH", "-2", "99.5", "1000"),
    ("007", "ETH", "0.00000001", "1e2", "0.000001"),
)
E8 = 10**8


def scenario_of(accounts, **changes):
    return small_scenario(population__accounts=accounts, **changes)


def columns_of(accounts):
    return [
        accounts.quantities_e8.tolist(),
        accounts.entries_e8.tolist(),
        accounts.collaterals_uusd.tolist(),
    ]


def test_accounts_are_what_the_file_says():
    raw = scenario_of(listed(*ROWS), population__cohorts={})
    prepared = prepare(load(raw))

    assert prepared.accounts.names == ["0xA1", "mit Leerzeichen", "007"]
    assert columns_of(prepared.accounts) == [
        [150_000_000, -200_000_000, 1],
        [10_000_000_001, 9_950_000_000, 10_000_000_000],
        [20_000_001, 1_000_000_000, 1],
    ]
    assert [owner.cohort for owner in prepared.owners()[5:]] == [None] * 3
    assert prepared.due_at_start == 0


def test_they_come_after_the_cohorts_and_move_nobody():
    alone = prepare(load(engine_cascade()))
    joined = prepare(load(engine_cascade(population__accounts=listed(*ROWS))))

    assert joined.accounts.names == [*alone.accounts.names, "0xA1", "mit Leerzeichen", "007"]
    for one, other in zip(columns_of(alone.accounts), columns_of(joined.accounts), strict=True):
        assert other[: len(one)] == one


def test_what_they_hold_is_recorded():
    entries = events_of(scenario_of(listed(*ROWS), population__cohorts={}))

    deposits = [e.event.amount_uusd for e in entries if isinstance(e.event, FundsDeposited)]
    openings = [
        (e.event.quantity_e8, e.event.price_e8, e.event.cost_uusd)
        for e in entries
        if isinstance(e.event, PositionOpened)
    ]
    assert deposits == [20_000_001, 1_000_000_000, 1]
    # 150.000000015 is paid in whole micro-dollars, up; the short receives 199, and the third
    # holds a millionth of a dollar.
    assert openings == [
        (150_000_000, 10_000_000_001, 150_000_001),
        (-200_000_000, 9_950_000_000, -199_000_000),
        (1, 10_000_000_000, 1),
    ]


def two_markets(*rows, **changes):
    calm = knots((0, 100), (60, 100))
    return scenario_of(
        listed(*rows, **changes), population__cohorts={}, markets__BTC=market(path=calm)
    )


def test_rows_in_several_markets_are_legs_of_one_cross_account():
    rows = (
        ("both", "BTC", 1, 100, ""),
        ("alone", "BTC", -1, 100, 50),
        ("both", "ETH", -2, 100, 30),
    )
    prepared = prepare(load(two_markets(*rows)))
    accounts = prepared.accounts

    assert accounts.names == ["both", "alone"]
    assert accounts.collaterals_uusd.tolist() == [30_000_000, 50_000_000]
    assert accounts.rows.tolist() == [0, 0, 1]
    assert accounts.market_ids.tolist() == [1, 0, 1]
    assert accounts.quantities_e8.tolist() == [E8, -2 * E8, -E8]
    assert [owner.market_id for owner in prepared.owners()[5:]] == [None, 1]


def test_the_legs_of_a_cross_account_are_due_together():
    # Losses of 10 and 8, and maintenance of 3 on 300 of notional.
    hedged = (("both", "ETH", 1, 110, 4), ("both", "BTC", -2, 96, ""))
    with pytest.raises(ScenarioError, match=r"at line 2: both .* its margin is -17 USD"):
        prepare(load(two_markets(*hedged)))
    assert prepare(load(two_markets(("both", "ETH", 1, 110, 22), hedged[1])))


@pytest.mark.parametrize("kind", [Decimal, float, str])
def test_parquet_gives_the_same_accounts(kind):
    names = ("account", "market", "quantity", "entry_price", "collateral_usd")
    cells = dict(zip(names, zip(*ROWS, strict=True), strict=True))
    for name in names[2:]:
        cells[name] = [kind(cell) for cell in cells[name]]
    target = io.BytesIO()
    pq.write_table(pa.table({name: list(column) for name, column in cells.items()}), target)
    file = data_file(target.getvalue(), ".parquet")

    one = load(scenario_of({"file": file}, population__cohorts={}))
    other = load(scenario_of(listed(*ROWS), population__cohorts={}))
    assert [h.legs for h in one.population.accounts.holdings] == [
        h.legs for h in other.population.accounts.holdings
    ]


def test_account_numbers_of_parquet_are_names():
    table = {
        "account": [12, 7],
        "market": ["ETH", "ETH"],
        "quantity": [1, -1],
        "entry_price": [100, 100],
        "collateral_usd": [50, 50],
    }
    target = io.BytesIO()
    pq.write_table(pa.table(table), target)
    accounts = {"file": data_file(target.getvalue(), ".parquet")}

    assert prepare(load(scenario_of(accounts, population__cohorts={}))).accounts.names == [
        "12",
        "7",
    ]


def test_the_resolved_scenario_names_the_bytes_and_holds_no_account():
    scenario = load(scenario_of(listed(*ROWS)))
    text = scenario.resolved_toml

    assert "[population.accounts]\n" in text
    assert 'due_at_start = "refuse"\n' in text
    assert "0xA1" not in text
    assert scenario_from_toml(text, source="log", folder=FILES) == scenario


def test_without_a_file_nothing_of_it_is_in_the_scenario():
    assert "population.accounts" not in load(small_scenario()).resolved_toml


# Due at the start ---------------------------------------------------------------------------------

DUE = (("safe", "ETH", 1, 100, 10), ("due", "ETH", 10, 100, 9), ("edge", "ETH", 10, 100, 10))
"""At 100 and a maintenance of 1 %, `due` lacks a dollar and `edge` has exactly zero."""


def test_an_account_that_is_due_at_the_start_is_refused():
    accounts = listed(*DUE)
    with pytest.raises(ScenarioError) as caught:
        prepare(load(scenario_of(accounts)))

    assert str(caught.value) == (
        f'population.accounts.file = "{accounts["file"]}" at line 3: due is due at the start, '
        'its margin is -1 USD; due_at_start = "liquidate" would let it be'
    )


def test_at_zero_it_is_due_where_the_venue_says_so():
    with pytest.raises(ScenarioError, match=r"at line 3: due .*\n.* at line 4: edge .* 0 USD"):
        prepare(load(scenario_of(listed(*DUE), venue__due_at_zero=True)))


def test_ten_are_named_and_the_rest_counted():
    rows = [(f"due {number}", "ETH", 10, 100, 9) for number in range(13)]
    with pytest.raises(ScenarioError) as caught:
        prepare(load(scenario_of(listed(*rows))))

    lines = str(caught.value).splitlines()
    assert len(lines) == 11
    assert lines[-1].endswith("has 3 more accounts that are due at the start")


def test_if_it_may_be_it_is_liquidated_with_the_first_update():
    raw = scenario_of(listed(*DUE, due_at_start="liquidate"), population__cohorts={})

    assert prepare(load(raw)).due_at_start == 1
    (triggered,) = [e for e in run(raw).entries if isinstance(e.event, LiquidationTriggered)]
    assert (triggered.event.bucket_id, triggered.sim_time_us) == (6, 0)


def test_the_start_price_decides_and_not_the_entry():
    raw = scenario_of(
        listed(("late", "ETH", 10, 120, 100)),
        markets__ETH=market(path=knots((0, 110), (60, 110))),
    )
    with pytest.raises(ScenarioError, match="late is due at the start, its margin is -11"):
        prepare(load(raw))
    assert prepare(load(changed(raw, {"markets__ETH__path": knots((0, 115), (60, 115))})))


def test_sums_over_cohorts_and_file_stay_in_the_ledger():
    raw = scenario_of(
        listed(("big", "ETH", 6_000_000_000, 100, 1_000)),
        population__cohorts={"longs": cohort(notional_usd=500_000_000_000)},
    )
    with pytest.raises(ScenarioError) as caught:
        load(raw)

    assert "must have notional_usd of less than 1,000,000,000,000 USD in all" in str(caught.value)
    assert "must make less than 10,000,000,000 units of ETH" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("parent", "of a backer"),
        ("Friends", "of a backer"),
        ("bot", "of a keeper"),
        ("crowd_00003", "of an account of population.cohorts.crowd"),
        ("Outside", "one of outside"),
    ],
)
def test_no_account_of_a_file_has_the_name_of_another_owner(name, text):
    book = listed((name, "ETH", "1", "100", "50"))
    bots = {"discount": 0, "bots": {"bot": keeper()}}
    raw = shared_losses(population__accounts=book, venue__keepers=bots)

    with pytest.raises(ScenarioError, match=f"at line 2.*{name}.*must not be.*{text}"):
        load(raw)


@pytest.mark.parametrize("name", ["parent_00001", "crowd_00030", "crowd_3", "Crowd_00003", "bots"])
def test_accounts_of_a_file_may_have_names_like_those_of_others(name):
    raw = shared_losses(population__accounts=listed((name, "ETH", "1", "100", "50")))

    names = [owner.name for owner in prepare(load(raw)).owners()]
    assert name in names
    assert len(set(names)) == len(names)
