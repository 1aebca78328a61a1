"""The audit names every kind of fault, and finds nothing where there is none."""

import re
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from support.scenarios import cross_crash, load
from unit import handmade_log as hand
from unit.handmade_log import NONE, Story, e8, engine_story, keeper_story, tamper, us, usd, write
from unit.test_audit_of_wrong_traders import WRONG_TRADERS
from unit.test_replay_losses import FORGERIES

from liqsim.errors import LogError
from liqsim.eventlog.reader import open_log
from liqsim.events import (
    Executor,
    FailedCall,
    FundsDeposited,
    LiquidationOutcome,
    OracleUpdated,
    PositionOpened,
    Standing,
    UpdateReason,
)
from liqsim.runner import run_to_log
from replay.audit.findings import CODES
from replay.verify import verify

Forgery = Callable[[Story], object]


def codes(path: Path) -> set[str]:
    found = verify(path)
    told = " ".join(finding.message for finding in found)
    assert not re.search(r"uusd|uUSD|_e9|_e8|_e6", told), f"not as the columns have it: {told}"
    return {finding.code for finding in found}


def forged(tmp_path: Path, story: Story, forge: Forgery) -> Path:
    forge(story)
    return write(tmp_path / "forged.duckdb", story)


@pytest.mark.parametrize("story", [engine_story, keeper_story])
@pytest.mark.parametrize("status", ["sealed", "failed", "running"])
def test_nothing_is_found_in_a_true_log(tmp_path, story, status):
    assert verify(write(tmp_path / "true.duckdb", story(), status=status)) == []


@pytest.mark.parametrize("count", range(0, 55, 3))
def test_nothing_is_found_in_a_prefix_of_a_true_log(tmp_path, count):
    story = engine_story()
    story.cut(count)

    assert verify(write(tmp_path / "prefix.duckdb", story, status="running")) == []


# Forged: events changed, then every digest made to fit -----------------------------------------


def _swap(story: Story, first: str, second: str) -> None:
    a, b = story.names[first], story.names[second]
    story.rows[a], story.rows[b] = story.rows[b], story.rows[a]


def _settle_twice(story: Story) -> None:
    at_us, cause, event = story.rows[story.names["gus1_settled"]]
    nothing = attrs.evolve(event)
    story.rows.insert(story.names["unresolved"], (at_us, cause, nothing))


def _engine(story, keys):
    story.toml = story.toml.replace("[venue.engine]", f"[venue.engine]\n{keys}")


def _triggered_out_of_turn(s):
    """Have eve triggered before fay, who is weaker, and whatever follows from each stay hers."""
    eve, fay = s.names["eve"], s.names["fay"]
    s.rows[eve], s.rows[fay] = s.rows[fay], s.rows[eve]
    for name, seq in (("eve", fay), ("fay", eve)):
        for row in (f"{name}1", f"{name}2", f"{name}_ended"):
            s.change(row, liquidation_seq=seq)
        s.move(f"{name}1", cause=seq)


def _instead_of_the_crossing(s):
    """Have the shadow land twice, and nobody cross it."""
    at_us, _, _ = s.rows[s.names["gus_crossed"]]
    s.rows[s.names["gus_crossed"]] = (at_us, NONE, s["shadow"])


