"""
Mitigations of third parties: kinds that other packages add.

A package names its classes under the entry point group `liqsim.mitigations`; a test or a script
calls `register_mitigation`. Either way the kind is a word after `kind =` from then on.
"""

from functools import cache
from importlib.metadata import entry_points
from typing import Final

from liqsim.scenario.mitigations import MITIGATIONS, OTHERS, Mitigation

GROUP: Final = "liqsim.mitigations"


def register_mitigation(kind: str, cls: type[Mitigation]) -> None:
    """
    Make *cls* the class of rows of `[[mitigations]]` with this *kind*.

    Raises:
        ValueError: The kind is another class's.
    """
    if kind in MITIGATIONS.values() or OTHERS.get(kind, cls) is not cls:
        message = f"{kind!r} is the kind of another mitigation"
        raise ValueError(message)
    OTHERS[kind] = cls


@cache
def load_plugins() -> None:
    """Register what installed packages name in the entry point group, once."""
    for point in entry_points(group=GROUP):
        register_mitigation(point.name, point.load())
