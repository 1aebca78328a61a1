"""
A10: how a deficit is allocated among winners, by queue and pro rata (Chitra, arXiv 2512.01112).

Cash (2, 1, 0.5, 0, 0), profits (8, 4, 0.5, -3, -12): the last two are bankrupt by 15 together, of
which severity one half is a budget of 7.5. The anchor gives the queue as 2, 1, 3; the positions
here have the leverage that makes our deleveraging rank say so: 12.8, 16 and 2.
"""

from fractions import Fraction

import numpy as np
import pytest

from liqsim.mechanics.losses import Accounts, budget_uusd, decide_haircut
from liqsim.mechanics.waterfall import rank_e6

USD, UNIT = 10**6, 10**8
MARK = 100 * UNIT
CASH = (2, 1, Fraction(1, 2), 0, 0)
PROFITS = (8, 4, Fraction(1, 2), -3, -12)
NOTIONAL = (32, 20, 2, 12, 48)


def accounts(cash, profits, notional) -> Accounts:
    """Return longs with these collaterals, profits at the mark and notionals there, in USD."""
    units = [int(Fraction(value) * UNIT / 100) for value in notional]
    entries = [
        int(MARK * (1 - Fraction(profit) / Fraction(value)))
        for profit, value in zip(profits, notional, strict=True)
    ]
    costs = [q * entry // 10**10 for q, entry in zip(units, entries, strict=True)]
    equities = [int((c + p) * USD) for c, p in zip(cash, profits, strict=True)]
    return Accounts(
        ids=np.arange(len(units)),
        cash=np.array([int(c * USD) - cost for c, cost in zip(cash, costs, strict=True)]),
        units=np.array(units),
        entry_e8=np.array(entries),
        # No maintenance in the anchor: an account can pay what its equity is.
        room_uusd=np.array(equities, dtype=np.float64) - 1.0,
        exact_room_uusd=lambda row: max(equities[row], 0),
    )


def seized(those: Accounts, budget: int, *, is_queue: bool) -> tuple[list[int], list[Fraction]]:
    """Return the order of payers and what each account loses, in USD."""
    paid = decide_haircut(those, budget_uusd=budget, mark_e8=MARK, is_queue=is_queue)
    losses = [Fraction(0)] * len(those.ids)
    for row, amount in zip(paid.rows.tolist(), paid.amounts_uusd.tolist(), strict=True):
        losses[row] = Fraction(amount, USD)
    return paid.rows.tolist(), losses


def equities_after(losses: list[Fraction]) -> list[Fraction]:
    return [c + p - loss for c, p, loss in zip(CASH, PROFITS, losses, strict=True)]


def test_the_example_has_the_deficit_the_budget_and_the_queue_of_the_anchor() -> None:
    those = accounts(CASH, PROFITS, NOTIONAL)
    columns = (those.cash.tolist(), those.units.tolist(), those.entry_e8.tolist())
    ranks = [rank_e6(*row, MARK) for row in zip(*columns, strict=True)]
    deficit = -sum(min(c + p, 0) for c, p in zip(CASH, PROFITS, strict=True))

    assert deficit == 15
    assert budget_uusd(15 * USD, 500_000) == 7_500_000
    assert ranks == [12_800_000, 16_000_000, 2_000_000, None, None]


def test_a_queue_takes_whole_profits_by_rank() -> None:
    order, losses = seized(accounts(CASH, PROFITS, NOTIONAL), 7_500_000, is_queue=True)

    assert order == [1, 0]  # 2, 1 of the anchor; 3 is not reached.
    assert losses == [Fraction(7, 2), 4, 0, 0, 0]
    assert equities_after(losses)[:3] == [Fraction(13, 2), 1, 1]


def test_pro_rata_takes_the_same_share_of_every_profit() -> None:
    order, losses = seized(accounts(CASH, PROFITS, NOTIONAL), 7_500_000, is_queue=False)

    assert order == [0, 1, 2]
    assert losses[:3] == [Fraction(48, 10), Fraction(24, 10), Fraction(3, 10)]
    factor = 1 - Fraction(15, 2) / Fraction(25, 2)  # What is left of a profit; 0.6 is taken.
    assert [p - loss for p, loss in zip(PROFITS[:3], losses, strict=False)] == [
        p * factor for p in PROFITS[:3]
    ]
    assert equities_after(losses)[:3] == [Fraction(52, 10), Fraction(26, 10), Fraction(7, 10)]


@pytest.mark.parametrize("is_queue", [True, False])
def test_no_haircut_takes_more_than_profit(is_queue: bool) -> None:
    _, losses = seized(accounts(CASH, PROFITS, NOTIONAL), 15 * USD, is_queue=is_queue)

    assert losses == [8, 4, Fraction(1, 2), 0, 0]
    assert equities_after(losses)[:3] == list(CASH[:3])


def test_the_top_winner_loses_more_in_a_queue_than_pro_rata() -> None:
    winners, haircut = (50, 30, 20), 20
    # Equal collateral and notional: the largest profit has the best rank.
    those = accounts((10, 10, 10), winners, (400, 400, 400))

    _, queue = seized(those, haircut * USD, is_queue=True)
    _, pro_rata = seized(those, haircut * USD, is_queue=False)

    assert (winners[0] - queue[0], winners[0] - pro_rata[0]) == (30, 40)
    assert queue[0] - pro_rata[0] == haircut * (1 - Fraction(winners[0], sum(winners)))
