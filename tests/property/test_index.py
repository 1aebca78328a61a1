"""
The index finds whom a scan finds.

`support.plain_scan` looks at every account at every price, in Python integers. The venue's index,
its float levels and its integer triggers must name the same accounts, on positions far past an
int64 of quantity x price and margins one unit (1e-22 USD) from zero.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from functools import cache
from random import Random
from types import SimpleNamespace
from typing import Any

import attrs
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from support.effort import cases
from support.floors import assert_floors
from support.plain_scan import (
    ONE_UUSD,
    KinkedRule,
    Tiers,
    due_accounts,
    due_buckets,
    is_due,
    scaled_margin,
    slope_e14,
)
from support.scenarios import cut_short, load, scenarios, small_scenario
from support.sinks import ListSink

from liqsim.events import (
    BookSampled,
    CoinHaircutChanged,
    FailedCall,
    FundingPaid,
    FundingSet,
    LiquidationTriggered,
    MaintenanceChanged,
    MarkBasis,
    OracleUpdated,
    TradeFilled,
    UpdateReason,
)
from liqsim.mechanics.population import Accounts
from liqsim.mechanics.scan import margin_candidates, slopes_of
from liqsim.processes.venue import Venue
from liqsim.runner import Prepared, Simulation, prepare
from replay.fold import Fold

_BOUND = 10**18
_OVERFLOW = 2**63
_RATES = (0, 1, 999, 4_000, 5_000, 10_001, 20_000, 49_999, 125_000, 500_000, 990_001, 999_999)
"""In 1e-6; near one, quantity less maintenance loses most of its digits."""


# Books --------------------------------------------------------------------------------------------


def some_size(random: Random, price: int) -> int:
    """Return a size of any magnitude whose value and maintenance the ledger can hold."""
    largest = min(_BOUND - 1, 10**28 // (2 * price))
    if random.random() < 0.3:
        return max(int(largest * random.random()), 1)
    return min(max(round(10 ** random.uniform(0, 18)), 1), largest)


def size_with_residue(
    random: Random, price: int, tiers: Tiers, sign: int, residue: int
) -> int | None:
    """Return a size at which price x slope leaves *residue* modulo a micro-USD, if there is one."""
    tier = random.randrange(len(tiers))
    start, rate = tiers[tier]
    largest = min(_BOUND - 1, 10**28 // (2 * price))
    end = tiers[tier + 1][0] if tier + 1 < len(tiers) else largest
    # Within one tier the slope is a line: rise x size + constant.
    rise = sign * 10**6 - rate
    constant = slope_e14(sign * start, tiers) - rise * start
    factor, wanted = price * rise, residue - price * constant
    common = math.gcd(factor, ONE_UUSD)
    if wanted % common:
        return None
    period = ONE_UUSD // common
    first = wanted // common * pow(factor // common, -1, period) % period
    low, high = -(-(start + 1 - first) // period), (min(end, largest) - first) // period
    return first + period * random.randint(low, high) if low <= high else None


def some_account(random: Random, prices: Sequence[int], tiers: Tiers) -> tuple[int, int]:
    """Return (cash, quantity), due somewhere near one of *prices* or a hair from it."""
    price, sign = random.choice(prices), random.choice((-1, 1))
    kind = random.random()
    if kind < 0.05:  # No position, or one that no price or every price makes due.
        return random.randrange(-(10**12), 10**12), random.choice(
            (0, sign * some_size(random, price))
        )
    if kind < 0.35:
        for _ in range(4):
            target = random.choice((0, 0, -1, 1))
            size = size_with_residue(random, price, tiers, sign, target)
            if size:
                value = price * slope_e14(sign * size, tiers)
                return (target - value) // ONE_UUSD, sign * size
            price = random.choice(prices)
    quantity = sign * some_size(random, price)
    if kind < 0.65:  # Within three micro-USD of zero at a price that will be visited.
        value = price * slope_e14(quantity, tiers)
        return -(value // ONE_UUSD) + random.randint(-2, 2), quantity
    level = max(round(price * math.exp(random.gauss(0.0, 0.2))), 1)
    cash = -(level * slope_e14(quantity, tiers) // ONE_UUSD)
    return max(min(cash, _BOUND - 1), 1 - _BOUND), quantity


@st.composite
def some_tiers(draw: st.DrawFn) -> tuple[tuple[int, int], ...]:
    rates = sorted(draw(st.lists(st.sampled_from(_RATES), min_size=1, max_size=4)))
    powers = draw(
        st.lists(st.integers(1, 68), min_size=len(rates), max_size=len(rates), unique=True)
    )
    starts = sorted({0, *(round(10 ** (power / 4)) for power in powers[1:])})
    return tuple(zip(starts, rates, strict=False))


def some_walk(random: Random, steps: int) -> list[int]:
    """Return prices of one market: small moves, moves of one unit, jumps, and round numbers."""
    price = round(10 ** random.uniform(0, 17.5))
    walk = []
    for _ in range(steps):
        kind = random.random()
        if kind < 0.3:
            price += random.choice((-1, 0, 1))
        elif kind < 0.75:
            price = round(price * math.exp(random.gauss(0.0, 0.01)))
        elif kind < 0.85:
            price = round(price, -random.randint(0, len(str(price))))
        else:
            price = round(price * math.exp(random.gauss(0.0, 0.5)))
        price = min(max(price, 1), _BOUND - 1)
        walk.append(price)
    return walk


# A venue without a run ----------------------------------------------------------------------------


@cache
def _prepared() -> Prepared:
    return prepare(load(small_scenario()))


class Floor:
    """A venue over balances set by hand, whose marks come one by one and whose clock stands."""

    def __init__(
        self,
        accounts: Sequence[tuple[int, ...]],
        *tiers: Tiers,
        due_at_zero: bool,
        buffer_e6: int = 0,
    ) -> None:
        base, count = _prepared(), len(accounts)
        first, venue = base.scenario.markets[0], base.scenario.venue
        tranches = attrs.evolve(venue.tranches, restore_buffer_e6=buffer_e6)
        scenario = attrs.evolve(
            base.scenario,
            markets=tuple(attrs.evolve(first, maintenance=tuple(of_leg)) for of_leg in tiers),
            venue=attrs.evolve(venue, due_at_zero=due_at_zero, tranches=tranches),
        )
        names = [str(number) for number in range(count)]
        nothing = np.zeros(count, dtype=np.int64)
        prepared = attrs.evolve(
            base,
            scenario=scenario,
            paths=base.paths * len(tiers),
            accounts=Accounts(names, names, nothing, np.arange(count), *[nothing] * 3),
        )
        self.sink = ListSink()
        simulation = Simulation(prepared, self.sink)
        self._context, self._ledger = simulation.context, simulation.world.ledger
        self.first = prepared.first_bucket
        for number, account in enumerate(accounts):
            self._set(number, account)
        self._venue = Venue(self._context, None)
        self._venue.open_books()
        margins = self._venue._margins
        self._watch = margins.watch
        margins.watch = self._count_watch  # type: ignore[method-assign]
        self.put_back = 0
        self.withdrawn: list[int] = []

    def _set(self, number: int, account: tuple[int, ...]) -> None:
        self._ledger.cash[self.first + number], *units = account
        self._ledger.units[:, self.first + number] = units

    def _count_watch(self, bucket: int) -> None:
        self.put_back += 1
        self._watch(bucket)

    def change(self, number: int, account: tuple[int, ...]) -> None:
        """Give an account other balances, as a deleveraging or the end of a liquidation does."""
        self._set(number, account)
        self._watch(self.first + number)

    def offer(self, number: int) -> None:
        """Put up an offer of an account that is due, as a tranche does."""
        bucket = self.first + number

        def close(reason: FailedCall) -> None:
            assert reason is FailedCall.RESTORED
            self.withdrawn.append(number)
            self._venue._margins.forget_restoration(bucket)

        self._venue._offers[bucket] = SimpleNamespace(close=close)  # type: ignore[assignment]
        self._venue._margins.watch_restoration(bucket)

    def mark(self, price_e8: int, market: int = 0) -> list[int]:
        """Land a mark and return whom it triggers, in order."""
        seen = len(self.sink.entries)
        update = OracleUpdated(
            market, price_e8, UpdateReason.DEVIATION, 1, 0, 0, 0, price_e8,
            price_e8, MarkBasis.INDEX, 0, 0, price_e8,
        )  # fmt: skip
        self._venue.mark_landed(market, self._context.journal.append(update))
        events = [entry.event for entry in self.sink.entries[seen + 1 :]]
        assert all(isinstance(event, LiquidationTriggered) for event in events)
        return [event.bucket_id - self.first for event in events]


def _tally(
    seen: Counter[str], accounts: dict[int, tuple[int, int]], price: int, tiers: Tiers
) -> None:
    for cash, quantity in accounts.values():
        if not quantity:
            continue
        seen["looks"] += 1
        seen["looks past int64"] += abs(quantity) * price >= _OVERFLOW
        seen["looks near the bounds"] += max(abs(cash), abs(quantity)) >= _BOUND // 10
        margin = scaled_margin(cash, quantity, price, tiers)
        if abs(margin) < ONE_UUSD:
            seen["margin within a micro-USD"] += 1
            seen["margin exactly zero"] += margin == 0
            seen["margin one unit above zero"] += margin == 1
            seen["margin one unit below zero"] += margin == -1


def test_index_triggers_whom_the_scan_finds_at_every_price() -> None:
    seen: Counter[str] = Counter()

    @cases(150)
    @given(st.integers(0, 2**63), some_tiers(), st.booleans())
    def it_does(seed: int, tiers: Tiers, due_at_zero: bool) -> None:
        random = Random(seed)
        walk = some_walk(random, random.randint(5, 30))
        count = random.randint(100, 400)
        accounts = [some_account(random, walk, tiers) for _ in range(count)]
        floor = Floor(accounts, tiers, due_at_zero=due_at_zero)
        calm = dict(enumerate(accounts))  # Those in liquidation are out of it.
        for step, price in enumerate(walk):
            expected = due_accounts(
                [(number, *account) for number, account in calm.items()],
                price,
                tiers,
                due_at_zero=due_at_zero,
            )
            _tally(seen, calm, price, tiers)

            assert floor.mark(price) == expected

            seen["triggered"] += len(expected)
            for number in expected:
                del calm[number]
            for _ in range(random.randint(0, 6)):
                number = random.randrange(count)
                seen["back from liquidation"] += number not in calm
                calm[number] = some_account(random, walk[step:], tiers)
                floor.change(number, calm[number])
                seen["changed"] += 1
        seen["put back"] += floor.put_back
        seen["due at zero"] += due_at_zero
        seen["several tiers"] += len(tiers) > 1

    it_does()

    assert_floors(
        seen,
        {
            "looks": 100_000,
            "looks past int64": 50_000,
            "looks near the bounds": 5_000,
            "margin within a micro-USD": 5_000,
            "margin exactly zero": 500,
            "margin one unit above zero": 50,
            "margin one unit below zero": 50,
            "triggered": 5_000,
            "changed": 2_000,
            "back from liquidation": 500,
            "put back": 2_000,
            "due at zero": 40,
            "several tiers": 40,
        },
    )


def _levels_apart(random: Random, price: int, tiers: Tiers, cash: int, quantity: int) -> list[int]:
    """Return the prices around the one at which a margin changes sign."""
    slope = slope_e14(quantity, tiers)
    level = -cash * ONE_UUSD // slope
    return [p for p in range(level - 2, level + 4) if 0 < p < _BOUND] or [price]


def test_an_account_is_triggered_at_the_first_price_beyond_its_level_and_not_before() -> None:
    seen: Counter[str] = Counter()

    @cases(100)
    @given(st.integers(0, 2**63), some_tiers(), st.booleans(), st.booleans())
    def it_is(seed: int, tiers: Tiers, due_at_zero: bool, is_watched: bool) -> None:
        random = Random(seed)
        for _ in range(10):
            price = round(10 ** random.uniform(0, 17.5))
            cash, quantity = some_account(random, [price], tiers)
            if not quantity:
                continue
            floor = Floor([(cash, quantity)], tiers, due_at_zero=due_at_zero)
            if is_watched:  # Then its level comes from the exact formula, not from floats.
                floor.change(0, (cash, quantity))
            walk = sorted(_levels_apart(random, price, tiers, cash, quantity))
            for at in walk if quantity < 0 else reversed(walk):  # From safety to danger.
                expected = due_accounts([(0, cash, quantity)], at, tiers, due_at_zero=due_at_zero)
                assert floor.mark(at) == expected
                if expected:
                    seen["triggered"] += 1
                    seen["triggered after a step"] += at != (walk[0] if quantity < 0 else walk[-1])
                    break

    it_is()

    assert_floors(seen, {"triggered": 500, "triggered after a step": 300})


# Buckets of many legs -----------------------------------------------------------------------------


def _due_buckets(
    buckets: dict[int, tuple[int, ...]],
    market: int,
    prices: list[int],
    tiers: list[Tiers],
    *,
    due_at_zero: bool,
) -> list[int]:
    """Return the due ones with a leg in *market*, weakest margin per notional first."""
    found = []
    for number, (cash, *quantities) in buckets.items():
        legs = list(zip(quantities, prices, tiers, strict=True))
        margin = cash * ONE_UUSD + sum(price * slope_e14(q, of_leg) for q, price, of_leg in legs)
        if quantities[market] and is_due(margin, due_at_zero=due_at_zero):
            notional = sum(abs(quantity) * price for quantity, price, _ in legs)
            found.append((Fraction(margin, notional), number))
    return [number for _, number in sorted(found)]


def test_the_radius_index_triggers_whom_the_scan_finds_at_every_price() -> None:
    seen: Counter[str] = Counter()

    @cases(120)
    @given(st.integers(0, 2**63), st.lists(some_tiers(), min_size=2, max_size=3), st.booleans())
    def it_does(seed: int, tiers: list[Tiers], due_at_zero: bool) -> None:
        random = Random(seed)
        walks = [some_walk(random, random.randint(5, 20)) for _ in tiers]
        count = random.randint(50, 200)

        def account(prices: list[int], *, least: int) -> tuple[int, ...]:
            while True:
                cash, quantities = some_bucket(random, prices, tiers)
                if sum(map(bool, quantities)) >= least:
                    return cash, *quantities

        def somewhere() -> list[int]:
            return [random.choice(walk) for walk in walks]

        calm = {number: account(somewhere(), least=2) for number in range(count)}
        floor = Floor(list(calm.values()), *tiers, due_at_zero=due_at_zero)
        prices = [0] * len(tiers)
        turns = [market for market, walk in enumerate(walks) for _ in walk]
        random.shuffle(turns)
        left = [iter(walk) for walk in walks]
        for market in turns:
            prices[market] = next(left[market])
            expected = []
            if all(prices):
                expected = _due_buckets(calm, market, prices, tiers, due_at_zero=due_at_zero)
            seen["waits for all marks"] += not all(prices)

            assert floor.mark(prices[market], market) == expected

            seen["triggered"] += len(expected)
            seen["not triggered"] += len(calm) - len(expected)
            for number in expected:
                del calm[number]
            for _ in range(random.randint(0, 6)):
                number = random.randrange(count)
                seen["back from liquidation"] += number not in calm
                calm[number] = account(prices if all(prices) else somewhere(), least=0)
                floor.change(number, calm[number])
                seen["changed"] += 1
        seen["put back"] += floor.put_back

    it_does()

    assert_floors(
        seen,
        {
            "waits for all marks": 120,
            "triggered": 3_000,
            "not triggered": 50_000,
            "changed": 1_500,
            "back from liquidation": 300,
            "put back": 1_000,
        },
    )


# Restorations -------------------------------------------------------------------------------------


def _restored(
    offered: dict[int, tuple[int, ...]],
    prices: list[int],
    tiers: list[Tiers],
    *,
    buffer_e6: int,
    due_at_zero: bool,
) -> list[int]:
    """Return those whose margin above the buffer is not due, by number."""
    found = []
    for number, (cash, *quantities) in offered.items():
        margin = cash * ONE_UUSD
        for quantity, price, of_leg in zip(quantities, prices, tiers, strict=True):
            asked = quantity * 10**6 - slope_e14(quantity, of_leg)
            asked += -(-asked * buffer_e6 // 10**6)
            margin += price * (quantity * 10**6 - asked)
        if not is_due(margin, due_at_zero=due_at_zero):
            found.append(number)
    return sorted(found)


def test_offers_are_withdrawn_that_the_scan_finds_restored_and_by_number() -> None:
    seen: Counter[str] = Counter()

    @cases(60)
    @given(
        st.integers(0, 2**63),
        st.lists(some_tiers(), min_size=1, max_size=3),
        st.booleans(),
        st.sampled_from((0, 100_000)),
    )
    def they_are(seed: int, tiers: list[Tiers], due_at_zero: bool, buffer_e6: int) -> None:
        random = Random(seed)
        walks = [some_walk(random, random.randint(8, 20)) for _ in tiers]
        accounts = []
        while len(accounts) < 150:
            cash, quantities = some_bucket(random, [random.choice(walk) for walk in walks], tiers)
            if any(quantities):
                accounts.append((cash, *quantities))
        floor = Floor(accounts, *tiers, due_at_zero=due_at_zero, buffer_e6=buffer_e6)
        calm, offered = dict(enumerate(accounts)), dict[int, tuple[int, ...]]()
        # Isolated accounts are judged from the first mark of their market on.
        prices = [walk[0] for walk in walks]
        for market, price in enumerate(prices):
            for number in floor.mark(price, market):
                offered[number] = calm.pop(number)
        for number in random.sample(sorted(offered), len(offered)):
            floor.offer(number)
        turns = [market for market, walk in enumerate(walks) for _ in walk[1:]]
        random.shuffle(turns)
        left = [iter(walk[1:]) for walk in walks]
        for market in turns:
            prices[market] = next(left[market])
            due = _due_buckets(calm, market, prices, tiers, due_at_zero=due_at_zero)
            expected = _restored(
                offered, prices, tiers, buffer_e6=buffer_e6, due_at_zero=due_at_zero
            )
            floor.withdrawn.clear()

            assert floor.mark(prices[market], market) == due
            assert floor.withdrawn == expected

            seen["restored"] += len(expected)
            seen["restored cross"] += sum(sum(map(bool, accounts[n][1:])) > 1 for n in expected)
            seen["marks that restore several"] += len(expected) > 1
            seen["not restored"] += len(offered) - len(expected)
            for number in expected:
                calm[number] = offered.pop(number)
                floor.change(number, calm[number])
            for number in random.sample(due, len(due)):  # They wait for reaction and spacing.
                offered[number] = calm.pop(number)
                floor.offer(number)

    they_are()

    floors = {
        "restored": 3_500,
        "restored cross": 1_200,
        "marks that restore several": 400,
        "not restored": 70_000,
    }
    assert_floors(seen, floors)


# Candidates of many legs --------------------------------------------------------------------------


def some_bucket(random: Random, prices: list[int], tiers: list[Tiers]) -> tuple[int, list[int]]:
    """Return cash and one quantity per leg, often with a margin near or at zero."""
    quantities = []
    for price, leg_tiers in zip(prices, tiers, strict=True):
        quantities.append(random.choice((-1, 0, 1)) * some_size(random, price))
        assert leg_tiers[0][0] == 0
    kind, leg = random.random(), random.randrange(len(prices))
    others = sum(
        price * slope_e14(quantity, leg_tiers)
        for number, (price, quantity, leg_tiers) in enumerate(
            zip(prices, quantities, tiers, strict=True)
        )
        if number != leg
    )
    target = random.choice((-1, 0, 1))
    sign = random.choice((-1, 1))
    size = size_with_residue(random, prices[leg], tiers[leg], sign, (target - others) % ONE_UUSD)
    if size and kind < 0.4:
        quantities[leg] = sign * size
    value = others + prices[leg] * slope_e14(quantities[leg], tiers[leg])
    if kind < 0.4:
        cash = (target - value) // ONE_UUSD
    elif kind < 0.8:
        cash = -(value // ONE_UUSD) + random.choice((-1, 0, 1)) * round(10 ** random.uniform(0, 15))
    else:
        cash = random.randrange(1 - _BOUND, _BOUND)
    return max(min(cash, _BOUND - 1), 1 - _BOUND), quantities


def test_candidates_hold_everyone_who_is_due_and_few_others() -> None:
    seen: Counter[str] = Counter()

    @cases(150)
    @given(
        st.integers(0, 2**63),
        st.lists(some_tiers(), min_size=1, max_size=3),
    )
    def they_do(seed: int, tiers: list[Tiers]) -> None:
        random = Random(seed)
        prices = [round(10 ** random.uniform(0, 17.5)) for _ in tiers]
        buckets = [some_bucket(random, prices, tiers) for _ in range(200)]
        cash = np.array([bucket[0] for bucket in buckets], dtype=np.int64)
        units = np.array([bucket[1] for bucket in buckets], dtype=np.int64).T.copy()
        slopes = slopes_of(units, [tuple(leg) for leg in tiers])
        for is_second in (False, True):
            if is_second:
                prices = [max(price + random.choice((-1, 0, 1)), 1) for price in prices]
            candidates = margin_candidates(cash, slopes, prices).tolist()
            assert candidates == sorted(set(candidates))
            proposed = set(candidates)
            for row, (amount, quantities) in enumerate(buckets):
                values = [
                    price * slope_e14(quantity, leg_tiers)
                    for price, quantity, leg_tiers in zip(prices, quantities, tiers, strict=True)
                ]
                margin = amount * ONE_UUSD + sum(values)
                gross = sum(
                    price * abs(quantity) * 10**6
                    for price, quantity in zip(prices, quantities, strict=True)
                )
                if margin <= 0:
                    assert row in proposed
                elif row in proposed:
                    seen["proposed, not due"] += 1
                    assert margin * 10**9 <= gross + ONE_UUSD * 10**9
                seen["due"] += margin < 0
                seen["exactly zero"] += margin == 0
                seen["one unit off"] += abs(margin) == 1
                seen["past int64"] += gross >= _OVERFLOW * 10**6
        seen["several legs"] += len(tiers) > 1

    they_do()

    assert_floors(
        seen,
        {
            "due": 2_000,
            "exactly zero": 200,
            "one unit off": 100,
            "past int64": 5_000,
            "proposed, not due": 500,
            "several legs": 40,
        },
    )


def test_candidates_do_not_depend_on_where_a_block_ends() -> None:
    random = Random(5)
    price, tiers = 194_61 * 10**6, ((0, 5_000), (10**10, 10_001))
    accounts = [some_account(random, [price], tiers) for _ in range(2_000)]
    rows = [random.randrange(len(accounts)) for _ in range(40_000)]
    cash = np.array([accounts[row][0] for row in rows], dtype=np.int64)
    units = np.array([[accounts[row][1] for row in rows]], dtype=np.int64)

    candidates = set(margin_candidates(cash, slopes_of(units, [tiers]), [price]).tolist())

    margins = [scaled_margin(*account, price, tiers) for account in accounts]
    assert {n for n, row in enumerate(rows) if margins[row] <= 0} <= candidates


# Whole runs ---------------------------------------------------------------------------------------


def check_scan(raw: dict[str, Any], seen: Counter[str]) -> None:
    """Hold every trigger of a run against a scan of all accounts at that instant."""
    judges = OracleUpdated | BookSampled | MaintenanceChanged | CoinHaircutChanged | FundingSet
    prepared = prepare(load(raw))
    sink = ListSink()
    Simulation(prepared, sink).run()
    first, venue = prepared.first_bucket, prepared.scenario.venue
    markets = range(len(prepared.scenario.markets))
    at_start = [m.maintenance or m.maintenance_usd for m in prepared.scenario.markets]
    by_notional = [bool(m.maintenance_usd) for m in prepared.scenario.markets]
    opened = Counter(first + row for row in prepared.accounts.rows.tolist())
    triggered = defaultdict(list)
    for entry in sink.entries:
        if isinstance(entry.event, LiquidationTriggered):
            triggered[entry.cause_seq].append(entry.event.bucket_id)
    fold, before = Fold(), set[int]()
    payments = Counter(
        entry.cause_seq for entry in sink.entries if isinstance(entry.event, FundingPaid)
    )
    # Funding is judged once everybody has paid.
    for entry in sorted(sink.entries, key=lambda e: (e.seq + payments[e.seq], -e.seq)):
        fold.apply(entry)
        event = entry.event
        if isinstance(event, TradeFilled):
            opened[event.bucket_id] = opened[event.bucket_id] or 1  # Maybe it has just arrived.
        if not isinstance(event, judges):
            continue
        if event.market_id not in fold.marks_e8:
            continue  # There is nothing yet to judge at.
        tiers = [
            [(start, -(-rate * fold.maintenance_e6.get(m, 10**6) // 10**6)) for start, rate in t]
            for m, t in enumerate(at_start)
        ]
        busy = {trigger.bucket_id for trigger in fold.open_liquidations.values()}
        prices = [fold.marks_e8.get(market, 0) for market in markets]
        rules = [
            KinkedRule(
                of_leg,
                is_by,
                venue.margin.unrealised_haircut_e6,
                spec.contract == "inverse",
                fold.coin_haircuts_e6.get(m, venue.margin.coin_haircut_e6),
            )
            for m, (of_leg, is_by, spec) in enumerate(
                zip(tiers, by_notional, prepared.scenario.markets, strict=True)
            )
        ]
        calm = {
            bucket: (
                fold.cash_uusd[bucket],
                [
                    (
                        fold.units_e8[m, bucket],
                        fold.entry_prices_e8.get((m, bucket), 0),
                        fold.coins_e8.get((m, bucket), 0),
                    )
                    for m in markets
                ],
            )
            for bucket, legs in opened.items()
            if bucket not in busy and (legs == 1 or all(prices))
        }
        expected = due_buckets(calm, event.market_id, prices, rules, due_at_zero=venue.due_at_zero)
        seen["kinked"] += any(by_notional) or venue.margin.unrealised_haircut_e6 > 0
        assert triggered.pop(entry.seq, []) == expected
        seen["with coins"] += sum(any(leg[2] for leg in calm[b][1]) for b in expected)
        seen["marks"] += 1
        seen["marks that trigger"] += bool(expected)
        seen["triggered"] += len(expected)
        seen["triggered by new rules"] += len(expected) * isinstance(event, MaintenanceChanged)
        seen["triggered by haircuts"] += len(expected) * isinstance(event, CoinHaircutChanged)
        seen["triggered cross"] += sum(opened[bucket] > 1 for bucket in expected)
        seen["triggered again"] += len(before.intersection(expected))
        before.update(expected)
    assert not triggered


def test_every_mark_of_random_runs_triggers_whom_the_scan_finds() -> None:
    seen: Counter[str] = Counter()

    @cases(60)
    @given(st.one_of(scenarios("engine"), scenarios("keepers")))
    def it_does(raw: dict[str, Any]) -> None:
        check_scan(raw, seen)

    it_does()

    floors = {
        "marks": 500,
        "marks that trigger": 50,
        "triggered": 100,
        "triggered by new rules": 10,
        "triggered cross": 10,
        "kinked": 150,
        "with coins": 20,
    }
    assert_floors(seen, floors)


def test_every_change_of_a_haircut_triggers_whom_the_scan_finds() -> None:
    seen: Counter[str] = Counter()

    for start in (Decimal("0.1"), Decimal("0.2"), Decimal("0.3")):
        check_scan(cut_short(venue__margin__coin_haircut=start), seen)

    assert_floors(seen, {"triggered by haircuts": 5, "with coins": 50})
