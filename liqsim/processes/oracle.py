"""The oracle: publishes what its feed plans, and lands it at the venue later."""

from collections.abc import Callable

from liqsim.events import NO_CAUSE, OracleUpdated, ShadowUpdated
from liqsim.mechanics.oracle import Feed, Publication
from liqsim.mechanics.purged import PurgedPath
from liqsim.processes.context import Context, MarketDesk, Priority


class Oracle:
    """
    One feed of a market.

    Args:
        context: The run.
        market_id: The market.
        feed: Plans publications.
        priority: Place of its landings among what happens in one instant.
        landed: Called with a publication that has reached the venue.
    """

    def __init__(
        self,
        context: Context,
        market_id: int,
        feed: Feed,
        priority: Priority,
        landed: Callable[[Publication], None],
    ) -> None:
        self._context = context
        self._market_id = market_id
        self._feed = feed
        self._priority = priority
        self._landed = landed
        self._plan: Publication | None = None
        self._generation = 0
        self._landed_at = -1
        self._is_overtaken = False
        self._on_the_way: dict[tuple[int, int], None] = {}

    def start(self) -> None:
        """Plan the first publication."""
        self._arm()

    def lands_now(self, published_at_us: int) -> bool:
        """Return whether an update that was not published before then lands in this instant."""
        now = self._context.now_us
        return any(
            lands_at == now and at_us >= max(published_at_us, self._landed_at)
            for lands_at, at_us in self._on_the_way
        )

    def _arm(self) -> None:
        # A plan that a trade has overtaken is left in the heap and ignored by its generation.
        self._generation += 1
        self._plan = self._feed.plan()
        if self._plan is not None:
            delay = self._plan.at_us - self._context.now_us
            generation = self._generation
            self._context.call(
                delay, Priority.ORACLE, self._publish, generation, rank=self._market_id
            )

    def traded(self) -> None:
        """Take note that the book of the market has changed."""
        # Many orders share an instant: plan anew once, after the last of them.
        if not self._is_overtaken:
            self._is_overtaken = True
            self._context.call(0, Priority.REPLAN, self._replan)

    def _replan(self) -> None:
        self._is_overtaken = False
        now = self._context.now_us
        self._feed.traded(now)
        if self._plan is None or not self._feed.is_settled(self._plan, now):
            self._arm()

    def _publish(self, generation: int) -> None:
        plan = self._plan
        if generation != self._generation or plan is None:
            return
        self._feed.published(plan)
        delay = self._feed.landing_us(plan.at_us)
        self._on_the_way[self._context.now_us + delay, plan.at_us] = None
        self._context.call(delay, self._priority, self._land, plan, rank=self._market_id)
        self._arm()

    def _land(self, publication: Publication) -> None:
        del self._on_the_way[self._context.now_us, publication.at_us]
        if publication.at_us < self._landed_at:
            return  # A newer update has overtaken this one on the way.
        self._landed_at = publication.at_us
        self._landed(publication)


class Marks:
    """
    The mark of one market and its shadow: the same oracle twice, once without displacement.

    A shadow update that lands in the instant of a mark published then or later lands with it, so
    that without displacement the two are never apart. It is recorded with the oracle update.

    Args:
        context: The run.
        desk: The market.
        feed: The oracle's feed.
        shadow_feed: The same feed on prices without displacement; None where there is none.
        mark_landed: Called with (market, seq) after an update has become the mark price.
        shadow_landed: Called with (market, seq) after the shadow mark has moved by itself.
    """

    def __init__(
        self,
        context: Context,
        desk: MarketDesk,
        feed: Feed,
        shadow_feed: Feed | None,
        *,
        mark_landed: Callable[[int, int], None],
        shadow_landed: Callable[[int, int], None],
    ) -> None:
        self._context = context
        self._desk = desk
        self._mark_landed = mark_landed
        self._shadow_landed = shadow_landed
        market_id = desk.market_id
        self._oracle = Oracle(context, market_id, feed, Priority.LANDING, self._land)
        self._shadow: Oracle | None = None
        if shadow_feed is not None:
            self._shadow = Oracle(
                context, market_id, shadow_feed, Priority.SHADOW, self._land_shadow
            )
        self._waiting: list[Publication] = []
        context.on_trade(desk.market_id, self._oracle.traded)
        if self._shadow is not None and isinstance(desk.path, PurgedPath):
            context.on_trade(desk.market_id, self._shadow.traded)  # The reference depends on it.

    def start(self) -> None:
        """Plan the first publications."""
        if self._shadow is not None:
            self._shadow.start()
        self._oracle.start()

    def _land_shadow(self, publication: Publication) -> None:
        if self._oracle.lands_now(publication.at_us):
            self._waiting.append(publication)
            return
        event = ShadowUpdated(
            market_id=self._desk.market_id,
            price_e8=publication.price_e8,
            reason=publication.reason,
            sampled_at_us=publication.sampled_at_us,
            published_at_us=publication.at_us,
        )
        self._shadow_landed(event.market_id, self._context.journal.append(event))

    def _land(self, publication: Publication) -> None:
        state, cause = self._desk.state, NO_CAUSE
        if publication.needs_displacement:
            cause = state.book_before(publication.shows_us).fill_seq
        event = OracleUpdated(
            market_id=self._desk.market_id,
            price_e8=publication.price_e8,
            reason=publication.reason,
            reports_count=publication.reports_count,
            sampled_at_us=publication.sampled_at_us,
            published_at_us=publication.at_us,
            shows_at_us=publication.shows_us,
            shadow_mark_e8=self._shadow_with(publication),
        )
        self._mark_landed(event.market_id, self._context.journal.append(event, cause))

    def _shadow_with(self, publication: Publication) -> int:
        """Return the shadow mark once *publication* has landed."""
        if self._shadow is None:
            return publication.price_e8
        landing = [waits for waits in self._waiting if waits.at_us <= publication.at_us]
        if not landing:
            return self._desk.state.shadow_e8
        self._waiting = [waits for waits in self._waiting if waits.at_us > publication.at_us]
        return landing[-1].price_e8
