"""`liqsim train`: a model of cascades, from runs with seeds of their own."""

import json
import os
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Final

import typer

from liqsim.api import scenario_file
from liqsim.cli import telemetry
from liqsim.cli.options import AsJson, Jobs, NoBar, Overrides, ScenarioName
from liqsim.cli.progress import share_done
from liqsim.cli.text import counted, layout, terminal_width
from liqsim.errors import StudyError
from liqsim.scenario.fields import Form, Scalar
from liqsim.scenario.values import read_value
from liqsim.study.training import FIRST_SEED, Trained, Training, train
from replay.training import Looks

_PERIOD: Final = Scalar("period", Form.DURATION, Decimal("0.001"), Decimal(31_557_600))
_SHARE: Final = Scalar(
    "distance", Form.SCALED, Decimal("0.000001"), Decimal("0.999999"), scale=10**6
)
_MULTIPLE: Final = Scalar("above", Form.SCALED, Decimal(0), Decimal(1_000_000), scale=10**6)


def train_model(
    scenario_name: ScenarioName,
    *,
    out: Annotated[
        Path,
        typer.Option(
            "-o", "--out", metavar="FILE.json", help="Where the model goes.", show_default=False
        ),
    ],
    seeds: Annotated[
        int, typer.Option(metavar="N", help="How many runs; the last quarter is held out.")
    ] = 16,
    first: Annotated[
        int,
        typer.Option(metavar="SEED", help="The first of their seeds.", min=0, max=2**61),
    ] = FIRST_SEED,
    period: Annotated[
        str, typer.Option(metavar="TIME", help="From one look at a run to the next.")
    ] = "1m",
    window: Annotated[
        str, typer.Option(metavar="TIME", help="How far back flows and volatility look.")
    ] = "5m",
    distance: Annotated[
        str,
        typer.Option(metavar="SHARE", help="How far from the price depth and ladder reach."),
    ] = "0.02",
    horizon: Annotated[
        str, typer.Option(metavar="TIME", help="A cascade comes within this time after a look.")
    ] = "10m",
    above: Annotated[
        str,
        typer.Option(
            metavar="MULTIPLE", help="It is forced flow of more than so many times the depth."
        ),
    ] = "0.5",
    overrides: Overrides = None,
    jobs: Jobs = None,
    as_json: AsJson = False,
    quiet: NoBar = False,
) -> None:
    """
    Train a model of the chance of a cascade, for the mitigation `predictive`; needs scikit-learn.

    It is trained on runs with seeds of their own; a run with one of these refuses it.

    Example: liqsim train venue.toml --seeds 16 -o model.json
    """
    telemetry.configure(verbose=0, quiet=True, as_json=False)
    looks = Looks(
        period_us=_read(_PERIOD, "--period", period),
        window_us=_read(_PERIOD, "--window", window),
        distance_e6=_read(_SHARE, "--distance", distance),
        horizon_us=_read(_PERIOD, "--horizon", horizon),
        above_e6=_read(_MULTIPLE, "--above", above),
    )
    _refuse_unusable(out)
    with scenario_file(scenario_name) as file:
        planned = Training(file, tuple(overrides or ()), first, seeds, looks)
        with share_done("runs", is_shown=not (quiet or as_json)) as report:
            found = train(planned, jobs=jobs or os.cpu_count() or 1, progress=report)
    out.write_bytes(f"{found.content}\n".encode())
    if as_json:
        typer.echo(json.dumps(found.tree | {"file": str(out), "sha256": found.sha256}))
        return
    for line in _lines(found):
        typer.echo(line)
    typer.echo(f"\n{out}: SHA-256 {found.sha256}")


def _lines(found: Trained) -> list[str]:
    tree, quality, runs = found.tree, found.tree["quality"], found.tree["runs"]
    rows = [
        [
            row["name"],
            *(f"{row[key] / 10**6:,.3f}" for key in ("mean_e6", "deviation_e6")),
            f"{row['weight_e6'] / 10**6:+.3f}",
        ]
        for row in tree["features"]
    ]
    lines = [*layout(["feature", "mean", "deviation", "weight"], rows, terminal_width()), ""]
    for key, where in (("trained_on", ""), ("held_out", "held_out_")):
        part = f"{key.replace('_', ' ')}: seeds {runs[key][0]} to {runs[key][-1]}"
        positives, count = quality[f"{where}positives"], quality[f"{where}looks"]
        lines.append(f"{part}, {counted(count, 'look')}, {positives:,} before a cascade")
    loss, base, auc = (quality[f"{key}_e6"] / 10**6 for key in ("log_loss", "base_log_loss", "auc"))
    lines.append(f"held out: log loss {loss:.4f}, of the base rate {base:.4f}; AUC {auc:.3f}")
    if loss >= base:
        lines.append("it says less than the base rate does: do not use it")
    return lines


def _read(scalar: Scalar, option: str, text: str) -> int:
    raw: str | Decimal = text
    if scalar.form is not Form.DURATION:
        try:
            raw = Decimal(text)
        except InvalidOperation:
            raw = text
    try:
        return int(read_value(scalar, raw, 0))
    except ValueError as error:
        message = f"{option} {text}: {error}"
        raise StudyError(message) from None


def _refuse_unusable(out: Path) -> None:
    if out.exists():
        message = f"{out}: exists already; liqsim never overwrites a model"
        raise StudyError(message)
    if not out.parent.is_dir():
        message = f"{out}: there is no folder {out.parent}"
        raise StudyError(message)
