"""
Batch auctions: of random books and in random runs.

What clears is held against every price that there is, and against two other ways to find it: the
walk of the auditor (support/auctions.py) and the candidates of the audit. Runs are judged event by
event, and audited from their logs.
"""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.auctions import Offer
from support.auctions import cleared as walked
from support.auditor import audited
from support.effort import cases
from support.floors import assert_floors
from support.meeting import auctioning
from support.scenarios import Raw, load

from liqsim.events import LotOffered
from liqsim.mechanics.mitigations.batch_auction import Lot, clear, pairs_e8
from liqsim.runner import prepare, run_to_log
from replay.audit.auctions import _cleared
from replay.verify import verify

_MARK = 1_000


@st.composite
def _books(draw: st.DrawFn) -> tuple[list[Lot], int, int]:
    """Return lots, none of them bankrupt at the mark, the width of the bids, and their units."""
    width = draw(st.integers(1, 40))
    lots = []
    for _ in range(draw(st.integers(1, 6))):
        sign = draw(st.sampled_from((-1, -1, 1)))
        room = draw(st.one_of(st.integers(0, width + 3), st.just(None)))
        reserve = 0 if room is None else _MARK + sign * room
        lots.append(Lot(sign * draw(st.integers(1, 30)), reserve))
    return lots, width, draw(st.sampled_from((0, 1, 7, 30, 90)))


def test_what_clears_is_the_most_that_can_at_one_price_that_all_accept() -> None:
    census: Counter[str] = Counter()

    @cases(600)
    @given(_books())
    def the_most_clears(book: tuple[list[Lot], int, int]) -> None:
        lots, width, bids = book
        price, fills = clear(lots, mark_e8=_MARK, width_e8=width, bids_e8=bids)
        moved = abs(price - _MARK)
        sold, bought = (
            [fill * (lot.quantity_e8 * sign > 0) for lot, fill in zip(lots, fills, strict=True)]
            for sign in (-1, 1)
        )
        taken = sum(sold) - sum(bought)
        longs, shorts = (_offered(lots, sign, _MARK) for sign in (-1, 1))
        sign = -1 if longs >= shorts else 1

        assert moved <= (width if bids else 0)
        assert (price - _MARK) * sign >= 0
        assert abs(taken) <= bids * moved // width
        assert taken * sign <= 0, "bidders take what is over"
        for lot, fill in zip(lots, fills, strict=True):
            assert 0 <= fill <= abs(lot.quantity_e8)
            beyond = (price - lot.reserve_e8) * (1 if lot.quantity_e8 < 0 else -1)
            assert not fill or not lot.reserve_e8 or beyond >= 0
        # The most at any price: what the larger side offers there, or what is bid for it.
        most = max(
            min(_offered(lots, sign, _MARK + sign * d), min(longs, shorts) + bids * d // width)
            for d in range(width + 1)
        )
        assert sum(fills) == most + min(longs, shorts)
        assert sum(units for *_, units in pairs_e8(sold, bought)) == min(sum(sold), sum(bought))

        offers = [
            Offer(n, lot.quantity_e8, lot.slack_e8(_MARK), lot.reserve_e8)
            for n, lot in enumerate(lots)
        ]
        by_walk, units, special = walked(offers, _MARK, width, bids)
        assert (by_walk, [units.get(n, 0) for n in range(len(lots))]) == (price, fills)
        told = [
            LotOffered(0, n, 0, lot.quantity_e8, lot.reserve_e8, 0, 0) for n, lot in enumerate(lots)
        ]
        assert _cleared(told, _MARK, width, bids) == (price, fills)
        census.update(special)

    the_most_clears()

    assert_floors(census, _FLOORS_OF_BOOKS)


def _offered(lots: list[Lot], sign: int, price: int) -> int:
    """Return the units of all on one side who accept a price."""
    return sum(
        abs(lot.quantity_e8)
        for lot in lots
        if lot.quantity_e8 * sign > 0
        and (not lot.reserve_e8 or (price - lot.reserve_e8) * sign <= 0)
    )


_FLOORS_OF_BOOKS = {
    "a reserve binds": 120,
    "at a reserve price": 110,
    "bids exhausted": 100,
    "both sides": 200,
    "filled in part": 200,
    "nobody bids": 60,
}


@pytest.mark.parametrize("executor", ["engine", "keepers"])
def test_every_law_holds_after_every_event_of_runs_with_auctions(executor: str) -> None:
    census: Counter[str] = Counter()

    @cases(12)
    @given(auctioning(executor))
    def every_law_holds(raw: Raw) -> None:
        census.update(audited(prepare(load(raw))).census)

    every_law_holds()

    assert_floors(census, _FLOORS)


_FLOORS = {
    "runs": 12,
    "auction_held": 40,
    "auction: a pair": 60,
    "auction: bidders sell": 10,
    "auction: bidders take": 70,
    "auction: bids exhausted": 25,
    "auction: both sides": 8,
    "auction: capital binds": 11,
    "auction: filled in part": 26,
    "auction: nobody bids": 9,
    "auction: several lots": 28,
}


def test_the_audit_finds_nothing_in_runs_with_auctions(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    census: Counter[str] = Counter()

    @cases(5)
    @given(st.one_of(auctioning("engine"), auctioning("keepers")))
    def nothing_is_found(raw: Raw) -> None:
        path = tmp_path_factory.mktemp("audit") / "run.duckdb"
        run_to_log(load(raw), path)

        assert verify(path) == []
        census.update(audited(prepare(load(raw))).census)

    nothing_is_found()

    assert_floors(census, {"auction_held": 1})
