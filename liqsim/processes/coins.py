"""What accounts settle in coins: debts of linear positions, every execution of inverse ones."""

import attrs
import numpy as np

from liqsim.events import CoinsSettled
from liqsim.mechanics.coins import closed_units_e8, decide_coins, inverse_size_e8
from liqsim.mechanics.exact import divmod_exact
from liqsim.mechanics.radius import Ints
from liqsim.processes.context import Context, MarketDesk
from liqsim.processes.margins import Margins
from liqsim.units import taker_cost_uusd


@attrs.define(eq=False)
class _Slice:
    """
    What is left of a slice of an inverse position.

    Attributes:
        size_e8: Units of the coin that are still to be executed.
        units_e8: Contract units that they close.
        mark_e8: Mark price when it was put up, at which the one was worked out from the other.
    """

    size_e8: int
    units_e8: int
    mark_e8: int


@attrs.frozen
class _Target:
    """What the execution that is about to be recorded must leave a bucket with, and its price."""

    units_e8: int
    cash_uusd: int
    price_e8: int


class Coins:
    """
    The coins of one venue's accounts, and the contract units behind slices of inverse positions.

    Args:
        context: The run.
        margins: The margins of the venue's buckets.
    """

    def __init__(self, context: Context, margins: Margins) -> None:
        self._context = context
        self._margins = margins
        self._slices: dict[int, _Slice] = {}
        self._targets: dict[int, _Target] = {}

    def size_e8(self, desk: MarketDesk, bucket: int, units_e8: int) -> int:
        """Return the units of the coin that an order to close contract units is for now."""
        if not desk.rule.is_inverse:
            return units_e8
        return inverse_size_e8(units_e8, self._entry_e8(desk, bucket), desk.state.mark_e8)

    def slice_put_up(self, desk: MarketDesk, bucket: int, size_e8: int) -> None:
        """Take note that a slice of *size_e8* units of the coin is put up at the mark."""
        if desk.rule.is_inverse:
            held = abs(self._margins.position(desk, bucket))
            units = closed_units_e8(size_e8, self.size_e8(desk, bucket, held), held)
            self._slices[bucket] = _Slice(size_e8, units, desk.state.mark_e8)

    def units_of_e8(self, desk: MarketDesk, bucket: int, size_e8: int) -> int:
        """Return the contract units that *size_e8* of the bucket's slice closes, at least one."""
        if not desk.rule.is_inverse:
            return size_e8
        part = self._slices[bucket]
        return max(closed_units_e8(size_e8, part.size_e8, part.units_e8), 1)

    def sizes_e8(self, desk: MarketDesk, bucket: int) -> Ints | None:
        """Return what of each owner can close the bucket's slice; None if that is its units."""
        if not desk.rule.is_inverse:
            return None
        world, market_id = self._context.world, desk.market_id
        units, entries = np.abs(world.ledger.units[market_id]), world.entry_e8[market_id]
        return divmod_exact(units, entries, self._slices[bucket].mark_e8)[0]

    # Executions -----------------------------------------------------------------------------------

    def would_close(self, desk: MarketDesk, bucket: int, quantity_e8: int) -> int:
        """Return the contract units that an execution of the bucket's slice closes, signed."""
        if not desk.rule.is_inverse:
            return quantity_e8
        part = self._slices[bucket]
        units = closed_units_e8(abs(quantity_e8), part.size_e8, part.units_e8)
        return -units if self._margins.position(desk, bucket) > 0 else units

    def closing(self, desk: MarketDesk, bucket: int, quantity_e8: int, price_e8: int) -> int:
        """Take note of an execution that is about to be recorded; return its contract units."""
        if not desk.rule.is_inverse:
            return quantity_e8
        part, size = self._slices[bucket], abs(quantity_e8)
        units = abs(self.would_close(desk, bucket, quantity_e8))
        part.size_e8 -= size
        part.units_e8 -= units
        return self._aim(desk, bucket, units, price_e8)

    def opposed(
        self, desk: MarketDesk, bucket: int, size_e8: int, of_size_e8: int, price_e8: int
    ) -> None:
        """Take note that *size_e8* of what a bucket has is about to be closed for another one's."""
        if desk.rule.is_inverse:
            held = abs(self._margins.position(desk, bucket))
            self._aim(desk, bucket, closed_units_e8(size_e8, of_size_e8, held), price_e8)

    def _aim(self, desk: MarketDesk, bucket: int, units_e8: int, price_e8: int) -> int:
        """Note what closing *units_e8* at the entry price would leave; return the signed units."""
        held, cash = self._margins.position(desk, bucket), self._margins.cash_uusd(bucket)
        closed = -units_e8 if held > 0 else units_e8
        left = cash - taker_cost_uusd(closed, self._entry_e8(desk, bucket))
        # Without a position nothing is left in USD that coins can take or pay.
        self._targets[bucket] = _Target(held + closed, left if held + closed else 0, price_e8)
        return closed

    def settle(self, tranche_seq: int, desk: MarketDesk, bucket: int, cause: int) -> None:
        """Settle an execution of an inverse position in coins, once all of it is recorded."""
        target = self._targets.pop(bucket, None)
        if target is not None:
            self._record(tranche_seq, desk, bucket, target, cause)

    def pay_debt(self, tranche_seq: int, desk: MarketDesk, bucket: int, cause: int) -> None:
        """Have the coins of a bucket pay what it owes once its position is gone, if they can."""
        is_closed = not self._margins.position(desk, bucket)
        if is_closed and self._margins.cash_uusd(bucket) < 0 < self._margins.coins(desk, bucket):
            # At what a coin is worth: who has executed last may have traded at any price.
            target = _Target(0, 0, desk.state.mark_e8)
            self._record(tranche_seq, desk, bucket, target, cause)

    def _record(
        self, tranche_seq: int, desk: MarketDesk, bucket: int, target: _Target, cause: int
    ) -> None:
        settled = decide_coins(
            units_e8=self._margins.position(desk, bucket),
            coins_e8=self._margins.coins(desk, bucket),
            cash_uusd=self._margins.cash_uusd(bucket),
            units_after_e8=target.units_e8,
            cash_after_uusd=target.cash_uusd,
            price_e8=target.price_e8,
        )
        self._context.journal.append(
            CoinsSettled(
                tranche_seq=tranche_seq,
                account_id=bucket,
                market_id=desk.market_id,
                units_e8=settled.units_e8,
                coins_e8=settled.coins_e8,
                price_e8=target.price_e8,
                amount_uusd=settled.amount_uusd,
            ),
            cause,
        )

    def _entry_e8(self, desk: MarketDesk, bucket: int) -> int:
        return int(self._context.world.entry_e8[desk.market_id, bucket])
