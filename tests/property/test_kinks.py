"""
Margins with kinks: tiers by notional, and a haircut on unrealised profit.

`support.plain_scan.KinkedRule` is the definition, in Python integers. Pieces, trigger prices,
restorations and both indexes must agree with it, most of all around the prices at which another
tier begins to count and at which a profit begins to be cut.
"""

from collections import Counter
from collections.abc import Sequence
from functools import cache
from operator import attrgetter
from random import Random

import attrs
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from support.effort import cases
from support.floors import assert_floors
from support.plain_scan import ONE_UUSD, KinkedRule, due_buckets, is_due
from support.restoring import restore_price
from support.scenarios import load, small_scenario
from support.sinks import ListSink

from liqsim.mechanics.margin import (
    MarginRule,
    maintenance_at,
    phi,
    pieces,
    trigger_price_e8,
)
from liqsim.mechanics.population import Accounts
from liqsim.processes.margins import LiveHoldings, Margins
from liqsim.runner import Prepared, Simulation, prepare

_BOUND = 10**18
_RATES = (0, 1, 4_000, 10_001, 20_000, 49_999, 125_000, 300_000)
_HAIRCUTS = (0, 1, 100_000, 333_333, 600_000)
_BUFFERS = (0, 0, 1, 100_000, 1_000_000)
seeds = st.integers(0, 2**63)


def some_rule(random: Random) -> KinkedRule:
    """Return a rule, mostly with kinks."""
    rates = sorted(random.sample(_RATES, random.randint(1, 4)))
    # Sizes in 1e-8 units and notionals in 1e-6 USD, of like spread.
    starts = sorted({0, *(round(10 ** random.uniform(2, 16)) for _ in rates[1:])})
    tiers = tuple(zip(starts, rates, strict=False))
    return KinkedRule(tiers, random.random() < 0.7, random.choice(_HAIRCUTS))


def as_written(rule: KinkedRule) -> MarginRule:
    return MarginRule(tuple(rule.tiers), rule.is_by_notional, rule.haircut_e6)


def some_price(random: Random) -> int:
    return round(10 ** random.uniform(4, 14))


