"""
Shadow marks and classes: what a run says of displacement is what a run without it does.

`Auditor` judges every account at every mark and shadow mark, one at a time, and holds each trigger
and crossing against it; here are the laws that need two runs, and one scenario by hand per class.
"""

import math
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.auditor import Auditor, audited
from support.effort import cases
from support.floors import assert_floors
from support.scenarios import (
    HANDMADE,
    Raw,
    at,
    events_of,
    load,
    market,
    prepared_by_hand,
    scenarios,
    small_scenario,
    source,
)
from support.sinks import ListSink

from liqsim.events import (
    NO_CAUSE,
    BookSampled,
    Entry,
    LiquidationTriggered,
    OracleUpdated,
    ShadowCrossed,
    ShadowUpdated,
)
from liqsim.mechanics.classes import displacement_by_flow_e9
from liqsim.mechanics.ladder import LadderBook
from liqsim.mechanics.liquidity import FiniteBook, Liquidity
from liqsim.processes.shadow import Shadow
from liqsim.runner import Simulation, prepare, run_to_log
from liqsim.world.markets import BookState, Flow
from replay.log import Log

# Two runs -----------------------------------------------------------------------------------------


def without_impact(raw: Raw) -> Raw:
    markets = {
        name: table | {"liquidity": {"kind": "no_impact"}} for name, table in raw["markets"].items()
    }
    return raw | {"markets": markets}


def without_changes(raw: Raw) -> Raw:
    markets = {name: table | {"maintenance_changes": []} for name, table in raw["markets"].items()}
    return raw | {"markets": markets}


def steps(entries: list[Entry], *, shadow: bool) -> dict[tuple[int, int], int]:
    """Return the (shadow) mark at the end of every instant at which it moved, by market."""
    found: dict[tuple[int, int], int] = {}
    now: dict[int, int] = {}
    for entry in entries:
        event = entry.event
        if isinstance(event, OracleUpdated | BookSampled):
            price = event.shadow_mark_e8 if shadow else event.mark_price_e8
        elif isinstance(event, ShadowUpdated) and shadow:
            price = event.shadow_mark_e8
        else:
            continue
        if now.get(event.market_id) != price:
            found[event.market_id, entry.sim_time_us] = now[event.market_id] = price
    return found


_ANY = st.one_of(scenarios("engine"), scenarios("keepers"))
_CRASHES = st.builds(
    lambda name, seed, lag: lagged(HANDMADE[name](seed=seed), lag),
    st.sampled_from(["engine_cascade", "keeper_race", "cross_crash"]),
    st.integers(0, 2**31),
    st.sampled_from(["0s", "700ms", "4s"]),
)


def lagged(raw: Raw, lag: str) -> Raw:
    for table in raw["markets"].values():
        for one in table["oracle"]["sources"].values():
            one["catch_up"] = lag
        table["oracle"]["landing"] = {"median": "300ms", "p99": "2s"}
    return raw


def test_shadow_marks_are_the_marks_of_the_run_without_impact() -> None:
    census: Counter[str] = Counter()

    def they_are(raw: Raw) -> None:
        raw |= {"path_mode": "on_top"}  # In purged mode the reference is another without impact.
        for table in raw["markets"].values():
            table.get("mark", {}).pop("min_depth", None)  # Without a book, none is ever thin.
        entries, twin = events_of(raw), events_of(without_impact(raw))

        assert steps(entries, shadow=True) == steps(twin, shadow=False)

        census["runs"] += 1
        census["moves"] += len(steps(twin, shadow=False))
        census["moves apart"] += sum(isinstance(e.event, ShadowUpdated) for e in entries)
        census["displaced marks"] += steps(entries, shadow=False) != steps(twin, shadow=False)

    for count, kind in ((12, _ANY), (10, _CRASHES)):
        cases(count)(given(kind)(they_are))()

    assert_floors(census, {"runs": 22, "moves": 1_000, "moves apart": 150, "displaced marks": 8})


def test_without_impact_and_new_rules_every_liquidation_is_of_first_order() -> None:
    census: Counter[str] = Counter()

    def it_is(raw: Raw) -> None:
        auditor = audited(prepare(load(without_changes(without_impact(raw)))))
        census.update(auditor.census)

        assert auditor.census["first_order"] == auditor.census["liquidation_triggered"]
        assert not auditor.census["shadow_crossed"] + auditor.census["shadow_updated"]
        assert not auditor.census["averted"] + auditor.census["induced"]

    for count, kind in ((16, _ANY), (8, _CRASHES)):
        cases(count)(given(kind)(it_is))()

    assert_floors(census, {"runs": 24, "first_order": 150, "triggered cross": 30})


