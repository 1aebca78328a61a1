"""
Every line of what must hold has a fault of one line that turns its test red.

A fault is planted into a copy of the project, and the tests named beside it must then fail. If
they pass, they cannot show what they claim to.
"""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FAULTS: list[dict[str, Any]] = tomllib.loads(
    (Path(__file__).parent / "faults.toml").read_text(encoding="utf-8")
)["fault"]
TESTS_FAILED = 1
"""pytest's exit code when tests ran and some failed; 2 to 5 mean that they could not run."""


@pytest.mark.parametrize("fault", FAULTS, ids=[fault["name"] for fault in FAULTS])
def test_planted_fault_turns_its_test_red(fault: dict[str, Any], tmp_path: Path) -> None:
    for part in ("liqsim", "replay", "tests", "scenarios", "docs"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("pyproject.toml", "README.md", "CONTRIBUTING.md"):
        shutil.copy(ROOT / part, tmp_path / part)
    target = tmp_path / fault["file"]
    text = target.read_text(encoding="utf-8")
    assert text.count(fault["line"]) == 1, "the line to break must stand once in its file"
    assert "\n" not in fault["line"].strip("\n")
    target.write_text(text.replace(fault["line"], fault["broken"]), encoding="utf-8")

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider"]
        + ["--assert=plain", "--tb=short"]
        + fault["tests"],
        cwd=tmp_path,
        env=os.environ
        | {
            "PYTHONPATH": str(tmp_path),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HYPOTHESIS_PROFILE": "fault",
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == TESTS_FAILED, (
        f"{fault['name']}: expected a failing test, pytest ended with {done.returncode}\n"
        f"{done.stdout[-3000:]}{done.stderr[-1000:]}"
    )


def test_every_claim_has_a_fault() -> None:
    claims = {
        "money", "parity", "determinism", "no_look_ahead", "index_is_scan", "lazy_is_eager",
        "theory", "book", "tamper", "crash", "bad_input", "bars", "spacing", "engine", "keepers",
        "outcome", "genealogy", "ladder", "purged", "classes", "losses", "margin", "marks",
        "desk", "funding", "traders", "compare", "coins", "slices", "inert", "decisions",
        "halts", "parameters", "absorb", "crossing",
    }  # fmt: skip
    # Speed is measured in bench/, not asserted by a test, so it has nothing to turn red.

    assert {fault["holds"] for fault in FAULTS} == claims
