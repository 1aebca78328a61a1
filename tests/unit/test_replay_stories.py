"""What liquidations lost and who paid, and what owners with capital made, by hand."""

from decimal import Decimal

import pytest
from unit.handmade_log import engine_story, write

from replay.log import Log

LOSSES = ("cushion_usd", "displacement_usd", "delay_usd", "slippage_usd", "fee_usd", "loss_usd")
PAID = (
    "collateral_usd", "fund_usd", "haircut_usd", "socialised_usd", "nobody_usd",
    "surplus_to_fund_usd", "surplus_to_account_usd",
)  # fmt: skip


def rows(log, sql):
    relation = log.sql(sql)
    return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]


def amounts(row, names):
    return [row[name] for name in names]


def decimals(*texts):
    return [Decimal(text) for text in texts]


def test_an_execution_loses_from_bankruptcy_to_crossing_trigger_landing_and_fill(engine):
    first, second = rows(engine, "from execution_losses where bucket_id = 5 order by seq")

    prices = ("bankruptcy_price", "crossing_price", "mark_price", "landing_price")
    assert amounts(first, prices) == decimals("90", "90.5", "90.5", "90.5")
    assert amounts(first, LOSSES) == decimals("-2.5", "0", "0", "0.5", "0.452", "-1.548")
    # The second order meets what the first has left of the book.
    assert amounts(second, prices) == decimals("90", "90.5", "90.5", "90.36951757")
    assert amounts(second, LOSSES) == decimals("-2.5", "0", "0.65241215", "2.34758785", "0", "0.5")


def test_a_deleveraging_lands_at_the_mark(engine):
    (part,) = rows(engine, "from execution_losses where bucket_id = 7 and quantity = -2")

    # Closed at 95 while the mark stands at 90.5: who was deleveraged gave 4.5 a unit for it.
    assert (part["route"], part["landing_price"]) == ("deleveraged", Decimal("90.5"))
    assert amounts(part, LOSSES) == decimals("9", "0", "0", "-9", "0", "0")


def test_a_takeover_lands_at_the_mark_of_its_instant_and_a_short_has_the_sign_turned(keepers):
    ana, ben = rows(keepers, "from execution_losses order by seq")

    assert (ana["route"], ana["landing_price"]) == ("taken_over", Decimal("90.5"))
    assert amounts(ana, LOSSES) == decimals("-2.5", "0", "0", "2.2625", "0", "-0.2375")
    assert (ben["bankruptcy_price"], ben["landing_price"]) == (Decimal("1497.45"), Decimal(1490))
    assert amounts(ben, LOSSES) == decimals("-3.725", "0", "0", "3.725", "0", "0")


def test_a_story_tells_terms_and_payers_that_both_sum_to_the_loss(engine):
    fay, eve, ana, gus = rows(engine, "from liquidation_story order by liquidation_seq")

    assert (ana["class"], ana["closed"], ana["fill_price"]) == ("first_order", 10, Decimal("90.15"))
    assert amounts(ana, LOSSES) == decimals(
        "-5", "0", "0.65241215", "2.84758785", "0.452", "-1.048"
    )
    assert amounts(ana, PAID) == decimals("0", "0.5", "0", "0", "0", "-1.548", "0")
    assert (ana["loss_per_unit"], ana["cushion_per_unit"]) == (Decimal("-0.1048"), Decimal("-0.5"))
    assert amounts(eve, LOSSES) == decimals("18", "0", "0.87939768", "-13.37939768", "0", "5.5")
    assert amounts(eve, PAID) == decimals("0", "5.5", "0", "0", "0", "0", "0")
    assert amounts(fay, LOSSES) == decimals("65", "0", "5.6602343", "-25.6602343", "0", "45")
    assert amounts(fay, PAID) == decimals("0", "5.548", "0", "0", "39.452", "0", "0")
    for story in (ana, eve, fay, gus):
        assert sum(amounts(story, LOSSES[:-1])) == story["loss_usd"] == sum(amounts(story, PAID))
    # Due at 89, on the shadow a second later; nothing of it found a buyer.
    assert (gus["class"], gus["shadow_mark"], gus["outcome"]) == ("accelerated", Decimal(90), None)
    assert (gus["closed"], gus["fill_price"], gus["loss_usd"]) == (None, None, 0)
    assert f"{gus['crossed_at']:%S.%f}" == "11.900000"


