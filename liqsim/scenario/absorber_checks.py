"""What the loader refuses in mitigations that absorb losses."""

from collections.abc import Iterator

from liqsim.scenario.convert import Path, Problem
from liqsim.scenario.mitigations import Pool, Staking, purses_of
from liqsim.scenario.model import Scenario
from liqsim.scenario.owners import OwnerNames


def given_checks(scenario: Scenario) -> Iterator[Problem]:
    """Yield the mitigations of *scenario* to which nobody has given anything."""
    for number, spec in enumerate(scenario.mitigations):
        if isinstance(spec, Pool) and not spec.deposits:
            yield ("mitigations", number, "deposits"), "must have at least one deposit"
        if isinstance(spec, Staking) and not spec.stakers:
            yield ("mitigations", number, "stakers"), "must have at least one staker"


def absorber_checks(scenario: Scenario) -> Iterator[Problem]:
    """Yield what is wrong with the owners that mitigations bring in."""
    names, seen = OwnerNames(scenario), set()
    rows: dict[int, int] = {}
    for purse in purses_of(scenario.mitigations):
        number = purse.mitigation_id
        row = rows[number] = rows.get(number, -1) + 1
        path: Path = ("mitigations", number)
        if isinstance(scenario.mitigations[number], Staking):
            path = (*path, "stakers", row)
        refusal = names.refusal(purse.name, purse.kind)
        if not refusal and purse.name.casefold() in seen:
            refusal = "must not be the name of another owner that a mitigation brings in"
        if refusal:
            yield (*path, "name"), refusal
        seen.add(purse.name.casefold())
    if scenario.venue.executor == "keepers":
        for number, spec in enumerate(scenario.mitigations):
            if isinstance(spec, Pool) and spec.when != "worse":
                message = 'must be "worse" where keepers execute: no order goes to the book'
                yield ("mitigations", number, "when"), message
