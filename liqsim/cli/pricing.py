"""`liqsim marginal`: what a dollar more of each cohort's positions costs others in a cascade."""

import json
import os
from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

import typer

from liqsim.api import scenario_file
from liqsim.cli import telemetry
from liqsim.cli.options import AsJson, Jobs, NoBar, Overrides, ScenarioName, Seeds
from liqsim.cli.progress import share_done
from liqsim.cli.text import counted, layout, terminal_width, usd
from liqsim.errors import StudyError
from liqsim.study.marginal import PER_BP, Cost, Plan, costs, mean_of
from liqsim.study.statistics import FEW, mean_estimate


def marginal(
    scenario_name: ScenarioName,
    *,
    cohorts: Annotated[
        list[str] | None,
        typer.Option(
            "--cohort",
            metavar="NAME",
            help="A cohort whose notional is moved; may be repeated.",
            show_default="every one",
        ),
    ] = None,
    by: Annotated[
        str,
        typer.Option(
            metavar="SHARE", help="How much of its notional is added; taken away below 0."
        ),
    ] = "0.1",
    seeds: Seeds = 1,
    overrides: Overrides = None,
    jobs: Jobs = None,
    as_json: AsJson = False,
    quiet: NoBar = False,
) -> None:
    """
    Move each cohort's notional a little; print what a dollar of it costs other accounts, in bp.

    Leverage and draws stay the same. What the cohort's own accounts owe is told apart.

    Example: liqsim marginal black_thursday_2020 --cohort btc_small --cohort btc_large
    """
    telemetry.configure(verbose=0, quiet=True, as_json=False)
    try:
        share = Decimal(by)
    except InvalidOperation:
        message = f"--by {by}: must be a number above -1, and not 0"
        raise StudyError(message) from None
    with scenario_file(scenario_name) as file:
        plan = Plan(file, tuple(overrides or ()), tuple(cohorts or ()), share, seeds)
        with share_done("runs", is_shown=not (quiet or as_json)) as report:
            found = costs(plan, jobs=jobs or os.cpu_count() or 1, progress=report)
    if as_json:
        typer.echo(json.dumps([_told(cost) for cost in found], allow_nan=False))
        return
    typer.echo(f"{file.stem}, {counted(seeds, 'seed')}, notional moved by {share * 100:+f} %\n")
    for line in _lines(found, seeds):
        typer.echo(line)


def _lines(found: Sequence[Cost], seeds: int) -> Iterator[str]:
    header = ["cohort", "accounts", "leverage", "notional, USD"]
    header += ["costs others, bp", "own debts, bp", "fee, bp"]
    rows = [
        [
            cost.cohort,
            f"{cost.accounts:,}",
            f"{cost.leverage:g}",
            usd(cost.notional_usd),
            _bp(cost.others),
            _bp(cost.debts),
            f"{cost.fee * PER_BP:.2f}",
        ]
        for cost in found
    ]
    yield from layout(header, rows, terminal_width())
    yield ""
    if seeds == 1:
        yield "One seed has no interval."
    else:
        yield "Means over seeds, with 95 % bootstrap intervals."
        if seeds < FEW:
            yield f"With {seeds} seeds an interval says little."


def _bp(values: Sequence[float]) -> str:
    estimate = mean_estimate(values)
    if estimate is None:
        return f"{mean_of(values) * PER_BP:+.2f}"
    mean, low, high = (
        f"{value * PER_BP:+.2f}" for value in (estimate.value, estimate.low, estimate.high)
    )
    return f"{mean} ({low} to {high})"


def _told(cost: Cost) -> dict[str, Any]:
    told: dict[str, Any] = {
        "cohort": cost.cohort,
        "accounts": cost.accounts,
        "leverage": cost.leverage,
        "notional_usd": f"{cost.notional_usd:.6f}",
        "fee_bp": cost.fee * PER_BP,
    }
    for name, values in (("others", cost.others), ("debts", cost.debts)):
        in_bp = [value * PER_BP for value in values]
        estimate = mean_estimate(in_bp)
        told[f"{name}_bp"] = mean_of(in_bp)
        told[f"{name}_interval_bp"] = estimate and [estimate.low, estimate.high]
        told[f"{name}_by_seed_bp"] = in_bp
    return told
