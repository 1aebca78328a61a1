"""
What a venue can observe at an instant: its marks, its own book, forced flow and its fund.

Whoever needs an observation asks for its reader once, and reads it whenever it decides.
"""

from collections.abc import Callable

from liqsim.events import (
    BookSampled,
    DepthChanged,
    FundDrawn,
    InventorySold,
    OracleUpdated,
    OrderFilled,
    Owner,
    PositionReduced,
    TradeFilled,
    TrancheTakenOver,
)
from liqsim.mechanics.mitigations.windows import (
    Extreme,
    Total,
    distance_e6,
    fall_e6,
    rise_e6,
    squared_return,
    volatility_e6,
)
from liqsim.processes.context import Context, MarketDesk

Reader = Callable[[], int]
"""Returns an observation at the present instant."""

Changed = Callable[[int, int], None]
"""Called with (market, seq) after an event that moves an observation of that market."""

_MARKS = OracleUpdated, BookSampled
_FORCED = OrderFilled, TrancheTakenOver
_BOOK = OrderFilled, TradeFilled, InventorySold, PositionReduced, DepthChanged


class Observing:
    """
    Makes readers, and tells when what they read may have moved.

    Args:
        context: The run.
        changed: Told of what moves an observation that has a reader; None tells nobody.
    """

    def __init__(self, context: Context, changed: Changed | None = None) -> None:
        self._context = context
        self._changed = changed
        self._told: set[tuple[int, type]] = set()
        self._readers: dict[tuple[str, int, int], Reader] = {}

    def reader(self, observable: str, market_id: int, window_us: int) -> Reader:
        """
        Return the reader of an observable: `fall`, `rise`, `volatility`, `flow`, `drawdown`, ….

        Args:
            observable: Its name in a scenario.
            market_id: The market; drawdown is that of the whole venue.
            window_us: What it looks back on; drawdown and divergence look back on none.
        """
        key = observable, market_id, window_us
        if key not in self._readers:
            desk = self._context.markets[market_id]
            make: dict[str, Callable[[MarketDesk, int], Reader]] = {
                "fall": self._fall,
                "rise": self._rise,
                "volatility": self._volatility,
                "flow": self._flow,
                "drawdown": self._drawdown,
                "divergence": self._divergence,
            }
            self._readers[key] = make[observable](desk, window_us)
        return self._readers[key]

    def _fall(self, desk: MarketDesk, window_us: int) -> Reader:
        highest = self._extreme(desk, window_us, is_high=True)
        return lambda: fall_e6(highest.value(self._context.now_us), desk.state.mark_e8)

    def _rise(self, desk: MarketDesk, window_us: int) -> Reader:
        lowest = self._extreme(desk, window_us, is_high=False)
        return lambda: rise_e6(lowest.value(self._context.now_us), desk.state.mark_e8)

    def _extreme(self, desk: MarketDesk, window_us: int, *, is_high: bool) -> Extreme:
        extreme = Extreme(window_us, is_high=is_high)
        self._on_mark(desk, extreme.saw)
        return extreme

    def _volatility(self, desk: MarketDesk, window_us: int) -> Reader:
        squares, last = Total(window_us), [0]

        def saw(at_us: int, mark_e8: int) -> None:
            if last[0]:
                squares.saw(at_us, squared_return(last[0], mark_e8))
            last[0] = mark_e8

        self._on_mark(desk, saw)
        return lambda: volatility_e6(squares.value(self._context.now_us), window_us)

    def _flow(self, desk: MarketDesk, window_us: int) -> Reader:
        flow = Total(window_us)

        def saw(event: OrderFilled | TrancheTakenOver, _seq: int, at_us: int) -> None:
            if event.market_id == desk.market_id:
                flow.saw(at_us, abs(event.cost_uusd))

        for cls in _FORCED:
            self._context.journal.listen(cls, saw)
            self._tell_of(desk, cls)
        return lambda: flow.value(self._context.now_us)

    def _drawdown(self, desk: MarketDesk, _window_us: int) -> Reader:
        cash, highest = self._context.world.ledger.cash_view, [0]

        def saw(event: FundDrawn, _seq: int, _at_us: int) -> None:
            # Nothing else makes the fund smaller: it was highest before a draw, or is now.
            highest[0] = max(highest[0], event.balance_uusd + event.amount_uusd)

        def read() -> int:
            balance = cash[Owner.FUND]
            return fall_e6(max(highest[0], balance), balance)

        self._context.journal.listen(FundDrawn, saw)
        self._tell_of(desk, FundDrawn)
        return read

    def _divergence(self, desk: MarketDesk, _window_us: int) -> Reader:
        def read() -> int:
            price = desk.market_price_e8(self._context.now_us)
            return distance_e6(desk.state.inputs.index_e8, price)

        for cls in (*_MARKS, *_BOOK):
            self._tell_of(desk, cls)
        return read

    def _on_mark(self, desk: MarketDesk, saw: Callable[[int, int], None]) -> None:
        """Have *saw* called with (instant, mark) of every mark of a market."""

        def marked(event: OracleUpdated | BookSampled, _seq: int, at_us: int) -> None:
            if event.market_id == desk.market_id:
                saw(at_us, event.mark_price_e8)

        for cls in _MARKS:
            self._context.journal.listen(cls, marked)
            self._tell_of(desk, cls)

    def _tell_of(self, desk: MarketDesk, cls: type) -> None:
        """Tell of events of *cls* in a market, or of the whole venue, from now on."""
        changed, key = self._changed, (desk.market_id, cls)
        if changed is None or key in self._told:
            return
        self._told.add(key)

        def tell(event: object, seq: int, _at_us: int) -> None:
            if getattr(event, "market_id", desk.market_id) == desk.market_id:
                changed(desk.market_id, seq)

        self._context.journal.listen(cls, tell)
