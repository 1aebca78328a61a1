"""`liqsim run`, `resume` and `outcome`: what is printed, what is left, how it ends."""

import functools
import json
import os
import re
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.scenarios import engine_cascade, keeper_race, small_scenario

from liqsim.api import run_to_log
from liqsim.cli import running
from liqsim.cli.text import usd
from liqsim.errors import ResumeError
from liqsim.processes.context import Priority
from replay.log import Log
from replay.outcome import keys_of

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DEFAULT = "runs/20260102T030405Z_engine_cascade_1"


@pytest.fixture
def at_noon(monkeypatch):
    monkeypatch.setattr(running, "_utc_now", lambda: NOW)


def at_90_seconds(monkeypatch, action):
    """Have *action* called in the middle of every run from now on."""

    def actor(context):
        yield context.wake(90_000_000, Priority.ACTOR)
        action()
        yield context.wake(0, Priority.ACTOR)

    monkeypatch.setattr(running, "run_to_log", functools.partial(run_to_log, actors=[actor]))


def fail():
    message = "out of its mind"
    raise RuntimeError(message)


def test_run_prints_the_outcome_and_leaves_a_log(stranger, cascade, at_noon):
    answer = stranger.says("run", cascade)

    assert answer.exit_code == 0
    assert stranger.files() == {"cascade.toml", "runs", f"{DEFAULT}.duckdb"}
    assert answer.stdout.startswith("engine_cascade, seed 1\n")
    assert answer.stdout.endswith(f"\nlog  {DEFAULT}.duckdb\n")
    for heading in ("Prices, USD", "Liquidations", "Money, USD", "Oracle", "Unresolved"):
        assert f"\n{heading}" in answer.stdout
    assert "Keepers" not in answer.stdout
    assert max(map(len, answer.stdout.splitlines())) <= 80


def test_the_outcome_tells_what_was_set_and_what_is_still_lost(stranger, cascade):
    settings = ("venue.engine.outages=[[2026-01-01T00:00:00Z, 2026-01-01T00:03:00Z]]", "seed=2")
    words = [word for setting in settings for word in ("--set", setting)]
    answer = stranger.says("run", cascade, "--out", "down.duckdb", *words)
    outcome = stranger.says("outcome", "down.duckdb", "--json").json

    (changed,) = (line for line in answer.stdout.splitlines() if line.startswith("set "))
    assert changed.startswith("set venue.engine.outages = [[2026-01-01T00:00:00Z, ")
    cells = [re.split(r"\s{2,}", line.strip()) for line in answer.stdout.splitlines()]
    lines = {label: rest for label, *rest in cells}
    assert lines["bad debt"] == ["0.00"]  # Without "- of liquidated": nothing was.
    shortfall = usd(outcome["unresolved_shortfall_usd"])
    assert lines["shortfall still open"] == [shortfall, "of accounts still due"] != ["0.00"]
    assert lines["their positions, USD"] == [usd(outcome["unresolved_usd"])]
    assert lines["longest wait"][-1] == "to a settlement, or to the end"
    assert lines["deleveraged"] == ["0.00", "0 deleveragings"]


def test_an_oracle_that_never_lands_is_told(stranger):
    late = {"markets__ETH__oracle__landing": {"median": "10m", "p99": "10m"}}
    stranger.write_scenario("late.toml", engine_cascade(**late))
    answer = stranger.says("run", "late.toml")

    assert answer.exit_code == 0
    assert "no_oracle_update_landed" in answer.stderr
    assert "market=ETH" in answer.stderr
    assert re.search(r"lag, median +-  no update landed: nobody due\n", answer.stdout)


def test_a_default_name_that_exists_gets_a_number(stranger, cascade, at_noon):
    for _ in range(3):
        assert stranger.says("run", cascade, "-q").exit_code == 0

    assert {f"{DEFAULT}{end}.duckdb" for end in ("", "-2", "-3")} <= stranger.files()


def test_a_default_name_that_is_taken_while_accounts_are_drawn_gets_a_number(
    stranger, cascade, at_noon, monkeypatch
):
    def beaten_once(scenario, path, **options):
        if path.name == f"{Path(DEFAULT).name}.duckdb":
            path.write_text("somebody else's")
        return run_to_log(scenario, path, **options)

    monkeypatch.setattr(running, "run_to_log", beaten_once)

    assert stranger.says("run", cascade, "-q").stdout == f"{DEFAULT}-2.duckdb\n"
    assert Path(f"{DEFAULT}.duckdb").read_text() == "somebody else's"


