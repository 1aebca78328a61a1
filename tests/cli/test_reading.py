"""`liqsim verify`, `replay` and `query` on a sealed log."""

import csv
import io
import re
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from replay import verify
from replay.export import export_log
from replay.log import Log

MIDDLE = "2026-01-01T00:01:10Z"


def test_a_sound_log_is_clean(stranger, log):
    answer = stranger.says("verify", log)

    with Log(log) as opened:
        assert answer.stdout == f"clean: {opened.manifest.event_count:,} events (sealed)\n"
    assert answer.exit_code == 0


@pytest.mark.parametrize(
    ("words", "said"), [(("verify",), "auditing"), (("export",), "writing"), (("run",), " UTC")]
)
def test_who_waits_at_a_terminal_sees_how_far_it_is(stranger, log, cascade, words, said):
    given = {"verify": (log,), "export": (log, "out"), "run": (cascade, "-v")}[words[0]]
    shown = stranger.watches(*words, *given)

    assert said in shown
    assert re.search(r"\d+% 0:00:0\d", shown)  # Share and time so far, and no guess of the rest.
    assert "-:--" not in shown


def test_an_audit_and_an_export_tell_how_far_they_are(log, monkeypatch):
    monkeypatch.setattr(verify, "_REPORT_EVERY", 50)
    heard = {"verify": [], "export": []}
    with Log(log) as opened:
        opened.verify(lambda *done: heard["verify"].append(done))
        counts = export_log(opened, Path("out"), lambda *done: heard["export"].append(done))
        count = opened.manifest.event_count

    assert heard["verify"] == [(done, count) for done in range(50, count + 1, 50)]
    assert heard["export"] == [(n, len(counts)) for n in range(1, len(counts) + 1)]


def test_every_finding_is_listed(stranger, log):
    with duckdb.connect(log) as connection:
        connection.execute(
            "update order_filled set fee_usd = fee_usd + 1 "
            "where seq = (select min(seq) from order_filled)"
        )
    answer = stranger.says("verify", log)
    told = stranger.says("verify", log, "--json")

    assert answer.exit_code == told.exit_code == 1
    assert "  batch_digest  " in answer.stdout
    assert f"{len(told.json['findings'])} findings in " in answer.stdout
    assert told.json["is_clean"] is False
    assert {"batch_digest", "fee"} <= {finding["code"] for finding in told.json["findings"]}
    assert set(told.json["findings"][0]) == {"code", "seq", "message"}


def test_a_sound_log_is_clean_in_json(stranger, log):
    answer = stranger.says("verify", log, "--json")

    assert answer.exit_code == 0
    assert answer.json["is_clean"] is True
    assert answer.json["findings"] == []


def test_the_state_at_an_instant_is_the_logs(stranger, log):
    told = stranger.says("replay", log, "--at", MIDDLE, "--json").json
    with Log(log) as opened:
        state = opened.state_at(MIDDLE)
        open_count = len(state.open_liquidations().fetchall())

        assert told["at"] == "2026-01-01T00:01:10.000000Z"
        assert told["seq"] == state.seq
        assert told["fund_usd"] == f"{state.fund_usd()}"
        assert told["marks"][0]["price"] == f"{state.marks()[0].price}"
    assert 0 < open_count == len(told["open_liquidations"])
    assert {row["owner"] for row in told["balances"]} <= {
        "outside", "makers", "fund", "treasury", "network"
    }  # fmt: skip


def test_the_state_after_an_event_is_the_state_at_its_time(stranger, log):
    told = stranger.says("replay", log, "--at", MIDDLE, "--json").json
    again = stranger.says("replay", log, "--seq", told["seq"], "--json").json

    assert {**told, "at": None} == {**again, "at": None}


def test_without_a_time_the_state_is_that_of_the_end(stranger, log):
    with Log(log) as opened:
        last = opened.manifest.event_count - 1

    assert stranger.says("replay", log, "--json").json["seq"] == last


def test_the_state_fits_a_terminal(stranger, log):
    answer = stranger.says("replay", log, "--at", MIDDLE)

    assert answer.stdout.startswith("engine_cascade at 2026-01-01 00:01:10.000000 UTC, after event")
    assert "open liquidations" in answer.stdout
    assert "insurance fund, USD" in answer.stdout
    assert max(map(len, answer.stdout.splitlines())) <= 80


