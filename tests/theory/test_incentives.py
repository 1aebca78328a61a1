"""
When a keeper calls that is paid for it, in closed form.

Break-even: a takeover at the mark is sold on at the mark, so that a keeper which asks for no loss
calls if and only if reward and share of the penalty are no less than the gas of a call.

Rising auction: with a reward of a + r t since the trigger, the first instant at which that is so is
t = (gas - share - a) / r, rounded up to the clock; what is paid exceeds gas by no more than r times
a tick, however many keepers wait (the Dutch auction in reverse of the sale of a liquidation).
"""

import math
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from support.single import account, frictionless

from liqsim.api import run_to_log
from liqsim.scenario import scenario_from_dict
from replay.log import Log

AT_ONCE = {"median": "0s", "p99": "0s"}
PENALTY_UUSD = 4_600_000
"""0.5 % of 10 units at 92."""


def _raw(gas_usd: Decimal, *rows: dict[str, Any], keepers: int = 1) -> dict[str, Any]:
    bot = {
        "reaction": AT_ONCE,
        "landing": AT_ONCE,
        "purse_usd": 1_000_000,
        "call_cost_usd": gas_usd,
        "min_profit_usd": 0,
    }
    raw = frictionless(
        {"one": account(notional_usd=1_000, leverage=10, is_long=True)},
        knots=[(0, 100), (10, 100), (11, 92), (60, 92)],
        maintenance=[[0, Decimal("0.03")]],
        venue={
            "executor": "keepers",
            "fees": {"liquidation_on_execution": Decimal("0.005")},
            "keepers": {
                "discount": 0,
                "bots": {f"k{number}": dict(bot) for number in range(keepers)},
            },
        },
    )
    del raw["venue"]["engine"]
    return raw | {"mitigations": list(rows)}


def _routing(keeper: Decimal) -> dict[str, Any]:
    return {"kind": "penalty_routing", "keeper": keeper, "fund": 0, "treasury": 1 - keeper}


def _reward(**terms: Any) -> dict[str, Any]:
    return {"kind": "keeper_reward", **terms}


def _asked(raw: dict[str, Any], path: Path, sql: str) -> list[Any]:
    path.unlink(missing_ok=True)
    run_to_log(scenario_from_dict(raw, source="incentives"), path)
    with Log(path) as log:
        assert log.verify() == []
        return log.sql(sql).fetchall()


@pytest.mark.parametrize("share", ["0", "0.25", "1"])
@pytest.mark.parametrize("base", ["0.5", "7"])
def test_a_keeper_calls_exactly_when_reward_and_share_cover_gas(
    share: str, base: str, tmp_path: Path
) -> None:
    rows = [_routing(Decimal(share)), _reward(base_usd=Decimal(base))]
    even = Decimal(base) + Decimal(share) * PENALTY_UUSD / 10**6

    for gas, calls in ((even, 1), (even + Decimal("0.000001"), 0)):
        found = _asked(_raw(gas, *rows), tmp_path / "l", "select count(*) from tranche_taken_over")
        assert found == [(calls,)]


_AUCTIONS = [
    ("3", "0", "6", 1),
    ("3", "0", "7", 3),
    ("2.345678", "0.5", "11.3", 1),
    ("6", "1", "13", 2),
]


@pytest.mark.parametrize(("gas", "base", "per_minute", "keepers"), _AUCTIONS)
def test_a_rising_auction_is_won_at_the_first_instant_at_which_it_pays(
    gas: str, base: str, per_minute: str, keepers: int, tmp_path: Path
) -> None:
    share = Decimal("0.1")
    reward = _reward(law="waiting", base_usd=Decimal(base), per_minute_usd=Decimal(per_minute))
    raw = _raw(Decimal(gas), _routing(share), reward, keepers=keepers)
    lacking = Decimal(gas) - Decimal(base) - share * PENALTY_UUSD / 10**6
    first_us = math.ceil(Fraction(lacking) * 60 * 10**6 / Fraction(per_minute))

    rows = _asked(
        raw,
        tmp_path / "l",
        "select epoch_us(k.sim_time) - epoch_us(t.sim_time), r.amount_usd, "
        "(select count(*) from keeper_call_failed as f where f.sim_time = k.sim_time) "
        "from tranche_taken_over as k, liquidation_triggered as t, keeper_rewarded as r",
    )

    ((waited, paid, lost),) = rows
    assert waited == first_us
    assert (
        0 <= paid - lacking - Decimal(base) <= Decimal(per_minute) / (60 * 10**6) + Decimal("1e-6")
    )
    assert lost == keepers - 1, "all who wait for it call at that instant"


def test_with_a_cap_below_gas_the_auction_is_never_won(tmp_path: Path) -> None:
    capped = _reward(law="waiting", base_usd=0, per_minute_usd=60, max_usd=Decimal("2.999999"))

    found = _asked(_raw(Decimal(3), capped), tmp_path / "l", "select count(*) from keeper_rewarded")

    assert found == [(0,)]
