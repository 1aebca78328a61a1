"""What a venue sees of the volatility of its own mark."""

import math

from liqsim.mechanics.volatility import Volatility
from liqsim.processes.context import MarketDesk
from liqsim.units import RATIO_SCALE


class VolatilityOfMark:
    """
    The annual volatility of a market's mark.

    Args:
        desk: The market.
        period_us: Time from one look at the mark to the next.
        half_life_us: Age at which a squared return counts half as much as a new one.
    """

    def __init__(self, desk: MarketDesk, period_us: int, half_life_us: int) -> None:
        self._state = desk.state
        self._volatility = Volatility(period_us, half_life_us / period_us)

    def look(self) -> int | None:
        """Return it after one more look, in 1e-6; None before the second mark."""
        if self._state.mark_e8:
            self._volatility.saw(math.log(self._state.mark_e8))
        annual = self._volatility.annual
        return None if annual is None else round(annual * RATIO_SCALE)
