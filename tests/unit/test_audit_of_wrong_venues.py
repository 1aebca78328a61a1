"""
The audit of logs whose venue or keepers break a rule, and record truthfully what they did.

Nothing is tampered with: digests fit, money adds up, and every figure is that of what was done.
Only a decision is wrong, so only working it out again can find it.
"""

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import patch

import attrs
import numpy as np
import pytest
from support.scenarios import (
    Raw,
    at,
    beyond_limit,
    cross_crash,
    engine_cascade,
    keeper,
    keeper_race,
    knots,
    lost_race,
    market,
    no_executor,
    restored_call,
    small_scenario,
    source,
    squeeze,
)
from support.verdicts import codes_of

from liqsim.events import FailedCall
from liqsim.mechanics import waterfall
from liqsim.mechanics.waterfall import Deleveraging, decide_deleveraging
from liqsim.processes import keepers, venue
from liqsim.processes.context import Priority
from liqsim.processes.margins import Margins

Wrong = Callable[[], Any]


def worst_rank_first() -> Any:
    def worst_first(ranks: Any, sizes: Any, size_e8: int) -> Iterator[int]:
        return iter(np.argsort(ranks, kind="stable").tolist())

    return patch.object(waterfall, "best_first", worst_first)


def accounts_without_a_profit() -> Any:
    def losers_too(*, ids: Any, units: Any, takes_shorts: bool, size_e8: int, **_: Any) -> Any:
        parts, left = [], size_e8
        for owner in ids[::-1].tolist():
            held = int(units[owner])
            if held and (held < 0) == takes_shorts and left:
                parts.append(Deleveraging(owner, min(left, abs(held))))
                left -= parts[-1].size_e8
        return parts

    return patch.object(venue, "decide_deleveraging", losers_too)