def unseen(raw: Raw) -> Raw:
    """Return *raw* with books that orders move, and marks that see nothing of it."""
    for table in raw["markets"].values():
        table["mark"] = {}
        table.pop("funding", None)  # Its premium would see the book.
        for one in table["oracle"]["sources"].values():
            one["pass_through"] = 0
    return without_changes(raw)


def test_what_no_source_shows_displaces_no_mark() -> None:
    # Here shadow feeds run beside the others: landings of several markets must keep their order.
    census: Counter[str] = Counter()

    def it_does_not(raw: Raw) -> None:
        auditor = audited(prepare(load(unseen(raw))))
        census.update(auditor.census)

        assert auditor.census["first_order"] == auditor.census["liquidation_triggered"]
        assert not auditor.census["shadow_crossed"] + auditor.census["shadow_updated"]

    for count, kind in ((16, _ANY), (8, _CRASHES)):
        cases(count)(given(kind)(it_does_not))()

    assert_floors(census, {"runs": 24, "first_order": 150, "triggered hedged": 5})


def test_new_rules_alone_induce_and_displace_nothing() -> None:
    census: Counter[str] = Counter()

    @cases(16)
    @given(_ANY)
    def they_do(raw: Raw) -> None:
        auditor = audited(prepare(load(without_impact(raw))))
        census.update(auditor.census)

        assert not auditor.census["open"] + auditor.census["shadow_crossed"]

    they_do()
    census.update(audited(prepare(load(without_impact(HANDMADE["tightened"]())))).census)

    assert_floors(census, {"runs": 17, "rule_induced": 20, "triggered by a change of rules": 10})


def test_every_class_is_met_and_judged_by_looking_at_everybody() -> None:
    # The auditor judges every account and every open trigger at every mark that lands.
    census: Counter[str] = Counter()
    for name in ("engine_cascade", "keeper_race", "cross_crash", "tightened", "bought_back"):
        for seed in range(4):
            census.update(audited(prepare(load(HANDMADE[name](seed=seed)))).census)

    assert_floors(
        census,
        {
            "first_order": 80,
            "rule_induced": 100,
            "accelerated": 150,
            "accelerated before it is over": 30,
            "induced": 15,
            "averted": 4,
            "crossed by an account": 20,
            "crossed before its trigger": 10,
            "crossed cross": 80,
            "displaced by another asset": 30,
            "displaced by hedging": 20,
            "triggered by a change of rules": 30,
        },
    )


@pytest.mark.parametrize("name", ["engine_cascade", "keeper_race", "tightened", "bought_back"])
def test_views_say_of_classes_what_the_auditor_counted(name: str, tmp_path: Path) -> None:
    census: Counter[str] = Counter()
    for seed in range(3):
        scenario = load(HANDMADE[name](seed=seed))
        auditor = audited(prepare(scenario))
        run_to_log(scenario, tmp_path / f"{seed}.duckdb")
        with Log(tmp_path / f"{seed}.duckdb") as log:
            kinds = Counter(k for (k,) in log.sql("select kind from shadow_crossings").fetchall())
            outcome = log.outcome()
            assert log.verify() == []

        assert kinds["liquidated"] == auditor.census["crossed before its trigger"]
        assert kinds["accelerated"] == outcome["accelerated"] == auditor.census["accelerated"]
        assert kinds["averted"] == outcome["averted"] == auditor.census["averted"]
        for key in ("first_order", "rule_induced", "induced"):
            assert outcome[key] == auditor.census[key]
        classes = ("first_order", "accelerated", "induced", "rule_induced")
        assert sum(outcome[key] for key in classes) == outcome["liquidations"]
        usd = [Decimal(outcome[f"{key}_usd"]) for key in classes]
        assert abs(sum(usd) - Decimal(outcome["liquidated_usd"])) <= Decimal("0.000004")
        census.update(kinds)

    assert census


# By hand ------------------------------------------------------------------------------------------

_POWER_BOOK: Raw = {
    "kind": "power_book",
    "depth_usd": 10_000,
    "permanent_share": 1,
    "half_life": "1h",
}
LONG = (10, 100, 50)
"""Due below 950 / 9.9 = 95.9595."""
BIG = (100, 100, 600)
"""Due below 9,400 / 99 = 94.9495."""


