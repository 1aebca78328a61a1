"""The life of an account: in order, with position, cash, equity and margin, by hand and by sums."""

import re
from decimal import Decimal

import pytest
from support.scenarios import HANDMADE, at, load
from unit.handmade_log import (
    ENGINE_TOML,
    NONE,
    SYSTEM,
    Story,
    e8,
    engine_story,
    mark_set,
    us,
    usd,
    write,
)

from liqsim.cli.life_table import describe_life
from liqsim.errors import QueryError
from liqsim.events import (
    FundsDeposited,
    LiquidationUnresolved,
    PositionOpened,
    UnresolvedReason,
    UpdateReason,
)
from liqsim.runner import run_to_log
from replay.log import Log
from replay.views import view_sql

D = Decimal


def life(log, account):
    return [
        (e["what"], e["positions"].get("ETH", 0), e["cash_after_usd"], e["equity_usd"])
        for e in describe_life(log, account)["events"]
    ]


def test_a_life_from_deposit_to_end(engine):
    # Long 10 at 100 with 100; the mark is 90.5 from the trigger on, and 89 after the end.
    assert life(engine, "ana") == [
        ("deposit", 0, D(100), D(100)),
        ("opening", 10, D(-900), None),
        ("trigger", 10, D(-900), D(5)),
        ("tranche", 10, D(-900), D(5)),
        ("fill", 5, D("-448.452"), D("4.048")),
        ("surplus", 5, D(-450), D("2.5")),
        ("settled", 5, D(-450), D("2.5")),
        ("tranche", 5, D(-450), D("2.5")),
        ("fill", 0, D("-0.5"), D("-0.5")),
        ("fund draw", 0, 0, 0),
        ("settled", 0, 0, 0),
        ("end", 0, 0, 0),
    ]
    fill = describe_life(engine, "ana")["events"][4]
    assert (fill["quantity"], fill["price"], fill["cash_change_usd"], fill["fee_usd"]) == (
        D(-5), D("90.4"), D("451.548"), D("0.452"),
    )  # fmt: skip


@pytest.mark.parametrize("name", ["tightened", "mingled"])
def test_margins_are_those_of_the_rules_and_entry_prices_in_force(name, tmp_path):
    run_to_log(load(HANDMADE[name]()), tmp_path / "log.duckdb")

    with Log(tmp_path / "log.duckdb") as log:
        recorded = log.sql(
            "select o.name, l.seq, l.margin_usd from liquidation_triggered as l "
            "join owners as o on o.owner_id = l.bucket_id"
        ).fetchall()
        assert recorded
        for account in sorted({account for account, _, _ in recorded})[:4]:
            told = {e["seq"]: e["margin_usd"] for e in describe_life(log, account)["events"]}
            assert [told[seq] for who, seq, _ in recorded if who == account] == [
                margin for who, _, margin in recorded if who == account
            ]


def test_margins_are_those_that_the_triggers_recorded(engine, keepers):
    for log in (engine, keepers):
        recorded = log.sql("select bucket, liquidation_seq, margin_usd from liquidations")
        for account, seq, margin in recorded.fetchall():
            (event,) = [e for e in describe_life(log, account)["events"] if e["seq"] == seq]
            assert event["margin_usd"] == margin
    # Half sold: 5 x 90.5 - 450 less 1 % of 452.5.
    assert describe_life(engine, "ana")["events"][6]["margin_usd"] == D("-2.025")


def test_a_deleveraged_account_has_that_in_its_life(engine):
    # Short 8 at 100 with 200: three times the other side of somebody's end.
    assert life(engine, "cem") == [
        ("deposit", 0, D(200), D(200)),
        ("opening", -8, D(1000), None),
        ("deleveraged", -6, D(810), D(267)),
        ("deleveraged", -1, D(325), D("234.5")),
        ("deleveraged", 0, D(230), D(230)),
    ]
    notes = [e["note"] for e in describe_life(engine, "cem")["events"][2:]]
    assert notes == ["for eve, rank 1", "for fay, rank 1", "for eve, rank 1"]
    eve = describe_life(engine, "eve")["events"]
    closed = [e for e in eve if e["what"] == "closed against"]
    assert [(e["quantity"], e["note"]) for e in closed] == [
        (-2, "cem, rank 1"), (-1, "cem, rank 1"),
    ]  # fmt: skip


