"""
What may bring what about, and what a number in a field must point at.

Only events that others name are kept; a log of a million openings costs nothing here.
"""

from collections.abc import Callable
from types import UnionType
from typing import Any, Final, cast

import attrs

from liqsim.events import (
    NO_CAUSE,
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
    Event,
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
    SurplusRouted,
    TradeFilled,
    TranchesCrossed,
    TrancheSettled,
    TrancheStarted,
    TrancheTakenOver,
)
from liqsim.events.mitigation import NOT_OBSERVED
from replay.audit.findings import Findings

_UNNAMED: Final = (
    FundsDeposited,
    PositionOpened,
    MarketExtremes,
    ProfitCut,
    LossSocialised,
    ContributionPaid,
    ShadowCrossed,
    FundingPaid,
    FundsWithdrawn,
    CoinsDeposited,
    CoinsSettled,
    LeverageFeePaid,
    StakeSlashed,
    PenaltyRouted,
    KeeperRewarded,
    LotOffered,
)
"""Kinds that nothing may name, deposits of the start among them; all else is remembered."""

_JUDGES: Final = (
    OracleUpdated,
    BookSampled,
    MaintenanceChanged,
    CoinHaircutChanged,
    FundingSet,
)
"""What makes a venue judge the accounts in a market."""
_EXECUTIONS: Final = (OrderFilled, TrancheTakenOver, PositionDeleveraged, TranchesCrossed)
_FILLS: Final = (OrderFilled, InventorySold, TradeFilled, PositionReduced)
_LEGAL: Final[dict[type[Event], tuple[type[Event], ...]]] = {
    FundsDeposited: (*_JUDGES, LiquidationEnded),
    PositionOpened: (),
    DepthChanged: (),
    MarketExtremes: (),
    OracleUpdated: _FILLS,
    BookSampled: _FILLS,
    MaintenanceChanged: (DecisionRecorded,),
    CoinHaircutChanged: (DecisionRecorded,),
    ShadowUpdated: (),
    FundingSet: (),
    FundingPaid: (FundingSet,),
    LiquidationTriggered: _JUDGES,
    ShadowCrossed: (*_JUDGES, ShadowUpdated),
    TrancheStarted: (LiquidationTriggered, TrancheSettled),
    OrderFilled: (TrancheStarted,),
    TrancheTakenOver: (TrancheStarted,),
    TranchesCrossed: (TrancheStarted,),
    KeeperCallFailed: (TrancheStarted,),
    InventorySold: (TrancheTakenOver,),
    PositionDeleveraged: (TrancheStarted,),
    SurplusRouted: _EXECUTIONS,
    FundDrawn: (*_EXECUTIONS, TrancheStarted),
    ProfitCut: (TrancheStarted,),
    LossSocialised: (TrancheStarted,),
    FundingIndexMoved: (TrancheStarted,),
    StakeSlashed: (TrancheStarted,),
    BadDebtRecorded: (*_EXECUTIONS, TrancheStarted, FundDrawn),
    ContributionPaid: (FundDrawn,),
    TrancheSettled: (TrancheStarted,),
    LiquidationEnded: (TrancheSettled, LiquidationTriggered),
    LiquidationUnresolved: (LiquidationTriggered, TrancheStarted, TrancheSettled),
    TradeFilled: (*_JUDGES, FundsDeposited),
    FundsWithdrawn: (TradeFilled,),
    CoinsDeposited: (),
    CoinsSettled: (*_EXECUTIONS, TrancheStarted),
    DecisionRecorded: (
        LiquidationTriggered,
        TrancheSettled,
        OracleUpdated,
        BookSampled,
        *_FILLS,
        *_EXECUTIONS,
        TrancheStarted,
        DepthChanged,
        FundDrawn,
    ),
    LeverageFeePaid: (DecisionRecorded,),
    PositionReduced: (DecisionRecorded,),
    PenaltyRouted: (OrderFilled, TrancheTakenOver, TranchesCrossed),
    KeeperRewarded: (TrancheTakenOver,),
    AuctionHeld: (),
    LotOffered: (AuctionHeld,),
}
_MAY_BE_EXOGENOUS: Final = frozenset(
    {
        FundsDeposited,
        CoinsDeposited,
        PositionOpened,
        DepthChanged,
        MaintenanceChanged,
        MarketExtremes,
        OracleUpdated,
        BookSampled,
        ShadowUpdated,
        FundingSet,
        ContributionPaid,
        AuctionHeld,
    }
)


