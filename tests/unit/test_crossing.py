"""Crossing by hand: who is held, who meets whom, what that moves, and what an audit says of it."""

from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
from support.auditor import audited
from support.meeting import meeting_by_hand
from support.scenarios import Raw, at, crossed, knots, load
from support.sinks import ListSink
from support.verdicts import codes_of

from liqsim.errors import ScenarioError
from liqsim.events import (
    Action,
    DecisionRecorded,
    Entry,
    LiquidationUnresolved,
    OrderFilled,
    Owner,
    SurplusRouted,
    TranchesCrossed,
    TrancheSettled,
    TrancheStarted,
    UnresolvedReason,
)
from liqsim.events.mitigation import NOT_OBSERVED
from liqsim.mechanics.mitigations.pacing import Ask, Verdict
from liqsim.processes import crossing, venue
from liqsim.runner import Simulation, run_to_log
from liqsim.scenario.mitigations import OTHERS, Mitigation
from liqsim.scenario.plugins import register_mitigation
from replay.log import Log

S: Final = 10**6
USD: Final = 10**6
UNIT: Final = 10**8
FIRST: Final = 5
"""Owner number of the first account."""

LONG, SHORT = (10, 100, 30), (-6, 100, 18)
"""(units, entry, collateral): 3 % of margin, so that both are due once maintenance is 4 %."""


def held(**changes: Any) -> Raw:
    return {"kind": "crossing", "hold": "5s"} | changes


def story(*positions: Any, rows: list[Raw] | None = None, **changes: Any) -> list[Entry]:
    """Return the events of these accounts, judged; maintenance is 4 % from 10 s on."""
    prepared = meeting_by_hand(list(positions), [held()] if rows is None else rows, **changes)
    return audited(prepared).entries


def times(entries: list[Entry], what: Any) -> list[tuple[float, Any]]:
    """Return (second, what it says) of the events of which *what* says something."""
    found = ((e.sim_time_us / S, what(e.event)) for e in entries)
    return [(second, said) for second, said in found if said is not None]


def holds(entries: list[Entry]) -> list[tuple[float, tuple[int, float, float]]]:
    """Return when who was held (account, units, until)."""
    return times(
        entries,
        lambda e: (
            (e.bucket_id - FIRST, e.wanted_e8 / UNIT, e.until_at_us / S)
            if isinstance(e, DecisionRecorded) and e.action is Action.HELD
            else None
        ),
    )


def meetings(entries: list[Entry]) -> list[tuple[float, tuple[int, int, float]]]:
    """Return when who met whom (account that asked, account held, units as its order)."""
    return times(
        entries,
        lambda e: (
            (e.bucket_id - FIRST, e.counterparty_id - FIRST, e.quantity_e8 / UNIT)
            if isinstance(e, TranchesCrossed)
            else None
        ),
    )


def fills(entries: list[Entry]) -> list[tuple[float, tuple[int, float]]]:
    """Return when what was filled in the book (account, units)."""
    return times(
        entries,
        lambda e: (
            (e.bucket_id - FIRST, e.quantity_e8 / UNIT) if isinstance(e, OrderFilled) else None
        ),
    )


def test_a_long_and_a_short_meet_at_the_mark_and_the_rest_is_held_on() -> None:
    entries = story(LONG, SHORT)

    assert holds(entries) == [(10, (0, 10, 15)), (11, (0, 4, 15))]
    assert meetings(entries) == [(10, (1, 0, 6))]
    assert fills(entries) == [(15, (0, -4))]


def test_what_a_crossing_moves() -> None:
    entries = story(LONG, SHORT)

    (met,) = (e for e in entries if isinstance(e.event, TranchesCrossed))
    started, settled = (
        {e.event.bucket_id - FIRST: e for e in entries[: met.seq + 5] if isinstance(e.event, kind)}
        for kind in (TrancheStarted, TrancheSettled)
    )
    # 600 USD change hands at 100; each pays 0.2 % of that.
    assert met.event == TranchesCrossed(
        mitigation_id=0,
        tranche_seq=started[1].seq,
        bucket_id=FIRST + 1,
        other_tranche_seq=started[0].seq,
        counterparty_id=FIRST,
        market_id=0,
        quantity_e8=6 * UNIT,
        price_e8=100 * UNIT,
        cost_uusd=600 * USD,
        fee_uusd=1_200_000,
        other_fee_uusd=1_200_000,
        held_since_at_us=10 * S,
    )
    # 18 USD of equity stood behind the six units of either: what the fee leaves is surplus.
    surplus = [(e.event.bucket_id - FIRST, e.event.amount_uusd) for e in entries[met.seq :][1:3]]
    assert isinstance(entries[met.seq + 1].event, SurplusRouted)
    assert surplus == [(1, 16_800_000), (0, 16_800_000)]
    assert [settled[n].event.crossed_e8 for n in (0, 1)] == [6 * UNIT, 6 * UNIT]
    assert all(e.event.executor.name == "CROSSING" for e in started.values())


