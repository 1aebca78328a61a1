"""Mitigations that judge the instant, on one account by hand: sizes and times to the unit."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support.scenarios import (
    Raw,
    cohort,
    engine_cascade,
    events_of,
    knots,
    load,
    small_scenario,
)

from liqsim.errors import ScenarioError
from liqsim.events import (
    Action,
    DecisionRecorded,
    LiquidationUnresolved,
    TrancheSettled,
    TrancheStarted,
    UnresolvedReason,
)
from liqsim.events.mitigation import NOT_OBSERVED
from liqsim.runner import run_to_log
from replay.verify import verify

SECOND = 10**6
UNIT = 10**8


def fall(*rows: Raw, **overrides: Any) -> Raw:
    """Ten units at 100 that are due at 90 from second 10 on, and never restored."""
    path = knots((0, 100), (9, 100), (10, 90), (60, 90))
    defaults: Raw = {
        "markets__ETH__path": path,
        "venue__tranches__restore_buffer": 10,
        "venue__fund__initial_usd": 1_000,
    }
    return small_scenario(**(defaults | overrides)) | {"mitigations": list(rows)}


def slices(raw: Raw) -> list[tuple[float, float]]:
    """Return (second, units) of every slice that a run put up."""
    return [
        (e.sim_time_us / SECOND, abs(e.event.quantity_e8) / UNIT)
        for e in events_of(raw)
        if isinstance(e.event, TrancheStarted)
    ]


def decisions(raw: Raw) -> list[DecisionRecorded]:
    return [e.event for e in events_of(raw) if isinstance(e.event, DecisionRecorded)]


def row(law: str, **changes: Any) -> Raw:
    return {"kind": "slices", "law": law, "interval": "4s", "least_usd": 1} | changes


BOOK = {"kind": "power_book", "depth_usd": 1_000, "half_life": "5s", "permanent_share": 0}


def test_slices_of_a_fixed_size() -> None:
    assert slices(fall(row("fixed", amount_usd=360))) == [(10, 4), (14, 4), (18, 2)]


def test_what_is_worth_the_least_is_not_cut() -> None:
    assert slices(fall(row("time_weighted", least_usd=540))) == [(10, 6), (14, 4)]


def test_slices_one_per_interval_of_what_there_was_at_the_trigger() -> None:
    assert slices(fall(row("time_weighted", parts=4))) == [
        (10, 2.5), (14, 2.5), (18, 2.5), (22, 2.5),
    ]  # fmt: skip


def test_slices_of_obizhaeva_and_wang() -> None:
    # Half comes back in an interval: 1 : 0.5 : 0.5 : 0.5 : 1.
    law = row("obizhaeva_wang", parts=5, half_life="4s")
    first, inner = 2.85714286, 1.42857143
    last = round(10 - first - 3 * inner, 8)
    assert slices(fall(law)) == [
        (10, first), (14, inner), (18, inner), (22, inner), (26, last),
    ]  # fmt: skip


def test_the_audit_knows_that_another_goes_first_while_a_slice_waits(tmp_path: Path) -> None:
    # One order in two seconds: who waits for its next slice keeps nobody from the turnstile.
    raw = engine_cascade(
        venue__engine={"reaction": "1s", "orders_per_second": Decimal("0.5")},
        mitigations=[row("time_weighted", parts=3, interval="9s")],
    )
    run_to_log(load(raw), tmp_path / "log.duckdb")

    assert verify(tmp_path / "log.duckdb") == []


def test_a_share_of_what_the_book_holds_near_the_market_price() -> None:
    # 10 units within 1 % each way, so 5 within half; after the first slice some is not back yet.
    law = row("depth_share", share=Decimal("0.4"), distance=Decimal("0.005"))
    raw = fall(law, markets__ETH__liquidity=BOOK)
    first, *_ = [d for d in decisions(raw) if d.action is Action.CUT]
    assert abs(first.depth_e8 - 5 * UNIT) < UNIT * 0.02  # Log price, not price.
    assert first.size_e8 == first.depth_e8 * 4 // 10
    (_, size), (_, second), *_ = slices(raw)
    assert (size, second) == pytest.approx((2, 2), rel=0.01)


def test_a_share_of_what_is_traded() -> None:
    # 36 USD a minute of others: 10 % of them and of one's own, from window to window.
    law = row(
        "participation", window="20s", share=Decimal("0.5"), background_usd_per_hour=36 * 3_600
    )
    raw = fall(law)
    # 720 in the window, half of it 360: 4 units. Own trading counts, and what has been put up.
    assert slices(raw)[:3] == [(10, 4), (14, 2), (18, 1)]
    cut = [d for d in decisions(raw) if d.action is Action.CUT]
    assert [(d.traded_uusd, d.forced_uusd) for d in cut[:3]] == [
        (0, 0), (360 * SECOND, 360 * SECOND), (540 * SECOND, 540 * SECOND),
    ]  # fmt: skip


def test_delays_grow_with_forced_flow_up_to_the_longest() -> None:
    raw = fall(
        {"kind": "delays", "window": "1m", "per_million": "10000s", "max": "8s"},
        venue__tranches__max_usd=360,
        venue__tranches__spacing="1s",
    )
    # 10,000 s per million is 10 ms a dollar: 3.6 s after 360 USD, 7.2 after 720, each rounded up to
    # a 64th of 8 s, which is 125 ms.
    assert slices(raw) == [(10, 4), (13.625, 4), (20.875, 2)]
    assert [(d.forced_uusd, d.until_at_us) for d in decisions(raw)] == [
        (360 * SECOND, 13_625_000), (720 * SECOND, 20_875_000),
    ]  # fmt: skip


def test_a_slice_is_cut_to_what_slips_no_more_than_the_limit() -> None:
    raw = fall(
        {"kind": "slippage_cap", "max_slippage": Decimal("0.002"), "least_usd": 90, "retry": "3s"},
        markets__ETH__liquidity=BOOK,
    )
    # The average is half as far as the end: 0.4 % of 10 units per 1 %.
    (_, first), *_ = slices(raw)
    assert first == pytest.approx(4, rel=0.01)
    for d in decisions(raw):
        assert (d.action, d.until_at_us) == (Action.CUT, NOT_OBSERVED)
        assert d.size_e8 == d.depth_e8


def test_where_nothing_fits_it_waits_and_the_log_says_why() -> None:
    cap = {"kind": "slippage_cap", "max_slippage": 0, "least_usd": 90, "retry": "7s"}
    events = events_of(fall(cap, markets__ETH__liquidity=BOOK))

    waits = [e for e in events if isinstance(e.event, DecisionRecorded)]
    assert [e.sim_time_us // SECOND for e in waits] == [10, 17, 24, 31, 38, 45, 52, 59]
    (end,) = [e.event for e in events if isinstance(e.event, LiquidationUnresolved)]
    assert end.reason is UnresolvedReason.PACED


def test_the_least_size_and_the_latest_time_win_and_a_limit_books_what_is_left() -> None:
    limit = {"kind": "rate_limit", "max_usd": 360, "span": "10s", "least_usd": 1}
    raw = fall(row("fixed", amount_usd=270, name="small"), row("time_weighted", parts=2), limit)
    # 270 of 360, then the 90 that are left of the span, then what the next span allows.
    assert slices(raw) == [(10, 3), (14, 1), (20, 3), (24, 1), (30, 2)]


def test_a_place_is_booked_for_what_is_put_up_and_no_more() -> None:
    # Two accounts at once: the second need not wait for the whole first one.
    limit = {"kind": "rate_limit", "max_usd": 540, "span": "10s", "least_usd": 500}
    raw = fall(
        row("fixed", amount_usd=270),
        limit,
        population__cohorts={"one": cohort(), "two": cohort()},
    )
    assert slices(raw)[:4] == [(10, 3), (10, 3), (20, 3), (20, 3)]


def test_every_part_of_a_slice_is_told() -> None:
    events = events_of(fall(row("fixed", amount_usd=360), markets__ETH__liquidity=BOOK))
    sizes = {e.seq: abs(e.event.quantity_e8) for e in events if isinstance(e.event, TrancheStarted)}
    parts = {
        e.event.tranche_seq: e.event.filled_e8 + e.event.deleveraged_e8 + e.event.cancelled_e8
        for e in events
        if isinstance(e.event, TrancheSettled)
    }
    assert sizes == parts


def test_a_least_above_the_size_itself_is_refused() -> None:
    with pytest.raises(ScenarioError, match=r"mitigations.*least_usd.*at most amount_usd, 360"):
        load(fall(row("fixed", amount_usd=360, least_usd=361)))
