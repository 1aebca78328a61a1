"""The command that lists what ships."""

import json
from importlib import resources
from pathlib import Path
from typing import Any

import typer

from liqsim.api import Scenario, load_scenario, shipped
from liqsim.cli.options import AsJson, Verbose
from liqsim.cli.text import iso, layout, span, terminal_width


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
    population = scenario.population
    listed = len(population.accounts.holdings) if population.accounts is not None else 0
    return sum(cohort.accounts for cohort in population.cohorts) + listed
