"""
What a venue could observe of its markets, made of a log: the read side's own sight of it.

It is for models of cascades: `replay.training` looks through it at runs to train on, and an audit
at a run that a model decided in. Features and score are worked out here again, from the log and
the text of the model alone.
"""

import hashlib
import json
import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import product
from typing import Final

import attrs
import numpy as np
import numpy.typing as npt

from liqsim.events import (
    BookSampled,
    DecisionRecorded,
    Entry,
    InventorySold,
    MaintenanceChanged,
    OracleUpdated,
    OrderFilled,
    PositionReduced,
    TradeFilled,
    TrancheTakenOver,
)
from replay.audit.breakers import volatility
from replay.audit.depth import MarketDepth
from replay.fold import MAKERS, Fold, Move
from replay.margin import E22_PER_UUSD, Leg, LegRule, margin_e22, slope_e14
from replay.terms import Terms

_E6: Final = 10**6
_E10: Final = 10**10
_MOST: Final = 10**18 - 1
_TOLERANCE: Final = 1e-9
_DIGITS: Final = 12
"""A bisection narrows a volume down to so many digits: more than two computations share."""
_ODDS_MOST: Final = 40 * _E6

_Rows = tuple[list[int], list[int]]
"""Instants and amounts, in order of time."""


@attrs.frozen
class Seen:
    """
    What was to be seen of a market at one look.

    Attributes:
        imbalance_e6: |bought - sold| in its book over the window, as a share of both.
        forced_uusd: Filled and taken over in liquidations, in the window.
        depth_uusd: What the book would take within the distance, on its thinner side.
        ladder_uusd: What would be due at the distance from the mark, on the worse side.
        open_interest_uusd: What is long, or short if that is more, without the makers, at the mark.
        volatility_e6: Annual volatility of the mark over the window.
    """

    imbalance_e6: int
    forced_uusd: int
    depth_uusd: int
    ladder_uusd: int
    open_interest_uusd: int
    volatility_e6: int

    @property
    def features(self) -> dict[str, int]:
        """What a model weighs, in 1e-6: amounts as roots of multiples of the depth."""
        return {
            "imbalance": self.imbalance_e6,
            "forced": self._over_depth(self.forced_uusd),
            "interest": self._over_depth(self.open_interest_uusd),
            "ladder": self._over_depth(self.ladder_uusd),
            "volatility": self.volatility_e6,
        }

    def _over_depth(self, amount: int) -> int:
        most = 10**4 * _E6
        if amount == 0:
            return 0
        multiple = most if self.depth_uusd == 0 else min(amount * _E6 // self.depth_uusd, most)
        return math.isqrt(multiple * _E6)


COLUMNS: Final = tuple(field.name for field in attrs.fields(Seen))
"""Columns of a decision that tell what was seen, beside the score."""

ROUNDED: Final = ("depth_uusd", "volatility_e6")
"""Those of them that two computations know to a rounding."""


def seen_in(e: DecisionRecorded) -> Seen:
    """Return what a decision says that was seen."""
    return Seen(*(getattr(e, name) for name in COLUMNS))


@attrs.frozen
class Model:
    """
    A model of cascades, as its text says.

    Attributes:
        window_us: How far back flows and volatility look.
        distance_e6: How far from the price depth and ladder reach.
        intercept_e6: Log odds at the means.
        weights: (mean, deviation, weight) by feature.
        seeds: Seeds that it has seen.
        sha256: Hash of its file.
    """

    window_us: int
    distance_e6: int
    intercept_e6: int
    weights: Mapping[str, tuple[int, int, int]]
    seeds: frozenset[int]
    sha256: str

    @classmethod
    def of(cls, content: str) -> "Model":
        """Return the model of a text."""
        tree = json.loads(content)
        return cls(
            window_us=tree["window_us"],
            distance_e6=tree["distance_e6"],
            intercept_e6=tree["intercept_e6"],
            weights={
                row["name"]: (row["mean_e6"], row["deviation_e6"], row["weight_e6"])
                for row in tree["features"]
            },
            seeds=frozenset(tree["runs"]["trained_on"]) | frozenset(tree["runs"]["held_out"]),
            sha256=hashlib.sha256((content + "\n").encode("ascii")).hexdigest(),
        )

    def risk_e6(self, seen: Seen) -> int:
        """Return the chance of a cascade, in 1e-6, rounded down."""
        odds = self.intercept_e6
        for name, value in seen.features.items():
            mean, deviation, weight = self.weights[name]
            odds += math.floor(Fraction(weight * (value - mean), deviation))
        with localcontext() as context:
            context.prec = 60
            grown = (Decimal(max(-_ODDS_MOST, min(odds, _ODDS_MOST))) / _E6).exp()
            return int(grown / (1 + grown) * _E6)


class Sight:
    """
    Follows a log, and looks.

    Args:
        terms: The terms of the run.
        buckets: Market by owner id of a bucket; None of a cross one.
        fold: What the events so far add up to; it is folded by whoever reads the log.
        depths: The books, by market, likewise.
        paths: Reference prices by market: instants, prices.
    """

    def __init__(
        self,
        terms: Terms,
        buckets: Mapping[int, int | None],
        fold: Fold,
        depths: Mapping[int, MarketDepth],
        paths: Mapping[int, tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]],
    ) -> None:
        self._terms = terms
        self._buckets = buckets
        self._fold = fold
        self._depths = depths
        self._paths = paths
        self._trades: defaultdict[int, _Rows] = defaultdict(lambda: ([], []))
        self.forced: defaultdict[int, _Rows] = defaultdict(lambda: ([], []))
        self._marks: defaultdict[int, _Rows] = defaultdict(lambda: ([], []))
        self._changed: set[int] = set()
        # Of buckets whose margin is a line in the price: cash, slope and units. Of others None.
        self._lines: defaultdict[int, dict[int, tuple[int, int, int] | None]] = defaultdict(dict)

    def note(self, entry: Entry, moves: Iterable[Move]) -> None:
        """Take in an event that has been folded, and what it moved."""
        e, now = entry.event, entry.sim_time_us
        if isinstance(e, OrderFilled | TradeFilled | InventorySold | PositionReduced):
            _add(self._trades[e.market_id], now, e.cost_uusd)
        if isinstance(e, OrderFilled | TrancheTakenOver):
            _add(self.forced[e.market_id], now, abs(e.cost_uusd))
        if isinstance(e, OracleUpdated | BookSampled):
            _add(self._marks[e.market_id], now, e.mark_price_e8)
        if isinstance(e, MaintenanceChanged):
            self._changed |= self._lines[e.market_id].keys()
        self._changed.update(owner for owner, _, _ in moves if owner in self._buckets)

    def look(self, market: int, at_us: int, window_us: int, distance_e6: int) -> list[Seen]:
        """
        Return what was to be seen at an instant, before all but the changes of depth in it.

        Two computations of a depth or of a volatility differ by a rounding: the first is the
        likeliest, the others have the least and the most that either may have been. Empty before
        the first mark.
        """
        mark = self._fold.marks_e8.get(market, 0)
        if not mark:
            return []
        after = at_us - window_us
        trades = _since(self._trades[market], after)
        gross = sum(map(abs, trades))
        depths = self._depths_uusd(market, at_us, distance_e6, mark)
        low, high = volatility(self._marks[market], window_us, at_us)
        ladder = sum(self.ladder(market, distance_e6).values()) // _E10
        at_stake = open_interest_e16(self._fold, self._rule(market), market, mark)
        likeliest = Seen(
            imbalance_e6=abs(sum(trades)) * _E6 // gross if gross else 0,
            forced_uusd=min(sum(_since(self.forced[market], after)), _MOST),
            depth_uusd=depths[0],
            ladder_uusd=min(ladder, _MOST),
            open_interest_uusd=at_stake // _E10,
            volatility_e6=(low + high) // 2,
        )
        ends = product(depths[1:], (low, high))
        return [
            likeliest,
            *(attrs.evolve(likeliest, depth_uusd=d, volatility_e6=v) for d, v in ends),
        ]

    def _depths_uusd(
        self, market: int, at_us: int, distance_e6: int, mark: int
    ) -> tuple[int, int, int]:
        if market not in self._depths or market not in self._paths:
            return 0, 0, _MOST
        instants, prices = self._paths[market]
        reference = int(prices[int(np.searchsorted(instants, at_us, side="right")) - 1])
        sides = [
            [
                self._depth_e8(market, at_us, reference, sign, distance_e6, slack)
                for slack in (0, -1, 1)
            ]
            for sign in (1, -1)
        ]
        exact, low, high = (min(one, other) for one, other in zip(*sides, strict=True))
        units = int(exact), max(int(low) - 2, 0), int(high) + 2  # Fills are of whole units.
        worth = [min(size * mark // _E10, _MOST) for size in units]
        return worth[0], worth[1], worth[2]

    def _depth_e8(
        self, market: int, at_us: int, reference: int, sign: int, distance_e6: int, slack: int
    ) -> float:
        """Return the units within the distance on a side; with a slack, the least or the most."""
        depth, loose = self._depths[market], 1 + slack * _TOLERANCE

        def holds(size: float) -> bool:
            price, low, high, _ = depth.walked(at_us, reference, int(sign * size))
            near = price * (1 + sign * distance_e6 / _E6)
            off = slack * (2 + _TOLERANCE * price)
            after = (low if slack > 0 else high) if sign > 0 else (high if slack > 0 else low)
            return after <= near + off if sign > 0 else after >= near - off

        _, _, _, room = depth.walked(at_us, reference, sign)
        room = min(room, float(_MOST))
        if holds(room):
            return max(room * loose, 0.0)
        least, most = 0.0, room
        while most - least > max(most * 10**-_DIGITS, 0.5):
            middle = (least + most) / 2
            least, most = (middle, most) if holds(middle) else (least, middle)
        return least * loose

    # The ladder ---------------------------------------------------------------------------------

    def ladder(self, market: int, distance_e6: int) -> dict[int, int]:
        """
        Return what all have in a market who would be due if its mark moved so far, USD x 1e-16.

        To the side where they come to more, or down.
        """
        self._refresh()
        fold, rule = self._fold, self._rule(market)
        mark = fold.marks_e8[market]
        prices = mark * (_E6 - distance_e6) // _E6, mark * (_E6 + distance_e6) // _E6
        are_marked = len(fold.marks_e8) == len(self._terms.markets)
        least = 0 if self._terms.due_at_zero else -1  # What margin at most is due.
        sides: list[dict[int, int]] = [{}, {}]
        for bucket, line in self._lines[market].items():
            if line is not None:
                cash, slope, size = line
                for side, price in zip(sides, prices, strict=True):
                    if cash + slope * price <= least:
                        side[bucket] = size * mark
            elif are_marked or self._buckets[bucket] is not None:
                entry = fold.entry_prices_e8.get((market, bucket), 0)
                worth = abs(fold.units_e8[market, bucket]) * rule.price_that_counts(entry, mark)
                for side, price in zip(sides, prices, strict=True):
                    if self._margin_at(bucket, market, price) <= least:
                        side[bucket] = worth
        return max(sides, key=lambda side: sum(side.values()))

    def _refresh(self) -> None:
        fold = self._fold
        for bucket in self._changed:
            home = self._buckets[bucket]
            for market in range(len(self._terms.markets)) if home is None else (home,):
                units = fold.units_e8.get((market, bucket), 0)
                rule = self._rule(market)
                is_line = home is not None and rule.is_straight and not rule.is_inverse
                if not units:
                    self._lines[market].pop(bucket, None)
                elif is_line and not fold.coins_e8.get((market, bucket)):
                    cash = fold.cash_uusd.get(bucket, 0) * E22_PER_UUSD
                    self._lines[market][bucket] = cash, slope_e14(rule, units), abs(units)
                else:
                    self._lines[market][bucket] = None
        self._changed.clear()

    def _rule(self, market: int) -> LegRule:
        fold = self._fold
        return self._terms.markets[market].rule_under(
            fold.maintenance_e6.get(market), fold.coin_haircuts_e6.get(market)
        )

    def _margin_at(self, bucket: int, market: int, price_e8: int) -> int:
        fold, home = self._fold, self._buckets[bucket]
        legs: list[Leg] = []
        for of in range(len(self._terms.markets)) if home is None else (home,):
            if units := fold.units_e8.get((of, bucket), 0):
                price = price_e8 if of == market else fold.marks_e8.get(of, 0)
                entry, coins = (
                    fold.entry_prices_e8.get((of, bucket), 0),
                    fold.coins_e8.get((of, bucket), 0),
                )
                legs.append((self._rule(of), units, entry, coins, price))
        return margin_e22(fold.cash_uusd.get(bucket, 0), legs)


def open_interest_e16(fold: Fold, rule: LegRule, market: int, mark_e8: int) -> int:
    """
    Return what is long in a market, or short if that is more, in USD x 1e-16.

    The makers are left out: they are the other side of what the others have. What an account has of
    inverse contracts is worth its dollars; all else is worth the mark.
    """
    sides = {True: 0, False: 0}
    for (of, owner), units in fold.units_e8.items():
        if of == market and owner != MAKERS:
            entry = fold.entry_prices_e8.get((market, owner), mark_e8)
            sides[units > 0] += abs(units) * rule.price_that_counts(entry, mark_e8)
    return max(sides.values())


def _add(rows: _Rows, at_us: int, amount: int) -> None:
    rows[0].append(at_us)
    rows[1].append(amount)


def _since(rows: _Rows, after_us: int) -> list[int]:
    return rows[1][bisect_right(rows[0], after_us) :]


def sum_between(rows: _Rows, from_us: int, to_us: int) -> int:
    """Return the sum of what came from an instant on, and before another."""
    instants, amounts = rows
    return sum(amounts[bisect_right(instants, from_us - 1) : bisect_right(instants, to_us - 1)])
