"""
Who pays when a tranche executes beyond bankruptcy, and who gains when it executes better.

Order: fee out of what the position has left, surplus to fund or trader; shortfall from the fund;
the unfilled remainder to ranked deleveraging at the bankruptcy price; what is left is bad debt.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import attrs
import numpy as np
import numpy.typing as npt

from liqsim.mechanics.exact import divmod_exact
from liqsim.mechanics.margin import bankruptcy_price_e8
from liqsim.units import NOTIONAL_DIVISOR, RATIO_SCALE, ceil_div

RANK_LIMIT_E6: Final = 10**12
"""Ranks end at a million."""

_RANK_ERROR: Final = 1e-14
_FIRST_RANKED: Final = 64
_RANKED_GROWTH: Final = 8

Ints = npt.NDArray[np.int64]

SHARED: Final = frozenset({"pro_rata", "risk_weighted"})
"""Rules of deleveraging by which all are closed in proportion."""


@attrs.frozen
class FeeRates:
    """
    Fees of one execution.

    Attributes:
        on_mark_e6: Share of the mark value.
        on_execution_e6: Share of the execution value.
        taker_e6: Share of the execution value that any order pays; no penalty.
    """

    on_mark_e6: int
    on_execution_e6: int
    taker_e6: int = 0

    def fee_uusd(self, size_e8: int, mark_e8: int, price_e8: int) -> int:
        """
        Return the fee on *size_e8* >= 0 units, rounded up.

        >>> FeeRates(2_000, 1_000).fee_uusd(50_000_000, 130_000_000, 132_000_000)
        1960
        """
        on_price_e6 = self.on_execution_e6 + self.taker_e6
        rate_price = mark_e8 * self.on_mark_e6 + price_e8 * on_price_e6
        return ceil_div(size_e8 * rate_price, NOTIONAL_DIVISOR * RATIO_SCALE)

    def taker_uusd(self, size_e8: int, price_e8: int) -> int:
        """Return what of it is no penalty, rounded up."""
        return ceil_div(size_e8 * price_e8 * self.taker_e6, NOTIONAL_DIVISOR * RATIO_SCALE)


@attrs.frozen
class Settlement:
    """
    How one execution is settled.

    Attributes:
        fee_uusd: Taken by the treasury.
        penalty_uusd: What of it is left once the taker fee is paid.
        surplus_uusd: Left over above bankruptcy and the fee.
        shortfall_uusd: What it lacks to bankruptcy, which the fund pays as far as it can.
    """

    fee_uusd: int
    penalty_uusd: int
    surplus_uusd: int
    shortfall_uusd: int


def decide_settlement(
    cash_uusd: int,
    position_e8: int,
    quantity_e8: int,
    cost_uusd: int,
    fee_uusd: int,
    *,
    taker_uusd: int = 0,
    has_other_legs: bool = False,
) -> Settlement:
    """
    Return the settlement of an execution of *quantity_e8* against *position_e8*.

    The executed part carries its share of the bucket's cash, so that the bankruptcy price of what
    remains is unchanged; what the execution brought above that is the fee's, then surplus, unless
    the bucket has other legs, whose margin it is. The value of its coins at the execution price
    counts as cash. Of a fee that is cut the taker fee comes first.
    """
    keep = (
        ceil_div(cash_uusd * (position_e8 + quantity_e8), position_e8)
        if position_e8 > 0
        else (ceil_div(-cash_uusd * (position_e8 + quantity_e8), -position_e8))
    )
    gain = cash_uusd - cost_uusd - keep
    if gain < 0:
        return Settlement(0, 0, 0, -gain)
    fee = min(fee_uusd, gain)
    penalty = max(fee - taker_uusd, 0)
    return Settlement(fee, penalty, 0 if has_other_legs else gain - fee, 0)


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
    rule: str = "ranked",
    cap_e6: int = RATIO_SCALE,
) -> list[Deleveraging]:
    """
    Return who is closed against a bankrupt position, and by how much.

    The best `rank_e6` goes first, ties by number; or all are closed in proportion, in order of
    number (`shared_e8`).

    Args:
        price_e8: The bankruptcy price, at which all trade.
        size_e8: Units to close.
        takes_shorts: Whether the bankrupt position is long.
        ids: Candidate owners, ascending; the arrays below have one row per owner of the ledger.
        cash_of: Returns the cash of owners, coins at the price included, in micro-USD.
        units: 1e-8 units of this market.
        entry_e8: Entry prices.
        sizes_e8: What of each can be closed, where that is another number than its units.
        rule: How: see `rank_e6`, or `pro_rata` to what can be closed, or `risk_weighted`, in
            proportion to that times leverage.
        cap_e6: The most of each that is closed, rounded down.
    """
    held, entered = units[ids], entry_e8[ids]
    wins = (held < 0) & (entered > price_e8) if takes_shorts else (held > 0) & (entered < price_e8)
    ids, held, entered = ids[wins], held[wins], entered[wins]
    is_inverse = sizes_e8 is not None
    ranks = ranks_e6(cash_of(ids), held, entered, price_e8, is_inverse=is_inverse, rule=rule)
    ids, held, ranks = ids[ranks >= 0], held[ranks >= 0], ranks[ranks >= 0]
    sizes = np.abs(held) if sizes_e8 is None else sizes_e8[ids]
    if cap_e6 < RATIO_SCALE:
        sizes = divmod_exact(sizes, cap_e6, RATIO_SCALE)[0]
    if sizes_e8 is not None or cap_e6 < RATIO_SCALE:
        ids, ranks, sizes = ids[sizes > 0], ranks[sizes > 0], sizes[sizes > 0]
    parts: list[Deleveraging] = []
    if rule in SHARED:
        weights = ranks.tolist() if rule == "risk_weighted" else [1] * len(ids)
        shares = shared_e8(size_e8, sizes.tolist(), weights)
        pairs = zip(ids.tolist(), shares, strict=True)
        return [Deleveraging(owner, share) for owner, share in pairs if share]
    left = size_e8
    for row in best_first(ranks, sizes, size_e8):
        part = min(left, int(sizes[row]))
        parts.append(Deleveraging(int(ids[row]), part))
        left -= part
        if left == 0:
            break
    return parts


def shared_e8(size_e8: int, rooms_e8: Sequence[int], weights: Sequence[int]) -> list[int]:
    """
    Return *size_e8* split in proportion to room times weight, nobody above its room.

    Whoever would be above gives all its room, and the rest is split again among the others. Shares
    are rounded down; the units that are left over go one each to the largest remainders, ties to
    the first.

    >>> shared_e8(10, [9, 9, 9], [1, 1, 1]), shared_e8(10, [4, 9, 9], [8, 1, 1])
    ([4, 3, 3], [4, 3, 3])
    """
    shares = [0] * len(rooms_e8)
    open_rows, left = [row for row, room in enumerate(rooms_e8) if room], size_e8
    while open_rows and left:
        parts = {row: rooms_e8[row] * max(weights[row], 1) for row in open_rows}
        whole = sum(parts.values())
        full = [row for row in open_rows if left * parts[row] >= rooms_e8[row] * whole]
        if not full:
            rests = {}
            for row in open_rows:
                shares[row], rests[row] = divmod(left * parts[row], whole)
            spare = left - sum(shares[row] for row in open_rows)
            for row in sorted(open_rows, key=lambda row: (-rests[row], row))[:spare]:
                shares[row] += 1
            break
        for row in full:
            shares[row] = rooms_e8[row]
            left -= shares[row]
        open_rows = [row for row in open_rows if row not in set(full)]
    return shares


def rank_e6(
    cash_uusd: int,
    quantity_e8: int,
    entry_e8: int,
    price_e8: int,
    *,
    is_inverse: bool = False,
    rule: str = "ranked",
) -> int | None:
    """
    Return the rank of an account at *price_e8*: a measure of its gain times notional / equity.

    That is, by *rule*: `ranked` profit / margin, margin being equity less profit; `bitmex` profit /
    entry value; `hyperliquid` price / entry price, for a short the other way round; `risk_weighted`
    one. The rank is cut to six decimals, so that accounts that differ by
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
    gain, base = {
        "ranked": (profit, margin),
        "bitmex": (profit, abs(quantity_e8) * entry_e8),
        "hyperliquid": (price_e8, entry_e8) if quantity_e8 > 0 else (entry_e8, price_e8),
    }.get(rule, (1, 1))
    if base <= 0 or equity == 0:
        return RANK_LIMIT_E6
    notional = abs(quantity_e8) * (entry_e8 if is_inverse else price_e8)
    return min(gain * notional * RATIO_SCALE // (base * equity), RANK_LIMIT_E6)


def ranks_e6(
    cash: Ints,
    units: Ints,
    entry_e8: Ints,
    price_e8: int,
    *,
    is_inverse: bool = False,
    rule: str = "ranked",
) -> Ints:
    """Return `rank_e6` of many winners, -1 for None: floats where they are sure, else integers."""
    quantity = units.astype(np.float64)
    value = quantity * price_e8
    profit = quantity * (price_e8 - entry_e8)
    equity = cash.astype(np.float64) * NOTIONAL_DIVISOR + value
    margin = equity - profit
    notional = np.abs(quantity * entry_e8) if is_inverse else np.abs(value)
    scale = np.abs(value) + np.abs(profit)
    gain, base = profit, margin
    if rule == "bitmex":
        base = np.abs(quantity * entry_e8)
    elif rule == "hyperliquid":
        ups, downs = np.full_like(quantity, price_e8), entry_e8.astype(np.float64)
        gain, base = np.where(quantity > 0, ups, downs), np.where(quantity > 0, downs, ups)
    elif rule != "ranked":
        gain, base = np.ones_like(quantity), np.ones_like(quantity)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        exact = gain / base * (notional / equity) * RATIO_SCALE
        lost = scale / np.abs(equity) + (scale / np.abs(margin) if rule == "ranked" else 1.0)
        error = exact * _RANK_ERROR * lost + 1e-9
        ranks = np.floor(exact)
        is_sure = (base > 0) & (profit > 0) & (equity > 0) & (exact + error < RANK_LIMIT_E6)
        is_sure &= (exact - ranks > error) & (ranks + 1.0 - exact > error)
    result = np.where(is_sure, ranks, 0.0).astype(np.int64)
    for row in np.flatnonzero(~is_sure).tolist():
        held = int(cash[row]), int(units[row]), int(entry_e8[row])
        rank = rank_e6(*held, price_e8, is_inverse=is_inverse, rule=rule)
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
