"""Accounts as they were read from a file."""

import attrs


@attrs.frozen
class Holding:
    """
    One account of a file.

    Attributes:
        place: Where the file names it first, such as `line 7`.
        name: Its name.
        collateral_uusd: Collateral that it has deposited.
        legs: (market, signed quantity_e8, entry price_e8), one per market that it holds.
        coins_e8: Coins of its market that it has deposited.
    """

    place: str
    name: str
    collateral_uusd: int
    legs: tuple[tuple[str, int, int], ...]
    coins_e8: int = 0
