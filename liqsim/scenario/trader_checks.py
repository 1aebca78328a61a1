"""What must hold between the values of a cohort whose accounts act of their own will."""

from collections.abc import Iterator, Mapping
from decimal import Decimal

from liqsim.scenario.convert import Path, Problem
from liqsim.scenario.model import Cohort, Market, Near
from liqsim.units import RATIO_SCALE, ceil_div


def traders_checks(path: Path, cohort: Cohort, markets: Mapping[str, Market]) -> Iterator[Problem]:
    """Yield what is wrong with the traders of *cohort*, whose table is at *path*."""
    traders = cohort.traders
    assert traders is not None
    if cohort.legs:
        yield path, "must not be there beside legs: only isolated accounts act"
    if traders.near is not None and cohort.market in markets:
        yield from _near((*path, "near"), traders.near, markets[cohort.market])

    stop = traders.stop
    if stop is not None and stop.farthest_e6 < stop.nearest_e6:
        least = Decimal(stop.nearest_e6) / RATIO_SCALE
        yield (*path, "stop", "farthest"), f"must be at least nearest, {least.normalize():f}"


def _near(path: Path, near: Near, market: Market) -> Iterator[Problem]:
    acting_e6 = near.top_up_share_e6 + near.reduce_share_e6 + near.close_share_e6
    if acting_e6 > RATIO_SCALE:
        yield path, f"must have shares that sum to at most 1, not {acting_e6 / RATIO_SCALE:g}"
    if near.top_up_share_e6 and near.top_up_to_e6 < near.alert_buffer_e6:
        least = Decimal(near.alert_buffer_e6) / RATIO_SCALE
        bound = f"must be at least alert_buffer, {least.normalize():f}, or who tops up stays near"
        yield (*path, "top_up_to"), bound
    multiplier_e6 = max(
        (RATIO_SCALE, *(change.multiplier_e6 for change in market.maintenance_changes))
    )
    rate_e6 = ceil_div(max((r for _, r in market.maintenance), default=0) * multiplier_e6, 10**6)
    for key, buffer_e6 in (
        ("alert_buffer", near.alert_buffer_e6),
        ("top_up_to", near.top_up_to_e6),
    ):
        # From there on a long is near at every price, or no collateral is enough.
        if rate_e6 * (RATIO_SCALE + buffer_e6) >= RATIO_SCALE**2:
            highest = Decimal(rate_e6) / RATIO_SCALE
            bound = (
                f"must leave 1 + {key} times the highest maintenance rate of {market.name}, "
                f"{highest.normalize():f}, below 1"
            )
            yield (*path, key), bound
