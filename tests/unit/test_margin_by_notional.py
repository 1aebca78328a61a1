"""
Maintenance by notional, and profits that count in part, with every balance worked out by hand.

Amounts in the comments are USD. Market orders get the reference price.
"""

from decimal import Decimal
from pathlib import Path
from typing import Any

from support.auditor import audited
from support.scenarios import HANDMADE, Raw, load, market, prepared_by_hand, small_scenario

from liqsim.events import LiquidationTriggered
from liqsim.runner import run_to_log
from replay.log import Log


def by_notional(**overrides: Any) -> Raw:
    """Return a venue that asks for 1 % up to 500 USD and 5 % above."""
    raw = small_scenario(**overrides)
    table = raw["markets"]["ETH"]
    del table["maintenance"]
    table["maintenance_usd"] = [[0, Decimal("0.01")], [500, Decimal("0.05")]]
    return raw


def triggers(raw: Raw, positions: list[Any], *prices: dict[int, Any]) -> list[Any]:
    """Return the triggers of a run, which is audited."""
    auditor = audited(prepared_by_hand(raw, positions, *prices))
    events = [entry.event for entry in auditor.entries]
    return [event for event in events if isinstance(event, LiquidationTriggered)]


def test_the_part_above_a_notional_is_asked_for_at_its_own_rate() -> None:
    # Long 10 from 100 with 100: -900 + 930 - 5 - 5 % of 430 = 3.50 at 93; at 92.60 it is
    # -900 + 926 - 5 - 5 % of 426 = -0.30. At 1 % of all of it, 90.91 would have been the level.
    found = triggers(by_notional(), [(10, 100, 100)], {0: 100, 5: 93, 10: "92.6"})

    (trigger,) = found
    assert trigger.mark_price_e8 == 9_260_000_000
    assert trigger.maintenance_uusd == 26_300_000
    assert trigger.margin_uusd == -300_000
    assert trigger.bankruptcy_price_e8 == 90 * 10**8


def test_a_rising_price_takes_a_short_into_a_higher_tier() -> None:
    # Short 5 from 100 with 100: cash 600. At 117: 600 - 585 - 5 - 5 % of 85 = 5.75.
    # At 118.50: 600 - 592.50 - 5 - 5 % of 92.50 = -2.125; at 1 % of all it would be 1.575.
    found = triggers(by_notional(), [(-5, 100, 100)], {0: 100, 5: 117, 10: "118.5"})

    (trigger,) = found
    assert trigger.margin_uusd == -2_125_000


def test_a_profit_counts_in_part_and_a_loss_in_full() -> None:
    # Long 10 ETH and short 10 BTC from 100 each, with 100. BTC falls to 92, a profit of 80, of
    # which 40 count. ETH falls to 87, a loss of 130: 100 - 130 + 40 - 8.70 - 9.20 = -7.90.
    raw = small_scenario(
        markets__BTC=market(), venue__margin__unrealised_profit_haircut=Decimal("0.5")
    )
    positions = [[(10, 100, 100), (-10, 100, 0)]]
    prices = {0: 100, 10: 87}, {0: 100, 5: 92}

    found = triggers(raw, positions, *prices)

    assert found[0].margin_uusd == -7_900_000
    assert found[0].maintenance_uusd == 17_900_000
    # Equity counts it in full: 100 - 130 + 80 = 50, 5 a unit below the mark.
    assert found[0].bankruptcy_price_e8 == 82 * 10**8
    del raw["venue"]["margin"]
    assert triggers(raw, positions, *prices) == []


def test_a_run_with_kinks_is_verified(tmp_path: Path) -> None:
    scenario = load(HANDMADE["kinked"]())
    run_to_log(scenario, tmp_path / "run.duckdb")

    with Log(tmp_path / "run.duckdb") as log:
        assert log.verify() == []
        ((count,),) = log.sql("select count(*) from liquidations").fetchall()
    assert count > 10
