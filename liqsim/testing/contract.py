"""
What every mitigation promises, as tests that a subclass inherits.

    class TestMine(MitigationContract):
        mitigation = {"kind": "rate_limit", "max_usd": 20_000, "span": "10s"}
        inert = {"kind": "rate_limit", "max_usd": 10**11}

Each test draws crashes (`liqsim.testing.scenarios`), runs them to a log with the mitigation and, if
that is the question, without it, and asks the log. What is asked shares no code with what decided:
it reads events, and `liqsim verify`.
"""

import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar, Final

import attrs
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from liqsim.api import run_to_log
from liqsim.events import (
    BadDebtRecorded,
    DecisionRecorded,
    Entry,
    Event,
    FundDrawn,
    FundsDeposited,
    InventorySold,
    KeeperRewarded,
    LeverageFeePaid,
    LiquidationTriggered,
    LiquidationUnresolved,
    LossSocialised,
    MarketExtremes,
    OrderFilled,
    PenaltyRouted,
    PositionDeleveraged,
    PositionReduced,
    StakeSlashed,
    SurplusRouted,
    TradeFilled,
    TranchesCrossed,
    TrancheSettled,
    TrancheStarted,
    TrancheTakenOver,
)
from liqsim.journal import Columns, Record
from liqsim.runner import Simulation, prepare
from liqsim.scenario import Scenario, scenario_from_dict
from liqsim.scenario.mitigations import KeeperReward
from liqsim.testing.strategies import CRASH_S, END_S, Fault, Tables, at, faults, plain, scenarios
from replay.log import Log

_FILLS: Final = (OrderFilled, InventorySold, TradeFilled, PositionReduced)
_S: Final = 1_000_000
_SCALED: Final = "_usd"
_CLOSE: Final = 1e-6
"""Relative difference of two totals that rounding explains."""
_LEVERAGES: Final = (9, 8, 12, 14, 15, 22, 19, 30, 24, 36)
_DUST_UUSD: Final = 1_000
"""Payments of less, in 1e-6 USD, are what rounding leaves: they do not scale."""


