"""
Mitigations that judge the instant: what each says to an ask, worked out from the log again.

What they see of the venue's own book is known to a rounding, so that the observation recorded is
held against bounds; the decision is recomputed from it to the last unit.
"""

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Final

import attrs
import numpy as np

from liqsim.events import Action, DecisionRecorded, Entry
from liqsim.events.mitigation import NOT_OBSERVED
from liqsim.units import BOUND
from replay.audit.book import Book
from replay.audit.coins import slice_size_e8
from replay.audit.findings import e8
from replay.audit.limits import Judging
from replay.terms import MitigationTerms

_E6: Final = 10**6
_E9: Final = 10**9
_E10: Final = 10**10
_HOUR_US: Final = 3_600_000_000
_TOLERANCE: Final = 1e-9
_NEAR: Final = 10**10
"""What differs by one part of so many is as good as the same."""
_AVERAGING: Final = 1e-3
"""Relative error of a slippage that is averaged over points of the walk."""


def decision_of(book: Book, ask: Judging, number: int, depth_e8: int) -> DecisionRecorded | None:
    """Return what a mitigation must have decided if it saw *depth_e8* in the book; None if none."""
    row = book.terms.mitigations[number]
    return _LAWS[row.kind](book, ask, number, row, depth_e8)


def check_foreign(book: Book, entry: Entry, ask: Judging, e: DecisionRecorded) -> None:
    """Check a third party's decision for what every decision must be: on this ask, and of use."""
    right = _decision(ask, e.mitigation_id)
    is_delayed = e.action is Action.DELAYED
    for what, actual, due in (
        ("market_id", e.market_id, right.market_id),
        ("bucket_id", e.bucket_id, right.bucket_id),
        ("wanted_e8", e.wanted_e8, right.wanted_e8),
    ):
        book.expect("decision", entry, what, actual, due)
    is_of_use = e.until_at_us > ask.now_us if is_delayed else 0 < e.size_e8 < ask.wanted_e8
    if not is_of_use or e.action not in (Action.CUT, Action.DELAYED):
        book.findings.add("decision", entry.seq, "it neither cuts the slice nor has it wait")


def check_depth(book: Book, entry: Entry, ask: Judging, e: DecisionRecorded) -> None:
    """Check what a decision says of the venue's own book, where it rests on that."""
    row = book.terms.mitigations[e.mitigation_id]
    if not _looks_at_book(row) or e.depth_e8 == NOT_OBSERVED:
        return
    if row.kind == "slices":
        is_right = is_within(book, ask, row.ratio("distance"), e.depth_e8)
    else:
        margin = 2 + round(e.depth_e8 * 3 * _AVERAGING)
        is_right = _fits(book, ask, row, e.depth_e8, 1) and (
            e.depth_e8 >= ask.wanted_e8 or not _fits(book, ask, row, e.depth_e8 + margin, -1)
        )
    if not is_right:
        message = f"the book would not take {e8(e.depth_e8)}, or more"
        book.findings.add("decision", entry.seq, message)


