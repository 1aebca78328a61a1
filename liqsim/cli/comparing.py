"""`liqsim compare`: variants of a scenario side by side, on the same shocks."""

import json
import math
import os
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final

import attrs
import pyarrow as pa
import pyarrow.parquet as pq
import typer

from liqsim.api import scenario_file
from liqsim.cli import telemetry
from liqsim.cli.options import AsJson, Jobs, NoBar, ScenarioName
from liqsim.cli.outcome_table import IMPLAUSIBLE
from liqsim.cli.progress import share_done
from liqsim.cli.text import counted, layout, span, terminal_width, usd
from liqsim.errors import StudyError
from liqsim.study.gains import Gain, mean_gains
from liqsim.study.hints import unknown
from liqsim.study.runs import Measured, Study, floats_of, measured, seeds_of
from liqsim.study.statistics import FEW, Estimate, Summary, summary
from liqsim.study.variants import read_variants, resolved
from replay.export import refuse_unusable
from replay.measures import MEASURES


def compare(
    scenario_name: ScenarioName,
    *,
    variants: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="VARIANT",
            help=(
                "Parted by commas, behind 'LABEL: ' if you like: none, as_is, generation_1 to _3, "
                "kinds of mitigations, settings KEY=VALUE; or each: every kind alone. Others are "
                "held against the first."
            ),
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Run every variant with the seeds 0 to N - 1.", show_default=False
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Seed of every draw, in place of the scenario's.", show_default=False),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Set a key of the scenario in every variant; may be repeated.",
            show_default=False,
        ),
    ] = None,
    jobs: Jobs = None,
    keep: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Leave the logs there, named SCENARIO_SEED_NUMBER, the first being number 1.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            metavar="FILE.parquet",
            help="Also write a row per run there: variant, seed, every measure.",
            show_default=False,
        ),
    ] = None,
    shown: Annotated[
        list[str] | None,
        typer.Option(
            "--measure",
            metavar="NAME",
            help="Show this measure, and no other that is not named; may be repeated.",
            show_default=False,
        ),
    ] = None,
    as_markdown: Annotated[
        bool,
        typer.Option(
            "--markdown", help="Print one table in Markdown, a row per variant.", metavar=""
        ),
    ] = False,
    as_json: AsJson = False,
    quiet: NoBar = False,
) -> None:
    """
    Run variants of a scenario on the same shocks, and print what they differ in.

    With --seeds, medians, means of the worst 5 % of seeds, and their differences to the first
    variant with 95 % bootstrap intervals over seeds.

    Example: liqsim compare linear_cascade --with none --with "small: venue.tranches.share=0.2"
    """
    telemetry.configure(verbose=0, quiet=True, as_json=False)
    if out is not None:
        refuse_unusable(out)
    if out is not None and out.suffix != ".parquet":
        message = f"{out}: must end in .parquet"
        raise StudyError(message)
    if as_json and as_markdown:
        message = "--json and --markdown contradict each other: give one of them"
        raise StudyError(message)
    named = _measures(shown or ())
    read = read_variants(variants or ())
    with scenario_file(scenario_name) as file:
        read, left_out = resolved(read, file, overrides or (), seed)
        study = Study(
            file, tuple(overrides or ()), read, seeds_of(seeds, seed), keep, with_owners=True
        )
        with share_done("runs", is_shown=not (quiet or as_json)) as report:
            found = measured(study, jobs=jobs or os.cpu_count() or 1, progress=report)
    names = [variant.name for variant in read]
    if out is not None:
        pq.write_table(_table_of(found), out)
    if as_json:
        rows = [
            _as_json(found, column, over_seeds=seeds is not None) for column in range(len(names))
        ]
        typer.echo(json.dumps(rows, allow_nan=False))
        return
    table = markdown_of if as_markdown else lines_of
    for line in table(found, names, named, left_out):
        typer.echo(line)


def _measures(names: Sequence[str]) -> list[str]:
    for name in names:
        if name not in MEASURES:
            message = f"--measure {name}: {unknown(name, MEASURES)}"
            raise StudyError(message)
    return list(dict.fromkeys(names))


# Text ---------------------------------------------------------------------------------------------


