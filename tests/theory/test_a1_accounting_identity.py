"""A1: after every event positions sum to zero per contract, cash to deposits less withdrawals."""

import random
from pathlib import Path

import pytest
from support.auditor import closing_cash

from liqsim.api import load_scenario, run_to_log
from liqsim.eventlog.writer import EventLogWriter
from liqsim.runner import Simulation, prepare
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
def test_a1_identity_and_parity_of_what_ships(name: str, tmp_path: Path) -> None:
    log = tmp_path / f"{name}.duckdb"
    prepared = prepare(load_scenario(SCENARIOS / f"{name}.toml"))
    writer = EventLogWriter.create(log, prepared.header())
    simulation = Simulation(prepared, writer)
    simulation.run()
    writer.seal(0.0)
    live = simulation.world.ledger.cash.tolist()

    with Log(log) as reader:
        assert reader.verify() == []
        entries = list(reader.entries())
        statements = closing_cash(entries)
        assert [statements.get(owner, 0) for owner in range(len(live))] == live
        folded = reader.fold().cash_uusd
        assert [folded.get(owner, 0) for owner in range(len(live))] == live
        draw = random.Random(1)
        for seq in [len(entries) - 1, *(draw.randrange(len(entries)) for _ in range(3))]:
            folded = reader.fold(seq).cash_uusd
            queried = {
                owner: int(balance.scaleb(6))
                for owner, balance in reader.sql(
                    f"select owner_id, sum(amount) from cash_postings where seq <= {seq} "
                    "group by owner_id having sum(amount) <> 0"
                ).fetchall()
            }
            assert {o: cash for o, cash in folded.items() if cash} == queried
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
