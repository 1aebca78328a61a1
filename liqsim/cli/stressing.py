"""`liqsim stress`: a shock and thinner books on top of a scenario, over seeds."""

import json
import math
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Annotated, Any

import numpy as np
import typer

from liqsim.api import load_scenario, scenario_file
from liqsim.cli import telemetry
from liqsim.cli.options import AsJson, Jobs, NoBar, Overrides, ScenarioName, Seeds
from liqsim.cli.progress import share_done
from liqsim.cli.text import counted, layout, usd
from liqsim.errors import StudyError
from liqsim.study.runs import Found
from liqsim.study.statistics import FEW, share_interval, tail_mean
from liqsim.study.stress import (
    Stress,
    read_depth,
    read_shock,
    run_stress,
    share_of,
    smallest_shock,
    unpaid_usd,
)
from replay.measures import MEASURES

_SHOWN = (
    "unpaid_usd",
    "fund_used_usd",
    "deleveraged_usd",
    "shared_losses_usd",
    "liquidated_usd",
    "regret_usd",
    "slippage_usd",
)
_PAYERS = [name for name in MEASURES if name.startswith("paid_by_")]


def stress(
    scenario_name: ScenarioName,
    *,
    shocks: Annotated[
        list[str] | None,
        typer.Option(
            "--shock",
            metavar="MARKET=FRACTION[/DURATION]",
            help=(
                "A move of a reference price, such as ETH=-0.30/20m, at once without a duration; "
                "several begin together, and add up in one market."
            ),
            show_default=False,
        ),
    ] = None,
    depth: Annotated[
        str | None,
        typer.Option(
            metavar="RATIO",
            help="What every book's depth is multiplied by from then on, 0.000001 to 1.",
            show_default=False,
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="When it begins, in UTC.",
            show_default="a tenth of the run",
        ),
    ] = None,
    seeds: Seeds = 20,
    reverse: Annotated[
        float | None,
        typer.Option(
            metavar="USD",
            help="Look for the smallest part of the shock with a tail mean of bad debt above this.",
            show_default=False,
        ),
    ] = None,
    overrides: Overrides = None,
    jobs: Jobs = None,
    as_json: AsJson = False,
    quiet: NoBar = False,
) -> None:
    """
    Put a shock and thinner books on top of a scenario; print the chance of bad debt, and who pays.

    Example: liqsim stress oracle_lag --shock ETH=-0.30/20m --depth 0.25 --seeds 4
    """
    telemetry.configure(verbose=0, quiet=True, as_json=False)
    read = tuple(map(read_shock, shocks or ()))
    thinner = None if depth is None else read_depth(depth)
    if not read and thinner is None:
        message = "nothing to stress: give --shock MARKET=FRACTION/DURATION, --depth RATIO or both"
        raise StudyError(message)
    if reverse is not None and not 0 <= reverse < math.inf:
        message = f"--reverse {reverse:g}: must be an amount of USD, from 0"
        raise StudyError(message)
    if reverse is not None and not read:
        message = "--reverse looks for a part of a shock: give --shock"
        raise StudyError(message)
    moment = moment_of(at)
    jobs = jobs or os.cpu_count() or 1
    with scenario_file(scenario_name) as file:
        planned = Stress(file, tuple(overrides or ()), read, thinner, moment, seeds)
        scenario = load_scenario(file, overrides=planned.settings)
        with share_done("runs", is_shown=not (quiet or as_json)) as report:
            found = run_stress(planned, jobs=jobs, progress=report)
            smallest = None
            if reverse is not None:
                smallest = smallest_shock(
                    planned, reverse, found, jobs=jobs, progress=report, of=tail_mean
                )
    begins = planned.begins(scenario)
    if as_json:
        about: dict[str, Any] = {
            "scenario": scenario.name,
            "shocks": [f"{s.market}={s.fraction}/{s.over or '0s'}" for s in read],
            "depth": None if thinner is None else str(thinner),
            "at": f"{begins:%Y-%m-%dT%H:%M:%S.%fZ}",
            "seeds": seeds,
        }
        if reverse is not None:
            about["smallest_part"] = None if smallest is None else float(smallest)
        typer.echo(json.dumps(about | _told(found), allow_nan=False))
    else:
        moves = [f"{s.market} {_share(s.fraction)} over {s.over or '0s'}" for s in read]
        moves += [] if thinner is None else [f"depth x {thinner}"]
        typer.echo(f"{scenario.name}, {counted(seeds, 'seed')}")
        typer.echo(f"from {begins:%Y-%m-%d %H:%M:%S} UTC: {'; '.join(moves)}\n")
        for line in _lines(found):
            typer.echo(line)
        if reverse is not None:
            typer.echo("")
            typer.echo(_reversed(planned, smallest, reverse))


def moment_of(text: str | None) -> datetime | None:
    """
    Return the instant that an option --at names.

    Raises:
        StudyError: It is no time.
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        message = f"--at {text}: must be a UTC time such as 2020-03-12T14:31:00Z"
        raise StudyError(message) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _share(fraction: Decimal) -> str:
    return f"{(fraction * 100).normalize():+f} %"


def _told(found: Sequence[Found]) -> dict[str, Any]:
    return {
        "p_bad_debt": share_of(found, "unpaid_usd"),
        "p_deleveraged": share_of(found, "deleveraged_usd"),
        "unpaid_tail_usd": tail_mean(unpaid_usd(found)),
        "runs": [run.measures | {"seed": run.outcome["seed"]} for run in found],
    }


def _lines(found: Sequence[Found]) -> Iterator[str]:
    if len(found) < FEW:
        yield f"With {counted(len(found), 'seed')} the worst 5 % is one run."
    for name, measure in (("bad debt", "unpaid_usd"), ("deleveraging", "deleveraged_usd")):
        share = share_of(found, measure)
        low, high = share_interval(share, len(found))
        yield f"chance of {name:13} {share:7.1%}  95 %: {low:.1%} to {high:.1%}"
    yield ""
    values = partial(_values, found)
    yield from layout(
        ["over seeds", "median", "worst 5 %"],
        [
            [MEASURES[name].label, _usd(np.median(values(name))), _usd(tail_mean(values(name)))]
            for name in _SHOWN
        ],
    )
    yield ""
    yield from layout(
        ["who pays, means over seeds", "USD"],
        [
            [MEASURES[name].label.removesuffix(", USD"), _usd(np.mean(values(name)))]
            for name in _PAYERS
        ],
    )


def _values(found: Sequence[Found], name: str) -> list[float]:
    return [float(run.measures[name] or 0) for run in found]


def _usd(value: Any) -> str:
    return usd(Decimal(f"{float(value):.6f}"))


def _reversed(planned: Stress, smallest: Decimal | None, limit: float) -> str:
    if smallest is None:
        return f"the whole shock leaves the worst 5 % at a bad debt of {limit:,.0f} USD or less"
    if not smallest:
        return f"without any shock the worst 5 % have a bad debt above {limit:,.0f} USD"
    moves = ", ".join(f"{s.market} {_share(s.fraction * smallest)}" for s in planned.shocks)
    return f"smallest shock with a bad debt above {limit:,.0f} USD in the worst 5 %: {moves}"
