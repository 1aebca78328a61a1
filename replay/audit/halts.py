"""Breakers: every decision worked out again, those that lack, and what a halt forbids."""

import math
from typing import Final

import attrs
import numpy as np

from liqsim.events import (
    Action,
    BookSampled,
    DecisionRecorded,
    DepthChanged,
    Entry,
    FailedCall,
    FundDrawn,
    InventorySold,
    OracleUpdated,
    OrderFilled,
    PositionReduced,
    TradeFilled,
    TranchesCrossed,
    TrancheStarted,
    TrancheTakenOver,
)
from liqsim.events.mitigation import NOT_OBSERVED
from replay.audit.book import Book
from replay.audit.breakers import (
    COLUMNS,
    Breaker,
    Condition,
    Level,
    Range,
    fall_or_rise,
    volatility,
)

_E6: Final = 10**6
_ON_MARK: Final = frozenset({"fall", "rise", "volatility", "divergence"})
_FORCED: Final = (OrderFilled, TrancheTakenOver)
_BOOK: Final = (OrderFilled, TradeFilled, InventorySold, PositionReduced, DepthChanged)
_MOST: Final = 10**18 - 1


def decision_recorded(book: Book, entry: Entry, e: DecisionRecorded) -> None:
    """Hold the decision of a breaker against what it saw, and what it saw against the log."""
    breaker, now = book.breakers.breakers[e.mitigation_id], entry.sim_time_us
    number, market = e.level_number - 1, e.seen_market_id
    markets = range(len(book.terms.markets))
    if not 0 <= number < len(breaker.levels) or market not in markets:
        message = f"there is no level {e.level_number} in market {market}"
        book.findings.add("decision", entry.seq, message)
        return
    level = breaker.levels[number]
    observed = {c.observable: getattr(e, COLUMNS[c.observable]) for c in level.conditions}
    _check_told(book, entry, e, breaker, level)
    for condition in level.conditions:
        low, high = observation(book, condition, market, now)
        if not low <= observed[condition.observable] <= high:
            column, seen = COLUMNS[condition.observable], observed[condition.observable]
            message = f"{column} is {seen}, must be from {low} to {high}"
            book.findings.add("decision", entry.seq, message)
    for is_right, problem in (
        (breaker.market_id in (None, market), "it looked at a market that is not its own"),
        (level.holds(observed), "what it saw does not meet its conditions"),
        (breaker.is_free(number, market, now), "its level has not cooled down"),
        (_highest_met(book, breaker, market, now, above=number) is None, "a higher level is met"),
    ):
        if not is_right:
            book.findings.add("decision", entry.seq, problem)
    breaker.acted(number, market, e.until_at_us)
    if e.action is not Action.WIDENED:
        for halted in markets if breaker.is_wide else (market,):
            _halt(book, halted, e)


def _check_told(
    book: Book, entry: Entry, e: DecisionRecorded, breaker: Breaker, level: Level
) -> None:
    """Check what it does, where, from when and until when, and that nothing else is told."""
    from_us = entry.sim_time_us + breaker.notice_us
    right: dict[str, int] = {
        "action": breaker.action,
        "market_id": NOT_OBSERVED if breaker.is_wide else e.seen_market_id,
        "until_at_us": from_us + level.duration_us,
    }
    if breaker.action is Action.WIDENED:
        right |= {"from_at_us": from_us, "multiplier_e6": level.factor_e6}
    told = {"mitigation_id", "level_number", "seen_market_id"}
    told |= {COLUMNS[condition.observable] for condition in level.conditions}
    for field in attrs.fields(DecisionRecorded):
        if field.name not in told:
            value = right.get(field.name, NOT_OBSERVED)
            book.expect("decision", entry, field.name, getattr(e, field.name), value)


def _halt(book: Book, market: int, e: DecisionRecorded) -> None:
    """Note that a market is halted, and that offers in it are withdrawn."""
    breakers = book.breakers
    until_us = (
        breakers.risk_until_us if e.action is Action.RISK_HALTED else breakers.halted_until_us
    )
    until_us[market] = max(until_us[market], e.until_at_us)
    if e.action is Action.HALTED:
        for offer in book.offers.values():
            if offer.start.market_id == market and offer.ended_as is None:
                offer.ended_as = FailedCall.HALTED


