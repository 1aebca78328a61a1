"""Mark prices: what the venue makes of what its feeds land, with and without displacement."""

from collections.abc import Callable

from liqsim.events import (
    NO_CAUSE,
    BookSampled,
    MarkFeed,
    OracleUpdated,
    ShadowUpdated,
)
from liqsim.mechanics.mark import Marked, marked, premium_e9
from liqsim.mechanics.oracle import Feed, Publication
from liqsim.mechanics.purged import PurgedPath
from liqsim.processes.context import Context, MarketDesk, Priority
from liqsim.processes.oracle import Oracle
from liqsim.world.markets import MarkInputs


class Marks:
    """
    The mark of one market and its shadow: the same feeds twice, once without displacement.

    Both are made by one rule of what has landed, whenever something lands. What lands without
    displacement in the instant of an update published then or later lands with it, so that
    without displacement the two are never apart. It is recorded with the update.

    Args:
        context: The run.
        desk: The market.
        mark_landed: Called with (market, seq) after an event has set the mark price.
        shadow_landed: Called with (market, seq) after the shadow mark has moved by itself.
    """

    def __init__(
        self,
        context: Context,
        desk: MarketDesk,
        *,
        mark_landed: Callable[[int, int], None],
        shadow_landed: Callable[[int, int], None],
    ) -> None:
        self._context = context
        self._desk = desk
        self._mark_landed = mark_landed
        self._shadow_landed = shadow_landed
        self._pairs: list[_Pair] = []

    def add(self, kind: MarkFeed, feed: Feed, shadow_feed: Feed | None) -> None:
        """
        Make the mark of a feed too.

        Args:
            kind: Which of the market's feeds it is; the oracle's comes first.
            feed: The feed.
            shadow_feed: The same on prices without displacement; None where there is none.
        """
        pair = _Pair(self, self._context, self._desk, kind, feed, shadow_feed)
        self._pairs.append(pair)

    def start(self) -> None:
        """Plan the first publications."""
        for pair in self._pairs:
            pair.start()

    def land(self, kind: MarkFeed, publication: Publication, shadow: Publication | None) -> None:
        """Record that an update has landed, and what without displacement landed with it."""
        state, cause = self._desk.state, NO_CAUSE
        if publication.needs_displacement:
            cause = state.book_before(publication.shows_us).fill_seq
        inputs = self._with(kind, state.inputs, publication)
        mark = self._marked(inputs, state.mark_e8)
        shadow_inputs, shadow_mark_e8 = state.shadow_inputs, state.shadow_e8
        if shadow is not None:
            shadow_inputs = self._with(kind, shadow_inputs, shadow)
            shadow_mark_e8 = self._marked(shadow_inputs, shadow_mark_e8).price_e8
        shadow_price_e8 = 0 if shadow is None else shadow.price_e8
        event: OracleUpdated | BookSampled
        if kind is MarkFeed.ORACLE:
            event = OracleUpdated(
                market_id=self._desk.market_id,
                price_e8=publication.price_e8,
                reason=publication.reason,
                reports_count=publication.reports_count,
                sampled_at_us=publication.sampled_at_us,
                published_at_us=publication.at_us,
                shows_at_us=publication.shows_us,
                shadow_mark_e8=shadow_mark_e8,
                mark_price_e8=mark.price_e8,
                basis=mark.basis,
                mark_shows_at_us=mark.shows_us,
                book_price_e8=inputs.book_e8,
                shadow_price_e8=shadow_price_e8,
            )
        else:
            event = BookSampled(
                market_id=self._desk.market_id,
                price_e8=publication.price_e8,
                reason=publication.reason,
                sampled_at_us=publication.sampled_at_us,
                published_at_us=publication.at_us,
                index_price_e8=inputs.index_e8,
                premium_e9=inputs.premium_e9,
                mark_price_e8=mark.price_e8,
                basis=mark.basis,
                mark_shows_at_us=mark.shows_us,
                shadow_price_e8=shadow_price_e8,
                shadow_premium_e9=shadow_inputs.premium_e9,
                shadow_mark_e8=shadow_mark_e8,
            )
        self._mark_landed(event.market_id, self._context.journal.append(event, cause))

    def land_shadow(self, kind: MarkFeed, publication: Publication) -> None:
        """Record an update without displacement that lands by itself."""
        if kind is not MarkFeed.ORACLE and any(pair.is_waiting for pair in self._pairs[:kind]):
            # In this instant the oracle's comes first, as it does for the mark.
            self._context.call(
                0, Priority.LANDING, self._record, kind, publication, rank=self.rank_of(kind)
            )
        else:
            self._record(kind, publication)

    def _record(self, kind: MarkFeed, publication: Publication) -> None:
        state = self._desk.state
        inputs = self._with(kind, state.shadow_inputs, publication)
        event = ShadowUpdated(
            market_id=self._desk.market_id,
            price_e8=publication.price_e8,
            reason=publication.reason,
            sampled_at_us=publication.sampled_at_us,
            published_at_us=publication.at_us,
            feed=kind,
            premium_e9=inputs.premium_e9,
            shadow_mark_e8=self._marked(inputs, state.shadow_e8).price_e8,
        )
        self._shadow_landed(event.market_id, self._context.journal.append(event))

    def rank_of(self, kind: MarkFeed) -> int:
        """Return the place of a feed among those of all markets."""
        return self._desk.market_id * len(MarkFeed) + kind

    def _with(self, kind: MarkFeed, inputs: MarkInputs, landed: Publication) -> MarkInputs:
        now, price_e8, shows_us = self._context.now_us, landed.price_e8, landed.shows_us
        if kind is MarkFeed.ORACLE:
            return inputs.with_index(price_e8, now, shows_us)
        depth_e6 = self._desk.state.book.multiplier_e6
        premium = premium_e9(self._desk.spec.mark, inputs, price_e8, now_us=now, depth_e6=depth_e6)
        return inputs.with_book(price_e8, now, shows_us, premium)

    def _marked(self, inputs: MarkInputs, last_e8: int) -> Marked:
        return marked(
            self._desk.spec.mark,
            inputs,
            last_e8=last_e8,
            now_us=self._context.now_us,
            depth_e6=self._desk.state.book.multiplier_e6,
        )


