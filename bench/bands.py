"""
Hold Black Thursday against what was published of it, and vary every assumption it rests on.

Usage: python bench/bands.py [--part N] [--jobs N] [--seed N] [-o bands.jsonl]

Two venues in path mode `purged`: one with a fund of 25 % of open interest (BitMEX-like), one with
1 % (Deribit-like). Each assumption goes to both ends of its range, one at a time, on the same
shocks. Accounts, books and fund are an N-th of the shipped scenario's (`--part`), so that hundreds
of runs take minutes; with `-o` every run is written down when it ends, and not made again. Nothing
is tuned: what comes out stands beside what was published.
"""

import argparse
import json
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from liqsim.api import load_scenario, run_to_log
from liqsim.scenario import scenario_from_dict
from replay.log import Log

ROOT = Path(__file__).parents[1]
SCENARIO = ROOT / "scenarios" / "black_thursday_2020.toml"
FUND_USD = {"BitMEX-like": 280_000_000, "thin fund": 11_200_000}
"""25 % and 1 % of the open interest of the scenario, 1,120 M USD."""

Raw = dict[str, Any]
Change = Callable[[Raw, Any], None]
Band = tuple[float | None, float | None]

PUBLISHED: dict[str, dict[str, Band]] = {
    "BitMEX-like": {
        "deleveraged, M USD": (0, 0),
        "fund at its lowest, % of its start": (80, 96),
        "fund at the end, % of its start": (95, None),
        "liquidated, 12th over 13th": (0.8, 1.5),
    },
    "thin fund": {"fund at its lowest, % of its start": (30, 60)},
}
"""Press reports of the day; a band that is open at one end has None there."""


@attrs.frozen
class Assumption:
    """A parameter, the ends of its range, and what gives it a value in a scenario's tables."""

    name: str
    low: Any
    high: Any
    change: Change


# What gives an assumption a value -----------------------------------------------------------------


def _books(raw: Raw) -> Iterator[Raw]:
    return (market["liquidity"] for market in raw["markets"].values())


def _cohorts(raw: Raw, *kinds: str) -> Iterator[Raw]:
    for name, cohort in raw["population"]["cohorts"].items():
        if name.split("_")[1] in kinds:
            yield cohort


def _book(key: str) -> Change:
    def change(raw: Raw, value: Any) -> None:
        for book in _books(raw):
            book[key] = value

    return change


def _depth(market: str, key: str) -> Change:
    def change(raw: Raw, factor: float) -> None:
        book = raw["markets"][market]["liquidity"]
        book[key] = int(book[key] * factor)

    return change


def _thinned(raw: Raw, factor: float) -> None:
    for book in _books(raw):
        for row in book["schedule"]:
            row["multiplier"] = round(float(row["multiplier"]) * factor, 6)


def _stress_half_life(raw: Raw, half_life: str) -> None:
    for book in _books(raw):
        for row in book["schedule"]:
            if row["half_life"] != book["half_life"]:
                row["half_life"] = half_life


def _oracle(key: str) -> Change:
    def change(raw: Raw, value: Any) -> None:
        for market in raw["markets"].values():
            market["oracle"][key] = value

    return change


def _sources(*keys: str) -> Change:
    def change(raw: Raw, value: Any) -> None:
        for market in raw["markets"].values():
            for source in market["oracle"]["sources"].values():
                table = source
                for key in keys[:-1]:
                    table = table[key]
                table[keys[-1]] = value

    return change


def _path(raw: Raw, value: Any) -> None:
    for market in raw["markets"].values():
        market["path"]["bridge_volatility"] = value


def _venue(table: str, key: str) -> Change:
    def change(raw: Raw, value: Any) -> None:
        raw["venue"][table][key] = value

    return change


def _of_cohorts(kinds: tuple[str, ...], table: str, key: str) -> Change:
    def change(raw: Raw, value: Any) -> None:
        for cohort in _cohorts(raw, *kinds):
            if table:
                cohort[table][key] = value
            else:
                cohort[key] = value

    return change


