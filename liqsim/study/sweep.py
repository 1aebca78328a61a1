"""
A grid of scenarios over seeds, a row of outcomes per run, streamed into a DuckDB file.

The file is not an event log: it holds what the logs came to. A sweep that was interrupted goes on
where it stopped; every point of the grid faces the same seeds, so that points can be paired.
"""

import itertools
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal, InvalidOperation
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import attrs
import duckdb

from liqsim.api import load_scenario
from liqsim.errors import StudyError
from liqsim.study.runs import Found, Study, check, completed
from liqsim.study.variants import Variant, parts_of
from replay.measures import MEASURES
from replay.outcome import KEYS, keys_of

FORMAT: Final = 3
"""Version of the file's tables, but for the columns of `runs`."""

_TYPES: Final = {
    "text": "varchar",
    "count": "bigint",
    "time": "timestamp",
    "seconds": "double",
    "rate": "double",
    "usd": "decimal(38, 6)",
    "price": "decimal(18, 8)",
    "ratio": "double",
    "us": "bigint",
    "keys": "varchar",
}
_LEFT_OUT: Final = ("log", "overrides", "status")
"""Keys of the outcome that say nothing of a run whose log is gone."""

_POINT_LIMIT: Final = 10_000
"""More points than that are a mistake."""

TAIL_OF: Final = (
    "list_avg(list_slice(list_reverse_sort(list({0}::double)), 1, (count(*) + 19) // 20))"
)
"""The mean of a column's highest twentieth, rounded up, as an aggregate in SQL."""

_CAPPED: Final = (
    "(fund_lowest_usd <= 0 or deleveraged_usd > 0 or unpaid_usd > 0 or slashed_usd > 0 "
    "or haircut_usd > 0 or socialised_usd > 0)"
)
"""
Whether a run's draw was cut off by the fund, as a condition in SQL.

A fund that was too small need not have been empty: an order's limit and rounding leave it some, and
others pay. Whoever pays beside it says that it might have been asked for more.
"""

Progress = Callable[[int, int], None]


@attrs.frozen
class Axis:
    """
    One key of a grid.

    Attributes:
        key: The scenario's key.
        column: Name of its column: the key with underscores for dots.
        values: Its values, as they are set.
    """

    key: str
    column: str
    values: tuple[str, ...]


@attrs.frozen
class Sweep:
    """
    What is to be run: every point of the grid with the seeds 0 to *seeds* - 1.

    Attributes:
        file: The scenario.
        settings: Keys set at every point.
        axes: The grid.
        seeds: How many seeds.
        settings_at: Gives the settings of a point from its values, where an axis is no key.
    """

    file: Path
    settings: tuple[str, ...]
    axes: tuple[Axis, ...]
    seeds: int
    settings_at: Callable[[tuple[str, ...]], tuple[str, ...]] | None = None

    def points(self) -> list[tuple[str, ...]]:
        """Return the values of every point, the last axis moving fastest."""
        return list(itertools.product(*(axis.values for axis in self.axes)))

    def study(self) -> Study:
        """Return the runs: in front of the points the scenario as it is, the baseline of all."""
        variants = [Variant("base")]
        for values in self.points():
            typed = tuple(
                f"{axis.key}={value}" for axis, value in zip(self.axes, values, strict=True)
            )
            settings = typed if self.settings_at is None else self.settings_at(values)
            variants.append(Variant(", ".join(typed), settings))
        seeds = tuple(range(self.seeds))
        return Study(self.file, self.settings, tuple(variants), seeds, same_shocks=False)


def read_axis(text: str) -> Axis:
    """
    Return the axis that KEY=V1,V2,… names.

    >>> read_axis("venue.fund.initial_usd=0,1e6").values
    ('0', '1e6')

    Raises:
        StudyError: It has another form, or a value twice.
    """
    key, equals, body = text.partition("=")
    values = tuple(part.strip() for part in parts_of(body))
    if not equals or not key.strip() or not all(values):
        message = f"--grid {text!r}: must have the form table.key=VALUE,VALUE,…"
        raise StudyError(message)
    known = [_number(value) or value for value in values]
    for value, same in zip(values, known, strict=True):
        if known.count(same) > 1:
            message = f"--grid {text!r}: has {value} twice"
            raise StudyError(message)
    key = key.strip()
    return Axis(key, re.sub(r"[^a-z0-9_]", "", key.lower().replace(".", "_")), values)


