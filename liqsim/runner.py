"""From a scenario to a finished run: the only place that wires world, log and processes."""

import hashlib
import math
import platform
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import attrs
import numpy as np
import simpy

from liqsim.errors import ResumeError, ScenarioError
from liqsim.eventlog.baseline import Baseline, logged_references, read_baseline
from liqsim.eventlog.writer import EventLogWriter, Header, OwnerRow, Prices, prices_digest
from liqsim.events import CoinsDeposited, FundsDeposited, MarkFeed, Owner, OwnerKind, PositionOpened
from liqsim.events.schema import FIRST_FREE_OWNER
from liqsim.journal import Journal, Sink
from liqsim.mechanics.arrivals import Reserved
from liqsim.mechanics.branching import Branching, branching_at_start
from liqsim.mechanics.extremes import market_extremes
from liqsim.mechanics.ladder import LadderBook
from liqsim.mechanics.liquidity import FiniteBook, FrictionlessBook, Liquidity
from liqsim.mechanics.listed import due_holdings, refusal_of, short_holdings
from liqsim.mechanics.margin import margin_rules
from liqsim.mechanics.oracle import Feed
from liqsim.mechanics.paths import ReferencePath, reference_path
from liqsim.mechanics.population import Accounts, draw_accounts
from liqsim.mechanics.purged import PurgedPath
from liqsim.processes.commentary import commentary
from liqsim.processes.context import Context, MarketDesk, Process
from liqsim.processes.contributions import Contributions
from liqsim.processes.depth import depth_schedule
from liqsim.processes.funding import funding_schedule
from liqsim.processes.keepers import Keepers
from liqsim.processes.leverage_fees import leverage_fees
from liqsim.processes.maintenance import Maintenance
from liqsim.processes.marks import Marks
from liqsim.processes.reductions import Reductions
from liqsim.processes.traders import Traders
from liqsim.processes.venue import Venue
from liqsim.scenario import Scenario
from liqsim.scenario.mitigations import KeeperReward, LeverageFee, Predictive, Purse, purses_of
from liqsim.scenario.model import Ladder, Market, NoImpact
from liqsim.scenario.model import Oracle as OracleSpec
from liqsim.units import NOTIONAL_DIVISOR, RATIO_SCALE
from liqsim.world.markets import BookState
from liqsim.world.markets import Market as MarketState
from liqsim.world.world import World

__all__ = [
    "Actor",
    "Baseline",
    "Finished",
    "Prepared",
    "Prices",
    "Progress",
    "Simulation",
    "logged_references",
    "prepare",
    "read_baseline",
    "run_to_log",
]

Actor = Callable[[Context], Process]
"""A further process: given the run, it returns what SimPy shall run."""

Progress = Callable[[int, int], None]
"""Called with (simulated microseconds done, all of them)."""

Outlook = Callable[[Sequence[Branching]], None]
"""Called with b of every market and side, before anything happens."""

_PROGRESS_STEPS = 200
_LIBRARIES = ("simpy", "attrs", "numpy", "duckdb", "pyarrow")


