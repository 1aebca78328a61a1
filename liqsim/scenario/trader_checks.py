"""What must hold between the values of a cohort whose accounts act of their own will."""

from collections.abc import Iterator, Mapping
from decimal import Decimal

from liqsim.scenario.convert import Path, Problem
from liqsim.scenario.model import Arrivals, Cohort, Market, Near, Scenario
from liqsim.units import RATIO_SCALE, ceil_div


def traders_checks(
    path: Path, cohort: Cohort, markets: Mapping[str, Market], scenario: Scenario
) -> Iterator[Problem]:
    """
    Yield what is wrong with the traders of a cohort.

    Args:
        path: Where their table is.
        cohort: The cohort.
        markets: All markets, by name.
        scenario: The whole.
    """
    traders = cohort.traders
    assert traders is not None
    if cohort.legs:
        yield path, "must not be there beside legs: only isolated accounts act"
    if traders.near is not None and cohort.market in markets:
        yield from _near((*path, "near"), traders.near, markets[cohort.market], scenario)

    stop = traders.stop
    if stop is not None and stop.farthest_e6 < stop.nearest_e6:
        least = Decimal(stop.nearest_e6) / RATIO_SCALE
        yield (*path, "stop", "farthest"), f"must be at least nearest, {least.normalize():f}"

    if traders.arrivals is not None:
        yield from _arrivals((*path, "arrivals"), traders.arrivals)


def _arrivals(path: Path, arrivals: Arrivals) -> Iterator[Problem]:
    if arrivals.max_per_hour < arrivals.per_hour:
        yield (*path, "max_per_hour"), f"must be at least per_hour, {arrivals.per_hour:g}"
    for key, elasticity, reference_e6 in (
        ("margin", arrivals.margin_elasticity, arrivals.margin_reference_e6),
        ("fee", arrivals.fee_elasticity, arrivals.fee_reference_e6),
    ):
        if elasticity and reference_e6 is None:
            yield (*path, f"{key}_reference"), f"needed beside {key}_elasticity"


def _near(path: Path, near: Near, market: Market, scenario: Scenario) -> Iterator[Problem]:
    acting_e6 = near.top_up_share_e6 + near.reduce_share_e6 + near.close_share_e6
    if acting_e6 > RATIO_SCALE:
        yield path, f"must have shares that sum to at most 1, not {acting_e6 / RATIO_SCALE:g}"
    if near.top_up_share_e6 and near.top_up_to_e6 < near.alert_buffer_e6:
        least = Decimal(near.alert_buffer_e6) / RATIO_SCALE
        bound = f"must be at least alert_buffer, {least.normalize():f}, or who tops up stays near"
        yield (*path, "top_up_to"), bound
    haircut_e6 = scenario.venue.margin.unrealised_haircut_e6
    rate_e6 = scenario.highest_rate_e6(market, is_initial=False)
    room_e6 = RATIO_SCALE - haircut_e6
    for key, buffer_e6 in (
        ("alert_buffer", near.alert_buffer_e6),
        ("top_up_to", near.top_up_to_e6),
    ):
        # From there on a long is near at every price, or no collateral is enough.
        if ceil_div(rate_e6 * (RATIO_SCALE + buffer_e6), RATIO_SCALE) >= room_e6:
            highest, room = (Decimal(share_e6) / RATIO_SCALE for share_e6 in (rate_e6, room_e6))
            why = ", 1 less the haircut on unrealised profit" if haircut_e6 else ""
            bound = (
                f"must leave 1 + {key} times the highest maintenance rate of {market.name}, "
                f"{highest.normalize():f}, below {room.normalize():f}{why}"
            )
            yield (*path, key), bound
