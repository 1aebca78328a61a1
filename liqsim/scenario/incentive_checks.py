"""What the loader refuses in mitigations that say who is paid for liquidating."""

from collections.abc import Iterator
from decimal import Decimal

from liqsim.scenario.convert import Path, Problem
from liqsim.scenario.mitigations import KeeperReward, PenaltyRouting
from liqsim.scenario.model import Scenario
from liqsim.units import RATIO_SCALE


def incentive_checks(scenario: Scenario) -> Iterator[Problem]:
    """Yield what is wrong with the routing of penalties and the rewards of keepers."""
    routed: set[str] = set()
    for row, spec in enumerate(scenario.mitigations):
        path: Path = ("mitigations", row)
        if isinstance(spec, PenaltyRouting):
            if routed and ("" in routed or spec.market in ("", *routed)):
                bound = "must be a market whose penalties no penalty_routing before it routes"
                yield (*path, "market"), bound
            routed.add(spec.market)
            yield from _routing(path, spec)
        if isinstance(spec, KeeperReward):
            if scenario.venue.executor != "keepers":
                yield (*path, "kind"), 'must go with venue.executor = "keepers": it pays them'
            yield from _reward(path, spec)


def _routing(path: Path, spec: PenaltyRouting) -> Iterator[Problem]:
    whole_e6 = sum(spec.shares_e6.values())
    if whole_e6 != RATIO_SCALE:
        others_e6 = whole_e6 - spec.treasury_e6
        if others_e6 <= RATIO_SCALE:
            right = f"{Decimal(RATIO_SCALE - others_e6) / RATIO_SCALE:f}"
            yield (
                (*path, "treasury"),
                f"must be {right}, so that keeper, fund, treasury and burn add to 1",
            )
        else:
            sums = f"{Decimal(others_e6) / RATIO_SCALE:f}"
            yield (
                (*path, "keeper"),
                f"must add to at most 1 with fund and burn, together they are {sums}",
            )
    if spec.remainder != "treasury" and not spec.shares_e6[spec.remainder]:
        yield (*path, "remainder"), f"must be one with a share, and {spec.remainder} has none"
    if spec.without_keeper != "treasury" and not spec.keeper_e6:
        yield (*path, "without_keeper"), "must be left out where keepers have no share"


def _reward(path: Path, spec: KeeperReward) -> Iterator[Problem]:
    if spec.max_window_uusd is None and spec.span_us is not None:
        yield (*path, "span"), "must be left out without max_window_usd"
    if spec.max_window_uusd is not None and spec.span_us is None:
        yield (*path, "span"), "needed with max_window_usd"
