"""
What must hold between the values of a scenario, each of which is in bounds by itself.

Every check yields the place of the value that it refuses, and what that value must be.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final, assert_never

import attrs

from liqsim.scenario.absorber_checks import absorber_checks, given_checks
from liqsim.scenario.coin_checks import cohort_checks, market_checks
from liqsim.scenario.convert import Path, Problem, nearest
from liqsim.scenario.fields import Form, key_of, name_of
from liqsim.scenario.incentive_checks import incentive_checks
from liqsim.scenario.mitigation_checks import mitigation_checks
from liqsim.scenario.mitigations import purses_of
from liqsim.scenario.model import (
    Basis,
    Cohort,
    Engine,
    FilePath,
    Fund,
    GbmPath,
    KnotsPath,
    Ladder,
    Latency,
    Leverage,
    Market,
    Oracle,
    PowerBook,
    Scenario,
    Venue,
)
from liqsim.scenario.owners import OwnerNames
from liqsim.scenario.scaling_checks import scaling_checks
from liqsim.scenario.toml import inline
from liqsim.scenario.trader_checks import traders_checks
from liqsim.scenario.values import duration_text, instant_of
from liqsim.units import (
    BOUND,
    NOTIONAL_DIVISOR,
    RATIO_SCALE,
    UNIT_SCALE,
    USD_SCALE,
    ceil_div,
    taker_cost_uusd,
)

_LOG_SWEEP_LIMIT: Final = 20.0
"""Beyond a factor of e ** 20 prices leave the ledger's range."""

PATH_POINTS_MAX: Final = 50_000_000
BAR_STEPS_MIN: Final = 4
SAMPLES_MAX: Final = 100_000_000

_ACCOUNTS: Final = ("population", "accounts", "file")
_COHORTS: Final = ("population", "cohorts")
_BOTS: Final = ("venue", "keepers", "bots")
_RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


def cross_checks(  # noqa: C901, PLR0912 — one branch per class
    scenario: Scenario, tree: Mapping[str, Any]
) -> Iterator[Problem]:
    """Yield what is wrong between the values of *scenario*, whose TOML tables are *tree*."""
    if not _RUN_NAME.fullmatch(scenario.name):
        # It becomes part of a file's name.
        yield ("name",), "must be letters, digits, underscores and hyphens, at most 100"
    if scenario.end_us <= 0:
        yield ("end",), f"must be after start, {inline(instant_of(scenario.start_unix_us))}"
        return  # The other checks of times would only repeat it.
    if not scenario.markets:
        yield ("markets",), "must have at least one market"
    if scenario.baseline and scenario.path_mode != "purged":
        yield ("path_mode",), 'must be "purged": the run faces what a purged run has found'
    for path, node in _nodes(scenario, ()):
        yield from _times(path, node, scenario)
        match node:
            case Latency():
                yield from _latency(path, node)
            case Market():
                yield from _market(path, node, scenario)
            case KnotsPath():
                yield from _knots(path, node, scenario)
            case FilePath():
                yield from _bars(path, node)
            case PowerBook() | Ladder():
                if isinstance(node, Ladder):
                    yield from _levels(path, node)
                changes = [change.at_us for change in node.schedule]
                yield from _increasing((*path, "schedule"), changes, "at")
            case Oracle():
                yield from _oracle(path, node, scenario.end_us)
            case Engine():
                yield from _engine(path, node)
            case Venue():
                yield from _venue(path, node, scenario)
            case Leverage():
                yield from _leverage(path, node)
            case Fund():
                yield from _fund(path, node, scenario)
            case Cohort():
                yield from _cohort(path, node, scenario)
            case Basis():
                yield from _basis(path, node, tree)
    yield from scaling_checks(scenario)
    yield from given_checks(scenario)
    yield from absorber_checks(scenario)
    yield from incentive_checks(scenario)
    yield from mitigation_checks(scenario)
    yield from _totals(scenario)