def some_position(random: Random, rule: KinkedRule, price: int) -> tuple[int, int]:
    """Return quantity and entry price of a position that often has a kink near *price*."""
    size = max(round(10 ** random.uniform(0, 27) / price), 1)
    size = min(size, 10**15)
    if rule.is_by_notional and len(rule.tiers) > 1 and random.random() < 0.6:
        start, _ = random.choice(rule.tiers[1:])
        size = min(max(start * 10**10 // price, 1), 10**16)
    kind = random.random()
    entry = price
    if kind < 0.4:
        entry += random.choice((-1, 0, 1))
    elif kind < 0.8:
        entry = round(price * random.uniform(0.9, 1.1))
    else:
        entry = round(price * 10 ** random.uniform(-1, 1))
    return random.choice((-1, 1)) * size, max(entry, 1)


def near_zero(random: Random, share: int) -> int:
    """Return cash that leaves a margin at zero, or near it."""
    spread = random.choice((0, 0, 1, 10 ** random.randint(0, 9)))
    cash = -(share // ONE_UUSD) + random.randint(-spread, spread)
    return max(min(cash, _BOUND - 1), 1 - _BOUND)


def kinds_of(rule: KinkedRule, quantity: int, entry: int, price: int) -> set[str]:
    """Return what binds in the margin of a position."""
    kinds = set()
    if rule.is_by_notional and any(
        abs(quantity) * price > start * 10**10 for start, _ in rule.tiers[1:]
    ):
        kinds.add("higher tier")
    if rule.haircut_e6 and quantity * (price - entry) > 0:
        kinds.add("haircut")
    return kinds


# Pieces and prices --------------------------------------------------------------------------------


def test_the_least_piece_is_the_definition() -> None:
    census: Counter[str] = Counter()

    @cases(40)
    @given(seeds)
    def check(seed: int) -> None:
        random = Random(seed)
        for _ in range(50):
            rule, price = some_rule(random), some_price(random)
            quantity, entry = some_position(random, rule, price)
            of = pieces(as_written(rule), quantity, entry)

            for at in (price, price - 1, price + 1, some_price(random)):
                assert phi(of, at) == rule.share(quantity, entry, at)
                no_haircut = attrs.evolve(rule, haircut_e6=0)
                asked = quantity * at * 10**6 - no_haircut.share(quantity, entry, at)
                assert maintenance_at(as_written(rule), abs(quantity), at) == asked
                census.update(kinds_of(rule, quantity, entry, at))
            if quantity > 0:
                assert all(slope > 0 for slope, _ in of)
            census["pieces"] += len(of) > 1

    check()
    assert_floors(census, {"higher tier": 700, "haircut": 1_500, "pieces": 1_000})


def test_trigger_and_restore_prices_are_the_first_ones() -> None:
    census: Counter[str] = Counter()

    @cases(80)
    @given(seeds)
    def check(seed: int) -> None:
        random = Random(seed)
        for _ in range(50):
            _check_prices(random, census)

    check()
    assert_floors(
        census,
        {
            "due: higher tier": 400,
            "due: haircut": 300,
            "due: higher tier, haircut": 60,
            "restored: higher tier": 400,
            "restored: haircut": 300,
            "kink at the trigger": 100,
            "due at zero exactly": 100,
            "long": 1_000,
            "short": 1_000,
        },
    )


def _check_prices(random: Random, census: Counter[str]) -> None:
    rule, price, due_at_zero = some_rule(random), some_price(random), random.random() < 0.5
    quantity, entry = some_position(random, rule, price)
    cash, is_long = near_zero(random, rule.share(quantity, entry, price)), quantity > 0
    towards_danger = -1 if is_long else 1
    buffer_e6 = random.choice(_BUFFERS)
    if rule.tiers[-1][1] * (10**6 + buffer_e6) // 10**6 + rule.haircut_e6 >= 10**6 - 1:
        buffer_e6 = 0

    def due(at: int, raised_e6: int = 0) -> bool:
        margin = cash * ONE_UUSD + rule.share(quantity, entry, at, raised_e6)
        return is_due(margin, due_at_zero=due_at_zero)

    of = pieces(as_written(rule), quantity, entry)
    level = trigger_price_e8(cash, of, is_long=is_long, due_at_zero=due_at_zero)
    if level is None:
        assert is_long
        assert not due(1)
    else:
        assert due(level)
        assert due(max(level + towards_danger, 1))
        assert not due(level - towards_danger) or (level == 1 and not is_long)
        binding = ", ".join(sorted(kinds_of(rule, quantity, entry, level), reverse=True))
        census[f"due: {binding}"] += 1
        beside = kinds_of(rule, quantity, entry, level - towards_danger)
        census["kink at the trigger"] += beside != kinds_of(rule, quantity, entry, level)
        census["due at zero exactly"] += due_at_zero and (
            cash * ONE_UUSD + rule.share(quantity, entry, level) == 0
        )
        census["long" if is_long else "short"] += 1
    raised = pieces(as_written(rule), quantity, entry, buffer_e6)
    level = restore_price(cash, raised, is_long=is_long, due_at_zero=due_at_zero)
    if level is None:
        assert not is_long
        assert due(1, buffer_e6)
        return
    assert not due(level, buffer_e6)
    if level > 1 or not is_long:
        # A raised weight is rounded up to 1e-14 units, so that a hair above zero is not enough.
        at, hair = level + towards_danger, 2 * level * (buffer_e6 > 0)
        margin = cash * ONE_UUSD + rule.share(quantity, entry, at, buffer_e6)
        assert is_due(margin - hair, due_at_zero=due_at_zero)
    for kind in kinds_of(rule, quantity, entry, level):
        census[f"restored: {kind}"] += 1


# The indexes --------------------------------------------------------------------------------------


@cache
def _prepared() -> Prepared:
    return prepare(load(small_scenario()))


Bucket = tuple[int, list[tuple[int, int]]]
"""Cash, and (quantity, entry price) in every market."""


class Floor:
    """The margins of buckets set by hand, whose marks come one by one."""

    def __init__(
        self, buckets: Sequence[Bucket], rules: Sequence[KinkedRule], *, due_at_zero: bool
    ) -> None:
        base, count = _prepared(), len(buckets)
        first, venue = base.scenario.markets[0], base.scenario.venue
        markets = tuple(
            attrs.evolve(
                first,
                maintenance=() if rule.is_by_notional else tuple(rule.tiers),
                maintenance_usd=tuple(rule.tiers) if rule.is_by_notional else (),
            )
            for rule in rules
        )
        # All markets of a venue share the haircut.
        margin = attrs.evolve(venue.margin, unrealised_haircut_e6=rules[0].haircut_e6)
        venue = attrs.evolve(venue, due_at_zero=due_at_zero, margin=margin)
        names, nothing = [str(n) for n in range(count)], np.zeros(count, dtype=np.int64)
        prepared = attrs.evolve(
            base,
            scenario=attrs.evolve(base.scenario, markets=markets, venue=venue),
            paths=base.paths * len(rules),
            accounts=Accounts(names, names, nothing, np.arange(count), *[nothing] * 3),
        )
        simulation = Simulation(prepared, ListSink())
        self._world, self._desks = simulation.world, simulation.context.markets
        self.first = prepared.first_bucket
        for number, bucket in enumerate(buckets):
            self._set(number, bucket)
        holdings = LiveHoldings.of(self._world)
        self._margins = Margins(simulation.context, holdings, attrgetter("mark_e8"))
        self._margins.open_books()

    def _set(self, number: int, bucket: Bucket) -> None:
        owner, (cash, legs) = self.first + number, bucket
        self._world.ledger.cash[owner] = cash
        for market, (quantity, entry) in enumerate(legs):
            self._world.ledger.units[market, owner] = quantity
            self._world.entry_e8[market, owner] = entry

    def change(self, number: int, bucket: Bucket) -> None:
        self._set(number, bucket)
        self._margins.watch(self.first + number)

    def mark(self, market: int, price_e8: int) -> list[int]:
        """Land a mark and return who is due, in order."""
        desk = self._desks[market]
        desk.state.set_mark(price_e8, 0, 0, 0)
        self._margins.mark_moved(desk)
        return [bucket - self.first for bucket, _ in self._margins.now_due(desk)]


def some_bucket(random: Random, prices: Sequence[int], rules: Sequence[KinkedRule]) -> Bucket:
    """Return a bucket with one or more legs whose margin is often near zero at *prices*."""
    legs = [some_position(random, rule, price) for rule, price in zip(rules, prices, strict=True)]
    if len(rules) == 1 or random.random() < 0.3:  # Isolated.
        kept = random.randrange(len(rules))
        legs = [leg if number == kept else (0, 0) for number, leg in enumerate(legs)]
    share = sum(
        rule.share(*leg, price) for rule, leg, price in zip(rules, legs, prices, strict=True)
    )
    return near_zero(random, share), legs


def test_the_indexes_find_whom_the_scan_finds() -> None:
    census: Counter[str] = Counter()

    @cases(100)
    @given(seeds, st.integers(1, 3), st.booleans())
    def they_do(seed: int, market_count: int, due_at_zero: bool) -> None:
        random = Random(seed)
        haircut_e6 = random.choice(_HAIRCUTS)
        rules = [
            attrs.evolve(some_rule(random), haircut_e6=haircut_e6) for _ in range(market_count)
        ]
        # Walks of a few per cent, so that kinks are crossed on the way.
        walks = [_walk(random, 12) for _ in rules]

        def somewhere() -> list[int]:
            return [random.choice(walk) for walk in walks]

        calm = {n: some_bucket(random, somewhere(), rules) for n in range(120)}
        everyone = dict(calm)
        floor = Floor(list(calm.values()), rules, due_at_zero=due_at_zero)
        prices = [0] * market_count
        for turn in range(12):
            for market, walk in enumerate(walks):
                prices[market] = walk[turn]
                judged = {
                    n: (cash, legs)
                    for n, (cash, legs) in calm.items()
                    if all(prices) or sum(quantity != 0 for quantity, _ in legs) == 1
                }
                expected = due_buckets(judged, market, prices, rules, due_at_zero=due_at_zero)

                assert floor.mark(market, prices[market]) == expected

                for n in expected:
                    legs = calm.pop(n)[1]
                    for rule, leg, price in zip(rules, legs, prices, strict=True):
                        census.update(kinds_of(rule, *leg, price))
                    census["triggered"] += 1
                    census["triggered cross"] += sum(q != 0 for q, _ in legs) > 1
                for _ in range(3):  # An isolated bucket stays in its market.
                    n = random.choice(sorted(everyone))
                    held = [q != 0 for q, _ in everyone[n][1]]
                    fresh = some_bucket(random, [walk[turn] for walk in walks], rules)
                    if [q != 0 for q, _ in fresh[1]] == held:
                        calm[n] = fresh
                        floor.change(n, fresh)
                        census["changed"] += 1

    they_do()
    assert_floors(
        census,
        {
            "triggered": 3_000,
            "triggered cross": 1_000,
            "higher tier": 1_000,
            "haircut": 1_000,
            "changed": 1_500,
        },
    )


def _walk(random: Random, steps: int) -> list[int]:
    price = some_price(random)
    walk = []
    for _ in range(steps):
        kind = random.random()
        if kind < 0.3:
            price += random.choice((-1, 0, 1))
        elif kind < 0.9:
            price = round(price * random.uniform(0.97, 1.03))
        else:
            price = round(price * random.uniform(0.3, 3.0))
        price = max(price, 2)
        walk.append(price)
    return walk