def read_axes(texts: Sequence[str]) -> tuple[Axis, ...]:
    """
    Return the axes that *texts* name.

    Raises:
        StudyError: One cannot be read, there is none, two are of one key, or they make too many
            points.
    """
    axes = tuple(map(read_axis, texts))
    if not axes:
        message = "--grid: nothing to vary; such as --grid venue.fund.initial_usd=0,1e6"
        raise StudyError(message)
    columns = [axis.column for axis in axes]
    for axis in axes:
        if columns.count(axis.column) > 1:
            message = f"--grid {axis.key}: is given twice"
            raise StudyError(message)
        if axis.column == "seed":
            message = f"--grid {axis.key}: --seeds says which seeds there are"
            raise StudyError(message)
        if axis.column in _result_columns([]) or axis.column == "point":
            message = f"--grid {axis.key}: cannot be varied, it is a column of what comes out"
            raise StudyError(message)
    points = 1
    for axis in axes:
        points *= len(axis.values)
    if points > _POINT_LIMIT:
        message = f"--grid: {points:,} points, must be at most {_POINT_LIMIT:,}"
        raise StudyError(message)
    return axes


def run_sweep(sweep: Sweep, out: Path, *, jobs: int | None, progress: Progress) -> int:
    """
    Run what *out* lacks of *sweep*, and write each run down as it ends; return how many that were.

    Raises:
        StudyError: *out* is no sweep, or one of something else.
        ScenarioError: A point is refused.
    """
    study = sweep.study()
    scenario = load_scenario(sweep.file, overrides=sweep.settings, seed=0)
    markets = [market.name for market in scenario.markets]
    about = {
        "format": FORMAT,
        "version": version("liqsim"),
        "scenario": scenario.name,
        "scenario_toml": scenario.resolved_toml,
        "grid": json.dumps({axis.key: axis.values for axis in sweep.axes}),
    }
    shares_references = check(study)  # Every point is loaded before there is a file.
    try:
        store = duckdb.connect(str(out))
        store.execute("set enable_progress_bar = false")  # It would go to stdout.
    except duckdb.Error as error:
        message = f"{out}: cannot be opened as a sweep: {str(error).splitlines()[0]}"
        raise StudyError(message) from None
    with store:
        if not store.execute("select count(*) from duckdb_tables()").fetchall()[0][0]:
            _create(store, sweep, about, markets)
        _refuse_other(store, out, about, ["point", "seed", *_names(sweep), *_results(markets)])
        rows = store.execute("select point, seed from runs where seed < ?", [sweep.seeds])
        done = {(seed, point + 1) for point, seed in rows.fetchall()}
        points, count = sweep.points(), 0
        whole = len(points) * sweep.seeds
        progress(len(done), whole)
        # The scenario itself is run where it finds what the points face, and is no row.
        skip = done | {(seed, 0) for seed in range(sweep.seeds)}
        with completed(
            study, jobs=jobs or os.cpu_count() or 1, shares_references=shares_references, skip=skip
        ) as runs:
            for (seed, column), found in runs:
                _insert(store, sweep, markets, column - 1, seed, points[column - 1], found)
                count += 1
                progress(len(done) + count, whole)
    return count


def _result_columns(markets: Sequence[str]) -> dict[str, str]:
    """Return columns and types of what a run came to: its outcome, then the measures."""
    names = keys_of(list(markets))
    kinds = {}
    for name in names:
        kind, _ = KEYS[name] if name in KEYS else KEYS[_family(name)]
        if name not in _LEFT_OUT:
            kinds[name] = _TYPES[kind]
    return kinds | {
        name: _TYPES[about.kind] for name, about in MEASURES.items() if name not in kinds
    }


def _results(markets: Sequence[str]) -> dict[str, str]:
    """Return those columns but the seed, which stands in front."""
    return {name: kind for name, kind in _result_columns(markets).items() if name != "seed"}


def _family(name: str) -> str:
    return max((key for key in KEYS if name.startswith(f"{key}_")), key=len)


def _create(
    store: duckdb.DuckDBPyConnection, sweep: Sweep, about: dict[str, Any], markets: Sequence[str]
) -> None:
    store.execute("begin")
    columns = ", ".join(
        f"{name} {'bigint' if isinstance(value, int) else 'varchar'}"
        for name, value in about.items()
    )
    store.execute(f"create table sweep ({columns})")
    store.execute(f"insert into sweep values ({', '.join('?' * len(about))})", [*about.values()])
    axes = ", ".join(f'"{axis.column}" {_axis_type(axis)}' for axis in sweep.axes)
    results = ", ".join(f"{name} {kind}" for name, kind in _results(markets).items())
    store.execute(
        f"create table runs (point bigint, seed bigint, {axes}, {results}, "
        "primary key (point, seed))"
    )
    names = ", ".join(f'"{name}"' for name in _names(sweep))
    for view in _views(names):
        store.execute(view)
    store.execute("commit")


