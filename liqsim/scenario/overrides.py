"""`a.b.c=value` overrides, applied to a scenario's raw tables before they are read."""

import tomllib
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import attrs

from liqsim.errors import ScenarioError
from liqsim.scenario.basis import NOT_COUNTED
from liqsim.scenario.toml import dotted, shown


@attrs.frozen
class Applied:
    """
    What overrides did.

    Attributes:
        paths: What they set.
        made: Tables that they made on the way.
    """

    paths: tuple[tuple[str, ...], ...] = ()
    made: tuple[tuple[str, ...], ...] = ()

    def named(self, path: Iterable[str | int]) -> str:
        """Return the words behind a message about *path* that name the override that set it."""
        place = tuple(map(str, path))
        above = [known for known in self.paths if place[: len(known)] == known]
        return said(dotted(above[-1])) if above else ""


def said(key: str) -> str:
    """
    Return the words that name the override of *key*.

    >>> said("venue.tranches.share")
    ' (--set venue.tranches.share=…)'
    """
    return f" (--set {key}=…)"


def apply_overrides(tree: dict[str, Any], overrides: Sequence[str], *, source: str) -> Applied:
    """
    Set *overrides* in the tables *tree*, in place; return what was set and made.

    What an override sets rests no longer on the fact or the fit that the file names, so its basis
    becomes `assumed`.
    """
    paths: list[tuple[str, ...]] = []
    made: list[tuple[str, ...]] = []
    for override in overrides:
        path, value = _parsed(override, source)
        try:
            table_path = _set(tree, path, value, made)
        except KeyError as error:
            msg = f"{source}: {dotted(path)} = {shown(value)} cannot be set: {error.args[0]}"
            raise ScenarioError(msg + said(dotted(path))) from None
        paths.append(path)
        basis = tree.setdefault("basis", {})
        if path[0] not in NOT_COUNTED and isinstance(basis, dict):
            key = ".".join(table_path)
            for covered in [k for k in basis if k == key or k.startswith(f"{key}.")]:
                del basis[covered]
            basis[key] = {"kind": "assumed", "source": "set by an override"}
    return Applied(tuple(paths), tuple(made))


def _parsed(override: str, source: str) -> tuple[tuple[str, ...], Any]:
    key, equals, text = override.partition("=")
    path: list[str] = []
    try:
        node: Any = tomllib.loads(f"{key} = 0")
        while isinstance(node, dict):
            ((part, node),) = node.items()
            path.append(part)
        if node != 0 or not equals:
            raise ValueError  # noqa: TRY301 — answered like a key that is no key
    except ValueError:
        msg = f"{source}: --set {override!r} must have the form table.key=value"
        raise ScenarioError(msg) from None
    try:
        document = tomllib.loads(f"value = {text}", parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError):
        document = {}
    # A bare word such as keepers or 5s is no TOML value, and means the string.
    return tuple(path), document["value"] if list(document) == ["value"] else text.strip()


def _set(
    tree: dict[str, Any], path: tuple[str, ...], value: Any, made: list[tuple[str, ...]]
) -> tuple[str, ...]:
    """
    Set *path* to *value* and return the path as far as it goes through tables.

    The paths of tables that were not there before are added to *made*.
    """
    node: Any = tree
    table_path = path
    for depth, part in enumerate(path):
        here = dotted(path[:depth])
        key: str | int = part
        if isinstance(node, list):
            table_path = min(table_path, path[:depth], key=len)
            rows = {str(row): row for row in range(len(node))}
            if part not in rows:
                msg = f"{here} has the rows 0 to {len(node) - 1}" if node else f"{here} is empty"
                raise KeyError(msg)
            key = rows[part]
        elif not isinstance(node, dict):
            msg = f"{here} = {shown(node)} is not a table"
            raise KeyError(msg)
        if depth == len(path) - 1:
            node[key] = value
        elif isinstance(node, dict):
            if part not in node:
                here = dotted(path[: depth + 1])
                if path[depth + 1].isdecimal():
                    # No table has such a key: this is the row of an array that was left out.
                    msg = f"{here} is not in the scenario: set the whole array"
                    raise KeyError(msg)
                made.append(path[: depth + 1])
            node = node.setdefault(part, {})
        else:
            node = node[key]
    return table_path