def test_json_is_one_object_with_every_key_in_order(stranger, cascade):
    answer = stranger.starts("run", cascade, "--json", "--out", "out.duckdb")

    assert answer.exit_code == 0
    assert answer.stdout.count("\n") == 1
    assert list(answer.json) == keys_of(["ETH"])
    assert answer.json["log"] == "out.duckdb"
    assert answer.json["keeper_profit_usd"] is None
    for key, value in answer.json.items():
        if key.endswith("_usd") and value is not None:
            assert re.fullmatch(r"-?\d+\.\d{6}", value), key
    with Log("out.duckdb") as log:
        assert log.outcome() == answer.json


def test_quiet_prints_only_where_the_log_is(stranger, cascade):
    answer = stranger.says("run", cascade, "-q", "--out", "out.duckdb")

    assert (answer.exit_code, answer.stdout, answer.stderr) == (0, "out.duckdb\n", "")


def test_seed_and_settings_win_over_the_file(stranger, cascade):
    words = ("--seed", 7, "--set", "venue.fund.initial_usd=12.5", "--set", "name=other")
    answer = stranger.says("run", cascade, *words, "--json")

    assert answer.json["seed"] == 7
    assert answer.json["fund_start_usd"] == "12.500000"
    assert Path(answer.json["log"]).name.endswith("_other_7.duckdb")


def test_keepers_have_lines_of_their_own(stranger):
    answer = stranger.says("run", stranger.write_scenario("race.toml", keeper_race()))

    assert "\nKeepers\n" in answer.stdout
    assert "profit, USD" in answer.stdout


def test_reasons_that_hold_nobody_back_are_left_out(stranger):
    quiet = stranger.says("run", stranger.write_scenario("quiet.toml", small_scenario()))

    assert "accounts still due" in quiet.stdout
    assert "no depth" not in quiet.stdout
    assert "longest wait" not in quiet.stdout


def test_verbose_names_the_sources_and_logs_to_stderr(stranger):
    basis = {"venue.fund": {"kind": "fact", "source": "annual report"}, "markets": "fitted"}
    file = stranger.write_scenario("cascade.toml", engine_cascade(basis=basis))
    answer = stranger.says("run", file, "-v")

    assert re.search(r"^fact +venue\.fund +annual report$", answer.stdout, re.MULTILINE)
    assert "run_started" in answer.stderr
    assert "run_sealed" in answer.stderr
    assert "run_id=" in answer.stderr


def test_the_operators_log_can_be_json_lines(stranger, cascade):
    answer = stranger.says("run", cascade, "-v", "--log-json", "--json")
    started, *_, sealed = map(json.loads, answer.stderr.splitlines())

    assert (started["event"], sealed["event"]) == ("run_started", "run_sealed")
    assert started["run_id"] == sealed["run_id"] == answer.json["run_id"]


def test_outcome_prints_the_same_again(stranger, cascade):
    ran = stranger.says("run", cascade, "--out", "out.duckdb")

    assert stranger.says("outcome", "out.duckdb").stdout == ran.stdout
    assert list(stranger.says("outcome", "out.duckdb", "--json").json) == keys_of(["ETH"])


def test_ctrl_c_keeps_the_log_and_resume_finishes_it(stranger, cascade, monkeypatch):
    undisturbed = stranger.says("run", cascade, "--json").json["digest"]
    monkeypatch.setattr(signal, "getsignal", lambda _number: signal.default_int_handler)
    with monkeypatch.context() as disturbed:
        at_90_seconds(disturbed, lambda: os.kill(os.getpid(), signal.SIGINT))
        stopped = stranger.says("run", cascade, "--out", "out.duckdb")

    assert (stopped.exit_code, stopped.stdout) == (130, "")
    assert stopped.stderr.splitlines()[-2:] == [
        "interrupted",
        "what was logged is kept; to finish it: liqsim resume out.duckdb",
    ]
    outcome = stranger.says("outcome", "out.duckdb")
    assert "The run did not end (KeyboardInterrupt" in outcome.stdout
    assert "failed; `liqsim resume` finishes it" in stranger.says("verify", "out.duckdb").stdout

    finished = stranger.says("resume", "out.duckdb", "--json")
    assert finished.exit_code == 0
    assert finished.json["digest"] == undisturbed
    assert stranger.says("verify", "out.duckdb").stdout.startswith("clean: ")


def test_ctrl_c_before_the_log_exists_leaves_nothing(stranger, cascade, monkeypatch):
    def interrupted(*_args, **_options):
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(signal, "getsignal", lambda _number: signal.default_int_handler)
    monkeypatch.setattr(running, "run_to_log", interrupted)
    answer = stranger.says("run", cascade, "--out", "out.duckdb")

    assert (answer.exit_code, answer.stderr) == (130, "interrupted\nnothing was written\n")
    assert stranger.files() == {"cascade.toml"}


