"""
New accounts: how many come, who of the candidates is let in, and what one of them pays.

Without a dip and without elasticities the arrivals of an hour are Poisson: thinning candidates
that come at `max_per_hour` with probability per_hour / max_per_hour leaves a Poisson process.
"""

import math
from decimal import Decimal
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any

import attrs
import pytest
from support.scenarios import (
    Raw,
    at,
    changed,
    constant,
    events_of,
    knots,
    listed,
    load,
    market,
    newcomers,
    small_scenario,
)

from liqsim.errors import ScenarioError
from liqsim.events import (
    Entry,
    FundsDeposited,
    LiquidationTriggered,
    OracleUpdated,
    OrderFilled,
    Standing,
    SurplusRouted,
    TradeFilled,
    TradeReason,
)
from liqsim.mechanics.arrivals import Highs
from liqsim.rng import Stream
from liqsim.runner import prepare, run_to_log
from replay.log import Log

_TRADERS = "population__cohorts__longs__traders"
_HOUR_US = 3_600 * 10**6


def growing(law: Raw, **overrides: Any) -> Raw:
    """Return a market at 100 in which accounts like the one of the start arrive."""
    arrivals = {"per_hour": 720, "max_per_hour": 2_880, "accounts_max": 300} | law
    table = {"reaction": constant("1s"), "arrivals": arrivals}
    return changed(small_scenario(**{_TRADERS: table}), overrides)


def falling(law: Raw, **overrides: Any) -> Raw:
    """Return the same in a market that falls by a tenth and rises again, twice."""
    path = knots((0, 100), (15, 90), (30, 99), (45, 90), (60, 100))
    return growing(law, **{"markets__ETH__path": path} | overrides)


def arrived(entries: list[Entry]) -> list[tuple[int, int]]:
    """Return when accounts arrived, and the units of each."""
    return [
        (entry.sim_time_us, entry.event.ordered_e8)
        for entry in entries
        if isinstance(entry.event, TradeFilled) and entry.event.reason is TradeReason.ARRIVED
    ]


def arrivals_of(raw: Raw) -> list[tuple[int, int]]:
    """Return when accounts arrive in a run of *raw*, and the units of each."""
    return arrived(events_of(raw))


# How many -----------------------------------------------------------------------------------------


def test_the_arrivals_of_a_span_are_poisson() -> None:
    # 720 an hour are 12 a minute. Of 150 minutes the sum is Poisson(1,800), with a deviation of
    # 42.4; the sum of squares over the mean is chi square with 149 degrees of freedom, deviation
    # 17.3. Four deviations are beyond the quantiles of 1 in 10,000.
    counts = [len(arrivals_of(growing({}, seed=seed))) for seed in range(150)]

    mean = fmean(counts)
    assert abs(sum(counts) - 1_800) < 4 * 42.4
    assert abs(sum((count - mean) ** 2 for count in counts) / mean - 149) < 4 * 17.3


def test_the_times_between_arrivals_are_exponential() -> None:
    # Mean 5 s; of an exponential law the share above it is 1 / e, the share above twice 1 / e^2.
    path, gaps = knots((0, 100), (600, 100)), []
    for seed in range(6):
        raw = growing({}, seed=seed, end=at(600), markets__ETH__path=path)
        times = [at_us for at_us, _ in arrivals_of(raw)]
        gaps += [b - a for a, b in zip([0, *times], times, strict=False)]

    for multiple in (1, 2):
        share = sum(gap > 5_000_000 * multiple for gap in gaps) / len(gaps)
        assert share == pytest.approx(math.exp(-multiple), abs=4 * 0.5 / math.sqrt(len(gaps)))


# Who of the candidates ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "more",
    [
        {"per_hour": 1_500},
        {"dip_slope": 30},
        {"dip_slope": 15, "dip_window": "60s"},
        {"dip_slope": 15, "windows": []},
    ],
)
def test_a_higher_intensity_lets_in_all_that_a_lower_one_does(more: Raw) -> None:
    few_law = {"long_share": Decimal("0.5"), "dip_slope": 15, "dip_window": "20s"}
    few_law |= {"windows": [[at(10), at(50)]]} if "windows" in more else {}
    few, many = (set(arrivals_of(falling(law))) for law in (few_law, few_law | more))

    assert few < many


