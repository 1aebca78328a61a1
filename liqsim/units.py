"""
Integer scales, bounds and the legal products of money, quantity and price.

One scale for everything: USD in 1e-6 (`_uusd`), quantities and prices in 1e-8 (`_e8`), ratios in
1e-6 (`_e6`), time in microseconds (`_us`).
quantity_e8 x price_e8 is USD in 1e-16; it leaves Python integers only after division by
`NOTIONAL_DIVISOR`, because at 922 USD it no longer fits an int64.
"""

from decimal import Decimal

USD_SCALE = 10**6
UNIT_SCALE = 10**8
RATIO_SCALE = 10**6
SECOND_US = 10**6
DAY_US = 86_400 * SECOND_US
YEAR_US = 8_766 * 3_600 * SECOND_US
"""A year of 365.25 days, for annualised volatilities."""

BOUND = 10**18
"""No posted balance, quantity or price reaches this many units of its scale."""

NOTIONAL_DIVISOR = UNIT_SCALE * UNIT_SCALE // USD_SCALE
"""Divides quantity_e8 x price_e8 down to micro-USD."""


def taker_cost_uusd(quantity_e8: int, price_e8: int) -> int:
    """
    Return what a taker of *quantity_e8* (negative: sells) pays, in micro-USD, rounded up.

    Rounding is always against the taker: a buyer pays the ceiling, a seller receives the floor.

    >>> taker_cost_uusd(3 * 10**8, 1_00000001), taker_cost_uusd(-3 * 10**8, 1_00000001)
    (3000001, -3000000)
    """
    return -((-quantity_e8 * price_e8) // NOTIONAL_DIVISOR)


def ceil_div(numerator: int, denominator: int) -> int:
    """Return numerator / denominator rounded towards plus infinity; *denominator* is positive."""
    return -((-numerator) // denominator)


def format_scaled(value: int, decimals: int) -> str:
    """
    Return an integer of 10**-decimals as an exact decimal string.

    >>> format_scaled(-1_500_000, 6), format_scaled(7, 8)
    ('-1.500000', '0.00000007')
    """
    return f"{Decimal(value).scaleb(-decimals):.{decimals}f}"


def format_usd(value_uusd: int) -> str:
    """Return micro-USD as an exact decimal string of USD."""
    return format_scaled(value_uusd, 6)


def amount_text(value_uusd: int) -> str:
    """
    Return micro-USD for a sentence: grouped, exact, without zeros that say nothing.

    >>> amount_text(10**18), amount_text(-1_234_500_000)
    ('1,000,000,000,000', '-1,234.5')
    """
    text = f"{Decimal(value_uusd).scaleb(-6):,.6f}"
    return text.rstrip("0").rstrip(".")
