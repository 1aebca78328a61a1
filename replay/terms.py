"""
The terms of a run, read from the resolved scenario in its manifest.

The read side parses the text itself, and only what an audit and an outcome need, so that a fault
in the scenario's loader cannot hide behind its own reading.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import attrs

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS_US: Final = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
}
_NOT_PARAMETERS: Final = frozenset({"name", "description", "seed", "basis"})
BASIS_KINDS: Final = ("fact", "assumed", "fitted")


@attrs.frozen
class MarketTerms:
    """
    One market's terms.

    Attributes:
        name: Its name.
        tiers: (from_units_e8, rate_e6) of the maintenance margin.
        step_us: Resolution of its reference path.
    """

    name: str
    tiers: tuple[tuple[int, int], ...]
    step_us: int


@attrs.frozen
class Terms:
    """
    What an audit holds a run to.

    Attributes:
        name: Name of the scenario.
        seed: Its seed.
        path_mode: Its path mode.
        start_unix_us: Start, in microseconds of Unix time.
        end_us: End, exclusive, in microseconds since the start.
        markets: Markets in order.
        executor: `engine` or `keepers`.
        reaction_us: From a trigger to the first tranche.
        discount_e6: Discount to the mark at which keepers take over.
        due_at_zero: Whether a margin of exactly zero is due.
        mark_max_age_us: Tranches wait while the mark is older; 0 never waits.
        fee_on_execution_e6: Fees on the execution price, together.
        fee_on_mark_e6: Fee on the mark price.
        share_e6: Share of the position at its trigger that one tranche puts up.
        max_uusd: Largest tranche, at the mark price.
        spacing_us: From the end of a tranche to the start of the next of the same liquidation.
        restore_buffer_e6: Margin is restored at (1 + this) x maintenance.
        surplus_to: `fund` or `trader`.
        deleveraging: `ranked` or `none`.
    """

    name: str
    seed: int
    path_mode: str
    start_unix_us: int
    end_us: int
    markets: tuple[MarketTerms, ...]
    executor: str
    reaction_us: int
    discount_e6: int
    due_at_zero: bool
    mark_max_age_us: int
    fee_on_execution_e6: int
    fee_on_mark_e6: int
    share_e6: int
    max_uusd: int
    spacing_us: int
    restore_buffer_e6: int
    surplus_to: str
    deleveraging: str


def parse_toml(text: str) -> dict[str, Any]:
    """
    Return a resolved scenario as a dictionary, numbers with a point as exact decimals.

    Raises:
        ValueError: It is not TOML.
    """
    return tomllib.loads(text, parse_float=Decimal)


def read_terms(text: str) -> Terms:
    """
    Return the terms of a resolved scenario.

    Raises:
        ValueError: It is not TOML, or a key that a resolved scenario has is missing or malformed.
    """
    document = parse_toml(text)
    try:
        return _terms(document)
    except (KeyError, TypeError, AttributeError, ArithmeticError) as error:
        message = f"the resolved scenario cannot be read: {type(error).__name__} {error}"
        raise ValueError(message) from error


def _terms(document: Mapping[str, Any]) -> Terms:
    start = _instant(document["start"])
    venue = document["venue"]
    fees, tranches, waterfall = venue["fees"], venue["tranches"], venue["waterfall"]
    executor = venue[venue["executor"]]
    return Terms(
        name=document["name"],
        seed=document["seed"],
        path_mode=document["path_mode"],
        start_unix_us=start,
        end_us=_instant(document["end"]) - start,
        markets=tuple(_market(name, table) for name, table in document["markets"].items()),
        executor=venue["executor"],
        reaction_us=duration_us(executor["reaction"]),
        discount_e6=_scaled(executor.get("discount", 0), 6),
        due_at_zero=venue["due_at_zero"],
        mark_max_age_us=duration_us(venue["mark_max_age"]),
        fee_on_execution_e6=_scaled(fees["taker"], 6)
        + _scaled(fees["liquidation_on_execution"], 6),
        fee_on_mark_e6=_scaled(fees["liquidation_on_mark"], 6),
        share_e6=_scaled(tranches["share"], 6),
        max_uusd=_scaled(tranches["max_usd"], 6),
        spacing_us=duration_us(tranches["spacing"]),
        restore_buffer_e6=_scaled(tranches["restore_buffer"], 6),
        surplus_to=waterfall["surplus_to"],
        deleveraging=waterfall["deleveraging"],
    )


def _market(name: str, table: Mapping[str, Any]) -> MarketTerms:
    tiers = tuple((_scaled(start, 8), _scaled(rate, 6)) for start, rate in table["maintenance"])
    return MarketTerms(name, tiers, duration_us(table["path"]["step"]))


def _scaled(value: Any, places: int) -> int:
    scaled = Decimal(str(value)).scaleb(places)
    if scaled != int(scaled):
        message = f"{value} has more than {places} decimal places"
        raise ValueError(message)
    return int(scaled)


def duration_us(value: Any) -> int:
    """
    Return a duration such as `250ms` or `2d` in microseconds.

    >>> duration_us("1.5s"), duration_us(0)
    (1500000, 0)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d)", str(value))
    if found:
        return int(Decimal(found[1]) * _UNITS_US[found[2]])
    if value == 0:
        return 0
    message = f"{value!r} is not a duration"
    raise ValueError(message)


def _instant(value: Any) -> int:
    """Return a TOML time, or the text of one, in microseconds of Unix time."""
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1)


def count_basis(document: Mapping[str, Any]) -> dict[str, int]:
    """
    Return how many parameters rest on a fact, on an assumption, on a fit.

    A parameter is a leaf of the scenario (a list is one leaf), apart from its name, description
    and seed; the longest key path in `[basis]` that covers it decides, and what none covers is
    assumed.
    """
    basis = dict(_basis_kinds(document.get("basis", {}), ()))
    counts = dict.fromkeys(BASIS_KINDS, 0)
    for path in _leaves({k: v for k, v in document.items() if k not in _NOT_PARAMETERS}, ()):
        covering = (basis[path[:size]] for size in range(len(path), 0, -1) if path[:size] in basis)
        counts[next(covering, "assumed")] += 1
    return counts


def _leaves(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key)


def _basis_kinds(
    table: Mapping[str, Any], path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], str]]:
    for key, value in table.items():
        below = (*path, *key.split("."))
        if isinstance(value, Mapping) and not isinstance(value.get("kind"), str):
            yield from _basis_kinds(value, below)
            continue
        text = value["kind"] if isinstance(value, Mapping) else str(value)
        kind = re.match(r"\w*", text)
        if kind and kind[0] in BASIS_KINDS:
            yield below, kind[0]
