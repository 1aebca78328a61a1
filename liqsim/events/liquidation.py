"""Events of a liquidation: trigger, tranche, fills, settlement."""

from enum import IntEnum
from typing import ClassVar

import attrs

from liqsim.events.schema import (
    Owner,
    Transfer,
    amount,
    identifier,
    instant,
    log_points,
    member,
    optional_sequence,
    price,
    ranged,
    sequence,
    signed,
)


class Executor(IntEnum):
    """Who executes a tranche."""

    ENGINE = 0
    KEEPERS = 1
    DESK = 2
    CROSSING = 3
    AUCTION = 4

    @property
    def is_meeting(self) -> bool:
        """Whether the slice meets others outside any book, and no order or offer goes out."""
        return self in (Executor.CROSSING, Executor.AUCTION)


class FailedCall(IntEnum):
    """Why a keeper's call that was sent did not take the tranche over."""

    LOST_RACE = 0
    RESTORED = 1
    BEYOND_LIMIT = 2
    PURSE_SHORT = 3
    HALTED = 4


class LiquidationOutcome(IntEnum):
    """How a liquidation ended."""

    CLOSED = 0
    RESTORED = 1


class UnresolvedReason(IntEnum):
    """Why a due bucket was still due at the end of the run."""

    NO_EXECUTOR = 0
    NO_DEPTH = 1
    NO_FRESH_PRICE = 2
    HALTED = 3
    SPACING = 4
    RUN_ENDED = 5
    PACED = 6


class Standing(IntEnum):
    """Why a bucket was due, as far as its trigger can tell."""

    FIRST_ORDER = 0
    RULE_INDUCED = 1
    OPEN = 2


@attrs.frozen
class LiquidationTriggered:
    """
    A bucket's margin fell below zero at the mark price.

    Attributes:
        bucket_id: The bucket, as an owner.
        market_id: Market whose mark made it due.
        quantity_e8: Position there; negative is short.
        mark_price_e8: Mark price there.
        margin_uusd: Cash plus the value of all legs less maintenance, rounded down.
        maintenance_uusd: Maintenance margin of all legs, rounded up.
        bankruptcy_price_e8: Price there at which equity is zero while other marks stand, rounded
            against the buyer of a long and the seller of a short; 0 when no positive price is.
        shadow_mark_e8: Shadow mark there.
        shadow_margin_uusd: What the margin is at the shadow marks of all legs, rounded down.
        start_margin_uusd: What it is at the marks under the maintenance of the start, rounded down.
        other_assets_uusd: Margin lost to displacement in the marks of its other legs, rounded
            down; negative is gained.
        forced_displacement_e9: Displacement of the market that the mark shows, in log price, by
            orders of liquidations and steps that reduce positions.
        hedging_displacement_e9: Likewise by keepers who sold on.
        trading_displacement_e9: Likewise by accounts that traded of their own will.
        standing: Whether it was due without displacement, or under the rules of the start.
    """

    TAG: ClassVar[str] = "liquidation_triggered"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = ()

    bucket_id: int = identifier()
    market_id: int = identifier()
    quantity_e8: int = signed()
    mark_price_e8: int = price()
    margin_uusd: int = signed()
    maintenance_uusd: int = amount()
    bankruptcy_price_e8: int = amount()
    shadow_mark_e8: int = price()
    shadow_margin_uusd: int = signed()
    start_margin_uusd: int = signed()
    other_assets_uusd: int = signed()
    forced_displacement_e9: int = log_points()
    hedging_displacement_e9: int = log_points()
    trading_displacement_e9: int = log_points()
    standing: Standing = member()


@attrs.frozen
class ShadowCrossed:
    """
    Balances became due at the shadow marks, once until they change.

    Attributes:
        bucket_id: The bucket, as an owner.
        market_id: Market whose shadow mark made them due.
        liquidation_seq: The trigger at which they stood; null if they are those of a bucket in no
            liquidation.
        shadow_mark_e8: Shadow mark there.
        shadow_margin_uusd: Their margin at the shadow marks of all legs, rounded down.
    """

    TAG: ClassVar[str] = "shadow_crossed"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = ()

    bucket_id: int = identifier()
    market_id: int = identifier()
    liquidation_seq: int = optional_sequence()
    shadow_mark_e8: int = price()
    shadow_margin_uusd: int = signed()


