"""Events of the loss waterfall: who pays beyond bankruptcy, who gains short of it."""

from typing import ClassVar

import attrs

from liqsim.events.schema import (
    Owner,
    Transfer,
    amount,
    identifier,
    price,
    ranged,
    sequence,
    signed,
)


@attrs.frozen
class SurplusRouted:
    """
    A fill was better than bankruptcy and what it left over went to the insurance fund.

    Attributes:
        tranche_seq: The tranche.
        bucket_id: The bucket, as an owner.
        amount_uusd: How much.
    """

    TAG: ClassVar[str] = "surplus_routed"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = (Transfer("bucket_id", Owner.FUND, "amount_uusd"),)

    tranche_seq: int = sequence()
    bucket_id: int = identifier()
    amount_uusd: int = amount()


@attrs.frozen
class FundDrawn:
    """
    The insurance fund paid for a fill worse than bankruptcy, or for a hole left by it.

    Attributes:
        tranche_seq: The tranche.
        bucket_id: The bucket, as an owner.
        amount_uusd: How much.
        balance_uusd: What the fund has left.
    """

    TAG: ClassVar[str] = "fund_drawn"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = (Transfer(Owner.FUND, "bucket_id", "amount_uusd"),)

    tranche_seq: int = sequence()
    bucket_id: int = identifier()
    amount_uusd: int = amount()
    balance_uusd: int = amount()


@attrs.frozen
class PositionDeleveraged:
    """
    A profitable position was closed against a bankrupt one, at the bankruptcy price.

    Attributes:
        tranche_seq: The tranche.
        bucket_id: The bankrupt bucket, as an owner.
        counterparty_id: The bucket deleveraged, as an owner.
        market_id: Which market.
        rank_number: Place in the queue of this tranche, from 1.
        quantity_e8: The bankrupt bucket's order: negative sells to the counterparty.
        price_e8: The bankruptcy price.
        cost_uusd: What the bankrupt bucket paid: quantity times price, rounded up.
    """

    TAG: ClassVar[str] = "position_deleveraged"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = (
        Transfer("counterparty_id", "bucket_id", "quantity_e8", market="market_id"),
        Transfer("bucket_id", "counterparty_id", "cost_uusd"),
    )

    tranche_seq: int = sequence()
    bucket_id: int = identifier()
    counterparty_id: int = identifier()
    market_id: int = identifier()
    rank_number: int = ranged(1, 2**31 - 1)
    quantity_e8: int = signed()
    price_e8: int = price()
    cost_uusd: int = signed()


@attrs.frozen
class ProfitCut:
    """
    A winner's unrealised profit was cut to fill a hole that the fund could not.

    The entry price moves to where the rest of the profit is what remains, so that no profit is cut
    twice.

    Attributes:
        tranche_seq: The tranche that closed the bankrupt position.
        bucket_id: The bankrupt bucket, as an owner.
        payer_id: The bucket whose profit was cut, as an owner.
        market_id: Which market.
        mark_price_e8: Mark price at which profit was reckoned.
        basis_uusd: The profit that could be cut: what leaves the payer's margin at zero or above.
        amount_uusd: How much of it was cut.
        entry_price_e8: The payer's entry price from now on.
    """

    TAG: ClassVar[str] = "profit_cut"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = (Transfer("payer_id", "bucket_id", "amount_uusd"),)

    tranche_seq: int = sequence()
    bucket_id: int = identifier()
    payer_id: int = identifier()
    market_id: int = identifier()
    mark_price_e8: int = price()
    basis_uusd: int = amount()
    amount_uusd: int = amount()
    entry_price_e8: int = price()


@attrs.frozen
class FundingIndexMoved:
    """
    A hole that fund and cut profits did not fill was put on a market's funding index, at once.

    Each unit on the side that pays is charged loss / units; each account its units times that,
    rounded up. What this brings beyond the loss, if nobody's share is cut, goes to the fund.

    Attributes:
        tranche_seq: The tranche that closed the bankrupt position.
        bucket_id: The bankrupt bucket, as an owner.
        market_id: Which market.
        units_e8: Units over which it is spread, of accounts that can pay; negative are shorts.
        loss_uusd: The hole.
        residue_uusd: What rounding brings beyond it, for the fund.
    """

    TAG: ClassVar[str] = "funding_index_moved"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = (Transfer("bucket_id", Owner.FUND, "residue_uusd"),)

    tranche_seq: int = sequence()
    bucket_id: int = identifier()
    market_id: int = identifier()
    units_e8: int = signed()
    loss_uusd: int = amount()
    residue_uusd: int = amount()


@attrs.frozen
class LossSocialised:
    """
    A solvent account paid its share of a hole that fund and cut profits did not fill.

    Attributes:
        tranche_seq: The tranche that closed the bankrupt position.
        bucket_id: The bankrupt bucket, as an owner.
        payer_id: The bucket that paid, as an owner.
        market_id: Which market.
        mark_price_e8: Mark price at which shares were reckoned.
        basis_uusd: What its share is proportional to: its notional or its equity; by the funding
            index what its units are charged.
        amount_uusd: How much it paid: its share, at most what leaves its margin at zero or above.
    """

    TAG: ClassVar[str] = "loss_socialised"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = (Transfer("payer_id", "bucket_id", "amount_uusd"),)

    tranche_seq: int = sequence()
    bucket_id: int = identifier()
    payer_id: int = identifier()
    market_id: int = identifier()
    mark_price_e8: int = price()
    basis_uusd: int = amount()
    amount_uusd: int = amount()


@attrs.frozen
class StakeSlashed:
    """
    A staker paid for a hole that the insurance fund could not fill.

    Attributes:
        mitigation_id: Place of the mitigation in the scenario, from 0.
        tranche_seq: The tranche that closed the bankrupt position.
        bucket_id: The bankrupt bucket, as an owner.
        staker_id: Who paid, as an owner.
        basis_uusd: The most that this hole could take of its stake, which its part follows.
        amount_uusd: How much it paid.
        balance_uusd: What it has left.
    """

    TAG: ClassVar[str] = "stake_slashed"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = (Transfer("staker_id", "bucket_id", "amount_uusd"),)

    mitigation_id: int = identifier()
    tranche_seq: int = sequence()
    bucket_id: int = identifier()
    staker_id: int = identifier()
    basis_uusd: int = amount()
    amount_uusd: int = amount()
    balance_uusd: int = amount()


@attrs.frozen
class ContributionPaid:
    """
    A backer paid money of its own into the insurance fund.

    Attributes:
        backer_id: Who paid, as an owner.
        rule_number: Which rule of the scenario, from 1: contributions in order, then top-ups.
        amount_uusd: How much: what the rule says, at most what the backer has.
        balance_uusd: What the fund has then.
    """

    TAG: ClassVar[str] = "contribution_paid"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = (Transfer("backer_id", Owner.FUND, "amount_uusd"),)

    backer_id: int = identifier()
    rule_number: int = ranged(1, 2**31 - 1)
    amount_uusd: int = amount()
    balance_uusd: int = amount()


@attrs.frozen
class BadDebtRecorded:
    """
    A bucket with no position was left with negative cash that nobody paid.

    The bucket keeps exactly this negative balance.

    Attributes:
        tranche_seq: The tranche that closed the position.
        bucket_id: The bucket, as an owner.
        amount_uusd: How much.
    """

    TAG: ClassVar[str] = "bad_debt_recorded"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = ()

    tranche_seq: int = sequence()
    bucket_id: int = identifier()
    amount_uusd: int = amount()
