"""
The terms of a run, read from the resolved scenario in its manifest.

The read side parses the text itself, and only what an audit and an outcome need, so that a fault
in the scenario's loader cannot hide behind its own reading.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

import attrs

from liqsim.events import TradeReason
from replay.margin import LegRule

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS_US: Final = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
}
_NOT_PARAMETERS: Final = frozenset({"name", "description", "seed", "basis"})
BASIS_KINDS: Final = ("fact", "assumed", "fitted")


@attrs.frozen
class DepthTerms:
    """
    A finite book's terms.

    Attributes:
        depth_uusd: USD within 1 % of mid on one side, in units at the start price.
        exponent: Depth within x of mid grows as x ** exponent.
        reach: Log distance up to which there are quotes.
        permanent_share: Share of the impact that does not refill.
        half_life_us: Half-life of consumed volume, until the schedule says otherwise.
        fill_depth_uusd: USD of the venue's own quotes on one side, likewise in units; None if
            they are no bound.
    """

    depth_uusd: int
    exponent: float
    reach: float
    permanent_share: float
    half_life_us: int
    fill_depth_uusd: int | None


@attrs.frozen
class LadderTerms:
    """
    A ladder's terms.

    Attributes:
        asks: (offset from the reference, units in 1e-8) of each level, nearest first.
        bids: Likewise.
        half_life_us: Half-life of consumed volume, until the schedule says otherwise.
    """

    asks: tuple[tuple[Decimal, int], ...]
    bids: tuple[tuple[Decimal, int], ...]
    half_life_us: int


@attrs.frozen
class MarkTerms:
    """
    How one market's mark is made of the index and the price of the venue's book.

    Attributes:
        weight: Share of the book's price.
        guard: Largest distance from the book's price, as a share of it; None without a bound.
        step: Largest distance from the last mark, as a share of it; None without a bound.
        min_depth_e6: The book's price does not count while the depth multiplier is below.
        smoothing_us: Half-life of the smoothed premium.
        max_index_age_us: The index does not count once it is older; 0 is never.
        band: Largest distance of the mark from an index that does not count, as a share of it.
        period_us: Time between looks at the book's price.
        deviation: Relative change of it that counts.
        heartbeat_us: Longest time without a sample.
    """

    weight: Fraction
    guard: Fraction | None
    step: Fraction | None
    min_depth_e6: int
    smoothing_us: int
    max_index_age_us: int
    band: Fraction
    period_us: int
    deviation: Fraction
    heartbeat_us: int

    @property
    def has_book(self) -> bool:
        """Whether the book is sampled."""
        rules = (self.weight, self.min_depth_e6, self.max_index_age_us, self.guard is not None)
        return any(rules)


@attrs.frozen
class FundingTerms:
    """
    One market's funding.

    Attributes:
        interval_us: From one payment to the next.
        interest: Part of the rate that is always there.
        weight: How much of the premium is added.
        cap: Largest rate, in either direction.
    """

    interval_us: int
    interest: Fraction
    weight: Fraction
    cap: Fraction


@attrs.frozen
class MarketTerms:
    """
    One market's terms.

    Attributes:
        name: Its name.
        rule: How positions count in a margin at the start.
        maintenance_changes: (at_us, multiplier_e6) of every change of these rates.
        step_us: Resolution of its reference path.
        depth: Its book; None where orders have no impact.
        schedule: (at_us, multiplier_e6, half_life_us) of every change of depth.
        quorum: Sources that must have reported before the oracle publishes.
        source_count: Sources there are.
        heartbeat_us: No update by heartbeat follows the one before it sooner.
        catch_ups_us: Time that displacement takes to reach each source; None where it never does.
        can_overtake: Whether an update can land after a newer one, and is then dropped.
        mark: How its mark is made.
        funding: What positions pay now and then; None where they pay nothing.
    """

    name: str
    rule: LegRule
    maintenance_changes: tuple[tuple[int, int], ...]
    step_us: int
    depth: DepthTerms | LadderTerms | None
    schedule: tuple[tuple[int, int, int], ...]
    quorum: int
    source_count: int
    heartbeat_us: int
    catch_ups_us: tuple[int | None, ...]
    can_overtake: bool
    mark: MarkTerms
    funding: FundingTerms | None

    @property
    def samples_book(self) -> bool:
        """Whether the book is sampled, for mark or funding."""
        return self.mark.has_book or (self.funding is not None and self.funding.weight > 0)

    def rule_under(self, multiplier_e6: int | None, coin_haircut_e6: int | None) -> LegRule:
        """Return the rule under what has changed since the start; None is what has not."""
        if multiplier_e6 is None and coin_haircut_e6 is None:
            return self.rule
        rule = self.rule if multiplier_e6 is None else self.rule_at(multiplier_e6)
        if coin_haircut_e6 is None:
            return rule
        return attrs.evolve(rule, coin_haircut_e6=coin_haircut_e6)

    def rule_at(self, multiplier_e6: int) -> LegRule:
        """Return the rule with every rate times a multiplier, rounded up to 1e-6."""
        tiers, initial = (
            tuple((start, -(-rate * multiplier_e6 // 10**6)) for start, rate in of)
            for of in (self.rule.tiers, self.rule.initial)
        )
        return attrs.evolve(self.rule, tiers=tiers, initial=initial)


@attrs.frozen
class KeeperTerms:
    """
    One keeper's terms.

    Attributes:
        purse_uusd: What it has at the start; of a pool, see its deposits.
        call_cost_uusd: What every call costs it.
        min_profit_uusd: Least that an offer must promise for a call; None asks for nothing.
        downtime: (from_us, to_us) in which it sends nothing.
        resale_delay_us: From taking over to its first sale.
        resale_parts: Sales in which it sells what it has of a market.
        resale_spacing_us: Time between sales.
    """

    purse_uusd: int
    call_cost_uusd: int
    min_profit_uusd: int | None
    downtime: tuple[tuple[int, int], ...]
    resale_delay_us: int
    resale_parts: int
    resale_spacing_us: int


@attrs.frozen
class DeskTerms:
    """
    What the venue's desk takes over.

    Attributes:
        pays_bankruptcy: Whether it pays the bankruptcy price, not the mark less the discount.
        position_limit_uusd: The most that its inventory of a market may be worth at the mark.
    """

    pays_bankruptcy: bool
    position_limit_uusd: int


@attrs.frozen
class EngineTerms:
    """
    How fast the engine sends orders; without a limit where keepers execute.

    Attributes:
        rate_e6: Orders per second, in 1e-6; 0 is no limit.
        outages: (from_us, to_us) in which nothing is sent.
        overloads: (from_us, to_us, rate_e6) with another rate.
    """

    rate_e6: int
    outages: tuple[tuple[int, int], ...]
    overloads: tuple[tuple[int, int, int], ...]

    @property
    def is_limited(self) -> bool:
        """Whether orders ever wait for each other, or for the end of an outage."""
        return bool(self.rate_e6 or self.outages or self.overloads)

    def order_us(self, at_us: int) -> int:
        """Return how long an order sent at *at_us* keeps the next one waiting."""
        rates = [rate for start, end, rate in self.overloads if start <= at_us < end]
        rate_e6 = rates[0] if rates else self.rate_e6
        return -(-(10**12) // rate_e6) if rate_e6 else 0

    def is_down(self, at_us: int) -> bool:
        """Return whether *at_us* is in an outage."""
        return any(start <= at_us < end for start, end in self.outages)


@attrs.frozen
class NearTerms:
    """
    What accounts of a cohort do near their liquidation.

    Attributes:
        alert_buffer_e6: Near is a margin below zero at (1 + this) x maintenance.
        can_top_up: Whether some top up.
        top_up_to_e6: They add what makes their margin zero at (1 + this) x maintenance.
        top_up_times: At most this often.
        can_reduce: Whether some trade part of their position away.
        reduce_by_e6: Which part.
        can_close: Whether some close it.
    """

    alert_buffer_e6: int
    can_top_up: bool
    top_up_to_e6: int
    top_up_times: int
    can_reduce: bool
    reduce_by_e6: int
    can_close: bool

    def may(self, reason: TradeReason) -> bool:
        """Return whether some trade for *reason*."""
        return self.can_reduce if reason is TradeReason.REDUCED else self.can_close


@attrs.frozen
class AnticipationTerms:
    """
    How accounts of a cohort trade ahead of a halt.

    Attributes:
        from_e6: Closeness to a halt below which nobody does.
        reduce_by_e6: Share of the position that one trades away.
        times: At most this often.
    """

    from_e6: int
    reduce_by_e6: int
    times: int


@attrs.frozen
class ReturnTerms:
    """
    How accounts of a cohort come back after a liquidation.

    Attributes:
        delay_us: Median and 99th percentile of the time from its end.
        windows: (from_us, to_us) in which they come back; none is always.
        same_side_e6: Probability of the side of the start.
        size: Median of the new position's value, as a multiple of that at the start.
        size_sigma: Standard deviation of its logarithm.
        leverages: Lowest and highest leverage.
    """

    delay_us: tuple[int, int]
    windows: tuple[tuple[int, int], ...]
    same_side_e6: int
    size: float
    size_sigma: float
    leverages: tuple[float, float]


@attrs.frozen
class RebalanceTerms:
    """
    What accounts of a cohort trade to.

    Attributes:
        period_us: Time between two rebalancings.
        leverage_e6: Multiple of equity, or the largest.
        volatility: Annual volatility that they are to have, if any.
        half_life_periods: Periods after which a squared return counts half.
    """

    period_us: int
    leverage_e6: int
    volatility: float | None
    half_life_periods: float


@attrs.frozen
class ArrivalTerms:
    """
    How new accounts of a cohort arrive.

    Attributes:
        accounts: Accounts of the start.
        accounts_max: The most that arrive.
        windows: (from_us, to_us) in which they do; none is always.
        long_share_e6: Share of the longs.
        size_e6: Value of a position, as a multiple of that of an account of the start.
        leverages: Lowest and highest leverage.
    """

    accounts: int
    accounts_max: int
    windows: tuple[tuple[int, int], ...]
    long_share_e6: int
    size_e6: int
    leverages: tuple[float, float]


@attrs.frozen
class TraderTerms:
    """
    How the accounts of a cohort act.

    Attributes:
        reaction_us: Median and 99th percentile of the time from reason to act.
        slippage_e6: How far from the market price they trade at most.
        near: What they do near their liquidation.
        stop_e6: Nearest distance of a stop from the entry price; None where nobody has one.
        relever_e6: Gain, as a share of the entry price, at which some lever up; None: nobody does.
        anticipation: How they trade ahead of a halt.
        returns: How they come back.
        rebalance: What they trade to.
        arrivals: How new ones arrive.
    """

    reaction_us: tuple[int, int]
    slippage_e6: int
    near: NearTerms | None
    stop_e6: int | None
    relever_e6: int | None
    anticipation: AnticipationTerms | None
    returns: ReturnTerms | None
    rebalance: RebalanceTerms | None
    arrivals: ArrivalTerms | None


@attrs.frozen
class ContributionTerms:
    """
    A rule by which a backer pays into the fund.

    Attributes:
        backer: Name of the backer.
        amount_uusd: How much, if it has as much.
        at_us: When; None where the fund's balance decides.
        when_below_uusd: Due when the fund holds less; None where a time decides.
        times: At most this often.
        min_interval_us: From one payment to the next, at least.
    """

    backer: str
    amount_uusd: int
    at_us: int | None
    when_below_uusd: int | None
    times: int
    min_interval_us: int


@attrs.frozen
class MitigationTerms:
    """
    A mitigation.

    Attributes:
        kind: What sort it is.
        name: Its name, or its kind.
        market_id: The market where it acts; None for all.
        values: Its parameters, as they stand in the TOML.
    """

    kind: str
    name: str
    market_id: int | None
    values: Mapping[str, Any]

    @property
    def is_of_haircut(self) -> bool:
        """Whether it scales the haircut on coins, not the rates of margin."""
        return self.kind == "correlation_margin" and self.word("scales") == "haircut"

    @property
    def is_halt(self) -> bool:
        """Whether it is one that stops something, by a rule that everyone knows."""
        is_breaker = self.kind == "breaker" and self.values["action"].startswith("halt_")
        return is_breaker or self.kind == "divergence_pause"

    def table(self, key: str) -> Sequence[Mapping[str, Any]]:
        """Return an array of tables."""
        return tuple(self.values[key])

    @property
    def deposits_uusd(self) -> list[int]:
        """What depositors have put into a pool, in order."""
        return [_scaled(row["amount_usd"], 6) for row in self.table("deposits")]

    def usd(self, key: str) -> int:
        """Return a parameter in USD, in 1e-6."""
        return _scaled(self.values[key], 6)

    def ratio(self, key: str) -> int:
        """Return a share or a multiple, in 1e-6."""
        return _scaled(self.values[key], 6)

    def duration(self, key: str) -> int:
        """Return a duration in microseconds."""
        return duration_us(self.values[key])

    def steps(self, key: str, start_unix_us: int) -> tuple[tuple[int, int], ...]:
        """Return (since, level) of a step function, levels in 1e-6."""
        rows = self.values[key]
        return tuple((_instant(since) - start_unix_us, _scaled(level, 6)) for since, level in rows)

    def word(self, key: str) -> str:
        """Return a word."""
        return str(self.values[key])


def level_rows(table: Mapping[str, Any]) -> tuple[list[tuple[str, int, int]], bool, int, int]:
    """
    Return what a level of a breaker says.

    Its conditions are (observable, window, bound), the window 0 where it looks back on none; then
    whether all must hold, how long it lasts, and its factor in 1e-6.

    >>> row = {"observable": "fall", "window": "1s", "above": Decimal("0.1")}
    >>> level_rows({"when": [row], "join": "any", "duration": "2s", "factor": 2})
    ([('fall', 1000000, 100000)], False, 2000000, 2000000)
    """
    rows = [
        (row["observable"], duration_us(row.get("window", "0s")), _scaled(row["above"], 6))
        for row in table["when"]
    ]
    needs_all, factor_e6 = table["join"] == "all", _scaled(table["factor"], 6)
    return rows, needs_all, duration_us(table["duration"]), factor_e6


@attrs.frozen
class Terms:
    """
    What an audit holds a run to.

    Attributes:
        name: Name of the scenario.
        seed: Its seed.
        path_mode: Its path mode.
        baseline: Digest of the reference prices of its baseline, or empty.
        start_unix_us: Start, in microseconds of Unix time.
        end_us: End, exclusive, in microseconds since the start.
        markets: Markets in order.
        executor: `engine`, `keepers` or `desk`.
        desk: What the desk takes over; None where there is none.
        reaction_us: From a trigger to the first tranche.
        discount_e6: Discount to the mark at which keepers, or the desk, take over.
        due_at_zero: Whether a margin of exactly zero is due.
        mark_max_age_us: Tranches wait while the mark is older; 0 never waits.
        order_fee_e6: Fees on the price of an order, together.
        takeover_fee_e6: Fee on the price of a takeover.
        fee_on_mark_e6: Fee on the mark price.
        share_e6: Share of the position at its trigger that one tranche puts up.
        max_uusd: Largest tranche, at the mark price.
        min_uusd: A remainder worth less goes with the tranche.
        spacing_us: From the end of a tranche to the start of the next of the same bucket.
        retry_us: Least time to the next tranche after one that depth stopped.
        restores_initial: Whether margin is restored at the initial margin, not at maintenance.
        restore_buffer_e6: Margin is restored at (1 + this) x that.
        fund_uusd: What the insurance fund has at the start.
        keepers: Keepers, desk, vaults, pools and bidders by name.
        first_leg: Which leg of a cross account goes first.
        surplus_to: `fund` or `trader`.
        deleveraging: By which rule, or `none`.
        deleveraging_cap_e6: The most of a position that is closed so for one slice.
        engine: How fast the engine is.
        profit_haircut: `pro_rata`, `queue` or `none`.
        haircut_severity_e6: Share of a hole that profits are cut for.
        socialise: `notional`, `equity`, `funding_index` or `none`.
        backers: What each backer of the fund has at the start, by name.
        contributions: What they pay into it, in the order of the rules' numbers.
        lets_short_open: Whether accounts of a file open with whatever collateral it says.
        taker_fee_e6: Fee on the price of an order that an account sends itself.
        traders: How accounts act, by cohort; those of other cohorts hold.
        coin_cohorts: Cohorts whose collateral is coins.
        mitigations: Mitigations in order.
    """

    name: str
    seed: int
    path_mode: str
    baseline: str
    start_unix_us: int
    end_us: int
    markets: tuple[MarketTerms, ...]
    executor: str
    desk: DeskTerms | None
    reaction_us: int
    discount_e6: int
    due_at_zero: bool
    mark_max_age_us: int
    order_fee_e6: int
    takeover_fee_e6: int
    fee_on_mark_e6: int
    share_e6: int
    max_uusd: int
    min_uusd: int
    spacing_us: int
    retry_us: int
    restores_initial: bool
    restore_buffer_e6: int
    fund_uusd: int
    keepers: Mapping[str, KeeperTerms]
    first_leg: str
    surplus_to: str
    deleveraging: str
    deleveraging_cap_e6: int
    engine: EngineTerms
    profit_haircut: str
    haircut_severity_e6: int
    socialise: str
    backers: Mapping[str, int]
    contributions: tuple[ContributionTerms, ...]
    lets_short_open: bool
    taker_fee_e6: int
    traders: Mapping[str, TraderTerms]
    coin_cohorts: frozenset[str]
    mitigations: tuple[MitigationTerms, ...]

    @property
    def purses(self) -> list[tuple[int, str, str, int]]:
        """Return mitigation, kind, name and purse of the owners that mitigations bring in."""
        found: list[tuple[int, str, str, int]] = []
        for number, terms in enumerate(self.mitigations):
            if terms.kind == "staking":
                found += [
                    (number, "staker", row["name"], _scaled(row["purse_usd"], 6))
                    for row in terms.table("stakers")
                ]
            elif terms.kind == "backstop":
                found.append((number, "vault", terms.name, terms.usd("purse_usd")))
            elif terms.kind == "batch_auction" and terms.usd("purse_usd"):
                found.append((number, "bidder", terms.name, terms.usd("purse_usd")))
            elif terms.kind == "pool":
                found.append((number, "pool", terms.name, sum(terms.deposits_uusd)))
        return found

    @property
    def treasury_uusd(self) -> int:
        """Return what the treasury has at the start: the budgets of rewards."""
        return sum(row.usd("budget_usd") for row in self.mitigations if row.kind == "keeper_reward")


def parse_toml(text: str) -> dict[str, Any]:
    """
    Return a resolved scenario as a dictionary, numbers with a point as exact decimals.

    Raises:
        ValueError: It is not TOML.
    """
    return tomllib.loads(text, parse_float=Decimal)


def read_terms(text: str) -> Terms:
    """
    Return the terms of a resolved scenario.

    Raises:
        ValueError: It is not TOML, or a key that a resolved scenario has is missing or malformed.
    """
    document = parse_toml(text)
    try:
        return _terms(document)
    except (KeyError, TypeError, AttributeError, ArithmeticError) as error:
        message = f"the resolved scenario cannot be read: {type(error).__name__} {error}"
        raise ValueError(message) from error


def _terms(document: Mapping[str, Any]) -> Terms:
    start = _instant(document["start"])
    venue = document["venue"]
    fees, tranches, waterfall = venue["fees"], venue["tranches"], venue["waterfall"]
    # What a desk leaves goes to the engine.
    desk = venue["desk"] if venue["executor"] == "desk" else None
    executor = venue["engine" if desk is not None else venue["executor"]]
    liquidation_fee = _scaled(fees["liquidation_on_execution"], 6)
    return Terms(
        name=document["name"],
        seed=document["seed"],
        path_mode=document["path_mode"],
        baseline=document["baseline"],
        start_unix_us=start,
        end_us=_instant(document["end"]) - start,
        markets=tuple(
            _market(name, table, start, venue["margin"])
            for name, table in document["markets"].items()
        ),
        executor=venue["executor"],
        reaction_us=duration_us(executor["reaction"]),
        desk=None
        if desk is None
        else DeskTerms(desk["price"] == "bankruptcy", _scaled(desk["position_limit_usd"], 6)),
        discount_e6=_scaled((desk or executor).get("discount", 0), 6),
        due_at_zero=venue["due_at_zero"],
        mark_max_age_us=duration_us(venue["mark_max_age"]),
        order_fee_e6=_scaled(fees["taker"], 6) + liquidation_fee,
        takeover_fee_e6=liquidation_fee,
        fee_on_mark_e6=_scaled(fees["liquidation_on_mark"], 6),
        share_e6=_scaled(tranches["share"], 6),
        max_uusd=_scaled(tranches["max_usd"], 6),
        min_uusd=_scaled(tranches.get("min_usd", 0), 6),
        spacing_us=duration_us(tranches["spacing"]),
        retry_us=duration_us(executor.get("retry", 0)),
        restores_initial=tranches["restore_to"] == "initial",
        restore_buffer_e6=_scaled(tranches["restore_buffer"], 6),
        fund_uusd=_scaled(venue["fund"]["initial_usd"], 6),
        keepers={name: _keeper(bot, start) for name, bot in executor.get("bots", {}).items()}
        | ({desk["name"]: _keeper(desk, start)} if desk is not None else {})
        | {
            row["name"] or row["kind"]: _keeper(row, start)
            for row in document.get("mitigations", ())
            if row["kind"] in ("backstop", "pool", "batch_auction")
        },
        first_leg=venue["cross"]["first_leg"],
        surplus_to=waterfall["surplus_to"],
        deleveraging=waterfall["deleveraging"],
        deleveraging_cap_e6=_scaled(waterfall.get("deleveraging_cap", 1), 6),
        engine=EngineTerms(
            _scaled(executor.get("orders_per_second", 0), 6),
            _windows(executor.get("outages", ()), start),
            tuple(
                (
                    _instant(window["from"]) - start,
                    _instant(window["to"]) - start,
                    _scaled(window["orders_per_second"], 6),
                )
                for window in executor.get("overloads", ())
            ),
        ),
        profit_haircut=waterfall["profit_haircut"],
        haircut_severity_e6=_scaled(waterfall["haircut_severity"], 6),
        socialise=waterfall["socialise"],
        backers={
            name: _scaled(backer["purse_usd"], 6)
            for name, backer in venue["fund"].get("backers", {}).items()
        },
        contributions=tuple(_contributions(venue["fund"], start)),
        lets_short_open=_due_at_start(document) == "liquidate",
        taker_fee_e6=_scaled(fees["taker"], 6),
        traders={
            name: _traders(cohort["traders"], cohort, start)
            for name, cohort in document.get("population", {}).get("cohorts", {}).items()
            if "traders" in cohort
        },
        coin_cohorts=frozenset(
            name
            for name, cohort in document.get("population", {}).get("cohorts", {}).items()
            if cohort["collateral"] == "coin"
        ),
        mitigations=tuple(_mitigations(document)),
    )


def _mitigations(document: Mapping[str, Any]) -> Iterator[MitigationTerms]:
    numbers = {name: number for number, name in enumerate(document["markets"])}
    for row in document.get("mitigations", ()):
        name = row["name"] or row["kind"]
        yield MitigationTerms(row["kind"], name, numbers.get(row["market"]), row)


def _law_us(law: Mapping[str, Any]) -> tuple[int, int]:
    return duration_us(law["median"]), duration_us(law["p99"])


def _traders(
    table: Mapping[str, Any], cohort: Mapping[str, Any], start_unix_us: int
) -> TraderTerms:
    leverage = cohort["leverage"]
    near, returns, rebalance = (table.get(key) for key in ("near", "return", "rebalance"))
    ahead = table.get("anticipate")
    volatility = None if rebalance is None else rebalance.get("target_volatility")
    return TraderTerms(
        reaction_us=_law_us(table["reaction"]),
        stop_e6=_scaled(table["stop"]["nearest"], 6) if "stop" in table else None,
        relever_e6=_scaled(table["relever"]["gain"], 6) if "relever" in table else None,
        anticipation=None
        if ahead is None
        else AnticipationTerms(
            from_e6=_scaled(ahead["from"], 6),
            reduce_by_e6=_scaled(ahead["reduce_by"], 6),
            times=ahead["times"],
        ),
        returns=None
        if returns is None
        else ReturnTerms(
            delay_us=_law_us(returns["delay"]),
            windows=_windows(returns["windows"], start_unix_us),
            same_side_e6=_scaled(returns["same_side"], 6),
            size=float(returns["size"]),
            size_sigma=float(returns["size_sigma"]),
            leverages=(float(leverage["min"]), float(leverage["max"])),
        ),
        rebalance=None
        if rebalance is None
        else RebalanceTerms(
            period_us=duration_us(rebalance["period"]),
            leverage_e6=_scaled(rebalance["target_leverage"], 6),
            volatility=None if volatility is None else float(volatility),
            half_life_periods=float(rebalance["half_life_periods"]),
        ),
        arrivals=_arrivals(cohort, start_unix_us) if "arrivals" in table else None,
        slippage_e6=_scaled(table["slippage"], 6),
        near=None
        if near is None
        else NearTerms(
            alert_buffer_e6=_scaled(near["alert_buffer"], 6),
            can_top_up=near["top_up_share"] > 0,
            top_up_to_e6=_scaled(near["top_up_to"], 6),
            top_up_times=near["top_up_times"],
            can_reduce=near["reduce_share"] > 0,
            reduce_by_e6=_scaled(near["reduce_by"], 6),
            can_close=near["close_share"] > 0,
        ),
    )


def _arrivals(cohort: Mapping[str, Any], start_unix_us: int) -> ArrivalTerms:
    table, leverage = cohort["traders"]["arrivals"], cohort["leverage"]
    return ArrivalTerms(
        accounts=cohort["accounts"],
        accounts_max=table["accounts_max"],
        windows=_windows(table["windows"], start_unix_us),
        long_share_e6=_scaled(table.get("long_share", cohort["long_share"]), 6),
        size_e6=_scaled(table["size"], 6),
        leverages=(float(leverage["min"]), float(leverage["max"])),
    )


def _due_at_start(document: Mapping[str, Any]) -> str:
    accounts = document.get("population", {}).get("accounts", {})
    return str(accounts.get("due_at_start", ""))


def _keeper(bot: Mapping[str, Any], start_unix_us: int) -> KeeperTerms:
    least, delay = bot.get("min_profit_usd"), duration_us(bot["resale_delay"])
    return KeeperTerms(
        purse_uusd=_scaled(bot.get("purse_usd", 0), 6),
        call_cost_uusd=_scaled(bot.get("call_cost_usd", 0), 6),
        min_profit_uusd=None if least is None else _scaled(least, 6),
        downtime=_windows(bot.get("downtime", ()), start_unix_us),
        resale_delay_us=delay,
        resale_parts=bot.get("resale_parts", 1),
        resale_spacing_us=duration_us(bot.get("resale_spacing", 0)) or delay,
    )


def _windows(rows: Any, start_unix_us: int) -> tuple[tuple[int, int], ...]:
    return tuple((_instant(a) - start_unix_us, _instant(b) - start_unix_us) for a, b in rows)


def _contributions(fund: Mapping[str, Any], start_unix_us: int) -> Iterator[ContributionTerms]:
    for row in fund.get("contributions", ()):
        at_us = _instant(row["at"]) - start_unix_us
        yield ContributionTerms(row["from"], _scaled(row["amount_usd"], 6), at_us, None, 1, 0)
    for row in fund.get("top_ups", ()):
        yield ContributionTerms(
            backer=row["from"],
            amount_uusd=_scaled(row["amount_usd"], 6),
            at_us=None,
            when_below_uusd=_scaled(row["when_below_usd"], 6),
            times=row["times"],
            min_interval_us=duration_us(row["min_interval"]),
        )


def _market(
    name: str, table: Mapping[str, Any], start_unix_us: int, margin: Mapping[str, Any]
) -> MarketTerms:
    liquidity, oracle = table["liquidity"], table["oracle"]
    landing = oracle["landing"]
    return MarketTerms(
        name=name,
        rule=_rule(table, margin),
        maintenance_changes=tuple(
            (_instant(change["at"]) - start_unix_us, _scaled(change["multiplier"], 6))
            for change in table.get("maintenance_changes", ())
        ),
        step_us=duration_us(table["path"]["step"]),
        depth=_depth(liquidity),
        schedule=tuple(
            (
                _instant(change["at"]) - start_unix_us,
                _scaled(change["multiplier"], 6),
                duration_us(change["half_life"]),
            )
            for change in liquidity.get("schedule", ())
        ),
        quorum=oracle["quorum"],
        source_count=len(oracle["sources"]),
        heartbeat_us=duration_us(oracle["heartbeat"]),
        catch_ups_us=tuple(
            duration_us(source.get("catch_up", 0)) if source.get("pass_through", 1) else None
            for source in oracle["sources"].values()
        ),
        can_overtake=duration_us(landing["median"]) != duration_us(landing["p99"]),
        mark=_mark(table["mark"]),
        funding=_funding(table.get("funding")),
    )


def _funding(funding: Mapping[str, Any] | None) -> FundingTerms | None:
    if funding is None:
        return None
    return FundingTerms(
        interval_us=duration_us(funding["interval"]),
        interest=Fraction(funding["interest"]),
        weight=Fraction(funding["premium_weight"]),
        cap=Fraction(funding["cap"]),
    )


def _mark(mark: Mapping[str, Any]) -> MarkTerms:
    guard, step = mark.get("guard"), mark.get("max_step")
    return MarkTerms(
        weight=Fraction(mark["book_weight"]),
        guard=None if guard is None else Fraction(guard),
        step=None if step is None else Fraction(step),
        min_depth_e6=_scaled(mark["min_depth"], 6),
        smoothing_us=duration_us(mark["smoothing"]),
        max_index_age_us=duration_us(mark["max_index_age"]),
        band=Fraction(mark["band"]),
        period_us=duration_us(mark["period"]),
        deviation=Fraction(mark["deviation"]),
        heartbeat_us=duration_us(mark["heartbeat"]),
    )


def _rule(table: Mapping[str, Any], margin: Mapping[str, Any]) -> LegRule:
    by_notional = bool(table.get("maintenance_usd"))
    suffix, places = ("_usd", 6) if by_notional else ("", 8)
    tiers, initial = (
        tuple((_scaled(start, places), _scaled(rate, 6)) for start, rate in table.get(key, ()))
        for key in ("maintenance" + suffix, "initial" + suffix)
    )
    return LegRule(
        tiers,
        by_notional,
        _scaled(margin["unrealised_profit_haircut"], 6),
        initial,
        is_inverse=table["contract"] == "inverse",
        coin_haircut_e6=_scaled(margin["coin_haircut"], 6),
    )


def _depth(liquidity: Mapping[str, Any]) -> DepthTerms | LadderTerms | None:
    if liquidity["kind"] == "no_impact":
        return None
    if liquidity["kind"] == "ladder":
        asks, bids = (
            tuple((Decimal(str(offset)), _scaled(units, 8)) for offset, units in liquidity[side])
            for side in ("asks", "bids")
        )
        if not asks or not bids:
            message = "a ladder has a side without levels"
            raise ValueError(message)
        return LadderTerms(asks, bids, duration_us(liquidity["half_life"]))
    own = liquidity.get("fill_depth_usd")
    return DepthTerms(
        depth_uusd=_scaled(liquidity["depth_usd"], 6),
        exponent=float(liquidity["exponent"]),
        reach=float(liquidity["reach"]),
        permanent_share=float(liquidity["permanent_share"]),
        half_life_us=duration_us(liquidity["half_life"]),
        fill_depth_uusd=None if own is None else _scaled(own, 6),
    )


def _scaled(value: Any, places: int) -> int:
    scaled = Decimal(str(value)).scaleb(places)
    if scaled != int(scaled):
        message = f"{value} has more than {places} decimal places"
        raise ValueError(message)
    return int(scaled)


def duration_us(value: Any) -> int:
    """
    Return a duration such as `250ms` or `2d` in microseconds.

    >>> duration_us("1.5s"), duration_us(0)
    (1500000, 0)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d)", str(value))
    if found:
        return int(Decimal(found[1]) * _UNITS_US[found[2]])
    if value == 0:
        return 0
    message = f"{value!r} is not a duration"
    raise ValueError(message)


