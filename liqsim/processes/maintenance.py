"""Maintenance over time: the venue's scheduled changes of a market's rates."""

from liqsim.events import MaintenanceChanged
from liqsim.processes.context import Context, MarketDesk, Priority, Process
from liqsim.processes.venue import Venue


def maintenance_schedule(context: Context, desk: MarketDesk, venue: Venue) -> Process:
    """Change the maintenance of a market when its schedule says so."""
    for change in desk.spec.maintenance_changes:
        yield context.wake(change.at_us - context.now_us, Priority.RULES)
        event = MaintenanceChanged(desk.market_id, change.multiplier_e6)
        venue.maintenance_changed(desk.market_id, context.journal.append(event))
