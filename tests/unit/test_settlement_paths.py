"""
One small scenario per way a liquidation can settle, with every balance worked out by hand.

Amounts in the comments are USD. Unless a test says otherwise the account is long 10 at 100 with a
collateral of 100: cash 100 - 10 x 100 = -900, bankrupt at 90; at a maintenance of 1 % it is due
once -900 + 10 P - 0.1 P < 0, that is below 90.909. Market orders get the reference price.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from support.scenarios import (
    INSTANTLY,
    Raw,
    at,
    changed,
    constant,
    keeper,
    market,
    prepared_by_hand,
    small_scenario,
    source,
)
from support.sinks import ListSink

from liqsim.events import (
    NO_CAUSE,
    BadDebtRecorded,
    ContributionPaid,
    Entry,
    FailedCall,
    FundDrawn,
    FundingIndexMoved,
    InventorySold,
    KeeperCallFailed,
    LiquidationEnded,
    LiquidationOutcome,
    LiquidationTriggered,
    LiquidationUnresolved,
    LossSocialised,
    OrderFilled,
    PositionDeleveraged,
    ProfitCut,
    SurplusRouted,
    TrancheSettled,
    TrancheStarted,
    TrancheTakenOver,
    UnresolvedReason,
)
from liqsim.runner import Simulation

LONG = (10, 100, 100)
SHORT = (-10, 100, 100)
OUTSIDE, MAKERS, FUND, TREASURY, NETWORK, FIRST = range(6)
SECOND = FIRST + 1
LIQUIDATION = (
    LiquidationTriggered,
    TrancheStarted,
    OrderFilled,
    TrancheTakenOver,
    KeeperCallFailed,
    InventorySold,
    SurplusRouted,
    FundDrawn,
    PositionDeleveraged,
    ProfitCut,
    FundingIndexMoved,
    LossSocialised,
    BadDebtRecorded,
    TrancheSettled,
    LiquidationEnded,
    LiquidationUnresolved,
)


class Run:
    """A finished run: its events and its closing balances in USD and units."""

    def __init__(self, raw: Raw, positions: Sequence[Any], *prices: dict[int, Any]) -> None:
        sink = ListSink()
        simulation = Simulation(prepared_by_hand(raw, list(positions), *prices), sink)
        simulation.run()
        ledger = simulation.world.ledger
        self.entries: list[Entry] = sink.entries
        self.cash = [Decimal(value).scaleb(-6) for value in ledger.cash.tolist()]
        self.units = [Decimal(value).scaleb(-8) for value in ledger.units[0].tolist()]
        self.of = sink.of

    @property
    def story(self) -> list[type[Any]]:
        """The kinds of liquidation events, in order."""
        return [type(e.event) for e in self.entries if isinstance(e.event, LIQUIDATION)]

    def the(self, cls: type[Any]) -> Any:
        """Return the only event of *cls*."""
        (event,) = self.of(cls)
        return event

    def entry_of(self, cls: type[Any]) -> Entry:
        (entry,) = (e for e in self.entries if isinstance(e.event, cls))
        return entry


def usd(value: float | str) -> Decimal:
    return Decimal(str(value))


def uusd(value: float | str) -> int:
    return int(Decimal(str(value)) * 10**6)


def e8(value: float | str) -> int:
    return int(Decimal(str(value)) * 10**8)


def keepers(*bots: Raw, **changes: Any) -> Raw:
    """Return a scenario where keepers take over at half a percent below the mark."""
    raw = small_scenario(
        venue__executor="keepers",
        venue__keepers={
            "discount": Decimal("0.005"),
            "bots": {f"k{number}": bot for number, bot in enumerate(bots)},
        },
        **changes,
    )
    del raw["venue"]["engine"]
    return raw


# Nothing ------------------------------------------------------------------------------------------


def test_above_its_trigger_nothing_happens() -> None:
    # -900 + 10 x 90.91 - 0.1 x 90.91 = 0.009: not due, by a hair.
    run = Run(small_scenario(), [LONG], {0: 100, 10: "90.91"})

    assert run.story == []
    assert run.cash[FIRST] == -900
    assert run.units[FIRST] == 10


# The engine ---------------------------------------------------------------------------------------


def test_a_fill_better_than_bankruptcy_leaves_its_surplus_to_the_fund() -> None:
    raw = small_scenario(
        venue__fund__initial_usd=50, venue__fees__liquidation_on_mark=Decimal("0.002")
    )

    run = Run(raw, [LONG], {0: 100, 10: "90.5"})

    # Margin -900 + 905 - 9.05 = -4.05. Sold for 905; 5 are above bankruptcy, of which the fee
    # takes 0.2 % x 905 = 1.81 and the fund the other 3.19.
    assert run.story == [
        LiquidationTriggered,
        TrancheStarted,
        OrderFilled,
        SurplusRouted,
        TrancheSettled,
        LiquidationEnded,
    ]
    trigger = run.the(LiquidationTriggered)
    assert trigger.margin_uusd == uusd("-4.05")
    assert trigger.maintenance_uusd == uusd("9.05")
    assert trigger.bankruptcy_price_e8 == e8(90)
    # What the fund could pay per unit: 50 / 10 = 5.
    assert run.the(TrancheStarted).limit_price_e8 == e8(85)
    fill = run.the(OrderFilled)
    assert (fill.quantity_e8, fill.price_e8) == (e8(-10), e8("90.5"))
    assert (fill.cost_uusd, fill.fee_uusd) == (uusd(-905), uusd("1.81"))
    assert run.the(SurplusRouted).amount_uusd == uusd("3.19")
    assert run.the(LiquidationEnded).outcome is LiquidationOutcome.CLOSED
    # Makers paid 905 for what they had sold for 1,000.
    assert run.cash == [-150, 95, usd("53.19"), usd("1.81"), 0, 0]
    assert run.units == [0, 0, 0, 0, 0, 0]


def test_a_fill_better_than_bankruptcy_leaves_its_surplus_to_the_trader() -> None:
    raw = small_scenario(
        venue__waterfall__surplus_to="trader",
        venue__fees__liquidation_on_execution=Decimal("0.001"),
        venue__fees__taker=Decimal("0.001"),
    )

    run = Run(raw, [LONG], {0: 100, 10: "90.5"})

    # Both fees are on the execution: 0.2 % x 905 = 1.81; the owner keeps 5 - 1.81.
    assert run.cash == [-100, 95, 0, usd("1.81"), 0, usd("3.19")]
    assert run.the(LiquidationEnded).cash_uusd == uusd("3.19")
    assert run.of(SurplusRouted) == []


def test_a_fee_never_exceeds_what_is_left_above_bankruptcy() -> None:
    raw = small_scenario(venue__fees__liquidation_on_mark=Decimal("0.01"))

    run = Run(raw, [LONG], {0: 100, 10: "90.5"})

    # 1 % of 905 is 9.05, but 5 are left.
    assert run.the(OrderFilled).fee_uusd == uusd(5)
    assert run.cash == [-100, 95, 0, 5, 0, 0]
    assert run.of(SurplusRouted) == []


def test_the_fund_pays_for_a_fill_beyond_bankruptcy() -> None:
    raw = small_scenario(
        venue__fund__initial_usd=100, venue__fees__liquidation_on_mark=Decimal("0.01")
    )

    run = Run(raw, [LONG], {0: 100, 10: 89})

    # Sold for 890 against a debt of 900: nothing is left for a fee, 10 come from the fund.
    assert run.the(TrancheStarted).limit_price_e8 == e8(80)
    assert run.the(OrderFilled).fee_uusd == 0
    assert run.the(FundDrawn).amount_uusd == uusd(10)
    assert run.the(FundDrawn).balance_uusd == uusd(90)
    assert run.entry_of(FundDrawn).cause_seq == run.entry_of(OrderFilled).seq
    assert run.cash == [-200, 110, 90, 0, 0, 0]


def test_what_the_fund_cannot_pay_for_is_deleveraged_by_rank() -> None:
    strong, weak, loser = (-6, 100, 300), (-6, 100, 60), (-8, 85, 800)

    run = Run(
        small_scenario(venue__fund__initial_usd=5), [LONG, strong, weak, loser], {0: 100, 10: 89}
    )

    # The limit is 90 - 5 / 10 = 89.5 and the market is at 89: no fill. At 90 the weak short has a
    # profit of 60 on a margin of 60 and 540 / 120 of leverage: 4.5. The strong one has 60 / 300
    # x 540 / 360 = 0.3. The third entered at 85 and loses: it stands outside the queue.
    assert run.story == [
        LiquidationTriggered,
        TrancheStarted,
        PositionDeleveraged,
        PositionDeleveraged,
        TrancheSettled,
        LiquidationEnded,
    ]
    assert run.the(TrancheStarted).limit_price_e8 == e8("89.5")
    first, second = run.of(PositionDeleveraged)
    assert (first.counterparty_id, first.rank_number, first.quantity_e8) == (FIRST + 2, 1, e8(-6))
    assert (second.counterparty_id, second.rank_number, second.quantity_e8) == (SECOND, 2, e8(-4))
    assert first.price_e8 == second.price_e8 == e8(90)
    assert run.the(TrancheSettled).deleveraged_e8 == e8(10)
    # Strong: 300 + 600 - 4 x 90 = 540 and 2 short. Weak: 60 + 600 - 540 = 120. Loser: 800 + 680.
    assert run.cash == [-1265, 1000 - 600 - 600 - 680, 5, 0, 0, 0, 540, 120, 1480]
    assert run.units == [0, 10, 0, 0, 0, 0, -2, 0, -8]


def test_without_deleveraging_the_rest_is_sold_at_any_price_and_bad_debt_stays() -> None:
    raw = small_scenario(venue__fund__initial_usd=5, venue__waterfall__deleveraging="none")

    run = Run(raw, [LONG, (-6, 100, 60)], {0: 100, 10: 89})

    # Sold for 890: 10 short of the debt, of which the fund has 5.
    assert run.story == [
        LiquidationTriggered,
        TrancheStarted,
        OrderFilled,
        FundDrawn,
        BadDebtRecorded,
        TrancheSettled,
        LiquidationEnded,
    ]
    assert run.the(FundDrawn).balance_uusd == 0
    assert run.the(BadDebtRecorded).amount_uusd == uusd(5)
    assert run.the(LiquidationEnded).cash_uusd == uusd(-5)
    assert run.cash == [-165, 1000 - 890 - 600, 0, 0, 0, -5, 660]


def test_when_the_queue_is_exhausted_the_rest_is_sold_at_any_price() -> None:
    run = Run(small_scenario(venue__fund__initial_usd=5), [LONG, (-4, 100, 60)], {0: 100, 10: 89})

    # 4 go to the short at 90: cash -900 + 360 = -540 with 6 left. Those bring 6 x 89 = 534; the
    # fund has 5 of the 6 missing.
    assert run.story == [
        LiquidationTriggered,
        TrancheStarted,
        PositionDeleveraged,
        OrderFilled,
        FundDrawn,
        BadDebtRecorded,
        TrancheSettled,
        LiquidationEnded,
    ]
    settled = run.the(TrancheSettled)
    assert (settled.deleveraged_e8, settled.filled_e8) == (e8(4), e8(6))
    assert run.the(BadDebtRecorded).amount_uusd == uusd(1)
    # The short: 60 + 400 - 360 = 100.
    assert run.cash == [-165, 1000 - 400 - 534, 0, 0, 0, -1, 100]


def test_a_hole_that_rounding_leaves_is_the_funds_before_it_is_bad_debt() -> None:
    shorts = [(-1, 100, 100)] * 3

    run = Run(
        small_scenario(venue__fund__initial_usd=1),
        [(3, 100, Decimal("30.000001")), *shorts],
        {0: 100, 10: 80},
    )

    # A debt of 269.999999 on 3 units: bankrupt at 89.99999967, rounded up. Three shorts take one
    # each and pay the floor, 89.999999, together 269.999997.
    assert [e.price_e8 for e in run.of(PositionDeleveraged)] == [8_999_999_967] * 3
    assert run.the(FundDrawn).amount_uusd == 2
    assert run.of(BadDebtRecorded) == []
    assert run.cash[FIRST] == 0


def test_a_short_squeeze_is_the_mirror_image() -> None:
    raw = small_scenario(
        venue__fund__initial_usd=50, venue__fees__liquidation_on_mark=Decimal("0.002")
    )

    run = Run(raw, [SHORT], {0: 100, 10: "109.5"})

    # Cash 100 + 1,000 = 1,100, bankrupt at 110. Margin 1,100 - 1,095 - 10.95 = -5.95. Bought back
    # for 1,095: of the 5 left, the fee takes 0.2 % x 1,095 = 2.19 and the fund 2.81.
    trigger = run.the(LiquidationTriggered)
    assert trigger.margin_uusd == uusd("-5.95")
    assert trigger.bankruptcy_price_e8 == e8(110)
    assert run.the(TrancheStarted).limit_price_e8 == e8(115)
    assert run.cash == [-150, 95, usd("52.81"), usd("2.19"), 0, 0]


def test_a_squeeze_beyond_bankruptcy_draws_on_the_fund_then_deleverages_longs() -> None:
    winner = (4, 100, 400)

    run = Run(small_scenario(venue__fund__initial_usd=5), [SHORT, winner], {0: 100, 10: 111})

    # The limit is 110 + 5 / 10 = 110.5 and the market at 111. The long of 4 gives its units at
    # 110: 400 - 400 + 440 = 440. The short: 1,100 - 440 = 660 with 6 left; they cost 666.
    assert run.the(TrancheStarted).limit_price_e8 == e8("110.5")
    assert run.the(PositionDeleveraged).quantity_e8 == e8(4)
    assert run.the(OrderFilled).quantity_e8 == e8(6)
    assert run.the(FundDrawn).amount_uusd == uusd(5)
    assert run.the(BadDebtRecorded).amount_uusd == uusd(1)
    assert run.cash == [-505, -1000 + 400 + 666, 0, 0, 0, -1, 440]


def test_maintenance_tiers_are_marginal_and_a_tranche_can_restore() -> None:
    raw = small_scenario(
        markets__ETH__maintenance=[[0, Decimal("0.01")], [5, Decimal("0.05")]],
        venue__tranches__share=Decimal("0.5"),
        venue__waterfall__surplus_to="trader",
    )

    run = Run(raw, [LONG], {0: 100, 10: 92})

    # Maintenance asks for 5 x 1 % + 5 x 5 % = 0.3 units: margin -900 + 920 - 27.6 = -7.6. Half is
    # sold for 460; the other 5 have -440 + 460 - 0.05 x 92 = 15.4.
    trigger = run.the(LiquidationTriggered)
    assert trigger.maintenance_uusd == uusd("27.6")
    assert trigger.margin_uusd == uusd("-7.6")
    assert run.the(TrancheStarted).quantity_e8 == e8(-5)
    ended = run.the(LiquidationEnded)
    assert ended.outcome is LiquidationOutcome.RESTORED
    assert (ended.quantity_e8, ended.cash_uusd) == (e8(5), uusd(-440))
    assert run.cash == [-100, 540, 0, 0, 0, -440]


def test_tranches_are_capped_and_spaced_until_the_position_is_gone() -> None:
    raw = small_scenario(
        venue__tranches={"max_usd": 362, "spacing": "3s", "restore_buffer": 10},
        venue__waterfall__surplus_to="trader",
    )

    run = Run(raw, [LONG], {0: 100, 10: "90.5"})

    # 362 / 90.5 = 4 units at a time: 4, 4, 2, three seconds apart.
    starts = [e for e in run.entries if isinstance(e.event, TrancheStarted)]
    assert [e.event.quantity_e8 for e in starts] == [e8(-4), e8(-4), e8(-2)]
    assert [e.event.tranche_number for e in starts] == [1, 2, 3]
    assert [e.sim_time_us for e in starts] == [10_000_000, 13_000_000, 16_000_000]
    settled = [e.seq for e in run.entries if isinstance(e.event, TrancheSettled)]
    assert [e.cause_seq for e in starts[1:]] == settled[:2]
    assert run.cash[FIRST] == 5


def test_child_orders_go_out_one_after_the_other() -> None:
    raw = small_scenario(
        venue__engine={"reaction": "2s", "child_order_usd": 362, "child_spacing": "1s"},
        venue__waterfall__surplus_to="trader",
    )

    run = Run(raw, [LONG], {0: 100, 10: "90.5", 13: "90.25"})

    # 4 at 12 s and 90.5; the mark at 13 s is 90.25, of which 362 buys 4.0110803 units; then the
    # rest.
    fills = [e for e in run.entries if isinstance(e.event, OrderFilled)]
    assert [e.sim_time_us for e in fills] == [12_000_000, 13_000_000, 14_000_000]
    sizes = [e8(-4), -401_108_033, -198_891_967]
    assert [e.event.quantity_e8 for e in fills] == sizes
    # 362 + floor(4.01108033 x 90.25) + floor(1.98891967 x 90.25) - 900.
    assert run.cash[FIRST] == usd(362) + usd("361.999999") + usd("179.500000") - 900


def test_a_margin_of_exactly_zero_is_due_only_where_the_venue_says_so() -> None:
    # At 10 % maintenance, collateral 109: -891 + 990 - 99 = 0 at 99.
    strict = small_scenario(
        markets__ETH__maintenance=[[0, Decimal("0.1")]],
        population__cohorts__longs__leverage={"median": 5, "max": 5},
    )
    loose = changed(strict, {"venue__due_at_zero": True})
    account, prices = (10, 100, 109), {0: 100, 10: 99}

    assert Run(strict, [account], prices).story == []
    assert Run(loose, [account], prices).the(LiquidationTriggered).margin_uusd == 0


def test_a_liquidation_ends_untouched_when_the_price_restores_it_first() -> None:
    raw = small_scenario(venue__engine__reaction="2s")

    run = Run(raw, [LONG], {0: 100, 10: "90.5", 11: 95})

    assert run.story == [LiquidationTriggered, LiquidationEnded]
    assert run.the(LiquidationEnded).outcome is LiquidationOutcome.RESTORED
    assert run.entry_of(LiquidationEnded).cause_seq == run.entry_of(LiquidationTriggered).seq
    assert run.entry_of(LiquidationEnded).sim_time_us == 12_000_000
    assert run.cash == [-100, 1000, 0, 0, 0, -900]


def test_what_the_book_cannot_take_is_cancelled() -> None:
    raw = small_scenario(
        markets__ETH__liquidity={
            "kind": "power_book",
            "depth_usd": 100,
            "reach": Decimal("0.01"),
            "half_life": "1h",
        },
        markets__ETH__maintenance=[[0, Decimal("0.1")]],
        population__cohorts__longs__leverage={"median": 5, "max": 5},
        venue__waterfall={"surplus_to": "trader", "deleveraging": "none"},
        venue__tranches__spacing="1h",
    )

    run = Run(raw, [(10, 100, 150)], {0: 100, 10: "90.5"})

    # Bankrupt at 85: the limit is far. One unit stands within 1 %, and quotes reach no further.
    # Its average price is
    # 90.5 x (1 - exp(-0.01)) / 0.01 = 90.04900457...
    fill = run.the(OrderFilled)
    average = Decimal("90.5") * (1 - Decimal("-0.01").exp()) * 100
    assert fill.ordered_e8 == e8(-10)
    assert -fill.quantity_e8 in (e8(1), e8(1) - 1)
    assert fill.price_e8 in (int(average * 10**8), int(average * 10**8) - 1)
    settled = run.the(TrancheSettled)
    assert settled.filled_e8 + settled.cancelled_e8 == e8(10)
    assert run.the(LiquidationUnresolved).reason is UnresolvedReason.NO_DEPTH


# Keepers ------------------------------------------------------------------------------------------


def test_a_keeper_takes_a_tranche_over_and_sells_it_on() -> None:
    raw = keepers(
        keeper(purse_usd=2_000),
        venue__fund__initial_usd=1,
        venue__fees__liquidation_on_mark=Decimal("0.001"),
    )

    run = Run(raw, [LONG], {0: 100, 10: "90.6", 13: "90.8"})

    # Taken over at 99.5 % of 90.6 = 90.147 for 901.47: 1.47 above bankruptcy, of which the fee
    # takes 0.1 % x 906 = 0.906 and the fund 0.564. A second later the keeper gets 908 for it.
    assert run.story == [
        LiquidationTriggered,
        TrancheStarted,
        TrancheTakenOver,
        SurplusRouted,
        TrancheSettled,
        LiquidationEnded,
        InventorySold,
    ]
    taken = run.the(TrancheTakenOver)
    assert (taken.price_e8, taken.cost_uusd) == (e8("90.147"), uusd("-901.47"))
    assert (taken.fee_uusd, taken.call_cost_uusd) == (uusd("0.906"), uusd("0.5"))
    assert taken.sent_at_us == 11_000_000
    assert run.entry_of(TrancheTakenOver).sim_time_us == 12_000_000
    sold = run.entry_of(InventorySold)
    assert (sold.sim_time_us, sold.cause_seq) == (13_000_000, run.entry_of(TrancheTakenOver).seq)
    # The keeper: 2,000 - 901.47 - 0.5 + 908.
    purse = usd("2006.03")
    assert run.cash == [-2101, 92, usd("1.564"), usd("0.906"), usd("0.5"), purse, 0]


def test_a_keeper_buys_a_squeezed_short_back() -> None:
    run = Run(keepers(keeper(purse_usd=2_000)), [SHORT], {0: 100, 10: 109})

    # Margin 1,100 - 1,090 - 10.9 < 0. The keeper is paid 100.5 % of 109 = 109.545 a unit, and
    # buys at 109: 2,000 + 1,095.45 - 0.5 - 1,090. The fund gets 1,100 - 1,095.45.
    assert run.the(TrancheTakenOver).price_e8 == e8("109.545")
    assert run.the(InventorySold).quantity_e8 == e8(10)
    assert run.cash == [-2100, 90, usd("4.55"), 0, usd("0.5"), usd("2004.95"), 0]


def test_the_loser_of_a_race_pays_for_its_call() -> None:
    run = Run(keepers(keeper(), keeper()), [LONG], {0: 100, 10: "90.6"})

    assert run.the(TrancheTakenOver).keeper_id == FIRST
    failed = run.the(KeeperCallFailed)
    assert (failed.keeper_id, failed.reason) == (SECOND, FailedCall.LOST_RACE)
    assert run.cash[SECOND] == usd("999999.5")
    assert run.cash[NETWORK] == 1


def test_a_keeper_that_sees_the_offer_gone_sends_nothing() -> None:
    late = keeper(reaction=constant("5s"))

    run = Run(keepers(keeper(), late), [LONG], {0: 100, 10: "90.6"})

    assert run.of(KeeperCallFailed) == []
    assert run.cash[SECOND] == 1_000_000


def test_a_call_that_lands_beyond_the_limit_fails_and_the_slice_is_deleveraged() -> None:
    raw = keepers(keeper())

    run = Run(raw, [LONG, (-10, 100, 100)], {0: 100, 10: "90.6", 12: 80})

    # At landing the takeover price is 79.6, beyond bankruptcy at 90, and there is no fund. The
    # short gives its 10 at 90: 100 + 1,000 - 900 = 200.
    assert run.story == [
        LiquidationTriggered,
        TrancheStarted,
        KeeperCallFailed,
        PositionDeleveraged,
        TrancheSettled,
        LiquidationEnded,
    ]
    assert run.the(KeeperCallFailed).reason is FailedCall.BEYOND_LIMIT
    assert run.cash[FIRST:] == [usd("999999.5"), 0, 200]


def test_with_nobody_to_deleverage_a_keeper_takes_over_at_any_price() -> None:
    run = Run(keepers(keeper(), venue__fund__initial_usd=5), [LONG], {0: 100, 10: 80})

    # Offered beyond the limit: 79.6 against 90 - 5 / 10. 796 against a debt of 900: the fund has
    # 5 of the 104.
    assert run.the(TrancheTakenOver).price_e8 == e8("79.6")
    assert run.the(FundDrawn).amount_uusd == uusd(5)
    assert run.the(BadDebtRecorded).amount_uusd == uusd(99)
    # The keeper sells for 800.
    assert run.cash[FIRST:] == [usd("1000003.5"), -99]


def test_a_call_that_lands_after_the_margin_was_restored_fails_for_that_reason() -> None:
    run = Run(keepers(keeper()), [LONG], {0: 100, 10: "90.6", 12: 95})

    assert run.of(TrancheTakenOver) == []
    assert run.the(KeeperCallFailed).reason is FailedCall.RESTORED
    assert run.the(LiquidationEnded).outcome is LiquidationOutcome.RESTORED


def test_a_purse_that_no_longer_reaches_when_the_call_lands() -> None:
    # Sent at 109: 1,095.45 + 0.5 is just in the purse. It lands at 110, where it takes 1,105.5.
    raw = keepers(keeper(purse_usd=1_100), venue__fund__initial_usd=1_000)

    run = Run(raw, [SHORT], {0: 100, 10: 109, 12: 110})

    assert run.the(KeeperCallFailed).reason is FailedCall.PURSE_SHORT
    assert run.of(TrancheTakenOver) == []
    assert run.cash[FIRST] == usd("1099.5")


def test_a_keeper_that_buys_a_short_back_keeps_what_its_calls_will_cost() -> None:
    raw = keepers(
        keeper(purse_usd=4_000, landing=constant("4s"), call_cost_usd=40, resale_delay="5s")
    )

    run = Run(raw, [SHORT, (-10, 100, 300)], {0: 100, 10: 110, 16: 129, 18: 503})

    # The first short is taken over at 15 s: 4,000 + 1,105.5 - 40 = 5,065.5. A call for the second
    # is sent at 17 s. At 20 s the market asks 5,030 for the first, which would leave 35.5; the
    # call lands at 21 s, in vain, and costs 40.
    assert run.of(KeeperCallFailed)
    assert run.cash[FIRST] >= 0


# What is left at the end --------------------------------------------------------------------------


def test_with_every_keeper_down_due_accounts_wait_for_an_executor() -> None:
    run = Run(keepers(keeper(downtime=[[at(5), at(60)]])), [LONG], {0: 100, 10: "90.6"})

    unresolved = run.entry_of(LiquidationUnresolved)
    assert unresolved.event.reason is UnresolvedReason.NO_EXECUTOR
    assert unresolved.sim_time_us == 59_999_999
    assert unresolved.cause_seq == run.entry_of(LiquidationTriggered).seq


def test_a_call_on_its_way_at_the_end_ends_with_the_run() -> None:
    run = Run(keepers(keeper(landing=constant("55s"))), [LONG], {0: 100, 10: "90.6"})

    assert run.the(LiquidationUnresolved).reason is UnresolvedReason.RUN_ENDED


def test_a_reaction_longer_than_the_run_ends_with_the_run() -> None:
    run = Run(small_scenario(venue__engine__reaction="50s"), [LONG], {0: 100, 10: "90.5"})

    assert run.the(LiquidationUnresolved).reason is UnresolvedReason.RUN_ENDED


def test_a_tranche_still_to_come_at_the_end_waits_for_its_spacing() -> None:
    raw = small_scenario(
        venue__tranches={"share": Decimal("0.1"), "spacing": "50s", "restore_buffer": 10}
    )

    run = Run(raw, [LONG], {0: 100, 10: "90.5"})

    unresolved = run.the(LiquidationUnresolved)
    assert unresolved.reason is UnresolvedReason.SPACING
    assert unresolved.quantity_e8 == e8(9)


def test_tranches_wait_while_the_mark_is_old() -> None:
    oracle = market()["oracle"] | {"sources": {"one": source(outages=[[at(11), at(60)]])}}
    raw = small_scenario(
        markets__ETH__oracle=oracle, venue__mark_max_age="1s", venue__engine__reaction="3s"
    )

    run = Run(raw, [LONG], {0: 100, 10: "90.5"})

    assert run.of(TrancheStarted) == []
    assert run.the(LiquidationUnresolved).reason is UnresolvedReason.NO_FRESH_PRICE


def test_a_tranche_starts_with_the_mark_it_waited_for() -> None:
    oracle = market()["oracle"] | {
        "landing": INSTANTLY,
        "sources": {"one": source(outages=[[at(11), at(30)]])},
    }
    raw = small_scenario(
        markets__ETH__oracle=oracle, venue__mark_max_age="1s", venue__engine__reaction="3s"
    )

    run = Run(raw, [LONG], {0: 100, 10: "90.5"})

    assert run.entry_of(TrancheStarted).sim_time_us == 30_000_000


def _child_orders_while_the_oracle_is_silent(until: float, **changes: Any) -> Run:
    """Run child orders of two units from 10 s on, five seconds apart, without a mark after 11 s."""
    oracle = market()["oracle"] | {"sources": {"one": source(outages=[[at(12), at(until)]])}}
    engine = {"reaction": "0s", "child_order_usd": 181, "child_spacing": "5s", "retry": "20s"}
    raw = small_scenario(
        markets__ETH__oracle=oracle,
        venue__mark_max_age="6s",
        venue__engine=engine,
        venue__tranches={"spacing": "2s", "restore_buffer": 3},
        **changes,
    )
    return Run(raw, [LONG], {0: 100, 10: "90.5"})


def test_the_rest_of_a_tranche_is_cancelled_when_the_mark_has_become_too_old() -> None:
    run = _child_orders_while_the_oracle_is_silent(until=40)

    # The last mark is that of 11 s: an order at 15 s may go, one at 20 s may not.
    assert _times(run, OrderFilled)[:3] == [10, 15, 40]
    settled = run.of(TrancheSettled)[0]
    assert (settled.filled_e8, settled.cancelled_e8) == (e8(4), e8(6))
    # Spacing holds, but not the time for which an engine waits for depth: a mark lands at 40 s.
    assert _times(run, TrancheStarted) == [10, 40]
    assert _times(run, TrancheSettled)[0] == 20


def test_what_an_old_mark_stopped_is_unresolved_for_want_of_a_fresh_one() -> None:
    run = _child_orders_while_the_oracle_is_silent(until=21, end=at(21))

    assert _times(run, TrancheSettled) == [20]
    assert run.the(LiquidationUnresolved).reason is UnresolvedReason.NO_FRESH_PRICE


def test_what_an_old_mark_stopped_keeps_its_spacing_once_a_fresh_one_has_landed() -> None:
    run = _child_orders_while_the_oracle_is_silent(until=21, end=at(22))

    assert run.the(LiquidationUnresolved).reason is UnresolvedReason.SPACING


def test_an_order_that_waited_for_its_turn_does_not_go_on_an_old_mark() -> None:
    oracle = market()["oracle"] | {"sources": {"one": source(outages=[[at(12), at(60)]])}}
    raw = _choked(child_order_usd=362, outages=[[at(10.5), at(30)]], orders_per_second=1)
    raw = changed(raw, {"markets__ETH__oracle": oracle, "venue__mark_max_age": "6s"})

    run = Run(raw, [LONG], {0: 100, 10: "90.5"})

    settled = run.the(TrancheSettled)
    assert (settled.filled_e8, settled.cancelled_e8) == (e8(4), e8(6))
    assert _times(run, TrancheSettled) == [30]
    assert run.the(LiquidationUnresolved).reason is UnresolvedReason.NO_FRESH_PRICE


def test_a_keeper_looks_again_when_the_price_has_come_down_to_its_purse() -> None:
    raw = keepers(keeper(purse_usd=880), venue__fund__initial_usd=1_000)

    run = Run(raw, [LONG], {0: 100, 10: "90.6", 20: 80})

    # At 90.6 the slice costs 901.47, more than the purse; at 80 it costs 796, and the fund pays
    # what is missing to bankruptcy.
    taken = run.entry_of(TrancheTakenOver)
    assert taken.event.price_e8 == e8("79.6")
    assert taken.sim_time_us > 20_000_000
    assert run.the(FundDrawn).amount_uusd == uusd(104)


def test_a_keeper_that_is_down_does_not_sell_on_either() -> None:
    bot = keeper(purse_usd=2_000, resale_delay="5s")
    bot["downtime"] = [[at(13), at(40)]]

    run = Run(keepers(bot), [LONG], {0: 100, 10: "90.6"})

    assert run.entry_of(TrancheTakenOver).sim_time_us == 12_000_000
    assert run.entry_of(InventorySold).sim_time_us == 40_000_000


# Cross accounts -----------------------------------------------------------------------------------
# Long 10 of each of two markets at 100 with a collateral of 200: cash 200 - 1,000 - 1,000 = -1,800.
# At a maintenance of 1 % it is due once -1,800 + 9.9 (P + Q) < 0, that is below P + Q = 181.82.


def _two_markets(**overrides: Any) -> Raw:
    raw = small_scenario(
        markets={"ETH": market(), "BTC": market()},
        venue__cross__first_leg="largest_loss",
    )
    return changed(raw, overrides)


def test_a_cross_account_is_restored_by_closing_the_leg_that_lost_most() -> None:
    ran = Run(_two_markets(), [[(10, 100, 100), (10, 100, 100)]], {0: 100, 10: 81}, {0: 100})

    # At 81 the margin is -1,800 + 9.9 x 181 = -8.1; behind ETH stand -1,800 + 1,000 = -800.
    trigger = ran.the(LiquidationTriggered)
    assert (trigger.market_id, trigger.margin_uusd) == (0, uusd("-8.1"))
    assert trigger.maintenance_uusd == uusd("18.1")
    assert trigger.bankruptcy_price_e8 == e8(80)
    # Sold at 81: cash -1,800 + 810 = -990. The 10 above bankruptcy is margin of the other leg.
    assert ran.story == [
        LiquidationTriggered, TrancheStarted, OrderFilled, TrancheSettled, LiquidationEnded,
    ]  # fmt: skip
    ended = ran.the(LiquidationEnded)
    assert ended.outcome is LiquidationOutcome.RESTORED
    assert (ended.quantity_e8, ended.cash_uusd) == (0, uusd(-990))
    assert (ran.cash[FIRST], ran.units[FIRST]) == (-990, 0)


def test_a_cross_account_beyond_bankruptcy_draws_once_and_closes_both_legs() -> None:
    raw = _two_markets(venue__fund__initial_usd=1_000)
    ran = Run(raw, [[(10, 100, 100), (10, 100, 100)]], {0: 100, 10: 79}, {0: 100})

    # At 79 equity is -10: behind ETH stand -800, bankrupt at 80, sold at 79, and the fund pays 10.
    first, second = ran.of(TrancheStarted)
    assert (first.market_id, first.limit_price_e8) == (0, 1)
    assert ran.the(FundDrawn).amount_uusd == uusd(10)
    # Then -1,000 and 10 BTC at 100: equity 0, margin -10, and BTC goes too, at its bankruptcy.
    assert second.market_id == 1
    assert ran.the(LiquidationEnded).outcome is LiquidationOutcome.CLOSED
    assert (ran.cash[FIRST], ran.cash[FUND]) == (0, 990)


def test_the_hedge_of_a_cross_account_stands_behind_its_other_leg() -> None:
    # Long 10 ETH, short 10 BTC, collateral 40: cash 40. BTC falls to 80, then ETH: nothing is lost.
    positions = [[(10, 100, 20), (-10, 100, 20)]]
    calm = Run(_two_markets(), positions, {0: 100, 10: 80}, {0: 100, 9: 80})
    assert not calm.of(LiquidationTriggered)

    # Only ETH falls, to 97: equity 10, maintenance 9.7 + 10, due. Behind ETH: 40 - 1,000 = -960.
    hit = Run(_two_markets(), positions, {0: 100, 10: 97}, {0: 100})
    trigger = hit.the(LiquidationTriggered)
    assert trigger.margin_uusd == uusd(10 - 9.7 - 10)
    assert trigger.bankruptcy_price_e8 == e8(96)
    # ETH at 97 leaves 40 + 970 = 1,010 behind a short of 10 BTC: equity 10, maintenance 10.
    assert hit.the(LiquidationEnded).cash_uusd == uusd(1_010)


def test_a_cross_account_is_judged_once_every_market_has_a_mark() -> None:
    late = market()["oracle"] | {"sources": {"one": source(offset="30s")}}
    raw = _two_markets(markets__BTC__oracle=late)
    ran = Run(raw, [[(10, 100, 100), (10, 100, 100)]], {0: 100, 10: 81}, {0: 100})

    assert ran.entry_of(LiquidationTriggered).sim_time_us >= 30_000_000


def test_an_isolated_position_answers_for_itself_alone() -> None:
    # The same legs in two accounts: ETH at 81 is bankrupt at 90, whatever BTC is worth.
    raw = _two_markets(venue__fund__initial_usd=1_000)
    ran = Run(raw, [[LONG], [None, LONG]], {0: 100, 10: 81}, {0: 100})

    assert ran.the(FundDrawn).amount_uusd == uusd(90)
    assert ran.cash[FIRST : FIRST + 2] == [0, -900]


# An engine that chokes ----------------------------------------------------------------------------


def _times(run: Run, cls: type[Any]) -> list[float]:
    return [e.sim_time_us / 10**6 for e in run.entries if isinstance(e.event, cls)]


def _choked(**engine: Any) -> Raw:
    """Return a scenario whose engine sends orders of two units at 90.5; margins need a lot."""
    return small_scenario(
        venue__engine={"reaction": "0s", "child_order_usd": 181} | engine,
        venue__tranches__restore_buffer=3,
        venue__waterfall__surplus_to="trader",
    )


def test_an_engine_sends_so_many_orders_a_second() -> None:
    run = Run(_choked(orders_per_second=3), [LONG], {0: 100, 10: "90.5"})

    # A third of a second is 333,334 us, rounded up. Five orders of two units make 905.
    assert _times(run, OrderFilled) == [10, 10.333334, 10.666668, 11.000002, 11.333336]
    assert run.cash[FIRST] == 5


def test_the_earliest_trigger_goes_first_whoever_asked_first() -> None:
    raw = small_scenario(
        venue__engine={"reaction": "0s", "orders_per_second": 1},
        venue__tranches={"share": Decimal("0.5"), "restore_buffer": 10},
        venue__fund__initial_usd=100,
    )

    run = Run(raw, [LONG, (10, 100, 99)], {0: 100, 10: "90.5"})

    # The second account is the weaker one and triggered first. Its second half is due at 11 s,
    # when the first account has waited for a second: it goes first all the same.
    assert [e.bucket_id for e in run.of(LiquidationTriggered)] == [SECOND, FIRST]
    fills = [e for e in run.entries if isinstance(e.event, OrderFilled)]
    assert [e.sim_time_us for e in fills] == [10_000_000, 11_000_000, 12_000_000, 13_000_000]
    assert [e.event.bucket_id for e in fills] == [SECOND, SECOND, FIRST, FIRST]


def test_the_earliest_trigger_goes_first_though_it_asked_last_in_one_instant() -> None:
    raw = small_scenario(
        venue__engine={"reaction": "3s", "orders_per_second": 10},
        venue__tranches={"share": Decimal("0.5"), "restore_buffer": 10, "spacing": "2s"},
        venue__fund__initial_usd=100,
    )

    run = Run(raw, [LONG, (10, 100, 105)], {0: 100, 10: "90.5", 12: "90.3"})

    # At 15 s the reaction to the second trigger, of 12 s, ends before the spacing that began at
    # 13 s.
    fills = [e for e in run.entries if isinstance(e.event, OrderFilled)]
    assert [e.sim_time_us for e in fills[:3]] == [13_000_000, 15_000_000, 15_100_000]
    assert [e.event.bucket_id for e in fills[:3]] == [FIRST, FIRST, SECOND]


def test_in_an_outage_nothing_is_sent() -> None:
    # Two windows that touch are one.
    outages = [[at(5), at(20)], [at(20), at(30)]]

    run = Run(_choked(outages=outages), [LONG], {0: 100, 10: "90.5", 20: "90.2"})

    # Put up at 30 s: 181 at 90.2 buy 2.0066518 units.
    assert _times(run, LiquidationTriggered) == [10]
    assert _times(run, TrancheStarted) == [30]
    assert _times(run, OrderFilled) == [30] * 5
    assert run.of(OrderFilled)[0].ordered_e8 == -200_665_188
    assert run.of(TrancheStarted)[0].mark_price_e8 == e8("90.2")


def test_a_margin_restored_in_an_outage_leaves_nothing_to_send() -> None:
    run = Run(_choked(outages=[[at(5), at(30)]]), [LONG], {0: 100, 10: "90.5", 20: 95})

    assert run.story == [LiquidationTriggered, LiquidationEnded]
    assert run.the(LiquidationEnded).outcome is LiquidationOutcome.RESTORED
    assert _times(run, LiquidationEnded) == [30]


def test_an_order_that_waited_does_not_go_once_the_margin_is_restored() -> None:
    raw = _choked(child_order_usd=362, outages=[[at(10.5), at(30)]], orders_per_second=1)

    run = Run(raw, [LONG], {0: 100, 10: "90.5", 20: 95})

    # Four units are sold for 362; the other six are worth 570, with -538 of cash.
    settled = run.the(TrancheSettled)
    assert (settled.filled_e8, settled.cancelled_e8) == (e8(4), e8(6))
    assert _times(run, TrancheSettled) == [30]
    assert run.the(LiquidationEnded).outcome is LiquidationOutcome.RESTORED
    assert run.cash[FIRST] == -538


def test_an_order_that_waited_goes_at_the_size_and_limit_of_now() -> None:
    raw = _choked(child_order_usd=362, outages=[[at(10.5), at(30)]], orders_per_second=1)

    run = Run(raw, [LONG], {0: 100, 10: "90.5", 20: "90"})

    # 362 at 90.5 is four units, at 90 it is 4.0222222.
    assert [e.ordered_e8 for e in run.of(OrderFilled)] == [e8(-4), -402_222_222, -197_777_778]
    assert _times(run, OrderFilled) == [10, 30, 31]


def test_an_overload_slows_the_engine_down() -> None:
    overloads = [{"from": at(10), "to": at(13), "orders_per_second": Decimal("0.5")}]

    run = Run(_choked(orders_per_second=2, overloads=overloads), [LONG], {0: 100, 10: "90.5"})

    assert _times(run, OrderFilled) == [10, 12, 14, 14.5, 15]


def test_what_nobody_shares_goes_with_the_order_that_the_limit_stopped() -> None:
    winner = (-4, 100, 400)
    raw = small_scenario(venue__engine={"reaction": "0s", "orders_per_second": 1})

    run = Run(raw, [LONG, winner], {0: 100, 10: 89})

    # Nothing is filled at 90 or better; 4 are deleveraged, 6 go to market, all in one turn.
    assert run.the(PositionDeleveraged).quantity_e8 == e8(-4)
    assert _times(run, OrderFilled) == _times(run, PositionDeleveraged) == [10]


@pytest.mark.parametrize(
    "engine",
    [{"outages": [[at(5), at(60)]]}, {"orders_per_second": Decimal("0.01")}],
    ids=["outage", "overload"],
)
def test_who_waits_for_the_engine_at_the_end_has_no_executor(engine: Raw) -> None:
    raw = small_scenario(venue__engine={"reaction": "0s"} | engine)

    run = Run(raw, [(10, 100, 99), LONG], {0: 100, 10: "90.5"})

    assert run.of(LiquidationUnresolved)[-1].bucket_id == SECOND
    assert {e.reason for e in run.of(LiquidationUnresolved)} == {UnresolvedReason.NO_EXECUTOR}


def test_tranches_of_two_liquidations_of_one_account_keep_their_spacing() -> None:
    raw = small_scenario(
        venue__tranches={"share": Decimal("0.5"), "spacing": "5s"},
        venue__waterfall__surplus_to="trader",
    )

    run = Run(raw, [LONG], {0: 100, 10: "90.5", 11: "89.9"})

    # Half is sold for 452.5 and leaves a margin of 0.475. At 89.9 the rest is due again, at 11 s.
    assert _times(run, LiquidationTriggered) == [10, 11]
    assert _times(run, TrancheStarted)[:2] == [10, 15]
    assert run.of(LiquidationEnded)[0].outcome is LiquidationOutcome.RESTORED


def test_a_spacing_from_the_liquidation_before_is_what_the_account_waits_for() -> None:
    raw = small_scenario(
        venue__tranches={"share": Decimal("0.5"), "spacing": "50s"},
        venue__waterfall__surplus_to="trader",
    )

    run = Run(raw, [LONG], {0: 100, 10: "90.5", 11: "89.9"})

    assert run.the(LiquidationUnresolved).reason is UnresolvedReason.SPACING


def test_dust_goes_with_the_tranche() -> None:
    raw = small_scenario(
        venue__tranches={"share": Decimal("0.4"), "restore_buffer": 10, "min_usd": 182},
        venue__waterfall__surplus_to="trader",
    )

    run = Run(raw, [LONG], {0: 100, 10: "90.5"})

    # After the second tranche of 4, 2 units would be left, worth 181.
    assert [e.quantity_e8 for e in run.of(TrancheStarted)] == [e8(-4), e8(-6)]
    assert run.cash[FIRST] == 5


# Keepers that reckon ------------------------------------------------------------------------------


@pytest.mark.parametrize(("least", "is_taken"), [("4.03", True), ("4.04", False)])
def test_a_keeper_sends_for_the_profit_that_it_asks_for(least: str, is_taken: bool) -> None:
    raw = keepers(keeper(min_profit_usd=Decimal(least)))

    run = Run(raw, [LONG], {0: 100, 10: "90.6"})

    # 10 x (90.6 - 90.147) less 0.5 for the call.
    assert bool(run.of(TrancheTakenOver)) == is_taken
    if not is_taken:
        assert run.of(KeeperCallFailed) == []
        assert run.the(LiquidationUnresolved).reason is UnresolvedReason.NO_EXECUTOR


def test_a_keeper_reckons_a_squeezed_short_too_and_looks_again_when_the_price_moves() -> None:
    raw = keepers(keeper(min_profit_usd=5), venue__fund__initial_usd=10)

    run = Run(raw, [SHORT], {0: 100, 10: 109, 20: "110.2"})

    # 10 x 0.545 less 0.5 is 4.95; at 110.2 it is 5.01.
    assert _times(run, TrancheTakenOver) == [22]


@pytest.mark.parametrize(("parts", "is_taken"), [(1, False), (5, True)])
def test_a_keeper_reckons_with_the_book_that_it_sees(parts: int, is_taken: bool) -> None:
    book = {"kind": "power_book", "depth_usd": 300, "reach": Decimal("0.01"), "half_life": "1s"}
    bot = keeper(min_profit_usd=-1_000, resale_parts=parts, resale_delay="20s")
    raw = keepers(bot, markets__ETH__liquidity=book)

    run = Run(raw, [LONG], {0: 100, 10: "90.6"})

    # The book shows three units: not ten, but two.
    assert bool(run.of(TrancheTakenOver)) == is_taken


def test_a_keeper_sells_on_in_parts() -> None:
    bot = keeper(purse_usd=2_000, resale_parts=4, resale_spacing="3s")

    run = Run(keepers(bot), [LONG], {0: 100, 10: "90.6"})

    assert _times(run, InventorySold) == [13, 16, 19, 22]
    assert [e.ordered_e8 for e in run.of(InventorySold)] == [e8("-2.5")] * 4


def test_a_part_is_one_of_the_most_that_was_held() -> None:
    bot = keeper(purse_usd=4_000, resale_parts=5)
    slow = Decimal("0.1")

    run = Run(keepers(bot), [LONG, (5, 100, slow + 48)], {0: 100, 10: "90.6", 12: "90.5"})

    # 10 units at 12 s, 2 sold at 13 s; at 14 s, with the 5 that came, it has 11 after 2 more.
    assert _times(run, TrancheTakenOver) == [12, 12]
    assert [e.ordered_e8 for e in run.of(InventorySold)] == [e8(-3)] * 5


def test_a_resale_cut_short_waits_until_the_book_is_half_full_again() -> None:
    book = {"kind": "power_book", "depth_usd": 300, "reach": Decimal("0.01"), "half_life": "10s"}
    raw = keepers(keeper(purse_usd=2_000), markets__ETH__liquidity=book)

    run = Run(raw, [LONG], {0: 100, 10: "90.6"})

    # The book takes three units, then one and a half whenever half of them have come back.
    assert _times(run, InventorySold) == [13, 23, 33, 43, 53]
    assert [e.quantity_e8 for e in run.of(InventorySold)] == [e8(-3), *[e8("-1.5")] * 4]


def test_a_resale_that_found_nothing_waits_for_the_next_price() -> None:
    raw = keepers(
        keeper(purse_usd=1_100, call_cost_usd=0),
        venue__fund__initial_usd=1_000,
        markets__ETH__oracle__deviation=Decimal("0.01"),
        markets__ETH__oracle__heartbeat="20s",
    )

    run = Run(raw, [SHORT], {0: 100, 10: 109, 13: 300, 35: 120})

    # 1,100 + 1,095.45 cannot buy ten back at 300, seen again with the marks at 13 and 33 s. The
    # mark of 35 s makes it possible, a second later.
    assert _times(run, TrancheTakenOver) == [12]
    assert _times(run, InventorySold) == [36]


def test_a_purse_runs_dry_of_calls_that_fail() -> None:
    poor = keeper(purse_usd=1_000, call_cost_usd=60, landing=constant("3s"))

    run = Run(keepers(keeper(), poor), [LONG, LONG], {0: 100, 10: "90.6"})

    # One call is sent: 901.47 + 60 of 1,000. It fails, and 940 do not pay for the other.
    assert [e.keeper_id for e in run.of(KeeperCallFailed)] == [SECOND]
    assert run.cash[SECOND] == 940


def test_a_purse_comes_back_when_inventory_is_sold() -> None:
    run = Run(keepers(keeper(purse_usd=1_000)), [LONG, LONG], {0: 100, 10: "90.6"})

    # 98.03 are left after the first takeover at 12 s; with 906 more at 13 s it tries again.
    assert _times(run, TrancheTakenOver) == [12, 15]
    assert run.of(LiquidationUnresolved) == []


def test_a_purse_that_lost_too_much_stays_dry() -> None:
    prices: dict[int, Any] = {0: 100, 10: "90.6", 13: 80, 14: "90.6"}

    run = Run(keepers(keeper(purse_usd=1_000), venue__fund__initial_usd=500), [LONG, LONG], prices)

    # Bought for 901.47, sold for 800: the other slice costs more than the 898.03 that are left.
    assert _times(run, TrancheTakenOver) == [12]
    assert run.cash[FIRST] == usd("898.03")
    assert run.the(LiquidationUnresolved).reason is UnresolvedReason.NO_EXECUTOR


# The last layers ----------------------------------------------------------------------------------


def hollow(**changes: Any) -> Raw:
    """Return a scenario without a fund and without deleveraging."""
    return small_scenario(venue__waterfall__deleveraging="none", **changes)


def payments(run: Run, cls: type[Any]) -> list[tuple[int, Decimal, Decimal]]:
    """Return (payer, what the share rests on, what it paid) in USD."""
    return [
        (e.payer_id, Decimal(e.basis_uusd).scaleb(-6), Decimal(e.amount_uusd).scaleb(-6))
        for e in run.of(cls)
    ]


# The loser is sold at 88.5, 15 USD below its debt of 900. Profits at that price are 11.5 a unit.
# Three shorts as in anchor A10, but with profits of 16, 8 and 1.
WINNERS = [(-2, "96.5", 4), (-1, "96.5", 20), (-1, "89.5", 10)]


def test_profits_are_cut_in_proportion_for_what_the_fund_cannot_pay() -> None:
    raw = hollow(
        venue__waterfall__profit_haircut="pro_rata",
        venue__waterfall__haircut_severity=Decimal("0.5"),
    )

    run = Run(raw, [LONG, *WINNERS], {0: 96, 10: "88.5"})

    # Half of 15 is cut: 7.5 of 25 is 30 % of each profit. The other half stays bad debt.
    assert run.story[2:] == [
        OrderFilled,
        ProfitCut,
        ProfitCut,
        ProfitCut,
        BadDebtRecorded,
        TrancheSettled,
        LiquidationEnded,
    ]
    assert payments(run, ProfitCut) == [
        (FIRST + 1, 16, usd("4.8")),
        (FIRST + 2, 8, usd("2.4")),
        (FIRST + 3, 1, usd("0.3")),
    ]
    tranche = run.entry_of(TrancheStarted).seq
    causes = {e.cause_seq for e in run.entries if isinstance(e.event, ProfitCut)}
    assert causes == {tranche}
    # Entries fall by 4.8 / 2, 2.4 and 0.3: 70 % of each profit is left.
    assert [e.entry_price_e8 for e in run.of(ProfitCut)] == [e8("94.1"), e8("94.1"), e8("89.2")]
    # Shorts: collateral and proceeds, less what they paid: 4 + 193 - 4.8, 20 + 96.5 - 2.4, ...
    assert run.cash[FIRST:] == [usd("-7.5"), usd("192.2"), usd("114.1"), usd("99.2")]
    assert run.the(BadDebtRecorded).amount_uusd == uusd("7.5")
    assert run.cash[:FIRST] == [-134, 1000 - 885 - 193 - usd("96.5") - usd("89.5"), 0, 0, 0]


def test_profits_are_cut_by_rank() -> None:
    raw = hollow(venue__waterfall__profit_haircut="queue")

    run = Run(raw, [LONG, *WINNERS], {0: 96, 10: "88.5"})

    # Ranks: 16 / 4 x 177 / 20 = 35.4; 8 / 20 x 88.5 / 28 = 1.26; 1 / 10 x 88.5 / 11 = 0.8. The
    # first could pay all 15, but its equity of 20 has a maintenance of 1.77: 16 leave 4, enough.
    assert payments(run, ProfitCut) == [(FIRST + 1, 16, 15)]
    assert run.the(ProfitCut).entry_price_e8 == e8("89")
    assert run.of(BadDebtRecorded) == []
    assert run.cash[FIRST:] == [0, 182, usd("116.5"), usd("99.5")]


def test_no_cut_makes_its_payer_due() -> None:
    raw = hollow(
        markets__ETH__maintenance=[[0, Decimal("0.02")]],
        venue__waterfall__profit_haircut="queue",
        population__cohorts__longs__leverage={"median": 5, "max": 5},
    )

    run = Run(raw, [LONG, (-2, "96.5", 3), *WINNERS[1:]], {0: 96, 10: "88.3"})

    # The hole is 17. The first winner has a profit of 16.4, and 3 + 193 - 176.6 = 19.4 of equity
    # over a maintenance of 2 % x 176.6 = 3.532: it can pay 15.868, and the second pays the rest.
    assert payments(run, ProfitCut) == [
        (FIRST + 1, usd("15.868"), usd("15.868")),
        (FIRST + 2, usd("8.2"), usd("1.132")),
    ]
    assert run.cash[FIRST] == 0
    assert [e.bucket_id for e in run.of(LiquidationTriggered)] == [FIRST]


def test_profit_that_was_cut_is_not_cut_again() -> None:
    raw = hollow(venue__waterfall__profit_haircut="queue", venue__engine__reaction="0s")

    run = Run(raw, [LONG, (10, 100, 124), (-2, "96.5", 50)], {0: 100, 10: "88.5", 20: 87})

    # First hole 15: the profit of 16 pays; entry 96.5 - 7.5 = 89. The second loser is bankrupt at
    # 87.6 and sold at 87: a hole of 6, when the profit since that entry is 4.
    assert payments(run, ProfitCut) == [(FIRST + 2, 16, 15), (FIRST + 2, 4, 4)]
    assert run.the(BadDebtRecorded).amount_uusd == uusd(2)
    assert run.cash[FIRST:] == [0, -2, 50 + 193 - 15 - 4]


def test_a_loss_is_shared_by_the_notional_of_both_sides() -> None:
    raw = hollow(venue__waterfall__socialise="notional", venue__fund__initial_usd=5)

    run = Run(raw, [LONG, (-6, 100, 60), (3, 100, 100), (-1, 90, 40)], {0: 100, 10: 89})

    # 10 short, 5 from the fund; notionals 534, 267, 89 of 890: 3, 1.5, 0.5.
    assert run.story[2:] == [
        OrderFilled,
        FundDrawn,
        LossSocialised,
        LossSocialised,
        LossSocialised,
        TrancheSettled,
        LiquidationEnded,
    ]
    assert payments(run, LossSocialised) == [
        (FIRST + 1, 534, 3),
        (FIRST + 2, 267, usd("1.5")),
        (FIRST + 3, 89, usd("0.5")),
    ]
    assert run.cash[FUND:] == [0, 0, 0, 0, 657, usd("-201.5"), usd("129.5")]
    assert run.of(BadDebtRecorded) == []


def test_a_loss_is_shared_by_equity_and_the_largest_remainders_take_what_is_left_over() -> None:
    raw = hollow(venue__waterfall__socialise="equity")

    run = Run(raw, [LONG, (-1, 99, 20), (1, 79, 20), (1, 79, 20)], {0: 100, 10: 89})

    # Three equities of 30: 10 / 3 each, and one unit over, which goes to the first.
    assert payments(run, LossSocialised) == [
        (FIRST + 1, 30, usd("3.333334")),
        (FIRST + 2, 30, usd("3.333333")),
        (FIRST + 3, 30, usd("3.333333")),
    ]
    assert run.cash[FIRST:] == [0, usd("115.666666"), usd("-62.333333"), usd("-62.333333")]


def test_what_a_capped_share_leaves_over_is_bad_debt() -> None:
    raw = hollow(venue__waterfall__socialise="notional")

    run = Run(raw, [LONG, (-1, 90, 40), (4, 92, 16)], {0: 100, 10: 89})

    # Shares of 10 by 89 and 356: 2 and 8. The second has an equity of 16 - 12 = 4 over a
    # maintenance of 3.56: it pays 0.44, and the first does not step in.
    assert payments(run, LossSocialised) == [(FIRST + 1, 89, 2), (FIRST + 2, 356, usd("0.44"))]
    assert run.the(BadDebtRecorded).amount_uusd == uusd("7.56")
    assert run.cash[FIRST:] == [usd("-7.56"), 128, usd("-352.44")]


def test_where_a_margin_of_zero_is_due_a_capped_share_leaves_a_unit() -> None:
    raw = hollow(venue__waterfall__socialise="notional", venue__due_at_zero=True)

    run = Run(raw, [LONG, (4, 92, 16)], {0: 100, 10: 89})

    assert payments(run, LossSocialised) == [(FIRST + 1, 356, usd("0.439999"))]


def test_a_loss_on_the_funding_index_is_paid_per_unit_by_the_side_that_gained() -> None:
    raw = hollow(venue__waterfall__socialise="funding_index", venue__fund__initial_usd=5)

    run = Run(raw, [LONG, (-6, 100, 60), (3, 100, 100), (-1, 90, 40)], {0: 100, 10: 89})

    # 10 short, 5 from the fund: 5 over 7 units of shorts. 6 x 5 / 7 = 4.285714..., and 0.714285...,
    # both rounded up: a micro-dollar more than the loss, for the fund. The long pays nothing.
    assert run.story[2:] == [
        OrderFilled,
        FundDrawn,
        FundingIndexMoved,
        LossSocialised,
        LossSocialised,
        TrancheSettled,
        LiquidationEnded,
    ]
    moved = run.the(FundingIndexMoved)
    assert (moved.units_e8, moved.loss_uusd, moved.residue_uusd) == (e8(-7), uusd(5), 1)
    assert payments(run, LossSocialised) == [
        (FIRST + 1, usd("4.285715"), usd("4.285715")),
        (FIRST + 3, usd("0.714286"), usd("0.714286")),
    ]
    assert run.cash[FUND:] == [
        usd("0.000001"), 0, 0, 0, usd("655.714285"), -200, usd("129.285714"),
    ]  # fmt: skip
    assert run.of(BadDebtRecorded) == []


def test_longs_pay_for_a_short() -> None:
    raw = hollow(venue__waterfall__socialise="funding_index")

    run = Run(raw, [(-10, 100, 100), (4, 100, 60), (-1, 100, 60)], {0: 100, 10: 111})

    # Bought back for 1110 out of 1100.
    moved = run.the(FundingIndexMoved)
    assert (moved.units_e8, moved.loss_uusd, moved.residue_uusd) == (e8(4), uusd(10), 0)
    assert payments(run, LossSocialised) == [(FIRST + 1, 10, 10)]
    assert run.cash[FIRST:] == [0, 60 - 400 - 10, 60 + 100]


def test_what_a_capped_charge_leaves_over_is_bad_debt() -> None:
    raw = hollow(venue__waterfall__socialise="funding_index")

    run = Run(raw, [LONG, (-1, 91, 1), (-1, 91, 100)], {0: 91, 10: 80})

    # 100 over 2 units. The first has 1 + 11 = 12 over a maintenance of 0.8: it pays 11.2 of 50, and
    # the second does not step in.
    moved = run.the(FundingIndexMoved)
    assert (moved.units_e8, moved.loss_uusd, moved.residue_uusd) == (e8(-2), uusd(100), 0)
    assert payments(run, LossSocialised) == [(FIRST + 1, 50, usd("11.2")), (FIRST + 2, 50, 50)]
    assert run.the(BadDebtRecorded).amount_uusd == uusd("38.8")
    assert run.cash[FIRST:] == [usd("-38.8"), usd("80.8"), 141]


def test_where_nobody_gained_the_index_does_not_move() -> None:
    raw = hollow(venue__waterfall__socialise="funding_index")

    run = Run(raw, [LONG, (3, 100, 100)], {0: 100, 10: 89})

    assert run.of(FundingIndexMoved) == run.of(LossSocialised) == []
    assert run.the(BadDebtRecorded).amount_uusd == uusd(10)


def test_profits_pay_before_everyone_does() -> None:
    raw = hollow(
        venue__waterfall__profit_haircut="pro_rata",
        venue__waterfall__socialise="equity",
    )

    run = Run(raw, [LONG, (-1, 95, 14), (1, 79, 30)], {0: 100, 10: 89})

    # The short's profit of 6 and the long's of 10 pay all 10: 3.75 and 6.25.
    assert payments(run, ProfitCut) == [(FIRST + 1, 6, usd("3.75")), (FIRST + 2, 10, usd("6.25"))]
    assert run.of(LossSocialised) == []
    assert run.cash[FIRST:] == [0, usd("105.25"), usd("-55.25")]


def test_a_backer_pays_into_the_fund_when_the_scenario_says() -> None:
    raw = small_scenario(
        venue__fund={
            "initial_usd": 5,
            "backers": {"parent": {"purse_usd": 60}},
            "contributions": [
                {"from": "parent", "amount_usd": 50, "at": at(5)},
                {"from": "parent", "amount_usd": 50, "at": at(20)},
                {"from": "parent", "amount_usd": 50, "at": at(30)},
            ],
        }
    )

    run = Run(raw, [LONG], {0: 100, 10: 89})

    # 50 of the 60, then the 10 that are left, then nothing. The loss of 10 is paid between.
    paid = [e for e in run.entries if isinstance(e.event, ContributionPaid)]
    assert [(e.sim_time_us, e.event.amount_uusd) for e in paid] == [
        (5_000_000, uusd(50)),
        (20_000_000, uusd(10)),
    ]
    assert [e.event.balance_uusd for e in paid] == [uusd(55), uusd(55)]
    assert [(e.event.backer_id, e.event.rule_number) for e in paid] == [(FIRST, 1), (FIRST, 2)]
    assert {e.cause_seq for e in paid} == {NO_CAUSE}
    assert run.the(TrancheStarted).limit_price_e8 == e8("84.5")
    assert run.cash == [-165, 110, 55, 0, 0, 0, 0]


def test_a_backer_pays_into_a_fund_that_has_fallen_too_low() -> None:
    raw = small_scenario(
        venue__fund={
            "initial_usd": 12,
            "backers": {"parent": {"purse_usd": 100}},
            "top_ups": [
                {
                    "from": "parent",
                    "amount_usd": 4,
                    "when_below_usd": 9,
                    "times": 2,
                    "min_interval": "3s",
                }
            ],
        }
    )

    run = Run(raw, [LONG], {0: 100, 10: 89})

    # The draw of 10 leaves 2: 4 at once, which is still too low, and 4 more three seconds later.
    draw = run.entry_of(FundDrawn)
    paid = [e for e in run.entries if isinstance(e.event, ContributionPaid)]
    assert [e.sim_time_us for e in paid] == [10_000_000, 13_000_000]
    assert [e.event.balance_uusd for e in paid] == [uusd(6), uusd(10)]
    assert [e.cause_seq for e in paid] == [draw.seq, draw.seq]
    assert run.cash == [-212, 110, 10, 0, 0, 92, 0]


def test_a_fund_that_is_too_low_from_the_start_is_topped_up_at_once() -> None:
    raw = small_scenario(
        venue__fund={
            "initial_usd": 0,
            "backers": {"parent": {"purse_usd": 100}},
            "top_ups": [{"from": "parent", "amount_usd": 4, "when_below_usd": 1}],
        }
    )

    run = Run(raw, [LONG], {0: 100})

    paid = run.entry_of(ContributionPaid)
    assert (paid.sim_time_us, paid.cause_seq) == (0, NO_CAUSE)
    assert run.cash[FUND] == 4
