"""The table in README.md is what the shipped scenario `oracle_lag` says."""

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

from liqsim.runner import run_to_log
from liqsim.scenario import load_scenario
from replay.log import Log

ROOT = Path(__file__).parents[2]
_ROW = re.compile(r"^\| (\w+) \| ([\d,]+) \| ([\d,.]+) \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|$")


def _told() -> dict[str, list[str]]:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    return {row[1]: list(row.groups()[1:]) for line in lines if (row := _ROW.match(line))}


def _outcome(delay: str, path: Path) -> dict[str, Any]:
    landing = f'markets.ETH.oracle.landing={{median="{delay}",p99="{delay}"}}'
    run_to_log(load_scenario(ROOT / "scenarios/oracle_lag.toml", overrides=[landing]), path)
    with Log(path) as log:
        assert log.verify() == []
        return log.outcome()


def _row(outcome: dict[str, Any]) -> list[str]:
    amounts = ("fund_lowest_usd", "fund_end_usd", "bad_debt_usd")
    return [
        f"{outcome['liquidated_accounts']:,}",
        f"{Decimal(outcome['lowest_market_eth']):,.2f}",
        *(f"{Decimal(outcome[key]):,.0f}" for key in amounts),
    ]


def test_readme_tells_what_four_delays_do(tmp_path: Path) -> None:
    told = _told()

    outcomes = {delay: _outcome(delay, tmp_path / f"{delay}.duckdb") for delay in told}

    assert list(told) == ["0s", "30s", "2m", "10m"]
    assert {delay: _row(outcome) for delay, outcome in outcomes.items()} == told
    debts = [Decimal(outcome["bad_debt_usd"]) for outcome in outcomes.values()]
    assert debts == sorted(debts)
    lows = [Decimal(outcome["lowest_market_eth"]) for outcome in outcomes.values()]
    assert lows[:3] == sorted(lows[:3], reverse=True)
    assert lows[3] > lows[0]
    assert all(Decimal(outcome["fund_lowest_usd"]) == 0 for outcome in list(outcomes.values())[1:])