@attrs.frozen(eq=False)
class Prepared:
    """
    A scenario with everything drawn that is drawn before the start.

    Attributes:
        scenario: The parameters.
        paths: One path per market: its reference, or its history if the run is to purge it.
        accounts: The accounts at the start.
        due_at_start: How many accounts of a file the first update will liquidate.
    """

    scenario: Scenario
    paths: tuple[ReferencePath, ...]
    accounts: Accounts
    due_at_start: int = 0

    @property
    def first_bucket(self) -> int:
        """Owner number of the first bucket: all others come before."""
        return self.first_purse + len(self.purses)

    @property
    def purses(self) -> tuple[Purse, ...]:
        """The owners that mitigations bring in."""
        return tuple(purses_of(self.scenario.mitigations))

    @property
    def first_purse(self) -> int:
        """Owner number of the first owner that mitigations bring in: they come after backers."""
        return self.first_backer + len(self.scenario.venue.fund.backers)

    @property
    def first_backer(self) -> int:
        """Owner number of the fund's first backer: they come after the keepers, or the desk."""
        has_desk = self.scenario.venue.desk_in_use is not None
        return FIRST_FREE_OWNER + len(self._bots) + has_desk

    @property
    def _bots(self) -> tuple[str, ...]:
        keepers = self.scenario.venue.keepers
        if self.scenario.venue.executor != "keepers" or keepers is None:
            return ()
        return tuple(bot.name for bot in keepers.bots)

    @property
    def reserved(self) -> tuple[Reserved, ...]:
        """The owners that cohorts keep for accounts which arrive: they come after all accounts."""
        numbers = {market.name: number for number, market in enumerate(self.scenario.markets)}
        found, first = [], self.first_bucket + len(self.accounts.names)
        for cohort in self.scenario.population.cohorts:
            if cohort.arrivals_max:
                buckets = range(first, first + cohort.arrivals_max)
                found.append(Reserved(cohort, numbers[cohort.market], buckets))
                first = buckets.stop
        return tuple(found)

    @property
    def owner_count(self) -> int:
        """How many owners there are."""
        return (
            self.first_bucket
            + len(self.accounts.names)
            + sum(len(reserved.buckets) for reserved in self.reserved)
        )

    @property
    def run_id(self) -> str:
        """Identity of the run, from the resolved scenario and the seed."""
        identity = f"{self.scenario.resolved_toml}\n{self.scenario.seed}".encode()
        return hashlib.sha256(identity).hexdigest()[:16]

    def branching(self) -> list[Branching]:
        """Return the branching ratio of every market and side before the start, longs first."""
        scenario, starts = self.scenario, [path.at(0) for path in self.paths]
        return branching_at_start(
            self.accounts,
            scenario.markets,
            [_liquidity(*pair) for pair in zip(scenario.markets, starts, strict=True)],
            [
                BookState(0, 0.0, 0, RATIO_SCALE, _half_life_us(market))
                for market in scenario.markets
            ],
            starts,
            rules=margin_rules(scenario),
            due_at_zero=scenario.venue.due_at_zero,
        )

    def owners(self) -> list[OwnerRow]:
        """Return every owner, by number."""
        rows = [OwnerRow(owner.name.lower(), owner.name.lower()) for owner in Owner]
        rows += [OwnerRow(name, OwnerKind.KEEPER.name.lower()) for name in self._bots]
        desk = self.scenario.venue.desk_in_use
        rows += [OwnerRow(desk.name, OwnerKind.DESK.name.lower())] if desk is not None else []
        backers = self.scenario.venue.fund.backers
        rows += [OwnerRow(backer.name, OwnerKind.BACKER.name.lower()) for backer in backers]
        rows += [OwnerRow(purse.name, purse.kind) for purse in self.purses]
        bucket = OwnerKind.BUCKET.name.lower()
        accounts = self.accounts
        rows += [
            OwnerRow(name, bucket, cohort or None, market_id)
            for name, cohort, market_id in zip(
                accounts.names, accounts.cohorts, accounts.markets_of_accounts(), strict=True
            )
        ]
        rows += [
            OwnerRow(name, bucket, reserved.cohort.name, reserved.market_id)
            for reserved in self.reserved
            for name in reserved.names
        ]
        return rows

    def header(self) -> Header:
        """Return what the log holds before its first event."""
        scenario = self.scenario
        simd = np.show_config(mode="dicts").get("SIMD Extensions", {})
        return Header(
            run_id=self.run_id,
            scenario=scenario.name,
            scenario_toml=scenario.resolved_toml,
            seed=scenario.seed,
            path_mode=scenario.path_mode,
            start_unix_us=scenario.start_unix_us,
            end_us=scenario.end_us,
            owners=self.owners(),
            markets=[market.name for market in scenario.markets],
            coin_markets=scenario.coin_markets,
            prices=[(path.step_us, path.prices_e8) for path in self.paths],
            is_history=scenario.is_purging,
            versions={"liqsim": version("liqsim"), "python": platform.python_version()}
            | {name: version(name) for name in _LIBRARIES},
            cpu_features=" ".join(simd.get("found", [])),
        )


