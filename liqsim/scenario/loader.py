"""
From a TOML file to a `Scenario`, or to one `ScenarioError` that says all that is wrong with it.

The resolved text is written from the values that were read, every default included, so that one
scenario has one text, and reading that text gives the same scenario again.
"""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
from cattrs.errors import BaseValidationError

from liqsim.errors import InputFileError, ScenarioError
from liqsim.scenario import convert
from liqsim.scenario.checks import cross_checks
from liqsim.scenario.fields import Form, Scalar
from liqsim.scenario.inputs import with_files
from liqsim.scenario.model import Basis, Scenario
from liqsim.scenario.overrides import Applied, apply_overrides
from liqsim.scenario.plugins import load_plugins
from liqsim.scenario.toml import dotted, dump, shown
from liqsim.scenario.values import read_value

_START = Scalar("start", Form.INSTANT, absolute=True)
_ABSENT = object()
_HERE = Path()
_AS_IS = Applied()


def load_scenario(
    path: str | Path, *, overrides: str | Sequence[str] = (), seed: int | None = None
) -> Scenario:
    """
    Return the scenario in the file *path*.

    Args:
        path: A TOML file; the files that it names are relative to its folder.
        overrides: `table.key=value`, one or several, that win over the file, in their order.
        seed: Wins over the file and over *overrides*.

    Raises:
        ScenarioError: The file cannot be read, or the scenario is refused.
    """
    source, path = str(path), Path(path)
    overrides = [overrides] if isinstance(overrides, str) else overrides
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        msg = f"{source}: there is no such file"
        raise ScenarioError(msg) from None
    except IsADirectoryError:
        msg = f"{source}: is a directory, must be a TOML file"
        raise ScenarioError(msg) from None
    except UnicodeDecodeError as error:
        msg = f"{source}: is not UTF-8 text, at byte {error.start}"
        raise ScenarioError(msg) from None
    except (OSError, ValueError) as error:
        msg = f"{source}: cannot be read: {getattr(error, 'strerror', None) or error}"
        raise ScenarioError(msg) from None
    raw = _parsed(text, source)
    applied = apply_overrides(raw, overrides, source=source)
    raw = raw if seed is None else raw | {"seed": seed}
    return scenario_from_dict(raw, source=source, folder=path.parent, applied=applied)


def scenario_from_toml(text: str, *, source: str, folder: Path = _HERE) -> Scenario:
    """
    Return the scenario in the TOML *text*.

    Args:
        text: TOML, such as the resolved scenario that a log holds.
        source: Names it in errors.
        folder: What the names of its files are relative to.

    Raises:
        ScenarioError: The scenario is refused.
        InputFileError: A file that it names is refused.
    """
    return scenario_from_dict(_parsed(text, source), source=source, folder=folder)


def scenario_from_dict(
    raw: Mapping[str, Any],
    *,
    source: str,
    folder: Path = _HERE,
    applied: Applied = _AS_IS,
) -> Scenario:
    """
    Return the scenario in the tables *raw*, as tomllib gives them; see `scenario_from_toml`.

    *applied* is what overrides did: a value of theirs is named as such, and if a table that they
    made lacks keys, its name was wrong.
    """
    load_plugins()
    try:
        start_us = int(read_value(_START, raw.get("start"), 0))
    except ValueError:
        start_us = 0  # Refused below, in its place; nothing is kept relative to it.
    converter = convert.converter_for(start_us)
    try:
        scenario = converter.structure(raw, Scenario)
    except BaseValidationError as error:
        problems = _without_made([*convert.problems_of(error)], applied.made, raw)
        if not raw.get("markets"):
            problems.append((("markets",), "must have at least one market"))
        raise ScenarioError(_lines(source, problems, applied, raw)) from None
    scenario = attrs.evolve(scenario, basis=tuple(sorted(scenario.basis, key=_breadth)))
    # What is switched off is not part of the run: nothing is held against it but its own keys, and
    # the log is that of a run without it.
    rows = [row for row, spec in enumerate(scenario.mitigations) if spec.is_on]
    mitigations = tuple(scenario.mitigations[row] for row in rows)
    scenario, file_problems = with_files(attrs.evolve(scenario, mitigations=mitigations), folder)
    tree = converter.unstructure(scenario)
    if problems := [*file_problems, *cross_checks(scenario, tree)]:
        refusal = InputFileError if file_problems else ScenarioError
        numbered = tree | {"mitigations": dict(zip(rows, tree["mitigations"], strict=True))}
        raise refusal(_lines(source, _as_in_file(problems, rows), applied, raw, numbered))
    return attrs.evolve(scenario, resolved_toml=dump(tree))


def _as_in_file(problems: Iterable[convert.Problem], rows: Sequence[int]) -> list[convert.Problem]:
    """Return *problems* with mitigations numbered as in the file, where others may be off."""
    found = []
    for path, text in problems:
        match path:
            case ("mitigations", int(row), *below):
                found.append((("mitigations", rows[row], *below), text))
            case _:
                found.append((path, text))
    return found


def _parsed(text: str, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text, parse_float=Decimal)
    except (ValueError, ArithmeticError) as error:
        # tomllib says line and column.
        msg = f"{source}: is not TOML: {error}"
    except RecursionError:
        msg = f"{source}: tables or arrays are nested too deeply"
    raise ScenarioError(msg)


def _without_made(
    problems: list[convert.Problem], made: Iterable[convert.Path], raw: Mapping[str, Any]
) -> list[convert.Problem]:
    """Return *problems*, those of a named table that an override made in one."""
    for path in filter(convert.is_named, made):
        inside = [(at, text) for at, text in problems if at[: len(path)] == path]
        lacking = [dotted(at[len(path) :]) for at, _ in inside if _at(raw, at) is _ABSENT]
        if lacking:
            others = ", ".join(name for name in _at(raw, path[:-1]) if name != path[-1])
            text = f"is not in the file{f', which has {others}' if others else ''}: "
            text += f"an override made it, and it lacks {', '.join(lacking)}"
            rest = [problem for problem in problems if problem not in inside]
            problems = [(path, text), *rest]
    return problems


def _breadth(basis: Basis) -> tuple[int, str]:
    return basis.key.count("."), basis.key


def _lines(
    source: str, problems: Iterable[convert.Problem], applied: Applied, *trees: Mapping[str, Any]
) -> str:
    """Return a message with a line for each of *problems*, values being looked up in *trees*."""
    lines = []
    for path, text in problems:
        value = next((found for t in trees if (found := _at(t, path)) is not _ABSENT), _ABSENT)
        if value is _ABSENT:
            state = " is missing,"
        else:
            state = "" if _is_bulky(value) else f" = {shown(value)}"
        lines.append(f"{source}: {dotted(path)}{state} {text}{applied.named(path)}")
    return "\n".join(lines)


def _at(tree: Any, path: convert.Path) -> Any:
    for part in path:
        try:
            tree = tree[part]
        except (KeyError, IndexError, TypeError):
            return _ABSENT
    return tree


def _is_bulky(value: Any) -> bool:
    return isinstance(value, Mapping) or (
        isinstance(value, list) and any(isinstance(item, Mapping | list) for item in value)
    )
