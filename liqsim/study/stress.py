"""A scripted shock and thinner books on top of a scenario, over seeds."""

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

import attrs

from liqsim.api import Scenario, load_scenario
from liqsim.errors import ScenarioError, StudyError
from liqsim.scenario.toml import inline
from liqsim.study.runs import Found, Study, check, completed
from liqsim.study.variants import Variant, in_variant

_SHOCK: Final = re.compile(r"(?P<market>[^=]+)=(?P<fraction>[-+0-9.eE]+)(/(?P<over>[^/]+))?")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TIME: Final = "%Y-%m-%d %H:%M:%S"
THINNEST: Final = Decimal("0.000001")
"""No book is made thinner than that."""
_REVERSE_STEPS: Final = 8
"""Halvings of the interval in which the smallest shock is looked for: to 1/256 of it."""

Progress = Callable[[int, int], None]


@attrs.frozen
class Shock:
    """
    A move of a market's reference price.

    Attributes:
        market: Which market.
        fraction: Relative move, such as -0.3.
        over: How long it takes, as a scenario says it; empty for a jump.
    """

    market: str
    fraction: Decimal
    over: str


@attrs.frozen
class Stress:
    """
    What is to be run.

    Attributes:
        file: The scenario.
        settings: Keys set in it.
        shocks: Moves that begin together.
        depth: What every book's depth is multiplied by from then on; None leaves it.
        at: When they begin; None for a tenth of the run.
        seeds: How many seeds.
    """

    file: Path
    settings: tuple[str, ...]
    shocks: tuple[Shock, ...]
    depth: Decimal | None
    at: datetime | None
    seeds: int

    def as_typed(self) -> str:
        """Return the options that it was made of."""
        words = [f"--shock {s.market}={s.fraction}/{s.over or '0s'}" for s in self.shocks]
        return " ".join(words + ([] if self.depth is None else [f"--depth {self.depth}"]))

    def begins(self, scenario: Scenario) -> datetime:
        """Return when the shocks begin in *scenario*."""
        if self.at is not None:
            return self.at
        return _EPOCH + timedelta(microseconds=scenario.start_unix_us + scenario.end_us // 10)


def read_shock(text: str) -> Shock:
    """
    Return the shock that MARKET=FRACTION/DURATION names.

    >>> read_shock("ETH=-0.30/20m")
    Shock(market='ETH', fraction=Decimal('-0.30'), over='20m')

    Raises:
        StudyError: It has another form.
    """
    match = _SHOCK.fullmatch(text.strip())
    try:
        if match is None:
            raise InvalidOperation  # noqa: TRY301 — answered like a number that is none
        fraction = Decimal(match["fraction"])
    except InvalidOperation:
        message = f"--shock {text!r}: must have the form MARKET=FRACTION/DURATION: ETH=-0.30/20m"
        raise StudyError(message) from None
    return Shock(match["market"].strip(), fraction, (match["over"] or "").strip())


def read_depth(text: str) -> Decimal:
    """
    Return what books' depth is multiplied by.

    Raises:
        StudyError: It is no number from `THINNEST` to 1.
    """
    try:
        value = Decimal(text.strip())
    except InvalidOperation:
        value = Decimal(0)
    if not value.is_finite() or not THINNEST <= value <= 1:
        message = f"--depth {text.strip()}: must be a number from {THINNEST} to 1"
        raise StudyError(message)
    return value


def settings_of(stress: Stress, scenario: Scenario, factor: Decimal = Decimal(1)) -> list[str]:
    """
    Return the settings that put *factor* times the shocks on top of *scenario*.

    A shock comes behind those that the scenario has; depth schedules are scaled from the shock on.

    Raises:
        StudyError: A market is not in the scenario, or a book has no depth to thin.
    """
    raw = tomllib.loads(scenario.resolved_toml, parse_float=Decimal)
    markets: Mapping[str, Any] = raw["markets"]
    at = stress.begins(scenario)
    found = []
    for name in dict.fromkeys(shock.market for shock in stress.shocks):
        if name not in markets:
            message = f"--shock {name}: the scenario has the markets {', '.join(markets)}"
            raise StudyError(message)
        rows = list(markets[name].get("shocks", []))
        for shock in stress.shocks:
            if shock.market == name:
                row = {"at": at, "fraction": shock.fraction * factor}
                rows.append(row | ({"over": shock.over} if shock.over else {}))
        found.append(f"markets.{name}.shocks={inline(rows)}")
    if stress.depth is not None:
        for name, market in markets.items():
            rows = _thinned(name, market["liquidity"], at, stress.depth)
            found.append(f"markets.{name}.liquidity.schedule={inline(rows)}")
    return found


def _thinned(
    name: str, book: Mapping[str, Any], at: datetime, depth: Decimal
) -> list[dict[str, Any]]:
    if "half_life" not in book:
        message = f"--depth: the book of {name} is of kind {book['kind']}, which has no depth"
        raise StudyError(message)
    rows = sorted(book.get("schedule", []), key=lambda row: row["at"])
    before = [row for row in rows if row["at"] <= at]
    last = before[-1] if before else {"multiplier": 1, "half_life": book["half_life"]}
    begun = {"at": at, "multiplier": last["multiplier"] * depth, "half_life": last["half_life"]}
    after = [row | {"multiplier": row["multiplier"] * depth} for row in rows if row["at"] > at]
    return [*(row for row in before if row["at"] < at), begun, *after]


def run_stress(
    stress: Stress, *, jobs: int, progress: Progress, factor: Decimal = Decimal(1)
) -> list[Found]:
    """
    Return what the stressed scenario came to with each seed, in their order.

    *factor* times the shocks are put on top, none at all if it is 0.

    Raises:
        StudyError: See `settings_of`.
        ScenarioError: The scenario, or what the shock makes of it, is refused.
    """
    stressed = stress if factor else attrs.evolve(stress, shocks=())
    name = stress.as_typed()
    variant = variant_of(stressed, scenario_of(stress), name=name, factor=factor)
    study = Study(stress.file, stress.settings, (variant,), tuple(range(stress.seeds)))
    found: dict[int, Found] = {}
    shares_references = check(study)
    progress(0, stress.seeds)
    with completed(study, jobs=jobs, shares_references=shares_references) as runs:
        for done, ((row, _), run) in enumerate(runs, start=1):
            found[row] = run
            progress(done, stress.seeds)
    return [found[row] for row in range(stress.seeds)]


def scenario_of(stress: Stress) -> Scenario:
    """
    Return the scenario under the shocks.

    Raises:
        StudyError: It is one on which no shock can be put, or not at that time.
        ScenarioError: It is refused.
    """
    scenario = load_scenario(stress.file, overrides=stress.settings, seed=0)
    if scenario.path_mode == "purged":
        message = f"{stress.file}: path_mode is purged: a shock is none of its history; set on_top"
        raise StudyError(message)
    at = stress.begins(scenario)
    start, end = _span(scenario)
    if not start <= at < end:
        message = (
            f"--at {at:{_TIME}}: must lie within the run, from {start:{_TIME}} to {end:{_TIME}}"
        )
        raise StudyError(message)
    return scenario


def variant_of(
    stress: Stress, scenario: Scenario, *, name: str, factor: Decimal = Decimal(1)
) -> Variant:
    """
    Return *scenario* under *factor* times the shocks, as a variant of that *name*.

    Raises:
        StudyError: See `settings_of`; or the run would see a part of a shock alone.
        ScenarioError: What the shock makes of it is refused.
    """
    variant = Variant(name, tuple(settings_of(stress, scenario, factor)))
    settings = [*stress.settings, *variant.settings]
    try:
        stressed = load_scenario(stress.file, overrides=settings, seed=0)
    except ScenarioError as error:
        raise in_variant(variant, error) from error
    _refuse_cut(stress, stressed, _span(scenario)[1])
    return variant


def _span(scenario: Scenario) -> tuple[datetime, datetime]:
    start = _EPOCH + timedelta(microseconds=scenario.start_unix_us)
    return start, start + timedelta(microseconds=scenario.end_us)


def _refuse_cut(stress: Stress, stressed: Scenario, end: datetime) -> None:
    """Refuse a shock of which the run would see a part alone."""
    for market in stressed.markets:
        typed = [shock for shock in stress.shocks if shock.market == market.name]
        for shock, added in zip(
            typed, market.shocks[len(market.shocks) - len(typed) :], strict=True
        ):
            if added.at_us + added.over_us > stressed.end_us:
                message = (
                    f"--shock {shock.market}={shock.fraction}/{shock.over}: must be over when the "
                    f"run ends, at {end:{_TIME}}"
                )
                raise StudyError(message)


def share_of(found: Sequence[Found], measure: str) -> float:
    """Return the share of runs in which a measure in USD is above zero."""
    return sum(Decimal(run.measures[measure]) > 0 for run in found) / len(found)


def unpaid_usd(found: Sequence[Found]) -> list[float]:
    """Return the bad debt of every run, with what accounts still due lack."""
    return [float(run.measures["unpaid_usd"]) for run in found]


def smallest_shock(
    stress: Stress,
    limit_usd: float,
    whole: Sequence[Found],
    *,
    jobs: int,
    progress: Progress,
    of: Callable[[Sequence[float]], float],
) -> Decimal | None:
    """
    Return the smallest factor of the shocks, to 1/256, at which bad debt is above *limit_usd*.

    *of* makes one figure of the bad debt of all seeds; *whole* is what the whole shock came to.
    None if that stays below, 0 if no shock is needed. Bad debt need not rise with the shock: what
    comes back is a factor above the limit whose neighbour below is not.
    """
    step = 0

    def is_above(factor: Decimal) -> bool:
        base = step * stress.seeds

        def report(done: int, _all: int) -> None:
            progress(base + done, stress.seeds * (_REVERSE_STEPS + 1))

        found = run_stress(stress, jobs=jobs, progress=report, factor=factor)
        return of(unpaid_usd(found)) > limit_usd

    low, high = Decimal(0), Decimal(1)
    if of(unpaid_usd(whole)) <= limit_usd:
        return None
    if is_above(low):
        return low
    for step in range(1, _REVERSE_STEPS + 1):  # noqa: B007 — is_above reads it
        middle = (low + high) / 2
        low, high = (low, middle) if is_above(middle) else (middle, high)
    return high