@attrs.frozen
class TrancheStarted:
    """
    A slice of a due position was put up.

    Attributes:
        liquidation_seq: The trigger it belongs to.
        bucket_id: The bucket, as an owner.
        market_id: Market of the leg.
        tranche_number: Count within the liquidation, from 1.
        quantity_e8: The slice as an order: negative sells a long, positive buys a short back.
        mark_price_e8: Mark price at the start.
        limit_price_e8: Worst price at which it may be executed: the bankruptcy price less (for a
            long) what the fund could pay per unit, which is nothing where slices meet.
        executor: Who executes it.
    """

    TAG: ClassVar[str] = "tranche_started"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = ()

    liquidation_seq: int = sequence()
    bucket_id: int = identifier()
    market_id: int = identifier()
    tranche_number: int = ranged(1, 2**31 - 1)
    quantity_e8: int = signed()
    mark_price_e8: int = price()
    limit_price_e8: int = price()
    executor: Executor = member()


@attrs.frozen
class OrderFilled:
    """
    A child order of a tranche was filled, wholly or in part, in the market's book.

    Attributes:
        tranche_seq: The tranche it belongs to.
        bucket_id: The bucket, as an owner.
        market_id: Which market.
        ordered_e8: Size of the order, signed as the order.
        quantity_e8: What was filled; negative sells.
        price_e8: Average price, rounded against the bucket.
        cost_uusd: What the bucket paid: quantity times price, rounded up.
        fee_uusd: Fee taken from what the bucket had left.
        reference_price_e8: Reference price at the fill.
        arrival_price_e8: Market price right before it.
        market_price_e8: Market price right after it.
    """

    TAG: ClassVar[str] = "order_filled"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = (
        Transfer(Owner.MAKERS, "bucket_id", "quantity_e8", market="market_id"),
        Transfer("bucket_id", Owner.MAKERS, "cost_uusd"),
        Transfer("bucket_id", Owner.TREASURY, "fee_uusd"),
    )

    tranche_seq: int = sequence()
    bucket_id: int = identifier()
    market_id: int = identifier()
    ordered_e8: int = signed()
    quantity_e8: int = signed()
    price_e8: int = price()
    cost_uusd: int = signed()
    fee_uusd: int = amount()
    reference_price_e8: int = price()
    arrival_price_e8: int = price()
    market_price_e8: int = price()


@attrs.frozen
class TrancheTakenOver:
    """
    A keeper took a whole slice over, its call landing first, or another owner what it could of one.

    Attributes:
        tranche_seq: The tranche it belongs to.
        bucket_id: The bucket, as an owner.
        keeper_id: The keeper or the desk, as an owner.
        market_id: Which market.
        quantity_e8: What it took as the bucket's order: negative sells to the keeper.
        price_e8: Mark price less (for a long) the discount, rounded for the bucket; of a desk that
            pays so much, the bankruptcy price; of bidders in an auction, its price.
        cost_uusd: What the bucket paid: quantity times price, rounded up.
        fee_uusd: Fee taken from what the bucket had left.
        call_cost_uusd: What the call cost the keeper.
        sent_at_us: When the call was sent; of the desk, when it took over.
    """

    TAG: ClassVar[str] = "tranche_taken_over"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = (
        Transfer("keeper_id", "bucket_id", "quantity_e8", market="market_id"),
        Transfer("bucket_id", "keeper_id", "cost_uusd"),
        Transfer("bucket_id", Owner.TREASURY, "fee_uusd"),
        Transfer("keeper_id", Owner.NETWORK, "call_cost_uusd"),
    )

    tranche_seq: int = sequence()
    bucket_id: int = identifier()
    keeper_id: int = identifier()
    market_id: int = identifier()
    quantity_e8: int = signed()
    price_e8: int = price()
    cost_uusd: int = signed()
    fee_uusd: int = amount()
    call_cost_uusd: int = amount()
    sent_at_us: int = instant()


@attrs.frozen
class TranchesCrossed:
    """
    Slices of a due long and a due short were met with each other, outside any book.

    Attributes:
        mitigation_id: Place of the mitigation in the scenario, from 0.
        tranche_seq: The tranche of the bucket that asked; in an auction, of the one that sells.
        bucket_id: That bucket, as an owner.
        other_tranche_seq: The tranche of the bucket that was held; in an auction, of the one that
            buys.
        counterparty_id: That bucket, as an owner.
        market_id: Which market.
        quantity_e8: The order of the first bucket: negative sells to the other.
        price_e8: The mark price, or that of the auction.
        cost_uusd: What the first bucket paid to the other: quantity times price, rounded up.
        fee_uusd: Fee taken from what the first bucket had left.
        other_fee_uusd: Fee taken from what the other had left.
        held_since_at_us: When the other's slice could first have been put up.
    """

    TAG: ClassVar[str] = "tranches_crossed"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = (
        Transfer("counterparty_id", "bucket_id", "quantity_e8", market="market_id"),
        Transfer("bucket_id", "counterparty_id", "cost_uusd"),
        Transfer("bucket_id", Owner.TREASURY, "fee_uusd"),
        Transfer("counterparty_id", Owner.TREASURY, "other_fee_uusd"),
    )

    mitigation_id: int = identifier()
    tranche_seq: int = sequence()
    bucket_id: int = identifier()
    other_tranche_seq: int = sequence()
    counterparty_id: int = identifier()
    market_id: int = identifier()
    quantity_e8: int = signed()
    price_e8: int = price()
    cost_uusd: int = signed()
    fee_uusd: int = amount()
    other_fee_uusd: int = amount()
    held_since_at_us: int = instant()


