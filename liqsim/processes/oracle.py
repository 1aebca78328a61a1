"""The oracle: publishes what its feed plans, and lands it at the venue later."""

from collections.abc import Callable

from liqsim.mechanics.oracle import Feed, Publication
from liqsim.processes.context import Context, Priority


class Oracle:
    """
    One feed of a market.

    Args:
        context: The run.
        rank: Its place among the feeds of all markets.
        feed: Plans publications.
        priority: Place of its landings among what happens in one instant.
        landed: Called with a publication that has reached the venue.
    """

    def __init__(
        self,
        context: Context,
        rank: int,
        feed: Feed,
        priority: Priority,
        landed: Callable[[Publication], None],
    ) -> None:
        self._context = context
        self._rank = rank
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
            self._context.call(delay, Priority.ORACLE, self._publish, generation, rank=self._rank)

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
        self._context.call(delay, self._priority, self._land, plan, rank=self._rank)
        self._arm()

    def _land(self, publication: Publication) -> None:
        del self._on_the_way[self._context.now_us, publication.at_us]
        if publication.at_us < self._landed_at:
            return  # A newer update has overtaken this one on the way.
        self._landed_at = publication.at_us
        self._landed(publication)