def prepare(scenario: Scenario, references: Sequence[Prices] | None = None) -> Prepared:
    """
    Draw the paths and the accounts of *scenario*.

    Args:
        scenario: The parameters.
        references: The reference prices of its baseline, if it names one.

    Raises:
        ScenarioError: A path or a position leaves the range of the ledger, an account of a file
            is due at the start and the scenario refuses that, or *references* are not those of
            its baseline.
    """
    if (prices_digest(references) if references else "") != scenario.baseline:
        message = (
            f"baseline = {scenario.baseline!r} must be the digest of reference prices that are "
            "given with it: name the baseline's log"
        )
        raise ScenarioError(message)
    paths = (
        tuple(ReferencePath(step_us, prices) for step_us, prices in references)
        if references
        else tuple(
            reference_path(market, seed=scenario.seed, end_us=scenario.end_us)
            for market in scenario.markets
        )
    )
    start_prices, due_at_zero = [path.at(0) for path in paths], scenario.venue.due_at_zero
    rules = margin_rules(scenario)
    accounts = draw_accounts(
        scenario.population,
        scenario.markets,
        start_prices,
        rules=rules,
        seed=scenario.seed,
        due_at_zero=due_at_zero,
    )
    listed = scenario.population.accounts
    if listed is None:
        return Prepared(scenario, paths, accounts)
    due = due_holdings(
        listed.holdings, scenario.markets, start_prices, rules=rules, due_at_zero=due_at_zero
    )
    short = short_holdings(listed.holdings, scenario.markets, rules)
    if (due or short) and listed.due_at_start == "refuse":
        raise ScenarioError(refusal_of(due, short, listed.file))
    return Prepared(scenario, paths, accounts, due_at_start=len(due))


