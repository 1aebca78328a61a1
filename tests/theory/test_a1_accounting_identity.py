"""A1: after every event positions sum to zero per contract, cash to deposits less withdrawals."""

from pathlib import Path

import pytest

from liqsim.api import load_scenario, run_to_log
from replay.log import Log

SCENARIOS = Path(__file__).parents[2] / "scenarios"

DRIFT = """
    with moved as (
        select seq, asset_id, sum(amount) as amount from postings group by seq, asset_id
    )
    select count(*), coalesce(sum(abs(amount)), 0) from moved where amount <> 0
"""
POSITIONS = """
    select count(*) from (
        select seq, asset_id, sum(sum(amount)) over (partition by asset_id order by seq) as total
        from unit_postings group by seq, asset_id
    ) where total <> 0
"""
CASH = """
    with everyone as (
        select seq, sum(sum(amount)) over (order by seq) as held
        from cash_postings where owner_id <> 0 group by seq
    ), deposits as (
        select seq, sum(amount_usd) over (order by seq) as deposited from funds_deposited
    )
    select count(*), count(*) filter (held <> deposited)
    from everyone asof join deposits on everyone.seq >= deposits.seq
"""


@pytest.mark.parametrize("name", ["black_thursday_2020", "linear_cascade", "quiet_day"])
def test_a1_identity_after_every_event(name: str, tmp_path: Path) -> None:
    log = tmp_path / f"{name}.duckdb"
    run_to_log(load_scenario(SCENARIOS / f"{name}.toml"), log)

    with Log(log) as reader:
        assert reader.query(DRIFT).to_pylist() == [
            {"count_star()": 0, "COALESCE(sum(abs(amount)), 0)": 0}
        ]
        assert reader.sql(POSITIONS).fetchall() == [(0,)]
        ((checked, wrong),) = reader.sql(CASH).fetchall()
    assert checked > 0
    assert wrong == 0


def test_quiet_day_control_nothing_happens(tmp_path: Path) -> None:
    log = tmp_path / "quiet.duckdb"
    run_to_log(load_scenario(SCENARIOS / "quiet_day.toml"), log)

    with Log(log) as reader:
        kinds = dict(reader.sql("select kind, count(*) from events group by kind").fetchall())
        outcome = reader.outcome()
    assert set(kinds) == {"funds_deposited", "position_opened", "oracle_updated", "market_extremes"}
    assert kinds["oracle_updated"] > 1_000
    assert (outcome["liquidations"], outcome["unresolved_buckets"]) == (0, 0)
    for market in ("eth", "btc"):
        assert outcome[f"lowest_market_{market}"] == outcome[f"lowest_reference_{market}"]
