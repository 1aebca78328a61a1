"""The files that a scenario names: read once, when it is loaded, and known by their hash."""

from collections.abc import Mapping
from pathlib import Path

import attrs

from liqsim.scenario.account_file import read_account_file
from liqsim.scenario.bar_file import BarFile, read_bar_file
from liqsim.scenario.convert import Path as Place
from liqsim.scenario.convert import Problem
from liqsim.scenario.datafile import FileRefusedError
from liqsim.scenario.mitigations import AnyMitigation, Predictive
from liqsim.scenario.model import FilePath, Market, Scenario
from liqsim.scenario.model_file import read_model, sha256_of


def with_files(scenario: Scenario, folder: Path) -> tuple[Scenario, list[Problem]]:
    """
    Return *scenario* with what its files hold and what they hash to, and what is wrong with them.

    Args:
        scenario: A scenario whose values are in bounds.
        folder: What the names of its files are relative to.
    """
    problems: list[Problem] = []
    files: dict[str, BarFile] = {}
    for market in scenario.markets:
        if isinstance(market.path, FilePath):
            try:
                files[market.name] = read_bar_file(folder, market.path)
            except FileRefusedError as error:
                problems += _problems(("markets", market.name, "path", "file"), error)
    markets = tuple(_with_bars(market, files, scenario, problems) for market in scenario.markets)
    population = scenario.population
    if population.accounts is not None:
        try:
            sha256, holdings = read_account_file(folder, population.accounts, scenario)
        except FileRefusedError as error:
            problems += _problems(("population", "accounts", "file"), error)
        else:
            found = attrs.evolve(population.accounts, sha256=sha256, holdings=holdings)
            population = attrs.evolve(population, accounts=found)
    mitigations = tuple(
        _with_model(("mitigations", row), spec, folder, problems)
        for row, spec in enumerate(scenario.mitigations)
    )
    found_all = attrs.evolve(
        scenario, markets=markets, population=population, mitigations=mitigations
    )
    return found_all, problems


def names_files(scenario: Scenario) -> bool:
    """Return whether *scenario* reads any file."""
    paths = (market.path for market in scenario.markets)
    is_path = any(isinstance(path, FilePath) for path in paths)
    return is_path or scenario.population.accounts is not None


def _with_model(
    path: Place, spec: AnyMitigation, folder: Path, problems: list[Problem]
) -> AnyMitigation:
    if not isinstance(spec, Predictive):
        return spec
    try:
        content, trained = read_model(folder, spec.model, spec.content, spec.sha256)
    except FileRefusedError as error:
        problems += _problems((*path, "model"), error)
        return spec
    sha256 = sha256_of(content)
    return attrs.evolve(spec, content=content, sha256=sha256, trained=trained)


def _with_bars(
    market: Market, files: Mapping[str, BarFile], scenario: Scenario, problems: list[Problem]
) -> Market:
    file, path = files.get(market.name), market.path
    if file is None or not isinstance(path, FilePath):
        return market
    start_us, end_us = scenario.start_unix_us, scenario.start_unix_us + scenario.end_us
    try:
        bars = file.within(start_us, end_us)
    except FileRefusedError as error:
        others = [name for name, other in files.items() if other.covers(start_us, end_us)]
        hint = f"; the file of {others[0]} covers the run" if others else ""
        where = ("markets", market.name, "path", "file")
        problems += [(path, text + hint) for path, text in _problems(where, error)]
        return market
    # Written into the resolved scenario: what was found, and in which bytes.
    found = attrs.evolve(path, bar_us=bars.bar_us, sha256=file.file.sha256, bars=bars)
    return attrs.evolve(market, path=found)


def _problems(path: Place, error: FileRefusedError) -> list[Problem]:
    return [(path, text) for text in error.texts]