ENGINE = {
    # What is missing, or came in by another way.
    "unresolved forgotten": (
        lambda s: s.remove("unresolved", "unresolved"),
        {"unresolved_missing"},
    ),
    "fund given another sum": (
        lambda s: setattr(s, "toml", s.toml.replace("initial_usd = 10", "initial_usd = 11")),
        {"deposit"},
    ),
    "fund never given its sum": (
        lambda s: s.change("fund_deposit", owner_id=9),
        {"deposit", "limit_price", "fund_negative", "fund_balance", "draw"},
    ),
    "deposit after the start": (
        lambda s: s.insert("depth", 2, NONE, FundsDeposited(9, 1)),
        {"deposit", "trader"},
    ),
    "second opening of a bucket": (
        lambda s: s.insert(
            "first_mark", 0, NONE, PositionOpened(9, 1, e8(-1), e8(1000), usd(-1000))
        ),
        {"opening"},
    ),
    "first update twice": (
        lambda s: s.change("mark", reason=UpdateReason.FIRST),
        {"first_update"},
    ),
    "more reports than sources": (
        lambda s: s.change("mark", reports_count=2),
        {"reports_count"},
    ),
    "limit too tight": (lambda s: s.change("ana1", limit_price_e8=e8("88.01")), {"limit_price"}),
    "draw left out": (
        lambda s: s.insert("ana2_draw", "7.2", s.names["mark"], s["depth"]),
        {"draw", "cause_kind", "depth_schedule"},
    ),
    "more filled than there is": (
        lambda s: setattr(s, "toml", s.toml.replace("reach = 0.25", "reach = 0.02", 1)),
        {"fill_depth"},
    ),
    "market price of a fill": (
        lambda s: s.change("ana2_fill", market_price_e8=e8("89.62060302")),
        {"market_price"},
    ),
    "price that an order meets": (
        lambda s: s.change("ana2_fill", arrival_price_e8=e8("90.36951827")),
        {"market_price"},
    ),
    "lowest at another instant": (
        lambda s: s.change("eth_extremes", lowest_market_at_us=us(8)),
        {"extremes"},
    ),
    "lower than it ever was": (
        lambda s: s.change("eth_extremes", lowest_market_e8=e8(87)),
        {"extremes"},
    ),
    # A wrong result of an arithmetic rule.
    "a fill's cost": (
        lambda s: s.change("ana1_fill", cost_uusd=usd("-452.1")),
        {"cost", "surplus"},
    ),
    "an entry's cost": (lambda s: s.change("opened_10", cost_uusd=usd("100") + 1), {"cost"}),
    "margin": (lambda s: s.change("ana", margin_uusd=usd("-4.04")), {"margin"}),
    "maintenance": (lambda s: s.change("ana", maintenance_uusd=usd("9.04")), {"margin"}),
    "bankruptcy price": (
        lambda s: s.change("ana", bankruptcy_price_e8=e8("90.00000001")),
        {"bankruptcy_price"},
    ),
    "position": (lambda s: s.change("ana", quantity_e8=e8(11)), {"position"}),
    "parts too few": (
        lambda s: s.change("gus1_settled", cancelled_e8=e8("0.4")),
        {"tranche_parts"},
    ),
    "fund's balance": (lambda s: s.change("ana2_draw", balance_uusd=usd(11)), {"fund_balance"}),
    "parts swapped": (
        lambda s: s.change("eve2_settled", filled_e8=0, cancelled_e8=e8(1)),
        {"tranche_parts"},
    ),
    "cash at the end": (lambda s: s.change("fay_ended", cash_uusd=usd(-39)), {"ended_state"}),
    "units at the end": (lambda s: s.change("ana_ended", quantity_e8=1), {"ended_state"}),
    "outcome": (
        lambda s: s.change("ana_ended", outcome=LiquidationOutcome.RESTORED),
        {"ended_state"},
    ),
    "bad debt": (lambda s: s.change("bad_debt", amount_uusd=usd(39)), {"bad_debt"}),
    "unresolved position": (
        lambda s: s.change("unresolved", quantity_e8=e8("0.5")),
        {"unresolved_state"},
    ),
    # A rule of the venue broken.
    "trigger's mark": (
        lambda s: s.change("gus", mark_price_e8=e8("88.9")),
        {"mark"},
    ),
    "tranche's mark": (lambda s: s.change("ana1", mark_price_e8=e8("90.4")), {"mark"}),
    "limit too loose": (lambda s: s.change("ana1", limit_price_e8=e8("87.99")), {"limit_price"}),
    "sold beyond the limit": (
        lambda s: s.change("eve2", limit_price_e8=e8("89.6")),
        {"limit_crossed", "limit_price"},
    ),
    "slice above the share": (
        lambda s: (
            s.change("gus1", quantity_e8=e8("-0.6")),
            s.change("gus1_settled", cancelled_e8=e8("0.6")),
        ),
        {"tranche_size"},
    ),
    "slice of the wrong sign": (
        lambda s: s.change("gus1", quantity_e8=e8("0.5"), limit_price_e8=e8(89)),
        {"tranche_size", "limit_price"},
    ),
    "tranche number": (lambda s: s.change("ana2", tranche_number=3), {"tranche_number"}),
    "tranche before the reaction": (
        lambda s: (
            s.move("gus1", seconds="12.1"),
            s.move("gus1_settled", seconds="12.1"),
        ),
        {"tranche_spacing"},
    ),
    "tranche on an old mark": (
        lambda s: (
            s.move("gus1", seconds="19.3"),
            s.move("gus1_settled", seconds="19.3"),
        ),
        {"mark_stale"},
    ),
    "executor": (lambda s: s.change("ana1", executor=Executor.KEEPERS), {"executor"}),
    # An engine without limits serves fay last, who was triggered first.
    "order out of turn": (
        lambda s: _engine(s, "outages = [[2020-03-12T00:00:18Z, 2020-03-12T00:00:19Z]]"),
        {"engine_order"},
    ),
    "order in an outage": (
        lambda s: _engine(s, "outages = [[2020-03-12T00:00:12Z, 2020-03-12T00:00:13Z]]"),
        {"engine_outage", "engine_order"},
    ),
    "orders at once": (
        lambda s: _engine(s, "orders_per_second = 5"),
        {"engine_rate", "engine_order"},
    ),
    "orders at once in an overload": (
        lambda s: _engine(
            s,
            "overloads = [{ from = 2020-03-12T00:00:06Z, to = 2020-03-12T00:00:07Z, "
            "orders_per_second = 1 }]",
        ),
        {"engine_rate", "engine_order"},
    ),
    "dust left behind": (
        lambda s: setattr(s, "toml", s.toml.replace("max_usd", "min_usd = 44.6\nmax_usd")),
        {"tranche_size"},
    ),
    "fee too high": (
        lambda s: (
            s.change("ana1_fill", fee_uusd=usd("0.452001")),
            s.change("surplus", amount_uusd=usd("1.547999")),
            s.change("ana2_draw", balance_uusd=usd("11.047999")),
            s.change("eve2_draw", balance_uusd=usd("5.547999")),
            s.change("fay2_draw", amount_uusd=usd("5.547999")),
            s.change("bad_debt", amount_uusd=usd("39.452001")),
            s.change("fay_ended", cash_uusd=usd("-39.452001")),
            s.change("eve1", limit_price_e8=e8(90)),
            s.change("fay1", limit_price_e8=e8(95)),
            s.change("ana2", limit_price_e8=e8(88)),
            s.change("eve2", limit_price_e8=e8("89.5")),
            s.change("fay2", limit_price_e8=e8(96)),
        ),
        {"fee", "limit_price"},
    ),
    "order smaller than its fill": (
        lambda s: s.change("ana1_fill", ordered_e8=e8("-4.9")),
        {"fill_size"},
    ),
    "surplus that is the trader's": (
        lambda s: setattr(s, "toml", s.toml.replace('to = "fund"', 'to = "trader"')),
        {"surplus"},
    ),
    "deleveraging price": (
        lambda s: (
            s.change("eve2_adl", price_e8=e8(96), cost_uusd=usd(-96)),
            s.change("eve_ended", cash_uusd=usd(1)),
        ),
        {"deleverage_price"},
    ),
    "deleveraging rank": (
        lambda s: s.change("fay1_adl", rank_number=2),
        {"deleverage_rank"},
    ),
    "deleveraging at a venue without": (
        lambda s: setattr(s, "toml", s.toml.replace('"ranked"', '"none"')),
        {"deleverage_side"},
    ),
    "trigger that was not due": (
        lambda s: (
            s.change("deposit_10", amount_uusd=usd("12")),
            s.change(
                "gus",
                margin_uusd=usd("0.11"),
                start_margin_uusd=usd("0.11"),
                shadow_margin_uusd=usd("1.1"),
                bankruptcy_price_e8=e8(88),
                standing=Standing.RULE_INDUCED,
            ),
            _instead_of_the_crossing(s),
        ),
        {"not_due", "limit_price", "lifecycle"},
    ),
    "second trigger of a bucket": (
        lambda s: s.insert("shadow", "11.2", s.names["low_mark"], s["gus"]),
        {"lifecycle", "crossing"},
    ),
    "settled twice": (_settle_twice, {"lifecycle"}),
    "deposit to nobody": (
        lambda s: s.change("deposit_9", owner_id=99),
        {"owner_unknown", "trigger_missing", "due_unserved", "crossing"},
    ),
    "bucket of another market": (
        lambda s: s.change("unresolved", market_id=1),
        {"owner_unknown", "unresolved_state"},
    ),
    # Prices.
    "reference of a fill": (
        lambda s: s.change("ana1_fill", reference_price_e8=e8(90)),
        {"fill_reference", "fill_price", "market_price"},
    ),
    "lowest reference": (
        lambda s: s.change("eth_extremes", lowest_reference_e8=e8(88)),
        {"extremes"},
    ),
    "lowest market above a fill": (
        lambda s: s.change("eth_extremes", lowest_market_e8=e8(88)),
        {"extremes"},
    ),
    "market moved without a fill": (
        lambda s: s.change("btc_extremes", lowest_market_e8=e8(999)),
        {"extremes"},
    ),
    "extremes outside the run": (
        lambda s: s.change("eth_extremes", lowest_market_at_us=us(20)),
        {"extremes"},
    ),
    "due and not triggered": (
        lambda s: s.remove("gus", "unresolved"),
        {"trigger_missing", "due_unserved"},
    ),
    "triggered out of turn": (_triggered_out_of_turn, {"trigger_order"}),
    "no extremes": (lambda s: s.rows.pop(), {"extremes"}),
    "update sampled after it was published": (
        lambda s: s.change(
            "low_mark",
            sampled_at_us=us("11.15"),
            shows_at_us=us("11.15"),
            mark_shows_at_us=us("11.15"),
        ),
        {"oracle_times", "displacement"},
    ),
    # Causes and references.
    "cause in the future": (
        lambda s: s.move("surplus", cause=len(s.rows) - 1),
        {"cause_order", "surplus"},
    ),
    "cause is itself": (
        lambda s: s.move("surplus", cause=s.names["surplus"]),
        {"cause_order", "surplus"},
    ),
    "cause of another kind": (
        lambda s: s.move("surplus", cause=s.names["mark"]),
        {"cause_kind", "surplus"},
    ),
    "cause of another tranche": (
        lambda s: s.move("eve2_draw", cause=s.names["ana2_fill"]),
        {"cause_kind", "draw"},
    ),
    "cause of another liquidation": (
        lambda s: s.move("eve2", cause=s.names["ana1_settled"]),
        {"cause_kind"},
    ),
    "no cause": (lambda s: s.move("ana2_fill", cause=NONE), {"cause_kind"}),
    "trigger by an older update": (
        lambda s: s.move("gus", cause=s.names["mark"]),
        {"cause_kind"},
    ),
    "update by a fill after its sample": (
        lambda s: s.change(
            "low_mark", sampled_at_us=us(7), shows_at_us=us(7), mark_shows_at_us=us(7)
        ),
        {"cause_fill", "displacement"},
    ),
    "update by a fill of the very instant of its sample": (
        lambda s: s.change(
            "low_mark",
            sampled_at_us=s.rows[s.names["fay2_fill"]][0],
            shows_at_us=s.rows[s.names["fay2_fill"]][0],
            mark_shows_at_us=s.rows[s.names["fay2_fill"]][0],
        ),
        {"cause_fill", "displacement"},
    ),
    "update by a fill that its sources have yet to catch up with": (
        lambda s: (
            setattr(s, "toml", s.toml.replace("{}", '{ catch_up = "4s" }', 1)),
            s.change("first_mark", shows_at_us=0, mark_shows_at_us=0),
            s.change("mark", shows_at_us=us(1), mark_shows_at_us=us(1)),
            s.change("low_mark", shows_at_us=us(7), mark_shows_at_us=us(7)),
        ),
        {"cause_fill", "displacement"},
    ),
    "update that shows more than its sources have caught up with": (
        lambda s: s.change("mark", shows_at_us=us("5.05"), mark_shows_at_us=us("5.05")),
        {"oracle_shows"},
    ),
    "update that shows less than its sources have caught up with": (
        lambda s: s.change("low_mark", shows_at_us=us(8), mark_shows_at_us=us(8)),
        {"oracle_shows", "displacement"},
    ),
    "update that shows displacement although its source passes none through": (
        lambda s: (
            setattr(s, "toml", s.toml.replace("{}", "{ pass_through = 0 }", 1)),
            s.change("low_mark", shows_at_us=0, mark_shows_at_us=0),
            s.move("low_mark", cause=NONE),
        ),
        {"oracle_shows", "displacement"},
    ),
    "update by a fill that a newer one has followed": (
        lambda s: s.move("low_mark", cause=s.names["eve2_fill"]),
        {"cause_fill"},
    ),
    # The shadow.
    "shadow of a mark that nobody has displaced": (
        lambda s: (
            s.change("mark", shadow_price_e8=e8(91), shadow_mark_e8=e8(91)),
            s.change("ana", shadow_mark_e8=e8(91), shadow_margin_uusd=usd("0.9")),
            s.change("eve", shadow_mark_e8=e8(91), shadow_margin_uusd=usd("-19.64")),
            s.change("fay", shadow_mark_e8=e8(91), shadow_margin_uusd=usd("-69.1")),
            s.change("ana", standing=Standing.OPEN),
        ),
        {"shadow", "crossing"},
    ),
    "shadow that moves before anybody trades": (
        lambda s: s.insert(
            "mark", 5, NONE, hand.shadow_set(e8(99), UpdateReason.DEVIATION, us(4), us(4))
        ),
        {"shadow"},
    ),
    "shadow published before it was sampled": (
        lambda s: s.change("shadow", published_at_us=us(11)),
        {"oracle_times"},
    ),
    "trigger's shadow": (lambda s: s.change("gus", shadow_mark_e8=e8(91)), {"shadow"}),
    "shadow margin": (lambda s: s.change("gus", shadow_margin_uusd=usd("0.59")), {"margin"}),
    "margin under the rules of the start": (
        lambda s: s.change("gus", start_margin_uusd=usd("-0.38")),
        {"margin"},
    ),
    "margin lost to other assets": (lambda s: s.change("gus", other_assets_uusd=1), {"margin"}),
    "displacement in a mark": (
        lambda s: s.change("gus", forced_displacement_e9=-9_032_600),
        {"displacement"},
    ),
    "displacement by somebody else": (
        lambda s: s.change("ana", hedging_displacement_e9=3),
        {"displacement"},
    ),
    "first order that is none": (
        lambda s: s.change("gus", standing=Standing.FIRST_ORDER),
        {"standing"},
    ),
    "induced by no rule": (
        lambda s: s.change("ana", standing=Standing.RULE_INDUCED),
        {"standing"},
    ),
    "crossing forgotten": (_instead_of_the_crossing, {"crossing"}),
    "crossing twice": (
        lambda s: s.insert("gus1", "11.9", s.names["shadow"], s["gus_crossed"]),
        {"crossing"},
    ),
    "crossing of a trigger of first order": (
        lambda s: s.change("gus_crossed", liquidation_seq=s.names["ana"]),
        {"crossing", "reference_kind"},
    ),
    "crossing by a bucket in liquidation": (
        lambda s: s.change("gus_crossed", liquidation_seq=NONE),
        {"crossing"},
    ),
    "crossing's margin": (
        lambda s: s.change("gus_crossed", shadow_margin_uusd=usd("-0.4")),
        {"margin"},
    ),
    "crossing's shadow": (lambda s: s.change("gus_crossed", shadow_mark_e8=e8(88)), {"shadow"}),
    "crossing that is none": (
        lambda s: (
            s.change("shadow", price_e8=e8(90), shadow_mark_e8=e8(90)),
            s.change("gus_crossed", shadow_mark_e8=e8(90), shadow_margin_uusd=usd("0.6")),
        ),
        {"crossing"},
    ),
    "crossing by an older shadow": (
        lambda s: s.move("gus_crossed", cause=s.names["low_mark"]),
        {"cause_kind"},
    ),
    "maintenance changed otherwise": (
        lambda s: s.change("doubled", multiplier_e6=3_000_000),
        {"maintenance_schedule"},
    ),
    "maintenance never changed": (
        lambda s: setattr(s, "toml", s.toml.replace("T00:00:01Z, m", "T00:00:19Z, m")),
        {"maintenance_schedule"},
    ),
    "heartbeat before its time": (
        lambda s: setattr(s, "toml", s.toml.replace('heartbeat = "5s"', 'heartbeat = "7s"', 1)),
        {"heartbeat_early"},
    ),
    "deposit with a cause": (lambda s: s.move("deposit_9", cause=0), {"cause_kind"}),
    "tranche that is another bucket's": (
        lambda s: s.change("bad_debt", tranche_seq=s.names["eve2"]),
        {"reference_kind", "cause_kind"},
    ),
    "liquidation that is none": (
        lambda s: s.change("ana_ended", liquidation_seq=s.names["mark"]),
        {"reference_kind", "cause_kind", "unresolved_missing"},
    ),
    # Times and values.
    "time running backwards": (
        lambda s: s.move("depth", seconds="5.3"),
        {"time_order", "depth_schedule"},
    ),
    "time after the end": (lambda s: s.move("btc_extremes", seconds=20), {"time_range"}),
    "value out of range": (
        lambda s: s.change("depth", multiplier_e6=0),
        {
            "value_range",
            "depth_schedule",
            "market_price",
            "fill_price",
            "extremes",
            "displacement",
        },
    ),
    "balance out of range": (
        lambda s: [s.insert("opened_5", 0, NONE, FundsDeposited(3, 10**18 - 1)) for _ in "12"],
        {"balance_bound", "deposit"},
    ),
    "fund below zero": (
        lambda s: s.change("fay2_draw", amount_uusd=usd("5.549")),
        # What the fund overpaid is missing from the bad debt.
        {"fund_negative", "fund_balance", "bad_debt", "ended_state", "draw"},
    ),
    "deleveraged an opposite account": (
        lambda s: s.change("eve2_adl", counterparty_id=9),
        # The account that should have been stands in the queue when the last half is sold.
        {"deleverage_side", "deleverage_rank", "owner_unknown", "limit_crossed"},
    ),
}


