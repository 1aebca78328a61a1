"""
Accounts that act of their own will, with every balance worked out by hand.

Amounts in the comments are USD. The account is long 10 at 100 with a collateral of 100: cash
100 - 10 x 100 = -900. Maintenance is 1 %; it is near at 2 %, once -900 + 10 P - 0.2 P < 0, that is
below 91.837, and due below 90.909. Marks land every second; orders get the reference price.
"""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import attrs
from support.scenarios import Raw, at, changed, constant, events_of, knots, market, small_scenario

from liqsim.events import (
    FundsDeposited,
    FundsWithdrawn,
    LiquidationTriggered,
    TradeFilled,
    TradeReason,
)

ACCOUNT = 5


def falling_to(price: str, **traders: Any) -> Raw:
    """Return the account in a market at 100 that falls in its tenth second, and stays there."""
    path = knots((0, 100), (9, 100), (10, price), (60, price))
    raw = small_scenario(markets__ETH=market(path=path), venue__fees={"taker": Decimal("0.001")})
    table = {"reaction": constant("5s")} | traders
    return changed(raw, {"population__cohorts__longs__traders": table})


def near(**share: int) -> Raw:
    """Return what all accounts do near their liquidation."""
    return {"alert_buffer": 1, "top_up_to": 1} | share


def acts(raw: Raw) -> list[tuple[float, Any]]:
    """Return when accounts acted or were liquidated, in seconds, and the events."""
    kinds = FundsDeposited, FundsWithdrawn, TradeFilled, LiquidationTriggered
    return [
        (entry.sim_time_us / 10**6, entry.event)
        for entry in events_of(raw)
        if isinstance(entry.event, kinds) and entry.sim_time_us
    ]


def test_a_top_up_restores_the_margin_to_the_cent():
    # At 91 and 2 %: -900 + 910 - 18.20 = -8.20.
    assert acts(falling_to("91", near=near(top_up_share=1))) == [
        (15, FundsDeposited(ACCOUNT, 8_200_000)),
    ]


def test_a_reduction_trades_half_away_and_keeps_the_entry():
    # Half at 91 brings 455, less a fee of 0.455; what is left has -445.455 + 455 - 9.10 at 2 %.
    assert acts(falling_to("91", near=near(reduce_share=1))) == [
        (15, _sold(5, cost=-455, fee="0.455", entry=100, reason=TradeReason.REDUCED)),
    ]


def test_who_closes_takes_out_what_is_left():
    # All at 91 brings 910, less a fee of 0.91: -900 + 909.09 are left.
    assert acts(falling_to("91", near=near(close_share=1))) == [
        (15, _sold(10, cost=-910, fee="0.91", entry=0, reason=TradeReason.CLOSED)),
        (15, FundsWithdrawn(ACCOUNT, 9_090_000)),
    ]


def test_who_is_not_near_does_nothing():
    assert acts(falling_to("91.84", near=near(close_share=1))) == []


def test_who_is_due_before_it_reacts_is_liquidated():
    ((at, event),) = acts(falling_to("90.5", near=near(top_up_share=1)))

    assert (at, type(event)) == (10, LiquidationTriggered)


def test_a_stop_sells_all_at_the_market_some_time_after_its_mark():
    # Its stop is at 100 - 5 % = 95. At 94 all brings 940, less 0.94: -900 + 939.06 are left.
    stop = {"share": 1, "nearest": Decimal("0.05"), "farthest": Decimal("0.05")}

    assert acts(falling_to("94", stop=stop)) == [
        (15, _sold(10, cost=-940, fee="0.94", entry=0, reason=TradeReason.STOPPED, price=94)),
        (15, FundsWithdrawn(ACCOUNT, 39_060_000)),
    ]
    assert acts(falling_to("95.01", stop=stop)) == []


def test_who_was_liquidated_comes_back_on_new_collateral():
    # 1,000 of 100 at the start, and at 80 as much: 12.5 units, at leverage 10 on 100, and a fee
    # of 1. The old position was closed at 80, beyond bankruptcy: the fund paid 100.
    law = {"share": 1, "delay": constant("20s"), "same_side": 0}
    raw = falling_to("80", **{"return": law})
    raw = changed(raw, {"venue__fund__initial_usd": 500})

    (due_at, _), *back = acts(raw)

    assert due_at == 10
    bought = _sold(0, cost=-1_000, fee="1", entry=80, reason=TradeReason.OPENED, price=80)
    units = Decimal("-12.5") * 10**8
    bought = attrs.evolve(bought, ordered_e8=int(units), quantity_e8=int(units))
    assert back == [(30, FundsDeposited(ACCOUNT, 101_000_000)), (30, bought)]


def test_who_is_to_come_back_in_a_window_waits_for_it():
    law = {"share": 1, "delay": constant("20s"), "windows": [[at(5), at(20)], [at(41), at(50)]]}
    raw = changed(falling_to("80", **{"return": law}), {"venue__fund__initial_usd": 500})

    assert [when for when, _ in acts(raw)] == [10, 41, 41]


def test_who_keeps_its_leverage_trades_to_it():
    # At 98 the equity is -900 + 980 = 80, and 10 times that 800: 8.16326530 units, rounded down.
    rebalance = {"period": "15s", "target_leverage": 10}
    ((when, event), *_) = acts(falling_to("98", rebalance=rebalance))

    assert when == 15
    assert (event.reason, event.ordered_e8) == (TradeReason.REBALANCED, 8_16326530 - 10 * 10**8)
    assert event.entry_price_e8 == 100 * 10**8


