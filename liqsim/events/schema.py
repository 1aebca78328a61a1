"""
How an event class becomes columns and transfers.

An event class is frozen attrs; each field is an integer (or an `IntEnum`) whose unit is the suffix
of its name. The suffix alone decides the column's name and SQL type (`column_of`), the field's
metadata its range, the class docstring its comment. `TRANSFERS` says which balances it moves.
"""

import re
from enum import IntEnum
from inspect import cleandoc
from typing import Any, ClassVar, Final, Protocol, get_type_hints

import attrs

from liqsim.units import BOUND

NO_CAUSE: Final = -1
"""cause_seq of an exogenous event, as an integer; null in SQL."""
USD_ASSET: Final = 0
"""Asset id of USD; the contract of market m is asset m + 1, its coin asset -(m + 1)."""


PREMIUM_MOST_E9: Final = 10**15
"""A premium is recorded as at most a million times the price that it is over."""


class Owner(IntEnum):
    """The owners every run has; keepers, backers, those of mitigations and buckets follow."""

    OUTSIDE = 0
    MAKERS = 1
    FUND = 2
    TREASURY = 3
    NETWORK = 4


FIRST_FREE_OWNER: Final = len(Owner)


class OwnerKind(IntEnum):
    """What sort of owner a row of `owners` is; the first five are the one owner of that name."""

    OUTSIDE = 0
    MAKERS = 1
    FUND = 2
    TREASURY = 3
    NETWORK = 4
    KEEPER = 5
    BUCKET = 6
    BACKER = 7
    DESK = 8
    STAKER = 9
    VAULT = 10
    BURN = 11
    POOL = 12
    BIDDER = 13


@attrs.frozen
class Transfer:
    """
    One movement that an event makes: *amount* of an asset from *payer* to *payee*.

    Attributes:
        payer: Name of an owner field, or a fixed owner.
        payee: Name of an owner field, or a fixed owner.
        amount: Name of the amount field; a negative amount moves the other way.
        market: Name of the market field whose contract moves; None moves USD.
        is_coin: Whether the market's coin moves, not its contract.
    """

    payer: str | Owner
    payee: str | Owner
    amount: str
    market: str | None = None
    is_coin: bool = False


class EventShape(attrs.AttrsInstance, Protocol):
    """What every event class carries besides its fields."""

    TAG: ClassVar[str]
    TRANSFERS: ClassVar[tuple[Transfer, ...]]


EventClass = type[EventShape]


def ranged(low: int, high: int) -> Any:
    """Return an attrs field whose values lie in [*low*, *high*]."""
    return attrs.field(metadata={"low": low, "high": high})


def amount() -> Any:
    """Return a field in [0, BOUND): USD or units that cannot be negative."""
    return ranged(0, BOUND - 1)


def signed() -> Any:
    """Return a field in (-BOUND, BOUND): signed USD or units."""
    return ranged(-BOUND + 1, BOUND - 1)


def price() -> Any:
    """Return a price field in [1, BOUND)."""
    return ranged(1, BOUND - 1)


def identifier() -> Any:
    """Return a field for the number of an owner, a market or a count."""
    return ranged(0, 2**31 - 1)


def sequence() -> Any:
    """Return a field for the sequence number of an earlier event."""
    return ranged(0, 2**62)


def optional_sequence() -> Any:
    """Return a field for the number of an earlier event, or `NO_CAUSE`, which is null in SQL."""
    return attrs.field(metadata={"low": NO_CAUSE, "high": 2**62, "is_optional": True})


def log_points() -> Any:
    """Return a field for a difference of log prices, far beyond any that a run can show."""
    return ranged(-(10**12), 10**12)


def premium() -> Any:
    """Return a field for the premium of one price over another, as a share of it."""
    return ranged(-(10**9), PREMIUM_MOST_E9)


def instant() -> Any:
    """Return a field for an instant in microseconds since the start; negative is before it."""
    return ranged(-(2**62), 2**62)


def member() -> Any:
    """Return a field for a member of an enum."""
    return attrs.field()


def duration() -> Any:
    """Return a field for a duration in microseconds."""
    return ranged(0, 2**62)


