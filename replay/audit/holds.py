"""Who waits to be crossed, as an audit keeps it."""

from collections import deque
from collections.abc import Iterable

import attrs

from replay.terms import MitigationTerms


@attrs.define
class Hold:
    """
    A slice that may be held.

    Attributes:
        since_us: When it could first have been put up.
        until_us: Until when it may be held.
        is_held: Whether it is, as far as the last event that says so.
    """

    since_us: int
    until_us: int
    is_held: bool = False


@attrs.define
class Meeting:
    """
    The slices that are crossed with one that asks.

    Attributes:
        seq: The tranche that asks.
        at_us: When.
        is_whole: Whether that is all of its slice.
        left: Who must still be met: account, units, and whether that is all of its slice.
        other_seq: The tranche of whom is being met; -1 between two of them.
        other: Whom, likewise.
    """

    seq: int
    at_us: int
    is_whole: bool
    left: deque[tuple[int, int, bool]]
    other_seq: int = -1
    other: tuple[int, int, bool] = (-1, 0, False)


@attrs.define
class Holds:
    """
    All that is held or met.

    Attributes:
        rules: (mitigation, the longest time that a slice is held), by market.
        of: By account and market, until a slice of the account is put up.
        meeting: What is being crossed.
    """

    rules: dict[int, tuple[int, int]] = attrs.Factory(dict)
    of: dict[tuple[int, int], Hold] = attrs.Factory(dict)
    meeting: Meeting | None = None

    def waits_until(self, bucket: int) -> int:
        """Return until when an account is held; 0 if it is not."""
        return held_until(self.of, bucket, self.rules)


def held_until(of: dict[tuple[int, int], Hold], bucket: int, markets: Iterable[int]) -> int:
    """Return until when an account is held with a leg in any of *markets*; 0 if it is not."""
    holds = (of.get((bucket, market)) for market in markets)
    return max((hold.until_us for hold in holds if hold is not None and hold.is_held), default=0)


def holds_of(rows: tuple[MitigationTerms, ...], markets: int) -> Holds:
    """Return whom the mitigations of a run hold, in so many markets: nobody yet."""
    rules: dict[int, tuple[int, int]] = {}
    for number, row in enumerate(rows):
        if row.kind == "crossing" and row.duration("hold"):
            everywhere = range(markets) if row.market_id is None else (row.market_id,)
            rules |= {market: (number, row.duration("hold")) for market in everywhere}
    return Holds(rules)
