"""
Halts worked out by hand, with every balance, and venues that break one.

Amounts in the comments are USD. Unless a test says otherwise the account is long 10 at 100 with a
collateral of 100: cash -900, bankrupt at 90, due below 90.909. A fall of more than 5 % within ten
seconds halts liquidations for 20 s, which then cools down for 20 s.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import patch

import attrs
import pytest
from support.halting import breaker, grace, inert, when
from support.scenarios import (
    Raw,
    at,
    constant,
    engine_cascade,
    events_of,
    keeper,
    keeper_race,
    knots,
    load,
    market,
    newcomers,
    panic,
    prepared_by_hand,
    small_scenario,
    source,
)
from support.sinks import ListSink
from support.verdicts import codes_of

from liqsim.errors import ScenarioError
from liqsim.events import (
    Action,
    DecisionRecorded,
    Entry,
    FailedCall,
    FundDrawn,
    FundsDeposited,
    KeeperCallFailed,
    LiquidationEnded,
    LiquidationOutcome,
    LiquidationTriggered,
    LiquidationUnresolved,
    OrderFilled,
    TradeFilled,
    TrancheSettled,
    TrancheStarted,
    TrancheTakenOver,
    UnresolvedReason,
)
from liqsim.journal import Journal
from liqsim.processes.grace import Graces
from liqsim.processes.halts import Halts
from liqsim.processes.orders import Orders
from liqsim.processes.venue import Venue
from liqsim.runner import Simulation, run_to_log
from replay.log import Log

LONG = (10, 100, 100)
CALM = (10, 100, 900)
OUTSIDE, MAKERS, FUND, TREASURY, NETWORK, FIRST = range(6)
FALL = when("fall", Decimal("0.05"))


def usd(value: float | str) -> int:
    return int(Decimal(str(value)) * 10**6)


def e8(value: float | str) -> int:
    return int(Decimal(str(value)) * 10**8)


def us(seconds: float) -> int:
    return round(seconds * 10**6)


class Run:
    """A finished run: its events and its closing balances in USD and units."""

    def __init__(self, raw: Raw, positions: Sequence[Any], *prices: dict[int, Any]) -> None:
        sink = ListSink()
        simulation = Simulation(prepared_by_hand(raw, list(positions), *prices), sink)
        simulation.run()
        ledger = simulation.world.ledger
        self.entries: list[Entry] = sink.entries
        self.cash = [Decimal(value).scaleb(-6) for value in ledger.cash.tolist()]
        self.units = [Decimal(value).scaleb(-8) for value in ledger.units[0].tolist()]
        self.of = sink.of

    def times_of(self, cls: type[Any]) -> list[float]:
        """Return the seconds at which events of *cls* happened."""
        return [e.sim_time_us / 10**6 for e in self.entries if isinstance(e.event, cls)]


def keepers(**changes: Any) -> Raw:
    """Return a scenario where a keeper takes over at the mark, two seconds after an offer."""
    raw = small_scenario(
        venue__executor="keepers",
        venue__keepers={"discount": 0, "bots": {"ann": keeper(call_cost_usd=1)}},
        **changes,
    )
    del raw["venue"]["engine"]
    return raw


# By hand ------------------------------------------------------------------------------------------


def test_a_halt_saves_who_recovers_inside_it() -> None:
    raw = small_scenario(mitigations=[breaker(FALL)])

    run = Run(raw, [LONG], {0: 100, 10: "90.5", 25: 95})

    # Due at 90.5: -900 + 905 - 9.05 = -4.05; at 95 the margin is 40.5 again.
    (decision,) = run.of(DecisionRecorded)
    assert decision == DecisionRecorded(
        mitigation_id=0,
        action=Action.HALTED,
        market_id=0,
        until_at_us=us(30),
        level_number=1,
        seen_market_id=0,
        fall_e6=95_000,
    )
    assert run.times_of(LiquidationTriggered) == [10]
    assert run.of(TrancheStarted) == []
    assert run.times_of(LiquidationEnded) == [30]
    assert run.of(LiquidationEnded)[0].outcome is LiquidationOutcome.RESTORED
    assert run.cash[FIRST] == -900
    assert run.units[FIRST] == 10


def test_a_halt_costs_the_fund_what_the_price_falls_inside_it() -> None:
    raw = small_scenario(venue__fund__initial_usd=50, mitigations=[breaker(FALL)])

    run = Run(raw, [LONG], {0: 100, 10: "90.5", 20: 88})

    # Sold at the end of the halt for 880, which is 20 below bankruptcy; at once it was 905.
    assert run.times_of(OrderFilled) == [30]
    assert run.of(FundDrawn)[0].amount_uusd == usd(20)
    assert run.cash == [-150, 120, 30, 0, 0, 0]
    assert run.units == [0] * 6


def test_a_halt_inside_a_slice_cancels_the_rest_of_it() -> None:
    raw = small_scenario(
        venue__engine={"reaction": "0s", "child_order_usd": 181, "child_spacing": "1s"},
        mitigations=[breaker(when("flow", 300), duration="5s", cool_down="60s")],
    )

    run = Run(raw, [LONG], {0: 100, 10: "90.5"})

    # Orders of 2 units for 181 at 10 and 11 s: with the second one 362 were sold, more than 300.
    # The halt ends at 16 s, and the 6 units that were cancelled are put up again.
    assert run.times_of(OrderFilled) == [10, 11, 16, 17, 18]
    assert [decision.forced_uusd for decision in run.of(DecisionRecorded)] == [usd(362)]
    first, second = run.of(TrancheSettled)
    assert (first.filled_e8, first.cancelled_e8) == (e8(4), e8(6))
    assert (second.filled_e8, second.cancelled_e8) == (e8(6), 0)
    assert run.cash == [-100, 95, 5, 0, 0, 0]


def test_a_halt_withdraws_offers_and_fails_calls_on_their_way() -> None:
    raw = keepers(mitigations=[breaker(when("fall", Decimal("0.097")), duration="5s")])

    run = Run(raw, [LONG], {0: 100, 10: "90.5", 12: "90.2"})

    # On offer at 10 s, called at 11 s, halted at 12 s, when the call lands and costs 1. On offer
    # again at 17 s, taken over at 19 s for 902, 2 above bankruptcy; sold on for as much.
    assert run.times_of(KeeperCallFailed) == [12]
    assert run.of(KeeperCallFailed)[0].reason is FailedCall.HALTED
    assert run.times_of(TrancheStarted) == [10, 17]
    assert run.times_of(TrancheTakenOver) == [19]
    assert run.of(TrancheSettled)[0].cancelled_e8 == e8(10)
    assert (run.cash[FUND], run.cash[NETWORK], run.cash[FIRST + 1]) == (2, 2, 0)


def test_what_a_halt_stops_to_the_end_is_told_as_halted() -> None:
    raw = small_scenario(mitigations=[breaker(FALL, duration="2m")])

    run = Run(raw, [LONG], {0: 100, 10: "90.5"})

    assert [e.reason for e in run.of(LiquidationUnresolved)] == [UnresolvedReason.HALTED]


def test_a_venue_wide_halt_stops_another_market() -> None:
    markets = {"ETH": market(), "BTC": market()}
    both = [LONG, [None, LONG]]
    prices = {0: 100, 10: "90.5"}, {0: 100, 10: 97, 12: "90.5"}
    halts = {
        scope: Run(
            small_scenario(markets=markets, mitigations=[breaker(FALL, scope=scope, market="ETH")]),
            both,
            *prices,
        )
        for scope in ("market", "venue")
    }

    assert halts["market"].times_of(OrderFilled) == [12, 30]
    assert halts["venue"].times_of(OrderFilled) == [30, 30]
    assert [e.market_id for e in halts["venue"].of(DecisionRecorded)] == [-1]


def test_a_higher_level_cuts_in_on_the_cool_down_of_a_lower_one() -> None:
    stages = [{"when": [when("fall", Decimal("0.2"), "1m")], "duration": "8s"}]
    raw = small_scenario(mitigations=[breaker(FALL, duration="2s", stages=stages)])

    run = Run(raw, [CALM], {0: 100, 10: 94, 14: 88, 20: 79, 50: 70})

    # The first level cools down from 12 to 32 s, the second one cuts in at 20 s; at 48 s it has
    # cooled down, and the fall from 100 is still in its window.
    levels = [(e.level_number, e.until_at_us) for e in run.of(DecisionRecorded)]
    assert levels == [(1, us(12)), (2, us(28)), (2, us(56))]


@pytest.mark.parametrize(("join", "seconds"), [("any", [10, 40]), ("all", [11, 41])])
def test_conditions_are_joined(join: str, seconds: list[float]) -> None:
    conditions = FALL, when("volatility", 30)
    raw = small_scenario(mitigations=[breaker(*conditions, join=join, cool_down="10s")])

    # At 10 s a fall of 3 % only, but ln(0.97)^2 x 3,155,760 spans of 10 s a year = 54.1^2.
    run = Run(raw, [CALM], {0: 100, 10: 97, 11: 94, 40: 88})

    assert run.times_of(DecisionRecorded) == seconds
    assert run.of(DecisionRecorded)[0].volatility_e6 // 10**5 == (541 if join == "any" else 777)


def test_a_pause_follows_a_divergence_of_oracle_and_book() -> None:
    oracle = market()["oracle"] | {"sources": {"one": source(outages=[[at(9), at(30)]])}}
    raw = small_scenario(
        markets__ETH=market(oracle=oracle),
        venue__engine={"reaction": "0s", "child_order_usd": 181, "child_spacing": "11s"},
        venue__fund__initial_usd=1_000,
        mitigations=[{"kind": "divergence_pause", "above": Decimal("0.02"), "duration": "4s"}],
    )

    run = Run(raw, [LONG], {0: 100, 5: "90.5", 20: 86})

    # No price is seen before its time. With the third order, at 27 s, the venue finds its book at
    # 86 where the oracle, silent since 9 s, still says 90.5: 4.9723 % apart. At 30 s it says 86.
    assert run.times_of(OrderFilled) == [5, 16, 27, 38, 49]
    assert run.times_of(DecisionRecorded) == [27]
    assert [e.divergence_e6 for e in run.of(DecisionRecorded)] == [49_723]


def test_nobody_takes_on_risk_while_that_is_halted() -> None:
    raw = newcomers(mitigations=[breaker(when("volatility", 0), action="halt_new_risk")])
    sink_entries = events_of(raw)
    spans = [
        (e.sim_time_us, e.event.until_at_us)
        for e in sink_entries
        if isinstance(e.event, DecisionRecorded)
    ]
    opened = [
        e.sim_time_us
        for e in sink_entries
        if isinstance(e.event, TradeFilled) and e.event.reason.name == "ARRIVED"
    ]

    assert spans
    assert opened
    assert not [t for t in opened for since, until in spans if since <= t < until]
    free = [e for e in events_of(newcomers()) if isinstance(e.event, TradeFilled)]
    assert len(opened) < len([e for e in free if e.event.reason.name == "ARRIVED"])


def test_a_grace_period_follows_a_halt() -> None:
    raw = small_scenario(mitigations=[breaker(FALL), grace()])

    run = Run(raw, [LONG], {0: 100, 10: "90.5"})

    halt, wait = run.of(DecisionRecorded)
    assert (halt.until_at_us, wait.ended_at_us, wait.until_at_us) == (us(30), us(30), us(35))
    assert (wait.action, wait.bucket_id) == (Action.DELAYED, FIRST)
    assert run.times_of(OrderFilled) == [35]


def test_a_grace_period_follows_an_outage() -> None:
    raw = small_scenario(
        venue__engine={"reaction": "0s", "outages": [[at(8), at(20)]]}, mitigations=[grace()]
    )

    run = Run(raw, [LONG], {0: 100, 10: "90.5"})

    assert run.times_of(OrderFilled) == [25]


def test_a_grace_period_follows_an_old_mark() -> None:
    oracle = market()["oracle"] | {"sources": {"one": source(outages=[[at(11), at(20)]])}}
    raw = small_scenario(
        markets__ETH=market(oracle=oracle),
        venue__mark_max_age="2s",
        venue__engine={"reaction": "3s"},
        mitigations=[grace()],
    )

    run = Run(raw, [LONG], {0: 100, 10: "90.5"})

    # The mark of 10 s is old from 12 s on; the next one lands at 20 s.
    assert run.times_of(OrderFilled) == [25]


def test_who_becomes_due_in_a_halt_may_top_up() -> None:
    rule = breaker(when("fall", Decimal("0.03")), duration="30s")
    near = {"alert_buffer": Decimal("0.1"), "top_up_share": 1, "top_up_to": 1}
    acts = {"reaction": constant("2s"), "near": near}
    path = knots((0, 100), (9, 100), (10, 96), (14, 96), (15, 90.5), (60, 90.5))
    raw = small_scenario(markets__ETH__path=path, population__cohorts__longs__traders=acts)

    halted, free = events_of(raw | {"mitigations": [rule]}), events_of(raw)

    def deposits(entries: list[Entry]) -> list[float]:
        return [
            e.sim_time_us / 10**6
            for e in entries
            if isinstance(e.event, FundsDeposited) and e.sim_time_us
        ]

    # Near and due at 15 s, inside the halt: it adds what it lacks at 17 s, and is free at 40 s.
    assert deposits(free) == []
    assert deposits(halted) == [17]
    (ended,) = [e for e in halted if isinstance(e.event, LiquidationEnded)]
    assert (ended.sim_time_us, ended.event.outcome) == (us(40), LiquidationOutcome.RESTORED)


def test_the_outcome_tells_halts_and_their_time(tmp_path: Path) -> None:
    # Halted from 10 to 30 s and, at the second level, from 14 to 54 s.
    stages = [{"when": [when("fall", Decimal("0.1"), "1m")], "duration": "40s"}]
    path = knots((0, 100), (9, 100), (10, 94), (13, 94), (14, 88), (60, 88))
    raw = small_scenario(markets__ETH__path=path, mitigations=[breaker(FALL, stages=stages)])
    run_to_log(load(raw), tmp_path / "run.duckdb")

    with Log(tmp_path / "run.duckdb") as log:
        found = log.outcome()

    assert (found["halts"], found["halted_us"], found["risk_halted_us"]) == (2, us(44), 0)


# Venues that break a rule -------------------------------------------------------------------------

Wrong = Callable[[], Any]


def goes_on() -> Any:
    return patch.object(Venue, "_is_halted", lambda *_: False)


def looks_away() -> Any:
    return patch.object(Halts, "_look_at", lambda *_: None)


def has_no_patience() -> Any:
    return patch.object(Graces, "left_us", lambda *_: 0)


def lets_all_in() -> Any:
    return patch.object(Orders, "_is_halted", lambda *_: False)


HALTS = [breaker(when("fall", Decimal("0.03"), "30s"), when("flow", 20_000)), grace()]
RISK = [breaker(when("fall", Decimal("0.005"), "30s"), action="halt_new_risk", duration="2m")]


@pytest.mark.parametrize(
    ("wrong", "raw", "right"),
    [
        (goes_on, engine_cascade(mitigations=HALTS), "halted"),
        (goes_on, keeper_race(mitigations=HALTS), "halted"),
        (looks_away, engine_cascade(mitigations=HALTS), "decision"),
        (has_no_patience, engine_cascade(mitigations=HALTS), "halted"),
        (lets_all_in, newcomers(mitigations=RISK), "halted"),
    ],
)
def test_venues_that_break_a_halt_are_found_out(
    wrong: Wrong, raw: Raw, right: str, tmp_path: Path
) -> None:
    assert codes_of(raw, tmp_path / "right.duckdb") == set()
    with wrong():
        found = codes_of(raw, tmp_path / "wrong.duckdb")

    assert right in found


def told(**changes: int) -> Callable[[Any], Any]:
    """Return a journal's append that tells other decisions than those that were made."""
    append = Journal.append

    def other(self: Journal, event: Any, cause_seq: int = -1) -> int:
        if isinstance(event, DecisionRecorded) and event.action is not Action.DELAYED:
            event = attrs.evolve(event, **changes)
        return append(self, event, cause_seq)

    return patch.object(Journal, "append", other)  # type: ignore[return-value]


