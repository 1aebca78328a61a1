"""The fold adds up what the fields of the events mean, and agrees with the postings in SQL."""

from decimal import Decimal

import pytest
from unit.handmade_log import e8, engine_story, keeper_story, usd, write

from liqsim.eventlog.reader import open_log
from liqsim.events import FundsDeposited, OracleUpdated, OrderFilled
from replay.fold import Fold, cost_of, fold
from replay.log import Log


def test_nothing_folded_is_nothing():
    state = fold([])

    assert (state.seq, dict(state.cash_uusd), dict(state.units_e8)) == (-1, {}, {})


@pytest.mark.parametrize(
    ("quantity_e8", "price_e8", "expected"),
    [
        (e8(3), e8("1.00000001"), 3_000_001),  # A buyer pays the ceiling …
        (e8(-3), e8("1.00000001"), -3_000_000),  # … a seller gets the floor,
        (e8(2), e8("90.5"), usd(181)),
        (e8("9000000000"), e8("90"), usd("810000000000")),  # past an int64's 922 USD.
    ],
)
def test_a_cost_is_rounded_against_the_taker(quantity_e8, price_e8, expected):
    assert expected == cost_of(quantity_e8, price_e8)


def test_the_engine_story_ends_as_worked_out_on_paper(tmp_path):
    story = engine_story()
    with open_log(write(tmp_path / "log.duckdb", story)) as log:
        state = fold(log.entries())

    ana, cem, eve, fay, dan, gus = range(5, 11)
    cash = {owner: Decimal(state.cash_uusd[owner]) / 10**6 for owner in (0, 2, 3, *range(5, 11))}
    assert cash == {
        0: Decimal("-871.5"),
        2: 0,  # 10 + 1.548 - 0.5 - 5.5 - 5.548
        3: Decimal("0.452"),
        ana: 0,
        cem: 230,  # 200 + 800 - 190 - 485 - 95
        eve: 0,
        fay: Decimal("-39.452"),
        dan: -500,
        gus: Decimal("-88.5"),
    }
    units = {key: amount // 10**8 for key, amount in state.units_e8.items() if amount}
    assert units == {(0, 1): -1, (0, gus): 1, (1, 1): -1, (1, dan): 1}
    assert state.marks_e8 == {0: e8(89), 1: e8(1000)}
    assert state.marked_at_us == {0: 11_200_000, 1: 200_000}
    assert state.entry_prices_e8[0, cem] == e8(100)
    assert list(state.open_liquidations) == [story.names["gus"]]
    assert state.open_tranches == {}
    assert dict(state.bad_debt_uusd) == {fay: usd("39.452")}
    assert state.fund_uusd == 0


def test_the_keeper_story_ends_as_worked_out_on_paper(tmp_path):
    with Log(write(tmp_path / "log.duckdb", keeper_story())) as log:
        state = log.fold()

    kit, kay, ana, ben = range(5, 9)
    assert state.cash_uusd[kit] == usd("909.8625")  # 1000 - 450.2375 - 0.3 + 360.4
    assert state.cash_uusd[kay] == usd("1247.625")  # 1000 - 0.3 - 0.3 + 748.725 - 500.5
    assert state.units_e8[0, kit] == e8(1)
    assert state.units_e8[1, kay] == 0
    assert (state.cash_uusd[ana], state.units_e8[0, ana]) == (usd(-450), e8(5))
    assert (state.cash_uusd[ben], state.units_e8[1, ben]) == (usd("748.725"), e8("-0.5"))
    assert state.cash_uusd[4] == usd("0.9")


@pytest.mark.parametrize("story", [engine_story, keeper_story])
def test_the_fold_agrees_with_the_postings_after_every_event(tmp_path, story):
    with Log(write(tmp_path / "log.duckdb", story())) as log:
        state = Fold()
        for entry in log.entries():
            state.apply(entry)
            recorded = {
                (owner, asset): int(amount.scaleb(6 if asset == 0 else 8))
                for owner, asset, amount in log.reader.rows(
                    "select owner_id, asset_id, sum(amount) from postings "
                    f"where seq <= {entry.seq} group by all"
                )
                if amount
            }
            folded = {(owner, 0): cash for owner, cash in state.cash_uusd.items() if cash}
            folded |= {(o, m + 1): units for (m, o), units in state.units_e8.items() if units}
            assert recorded == folded


def test_entries_come_in_order_with_the_events_they_were_made_from(tmp_path):
    story = engine_story()
    with Log(write(tmp_path / "log.duckdb", story)) as log:
        entries = list(log.entries())
        some = list(log.entries(12, 14))

    assert story.rows == [(e.sim_time_us, e.cause_seq, e.event) for e in entries]
    assert list(range(len(story.rows))) == [entry.seq for entry in entries]
    assert entries[12:15] == some
    assert isinstance(entries[0].event, FundsDeposited)
    assert {OracleUpdated, OrderFilled} <= {type(entry.event) for entry in entries}
