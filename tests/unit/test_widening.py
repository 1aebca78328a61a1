"""
Breakers that widen margins worked out by hand, and venues that do it wrongly.

Amounts in the comments are USD. Accounts are long 10 at 100 and must keep 1 %. A fall of more than
5 % within ten seconds multiplies that by five, from 3 s later on and for 20 s.
"""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import attrs
import pytest
from support.halting import breaker, grace, when
from support.scenarios import (
    Raw,
    at,
    events_of,
    knots,
    load,
    market,
    newcomers,
    small_scenario,
    widened,
)
from support.verdicts import codes
from unit.handmade_log import tamper
from unit.test_halts import LONG, Run, us

from liqsim.errors import ScenarioError
from liqsim.events import (
    Action,
    DecisionRecorded,
    LiquidationEnded,
    LiquidationOutcome,
    LiquidationTriggered,
    MaintenanceChanged,
    OrderFilled,
    Standing,
    TradeFilled,
    TradeReason,
    TrancheStarted,
)
from liqsim.journal import Journal
from liqsim.processes.halts import Halts
from liqsim.processes.maintenance import Maintenance
from liqsim.runner import run_to_log
from replay.log import Log
from replay.verify import verify

FALL = when("fall", Decimal("0.05"))
DEEP = when("fall", Decimal("0.1"), "1m")
SAFE = (10, 100, 200)
FUND, FIRST, SECOND = 2, 5, 6


def widening(*conditions: Raw, **changes: Any) -> Raw:
    rule = {"action": "widen_margin", "factor": 5, "notice": "3s"}
    return breaker(*(conditions or (FALL,)), **(rule | changes))


def rates(run: Run, market_id: int = 0) -> list[tuple[float, float]]:
    """Return from when on rates are which multiple of those at the start."""
    return [
        (entry.sim_time_us / 10**6, entry.event.multiplier_e6 / 10**6)
        for entry in run.entries
        if isinstance(entry.event, MaintenanceChanged) and entry.event.market_id == market_id
    ]


# By hand ------------------------------------------------------------------------------------------


def test_margins_are_widened_after_notice_and_restored_at_the_announced_end() -> None:
    run = Run(small_scenario(mitigations=[widening()]), [LONG, SAFE], {0: 100, 10: 94, 40: 100})

    (decision,) = run.of(DecisionRecorded)
    assert decision == DecisionRecorded(
        mitigation_id=0,
        action=Action.WIDENED,
        market_id=0,
        from_at_us=us(13),
        until_at_us=us(33),
        multiplier_e6=5_000_000,
        level_number=1,
        seen_market_id=0,
        fall_e6=60_000,
    )
    assert run.times_of(DecisionRecorded) == [10]
    assert rates(run) == [(13, 5), (33, 1)]
    (place,) = (n for n, e in enumerate(run.entries) if e.event == decision)
    assert [e.cause_seq for e in run.entries if isinstance(e.event, MaintenanceChanged)] == [
        place,
        place,
    ]


def test_who_is_due_by_that_alone_is_liquidated_by_rule_and_pays_for_it() -> None:
    prices = {0: 100, 10: 94, 40: 100}
    run = Run(small_scenario(mitigations=[widening()]), [LONG, SAFE], prices)
    without = Run(small_scenario(), [LONG, SAFE], prices)

    # At 94 equity is 40 and 140; 1 % of 940 are 9.4, five times that 47.
    (trigger,) = (e for e in run.entries if isinstance(e.event, LiquidationTriggered))
    assert (trigger.sim_time_us, trigger.event.bucket_id) == (us(13), FIRST)
    assert trigger.event.margin_uusd == -7_000_000
    assert trigger.event.standing is Standing.RULE_INDUCED
    assert isinstance(run.entries[trigger.cause_seq].event, MaintenanceChanged)
    assert run.of(OrderFilled)
    # It is sold at 94, the 40 that are left go to the fund, and it does not see 100 again, where
    # it would have its 100.
    assert (run.cash[FIRST], run.units[FIRST], run.cash[FUND]) == (0, 0, 40)
    assert without.of(LiquidationTriggered) == []
    assert (without.cash[FIRST], without.units[FIRST]) == (-900, 10)
    assert (run.cash[SECOND], run.units[SECOND]) == (-800, 10)


