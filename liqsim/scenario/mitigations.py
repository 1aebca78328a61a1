"""The parameters of mitigations: one class per kind, all of them rows of `[[mitigations]]`."""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Final

import attrs

from liqsim.scenario.fields import (
    Form,
    Scalar,
    choice,
    count,
    duration,
    flag,
    pairs,
    ratio,
    rows,
    text,
    usd,
)
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
        return self.name or kind_of(type(self))


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
class Slices(Mitigation):
    """
    Due positions are put up in slices of a size that a law gives.

    Attributes:
        law: `fixed`: worth `amount_usd` at the mark; `depth_share`: a share of what the venue's own
            book holds within `distance` of the market price, on the side that the slice hits;
            `participation`: what liquidations may still put up of the market if they are to have
            no more than a share of what is traded in `window`; `time_weighted`: the position at
            its trigger in `parts` equal slices; `obizhaeva_wang`: in `parts` slices of which the
            first and the last are larger, as is best in a book that refills.
        interval_us: Time from one slice of a leg to the next of the same liquidation.
        least_uusd: No slice is cut to less.
        amount_uusd: For `fixed`.
        share_e6: For `depth_share` and `participation`.
        distance_e6: For `depth_share`: share of the market price.
        window_us: For `participation`.
        background_uusd: For `participation`: what is traded per hour beside what the book sees.
        parts: For `time_weighted` and `obizhaeva_wang`.
        half_life_us: For `obizhaeva_wang`: the venue's guess of the time in which half of what
            was taken from its book comes back.
    """

    law: str = choice(
        "law",
        "fixed",
        "depth_share",
        "participation",
        "time_weighted",
        "obizhaeva_wang",
        default="fixed",
    )
    interval_us: int = duration("interval", default="5s")
    least_uusd: int = usd("least_usd", default=Decimal(10_000))
    amount_uusd: int = usd("amount_usd", "0.01", default=Decimal(100_000))
    share_e6: int = ratio("share", "0", "1", low_open=True, default=Decimal("0.1"))
    distance_e6: int = ratio("distance", "0", "1", low_open=True, default=Decimal("0.01"))
    window_us: int = duration("window", "0.001", default="5m")
    background_uusd: int = usd("background_usd_per_hour", default=Decimal(100_000_000))
    parts: int = count("parts", 2, 100_000, default=20)
    half_life_us: int = duration("half_life", "0.001", default="1m")


@attrs.frozen
class Delays(Mitigation):
    """
    A slice waits the longer for the one before it, the more was liquidated lately.

    The time counts from the end of the account's last slice, or from its trigger.

    Attributes:
        window_us: Over which forced flow of the market counts.
        per_million_us: Time per million USD of forced flow.
        max_us: The longest time.
    """

    window_us: int = duration("window", "0.001", default="5m")
    per_million_us: int = duration("per_million", default="1s")
    max_us: int = duration("max", default="1m")


@attrs.frozen
class SlippageCap(Mitigation):
    """
    A slice is cut so that the venue's own book would take it without more than so much slippage.

    Attributes:
        max_slippage_e6: Largest distance of the average price that the book would give from the
            market price, as a share of that.
        least_uusd: A slice is cut if that leaves at least so much; else it waits.
        retry_us: How long.
    """

    max_slippage_e6: int = ratio("max_slippage", "0", "10", default=Decimal("0.005"))
    least_uusd: int = usd("least_usd", default=Decimal(10_000))
    retry_us: int = duration("retry", "0.001", default="5s")


@attrs.frozen
class Crossing(Mitigation):
    """
    Due positions of a market, long against short, are met with each other at the mark.

    Attributes:
        hold_us: The longest that a slice waits for the other side, from when it could first have
            been put up; 0 has nobody wait, so that nobody is met.
    """

    hold_us: int = duration("hold", default="5s")


OBSERVABLES: Final = ("fall", "rise", "volatility", "flow", "drawdown", "divergence")
"""What a condition may look at."""