@pytest.mark.parametrize(("forge", "expected"), ENGINE.values(), ids=ENGINE)
def test_a_forged_engine_log_is_found_out(tmp_path, forge, expected):
    path = forged(tmp_path, engine_story(), forge)

    assert expected == codes(path)


def _bot(story, keys):
    story.toml = story.toml.replace("kit = { ", f"kit = {{ {keys}, ")


KEEPERS = {
    "call cost": (
        lambda s: s.change("failed", call_cost_uusd=usd("0.4")),
        {"call_cost"},
    ),
    "race lost to nobody": (
        lambda s: s.change("failed", reason=FailedCall.RESTORED),
        {"call_failed"},
    ),
    "surplus too small": (
        lambda s: s.change("surplus", amount_uusd=usd("0.2374")),
        {"surplus", "ended_state", "limit_price", "margin"},
    ),
    "purse overdrawn": (
        lambda s: s.change("deposit_5", amount_uusd=usd(400)),
        {"keeper_negative", "keeper_capital", "deposit"},
    ),
    "not at the discount": (
        lambda s: (
            s.change("takeover", price_e8=e8("90.04"), cost_uusd=usd("-450.2")),
            s.change("surplus", amount_uusd=usd("0.2")),
        ),
        {"takeover_price", "limit_price"},
    ),
    "call landed before it was sent": (
        lambda s: s.change("failed", sent_at_us=us("5.7")),
        {"lifecycle"},
    ),
    "more sold than held": (
        lambda s: s.change("sold", ordered_e8=e8(-6), quantity_e8=e8(-6), cost_uusd=usd("-540.6")),
        {"fill_size", "extremes", "market_price", "resale"},
    ),
    "sold by another keeper": (
        lambda s: s.change("bought", keeper_id=5),
        {"cause_kind", "fill_size"},
    ),
    "not restored": (
        lambda s: s.change(
            "rise",
            price_e8=e8("90.5"),
            mark_price_e8=e8("90.5"),
            shadow_price_e8=e8("90.5"),
            shadow_mark_e8=e8("90.5"),
        ),
        {"ended_state", "due_unserved"},
    ),
    "takeover fee": (
        lambda s: (
            s.change("takeover", fee_uusd=usd("0.4503")),
            s.change("ana_ended", cash_uusd=usd("-450.4503")),
        ),
        {"fee", "surplus", "margin"},
    ),
    "sold before its time": (
        lambda s: setattr(
            s, "toml", s.toml.replace('resale_delay = "1s"', 'resale_delay = "1001ms"', 1)
        ),
        {"resale"},
    ),
    "sold in one": (
        lambda s: setattr(
            s,
            "toml",
            s.toml.replace('resale_delay = "1s"', 'resale_delay = "1s", resale_parts = 2', 1),
        ),
        {"resale"},
    ),
    "call sent before the offer": (
        lambda s: s.change("takeover", sent_at_us=us("5.1")),
        {"lifecycle"},
    ),
    "call in its downtime": (
        lambda s: _bot(s, "downtime = [[2020-03-12T00:00:05Z, 2020-03-12T00:00:05.4Z]]"),
        {"keeper_down"},
    ),
    "sold in its downtime": (
        lambda s: _bot(s, "downtime = [[2020-03-12T00:00:06Z, 2020-03-12T00:00:07Z]]"),
        {"keeper_down"},
    ),
    # kit takes 5 over at 90.0475 and sees 90.5 above: no more than 2.26 less the call.
    "call for too little": (lambda s: _bot(s, "min_profit_usd = 2"), {"keeper_profit"}),
    "takeover of another size": (
        lambda s: (
            s.change("takeover", quantity_e8=e8(-4), cost_uusd=usd("-360.19")),
            s.change("ana1_settled", taken_over_e8=e8(4), cancelled_e8=e8(1)),
        ),
        {"offer", "surplus", "resale", "ended_state", "margin"},
    ),
    "keeper that is none": (lambda s: s.change("failed", keeper_id=99), {"owner_unknown"}),
    "higher market than recorded": (
        lambda s: s.change("bought", market_price_e8=e8(1003)),
        {"extremes", "market_price"},
    ),
}


