"""Accounts that act of their own will: when they may, by how much, and what it leaves them with."""

import math
from bisect import bisect_right
from itertools import pairwise
from typing import Final

from liqsim.events import (
    NO_CAUSE,
    BookSampled,
    Entry,
    FundsDeposited,
    FundsWithdrawn,
    LiquidationEnded,
    OracleUpdated,
    PositionOpened,
    ProfitCut,
    TradeFilled,
    TradeReason,
)
from replay.audit import ahead, arrivals, collateral, grace
from replay.audit.book import Book
from replay.audit.executions import check_order, note_flow
from replay.audit.findings import e8, usd
from replay.margin import maintenance_e22, margin_e22, slope_e14
from replay.terms import RebalanceTerms, ReturnTerms, TraderTerms

_E6: Final = 10**6
_E10: Final = 10**10
_E16: Final = 10**16
_OPENINGS: Final = (TradeReason.OPENED, TradeReason.ARRIVED)
_YEAR_US: Final = 365.25 * 86_400 * _E6


def position_opened(book: Book, entry: Entry, e: PositionOpened) -> None:
    """Note side, value and entry price of the position that an account has at the start."""
    if e.bucket_id in book.trader_terms:
        _note_entry(book, entry, e.market_id, e.bucket_id, e.price_e8)
        value = abs(e.quantity_e8) * e.price_e8 // _E10
        book.start_uusd[e.bucket_id] = value if e.quantity_e8 > 0 else -value
        arrivals.note_start(book, e.bucket_id, value)
        # Its collateral is all that it has before its first trade.
        book.start_leverage_e6[e.bucket_id] = value * _E6 // max(book.cash(e.bucket_id), 1)