class MitigationContract:
    """
    The tests of one mitigation.

    Attributes:
        mitigation: Its row in `[[mitigations]]`, with parameters that bind in the crashes drawn.
        inert: A row of it that never binds.
        inert_has_capital: Whether `inert` declares capital: it may bring in an owner, so that what
            is given to owners, and their numbers and those of events, are then not compared.
        executor: Who executes: `engine` or `keepers`.
        hits_both_sides: Whether longs and shorts are due together in the crashes drawn.
        has_coins: Whether accounts of the crashes drawn put up coins, which count by a haircut.
        deed: Kind of event by which it acts, if not by decisions: the crashes of each `test_13…`
            must have `runs` of it together, or the test says little.
        runs: How many crashes each test draws.
        least_decisions: How many decisions all crashes of `test_1…` must lead to together: fewer,
            and the other tests say little.
        is_scale_free: Whether it does the same where every size, depth, fund, capital, cap and cost
            is a multiple.
        splits_at_once: Whether totals stay only where a slice is all that an account has.
        unsplittable: Why totals change when every account is split in two; empty if they do not.
        fills_holes: Whether it acts where the fund cannot pay: accounts are then split at a venue
            without a fund and without impact.
        reads_fund: How it reads the fund otherwise than as what can pay a draw; empty if it does
            not.
        resolves: Whether, once all is calm, whoever is due is settled before the end; a cap so low
            that minutes do not suffice does not.
    """

    mitigation: ClassVar[Mapping[str, Any]]
    inert: ClassVar[Mapping[str, Any] | None] = None
    inert_has_capital: ClassVar[bool] = False
    executor: ClassVar[str] = "engine"
    hits_both_sides: ClassVar[bool] = False
    has_coins: ClassVar[bool] = False
    deed: ClassVar[type[Event] | None] = None
    runs: ClassVar[int] = 5
    least_decisions: ClassVar[int] = 5
    is_scale_free: ClassVar[bool] = True
    splits_at_once: ClassVar[bool] = False
    unsplittable: ClassVar[str] = ""
    fills_holes: ClassVar[bool] = False
    reads_fund: ClassVar[str] = ""
    resolves: ClassVar[bool] = True

    def test_1_the_log_of_every_run_is_clean(self) -> None:
        """Money and positions are conserved, rules kept, decisions recompute: `verify` says so."""
        census: Counter[str] = Counter()

        def is_clean(tables: Tables, fault: Fault) -> None:
            fault(tables)
            with self._log(tables, self.mitigation) as log:
                assert log.verify() == []
                census.update(type(entry.event).__name__ for entry in log.entries())

        self._for_all(is_clean, faults())

        assert census["LiquidationTriggered"] >= 10 * self.runs, census
        decisions = census[DecisionRecorded.__name__]
        assert decisions >= self.least_decisions, (
            f"{decisions} decisions in {self.runs} crashes, least_decisions is "
            f"{self.least_decisions}: give `mitigation` parameters that bind"
        )

    def test_2_off_is_absent(self) -> None:
        """Switched off, it leaves the very events of a run without it."""

        def is_absent(tables: Tables) -> None:
            off = {**self.mitigation, "on": False}
            assert self._events(tables, off) == self._events(tables)

        self._for_all(is_absent)

    def test_2_inert_is_absent(self) -> None:
        """With parameters that never bind, it leaves the very events of a run without it."""
        inert = self.inert
        assert inert is not None, "name a row that never binds: inert = {…}"

        def is_absent(tables: Tables) -> None:
            there, absent = self._events(tables, inert), self._events(tables)
            if self.inert_has_capital:
                assert there != absent, "it declares no capital"
                assert _deeds(there) == _deeds(absent)
            else:
                assert there == absent

        self._for_all(is_absent)

    def test_3_nothing_looks_ahead(self) -> None:
        """What comes later on the paths changes nothing before it."""
        told = Counter[str]()

        def nothing_before_changes(tables: Tables, second: int) -> None:
            one = self._events(tables, self.mitigation)
            other = self._events(_bent(tables, second), self.mitigation)
            before = [entry for entry in one if entry.sim_time_us < second * _S]
            assert before == [entry for entry in other if entry.sim_time_us < second * _S]
            told["decisions before"] += any(isinstance(e.event, DecisionRecorded) for e in before)
            told["differ"] += one != other

        self._for_all(nothing_before_changes, st.sampled_from((60, 90, CRASH_S)))

        assert told["differ"] >= self.runs // 2, "the later paths hardly differ"

    def test_11_what_is_due_is_settled_once_all_is_calm(self) -> None:
        """With an executor, depth, fresh prices and time, nobody is left due."""
        if not self.resolves:
            pytest.skip("resolves = False")

        def nobody_is_left(tables: Tables) -> None:
            events = (entry.event for entry in self._events(tables, self.mitigation))
            left = [event for event in events if isinstance(event, LiquidationUnresolved)]
            assert not left, (
                f"{len(left)} accounts are still due at the end, the first because of "
                f"{left[0].reason.name.lower()}: if that is meant, resolves = False"
            )

        self._for_all(nobody_is_left)

    def test_13_k_times_as_large_is_the_same_story(self) -> None:
        """Every size, depth, fund, capital, cap, tier and cost times 4: the same events."""
        if not self.is_scale_free:
            pytest.skip("is_scale_free = False")
        told = Counter[str]()

        def is_the_same(tables: Tables) -> None:
            one = self._events(tables, self.mitigation)
            tables["mitigations"] = [dict(self.mitigation)]
            larger = _story(self._events(_scaled(tables, 4)), 4)
            assert larger == _story(one), "if that is meant, is_scale_free = False"
            told["deeds"] += self._deeds(one)

        self._for_all(is_the_same)

        self._assert_acted(told)

    def test_13_the_unit_of_a_contract_is_of_no_matter(self) -> None:
        """Prices times 10 and every number of units a tenth of it: the same events and totals."""
        told = Counter[str]()

        def is_the_same(tables: Tables) -> None:
            tables["mitigations"] = [dict(self.mitigation)]
            one, other = self._events(tables), self._events(_repriced(tables, 10))
            assert _story(one) == _story(other)
            _assert_close(_totals(one), _totals(other, units=10))
            told["deeds"] += self._deeds(one)

        self._for_all(is_the_same)

        self._assert_acted(told)

    def test_13_two_halves_are_a_whole(self) -> None:
        """An isolated account split in two, with the same leverage and tier: the same totals."""
        if self.unsplittable:
            pytest.skip(self.unsplittable)
        told = Counter[str]()

        def are_a_whole(tables: Tables) -> None:
            tables["mitigations"] = [dict(self.mitigation)]
            if self.splits_at_once:
                tables["venue"]["tranches"] |= {"share": 1, "spacing": "1us"}
            whole, halves = (
                self._events(_of_single_accounts(tables, parts, fills_holes=self.fills_holes))
                for parts in (1, 2)
            )
            hint = " (if that is meant, unsplittable says why)"
            _assert_close(_totals(whole), _totals(halves), hint)
            told["triggered"] += sum(isinstance(e.event, LiquidationTriggered) for e in whole)
            told["deeds"] += self._deeds(whole)

        self._for_all(are_a_whole, executor="engine", has_impact=not self.fills_holes)

        assert told["triggered"] >= self.runs, "hardly anybody was liquidated"
        self._assert_acted(told)

    def test_14_incentives_are_covered(self) -> None:
        """After every event, they are no more than penalties collected and budgets declared."""

        def are_covered(tables: Tables) -> None:
            tables["mitigations"] = [dict(self.mitigation)]
            budget = sum(
                spec.budget_uusd
                for spec in _loaded(tables, []).mitigations
                if isinstance(spec, KeeperReward)
            )
            collected = routed = rewards = 0
            for event in (entry.event for entry in self._events(tables)):
                if isinstance(event, OrderFilled | TrancheTakenOver | TranchesCrossed):
                    collected += event.fee_uusd + getattr(event, "other_fee_uusd", 0)
                elif isinstance(event, PenaltyRouted):
                    routed += event.amount_uusd
                elif isinstance(event, KeeperRewarded):
                    rewards += event.amount_uusd
                assert routed <= collected
                assert rewards <= budget

        self._for_all(are_covered)

    def test_15_without_impact_no_price_changes(self) -> None:
        """With zero impact the market price is the reference, with the mitigation or without."""

        def prices_are_the_reference(tables: Tables) -> None:
            events = [entry.event for entry in self._events(tables, self.mitigation)]
            extremes = [event for event in events if isinstance(event, MarketExtremes)]
            assert len(extremes) == len(tables["markets"])
            for event in extremes:
                assert event.lowest_market_e8 == event.lowest_reference_e8
                assert event.highest_market_e8 == event.highest_reference_e8
            fills = [e for e in events if isinstance(e, _FILLS)]
            for fill in fills:
                assert fill.market_price_e8 == fill.reference_price_e8

        self._for_all(prices_are_the_reference, has_impact=False)

    def test_15_a_larger_fund_never_brings_the_first_deleveraging_forward(self) -> None:
        """A fund a hundred times as large: deleveraging begins no sooner, if at all."""
        if self.reads_fund:
            pytest.skip(self.reads_fund)

        def begins_no_sooner(tables: Tables) -> None:
            tables["venue"]["waterfall"]["deleveraging"] = "ranked"
            firsts = []
            for initial_usd in (100, 10_000):
                tables["venue"]["fund"]["initial_usd"] = initial_usd
                events = self._events(tables, self.mitigation)
                times = [e.sim_time_us for e in events if isinstance(e.event, PositionDeleveraged)]
                firsts.append(min(times, default=END_S * _S))
            assert firsts[0] <= firsts[1]

        self._for_all(begins_no_sooner)

    # How it is asked --------------------------------------------------------------------------

    def _for_all(
        self,
        check: Callable[..., None],
        *others: st.SearchStrategy[Any],
        executor: str = "",
        has_impact: bool = True,
    ) -> None:
        """Have *check* asked of drawn tables, and of what *others* draw."""
        for row in (self.mitigation, self.inert or {}):
            # A wrong key is told once, not of every draw.
            _loaded(plain(self.executor, has_coins=self.has_coins), [row] if row else [])

        @settings(
            max_examples=self.runs,
            derandomize=True,
            deadline=None,
            database=None,
            phases=[Phase.explicit, Phase.generate],  # To shrink a crash takes minutes.
            suppress_health_check=list(HealthCheck),
        )
        @given(
            scenarios(
                executor or self.executor,
                has_impact=has_impact,
                hits_both_sides=self.hits_both_sides,
                has_coins=self.has_coins,
            ),
            st.tuples(*others),
        )
        def asked(tables: Tables, drawn: tuple[Any, ...]) -> None:
            check(tables, *drawn)

        asked()

    def _deeds(self, entries: list[Entry]) -> int:
        return sum(isinstance(entry.event, self.deed or ()) for entry in entries)

    def _assert_acted(self, told: Counter[str]) -> None:
        if self.deed is not None:
            deeds = told["deeds"]
            assert deeds >= self.runs, f"{self.deed.TAG} occurs {deeds} times in {self.runs} runs"

    def _events(self, tables: Tables, *rows: Mapping[str, Any]) -> list[Entry]:
        """Return the events of *tables* with mitigations."""
        told = _Told()
        Simulation(prepare(_loaded(tables, rows)), told).run()
        return told.entries

    @contextmanager
    def _log(self, tables: Tables, *rows: Mapping[str, Any]) -> Iterator[Log]:
        """Run *tables* with mitigations, and open the log."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "run.duckdb"
            run_to_log(_loaded(tables, rows), path)
            with Log(path) as log:
                yield log


class _Told:
    """A sink that keeps events in memory."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def recorder_of(self, _cls: type[Event]) -> Record:
        return lambda *entry: self.entries.append(Entry(*entry))

    def record_many(
        self, cls: type[Event], first_seq: int, sim_time_us: int, cause_seq: int, columns: Columns
    ) -> None:
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        for seq, row in enumerate(rows, start=first_seq):
            event = cls(**dict(zip(columns, row, strict=True)))
            self.entries.append(Entry(seq, sim_time_us, cause_seq, event))


