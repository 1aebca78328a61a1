"""
Single values between their TOML form and their integer unit; exact both ways, never rounded.

The messages raised here are the second half of a sentence: the caller puts file, key and value
before them.
"""

import re
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal, DecimalException, Inexact, InvalidOperation, Overflow
from typing import Any, Final

from liqsim.scenario.fields import Form, Scalar
from liqsim.scenario.toml import inline
from liqsim.units import DAY_US, SECOND_US

_UNITS_US: Final = {
    "d": DAY_US,
    "h": 3_600 * SECOND_US,
    "m": 60 * SECOND_US,
    "s": SECOND_US,
    "ms": 1_000,
    "us": 1,
}
_DURATION = re.compile(r"([+-]?[0-9]+(?:\.[0-9]+)?)(us|ms|s|m|h|d)")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_EXACT = Context(prec=60, traps=[Inexact, InvalidOperation, Overflow])
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)
_NUMBERS = (Form.COUNT, Form.SCALED, Form.REAL)


def read_value(scalar: Scalar, raw: Any, start_us: int) -> int | float | str | bool:
    """
    Return *raw* in the unit of *scalar*; instants are relative to *start_us*, in Unix time.

    Raises:
        ValueError: *raw* has the wrong form or is out of bounds.
    """
    match scalar.form:
        case Form.TEXT if isinstance(raw, str) and not _CONTROL.search(raw):
            return raw
        case Form.FLAG if isinstance(raw, bool):
            return raw
        case Form.CHOICE if isinstance(raw, str) and raw in scalar.choices:
            return raw
        case Form.INSTANT if isinstance(raw, datetime) and raw.utcoffset() == timedelta(0):
            return unix_us(raw) - (0 if scalar.absolute else start_us)
        case Form.DURATION if isinstance(raw, str) and (parts := _DURATION.fullmatch(raw)):
            number, unit_us = Decimal(parts[1]), _UNITS_US[parts[2]]
            _refuse_outside(scalar, number * unit_us / SECOND_US)
            return _scaled(number, unit_us, "must be a whole number of microseconds")
        case form if form in _NUMBERS:
            return _read_number(scalar, raw)
    msg = f"must be {expected(scalar)}"
    raise ValueError(msg)


def write_value(scalar: Scalar, value: Any, start_us: int) -> Any:
    """Return *value* in its one canonical TOML form, from which `read_value` returns it."""
    match scalar.form:
        case Form.SCALED:
            number = _EXACT.divide(Decimal(value), Decimal(scalar.scale))
            return int(number) if number == int(number) else number.normalize(_EXACT)
        case Form.INSTANT:
            return instant_of(value + (0 if scalar.absolute else start_us))
        case Form.DURATION:
            return duration_text(value)
        case _:
            return value


def expected(scalar: Scalar) -> str:
    """Return what *scalar* may be, in words, its bounds included."""
    if scalar.form is Form.CHOICE:
        return f"one of {', '.join(map(inline, scalar.choices))}"
    if scalar.form in (*_NUMBERS, Form.DURATION):
        return f"{scalar.form.value}, {_bounds(scalar)}"
    return scalar.form.value


def unix_us(instant: datetime) -> int:
    """Return *instant* in microseconds of Unix time."""
    return (instant - _EPOCH) // _TICK


def instant_of(unix_time_us: int) -> datetime:
    """Return the UTC time of *unix_time_us*."""
    return _EPOCH + unix_time_us * _TICK


def duration_text(duration_us: int) -> str:
    """
    Return a duration in the largest unit that divides it.

    >>> duration_text(90_000_000), duration_text(0)
    ('90s', '0s')
    """
    if duration_us == 0:
        return "0s"
    unit = next(unit for unit, size_us in _UNITS_US.items() if duration_us % size_us == 0)
    return f"{duration_us // _UNITS_US[unit]}{unit}"


def _read_number(scalar: Scalar, raw: Any) -> int | float:
    is_whole = isinstance(raw, int) and not isinstance(raw, bool)
    if not is_whole and (scalar.form is Form.COUNT or not isinstance(raw, (Decimal, float))):
        msg = f"must be {expected(scalar)}"
        raise ValueError(msg)
    # A float (only from Python) stands for the shortest decimal that denotes it, as in TOML.
    number = Decimal(repr(raw)) if isinstance(raw, float) else Decimal(raw)
    if not number.is_finite():
        msg = f"must be finite, {_bounds(scalar)}"
        raise ValueError(msg)
    _refuse_outside(scalar, number)
    if scalar.form is Form.REAL:
        # Rounding to a float may reach a bound that the decimal did not.
        value = float(number)
        _refuse_outside(scalar, Decimal(repr(value)))
        return value
    decimals = len(str(scalar.scale)) - 1
    return _scaled(number, scalar.scale, f"must have at most {decimals} decimals")


def _scaled(number: Decimal, scale: int, refusal: str) -> int:
    """Return *number* x *scale*, which must be whole."""
    try:
        product = _EXACT.multiply(number, Decimal(scale))
        if product == product.to_integral_value():
            return int(product)
    except DecimalException:
        pass
    raise ValueError(refusal)


def _refuse_outside(scalar: Scalar, number: Decimal) -> None:
    if number < scalar.low or number > scalar.high or (scalar.low_open and number == scalar.low):
        msg = f"must be {_bounds(scalar)}"
        raise ValueError(msg)


def _bounds(scalar: Scalar) -> str:
    if scalar.form is Form.DURATION:
        low, high = (duration_text(int(bound * SECOND_US)) for bound in (scalar.low, scalar.high))
    else:
        low, high = f"{scalar.low:f}", f"{scalar.high:f}"
    return f"above {low} and at most {high}" if scalar.low_open else f"from {low} to {high}"
