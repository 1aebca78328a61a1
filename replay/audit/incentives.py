"""
Who is paid for a liquidation: shares of its penalty, and rewards of keepers, worked out again.

Right after an execution come the shares of its penalty, by receiver, then the rewards, by
mitigation. What a reward has seen of the venue's own book is known to a rounding, so that it is
held against bounds; the reward is recomputed from it to the last unit.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs
import numpy as np

from liqsim.events import (
    CoinsSettled,
    DecisionRecorded,
    Entry,
    FundDrawn,
    KeeperRewarded,
    OrderFilled,
    PenaltyRouted,
    Share,
    SurplusRouted,
    TrancheStarted,
    TrancheTakenOver,
)
from replay.audit.book import Book, Offer, PaymentDue
from replay.audit.budgets import Budget
from replay.audit.findings import e8, event_text
from replay.fold import FUND
from replay.margin import E22_PER_UUSD

_E6: Final = 10**6
_E16: Final = 10**16
_BOUND: Final = 10**18
_MOST_E8: Final = 10**18 - 1
_TOLERANCE: Final = 1e-9
_BETWEEN: Final = (SurplusRouted, DecisionRecorded, FundDrawn, CoinsSettled)
"""What may come between an execution and its payments."""


def executed(book: Book, entry: Entry, e: OrderFilled | TrancheTakenOver) -> None:
    """Note the payments that an execution must be followed by."""
    penalty = e.fee_uusd
    if isinstance(e, OrderFilled):
        taker_e16 = abs(e.quantity_e8) * e.price_e8 * book.terms.taker_fee_e6
        penalty = max(penalty + -taker_e16 // _E16, 0)
    for share, receiver, amount, number in _routed(book, e, penalty):
        routed = PenaltyRouted(number, e.tranche_seq, e.bucket_id, share, receiver, penalty, amount)
        book.payments_due.append(PaymentDue(entry.seq, routed))
    if not isinstance(e, TrancheTakenOver) or e.keeper_id not in book.bots:
        return
    for budget in book.budgets:
        if budget.terms.market_id not in (None, e.market_id):
            continue
        event = _rewarded(book, budget, e, entry.sim_time_us)
        if budget.law == "scarcity" or event.amount_uusd:
            is_long = book.position(e.market_id, e.bucket_id) > 0
            book.payments_due.append(PaymentDue(entry.seq, event, budget, e.market_id, is_long))


def check_due(book: Book, entry: Entry) -> None:
    """Check that the payments which an execution asks for follow it, in order, and no others."""
    e = entry.event
    if isinstance(e, PenaltyRouted | KeeperRewarded):
        _check_payment(book, entry, e)
    elif book.payments_due and not isinstance(e, _BETWEEN):
        while book.payments_due:
            _report_missing(book, book.payments_due.popleft())


def _check_payment(book: Book, entry: Entry, e: PenaltyRouted | KeeperRewarded) -> None:
    while book.payments_due and not _is_of(book.payments_due[0], e):
        _report_missing(book, book.payments_due.popleft())
    code = "penalty_routing" if isinstance(e, PenaltyRouted) else "keeper_reward"
    if not book.payments_due:
        book.findings.add(code, entry.seq, f"{event_text(e)} is not due")
        return
    due = book.payments_due.popleft()
    book.expect(code, entry, "cause_seq", entry.cause_seq, due.seq)
    right = due.event
    if isinstance(e, KeeperRewarded):
        if due.is_open:
            right = _with_depth(book, due, e.depth_e8)
            _check_depth(book, entry, due, e.depth_e8)
        assert due.budget is not None
        due.budget.paid.append((entry.sim_time_us, e.amount_uusd))
    if e != right:
        book.findings.add(code, entry.seq, f"{event_text(e)}, must be {event_text(right)}")


def _is_of(due: PaymentDue, e: PenaltyRouted | KeeperRewarded) -> bool:
    if isinstance(e, PenaltyRouted):
        return isinstance(due.event, PenaltyRouted) and due.event.share is e.share
    return isinstance(due.event, KeeperRewarded) and due.event.mitigation_id == e.mitigation_id


def _report_missing(book: Book, due: PaymentDue) -> None:
    if due.is_open and _may_be_nothing(book, due):
        return
    code = "penalty_routing" if isinstance(due.event, PenaltyRouted) else "keeper_reward"
    book.findings.add(code, due.seq, f"{event_text(due.event)} must come after it")


# Penalties ----------------------------------------------------------------------------------------


def _routed(
    book: Book, e: OrderFilled | TrancheTakenOver, penalty: int
) -> list[tuple[Share, int, int, int]]:
    """Return (share, receiver, amount, mitigation) of what the treasury must pay on."""
    keeper = getattr(e, "keeper_id", -1)
    has_keeper = keeper in book.bots
    for number, row in enumerate(book.terms.mitigations):
        if row.kind != "penalty_routing" or row.market_id not in (None, e.market_id):
            continue
        parts = _split(row.values, row.ratio, penalty)
        if not has_keeper:
            parts[row.word("without_keeper")] += parts.pop("keeper")
        receivers = ((Share.KEEPER, keeper), (Share.FUND, FUND), (Share.BURN, book.burn_id))
        return [
            (share, receiver, amount, number)
            for share, receiver in receivers
            if (amount := parts.get(share.name.lower(), 0))
        ]
    return []


def _split(values: Mapping[str, Any], ratio: Callable[[str], int], whole: int) -> dict[str, int]:
    """Return each share of a whole: what does not go into the others is that of `remainder`."""
    rest = str(values["remainder"])
    names = ("keeper", "fund", "treasury", "burn")
    parts = {name: ratio(name) * whole // _E6 for name in names if name != rest}
    return parts | {rest: whole - sum(parts.values())}


# Rewards ------------------------------------------------------------------------------------------


def _rewarded(book: Book, budget: Budget, e: TrancheTakenOver, now_us: int) -> KeeperRewarded:
    """Return what a reward pays for a takeover; where it looks at the book, for an empty one."""
    start = book.causes.event(e.tranche_seq, TrancheStarted)
    waited, violation = _waited_us(book, start, now_us), _violation(book, e.bucket_id)
    seen = {
        "waiting": {"waited_us": waited},
        "violation": {"violation_uusd": violation},
        "scarcity": {"depth_e8": 0},
    }.get(budget.law, {})
    owed = budget.owed(waited, violation, 0, book.mark(e.market_id))
    used = budget.used(now_us)
    amount = budget.pays(owed, used, budget.left())
    return KeeperRewarded(
        mitigation_id=budget.number,
        tranche_seq=e.tranche_seq,
        bucket_id=e.bucket_id,
        keeper_id=e.keeper_id,
        owed_uusd=owed,
        used_uusd=used,
        amount_uusd=amount,
        budget_uusd=budget.left() - amount,
        **seen,
    )


def _with_depth(book: Book, due: PaymentDue, depth_e8: int) -> KeeperRewarded:
    """Return a reward as it must be if the book was seen to hold so much."""
    budget, event = due.budget, due.event
    assert budget is not None
    assert isinstance(event, KeeperRewarded)
    owed = budget.owed(0, 0, depth_e8, book.mark(due.market_id))
    amount = budget.pays(owed, event.used_uusd, budget.left())
    return attrs.evolve(
        event,
        depth_e8=depth_e8,
        owed_uusd=owed,
        amount_uusd=amount,
        budget_uusd=budget.left() - amount,
    )


def _waited_us(book: Book, start: TrancheStarted | None, at_us: int) -> int:
    trigger = None if start is None else book.causes.seen.get(start.liquidation_seq)
    return 0 if trigger is None else max(at_us - trigger.sim_time_us, 0)


def _violation(book: Book, bucket: int) -> int:
    return max(-book.margin(bucket), 0) // E22_PER_UUSD if book.is_judged(bucket) else 0


def _check_depth(book: Book, entry: Entry, due: PaymentDue, depth_e8: int) -> None:
    """Check that the book would take what it was seen to hold, and no more."""
    margin = 2 + round(depth_e8 * _TOLERANCE)
    if not _holds(book, due, depth_e8, 1) or _holds(book, due, depth_e8 + margin, -1):
        message = f"the book would not take {e8(depth_e8)}, or more"
        book.findings.add("keeper_reward", entry.seq, message)


def _may_be_nothing(book: Book, due: PaymentDue) -> bool:
    """Return whether the book may have held so much that nothing was to be paid."""
    budget = due.budget
    assert budget is not None
    low, high = -1, _MOST_E8
    if not _is_nothing(book, due, high):
        return False
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _is_nothing(book, due, middle) else (middle, high)
    return high == 0 or _holds(book, due, high, 1)


def _is_nothing(book: Book, due: PaymentDue, depth_e8: int) -> bool:
    return not _with_depth(book, due, depth_e8).amount_uusd


def _holds(book: Book, due: PaymentDue, size_e8: int, lenient: int) -> bool:
    """Return whether the book has *size_e8* within the distance; -1 must be sure, 1 may not."""
    depth, budget = book.depths.get(due.market_id), due.budget
    if depth is None or budget is None or due.market_id not in book.paths:
        return lenient > 0
    if not size_e8:
        return True
    at_us, prices = book.paths[due.market_id]
    reference = int(prices[int(np.searchsorted(at_us, book.now_us, side="right")) - 1])
    distance = budget.terms.ratio("distance") / _E6
    order = -size_e8 if due.is_long else size_e8
    price, low, high, room = depth.walked(book.now_us, reference, order)
    slack = lenient * (2 + _TOLERANCE * price)
    if size_e8 > room + lenient * (1 + _TOLERANCE * room):
        return False
    if due.is_long:
        return (high if lenient > 0 else low) >= price * (1 - distance) - slack
    return (low if lenient > 0 else high) <= price * (1 + distance) + slack


# What a keeper may count on -----------------------------------------------------------------------


def most_promised(book: Book, offer: Offer, at_us: int, price_e8: int) -> int:
    """
    Return the most that whoever took an offer over at an earlier instant was to be paid for it.

    What has been paid since the call was sent was not paid then; of the same instant it may be
    either. Of a book, and of a margin that funding has moved since, the best is taken.
    """
    market, bucket = offer.start.market_id, offer.start.bucket_id
    return _penalty_share(book, offer, at_us, price_e8) + sum(
        _promised(book, budget, offer, at_us)
        for budget in book.budgets
        if budget.terms.market_id in (None, market) and bucket in book.buckets
    )


def _penalty_share(book: Book, offer: Offer, at_us: int, price_e8: int) -> int:
    """Return the keeper's share of a penalty that is not cut short."""
    market = offer.start.market_id
    rated = book.mark_at(market, at_us) * book.terms.fee_on_mark_e6
    rated += price_e8 * book.terms.takeover_fee_e6
    full = -(-offer.size_e8 * rated // _E16)
    return sum(
        _split(row.values, row.ratio, full)["keeper"]
        for row in book.terms.mitigations
        if row.kind == "penalty_routing" and row.market_id in (None, market)
    )


def _promised(book: Book, budget: Budget, offer: Offer, at_us: int) -> int:
    bucket, mark = offer.start.bucket_id, book.mark_at(offer.start.market_id, at_us)
    waited = _waited_us(book, offer.start, at_us)
    owed = budget.owed(waited, _violation_at(book, bucket, at_us), 0, mark)
    used = budget.used(at_us, before_us=at_us)
    return budget.pays(owed, used, budget.left(before_us=at_us))


def _violation_at(book: Book, bucket: int, at_us: int) -> int:
    """Return how far the margin of a bucket was below zero at the marks of an instant."""
    if any(market.funding is not None for market in book.terms.markets):
        return _BOUND
    return max(-book.margin_at(bucket, at_us), 0) // E22_PER_UUSD
