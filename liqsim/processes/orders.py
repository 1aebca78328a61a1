"""Orders that accounts send of their own will, filled by the book and settled with the venue."""

import attrs

from liqsim.events import FundsDeposited, FundsWithdrawn, TradeFilled, TradeReason
from liqsim.events.mitigation import NOT_OBSERVED
from liqsim.mechanics.liquidity import Fill
from liqsim.mechanics.margin import initial_margin_uusd
from liqsim.mechanics.traders import (
    Account,
    collateral_uusd,
    limit_e8,
    taker_fee_uusd,
    units_worth_e8,
)
from liqsim.processes.context import Context, MarketDesk
from liqsim.processes.venue import Venue
from liqsim.units import taker_cost_uusd


@attrs.frozen
class Quote:
    """What an order would get: the fill, its fee, and the prices, reference and market, before."""

    fill: Fill
    fee_uusd: int
    reference_e8: int
    arrival_e8: int


class Orders:
    """
    Sends orders; what one gets within the slippage is traded, the rest is not.

    The venue refuses a fill that would leave the account due at the mark, or in debt, or a larger
    position with less than initial margin.

    Args:
        context: The run.
        venue: Watches the accounts anew.
    """

    def __init__(self, context: Context, venue: Venue) -> None:
        self._context = context
        self._venue = venue
        self._ledger = context.world.ledger
        self._fee_e6 = context.scenario.venue.fees.taker_e6
        self._due_at_zero = context.scenario.venue.due_at_zero

    def is_in_liquidation(self, bucket: int) -> bool:
        """Return whether the venue has the position of *bucket*, so that it cannot act."""
        return bool(self._context.world.liquidation_seq[bucket] >= 0)

    def account(self, bucket: int, desk: MarketDesk) -> Account:
        """Return an isolated account as it stands."""
        return Account(
            cash_uusd=self._ledger.cash_view[bucket],
            quantity_e8=self._ledger.unit_views[desk.market_id][bucket],
            entry_e8=int(self._context.world.entry_e8[desk.market_id, bucket]),
            rule=desk.rule,
            mark_e8=desk.state.mark_e8,
            due_at_zero=self._due_at_zero,
        )

    def top_up(self, bucket: int, amount_uusd: int, cause: int) -> None:
        """Add collateral from outside."""
        self._context.journal.append(FundsDeposited(bucket, amount_uusd), cause)
        self._venue.balances_changed(bucket)

    def trade(
        self,
        bucket: int,
        desk: MarketDesk,
        order_e8: int,
        *,
        slippage_e6: int,
        reason: TradeReason,
        cause: int,
        closeness_e6: int = NOT_OBSERVED,
    ) -> None:
        """Trade, and take out what is left if that closes the position."""
        quote = self.quote(desk, order_e8, slippage_e6)
        if quote is None:
            return
        fill, fee = quote.fill, quote.fee_uusd
        before = self.account(bucket, desk)
        after = before.traded(fill.quantity_e8, fill.price_e8, fee)
        is_larger = abs(after.quantity_e8) > abs(before.quantity_e8)
        if is_larger and self._is_halted(desk):
            return
        if after.is_allowed() and (not is_larger or after.has_initial_margin()):
            seq = self._record(
                bucket, desk, order_e8, quote, after, reason, cause, closeness_e6=closeness_e6
            )
            if not after.quantity_e8 and after.cash_uusd:
                self._context.journal.append(FundsWithdrawn(bucket, after.cash_uusd), seq)
            self._venue.balances_changed(bucket)

    def open(
        self,
        bucket: int,
        desk: MarketDesk,
        value_uusd: int,
        *,
        is_long: bool,
        leverage: float,
        slippage_e6: int,
        reason: TradeReason,
        cause: int,
    ) -> bool:
        """
        Open a position worth *value_uusd* at the market price, on new collateral for it.

        Return whether it is open: not if nothing is filled, or the venue refuses the fill.
        """
        if self._is_halted(desk):
            return False
        size = units_worth_e8(value_uusd, desk.market_price_e8(self._context.now_us))
        order = size if is_long else -size
        quote = self.quote(desk, order, slippage_e6) if order else None
        if quote is None:
            return False
        fill, fee = quote.fill, quote.fee_uusd
        cost = taker_cost_uusd(fill.quantity_e8, fill.price_e8)
        asked = initial_margin_uusd(desk.rule, abs(fill.quantity_e8), fill.price_e8)
        deposit = max(collateral_uusd(abs(cost), leverage), asked) + fee
        before = self.account(bucket, desk)
        before = attrs.evolve(before, cash_uusd=before.cash_uusd + deposit)
        after = before.traded(fill.quantity_e8, fill.price_e8, fee)
        if not desk.state.mark_e8 or not after.is_allowed():
            return False
        paid = self._context.journal.append(FundsDeposited(bucket, deposit), cause)
        self._record(bucket, desk, order, quote, after, reason, paid)
        self._venue.balances_changed(bucket)
        return True

    def _is_halted(self, desk: MarketDesk) -> bool:
        """Return whether the venue lets nobody take on risk in a market now."""
        return self._context.now_us < desk.state.risk_halted_until_us

    def quote(self, desk: MarketDesk, order_e8: int, slippage_e6: int) -> Quote | None:
        """Return what an order would get now within a slippage; None if nothing."""
        now = self._context.now_us
        arrival = desk.market_price_e8(now)
        fill = desk.quote(now, order_e8, limit_e8(arrival, order_e8, slippage_e6))
        if fill is None:
            return None
        fee = taker_fee_uusd(self._fee_e6, fill.quantity_e8, fill.price_e8)
        return Quote(fill, fee, desk.path.at(now), arrival)

    def _record(
        self,
        bucket: int,
        desk: MarketDesk,
        order_e8: int,
        quote: Quote,
        after: Account,
        reason: TradeReason,
        cause: int,
        *,
        closeness_e6: int = NOT_OBSERVED,
    ) -> int:
        fill = quote.fill
        event = TradeFilled(
            bucket_id=bucket,
            market_id=desk.market_id,
            reason=reason,
            ordered_e8=order_e8,
            quantity_e8=fill.quantity_e8,
            price_e8=fill.price_e8,
            cost_uusd=taker_cost_uusd(fill.quantity_e8, fill.price_e8),
            fee_uusd=quote.fee_uusd,
            entry_price_e8=after.entry_e8,
            mark_price_e8=desk.state.mark_e8,
            reference_price_e8=quote.reference_e8,
            market_price_e8=fill.market_price_e8,
            closeness_e6=closeness_e6,
        )
        seq = self._context.journal.append(event, cause)
        self._context.book_changed(desk.market_id)
        return seq