def fallen(
    prices: dict[int, Any], *accounts: Any, catch_up: str = "0s", **overrides: Any
) -> Auditor:
    """Run accounts along *prices* in a book that 200 units sold move by 2 %, for good."""
    raw = small_scenario(
        markets__ETH=market(
            liquidity=_POWER_BOOK,
            oracle=market()["oracle"] | {"sources": {"one": source(catch_up=catch_up)}},
        ),
        venue__waterfall={"deleveraging": "none"},
        **overrides,
    )
    return audited(prepared_by_hand(raw, list(accounts), prices))


def story(auditor: Auditor) -> list[tuple[int, int, str]]:
    """Return (second, bucket from 0, what) of triggers and crossings."""
    told = []
    for entry in auditor.entries:
        event, second = entry.event, entry.sim_time_us // 10**6
        if isinstance(event, LiquidationTriggered):
            told.append((second, event.bucket_id - 5, event.standing.name.lower()))
        if isinstance(event, ShadowCrossed):
            kind = "crossed" if event.liquidation_seq == NO_CAUSE else "accelerated"
            told.append((second, event.bucket_id - 5, kind))
    return told


def test_a_fall_without_help_is_of_first_order() -> None:
    auditor = fallen({0: 100, 10: 95}, LONG)

    assert story(auditor) == [(10, 0, "first_order")]
    assert auditor.census["induced"] + auditor.census["averted"] == 0


# 100 units sold at 95.5 move the price by 1 %, to 94.55; what is due above it follows.
PUSHER = (100, 100, 550)
"""Due below 9,450 / 99 = 95.4545."""


def test_a_sale_that_pushes_another_over_induces_it() -> None:
    auditor = fallen({0: 100, 10: "95.4"}, PUSHER, BIG)

    # 95.4 less 1 % is 94.45, below 94.9495; the shadow stays at 95.4.
    assert story(auditor) == [(10, 0, "first_order"), (11, 1, "open")]
    assert auditor.census["induced"] == 1
    event = triggers(auditor)[1]
    assert (event.shadow_mark_e8, event.forced_displacement_e9) == (9_540_000_000, -10_000_000)
    # 9,540 x 0.99 - 9,400 = 44.6.
    assert event.shadow_margin_uusd == 44_600_000
    assert event.mark_price_e8 == round(95.4e8 * math.exp(-0.01))


def test_what_the_price_would_have_reached_later_is_accelerated() -> None:
    auditor = fallen({0: 100, 10: "95.4", 30: 94}, PUSHER, BIG)

    assert story(auditor) == [(10, 0, "first_order"), (11, 1, "open"), (30, 1, "accelerated")]
    crossed = next(e for e in auditor.entries if isinstance(e.event, ShadowCrossed))
    assert isinstance(crossed.event, ShadowCrossed)
    assert crossed.event.liquidation_seq == next(
        e.seq for e in auditor.entries if e.event == triggers(auditor)[1]
    )
    # The liquidation was over by then: the balances that count are those of the trigger.
    assert crossed.event.shadow_margin_uusd == (94 * 99 - 9_400) * 10**6


@pytest.mark.parametrize(("second", "standing"), [(13, "open"), (14, "first_order")])
def test_what_falls_before_displacement_arrives_is_of_first_order(
    second: int, standing: str
) -> None:
    # A sample of 14 s is the first to show the sale of 10 s; a fall meets it there, or comes after.
    lag = "3s" if standing == "first_order" else "2s"
    auditor = fallen({0: 100, 10: "95.4", 14: 94}, PUSHER, BIG, catch_up=lag)

    accelerated = [(14, 1, "accelerated")] if standing == "open" else []
    assert story(auditor) == [(10, 0, "first_order"), (second, 1, standing), *accelerated]


# Shorts that are bought back lift the price by 2 % for good.
SHORT = (-200, 100, 1_000)
"""Due above 21,000 / 202 = 103.96."""


def test_what_forced_buying_saves_is_averted() -> None:
    auditor = fallen({0: 100, 10: 104, 20: 100, 30: 95}, SHORT, LONG)

    # 95 x e ** 0.02 is 96.92: the long lives, and only the shadow is below 95.96.
    assert story(auditor) == [(10, 0, "first_order"), (30, 1, "crossed")]
    assert auditor.census["averted"] == 1


