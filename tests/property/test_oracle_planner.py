"""
The planner publishes what an oracle publishes that looks at every report.

The lazy `Feed` searches ahead, is interrupted by trades and throws plans away; the eager oracle of
`support.eager_oracle` takes one report after another. Both must publish the same, in small worlds
drawn at random and in whole runs.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from decimal import Decimal
from itertools import groupby
from random import Random
from typing import Any

import attrs
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from support.eager_oracle import Past, Update, updates
from support.effort import cases
from support.floors import assert_floors
from support.scenarios import engine_cascade, keeper_race, load, scenarios, squeeze
from support.sinks import ListSink

from liqsim.events import (
    NO_CAUSE,
    BookSampled,
    DepthChanged,
    Entry,
    InventorySold,
    MarkBasis,
    MarkFeed,
    OracleUpdated,
    OrderFilled,
    PositionReduced,
    ShadowUpdated,
    TradeFilled,
)
from liqsim.mechanics.ladder import LadderBook
from liqsim.mechanics.liquidity import FiniteBook, FrictionlessBook, Liquidity
from liqsim.mechanics.oracle import Feed, Publication
from liqsim.mechanics.paths import ReferencePath
from liqsim.processes.context import MarketDesk
from liqsim.rng import Stream, lognormal_us
from liqsim.runner import Simulation, prepare
from liqsim.scenario.model import Latency, NoImpact, Oracle, Source
from liqsim.world.markets import Market

_SECOND = 10**6
_NAME = "ETH"


# Small worlds -------------------------------------------------------------------------------------


@attrs.frozen
class Change:
    """
    One thing that happens to a book.

    Attributes:
        at_us: When.
        depths: Signed size of an order in calm 1 % depths; None changes the depth instead.
        multiplier_e6: The new depth.
        half_life_us: The new half life.
    """

    at_us: int
    depths: float | None
    multiplier_e6: int
    half_life_us: int


@attrs.frozen(eq=False)
class World:
    """An oracle, a reference path, a book, and what happens to it."""

    spec: Oracle
    seed: int
    end_us: int
    path: ReferencePath
    book: Liquidity
    depth_e8: float
    half_life_us: int
    changes: list[Change]

    def market(self) -> Market:
        return Market(self.half_life_us)

    def feed(self, market: Market) -> Feed:
        return Feed(
            self.spec,
            _NAME,
            seed=self.seed,
            path=self.path,
            end_us=self.end_us,
            market=market,
            displacement=self.book.displacement,
        )

    def apply(self, market: Market, change: Change) -> None:
        """Let *change* happen; an order gets what the book gives."""
        at, book = change.at_us, market.book
        if change.depths is None:
            market.set_book(book.with_depth(at, change.multiplier_e6, change.half_life_us))
            return
        order = round(change.depths * self.depth_e8)
        fill = self.book.fill(book, at, self.path.at(at), order, None) if order else None
        if fill is not None:
            market.set_book(book.traded(at, fill.quantity_e8, len(market.history)))


def _of(*values: Any) -> Any:
    return st.sampled_from(values)


_LATENCIES = st.one_of(
    _of(0, 0, 100_000, 700_000, 2 * _SECOND, 5 * _SECOND).map(lambda us: Latency(us, us)),
    st.builds(
        lambda median, factor: Latency(median, median * factor),
        _of(50_000, 400_000, 2 * _SECOND),
        _of(2, 8, 40),
    ),
)


_CATCH_UPS = _of(0, 0, 0, 1, 250_000, _SECOND, 2 * _SECOND, 15 * _SECOND, 10**9)


@st.composite
def _windows(draw: st.DrawFn, end_us: int) -> tuple[tuple[int, int], ...]:
    cuts = sorted(draw(st.lists(st.integers(0, end_us // 500_000), max_size=4, unique=True)))
    return tuple((a * 500_000, b * 500_000) for a, b in zip(cuts[::2], cuts[1::2], strict=False))


@st.composite
def _sources(draw: st.DrawFn, number: int, end_us: int, *, is_quiet: bool) -> Source:
    return Source(
        name=f"s{number}",
        period_us=draw(_of(_SECOND, _SECOND, 500_000, 700_000, 333_333, 3 * _SECOND, 9 * _SECOND)),
        offset_us=draw(_of(0, 0, 250_000, 1, 2 * _SECOND, end_us // 2, end_us + 1)),
        latency=draw(_LATENCIES),
        noise_e6=0 if is_quiet else draw(_of(0, 0, 50, 1_000, 20_000, 100_000)),
        pass_through_e6=draw(_of(10**6, 10**6, 500_000, 33_333, 0)),
        catch_up_us=draw(_CATCH_UPS),
        outages=draw(st.one_of(st.just(()), _windows(end_us))),
    )


def _path(random: Random, end_us: int, step_us: int, *, is_quiet: bool) -> ReferencePath:
    """Return a held path of few steps: still, drifting, moving by single units, or jumping."""
    price, prices = random.choice((1, 3, 40, 10**4, 10**7, 10**10, 10**10, 10**10, 5 * 10**12)), []
    drift = random.choice((0.0, 0.0, 1e-5, 1e-3, 0.01))
    units, jumps = random.choice((0.0, 0.0, 0.1, 0.3)), random.choice((0.0, 0.0, 0.02, 0.1))
    if is_quiet:
        drift, units, jumps = 0.0, 0.0, random.choice((0.0, 0.02))
    for _ in range(-(-end_us // step_us)):
        kind = random.random()
        if kind < units:
            price += random.choice((-1, 1))
        elif kind < units + jumps:
            price = round(price * random.choice((0.8, 0.97, 1.05, 1.3)))
        else:
            price = round(price * (1 + random.gauss(0.0, drift)))
        price = max(price, 1)
        prices.append(price)
    return ReferencePath(step_us, np.array(prices, dtype=np.int64))


def _changes(random: Random, spec: Oracle, end_us: int, *, has_impact: bool) -> list[Change]:
    """Return what happens to the book, often at the very instant of a sample or an arrival."""
    found = []
    for _ in range(random.choice((0, 1, 3, 6, 12, 20))):
        at_us = random.randrange(end_us)
        source = random.choice(spec.sources)
        if random.random() < 0.5:
            at_us -= (at_us - source.offset_us) % source.period_us
            if random.random() < 0.4:
                at_us += source.latency.median_us
        at_us += random.choice((-1, 0, 0, 1))
        depths = None
        if random.random() < 0.85 or not has_impact:
            depths = random.choice((-1, 1)) * random.choice((0.001, 0.05, 0.3, 1, 1, 3, 20, 80))
        # Child orders share an instant; what is taken is often given back soon after.
        to_sample = source.period_us - (at_us - source.offset_us) % source.period_us
        orders = (0,), (0, 0, 0), (0, 20_000), (0, 60_000, 10**6), (0, to_sample), (0, to_sample)
        for after_us in random.choice(orders):
            turn = -1 if after_us else 1
            found.append(
                Change(
                    min(max(at_us, 0) + after_us, end_us - 1),
                    None if depths is None else turn * depths,
                    random.choice((50_000, 400_000, 10**6, 2 * 10**6)),
                    random.choice((1_000, 300_000, 2 * _SECOND, 600 * _SECOND)),
                )
            )
    # Depth changes come first among the wake-ups of one instant.
    return sorted(found, key=lambda change: (change.at_us, change.depths is not None))


@st.composite
def worlds(draw: st.DrawFn) -> World:
    end_us = draw(_of(10, 30, 60, 60, 100)) * _SECOND + draw(_of(0, 0, 1))
    count = draw(st.integers(1, 5))
    is_quiet = draw(_of(False, True))  # Then only our own flow moves what sources see.
    spec = Oracle(
        deviation_e6=draw(
            _of(0, 1, 100, 1_000, 1_000, 5_000, 5_000, 20_000, 50_000, 400_000, 10**6)
        ),
        heartbeat_us=draw(
            _of(1_000, 300_000, _SECOND, 2 * _SECOND, 5 * _SECOND, 20 * _SECOND, *[10**10] * 4)
        ),
        heartbeat_miss_e6=draw(_of(0, 0, 500_000, 990_000)),
        quorum=draw(st.integers(1, count)),
        landing=Latency(0, 0),
        sources=tuple(draw(_sources(number, end_us, is_quiet=is_quiet)) for number in range(count)),
    )
    random = Random(draw(st.integers(0, 2**63)))
    depth_e8 = draw(_of(10.0**3, 10.0**8, 7.0**16))
    half_life_us = draw(_of(1_000, 200_000, _SECOND, _SECOND, 4 * _SECOND, 60 * _SECOND, 10**11))
    has_impact = draw(_of(*[True] * 9, False))
    book: Liquidity = FrictionlessBook()
    if has_impact:
        book = FiniteBook(
            depth_e8,
            exponent=draw(_of(1.0, 1.0, 0.5, 2.5)),
            reach=draw(_of(0.02, 0.25, 1.0)),
            permanent_share=draw(_of(0.0, 0.0, 0.0, 0.05, 0.4, 1.0)),
        )
        if draw(_of(*[False] * 4, True)):
            units = round(depth_e8)
            levels = [(500, units // 4 + 1), (8_000, units), (60_000, 4 * units)]
            book = LadderBook(levels, levels)
    path = _path(random, end_us, draw(_of(_SECOND, 500_000, 7 * _SECOND)), is_quiet=is_quiet)
    changes = _changes(random, spec, end_us, has_impact=has_impact)
    seed = random.randrange(2**62)
    return World(spec, seed, end_us, path, book, depth_e8, half_life_us, changes)


def lazily(world: World, market: Market, census: Counter[str]) -> Iterator[Publication]:
    """Yield what the feed publishes while *world* happens, as `processes.oracle` drives it."""
    feed = world.feed(market)
    plan = feed.plan()
    for at_us, group in groupby(world.changes, key=lambda change: change.at_us):
        changes = list(group)
        while plan is not None and plan.at_us < at_us:
            feed.published(plan)
            yield plan
            plan = feed.plan()
        states = len(market.history)
        for change in changes:
            if change.depths is None:
                world.apply(market, change)
        if plan is not None and plan.at_us == at_us:
            feed.published(plan)
            yield plan
            plan = feed.plan()
        for change in changes:
            if change.depths is not None:
                world.apply(market, change)
        if len(market.history) == states:
            continue
        feed.traded(at_us)
        if plan is not None and feed.is_settled(plan, at_us):
            census["plans kept"] += 1
            census["plans kept that only a later sample will see"] += plan.sampled_at_us > at_us
            continue
        before, plan = plan, feed.plan()
        census["plans confirmed"] += plan == before
        census["plans thrown away"] += plan != before
        assert plan is None or plan.at_us > at_us
    while plan is not None:
        feed.published(plan)
        yield plan
        plan = feed.plan()


def as_update(publication: Publication) -> Update:
    fields = attrs.asdict(publication)
    del fields["instant"], fields["calm_e8"]
    return Update(**fields)


def _tally(census: Counter[str], published: list[Update]) -> None:
    for update in published:
        census[f"published: {update.reason.name.lower()}"] += 1
        census["needs displacement"] += update.needs_displacement


def test_lazy_planner_publishes_what_the_eager_one_does() -> None:
    census: Counter[str] = Counter()

    @cases(500)
    @given(worlds())
    def it_does(world: World) -> None:
        market = world.market()
        lazy = [as_update(publication) for publication in lazily(world, market, census)]
        eager = updates(
            world.spec,
            _NAME,
            seed=world.seed,
            reference_at=lambda at_us: int(world.path.prices_e8[at_us // world.path.step_us]),
            past=Past(market.history[1:], world.book.displacement),
            end_us=world.end_us,
            census=census,
        )

        assert lazy == eager

        _tally(census, lazy)
        census["trades"] += len(market.history) - 1
        census["worlds without a publication"] += not lazy
        census["publications of an older book"] += sum(
            market.book_before(update.shows_us) is not market.book_before(update.sampled_at_us)
            for update in lazy
        )
        census["worlds with a ladder"] += isinstance(world.book, LadderBook)
        census["worlds without impact"] += isinstance(world.book, FrictionlessBook)

    it_does()

    assert_floors(
        census,
        {
            "published: first": 200,
            "published: deviation": 2_000,
            "published: heartbeat": 500,
            "needs displacement": 200,
            "by displacement alone": 150,
            "plans kept": 100,
            "plans kept that only a later sample will see": 100,
            "publications of an older book": 500,
            "heartbeats missed": 500,
            "plans confirmed": 100,
            "plans thrown away": 150,
            "trades": 1_000,
            "ties of arrivals": 500,
            "out-of-order arrivals": 500,
            "worlds without a publication": 3,
            "worlds without impact": 15,
            "worlds with a ladder": 30,
        },
    )


def source(name: str, **changes: Any) -> Source:
    """Return a source that samples every second, sees all and reports at once."""
    parameters: dict[str, Any] = {
        "period_us": _SECOND,
        "offset_us": 0,
        "latency": Latency(0, 0),
        "noise_e6": 0,
        "pass_through_e6": 10**6,
        "catch_up_us": 0,
        "outages": (),
    }
    return Source(name, **(parameters | changes))


def oracle(deviation_e6: int, *sources: Source, **changes: Any) -> Oracle:
    """Return an oracle without heartbeat or landing delay."""
    parameters: dict[str, Any] = {
        "deviation_e6": deviation_e6,
        "heartbeat_us": 10**10,
        "heartbeat_miss_e6": 0,
        "quorum": 1,
        "landing": Latency(0, 0),
        "sources": sources,
    }
    return Oracle(**(parameters | changes))


def test_planner_allows_for_the_rounding_of_prices_far_below_the_reference() -> None:
    spec = oracle(125_000, source("one"))
    path = ReferencePath(_SECOND, np.array([40] * 5 + [41] * 5, dtype=np.int64))
    book = FiniteBook(10.0**8, exponent=1.0, reach=1.0, permanent_share=1.0)
    # Sold from 40 to 8.3; a later reference of 41 is then seen at 8.51: reports of 8 and 9.
    sold_e8 = round(100 * math.log(0.2075) * 10**8)
    world = World(spec, 1, 10 * _SECOND, path, book, 10.0**8, 1, [])
    market = world.market()
    feed = world.feed(market)
    first = feed.plan()
    assert first is not None
    feed.published(first)
    market.set_book(market.book.traded(1_500_000, sold_e8, 7))
    feed.traded(1_500_000)

    published = []
    while (plan := feed.plan()) is not None:
        feed.published(plan)
        published.append((plan.at_us, plan.price_e8))

    assert published == [(2 * _SECOND, 8), (5 * _SECOND, 9)]


def test_planner_decides_a_sample_of_the_very_instant_of_a_trade_by_the_book_before_it() -> None:
    slow = source("slow", latency=Latency(500_000, 500_000))
    quick = source("quick", offset_us=200_000, latency=Latency(100_000, 100_000))
    spec = oracle(10_000, slow, quick)
    path = ReferencePath(_SECOND, np.array([10**10] * 2, dtype=np.int64))
    book = FiniteBook(10.0**8, exponent=1.0, reach=0.25, permanent_share=0.0)
    # Sold five depths, bought back when the slow source samples: it alone shows the fall, once.
    changes = [Change(300_000, -5.0, 0, 0), Change(_SECOND, 5.0, 0, 0)]
    world = World(spec, 1, 2 * _SECOND, path, book, 10.0**8, 10**17, changes)  # It never refills.

    published = [(plan.at_us, plan.price_e8) for plan in lazily(world, world.market(), Counter())]

    shown = (10**10 + round(10**10 * math.exp(-0.05))) // 2
    assert published == [(300_000, 10**10), (1_500_000, shown)]


def test_a_source_shows_displacement_only_after_the_catch_up() -> None:
    spec = oracle(10_000, source("one", catch_up_us=3 * _SECOND))
    path = ReferencePath(_SECOND, np.array([10**10] * 12, dtype=np.int64))
    book = FiniteBook(10.0**8, exponent=1.0, reach=0.25, permanent_share=0.0)
    # Sold five depths at 2 s, bought back at 4 s; half of what is consumed refills in a second.
    changes = [Change(2 * _SECOND, -5.0, 0, 0), Change(4 * _SECOND, 1.25, 0, 0)]
    world = World(spec, 1, 12 * _SECOND, path, book, 10.0**8, _SECOND, changes)

    published = list(lazily(world, world.market(), Counter()))

    # At 5 s the source shows what stood just before the sale, at 6 s one half-life after it, at
    # 7 s what stood before the buyer, who left nothing to show.
    shown = [round(10**10 * math.exp(-0.05 * left)) for left in (0.5, 0.25)]
    assert [(p.at_us // _SECOND, p.shows_us // _SECOND, p.price_e8) for p in published] == [
        (0, 0, 10**10),
        (6, 3, shown[0]),
        (7, 4, shown[1]),
        (8, 5, 10**10),
    ]


def test_a_trade_interrupts_a_plan_only_for_samples_that_can_show_it() -> None:
    spec = oracle(10_000, source("one", catch_up_us=3 * _SECOND))
    path = ReferencePath(_SECOND, np.array([10**10] * 5 + [9 * 10**9] * 7, dtype=np.int64))
    book = FiniteBook(10.0**8, exponent=1.0, reach=0.25, permanent_share=0.0)
    world = World(spec, 1, 12 * _SECOND, path, book, 10.0**8, 10**17, [])
    market = world.market()
    feed = world.feed(market)
    first = feed.plan()
    assert first is not None
    feed.published(first)
    plan = feed.plan()  # The fall of the reference, sampled at 5 s, when it shows the book of 2 s.

    assert plan is not None
    assert plan.at_us == 5 * _SECOND
    assert not feed.is_settled(plan, 2 * _SECOND - 1)
    assert feed.is_settled(plan, 2 * _SECOND)


def test_a_missed_heartbeat_has_its_next_chance_one_heartbeat_later() -> None:
    spec = oracle(10_000, source("one"), heartbeat_us=4_500_000, heartbeat_miss_e6=500_000)
    # The price moves once, between two chances, and the heartbeat starts anew with that update.
    prices = [10**10] * 31 + [9 * 10**9] * 29
    path = ReferencePath(_SECOND, np.array(prices, dtype=np.int64))
    world = World(spec, 7, 60 * _SECOND, path, FrictionlessBook(), 1.0, 1, [])
    draws = Stream(world.seed, f"oracle.{_NAME}", "heartbeat")

    published = list(lazily(world, world.market(), Counter()))

    expected, chance = [(0, "FIRST")], 4_500_000
    missed = 0
    for at_us in range(_SECOND // 2, 60 * _SECOND, _SECOND // 2):
        if at_us == 31 * _SECOND:
            expected.append((at_us, "DEVIATION"))
            chance = at_us + spec.heartbeat_us
        elif at_us == chance:
            is_missed = draws.at(0, at_us) < 0.5
            missed += is_missed
            chance += spec.heartbeat_us
            if not is_missed:
                expected.append((at_us, "HEARTBEAT"))
    assert [(p.at_us, p.reason.name) for p in published] == expected
    assert 3 <= missed <= 10


# Whole runs ---------------------------------------------------------------------------------------


def past_of(desk: MarketDesk, entries: list[Entry], half_life_us: int) -> Past:
    """Return the past of a book from the recorded fills and changes of depth alone."""
    book = Market(half_life_us).book
    states = []
    for entry in entries:
        event, at_us = entry.event, entry.sim_time_us
        if (
            isinstance(event, OrderFilled | InventorySold | TradeFilled | PositionReduced)
            and event.market_id == desk.market_id
        ):
            book = book.traded(at_us, event.quantity_e8, entry.seq)
        elif isinstance(event, DepthChanged) and event.market_id == desk.market_id:
            book = book.with_depth(at_us, event.multiplier_e6, event.half_life_us)
        else:
            continue
        states.append(book)
    return Past(states, desk.liquidity.displacement)


def newest_fill(past: Past, before_us: int) -> int:
    """Return the newest forced fill before an instant, or `NO_CAUSE`."""
    state = past.before(before_us)
    return NO_CAUSE if state is None else state.fill_seq


Row = tuple[int, int, OracleUpdated | BookSampled | ShadowUpdated]
"""Time, cause, event; what the mark rule made of it is nobody's."""

