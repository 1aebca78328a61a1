"""How long a slice waits for the one before it while forced flow runs high."""

from liqsim.scenario.mitigations import Delays
from liqsim.units import USD_SCALE, ceil_div

_STEPS = 64


def pause_us(spec: Delays, forced_uusd: int) -> int:
    """
    Return the pause after *forced_uusd* of forced flow, never above the longest.

    It is rounded up to a 64th of the longest: each slice that is put up lengthens the pauses of all
    who wait, and they would ask again, and be told of it, for every microsecond more.

    >>> spec = Delays("", "", True, 300_000_000, 2_000_000, 64_000_000)
    >>> pause_us(spec, 1_400_000 * 10**6), pause_us(spec, 10**15), pause_us(spec, 0)
    (3000000, 64000000, 0)
    """
    pause = ceil_div(forced_uusd * spec.per_million_us, USD_SCALE * USD_SCALE)
    grain = max(spec.max_us // _STEPS, 1)
    return min(ceil_div(pause, grain) * grain, spec.max_us)
