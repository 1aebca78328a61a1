"""
Margin rates that follow what a venue sees, and fees on leverage, worked out by hand.

Amounts in the comments are USD. The long holds 10 at 100 with a collateral of 100, and must keep
1 %. A year has 3,155,760 periods of 10 s, of which the root is 1,776.4459.
"""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import pytest
from support.scenarios import (
    Raw,
    at,
    concentrated,
    correlated,
    knots,
    listed,
    load,
    market,
    scaled,
    small_scenario,
)
from support.verdicts import codes, codes_of
from unit.handmade_log import tamper
from unit.test_settlement_paths import FIRST, LONG, SECOND, SHORT, Run

from liqsim.errors import ScenarioError
from liqsim.eventlog.reader import open_log
from liqsim.events import (
    Action,
    DecisionRecorded,
    LeverageFeePaid,
    LiquidationTriggered,
    MaintenanceChanged,
    Owner,
    Standing,
)
from liqsim.processes import leverage_fees, maintenance
from liqsim.processes.correlation import CorrelationOfMarks
from liqsim.processes.volatility import VolatilityOfMark
from liqsim.runner import run_to_log
from replay.measures import measures
from replay.verify import verify
from replay.views import install_views

RULE: Final = {
    "period": "10s",
    "high": 50,
    "ramp": 50,
    "restore": 50,
    "grain": Decimal("0.000001"),
    "notice": "0s",
}


def under(*rules: Raw, path: Raw | None = None, **changes: Any) -> Raw:
    raw = market(path=path or knots((0, 100), (60, 100)))
    return small_scenario(markets__ETH=raw, mitigations=list(rules), **changes)


def decided(run: Run) -> list[tuple[float, int, int]]:
    """Return when decisions were taken, on which observation, and what they came to."""
    return [
        (
            entry.sim_time_us / 10**6,
            max(
                e.volatility_e6,
                e.open_interest_uusd,
                e.index_e6,
                e.concentration_e6,
                e.correlation_e6,
            ),
            e.multiplier_e6,
        )
        for entry in run.entries
        if isinstance(e := entry.event, DecisionRecorded)
    ]


def rates(run: Run) -> list[tuple[float, int]]:
    return [
        (entry.sim_time_us / 10**6, entry.event.multiplier_e6)
        for entry in run.entries
        if isinstance(entry.event, MaintenanceChanged)
    ]


# Margin rates -------------------------------------------------------------------------------------


def test_volatility_is_that_of_marks_seen_once_per_period_and_halves_by_the_root() -> None:
    rule = RULE | {"kind": "dynamic_margin", "half_life": "10s", "reference": 100}
    run = Run(under(rule, path=knots((0, 100), (14, 100), (15, 110), (60, 110))), [SHORT])

    # ln 1.1 = 0.09531018, x 1,776.4459 = 169.3134 at 20 s; each period later 1 / root 2 of it.
    assert decided(run)[0] == (20, 169_313_377, 1_693_134)
    assert decided(run)[1] == (30, 119_722_637, 1_197_227)
    assert decided(run)[2] == (40, 84_656_689, 1_000_000)
    assert len(decided(run)) == 3
    assert rates(run) == [(20, 1_693_134), (30, 1_197_227), (40, 1_000_000)]


def test_open_interest_is_what_owners_are_long_at_the_mark() -> None:
    rule = RULE | {"kind": "open_interest_margin", "reference_usd": 500}
    run = Run(under(rule, path=knots((0, 100), (60, 100))), [LONG, SHORT, (2, 100, 100)])

    # Two accounts are long 12, one is short 10, the makers 2: 12 x 100 of 500.
    assert decided(run) == [(10, 1_200_000_000, 2_400_000)]


@pytest.mark.parametrize(("largest", "share"), [(1, 833_333), (2, 1_000_000), (9, 1_000_000)])
def test_concentration_is_the_share_of_the_largest_on_the_side_where_it_is_more(
    largest: int, share: int
) -> None:
    rule = RULE | {
        "kind": "concentration_margin", "largest": largest, "reference": Decimal("0.5"),
    }  # fmt: skip
    run = Run(under(rule, path=knots((0, 100), (60, 100))), [LONG, (-4, 100, 100), (2, 100, 100)])

    # Accounts are long 10 and 2, one is short 4, the makers are short 8 and do not count: of 12.
    assert decided(run) == [(10, share, 2 * share)]