@attrs.define
class Causes:
    """
    Checks causes and references event by event.

    Attributes:
        findings: Where findings go.
        seen: Earlier entries that may be named.
        newest_judge: The last mark or change of rules by market, which judges margins.
        newest_shadow_judge: Likewise, or shadow mark.
        newest_mark: The last mark by market.
    """

    findings: Findings
    seen: dict[int, Entry] = attrs.Factory(dict)
    newest_judge: dict[int, int] = attrs.Factory(dict)
    newest_shadow_judge: dict[int, int] = attrs.Factory(dict)
    newest_mark: dict[int, int] = attrs.Factory(dict)

    def event(self, seq: int, kind: type[Any] | UnionType) -> Any:
        """Return the earlier event *seq* if it is of *kind*, else None."""
        entry = self.seen.get(seq)
        return entry.event if entry is not None and isinstance(entry.event, kind) else None

    def check(self, entry: Entry, *, exists: Callable[[int], bool]) -> None:
        """Check one entry; *exists* tells whether an earlier event has a number."""
        self._check_references(entry)
        self._check_cause(entry, exists)
        is_late = isinstance(entry.event, FundsDeposited) and entry.sim_time_us > 0
        if is_late or not isinstance(entry.event, _UNNAMED):
            self.seen[entry.seq] = entry
        if isinstance(entry.event, _JUDGES):
            self.newest_judge[entry.event.market_id] = entry.seq
            self.newest_shadow_judge[entry.event.market_id] = entry.seq
        elif isinstance(entry.event, ShadowUpdated):
            self.newest_shadow_judge[entry.event.market_id] = entry.seq
        if isinstance(entry.event, OracleUpdated | BookSampled):
            self.newest_mark[entry.event.market_id] = entry.seq

    def _check_cause(self, entry: Entry, exists: Callable[[int], bool]) -> None:
        kind, cause_seq = type(entry.event), entry.cause_seq
        if cause_seq == NO_CAUSE:
            is_of_market = isinstance(entry.event, DecisionRecorded) and (
                entry.event.bucket_id == NOT_OBSERVED
            )
            if kind not in _MAY_BE_EXOGENOUS and not is_of_market:
                self.findings.add("cause_kind", entry.seq, f"{kind.TAG} has no cause")
            return
        if cause_seq >= entry.seq or not exists(cause_seq):
            self.findings.add("cause_order", entry.seq, f"cause {cause_seq} is no earlier event")
            return
        cause = self.seen.get(cause_seq)
        if cause is None or not isinstance(cause.event, _LEGAL[kind]):
            other = type(cause.event).TAG if cause else "an opening event"
            message = f"{kind.TAG} cannot be caused by event {cause_seq} ({other})"
            self.findings.add("cause_kind", entry.seq, message)
        elif problem := self._unrelated(entry, cause):
            message = f"{kind.TAG} is caused by event {cause_seq}, {problem}"
            self.findings.add("cause_kind", entry.seq, message)

    def _unrelated(  # noqa: C901, PLR0912 — one branch per kind
        self, entry: Entry, cause: Entry
    ) -> str | None:
        """Return what is wrong with a cause of a legal kind; None if nothing is."""
        event: Any = entry.event
        named: Any = cause.event
        match event:
            case MaintenanceChanged() | CoinHaircutChanged():
                is_right = named.market_id in (NOT_OBSERVED, event.market_id)
                what = "in another market"
            case OracleUpdated() | BookSampled():
                # Which fill of the market it must be is checked with the venue's rules.
                is_right = named.market_id == event.market_id
                what = "in another market"
            case LiquidationTriggered():
                is_right = self.newest_judge.get(event.market_id) == cause.seq
                what = "not the mark or the change of rules that came last"
            case ShadowCrossed():
                is_right = self.newest_shadow_judge.get(event.market_id) == cause.seq
                what = "not the shadow mark or the change of rules that came last"
            case InventorySold():
                is_right = (named.keeper_id, named.market_id) == (event.keeper_id, event.market_id)
                what = "by another keeper or in another market"
            case FundingPaid() | ContributionPaid() | FundsDeposited():
                return None  # The rule that each follows says which event it must be.
            case LeverageFeePaid() | PositionReduced():
                return None  # Likewise.
            case TradeFilled() if isinstance(named, FundsDeposited):
                is_right = named.owner_id == event.bucket_id
                what = "of another account"
            case TradeFilled() | LotOffered():
                is_right = named.market_id == event.market_id
                what = "in another market"
            case DecisionRecorded() if event.seen_market_id != NOT_OBSERVED:
                seen = event.seen_market_id
                is_right = getattr(named, "market_id", seen) == seen and (
                    cause.sim_time_us == entry.sim_time_us
                )
                what = "in another market or at another instant"
            case FundsWithdrawn() | DecisionRecorded():
                is_right = getattr(named, "bucket_id", None) == event.bucket_id
                what = "of another account"
            case TrancheStarted() | LiquidationEnded() | LiquidationUnresolved():
                is_right = self._liquidation_of(cause) == event.liquidation_seq
                what = "of another liquidation"
            case SurplusRouted() | PenaltyRouted() if isinstance(named, TranchesCrossed):
                is_right = event.tranche_seq in (named.tranche_seq, named.other_tranche_seq)
                what = "of other tranches"
            case _:
                is_right = _tranche_of(cause) == event.tranche_seq
                what = "of another tranche"
        return None if is_right else what

    def _liquidation_of(self, entry: Entry) -> int | None:
        if isinstance(entry.event, LiquidationTriggered):
            return entry.seq
        tranche = self.event(_tranche_of(entry), TrancheStarted)
        return None if tranche is None else cast("TrancheStarted", tranche).liquidation_seq

    def _check_references(self, entry: Entry) -> None:
        event: Any = entry.event
        for name, kind, whose in (
            ("tranche_seq", TrancheStarted, "bucket_id"),
            ("other_tranche_seq", TrancheStarted, "counterparty_id"),
            ("liquidation_seq", LiquidationTriggered, "bucket_id"),
        ):
            number = getattr(event, name, None)
            if number is None or (number == NO_CAUSE and isinstance(event, ShadowCrossed)):
                continue  # A shadow crossing may be of a bucket in no liquidation.
            named = self.event(number, kind)
            what = f"{type(event).TAG}.{name} = {number}"
            if named is None:
                message = f"{what} is no earlier {kind.TAG}"
                self.findings.add("reference_kind", entry.seq, message)
            elif getattr(event, whose, named.bucket_id) != named.bucket_id:
                self.findings.add("reference_kind", entry.seq, f"{what} is of another bucket")


def _tranche_of(entry: Entry) -> int:
    if isinstance(entry.event, TrancheStarted):
        return entry.seq
    return getattr(entry.event, "tranche_seq", -1)
