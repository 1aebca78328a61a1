"""What coin collateral and inverse contracts ask of the rest of a scenario."""

from collections.abc import Iterator, Mapping
from typing import Final

from liqsim.scenario.convert import Path, Problem
from liqsim.scenario.model import Cohort, Market, Scenario

_WATERFALL: Final = ("venue", "waterfall")


def market_checks(path: Path, market: Market, scenario: Scenario) -> Iterator[Problem]:
    """Yield what an inverse market cannot go with."""
    if not market.is_inverse:
        return
    if not market.maintenance_usd and market.maintenance:
        yield (*path, "maintenance"), "must be maintenance_usd: an inverse contract is in dollars"
    if market.funding is not None:
        yield (*path, "funding"), "must not be there: funding of inverse contracts is not modelled"
    if scenario.venue.waterfall.profit_haircut != "none":
        bound = f'must be "none": {market.name} is inverse, and its profit is paid in coins'
        yield (*_WATERFALL, "profit_haircut"), bound
    if scenario.venue.waterfall.socialise == "funding_index":
        bound = f"must be another: {market.name} is inverse, and a unit of it is no dollar"
        yield (*_WATERFALL, "socialise"), bound


def cohort_checks(path: Path, cohort: Cohort, markets: Mapping[str, Market]) -> Iterator[Problem]:
    """Yield what a cohort with coin collateral, or in an inverse market, cannot be."""
    names = [leg.market for leg in cohort.legs] or [cohort.market]
    inverse = [name for name in names if name in markets and markets[name].is_inverse]
    if cohort.legs and cohort.has_coins:
        yield (*path, "collateral"), 'must be "usd" beside legs: cross accounts hold no coins'
    elif cohort.legs and inverse:
        yield (
            (*path, "legs", inverse[0]),
            "must not be there: its contract is inverse, and isolated",
        )
    elif inverse and not cohort.has_coins:
        yield (*path, "collateral"), f'must be "coin": the contract of {inverse[0]} is inverse'
    if cohort.has_coins and cohort.traders is not None:
        yield (*path, "traders"), "must not be there: accounts with coin collateral do not act"
