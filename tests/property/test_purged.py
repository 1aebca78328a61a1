"""
Path mode `purged`: the run returns history, and what it found is all that another run needs.

The displacement that is taken out is reckoned here from the fills alone, for books with linear
depth, by a formula of its own.
"""

from collections import Counter
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from support.auditor import audited
from support.effort import cases
from support.floors import assert_floors
from support.scenarios import HANDMADE, Raw, engine_cascade, load, scenarios
from support.sinks import ListSink

from liqsim.errors import BoundError, ScenarioError
from liqsim.eventlog.writer import prices_digest
from liqsim.events import (
    DepthChanged,
    Entry,
    InventorySold,
    MarketExtremes,
    OrderFilled,
    PositionReduced,
    TradeFilled,
)
from liqsim.mechanics.liquidity import FiniteBook
from liqsim.mechanics.paths import ReferencePath
from liqsim.mechanics.purged import PurgedPath
from liqsim.runner import Prepared, Simulation, prepare
from liqsim.scenario.model import PowerBook
from liqsim.world.markets import Market

_LINEAR = {"exponent": 1, "permanent_share": Decimal("0.2"), "reach": Decimal("0.9")}


def _run(prepared: Prepared) -> tuple[list[Entry], Simulation]:
    sink = ListSink()
    simulation = Simulation(prepared, sink)
    simulation.run()
    return sink.entries, simulation


def _faced(raw: Raw, simulation: Simulation) -> Prepared:
    """Return *raw* as a counterfactual that faces what *simulation* has found."""
    prices = [(path.step_us, path.prices_e8) for path in simulation.references]
    return prepare(load(raw | {"baseline": prices_digest(prices)}), prices)


class _Flow:
    """Displacement of one linear book, from fills and depth changes alone."""

    def __init__(self, book: PowerBook, start_e8: int) -> None:
        self.calm = book.depth_uusd * 10**10 / start_e8
        self.share = book.permanent_share_e6 / 10**6
        self.at_us, self.left, self.net = 0, 0.0, 0
        self.multiplier, self.half_life = 1.0, book.half_life_us

    def _pass(self, at_us: int) -> None:
        self.left *= 2.0 ** (-(at_us - self.at_us) / self.half_life)
        self.at_us = at_us

    def take(self, entry: Entry) -> None:
        self._pass(entry.sim_time_us)
        event: Any = entry.event
        if isinstance(event, DepthChanged):
            multiplier = event.multiplier_e6 / 10**6
            self.left *= min(multiplier / self.multiplier, 1.0)
            self.multiplier, self.half_life = multiplier, event.half_life_us
        else:
            self.left += event.quantity_e8
            self.net += event.quantity_e8

    def moved(self, at_us: int) -> float:
        left = self.left * 2.0 ** (-(at_us - self.at_us) / self.half_life)
        passing = (1 - self.share) * left / self.multiplier
        return 0.01 * (passing + self.share * self.net) / self.calm


def _just_before(entries: list[Entry], prepared: Prepared, market: int) -> list[float]:
    """Return the displacement of a market just before each step of its path."""
    path, spec = prepared.paths[market], prepared.scenario.markets[market].liquidity
    assert isinstance(spec, PowerBook)
    flow = _Flow(spec, int(path.prices_e8[0]))
    kinds = DepthChanged, OrderFilled, InventorySold, TradeFilled, PositionReduced
    events = [e for e in entries if isinstance(e.event, kinds) and e.event.market_id == market]
    found, row = [], 0
    for step in range(len(path.prices_e8)):
        at_us = step * path.step_us
        while row < len(events) and events[row].sim_time_us < at_us:
            flow.take(events[row])
            row += 1
        found.append(flow.moved(at_us))
    return found


@pytest.mark.parametrize("name", ["engine_cascade", "squeeze", "keeper_race"])
def test_the_market_is_history_just_before_every_step(name: str) -> None:
    raw = HANDMADE[name]() | {"path_mode": "purged"}
    for market in raw["markets"].values():
        if market["liquidity"]["kind"] == "power_book":
            market["liquidity"] |= _LINEAR
    prepared = prepare(load(raw))
    entries, simulation = _run(prepared)

    moved = np.array(_just_before(entries, prepared, 0))
    history = prepared.paths[0].prices_e8
    market_price = simulation.references[0].prices_e8 * np.exp(moved)
    assert np.abs(market_price - history).max() <= 1 + 1e-9 * history.max()
    assert np.count_nonzero(np.abs(moved) > 1e-4) > 10  # Else there was nothing to take out.


