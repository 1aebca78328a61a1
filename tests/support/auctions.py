"""Judges auctions: who waits, what each offers, where the price comes to lie, and who trades."""

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import attrs

from liqsim.events import Action, AuctionHeld, DecisionRecorded, LotOffered, TranchesCrossed
from liqsim.scenario import Scenario
from liqsim.scenario.mitigations import BatchAuction

_E16 = 10**10
_NO_BOUND = 10**18


@attrs.frozen
class Offer:
    """What an account offers: units signed as its order, how far the price may move against it."""

    bucket: int
    order: int
    slack: int
    reserve: int


def cleared(
    offers: list[Offer], mark: int, width: int, bids: int
) -> tuple[int, dict[int, int], set[str]]:
    """
    Return price, units by account, and what was special, by a walk away from the mark.

    At each step all who may move further are still there; those who may not have left.
    """
    sold, bought = (sum(max(sign * o.order, 0) for o in offers) for sign in (-1, 1))
    sign = -1 if sold >= bought else 1
    larger = [o for o in offers if o.order * sign > 0]
    fills = {o.bucket: abs(o.order) for o in offers if o.order * sign < 0}
    matched = sum(fills.values())
    reach = width if bids else 0
    moved, found = 0, None
    for limit in sorted({min(o.slack, reach + 1) for o in larger} | {reach + 1}):
        ahead = sum(abs(o.order) for o in larger if o.slack >= limit)
        ahead += sum(abs(o.order) for o in larger if moved < o.slack < limit)
        lacking = max(ahead - matched, 0)
        needed = -(-lacking * width // bids) if bids else (0 if not lacking else width + 1)
        if max(moved, needed) < limit and max(moved, needed) <= reach:
            found = max(moved, needed)
            break
        moved = limit
    special = {"both sides"} if matched else set()
    end = reach if found is None else found
    room = matched + bids * end // width
    better = [o for o in larger if o.slack > end]
    queue = better if found is None else [o for o in larger if o.slack == end]
    if found is None:
        special.add("bids exhausted" if bids else "nobody bids")
    else:
        fills |= {o.bucket: abs(o.order) for o in better}
        room -= sum(abs(o.order) for o in better)
        special |= {"at a reserve price"} if queue and room else set()
    whole = sum(abs(o.order) for o in queue)
    if room >= whole:
        fills |= {o.bucket: abs(o.order) for o in queue}
    else:
        exact = [(o.bucket, room * abs(o.order) // whole) for o in queue]
        over = room - sum(units for _, units in exact)
        fills |= {b: units + (place < over) for place, (b, units) in enumerate(exact)}
    if any(o.slack < end for o in larger):
        special.add("a reserve binds")
    partly = [o for o in larger if 0 < fills.get(o.bucket, 0) < abs(o.order)]
    special |= {"filled in part"} if partly else set()
    return max(mark + sign * end, 1), {b: units for b, units in fills.items() if units}, special


class AuctionJudge:
    """
    Follows the auctions of a run.

    Args:
        scenario: Its parameters.
        census: Counts what it meets.
        meetable: Returns the units that (market, bucket) could offer now, signed as its position;
            0 of one that cannot.
    """

    def __init__(
        self, scenario: Scenario, census: Counter[str], meetable: Callable[[int, int], int]
    ) -> None:
        self._census = census
        self._meetable = meetable
        self.rules: dict[int, tuple[int, BatchAuction]] = {
            market: (number, spec)
            for market, table in enumerate(scenario.markets)
            for number, spec in enumerate(scenario.mitigations)
            if isinstance(spec, BatchAuction) and spec.period_us
            if spec.market in ("", table.name)
        }
        # Until a slice of an account is put up: since when each leg waits, and which were offered.
        self._asked: dict[int, dict[int, int]] = defaultdict(dict)
        self._offered: set[tuple[int, int]] = set()
        self.price = 0
        self.lots: list[tuple[LotOffered, int]] = []
        self.starts: dict[int, int] = {}
        self.pairs: list[tuple[int, int, int]] = []
        self.taken: dict[int, int] = {}

    def until(self, bucket: int, market: int) -> int:
        """Return when the auction is, or was, for which a leg waits; 0 if none."""
        if market not in self._asked[bucket]:
            return 0
        period = self.rules[market][1].period_us
        return -(-(self._asked[bucket][market] + 1) // period) * period

    def last_until(self, bucket: int) -> int:
        """Return the latest of those of the legs of an account."""
        return max((self.until(bucket, market) for market in self._asked[bucket]), default=0)

    def decided(self, at: int, event: DecisionRecorded) -> None:
        """Judge that a slice waits."""
        market, bucket = event.market_id, event.bucket_id
        number, _ = self.rules[market]
        assert (event.mitigation_id, event.action) == (number, Action.HELD)
        assert event.wanted_e8 == abs(self._meetable(market, bucket)) > 0
        assert self.last_until(bucket) <= at, "another leg waits"
        self._asked[bucket].setdefault(market, at)
        assert event.until_at_us == self.until(bucket, market) > at
        self._census["waits for an auction"] += 1

    def passes(self, at: int, market: int, bucket: int) -> None:
        """Judge that a slice goes on to be put up or paced."""
        if market not in self.rules or not self._meetable(market, bucket):
            return
        until = self.until(bucket, market)
        assert until, "it has not waited"
        assert until <= at, "it goes on while it waits"
        assert until < at or (bucket, market) in self._offered, "it was not offered"

    def forget(self, bucket: int) -> None:
        """Take note that the slice in hand is put up, or its liquidation over."""
        for market in self._asked.pop(bucket, {}):
            self._offered.discard((bucket, market))

    def held(
        self, at: int, event: AuctionHeld, mark: int, free: int, held: int, facts: Any
    ) -> None:
        """Judge an auction; *facts* gives (trigger, reserve price) of (market, bucket)."""
        market = event.market_id
        number, spec = self.rules[market]
        assert at % spec.period_us == 0
        assert not self.lots
        assert not self.starts
        waiting = sorted(
            (legs[market], facts(market, bucket)[0], bucket)
            for bucket, legs in self._asked.items()
            if self.until(bucket, market) == at and self._meetable(market, bucket)
        )
        assert waiting, "nobody waits for it"
        offers = []
        for _, _, bucket in waiting:
            units, reserve = self._meetable(market, bucket), facts(market, bucket)[1]
            slack = mark - reserve if units > 0 else (reserve or _NO_BOUND) - mark
            assert slack >= 0
            offers.append(Offer(bucket, -units, slack, reserve))
        sold = sum(-o.order for o in offers if o.order < 0)
        bought = sum(o.order for o in offers if o.order > 0)
        width = max(mark * spec.distance_e6 // 10**6, 1)
        is_long = sold >= bought
        worst = mark if is_long else mark + width
        room = spec.position_limit_uusd * _E16 // mark - (held if is_long else -held)
        asked, paid_for = spec.bids_uusd * _E16 // mark, free * _E16 // worst
        bids = max(min(asked, paid_for, room), 0) if spec.purse_uusd else 0
        bids = bids if bids * mark >= spec.least_uusd * _E16 else 0
        price, fills, special = cleared(offers, mark, width, bids)
        assert (event.mitigation_id, event.mark_price_e8) == (number, mark)
        assert (event.for_sale_e8, event.for_purchase_e8) == (sold, bought)
        assert (event.bids_e8, event.free_uusd) == (bids, free if spec.purse_uusd else 0)
        assert event.price_e8 == price
        taken = sum(fills.get(o.bucket, 0) * (1 if o.order < 0 else -1) for o in offers)
        assert event.taken_e8 == taken
        assert abs(price - mark) <= width
        self.price = price
        self.lots = [
            (
                LotOffered(
                    trigger, o.bucket, market, o.order, o.reserve, fills.get(o.bucket, 0), since
                ),
                at,
            )
            for o, (since, trigger, _) in zip(offers, waiting, strict=True)
        ]
        self.starts = {o.bucket: fills[o.bucket] for o in offers if o.bucket in fills}
        sells = [[o.bucket, fills.get(o.bucket, 0)] for o in offers if o.order < 0]
        buys = [[o.bucket, fills.get(o.bucket, 0)] for o in offers if o.order > 0]
        self.pairs = []
        while True:
            sells, buys = ([row for row in rows if row[1]] for rows in (sells, buys))
            if not sells or not buys:
                break
            units = min(sells[0][1], buys[0][1])
            self.pairs.append((sells[0][0], buys[0][0], units))
            sells[0][1] -= units
            buys[0][1] -= units
        self.taken = dict((*sells, *buys))
        self._offered |= {(o.bucket, market) for o in offers}
        self._census.update(f"auction: {what}" for what in special)
        self._census["auction: capital binds"] += 0 < bids == paid_for < asked
        self._census["auction: several lots"] += len(offers) > 1
        self._census["auction: bidders sell"] += taken < 0

    def offered(self, at: int, event: LotOffered) -> None:
        """Judge a lot."""
        right, when = self.lots.pop(0)
        assert (event, at) == (right, when)

    def started(self, bucket: int, whole: int) -> int:
        """Return the units of a slice that is put up in an auction, of so many offered."""
        assert not self.lots, "lots are told first"
        size = self.starts.pop(bucket)
        if size == whole:
            self.forget(bucket)
        return size

    def met(self, event: TranchesCrossed) -> int:
        """Return the units that a seller and a buyer trade."""
        assert not self.starts, "all are put up first"
        seller, buyer, units = self.pairs.pop(0)
        assert (event.bucket_id, event.counterparty_id) == (seller, buyer)
        assert (event.quantity_e8, event.price_e8) == (-units, self.price)
        self._census["auction: a pair"] += 1
        return units
