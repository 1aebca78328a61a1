"""Fees on leverage over time: whoever has too much of it pays into the fund, every period."""

import numpy as np

from liqsim.events import Action, DecisionRecorded, LeverageFeePaid
from liqsim.mechanics.mitigations.leverage_fee import fee_multiplier_e6, leverage_fee_uusd
from liqsim.mechanics.radius import Ints
from liqsim.processes.context import Context, MarketDesk, Priority, Process
from liqsim.processes.venue import Venue
from liqsim.processes.volatility import VolatilityOfMark
from liqsim.scenario.mitigations import LeverageFee


def leverage_fees(
    context: Context, desk: MarketDesk, venue: Venue, number: int, spec: LeverageFee
) -> Process:
    """
    Have the fee of mitigation *number* paid in a market every period, once there is a volatility.

    Of several at one instant, those of the first mitigation go first, by market.
    """
    volatility = VolatilityOfMark(desk, spec.period_us, spec.half_life_us)
    rank = number * len(context.markets) + desk.market_id
    while True:
        yield context.wake(spec.period_us, Priority.FEES, rank=rank)
        observed = volatility.look()
        if observed is not None:
            _charge(context, desk, venue, number, spec, observed)


def _charge(
    context: Context,
    desk: MarketDesk,
    venue: Venue,
    number: int,
    spec: LeverageFee,
    volatility_e6: int,
) -> None:
    multiplier = fee_multiplier_e6(spec, volatility_e6)
    units, is_idle = context.world.ledger.units[desk.market_id], context.world.liquidation_seq < 0
    is_idle[: context.first_bucket] = False
    amounts: dict[int, int] = {}
    for bucket in np.flatnonzero((units != 0) & is_idle).tolist():
        room = venue.margins.room_uusd(bucket)
        if room and venue.margins.is_leveraged(bucket, spec.leverage_e6):
            notional = venue.margins.notional_of_leg(desk, bucket)
            if amount := leverage_fee_uusd(spec, multiplier, notional, room):
                amounts[bucket] = amount
    if not amounts:
        return
    decision = DecisionRecorded(
        mitigation_id=number,
        action=Action.CHARGED,
        market_id=desk.market_id,
        volatility_e6=volatility_e6,
        multiplier_e6=multiplier,
    )
    seq = context.journal.append(decision)
    buckets: Ints = np.array(list(amounts), dtype=np.int64)
    columns = {
        "bucket_id": buckets,
        "market_id": np.full_like(buckets, desk.market_id),
        "quantity_e8": units[buckets],
        "amount_uusd": np.array(list(amounts.values()), dtype=np.int64),
    }
    context.journal.append_many(LeverageFeePaid, columns, seq)
    venue.fees_paid(buckets)
