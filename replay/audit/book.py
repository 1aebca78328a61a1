"""
The fold with what an audit notes beside it: how far each liquidation and tranche has come.

The checks themselves are functions of (book, entry, event), one module per subject.
"""

from bisect import bisect_right
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs
import numpy as np
import numpy.typing as npt

from liqsim.events import (
    DecisionRecorded,
    Entry,
    FailedCall,
    FundDrawn,
    FundingIndexMoved,
    FundingSet,
    KeeperRewarded,
    LiquidationTriggered,
    LossSocialised,
    PenaltyRouted,
    ProfitCut,
    StakeSlashed,
    SurplusRouted,
    TrancheStarted,
)
from replay.audit.breakers import Breakers
from replay.audit.budgets import Budget
from replay.audit.caps import FundLimit
from replay.audit.causes import Causes
from replay.audit.contributions import Contributions
from replay.audit.depth import MarketDepth
from replay.audit.findings import Findings, amount_of, e8, usd
from replay.audit.flows import Flows
from replay.audit.graces import Graces
from replay.audit.holds import Holds
from replay.audit.limits import Pacing
from replay.audit.lots import Auctions
from replay.audit.observations import Watched
from replay.fold import FUND, USD, Fold, Move, cost_of
from replay.margin import Leg, LegRule, bankruptcy_price_e8, maintenance_e22, margin_e22
from replay.sights import Sight
from replay.terms import ArrivalTerms, KeeperTerms, MitigationTerms, Terms, TraderTerms

IntArray = npt.NDArray[np.int64]

_BOUND: Final = 10**18
_E6: Final = 10**6
_E10: Final = 10**10


@attrs.define
class TrancheProgress:
    """
    What has become of a tranche so far.

    Attributes:
        start: Its start.
        filled_e8: Units filled.
        taken_over_e8: Units taken over.
        deleveraged_e8: Units deleveraged.
        crossed_e8: Units crossed.
        asked: Vaults that were asked to take some of it over, and when.
        ahead: Pools that have taken some of it over ahead of the book.
        cut: Accounts that were deleveraged for it.
    """

    start: TrancheStarted
    filled_e8: int = 0
    taken_over_e8: int = 0
    deleveraged_e8: int = 0
    crossed_e8: int = 0
    asked: set[tuple[int, int]] = attrs.Factory(set)
    ahead: set[int] = attrs.Factory(set)
    cut: set[int] = attrs.Factory(set)

    @property
    def done_e8(self) -> int:
        """Units executed by any route."""
        return self.filled_e8 + self.taken_over_e8 + self.deleveraged_e8 + self.crossed_e8


@attrs.define
class Ahead:
    """
    A slice that pools may go ahead of the book with.

    Attributes:
        seq: The slice.
        at_us: The instant.
        left: Owner ids of the pools that have not been asked yet, in order.
        due: Who must take how much over, at which price, right now.
    """

    seq: int
    at_us: int
    left: deque[int]
    due: tuple[int, int, int] | None = None


@attrs.define
class InverseSlice:
    """
    What is left of a slice of an inverse position.

    Attributes:
        size_e8: Units of the coin to be executed.
        units_e8: Contract units that they close.
        mark_e8: The mark at which the one was made of the other.
    """

    size_e8: int
    units_e8: int
    mark_e8: int


@attrs.frozen
class CoinsDue:
    """
    What must be settled in coins right after an execution of an inverse position.

    Attributes:
        seq: The execution.
        account_id: Whose.
        units_e8: Contract units that must be left.
        cash_uusd: Cash that must be left.
        price_e8: Price of the execution.
    """

    seq: int
    account_id: int
    units_e8: int
    cash_uusd: int
    price_e8: int


@attrs.define
class LiquidationProgress:
    """
    What has become of a liquidation so far.

    Attributes:
        trigger: Its trigger.
        sizes_e8: Units without sign of each leg at the trigger, by market.
        earliest_us: Before this its next tranche may not start.
        tranches: Tranches started.
        open_tranche: The tranche not settled, or -1.
    """

    trigger: LiquidationTriggered
    sizes_e8: dict[int, int]
    earliest_us: int
    tranches: int = 0
    open_tranche: int = -1


