"""What was traded and liquidated of late, and how far liquidations have come, by the log."""

from collections import defaultdict

import attrs

from liqsim.events import (
    Entry,
    InventorySold,
    LiquidationTriggered,
    OrderFilled,
    PositionReduced,
    TradeFilled,
    TrancheSettled,
    TrancheStarted,
)

_E10 = 10**10

_Rows = list[tuple[int, int]]
"""(when, how much), in order of time."""


def _rows() -> defaultdict[int, _Rows]:
    return defaultdict(list)


@attrs.define
class Flows:
    """
    Flow by market, and what accounts in liquidation have had so far.

    Attributes:
        traded: Fills of the book, in 1e-6 USD, by market.
        settled: Slices less what was cancelled, likewise.
        up: Slices that are not settled, by number.
        since_us: Trigger or end of the last slice, by bucket.
        slices: When slices of the liquidation in course were put up, by bucket and market.
    """

    traded: defaultdict[int, _Rows] = attrs.Factory(_rows)
    settled: defaultdict[int, _Rows] = attrs.Factory(_rows)
    up: dict[int, TrancheStarted] = attrs.Factory(dict)
    since_us: dict[int, int] = attrs.Factory(dict)
    slices: dict[int, dict[int, list[int]]] = attrs.Factory(dict)

    def note(self, entry: Entry) -> None:
        """Take note of an event."""
        e, now = entry.event, entry.sim_time_us
        match e:
            case OrderFilled() | InventorySold() | TradeFilled() | PositionReduced():
                self.traded[e.market_id].append((now, abs(e.cost_uusd)))
            case LiquidationTriggered():
                self.since_us[e.bucket_id], self.slices[e.bucket_id] = now, {}
            case TrancheStarted() if not e.executor.is_meeting:
                self.up[entry.seq] = e
                legs = self.slices.setdefault(e.bucket_id, {})
                legs.setdefault(e.market_id, []).append(now)
            case TrancheSettled() if e.tranche_seq in self.up:
                self.since_us[e.bucket_id] = now
                start = self.up.pop(e.tranche_seq)
                worth = _worth(start, e.cancelled_e8)
                self.settled[start.market_id].append((now, worth))
            case _:
                pass

    def traded_uusd(self, market: int, after_us: int) -> int:
        """Return what was traded after an instant."""
        return _sum_after(self.traded[market], after_us)

    def forced_uusd(self, market: int, after_us: int) -> int:
        """Return the forced flow after an instant, what is up included."""
        up = sum(_worth(start, 0) for start in self.up.values() if start.market_id == market)
        return _sum_after(self.settled[market], after_us) + up


def _worth(start: TrancheStarted, cancelled_e8: int) -> int:
    size = abs(start.quantity_e8) - cancelled_e8
    return -(-size * start.mark_price_e8 // _E10)


def _sum_after(rows: _Rows, after_us: int) -> int:
    total = 0
    for when, amount in reversed(rows):
        if when <= after_us:
            break
        total += amount
    return total