def _views(axes: str) -> Iterator[str]:
    """Yield the views of a sweep, one row per point of the grid."""
    yield f"""
        create view points as
        select point, {axes}, count(*) as runs,
            avg((unpaid_usd > 0)::int) as p_bad_debt,
            avg((deleveraged_usd > 0)::int) as p_deleveraged,
            median(unpaid_usd::double) as unpaid_median_usd,
            {TAIL_OF.format("unpaid_usd")} as unpaid_tail_usd,
            median(deleveraged_usd::double) as deleveraged_median_usd,
            {TAIL_OF.format("deleveraged_usd")} as deleveraged_tail_usd,
            median(liquidated_usd::double) as liquidated_median_usd,
            median(amplification) as amplification_median,
            median(regret_usd::double) as regret_median_usd
        from runs
        group by point, {axes}
        order by point
    """
    yield f"""
        create view fund_sizing as
        select point, {axes}, count(*) as runs,
            quantile_cont(fund_drawdown_usd::double, 0.5) as draw_50_usd,
            quantile_cont(fund_drawdown_usd::double, 0.9) as draw_90_usd,
            quantile_cont(fund_drawdown_usd::double, 0.95) as draw_95_usd,
            quantile_cont(fund_drawdown_usd::double, 0.99) as draw_99_usd,
            max(fund_drawdown_usd)::double as draw_max_usd,
            avg({_CAPPED}::int) as p_capped
        from runs
        group by point, {axes}
        order by point
    """
    # Of n draws in order the one number ceil(confidence * n): decimals, so that 0.7 * 10 is 7.
    yield f"""
        create macro fund_size(confidence) as table
        select point, {axes}, runs, confidence, fund_usd,
            coalesce(least_capped_usd <= fund_usd, false) as is_lower_bound
        from (
            select point, {axes}, count(*) as runs, confidence as confidence,
                list_sort(list(fund_drawdown_usd))[
                    case when confidence::double > 0 and confidence::double <= 1
                        then greatest(ceil(confidence::decimal(9, 8) * count(*)), 1)::bigint
                        else error('fund_size: confidence must be above 0 and at most 1') end
                ] as fund_usd,
                min(fund_drawdown_usd) filter (where {_CAPPED}) as least_capped_usd
            from runs
            group by point, {axes}
        )
        order by point
    """


def _axis_type(axis: Axis) -> str:
    return "varchar" if any(_number(value) is None for value in axis.values) else "double"


def _number(text: str) -> Decimal | None:
    try:
        found = Decimal(text.replace("_", ""))
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def _names(sweep: Sweep) -> list[str]:
    return [axis.column for axis in sweep.axes]


def _refuse_other(
    store: duckdb.DuckDBPyConnection, out: Path, about: dict[str, Any], columns: Sequence[str]
) -> None:
    try:
        (row,) = store.execute(f"select {', '.join(about)} from sweep").fetchall()
    except (duckdb.Error, ValueError):
        message = f"{out}: is no sweep"
        raise StudyError(message) from None
    for (name, value), there in zip(about.items(), row, strict=True):
        if value != there:
            said = "another scenario" if name == "scenario_toml" else f"{name} {there}"
            message = f"{out}: is a sweep of {said}, not of this; give another file"
            raise StudyError(message)
    if [name for name, *_ in store.execute("describe runs").fetchall()] != list(columns):
        message = f"{out}: is a sweep of a version with other measures; give another file"
        raise StudyError(message)


def _insert(
    store: duckdb.DuckDBPyConnection,
    sweep: Sweep,
    markets: Sequence[str],
    point: int,
    seed: int,
    values: Sequence[str],
    found: Found,
) -> None:
    results = {**found.outcome, **found.measures}
    row: list[Any] = [point, seed]
    row += [
        _number(value) if _axis_type(axis) == "double" else value
        for axis, value in zip(sweep.axes, values, strict=True)
    ]
    row += [results[name] for name in _results(markets)]
    store.execute(f"insert into runs values ({', '.join('?' * len(row))})", row)
