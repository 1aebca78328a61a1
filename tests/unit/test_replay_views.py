"""The SQL views over the two stories."""

import math
from decimal import Decimal

import pytest
from unit.handmade_log import (
    ENGINE_TOML,
    NONE,
    SYSTEM,
    Story,
    e8,
    engine_story,
    keeper_story,
    usd,
    write,
)

from liqsim.events import FundsDeposited, LossSocialised, PositionOpened
from replay.log import Log
from replay.views import VIEWS, tables_of, view_sql


def rows(log, sql):
    relation = log.sql(sql)
    return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]


@pytest.mark.parametrize("name", VIEWS)
def test_every_column_of_a_view_is_described_in_its_header(engine, name):
    comments = [line[3:] for line in view_sql(name).splitlines() if line.startswith("-- ")]

    assert comments[0].startswith(f"{name}: ")
    described = [line.split()[0] for line in comments[1:] if not line.startswith(" ")]
    assert engine.sql(f"from {name}").columns == described


@pytest.mark.parametrize("name", VIEWS)
def test_a_table_of_a_view_has_its_rows(engine, keepers, name):
    for log in (engine, keepers):
        tables = tables_of(log.reader)

        assert tables is tables_of(log.reader)
        assert tables.relation(f"from {name}").columns == log.sql(f"from {name}").columns
        rows_of_view = sorted(map(repr, log.sql(f"from {name}").fetchall()))
        assert sorted(map(repr, tables.rows(f"from {name}"))) == rows_of_view


def test_liquidations_have_a_row_per_trigger(engine):
    fay, eve, ana, gus = rows(engine, "from liquidations order by liquidation_seq")

    some = ("bucket", "side", "tranches", "filled", "deleveraged", "liquidated_usd", "outcome")
    assert [ana[key] for key in some] == ["ana", "long", 2, 10, 0, Decimal("901.5"), "closed"]
    assert ana["average_price"] == Decimal("90.15")
    assert (ana["fees_usd"], ana["surplus_usd"], ana["fund_draw_usd"]) == (
        Decimal("0.452"),
        Decimal("1.548"),
        Decimal("0.5"),
    )
    assert (eve["filled"], eve["deleveraged"]) == (1, 3)
    assert fay["bad_debt_usd"] == Decimal("39.452")
    assert ana["waited_us"] == eve["waited_us"] == 1_000_000
    assert (gus["outcome"], gus["unresolved_reason"], gus["cancelled"]) == (
        None,
        "no_depth",
        Decimal("0.5"),
    )
    assert (gus["waited_us"], gus["average_price"], gus["ended_at"]) == (8_800_000, None, None)


def test_tranches_have_their_parts(engine):
    parts = rows(engine, "from tranches where bucket_id = 7 order by tranche_seq")

    assert [(t["filled"], t["deleveraged"], t["executions"]) for t in parts] == [
        (0, 2, 1),
        (1, 1, 2),
    ]
    assert [t["average_price"] for t in parts] == [95, Decimal("92.25")]


def test_the_fund_keeps_a_running_balance_with_causes(engine):
    movements = rows(engine, "from fund order by seq")

    assert [(m["movement"], m["balance_usd"], m["cause"]) for m in movements] == [
        ("deposit", Decimal(10), None),
        ("surplus", Decimal("11.548"), "order_filled"),
        ("draw", Decimal("11.048"), "order_filled"),
        ("draw", Decimal("5.548"), "order_filled"),
        ("draw", Decimal(0), "order_filled"),
    ]


def test_prices_are_one_long_table(engine):
    counts = engine.sql("select market, kind, count(*) from prices group by all order by all")

    assert counts.fetchall() == [
        ("BTC", "mark", 1),
        ("BTC", "reference", 20),
        ("BTC", "shadow", 1),
        ("ETH", "fill", 4),
        ("ETH", "mark", 3),
        ("ETH", "market", 4),
        ("ETH", "reference", 20),
        ("ETH", "shadow", 4),
    ]