@attrs.frozen
class KeeperCallFailed:
    """
    A keeper's call landed and got nothing; its cost was paid all the same.

    Attributes:
        tranche_seq: The tranche it was after.
        keeper_id: The keeper, as an owner.
        reason: Why it failed.
        call_cost_uusd: What the call cost the keeper.
        sent_at_us: When the call was sent.
    """

    TAG: ClassVar[str] = "keeper_call_failed"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = (
        Transfer("keeper_id", Owner.NETWORK, "call_cost_uusd"),
    )

    tranche_seq: int = sequence()
    keeper_id: int = identifier()
    reason: FailedCall = member()
    call_cost_uusd: int = amount()
    sent_at_us: int = instant()


@attrs.frozen
class InventorySold:
    """
    A keeper or the desk traded what it had taken over in the market's book.

    Attributes:
        keeper_id: The keeper or the desk, as an owner.
        market_id: Which market.
        ordered_e8: Size of the order, signed as the order.
        quantity_e8: What was filled; negative sells, positive buys a short back.
        price_e8: Average price, rounded against the keeper.
        cost_uusd: What the keeper paid: quantity times price, rounded up.
        reference_price_e8: Reference price at the fill.
        market_price_e8: Market price right after it.
    """

    TAG: ClassVar[str] = "inventory_sold"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = (
        Transfer(Owner.MAKERS, "keeper_id", "quantity_e8", market="market_id"),
        Transfer("keeper_id", Owner.MAKERS, "cost_uusd"),
    )

    keeper_id: int = identifier()
    market_id: int = identifier()
    ordered_e8: int = signed()
    quantity_e8: int = signed()
    price_e8: int = price()
    cost_uusd: int = signed()
    reference_price_e8: int = price()
    market_price_e8: int = price()


@attrs.frozen
class TrancheSettled:
    """
    A tranche came to its end; the five parts sum to the slice.

    Attributes:
        tranche_seq: The tranche.
        bucket_id: The bucket, as an owner.
        filled_e8: Units filled in the book.
        taken_over_e8: Units taken over by a keeper.
        deleveraged_e8: Units closed against other accounts.
        cancelled_e8: Units not executed.
        crossed_e8: Units met with due positions of the other side.
    """

    TAG: ClassVar[str] = "tranche_settled"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = ()

    tranche_seq: int = sequence()
    bucket_id: int = identifier()
    filled_e8: int = amount()
    taken_over_e8: int = amount()
    deleveraged_e8: int = amount()
    cancelled_e8: int = amount()
    crossed_e8: int = amount()


@attrs.frozen
class LiquidationEnded:
    """
    A liquidation came to its end.

    Attributes:
        liquidation_seq: The trigger.
        bucket_id: The bucket, as an owner.
        market_id: Market whose mark made it due.
        outcome: Whether all positions are gone or the margin restored.
        quantity_e8: Position left there.
        cash_uusd: Cash left in the bucket: with no position, the owner's residue or, negative,
            exactly the recorded bad debt.
    """

    TAG: ClassVar[str] = "liquidation_ended"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = ()

    liquidation_seq: int = sequence()
    bucket_id: int = identifier()
    market_id: int = identifier()
    outcome: LiquidationOutcome = member()
    quantity_e8: int = signed()
    cash_uusd: int = signed()


@attrs.frozen
class LiquidationUnresolved:
    """
    A due bucket was still due when the run ended.

    Attributes:
        liquidation_seq: The trigger.
        bucket_id: The bucket, as an owner.
        market_id: Market whose mark made it due.
        quantity_e8: Position left there.
        reason: What it was waiting for.
    """

    TAG: ClassVar[str] = "liquidation_unresolved"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = ()

    liquidation_seq: int = sequence()
    bucket_id: int = identifier()
    market_id: int = identifier()
    quantity_e8: int = signed()
    reason: UnresolvedReason = member()