def _spread(raw: Raw, factor: float) -> None:
    for cohort in _cohorts(raw, *_HOLDERS):
        cohort["leverage"]["sigma"] = round(float(cohort["leverage"]["sigma"]) * factor, 6)


def _open_interest(market: str) -> Change:
    """Scale what isolated accounts hold in one market."""

    def change(raw: Raw, factor: float) -> None:
        for cohort in raw["population"]["cohorts"].values():
            if cohort.get("market") == market:
                cohort["notional_usd"] = int(cohort["notional_usd"] * factor)

    return change


def _small_share(raw: Raw, factor: float) -> None:
    """Move notional between small accounts and large ones."""
    cohorts = raw["population"]["cohorts"]
    for name in cohorts:
        where, kind = name.split("_")
        if kind == "small":
            more = int(cohorts[name]["notional_usd"] * (factor - 1))
            cohorts[name]["notional_usd"] += more
            cohorts[f"{where}_large"]["notional_usd"] -= more


def _isolated(raw: Raw, share: float) -> None:
    """Move notional between isolated and cross accounts; 70 % is isolated as shipped."""
    for cohort in raw["population"]["cohorts"].values():
        factor = share / 0.7 if cohort.get("market") else (1 - share) / 0.3
        cohort["notional_usd"] = int(cohort["notional_usd"] * factor)


def _largest(raw: Raw, factor: float) -> None:
    for cohort in raw["population"]["cohorts"].values():
        cohort["size"]["max_usd"] = int(cohort["size"]["max_usd"] * factor)


def _accounts(raw: Raw, factor: float) -> None:
    for cohort in raw["population"]["cohorts"].values():
        cohort["accounts"] = max(round(cohort["accounts"] * factor), 1)


def _traders(*keys: str) -> Change:
    def change(raw: Raw, value: Any) -> None:
        for cohort in raw["population"]["cohorts"].values():
            if "traders" in cohort:
                table = cohort["traders"]
                for key in keys[:-1]:
                    table = table[key]
                table[keys[-1]] = value

    return change


def _maintenance(raw: Raw, factor: float) -> None:
    """Scale the tiers of ETH; those of BTC are a fact."""
    tiers = raw["markets"]["ETH"]["maintenance"]
    raw["markets"]["ETH"]["maintenance"] = [
        [start, round(float(rate) * factor, 6)] for start, rate in tiers
    ]


_HOLDERS = ("small", "mid", "large")
_ALL = (*_HOLDERS, "basis")

