"""Maintenance and the haircut on coins over time: schedule and mitigations, which multiply."""

from collections import defaultdict
from collections.abc import Callable
from operator import itemgetter
from typing import Any

import attrs
import numpy as np

from liqsim.events import (
    NO_CAUSE,
    Action,
    CoinHaircutChanged,
    DecisionRecorded,
    Event,
    MaintenanceChanged,
)
from liqsim.events.mitigation import NOT_OBSERVED
from liqsim.mechanics.mitigations.margin_scaling import (
    concentration_e6,
    index_at,
    next_multiplier_e6,
)
from liqsim.mechanics.mitigations.predicting import risk_e6
from liqsim.processes.context import Context, MarketDesk, Priority, Process
from liqsim.processes.correlation import CorrelationOfMarks
from liqsim.processes.interest import contracts_of, open_contracts, open_interest_uusd
from liqsim.processes.predicting import Observatory
from liqsim.processes.venue import Venue
from liqsim.processes.volatility import VolatilityOfMark
from liqsim.scenario.mitigations import (
    ConcentrationMargin,
    CorrelationMargin,
    DynamicMargin,
    MarginScaling,
    OpenInterestMargin,
    Predictive,
    StressMargin,
    product_e6,
)
from liqsim.units import RATIO_SCALE, ceil_div

_Seen = tuple[int, dict[str, Any]]
"""What the multiplier follows, and all that was observed, as a decision records it."""

_SCHEDULE = -1
"""The part of the product that is the schedule's; others are numbers of mitigations."""


class _Product:
    """
    The product of all that scales one thing of a market.

    Whatever changes at one instant does so at once.

    Args:
        context: The run.
        rank: Its turn among the products of an instant.
        enact: Called with the product, and the newest event that changed a part of it.
    """

    def __init__(self, context: Context, rank: int, enact: Callable[[int, int], None]) -> None:
        self._context = context
        self._rank = rank
        self._enact = enact
        self._parts: dict[int, int] = {}
        self._is_pending = False
        self._cause = NO_CAUSE

    def set(self, part: int, multiplier_e6: int, cause: int) -> None:
        """Have a part be another from now on."""
        self._parts[part] = multiplier_e6
        self._cause = max(self._cause, cause)
        if not self._is_pending:
            self._is_pending = True
            self._context.call(0, Priority.RULES, self._settle, rank=self._rank)

    def _settle(self) -> None:
        cause = self._cause
        self._is_pending, self._cause = False, NO_CAUSE
        self._enact(product_e6(self._parts.values()), cause)