def _loaded(tables: Tables, rows: Sequence[Mapping[str, Any]]) -> Scenario:
    together = [*tables.get("mitigations", []), *map(dict, rows)]
    return scenario_from_dict(
        deepcopy(tables) | {"mitigations": together}, source="drawn", folder=Path()
    )


def _bent(tables: Tables, second: int) -> Tables:
    """Return *tables* whose paths are the same until *second*, and fall by a fifth after it."""
    bent = deepcopy(tables)
    for market in bent["markets"].values():
        shocks = [{"at": at(second), "fraction": Decimal("-0.2"), "over": "10s"}]
        market["shocks"] = shocks
    assert second < END_S
    return bent


def _story(entries: list[Entry], k: int = 1) -> list[tuple[int, str, int]]:
    """Return when what happened to whom, without how much, and without what rounding leaves."""
    return [
        (entry.sim_time_us, type(entry.event).__name__, getattr(entry.event, "bucket_id", -1))
        for entry in entries
        if not _is_dust(entry.event, k)
    ]


def _is_dust(event: Event, k: int) -> bool:
    paid = getattr(event, "amount_uusd", getattr(event, "cost_uusd", None))
    return paid is not None and abs(paid) < k * _DUST_UUSD


def _deeds(entries: list[Entry]) -> list[tuple[int, str, dict[str, Any]]]:
    """Return what happened when, by how much, without who was given what and without numbers."""
    return [
        (
            entry.sim_time_us,
            type(entry.event).__name__,
            {
                key: value
                for key, value in attrs.asdict(entry.event).items()
                if key == "market_id" or not key.endswith(("_id", "_seq"))
            },
        )
        for entry in entries
        if not isinstance(entry.event, FundsDeposited)
    ]


