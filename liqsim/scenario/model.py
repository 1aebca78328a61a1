"""
The frozen parameters of a run, one class per TOML table.

Times are microseconds since the scenario's start; names and order of the TOML keys are those of
the fields' metadata. All bounds are checked by the loader, cross-checks included.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import attrs

from liqsim.scenario.bars import TIMESTAMPS, Bars
from liqsim.scenario.fields import (
    Form,
    Scalar,
    choice,
    count,
    duration,
    flag,
    instant,
    pairs,
    price,
    ratio,
    real,
    rows,
    table,
    tables,
    text,
    usd,
)
from liqsim.scenario.holdings import Holding
from liqsim.scenario.mitigations import (
    MITIGATIONS,
    AnyMitigation,
    Breaker,
    CorrelationMargin,
    MarginScaling,
    product_e6,
)
from liqsim.units import RATIO_SCALE, UNIT_SCALE, USD_SCALE, ceil_div

_WINDOW_START = Scalar("from", Form.INSTANT)
_WINDOW_END = Scalar("to", Form.INSTANT)
PRICE = Scalar(
    "price", Form.SCALED, Decimal("0.00000001"), Decimal(9_999_999_999), scale=UNIT_SCALE
)
_TIER_START = Scalar(
    "from_units", Form.SCALED, Decimal(0), Decimal(9_999_999_999), scale=UNIT_SCALE
)
_TIER_START_USD = Scalar(
    "from_usd", Form.SCALED, Decimal(0), Decimal(999_999_999_999), scale=USD_SCALE
)
_TIER_RATE = Scalar("rate", Form.SCALED, Decimal(0), Decimal(1), scale=RATIO_SCALE)

_LEVEL_UNITS = Scalar(
    "units", Form.SCALED, Decimal(0), Decimal(9_999_999_999), low_open=True, scale=UNIT_SCALE
)


def _funding_rate(key: str, low: str, default: int) -> Any:
    """Return a rate per interval, kept in 1e-9: an hourly one is a few millionths."""
    bounds = Decimal(low), Decimal(1)
    scalar = Scalar(key, Form.SCALED, *bounds, scale=10**9, default=default)
    return attrs.field(metadata={"scalar": scalar})


Windows = tuple[tuple[int, int], ...]
"""Half-open [from, to) spans in microseconds, sorted and disjoint."""


@attrs.frozen
class Latency:
    """
    A lognormal delay given by its median and 99th percentile; equal values make it constant.

    Attributes:
        median_us: Median, in microseconds.
        p99_us: 99th percentile, in microseconds, not below the median.
    """

    median_us: int = duration("median")
    p99_us: int = duration("p99")


@attrs.frozen
class KnotsPath:
    """
    A reference path through given points with a seeded Brownian bridge in log price between them.

    Attributes:
        step_us: Resolution of the path, in microseconds.
        knots: (time, price_e8), sorted; the path is exact there and clipped to their range.
        bridge_volatility: Annual volatility of the bridge; 0 is linear in log price.
    """

    step_us: int = duration("step", "0.001", "86400")
    knots: tuple[tuple[int, int], ...] = pairs("knots", Scalar("time", Form.INSTANT), PRICE)
    bridge_volatility: float = real("bridge_volatility", "0", "100", default=2.0)


@attrs.frozen
class GbmPath:
    """
    Geometric Brownian motion.

    Attributes:
        step_us: Resolution of the path, in microseconds.
        start_e8: Price at the start.
        volatility: Annual volatility.
        drift: Annual drift of the price.
    """

    step_us: int = duration("step", "0.001", "86400")
    start_e8: int = price("start_price")
    volatility: float = real("volatility", "0", "100")
    drift: float = real("drift", "-100", "100", default=0)


@attrs.frozen
class FilePath:
    """
    Bars of a price history, met exactly, with a seeded path through each.

    Attributes:
        step_us: Resolution of the path, in microseconds; at most a quarter of a bar.
        file: Name of a .csv or .parquet file, relative to the scenario's folder.
        timestamps: What marks the start of a bar: a UTC time, or a number since 1970.
        bar_us: Length of a bar; 0 is the usual time between two rows.
        sha256: Hash of the file's bytes; filled in when the scenario is loaded.
        bars: What the file holds.
    """

    step_us: int = duration("step", "0.001", "86400")
    file: str = text("file")
    timestamps: str = choice("timestamps", *TIMESTAMPS, default="utc")
    bar_us: int = duration("bar", default="0s")
    sha256: str = text("sha256", default="")
    bars: Bars | None = None


@attrs.frozen
class Shock:
    """
    A scripted move on top of a path.

    Attributes:
        at_us: When it begins.
        fraction: Relative move of the price, such as -0.3.
        over_us: How long it takes, linear in log price; 0 is a jump.
        recovery_us: Half-life of the recovery once it is complete; 0 means it stays.
    """

    at_us: int = instant("at")
    fraction: float = real("fraction", "-1", "100", low_open=True)
    over_us: int = duration("over", default="0s")
    recovery_us: int = duration("recovery_half_life", default="0s")


@attrs.frozen
class DepthChange:
    """
    A change of a book's depth from an instant on.

    Attributes:
        at_us: When.
        multiplier_e6: Depth as a multiple of the calm depth.
        half_life_us: Time in which half of the consumed volume refills from then on.
    """

    at_us: int = instant("at")
    multiplier_e6: int = ratio("multiplier", "0.000001", "1000000")
    half_life_us: int = duration("half_life", "0.001")


@attrs.frozen
class NoImpact:
    """A market that absorbs any order at the reference price."""


@attrs.frozen
class PowerBook:
    """
    A finite book whose depth grows as a power of the distance in log price.

    Attributes:
        depth_uusd: USD within 1 % of mid on one side in calm times; units at the start price.
        exponent: Depth within x is proportional to x ** exponent.
        reach_e6: Log distance up to which there are quotes at all.
        permanent_share_e6: Share of the impact that is permanent, and linear in signed volume.
        half_life_us: Time in which half of the consumed volume refills.
        schedule: Changes of depth over time.
        fill_depth_uusd: USD that the venue's own quotes on one side can fill, in calm times;
            units at the start price, refilled like the book; without it, no bound.
    """

    depth_uusd: int = usd("depth_usd", "1")
    exponent: float = real("exponent", "0.2", "5", default=1)
    reach_e6: int = ratio("reach", "0.0001", "1", default=Decimal("0.25"))
    permanent_share_e6: int = ratio("permanent_share", "0", "1", default=0)
    half_life_us: int = duration("half_life", "0.001")
    schedule: tuple[DepthChange, ...] = rows("schedule", default=[])
    fill_depth_uusd: int | None = usd("fill_depth_usd", "1", default=None)


@attrs.frozen
class Ladder:
    """
    A book of explicit levels, at distances from the reference price.

    Attributes:
        asks: (offset_e6, units_e8): levels above the reference, nearest first, in calm times.
        bids: (offset_e6, units_e8): levels below it, likewise.
        half_life_us: Time in which half of the consumed volume refills.
        schedule: Changes of depth over time.
    """

    asks: tuple[tuple[int, int], ...] = pairs(
        "asks",
        Scalar("offset", Form.SCALED, Decimal(0), Decimal(10), scale=RATIO_SCALE),
        _LEVEL_UNITS,
    )
    bids: tuple[tuple[int, int], ...] = pairs(
        "bids",
        Scalar("offset", Form.SCALED, Decimal(0), Decimal("0.999999"), scale=RATIO_SCALE),
        _LEVEL_UNITS,
    )
    half_life_us: int = duration("half_life", "0.001")
    schedule: tuple[DepthChange, ...] = rows("schedule", default=[])


@attrs.frozen
class Source:
    """
    One price source of an oracle.

    Attributes:
        name: Its name.
        period_us: Time between samples.
        offset_us: Time of the first sample.
        latency: From sample to arrival at the oracle.
        noise_e6: Standard deviation of its log-price error, in 1e-6.
        pass_through_e6: Share of our displacement that it shows.
        catch_up_us: Time that our displacement takes to reach what it samples.
        outages: Windows in which it does not sample.
    """

    name: str
    period_us: int = duration("period", "0.001", "86400")
    offset_us: int = duration("offset", default="0s")
    latency: Latency = table("latency")
    noise_e6: int = ratio("noise", "0", "0.1", default=0)
    pass_through_e6: int = ratio("pass_through", "0", "1", default=1)
    catch_up_us: int = duration("catch_up", default="0s")
    outages: Windows = pairs("outages", _WINDOW_START, _WINDOW_END, default=[])


@attrs.frozen
class Oracle:
    """
    How the venue's mark price of one market comes about.

    Attributes:
        deviation_e6: Relative change of the median that publishes an update.
        heartbeat_us: Longest time between updates while reports arrive, if none is missed.
        heartbeat_miss_e6: Probability that an update due by heartbeat alone is not published; the
            next chance is one heartbeat later.
        quorum: Sources that must have reported before anything is published.
        landing: From publication to the venue.
        sources: The sources.
    """

    deviation_e6: int = ratio("deviation", "0", "1")
    heartbeat_us: int = duration("heartbeat", "0.001")
    heartbeat_miss_e6: int = ratio("heartbeat_miss", "0", "0.99", default=0)
    quorum: int = count("quorum", 1, 1000, default=1)
    landing: Latency = table("landing")
    sources: tuple[Source, ...] = tables("sources")


@attrs.frozen
class Mark:
    """
    How a mark price is made of the oracle's price, the index, and the price of the venue's book.

    Attributes:
        book_weight_e6: Share of the book's price in the mark; the index has the rest.
        guard_e6: It lies at most this share of the book's price from it; without it, anywhere.
        max_step_e6: A new one lies at most this share of the last from it; without it, anywhere.
        min_depth_e6: While the depth multiplier is below this, the book's price does not count:
            the mark is the index with the smoothed premium.
        smoothing_us: Half-life of the smoothed premium; 0 is the newest one.
        max_index_age_us: Once the index is older, the mark is the book's price; 0: never.
        band_e6: Share of the last index within which that one lies.
        period_us: Time between looks at the book's price.
        deviation_e6: Relative change of it that counts.
        heartbeat_us: Longest time without a sample.
    """

    book_weight_e6: int = ratio("book_weight", "0", "1", default=0)
    guard_e6: int | None = ratio("guard", "0", "1", default=None)
    max_step_e6: int | None = ratio("max_step", "0", "1", low_open=True, default=None)
    min_depth_e6: int = ratio("min_depth", "0", "1000000", default=0)
    smoothing_us: int = duration("smoothing", default="0s")
    max_index_age_us: int = duration("max_index_age", default="0s")
    band_e6: int = ratio("band", "0", "1", default=Decimal("0.1"))
    period_us: int = duration("period", "0.001", "86400", default="1s")
    deviation_e6: int = ratio("deviation", "0", "1", default=Decimal("0.001"))
    heartbeat_us: int = duration("heartbeat", "0.001", default="60s")

    @property
    def uses_book(self) -> bool:
        """Whether the price of the venue's own book is looked at at all."""
        return bool(
            self.book_weight_e6
            or self.guard_e6 is not None
            or self.min_depth_e6
            or self.max_index_age_us
        )

    @property
    def book_oracle(self) -> Oracle:
        """How the book's price is sampled: an oracle of one source that nothing delays."""
        at_once = Latency(0, 0)
        book = Source("book", self.period_us, 0, at_once, 0, RATIO_SCALE, 0, ())
        return Oracle(self.deviation_e6, self.heartbeat_us, 0, 1, at_once, (book,))


