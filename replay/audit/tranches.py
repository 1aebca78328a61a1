"""Tranches: when they may start, how large they may be, at what limit, and what became of them."""

from liqsim.events import Entry, Executor, LiquidationTriggered, TrancheSettled, TrancheStarted
from replay.audit import (
    auctions,
    coins,
    crossing,
    desk,
    engine,
    fund,
    grace,
    keepers,
    pacing,
    pools,
    vaults,
)
from replay.audit.book import Book, LiquidationProgress, TrancheProgress
from replay.audit.findings import e8, usd
from replay.audit.legs import check_leg, slice_e8


def tranche_started(book: Book, entry: Entry, e: TrancheStarted) -> None:
    """Check that a tranche may start now, and its size, mark and limit."""
    book.tranches[entry.seq] = TrancheProgress(e)
    coins.tranche_started(book, e)
    book.expect_mark(entry, e.market_id, e.mark_price_e8)
    book.check_fresh(entry, e.bucket_id)
    grace.tranche_started(book, entry, e)
    executor, is_crossed = Executor[book.terms.executor.upper()], e.executor.is_meeting
    if not is_crossed:
        book.expect("executor", entry, "executor", e.executor.name, executor.name)
        if executor is Executor.KEEPERS:
            keepers.offered(book, entry, e)
        desk.tranche_started(book, entry, e)
        pools.tranche_started(book, entry, e)
    liquidation = book.liquidations.get(e.liquidation_seq)
    if liquidation is None:
        if book.causes.event(e.liquidation_seq, LiquidationTriggered) is not None:
            message = f"liquidation {e.liquidation_seq} has ended"
            book.findings.add("lifecycle", entry.seq, message)
        return
    if not is_crossed:
        engine.tranche_started(book, entry, e)
    _check_turn(book, entry, e, liquidation)
    # Who is met, or auctioned, is held with the leg that stood first then.
    if not crossing.is_met(book, e) and e.executor is not Executor.AUCTION:
        check_leg(book, entry, e, liquidation)
    _check_size(book, entry, e, liquidation)
    if not e.executor.is_meeting:
        fund.check_limit_caps(book, entry, e)
    _check_limit(book, entry, e)
    liquidation.open_tranche = entry.seq


def tranche_settled(book: Book, entry: Entry, e: TrancheSettled) -> None:
    """Check that the parts of a tranche are those executed, and sum to the slice."""
    tranche = book.tranches.pop(e.tranche_seq, None)
    if tranche is None:
        if book.causes.event(e.tranche_seq, TrancheStarted) is not None:
            message = f"tranche {e.tranche_seq} is settled already"
            book.findings.add("lifecycle", entry.seq, message)
        return
    for what, actual, right in (
        ("filled_e8", e.filled_e8, tranche.filled_e8),
        ("taken_over_e8", e.taken_over_e8, tranche.taken_over_e8),
        ("deleveraged_e8", e.deleveraged_e8, tranche.deleveraged_e8),
        ("crossed_e8", e.crossed_e8, tranche.crossed_e8),
    ):
        book.expect("tranche_parts", entry, what, actual, right)
    total = e.filled_e8 + e.taken_over_e8 + e.deleveraged_e8 + e.cancelled_e8 + e.crossed_e8
    book.expect(
        "tranche_parts",
        entry,
        "sum_of_parts_e8",
        total,
        abs(tranche.start.quantity_e8),
    )
    keepers.settled(book, entry, e)
    crossing.settled(book, entry, tranche.start, e.tranche_seq)
    now, market = entry.sim_time_us, tranche.start.market_id
    is_stopped = book.is_stale(e.bucket_id, now) or book.is_restored(e.bucket_id)
    is_stopped |= book.breakers.is_halted(market, now)  # Nobody is asked inside a halt.
    if e.cancelled_e8 and book.terms.executor != "keepers" and not is_stopped:
        vaults.check_done(book, entry, tranche)
    bucket = tranche.start.bucket_id
    coins.check_spent(book, entry, tranche.start.market_id, bucket, e)
    debt = book.fold.bad_debt_uusd.get(bucket, 0)
    if not book.legs(bucket) and book.cash(bucket) < -debt:
        message = f"bucket {bucket} has {usd(book.cash(bucket))} and a bad debt of {usd(debt)}"
        book.findings.add("bad_debt", entry.seq, message)
    book.settled_at_us[bucket] = entry.sim_time_us
    liquidation = book.liquidations.get(tranche.start.liquidation_seq)
    if liquidation is not None:
        liquidation.open_tranche = -1
        pause = book.terms.spacing_us
        # What an old mark stopped waits for the next one, not for depth, and what a halt did for
        # its end.
        is_stopped = book.is_stale(bucket, now) or book.breakers.is_halted(market, now)
        if e.cancelled_e8 and book.terms.executor != "keepers" and not is_stopped:
            pause = max(pause, book.terms.retry_us)
        liquidation.earliest_us = entry.sim_time_us + pause


def _check_turn(
    book: Book, entry: Entry, e: TrancheStarted, liquidation: LiquidationProgress
) -> None:
    if liquidation.open_tranche >= 0:
        message = f"tranche {liquidation.open_tranche} is not settled"
        book.findings.add("lifecycle", entry.seq, message)
    if book.is_restored(e.bucket_id):
        message = f"the margin of bucket {e.bucket_id} is restored"
        book.findings.add("lifecycle", entry.seq, message)
    liquidation.tranches += 1
    what = "tranche_number"
    book.expect("tranche_number", entry, what, e.tranche_number, liquidation.tranches)
    if entry.sim_time_us < liquidation.earliest_us:
        message = f"at {entry.sim_time_us} us, must be at {liquidation.earliest_us} or later"
        book.findings.add("tranche_spacing", entry.seq, message)


def _check_size(
    book: Book, entry: Entry, e: TrancheStarted, liquidation: LiquidationProgress
) -> None:
    position = book.position(e.market_id, e.bucket_id)
    most = slice_e8(book, e.market_id, e.bucket_id, liquidation, e.mark_price_e8)
    if e.executor is Executor.CROSSING:
        most = crossing.size_e8(book, entry, e, most)
    elif e.executor is Executor.AUCTION:
        most = auctions.size_e8(book, entry, e)
    else:
        crossing.passed(book, entry, e.market_id, e.bucket_id)
        auctions.passed(book, entry, e.market_id, e.bucket_id)
        book.forget_slice(e.bucket_id)
        most = pacing.size_e8(book, entry, e, most)
    if abs(e.quantity_e8) != most or e.quantity_e8 * position >= 0:
        message = f"the slice is {e8(e.quantity_e8)} of {e8(position)}, must be {e8(most)} of it"
        book.findings.add("tranche_size", entry.seq, message)


def _check_limit(book: Book, entry: Entry, e: TrancheStarted) -> None:
    """Check that the limit is the bankruptcy price and what the fund holds per unit."""
    position, size = book.position(e.market_id, e.bucket_id), abs(e.quantity_e8)
    if not position or not size:
        return
    payable = 0 if e.executor.is_meeting else None  # The fund pays nothing where slices meet.
    right = book.limit_price(e.market_id, e.bucket_id, size, payable)
    book.expect("limit_price", entry, "limit_price_e8", e.limit_price_e8, right)
