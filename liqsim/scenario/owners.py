"""The names of a run's owners: no two may share one, or nobody could say which of them is meant."""

import re
from typing import Final

from liqsim.scenario.mitigations import purses_of
from liqsim.scenario.model import Scenario

SYSTEM: Final = ("outside", "makers", "fund", "treasury", "network")
"""Every run has these owners."""

_DRAWN = re.compile(r"(.+)_([0-9]{5,9})")


class OwnerNames:
    """The names that *scenario* gives, but for accounts of a file, which are read against them."""

    def __init__(self, scenario: Scenario) -> None:
        keepers, fund, desk = scenario.venue.keepers, scenario.venue.fund, scenario.venue.desk
        self._named = {
            "keeper": {bot.name.casefold() for bot in (keepers.bots if keepers else ())},
            "desk": {desk.name.casefold()} if desk else set(),
            "backer": {backer.name.casefold() for backer in fund.backers},
        }
        for purse in purses_of(scenario.mitigations):
            self._named.setdefault(purse.kind, set()).add(purse.name.casefold())
        self._accounts = {
            cohort.name: cohort.accounts + cohort.arrivals_max
            for cohort in scenario.population.cohorts
        }

    def refusal(self, name: str, kind: str) -> str | None:
        """
        Return what is wrong with the name of an owner of a *kind*, or of an `account`.

        Of two that share a name, that of the later kind is refused; None refuses nothing.
        """
        if not name or name != name.strip():
            return "must be a name, without spaces at its ends"
        if name.casefold() in SYSTEM:
            return f"must not be one of {', '.join(SYSTEM)}"
        for other, names in self._named.items():
            if other == kind:
                break
            if name.casefold() in names:
                return f"must not be the name of a {other}"
        drawn = _DRAWN.fullmatch(name)
        if drawn and drawn[2] == f"{int(drawn[2]):05d}" and self._has(drawn[1], int(drawn[2])):
            return f"must not be the name of an account of population.cohorts.{drawn[1]}"
        return None

    def _has(self, cohort: str, number: int) -> bool:
        return number < self._accounts.get(cohort, 0)