@attrs.frozen
class Funding:
    """
    What accounts with a position pay to the makers, or receive from them, now and then.

    Attributes:
        interval_us: Time from one payment to the next; the first is one interval after the start.
        interest_e9: Part of the rate that is always there, per interval.
        premium_weight_e6: How much of the smoothed premium is added to it.
        cap_e9: Largest rate, in either direction.
    """

    interval_us: int = duration("interval", "0.001", default="8h")
    interest_e9: int = _funding_rate("interest", "-1", 0)
    premium_weight_e6: int = ratio("premium_weight", "0", "10", default=1)
    cap_e9: int = _funding_rate("cap", "0", 1)


@attrs.frozen
class MaintenanceChange:
    """
    A change of a market's maintenance rates from an instant on.

    Attributes:
        at_us: When.
        multiplier_e6: The rates as a multiple of those at the start.
    """

    at_us: int = instant("at")
    multiplier_e6: int = ratio("multiplier", "0", "1000000")


@attrs.frozen
class Market:
    """
    One contract: its reference path, book, oracle and maintenance tiers.

    Attributes:
        name: Its name, which ends per-asset outcome keys.
        maintenance: (from_units_e8, rate_e6): the rate on the part of a position above that size;
            empty if tiers go by notional.
        maintenance_usd: (from_uusd, rate_e6): the rate on the part of a position's notional, at the
            price that counts, above that; empty if tiers go by size.
        initial: (from_units_e8, rate_e6): what an account must have of a position when it opens it,
            in tiers like those of `maintenance`; empty asks for nothing.
        initial_usd: Likewise beside `maintenance_usd`.
        maintenance_changes: Changes of all these rates over time.
        path: The reference path.
        shocks: Scripted moves on top of it.
        liquidity: The book.
        oracle: The oracle.
        mark: How the mark price is made.
        funding: What positions pay now and then; without it, nothing.
        contract: `linear`, a number of units of the coin, or `inverse`, a number of dollars whose
            profit is paid in coins.
    """

    name: str
    maintenance: tuple[tuple[int, int], ...] = pairs(
        "maintenance", _TIER_START, _TIER_RATE, default=[]
    )
    maintenance_usd: tuple[tuple[int, int], ...] = pairs(
        "maintenance_usd", _TIER_START_USD, _TIER_RATE, default=[]
    )
    initial: tuple[tuple[int, int], ...] = pairs("initial", _TIER_START, _TIER_RATE, default=[])
    initial_usd: tuple[tuple[int, int], ...] = pairs(
        "initial_usd", _TIER_START_USD, _TIER_RATE, default=[]
    )
    maintenance_changes: tuple[MaintenanceChange, ...] = rows("maintenance_changes", default=[])
    path: KnotsPath | GbmPath | FilePath = table("path")
    shocks: tuple[Shock, ...] = rows("shocks", default=[])
    liquidity: NoImpact | PowerBook | Ladder = table("liquidity")
    oracle: Oracle = table("oracle")
    mark: Mark = table("mark")
    funding: Funding | None = table("funding")
    contract: str = choice("contract", "linear", "inverse", default="linear")

    @property
    def is_inverse(self) -> bool:
        """Whether its contract is a number of dollars."""
        return self.contract == "inverse"

    @property
    def samples_book(self) -> bool:
        """Whether the price of the venue's own book is looked at, for mark or funding."""
        funding = self.funding
        return self.mark.uses_book or (funding is not None and funding.premium_weight_e6 > 0)

    @property
    def highest_rate_e6(self) -> int:
        """The highest margin rate of any tier; 0 without one."""
        tiers = self.maintenance + self.maintenance_usd + self.initial + self.initial_usd
        return max((rate_e6 for _, rate_e6 in tiers), default=0)

    @property
    def highest_change_e6(self) -> int:
        """The highest multiplier that the scenario itself sets; at least 1."""
        return max([RATIO_SCALE, *(change.multiplier_e6 for change in self.maintenance_changes)])


