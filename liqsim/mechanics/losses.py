"""
Who pays for a hole that is left when a position is gone and the fund is empty.

First the profits of winners in the market, then all its solvent accounts, or those on one side;
nobody pays so much that its margin falls below zero. What that leaves is bad debt.
"""

from collections.abc import Callable
from typing import Final

import attrs
import numpy as np
import numpy.typing as npt

from liqsim.mechanics.exact import divmod_exact
from liqsim.mechanics.waterfall import best_first, ranks_e6
from liqsim.units import NOTIONAL_DIVISOR, RATIO_SCALE

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_NOBODY: Final = np.zeros(0, dtype=np.int64)


@attrs.frozen(eq=False)
class Accounts:
    """
    The accounts of one market that may be asked to pay: with a position, in no liquidation.

    Attributes:
        ids: int64: their owner numbers, ascending; the other columns have one row each as well.
        cash: int64: micro-USD, what other legs and coins are worth included.
        units: int64: 1e-8 units, none of them zero.
        entry_e8: int64: entry prices.
        room_uusd: float64: not above what each can pay without becoming due.
        exact_room_uusd: Returns that of one row, exactly: zero or more.
    """

    ids: Ints
    cash: Ints
    units: Ints
    entry_e8: Ints
    room_uusd: Floats
    exact_room_uusd: Callable[[int], int]

    def at_most_room(self, amounts: Ints) -> Ints:
        """Return *amounts* >= 0, each cut to what its account can pay."""
        cut = amounts.copy()
        is_unsure = (amounts > 0) & (amounts.astype(np.float64) + 1.0 > self.room_uusd)
        for row in np.flatnonzero(is_unsure).tolist():
            cut[row] = min(int(amounts[row]), self.exact_room_uusd(row))
        return cut


@attrs.frozen(eq=False)
class Payments:
    """
    Who pays how much, in the order in which it is recorded.

    Attributes:
        rows: int64: rows of the accounts.
        basis_uusd: int64: what the share of each rests on.
        amounts_uusd: int64: what each pays, above zero.
    """

    rows: Ints
    basis_uusd: Ints
    amounts_uusd: Ints

    @property
    def total_uusd(self) -> int:
        """What they pay together."""
        return sum(self.amounts_uusd.tolist())


def budget_uusd(hole_uusd: int, severity_e6: int) -> int:
    """
    Return what profits are cut for: the share *severity_e6* of a hole, rounded down.

    >>> budget_uusd(15_000_000, 500_000)
    7500000
    """
    return hole_uusd * severity_e6 // RATIO_SCALE


def decide_haircut(
    accounts: Accounts, *, budget_uusd: int, mark_e8: int, is_queue: bool
) -> Payments:
    """
    Return whose profit at *mark_e8* is cut, and by how much.

    A profit counts as far as the account can lose it without becoming due. All are cut by the same
    factor (`shares_uusd`), in order of number; in a queue the one with the best deleveraging rank
    loses all of it before the next one loses any, ties by number.
    """
    basis = accounts.at_most_room(profits_uusd(accounts.units, accounts.entry_e8, mark_e8))
    rows = np.flatnonzero(basis)
    total = sum(basis[rows].tolist())
    left = min(budget_uusd, total)
    if not left:
        return _paid(rows, basis[rows], np.zeros_like(rows))
    if not is_queue:
        return _paid(rows, basis[rows], shares_uusd(left, basis[rows]))
    ranks = ranks_e6(accounts.cash[rows], accounts.units[rows], accounts.entry_e8[rows], mark_e8)
    order, amounts = [], []
    for place in best_first(ranks, basis[rows], left):
        order.append(rows[place])
        amounts.append(min(left, int(basis[order[-1]])))
        left -= amounts[-1]
        if not left:
            break
    queue = np.array(order, dtype=np.int64)
    return _paid(queue, basis[queue], np.array(amounts, dtype=np.int64))


