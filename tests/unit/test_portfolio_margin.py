"""
The same positions as isolated accounts and as one portfolio, worked out by hand.

Amounts in the comments are USD. There are 10 ETH and 10 BTC at 100, each with a collateral of 100,
and 1 % must be kept. Isolated, a long is due below 90.909, where its own 100 are used up but for
1 %; as a portfolio (one cross account, with a collateral of 200) all stands behind all.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
from support.scenarios import Raw, knots, listed, load, market, prepared_by_hand, small_scenario
from support.sinks import ListSink

from liqsim.events import (
    BadDebtRecorded,
    Entry,
    LiquidationTriggered,
    OrderFilled,
    Owner,
)
from liqsim.runner import Simulation, run_to_log
from replay.log import Log
from replay.verify import verify

LONG, SHORT = (10, 100, 100), (-10, 100, 100)
STAYS: Final = {0: 100}
FUND_USD: Final = 500


@attrs.frozen
class Outcome:
    """
    What became of the owner of two positions.

    Attributes:
        equity: What it has in the end, at the last prices.
        fund: What the insurance fund has, more than at the start.
        due: (second, market) of what was triggered.
        sold: (second, market) of orders.
    """

    equity: Decimal
    fund: Decimal
    due: list[tuple[float, int]]
    sold: list[tuple[float, int]]


def outcome(accounts: Sequence[Any], *prices: Mapping[int, Any], **changes: Any) -> Outcome:
    raw = small_scenario(
        markets={"ETH": market(), "BTC": market()}, venue__fund__initial_usd=FUND_USD, **changes
    )
    prepared, sink = prepared_by_hand(raw, list(accounts), *prices), ListSink()
    simulation = Simulation(prepared, sink)
    simulation.run()
    ledger, first = simulation.world.ledger, prepared.first_bucket
    equity = Decimal(int(ledger.cash[first:].sum())).scaleb(-6)
    for number, path in enumerate(prices):
        units = Decimal(int(ledger.units[number, first:].sum())).scaleb(-8)
        equity += units * Decimal(path[max(path)])

    def places(cls: type[Any]) -> list[tuple[float, int]]:
        return [_place(e) for e in sink.entries if isinstance(e.event, cls)]

    assert not places(BadDebtRecorded)
    fund = Decimal(int(ledger.cash[Owner.FUND])).scaleb(-6) - FUND_USD
    return Outcome(equity, fund, places(LiquidationTriggered), places(OrderFilled))


def _place(entry: Entry) -> tuple[float, int]:
    event: Any = entry.event
    return entry.sim_time_us / 10**6, event.market_id


def both(one: Any, other: Any, *prices: Mapping[int, Any], **changes: Any) -> list[Outcome]:
    """Return the outcome of two isolated accounts, and of one portfolio of both."""
    return [outcome(a, *prices, **changes) for a in ([one, [None, other]], [[one, other]])]


def test_a_hedge_saves_the_portfolio_and_not_the_isolated_leg() -> None:
    # Both markets fall to 90.5 and come back: long ETH has lost 95, short BTC won 95.
    fall = {0: 100, 10: "90.5", 40: 100}
    isolated, portfolio = both(LONG, SHORT, fall, fall)

    # Isolated, ETH has 5 and must keep 9.05: it is sold at 90.5, and the 5 go to the fund.
    assert isolated == Outcome(Decimal(100), Decimal(5), [(10, 0)], [(10, 0)])
    # As a portfolio there are 200 all the time, and 18.1 to be kept.
    assert portfolio == Outcome(Decimal(200), Decimal(0), [], [])


def test_a_second_leg_carries_a_fall_that_comes_back() -> None:
    # ETH falls to 82 alone: isolated it is due at 90, where nothing is left of its 100.
    isolated, portfolio = both(LONG, LONG, {0: 100, 10: 91, 20: 90, 30: 82, 40: 100}, STAYS)

    assert isolated == Outcome(Decimal(100), Decimal(0), [(20, 0)], [(20, 0)])
    # The portfolio has 20 at 82, and must keep 8.2 + 10: 1.8 to spare, and all of it at 100.
    assert portfolio == Outcome(Decimal(200), Decimal(0), [], [])


def test_what_carries_is_lost_with_what_it_carried() -> None:
    # The same fall goes on to 80: the portfolio is due 20 s later, and then for all that it has.
    isolated, portfolio = both(LONG, LONG, {0: 100, 10: 91, 20: 90, 30: 82, 40: 80}, STAYS)

    assert isolated == Outcome(Decimal(100), Decimal(0), [(20, 0)], [(20, 0)])
    # At 80 there is 0, and 18 to be kept: BTC (10 of them) goes first, ETH one slice later.
    assert portfolio == Outcome(Decimal(0), Decimal(0), [(40, 0)], [(40, 1), (41, 0)])


def test_a_gap_of_an_isolated_leg_is_paid_by_others() -> None:
    # ETH is 80 at once: 100 more are lost than stood behind it.
    isolated, portfolio = both(LONG, LONG, {0: 100, 10: 80}, STAYS)

    assert isolated == Outcome(Decimal(100), Decimal(-100), [(10, 0)], [(10, 0)])
    assert portfolio == Outcome(Decimal(0), Decimal(0), [(10, 0)], [(10, 1), (11, 0)])
    # Together they lose the same 200: isolation moves half of it from the owner to the fund.
    assert isolated.equity + isolated.fund == portfolio.equity + portfolio.fund == 0


def test_legs_that_fall_together_are_due_together() -> None:
    # Sums: at 91 each leg keeps 0.9 above its 9.1, and the portfolio 1.8; at 90.9 nobody does.
    fall = {0: 100, 10: 91, 20: "90.9"}
    isolated, portfolio = both(LONG, LONG, fall, fall)

    assert [when for when, _ in isolated.due] == [20, 20]
    assert portfolio.due == [(20, 1)]  # The mark of ETH lands first, and it can bear that one.
    # Of 2 x 9 that are left isolated accounts lose all, the portfolio only ETH: what that leaves
    # above bankruptcy is margin of its other leg.
    assert (isolated.equity, isolated.fund) == (0, 18)
    assert (portfolio.equity, portfolio.fund, portfolio.sold) == (18, 0, [(20, 0)])


def test_a_haircut_on_profit_makes_a_hedge_count_for_less() -> None:
    # Half of the collateral: 100 - 95 + 95 are left at 90.5, of which 18.1 are to be kept.
    lean = [[(10, 100, 50), (-10, 100, 50)]]
    prices = {0: 100, 10: "90.5"}, {0: 100, 9: "90.5"}
    found = {
        cut: outcome(lean, *prices, venue__margin__unrealised_profit_haircut=Decimal(cut)).due
        for cut in ("0", "0.5", "0.9")
    }

    # Half of the 95 won count for 100 - 95 + 47.5 = 52.5; a tenth for 14.5.
    assert found == {"0": [], "0.5": [], "0.9": [(10, 0)]}


@pytest.mark.parametrize("is_portfolio", [False, True])
def test_files_of_accounts_say_which_it_is(tmp_path: Path, *, is_portfolio: bool) -> None:
    rows: list[tuple[Any, ...]] = [
        ("ann_eth", "ETH", 10, 100, 100),
        ("ann_btc", "BTC", 10, 100, 100),
    ]
    if is_portfolio:
        rows = [("ann", "ETH", 10, 100, 200), ("ann", "BTC", 10, 100, "")]
    run_to_log(load(_files(rows)), tmp_path / "run.duckdb")

    assert verify(tmp_path / "run.duckdb") == []
    with Log(tmp_path / "run.duckdb") as log:
        found = log.outcome()
    # The gap to 80 of the example above: 100 from the fund, or both legs of the owner's.
    fund = "500.000000" if is_portfolio else "400.000000"
    assert (found["liquidations"], found["fund_end_usd"]) == (1, fund)
    assert found["liquidated_usd"] == ("1800.000000" if is_portfolio else "800.000000")


def _files(rows: Sequence[tuple[Any, ...]]) -> Raw:
    path = knots((0, 100), (9, 100), (10, 80), (60, 80))
    return small_scenario(
        markets={"ETH": market(path=path), "BTC": market()},
        venue__fund__initial_usd=FUND_USD,
        population={"accounts": listed(*rows)},
    )
