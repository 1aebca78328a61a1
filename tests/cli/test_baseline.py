"""`path_mode = "purged"` from the command line: a baseline, and runs that face what it found."""

import duckdb
import pytest
from support.scenarios import at

from liqsim.api import load_scenario, logged_references, run_to_log


@pytest.fixture
def base(stranger, cascade):
    """Give the log of a purged run."""
    answer = stranger.says("run", cascade, "--set", "path_mode=purged", "--out", "base.duckdb")
    assert answer.exit_code == 0, answer.stderr
    return "base.duckdb"


def counterfactual(stranger, cascade, *words):
    return stranger.says(
        "run", cascade, "--set", "path_mode=purged", "--baseline", "base.duckdb", *words
    )


def events_of(path):
    with duckdb.connect(path, read_only=True) as connection:
        return connection.execute(
            "select * exclude payload, payload::varchar from events"
        ).fetchall()


def test_a_baseline_says_how_far_from_history_it_is(stranger, base):
    answer = stranger.says("outcome", base)

    assert "path purged, its own baseline" in answer.stdout
    assert "ETH: reference up to" in answer.stdout
    found = stranger.says("outcome", base, "--json").json
    assert found["baseline"] is None
    assert 0.001 < found["departure_eth"] < 1


def test_the_same_venue_has_the_same_events(stranger, cascade, base):
    answer = counterfactual(stranger, cascade, "--out", "same.duckdb")

    assert answer.exit_code == 0
    assert "facing the reference" in answer.stdout
    assert events_of("same.duckdb") == events_of(base)
    assert stranger.says("verify", "same.duckdb").exit_code == 0
    assert stranger.says("verify", base).exit_code == 0


def test_another_venue_faces_the_same_reference(stranger, cascade, base):
    words = ("--set", "venue.tranches.share=0.1", "--out", "other.duckdb")
    assert counterfactual(stranger, cascade, *words).exit_code == 0

    assert events_of("other.duckdb") != events_of(base)
    sql = "select sum(hash(market_id, sim_time, price)) from reference_prices"
    found = [stranger.says("query", log, sql, "-f", "csv").stdout for log in ("other.duckdb", base)]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (("--seed", 5), "seed = 5 is not that of the baseline"),
        (("--set", f"end={at(170):%Y-%m-%dT%H:%M:%SZ}"), "end = "),
        (("--set", "markets.ETH.path.bridge_volatility=1"), "markets.ETH.path = "),
        (("--set", "path_mode=on_top"), 'path_mode = "on_top" must be "purged"'),
    ],
)
def test_another_history_is_refused(stranger, cascade, base, words, key):
    before = stranger.files()
    answer = counterfactual(stranger, cascade, *words)

    assert (answer.exit_code, answer.stdout) == (2, "")
    assert key in answer.stderr
    assert stranger.files() == before


def test_what_is_no_baseline_is_refused(stranger, cascade, log):
    answer = stranger.says("run", cascade, "--set", "path_mode=purged", "--baseline", log)

    assert answer.exit_code == 2
    assert "sealed.duckdb: path_mode is on_top, a baseline must be purged" in answer.stderr


def test_a_baseline_without_its_log_is_refused(stranger, cascade):
    words = ("--set", "path_mode=purged", "--set", f"baseline={'0' * 64}")
    answer = stranger.says("run", cascade, *words)

    assert answer.exit_code == 2
    assert "cascade.toml: baseline = " in answer.stderr
    assert "name the baseline's log" in answer.stderr


def _broken_off(context):
    yield context.wake(60_000_000, 90)
    message = "out of memory"
    raise MemoryError(message)


@pytest.mark.parametrize("faces", [False, True])
def test_what_was_broken_off_is_resumed(stranger, cascade, base, faces):
    settings, references = ["path_mode=purged"], None
    if faces:
        digest = stranger.says("query", base, "select reference_digest from runs", "-f", "csv")
        settings.append(f"baseline={digest.stdout.split()[1]}")
        references = logged_references(stranger.folder / base)
    scenario = load_scenario(stranger.folder / cascade, overrides=settings)
    half = stranger.folder / "half.duckdb"
    with pytest.raises(MemoryError):
        run_to_log(scenario, half, actors=[_broken_off], references=references)
    assert stranger.says("verify", half).exit_code == 0

    assert stranger.says("resume", half).exit_code == 0

    assert events_of(half) == events_of(base)
    assert stranger.says("verify", half).exit_code == 0


def test_edited_references_are_found(stranger, base):
    with duckdb.connect(base) as connection:
        connection.execute(
            "update reference_prices set price = price * 1.001 "
            "where sim_time = (select max(sim_time) from reference_prices)"
        )

    found = stranger.says("verify", base, "--json").json
    codes = {finding["code"] for finding in found["findings"]}
    assert {"reference_digest", "purged_reference"} <= codes