def test_makers_are_no_account_and_count_in_open_interest() -> None:
    rule = RULE | {"kind": "concentration_margin", "reference": Decimal("0.25")}
    run = Run(under(rule), [(4, 100, 100)] * 3)

    # Three of 4 of 12, against makers who are short all of it.
    assert decided(run) == [(10, 333_333, 1_333_332)]


def test_concentration_follows_the_accounts_as_they_are_liquidated() -> None:
    rule = RULE | {"kind": "concentration_margin", "reference": Decimal("0.5")}
    path = knots((0, 100), (14, 100), (15, 90), (60, 90))
    accounts = [LONG, (2, 100, 100), (-3, 100, 100), (1, 100, 100)]
    run = Run(under(rule, path=path), accounts)

    # 10 of 13; once the long is sold, long and short are 3 of 3 with the makers.
    assert decided(run) == [(10, 769_230, 1_538_460), (20, 1_000_000, 2_000_000)]


def test_who_holds_most_of_a_market_is_due_by_that_alone() -> None:
    rule = RULE | {"kind": "concentration_margin", "reference": Decimal("0.05"), "notice": "5s"}
    run = Run(under(rule), [LONG, (10, 100, 300)])

    # Each has half of 20: ten times 1 % of 1,000 are 100, and 100 is not below it.
    assert rates(run) == [(15, 10_000_000)]
    assert run.of(LiquidationTriggered) == []
    run = Run(under(rule | {"reference": Decimal("0.049")}), [LONG, (10, 100, 300)])
    (trigger,) = run.of(LiquidationTriggered)
    assert (trigger.bucket_id, trigger.standing) == (FIRST, Standing.RULE_INDUCED)


def together(*prices: dict[int, Any], **changes: Any) -> Run:
    """Run markets of these prices, with 1 ETH, 10 BTC and 11 SOL long, and no leverage."""
    rule = RULE | {"kind": "correlation_margin", "half_life": "10s", "reference": 1, "low": 0}
    names = ("ETH", "BTC", "SOL")[: len(prices)]
    raw = small_scenario(
        markets={name: market() for name in names}, mitigations=[rule | {"market": "ETH"} | changes]
    )
    held = [(1, 100, 100), [None, (10, 100, 1_000)], [None, None, (11, 100, 1_100)]]
    return Run(raw, held[: len(prices)], *prices)


def test_correlation_is_that_of_returns_seen_once_per_period() -> None:
    a_tenth_more_twice = {0: 100, 15: 110, 25: 121}
    run = together(a_tenth_more_twice, {0: 100, 15: 110, 25: 100, 35: 110})

    # With a = ln 1.1 and pairs (a, a), (a, -a), (0, a), each half as much a period later: at 20 s
    # 1; at 30 s the products cancel, and the multiplier goes from 1 to 0; then they stay.
    assert decided(run) == [(30, 0, 0)]
    assert run.of(DecisionRecorded)[0].action is Action.LOWERED


def test_the_others_are_a_basket_by_open_interest_at_the_mark() -> None:
    btc, sol = {0: 100, 15: 110, 25: 121}, {0: 100, 15: Decimal(1000) / 11}
    run = together({0: 100, 15: 110, 25: 121}, btc, sol)

    # With a = ln 1.1: at 20 s 1,100 of BTC gain a and 1,000 of SOL lose it, b = a / 21; at 30 s
    # 1,210 of 2,210 gain it, b = 0.547511 a. Correlation (b + b') / root(2 (b b + b' b')).
    ((at_s, seen, multiplier), *more) = decided(run)
    assert (at_s, more) == (30, [])
    assert seen == pytest.approx(765_717, abs=2)
    assert multiplier == seen


def test_nothing_is_seen_before_a_half_life_nor_where_nothing_moves() -> None:
    both = {0: 100, 15: 110, 45: 100}
    late = together(both, both, half_life="25s", reference=Decimal("0.5"))
    still = together(both, {0: 100}, reference=Decimal("0.5"))

    # The pairs of 20, 30 and 40 s are 30 s; the first is known by then.
    assert decided(late) == [(40, 1_000_000, 2_000_000)]
    assert decided(still) == []


