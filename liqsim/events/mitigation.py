"""What mitigations decided, and on which observation."""

from enum import IntEnum
from typing import Any, ClassVar

import attrs

from liqsim.events.schema import Owner, Transfer, amount, identifier, member, signed
from liqsim.units import BOUND

NOT_OBSERVED = -1
"""A field of a decision that says nothing, as an integer; null in SQL."""


class Action(IntEnum):
    """What a mitigation did."""

    CUT = 0
    DELAYED = 1
    RAISED = 2
    LOWERED = 3
    CHARGED = 4


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
        volatility_e6: Annual volatility of the mark.
        open_interest_uusd: Units that owners are long in the market, at the mark.
        index_e6: External index.
        multiplier_e6: Multiple of margin rates at the start, or of a fee, that it has come to.
        from_at_us: The multiple holds from then on.
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
    volatility_e6: int = maybe()
    open_interest_uusd: int = maybe()
    index_e6: int = maybe()
    multiplier_e6: int = maybe()
    from_at_us: int = maybe(2**62)


@attrs.frozen
class LeverageFeePaid:
    """
    A bucket with high leverage paid a fee on a position into the insurance fund.

    Attributes:
        bucket_id: The bucket, as an owner.
        market_id: Which market.
        quantity_e8: Its position; negative is short.
        amount_uusd: Value of it x rate x multiple, rounded up, at most what it can pay without
            becoming due.
    """

    TAG: ClassVar[str] = "leverage_fee_paid"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = (Transfer("bucket_id", Owner.FUND, "amount_uusd"),)

    bucket_id: int = identifier()
    market_id: int = identifier()
    quantity_e8: int = signed()
    amount_uusd: int = amount()
