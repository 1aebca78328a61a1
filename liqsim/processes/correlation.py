"""What a venue sees of how its own marks move together."""

import math

from liqsim.mechanics.correlation import Correlation, basket_return
from liqsim.processes.context import Context, MarketDesk
from liqsim.processes.interest import open_interest_e16
from liqsim.scenario.mitigations import CorrelationMargin
from liqsim.units import RATIO_SCALE


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
                world = self._context.world
                weights = [float(open_interest_e16(world, other)) for other in self._others]
                basket = basket_return(returns, weights)
                if basket is not None:
                    self._correlation.saw(own, basket)
            self._last = logs
        value = self._correlation.value
        return None if value is None else round(max(value, 0.0) * RATIO_SCALE)
