"""Breakers: they look whenever something that they observe has moved, and announce what they do."""

from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from liqsim.events import Action, DecisionRecorded
from liqsim.events.mitigation import NOT_OBSERVED
from liqsim.mechanics.mitigations.breaker import Levels, closeness_e6, is_met
from liqsim.processes.context import Context, Priority
from liqsim.processes.observing import Observing, Reader
from liqsim.scenario.mitigations import Breaker, DivergencePause, Stage

_ACTIONS: Final = {
    "halt_liquidations": Action.HALTED,
    "halt_new_risk": Action.RISK_HALTED,
    "widen_margin": Action.WIDENED,
}
_COLUMNS: Final = {
    "fall": "fall_e6",
    "rise": "rise_e6",
    "volatility": "volatility_e6",
    "flow": "forced_uusd",
    "drawdown": "drawdown_e6",
    "divergence": "divergence_e6",
}
"""Which column of a decision tells an observation."""


@attrs.frozen(eq=False)
class _Watch:
    """A breaker in one market: what it reads there, and the levels of its scope."""

    mitigation_id: int
    spec: Breaker
    market_id: int
    readers: Sequence[Mapping[str, Reader]]
    levels: Levels


class Halts:
    """
    Looks, and records what is halted from now on, or widened from when on, and until when.

    What has moved in an instant is looked at once its marks have landed and before any slice is
    put up; what a slice itself moves, right after that.

    Args:
        context: The run.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._moved: dict[int, int] = {}
        specs = [
            (number, spec.as_breaker if isinstance(spec, DivergencePause) else spec)
            for number, spec in enumerate(context.scenario.mitigations)
            if isinstance(spec, Breaker | DivergencePause)
        ]
        observing = Observing(context, self._changed)
        self._watches = [
            watch for number, spec in specs for watch in self._watches_of(observing, number, spec)
        ]

    def _watches_of(self, observing: Observing, number: int, spec: Breaker) -> list[_Watch]:
        rules = spec.levels, spec.cool_down_us, spec.lead_us
        of_all = Levels(*rules)
        return [
            _Watch(
                number,
                spec,
                market_id,
                [_readers(observing, level, market_id) for level in spec.levels],
                of_all if spec.scope == "venue" else Levels(*rules),
            )
            for market_id, market in enumerate(self._context.scenario.markets)
            if spec.market in ("", market.name)
        ]

    def closeness_e6(self, market_id: int, *, is_long: bool) -> int:
        """Return how close the nearest halt is that would stop a market, as one side cares."""
        now = self._context.now_us
        return max(
            (
                closeness_e6(
                    watch.spec.levels[number - 1],
                    {name: read() for name, read in watch.readers[number - 1].items()},
                    is_long=is_long,
                )
                for watch in self._watches
                if not watch.spec.is_widening
                and (market_id == watch.market_id or watch.spec.scope == "venue")
                for number in watch.levels.open_at(now)
            ),
            default=0,
        )

    def _changed(self, market_id: int, seq: int) -> None:
        if not self._moved:
            self._context.call(0, Priority.HALT, self._look)
        self._moved[market_id] = seq

    def _look(self) -> None:
        moved, self._moved = self._moved, {}
        for watch in self._watches:
            if watch.market_id in moved:
                self._look_at(watch, moved[watch.market_id])

    def _look_at(self, watch: _Watch, cause: int) -> None:
        now, spec = self._context.now_us, watch.spec
        for number in watch.levels.open_at(now):
            level, readers = spec.levels[number - 1], watch.readers[number - 1]
            observed = {name: read() for name, read in readers.items()}
            if not is_met(level, observed):
                continue
            told = {_COLUMNS[name]: value for name, value in observed.items()}
            if spec.is_widening:
                told["from_at_us"] = now + spec.notice_us
                told["multiplier_e6"] = spec.factors_e6[number - 1]
            decision = DecisionRecorded(
                mitigation_id=watch.mitigation_id,
                action=_ACTIONS[spec.action],
                market_id=NOT_OBSERVED if spec.scope == "venue" else watch.market_id,
                until_at_us=watch.levels.trip(number, now),
                level_number=number,
                seen_market_id=watch.market_id,
                **told,
            )
            self._context.log.info("tripped", mitigation=spec.label, action=spec.action)
            self._context.journal.append(decision, cause)
            return


def _readers(observing: Observing, level: Stage, market_id: int) -> dict[str, Reader]:
    return {
        condition.observable: observing.reader(condition.observable, market_id, condition.window_us)
        for condition in level.when
    }
