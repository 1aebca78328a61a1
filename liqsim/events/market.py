"""Events of markets and of the oracle."""

from enum import IntEnum
from typing import ClassVar

import attrs

from liqsim.events.schema import (
    Transfer,
    amount,
    duration,
    identifier,
    instant,
    member,
    premium,
    price,
    ranged,
)


class UpdateReason(IntEnum):
    """Why an oracle published."""

    FIRST = 0
    DEVIATION = 1
    HEARTBEAT = 2


class MarkFeed(IntEnum):
    """Which price of a market: of its oracle, or of the venue's own book."""

    ORACLE = 0
    BOOK = 1


class MarkBasis(IntEnum):
    """
    Which part of the mark rule decided.

    `INDEX`: the oracle's price; `BLEND`: a mean of it and the book's price; `GUARDED`: the bound
    around the book's price; `MODEL`: the index and the smoothed premium; `BOOK`: the book's price;
    `BANDED`: the bound around the last index; `CLAMPED`: the bound around the last mark.
    """

    INDEX = 0
    BLEND = 1
    GUARDED = 2
    MODEL = 3
    BOOK = 4
    BANDED = 5
    CLAMPED = 6


@attrs.frozen
class DepthChanged:
    """
    The depth of a market's book, or the speed at which it refills, changed.

    Attributes:
        market_id: Which market.
        multiplier_e6: Depth as a multiple of the calm depth.
        half_life_us: Time in which half of the consumed volume refills.
    """

    TAG: ClassVar[str] = "depth_changed"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = ()

    market_id: int = identifier()
    multiplier_e6: int = ranged(1, 10**12)
    half_life_us: int = duration()


@attrs.frozen
class OracleUpdated:
    """
    An oracle update, the index of the market, reached the venue and gave it a mark price.

    The cause is the newest fill inside the median report, forced or of an account's own order, if
    the update would not have been published on prices without displacement.

    Attributes:
        market_id: Which market.
        price_e8: Median of the newest report of each source.
        reason: Why it was published.
        reports_count: Sources that had reported.
        sampled_at_us: When the median report was sampled; of two in the middle, the newer.
        published_at_us: When the oracle published.
        shows_at_us: Just before this the displacement stood that the median report shows; of two
            in the middle, the later; the start of the run if it shows none.
        shadow_mark_e8: The shadow mark from then on: what the mark would be without displacement.
        mark_price_e8: The mark price from then on, made of the index and the book's price.
        basis: Which part of the mark rule decided.
        mark_shows_at_us: Just before this the displacement stood that the mark shows.
        book_price_e8: The book's price as last sampled; 0 before the first sample, and where the
            mark does not use it.
        shadow_price_e8: The update without displacement that landed with it; 0 if none did.
    """

    TAG: ClassVar[str] = "oracle_updated"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = ()

    market_id: int = identifier()
    price_e8: int = price()
    reason: UpdateReason = member()
    reports_count: int = identifier()
    sampled_at_us: int = instant()
    published_at_us: int = instant()
    shows_at_us: int = instant()
    shadow_mark_e8: int = price()
    mark_price_e8: int = price()
    basis: MarkBasis = member()
    mark_shows_at_us: int = instant()
    book_price_e8: int = amount()
    shadow_price_e8: int = amount()