_MADE = {
    "mark_price_e8": 1,
    "shadow_mark_e8": 1,
    "basis": MarkBasis.INDEX,
    "mark_shows_at_us": 0,
    "book_price_e8": 0,
    "index_price_e8": 0,
    "premium_e9": 0,
    "shadow_premium_e9": 0,
}


_EVENTS: dict[MarkFeed, Any] = {MarkFeed.ORACLE: OracleUpdated, MarkFeed.BOOK: BookSampled}


def landed_of(event: OracleUpdated | BookSampled | ShadowUpdated) -> Any:
    """Return the event without what the mark rule makes of what landed."""
    names = {field.name for field in attrs.fields(type(event))}
    return attrs.evolve(event, **{k: v for k, v in _MADE.items() if k in names})


def specs_of(desk: MarketDesk) -> list[tuple[MarkFeed, Oracle]]:
    """Return the feeds of a market."""
    rule = desk.spec.mark
    return [(MarkFeed.ORACLE, desk.spec.oracle), (MarkFeed.BOOK, rule.book_oracle)][
        : 1 + desk.spec.samples_book
    ]


def arriving(
    desk: MarketDesk, spec: Oracle, published: list[Update], seed: int, end_us: int
) -> Iterator[tuple[int, Update]]:
    """Yield (time, update) of every one that reaches the venue in time and in order."""
    stream = Stream(seed, f"oracle.{desk.spec.name}", "landing")
    law = spec.landing
    on_the_way = []
    for update in published:
        normal = stream.normal_at(0, update.at_us)
        on_the_way.append((update.at_us + lognormal_us(law.median_us, law.p99_us, normal), update))
    newest = -1
    for at_us, update in sorted(on_the_way, key=lambda pair: pair[0]):
        if at_us < end_us and update.at_us >= newest:
            newest = update.at_us
            yield at_us, update


