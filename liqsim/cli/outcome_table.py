"""What a run came to, as a table for a person."""

import json
import tomllib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

import attrs
import typer

from liqsim.cli.text import clock, layout, percent, price, printable, span, terminal_width, usd
from replay.log import Log

_WIDTH: Final = 80
_LABEL: Final = 24
_VALUE: Final = 22
_PRICES: Final = ("lowest market", "lowest reference", "amplification")
_FACTOR: Final = "amplification_"
_BRANCHING: Final = "branching_start_"
_REASONS: Final = "unresolved_"
_BASIS: Final = ("fact", "fitted", "assumed")


@attrs.frozen
class Line:
    """
    One line of a group: what it is, the figure, and what helps to judge it.

    Attributes:
        label: What it is.
        value: The figure.
        note: What helps to judge it.
    """

    label: str
    value: str
    note: str = ""


def print_outcome(log: Log, *, as_json: bool, verbose: int) -> None:
    """Print what the run behind *log* came to; *verbose* adds what its parameters rest on."""
    outcome = log.outcome()
    if as_json:
        typer.echo(json.dumps(outcome, allow_nan=False))
        return
    for line in _lines(outcome):
        typer.echo(line)
    if outcome["status"] != "sealed":
        reason = f" ({printable(log.manifest.error)})" if log.manifest.error else ""
        typer.echo(f"The run did not end{reason}: all figures are up to its last event.")
    if verbose:
        for line in _basis_lines(log.manifest.scenario_toml):
            typer.echo(line)
    typer.echo(f"log  {outcome['log']}")


def _lines(outcome: Mapping[str, Any]) -> Iterator[str]:
    yield _bold(f"{outcome['scenario']}, seed {outcome['seed']}")
    start, end = clock(outcome["start_at"]), clock(outcome["end_at"])
    yield f"{start} to {end} UTC, path {outcome['path_mode']}"
    yield _effort(outcome)
    yield f"digest {outcome['digest']}" if outcome["digest"] else "no digest yet"
    yield ""
    title, *prices = layout(["Prices, USD", *_PRICES], _prices(outcome))
    yield _bold(title)
    yield from prices[1:]
    for heading, lines in _groups(outcome):
        yield ""
        yield _bold(heading)
        for line in lines:
            yield f"  {line.label:<{_LABEL}}{line.value:>{_VALUE}}  {line.note}".rstrip()
    yield ""


def _bold(text: str) -> str:
    return typer.style(text, bold=True)


def _effort(outcome: Mapping[str, Any]) -> str:
    text = f"{outcome['status']}, {outcome['event_count']:,} events"
    seconds, rate = outcome["wall_seconds"], outcome["events_per_second"]
    if seconds is not None:
        text += f" in {seconds:,.1f} s"
    if rate is not None:
        text += f" ({rate:,.0f} a second)"
    return f"{text}, run {outcome['run_id']}"


def _prices(outcome: Mapping[str, Any]) -> list[list[str]]:
    markets = [key.removeprefix(_FACTOR) for key in outcome if key.startswith(_FACTOR)]
    return [
        [
            f"  {market.upper()}",
            _optional(price, outcome[f"lowest_market_{market}"]),
            _optional(price, outcome[f"lowest_reference_{market}"]),
            _optional("{:,.4f}".format, outcome[f"{_FACTOR}{market}"]),
        ]
        for market in markets
    ]


def _groups(outcome: Mapping[str, Any]) -> Iterator[tuple[str, list[Line]]]:
    yield "Liquidations", _liquidations(outcome)
    yield "Cascades", _cascades(outcome)
    yield "Money, USD", _money(outcome)
    yield "Insurance fund and shared losses, USD", _fund(outcome)
    if outcome["keeper_attempts_won"] is not None:
        yield "Keepers", _keepers(outcome)
    yield "Oracle", _oracle(outcome)
    yield "Unresolved", _unresolved(outcome)
    yield "Parameters that rest on", _basis(outcome)


def _liquidations(outcome: Mapping[str, Any]) -> list[Line]:
    hit, accounts = outcome["liquidated_accounts"], outcome["accounts"]
    lines = [
        Line("accounts liquidated", f"{hit:,}", f"{percent(hit, accounts)} of {accounts:,}"),
        Line("liquidations", f"{outcome['liquidations']:,}", "one account may have several"),
        Line("tranches", f"{outcome['tranches']:,}"),
    ]
    if outcome["liquidations"]:
        lines += [
            Line("first", clock(outcome["first_liquidation_at"]), "UTC"),
            Line("last", clock(outcome["last_liquidation_at"]), "UTC"),
            Line("longest wait", span(outcome["due_wait_max_us"]), "trigger to first settlement"),
        ]
    return lines


