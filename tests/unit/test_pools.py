"""
Pools that take slices over at a discount, one small scenario each, worked out by hand.

Amounts in the comments are USD. The account is long 10 at 100 with a collateral of 100: cash
100 - 10 x 100 = -900, bankrupt at 90. Market orders get the reference price.
"""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support.scenarios import Raw, keeper_race, load, prepared_by_hand
from unit.test_absorbers import FALL, FIRST, LATE, LONG, Run, e8, falling, uusd, vault, with_fund

from liqsim.errors import ScenarioError
from liqsim.eventlog.writer import EventLogWriter
from liqsim.events import (
    Action,
    BadDebtRecorded,
    DecisionRecorded,
    FundDrawn,
    FundsDeposited,
    InventorySold,
    OrderFilled,
    PositionDeleveraged,
    TrancheTakenOver,
)
from liqsim.events.mitigation import NOT_OBSERVED
from liqsim.runner import Simulation
from replay.log import Log

POOL = FIRST
SHORT = (-12, 100, 300)


def pool(*deposits: float | str, **changes: Any) -> Raw:
    rows = [{"amount_usd": Decimal(str(deposit))} for deposit in deposits]
    return {
        "kind": "pool", "deposits": rows, "discount": 0, "resale_delay": "10s", "resale_parts": 1,
    } | changes  # fmt: skip


def dry(*mitigations: Raw, **overrides: Any) -> Raw:
    """Return a venue without a fund, whose mark shows the price of five seconds ago."""
    return with_fund(0, *mitigations, markets__ETH=LATE, **overrides)


def test_a_pool_goes_ahead_of_a_book_that_would_give_less() -> None:
    run = Run(
        dry(pool(700, 300, discount=Decimal("0.002")), venue__waterfall__surplus_to="trader"),
        [LONG, SHORT],
        FALL,
    )

    # The mark is 90.5 at 15 s, when the price is 80. The pool pays 0.2 % less than the mark,
    # 90.319 a unit, 903.19 in all, which leaves the account 3.19; it sells 10 at 80 at 25 s.
    decision, taken = run.the(DecisionRecorded), run.the(TrancheTakenOver)
    assert (decision.action, decision.mitigation_id) == (Action.ABSORBED, 0)
    assert (decision.wanted_e8, decision.size_e8) == (e8(10), e8(10))
    assert (decision.amount_uusd, decision.book_price_e8) == (uusd(1000), e8(80))
    assert run.entry_of(TrancheTakenOver).seq == run.entry_of(DecisionRecorded).seq + 1
    assert (taken.keeper_id, taken.quantity_e8, taken.price_e8) == (POOL, e8(-10), e8("90.319"))
    assert run.of(OrderFilled) == run.of(PositionDeleveraged) == []
    assert run.entry_of(InventorySold).sim_time_us == 25_000_000
    assert run.cash[POOL:] == [
        Decimal(1000) - Decimal("903.19") + 800, Decimal("3.19"), 1500,
    ]  # fmt: skip
    assert run.units[POOL:] == [0, 0, -12]


def test_it_leaves_a_slice_to_a_book_that_gives_as_much() -> None:
    # The price is the mark: 90.5 in the book, and no more from a pool without a discount.
    raw, prices = with_fund(0, pool(1000)), {0: 100, 10: "90.5"}
    run = Run(raw, [LONG, SHORT], prices)

    assert run.of(DecisionRecorded) == run.of(TrancheTakenOver) == []
    assert run.the(OrderFilled).price_e8 == e8("90.5")
    # Ahead of it in any case, if so declared.
    always = Run(with_fund(0, pool(1000, when="always")), [LONG, SHORT], prices)
    assert always.the(DecisionRecorded).book_price_e8 == e8("90.5")
    assert always.the(TrancheTakenOver).price_e8 == e8("90.5")
    assert always.of(OrderFilled) == []


def test_a_short_is_taken_over_above_the_mark() -> None:
    run = Run(
        dry(pool(5000, discount=Decimal("0.001"))),
        [(-10, 100, 100), (12, 100, 300)],
        {0: 100, 10: "109.5", 12: 120},
    )

    # The account is bankrupt at 110, the mark 109.5: 0.1 % more is 109.6095. The book asks 120.
    assert run.the(DecisionRecorded).book_price_e8 == e8(120)
    assert run.the(TrancheTakenOver).price_e8 == e8("109.6095")
    # Bought back at 120: 5000 + 1096.095 - 1200.
    assert run.cash[POOL] == Decimal("4896.095")


@pytest.mark.parametrize(
    ("leverage", "units"), [(1, 4), (Decimal("0.5"), 2)], ids=["all", "half of the capital"]
)
def test_its_capital_limits_what_it_takes(leverage: Decimal, units: int) -> None:
    run = Run(dry(pool(300, 62, leverage=leverage)), [LONG, SHORT], FALL)

    # 362 / 90.5 = 4; the book has nothing above the limit of 90, and the short buys the rest there.
    decision = run.the(DecisionRecorded)
    assert decision.amount_uusd == uusd(362 * Decimal(leverage))
    assert (decision.wanted_e8, decision.size_e8) == (e8(10), e8(units))
    assert run.the(TrancheTakenOver).quantity_e8 == e8(-units)
    assert run.the(PositionDeleveraged).quantity_e8 == e8(units - 10)


