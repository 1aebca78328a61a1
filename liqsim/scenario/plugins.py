"""
Mitigations of third parties: kinds that other packages add.

A package names its classes under the entry point group `liqsim.mitigations`; a test or a script
calls `register_mitigation`. Either way the kind is a word after `kind =` from then on.
"""

import re
from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Final

import attrs

from liqsim.scenario.mitigations import MITIGATIONS, OTHERS, Mitigation

_KIND = re.compile(r"[a-z][a-z0-9_]{0,62}")
GROUP: Final = "liqsim.mitigations"


def register_mitigation(kind: str, cls: type[Mitigation]) -> None:
    """
    Make *cls* the class of rows of `[[mitigations]]` with this *kind*.

    Raises:
        TypeError: It is no frozen class of parameters with a method `judge`.
        ValueError: The kind is another class's, or is not letters, digits and underscores.
    """
    is_class = isinstance(cls, type) and issubclass(cls, Mitigation) and attrs.has(cls)
    if not is_class or not callable(getattr(cls, "judge", None)):
        message = f"{cls!r} must be an attrs class made of Mitigation, with a method judge"
        raise TypeError(message)
    if not _KIND.fullmatch(kind):
        message = f"{kind!r} must be letters, digits and underscores, and begin with a letter"
        raise ValueError(message)
    if kind in MITIGATIONS.values() or OTHERS.get(kind, cls) is not cls:
        message = f"{kind!r} is the kind of another mitigation"
        raise ValueError(message)
    OTHERS[kind] = cls


def installed_mitigations() -> Mapping[str, type[Mitigation]]:
    """Return the classes of third parties by their kind, those of entry points included."""
    load_plugins()
    return OTHERS


@cache
def load_plugins() -> None:
    """Register what installed packages name in the entry point group, once."""
    for point in entry_points(group=GROUP):
        register_mitigation(point.name, point.load())
