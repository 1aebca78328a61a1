"""Depth over time: the book's scheduled changes."""

from liqsim.events import DepthChanged
from liqsim.processes.context import Context, MarketDesk, Priority, Process
from liqsim.scenario.model import NoImpact


def depth_schedule(context: Context, desk: MarketDesk) -> Process:
    """Change the depth of a market's book when its schedule says so."""
    liquidity = desk.spec.liquidity
    if isinstance(liquidity, NoImpact):
        return
    for change in liquidity.schedule:
        yield context.wake(change.at_us - context.now_us, Priority.DEPTH)
        context.journal.append(
            DepthChanged(
                market_id=desk.market_id,
                multiplier_e6=change.multiplier_e6,
                half_life_us=change.half_life_us,
            )
        )
        context.book_changed(desk.market_id)
