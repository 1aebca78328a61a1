"""The oracle: publishes what its feed plans, and lands it at the venue later."""

from collections.abc import Callable

from liqsim.events import NO_CAUSE, OracleUpdated
from liqsim.mechanics.oracle import Feed, Publication
from liqsim.processes.context import Context, MarketDesk, Priority


class Oracle:
    """
    The oracle of one market.

    Args:
        context: The run.
        desk: The market.
        feed: Plans publications.
        landed: Called with (market, seq) after an update has become the mark price.
    """

    def __init__(
        self,
        context: Context,
        desk: MarketDesk,
        feed: Feed,
        landed: Callable[[int, int], None],
    ) -> None:
        self._context = context
        self._desk = desk
        self._feed = feed
        self._landed = landed
        self._plan: Publication | None = None
        self._generation = 0
        self._landed_at = -1
        self._is_overtaken = False
        context.on_trade(desk.market_id, self._traded)

    def start(self) -> None:
        """Plan the first publication."""
        self._arm()

    def _arm(self) -> None:
        # A plan that a trade has overtaken is left in the heap and ignored by its generation.
        self._generation += 1
        self._plan = self._feed.plan()
        if self._plan is not None:
            delay = self._plan.at_us - self._context.now_us
            self._context.call(delay, Priority.ORACLE, self._publish, self._generation)

    def _traded(self) -> None:
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
        cause = NO_CAUSE
        if plan.needs_displacement:
            cause = self._desk.state.book_before(plan.shows_us).fill_seq
        event = OracleUpdated(
            market_id=self._desk.market_id,
            price_e8=plan.price_e8,
            reason=plan.reason,
            reports_count=plan.reports_count,
            sampled_at_us=plan.sampled_at_us,
            published_at_us=plan.at_us,
            shows_at_us=plan.shows_us,
        )
        delay = self._feed.landing_us(plan.at_us)
        self._context.call(delay, Priority.LANDING, self._land, event, cause)
        self._arm()

    def _land(self, event: OracleUpdated, cause_seq: int) -> None:
        if event.published_at_us < self._landed_at:
            return  # A newer update has overtaken this one on the way.
        self._landed_at = event.published_at_us
        self._landed(event.market_id, self._context.journal.append(event, cause_seq))
