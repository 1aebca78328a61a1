"""Arrivals: new accounts that open a position of their own will."""

from collections.abc import Callable
from functools import partial

from liqsim.events import NO_CAUSE, TradeReason
from liqsim.mechanics.arrivals import (
    Highs,
    Reserved,
    gap_us,
    highest_per_hour,
    intensity_per_hour,
)
from liqsim.mechanics.margin import initial_margin_uusd
from liqsim.mechanics.traders import is_inside, leverage_of, share_of_uusd, units_worth_e8
from liqsim.processes.context import Context, Priority
from liqsim.processes.orders import Orders
from liqsim.rng import Stream
from liqsim.scenario.model import Arrivals as Law
from liqsim.units import RATIO_SCALE


class Arrivals:
    """
    Has new accounts of one cohort arrive.

    Candidates come at instants that nothing in the run moves, and one opens an account if its draw
    is below the intensity of that instant (thinning), so that variants of a scenario face the same
    candidates, and a higher intensity admits those of a lower one.

    Args:
        context: The run.
        orders: Sends their orders.
        reserved: The owners that they become, one after another.
        law: How they arrive.
        slippage_e6: How far from the market price they trade.
        value_uusd: Returns what the position of an account of the start was worth, by its place.
        admit: Called with (owner, number of the candidate) once it has opened its position.
    """

    def __init__(
        self,
        context: Context,
        orders: Orders,
        reserved: Reserved,
        law: Law,
        *,
        slippage_e6: int,
        value_uusd: Callable[[int], int],
        admit: Callable[[int, int], None],
    ) -> None:
        self._context = context
        self._orders = orders
        self._cohort, self._law, self._slippage_e6 = reserved.cohort, law, slippage_e6
        self._desk = context.markets[reserved.market_id]
        self._value_uusd = value_uusd
        self._admit = admit
        self._free = list(reversed(reserved.buckets))
        self._candidates = 0
        self._highs = Highs(law.dip_window_us)
        stream = partial(Stream, context.scenario.seed, f"traders.{self._cohort.name}")
        self._gaps, self._admissions, self._sides, self._sizes, self._leverages = (
            stream(f"arrival_{name}") for name in ("gap", "admission", "side", "size", "leverage")
        )

    def start(self) -> None:
        """Plan the first candidate."""
        self._plan()

    def saw_mark(self) -> None:
        """Take note that the market has a new mark."""
        self._highs.saw(self._context.now_us, self._desk.state.mark_e8)

    def _plan(self) -> None:
        """Plan the next candidate that any intensity could admit: most wake nobody."""
        law, now, wait = self._law, self._context.now_us, 0
        most = highest_per_hour(law)
        while True:
            wait += gap_us(law.max_per_hour, self._gaps.at(self._candidates, 0))
            if now + wait >= self._context.scenario.end_us:
                return
            is_on = is_inside(law.windows, now + wait)
            if is_on and self._admissions.at(self._candidates, 0) * law.max_per_hour < most:
                break
            self._candidates += 1
        self._context.call(wait, Priority.TRADER, self._come)

    def _come(self) -> None:
        number, self._candidates = self._candidates, self._candidates + 1
        if self._desk.state.mark_e8:
            self._consider(number)
        if self._free:
            self._plan()
        else:
            self._context.log.info("no_more_arrivals", cohort=self._cohort.name)

    def _consider(self, number: int) -> None:
        cohort, law, desk, mark = self._cohort, self._law, self._desk, self._desk.state.mark_e8
        share_e6 = cohort.long_share_e6 if law.long_share_e6 is None else law.long_share_e6
        is_long = self._sides.at(number, 0) * RATIO_SCALE < share_e6
        place = int(self._sizes.at(number, 0) * cohort.accounts)
        value = share_of_uusd(self._value_uusd(place), law.size_e6)
        if not value:
            return
        asked = initial_margin_uusd(desk.rule, units_worth_e8(value, mark), mark)
        rate = intensity_per_hour(
            law,
            is_long=is_long,
            fall=self._highs.fall(self._context.now_us),
            margin_rate=asked / value,
            fee_e6=self._context.scenario.venue.fees.taker_e6,
        )
        if self._admissions.at(number, 0) * law.max_per_hour >= rate:
            return
        has_opened = self._orders.open(
            self._free[-1],
            desk,
            value,
            is_long=is_long,
            leverage=leverage_of(cohort.leverage, self._leverages.normal_at(number, 0)),
            slippage_e6=self._slippage_e6,
            reason=TradeReason.ARRIVED,
            cause=NO_CAUSE,
        )
        if has_opened:
            self._admit(self._free.pop(), number)
