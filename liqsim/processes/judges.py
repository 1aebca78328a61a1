"""Mitigations that judge the instant at which a slice is put up."""

from functools import partial
from typing import Final, cast

import attrs

from liqsim.errors import MitigationError
from liqsim.mechanics.mitigations.delays import pause_us
from liqsim.mechanics.mitigations.pacing import Ask, Judge, OwnJudge, Verdict
from liqsim.mechanics.mitigations.slices import Seen, size_e8
from liqsim.mechanics.mitigations.slippage import within_slippage_e8
from liqsim.processes.context import Context
from liqsim.processes.flows import Flows
from liqsim.scenario.mitigations import (
    OTHERS,
    Delays,
    Mitigation,
    Slices,
    SlippageCap,
    kind_of,
)
from liqsim.scenario.values import instant_of
from liqsim.units import BOUND

_JUDGED: Final = (Slices, Delays, SlippageCap)
_LATEST_US: Final = 2**62


def is_judge(spec: Mitigation) -> bool:
    """Return whether `judge_of` makes a judge of a mitigation."""
    return isinstance(spec, _JUDGED) or type(spec) in OTHERS.values()


def judge_of(spec: Mitigation, context: Context, flows: Flows) -> Judge | None:
    """Return the judge that a mitigation is; None if it is none."""
    match spec:
        case Slices():
            return Slicer(spec, context, flows)
        case Delays():
            return Delayer(spec, flows)
        case SlippageCap():
            return SlippageCapper(spec, context)
        case _ if is_judge(spec):
            return Foreign(cast("OwnJudge", spec), context, flows)
        case _:
            return None


class Foreign:
    """
    A third party's mitigation, and what it sees.

    Args:
        spec: Its parameters.
        context: The run.
        flows: What the venue has seen.
    """

    def __init__(self, spec: OwnJudge, context: Context, flows: Flows) -> None:
        self._spec = spec
        self._context = context
        self._flows = flows

    def judge(self, ask: Ask) -> Verdict:
        """
        Return what it says.

        Raises:
            MitigationError: It raised, or no mitigation can have meant what it says. The run ends,
                and what it logged is kept.
        """
        try:
            verdict = self._spec.judge(ask, _Sight(ask, self._context, self._flows))
        except Exception as error:
            problem = f"raised {type(error).__name__}: {error}"
            raise MitigationError(self._told(ask, problem)) from error
        if not _is_sensible(verdict, ask.now_us):
            problem = (
                f"answered {verdict!r}: it must be a Verdict with a size_e8 that is a whole number "
                "above 0 or None, or one that waits, and whole numbers or None besides"
            )
            raise MitigationError(self._told(ask, problem))
        return verdict

    def _told(self, ask: Ask, problem: str) -> str:
        """Return a problem, of which mitigation it is, and where and when it came up."""
        scenario, spec = self._context.scenario, cast("Mitigation", self._spec)
        market, at = scenario.markets[ask.market_id].name, scenario.start_unix_us + ask.now_us
        return (
            f"the mitigation {spec.label!r} of kind {kind_of(type(spec))!r}, asked in {market} at "
            f"{instant_of(at):%Y-%m-%dT%H:%M:%S.%fZ}, {problem}"
        )


def _is_sensible(verdict: Verdict, now_us: int) -> bool:
    """Return whether an answer is one, and fits the columns of the log."""
    if not isinstance(verdict, Verdict):
        return False
    size, until = verdict.size_e8, verdict.until_us
    seen = size, verdict.depth_e8, verdict.forced_uusd, verdict.traded_uusd
    fit = all(value is None or (type(value) is int and 0 <= value < BOUND) for value in seen)
    is_instant = type(until) is int and until < _LATEST_US
    return fit and is_instant and (size != 0 or until > now_us)


@attrs.frozen
class _Sight:
    """What there is to be seen at an ask."""

    _ask: Ask
    _context: Context
    _flows: Flows

    def depth_e8(self, distance_e6: int) -> int:
        desk = self._context.markets[self._ask.market_id]
        return desk.depth_e8(self._ask.now_us, distance_e6, is_sale=self._ask.is_long)

    def forced_uusd(self, window_us: int) -> int:
        return self._flows.forced_uusd(self._ask.market_id, self._ask.now_us - window_us)

    def traded_uusd(self, window_us: int) -> int:
        return self._flows.traded_uusd(self._ask.market_id, self._ask.now_us - window_us)

    def since_us(self) -> int:
        return self._flows.since_us(self._ask.bucket_id)


class Slicer:
    """
    Lets a slice have the size of a law, some time after the one before it.

    Args:
        spec: Its parameters.
        context: The run.
        flows: What the venue has seen.
    """

    def __init__(self, spec: Slices, context: Context, flows: Flows) -> None:
        self._spec = spec
        self._context = context
        self._flows = flows

    def judge(self, ask: Ask) -> Verdict:
        """Return whether a slice may be put up now, and how large."""
        spec, (count, last_us) = self._spec, self._flows.slices(ask.bucket_id, ask.market_id)
        if last_us is not None and last_us + spec.interval_us > ask.now_us:
            return Verdict(until_us=last_us + spec.interval_us)
        seen = self._seen(ask, count + 1)
        return Verdict(
            size_e8=size_e8(spec, ask.at_trigger_e8, ask.mark_e8, seen),
            depth_e8=seen.depth_e8,
            forced_uusd=seen.forced_uusd,
            traded_uusd=seen.traded_uusd,
        )

    def _seen(self, ask: Ask, number: int) -> Seen:
        spec = self._spec
        if spec.law == "depth_share":
            desk = self._context.markets[ask.market_id]
            depth = desk.depth_e8(ask.now_us, spec.distance_e6, is_sale=ask.is_long)
            return Seen(number, depth_e8=depth)
        if spec.law == "participation":
            after_us = ask.now_us - spec.window_us
            return Seen(
                number,
                traded_uusd=self._flows.traded_uusd(ask.market_id, after_us),
                forced_uusd=self._flows.forced_uusd(ask.market_id, after_us),
            )
        return Seen(number)


class Delayer:
    """
    Has a slice wait the longer, the more was liquidated lately.

    Args:
        spec: Its parameters.
        flows: What the venue has seen.
    """

    def __init__(self, spec: Delays, flows: Flows) -> None:
        self._spec = spec
        self._flows = flows

    def judge(self, ask: Ask) -> Verdict:
        """Return when a slice may be put up."""
        forced = self._flows.forced_uusd(ask.market_id, ask.now_us - self._spec.window_us)
        until = self._flows.since_us(ask.bucket_id) + pause_us(self._spec, forced)
        return Verdict(until_us=until, forced_uusd=forced)


class SlippageCapper:
    """
    Lets a slice have what the venue's own book would take without too much slippage.

    Args:
        spec: Its parameters.
        context: The run.
    """

    def __init__(self, spec: SlippageCap, context: Context) -> None:
        self._spec = spec
        self._context = context

    def judge(self, ask: Ask) -> Verdict:
        """Return whether a slice may be put up now, and how large."""
        spec, desk = self._spec, self._context.markets[ask.market_id]
        size = within_slippage_e8(
            partial(desk.quote, ask.now_us),
            desk.market_price_e8(ask.now_us),
            spec.max_slippage_e6,
            ask.wanted_e8,
            is_sale=ask.is_long,
        )
        is_too_small = size < ask.wanted_e8 and not ask.is_worth(size, spec.least_uusd)
        until = ask.now_us + spec.retry_us if is_too_small else 0
        return Verdict(until_us=until, size_e8=size, depth_e8=size)
