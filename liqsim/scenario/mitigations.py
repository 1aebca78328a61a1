"""The parameters of mitigations: one class per kind, all of them rows of `[[mitigations]]`."""

from decimal import Decimal
from typing import Final

import attrs

from liqsim.scenario.fields import choice, count, duration, flag, ratio, text, usd


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
class Slices(Mitigation):
    """
    Due positions are put up in slices of a size that a law gives.

    Attributes:
        law: `fixed`: worth `amount_usd` at the mark; `depth_share`: a share of what the venue's own
            book holds within `distance` of the market price, on the side that the slice hits;
            `participation`: what liquidations may still put up of the market if they are to have
            no more than a share of what is traded in `window`; `time_weighted`: the position at
            its trigger in `parts` equal slices; `obizhaeva_wang`: in `parts` slices of which the
            first and the last are larger, as is best in a book that refills.
        interval_us: Time from one slice of a leg to the next of the same liquidation.
        least_uusd: No slice is cut to less.
        amount_uusd: For `fixed`.
        share_e6: For `depth_share` and `participation`.
        distance_e6: For `depth_share`: share of the market price.
        window_us: For `participation`.
        background_uusd: For `participation`: what is traded per hour beside what the book sees.
        parts: For `time_weighted` and `obizhaeva_wang`.
        half_life_us: For `obizhaeva_wang`: the venue's guess of the time in which half of what
            was taken from its book comes back.
    """

    law: str = choice(
        "law",
        "fixed",
        "depth_share",
        "participation",
        "time_weighted",
        "obizhaeva_wang",
        default="fixed",
    )
    interval_us: int = duration("interval", default="5s")
    least_uusd: int = usd("least_usd", default=Decimal(10_000))
    amount_uusd: int = usd("amount_usd", "0.01", default=Decimal(100_000))
    share_e6: int = ratio("share", "0", "1", low_open=True, default=Decimal("0.1"))
    distance_e6: int = ratio("distance", "0", "1", low_open=True, default=Decimal("0.01"))
    window_us: int = duration("window", "0.001", default="5m")
    background_uusd: int = usd("background_usd_per_hour", default=Decimal(100_000_000))
    parts: int = count("parts", 2, 100_000, default=20)
    half_life_us: int = duration("half_life", "0.001", default="1m")


@attrs.frozen
class Delays(Mitigation):
    """
    A slice waits the longer for the one before it, the more was liquidated lately.

    The time counts from the end of the account's last slice, or from its trigger.

    Attributes:
        window_us: Over which forced flow of the market counts.
        per_million_us: Time per million USD of forced flow.
        max_us: The longest time.
    """

    window_us: int = duration("window", "0.001", default="5m")
    per_million_us: int = duration("per_million", default="1s")
    max_us: int = duration("max", default="1m")


@attrs.frozen
class SlippageCap(Mitigation):
    """
    A slice is cut so that the venue's own book would take it without more than so much slippage.

    Attributes:
        max_slippage_e6: Largest distance of the average price that the book would give from the
            market price, as a share of that.
        least_uusd: A slice is cut if that leaves at least so much; else it waits.
        retry_us: How long.
    """

    max_slippage_e6: int = ratio("max_slippage", "0", "10", default=Decimal("0.005"))
    least_uusd: int = usd("least_usd", default=Decimal(10_000))
    retry_us: int = duration("retry", "0.001", default="5s")


MITIGATIONS: Final[dict[type[Mitigation], str]] = {
    RateLimit: "rate_limit",
    Slices: "slices",
    Delays: "delays",
    SlippageCap: "slippage_cap",
}
"""The word after `kind =` that picks a class."""
