"""Mitigations that say when a slice is put up, and how large it may be."""

from typing import Generic, TypeVar

import attrs

from liqsim.events import Action, DecisionRecorded
from liqsim.events.mitigation import NOT_OBSERVED
from liqsim.mechanics.mitigations.pacing import Answer, Ask, Judge, Pacer, Verdict
from liqsim.mechanics.mitigations.rate_limit import RateLimiter
from liqsim.mechanics.tranches import units_within_e8
from liqsim.processes.context import Context
from liqsim.processes.flows import Flows
from liqsim.processes.judges import is_judge, judge_of
from liqsim.scenario.mitigations import RateLimit

T = TypeVar("T")


@attrs.frozen
class Grant:
    """
    What all mitigations that book ahead together say to an ask.

    Attributes:
        market_id: The market of the leg.
        at_us: When the slice may be put up.
        amount_uusd: What it may then be worth at the mark; None for any amount.
        booked_uusd: What is booked for it.
    """

    market_id: int
    at_us: int
    amount_uusd: int | None
    booked_uusd: int

    def size_e8(self, wanted_e8: int, mark_e8: int) -> int:
        """Return the units that may be put up of *wanted_e8*."""
        if self.amount_uusd is None:
            return wanted_e8
        return min(wanted_e8, units_within_e8(self.amount_uusd, mark_e8))


@attrs.frozen
class _Rule(Generic[T]):
    """A mitigation, its number, and the market where it acts, or None."""

    mitigation_id: int
    market_id: int | None
    decides: T


