"""A3: liquidation and bankruptcy price of a linear position, as multiples of entry."""

from decimal import Decimal
from pathlib import Path

import pytest
from support.single import account, frictionless

from liqsim.api import run_to_log
from liqsim.mechanics.margin import MarginRule, bankruptcy_price_e8, pieces, trigger_price_e8
from liqsim.scenario import scenario_from_dict
from liqsim.units import taker_cost_uusd
from replay.log import Log

# (leverage, maintenance, long, short) as published; None where the source gives no figure.
TABLE = [
    ("10", "0.005", 0.9045226131, 1.0945273632),
    ("20", "0.01", 0.9595959596, 1.0396039604),
    ("50", "0.01", 0.9898989899, 1.0099009901),
    ("1.5", "0.1", 0.3703703704, 1.5151515152),
    ("9.5", "0.1", 0.9941520468, None),
]
ENTRY_E8 = 1_000_000 * 10**8  # Dear enough that rounding is below the tolerance.


SIDES = [
    (leverage, maintenance, side, expected)
    for leverage, maintenance, long, short in TABLE
    for side, expected in ((1, long), (-1, short))
    if expected is not None
]


@pytest.mark.parametrize(("leverage", "maintenance", "side", "expected"), SIDES)
def test_a3_closed_form(leverage: str, maintenance: str, side: int, expected: float) -> None:
    quantity = side * 1_000 * 10**8
    cost = taker_cost_uusd(quantity, ENTRY_E8)
    collateral = int(Decimal(abs(cost)) / Decimal(leverage))
    rule = MarginRule(((0, int(Decimal(maintenance) * 10**6)),))

    held = pieces(rule, quantity, ENTRY_E8)
    trigger = trigger_price_e8(collateral - cost, held, is_long=side > 0)
    bankruptcy = bankruptcy_price_e8(collateral - cost, quantity)

    assert trigger is not None
    assert trigger / ENTRY_E8 == pytest.approx(expected, rel=1e-9)
    assert bankruptcy / ENTRY_E8 == pytest.approx(1 - side / float(leverage), rel=1e-9)


@pytest.mark.parametrize(("leverage", "maintenance", "long", "short"), TABLE)
def test_a3_through_a_run(
    leverage: str, maintenance: str, long: float, short: float | None, tmp_path: Path
) -> None:
    # The price sweeps through every multiple in the table, at most 0.06 % a step.
    steps = 3_600
    cohorts = {
        "long": account(notional_usd=1000, leverage=Decimal(leverage), is_long=True),
        "short": account(notional_usd=1000, leverage=Decimal(leverage), is_long=False),
    }
    raw = frictionless(
        cohorts,
        knots=[(0, 1000), (steps // 2, 340), (2 * steps, 1600)],
        maintenance=[[0, Decimal(maintenance)]],
    )
    log = tmp_path / "a3.duckdb"
    run_to_log(scenario_from_dict(raw, source="a3"), log)

    with Log(log) as reader:
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
    for side, multiple in (("long", long), ("short", short)):
        if multiple is None:
            continue
        mark, before, bankruptcy = found[side]
        low, high = sorted((mark, before))
        assert low <= multiple * 1000 <= high, side
        assert high / low < 1.001, side
        sign = 1 if side == "long" else -1
        assert bankruptcy == pytest.approx(1000 * (1 - sign / float(leverage)), rel=1e-8)
