"""What mitigations decided, and on which observation."""

from enum import IntEnum
from typing import Any, ClassVar

import attrs

from liqsim.events.schema import Owner, Transfer, amount, identifier, member, price, signed
from liqsim.units import BOUND

NOT_OBSERVED = -1
"""A field of a decision that says nothing, as an integer; null in SQL."""


class Action(IntEnum):
    """What a mitigation did."""

    CUT = 0
    DELAYED = 1
    HALTED = 2
    RISK_HALTED = 3
    RAISED = 4
    LOWERED = 5
    CHARGED = 6
    CAPPED = 7
    HELD = 8
    WIDENED = 9
    ABSORBED = 10
    REDUCED = 11


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
        wanted_e8: Units that the next slice would have had, or what is left of one.
        used_uusd: Put up, or paid, already in the span that the decision falls in.
        size_e8: Units that the slice may have, or what is taken over of it.
        amount_uusd: What the slice may be worth at the mark when it is put up, or what may be paid.
        until_at_us: Not before this; where margin rates are widened, until then.
        depth_e8: Units that the venue's own book would take, within the distance or the slippage
            of the rule.
        forced_uusd: Forced flow of the market in the window: for `slices` and `delays`, slices
            settled, less what of them was cancelled, and those that are up, at the marks at which
            they were put up; for a breaker and for `predictive`, what was filled and taken over.
        traded_uusd: What was traded in the book of the market over the window.
        level_number: Level of the breaker, from 1.
        seen_market_id: The market that was observed.
        fall_e6: Fall of its mark from the highest that stood in the window, as a share of that.
        rise_e6: Rise of its mark from the lowest that stood in the window, as a share of that.
        volatility_e6: Annual volatility of its mark, realised or weighted, as the page of the kind
            says.
        drawdown_e6: Fall of the fund from its highest balance so far, as a share of that.
        divergence_e6: Distance of its book's market price from the oracle's, as a share of that.
        ended_at_us: When what it follows had ended.
        open_interest_uusd: Units that owners are long in the market, at the mark; of inverse
            contracts their dollars.
        index_e6: External index.
        multiplier_e6: Multiple of margin rates at the start, of the haircut on coins, or of a fee,
            that it has come to.
        from_at_us: The multiple holds from then on.
        wanted_uusd: What would have been paid.
        paid_uusd: Paid already for the same slice.
        concentration_e6: Share of the largest positions of accounts in the market's open interest.
        imbalance_e6: What was bought in the book of the market over the window less what was sold,
            without sign, as a share of both.
        depth_uusd: What the venue's own book would take at the mark, within the distance, on the
            side where that is less.
        ladder_uusd: Positions that would be due if the mark moved by the distance, at the mark, to
            the side where that is more.
        risk_e6: Chance of a cascade that a model finds in all this.
        book_price_e8: Average price at which the venue's own book would take what is left of the
            slice, rounded against the account; null where it would not take all of it.
        correlation_e6: Correlation of its mark with the other markets', zero if it is negative.
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
    open_interest_uusd: int = maybe()
    index_e6: int = maybe()
    multiplier_e6: int = maybe()
    from_at_us: int = maybe(2**62)
    wanted_uusd: int = maybe()
    paid_uusd: int = maybe()
    concentration_e6: int = maybe()
    imbalance_e6: int = maybe()
    depth_uusd: int = maybe()
    ladder_uusd: int = maybe()
    risk_e6: int = maybe()
    book_price_e8: int = maybe()
    correlation_e6: int = maybe()


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


@attrs.frozen
class PositionReduced:
    """
    A mitigation had a small part of a position traded away in the book, before it was due.

    It is no liquidation: no penalty is paid. Its cause is the decision on the look that saw a
    cascade come.

    Attributes:
        bucket_id: The bucket, as an owner.
        market_id: Which market.
        ordered_e8: Size of the order, signed as the order.
        quantity_e8: What was filled; negative sells.
        price_e8: Average price, rounded against the bucket.
        cost_uusd: What the bucket paid: quantity times price, rounded up.
        fee_uusd: Taker fee, rounded up.
        mark_price_e8: Mark price then.
        reference_price_e8: Reference price at the fill.
        arrival_price_e8: Market price right before it.
        market_price_e8: Market price right after it.
    """

    TAG: ClassVar[str] = "position_reduced"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = (
        Transfer(Owner.MAKERS, "bucket_id", "quantity_e8", market="market_id"),
        Transfer("bucket_id", Owner.MAKERS, "cost_uusd"),
        Transfer("bucket_id", Owner.TREASURY, "fee_uusd"),
    )

    bucket_id: int = identifier()
    market_id: int = identifier()
    ordered_e8: int = signed()
    quantity_e8: int = signed()
    price_e8: int = price()
    cost_uusd: int = signed()
    fee_uusd: int = amount()
    mark_price_e8: int = price()
    reference_price_e8: int = price()
    arrival_price_e8: int = price()
    market_price_e8: int = price()
