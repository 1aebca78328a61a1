"""What scenarios/README.md says of the shipped scenario `coin_margined` is what it does."""

from pathlib import Path

from liqsim.runner import run_to_log
from liqsim.scenario import load_scenario
from replay.log import Log

ROOT = Path(__file__).parents[2]


def test_longs_with_coins_are_due_earlier_and_more_of_them(tmp_path: Path) -> None:
    path = tmp_path / "run.duckdb"
    run_to_log(load_scenario(ROOT / "scenarios/coin_margined.toml"), path)

    with Log(path) as log:
        rows = log.sql(
            "select cohort, count(distinct bucket_id), sum(liquidated_usd) / 1000000, "
            "min(triggered_at) from liquidations group by cohort order by cohort"
        ).fetchall()
        assert log.verify() == []
    (_, coins, coins_usd, first_coin), (_, usd, usd_usd, first_usd) = rows

    assert first_coin < first_usd
    told = (ROOT / "scenarios/README.md").read_text(encoding="utf-8")
    said = f"{usd} with USD are liquidated ({usd_usd:.1f} M USD)"
    assert f"{said} and {coins} with coins ({coins_usd:.1f} M USD)" in told