ASSUMPTIONS = [
    Assumption("open interest in BTC", 0.8, 1.2, _open_interest("BTC")),
    Assumption("open interest in ETH", 0.8, 1.2, _open_interest("ETH")),
    Assumption("notional of small accounts, times", 0.67, 1.33, _small_share),
    Assumption(
        "median leverage of small accounts", 15, 25, _of_cohorts(("small",), "leverage", "median")
    ),
    Assumption(
        "median leverage of mid accounts", 6, 10, _of_cohorts(("mid",), "leverage", "median")
    ),
    Assumption(
        "median leverage of large accounts", 2, 4, _of_cohorts(("large",), "leverage", "median")
    ),
    Assumption("spread of leverage, times", 0.7, 1.3, _spread),
    Assumption("largest leverage", 33, 50, _of_cohorts(_HOLDERS, "leverage", "max")),
    Assumption("tail exponent of sizes", 1.1, 1.5, _of_cohorts(_ALL, "size", "alpha")),
    Assumption("largest position, times", 0.5, 2, _largest),
    Assumption(
        "correlation of size and leverage",
        -0.6,
        -0.2,
        _of_cohorts(_ALL, "", "size_leverage_correlation"),
    ),
    Assumption("longs' mean entry", 0.03, 0.07, _of_cohorts(_ALL, "entry", "long_mean")),
    Assumption("spread of longs' entries", 0.02, 0.06, _of_cohorts(_ALL, "entry", "long_sd")),
    Assumption("shorts' mean entry", -0.02, 0.02, _of_cohorts(_ALL, "entry", "short_mean")),
    Assumption("spread of shorts' entries", 0.02, 0.06, _of_cohorts(_ALL, "entry", "short_sd")),
    Assumption("long share of notional", 0.53, 0.59, _of_cohorts(_HOLDERS, "", "long_share")),
    Assumption("accounts, times", 0.5, 2, _accounts),
    Assumption("share that comes back", 0.72, 1, _traders("return", "share")),
    Assumption("delay of a return, median", "1h", "6h", _traders("return", "delay", "median")),
    Assumption("isolated share of notional", 0.5, 0.9, _isolated),
    Assumption("maintenance of ETH, times", 0.5, 1.5, _maintenance),
    Assumption("liquidation fee", 0, 0.005, _venue("fees", "liquidation_on_execution")),
    Assumption("share of a tranche", 0.1, 0.5, _venue("tranches", "share")),
    Assumption("largest tranche", 1_000_000, 4_000_000, _venue("tranches", "max_usd")),
    Assumption("spacing of tranches", "500ms", "5s", _venue("tranches", "spacing")),
    Assumption("restored at 1 + buffer", 0.1, 0.5, _venue("tranches", "restore_buffer")),
    Assumption("engine's reaction", "500ms", "5s", _venue("engine", "reaction")),
    Assumption("engine's orders a second", 10, 100, _venue("engine", "orders_per_second")),
    Assumption("engine's child order", 500_000, 4_000_000, _venue("engine", "child_order_usd")),
    Assumption("engine's retry", "10s", "120s", _venue("engine", "retry")),
    Assumption("depth of BTC, times", 0.8, 1.5, _depth("BTC", "depth_usd")),
    Assumption("depth of ETH, times", 0.75, 1.5, _depth("ETH", "depth_usd")),
    Assumption("venue's own depth of BTC, times", 0.6, 1.5, _depth("BTC", "fill_depth_usd")),
    Assumption("venue's own depth of ETH, times", 0.6, 1.5, _depth("ETH", "fill_depth_usd")),
    Assumption("depth in stress, times", 0.5, 2, _thinned),
    Assumption("half-life of the book, calm", "30s", "120s", _book("half_life")),
    Assumption("half-life of the book, stress", "60s", "1800s", _stress_half_life),
    Assumption("permanent share of impact", 0, 0.3, _book("permanent_share")),
    Assumption("reach of quotes", 0.1, 0.4, _book("reach")),
    Assumption("pass-through", 0.3, 1, _sources("pass_through")),
    Assumption("catch-up of sources", "5s", "60s", _sources("catch_up")),
    Assumption("noise of sources", 0.0001, 0.0005, _sources("noise")),
    Assumption("latency of sources, median", "1s", "5s", _sources("latency", "median")),
    Assumption("latency of sources, 99th percentile", "5s", "60s", _sources("latency", "p99")),
    Assumption("sampling of sources", "500ms", "5s", _sources("period")),
    Assumption("oracle's deviation", 0.0005, 0.005, _oracle("deviation")),
    Assumption("oracle's heartbeat", "30s", "300s", _oracle("heartbeat")),
    Assumption("volatility between knots", 1, 4, _path),
]


# Runs ---------------------------------------------------------------------------------------------


