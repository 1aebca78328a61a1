"""
Positions that a mitigation reduces ahead of a cascade, worked out by hand; steps that are wrong.

Amounts in the comments are USD. The model expects a cascade at every look, unless it says.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import attrs
import pytest
from support.models import model_text
from support.scenarios import Raw, at, in_coins, listed, load, market, small_scenario, stepped_down
from support.verdicts import codes
from unit.handmade_log import tamper
from unit.test_predicting import ASKS, BIDS
from unit.test_settlement_paths import Run, e8, usd

from liqsim.errors import ScenarioError
from liqsim.eventlog.reader import open_log
from liqsim.events import Action, DecisionRecorded, LiquidationTriggered, PositionReduced
from liqsim.mechanics.mitigations.predicting import step_e8
from liqsim.processes import reductions
from liqsim.processes.margins import Margins
from liqsim.processes.orders import Orders
from liqsim.processes.reductions import Reductions
from liqsim.processes.venue import Venue
from liqsim.runner import run_to_log
from liqsim.scenario.mitigations import Predictive
from replay.measures import measures
from replay.outcome import outcome
from replay.verify import verify
from replay.views import install_views

_CERTAIN: Final = model_text(intercept=9, distance=Decimal("0.02"))

# At 98 the first has -978 + 980 - 9.8 < 0, the second -1155 + 1176 - 11.76 > 0, and the third,
# short, is nowhere near.
NEAR, NEXT, SHORT = (10, 100, 22), (12, 100, 45), (-6, 100, 100)


def rule(**keys: Any) -> Raw:
    """Return a row that reduces by a tenth, and never by more than a quarter in all."""
    return {
        "kind": "predictive",
        "action": "deleverage",
        "model": "by_hand.json",
        "content": _CERTAIN,
        "period": "10s",
        "step": Decimal("0.1"),
        "cap": Decimal("0.25"),
        "slippage": Decimal("0.02"),
    } | keys


def under(*rows: Raw, **changes: Any) -> Raw:
    """Return a minute in a book that takes 20 units at 99.9 and gives 15 at 100.1."""
    book = {"kind": "ladder", "asks": ASKS, "bids": BIDS, "half_life": "1ms"}
    return small_scenario(mitigations=list(rows), markets__ETH=market(liquidity=book), **changes)


def steps(run: Run) -> list[tuple[int, int, Decimal]]:
    """Return when which account was reduced, and by how much, from 0."""
    first = len(run.cash) - 3
    return [
        (e.sim_time_us // 10**6, e.event.bucket_id - first, Decimal(e.event.quantity_e8) / 10**8)
        for e in run.entries
        if isinstance(e.event, PositionReduced)
    ]


# Who, when and how much ---------------------------------------------------------------------------


def test_only_who_would_be_due_is_reduced_by_a_step_of_what_it_has_until_the_cap() -> None:
    run = Run(under(rule()), [NEAR, NEXT, SHORT])

    # A tenth of 10 and of 9; of 8.1 only what is left of 2.5.
    assert steps(run) == [(10, 0, usd(-1)), (20, 0, usd("-0.9")), (30, 0, usd("-0.6"))]
    assert run.of(LiquidationTriggered) == []


def test_a_step_costs_what_an_order_of_its_own_would() -> None:
    fees = {"taker": Decimal("0.0005"), "liquidation_on_execution": Decimal("0.01")}
    run = Run(under(rule(cap=Decimal("0.1")), venue__fees=fees), [NEAR, NEXT, SHORT])

    e = run.the(PositionReduced)
    # One unit sold at 100 x 0.999, and five hundredths of a percent of that; no penalty.
    assert (e.price_e8, e.arrival_price_e8) == (e8("99.9"), e8(100))
    assert (e.market_price_e8, e.reference_price_e8, e.mark_price_e8) == (
        e8("99.9"),
        e8(100),
        e8(100),
    )
    assert (e.cost_uusd, e.fee_uusd) == (-99_900000, 49_950)
    assert run.cash[-3] == usd(-978) + usd("99.9") - usd("0.04995")
    assert run.units[-3] == 9
    assert run.entry_of(PositionReduced).cause_seq == run.entry_of(DecisionRecorded).seq


def test_a_short_is_bought_back_where_the_price_may_rise() -> None:
    # At 102 the short has 1025 - 1020 - 10.2 < 0; at 98 nobody is due.
    run = Run(under(rule(cap=Decimal("0.1"))), [(-10, 100, 25), NEXT, (6, 100, 100)])

    assert steps(run) == [(10, 0, usd(1))]
    assert run.the(PositionReduced).price_e8 == e8("100.1")


def test_the_weakest_goes_first_until_the_look_has_traded_what_it_may() -> None:
    # Both would be due at 98; of 10 and of 20 a tenth is 1 and 2, and 150 USD are 1.5 units.
    both = [(20, 100, 44), (10, 100, 21), SHORT]
    run = Run(under(rule(most_usd=150, cap=Decimal("0.1"))), both)

    assert steps(run) == [(10, 1, usd(-1)), (10, 0, usd("-0.5")), (20, 0, usd("-1.5"))]


def test_of_equals_the_first_goes_first() -> None:
    run = Run(under(rule(most_usd=100, cap=Decimal("0.1"))), [NEAR, NEAR, SHORT])

    assert steps(run) == [(10, 0, usd(-1)), (20, 1, usd(-1))]


@pytest.mark.parametrize(
    ("keys", "count"),
    [
        ({}, 3),
        ({"content": model_text(intercept=-9, distance=Decimal("0.02"))}, 0),
        ({"above": 1}, 0),
        ({"cap": 0}, 0),
        ({"most_usd": 0}, 0),
        ({"step": Decimal("0.000001"), "cap": Decimal("0.000001")}, 1),
        ({"slippage": Decimal("0.0009")}, 0),  # The first bid is a thousandth away.
        ({"content": model_text(intercept=9, distance=Decimal("0.001"))}, 0),
        ({"market": "ETH"}, 3),
        ({"on": False}, 0),
    ],
)
def test_what_does_not_ask_for_a_step_makes_none(keys: Raw, count: int) -> None:
    run = Run(under(rule(**keys)), [NEAR, NEXT, SHORT])

    assert len(steps(run)) == count
    assert len(run.of(DecisionRecorded)) == count


def test_a_chance_that_is_just_reached_is_enough() -> None:
    even = model_text(intercept=0, distance=Decimal("0.02"))  # A chance of one half.

    assert steps(Run(under(rule(content=even, above=Decimal("0.5"))), [NEAR, NEXT, SHORT]))
    assert not steps(Run(under(rule(content=even, above=Decimal("0.500001"))), [NEAR, NEXT, SHORT]))


def test_nobody_is_reduced_to_be_due() -> None:
    # With 10.2 the margin at 100 is 0.2; a unit sold at 99.9 costs 0.1, and frees 1 of maintenance:
    # not with a fee of 1.2 %.
    weak = [(10, 100, "10.2"), NEXT, SHORT]

    assert steps(Run(under(rule()), weak))
    assert not steps(Run(under(rule(), venue__fees={"taker": Decimal("0.012")}), weak))


def test_whoever_is_in_liquidation_is_left_to_it() -> None:
    slow = {"kind": "slices", "law": "fixed", "amount_usd": 100, "least_usd": 0, "interval": "40s"}
    run = Run(under(rule(), slow), [NEAR, NEXT, SHORT], {0: 100, 5: 98, 8: 100})

    # Due at 98, and not any more at 100, it waits for its next slice until 46 s.
    assert run.the(LiquidationTriggered)
    assert [when for when, who, _ in steps(run) if not who] == [50]


def test_a_halt_of_liquidations_halts_steps() -> None:
    halt = {
        "kind": "breaker",
        "when": [{"observable": "fall", "above": Decimal("0.001")}],
        "duration": "13s",
    }
    run = Run(under(rule(), halt), [NEAR, NEXT, SHORT], {0: 100, 9: "99.5"})

    assert [when for when, _, _ in steps(run)] == [30, 40, 50]


@pytest.mark.parametrize(
    ("keys", "looks"),
    [
        ({"span": "15s"}, [40, 50]),
        ({"span": "18s"}, [40, 50]),
        ({"span": "18001ms"}, [50]),
        ({"span": "15s", "market": "ETH"}, [40, 50]),
        ({"span": "15s", "after_halts": False}, [30, 40, 50]),
    ],
)
def test_a_grace_period_holds_steps_back(keys: Raw, looks: list[int]) -> None:
    halt = {
        "kind": "breaker",
        "when": [{"observable": "fall", "above": Decimal("0.001")}],
        "duration": "13s",
    }
    # The fall lands at 9 s, so that the halt ends at 22 s.
    rows = [rule(), halt, {"kind": "grace"} | keys]
    run = Run(under(*rows), [NEAR, NEXT, SHORT], {0: 100, 9: "99.5"})

    assert [when for when, _, _ in steps(run)] == looks


def test_an_outage_holds_back_no_step_but_the_grace_period_after_it_does() -> None:
    engine = {"reaction": "1s", "outages": [[at(5), at(25)]]}
    run = Run(under(rule(), {"kind": "grace", "span": "6s"}, venue__engine=engine), [NEAR, NEXT])

    assert [when for when, _, _ in steps(run)] == [10, 20, 40]


def test_a_mark_that_is_too_old_reduces_nobody() -> None:
    def found(mark_max_age: str) -> int:
        raw = under(rule(), venue__mark_max_age=mark_max_age)
        return len(steps(Run(raw, [NEAR, NEXT, SHORT])))

    # The last mark before a look has landed a second ago.
    assert (found("1s"), found("999ms")) == (3, 0)


# The size of a step -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("held", "first", "closed", "left", "order"),
    [
        (1_000, 1_000, 0, 10**9, -100),
        (-1_000, 1_000, 0, 10**9, 100),
        (1_009, 1_009, 0, 10**9, -100),
        (1_000, 1_000, 200, 10**9, -50),
        (1_000, 1_000, 300, 10**9, 0),
        (1_000, 1_000, 0, 7, -7),
        (1_000, 1_000, 0, 0, 0),
        (9, 9, 0, 10**9, 0),
        (5_000, 1_000, 0, 10**9, -250),
    ],
)
def test_a_step_is_the_least_of_its_bounds(
    held: int, first: int, closed: int, left: int, order: int
) -> None:
    spec = load(under(rule())).mitigations[0]
    assert isinstance(spec, Predictive)

    assert step_e8(spec, held, first, closed, left) == order


# What is told -------------------------------------------------------------------------------------


def test_view_and_outcome_tell_what_was_reduced_and_what_it_cost(tmp_path: Path) -> None:
    path = tmp_path / "run.duckdb"
    run_to_log(load(stepped_down()), path)
    with open_log(path) as log:
        install_views(log)
        found = outcome(log)
        rows = log.rows("select value_usd, slippage_usd, risk from reductions")
        events = [e.event for e in log.entries() if isinstance(e.event, PositionReduced)]
        kinds = log.rows("select count(*) from account_events where what = 'reduced'")

    worth = sum(abs(e.quantity_e8) * e.price_e8 for e in events)
    lost = sum(abs(e.quantity_e8) * abs(e.price_e8 - e.arrival_price_e8) for e in events)
    assert len(events) > 40
    assert (found["reductions"], kinds[0][0]) == (len(events), len(events))
    assert Decimal(found["reduced_usd"]) == round(Decimal(worth) / 10**16, 6)
    assert sum(value for value, _, _ in rows) * 10**16 == worth
    assert sum(slippage for _, slippage, _ in rows) * 10**16 == lost
    assert all(risk >= Decimal("0.1") for _, _, risk in rows)


def test_who_falls_due_through_steps_alone_is_a_root(tmp_path: Path) -> None:
    raw = stepped_down()
    raw["mitigations"][0] |= {"above": 0, "most_usd": 1_000_000}
    run_to_log(load(raw), tmp_path / "run.duckdb")
    with open_log(tmp_path / "run.duckdb") as log:
        install_views(log)
        roots = log.rows(
            """
            select g.liquidation_seq, g.generation, c.class, c.forced_displacement <> 0,
                count(r.seq) > 0
            from genealogy as g
            join liquidation_classes as c using (liquidation_seq)
            join position_reduced as r on r.seq < g.liquidation_seq
            where g.parent_fill_seq is null
            group by all
            """
        )
        (sold,) = log.rows("select min(seq) from order_filled")
        parents = log.rows("select seq from forced_fills join position_reduced using (seq)")

    ((first, *root),) = roots
    assert root == [0, "induced", True, True]
    assert first < sold[0]
    assert parents == []


def test_what_steps_lose_to_the_book_is_a_measure_of_its_own(tmp_path: Path) -> None:
    accounts = listed(("near", "ETH", 10, 100, 22), ("short", "ETH", -6, 100, 100))
    raw = under(rule(), population={"accounts": accounts})
    run_to_log(load(raw), tmp_path / "run.duckdb")
    with open_log(tmp_path / "run.duckdb") as log:
        found = measures(log)

    # Of 2.5 units in three steps each loses a tenth; nothing is liquidated.
    assert found["reduction_slippage_usd"] == "0.250000"
    assert found["slippage_usd"] == "0.000000"


# What is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"high": 2}, r"high = 2 has no effect: action is \"deleverage\""),
        ({"notice": "1s"}, r"notice = .1s. has no effect"),
        ({"action": "raise_margin"}, r"(step|cap|slippage) = .* has no effect"),
        ({"step": 0}, "step = 0 must be above 0"),
        ({"cap": 2}, "cap = 2 must be"),
        ({"action": "close"}, "action"),
    ],
)
def test_keys_of_the_other_action_and_bad_values_are_refused(keys: Raw, told: str) -> None:
    with pytest.raises(ScenarioError, match=told):
        load(under(rule(**keys)))


def test_accounts_with_coins_are_refused() -> None:
    told = r"mitigations\.0\.action = .deleverage. must be .raise_margin.: accounts in ETH hold"
    with pytest.raises(ScenarioError, match=told):
        load(in_coins(mitigations=[rule()]))


# The audit ----------------------------------------------------------------------------------------

Break = Callable[[], AbstractContextManager[Any]]


def _bent(owner: Any, name: str, change: Callable[..., Any]) -> Break:
    right = getattr(owner, name)
    return lambda: patch.object(
        owner, name, lambda *args, **words: change(right(*args, **words), *args)
    )


def _looser(**keys: int) -> Break:
    """Return what has a rule follow other parameters than the log says."""
    return _bent(
        reductions, "step_e8", lambda _, spec, *given: step_e8(attrs.evolve(spec, **keys), *given)
    )


WRONG: Final[dict[str, tuple[Break, str]]] = {
    "a step above its share": (_looser(step_e6=200_000), "reduction"),
    "steps beyond the cap": (_looser(cap_e6=900_000), "reduction"),
    "a look that trades too much": (
        _bent(reductions, "step_e8", lambda _, *given: step_e8(*given[:-1], 10**18)),
        "reduction",
    ),
    "a step to the other side": (
        _bent(reductions, "step_e8", lambda _, _spec, held, *__: -2 * held),
        "reduction",
    ),
    "the strongest first": (
        _bent(Margins, "weakest_first", lambda right, *_: right[::-1]),
        "reduction",
    ),
    "one is left out": (_bent(Margins, "weakest_first", lambda right, *_: right[1:]), "reduction"),
    "another chance": (_bent(reductions, "risk_e6", lambda right, *_: right + 1), "decision"),
    "never a chance": (_bent(reductions, "risk_e6", lambda *_: 0), "reduction"),
    "always a chance": (_bent(reductions, "risk_e6", lambda *_: 999_999), "decision"),
    "at any price": (
        _bent(
            Orders,
            "quote",
            lambda _, self, desk, order, __: RIGHT_QUOTE(self, desk, order, 500_000),
        ),
        "reduction",
    ),
    "without its fee": (
        _bent(Orders, "quote", lambda right, *_: right and attrs.evolve(right, fee_uusd=0)),
        "fee",
    ),
    "whoever is left due": (_bent(Reductions, "_would_be_due", lambda *_: False), "reduction"),
    "inside a liquidation": (_bent(Orders, "is_in_liquidation", lambda *_: False), "reduction"),
}
RIGHT_QUOTE: Final = Orders.quote


def _story(name: str) -> Raw:
    fees = {"taker": Decimal("0.0005")} if name == "without its fee" else {}
    raw = stepped_down(venue__fees=fees) if fees else stepped_down()
    if name == "at any price":
        raw["mitigations"][0]["slippage"] = Decimal("0.0001")
    return raw


@pytest.mark.parametrize("name", WRONG)
def test_wrong_steps_are_found_out(name: str, tmp_path: Path) -> None:
    broken, code = WRONG[name]
    with broken():
        run_to_log(load(_story(name)), tmp_path / "run.duckdb")

    assert code in codes(tmp_path / "run.duckdb")


@pytest.mark.parametrize(
    ("duration", "rows", "expected"),
    [
        ("1m", [], {"halted", "reduction"}),
        ("1ms", [{"kind": "grace"}], {"reduction"}),
    ],
    ids=["halt", "grace"],
)
def test_a_step_while_all_is_held_back_is_found_out(
    duration: str, rows: list[Raw], expected: set[str], tmp_path: Path
) -> None:
    fall = {"observable": "fall", "above": Decimal("0.001")}
    raw = stepped_down()
    raw["mitigations"] += [{"kind": "breaker", "when": [fall], "duration": duration}, *rows]
    run_to_log(load(raw), tmp_path / "right.duckdb")
    with patch.object(Venue, "holds_back", lambda *_: False):
        run_to_log(load(raw), tmp_path / "wrong.duckdb")

    assert verify(tmp_path / "right.duckdb") == []
    assert codes(tmp_path / "wrong.duckdb") >= expected


@pytest.fixture(scope="module")
def clean_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stepped_down") / "run.duckdb"
    run_to_log(load(stepped_down()), path)
    assert verify(path) == []
    return path


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("update position_reduced set ordered = ordered * 1.01", "reduction"),
        ("update position_reduced set fee_usd = fee_usd + 1", "fee"),
        ("update position_reduced set arrival_price = arrival_price * 1.001", "market_price"),
        ("update position_reduced set mark_price = mark_price + 1", "mark"),
        ("update position_reduced set reference_price = reference_price + 1", "fill_reference"),
        ("update decision_recorded set risk = risk + 0.000001", "decision"),
        ("update decision_recorded set action = 'raised'", "decision"),
    ],
)
def test_changed_rows_are_found_out(
    statement: str, code: str, tmp_path: Path, clean_log: Path
) -> None:
    path = tmp_path / "run.duckdb"
    path.write_bytes(clean_log.read_bytes())
    tamper(path, statement)

    assert code in codes(path)


def test_a_decision_says_what_was_seen(clean_log: Path) -> None:
    with open_log(clean_log) as log:
        events = [e.event for e in log.entries() if isinstance(e.event, DecisionRecorded)]

    assert len(events) > 10
    assert {e.action for e in events} == {Action.REDUCED}
    assert all(e.risk_e6 >= 100_000 for e in events)