@pytest.mark.parametrize(("forge", "expected"), KEEPERS.values(), ids=KEEPERS)
def test_a_forged_keeper_log_is_found_out(tmp_path, forge, expected):
    path = forged(tmp_path, keeper_story(), forge)

    assert expected == codes(path)


# Tampered: rows changed, digests as they were --------------------------------------------------

LAST = len(engine_story().rows) - 1
TAMPERED = {
    "value changed": (
        "update order_filled set market_price = market_price + 0.01",
        {"batch_digest", "market_price"},
    ),
    "cost changed": (
        "update position_opened set cost_usd = 999 where bucket_id = 5",
        {"batch_digest", "cost"},
    ),
    "enum changed": (
        "update oracle_updated set reason = 'heartbeat' where reason = 'first'",
        {"batch_digest", "first_update"},
    ),
    "enum unknown": (
        "update oracle_updated set reason = 'whim' where reason = 'heartbeat'",
        {"batch_digest", "value_range", "first_update"},
    ),
    "value emptied": (
        "update depth_changed set half_life_us = null",
        {
            "batch_digest",
            "value_range",
            "fill_price",
            "depth_schedule",
            "market_price",
            "extremes",
            "displacement",
        },
    ),
    "time changed": (
        "update depth_changed set sim_time = sim_time + interval 1 second",
        {"batch_digest", "depth_schedule"},
    ),
    "row dropped": (
        "delete from depth_changed",
        {
            "batch_digest",
            "seq_gap",
            "event_count",
            "fill_price",
            "depth_schedule",
            "market_price",
            "extremes",
            "displacement",
        },
    ),
    "last row dropped": (
        f"delete from market_extremes where seq = {LAST}",
        {"batch_digest", "batch_range", "event_count", "extremes"},
    ),
    "rows swapped": (
        "update funds_deposited set seq = 5 - seq where seq in (2, 3)",
        {"batch_digest"},
    ),
    "row doubled": (
        "insert into depth_changed from depth_changed",
        {"batch_digest", "seq_duplicate", "event_count", "depth_schedule"},
    ),
    "row without a number": (
        "update depth_changed set seq = null",
        {
            "batch_digest",
            "seq_gap",
            "event_count",
            "value_range",
            "fill_price",
            "depth_schedule",
            "market_price",
            "extremes",
            "displacement",
        },
    ),
    "number far away": (
        f"update market_extremes set seq = {10**15} where seq = {LAST}",
        {"batch_digest", "batch_range", "seq_gap"},
    ),
    "negative number": (
        "update depth_changed set seq = -5",
        {"batch_digest", "seq_gap", "value_range", "time_order"},
    ),
    "cause re-pointed": (
        "update surplus_routed set cause_seq = 0",
        {"batch_digest", "cause_kind", "surplus"},
    ),
    "cause forgotten": (
        "update surplus_routed set cause_seq = null",
        {"batch_digest", "cause_kind", "surplus"},
    ),
    "seed": ("update runs set seed = 8", {"manifest"}),
    "name": ("update runs set scenario = 'other'", {"manifest"}),
    "run_id": ("update runs set run_id = 'other'", {"manifest"}),
    "path mode": ("update runs set path_mode = 'purged'", {"manifest"}),
    "end": ("update runs set end_at = end_at - interval 1 microsecond", {"manifest", "time_range"}),
    "status": ("update runs set status = 'running'", {"manifest"}),
    "status failed": ("update runs set status = 'failed'", {"manifest"}),
    "status unknown": ("update runs set status = 'fine'", {"manifest"}),
    "manifest emptied": ("update runs set path_mode = null", {"manifest"}),
    "event count": ("update runs set event_count = 7", {"event_count"}),
    "digest": ("update runs set digest = 'ab'", {"final_digest"}),
    "genesis": ("update runs set genesis_digest = 'ab'", {"genesis_digest", "batch_digest"}),
    "reference digest": (
        "update runs set reference_digest = 'ab'",
        {"reference_digest", "genesis_digest"},
    ),
    "scenario": (
        "update runs set scenario_toml = replace(scenario_toml, 'a fact', 'a guess') || '#'",
        {"genesis_digest"},
    ),
    "scenario unreadable": (
        "update runs set scenario_toml = 'not = toml = at all'",
        {"genesis_digest", "manifest"},
    ),
    "scenario without a venue": (
        "update runs set scenario_toml = replace(scenario_toml, '[venue]', '[menu]')",
        {"genesis_digest", "manifest"},
    ),
    "owner": ("update owners set name = 'eva' where name = 'eve'", {"genesis_digest"}),
    "cohort": ("update owners set cohort = null where name = 'eve'", {"genesis_digest"}),
    "owner dropped": (
        "delete from owners where name = 'dan'",
        {"genesis_digest", "owner_unknown"},
    ),
    "asset": ("update assets set name = 'DOGE' where asset_id = 2", {"genesis_digest", "manifest"}),
    "reference price": (
        (
            "update reference_prices set price = 99 where market_id = 0 "
            "and sim_time = timestamp '2020-03-12 00:00:03'"
        ),
        {"reference_digest"},
    ),
    "reference time": (
        (
            "update reference_prices set sim_time = sim_time + interval 1 microsecond "
            "where sim_time = timestamp '2020-03-12 00:00:03'"
        ),
        {"reference_digest"},
    ),
    "reference dropped": (
        "delete from reference_prices where sim_time >= timestamp '2020-03-12 00:00:19'",
        {"reference_digest"},
    ),
    "batch digest": ("update batches set digest = 'ab'", {"batch_digest", "final_digest"}),
    "batch dropped": ("delete from batches", {"batch_range", "final_digest"}),
    "batch number": ("update batches set batch_number = 1", {"batch_range"}),
    "batch ends early": (
        "update batches set last_seq = last_seq - 1",
        {"batch_range", "batch_digest"},
    ),
    "fee posted to another": (
        (
            "create or replace view cash_postings as "
            "select seq, case owner_id when 3 then 4 else owner_id end as owner_id, "
            "asset_id, amount "
            "from cash_postings_as_they_were"
        ),
        {"posting_move"},
    ),
    "posting forgotten": (
        (
            "create or replace view cash_postings as "
            "from cash_postings_as_they_were where owner_id <> 3"
        ),
        {"posting_sum"},
    ),
    "view of all postings": (
        "create or replace view postings as select * from postings_as_they_were where seq <> 1",
        {"posting_view"},
    ),
}