def test_a_dip_brings_longs_and_no_shorts() -> None:
    law = {"long_share": Decimal("0.5")}
    calm, dip = (set(arrivals_of(falling(law | {"dip_slope": slope}))) for slope in (0, 40))

    assert {units > 0 for _, units in dip - calm} == {True}
    assert {units for units in calm if units[1] < 0} == {units for units in dip if units[1] < 0}


def test_fewer_arrive_once_the_venue_asks_for_more() -> None:
    law = {"margin_elasticity": 2, "margin_reference": Decimal("0.02")}
    asked = {"markets__ETH__initial": [[0, Decimal("0.02")]]}
    doubled = [{"at": at(30), "multiplier": 2}]
    before = arrivals_of(growing(law, **asked))
    after = arrivals_of(growing(law, **asked, markets__ETH__maintenance_changes=doubled))

    assert before == arrivals_of(growing({}, **asked))
    assert [a for a in after if a[0] < 30 * 10**6] == [a for a in before if a[0] < 30 * 10**6]
    assert set(after) < set(before)
    # A quarter of them, by 2 ** -2.
    late, all_late = (len([a for a in found if a[0] >= 30 * 10**6]) for found in (after, before))
    assert late < all_late / 2


def test_fewer_arrive_where_the_initial_margin_or_the_fee_is_higher() -> None:
    margin = {"margin_elasticity": 1, "margin_reference": Decimal("0.02")}
    fee = {"fee_elasticity": 1, "fee_reference": Decimal("0.0005")}

    def with_margin(rate: str) -> set[tuple[int, int]]:
        tiers = [[0, Decimal(rate)]]
        return set(arrivals_of(growing(margin, markets__ETH__initial=tiers)))

    def with_fee(rate: str) -> set[tuple[int, int]]:
        return set(arrivals_of(growing(fee, venue__fees={"taker": Decimal(rate)})))

    assert with_margin("0.04") < with_margin("0.02") < with_margin("0.01")
    assert with_fee("0.001") < with_fee("0.0005") < with_fee("0.0002")


def test_who_is_let_in_is_what_the_formula_says() -> None:
    # The same draws, the highest mark by a look at all of them, and powers by logarithms.
    law = {
        "long_share": Decimal("0.6"),
        "dip_slope": 20,
        "dip_window": "12s",
        "margin_elasticity": 1.5,
        "margin_reference": Decimal("0.03"),
        "fee_elasticity": 0.5,
        "fee_reference": Decimal("0.001"),
    }
    raw = falling(
        law,
        markets__ETH__initial=[[0, Decimal("0.02")]],
        markets__ETH__maintenance_changes=[{"at": at(40), "multiplier": 3}],
        venue__fees={"taker": Decimal("0.0005")},
        seed=3,
    )
    entries = events_of(raw)
    marks = [
        (entry.sim_time_us, entry.event.mark_price_e8)
        for entry in entries
        if isinstance(entry.event, OracleUpdated)
    ]
    streams = {
        name: Stream(3, "traders.longs", f"arrival_{name}") for name in ("gap", "admission", "side")
    }

    right, now_us, number = [], 0, 0
    while True:
        now_us += round(-math.log(streams["gap"].at(number, 0)) * _HOUR_US / 2_880)
        if now_us >= 60 * 10**6:
            break
        seen = [price for at_us, price in marks if at_us <= now_us]
        recent = [price for at_us, price in marks if now_us - 12 * 10**6 <= at_us <= now_us]
        fall = 1 - seen[-1] / max([*recent, seen[-1]])
        is_long = streams["side"].at(number, 0) < 0.6
        asked = 0.02 * (3 if now_us >= 40 * 10**6 else 1)
        rate = 720 * (1 + 20 * fall * is_long)
        rate *= math.exp(-1.5 * math.log(asked / 0.03) - 0.5 * math.log(0.0005 / 0.001))
        if streams["admission"].at(number, 0) < rate / 2_880:
            right.append((now_us, is_long))
        number += 1

    assert [(at_us, units > 0) for at_us, units in arrived(entries)] == right
    assert 3 < len(right) < number


