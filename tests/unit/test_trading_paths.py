"""
Accounts that act of their own will, with every balance worked out by hand.

Amounts in the comments are USD. The account is long 10 at 100 with a collateral of 100: cash
100 - 10 x 100 = -900. Maintenance is 1 %; it is near at 2 %, once -900 + 10 P - 0.2 P < 0, that is
below 91.837, and due below 90.909. Marks land every second; orders get the reference price.
"""

from decimal import Decimal
from typing import Any

from support.scenarios import Raw, changed, constant, events_of, knots, market, small_scenario

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


def _sold(units: int, *, cost: int, fee: str, entry: int, reason: TradeReason) -> TradeFilled:
    price = 91 * 10**8
    return TradeFilled(
        bucket_id=ACCOUNT,
        market_id=0,
        reason=reason,
        ordered_e8=-units * 10**8,
        quantity_e8=-units * 10**8,
        price_e8=price,
        cost_uusd=cost * 10**6,
        fee_uusd=round(Decimal(fee) * 10**6),
        entry_price_e8=entry * 10**8,
        mark_price_e8=price,
        reference_price_e8=price,
        market_price_e8=price,
    )
