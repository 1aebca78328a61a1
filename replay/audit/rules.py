"""
The venue's rules, held against the fold event by event.

Nothing here decides what a venue should have done next; the checks recompute, from balances before
and after each event, whether what was recorded could have been done under the terms of the run.
"""

from collections.abc import Callable
from typing import Any, Final

from liqsim.events import (
    Action,
    AuctionHeld,
    BadDebtRecorded,
    BookSampled,
    CoinsSettled,
    DecisionRecorded,
    DepthChanged,
    Entry,
    Event,
    FundDrawn,
    FundingIndexMoved,
    FundingPaid,
    FundingSet,
    FundsDeposited,
    FundsWithdrawn,
    InventorySold,
    KeeperCallFailed,
    LeverageFeePaid,
    LiquidationEnded,
    LiquidationTriggered,
    LiquidationUnresolved,
    LossSocialised,
    LotOffered,
    OracleUpdated,
    OrderFilled,
    PositionDeleveraged,
    PositionOpened,
    PositionReduced,
    ProfitCut,
    ShadowCrossed,
    ShadowUpdated,
    StakeSlashed,
    SurplusRouted,
    TradeFilled,
    TranchesCrossed,
    TrancheSettled,
    TrancheStarted,
    TrancheTakenOver,
)
from replay.audit import (
    auctions,
    coins,
    collateral,
    desk,
    executions,
    fund,
    funding,
    halts,
    incentives,
    keepers,
    liquidations,
    losses,
    marks,
    mitigations,
    pacing,
    pools,
    reductions,
    scalings,
    settlement,
    shadow,
    traders,
    tranches,
    waterfall,
)
from replay.audit.book import Book
from replay.audit.triggers import Triggers
from replay.fold import Move

_Check = Callable[[Book, Entry, Any], None]


_BEFORE: Final[dict[type[Event], _Check]] = {
    DepthChanged: executions.depth_changed,
    OracleUpdated: liquidations.oracle_updated,
    BookSampled: marks.book_sampled,
    ShadowUpdated: shadow.shadow_updated,
    FundingSet: funding.funding_set,
    FundingPaid: funding.funding_paid,
    LiquidationTriggered: liquidations.liquidation_triggered,
    ShadowCrossed: shadow.shadow_crossed,
    TrancheStarted: tranches.tranche_started,
    OrderFilled: executions.order_filled,
    TrancheTakenOver: keepers.tranche_taken_over,
    TranchesCrossed: mitigations.tranches_crossed,
    AuctionHeld: auctions.auction_held,
    LotOffered: auctions.lot_offered,
    KeeperCallFailed: keepers.call_failed,
    InventorySold: executions.inventory_sold,
    PositionDeleveraged: waterfall.position_deleveraged,
    SurplusRouted: waterfall.surplus_routed,
    ProfitCut: losses.loss_shared,
    LossSocialised: losses.loss_shared,
    FundingIndexMoved: losses.loss_shared,
    StakeSlashed: losses.loss_shared,
    BadDebtRecorded: waterfall.bad_debt_recorded,
    TrancheSettled: tranches.tranche_settled,
    LiquidationEnded: liquidations.liquidation_ended,
    LiquidationUnresolved: liquidations.liquidation_unresolved,
    FundsDeposited: traders.funds_deposited,
    PositionOpened: traders.position_opened,
    TradeFilled: traders.trade_filled,
    FundsWithdrawn: traders.funds_withdrawn,
    CoinsSettled: coins.coins_settled,
    DecisionRecorded: mitigations.decision_recorded,
    LeverageFeePaid: scalings.fee_paid,
    PositionReduced: reductions.position_reduced,
}
_ROUTED: Final = (SurplusRouted, FundDrawn, DecisionRecorded)
_IN_TURN: Final = (PositionDeleveraged, CoinsSettled)
_SHARED: Final = (
    StakeSlashed,
    ProfitCut,
    FundingIndexMoved,
    LossSocialised,
    BadDebtRecorded,
)
_CAPPED: Final = (DecisionRecorded, TrancheStarted, FundDrawn, *_SHARED)
_AFTER: Final[dict[type[Event], _Check]] = {
    FundDrawn: waterfall.fund_drawn,
    TradeFilled: traders.traded,
    ProfitCut: traders.profit_cut,
}


def apply_checked(book: Book, triggers: Triggers, entry: Entry) -> tuple[Move, ...]:
    """Check *entry* against the fold before it, fold it, check the fold after it."""
    kind = type(entry.event)
    triggers.before(book, entry)
    book.now_us = entry.sim_time_us
    if book.owed or kind in _ROUTED:
        settlement.check_owed(book, entry)
    coins.check_due(book, entry)
    incentives.check_due(book, entry)
    if book.terms.desk is not None:
        desk.check_due(book, entry)
    if book.ahead is not None:
        pools.look(book, entry)
    if book.auctions.rules:
        auctions.look(book, entry)
    _check_left_over(book, entry, kind)
    scalings.look(book, entry)
    scalings.charge(book, entry)
    reductions.look(book, entry)
    book.contributions.before(entry)
    if book.breakers.breakers:
        halts.before(book, entry)
    if kind in _BEFORE:
        _BEFORE[kind](book, entry, entry.event)
    moves = book.fold.apply(entry)
    if book.pacing.judges:
        book.flows.note(entry)
    if book.sight is not None:
        book.sight.note(entry, moves)
    book.check_balances(entry.seq, moves)
    triggers.after(book, entry, moves)
    book.contributions.after(entry)
    mitigations.after(book, entry)
    if kind in _AFTER:
        _AFTER[kind](book, entry, entry.event)
    return moves


def _check_left_over(book: Book, entry: Entry, kind: type[Event]) -> None:
    """Report what had to come before *entry*, and did not."""
    if book.hole is not None and kind not in _SHARED:
        losses.hole_left(book, entry)
    if book.funding is not None and kind is not FundingPaid:
        funding.funding_left(book, entry)
    if book.run is not None and kind not in _IN_TURN:
        waterfall.deleveraging_left(book, entry.seq)
    if book.leaves is not None and kind is not FundsWithdrawn:
        traders.leaver_stayed(book, entry)
    if book.paid_in is not None and kind is not TradeFilled:
        collateral.opening_missing(book, entry)
    if not isinstance(entry.event, DecisionRecorded) or entry.event.action is Action.HELD:
        pacing.check_left(book, entry)
    if book.caps and kind not in _CAPPED:
        fund.check_caps(book, entry, ())
