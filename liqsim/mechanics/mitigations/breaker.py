"""
Circuit breakers: which level of one is met, and until when that stops what it stops.

Levels are those of the exchanges' market-wide halts (NYSE rule 7.12: 7, 13 and 20 %), conditions
and cool-downs as venues for perpetuals would set them; a pause on a divergence of prices is that
of oracle guards such as Aave's price oracle sentinel.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from liqsim.scenario.mitigations import Stage
from liqsim.units import RATIO_SCALE

_LONGS_LOSE: Final = {"fall": True, "rise": False}
"""Observables of a move that goes against one side."""


def is_met(level: Stage, observed: Mapping[str, int]) -> bool:
    """
    Return whether the conditions of a level hold.

    Args:
        level: The level.
        observed: What was observed.

    >>> from liqsim.scenario.mitigations import Condition
    >>> two = Condition("fall", 10, 100_000), Condition("flow", 10, 5)
    >>> saw = {"fall": 100_001, "flow": 5}
    >>> [is_met(Stage(two, join, 1, None), saw) for join in ("any", "all")]
    [True, False]
    """
    holds = (observed[condition.observable] > condition.above_e6 for condition in level.when)
    return all(holds) if level.join == "all" else any(holds)


def closeness_e6(level: Stage, observed: Mapping[str, int], *, is_long: bool) -> int:
    """
    Return how close a level is to being met, as a share of its bounds, as one side cares.

    Of `any` the closest condition counts, of `all` the farthest. A fall is nothing to run from for
    shorts, nor a rise for longs.

    Args:
        level: The level.
        observed: What is observed.
        is_long: The side.

    >>> from liqsim.scenario.mitigations import Condition
    >>> two = Condition("fall", 10, 100_000), Condition("flow", 10, 5)
    >>> saw = {"fall": 80_000, "flow": 3}
    >>> closeness_e6(Stage(two, "any", 1, None), saw, is_long=True)
    800000
    >>> closeness_e6(Stage(two, "all", 1, None), saw, is_long=True)
    600000
    >>> closeness_e6(Stage(two, "any", 1, None), saw, is_long=False)
    600000
    """
    shares = [
        min(observed[condition.observable] * RATIO_SCALE // max(condition.above_e6, 1), RATIO_SCALE)
        if _LONGS_LOSE.get(condition.observable, is_long) is is_long
        else 0
        for condition in level.when
    ]
    return min(shares) if level.join == "all" else max(shares)


class Levels:
    """
    The levels of a breaker in one scope, and from when on each may trip again.

    Args:
        levels: The levels, the lowest first.
        cool_down_us: Least time from the end of a level until that one, or one below, may follow.
        lead_us: Time from the announcement of a level until it begins.
    """

    def __init__(self, levels: Sequence[Stage], cool_down_us: int, lead_us: int = 0) -> None:
        self._levels = levels
        self._cool_down_us = cool_down_us
        self._lead_us = lead_us
        self._free_at_us = [0] * len(levels)

    def open_at(self, now_us: int) -> list[int]:
        """Return the numbers, from 1, of the levels that may trip now, the highest first."""
        count = len(self._levels)
        return [n for n in range(count, 0, -1) if self._free_at_us[n - 1] <= now_us]

    def trip(self, number: int, now_us: int) -> int:
        """
        Note that a level is announced now, and return until when it lasts.

        >>> levels = Levels([Stage((), "all", 5, None), Stage((), "any", 9, None)], 10)
        >>> levels.trip(1, 0), levels.open_at(14), levels.open_at(15)
        (5, [2], [2, 1])
        >>> Levels([Stage((), "all", 5, None)], 10, lead_us=2).trip(1, 0)
        7
        """
        until_us = now_us + self._lead_us + self._levels[number - 1].duration_us
        for place in range(number):
            self._free_at_us[place] = max(self._free_at_us[place], until_us + self._cool_down_us)
        return until_us
