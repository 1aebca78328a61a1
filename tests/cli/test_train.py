"""A model from runs of its own, in a file; what cannot be trained on is refused."""

import hashlib
import json
import sys
from decimal import Decimal

import pytest
from support.scenarios import changed, engine_cascade, knots

WORDS = (
    "--seeds", 4, "--period", "2s", "--window", "20s", "--horizon", "20s", "--above", "0.1",
    "--distance", "0.03", "--jobs", 1,
)  # fmt: skip


@pytest.fixture
def storm(stranger):
    """Give the file of three minutes on paths that the seed draws."""
    path = {"kind": "gbm", "step": "1s", "start_price": 100, "volatility": 40}
    raw = changed(engine_cascade(), {"markets__ETH__path": path})
    raw["markets"]["ETH"].pop("shocks", None)
    return stranger.write_scenario("storm.toml", raw)


def test_a_model_is_trained_saved_and_used_on_other_seeds(stranger, storm):
    told = stranger.says("train", storm, *WORDS, "-o", "model.json", "--json")

    assert told.exit_code == 0, told.stderr
    data = (stranger.folder / "model.json").read_bytes()
    saved = json.loads(data)
    assert told.json["sha256"] == hashlib.sha256(data).hexdigest()
    assert saved == {key: told.json[key] for key in saved}
    assert saved["runs"]["trained_on"] == [1000, 1001, 1002]
    assert saved["runs"]["held_out"] == [1003]
    assert len(set(saved["runs"]["path_sha256"].values())) == 4
    quality = saved["quality"]
    assert quality["looks"] == 3 * quality["held_out_looks"] == 3 * 80
    assert min(quality["positives"], quality["held_out_positives"]) >= 20
    assert 0 < quality["log_loss_e6"] < quality["base_log_loss_e6"]
    assert 600_000 < quality["auc_e6"] <= 10**6

    row = 'mitigations=[{kind="predictive", model="model.json", period="2s", reference=0.01}]'
    ran = stranger.says("run", storm, "--set", row, "--out", "run.duckdb", "-q")
    assert ran.exit_code == 0, ran.stderr
    assert stranger.says("verify", "run.duckdb").exit_code == 0
    decided = stranger.says(
        "query", "run.duckdb", "select count(*) as n from decisions where risk > 0", "--json"
    )
    assert decided.json[0]["n"] > 0
    (stranger.folder / "model.json").unlink()
    assert stranger.says("verify", "run.duckdb").exit_code == 0

    again = stranger.says("train", storm, *WORDS, "-o", "model.json", "-q")
    assert again.exit_code == 0
    assert (stranger.folder / "model.json").read_bytes() == data
    assert "held out: log loss" in again.stdout


def test_runs_of_the_seeds_that_it_knows_are_refused_before_the_first(stranger, storm):
    stranger.says("train", storm, *WORDS, "--first", 1, "-o", "model.json", "-q")
    row = 'mitigations=[{kind="predictive", model="model.json"}]'

    grid = "--grid", "venue.fund.initial_usd=0,1"
    for words, seed in (
        (("run", storm, "--seed", 3, "--set", row, "--out", "x.duckdb"), 3),
        (("compare", storm, "--seeds", 3, "--with", "none", "--with", f"new: {row}"), 1),
        (("sweep", storm, *grid, "--seeds", 3, "--set", row, "-o", "x.duckdb"), 1),
        (("stress", storm, "--seeds", 3, "--depth", "0.5", "--set", row), 1),
    ):
        told = stranger.says(*words)
        assert told.exit_code == 2
        assert f"seed = {seed} must be none of the 4 seeds, from 1 to 4" in told.stderr
    assert stranger.files() == {"storm.toml", "model.json"}


@pytest.mark.parametrize(
    ("changes", "words", "told"),
    [
        (
            {"markets__ETH__path": knots((0, 100), (180, 50))},
            (),
            "markets.ETH.path.kind = 'knots' must be gbm to train on",
        ),
        ({"markets__ETH__path__volatility": Decimal("0.01")}, (), "are before a cascade, must be"),
        ({}, ("--above", 0, "--horizon", "170s"), "must be at least 20: give more --seeds"),
        ({}, ("--seeds", 1), "--seeds 1: must be at least 2"),
        ({}, ("--horizon", "3m"), "ends before the horizon of the first look"),
        ({}, ("--distance", "1"), "--distance 1: must be from 0.000001 to 0.999999"),
        ({}, ("--window", "soon"), "--window soon: must be"),
        ({}, ("-o", "storm.toml"), "storm.toml: exists already"),
        ({}, ("-o", "no/model.json"), "there is no folder no"),
        (
            {"mitigations": [{"kind": "rate_limit"}, {"kind": "predictive"}]},
            (),
            "mitigations.1.model",
        ),
    ],
)
def test_what_cannot_be_trained_on_is_refused(stranger, storm, changes, words, told):
    raw = changed(
        engine_cascade(),
        {
            "markets__ETH__path": {
                "kind": "gbm", "step": "1s", "start_price": 100, "volatility": 40,
            },
        }
        | changes,
    )  # fmt: skip
    raw["markets"]["ETH"].pop("shocks", None)
    stranger.write_scenario("storm.toml", raw)
    answer = stranger.says("train", storm, *WORDS, "-o", "model.json", *words)

    assert answer.exit_code == 2
    assert told in answer.stderr
    assert stranger.files() == {"storm.toml"}


def test_only_training_needs_scikit_learn(stranger, storm, monkeypatch):
    stranger.says("train", storm, *WORDS, "-o", "model.json", "-q")
    for name in [name for name in sys.modules if name.partition(".")[0] == "sklearn"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    row = 'mitigations=[{kind="predictive", model="model.json"}]'

    answer = stranger.says("train", storm, *WORDS, "-o", "other.json")
    assert answer.exit_code == 2
    assert "liqsim[predict]" in answer.stderr
    assert stranger.says("run", storm, "--set", row, "--out", "x.duckdb", "-q").exit_code == 0
