"""Mitigations that say when a slice is put up, and how large it may be."""

import attrs

from liqsim.events import Action, DecisionRecorded
from liqsim.events.mitigation import NOT_OBSERVED
from liqsim.mechanics.mitigations.pacing import Answer, Ask, Pacer
from liqsim.mechanics.mitigations.rate_limit import RateLimiter
from liqsim.mechanics.tranches import units_within_e8
from liqsim.processes.context import Context
from liqsim.scenario.mitigations import RateLimit


@attrs.frozen
class Grant:
    """
    What all mitigations together say to an ask.

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
class _Rule:
    """A mitigation, its number, and the market where it acts, or None."""

    mitigation_id: int
    market_id: int | None
    pacer: Pacer


class Pacing:
    """
    Asks the mitigations that pace before each slice, and records what they decide.

    Args:
        context: The run.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        numbers = {market.name: n for n, market in enumerate(context.scenario.markets)}
        self._rules = [
            _Rule(number, numbers.get(spec.market), RateLimiter(spec))
            for number, spec in enumerate(context.scenario.mitigations)
            if isinstance(spec, RateLimit)
        ]
        self._grants: dict[int, Grant] = {}

    def grant(self, ask: Ask, cause: int) -> Grant:
        """
        Return when the slice of *ask* may be put up, and how large it may be.

        If that is later, ask again then: a grant holds at its own instant, for its own leg.
        """
        held = self._grants.pop(ask.bucket_id, None)
        if held is not None:
            if (held.at_us, held.market_id) == (self._context.now_us, ask.market_id):
                return held
            self._release(held)
        grant = self._ask(ask, cause)
        if grant.at_us > self._context.now_us:
            self._grants[ask.bucket_id] = grant
        return grant

    def forget(self, bucket: int) -> None:
        """Give back what is booked for *bucket*, which needs no slice any more."""
        held = self._grants.pop(bucket, None)
        if held is not None:
            self._release(held)

    def _of(self, market_id: int) -> list[_Rule]:
        return [rule for rule in self._rules if rule.market_id in (None, market_id)]

    def _release(self, grant: Grant) -> None:
        for rule in self._of(grant.market_id):
            rule.pacer.release(grant.at_us, grant.booked_uusd)

    def _ask(self, ask: Ask, cause: int) -> Grant:
        rules, value = self._of(ask.market_id), ask.value_uusd()
        first = answers = [rule.pacer.answer(ask, ask.now_us) for rule in rules]
        at_us, before_us = max((a.at_us for a in first), default=ask.now_us), ask.now_us
        while at_us > before_us:  # When one has it wait, another may have it wait from then on.
            before_us = at_us
            answers = [rule.pacer.answer(ask, at_us) for rule in rules]
            at_us = max(answer.at_us for answer in answers)
        amounts = [a.amount_uusd for a in answers if a.amount_uusd is not None]
        grant = Grant(ask.market_id, at_us, min(amounts, default=None), min([value, *amounts]))
        for rule, alone, answer in zip(rules, first, answers, strict=True):
            rule.pacer.book(at_us, grant.booked_uusd)
            is_cut = answer.amount_uusd is not None and answer.amount_uusd < value
            if alone.at_us > ask.now_us or is_cut:
                action = Action.DELAYED if alone.at_us > ask.now_us else Action.CUT
                self._record(rule, ask, answer, action, at_us, cause)
        return grant

    def _record(
        self, rule: _Rule, ask: Ask, answer: Answer, action: Action, at_us: int, cause: int
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


def _recorded(value: int | None) -> int:
    return NOT_OBSERVED if value is None else value
