"""
Breakers as an audit keeps them: what was observed, what each may halt, and what is halted.

Windows are looked at again in full, from the marks and fills of the log: no running sum is shared
with the side that decided.
"""

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final

import attrs

from liqsim.events import Action
from replay.terms import MitigationTerms, level_rows

_E6: Final = 10**6
_YEAR_US: Final = 31_557_600 * _E6

COLUMNS: Final = {
    "fall": "fall_e6",
    "rise": "rise_e6",
    "volatility": "volatility_e6",
    "flow": "forced_uusd",
    "drawdown": "drawdown_e6",
    "divergence": "divergence_e6",
}
"""Which column of a decision tells an observation."""

_ACTIONS: Final = {
    "halt_liquidations": Action.HALTED,
    "halt_new_risk": Action.RISK_HALTED,
    "widen_margin": Action.WIDENED,
}

Range = tuple[int, int]
"""The least and the most that an observation may be: rounding is not known to the unit."""


@attrs.frozen
class Condition:
    """
    A condition of a level.

    Attributes:
        observable: What it looks at.
        window_us: How far it looks back.
        above_e6: Its bound, in 1e-6.
    """

    observable: str
    window_us: int
    above_e6: int


@attrs.frozen
class Level:
    """
    A level of a breaker.

    Attributes:
        conditions: Its conditions.
        needs_all: Whether all must hold.
        duration_us: How long it lasts.
        factor_e6: By how much it multiplies margin rates, if it does.
    """

    conditions: tuple[Condition, ...]
    needs_all: bool
    duration_us: int
    factor_e6: int

    def holds(self, observed: Mapping[str, int]) -> bool:
        """Return whether observations meet it."""
        held = [observed[c.observable] > c.above_e6 for c in self.conditions]
        return bool(held) and (all(held) if self.needs_all else any(held))


@attrs.define
class Breaker:
    """
    A breaker.

    Attributes:
        number: Its place in the scenario.
        market_id: The market where it acts; None for all.
        action: What it does.
        is_wide: Whether it acts in all markets.
        levels: Its levels, the lowest first.
        notice_us: From its decision until it acts.
        cool_down_us: From the end of what it does to the next.
        free_at_us: From when on each level may act again, by market; of a wide one, by -1.
    """

    number: int
    market_id: int | None
    action: Action
    is_wide: bool
    levels: tuple[Level, ...]
    notice_us: int
    cool_down_us: int
    free_at_us: dict[tuple[int, int], int] = attrs.Factory(dict)

    def is_free(self, level: int, market: int, at_us: int) -> bool:
        """Return whether a level may act now, on what was seen in a market."""
        return self.free_at_us.get((level, -1 if self.is_wide else market), 0) <= at_us

    def acted(self, level: int, market: int, until_us: int) -> None:
        """Note that a level acts until then."""
        scope = -1 if self.is_wide else market
        for below in range(level + 1):
            key, free_us = (below, scope), until_us + self.cool_down_us
            self.free_at_us[key] = max(self.free_at_us.get(key, 0), free_us)


@attrs.define
class Breakers:
    """
    What breakers saw and stopped.

    Attributes:
        breakers: They, by their place in the scenario.
        halted_until_us: Until when liquidations are halted, by market.
        risk_until_us: Until when new risk is, by market.
        flows: (when, how much) of forced flow, by market.
        fund_highest: Highest balance of the fund.
        moved: What moved in this instant: (observable, market), of the fund market -1.
        moved_at_us: Which instant that is.
    """

    breakers: dict[int, Breaker] = attrs.Factory(dict)
    halted_until_us: defaultdict[int, int] = attrs.Factory(lambda: defaultdict(int))
    risk_until_us: defaultdict[int, int] = attrs.Factory(lambda: defaultdict(int))
    flows: defaultdict[int, list[tuple[int, int]]] = attrs.Factory(lambda: defaultdict(list))
    fund_highest: int = 0
    moved: set[tuple[str, int]] = attrs.Factory(set)
    moved_at_us: int = 0

    def is_halted(self, market: int, at_us: int) -> bool:
        """Return whether liquidations are halted in a market."""
        return at_us < self.halted_until_us[market]


def breakers_of(rows: tuple[MitigationTerms, ...]) -> Breakers:
    """Return the breakers of a run."""
    found = {}
    for number, row in enumerate(rows):
        table, stages = row.values, row.values.get("stages", ())
        if row.kind == "divergence_pause":
            divergence = {"observable": "divergence", "above": table["above"]}
            table = table | {"when": [divergence], "join": "any"}  # type: ignore[operator]
        elif row.kind != "breaker":
            continue
        action, factor = _ACTIONS[table.get("action", "halt_liquidations")], table.get("factor", 1)
        found[number] = Breaker(
            number,
            row.market_id,
            action=action,
            is_wide=table.get("scope") == "venue",
            levels=tuple(_level(level, factor) for level in (table, *stages)),
            notice_us=row.duration("notice") if action is Action.WIDENED else 0,
            cool_down_us=row.duration("cool_down"),
        )
    return Breakers(found)


def _level(table: Mapping[str, Any], factor: Any) -> Level:
    conditions, needs_all, duration_us, factor_e6 = level_rows({"factor": factor} | dict(table))
    rows = tuple(Condition(*row) for row in conditions)
    return Level(rows, needs_all, duration_us, factor_e6)


# Observations -------------------------------------------------------------------------------------


def fall_or_rise(
    marks: tuple[list[int], list[int]], window_us: int, at_us: int, *, is_fall: bool
) -> Range:
    """Return the fall from the highest, or rise from the lowest, mark that stood in a window."""
    instants, prices = marks
    if not prices:
        return 0, 0
    first = max(bisect_right(instants, at_us - window_us) - 1, 0)
    stood, now = prices[first:], prices[-1]
    base = max(stood) if is_fall else min(stood)
    exact = abs(base - now) * _E6 // base
    return exact, exact


def volatility(marks: tuple[list[int], list[int]], window_us: int, at_us: int) -> Range:
    """Return the annualised volatility that the returns of a window add up to."""
    instants, prices = marks
    first = max(bisect_right(instants, at_us - window_us), 1)
    logs = [math.log(price) for price in prices[first - 1 :]]
    variance = math.fsum((b - a) ** 2 for a, b in pairwise(logs))
    # Squares are kept to 1e-18, logarithms to some 1e-14.
    slack = len(logs) * 2e-18 + 4e-13 * math.sqrt(variance)
    per_year = _YEAR_US / window_us
    low, high = (math.sqrt(max(variance + sign * slack, 0) * per_year) * _E6 for sign in (-1, 1))
    return max(math.floor(low) - 1, 0), math.ceil(high) + 1