def test_every_trigger_has_a_class(engine):
    classes = rows(engine, "from liquidation_classes order by liquidation_seq")

    assert [(row["bucket"], row["class"]) for row in classes] == [
        ("fay", "first_order"),
        ("eve", "first_order"),
        ("ana", "first_order"),
        ("gus", "accelerated"),
    ]
    _, _, ana, gus = classes
    assert (ana["crossed_price"], ana["crossed_at"]) == (Decimal("90.5"), ana["triggered_at"])
    assert (gus["crossed_price"], gus["crossed_at"].second) == (89, 11)
    assert gus["crossed_at"].microsecond == 900_000
    assert gus["forced_displacement"] == Decimal("-0.009032654")
    assert (ana["liquidated_usd"], gus["liquidated_usd"]) == (Decimal("901.5"), 0)


def test_what_crosses_on_the_shadow_alone_is_averted(keepers):
    (averted,) = rows(keepers, "from shadow_crossings")

    assert (averted["bucket"], averted["kind"], averted["liquidation_seq"]) == (
        "ana",
        "averted",
        None,
    )
    assert (averted["shadow_mark"], averted["shadow_margin_usd"]) == (
        Decimal("90.5"),
        Decimal("-2.025"),
    )


@pytest.mark.parametrize("has_paid", [False, True])
def test_what_is_liquidated_with_other_balances_was_averted(tmp_path, has_paid):
    story = keeper_story()
    ana, ben, tranche = story.owner_id("ana"), story.owner_id("ben"), story.names["ben1"]
    if has_paid:
        share = LossSocialised(tranche, ben, ana, 0, e8(95), usd(400), usd(1))
        story.add(19, "ben1", share)
    trigger = story.add(19, "rise", story["ana"])
    with Log(write(tmp_path / "log.duckdb", story)) as log:
        (crossing,) = rows(log, "from shadow_crossings")

    right = ("averted", None) if has_paid else ("liquidated", trigger)
    assert (crossing["kind"], crossing["liquidation_seq"]) == right


def test_changes_of_maintenance_have_a_row_each(engine):
    (change,) = rows(engine, "from maintenance_changes")

    assert (change["market"], change["multiplier"]) == ("BTC", 2)


def test_oracle_lag_is_held_against_the_reference_at_landing(engine):
    last = rows(engine, "from oracle_lag order by seq")[-1]

    assert (last["lag_us"], last["reference_price"], last["mark_error"]) == (200_000, 89, 0.0)


def test_keepers_have_a_row_per_market(keepers):
    kit, kit_btc, kay_eth, kay = rows(keepers, "from keepers order by keeper_id, market = 'BTC'")

    assert (kit["keeper"], kit["market"], kit["won"], kit["lost"]) == ("kit", "ETH", 1, 0)
    assert (kit["taken_over"], kit["sold_on"], kit["inventory"]) == (5, 4, 1)
    assert (kit["bought_usd"], kit["sold_usd"]) == (Decimal("450.2375"), Decimal("360.4"))
    assert kit["profit_usd"] == Decimal("-1.6375")  # … + 88.5 for the unit left.
    assert kit_btc["profit_usd"] == 0
    assert (kay_eth["lost"], kay_eth["lost_race"], kay_eth["profit_usd"]) == (1, 1, Decimal("-0.3"))
    assert (kay["bought_usd"], kay["sold_usd"]) == (Decimal("500.5"), Decimal("748.725"))
    assert kay["profit_usd"] == Decimal("247.925")


