"""Who pays and who gains: settlement, limits, deleveraging and tranches against fractions."""

from collections import Counter
from fractions import Fraction
from functools import cmp_to_key

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.effort import cases

from liqsim.mechanics.margin import bankruptcy_price_e8
from liqsim.mechanics.tranches import takeover_price_e8, tranche_size_e8, units_within_e8
from liqsim.mechanics.waterfall import (
    FeeRates,
    decide_deleveraging,
    decide_settlement,
    limit_price_e8,
)
from liqsim.units import BOUND, taker_cost_uusd

POSITIONS = st.one_of(st.integers(1, 1_000), st.integers(10**6, 10**13), st.integers(1, BOUND - 1))
PRICES = st.one_of(st.integers(1, 1_000), st.integers(10**6, 10**13), st.integers(1, 10**17))


@st.composite
def executions(draw):
    """Draw (cash, position, quantity, price): a close of a part at a price around bankruptcy."""
    sign, size = draw(st.sampled_from([-1, 1])), draw(POSITIONS)
    entry = draw(PRICES)
    cash = -sign * (size * entry // 10**10) + draw(st.integers(-3, 3))
    cash = min(max(cash, -BOUND + 1), BOUND - 1)
    part = draw(st.one_of(st.just(size), st.integers(1, size)))
    move = draw(
        st.sampled_from([0, 0, 1, -1, entry // 50, -(entry // 50), entry // 3, -(entry // 3)])
    )
    return cash, sign * size, -sign * part, min(max(entry + move, 1), BOUND - 1)


# Settlement ---------------------------------------------------------------------------------------


def test_a_settlement_leaves_the_rest_its_share_and_splits_the_gain():
    seen = Counter()

    @cases(1_200)
    @given(
        executions(),
        st.one_of(st.integers(0, 100), st.integers(0, 10**12)),
        st.one_of(st.just(0), st.integers(0, 100), st.integers(0, BOUND - 1)),
    )
    def check(execution, fee, fund):
        cash, position, quantity, price = execution
        cost = taker_cost_uusd(quantity, price)
        rest = position + quantity

        settled = decide_settlement(cash, position, quantity, cost, fee, fund)

        fee_paid, surplus, draw = settled.fee_uusd, settled.surplus_uusd, settled.draw_uusd
        assert min(fee_paid, surplus, draw) >= 0
        assert fee_paid <= fee
        assert draw <= fund
        # What stays with the rest, if fee and surplus leave and the draw comes in.
        kept = cash - cost - fee_paid - surplus + draw
        share = Fraction(cash * rest, position)
        if draw < fund or draw == 0:
            is_short = kept < share
            assert not is_short or fund == draw
        if draw:
            seen["draw"] += 1
            assert fee_paid == surplus == 0  # A penalty never exceeds what is left.
            assert kept - share < 1
            if draw < fund:
                assert kept >= share
            else:
                seen["fund exhausted"] += 1
        elif kept < share:
            seen["hole and no fund"] += 1
            assert fund == 0
            assert fee_paid == surplus == 0
        else:
            seen["gain"] += 1
            assert kept - share < 1
            assert surplus == 0 or fee_paid == fee
            seen["fee cut"] += fee_paid < fee
            seen["surplus"] += surplus > 0
        seen["whole position"] += rest == 0
        if rest == 0 and (draw == 0 or draw < fund) and not (kept < 0):
            assert kept == 0
        # The bankruptcy price of what remains has not moved to the bucket's harm.
        if rest and kept >= share:
            before, after = -Fraction(cash, position), -Fraction(kept, rest)
            assert after <= before if rest > 0 else after >= before

    check()
    assert seen["gain"] >= 300
    assert seen["surplus"] >= 100
    assert seen["fee cut"] >= 100
    assert seen["draw"] >= 100
    assert seen["fund exhausted"] >= 20
    assert seen["hole and no fund"] >= 30
    assert seen["whole position"] >= 300


def test_a_fill_within_the_limit_never_leaves_a_hole():
    seen = Counter()

    @cases(1_000)
    @given(executions(), st.one_of(st.just(0), st.integers(0, 10**6), st.integers(0, 10**15)))
    def check(execution, fund):
        cash, position, quantity, price = execution
        size, sign = abs(quantity), 1 if position > 0 else -1
        limit = limit_price_e8(cash, position, size, fund)
        bankruptcy = bankruptcy_price_e8(cash, position)

        exact = -Fraction(cash * 10**10, position) - sign * Fraction(fund * 10**10, size)
        assert 1 <= limit <= BOUND - 1
        if sign > 0:
            assert limit >= min(max(exact, 1), BOUND - 1)
            assert limit <= max(bankruptcy, 1)
        else:
            assert limit <= max(min(exact, BOUND - 1), 1)
            assert limit >= min(max(bankruptcy, 1), BOUND - 1)
        if not 1 <= exact <= BOUND - 1:
            seen["no such price"] += 1
            if sign < 0:
                return  # A short that no positive price saves has no limit to keep to.
        # At the limit, and anywhere better, the fund can pay what is missing.
        for at in (limit, max(price, limit) if sign > 0 else min(price, limit)):
            cost = taker_cost_uusd(quantity, at)
            settled = decide_settlement(cash, position, quantity, cost, 0, fund)
            kept = cash - cost + settled.draw_uusd - settled.surplus_uusd
            # A part may lose what rounding its share and its cost up takes; the whole loses nothing.
            share = Fraction(cash * (position + quantity), position)
            assert kept >= share - 2 if position + quantity else kept >= 0
        seen["kept"] += 1
        seen["fund matters"] += limit != bankruptcy

    check()
    assert seen["kept"] >= 500
    assert seen["fund matters"] >= 200
    assert seen["no such price"] >= 10


@cases(300)
@given(POSITIONS, PRICES, PRICES, st.integers(0, 500_000), st.integers(0, 100_000))
def test_a_fee_is_the_exact_one_rounded_up(size, mark, price, on_mark, on_execution):
    fee = FeeRates(on_mark, on_execution).fee_uusd(size, mark, price)

    exact = Fraction(size * (mark * on_mark + price * on_execution), 10**16)
    assert exact <= fee < exact + 1


@pytest.mark.parametrize(
    ("on_mark_e6", "on_execution_e6", "fee_uusd"), [(4_000, 0, 2_600), (2_000, 1_000, 1_960)]
)
def test_a4_fee_on_mark_and_execution(on_mark_e6, on_execution_e6, fee_uusd):
    """Size 0.50, mark 1.30, execution 1.32."""
    fees = FeeRates(on_mark_e6, on_execution_e6)

    assert fee_uusd == fees.fee_uusd(50_000_000, 130_000_000, 132_000_000)


# Deleveraging -------------------------------------------------------------------------------------


class Account:
    """One account as the brute force sees it: everything exact."""

    def __init__(self, number, cash, units, entry, price) -> None:
        self.number, self.units = number, units
        self.profit = Fraction(units * (price - entry), 10**10)
        self.equity = cash + Fraction(units * price, 10**10)
        self.margin = self.equity - self.profit
        self.notional = Fraction(abs(units) * price, 10**10)

    @property
    def is_in_queue(self) -> bool:
        return self.profit > 0 and self.equity >= 0

    @property
    def is_first(self) -> bool:
        """Nothing of its own left: its rank is beyond any number."""
        return self.margin <= 0 or self.equity == 0


def compare(one: Account, other: Account) -> int:
    """Order by profit / margin x notional / equity, highest first, ties by number."""
    if one.is_first != other.is_first:
        return -1 if one.is_first else 1
    if not one.is_first:
        left = one.profit * one.notional * other.margin * other.equity
        right = other.profit * other.notional * one.margin * one.equity
        if left != right:
            return -1 if left > right else 1
    return -1 if one.number < other.number else 1


def brute_force(accounts: list[Account], size: int, *, takes_shorts: bool) -> list[tuple[int, int]]:
    side = [a for a in accounts if (a.units < 0 if takes_shorts else a.units > 0)]
    parts, left = [], size
    for account in sorted((a for a in side if a.is_in_queue), key=cmp_to_key(compare)):
        part = min(left, abs(account.units))
        if part:
            parts.append((account.number, part))
        left -= part
    return parts


@st.composite
def holders(draw, price):
    """Draw (cash, units, entry) of any account: in profit or not, thin or fat, twin of another."""
    units = draw(st.sampled_from([-1, 1])) * draw(
        st.one_of(st.integers(1, 100), st.integers(10**6, 10**12), st.sampled_from([10**8, 10**15]))
    )
    entry = draw(
        st.one_of(
            st.sampled_from([price, price + 1, max(price - 1, 1), price * 2, price // 2 + 1]),
            st.integers(price // 4 + 1, price * 4),
        )
    )
    notional = abs(units) * entry // 10**10
    collateral = draw(
        st.one_of(
            st.sampled_from([notional // 10, notional // 1_000, notional // 3, notional, 0, 1, -1]),
            st.integers(0, notional // 2 + 1),
            st.integers(1, 1_000),
            st.integers(-(notional // 100) - 1, 0),  # Fees and losses have eaten it.
        )
    )
    cash = collateral - taker_cost_uusd(units, entry)
    return min(max(cash, -BOUND + 1), BOUND - 1), units, entry


def test_deleveraging_takes_the_exact_ranks_in_order():
    seen = Counter()

    @cases(600)
    @given(st.data())
    def check(data):
        price = data.draw(st.one_of(st.integers(1, 1_000), st.integers(10**6, 10**12)))
        rows = data.draw(st.lists(holders(price), min_size=1, max_size=14))
        twins = data.draw(st.integers(0, 2))
        rows += rows[:twins]
        ids = [3 + 2 * number for number in range(len(rows))]
        takes_shorts = data.draw(st.booleans())
        held = sum(abs(u) for _, u, _ in rows if (u < 0) == takes_shorts)
        size = data.draw(
            st.one_of(st.integers(1, 10), st.integers(1, held + 10), st.just(held + 1))
        )
        columns = np.zeros((3, ids[-1] + 2), dtype=np.int64)
        columns[:, ids] = np.array(rows, dtype=np.int64).T

        parts = decide_deleveraging(
            price_e8=price, size_e8=size, takes_shorts=takes_shorts,
            ids=np.array(ids), cash=columns[0], units=columns[1], entry_e8=columns[2],
        )  # fmt: skip

        accounts = [Account(i, *row, price) for i, row in zip(ids, rows, strict=True)]
        expected = brute_force(accounts, size, takes_shorts=takes_shorts)
        got = [(part.counterparty_id, part.size_e8) for part in parts]
        assert got == expected
        queue = [a for a in accounts if a.is_in_queue and (a.units < 0) == takes_shorts]
        assert sum(s for _, s in got) == min(size, sum(abs(a.units) for a in queue))

        seen["parts"] += len(got)
        seen["several"] += len(got) > 1
        seen["nobody"] += not got
        seen["exhausted"] += sum(s for _, s in got) < size
        seen["losers left out"] += sum(a.profit <= 0 for a in accounts)
        seen["below zero left out"] += sum(a.profit > 0 and a.equity < 0 for a in accounts)
        seen["nothing of their own"] += sum(a.is_first for a in queue)
        seen["ties"] += len(queue) - len({(a.profit, a.margin, a.equity) for a in queue})

    check()
    assert seen["several"] >= 100
    assert seen["nobody"] >= 20
    assert seen["exhausted"] >= 60
    assert seen["losers left out"] >= 300
    assert seen["below zero left out"] >= 10
    assert seen["nothing of their own"] >= 50
    assert seen["ties"] >= 20


def test_deleveraging_leaves_out_whoever_is_not_named():
    columns = np.array([[0, 0, 0], [5 * 10**8] * 3, [10**8] * 3], dtype=np.int64)

    parts = decide_deleveraging(
        price_e8=2 * 10**8, size_e8=10**10, takes_shorts=False,
        ids=np.array([1]), cash=columns[0], units=columns[1], entry_e8=columns[2],
    )  # fmt: skip

    assert [1] == [part.counterparty_id for part in parts]


# Tranches -----------------------------------------------------------------------------------------


@cases(500)
@given(
    POSITIONS, st.floats(0, 1), st.integers(1, 10**6), st.integers(1, BOUND - 1), PRICES
)  # fmt: skip
def test_a_tranche_is_a_share_capped_in_usd_and_never_empty(at_trigger, gone, share, cap, mark):
    remaining = max(at_trigger - int(at_trigger * gone), 1)

    size = tranche_size_e8(
        remaining_e8=remaining, at_trigger_e8=at_trigger, share_e6=share, max_uusd=cap, mark_e8=mark
    )

    assert 1 <= size <= remaining
    wanted = -(-at_trigger * share // 10**6)  # At least the share.
    affordable = max(cap * 10**10 // mark, 1)
    assert size == min(remaining, wanted, affordable)
    assert size == 1 or Fraction(size * mark, 10**10) <= cap


@cases(300)
@given(st.integers(1, BOUND - 1), PRICES)
def test_units_within_a_cap_are_the_most_that_fit(cap, mark):
    units = units_within_e8(cap, mark)

    assert units == 1 or Fraction(units * mark, 10**10) <= cap
    assert Fraction((units + 1) * mark, 10**10) > cap


@cases(300)
@given(PRICES, st.integers(0, 500_000), st.sampled_from([-1, 1]))
def test_a_takeover_price_is_rounded_for_the_bucket(mark, discount, side):
    price = takeover_price_e8(mark, discount, side)

    exact = Fraction(mark * (10**6 - side * discount), 10**6)
    assert price >= 1
    assert exact <= price < exact + 1 if side > 0 else exact - 1 < price <= exact
