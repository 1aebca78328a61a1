"""When a backer pays into the fund, and how much."""

from liqsim.scenario.model import Contribution, TopUp


def is_due(rule: TopUp, *, times_paid: int, fund_uusd: int, purse_uusd: int) -> bool:
    """
    Return whether a top-up is due.

    >>> rule = TopUp("treasury", amount_uusd=5, when_below_uusd=100, times=2, min_interval_us=0)
    >>> is_due(rule, times_paid=1, fund_uusd=99, purse_uusd=1)
    True
    >>> is_due(rule, times_paid=2, fund_uusd=99, purse_uusd=1)
    False
    """
    return times_paid < rule.times and fund_uusd < rule.when_below_uusd and purse_uusd > 0


def earliest_us(rule: TopUp, *, times_paid: int, last_us: int) -> int:
    """Return when a top-up may be paid next, the last having been paid at *last_us*."""
    return last_us + rule.min_interval_us if times_paid else 0


def payment_uusd(rule: Contribution | TopUp, purse_uusd: int) -> int:
    """Return what a backer with *purse_uusd* pays: the rule's amount, or what it has."""
    return min(rule.amount_uusd, purse_uusd)
