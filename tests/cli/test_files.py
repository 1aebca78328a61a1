"""Results and whole logs as files, and the life of an account, from the command line."""

import csv
import json
from datetime import datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from replay import export
from replay.log import Log
from replay.views import VIEWS

SQL = "select seq, sim_time, quantity, price, value_usd, bucket from fills order by seq"


def test_a_result_in_parquet_keeps_its_types_and_rows(stranger, log):
    answer = stranger.says("query", log, SQL, "-o", "fills.parquet")

    read = pq.read_table("fills.parquet")
    assert answer.exit_code == 0
    assert answer.stdout == ""
    assert answer.stderr == f"{read.num_rows} rows: fills.parquet\n"
    assert read.schema.field("price").type == pa.decimal128(18, 8)
    assert read.schema.field("value_usd").type == pa.decimal128(38, 16)
    assert read.schema.field("sim_time").type == pa.timestamp("us")
    with Log(log) as opened:
        rows = opened.sql(SQL).fetchall()
    assert [tuple(row.values()) for row in read.to_pylist()] == rows
    assert isinstance(rows[0][1], datetime)
    assert rows[0][2] * rows[0][3] == -rows[0][4]


def test_a_result_in_csv_and_json_is_what_would_be_printed(stranger, log):
    for form in ("csv", "json"):
        printed = stranger.says("query", log, SQL, "-f", form).stdout
        assert stranger.says("query", log, SQL, "-o", f"fills.{form}").exit_code == 0
        assert (stranger.folder / f"fills.{form}").read_text() == printed
    with (stranger.folder / "fills.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [row["price"] for row in table] == [
        row["price"] for row in json.loads((stranger.folder / "fills.json").read_text())
    ]


def test_the_format_can_be_said_where_the_ending_does_not(stranger, log):
    assert stranger.says("query", log, SQL, "-o", "fills.txt", "-f", "csv").exit_code == 0
    assert (stranger.folder / "fills.txt").read_text().startswith("seq,sim_time,")


REFUSED = {
    "there already": (["-o", "taken.csv"], "taken.csv: exists already"),
    "a folder": (["-o", "taken", "-f", "csv"], "taken: exists already"),
    "a dangling link": (["-o", "link.csv"], "link.csv: exists already"),
    "no such folder": (["-o", "nowhere/a.csv"], "there is no folder nowhere"),
    "unknown ending": (["-o", "a.xlsx"], ".csv, .json, .parquet"),
    "two forms": (["-o", "a.csv", "-f", "json"], "--format json and the ending of a.csv contra"),
    "no ending": (["-o", "a"], ".csv, .json, .parquet"),
    "a table into a file": (["-o", "a.csv", "-f", "table"], ".csv, .json, .parquet"),
    "parquet to a terminal": (["-f", "parquet"], "--output FILE"),
}


@pytest.mark.parametrize(("words", "said"), REFUSED.values(), ids=REFUSED)
def test_an_output_is_refused(stranger, log, words, said):
    (stranger.folder / "taken.csv").write_text("mine")
    (stranger.folder / "taken").mkdir()
    (stranger.folder / "link.csv").symlink_to("nothing")
    before = stranger.files()

    answer = stranger.says("query", log, SQL, *words)

    assert (answer.exit_code, answer.stdout) == (2, "")
    assert said in answer.stderr
    assert stranger.files() == before
    assert (stranger.folder / "taken.csv").read_text() == "mine"


UNWRITABLE = {
    "a type that Parquet has not": ("select interval 1 day as gap", "as Parquet"),
    "two columns of one name": ("select 1 as a, 2 as a", "a is there more than once"),
    "SQL that is refused": ("drop table runs", "only one SELECT"),
}


@pytest.mark.parametrize(("sql", "said"), UNWRITABLE.values(), ids=UNWRITABLE)
def test_a_result_that_cannot_be_written_leaves_nothing(stranger, log, sql, said):
    before = stranger.files()

    answer = stranger.says("query", log, sql, "-o", "out.parquet")

    assert answer.exit_code == 2
    assert said in answer.stderr
    assert stranger.files() == before


def test_an_output_needs_a_question(stranger, log):
    answer = stranger.says("query", log, "-o", "out.csv")

    assert answer.exit_code == 2
    assert "no SQL" in answer.stderr


def test_a_whole_log_as_parquet(stranger, log):
    answer = stranger.says("export", log, "all")

    files = sorted(path.stem for path in (stranger.folder / "all").iterdir())
    assert answer.exit_code == 0
    with Log(log) as opened:
        assert files == export.relations(opened)
        assert {*VIEWS, "runs", "order_filled", "events", "postings", "owners"} <= set(files)
        for name in files:
            read = pq.read_table(stranger.folder / f"all/{name}.parquet")
            expected = opened.query(f"from {name} order by all")
            assert read.schema == expected.schema, name
            assert read.equals(expected), name
        total = sum(opened.query(f"from {name}").num_rows for name in files)
    assert answer.stdout == f"{total:,} rows in {len(files)} files: all\n"
    fills = pq.read_schema(stranger.folder / "all/order_filled.parquet")
    assert fills.field("quantity").type == pa.decimal128(18, 8)
    assert fills.field("cost_usd").type == pa.decimal128(18, 6)
    assert fills.field("sim_time").type == pa.timestamp("us")


