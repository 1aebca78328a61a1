"""
How a scenario key becomes an attribute: its TOML form, its integer unit and its bound.

A field's metadata says under which TOML key it stands and how its value is read: `Scalar` for
one value, while tables, rows and pairs say only where they stand: their classes are read from the
annotations. An attribute without metadata is the name of a named table, or not part of the TOML.
Defaults are written in TOML form, so that the resolved scenario can be written out again.
"""

from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

import attrs

from liqsim.units import BOUND, RATIO_SCALE, UNIT_SCALE, USD_SCALE

REQUIRED: Final = object()
"""Marks a key that has no default."""


class Form(StrEnum):
    """What a scalar looks like in TOML, and what it becomes."""

    TEXT = "one line of text"
    FLAG = "true or false"
    COUNT = "a whole number"
    SCALED = "a number"
    REAL = "a real number"
    DURATION = 'a number and its unit (us, ms, s, m, h or d) in quotes, such as "250ms"'
    INSTANT = "a UTC time such as 2020-03-12T10:30:00Z"
    CHOICE = "one of a few words"


@attrs.frozen
class Scalar:
    """
    How one value is read and what it may be.

    Attributes:
        key: Name in TOML.
        form: What it looks like there.
        low: Smallest legal value, in the unit of TOML (seconds for durations).
        high: Largest legal value, likewise.
        low_open: Whether *low* itself is refused.
        scale: Integer units per TOML unit, for `Form.SCALED`.
        choices: The legal words, for `Form.CHOICE`.
        default: Value in TOML form if the key is absent, None for None; `REQUIRED` if it must be
            there.
        absolute: For `Form.INSTANT`: kept in Unix time, not relative to the scenario's start.
        is_end: For `Form.INSTANT`: the exclusive end of something, which may be that of the run.
    """

    key: str
    form: Form
    low: Decimal = Decimal(0)
    high: Decimal = Decimal(BOUND)
    low_open: bool = False
    scale: int = 1
    choices: tuple[str, ...] = ()
    default: Any = REQUIRED
    absolute: bool = False
    is_end: bool = False


def _field(scalar: Scalar) -> Any:
    return attrs.field(metadata={"scalar": scalar})


def text(key: str, *, default: Any = REQUIRED) -> Any:
    """Return a field of free text."""
    return _field(Scalar(key, Form.TEXT, default=default))


def flag(key: str, *, default: bool) -> Any:
    """Return a boolean field."""
    return _field(Scalar(key, Form.FLAG, default=default))


def choice(key: str, *choices: str, default: Any = REQUIRED) -> Any:
    """Return a field holding one of *choices*."""
    return _field(Scalar(key, Form.CHOICE, choices=choices, default=default))


def count(key: str, low: int, high: int, *, default: Any = REQUIRED) -> Any:
    """Return a whole-number field in [*low*, *high*]."""
    return _field(Scalar(key, Form.COUNT, Decimal(low), Decimal(high), default=default))


def usd(key: str, low: str = "0", high: str = "999999999999", *, default: Any = REQUIRED) -> Any:
    """Return an amount in USD, kept in micro-USD."""
    return _field(
        Scalar(key, Form.SCALED, Decimal(low), Decimal(high), scale=USD_SCALE, default=default)
    )


def price(key: str, *, default: Any = REQUIRED) -> Any:
    """Return a price in USD per unit, kept in 1e-8."""
    return _field(
        Scalar(
            key,
            Form.SCALED,
            Decimal("0.00000001"),
            Decimal(9_999_999_999),
            scale=UNIT_SCALE,
            default=default,
        )
    )


def ratio(key: str, low: str, high: str, *, low_open: bool = False, default: Any = REQUIRED) -> Any:
    """Return a share or multiple, kept in 1e-6."""
    return _field(
        Scalar(
            key,
            Form.SCALED,
            Decimal(low),
            Decimal(high),
            low_open=low_open,
            scale=RATIO_SCALE,
            default=default,
        )
    )


def real(key: str, low: str, high: str, *, low_open: bool = False, default: Any = REQUIRED) -> Any:
    """Return a real parameter of a distribution or curve, kept as a float."""
    return _field(
        Scalar(key, Form.REAL, Decimal(low), Decimal(high), low_open=low_open, default=default)
    )


def duration(
    key: str, low_s: str = "0", high_s: str = "31557600", *, default: Any = REQUIRED
) -> Any:
    """Return a duration, kept in microseconds; bounds are in seconds (at most a year)."""
    return _field(Scalar(key, Form.DURATION, Decimal(low_s), Decimal(high_s), default=default))


def instant(key: str, *, absolute: bool = False, is_end: bool = False) -> Any:
    """Return an instant, kept in microseconds since the scenario's start (*absolute*: of Unix)."""
    return _field(Scalar(key, Form.INSTANT, absolute=absolute, is_end=is_end))


def table(key: str) -> Any:
    """Return a field holding a sub-table of an attrs class."""
    return attrs.field(metadata={"table": key})


def tables(key: str, *, shorthand: str | None = None, default: Any = attrs.NOTHING) -> Any:
    """
    Return a field holding named sub-tables, as a tuple of classes; the name is the first attribute.

    With a *shorthand*, a bare string stands for a table with that one key, and the names are free
    text; without, they are fit for SQL and unique whatever their case.
    """
    return attrs.field(metadata={"tables": key, "shorthand": shorthand}, default=default)


def rows(key: str, *, default: Any = REQUIRED) -> Any:
    """Return a field holding an array of tables, as a tuple of attrs classes."""
    return attrs.field(metadata={"rows": key, "default": default})


def pairs(key: str, first: Scalar, second: Scalar, *, default: Any = REQUIRED) -> Any:
    """Return a field holding an array of two-element arrays, as a tuple of tuples."""
    return attrs.field(metadata={"pairs": key, "of": (first, second), "default": default})


def read_by(selector: str, *words: str, field: Any) -> Any:
    """
    Return *field* as one that is read only where the key *selector* is one of *words*.

    Elsewhere it is refused if it is given, and left out of the resolved scenario.
    """
    field.metadata["read_by"] = (selector, words)
    return field


def key_of(attribute: "attrs.Attribute[Any]") -> str | None:
    """Return the TOML key of *attribute*, or None if it has none."""
    metadata = attribute.metadata
    if "scalar" in metadata:
        return str(metadata["scalar"].key)
    forms = ("table", "tables", "rows", "pairs")
    return next((str(metadata[form]) for form in forms if form in metadata), None)


def name_of(item: Any) -> str:
    """Return the name of a named table: the value of its first attribute."""
    return str(getattr(item, attrs.fields(type(item))[0].name))