@attrs.frozen
class Condition:
    """
    Something that a venue observes is above a bound.

    Attributes:
        observable: What it looks at: the fall or rise of the mark from the highest or lowest that
            stood in the window, its annualised volatility, what liquidations had filled and taken
            over there, the fall of the fund from its highest balance, or the distance of the
            book's market price from the oracle's.
        window_us: How far it looks back; drawdown and divergence do not.
        above_e6: The bound: a share, of volatility per year, of flow an amount in USD.
    """

    observable: str = choice("observable", *OBSERVABLES, default="fall")
    window_us: int = duration("window", "0.001", default="10m")
    above_e6: int = ratio("above", "0", "999999999999", default=Decimal("0.1"))


@attrs.frozen
class Stage:
    """
    A further level of a breaker.

    Attributes:
        when: Its conditions.
        join: Whether any of them is enough, or all must hold.
        duration_us: How long it lasts.
    """

    when: tuple[Condition, ...] = rows("when", default=[{"above": Decimal("0.2")}])
    join: str = choice("join", "any", "all", default="any")
    duration_us: int = duration("duration", "0.001", default="15m")


@attrs.frozen
class Breaker(Mitigation):
    """
    A circuit breaker: while conditions hold, it stops something for a time that it announces.

    Attributes:
        action: What it stops: that due positions are put up, filled or taken over, or that
            accounts open or enlarge positions.
        scope: Whether that is stopped in the market where the conditions hold, or in all.
        when: The conditions of the first level.
        join: Whether any of them is enough, or all must hold.
        duration_us: How long the first level lasts.
        cool_down_us: Least time from the end of a halt until a halt of its level, or of one below.
        stages: Further levels, each above the one before; the highest that is met counts.
    """

    action: str = choice(
        "action", "halt_liquidations", "halt_new_risk", default="halt_liquidations"
    )
    scope: str = choice("scope", "market", "venue", default="market")
    when: tuple[Condition, ...] = rows("when", default=[{}])
    join: str = choice("join", "any", "all", default="any")
    duration_us: int = duration("duration", "0.001", default="5m")
    cool_down_us: int = duration("cool_down", "0.001", default="30m")
    stages: tuple[Stage, ...] = rows("stages", default=[])

    @property
    def levels(self) -> tuple[Stage, ...]:
        """All levels, the first of them made of its own keys."""
        return Stage(self.when, self.join, self.duration_us), *self.stages


@attrs.frozen
class DivergencePause(Mitigation):
    """
    Liquidations pause while the book's market price and the oracle's are too far apart.

    Attributes:
        above_e6: Distance from the oracle's price, as a share of it, beyond which they pause.
        duration_us: How long.
        cool_down_us: Least time from the end of a pause to the next.
    """

    above_e6: int = ratio("above", "0", "1000", default=Decimal("0.05"))
    duration_us: int = duration("duration", "0.001", default="2m")
    cool_down_us: int = duration("cool_down", "0.001", default="5m")

    @property
    def as_breaker(self) -> Breaker:
        """The breaker that does the same."""
        return Breaker(
            name=self.label,
            market=self.market,
            is_on=self.is_on,
            action="halt_liquidations",
            scope="market",
            when=(Condition("divergence", 1, self.above_e6),),
            join="any",
            duration_us=self.duration_us,
            cool_down_us=self.cool_down_us,
            stages=(),
        )


@attrs.frozen
class Grace(Mitigation):
    """
    After what kept owners or the venue from acting has ended, nothing is put up for a time.

    Attributes:
        span_us: For how long.
        after_halts: Whether that follows a halt of liquidations.
        after_outages: Whether it follows an outage of the engine.
        after_stale: Whether it follows a time in which the mark was older than allowed.
    """

    span_us: int = duration("span", "0.001", default="1m")
    after_halts: bool = flag("after_halts", default=True)
    after_outages: bool = flag("after_outages", default=True)
    after_stale: bool = flag("after_stale", default=True)


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


@attrs.frozen
class FundLimits(Mitigation):
    """
    The insurance fund pays no more than so much for a slice, nor in any span of time.

    What is beyond goes to the next layer of the waterfall. Only draws for positions in the market
    count, and only they are limited.

    Attributes:
        max_draw_uusd: The most that it pays for one slice, and for the hole which that leaves.
        max_window_uusd: The most that it pays in any span.
        span_us: The span, which may begin at any instant.
    """

    max_draw_uusd: int = usd("max_draw_usd", default=Decimal(100_000))
    max_window_uusd: int = usd("max_window_usd", default=Decimal(1_000_000))
    span_us: int = duration("span", "0.001", default="1h")