def test_a_limit_that_binds_nothing_is_told_so(tmp_path):
    story = engine_story()
    story.change("ana1", limit_price_e8=1)
    with Log(write(tmp_path / "log.duckdb", story)) as log:
        notes = [e["note"] for e in describe_life(log, "ana")["events"] if e["what"] == "tranche"]
    assert notes[0] == "number 1, engine: -5.00000000 at any price, the fund paying"
    assert notes[1].endswith(" or better")


def test_bad_debt_and_takeovers_are_in_a_life(engine, keepers):
    fay = [e for e in describe_life(engine, "fay")["events"] if e["what"] == "bad debt"]
    assert [(e["note"], e["equity_usd"]) for e in fay] == [
        ("39.452000 USD that nobody paid", D("-39.452"))
    ]
    ana = [e for e in describe_life(keepers, "ana")["events"] if e["what"] == "takeover"]
    assert [(e["quantity"], e["cash_change_usd"], e["note"]) for e in ana] == [
        (-5, D("450.2375"), "by kit")
    ]


@pytest.fixture(scope="module")
def cross(tmp_path_factory):
    """Give a log of one account in both markets: long 2 ETH at 100, short 1 BTC at 1000."""
    story = Story(ENGINE_TOML, [*SYSTEM, ("zoe", "bucket", "crowd", None)])
    story.add(0, NONE, FundsDeposited(5, usd(150)))
    story.add(0, NONE, PositionOpened(5, 0, e8(2), e8(100), usd(200)))
    story.add("0.2", NONE, mark_set(0, e8(110), UpdateReason.FIRST, 0, us("0.1")))
    story.add(1, NONE, PositionOpened(5, 1, e8(-1), e8(1000), usd(-1000)))
    story.add("1.2", NONE, mark_set(1, e8(900), UpdateReason.FIRST, 0, us("0.1")))
    story.add(2, NONE, FundsDeposited(5, usd(1)))
    waits = LiquidationUnresolved(0, 5, 1, e8(-1), UnresolvedReason.SPACING)
    story.add(3, NONE, waits)
    with Log(write(tmp_path_factory.mktemp("cross") / "log.duckdb", story)) as log:
        yield log


def test_an_account_in_two_markets_has_both_in_its_equity(cross):
    events = describe_life(cross, "zoe")["events"]

    told = [(e["what"], e["positions"], e["equity_usd"], e["margin_usd"]) for e in events]
    both = {"ETH": D(2), "BTC": D(-1)}
    # At 110 and 900: 951 + 220 - 900, less 1 % of 220 and of 900.
    assert told == [
        ("deposit", {}, D(150), None),
        ("opening", {"ETH": D(2)}, None, None),
        ("opening", both, None, None),
        ("deposit", both, D(271), D("259.8")),
        ("unresolved", both, D(271), D("259.8")),
    ]
    rows = cross.sql("select position_after, mark_price from account_life order by seq").fetchall()
    assert rows == [(None, None), (2, None), (-1, None), (None, None), (-1, 900)]
    columns = "quantity, value_usd, notional_usd, cash_usd, equity_usd"
    assert cross.sql(f"select {columns} from unresolved").fetchall() == [(-1, -900, 1120, 951, 271)]


