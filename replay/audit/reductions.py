"""
Positions that a mitigation reduces: who is next at each look, by how much, and what it may cost.

Who would be due is worked out from the folded balances, order by order; that somebody was left out
is reported where even the worst price of the order would have left the account a margin.
"""

from fractions import Fraction
from typing import Final

import numpy as np

from liqsim.events import (
    NO_CAUSE,
    Action,
    DecisionRecorded,
    DepthChanged,
    Entry,
    Event,
    PositionReduced,
)
from replay.audit import grace
from replay.audit.book import Book
from replay.audit.executions import check_order, note_flow
from replay.audit.findings import e8, usd
from replay.audit.observations import Reducer, Reducing
from replay.audit.scalings import (
    check_seen,
    comes_before_looks,
    compare,
    is_decision,
    scaled,
)
from replay.margin import Leg, margin_e22
from replay.sights import COLUMNS

_E6: Final = 10**6
_E10: Final = 10**10
_E16: Final = 10**16


def look(book: Book, entry: Entry) -> None:
    """Take in every look that was due before *entry*, in turn, and what must have followed."""
    watched, event = book.watched, entry.event
    if watched.reducing is not None:
        if isinstance(event, PositionReduced):
            return
        _check_left(book, watched.reducing)
        watched.reducing = None
    while (reducer := min(watched.reducers, key=_next_us, default=None)) is not None:
        at_us = reducer.next_us
        is_now = at_us == entry.sim_time_us
        if at_us > entry.sim_time_us or (is_now and comes_before_looks(event)):
            return
        reducer.next_us += reducer.period_us
        reducing = _looked(book, reducer, at_us)
        if reducing is None:
            continue
        if is_now and _is_of(event, reducer):
            watched.reducing = reducing
            return
        risks = map(reducer.model.risk_e6, reducing.seen)
        if all(risk >= reducer.above_e6 for risk in risks):
            _check_left(book, reducing)


def finish(book: Book) -> None:
    """Check that no step lacks at the end of a sealed log."""
    look(book, Entry(0, book.terms.end_us, NO_CAUSE, DepthChanged(0, 0, 0)))


def decided(book: Book, entry: Entry, e: DecisionRecorded) -> None:
    """Check a decision that follows a chance: to scale margin rates, or to reduce positions."""
    if e.action is not Action.REDUCED:
        scaled(book, entry, e)
        return
    reducing = book.watched.reducing
    if reducing is None or not _is_of(e, reducing.reducer):
        book.findings.add("decision", entry.seq, "nobody had to be reduced")
        return
    reducing.seq = entry.seq
    reducer = reducing.reducer
    risk = check_seen(book, entry, reducer.model, reducing.seen, e)
    if risk < reducer.above_e6:
        message = f"the chance is {risk}, below {reducer.above_e6}"
        book.findings.add("decision", entry.seq, message)
    right = DecisionRecorded(reducer.number, Action.REDUCED, market_id=reducer.market_id)
    compare(book, entry, e, right, {*COLUMNS, "risk_e6"})


