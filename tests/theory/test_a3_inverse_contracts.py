"""A3: liquidation and bankruptcy price of an inverse position, as multiples of entry."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support.single import account, frictionless

from liqsim.api import run_to_log
from liqsim.mechanics.margin import MarginRule, bankruptcy_price_e8, due_prices_e8, pieces
from liqsim.scenario import scenario_from_dict
from liqsim.units import taker_cost_uusd
from replay.log import Log
from replay.verify import verify

# (leverage, maintenance, long, short) as published; the last two rows follow from the closed form.
TABLE = [
    ("10", "0.005", 0.9136363636, 1.1055555556),
    ("20", "0.01", 0.9619047619, 1.0421052632),
    ("50", "0.01", 0.9901960784, 1.0102040816),
    ("1.5", "0.1", 0.66, 2.7),
    ("9.5", "0.1", 0.9952380952, 1.0058823529),
]
ENTRY_E8 = 1_000_000 * 10**8  # Dear enough that rounding is below the tolerance.


def ruin(leverage: str, side: int) -> float:
    """Return the bankruptcy price: the closed form without maintenance."""
    return float(leverage) / (float(leverage) + side)


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize(("leverage", "maintenance", "long", "short"), TABLE)
def test_a3_closed_form(
    leverage: str, maintenance: str, long: float, short: float, side: int
) -> None:
    quantity = side * 1_000 * 10**8
    coins = round(1_000 * 10**8 / Decimal(leverage))
    rate = int(Decimal(maintenance) * 10**6)
    rule = MarginRule(((0, rate),), is_by_notional=True, is_inverse=True)
    cash = -taker_cost_uusd(quantity, ENTRY_E8)

    held = pieces(rule, quantity, ENTRY_E8, coins_e8=coins)
    falling, rising = due_prices_e8(cash, held)
    trigger, other = (falling, rising) if side > 0 else (rising, falling)

    assert trigger is not None
    assert other is None
    assert trigger / ENTRY_E8 == pytest.approx(long if side > 0 else short, rel=1e-9)
    bankruptcy = bankruptcy_price_e8(cash, quantity + coins)
    assert bankruptcy / ENTRY_E8 == pytest.approx(ruin(leverage, side), rel=1e-9)


@pytest.mark.parametrize("coins", [10, 11])
def test_a_short_with_a_coin_for_every_dollar_at_entry_is_never_due(coins: int) -> None:
    rule = MarginRule(((0, 500_000),), is_by_notional=True, is_inverse=True)
    quantity, entry = -10 * 10**8, 100 * 10**8

    held = pieces(rule, quantity, entry, coins_e8=coins * 10**8)

    assert due_prices_e8(1_000 * 10**6, held) == (None, None)


@pytest.mark.parametrize(("leverage", "maintenance", "long", "short"), TABLE)
def test_a3_through_a_run(
    leverage: str, maintenance: str, long: float, short: float, tmp_path: Path
) -> None:
    # The price sweeps through every multiple in the table, at most 0.06 % a step.
    in_coins: dict[str, Any] = {"collateral": "coin"}
    cohorts = {
        "long": account(notional_usd=1000, leverage=Decimal(leverage), is_long=True) | in_coins,
        "short": account(notional_usd=1000, leverage=Decimal(leverage), is_long=False) | in_coins,
    }
    raw = frictionless(cohorts, knots=[(0, 1000), (900, 650), (3_900, 2_800)], maintenance=[])
    raw["markets"]["ONE"] |= {
        "contract": "inverse",
        "maintenance_usd": [[0, Decimal(maintenance)]],
    }
    path = tmp_path / "a3.duckdb"
    run_to_log(scenario_from_dict(raw, source="a3"), path)

    with Log(path) as reader:
        found = {
            side: (float(mark), float(before), float(bankruptcy))
            for side, mark, before, bankruptcy in reader.sql(
                """
                select case when t.quantity > 0 then 'long' else 'short' end, t.mark_price,
                    (select arg_max(u.price, u.seq) from oracle_updated as u
                     where u.seq < t.cause_seq), t.bankruptcy_price
                from liquidation_triggered as t
                """
            ).fetchall()
        }
    for side, sign, multiple in (("long", 1, long), ("short", -1, short)):
        mark, before, bankruptcy = found[side]
        low, high = sorted((mark, before))
        assert low <= multiple * 1000 <= high, side
        assert high / low < 1.001, side
        assert bankruptcy == pytest.approx(1000 * ruin(leverage, sign), rel=1e-7)
    assert verify(path) == []