@attrs.frozen
class Fees:
    """
    What a liquidated position pays to the treasury, at most what it has left above bankruptcy.

    Attributes:
        taker_e6: Of the execution price, on market orders.
        liquidation_on_mark_e6: Of the mark price, on units filled or taken over.
        liquidation_on_execution_e6: Of the execution price, on units filled or taken over.
    """

    taker_e6: int = ratio("taker", "0", "0.1", default=0)
    liquidation_on_mark_e6: int = ratio("liquidation_on_mark", "0", "0.5", default=0)
    liquidation_on_execution_e6: int = ratio("liquidation_on_execution", "0", "0.5", default=0)


@attrs.frozen
class MarginTerms:
    """
    What counts in a margin, beside cash and maintenance.

    Attributes:
        unrealised_haircut_e6: Share of a leg's unrealised profit that does not count.
        coin_haircut_e6: Share of the value of coins that are collateral that does not count.
    """

    unrealised_haircut_e6: int = ratio("unrealised_profit_haircut", "0", "0.999999", default=0)
    coin_haircut_e6: int = ratio("coin_haircut", "0", "0.999999", default=0)


@attrs.frozen
class Tranches:
    """
    How a due position is cut.

    Attributes:
        share_e6: Share of the position at its trigger that one tranche puts up.
        max_uusd: Largest tranche, at the mark price.
        min_uusd: What would be left of a position worth less than this goes with the tranche.
        spacing_us: Time from the end of one tranche of a bucket to the start of the next.
        restore_to: Which margin must be there again for a liquidation to stop.
        restore_buffer_e6: Liquidation stops at margin >= 0 under (1 + this) x that.
    """

    share_e6: int = ratio("share", "0", "1", low_open=True, default=1)
    max_uusd: int = usd("max_usd", "0.01", default=Decimal(999_999_999_999))
    min_uusd: int = usd("min_usd", default=0)
    spacing_us: int = duration("spacing", "0.000001", default="1s")
    restore_to: str = choice("restore_to", "maintenance", "initial", default="maintenance")
    restore_buffer_e6: int = ratio("restore_buffer", "0", "10", default=0)


