"""The waterfall's rules against their definitions in fractions, up to the bounds of the ledger."""

import math
from collections import Counter
from fractions import Fraction
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.effort import cases
from support.floors import assert_floors

from liqsim.mechanics.tranches import takeover_price_e8, tranche_size_e8, units_within_e8
from liqsim.mechanics.waterfall import (
    RANK_LIMIT_E6,
    FeeRates,
    decide_deleveraging,
    decide_settlement,
    limit_price_e8,
    rank_e6,
)
from liqsim.units import (
    BOUND,
    NOTIONAL_DIVISOR,
    RATIO_SCALE,
    UNIT_SCALE,
    USD_SCALE,
    taker_cost_uusd,
)

OVERFLOW = 2**63
"""quantity_e8 x price_e8 from here on does not fit an int64: 922 USD."""
VALUE_MAX = (BOUND - 1) * NOTIONAL_DIVISOR
"""quantity_e8 x price_e8 stays below this, or the cost could not be posted."""


BATCH = 50
"""Cases drawn from one seed: numbers need no shrinking, and a draw costs more than its check."""
seeds = st.integers(0, 2**32)


def magnitude(random: Random, top: int) -> int:
    """Draw an integer in [1, *top*], every order of magnitude equally likely."""
    low = 10 ** random.randrange(len(str(top)))
    return random.randint(low, min(10 * low, top))


def amount(random: Random) -> int:
    """Draw micro-USD: nothing, next to nothing, or any magnitude."""
    return random.choice([0, random.randint(1, 4), magnitude(random, BOUND - 1)])