def landed(
    desk: MarketDesk,
    kind: MarkFeed,
    marks: list[tuple[int, Update]],
    shadows: list[tuple[int, Update]],
    past: Past,
) -> list[Row]:
    """Return what must be recorded of marks and shadow marks that reach the venue."""
    rows: list[tuple[int, int, Row]] = []
    beside = {at_us: update.at_us for at_us, update in marks}
    if isinstance(desk.spec.liquidity, NoImpact):
        shadows = []
    for at_us, update in shadows:
        if beside.get(at_us, -1) < update.at_us:
            event = ShadowUpdated(
                market_id=desk.market_id,
                price_e8=update.price_e8,
                reason=update.reason,
                sampled_at_us=update.sampled_at_us,
                published_at_us=update.at_us,
                feed=kind,
                premium_e9=0,
                shadow_mark_e8=1,
            )
            rows.append((at_us, 0, (at_us, NO_CAUSE, event)))
    for at_us, update in marks:
        cause = newest_fill(past, update.shows_us) if update.needs_displacement else NO_CAUSE
        shadow = [
            shadow.price_e8
            for other_us, shadow in shadows
            if other_us == at_us and shadow.at_us <= update.at_us
        ]
        if isinstance(desk.spec.liquidity, NoImpact):
            shadow = [update.price_e8]
        beside_it: dict[str, Any] = {"shadow_price_e8": shadow[-1] if shadow else 0}
        if kind is MarkFeed.ORACLE:
            beside_it |= {"reports_count": update.reports_count, "shows_at_us": update.shows_us}
        names = {field.name for field in attrs.fields(_EVENTS[kind])}
        mark = _EVENTS[kind](
            market_id=desk.market_id,
            price_e8=update.price_e8,
            reason=update.reason,
            sampled_at_us=update.sampled_at_us,
            published_at_us=update.at_us,
            **beside_it,
            **{k: v for k, v in _MADE.items() if k in names},
        )
        rows.append((at_us, 1, (at_us, cause, mark)))
    return [row for *_, row in sorted(rows, key=lambda row: row[:2])]


