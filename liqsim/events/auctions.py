"""Events of batch auctions: what was offered, and the price at which it cleared."""

from typing import ClassVar

import attrs

from liqsim.events.schema import Transfer, amount, identifier, instant, price, sequence, signed


@attrs.frozen
class AuctionHeld:
    """
    Due slices of a market were offered together, and cleared at one price.

    Attributes:
        mitigation_id: Place of the mitigation in the scenario, from 0.
        market_id: Which market.
        mark_price_e8: The mark price.
        price_e8: The price at which all of it traded; the mark where nothing could.
        for_sale_e8: Units of all lots that sell.
        for_purchase_e8: Units of all lots that buy.
        bids_e8: Units that bidders would take at the end of their schedule, on the side where they
            are needed.
        taken_e8: Units that they took; negative is what they sold.
        free_uusd: Their capital that was free.
    """

    TAG: ClassVar[str] = "auction_held"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = ()

    mitigation_id: int = identifier()
    market_id: int = identifier()
    mark_price_e8: int = price()
    price_e8: int = price()
    for_sale_e8: int = amount()
    for_purchase_e8: int = amount()
    bids_e8: int = amount()
    taken_e8: int = signed()
    free_uusd: int = amount()


@attrs.frozen
class LotOffered:
    """
    A due slice took part in an auction.

    Attributes:
        liquidation_seq: The trigger.
        bucket_id: The bucket, as an owner.
        market_id: Which market.
        quantity_e8: The slice as an order: negative sells a long, positive buys a short back.
        reserve_price_e8: The worst price at which it trades, its bankruptcy price; 0 where none is
            too bad.
        filled_e8: Units that it traded.
        held_since_at_us: When it could first have been put up.
    """

    TAG: ClassVar[str] = "lot_offered"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = ()

    liquidation_seq: int = sequence()
    bucket_id: int = identifier()
    market_id: int = identifier()
    quantity_e8: int = signed()
    reserve_price_e8: int = amount()
    filled_e8: int = amount()
    held_since_at_us: int = instant()
