"""What mitigations are asked, and answer, before a slice of a due position is put up."""

from typing import Protocol

import attrs

from liqsim.units import NOTIONAL_DIVISOR, ceil_div


@attrs.frozen
class Ask:
    """
    A slice that is to be put up.

    Attributes:
        now_us: When it is asked.
        liquidation_seq: The trigger.
        bucket_id: The account.
        market_id: The market of the leg.
        tranche_number: Count within the liquidation, from 1.
        at_trigger_e8: Units of the leg at the trigger, without sign.
        wanted_e8: Units of the slice, without sign.
        mark_e8: The mark.
        is_long: Whether the position is long.
    """

    now_us: int
    liquidation_seq: int
    bucket_id: int
    market_id: int
    tranche_number: int
    at_trigger_e8: int
    wanted_e8: int
    mark_e8: int
    is_long: bool

    def value_uusd(self) -> int:
        """Return what the slice is worth at the mark, rounded up."""
        return ceil_div(self.wanted_e8 * self.mark_e8, NOTIONAL_DIVISOR)


@attrs.frozen
class Answer:
    """
    What a mitigation says to an ask, and what it rests on.

    Attributes:
        at_us: Not before this.
        amount_uusd: What the slice may then be worth at the mark; None for any amount.
        used_uusd: What was put up already in the span that *at_us* falls in.
    """

    at_us: int
    amount_uusd: int | None = None
    used_uusd: int | None = None


class Pacer(Protocol):
    """A mitigation that says when a slice may be put up, and how large it may be."""

    def answer(self, ask: Ask, at_us: int) -> Answer:
        """Return what of *ask* may be put up, at *at_us* or later."""
        ...

    def book(self, at_us: int, amount_uusd: int) -> None:
        """Take note that a slice of such a value is, or will be, put up at *at_us*."""
        ...

    def release(self, at_us: int, amount_uusd: int) -> None:
        """Take back what was booked and will not be put up."""
        ...
