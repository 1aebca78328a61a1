"""What becomes of penalties, and what is paid to keepers on top."""

from enum import IntEnum
from typing import ClassVar

import attrs

from liqsim.events.mitigation import maybe
from liqsim.events.schema import Owner, Transfer, amount, identifier, member, sequence


class Share(IntEnum):
    """Which share of a penalty was paid out of the treasury."""

    KEEPER = 0
    FUND = 1
    BURN = 2


@attrs.frozen
class PenaltyRouted:
    """
    A share of a liquidation penalty was paid on by the treasury, which had received all of it.

    Attributes:
        mitigation_id: Place of the mitigation in the scenario, from 0.
        tranche_seq: The tranche.
        bucket_id: The bucket that paid the penalty, as an owner.
        share: Which share.
        receiver_id: Who receives it, as an owner.
        penalty_uusd: The penalty, all of it.
        amount_uusd: The share.
    """

    TAG: ClassVar[str] = "penalty_routed"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = (
        Transfer(Owner.TREASURY, "receiver_id", "amount_uusd"),
    )

    mitigation_id: int = identifier()
    tranche_seq: int = sequence()
    bucket_id: int = identifier()
    share: Share = member()
    receiver_id: int = identifier()
    penalty_uusd: int = amount()
    amount_uusd: int = amount()


@attrs.frozen
class KeeperRewarded:
    """
    The treasury paid a keeper for a takeover, out of a budget; what its law ignores is null.

    Attributes:
        mitigation_id: Place of the mitigation in the scenario, from 0.
        tranche_seq: The tranche.
        bucket_id: The bucket liquidated, as an owner.
        keeper_id: The keeper, as an owner.
        owed_uusd: What the law asks for.
        used_uusd: Paid already in the span that ends here.
        amount_uusd: What was paid: what is owed, as far as caps and budget let it.
        budget_uusd: What the budget has left.
        waited_us: Time since the trigger of the liquidation.
        violation_uusd: How far the margin was below zero at the marks, before the takeover,
            rounded down.
        depth_e8: Units that the venue's own book would take, within the distance of the law, on
            the side on which the keeper sells on.
    """

    TAG: ClassVar[str] = "keeper_rewarded"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = (
        Transfer(Owner.TREASURY, "keeper_id", "amount_uusd"),
    )

    mitigation_id: int = identifier()
    tranche_seq: int = sequence()
    bucket_id: int = identifier()
    keeper_id: int = identifier()
    owed_uusd: int = amount()
    used_uusd: int = amount()
    amount_uusd: int = amount()
    budget_uusd: int = amount()
    waited_us: int = maybe(2**62)
    violation_uusd: int = maybe()
    depth_e8: int = maybe()