def lets_through(book: Book, ask: Judging, number: int) -> bool:
    """Return whether a mitigation may have let an ask through without a word."""
    row = book.terms.mitigations[number]
    if not _looks_at_book(row):
        return decision_of(book, ask, number, 0) is None
    wanted = ask.wanted_e8
    if row.kind == "slippage_cap":
        return _fits(book, ask, row, wanted, 1)
    if decision_of(book, ask, number, 10**30) is not None:
        return False
    needed = -(-wanted * _E6 // row.ratio("share"))
    return decision_of(book, ask, number, 0) is None or _holds(
        book, ask, row.ratio("distance"), needed, 1
    )


def _looks_at_book(row: MitigationTerms) -> bool:
    return row.kind == "slippage_cap" or (row.kind == "slices" and row.word("law") == "depth_share")


def _decision(ask: Judging, number: int) -> DecisionRecorded:
    return DecisionRecorded(
        mitigation_id=number,
        action=Action.CUT,
        market_id=ask.market_id,
        bucket_id=ask.bucket_id,
        wanted_e8=ask.wanted_e8,
    )


def _slices(
    book: Book, ask: Judging, number: int, row: MitigationTerms, depth_e8: int
) -> DecisionRecorded | None:
    before = book.flows.slices.get(ask.bucket_id, {}).get(ask.market_id, [])
    decision = _decision(ask, number)
    if before and ask.now_us < (until := before[-1] + row.duration("interval")):
        return attrs.evolve(decision, action=Action.DELAYED, until_at_us=until)
    law, mark = row.word("law"), book.mark(ask.market_id)
    if law == "fixed":
        size = _units(row.usd("amount_usd"), mark)
    elif law == "depth_share":
        size = depth_e8 * row.ratio("share") // _E6
        decision = attrs.evolve(decision, depth_e8=min(depth_e8, 10**18 - 1))
    elif law == "participation":
        window = row.duration("window")
        traded = book.flows.traded_uusd(ask.market_id, ask.now_us - window)
        forced = book.flows.forced_uusd(ask.market_id, ask.now_us - window)
        volume = traded + row.usd("background_usd_per_hour") * window // _HOUR_US
        size = _units(max(volume * row.ratio("share") // _E6 - forced, 0), mark)
        decision = attrs.evolve(decision, forced_uusd=forced, traded_uusd=traded)
    else:
        size = _scheduled(book, ask, row, len(before) + 1)
    size = max(size, _units(row.usd("least_usd"), mark))
    return None if size >= ask.wanted_e8 else attrs.evolve(decision, size_e8=size)


def _scheduled(book: Book, ask: Judging, row: MitigationTerms, place: int) -> int:
    """Return the size of a slice of a schedule by its place."""
    liquidation = book.liquidations[book.liquidation_of[ask.bucket_id]]
    whole = liquidation.sizes_e8.get(ask.market_id, 0)
    whole = slice_size_e8(book, ask.market_id, ask.bucket_id, whole, book.mark(ask.market_id))
    parts = int(row.values["parts"])
    if row.word("law") == "time_weighted":
        return -(-whole // parts)
    life = Decimal(row.duration("interval")) / row.duration("half_life")
    left = int((_E9 * Decimal(2) ** -life).to_integral_value())
    inner = _E9 - left
    weights = 2 * _E9 + (parts - 2) * inner
    return -(-whole * (_E9 if place in (1, parts) or place > parts else inner) // weights)


def _delays(
    book: Book, ask: Judging, number: int, row: MitigationTerms, _depth_e8: int
) -> DecisionRecorded | None:
    forced = book.flows.forced_uusd(ask.market_id, ask.now_us - row.duration("window"))
    pause = -(-forced * row.duration("per_million") // (_E6 * _E6))
    longest = row.duration("max")
    grain = max(longest // 64, 1)
    until = book.flows.since_us.get(ask.bucket_id, 0) + min(-(-pause // grain) * grain, longest)
    if until <= ask.now_us:
        return None
    decision = _decision(ask, number)
    return attrs.evolve(decision, action=Action.DELAYED, until_at_us=until, forced_uusd=forced)


def _slippage(
    book: Book, ask: Judging, number: int, row: MitigationTerms, depth_e8: int
) -> DecisionRecorded | None:
    if depth_e8 >= ask.wanted_e8:
        return None
    decision = attrs.evolve(_decision(ask, number), depth_e8=depth_e8)
    worth, least = depth_e8 * book.mark(ask.market_id), row.usd("least_usd") * _E10
    if not depth_e8 or worth < least:
        until = ask.now_us + row.duration("retry")
        return attrs.evolve(decision, action=Action.DELAYED, until_at_us=until)
    return attrs.evolve(decision, size_e8=depth_e8)


def _units(uusd: int, mark_e8: int) -> int:
    return max(uusd * _E10 // max(mark_e8, 1), 1)


def _reference(book: Book, ask: Judging) -> int:
    at_us, prices = book.paths[ask.market_id]
    return int(prices[int(np.searchsorted(at_us, ask.now_us, side="right")) - 1])


def _order(book: Book, ask: Judging, size_e8: int) -> int:
    return -size_e8 if book.position(ask.market_id, ask.bucket_id) > 0 else size_e8


def is_within(book: Book, ask: Judging, distance_e6: int, depth_e8: int) -> bool:
    """Return whether the book can have had just *depth_e8* within a share of the price."""
    margin = 2 + round(depth_e8 * _TOLERANCE)
    return _holds(book, ask, distance_e6, depth_e8, 1) and not _holds(
        book, ask, distance_e6, depth_e8 + margin, -1
    )


def within_distance_e8(book: Book, ask: Judging, distance_e6: int) -> tuple[int, int]:
    """Return between how many units the book can have had within a share of the price."""
    surely, maybe = (partial(_holds, book, ask, distance_e6, lenient=side) for side in (-1, 1))
    return _largest(surely)[0], _largest(maybe)[1]


def _largest(holds: Callable[[int], bool]) -> tuple[int, int]:
    """Return two sizes, near each other, of which something *holds* of the first alone."""
    low, high = 0, BOUND
    while high - low > 1 + low // _NEAR:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low, high


def _holds(book: Book, ask: Judging, distance_e6: int, size_e8: int, lenient: int) -> bool:
    """Return whether the book has *size_e8* within the distance; -1 must be sure, 1 may not."""
    if ask.market_id not in book.depths or ask.market_id not in book.paths:
        return lenient > 0
    depth, order = book.depths[ask.market_id], _order(book, ask, size_e8)
    price, low, high, room = depth.walked(ask.now_us, _reference(book, ask), order)
    slack = lenient * (2 + _TOLERANCE * price)
    if size_e8 > room + lenient * (1 + _TOLERANCE * room):
        return False
    if order < 0:
        after = high if lenient > 0 else low
        return after >= price * (1 - distance_e6 / _E6) - slack
    after = low if lenient > 0 else high
    return after <= price * (1 + distance_e6 / _E6) + slack


def _fits(book: Book, ask: Judging, row: MitigationTerms, size_e8: int, lenient: int) -> bool:
    """Return whether what the book takes of *size_e8* has no more than the slippage."""
    if not size_e8 or ask.market_id not in book.depths or ask.market_id not in book.paths:
        return size_e8 == 0 or lenient > 0
    order = _order(book, ask, size_e8)
    quote = book.depths[ask.market_id].quote(ask.now_us, _reference(book, ask), order)
    slack = lenient * (3 + _AVERAGING * quote.slippage_e8 + _TOLERANCE * quote.price_e8)
    return quote.slippage_e8 <= quote.price_e8 * row.ratio("max_slippage") / _E6 + slack


_Law = Callable[[Book, Judging, int, MitigationTerms, int], DecisionRecorded | None]
_LAWS: Final[dict[str, _Law]] = {"slices": _slices, "delays": _delays, "slippage_cap": _slippage}
_NO_JUDGES: Final = frozenset(
    {
        "rate_limit", "breaker", "divergence_pause", "grace", "dynamic_margin",
        "open_interest_margin", "concentration_margin", "correlation_margin", "stress_margin",
        "predictive", "leverage_fee", "fund_limits", "staking", "backstop", "pool", "crossing",
        "batch_auction", "penalty_routing", "keeper_reward",
    }
)  # fmt: skip


def is_judge(kind: str) -> bool:
    """Return whether a kind judges the instant; a third party's does."""
    return kind not in _NO_JUDGES


def is_foreign(kind: str) -> bool:
    """Return whether a kind is a third party's, whose reasons no audit knows."""
    return is_judge(kind) and kind not in _LAWS