class Pacing:
    """
    Asks the mitigations that pace before each slice, and records what they decide.

    Args:
        context: The run.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        numbers = {market.name: n for n, market in enumerate(context.scenario.markets)}
        rows = [
            (number, numbers.get(spec.market), spec)
            for number, spec in enumerate(context.scenario.mitigations)
        ]
        self._pacers: list[_Rule[Pacer]] = [
            _Rule(number, market_id, RateLimiter(spec))
            for number, market_id, spec in rows
            if isinstance(spec, RateLimit)
        ]
        self._judges: list[_Rule[Judge]] = []
        if any(is_judge(spec) for _, _, spec in rows):
            flows = Flows(context)
            judges = ((*row, judge_of(row[-1], context, flows)) for row in rows)
            self._judges += [
                _Rule(number, market_id, judge)
                for number, market_id, _, judge in judges
                if judge is not None
            ]
        self._grants: dict[int, Grant] = {}

    def grant(self, ask: Ask, cause: int) -> tuple[int, int]:
        """
        Return when the slice of *ask* may be put up, and how many units it may have.

        If that is later, ask again then. Those that judge the instant come first: what they leave
        is what those that book ahead are asked for, and what these have granted for now holds.
        """
        until, size = self._judge(ask, cause)
        if until > ask.now_us:
            self.forget(ask.bucket_id)
            return until, 0
        judged = attrs.evolve(ask, wanted_e8=size)
        held = self._grants.pop(ask.bucket_id, None)
        if held is not None and (held.at_us, held.market_id) != (ask.now_us, ask.market_id):
            self._release(held)
            held = None
        if held is not None and size < ask.wanted_e8:
            held = self._lessen(held, judged.value_uusd())
        grant = held or self._ask(judged, cause)
        if grant.at_us > ask.now_us:
            self._grants[ask.bucket_id] = grant
        return grant.at_us, grant.size_e8(size, ask.mark_e8)

    def forget(self, bucket: int) -> None:
        """Give back what is booked for *bucket*, which needs no slice any more."""
        held = self._grants.pop(bucket, None)
        if held is not None:
            self._release(held)

    def _release(self, grant: Grant) -> None:
        for rule in _of(self._pacers, grant.market_id):
            rule.decides.release(grant.at_us, grant.booked_uusd)

    def _lessen(self, grant: Grant, value_uusd: int) -> Grant:
        """Give back what is booked above *value_uusd*."""
        if value_uusd >= grant.booked_uusd:
            return grant
        self._release(grant)
        for rule in _of(self._pacers, grant.market_id):
            rule.decides.book(grant.at_us, value_uusd)
        return attrs.evolve(grant, booked_uusd=value_uusd)

    def _judge(self, ask: Ask, cause: int) -> tuple[int, int]:
        """Return until when the slice must wait, and what those that judge the instant leave."""
        until, size = ask.now_us, ask.wanted_e8
        for rule in _of(self._judges, ask.market_id):
            verdict = rule.decides.judge(ask)
            if verdict.until_us > ask.now_us:
                until = max(until, verdict.until_us)
                self._record_verdict(rule.mitigation_id, ask, verdict, Action.DELAYED, cause)
            elif verdict.size_e8 is not None and verdict.size_e8 < ask.wanted_e8:
                size = min(size, verdict.size_e8)
                self._record_verdict(rule.mitigation_id, ask, verdict, Action.CUT, cause)
        return until, size

    def _record_verdict(
        self, mitigation_id: int, ask: Ask, verdict: Verdict, action: Action, cause: int
    ) -> None:
        is_delayed = action is Action.DELAYED
        decision = DecisionRecorded(
            mitigation_id=mitigation_id,
            action=action,
            market_id=ask.market_id,
            bucket_id=ask.bucket_id,
            wanted_e8=ask.wanted_e8,
            size_e8=NOT_OBSERVED if is_delayed else _recorded(verdict.size_e8),
            until_at_us=verdict.until_us if is_delayed else NOT_OBSERVED,
            depth_e8=_recorded(verdict.depth_e8),
            forced_uusd=_recorded(verdict.forced_uusd),
            traded_uusd=_recorded(verdict.traded_uusd),
        )
        self._context.journal.append(decision, cause)

    def _ask(self, ask: Ask, cause: int) -> Grant:
        rules, value = _of(self._pacers, ask.market_id), ask.value_uusd()
        first = answers = [rule.decides.answer(ask, ask.now_us) for rule in rules]
        at_us, before_us = max((a.at_us for a in first), default=ask.now_us), ask.now_us
        while at_us > before_us:  # When one has it wait, another may have it wait from then on.
            before_us = at_us
            answers = [rule.decides.answer(ask, at_us) for rule in rules]
            at_us = max(answer.at_us for answer in answers)
        amounts = [a.amount_uusd for a in answers if a.amount_uusd is not None]
        grant = Grant(ask.market_id, at_us, min(amounts, default=None), min([value, *amounts]))
        for rule, alone, answer in zip(rules, first, answers, strict=True):
            rule.decides.book(at_us, grant.booked_uusd)
            is_cut = answer.amount_uusd is not None and answer.amount_uusd < value
            if alone.at_us > ask.now_us or is_cut:
                action = Action.DELAYED if alone.at_us > ask.now_us else Action.CUT
                self._record(rule, ask, answer, action, at_us, cause)
        return grant

    def _record(
        self, rule: _Rule[Pacer], ask: Ask, answer: Answer, action: Action, at_us: int, cause: int
    ) -> None:
        decision = DecisionRecorded(
            mitigation_id=rule.mitigation_id,
            action=action,
            market_id=ask.market_id,
            bucket_id=ask.bucket_id,
            wanted_e8=ask.wanted_e8,
            used_uusd=_recorded(answer.used_uusd),
            amount_uusd=_recorded(answer.amount_uusd),
            until_at_us=at_us if at_us > ask.now_us else NOT_OBSERVED,
        )
        self._context.journal.append(decision, cause)


def _of(rules: list[_Rule[T]], market_id: int) -> list[_Rule[T]]:
    return [rule for rule in rules if rule.market_id in (None, market_id)]


def _recorded(value: int | None) -> int:
    return NOT_OBSERVED if value is None else value