class Simulation:
    """
    One run in memory, recording into any sink.

    Attributes:
        world: Its state.
        journal: Its door.
        context: What its processes see.
        references: The reference path of each market, once it has run.
    """

    references: tuple[ReferencePath, ...]

    def __init__(self, prepared: Prepared, sink: Sink, actors: Sequence[Actor] = ()) -> None:
        scenario = prepared.scenario
        self._prepared = prepared
        env = simpy.Environment(initial_time=0)
        self.world = World(
            prepared.owner_count,
            [_half_life_us(market) for market in scenario.markets],
        )
        self.journal = Journal(self.world, sink, env)  # type: ignore[arg-type]  # Its clock counts integers.
        desks = tuple(
            _desk(number, prepared, state) for number, state in enumerate(self.world.markets)
        )
        self.context = Context(
            env=env,
            scenario=scenario,
            world=self.world,
            journal=self.journal,
            markets=desks,
            first_bucket=prepared.first_bucket,
            reserved=prepared.reserved,
            run_id=prepared.run_id,
        )
        self._actors = actors

    def run(self, progress: Progress | None = None) -> None:
        """Run from the start to the end of the scenario."""
        context, scenario = self.context, self._prepared.scenario
        self._fund_owners()
        self._open_positions()
        venue = self._start_processes()
        end_us, env = scenario.end_us, context.env
        for step in range(1, _PROGRESS_STEPS):
            until = end_us * step // _PROGRESS_STEPS
            if until > env.now:
                env.run(until=until)
                if progress is not None:
                    progress(until, end_us)
        if end_us - 1 > env.now:
            env.run(until=end_us - 1)
        self._last_instant(end_us, venue)
        if progress is not None:
            progress(end_us, end_us)

    def _last_instant(self, end_us: int, venue: Venue) -> None:
        """Run what is due at the last instant before the end, then close the books in it."""
        env = self.context.env
        while env.peek() < end_us:
            env.step()
        venue.close_books()
        for desk in self.context.markets:
            if not desk.state.mark_e8:
                # Nobody in it can have been due: a run that looks calm for the wrong reason.
                self.context.log.warning("no_oracle_update_landed", market=desk.spec.name)
        self.references = tuple(
            desk.path.reference() if isinstance(desk.path, PurgedPath) else desk.path
            for desk in self.context.markets
        )
        for desk, path in zip(self.context.markets, self.references, strict=True):
            self.journal.append(
                market_extremes(
                    desk.market_id, path, desk.state, desk.liquidity.displacement, end_us
                )
            )

    def _fund_owners(self) -> None:
        venue = self._prepared.scenario.venue
        deposits = [(int(Owner.FUND), venue.fund.initial_uusd)]
        if venue.executor == "keepers" and venue.keepers is not None:
            deposits += [
                (FIRST_FREE_OWNER + number, bot.purse_uusd)
                for number, bot in enumerate(venue.keepers.bots)
            ]
        if venue.desk_in_use is not None:
            deposits.append((FIRST_FREE_OWNER, venue.desk_in_use.purse_uusd))
        deposits += [
            (self._prepared.first_backer + number, backer.purse_uusd)
            for number, backer in enumerate(venue.fund.backers)
        ]
        deposits += [
            (self._prepared.first_purse + number, amount)
            for number, purse in enumerate(self._prepared.purses)
            for amount in purse.deposits_uusd
        ]
        rewards = (s for s in self._prepared.scenario.mitigations if isinstance(s, KeeperReward))
        deposits.append((int(Owner.TREASURY), sum(spec.budget_uusd for spec in rewards)))
        for owner_id, amount in deposits:
            if amount:
                self.journal.append(FundsDeposited(owner_id, amount))

    def _open_positions(self) -> None:
        accounts = self._prepared.accounts
        if not accounts.names:
            return
        buckets = np.arange(len(accounts.names)) + self._prepared.first_bucket
        in_usd = (accounts.coins_e8 == 0) | (accounts.collaterals_uusd != 0)
        in_coins = np.flatnonzero(accounts.coins_e8)
        if in_usd.any():
            amounts = accounts.collaterals_uusd[in_usd]
            self.journal.append_many(
                FundsDeposited, {"owner_id": buckets[in_usd], "amount_uusd": amounts}
            )
        if len(in_coins):
            home = accounts.market_ids[np.searchsorted(accounts.rows, in_coins)]
            self.journal.append_many(
                CoinsDeposited,
                {
                    "bucket_id": buckets[in_coins],
                    "market_id": home,
                    "quantity_e8": accounts.coins_e8[in_coins],
                },
            )
        costs = [
            -((-quantity * price) // NOTIONAL_DIVISOR)
            for quantity, price in zip(
                accounts.quantities_e8.tolist(), accounts.entries_e8.tolist(), strict=True
            )
        ]
        self.journal.append_many(
            PositionOpened,
            {
                "bucket_id": accounts.rows + self._prepared.first_bucket,
                "market_id": accounts.market_ids,
                "quantity_e8": accounts.quantities_e8,
                "price_e8": accounts.entries_e8,
                "cost_uusd": np.array(costs, dtype=np.int64),
            },
        )

    def _start_processes(self) -> Venue:
        context, scenario = self.context, self._prepared.scenario
        keepers = None
        if scenario.venue.executor == "keepers" and scenario.venue.keepers is not None:
            keepers = Keepers(context, scenario.venue.keepers.bots, FIRST_FREE_OWNER)
        venue = Venue(context, keepers, FIRST_FREE_OWNER, self._prepared.first_purse)
        if keepers is not None:
            keepers.serve(venue)
        venue.open_books()
        if any(cohort.traders is not None for cohort in scenario.population.cohorts):
            Traders(context, venue).start()
        Contributions(context, self._prepared.first_backer).start()
        for desk, path in zip(context.markets, self._prepared.paths, strict=True):
            marks = Marks(
                context, desk, mark_landed=venue.mark_landed, shadow_landed=venue.shadow_landed
            )
            has_impact = not isinstance(desk.spec.liquidity, NoImpact)
            for kind, spec in _feeds(desk.spec):
                feed = Feed(
                    spec,
                    desk.spec.name,
                    seed=scenario.seed,
                    path=path,
                    end_us=scenario.end_us,
                    market=desk.state,
                    displacement=desk.liquidity.displacement,
                    purged=desk.path if isinstance(desk.path, PurgedPath) else None,
                )
                marks.add(kind, feed, feed.undisplaced() if has_impact else None)
            marks.start()
            context.start(depth_schedule(context, desk))
            Maintenance(context, desk, venue).start()
            context.start(funding_schedule(context, desk, venue))
            self._start_looks(desk, venue)
        for actor in self._actors:
            context.start(actor(context))
        return venue

    def _start_looks(self, desk: MarketDesk, venue: Venue) -> None:
        """Start the mitigations that act on accounts of a market once per period."""
        for number, spec in enumerate(self._prepared.scenario.mitigations):
            if spec.market not in ("", desk.spec.name):
                continue
            if isinstance(spec, LeverageFee):
                self.context.start(leverage_fees(self.context, desk, venue, number, spec))
            if isinstance(spec, Predictive) and not spec.is_scaling:
                Reductions(self.context, desk, venue, number, spec).start()


def _desk(number: int, prepared: Prepared, state: MarketState) -> MarketDesk:
    market, path = prepared.scenario.markets[number], prepared.paths[number]
    liquidity, rule = _liquidity(market, path.at(0)), margin_rules(prepared.scenario)[number]
    if not prepared.scenario.is_purging:
        return MarketDesk(number, market, rule, path, state, liquidity)
    purged = PurgedPath(market.name, path, state, liquidity.displacement)
    return MarketDesk(number, market, rule, purged, state, liquidity)


def _feeds(market: Market) -> list[tuple[MarkFeed, OracleSpec]]:
    """Return what the mark of a market is made of, the oracle first."""
    feeds = [(MarkFeed.ORACLE, market.oracle)]
    if market.samples_book:
        feeds.append((MarkFeed.BOOK, market.mark.book_oracle))
    return feeds


def _half_life_us(market: Market) -> int:
    return 1 if isinstance(market.liquidity, NoImpact) else market.liquidity.half_life_us


def _liquidity(market: Market, start_e8: int) -> Liquidity:
    spec = market.liquidity
    if isinstance(spec, NoImpact):
        return FrictionlessBook()
    if isinstance(spec, Ladder):
        return LadderBook(spec.asks, spec.bids)
    own_uusd = spec.fill_depth_uusd
    return FiniteBook(
        depth_e8=spec.depth_uusd * NOTIONAL_DIVISOR / start_e8,
        exponent=spec.exponent,
        reach=spec.reach_e6 / RATIO_SCALE,
        permanent_share=spec.permanent_share_e6 / RATIO_SCALE,
        fill_depth_e8=math.inf if own_uusd is None else own_uusd * NOTIONAL_DIVISOR / start_e8,
    )


@attrs.frozen
class Finished:
    """
    A finished run.

    Attributes:
        path: Its log.
        digest: Final digest, hex.
        event_count: Events logged.
        wall_seconds: Real time it took.
    """

    path: Path
    digest: str
    event_count: int
    wall_seconds: float


def run_to_log(
    scenario: Scenario,
    path: str | Path,
    *,
    actors: Sequence[Actor] = (),
    progress: Progress | None = None,
    outlook: Outlook | None = None,
    resume: bool = False,
    references: Sequence[Prices] | None = None,
) -> Finished:
    """
    Run *scenario* into a new log at *path*, or finish the interrupted one that is there.

    Before the run *outlook* is told b of every market and side: above 1, what is due feeds itself.
    *references* are the prices that `read_baseline` returns, if the scenario names a baseline.

    Raises:
        ScenarioError: The scenario cannot be run; nothing was written.
        LogError: The log cannot be created.
        ResumeError: Re-execution does not reproduce what was logged.
    """
    started = time.perf_counter()
    prepared = prepare(scenario, references)
    header = prepared.header()
    opener = EventLogWriter.reopen if resume else EventLogWriter.create
    path = Path(path)
    writer = opener(path, header)
    log = commentary(run_id=header.run_id)
    log.info("run_started", scenario=scenario.name, seed=scenario.seed, log=str(path))
    if prepared.due_at_start:
        log.warning("accounts_due_at_start", accounts=prepared.due_at_start)
    try:
        if outlook is not None:
            outlook(prepared.branching())
        simulation = Simulation(prepared, writer, actors)
        simulation.run(progress)
        found = simulation.references if scenario.is_purging else ()
        seconds = time.perf_counter() - started
        writer.seal(seconds, [(path.step_us, path.prices_e8) for path in found])
    except ResumeError:
        writer.close()
        raise
    except BaseException as error:
        # Whatever ended the run, what was appended before it is kept.
        writer.fail(time.perf_counter() - started, f"{type(error).__name__}: {error}")
        raise
    log.info("run_sealed", events=writer.event_count, digest=writer.digest.hex())
    return Finished(path, writer.digest.hex(), writer.event_count, seconds)
