"""Money that backers of the fund pay into it: at given times, and when it holds too little."""

import attrs

from liqsim.events import ContributionPaid, Owner
from liqsim.events.schema import NO_CAUSE
from liqsim.mechanics.contributions import earliest_us, is_due, payment_uusd
from liqsim.processes.context import Context, Priority
from liqsim.scenario.model import Contribution, TopUp


@attrs.define
class _Progress:
    """How far a top-up has come: payments, the last of them, and whether the next is planned."""

    rule: TopUp
    rule_number: int
    paid: int = 0
    last_us: int = 0
    is_planned: bool = False


class Contributions:
    """
    Pays what the scenario's rules say.

    Args:
        context: The run.
        first_backer: Owner number of the first backer.
    """

    def __init__(self, context: Context, first_backer: int) -> None:
        self._context = context
        fund = context.scenario.venue.fund
        self._contributions = fund.contributions
        self._backers = {b.name: first_backer + n for n, b in enumerate(fund.backers)}
        self._top_ups = [
            _Progress(rule, number)
            for number, rule in enumerate(fund.top_ups, len(fund.contributions) + 1)
        ]
        self._newest_draw = NO_CAUSE

    def start(self) -> None:
        """Plan what has a time, and wait for the fund to fall."""
        context = self._context
        for number, rule in enumerate(self._contributions, 1):
            context.call(rule.at_us, Priority.FUND, self._pay, rule, number, NO_CAUSE)
        if self._top_ups:
            context.on_fund_drawn(self._drawn)
            self._plan()

    def _drawn(self, seq: int) -> None:
        self._newest_draw = seq
        self._plan()

    def _plan(self) -> None:
        """Plan every top-up that the fund's balance now asks for."""
        now = self._context.now_us
        for progress in self._top_ups:
            if not progress.is_planned and self._is_due(progress):
                earliest = earliest_us(
                    progress.rule, times_paid=progress.paid, last_us=progress.last_us
                )
                progress.is_planned = True
                delay = max(earliest - now, 0)
                self._context.call(delay, Priority.FUND, self._top_up, progress)

    def _is_due(self, progress: _Progress) -> bool:
        cash, rule = self._context.world.ledger.cash_view, progress.rule
        return is_due(
            rule,
            times_paid=progress.paid,
            fund_uusd=cash[Owner.FUND],
            purse_uusd=cash[self._backers[rule.backer]],
        )

    def _top_up(self, progress: _Progress) -> None:
        progress.is_planned = False
        if self._is_due(progress):  # Surplus may have filled the fund while it waited.
            self._pay(progress.rule, progress.rule_number, self._newest_draw)
            progress.paid += 1
            progress.last_us = self._context.now_us
            self._plan()

    def _pay(self, rule: Contribution | TopUp, rule_number: int, cause: int) -> None:
        cash, backer = self._context.world.ledger.cash_view, self._backers[rule.backer]
        amount = payment_uusd(rule, cash[backer])
        if amount:
            balance = cash[Owner.FUND] + amount
            event = ContributionPaid(backer, rule_number, amount, balance)
            self._context.journal.append(event, cause)
