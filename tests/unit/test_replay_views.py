"""The SQL views over the two stories."""

from decimal import Decimal

import pytest
from unit.handmade_log import engine_story, write

from replay.log import Log
from replay.views import VIEWS, view_sql


def rows(log, sql):
    relation = log.sql(sql)
    return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]


@pytest.mark.parametrize("name", VIEWS)
def test_every_column_of_a_view_is_described_in_its_header(engine, name):
    comments = [line[3:] for line in view_sql(name).splitlines() if line.startswith("-- ")]

    assert comments[0].startswith(f"{name}: ")
    described = [line.split()[0] for line in comments[1:] if not line.startswith(" ")]
    assert engine.sql(f"from {name}").columns == described


def test_liquidations_have_a_row_per_trigger(engine):
    ana, eve, fay, gus = rows(engine, "from liquidations order by liquidation_seq")

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
        ("ETH", "fill", 4),
        ("ETH", "mark", 3),
        ("ETH", "market", 4),
        ("ETH", "reference", 20),
    ]


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
