"""Shipped scenarios: listed, and run by name from anywhere."""

import pytest
from support.scenarios import small_scenario

import liqsim.scenario.shipped as shipping
from liqsim.api import shipped

NAMES = sorted(shipped())


@pytest.fixture
def ships(stranger, monkeypatch):
    """Have one small scenario shipped from somewhere else."""
    shelf = stranger.folder / "elsewhere"
    shelf.mkdir()
    file = stranger.write_scenario("elsewhere/small.toml", small_scenario(seed=5))
    known = {"small": stranger.folder / file}
    monkeypatch.setattr(shipping, "shipped", lambda: known)


def test_what_ships_is_listed_by_the_name_it_is_run_by(stranger):
    listed = stranger.says("scenarios")
    told = stranger.says("scenarios", "--json").json

    assert "black_thursday_2020" in NAMES
    assert [entry["scenario"] for entry in told] == NAMES
    assert [line.split()[0] for line in listed.stdout.splitlines()[2:] if line[0] != " "] == NAMES
    assert all(entry["description"] and entry["markets"] for entry in told)
    assert max(map(len, listed.stdout.splitlines())) <= 80


def test_a_shipped_scenario_runs_by_name(stranger, ships):
    assert stranger.says("run", "small", "--json").json["seed"] == 5


def test_a_file_wins_over_a_name(stranger, ships):
    stranger.write_scenario("small", small_scenario(seed=6))

    assert stranger.says("run", "small", "--json").json["seed"] == 6


def test_a_folder_of_that_name_is_no_scenario(stranger, ships):
    (stranger.folder / "small").mkdir()

    assert stranger.says("run", "small", "--json").json["seed"] == 5


@pytest.mark.parametrize("word", ["black_thursdy_2020", "scenarios/black_thursday_2020.toml"])
def test_an_unknown_name_is_met_with_the_nearest(stranger, word):
    answer = stranger.says("run", word)

    assert answer.exit_code == 2
    assert answer.stderr.startswith(f"error: {word}: there is no such file")
    assert "did you mean black_thursday_2020?" in answer.stderr
    assert stranger.files() == set()


def test_version(stranger):
    answer = stranger.says("--version")

    assert answer.exit_code == 0
    assert answer.stdout.startswith("liqsim ")


@pytest.mark.parametrize(
    "command", ["run", "resume", "outcome", "verify", "replay", "query", "export", "scenarios"]
)
def test_every_command_has_help_with_an_example(stranger, command):
    assert command in stranger.says("--help").stdout
    answer = stranger.says(command, "--help")

    assert answer.exit_code == 0
    assert f"liqsim {'run' if command == 'scenarios' else command} " in answer.stdout
