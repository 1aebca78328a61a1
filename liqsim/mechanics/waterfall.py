"""
Who pays when a tranche executes beyond bankruptcy, and who gains when it executes better.

Order: fee out of what the position has left, surplus to fund or trader; shortfall from the fund;
the unfilled remainder to ranked deleveraging at the bankruptcy price; what is left is bad debt.
"""

from collections.abc import Callable, Iterator
from typing import Final

import attrs
import numpy as np
import numpy.typing as npt

from liqsim.mechanics.margin import bankruptcy_price_e8
from liqsim.units import NOTIONAL_DIVISOR, RATIO_SCALE, ceil_div

RANK_LIMIT_E6: Final = 10**12
"""Ranks end at a million."""

_RANK_ERROR: Final = 1e-14
_FIRST_RANKED: Final = 64
_RANKED_GROWTH: Final = 8

Ints = npt.NDArray[np.int64]


@attrs.frozen
class FeeRates:
    """
    Fees of one execution.

    Attributes:
        on_mark_e6: Share of the mark value.
        on_execution_e6: Share of the execution value.
    """

    on_mark_e6: int
    on_execution_e6: int

    def fee_uusd(self, size_e8: int, mark_e8: int, price_e8: int) -> int:
        """
        Return the fee on *size_e8* >= 0 units, rounded up.

        >>> FeeRates(2_000, 1_000).fee_uusd(50_000_000, 130_000_000, 132_000_000)
        1960
        """
        rate_price = mark_e8 * self.on_mark_e6 + price_e8 * self.on_execution_e6
        return ceil_div(size_e8 * rate_price, NOTIONAL_DIVISOR * RATIO_SCALE)


@attrs.frozen
class Settlement:
    """
    How one execution is settled.

    Attributes:
        fee_uusd: Taken by the treasury.
        surplus_uusd: Left over above bankruptcy and the fee.
        shortfall_uusd: What it lacks to bankruptcy, which the fund pays as far as it can.
    """

    fee_uusd: int
    surplus_uusd: int
    shortfall_uusd: int


def decide_settlement(
    cash_uusd: int,
    position_e8: int,
    quantity_e8: int,
    cost_uusd: int,
    fee_uusd: int,
    *,
    has_other_legs: bool = False,
) -> Settlement:
    """
    Return the settlement of an execution of *quantity_e8* against *position_e8*.

    The executed part carries its share of the bucket's cash, so that the bankruptcy price of what
    remains is unchanged; what the execution brought above that is the fee's, then surplus, unless
    the bucket has other legs, whose margin it is. The value of its coins at the execution price
    counts as cash.
    """
    keep = (
        ceil_div(cash_uusd * (position_e8 + quantity_e8), position_e8)
        if position_e8 > 0
        else (ceil_div(-cash_uusd * (position_e8 + quantity_e8), -position_e8))
    )
    gain = cash_uusd - cost_uusd - keep
    if gain < 0:
        return Settlement(0, 0, -gain)
    fee = min(fee_uusd, gain)
    return Settlement(fee, 0 if has_other_legs else gain - fee, 0)


def limit_price_e8(
    cash_uusd: int, position_e8: int, size_e8: int, fund_uusd: int, coins_e8: int = 0
) -> int:
    """
    Return the worst price at which *size_e8* units may be executed.

    It is the bankruptcy price, less (for a long; plus for a short) what the fund could pay per
    unit. Coins move with the price: beside those of a long a unit of price is worth more to the
    bucket than the units executed; a short with as many coins as units is not ruined by any price.
    """
    exposure = position_e8 + coins_e8
    bankruptcy = bankruptcy_price_e8(cash_uusd, exposure)
    if position_e8 < 0 <= exposure:
        return 10**18 - 1
    contribution = fund_uusd * NOTIONAL_DIVISOR * abs(position_e8) // (size_e8 * abs(exposure))
    worst = bankruptcy - contribution if position_e8 > 0 else bankruptcy + contribution
    return min(max(worst, 1), 10**18 - 1)


@attrs.frozen
class Deleveraging:
    """
    One account's part in closing a remainder.

    Attributes:
        counterparty_id: The account.
        size_e8: Units taken from it.
    """

    counterparty_id: int
    size_e8: int