def half_of_each() -> Any:
    def halves(**given: Any) -> Any:
        parts = decide_deleveraging(**given)
        return [attrs.evolve(part, size_e8=max(part.size_e8 // 2, 1)) for part in parts]

    return patch.object(venue, "decide_deleveraging", halves)


def the_last_is_spared() -> Any:
    def all_but_one(**given: Any) -> Any:
        parts = decide_deleveraging(**given)
        return parts[:-1] if len(parts) > 1 else parts

    return patch.object(venue, "decide_deleveraging", all_but_one)


DELEVERAGING = [worst_rank_first, accounts_without_a_profit, half_of_each, the_last_is_spared]


@pytest.mark.parametrize("scenario", [engine_cascade, keeper_race])
@pytest.mark.parametrize("wrong", DELEVERAGING, ids=lambda wrong: wrong.__name__)
def test_a_wrong_queue_is_found_out(
    wrong: Wrong, scenario: Callable[..., Raw], tmp_path: Path
) -> None:
    with wrong():
        found = codes_of(scenario(), tmp_path / "run.duckdb")

    # Who sells beyond the limit while somebody is left in the queue breaks that rule, too.
    assert {"deleverage_rank"} <= found <= {"deleverage_rank", "limit_crossed"}


def test_orders_on_an_old_mark_are_found_out(tmp_path: Path) -> None:
    silent = market()["oracle"] | {"sources": {"one": source(outages=[[at(12), at(60)]])}}
    raw = small_scenario(
        markets__ETH=market(path=knots((0, 100), (9, 100), (10, 90.5), (60, 90.5)), oracle=silent),
        venue__mark_max_age="6s",
        venue__engine={"reaction": "0s", "child_order_usd": 181, "child_spacing": "5s"},
    )
    with patch.object(venue.Venue, "is_stale", lambda *_: False):
        found = codes_of(raw, tmp_path / "run.duckdb")

    assert found == {"mark_stale"}


# Triggers -----------------------------------------------------------------------------------------


def every_trigger_is_a_mark_late() -> Any:
    def late(margins: Margins, desk: Any) -> list[tuple[int, int]]:
        seen = margins.__dict__.setdefault("_seen_before", set())
        due = now_due(margins, desk)
        new = [bucket for bucket, _ in due if bucket not in seen]
        for bucket in new:
            margins.watch(bucket)
        seen.update(new)
        return [row for row in due if row[0] not in new]

    now_due = Margins.now_due
    return patch.object(Margins, "now_due", late)


def one_account_is_never_triggered() -> Any:
    def but_one(margins: Margins, desk: Any) -> list[tuple[int, int]]:
        return [(bucket, margin) for bucket, margin in now_due(margins, desk) if bucket % 7]

    now_due = Margins.now_due
    return patch.object(Margins, "now_due", but_one)


def the_strongest_comes_first() -> Any:
    def reverse(margins: Margins, desk: Any) -> list[tuple[int, int]]:
        return now_due(margins, desk)[::-1]

    now_due = Margins.now_due
    return patch.object(Margins, "now_due", reverse)


@pytest.mark.parametrize("scenario", [engine_cascade, keeper_race, cross_crash])
@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (every_trigger_is_a_mark_late, {"trigger_missing"}),
        (one_account_is_never_triggered, {"trigger_missing", "due_unserved", "crossing"}),
        (the_strongest_comes_first, {"trigger_order"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_wrong_triggers_are_found_out(
    wrong: Wrong, expected: set[str], scenario: Callable[..., Raw], tmp_path: Path
) -> None:
    with wrong():
        found = codes_of(scenario(), tmp_path / "run.duckdb")

    # Who is due in vain may be safe again by the end.
    assert found - {"due_unserved"} == expected - {"due_unserved"}


# Keepers ------------------------------------------------------------------------------------------


def the_least_profit_is_ignored() -> tuple[Raw, Any]:
    raw = keeper_race()
    for bot in raw["venue"]["keepers"]["bots"].values():
        bot["min_profit_usd"] = 30
    return raw, patch.object(keepers._Bot, "_lacking_uusd", lambda *_: -keepers.BOUND)


def downtime_is_ignored() -> tuple[Raw, Any]:
    return keeper_race(), patch.object(keepers._Bot, "_down_for_us", lambda _: 0)


def what_a_short_ties_up_is_spent() -> tuple[Raw, Any]:
    # What one slice of a squeeze brings in would pay for the next one.
    raw = squeeze(venue__executor="keepers")
    bot = keeper(purse_usd=3_000, resale_delay="30s")
    raw["venue"]["keepers"] = {"discount": Decimal("0.01"), "bots": {"ann": bot}}
    return raw, patch.object(
        keepers._Bot,
        "_available_uusd",
        lambda bot: bot._context.world.ledger.cash_view[bot._owner_id] - bot._committed_uusd,
    )


def an_offer_stands_after_its_restoration() -> tuple[Raw, Any]:
    return restored_call(), patch.object(Margins, "now_restored", lambda *_: [])


def an_offer_stands_unseen_after_its_restoration() -> tuple[Raw, Any]:
    raw = no_executor(markets__ETH=restored_call()["markets"]["ETH"])
    return raw, patch.object(Margins, "now_restored", lambda *_: [])


def an_offer_is_taken_beyond_its_limit() -> tuple[Raw, Any]:
    return beyond_limit(), patch.object(venue.Venue, "judge", lambda _, offer: offer.closed_as)


def an_offer_is_withdrawn_for_nothing() -> tuple[Raw, Any]:
    def show(its: keepers.Keepers, offer: Any) -> None:
        shown(its, offer)
        context = its._bots[0]._context
        context.call(100_000, Priority.KEEPER, offer.close, FailedCall.RESTORED)

    shown = keepers.Keepers.show
    return lost_race(), patch.object(keepers.Keepers, "show", show)


def a_call_lies_about_its_failure() -> tuple[Raw, Any]:
    def judge(its: venue.Venue, offer: Any) -> FailedCall | None:
        reason = judged(its, offer)
        return FailedCall.BEYOND_LIMIT if reason is FailedCall.LOST_RACE else reason

    judged = venue.Venue.judge
    return lost_race(), patch.object(venue.Venue, "judge", judge)


KEEPERS = {
    the_least_profit_is_ignored: "keeper_profit",
    downtime_is_ignored: "keeper_down",
    what_a_short_ties_up_is_spent: "keeper_capital",
    an_offer_stands_after_its_restoration: "offer",
    an_offer_stands_unseen_after_its_restoration: "offer",
    an_offer_is_taken_beyond_its_limit: "offer",
    an_offer_is_withdrawn_for_nothing: "offer",
    a_call_lies_about_its_failure: "call_failed",
}


@pytest.mark.parametrize(
    ("wrong", "code"), KEEPERS.items(), ids=[wrong.__name__ for wrong in KEEPERS]
)
def test_keepers_that_break_a_rule_are_found_out(
    wrong: Callable[[], tuple[Raw, Any]], code: str, tmp_path: Path
) -> None:
    raw, broken = wrong()
    with broken:
        found = codes_of(raw, tmp_path / "run.duckdb")

    assert found == {code}
