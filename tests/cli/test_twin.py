"""`liqsim run --twin`: the run, the same without impact, and the difference."""

from decimal import Decimal

import duckdb
import pytest
from support.scenarios import cross_crash, engine_cascade, keeper_race


def rows(log, sql):
    with duckdb.connect(log, read_only=True) as connection:
        return connection.execute(sql).fetchall()


def test_the_twin_is_the_same_run_without_impact(stranger, cascade):
    found = stranger.says("run", cascade, "--twin", "--json", "--out", "a.duckdb").json

    twin = found["twin"]
    assert twin["log"] == "a_twin.duckdb"
    assert stranger.says("outcome", "a_twin.duckdb", "--json").json == twin
    alone = {key: value for key, value in found.items() if key not in ("twin", "difference")}
    assert stranger.says("outcome", "a.duckdb", "--json").json == alone
    assert (
        twin["lowest_market_eth"] == twin["lowest_reference_eth"] == found["lowest_reference_eth"]
    )
    less = Decimal(found["liquidated_usd"]) - Decimal(twin["liquidated_usd"])
    assert Decimal(found["difference"]["liquidated_usd"]) == less > 0
    accounts = "select owner_id, amount_usd from funds_deposited order by seq"
    assert rows("a.duckdb", accounts) == rows("a_twin.duckdb", accounts)
    for log in ("a.duckdb", "a_twin.duckdb"):
        assert stranger.says("verify", log).exit_code == 0


@pytest.mark.parametrize("make", [engine_cascade, keeper_race, cross_crash])
def test_the_twin_of_a_purged_run_faces_what_it_found(stranger, make):
    file = stranger.write_scenario("crash.toml", make() | {"path_mode": "purged"})
    found = stranger.says("run", file, "--twin", "--json", "--out", "a.duckdb").json

    assert found["baseline"] is None
    (digest,) = rows("a.duckdb", "select reference_digest from runs")[0]
    assert found["twin"]["baseline"] == digest
    prices = "from reference_prices order by all"
    assert rows("a.duckdb", prices) == rows("a_twin.duckdb", prices)


def test_where_nothing_has_impact_the_twin_is_the_run(stranger):
    raw = engine_cascade()
    raw["markets"]["ETH"]["liquidity"] = {"kind": "no_impact"}
    file = stranger.write_scenario("still.toml", raw)
    found = stranger.says("run", file, "--twin", "--json", "--out", "a.duckdb").json

    assert found["liquidations"] > 0
    assert found["digest"] == found["twin"]["digest"]
    assert {Decimal(str(value)) for value in found["difference"].values()} == {Decimal(0)}


def test_a_person_sees_actual_twin_and_difference(stranger, cascade):
    answer = stranger.says("run", cascade, "--twin", "--out", "a.duckdb")

    title = next(line for line in answer.stdout.splitlines() if line.startswith("Against the twin"))
    assert title.split()[-3:] == ["actual", "twin", "difference"]
    assert "log of the twin  a_twin.duckdb" in answer.stdout
    quiet = stranger.says("run", cascade, "--twin", "--quiet", "--out", "b.duckdb")
    assert quiet.stdout.split() == ["b.duckdb", "b_twin.duckdb"]


def test_a_log_in_the_place_of_the_twin_is_refused_before_anything_runs(stranger, cascade):
    (stranger.folder / "a_twin.duckdb").touch()
    answer = stranger.says("run", cascade, "--twin", "--out", "a.duckdb")

    assert answer.exit_code == 2
    assert "a_twin.duckdb: exists already" in answer.stderr
    assert not (stranger.folder / "a.duckdb").exists()


def test_the_parameters_of_the_book_rest_on_nothing_in_the_twin(stranger):
    raw = engine_cascade() | {
        "basis": {
            "markets.ETH.liquidity.half_life": {"kind": "assumed"},
            "markets.ETH.liquidity": {"kind": "assumed"},
            "venue.tranches": {"kind": "assumed"},
        }
    }
    file = stranger.write_scenario("based.toml", raw)

    answer = stranger.says("run", file, "--twin", "--quiet", "--out", "a.duckdb")
    assert answer.exit_code == 0, answer.stderr
