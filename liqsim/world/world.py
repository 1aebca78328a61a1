"""The world and `evolve`, the one function that changes it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from liqsim.events import (
    EVENT_CLASSES,
    NO_CAUSE,
    Action,
    BookSampled,
    CoinHaircutChanged,
    DecisionRecorded,
    DepthChanged,
    Event,
    InventorySold,
    LiquidationEnded,
    LiquidationTriggered,
    MaintenanceChanged,
    MarkFeed,
    OracleUpdated,
    OrderFilled,
    PositionOpened,
    PositionReduced,
    ProfitCut,
    ShadowUpdated,
    TradeFilled,
)
from liqsim.events.mitigation import NOT_OBSERVED
from liqsim.events.schema import EventClass
from liqsim.world.ledger import Ledger
from liqsim.world.markets import Flow, Market

Evolve = Callable[[Any, int, int], None]
"""Applies (event, seq, sim_time_us)."""


class World:
    """
    Everything that events have made true.

    Attributes:
        ledger: Balances.
        markets: The markets, by number.
        entry_e8: int64, shape (markets, owners): entry price of each leg, moved when its
            profit is cut; 0 where none was opened.
        liquidation_seq: int64, shape (owners,): the open liquidation, or `NO_CAUSE`.
    """

    def __init__(self, owner_count: int, half_lives_us: list[int]) -> None:
        self.ledger = Ledger(owner_count, len(half_lives_us))
        self.markets = tuple(Market(half_life_us) for half_life_us in half_lives_us)
        shape = (len(half_lives_us), owner_count)
        self.entry_e8: npt.NDArray[np.int64] = np.zeros(shape, dtype=np.int64)
        self.liquidation_seq: npt.NDArray[np.int64] = np.full(owner_count, NO_CAUSE, dtype=np.int64)
        self._evolve = {cls: self._evolve_of(cls) for cls in EVENT_CLASSES}

    def evolve_of(self, cls: type[Event]) -> Evolve:
        """Return the function that applies one recorded event of *cls*. No rule, no draw."""
        return self._evolve[cls]

    def evolve_many(self, cls: type[Event], columns: dict[str, npt.NDArray[np.int64]]) -> None:
        """Apply many events of *cls* that happen at once; only kinds that enter in bulk."""
        self.ledger.post_many(cls, columns)
        if cls is PositionOpened:
            self.entry_e8[columns["market_id"], columns["bucket_id"]] = columns["price_e8"]
        elif cls is ProfitCut:
            self.entry_e8[columns["market_id"], columns["payer_id"]] = columns["entry_price_e8"]
        elif cls in _EFFECTS:
            message = f"{cls.TAG} has no bulk form"
            raise TypeError(message)

    def _evolve_of(self, cls: EventClass) -> Evolve:
        effect = _EFFECTS.get(cls)
        if not cls.TRANSFERS:
            return _nothing if effect is None else effect.__get__(self)
        post = self.ledger.posting_of(cls)
        if effect is None:
            return post
        bound = effect.__get__(self)

        def both(event: Any, seq: int, at_us: int) -> None:
            post(event, seq, at_us)
            bound(event, seq, at_us)

        return both


def _nothing(_event: Any, _seq: int, _at_us: int) -> None:
    """Apply an event that changes no state: it tells, it does not move."""


def _opened(world: World, event: PositionOpened, _seq: int, _at_us: int) -> None:
    world.entry_e8[event.market_id, event.bucket_id] = event.price_e8


def _profit_cut(world: World, event: ProfitCut, _seq: int, _at_us: int) -> None:
    world.entry_e8[event.market_id, event.payer_id] = event.entry_price_e8


def _depth_changed(world: World, event: DepthChanged, _seq: int, at_us: int) -> None:
    market = world.markets[event.market_id]
    market.set_book(market.book.with_depth(at_us, event.multiplier_e6, event.half_life_us))


def _marked(world: World, event: OracleUpdated, seq: int, at_us: int) -> None:
    market = world.markets[event.market_id]
    market.inputs = market.inputs.with_index(event.price_e8, at_us, event.shows_at_us)
    if event.shadow_price_e8:
        market.shadow_inputs = market.shadow_inputs.with_index(event.shadow_price_e8, at_us, 0)
    market.set_mark(event.mark_price_e8, seq, at_us, event.mark_shows_at_us)
    market.shadow_e8 = event.shadow_mark_e8


def _book_sampled(world: World, event: BookSampled, seq: int, at_us: int) -> None:
    market = world.markets[event.market_id]
    shows_us, premium = event.sampled_at_us, event.premium_e9
    market.inputs = market.inputs.with_book(event.price_e8, at_us, shows_us, premium)
    if event.shadow_price_e8:
        market.shadow_inputs = market.shadow_inputs.with_book(
            event.shadow_price_e8, at_us, 0, event.shadow_premium_e9
        )
    market.set_mark(event.mark_price_e8, seq, at_us, event.mark_shows_at_us)
    market.shadow_e8 = event.shadow_mark_e8


def _shadow_moved(world: World, event: ShadowUpdated, _seq: int, at_us: int) -> None:
    market = world.markets[event.market_id]
    inputs, price = market.shadow_inputs, event.price_e8
    market.shadow_inputs = (
        inputs.with_index(price, at_us, 0)
        if event.feed is MarkFeed.ORACLE
        else inputs.with_book(price, at_us, 0, event.premium_e9)
    )
    market.shadow_e8 = event.shadow_mark_e8


def _maintenance_changed(world: World, event: MaintenanceChanged, _seq: int, _at_us: int) -> None:
    world.markets[event.market_id].maintenance_e6 = event.multiplier_e6


def _coin_haircut_changed(world: World, event: CoinHaircutChanged, _seq: int, _at_us: int) -> None:
    world.markets[event.market_id].coin_haircut_e6 = event.coin_haircut_e6


def _decided(world: World, event: DecisionRecorded, _seq: int, _at_us: int) -> None:
    of_all = event.market_id == NOT_OBSERVED
    markets = world.markets if of_all else (world.markets[event.market_id],)
    for market in markets:
        match event.action:
            case Action.HALTED:
                market.halted_until_us = max(market.halted_until_us, event.until_at_us)
            case Action.RISK_HALTED:
                market.risk_halted_until_us = max(market.risk_halted_until_us, event.until_at_us)


def _filled(world: World, event: OrderFilled | PositionReduced, seq: int, at_us: int) -> None:
    market = world.markets[event.market_id]
    market.set_book(market.book.traded(at_us, event.quantity_e8, seq, Flow.FORCED))


def _sold(world: World, event: InventorySold, seq: int, at_us: int) -> None:
    market = world.markets[event.market_id]
    market.set_book(market.book.traded(at_us, event.quantity_e8, seq, Flow.HEDGING))


def _traded(world: World, event: TradeFilled, seq: int, at_us: int) -> None:
    market = world.markets[event.market_id]
    market.set_book(market.book.traded(at_us, event.quantity_e8, seq, Flow.TRADING))
    world.entry_e8[event.market_id, event.bucket_id] = event.entry_price_e8


def _triggered(world: World, event: LiquidationTriggered, seq: int, _at_us: int) -> None:
    world.liquidation_seq[event.bucket_id] = seq


def _ended(world: World, event: LiquidationEnded, _seq: int, _at_us: int) -> None:
    world.liquidation_seq[event.bucket_id] = NO_CAUSE


_EFFECTS: dict[Any, Callable[..., None]] = {
    PositionOpened: _opened,
    ProfitCut: _profit_cut,
    DepthChanged: _depth_changed,
    OracleUpdated: _marked,
    BookSampled: _book_sampled,
    ShadowUpdated: _shadow_moved,
    MaintenanceChanged: _maintenance_changed,
    CoinHaircutChanged: _coin_haircut_changed,
    OrderFilled: _filled,
    PositionReduced: _filled,
    InventorySold: _sold,
    TradeFilled: _traded,
    LiquidationTriggered: _triggered,
    LiquidationEnded: _ended,
    DecisionRecorded: _decided,
}
