"""Funding over time: a payment of everyone with a position, at every interval."""

import numpy as np

from liqsim.events import FundingPaid, FundingSet
from liqsim.mechanics.funding import funding_rate_e9, funding_uusd
from liqsim.processes.context import Context, MarketDesk, Priority, Process
from liqsim.processes.venue import Venue
from liqsim.scenario.model import Funding


def funding_schedule(context: Context, desk: MarketDesk, venue: Venue) -> Process:
    """Have funding paid in a market at every interval, once there is a mark to value it at."""
    spec = desk.spec.funding
    while spec is not None:
        yield context.wake(spec.interval_us, Priority.FUNDING)
        if desk.state.mark_e8:
            _pay(context, desk, venue, spec)


def _pay(context: Context, desk: MarketDesk, venue: Venue, spec: Funding) -> None:
    premium, mark = desk.state.inputs.premium_e9, desk.state.mark_e8
    rate = funding_rate_e9(spec, premium)
    seq = context.journal.append(FundingSet(desk.market_id, rate, premium, mark))
    units = context.world.ledger.units[desk.market_id]
    first = context.first_bucket
    buckets = np.flatnonzero(units[first:]) + first
    if not rate:
        buckets = buckets[:0]
    if len(buckets):
        held = units[buckets]
        amounts = [funding_uusd(quantity, mark, rate) for quantity in held.tolist()]
        columns = {
            "bucket_id": buckets,
            "market_id": np.full(len(buckets), desk.market_id),
            "quantity_e8": held,
            "amount_uusd": np.array(amounts, dtype=np.int64),
        }
        context.journal.append_many(FundingPaid, columns, seq)
    venue.funding_paid(desk.market_id, seq, buckets)
