"""The state at an instant is what the events up to it add up to; where the log ends, it says so."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from unit.handmade_log import engine_story, write

from liqsim.errors import QueryError
from replay.fold import fold
from replay.log import Log


@pytest.fixture(scope="module")
def story():
    return engine_story()


@pytest.fixture(scope="module")
def log(tmp_path_factory, story):
    with Log(write(tmp_path_factory.mktemp("state") / "log.duckdb", story)) as opened:
        yield opened


def test_at_the_start_only_the_openings_have_happened(log):
    state = log.state_at("2020-03-12T00:00:00Z")

    assert state.seq == 12
    assert state.marks() == []
    assert state.fund_usd() == 10
    assert state.open_liquidations().fetchall() == []


def test_the_state_at_an_instant_counts_every_event_of_that_instant(log, story):
    state = log.state_at("2020-03-12 00:00:05.2")

    assert state.seq == story.names["ana"]
    (eth, btc) = state.marks()
    assert (eth.market, eth.price, eth.since) == (
        "ETH",
        Decimal("90.5"),
        datetime(2020, 3, 12, 0, 0, 5, 200_000, tzinfo=UTC),
    )
    assert btc.price == 1000
    buckets = [row[3] for row in state.open_liquidations().fetchall()]
    assert buckets == ["fay", "eve", "ana"]
    assert state.open_tranches().fetchall() == []


def test_the_state_right_after_an_event(log, story):
    state = log.state_at(seq=story.names["eve2_fill"])

    assert state.at == datetime(2020, 3, 12, 0, 0, 7, 200_000, tzinfo=UTC)
    assert state.fund_usd() == Decimal("11.048")
    assert [row[4] for row in state.open_tranches().fetchall()] == ["eve"]
    assert state.bad_debt_usd() == 0


def test_the_state_at_the_end(log):
    state = log.state_at()

    assert (state.fund_usd(), state.bad_debt_usd()) == (0, Decimal("39.452"))
    assert [row[3] for row in state.open_liquidations().fetchall()] == ["gus"]


def test_balances_of_one_owner_of_the_system_and_of_all(log):
    state = log.state_at()

    assert state.balances([10]).fetchall() == [
        (10, "gus", "bucket", "USD", Decimal("-88.5")),
        (10, "gus", "bucket", "ETH", Decimal(1)),
    ]
    system = state.balances(system_only=True)
    assert system.columns == ["owner_id", "owner", "kind", "asset", "balance"]
    assert [row[1] for row in system.fetchall()] == [
        "outside", "makers", "makers", "makers", "treasury",
    ]  # fmt: skip
    assert len(state.balances().fetchall()) == 11


def test_balances_equal_the_fold_after_every_event(log, story):
    for seq in range(0, len(story.rows), 5):
        folded = fold(log.entries(0, seq))
        for owner, _, _, asset, balance in log.state_at(seq=seq).balances().fetchall():
            expected = (
                folded.cash_uusd[owner] * 100
                if asset == "USD"
                else folded.units_e8[("ETH", "BTC").index(asset), owner]
            )
            assert int(balance.scaleb(8)) == expected


def test_a_time_without_a_zone_is_utc_and_others_are_converted(log):
    naive = datetime(2020, 3, 12, 0, 0, 6)  # noqa: DTZ001 — a person's time without a zone
    berlin = datetime(2020, 3, 12, 1, 0, 6, tzinfo=timezone(timedelta(hours=1)))

    assert log.state_at(naive) == log.state_at(berlin) == log.state_at("2020-03-12T00:00:06Z")


@pytest.mark.parametrize(
    ("at", "message"),
    [
        ("2020-03-11T23:59:59.999999Z", "from 2020-03-12T00:00:00.000000Z to 2020-03-12T00:00:20"),
        ("2020-03-12T00:00:20.000001Z", "2020-03-12T00:00:20.000001Z is not in the log"),
        ("lunchtime", "'lunchtime' is not a time such as"),
    ],
)
def test_times_outside_the_run_are_refused(log, at, message):
    with pytest.raises(QueryError, match=message):
        log.state_at(at)


@pytest.mark.parametrize("seq", [-1, 57])
def test_events_outside_the_log_are_refused(log, seq):
    with pytest.raises(
        QueryError, match=f"event {seq} is not in the log, which has events 0 to 56"
    ):
        log.state_at(seq=seq)


def test_a_time_and_a_number_together_are_refused(log):
    with pytest.raises(QueryError, match="not both"):
        log.state_at("2020-03-12", seq=1)


def test_an_interrupted_log_says_nothing_about_what_comes_after_it(tmp_path):
    story = engine_story()
    story.cut(story.names["fay"])
    with Log(write(tmp_path / "log.duckdb", story, status="running")) as log:
        assert log.state_at().seq == story.names["mark"]
        with pytest.raises(QueryError, match=r"to 2020-03-12T00:00:05.200000Z"):
            log.state_at("2020-03-12T00:00:06Z")


def test_an_empty_log_has_an_empty_state(tmp_path):
    story = engine_story()
    story.cut(0)
    with Log(write(tmp_path / "log.duckdb", story, status="running")) as log:
        state = log.state_at()

        assert (state.seq, state.balances().fetchall()) == (-1, [])