def test_what_it_holds_counts_against_its_capital() -> None:
    first, second = (10, 100, 100), (10, 100, 105)
    raw = dry(
        pool(2_000, leverage=Decimal("0.5"), resale_delay="1h"),
        venue__waterfall={"deleveraging": "none", "surplus_to": "trader"},
    )

    run = Run(raw, [first, second], {0: 100, 10: "90.5", 13: "90.3", 14: 80})

    # At 15 s the first: 1000 may be paid, 905 are, and 10 are held. At 18 s the mark is 90.3, when
    # the second is due: capital 1095 + 903, of which half is 999; 903 are held, so that 96 may be
    # paid for more: 1.06312292 units.
    one, other = run.of(DecisionRecorded)
    assert (one.amount_uusd, one.size_e8) == (uusd(1000), e8(10))
    assert (other.amount_uusd, other.size_e8) == (uusd(96), e8("1.06312292"))


def test_its_limit_in_a_market_binds_it_as_well() -> None:
    run = Run(dry(pool(5000, position_limit_usd=181)), [LONG, SHORT], FALL)

    assert run.the(TrancheTakenOver).quantity_e8 == e8(-2)


def test_it_does_not_pay_beyond_bankruptcy() -> None:
    run = Run(dry(pool(5000, discount=Decimal("0.006"), when="always")), [LONG, SHORT], FALL)

    # 90.5 less 0.6 % is 89.957.
    assert run.of(DecisionRecorded) == run.of(TrancheTakenOver) == []
    assert run.the(PositionDeleveraged).quantity_e8 == e8(-10)


def test_pools_go_in_order_and_a_vault_gets_what_is_left_of_the_book() -> None:
    small, large = pool(181, name="small"), pool(362, name="large")
    run = Run(dry(vault(purse_usd=181), small, large), [LONG, SHORT], FALL)

    taken = [(e.keeper_id - POOL, e.quantity_e8) for e in run.of(TrancheTakenOver)]
    assert taken == [(1, e8(-2)), (2, e8(-4)), (0, e8(-2))]
    assert [e.wanted_e8 for e in run.of(DecisionRecorded)] == [e8(10), e8(8)]
    assert run.the(PositionDeleveraged).quantity_e8 == e8(-2)


def test_a_vault_takes_what_it_took_without_a_pool() -> None:
    alone = Run(dry(vault(position_limit_usd=362)), [LONG, SHORT], FALL)
    idle = pool(0, 0)

    assert Run(dry(vault(position_limit_usd=362), idle), [LONG, SHORT], FALL).entries == (
        alone.entries
    )


# Depositors ---------------------------------------------------------------------------------------


def rows_of(raw: Raw, positions: Sequence[Any], path: Path) -> list[Any]:
    prepared = prepared_by_hand(raw, list(positions), FALL)
    writer = EventLogWriter.create(path, prepared.header())
    Simulation(prepared, writer).run()
    writer.seal(0.0)
    with Log(path) as log:
        assert log.verify() == []
        return log.sql(
            "select deposit_number, deposit_usd, equity_usd, profit_usd from pool_deposits"
        ).fetchall()


def test_depositors_share_a_loss_and_rounding_is_named(tmp_path: Path) -> None:
    raw = dry(pool(700, 300, "0.000001"), venue__waterfall__surplus_to="trader")

    rows = rows_of(raw, [LONG, SHORT], tmp_path / "run.duckdb")

    # Bought for 905, sold for 800: 895.000001 of 1000.000001 are left. The third has put in a
    # micro-dollar, of which 0.895 are left; with the others' fractions that is the rounding.
    assert rows == [
        (1, 700, Decimal("626.5"), Decimal("-73.5")),
        (2, 300, Decimal("268.5"), Decimal("-31.5")),
        (3, Decimal("0.000001"), 0, Decimal("-0.000001")),
        (None, None, Decimal("0.000001"), Decimal("0.000001")),
    ]


def test_every_deposit_is_an_event_and_one_of_nothing_is_none() -> None:
    run = Run(dry(pool(700, 0, 300)), [LONG], {0: 100})

    deposits = [e.amount_uusd for e in run.of(FundsDeposited) if e.owner_id == POOL]
    assert deposits == [uusd(700), uusd(300)]


# The certificate ----------------------------------------------------------------------------------


def crash(step: str, *deposits: float, discount: str = "0.0005") -> Run:
    row = pool(*deposits, discount=Decimal(discount), resale_delay="1h", when="always")
    return falling(Decimal(step), row)


def test_a_gap_and_a_discount_within_the_buffer_leave_no_bad_debt_if_there_is_capital() -> None:
    # An account that is not due at a mark has 1 % of it left: 0.9 % further down, less a discount
    # of 0.05 %, it is still worth more than nothing; and the pool can pay for all positions.
    certain = crash("0.009", 9_000, 3_000)

    assert certain.of(DecisionRecorded)
    assert certain.of(BadDebtRecorded) == certain.of(FundDrawn) == []
    # Without any one of the conditions it does not hold: step, capital, discount.
    assert crash("0.04", 9_000, 3_000).of(BadDebtRecorded)
    assert crash("0.009", 900, 100).of(BadDebtRecorded)
    assert crash("0.009", 9_000, 3_000, discount="0.004").of(BadDebtRecorded)


# Where keepers execute ----------------------------------------------------------------------------


def test_where_keepers_execute_it_is_asked_last() -> None:
    assert load(keeper_race(mitigations=[pool(100)])).mitigations
    with pytest.raises(ScenarioError, match=r'mitigations\.0\.when.*must be "worse"'):
        load(keeper_race(mitigations=[pool(100, when="always")]))


def test_the_book_that_gives_no_price_for_all_is_told_by_none() -> None:
    book = {"kind": "power_book", "depth_usd": 300, "half_life": "1m", "fill_depth_usd": 300}
    shallow = LATE | {"liquidity": book}
    raw = with_fund(0, pool(5000), markets__ETH=shallow)

    assert Run(raw, [LONG, SHORT], FALL).of(DecisionRecorded)[0].book_price_e8 == NOT_OBSERVED