@attrs.frozen
class Backer:
    """
    An owner with money of its own, who may pay into the fund.

    Attributes:
        name: Its name.
        purse_uusd: What it has at the start.
    """

    name: str
    purse_uusd: int = usd("purse_usd")


@attrs.frozen
class Contribution:
    """
    A payment into the fund at a given time.

    Attributes:
        backer: The backer that pays.
        amount_uusd: How much; if the backer has less, what it has.
        at_us: When.
    """

    backer: str = text("from")
    amount_uusd: int = usd("amount_usd", "0.000001")
    at_us: int = instant("at")


@attrs.frozen
class TopUp:
    """
    A payment into the fund whenever it holds too little.

    Attributes:
        backer: The backer that pays.
        amount_uusd: How much; if the backer has less, what it has.
        when_below_uusd: It is paid when the fund holds less than this.
        times: At most this often.
        min_interval_us: Time from one payment to the next, at least.
    """

    backer: str = text("from")
    amount_uusd: int = usd("amount_usd", "0.000001")
    when_below_uusd: int = usd("when_below_usd", "0.000001")
    times: int = count("times", 1, 1_000_000, default=1)
    min_interval_us: int = duration("min_interval", default="0s")


@attrs.frozen
class Fund:
    """
    The insurance fund.

    Attributes:
        initial_uusd: What it holds at the start.
        backers: Who may pay into it.
        contributions: What they pay at given times.
        top_ups: What they pay when it holds too little.
    """

    initial_uusd: int = usd("initial_usd")
    backers: tuple[Backer, ...] = tables("backers")
    contributions: tuple[Contribution, ...] = rows("contributions", default=[])
    top_ups: tuple[TopUp, ...] = rows("top_ups", default=[])


@attrs.frozen
class Waterfall:
    """
    Who pays and who gains beyond bankruptcy.

    Attributes:
        surplus_to: Where a fill better than bankruptcy leaves its surplus.
        deleveraging: Whether, and by which rule, the unfilled remainder is closed against winners
            on the other side: the best rank first (`ranked`, `bitmex`, `hyperliquid`), or all in
            proportion (`pro_rata` to positions, `risk_weighted` by leverage as well).
        deleveraging_cap_e6: The most of a position that is closed so for one slice.
        profit_haircut: Whether a hole that the fund cannot fill cuts the profits of winners in the
            market: all in proportion, or best deleveraging rank first.
        haircut_severity_e6: Share of such a hole that profits are cut for.
        socialise: Whether what is then left is shared by the accounts in the market, by the
            notional of their positions or by their equity; or by those on the side that gained
            from the move, through the funding index: so much per unit.
    """

    surplus_to: str = choice("surplus_to", "fund", "trader", default="trader")
    deleveraging: str = choice(
        "deleveraging",
        "ranked",
        "none",
        "bitmex",
        "hyperliquid",
        "pro_rata",
        "risk_weighted",
        default="ranked",
    )
    deleveraging_cap_e6: int = ratio("deleveraging_cap", "0", "1", low_open=True, default=1)
    profit_haircut: str = choice("profit_haircut", "none", "pro_rata", "queue", default="none")
    haircut_severity_e6: int = ratio("haircut_severity", "0", "1", low_open=True, default=1)
    socialise: str = choice(
        "socialise", "none", "notional", "equity", "funding_index", default="none"
    )


@attrs.frozen
class Cross:
    """
    How a due cross account is liquidated.

    Attributes:
        first_leg: Which leg the next tranche is cut from.
    """

    first_leg: str = choice(
        "first_leg",
        "largest_release",
        "largest_loss",
        "most_liquid",
        default="largest_release",
    )


@attrs.frozen
class Overload:
    """
    A window in which the engine sends fewer orders.

    Attributes:
        start_us: When it begins.
        end_us: When it ends, exclusive.
        rate_e6: Orders per second in it, in 1e-6.
    """

    start_us: int = instant("from")
    end_us: int = instant("to", is_end=True)
    rate_e6: int = ratio("orders_per_second", "0", "1000000", low_open=True)