def decide_deleveraging(
    *,
    price_e8: int,
    size_e8: int,
    takes_shorts: bool,
    ids: Ints,
    cash_of: Callable[[Ints], Ints],
    units: Ints,
    entry_e8: Ints,
    sizes_e8: Ints | None = None,
) -> list[Deleveraging]:
    """
    Return who is closed against a bankrupt position, best `rank_e6` first, ties by number.

    Args:
        price_e8: The bankruptcy price, at which all trade.
        size_e8: Units to close.
        takes_shorts: Whether the bankrupt position is long.
        ids: Candidate owners, ascending; the arrays below have one row per owner of the ledger.
        cash_of: Returns the cash of owners, coins at the price included, in micro-USD.
        units: 1e-8 units of this market.
        entry_e8: Entry prices.
        sizes_e8: What of each can be closed, where that is another number than its units.
    """
    held, entered = units[ids], entry_e8[ids]
    wins = (held < 0) & (entered > price_e8) if takes_shorts else (held > 0) & (entered < price_e8)
    ids, held, entered = ids[wins], held[wins], entered[wins]
    is_inverse = sizes_e8 is not None
    ranks = ranks_e6(cash_of(ids), held, entered, price_e8, is_inverse=is_inverse)
    ids, held, ranks = ids[ranks >= 0], held[ranks >= 0], ranks[ranks >= 0]
    sizes = np.abs(held) if sizes_e8 is None else sizes_e8[ids]
    if sizes_e8 is not None:
        ids, ranks, sizes = ids[sizes > 0], ranks[sizes > 0], sizes[sizes > 0]
    parts: list[Deleveraging] = []
    left = size_e8
    for row in best_first(ranks, sizes, size_e8):
        part = min(left, int(sizes[row]))
        parts.append(Deleveraging(int(ids[row]), part))
        left -= part
        if left == 0:
            break
    return parts


def rank_e6(
    cash_uusd: int, quantity_e8: int, entry_e8: int, price_e8: int, *, is_inverse: bool = False
) -> int | None:
    """
    Return the rank of an account at *price_e8*: profit / margin x notional / equity.

    Margin is equity less profit. The rank is cut to six decimals, so that accounts that differ by
    rounding alone tie, and ends at `RANK_LIMIT_E6`. None stands outside the queue: no profit, or
    negative equity. The notional of an inverse contract is that at its entry price.

    >>> rank_e6(-9_000_000, 10**9, 10**8, 2 * 10**8)  # 10 units from 1 to 2 on a margin of 1.
    18181818
    """
    profit = quantity_e8 * (price_e8 - entry_e8)
    equity = cash_uusd * NOTIONAL_DIVISOR + quantity_e8 * price_e8
    margin = equity - profit
    if profit <= 0 or equity < 0:
        return None
    if margin <= 0 or equity == 0:
        return RANK_LIMIT_E6
    notional = abs(quantity_e8) * (entry_e8 if is_inverse else price_e8)
    return min(profit * notional * RATIO_SCALE // (margin * equity), RANK_LIMIT_E6)


def ranks_e6(
    cash: Ints, units: Ints, entry_e8: Ints, price_e8: int, *, is_inverse: bool = False
) -> Ints:
    """Return `rank_e6` of many winners, -1 for None: floats where they are sure, else integers."""
    quantity = units.astype(np.float64)
    value = quantity * price_e8
    profit = quantity * (price_e8 - entry_e8)
    equity = cash.astype(np.float64) * NOTIONAL_DIVISOR + value
    margin = equity - profit
    notional = np.abs(quantity * entry_e8) if is_inverse else np.abs(value)
    scale = np.abs(value) + np.abs(profit)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        exact = profit / margin * (notional / equity) * RATIO_SCALE
        error = exact * _RANK_ERROR * (scale / np.abs(margin) + scale / np.abs(equity)) + 1e-9
        ranks = np.floor(exact)
        is_sure = (margin > 0) & (equity > 0) & (exact + error < RANK_LIMIT_E6)
        is_sure &= (exact - ranks > error) & (ranks + 1.0 - exact > error)
    result = np.where(is_sure, ranks, 0.0).astype(np.int64)
    for row in np.flatnonzero(~is_sure).tolist():
        held = int(cash[row]), int(units[row]), int(entry_e8[row])
        rank = rank_e6(*held, price_e8, is_inverse=is_inverse)
        result[row] = -1 if rank is None else rank
    return result


def best_first(ranks: Ints, sizes: Ints, size_e8: int) -> Iterator[int]:
    """Yield rows by falling rank, ties in order, sorting no more of them than *size_e8* takes."""
    count = _FIRST_RANKED
    while True:
        if count >= len(ranks):
            rows = np.arange(len(ranks))
        else:
            rows = np.flatnonzero(ranks >= np.partition(ranks, -count)[-count])
        if len(rows) == len(ranks) or sum(sizes[rows].tolist()) >= size_e8:
            yield from rows[np.argsort(-ranks[rows], kind="stable")].tolist()
            return
        count *= _RANKED_GROWTH
