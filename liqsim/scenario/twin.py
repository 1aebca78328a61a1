"""The twin of a scenario: the same shocks, accounts and rules in a market that nothing moves."""

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from liqsim.scenario.loader import scenario_from_dict
from liqsim.scenario.model import Scenario

_WITHOUT_IMPACT: Final = {"kind": "no_impact"}


def twin_of(scenario: Scenario, *, reference_digest: str, folder: Path) -> Scenario:
    """
    Return *scenario* with no impact in any market.

    Args:
        scenario: The scenario of the run whose twin it is.
        reference_digest: Digest of the reference prices of that run, which a purged twin faces.
        folder: What the names of its files are relative to.
    """
    raw: dict[str, Any] = tomllib.loads(scenario.resolved_toml, parse_float=Decimal)
    for name, market in raw["markets"].items():
        market["liquidity"] = dict(_WITHOUT_IMPACT)
        inside = f"markets.{name}.liquidity."
        raw["basis"] = {
            key: value for key, value in raw.get("basis", {}).items() if not key.startswith(inside)
        }
    if scenario.path_mode == "purged":
        raw["baseline"] = reference_digest
    return scenario_from_dict(raw, source=f"twin of {scenario.name}", folder=folder)