def test_the_highest_of_a_window_is_what_a_look_at_all_finds() -> None:
    random = Random(1)
    highs, seen = Highs(50), []
    for now_us in sorted(random.sample(range(1_000), 300)):
        seen.append((now_us, random.randrange(1, 20)))
        highs.saw(*seen[-1])
        then_us = now_us + random.randrange(3)
        high = max([p for t, p in seen if t >= then_us - 50] + [seen[-1][1]])
        assert highs.fall(then_us) == (high - seen[-1][1]) / high
    assert Highs(50).fall(7) == 0


def test_nobody_arrives_before_a_price_is_known_nor_outside_the_windows() -> None:
    late = growing({}, markets__ETH__oracle__sources__one__offset="20s")
    spans = growing({"windows": [[at(10), at(20)], [at(40), at(50)]]})

    assert min(at_us for at_us, _ in arrivals_of(late)) > 20 * 10**6
    assert arrivals_of(spans) == [
        (at_us, units)
        for at_us, units in arrivals_of(growing({}))
        if at_us // 10**7 in (1, 4)  # In tens of seconds.
    ]


def test_accounts_arrive_as_owners_of_their_own_until_there_are_no_more(tmp_path: Path) -> None:
    raw = growing({"accounts_max": 4})
    run_to_log(load(raw), tmp_path / "run.duckdb")

    with Log(tmp_path / "run.duckdb") as log:
        found = log.outcome()
        rows = log.sql(
            "select owner, owner_kind, cohort, purpose from deposits where purpose = 'arrival'"
        ).fetchall()
        held = {
            row[1]: row[4]
            for row in log.state_at(seq=log.reader.last_seq).balances().fetchall()
            if row[3] == "ETH" and row[2] == "bucket"
        }
        assert log.verify() == []

    names = [f"longs_{number:05d}" for number in range(1, 5)]
    assert rows == [(name, "bucket", "longs", "arrival") for name in names]
    assert held == dict.fromkeys(["longs_00000", *names], 10)
    assert (found["accounts"], found["arrived_accounts"], found["arrivals_used_up"]) == (5, 4, 1)
    assert (found["arrived_usd"], found["arrived_liquidated"]) == ("4000.000000", 0)


def test_who_may_arrive_and_has_not_is_no_account(tmp_path: Path) -> None:
    run_to_log(load(growing({"windows": [[at(0), at(1)]]})), tmp_path / "run.duckdb")
    with Log(tmp_path / "run.duckdb") as log:
        found = log.outcome()

    assert found["accounts"] == 1 + found["arrived_accounts"] < 10
    assert found["arrivals_used_up"] == 0


# What one pays ------------------------------------------------------------------------------------


def test_an_arrival_that_is_liquidated_to_the_cent() -> None:
    """
    The account arrives at 100, and is liquidated at 90.50.

    It is long 1,000 USD at leverage 10: 10 units on 100, and a fee of 0.1 %, 1. Of the 101 that it
    pays in, 101 - 1,000 - 1 = -900 is its cash. At 90.50 its margin at 1 % is -900 + 905 - 9.05 =
    -4.05. All ten are sold at 90.50 for 905, less a fee of 0.905; its bankruptcy price is 90, so 5
    - 0.905 = 4.095 are surplus, and the account is left with nothing.
    """
    path = knots((0, 100), (29, 100), (30, "90.5"), (60, "90.5"))
    raw = growing(
        {"accounts_max": 1},
        markets__ETH=market(path=path),
        venue__fees={"taker": Decimal("0.001")},
    )
    entries = events_of(raw)
    newcomer = prepare(load(raw)).reserved[0].buckets[0]
    mine = [
        entry
        for entry in entries
        if newcomer
        in (getattr(entry.event, "bucket_id", None), getattr(entry.event, "owner_id", None))
    ]
    kinds: dict[type[Any], Any] = {type(entry.event): entry.event for entry in mine}

    paid, opened = mine[:2]
    assert paid.event == FundsDeposited(newcomer, 101_000_000)
    assert (paid.cause_seq, opened.cause_seq) == (-1, paid.seq)
    trade = kinds[TradeFilled]
    assert (trade.quantity_e8, trade.cost_uusd, trade.fee_uusd) == (10**9, 10**9, 10**6)
    assert trade.entry_price_e8 == 100 * 10**8
    trigger = kinds[LiquidationTriggered]
    assert (trigger.margin_uusd, trigger.bankruptcy_price_e8) == (-4_050_000, 90 * 10**8)
    fill = kinds[OrderFilled]
    assert (fill.quantity_e8, fill.cost_uusd, fill.fee_uusd) == (-(10**9), -905_000_000, 905_000)
    assert kinds[SurplusRouted].amount_uusd == 4_095_000


