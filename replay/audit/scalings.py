"""
Margin rates that follow an observation, and fees on leverage: every decision, worked out again.

What is observed is worked out from the log; the decision from what was recorded as observed. Where
both rest on a root of squares, known to a rounding, an observation may be one millionth off.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from heapq import nlargest
from itertools import islice
from typing import Final

import attrs

from liqsim.events import (
    NO_CAUSE,
    Action,
    DecisionRecorded,
    DepthChanged,
    Entry,
    Event,
    LeverageFeePaid,
    PositionReduced,
)
from replay.audit.book import Book
from replay.audit.findings import event_text
from replay.audit.losses import room
from replay.audit.observations import Fee, Scaling
from replay.sights import COLUMNS, ROUNDED, Model, Seen, open_interest_e16, seen_in

_E10: Final = 10**10
_E6: Final = 10**6
_COLUMNS: Final[Mapping[str, str]] = {
    "dynamic_margin": "volatility_e6",
    "open_interest_margin": "open_interest_uusd",
    "concentration_margin": "concentration_e6",
    "correlation_margin": "correlation_e6",
    "stress_margin": "index_e6",
    "predictive": "risk_e6",
}


# Margin rates -------------------------------------------------------------------------------------


def look(book: Book, entry: Entry) -> None:
    """Take in every observation that was due before *entry*, and what it must have led to."""
    for scaling in book.watched.scalings:
        if scaling.open is not None and scaling.open[0] < entry.sim_time_us:
            _report_missing(book, scaling)
        while scaling.next_us <= entry.sim_time_us and not _is_earlier(scaling, entry):
            at_us = scaling.next_us
            scaling.next_us += scaling.period_us
            observed = _observed(book, scaling, at_us)
            if observed:
                scaling.open = at_us, observed
                if at_us < entry.sim_time_us:
                    _report_missing(book, scaling)


def _is_earlier(scaling: Scaling, entry: Entry) -> bool:
    """Return whether an event of the instant of a look comes before it, and moves what it sees."""
    e = entry.event
    if scaling.next_us < entry.sim_time_us:
        return False
    if isinstance(e, PositionReduced) or is_decision(e, Action.REDUCED):
        return True
    return scaling.model is not None and comes_before_looks(e)


def comes_before_looks(e: Event) -> bool:
    """Return whether an event of an instant comes before looks at book and accounts in it."""
    return isinstance(e, DepthChanged | LeverageFeePaid) or is_decision(e, Action.CHARGED)


def is_decision(e: Event, action: Action) -> bool:
    """Return whether an event is a decision to do something."""
    return isinstance(e, DecisionRecorded) and e.action is action


def all_looked(book: Book) -> None:
    """Check that no decision lacks at the end of a sealed log."""
    end = Entry(0, book.terms.end_us, NO_CAUSE, DepthChanged(0, 0, 0))
    look(book, end)
    charge(book, end)


def scaled(book: Book, entry: Entry, e: DecisionRecorded) -> None:
    """Check a decision on margin rates."""
    known = (s for s in book.watched.scalings if (s.number, s.market_id) == _of(e))
    scaling = next(known, None)
    if scaling is None or scaling.open is None or scaling.open[0] != entry.sim_time_us:
        book.findings.add("decision", entry.seq, "nothing had to be decided")
        return
    column = _COLUMNS[scaling.kind]
    observed, columns = getattr(e, column), {column}
    if scaling.model is not None:
        columns |= set(COLUMNS)
        observed = check_seen(book, entry, scaling.model, scaling.seen, e)
    elif observed not in scaling.open[1]:
        nearest = scaling.open[1][len(scaling.open[1]) // 2]
        book.expect("decision", entry, column, observed, nearest)
    before, scaling.open = scaling.multiplier_e6, None
    multiplier = _next(scaling, observed)
    if multiplier == before:
        book.findings.add("decision", entry.seq, "a multiplier that stays is no decision")
    right = DecisionRecorded(
        mitigation_id=scaling.number,
        action=Action.RAISED if multiplier > before else Action.LOWERED,
        market_id=scaling.market_id,
        multiplier_e6=multiplier,
        from_at_us=entry.sim_time_us + scaling.notice_us,
    )
    compare(book, entry, e, right, columns)
    scaling.multiplier_e6 = e.multiplier_e6


def check_seen(
    book: Book, entry: Entry, model: Model, seen_about: Sequence[Seen], e: DecisionRecorded
) -> int:
    """Check what a model was asked about and its answer, and return the answer to that."""
    told, (likeliest, *ends) = seen_in(e), seen_about
    right = likeliest
    for name in ROUNDED:
        known = [getattr(seen, name) for seen in ends]
        near = min(max(getattr(told, name), min(known)), max(known))
        right = attrs.evolve(right, **{name: near})
    for name in COLUMNS:
        book.expect("decision", entry, name, getattr(told, name), getattr(right, name))
    risk = model.risk_e6(told)
    book.expect("decision", entry, "risk_e6", e.risk_e6, risk)
    return risk


def _of(e: DecisionRecorded) -> tuple[int, int]:
    return e.mitigation_id, e.market_id


def compare(
    book: Book, entry: Entry, e: DecisionRecorded, right: DecisionRecorded, but: Iterable[str]
) -> None:
    """Hold all columns of a decision, *but* some, against the right ones."""
    for field in attrs.fields(DecisionRecorded):
        if field.name not in but:
            actual = getattr(e, field.name)
            book.expect("decision", entry, field.name, actual, getattr(right, field.name))


def _report_missing(book: Book, scaling: Scaling) -> None:
    assert scaling.open is not None
    at_us, observed = scaling.open
    scaling.open = None
    if all(_next(scaling, value) != scaling.multiplier_e6 for value in observed):
        message = f"that of mitigation {scaling.number} in market {scaling.market_id} at {at_us} us"
        book.findings.add("decision", None, f"{message} is missing")


def _next(scaling: Scaling, observed: int) -> int:
    """Return the multiplier after an observation."""
    grains = -(-observed * _E6 // (scaling.reference * scaling.grain_e6))
    target = grains * scaling.grain_e6
    target = max(min(target, scaling.high_e6), scaling.low_e6)
    if target > scaling.multiplier_e6:
        return min(target, scaling.multiplier_e6 + scaling.ramp_e6)
    return max(target, scaling.multiplier_e6 - scaling.restore_e6)


def _observed(book: Book, scaling: Scaling, at_us: int) -> Sequence[int]:
    """Return what may have been observed; empty if there was nothing to see."""
    mark = book.mark(scaling.market_id)
    if scaling.model is not None:
        assert book.sight is not None
        reach = scaling.model.window_us, scaling.model.distance_e6
        scaling.seen = book.sight.look(scaling.market_id, at_us, *reach)
        return [scaling.model.risk_e6(seen) for seen in scaling.seen]
    if scaling.kind == "stress_margin":
        known = (index for since, index in reversed(scaling.points) if since <= at_us)
        return list(islice(known, 1))
    if scaling.volatility is not None:
        return _about(scaling.volatility.seen(mark))
    if scaling.together is not None:
        others = [m for m in range(len(book.terms.markets)) if m != scaling.market_id]
        marks = tuple(book.mark(market) for market in (scaling.market_id, *others))
        weights = (_open_e16(book, market, book.mark(market)) for market in others)
        return _about(scaling.together.seen(marks, tuple(weights)))
    # A share of contracts is the same at any price.
    open_e16 = _open_e16(book, scaling.market_id, mark or 1)
    if scaling.kind == "concentration_margin":
        return [_concentration(book, scaling, mark or 1, open_e16)] if open_e16 else ()
    return [open_e16 // _E10] if mark else ()


def _about(seen: int | None) -> Sequence[int]:
    """Return what may have been seen where a root is known to a millionth."""
    return () if seen is None else range(max(seen - 1, 0), seen + 2)


def _open_e16(book: Book, market: int, mark_e8: int) -> int:
    return open_interest_e16(book.fold, book.rule(market), market, mark_e8)


def _concentration(book: Book, scaling: Scaling, mark_e8: int, open_e16: int) -> int:
    """Return the share of the largest positions of accounts in open interest, on either side."""
    market, shares = scaling.market_id, []
    rule = book.rule(market)
    for is_long in (True, False):
        worths = (
            abs(book.position(market, bucket))
            * rule.price_that_counts(book.entry_price(market, bucket), mark_e8)
            for bucket in book.sides[market, is_long]
        )
        shares.append(sum(nlargest(scaling.largest, worths)) * _E6 // open_e16)
    return max(shares)


# Fees ---------------------------------------------------------------------------------------------


def charge(book: Book, entry: Entry) -> None:
    """Take in every fee that was due before *entry*, in turn, and who must have paid it."""
    watched, event = book.watched, entry.event
    if watched.paying:
        if isinstance(event, LeverageFeePaid):
            return
        for left in watched.paying:
            message = f"{event_text(left)} is missing before it"
            book.findings.add("leverage_fee", entry.seq, message)
        watched.paying.clear()
    while (fee := _next_fee(book)) is not None:
        is_later = isinstance(event, DepthChanged) and fee.next_us == entry.sim_time_us
        if fee.next_us > entry.sim_time_us or is_later:
            return
        at_us, observed = fee.next_us, fee.volatility.seen(book.mark(fee.market_id))
        fee.next_us += fee.period_us
        if observed is None:
            continue
        is_this = isinstance(event, DecisionRecorded) and _of(event) == (fee.number, fee.market_id)
        if is_this and at_us == entry.sim_time_us:
            watched.charging = fee, observed
            return
        if all(_payers(book, fee, seen) for seen in (observed, max(observed - 1, 0))):
            what = f"that of mitigation {fee.number} in market {fee.market_id} at {at_us} us"
            book.findings.add("decision", None, f"{what} is missing")


def _next_fee(book: Book) -> Fee | None:
    # The first of those that are due first; they stand in the order of their turn.
    return min(book.watched.fees, key=lambda fee: fee.next_us, default=None)


def charged(book: Book, entry: Entry, e: DecisionRecorded) -> None:
    """Check a decision to have a fee paid, and note who must pay it."""
    if book.watched.charging is None:
        book.findings.add("decision", entry.seq, "no fee is due")
        return
    (fee, observed), book.watched.charging = book.watched.charging, None
    if abs(e.volatility_e6 - observed) > 1:
        book.expect("decision", entry, "volatility_e6", e.volatility_e6, observed)
    right = DecisionRecorded(
        mitigation_id=fee.number,
        action=Action.CHARGED,
        market_id=fee.market_id,
        multiplier_e6=_multiple(fee, e.volatility_e6),
    )
    compare(book, entry, e, right, ("volatility_e6",))
    book.watched.paying = _payers(book, fee, e.volatility_e6)
    book.watched.paying_for = entry.seq
    if not book.watched.paying:
        book.findings.add("decision", entry.seq, "nobody has to pay")


def fee_paid(book: Book, entry: Entry, e: LeverageFeePaid) -> None:
    """Check that the next in turn pays what it has to."""
    watched = book.watched
    right = watched.paying.popleft() if watched.paying else None
    if e != right or entry.cause_seq != watched.paying_for:
        due = "nothing" if right is None else event_text(right)
        message = f"{event_text(e)} was recorded, {due} is due by event {watched.paying_for}"
        book.findings.add("leverage_fee", entry.seq, message)


def _multiple(fee: Fee, volatility_e6: int) -> int:
    return min(-(-volatility_e6 * _E6 // fee.reference_e6), fee.high_e6)


def _payers(book: Book, fee: Fee, volatility_e6: int) -> deque[LeverageFeePaid]:
    """Return what must be paid, by number."""
    market, multiple = fee.market_id, _multiple(fee, volatility_e6)
    due: deque[LeverageFeePaid] = deque()
    for bucket in sorted({*book.sides[market, True], *book.sides[market, False]}):
        most = 0 if bucket in book.liquidation_of else room(book, bucket)
        equity_e16 = book.cash(bucket) * _E10 + sum(
            (book.position(leg, bucket) + book.coins(leg, bucket)) * book.mark(leg)
            for leg in book.legs(bucket)
        )
        if book.worth_e16(bucket) * _E6 > fee.leverage_e6 * equity_e16:
            worth = book.leg_worth_e16(market, bucket)
            exact = -(-worth * fee.rate_e6 * multiple // (_E10 * _E6 * _E6))
            if amount := min(exact, most):
                due.append(LeverageFeePaid(bucket, market, book.position(market, bucket), amount))
    return due