@attrs.frozen
class Engine:
    """
    The venue's own liquidation engine.

    Attributes:
        reaction_us: From trigger to the first tranche.
        child_order_uusd: Largest order it sends, at the mark price.
        child_spacing_us: Time between the child orders of one tranche.
        retry_us: Least time between a tranche that depth stopped and the next one.
        rate_e6: Orders per second that it sends, over all liquidations, in 1e-6; 0 is no limit.
        outages: Windows in which it sends nothing.
        overloads: Windows with another number of orders per second, sorted and disjoint.
    """

    reaction_us: int = duration("reaction", default="1s")
    child_order_uusd: int = usd("child_order_usd", "0.01", default=Decimal(999_999_999_999))
    child_spacing_us: int = duration("child_spacing", default="0s")
    retry_us: int = duration("retry", default="0s")
    rate_e6: int = ratio("orders_per_second", "0", "1000000", default=0)
    outages: Windows = pairs("outages", _WINDOW_START, _WINDOW_END, default=[])
    overloads: tuple[Overload, ...] = rows("overloads", default=[])


@attrs.frozen
class Keeper:
    """
    One keeper bot.

    Attributes:
        name: Its name; its draws are keyed by it.
        reaction: From seeing a tranche to sending a call.
        landing: From sending to landing.
        purse_uusd: Its capital; it takes over only what it can pay in full.
        call_cost_uusd: Cost of every call sent.
        min_profit_uusd: Least that it must expect of a takeover to send a call; without it,
            nothing.
        resale_delay_us: From taking over to selling on.
        resale_parts: Sales in which it sells what it has of a market.
        resale_spacing_us: Time between sales; 0 stands for that from taking over to selling on.
        downtime: Windows in which it neither watches nor sends.
    """

    name: str
    reaction: Latency = table("reaction")
    landing: Latency = table("landing")
    purse_uusd: int = usd("purse_usd")
    call_cost_uusd: int = usd("call_cost_usd", default=0)
    min_profit_uusd: int | None = usd("min_profit_usd", "-999999999999", default=None)
    resale_delay_us: int = duration("resale_delay", "0.001", default="1s")
    resale_parts: int = count("resale_parts", 1, 1_000_000, default=1)
    resale_spacing_us: int = duration("resale_spacing", default="0s")
    downtime: Windows = pairs("downtime", _WINDOW_START, _WINDOW_END, default=[])


@attrs.frozen
class Keepers:
    """
    The keeper bots of a venue.

    Attributes:
        reaction_us: From trigger to the first tranche being put up.
        discount_e6: Discount to the mark at which a tranche is taken over.
        bots: The bots.
    """

    reaction_us: int = duration("reaction", default="0s")
    discount_e6: int = ratio("discount", "0", "0.5")
    bots: tuple[Keeper, ...] = tables("bots")


@attrs.frozen
class LiquidationDesk:
    """
    The venue's own desk, which takes tranches over before they go to market.

    Attributes:
        name: Its name, as an owner.
        purse_uusd: Its capital; it takes over only what it can pay in full.
        price: At which price: the bankruptcy price, or the mark less a discount.
        discount_e6: Discount to the mark.
        position_limit_uusd: The most that its inventory of a market may be worth at the mark after
            a takeover.
        resale_delay_us: From taking over to selling on.
        resale_parts: Sales in which it sells what it has of a market.
        resale_spacing_us: Time between sales; 0 stands for that from taking over to selling on.
    """

    name: str = text("name", default="desk")
    purse_uusd: int = usd("purse_usd")
    price: str = choice("price", "bankruptcy", "mark", default="bankruptcy")
    discount_e6: int = ratio("discount", "0", "0.5", default=0)
    position_limit_uusd: int = usd("position_limit_usd", default=Decimal(999_999_999_999))
    resale_delay_us: int = duration("resale_delay", "0.001", default="1s")
    resale_parts: int = count("resale_parts", 1, 1_000_000, default=1)
    resale_spacing_us: int = duration("resale_spacing", default="0s")


@attrs.frozen
class Venue:
    """
    A perp venue: linear contracts, USD margin, isolated and cross buckets.

    Attributes:
        executor: Who executes tranches.
        due_at_zero: Whether a margin of exactly zero is due (else strictly below).
        mark_max_age_us: Tranches wait while the mark price is older; 0 never waits.
        margin: Margin.
        fees: Fees.
        tranches: Tranches.
        fund: Insurance fund.
        waterfall: Waterfall.
        cross: Cross accounts.
        engine: The engine; needed when it executes, also what a desk leaves to it.
        keepers: The keepers; needed when they execute.
        desk: The desk; needed when it executes.
    """

    executor: str = choice("executor", "engine", "keepers", "desk")
    due_at_zero: bool = flag("due_at_zero", default=False)
    mark_max_age_us: int = duration("mark_max_age", default="0s")
    margin: MarginTerms = table("margin")
    fees: Fees = table("fees")
    tranches: Tranches = table("tranches")
    fund: Fund = table("fund")
    waterfall: Waterfall = table("waterfall")
    cross: Cross = table("cross")
    engine: Engine | None = table("engine")
    keepers: Keepers | None = table("keepers")
    desk: LiquidationDesk | None = table("desk")

    @property
    def desk_in_use(self) -> LiquidationDesk | None:
        """The desk, if it executes."""
        return self.desk if self.executor == "desk" else None


@attrs.frozen
class Size:
    """
    Pareto distribution of position size, scaled to the cohort's notional.

    Attributes:
        alpha: Tail exponent.
        max_uusd: Largest position, at entry.
    """

    alpha: float = real("alpha", "0.1", "100")
    max_uusd: int = usd("max_usd", "0.01", default=Decimal(999_999_999_999))


