"""
Liquidations of accounts with coins, one small scenario per way, with balances worked out by hand.

Amounts in the comments are USD unless they are coins. The account is long 10 at 100 with one coin:
cash -1,000, equity -1,000 + 11 P, bankrupt at 90.909. As a linear contract it is due once
-1,000 + 11 P - 0.1 P < 0, below 91.743; as an inverse one, of 1,000 dollars, its maintenance is 10
at any price, and it is due below 91.818. Market orders get the reference price.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from support.scenarios import (
    Raw,
    changed,
    load,
    make_inverse,
    prepared_by_hand,
    small_scenario,
)
from support.sinks import ListSink

from liqsim.errors import ScenarioError
from liqsim.events import (
    BadDebtRecorded,
    CoinsSettled,
    FundDrawn,
    LiquidationTriggered,
    LossSocialised,
    OrderFilled,
    PositionDeleveraged,
    SurplusRouted,
    TrancheStarted,
)
from liqsim.mechanics.waterfall import rank_e6, ranks_e6
from liqsim.runner import Simulation

FUND, FIRST, SECOND = 2, 5, 6
LONG = (10, 100, 0, 1)
SHORT = (-10, 100, 0, 1)


class Run:
    """A finished run: its events, and its closing balances in USD, units and coins."""

    def __init__(self, raw: Raw, positions: Sequence[Any], *prices: dict[int, Any]) -> None:
        sink = ListSink()
        simulation = Simulation(prepared_by_hand(raw, list(positions), *prices), sink)
        simulation.run()
        ledger = simulation.world.ledger
        self.cash = [Decimal(value).scaleb(-6) for value in ledger.cash.tolist()]
        self.units = [Decimal(value).scaleb(-8) for value in ledger.units[0].tolist()]
        self.coins = [Decimal(value).scaleb(-8) for value in ledger.coins[0].tolist()]
        self.of = sink.of

    def the(self, cls: type[Any]) -> Any:
        """Return the only event of *cls*."""
        (event,) = self.of(cls)
        return event

    def balances(self, owner: int) -> tuple[Decimal, Decimal, Decimal]:
        """Return cash, units and coins."""
        return self.cash[owner], self.units[owner], self.coins[owner]


def linear(**changes: Any) -> Raw:
    # The cohort is replaced by hand; what counts is that somebody has coins.
    return small_scenario(**{"population__cohorts__longs__collateral": "coin"} | changes)


def inverse(**changes: Any) -> Raw:
    raw = linear()
    make_inverse(raw, "ETH")
    raw["markets"]["ETH"]["maintenance_usd"] = [[0, Decimal("0.01")]]
    return changed(raw, changes)


def usd(*values: str) -> tuple[Decimal, ...]:
    return tuple(map(Decimal, values))


def e8(value: str) -> int:
    return int(Decimal(value) * 10**8)


# Linear contracts ---------------------------------------------------------------------------------


def test_coins_pay_what_a_closed_position_owes_and_the_rest_is_left() -> None:
    run = Run(linear(venue__waterfall__surplus_to="trader"), [LONG], {0: 100, 10: "91.5"})

    assert run.the(LiquidationTriggered).margin_uusd == -2_650_000  # 6.5 of equity, asked 9.15.
    assert run.the(LiquidationTriggered).bankruptcy_price_e8 == e8("90.90909091")
    # 10 sold at 91.5 leave -85, for which 85 / 91.5 coins are sold, rounded up.
    settled = run.the(CoinsSettled)
    assert (settled.units_e8, settled.coins_e8) == (0, -e8("0.92896175"))
    assert (settled.price_e8, settled.amount_uusd) == (e8("91.5"), 85_000_000)
    assert run.balances(FIRST) == usd("0", "0", "0.07103825")


def test_nobody_is_due_above_the_level_that_coins_make() -> None:
    assert Run(linear(), [LONG], {0: 100, 10: "91.75"}).of(LiquidationTriggered) == []
    # A tenth of the coin does not count: -1,000 + 10 P - 0.1 P + 0.9 P < 0 below 92.593.
    haircut = linear(venue__margin={"coin_haircut": Decimal("0.1")})
    assert Run(haircut, [LONG], {0: 100, 10: "92.6"}).of(LiquidationTriggered) == []
    assert Run(haircut, [LONG], {0: 100, 10: "92.59"}).of(LiquidationTriggered)


@pytest.mark.parametrize(("fund", "left", "debt"), [("50", "40", "0"), ("4", "0", "6")])
def test_beyond_bankruptcy_the_fund_pays_before_what_is_missing_is_bad_debt(
    fund: str, left: str, debt: str
) -> None:
    raw = linear(venue__fund__initial_usd=Decimal(fund), venue__waterfall__deleveraging="none")

    run = Run(raw, [LONG], {0: 100, 10: 90})

    # At 90 equity is -1,000 + 990 = -10; the coin is worth 90.
    assert run.the(FundDrawn).amount_uusd == min(10, int(fund)) * 10**6
    assert run.the(CoinsSettled).amount_uusd == 90_000_000
    assert run.balances(FIRST) == (-Decimal(debt), 0, 0)
    assert run.cash[FUND] == Decimal(left)
    assert [event.amount_uusd for event in run.of(BadDebtRecorded)] == (
        [int(debt) * 10**6] if debt != "0" else []
    )


def test_a_tranche_carries_its_share_of_the_equity_and_coins_are_sold_at_the_end() -> None:
    raw = linear(venue__tranches={"share": Decimal("0.5"), "spacing": "1s"})

    run = Run(raw, [LONG], {0: 100, 10: "91.5"})

    # Equity is 6.5 at 91.5: half of it with each half, as surplus to the fund.
    assert [event.amount_uusd for event in run.of(SurplusRouted)] == [3_250_000, 3_250_000]
    assert run.cash[FUND] == Decimal("6.5")
    # -1,000 + 915 - 6.5 = -91.5, which is one coin.
    assert run.the(CoinsSettled).coins_e8 == -e8("1")
    assert run.balances(FIRST) == (0, 0, 0)


def test_a_short_with_more_coins_than_units_is_due_as_the_price_falls() -> None:
    # Closed in part and at a loss before, say: -60 of cash, short 1, 3 coins, so -60 + 2 P.
    run = Run(linear(venue__waterfall__surplus_to="trader"), [(-1, 100, -160, 3)], {0: 100, 10: 30})

    # -60 + 2 P - 0.01 P < 0 below 30.15; buying back at 30 leaves -90, which three coins pay.
    assert run.the(LiquidationTriggered).quantity_e8 == -e8("1")
    assert run.the(LiquidationTriggered).bankruptcy_price_e8 == e8("30")
    assert run.the(TrancheStarted).limit_price_e8 == 10**18 - 1
    assert run.balances(FIRST) == (0, 0, 0)


# Inverse contracts --------------------------------------------------------------------------------


def test_an_inverse_long_is_closed_for_dollars_and_its_loss_is_in_coins() -> None:
    run = Run(inverse(venue__waterfall__surplus_to="trader"), [LONG], {0: 100, 10: "91.5"})

    trigger = run.the(LiquidationTriggered)
    assert (trigger.margin_uusd, trigger.maintenance_uusd) == (-3_500_000, 10_000_000)
    # 1,000 dollars at 91.5 are 10.92896175 coins to sell, rounded up.
    assert run.the(OrderFilled).quantity_e8 == -e8("10.92896175")
    assert run.the(CoinsSettled).units_e8 == e8("0.92896175")
    # 1 + 1,000 (1 / 100 - 1 / 91.5) coins.
    assert run.balances(FIRST) == usd("0", "0", "0.07103825")


def test_part_of_an_inverse_position_leaves_the_bankruptcy_price_as_it_was() -> None:
    raw = inverse(
        venue__tranches={"share": Decimal("0.4"), "spacing": "50s"}, venue__fund__initial_usd=0
    )

    run = Run(raw, [LONG], {0: 100, 10: "91.5"})

    # 400 dollars: 4.3715847 coins sold for 400. 4 / 10 of the equity of 6.5 goes to the fund.
    assert run.the(OrderFilled).quantity_e8 == -e8("4.3715847")
    assert run.the(SurplusRouted).amount_uusd == 2_600_000
    settled = run.the(CoinsSettled)
    assert settled.units_e8 == e8("0.3715847")
    assert (settled.coins_e8, settled.amount_uusd) == (-e8("0.40000001"), 2_600_000)
    # What is left is 600 dollars entered at 100 with 0.6 coins: bankrupt at 600 / 6.6 as before.
    assert run.balances(FIRST) == usd("-600", "6", "0.59999999")


def test_an_inverse_short_beyond_bankruptcy_is_paid_for_by_the_fund() -> None:
    raw = inverse(venue__fund__initial_usd=50)

    run = Run(raw, [SHORT], {0: 100, 10: 112})

    # 1,000 - 9 x 112 = -8. It buys 1,000 dollars' worth, 8.92857143 coins, and is short of
    # 1.07142857 - 1 of them, which the 8 of the fund buy.
    assert run.the(LiquidationTriggered).bankruptcy_price_e8 == e8("111.11111111")
    assert run.the(OrderFilled).quantity_e8 == e8("8.92857143")
    assert run.the(FundDrawn).amount_uusd == 8_000_000
    assert run.balances(FIRST) == (0, 0, 0)
    assert run.cash[FUND] == 42


def test_two_inverse_accounts_are_closed_against_each_other_dollar_for_dollar() -> None:
    run = Run(inverse(), [LONG, (-20, 100, 0, 2)], {0: 100, 10: 85})

    # 1,000 dollars at the mark of the slice, 85, against half of the other's 2,000.
    closed = run.the(PositionDeleveraged)
    assert (closed.quantity_e8, closed.price_e8) == (-e8("11.76470589"), e8("90.90909091"))
    assert run.of(OrderFilled) == []
    assert run.balances(FIRST) == (0, 0, 0)
    # It keeps 1,000 dollars at 100 and has made 1,000 (1 / 90.90909091 - 1 / 100) = 1 coin.
    cash, units, coins = run.balances(SECOND)
    assert (cash, units) == (1_000, -10)
    assert coins == pytest.approx(3, abs=3e-8)


def test_the_fee_of_an_inverse_position_is_paid_in_coins() -> None:
    raw = inverse(
        venue__waterfall__surplus_to="trader", venue__fees__liquidation_on_mark=Decimal("0.001")
    )

    run = Run(raw, [LONG], {0: 100, 10: "91.5"})

    # A thousandth of 1,000 dollars, rounded up: 1.000001 or 0.01092898 coins of the 0.07103825.
    assert run.the(OrderFilled).fee_uusd == 1_000_001
    assert run.balances(FIRST) == usd("0", "0", "0.06010927")


# Prices that count --------------------------------------------------------------------------------


def test_coins_are_sold_at_the_mark_whatever_the_last_execution_traded_at() -> None:
    # Bankrupt at 1,000 / 15 = 66.667, where nobody buys at 40: a short is closed there.
    run = Run(linear(), [(10, 100, 0, 5), (-10, 100, 500, 0)], {0: 100, 10: 40})

    assert run.the(PositionDeleveraged).price_e8 == e8("66.66666667")
    settled = run.the(CoinsSettled)
    assert (settled.price_e8, settled.coins_e8) == (e8("40"), -e8("5"))
    assert settled.amount_uusd == 200_000_000
    # Of the 333.33 that are owed, 200: the rest is nobody's, not the makers'.
    assert run.the(BadDebtRecorded).amount_uusd == pytest.approx(133_333_333, abs=1)


def test_an_inverse_contract_is_as_large_as_its_dollars() -> None:
    cash, units, entry, price = 1_200 * 10**6, -10 * 10**8, 100 * 10**8, 80 * 10**8
    # Profit 200 on a margin of 200, equity 400: times 800 by value, or 1,000 dollars.
    assert rank_e6(cash, units, entry, price) == 2_000_000
    assert rank_e6(cash, units, entry, price, is_inverse=True) == 2_500_000
    columns = (np.array([value]) for value in (cash, units, entry))
    assert ranks_e6(*columns, price, is_inverse=True).tolist() == [2_500_000]

    raw = inverse(venue__waterfall={"deleveraging": "none", "socialise": "notional"})
    # 1,000 dollars long, bankrupt; 1,000 dollars short at 100 and at 200, each with 10 coins.
    shorts = [(-10, 100, 0, 10), (-5, 200, 0, 10)]
    run = Run(raw, [LONG, *shorts], {0: 100, 10: 80})

    first, second = run.of(LossSocialised)
    assert first.basis_uusd == second.basis_uusd == 1_000 * 10**6
    assert first.amount_uusd == second.amount_uusd > 0


def test_leverage_leaves_room_for_the_haircut_on_coins() -> None:
    raw = linear(venue__margin={"coin_haircut": Decimal("0.95")})
    with pytest.raises(ScenarioError) as refusal:
        load(raw)

    assert "leverage.max" in str(refusal.value)
    assert "coins count for 0.05" in str(refusal.value)
