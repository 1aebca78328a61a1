"""What a venue observes of a market that a model of cascades is asked about."""

from functools import partial

from liqsim.events import (
    BookSampled,
    InventorySold,
    OracleUpdated,
    OrderFilled,
    TradeFilled,
    TrancheTakenOver,
)
from liqsim.mechanics.liquidity import Fill, displaced_price_e8
from liqsim.mechanics.mitigations.predicting import (
    Observation,
    annual_e6,
    imbalance_e6,
    squared_move_e18,
)
from liqsim.mechanics.mitigations.slippage import within_distance_e8
from liqsim.mechanics.mitigations.windows import Total
from liqsim.processes.context import Context, MarketDesk
from liqsim.processes.interest import open_interest_uusd
from liqsim.processes.margins import Margins
from liqsim.units import BOUND, NOTIONAL_DIVISOR

_MOST_UUSD = BOUND - 1


class Observatory:
    """
    Looks at one market.

    Args:
        context: The run.
        desk: The market.
        margins: Those of the accounts.
        window_us: How far flows and volatility look back.
        distance_e6: How far from the price depth and ladder reach, as a share of it.
    """

    def __init__(
        self,
        context: Context,
        desk: MarketDesk,
        margins: Margins,
        window_us: int,
        distance_e6: int,
    ) -> None:
        self._context = context
        self._desk = desk
        self._margins = margins
        self._window_us = window_us
        self._distance_e6 = distance_e6
        self._signed, self._gross, self._forced, self._squares = (
            Total(window_us) for _ in range(4)
        )
        self._last_e8 = 0
        listen = context.journal.listen
        for book_kind in (OrderFilled, TradeFilled, InventorySold):
            listen(book_kind, self._note_trade)
        for forced_kind in (OrderFilled, TrancheTakenOver):
            listen(forced_kind, self._note_forced)
        for mark_kind in (OracleUpdated, BookSampled):
            listen(mark_kind, self._note_mark)

    def look(self) -> Observation | None:
        """Return what there is to see now; None before the first mark."""
        now, mark = self._context.now_us, self._desk.state.mark_e8
        open_interest = open_interest_uusd(self._context.world, self._desk)
        if open_interest is None:
            return None
        ladder = self._margins.ladder_e16(self._desk, self._distance_e6) // NOTIONAL_DIVISOR
        return Observation(
            imbalance_e6=imbalance_e6(self._signed.value(now), self._gross.value(now)),
            forced_uusd=min(self._forced.value(now), _MOST_UUSD),
            depth_uusd=min(self._depth_e8() * mark // NOTIONAL_DIVISOR, _MOST_UUSD),
            ladder_uusd=min(ladder, _MOST_UUSD),
            open_interest_uusd=open_interest,
            volatility_e6=annual_e6(self._squares.value(now), self._window_us),
        )

    def _depth_e8(self) -> int:
        desk, now = self._desk, self._context.now_us
        reference, book = desk.path.at(now), desk.state.book
        price = displaced_price_e8(reference, desk.liquidity.displacement(book, now))

        def quote(order_e8: int, limit_e8: int | None) -> Fill | None:
            return desk.liquidity.fill(book, now, reference, order_e8, limit_e8)

        side = partial(within_distance_e8, quote, price, self._distance_e6)
        return min(side(is_sale=True), side(is_sale=False))

    def _note_trade(
        self, event: OrderFilled | TradeFilled | InventorySold, _seq: int, at_us: int
    ) -> None:
        if event.market_id == self._desk.market_id:
            self._signed.saw(at_us, event.cost_uusd)
            self._gross.saw(at_us, abs(event.cost_uusd))

    def _note_forced(self, event: OrderFilled | TrancheTakenOver, _seq: int, at_us: int) -> None:
        if event.market_id == self._desk.market_id:
            self._forced.saw(at_us, abs(event.cost_uusd))

    def _note_mark(self, event: OracleUpdated | BookSampled, _seq: int, at_us: int) -> None:
        if event.market_id == self._desk.market_id:
            if self._last_e8:
                self._squares.saw(at_us, squared_move_e18(self._last_e8, event.mark_price_e8))
            self._last_e8 = event.mark_price_e8
