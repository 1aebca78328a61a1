"""
Grace periods: time for owners to act, once what kept them or the venue from acting has ended.

After the sequencer outages of 2022 Aave v3 put such a period into its price oracle sentinel.
"""

from collections.abc import Iterable

from liqsim.scenario.mitigations import Grace
from liqsim.scenario.model import Windows


def last_outage_us(outages: Windows, now_us: int) -> int | None:
    """
    Return when the last outage up to now has ended; None if there was none.

    >>> last_outage_us(((5, 9), (20, 30)), 25), last_outage_us(((5, 9),), 8)
    (9, None)
    """
    return max((end for _, end in outages if end <= now_us), default=None)


def ended_us(
    spec: Grace, *, halt_us: int | None, outage_us: int | None, stale_us: int | None
) -> int | None:
    """
    Return when what a grace follows has last ended; None if nothing has.

    >>> spec = Grace("", "", True, 10, True, True, False)
    >>> ended_us(spec, halt_us=3, outage_us=None, stale_us=7)
    3
    """
    ends: Iterable[tuple[bool, int | None]] = (
        (spec.after_halts, halt_us),
        (spec.after_outages, outage_us),
        (spec.after_stale, stale_us),
    )
    return max((end for counts, end in ends if counts and end is not None), default=None)
