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
    CAPPED = 2


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
        used_uusd: Put up, or paid, already in the span that the decision falls in.
        size_e8: Units that the slice may have.
        amount_uusd: What the slice may be worth at the mark when it is put up, or what may be paid.
        until_at_us: Not before this.
        wanted_uusd: What would have been paid.
        paid_uusd: Paid already for the same slice.
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
    wanted_uusd: int = maybe()
    paid_uusd: int = maybe()