def _tables(fund_usd: int, *, part: int, seed: int) -> Raw:
    """Return the tables of the shipped scenario in one *part* of its size, in purged mode."""
    raw = tomllib.loads(load_scenario(SCENARIO).resolved_toml, parse_float=Decimal)
    raw["path_mode"], raw["seed"] = "purged", seed
    raw["venue"]["fund"]["initial_usd"] = fund_usd // part
    for book in _books(raw):
        book["depth_usd"] //= part
        book["fill_depth_usd"] //= part
    for cohort in _cohorts(raw, *_ALL):
        cohort["accounts"] = -(-cohort["accounts"] // part)
        cohort["notional_usd"] //= part
    return raw


def measures_of(raw: Raw) -> dict[str, float]:
    """Run *raw* and return what bands are stated of."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.duckdb"
        run_to_log(scenario_from_dict(raw, source="bands", folder=SCENARIO.parent), path)
        with Log(path) as log:
            ((start, lowest, end),) = log.sql(
                "select first(balance_usd order by seq)::double, min(balance_usd)::double, "
                "last(balance_usd order by seq)::double from fund"
            ).fetchall()
            ((first, second),) = log.sql(
                "select sum(value_usd) filter (where sim_time < '2020-03-13')::double, "
                "sum(value_usd) filter (where sim_time >= '2020-03-13')::double "
                "from executions"
            ).fetchall()
            ((deleveraged,),) = log.sql(
                "select coalesce(sum(value_usd), 0)::double from executions "
                "where route = 'deleveraged'"
            ).fetchall()
    return {
        "deleveraged, M USD": deleveraged / 1e6,
        "fund at its lowest, % of its start": 100 * lowest / start,
        "fund at the end, % of its start": 100 * end / start,
        "liquidated, 12th over 13th": (first or 0) / second if second else float("inf"),
        "liquidated, M USD": ((first or 0) + (second or 0)) / 1e6,
    }


def _measured(task: tuple[str, str | None, str], *, part: int, seed: int) -> dict[str, float]:
    """Run one venue with one assumption at one end of its range; None leaves all as shipped."""
    venue, name, end = task
    raw = _tables(FUND_USD[venue], part=part, seed=seed)
    if name is not None:
        assumption = next(a for a in ASSUMPTIONS if a.name == name)
        assumption.change(raw, getattr(assumption, end))
    return measures_of(raw)


def _band(band: Band) -> str:
    low, high = band
    if high is None:
        return f"at least {low:g}"
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _show(
    venue: str, base: dict[str, float], ends: dict[str, tuple[dict[str, float], ...]]
) -> None:
    print(f"\n## {venue}\n\n| measure | predicted | published | assumptions that move it most |")
    print("|---|---|---|---|")
    for measure, value in base.items():
        ranked = sorted(
            ends, key=lambda name: -abs(ends[name][1][measure] - ends[name][0][measure])
        )
        most = "; ".join(
            f"{name} {a.low} to {a.high}: {ends[name][0][measure]:,.4g} to "
            f"{ends[name][1][measure]:,.4g}"
            for name in ranked[:3]
            for a in ASSUMPTIONS
            if a.name == name
        )
        band = PUBLISHED[venue].get(measure)
        print(f"| {measure} | {value:,.4g} | {_band(band) if band else 'not published'} | {most} |")


def _written(path: Path | None) -> dict[tuple[str, str | None, str], dict[str, float]]:
    """Return what an earlier invocation has written down."""
    if path is None or not path.is_file():
        return {}
    rows = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    return {tuple(task): found for task, found in rows}


def main() -> None:
    """Run all and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--part", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", "--out", type=Path)
    arguments = parser.parse_args()
    tasks: list[tuple[str, str | None, str]] = [(venue, None, "") for venue in FUND_USD]
    tasks += [
        (venue, assumption.name, end)
        for venue in FUND_USD
        for assumption in ASSUMPTIONS
        for end in ("low", "high")
    ]
    run = partial(_measured, part=arguments.part, seed=arguments.seed)
    results = _written(arguments.out)
    missing = [task for task in tasks if task not in results]
    with ProcessPoolExecutor(arguments.jobs) as pool:
        for task, found in zip(missing, pool.map(run, missing), strict=True):
            results[task] = found
            if arguments.out is not None:
                with arguments.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps([task, found]) + "\n")
    for venue in FUND_USD:
        ends = {
            a.name: (results[venue, a.name, "low"], results[venue, a.name, "high"])
            for a in ASSUMPTIONS
        }
        _show(venue, results[venue, None, ""], ends)


if __name__ == "__main__":
    main()
