"""What limits the payments of the insurance fund, as an audit keeps it."""

from bisect import bisect_right
from collections import Counter

import attrs

from replay.terms import MitigationTerms


@attrs.define
class FundLimit:
    """
    A limit on what the fund pays, and what it has paid under it.

    Attributes:
        number: Its place in the scenario.
        market_id: The market that it is about; None for all.
        max_draw_uusd: The most for one slice.
        max_window_uusd: The most in any span.
        span_us: The span.
        paid_at_us: When it paid.
        paid_uusd: Nothing, and what it had paid after each of these.
        of_slices: What was paid for each tranche.
    """

    number: int
    market_id: int | None
    max_draw_uusd: int
    max_window_uusd: int
    span_us: int
    paid_at_us: list[int] = attrs.Factory(list)
    paid_uusd: list[int] = attrs.Factory(lambda: [0])
    of_slices: Counter[int] = attrs.Factory(Counter)

    def used(self, now_us: int) -> int:
        """Return what was paid in the span that ends now."""
        before = bisect_right(self.paid_at_us, now_us - self.span_us)
        return self.paid_uusd[-1] - self.paid_uusd[before]

    def paid_for(self, tranche_seq: int) -> int:
        """Return what was paid for a slice."""
        return self.of_slices[tranche_seq]

    def pays(self, now_us: int, tranche_seq: int, amount_uusd: int) -> None:
        """Take note of a draw."""
        self.paid_at_us.append(now_us)
        self.paid_uusd.append(self.paid_uusd[-1] + amount_uusd)
        self.of_slices[tranche_seq] += amount_uusd

    def room(self, now_us: int, tranche_seq: int) -> int:
        """Return the most that may be paid now for a slice."""
        left = self.max_draw_uusd - self.paid_for(tranche_seq)
        return max(min(left, self.max_window_uusd - self.used(now_us)), 0)


def fund_limits_of(rows: tuple[MitigationTerms, ...]) -> tuple[FundLimit, ...]:
    """Return the limits of a run on what its fund pays."""
    return tuple(
        FundLimit(
            number,
            row.market_id,
            row.usd("max_draw_usd"),
            row.usd("max_window_usd"),
            row.duration("span"),
        )
        for number, row in enumerate(rows)
        if row.kind == "fund_limits"
    )