def lines_of(
    found: Sequence[Sequence[Measured]],
    names: Sequence[str],
    named: Sequence[str],
    left_out: Mapping[str, str],
) -> Iterator[str]:
    """
    Yield the tables of a comparison, a blank line between them.

    Args:
        found: What every seed, and in it every variant, came to.
        names: Names of the variants; those too long for a table are numbered, and told below it.
        named: The measures that stand in the tables; empty for all that are not zero.
        left_out: Why other variants were not run, by name.
    """
    names, legend = _short(names)
    moved = _moved(found)
    shown = named or moved
    first = found[0][0].outcome
    seeds = counted(len(found), "seed") if len(found) > 1 else f"seed {first['seed']}"
    yield f"{first['scenario']}, {seeds}, path {first['path_mode']}: {' | '.join(names)}"
    for line in legend:
        yield from textwrap.wrap(line, terminal_width() or 100, subsequent_indent="    ")
    yield from _doubts(found, names)
    several = len(found) > 1
    tables = _over_seeds(found, names, shown) if several else _singles(found[0], names, shown)
    for header, rows in tables:
        yield ""
        yield from layout(header, rows, terminal_width())
    if several and not all(_is_same(found, column) for column in range(1, len(names))):
        yield "In brackets: 95 % bootstrap intervals."
    if several and len(found) < FEW:
        yield f"With {len(found)} seeds the worst 5 % is one run, and intervals say little."
    still = ", ".join(
        about.label.removesuffix(", USD") for name, about in MEASURES.items() if name not in moved
    )
    notes = [f"Zero or not defined in all: {still}."] if still and not named else []
    for note in notes + list(_notes(found, names, left_out)):
        yield from textwrap.wrap(note, terminal_width() or 100)
    for column, name in enumerate(names[1:], start=1):
        if _is_same(found, column):
            continue
        rows = _shown(mean_gains([runs[column].gains for runs in found]))
        yield ""
        yield f"{name} against {names[0]}: who gains and who loses, USD" + (
            ", means over seeds" if len(found) > 1 else ""
        )
        yield from layout(["owners", "", "better", "worse", "gained", "lost", "net"], rows)


def markdown_of(
    found: Sequence[Sequence[Measured]],
    names: Sequence[str],
    named: Sequence[str],
    left_out: Mapping[str, str],
) -> Iterator[str]:
    """Yield one table with a row per variant, for a page; see `lines_of`."""
    names, legend = _short(names)
    shown = named or _moved(found)
    yield f"| variant | {' | '.join(MEASURES[name].label for name in shown)} |"
    yield f"|---|{'---:|' * len(shown)}"
    for column, variant in enumerate(names):
        cells = []
        for name in shown:
            told = _summary(found, column, name)
            value = told.median if told and len(found) > 1 else found[0][column].measures[name]
            cells.append(_cell(MEASURES[name].kind, value))
        label = variant.replace("|", "\\|")
        yield f"| {label} | {' | '.join(cells)} |"
    yield ""
    if len(found) > 1:
        yield f"Medians over {len(found)} seeds.\n"
    for line in legend:
        yield f"{line}\n"
    yield from _notes(found, names, left_out)


