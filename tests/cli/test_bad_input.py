"""What is refused: one message that names file, key, value and bound; exit 2; nothing written."""

import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from support.scenarios import at, changed, cohort, engine_cascade, keeper, knots, market

REFUSED_FILES = {
    "unknown key": (
        {"venue__tranches__shares": 1},
        ["venue.tranches.shares", "nearest", "venue.tranches.share"],
    ),
    "wrong type": ({"venue__fund__initial_usd": "much"}, ["venue.fund.initial_usd", '"much"']),
    "wrong unit": (
        {"venue__tranches__spacing": "5 parsecs"},
        ["venue.tranches.spacing", '"5 parsecs"'],
    ),
    "no unit": ({"venue__tranches__spacing": 5}, ["venue.tranches.spacing", "5"]),
    "negative amount": (
        {"venue__fund__initial_usd": -1},
        ["venue.fund.initial_usd = -1", "from 0 to 999999999999"],
    ),
    "overflowing amount": (
        {"venue__fund__initial_usd": 10**12},
        ["venue.fund.initial_usd = 1000000000000", "999999999999"],
    ),
    "tranche share of 0": (
        {"venue__tranches__share": 0},
        ["venue.tranches.share = 0", "above 0 and at most 1"],
    ),
    "haircut severity of 0": (
        {"venue__waterfall__haircut_severity": 0},
        ["venue.waterfall.haircut_severity = 0", "above 0 and at most 1"],
    ),
    "contribution of a stranger": (
        {
            "venue__fund__backers": {"parent": {"purse_usd": 1}},
            "venue__fund__contributions": [{"from": "perent", "amount_usd": 1, "at": at(9)}],
        },
        ["venue.fund.contributions.0.from", '"perent"', "venue.fund.backers", "parent"],
    ),
    "backer that every run has": (
        {"venue__fund__backers": {"Fund": {"purse_usd": 1}}},
        ["venue.fund.backers.Fund", "must not be one of outside"],
    ),
    "backer named like an account": (
        {"venue__fund__backers": {"crowd_00003": {"purse_usd": 1}}},
        ["venue.fund.backers.crowd_00003", "an account of population.cohorts.crowd"],
    ),
    "keeper named like an account": (
        {"venue__keepers": {"discount": 0, "bots": {"crowd_00029": keeper()}}},
        ["venue.keepers.bots.crowd_00029", "an account of population.cohorts.crowd"],
    ),
    "a halt seen from nowhere": (
        {
            "population__cohorts__crowd__traders": {
                "reaction": {"median": "0s", "p99": "0s"},
                "anticipate": {"share": 1, "from": 0},
            }
        },
        ["population.cohorts.crowd.traders.anticipate.from = 0", "must be above 0"],
    ),
    "contribution after the end": (
        {
            "venue__fund__backers": {"parent": {"purse_usd": 1}},
            "venue__fund__contributions": [{"from": "parent", "amount_usd": 1, "at": at(999)}],
        },
        ["venue.fund.contributions.0.at", "must be in the run"],
    ),
    "contribution at the end": (
        {
            "venue__fund__backers": {"parent": {"purse_usd": 1}},
            "venue__fund__contributions": [{"from": "parent", "amount_usd": 1, "at": at(180)}],
        },
        ["contributions.0.at = 2026-01-01T00:03:00Z must be in the run, 2026-", "to before 2026-"],
    ),
    "shock at the end": (
        {"markets__ETH__shocks": [{"at": at(180), "fraction": Decimal("-0.1")}]},
        ["markets.ETH.shocks.0.at", "to before 2026-01-01T00:03:00Z"],
    ),
    "change of depth at the end": (
        {
            "markets__ETH__liquidity__schedule": [
                {"at": at(180), "multiplier": 2, "half_life": "1s"}
            ]
        },
        ["markets.ETH.liquidity.schedule.0.at", "to before"],
    ),
    "overload after the end": (
        {"venue__engine__overloads": [{"from": at(9), "to": at(181), "orders_per_second": 1}]},
        ["venue.engine.overloads.0.to", "must be in the run"],
    ),
    "unknown asset in a cohort": (
        {"population__cohorts__crowd__market": "DOGE"},
        ["population.cohorts.crowd.market", '"DOGE"', "ETH"],
    ),
    "NaN": ({"markets__ETH__maintenance": [[0, float("nan")]]}, ["maintenance", "nan"]),
    "maintenance raised to one": (
        {"markets__ETH__maintenance_changes": [{"at": at(9), "multiplier": 20}]},
        ["markets.ETH.maintenance_changes.0.multiplier = 20", "at most 19.99998", "0.05"],
    ),
    "a haircut on coins that nobody has": (
        {"mitigations": [{"kind": "correlation_margin", "scales": "haircut"}]},
        ['mitigations.0.scales = "haircut"', 'must be "maintenance"', "venue.margin.coin_haircut"],
    ),
    "unsorted changes of maintenance": (
        {
            "markets__ETH__maintenance_changes": [
                {"at": at(9), "multiplier": 2},
                {"at": at(9), "multiplier": 1},
            ]
        },
        ["markets.ETH.maintenance_changes.1.at", "must be above the one before it"],
    ),
    "unsorted knots": (
        {"markets__ETH__path__knots": [[at(9), 1], [at(0), 1], [at(180), 1]]},
        ["markets.ETH.path.knots"],
    ),
    "duplicate knots": (
        {"markets__ETH__path": knots((0, 100), (60, 90), (60, 91), (180, 100))},
        ["markets.ETH.path.knots"],
    ),
    "end before the start": ({"end": at(-60)}, ["end = 2025-12-31T23:59:00Z", "after start"]),
    "price beyond the ledger": (
        {"markets__ETH__shocks": [{"at": at(9), "fraction": Decimal("-0.9999999999999999")}]},
        ["markets.ETH.path", "must stay within"],
    ),
    "position below one unit": (
        {
            "markets__GOLD": market(path=knots((0, 9_000_000_000), (180, 9_000_000_000))),
            "population__cohorts__dust": cohort(market="GOLD", notional_usd=Decimal("0.01")),
        },
        ["population.cohorts.dust"],
    ),
}