def test_who_arrives_in_another_market_is_judged_by_its_price() -> None:
    # The first market stands still. The second falls to where everyone in it is bankrupt.
    path = knots((0, 200), (30, 200), (31, 170), (60, 170))
    book = {"kind": "power_book", "depth_usd": 10**6, "half_life": "20s"}
    raw = growing({"accounts_max": 3}, markets__BTC=market(path=path, liquidity=book))
    cohort_of_btc = raw["population"]["cohorts"]["longs"] | {"market": "BTC"}
    raw["population"]["cohorts"]["bulls"] = cohort_of_btc
    kept = {reserved.cohort.name: reserved for reserved in prepare(load(raw)).reserved}
    due = {
        entry.event.bucket_id: entry.event
        for entry in events_of(raw)
        if isinstance(entry.event, LiquidationTriggered)
    }

    assert {*kept["bulls"].buckets} < {*due}
    assert {event.market_id for event in due.values()} == {1}
    assert {event.standing for event in due.values()} == {Standing.FIRST_ORDER}


def test_who_arrives_acts_like_an_account_of_the_start() -> None:
    # Half of each cohort's accounts have a stop; draws of newcomers go by the candidate.
    raw = growing({"accounts_max": 40}, markets__ETH__path=knots((0, 100), (30, 100), (60, 94)))
    stop = {"share": Decimal("0.5"), "nearest": Decimal("0.02"), "farthest": Decimal("0.03")}
    entries = events_of(changed(raw, {f"{_TRADERS}__stop": stop}))
    stopped = {
        entry.event.bucket_id
        for entry in entries
        if isinstance(entry.event, TradeFilled) and entry.event.reason is TradeReason.STOPPED
    }

    assert 0 < len(stopped) < len(arrived(entries))


def test_stops_of_newcomers_do_not_depend_on_who_else_was_let_in() -> None:
    raw = newcomers(markets__ETH__liquidity={"kind": "no_impact"})
    few = changed(raw, {"population__cohorts__crowd__traders__arrivals__per_hour": 250})

    def stops(tables: Raw) -> dict[tuple[int, int], tuple[int, int]]:
        """Return when and by how much newcomers stopped, by when and with how much they came."""
        came, left = {}, {}
        for entry in events_of(tables):
            if isinstance(entry.event, TradeFilled):
                what = entry.sim_time_us, entry.event.quantity_e8
                if entry.event.reason is TradeReason.ARRIVED:
                    came[entry.event.bucket_id] = what
                elif entry.event.bucket_id in came:
                    left[came[entry.event.bucket_id]] = what
        return left

    of_many, of_few = stops(raw), stops(few)
    shared = of_many.keys() & of_few.keys()
    assert shared
    assert {key: of_many[key] for key in shared} == {key: of_few[key] for key in shared}


def test_an_account_of_a_file_may_not_have_the_name_of_one_that_may_arrive() -> None:
    row = ("longs_00300", "ETH", 1, 100, 50)
    raw = growing({}, population__accounts=listed(row))

    with pytest.raises(ScenarioError, match="name of an account of"):
        load(raw)
    assert load(growing({"accounts_max": 299}, population__accounts=listed(row)))


def test_the_branching_before_the_run_knows_nothing_of_who_may_arrive() -> None:
    raw = newcomers()
    without = newcomers()
    del without["population"]["cohorts"]["crowd"]["traders"]["arrivals"]

    some, none = (prepare(load(tables)) for tables in (raw, without))

    assert [attrs.asdict(b) for b in some.branching()] == [
        attrs.asdict(b) for b in none.branching()
    ]
    assert len(some.owners()) == len(none.owners()) + 25