def test_balances_after_a_crossing() -> None:
    simulation = Simulation(meeting_by_hand([LONG, SHORT], [held()], end=at(14)), ListSink())
    simulation.run()
    ledger = simulation.world.ledger

    # 30 - 1000 + 600 - 1.2 - 16.8 are left of the long; of the short 18 + 600 - 600 - 1.2 - 16.8.
    owners = Owner.FUND, Owner.TREASURY, FIRST, FIRST + 1
    assert [ledger.cash_view[owner] for owner in owners] == [
        33_600_000, 2_400_000, -388_000_000, 0,
    ]  # fmt: skip
    assert [int(ledger.units[0, FIRST + n]) for n in (0, 1)] == [4 * UNIT, 0]


def test_whoever_asked_first_is_met_first_and_several_at_once() -> None:
    # The second short is due at 5 %, from 12 s on; longs were held at 10 s, in order of number.
    entries = story((4, 100, 12), (5, 100, 15), (-7, 100, Decimal("31.5")))

    assert meetings(entries) == [(12, (2, 0, 4)), (12, (2, 1, 3))]
    one_tranche = [
        e.event.quantity_e8 / UNIT
        for e in entries
        if isinstance(e.event, TrancheStarted) and e.event.bucket_id == FIRST + 2
    ]
    assert one_tranche == [7]
    # Two units of the second are left, and are held on from 13 s until its hold ends.
    assert holds(entries)[2:] == [(13, (1, 2, 15))]
    assert fills(entries) == [(15, (1, -2))]


def test_the_asker_goes_on_waiting_for_what_is_left_of_it() -> None:
    entries = story((4, 100, 12), (-10, 100, 45))

    assert meetings(entries) == [(12, (1, 0, 4))]
    # Its own time began when it first asked, at 12 s.
    assert holds(entries)[1:] == [(13, (1, 6, 17))]
    assert fills(entries) == [(17, (1, 6))]


def test_nobody_there_is_held_in_vain() -> None:
    entries = story(LONG)

    assert holds(entries) == [(10, (0, 10, 15))]
    assert fills(entries) == [(15, (0, -10))]


def test_each_slice_has_a_hold_of_its_own() -> None:
    entries = story(LONG, venue__tranches__share=Decimal("0.5"))

    assert holds(entries) == [(10, (0, 5, 15)), (16, (0, 5, 21))]
    assert fills(entries) == [(15, (0, -5)), (21, (0, -5))]


def test_whoever_is_bankrupt_at_the_mark_is_not_held() -> None:
    # At 96 the long's 30 are gone.
    entries = story(LONG, price={0: 100, 10: 96})

    assert holds(entries) == []
    assert fills(entries)[0] == (10, (0, -10))


def test_whoever_is_bankrupt_by_then_is_not_met() -> None:
    # At 96 the long's 30 are gone; the short has 50, and is due at 9 %.
    entries = story(LONG, (-6, 100, 26), price={0: 100, 12: 96}, maintenance={10: 4, 12: 9})

    assert [(at_s, who) for at_s, (who, _, _) in holds(entries)] == [(10, 0), (12, 1)]
    assert meetings(entries) == []


def test_whoever_is_restored_by_then_is_not_met() -> None:
    # At 103 the long has 60, more than 4 % of 1030; the short has nothing left but 0.
    entries = story(LONG, (-6, 100, 45), price={0: 100, 12: 103}, venue__tranches__restore_buffer=0)

    assert [(at_s, who) for at_s, (who, _, _) in holds(entries)] == [(10, 0), (12, 1)]
    assert meetings(entries) == []


def test_without_a_hold_nobody_waits_and_nobody_is_met() -> None:
    entries = story(LONG, SHORT, rows=[held(hold="0s")])

    assert entries == story(LONG, SHORT, rows=[])


