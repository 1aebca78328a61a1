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

    def unit_uusd(self) -> int:
        """Return what the least part of a unit, 1e-8, is worth at the mark, rounded up."""
        return ceil_div(self.mark_e8, NOTIONAL_DIVISOR)

    def is_worth(self, size_e8: int, least_uusd: int) -> bool:
        """Return whether *size_e8* > 0 units are worth at least so much at the mark."""
        return size_e8 > 0 and size_e8 * self.mark_e8 >= least_uusd * NOTIONAL_DIVISOR


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


@attrs.frozen
class Verdict:
    """
    What a mitigation that judges the instant says to an ask, and what it rests on.

    Attributes:
        until_us: Not before this; in the past where it may go now.
        size_e8: Units that it may have; None for any.
        depth_e8: What the venue's own book would take.
        forced_uusd: Forced flow over the window.
        traded_uusd: What was traded over it.
    """

    until_us: int = 0
    size_e8: int | None = None
    depth_e8: int | None = None
    forced_uusd: int | None = None
    traded_uusd: int | None = None


class Judge(Protocol):
    """
    A mitigation that says whether a slice may be put up at this instant, and how large.

    What it looks at may be another thing later, so that it is asked again then.
    """

    def judge(self, ask: Ask) -> Verdict:
        """Return what of *ask* may be put up now, or when to ask again."""
        ...


class Sight(Protocol):
    """What a mitigation of a third party sees when it is asked: what the venue itself can see."""

    def depth_e8(self, distance_e6: int) -> int:
        """Return the units that the book holds within a share of the market price, on that side."""
        ...

    def forced_uusd(self, window_us: int) -> int:
        """Return what liquidations put up in the market within the window and sold."""
        ...

    def traded_uusd(self, window_us: int) -> int:
        """Return what was traded in the market's book within the window."""
        ...

    def since_us(self) -> int:
        """Return when the account's last slice ended, or when it was triggered."""
        ...


class OwnJudge(Protocol):
    """The parameters of a third party's mitigation, which judge by themselves."""

    def judge(self, ask: Ask, sight: Sight) -> Verdict:
        """Return what of *ask* may be put up now, or when to ask again."""
        ...


class Pacer(Protocol):
    """
    A mitigation that says when a slice may be put up, and how large it may be then.

    It books ahead: what it has once granted holds at its own instant.
    """

    def answer(self, ask: Ask, at_us: int) -> Answer:
        """Return what of *ask* may be put up, at *at_us* or later."""
        ...

    def book(self, at_us: int, amount_uusd: int) -> None:
        """Take note that a slice of such a value is, or will be, put up at *at_us*."""
        ...

    def release(self, at_us: int, amount_uusd: int) -> None:
        """Take back what was booked and will not be put up."""
        ...