@pytest.mark.parametrize("folder", ["full", "empty", "file", "nowhere/all"])
def test_an_export_never_overwrites(stranger, log, folder):
    (stranger.folder / "full").mkdir()
    (stranger.folder / "full/mine").write_text("mine")
    (stranger.folder / "empty").mkdir()
    (stranger.folder / "file").write_text("mine")
    before = stranger.files()

    answer = stranger.says("export", log, folder)

    assert answer.exit_code == 2
    assert answer.stderr.startswith(f"error: {folder}: ")
    assert stranger.files() == before


def test_what_is_no_log_is_not_exported(stranger):
    (stranger.folder / "no.duckdb").write_text("this is no log")
    before = stranger.files()

    assert stranger.says("export", "no.duckdb", "all").exit_code == 2
    assert stranger.files() == before


@pytest.mark.parametrize("words", [("export",), ("query", SQL, "-o")])
def test_what_fails_half_way_leaves_nothing(stranger, log, monkeypatch, words):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_batch", fail)
    monkeypatch.setattr(pq.ParquetWriter, "write_table", fail)
    before = stranger.files()

    answer = stranger.says(words[0], log, *words[1:], "out.parquet")

    assert answer.exit_code == 2
    assert "No space left on device" in answer.stderr
    assert stranger.files() == before


def test_nothing_but_the_result_goes_to_stdout(log):
    with Log(log) as opened:
        (setting,) = opened.sql("select current_setting('enable_progress_bar')").fetchall()
    assert setting == (False,)


def test_the_life_of_an_account(stranger, log, monkeypatch):
    with Log(log) as opened:
        account, tranches = opened.sql(
            "select bucket, tranches from liquidations order by tranches desc, bucket limit 1"
        ).fetchall()[0]
        count = opened.sql(
            f"select count(*) from account_life where account = '{account}'"
        ).fetchall()[0][0]
    told = stranger.says("replay", log, "--account", account, "--json").json
    words = [event["what"] for event in told["events"]]

    assert (told["account"], len(words)) == (account, count)
    assert words[:3] == ["deposit", "opening", "trigger"]
    assert words.count("tranche") >= tranches > 1
    assert Decimal(told["events"][2]["margin_usd"]) < 0
    assert [e["seq"] for e in told["events"]] == sorted(e["seq"] for e in told["events"])

    monkeypatch.setenv("COLUMNS", "300")
    wide = stranger.says("replay", log, "--account", account).stdout.splitlines()
    assert wide[0] == f"{account}, account of crowd in engine_cascade"
    assert len(wide) == 4 + count
    assert wide[2].split()[:4] == ["time", "event", "what", "market"]
    assert " opening " in wide[5]
    monkeypatch.setenv("COLUMNS", "80")
    narrow = stranger.says("replay", log, "--account", account).stdout.splitlines()
    assert max(map(len, narrow)) <= 80
    assert len([line for line in narrow if line.startswith("    -> position ")]) == count


@pytest.mark.parametrize(
    "words",
    [("--at", "2026-01-01 00:01:10"), ("--owner", "fund"), ("--kind", "fund_drawn")],
)
def test_a_life_is_whole(stranger, log, words):
    answer = stranger.says("replay", log, "--account", "crowd_00001", *words)

    assert answer.exit_code == 2
    assert "--account shows a whole life" in answer.stderr


def test_nobody_has_no_life(stranger, log):
    answer = stranger.says("replay", log, "--account", "crowd_00000001")

    assert answer.exit_code == 2
    assert "did you mean crowd_" in answer.stderr


# The story of a liquidation -----------------------------------------------------------------------


def triggers(log):
    with Log(log) as opened:
        return opened.sql(
            "select liquidation_seq, bucket, loss_usd from liquidation_story "
            "where loss_usd <> 0 order by liquidation_seq limit 2"
        ).fetchall()


def test_the_story_of_a_liquidation_adds_up(stranger, log):
    (seq, bucket, loss), *_ = triggers(log)

    told = stranger.says("replay", log, "--liquidation", seq, "--json").json

    assert (told["liquidation_seq"], told["bucket"]) == (seq, bucket)
    names = ("cushion", "displacement", "delay", "slippage", "fee")
    assert sum(Decimal(told[f"{name}_usd"]) for name in names) == loss
    assert sum(Decimal(payer["amount_usd"]) for payer in told["payers"]) == loss
    lines = stranger.says("replay", log, "--liquidation", seq).stdout.splitlines()
    assert lines[0].startswith(f"liquidation {seq}, {bucket}, ")
    assert [line.split()[0] for line in lines if line.split()[:1] and line.split()[0] in names] == [
        *names
    ]
    assert max(map(len, lines)) <= 80


def test_only_a_trigger_has_a_story(stranger, log):
    (seq, *_), *_ = triggers(log)

    for other, said in ((seq + 1, "is"), (10**9, "there is no event")):
        answer = stranger.says("replay", log, "--liquidation", other)
        assert answer.exit_code == 2
        assert f"--liquidation {other}: " in answer.stderr
        assert said in answer.stderr
    answer = stranger.says("replay", log, "--liquidation", seq, "--account", "crowd_00001")
    assert answer.exit_code == 2