@pytest.mark.parametrize("name", ["engine_cascade", "keeper_race", "squeeze"])
def test_a_life_ends_where_the_balances_do_at_any_instant(name, tmp_path):
    run_to_log(load(HANDMADE[name]()), tmp_path / "log.duckdb")
    with Log(tmp_path / "log.duckdb") as log:
        last = log.reader.last_seq
        for seq in (last // 3, last // 2, last):
            cash = log.sql(
                "select account, arg_max(cash_after_usd, seq) from account_life "
                f"where seq <= {seq} group by account having arg_max(cash_after_usd, seq) <> 0"
            ).fetchall()
            units = log.sql(
                "select o.name, a.name, arg_max(quantity, seq) from account_positions as p "
                "join owners as o on o.owner_id = account_id "
                "join assets as a on a.market_id = p.market_id "
                f"where seq <= {seq} group by all having arg_max(quantity, seq) <> 0"
            ).fetchall()
            balances = log.state_at(seq=seq).balances().fetchall()
            accounts = [row[1:] for row in balances if row[2] == "bucket"]
            assert sorted((a, "USD", c) for a, c in cash) + sorted(units) == sorted(
                (owner, asset, amount) for owner, _, asset, amount in accounts if asset == "USD"
            ) + sorted(
                (owner, asset, amount) for owner, _, asset, amount in accounts if asset != "USD"
            )


def test_only_an_account_has_a_life(engine):
    with pytest.raises(QueryError, match="--account fund: is no account but fund"):
        describe_life(engine, "fund")
    with pytest.raises(QueryError, match=r"nobody in .* has that name; did you mean ana"):
        describe_life(engine, "anna")


def test_unresolved_accounts_say_what_they_wait_for(engine, keepers):
    columns = "bucket, reason, due_us, quantity, mark_price, value_usd, cash_usd, equity_usd"
    (gus,) = engine.sql(f"select {columns}, tranches, waits_for from unresolved").fetchall()
    assert gus[:9] == ("gus", "no_depth", 8_800_000, 1, 89, 89, D("-88.5"), D("0.5"), 1)
    assert gus[9].startswith("depth: ")
    (ben,) = keepers.sql(f"select {columns}, last_tranche_at from unresolved").fetchall()
    # 1497.45 of cash, of which 748.725 bought half of the short back.
    assert ben[:8] == (
        "ben", "spacing", 12_800_000, D("-0.5"), 1490, -745, D("748.725"), D("3.725"),
    )  # fmt: skip
    assert f"{ben[8]:%S.%f}" == "07.200000"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (
            HANDMADE["engine_cascade"](venue__engine__outages=[[at(0), at(180)]]),
            "the engine: it is down, or busy with the orders of earlier triggers",
        ),
        (
            HANDMADE["engine_cascade"](venue__engine__orders_per_second=D("0.001")),
            "the engine: it is down, or busy with the orders of earlier triggers",
        ),
        (
            HANDMADE["no_executor"](),
            "a keeper: a slice is on offer, and all are down, short of capital or unwilling",
        ),
    ],
    ids=["outage", "turn", "keepers"],
)
def test_who_wants_an_executor_waits_for_the_one_there_is(raw, expected, tmp_path):
    run_to_log(load(raw), tmp_path / "log.duckdb")
    with Log(tmp_path / "log.duckdb") as log:
        said = log.sql("select distinct waits_for from unresolved where reason = 'no_executor'")
        assert said.fetchall() == [(expected,)]


@pytest.mark.parametrize("reason", UnresolvedReason, ids=lambda reason: reason.name)
def test_every_reason_is_put_in_a_sentence(reason):
    word = reason.name.lower()
    assert re.search(rf"when '{word}' then\s+(case|')", view_sql("unresolved")), (
        f"say in replay/sql/unresolved.sql what an account waits for that is unresolved by {word}"
    )


def test_values_in_views_are_exact(tmp_path):
    run_to_log(load(HANDMADE["engine_cascade"]()), tmp_path / "log.duckdb")
    with Log(tmp_path / "log.duckdb") as log:
        fills = log.sql("select abs(quantity), price from order_filled").fetchall()
        deleveraged = log.sql("select abs(quantity), price from position_deleveraged").fetchall()
        exact = sum(quantity * price for quantity, price in (*fills, *deleveraged))
        for view in ("executions", "tranches", "liquidations"):
            column = "value_usd" if view == "executions" else "liquidated_usd"
            assert log.sql(f"select sum({column}) from {view}").fetchall() == [(exact,)]
        assert exact != exact.quantize(D("0.000001"))