def test_before_anything_happened_there_is_nothing_to_show(stranger, log):
    answer = stranger.says("replay", log, "--seq", 0)

    assert answer.exit_code == 0
    assert "no mark prices yet" in answer.stdout
    assert "no open liquidations" in answer.stdout


def test_an_accounts_margin_is_exact(stranger, log):
    with Log(log) as opened:
        seq, bucket, *recorded = opened.sql(
            "select liquidation_seq, bucket, margin_usd, maintenance_usd, bankruptcy_price, "
            "mark_price from liquidations order by liquidation_seq limit 1"
        ).fetchall()[0]
    told = stranger.says("replay", log, "--seq", seq, "--owner", bucket, "--json").json
    margin, (leg,) = told["margin"], told["legs"]

    found = [margin["margin_usd"], margin["maintenance_usd"]]
    found += [leg["bankruptcy_price"], leg["mark_price"]]
    assert found == [f"{value}" for value in recorded]
    assert told["liquidation"]["liquidation_seq"] == seq
    equity = Decimal(margin["margin_usd"]) + Decimal(margin["maintenance_usd"])
    assert abs(Decimal(margin["equity_usd"]) - equity) <= Decimal("0.000001")
    answer = stranger.says("replay", log, "--seq", seq, "--owner", bucket)
    assert f"{bucket}, bucket of crowd" in answer.stdout
    assert "in liquidation since" in answer.stdout


def test_an_owner_without_a_position_has_balances(stranger, log):
    told = stranger.says("replay", log, "--owner", "fund", "--json").json

    assert told["legs"] == []
    assert told["margin"] is None
    assert [row["asset"] for row in told["balances"]] == ["USD"]
    assert len(told["balances"][0]["balance"].partition(".")[2]) == 6


def test_events_are_listed_with_their_causes(stranger, log):
    answer = stranger.says("replay", log, "--kind", "order_filled", "--limit", 2, "--json")
    filled = answer.json["events"]

    assert [event["kind"] for event in filled] == ["order_filled"] * 2
    assert all(event["cause"] == "tranche_started" for event in filled)
    assert all(isinstance(event["fields"]["price"], str) for event in filled)
    assert answer.json["left_count"] > 0


def test_a_listing_goes_on_where_it_stopped(stranger, log):
    words = ("replay", log, "--from", "2026-01-01 00:00:30", "--json")
    whole = stranger.says(*words, "--limit", 60).json["events"]
    first = stranger.says(*words, "--limit", 20).json["events"]
    rest = stranger.says(*words, "--limit", 40, "--after", first[-1]["seq"]).json["events"]

    assert first + rest == whole
    assert [e["seq"] for e in whole] == list(range(whole[0]["seq"], whole[0]["seq"] + 60))


def test_a_listing_ends_where_it_should(stranger, log):
    words = ("--from", "2026-01-01 00:00:30", "--to", "2026-01-01 00:00:40", "--limit", 10_000)
    events = stranger.says("replay", log, *words, "--json").json["events"]

    assert events
    assert all("2026-01-01T00:00:30" <= e["sim_time"] < "2026-01-01T00:00:41" for e in events)


def test_an_event_is_one_line_with_names(stranger, log, monkeypatch):
    monkeypatch.delenv("COLUMNS")
    answer = stranger.says("replay", log, "--kind", "tranche_started", "--limit", 1)

    (line,) = answer.stdout.splitlines()
    assert " tranche_started <- " in line
    assert " liquidation_triggered " in line
    assert " bucket=crowd_" in line
    assert " market=ETH " in line
    assert "--after" in answer.stderr


def test_an_event_is_folded_on_a_terminal(stranger, log):
    answer = stranger.says("replay", log, "--kind", "tranche_started", "--limit", 3)

    lines = answer.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert len([line for line in lines if not line.startswith(" ")]) == 3


def test_no_events_is_no_error(stranger, log):
    answer = stranger.says("replay", log, "--kind", "keeper_call_failed")

    assert (answer.exit_code, answer.stdout, answer.stderr) == (0, "", "no such events\n")


SQL = "select market, count(*) as n, sum(fees_usd) as usd from liquidations group by market"


def test_a_result_is_a_table(stranger, log):
    lines = stranger.says("query", log, SQL).stdout.splitlines()

    assert lines[0].split() == ["market", "n", "usd"]
    assert lines[2].split()[0] == "ETH"
    assert len(lines) == 3