@pytest.mark.parametrize(("statement", "expected"), TAMPERED.values(), ids=TAMPERED)
def test_a_tampered_log_is_found_out(tmp_path, statement, expected):
    path = write(tmp_path / "tampered.duckdb", engine_story())
    hand.keep_views(path, "cash_postings", "postings")
    tamper(path, statement)

    assert expected == codes(path)


@pytest.mark.parametrize(
    ("kept", "claimed"),
    [
        ("largest_loss", "largest_release"),
        ("largest_loss", "most_liquid"),
        ("most_liquid", "largest_loss"),
    ],
)
def test_a_tranche_from_another_leg_than_the_rule_says_is_found_out(tmp_path, kept, claimed):
    path = tmp_path / "legs.duckdb"
    run_to_log(load(cross_crash(venue__cross__first_leg=kept)), path)
    assert verify(path) == []

    tamper(path, f"update runs set scenario_toml = replace(scenario_toml, '{kept}', '{claimed}')")

    assert codes(path) >= {"leg_order", "genesis_digest"}


def test_every_code_is_provoked_by_some_test():
    tables = (ENGINE, KEEPERS, TAMPERED)
    provoked = {"leg_order"}.union(
        *(expected for table in tables for _, expected in table.values())
    )
    provoked |= {code for _, code in FORGERIES.values()}
    provoked |= {"mark_rule", "book_price"}  # It takes a mark rule: test_audit_of_marks.py.
    provoked.add("desk")  # It takes a desk: test_desk.py.
    provoked.add("initial_margin")  # A market has to ask for it: test_initial_margin.py.
    provoked.add("funding")  # Nobody pays any in the stories: test_funding.py.
    provoked |= {"decision", "leverage_fee"}  # It takes mitigations: test_margin_scaling.py.
    provoked.add("coins")  # Nobody has any in the stories: test_audit_of_coins.py.
    provoked |= {code for _, _, codes in WRONG_TRADERS.values() for code in codes}
    provoked.add("purged_reference")  # It takes a purged run: tests/cli/test_baseline.py.
    provoked.add("decision")  # It takes a mitigation: test_audit_of_wrong_judges.py.
    provoked.add("halted")  # It takes a halt: test_halts.py.
    provoked |= {"slashing", "backstop", "pool"}  # They take a purse: test_audit_of_absorbers.py.
    provoked |= {"penalty_routing", "keeper_reward"}  # Likewise: test_audit_of_incentives.py.
    provoked |= {"hold", "crossed"}  # They take both sides: test_crossing.py.
    provoked.add("auction")  # It takes one: test_batch_auction.py.
    provoked.add("reduction")  # It takes a model: test_reductions.py.
    provoked.add("coin_haircut")  # It takes coins: test_coin_haircuts.py.

    assert set(CODES) == provoked