def _totals(  # noqa: C901 — one branch per class
    entries: list[Entry], *, units: int = 1
) -> dict[str, float]:
    """Return what was liquidated in units, *units* of which are one, and what was paid in USD."""
    found: dict[str, float] = defaultdict(float)
    for entry in entries:
        event = entry.event
        match event:
            case LiquidationTriggered() | TrancheStarted():
                found[f"{event.TAG} units"] += abs(event.quantity_e8) * units
            case TrancheSettled():
                found["filled units"] += event.filled_e8 * units
                found["taken over units"] += event.taken_over_e8 * units
                found["deleveraged units"] += event.deleveraged_e8 * units
                found["cancelled units"] += event.cancelled_e8 * units
                found["crossed units"] += event.crossed_e8 * units
            case TranchesCrossed():
                found["matched units"] += abs(event.quantity_e8) * units
                found["cost"] += abs(event.cost_uusd)
                found["venue"] += event.fee_uusd + event.other_fee_uusd
            case PenaltyRouted():
                found[f"penalty to {event.share.name.lower()}"] += event.amount_uusd
            case PositionReduced():
                found["reduced units"] += abs(event.quantity_e8) * units
                found["cost"] += abs(event.cost_uusd)
                found["venue"] += event.fee_uusd
            case MarketExtremes():
                found[f"lowest price {event.market_id}"] = event.lowest_market_e8 / units
                found[f"highest price {event.market_id}"] = event.highest_market_e8 / units
            case SurplusRouted():
                found["venue"] += event.amount_uusd
            case FundDrawn():
                found["venue"] -= event.amount_uusd
            case (
                BadDebtRecorded()
                | StakeSlashed()
                | LossSocialised()
                | LeverageFeePaid()
                | KeeperRewarded()
            ):
                found[event.TAG] += event.amount_uusd
            case _:
                pass
        if isinstance(event, OrderFilled | TrancheTakenOver):
            found["cost"] += abs(event.cost_uusd)
            found["venue"] += event.fee_uusd
    return found


