"""What a venue observes of a market that a model of cascades is asked about."""

from liqsim.events import InventorySold, OrderFilled, PositionReduced, TradeFilled
from liqsim.mechanics.mitigations.predicting import Observation, imbalance_e6
from liqsim.mechanics.mitigations.windows import Total
from liqsim.processes.context import Context, MarketDesk
from liqsim.processes.interest import open_interest_uusd
from liqsim.processes.margins import Margins
from liqsim.processes.observing import Observing
from liqsim.scenario.trained import TrainedModel
from liqsim.units import BOUND, NOTIONAL_DIVISOR

_MOST_UUSD = BOUND - 1


class Observatory:
    """
    Looks at one market.

    Args:
        context: The run.
        desk: The market.
        margins: Those of the accounts.
        model: Says how far flows and volatility look back, and how far depth and ladder reach.
    """

    def __init__(
        self,
        context: Context,
        desk: MarketDesk,
        margins: Margins,
        model: TrainedModel,
    ) -> None:
        self._context = context
        self._desk = desk
        self._margins = margins
        self._distance_e6, window_us = model.distance_e6, model.window_us
        self._signed, self._gross = Total(window_us), Total(window_us)
        reader = Observing(context).reader
        self._forced = reader("flow", desk.market_id, window_us)
        self._volatility = reader("volatility", desk.market_id, window_us)
        for kind in (OrderFilled, TradeFilled, InventorySold, PositionReduced):
            context.journal.listen(kind, self._note_trade)

    def look(self) -> Observation | None:
        """Return what there is to see now; None before the first mark."""
        now, mark = self._context.now_us, self._desk.state.mark_e8
        open_interest = open_interest_uusd(self._context.world, self._desk)
        if open_interest is None:
            return None
        depth_e8 = min(
            self._desk.depth_e8(now, self._distance_e6, is_sale=is_sale)
            for is_sale in (True, False)
        )
        ladder_e16, _ = self._margins.ladder(self._desk, self._distance_e6)
        return Observation(
            imbalance_e6=imbalance_e6(self._signed.value(now), self._gross.value(now)),
            forced_uusd=min(self._forced(), _MOST_UUSD),
            depth_uusd=min(depth_e8 * mark // NOTIONAL_DIVISOR, _MOST_UUSD),
            ladder_uusd=min(ladder_e16 // NOTIONAL_DIVISOR, _MOST_UUSD),
            open_interest_uusd=open_interest,
            volatility_e6=self._volatility(),
        )

    def _note_trade(
        self,
        event: OrderFilled | TradeFilled | InventorySold | PositionReduced,
        _seq: int,
        at_us: int,
    ) -> None:
        if event.market_id == self._desk.market_id:
            self._signed.saw(at_us, event.cost_uusd)
            self._gross.saw(at_us, abs(event.cost_uusd))