@pytest.fixture(scope="module")
def long_log(tmp_path_factory) -> Path:
    """A log of one full batch and a short one."""
    story = engine_story()
    dan = story.owner_id("dan")
    story.rows[:0] = [(0, NONE, FundsDeposited(dan, 1))] * hand.BATCH
    by = hand.BATCH
    for seq, (at_us, cause, event) in enumerate(story.rows[by:], by):
        names = (n for n in ("tranche_seq", "liquidation_seq") if hasattr(event, n))
        moved = attrs.evolve(event, **{name: getattr(event, name) + by for name in names})
        story.rows[seq] = (at_us, cause + by if cause >= 0 else cause, moved)
    # They are taken from dan's own deposit, so that the story stays what it was.
    own = by + story.names[f"deposit_{dan}"]
    at_us, cause, first = story.rows[own]
    story.rows[own] = (at_us, cause, attrs.evolve(first, amount_uusd=first.amount_uusd - by))
    return write(tmp_path_factory.mktemp("long") / "long.duckdb", story)


def test_a_bulk_may_fill_a_chunk_between_two_events_of_another_kind(tmp_path, monkeypatch):
    monkeypatch.setattr("liqsim.eventlog.reader._CHUNK", 10)
    story = engine_story()
    dan, mark = story.owner_id("dan"), story.rows[story.names["first_mark"]]
    bulk = [(mark[0], NONE, FundsDeposited(dan, 1))] * 20
    story.rows[:] = [mark, *bulk, mark]

    with open_log(write(tmp_path / "bulk.duckdb", story, status="failed")) as log:
        kinds = [log.chunk(low, high).keys() for low, high in log.chunks]

    assert kinds == [
        {FundsDeposited, OracleUpdated},
        {FundsDeposited},
        {FundsDeposited, OracleUpdated},
    ]


