"""An empty folder to be a stranger in, a small scenario, and a log of it."""

import shutil
from pathlib import Path

import pytest
from support.scenarios import engine_cascade
from support.stranger import Stranger

from liqsim.api import run_to_log, scenario_from_toml
from liqsim.scenario.toml import dump


@pytest.fixture
def stranger(tmp_path, monkeypatch):
    """Give a person at an 80-column terminal in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return Stranger(tmp_path)


@pytest.fixture
def cascade(stranger):
    """Give the file of a crash that takes a fraction of a second."""
    return stranger.write_scenario("cascade.toml", engine_cascade())


@pytest.fixture(scope="session")
def sealed_original(tmp_path_factory):
    path = tmp_path_factory.mktemp("sealed") / "sealed.duckdb"
    run_to_log(scenario_from_toml(dump(engine_cascade()), source="test"), path)
    return path


@pytest.fixture
def log(stranger, sealed_original):
    """Give the name of a sealed log in the folder."""
    shutil.copy(sealed_original, "sealed.duckdb")
    return Path("sealed.duckdb")