@attrs.define
class Resale:
    """
    An inventory that a keeper sells on.

    Attributes:
        most_held_e8: The most that it has held since it last held nothing.
        earliest_us: Before this the next sale may not be.
    """

    most_held_e8: int
    earliest_us: int


@attrs.define
class Offer:
    """
    A slice on offer to keepers, or that was.

    Attributes:
        start: Its tranche.
        since_us: Since when.
        size_e8: Units on offer, all or nothing.
        is_forced: Whether any price will do, because the first one was beyond the limit.
        ended_as: What a call that lands too late is told; None while the offer stands.
    """

    start: TrancheStarted
    since_us: int
    size_e8: int
    is_forced: bool
    ended_as: FailedCall | None = None


@attrs.define
class Deleveraging:
    """
    An uninterrupted sequence of deleveragings of one tranche; all share one price.

    Attributes:
        tranche_seq: The tranche.
        last_seq: The last of them.
        rank_number: Its rank.
        price_e8: The bankruptcy price before the first.
        queue: Who must be closed still, in order, and by how many units.
    """

    tranche_seq: int
    last_seq: int
    rank_number: int
    price_e8: int
    queue: deque[tuple[int, int]]


@attrs.frozen
class Owed:
    """
    What the fund gains or pays by an execution, to be recorded right after it.

    Attributes:
        seq: The execution.
        kind: `SurplusRouted` or `FundDrawn`, or the decision that the fund may not pay.
        amount_uusd: How much.
        decision: The decision, if it is one.
    """

    seq: int
    kind: type[SurplusRouted | FundDrawn | DecisionRecorded]
    amount_uusd: int
    decision: DecisionRecorded | None = None


@attrs.frozen
class PaymentDue:
    """
    What the treasury must pay right after an execution.

    Attributes:
        seq: The execution.
        event: The payment; where it depends on what the book was seen to hold, for an empty one.
        budget: The budget of a reward.
        market_id: The market.
        is_long: Whether the position is long.
    """

    seq: int
    event: PenaltyRouted | KeeperRewarded
    budget: Budget | None = None
    market_id: int = 0
    is_long: bool = True

    @property
    def is_open(self) -> bool:
        """Whether it depends on what the book was seen to hold."""
        return self.budget is not None and self.budget.law == "scarcity"


@attrs.frozen
class DeskDue:
    """
    What the desk must take over right now.

    Attributes:
        seq: The tranche.
        size_e8: Units.
        price_e8: Price.
    """

    seq: int
    size_e8: int
    price_e8: int


@attrs.define
class Hole:
    """
    What a bucket without a position owes, while others pay for it.

    Attributes:
        tranche_seq: The tranche that closed the position.
        bucket_id: The bucket.
        market_id: The market of the tranche.
        layer: How many layers have been worked out: stakes, profit cuts, then shares of the loss.
        due: What must still be recorded of the present layer, in order.
    """

    tranche_seq: int
    bucket_id: int
    market_id: int
    layer: int = 0
    due: deque[StakeSlashed | ProfitCut | FundingIndexMoved | LossSocialised] = attrs.Factory(deque)


@attrs.define
class Arriving:
    """
    Accounts of one cohort that have not arrived.

    Attributes:
        law: How they do.
        free: Their owner ids, in the order in which they may.
        worth_uusd: What a position with which one arrives may be worth, rising.
    """

    law: ArrivalTerms
    free: deque[int]
    worth_uusd: list[int] = attrs.Factory(list)


Position = tuple[int, int, int]
"""Units, entry price, and coins beside them."""


@attrs.frozen
class Snapshot:
    """
    Balances that stood at a trigger.

    Attributes:
        bucket_id: Whose.
        cash_uusd: Cash.
        held: Units, entry prices and coins by market.
    """

    bucket_id: int
    cash_uusd: int
    held: dict[int, Position]