def test_nothing_is_found_in_a_log_of_two_batches(long_log):
    assert verify(long_log) == []


def test_a_change_is_reported_in_its_batch_only(tmp_path, long_log):
    path = tmp_path / "copy.duckdb"
    path.write_bytes(long_log.read_bytes())
    tamper(path, f"update funds_deposited set owner_id = 3 where seq = {hand.BATCH - 1}")

    found = [finding for finding in verify(path) if finding.code == "batch_digest"]

    assert [finding.seq for finding in found] == [0]


def test_a_batch_of_another_size_is_found(tmp_path, long_log):
    path = tmp_path / "copy.duckdb"
    path.write_bytes(long_log.read_bytes())
    tamper(
        path,
        "update batches set last_seq = last_seq - 1 where batch_number = 0",
        "update batches set first_seq = first_seq - 1 where batch_number = 1",
    )

    assert {"batch_range", "batch_digest"} == codes(path)


def test_all_findings_are_listed_and_say_what_and_where(tmp_path):
    story = engine_story()
    story.change("ana", margin_uusd=0)
    story.change("eve", margin_uusd=0)
    story.change("bad_debt", amount_uusd=1)

    found = verify(write(tmp_path / "three.duckdb", story))

    at = story.names
    assert [(at["eve"], "margin"), (at["ana"], "margin")] == [
        (finding.seq, finding.code) for finding in found if finding.code == "margin"
    ]
    assert "margin_usd is 0.000000, must be -4.050000" in [finding.message for finding in found]
    assert {"margin", "bad_debt"} == {finding.code for finding in found}


def test_what_cannot_be_read_is_an_error_and_no_finding(tmp_path):
    path = write(tmp_path / "log.duckdb", engine_story())
    tamper(path, "drop table depth_changed cascade")

    with pytest.raises(LogError, match="depth_changed"):
        verify(path)
