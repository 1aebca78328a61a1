"""
What one more dollar of a cohort's positions costs others: its share in a cascade, priced.

A cohort's notional is moved a little, at the same leverage and with the same draws; what all other
accounts lose more by that, per dollar that it opens more, is what a dollar of it costs them; who
arrives in it during the run opens more as well. What the cohort's accounts owe beyond their own
collateral is told apart: it is theirs, whoever is left with it.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final

import attrs

from liqsim.api import Scenario, load_scenario
from liqsim.errors import StudyError
from liqsim.study.hints import unknown
from liqsim.study.runs import Found, Study, check, completed
from liqsim.study.variants import Variant
from liqsim.units import USD_SCALE

_MOST: Final = 10**12
"""The most that a cohort is enlarged by, as a multiple of it."""

PER_BP: Final = 10_000

Progress = Callable[[int, int], None]


@attrs.frozen
class Plan:
    """
    What is to be run: the scenario, and it with each cohort moved, over seeds.

    Attributes:
        file: The scenario.
        settings: Keys set in it.
        cohorts: Which cohorts are moved; empty for every one.
        by: Share of a cohort's notional that is added, or taken away if negative.
        seeds: How many seeds.
    """

    file: Path
    settings: tuple[str, ...]
    cohorts: tuple[str, ...]
    by: Decimal
    seeds: int


@attrs.frozen
class Cost:
    """
    What a cohort's positions cost, per dollar of notional.

    Attributes:
        cohort: Which.
        accounts: How many accounts it has.
        notional_usd: Their notional at entry.
        leverage: Its median leverage.
        others: What all other accounts lose, per seed; negative is a gain.
        debts: What its own accounts owe beyond their collateral, per seed.
    """

    cohort: str
    accounts: int
    notional_usd: Decimal
    leverage: float
    others: tuple[float, ...]
    debts: tuple[float, ...]

    @property
    def both(self) -> tuple[float, ...]:
        """What the cohort would have to pay so that nobody else does, per seed."""
        return tuple(map(sum, zip(self.others, self.debts, strict=True)))

    @property
    def fee(self) -> float:
        """The mean of `both`, at least 0."""
        return max(mean_of(self.both), 0.0)


def mean_of(values: Sequence[float]) -> float:
    """Return the mean over seeds."""
    return sum(values) / len(values)


def costs(plan: Plan, *, jobs: int, progress: Progress) -> list[Cost]:
    """
    Return what each cohort costs.

    Raises:
        StudyError: The scenario has no such cohort, or no cohort; *by* is 0 or -1 and below; or a
            cohort opened nothing more by it.
        ScenarioError: The scenario, or it with a cohort moved, is refused.
    """
    if not plan.by.is_finite() or not plan.by or not -1 < plan.by <= _MOST:
        message = f"--by {plan.by}: must be above -1, to {_MOST}, and not 0"
        raise StudyError(message)
    scenario = load_scenario(plan.file, overrides=plan.settings, seed=0)
    moved = _moved(plan, scenario)
    variants = [Variant("base")]
    variants += [
        Variant(name, (f"population.cohorts.{name}.notional_usd={after}",))
        for name, (_, after) in moved.items()
    ]
    seeds = tuple(range(plan.seeds))
    study = Study(plan.file, plan.settings, tuple(variants), seeds, with_owners=True)
    shares_references = check(study)
    lost: dict[tuple[int, int], Found] = {}
    progress(0, study.size)
    with completed(study, jobs=jobs, shares_references=shares_references) as runs:
        for done, (key, found) in enumerate(runs, start=1):
            lost[key] = found
            progress(done, study.size)
    cohorts = {cohort.name: cohort for cohort in scenario.population.cohorts}
    found_costs = []
    for column, (name, (before, _)) in enumerate(moved.items(), start=1):
        others, debts = [], []
        for row, seed in enumerate(seeds):
            base, here = (_losses(lost[row, number], name) for number in (0, column))
            more = here.opened_usd - base.opened_usd
            if not more or (more > 0) != (plan.by > 0):
                opened = f"the cohort {name} opened {more:+.6f} USD more"
                message = f"--by {plan.by}: with seed {seed} {opened}"
                raise StudyError(message)
            others.append(float((here.others_usd - base.others_usd) / more))
            debts.append(float((here.debts_usd - base.debts_usd) / more))
        cohort = cohorts[name]
        found_costs.append(
            Cost(
                name,
                cohort.accounts,
                before,
                cohort.leverage.median,
                others=tuple(others),
                debts=tuple(debts),
            )
        )
    return found_costs


def _moved(plan: Plan, scenario: Scenario) -> dict[str, tuple[Decimal, Decimal]]:
    """Return the notional of each cohort before and after its move, in USD."""
    known = {cohort.name: cohort.notional_uusd for cohort in scenario.population.cohorts}
    if not known:
        message = f"{plan.file}: has no cohort: accounts of a file cannot be moved"
        raise StudyError(message)
    for name in plan.cohorts:
        if name not in known:
            message = f"--cohort {name}: {unknown(name, known)}"
            raise StudyError(message)
    factor = 1 + plan.by
    return {
        name: (
            Decimal(known[name]) / USD_SCALE,
            (Decimal(known[name]) * factor).quantize(Decimal(1)) / USD_SCALE,
        )
        for name in dict.fromkeys(plan.cohorts or known)
    }


@attrs.frozen
class _Sums:
    """What accounts outside a cohort lost, what its own owe, and the notional that it opened."""

    others_usd: Decimal
    debts_usd: Decimal
    opened_usd: Decimal


def _losses(found: Found, cohort: str) -> _Sums:
    """
    Return what a run cost the accounts outside *cohort*, what its own owe, and what it opened.

    Whoever owes more than it had has a debt: what others covered of it and what is still owed. A
    debt counts once, with the account that made it; so what an account paid for others' is taken
    out of its loss, and what others covered of its own is put in.
    """
    others = debts = opened = Decimal(0)
    for profit in found.profits:
        if profit.kind != "bucket":
            continue
        if profit.cohort == cohort:
            debts += profit.owes_usd + profit.covered_usd
            opened += profit.opened_usd
        else:
            others += profit.covered_usd - profit.paid_usd - profit.usd
    return _Sums(others, debts, opened)
