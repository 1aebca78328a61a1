"""The wheel alone, in an empty folder, runs a scenario by name to the same digest."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from support.scenarios import keeper_race

from liqsim.api import load_scenario, run_to_log
from liqsim.scenario import scenario_from_dict

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("liqsim-*.whl")
    site = folder / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


def liqsim(site: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    code = (
        "import liqsim.cli, sys\n"
        "assert liqsim.cli.__file__.startswith(sys.argv.pop(1))\n"
        "liqsim.cli.app()"
    )
    return subprocess.run(
        [sys.executable, "-c", code, str(site), *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(site), "PYTHONHASHSEED": "12345"},
        capture_output=True,
        text=True,
        check=True,
    )


def test_the_wheel_ships_every_scenario(installed: Path, tmp_path: Path) -> None:
    listed = json.loads(liqsim(installed, tmp_path, "scenarios", "--json").stdout)

    assert {row["scenario"] for row in listed} == {
        p.stem for p in (ROOT / "scenarios").glob("*.toml")
    }


def test_noise_latency_and_races_have_the_same_digest(installed: Path, tmp_path: Path) -> None:
    scenario = scenario_from_dict(keeper_race(), source="race")
    race = tmp_path / "race.toml"
    race.write_text(scenario.resolved_toml)
    here = run_to_log(scenario, tmp_path / "here.duckdb")

    outcome = json.loads(liqsim(installed, tmp_path, "run", str(race), "--json").stdout)

    assert outcome["keeper_attempts_lost"] > 0
    assert outcome["digest"] == here.digest


def test_the_wheel_runs_by_name_to_the_same_digest(installed: Path, tmp_path: Path) -> None:
    here = run_to_log(
        load_scenario(ROOT / "scenarios" / "linear_cascade.toml"), tmp_path / "here.duckdb"
    )
    empty = tmp_path / "empty"
    empty.mkdir()

    outcome = json.loads(liqsim(installed, empty, "run", "linear_cascade", "--json").stdout)

    assert outcome["digest"] == here.digest
    assert [p.name for p in empty.iterdir()] == ["runs"]
