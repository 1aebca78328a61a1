"""Accounts that trade to a multiple of their equity at every rebalancing."""

import math
from collections.abc import Sequence

from liqsim.events import TradeReason
from liqsim.mechanics.traders import rebalancing_e8, target_leverage_e6
from liqsim.mechanics.volatility import Volatility
from liqsim.processes.context import Context, MarketDesk, Priority
from liqsim.processes.orders import Orders
from liqsim.scenario.model import Rebalance


class Rebalancing:
    """
    Rebalances the accounts of one cohort, by number, once per period.

    Args:
        context: The run.
        orders: Sends their orders.
        desk: Their market.
        spec: What they trade to.
        buckets: The accounts.
        slippage_e6: How far from the market price they trade.
    """

    def __init__(
        self,
        context: Context,
        orders: Orders,
        desk: MarketDesk,
        spec: Rebalance,
        buckets: Sequence[int],
        *,
        slippage_e6: int,
    ) -> None:
        self._context = context
        self._orders = orders
        self._desk = desk
        self._spec = spec
        self._buckets = buckets
        self._slippage_e6 = slippage_e6
        self._volatility = Volatility(spec.period_us, spec.half_life_periods)

    def start(self) -> None:
        """Plan the first rebalancing."""
        self._context.call(self._spec.period_us, Priority.TRADER, self._rebalance)

    def _rebalance(self) -> None:
        self._context.call(self._spec.period_us, Priority.TRADER, self._rebalance)
        state = self._desk.state
        if not state.mark_e8:
            return
        self._volatility.saw(math.log(state.mark_e8))
        leverage = target_leverage_e6(self._spec, self._volatility.annual)
        for bucket in self._buckets:
            account = self._orders.account(bucket, self._desk)
            order = rebalancing_e8(account, leverage)
            if order and not self._orders.is_in_liquidation(bucket):
                self._orders.trade(
                    bucket,
                    self._desk,
                    order,
                    slippage_e6=self._slippage_e6,
                    reason=TradeReason.REBALANCED,
                    cause=state.mark_seq,
                )