def _cascades(outcome: Mapping[str, Any]) -> list[Line]:
    return [
        *(
            Line(
                f"b at start, {key.removeprefix(_BRANCHING).upper()}",
                _optional("{:,.3f}".format, value),
                "above 1 feeds itself",
            )
            for key, value in outcome.items()
            if key.startswith(_BRANCHING)
        ),
        Line("episodes", f"{outcome['episodes']:,}", "joined through forced fills"),
        Line("generations", f"{outcome['generations']:,}", "of the longest line"),
        Line(
            "largest R",
            _optional("{:,.3f}".format, outcome["largest_r"]),
            "USD of the next / its own",
        ),
    ]


def _money(outcome: Mapping[str, Any]) -> list[Line]:
    liquidated = Decimal(outcome["liquidated_usd"])
    debt = Decimal(outcome["bad_debt_usd"])
    return [
        Line("liquidated", usd(liquidated), "all routes, at their prices"),
        Line("fees", usd(outcome["fees_usd"]), "paid by liquidated accounts"),
        Line("bad debt", usd(debt), f"{percent(float(debt), float(liquidated))} of liquidated"),
    ]


def _fund(outcome: Mapping[str, Any]) -> list[Line]:
    start, end = Decimal(outcome["fund_start_usd"]), Decimal(outcome["fund_end_usd"])
    surplus, deleveraged = Decimal(outcome["surplus_usd"]), Decimal(outcome["deleveraged_usd"])
    contributed = Decimal(outcome["contributed_usd"])
    return [
        Line("fund at start", usd(start)),
        Line("fund lowest", usd(outcome["fund_lowest_usd"])),
        Line("fund at end", usd(end), f"{'-' if end < start else '+'}{usd(abs(end - start))}"),
        Line("surplus received", usd(surplus)),
        Line("contributed", usd(contributed), "by backers of the fund"),
        Line("paid out", usd(start + surplus + contributed - end)),
        Line("deleveraged", usd(deleveraged), f"{outcome['adl_events']:,} deleveragings"),
        Line("profits cut", usd(outcome["haircut_usd"]), "of winners, for holes"),
        Line("losses socialised", usd(outcome["socialised_usd"]), "paid by solvent accounts"),
    ]


def _keepers(outcome: Mapping[str, Any]) -> list[Line]:
    won, lost = outcome["keeper_attempts_won"], outcome["keeper_attempts_lost"]
    return [
        Line("calls won", f"{won:,}", f"{percent(won, won + lost)} of those sent"),
        Line("calls lost", f"{lost:,}"),
        Line("profit, USD", _optional(usd, outcome["keeper_profit_usd"])),
        Line(
            "lowest purse, USD",
            _optional(usd, outcome["keeper_purse_lowest_usd"]),
            f"{outcome['keepers_dry']:,} keepers short of a tranche",
        ),
    ]


def _oracle(outcome: Mapping[str, Any]) -> list[Line]:
    return [
        Line("lag, median", _optional(span, outcome["oracle_lag_p50_us"]), "sampled to landed"),
        Line("lag, 99th percentile", _optional(span, outcome["oracle_lag_p99_us"])),
    ]


def _unresolved(outcome: Mapping[str, Any]) -> list[Line]:
    reasons = {
        key.removeprefix(_REASONS): count
        for key, count in outcome.items()
        if key.startswith(_REASONS) and key != f"{_REASONS}buckets"
    }
    still_due = outcome["unresolved_buckets"]
    return [
        Line("accounts still due", "unknown" if still_due is None else f"{still_due:,}"),
        *(
            Line(f"  {reason.replace('_', ' ')}", f"{count:,}")
            for reason, count in reasons.items()
            if count
        ),
    ]


def _basis(outcome: Mapping[str, Any]) -> list[Line]:
    words = {"fact": "facts", "fitted": "fits", "assumed": "assumptions"}
    return [
        Line(words[kind], "-" if count is None else f"{count:,}")
        for kind in _BASIS
        for count in [outcome[f"basis_{kind}"]]
    ]


def _basis_lines(scenario_toml: str) -> Iterator[str]:
    """Yield what the parameters rest on: facts first, then what was fitted and what is assumed."""
    basis: Mapping[str, Mapping[str, str]] = tomllib.loads(scenario_toml).get("basis", {})
    rows = [
        [kind, key, entry.get("source", "")]
        for kind in _BASIS
        for key, entry in sorted(basis.items())
        if entry["kind"] == kind
    ]
    if rows:
        width = terminal_width() or _WIDTH
        yield from layout(["basis", "key", "source"], rows, width, wrap_last=True)
        yield ""


def _optional(text: Any, value: Any) -> str:
    return "-" if value is None else str(text(value))