@attrs.frozen
class Leverage:
    """
    Lognormal distribution of leverage at entry.

    Attributes:
        median: Median.
        sigma: Standard deviation of its logarithm.
        low: Smallest.
        high: Largest.
    """

    median: float = real("median", "0.01", "1000")
    sigma: float = real("sigma", "0", "5", default=0)
    low: float = real("min", "0.01", "1000", default=1)
    high: float = real("max", "0.01", "1000", default=100)


@attrs.frozen
class Entry:
    """
    Normal distribution of the entry price relative to the start price.

    Attributes:
        long_mean: Mean of longs; 0.05 is five percent above the start.
        long_sd: Standard deviation of longs.
        short_mean: Mean of shorts.
        short_sd: Standard deviation of shorts.
    """

    long_mean: float = real("long_mean", "-0.9", "10", default=0)
    long_sd: float = real("long_sd", "0", "1", default=0)
    short_mean: float = real("short_mean", "-0.9", "10", default=0)
    short_sd: float = real("short_sd", "0", "1", default=0)


@attrs.frozen
class Near:
    """
    What accounts do that have come near their liquidation; the others hold.

    Attributes:
        alert_buffer_e6: Near is a margin below zero at (1 + this) x maintenance.
        top_up_share_e6: Share of the accounts that add collateral.
        top_up_to_e6: They add what makes their margin zero at (1 + this) x maintenance.
        top_up_times: At most this often.
        reduce_share_e6: Share of the accounts that trade part of their position away.
        reduce_by_e6: That part, as a share of it.
        close_share_e6: Share of the accounts that close it and withdraw what is left.
    """

    alert_buffer_e6: int = ratio("alert_buffer", "0", "1000", low_open=True)
    top_up_share_e6: int = ratio("top_up_share", "0", "1", default=0)
    top_up_to_e6: int = ratio("top_up_to", "0", "1000", default=1)
    top_up_times: int = count("top_up_times", 1, 1_000_000, default=3)
    reduce_share_e6: int = ratio("reduce_share", "0", "1", default=0)
    reduce_by_e6: int = ratio("reduce_by", "0", "1", low_open=True, default=Decimal("0.5"))
    close_share_e6: int = ratio("close_share", "0", "1", default=0)


@attrs.frozen
class Stop:
    """
    Stop-loss orders: at a mark, the position is closed.

    Attributes:
        share_e6: Share of the accounts that have one.
        nearest_e6: Smallest distance from the entry price, as a share of that.
        farthest_e6: Largest.
    """

    share_e6: int = ratio("share", "0", "1", low_open=True)
    nearest_e6: int = ratio("nearest", "0", "0.99", low_open=True)
    farthest_e6: int = ratio("farthest", "0", "0.99", low_open=True)


@attrs.frozen
class Relever:
    """
    Winners who raise their leverage back to that of the start.

    Attributes:
        share_e6: Share of the accounts that do.
        gain_e6: Once the mark is this far from the entry price, as a share of that, in profit.
    """

    share_e6: int = ratio("share", "0", "1", low_open=True)
    gain_e6: int = ratio("gain", "0", "0.99", low_open=True)


@attrs.frozen
class Anticipation:
    """
    Accounts that see a halt coming, and trade ahead of it.

    Attributes:
        share_e6: Share of the accounts that do.
        from_e6: Closeness to a halt, as a share of its bound, below which nobody does.
        steepness: How strongly those who do crowd at the bound: 1 spreads them evenly from there.
        reduce_by_e6: Share of its position that one trades away each time.
        times: At most this often.
    """

    share_e6: int = ratio("share", "0", "1", low_open=True)
    from_e6: int = ratio("from", "0", "1", low_open=True, default=Decimal("0.5"))
    steepness: int = count("steepness", 1, 100, default=1)
    reduce_by_e6: int = ratio("reduce_by", "0", "1", low_open=True, default=1)
    times: int = count("times", 1, 1_000, default=1)


@attrs.frozen
class Return:
    """
    Accounts that open again after a liquidation has closed their position.

    Attributes:
        share_e6: Probability that one does.
        delay: From the end of the liquidation.
        windows: They come back in these alone, if need be when the next one begins; none is always.
        same_side_e6: Probability that the new position has the side of that of the start.
        size_e6: Median of its value, as a multiple of that at the start.
        size_sigma: Standard deviation of the logarithm of its value.
    """

    share_e6: int = ratio("share", "0", "1", low_open=True)
    delay: Latency = table("delay")
    windows: Windows = pairs("windows", _WINDOW_START, _WINDOW_END, default=[])
    same_side_e6: int = ratio("same_side", "0", "1", default=1)
    size_e6: int = ratio("size", "0", "100", low_open=True, default=1)
    size_sigma: float = real("size_sigma", "0", "5", default=0)


@attrs.frozen
class Rebalance:
    """
    Trading to a multiple of equity, once per period.

    Attributes:
        period_us: Time between two rebalancings; the first is one period after the start.
        target_leverage_e6: The multiple of equity, and with a target volatility the largest.
        target_volatility: Annual volatility that the account is to have; without it, the multiple
            does not depend on volatility.
        half_life_periods: Periods after which a squared return counts half in the volatility.
    """

    period_us: int = duration("period", "0.001")
    target_leverage_e6: int = ratio("target_leverage", "0", "1000", low_open=True)
    target_volatility: float | None = real("target_volatility", "0.0001", "1000", default=None)
    half_life_periods: float = real("half_life_periods", "0.01", "1000000", default=10)