def _hindered(raw: dict[str, Any], catch_up: str, *, misses: bool) -> dict[str, Any]:
    for market in raw["markets"].values():
        if misses:
            market["oracle"] |= {"heartbeat": "2s", "heartbeat_miss": Decimal("0.5")}
        for one in market["oracle"]["sources"].values():
            one["catch_up"] = catch_up
    return raw


_cascades = st.builds(
    lambda make, seed, catch_up, misses: _hindered(make(seed=seed), catch_up, misses=misses),
    st.sampled_from([engine_cascade, keeper_race, squeeze]),
    st.integers(0, 2**31),
    _of("0s", "1s", "10s"),
    st.booleans(),
)


def test_updates_of_random_runs_are_those_of_the_eager_oracle() -> None:
    census: Counter[str] = Counter()

    def they_are(raw: dict[str, Any]) -> None:
        scenario = load(raw)
        prepared = prepare(scenario)
        sink = ListSink()
        simulation = Simulation(prepared, sink)
        calm = [market.book.half_life_us for market in simulation.world.markets]
        simulation.run()
        recorded = defaultdict(list)
        for entry in sink.entries:
            if isinstance(event := entry.event, OracleUpdated | BookSampled | ShadowUpdated):
                feed = MarkFeed.BOOK if isinstance(event, BookSampled) else MarkFeed.ORACLE
                kind = event.feed if isinstance(event, ShadowUpdated) else feed
                row = entry.sim_time_us, entry.cause_seq, landed_of(event)
                recorded[event.market_id, kind].append(row)
        feeds = [
            (desk, half_life_us, kind, spec)
            for desk, half_life_us in zip(simulation.context.markets, calm, strict=True)
            for kind, spec in specs_of(desk)
        ]
        for desk, half_life_us, kind, spec in feeds:
            past = past_of(desk, sink.entries, half_life_us)
            published, undisplaced = (
                updates(
                    spec,
                    desk.spec.name,
                    seed=scenario.seed,
                    reference_at=desk.path.at,
                    past=seen,
                    end_us=scenario.end_us,
                    census=counted,
                )
                for seen, counted in (
                    (past, census),
                    (Past([], past.displacement), Counter[str]()),
                )
            )
            marks, shadows = (
                list(arriving(desk, spec, some, scenario.seed, scenario.end_us))
                for some in (published, undisplaced)
            )
            expected = landed(desk, kind, marks, shadows, past)

            assert recorded[desk.market_id, kind] == expected
            census["samples of a book"] += len(marks) * (kind is MarkFeed.BOOK)
            census["caused a sample of a book"] += sum(
                cause != NO_CAUSE for _, cause, _ in expected
            ) * (kind is MarkFeed.BOOK)

            _tally(census, published)
            census["landed"] += len(marks)
            census["overtaken or too late"] += len(published) - len(marks)
            events = [(cause, event) for _, cause, event in expected]
            census["shadow apart"] += sum(isinstance(e, ShadowUpdated) for _, e in events)
            census["shadow below or above its mark"] += sum(
                not isinstance(e, ShadowUpdated) and e.shadow_price_e8 not in {0, e.price_e8}
                for _, e in events
            )
            census["caused by a fill"] += sum(cause != NO_CAUSE for cause, _ in events)
            census["caused before the newest fill"] += sum(
                cause != NO_CAUSE and cause != newest_fill(past, event.sampled_at_us)
                for cause, event in events
            )
            census["fills"] += sum(state.fill_seq != NO_CAUSE for state in past.states)

    # Each in turn: of one choice among the three, a few dozen cases may leave one out.
    for count, kind in ((10, scenarios("engine")), (10, scenarios("keepers")), (24, _cascades)):
        cases(count)(given(kind)(they_are))()

    assert_floors(
        census,
        {
            "landed": 500,
            "shadow apart": 400,
            "shadow below or above its mark": 1_000,
            "overtaken or too late": 15,
            "caused by a fill": 80,
            "caused before the newest fill": 15,
            "heartbeats missed": 15,
            "fills": 300,
            "published: deviation": 300,
            "samples of a book": 200,
            "caused a sample of a book": 2,
        },
    )