def test_a_result_is_csv(stranger, log):
    answer = stranger.says("query", log, SQL, "--format", "csv")

    (row,) = csv.DictReader(io.StringIO(answer.stdout))
    assert row["market"] == "ETH"
    assert row["usd"] == stranger.says("outcome", log, "--json").json["fees_usd"]


def test_a_result_is_json(stranger, log):
    (row,) = stranger.says("query", log, SQL, "--format", "json").json

    assert row["usd"] == stranger.says("outcome", log, "--json").json["fees_usd"]


@pytest.mark.parametrize("columns", ["80", "200"])
def test_a_wide_result_is_shown_as_records(stranger, log, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    answer = stranger.says("query", log, "from liquidations limit 2")

    lines = answer.stdout.splitlines()
    assert next(line for line in lines if line.startswith("---")).startswith("--- 1 ---")
    assert max(map(len, lines)) <= int(columns)


def test_what_a_value_says_to_the_terminal_is_not_passed_on(stranger, log):
    answer = stranger.says("query", log, "select chr(27) || '[31m[bold]' as x")

    assert "\x1b" not in answer.stdout
    assert "[31m[bold]" in answer.stdout


def test_sql_may_begin_with_a_comment(stranger, log):
    for sql in (
        "-- All of it.\nselect 7 as n",
        "--n: 8\nselect 7 as n",
        "--all\nselect 7 as n, 1=1",
    ):
        answer = stranger.says("query", log, sql, "-f", "csv")
        assert (answer.exit_code, answer.stdout.splitlines()[1][0]) == (0, "7"), answer.stderr

    typo = stranger.says("query", log, "--formt", "csv", "select 1")
    assert typo.exit_code == 2
    assert "no such option: --formt" in typo.stderr


def test_json_has_a_short_name(stranger, log):
    assert stranger.says("query", log, SQL, "--json").json == (
        stranger.says("query", log, SQL, "--format", "json").json
    )
    both = stranger.says("query", log, SQL, "--json", "--format", "csv")
    assert both.exit_code == 2
    assert both.stderr == (
        "error: --json and --format csv contradict each other: give one of them\n"
    )


def test_a_life_is_cut_where_it_is_asked_to_be(stranger, log):
    (whole,) = stranger.says(
        "query", log, "select any_value(bucket) b from liquidations", "--json"
    ).json
    words = ("replay", log, "--account", whole["b"])
    all_of_it = stranger.says(*words, "--json").json
    first = stranger.says(*words, "--json", "--limit", 2).json
    told = stranger.says(*words, "--limit", 2)

    assert (len(all_of_it["events"]) > 5, all_of_it["left_count"]) == (True, 0)
    assert first["events"] == all_of_it["events"][:2]
    assert first["left_count"] == len(all_of_it["events"]) - 2
    assert told.stderr == f"{first['left_count']} more: a higher --limit\n"
    assert "trigger" not in told.stdout


def test_explain_is_a_question(stranger, log):
    assert stranger.says("query", log, "explain select 1").exit_code == 0


def test_without_sql_tables_and_views_are_listed(stranger, log):
    answer = stranger.says("query", log)

    for name in ("liquidations", "tranches", "runs", "order_filled", "postings"):
        assert f"\n{name} " in answer.stdout
    assert "One row per trigger." in answer.stdout
    assert max(map(len, answer.stdout.splitlines())) <= 80


def test_the_ladder_of_an_instant(stranger, log):
    answer = stranger.says("replay", log, "--at", "2026-01-01 00:00:10", "--ladder")
    told = stranger.says("replay", log, "--at", "2026-01-01 00:00:10", "--ladder", "--json").json

    assert (told["scenario"], len(told["ladder"])) == ("engine_cascade", 62)
    due = [row for row in told["ladder"] if row["accounts"]]
    assert due
    for row in due:
        assert f"{row['accounts']}" in answer.stdout
        assert f"{row['b']:.3f}" in answer.stdout
        sign = "-" if row["side"] == "long" else "+"
        assert re.search(
            rf"^ETH +{row['side']} +{re.escape(sign)}{row['step']} ", answer.stdout, re.MULTILINE
        )
    assert "nothing within" not in answer.stdout


def test_a_ladder_is_of_everybody(stranger, log):
    answer = stranger.says("replay", log, "--ladder", "--owner", "fund")

    assert answer.exit_code == 2
    assert answer.stderr == "error: --ladder is about everybody: it does not go with --owner\n"
