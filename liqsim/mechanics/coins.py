"""
Collateral in coins, and inverse contracts: what is settled in coins, and with how many.

An inverse position of N dollars entered at e is kept as N / e contract units, with -N in cash if it
is long: cash + (units + coins) x price is then what N x (1 / e - 1 / price) coins and its own are
worth.
An order to close a share of it is for dollars / price units of the market's coin; the bucket's
contract units fall by dollars / e, and the difference of the two, which is the profit in coins, is
exchanged with the makers, as is the cash that the execution left over.
"""

import attrs

from liqsim.units import NOTIONAL_DIVISOR, ceil_div


def value_uusd(coins_e8: int, price_e8: int) -> int:
    """Return what coins are worth, rounded down."""
    return coins_e8 * price_e8 // NOTIONAL_DIVISOR


def collateral_e8(value_uusd: int, price_e8: int) -> int:
    """
    Return how many coins are worth *value_uusd*, rounded up.

    >>> collateral_e8(100_000_001, 3 * 10**8)
    3333333367
    """
    return ceil_div(value_uusd * NOTIONAL_DIVISOR, price_e8)


def inverse_size_e8(units_e8: int, entry_e8: int, price_e8: int) -> int:
    """
    Return the units of the coin that an order to close inverse contracts is for, rounded up.

    >>> inverse_size_e8(2 * 10**8, 100 * 10**8, 80 * 10**8) / 10**8  # 200 dollars at 80.
    2.5
    """
    return ceil_div(abs(units_e8) * entry_e8, price_e8)


def closed_units_e8(size_e8: int, of_size_e8: int, of_units_e8: int) -> int:
    """
    Return the contract units that *size_e8* of a slice closes, rounded down; all of it all.

    Args:
        size_e8: Units of the coin executed.
        of_size_e8: What is left of the slice, in units of the coin.
        of_units_e8: The same in contract units.
    """
    return size_e8 * of_units_e8 // of_size_e8


@attrs.frozen
class Exchange:
    """
    What a bucket receives of the makers; negative is given.

    Attributes:
        units_e8: Contract units.
        coins_e8: Coins.
        amount_uusd: USD.
    """

    units_e8: int
    coins_e8: int
    amount_uusd: int


def decide_coins(
    *,
    units_e8: int,
    coins_e8: int,
    cash_uusd: int,
    units_after_e8: int,
    cash_after_uusd: int,
    price_e8: int,
) -> Exchange:
    """
    Return what brings units and cash to what they should be, and has coins for the difference.

    Units and coins go one for one, coins and USD at the price, rounded for the makers. Coins do not
    go below zero: what they cannot pay stays missing in the cash, but for a micro-dollar, which is
    no more than what rounding took.

    >>> decide_coins(units_e8=0, coins_e8=10**9, cash_uusd=-50 * 10**6, units_after_e8=0,
    ...              cash_after_uusd=0, price_e8=80 * 10**8)
    Exchange(units_e8=0, coins_e8=-62500000, amount_uusd=50000000)
    """
    missing = cash_after_uusd - cash_uusd
    free = coins_e8 + units_e8 - units_after_e8
    wanted = collateral_e8(missing, price_e8)  # What it buys, if negative, is rounded down.
    sold = min(wanted, free)
    worth = value_uusd(sold, price_e8)
    amount = missing if sold == wanted or missing - worth == 1 else worth
    units = units_after_e8 - units_e8
    return Exchange(units, -units - sold, amount)
