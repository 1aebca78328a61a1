"""Opening a log: what is read, and one clear line for everything that cannot be."""

import gc
import os
import subprocess
import sys
import textwrap

import duckdb
import numpy as np
import pytest
from unit.handmade_log import e8, engine_story, keeper_story, tamper, us, usd, write

from liqsim.errors import LogError, LogInUseError
from liqsim.eventlog.reader import NULL, LogReader, open_log
from liqsim.events import FundDrawn, LiquidationEnded, OracleUpdated, TrancheTakenOver
from replay.log import Log


@pytest.fixture
def path(tmp_path):
    return write(tmp_path / "log.duckdb", engine_story())


def refusal(path) -> str:
    with pytest.raises(LogError) as refused:
        open_log(path)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_file_that_is_not_there(tmp_path):
    assert refusal(tmp_path / "none.duckdb").endswith("none.duckdb: there is no such file")


def test_a_directory(tmp_path):
    assert refusal(tmp_path).endswith("is a directory, not a log")


@pytest.mark.parametrize("content", [b"", b"x", b"select 1;" * 9999])
def test_a_file_that_is_no_duckdb_file(tmp_path, content):
    path = tmp_path / "text.duckdb"
    path.write_bytes(content)

    assert refusal(path).endswith("not a log (not a DuckDB file)")


def test_a_duckdb_file_that_is_no_log(tmp_path):
    path = tmp_path / "other.duckdb"
    duckdb.connect(str(path)).close()

    assert "not a log (a DuckDB file without the table runs)" in refusal(path)


def test_a_log_without_a_manifest(path):
    tamper(path, "delete from runs")

    assert "not a log (runs has 0 rows, must have 1)" in refusal(path)


@pytest.mark.parametrize(("version", "age"), [(1, "older"), (3, "newer")])
def test_a_log_of_another_schema(path, version, age):
    tamper(path, f"update runs set schema_version = {version}", "drop table profit_cut")

    assert f"schema version {version} is {age} than 2" in refusal(path)


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("drop table batches", "batches.batch_number"),
        ("alter table fund_drawn alter amount_usd type double", "fund_drawn.amount_usd"),
        ("drop view postings", "postings.seq"),
    ],
)
def test_a_log_that_lacks_a_part(path, statement, what):
    tamper(path, statement)

    assert f"not a complete log: {what}" in refusal(path)


def test_a_truncated_file(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])

    assert "cannot be read" in refusal(path)


