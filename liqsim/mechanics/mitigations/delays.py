"""How long a slice waits for the one before it while forced flow runs high."""

from liqsim.scenario.mitigations import Delays
from liqsim.units import USD_SCALE, ceil_div


def pause_us(spec: Delays, forced_uusd: int) -> int:
    """
    Return the pause after *forced_uusd* of forced flow, rounded up, never above the longest.

    >>> spec = Delays("", "", True, 300_000_000, 2_000_000, 60_000_000)
    >>> pause_us(spec, 1_500_000 * 10**6), pause_us(spec, 10**15)
    (3000000, 60000000)
    """
    return min(ceil_div(forced_uusd * spec.per_million_us, USD_SCALE * USD_SCALE), spec.max_us)
