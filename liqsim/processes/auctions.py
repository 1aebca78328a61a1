"""Batch auctions: due slices wait for the next one of their market."""

from collections.abc import Callable

import simpy

from liqsim.mechanics.mitigations.batch_auction import next_auction_us
from liqsim.mechanics.mitigations.pacing import Ask
from liqsim.processes.context import Context, MarketDesk, Priority
from liqsim.processes.holds import Holds
from liqsim.scenario.mitigations import BatchAuction


class Auctions:
    """
    Who waits for the next auction of which market.

    Args:
        context: The run.
        hold: Holds the auction of a market, which is due.
    """

    def __init__(self, context: Context, hold: Callable[[MarketDesk], None]) -> None:
        self._context = context
        self._hold = hold
        self._rules = {
            market_id: (number, spec)
            for number, spec in enumerate(context.scenario.mitigations)
            for market_id, market in enumerate(context.scenario.markets)
            if isinstance(spec, BatchAuction)
            and spec.period_us
            and spec.market in ("", market.name)
        }
        self._holds = Holds(context, self._rules)
        self._called: set[tuple[int, int]] = set()

    def has_rule(self, desk: MarketDesk) -> bool:
        """Return whether slices of a market are auctioned."""
        return desk.market_id in self._rules

    def rule_of(self, desk: MarketDesk) -> tuple[int, BatchAuction]:
        """Return the mitigation that auctions slices of a market, its number first."""
        return self._rules[desk.market_id]

    def wait(self, ask: Ask, cause: int) -> simpy.Event | None:
        """Have a slice wait, and return what fires after its auction; None if that is over."""
        context, (number, spec) = self._context, self._rules[ask.market_id]
        hold = self._holds.asked(ask, next_auction_us(ask.now_us, spec.period_us))
        freed = self._holds.hold(ask, number, cause)
        auction = ask.market_id, hold.until_us
        if freed is not None and auction not in self._called:
            self._called.add(auction)
            wait, desk = hold.until_us - ask.now_us, context.markets[ask.market_id]
            context.call(wait, Priority.AUCTION, self._due, desk, rank=ask.market_id)
        return freed

    def _due(self, desk: MarketDesk) -> None:
        self._called.discard((desk.market_id, self._context.now_us))
        held = [self._holds.of(desk, bucket) for bucket in self.waiting(desk)]
        self._hold(desk)
        for hold in held:
            hold.free(hold.freed)

    def waiting(self, desk: MarketDesk) -> list[int]:
        """Return the buckets whose slices wait for an auction, the earliest first."""
        return self._holds.held(desk.market_id)

    def since_us(self, desk: MarketDesk, bucket: int) -> int:
        """Return when the slice of a leg could first have been put up."""
        return self._holds.of(desk, bucket).since_us

    def forget(self, bucket: int) -> None:
        """Take note that the slice of a bucket is no more: the next waits for an auction anew."""
        self._holds.forget(bucket)