def test_what_has_crossed_before_is_of_first_order_though_the_shadow_has_recovered() -> None:
    # 400 units, due below 39,204 / 396 = 99; whatever is due is sold 15 seconds later.
    seller = (400, 100, 796)
    auditor = fallen(
        {0: 100, 10: 104, 27: 100, 40: 95, 50: 97},
        SHORT,
        LONG,
        seller,
        venue__engine__reaction="15s",
    )

    # Bought at 25 s: + 2 %. Sold at 55 s: - 4 %, which leaves 97 x e ** -0.02 = 95.08.
    expected = [(10, 0, "first_order"), (40, 2, "first_order"), (40, 1, "crossed")]
    assert story(auditor)[:3] == expected
    assert (56, 1, "first_order") in story(auditor)
    event = next(e for e in triggers(auditor) if e.bucket_id == 6)
    assert event.shadow_margin_uusd == (97 * 10 - 950) * 10**6 - 9_700_000 > 0


@pytest.mark.parametrize("is_many", [False, True])
def test_balances_that_change_are_watched_anew(is_many: bool) -> None:
    raw = small_scenario(markets__ETH=market(liquidity=_POWER_BOOK))
    simulation = Simulation(prepared_by_hand(raw, [LONG], {0: 100}), ListSink())
    simulation._fund_owners()
    simulation._open_positions()
    (desk,), bucket = simulation.context.markets, 5
    shadow = Shadow(simulation.context)
    shadow.open_books()
    desk.state.shadow_e8 = 95 * 10**8
    shadow.moved(desk, simulation.journal.next_seq - 1)
    simulation.context.env.run(until=1)
    desk.state.shadow_e8 = 100 * 10**8

    assert shadow.is_due(bucket), "the same balances were due before"

    if is_many:
        shadow.watch_all(np.array([bucket]))
    else:
        shadow.watch(bucket)

    assert not shadow.is_due(bucket)


def test_a_recovered_shadow_does_not_unmake_a_crossing() -> None:
    late = {0: 100, 10: 104, 20: 100, 30: 95, 40: 97, 41: 97}
    auditor = fallen(late, SHORT, LONG, (300, 100, 1_000))

    assert (30, 1, "crossed") in story(auditor)
    assert sum(what == "crossed" for _, who, what in story(auditor) if who == 1) == 1


@pytest.mark.parametrize("multiplier", [2, 5])
def test_a_new_rule_that_makes_an_account_due_induces_it(multiplier: int) -> None:
    changes = [{"at": at(20), "multiplier": multiplier}]
    auditor = fallen({0: 100, 10: 97}, LONG, BIG, markets__ETH__maintenance_changes=changes)

    # 970 x (1 - 0.01 m) - 950: 0.6 at 2 %, -28.5 at 5 %; 9,700 x (1 - 0.01 m) - 9,400: 106, -185.
    due = [] if multiplier == 2 else [(20, 0, "rule_induced"), (20, 1, "rule_induced")]
    assert story(auditor) == due
    if due:
        event = triggers(auditor)[0]
        assert event.start_margin_uusd == 10_300_000
        assert event.margin_uusd == event.shadow_margin_uusd == -28_500_000
        # 5 % of 970.
        assert event.maintenance_uusd == 48_500_000


def test_a_price_that_the_start_would_have_served_is_no_fault_of_the_rule() -> None:
    changes = [{"at": at(20), "multiplier": 2}]
    auditor = fallen({0: 100, 30: 95}, LONG, markets__ETH__maintenance_changes=changes)

    assert story(auditor) == [(30, 0, "first_order")]


def test_lower_maintenance_restores_and_spares() -> None:
    changes = [{"at": at(20), "multiplier": 0}]
    auditor = fallen({0: 100, 30: "95.5", 40: 94}, LONG, markets__ETH__maintenance_changes=changes)

    # Without maintenance it is due below 95.
    assert story(auditor) == [(40, 0, "first_order")]
    assert triggers(auditor)[0].maintenance_uusd == 0


def test_lower_maintenance_closes_an_offer_at_once() -> None:
    raw = HANDMADE["no_executor"](
        markets__ETH__maintenance_changes=[{"at": at(20), "multiplier": Decimal("0.1")}]
    )

    auditor = audited(prepare(load(raw)))

    ended = [e for e in auditor.entries if type(e.event).TAG == "liquidation_ended"]
    assert [entry.sim_time_us for entry in ended] == [20 * 10**6]