def _nodes(node: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """Yield *node* and every table below it, with its place."""
    yield path, node
    for attribute in attrs.fields(type(node)):
        value, below = getattr(node, attribute.name), (*path, key_of(attribute) or "")
        if attrs.has(type(value)):
            yield from _nodes(value, below)
        elif "tables" in attribute.metadata:
            for item in value:
                yield from _nodes(item, (*below, name_of(item)))
        elif "rows" in attribute.metadata:
            for row, item in enumerate(value):
                yield from _nodes(item, (*below, row))


def _times(path: Path, node: Any, scenario: Scenario) -> Iterator[Problem]:
    """Check the instants and windows of any class, known by their metadata."""
    ends = scenario.start_unix_us, scenario.start_unix_us + scenario.end_us
    span = "must be in the run, {} to {}".format(*(inline(instant_of(end)) for end in ends))
    before_end = span.replace(" to ", " to before ")  # At the end itself nothing happens any more.
    for attribute in attrs.fields(type(node)):
        value, metadata = getattr(node, attribute.name), attribute.metadata
        here = (*path, key_of(attribute) or "")
        scalar, pair = metadata.get("scalar"), metadata.get("of")
        if scalar is not None and scalar.form is Form.INSTANT and not scalar.absolute:
            if not 0 <= value < scenario.end_us + scalar.is_end:
                yield here, span if scalar.is_end else before_end
        elif pair is not None and all(scalar.form is Form.INSTANT for scalar in pair):
            for row, (start_us, end_us) in enumerate(value):
                if start_us >= end_us:
                    yield (*here, row), "must end after it begins"
                if start_us < 0 or end_us > scenario.end_us:
                    yield (*here, row), span
            for row, (before, after) in enumerate(pairwise(value), start=1):
                if after[0] < before[1]:
                    yield (*here, row), "must begin at or after the end of the window before it"


def _latency(path: Path, latency: Latency) -> Iterator[Problem]:
    if latency.p99_us < latency.median_us:
        yield (*path, "p99"), f"must be at least the median, {duration_text(latency.median_us)}"
    elif latency.median_us == 0 < latency.p99_us:
        yield (*path, "p99"), "must be 0s like the median: no lognormal law has a median of zero"


def _market(path: Path, market: Market, scenario: Scenario) -> Iterator[Problem]:
    if market.name.casefold() == "usd":
        yield path, "must not be named like the cash asset, USD"
    step_us = market.path.step_us
    if scenario.end_us % step_us:
        span = duration_text(scenario.end_us)
        yield (*path, "path", "step"), f"must divide the run of {span} into whole steps"
    elif scenario.end_us // step_us > PATH_POINTS_MAX:
        least = duration_text(ceil_div(scenario.end_us, PATH_POINTS_MAX))
        bound = f"must be at least {least}, for a path of at most {PATH_POINTS_MAX} steps"
        yield (*path, "path", "step"), bound
    if market.maintenance and market.maintenance_usd:
        bound = "must not be there beside maintenance: tiers go by size or by notional"
        yield (*path, "maintenance_usd"), bound
    elif not market.maintenance + market.maintenance_usd:
        yield (*path, "maintenance"), "must have at least one tier, or maintenance_usd must"
    yield from _tiers((*path, "maintenance"), market.maintenance)
    yield from _tiers((*path, "maintenance_usd"), market.maintenance_usd)
    yield from _initial(path, market)
    yield from _maintenance_changes((*path, "maintenance_changes"), market)
    yield from _samples((*path, "mark"), market, scenario.end_us)
    yield from market_checks(path, market, scenario)


def _initial(path: Path, market: Market) -> Iterator[Problem]:
    for key, tiers, beside, floor in (
        ("initial", market.initial, "maintenance", market.maintenance),
        ("initial_usd", market.initial_usd, "maintenance_usd", market.maintenance_usd),
    ):
        if tiers and not floor:
            yield (*path, key), f"must not be there without {beside}, whose tiers are like these"
            continue
        yield from _tiers((*path, key), tiers)
        for row, (start, rate_e6) in enumerate(tiers):
            end = tiers[row + 1][0] if row + 1 < len(tiers) else BOUND
            # Rates do not fall, so within a tier the last of maintenance is the highest.
            least = max((rate for other, rate in floor if other < end), default=0)
            if rate_e6 < least and start < end:
                number = _number(least, RATIO_SCALE)
                yield (*path, key, row, 1), f"must be at least that of {beside} there, {number}"


def _tiers(here: Path, tiers: Sequence[tuple[int, int]]) -> Iterator[Problem]:
    if tiers and tiers[0][0] != 0:
        yield (*here, 0, 0), "must be 0: the first tier begins there"
    yield from _increasing(here, [start for start, _ in tiers], 0)
    for row, (before, after) in enumerate(pairwise(tiers), start=1):
        if after[1] < before[1]:
            bound = f"must be at least the rate before it, {_number(before[1], RATIO_SCALE)}"
            yield (*here, row, 1), bound
    for row, (_, rate_e6) in enumerate(tiers):
        if rate_e6 >= RATIO_SCALE:
            # Below 1, a position is always worth more than its own maintenance.
            yield (*here, row, 1), "must be below 1"


def _samples(path: Path, market: Market, end_us: int) -> Iterator[Problem]:
    if market.samples_book and ceil_div(end_us, market.mark.period_us) > SAMPLES_MAX:
        least = duration_text(ceil_div(end_us, SAMPLES_MAX))
        yield (*path, "period"), f"must be at least {least}, for at most {SAMPLES_MAX} samples"


def _maintenance_changes(path: Path, market: Market) -> Iterator[Problem]:
    changes = market.maintenance_changes
    yield from _increasing(path, [change.at_us for change in changes], "at")
    tiers = market.maintenance + market.maintenance_usd + market.initial + market.initial_usd
    highest_e6 = max((rate_e6 for _, rate_e6 in tiers), default=0)
    for row, change in enumerate(changes):
        if ceil_div(highest_e6 * change.multiplier_e6, RATIO_SCALE) >= RATIO_SCALE > highest_e6:
            bound = (RATIO_SCALE - 1) * RATIO_SCALE // highest_e6
            yield (
                (*path, row, "multiplier"),
                (
                    f"must be at most {_number(bound, RATIO_SCALE)}, or the highest margin "
                    f"rate, {_number(highest_e6, RATIO_SCALE)}, does not stay below 1"
                ),
            )


def _knots(path: Path, spec: KnotsPath, scenario: Scenario) -> Iterator[Problem]:
    here = (*path, "knots")
    times = [at_us for at_us, _ in spec.knots]
    if len(times) < 2:  # noqa: PLR2004 — a line has two ends
        yield here, "must be at least 2 knots"
        return
    yield from _increasing(here, times, 0)
    if times[0] != 0:
        yield (*here, 0, 0), f"must be the start, {inline(instant_of(scenario.start_unix_us))}"
    if times[-1] < scenario.end_us:
        end = inline(instant_of(scenario.start_unix_us + scenario.end_us))
        yield (*here, len(times) - 1, 0), f"must be at or after the end, {end}"
    for row, at_us in enumerate(times):
        if at_us % spec.step_us:
            step = duration_text(spec.step_us)
            yield (*here, row, 0), f"must be a whole number of steps of {step} after the start"


def _levels(path: Path, ladder: Ladder) -> Iterator[Problem]:
    for key, levels in (("asks", ladder.asks), ("bids", ladder.bids)):
        here = (*path, key)
        if not levels:
            yield here, "must have at least one level"
        yield from _increasing(here, [offset for offset, _ in levels], 0)
        total_e8 = sum(units for _, units in levels)
        if total_e8 >= BOUND:
            total = _number(total_e8, UNIT_SCALE)
            yield here, f"must have less than {_number(BOUND, UNIT_SCALE)} units, not {total}"


def _bars(path: Path, spec: FilePath) -> Iterator[Problem]:
    if spec.bars is None:
        return  # The file was refused.
    here, bar = (*path, "step"), duration_text(spec.bars.bar_us)
    # A bar's path has its open, high, low and close as prices of their own.
    if spec.bars.bar_us % spec.step_us or spec.bars.bar_us // spec.step_us < BAR_STEPS_MIN:
        yield here, f"must divide the file's bars of {bar} into {BAR_STEPS_MIN} or more whole steps"
    elif spec.bars.first_us % spec.step_us:
        span = duration_text(-spec.bars.first_us)
        yield here, f"must divide the {span} between a bar's and the run's start into whole steps"


def _oracle(path: Path, oracle: Oracle, end_us: int) -> Iterator[Problem]:
    if not oracle.sources:
        yield (*path, "sources"), "must have at least one source"
    elif oracle.quorum > len(oracle.sources):
        yield (*path, "quorum"), f"must be at most the number of sources, {len(oracle.sources)}"
    samples = sum(ceil_div(end_us, source.period_us) for source in oracle.sources)
    if samples > SAMPLES_MAX:
        yield (
            (*path, "sources"),
            f"must take at most {SAMPLES_MAX} samples in all, not {samples}: lengthen `period`",
        )


def _venue(path: Path, venue: Venue, scenario: Scenario) -> Iterator[Problem]:
    yield from _kinks(path, venue, scenario)
    needed = f"as {'.'.join(map(str, path))}.executor is {inline(venue.executor)}"
    if venue.executor == "desk" and venue.desk is None:
        yield (*path, "desk"), f"must be a table, {needed}"
    if venue.desk is not None and (
        refusal := OwnerNames(scenario).refusal(venue.desk.name, "desk")
    ):
        yield (*path, "desk", "name"), refusal
    if venue.executor in ("engine", "desk") and venue.engine is None:
        yield (*path, "engine"), f"must be a table, {needed}"
    if venue.executor == "keepers" and venue.keepers is None:
        yield (*path, "keepers"), f"must be a table with at least one bot, {needed}"
    if venue.keepers is None:
        return
    if venue.executor == "keepers" and not venue.keepers.bots:
        yield (*path, "keepers", "bots"), f"must have at least one bot, {needed}"
    names = OwnerNames(scenario)
    for bot in venue.keepers.bots:
        if refusal := names.refusal(bot.name, "keeper"):
            yield (*path, "keepers", "bots", bot.name), refusal


def _kinks(path: Path, venue: Venue, scenario: Scenario) -> Iterator[Problem]:
    """Check that the margin of a long rises with the price on all of its pieces."""
    haircut_e6, buffer_e6 = venue.margin.unrealised_haircut_e6, venue.tranches.restore_buffer_e6
    is_initial = venue.tranches.restore_to == "initial"
    for market in scenario.markets:
        if is_initial and not market.initial + market.initial_usd:
            bound = f'must be "maintenance": {market.name} asks for no initial margin'
            yield (*path, "tranches", "restore_to"), bound
        rate_e6 = scenario.highest_rate_e6(market, is_initial=is_initial)
        # Where there is one piece, a rate that the buffer takes to 1 is a margin never restored.
        if rate_e6 >= RATIO_SCALE or not (haircut_e6 or market.maintenance_usd):
            continue
        raised_e6 = ceil_div(rate_e6 * (RATIO_SCALE + buffer_e6), RATIO_SCALE)
        why = f"the highest margin rate of {market.name}, {_number(rate_e6, RATIO_SCALE)},"
        if raised_e6 >= RATIO_SCALE:
            most = (RATIO_SCALE - 1) * RATIO_SCALE // rate_e6 - RATIO_SCALE
            bound = f"must be at most {_number(most, RATIO_SCALE)}, or {why} is raised to 1 or more"
            yield (*path, "tranches", "restore_buffer"), bound
        elif raised_e6 + haircut_e6 >= RATIO_SCALE:
            most = RATIO_SCALE - 1 - raised_e6
            bound = (
                f"must be at most {_number(most, RATIO_SCALE)}, or {why} with the restore buffer"
            )
            yield (*path, "margin", "unrealised_profit_haircut"), f"{bound} and it sum to 1 or more"


def _engine(path: Path, engine: Engine) -> Iterator[Problem]:
    here = (*path, "overloads")
    for row, overload in enumerate(engine.overloads):
        if overload.start_us >= overload.end_us:
            yield (*here, row, "to"), "must be after from"
        if row and overload.start_us < engine.overloads[row - 1].end_us:
            bound = "must be at or after the end of the window before it"
            yield (*here, row, "from"), bound
        if 0 < engine.rate_e6 < overload.rate_e6:
            rate = _number(engine.rate_e6, RATIO_SCALE)
            bound = f"must be at most that of the engine at other times, {rate}"
            yield (*here, row, "orders_per_second"), bound


def _fund(path: Path, fund: Fund, scenario: Scenario) -> Iterator[Problem]:
    names, backers = OwnerNames(scenario), [backer.name for backer in fund.backers]
    for name in backers:
        if refusal := names.refusal(name, "backer"):
            yield (*path, "backers", name), refusal
    payers = [("contributions", row, rule.backer) for row, rule in enumerate(fund.contributions)]
    payers += [("top_ups", row, rule.backer) for row, rule in enumerate(fund.top_ups)]
    for key, row, name in payers:
        if name not in backers:
            bound = f"must be one of venue.fund.backers{nearest(name, backers)}"
            yield (*path, key, row, "from"), bound


def _leverage(path: Path, leverage: Leverage) -> Iterator[Problem]:
    if leverage.low > leverage.median:
        yield (*path, "min"), f"must be at most the median, {leverage.median}"
    if leverage.high < leverage.median:
        yield (*path, "max"), f"must be at least the median, {leverage.median}"


def _cohort(path: Path, cohort: Cohort, scenario: Scenario) -> Iterator[Problem]:
    markets = {market.name: market for market in scenario.markets}
    if cohort.legs:
        yield from _legs(path, cohort, markets)
    elif cohort.market not in markets:
        yield (*path, "market"), f"must be a market{nearest(cohort.market, markets)}"
    held = [name for name in legs_of(cohort) if name in markets]
    first_rates = {
        name: tiers[0][1]
        for name in held
        if (tiers := markets[name].maintenance + markets[name].maintenance_usd)
    }
    if first_rates:
        name = max(first_rates, key=lambda name: first_rates[name])
        rate_e6 = first_rates[name]
        # At 1 / rate the margin at entry is zero, and a rounded cent decides who is due.
        haircut_e6 = scenario.venue.margin.coin_haircut_e6 if cohort.has_coins else 0
        counts_e6 = RATIO_SCALE - haircut_e6
        if Decimal(repr(cohort.leverage.high)) * rate_e6 >= counts_e6:
            rate = _number(rate_e6, RATIO_SCALE)
            limit = f"must be below {counts_e6 / rate_e6:g}, or positions are due at entry: "
            if haircut_e6:
                limit += f"coins count for {_number(counts_e6, RATIO_SCALE)}, and "
            yield (
                (*path, "leverage", "max"),
                f"{limit}the first maintenance rate of {name} is {rate}",
            )
    yield from cohort_checks(path, cohort, markets)
    if cohort.traders is not None:
        yield from traders_checks((*path, "traders"), cohort, markets, scenario)
    if cohort.size.max_uusd * cohort.accounts < cohort.notional_uusd:
        least = _number(ceil_div(cohort.notional_uusd, cohort.accounts), USD_SCALE)
        yield (
            (*path, "size", "max_usd"),
            f"must be at least {least}, or {cohort.accounts} accounts do not make up notional_usd",
        )


def _legs(path: Path, cohort: Cohort, markets: Mapping[str, Market]) -> Iterator[Problem]:
    if cohort.market:
        yield (*path, "market"), "must not be there beside legs"
    total = sum(leg.share_e6 for leg in cohort.legs)
    if total != RATIO_SCALE:
        yield (*path, "legs"), f"must have shares that sum to 1, not {total / RATIO_SCALE:g}"
    if cohort.legs[0].hedge_share_e6:
        key = (*path, "legs", cohort.legs[0].market, "hedge_share")
        yield key, "must be 0: the first leg is the one that the others hedge"
    for leg in cohort.legs:
        if leg.market not in markets:
            yield (*path, "legs", leg.market), f"is no market{nearest(leg.market, markets)}"


def legs_of(cohort: Cohort) -> dict[str, int]:
    """Return the share of a cohort's notional in each of its markets, in 1e-6."""
    if cohort.legs:
        return {leg.market: leg.share_e6 for leg in cohort.legs}
    return {cohort.market: RATIO_SCALE}


def _basis(path: Path, basis: Basis, tree: Mapping[str, Any]) -> Iterator[Problem]:
    known = [key for key in _keys(tree) if key.split(".")[0] != "basis"]
    if basis.key not in known:
        yield path, f"is not a known key{nearest(basis.key, known)}"
    if basis.kind == "fact" and not basis.source.strip():
        yield (*path, "source"), "must say where the fact was published"


def _arrival_totals(cohorts: Sequence[Cohort], notional_uusd: int, limit: str) -> Iterator[Problem]:
    """Check that those who may arrive stay inside too, all of them as large as the largest."""
    for cohort in cohorts:
        arrivals = cohort.traders.arrivals if cohort.traders is not None else None
        if arrivals is None:
            continue
        largest_uusd = min(cohort.size.max_uusd, cohort.notional_uusd)
        most_uusd = arrivals.accounts_max * (largest_uusd * arrivals.size_e6 // RATIO_SCALE)
        if notional_uusd < BOUND <= notional_uusd + most_uusd:
            total = f"{limit}, not {_grouped(notional_uusd + most_uusd, USD_SCALE)}"
            key = (*_COHORTS, cohort.name, "traders", "arrivals", "accounts_max")
            yield key, f"must leave positions, all as large as the largest, {total}"


def _totals(scenario: Scenario) -> Iterator[Problem]:
    """Check that sums stay inside the columns of the log."""
    cohorts, keepers = scenario.population.cohorts, scenario.venue.keepers
    accounts = scenario.population.accounts
    holdings = accounts.holdings if accounts is not None else ()
    legs = [leg for holding in holdings for leg in holding.legs]
    listed_uusd = sum(abs(taker_cost_uusd(quantity, entry)) for _, quantity, entry in legs)
    notional_uusd = sum(cohort.notional_uusd for cohort in cohorts) + listed_uusd
    limit = f"less than {_grouped(BOUND, USD_SCALE)} USD in all"
    if notional_uusd >= BOUND:
        bound = f"must have notional_usd of {limit}, not {_grouped(notional_uusd, USD_SCALE)}"
        yield _ACCOUNTS if listed_uusd * 2 > notional_uusd else _COHORTS, bound
    yield from _arrival_totals(cohorts, notional_uusd, limit)
    # What comes in from outside: the largest part is named for the sum.
    deposits = [
        (sum(int(c.notional_uusd / min(c.leverage.low, 1)) for c in cohorts), _COHORTS),
        (sum(holding.collateral_uusd for holding in holdings), _ACCOUNTS),
        (sum(bot.purse_uusd for bot in (keepers.bots if keepers else ())), _BOTS),
        (scenario.venue.fund.initial_uusd, ("venue", "fund", "initial_usd")),
        (sum(b.purse_uusd for b in scenario.venue.fund.backers), ("venue", "fund", "backers")),
        (sum(p.purse_uusd for p in purses_of(scenario.mitigations)), ("mitigations",)),
    ]
    deposited_uusd = sum(amount for amount, _ in deposits)
    if deposited_uusd >= BOUND > notional_uusd:
        total = f"not {_grouped(deposited_uusd, USD_SCALE)}"
        yield max(deposits)[1], f"must leave collateral, purses and fund {limit}, {total}"
    for market in scenario.markets:
        start_e8, book = _start_e8(market.path), market.liquidity
        if not start_e8:
            continue  # A path without knots or bars, refused above.
        bound = f"must make less than {_grouped(BOUND, UNIT_SCALE)} units of {market.name}"
        price = f"at its start price, {_grouped(start_e8, UNIT_SCALE)}"
        drawn_uusd = sum(
            c.notional_uusd * legs_of(c).get(market.name, 0) // RATIO_SCALE for c in cohorts
        )
        drawn_e8 = drawn_uusd * NOTIONAL_DIVISOR // start_e8
        listed_e8 = sum(abs(quantity) for name, quantity, _ in legs if name == market.name)
        if drawn_e8 + listed_e8 >= BOUND:
            where = _ACCOUNTS if listed_e8 > drawn_e8 else _COHORTS
            yield where, f"{bound} of all notional_usd {price}"
        if isinstance(book, PowerBook) and book.depth_uusd * NOTIONAL_DIVISOR // start_e8 >= BOUND:
            yield ("markets", market.name, "liquidity", "depth_usd"), f"{bound} {price}"
        if isinstance(book, PowerBook) and _permanent_sweep(book) > _LOG_SWEEP_LIMIT:
            yield (
                ("markets", market.name, "liquidity", "permanent_share"),
                (
                    "must leave a sweep of the deepest book a permanent move of at most "
                    f"{_LOG_SWEEP_LIMIT:g} in log price, not {_permanent_sweep(book):g}: lower it, "
                    "reach, exponent or the largest multiplier"
                ),
            )


def _permanent_sweep(book: PowerBook) -> float:
    """Return the permanent move of log price when the deepest book of the run is swept at once."""
    share, reach = book.permanent_share_e6 / RATIO_SCALE, book.reach_e6 / RATIO_SCALE
    deepest = max([RATIO_SCALE, *(change.multiplier_e6 for change in book.schedule)]) / RATIO_SCALE
    return float(share * 0.01 * (reach / 0.01) ** book.exponent * deepest)


def _start_e8(path: KnotsPath | GbmPath | FilePath) -> int:
    """Return the price at the start, or the least that it may be; 0 if the path is refused."""
    match path:
        case FilePath(bars=bars):
            if bars is None:
                return 0
            opening, _, low, _ = bars.rows[0]
            return low if bars.first_us else opening
        case KnotsPath():
            return path.knots[0][1] if path.knots else 0
        case GbmPath():
            return path.start_e8
        case _:
            assert_never(path)


def _increasing(path: Path, values: Sequence[int], column: str | int) -> Iterator[Problem]:
    for row, (before, after) in enumerate(pairwise(values), start=1):
        if after <= before:
            yield (*path, row, column), "must be above the one before it"


def _keys(tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the dotted key of every table and value in *tree*; arrays are one value."""
    for key, value in tree.items():
        yield prefix + key
        if isinstance(value, Mapping):
            yield from _keys(value, f"{prefix}{key}.")


def _number(value: int, scale: int) -> str:
    return f"{(Decimal(value) / scale).normalize():f}"


def _grouped(value: int, scale: int) -> str:
    return f"{(Decimal(value) / scale).normalize():,f}"