def execution(random: Random) -> tuple[int, int, int, int]:
    """Draw (cash, position, part, price): at or near bankruptcy as often as not."""
    while True:
        size = magnitude(random, BOUND - 1)
        price = magnitude(random, min(BOUND - 1, VALUE_MAX // size))
        position = random.choice([-1, 1]) * size
        part = random.choice([size, random.randint(1, size)])
        # Equity at the price: none, a few units of money either way, or anything.
        equity = random.choice([random.randint(0, 3), magnitude(random, 10**9), amount(random)])
        cash = round(Fraction(-position * price, NOTIONAL_DIVISOR)) + equity * (
            random.choice([-1, 1])
        )
        if abs(cash) < BOUND:
            return cash, position, part, price


# Settlement ---------------------------------------------------------------------------------------


def check_settlement(random: Random, census: Counter[str]) -> None:
    cash, position, part, price = execution(random)
    fee, fund = amount(random), amount(random)
    quantity = -part if position > 0 else part
    cost = taker_cost_uusd(quantity, price)
    rest = position + quantity

    settlement = decide_settlement(cash, position, quantity, cost, fee)

    taken = settlement.fee_uusd + settlement.surplus_uusd
    draw = min(settlement.shortfall_uusd, fund)
    after = cash - cost - taken + draw
    kept = Fraction(cash * rest, position)  # The share of the cash that stays, unrounded.
    left = cash - cost - kept  # What the execution brought above bankruptcy.
    assert min(settlement.fee_uusd, settlement.surplus_uusd, settlement.shortfall_uusd) >= 0
    assert settlement.fee_uusd <= fee
    if left >= 0:
        assert settlement.shortfall_uusd == 0
        assert taken == math.floor(left)  # So the fee never exceeds what is left.
        assert settlement.fee_uusd == min(fee, math.floor(left))  # And it goes first.
    else:
        assert taken == 0
        assert settlement.shortfall_uusd == math.ceil(-left)
    has_sufficed = fund >= -left
    if rest and has_sufficed:
        # Rounded so that the bucket keeps up to one micro-USD more: in favour of the protocol.
        before_price, after_price = Fraction(-cash, position), Fraction(-after, rest)
        assert 0 <= (before_price - after_price) * rest < 1
    if not rest:
        assert (after >= 0) == has_sufficed
        assert after == min(0, cash - cost + fund)
    census["long" if position > 0 else "short"] += 1
    census["part" if rest else "whole"] += 1
    census["fee cut"] += left >= 0 and settlement.fee_uusd < fee
    census["surplus"] += settlement.surplus_uusd > 0
    census["nothing left over"] += taken == 0 == settlement.shortfall_uusd
    census["fund short"] += not has_sufficed
    census["fund pays"] += has_sufficed and draw > 0
    census["share rounded"] += kept.denominator > 1
    census["beyond int64"] += part * price >= OVERFLOW


def test_a_settlement_leaves_the_bankruptcy_price_of_what_remains():
    census = Counter()

    @cases(80)
    @given(seeds)
    def check(seed):
        random = Random(seed)
        for _ in range(BATCH):
            check_settlement(random, census)

    check()
    assert_floors(
        census,
        {
            "long": 1_500,
            "short": 1_500,
            "part": 1_000,
            "whole": 1_000,
            "fee cut": 600,
            "surplus": 400,
            "nothing left over": 400,
            "fund short": 600,
            "fund pays": 600,
            "share rounded": 700,
            "beyond int64": 1_000,
        },
    )


def test_a_fee_is_its_share_rounded_up():
    random = Random(1)
    for _ in range(2_000):
        size, mark, price = (magnitude(random, BOUND - 1) for _ in range(3))
        on_mark, on_execution = (random.randint(0, RATIO_SCALE) for _ in range(2))

        fee = FeeRates(on_mark, on_execution).fee_uusd(size, mark, price)

        rate_price = Fraction(mark * on_mark + price * on_execution, UNIT_SCALE * RATIO_SCALE)
        exact = Fraction(size, UNIT_SCALE) * rate_price * USD_SCALE
        assert 0 <= fee - exact < 1


def check_limit(random: Random, census: Counter[str]) -> None:
    cash, position, part, _ = execution(random)
    fund, is_long = amount(random), position > 0
    bankruptcy = Fraction(-cash * NOTIONAL_DIVISOR, position)
    if not 0 < bankruptcy < BOUND - 1:
        return
    quantity = -part if is_long else part
    worst = bankruptcy + Fraction(fund * NOTIONAL_DIVISOR, quantity)

    limit = limit_price_e8(cash, position, part, fund)

    assert 1 <= limit < BOUND
    if not is_long and worst < 1:
        assert limit == 1  # No price is low enough; the lowest that can be written stands for it.
        return

    def draw_at(price: int) -> int:
        cost = taker_cost_uusd(quantity, price)
        return decide_settlement(cash, position, quantity, cost, 0).shortfall_uusd

    assert draw_at(limit) <= fund + 1
    census["long" if is_long else "short"] += 1
    if limit in {1, BOUND - 1}:
        census["at the edge of prices"] += 1
        return
    # Roundings give away less than two units of price: two units beyond is out of reach.
    assert (limit - 2 < worst <= limit) if is_long else (limit <= worst < limit + 2)
    census["inside"] += 1
    census["draws all"] += draw_at(limit) >= fund > 0
    census["fund empty"] += fund == 0


def test_a_fill_at_the_limit_costs_the_fund_all_it_has_and_no_more():
    census = Counter()

    @cases(60)
    @given(seeds)
    def check(seed):
        random = Random(seed)
        for _ in range(BATCH):
            check_limit(random, census)

    check()
    assert_floors(
        census,
        {
            "long": 500,
            "short": 500,
            "at the edge of prices": 200,
            "inside": 600,
            "draws all": 100,
            "fund empty": 200,
        },
    )


# Deleveraging -------------------------------------------------------------------------------------

PRICES = [1, 7, 999, 10**8, 13_337 * 10**6, 194_61 * 10**7, 10**12, 10**15]
KINDS = ["tie", "tie", "near", "round", "round", "cap", "equity", "margin", "loser", "other", "any"]


def exact_rank(cash: int, quantity: int, entry: int, price: int) -> int | None:
    """Return profit / margin x notional / equity in USD, cut to six decimals; None: no part."""
    held, at = Fraction(quantity, UNIT_SCALE), Fraction(price, UNIT_SCALE)
    profit = held * (at - Fraction(entry, UNIT_SCALE))
    equity = Fraction(cash, USD_SCALE) + held * at
    if profit <= 0 or equity < 0:
        return None
    if equity == 0 or equity <= profit:
        return RANK_LIMIT_E6
    rank = profit / (equity - profit) * (abs(held) * at / equity)
    return min(math.floor(rank * 10**6), RANK_LIMIT_E6)


class Crowd:
    """Accounts at one price, made so that ranks tie, nearly tie, or stand at an edge."""

    def __init__(self, seed: int, count: int) -> None:
        self._random = random = Random(seed)
        self.price = random.choice(PRICES)
        self.takes_shorts = random.random() < 0.5
        self._sign = -1 if self.takes_shorts else 1
        self._top = min(10**17, VALUE_MAX // (64 * self.price))
        base = self._winner(self._size() // 50 + 1, 1, Fraction(random.choice([1, 3, 9]), 10))
        self._bases = [base, self._winner(1 + random.randrange(1_000), Fraction(1, 3), 2)]
        rows = [self._account(random.choice(KINDS)) for _ in range(count)]
        # Rows that are no candidates hold the best rank of all: they must not be looked at.
        owners = sorted(random.sample(range(count * 2), count))
        everyone = [self._account("margin") for _ in range(count * 2)]
        for owner, row in zip(owners, rows, strict=True):
            everyone[owner] = row
        self.ids = np.array(owners, dtype=np.int64)
        columns = np.array(everyone, dtype=np.int64).reshape(-1, 3)
        self.cash, self.units, self.entry = (columns[:, column].copy() for column in range(3))
        self.queue = self._queue()

    def _size(self) -> int:
        return min(10 ** self._random.randint(0, 17) + self._random.randrange(10), self._top)

    def _entry(self, move: Fraction) -> int:
        return max(self.price - self._sign * round(self.price * move), 1)

    def _winner(self, size: int, move: Fraction, margin: Fraction) -> tuple[int, int, int]:
        """Return an account that won *move* of the price, with *margin* of its notional."""
        quantity, entry = self._sign * min(max(size, 1), self._top), self._entry(move)
        value = abs(quantity) * self.price * margin - quantity * entry
        return round(Fraction(value, NOTIONAL_DIVISOR)), quantity, entry

    def _account(self, kind: str) -> tuple[int, int, int]:
        random, size = self._random, self._size()
        nudge = random.choice([-1, 0, 0, 1])
        match kind:
            case "tie" | "near":
                cash, quantity, entry = random.choice(self._bases)
                factor = random.randint(1, max(min(self._top // abs(quantity), 40), 1))
                return cash * factor + (nudge if kind == "near" else 0), quantity * factor, entry
            case "round":  # A rank of few decimals, or just beside it.
                move, margin = random.choice([(1, 1), (1, Fraction(1, 4))])
                cash, quantity, entry = self._winner(size, move, margin)
                return cash + nudge, quantity, entry
            case "cap":
                cash, quantity, entry = self._winner(size, 1, Fraction(1, 10**6))
                return cash + random.randint(-3, 3), quantity, entry
            case "equity":  # Equity of nothing, or of one micro-USD either way.
                quantity, entry = self._sign * size, self._entry(Fraction(1, 2))
                return (
                    round(Fraction(-quantity * self.price, NOTIONAL_DIVISOR)) + nudge,
                    (quantity),
                    entry,
                )
            case "margin":  # Margin of nothing, or of one micro-USD either way.
                cash, quantity, entry = self._winner(size, Fraction(1, 2), 0)
                return cash + nudge, quantity, entry
            case "loser":
                cash, quantity, _ = self._winner(size, Fraction(0), Fraction(1))
                return cash, quantity, self._entry(Fraction(random.choice([0, 0, -1]), 10))
            case "other":
                cash, quantity, entry = self._winner(size, Fraction(1, 2), Fraction(1))
                return -cash, -quantity, entry
            case _:
                move, margin = random.random(), random.random() ** 8
                return self._winner(size, Fraction(move), Fraction(margin))

    def _queue(self) -> list[tuple[int, int, int]]:
        """Return (-rank, owner, size) of who has a part, first first."""
        queue = []
        for owner in self.ids.tolist():
            cash, quantity, entry = (int(x[owner]) for x in (self.cash, self.units, self.entry))
            rank = exact_rank(cash, quantity, entry, self.price)
            assert rank == rank_e6(cash, quantity, entry, self.price)
            if rank is not None and (quantity < 0) == self.takes_shorts:
                queue.append((-rank, owner, abs(quantity)))
        return sorted(queue)

    def expected(self, size: int) -> list[tuple[int, int]]:
        parts = []
        for _, owner, available in self.queue:
            if size == 0:
                break
            parts.append((owner, min(size, available)))
            size -= min(size, available)
        return parts

    def decide(self, size: int) -> list[tuple[int, int]]:
        parts = decide_deleveraging(
            price_e8=self.price,
            size_e8=size,
            takes_shorts=self.takes_shorts,
            ids=self.ids,
            cash_of=self.cash.__getitem__,
            units=self.units,
            entry_e8=self.entry,
        )
        return [(part.counterparty_id, part.size_e8) for part in parts]

    def sizes(self) -> list[int]:
        """Return sizes that end anywhere, or within one unit of where a part or a sort ends."""
        held = [available for _, _, available in self.queue]
        cuts = {len(held), self._random.randint(0, len(held)), *(c for c in (1, 64, 512))}
        sums = [sum(held[:cut]) for cut in sorted(cuts) if cut <= len(held)]
        return sorted({max(total + extra, 1) for total in sums for extra in (-1, 0, 1)})


def check_crowd(crowd: Crowd, census: Counter[str]) -> None:
    ranks = Counter(-rank for rank, _, _ in crowd.queue)
    census["ties"] += len(crowd.queue) - len(ranks)
    census["neighbours"] += sum(rank + 1 in ranks for rank in ranks)
    census["capped"] += ranks[RANK_LIMIT_E6]
    held = [available for _, _, available in crowd.queue]
    for size in crowd.sizes():
        parts = crowd.decide(size)

        assert parts == crowd.expected(size)
        assert sum(part for _, part in parts) == min(size, sum(held))
        assert all(0 < part <= abs(int(crowd.units[owner])) for owner, part in parts)
        for least in (64, 512):
            census[f"more than {least}"] += len(parts) > least
            census[f"stops after {least}"] += len(parts) == least
        census["exhausted"] += sum(held) < size


def test_the_queue_is_the_definition():
    census = Counter()

    @cases(500)
    @given(seeds, st.integers(1, 25))
    def check(seed, count):
        check_crowd(Crowd(seed, count), census)

    check()
    assert_floors(census, {"ties": 500, "neighbours": 20, "capped": 200, "exhausted": 100})


def test_the_queue_of_many_is_the_definition():
    census = Counter()

    for seed, count in enumerate([150, 200, 250, 300, 400, 1_000, 1_200, 1_400, 5_500]):
        check_crowd(Crowd(seed, count), census)

    assert_floors(
        census,
        {
            "ties": 500,
            "neighbours": 10,
            "more than 64": 20,
            "stops after 64": 5,
            "more than 512": 5,
            "stops after 512": 2,
        },
    )


def test_the_sort_grows_by_the_last_unit_where_sums_no_longer_fit_a_double():
    random, price, count = Random(0), 10**8, 70
    short_by_a_unit = 0
    for _ in range(20):
        held = [random.randrange(10**16, 2 * 10**16) for _ in range(count)]
        # Entry at twice the price; the first 64 have a tenth of the margin of the others.
        cash = [
            size // 50 + size // (5 * 10**4 if row < 64 else 5 * 10**3)
            for row, size in (enumerate(held))
        ]
        size = sum(held[:64]) + 1
        float_sum = float(np.array(held[:64], dtype=np.float64).sum())
        short_by_a_unit += float_sum > sum(held[:64])

        parts = decide_deleveraging(
            price_e8=price,
            size_e8=size,
            takes_shorts=True,
            ids=np.arange(count),
            cash_of=np.array(cash).__getitem__,
            units=-np.array(held),
            entry_e8=np.full(count, 2 * price),
        )

        assert [part.size_e8 for part in parts] == [*held[:64], 1]
    assert short_by_a_unit > 0


@pytest.mark.parametrize(
    ("cash", "rank"),
    [
        # Ten units short from 3 to 1 USD: profit 20, notional 10; equity = cash - 10.
        (31_000_000, 20 * 10**6 * 10 // 21),
        (30_000_001, RANK_LIMIT_E6),  # A margin of one micro-USD: ten million, cut to the limit.
        (30_000_000, RANK_LIMIT_E6),  # A margin of nothing.
        (10_000_000, RANK_LIMIT_E6),  # Equity of nothing.
        (9_999_999, None),  # Equity below nothing.
    ],
)
def test_ranks_at_the_edges(cash, rank):
    assert rank_e6(cash, -(10**9), 3 * 10**8, 10**8) == rank


def test_nobody_is_deleveraged_where_nobody_wins():
    nobody = np.zeros(0, dtype=np.int64)
    flat = np.zeros(9, dtype=np.int64)
    for ids in (nobody, np.arange(9)):
        parts = decide_deleveraging(
            price_e8=5,
            size_e8=3,
            takes_shorts=True,
            ids=ids,
            cash_of=flat.__getitem__,
            units=flat,
            entry_e8=flat,
        )
        assert parts == []


# Tranches -----------------------------------------------------------------------------------------


def worth_uusd(units: int, mark: int) -> Fraction:
    return Fraction(units, UNIT_SCALE) * Fraction(mark, UNIT_SCALE) * USD_SCALE


def test_a_tranche_is_the_largest_that_its_three_bounds_allow():
    random, census = Random(2), Counter()
    for _ in range(3_000):
        at_trigger, usd, mark = (magnitude(random, BOUND - 1) for _ in range(3))
        remaining = random.choice([at_trigger, random.randint(1, at_trigger)])
        share = random.choice([random.randint(1, RATIO_SCALE), 1, 200_000, RATIO_SCALE])

        size = tranche_size_e8(
            remaining_e8=remaining,
            at_trigger_e8=at_trigger,
            share_e6=share,
            max_uusd=usd,
            mark_e8=mark,
        )

        cut = math.ceil(Fraction(at_trigger * share, RATIO_SCALE))
        assert 1 <= size <= min(remaining, cut)
        is_within = worth_uusd(size, mark) <= usd
        assert is_within or size == 1  # One unit always goes, or the position never would.
        assert size in {remaining, cut} or worth_uusd(size + 1, mark) > usd
        most = units_within_e8(usd, mark)
        assert worth_uusd(most, mark) <= usd < worth_uusd(most + 1, mark) or most == 1
        census["share"] += size == cut < remaining
        census["cap"] += size < min(remaining, cut)
        census["rest"] += size == remaining
        census["dearer than the cap"] += not is_within
    assert_floors(census, {"share": 400, "cap": 600, "rest": 400, "dearer than the cap": 200})


def test_tranches_of_a_share_end_after_its_inverse():
    random = Random(3)
    for _ in range(200):
        at_trigger, share = magnitude(random, BOUND - 1), random.randint(20_000, RATIO_SCALE)
        remaining, count = at_trigger, 0
        while remaining:
            remaining -= tranche_size_e8(
                remaining_e8=remaining,
                at_trigger_e8=at_trigger,
                share_e6=share,
                max_uusd=BOUND - 1,
                mark_e8=1,
            )
            count += 1
        assert count <= -(-RATIO_SCALE // share)


def test_a_takeover_price_is_rounded_for_the_bucket():
    random = Random(4)
    for _ in range(2_000):
        mark, discount = magnitude(random, BOUND - 1), random.choice([0, random.randrange(500_001)])
        side = random.choice([-1, 1])

        price = takeover_price_e8(mark, discount, side * 3)

        exact = mark * (1 - side * Fraction(discount, RATIO_SCALE))
        assert 0 <= side * (price - exact) < 1
        assert price >= 1
