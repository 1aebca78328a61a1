"""What must hold of mitigations that look at a market once per period."""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Final

from liqsim.scenario.convert import Path, Problem
from liqsim.scenario.mitigations import (
    Breaker,
    CorrelationMargin,
    LeverageFee,
    MarginScaling,
    Mitigation,
    Predictive,
    StressMargin,
    product_e6,
)
from liqsim.scenario.model import Market, Scenario
from liqsim.scenario.values import duration_text
from liqsim.units import RATIO_SCALE, ceil_div

_LOOKS_MAX: Final = 1_000_000
_MULTIPLIER_MAX_E6: Final = 10**12
"""The largest that the log has room for."""


def scaling_checks(scenario: Scenario) -> Iterator[Problem]:
    """Yield what is wrong with mitigations that scale rates or haircuts, or charge for leverage."""
    for row, spec in enumerate(scenario.mitigations):
        path: Path = ("mitigations", row)
        if not isinstance(spec, MarginScaling | LeverageFee):
            continue
        if ceil_div(scenario.end_us, spec.period_us) > _LOOKS_MAX:
            least = duration_text(ceil_div(scenario.end_us, _LOOKS_MAX))
            yield (*path, "period"), f"must be at least {least}, for at most {_LOOKS_MAX} looks"
        if isinstance(spec, StressMargin):
            instants = [at_us for at_us, _ in spec.points]
            for place in range(1, len(instants)):
                if instants[place] <= instants[place - 1]:
                    yield (*path, "points", place, 0), "must be above the one before it"
        yield from _with_coins(scenario, path, spec)
        if why := seen_by_model(spec, scenario.seed):
            yield ("seed",), why
    for market in scenario.markets:
        yield from _highest(scenario, market)
        yield from _highest_haircut(scenario, market)


def _with_coins(scenario: Scenario, path: Path, spec: Mitigation) -> Iterator[Problem]:
    """Yield what does not go with coins as collateral, or not without them."""
    if isinstance(spec, Predictive) and not spec.is_scaling:
        yield from _paid_in_coins(scenario, path, spec.market)
    if isinstance(spec, CorrelationMargin) and not spec.is_scaling:
        yield from _nothing_to_cut(scenario, path, spec.market)


def _paid_in_coins(scenario: Scenario, path: Path, name: str) -> Iterator[Problem]:
    """Yield in which markets positions cannot be reduced: a step is settled in USD alone."""
    for number, market in enumerate(scenario.markets):
        has_coins = market.is_inverse or number in scenario.coin_markets
        if has_coins and name in ("", market.name):
            text = f'must be "raise_margin": accounts in {market.name} hold coins as collateral'
            yield (*path, "action"), text


def _nothing_to_cut(scenario: Scenario, path: Path, name: str) -> Iterator[Problem]:
    """Yield why there is no haircut to scale."""
    names = [scenario.markets[number].name for number in scenario.coin_markets]
    if not scenario.venue.margin.coin_haircut_e6:
        why = "venue.margin.coin_haircut is 0, and so is every multiple of it"
        yield (*path, "scales"), f'must be "maintenance": {why}'
    elif not names or name not in ("", *names):
        why = f"no account has coins as collateral in {name or 'any market'}"
        yield (*path, "scales"), f'must be "maintenance": {why}'


def seen_by_model(spec: object, seed: int) -> str:
    """
    Return why a run of *seed* must not have a mitigation; empty if it may.

    Draws are keyed by the seed: under one seed another scenario still meets the same noise.
    """
    if not isinstance(spec, Predictive) or spec.trained is None or seed not in spec.trained.seeds:
        return ""
    low, high = min(spec.trained.seeds), max(spec.trained.seeds)
    return (
        f"must be none of the {len(spec.trained.seeds)} seeds, from {low} to {high}, that the "
        f"model of {spec.label!r} was trained or measured on"
    )


def _highest(scenario: Scenario, market: Market) -> Iterator[Problem]:
    """Check that rates stay below 1 when all that scales them is at its highest."""
    rate_e6, highest_e6 = market.highest_rate_e6, market.highest_change_e6
    if ceil_div(rate_e6 * highest_e6, RATIO_SCALE) >= RATIO_SCALE:
        return  # Refused for itself.
    what = f"the highest margin rate of {market.name}"
    yield from _held_below_one(scenario, what, rate_e6, highest_e6, scenario.multipliers(market))


def _highest_haircut(scenario: Scenario, market: Market) -> Iterator[Problem]:
    """Check that the haircut on coins stays below 1 likewise."""
    scaled = [(row, spec.high_e6) for row, spec in scenario.haircut_scalings(market)]
    what = f"the haircut on coins in {market.name}"
    rate_e6 = scenario.venue.margin.coin_haircut_e6
    yield from _held_below_one(scenario, what, rate_e6, RATIO_SCALE, scaled)


def _held_below_one(
    scenario: Scenario,
    what: str,
    rate_e6: int,
    highest_e6: int,
    multipliers: Iterable[tuple[int, int]],
) -> Iterator[Problem]:
    """Check that a rate stays below 1 times all of *multipliers*, by row, and *highest_e6*."""
    for row, multiplier_e6 in multipliers:
        before_e6, highest_e6 = highest_e6, product_e6([highest_e6, multiplier_e6])
        most_e6 = _MULTIPLIER_MAX_E6
        if rate_e6:
            most_e6 = min(most_e6, (RATIO_SCALE - 1) * RATIO_SCALE // rate_e6)
        if highest_e6 > most_e6:
            highest, rate, others = (
                (Decimal(value) / RATIO_SCALE).normalize()
                for value in (most_e6 * RATIO_SCALE // before_e6, rate_e6, before_e6)
            )
            bound = (
                f"must be at most {highest:f}, or {what}, "
                f"{rate:f}, does not stay below 1 times what else scales it, {others:f}"
            )
            yield ("mitigations", row, *_key_of_highest(scenario.mitigations[row])), bound
            return


def _key_of_highest(spec: Mitigation) -> Path:
    """Return which key of a mitigation says how far it multiplies margin rates."""
    if not isinstance(spec, Breaker):
        return ("high",)
    level = spec.factors_e6.index(max(spec.factors_e6))
    return ("stages", level - 1, "factor") if level else ("factor",)