def test_a_winner_levers_up_some_time_after_its_gain():
    # At 102, 2 % above the entry, as above: ten times 120 is 1,200; 5 s after the mark.
    relever = {"share": 1, "gain": Decimal("0.02")}
    ((when, event),) = acts(falling_to("102", relever=relever))

    assert (when, event.reason) == (15, TradeReason.RELEVERED)
    assert event.ordered_e8 == 1_76470588
    assert acts(falling_to("101.9", relever=relever)) == []


def test_who_sees_a_halt_coming_sells_ahead_of_it():
    # A fall of 8 % halts only beyond 8 %: at 92 the halt is as close as it can be. All at 92 brings
    # 920, less 0.92; -900 + 919.08 are left.
    ahead = _sold(10, cost=-920, fee="0.92", entry=0, reason=TradeReason.ANTICIPATED, price=92)
    ahead = attrs.evolve(ahead, closeness_e6=1_000_000)

    assert acts(halting_at("92", share=1)) == [
        (15, ahead),
        (15, FundsWithdrawn(ACCOUNT, 19_080_000)),
    ]


def test_who_reduces_ahead_does_so_as_often_as_it_may():
    # 40 % of 10, then of 6: the second at the next mark, five seconds after the first, and once.
    told = acts(halting_at("92", share=1, reduce_by=Decimal("0.4"), times=2))

    assert [(when, event.ordered_e8) for when, event in told] == [
        (15, -4 * 10**8),
        (21, -24 * 10**7),
    ]


def test_how_close_a_halt_must_be_is_drawn_for_each_time():
    # At 95 a fall of 8 % is 62.5 % there: from 50 % on, a quarter of the draws are below that.
    told = acts(halting_at("95", share=1, times=1_000, reduce_by=Decimal("0.01")))

    assert {event.closeness_e6 for _, event in told} == {625_000}
    assert acts(halting_at("95", share=1, **{"from": Decimal("0.63")})) == []


def test_whom_a_halt_has_caught_is_too_late():
    assert acts(halting_at("91.9", share=1)) == []


def test_nobody_runs_from_what_runs_for_it():
    assert acts(halting_at("92", share=1, observable="rise")) == []
    assert [when for when, _ in acts(halting_at("108", share=1, long_share=0, observable="rise"))]
    assert acts(halting_at("108", share=1, observable="rise")) == []


def test_nobody_runs_from_a_level_that_cools_down():
    # Halted from 10 to 15 s, and free again at 45: by then the price is back.
    path = knots((0, 100), (9, 100), (10, "91.9"), (12, 98), (29, 98), (30, 92), (36, 92), (37, 98))
    path = path | {"knots": [*path["knots"], [at(60), 98]]}
    raw = halting_at("92", share=1)
    raw["markets"]["ETH"]["path"] = path
    (row,) = raw["mitigations"]

    assert acts(raw) == []
    row["cool_down"] = "1s"
    assert [(when, event.reason) for when, event in acts(raw)[:1]] == [
        (35, TradeReason.ANTICIPATED),
    ]


def halting_at(price: str, *, long_share: int = 1, observable: str = "fall", **law: Any) -> Raw:
    """Return the account where a move of 8 % within a minute halts liquidations for 5 s."""
    when = [{"observable": observable, "window": "60s", "above": Decimal("0.08")}]
    row = {"kind": "breaker", "when": when, "duration": "5s", "cool_down": "30s"}
    raw = falling_to(price, anticipate=law)
    return changed(
        raw, {"mitigations": [row], "population__cohorts__longs__long_share": long_share}
    )


def test_what_is_bought_enters_at_its_price():
    # At 102: equity 120, ten times that 1,200: 11.76470588 units, of which 1.76470588 at 102.
    # Their cost and fee leave the margin where it was, but for the fee of 0.18.
    rebalance = {"period": "15s", "target_leverage": 10}
    ((_, event), *_) = acts(falling_to("102", rebalance=rebalance))

    bought = Fraction("1.76470588")
    mean = (1_000 + bought * 102) / (10 + bought) * 10**8
    assert event.quantity_e8 == 1_76470588
    assert event.entry_price_e8 == -(-mean // 1)


def test_nobody_acts_in_its_liquidation():
    # Due in the tenth second, near before it: the engine takes 20 s, the account would take 5.
    raw = falling_to("90.5", near=near(top_up_share=1) | {"alert_buffer": 3, "top_up_to": 3})
    raw["markets"]["ETH"]["path"] = knots((0, 100), (8, 100), (9, 93), (10, "90.5"), (60, "90.5"))
    slow = changed(raw, {"venue__engine__reaction": "20s"})

    ((at_s, event),) = acts(slow)

    assert (at_s, type(event)) == (10, LiquidationTriggered)


def _sold(
    units: int, *, cost: int, fee: str, entry: int, reason: TradeReason, price: int = 91
) -> TradeFilled:
    price_e8 = price * 10**8
    return TradeFilled(
        bucket_id=ACCOUNT,
        market_id=0,
        reason=reason,
        ordered_e8=-units * 10**8,
        quantity_e8=-units * 10**8,
        price_e8=price_e8,
        cost_uusd=cost * 10**6,
        fee_uusd=round(Decimal(fee) * 10**6),
        entry_price_e8=entry * 10**8,
        mark_price_e8=price_e8,
        reference_price_e8=price_e8,
        market_price_e8=price_e8,
    )
