"""Events of funding, which ties a perp to its index."""

from typing import ClassVar

import attrs

from liqsim.events.schema import Owner, Transfer, identifier, premium, price, ranged, signed


@attrs.frozen
class FundingSet:
    """
    The funding rate of a market was set; whoever has a position pays or receives it at once.

    Attributes:
        market_id: Which market.
        rate_e9: What a long pays to the makers, as a share of its value at the mark; negative is
            received.
        premium_e9: The smoothed premium of the book's price over the index that it rests on.
        mark_price_e8: The mark price.
    """

    TAG: ClassVar[str] = "funding_set"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = ()

    market_id: int = identifier()
    rate_e9: int = ranged(-(10**9), 10**9)
    premium_e9: int = premium()
    mark_price_e8: int = price()


@attrs.frozen
class FundingPaid:
    """
    A bucket paid funding to the makers, who hold the other side, or received it from them.

    Attributes:
        bucket_id: The bucket, as an owner.
        market_id: Which market.
        quantity_e8: Its position; negative is short.
        amount_uusd: Position x mark price x rate, rounded up: negative is received.
    """

    TAG: ClassVar[str] = "funding_paid"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = (
        Transfer("bucket_id", Owner.MAKERS, "amount_uusd"),
    )

    bucket_id: int = identifier()
    market_id: int = identifier()
    quantity_e8: int = signed()
    amount_uusd: int = signed()
