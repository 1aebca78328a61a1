"""
Who pays when a tranche executes beyond bankruptcy, and who gains when it executes better.

Order: fee out of what the position has left, surplus to fund or trader; shortfall from the fund;
the unfilled remainder to ranked deleveraging at the bankruptcy price; what is left is bad debt.
"""

from collections.abc import Iterator
from fractions import Fraction

import attrs
import numpy as np
import numpy.typing as npt

from liqsim.mechanics.margin import bankruptcy_price_e8
from liqsim.units import NOTIONAL_DIVISOR, RATIO_SCALE, ceil_div

_RANK_SLACK = 1e-9
"""Relative slack within which float scores leave the order of two accounts to exact ones."""


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
        draw_uusd: Paid by the fund.
    """

    fee_uusd: int
    surplus_uusd: int
    draw_uusd: int


def decide_settlement(
    cash_uusd: int,
    position_e8: int,
    quantity_e8: int,
    cost_uusd: int,
    fee_uusd: int,
    fund_uusd: int,
) -> Settlement:
    """
    Return the settlement of an execution of *quantity_e8* against *position_e8*.

    The executed part carries its share of the bucket's cash, so that the bankruptcy price of what
    remains is unchanged; what the execution brought above that is the fee's, then surplus.
    """
    keep = (
        ceil_div(cash_uusd * (position_e8 + quantity_e8), position_e8)
        if position_e8 > 0
        else (ceil_div(-cash_uusd * (position_e8 + quantity_e8), -position_e8))
    )
    gain = cash_uusd - cost_uusd - keep
    if gain < 0:
        return Settlement(0, 0, min(-gain, fund_uusd))
    fee = min(fee_uusd, gain)
    return Settlement(fee, gain - fee, 0)


def limit_price_e8(cash_uusd: int, position_e8: int, size_e8: int, fund_uusd: int) -> int:
    """
    Return the worst price at which *size_e8* units may be executed.

    It is the bankruptcy price, less (for a long; plus for a short) what the fund could pay per
    unit.
    """
    bankruptcy = bankruptcy_price_e8(cash_uusd, position_e8)
    contribution = fund_uusd * NOTIONAL_DIVISOR // size_e8
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
    ids: npt.NDArray[np.int64],
    cash: npt.NDArray[np.int64],
    units: npt.NDArray[np.int64],
    entry_e8: npt.NDArray[np.int64],
) -> list[Deleveraging]:
    """
    Return who is closed against a bankrupt position, best rank first.

    Rank at *price_e8*: profit / margin x notional / equity, ties by id; margin is equity less
    profit. Only accounts with a profit and an equity that is not negative stand in the queue.

    Args:
        price_e8: The bankruptcy price, at which all trade.
        size_e8: Units to close.
        takes_shorts: Whether the bankrupt position is long.
        ids: Candidate owners, ascending; the arrays below have one row per owner of the ledger.
        cash: Micro-USD.
        units: 1e-8 units of this market.
        entry_e8: Entry prices.
    """
    held = units[ids]
    ids = ids[held < 0] if takes_shorts else ids[held > 0]
    scores = _float_scores(cash[ids], units[ids], entry_e8[ids], price_e8)
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] > 0.0]
    parts: list[Deleveraging] = []
    left = size_e8
    for member in _exact_order(ids, scores, order, cash, units, entry_e8, price_e8):
        if left == 0:
            break
        part = min(left, abs(int(units[member])))
        parts.append(Deleveraging(member, part))
        left -= part
    return parts


def rank(cash_uusd: int, quantity_e8: int, entry_e8: int, price_e8: int) -> Fraction | None:
    """Return the exact rank of an account at *price_e8*; None if it stands outside the queue."""
    profit = quantity_e8 * (price_e8 - entry_e8)
    equity = cash_uusd * NOTIONAL_DIVISOR + quantity_e8 * price_e8
    margin = equity - profit
    if profit <= 0 or equity < 0:
        return None
    if margin <= 0 or equity == 0:
        return Fraction(10**40)
    return Fraction(profit * abs(quantity_e8) * price_e8, margin * equity)


def _float_scores(
    cash: npt.NDArray[np.int64],
    units: npt.NDArray[np.int64],
    entry_e8: npt.NDArray[np.int64],
    price_e8: int,
) -> npt.NDArray[np.float64]:
    quantity = units.astype(np.float64)
    profit = quantity * (price_e8 - entry_e8).astype(np.float64)
    equity = cash.astype(np.float64) * NOTIONAL_DIVISOR + quantity * price_e8
    margin = equity - profit
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        scores = profit / margin * (np.abs(quantity) * price_e8 / equity)
    # Near the edges the exact rank decides; a float that cannot is sent to the front.
    scores = np.where(
        (margin <= 0) | (equity <= np.abs(quantity) * price_e8 * 1e-12), 1e300, scores
    )
    return np.where(profit > 0, np.nan_to_num(scores, nan=1e300, posinf=1e300), 0.0)


def _exact_order(
    ids: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float64],
    order: npt.NDArray[np.intp],
    cash: npt.NDArray[np.int64],
    units: npt.NDArray[np.int64],
    entry_e8: npt.NDArray[np.int64],
    price_e8: int,
) -> Iterator[int]:
    """Yield owners by exact rank: floats cut the queue into groups, fractions order each group."""
    start = 0
    while start < len(order):
        end = start + 1
        while end < len(order) and scores[order[end]] >= scores[order[end - 1]] * (1 - _RANK_SLACK):
            end += 1
        group = []
        for row in order[start:end]:
            member = int(ids[row])
            exact = rank(int(cash[member]), int(units[member]), int(entry_e8[member]), price_e8)
            if exact is not None:
                group.append((-exact, member))
        yield from (member for _, member in sorted(group))
        start = end
