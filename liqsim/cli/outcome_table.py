"""What a run came to, as a table for a person."""

import json
import math
import textwrap
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import attrs
import typer

from liqsim.cli.text import (
    clock,
    counted,
    layout,
    percent,
    price,
    printable,
    span,
    terminal_width,
    usd,
)
from liqsim.scenario.toml import inline
from replay.log import Log

_WIDTH: Final = 80
_SET_MOST: Final = 800
"""So many characters of one key that `--set` changed: a model fills pages."""
_LABEL: Final = 24
_VALUE: Final = 22
_PRICES: Final = ("lowest market", "lowest reference", "amplification", "displaced, %")
_DEPARTURE: Final = "departure_"
IMPLAUSIBLE: Final = 0.02
"""A reference this far outside the range of history, in ln(price), calls for a warning."""
_FACTOR: Final = "amplification_"
_BRANCHING: Final = "branching_start_"
_REASONS: Final = "unresolved_"
_TRADED: Final = (
    "topped_up_usd",
    "closed_by_will_usd",
    "reopened_usd",
    "rebalanced_usd",
    "relevered_usd",
    "anticipated_usd",
    "arrived_usd",
    "funding_usd",
    "leverage_fees_usd",
)
_STILL_DUE: Final = ("unresolved_buckets", "unresolved_usd", "unresolved_shortfall_usd")
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
    for line in _lines(outcome, log.manifest.scenario_toml):
        typer.echo(line)
    if outcome["status"] != "sealed":
        reason = f" ({printable(log.manifest.error)})" if log.manifest.error else ""
        typer.echo(f"The run did not end{reason}: all figures are up to its last event.")
    if verbose:
        for line in _basis_lines(log.manifest.scenario_toml):
            typer.echo(line)
    typer.echo(f"log  {outcome['log']}")


def _lines(outcome: Mapping[str, Any], scenario_toml: str) -> Iterator[str]:
    yield _bold(f"{outcome['scenario']}, seed {outcome['seed']}")
    start, end = clock(outcome["start_at"]), clock(outcome["end_at"])
    yield f"{start} to {end} UTC, path {_path_mode(outcome)}"
    yield _effort(outcome)
    yield f"digest {outcome['digest']}" if outcome["digest"] else "no digest yet"
    yield from _overrides(outcome["overrides"] or (), scenario_toml)
    yield ""
    title, *prices = layout(["Prices, USD", *_PRICES], _prices(outcome))
    yield _bold(title)
    yield from prices[1:]
    yield from _departures(outcome)
    for heading, lines in _groups(outcome):
        yield ""
        yield _bold(heading)
        for line in lines:
            yield f"  {line.label:<{_LABEL}}{line.value:>{_VALUE}}  {line.note}".rstrip()
    yield ""


def _overrides(keys: Sequence[str], scenario_toml: str) -> Iterator[str]:
    """Yield what `--set` changed, so that two variants can be told apart."""
    for key in keys:
        value: Any = tomllib.loads(scenario_toml, parse_float=Decimal)
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        text = textwrap.shorten(printable(f"set {key} = {inline(value)}"), _SET_MOST)
        yield from textwrap.wrap(text, terminal_width() or _WIDTH, subsequent_indent="    ")


def _path_mode(outcome: Mapping[str, Any]) -> str:
    mode, baseline = outcome["path_mode"], outcome["baseline"]
    if baseline:
        return f"{mode}, facing the reference {baseline[:12]} of its baseline"
    return f"{mode}, its own baseline" if mode == "purged" else mode


def _departures(outcome: Mapping[str, Any]) -> Iterator[str]:
    """Yield how far each purged reference is from history, and whether that can be."""
    for key, departure in outcome.items():
        if not key.startswith(_DEPARTURE) or departure is None:
            continue
        market = key.removeprefix(_DEPARTURE)
        beyond = outcome[f"beyond_history_{market}"]
        text = f"  {market.upper()}: reference up to {_displaced(departure)} % from history"
        if beyond > IMPLAUSIBLE:
            text += f", {_displaced(beyond)} % outside its range: is that plausible?"
        yield text


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
            _optional(_displaced, outcome[f"largest_displacement_{market}"]),
        ]
        for market in markets
    ]


def _displaced(displacement: float) -> str:
    """Return a difference of log prices in per cent of price."""
    return f"{100 * math.expm1(displacement):,.2f}"