def _assert_close(one: Mapping[str, float], other: Mapping[str, float], hint: str = "") -> None:
    """Fail with all totals that no rounding of single payments explains."""
    apart = {
        name: (one.get(name, 0.0), other.get(name, 0.0))
        for name in {*one, *other}
        if abs(one.get(name, 0.0) - other.get(name, 0.0))
        > _DUST_UUSD + _CLOSE * max(one.get(name, 0.0), one.get("cost", 0.0))
    }
    assert not apart, f"totals that differ{hint}: {apart}"


def _of_single_accounts(tables: Tables, parts: int, *, fills_holes: bool) -> Tables:
    """Return *tables* with single accounts, each in *parts*, where no cap of another rule binds."""
    single = deepcopy(tables)
    cohorts = {}
    (collateral,) = {
        cohort.get("collateral", "usd") for cohort in tables["population"]["cohorts"].values()
    }
    for market in single["markets"]:
        for number, leverage in enumerate(_LEVERAGES):
            for part in range(parts):
                cohorts[f"{market.lower()}{number}p{part}"] = {
                    "market": market,
                    "accounts": 1,
                    "notional_usd": 1_000 * (2 + number * 7 % 11) // parts,
                    "long_share": number % 2,
                    "size": {"alpha": 2},
                    "leverage": {"median": leverage, "max": 40},
                    "entry": {},
                    "collateral": collateral,
                }
    single["population"] = {"cohorts": cohorts}
    venue = single["venue"]
    venue["fund"]["initial_usd"] = 0 if fills_holes else 10**9
    venue["waterfall"] = {
        "surplus_to": "trader" if fills_holes else "fund",
        "deleveraging": "none" if fills_holes else "ranked",
    }
    return single


def _repriced(tables: Tables, k: int) -> Tables:
    """Return *tables* whose contracts are each for *k* times as much: dearer, and fewer."""
    dearer = deepcopy(tables)
    for market in dearer["markets"].values():
        path = market["path"]
        path["knots"] = [[when, price * k] for when, price in path["knots"]]
        for key in ("maintenance", "initial"):
            market[key] = [[Decimal(start) / k, rate] for start, rate in market[key]]
    return dearer


def _scaled(node: Any, k: int, key: str = "") -> Any:
    """Return tables in which every amount of USD and of units is *k* times as large."""
    if isinstance(node, dict):
        if node.get("observable") == "flow":  # Its bound is an amount.
            node = node | {"above": node.get("above", Decimal("0.1")) * k}
        return {name: _scaled(value, k, name) for name, value in node.items()}
    if isinstance(node, list):
        if key in ("maintenance", "initial", "maintenance_usd", "initial_usd"):
            return [[start * k, rate] for start, rate in node]
        if key in ("asks", "bids"):
            return [[offset, units * k] for offset, units in node]
        return [_scaled(value, k, key) for value in node]
    return node * k if _SCALED in key else node
