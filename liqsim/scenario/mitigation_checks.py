"""What must hold of mitigations, each of whose values is in bounds by itself."""

from collections.abc import Iterator
from decimal import Decimal

from liqsim.scenario.convert import Path, Problem, nearest
from liqsim.scenario.mitigations import (
    BatchAuction,
    Breaker,
    Condition,
    Crossing,
    RateLimit,
    Slices,
)
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
            yield (
                (*path, "name"),
                "must differ from the names, or kinds, of those before it: give it a name",
            )
        if isinstance(spec, RateLimit) and spec.least_uusd > spec.max_uusd:
            most = f"{Decimal(spec.max_uusd) / USD_SCALE:f}"
            yield (*path, "least_usd"), f"must be at most max_usd, {most}"
        if isinstance(spec, Slices) and spec.law == "fixed" and spec.least_uusd > spec.amount_uusd:
            most = f"{Decimal(spec.amount_uusd) / USD_SCALE:f}"
            yield (*path, "least_usd"), f"must be at most amount_usd, {most}"
        if isinstance(spec, Crossing | BatchAuction):
            yield from _alone(scenario, row, spec)
        if isinstance(spec, Breaker):
            yield from _conditions((*path, "when"), spec.when)
            for place, stage in enumerate(spec.stages):
                below: Path = (*path, "stages", place)
                yield from _conditions((*below, "when"), stage.when)
                if stage.factor_e6 is not None and not spec.is_widening:
                    text = f'has no effect: action is "{spec.action}", and only "widen_margin"'
                    yield (*below, "factor"), f"{text} reads it"


def _alone(scenario: Scenario, row: int, spec: Crossing | BatchAuction) -> Iterator[Problem]:
    path: Path = ("mitigations", row, "market")
    what = "crossing" if isinstance(spec, Crossing) else "batch auction"
    for before in scenario.mitigations[:row]:
        is_other = before.market and spec.market and before.market != spec.market
        if type(before) is type(spec) and not is_other:
            # What a slice would wait for, and how long, must have one answer.
            yield path, f"must differ from that of {before.label!r}: a market has one {what}"
    for number, market in enumerate(scenario.markets):
        if spec.market not in ("", market.name):
            continue
        if market.is_inverse:
            yield path, f"must be a market of linear contracts: {market.name} is inverse"
        elif isinstance(spec, BatchAuction) and number in scenario.coin_markets:
            # At its price coins can be worth more than at the mark, at which they are sold.
            text = f"accounts in {market.name} hold coins as collateral"
            yield path, f"must be a market of collateral in USD alone: {text}"


def _conditions(path: Path, conditions: tuple[Condition, ...]) -> Iterator[Problem]:
    if not conditions:
        yield path, "must have at least one condition"
    seen: set[str] = set()
    for row, condition in enumerate(conditions):
        if condition.observable in seen:
            # A decision has one column for each: another window needs a breaker of its own.
            yield (*path, row, "observable"), "must differ from those of the conditions before it"
        seen.add(condition.observable)