@attrs.define
class Shadows:
    """
    Balances at the shadow marks.

    Attributes:
        crossed: Buckets whose present balances have become due there.
        open_triggers: Triggers that have not become due there, by number.
        since: The event since which a bucket has been watched with its present balances.
    """

    crossed: set[int] = attrs.Factory(set)
    open_triggers: dict[int, Snapshot] = attrs.Factory(dict)
    since: dict[int, int] = attrs.Factory(dict)

    def watch(self, bucket: int, seq: int) -> None:
        """Watch a bucket anew from an event on."""
        self.crossed.discard(bucket)
        self.since[bucket] = seq


@attrs.define
class MarkParts:
    """
    Of what a mark, or a shadow mark, is made, as far as it has landed.

    Attributes:
        index_e8: The oracle's price; 0 before the first update.
        index_at_us: When it landed.
        index_shows_us: Just before this the displacement stood that it shows.
        book_e8: The book's price; 0 before the first sample.
        book_at_us: When it was sampled.
        book_shows_us: Just before this it stood.
        premium_e9: The smoothed premium.
        mark_e8: The mark; 0 before the first.
    """

    index_e8: int = 0
    index_at_us: int = 0
    index_shows_us: int = 0
    book_e8: int = 0
    book_at_us: int = 0
    book_shows_us: int = 0
    premium_e9: int = 0
    mark_e8: int = 0