def test_the_other_leg_of_a_cross_account_takes_part_of_the_blame() -> None:
    raw = small_scenario(
        markets__ETH=market(liquidity=_POWER_BOOK),
        markets__BTC=market(),
        venue__waterfall={"deleveraging": "none"},
    )
    cross = [(50, 100, 300), (50, 100, 300)]
    prices = {0: 100, 10: "95.4"}, {0: 100, 12: 94}
    auditor = audited(prepared_by_hand(raw, [[(100, 100, 550), None], cross], *prices))

    (one, other) = [triggers(auditor)[0], triggers(auditor)[-1]]
    assert one.other_assets_uusd == 0
    # Its trigger is BTC's, which nobody displaces; ETH's mark costs it 49.5 x 95.4 x (1 - e^-0.01).
    lost = 49.5 * (95.4e8 - round(95.4e8 * math.exp(-0.01))) / 1e8
    assert (other.market_id, other.standing.name) == (1, "FIRST_ORDER")
    assert other.other_assets_uusd == pytest.approx(lost * 1e6, abs=1)


def triggers(auditor: Auditor) -> list[LiquidationTriggered]:
    return [e.event for e in auditor.entries if isinstance(e.event, LiquidationTriggered)]


# The split of a displacement ----------------------------------------------------------------------


def _state(forced: float, hedging: float) -> BookState:
    others = ((hedging, round(hedging)), (0.0, 0))
    total = forced + hedging
    return attrs.evolve(BookState(0, total, round(total), 10**6, 10**6), others=others)


_BOOKS: dict[str, Liquidity] = {
    "linear": FiniteBook(1e10, 1.0, 0.25, 0.3),
    "square root": FiniteBook(1e10, 2.0, 0.25, 0.3),
    "convex": FiniteBook(1e10, 0.5, 0.25, 0.0),
    "ladder": LadderBook([(1_000, 10**9), (10_000, 10**12)], [(1_000, 10**9), (10_000, 10**12)]),
}


@pytest.mark.parametrize("book", _BOOKS.values(), ids=_BOOKS)
@given(st.integers(-(10**11), 10**11), st.integers(-(10**11), 10**11), st.integers(0, 3 * 10**6))
def test_parts_sum_to_the_displacement(
    book: Liquidity, forced: int, hedging: int, at_us: int
) -> None:
    state = _state(float(forced), float(hedging))

    parts = displacement_by_flow_e9(book.displacement, state, at_us)

    assert sum(parts) == round(book.displacement(state, at_us) * 1e9)
    if not hedging:
        assert parts[Flow.HEDGING] == 0
    if forced == hedging:
        assert abs(parts[Flow.FORCED] - parts[Flow.HEDGING]) <= 1


def test_in_a_linear_book_each_flow_has_its_own() -> None:
    # 1 % per 100 units, 30 % of it for good: 5 bought against 200 sold.
    parts = displacement_by_flow_e9(_BOOKS["linear"].displacement, _state(-2e10, 5e8), 0)

    assert parts == (-20_000_000, 500_000, 0)


def test_in_a_concave_book_a_flow_has_the_mean_of_what_it_adds_first_and_last() -> None:
    book = FiniteBook(1e10, 2.0, 0.25, 0.0)

    parts = displacement_by_flow_e9(book.displacement, _state(-3e10, -1e10), 0)

    # sqrt(3) alone and 2 - 1 on top of the other: 1.366 %; the other 1 and 2 - sqrt(3): 0.634 %.
    first = round((math.sqrt(3) + 1) / 2 * 1e7)
    assert abs(parts[Flow.FORCED] + first) <= 1
    assert sum(parts) == -20_000_000


def test_flows_that_cancel_leave_nothing_large_behind() -> None:
    book = _BOOKS["square root"]

    parts = displacement_by_flow_e9(book.displacement, _state(-1e10, 1e10 - 1), 0)

    assert all(abs(part) < 20_000_000 for part in parts)


def test_all_flows_together_are_what_is_in_the_book() -> None:
    # In sum the parts come to -2, a rounding off the -1 that the book keeps, which is dust.
    book = LadderBook([(50_000, 10**16)], [(50_000, 10**16)])
    others = ((-5_386_952.51, -21_547_810), (-9_142_278_250_317_274.0, -36_569_113_001_269_096))
    state = attrs.evolve(BookState(0, -1.0, 0, 10**6, 10**6), others=others)

    parts = displacement_by_flow_e9(book.displacement, state, 500)

    # Forced flow bought, the others sold: a = ln 1.05, b = ln 0.95. It is a alone, a - b on top of
    # either, and -b on top of both.
    assert parts[Flow.FORCED] == round(2 / 3 * math.log(1.05 / 0.95) * 1e9)
    assert sum(parts) == 0
