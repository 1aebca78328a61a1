"""What must hold of mitigations, each of whose values is in bounds by itself."""

from collections.abc import Iterator
from decimal import Decimal

from liqsim.scenario.convert import Path, Problem, nearest
from liqsim.scenario.mitigations import RateLimit
from liqsim.scenario.model import Scenario
from liqsim.units import USD_SCALE


def mitigation_checks(scenario: Scenario) -> Iterator[Problem]:
    """Yield what is wrong with the mitigations of *scenario*."""
    markets = [market.name for market in scenario.markets]
    labels = [spec.label.casefold() for spec in scenario.mitigations]
    for row, spec in enumerate(scenario.mitigations):
        path: Path = ("mitigations", row)
        if spec.market and spec.market not in markets:
            yield (*path, "market"), f"is no market{nearest(spec.market, markets)}"
        if spec.label.casefold() in labels[:row]:
            yield (*path, "name"), "must differ from the names, or kinds, of those before it"
        if isinstance(spec, RateLimit) and spec.least_uusd > spec.max_uusd:
            most = f"{Decimal(spec.max_uusd) / USD_SCALE:f}"
            yield (*path, "least_usd"), f"must be at most max_usd, {most}"