def test_a_bug_of_ours_is_told_from_an_error_of_the_user(stranger, cascade, monkeypatch):
    with monkeypatch.context() as disturbed:
        at_90_seconds(disturbed, fail)
        broken = stranger.says("run", cascade, "--out", "out.duckdb")
        shown = stranger.says("run", cascade, "--out", "other.duckdb", "-v")

    assert (broken.exit_code, broken.stdout) == (3, "")
    assert "internal error, a bug in liqsim: RuntimeError: out of its mind" in broken.stderr
    assert "liqsim resume out.duckdb" in broken.stderr
    assert "Traceback" not in broken.stderr
    assert "Traceback" in shown.stderr
    assert stranger.says("resume", "out.duckdb", "-q").exit_code == 0


def test_a_sealed_log_cannot_be_resumed(stranger, log):
    before = log.read_bytes()
    answer = stranger.says("resume", log)

    assert answer.exit_code == 2
    assert answer.stderr == f"error: {log}: is sealed already, there is nothing to resume\n"
    assert log.read_bytes() == before


def test_no_progress_bar_where_nobody_looks(stranger, cascade):
    answer = stranger.starts("run", cascade)

    assert answer.exit_code == 0
    assert "\x1b" not in answer.stdout + answer.stderr
    assert all(line.startswith("b at start") for line in answer.stderr.splitlines())


def test_b_at_the_start_is_said_before_the_run(stranger, cascade):
    answer = stranger.says("run", cascade, "--out", "out.duckdb")

    with Log("out.duckdb") as log:
        sides = {
            side: (f"{b:.3f}", step, above)
            for side, b, step, above in log.sql(
                "select side, b, step, above_one from branching where moment = 'start'"
            ).fetchall()
        }
        outcome = log.outcome()
    (first,) = answer.stderr.splitlines()  # Said once: a warning would say the same again.
    longs, shorts = sides["long"], sides["short"]
    assert first.startswith(f"b at start, ETH: longs {longs[0]} at -{longs[1]} % (above 1 at -")
    assert f"shorts {shorts[0]} at +{shorts[1]} %" in first
    assert (longs[2], shorts[2]) == (1, 1)
    assert f"{outcome['branching_start_eth']:.3f}" == max(longs[0], shorts[0])
    assert f"  b at start, ETH{longs[0]:>31}  above 1 feeds itself" in answer.stdout


def test_where_b_is_above_one_is_warned_of_in_json_too_but_not_quietly(stranger, cascade):
    asked = stranger.says("run", cascade, "--json", "--log-json", "--out", "one.duckdb")
    warnings = [json.loads(line) for line in asked.stderr.splitlines()]

    assert [w["event"] for w in warnings] == ["branching_above_one"] * 2
    assert [(w["market"], w["side"]) for w in warnings] == [("ETH", "long"), ("ETH", "short")]
    assert warnings[0]["largest_at"] == warnings[0]["above_one_at"] == "-3 %"
    assert warnings[0]["largest"] == round(asked.json["branching_start_eth"], 3)
    assert stranger.says("run", cascade, "-q", "--out", "two.duckdb").stderr == ""


def test_without_impact_nothing_feeds_itself(stranger):
    quiet = stranger.write_scenario("quiet.toml", small_scenario())

    answer = stranger.says("run", quiet, "--json", "--out", "out.duckdb")
    assert (answer.exit_code, answer.stderr) == (0, "")
    assert answer.json["branching_start_eth"] >= 0


def test_used_as_a_library_a_run_prints_nothing(stranger, cascade):
    code = (
        "from pathlib import Path; from liqsim.api import load_scenario, run_to_log;"
        f"run_to_log(load_scenario(Path('{cascade}')), Path('out.duckdb'))"
    )
    answer = stranger.python("-c", code)

    assert (answer.exit_code, answer.stdout, answer.stderr) == (0, "", "")


def test_a_log_that_cannot_be_reproduced_is_named(stranger, cascade, monkeypatch):
    def unlike(*_args, **_options):
        message = "batch 0 is not what re-execution gives"
        raise ResumeError(message)

    with monkeypatch.context() as disturbed:
        at_90_seconds(disturbed, fail)
        stranger.says("run", cascade, "--out", "out.duckdb")
    monkeypatch.setattr(running, "run_to_log", unlike)
    answer = stranger.says("resume", "out.duckdb")

    assert answer.exit_code == 2
    assert answer.stderr.splitlines() == [
        "error: batch 0 is not what re-execution gives",
        "log: out.duckdb",
    ]
