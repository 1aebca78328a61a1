"""The vocabulary: every event class, their union, and the envelope they travel in."""

from typing import get_args

import attrs

from liqsim.events.accounts import FundsDeposited, PositionOpened
from liqsim.events.auctions import AuctionHeld, LotOffered
from liqsim.events.coins import CoinsDeposited, CoinsSettled
from liqsim.events.funding import FundingPaid, FundingSet
from liqsim.events.incentives import KeeperRewarded, PenaltyRouted, Share
from liqsim.events.liquidation import (
    Executor,
    FailedCall,
    InventorySold,
    KeeperCallFailed,
    LiquidationEnded,
    LiquidationOutcome,
    LiquidationTriggered,
    LiquidationUnresolved,
    OrderFilled,
    ShadowCrossed,
    Standing,
    TranchesCrossed,
    TrancheSettled,
    TrancheStarted,
    TrancheTakenOver,
    UnresolvedReason,
)
from liqsim.events.market import (
    BookSampled,
    CoinHaircutChanged,
    DepthChanged,
    MaintenanceChanged,
    MarkBasis,
    MarketExtremes,
    MarkFeed,
    OracleUpdated,
    ShadowUpdated,
    UpdateReason,
)
from liqsim.events.mitigation import Action, DecisionRecorded, LeverageFeePaid, PositionReduced
from liqsim.events.schema import NO_CAUSE, USD_ASSET, Owner, OwnerKind, Transfer
from liqsim.events.trading import FundsWithdrawn, TradeFilled, TradeReason
from liqsim.events.waterfall import (
    BadDebtRecorded,
    ContributionPaid,
    FundDrawn,
    FundingIndexMoved,
    LossSocialised,
    PositionDeleveraged,
    ProfitCut,
    StakeSlashed,
    SurplusRouted,
)

SCHEMA_VERSION = 2
"""Version of the tables below; a reader refuses a newer one."""

Event = (
    FundsDeposited
    | PositionOpened
    | DepthChanged
    | MaintenanceChanged
    | CoinHaircutChanged
    | OracleUpdated
    | BookSampled
    | ShadowUpdated
    | FundingSet
    | FundingPaid
    | LiquidationTriggered
    | ShadowCrossed
    | TrancheStarted
    | OrderFilled
    | TrancheTakenOver
    | TranchesCrossed
    | KeeperCallFailed
    | InventorySold
    | SurplusRouted
    | FundDrawn
    | PositionDeleveraged
    | ProfitCut
    | FundingIndexMoved
    | LossSocialised
    | BadDebtRecorded
    | ContributionPaid
    | TrancheSettled
    | LiquidationEnded
    | LiquidationUnresolved
    | MarketExtremes
    | TradeFilled
    | FundsWithdrawn
    | CoinsDeposited
    | CoinsSettled
    | DecisionRecorded
    | LeverageFeePaid
    | PositionReduced
    | StakeSlashed
    | PenaltyRouted
    | KeeperRewarded
    | AuctionHeld
    | LotOffered
)
EVENT_CLASSES: tuple[type[Event], ...] = get_args(Event)


@attrs.frozen
class Entry:
    """
    An event in its envelope, as the log returns it.

    Attributes:
        seq: Number of the event, from 0, without gaps.
        sim_time_us: Microseconds since the scenario's start.
        cause_seq: The event that brought it about, or `NO_CAUSE`.
        event: What happened.
    """

    seq: int
    sim_time_us: int
    cause_seq: int
    event: Event


__all__ = [
    "EVENT_CLASSES",
    "NO_CAUSE",
    "SCHEMA_VERSION",
    "USD_ASSET",
    "Action",
    "AuctionHeld",
    "BadDebtRecorded",
    "BookSampled",
    "CoinHaircutChanged",
    "CoinsDeposited",
    "CoinsSettled",
    "ContributionPaid",
    "DecisionRecorded",
    "DepthChanged",
    "Entry",
    "Event",
    "Executor",
    "FailedCall",
    "FundDrawn",
    "FundingIndexMoved",
    "FundingPaid",
    "FundingSet",
    "FundsDeposited",
    "FundsWithdrawn",
    "InventorySold",
    "KeeperCallFailed",
    "KeeperRewarded",
    "LeverageFeePaid",
    "LiquidationEnded",
    "LiquidationOutcome",
    "LiquidationTriggered",
    "LiquidationUnresolved",
    "LossSocialised",
    "LotOffered",
    "MaintenanceChanged",
    "MarkBasis",
    "MarkFeed",
    "MarketExtremes",
    "OracleUpdated",
    "OrderFilled",
    "Owner",
    "OwnerKind",
    "PenaltyRouted",
    "PositionDeleveraged",
    "PositionOpened",
    "PositionReduced",
    "ProfitCut",
    "ShadowCrossed",
    "ShadowUpdated",
    "Share",
    "StakeSlashed",
    "Standing",
    "SurplusRouted",
    "TradeFilled",
    "TradeReason",
    "TrancheSettled",
    "TrancheStarted",
    "TrancheTakenOver",
    "TranchesCrossed",
    "Transfer",
    "UnresolvedReason",
    "UpdateReason",
]
