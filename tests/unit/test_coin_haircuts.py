"""
A haircut on coins that follows correlation, worked out by hand.

Amounts in the comments are USD. The account is long 10 at 100 with one coin and cash of -1,000, and
must keep 1 %. A tenth of the coin does not count: its margin is -1,000 + 9.9 P + 0.9 P, below zero
under 92.593. ETH and BTC fall at 15 s as one, from 100 to 93: the look at 20 s sees a correlation
of 1.
"""

from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import pytest
from support.scenarios import (
    Raw,
    at,
    changed,
    cut_short,
    events_of,
    in_coins,
    knots,
    listed,
    load,
    make_inverse,
    market,
    prepared_by_hand,
    small_scenario,
)
from support.sinks import ListSink
from support.verdicts import codes
from unit.handmade_log import tamper

from liqsim.cli.life_table import describe_life
from liqsim.cli.state_table import describe_owner, describe_state
from liqsim.errors import ScenarioError
from liqsim.eventlog.reader import open_log
from liqsim.events import (
    CoinHaircutChanged,
    DecisionRecorded,
    Entry,
    LiquidationTriggered,
    MaintenanceChanged,
    Standing,
)
from liqsim.processes import maintenance
from liqsim.runner import Simulation, run_to_log
from replay.log import Log
from replay.verify import verify

RULE: Final = {
    "kind": "correlation_margin",
    "scales": "haircut",
    "market": "ETH",
    "period": "10s",
    "half_life": "10s",
    "reference": Decimal("0.5"),
    "high": 2,
    "ramp": 50,
    "restore": 50,
    "grain": Decimal("0.000001"),
    "notice": "5s",
}
LONG: Final = (10, 100, 0, 1)
OTHER: Final = [None, (10, 100, 1_000)]
FALL: Final = {0: 100, 15: 93}
REFUSED: Final = 'mitigations.0.scales = "haircut" must be "maintenance": '


def under(*rules: Raw, **changes: Any) -> Raw:
    raw = small_scenario(
        markets={"ETH": market(), "BTC": market()},
        mitigations=list(rules),
        venue__margin={"coin_haircut": Decimal("0.1")},
        population__cohorts__longs__collateral="coin",
    )
    return changed(raw, changes)


def run(raw: Raw, *prices: dict[int, Any]) -> list[Entry]:
    """Return what happens to the account in two markets with these marks."""
    sink = ListSink()
    Simulation(prepared_by_hand(raw, [LONG, OTHER], *(prices or (FALL, FALL))), sink).run()
    return sink.entries


def haircuts(entries: list[Entry]) -> list[tuple[float, int, int]]:
    """Return when haircuts changed, where, and to what."""
    return [
        (entry.sim_time_us / 10**6, e.market_id, e.coin_haircut_e6)
        for entry in entries
        if isinstance(e := entry.event, CoinHaircutChanged)
    ]


def triggers(entries: list[Entry]) -> list[Any]:
    return [entry for entry in entries if isinstance(entry.event, LiquidationTriggered)]


# What it does -------------------------------------------------------------------------------------


def test_who_is_due_by_a_raised_haircut_alone_is_liquidated_by_rule() -> None:
    entries = run(under(RULE))

    # 2 x 0.1: at 93 the margin is -1,000 + 920.7 + 74.4 = -4.9; under 0.1 it was 4.4.
    assert haircuts(entries) == [(25, 0, 200_000)]
    (trigger,) = triggers(entries)
    assert trigger.sim_time_us == 25_000_000
    assert trigger.event.margin_uusd == trigger.event.shadow_margin_uusd == -4_900_000
    assert trigger.event.start_margin_uusd == 4_400_000
    assert trigger.event.maintenance_uusd == 9_300_000
    assert trigger.event.standing is Standing.RULE_INDUCED
    change = entries[trigger.cause_seq]
    assert isinstance(change.event, CoinHaircutChanged)
    decision = entries[change.cause_seq]
    assert isinstance(decision.event, DecisionRecorded)
    assert (decision.sim_time_us, decision.event.from_at_us) == (20_000_000, 25_000_000)
    assert (decision.event.correlation_e6, decision.event.multiplier_e6) == (10**6, 2 * 10**6)
    assert not any(isinstance(entry.event, MaintenanceChanged) for entry in entries)


def test_nobody_is_due_by_it_before_it_holds() -> None:
    fall = {0: 100, 15: 93, 24: 95}

    assert triggers(run(under(RULE), fall, fall)) == []