REFUSED_SQL = {
    "two statements": "select 1; select 2",
    "no statement": "",
    "not SQL": "what happened?",
    "insert": "insert into runs select * from runs",
    "update": "update runs set seed = 2",
    "create": "create table t as select 1",
    "write a file": "copy runs to 'stolen.csv'",
    "change settings": "set enable_external_access = true",
    "pragma": "pragma enable_profiling",
    "attach": "attach 'other.duckdb'",
    "read a file": "select * from read_text('cascade.toml')",
    "scan a file": "select * from 'cascade.csv'",
    "explained write": "explain analyze delete from runs",
    "unknown table": "select * from liquidation",
}


def refused(answer):
    assert answer.exit_code == 2
    assert answer.stdout == ""
    assert answer.stderr.startswith("error: ")
    assert "Traceback" not in answer.stderr
    return answer.stderr


@pytest.mark.parametrize("case", REFUSED_FILES)
def test_a_bad_scenario_is_refused_before_anything_is_written(stranger, case):
    changes, words = REFUSED_FILES[case]
    file = stranger.write_scenario("bad.toml", changed(engine_cascade(), changes))
    message = refused(stranger.says("run", file))

    assert message.startswith("error: bad.toml: ")
    for word in words:
        assert word in message
    assert stranger.files() == {"bad.toml"}


def test_all_that_is_wrong_is_said_at_once(stranger):
    changes = {"venue__fund__initial_usd": -1, "venue__tranches__share": 0}
    file = stranger.write_scenario("bad.toml", changed(engine_cascade(), changes))

    assert refused(stranger.says("run", file)).count("error: bad.toml: ") == 2


def test_a_file_that_is_not_toml_is_refused(stranger):
    Path("bad.toml").write_text("name = ", encoding="utf-8")

    assert refused(stranger.says("run", "bad.toml")).startswith("error: bad.toml: is not TOML")


@pytest.mark.parametrize("setting", ["venue.tranches.share=2", "venue.tranches", "nonsense=1"])
def test_a_bad_setting_is_refused(stranger, cascade, setting):
    assert setting.partition("=")[0] in refused(stranger.says("run", cascade, "--set", setting))
    assert stranger.files() == {"cascade.toml"}