def trade_filled(book: Book, entry: Entry, e: TradeFilled) -> None:
    """Check an order: its right, time, size, fee, entry price, and what it leaves."""
    check_order(book, entry, e)
    ahead.check_unseen(book, entry, e)
    terms = _terms(book, entry, e.bucket_id)
    position = book.position(e.market_id, e.bucket_id)
    book.expect_mark(entry, e.market_id, e.mark_price_e8)
    fee = -(-abs(e.quantity_e8) * e.price_e8 * book.terms.taker_fee_e6 // _E16)
    book.expect("fee", entry, "fee_uusd", e.fee_uusd, fee)
    _check_entry(book, entry, e, position)
    _check_left(book, entry, e, position)
    if terms is not None:
        _check_slippage(book, entry, e, terms)
        _check_reason(book, entry, e, position, terms)
    note_flow(book, entry, e)


def _check_reason(
    book: Book, entry: Entry, e: TradeFilled, position: int, terms: TraderTerms
) -> None:
    """Check that an account had the reason that it gives, and the order that this makes."""
    share_e6 = _E6
    match e.reason:
        case TradeReason.REDUCED | TradeReason.CLOSED:
            _check_reaction(book, entry, e.bucket_id, terms)
            share_e6 = _check_reduced(book, entry, e, terms)
        case TradeReason.STOPPED:
            _check_reaction(book, entry, e.bucket_id, terms)
            _check_stop(book, entry, e, position, terms)
        case TradeReason.ANTICIPATED:
            _check_reaction(book, entry, e.bucket_id, terms)
            share_e6 = ahead.check(book, entry, e, terms.anticipation)
        case TradeReason.RELEVERED:
            _check_reaction(book, entry, e.bucket_id, terms)
            _check_relevered(book, entry, e, position, terms)
            return
        case TradeReason.OPENED:
            _check_opened(book, entry, e, terms)
            return
        case TradeReason.ARRIVED:
            arrivals.check_opened(book, entry, e)
            return
        case TradeReason.REBALANCED:
            _check_rebalanced(book, entry, e, position, terms)
            return
    size = -(-abs(position) * share_e6 // _E6)
    book.expect("trader", entry, "ordered_e8", e.ordered_e8, -size if position > 0 else size)


def _check_reduced(book: Book, entry: Entry, e: TradeFilled, terms: TraderTerms) -> int:
    """Check that an account near its liquidation may reduce or close; return which share of it."""
    _check_near(book, entry, e.market_id, e.bucket_id, terms)
    if terms.near is None or not terms.near.may(e.reason):
        _report(book, entry, f"account {e.bucket_id} has {e.reason.name}: nobody does")
    elif e.reason is TradeReason.REDUCED:
        return terms.near.reduce_by_e6
    return _E6


def funds_deposited(book: Book, entry: Entry, e: FundsDeposited) -> None:
    """Check a deposit after the start: a top-up, or collateral of who comes back or arrives."""
    if not entry.sim_time_us:
        return  # The scenario's, checked with the openings.
    if e.owner_id not in book.buckets:
        return  # Reported as deposit: of the system's owners, only the start's are right.
    terms, home = _terms(book, entry, e.owner_id), book.buckets.get(e.owner_id)
    if terms is None or home is None:
        return
    if entry.cause_seq == NO_CAUSE:
        arrivals.check_deposit(book, entry, e)
        return
    ended = book.causes.event(entry.cause_seq, LiquidationEnded)
    if ended is not None:
        _check_return(book, entry, e, ended, terms.returns)
        return
    _check_reaction(book, entry, e.owner_id, terms)
    _check_near(book, entry, home, e.owner_id, terms)
    book.top_ups[e.owner_id] += 1
    if terms.near is None or not terms.near.can_top_up:
        _report(book, entry, f"account {e.owner_id} tops up, and its cohort does not")
        return
    if book.top_ups[e.owner_id] > terms.near.top_up_times:
        _report(book, entry, f"account {e.owner_id} tops up {book.top_ups[e.owner_id]} times")
    at_zero = int(book.terms.due_at_zero)
    lacking = at_zero - _margin(book, home, e.owner_id, terms.near.top_up_to_e6)
    right = max(-(-lacking // _E16), 0)
    # The venue rounds what a tier by notional asks for to 1e-14 units, above what it is.
    slack = 0 if book.rule(home).is_straight else 1
    if not right <= e.amount_uusd <= right + slack:
        book.expect("trader", entry, "amount_uusd", e.amount_uusd, right)


def _check_return(
    book: Book,
    entry: Entry,
    e: FundsDeposited,
    ended: LiquidationEnded,
    terms: ReturnTerms | None,
) -> None:
    """Check that an account comes back once, in time, after a liquidation that closed it."""
    if entry.cause_seq in book.returned or ended.bucket_id != e.owner_id or terms is None:
        _report(book, entry, f"account {e.owner_id} has no liquidation to come back from")
        return
    book.returned.add(entry.cause_seq)
    if book.legs(e.owner_id) or book.cash(e.owner_id) < 0:
        _report(book, entry, f"account {e.owner_id} comes back with a position or a debt")
    waited = entry.sim_time_us - book.causes.seen[entry.cause_seq].sim_time_us
    median, p99 = terms.delay_us
    is_windowed = any(start == entry.sim_time_us for start, _ in terms.windows)
    inside = any(start <= entry.sim_time_us < end for start, end in terms.windows)
    if terms.windows and not inside:
        _report(book, entry, f"account {e.owner_id} comes back outside its windows")
    if waited < 1 or (median == p99 and not is_windowed and waited != max(median, 1)):
        _report(book, entry, f"account {e.owner_id} comes back after {waited} us")
    book.paid_in = entry.seq, e.owner_id, e.amount_uusd


def _check_opened(book: Book, entry: Entry, e: TradeFilled, terms: TraderTerms) -> None:
    """Check side, size and leverage of a position that is opened again."""
    law, start = terms.returns, book.start_uusd.get(e.bucket_id, 0)
    paid_uusd = collateral.take_paid_in(book, entry, e)
    if paid_uusd is None:
        return
    if law is None:
        _report(book, entry, f"account {e.bucket_id} does not come back")
        return
    is_same = (e.quantity_e8 > 0) == (start > 0)
    if law.same_side_e6 == (0 if is_same else _E6):
        _report(book, entry, f"account {e.bucket_id} comes back on the wrong side")
    collateral.check_collateral(book, entry, e, paid_uusd, law.leverages)
    price = collateral.quoted_e8(book, entry, e)
    if law.size_sigma or price is None:
        return
    if not collateral.is_worth(e.ordered_e8, abs(start) * law.size, price):
        right = round(abs(start) * law.size * _E10 / price)
        message = f"ordered is {e8(abs(e.ordered_e8))}, must be {e8(right)}"
        _report(book, entry, message)


def funds_withdrawn(book: Book, entry: Entry, e: FundsWithdrawn) -> None:
    """Check that who withdraws has closed its position, and takes all that is left."""
    if book.legs(e.bucket_id) or book.fold.seq != entry.cause_seq or not e.amount_uusd:
        _report(book, entry, f"account {e.bucket_id} withdraws, and has not just closed")
    book.expect("trader", entry, "amount_uusd", e.amount_uusd, book.cash(e.bucket_id))
    book.leaves = None


def leaver_stayed(book: Book, entry: Entry) -> None:
    """Report an account that has closed its position and does not take out what is left."""
    _report(book, entry, f"account {book.leaves} has closed its position and leaves money behind")
    book.leaves = None


def traded(book: Book, entry: Entry, e: TradeFilled) -> None:
    """Note, once a trade is folded, the entry price, and who must withdraw now."""
    _note_entry(book, entry, e.market_id, e.bucket_id, e.entry_price_e8)
    if not book.position(e.market_id, e.bucket_id) and book.cash(e.bucket_id):
        book.leaves = e.bucket_id


def profit_cut(book: Book, entry: Entry, e: ProfitCut) -> None:
    """Note the entry price that a cut of its profit leaves an account that acts."""
    if e.payer_id in book.trader_terms:
        _note_entry(book, entry, e.market_id, e.payer_id, e.entry_price_e8)


def _note_entry(book: Book, entry: Entry, market: int, bucket: int, price_e8: int) -> None:
    seqs, prices = book.entered[market, bucket]
    seqs.append(entry.seq)
    prices.append(price_e8)


def _entered_at(book: Book, market: int, bucket: int, seq: int) -> int:
    """Return the entry price that an account had at an event."""
    seqs, prices = book.entered[market, bucket]
    row = bisect_right(seqs, seq)
    return prices[row - 1] if row else 0


def _terms(book: Book, entry: Entry, bucket: int) -> TraderTerms | None:
    """Return the terms by which an account acts; report one that may not."""
    terms = book.trader_terms.get(bucket)
    if terms is None:
        _report(book, entry, f"account {bucket} acts, and its cohort holds what it has")
    elif bucket in book.liquidation_of and not _may_top_up(book, entry, bucket):
        _report(book, entry, f"account {bucket} acts in its liquidation")
    return terms


def _may_top_up(book: Book, entry: Entry, bucket: int) -> bool:
    """Return whether an event is a deposit while a halt or a grace period holds a slice back."""
    now, liquidation = entry.sim_time_us, book.liquidations.get(book.liquidation_of[bucket])
    is_held = any(book.breakers.is_halted(leg, now) for leg in book.legs(bucket))
    is_open = liquidation is None or liquidation.open_tranche >= 0
    is_held = is_held or grace.lasts(book, bucket, now)
    return isinstance(entry.event, FundsDeposited) and is_held and not is_open


def _check_reaction(book: Book, entry: Entry, bucket: int, terms: TraderTerms) -> None:
    """Check that the reaction time lies between a reason and the act."""
    cause = book.causes.seen.get(entry.cause_seq)
    if cause is None:
        return  # Reported as cause_kind.
    waited, (median, p99) = entry.sim_time_us - cause.sim_time_us, terms.reaction_us
    if waited < 1 or (median == p99 and waited != max(median, 1)):
        _report(book, entry, f"account {bucket} acts {waited} us after its reason")


def _margin(book: Book, market: int, bucket: int, buffer_e6: int) -> int:
    """Return the margin at (1 + buffer) x maintenance, in 1e-22 USD; its units rounded up."""
    quantity, rule = book.position(market, bucket), book.rule(market)
    if not rule.is_straight:
        leg = rule, quantity, book.entry_price(market, bucket), 0, book.mark(market)
        return margin_e22(book.cash(bucket), [leg], buffer_e6=buffer_e6)
    asked = quantity * _E6 - slope_e14(rule, quantity)
    raised = -(-asked * (_E6 + buffer_e6) // _E6)
    return book.cash(bucket) * _E16 + book.mark(market) * (quantity * _E6 - raised)


def _check_near(book: Book, entry: Entry, market: int, bucket: int, terms: TraderTerms) -> None:
    """Check that an account that acts is near its liquidation."""
    if terms.near is None:
        _report(book, entry, f"account {bucket} acts, and has nothing to react to")
        return
    margin = _margin(book, market, bucket, terms.near.alert_buffer_e6)
    if not book.is_due(margin):
        message = f"account {bucket} has {usd(margin // _E16)} above its alert: it is not near"
        _report(book, entry, message)


def _check_stop(
    book: Book, entry: Entry, e: TradeFilled, position: int, terms: TraderTerms
) -> None:
    """Check that the mark reacted to was as far from the entry price as the nearest stop."""
    if terms.stop_e6 is None:
        _report(book, entry, f"account {e.bucket_id} has no stop")
    else:
        _check_moved(book, entry, e, terms.stop_e6, -1 if position > 0 else 1)


def _check_moved(book: Book, entry: Entry, e: TradeFilled, share_e6: int, sign: int) -> None:
    """Check that the mark reacted to was that share of the entry price up (1) or down (-1)."""
    cause = book.causes.event(entry.cause_seq, OracleUpdated | BookSampled)
    if cause is None:
        return  # Neither rules nor funding move a price, but make accounts look at it.
    mark_e8 = cause.mark_price_e8
    # Since then it may have rebalanced, or lost part of its profit: that changes no reason.
    entered = _entered_at(book, e.market_id, e.bucket_id, entry.cause_seq)
    if (sign * (mark_e8 - entered) + 1) * _E6 < entered * share_e6:
        message = f"account {e.bucket_id} acts at {e8(mark_e8)}, from {e8(entered)}"
        _report(book, entry, message)


def _check_relevered(
    book: Book, entry: Entry, e: TradeFilled, position: int, terms: TraderTerms
) -> None:
    """Check that an order takes a position in profit back to the leverage of the start."""
    if terms.relever_e6 is None or not position:
        _report(book, entry, f"account {e.bucket_id} has nothing to lever up")
        return
    _check_moved(book, entry, e, terms.relever_e6, 1 if position > 0 else -1)
    mark, leverage_e6 = book.mark(e.market_id), book.start_leverage_e6.get(e.bucket_id, 0)
    equity = book.cash(e.bucket_id) * _E10 + position * mark
    target = equity * leverage_e6 // (mark * _E6)
    right = (target if position > 0 else -target) - position
    book.expect("trader", entry, "ordered_e8", e.ordered_e8, right)
    if right * position <= 0:
        _report(book, entry, f"account {e.bucket_id} levers down")


def _check_rebalanced(
    book: Book, entry: Entry, e: TradeFilled, position: int, terms: TraderTerms
) -> None:
    """Check the instant of a rebalancing, and that the order leads to the target."""
    law = terms.rebalance
    if law is None or entry.sim_time_us % law.period_us or not position:
        _report(book, entry, f"account {e.bucket_id} has nothing to rebalance now")
        return
    newest = book.causes.newest_mark.get(e.market_id)
    book.expect("trader", entry, "the mark it is due to", entry.cause_seq, newest)
    mark = book.mark(e.market_id)
    equity = book.cash(e.bucket_id) * _E10 + position * mark
    leverage_e6 = _leverage_e6(book, e.market_id, law, entry.sim_time_us)
    ends = []
    for leverage in (leverage_e6 - 1, leverage_e6, leverage_e6 + 1):
        target = equity * leverage // (mark * _E6)
        ends.append((target if position > 0 else -target) - position)
    is_right = e.ordered_e8 == ends[1]
    if law.volatility is not None:  # A root of squares, known to a rounding.
        is_right = min(ends) <= e.ordered_e8 <= max(ends)
    if equity <= 0 or not is_right:
        message = f"ordered is {e8(e.ordered_e8)}, must be {e8(ends[1])}"
        _report(book, entry, message)


def _leverage_e6(book: Book, market: int, law: RebalanceTerms, now_us: int) -> int:
    """Return the multiple of equity, by the volatility of the marks at the instants so far."""
    if law.volatility is None:
        return law.leverage_e6
    at_us, prices = book.marks[market]
    stood = [
        prices[row - 1]
        for instant in range(law.period_us, now_us + 1, law.period_us)
        if (row := bisect_right(at_us, instant))
    ]
    squares = [math.log(b / a) ** 2 for a, b in pairwise(stood)]
    if not any(squares):
        return law.leverage_e6
    left = 0.5 ** (1 / law.half_life_periods)
    variance = squares[0]
    for square in squares:
        variance = left * variance + (1 - left) * square
    annual = math.sqrt(variance * _YEAR_US / law.period_us)
    return min(math.floor(law.volatility / annual * _E6), law.leverage_e6)


def _check_slippage(book: Book, entry: Entry, e: TradeFilled, terms: TraderTerms) -> None:
    """Check that the price moved no further than the account lets it."""
    depth = book.depths.get(e.market_id)
    if depth is None:
        return
    sign = 1 if e.quantity_e8 > 0 else -1
    before = depth.quote(entry.sim_time_us, e.reference_price_e8, sign).price_e8
    limit = before * (1 + sign * terms.slippage_e6 / _E6)
    if sign * (e.market_price_e8 - limit) > 2 + limit / 10**9:
        message = f"moved the market to {e8(e.market_price_e8)}, limit {e8(limit)}"
        _report(book, entry, message)


def _check_entry(book: Book, entry: Entry, e: TradeFilled, position: int) -> None:
    """Check the entry price: what is added is averaged in, against the account."""
    after, old = position + e.quantity_e8, book.fold.entry_prices_e8.get((e.market_id, e.bucket_id))
    if not after:
        right = 0
    elif position * e.quantity_e8 < 0:
        right = old or 0
    else:
        value = position * (old or 0) + e.quantity_e8 * e.price_e8
        right = -(-value // after) if after > 0 else max(value // after, 1)
    book.expect("entry_price", entry, "entry_price_e8", e.entry_price_e8, right)


def _check_left(book: Book, entry: Entry, e: TradeFilled, position: int) -> None:
    """Check that a trade leaves no account due, or in debt."""
    after = position + e.quantity_e8
    cash = book.cash(e.bucket_id) - e.cost_uusd - e.fee_uusd
    mark, rule = book.mark(e.market_id), book.rule(e.market_id)
    margin = margin_e22(cash, [(rule, after, e.entry_price_e8, 0, mark)])
    if abs(after) > abs(position) and e.reason not in _OPENINGS:
        asked = maintenance_e22(rule.as_initial, after, mark)
        if cash * _E16 + after * mark * _E6 < asked:
            _report(book, entry, f"opens account {e.bucket_id} more than its initial margin allows")
    if cash < 0 if not after else book.is_due(margin):
        _report(book, entry, f"leaves account {e.bucket_id} a margin of {usd(margin // _E16)}")


def _report(book: Book, entry: Entry, message: str) -> None:
    book.findings.add("trader", entry.seq, message)