def test_of_an_inverse_contract_the_coins_are_cut_likewise() -> None:
    raw = under(RULE)
    make_inverse(raw, "ETH")
    raw["markets"]["ETH"]["maintenance_usd"] = [[0, Decimal("0.01")]]

    # 1,000 dollars, of which maintenance is 10: -1,010 + 10 x 93 + 0.8 x 93 = -5.6, and 3.7.
    (trigger,) = triggers(run(raw))
    assert trigger.event.margin_uusd == -5_600_000
    assert trigger.event.start_margin_uusd == 3_700_000
    assert trigger.event.standing is Standing.RULE_INDUCED


def test_the_haircut_ramps_and_goes_back_by_itself() -> None:
    steps = {"ramp": Decimal("0.3"), "restore": Decimal("0.2"), "half_life": "10s"}
    up = {0: 100, 15: 110, 25: 121, 35: 133}
    apart = {0: 100, 15: 110, 25: 121, 35: 110, 45: 99, 55: 89}
    rule = RULE | steps | {"high": Decimal("1.5")}
    entries = run(under(rule, end=small_scenario()["end"]), up, apart)

    # 1 until 30 s, and less as one goes up and the other does not: then at half of it, the start's.
    told = [(at_s, haircut) for at_s, _, haircut in haircuts(entries)]
    assert told[:2] == [(25, 130_000), (35, 150_000)]
    assert all(b - a >= -20_000 for (_, a), (_, b) in pairwise(told))
    assert told[-1][1] < 150_000


def test_several_rules_and_the_rates_are_each_their_own_product() -> None:
    rows = [
        RULE | {"name": "twice"},
        RULE | {"name": "more", "high": Decimal("1.200001")},
        RULE | {"name": "rates", "scales": "maintenance", "high": 3},
    ]
    entries = run(under(*rows))

    # 0.1 x 2 x 1.200001 = 0.2400002, rounded up; the newest decision of the two has brought it.
    assert haircuts(entries) == [(25, 0, 240_001)]
    rates = [entry for entry in entries if isinstance(entry.event, MaintenanceChanged)]
    assert [entry.event.multiplier_e6 for entry in rates] == [2_000_000]  # type: ignore[union-attr]
    (change,) = (e for e in entries if isinstance(e.event, CoinHaircutChanged))
    decisions = [e for e in entries if isinstance(e.event, DecisionRecorded)]
    assert [e.event.mitigation_id for e in decisions] == [0, 1, 2]  # type: ignore[union-attr]
    assert change.cause_seq == decisions[1].seq
    # At rates of 2 %: -1,000 + 9.8 x 93 + 0.759999 x 93, due at once, as rates change first.
    (trigger,) = triggers(entries)
    assert trigger.cause_seq == rates[0].seq < change.seq


def test_a_haircut_that_rounds_to_the_same_is_no_change() -> None:
    raw = under(RULE | {"high": Decimal("1.00001")}, venue__margin__coin_haircut=Decimal("0.01"))
    step = {0: 100, 15: 110, 25: 100}

    # 0.01 x 1.00001 is above 0.01, rounded up by a millionth, and stays so.
    assert haircuts(run(raw, step, step)) == [(25, 0, 10_001)]


def test_markets_without_coins_are_left_alone() -> None:
    entries = run(under(RULE | {"market": ""}))

    decided = [e.event.market_id for e in entries if isinstance(e.event, DecisionRecorded)]
    assert decided == [0]
    assert [market_id for _, market_id, _ in haircuts(entries)] == [0]


def test_what_never_binds_is_as_if_it_were_absent() -> None:
    raw = in_coins(venue__margin={"coin_haircut": Decimal("0.1")})
    idle = RULE | {"market": "", "period": "2s", "high": 1}

    assert events_of(raw | {"mitigations": [idle]}) == events_of(raw)


@pytest.mark.parametrize("seconds", [25, 40])
def test_nothing_is_cut_by_what_comes_later(seconds: int) -> None:
    raw, other = cut_short(), cut_short()
    other["markets"]["BTC"]["shocks"] = [
        {"at": at(seconds), "fraction": Decimal("0.4"), "over": "3s"}
    ]
    before, after = (
        [entry for entry in events_of(run) if entry.sim_time_us < seconds * 10**6]
        for run in (raw, other)
    )

    assert sum(isinstance(entry.event, DecisionRecorded) for entry in before) > 5
    assert before == after
    assert events_of(raw) != events_of(other)


