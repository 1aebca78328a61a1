"""Who waits for an auction, and what one that is held must do, as an audit keeps it."""

from collections import deque

import attrs

from liqsim.events import LotOffered
from replay.audit.holds import Hold, held_until
from replay.terms import MitigationTerms


@attrs.define
class Auction:
    """
    An auction that is held.

    Attributes:
        seq: The event.
        at_us: When.
        market_id: Which market.
        price_e8: The price of all that trades.
        lots: Those that must still be told, in order.
        starts: Accounts whose slices must still be put up, the units of each, and whether that is
            all that it offers.
        pairs: Who must still sell how much to whom: seller, buyer, units, since when that waits.
        taken: What bidders must still take over: account, units.
    """

    seq: int
    at_us: int
    market_id: int
    price_e8: int
    lots: deque[LotOffered] = attrs.Factory(deque)
    starts: deque[tuple[int, int, bool]] = attrs.Factory(deque)
    pairs: deque[tuple[int, int, int, int]] = attrs.Factory(deque)
    taken: deque[tuple[int, int]] = attrs.Factory(deque)


@attrs.define
class Auctions:
    """
    All auctions of a run.

    Attributes:
        rules: Number and terms of the mitigation, by market.
        bidders: Owner ids of bidders.
        of: Legs that wait, or have waited, by account and market, until a slice of the account is
            put up.
        called: (when, market) of auctions that somebody waits for.
        due: When the auction is that must be held before any later event, by market.
        held: The last that was held.
    """

    rules: dict[int, tuple[int, MitigationTerms]] = attrs.Factory(dict)
    bidders: frozenset[int] = frozenset()
    of: dict[tuple[int, int], Hold] = attrs.Factory(dict)
    called: set[tuple[int, int]] = attrs.Factory(set)
    due: dict[int, int] = attrs.Factory(dict)
    held: Auction | None = None

    def waits_until(self, bucket: int) -> int:
        """Return until when an account waits for an auction; 0 if it does not."""
        return held_until(self.of, bucket, self.rules)


def auctions_of(rows: tuple[MitigationTerms, ...], markets: int) -> Auctions:
    """Return what the mitigations of a run auction, in so many markets: nothing yet."""
    rules: dict[int, tuple[int, MitigationTerms]] = {}
    for number, row in enumerate(rows):
        if row.kind == "batch_auction" and row.duration("period"):
            everywhere = range(markets) if row.market_id is None else (row.market_id,)
            rules |= dict.fromkeys(everywhere, (number, row))
    return Auctions(rules)
