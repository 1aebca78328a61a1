"""What every process works with, and the one helper through which wake-ups are scheduled."""

from collections.abc import Callable, Generator
from enum import IntEnum
from functools import partial
from typing import Any

import attrs
import simpy
import structlog

from liqsim.journal import Journal
from liqsim.mechanics.arrivals import Reserved
from liqsim.mechanics.liquidity import Fill, Liquidity, displaced_price_e8
from liqsim.mechanics.margin import MarginRule, rule_in_force
from liqsim.mechanics.mitigations.slippage import within_distance_e8
from liqsim.mechanics.paths import ReferencePath
from liqsim.mechanics.purged import PurgedPath
from liqsim.processes.commentary import commentary
from liqsim.scenario import Scenario
from liqsim.scenario.model import Market as MarketSpec
from liqsim.units import RATIO_SCALE
from liqsim.world.markets import Market
from liqsim.world.world import World

Process = Generator[simpy.Event, Any, None]


_RANKS = 2**20
"""More than there are ranks."""


class Priority(IntEnum):
    """Who goes first among wake-ups of one instant, after what SimPy itself schedules."""

    DEPTH = 10
    FEES = 11
    REDUCTIONS = 12
    RULES = 13
    FUNDING = 14
    FUND = 15
    ORACLE = 20
    SHADOW = 25
    LANDING = 30
    CROSSING = 35
    HALT = 37
    AUCTION = 38
    LIQUIDATION = 40
    ORDER = 45
    KEEPER = 50
    RESALE = 60
    TRADER = 70
    ACTOR = 90
    REPLAN = 99


class Wake(simpy.Event):
    """
    A wake-up after *delay_us* with a named priority; ties go by *rank*, then serial number.

    The rank decides where the order in which wake-ups were scheduled is an accident: that of plans,
    which may be made again.
    """

    def __init__(
        self, env: simpy.Environment, delay_us: int, priority: Priority, rank: int = 0
    ) -> None:
        assert type(delay_us) is int, "a numpy delay would turn the clock into numpy for good"
        self.env = env
        self.callbacks = []
        self._value = None
        self._ok = True
        place = priority * _RANKS + rank
        env.schedule(self, place, delay_us)  # type: ignore[arg-type]  # Any int orders the heap.


@attrs.frozen(eq=False)
class MarketDesk:
    """
    One market as processes see it.

    Attributes:
        market_id: Its number.
        spec: Its parameters.
        start_rule: How positions count in a margin at the start.
        path: Its reference path, or what finds it as the run goes; processes read it at the
            present instant only.
        state: Its state in the world.
        liquidity: Its book.
    """

    market_id: int
    spec: MarketSpec
    start_rule: MarginRule
    path: ReferencePath | PurgedPath
    state: Market
    liquidity: Liquidity

    @property
    def rule(self) -> MarginRule:
        """How positions and coins count in a margin, under the rules in force."""
        rule, multiplier_e6 = self.start_rule, self.state.maintenance_e6
        haircut_e6 = self.state.coin_haircut_e6
        if multiplier_e6 == RATIO_SCALE and haircut_e6 is None:
            return rule
        return rule_in_force(rule, multiplier_e6, haircut_e6)

    def market_price_e8(self, now_us: int) -> int:
        """Return what the next unit costs now."""
        displacement = self.liquidity.displacement(self.state.book, now_us)
        return displaced_price_e8(self.path.at(now_us), displacement)

    def quote(self, now_us: int, order_e8: int, limit_e8: int | None) -> Fill | None:
        """Return what an order (negative: sells) within a limit would get now; None if nothing."""
        reference = self.path.at(now_us)
        return self.liquidity.fill(self.state.book, now_us, reference, order_e8, limit_e8)

    def depth_e8(self, now_us: int, distance_e6: int, *, is_sale: bool) -> int:
        """Return the units that the book would take now within a share of the market price."""
        price, quote = self.market_price_e8(now_us), partial(self.quote, now_us)
        return within_distance_e8(quote, price, distance_e6, is_sale=is_sale)


class Context:
    """
    The run as processes see it.

    Attributes:
        env: SimPy environment; its clock is integer microseconds since the start.
        scenario: The parameters.
        world: State; processes read it and change it through the journal alone.
        journal: The door.
        markets: One desk per market.
        first_bucket: Owner number of the first bucket.
        reserved: The owners that are kept for accounts which arrive.
        wake: Returns an event that fires after (delay_us, priority).
    """

    def __init__(
        self,
        *,
        env: simpy.Environment,
        scenario: Scenario,
        world: World,
        journal: Journal,
        markets: tuple[MarketDesk, ...],
        first_bucket: int,
        reserved: tuple[Reserved, ...],
        run_id: str,
    ) -> None:
        self.env = env
        self.scenario = scenario
        self.world = world
        self.journal = journal
        self.markets = markets
        self.first_bucket = first_bucket
        self.reserved = reserved
        self.wake = partial(Wake, env)
        self._log = commentary(run_id=run_id)
        self._trade_listeners: list[list[Callable[[], None]]] = [[] for _ in markets]
        self._draw_listeners: list[Callable[[int], None]] = []

    @property
    def log(self) -> structlog.typing.FilteringBoundLogger:
        """Commentary for the operator, with the run and the present instant on every line."""
        return self._log.bind(sim_us=self.now_us)

    @property
    def now_us(self) -> int:
        """The present instant, in microseconds since the start."""
        return self.env.now  # type: ignore[return-value]

    def call(
        self,
        delay_us: int,
        priority: Priority,
        function: Callable[..., object],
        *args: object,
        rank: int = 0,
    ) -> None:
        """Call *function* with *args* after *delay_us*."""
        callbacks = self.wake(delay_us, priority, rank=rank).callbacks
        assert callbacks is not None

        def run(_event: simpy.Event) -> None:
            function(*args)

        callbacks.append(run)

    def start(self, process: Process) -> None:
        """Start a process."""
        self.env.process(process)

    def on_trade(self, market_id: int, listener: Callable[[], None]) -> None:
        """Have *listener* called after every change of a market's book."""
        self._trade_listeners[market_id].append(listener)

    def book_changed(self, market_id: int) -> None:
        """Tell the listeners of a market that its book has changed."""
        for listener in self._trade_listeners[market_id]:
            listener()

    def on_fund_drawn(self, listener: Callable[[int], None]) -> None:
        """Have *listener* called with the number of every draw on the fund."""
        self._draw_listeners.append(listener)

    def fund_drawn(self, seq: int) -> None:
        """Tell the listeners that the fund has paid."""
        for listener in self._draw_listeners:
            listener(seq)
