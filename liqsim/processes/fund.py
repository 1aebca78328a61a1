"""The insurance fund as the venue draws on it: what it can pay now, and which limit says so."""

from collections.abc import Callable

import attrs

from liqsim.events import Action, DecisionRecorded, FundDrawn, Owner
from liqsim.mechanics.mitigations.fund_limits import payable_uusd
from liqsim.mechanics.mitigations.windows import Total
from liqsim.processes.context import Context
from liqsim.scenario.mitigations import FundLimits
from liqsim.units import format_usd


@attrs.frozen
class _Limit:
    """A limit, its number, the market where it acts, or None, and what was drawn in its span."""

    mitigation_id: int
    market_id: int | None
    spec: FundLimits
    drawn: Total

    def payable_uusd(self, at_us: int, paid_uusd: int) -> int:
        return payable_uusd(self.spec, self.drawn.value(at_us), paid_uusd)


class Fund:
    """
    What the fund can pay, and what it pays.

    Args:
        context: The run.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        numbers = {market.name: n for n, market in enumerate(context.scenario.markets)}
        self._limits = [
            _Limit(number, numbers.get(spec.market), spec, Total(spec.span_us))
            for number, spec in enumerate(context.scenario.mitigations)
            if isinstance(spec, FundLimits)
        ]
        self._paid_uusd: dict[int, int] = {}

    @property
    def balance_uusd(self) -> int:
        """What it holds."""
        return self._context.world.ledger.cash_view[Owner.FUND]

    def slice_put_up(self, bucket: int) -> None:
        """Take note that a new slice of *bucket* is put up."""
        self._paid_uusd.pop(bucket, None)

    def payable_uusd(self, market_id: int, bucket: int) -> int:
        """Return what it can pay now for a position: its balance, within its limits."""
        now, paid = self._context.now_us, self._paid_uusd.get(bucket, 0)
        return min([self.balance_uusd, *(c.payable_uusd(now, paid) for c in self._of(market_id))])

    def draw(
        self, tranche_seq: int, bucket: int, market_id: int, shortfall_uusd: int, cause: int
    ) -> int:
        """Have it pay what it can of a shortfall, and record what kept it; return how much."""
        if not shortfall_uusd:
            return 0
        wanted = min(shortfall_uusd, self.balance_uusd)
        amount = min(shortfall_uusd, self.payable_uusd(market_id, bucket))
        self._record(market_id, bucket, wanted, cause, lambda room: room < wanted)
        if amount:
            left = self.balance_uusd - amount
            if not left:
                self._context.log.info("fund_exhausted", bucket_id=bucket)
            elif amount < wanted:
                self._context.log.info("fund_capped", bucket_id=bucket, usd=format_usd(amount))
            seq = self._context.journal.append(FundDrawn(tranche_seq, bucket, amount, left), cause)
            self._paid_uusd[bucket] = self._paid_uusd.get(bucket, 0) + amount
            for limit in self._of(market_id):
                limit.drawn.saw(self._context.now_us, amount)
            self._context.fund_drawn(seq)
        return amount

    def record_limits(
        self, market_id: int, bucket: int, limit_of: Callable[[int], int], cause: int
    ) -> None:
        """Record which limits move the limit price of an order, *limit_of* what can be paid."""
        if self._limits:
            balance = self.balance_uusd
            free = limit_of(balance)
            self._record(
                market_id,
                bucket,
                balance,
                cause,
                lambda room: room < balance and limit_of(room) != free,
            )

    def _of(self, market_id: int) -> list[_Limit]:
        return [limit for limit in self._limits if limit.market_id in (None, market_id)]

    def _record(
        self,
        market_id: int,
        bucket: int,
        wanted_uusd: int,
        cause: int,
        makes_a_difference: Callable[[int], bool],
    ) -> None:
        now, paid = self._context.now_us, self._paid_uusd.get(bucket, 0)
        for limit in self._of(market_id):
            room = limit.payable_uusd(now, paid)
            if makes_a_difference(room):
                decision = DecisionRecorded(
                    mitigation_id=limit.mitigation_id,
                    action=Action.CAPPED,
                    market_id=market_id,
                    bucket_id=bucket,
                    used_uusd=limit.drawn.value(now),
                    amount_uusd=room,
                    wanted_uusd=wanted_uusd,
                    paid_uusd=paid,
                )
                self._context.journal.append(decision, cause)