# With other mitigations ---------------------------------------------------------------------------


def limit(**changes: Any) -> Raw:
    return {"kind": "rate_limit", "max_usd": 400, "span": "20s", "least_usd": 0} | changes


def limited(entries: list[Entry]) -> list[tuple[float, tuple[int, str, float]]]:
    """Return when a rate limit decided what (account, action, second from which it may go)."""
    return times(
        entries,
        lambda e: (
            (
                e.bucket_id - FIRST,
                e.action.name,
                0 if e.until_at_us == NOT_OBSERVED else e.until_at_us / S,
            )
            if isinstance(e, DecisionRecorded) and e.action in (Action.CUT, Action.DELAYED)
            else None
        ),
    )


@pytest.mark.parametrize("rows", [[held(), limit()], [limit(), held()]], ids=("first", "last"))
def test_what_is_held_or_crossed_books_no_place_with_a_rate_limit(rows: list[Raw]) -> None:
    # Four units fit in a span at once: had ten been booked at 10 s, they would not.
    entries = story(LONG, SHORT, rows=rows)

    assert meetings(entries) == [(10, (1, 0, 6))]
    assert limited(entries) == []
    assert fills(entries) == [(15, (0, -4))]


def test_whoever_is_crossed_gives_its_place_back() -> None:
    # The long sells 4 at 15 s, and has a place for 4 more at 35 s: then all its 6 meet a short that
    # is due at 33 s, and another, due at 34 s, finds the place free when it was held.
    entries = story(
        LONG, (-6, 100, 42), (-4, 100, 32), rows=[held(), limit()],
        maintenance={10: 4, 33: Decimal("7.5"), 34: Decimal("8.5")},
    )  # fmt: skip

    assert limited(entries) == [(15, (0, "CUT", 0)), (21, (0, "DELAYED", 35))]
    assert meetings(entries) == [(35, (0, 1, -6))]
    assert fills(entries) == [(15, (0, -4)), (39, (2, 4))]


def test_a_halt_stops_crossing() -> None:
    # The mark falls by 1 % at 12 s: a halt until 22 s, in which the short becomes due.
    fall = {"observable": "fall", "window": "5s", "above": Decimal("0.005")}
    breaker = {"kind": "breaker", "when": [fall], "duration": "10s"}
    entries = story(
        (10, 100, 35), (-6, 100, 26), rows=[held(hold="20s"), breaker],
        price={0: 100, 12: 99}, maintenance={10: 4, 13: 6},
    )  # fmt: skip

    assert [second for second, _ in meetings(entries)] == [22]
    assert not [second for second, _ in (*holds(entries), *fills(entries)) if 12 < second < 22]


def test_what_is_held_or_crossed_is_no_forced_flow() -> None:
    # 600 USD crossed at 10 s would have the rest wait a minute per million, that is 36 ms.
    delays = {"kind": "delays", "per_million": "1h", "max": "1h", "window": "1h"}
    entries = story(LONG, SHORT, rows=[held(), delays])

    assert fills(entries) == [(15, (0, -4))]


@attrs.frozen
class _Asked(Mitigation):
    """A third party's, which notes what it is asked."""

    seen: Any = attrs.field(factory=list, init=False, eq=False)

    def judge(self, ask: Ask, _sight: Any) -> Verdict:
        _SEEN.append((ask.now_us / S, ask.wanted_e8 / UNIT))
        return Verdict()


_SEEN: list[tuple[float, float]] = []


def test_a_third_party_is_asked_for_what_is_not_held() -> None:
    _SEEN.clear()
    register_mitigation("noted", _Asked)
    try:
        story(LONG, SHORT, rows=[held(), {"kind": "noted"}])
    finally:
        del OTHERS["noted"]

    assert _SEEN == [(15, 4)]


