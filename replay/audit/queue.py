"""
Who stands in the deleveraging queue of an account, and in which order.

Worked out from the folded balances: the other side, in no liquidation, with a profit and with
equity that is not negative, all at one price.
"""

from collections.abc import Iterator
from typing import Final

from replay.audit.book import Book

_E6: Final = 10**6
_E10: Final = 10**10
_TOP_RANK: Final = 10**12


def candidates(book: Book, market: int, bucket: int, price: int) -> Iterator[int]:
    """Yield who stands in the queue of *bucket* at *price*, in no order."""
    position = book.position(market, bucket)
    for other in book.sides[market, position < 0]:
        quantity = book.position(market, other)
        entered = book.fold.entry_prices_e8.get((market, other), price)
        if quantity * (price - entered) <= 0 or other in book.liquidation_of:
            continue
        if book.equity_behind(market, other, price) * _E10 + quantity * price >= 0:
            yield other


def rank_e6(book: Book, market: int, bucket: int, price: int) -> int:
    """Return profit / margin x notional / equity at *price*, cut to six decimals."""
    quantity = book.position(market, bucket)
    profit = quantity * (price - book.fold.entry_prices_e8[market, bucket])
    equity = book.equity_behind(market, bucket, price) * _E10 + quantity * price
    margin = equity - profit
    if margin <= 0 or equity <= 0:
        return _TOP_RANK
    # A number of dollars does not move with the price.
    is_inverse = book.rule(market).is_inverse
    counted_at = book.entry_price(market, bucket) if is_inverse else price
    return min(profit * abs(quantity) * counted_at * _E6 // (margin * equity), _TOP_RANK)
