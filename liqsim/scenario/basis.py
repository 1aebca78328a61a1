"""What the parameters of a scenario rest on, counted."""

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from liqsim.scenario.model import Scenario

NOT_COUNTED: Final = ("name", "description", "seed", "basis")
"""Keys that are not parameters of a model, so that no basis is asked for them."""


def basis_counts(scenario: Scenario) -> dict[str, int]:
    """
    Return how many parameters of *scenario* are `fact`, `assumed` and `fitted`.

    An array counts once. The longest entry that covers a parameter decides; what no entry covers
    is assumed.
    """
    counts = {"fact": 0, "assumed": 0, "fitted": 0}
    tree = tomllib.loads(scenario.resolved_toml)
    for key in _leaves({key: value for key, value in tree.items() if key not in NOT_COUNTED}):
        covering = [b.kind for b in scenario.basis if f"{key}.".startswith(f"{b.key}.")]
        counts[covering[-1] if covering else "assumed"] += 1
    return counts


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key
