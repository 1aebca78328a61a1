"""The last layers' decisions against their definitions in fractions, up to the ledger's bounds."""

from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from random import Random
from time import perf_counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from support.effort import cases
from support.floors import assert_floors

from liqsim.mechanics.exact import divmod_exact
from liqsim.mechanics.losses import (
    Accounts,
    Payments,
    cut_entries_e8,
    decide_haircut,
    decide_socialised,
    profits_uusd,
    shares_uusd,
)
from liqsim.mechanics.waterfall import rank_e6

E10 = 10**10
BATCH = 40
seeds = st.integers(0, 2**32)


def magnitude(random: Random, top: int) -> int:
    """Draw an integer in [1, *top*], every order of magnitude equally likely."""
    return random.randint(1, min(10 ** random.randint(1, len(str(top))), top))


# Exact arithmetic ---------------------------------------------------------------------------------


def test_quotients_and_remainders_are_exact_up_to_the_bounds() -> None:
    random, census = Random(1), Counter[str]()
    for _ in range(300):
        count = random.randint(0, 30)
        divisors = [magnitude(random, 10**18) for _ in range(count)]
        values = [magnitude(random, 10**18) for _ in range(count)]
        factors = [
            # Products near a multiple of the divisor, where a float cannot tell.
            min(random.choice([magnitude(random, 10**18), d]), 9 * 10**18 * d // v)
            for v, d in zip(values, divisors, strict=True)
        ]
        quotients, remainders = divmod_exact(
            np.array(values, dtype=np.int64),
            np.array(factors, dtype=np.int64),
            np.array(divisors, dtype=np.int64),
        )

        right = [divmod(v * f, d) for v, f, d in zip(values, factors, divisors, strict=True)]
        assert list(zip(quotients.tolist(), remainders.tolist(), strict=True)) == right
        census["slow"] += sum(quotient >= 2**50 for quotient, _ in right)
        census["exact"] += sum(remainder == 0 for _, remainder in right)
        census["fast"] += sum(quotient < 2**50 for quotient, _ in right)
    assert_floors(census, {"slow": 200, "fast": 2_000, "exact": 200})


def test_a_single_factor_and_divisor_stand_for_all() -> None:
    quotients, remainders = divmod_exact(np.array([1, 2, 3 * 10**17]), 10**17, 3 * 10**17)

    assert (quotients.tolist(), remainders.tolist()) == ([0, 0, 10**17], [10**17, 2 * 10**17, 0])
    huge, _ = divmod_exact(np.array([10**18, 5]), 10**18, 2**62)
    assert huge.tolist() == [10**36 // 2**62, 5 * 10**18 // 2**62]


def check_shares(random: Random, census: Counter[str]) -> None:
    weights = [random.choice([0, magnitude(random, 10**17)]) for _ in range(random.randint(1, 12))]
    weights[random.randrange(len(weights))] = magnitude(random, 10**17)
    if random.random() < 0.3:
        weights = [7] * len(weights)  # Ties.
    whole = sum(weights)
    total = random.choice([magnitude(random, 10**17), random.randint(0, whole), 0])

    shares = shares_uusd(total, np.array(weights)).tolist()

    exact = [Fraction(total * weight, whole) for weight in weights]
    assert sum(shares) == total
    assert all(0 <= share - part // 1 <= 1 for share, part in zip(shares, exact, strict=True))
    assert all(share < part + 1 for share, part in zip(shares, exact, strict=True))
    assert total > whole or all(s <= w for s, w in zip(shares, weights, strict=True))
    # Whoever is rounded up has no smaller a remainder than whoever is not; of equals, the first.
    ups = [(-(e % 1), row) for row, (s, e) in enumerate(zip(shares, exact, strict=True)) if s > e]
    rest = [(-(e % 1), row) for row, (s, e) in enumerate(zip(shares, exact, strict=True)) if s <= e]
    assert not ups or not [down for down in rest if down < max(ups) and down[0] != 0]
    census["rounded up"] += bool(ups)
    census["tie"] += len(set(weights)) < len(weights)


def test_shares_are_proportional_to_the_last_unit() -> None:
    census = Counter[str]()

    @cases(50)
    @given(seeds)
    def check(seed: int) -> None:
        random = Random(seed)
        for _ in range(BATCH):
            check_shares(random, census)

    check()
    assert_floors(census, {"rounded up": 400, "tie": 400})


# Decisions ----------------------------------------------------------------------------------------


def drawn(random: Random) -> tuple[Accounts, int, list[tuple[int, int, int, int]]]:
    """Draw accounts of a market, its mark, and (cash, units, entry, room) of each."""
    mark = magnitude(random, 10**13)
    rows = []
    for _ in range(random.randint(0, 12)):
        size = magnitude(random, 10**18 // mark)
        units = random.choice([-1, 1]) * size
        entry = max(mark + random.randint(-mark, mark) // random.choice([1, 20]), 1)
        value = units * mark // E10
        room = random.choice([0, 1, magnitude(random, 10**12), magnitude(random, abs(value) + 2)])
        rows.append((room + random.randint(0, room) - value, units, entry, room))
    columns = [np.array(column, dtype=np.int64) for column in zip(*rows, strict=True)] or [
        np.zeros(0, dtype=np.int64)
    ] * 4
    cash, units_column, entries, rooms = columns
    slack = random.choice([0.0, 1e-9, 2.0])  # How far the floats lie below.
    accounts = Accounts(
        ids=np.arange(len(rows)) + 5,
        cash=cash,
        units=units_column,
        entry_e8=entries,
        room_uusd=rooms.astype(np.float64) * (1 - slack) - 1.0,
        exact_room_uusd=lambda row: rows[row][3],
    )
    return accounts, mark, rows


def paid_of(payments: Payments) -> dict[int, tuple[int, int]]:
    columns = (payments.rows, payments.basis_uusd, payments.amounts_uusd)
    rows = list(zip(*(column.tolist() for column in columns), strict=True))
    assert len({row for row, _, _ in rows}) == len(rows)
    return {row: (basis, amount) for row, basis, amount in rows}


def check_haircut(random: Random, census: Counter[str], *, is_queue: bool) -> None:
    accounts, mark, rows = drawn(random)
    budget = magnitude(random, 10**15)

    paid = paid_of(decide_haircut(accounts, budget_uusd=budget, mark_e8=mark, is_queue=is_queue))

    basis = {
        row: min(units * (mark - entry) // E10, room)
        for row, (_, units, entry, room) in enumerate(rows)
        if min(units * (mark - entry) // E10, room) > 0
    }
    assert sum(amount for _, amount in paid.values()) == min(budget, sum(basis.values()))
    for row, (recorded, amount) in paid.items():
        assert recorded == basis[row]
        assert 0 < amount <= recorded
        if not is_queue:
            exact = Fraction(min(budget, sum(basis.values())) * basis[row], sum(basis.values()))
            assert abs(amount - exact) < 1
    if is_queue:
        order = list(paid)
        ranks = {row: rank_e6(*rows[row][:3], mark) for row in basis}
        assert order == sorted(basis, key=lambda row: (-(ranks[row] or 0), row))[: len(order)]
        assert all(paid[row][1] == basis[row] for row in order[:-1])
    else:
        assert list(paid) == sorted(paid)
    census["budget binds"] += budget < sum(basis.values())
    census["profits bind"] += 0 < sum(basis.values()) <= budget
    census["several pay"] += len(paid) > 1
    census["room binds"] += any(
        rows[row][1] * (mark - rows[row][2]) // E10 > basis[row] for row in paid
    )


def check_socialised(random: Random, census: Counter[str], *, by_equity: bool) -> None:
    accounts, mark, rows = drawn(random)
    loss = magnitude(random, 10**15)

    payments = decide_socialised(accounts, loss_uusd=loss, mark_e8=mark, by_equity=by_equity)
    paid = paid_of(payments)

    basis = {
        row: cash + units * mark // E10 if by_equity else abs(units) * mark // E10
        for row, (cash, units, _, room) in enumerate(rows)
        if room
    }
    whole = sum(basis.values())
    assert list(paid) == sorted(paid)
    assert payments.total_uusd <= loss
    for row, weight in basis.items():
        exact = Fraction(loss * weight, whole) if whole else Fraction(0)
        recorded, amount = paid.get(row, (weight, 0))
        assert recorded == weight
        assert amount == rows[row][3] <= exact + 1 or abs(amount - exact) < 1
        census["capped"] += amount == rows[row][3] < exact
    assert set(paid) <= set(basis)
    if whole and all(rows[row][3] >= Fraction(loss * basis[row], whole) + 1 for row in basis):
        assert payments.total_uusd == loss
    census["several pay"] += len(paid) > 1
    census["all of it"] += payments.total_uusd == loss
    census["some of it"] += 0 < payments.total_uusd < loss


def _run(check: Callable[[Random, Counter[str]], None]) -> Counter[str]:
    census = Counter[str]()

    @cases(30)
    @given(seeds)
    def run(seed: int) -> None:
        random = Random(seed)
        for _ in range(BATCH):
            check(random, census)

    run()
    return census


def test_profits_are_cut_pro_rata() -> None:
    census = _run(lambda random, census: check_haircut(random, census, is_queue=False))

    assert_floors(
        census, {"budget binds": 100, "profits bind": 200, "several pay": 300, "room binds": 200}
    )


def test_profits_are_cut_by_rank() -> None:
    census = _run(lambda random, census: check_haircut(random, census, is_queue=True))

    assert_floors(
        census, {"budget binds": 100, "profits bind": 200, "several pay": 200, "room binds": 200}
    )


def test_losses_are_socialised_by_notional() -> None:
    census = _run(lambda random, census: check_socialised(random, census, by_equity=False))

    assert_floors(census, {"several pay": 300, "some of it": 300, "all of it": 20, "capped": 500})


def test_losses_are_socialised_by_equity() -> None:
    census = _run(lambda random, census: check_socialised(random, census, by_equity=True))

    assert_floors(census, {"several pay": 300, "some of it": 200, "all of it": 50, "capped": 500})


def test_an_entry_price_moves_so_far_that_no_more_than_the_rest_of_the_profit_is_left() -> None:
    random = Random(2)
    for _ in range(2_000):
        mark = magnitude(random, 10**13)
        units = random.choice([-1, 1]) * magnitude(random, 10**18 // mark)
        entry = max(mark - (1 if units > 0 else -1) * random.randint(0, mark - 1), 1)
        profit = units * (mark - entry) // E10
        if profit <= 0:
            continue
        amount = random.choice([profit, random.randint(1, profit)])
        column = np.array([units]), np.array([entry])

        moved = int(cut_entries_e8(*column, np.array([amount]))[0])

        left = Fraction(units * (mark - moved), E10)
        before = Fraction(units * (mark - entry), E10)
        assert 0 <= left <= before - amount
        assert before - amount - left < Fraction(abs(units), E10)  # One price step of it.
        assert profits_uusd(column[0], np.array([moved]), mark)[0] == left // 1


# Cost ---------------------------------------------------------------------------------------------


def test_a_hundred_thousand_accounts_are_not_walked_one_by_one() -> None:
    count = 100_000
    generator = np.random.default_rng(3)
    units = generator.integers(10**6, 10**9, count) * generator.choice([-1, 1], count)
    entries = generator.integers(80 * 10**8, 120 * 10**8, count)
    asked = Counter[int]()

    def exact(row: int) -> int:
        asked[row] += 1
        return 10**9

    accounts = Accounts(
        ids=np.arange(count),
        cash=10**9 - units // 100,
        units=units,
        entry_e8=entries,
        room_uusd=np.full(count, 1e9),
        exact_room_uusd=exact,
    )
    started = perf_counter()
    paid = decide_haircut(accounts, budget_uusd=10**9, mark_e8=100 * 10**8, is_queue=False)
    queue = decide_haircut(accounts, budget_uusd=10**9, mark_e8=100 * 10**8, is_queue=True)
    shared = decide_socialised(accounts, loss_uusd=10**9, mark_e8=100 * 10**8, by_equity=True)
    took = perf_counter() - started

    assert sum(paid.amounts_uusd.tolist()) == queue.total_uusd == shared.total_uusd == 10**9
    assert len(paid.rows) > count // 3
    assert len(queue.rows) < 100
    assert not asked
    assert took < 2.0  # A tenth of that on a slow machine; a loop in fractions takes far longer.
