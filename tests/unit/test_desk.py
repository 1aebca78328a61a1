"""The venue's desk: what it takes over, at which price, and what becomes of it, by hand."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support.auditor import Auditor, audited
from support.scenarios import HANDMADE, Raw, load, prepared_by_hand, small_scenario

from liqsim.cli.outcome_table import print_outcome
from liqsim.errors import ScenarioError
from liqsim.events import (
    FundDrawn,
    InventorySold,
    OrderFilled,
    SurplusRouted,
    TrancheSettled,
    TrancheTakenOver,
)
from liqsim.processes import venue
from liqsim.runner import run_to_log
from replay.log import Log

MAKERS, FUND, DESK, FIRST = 1, 2, 5, 6
LONG = (10, 100, 100)
USD, UNIT = 10**6, 10**8


def with_desk(**changes: Any) -> Raw:
    """Return a venue whose desk has 2,000 USD and sells on after five seconds."""
    desk = {"purse_usd": 2_000, "resale_delay": "5s"} | changes
    return small_scenario(venue__executor="desk", venue__desk=desk, venue__fund={"initial_usd": 50})


class Run:
    """A finished, audited run: its events by kind, and its closing balances in USD and units."""

    def __init__(self, raw: Raw, positions: Sequence[Any], *prices: dict[int, Any]) -> None:
        auditor: Auditor = audited(prepared_by_hand(raw, list(positions), *prices))
        self.entries = auditor.entries
        self.cash = [Decimal(value).scaleb(-6) for value in auditor._cash]
        self.units = [Decimal(value).scaleb(-8) for value in auditor._units[0]]

    def of(self, cls: type[Any]) -> list[Any]:
        return [entry.event for entry in self.entries if isinstance(entry.event, cls)]


def test_the_desk_takes_a_slice_over_at_bankruptcy_and_bears_the_price() -> None:
    # Long 10, bankrupt at 90, due at 90.50. The desk pays 900 and has 10 ETH, worth 905; five
    # seconds later the market is at 88: it gets 880, and has lost 20. The account has nothing left.
    run = Run(with_desk(), [LONG], {0: 100, 10: "90.5", 12: 88})

    (taken,) = run.of(TrancheTakenOver)
    assert (taken.keeper_id, taken.price_e8, taken.cost_uusd) == (DESK, 90 * UNIT, -900 * USD)
    assert (taken.fee_uusd, taken.call_cost_uusd) == (0, 0)
    (sold,) = run.of(InventorySold)
    assert (sold.price_e8, sold.quantity_e8) == (88 * UNIT, -10 * UNIT)
    assert not run.of(OrderFilled) + run.of(FundDrawn) + run.of(SurplusRouted)
    assert (run.cash[FIRST], run.cash[DESK], run.cash[FUND]) == (0, 1_980, 50)
    assert (run.units[FIRST], run.units[DESK]) == (0, 0)


@pytest.mark.parametrize(
    ("changes", "units"),
    [({"purse_usd": 360}, 4), ({"position_limit_usd": "271.5"}, 3), ({"purse_usd": 0}, 0)],
)
def test_what_the_desk_cannot_take_goes_to_market(changes: Raw, units: int) -> None:
    # At 90 a unit 360 USD pay for 4; at a mark of 90.50, 271.50 USD are 3. The rest is sold at
    # 90.50, and what that brings above 90 is surplus.
    changes = {key: Decimal(str(value)) for key, value in changes.items()}
    run = Run(with_desk(**changes), [LONG], {0: 100, 10: "90.5"})

    assert [taken.quantity_e8 for taken in run.of(TrancheTakenOver)] == [-units * UNIT] * (
        units > 0
    )
    (filled,) = run.of(OrderFilled)
    assert filled.quantity_e8 == -(10 - units) * UNIT
    (settled,) = run.of(TrancheSettled)
    assert (settled.filled_e8, settled.taken_over_e8) == ((10 - units) * UNIT, units * UNIT)
    assert run.cash[FIRST] == 0
    assert run.cash[FUND] == 50 + Decimal("0.5") * (10 - units)


def test_a_desk_that_pays_the_mark_leaves_the_surplus_and_no_more_than_the_fund_can_pay() -> None:
    # 1 % below 91 is 90.09: 0.90 above bankruptcy, which are surplus. 1 % below 90.50 is 89.595:
    # 4.05 below, which the fund pays.
    paying = {"price": "mark", "discount": Decimal("0.01")}
    positions = [LONG]

    above = Run(with_desk(**paying), positions, {0: 100, 10: "90.9"})
    below = Run(with_desk(**paying), positions, {0: 100, 10: "90.5"})
    beyond = Run(with_desk(**paying), positions, {0: 100, 10: "85.5"})

    assert [taken.price_e8 for taken in above.of(TrancheTakenOver)] == [8_999_100_000]
    assert [draw.amount_uusd for draw in above.of(FundDrawn)] == [90_000]
    assert [draw.amount_uusd for draw in below.of(FundDrawn)] == [4_050_000]
    assert beyond.of(TrancheTakenOver) == []  # 5.36 a unit below, and the fund has 50 for 10.


def test_a_short_ties_up_twice_its_value_and_is_bought_back() -> None:
    # Short 10, bankrupt at 110, due at 109.50. The desk receives 1,100 and buys back at 109.50.
    run = Run(with_desk(), [(-10, 100, 100)], {0: 100, 10: "109.5"})

    (taken,) = run.of(TrancheTakenOver)
    assert (taken.quantity_e8, taken.price_e8) == (10 * UNIT, 110 * UNIT)
    assert run.cash[DESK] == 2_005
    assert run.units[DESK] == 0


def desk_run(tmp_path: Path) -> Path:
    path = tmp_path / "run.duckdb"
    run_to_log(load(HANDMADE["desk_takes"]()), path)
    return path


def test_a_run_with_a_desk_is_verified_and_its_capital_accounted_for(tmp_path: Path) -> None:
    with Log(desk_run(tmp_path)) as log:
        assert log.verify() == []
        ((kind, deposits, equity, profit, capital),) = log.sql(
            "select kind, deposits_usd, equity_usd, profit_usd, capital_usd "
            "from capital_accounts where owner = 'desk'"
        ).fetchall()
        outcome = log.outcome()
        ((taken, filled),) = log.sql("select sum(taken_over), sum(filled) from tranches").fetchall()
        unpaid = log.sql(
            """
            with lost as (
                select liquidation_seq, sum(loss_usd) as usd from execution_losses group by all
            ),
            paid as (select liquidation_seq, sum(amount_usd) as usd from loss_payers group by all)
            select liquidation_seq from lost join paid using (liquidation_seq)
            where lost.usd <> paid.usd
            """
        ).fetchall()
    assert (kind, deposits, capital) == ("desk", 30_000, 30_000)
    assert equity - deposits == profit != 0
    assert Decimal(outcome["desk_profit_usd"]) == round(profit, 6)
    assert Decimal(outcome["desk_inventory_usd"]) >= 0
    assert outcome["keeper_profit_usd"] is None
    assert taken > 0 < filled
    assert unpaid == []


def test_the_outcome_tells_of_the_desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Log(desk_run(tmp_path)) as log:
        outcome = log.outcome()
        print_outcome(log, as_json=False, verbose=0)

    shown = capsys.readouterr().out
    assert "Desk, USD" in shown
    assert f"{Decimal(outcome['desk_profit_usd']):,.2f}" in shown


def test_the_audit_finds_a_desk_that_takes_too_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = venue.desk_size_e8
    monkeypatch.setattr(venue, "desk_size_e8", lambda *args, **named: right(*args, **named) // 2)

    with Log(desk_run(tmp_path)) as log:
        assert "desk" in {finding.code for finding in log.verify()}


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"name": ""}, "venue.desk.name"),
        ({"name": "fund"}, "venue.desk.name"),
        ({"name": "longs_00000"}, "venue.desk.name"),
        ({"price": "cost"}, "venue.desk.price"),
    ],
)
def test_what_a_desk_may_not_be(changes: Raw, place: str) -> None:
    with pytest.raises(ScenarioError, match=place):
        load(with_desk(**changes))


def test_a_desk_needs_its_table_and_an_engine() -> None:
    raw = with_desk()
    del raw["venue"]["engine"]
    with pytest.raises(ScenarioError, match=r"venue\.engine"):
        load(raw)
    raw = with_desk()
    del raw["venue"]["desk"]
    with pytest.raises(ScenarioError, match=r"venue\.desk"):
        load(raw)