def _short(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """
    Return names that fit the head of a column, and what the numbers among them stand for.

    >>> _short(["none", "venue.tranches.share=0.2, venue.tranches.spacing=5s"])
    (['none', '#2'], ['#2: venue.tranches.share=0.2, venue.tranches.spacing=5s'])
    """
    short = [
        name if len(name) <= _NAME_MOST else f"#{number}" for number, name in enumerate(names, 1)
    ]
    pairs = zip(short, names, strict=True)
    return short, [f"{label}: {name}" for label, name in pairs if label != name]


def _notes(
    found: Sequence[Sequence[Measured]], names: Sequence[str], left_out: Mapping[str, str]
) -> Iterator[str]:
    same = [name for column, name in enumerate(names) if column and _is_same(found, column)]
    if same:
        yield f"Nothing happened otherwise than in {names[0]}: {', '.join(same)}."
    for name, reason in left_out.items():
        yield f"Left out, {name}: {reason}"


def _is_same(found: Sequence[Sequence[Measured]], column: int) -> bool:
    """Return whether nothing happened otherwise than in the first variant, with any seed."""
    return all(runs[column].is_same for runs in found)


_NAME_MOST: Final = 32
"""A longer name of a variant is a number in tables; a label takes its place."""
_Table = tuple[list[str], list[list[str]]]
_NARROW: Final = 2
"""So many variants always stand in one table."""
_DUST_USD: Final = Decimal("0.01")
"""A table leaves out what is less: --json has it."""
_ANY: Final = 5e-324
_NO_CENTS: Final = 1_000
"""From there on a table has whole dollars; --json has all there is."""


def _doubts(found: Sequence[Sequence[Measured]], names: Sequence[str]) -> Iterator[str]:
    """Yield what a run alone would have warned of, in the first seed that has it."""
    for column, name in enumerate(names):
        for key in found[0][column].outcome:
            values = [(runs[column].outcome[key] or 0, runs[column].seed) for runs in found]
            if key.startswith("branching_start_") and not column and max(values)[0] > 1:
                market = key.removeprefix("branching_start_").upper()
                yield f"{name}: b at the start of {market} is up to {max(values)[0]:.3f}"
            if key.startswith("beyond_history_") and max(values)[0] > IMPLAUSIBLE:
                market = key.removeprefix("beyond_history_").upper()
                far = 100 * (math.exp(max(values)[0]) - 1)
                yield (
                    f"{name}: the reference of {market} is {far:.1f} % outside the range of its "
                    f"history, with seed {max(values)[1]}: no market can have had that"
                )


def _moved(found: Sequence[Sequence[Measured]]) -> list[str]:
    """Return the measures that are not zero in some run, as far as a table shows it."""
    return [
        name
        for name, about in MEASURES.items()
        if any(
            abs(float(run.measures[name] or 0)) >= (_DUST_USD if about.kind == "usd" else _ANY)
            for runs in found
            for run in runs
        )
    ]


def _singles(
    runs: Sequence[Measured], names: Sequence[str], shown: Sequence[str]
) -> Iterator[_Table]:
    """Yield one table of all variants where it is narrow enough, else one for each."""
    whole = _single(runs, names, shown)
    width = terminal_width()
    if len(names) <= _NARROW or not width or max(map(len, layout(*whole))) <= width:
        yield whole
        return
    for run, name in zip(runs[1:], names[1:], strict=True):
        yield _single([runs[0], run], [names[0], name], shown)


def _single(runs: Sequence[Measured], names: Sequence[str], shown: Sequence[str]) -> _Table:
    header = ["", names[0]]
    for name in names[1:]:
        header += [name, "difference"]
    rows = []
    for measure in shown:
        about, base = MEASURES[measure], runs[0].measures[measure]
        cells = [about.label, _cell(about.kind, base)]
        for run in runs[1:]:
            value = run.measures[measure]
            cells += [_cell(about.kind, value), _cell(about.kind, less(value, base), sign=True)]
        rows.append(cells)
    return header, rows


def _over_seeds(
    found: Sequence[Sequence[Measured]], names: Sequence[str], shown: Sequence[str]
) -> Iterator[_Table]:
    for column, name in enumerate(names):
        if column and _is_same(found, column):
            continue
        rows = []
        for measure in shown:
            about, told = MEASURES[measure], _summary(found, column, measure)
            if told is None:
                rows.append([about.label, *["-"] * (2 if column == 0 else 4)])
                continue
            label = about.label
            if column and told.pairs < len(found):
                label += f" ({counted(told.pairs, 'pair')})"
            elif told.runs < len(found):
                label += f" ({counted(told.runs, 'seed')})"
            cells = [label, _cell(about.kind, told.median), _cell(about.kind, told.tail_mean)]
            if column:
                pair = (told.median_difference, told.tail_difference)
                cells += [_interval(about.kind, estimate) for estimate in pair]
            rows.append(cells)
        against = [f"median of differences to {names[0]}", "difference of worst 5 %"]
        yield [name, "median", "worst 5 %", *(against if column else [])], rows


def _interval(kind: str, estimate: Estimate | None) -> str:
    if estimate is None:
        return "-"
    value, low, high = (
        _cell(kind, x, sign=True) for x in (estimate.value, estimate.low, estimate.high)
    )
    return f"{value} ({low} to {high})"


def _shown(rows: Sequence[Gain]) -> list[list[str]]:
    shown = [
        [row.group, f"{row.owners:,}", f"{row.better:,}", f"{row.worse:,}"]
        + [
            _cell("usd", amount, sign=True)
            for amount in (row.gained_usd, row.lost_usd, row.net_usd)
        ]
        for row in rows
        if max(row.gained_usd, -row.lost_usd, abs(row.net_usd)) >= _DUST_USD
    ]
    whole = sum((row.net_usd for row in rows), Decimal(0))
    return [*shown, ["all", "", "", "", "", "", _cell("usd", whole, sign=True)]]


def _cell(kind: str, value: Any, *, sign: bool = False) -> str:
    if value is None:
        return "-"
    mark = "+" if sign and float(value) > 0 else ""
    if kind == "usd":
        amount = Decimal(f"{value:.6f}") if isinstance(value, float) else Decimal(value)
        return mark + (f"{amount:,.0f}" if abs(amount) >= _NO_CENTS else usd(amount))
    if kind == "us":
        size = span(abs(round(value)))
        return f"-{size}" if value < 0 else mark + size
    if kind == "count":
        return f"{mark}{value:,}" if isinstance(value, int) else f"{mark}{value:,.1f}"
    return f"{mark}{value:.4f}"


# Machines -----------------------------------------------------------------------------------------


def less(value: Any, base: Any) -> Any:
    """
    Return *value* less *base*: exact decimal strings for USD; None if either is not defined.

    >>> less("2.500000", "1.000000"), less(3, 5), less(None, 2)
    ('1.500000', -2, None)
    """
    if value is None or base is None:
        return None
    return str(Decimal(value) - Decimal(base)) if isinstance(value, str) else value - base


def _summary(found: Sequence[Sequence[Measured]], column: int, measure: str) -> Summary | None:
    here, first = ([runs[at] for runs in found] for at in (column, 0))
    return summary(
        floats_of(here, measure),
        floats_of(first, measure),
        is_worse_high=MEASURES[measure].is_worse_high,
    )


def _as_json(
    found: Sequence[Sequence[Measured]], column: int, *, over_seeds: bool
) -> dict[str, Any]:
    """Return a variant: its name, its runs, and how they differ from the first variant's."""
    runs, first = ([seed[at] for seed in found] for at in (column, 0))
    told: dict[str, Any] = {"variant": runs[0].variant}
    if not over_seeds:
        told |= runs[0].outcome
        told["measures"] = runs[0].measures
        told["differences"] = {
            name: less(value, first[0].measures[name]) for name, value in runs[0].measures.items()
        }
    else:
        told["runs"] = [run.outcome | {"measures": run.measures} for run in runs]
        summaries = {name: _summary(found, column, name) for name in MEASURES}
        told["summaries"] = {
            name: None if found is None else attrs.asdict(found)
            for name, found in summaries.items()
        }
    told["is_same"] = all(run.is_same for run in runs)
    told["gains"] = [_gain(row) for row in mean_gains([run.gains for run in runs])]
    return told


def _gain(row: Gain) -> Mapping[str, Any]:
    return {
        name: str(value) if isinstance(value, Decimal) else value
        for name, value in attrs.asdict(row).items()
    }


def _table_of(found: Sequence[Sequence[Measured]]) -> pa.Table:
    """Return a row per run: variant, seed, digest, and every measure in its own type."""
    types = {
        "count": pa.int64(),
        "us": pa.int64(),
        "usd": pa.decimal128(38, 6),
        "ratio": pa.float64(),
    }
    runs = [run for seed in found for run in seed]
    columns: dict[str, Any] = {
        "variant": pa.array([run.variant for run in runs], pa.string()),
        "seed": pa.array([run.seed for run in runs], pa.int64()),
        "digest": pa.array([run.outcome["digest"] for run in runs], pa.string()),
    }
    for name, about in MEASURES.items():
        values = [run.measures[name] for run in runs]
        if about.kind == "usd":
            values = [None if value is None else Decimal(value) for value in values]
        columns[name] = pa.array(values, types[about.kind])
    return pa.table(columns)