def test_purses_keep_a_running_balance_each(keepers):
    movements = rows(keepers, "from purses where keeper = 'kit' order by seq")

    assert [(m["movement"], m["market"], m["balance_usd"]) for m in movements] == [
        ("deposit", None, Decimal(1000)),
        ("takeover", "ETH", Decimal("549.4625")),
        ("sale", "ETH", Decimal("909.8625")),
    ]
    failed = rows(keepers, "from purses where movement = 'failed_call'")
    assert [(m["keeper"], m["market"], m["amount_usd"]) for m in failed] == [
        ("kay", "ETH", Decimal("-0.3"))
    ]


def test_a_log_in_the_middle_of_things_has_views_too(tmp_path):
    story = engine_story()
    story.cut(story.names["ana1_fill"] + 1)
    with Log(write(tmp_path / "log.duckdb", story, status="running")) as log:
        ana = rows(log, "from liquidations order by liquidation_seq")[0]
        tranche = rows(log, "from tranches")[0]

    assert (ana["waited_us"], ana["outcome"], ana["filled"]) == (1_000_000, None, 0)
    assert (tranche["settled_at"], tranche["filled"], tranche["executions"]) == (None, None, 1)


def test_the_genealogy_of_a_story(engine):
    fay, eve, ana, gus = rows(engine, "from genealogy order by liquidation_seq")
    (fill,) = rows(engine, "select max(seq) as seq from order_filled")

    assert [(r["parent_fill_seq"], r["generation"]) for r in (ana, eve, fay)] == [(None, 0)] * 3
    # The report that triggered gus shows 11 s; fay sold last, at 7.2 s.
    assert (gus["parent_fill_seq"], gus["parent_liquidation_seq"], gus["generation"]) == (
        fill["seq"],
        fay["liquidation_seq"],
        1,
    )
    assert {r["episode"] for r in (ana, eve, fay, gus)} == {fay["liquidation_seq"]}
    assert [r["usd"] for r in (ana, eve, fay, gus)] == [Decimal("901.5"), Decimal("374.5"), 925, 0]


def test_residuals_are_what_sales_have_left(engine):
    first = rows(engine, "from residuals where is_fill order by seq")[0]
    update = rows(engine, "from residuals where not is_fill order by seq")[-1]

    assert (first["is_fill"], first["consumed"], first["newest_fill_seq"]) == (True, 0.0, None)
    assert first["run_seq"] == first["seq"]
    # 5 at 6.2 s and 11 at 7.2 s, by half in 5 s, seen at 11 s.
    left = -5 * 2 ** (-4.8 / 5) - 11 * 2 ** (-3.8 / 5)
    assert (update["is_fill"], update["consumed"]) == (False, pytest.approx(left))
    marked = rows(engine, "from residuals where not is_fill order by seq")[0]
    assert (marked["consumed"], marked["newest_fill_seq"]) == (0.0, None)


def test_resales_are_forced_fills_of_the_takeover_behind_them(keepers):
    sold, bought = rows(keepers, "from forced_fills order by seq")
    ana, ben = rows(keepers, "from genealogy order by liquidation_seq")

    assert (sold["liquidation_seq"], sold["quantity"]) == (ana["liquidation_seq"], -4)
    assert (bought["liquidation_seq"], bought["quantity"]) == (
        ben["liquidation_seq"],
        Decimal("0.5"),
    )
    assert ana["episode"] != ben["episode"]
    assert ana["last_fill_at"] == sold["sim_time"]


def test_the_ladder_at_the_start_and_at_the_end(engine):
    start = rows(
        engine,
        "from liquidation_ladder where moment = 'start' and market = 'ETH' and accounts > 0 "
        "order by side, step",
    )
    # ana -900 + 10 P (1 - 1 %): due below 90.909; eve below 95.96, fay below 97.98, gus 89.39.
    assert [(r["side"], r["step"], r["units"]) for r in start] == [
        ("long", 3, 10),
        ("long", 5, 4),
        ("long", 10, 10),
        ("long", 11, 1),
        # cem 1000 - 8 P (1 + 1 %): due above 123.76.
        ("short", 24, 8),
    ]
    assert [r["price"] for r in start] == [97, 95, 90, 89, 124]
    assert [r["due_within_usd"] for r in start] == [1000, 1400, 2400, 2500, 800]
    # Within x per cent: depth x (ln ratio / 1 %) ** 0.4, from a mid of 100.
    depth = 18.88457884 * (-math.log(0.97) * 100) ** 0.4
    assert start[0]["depth"] == pytest.approx(depth, rel=1e-9)
    end = rows(engine, "from liquidation_ladder where moment = 'end' and accounts > 0")
    # gus is in liquidation, dan is long one BTC from 1,000 with 500: due below 505.05.
    assert end == []


