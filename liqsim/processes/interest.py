"""What is at stake in a market: positions in contracts, each a unit or, if inverse, a dollar."""

from typing import Any

import numpy as np
import numpy.typing as npt

from liqsim.events import Owner
from liqsim.mechanics.exact import sum_exact
from liqsim.processes.context import MarketDesk
from liqsim.units import NOTIONAL_DIVISOR
from liqsim.world.world import World


def contracts_of(world: World, desk: MarketDesk) -> npt.NDArray[Any]:
    """
    Return how many contracts each owner holds; negative is short, and all are zero in sum.

    Linear ones are in 1e-8 units, inverse ones in USD x 1e-16: of an account those at its entry
    price. Who has none holds units of the coin instead, which count at the mark, and the makers
    have the other side of it all.
    """
    units: npt.NDArray[Any] = world.ledger.units[desk.market_id]
    if not desk.rule.is_inverse:
        return units
    entries = world.entry_e8[desk.market_id]
    held: npt.NDArray[Any] = units.astype(object) * np.where(entries, entries, desk.state.mark_e8)
    held[Owner.MAKERS] = 0
    held[Owner.MAKERS] = -held.sum()
    return held


def open_contracts(world: World, desk: MarketDesk) -> int:
    """Return how many contracts owners are long."""
    held = contracts_of(world, desk)
    return sum_exact(held[np.greater(held, 0)])


def open_interest_e16(world: World, desk: MarketDesk) -> int:
    """Return what those are worth at the mark, in USD x 1e-16; 0 before the first one."""
    mark = desk.state.mark_e8
    return open_contracts(world, desk) * (mark > 0 if desk.rule.is_inverse else mark)


def open_interest_uusd(world: World, desk: MarketDesk) -> int | None:
    """Return the same in micro-USD, rounded down; None before the first mark."""
    return open_interest_e16(world, desk) // NOTIONAL_DIVISOR if desk.state.mark_e8 else None