def test_payers_have_names(engine):
    paid = engine.sql("select payer, owner, amount_usd from loss_payers order by all").fetchall()

    assert paid == [
        ("fund", "fund", Decimal("0.5")),
        ("fund", "fund", Decimal("5.5")),
        ("fund", "fund", Decimal("5.548")),
        ("nobody", None, Decimal("39.452")),
        ("surplus_to_fund", "fund", Decimal("-1.548")),
    ]


def test_the_curve_of_the_makers_is_marked_at_every_price_that_the_log_states(engine):
    curve = rows(
        engine, "from capital_curves where owner = 'makers' and event <> 'opening' order by seq"
    )

    story = [(row["event"], row["cash_usd"], row["equity_usd"]) for row in curve]
    # 17 ETH and a BTC are sold at the opening: at what they are worth, so nothing is carried in.
    assert story == [
        ("oracle_updated", 2700, 0),
        ("oracle_updated", 2700, 0),
        ("oracle_updated", 2700, Decimal("161.5")),
        ("order_filled", 2248, Decimal("164.21369892")),
        ("order_filled", Decimal("1798.5"), Decimal("171.15578376")),
        ("order_filled", 1709, Decimal("172.79228116")),
        ("order_filled", 1269, Decimal("181.5")),
        ("oracle_updated", 1269, 180),
        ("market_extremes", 1269, Decimal("180.03552089")),
        ("market_extremes", 1269, Decimal("180.03552089")),
    ]


def test_accounts_of_capital(engine, keepers):
    (makers,) = rows(engine, "from capital_accounts where kind = 'makers'")
    assert (makers["profit_usd"], makers["carried_in_usd"]) == (Decimal("180.03552089"), 0)
    assert (makers["lowest_equity_usd"], makers["highest_equity_usd"]) == (0, Decimal("181.5"))
    assert (makers["drawdown_usd"], makers["drawdown_share"]) == (Decimal("1.5"), 1.5 / 181.5)
    assert (makers["capital_usd"], makers["return_on_capital"]) == (2700, 180.03552089 / 2700)

    (fund,) = rows(engine, "from capital_accounts where kind = 'fund'")
    assert (fund["deposits_usd"], fund["equity_usd"], fund["profit_usd"]) == (10, 0, -10)
    # From the surplus of its first gain to nothing: all of it.
    assert (fund["drawdown_usd"], fund["drawdown_share"]) == (Decimal("11.548"), 1.0)
    assert (fund["capital_usd"], fund["return_on_capital"]) == (10, -1.0)

    (treasury,) = rows(engine, "from capital_accounts where kind = 'treasury'")
    assert (treasury["profit_usd"], treasury["capital_usd"]) == (Decimal("0.452"), None)

    (kit,) = rows(keepers, "from capital_accounts where owner = 'kit'")
    # Up to 1024.4625 at a mark of 95, down to 88.5 for the one unit left.
    assert (kit["profit_usd"], kit["drawdown_usd"]) == (Decimal("-1.6375"), Decimal("26.1"))
    assert kit["drawdown_share"] == 26.1 / 1024.4625
    assert (kit["highest_equity_usd"], kit["lowest_equity_usd"]) == (
        Decimal("1024.4625"),
        Decimal("998.3625"),
    )


def test_positions_carried_in_are_no_profit(tmp_path):
    story = engine_story()
    place = story.names["opened_5"]
    # Entered at 110 while the reference stands at 100: the makers had made 100 of it before.
    opened = story.rows[place][2]
    story.change("opened_5", price_e8=opened.price_e8 * 11 // 10, cost_uusd=1_100 * 10**6)
    with Log(write(tmp_path / "log.duckdb", story)) as log:
        (makers,) = rows(log, "from capital_accounts where kind = 'makers'")

    assert (makers["carried_in_usd"], makers["profit_usd"]) == (100, Decimal("180.03552089"))


@pytest.mark.parametrize("last", ["opened_5", "ana1_fill", "ana"])
def test_a_log_in_the_middle_of_things_tells_what_it_knows(last, tmp_path):
    story = engine_story()
    story.cut(story.names[last] + 1)
    with Log(write(tmp_path / "log.duckdb", story, status="running")) as log:
        accounts = rows(log, "from capital_accounts")
        told = rows(log, "from liquidation_story")
        paid = log.sql("select coalesce(sum(amount_usd), 0) from loss_payers").fetchall()

    assert [row["kind"] for row in accounts] == ["makers", "fund", "treasury"]
    assert sum(row["loss_usd"] for row in told) == paid[0][0]
