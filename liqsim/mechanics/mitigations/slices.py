"""
How large the next slice of a due position may be: one law of several.

`obizhaeva_wang` is the cheapest way to trade a position in equal intervals in a book of constant
depth that refills exponentially (Obizhaeva, Wang, Journal of Financial Markets 16, 2013; in n
trades: Alfonsi, Fruth, Schied, Quantitative Finance 10, 2010). With a the part of what was taken
that is still missing an interval later, first and last are X / ((n - 2)(1 - a) + 2) and each of the
others that times 1 - a; as intervals shrink, the first is X / (resilience x horizon + 2).
"""

import math
from typing import Final

import attrs

from liqsim.mechanics.tranches import units_within_e8
from liqsim.scenario.mitigations import Slices
from liqsim.units import RATIO_SCALE, ceil_div

_E9: Final = 10**9
_HOUR_US: Final = 3_600_000_000


@attrs.frozen
class Seen:
    """
    What a law looks at beside the position; each law at its own part.

    Attributes:
        number: Count of the slice among those of its leg in this liquidation, from 1.
        depth_e8: Units that the book would take within the law's distance.
        traded_uusd: What was traded over the law's window.
        forced_uusd: Forced flow over it.
    """

    number: int
    depth_e8: int | None = None
    traded_uusd: int | None = None
    forced_uusd: int | None = None


def size_e8(spec: Slices, at_trigger_e8: int, mark_e8: int, seen: Seen) -> int:
    """Return the units that a slice may have, at least those worth the least."""
    least = units_within_e8(spec.least_uusd, mark_e8)
    return max(_of_law_e8(spec, at_trigger_e8, mark_e8, seen), least)


def _of_law_e8(spec: Slices, at_trigger_e8: int, mark_e8: int, seen: Seen) -> int:
    match spec.law:
        case "fixed":
            return units_within_e8(spec.amount_uusd, mark_e8)
        case "depth_share":
            assert seen.depth_e8 is not None
            return seen.depth_e8 * spec.share_e6 // RATIO_SCALE
        case "participation":
            assert seen.traded_uusd is not None
            assert seen.forced_uusd is not None
            background = spec.background_uusd * spec.window_us // _HOUR_US
            room = room_uusd(seen.traded_uusd + background, seen.forced_uusd, spec.share_e6)
            return units_within_e8(room, mark_e8)
        case "time_weighted":
            return ceil_div(at_trigger_e8, spec.parts)
        case _:
            back_e9 = refilled_e9(spec.interval_us, spec.half_life_us)
            return schedule_e8(at_trigger_e8, seen.number, spec.parts, back_e9)


def room_uusd(traded_uusd: int, forced_uusd: int, share_e6: int) -> int:
    """
    Return what liquidations may still put up if they are to have no more than a share of trading.

    >>> room_uusd(1_000, 40, 100_000), room_uusd(1_000, 400, 100_000)
    (60, 0)
    """
    return max(traded_uusd * share_e6 // RATIO_SCALE - forced_uusd, 0)


def refilled_e9(interval_us: int, half_life_us: int) -> int:
    """Return the part of what was taken that is back an interval later, in 1e-9, rounded."""
    left = math.exp2(-interval_us / half_life_us)
    return _E9 - round(left * _E9)


def schedule_e8(at_trigger_e8: int, number: int, parts: int, back_e9: int) -> int:
    """
    Return the size of slice *number*, rounded up; what is left after the last goes in such ends.

    >>> [schedule_e8(9 * 10**8, number, 4, 500_000_000) for number in (1, 2, 3, 4, 5)]
    [300000000, 150000000, 150000000, 300000000, 300000000]
    """
    whole = (parts - 2) * back_e9 + 2 * _E9
    part = back_e9 if 1 < number < parts else _E9
    return ceil_div(at_trigger_e8 * part, whole)