def test_a_lone_market_moves_with_nothing() -> None:
    assert decided(together({0: 100, 15: 110, 25: 100})) == []


def test_an_index_is_a_step_function_known_from_its_first_point() -> None:
    points = [[at(15), Decimal("1.5")], [at(30), Decimal("1.5")], [at(41), Decimal("0.2")]]
    run = Run(under(RULE | {"kind": "stress_margin", "points": points}), [LONG])

    assert decided(run) == [(20, 1_500_000, 1_500_000), (50, 200_000, 1_000_000)]


def test_a_multiplier_ramps_up_is_announced_and_goes_back_by_itself() -> None:
    points = [[at(0), 2], [at(25), 1]]
    steps = {"ramp": Decimal("0.4"), "restore": Decimal("0.3"), "notice": "3s"}
    run = Run(under(RULE | {"kind": "stress_margin", "points": points} | steps), [LONG])

    assert [(when, multiplier) for when, _, multiplier in decided(run)] == [
        (10, 1_400_000),
        (20, 1_800_000),
        (30, 1_500_000),
        (40, 1_200_000),
        (50, 1_000_000),
    ]
    assert rates(run) == [(when + 3, multiplier) for when, _, multiplier in decided(run)]
    actions = [event.action for event in run.of(DecisionRecorded)]
    assert actions == [Action.RAISED] * 2 + [Action.LOWERED] * 3


def test_what_is_asked_for_is_rounded_up_to_a_grain() -> None:
    points = [[at(0), Decimal("1.21")], [at(25), Decimal("1.24")], [at(35), Decimal("1.26")]]
    rule = RULE | {"kind": "stress_margin", "points": points, "grain": Decimal("0.05")}

    # 1.24 asks for no more than 1.21 does.
    assert rates(Run(under(rule), [LONG])) == [(10, 1_250_000), (40, 1_300_000)]


def test_multipliers_of_schedule_and_mitigations_are_multiplied() -> None:
    rules = [
        RULE | {"kind": "stress_margin", "name": name, "points": [[at(since), index]], "high": 4}
        for name, since, index in (("one", 15, Decimal("1.5")), ("other", 25, Decimal("1.000001")))
    ]
    changes = [{"at": at(20), "multiplier": 2}, {"at": at(45), "multiplier": 1}]
    run = Run(under(*rules, markets__ETH__maintenance_changes=changes), [LONG])

    # What falls into one instant is one change; 2 x 1.5 x 1.000001 = 3.000003.
    assert rates(run) == [(20, 3_000_000), (30, 3_000_003), (45, 1_500_002)]


def test_who_is_due_by_a_raised_rate_alone_is_liquidated_by_rule() -> None:
    rule = RULE | {"kind": "stress_margin", "points": [[at(0), 20]], "notice": "5s"}
    run = Run(under(rule), [LONG, (10, 100, 300)])

    # 20 % of 1,000 are 200: more than 100, less than 300.
    (trigger,) = (e for e in run.entries if isinstance(e.event, LiquidationTriggered))
    assert trigger.event.bucket_id == FIRST
    assert trigger.sim_time_us == 15_000_000
    assert trigger.event.margin_uusd == -100_000_000
    assert trigger.event.standing is Standing.RULE_INDUCED
    change = run.entries[trigger.cause_seq]
    assert isinstance(change.event, MaintenanceChanged)
    assert run.entries[change.cause_seq].sim_time_us == 10_000_000


def test_what_is_asked_on_top_is_the_most_at_one_change(tmp_path: Path) -> None:
    points = [[at(5), Decimal("1.2")], [at(15), Decimal("1.5")], [at(35), Decimal("0.5")]]
    rows = listed(("a", "ETH", 10, 100, 100), ("b", "ETH", -4, 100, 100))
    rule = RULE | {"kind": "stress_margin", "points": points, "low": Decimal("0.5")}
    run_to_log(load(under(rule, population={"accounts": rows})), tmp_path / "run.duckdb")

    # 1 % of 1,000 and of 400 are 14.
    with open_log(tmp_path / "run.duckdb") as log:
        assert measures(log)["margin_asked_usd"] == "7.000000"
        install_views(log)
        rows = log.rows("select multiplier, at_start_usd, more_usd from margins_asked order by seq")
    assert rows == [
        (Decimal("1.2"), 14, Decimal("2.8")),
        (Decimal("1.5"), 14, 7),
        (Decimal("0.5"), 14, -7),
    ]


