"""What the venue has seen of its markets and of its own liquidations, by the events of the run."""

import attrs

from liqsim.events import (
    InventorySold,
    LiquidationTriggered,
    OrderFilled,
    PositionReduced,
    TradeFilled,
    TrancheSettled,
    TrancheStarted,
)
from liqsim.mechanics.mitigations.flow import Tally
from liqsim.processes.context import Context
from liqsim.units import NOTIONAL_DIVISOR, ceil_div


@attrs.define
class _Progress:
    """
    How far the liquidation of a bucket has come.

    Attributes:
        since_us: Its trigger, or the end of its last slice.
        slices: Count of slices, and when the last was put up, by market.
    """

    since_us: int
    slices: dict[int, tuple[int, int]] = attrs.Factory(dict)


class Flows:
    """
    Sums of what is traded and liquidated, and where each liquidation stands.

    Slices that are crossed are none of it.

    Args:
        context: The run.
    """

    def __init__(self, context: Context) -> None:
        self._traded = [Tally() for _ in context.markets]
        self._settled = [Tally() for _ in context.markets]
        self._up_uusd = [0 for _ in context.markets]
        self._open: dict[int, TrancheStarted] = {}
        self._progress: dict[int, _Progress] = {}
        listen = context.journal.listen
        for kind in (OrderFilled, InventorySold, TradeFilled, PositionReduced):
            listen(kind, self._note_fill)
        listen(LiquidationTriggered, self._note_trigger)
        listen(TrancheStarted, self._note_slice)
        listen(TrancheSettled, self._note_settlement)

    def traded_uusd(self, market_id: int, after_us: int) -> int:
        """Return what was traded in a market's book after an instant."""
        return self._traded[market_id].after(after_us)

    def forced_uusd(self, market_id: int, after_us: int) -> int:
        """Return what of slices was settled, not cancelled, after an instant, and what is up."""
        return self._settled[market_id].after(after_us) + self._up_uusd[market_id]

    def since_us(self, bucket: int) -> int:
        """Return when the last slice of a bucket in liquidation ended, or when it was triggered."""
        return self._progress[bucket].since_us

    def slices(self, bucket: int, market_id: int) -> tuple[int, int | None]:
        """Return how many slices of a leg the liquidation has put up, and when the last."""
        return self._progress[bucket].slices.get(market_id, (0, None))

    def _note_fill(
        self,
        event: OrderFilled | InventorySold | TradeFilled | PositionReduced,
        _seq: int,
        at_us: int,
    ) -> None:
        self._traded[event.market_id].add(at_us, abs(event.cost_uusd))

    def _note_trigger(self, event: LiquidationTriggered, _seq: int, at_us: int) -> None:
        self._progress[event.bucket_id] = _Progress(at_us)

    def _note_slice(self, event: TrancheStarted, seq: int, at_us: int) -> None:
        if event.executor.is_meeting:
            return  # It weighs on no book.
        self._open[seq] = event
        self._up_uusd[event.market_id] += _worth_uusd(abs(event.quantity_e8), event.mark_price_e8)
        slices = self._progress[event.bucket_id].slices
        count, _ = slices.get(event.market_id, (0, 0))
        slices[event.market_id] = count + 1, at_us

    def _note_settlement(self, event: TrancheSettled, _seq: int, at_us: int) -> None:
        start = self._open.pop(event.tranche_seq, None)
        if start is None:
            return
        size, mark = abs(start.quantity_e8), start.mark_price_e8
        self._up_uusd[start.market_id] -= _worth_uusd(size, mark)
        done = _worth_uusd(size - event.cancelled_e8, mark)
        self._settled[start.market_id].add(at_us, done)
        self._progress[event.bucket_id].since_us = at_us


def _worth_uusd(size_e8: int, mark_e8: int) -> int:
    return ceil_div(size_e8 * mark_e8, NOTIONAL_DIVISOR)