def _groups(outcome: Mapping[str, Any]) -> Iterator[tuple[str, list[Line]]]:
    yield "Liquidations", _liquidations(outcome)
    yield "Cascades", _cascades(outcome)
    yield "Money, USD", _money(outcome)
    yield "Insurance fund and shared losses, USD", _fund(outcome)
    if outcome["keeper_attempts_won"] is not None:
        yield "Keepers", _keepers(outcome)
    if outcome["desk_profit_usd"] is not None:
        yield "Desk, USD", _desk(outcome)
    if any(Decimal(outcome[key]) for key in _TRADED):
        yield "Traders and funding, USD", _traders(outcome)
    if outcome["decisions"]:
        yield "Mitigations", _mitigations(outcome)
    yield "Oracle", _oracle(outcome)
    yield "Unresolved", _unresolved(outcome)
    yield "Parameters that rest on", _basis(outcome)


def _liquidations(outcome: Mapping[str, Any]) -> list[Line]:
    hit, accounts = outcome["liquidated_accounts"], outcome["accounts"]
    lines = [
        Line(
            "accounts liquidated",
            f"{hit:,}",
            _share(Decimal(hit), Decimal(accounts), f"of {accounts:,}"),
        ),
        Line("liquidations", f"{outcome['liquidations']:,}", "one account may have several"),
        *_classes(outcome),
        Line("tranches", f"{outcome['tranches']:,}"),
    ]
    if outcome["liquidations"]:
        lines += [
            Line("first", clock(outcome["first_liquidation_at"]), "UTC"),
            Line("last", clock(outcome["last_liquidation_at"]), "UTC"),
            Line(
                "longest wait", span(outcome["due_wait_max_us"]), "to a settlement, or to the end"
            ),
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


def _classes(outcome: Mapping[str, Any]) -> list[Line]:
    """Return what each class came to, and how many shadow crossings came to none."""
    if not outcome["liquidations"] and not outcome["averted"]:
        return []
    classes = ("first_order", "accelerated", "induced", "rule_induced")
    return [
        *(
            Line(
                f"  {name.replace('_', '-')}",
                f"{outcome[name]:,}",
                f"{usd(outcome[f'{name}_usd'])} USD",
            )
            for name in classes
        ),
        Line("  averted", f"{outcome['averted']:,}", "due on the shadow alone"),
    ]


def _money(outcome: Mapping[str, Any]) -> list[Line]:
    liquidated = Decimal(outcome["liquidated_usd"])
    debt, shortfall = Decimal(outcome["bad_debt_usd"]), outcome["unresolved_shortfall_usd"]
    return [
        Line("liquidated", usd(liquidated), "all routes, at their prices"),
        Line(
            "of it in regret", _optional(usd, outcome["regret_usd"]), "solvent at the end, if left"
        ),
        Line("fees", usd(outcome["fees_usd"]), "paid by liquidated accounts"),
        Line("burnt", usd(outcome["burnt_usd"]), "of penalties"),
        Line("bad debt", usd(debt), _share(debt, liquidated, "of liquidated")),
        Line("shortfall still open", _optional(usd, shortfall), "of accounts still due"),
        Line("makers' profit", usd(outcome["makers_profit_usd"]), "since the opening"),
    ]


def _fund(outcome: Mapping[str, Any]) -> list[Line]:
    start, end = Decimal(outcome["fund_start_usd"]), Decimal(outcome["fund_end_usd"])
    surplus, deleveraged = Decimal(outcome["surplus_usd"]), Decimal(outcome["deleveraged_usd"])
    contributed = Decimal(outcome["contributed_usd"])
    penalties = Decimal(outcome["penalties_to_fund_usd"])
    received = surplus + contributed + penalties
    received += Decimal(outcome["leverage_fees_usd"]) + Decimal(outcome["index_residue_usd"])
    return [
        Line("fund at start", usd(start)),
        Line("fund lowest", usd(outcome["fund_lowest_usd"])),
        Line("fund at end", usd(end), f"{'-' if end < start else '+'}{usd(abs(end - start))}"),
        Line("largest drawdown", usd(outcome["fund_drawdown_usd"]), "from a height before"),
        Line("surplus received", usd(surplus)),
        Line("contributed", usd(contributed), "by backers of the fund"),
        Line("penalties received", usd(penalties), "its share"),
        Line("paid out", usd(start + received - end)),
        Line("deleveraged", usd(deleveraged), counted(outcome["adl_events"], "deleveraging")),
        Line("stakes slashed", usd(outcome["slashed_usd"]), "for holes"),
        Line("profits cut", usd(outcome["haircut_usd"]), "of winners, for holes"),
        Line("losses socialised", usd(outcome["socialised_usd"]), "paid by solvent accounts"),
    ]


def _keepers(outcome: Mapping[str, Any]) -> list[Line]:
    won, lost = outcome["keeper_attempts_won"], outcome["keeper_attempts_lost"]
    return [
        Line("calls won", f"{won:,}", _share(Decimal(won), Decimal(won + lost), "of those sent")),
        Line("calls lost", f"{lost:,}"),
        Line("profit, USD", _optional(usd, outcome["keeper_profit_usd"])),
        Line("shares of penalties", usd(outcome["penalties_to_keepers_usd"])),
        Line("rewards", usd(outcome["rewards_usd"]), _left_for_rewards(outcome)),
        Line(
            "lowest purse, USD",
            _optional(usd, outcome["keeper_purse_lowest_usd"]),
            f"{counted(outcome['keepers_dry'], 'keeper')} short of a tranche",
        ),
    ]


def _left_for_rewards(outcome: Mapping[str, Any]) -> str:
    return f"{counted(outcome['rewards'], 'reward')}, {usd(outcome['rewards_left_usd'])} left"


def _desk(outcome: Mapping[str, Any]) -> list[Line]:
    return [
        Line("profit", usd(outcome["desk_profit_usd"])),
        Line("inventory at end", usd(outcome["desk_inventory_usd"]), "at the market price"),
    ]


def _traders(outcome: Mapping[str, Any]) -> list[Line]:
    return [
        Line("topped up", usd(outcome["topped_up_usd"]), "near their liquidation"),
        Line("traded down by will", usd(outcome["closed_by_will_usd"]), "near it, or at stops"),
        Line("opened again", usd(outcome["reopened_usd"]), "after a liquidation"),
        Line("rebalanced", usd(outcome["rebalanced_usd"]), "to a leverage or a volatility"),
        Line("levered up", usd(outcome["relevered_usd"]), "in profit"),
        Line("traded ahead of halts", usd(outcome["anticipated_usd"]), "which they saw coming"),
        Line("newly arrived", usd(outcome["arrived_usd"]), _arrived(outcome)),
        Line("paid as funding", usd(outcome["funding_usd"]), "to the makers, net"),
        Line("paid for leverage", usd(outcome["leverage_fees_usd"]), "into the fund"),
    ]


def _arrived(outcome: Mapping[str, Any]) -> str:
    text = counted(outcome["arrived_accounts"], "account")
    hit, used_up = outcome["arrived_liquidated"], outcome["arrivals_used_up"]
    text += f", {hit:,} of them liquidated" if hit else ""
    return text + (f"; no more could in {counted(used_up, 'cohort')}" if used_up else "")


def _mitigations(outcome: Mapping[str, Any]) -> list[Line]:
    return [
        Line("decisions", f"{outcome['decisions']:,}", "that made a difference: view decisions"),
        Line("reduced ahead", usd(outcome["reduced_usd"]), counted(outcome["reductions"], "step")),
        *(
            (
                Line("halts", f"{outcome['halts']:,}", "announced by breakers"),
                Line("liquidations halted", span(outcome["halted_us"]), "in some market"),
                Line("new risk halted", span(outcome["risk_halted_us"]), "in some market"),
            )
            if outcome["halts"]
            else ()
        ),
    ]


def _oracle(outcome: Mapping[str, Any]) -> list[Line]:
    median, never = outcome["oracle_lag_p50_us"], "no update landed: nobody due"
    has_landed = median is not None
    return [
        Line("lag, median", _optional(span, median), "sampled to landed" if has_landed else never),
        Line("lag, 99th percentile", _optional(span, outcome["oracle_lag_p99_us"])),
    ]


def _unresolved(outcome: Mapping[str, Any]) -> list[Line]:
    reasons = {
        key.removeprefix(_REASONS): count
        for key, count in outcome.items()
        if key.startswith(_REASONS) and key not in _STILL_DUE
    }
    still_due = outcome["unresolved_buckets"]
    return [
        Line("accounts still due", "unknown" if still_due is None else f"{still_due:,}"),
        *([Line("their positions, USD", usd(outcome["unresolved_usd"]))] if still_due else []),
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


def _share(part: Decimal, whole: Decimal, text: str) -> str:
    """Return what part of *whole* something is, with *text*; nothing where there is no whole."""
    return f"{percent(float(part), float(whole))} {text}" if whole else ""


def _optional(text: Any, value: Any) -> str:
    return "-" if value is None else str(text(value))
