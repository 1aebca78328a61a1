"""The scenarios that come with the package, and how a person's word for one is understood."""

import difflib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import typer

from liqsim.api import Scenario, load_scenario
from liqsim.cli.options import AsJson, Verbose
from liqsim.cli.text import iso, layout, span, terminal_width
from liqsim.errors import ScenarioError


def shipped() -> dict[str, Traversable]:
    """Return the shipped scenario files by name."""
    package = resources.files("liqsim")
    folder = package / "scenarios"
    if not folder.is_dir() and isinstance(package, Path):
        folder = package.parent / "scenarios"  # A checkout: the wheel moves them in.
    if not folder.is_dir():
        return {}
    files = (file for file in folder.iterdir() if file.name.endswith(".toml"))
    return {file.name.removesuffix(".toml"): file for file in sorted(files, key=lambda f: f.name)}


@contextmanager
def scenario_file(word: str) -> Iterator[Path]:
    """
    Give the file that *word* means: a path, or else the name of a shipped scenario.

    Raises:
        ScenarioError: It is neither.
    """
    path, known = Path(word), shipped()
    if path.is_file() or (path.exists() and word not in known):
        yield path
        return
    if word not in known:
        raise ScenarioError(_unknown(word, list(known)))
    with resources.as_file(known[word]) as file:
        yield file


def _unknown(word: str, known: list[str]) -> str:
    stem = Path(word).name.removesuffix(".toml")
    near = difflib.get_close_matches(stem, known, n=1, cutoff=0.3)
    hint = f"; did you mean {near[0]}?" if near else ""
    return (
        f"{word}: there is no such file, and no shipped scenario of that name{hint} "
        f"(shipped: {', '.join(known) or 'none'})"
    )


def scenarios(*, as_json: AsJson = False, verbose: Verbose = 0) -> None:
    """
    List the scenarios that come with liqsim.

    Each can be run by its name: liqsim run black_thursday_2020
    """
    del verbose  # Asked for by the policy on errors.
    found = []
    for file in shipped().values():
        with resources.as_file(file) as path:
            found.append((path, load_scenario(path)))
    if as_json:
        typer.echo(json.dumps([_summary(path, scenario) for path, scenario in found]))
        return
    rows = [
        [
            scenario.name,
            span(scenario.end_us),
            " ".join(market.name for market in scenario.markets),
            f"{_accounts(scenario):,}",
            scenario.description,
        ]
        for _, scenario in found
    ]
    names = ["scenario", "span", "markets", "accounts", "description"]
    for line in layout(names, rows, terminal_width(), wrap_last=True):
        typer.echo(line)


def _summary(path: Path, scenario: Scenario) -> dict[str, Any]:
    return {
        "scenario": scenario.name,
        "start_at": iso(scenario.start_unix_us),
        "end_at": iso(scenario.start_unix_us + scenario.end_us),
        "markets": [market.name for market in scenario.markets],
        "accounts": _accounts(scenario),
        "executor": scenario.venue.executor,
        "description": scenario.description,
        "file": str(path),
    }


def _accounts(scenario: Scenario) -> int:
    return sum(cohort.accounts for cohort in scenario.population.cohorts)
