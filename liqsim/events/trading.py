"""Events of accounts that act of their own will."""

from enum import IntEnum
from typing import ClassVar

import attrs

from liqsim.events.mitigation import maybe
from liqsim.events.schema import (
    Owner,
    Transfer,
    amount,
    identifier,
    member,
    price,
    signed,
)


class TradeReason(IntEnum):
    """Why an account traded."""

    REDUCED = 0
    CLOSED = 1
    STOPPED = 2
    OPENED = 3
    REBALANCED = 4
    RELEVERED = 5
    ARRIVED = 6
    ANTICIPATED = 7


@attrs.frozen
class TradeFilled:
    """
    An order that an account sent of its own will was filled, wholly or in part, in the book.

    Its cause is the mark, the change of maintenance or the funding that it reacted to; of an
    opening or an arrival, the deposit of its collateral.

    Attributes:
        bucket_id: The bucket, as an owner.
        market_id: Which market.
        reason: Why it traded.
        ordered_e8: Size of the order, signed as the order.
        quantity_e8: What was filled; negative sells.
        price_e8: Average price, rounded against the bucket.
        cost_uusd: What the bucket paid: quantity times price, rounded up.
        fee_uusd: Taker fee, rounded up.
        entry_price_e8: Entry price of the position from then on; 0 without one.
        mark_price_e8: Mark price when it traded.
        reference_price_e8: Reference price at the fill.
        market_price_e8: Market price right after it.
        closeness_e6: Of an order ahead of a halt, how close to a halt the account saw what its
            breaker looks at, as a share of the bound; else null.
    """

    TAG: ClassVar[str] = "trade_filled"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = (
        Transfer(Owner.MAKERS, "bucket_id", "quantity_e8", market="market_id"),
        Transfer("bucket_id", Owner.MAKERS, "cost_uusd"),
        Transfer("bucket_id", Owner.TREASURY, "fee_uusd"),
    )

    bucket_id: int = identifier()
    market_id: int = identifier()
    reason: TradeReason = member()
    ordered_e8: int = signed()
    quantity_e8: int = signed()
    price_e8: int = price()
    cost_uusd: int = signed()
    fee_uusd: int = amount()
    entry_price_e8: int = amount()
    mark_price_e8: int = price()
    reference_price_e8: int = price()
    market_price_e8: int = price()
    closeness_e6: int = maybe()


@attrs.frozen
class FundsWithdrawn:
    """
    An account that had closed its position took out what it had left.

    Attributes:
        bucket_id: The bucket, as an owner.
        amount_uusd: How much: all of it.
    """

    TAG: ClassVar[str] = "funds_withdrawn"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = (
        Transfer("bucket_id", Owner.OUTSIDE, "amount_uusd"),
    )

    bucket_id: int = identifier()
    amount_uusd: int = amount()