@attrs.frozen
class BookSampled:
    """
    The venue sampled the market price of its own book, and it gave the market a mark price.

    The cause is the newest fill before it, forced or of an account's own order, if it would not
    have been sampled on prices without displacement.

    Attributes:
        market_id: Which market.
        price_e8: Market price just before.
        reason: Why it was sampled.
        sampled_at_us: When.
        published_at_us: When it was found to be due.
        index_price_e8: The newest oracle update that has landed; 0 before the first.
        premium_e9: Smoothed premium of the book's price over the index, as a share of the index.
        mark_price_e8: The mark price from then on.
        basis: Which part of the mark rule decided.
        mark_shows_at_us: Just before this the displacement stood that the mark shows.
        shadow_price_e8: The sample without displacement that landed with it; 0 if none did.
        shadow_premium_e9: Smoothed premium without displacement from then on.
        shadow_mark_e8: The shadow mark from then on.
    """

    TAG: ClassVar[str] = "book_sampled"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = ()

    market_id: int = identifier()
    price_e8: int = price()
    reason: UpdateReason = member()
    sampled_at_us: int = instant()
    published_at_us: int = instant()
    index_price_e8: int = amount()
    premium_e9: int = premium()
    mark_price_e8: int = price()
    basis: MarkBasis = member()
    mark_shows_at_us: int = instant()
    shadow_price_e8: int = amount()
    shadow_premium_e9: int = premium()
    shadow_mark_e8: int = price()


@attrs.frozen
class ShadowUpdated:
    """
    The shadow mark of a market moved while no update of the same feed landed.

    It is what the same sources, draws, delays and thresholds make of prices without displacement.

    Attributes:
        market_id: Which market.
        price_e8: What landed: without a mark rule, the shadow mark from then on.
        reason: Why it was published.
        sampled_at_us: When its median report was sampled; of two in the middle, the newer.
        published_at_us: When it was published.
        feed: Whether it is of the oracle or of the book.
        premium_e9: Smoothed premium without displacement from then on.
        shadow_mark_e8: The shadow mark from then on.
    """

    TAG: ClassVar[str] = "shadow_updated"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = ()

    market_id: int = identifier()
    price_e8: int = price()
    reason: UpdateReason = member()
    sampled_at_us: int = instant()
    published_at_us: int = instant()
    feed: MarkFeed = member()
    premium_e9: int = premium()
    shadow_mark_e8: int = price()


@attrs.frozen
class MaintenanceChanged:
    """
    The venue changed the maintenance rates of a market.

    Attributes:
        market_id: Which market.
        multiplier_e6: The rates in force from now on, as a multiple of those at the start, each
            rounded up to 1e-6.
    """

    TAG: ClassVar[str] = "maintenance_changed"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = ()

    market_id: int = identifier()
    multiplier_e6: int = ranged(0, 10**12)


@attrs.frozen
class CoinHaircutChanged:
    """
    The venue changed what coins count for that are collateral in a market.

    Attributes:
        market_id: Which market.
        coin_haircut_e6: Share of their value that does not count from now on.
    """

    TAG: ClassVar[str] = "coin_haircut_changed"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = ()

    market_id: int = identifier()
    coin_haircut_e6: int = ranged(0, 10**6 - 1)


@attrs.frozen
class MarketExtremes:
    """
    Lowest and highest prices of a market over the run, recorded once at its end.

    Market prices between events are exact over every segment of the impact's decay.

    Attributes:
        market_id: Which market.
        start_price_e8: Reference price at the start.
        lowest_market_e8: Lowest market price.
        lowest_market_at_us: First instant at which it stood.
        highest_market_e8: Highest market price.
        highest_market_at_us: First instant at which it stood.
        lowest_reference_e8: Lowest reference price.
        lowest_reference_at_us: First instant at which it stood.
        highest_reference_e8: Highest reference price.
        highest_reference_at_us: First instant at which it stood.
        end_market_e8: Market price at the last instant.
        end_reference_e8: Reference price at the last instant.
    """

    TAG: ClassVar[str] = "market_extremes"
    TRANSFERS: ClassVar[tuple[Transfer, ...]] = ()

    market_id: int = identifier()
    start_price_e8: int = price()
    lowest_market_e8: int = price()
    lowest_market_at_us: int = instant()
    highest_market_e8: int = price()
    highest_market_at_us: int = instant()
    lowest_reference_e8: int = price()
    lowest_reference_at_us: int = instant()
    highest_reference_e8: int = price()
    highest_reference_at_us: int = instant()
    end_market_e8: int = price()
    end_reference_e8: int = price()