def before(book: Book, entry: Entry) -> None:
    """Find halts that lack at the end of an instant, and what a halt forbids."""
    breakers, now = book.breakers, entry.sim_time_us
    if breakers.moved and now > breakers.moved_at_us:
        finish(book)
    match entry.event:
        case (
            TrancheStarted()
            | OrderFilled()
            | TrancheTakenOver()
            | TranchesCrossed()
            | PositionReduced()
        ) as e:
            if breakers.is_halted(e.market_id, now):
                until_us = breakers.halted_until_us[e.market_id]
                message = f"liquidations in market {e.market_id} are halted until {until_us} us"
                book.findings.add("halted", entry.seq, message)
        case TradeFilled() as e if now < breakers.risk_until_us[e.market_id]:
            position = book.position(e.market_id, e.bucket_id)
            if abs(position + e.quantity_e8) > abs(position):
                until_us = breakers.risk_until_us[e.market_id]
                message = f"new risk in market {e.market_id} is halted until {until_us} us"
                book.findings.add("halted", entry.seq, message)
        case _:
            pass


def after(book: Book, entry: Entry) -> None:
    """Note what an event has moved, once it is folded."""
    breakers, event, now = book.breakers, entry.event, entry.sim_time_us
    breakers.fund_highest = max(breakers.fund_highest, book.fold.fund_uusd)
    moved: set[tuple[str, int]] = set()
    match event:
        case OracleUpdated() | BookSampled():
            moved = {(name, event.market_id) for name in _ON_MARK}
        case FundDrawn():
            moved = {("drawdown", -1)}
        case _:
            if isinstance(event, _FORCED):
                breakers.flows[event.market_id].append((now, abs(event.cost_uusd)))
                moved.add(("flow", event.market_id))
            if isinstance(event, _BOOK):
                moved.add(("divergence", event.market_id))
    breakers.moved |= moved
    if moved:
        breakers.moved_at_us = now


def finish(book: Book) -> None:
    """Report halts that what moved in the last instant lacks."""
    breakers = book.breakers
    moved, at_us = breakers.moved, breakers.moved_at_us
    breakers.moved = set()
    for breaker in breakers.breakers.values():
        everywhere = range(len(book.terms.markets))
        for market in everywhere if breaker.market_id is None else (breaker.market_id,):
            number = _highest_met(book, breaker, market, at_us, moved=moved)
            if number is not None:
                message = (
                    f"mitigation {breaker.number} does not act at level {number + 1} on market "
                    f"{market} at {at_us} us"
                )
                book.findings.add("decision", book.fold.seq, message)
                breaker.acted(number, market, at_us)  # Told once.


def _highest_met(
    book: Book,
    breaker: Breaker,
    market: int,
    at_us: int,
    *,
    above: int = -1,
    moved: set[tuple[str, int]] | None = None,
) -> int | None:
    """Return the highest level that is free and clearly met, of those that look at what moved."""
    for number in range(len(breaker.levels) - 1, above, -1):
        level = breaker.levels[number]
        if moved is not None and not _looks_at(level, market, moved):
            continue
        if breaker.is_free(number, market, at_us) and level.holds(
            {c.observable: observation(book, c, market, at_us)[0] for c in level.conditions}
        ):
            return number
    return None


def _looks_at(level: Level, market: int, moved: set[tuple[str, int]]) -> bool:
    names = {condition.observable for condition in level.conditions}
    return any((n, market) in moved or (n, -1) in moved for n in names)


def observation(book: Book, condition: Condition, market: int, at_us: int) -> Range:
    """Return between which values an observation lies, of what is folded."""
    window_us, marks = condition.window_us, book.marks[market]
    match condition.observable:
        case "fall" | "rise":
            is_fall = condition.observable == "fall"
            return fall_or_rise(marks, window_us, at_us, is_fall=is_fall)
        case "volatility":
            return volatility(marks, window_us, at_us)
        case "flow":
            rows = book.breakers.flows[market]
            total = sum(amount for when, amount in rows if when > at_us - window_us)
            return total, total
        case "drawdown":
            highest, balance = book.breakers.fund_highest, book.fold.fund_uusd
            exact = (highest - balance) * _E6 // highest if highest else 0
            return exact, exact
        case _:
            return _divergence(book, market, at_us)


def _divergence(book: Book, market: int, at_us: int) -> Range:
    index, depth = book.mark_parts[market].index_e8, book.depths.get(market)
    if not index:
        return 0, 0
    if depth is None or market not in book.paths:
        return 0, _MOST  # Reported with the prices.
    instants, prices = book.paths[market]
    reference = int(prices[int(np.searchsorted(instants, at_us, side="right")) - 1])
    low, high = depth.price_now(at_us, reference)
    ends = [abs(price - index) * _E6 / index for price in (low, high)]
    least = 0 if low <= index <= high else math.floor(min(ends)) - 1
    return max(least, 0), min(math.ceil(max(ends)) + 1, _MOST)