# What is refused, and what an audit finds ---------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([held(), held(name="two")], r"mitigations.1.market = \"\" must differ from that of"),
        ([held(market="ETH"), held(name="two")], "a market has one crossing"),
        ([held(hold="-1s")], "mitigations.0.hold"),
    ],
)
def test_what_a_scenario_may_not_say(rows: list[Raw], message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        load(crossed(mitigations=rows))


def test_inverse_contracts_are_not_crossed() -> None:
    raw = crossed(
        markets__ETH__contract="inverse", population__cohorts__crowd__collateral="coin",
        markets__ETH__maintenance=[[0, Decimal("0.01")]],
    )  # fmt: skip

    with pytest.raises(ScenarioError, match="ETH is inverse"):
        load(raw)


def test_whoever_is_held_at_the_end_is_unresolved_for_that() -> None:
    entries = story(LONG, end=at(12), maintenance={10: 4})

    (left,) = (e.event for e in entries if isinstance(e.event, LiquidationUnresolved))
    assert left.reason is UnresolvedReason.PACED


def _last_first(wanted: int, waiting: Any) -> list[tuple[int, int]]:
    return _matches(wanted, list(waiting)[::-1])


def _less(wanted: int, waiting: Any) -> list[tuple[int, int]]:
    return _matches(max(wanted // 2, 1), waiting)


_matches = venue.matches_e8
_asked = crossing.Crossings.asked


def _held_longer(self: Any, ask: Ask) -> None:
    _asked(self, attrs.evolve(ask, now_us=ask.now_us + 1))


def _cheaper(quantity_e8: int, price_e8: int) -> int:
    return _cost(quantity_e8, price_e8) + 1


_cost = venue.taker_cost_uusd


def _gapped() -> Raw:
    """A jump that leaves longs bankrupt at once."""
    return crossed(markets__ETH__path=knots((0, 100), (40, 99), (41, 85), (180, 84)))


WRONG: Final[dict[str, tuple[tuple[Any, str, Any], str]]] = {
    "last first": ((venue, "matches_e8", _last_first), "crossed"),
    "less": ((venue, "matches_e8", _less), "crossed"),
    "nobody meets": ((venue, "matches_e8", lambda *_: []), "crossed"),
    "nobody is held": ((crossing.Crossings, "hold", lambda *_: None), "hold"),
    "held longer": ((crossing.Crossings, "asked", _held_longer), "decision"),
    "the bankrupt are held": ((venue.Venue, "_is_bankrupt", lambda *_: False), "hold"),
    "nobody is sound": ((venue.Venue, "_is_bankrupt", lambda *_: True), "hold"),
    "another price": ((venue, "taker_cost_uusd", _cheaper), "cost"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_by_the_rules_is_found(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch, code = WRONG[name]
    monkeypatch.setattr(*patch)
    base = _gapped if name == "the bankrupt are held" else crossed
    assert code in codes_of(base(), tmp_path / "log.duckdb")


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("crossed") / "log.duckdb"
    run_to_log(load(crossed()), path)
    with Log(path) as reader:
        yield reader


def test_nothing_is_found_otherwise(log: Log) -> None:
    assert log.verify() == []


def test_the_parts_of_every_slice_sum_to_it_and_views_agree(log: Log) -> None:
    ((slices, wrong),) = log.sql(
        "select count(*) filter (where crossed > 0), count(*) filter (where abs(quantity) <> "
        "filled + taken_over + deleveraged + crossed + cancelled) from tranches"
    ).fetchall()
    ((crossings, value),) = log.sql("select count(*), sum(value_usd) from crossings").fetchall()
    ((sides, both),) = log.sql(
        "select count(*), sum(value_usd) from executions where route = 'crossed'"
    ).fetchall()

    assert slices > crossings >= 8
    assert wrong == 0
    assert (sides, both) == (2 * crossings, 2 * value)
    assert log.outcome()["crossed_usd"] == f"{round(both, 6):.6f}"


def test_what_crossed_slices_lost_and_who_paid_are_one(log: Log) -> None:
    rows = log.sql(
        "select x.liquidation_seq, x.loss, p.paid, x.slippage from (select liquidation_seq, "
        "sum(loss_usd) as loss, sum(slippage_usd) filter (where route = 'crossed') as slippage "
        "from execution_losses group by all) as x join (select liquidation_seq, sum(amount_usd) "
        "as paid from loss_payers group by all) as p using (liquidation_seq)"
    ).fetchall()

    assert len(rows) > 10
    assert all(loss == paid for _, loss, paid, _ in rows)
    # At the mark there is no slippage, but for what rounding takes.
    assert all(abs(slippage) < Decimal("0.00002") for *_, slippage in rows if slippage is not None)


def test_both_accounts_have_the_crossing_in_their_lives(log: Log) -> None:
    ((pairs,),) = log.sql("select count(*) from crossings").fetchall()
    ((told, units),) = log.sql(
        "select count(*), sum(quantity) from account_events where what = 'crossed'"
    ).fetchall()

    assert (told, units) == (2 * pairs, 0)
