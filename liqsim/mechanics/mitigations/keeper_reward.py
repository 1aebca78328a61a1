"""What a keeper is owed for a takeover, what of that may be paid, and from when it is enough."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import attrs

from liqsim.scenario.mitigations import KeeperReward
from liqsim.units import NOTIONAL_DIVISOR, RATIO_SCALE

_MINUTE_US: Final = 60_000_000


@attrs.frozen
class Seen:
    """
    What a law looks at; each law at its own part.

    Attributes:
        waited_us: Time since the trigger of the liquidation.
        violation_uusd: How far its margin is below zero at the marks.
        depth_e8: Units that the venue's own book would take within the distance of the law.
        mark_e8: Mark at which these are valued.
    """

    waited_us: int | None = None
    violation_uusd: int | None = None
    depth_e8: int | None = None
    mark_e8: int = 0


@attrs.frozen
class Payment:
    """
    A reward that was paid.

    Attributes:
        at_us: When.
        amount_uusd: How much.
    """

    at_us: int
    amount_uusd: int


def owed_uusd(spec: KeeperReward, seen: Seen) -> int:
    """
    Return what the law asks for, rounded down.

    >>> keys = {"max_window_uusd": None, "span_us": None, "per_minute_uusd": 60, "rate_e6": 100_000}
    >>> keys |= {"scarce_uusd": 90, "reference_uusd": 3_000_000, "distance_e6": 1}
    >>> spec = KeeperReward("", "", True, "waiting", 5, 10**9, 10**9, **keys)
    >>> owed_uusd(spec, Seen(waited_us=2_500_000))
    7
    >>> spec = KeeperReward("", "", True, "violation", 5, 10**9, 10**9, **keys)
    >>> owed_uusd(spec, Seen(violation_uusd=79))
    12
    >>> spec = KeeperReward("", "", True, "scarcity", 5, 10**9, 10**9, **keys)
    >>> [owed_uusd(spec, Seen(depth_e8=n * 10**8, mark_e8=10**8)) for n in (0, 1, 3, 4)]
    [95, 65, 5, 5]
    """
    more = 0
    if spec.law == "waiting":
        assert seen.waited_us is not None
        more = spec.per_minute_uusd * seen.waited_us // _MINUTE_US
    elif spec.law == "violation":
        assert seen.violation_uusd is not None
        more = seen.violation_uusd * spec.rate_e6 // RATIO_SCALE
    elif spec.law == "scarcity":
        assert seen.depth_e8 is not None
        depth = seen.depth_e8 * seen.mark_e8 // NOTIONAL_DIVISOR
        missing = max(spec.reference_uusd - depth, 0)
        more = spec.scarce_uusd * missing // spec.reference_uusd
    return spec.base_uusd + more


def used_uusd(spec: KeeperReward, payments: Iterable[Payment], at_us: int) -> int:
    """
    Return what of *payments*, none of them after *at_us*, falls into the span that ends there.

    >>> spec = KeeperReward("", "", True, "fixed", 5, 10**9, 10**9, 100, 10, 0, 0, 0, 1, 1)
    >>> used_uusd(spec, [Payment(3, 40), Payment(9, 50)], 13)
    50
    """
    if spec.span_us is None:
        return 0
    return sum(paid.amount_uusd for paid in payments if paid.at_us > at_us - spec.span_us)


def payable_uusd(spec: KeeperReward, owed: int, used: int, budget: int) -> int:
    """
    Return what of a reward is paid.

    Args:
        spec: The caps.
        owed: What the law asks for.
        used: What was paid in the span.
        budget: What the budget has left.

    >>> spec = KeeperReward("", "", True, "fixed", 50, 10**9, 40, 100, 10, 0, 0, 0, 1, 1)
    >>> payable_uusd(spec, 50, 0, 10**9), payable_uusd(spec, 50, 70, 10**9)
    (40, 30)
    >>> payable_uusd(spec, 50, 0, 7), payable_uusd(spec, 50, 120, 7)
    (7, 0)
    """
    window = owed if spec.max_window_uusd is None else spec.max_window_uusd - used
    return max(min(owed, spec.max_uusd, window, budget), 0)


def kept_for(spec: KeeperReward, payments: Sequence[Payment], at_us: int) -> list[Payment]:
    """Return those of *payments* that a span may still hold at *at_us* or later."""
    if spec.span_us is None:
        return []
    return [paid for paid in payments if paid.at_us > at_us - spec.span_us]


def first_us(pays_uusd: Callable[[int], int], least_uusd: int, now_us: int, end_us: int) -> int:
    """
    Return the first instant after *now_us*, at most *end_us*, at which so much is paid.

    What is paid never falls with time, as long as nothing else happens; *end_us* if it is not
    enough even then.

    >>> first_us(lambda at_us: at_us // 10, 4, 7, 100)
    40
    """
    low, high = now_us, end_us
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if pays_uusd(middle) < least_uusd else (low, middle)
    return high
