"""
What is at stake in a market of inverse contracts, in dollars, worked out by hand.

Amounts in the comments are USD. An account that is long 10 at 100 has 1,000 contracts of a dollar,
whatever the mark.
"""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support.auditor import audited
from support.models import model_text
from support.scenarios import Raw, in_coins, load, market
from unit.test_coin_paths import inverse
from unit.test_margin_scaling import RULE, decided
from unit.test_predicting import decisions
from unit.test_predicting import rule as predictive
from unit.test_settlement_paths import Run

from liqsim.events import LiquidationTriggered, OrderFilled
from liqsim.runner import prepare, run_to_log
from replay.verify import verify

LONG = (10, 100, 0, 10)
OLD_LONG = (4, 300, 0, 20)
SHORT = (-5, 100, 0, 10)


def under(rule: Raw, **changes: Any) -> Raw:
    return inverse(mitigations=[RULE | rule], **changes)


def test_open_interest_of_inverse_contracts_is_their_dollars_at_any_mark() -> None:
    rule = {"kind": "open_interest_margin", "reference_usd": 500}
    run = Run(under(rule), [LONG, OLD_LONG, SHORT], {0: 100, 15: 95, 35: 130})

    # Long are 1,000 and 4 x 300, short 500 and the makers 1,700.
    assert decided(run) == [(10, 2_200_000_000, 4_400_000)]


def test_open_interest_of_inverse_contracts_is_the_larger_side() -> None:
    rule = {"kind": "open_interest_margin", "reference_usd": 500}
    run = Run(under(rule), [SHORT, SHORT, (2, 100, 0, 2)], {0: 100})

    # Short are 1,000; long 200, and the makers 800.
    assert decided(run) == [(10, 1_000_000_000, 2_000_000)]


def test_contracts_that_are_closed_are_at_stake_no_longer() -> None:
    rule = {"kind": "open_interest_margin", "reference_usd": 500, "high": 9}
    run = Run(under(rule), [(10, 100, 0, 1), OLD_LONG], {0: 100, 15: "91.5"})

    # 2,200 make rates of 4.4 %: the first has 100 for 44. At 91.5 it has 6.5 and is sold.
    assert len(run.of(LiquidationTriggered)) == len(run.of(OrderFilled)) == 1
    assert decided(run) == [(10, 2_200_000_000, 4_400_000), (20, 1_200_000_000, 2_400_000)]


@pytest.mark.parametrize("mark", [100, 140])
def test_concentration_of_inverse_contracts_counts_dollars(mark: int) -> None:
    rule = {"kind": "concentration_margin", "largest": 1, "reference": Decimal("0.1")}
    run = Run(under(rule), [LONG, OLD_LONG, SHORT], {0: mark})

    # 1,200 of 2,200 have the fewer units.
    assert decided(run) == [(10, 545_454, 5_454_540)]


def test_a_market_of_inverse_contracts_weighs_its_dollars_in_a_basket() -> None:
    rule = {"kind": "correlation_margin", "half_life": "10s", "reference": 1, "low": 0}
    raw = under(rule | {"market": "SOL"}, markets__BTC=market(), markets__SOL=market())
    held = [LONG, [None, (10, 100, 1_000)], [None, None, (1, 100, 100)]]
    up = {0: 100, 15: 110, 25: 121}
    run = Run(raw, held, up, {0: 100, 15: Decimal(1000) / 11}, up)

    # With a = ln 1.1: at 20 s 1,000 of ETH gain a and 909.09 of BTC lose it, b = a / 21; at 30 s
    # the 1,000 of 1,909.09 gain it, b' = 11 / 21 a. Correlation (1 + 11) / root(2 (1 + 121)).
    ((at_s, seen, _),) = decided(run)
    assert at_s == 30
    assert seen == pytest.approx(768_221, abs=2)


def test_the_ladder_of_inverse_contracts_is_in_dollars() -> None:
    row = predictive(model_text(intercept=-2, ladder=1, distance=Decimal("0.05")))
    run = Run(inverse(mitigations=[row]), [(10, 100, 0, 1), OLD_LONG], {0: 95})

    # At 90.25 the first is due; at 95 its units are worth 950.
    (_, e), *_ = decisions(run)
    assert (e.ladder_uusd, e.open_interest_uusd) == (1_000_000_000, 2_200_000_000)


_ROWS: list[Raw] = [
    {"kind": "open_interest_margin", "reference_usd": 7_000},
    {"kind": "concentration_margin", "largest": 3, "reference": Decimal("0.2")},
    {"kind": "correlation_margin", "half_life": "6s", "reference": Decimal("0.5")},
    predictive(model_text(intercept=-2, ladder=2, forced=1, interest=Decimal("0.1"))) | {"high": 2},
]


@pytest.mark.parametrize("row", _ROWS, ids=lambda row: row["kind"])
def test_read_side_and_auditor_see_the_dollars_too(row: Raw, tmp_path: Path) -> None:
    row = row | {
        "period": "2s", "low": Decimal("0.2"), "high": Decimal("2.5"), "ramp": 1, "restore": 1,
        "grain": Decimal("0.000001"), "notice": "1s",
    }  # fmt: skip
    scenario = load(in_coins(mitigations=[row]))
    run_to_log(scenario, tmp_path / "run.duckdb")

    assert verify(tmp_path / "run.duckdb") == []
    census = audited(prepare(scenario)).census
    assert (
        sum(count for name, count in census.items() if name.endswith((" raised", " lowered"))) > 3
    )
    assert census["triggered inverse"]
