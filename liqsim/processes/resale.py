"""An inventory that was taken over, and its sale in the book, a part at a time."""

from collections.abc import Callable

import simpy

from liqsim.events import InventorySold
from liqsim.mechanics.desk import free_capital_uusd
from liqsim.mechanics.resale import affordable_price_e8, resale_order_e8, resale_pause_us
from liqsim.processes.context import Context, MarketDesk, Priority, Process
from liqsim.scenario.mitigations import Absorber
from liqsim.scenario.model import Keeper, LiquidationDesk
from liqsim.units import NOTIONAL_DIVISOR, RATIO_SCALE, taker_cost_uusd


class Inventory:
    """
    What an owner has taken over, by market.

    Args:
        context: The run.
        owner_id: The owner.
        terms: How it sells on.
        next_mark: Returns an event that fires when the next mark of a market lands.
        leverage_e6: The most that what it holds may come to, as a multiple of its capital.
        down_for_us: Returns how long the owner is still down; 0 while it is up.
        reserved_uusd: Returns cash that is needed for something else.
        after_sale: Called after every sale.
    """

    def __init__(
        self,
        context: Context,
        owner_id: int,
        terms: Keeper | LiquidationDesk | Absorber,
        next_mark: Callable[[int], simpy.Event],
        *,
        leverage_e6: int = RATIO_SCALE,
        down_for_us: Callable[[], int] = lambda: 0,
        reserved_uusd: Callable[[], int] = lambda: 0,
        after_sale: Callable[[], None] = lambda: None,
    ) -> None:
        self._context = context
        self.owner_id = owner_id
        self._terms = terms
        self._next_mark = next_mark
        self._leverage_e6 = leverage_e6
        self._down_for_us = down_for_us
        self._reserved_uusd = reserved_uusd
        self._after_sale = after_sale
        self._most_held_e8 = [0] * len(context.markets)
        self._is_selling = [False] * len(context.markets)
        self._takeover_seq = [-1] * len(context.markets)

    def units_e8(self, market_id: int) -> int:
        """Return the units held in one market; negative is short."""
        return self._context.world.ledger.unit_views[market_id][self.owner_id]

    def free_uusd(self) -> int:
        """Return the capital that may pay for more: see `free_capital_uusd`."""
        worth = [
            self.units_e8(desk.market_id) * desk.state.mark_e8 // NOTIONAL_DIVISOR
            for desk in self._context.markets
        ]
        cash = self._context.world.ledger.cash_view[self.owner_id]
        return free_capital_uusd(cash, worth, self._leverage_e6)

    def taken_over(self, desk: MarketDesk, seq: int) -> None:
        """Sell on, in time, what event *seq* has added in one market."""
        market_id = desk.market_id
        self._takeover_seq[market_id] = seq
        held = abs(self.units_e8(market_id))
        self._most_held_e8[market_id] = max(self._most_held_e8[market_id], held) if held else 0
        if not self._is_selling[market_id]:
            self._is_selling[market_id] = True  # At once: more may be taken over before it begins.
            self._context.start(self._sell(desk))

    def _sell(self, desk: MarketDesk) -> Process:
        """Sell the inventory of one market on, a part at a time, until none is left."""
        market_id, delay = desk.market_id, self._terms.resale_delay_us
        while True:
            yield self._context.wake(max(delay, self._down_for_us()), Priority.RESALE)
            if self._down_for_us():
                continue
            ordered, sold = self._send(desk)
            if not self.units_e8(market_id):
                break
            if not sold:
                yield self._next_mark(market_id)  # Until prices move there is no use.
            spacing = self._terms.resale_spacing_us or self._terms.resale_delay_us
            delay = resale_pause_us(spacing, ordered, sold, desk.state.book.half_life_us)
        self._is_selling[market_id] = False
        self._most_held_e8[market_id] = 0

    def _send(self, desk: MarketDesk) -> tuple[int, int]:
        """Send the next order for the inventory of one market; return (ordered, filled) units."""
        now, market_id = self._context.now_us, desk.market_id
        most, parts = self._most_held_e8[market_id], self._terms.resale_parts
        order_e8 = resale_order_e8(self.units_e8(market_id), most, parts)
        if not order_e8:
            return 0, 0
        reference = desk.path.at(now)
        limit = None
        if order_e8 > 0:
            # A short is bought back for no more than the purse holds.
            cash = self._context.world.ledger.cash_view[self.owner_id]
            limit = affordable_price_e8(cash - self._reserved_uusd(), order_e8)
            if limit < 1:
                return abs(order_e8), 0
        fill = desk.liquidity.fill(desk.state.book, now, reference, order_e8, limit)
        if fill is None:
            return abs(order_e8), 0
        event = InventorySold(
            keeper_id=self.owner_id,
            market_id=market_id,
            ordered_e8=order_e8,
            quantity_e8=fill.quantity_e8,
            price_e8=fill.price_e8,
            cost_uusd=taker_cost_uusd(fill.quantity_e8, fill.price_e8),
            reference_price_e8=reference,
            market_price_e8=fill.market_price_e8,
        )
        self._context.journal.append(event, self._takeover_seq[market_id])
        self._context.book_changed(market_id)
        self._after_sale()
        return abs(order_e8), abs(fill.quantity_e8)