def decide_socialised(
    accounts: Accounts, *, loss_uusd: int, mark_e8: int, by_equity: bool, is_inverse: bool = False
) -> Payments:
    """
    Return what each account that can pay anything pays of a loss, in order of number.

    Shares are proportional (`shares_uusd`) to equity at *mark_e8*, or to notional, rounded down;
    nobody pays more than it can without becoming due, and nobody else steps in for it. The notional
    of an inverse contract is that at its entry price.
    """
    able = np.flatnonzero(accounts.at_most_room(np.ones_like(accounts.ids)))
    if not len(able):
        return _paid(_NOBODY, _NOBODY, _NOBODY)
    units, cash = accounts.units[able], accounts.cash[able]
    value, rest = divmod_exact(np.abs(units), mark_e8, NOTIONAL_DIVISOR)
    basis = value
    if is_inverse:
        basis = divmod_exact(np.abs(units), accounts.entry_e8[able], NOTIONAL_DIVISOR)[0]
    if by_equity:
        basis = cash + np.where(units > 0, value, -value - (rest > 0))
    shares = np.zeros_like(accounts.ids)
    if basis.any():
        shares[able] = shares_uusd(loss_uusd, basis)
    return _paid(able, basis, accounts.at_most_room(shares)[able])


@attrs.frozen(eq=False)
class IndexMove:
    """
    A loss that is put on the funding index of a market.

    Attributes:
        units_e8: Units over which it is spread; negative are shorts.
        payments: Who pays; the basis is what the units of each are charged.
        residue_uusd: What they pay beyond the loss, by rounding.
    """

    units_e8: int
    payments: Payments
    residue_uusd: int


def decide_index_move(accounts: Accounts, *, loss_uusd: int, longs_pay: bool) -> IndexMove | None:
    """
    Return how a loss > 0 is charged per unit on one side; None if nobody there can pay anything.

    Every account that can pay anything is charged its units times loss / units of them all, rounded
    up, in order of number; nobody pays more than it can without becoming due, and nobody else steps
    in for it.
    """
    can_pay = accounts.at_most_room(np.ones_like(accounts.ids)) > 0
    able = np.flatnonzero(can_pay & ((accounts.units > 0) == longs_pay))
    if not len(able):
        return None
    units = np.abs(accounts.units[able])
    whole = sum(units.tolist())
    charges, rest = divmod_exact(units, loss_uusd, whole)
    charges += rest > 0
    shares = np.zeros_like(accounts.ids)
    shares[able] = charges
    payments = _paid(able, charges, accounts.at_most_room(shares)[able])
    residue = max(payments.total_uusd - loss_uusd, 0)
    return IndexMove(whole if longs_pay else -whole, payments, residue)


def shares_uusd(total_uusd: int, weights: Ints) -> Ints:
    """
    Return *total_uusd* split in proportion to *weights* >= 0, not all of them zero.

    Each gets its exact share rounded down; the units that are left over go one each to the largest
    remainders, ties to the first. So if the total is not above the sum of the weights, no share is
    above its weight.

    >>> shares_uusd(10, np.array([1, 1, 1])).tolist()
    [4, 3, 3]
    """
    shares, remainders = divmod_exact(weights, total_uusd, sum(weights.tolist()))
    left = total_uusd - sum(shares.tolist())
    shares[np.argsort(-remainders, kind="stable")[:left]] += 1
    return shares


def profits_uusd(units: Ints, entry_e8: Ints, mark_e8: int) -> Ints:
    """Return the unrealised profit of each position at *mark_e8*, rounded down; 0 for a loss."""
    moves = np.where(units > 0, mark_e8 - entry_e8, entry_e8 - mark_e8)
    return divmod_exact(np.abs(units), np.maximum(moves, 0), NOTIONAL_DIVISOR)[0]


def cut_entries_e8(units: Ints, entry_e8: Ints, amounts_uusd: Ints) -> Ints:
    """
    Return the entry prices at which the profits are smaller by *amounts_uusd* or, rounded, more.

    >>> cut_entries_e8(np.array([-3 * 10**8]), np.array([100 * 10**8]), np.array([50 * 10**6]))
    array([8333333333])
    """
    moves, rest = divmod_exact(amounts_uusd, NOTIONAL_DIVISOR, np.abs(units))
    moves += rest > 0
    return np.where(units > 0, entry_e8 + moves, entry_e8 - moves)


def _paid(rows: Ints, basis_uusd: Ints, amounts_uusd: Ints) -> Payments:
    pays = amounts_uusd > 0
    return Payments(rows[pays], basis_uusd[pays], amounts_uusd[pays])
