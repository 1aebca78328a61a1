"""The parameters of mitigations: one class per kind, all of them rows of `[[mitigations]]`."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

import attrs

from liqsim.scenario.fields import Form, Scalar, choice, duration, flag, pairs, ratio, text, usd
from liqsim.units import RATIO_SCALE, ceil_div

_INDEX = Scalar("index", Form.SCALED, Decimal(0), Decimal(1_000_000), scale=RATIO_SCALE)


@attrs.frozen
class Mitigation:
    """
    What every mitigation has.

    Attributes:
        name: Its name, which differs from that of any other; empty stands for its kind.
        market: The market where it acts; empty for all of them.
        is_on: Whether it is there at all: a row that is off is left out when the scenario is read.
    """

    name: str = text("name", default="")
    market: str = text("market", default="")
    is_on: bool = flag("on", default=True)

    @property
    def label(self) -> str:
        """Its name, if need be its kind."""
        return self.name or MITIGATIONS[type(self)]


@attrs.frozen
class RateLimit(Mitigation):
    """
    No more than so much of due positions is put up per span of time, first come, first served.

    Attributes:
        max_uusd: The most that is put up in any span, at the mark of each slice.
        span_us: The span.
        window: Whether a span may begin at any instant, or when the one before it ends.
        least_uusd: A slice is cut to what is left of a span if that is at least so much; else it
            waits.
    """

    max_uusd: int = usd("max_usd", "0.01", default=Decimal(10_000_000))
    span_us: int = duration("span", "0.001", default="1m")
    window: str = choice("window", "rolling", "fixed", default="rolling")
    least_uusd: int = usd("least_usd", default=Decimal(10_000))


@attrs.frozen
class MarginScaling(Mitigation):
    """
    Margin rates that follow something the venue observes, between bounds, step by step.

    Each period the rates of a market, of maintenance and of initial margin, are asked to be those
    of the start times what is observed / its reference; they go there by at most a step per period,
    and hold some time after they have been announced.

    Attributes:
        period_us: Time from one observation to the next; the first is one period after the start.
        low_e6: Smallest multiplier.
        high_e6: Largest multiplier.
        ramp_e6: Most that the multiplier rises per period.
        restore_e6: Most that it falls per period.
        grain_e6: What is asked for is rounded up to a multiple of this.
        notice_us: Time from the announcement of a multiplier until it holds.
    """

    period_us: int = duration("period", "0.001", default="1m")
    low_e6: int = ratio("low", "0", "1", default=1)
    high_e6: int = ratio("high", "1", "1000", default=Decimal("1.5"))
    ramp_e6: int = ratio("ramp", "0", "1000", low_open=True, default=Decimal("0.1"))
    restore_e6: int = ratio("restore", "0", "1000", low_open=True, default=Decimal("0.02"))
    grain_e6: int = ratio("grain", "0", "1000", low_open=True, default=Decimal("0.01"))
    notice_us: int = duration("notice", default="1m")


@attrs.frozen
class DynamicMargin(MarginScaling):
    """
    Margin rates that follow the realised volatility of the mark.

    Attributes:
        half_life_us: Age at which a squared return of the mark counts half as much as a new one.
        reference_e6: Annual volatility at which rates are those of the start.
    """

    half_life_us: int = duration("half_life", "0.001", default="30m")
    reference_e6: int = ratio("reference", "0", "1000", low_open=True, default=1)


@attrs.frozen
class OpenInterestMargin(MarginScaling):
    """
    Margin rates that follow the open interest of a market.

    Attributes:
        reference_uusd: Open interest, at the mark, at which rates are those of the start.
    """

    reference_uusd: int = usd("reference_usd", "0.01", default=Decimal(100_000_000))


@attrs.frozen
class StressMargin(MarginScaling):
    """
    Margin rates that follow an external index of stress, which is known in advance to nobody.

    Attributes:
        points: (from when, index): it is a step function, and unknown before the first point.
        reference_e6: Index at which rates are those of the start.
    """

    points: tuple[tuple[int, int], ...] = pairs(
        "points", Scalar("from", Form.INSTANT), _INDEX, default=[]
    )
    reference_e6: int = ratio("reference", "0", "1000000", low_open=True, default=1)


@attrs.frozen
class LeverageFee(Mitigation):
    """
    A fee, now and then, on positions of accounts with high leverage, into the insurance fund.

    Attributes:
        period_us: Time from one fee to the next, and from one look at the mark to the next.
        leverage_e6: Accounts pay whose positions are worth more than so many times their equity.
        rate_e6: Of the value of a position at the mark, per period, at the reference volatility.
        half_life_us: Age at which a squared return of the mark counts half as much as a new one.
        reference_e6: Annual volatility at which the rate is as it says.
        high_e6: Largest multiple of the rate.
    """

    period_us: int = duration("period", "0.001", default="1h")
    leverage_e6: int = ratio("leverage", "0", "1000000", default=10)
    rate_e6: int = ratio("rate", "0", "1", default=Decimal("0.0001"))
    half_life_us: int = duration("half_life", "0.001", default="6h")
    reference_e6: int = ratio("reference", "0", "1000", low_open=True, default=1)
    high_e6: int = ratio("high", "0", "1000", default=10)


def product_e6(multipliers_e6: Iterable[int]) -> int:
    """
    Return the product of multipliers, rounded up: all that scale a rate do so together.

    >>> product_e6([]), product_e6([1_500_000, 1_100_001])
    (1000000, 1650002)
    """
    product, scale = RATIO_SCALE, 1
    for multiplier_e6 in multipliers_e6:
        product, scale = product * multiplier_e6, scale * RATIO_SCALE
    return ceil_div(product, scale)


MITIGATIONS: Final[dict[type[Mitigation], str]] = {
    RateLimit: "rate_limit",
    DynamicMargin: "dynamic_margin",
    OpenInterestMargin: "open_interest_margin",
    StressMargin: "stress_margin",
    LeverageFee: "leverage_fee",
}
"""The word after `kind =` that picks a class."""
