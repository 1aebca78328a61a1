"""
A sink that keeps books of its own and checks every event against them before it is applied.

It posts from the meaning of the fields, works out every decision again with rules written from
their description, and compares its books with the live ledger after every event. It shares no
rule with what it judges.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable
from fractions import Fraction
from typing import Any, Final

import attrs

from liqsim.events import (
    EVENT_CLASSES,
    NO_CAUSE,
    Action,
    AuctionHeld,
    BadDebtRecorded,
    BookSampled,
    CoinHaircutChanged,
    CoinsDeposited,
    CoinsSettled,
    ContributionPaid,
    DecisionRecorded,
    DepthChanged,
    Entry,
    Executor,
    FailedCall,
    FundDrawn,
    FundingIndexMoved,
    FundingPaid,
    FundingSet,
    FundsDeposited,
    FundsWithdrawn,
    InventorySold,
    KeeperCallFailed,
    KeeperRewarded,
    LeverageFeePaid,
    LiquidationEnded,
    LiquidationOutcome,
    LiquidationTriggered,
    LiquidationUnresolved,
    LossSocialised,
    LotOffered,
    MaintenanceChanged,
    MarketExtremes,
    OracleUpdated,
    OrderFilled,
    PenaltyRouted,
    PositionDeleveraged,
    PositionOpened,
    PositionReduced,
    ProfitCut,
    ShadowCrossed,
    ShadowUpdated,
    StakeSlashed,
    Standing,
    SurplusRouted,
    TradeFilled,
    TradeReason,
    TranchesCrossed,
    TrancheSettled,
    TrancheStarted,
    TrancheTakenOver,
    UnresolvedReason,
    UpdateReason,
)
from liqsim.events.mitigation import NOT_OBSERVED
from liqsim.events.schema import columns_of
from liqsim.runner import Actor, Prepared, Simulation
from liqsim.scenario.mitigations import (
    Absorber,
    Backstop,
    BatchAuction,
    Crossing,
    FundLimits,
    LeverageFee,
    MarginScaling,
    Pool,
    Staking,
)
from liqsim.scenario.model import Cohort, Ladder, Leverage, NoImpact, PowerBook, TopUp, Traders
from support.absorbers import Capped, FundJudge
from support.auctions import AuctionJudge
from support.crossings import CrossingJudge
from support.halts import HaltJudge
from support.incentives import Executed, IncentiveJudge
from support.marks import MarkJudge
from support.pacing_judge import PacingJudge
from support.reductions import ReductionJudge
from support.scalings import ScalingJudge
from support.slicing import Asked, SliceJudge

OUTSIDE, MAKERS, FUND, TREASURY, NETWORK, _FIRST_KEEPER = range(6)
_E16: Final = 10**10
"""quantity_e8 x price_e8 per micro-USD."""

_RANGES: Final = {
    cls: tuple((c.field, c.low, c.high) for c in columns_of(cls)) for cls in EVENT_CLASSES
}
_Fill = OrderFilled | InventorySold | TradeFilled | PositionReduced

_WITH_MAKERS: Final = (
    PositionOpened,
    OrderFilled,
    PositionReduced,
    InventorySold,
    FundingPaid,
    TradeFilled,
    CoinsSettled,
)
"""What the makers are paid by, or pay for."""

_WITH_PAYMENTS: Final = (
    SurplusRouted,
    FundDrawn,
    DecisionRecorded,
    CoinsSettled,
    PenaltyRouted,
    KeeperRewarded,
)
"""What may follow an execution before the treasury has paid for it."""

_BEFORE_CROSSINGS: Final = (
    MaintenanceChanged,
    CoinHaircutChanged,
    ContributionPaid,
    ShadowUpdated,
    FundingSet,
    FundingPaid,
    OracleUpdated,
    BookSampled,
    LiquidationTriggered,
    TrancheSettled,
    LiquidationEnded,
    ShadowCrossed,
)
"""What may come between a new mark and the look at the shadow marks: no other account moves."""


_MAY_BE_CAPPED: Final = (
    DecisionRecorded,
    TrancheStarted,
    FundDrawn,
    StakeSlashed,
    ProfitCut,
    FundingIndexMoved,
    LossSocialised,
    BadDebtRecorded,
)
"""What a decision on what the fund may pay may come right before."""

_OF_A_TAKEOVER: Final = (DecisionRecorded, SurplusRouted, FundDrawn, CoinsSettled)
"""What may come between two takeovers ahead of the book."""


@attrs.define
class _Tranche:
    seq: int
    order: int
    limit: int
    nobody_shares: bool = False
    filled: int = 0
    taken: int = 0
    vaulted: int = 0
    deleveraged: int = 0
    crossed: int = 0
    deleverage_price: int = 0
    queue: list[tuple[int, int]] | None = None
    units: int = 0
    mark: int = 0
    is_meeting: bool = False
    asked: set[tuple[int, int]] = attrs.Factory(set)
    ahead: set[int] = attrs.Factory(set)

    @property
    def left(self) -> int:
        done = self.filled + self.taken + self.vaulted + self.deleveraged + self.crossed
        return abs(self.order) - done


@attrs.define
class _Liquidation:
    seq: int
    bucket: int
    market: int
    sizes_at_trigger: dict[int, int]
    triggered_at: int
    count: int = 0
    tranche: _Tranche | None = None
    settled_at: int = -1
    settled_seq: int = -1
    was_cancelled: bool = False


class Auditor:
    """
    Judges one run.

    Attributes:
        entries: Every event so far.
        census: How often each kind, and each rare case by name, was seen.
    """

    def __init__(self, prepared: Prepared) -> None:  # noqa: PLR0915 — one line per thing it follows
        scenario = prepared.scenario
        self.entries: list[Entry] = []
        self.census: Counter[str] = Counter()
        self._prepared = prepared
        self._purged: dict[tuple[int, int], int] = {}
        self._venue = scenario.venue
        self._markets = scenario.markets
        self._end_us = scenario.end_us
        self._first_bucket = prepared.first_bucket
        count = prepared.owner_count
        self._cash = [0] * count
        self._units = [[0] * count for _ in scenario.markets]
        self._coins = [[0] * count for _ in scenario.markets]
        self._coins_owed: list[tuple[int, int, int, int, int]] = []
        self._entry_price: dict[tuple[int, int], int] = {}
        self._desk_due = False
        self._given: defaultdict[int, int] = defaultdict(int)
        self._opened_in: defaultdict[int, list[int]] = defaultdict(list)
        self._marks: list[tuple[int, int, int]] = [(0, NO_CAUSE, 0) for _ in scenario.markets]
        self._unfunded: list[int] = []
        self._runs_ahead: Counter[int] = Counter()
        self._funded_at: dict[int, int] = {}
        self._fundings: Counter[int] = Counter()
        self._first_mark_at: dict[int, int] = {}
        self._indexed: set[int] = set()
        self._judge_of: list[tuple[int, int]] = [(NO_CAUSE, 0) for _ in scenario.markets]
        self._mark_judges = [MarkJudge(market.mark, self.census) for market in scenario.markets]
        self._halts = HaltJudge(
            scenario, self.census, lambda: self._cash[FUND], self._price_in_book
        )
        self._depths_e6 = [10**6] * len(scenario.markets)
        self._shadow_marks = [0] * len(scenario.markets)
        self._shadow_judge_of = [NO_CAUSE] * len(scenario.markets)
        self._multipliers_e6 = [10**6] * len(scenario.markets)
        self._coin_haircuts_e6 = [self._venue.margin.coin_haircut_e6] * len(scenario.markets)
        self._changes = {
            (number, change.at_us): change.multiplier_e6
            for number, market in enumerate(scenario.markets)
            for change in market.maintenance_changes
        }
        self._moved: dict[int, None] = {}
        self._released: set[int] = set()
        self._crossed: set[int] = set()
        self._pending: dict[int, tuple[int, int, dict[int, int]]] = {}
        self._has_traded = [False for _ in scenario.markets]
        self._open: dict[int, _Liquidation] = {}
        self._by_seq: dict[int, _Liquidation] = {}
        self._tranches: dict[int, tuple[_Liquidation, _Tranche]] = {}
        self._bad_debt: defaultdict[int, int] = defaultdict(int)
        self._owed: list[tuple[type[Any], int, int, int]] = []
        self._judged: tuple[int, int] | None = None
        self._last_judged: tuple[Fraction, int] | None = None
        self._live_before = (0, 0)
        self._beyond_bankruptcy = False
        self._settled_at: dict[int, int] = {}
        self._free_at = 0
        self._maybe_free_at: list[int] = []
        self._order: tuple[int, int] | None = None
        self._most_held: defaultdict[tuple[int, int], int] = defaultdict(int)
        self._sells_from: dict[tuple[int, int], int] = {}
        self._left_at: dict[int, tuple[int, int]] = {}
        fund = scenario.venue.fund
        names = [backer.name for backer in fund.backers]
        self._first_backer = prepared.first_bucket - len(names) - len(prepared.purses)
        self._purses: defaultdict[int, list[int]] = defaultdict(list)
        for owner, purse in enumerate(prepared.purses, self._first_backer + len(names)):
            self._purses[purse.mitigation_id].append(owner)
        stocked = {
            owners[0]: spec
            for number, owners in self._purses.items()
            if isinstance(spec := scenario.mitigations[number], Absorber)
        }
        self._vaults = {o: spec for o, spec in stocked.items() if isinstance(spec, Backstop | Pool)}
        self._bidders = {o: s for o, s in stocked.items() if isinstance(s, BatchAuction)}
        self._ahead_of: _Tranche | None = None
        self._absorbs: tuple[int, int, int] | None = None
        self._rules_of_backers = [*fund.contributions, *fund.top_ups]
        self._backer_of = [
            self._first_backer + names.index(r.backer) for r in self._rules_of_backers
        ]
        self._paid_by_rule: dict[int, list[int]] = {}
        self._below_since: dict[int, int] = {}
        self._newest_draw = NO_CAUSE
        self._shares: tuple[int, type[Any], list[Any]] | None = None
        self._now = 0
        self._mitigations = scenario.mitigations
        names_of_markets = [market.name for market in scenario.markets]
        self._fund_judge = FundJudge(scenario.mitigations, names_of_markets)
        self._caps: list[tuple[DecisionRecorded, int]] = []
        self._cuts_due: list[Capped] = []
        self._hole_paid = NO_CAUSE
        self._rules: dict[type[Any], Callable[[Entry, Any], None]] = {
            FundsDeposited: self._deposited,
            PositionOpened: self._opened,
            DepthChanged: self._depth_changed,
            MaintenanceChanged: self._maintenance_changed,
            CoinHaircutChanged: self._coin_haircut_changed,
            OracleUpdated: self._index_landed,
            BookSampled: self._book_sampled,
            FundingSet: self._funding_set,
            FundingPaid: self._funding_paid,
            ShadowUpdated: self._shadow_moved,
            ShadowCrossed: self._shadow_crossed,
            LiquidationTriggered: self._triggered,
            TrancheStarted: self._started,
            OrderFilled: self._filled,
            TrancheTakenOver: self._taken_over,
            TranchesCrossed: self._tranches_crossed,
            KeeperCallFailed: self._call_failed,
            InventorySold: self._sold,
            SurplusRouted: self._surplus,
            FundDrawn: self._drawn,
            PositionDeleveraged: self._deleveraged,
            ProfitCut: self._profit_cut,
            LossSocialised: self._loss_socialised,
            FundingIndexMoved: self._index_moved,
            BadDebtRecorded: self._bad_debt_recorded,
            ContributionPaid: self._contribution_paid,
            TrancheSettled: self._settled,
            LiquidationEnded: self._ended,
            LiquidationUnresolved: self._unresolved,
            MarketExtremes: self._extremes,
            TradeFilled: self._traded,
            FundsWithdrawn: self._withdrawn,
            CoinsDeposited: self._coins_deposited,
            CoinsSettled: self._coins_settled,
            DecisionRecorded: self._decided,
            LeverageFeePaid: self._leverage_fee_paid,
            PositionReduced: self._position_reduced,
            StakeSlashed: self._stake_slashed,
            PenaltyRouted: self._penalty_routed,
            KeeperRewarded: self._keeper_rewarded,
            AuctionHeld: self._auction_held,
            LotOffered: self._lot_offered,
        }
        self._incentives = IncentiveJudge(prepared, self.census)
        self._pacing = PacingJudge(scenario, self.census)
        self._slicing = SliceJudge(scenario, self)
        self._crossings = CrossingJudge(scenario, self.census, self._meetable)
        self._auctions = AuctionJudge(scenario, self.census, self._meetable)
        self._meets: list[tuple[int, int, bool]] = []
        self._asker = NO_CAUSE
        self._auction_seq = NO_CAUSE
        self._traders: dict[int, Traders] = {}
        self._leverages: dict[int, Leverage] = {}
        first = prepared.first_bucket
        for cohort in scenario.population.cohorts:
            if cohort.traders is not None:
                for bucket in range(first, first + cohort.accounts):
                    self._traders[bucket] = cohort.traders
                    self._leverages[bucket] = cohort.leverage
            first += cohort.accounts
        self._vacant: dict[int, list[int]] = {}
        self._cohort_of: dict[int, Cohort] = {}
        self._values: defaultdict[str, list[int]] = defaultdict(list)
        first = prepared.first_bucket + len(prepared.accounts.names)
        for cohort in scenario.population.cohorts:
            arrivals = cohort.traders.arrivals if cohort.traders is not None else None
            free = list(range(first, first + (arrivals.accounts_max if arrivals else 0)))
            first += len(free)
            for bucket in free:
                assert cohort.traders is not None
                self._vacant[bucket] = free
                self._cohort_of[bucket] = cohort
                self._traders[bucket] = cohort.traders
                self._leverages[bucket] = cohort.leverage
        self._top_ups: Counter[int] = Counter()
        self._leaver: tuple[int, int] | None = None
        self._must_act: dict[int, tuple[int, str]] = {}
        self._returned: set[int] = set()
        self._back: tuple[int, int, int] | None = None
        self._first_position: dict[int, tuple[int, int]] = {}
        self._collateral: dict[int, int] = {}
        self._scalings = ScalingJudge(scenario, self, self.census)
        self._reductions = ReductionJudge(scenario, self, self.census)

    def watch(self, simulation: Simulation) -> None:
        """Name the run whose ledger is compared."""
        self._simulation = simulation
        self._ledger = simulation.world.ledger
        self._slicing.watch(simulation)

    # The sink -------------------------------------------------------------------------------------

    def recorder_of(self, cls: type[Any]) -> Callable[[int, int, int, Any], None]:
        def record(seq: int, at_us: int, cause_seq: int, event: Any) -> None:
            self.compare()
            self._admit(Entry(seq, at_us, cause_seq, event))

        return record

    def record_many(
        self, cls: type[Any], first_seq: int, sim_time_us: int, cause_seq: int, columns: Any
    ) -> None:
        self.compare()
        names = [column.field for column in columns_of(cls)]
        rows = zip(*(columns[name].tolist() for name in names), strict=True)
        for offset, row in enumerate(rows):
            self._admit(Entry(first_seq + offset, sim_time_us, cause_seq, cls(*row)))

    def compare(self) -> None:
        """Compare the live ledger with these books, as of the last event."""
        cash = self._ledger.cash.tolist()
        units = self._ledger.units.tolist()
        last = self.entries[-1].event if self.entries else None
        assert cash == self._cash, last
        assert units == self._units, last
        assert self._ledger.coins.tolist() == self._coins, last
        assert all(sum(line) == 0 for line in self._coins)
        assert all(min(line[self._first_bucket :], default=0) >= 0 for line in self._coins), last
        assert sum(cash) == 0
        assert all(sum(line) == 0 for line in units)
        assert all(purse >= 0 for purse in cash[FUND : self._first_bucket]), last
        if last is not None:
            outside, makers = self._live_before
            assert cash[OUTSIDE] == outside or isinstance(last, FundsDeposited | FundsWithdrawn)
            assert cash[MAKERS] == makers or isinstance(last, _WITH_MAKERS)
        self._live_before = cash[OUTSIDE], cash[MAKERS]

    def _admit(self, entry: Entry) -> None:  # noqa: PLR0915 — one line per judge
        event = entry.event
        self._now = entry.sim_time_us
        before = self.entries[-1] if self.entries else None
        assert entry.seq == len(self.entries)
        assert NO_CAUSE <= entry.cause_seq < entry.seq or entry.cause_seq == NO_CAUSE
        assert (before.sim_time_us if before else 0) <= entry.sim_time_us < self._end_us
        assert type(entry.sim_time_us) is int
        for field, low, high in _RANGES[type(event)]:
            assert low <= getattr(event, field) <= high, f"{field} of {event}"
        assert not self._caps or isinstance(event, _MAY_BE_CAPPED), self._caps
        if self._ahead_of is not None:
            self._no_pool_was_passed_over(event)
        assert not self._desk_due or isinstance(event, TrancheTakenOver), "the desk must take it"
        if self._owed:
            cls, bucket, amount, cause = self._owed.pop(0)
            assert (type(event), entry.cause_seq) == (cls, cause)
            assert (event.bucket_id, event.amount_uusd) == (bucket, amount)  # type: ignore[union-attr]
        else:
            assert not isinstance(event, SurplusRouted), event
            assert not isinstance(event, FundDrawn) or self._is_for_a_hole(entry, event), event
            if self._coins_owed:
                assert isinstance(event, CoinsSettled), self._coins_owed
        assert not self._unfunded or isinstance(event, FundingPaid), self._unfunded
        if not isinstance(event, LiquidationTriggered | FundingPaid):
            self._nobody_else_is_due()
        assert self._leaver is None or isinstance(event, FundsWithdrawn)
        assert self._back is None or isinstance(event, TradeFilled)
        is_later = before is not None and before.sim_time_us < entry.sim_time_us
        if is_later or not isinstance(event, _BEFORE_CROSSINGS):
            self._nobody_else_has_crossed()
        if is_later:
            self._released.clear()
            self._nobody_forgot_to_act_before(entry.sim_time_us)
        self._no_payment_was_due_before(entry.sim_time_us)
        self._scalings.look(entry)
        self._reductions.look(entry)
        if not isinstance(event, _WITH_PAYMENTS):
            self._incentives.settled()
        if self._shares is not None and type(event) is not self._shares[1]:
            assert not self._shares[2], f"{self._shares[2][0]} is missing before {event}"
            self._shares = None
        is_mitigated = bool(self._prepared.scenario.mitigations)
        if is_mitigated:
            self._halts.before(entry, lambda market, bucket: self._units[market][bucket])
        self.entries.append(entry)
        self.census[type(event).TAG] += 1
        self._rules[type(event)](entry, event)
        if is_mitigated:
            self._halts.after(entry)
        is_slice = isinstance(event, TrancheStarted) and not event.executor.is_meeting
        self._desk_due = is_slice and self._desk_share(event)[0] > 0
        self._note_fund(entry.sim_time_us)

    def _price_in_book(self, market: int, at: int) -> int:
        """Return the live market's price, before the event that is recorded."""
        desk = self._simulation.context.markets[market]
        moved = desk.liquidity.displacement(desk.state.book, at)
        return round(desk.path.at(at) * math.exp(moved))

    def _is_for_a_hole(self, entry: Entry, event: FundDrawn) -> bool:
        """Return whether the fund fills what rounding left of a bucket without a position."""
        cash, tranche = self._cash[event.bucket_id], event.tranche_seq
        cause = self.entries[entry.cause_seq]
        return (
            not self._legs(event.bucket_id)
            and event.amount_uusd
            == min(-cash, self._can_pay(self._market_of_tranche(event), event.bucket_id))
            and tranche in (cause.seq, cause.cause_seq)
        )

    # What limits the fund -------------------------------------------------------------------------

    def _slice_of(self, bucket: int) -> int:
        tranche = self._open[bucket].tranche if bucket in self._open else None
        return NO_CAUSE if tranche is None else tranche.seq

    def _can_pay(self, market: int, bucket: int) -> int:
        tranche = self._slice_of(bucket)
        return self._fund_judge.can_pay(self._now, market, tranche, self._cash[FUND])

    def _binding(
        self, market: int, bucket: int, wanted: int, binds: Callable[[int], bool]
    ) -> list[Capped]:
        tranche = self._slice_of(bucket)
        return self._fund_judge.binding(self._now, market, tranche, wanted, binds)

    def _fund_limited(self, entry: Entry, event: DecisionRecorded) -> None:
        assert event.action is Action.CAPPED
        if not self._cuts_due:
            self._caps.append((event, entry.cause_seq))
            return
        said = (
            event.mitigation_id,
            event.used_uusd,
            event.paid_uusd,
            event.amount_uusd,
            event.wanted_uusd,
        )
        assert said == self._cuts_due.pop(0)
        execution = self.entries[entry.cause_seq].event
        assert event.market_id == self._market_of_tranche(execution)
        self.census["fund capped: a fill"] += 1

    def _caps_are(
        self,
        bucket: int,
        market: int,
        cause: int,
        wanted: int,
        binds: Callable[[int], bool],
        what: str,
    ) -> None:
        """Check the decisions on what the fund may pay that come right before this."""
        noted, self._caps = self._caps, []
        right = self._binding(market, bucket, wanted, binds)
        assert right == [
            (e.mitigation_id, e.used_uusd, e.paid_uusd, e.amount_uusd, e.wanted_uusd)
            for e, _ in noted
        ]
        for event, cause_seq in noted:
            assert (event.bucket_id, event.market_id, cause_seq) == (bucket, market, cause)
            self.census[f"fund capped: {what}"] += 1

    def _hole_is_the_funds_first(self, event: Any) -> None:
        """Check that the fund has paid what it can of a hole before anyone else pays."""
        if self._hole_paid == event.tranche_seq:
            return
        bucket, market = event.bucket_id, self._market_of_tranche(event)
        wanted = min(-self._cash[bucket], self._cash[FUND])
        self._caps_are(
            bucket, market, event.tranche_seq, wanted, lambda most: most < wanted, "a hole"
        )
        assert self._can_pay(market, bucket) == 0, "others pay while the fund can"
        self._hole_paid = event.tranche_seq

    # Books ----------------------------------------------------------------------------------------

    def _pay(self, payer: int, payee: int, amount: int) -> None:
        if amount:
            self._balances_moved(payer, payee)
        self._cash[payer] -= amount
        self._cash[payee] += amount

    def _trade(self, taker: int, other: int, event: Any) -> None:
        quantity, price = event.quantity_e8, event.price_e8
        cost = -(-quantity * price // _E16)
        assert event.cost_uusd == cost, event
        self._balances_moved(taker, other)
        self._units[event.market_id][taker] += quantity
        self._units[event.market_id][other] -= quantity
        self._pay(taker, other, cost)

    def _balances_moved(self, *owners: int) -> None:
        for owner in owners:
            if owner in self._crossed:
                self._crossed.remove(owner)
                self.census["averted"] += 1

    def _legs(self, bucket: int) -> list[int]:
        return [market for market, units in enumerate(self._units) if units[bucket]]

    def _is_cross(self, bucket: int) -> bool:
        return len(self._opened_in[bucket]) > 1

    def _restored_margin(self, bucket: int) -> Fraction:
        """Return the margin by which a liquidation ends, in USD, exact."""
        tranches = self._venue.tranches
        return self._margin(
            bucket, tranches.restore_buffer_e6, of_initial=tranches.restore_to == "initial"
        )

    def _margin(self, bucket: int, buffer_e6: int = 0, *, of_initial: bool = False) -> Fraction:
        """Return cash plus values less maintenance, in USD, exact."""
        total = Fraction(self._cash[bucket], 10**6)
        for market in self._legs(bucket):
            mark, _, _ = self._marks[market]
            total += Fraction(self._units[market][bucket] * mark, 10**16)
            in_coins = Fraction(self._coins[market][bucket] * mark, 10**16)
            total += in_coins * (1 - Fraction(self._coin_haircuts_e6[market], 10**6))
            total -= self._unrealised_cut(market, bucket)
        asked = sum(
            (self._maintenance_of(m, bucket, of_initial=of_initial) for m in self._legs(bucket)),
            Fraction(0),
        )
        return total - asked * (1 + Fraction(buffer_e6, 10**6))

    def _counted_price(self, market: int, bucket: int) -> int:
        """Return the price at which maintenance counts a leg."""
        return self._counted_at(market, bucket, self._marks[market][0])

    def _counted_at(self, market: int, bucket: int, price: int) -> int:
        """Return the price that makes dollars of a leg: inverse contracts are dollars already."""
        is_inverse = self._markets[market].contract == "inverse"
        return self._entry_price[market, bucket] if is_inverse else price

    def _unrealised_cut(self, market: int, bucket: int) -> Fraction:
        """Return what does not count of the profit of a leg, in USD."""
        gained = self._marks[market][0] - self._entry_price[market, bucket]
        share = Fraction(self._venue.margin.unrealised_haircut_e6, 10**6)
        return max(share * Fraction(gained * self._units[market][bucket], 10**16), Fraction(0))

    def _maintenance(self, bucket: int) -> Fraction:
        return sum((self._maintenance_of(m, bucket) for m in self._legs(bucket)), Fraction(0))

    def _maintenance_of(
        self, market: int, bucket: int, less: int = 0, *, of_initial: bool = False
    ) -> Fraction:
        size = abs(self._units[market][bucket]) - less
        tiers = self._tiers(market, of_initial=of_initial)
        if self._markets[market].maintenance_usd:
            left = Fraction(size * self._counted_price(market, bucket), 10**16)
            asked = Fraction(0)
            for start, rate in reversed(tiers):  # From the top: each tier takes what is above it.
                above = max(left - Fraction(start, 10**6), Fraction(0))
                asked += above * Fraction(int(rate), 10**6)
                left -= above
            return asked
        ends = [*(start for start, _ in tiers[1:]), max(size, tiers[-1][0])]
        asked = sum(
            Fraction(max(min(size, end) - start, 0) * rate, 10**14)
            for (start, rate), end in zip(tiers, ends, strict=True)
        )
        return asked * Fraction(self._marks[market][0], 10**8)

    def _tiers(self, market: int, *, of_initial: bool = False) -> list[tuple[int, int]]:
        """Return the tiers in force, every rate rounded up."""
        factor, spec = Fraction(self._multipliers_e6[market], 10**6), self._markets[market]
        tiers = self._tiers_at_start(market)
        if of_initial:
            tiers = spec.initial or spec.initial_usd
        return [(start, -(-rate * factor // 1)) for start, rate in tiers]

    def _tiers_at_start(self, market: int) -> Any:
        return self._markets[market].maintenance or self._markets[market].maintenance_usd

    def _scaled(
        self,
        cash: int,
        legs: Any,
        prices: Any,
        *,
        of_start: bool = False,
        first_tier_only: bool = False,
        haircut_e6: int | None = None,
    ) -> int:
        """Return a margin in USD x 1e-22: tier by tier, the rate's step on what lies above."""
        if haircut_e6 is None:
            haircut_e6 = self._venue.margin.unrealised_haircut_e6
        margin = cash * 10**16
        for leg, (quantity, entry, coins) in legs.items():
            tiers = self._tiers_at_start(leg) if of_start else self._tiers(leg)
            before, price = 0, prices[leg]
            cuts = [self._venue.margin.coin_haircut_e6, self._coin_haircuts_e6[leg]]
            margin += coins * price * (10**6 - cuts[not of_start])
            counted = entry if self._markets[leg].contract == "inverse" else price
            for start, rate in tiers[:1] if first_tier_only else tiers:
                if self._markets[leg].maintenance_usd:
                    margin -= (rate - before) * max(abs(quantity) * counted - start * _E16, 0)
                else:
                    margin -= price * (rate - before) * max(abs(quantity) - start, 0)
                before = rate
            margin += price * quantity * 10**6
            margin -= haircut_e6 * max(quantity * (price - entry), 0)
        return margin

    def _held(self, bucket: int) -> dict[int, tuple[int, int, int]]:
        """Return units, entry price and coins of every leg."""
        return {
            leg: (
                self._units[leg][bucket],
                self._entry_price[leg, bucket],
                self._coins[leg][bucket],
            )
            for leg in self._legs(bucket)
        }

    def _backing(self, market: int, bucket: int, price: int) -> int:
        """
        Return the cash behind one leg, in whole micro-USD: the others count at their marks.

        Coins count at the price, also rounded down.
        """
        worth = Fraction(self._cash[bucket] + self._coins[market][bucket] * price // _E16)
        for other in self._legs(bucket):
            if other != market:
                worth += Fraction(self._units[other][bucket] * self._marks[other][0], _E16)
        return worth // 1

    def _is_due(self, margin: Fraction) -> bool:
        return margin < 0 or (margin == 0 and self._venue.due_at_zero)

    def _bankruptcy(self, market: int, bucket: int) -> int:
        price = self._ruin(market, bucket)
        return price if price < 10**18 else 0

    def _ruin(self, market: int, bucket: int) -> int:
        exposed = self._units[market][bucket] + self._coins[market][bucket]
        if not exposed:
            return 0
        price = Fraction(-self._backing(market, bucket, 0) * _E16, exposed)
        return max(-(-price.numerator // price.denominator) if exposed > 0 else int(price // 1), 0)

    def _limit(
        self, market: int, bucket: int, size: int, closed: int = 0, can_pay: int | None = None
    ) -> int:
        held = self._units[market][bucket]
        exposed = held + self._coins[market][bucket]
        if held < 0 <= exposed:
            return 10**18 - 1
        # The share closed x (cash + exposed x price) may fall to minus what the fund can pay.
        share = Fraction(closed or size, abs(held))
        most = self._can_pay(market, bucket) if can_pay is None else can_pay
        fund = int(most * _E16 / (share * abs(exposed)) // 1)
        worst = self._ruin(market, bucket) + (-fund if held > 0 else fund)
        return min(max(worst, 1), 10**18 - 1)

    def _base(self, market: int, bucket: int, units: int, mark: int) -> int:
        """Return the order that closes *units* of a position at a mark."""
        if self._markets[market].contract != "inverse":
            return units
        return -(-units * self._entry_price[market, bucket] // mark)

    def _closing(self, tranche: _Tranche, market: int, size: int) -> int:
        """Return the contract units that part of a slice closes."""
        if self._markets[market].contract != "inverse":
            return size
        return tranche.units * size // tranche.left

    def _owe_coins(self, market: int, bucket: int, closed: int, price: int, cause: int) -> None:
        """Note what must be left of an inverse position once *closed* units of it are."""
        held, entered = self._units[market][bucket], self._entry_price[market, bucket]
        signed = closed if held < 0 else -closed
        cash = self._cash[bucket] + -signed * entered // _E16
        left = held + signed
        self._coins_owed.append((bucket, left, cash if left else 0, price, cause))

    def _nobody_else_is_due(self) -> None:
        """Judge every bucket that the mark that came last concerns, one at a time."""
        if self._judged is None:
            return
        market, _ = self._judged
        has_all_marks = all(mark for mark, _, _ in self._marks)
        for bucket, opened_in in self._opened_in.items():
            legs = self._legs(bucket)
            if bucket in self._open or market not in legs:
                continue
            if len(opened_in) > 1 and not has_all_marks:
                continue
            marks = [mark for mark, _, _ in self._marks]
            margin = self._scaled(self._cash[bucket], self._held(bucket), marks)
            assert margin > 0 or (margin == 0 and not self._venue.due_at_zero), bucket
        at = self.entries[self._judged[1]].sim_time_us
        self._judged = self._last_judged = None
        self._note_near(market, at)

    def _note_near(self, market: int, at: int) -> None:
        """Note who must act, and when, where all of a cohort do the same after one time."""
        for bucket, terms in self._traders.items():
            near, law = terms.near, terms.reaction
            if near is None or law.median_us != law.p99_us or market not in self._legs(bucket):
                continue
            if terms.stop is not None or terms.relever is not None:
                continue  # It may be reacting to that.
            if bucket in self._open or bucket in self._must_act:
                continue
            shares = near.top_up_share_e6, near.reduce_share_e6, near.close_share_e6
            habit = dict(zip(shares, ("tops up", "reduces", "closes"), strict=True)).get(10**6)
            if habit is None or (habit == "tops up" and self._top_ups[bucket] >= near.top_up_times):
                continue
            if self._is_due(self._above(bucket, near.alert_buffer_e6)):
                self._must_act[bucket] = at + max(law.median_us, 1), habit

    def _nobody_forgot_to_act_before(self, at: int) -> None:
        for bucket, (then, habit) in list(self._must_act.items()):
            if then >= at:
                continue
            del self._must_act[bucket]
            near = self._traders[bucket].near
            assert near is not None
            if bucket in self._open or not self._legs(bucket):
                self.census["liquidated before reacting"] += 1
            elif self._is_due(self._above(bucket, near.alert_buffer_e6)):
                assert habit != "tops up", bucket
                self.census["near, and no order filled"] += 1
            else:
                self.census["restored before reacting"] += 1

    def _nobody_else_has_crossed(self) -> None:
        """Judge everyone at the shadow marks, one at a time, if one of them has moved."""
        moved, self._moved = self._moved, {}
        if not moved:
            return
        live = {
            bucket: (self._cash[bucket], self._held(bucket))
            for bucket in self._opened_in
            if not {bucket} & (self._open.keys() | self._crossed | self._released)
        }
        stood = {seq: (cash, held) for seq, (_, cash, held) in self._pending.items()}
        for cash, held in (*live.values(), *stood.values()):
            if not moved.keys() & held.keys():
                continue
            if len(held) > 1 and not all(self._shadow_marks):
                continue
            margin = self._scaled(cash, held, self._shadow_marks)
            assert margin > 0 or (margin == 0 and not self._venue.due_at_zero), held

    # Rules, one per kind --------------------------------------------------------------------------

    def _deposited(self, entry: Entry, event: FundsDeposited) -> None:
        if entry.sim_time_us:
            if event.owner_id in self._open:
                (home,), judge = self._legs(event.owner_id), self._halts
                is_held = judge.is_halted(home, entry.sim_time_us)
                assert is_held or judge.in_grace(home, entry.sim_time_us), "acts in a liquidation"
                assert self._open[event.owner_id].tranche is None
                self.census["topped up while held back"] += 1
            if entry.cause_seq == NO_CAUSE:
                self._arrives(entry, event)
            elif isinstance(self.entries[entry.cause_seq].event, LiquidationEnded):
                self._paid_in(entry, event)
            else:
                self._topped_up(entry, event)
        else:
            assert entry.cause_seq == NO_CAUSE
        self._pay(OUTSIDE, event.owner_id, event.amount_uusd)
        self._given[event.owner_id] += event.amount_uusd

    def _coins_deposited(self, entry: Entry, event: CoinsDeposited) -> None:
        assert (entry.sim_time_us, entry.cause_seq) == (0, NO_CAUSE)
        assert self._cash[event.bucket_id] == self._coins[event.market_id][event.bucket_id] == 0
        assert event.quantity_e8 > 0
        self._coins[event.market_id][event.bucket_id] += event.quantity_e8
        self._coins[event.market_id][OUTSIDE] -= event.quantity_e8

    def _coins_settled(self, entry: Entry, event: CoinsSettled) -> None:
        account, market, price = event.account_id, event.market_id, event.price_e8
        units, coins = self._units[market][account], self._coins[market][account]
        cash = self._cash[account]
        if self._coins_owed:
            owed = self._coins_owed.pop(0)
            self.census["settled in coins"] += 1
        else:
            assert units == 0, "it has a position"
            assert cash < 0 < coins, "nothing is owed that coins can pay"
            before = self.entries[entry.cause_seq]
            of_other = isinstance(before.event, PositionDeleveraged)
            assert of_other or before.seq == event.tranche_seq
            owed = account, 0, 0, self._marks[market][0], before.seq
            self.census["debt of a deleveraged one paid in coins"] += of_other
            self.census["debt paid in coins"] += 1
        assert (account, price, entry.cause_seq) == (owed[0], *owed[3:])
        assert event.market_id == self._market_of_tranche(event)
        after = units + event.units_e8, coins + event.coins_e8, cash + event.amount_uusd
        assert after[0] == owed[1]
        missing = owed[2] - after[2]
        assert after[1] >= 0
        if missing > 0:
            assert after[1] == 0, "coins could pay what is missing"
            self.census["coins did not suffice"] += 1
        else:
            assert missing == 0 or after[1] == 0
        # Equity at the price goes to nobody, but for less than a coin's unit and a micro-USD.
        given = (event.units_e8 + event.coins_e8) * price + event.amount_uusd * _E16
        assert -max(price, _E16) < given <= _E16
        self.census["a micro-dollar for nothing"] += given > 0
        self._balances_moved(account)
        for line, change in ((self._units, event.units_e8), (self._coins, event.coins_e8)):
            line[market][account] += change
            line[market][MAKERS] -= change
        self._pay(MAKERS, account, event.amount_uusd)

    def _opened(self, entry: Entry, event: PositionOpened) -> None:
        assert (entry.sim_time_us, entry.cause_seq) == (0, NO_CAUSE)
        assert event.market_id not in self._opened_in[event.bucket_id]
        self._opened_in[event.bucket_id].append(event.market_id)
        self._entry_price[event.market_id, event.bucket_id] = event.price_e8
        self._first_position[event.bucket_id] = event.quantity_e8, event.price_e8
        self._collateral[event.bucket_id] = self._cash[event.bucket_id]
        self._trade(event.bucket_id, MAKERS, event)
        if self._tiers(event.market_id, of_initial=True):
            self._pays_initial_margin(event.bucket_id)

    def _pays_initial_margin(self, bucket: int) -> None:
        """Check that what a bucket was given is enough for the positions it has opened."""
        accounts, asked = self._prepared.accounts, Fraction(0)
        for market in self._opened_in[bucket]:
            entered = self._entry_price[market, bucket]
            asked += self._initial_margin(market, abs(self._units[market][bucket]), entered)
        row = bucket - self._first_bucket
        given, spec = Fraction(self._given[bucket], 10**6), self._prepared.scenario.population
        home = self._opened_in[bucket][0]
        coins = self._coins[home][bucket] * self._entry_price[home, bucket]
        given += Fraction(coins // _E16, 10**6)
        if accounts.cohorts[row] or (spec.accounts and spec.accounts.due_at_start == "refuse"):
            assert given >= asked, bucket
        slack = Fraction(len(self._opened_in[bucket]), 10**6)
        self.census["opened with no more than initial margin"] += asked <= given < asked + slack

    def _initial_margin(self, market: int, size_e8: int, price_e8: int) -> Fraction:
        """Return what a market asks of who opens a position, in USD."""
        left, price, scale = Fraction(size_e8, 10**8), Fraction(price_e8, 10**8), 10**8
        if self._markets[market].initial_usd:
            left, price, scale = left * price, Fraction(1), 10**6
        asked = Fraction(0)
        for start, rate in reversed(self._tiers(market, of_initial=True)):
            above = max(left - Fraction(start, scale), Fraction(0))
            asked += above * price * Fraction(int(rate), 10**6)
            left -= above
        return asked

    def _acts(self, entry: Entry, bucket: int) -> Traders:
        """Check that an account may act now, in time, and return by which terms."""
        terms, cause = self._traders[bucket], self.entries[entry.cause_seq]
        assert isinstance(
            cause.event,
            OracleUpdated | BookSampled | MaintenanceChanged | CoinHaircutChanged | FundingSet,
        )
        assert [cause.event.market_id] == self._opened_in[bucket]
        must = self._must_act.pop(bucket, None)
        assert must is None or must[0] == entry.sim_time_us
        waited, law = entry.sim_time_us - cause.sim_time_us, terms.reaction
        assert waited >= 1
        if law.median_us == law.p99_us:
            assert waited == max(law.median_us, 1)
        return terms

    def _above(self, bucket: int, buffer_e6: int) -> Fraction:
        """Return cash and value less (1 + buffer) x maintenance, whose units are rounded up."""
        (market,) = self._legs(bucket)
        mark, _, _ = self._marks[market]
        if self._markets[market].maintenance_usd or self._venue.margin.unrealised_haircut_e6:
            return self._margin(bucket, buffer_e6)
        asked = self._maintenance(bucket) / Fraction(mark, 10**8)
        raised = Fraction(-(-asked * (10**6 + buffer_e6) * 10**8 // 1), 10**14)
        return self._margin(bucket) + (asked - raised) * Fraction(mark, 10**8)

    def _paid_in(self, entry: Entry, event: FundsDeposited) -> None:
        """Check who comes back, when, and that it does so once; its opening must follow."""
        bucket, law = event.owner_id, self._traders[event.owner_id].returns
        ended = self.entries[entry.cause_seq]
        assert law is not None
        assert isinstance(ended.event, LiquidationEnded)
        assert ended.event.bucket_id == bucket
        assert ended.event.outcome is LiquidationOutcome.CLOSED
        assert ended.event.cash_uusd >= 0
        assert entry.cause_seq not in self._returned
        self._returned.add(entry.cause_seq)
        assert not self._legs(bucket)
        windows = [(start, end) for start, end in law.windows if start <= entry.sim_time_us < end]
        assert windows or not law.windows
        waited = entry.sim_time_us - ended.sim_time_us
        assert waited >= 1
        if law.delay.median_us == law.delay.p99_us:
            assert waited == max(law.delay.median_us, 1) or (
                windows and windows[0][0] == entry.sim_time_us
            )
        self._back = entry.seq, bucket, event.amount_uusd

    def _came_back(self, entry: Entry, event: TradeFilled) -> None:
        """Check side, size and collateral of a position that is opened again."""
        bucket, market = event.bucket_id, event.market_id
        law, back = self._traders[bucket].returns, self._back
        self._back = None
        assert law is not None
        assert back is not None
        assert back[:2] == (entry.cause_seq, bucket)
        self._pays_for(event, back[2])
        first = self._first_position[bucket]
        if law.same_side_e6 in (0, 10**6):
            assert (event.quantity_e8 * first[0] > 0) == (law.same_side_e6 > 0)
        if not law.size_sigma and isinstance(self._markets[market].liquidity, NoImpact):
            meant = abs(first[0]) * first[1] * law.size_e6 / 10**6 / event.reference_price_e8
            assert abs(abs(event.ordered_e8) - meant) <= 2 + meant * 1e-9 + 10**10
        self._entry_price[market, bucket] = event.price_e8
        assert event.entry_price_e8 == event.price_e8
        self.census["came back after a debt of others"] += self._bad_debt[bucket] > 0

    def _arrives(self, entry: Entry, event: FundsDeposited) -> None:
        """Check who arrives, and when; its opening must follow."""
        bucket, cohort = event.owner_id, self._cohort_of[event.owner_id]
        assert cohort.traders is not None
        law = cohort.traders.arrivals
        assert law is not None
        assert bucket == self._vacant[bucket].pop(0), "another one comes first"
        assert bucket not in self._given
        assert bucket not in self._opened_in
        spans = [(start, end) for start, end in law.windows if start <= entry.sim_time_us < end]
        assert spans or not law.windows
        self._back = entry.seq, bucket, event.amount_uusd
        self.census["a cohort is full"] += not self._vacant[bucket]

    def _opened_first(self, entry: Entry, event: TradeFilled) -> None:
        """Check side, size and collateral of the position with which an account arrives."""
        bucket, market = event.bucket_id, event.market_id
        cohort, back, self._back = self._cohort_of[bucket], self._back, None
        assert back is not None
        assert back[:2] == (entry.cause_seq, bucket)
        assert self._marks[market][0], "nobody has seen a price"
        assert cohort.traders is not None
        law = cohort.traders.arrivals
        assert law is not None
        share = cohort.long_share_e6 if law.long_share_e6 is None else law.long_share_e6
        assert share > 0 if event.quantity_e8 > 0 else share < 10**6
        self._pays_for(event, back[2])
        if isinstance(self._markets[market].liquidity, NoImpact):
            worth = Fraction(abs(event.ordered_e8) * event.reference_price_e8, 10**10)
            meant = [Fraction(v * law.size_e6, 10**6) for v in self._values_of(cohort)]
            step = Fraction(event.reference_price_e8, 10**10) + 2
            assert any(0 <= value - worth <= step for value in meant)
        self._opened_in[bucket].append(market)
        self._first_position[bucket] = event.quantity_e8, event.price_e8
        self._collateral[bucket] = back[2] - event.fee_uusd
        assert event.entry_price_e8 == event.price_e8

    def _values_of(self, cohort: Cohort) -> list[int]:
        """Return what the positions of a cohort were worth at the start, in 1e-6 USD."""
        if cohort.name not in self._values:
            for row, name in enumerate(self._prepared.accounts.cohorts):
                if name == cohort.name:
                    units, price = self._first_position[self._first_bucket + row]
                    self._values[name].append(abs(units) * price // 10**10)
        return self._values[cohort.name]

    def _pays_for(self, event: TradeFilled, paid_uusd: int) -> None:
        """Check that collateral, less the fee, is within the leverage or the initial margin."""
        leverage = self._leverages[event.bucket_id]
        value, collateral = abs(event.cost_uusd), paid_uusd - event.fee_uusd
        asked = self._initial_margin(event.market_id, abs(event.quantity_e8), event.price_e8)
        most = max(value / leverage.low + 2, asked * 10**6 + 1)
        assert max(value / leverage.high - 2, asked * 10**6) <= collateral <= most
        self.census["came back with no more than initial margin"] += collateral > (
            value / leverage.low + 2
        )

    def _stopped(self, entry: Entry, event: TradeFilled) -> None:
        """Check that the price reacted to was beyond the nearest stop."""
        bucket, market = event.bucket_id, event.market_id
        stop = self._acts(entry, bucket).stop
        assert stop is not None
        cause = self.entries[entry.cause_seq].event
        mark = next(
            e.event.mark_price_e8
            for e in reversed(self.entries[: entry.cause_seq + 1])
            if isinstance(e.event, OracleUpdated | BookSampled) and e.event.market_id == market
        )
        judges = OracleUpdated | BookSampled | MaintenanceChanged | CoinHaircutChanged | FundingSet
        assert isinstance(cause, judges)
        sign = 1 if self._units[market][bucket] > 0 else -1
        entered = self._entry_price_at(market, bucket, entry.cause_seq)
        assert sign * (entered - mark) + 1 >= Fraction(entered * stop.nearest_e6, 10**6)
        self.census["stopped beyond the farthest"] += sign * (entered - mark) > Fraction(
            entered * stop.farthest_e6, 10**6
        )

    def _entry_price_at(self, market: int, bucket: int, seq: int) -> int:
        """Return the entry price that an account had at an event; it may have moved since."""
        for entry in reversed(self.entries[: seq + 1]):
            match entry.event:
                case TradeFilled(bucket_id=who, market_id=where, entry_price_e8=price):
                    pass
                case ProfitCut(payer_id=who, market_id=where, entry_price_e8=price):
                    pass
                case PositionOpened(bucket_id=who, market_id=where, price_e8=price):
                    pass
                case _:
                    continue
            if (who, where) == (bucket, market):
                return price
        raise AssertionError(bucket)

    def _rebalanced(self, entry: Entry, event: TradeFilled) -> None:
        """Check that an order leads to the multiple of equity that the account is to have."""
        bucket, market = event.bucket_id, event.market_id
        law = self._traders[bucket].rebalance
        mark, mark_seq, _ = self._marks[market]
        assert law is not None
        assert entry.cause_seq == mark_seq
        assert entry.sim_time_us % law.period_us == 0
        position = self._units[market][bucket]
        equity = Fraction(self._cash[bucket], 10**6) + Fraction(position * mark, 10**16)
        assert equity > 0
        target = abs(position + event.ordered_e8) * Fraction(mark, 10**16) / equity
        most = Fraction(law.target_leverage_e6, 10**6)
        step = Fraction(mark, 10**16) / equity
        assert target <= most
        assert position * (position + event.ordered_e8) >= 0
        if law.target_volatility is None:
            assert target > most - step
        self.census["rebalanced below the most"] += target <= most - step - Fraction(1, 10**6)
        self.census["rebalanced up"] += position * event.ordered_e8 > 0
        self.census["rebalanced down"] += position * event.ordered_e8 < 0

    def _relevered(self, entry: Entry, event: TradeFilled) -> None:
        """Check that a position in profit grows to the leverage that it had at the start."""
        bucket, market = event.bucket_id, event.market_id
        law = self._acts(entry, bucket).relever
        assert law is not None
        position, mark = self._units[market][bucket], self._marks[market][0]
        quantity, price = self._first_position[bucket]
        first = self._collateral[bucket]
        assert position * event.ordered_e8 > 0
        equity = Fraction(self._cash[bucket], 10**6) + Fraction(position * mark, 10**16)
        leverage = Fraction(abs(quantity) * price // _E16 * 10**6 // first, 10**6)
        worth = Fraction(abs(position + event.ordered_e8) * mark, 10**16)
        assert 0 <= leverage * equity - worth < Fraction(mark, 10**16)

    def _ran_ahead(self, entry: Entry, event: TradeFilled) -> int:
        """Check how close a halt is to who trades ahead of it, and return what it may order."""
        bucket, market = event.bucket_id, event.market_id
        law, position = self._acts(entry, bucket).anticipate, self._units[market][bucket]
        assert law is not None
        at, sign = entry.sim_time_us, 1 if position > 0 else -1
        low, high = self._halts.closeness(market, at, sign)
        assert low <= Fraction(event.closeness_e6, 10**6) <= high
        assert event.closeness_e6 >= law.from_e6
        self._runs_ahead[bucket] += 1
        assert self._runs_ahead[bucket] <= law.times
        self.census["ran ahead again"] += self._runs_ahead[bucket] > 1
        self.census["ran ahead, long" if position > 0 else "ran ahead, short"] += 1
        return -(-abs(position) * law.reduce_by_e6 // 10**6)

    def _came_near(self, entry: Entry, event: TradeFilled, size: int) -> int:
        """Check who reduces or closes near its liquidation, and return what it may order."""
        near = self._acts(entry, event.bucket_id).near
        assert near is not None
        assert self._is_due(self._above(event.bucket_id, near.alert_buffer_e6))
        if event.reason is TradeReason.REDUCED:
            assert near.reduce_share_e6
            return -(-size * near.reduce_by_e6 // 10**6)
        assert near.close_share_e6
        return size

    def _topped_up(self, entry: Entry, event: FundsDeposited) -> None:
        bucket = event.owner_id
        near = self._acts(entry, bucket).near
        assert near is not None
        assert near.top_up_share_e6
        self._top_ups[bucket] += 1
        assert self._top_ups[bucket] <= near.top_up_times
        assert self._is_due(self._above(bucket, near.alert_buffer_e6))
        self._cash[bucket] += event.amount_uusd
        assert not self._is_due(self._above(bucket, near.top_up_to_e6))
        # The venue rounds what a tier by notional asks for to 1e-14 units, above what it is.
        less = 2 if self._markets[self._opened_in[bucket][0]].maintenance_usd else 1
        self._cash[bucket] -= less
        assert self._is_due(self._above(bucket, near.top_up_to_e6)), "less would have done"
        self._cash[bucket] -= event.amount_uusd - less
        self.census["topped up"] += 1
        self.census["topped up again"] += self._top_ups[bucket] > 1

    def _traded(self, entry: Entry, event: TradeFilled) -> None:
        bucket, market, quantity = event.bucket_id, event.market_id, event.quantity_e8
        position, size = self._units[market][bucket], abs(self._units[market][bucket])
        assert bucket not in self._open, "acts in a liquidation"
        assert event.mark_price_e8 == self._marks[market][0]
        assert event.fee_uusd == -(
            -abs(quantity) * event.price_e8 * self._venue.fees.taker_e6 // (_E16 * 10**6)
        )
        entered = self._entry_price.get((market, bucket), 0)
        match event.reason:
            case TradeReason.OPENED:
                self._came_back(entry, event)
            case TradeReason.ARRIVED:
                self._opened_first(entry, event)
            case TradeReason.STOPPED:
                self._stopped(entry, event)
            case TradeReason.REBALANCED:
                self._rebalanced(entry, event)
            case TradeReason.RELEVERED:
                self._relevered(entry, event)
            case TradeReason.ANTICIPATED:
                size = self._ran_ahead(entry, event)
            case _:
                size = self._came_near(entry, event, size)
        own = TradeReason.OPENED, TradeReason.REBALANCED, TradeReason.RELEVERED
        if event.reason not in (*own, TradeReason.ARRIVED):
            assert event.ordered_e8 == (-size if position > 0 else size)
        assert quantity * event.ordered_e8 > 0
        assert abs(quantity) <= abs(event.ordered_e8)
        if not quantity + position:
            entered = 0
        elif quantity * position > 0:
            mean = Fraction(position * entered + quantity * event.price_e8, position + quantity)
            entered = -(-mean // 1) if position > 0 else mean // 1
        elif not position:
            entered = event.price_e8
        assert event.entry_price_e8 == entered
        self._entry_price[market, bucket] = event.entry_price_e8
        self._priced(entry, event)
        self._left_at[market] = entry.sim_time_us, event.market_price_e8
        self._trade(bucket, MAKERS, event)
        self._pay(bucket, TREASURY, event.fee_uusd)
        if self._legs(bucket):
            assert not self._is_due(self._margin(bucket))
        else:
            assert self._cash[bucket] >= 0
            self._leaver = (bucket, entry.seq) if self._cash[bucket] else None
        self._count_trade(event)

    def _count_trade(self, event: TradeFilled) -> None:
        assert (event.closeness_e6 >= 0) is (event.reason is TradeReason.ANTICIPATED)
        self.census[f"traded: {event.reason.name.lower()}"] += 1
        self.census["traded in part"] += event.quantity_e8 != event.ordered_e8
        has_arrived = event.bucket_id in self._vacant and event.reason is not TradeReason.ARRIVED
        self.census["traded after arriving"] += has_arrived

    def _withdrawn(self, entry: Entry, event: FundsWithdrawn) -> None:
        assert (event.bucket_id, entry.cause_seq) == self._leaver
        assert event.amount_uusd == self._cash[event.bucket_id] > 0
        self._leaver = None
        self._pay(event.bucket_id, OUTSIDE, event.amount_uusd)

    def _depth_changed(self, entry: Entry, event: DepthChanged) -> None:
        assert entry.cause_seq == NO_CAUSE
        schedule = self._markets[event.market_id].liquidity.schedule  # type: ignore[union-attr]
        change = (entry.sim_time_us, event.multiplier_e6, event.half_life_us)
        assert change in [(c.at_us, c.multiplier_e6, c.half_life_us) for c in schedule]
        self._depths_e6[event.market_id] = event.multiplier_e6

    def _maintenance_changed(self, entry: Entry, event: MaintenanceChanged) -> None:
        self._changes.pop((event.market_id, entry.sim_time_us), None)
        self._scalings.changed(entry, event)
        self._multipliers_e6[event.market_id] = event.multiplier_e6
        self._under_new_rules(entry, event.market_id)

    def _coin_haircut_changed(self, entry: Entry, event: CoinHaircutChanged) -> None:
        self._scalings.cut(entry, event)
        assert event.coin_haircut_e6 != self._coin_haircuts_e6[event.market_id]
        self._coin_haircuts_e6[event.market_id] = event.coin_haircut_e6
        self._under_new_rules(entry, event.market_id)

    def _under_new_rules(self, entry: Entry, market: int) -> None:
        if self._marks[market][0]:
            self._judge_of[market] = entry.seq, entry.sim_time_us
            self._judged = market, entry.seq
            self._shadow_judged(entry, market)

    def _leverage_fee_paid(self, entry: Entry, event: LeverageFeePaid) -> None:
        self._scalings.paid(entry, event)
        self._pay(event.bucket_id, FUND, event.amount_uusd)
        self.census["fee of a cross account"] += self._is_cross(event.bucket_id)

    def _position_reduced(self, entry: Entry, event: PositionReduced) -> None:
        bucket, market = event.bucket_id, event.market_id
        before = self._units[market][bucket]
        self._reductions.reduced(entry, event)
        self._priced(entry, event)
        self._arrived(entry, event)
        self._trade(bucket, MAKERS, event)
        self._pay(bucket, TREASURY, event.fee_uusd)
        after = self._units[market][bucket]
        assert after * before >= 0
        assert abs(after) < abs(before)
        assert not self._is_due(self._margin(bucket))

    def margin(self, bucket: int) -> Fraction:
        """Return the margin of an account, in USD."""
        return self._margin(bucket)

    @property
    def taker_fee_e6(self) -> int:
        """The fee of a taker."""
        return self._venue.fees.taker_e6

    def is_stopped(self, bucket: int, market: int, at_us: int) -> bool:
        """Return whether nobody may close a position of an account now but the account itself."""
        halts = self._halts
        is_held = halts.is_halted(market, at_us) or halts.in_grace(market, at_us)
        return is_held or bucket in self._open or self._is_stale(bucket, at_us)

    def would_be_due(self, event: PositionReduced) -> bool:
        """Return whether a step would leave its account due."""
        bucket, market = event.bucket_id, event.market_id
        before = self._units[market][bucket], self._cash[bucket]
        self._units[market][bucket] += event.quantity_e8
        self._cash[bucket] -= event.cost_uusd + event.fee_uusd
        is_due = self._is_due(self._margin(bucket))
        self._units[market][bucket], self._cash[bucket] = before
        return is_due

    # What the judges of scalings and of reductions read.

    @property
    def units(self) -> list[list[int]]:
        """Units by market and owner."""
        return self._units

    @property
    def first_bucket(self) -> int:
        """Number of the first account."""
        return self._first_bucket

    @property
    def marks(self) -> list[tuple[int, int, int]]:
        """Mark, its event and its instant, by market."""
        return self._marks

    @property
    def simulation(self) -> Simulation:
        """The run."""
        return self._simulation

    def is_due_at(self, owner: int, market: int, price: int) -> bool:
        """Return whether an account would be due if one mark were another; no other owner is."""
        marks = [mark for mark, _, _ in self._marks]
        if owner < self._first_bucket or (self._is_cross(owner) and not all(marks)):
            return False
        marks[market] = price
        margin = self._scaled(self._cash[owner], self._held(owner), marks)
        return self._is_due(Fraction(margin))

    def had_coins(self, market: int) -> bool:
        """Return whether any account came with coins of a market."""
        return self._coins[market][OUTSIDE] < 0

    def contracts(self, market: int) -> list[int]:
        """Return contracts of owners: units, or dollars in 1e-16 if inverse; makers balance."""
        held = list(self._units[market])
        if self._markets[market].contract == "inverse":
            mark = self._marks[market][0]
            entered = [self._entry_price.get((market, owner), mark) for owner in range(len(held))]
            held = [units * price for units, price in zip(held, entered, strict=True)]
            held[MAKERS] -= sum(held)
        return held

    def at_stake(self, market: int) -> int:
        """Return what is long in a market at its mark, in USD x 1e-16."""
        is_inverse = self._markets[market].contract == "inverse"
        price = 1 if is_inverse else self._marks[market][0]
        return sum(held for held in self.contracts(market) if held > 0) * price

    def standing(self, market: int) -> list[int]:
        """Return who has a position in a market and is in no liquidation."""
        return self._standing(market)

    def legs(self, bucket: int) -> list[int]:
        """Return where an account has positions."""
        return self._legs(bucket)

    def room(self, bucket: int) -> int:
        """Return what an account can pay."""
        return self._room(bucket)

    def worth(self, market: int, bucket: int) -> Fraction:
        """Return what a leg is worth in USD, without sign."""
        size = abs(self._units[market][bucket])
        return Fraction(size * self._counted_price(market, bucket), 10**16)

    def equity(self, bucket: int) -> Fraction:
        """Return cash and what legs and coins are worth, in USD."""
        held = Fraction(self._cash[bucket], 10**6)
        for market in self._legs(bucket):
            moving = self._units[market][bucket] + self._coins[market][bucket]
            held += Fraction(moving * self._marks[market][0], 10**16)
        return held

    def _shadow_judged(self, entry: Entry, market: int) -> None:
        self._shadow_judge_of[market] = entry.seq
        self._moved[market] = None

    def _shadow_moved(self, entry: Entry, event: ShadowUpdated) -> None:
        assert entry.cause_seq == NO_CAUSE
        assert event.sampled_at_us <= event.published_at_us <= entry.sim_time_us
        assert not isinstance(self._markets[event.market_id].liquidity, NoImpact)
        assert self._has_traded[event.market_id], "nothing sets the shadow apart"
        depth_e6 = self._depths_e6[event.market_id]
        self._mark_judges[event.market_id].shadow_landed(event, entry.sim_time_us, depth_e6)
        self._shadow_marks[event.market_id] = event.shadow_mark_e8
        self._shadow_judged(entry, event.market_id)

    def _shadow_crossed(self, entry: Entry, event: ShadowCrossed) -> None:
        bucket, market = event.bucket_id, event.market_id
        assert market in self._moved
        assert entry.cause_seq == self._shadow_judge_of[market]
        if event.liquidation_seq == NO_CAUSE:
            assert bucket not in self._open
            assert bucket not in self._crossed
            self._crossed.add(bucket)
            cash, held = self._cash[bucket], self._held(bucket)
            self.census["crossed by an account"] += 1
        else:
            whose, cash, held = self._pending.pop(event.liquidation_seq)
            assert whose == bucket
            self.census["accelerated"] += 1
            self.census["accelerated before it is over"] += bucket in self._open
        assert market in held
        if len(held) > 1:
            assert all(self._shadow_marks)
            self.census["crossed cross"] += 1
        margin = self._scaled(cash, held, self._shadow_marks)
        assert event.shadow_mark_e8 == self._shadow_marks[market]
        assert event.shadow_margin_uusd == margin // 10**16
        assert self._is_due(Fraction(margin))

    def _classed(self, entry: Entry, event: LiquidationTriggered) -> None:
        """Check what a trigger says of its class, and note the balances that it found."""
        bucket, market = event.bucket_id, event.market_id
        cash, held, marks = self._cash[bucket], self._held(bucket), [m for m, _, _ in self._marks]
        margin = self._scaled(cash, held, marks)
        on_shadow = self._scaled(cash, held, self._shadow_marks)
        start = self._scaled(cash, held, marks, of_start=True)
        assert event.shadow_mark_e8 == self._shadow_marks[market]
        assert event.shadow_margin_uusd == on_shadow // 10**16
        assert event.start_margin_uusd == start // 10**16
        others = dict(enumerate(self._shadow_marks)) | {market: marks[market]}
        lost = self._scaled(cash, held, others) - margin
        assert event.other_assets_uusd == lost // 10**16
        self.census["displaced by another asset"] += lost > 0
        plain = self._scaled(cash, held, marks, haircut_e6=0)
        self.census["due by the haircut on profit"] += not self._is_due(Fraction(plain))
        if any(self._markets[leg].maintenance_usd for leg in held):
            low = self._scaled(cash, held, marks, first_tier_only=True)
            self.census["due by a tier of notional"] += not self._is_due(Fraction(low))
        if not self._is_due(Fraction(start)):
            right = Standing.RULE_INDUCED
        elif bucket in self._crossed or self._is_due(Fraction(on_shadow)):
            right = Standing.FIRST_ORDER
        else:
            right = Standing.OPEN
            self._pending[entry.seq] = bucket, cash, held
        self.census["crossed before its trigger"] += bucket in self._crossed
        self._crossed.discard(bucket)
        assert event.standing is right
        if on_shadow == margin:
            assert right is not Standing.OPEN, "nothing sets the shadow apart"
        if not any(self._has_traded):
            flows = event.forced_displacement_e9, event.hedging_displacement_e9
            assert (*flows, event.trading_displacement_e9) == (0, 0, 0)
        self.census["displaced by trading"] += event.trading_displacement_e9 != 0
        self.census["triggered after arriving"] += bucket in self._vacant
        self.census["displaced by hedging"] += event.hedging_displacement_e9 != 0
        self.census[right.name.lower()] += 1

    def _marked(self, entry: Entry, event: OracleUpdated | BookSampled) -> None:
        market, at_us = event.market_id, entry.sim_time_us
        if not self._has_traded[market] or isinstance(self._markets[market].liquidity, NoImpact):
            assert event.shadow_price_e8 == event.price_e8
            assert event.shadow_mark_e8 == event.mark_price_e8
        self._mark_judges[market].landed(event, at_us, self._depths_e6[market])
        self._shadow_marks[event.market_id] = event.shadow_mark_e8
        self._shadow_judged(entry, event.market_id)
        self._judge_of[market] = entry.seq, at_us
        assert event.sampled_at_us <= event.published_at_us <= at_us
        self._marks[market] = event.mark_price_e8, entry.seq, at_us
        self._first_mark_at.setdefault(market, at_us)
        self._judged = market, entry.seq

    def _book_sampled(self, entry: Entry, event: BookSampled) -> None:
        rule = self._markets[event.market_id].mark
        assert self._markets[event.market_id].samples_book
        assert event.published_at_us == entry.sim_time_us
        assert event.sampled_at_us == event.published_at_us // rule.period_us * rule.period_us
        self._marked(entry, event)
        self._due_to_newest_fill(entry, event.market_id, event.sampled_at_us)
        self.census["book_sampled because of a fill"] += entry.cause_seq != NO_CAUSE

    def _funding_set(self, entry: Entry, event: FundingSet) -> None:
        market, at_us = event.market_id, entry.sim_time_us
        funding, (mark, _, marked_at) = self._markets[market].funding, self._marks[market]
        assert entry.cause_seq == NO_CAUSE
        assert funding is not None
        assert at_us % funding.interval_us == 0
        last = self._funded_at.get(market)
        assert last is None or at_us == last + funding.interval_us
        assert marked_at < at_us
        self._funded_at[market] = at_us
        self._fundings[market] += 1
        weighted = Fraction(funding.premium_weight_e6 * event.premium_e9, 10**6) // 1
        rate = sorted((-funding.cap_e9, funding.interest_e9 + weighted, funding.cap_e9))[1]
        assert (event.rate_e9, event.mark_price_e8) == (rate, mark)
        assert event.premium_e9 == self._mark_judges[market].premium_e9
        self.census["funding by the cap"] += abs(rate) == funding.cap_e9 > 0
        self.census["funding by a premium"] += weighted != 0
        owners = range(self._first_bucket, len(self._cash))
        self._unfunded = [b for b in owners if self._units[market][b]] if rate else []
        self._judge_of[market] = entry.seq, at_us
        self._judged = market, entry.seq
        self._shadow_judged(entry, market)

    def _funding_paid(self, entry: Entry, event: FundingPaid) -> None:
        funding = self.entries[entry.cause_seq].event
        assert isinstance(funding, FundingSet)
        assert funding.market_id == event.market_id
        assert event.bucket_id == self._unfunded.pop(0)
        units = self._units[event.market_id][event.bucket_id]
        assert event.quantity_e8 == units
        exact = Fraction(units * funding.mark_price_e8 * funding.rate_e9, 10**19)
        assert 0 <= event.amount_uusd - exact < 1
        self._pay(event.bucket_id, MAKERS, event.amount_uusd)
        self.census["funding received"] += event.amount_uusd < 0
        self.census["funding in a liquidation"] += event.bucket_id in self._open
        self.census["funding of a cross account"] += self._is_cross(event.bucket_id)

    def _due_to_newest_fill(self, entry: Entry, market: int, shows_us: int) -> None:
        """Check that an update's cause, if it has one, is the newest fill that it shows."""
        if entry.cause_seq == NO_CAUSE:
            return
        cause = self.entries[entry.cause_seq]
        assert isinstance(cause.event, _Fill)
        assert cause.event.market_id == market
        assert cause.sim_time_us < shows_us
        assert not any(
            isinstance(later.event, _Fill)
            and later.event.market_id == market
            and later.sim_time_us < shows_us
            for later in self.entries[entry.cause_seq + 1 :]
        )

    def _index_landed(self, entry: Entry, event: OracleUpdated) -> None:
        spec = self._markets[event.market_id].oracle
        assert 0 <= event.shows_at_us <= event.sampled_at_us
        is_first = event.market_id not in self._indexed
        self._indexed.add(event.market_id)
        self._marked(entry, event)
        assert spec.quorum <= event.reports_count <= len(spec.sources)
        if is_first and spec.landing.median_us == spec.landing.p99_us:
            assert event.reason is UpdateReason.FIRST
        shown = [
            max(event.sampled_at_us - source.catch_up_us, 0) if source.pass_through_e6 else 0
            for source in spec.sources
        ]
        assert min(shown) <= event.shows_at_us <= max(shown)
        assert event.reports_count % 2 == 0 or event.shows_at_us in shown
        self.census["oracle_updated shows nothing"] += not event.shows_at_us
        self._due_to_newest_fill(entry, event.market_id, event.shows_at_us)
        if entry.cause_seq != NO_CAUSE:
            catch_ups = [source.catch_up_us for source in spec.sources]
            self.census["oracle_updated after a catch-up"] += max(catch_ups) > 0
            self.census["oracle_updated because of a fill"] += 1

    def _triggered(self, entry: Entry, event: LiquidationTriggered) -> None:
        bucket = event.bucket_id
        mark, mark_seq, _ = self._marks[event.market_id]
        assert bucket not in self._open
        assert (entry.cause_seq, entry.sim_time_us) == self._judge_of[event.market_id]
        by_funding = isinstance(self.entries[entry.cause_seq].event, FundingSet)
        self.census["triggered by funding"] += by_funding
        self.census["triggered by a haircut on coins"] += isinstance(
            self.entries[entry.cause_seq].event, CoinHaircutChanged
        )
        self.census["triggered by a change of rules"] += (
            entry.cause_seq != mark_seq and not by_funding
        )
        self._classed(entry, event)
        assert event.mark_price_e8 == mark
        assert event.quantity_e8 == self._units[event.market_id][bucket] != 0
        margin = self._margin(bucket)
        assert self._is_due(margin)
        assert event.margin_uusd == margin * 10**6 // 1
        assert event.maintenance_uusd == -(-self._maintenance(bucket) * 10**6 // 1)
        assert event.bankruptcy_price_e8 == self._bankruptcy(event.market_id, bucket)
        legs = self._legs(bucket)
        notional = sum(
            abs(self._units[leg][bucket]) * self._counted_price(leg, bucket) for leg in legs
        )
        self.census["triggered with coins"] += self._coins[event.market_id][bucket] > 0
        is_inverse = self._markets[event.market_id].contract == "inverse"
        self.census["triggered inverse"] += is_inverse
        ratio = margin / notional, bucket
        if self._is_cross(bucket):
            assert all(mark for mark, _, _ in self._marks)
            self.census["triggered cross"] += 1
            hedged = len({self._units[leg][bucket] > 0 for leg in legs}) > 1
            self.census["triggered hedged"] += hedged
        assert self._last_judged is None or self._last_judged < ratio
        self._last_judged = ratio
        liquidation = _Liquidation(
            entry.seq,
            bucket,
            event.market_id,
            {leg: abs(self._units[leg][bucket]) for leg in legs},
            entry.sim_time_us,
        )
        self._open[bucket] = self._by_seq[entry.seq] = liquidation
        self._crossings.triggers[bucket] = entry.seq
        if margin == 0:
            self.census["triggered at zero"] += 1
        self.census["triggered long" if event.quantity_e8 > 0 else "triggered short"] += 1

    def _started(self, entry: Entry, event: TrancheStarted) -> None:  # noqa: PLR0915 — one by one
        bucket = event.bucket_id
        liquidation = self._open[bucket]
        market = event.market_id
        mark, _, _ = self._marks[market]
        venue, at = self._venue, entry.sim_time_us
        assert event.liquidation_seq == liquidation.seq
        is_auctioned = event.executor is Executor.AUCTION
        if not (self._meets or is_auctioned):  # Held with the leg that stood first then.
            self._leg_chosen(entry, liquidation, market)
        assert liquidation.tranche is None
        executor = venue.keepers if venue.executor == "keepers" else venue.engine
        is_crossed = event.executor.is_meeting
        assert is_crossed or event.executor is Executor[venue.executor.upper()]
        assert is_crossed or not self._meets
        assert executor is not None
        cause = liquidation.settled_seq if liquidation.count else liquidation.seq
        assert entry.cause_seq == cause
        earliest = liquidation.triggered_at + executor.reaction_us
        if bucket in self._settled_at:  # By this liquidation, or by one before it.
            pause = venue.tranches.spacing_us
            if liquidation.count and liquidation.was_cancelled and venue.engine is executor:
                pause = max(pause, venue.engine.retry_us)
                self.census["later retry"] += pause > venue.tranches.spacing_us
            spaced = self._settled_at[bucket] + pause
            if spaced > earliest and not liquidation.count:
                self.census["spaced from the liquidation before"] += 1
            earliest = max(earliest, spaced)
        assert at >= earliest
        if not venue.mark_max_age_us and not self._slicing.judges:
            down_until = [end for _, end in venue.engine.outages] if venue.engine else []
            halts = [span for span in self._halts.spans if span.action is not Action.WIDENED]
            down_until += [span.until for span in halts]
            down_until += self._halts.graces_until(market, at)
            free = (earliest, self._free_at, *self._maybe_free_at, *down_until)
            # It may have been held with another leg, and have this one first now.
            hold_ends = self._crossings.until(bucket, market), self._crossings.held_until(bucket)
            hold_ends = *hold_ends, self._auctions.last_until(bucket)
            is_met = is_auctioned or (is_crossed and self._meets)
            assert is_met or at in (*free, self._pacing.until(bucket, market), *hold_ends)
        if not is_crossed:
            self._ordered(entry, entry.seq, earliest)
        assert not self._is_stale(bucket, at)
        assert self._is_due(self._restored_margin(bucket))
        by_maintenance = self._margin(bucket, venue.tranches.restore_buffer_e6)
        self.census["not restored but by maintenance"] += not self._is_due(by_maintenance)
        liquidation.count += 1
        assert event.tranche_number == liquidation.count
        position = self._units[market][bucket]
        whole = self._base(market, bucket, abs(position), mark)
        at_trigger = self._base(market, bucket, liquidation.sizes_at_trigger[market], mark)
        share = -(-at_trigger * venue.tranches.share_e6 // 10**6)
        cap = max(venue.tranches.max_uusd * _E16 // mark, 1)
        size = self._slice(liquidation, market, mark)
        self.census["dust taken along"] += min(share, cap) < size
        whole_slice = size
        if is_auctioned:
            size = self._auctions.started(bucket, size)
            if size == whole_slice:
                self._crossings.put_up(bucket)
        elif is_crossed:
            size = self._crossing_size(entry, event)
        else:
            asked = self._asked(entry, liquidation, market, size)
            self._crossings.passes(at, market, bucket)
            self._crossings.put_up(bucket)
            self._auctions.passes(at, market, bucket)
            self._auctions.forget(bucket)
            size = min(size, self._slicing.started(asked))
            size = self._pacing.size(at, bucket, market, size, mark)
            self._pacing.put_up(at, bucket, market, -(-size * mark // _E16))
        assert event.quantity_e8 == (-size if position > 0 else size)
        assert event.mark_price_e8 == mark
        units = abs(position) * size // whole
        can_pay = 0 if is_crossed else None
        right = self._limit(market, bucket, size, max(units, 1), can_pay)
        assert event.limit_price_e8 == right
        has = 0 if is_crossed else self._cash[FUND]
        free = self._limit(market, bucket, size, max(units, 1), has)
        self._caps_are(
            bucket,
            market,
            entry.cause_seq,
            has,
            lambda most: (
                most < has and self._limit(market, bucket, size, max(units, 1), most) != free
            ),
            "a limit",
        )
        if size == whole_slice < whole:
            self.census["tranche cut by share" if share <= cap else "tranche cut by cap"] += 1
        # Decided when the slice is offered: while it is, other marks may put somebody in the queue.
        nobody_shares = venue.executor == "keepers" and self._may_be_forced(market, bucket, mark)
        tranche = _Tranche(entry.seq, event.quantity_e8, event.limit_price_e8, nobody_shares)
        tranche.units, tranche.mark = units, mark
        tranche.is_meeting = is_crossed
        liquidation.tranche = tranche
        self._tranches[entry.seq] = liquidation, tranche
        has_pool = any(isinstance(spec, Pool) for spec in self._vaults.values())
        is_for_book = has_pool and venue.executor != "keepers" and not is_crossed
        self._ahead_of = tranche if is_for_book else None

    def _slice(self, liquidation: _Liquidation, market: int, mark: int) -> int:
        """Return the units of the next slice of a leg, if no mitigation makes it smaller."""
        bucket, tranches = liquidation.bucket, self._venue.tranches
        whole = self._base(market, bucket, abs(self._units[market][bucket]), mark)
        at_trigger = self._base(market, bucket, liquidation.sizes_at_trigger[market], mark)
        share = -(-at_trigger * tranches.share_e6 // 10**6)
        size = min(whole, share, max(tranches.max_uusd * _E16 // mark, 1))
        return whole if (whole - size) * mark < tranches.min_uusd * _E16 else size

    def _meetable(self, market: int, bucket: int) -> int:
        """Return the units of the slice in hand that can be crossed, signed as the position."""
        liquidation, held = self._open.get(bucket), self._units[market][bucket]
        if liquidation is None or not held or not self._is_due(self._restored_margin(bucket)):
            return 0
        mark, _, _ = self._marks[market]
        is_bankrupt = self._backing(market, bucket, mark) * _E16 + held * mark < 0
        if is_bankrupt or self._is_stale(bucket, self._now):
            return 0
        size = self._slice(liquidation, market, mark)
        return size if held > 0 else -size

    def _crossing_size(self, entry: Entry, event: TrancheStarted) -> int:
        """Return the units of a slice that is crossed: of the one that asks, or of one it meets."""
        market, bucket = event.market_id, event.bucket_id
        if self._meets:
            other, size, _ = self._meets[0]
            assert bucket == other
            assert entry.seq > self._asker
            return size
        # It may have waited longer, for the end of a halt or for a fresh mark.
        assert (self._pacing.until(bucket, market) or 0) <= self._now
        self._meets = self._crossings.meets(entry.sim_time_us, market, bucket)
        self._asker = entry.seq
        self._pacing.forget(bucket)
        self._slicing.forget(bucket)
        crossed = sum(size for _, size, _ in self._meets)
        if crossed == abs(self._meetable(market, bucket)):
            self._auctions.forget(bucket)
        return crossed

    def _auction_held(self, entry: Entry, event: AuctionHeld) -> None:
        market, at = event.market_id, entry.sim_time_us
        number, _ = self._auctions.rules[market]
        assert entry.cause_seq == NO_CAUSE
        assert not self._halts.is_halted(market, at)
        assert not self._halts.in_grace(market, at)
        owner = next((o for o in self._purses[number] if o in self._bidders), None)
        free, held = 0, 0
        if owner is not None:
            free, held = max(self._free(owner), 0), self._units[market][owner]

        def facts(market: int, bucket: int) -> tuple[int, int]:
            price = self._bankruptcy(market, bucket)
            return self._open[bucket].seq, price if price < 10**18 else 0

        self._auctions.held(at, event, self._marks[market][0], free, held, facts)
        self._auction_seq = entry.seq

    def _lot_offered(self, entry: Entry, event: LotOffered) -> None:
        assert entry.cause_seq == self._auction_seq
        self._auctions.offered(entry.sim_time_us, event)

    def _lots_met(self, entry: Entry, event: TranchesCrossed) -> None:
        assert event.mitigation_id == self._auctions.rules[event.market_id][0]
        size = self._auctions.met(event)
        assert entry.cause_seq == event.tranche_seq
        told = {
            e.event.bucket_id: e.event
            for e in self.entries[self._auction_seq :]
            if isinstance(e.event, LotOffered)
        }
        assert event.held_since_at_us == told[event.counterparty_id].held_since_at_us
        self._both_settled(entry, event, size, event.price_e8)

    def _lot_taken(self, entry: Entry, event: TrancheTakenOver) -> None:
        """Judge that bidders take what an auction left of a lot, without the fund."""
        bucket, market, price = event.bucket_id, event.market_id, event.price_e8
        size = self._auctions.taken.pop(bucket)
        number, _ = self._auctions.rules[market]
        assert not self._auctions.pairs, "accounts trade with each other first"
        assert [event.keeper_id] == self._purses[number]
        assert (abs(event.quantity_e8), price) == (size, self._auctions.price)
        assert (event.call_cost_uusd, event.sent_at_us) == (0, entry.sim_time_us)
        assert entry.cause_seq == event.tranche_seq
        side = event.tranche_seq, bucket, event.quantity_e8, event.cost_uusd, event.fee_uusd
        tranche = self._side_settled(entry, market, price, side)
        tranche.vaulted += size
        assert tranche.left >= 0
        self._pays_for_it(entry, event, -1)
        self._trade(bucket, event.keeper_id, event)
        held, most = abs(self._units[market][event.keeper_id]), (event.keeper_id, market)
        self._most_held[most] = max(self._most_held[most], held) if held else 0
        self._pay(bucket, TREASURY, event.fee_uusd)
        self.census["auction: bidders take"] += 1

    def _tranches_crossed(self, entry: Entry, event: TranchesCrossed) -> None:
        if isinstance(self._mitigations[event.mitigation_id], BatchAuction):
            self._lots_met(entry, event)
            return
        market, at = event.market_id, entry.sim_time_us
        (other, size, is_whole), self._meets = self._meets[0], self._meets[1:]
        mark, _, _ = self._marks[market]
        number, _ = self._crossings.rules[market]
        since = self._crossings.since(other, market)
        sign = -1 if self._units[market][event.bucket_id] > 0 else 1
        assert entry.cause_seq == event.tranche_seq == self._asker
        assert entry.seq == event.other_tranche_seq + 1
        assert (event.mitigation_id, event.counterparty_id) == (number, other)
        assert (event.quantity_e8, event.price_e8) == (sign * size, mark)
        assert event.held_since_at_us == since
        self._both_settled(entry, event, size, mark)
        self.census["held one crossed in part"] += not is_whole
        self._crossings.met(at, market, other, is_whole=is_whole)
        if is_whole:
            self._auctions.forget(other)

    def _both_settled(self, entry: Entry, event: TranchesCrossed, size: int, price: int) -> None:
        """Judge what two slices that meet pay, and move it."""
        other, market, paid = event.counterparty_id, event.market_id, event.cost_uusd
        for side in (
            (event.tranche_seq, event.bucket_id, event.quantity_e8, paid, event.fee_uusd),
            (event.other_tranche_seq, other, -event.quantity_e8, -paid, event.other_fee_uusd),
        ):
            tranche = self._side_settled(entry, market, price, side)
            tranche.crossed += size
            assert tranche.left >= 0
        slices = [
            (event.tranche_seq, event.bucket_id, event.fee_uusd),
            (event.other_tranche_seq, other, event.other_fee_uusd),
        ]
        self._pays_for_it(entry, event, -1, slices)
        self._trade(event.bucket_id, other, event)
        self._pay(event.bucket_id, TREASURY, event.fee_uusd)
        self._pay(other, TREASURY, event.other_fee_uusd)

    def _side_settled(
        self, entry: Entry, market: int, price: int, side: tuple[int, int, int, int, int]
    ) -> _Tranche:
        """Judge fee and surplus of one who is not bankrupt at the price; return its slice."""
        seq, bucket, quantity, cost, fee = side
        fees, mark = self._venue.fees, self._marks[market][0]
        rated = mark * fees.liquidation_on_mark_e6 + price * fees.liquidation_on_execution_e6
        full = -(-abs(quantity) * rated // (_E16 * 10**6))
        liquidation, tranche = self._tranches[seq]
        position, cash = self._units[market][bucket], self._backing(market, bucket, price)
        assert liquidation.tranche is tranche
        assert quantity * tranche.order > 0 > quantity * position
        gain = Fraction(-cash * quantity, position) // 1 - cost
        assert gain >= -2, "it is not bankrupt"
        assert fee == min(full, max(gain, 0))
        is_last = len(self._legs(bucket)) == 1
        if gain > fee and is_last and self._venue.waterfall.surplus_to == "fund":
            self._owed.append((SurplusRouted, bucket, gain - fee, entry.seq))
        return tranche

    def _decided(self, entry: Entry, event: DecisionRecorded) -> None:
        spec = self._prepared.scenario.mitigations[event.mitigation_id]
        if event.action is Action.REDUCED:
            self._reductions.decided(entry, event)
            return
        if isinstance(spec, MarginScaling | LeverageFee):
            self._scalings.decided(entry, event)
            return
        if isinstance(spec, FundLimits):
            self._fund_limited(entry, event)
            return
        if isinstance(spec, Pool):
            self._goes_ahead(entry, event)
            return
        bucket, market = event.bucket_id, event.market_id
        if self._halts.decides(event):
            self._halts.decided(entry, event, self._legs(bucket) if bucket >= 0 else [])
            if bucket < 0:
                return
        liquidation, mark = self._open[bucket], self._marks[market][0]
        assert liquidation.tranche is None
        assert self._is_due(self._restored_margin(bucket))
        cause = liquidation.settled_seq if liquidation.count else liquidation.seq
        assert entry.cause_seq == cause
        if self._halts.decides(event):
            return
        if isinstance(spec, Crossing):
            self._slice_held(entry, event, self._crossings)
            return
        self._crossings.passes(entry.sim_time_us, market, bucket)
        if isinstance(spec, BatchAuction):
            self._slice_held(entry, event, self._auctions)
            return
        self._auctions.passes(entry.sim_time_us, market, bucket)
        asked = self._asked(entry, liquidation, market, self._slice(liquidation, market, mark))
        if self._slicing.is_mine(event.mitigation_id):
            self._slicing.decided(asked, event)
        else:
            self._pacing.decided(entry.sim_time_us, self._slicing.left(asked), mark, event)

    def _slice_held(
        self, entry: Entry, event: DecisionRecorded, judge: CrossingJudge | AuctionJudge
    ) -> None:
        bucket, market, at = event.bucket_id, event.market_id, entry.sim_time_us
        self._leg_chosen(entry, self._open[bucket], market)
        assert not self._halts.is_halted(market, at)
        assert not self._halts.in_grace(market, at)
        assert at >= self._settled_at.get(bucket, -(10**12)) + self._venue.tranches.spacing_us
        assert (self._pacing.until(bucket, market) or 0) <= at
        judge.decided(at, event)
        self._pacing.forget(bucket)
        self._slicing.forget(bucket)

    def _asked(self, entry: Entry, liquidation: _Liquidation, market: int, wanted: int) -> Asked:
        bucket, (mark, _, _) = liquidation.bucket, self._marks[market]
        at_trigger = self._base(market, bucket, liquidation.sizes_at_trigger[market], mark)
        is_long = self._units[market][bucket] > 0
        return Asked(entry.sim_time_us, bucket, market, wanted, at_trigger, mark, is_long)

    def _is_stale(self, bucket: int, at: int) -> bool:
        oldest = min((self._marks[leg][2] for leg in self._legs(bucket)), default=at)
        return bool(self._venue.mark_max_age_us) and at - oldest > self._venue.mark_max_age_us

    def _leg_chosen(self, entry: Entry, liquidation: _Liquidation, market: int) -> None:
        """Check the choice of a leg by what needs no book; `replay` recomputes the others."""
        legs = self._legs(liquidation.bucket)
        assert market in legs
        if len(legs) == 1:
            return
        self.census["choice of a leg"] += 1
        if self._venue.cross.first_leg == "largest_loss":
            losses = {
                leg: self._units[leg][liquidation.bucket]
                * (self._entry_price[leg, liquidation.bucket] - self._marks[leg][0])
                // _E16
                for leg in legs
            }
            assert market == max(legs, key=lambda leg: (losses[leg], -leg))

    def _ordered(self, entry: Entry, tranche_seq: int, since: int) -> None:
        """Check that an order may go, and note when the next one may."""
        engine, at = self._venue.engine, entry.sim_time_us
        if self._venue.executor == "keepers" or engine is None:
            return
        if not (engine.rate_e6 or engine.outages or engine.overloads):
            return
        assert not any(start <= at < end for start, end in engine.outages)
        assert at >= self._free_at
        if at > since:
            self.census["order waited"] += 1
            if any(since < end <= at for _, end in engine.outages):
                self.census["order waited for an outage"] += 1
        if any(w.start_us <= at < w.end_us for w in engine.overloads):
            self.census["order in an overload"] += 1
        self._free_at = at + self._order_us(at)
        self._maybe_free_at = []
        self._order = tranche_seq, at

    def _order_us(self, at: int) -> int:
        """Return how long an order sent at *at* keeps others waiting."""
        engine = self._venue.engine
        assert engine is not None
        rate = engine.rate_e6
        for window in engine.overloads:
            if window.start_us <= at < window.end_us:
                rate = window.rate_e6
        return -(-(10**12) // rate) if rate else 0

    def _may_be_forced(self, market: int, bucket: int, mark: int) -> bool:
        """Return whether nobody is left to share a loss, so that any price will do."""
        price = self._bankruptcy(market, bucket)
        if self._venue.waterfall.deleveraging == "none" or not price:
            return True
        queue = self._queue(market, bucket, price, mark)
        cap = self._venue.waterfall.deleveraging_cap_e6
        return all(self._room_in(market, other, mark) * cap < 10**6 for _, other in queue)

    def _executed(self, entry: Entry, event: Any, rates: tuple[int, int], mark: int) -> None:
        """Check fee, surplus and draw of a fill or a takeover, and its size."""
        bucket, price, quantity = event.bucket_id, event.price_e8, event.quantity_e8
        _, tranche = self._tranches[event.tranche_seq]
        market = event.market_id
        position, cash = self._units[market][bucket], self._backing(market, bucket, price)
        assert self._open[bucket].tranche is tranche
        assert entry.cause_seq == event.tranche_seq
        assert quantity * tranche.order > 0 > quantity * position
        assert 0 < abs(quantity) <= tranche.left
        cost = event.cost_uusd
        on_mark, on_execution = rates
        full = -(-abs(quantity) * (mark * on_mark + price * on_execution) // (_E16 * 10**6))
        if self._markets[market].contract == "inverse":
            units = self._closing(tranche, market, abs(quantity))
            tranche.units -= units
            self._owe_coins(market, bucket, units, price, entry.seq)
            quantity = units if position < 0 else -units
            cost = -(-quantity * price // _E16)
        else:
            assert tranche.left <= abs(position)
        # The executed part carries its share of the cash; what it brought above that is its gain.
        gain = Fraction(-cash * quantity, position) // 1 - cost
        assert event.fee_uusd == min(full, max(gain, 0))
        if 0 < event.fee_uusd < full:
            self.census["fee capped"] += 1
        surplus = gain - event.fee_uusd if gain > 0 else 0
        draw = min(-gain, self._can_pay(market, bucket)) if gain < 0 else 0
        if gain < 0:
            wanted = min(-gain, self._cash[FUND])
            self._cuts_due = self._binding(market, bucket, wanted, lambda most: most < wanted)
            for _, _, _, most, _ in self._cuts_due:
                self._owed.append((DecisionRecorded, bucket, most, entry.seq))
        if gain < 0:
            is_worse = Fraction(-cash * _E16, position) - price
            assert (is_worse > 0) == (position > 0) or abs(is_worse * quantity) <= _E16
            self._beyond_bankruptcy = True
            self.census["executed beyond bankruptcy"] += 1
            if -gain > draw:
                self.census["fund exhausted"] += 1
        is_last = len(self._legs(bucket)) == 1
        if surplus and not is_last:
            self.census["surplus kept for other legs"] += 1
        if surplus and is_last and self._venue.waterfall.surplus_to == "fund":
            self._owed.append((SurplusRouted, bucket, surplus, entry.seq))
        if draw:
            self._owed.append((FundDrawn, bucket, draw, entry.seq))

    def _filled(self, entry: Entry, event: OrderFilled) -> None:
        bucket, market = event.bucket_id, event.market_id
        _, tranche = self._tranches[event.tranche_seq]
        mark, _, _ = self._marks[market]
        fees, engine = self._venue.fees, self._venue.engine
        assert engine is not None
        assert not self._is_stale(bucket, entry.sim_time_us)
        if self._order != (tranche.seq, entry.sim_time_us):
            self._ordered(entry, tranche.seq, entry.sim_time_us)
        if event.quantity_e8 == event.ordered_e8:
            self._order = None
        assert market == self._market_of_tranche(event)
        assert 0 < abs(event.quantity_e8) <= abs(event.ordered_e8) <= tranche.left
        if abs(event.quantity_e8) < abs(event.ordered_e8):
            self.census["partial fill"] += 1
        is_long = self._units[market][bucket] > 0
        sign = 1 if is_long else -1
        closed = max(self._closing(tranche, market, abs(event.ordered_e8)), 1)
        limits = tranche.limit, self._limit(market, bucket, abs(event.ordered_e8), closed)
        limit = max(limits) if is_long else min(limits)
        child = max(engine.child_order_uusd * _E16 // mark, 1)
        if sign * (event.price_e8 - limit) < 0 or abs(event.ordered_e8) > child:
            cap = self._venue.waterfall.deleveraging_cap_e6
            was_tried = tranche.queue is not None and cap < 10**6
            assert was_tried or self._may_be_forced(market, bucket, tranche.mark), (
                "beyond the limit though others could share"
            )
            assert abs(event.ordered_e8) == tranche.left
            self.census["forced fill"] += 1
        elif abs(event.quantity_e8) < abs(event.ordered_e8):
            self.census["limit or depth binds"] += 1
        self._priced(entry, event)
        self._arrived(entry, event)
        rates = fees.liquidation_on_mark_e6, fees.liquidation_on_execution_e6 + fees.taker_e6
        self._executed(entry, event, rates, mark)
        self._pays_for_it(entry, event, -1)
        tranche.filled += abs(event.quantity_e8)
        self._trade(bucket, MAKERS, event)
        self._pay(bucket, TREASURY, event.fee_uusd)

    def _priced(self, entry: Entry, event: _Fill) -> None:
        self._has_traded[event.market_id] = True
        path = self._prepared.paths[event.market_id]
        step = entry.sim_time_us // path.step_us
        if self._prepared.scenario.is_purging:
            # Which price it is, the end tells; until the next step it stays.
            key = (event.market_id, step)
            reference = self._purged.setdefault(key, event.reference_price_e8)
            self.census["fill in a purged market"] += 1
            self.census["fill off history"] += reference != path.prices_e8[step]
        else:
            reference = int(path.prices_e8[step])
        assert event.reference_price_e8 == reference
        book = self._markets[event.market_id].liquidity
        if isinstance(book, NoImpact):
            assert event.price_e8 == event.market_price_e8 == reference
        elif event.quantity_e8 < 0:
            assert event.price_e8 >= event.market_price_e8 - 1
        else:
            assert event.price_e8 <= event.market_price_e8 + 1
        if isinstance(book, Ladder):
            self.census["fill in a ladder"] += 1
        elif isinstance(book, PowerBook) and book.fill_depth_uusd is not None:
            start = int(path.prices_e8[0])
            changes = [c.multiplier_e6 for c in book.schedule if c.at_us <= entry.sim_time_us]
            own = Fraction(book.fill_depth_uusd * _E16 * [10**6, *changes][-1], start * 10**6)
            assert abs(event.quantity_e8) <= own + 1
            self.census["fill in a capped book"] += 1

    def _arrived(self, entry: Entry, event: OrderFilled | PositionReduced) -> None:
        """Check that an order met the price that it moved, or that the one before it left."""
        sign = 1 if event.quantity_e8 > 0 else -1
        assert sign * (event.price_e8 - event.arrival_price_e8) >= -1
        assert sign * (event.market_price_e8 - event.arrival_price_e8) >= -1
        if isinstance(self._markets[event.market_id].liquidity, NoImpact):
            assert event.arrival_price_e8 == event.reference_price_e8
        at_us, left_e8 = self._left_at.get(event.market_id, (-1, 0))
        if at_us == entry.sim_time_us:
            assert event.arrival_price_e8 == left_e8
            self.census["order after another in one instant"] += 1
        self._left_at[event.market_id] = entry.sim_time_us, event.market_price_e8

    def _taken_over(self, entry: Entry, event: TrancheTakenOver) -> None:
        bucket, keeper = event.bucket_id, event.keeper_id
        if keeper in self._bidders:
            self._lot_taken(entry, event)
            return
        _, tranche = self._tranches[event.tranche_seq]
        mark, _, _ = self._marks[event.market_id]
        keepers, fees = self._venue.keepers, self._venue.fees
        is_long = self._units[event.market_id][bucket] > 0
        assert event.market_id == self._market_of_tranche(event)
        is_vault = keeper in self._vaults
        if is_vault:
            self._vault_took(entry, event, tranche)
        elif self._venue.desk_in_use is not None:
            self._desk_took(entry, event)
        else:
            assert keepers is not None
            self._called(entry, event)
            assert abs(event.quantity_e8) == tranche.left, "all or nothing"
            assert event.price_e8 == self._discounted(mark, keepers.discount_e6, is_long=is_long)
            closed = max(self._closing(tranche, event.market_id, tranche.left), 1)
            limit = self._limit(event.market_id, bucket, tranche.left, closed)
            if (event.price_e8 < limit) if is_long else (event.price_e8 > limit):
                assert tranche.nobody_shares or tranche.queue is not None
                self.census["forced takeover"] += 1
        price_of_all = -(-abs(event.quantity_e8) * event.price_e8 // _E16)
        assert price_of_all + event.call_cost_uusd <= self._free(keeper)
        rates = fees.liquidation_on_mark_e6, fees.liquidation_on_execution_e6
        self._executed(entry, event, rates, mark)
        is_keeper = not is_vault and self._venue.desk_in_use is None
        self._pays_for_it(entry, event, keeper if is_keeper else -1)
        if is_vault:
            tranche.vaulted += abs(event.quantity_e8)
        else:
            tranche.taken += abs(event.quantity_e8)
        self._trade(bucket, keeper, event)
        held, most = abs(self._units[event.market_id][keeper]), (keeper, event.market_id)
        self._most_held[most] = max(self._most_held[most], held) if held else 0
        self._pay(bucket, TREASURY, event.fee_uusd)
        self._pay(keeper, NETWORK, event.call_cost_uusd)

    def _pays_for_it(
        self,
        entry: Entry,
        event: Any,
        keeper: int,
        slices: list[tuple[int, int, int]] | None = None,
    ) -> None:
        """Have what the treasury must pay for an execution worked out, before it moves anything."""
        bucket, market = event.bucket_id, event.market_id
        is_long, mark = self._units[market][bucket] > 0, self._marks[market][0]
        asked = Asked(entry.sim_time_us, bucket, market, 0, 0, mark, is_long)

        def holds(size: int, distance_e6: int, ticks: int) -> bool:
            return self._slicing.holds(asked, distance_e6, size, ticks)

        self._incentives.executed(
            Executed(
                entry=entry,
                market=market,
                keeper=keeper,
                since_us=self._open[bucket].triggered_at,
                below_uusd=max(-self._margin(bucket) * 10**6, Fraction(0)),
                mark_e8=mark,
                holds=holds,
                lacking_uusd=self._lacking(asked, event, keeper),
            ),
            slices or [(event.tranche_seq, bucket, self._penalty(event))],
        )

    def _penalty(self, event: Any) -> int:
        """Return what an account pays for an execution beyond what any order costs."""
        if not isinstance(event, OrderFilled):
            return int(event.fee_uusd)
        rate = Fraction(self._venue.fees.taker_e6, 10**6)
        taker = math.ceil(rate * abs(event.quantity_e8) * event.price_e8 / _E16)
        self.census["taker fee beside a penalty"] += 0 < taker < event.fee_uusd
        return max(event.fee_uusd - taker, 0)

    def _lacking(self, asked: Asked, event: Any, keeper: int) -> Fraction | None:
        """Return what a takeover lacked to the profit asked for; None where that is not known."""
        keepers, before = self._venue.keepers, self.entries[-2]
        if keeper < 0 or keepers is None or before.sim_time_us == asked.at_us:
            return None  # What happened in this instant may have come after the call was sent.
        bot, size = keepers.bots[keeper - _FIRST_KEEPER], abs(event.quantity_e8)
        if bot.min_profit_uusd is None or event.sent_at_us != asked.at_us:
            return None
        part = -(-size // bot.resale_parts)
        fill = self._slicing.fill(asked, part)
        assert fill is not None
        assert abs(fill.quantity_e8) == part
        gain = fill.price_e8 - event.price_e8 if asked.is_long else event.price_e8 - fill.price_e8
        return bot.min_profit_uusd + bot.call_cost_uusd - Fraction(size * gain, _E16)

    def _penalty_routed(self, entry: Entry, event: PenaltyRouted) -> None:
        self._incentives.routed(entry, event)
        self._pay(TREASURY, event.receiver_id, event.amount_uusd)

    def _keeper_rewarded(self, entry: Entry, event: KeeperRewarded) -> None:
        self._incentives.rewarded(entry, event)
        self._pay(TREASURY, event.keeper_id, event.amount_uusd)

    @staticmethod
    def _discounted(mark: int, discount_e6: int, *, is_long: bool) -> int:
        exact = Fraction(mark * (10**6 + (-1 if is_long else 1) * discount_e6), 10**6)
        return max(-(-exact // 1) if is_long else exact // 1, 1)

    def _free(self, keeper: int) -> int:
        """Return the capital of a keeper of which a short ties up its proceeds and as much."""
        tied = sum(
            -2 * (units[keeper] * self._marks[number][0] // _E16)
            for number, units in enumerate(self._units)
            if units[keeper] < 0
        )
        pool = self._vaults.get(keeper)
        if not isinstance(pool, Pool) or pool.leverage_e6 == 10**6:
            return self._cash[keeper] - tied
        longs = sum(
            max(units[keeper], 0) * self._marks[number][0] // _E16
            for number, units in enumerate(self._units)
        )
        capital = self._cash[keeper] + longs - tied // 2
        self.census["a pool keeps a part of its capital"] += 1
        return capital * pool.leverage_e6 // 10**6 - longs - tied // 2

    def _desk_share(self, event: TrancheStarted) -> tuple[int, int]:
        """Return how much the desk takes of a slice, and its price."""
        terms, market, bucket = self._venue.desk_in_use, event.market_id, event.bucket_id
        if terms is None:
            return 0, 0
        is_long, size = event.quantity_e8 < 0, abs(event.quantity_e8)
        mark, _, _ = self._marks[market]
        if terms.price == "bankruptcy":
            price = self._bankruptcy(market, bucket)
        else:
            price = self._discounted(mark, terms.discount_e6, is_long=is_long)
            held = abs(self._units[market][bucket])
            units = held * size // self._base(market, bucket, held, event.mark_price_e8)
            limit = self._limit(market, bucket, size, max(units, 1))
            if (price < limit) if is_long else (price > limit):
                return 0, price
        if not 0 < price < 10**18:
            return 0, price
        held = self._units[market][_FIRST_KEEPER]
        room = Fraction(terms.position_limit_uusd * _E16, mark) + (-held if is_long else held)
        paid_for = Fraction(max(self._free(_FIRST_KEEPER), 0) * _E16, price)
        return max(int(min(size, room // 1, paid_for // 1)), 0), price

    def _vault_share(self, vault: int, tranche: _Tranche, bucket: int) -> tuple[int, int]:
        """Return how much a vault takes of what is left of a slice now, and its price."""
        spec = self._vaults[vault]
        market = self._market_of_tranche(self.entries[tranche.seq].event, of_start=True)
        position, left = self._units[market][bucket], tranche.left
        if spec.market not in ("", self._markets[market].name) or not left or not position:
            return 0, 0
        if (vault, self._now) in tranche.asked or vault in tranche.ahead:
            return 0, 0  # What it gained by taking over might pay for more: it is asked once.
        mark, _, _ = self._marks[market]
        is_long = position > 0
        price = self._discounted(mark, spec.discount_e6, is_long=is_long)
        limit = self._limit(market, bucket, left, max(self._closing(tranche, market, left), 1))
        if (price < limit) if is_long else (price > limit):
            return 0, price
        held = self._units[market][vault]
        room = Fraction(spec.position_limit_uusd * _E16, mark) + (-held if is_long else held)
        paid_for = Fraction(max(self._free(vault), 0) * _E16, price)
        return max(int(min(left, room // 1, paid_for // 1)), 0), price

    def _vault_took(self, entry: Entry, event: TrancheTakenOver, tranche: _Tranche) -> None:
        assert (event.call_cost_uusd, event.sent_at_us) == (0, entry.sim_time_us)
        assert entry.cause_seq == event.tranche_seq
        assert event.quantity_e8
        if self._absorbs is not None:
            said = event.keeper_id, abs(event.quantity_e8), event.price_e8
            assert said == self._absorbs
            self._absorbs = None
            tranche.ahead.add(event.keeper_id)
            return
        due = [self._vault_share(v, tranche, event.bucket_id) for v in self._vaults]
        place = list(self._vaults).index(event.keeper_id)
        assert not any(size for size, _ in due[:place]), "an earlier vault could"
        tranche.asked |= {(vault, self._now) for vault in list(self._vaults)[: place + 1]}
        assert (abs(event.quantity_e8), event.price_e8) == due[place]
        if isinstance(self._vaults[event.keeper_id], Pool):
            self.census["a pool is the last resort"] += 1
            return
        self.census["taken over by a vault"] += 1
        self.census["a vault takes a part"] += due[place][0] < tranche.left

    def _goes_ahead(self, entry: Entry, event: DecisionRecorded) -> None:
        """Check that a pool goes ahead of the book when it must, and what it saw there."""
        tranche, (pool,) = self._ahead_of, self._purses[event.mitigation_id]
        assert tranche is not None, "the book has been asked"
        assert pool not in tranche.ahead
        pools = [v for v, spec in self._vaults.items() if isinstance(spec, Pool)]
        for before in pools[: pools.index(pool)]:
            assert before in tranche.ahead or not self._must_go_ahead(before, tranche)
        spec, (size, price) = self._vaults[pool], self._vault_share(pool, tranche, event.bucket_id)
        assert event.action is Action.ABSORBED
        assert (event.wanted_e8, event.size_e8) == (tranche.left, size)
        assert size
        assert event.amount_uusd == self._free(pool)
        assert (entry.cause_seq, event.bucket_id) == (tranche.seq, self._bucket_of(tranche))
        assert event.market_id == self._market_of_tranche(self._start_of(tranche), of_start=True)
        given = self._given_by_book(event.market_id, tranche)
        assert event.book_price_e8 == (NOT_OBSERVED if given is None else given)
        assert self._must_go_ahead(pool, tranche)
        self._absorbs = pool, size, price
        self.census[f"a pool goes ahead: {spec.when}"] += 1
        self.census["a pool's capital is exhausted"] += (
            size * price // _E16 >= event.amount_uusd - 1_000
        )
        self.census["a pool takes a part"] += size < tranche.left
        self.census["a pool sees too small a book"] += given is None

    def _must_go_ahead(self, pool: int, tranche: _Tranche) -> bool:
        spec, start = self._vaults[pool], self._start_of(tranche)
        size, price = self._vault_share(pool, tranche, start.bucket_id)
        given = self._given_by_book(start.market_id, tranche) if size else None
        if not size or spec.when == "always" or given is None:
            return size > 0
        sign = 1 if tranche.order < 0 else -1
        self.census["a pool leaves it to the book"] += sign * (given - price) >= 0
        return sign * (given - price) < 0

    def _given_by_book(self, market: int, tranche: _Tranche) -> int | None:
        """Return the average price of what is left in the live book, before this event."""
        desk, now = self._simulation.context.markets[market], self.entries[tranche.seq].sim_time_us
        order = tranche.left if tranche.order > 0 else -tranche.left
        fill = desk.liquidity.fill(desk.state.book, now, desk.path.at(now), order, None)
        return None if fill is None or fill.quantity_e8 != order else fill.price_e8

    def _start_of(self, tranche: _Tranche) -> TrancheStarted:
        started = self.entries[tranche.seq].event
        assert isinstance(started, TrancheStarted)
        return started

    def _bucket_of(self, tranche: _Tranche) -> int:
        return self._start_of(tranche).bucket_id

    def _no_pool_was_passed_over(self, event: Any) -> None:
        """Check that no pool had to go ahead, once something else than a takeover follows."""
        tranche = self._ahead_of
        assert tranche is not None
        by_desk = isinstance(event, TrancheTakenOver) and event.keeper_id not in self._vaults
        if self._absorbs is not None:
            assert isinstance(event, TrancheTakenOver)
            assert event.keeper_id == self._absorbs[0]
        elif not by_desk and not isinstance(event, _OF_A_TAKEOVER):
            for vault, spec in self._vaults.items():
                if isinstance(spec, Pool) and vault not in tranche.ahead:
                    assert not self._must_go_ahead(vault, tranche), "a pool was passed over"
            self._ahead_of = None

    def _no_vault_could(self, tranche: _Tranche, bucket: int) -> None:
        for vault in self._vaults:
            size, _ = self._vault_share(vault, tranche, bucket)
            assert not size, f"vault {vault} could take {size} before"

    def _desk_took(self, entry: Entry, event: TrancheTakenOver) -> None:
        started = self.entries[event.tranche_seq].event
        assert isinstance(started, TrancheStarted)
        assert entry.seq == event.tranche_seq + 1, "before anything else"
        assert (abs(event.quantity_e8), event.price_e8) == self._desk_share(started)
        assert event.quantity_e8
        assert (event.keeper_id, event.call_cost_uusd) == (_FIRST_KEEPER, 0)
        assert (event.sent_at_us, entry.cause_seq) == (entry.sim_time_us, event.tranche_seq)
        self.census["taken over by the desk"] += 1
        self.census["desk takes a part"] += abs(event.quantity_e8) < abs(started.quantity_e8)

    def _market_of_tranche(self, event: Any, *, of_start: bool = False) -> int:
        started = event if of_start else self.entries[event.tranche_seq].event
        assert isinstance(started, TrancheStarted)
        return started.market_id

    def _called(self, entry: Entry, event: TrancheTakenOver | KeeperCallFailed) -> None:
        keepers = self._venue.keepers
        assert keepers is not None
        bot = keepers.bots[event.keeper_id - _FIRST_KEEPER]
        started = self.entries[event.tranche_seq]
        assert entry.cause_seq == event.tranche_seq
        assert event.call_cost_uusd == bot.call_cost_uusd
        assert started.sim_time_us <= event.sent_at_us <= entry.sim_time_us
        assert not any(start <= event.sent_at_us < end for start, end in bot.downtime)
        if bot.landing.median_us == bot.landing.p99_us:
            assert entry.sim_time_us == event.sent_at_us + bot.landing.median_us

    def _call_failed(self, entry: Entry, event: KeeperCallFailed) -> None:
        liquidation, tranche = self._tranches[event.tranche_seq]
        is_open = liquidation.tranche is tranche and not tranche.taken
        self._called(entry, event)
        self.census[f"call failed: {event.reason.name.lower()}"] += 1
        if event.reason is FailedCall.LOST_RACE:
            assert not is_open or liquidation.bucket not in self._open or tranche.queue is not None
        elif event.reason is FailedCall.PURSE_SHORT:
            assert is_open
        elif event.reason is FailedCall.RESTORED:
            assert not tranche.taken
        elif event.reason is FailedCall.HALTED:
            assert not is_open
            assert not tranche.taken
        self._pay(event.keeper_id, NETWORK, event.call_cost_uusd)

    def _sold(self, entry: Entry, event: InventorySold) -> None:
        keeper, market = event.keeper_id, event.market_id
        inventory = self._units[market][keeper]
        cause = self.entries[entry.cause_seq].event
        assert isinstance(cause, TrancheTakenOver)
        assert (cause.keeper_id, cause.market_id) == (keeper, market)
        keepers, bot, downtime = self._venue.keepers, self._venue.desk_in_use, ()
        if keeper in self._vaults or keeper in self._bidders:
            bot = self._vaults.get(keeper) or self._bidders[keeper]
        elif bot is None:
            assert keepers is not None
            bot = keepers.bots[keeper - _FIRST_KEEPER]
            downtime = bot.downtime
        part = min(abs(inventory), -(-self._most_held[keeper, market] // bot.resale_parts))
        assert event.ordered_e8 == (-part if inventory > 0 else part)
        if part < abs(inventory):
            self.census["part of an inventory"] += 1
        spacing = bot.resale_spacing_us or bot.resale_delay_us
        assert entry.sim_time_us >= self._sells_from.get((keeper, market), 0)
        assert entry.sim_time_us >= bot.resale_delay_us
        assert not any(start <= entry.sim_time_us < end for start, end in downtime)
        assert event.quantity_e8 * inventory < 0
        assert abs(event.quantity_e8) <= abs(inventory)
        if abs(event.quantity_e8) < abs(inventory):
            self.census["partial resale"] += 1
        if isinstance(bot, Pool):
            gain = (event.price_e8 - cause.price_e8) * (1 if inventory > 0 else -1)
            self.census["a pool exits at a loss"] += gain < 0
            self.census["a pool exits at a profit"] += gain > 0
        self._priced(entry, event)
        self._trade(keeper, MAKERS, event)
        if event.quantity_e8 != event.ordered_e8:
            half_life = self._half_life_us(market, entry.sim_time_us)
            self.census["a resale cut short"] += half_life > spacing
            spacing = max(spacing, half_life)
        self._sells_from[keeper, market] = entry.sim_time_us + spacing
        if not self._units[market][keeper]:
            self._most_held[keeper, market] = 0
            del self._sells_from[keeper, market]

    def _half_life_us(self, market: int, at_us: int) -> int:
        book = self._markets[market].liquidity
        assert not isinstance(book, NoImpact), "it fills every order"
        changed = [c.half_life_us for c in book.schedule if c.at_us <= at_us]
        return changed[-1] if changed else book.half_life_us

    def _surplus(self, entry: Entry, event: SurplusRouted) -> None:
        assert event.amount_uusd > 0
        self._pay(event.bucket_id, FUND, event.amount_uusd)

    def _drawn(self, entry: Entry, event: FundDrawn) -> None:
        assert event.amount_uusd > 0
        market = self._market_of_tranche(event)
        if not isinstance(self.entries[entry.cause_seq].event, OrderFilled | TrancheTakenOver):
            wanted = min(-self._cash[event.bucket_id], self._cash[FUND])
            cause, bucket = entry.cause_seq, event.bucket_id
            self._caps_are(bucket, market, cause, wanted, lambda most: most < wanted, "a hole")
            self._hole_paid = event.tranche_seq
        self._pay(FUND, event.bucket_id, event.amount_uusd)
        assert event.balance_uusd == self._cash[FUND]
        self._newest_draw = entry.seq
        self._fund_judge.pays(self._now, market, event.tranche_seq, event.amount_uusd)

    def _room_in(self, market: int, account: int, mark: int) -> int:
        """Return the units that can close a position against a slice cut at a mark."""
        held = abs(self._units[market][account])
        if self._markets[market].contract != "inverse":
            return held
        return held * self._entry_price[market, account] // mark

    def _queue(self, market: int, bucket: int, price: int, mark: int) -> list[tuple[int, int]]:
        """Return minus rank and number of who could be closed against *bucket*, best first."""
        long = self._units[market][bucket] > 0
        ranked = []
        for other in range(self._first_bucket, len(self._cash)):
            quantity = self._units[market][other]
            if other in self._open or not quantity or (quantity > 0) == long:
                continue
            if not self._room_in(market, other, mark):
                continue
            profit = Fraction(quantity * (price - self._entry_price[market, other]), 10**16)
            backing = Fraction(self._backing(market, other, price), 10**6)
            equity = backing + Fraction(quantity * price, 10**16)
            if profit <= 0 or equity < 0:
                continue
            # Cut to six decimals and to a million: rounding alone ranks nobody.
            margin, rank = equity - profit, 10**12
            entered = Fraction(self._entry_price[market, other])
            gain = {
                "ranked": profit / margin if margin > 0 else None,
                "bitmex": profit * 10**16 / (abs(quantity) * entered),
                "hyperliquid": price / entered if quantity > 0 else entered / price,
            }.get(self._venue.waterfall.deleveraging, Fraction(1))
            if gain is not None and equity > 0:
                notional = Fraction(abs(quantity) * self._counted_at(market, other, price), 10**16)
                score = gain * notional / equity
                rank = min(score * 10**6 // 1, rank)
            ranked.append((-rank, other))
        return sorted(ranked)

    def _parts(
        self, market: int, queue: list[tuple[int, int]], left: int, mark: int
    ) -> list[tuple[int, int]]:
        """Return who of a queue is closed for *left* units, in order, and by how many."""
        waterfall = self._venue.waterfall
        cap = Fraction(waterfall.deleveraging_cap_e6, 10**6)
        rooms = {other: int(self._room_in(market, other, mark) * cap) for _, other in queue}
        if waterfall.deleveraging not in ("pro_rata", "risk_weighted"):
            parts = []
            for _, other in queue:
                parts.append((other, min(left, rooms[other])))
                left -= min(left, rooms[other])
            return [part for part in parts if part[1]]
        weights = {}
        for minus_rank, other in queue:
            leverage = max(-minus_rank, 1) if waterfall.deleveraging == "risk_weighted" else 1
            weights[other] = rooms[other] * leverage
        # Whoever would give more than it may gives that; one after the other, to the same end.
        whole: dict[int, int] = {}
        free = {other: weight for other, weight in sorted(weights.items()) if weight}
        while free and left:
            most = max(free, key=lambda other: Fraction(free[other], rooms[other]))
            if Fraction(left * free[most], sum(free.values())) < rooms[most]:
                whole |= _split(left, free)
                break
            whole[most] = rooms[most]
            left -= rooms[most]
            del free[most]
        self.census["deleveraged to the full"] += len(whole) > 1 and not left
        return [(other, whole[other]) for other in sorted(whole) if whole[other]]

    def _deleveraged(self, entry: Entry, event: PositionDeleveraged) -> None:
        bucket, other = event.bucket_id, event.counterparty_id
        _, tranche = self._tranches[event.tranche_seq]
        rule = self._venue.waterfall.deleveraging
        assert rule != "none"
        assert self._open[bucket].tranche is tranche
        assert entry.cause_seq == event.tranche_seq
        if tranche.queue is None:
            self._no_vault_could(tranche, bucket)
            tranche.deleverage_price = self._bankruptcy(event.market_id, bucket)
            queue = self._queue(event.market_id, bucket, tranche.deleverage_price, tranche.mark)
            tranche.queue = self._parts(event.market_id, queue, tranche.left, tranche.mark)
            self.census["deleveraging"] += 1
            self.census[f"deleveraging: {rule}"] += 1
        number = event.rank_number
        before = self.entries[-2]
        was_settled = isinstance(before.event, CoinsSettled)
        assert was_settled or before.cause_seq == event.tranche_seq or number == 1
        assert (event.price_e8, event.market_id) == (
            tranche.deleverage_price,
            self._market_of_tranche(event),
        )
        self.census["deleveraged cross"] += self._is_cross(other)
        next_up, size = tranche.queue[number - 1]
        assert other == next_up, "not the next in rank"
        held = self._units[event.market_id][other]
        room = self._room_in(event.market_id, other, tranche.mark)
        assert size <= tranche.left
        self.census["deleveraged to a cap"] += size < min(room, tranche.left)
        if self._markets[event.market_id].contract == "inverse":
            units = self._closing(tranche, event.market_id, size)
            tranche.units -= units
            self._owe_coins(event.market_id, bucket, units, event.price_e8, entry.seq)
            against = abs(held) * size // room
            self._owe_coins(event.market_id, other, against, event.price_e8, entry.seq)
            self.census["deleveraged inverse"] += 1
        assert event.quantity_e8 == (size if tranche.order > 0 else -size)
        assert held * event.quantity_e8 > 0, "never flips"
        if number == len(tranche.queue) and size < tranche.left:
            self.census["queue exhausted"] += 1
        tranche.deleveraged += size
        self._trade(bucket, other, event)

    # The last layers ------------------------------------------------------------------------------

    def _stakes(self, market: int, bucket: int) -> list[tuple[int, int, int, int]]:
        """Return (mitigation, staker, basis, amount) of all that a hole takes of stakes."""
        rows, owed = [], max(-self._cash[bucket], 0)
        for number, spec in enumerate(self._mitigations):
            if isinstance(spec, Staking) and spec.market in ("", self._markets[market].name):
                share = Fraction(spec.max_share_e6, 10**6)
                most = {s: self._cash[s] * share // 1 for s in self._purses[number]}
                most = {staker: part for staker, part in most.items() if part}
                for staker, part in _split(min(owed, sum(most.values())), most).items():
                    owed -= part
                    rows.append((number, staker, most[staker], part))
        return [row for row in rows if row[3]]

    def _stake_slashed(self, entry: Entry, event: StakeSlashed) -> None:
        bucket, market = event.bucket_id, self._market_of_tranche(event)
        if self._shares is None:
            assert self._slice_of(bucket) == event.tranche_seq
            assert not self._legs(bucket)
            self._hole_is_the_funds_first(event)
            self._shares = event.tranche_seq, StakeSlashed, self._stakes(market, bucket)
            self.census["slashed for a hole"] += 1
            whole = sum(amount for *_, amount in self._shares[2])
            self.census["slashed in part of a hole"] += whole < -self._cash[bucket]
        assert entry.cause_seq == event.tranche_seq == self._shares[0]
        right = self._shares[2].pop(0)
        assert (event.mitigation_id, event.staker_id, event.basis_uusd, event.amount_uusd) == right
        assert event.amount_uusd <= event.basis_uusd
        self._pay(event.staker_id, bucket, event.amount_uusd)
        assert event.balance_uusd == self._cash[event.staker_id] >= 0

    def _stakes_are_gone(self, event: Any) -> None:
        """Check that stakes have paid what they can before the layers that follow."""
        if not isinstance(self.entries[-2].event, StakeSlashed):
            assert not self._stakes(self._market_of_tranche(event), event.bucket_id)

    def _profit_cut(self, entry: Entry, event: ProfitCut) -> None:
        self._expect_share(entry, event, self._cuts)
        self._entry_price[event.market_id, event.payer_id] = event.entry_price_e8
        if event.amount_uusd == event.basis_uusd:
            self.census["profit cut whole"] += 1

    def _loss_socialised(self, entry: Entry, event: LossSocialised) -> None:
        if self._shares is None:
            cuts = self._cuts(event.market_id, event.bucket_id)
            was_cut = isinstance(self.entries[-2].event, ProfitCut)
            assert was_cut or not cuts, "profits pay first"
        self._expect_share(entry, event, self._socialised)

    def _index_moved(self, entry: Entry, event: FundingIndexMoved) -> None:
        """Check over which units a hole is spread, and work out what each account then pays."""
        assert self._venue.waterfall.socialise == "funding_index"
        market, bucket, loss = event.market_id, event.bucket_id, -self._cash[event.bucket_id]
        _, tranche = self._tranches[event.tranche_seq]
        assert self._open[bucket].tranche is tranche
        assert not self._legs(bucket)
        assert market == self._market_of_tranche(event)
        assert entry.cause_seq == event.tranche_seq
        self._hole_is_the_funds_first(event)
        if not isinstance(self.entries[-2].event, ProfitCut):
            self._stakes_are_gone(event)
            assert not self._cuts(market, bucket), "profits pay first"
        rows = self._socialised(market, bucket)
        units = sum(self._units[market][payer] for payer, _, _ in rows)
        assert (event.units_e8, event.loss_uusd) == (units, loss)
        paid = sum(amount for _, _, amount in rows)
        assert event.residue_uusd == max(paid - loss, 0) < len(rows)
        assert rows
        self.census["index moved: longs pay" if units > 0 else "index moved: shorts pay"] += 1
        self.census["index moved: a residue"] += event.residue_uusd > 0
        self.census["index moved: bad debt is left"] += paid < loss
        self._shares = event.tranche_seq, LossSocialised, rows
        self.census["loss_socialised: funding_index"] += 1
        self._pay(bucket, FUND, event.residue_uusd)

    def _expect_share(
        self, entry: Entry, event: Any, work_out: Callable[[int, int], list[Any]]
    ) -> None:
        """Compare with what the layer must bring, worked out before its first event."""
        bucket = event.bucket_id
        if self._shares is None or self._shares[0] != event.tranche_seq:
            _, tranche = self._tranches[event.tranche_seq]
            assert self._open[bucket].tranche is tranche
            assert not self._legs(bucket)
            self._hole_is_the_funds_first(event)
            if isinstance(event, ProfitCut) or not isinstance(self.entries[-2].event, ProfitCut):
                self._stakes_are_gone(event)
            self._shares = event.tranche_seq, type(event), work_out(event.market_id, bucket)
            self.census[f"{event.TAG}: {self._mode_of(event)}"] += 1
        assert entry.cause_seq == event.tranche_seq
        right = self._shares[2].pop(0)
        price = (event.entry_price_e8,) if isinstance(event, ProfitCut) else ()
        assert (event.payer_id, event.basis_uusd, event.amount_uusd, *price) == right
        assert event.mark_price_e8 == self._marks[event.market_id][0]
        assert event.market_id == self._market_of_tranche(event)
        if self._is_cross(event.payer_id):
            self.census["cross account pays"] += 1
        assert event.amount_uusd > 0
        self._pay(event.payer_id, bucket, event.amount_uusd)
        assert not self._is_due(self._margin(event.payer_id)), "due by paying"

    def _mode_of(self, event: Any) -> str:
        waterfall = self._venue.waterfall
        return waterfall.profit_haircut if isinstance(event, ProfitCut) else waterfall.socialise

    def _room(self, bucket: int) -> int:
        """Return how many micro-USD *bucket* can lose at the marks before it is due."""
        if self._is_cross(bucket) and not all(mark for mark, _, _ in self._marks):
            return 0
        margin = self._margin(bucket) * 10**6
        room = margin // 1
        return max(room - (self._venue.due_at_zero and room == margin), 0)

    def _standing(self, market: int) -> list[int]:
        units = self._units[market]
        return sorted(b for b in self._opened_in if units[b] and b not in self._open)

    def _cuts(self, market: int, bucket: int) -> list[Any]:
        """Return (payer, basis, amount, entry price) of every cut that the hole brings."""
        waterfall = self._venue.waterfall
        mark = self._marks[market][0]
        if waterfall.profit_haircut == "none":
            return []
        worth = {}
        for payer in self._standing(market):
            profit = (mark - self._entry_price[market, payer]) * self._units[market][payer] // _E16
            basis = min(profit, self._room(payer))
            if basis > 0:
                worth[payer] = basis
                if basis < profit:
                    self.census["profit cut by margin"] += 1
        severity = Fraction(waterfall.haircut_severity_e6, 10**6)
        budget = min(-self._cash[bucket] * severity // 1, sum(worth.values()))
        if waterfall.profit_haircut == "queue":
            amounts, left = {}, budget
            for payer in self._ranked(worth, market, mark):
                amounts[payer] = min(left, worth[payer])
                left -= amounts[payer]
        else:
            amounts = _split(budget, worth)
        rows = []
        for payer, amount in amounts.items():
            if amount:
                units, entered = self._units[market][payer], self._entry_price[market, payer]
                exact = entered + Fraction(amount * _E16, units)
                moved = -(-exact // 1) if units > 0 else exact // 1
                rows.append((payer, worth[payer], amount, moved))
        return rows

    def _ranked(self, payers: Any, market: int, mark: int) -> list[int]:
        ranked = []
        for payer in payers:
            units = self._units[market][payer]
            equity = self._backing(market, payer, mark) + Fraction(units * mark, _E16)
            profit = Fraction(units * (mark - self._entry_price[market, payer]), _E16)
            rank = 10**12
            if equity > profit:
                notional = Fraction(abs(units) * self._counted_at(market, payer, mark), _E16)
                score = profit / (equity - profit) * notional / equity
                rank = min(score * 10**6 // 1, rank)
            ranked.append((-rank, payer))
        return [payer for _, payer in sorted(ranked)]

    def _socialised(self, market: int, bucket: int) -> list[Any]:
        """Return (payer, basis, amount) of every share of the hole that is left."""
        key = self._venue.waterfall.socialise
        mark = self._marks[market][0]
        if key == "none":
            return []
        if key == "funding_index":
            return self._charged(market, bucket)
        basis, rooms = {}, {}
        for payer in self._standing(market):
            value = Fraction(self._units[market][payer] * mark, _E16)
            if (room := self._room(payer)) > 0:
                rooms[payer] = room
                equity = self._backing(market, payer, mark) + value
                dollars = abs(self._units[market][payer]) * self._counted_price(market, payer)
                basis[payer] = (equity if key == "equity" else Fraction(dollars, _E16)) // 1
        shares = _split(-self._cash[bucket], basis)
        if any(share > rooms[payer] for payer, share in shares.items()):
            self.census["share capped"] += 1
        amounts = {payer: min(share, rooms[payer]) for payer, share in shares.items()}
        return [(payer, basis[payer], amount) for payer, amount in amounts.items() if amount]

    def _charged(self, market: int, bucket: int) -> list[Any]:
        """Return (payer, charge, amount) of everyone on the side that gained from the move."""
        tranche = self._open[bucket].tranche
        assert tranche is not None
        rooms = {
            payer: self._room(payer)
            for payer in self._standing(market)
            if (self._units[market][payer] < 0) == (tranche.order < 0)
        }
        units = {p: abs(self._units[market][p]) for p, room in rooms.items() if room > 0}
        per_unit = Fraction(-self._cash[bucket], max(sum(units.values()), 1))
        rows = []
        for payer, held in units.items():
            charge = -(-per_unit * held // 1)
            self.census["share capped"] += charge > rooms[payer]
            rows.append((payer, charge, min(charge, rooms[payer])))
        return rows

    def _contribution_paid(self, entry: Entry, event: ContributionPaid) -> None:
        number = event.rule_number - 1
        rule = self._rules_of_backers[number]
        assert event.backer_id == self._backer_of[number]
        assert event.amount_uusd == min(rule.amount_uusd, self._cash[event.backer_id]) > 0
        assert entry.sim_time_us == self._next_payment(number)
        if isinstance(rule, TopUp):
            assert entry.cause_seq == self._newest_draw
            self.census["contribution on a condition"] += 1
        else:
            assert entry.cause_seq == NO_CAUSE
            self.census["contribution at a time"] += 1
        self._paid_by_rule.setdefault(number, []).append(entry.sim_time_us)
        if len(self._paid_by_rule[number]) > 1:
            self.census["contribution again"] += 1
        if event.amount_uusd < rule.amount_uusd:
            self.census["contribution short"] += 1
        self._pay(event.backer_id, FUND, event.amount_uusd)
        assert event.balance_uusd == self._cash[FUND]

    def _next_payment(self, number: int) -> int | None:
        """Return when the rule of a backer pays next, as things stand; None if it does not."""
        rule, paid = self._rules_of_backers[number], self._paid_by_rule.get(number, [])
        if self._cash[self._backer_of[number]] == 0:
            return None
        if not isinstance(rule, TopUp):
            return None if paid else rule.at_us
        if number not in self._below_since or len(paid) == rule.times:
            return None
        return max([self._below_since[number], *(at + rule.min_interval_us for at in paid)])

    def _note_fund(self, at_us: int) -> None:
        for number, rule in enumerate(self._rules_of_backers):
            if isinstance(rule, TopUp):
                if self._cash[FUND] >= rule.when_below_uusd:
                    self._below_since.pop(number, None)
                else:
                    self._below_since.setdefault(number, at_us)

    def _no_payment_was_due_before(self, at_us: int) -> None:
        for number in range(len(self._rules_of_backers)):
            due = self._next_payment(number)
            assert due is None or due >= at_us, f"rule {number + 1} was due at {due}"

    def _bad_debt_recorded(self, entry: Entry, event: BadDebtRecorded) -> None:
        assert entry.cause_seq == event.tranche_seq
        assert not self._legs(event.bucket_id)
        assert self._cash[event.bucket_id] == -event.amount_uusd < 0
        self._hole_is_the_funds_first(event)
        before = type(self.entries[-2].event)
        if before not in (ProfitCut, LossSocialised):
            self._stakes_are_gone(event)
        market = self._market_of_tranche(event)
        assert before in (ProfitCut, LossSocialised) or not self._cuts(market, event.bucket_id)
        assert before is LossSocialised or not self._socialised(market, event.bucket_id)
        if before in (ProfitCut, LossSocialised):
            self.census["bad debt after shares"] += 1
        self._bad_debt[event.bucket_id] += event.amount_uusd

    def _settled(self, entry: Entry, event: TrancheSettled) -> None:
        liquidation, tranche = self._tranches[event.tranche_seq]
        assert liquidation.tranche is tranche
        assert (entry.cause_seq, event.bucket_id) == (tranche.seq, liquidation.bucket)
        parts = event.filled_e8, event.taken_over_e8, event.deleveraged_e8
        home = self._market_of_tranche(event)
        if not self._legs(event.bucket_id) and self._coins[home][event.bucket_id]:
            assert self._cash[event.bucket_id] >= 0, "its coins could pay"
            self.census["coins left over"] += 1
        assert parts == (tranche.filled, tranche.taken + tranche.vaulted, tranche.deleveraged)
        bucket = event.bucket_id
        is_stopped = self._is_stale(bucket, entry.sim_time_us) or not self._is_due(
            self._restored_margin(bucket)
        )
        if event.cancelled_e8 and self._venue.executor != "keepers" and not is_stopped:
            self._no_vault_could(tranche, bucket)
        assert event.crossed_e8 == tranche.crossed
        assert sum(parts) + event.cancelled_e8 + event.crossed_e8 == abs(tranche.order)
        assert tranche.seq != self._asker or not self._meets, "somebody was not met"
        liquidation.tranche = None
        liquidation.settled_at, liquidation.settled_seq = entry.sim_time_us, entry.seq
        self._settled_at[event.bucket_id] = entry.sim_time_us
        if (
            self._venue.engine
            and not tranche.is_meeting
            and self._order != (tranche.seq, entry.sim_time_us)
        ):
            # Perhaps after an order that got nothing, of which no event tells.
            at = entry.sim_time_us
            self._maybe_free_at.append(at + self._order_us(at))
        is_stale = self._is_stale(event.bucket_id, entry.sim_time_us)
        is_halted = self._halts.is_halted(home, entry.sim_time_us)
        liquidation.was_cancelled = event.cancelled_e8 > 0 and not (is_stale or is_halted)
        self.census["rest cancelled by a halt"] += is_halted and event.cancelled_e8 > 0
        if is_stale and event.cancelled_e8 and self._venue.executor != "keepers":
            self.census["rest cancelled on an old mark"] += 1
        if event.cancelled_e8:
            self.census["tranche cancelled"] += 1

    def _ended(self, entry: Entry, event: LiquidationEnded) -> None:
        bucket = event.bucket_id
        liquidation = self._open.pop(bucket)
        self._crossings.put_up(bucket)
        self._auctions.forget(bucket)
        self._released.add(bucket)  # Watched again, before or after the look of this instant.
        assert liquidation.tranche is None
        assert (event.liquidation_seq, event.market_id) == (liquidation.seq, liquidation.market)
        cause = liquidation.settled_seq if liquidation.count else liquidation.seq
        assert entry.cause_seq == cause
        assert event.quantity_e8 == self._units[event.market_id][bucket]
        assert event.cash_uusd == self._cash[bucket]
        if self._legs(bucket):
            assert event.outcome is LiquidationOutcome.RESTORED
            assert not self._is_due(self._restored_margin(bucket))
            self.census["restored"] += 1
            if not liquidation.count:
                self.census["restored before any tranche"] += 1
        else:
            assert event.outcome is LiquidationOutcome.CLOSED
            assert self._cash[bucket] >= 0 or self._cash[bucket] == -self._bad_debt[bucket]
            self.census["closed"] += 1

    def _unresolved(self, entry: Entry, event: LiquidationUnresolved) -> None:
        liquidation = self._open[event.bucket_id]
        legs = self._legs(event.bucket_id)
        mark_at = min(self._marks[leg][2] for leg in legs)
        assert entry.sim_time_us == self._end_us - 1
        assert entry.cause_seq == event.liquidation_seq == liquidation.seq
        assert event.quantity_e8 == self._units[event.market_id][event.bucket_id]
        assert event.market_id == liquidation.market
        self.census[f"unresolved: {event.reason.name.lower()}"] += 1
        match event.reason:
            case UnresolvedReason.NO_EXECUTOR:
                if self._venue.executor == "keepers":
                    assert liquidation.tranche is not None
                else:
                    assert self._venue.engine is not None
                    self.census["engine behind or down at the end"] += 1
            case UnresolvedReason.NO_DEPTH:
                assert liquidation.tranche is None
                assert liquidation.was_cancelled
            case UnresolvedReason.SPACING:
                assert liquidation.tranche is None
                settled_at = self._settled_at[event.bucket_id]  # Maybe by a liquidation before it.
                assert entry.sim_time_us < settled_at + self._venue.tranches.spacing_us
            case UnresolvedReason.HALTED:
                at = entry.sim_time_us
                assert liquidation.tranche is None
                assert any(
                    self._halts.is_halted(m, at) or self._halts.in_grace(m, at) for m in legs
                )
            case UnresolvedReason.PACED:
                until = self._pacing.until(event.bucket_id) or 0
                held_until = self._crossings.held_until(event.bucket_id)
                self.census["held at the end"] += held_until >= self._end_us
                until = max(until, self._auctions.last_until(event.bucket_id))
                until = max(until, self._slicing.waits_until(event.bucket_id), held_until)
                assert until >= self._end_us
            case UnresolvedReason.NO_FRESH_PRICE:
                assert 0 < self._venue.mark_max_age_us < entry.sim_time_us - mark_at

    def _extremes(self, entry: Entry, event: MarketExtremes) -> None:
        assert entry.sim_time_us == self._end_us - 1
        prices = self._simulation.references[event.market_id].prices_e8
        assert event.start_price_e8 == prices[0]
        assert event.lowest_reference_e8 == prices.min()
        assert event.highest_reference_e8 == prices.max()
        assert event.lowest_market_e8 <= event.end_market_e8 <= event.highest_market_e8
        for earlier in self.entries:
            if isinstance(earlier.event, _Fill) and (earlier.event.market_id == event.market_id):
                price = earlier.event.market_price_e8
                assert event.lowest_market_e8 <= price <= event.highest_market_e8

    # The end --------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Check what holds once the run is over."""
        for (market, step), price in self._purged.items():
            assert self._simulation.references[market].prices_e8[step] == price
        self._nobody_else_is_due()
        self._halts.finish()
        self._incentives.covered()
        self._nobody_forgot_to_act_before(self._end_us)
        self._nobody_else_has_crossed()
        assert all(at_us >= self._end_us for _, at_us in self._changes), "a change is missing"
        self._scalings.finish(self._end_us, self._halts.spans)
        self._reductions.finish(self._end_us)
        self.census["averted"] += len(self._crossed)
        self.census["induced"] += len(self._pending)
        self._one_class_each()
        self.compare()
        assert not self._owed
        assert not self._coins_owed
        self._no_payment_was_due_before(self._end_us)
        count = len(self._markets)
        assert [type(e.event) for e in self.entries[-count:]] == [MarketExtremes] * count
        unresolved = {
            e.event.bucket_id for e in self.entries if isinstance(e.event, LiquidationUnresolved)
        }
        assert unresolved == set(self._open)
        for bucket in range(self._first_bucket, len(self._cash)):
            if not self._legs(bucket):
                assert self._cash[bucket] >= 0 or self._cash[bucket] == -self._bad_debt[bucket]
        # A loss nobody paid needs an execution beyond bankruptcy; deleveraging trades at it, and
        # leaves at most what rounding took from its parts; crossing leaves as much on both sides.
        parts = self.census[PositionDeleveraged.TAG] + 4 * self.census[TranchesCrossed.TAG]
        parts += 2 * self.census["auction: bidders take"]
        is_drained = self.census["funding in a liquidation"] > 0
        # Coins are sold at the mark, which may be beyond it too.
        has_sold_coins = self.census["debt paid in coins"] > 0
        is_explained = self._beyond_bankruptcy or is_drained or has_sold_coins
        assert is_explained or sum(self._bad_debt.values()) <= parts
        for market, spec in enumerate(self._markets):
            if spec.funding is not None and market in self._first_mark_at:
                step, first = spec.funding.interval_us, self._first_mark_at[market]
                due = range((first // step + 1) * step, self._end_us, step)
                assert self._fundings[market] == len(due)
        closing = closing_cash(self.entries)
        assert [closing[owner] for owner in range(len(self._cash))] == self._cash
        self.census["runs"] += 1

    def _one_class_each(self) -> None:
        """Check that classes partition the triggers, and that what was averted is none of them."""
        standings = {
            entry.seq: entry.event.standing
            for entry in self.entries
            if isinstance(entry.event, LiquidationTriggered)
        }
        crossed = Counter(
            entry.event.liquidation_seq
            for entry in self.entries
            if isinstance(entry.event, ShadowCrossed) and entry.event.liquidation_seq != NO_CAUSE
        )
        assert set(crossed.values()) <= {1}
        still = {seq for seq, standing in standings.items() if standing is Standing.OPEN}
        assert crossed.keys() | self._pending.keys() == still
        assert not crossed.keys() & self._pending.keys()
        assert not self._crossed & self._open.keys()


def closing_cash(entries: list[Entry]) -> dict[int, int]:  # noqa: PLR0915 — a line per kind
    """Return the closing cash of every owner, as account statements add up, page by page."""
    pages: defaultdict[tuple[str, int], int] = defaultdict(int)
    for entry in entries:
        event = entry.event
        match event:
            case FundsDeposited():
                pages["deposits", event.owner_id] += event.amount_uusd
                pages["deposits", OUTSIDE] -= event.amount_uusd
            case FundsWithdrawn():
                pages["deposits", event.bucket_id] -= event.amount_uusd
                pages["deposits", OUTSIDE] += event.amount_uusd
            case PositionOpened() | OrderFilled() | TradeFilled() | PositionReduced():
                _page(pages, "fills", event, event.bucket_id, MAKERS)
            case InventorySold():
                _page(pages, "fills", event, event.keeper_id, MAKERS)
            case TrancheTakenOver():
                _page(pages, "takeovers", event, event.bucket_id, event.keeper_id)
            case TranchesCrossed():
                _page(pages, "crossings", event, event.bucket_id, event.counterparty_id)
                pages["fees", event.counterparty_id] -= event.other_fee_uusd
                pages["fees", TREASURY] += event.other_fee_uusd
            case PositionDeleveraged():
                _page(pages, "deleveraging", event, event.bucket_id, event.counterparty_id)
            case SurplusRouted():
                pages["surplus", event.bucket_id] -= event.amount_uusd
                pages["surplus", FUND] += event.amount_uusd
            case FundDrawn():
                pages["draws", event.bucket_id] += event.amount_uusd
                pages["draws", FUND] -= event.amount_uusd
            case ProfitCut() | LossSocialised():
                pages[event.TAG, event.bucket_id] += event.amount_uusd
                pages[event.TAG, event.payer_id] -= event.amount_uusd
            case FundingIndexMoved():
                pages["index", event.bucket_id] -= event.residue_uusd
                pages["index", FUND] += event.residue_uusd
            case StakeSlashed():
                pages["stakes", event.bucket_id] += event.amount_uusd
                pages["stakes", event.staker_id] -= event.amount_uusd
            case ContributionPaid():
                pages["contributions", FUND] += event.amount_uusd
                pages["contributions", event.backer_id] -= event.amount_uusd
            case LeverageFeePaid():
                pages["leverage", event.bucket_id] -= event.amount_uusd
                pages["leverage", FUND] += event.amount_uusd
            case PenaltyRouted():
                pages["penalties", TREASURY] -= event.amount_uusd
                pages["penalties", event.receiver_id] += event.amount_uusd
            case KeeperRewarded():
                pages["rewards", TREASURY] -= event.amount_uusd
                pages["rewards", event.keeper_id] += event.amount_uusd
            case FundingPaid():
                pages["funding", event.bucket_id] -= event.amount_uusd
                pages["funding", MAKERS] += event.amount_uusd
            case CoinsSettled():
                pages["coins", event.account_id] += event.amount_uusd
                pages["coins", MAKERS] -= event.amount_uusd
        if isinstance(
            event, OrderFilled | TrancheTakenOver | TradeFilled | TranchesCrossed | PositionReduced
        ):
            pages["fees", event.bucket_id] -= event.fee_uusd
            pages["fees", TREASURY] += event.fee_uusd
        if isinstance(event, TrancheTakenOver | KeeperCallFailed):
            pages["calls", event.keeper_id] -= event.call_cost_uusd
            pages["calls", NETWORK] += event.call_cost_uusd
    closing: defaultdict[int, int] = defaultdict(int)
    for (_, owner), amount in pages.items():
        closing[owner] += amount
    return closing


def _page(pages: Any, name: str, trade: Any, taker: int, other: int) -> None:
    # A taker pays the ceiling of quantity x price, and receives the floor.
    value, rest = divmod(trade.quantity_e8 * trade.price_e8, _E16)
    pages[name, taker] -= value + (rest > 0)
    pages[name, other] += value + (rest > 0)


def _split(total: int, weights: dict[int, int]) -> dict[int, int]:
    """Split *total* by *weights*: what is left of rounding down, to the largest remainders."""
    if not weights:
        return {}
    exact = {
        key: Fraction(total) * weight / sum(weights.values()) for key, weight in weights.items()
    }
    shares = {key: int(part // 1) for key, part in exact.items()}
    for key in sorted(exact, key=lambda key: (-(exact[key] % 1), key)):
        if sum(shares.values()) < total:
            shares[key] += 1
    return shares


def audited(prepared: Prepared, *actors: Actor) -> Auditor:
    """Run *prepared* under an auditor and return it."""
    auditor = Auditor(prepared)
    simulation = Simulation(prepared, auditor, actors)
    auditor.watch(simulation)
    simulation.run()
    auditor.finish()
    return auditor