def test_of_several_levels_the_widest_that_lasts_counts() -> None:
    # The first from 13 to 33 s; the second, announced at 14 s, for 8 or for 40 s.
    prices = {0: 100, 10: 94, 14: 89, 20: 98}
    safe = (10, 100, 900)
    found = {}
    for duration in ("8s", "40s"):
        stages = [{"when": [DEEP], "duration": duration, "factor": 7}]
        raw = small_scenario(mitigations=[widening(stages=stages)])
        found[duration] = rates(Run(raw, [safe], prices))

    assert found["8s"] == [(13, 5), (17, 7), (25, 5), (33, 1)]
    assert found["40s"] == [(13, 5), (17, 7), (57, 1)]


def test_a_level_without_a_factor_has_that_of_the_first() -> None:
    stages = [{"when": [DEEP], "duration": "40s"}]
    raw = small_scenario(mitigations=[widening(stages=stages)])

    assert rates(Run(raw, [(10, 100, 900)], {0: 100, 10: 94, 14: 89})) == [(13, 5), (57, 1)]


def test_breakers_and_other_rules_multiply() -> None:
    stress = {
        "kind": "stress_margin",
        "period": "10s",
        "points": [[at(15), Decimal("1.5")]],
        "ramp": 50,
        "notice": "1s",
    }
    other = widening(name="other", factor=2, notice="5s")
    raw = small_scenario(mitigations=[widening(), other, stress])
    run = Run(raw, [(10, 100, 900)], {0: 100, 10: 94})

    # 5 from 13 to 33 s, 2 from 15 to 35 s, 1.5 from 21 s on.
    assert rates(run) == [(13, 5), (15, 10), (21, 15), (33, 3), (35, 1.5)]


def test_one_of_the_whole_venue_widens_all_markets_at_once() -> None:
    markets = {"ETH": market(), "BTC": market()}
    both = [(10, 100, 900), [None, (10, 100, 900)]]
    prices = {0: 100, 10: 94}, {0: 100}
    found = {
        scope: Run(
            small_scenario(markets=markets, mitigations=[widening(scope=scope)]), both, *prices
        )
        for scope in ("market", "venue")
    }

    assert [rates(found["market"], n) for n in (0, 1)] == [[(13, 5), (33, 1)], []]
    assert [rates(found["venue"], n) for n in (0, 1)] == [[(13, 5), (33, 1)]] * 2
    assert [e.market_id for e in found["venue"].of(DecisionRecorded)] == [-1]


def test_it_cools_down_from_its_end_on() -> None:
    # Until 33 s, and free again at 53 s: the fall at 30 s is let go, that at 54 s is not.
    prices = {0: 100, 10: 94, 30: 88, 54: 82}
    run = Run(small_scenario(mitigations=[widening()]), [(10, 100, 900)], prices)

    assert run.times_of(DecisionRecorded) == [10, 54]
    assert rates(run) == [(13, 5), (33, 1), (57, 5)]


# It is no halt ------------------------------------------------------------------------------------


def test_nothing_waits_for_it_and_no_grace_follows() -> None:
    raw = small_scenario(mitigations=[widening(), grace(span="50s")])
    run = Run(raw, [LONG, (10, 100, 85)], {0: 100, 10: "91.5", 35: 80})

    # At 91.5 the second is due at once, the first (15 < 45.75) by rule at 13 s; all is over then.
    assert run.times_of(TrancheStarted) == [10, 13]
    assert [e.outcome for e in run.of(LiquidationEnded)] == [LiquidationOutcome.CLOSED] * 2
    assert [e.action for e in run.of(DecisionRecorded)] == [Action.WIDENED]


def test_the_outcome_counts_no_halt_and_the_view_no_wait(tmp_path: Path) -> None:
    path = knots((0, 100), (9, 100), (10, 94), (60, 94))
    raw = small_scenario(markets__ETH__path=path, mitigations=[widening()])
    run_to_log(load(raw), tmp_path / "run.duckdb")

    with Log(tmp_path / "run.duckdb") as log:
        found = log.outcome()
        rows = log.sql("select action, multiplier, waits_us from decisions").fetchall()
    assert (found["halts"], found["halted_us"], found["risk_halted_us"]) == (0, 0, 0)
    assert rows == [("widened", 5, None)]


def test_accounts_go_on_taking_risk_in_it() -> None:
    rule = breaker(when("fall", Decimal("0.005"), "30s"), duration="2m", cool_down="1ms")
    widens = rule | {"action": "widen_margin", "factor": Decimal("1.01"), "notice": "1ms"}

    assert arrived_within(newcomers(mitigations=[rule | {"action": "halt_new_risk"}])) == 0
    assert arrived_within(newcomers(mitigations=[widens])) >= 2


