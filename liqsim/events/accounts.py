"""Events by which money and positions enter a run."""

from typing import ClassVar

import attrs

from liqsim.events.schema import Owner, Transfer, amount, identifier, price, signed


@attrs.frozen
class FundsDeposited:
    """
    An owner was given USD from outside: collateral, fund or purse.

    Attributes:
        owner_id: Who received it.
        amount_uusd: How much.
    """

    TAG: ClassVar[str] = "funds_deposited"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = (
        Transfer(Owner.OUTSIDE, "owner_id", "amount_uusd"),
    )

    owner_id: int = identifier()
    amount_uusd: int = amount()


@attrs.frozen
class PositionOpened:
    """
    A bucket entered a position against the makers.

    Attributes:
        bucket_id: The bucket, as an owner.
        market_id: Which market's contract.
        quantity_e8: Signed size; negative is short.
        price_e8: Entry price.
        cost_uusd: What the bucket paid for it: quantity times price, rounded up.
    """

    TAG: ClassVar[str] = "position_opened"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = (
        Transfer(Owner.MAKERS, "bucket_id", "quantity_e8", market="market_id"),
        Transfer("bucket_id", Owner.MAKERS, "cost_uusd"),
    )

    bucket_id: int = identifier()
    market_id: int = identifier()
    quantity_e8: int = signed()
    price_e8: int = price()
    cost_uusd: int = signed()