@pytest.mark.parametrize(
    "changes",
    [
        {"fall_e6": 33_000},
        {"forced_uusd": 1},
        {"level_number": 2},
        {"level_number": 7},
        {"until_at_us": us(47)},
        {"action": Action.RISK_HALTED},
        {"market_id": -1},
        {"drawdown_e6": 5},
        {"bucket_id": 40},
    ],
)
def test_decisions_told_wrongly_are_found_out(changes: dict[str, int], tmp_path: Path) -> None:
    stages = [{"when": [when("fall", Decimal("0.3"))], "duration": "21s"}]
    rule = breaker(when("fall", Decimal("0.03"), "30s"), when("flow", 20_000), stages=stages)
    with told(**changes):  # type: ignore[attr-defined]
        found = codes_of(engine_cascade(mitigations=[rule]), tmp_path / "run.duckdb")

    assert "decision" in found


@pytest.mark.parametrize(
    ("row", "place", "bound"),
    [
        (breaker(), "mitigations.0.when", "at least one condition"),
        (breaker(FALL, FALL), "mitigations.0.when.1.observable", "must differ"),
        (
            breaker(FALL, stages=[{"when": []}]),
            "mitigations.0.stages.0.when",
            "at least one condition",
        ),
        (breaker(FALL, cool_down="0s"), "mitigations.0.cool_down", "must be"),
    ],
)
def test_breakers_that_cannot_be_are_refused(row: Raw, place: str, bound: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        load(small_scenario(mitigations=[row]))

    assert place in str(refused.value)
    assert bound in str(refused.value)


def test_what_the_defaults_say_can_run() -> None:
    kinds = ("breaker", "divergence_pause", "grace")

    assert events_of(panic(mitigations=[{"kind": kind} for kind in kinds]))
    assert len(inert()) == 4