@attrs.frozen
class Arrivals:
    """
    New accounts of the cohort that open a position during the run.

    Attributes:
        per_hour: How many arrive per hour where nothing below raises or lowers it.
        max_per_hour: The most per hour, at which candidates come.
        accounts_max: The most that arrive in all.
        windows: They arrive in these alone; none is always.
        long_share_e6: Share of the candidates who are long; without it, that of the cohort.
        size_e6: Value of a position, as a multiple of that of an account of the start.
        dip_slope: How much more longs arrive per fall of the mark: 1 + this x fall.
        dip_window_us: The fall is that from the highest mark of this time.
        margin_elasticity: By this power fewer arrive as initial margin is higher.
        margin_reference_e6: Initial margin, as a share of the position, at which that factor is 1.
        fee_elasticity: By this power fewer arrive as the taker fee is higher.
        fee_reference_e6: Taker fee at which that factor is 1.
    """

    per_hour: float = real("per_hour", "0", "100000", low_open=True)
    max_per_hour: float = real("max_per_hour", "0", "100000", low_open=True)
    accounts_max: int = count("accounts_max", 1, 1_000_000)
    windows: Windows = pairs("windows", _WINDOW_START, _WINDOW_END, default=[])
    long_share_e6: int | None = ratio("long_share", "0", "1", default=None)
    size_e6: int = ratio("size", "0", "100", low_open=True, default=1)
    dip_slope: float = real("dip_slope", "0", "1000000", default=0)
    dip_window_us: int = duration("dip_window", "0.001", default="24h")
    margin_elasticity: float = real("margin_elasticity", "0", "20", default=0)
    margin_reference_e6: int | None = ratio(
        "margin_reference", "0", "1", low_open=True, default=None
    )
    fee_elasticity: float = real("fee_elasticity", "0", "20", default=0)
    fee_reference_e6: int | None = ratio("fee_reference", "0", "1", low_open=True, default=None)


@attrs.frozen
class Traders:
    """
    How isolated accounts act of their own will.

    Attributes:
        reaction: From what they react to until they act.
        slippage_e6: No unit is traded further than this share from the market price.
        near: What they do near their liquidation.
        stop: Their stop-loss orders.
        relever: How they add to a position in profit.
        anticipate: How they trade ahead of a halt.
        returns: How they come back after a liquidation.
        rebalance: What they rebalance to.
        arrivals: How new accounts join them.
    """

    reaction: Latency = table("reaction")
    slippage_e6: int = ratio("slippage", "0", "1", default=Decimal("0.1"))
    near: Near | None = table("near")
    stop: Stop | None = table("stop")
    relever: Relever | None = table("relever")
    anticipate: Anticipation | None = table("anticipate")
    returns: Return | None = table("return")
    rebalance: Rebalance | None = table("rebalance")
    arrivals: Arrivals | None = table("arrivals")


@attrs.frozen
class Leg:
    """
    What the accounts of a cross cohort hold in one market.

    Attributes:
        market: The market.
        share_e6: Share of an account's notional.
        hedge_share_e6: Share of the accounts whose leg is opposite to their first one.
    """

    market: str
    share_e6: int = ratio("share", "0", "1", low_open=True)
    hedge_share_e6: int = ratio("hedge_share", "0", "1", default=0)


@attrs.frozen
class Cohort:
    """
    A group of accounts: isolated ones in one market, or cross ones with a leg in each of several.

    Attributes:
        name: Its name.
        market: The market of isolated accounts; empty for cross accounts.
        legs: The legs of cross accounts, by market; the shares sum to one.
        accounts: How many.
        notional_uusd: Their notional in all, at entry.
        long_share_e6: Share of it that is long; of cross accounts, by the side of the first leg.
        size_leverage_correlation: Rank correlation of size and leverage.
        size: Sizes, over all legs.
        leverage: Leverage, of the notional of all legs.
        entry: Entry prices, drawn for each leg.
        traders: How its accounts act; absent, they hold what they have.
        collateral: `usd`, or `coin`: their collateral is coins of their market, worth at the entry
            price what it would be in USD.
    """

    name: str
    market: str = text("market", default="")
    legs: tuple[Leg, ...] = tables("legs")
    accounts: int = count("accounts", 1, 10_000_000)
    notional_uusd: int = usd("notional_usd", "0.01")
    long_share_e6: int = ratio("long_share", "0", "1")
    size_leverage_correlation: float = real("size_leverage_correlation", "-0.99", "0.99", default=0)
    size: Size = table("size")
    leverage: Leverage = table("leverage")
    entry: Entry = table("entry")
    traders: Traders | None = table("traders")
    collateral: str = choice("collateral", "usd", "coin", default="usd")

    @property
    def has_coins(self) -> bool:
        """Whether its accounts have coins as collateral."""
        return self.collateral == "coin"

    @property
    def arrivals_max(self) -> int:
        """How many accounts may arrive."""
        arrivals = None if self.traders is None else self.traders.arrivals
        return 0 if arrivals is None else arrivals.accounts_max


@attrs.frozen
class AccountsFile:
    """
    Accounts listed in a file, beside those that cohorts draw.

    Attributes:
        file: Name of a .csv or .parquet file, relative to the scenario's folder.
        due_at_start: What to do with an account that is due at the start price.
        sha256: Hash of the file's bytes; filled in when the scenario is loaded.
        holdings: What the file holds.
    """

    file: str = text("file")
    due_at_start: str = choice("due_at_start", "refuse", "liquidate", default="refuse")
    sha256: str = text("sha256", default="")
    holdings: tuple[Holding, ...] = ()


