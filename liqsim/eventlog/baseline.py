"""The reference prices that a purged run has found, for runs that face the same."""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from liqsim.errors import LogError, ScenarioError
from liqsim.eventlog.reader import LogReader, open_log
from liqsim.eventlog.writer import Prices
from liqsim.scenario import Scenario


@attrs.frozen(eq=False)
class Baseline:
    """
    What a finished purged run leaves to its counterfactuals.

    Attributes:
        path: Its log.
        digest: Digest of the prices.
        prices: Per market: step in microseconds and prices in 1e-8.
        scenario_toml: Its resolved scenario.
    """

    path: Path
    digest: str
    prices: list[Prices]
    scenario_toml: str

    def check(self, scenario: Scenario) -> None:
        """
        Check that *scenario* is about the same history.

        Raises:
            ScenarioError: Time, seed, markets or paths are others.
        """
        own, others = (tomllib.loads(t) for t in (self.scenario_toml, scenario.resolved_toml))
        for key, value, other in _differing(_exogenous(own), _exogenous(others)):
            message = (
                f"{key} = {other!r} is not that of the baseline {self.path}, which has {value!r}: "
                "its reference prices are those of another history"
            )
            raise ScenarioError(message)


def read_baseline(path: Path) -> Baseline:
    """
    Return the reference prices in the log at *path*.

    Raises:
        LogError: It cannot be read, is no purged run, or has not come to its end.
    """
    with open_log(path) as log:
        manifest = log.manifest
        if manifest.path_mode != "purged":
            message = f"{path}: path_mode is {manifest.path_mode}, a baseline must be purged"
            raise LogError(message)
        if manifest.status != "sealed" or manifest.reference_digest is None:
            message = f"{path}: is {manifest.status}, a baseline must be sealed"
            raise LogError(message)
        return Baseline(path, manifest.reference_digest, _references(log), manifest.scenario_toml)


def logged_references(path: Path) -> list[Prices]:
    """
    Return the reference prices that the run behind the log at *path* was given.

    Raises:
        LogError: It cannot be read.
    """
    with open_log(path) as log:
        return _references(log)


def _references(log: LogReader) -> list[Prices]:
    return [
        (int(at_us[1]) if len(at_us) > 1 else log.manifest.end_us, prices)
        for _, (at_us, prices) in sorted(log.reference_prices().items())
    ]


def _exogenous(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return what reference prices depend on, beside the venue."""
    found: dict[str, Any] = {key: tree[key] for key in ("start", "end", "seed")}
    found["markets"] = list(tree["markets"])
    for name, market in tree["markets"].items():
        found |= {f"markets.{name}.{key}": market.get(key) for key in ("path", "shocks")}
    return found


def _differing(own: Mapping[str, Any], others: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for key, value in own.items():
        if others.get(key) != value:
            yield key, value, others.get(key)
