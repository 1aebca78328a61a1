"""
Who is deleveraged for an account, in which order, and by how much.

Worked out from the folded balances: the other side, in no liquidation, with a profit and with
equity that is not negative, all at one price.
"""

from collections.abc import Callable, Iterator
from fractions import Fraction
from heapq import heapify, heappop
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


def due(
    book: Book, market: int, bucket: int, price: int, left: int, cut_at: int
) -> Iterator[tuple[int, int]]:
    """Yield who must be closed against *bucket* at *price*, in order, and by how many units."""
    cap, rule = book.terms.deleveraging_cap_e6, book.terms.deleveraging
    rooms = {
        other: book.closable(market, other, cut_at) * cap // _E6
        for other in candidates(book, market, bucket, price)
    }
    rooms = {other: room for other, room in rooms.items() if room}
    if rule in ("pro_rata", "risk_weighted"):
        yield from _shared(book, market, price, left, rooms)
        return
    score = _SCORES.get(rule, rank_e6)  # Also where nobody should be: that is reported.
    queue = [(-score(book, market, other, price), other) for other in rooms]
    heapify(queue)
    while queue and left:
        _, other = heappop(queue)
        yield other, min(left, rooms[other])
        left -= min(left, rooms[other])


def _shared(
    book: Book, market: int, price: int, left: int, rooms: dict[int, int]
) -> Iterator[tuple[int, int]]:
    """Yield the part of each in proportion to room, or room times leverage, none above its room."""
    weights = {
        other: Fraction(
            room
            * (
                1
                if book.terms.deleveraging == "pro_rata"
                else max(_leverage(book, market, other, price), 1)
            )
        )
        for other, room in sorted(rooms.items())
    }
    parts: dict[int, int] = {}
    while weights and left:
        each = left / sum(weights.values())
        full = [other for other, weight in weights.items() if each * weight >= rooms[other]]
        for other in full:
            parts[other] = rooms[other]
            left -= rooms[other]
            del weights[other]
        if not full:
            exact = {other: each * weight for other, weight in weights.items()}
            parts |= {other: int(part) for other, part in exact.items()}
            spare = left - sum(int(part) for part in exact.values())
            for other in sorted(exact, key=lambda other: (int(exact[other]) - exact[other], other))[
                :spare
            ]:
                parts[other] += 1
            break
    for other in sorted(parts):
        if parts[other]:
            yield other, parts[other]


def _equity(book: Book, market: int, bucket: int, price: int) -> int:
    """Return equity at *price*, in 1e-16 USD."""
    worth = book.position(market, bucket) * price
    return book.equity_behind(market, bucket, price) * _E10 + worth


def _notional(book: Book, market: int, bucket: int, price: int) -> int:
    """Return what a position is worth at *price*, or its number of dollars, in 1e-16 USD."""
    counted_at = book.entry_price(market, bucket) if book.rule(market).is_inverse else price
    return abs(book.position(market, bucket)) * counted_at


def _cut(gain: int, base: int) -> int:
    return min(gain * _E6 // base, _TOP_RANK) if base > 0 else _TOP_RANK


def _leverage(book: Book, market: int, bucket: int, price: int) -> int:
    """Return notional / equity, cut to six decimals."""
    equity = _equity(book, market, bucket, price)
    return _cut(_notional(book, market, bucket, price), equity)


def _bitmex(book: Book, market: int, bucket: int, price: int) -> int:
    """Return profit as a share of the entry value, times leverage."""
    quantity, entered = book.position(market, bucket), book.entry_price(market, bucket)
    gain = quantity * (price - entered) * _notional(book, market, bucket, price)
    return _cut(gain, abs(quantity) * entered * _equity(book, market, bucket, price))


def _hyperliquid(book: Book, market: int, bucket: int, price: int) -> int:
    """Return price over entry price, of a short the inverse, times leverage."""
    entered = book.entry_price(market, bucket)
    is_long = book.position(market, bucket) > 0
    gain, base = (price, entered) if is_long else (entered, price)
    gain *= _notional(book, market, bucket, price)
    return _cut(gain, base * _equity(book, market, bucket, price))


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


_SCORES: Final[dict[str, Callable[[Book, int, int, int], int]]] = {
    "ranked": rank_e6,
    "bitmex": _bitmex,
    "hyperliquid": _hyperliquid,
}
