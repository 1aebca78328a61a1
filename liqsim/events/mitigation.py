"""What mitigations decided, and on which observation."""

from enum import IntEnum
from typing import Any, ClassVar

import attrs

from liqsim.events.schema import Transfer, identifier, member
from liqsim.units import BOUND

NOT_OBSERVED = -1
"""A field of a decision that says nothing, as an integer; null in SQL."""


class Action(IntEnum):
    """What a mitigation did."""

    CUT = 0
    DELAYED = 1
    HALTED = 2
    RISK_HALTED = 3


def maybe(high: int = BOUND - 1) -> Any:
    """Return a field in [0, *high*], or `NOT_OBSERVED`, which is null in SQL and the default."""
    return attrs.field(
        default=NOT_OBSERVED, metadata={"low": NOT_OBSERVED, "high": high, "is_optional": True}
    )


@attrs.frozen
class DecisionRecorded:
    """
    A mitigation decided something; what it observed, and what it decided, is null where unused.

    Attributes:
        mitigation_id: Place of the mitigation in the scenario, from 0.
        action: What it did.
        market_id: The market; null for all of them.
        bucket_id: The account, as an owner; null for all of them.
        wanted_e8: Units that the next slice would have had.
        used_uusd: Put up already in the span that the decision falls in.
        size_e8: Units that the slice may have.
        amount_uusd: What the slice may be worth at the mark when it is put up.
        until_at_us: Not before this.
        depth_e8: Units that the venue's own book would take, within the distance or the slippage
            of the rule.
        forced_uusd: Forced flow of the market in the window: for `slices` and `delays`, slices
            settled, less what of them was cancelled, and those that are up, at the marks at which
            they were put up; for a breaker, what was filled and taken over.
        traded_uusd: What was traded in the book of the market over the window.
        level_number: Level of the breaker, from 1.
        seen_market_id: The market that was observed.
        fall_e6: Fall of its mark from the highest that stood in the window, as a share of that.
        rise_e6: Rise of its mark from the lowest that stood in the window, as a share of that.
        volatility_e6: Realised volatility of its mark over the window, annualised.
        drawdown_e6: Fall of the fund from its highest balance so far, as a share of that.
        divergence_e6: Distance of its book's market price from the oracle's, as a share of that.
        ended_at_us: When what it follows had ended.
    """

    TAG: ClassVar[str] = "decision_recorded"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = ()

    mitigation_id: int = identifier()
    action: Action = member()
    market_id: int = maybe(2**31 - 1)
    bucket_id: int = maybe(2**31 - 1)
    wanted_e8: int = maybe()
    used_uusd: int = maybe()
    size_e8: int = maybe()
    amount_uusd: int = maybe()
    until_at_us: int = maybe(2**62)
    depth_e8: int = maybe()
    forced_uusd: int = maybe()
    traded_uusd: int = maybe()
    level_number: int = maybe(2**31 - 1)
    seen_market_id: int = maybe(2**31 - 1)
    fall_e6: int = maybe()
    rise_e6: int = maybe()
    volatility_e6: int = maybe()
    drawdown_e6: int = maybe()
    divergence_e6: int = maybe()
    ended_at_us: int = maybe(2**62)