def test_every_change_was_announced_and_is_bounded_and_ramped() -> None:
    entries, rules = events_of(cut_short()), cut_short()["mitigations"]
    chains: dict[tuple[int, int], list[Decimal]] = {}
    for entry in entries:
        e: Any = entry.event
        if isinstance(e, DecisionRecorded):
            rule = rules[e.mitigation_id]
            chain = chains.setdefault((e.mitigation_id, e.market_id), [Decimal(1)])
            chain.append(Decimal(e.multiplier_e6) / 10**6)
            assert -rule["restore"] <= chain[-1] - chain[-2] <= rule["ramp"]
            assert rule["low"] <= chain[-1] <= rule["high"]
        elif isinstance(e, CoinHaircutChanged):
            cause: Any = entries[entry.cause_seq].event
            assert (cause.market_id, cause.from_at_us) == (e.market_id, entry.sim_time_us)
            assert rules[cause.mitigation_id]["scales"] == "haircut"
    assert sorted(chains) == [(0, 0), (0, 1), (1, 0), (2, 0)]


def test_a_lower_haircut_spares_who_would_be_due() -> None:
    # Returns that cancel: the correlation at 30 s is 0, and all of the coin counts from then on.
    eth = {0: 100, 15: 110, 25: 121, 40: "92.2"}
    btc = {0: 100, 15: 110, 25: 100, 40: 100}
    rule = RULE | {"low": 0, "reference": 1, "notice": "0s"}

    # At 92.2 the margin is -1,000 + 10.8 x 92.2 = -4.24, and 4.98 under no haircut.
    assert len(triggers(run(under(rule | {"low": 1}), eth, btc))) == 1
    entries = run(under(rule), eth, btc)
    assert haircuts(entries)[0] == (30, 0, 0)
    assert [e for e in triggers(entries) if e.sim_time_us < 50_000_000] == []


# What is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "changes", "told"),
    [
        (
            [RULE | {"high": 10}],
            {},
            "mitigations.0.high = 10 must be at most 9.99999, or the haircut on coins in ETH, 0.1",
        ),
        (
            [RULE | {"name": "one", "high": 4}, RULE | {"name": "two", "high": 3}],
            {},
            "mitigations.1.high = 3 must be at most 2.499997",
        ),
        (
            [RULE],
            {"venue__margin__coin_haircut": 0},
            REFUSED + "venue.margin.coin_haircut is 0, and so is every multiple of it",
        ),
        (
            [RULE | {"market": "BTC"}],
            {},
            REFUSED + "no account has coins as collateral in BTC",
        ),
        (
            [RULE | {"market": ""}],
            {"population__cohorts__longs__collateral": "usd"},
            REFUSED + "no account has coins as collateral in any market",
        ),
        ([RULE | {"scales": "cut"}], {}, "mitigations.0.scales"),
    ],
)
def test_what_cannot_be_is_refused(rows: list[Raw], changes: Raw, told: str) -> None:
    with pytest.raises(ScenarioError) as refusal:
        load(under(*rows, **changes))
    assert told in str(refusal.value)


def test_the_highest_that_stays_below_one_is_let() -> None:
    load(under(RULE | {"high": Decimal("9.99999")}))


def test_what_is_off_is_not_asked_for_coins() -> None:
    load(under(RULE | {"on": False}, population__cohorts__longs__collateral="usd"))


# The read side ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log in which haircuts move."""
    path = tmp_path_factory.mktemp("cut") / "run.duckdb"
    run_to_log(load(cut_short()), path)
    return path


def test_the_audit_finds_nothing_where_haircuts_follow_correlation(log: Path) -> None:
    assert verify(log) == []
    with open_log(log) as reader:
        assert reader.rows("select count(*) > 15 from coin_haircut_changed") == [(True,)]
        by_rule = (
            "select count(*) from liquidation_triggered as t "
            "join coin_haircut_changed as c on c.seq = t.cause_seq "
            "where t.standing = 'rule_induced'"
        )
        assert reader.rows(by_rule)[0][0] > 1


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("update coin_haircut_changed set coin_haircut = coin_haircut + 0.000001", "coin_haircut"),
        (
            "update coin_haircut_changed set sim_time = sim_time - interval 1 microsecond",
            "coin_haircut",
        ),
        ("update coin_haircut_changed set cause_seq = cause_seq - 1", "cause_kind"),
        ("update coin_haircut_changed set market_id = 1 - market_id", "cause_kind"),
        (
            "update coin_haircut_changed set coin_haircut = 0.1 where coin_haircut > 0.1",
            "margin",
        ),
    ],
)
def test_changed_rows_are_found_out(statement: str, code: str, tmp_path: Path, log: Path) -> None:
    path = tmp_path / "run.duckdb"
    path.write_bytes(log.read_bytes())
    tamper(path, statement)

    assert code in codes(path)