def test_b_is_impact_times_density(engine):
    (row,) = rows(
        engine, "from branching where moment = 'start' and market = 'ETH' and side = 'long'"
    )

    moved = 0.01 * (10 / 18.88457884) ** 2.5
    widths = {step: math.log((101 - step) / (100 - step)) for step in (3, 10)}
    # Two steps have ten units; of one per cent each, the further one is wider in log price.
    assert (row["step"], row["units"]) == (3, 10)
    assert row["b"] == pytest.approx(moved / widths[3], rel=1e-9)
    assert widths[3] < widths[10]
    assert row["impact"] == pytest.approx(moved / 10, rel=1e-9)
    assert row["above_one"] == 0


@pytest.mark.parametrize(("due_at_zero", "step"), [("false", 11), ("true", 10)])
def test_a_margin_of_zero_is_due_where_the_venue_says_so(tmp_path, due_at_zero, step):
    # Cash -89.1 and one unit: a margin of zero at exactly 90, ten per cent below.
    toml = ENGINE_TOML.replace("due_at_zero = false", f"due_at_zero = {due_at_zero}")
    story = Story(toml, [*SYSTEM, ("zoe", "bucket", "crowd", 0)])
    story.add(0, NONE, FundsDeposited(5, usd("10.9")))
    story.add(0, NONE, PositionOpened(5, 0, e8(1), e8(100), usd(100)))
    with Log(write(tmp_path / "log.duckdb", story)) as log:
        found = rows(log, "from liquidation_ladder where moment = 'start' and accounts > 0")
        assert [(r["side"], r["step"]) for r in found] == [("long", step)]
        ladder = log.liquidation_ladder("2020-03-12 00:00:00")
        assert [r[4] for r in ladder.fetchall() if r[4]] == [1]


def test_a_scenario_that_cannot_be_read_leaves_the_ladder_empty(tmp_path):
    story = engine_story()
    story.toml = story.toml.replace("[markets.ETH.liquidity]", "[markets.ETH.liquid]")
    with Log(write(tmp_path / "log.duckdb", story)) as log:
        assert rows(log, "from liquidation_ladder where accounts > 0") == []
        assert {r["parent_fill_seq"] for r in rows(log, "from genealogy")} == {None}


def test_who_is_due_and_not_yet_triggered_is_at_step_zero(engine):
    (mark,) = rows(engine, "select max(cause_seq) as seq from liquidation_triggered where seq < 22")
    ladder = engine.liquidation_ladder(seq=mark["seq"])

    found = [dict(zip(ladder.columns, row, strict=True)) for row in ladder.fetchall()]
    due = [
        (r["side"], r["step"], r["accounts"], r["units"], r["b"]) for r in found if r["accounts"]
    ]
    # At 90.5 ana, eve and fay are due; gus from 89.39 down, cem from 123.76 up.
    b = 0.01 * (1 / (18.88457884 * 0.5)) ** 2.5 / math.log(99 / 98)
    assert due == [("long", 0, 3, 24, None), ("long", 2, 1, 1, pytest.approx(b, rel=1e-8))]
    (gus,) = (r for r in found if r["accounts"] and r["step"])
    assert gus["price"] == Decimal("88.69")
    assert gus["due_usd"] == Decimal("90.5")