def test_a_bad_seed_is_refused(stranger, cascade):
    assert "seed = -1 must be from 0" in refused(stranger.says("run", cascade, "--seed=-1"))


def test_an_output_that_exists_is_refused(stranger, cascade):
    Path("out.duckdb").write_text("precious")

    assert "out.duckdb: exists already" in refused(
        stranger.says("run", cascade, "--out", "out.duckdb")
    )
    assert Path("out.duckdb").read_text() == "precious"
    assert stranger.files() == {"cascade.toml", "out.duckdb"}


def test_an_output_that_leads_nowhere_is_refused(stranger, cascade):
    Path("out.duckdb").symlink_to("nowhere/at_all.duckdb")

    refused(stranger.says("run", cascade, "--out", "out.duckdb"))


def test_an_output_in_no_folder_is_refused(stranger, cascade):
    message = refused(stranger.says("run", cascade, "--out", "there/out.duckdb"))

    assert message == f"error: {Path('there/out.duckdb')}: there is no folder there\n"
    assert stranger.files() == {"cascade.toml"}


def test_the_remains_of_another_log_are_not_mixed_in(stranger, cascade):
    Path("out.duckdb.wal").write_text("what a killed process left")
    message = refused(stranger.says("run", cascade, "--out", "out.duckdb"))

    assert "out.duckdb.wal: is left from another log" in message
    assert stranger.files() == {"cascade.toml", "out.duckdb.wal"}


@pytest.mark.parametrize("command", ["verify", "outcome", "resume", "replay", "query"])
class TestEveryReader:
    def test_refuses_what_is_not_there(self, stranger, command):
        message = refused(stranger.says(command, "none.duckdb"))

        assert message == "error: none.duckdb: there is no such file\n"
        assert stranger.files() == set()

    def test_refuses_what_is_not_a_log(self, stranger, command, cascade):
        assert "cascade.toml: not a log" in refused(stranger.says(command, cascade))

    def test_refuses_another_kind_of_database(self, stranger, command):
        with duckdb.connect("other.duckdb") as connection:
            connection.execute("create table t as select 1")

        assert "other.duckdb: not a log" in refused(stranger.says(command, "other.duckdb"))

    def test_refuses_a_newer_schema(self, stranger, command, log):
        with duckdb.connect(log) as connection:
            connection.execute("update runs set schema_version = 99")

        assert f"{log}: schema version 99 is newer" in refused(stranger.says(command, log))

    def test_says_who_is_writing(self, stranger, command, log):
        code = f"import duckdb; c = duckdb.connect('{log}'); print('in', flush=True); input()"
        with subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as writer:
            writer.stdout.readline()
            message = refused(stranger.says(command, log))
            writer.communicate(b"\n")

        assert message == f"error: {log}: in use by process {writer.pid}\n"


@pytest.mark.parametrize("case", REFUSED_SQL)
def test_sql_that_is_not_one_question_is_refused(stranger, cascade, log, case):
    before = log.read_bytes()
    refused(stranger.says("query", log, REFUSED_SQL[case]))

    assert log.read_bytes() == before
    assert stranger.files() == {"cascade.toml", "sealed.duckdb"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--at", "noon"], "'noon' is not a time"),
        (["--at", "2027-01-01"], "is not in the log, which goes from 2026-01-01T00:00:00"),
        (["--seq", "999999"], "event 999999 is not in the log"),
        (["--seq=-1"], "event -1 is not in the log"),
        (["--at", "2026-01-01", "--seq", "1"], "not both"),
        (["--at", "2026-01-01", "--after", "1"], "--at, --seq, --owner, --ladder show a state"),
        (["--owner", "crowd_1"], "did you mean crowd_"),
        (["--kind", "order_fill"], "did you mean order_filled?"),
        (["--from", "soon"], "'soon' is not a time"),
    ],
)
def test_an_instant_that_is_not_there_is_refused(stranger, log, words, told):
    assert told in refused(stranger.says("replay", log, *words))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write all")
def test_a_folder_that_may_not_be_written_is_refused(stranger, cascade):
    stranger.folder.chmod(0o500)
    try:
        assert "ermission denied" in refused(stranger.says("run", cascade))
    finally:
        stranger.folder.chmod(0o700)