@attrs.frozen
class Population:
    """
    Who holds positions at the start.

    Attributes:
        entry_attempts: Draws of an entry price before an account that would be due at the start
            is set to the start price.
        cohorts: The cohorts.
        accounts: Accounts from a file; they come after those of the cohorts.
    """

    entry_attempts: int = count("entry_attempts", 1, 10_000, default=100)
    cohorts: tuple[Cohort, ...] = tables("cohorts")
    accounts: AccountsFile | None = table("accounts")


@attrs.frozen
class Basis:
    """
    What a parameter rests on.

    Attributes:
        key: Path of a key or table; it covers what lies below it.
        kind: `fact`, `assumed` or `fitted`.
        source: Where a fact was published, or why the value was chosen.
    """

    key: str
    kind: str = choice("kind", "fact", "assumed", "fitted")
    source: str = text("source", default="")


@attrs.frozen
class Scenario:
    """
    Everything a run depends on.

    Attributes:
        name: Its name.
        description: One line.
        start_unix_us: Start, in microseconds of Unix time.
        end_us: End, exclusive, in microseconds since the start.
        seed: Seed of every draw.
        path_mode: How our flow and the reference price go together: `on_top`, the paths are the
            reference; `purged`, they are history, which contains this run's own flow already.
        baseline: Digest of the reference prices that a purged run of the venue as it was has found,
            and that this run faces; empty where this run is that one.
        markets: The markets; their order is their number.
        venue: The venue.
        population: The accounts.
        mitigations: What is added to slow, cap or absorb liquidations; events know them by their
            place here, from 0.
        basis: What the parameters rest on, longest key last.
        resolved_toml: The whole scenario with defaults and overrides, as canonical TOML.
    """

    name: str = text("name")
    description: str = text("description", default="")
    start_unix_us: int = instant("start", absolute=True)
    end_us: int = instant("end", is_end=True)
    seed: int = count("seed", 0, 2**62, default=0)
    path_mode: str = choice("path_mode", "on_top", "purged", default="on_top")
    baseline: str = text("baseline", default="")
    markets: tuple[Market, ...] = tables("markets")
    venue: Venue = table("venue")
    population: Population = table("population")
    mitigations: tuple[AnyMitigation, ...] = rows("mitigations", default=[])
    basis: tuple[Basis, ...] = tables("basis", shorthand="kind", default=())
    resolved_toml: str = ""

    @property
    def coin_markets(self) -> tuple[int, ...]:
        """Numbers of the markets whose coin is collateral of some account."""
        listed = self.population.accounts
        holdings = () if listed is None else listed.holdings
        names = {cohort.market for cohort in self.population.cohorts if cohort.has_coins}
        names |= {holding.legs[0][0] for holding in holdings if holding.coins_e8}
        return tuple(n for n, market in enumerate(self.markets) if market.name in names)

    @property
    def is_purging(self) -> bool:
        """Whether the run's own impact is to be taken out of its paths."""
        return self.path_mode == "purged" and not self.baseline

    def scalings(self, market: Market) -> list[tuple[int, MarginScaling]]:
        """Return the mitigations that scale the margin rates of a market, by number."""
        return [
            (number, spec)
            for number, spec in enumerate(self.mitigations)
            if isinstance(spec, MarginScaling)
            and spec.is_scaling
            and spec.market in ("", market.name)
        ]

    def haircut_scalings(self, market: Market) -> list[tuple[int, MarginScaling]]:
        """Return those that scale its haircut on coins; none where no account has coins of it."""
        if market not in [self.markets[number] for number in self.coin_markets]:
            return []
        return [
            (number, spec)
            for number, spec in enumerate(self.mitigations)
            if isinstance(spec, CorrelationMargin)
            and not spec.is_scaling
            and spec.market in ("", market.name)
        ]

    def multipliers(self, market: Market) -> list[tuple[int, int]]:
        """Return by how much mitigations may multiply the margin rates of a market, by number."""
        found = [(number, spec.high_e6) for number, spec in self.scalings(market)]
        found += [
            (number, max(spec.factors_e6))
            for number, spec in enumerate(self.mitigations)
            if isinstance(spec, Breaker) and spec.is_widening and spec.acts_in(market.name)
        ]
        return sorted(found)

    def highest_rate_e6(self, market: Market, *, is_initial: bool) -> int:
        """Return the highest rate, of initial or of maintenance margin, that may be in force."""
        of_maintenance = market.maintenance + market.maintenance_usd
        tiers = market.initial + market.initial_usd if is_initial else of_maintenance
        scheduled_e6 = [change.multiplier_e6 for change in market.maintenance_changes]
        scaled_e6 = [multiplier for _, multiplier in self.multipliers(market)]
        highest_e6 = product_e6([max([RATIO_SCALE, *scheduled_e6]), *scaled_e6])
        return ceil_div(max((rate for _, rate in tiers), default=0) * highest_e6, RATIO_SCALE)


KINDS: Final[Mapping[type, str]] = {
    KnotsPath: "knots",
    GbmPath: "gbm",
    FilePath: "file",
    NoImpact: "no_impact",
    PowerBook: "power_book",
    Ladder: "ladder",
    **MITIGATIONS,
}
"""The word after `kind =` that picks a class where an attribute may be one of several."""
