"""A4: size 0.50, mark 1.30, execution 1.32: 40 bp of mark; 20 bp of mark and 10 of execution."""

from decimal import Decimal
from pathlib import Path

import pytest
from support.single import account, frictionless

from liqsim.api import run_to_log
from liqsim.mechanics.waterfall import FeeRates
from liqsim.scenario import scenario_from_dict
from replay.log import Log


@pytest.mark.parametrize(
    ("on_mark_e6", "on_execution_e6", "fee_uusd"), [(4_000, 0, 2_600), (2_000, 1_000, 1_960)]
)
def test_a4_fee(on_mark_e6: int, on_execution_e6: int, fee_uusd: int) -> None:
    rates = FeeRates(on_mark_e6, on_execution_e6)

    assert rates.fee_uusd(50_000_000, 130_000_000, 132_000_000) == fee_uusd


@pytest.mark.parametrize(
    ("on_mark", "on_execution", "fee"),
    [("0.004", "0", "0.002600"), ("0.002", "0.001", "0.001960")],
)
def test_a4_fee_through_a_run(on_mark: str, on_execution: str, fee: str, tmp_path: Path) -> None:
    # Long 0.5 from 2.00 on a margin of 0.526: at 1.30 equity is 0.176, below 0.3 x 0.65. The mark
    # is 1.30 when it is judged, and the market at 1.32 when the order arrives.
    cohorts = {"one": account(notional_usd=1, leverage=Decimal("1.9"), is_long=True)}
    raw = frictionless(
        cohorts,
        knots=[(0, 2), (10, 2), (11, Decimal("1.3")), (12, Decimal("1.32")), (30, 2)],
        maintenance=[[0, Decimal("0.3")]],
        venue={
            "fees": {
                "liquidation_on_mark": Decimal(on_mark),
                "liquidation_on_execution": Decimal(on_execution),
            },
            # The order goes out before the next mark lands: the mark is still 1.30.
            "engine": {"reaction": "900ms"},
        },
    )
    raw["markets"]["ONE"]["oracle"]["landing"] = {"median": "500ms", "p99": "500ms"}
    log = tmp_path / "a4.duckdb"
    run_to_log(scenario_from_dict(raw, source="a4"), log)

    with Log(log) as reader:
        rows = reader.sql(
            "select -f.quantity, t.mark_price, f.price, f.fee_usd from order_filled as f "
            "join tranche_started as t on t.seq = f.tranche_seq"
        ).fetchall()
    assert rows == [
        (Decimal("0.50000000"), Decimal("1.30000000"), Decimal("1.32000000"), Decimal(fee))
    ]