def test_a_haircut_that_never_comes_is_found_out(tmp_path: Path) -> None:
    path = tmp_path / "run.duckdb"
    with patch.object(maintenance.Maintenance, "_change_haircut", lambda *_: None):
        run_to_log(load(cut_short()), path)

    assert codes(path) == {"coin_haircut"}


def test_a_rule_that_follows_correlation_never_moves_anything_alone(tmp_path: Path) -> None:
    rule = RULE | {"market": ""}
    raw = in_coins(mitigations=[rule], venue__margin={"coin_haircut": Decimal("0.1")})
    del raw["markets"]["BTC"], raw["population"]["cohorts"]["btc"]
    run_to_log(load(raw), tmp_path / "run.duckdb")

    assert verify(tmp_path / "run.duckdb") == []
    with open_log(tmp_path / "run.duckdb") as reader:
        assert reader.rows("select count(*) from decision_recorded") == [(0,)]


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of the account, from a file, that only its rates and its haircut bring about."""
    path = tmp_path_factory.mktemp("hand") / "run.duckdb"
    rows = listed(
        ("coin", "ETH", 10, 100, "", 1),
        ("other", "BTC", 10, 100, 1_000, ""),
        ("usd", "ETH", 1, 100, 50, ""),
    )
    fall = {"path": knots((0, 100), (14, 100), (15, 94), (50, 94), (51, Decimal("93.5")), (60, 93))}
    raw = under(
        RULE,
        RULE | {"name": "rates", "scales": "maintenance", "notice": "15s", "high": Decimal("1.5")},
        markets={"ETH": market(**fall), "BTC": market(**fall)},
    )
    run_to_log(load(raw | {"population": {"accounts": rows}}), path)
    return path


def test_what_is_asked_on_top_counts_the_coins_that_are_cut(by_hand: Path) -> None:
    with Log(by_hand) as log:
        changes = log.sql("select market, coin_haircut from coin_haircut_changes").fetchall()
        asked = log.sql(
            "select market, multiplier, coin_haircut, maintenance_usd, at_start_usd, coins_usd, "
            "more_usd from margins_asked order by seq"
        ).fetchall()

    # 1 % of 940 and of 94 are 10.34, a tenth of the coin is 9.4; later rates are 1.5 %.
    assert changes == [("ETH", Decimal("0.2"))]
    start, cut = Decimal("10.34"), Decimal("9.4")
    assert asked == [
        ("ETH", 1, Decimal("0.2"), start, start, cut, cut),
        ("ETH", Decimal("1.5"), Decimal("0.2"), Decimal("15.51"), start, cut, Decimal("14.57")),
    ]


def test_the_ladder_counts_coins_by_the_haircut_in_force(by_hand: Path) -> None:
    first = "where accounts > 0 and market = 'ETH' and side = 'long' order by step limit 1"
    with Log(by_hand) as log:
        cut = log.sql("select seq from coin_haircut_changed").fetchall()[0][0]
        ladders = [
            log.sql(
                f"select step from liquidation_ladder_at({seq}, timestamp '2026-01-01') {first}"
            )
            for seq in (cut - 1, cut)
        ]
        steps = [ladder.fetchall() for ladder in ladders]

    # From 94 it is due below 92.593 = -1.5 %, and below 1,000 / 10.7 = 93.458 = -0.58 %.
    assert steps == [[(2,)], [(1,)]]


def test_states_and_lives_tell_the_margin_under_the_haircut_in_force(by_hand: Path) -> None:
    with Log(by_hand) as log:
        trigger = log.sql("select seq, margin_usd from liquidation_triggered").fetchall()
        states = [log.state_at(seq=seq) for seq in (0, trigger[0][0])]
        told = [describe_state(log, state)["marks"] for state in states]
        stands = describe_owner(log, states[-1], "coin")
        (due,) = (e for e in describe_life(log, "coin")["events"] if e["what"] == "trigger")

    assert told[0] == []
    assert [mark["coin_haircut"] for mark in told[1]] == [Decimal("0.2"), None]
    assert stands["margin"]["margin_usd"] == due["margin_usd"] == trigger[0][1] < 0