class _Pair:
    """One feed of a market and the same on prices without displacement."""

    def __init__(
        self,
        marks: Marks,
        context: Context,
        desk: MarketDesk,
        kind: MarkFeed,
        feed: Feed,
        shadow_feed: Feed | None,
    ) -> None:
        self._marks = marks
        self._kind = kind
        rank = marks.rank_of(kind)
        self._oracle = Oracle(context, rank, feed, Priority.LANDING, self._land)
        self._shadow: Oracle | None = None
        self._waiting: list[Publication] = []
        context.on_trade(desk.market_id, self._oracle.traded)
        if shadow_feed is not None:
            self._shadow = Oracle(context, rank, shadow_feed, Priority.SHADOW, self._land_shadow)
            if isinstance(desk.path, PurgedPath):
                context.on_trade(
                    desk.market_id, self._shadow.traded
                )  # Its reference depends on it.

    @property
    def is_waiting(self) -> bool:
        """Whether something without displacement waits for an update of this instant."""
        return bool(self._waiting)

    def start(self) -> None:
        """Plan the first publications."""
        if self._shadow is not None:
            self._shadow.start()
        self._oracle.start()

    def _land_shadow(self, publication: Publication) -> None:
        if self._oracle.lands_now(publication.at_us):
            self._waiting.append(publication)
        else:
            self._marks.land_shadow(self._kind, publication)

    def _land(self, publication: Publication) -> None:
        self._marks.land(self._kind, publication, self._shadow_with(publication))

    def _shadow_with(self, publication: Publication) -> Publication | None:
        """Return what without displacement lands with *publication*, if anything does."""
        if self._shadow is None:
            return publication
        landing = [waits for waits in self._waiting if waits.at_us <= publication.at_us]
        self._waiting = [waits for waits in self._waiting if waits.at_us > publication.at_us]
        return landing[-1] if landing else None