@attrs.frozen
class Column:
    """
    One column of an event table.

    Attributes:
        field: Name of the event's attribute.
        name: Name in SQL.
        sql_type: DuckDB type.
        scale: Decimal places of a DECIMAL column, else None.
        members: Names of an enum by value, else None.
        low: Smallest legal value, in the field's own integer unit.
        high: Largest legal value.
        comment: What it means.
        is_instant: Whether the integer is microseconds since the scenario's start.
        is_optional: Whether -1 stands for nothing and is null in SQL.
    """

    field: str
    name: str
    sql_type: str
    scale: int | None
    members: tuple[str, ...] | None
    low: int
    high: int
    comment: str
    is_instant: bool = False
    is_optional: bool = False


_SUFFIXES: Final = (
    ("_at_us", "_at", "TIMESTAMP", None),
    ("_uusd", "_usd", "DECIMAL(18,6)", 6),
    ("_e9", "", "DECIMAL(18,9)", 9),
    ("_e8", "", "DECIMAL(18,8)", 8),
    ("_e6", "", "DECIMAL(18,6)", 6),
    ("_us", "_us", "BIGINT", None),
    ("_seq", "_seq", "BIGINT", None),
    ("_id", "_id", "INTEGER", None),
    ("_number", "_number", "INTEGER", None),
    ("_count", "_count", "INTEGER", None),
)

ENVELOPE: Final = (
    Column("seq", "seq", "BIGINT", None, None, 0, 2**62, "Number of the event, from 0, no gaps."),
    Column(
        "sim_time_us",
        "sim_time",
        "TIMESTAMP",
        None,
        None,
        0,
        2**62,
        "Simulated UTC time of the event.",
        is_instant=True,
    ),
    Column(
        "cause_seq",
        "cause_seq",
        "BIGINT",
        None,
        None,
        NO_CAUSE,
        2**62,
        "The event that brought this one about; null for exogenous events.",
        is_optional=True,
    ),
)


_COLUMNS: dict[EventClass, tuple[Column, ...]] = {}


def columns_of(cls: EventClass) -> tuple[Column, ...]:
    """Return the payload columns of event class *cls*, in field order."""
    if cls not in _COLUMNS:
        _COLUMNS[cls] = _derived_columns(cls)
    return _COLUMNS[cls]


def _derived_columns(cls: EventClass) -> tuple[Column, ...]:
    comments = attribute_docs(cls)
    hints = get_type_hints(cls)
    return tuple(
        _column(field.name, hints[field.name], field.metadata, comments[field.name])
        for field in attrs.fields(cls)
    )


def _column(name: str, kind: Any, metadata: Any, comment: str) -> Column:
    if isinstance(kind, type) and issubclass(kind, IntEnum):
        members = tuple(member.name.lower() for member in kind)
        return Column(name, name, "VARCHAR", None, members, 0, len(members) - 1, comment)
    for suffix, column_suffix, sql_type, scale in _SUFFIXES:
        if name.endswith(suffix):
            stem = name.removesuffix(suffix)
            return Column(
                name,
                stem + column_suffix,
                sql_type,
                scale,
                None,
                metadata["low"],
                metadata["high"],
                comment,
                is_instant=suffix == "_at_us",
                is_optional=metadata.get("is_optional", False),
            )
    message = f"event field {name} has no unit suffix"
    raise TypeError(message)


def summary_of(cls: EventClass) -> str:
    """Return the first sentence of a class docstring, the comment of its table."""
    return " ".join((cls.__doc__ or "").strip().split("\n\n", maxsplit=1)[0].split())


def attribute_docs(cls: EventClass) -> dict[str, str]:
    """Return the text of each entry under `Attributes:` in a class docstring."""
    _, _, listing = (cls.__doc__ or "").partition("Attributes:")
    docs: dict[str, list[str]] = {}
    current: list[str] = []
    for line in cleandoc(listing).splitlines():
        # What goes on from the line before is indented, also if it begins like an entry.
        entry = re.fullmatch(r"(\w+): (.+)", line)
        if entry:
            current = docs[entry[1]] = [entry[2]]
        elif line.strip():
            current.append(line.strip())
    return {name: " ".join(parts) for name, parts in docs.items()}
