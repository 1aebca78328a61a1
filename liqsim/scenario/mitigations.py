"""The parameters of mitigations: one class per kind, all of them rows of `[[mitigations]]`."""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any, Final

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
    read_by,
    rows,
    text,
    usd,
)
from liqsim.scenario.trained import TrainedModel
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
    amount_uusd: int = read_by(
        "law", "fixed", field=usd("amount_usd", "0.01", default=Decimal(100_000))
    )
    share_e6: int = read_by(
        "law",
        "depth_share",
        "participation",
        field=ratio("share", "0", "1", low_open=True, default=Decimal("0.1")),
    )
    distance_e6: int = read_by(
        "law",
        "depth_share",
        field=ratio("distance", "0", "1", low_open=True, default=Decimal("0.01")),
    )
    window_us: int = read_by(
        "law", "participation", field=duration("window", "0.001", default="5m")
    )
    background_uusd: int = read_by(
        "law", "participation", field=usd("background_usd_per_hour", default=Decimal(100_000_000))
    )
    parts: int = read_by(
        "law", "time_weighted", "obizhaeva_wang", field=count("parts", 2, 100_000, default=20)
    )
    half_life_us: int = read_by(
        "law", "obizhaeva_wang", field=duration("half_life", "0.001", default="1m")
    )


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
        window_us: How far it looks back; drawdown and divergence do not, and take none.
        above_e6: The bound: a share, of volatility per year, of flow an amount in USD.
    """

    observable: str = choice("observable", *OBSERVABLES, default="fall")
    window_us: int = read_by(
        "observable",
        "fall",
        "rise",
        "volatility",
        "flow",
        field=duration("window", "0.001", default="10m"),
    )
    above_e6: int = ratio("above", "0", "999999999999", default=Decimal("0.1"))


@attrs.frozen
class Stage:
    """
    A further level of a breaker.

    Attributes:
        when: Its conditions.
        join: Whether any of them is enough, or all must hold.
        duration_us: How long it lasts.
        factor_e6: By how much it multiplies margin rates, if it widens them; as the first level if
            it does not say.
    """

    when: tuple[Condition, ...] = rows("when", default=[{"above": Decimal("0.2")}])
    join: str = choice("join", "any", "all", default="any")
    duration_us: int = duration("duration", "0.001", default="15m")
    factor_e6: int | None = ratio("factor", "1", "1000", low_open=True, default=None)


@attrs.frozen
class Breaker(Mitigation):
    """
    A circuit breaker: while conditions hold, it acts for a time that it announces.

    Attributes:
        action: What it does: it stops that due positions are put up, filled or taken over, or that
            accounts open or enlarge positions; or it multiplies the rates of maintenance and
            initial margin.
        scope: Whether it does so in the market where the conditions hold, or in all.
        when: The conditions of the first level.
        join: Whether any of them is enough, or all must hold.
        duration_us: How long the first level lasts.
        cool_down_us: Least time from the end of a level until that level, or one below, may follow.
        factor_e6: By how much the first level multiplies margin rates, for `widen_margin`.
        notice_us: Time from the announcement until a level begins, for `widen_margin`.
        stages: Further levels, each above the one before; the highest that is met counts.
    """

    action: str = choice(
        "action",
        "halt_liquidations",
        "halt_new_risk",
        "widen_margin",
        default="halt_liquidations",
    )
    scope: str = choice("scope", "market", "venue", default="market")
    when: tuple[Condition, ...] = rows("when", default=[{}])
    join: str = choice("join", "any", "all", default="any")
    duration_us: int = duration("duration", "0.001", default="5m")
    cool_down_us: int = duration("cool_down", "0.001", default="30m")
    factor_e6: int = read_by(
        "action",
        "widen_margin",
        field=ratio("factor", "1", "1000", low_open=True, default=Decimal("1.5")),
    )
    notice_us: int = read_by(
        "action", "widen_margin", field=duration("notice", "0.001", default="1m")
    )
    stages: tuple[Stage, ...] = rows("stages", default=[])

    @property
    def is_widening(self) -> bool:
        """Whether it multiplies margin rates; else it stops something."""
        return self.action == "widen_margin"

    @property
    def lead_us(self) -> int:
        """Time from the announcement of a level until it begins."""
        return self.notice_us if self.is_widening else 0

    @property
    def levels(self) -> tuple[Stage, ...]:
        """All levels, the first of them made of its own keys."""
        return Stage(self.when, self.join, self.duration_us, self.factor_e6), *self.stages

    @property
    def factors_e6(self) -> tuple[int, ...]:
        """By how much each level multiplies margin rates, if it widens them."""
        return tuple(level.factor_e6 or self.factor_e6 for level in self.levels)

    def acts_in(self, market: str) -> bool:
        """Return whether it may act in a market, whichever it looks at."""
        return self.scope == "venue" or self.market in ("", market)


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
            factor_e6=RATIO_SCALE,
            notice_us=0,
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

    @property
    def is_scaling(self) -> bool:
        """Whether it does scale margin rates."""
        return True


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
class ConcentrationMargin(MarginScaling):
    """
    Margin rates that follow how concentrated the positions of a market are.

    Attributes:
        largest: How many of the largest positions of accounts count, on the side where they are
            more.
        reference_e6: Share of them in open interest at which rates are those of the start.
    """

    largest: int = count("largest", 1, 1_000_000, default=1)
    reference_e6: int = ratio("reference", "0", "1", low_open=True, default=Decimal("0.1"))


@attrs.frozen
class CorrelationMargin(MarginScaling):
    """
    Margin rates, or a haircut on coins, that follow how much a market moves with the others.

    The others are one basket of marks, by their open interest at these; a negative correlation
    counts as none.

    Attributes:
        scales: What is multiplied: the rates of margin, or the haircut on coins that are collateral
            in the market.
        half_life_us: Age at which a pair of returns counts half as much as a new one; before so
            much time has passed nothing is observed.
        reference_e6: Correlation at which rates, or the haircut, are those of the start.
    """

    scales: str = choice("scales", "maintenance", "haircut", default="maintenance")
    half_life_us: int = duration("half_life", "0.001", default="30m")
    reference_e6: int = ratio("reference", "0", "1", low_open=True, default=Decimal("0.5"))

    @property
    def is_scaling(self) -> bool:
        """Whether it scales margin rates; else it scales the haircut on coins."""
        return self.scales == "maintenance"


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


def _raising(field: Any) -> Any:
    return read_by("action", "raise_margin", field=field)


def _reducing(field: Any) -> Any:
    return read_by("action", "deleverage", field=field)


@attrs.frozen
class Predictive(MarginScaling):
    """
    What a venue does about the chance of a cascade, as a model trained on other runs sees it.

    Attributes:
        action: What it does: it has margin rates follow the chance; or, while the chance is high,
            it has small parts of the positions traded away that would be due if the mark moved by
            the model's distance.
        model: Name of the model's file, relative to the scenario's folder.
        sha256: Hash of the file's bytes; filled in when the scenario is loaded.
        content: What the file holds; filled in when the scenario is loaded, and the file is not
            read where it is.
        reference_e6: Chance at which rates are those of the start.
        low_e6: As in other mitigations that scale margin rates, and so are the next five.
        high_e6: Likewise.
        ramp_e6: Likewise.
        restore_e6: Likewise.
        grain_e6: Likewise.
        notice_us: Likewise.
        above_e6: Chance from which positions are reduced.
        step_e6: The most that one look reduces a position by, as a share of it.
        cap_e6: The most that all looks reduce a position by, as a share of what it was when it was
            first reduced.
        most_uusd: The most that one look trades away in a market, at the mark.
        slippage_e6: The furthest from the market price that an order goes, as a share of that.
        trained: The model.
    """

    action: str = choice("action", "raise_margin", "deleverage", default="raise_margin")
    model: str = text("model", default="")
    sha256: str = text("sha256", default="")
    content: str = text("content", default="")
    reference_e6: int = _raising(
        ratio("reference", "0", "1", low_open=True, default=Decimal("0.2"))
    )
    low_e6: int = _raising(ratio("low", "0", "1", default=1))
    high_e6: int = _raising(ratio("high", "1", "1000", default=Decimal("1.5")))
    ramp_e6: int = _raising(ratio("ramp", "0", "1000", low_open=True, default=Decimal("0.1")))
    restore_e6: int = _raising(
        ratio("restore", "0", "1000", low_open=True, default=Decimal("0.02"))
    )
    grain_e6: int = _raising(ratio("grain", "0", "1000", low_open=True, default=Decimal("0.01")))
    notice_us: int = _raising(duration("notice", default="1m"))
    above_e6: int = _reducing(ratio("above", "0", "1", default=Decimal("0.2")))
    step_e6: int = _reducing(ratio("step", "0", "1", low_open=True, default=Decimal("0.05")))
    cap_e6: int = _reducing(ratio("cap", "0", "1", default=Decimal("0.3")))
    most_uusd: int = _reducing(usd("most_usd", default=Decimal(1_000_000)))
    slippage_e6: int = _reducing(ratio("slippage", "0", "1", default=Decimal("0.005")))
    trained: TrainedModel | None = None

    @property
    def is_scaling(self) -> bool:
        """Whether it scales margin rates; else it reduces positions."""
        return self.action == "raise_margin"

    @property
    def frozen_model(self) -> TrainedModel:
        """The model, which every loaded scenario has."""
        assert self.trained is not None
        return self.trained


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
class Absorber(Mitigation):
    """
    An owner that takes slices over with capital of its own, and sells on what it took.

    Attributes:
        position_limit_uusd: The most that its inventory of a market may be worth at the mark after
            a takeover.
        resale_delay_us: From taking over to selling on.
        resale_parts: Sales in which it sells what it has of a market.
        resale_spacing_us: Time between sales; 0 stands for that from taking over to selling on.
    """

    position_limit_uusd: int = usd("position_limit_usd", default=Decimal(999_999_999_999))
    resale_delay_us: int = duration("resale_delay", "0.001", default="1h")
    resale_parts: int = count("resale_parts", 1, 1_000_000, default=10)
    resale_spacing_us: int = duration("resale_spacing", default="10m")


@attrs.frozen
class Backstop(Absorber):
    """
    A vault that takes over what no book and no keeper takes of a slice, before others must.

    It pays in full, out of its own capital, and is an owner by the mitigation's name.

    Attributes:
        discount_e6: Discount to the mark at which it takes over.
        purse_uusd: Its capital.
    """

    discount_e6: int = ratio("discount", "0", "0.5", default=0)
    purse_uusd: int = usd("purse_usd", default=Decimal(10_000_000))


@attrs.frozen
class Deposit:
    """
    What somebody has put into a pool.

    Attributes:
        amount_uusd: How much.
    """

    amount_uusd: int = usd("amount_usd")


@attrs.frozen
class Pool(Absorber):
    """
    A pool of deposits that takes slices over at a discount, ahead of the book where that is worse.

    It is an owner by the mitigation's name. Its depositors hold shares in proportion to what they
    have put in, and so share all that it gains and loses.

    Attributes:
        deposits: What each depositor has put in at the start.
        discount_e6: Discount to the mark at which it takes over.
        leverage_e6: The most that what it holds, and what it pays for more, may come to, as a
            multiple of its capital.
        when: Whether it goes ahead of the book only where that would give a worse price for what is
            put up, or not take all of it; or always.
    """

    deposits: tuple[Deposit, ...] = rows("deposits", default=[{"amount_usd": 10_000_000}])
    discount_e6: int = ratio("discount", "0", "0.5", default=Decimal("0.005"))
    leverage_e6: int = ratio("leverage", "0", "1", low_open=True, default=1)
    when: str = choice("when", "worse", "always", default="worse")


@attrs.frozen
class BatchAuction(Absorber):
    """
    Due slices of a market wait for the next auction, which clears all of them at one price.

    Longs sell, shorts buy, and bidders, one owner by the mitigation's name, take the rest with
    capital of their own, the more of it the further the price is from the mark.

    Attributes:
        period_us: From one auction to the next, on a grid from the start of the run; 0 has nobody
            wait, and holds no auction.
        bids_uusd: The most that bidders buy, or sell, in one auction, at the mark.
        distance_e6: How far from the mark, as a share of it, their last bid stands; their bids are
            spread evenly in price from the mark to there.
        least_uusd: The least that they bid for in an auction, at the mark: bids worth less count as
            none.
        purse_uusd: Their capital.
    """

    period_us: int = duration("period", default="10s")
    bids_uusd: int = usd("bids_usd", default=Decimal(1_000_000))
    distance_e6: int = ratio("distance", "0", "0.5", low_open=True, default=Decimal("0.01"))
    least_uusd: int = usd("least_usd", default=Decimal(100))
    purse_uusd: int = usd("purse_usd", default=Decimal(10_000_000))


@attrs.frozen
class PenaltyRouting(Mitigation):
    """
    What an account pays as a liquidation penalty, the fee of an execution, goes to several.

    The shares add to 1 and are rounded down; what rounding leaves goes to one of them.

    Attributes:
        keeper_e6: Share of the keeper who executes.
        fund_e6: Share of the insurance fund.
        treasury_e6: Share of the treasury.
        burn_e6: Share that is burnt: it goes to the owner `burn`, who never pays.
        remainder: Who receives what rounding leaves, at most three micro-dollars.
        without_keeper: Who receives the keeper's share where engine, desk or vault execute.
    """

    keeper_e6: int = ratio("keeper", "0", "1", default=Decimal("0.25"))
    fund_e6: int = ratio("fund", "0", "1", default=Decimal("0.5"))
    treasury_e6: int = ratio("treasury", "0", "1", default=Decimal("0.25"))
    burn_e6: int = ratio("burn", "0", "1", default=0)
    remainder: str = choice("remainder", "keeper", "fund", "treasury", "burn", default="treasury")
    without_keeper: str = choice("without_keeper", "fund", "treasury", "burn", default="treasury")

    @property
    def shares_e6(self) -> dict[str, int]:
        """The share of each receiver."""
        return {
            "keeper": self.keeper_e6,
            "fund": self.fund_e6,
            "treasury": self.treasury_e6,
            "burn": self.burn_e6,
        }

    @property
    def burns(self) -> bool:
        """Whether anything may be burnt."""
        return bool(self.burn_e6 or (self.keeper_e6 and self.without_keeper == "burn"))


@attrs.frozen
class KeeperReward(Mitigation):
    """
    What the treasury pays a keeper for a takeover, on top, out of a budget declared for it.

    Attributes:
        law: What is owed beyond `base_usd`: nothing (`fixed`); more with the time since the trigger
            (`waiting`), with how far the margin is below zero (`violation`), or the less the
            venue's own book holds within `distance` of the market price, on the side on which the
            keeper sells on (`scarcity`).
        base_uusd: What is owed under every law.
        budget_uusd: What the treasury is given for it at the start, and the most that it pays.
        max_uusd: The most for one takeover.
        max_window_uusd: The most in any span; None is no such bound.
        span_us: The span; needed, and allowed, with `max_window_usd` alone.
        per_minute_uusd: For `waiting`: for each minute since the trigger.
        rate_e6: For `violation`: share of what the margin is below zero.
        scarce_uusd: For `scarcity`: what is owed on top where the book holds nothing.
        reference_uusd: For `scarcity`: with so much in the book, at the mark, or more, it is
            nothing; in between it is in proportion.
        distance_e6: For `scarcity`: share of the market price.
    """

    law: str = choice("law", "fixed", "waiting", "violation", "scarcity", default="fixed")
    base_uusd: int = usd("base_usd", default=Decimal(10))
    budget_uusd: int = usd("budget_usd", default=Decimal(100_000))
    max_uusd: int = usd("max_usd", default=Decimal(999_999_999_999))
    max_window_uusd: int | None = usd("max_window_usd", default=None)
    span_us: int | None = duration("span", "0.001", default=None)
    per_minute_uusd: int = read_by(
        "law", "waiting", field=usd("per_minute_usd", default=Decimal(10))
    )
    rate_e6: int = read_by(
        "law", "violation", field=ratio("rate", "0", "1000", default=Decimal("0.05"))
    )
    scarce_uusd: int = read_by("law", "scarcity", field=usd("scarce_usd", default=Decimal(100)))
    reference_uusd: int = read_by(
        "law", "scarcity", field=usd("reference_usd", "0.01", default=Decimal(1_000_000))
    )
    distance_e6: int = read_by(
        "law",
        "scarcity",
        field=ratio("distance", "0", "1", low_open=True, default=Decimal("0.01")),
    )


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
    | ConcentrationMargin
    | CorrelationMargin
    | StressMargin
    | Predictive
    | LeverageFee
    | FundLimits
    | Staking
    | Backstop
    | PenaltyRouting
    | KeeperReward
    | Pool
    | BatchAuction
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
    ConcentrationMargin: "concentration_margin",
    CorrelationMargin: "correlation_margin",
    StressMargin: "stress_margin",
    Predictive: "predictive",
    LeverageFee: "leverage_fee",
    FundLimits: "fund_limits",
    Staking: "staking",
    Backstop: "backstop",
    PenaltyRouting: "penalty_routing",
    KeeperReward: "keeper_reward",
    Pool: "pool",
    BatchAuction: "batch_auction",
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
        deposits_uusd: What it is given at the start, one deposit after the other.
    """

    mitigation_id: int
    name: str
    kind: str
    deposits_uusd: tuple[int, ...]

    @property
    def purse_uusd(self) -> int:
        """What it has at the start."""
        return sum(self.deposits_uusd)


def purses_of(mitigations: Iterable[Mitigation]) -> Iterator[Purse]:
    """
    Return the owners that *mitigations* bring in, in order.

    One without money is none, but for `burn`, to whom money only goes.
    """
    return (purse for purse in _named(mitigations) if purse.purse_uusd or purse.kind == "burn")


def _named(mitigations: Iterable[Mitigation]) -> Iterator[Purse]:
    is_burning = False
    for number, spec in enumerate(mitigations):
        if isinstance(spec, Staking):
            for staker in spec.stakers:
                yield Purse(number, staker.name, "staker", (staker.purse_uusd,))
        elif isinstance(spec, Backstop):
            yield Purse(number, spec.label, "vault", (spec.purse_uusd,))
        elif isinstance(spec, BatchAuction):
            yield Purse(number, spec.label, "bidder", (spec.purse_uusd,))
        elif isinstance(spec, Pool):
            amounts = tuple(deposit.amount_uusd for deposit in spec.deposits)
            yield Purse(number, spec.label, "pool", amounts)
        elif isinstance(spec, PenaltyRouting) and spec.burns and not is_burning:
            is_burning = True  # Whatever burns, it is one owner.
            yield Purse(number, "burn", "burn", (0,))