# Fees on leverage ---------------------------------------------------------------------------------

FEE: Final = {
    "kind": "leverage_fee",
    "period": "10s",
    "leverage": 10,
    "rate": Decimal("0.001"),
    "half_life": "10s",
    "reference": 1,
    "high": 2,
}


def test_who_has_too_much_leverage_pays_into_the_fund() -> None:
    path = knots((0, 100), (14, 100), (15, 99), (60, 99))
    run = Run(under(FEE, path=path), [LONG, SHORT])

    # At 99 the long has 90 for 990, the short 110. Volatility is above 2 to the end: four times
    # 990 x 0.001 x 2 = 1.98, at 20, 30, 40 and 50 s.
    assert [event.amount_uusd for event in run.of(LeverageFeePaid)] == [1_980_000] * 4
    assert run.cash[FIRST] == -900 - Decimal("7.92")
    assert run.cash[SECOND] == 1_100
    assert run.cash[Owner.FUND] == Decimal("7.92")
    assert run.cash[Owner.MAKERS] == 0
    (when, volatility, multiple), *_ = decided(run)
    # ln(100 / 99) = 0.01005034, x 1,776.4459.
    assert (when, volatility, multiple) == (20, 17_853_878, 2_000_000)


def test_a_fee_takes_no_more_than_the_margin() -> None:
    path = knots((0, 92), (14, 92), (15, 91), (60, 91))
    run = Run(under(FEE, path=path), [LONG])

    # At 91 the margin is 910 - 900 - 9.1 = 0.9, the fee 910 x 0.001 x 2 = 1.82.
    assert [event.amount_uusd for event in run.of(LeverageFeePaid)] == [900_000]
    assert run.cash[FIRST] == -900 - Decimal("0.9")
    assert run.of(LiquidationTriggered) == []


def test_a_fee_leaves_something_where_zero_is_due() -> None:
    path = knots((0, 92), (14, 92), (15, 91), (60, 91))
    run = Run(under(FEE, path=path, venue__due_at_zero=True), [LONG])

    assert [event.amount_uusd for event in run.of(LeverageFeePaid)] == [899_999]
    assert run.of(LiquidationTriggered) == []


# What is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        (
            [{"kind": "dynamic_margin", "high": 100}],
            "mitigations.0.high = 100 must be at most 99.9999",
        ),
        (
            [{"kind": "dynamic_margin", "high": 9}, {"kind": "open_interest_margin", "high": 12}],
            "mitigations.1.high = 12 must be at most 11.1111",
        ),
        (
            [{"kind": "stress_margin", "points": [[at(5), 1], [at(5), 2]]}],
            "mitigations.0.points.1.0",
        ),
        ([{"kind": "leverage_fee", "period": "0s"}], "mitigations.0.period"),
        (
            [{"kind": "concentration_margin", "reference": 2}],
            "mitigations.0.reference = 2 must be",
        ),
    ],
)
def test_what_cannot_be_is_refused(rules: list[Raw], told: str) -> None:
    with pytest.raises(ScenarioError, match=told.replace(".", r"\.")):
        load(under(*rules))


def test_too_many_looks_are_refused() -> None:
    rule = {"kind": "dynamic_margin", "period": "1ms"}
    with pytest.raises(ScenarioError, match=r"mitigations\.0\.period = .1ms. must be at least"):
        load(under(rule, end=at(2_000), markets__ETH__path=knots((0, 100), (2_000, 100))))


# The audit ----------------------------------------------------------------------------------------


def _wrong(module: Any, name: str, change: Callable[..., Any]) -> Callable[[], Any]:
    right = getattr(module, name)
    return lambda: patch.object(module, name, lambda *given: change(right(*given), *given))


