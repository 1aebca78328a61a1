"""Random paths of the scenario's own generators, and accounts that become due along them."""

from decimal import Decimal
from functools import cache

import attrs
import numpy as np
import numpy.typing as npt

from liqsim.mechanics.margin import (
    MarginRule,
    Pieces,
    pieces,
    scaled_margin,
    trigger_price_e8,
)
from liqsim.mechanics.paths import reference_path
from liqsim.scenario.model import GbmPath, KnotsPath, Market
from liqsim.units import YEAR_US, taker_cost_uusd
from support.scenarios import load, small_scenario

START_E8 = 10_000 * 10**8
"""Dear enough that rounding a price is far below any overshoot."""


def step_sd(volatility: float, step_us: int) -> float:
    """Return the standard deviation of one step in log price."""
    return float(volatility * np.sqrt(step_us / YEAR_US))


@cache
def _quiet_market() -> Market:
    return load(small_scenario()).markets[0]


def market_of(path: GbmPath | KnotsPath) -> Market:
    """Return a market on *path*."""
    return attrs.evolve(_quiet_market(), path=path)


def prices_of(market: Market, *, seed: int, steps: int) -> npt.NDArray[np.int64]:
    """Return the start and *steps* prices after it."""
    end_us = (steps + 1) * market.path.step_us
    return reference_path(market, seed=seed, end_us=end_us).prices_e8


@attrs.frozen
class Position:
    """
    An isolated position of a thousand units.

    Attributes:
        cash_uusd: Its cash after it was opened.
        quantity_e8: Its size, negative for a short.
        pieces: What it adds to the margin.
    """

    cash_uusd: int
    quantity_e8: int
    pieces: Pieces

    @property
    def trigger_e8(self) -> int:
        """The price nearest to safety at which it is due."""
        trigger = trigger_price_e8(self.cash_uusd, self.pieces, is_long=self.quantity_e8 > 0)
        assert trigger is not None
        return trigger

    def is_due(self, price_e8: int) -> bool:
        """Return whether it is due at a mark price."""
        return scaled_margin(self.cash_uusd, [(self.pieces, price_e8)]) < 0


def opened(
    entry_e8: int, margin_share: float | Decimal, maintenance: str, *, side: int
) -> Position:
    """Return a position opened at *entry_e8* whose collateral is that share of its notional."""
    quantity = side * 1_000 * 10**8
    cost = taker_cost_uusd(quantity, entry_e8)
    rule = MarginRule(((0, int(Decimal(maintenance) * 10**6)),))
    held = pieces(rule, quantity, entry_e8)
    return Position(round(abs(cost) * margin_share) - cost, quantity, held)


def gbm(volatility: float, step_us: int, *, log_drift: float = 0.0) -> Market:
    """Return a market on geometric Brownian motion; *log_drift* is a year's, of the log price."""
    return market_of(GbmPath(step_us, START_E8, volatility, log_drift + volatility**2 / 2))