@attrs.define
class Book:
    """
    Balances and open matters, as of the event being checked.

    Attributes:
        terms: The terms of the run.
        causes: Earlier events by number.
        findings: Where findings go.
        fold: What the events add up to.
        keepers: Owner ids of keepers, desk, vaults, pools and bidders.
        buckets: Market by owner id of a bucket; None of a cross one.
        paths: Reference prices by market: instants, prices.
        tranches: Tranches that are not settled.
        liquidations: Liquidations that have not ended.
        liquidation_of: The open liquidation by bucket.
        unresolved: Buckets recorded as unresolved.
        sides: Buckets with a position, by market and whether they are long.
        shadows: What is known of balances at the shadow marks.
        depths: What flow has done to each market.
        shown_at: The instant of the displacement that the mark shows, by market.
        published_at: When the last update was published, by market.
        mark_parts: Of what the mark is made, by market.
        shadow_parts: Of what the shadow mark is made, by market.
        contributions: What backers pay into the fund.
        keeper_terms: Terms of keepers, by owner id.
        resales: Inventories being sold, by keeper and market.
        settled_at_us: When the last tranche of a bucket was settled.
        order_at_us: When the engine sent its last order; -1 before the first.
        order_of: The tranche whose order that was; -1 once it was filled whole.
        offers: Offers to keepers, by tranche.
        marks: (Instants, prices) of all marks so far, by market.
        owed: What the event before must be followed by, in order.
        run: The deleveraging in course.
        hole: The hole that others are paying for.
        desk_id: Owner id of the desk, if there is one.
        desk_due: What it must take over right now.
        funding: The last rate that was set, by number, and who has yet to pay or receive it.
        funding_at: When funding was last paid, by market.
        ran_ahead: How often accounts traded ahead of a halt.
        trader_terms: Terms of accounts that act, by owner id.
        top_ups: How often each has topped up.
        leaves: Who has closed its position and must withdraw what is left.
        start_uusd: Value of the position at the start of accounts that act; negative is short.
        start_leverage_e6: Leverage at which they held it.
        entered: Events that gave accounts that act an entry price, and the prices, by (market,
            owner id).
        returned: Ends of liquidations that accounts have come back from.
        paid_in: The deposit of one that opens, its account and amount, until it does.
        arriving: What is known of the cohort of an account, where new ones may arrive.
        slices: Slices of inverse positions, by bucket.
        coins_due: What must be settled in coins next, in order.
        now_us: The instant of the event being checked.
        fund_limits: What limits what the fund pays.
        drawn_for: The tranche for whose hole it has paid last.
        purses: Owner ids of those whom a mitigation brings in, by its number.
        vaults: Terms of vaults and pools by owner id, in their order.
        ahead: The slice that pools may go ahead of the book with, right now.
        caps: Decisions on what the fund may pay, until what they change comes.
        pacing: What mitigations that pace have booked.
        holds: Who waits to be crossed.
        auctions: Who waits for an auction, and what one that is held must do.
        flows: What they look at.
        breakers: What breakers saw and stopped.
        graces: Grace periods and what they follow.
        watched: What mitigations observe period by period.
        bots: Owner ids of keepers alone.
        burn_id: Owner id of `burn`, or -1.
        budgets: What rewards of keepers may cost.
        payments_due: What the treasury must pay next, in order.
        sight: What models of cascades are asked about; None where there is none.
    """

    terms: Terms
    causes: Causes
    findings: Findings
    fold: Fold
    keepers: frozenset[int]
    buckets: dict[int, int | None]
    contributions: Contributions
    paths: Mapping[int, tuple[IntArray, IntArray]] = attrs.Factory(dict)
    tranches: dict[int, TrancheProgress] = attrs.Factory(dict)
    liquidations: dict[int, LiquidationProgress] = attrs.Factory(dict)
    liquidation_of: dict[int, int] = attrs.Factory(dict)
    unresolved: set[int] = attrs.Factory(set)
    sides: defaultdict[tuple[int, bool], dict[int, None]] = attrs.Factory(lambda: defaultdict(dict))
    shadows: Shadows = attrs.Factory(Shadows)
    depths: dict[int, MarketDepth] = attrs.Factory(dict)
    shown_at: dict[int, int] = attrs.Factory(dict)
    published_at: dict[int, int] = attrs.Factory(dict)
    mark_parts: defaultdict[int, MarkParts] = attrs.Factory(lambda: defaultdict(MarkParts))
    shadow_parts: defaultdict[int, MarkParts] = attrs.Factory(lambda: defaultdict(MarkParts))
    keeper_terms: dict[int, KeeperTerms] = attrs.Factory(dict)
    resales: dict[tuple[int, int], Resale] = attrs.Factory(dict)
    settled_at_us: dict[int, int] = attrs.Factory(dict)
    order_at_us: int = -1
    order_of: int = -1
    offers: dict[int, Offer] = attrs.Factory(dict)
    marks: defaultdict[int, tuple[list[int], list[int]]] = attrs.Factory(
        lambda: defaultdict(lambda: ([], []))
    )
    owed: deque[Owed] = attrs.Factory(deque)
    run: Deleveraging | None = None
    hole: Hole | None = None
    desk_id: int | None = None
    desk_due: DeskDue | None = None
    funding: tuple[int, FundingSet, deque[int]] | None = None
    funding_at: dict[int, int] = attrs.Factory(dict)
    ran_ahead: Counter[int] = attrs.Factory(Counter)
    trader_terms: Mapping[int, TraderTerms] = attrs.Factory(dict)
    top_ups: Counter[int] = attrs.Factory(Counter)
    leaves: int | None = None
    start_uusd: dict[int, int] = attrs.Factory(dict)
    start_leverage_e6: dict[int, int] = attrs.Factory(dict)
    entered: defaultdict[tuple[int, int], tuple[list[int], list[int]]] = attrs.Factory(
        lambda: defaultdict(lambda: ([], []))
    )
    returned: set[int] = attrs.Factory(set)
    paid_in: tuple[int, int, int] | None = None
    arriving: Mapping[int, Arriving] = attrs.Factory(dict)
    slices: dict[int, InverseSlice] = attrs.Factory(dict)
    coins_due: deque[CoinsDue] = attrs.Factory(deque)
    now_us: int = 0
    fund_limits: tuple[FundLimit, ...] = ()
    drawn_for: int = -1
    purses: Mapping[int, list[int]] = attrs.Factory(dict)
    vaults: Mapping[int, MitigationTerms] = attrs.Factory(dict)
    ahead: Ahead | None = None
    caps: list[DecisionRecorded] = attrs.Factory(list)
    pacing: Pacing = attrs.Factory(Pacing)
    own: Mapping[int, Callable[[], Any]] = attrs.Factory(dict)
    holds: Holds = attrs.Factory(Holds)
    auctions: Auctions = attrs.Factory(Auctions)
    flows: Flows = attrs.Factory(Flows)
    breakers: Breakers = attrs.Factory(Breakers)
    graces: Graces = attrs.Factory(Graces)
    watched: Watched = attrs.Factory(Watched)
    bots: frozenset[int] = frozenset()
    burn_id: int = -1
    budgets: tuple[Budget, ...] = ()
    payments_due: deque[PaymentDue] = attrs.Factory(deque)
    sight: Sight | None = None

    def position(self, market: int, owner: int) -> int:
        """Return folded units."""
        return self.fold.units_e8.get((market, owner), 0)

    def cash(self, owner: int) -> int:
        """Return folded cash."""
        return self.fold.cash_uusd.get(owner, 0)

    def coins(self, market: int, owner: int) -> int:
        """Return folded coins."""
        return self.fold.coins_e8.get((market, owner), 0)

    def rule(self, market: int) -> LegRule:
        """Return how positions and coins count by what is in force; in full in no market."""
        if market >= len(self.terms.markets):
            return LegRule()
        fold = self.fold
        return self.terms.markets[market].rule_under(
            fold.maintenance_e6.get(market), fold.coin_haircuts_e6.get(market)
        )

    def entry_price(self, market: int, bucket: int) -> int:
        """Return the folded entry price of a leg."""
        return self.fold.entry_prices_e8.get((market, bucket), 0)

    def legs(self, bucket: int) -> list[int]:
        """Return the markets in which an owner has units."""
        home = self.buckets.get(bucket)
        markets = range(len(self.terms.markets)) if home is None else (home,)
        return [market for market in markets if self.position(market, bucket)]

    def mark(self, market: int) -> int:
        """Return the folded mark; 0 before the first update."""
        return self.fold.marks_e8.get(market, 0)

    def mark_at(self, market: int, at_us: int) -> int:
        """Return the mark at the end of an instant; 0 before the first update."""
        instants, prices = self.marks[market]
        row = bisect_right(instants, at_us)
        return prices[row - 1] if row else 0

    def kind_of(self, mitigation_id: int) -> str:
        """Return what sort a mitigation is; empty if there is none of that number."""
        rows = self.terms.mitigations
        return rows[mitigation_id].kind if mitigation_id < len(rows) else ""

    def limits_on_fund(self, market: int) -> list[FundLimit]:
        """Return what limits the fund's draws for positions in a market."""
        return [limit for limit in self.fund_limits if limit.market_id in (None, market)]

    def slice_of(self, bucket: int) -> int:
        """Return the tranche of a bucket that is not settled, or -1."""
        liquidation = self.liquidations.get(self.liquidation_of.get(bucket, -1))
        return -1 if liquidation is None else liquidation.open_tranche

    def payable(self, market: int, bucket: int) -> int:
        """Return the most that the fund can pay now for a position in a market."""
        tranche = self.slice_of(bucket)
        rooms = (limit.room(self.now_us, tranche) for limit in self.limits_on_fund(market))
        return max(min([self.fold.fund_uusd, *rooms]), 0)

    def limit_price(
        self, market: int, bucket: int, size_e8: int, payable_uusd: int | None = None
    ) -> int:
        """Return the bankruptcy price of a leg and what the fund can pay per unit of an order."""
        held = self.position(market, bucket)
        moved = held + self.coins(market, bucket)
        if held < 0 <= moved:
            return _BOUND - 1  # With as many coins as it is short, no price ruins it.
        closed = self.units_of(market, bucket, size_e8)
        # Per unit closed, of which the coins beside it are worth a part.
        most = self.payable(market, bucket) if payable_uusd is None else payable_uusd
        fund = most * _E10 * abs(held) // (closed * abs(moved))
        bankruptcy = bankruptcy_price_e8(self.backing(market, bucket), moved)
        exact = bankruptcy - fund if held > 0 else bankruptcy + fund
        return min(max(exact, 1), _BOUND - 1)

    def units_of(self, market: int, bucket: int, size_e8: int) -> int:
        """Return the contract units that part of a slice closes, at least one."""
        if not self.rule(market).is_inverse or bucket not in self.slices:
            return size_e8
        part = self.slices[bucket]
        return max(size_e8 * part.units_e8 // max(part.size_e8, 1), 1)

    def closable(self, market: int, account: int, mark_e8: int) -> int:
        """Return the units that can close a position against a slice that was cut at a mark."""
        held = abs(self.position(market, account))
        if not self.rule(market).is_inverse:
            return held
        return held * self.entry_price(market, account) // max(mark_e8, 1)

    def free_capital(self, owner: int) -> int:
        """
        Return what an owner of an inventory may pay for more, which may be negative.

        That is its leverage times its capital, less what it holds: of a keeper, the desk or a vault
        its cash, of which a short ties up twice its value.
        """
        capital, held = self.cash(owner), 0
        for market in range(len(self.terms.markets)):
            worth = self.position(market, owner) * self.mark(market) // _E10
            capital, held = capital + worth, held + abs(worth)
        row = self.vaults.get(owner)
        if row is not None and row.kind == "pool":
            capital = capital * row.ratio("leverage") // _E6
        return capital - held

    def check_fresh(self, entry: Entry, bucket: int) -> None:
        """Check that no mark by which a bucket is judged is too old."""
        if self.is_stale(bucket, entry.sim_time_us):
            age, most = self._mark_age_us(bucket, entry.sim_time_us), self.terms.mark_max_age_us
            message = f"a mark is {age} us old, must be at most {most}"
            self.findings.add("mark_stale", entry.seq, message)

    def is_stale(self, bucket: int, at_us: int) -> bool:
        """Return whether a mark by which a bucket is judged is too old at *at_us*."""
        return 0 < self.terms.mark_max_age_us < self._mark_age_us(bucket, at_us)

    def _mark_age_us(self, bucket: int, at_us: int) -> int:
        legs = self.legs(bucket)
        return at_us - min((self.fold.marked_at_us.get(leg, 0) for leg in legs), default=at_us)

    def is_judged(self, bucket: int) -> bool:
        """Return whether there is a mark for all that a bucket may hold."""
        home = self.buckets.get(bucket)
        markets = range(len(self.terms.markets)) if home is None else (home,)
        return all(market in self.fold.marks_e8 for market in markets)

    def margin(self, bucket: int) -> int:
        """Return the margin at the folded marks, in 1e-22 USD."""
        return margin_e22(self.cash(bucket), self._legs_under(bucket, self.rule))

    def margin_at(self, bucket: int, at_us: int) -> int:
        """Return what the margin of the folded balances was at the marks of an earlier instant."""
        legs = [
            (*leg[:-1], self.mark_at(market, at_us))
            for market, leg in zip(
                self.legs(bucket), self._legs_under(bucket, self.rule), strict=True
            )
        ]
        return margin_e22(self.cash(bucket), legs)

    def is_restored(self, bucket: int) -> bool:
        """Return whether the margin at the folded marks ends a liquidation."""
        return not self.is_due(self.restored_margin(bucket))

    def restored_margin(self, bucket: int) -> int:
        """Return the margin, under what a liquidation restores it to, with the buffer."""

        def rule(market: int) -> LegRule:
            stands = self.rule(market)
            return stands.as_initial if self.terms.restores_initial else stands

        legs, buffer_e6 = self._legs_under(bucket, rule), self.terms.restore_buffer_e6
        return margin_e22(self.cash(bucket), legs, buffer_e6=buffer_e6)

    def _legs_under(self, bucket: int, rule: Callable[[int], LegRule]) -> list[Leg]:
        return [
            (
                rule(market),
                self.position(market, bucket),
                self.entry_price(market, bucket),
                self.coins(market, bucket),
                self.mark(market),
            )
            for market in self.legs(bucket)
        ]

    def start_margin(self, bucket: int) -> int:
        """Return the margin at the folded marks under the maintenance of the start, likewise."""
        legs = self._legs_under(bucket, lambda market: self.terms.markets[market].rule)
        return margin_e22(self.cash(bucket), legs)

    def shadow_margin(self, cash_uusd: int, held: Mapping[int, Position]) -> int:
        """Return the margin of balances at the folded shadow marks, likewise."""
        legs = [
            (self.rule(market), *position, self.fold.shadow_marks_e8.get(market, 0))
            for market, position in held.items()
        ]
        return margin_e22(cash_uusd, legs)

    def held(self, bucket: int) -> dict[int, Position]:
        """Return units, entry prices and coins of a bucket by market, where it has a position."""
        return {
            market: (
                self.position(market, bucket),
                self.entry_price(market, bucket),
                self.coins(market, bucket),
            )
            for market in self.legs(bucket)
        }

    def maintenance(self, bucket: int) -> int:
        """Return the maintenance margin at the folded marks, in 1e-22 USD."""
        return sum(
            maintenance_e22(
                self.rule(market), self.position(market, bucket), self._counted_at(market, bucket)
            )
            for market in self.legs(bucket)
        )

    def worth_e16(self, bucket: int) -> int:
        """Return what the legs of a bucket are worth, without sign, as maintenance counts them."""
        return sum(self.leg_worth_e16(market, bucket) for market in self.legs(bucket))

    def leg_worth_e16(self, market: int, bucket: int) -> int:
        """Return what one leg is worth likewise."""
        return abs(self.position(market, bucket)) * self._counted_at(market, bucket)

    def _counted_at(self, market: int, bucket: int) -> int:
        entry = self.entry_price(market, bucket)
        return self.rule(market).price_that_counts(entry, self.mark(market))

    def equity_behind(self, market: int, bucket: int, price_e8: int) -> int:
        """Return `backing`, and what coins of the market are worth at a price, rounded down."""
        return self.backing(market, bucket) + self.coins(market, bucket) * price_e8 // _E10

    def backing(self, market: int, bucket: int) -> int:
        """Return cash and what all other legs are worth at their marks, in whole micro-USD."""
        worth = sum(
            self.position(other, bucket) * self.mark(other)
            for other in self.legs(bucket)
            if other != market
        )
        return self.cash(bucket) + worth // _E10

    def bankruptcy_price(self, market: int, bucket: int) -> int:
        """Return where closing one leg would leave no equity, the other marks standing."""
        moved = self.position(market, bucket) + self.coins(market, bucket)
        price = bankruptcy_price_e8(self.backing(market, bucket), moved)
        return price if price < _BOUND else 0

    def is_sound(self, market: int, bucket: int) -> bool:
        """Return whether there is a leg that leaves no hole if it is closed at the mark."""
        position, mark = self.position(market, bucket), self.mark(market)
        return position != 0 and self.equity_behind(market, bucket, mark) >= cost_of(
            -position, mark
        )

    def waits_until(self, bucket: int) -> int:
        """Return until when mitigations have a bucket wait; 0 if they do not."""
        return max(rows.waits_until(bucket) for rows in (self.pacing, self.holds, self.auctions))

    def check_waits_no_more(self, entry: Entry, bucket: int) -> None:
        """Check that no mitigation that paces has a bucket wait that asks, and forget its place."""
        if self.pacing.waits_until(bucket) > entry.sim_time_us:
            message = f"bucket {bucket} asks while a mitigation has it wait"
            self.findings.add("tranche_spacing", entry.seq, message)
        self.pacing.ended(bucket)

    def forget_slice(self, bucket: int) -> None:
        """Note that the slice in hand is no more: the next may wait anew."""
        for rows in (self.holds, self.auctions):
            for market in rows.rules:
                rows.of.pop((bucket, market), None)

    def is_due(self, margin: int) -> bool:
        """Return whether *margin* makes a bucket due."""
        return margin < 0 or (margin == 0 and self.terms.due_at_zero)

    def check_balances(self, seq: int, moves: tuple[Move, ...]) -> None:
        """Check the balances that *moves*, folded already, left behind."""
        for owner, asset, change in moves:
            if change and owner in self.buckets:
                self.shadows.watch(owner, seq)
            if asset == USD:
                balance = self.fold.cash_uusd[owner]
                if balance < 0 and change < 0:
                    self._report_debt(seq, owner, balance)
            elif asset < 0:
                balance = self.fold.coins_e8[-asset - 1, owner]
                if balance < 0 and change < 0 and owner in self.buckets:
                    message = f"bucket {owner} has {amount_of(asset, balance)}"
                    self.findings.add("coins", seq, message)
            else:
                balance = self.fold.units_e8[asset - 1, owner]
                if owner in self.buckets:
                    self._note_side(asset - 1, owner, balance, change)
            if not -_BOUND < balance < _BOUND:
                message = f"owner {owner} has {amount_of(asset, balance)}"
                self.findings.add("balance_bound", seq, message)

    def _report_debt(self, seq: int, owner: int, balance: int) -> None:
        if owner == FUND:
            self.findings.add("fund_negative", seq, f"the fund has {usd(balance)}")
        elif owner in self.keepers:
            self.findings.add("keeper_negative", seq, f"keeper {owner} has {usd(balance)}")

    def _note_side(self, market: int, bucket: int, balance: int, change: int) -> None:
        before = balance - change
        if before:
            self.sides[market, before > 0].pop(bucket, None)
        if balance:
            self.sides[market, balance > 0][bucket] = None

    def expect(self, code: str, entry: Entry, what: str, actual: object, right: object) -> None:
        """Report *code* if *actual* is not *right*."""
        self.findings.expect(code, entry.seq, what, actual, right)

    def expect_mark(self, entry: Entry, market: int, mark: int) -> bool:
        """Check a recorded mark price, and return whether the market has one at all."""
        right = self.fold.marks_e8.get(market)
        self.expect("mark", entry, "mark_price_e8", mark, right)
        return right is not None

    def open_tranche(self, entry: Entry, tranche_seq: int) -> TrancheProgress | None:
        """Return a tranche that is still open, or report one that is not."""
        tranche = self.tranches.get(tranche_seq)
        if tranche is None and self.causes.event(tranche_seq, TrancheStarted) is not None:
            self.findings.add("lifecycle", entry.seq, f"tranche {tranche_seq} is settled already")
        return tranche

    def check_published(self, entry: Entry, sampled_at_us: int, published_at_us: int) -> None:
        """Check that an update was sampled, then published, then landed."""
        if not sampled_at_us <= published_at_us <= entry.sim_time_us:
            message = (
                f"sampled at {sampled_at_us}, published at {published_at_us}, "
                f"landed at {entry.sim_time_us} us"
            )
            self.findings.add("oracle_times", entry.seq, message)

    def check_reduces(self, entry: Entry, market: int, owner: int, quantity: int) -> None:
        """Check that a trade of *quantity* makes a position smaller and does not turn it round."""
        position = self.position(market, owner)
        # An order for inverse contracts is in another unit: the slice bounds it.
        is_more = abs(quantity) > abs(position) and not self.is_in_slice(market, owner)
        if quantity * position >= 0 or is_more:
            message = (
                f"{e8(quantity)} does not reduce {e8(position)}, the position of owner {owner}"
            )
            self.findings.add("fill_size", entry.seq, message)

    def is_in_slice(self, market: int, owner: int) -> bool:
        """Return whether a trade of an owner in a market is of a slice of inverse contracts."""
        return self.rule(market).is_inverse and owner in self.buckets

    def check_within_slice(self, entry: Entry, tranche: TrancheProgress, quantity: int) -> None:
        """Check that an execution fits what is left of its slice."""
        size = abs(tranche.start.quantity_e8)
        if tranche.done_e8 + abs(quantity) > size:
            message = f"{e8(quantity)} after {e8(tranche.done_e8)} exceeds the slice of {e8(size)}"
            self.findings.add("fill_size", entry.seq, message)