def position_reduced(book: Book, entry: Entry, e: PositionReduced) -> None:
    """Check that a step is that of the next who may be reduced, and within its bounds."""
    check_order(book, entry, e)
    book.expect_mark(entry, e.market_id, e.mark_price_e8)
    fee = -(-abs(e.quantity_e8) * e.price_e8 * book.terms.taker_fee_e6 // _E16)
    book.expect("fee", entry, "fee_uusd", e.fee_uusd, fee)
    reducing = book.watched.reducing
    if reducing is None or entry.cause_seq != reducing.seq:
        _report(book, entry, f"nothing has account {e.bucket_id} reduced")
    else:
        _check_turn(book, entry, e, reducing)
        _check_slippage(book, entry, e, reducing.reducer)
    _check_margin(book, entry, e)
    note_flow(book, entry, e)


def _is_of(event: Event, reducer: Reducer) -> bool:
    """Return whether an event is the decision of a mitigation to reduce positions in a market."""
    of = getattr(event, "mitigation_id", None), getattr(event, "market_id", None)
    return is_decision(event, Action.REDUCED) and of == (reducer.number, reducer.market_id)


def _next_us(reducer: Reducer) -> int:
    # Of several at one instant the first goes first: they stand in the order of their turn.
    return reducer.next_us


def _looked(book: Book, reducer: Reducer, at_us: int) -> Reducing | None:
    """Return what a look saw, and who was next, the weakest first; None before the first mark."""
    assert book.sight is not None
    model, market = reducer.model, reducer.market_id
    seen = book.sight.look(market, at_us, model.window_us, model.distance_e6)
    if not seen:
        return None
    ratios = {
        bucket: Fraction(book.margin(bucket), book.worth_e16(bucket))
        for bucket in book.sight.ladder(market, model.distance_e6)
        if bucket not in book.liquidation_of and not book.is_stale(bucket, at_us)
    }
    if book.breakers.is_halted(market, at_us) or grace.lasts_in(book, market, at_us):
        ratios.clear()
    waiting = sorted(ratios, key=lambda bucket: (ratios[bucket], bucket))
    return Reducing(reducer, at_us, seen, waiting, reducer.most_uusd * _E10 // book.mark(market))


def _check_turn(book: Book, entry: Entry, e: PositionReduced, reducing: Reducing) -> None:
    """Check who is reduced, by how much, and that nobody was passed over."""
    reducer, bucket = reducing.reducer, e.bucket_id
    if bucket not in reducing.waiting or e.market_id != reducer.market_id:
        _report(book, entry, f"account {bucket} is none of those who are next")
        return
    while (other := reducing.waiting.pop(0)) != bucket:
        if _must_be_reduced(book, reducing, other):
            _report(book, entry, f"account {other} had to be reduced before {bucket}")
    right = _order_e8(book, reducing, bucket)
    book.expect("reduction", entry, "ordered_e8", e.ordered_e8, right)
    size = abs(e.quantity_e8)
    reducer.first_e8.setdefault(bucket, abs(book.position(e.market_id, bucket)))
    reducer.closed_e8[bucket] = reducer.closed_e8.get(bucket, 0) + size
    reducing.left_e8 -= size
    reducing.steps += 1


def _order_e8(book: Book, reducing: Reducing, bucket: int) -> int:
    reducer = reducing.reducer
    held = book.position(reducer.market_id, bucket)
    most = reducer.first_e8.get(bucket, abs(held)) * reducer.cap_e6 // _E6
    bounds = (
        abs(held) * reducer.step_e6 // _E6,
        most - reducer.closed_e8.get(bucket, 0),
        reducing.left_e8,
    )
    return max(min(bounds), 0) * (-1 if held > 0 else 1)


def _check_slippage(book: Book, entry: Entry, e: PositionReduced, reducer: Reducer) -> None:
    sign = 1 if e.quantity_e8 > 0 else -1
    limit = e.arrival_price_e8 * (_E6 + sign * reducer.slippage_e6) / _E6
    if sign * (e.market_price_e8 - limit) > 2 + limit / 10**9:
        _report(book, entry, f"moved the market to {e8(e.market_price_e8)}, limit {e8(limit)}")


def _check_margin(book: Book, entry: Entry, e: PositionReduced) -> None:
    """Check that it leaves no more than before, on the same side, and nobody due."""
    held = book.position(e.market_id, e.bucket_id)
    if not 0 <= (held + e.quantity_e8) * (1 if held > 0 else -1) < abs(held):
        _report(book, entry, f"{e8(e.quantity_e8)} is no part of a position of {e8(held)}")
    margin = _margin_after(book, e.market_id, e.bucket_id, e.quantity_e8, e.cost_uusd + e.fee_uusd)
    if book.is_due(margin):
        left = usd(margin // _E16)
        _report(book, entry, f"leaves account {e.bucket_id} a margin of {left}")


def _margin_after(book: Book, market: int, bucket: int, quantity_e8: int, paid_uusd: int) -> int:
    legs: list[Leg] = []
    for leg in book.legs(bucket):
        units = book.position(leg, bucket) + (quantity_e8 if leg == market else 0)
        entry = book.entry_price(leg, bucket)
        legs.append((book.rule(leg), units, entry, book.coins(leg, bucket), book.mark(leg)))
    return margin_e22(book.cash(bucket) - paid_uusd, legs)


def _check_left(book: Book, reducing: Reducing) -> None:
    """Check that nobody who had to be reduced is left when something else happens."""
    seq = None if reducing.seq < 0 else reducing.seq
    for bucket in reducing.waiting:
        if _must_be_reduced(book, reducing, bucket):
            number = reducing.reducer.number
            at_us = reducing.at_us
            message = f"mitigation {number} does not reduce account {bucket} at {at_us} us"
            book.findings.add("reduction", seq, message)
            return
    if reducing.seq >= 0 and not reducing.steps:
        book.findings.add("reduction", seq, "a decision after which nobody is reduced is none")


def _must_be_reduced(book: Book, reducing: Reducing, bucket: int) -> bool:
    """Return whether an account is to be reduced at whatever price its order may get."""
    reducer, at_us = reducing.reducer, reducing.at_us
    market, order = reducer.market_id, _order_e8(book, reducing, bucket)
    if not order:
        return False
    instants, prices = book.paths[market]
    reference = int(prices[int(np.searchsorted(instants, at_us, side="right")) - 1])
    sign, depth, arrival = 1 if order > 0 else -1, book.depths.get(market), float(reference)
    limit = arrival * (1 + sign * reducer.slippage_e6 / _E6)
    if depth is not None:
        arrival, low, high, room = depth.walked(at_us, reference, sign)
        limit = arrival * (1 + sign * reducer.slippage_e6 / _E6)
        slack = 2 + limit / 10**9
        is_within = high <= limit - slack if sign > 0 else low >= limit + slack
        if room <= 1 or not is_within:
            return False
    # Whatever part of it is filled, at no price worse than this.
    worst = int(limit) + 1 if sign > 0 else max(int(limit), 1)
    away = abs(order) * abs(worst - book.mark(market)) // _E10 + 1
    fee = abs(order) * max(worst, book.mark(market)) * book.terms.taker_fee_e6 // _E16 + 2
    return not book.is_due(book.margin(bucket) - (away + fee) * _E16)


def _report(book: Book, entry: Entry, message: str) -> None:
    book.findings.add("reduction", entry.seq, message)