class Maintenance:
    """
    The margin rates of one market over time, and its haircut on coins.

    Each is the product of all that scales it.

    Args:
        context: The run.
        desk: The market.
        venue: Judges the accounts when rates or haircut change.
    """

    def __init__(self, context: Context, desk: MarketDesk, venue: Venue) -> None:
        self._context = context
        self._desk = desk
        self._venue = venue
        rank = 1 + desk.market_id
        self._rates = _Product(context, rank, self._change_rates)
        self._haircut = _Product(context, rank + len(context.markets), self._change_haircut)
        self._widened: defaultdict[int, list[int]] = defaultdict(list)
        self._is_scheduled = False

    def start(self) -> None:
        """Have the rates follow the schedule, and them and the haircut what mitigations observe."""
        scenario, market = self._context.scenario, self._desk.spec
        self._context.start(self._schedule())
        scalings = [*scenario.scalings(market), *scenario.haircut_scalings(market)]
        for number, spec in sorted(scalings, key=itemgetter(0)):
            self._context.start(self._scaled(number, spec))
        self._context.journal.listen(DecisionRecorded, self._decided)

    def announce(self, decision: DecisionRecorded) -> None:
        """Record *decision*, and have the multiplier in it hold from the instant in it."""
        seq = self._context.journal.append(decision)
        wait = decision.from_at_us - self._context.now_us
        number, multiplier = decision.mitigation_id, decision.multiplier_e6
        spec = self._context.scenario.mitigations[number]
        assert isinstance(spec, MarginScaling)
        scaled = self._rates if spec.is_scaling else self._haircut
        self._context.call(wait, Priority.RULES, scaled.set, number, multiplier, seq)

    def _decided(self, event: DecisionRecorded, seq: int, at_us: int) -> None:
        """Have the rates widened for as long as a breaker has announced."""
        in_scope = event.market_id in (NOT_OBSERVED, self._desk.market_id)
        if event.action is Action.WIDENED and in_scope:
            for is_begin, when_us in ((True, event.from_at_us), (False, event.until_at_us)):
                wait = when_us - at_us
                self._context.call(wait, Priority.RULES, self._widen, event, seq, is_begin)

    def _widen(self, decision: DecisionRecorded, cause: int, is_begin: bool) -> None:  # noqa: FBT001 — scheduled
        """Begin or end what a breaker has announced: of several levels the widest counts."""
        number, factors = decision.mitigation_id, self._widened[decision.mitigation_id]
        (factors.append if is_begin else factors.remove)(decision.multiplier_e6)
        self._rates.set(number, max(factors, default=RATIO_SCALE), cause)

    def _change_rates(self, multiplier_e6: int, cause: int) -> None:
        is_scheduled, self._is_scheduled = self._is_scheduled, False
        if is_scheduled or multiplier_e6 != self._desk.state.maintenance_e6:
            self._change(MaintenanceChanged(self._desk.market_id, multiplier_e6), cause)

    def _change_haircut(self, multiplier_e6: int, cause: int) -> None:
        haircut_e6 = ceil_div(self._desk.start_rule.coin_haircut_e6 * multiplier_e6, RATIO_SCALE)
        if haircut_e6 != self._desk.rule.coin_haircut_e6:
            self._change(CoinHaircutChanged(self._desk.market_id, haircut_e6), cause)

    def _change(self, event: Event, cause: int) -> None:
        seq = self._context.journal.append(event, cause)
        self._venue.rules_changed(self._desk.market_id, seq)

    def _schedule(self) -> Process:
        for change in self._desk.spec.maintenance_changes:
            yield self._context.wake(change.at_us - self._context.now_us, Priority.RULES)
            self._is_scheduled = True
            self._rates.set(_SCHEDULE, change.multiplier_e6, NO_CAUSE)

    def _scaled(self, number: int, spec: MarginScaling) -> Process:
        context, multiplier = self._context, RATIO_SCALE
        observe = self._observer(spec)
        while True:
            yield context.wake(spec.period_us, Priority.RULES)
            seen = observe()
            if seen is None:
                continue
            observed, shown = seen
            before, multiplier = multiplier, next_multiplier_e6(spec, multiplier, observed)
            if multiplier != before:
                decision = DecisionRecorded(
                    mitigation_id=number,
                    action=Action.RAISED if multiplier > before else Action.LOWERED,
                    market_id=self._desk.market_id,
                    multiplier_e6=multiplier,
                    from_at_us=context.now_us + spec.notice_us,
                    **shown,
                )
                self.announce(decision)

    def _observer(self, spec: MarginScaling) -> Callable[[], _Seen | None]:
        """Return what makes an observation and the columns that record it; None is nothing."""
        world = self._context.world
        if isinstance(spec, Predictive):
            return self._risk(spec)
        if isinstance(spec, StressMargin):
            return _in("index_e6", lambda: index_at(spec, self._context.now_us))
        if isinstance(spec, OpenInterestMargin):
            return _in("open_interest_uusd", lambda: open_interest_uusd(world, self._desk))
        if isinstance(spec, ConcentrationMargin):
            return _in("concentration_e6", lambda: self._concentration_e6(spec.largest))
        if isinstance(spec, CorrelationMargin):
            return _in("correlation_e6", CorrelationOfMarks(self._context, self._desk, spec).look)
        assert isinstance(spec, DynamicMargin)
        volatility = VolatilityOfMark(self._desk, spec.period_us, spec.half_life_us)
        return _in("volatility_e6", volatility.look)

    def _risk(self, spec: Predictive) -> Callable[[], _Seen | None]:
        model = spec.frozen_model
        observatory = Observatory(self._context, self._desk, self._venue.margins, model)

        def look() -> _Seen | None:
            seen = observatory.look()
            if seen is None:
                return None
            risk = risk_e6(model, seen)
            return risk, attrs.asdict(seen) | {"risk_e6": risk}

        return look

    def _concentration_e6(self, largest: int) -> int | None:
        world = self._context.world
        positions = contracts_of(world, self._desk)[self._context.first_bucket :]
        if len(positions) > 2 * largest:  # Sorting a venue's accounts would take a while.
            places = largest, len(positions) - largest
            ends = np.partition(positions, places)
            positions = np.concatenate([ends[:largest], ends[-largest:]])
        return concentration_e6(positions.tolist(), largest, open_contracts(world, self._desk))


def _in(column: str, observe: Callable[[], int | None]) -> Callable[[], _Seen | None]:
    """Return an observer whose observation is recorded in one column."""

    def look() -> _Seen | None:
        observed = observe()
        return None if observed is None else (observed, {column: observed})

    return look
