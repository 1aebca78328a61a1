"""The parameters of mitigations: one class per kind, all of them rows of `[[mitigations]]`."""

from decimal import Decimal
from typing import Final

import attrs

from liqsim.scenario.fields import choice, duration, flag, text, usd


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


MITIGATIONS: Final[dict[type[Mitigation], str]] = {RateLimit: "rate_limit"}
"""The word after `kind =` that picks a class."""
