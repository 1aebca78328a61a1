"""
Rate limits: no more than so much of due positions is put up in any span of time.

Whoever asks gets the earliest place at or after the last one that is taken.
"""

from bisect import bisect_right, insort
from collections.abc import Sequence
from operator import itemgetter

from liqsim.mechanics.mitigations.pacing import Answer, Ask
from liqsim.scenario.mitigations import RateLimit

Booking = tuple[int, int]
"""When, and how much in 1e-6 USD."""


def used_uusd(spec: RateLimit, bookings: Sequence[Booking], at_us: int) -> int:
    """
    Return what is booked in the span that *at_us* falls in, of *bookings* at or before it.

    >>> rolling = RateLimit("", "", True, 100, 10, "rolling", 0)
    >>> used_uusd(rolling, [(3, 40), (9, 50)], 12), used_uusd(rolling, [(3, 40), (9, 50)], 13)
    (90, 50)
    """
    after_us = at_us - spec.span_us
    if spec.window == "fixed":
        after_us = at_us - at_us % spec.span_us - 1
    return sum(amount for when_us, amount in bookings if after_us < when_us <= at_us)


def earliest(
    spec: RateLimit, bookings: Sequence[Booking], at_us: int, value_uusd: int, unit_uusd: int = 1
) -> tuple[int, int]:
    """
    Return when a slice worth *value_uusd* may be put up, and what it may then be worth.

    A room in which not one unit of 1e-8 fits, worth *unit_uusd*, is none.

    >>> fixed = RateLimit("", "", True, 100, 10, "fixed", 30)
    >>> earliest(fixed, [(3, 60)], 4, 50), earliest(fixed, [(3, 80)], 4, 50)
    ((4, 40), (10, 50))
    >>> earliest(fixed, [(3, 60)], 4, 50, unit_uusd=41)
    (10, 50)
    """
    at_us = max(at_us, bookings[-1][0] if bookings else 0)
    least = min(max(spec.least_uusd, unit_uusd), spec.max_uusd)
    while True:
        room = spec.max_uusd - used_uusd(spec, bookings, at_us)
        if value_uusd <= room or room >= least:
            return at_us, min(value_uusd, room)
        at_us = _next_us(spec, bookings, at_us)


def _next_us(spec: RateLimit, bookings: Sequence[Booking], at_us: int) -> int:
    """Return the next instant at which there is more room than at *at_us*."""
    if spec.window == "fixed":
        return at_us - at_us % spec.span_us + spec.span_us
    ends = (when_us + spec.span_us for when_us, _ in bookings)
    return min(end for end in ends if end > at_us)


class RateLimiter:
    """
    A rate limit and what is booked under it.

    Args:
        spec: Its parameters.
    """

    def __init__(self, spec: RateLimit) -> None:
        self._spec = spec
        self._bookings: list[Booking] = []

    def answer(self, ask: Ask, at_us: int) -> Answer:
        """Return when a slice may be put up, and what it may then be worth."""
        spec = self._spec
        past = bisect_right(self._bookings, ask.now_us - spec.span_us, key=itemgetter(0))
        del self._bookings[:past]  # They are in no span that ends now or later.
        when_us, amount = earliest(spec, self._bookings, at_us, ask.value_uusd(), ask.unit_uusd())
        return Answer(when_us, amount, used_uusd(spec, self._bookings, when_us))

    def book(self, at_us: int, amount_uusd: int) -> None:
        """Take note that a slice of such a value is, or will be, put up at *at_us*."""
        insort(self._bookings, (at_us, amount_uusd))

    def release(self, at_us: int, amount_uusd: int) -> None:
        """Take back what was booked and will not be put up."""
        if (at_us, amount_uusd) in self._bookings:
            self._bookings.remove((at_us, amount_uusd))
