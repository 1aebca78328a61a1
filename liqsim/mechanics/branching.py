"""
The ladder before the start: what would become due per cent of price, and whether it feeds itself.

b = price impact per unit x units due per unit of price. Within one per cent of price that is: how
far an order for all that becomes due there would move the log price, divided by how wide the per
cent is. Above 1, what becomes due moves the price on to more than made it due.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final

import attrs
import numpy as np
import numpy.typing as npt

from liqsim.mechanics.coins import inverse_size_e8
from liqsim.mechanics.liquidity import Liquidity
from liqsim.mechanics.margin import MarginRule, Pieces, phi, pieces, scaled_margin
from liqsim.mechanics.population import Accounts
from liqsim.mechanics.scan import pieces_of
from liqsim.scenario.model import Market
from liqsim.units import NOTIONAL_DIVISOR, ceil_div, taker_cost_uusd
from liqsim.world.markets import BookState

STEPS: Final = 30
"""Whole per cents of price that are looked at, on each side."""

_ONE: Final = 1.0 + 1e-9
"""What counts as above 1: a level of quotes exactly one per cent away gives 1, but for rounding."""

_PERCENT: Final = 100
_STEP_ERROR: Final = 1e-9
"""More than a float step errs by, as a share of cash and legs over the leg that moves it."""

_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]


@attrs.frozen
class Branching:
    """
    The ex-ante branching ratio of one side of a market, where it is largest.

    Attributes:
        market: Name of the market.
        is_long: Whether longs, due as the price falls, or shorts, due as it rises.
        ratio: Largest b.
        step: How far from the start price, in per cent; the nearest, if several are as large.
        above_one: Steps at which b is above 1, nearest first.
    """

    market: str
    is_long: bool
    ratio: float
    step: int
    above_one: tuple[int, ...]


def branching_at_start(
    accounts: Accounts,
    markets: Sequence[Market],
    books: Sequence[Liquidity],
    calm: Sequence[BookState],
    start_prices_e8: Sequence[int],
    *,
    rules: Sequence[MarginRule],
    due_at_zero: bool,
) -> list[Branching]:
    """
    Return b on both sides of every market, in order, longs first.

    Args:
        accounts: Everybody, as they open.
        markets: The markets, by number.
        books: Their books.
        calm: The state of each book at the start.
        start_prices_e8: Their reference prices at the start.
        rules: How positions in them count in a margin.
        due_at_zero: Whether a margin of exactly zero is due.
    """
    ladder = units_due(accounts, rules, start_prices_e8, due_at_zero=due_at_zero)
    found = []
    for number, market in enumerate(markets):
        for is_long in (True, False):
            ratios = [
                _ratio(books[number], calm[number], units, step, is_long=is_long)
                for step, units in enumerate(ladder[number, is_long][1:], start=1)
            ]
            largest = max(ratios)
            above = tuple(step for step, ratio in enumerate(ratios, start=1) if ratio > _ONE)
            step = ratios.index(largest) + 1
            found.append(Branching(market.name, is_long, largest, step, above))
    return found


def _ratio(book: Liquidity, calm: BookState, units_e8: int, step: int, *, is_long: bool) -> float:
    """Return b of *units_e8* that become due between the step before and *step*."""
    if not units_e8:
        return 0.0
    sign = -1 if is_long else 1
    # At any price: what counts is how far it goes.
    fill = book.fill(calm, calm.at_us, NOTIONAL_DIVISOR, sign * units_e8, None)
    if fill is None:
        return 0.0
    after = calm.traded(calm.at_us, fill.quantity_e8, calm.fill_seq)
    moved = book.displacement(after, calm.at_us) - book.displacement(calm, calm.at_us)
    width = math.log((_PERCENT + sign * step) / (_PERCENT + sign * (step - 1)))
    return abs(moved / fill.quantity_e8 * units_e8 / width)


def units_due(
    accounts: Accounts,
    rules: Sequence[MarginRule],
    start_prices_e8: Sequence[int],
    *,
    due_at_zero: bool,
) -> dict[tuple[int, bool], list[int]]:
    """
    Return the units, in 1e-8, that become due at each per cent, by market and side (True: longs).

    One market's price moves while the others stand. Entry k counts accounts whose margin is first
    below zero (or at zero, if that is due) k whole per cents away; entry 0 those that are due at
    the start price. There is one rule per market.
    """
    ladder = {
        (number, is_long): [0] * (STEPS + 1)
        for number in range(len(rules))
        for is_long in (True, False)
    }
    if not len(accounts.rows):
        return ladder
    cash = _cash(accounts)
    # One row per piece of a leg; a leg with fewer than others has its last one several times.
    shares, rises = _shares(accounts, rules, start_prices_e8)
    least = shares.min(axis=0)
    margins, scale = cash.astype(np.float64), np.abs(cash).astype(np.float64)
    np.add.at(margins, accounts.rows, least)
    np.add.at(scale, accounts.rows, np.abs(shares).max(axis=0) + np.abs(rises).max(axis=0))
    with np.errstate(divide="ignore", invalid="ignore"):
        # Beyond its kinks a margin follows another piece: the first one below zero decides.
        rooms = margins[accounts.rows] - least + shares
        steps = (_PERCENT * rooms / np.abs(rises)).min(axis=0)
        slack = _STEP_ERROR * _PERCENT * scale[accounts.rows] / np.abs(rises).min(axis=0)
    first = np.searchsorted(accounts.rows, np.arange(len(accounts.names) + 1))
    exact = _exact_step(accounts, cash, rules, start_prices_e8, first, due_at_zero=due_at_zero)
    # A float can tell the step unless it is about as near to a whole one as it errs.
    near = ~(np.abs(steps - np.round(steps)) > slack)
    near |= (accounts.coins_e8 != 0)[accounts.rows]  # Its slopes and lines are others.
    whole = np.clip(np.floor(np.nan_to_num(steps, posinf=_PERCENT)), -1, _PERCENT).astype(int) + 1
    for leg in np.flatnonzero((whole <= STEPS + 1) | near).tolist():
        step = exact(leg) if near[leg] else max(int(whole[leg]), 0)
        if step <= STEPS:
            quantity, market = int(accounts.quantities_e8[leg]), int(accounts.market_ids[leg])
            size = abs(quantity)
            if rules[market].is_inverse:
                entry = int(accounts.entries_e8[leg])
                size = inverse_size_e8(quantity, entry, start_prices_e8[market])
            ladder[market, quantity > 0][step] += size
    return ladder


def _cash(accounts: Accounts) -> _Ints:
    cash = accounts.collaterals_uusd.copy()
    costs = map(taker_cost_uusd, accounts.quantities_e8.tolist(), accounts.entries_e8.tolist())
    np.subtract.at(cash, accounts.rows, np.fromiter(costs, np.int64, len(accounts.rows)))
    return cash


def _shares(
    accounts: Accounts, rules: Sequence[MarginRule], start_prices_e8: Sequence[int]
) -> tuple[_Floats, _Floats]:
    """Return each piece of each leg at its price, and what it gains if the price doubles."""
    by_market = []
    for number, rule in enumerate(rules):
        legs = np.flatnonzero(accounts.market_ids == number)
        found = pieces_of(accounts.quantities_e8[legs], accounts.entries_e8[legs], rule)
        by_market.append((legs, start_prices_e8[number] / NOTIONAL_DIVISOR, found))
    count = max(len(found) for _, _, found in by_market)
    shares, rises = np.zeros((2, count, len(accounts.rows)))
    for legs, price, found in by_market:
        for row in range(count):
            slopes, constants = found[min(row, len(found) - 1)]
            rises[row, legs] = slopes * price
            shares[row, legs] = rises[row, legs] + constants
    return shares, rises


def _exact_step(
    accounts: Accounts,
    cash: _Ints,
    rules: Sequence[MarginRule],
    start_prices_e8: Sequence[int],
    first: _Ints,
    *,
    due_at_zero: bool,
) -> Callable[[int], int]:
    """Return what gives the step of a leg, in integers."""

    def pieces_at(leg: int) -> tuple[Pieces, int]:
        market, quantity = int(accounts.market_ids[leg]), int(accounts.quantities_e8[leg])
        coins = int(accounts.coins_e8[accounts.rows[leg]])
        of = pieces(rules[market], quantity, int(accounts.entries_e8[leg]), coins_e8=coins)
        return of, start_prices_e8[market]

    def step(leg: int) -> int:
        row = int(accounts.rows[leg])
        legs = [pieces_at(other) for other in range(int(first[row]), int(first[row + 1]))]
        margin = scaled_margin(int(cash[row]), legs)
        if margin < 0 or (margin == 0 and due_at_zero):
            return 0
        of, price = legs[leg - int(first[row])]
        others = margin - phi(of, price)
        is_long = int(accounts.quantities_e8[leg]) > 0
        steps = [
            ceil_div((others + slope * price + constant) * _PERCENT, abs(slope) * price)
            if due_at_zero
            else (others + slope * price + constant) * _PERCENT // (abs(slope) * price) + 1
            for slope, constant in of
            if slope and (slope > 0) == is_long  # Coins may outweigh a short: no rise makes it due.
        ]
        return min(steps, default=STEPS + 1)

    return step
