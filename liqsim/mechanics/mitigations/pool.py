"""Whether a pool goes ahead of the book."""


def goes_ahead(when: str, price_e8: int, book_price_e8: int | None, *, is_long: bool) -> bool:
    """
    Return whether a pool that pays *price_e8* takes a slice over before it goes to the book.

    Args:
        when: `always`, or `worse`: only if the book would give less for a long, or ask more for a
            short.
        price_e8: Its price.
        book_price_e8: Average price of the whole slice in the book; None if that would not take
            all of it.
        is_long: Whether the slice is of a long.

    >>> goes_ahead("worse", 99, 98, is_long=True), goes_ahead("worse", 99, 99, is_long=True)
    (True, False)
    >>> goes_ahead("worse", 101, 102, is_long=False), goes_ahead("worse", 101, None, is_long=False)
    (True, True)
    """
    if when == "always" or book_price_e8 is None:
        return True
    return book_price_e8 < price_e8 if is_long else book_price_e8 > price_e8
