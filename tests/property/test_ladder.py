"""
The ladder is a recount over accounts, its depth what the live book gives, b both together.

The recount looks at every account at every per cent, in fractions; the book is asked as the world
has it. At the start, b is what the runner says before it runs.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.effort import cases
from support.floors import assert_floors
from support.scenarios import HANDMADE, Raw, load, scenarios, scenarios_from_files

from liqsim.eventlog.writer import EventLogWriter
from liqsim.events import (
    CoinHaircutChanged,
    DepthChanged,
    Entry,
    InventorySold,
    OrderFilled,
    PositionReduced,
    TradeFilled,
)
from liqsim.mechanics.branching import units_due
from liqsim.mechanics.liquidity import FrictionlessBook, Liquidity
from liqsim.mechanics.margin import margin_rules
from liqsim.mechanics.paths import ReferencePath
from liqsim.runner import Prepared, Simulation, prepare
from liqsim.world.markets import BookState
from replay.fold import Fold
from replay.log import Log

_STEPS = range(31)
_SIGNS = {"long": -1, "short": 1}
_FLOAT = 1e-9


@attrs.frozen
class World:
    """
    A run in its log, and what may be asked of it besides.

    Attributes:
        prepared: What was drawn before it.
        books: The live books.
        calm: Their states at the start.
        references: The reference paths that it had.
        log: Its log.
        entries: Its events.
    """

    prepared: Prepared
    books: tuple[Liquidity, ...]
    calm: tuple[BookState, ...]
    references: tuple[ReferencePath, ...]
    log: Log
    entries: Sequence[Entry]

    def book(self, market: int, seq: int) -> BookState:
        """Return the state of a book right after event *seq*."""
        state = self.calm[market]
        for entry in self.entries[: seq + 1]:
            match entry.event:
                case OrderFilled() | InventorySold() | TradeFilled() | PositionReduced() if (
                    entry.event.market_id == market
                ):
                    state = state.traded(entry.sim_time_us, entry.event.quantity_e8, entry.seq)
                case DepthChanged() if entry.event.market_id == market:
                    event = entry.event
                    state = state.with_depth(
                        entry.sim_time_us, event.multiplier_e6, event.half_life_us
                    )
        return state


def run_into(path: Path, raw: Raw) -> World:
    """Run a scenario and open its log."""
    prepared = prepare(load(raw))
    writer = EventLogWriter.create(path, prepared.header())
    simulation = Simulation(prepared, writer)
    desks = simulation.context.markets
    calm = tuple(desk.state.book for desk in desks)
    simulation.run()
    references = [(path.step_us, path.prices_e8) for path in simulation.references]
    writer.seal(0.0, references if prepared.scenario.is_purging else ())
    log = Log(path)
    books = tuple(desk.liquidity for desk in desks)
    return World(prepared, books, calm, simulation.references, log, list(log.entries()))


Key = tuple[str, str, int]
"""Market, side, step."""


def recounted(world: World, fold: Fold, at_us: int, census: Counter[str]) -> dict[Key, list[int]]:
    """Return (accounts, units) per market, side and step, account by account."""
    scenario = world.prepared.scenario
    marks = [
        Fraction(fold.marks_e8.get(number) or path.at(at_us), 10**8)
        for number, path in enumerate(world.references)
    ]
    busy = {trigger.bucket_id for trigger in fold.open_liquidations.values()}
    tiers = [
        [
            (start, math.ceil(rate * Fraction(fold.maintenance_e6.get(number, 10**6), 10**6)))
            for start, rate in market.maintenance or market.maintenance_usd
        ]
        for number, market in enumerate(scenario.markets)
    ]
    haircut = Fraction(scenario.venue.margin.unrealised_haircut_e6, 10**6)

    at_start = scenario.venue.margin.coin_haircut_e6
    in_coins = [
        1 - Fraction(fold.coin_haircuts_e6.get(number, at_start), 10**6)
        for number in range(len(scenario.markets))
    ]

    def share(owner: int, leg: int, size: Fraction, price: Fraction) -> Fraction:
        """Return what a leg adds to a margin."""
        profit = size * (price - Fraction(fold.entry_prices_e8[leg, owner], 10**8))
        counted = price * size - max(haircut * profit, Fraction(0))
        counted += Fraction(fold.coins_e8[leg, owner], 10**8) * price * in_coins[leg]
        if scenario.markets[leg].is_inverse:
            entered = Fraction(fold.entry_prices_e8[leg, owner], 10**8)
            return counted - _maintained(tiers[leg], size * entered, 10**6)
        if scenario.markets[leg].maintenance_usd:
            return counted - _maintained(tiers[leg], size * price, 10**6)
        return counted - price * _maintained(tiers[leg], size)

    held: defaultdict[int, dict[int, Fraction]] = defaultdict(dict)
    for (market, owner), units in fold.units_e8.items():
        if units and owner >= world.prepared.first_bucket:
            held[owner][market] = Fraction(units, 10**8)
    census["accounts in liquidation"] += len(busy)
    found: defaultdict[Key, list[int]] = defaultdict(lambda: [0, 0])
    for owner, legs in held.items():
        if owner in busy:
            continue
        for market, units in legs.items():
            side = "long" if units > 0 else "short"
            for step in _STEPS:
                prices = list(marks)
                prices[market] *= 1 + Fraction(_SIGNS[side] * step, 100)
                margin = Fraction(fold.cash_uusd[owner], 10**6) + sum(
                    share(owner, leg, size, prices[leg]) for leg, size in legs.items()
                )
                if margin < 0 or (margin == 0 and scenario.venue.due_at_zero):
                    cell = found[scenario.markets[market].name, side, step]
                    cell[0] += 1
                    size = abs(units)
                    if scenario.markets[market].is_inverse:
                        entered = Fraction(fold.entry_prices_e8[market, owner], 10**8)
                        size = Fraction(math.ceil(size * entered / marks[market] * 10**8), 10**8)
                        census["inverse contracts"] += 1
                    cell[1] += int(size * 10**8)
                    census["with coins"] += fold.coins_e8[market, owner] > 0
                    census["due at the mark" if step == 0 else "due further on"] += 1
                    census["legs of cross accounts"] += len(legs) > 1
                    is_by_notional = bool(scenario.markets[market].maintenance_usd)
                    census["in a higher tier"] += not is_by_notional and _is_tiered(
                        tiers[market], units
                    )
                    census["in a higher tier of notional"] += is_by_notional and _is_tiered(
                        tiers[market], units * prices[market], 10**6
                    )
                    entry = Fraction(fold.entry_prices_e8[market, owner], 10**8)
                    census["with a profit that counts in part"] += (
                        haircut > 0 and units * (prices[market] - entry) > 0
                    )
                    census["under another haircut on coins"] += (
                        fold.coins_e8[market, owner] > 0 and market in fold.coin_haircuts_e6
                    )
                    census["under other rates"] += market in fold.maintenance_e6
                    census["a margin of zero"] += margin == 0
                    break
    return dict(found)


def _maintained(tiers: Sequence[tuple[int, int]], units: Fraction, scale: int = 10**8) -> Fraction:
    size, total = abs(units), Fraction(0)
    ends = [*(start for start, _ in tiers[1:]), None]
    for (start_e8, rate_e6), end_e8 in zip(tiers, ends, strict=True):
        start = Fraction(start_e8, scale)
        end = size if end_e8 is None else min(size, Fraction(end_e8, scale))
        total += max(end - start, Fraction(0)) * Fraction(rate_e6, 10**6)
    return total


def _is_tiered(tiers: Sequence[tuple[int, int]], units: Fraction, scale: int = 10**8) -> bool:
    return len(tiers) > 1 and abs(units) * scale > tiers[1][0]


def _rows(relation: Any) -> list[dict[str, Any]]:
    return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]


def check_counts(rows: Sequence[Mapping[str, Any]], right: Mapping[Key, Sequence[int]]) -> None:
    """Hold the ladder against a recount, to the unit."""
    totals: Counter[tuple[str, str]] = Counter()
    for row in rows:
        market, side, step = row["market"], row["side"], row["step"]
        accounts, units = right.get((market, side, step), (0, 0))
        assert (row["accounts"], int(row["units"].scaleb(8))) == (accounts, units), row
        totals[market, side] += units
        assert int(row["units_within"].scaleb(8)) == totals[market, side]
        mark = Fraction(row["price"]) / (1 + Fraction(_SIGNS[side] * step, 100))
        assert Fraction(row["due_usd"]) == Fraction(units, 10**8) * mark
        assert Fraction(row["due_within_usd"]) == Fraction(totals[market, side], 10**8) * mark
    assert len(rows) == len({(r["market"], r["side"], r["step"]) for r in rows})
    assert {(r["market"], r["side"], r["step"]) for r in rows} >= set(right)


def check_book(
    world: World, rows: Sequence[Mapping[str, Any]], seq: int, at_us: int, census: Counter[str]
) -> None:
    """Hold depth, impact and b of the ladder against the live book, fill by fill."""
    names = [market.name for market in world.prepared.scenario.markets]
    states = {name: world.book(number, seq) for number, name in enumerate(names)}
    for row in rows:
        number, sign = names.index(row["market"]), _SIGNS[row["side"]]
        book, state = world.books[number], states[row["market"]]

        def filled(
            units: float, book: Any = book, state: Any = state, sign: int = sign
        ) -> tuple[int, float]:
            """Return how much of an order is filled, and how far that moves the log price."""
            order = round(units * 1e8)
            fill = book.fill(state, at_us, 10**10, sign * order, None) if order else None
            if fill is None:
                return 0, 0.0
            after = state.traded(at_us, fill.quantity_e8, 0)
            moved = book.displacement(after, at_us) - book.displacement(state, at_us)
            return abs(fill.quantity_e8), sign * moved

        distance = abs(math.log1p(sign * row["step"] / 100))
        if isinstance(book, FrictionlessBook):
            assert row["depth"] is None
            census["without impact"] += 1
        else:
            _check_depth(row["depth"], distance, filled, census)
        quantity, moved = filled(float(row["units"]))
        if not quantity:
            assert not row["b"]
            continue
        density = (
            float(row["units"]) / (distance - abs(math.log1p(sign * (row["step"] - 1) / 100)))
            if row["step"]
            else None
        )
        impact = moved / quantity * 1e8
        # A move is a difference of two displacements, which floats hold to their last digit.
        digit = 4 * math.ulp(book.displacement(state, at_us)) / quantity * 1e8
        assert row["impact"] == pytest.approx(impact, rel=1e-6, abs=max(digit, 1e-15))
        if density is not None:
            assert row["density"] == pytest.approx(density, rel=1e-9)
            off = max(digit * density, 1e-15)
            assert row["b"] == pytest.approx(impact * density, rel=1e-6, abs=off)
            assert row["b"] == pytest.approx(row["impact"] * row["density"], rel=1e-12)
            census["b above 1"] += row["b"] > 1
            census["b between"] += 0 < row["b"] <= 1
            census["more due than the book can fill"] += quantity < round(float(row["units"]) * 1e8)


def _check_depth(depth: float, distance: float, filled: Any, census: Counter[str]) -> None:
    """Check that *depth* moves the price no further than *distance*, and that more would."""
    slack = 1e-12 + _FLOAT * distance
    if depth > 4e-8:
        got, moved = filled(depth * (1 - _FLOAT) - 2e-8)
        assert moved <= distance + slack
        assert got >= depth * 1e8 * (1 - 2 * _FLOAT) - 4
    more = depth * (1 + _FLOAT) + 3e-8
    got, moved = filled(more)
    is_exhausted = got < round(more * 1e8)
    assert is_exhausted or moved >= distance - slack
    census["depth that is exhausted" if is_exhausted else "depth within the distance"] += 1


def check_start(world: World, census: Counter[str]) -> None:
    """Hold what the runner says before the run against the view of the start."""
    starts = [path.at(0) for path in world.prepared.paths]
    names = [market.name for market in world.prepared.scenario.markets]
    ladder = units_due(
        world.prepared.accounts,
        margin_rules(world.prepared.scenario),
        starts,
        due_at_zero=world.prepared.scenario.venue.due_at_zero,
    )
    rows = _rows(world.log.sql("from liquidation_ladder where moment = 'start'"))
    for row in rows:
        is_long = row["side"] == "long"
        units = ladder[names.index(row["market"]), is_long][row["step"]]
        assert int(row["units"].scaleb(8)) == units
    largest = {
        (row["market"], row["side"]): row
        for row in _rows(world.log.sql("from branching where moment = 'start'"))
    }
    for one in world.prepared.branching():
        row = largest[one.market, "long" if one.is_long else "short"]
        assert one.ratio == pytest.approx(row["b"], rel=1e-7, abs=1e-15)
        assert len(one.above_one) == row["above_one"]
        census["above 1 at the start"] += bool(one.above_one)


def check_ladders(world: World, random: Random, census: Counter[str]) -> None:
    """Check the ladder at the start, at its end and at two instants between."""
    check_start(world, census)
    last = len(world.entries) - 1
    for seq in (random.randrange(last), random.randrange(last), last):
        fold = world.log.fold(seq)
        rows = _rows(world.log.liquidation_ladder(seq=seq))
        check_counts(rows, recounted(world, fold, fold.sim_time_us, census))
        check_book(world, rows, seq, fold.sim_time_us, census)
        census["instants"] += 1


def test_the_ladder_is_a_recount_in_random_runs(tmp_path_factory: pytest.TempPathFactory) -> None:
    census: Counter[str] = Counter()

    @cases(24)
    @given(
        st.one_of(scenarios("engine"), scenarios("keepers"), scenarios_from_files("engine")),
        st.integers(0, 2**32),
    )
    def it_is(raw: Raw, seed: int) -> None:
        world = run_into(tmp_path_factory.mktemp("ladder") / "run.duckdb", raw)
        with world.log:
            check_ladders(world, Random(seed), census)

    it_is()

    floors = {
        "instants": 72,
        "due further on": 250,
        "accounts in liquidation": 150,
        "in a higher tier": 50,
        "in a higher tier of notional": 1,
        "with a profit that counts in part": 1,
        "legs of cross accounts": 10,
        "depth within the distance": 1_000,
        "depth that is exhausted": 1_500,
        "without impact": 200,
        "b above 1": 50,
        "b between": 20,
        "above 1 at the start": 15,
        "more due than the book can fill": 30,
    }
    assert_floors(census, floors)


@pytest.mark.parametrize(
    "name",
    [
        *["engine_cascade", "keeper_race", "squeeze", "cross_crash", "rungs", "kinked", "mingled"],
        "cut_short",
    ],
)
def test_the_ladder_is_a_recount_in_handmade_runs(name: str, tmp_path: Path) -> None:
    world = run_into(tmp_path / "run.duckdb", HANDMADE[name]())
    with world.log:
        check_ladders(world, Random(name), Counter())
        outcome = world.log.outcome()
    for market in world.prepared.scenario.markets:
        largest = max(one.ratio for one in world.prepared.branching() if one.market == market.name)
        said = outcome[f"branching_start_{market.name.lower()}"]
        assert said == pytest.approx(largest, rel=1e-7, abs=1e-15)


def test_the_ladder_counts_coins_under_every_haircut(tmp_path: Path) -> None:
    world = run_into(tmp_path / "run.duckdb", HANDMADE["cut_short"]())
    census: Counter[str] = Counter()
    changes = [e.seq for e in world.entries if isinstance(e.event, CoinHaircutChanged)]

    with world.log:
        for seq in changes[::4]:
            fold = world.log.fold(seq)
            rows = _rows(world.log.liquidation_ladder(seq=seq))
            check_counts(rows, recounted(world, fold, fold.sim_time_us, census))
            check_book(world, rows, seq, fold.sim_time_us, census)

    assert_floors(census, {"under another haircut on coins": 20})
