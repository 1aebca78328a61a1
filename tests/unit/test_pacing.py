"""Mitigations that pace, by hand: who goes when, with how much, and what the log says of it."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from support.scenarios import (
    cross_crash,
    engine_cascade,
    events_of,
    knots,
    load,
    mingled,
    rationed,
    small_scenario,
)
from support.verdicts import codes
from unit.handmade_log import engine_story, write

from liqsim.events import Action, DecisionRecorded, TrancheStarted
from liqsim.events.mitigation import NOT_OBSERVED
from liqsim.mechanics.mitigations.pacing import Ask
from liqsim.mechanics.mitigations.rate_limit import RateLimiter
from liqsim.runner import run_to_log
from liqsim.scenario.mitigations import RateLimit
from replay.log import Log
from replay.verify import verify

USD = 10**6
S = 10**6


def limit(**changes: Any) -> dict[str, Any]:
    return {"kind": "rate_limit", "max_usd": 20_000, "span": "10s", "least_usd": 1_000} | changes


def ask(now_s: float, usd: int) -> Ask:
    """An ask for a slice worth *usd*, at a mark of one."""
    return Ask(round(now_s * S), 0, 7, 0, 1, usd * 10**8, usd * 10**8, 10**8, is_long=True)


def served(spec: RateLimit, *asks: Ask) -> list[tuple[float, int]]:
    """Return when each of *asks* goes, in seconds, and for how many USD."""
    pacer, found = RateLimiter(spec), []
    for one in asks:
        answer = pacer.answer(one, one.now_us)
        assert answer.amount_uusd is not None
        pacer.book(answer.at_us, answer.amount_uusd)
        found.append((answer.at_us / S, answer.amount_uusd // USD))
    return found


ROLLING = RateLimit("", "", True, 100 * USD, 10 * S, "rolling", 20 * USD)


def test_a_rolling_span_has_room_again_when_its_oldest_slice_leaves_it() -> None:
    asks = ask(0, 60), ask(4, 60), ask(5, 60), ask(5, 10)

    # 40 are left at 4 s; at 10 s the 60 of the start leave; nobody overtakes.
    assert served(ROLLING, *asks) == [(0, 60), (4, 40), (10, 60), (14, 10)]


def test_a_fixed_span_begins_when_the_one_before_it_ends() -> None:
    fixed = attrs.evolve(ROLLING, window="fixed")
    asks = ask(3, 90), ask(9, 30), ask(9, 300), ask(9.5, 5)

    # 10 are less than the least: the second waits for the span from 10 s.
    assert served(fixed, *asks) == [(3, 90), (10, 30), (10, 70), (20, 5)]


def test_a_room_that_holds_no_unit_is_none() -> None:
    # At a mark of 90,000 a unit of 1e-8 is worth 0.0009 USD: 0.0003 are no room for any.
    spec = attrs.evolve(ROLLING, max_uusd=900 * USD + 300, least_uusd=0)
    dear = attrs.evolve(ask(0, 1), wanted_e8=10**6, mark_e8=90_000 * 10**8)
    pacer = RateLimiter(spec)
    pacer.book(0, 900 * USD)

    answer = pacer.answer(dear, 0)

    assert (answer.at_us, answer.amount_uusd) == (10 * S, 900 * USD)
    # For a whole unit there is room.
    wider = RateLimiter(attrs.evolve(spec, max_uusd=900 * USD + 900))
    wider.book(0, 900 * USD)
    assert (wider.answer(dear, 0).at_us, wider.answer(dear, 0).amount_uusd) == (0, 900)


def test_the_audit_knows_that_a_room_may_hold_no_unit(tmp_path: Path) -> None:
    # 0.01 units at 90,000, 450 USD a slice, and 450.0003 in any 20 s.
    raw = small_scenario(
        markets__ETH__path=knots((0, 100_000), (9, 100_000), (10, 90_000), (60, 90_000)),
        venue__tranches={"share": 1, "max_usd": 450, "spacing": "1s", "restore_buffer": 10},
        venue__fund__initial_usd=1_000,
    )
    rule = limit(max_usd=Decimal("450.0003"), span="20s", least_usd=0)
    run_to_log(load(raw | {"mitigations": [rule]}), tmp_path / "log.duckdb")

    with Log(tmp_path / "log.duckdb") as log:
        entries = list(log.entries())
    put_up = [e for e in entries if isinstance(e.event, TrancheStarted)]
    assert [(e.sim_time_us, e.event.quantity_e8) for e in put_up] == [
        (10 * S, -500_000), (30 * S, -500_000),
    ]  # fmt: skip
    assert verify(tmp_path / "log.duckdb") == []


def test_a_place_that_is_given_back_is_free_again() -> None:
    pacer = RateLimiter(ROLLING)
    pacer.book(0, 100 * USD)
    pacer.book(10 * S, 100 * USD)
    pacer.release(10 * S, 100 * USD)

    assert pacer.answer(ask(1, 50), S).at_us == 10 * S


def test_a_slice_is_asked_for_once_and_put_up_in_its_place() -> None:
    entries = events_of(rationed())
    waits = {
        (entry.event.bucket_id, entry.event.until_at_us): entry.event
        for entry in entries
        if isinstance(entry.event, DecisionRecorded) and entry.event.action is Action.DELAYED
    }
    started = {
        (entry.event.bucket_id, entry.sim_time_us)
        for entry in entries
        if isinstance(entry.event, TrancheStarted)
    }

    assert len(waits) > 20
    # All but those whose margin was restored while they waited, or who wait at the end.
    assert len(waits.keys() & started) >= len(waits) - 5


@pytest.mark.parametrize("window", ["rolling", "fixed"])
def test_no_span_has_more_than_its_limit(window: str) -> None:
    entries = events_of(engine_cascade(mitigations=[limit(window=window)]))
    slices = [
        (entry.sim_time_us, -(-abs(e.quantity_e8) * e.mark_price_e8 // 10**10))
        for entry in entries
        if isinstance(e := entry.event, TrancheStarted)
    ]
    span = 10 * S
    for at, _ in slices:
        in_span = (
            value
            for when, value in slices
            if (when // span == at // span if window == "fixed" else at - span < when <= at)
        )
        assert sum(in_span) <= 20_000 * USD
    assert len(slices) > 40


@pytest.mark.parametrize("base", [engine_cascade, cross_crash, mingled])
def test_an_inert_limit_leaves_no_trace(base: Any) -> None:
    inert = [limit(max_usd=999_999_999_999), limit(name="b", market="ETH", max_usd=10**11)]

    assert events_of(base(mitigations=inert)) == events_of(base())


def test_a_limit_of_another_market_leaves_no_trace_in_this_one() -> None:
    of_btc = events_of(cross_crash(mitigations=[limit(market="BTC", max_usd=5_000)]))
    decisions = [e.event for e in of_btc if isinstance(e.event, DecisionRecorded)]

    assert decisions
    assert {decision.market_id for decision in decisions} == {1}


def test_of_two_limits_both_hold() -> None:
    entries = events_of(engine_cascade(mitigations=[limit(), limit(name="b", max_usd=5_000)]))
    said = [entry.event for entry in entries if isinstance(entry.event, DecisionRecorded)]

    assert {decision.mitigation_id for decision in said} == {0, 1}
    assert all(decision.size_e8 == NOT_OBSERVED for decision in said)
    amounts = {decision.amount_uusd for decision in said if decision.mitigation_id == 1}
    assert max(amounts) <= 5_000 * USD


def test_the_view_tells_who_waited_for_what(tmp_path: Path) -> None:
    run_to_log(load(rationed()), tmp_path / "log.duckdb")
    with Log(tmp_path / "log.duckdb") as log:
        rows = log.sql(
            "select mitigation, kind, market, action, waits_us > 0 from decisions group by all"
        ).fetchall()
        said = "select count(*), count(size), count(depth), count(until_at) from decisions "
        nothing_else = log.sql(f"{said} where action = 'cut'").fetchall()
        assert log.verify() == []

    assert ("rate_limit", "rate_limit", "ETH", "delayed", True) in rows
    # What was not observed is null, not a number that stands for nothing.
    ((cuts, *others),) = nothing_else
    assert (cuts > 0, others) == (True, [0, 0, 0])


def test_a_decision_that_lacks_is_found_missing(tmp_path: Path) -> None:
    story = engine_story()
    story.toml += (
        '\n[[mitigations]]\nkind = "rate_limit"\nname = ""\nmarket = ""\nmax_usd = 50\n'
        'span = "1s"\nwindow = "rolling"\nleast_usd = 10\n'
    )

    found = codes(write(tmp_path / "log.duckdb", story))

    assert "decision" in found