WRONG: Final = {
    "a step too far": (
        _wrong(maintenance, "next_multiplier_e6", lambda right, *_: right + 1),
        {"decision"},
    ),
    "no step at all": (
        _wrong(maintenance, "next_multiplier_e6", lambda _, __, before, ___: before),
        {"decision"},
    ),
    "the index of later": (
        _wrong(maintenance, "index_at", lambda _, spec, __: spec.points[-1][1]),
        {"decision"},
    ),
    "another volatility": (
        _wrong(VolatilityOfMark, "look", lambda right, *_: right and right + 2),
        {"decision"},
    ),
    "the makers counted too": (
        _wrong(maintenance, "concentration_e6", lambda right, *_: right and right + 1),
        {"decision"},
    ),
    "another correlation": (
        _wrong(CorrelationOfMarks, "look", lambda right, *_: right and max(right - 2, 0)),
        {"decision"},
    ),
    "a sum for a product": (
        _wrong(maintenance, "product_e6", lambda right, *_: right + 1),
        {"maintenance_schedule"},
    ),
    "a fee too high": (
        _wrong(leverage_fees, "leverage_fee_uusd", lambda right, *_: max(right - 1, 0)),
        {"leverage_fee"},
    ),
    "another multiple": (
        _wrong(leverage_fees, "fee_multiplier_e6", lambda right, *_: right + 1),
        {"decision", "leverage_fee"},
    ),
    "no fee": (
        _wrong(leverage_fees, "leverage_fee_uusd", lambda *_: 0),
        {"decision"},
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_decisions_are_found_out(name: str, tmp_path: Path) -> None:
    wrong, found = WRONG[name]
    kinds = {"the makers counted too": concentrated, "another correlation": correlated}
    raw = kinds.get(name, scaled)()
    with wrong():
        run_to_log(load(raw), tmp_path / "run.duckdb")

    assert codes(tmp_path / "run.duckdb") == found


def test_the_audit_finds_nothing_where_rates_follow_correlation(tmp_path: Path) -> None:
    run_to_log(load(correlated()), tmp_path / "run.duckdb")

    assert verify(tmp_path / "run.duckdb") == []
    with open_log(tmp_path / "run.duckdb") as log:
        rows = log.rows("select count(*) from decision_recorded where correlation >= 0")
    assert rows[0][0] > 10


@pytest.mark.parametrize("market_side", [1, -1])
def test_the_audit_finds_nothing_where_rates_follow_concentration(
    market_side: int, tmp_path: Path
) -> None:
    rule = RULE | {"kind": "concentration_margin", "reference": Decimal("0.5")}
    sizes = (10 * market_side, -4 * market_side, 2 * market_side)
    rows = [(f"a{row}", "ETH", size, 100, 500) for row, size in enumerate(sizes)]
    run_to_log(load(under(rule, population={"accounts": listed(*rows)})), tmp_path / "run.duckdb")

    assert verify(tmp_path / "run.duckdb") == []
    with open_log(tmp_path / "run.duckdb") as log:
        assert log.rows("select count(*) from decision_recorded") == [(1,)]


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("update decision_recorded set multiplier = multiplier + 0.1 where seq = {}", "decision"),
        ("update decision_recorded set volatility = volatility + 0.1 where seq = {}", "decision"),
        ("update decision_recorded set from_at = from_at + interval 1 second", "decision"),
        ("update decision_recorded set market_id = 1 where seq = {}", "decision"),
        ("update maintenance_changed set multiplier = 1", "maintenance_schedule"),
        ("update leverage_fee_paid set quantity = quantity + 1", "leverage_fee"),
    ],
)
def test_changed_rows_are_found_out(
    statement: str, code: str, tmp_path: Path, scaled_log: Path
) -> None:
    path = tmp_path / "run.duckdb"
    path.write_bytes(scaled_log.read_bytes())
    tamper(path, statement.format("(select min(seq) from decision_recorded where volatility > 0)"))

    assert code in codes(path)


@pytest.fixture(scope="module")
def scaled_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log in which nothing is wrong."""
    path = tmp_path_factory.mktemp("scaled") / "run.duckdb"
    assert codes_of(scaled(), path) == set()
    return path
