"""The parameters of mitigations: one class per kind, all of them rows of `[[mitigations]]`."""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Final

import attrs

from liqsim.scenario.fields import choice, count, duration, flag, ratio, rows, text, usd


@attrs.frozen
class Mitigation:
    """
    What every mitigation has.

    Attributes:
        name: Its name, which differs from that of any other; empty stands for its kind.
        market: The market where it acts; empty for all of them.
        is_on: Whether it is there at all: a row that is off is left out when the scenario is read.
    """

    name: str = text("name", default="")
    market: str = text("market", default="")
    is_on: bool = flag("on", default=True)

    @property
    def label(self) -> str:
        """Its name, if need be its kind."""
        return self.name or MITIGATIONS[type(self)]


@attrs.frozen
class RateLimit(Mitigation):
    """
    No more than so much of due positions is put up per span of time, first come, first served.

    Attributes:
        max_uusd: The most that is put up in any span, at the mark of each slice.
        span_us: The span.
        window: Whether a span may begin at any instant, or when the one before it ends.
        least_uusd: A slice is cut to what is left of a span if that is at least so much; else it
            waits.
    """

    max_uusd: int = usd("max_usd", "0.01", default=Decimal(10_000_000))
    span_us: int = duration("span", "0.001", default="1m")
    window: str = choice("window", "rolling", "fixed", default="rolling")
    least_uusd: int = usd("least_usd", default=Decimal(10_000))


@attrs.frozen
class FundLimits(Mitigation):
    """
    The insurance fund pays no more than so much for a slice, nor in any span of time.

    What is beyond goes to the next layer of the waterfall. Only draws for positions in the market
    count, and only they are limited.

    Attributes:
        max_draw_uusd: The most that it pays for one slice, and for the hole which that leaves.
        max_window_uusd: The most that it pays in any span.
        span_us: The span, which may begin at any instant.
    """

    max_draw_uusd: int = usd("max_draw_usd", default=Decimal(100_000))
    max_window_uusd: int = usd("max_window_usd", default=Decimal(1_000_000))
    span_us: int = duration("span", "0.001", default="1h")


@attrs.frozen
class Staker:
    """
    Somebody who answers for the venue with money of its own.

    Attributes:
        name: Its name, as an owner.
        purse_uusd: What it has staked at the start.
    """

    name: str = text("name")
    purse_uusd: int = usd("purse_usd")


@attrs.frozen
class Staking(Mitigation):
    """
    Stake that is slashed for a hole which the fund cannot fill, before winners and others pay.

    Attributes:
        stakers: Who has staked.
        max_share_e6: The most that one hole takes of a stake.
    """

    stakers: tuple[Staker, ...] = rows(
        "stakers", default=[{"name": "stakers", "purse_usd": 1_000_000}]
    )
    max_share_e6: int = ratio("max_share", "0", "1", default=Decimal("0.3"))


@attrs.frozen
class Backstop(Mitigation):
    """
    A vault that takes over what no book and no keeper takes of a slice, before others must.

    It pays in full, out of its own capital, and is an owner by the mitigation's name.

    Attributes:
        purse_uusd: Its capital.
        discount_e6: Discount to the mark at which it takes over.
        position_limit_uusd: The most that its inventory of a market may be worth at the mark after
            a takeover.
        resale_delay_us: From taking over to selling on.
        resale_parts: Sales in which it sells what it has of a market.
        resale_spacing_us: Time between sales; 0 stands for that from taking over to selling on.
    """

    purse_uusd: int = usd("purse_usd", default=Decimal(10_000_000))
    discount_e6: int = ratio("discount", "0", "0.5", default=0)
    position_limit_uusd: int = usd("position_limit_usd", default=Decimal(999_999_999_999))
    resale_delay_us: int = duration("resale_delay", "0.001", default="1h")
    resale_parts: int = count("resale_parts", 1, 1_000_000, default=10)
    resale_spacing_us: int = duration("resale_spacing", default="10m")


MITIGATIONS: Final[dict[type[Mitigation], str]] = {
    RateLimit: "rate_limit",
    FundLimits: "fund_limits",
    Staking: "staking",
    Backstop: "backstop",
}
"""The word after `kind =` that picks a class."""


@attrs.frozen
class Purse:
    """
    An owner that a mitigation brings in.

    Attributes:
        mitigation_id: Place of the mitigation in the scenario.
        name: Its name.
        kind: What sort of owner it is.
        purse_uusd: What it has at the start.
    """

    mitigation_id: int
    name: str
    kind: str
    purse_uusd: int


def purses_of(mitigations: Iterable[Mitigation]) -> Iterator[Purse]:
    """Return the owners that *mitigations* bring in, in order; one without money is none."""
    return (purse for purse in _named(mitigations) if purse.purse_uusd)


def _named(mitigations: Iterable[Mitigation]) -> Iterator[Purse]:
    for number, spec in enumerate(mitigations):
        if isinstance(spec, Staking):
            for staker in spec.stakers:
                yield Purse(number, staker.name, "staker", staker.purse_uusd)
        elif isinstance(spec, Backstop):
            yield Purse(number, spec.label, "vault", spec.purse_uusd)