def _instant(value: Any) -> int:
    """Return a TOML time, or the text of one, in microseconds of Unix time."""
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1)


def count_basis(document: Mapping[str, Any]) -> dict[str, int]:
    """
    Return how many parameters rest on a fact, on an assumption, on a fit.

    A parameter is a leaf of the scenario (a list is one leaf), apart from its name, description
    and seed; the longest key path in `[basis]` that covers it decides, and what none covers is
    assumed.
    """
    basis = dict(_basis_kinds(document.get("basis", {}), ()))
    counts = dict.fromkeys(BASIS_KINDS, 0)
    for path in _leaves({k: v for k, v in document.items() if k not in _NOT_PARAMETERS}, ()):
        covering = (basis[path[:size]] for size in range(len(path), 0, -1) if path[:size] in basis)
        counts[next(covering, "assumed")] += 1
    return counts


def _leaves(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key)


def _basis_kinds(
    table: Mapping[str, Any], path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], str]]:
    for key, value in table.items():
        below = (*path, *key.split("."))
        if isinstance(value, Mapping) and not isinstance(value.get("kind"), str):
            yield from _basis_kinds(value, below)
            continue
        text = value["kind"] if isinstance(value, Mapping) else str(value)
        kind = re.match(r"\w*", text)
        if kind and kind[0] in BASIS_KINDS:
            yield below, kind[0]