def arrived_within(raw: Raw) -> int:
    """Return how many accounts arrive while what a breaker has first announced lasts."""
    entries = events_of(raw)
    first = next(e for e in entries if isinstance(e.event, DecisionRecorded))
    assert isinstance(first.event, DecisionRecorded)
    return sum(
        isinstance(e.event, TradeFilled)
        and e.event.reason is TradeReason.ARRIVED
        and e.event.market_id == first.event.market_id
        and first.sim_time_us < e.sim_time_us < first.event.until_at_us
        for e in entries
    )


# What is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (widening(factor=1), r"mitigations\.0\.factor = 1 must be"),
        (widening(notice="0s"), r"mitigations\.0\.notice = .0s. must be"),
        (widening(factor=100), r"mitigations\.0\.factor = 100 must be at most 99\.9999"),
        (
            widening(factor=2, stages=[{"when": [DEEP], "factor": 101}]),
            r"mitigations\.0\.stages\.0\.factor = 101 must be at most 99\.9999",
        ),
        (
            breaker(FALL, stages=[{"when": [DEEP], "factor": 3}]),
            r'mitigations\.0\.stages\.0\.factor = 3 has no effect: action is "halt_liquidations"',
        ),
    ],
)
def test_what_cannot_be_is_refused(row: Raw, told: str) -> None:
    with pytest.raises(ScenarioError, match=told):
        load(small_scenario(mitigations=[row]))


def test_one_of_the_whole_venue_counts_for_the_rates_of_every_market() -> None:
    markets = {"ETH": market(), "BTC": market(maintenance=[[0, Decimal("0.3")]])}
    row = widening(scope="venue", market="ETH", factor=4)
    with pytest.raises(ScenarioError, match=r"factor = 4 must be at most 3\.33333.*of BTC"):
        load(small_scenario(markets=markets, mitigations=[row]))
    load(small_scenario(markets=markets, mitigations=[row | {"scope": "market"}]))


# The audit ----------------------------------------------------------------------------------------


def _told(later_us: int = 0, **changes: int) -> Any:
    append = Journal.append

    def other(self: Journal, event: Any, cause_seq: int = -1) -> int:
        if isinstance(event, DecisionRecorded):
            event = attrs.evolve(event, until_at_us=event.until_at_us + later_us, **changes)
        return append(self, event, cause_seq)

    return patch.object(Journal, "append", other)


def _never_back() -> Any:
    widen = Maintenance._widen

    def once(self: Maintenance, decision: Any, cause: int, is_begin: bool) -> None:
        if is_begin:
            widen(self, decision, cause, is_begin)

    return patch.object(Maintenance, "_widen", once)


WRONG: Final[dict[str, tuple[Callable[[], Any], str]]] = {
    "another factor": (lambda: _told(multiplier_e6=1_700_000), "decision"),
    "no notice": (lambda: _told(from_at_us=us(10)), "decision"),
    "another end": (lambda: _told(later_us=us(1)), "decision"),
    "called a halt": (lambda: _told(action=Action.HALTED), "decision"),
    "looks away": (lambda: patch.object(Halts, "_look_at", lambda *_: None), "decision"),
    "never restored": (_never_back, "maintenance_schedule"),
    "never begun": (
        lambda: patch.object(Maintenance, "_widen", lambda *_: None),
        "maintenance_schedule",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_venues_that_widen_wrongly_are_found_out(name: str, tmp_path: Path) -> None:
    wrong, code = WRONG[name]
    with wrong():
        run_to_log(load(widened()), tmp_path / "run.duckdb")

    assert code in codes(tmp_path / "run.duckdb")


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("update decision_recorded set multiplier = multiplier + 0.1", "decision"),
        ("update decision_recorded set from_at = from_at + interval 1 second", "decision"),
        ("update decision_recorded set until_at = until_at + interval 1 second", "decision"),
        ("update decision_recorded set fall = fall + 0.001", "decision"),
        ("update maintenance_changed set multiplier = 1", "maintenance_schedule"),
        ("update maintenance_changed set cause_seq = cause_seq - 1", "cause_kind"),
    ],
)
def test_changed_rows_are_found_out(statement: str, code: str, tmp_path: Path) -> None:
    path = tmp_path / "run.duckdb"
    run_to_log(load(widened()), path)
    assert verify(path) == []
    tamper(path, statement)

    assert code in codes(path)