def test_a_log_that_another_process_writes(path):
    holder = textwrap.dedent(
        """
        import sys, duckdb
        connection = duckdb.connect(sys.argv[1])
        print("open", flush=True)
        sys.stdin.read()
        """
    )
    process = subprocess.Popen(
        [sys.executable, "-c", holder, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "open\n"
        with pytest.raises(LogInUseError, match=f"in use by process {process.pid}$"):
            open_log(path)
    finally:
        process.communicate("")


def test_a_log_left_by_a_kill_is_read_with_its_write_ahead_log(path):
    killed = textwrap.dedent(
        """
        import os, sys, duckdb
        connection = duckdb.connect(sys.argv[1])
        connection.execute("update runs set cpu_features = 'from the write-ahead log'")
        os.kill(os.getpid(), 9)
        """
    )
    subprocess.run([sys.executable, "-c", killed, str(path)], check=False)
    assert os.path.exists(f"{path}.wal")  # noqa: PTH110 — the name DuckDB gives it

    with open_log(path) as log:
        assert log.manifest.cpu_features == "from the write-ahead log"


def test_readers_of_one_log_close_in_any_order(path):
    one = Log(path)
    right = one.outcome()
    with Log(path) as other:
        one.close()
        assert other.outcome() == right
        assert other.query("from genealogy").num_rows == right["liquidations"]

    log = Log(path)
    log.query("from liquidation_ladder")
    for _ in range(3):  # As a notebook does when a cell is run again.
        log = Log(path)
        gc.collect()
        assert log.outcome() == right
        assert log.query("from liquidation_ladder").num_rows > 0
    log.close()


def test_a_new_file_under_the_name_of_an_open_one(path, tmp_path):
    with Log(path) as old:
        relation = old.sql("select count(*) from liquidations")
        write(tmp_path / "newer.duckdb", keeper_story()).replace(path)
        with Log(path) as new:
            assert new.manifest.digest != old.manifest.digest
            assert new.outcome()["digest"] == new.manifest.digest
        assert old.outcome()["digest"] == old.manifest.digest
        assert relation.fetchall() == [(4,)]


def test_a_log_that_this_process_writes(path):
    with duckdb.connect(str(path)), pytest.raises(LogInUseError, match=r"in use by this process$"):
        open_log(path)

    with open_log(path), pytest.raises(duckdb.Error, match="already attached"):
        duckdb.connect(str(path))


def test_a_table_that_could_not_be_made_is_made_the_next_time(path, monkeypatch):
    with Log(path) as log:
        right = log.outcome()
    define, left = LogReader.define, [20]

    def stopped(self, statement):
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        define(self, statement)

    monkeypatch.setattr(LogReader, "define", stopped)
    with Log(path) as log:
        with pytest.raises(KeyboardInterrupt):
            log.outcome()
        assert log.outcome() == right


@pytest.mark.parametrize("name", ["it's.duckdb", "sqlite:log.duckdb", "log.parquet"])
def test_names_that_a_statement_could_take_otherwise(name, path, monkeypatch):
    monkeypatch.chdir(path.parent)
    path.rename(name)
    with Log(name) as log:
        assert log.outcome()["liquidations"] == 4


def test_opening_changes_nothing(path):
    before = path.read_bytes()
    with Log.open(path) as log:
        log.outcome()
        log.verify()

    assert before == path.read_bytes()


def test_the_manifest_and_the_small_tables(path):
    with open_log(path) as log:
        assert (log.manifest.seed, log.manifest.status, log.manifest.end_us) == (
            7,
            "sealed",
            us(20),
        )
        assert log.manifest.utc(us("0.5")).isoformat() == "2020-03-12T00:00:00.500000+00:00"
        assert [owner.name for owner in log.owners[:3]] == ["outside", "makers", "fund"]
        assert (log.owners[5].cohort, log.owners[5].market_id) == ("crowd", 0)
        assert log.markets == {0: "ETH", 1: "BTC"}
        assert [(b.first_seq, b.last_seq) for b in log.batches] == [(0, 56)]
        at_us, price_e8 = log.reference_prices()[0]
        assert at_us[5] == us(5)
        assert price_e8[5] == e8("90.5")


def test_columns_are_the_integers_of_the_event_classes(path):
    story = engine_story()
    with open_log(path) as log:
        drawn = log.columns(FundDrawn)
        updates = log.columns(OracleUpdated)
        ended = log.columns(LiquidationEnded)
        none = log.columns(TrancheTakenOver)

    assert drawn["amount_uusd"].tolist() == [usd("0.5"), usd("5.5"), usd("5.548")]
    assert updates["reason"].tolist() == [0, 0, 1, 2]
    assert updates["cause_seq"].tolist() == [-1, -1, -1, story.names["fay2_fill"]]
    assert updates["published_at_us"].tolist() == [us("0.1"), us("0.1"), us("5.1"), us("11.1")]
    assert ended["cash_uusd"].tolist() == [0, 0, usd("-39.452")]
    assert all(array.dtype == np.int64 for array in drawn.values())
    assert none["seq"].tolist() == []


def test_values_without_a_meaning_are_kept_apart(path):
    tamper(path, "update oracle_updated set reason = 'whim', price = null where seq = 13")
    with open_log(path) as log:
        columns = log.columns(OracleUpdated)
        assert (columns["reason"][0], columns["price_e8"][0]) == (-1, NULL)
        with pytest.raises(LogError, match=r"event 13 has no legal oracle_updated\.price"):
            list(log.entries())