def test_without_impact_history_is_returned_to_the_unit() -> None:
    for mode in ("on_top", "purged"):
        raw = engine_cascade() | {"path_mode": mode}
        for market in raw["markets"].values():
            market["liquidity"] = {"kind": "no_impact"}
        prepared = prepare(load(raw))
        entries, simulation = _run(prepared)

        assert (simulation.references[0].prices_e8 == prepared.paths[0].prices_e8).all()
        fills = [e for e in entries if isinstance(e.event, OrderFilled)]
        assert fills
        step = prepared.paths[0].step_us
        for entry in fills:
            assert entry.event.market_price_e8 == prepared.paths[0].view[entry.sim_time_us // step]
        (extremes,) = (e.event for e in entries if isinstance(e.event, MarketExtremes))
        assert extremes.lowest_market_e8 == extremes.lowest_reference_e8
        assert extremes.end_market_e8 == extremes.end_reference_e8


@pytest.mark.parametrize("executor", ["engine", "keepers"])
def test_a_run_that_faces_what_was_found_is_the_same_run(executor: str) -> None:
    """One causal pass over history, and a run over a path that is all there from the start."""
    census: Counter[str] = Counter()

    @cases(60)
    @given(scenarios(executor))
    def is_the_same(raw: Raw) -> None:
        raw = _mild(raw)
        entries, simulation = _run(prepare(load(raw)))
        again, _ = _run(_faced(raw, simulation))

        assert again == entries
        census["runs"] += 1
        census["fills"] += sum(
            isinstance(e.event, OrderFilled | InventorySold | TradeFilled | PositionReduced)
            for e in entries
        )
        census["purged markets"] += sum(
            bool((found.prices_e8 != given_path.prices_e8).any())
            for found, given_path in zip(
                simulation.references, prepare(load(raw)).paths, strict=True
            )
        )

    is_the_same()

    assert_floors(census, {"runs": 60, "fills": 500, "purged markets": 30})


def _mild(raw: Raw) -> Raw:
    """Return *raw* in purged mode, with books whose displacement stays within reason."""
    for market in raw["markets"].values():
        book = market["liquidity"]
        if book["kind"] == "power_book":
            market["liquidity"] = book | {
                "permanent_share": 0,
                "reach": min(book["reach"], Decimal("0.25")),
            }
    return raw | {"path_mode": "purged"}


def test_the_venue_changed_faces_the_same_reference() -> None:
    raw = HANDMADE["engine_cascade"]() | {"path_mode": "purged"}
    _, simulation = _run(prepare(load(raw)))
    prepared = _faced(raw, simulation)
    raw["venue"]["tranches"]["share"] = Decimal("0.1")
    entries, _ = _run(_faced(raw, simulation))

    for entry in entries:
        if isinstance(entry.event, OrderFilled):
            path = prepared.paths[entry.event.market_id]
            step = entry.sim_time_us // path.step_us
            assert entry.event.reference_price_e8 == path.prices_e8[step]
    assert entries != _run(prepared)[0]


def test_every_law_holds_in_purged_handmade_runs() -> None:
    for name in HANDMADE:
        raw = HANDMADE[name]()
        if all(m["liquidity"].get("permanent_share", 0) == 0 for m in raw["markets"].values()):
            audited(prepare(load(raw | {"path_mode": "purged"})))


def test_no_market_can_have_had_this_history() -> None:
    market = Market(half_life_us=1)
    market.set_book(market.book.traded(5, -(10**14), fill_seq=0))  # A million units sold for good.
    history = ReferencePath(10, np.array([10**10, 10**10]))
    path = PurgedPath("ETH", history, market, FiniteBook(10**10, 1.0, 1.0, 1.0).displacement)

    assert path.at(9) == 10**10
    with pytest.raises(BoundError, match=r"markets\.ETH: without .* must stay below 10000000000"):
        path.at(10)


def test_other_prices_than_those_of_the_baseline_are_refused() -> None:
    raw = engine_cascade() | {"path_mode": "purged"}
    _, simulation = _run(prepare(load(raw)))
    prices = [(path.step_us, path.prices_e8 + 1) for path in simulation.references]
    scenario = _faced(raw, simulation).scenario

    with pytest.raises(ScenarioError, match=r"baseline = .* name the baseline's log"):
        prepare(scenario, prices)
    with pytest.raises(ScenarioError, match=r"baseline = .* name the baseline's log"):
        prepare(scenario)
