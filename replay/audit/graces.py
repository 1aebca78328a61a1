"""Grace periods as an audit keeps them."""

from collections import defaultdict

import attrs

from replay.terms import MitigationTerms


@attrs.frozen
class Grace:
    """
    A grace period.

    Attributes:
        number: Its place in the scenario.
        market_id: The market where it acts; None for all.
        span_us: How long it lasts.
        after_halts: Whether it follows a halt of liquidations.
        after_outages: Whether it follows an outage of the engine.
        after_stale: Whether it follows a time in which the mark was too old.
    """

    number: int
    market_id: int | None
    span_us: int
    after_halts: bool
    after_outages: bool
    after_stale: bool


@attrs.define
class Graces:
    """
    Grace periods and what they follow.

    Attributes:
        of: They, by their place in the scenario.
        marked_at_us: When the last mark has landed, by market.
        stale_us: When the mark was last no longer too old, by market.
        told: (grace, bucket, until) of every decision.
    """

    of: dict[int, Grace] = attrs.Factory(dict)
    marked_at_us: dict[int, int] = attrs.Factory(dict)
    stale_us: defaultdict[int, int] = attrs.Factory(lambda: defaultdict(int))
    told: set[tuple[int, int, int]] = attrs.Factory(set)


def graces_of(rows: tuple[MitigationTerms, ...]) -> Graces:
    """Return the grace periods of a run."""
    return Graces(
        {
            number: Grace(
                number,
                row.market_id,
                row.duration("span"),
                *(bool(row.values[f"after_{what}"]) for what in ("halts", "outages", "stale")),
            )
            for number, row in enumerate(rows)
            if row.kind == "grace"
        }
    )
