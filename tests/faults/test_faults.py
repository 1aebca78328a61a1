"""
Every line of what must hold has a fault of one line that turns its test red.

A fault is planted into a copy of the project, and the tests named beside it must then fail. If
they pass, they cannot show what they claim to.
"""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import attrs
import pytest

ROOT = Path(__file__).parents[2]
FAULTS: list[dict[str, Any]] = tomllib.loads(
    (Path(__file__).parent / "faults.toml").read_text(encoding="utf-8")
)["fault"]
TESTS_FAILED = 1
"""pytest's exit code when tests ran and some failed; 2 to 5 mean that they could not run."""
TIMES = count(1_000_000_000)
"""When broken files were changed: never twice the same, and long before any other file."""


@attrs.frozen
class Workshop:
    """
    A copy of the project, and a process that runs tests of it.

    Attributes:
        root: The copy, in which one fault at a time is planted.
        nursery: See nursery.py; importing libraries takes longer than most of the tests do.
    """

    root: Path
    nursery: subprocess.Popen[str]

    def run(self, tests: list[str]) -> tuple[int, str]:
        """Run tests of the copy; return pytest's exit code and what it said."""
        output = self.root.parent / "output.txt"
        order = {
            "folder": str(self.root),
            "environment": {"PYTHONPATH": str(self.root), "HYPOTHESIS_PROFILE": "fault"},
            "output": str(output),
            "arguments": [
                *["-q", "-x", "-n", "0", "-p", "no:cacheprovider", "--assert=plain", "--tb=short"],
                *tests,
            ],
        }
        assert self.nursery.stdin
        assert self.nursery.stdout
        self.nursery.stdin.write(json.dumps(order) + "\n")
        self.nursery.stdin.flush()
        return int(self.nursery.stdout.readline()), output.read_text(encoding="utf-8")

    @contextmanager
    def planted(self, fault: dict[str, Any]) -> Iterator[None]:
        """Break a line for a time, with times of change that no compiled file has seen."""
        target = self.root / fault["file"]
        text, was = target.read_text(encoding="utf-8"), target.stat()
        assert text.count(fault["line"]) == 1, "the line to break must stand once in its file"
        assert "\n" not in fault["line"].strip("\n")
        target.write_text(text.replace(fault["line"], fault["broken"]), encoding="utf-8")
        broken = next(TIMES)
        os.utime(target, (broken, broken))
        try:
            yield
        finally:
            target.write_text(text, encoding="utf-8")
            os.utime(target, ns=(was.st_atime_ns, was.st_mtime_ns))


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    root = tmp_path_factory.mktemp("planted") / "project"
    for part in ("liqsim", "replay", "tests", "scenarios", "docs"):
        shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("pyproject.toml", "README.md", "CONTRIBUTING.md"):
        shutil.copy(ROOT / part, root / part)
    with subprocess.Popen(
        [sys.executable, Path(__file__).parent / "nursery.py"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as nursery:
        yield Workshop(root, nursery)
        assert nursery.stdin
        nursery.stdin.close()
    for path in root.glob("*/**/*.*"):
        if path.is_file() and path.suffix != ".pyc":
            assert path.read_bytes() == (ROOT / path.relative_to(root)).read_bytes(), path


@pytest.mark.parametrize("fault", FAULTS, ids=[fault["name"] for fault in FAULTS])
def test_planted_fault_turns_its_test_red(fault: dict[str, Any], workshop: Workshop) -> None:
    with workshop.planted(fault):
        code, said = workshop.run(fault["tests"])

    assert code == TESTS_FAILED, (
        f"{fault['name']}: expected a failing test, pytest ended with {code}\n{said[-4000:]}"
    )


def test_without_a_fault_tests_of_the_copy_pass(workshop: Workshop) -> None:
    code, said = workshop.run(["tests/unit/test_ledger.py"])

    assert code == 0, said[-4000:]


def test_every_claim_has_a_fault() -> None:
    claims = {
        "money", "parity", "determinism", "no_look_ahead", "index_is_scan", "lazy_is_eager",
        "theory", "book", "tamper", "crash", "bad_input", "bars", "spacing", "engine", "keepers",
        "outcome", "genealogy", "ladder", "purged", "classes", "losses", "margin", "marks",
        "desk", "funding", "traders", "compare", "coins", "slices", "inert", "decisions",
        "halts", "parameters", "absorb", "anticipation", "incentives", "crossing",
        "auctions", "mitigations", "views",
    }  # fmt: skip
    # Speed is measured in bench/, not asserted by a test, so it has nothing to turn red.

    assert {fault["holds"] for fault in FAULTS} == claims
