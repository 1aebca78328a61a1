"""A person's SQL: what is admitted, what is refused and how, and how results are written."""

import json

import pytest
from unit.handmade_log import engine_story, write

from liqsim.errors import QueryError
from replay.log import Log
from replay.query import column_names, text_rows, to_csv, to_json


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    with Log(write(tmp_path_factory.mktemp("query") / "log.duckdb", engine_story())) as opened:
        yield opened


@pytest.mark.parametrize(
    "sql",
    [
        "select count(*) from order_filled",
        "select 1;",
        "-- why\nselect ';'",
        "with a as (select 1 as x) select * from a",
        "from liquidations",
        "values (1), (2)",
        "describe runs",
        "show tables",
        "explain select 1",
        "EXPLAIN /* slowly */ ANALYZE select 1",
        "explain (select 1)",
        "explain (format json) select 1",
        "explain analyze (format json) from runs",
    ],
)
def test_one_select_or_explain_is_admitted(log, sql):
    assert log.query(sql).num_rows > 0


@pytest.mark.parametrize(
    "text",
    [
        "14 months", "-14 months", "1 day", "-1 day", "3 days 25:00:01.5", "0.000001 s", "-1 s",
        "0 s", "100 hours", "1 month -1 day 2 s", "-0.25 s",
    ],
)  # fmt: skip
def test_an_interval_is_written_as_duckdb_does(log, text):
    table = log.query(f"select interval '{text}' as i, (interval '{text}')::varchar as said")
    ((interval, said),) = text_rows(table)
    assert interval == said
    assert json.loads(to_json(table))[0]["i"] == said


def test_the_difference_of_two_times_is_hours_minutes_and_seconds(log):
    table = log.query(
        "select timestamp '2020-03-12 05:00:00' - timestamp '2020-03-12 01:32:47' as i, [i] as l"
    )
    assert list(text_rows(table)) == [["03:27:13", '["03:27:13"]']]


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        ("insert into batches values (1, 2, 3, 'x')", "INSERT"),
        ("update runs set seed = 1", "UPDATE"),
        ("delete from runs", "DELETE"),
        ("drop table runs", "DROP"),
        ("alter table runs add column x int", "ALTER"),
        ("create table x (i int)", "CREATE"),
        ("create temp table x as select 1", "CREATE"),
        ("create temp macro x() as 1", "CREATE"),
        ("copy runs to 'x.csv'", "COPY"),
        ("attach 'x.duckdb'", "ATTACH"),
        ("detach x", "DETACH"),
        ("use memory", "SET"),
        ("set threads = 1", "SET"),
        ("reset threads", "SET"),
        ("pragma database_list", "PRAGMA"),
        ("call pragma_version()", "CALL"),
        ("checkpoint", "CALL"),
        ("load json", "LOAD"),
        ("install json", "LOAD"),
        ("export database 'x'", "EXPORT"),
        ("begin", "TRANSACTION"),
        ("prepare p as select 1", "PREPARE"),
        ("vacuum", "VACUUM"),
        ("explain insert into batches values (1, 2, 3, 'x')", "INSERT"),
        ("explain analyze create temp table x as select 1", "CREATE"),
        ("explain -- x\n analyze (format json) create temp table x as select 1", "CREATE"),
        ("pivot runs on status using count(*)", "MULTI"),
        ("select 1; select 2", "2 statements"),
        ("select 1; drop table runs", "2 statements"),
        ("", "0 statements"),
        ("-- nothing", "0 statements"),
    ],
)
def test_anything_else_is_refused_by_its_name(log, sql, what):
    with pytest.raises(QueryError, match=f"only one SELECT or EXPLAIN is allowed.*{what}"):
        log.query(sql)


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        ("select * from read_csv('/etc/passwd')", "file system operations are disabled"),
        ("select * from read_text('/etc/passwd')", "file system operations are disabled"),
        ("select * from glob('/*')", "file system operations are disabled"),
        ("select * from '/etc/passwd'", "does not exist"),
        ("select * from enable_logging()", "configuration has been locked"),
        ("select * from query('create temp table x as select 1')", "single SELECT"),
        ("select * from log", "log does not exist"),
        ("selec 1", "syntax error"),
        ("select nonsense from runs", "nonsense"),
        ("select 1 / 0 + 'x'::int", "Could not convert"),
    ],
)
def test_what_duckdb_refuses_is_reported_in_one_line(log, sql, what):
    with pytest.raises(QueryError, match=what) as refused:
        log.query(sql)

    assert "\n" not in str(refused.value)


def test_a_lazy_relation_is_guarded_alike(log):
    assert log.sql("select max(seq) from events").fetchall() == [(56,)]
    with pytest.raises(QueryError):
        log.sql("create temp table x as select 1")


MIXED = """
select 1 as count, 0.10::decimal(18, 6) as usd, timestamp '2020-03-12 10:39:00' as instant,
    null as nothing, 'a "b", c' as text, true as flag, [1.5::decimal(4, 1)] as list,
    {'x': date '2020-03-12'} as struct, 'nan'::double as odd
"""


def test_a_result_as_csv(log):
    assert to_csv(log.query(MIXED)) == (
        "count,usd,instant,nothing,text,flag,list,struct,odd\n"
        '1,0.100000,2020-03-12T10:39:00.000000Z,,"a ""b"", c",true,"[""1.5""]",'
        '"{""x"": ""2020-03-12""}",nan\n'
    )


def test_a_result_as_json(log):
    assert json.loads(to_json(log.query(MIXED))) == [
        {
            "count": 1,
            "usd": "0.100000",
            "instant": "2020-03-12T10:39:00.000000Z",
            "nothing": None,
            "text": 'a "b", c',
            "flag": True,
            "list": ["1.5"],
            "struct": {"x": "2020-03-12"},
            "odd": "nan",
        }
    ]


def test_a_result_as_rows_of_a_table(log):
    table = log.query("select owner_id, name from owners order by owner_id limit 2")

    assert column_names(table) == ["owner_id", "name"]
    assert list(text_rows(table)) == [["0", "outside"], ["1", "makers"]]


def test_an_empty_result_keeps_its_header(log):
    table = log.query("select seq from keeper_call_failed")

    assert (to_csv(table), to_json(table)) == ("seq\n", "[]\n")
