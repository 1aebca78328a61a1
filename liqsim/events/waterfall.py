"""Events of the loss waterfall: who pays beyond bankruptcy, who gains short of it."""

from typing import ClassVar

import attrs

from liqsim.events.schema import (
    Owner,
    Transfer,
    amount,
    identifier,
    price,
    ranged,
    sequence,
    signed,
)


@attrs.frozen
class SurplusRouted:
    """
    A fill was better than bankruptcy and what it left over went to the insurance fund.

    Attributes:
        tranche_seq: The tranche.
        bucket_id: The bucket, as an owner.
        amount_uusd: How much.
    """

    TAG: ClassVar[str] = "surplus_routed"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = (Transfer("bucket_id", Owner.FUND, "amount_uusd"),)

    tranche_seq: int = sequence()
    bucket_id: int = identifier()
    amount_uusd: int = amount()


@attrs.frozen
class FundDrawn:
    """
    The insurance fund paid for a fill worse than bankruptcy, or for a hole left by it.

    Attributes:
        tranche_seq: The tranche.
        bucket_id: The bucket, as an owner.
        amount_uusd: How much.
        balance_uusd: What the fund has left.
    """

    TAG: ClassVar[str] = "fund_drawn"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = (Transfer(Owner.FUND, "bucket_id", "amount_uusd"),)

    tranche_seq: int = sequence()
    bucket_id: int = identifier()
    amount_uusd: int = amount()
    balance_uusd: int = amount()


@attrs.frozen
class PositionDeleveraged:
    """
    A profitable position was closed against a bankrupt one, at the bankruptcy price.

    Attributes:
        tranche_seq: The tranche.
        bucket_id: The bankrupt bucket, as an owner.
        counterparty_id: The bucket deleveraged, as an owner.
        market_id: Which market.
        rank_number: Place in the queue of this tranche, from 1.
        quantity_e8: The bankrupt bucket's order: negative sells to the counterparty.
        price_e8: The bankruptcy price.
        cost_uusd: What the bankrupt bucket paid: quantity times price, rounded up.
    """

    TAG: ClassVar[str] = "position_deleveraged"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = (
        Transfer("counterparty_id", "bucket_id", "quantity_e8", market="market_id"),
        Transfer("bucket_id", "counterparty_id", "cost_uusd"),
    )

    tranche_seq: int = sequence()
    bucket_id: int = identifier()
    counterparty_id: int = identifier()
    market_id: int = identifier()
    rank_number: int = ranged(1, 2**31 - 1)
    quantity_e8: int = signed()
    price_e8: int = price()
    cost_uusd: int = signed()


@attrs.frozen
class BadDebtRecorded:
    """
    A bucket with no position was left with negative cash that nobody paid.

    The bucket keeps exactly this negative balance.

    Attributes:
        tranche_seq: The tranche that closed the position.
        bucket_id: The bucket, as an owner.
        amount_uusd: How much.
    """

    TAG: ClassVar[str] = "bad_debt_recorded"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = ()

    tranche_seq: int = sequence()
    bucket_id: int = identifier()
    amount_uusd: int = amount()
