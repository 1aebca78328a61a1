"""What a venue sees of how its own marks move together."""

import math

import numpy as np

from liqsim.mechanics.correlation import Correlation, basket_return
from liqsim.mechanics.radius import Ints
from liqsim.processes.context import Context, MarketDesk
from liqsim.scenario.mitigations import CorrelationMargin
from liqsim.units import RATIO_SCALE


def open_interest_e8(units: Ints) -> int:
    """Return the units that owners of *units* are long."""
    # In two parts, as the sum of many need not fit its type.
    whole, rest = np.divmod(units[units > 0], RATIO_SCALE)
    return int(whole.sum()) * RATIO_SCALE + int(rest.sum())


class CorrelationOfMarks:
    """
    The correlation of a market's mark with those of the other markets.

    Args:
        context: The run.
        desk: The market.
        spec: How often it looks, and how fast it forgets.
    """

    def __init__(self, context: Context, desk: MarketDesk, spec: CorrelationMargin) -> None:
        self._context = context
        self._desk = desk
        self._others = [other for other in context.markets if other is not desk]
        self._correlation = Correlation(spec.half_life_us / spec.period_us)
        self._last: list[float] = []

    def look(self) -> int | None:
        """Return it after one more look, in 1e-6; None while it is unknown."""
        marks = [desk.state.mark_e8 for desk in (self._desk, *self._others)]
        if all(marks):
            logs = [math.log(mark) for mark in marks]
            if self._last:
                own, *returns = (b - a for a, b in zip(self._last, logs, strict=True))
                basket = basket_return(returns, [self._weight(other) for other in self._others])
                if basket is not None:
                    self._correlation.saw(own, basket)
            self._last = logs
        value = self._correlation.value
        return None if value is None else round(max(value, 0.0) * RATIO_SCALE)

    def _weight(self, desk: MarketDesk) -> float:
        """Return the open interest of a market at its mark."""
        units = self._context.world.ledger.units[desk.market_id]
        return float(open_interest_e8(units) * desk.state.mark_e8)
