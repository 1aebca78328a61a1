"""Events that move coins: the asset that a market's contract is about, as collateral."""

from typing import ClassVar

import attrs

from liqsim.events.schema import Owner, Transfer, amount, identifier, price, sequence, signed


@attrs.frozen
class CoinsDeposited:
    """
    A bucket was given coins from outside as collateral of a position.

    Attributes:
        bucket_id: The bucket, as an owner.
        market_id: Which market's coin.
        quantity_e8: How many coins.
    """

    TAG: ClassVar[str] = "coins_deposited"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = (
        Transfer(Owner.OUTSIDE, "bucket_id", "quantity_e8", market="market_id", is_coin=True),
    )

    bucket_id: int = identifier()
    market_id: int = identifier()
    quantity_e8: int = amount()


@attrs.frozen
class CoinsSettled:
    """
    An account settled in coins with the makers what an execution had left in USD or in contracts.

    Of a linear contract: coins paid a debt once the position was gone. Of an inverse one, after
    every execution: contract units and coins were exchanged one for one, so that what is left
    has its entry price as before, and the rest of the cash was turned into coins or coins into
    cash. Its cause is the execution.

    Attributes:
        tranche_seq: The tranche of the execution.
        account_id: The account, as an owner: the bucket of the tranche, or one deleveraged for it.
        market_id: Which market.
        units_e8: Contract units that it received; negative is given.
        coins_e8: Coins that it received; negative is given.
        price_e8: Price of the execution, at which coins and USD were exchanged.
        amount_uusd: USD that it received; negative is paid.
    """

    TAG: ClassVar[str] = "coins_settled"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = (
        Transfer(Owner.MAKERS, "account_id", "units_e8", market="market_id"),
        Transfer(Owner.MAKERS, "account_id", "coins_e8", market="market_id", is_coin=True),
        Transfer(Owner.MAKERS, "account_id", "amount_uusd"),
    )

    tranche_seq: int = sequence()
    account_id: int = identifier()
    market_id: int = identifier()
    units_e8: int = signed()
    coins_e8: int = signed()
    price_e8: int = price()
    amount_uusd: int = signed()
