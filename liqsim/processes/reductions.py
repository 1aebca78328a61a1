"""Steps ahead of a cascade: a venue has small parts traded away of what would be due next."""

import attrs

from liqsim.events import NO_CAUSE, Action, DecisionRecorded, PositionReduced
from liqsim.mechanics.mitigations.predicting import Observation, risk_e6, step_e8
from liqsim.processes.context import Context, MarketDesk, Priority, Process
from liqsim.processes.orders import Orders, Quote
from liqsim.processes.predicting import Observatory
from liqsim.processes.venue import Venue
from liqsim.scenario.mitigations import Predictive
from liqsim.units import NOTIONAL_DIVISOR, taker_cost_uusd


class Reductions:
    """
    Reduces positions in one market, once per period, while a cascade is likely.

    Args:
        context: The run.
        desk: The market.
        venue: Has the accounts, and watches them anew.
        number: The mitigation.
        spec: Its parameters.
    """

    def __init__(
        self, context: Context, desk: MarketDesk, venue: Venue, number: int, spec: Predictive
    ) -> None:
        self._context = context
        self._desk = desk
        self._venue = venue
        self._number = number
        self._spec = spec
        self._orders = Orders(context, venue)
        self._observatory = Observatory(context, desk, venue.margins, spec.frozen_model)
        # Units without sign of each account before its first step, and closed since.
        self._first_e8: dict[int, int] = {}
        self._closed_e8: dict[int, int] = {}

    def start(self) -> None:
        """Look once per period; at one instant the first mitigation goes first, by market."""
        self._context.start(self._looks())

    def _looks(self) -> Process:
        rank = self._number * len(self._context.markets) + self._desk.market_id
        while True:
            yield self._context.wake(self._spec.period_us, Priority.REDUCTIONS, rank=rank)
            seen = self._observatory.look()
            if seen is not None:
                risk = risk_e6(self._spec.frozen_model, seen)
                if risk >= self._spec.above_e6:
                    self._act(seen, risk)

    def _act(self, seen: Observation, risk: int) -> None:
        """Reduce who would be due next, the weakest first, for as long as the look may."""
        if self._venue.holds_back(self._desk):
            return
        margins, mark = self._venue.margins, self._desk.state.mark_e8
        _, near = margins.ladder(self._desk, self._spec.frozen_model.distance_e6)
        left, cause = self._spec.most_uusd * NOTIONAL_DIVISOR // mark, NO_CAUSE
        for bucket in margins.weakest_first(near):
            if self._orders.is_in_liquidation(bucket) or self._venue.is_stale(bucket):
                continue
            order = self._order_e8(bucket, left)
            quote = self._orders.quote(self._desk, order, self._spec.slippage_e6) if order else None
            if quote is None or self._would_be_due(bucket, quote):
                continue
            if cause == NO_CAUSE:
                cause = self._decide(seen, risk)
            self._reduce(bucket, order, quote, cause)
            left -= abs(quote.fill.quantity_e8)

    def _order_e8(self, bucket: int, left_e8: int) -> int:
        held = self._venue.margins.position(self._desk, bucket)
        first = self._first_e8.get(bucket, abs(held))
        closed = self._closed_e8.get(bucket, 0)
        return step_e8(self._spec, held, first, closed, left_e8)

    def _would_be_due(self, bucket: int, quote: Quote) -> bool:
        fill, margins = quote.fill, self._venue.margins
        paid = taker_cost_uusd(fill.quantity_e8, fill.price_e8) + quote.fee_uusd
        return margins.is_due(margins.margin_after(bucket, self._desk, fill.quantity_e8, paid))

    def _decide(self, seen: Observation, risk: int) -> int:
        decision = DecisionRecorded(
            mitigation_id=self._number,
            action=Action.REDUCED,
            market_id=self._desk.market_id,
            risk_e6=risk,
            **attrs.asdict(seen),
        )
        return self._context.journal.append(decision)

    def _reduce(self, bucket: int, order_e8: int, quote: Quote, cause: int) -> None:
        fill, desk = quote.fill, self._desk
        self._first_e8.setdefault(bucket, abs(self._venue.margins.position(desk, bucket)))
        self._closed_e8[bucket] = self._closed_e8.get(bucket, 0) + abs(fill.quantity_e8)
        event = PositionReduced(
            bucket_id=bucket,
            market_id=desk.market_id,
            ordered_e8=order_e8,
            quantity_e8=fill.quantity_e8,
            price_e8=fill.price_e8,
            cost_uusd=taker_cost_uusd(fill.quantity_e8, fill.price_e8),
            fee_uusd=quote.fee_uusd,
            mark_price_e8=desk.state.mark_e8,
            reference_price_e8=quote.reference_e8,
            arrival_price_e8=quote.arrival_e8,
            market_price_e8=fill.market_price_e8,
        )
        self._context.journal.append(event, cause)
        self._context.book_changed(desk.market_id)
        self._venue.balances_changed(bucket)
