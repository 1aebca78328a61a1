"""A run beside its twin without impact: what the run did, and what the crash alone did."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from liqsim.cli.text import layout, price, usd

_MEASURES: Final = {
    "liquidated_accounts": "accounts liquidated",
    "liquidations": "liquidations",
    "liquidated_usd": "liquidated, USD",
    "regret_usd": "of it in regret, USD",
    "fees_usd": "fees, USD",
    "surplus_usd": "surplus to the fund, USD",
    "fund_lowest_usd": "fund lowest, USD",
    "fund_end_usd": "fund at end, USD",
    "deleveraged_usd": "deleveraged, USD",
    "haircut_usd": "profits cut, USD",
    "socialised_usd": "losses socialised, USD",
    "bad_debt_usd": "bad debt, USD",
    "unresolved_buckets": "accounts still due",
}


def difference(actual: Mapping[str, Any], twin: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return *actual* less *twin* for every measure that is a number in both.

    USD and prices stay exact decimal strings, counts integers.

    >>> difference({"liquidations": 5, "bad_debt_usd": "2.500000"},
    ...            {"liquidations": 3, "bad_debt_usd": "0.250000"})
    {'liquidations': 2, 'bad_debt_usd': '2.250000'}
    """
    return {
        key: _less(value, twin[key])
        for key, value in actual.items()
        if (key in _MEASURES or key.startswith("lowest_market_"))
        and value is not None
        and twin[key] is not None
    }


def twin_lines(actual: Mapping[str, Any], twin: Mapping[str, Any]) -> Iterator[str]:
    """Yield a table of *actual*, *twin* and their difference."""
    less = difference(actual, twin)
    rows = [
        [label, *(_shown(key, found.get(key)) for found in (actual, twin, less))]
        for key, label in _MEASURES.items()
    ]
    rows += [
        [f"lowest {key.removeprefix('lowest_market_').upper()}, USD"]
        + [_shown(key, found.get(key)) for found in (actual, twin, less)]
        for key in actual
        if key.startswith("lowest_market_")
    ]
    yield from layout(["Against the twin", "actual", "twin", "difference"], rows)


def _less(value: Any, other: Any) -> Any:
    return value - other if isinstance(value, int) else str(Decimal(value) - Decimal(other))


def _shown(key: str, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    return usd(value) if key.endswith("_usd") else price(value)