@attrs.frozen
class Staker:
    """
    Somebody who answers for the venue with money of its own.

    Attributes:
        name: Its name, as an owner.
        purse_uusd: What it has staked at the start.
    """

    name: str = text("name")
    purse_uusd: int = usd("purse_usd")


@attrs.frozen
class Staking(Mitigation):
    """
    Stake that is slashed for a hole which the fund cannot fill, before winners and others pay.

    Attributes:
        stakers: Who has staked.
        max_share_e6: The most that one hole takes of a stake.
    """

    stakers: tuple[Staker, ...] = rows(
        "stakers", default=[{"name": "stakers", "purse_usd": 1_000_000}]
    )
    max_share_e6: int = ratio("max_share", "0", "1", default=Decimal("0.3"))


@attrs.frozen
class Backstop(Mitigation):
    """
    A vault that takes over what no book and no keeper takes of a slice, before others must.

    It pays in full, out of its own capital, and is an owner by the mitigation's name.

    Attributes:
        purse_uusd: Its capital.
        discount_e6: Discount to the mark at which it takes over.
        position_limit_uusd: The most that its inventory of a market may be worth at the mark after
            a takeover.
        resale_delay_us: From taking over to selling on.
        resale_parts: Sales in which it sells what it has of a market.
        resale_spacing_us: Time between sales; 0 stands for that from taking over to selling on.
    """

    purse_uusd: int = usd("purse_usd", default=Decimal(10_000_000))
    discount_e6: int = ratio("discount", "0", "0.5", default=0)
    position_limit_uusd: int = usd("position_limit_usd", default=Decimal(999_999_999_999))
    resale_delay_us: int = duration("resale_delay", "0.001", default="1h")
    resale_parts: int = count("resale_parts", 1, 1_000_000, default=10)
    resale_spacing_us: int = duration("resale_spacing", default="10m")


AnyMitigation = (
    RateLimit
    | Slices
    | Delays
    | SlippageCap
    | Crossing
    | Breaker
    | DivergencePause
    | Grace
    | DynamicMargin
    | OpenInterestMargin
    | StressMargin
    | LeverageFee
    | FundLimits
    | Staking
    | Backstop
)
"""A row of `[[mitigations]]`."""

MITIGATIONS: Final[dict[type[Mitigation], str]] = {
    RateLimit: "rate_limit",
    Slices: "slices",
    Delays: "delays",
    SlippageCap: "slippage_cap",
    Crossing: "crossing",
    Breaker: "breaker",
    DivergencePause: "divergence_pause",
    Grace: "grace",
    DynamicMargin: "dynamic_margin",
    OpenInterestMargin: "open_interest_margin",
    StressMargin: "stress_margin",
    LeverageFee: "leverage_fee",
    FundLimits: "fund_limits",
    Staking: "staking",
    Backstop: "backstop",
}
"""The word after `kind =` that picks a class."""

OTHERS: Final[dict[str, type[Mitigation]]] = {}
"""Kinds of third parties, by their word: see `liqsim.scenario.plugins`."""


def kind_of(cls: type[Mitigation]) -> str:
    """Return the word that picks a class."""
    own = MITIGATIONS.get(cls)
    return own or next(word for word, other in OTHERS.items() if other is cls)


@attrs.frozen
class Purse:
    """
    An owner that a mitigation brings in.

    Attributes:
        mitigation_id: Place of the mitigation in the scenario.
        name: Its name.
        kind: What sort of owner it is.
        purse_uusd: What it has at the start.
    """

    mitigation_id: int
    name: str
    kind: str
    purse_uusd: int


def purses_of(mitigations: Iterable[Mitigation]) -> Iterator[Purse]:
    """Return the owners that *mitigations* bring in, in order; one without money is none."""
    return (purse for purse in _named(mitigations) if purse.purse_uusd)


def _named(mitigations: Iterable[Mitigation]) -> Iterator[Purse]:
    for number, spec in enumerate(mitigations):
        if isinstance(spec, Staking):
            for staker in spec.stakers:
                yield Purse(number, staker.name, "staker", staker.purse_uusd)
        elif isinstance(spec, Backstop):
            yield Purse(number, spec.label, "vault", spec.purse_uusd)
