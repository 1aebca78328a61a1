"""Batch auctions by hand: who waits, what clears at which price, and what an audit says of it."""

from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
from support.auditor import audited
from support.meeting import meeting_by_hand
from support.scenarios import (
    Raw,
    at,
    auctioned,
    knots,
    load,
    market,
    prepared_by_hand,
    small_scenario,
)
from support.sinks import ListSink
from support.verdicts import codes_of

from liqsim.errors import ScenarioError
from liqsim.events import (
    NO_CAUSE,
    Action,
    AuctionHeld,
    DecisionRecorded,
    Entry,
    FundDrawn,
    InventorySold,
    LiquidationUnresolved,
    LotOffered,
    OrderFilled,
    Owner,
    TranchesCrossed,
    TrancheStarted,
    TrancheTakenOver,
    UnresolvedReason,
)
from liqsim.mechanics.mitigations.batch_auction import Lot, clear
from liqsim.processes import auctions, venue
from liqsim.processes.auctions import Auctions
from liqsim.processes.resale import Inventory
from liqsim.runner import Simulation, run_to_log
from replay.log import Log

S: Final = 10**6
USD: Final = 10**6
UNIT: Final = 10**8
BIDDERS, FIRST = 5, 6
"""Owner numbers of the bidders and of the first account."""

LONG, SHORT = (10, 100, 30), (-6, 100, 18)
"""(units, entry, collateral): 3 % of margin, so that both are due once maintenance is 4 %."""
WEAK: Final = (5, 100, Decimal("7.5"))
"""Bankrupt at 98.5."""


def held(**changes: Any) -> Raw:
    """Bids for 20 units at 100, evenly down to 96 and up to 104."""
    row = {
        "kind": "batch_auction",
        "period": "5s",
        "bids_usd": 2_000,
        "distance": Decimal("0.04"),
        "purse_usd": 10_000,
    }
    return row | changes


def story(*positions: Any, rows: list[Raw] | None = None, **changes: Any) -> list[Entry]:
    """Return the events of these accounts, judged; maintenance is 4 % from 10 s on."""
    prepared = meeting_by_hand(list(positions), [held()] if rows is None else rows, **changes)
    return audited(prepared).entries


def times(entries: list[Entry], what: Any) -> list[tuple[float, Any]]:
    """Return (second, what it says) of the events of which *what* says something."""
    found = ((e.sim_time_us / S, what(e.event)) for e in entries)
    return [(second, said) for second, said in found if said is not None]


def waits(entries: list[Entry], first: int = FIRST) -> list[tuple[float, tuple[int, float, float]]]:
    """Return when who had to wait (account, units, until)."""
    return times(
        entries,
        lambda e: (
            (e.bucket_id - first, e.wanted_e8 / UNIT, e.until_at_us / S)
            if isinstance(e, DecisionRecorded) and e.action is Action.HELD
            else None
        ),
    )


def prices(entries: list[Entry]) -> list[tuple[float, float]]:
    """Return when auctions were held, and at which price they cleared."""
    return times(entries, lambda e: e.price_e8 / UNIT if isinstance(e, AuctionHeld) else None)


def lots(entries: list[Entry], first: int = FIRST) -> list[tuple[float, tuple[int, float, float]]]:
    """Return when who offered what (account, units as its order, units filled)."""
    return times(
        entries,
        lambda e: (
            (e.bucket_id - first, e.quantity_e8 / UNIT, e.filled_e8 / UNIT)
            if isinstance(e, LotOffered)
            else None
        ),
    )


def fills(entries: list[Entry], first: int = FIRST) -> list[tuple[float, tuple[int, float]]]:
    """Return when what was filled in the book (account, units)."""
    return times(
        entries,
        lambda e: (
            (e.bucket_id - first, e.quantity_e8 / UNIT) if isinstance(e, OrderFilled) else None
        ),
    )


# What clears --------------------------------------------------------------------------------------


def test_all_trade_at_the_one_price_at_which_as_much_is_sold_as_bought() -> None:
    # Twenty for sale, six wanted. Down to 98.5 bids are for 7.5: too few for the fourteen over.
    # Below it the weak one has left: at 98.2 the fifteen meet six and bids for nine.
    entries = story(LONG, WEAK, (5, 100, 15), SHORT)

    # The weakest is triggered first.
    assert waits(entries) == [
        (10, (1, 5, 15)), (10, (0, 10, 15)), (10, (2, 5, 15)), (10, (3, 6, 15)),
    ]  # fmt: skip
    assert prices(entries) == [(15, 98.2)]
    assert lots(entries) == [
        (15, (1, -5, 0)), (15, (0, -10, 10)), (15, (2, -5, 5)), (15, (3, 6, 6)),
    ]  # fmt: skip
    # Who was not filled goes to the book as if there were no auction.
    assert fills(entries)[0] == (15, (1, -5))


def test_what_an_auction_records_and_moves() -> None:
    entries = story(LONG, WEAK, (5, 100, 15), SHORT)
    (auction,) = (e for e in entries if isinstance(e.event, AuctionHeld))
    after = entries[auction.seq :]
    slices = {
        e.event.bucket_id - FIRST: e
        for e in after
        if isinstance(e.event, TrancheStarted) and e.event.executor.name == "AUCTION"
    }

    assert (auction.event, auction.cause_seq) == (
        AuctionHeld(
            mitigation_id=0,
            market_id=0,
            mark_price_e8=100 * UNIT,
            price_e8=98_20000000,
            for_sale_e8=20 * UNIT,
            for_purchase_e8=6 * UNIT,
            bids_e8=20 * UNIT,
            taken_e8=9 * UNIT,
            free_uusd=10_000 * USD,
        ),
        NO_CAUSE,
    )
    weak = after[1]
    assert weak.cause_seq == auction.seq
    assert isinstance(weak.event, LotOffered)
    assert attrs.evolve(weak.event, liquidation_seq=0) == LotOffered(
        liquidation_seq=0,
        bucket_id=FIRST + 1,
        market_id=0,
        quantity_e8=-5 * UNIT,
        reserve_price_e8=98_50000000,
        filled_e8=0,
        held_since_at_us=10 * S,
    )
    assert {n: e.event.quantity_e8 / UNIT for n, e in slices.items()} == {0: -10, 2: -5, 3: 6}
    # Six units for 589.20; each side pays 0.2 % of the mark, as for any liquidation.
    (met,) = (e.event for e in after if isinstance(e.event, TranchesCrossed))
    assert met == TranchesCrossed(
        mitigation_id=0,
        tranche_seq=slices[0].seq,
        bucket_id=FIRST,
        other_tranche_seq=slices[3].seq,
        counterparty_id=FIRST + 3,
        market_id=0,
        quantity_e8=-6 * UNIT,
        price_e8=98_20000000,
        cost_uusd=-589_200_000,
        fee_uusd=1_200_000,
        other_fee_uusd=1_200_000,
        held_since_at_us=10 * S,
    )
    taken = [e.event for e in after if isinstance(e.event, TrancheTakenOver)]
    assert [
        (e.bucket_id - FIRST, e.keeper_id, e.quantity_e8 / UNIT, e.price_e8 / UNIT) for e in taken
    ] == [(0, BIDDERS, -4, 98.2), (2, BIDDERS, -5, 98.2)]


def test_balances_after_an_auction() -> None:
    simulation = Simulation(
        meeting_by_hand([LONG, (5, 100, 15), SHORT], [held()], end=at(16)), ListSink()
    )
    simulation.run()
    ledger = simulation.world.ledger

    # Bidders pay nine times 98.20. What the fee leaves of the equity is the fund's: of the longs
    # 15 x (98.2 - 97 - 0.2), of the short 6 x (103 - 98.2 - 0.2).
    owners = Owner.FUND, Owner.TREASURY, BIDDERS, FIRST, FIRST + 1, FIRST + 2
    assert [ledger.cash_view[owner] for owner in owners] == [
        42_600_000, 4_200_000, 9_116_200_000, 0, 0, 0,
    ]  # fmt: skip
    assert [int(ledger.units[0, owner]) for owner in owners[2:]] == [9 * UNIT, 0, 0, 0]


def test_at_the_last_bid_all_stand_in_proportion() -> None:
    # Bids for five units, down to 98; twenty-five are for sale.
    rows = [held(bids_usd=500, distance=Decimal("0.02"))]
    entries = story(LONG, LONG, (5, 100, 15), rows=rows)

    assert prices(entries)[0] == (15, 98)
    assert [filled for _, (_, _, filled) in lots(entries)[:3]] == [2, 2, 1]


def test_at_a_reserve_price_those_of_whom_it_is_stand_in_proportion() -> None:
    # At 98.5 there are bids for 7.5 units: five for the strong one, 2.5 for two weak ones.
    entries = story((5, 100, 15), WEAK, WEAK)

    assert prices(entries)[0] == (15, 98.5)
    assert [said for _, said in lots(entries)[:3]] == [(1, -5, 1.25), (2, -5, 1.25), (0, -5, 5)]


def test_units_left_over_go_to_the_first() -> None:
    lots = [Lot(-3, 1), Lot(-3, 1), Lot(-3, 1)]

    assert clear(lots, mark_e8=100, width_e8=10, bids_e8=8) == (90, [3, 3, 2])


def test_the_side_with_less_is_filled_whole_and_bidders_sell_to_shorts() -> None:
    # Fourteen more are wanted than are for sale: at 102.8 bidders sell fourteen of twenty.
    entries = story((6, 100, 18), (-20, 100, 60))

    assert prices(entries) == [(15, 102.8)]
    assert lots(entries) == [(15, (0, -6, 6)), (15, (1, 20, 20))]
    taken = [e.event.quantity_e8 / UNIT for e in entries if isinstance(e.event, TrancheTakenOver)]
    assert taken == [14]


def test_as_much_for_sale_as_wanted_meets_at_the_mark() -> None:
    entries = story((6, 100, 18), SHORT)

    assert prices(entries) == [(15, 100)]
    assert not [e for e in entries if isinstance(e.event, TrancheTakenOver)]


def test_equal_slices_clear_where_the_schedule_says() -> None:
    # The mark x (1 - distance x sum of slices / bids): 100 x (1 - 0.04 x 2000 / 8000).
    entries = story(*[(5, 100, 15)] * 4, rows=[held(bids_usd=8_000)])

    assert prices(entries) == [(15, 99)]
    assert [filled for _, (_, _, filled) in lots(entries)] == [5, 5, 5, 5]


def test_without_capital_nobody_bids() -> None:
    entries = story(LONG, rows=[held(purse_usd=0)])

    assert prices(entries) == [(15, 100)]
    (auction,) = (e.event for e in entries if isinstance(e.event, AuctionHeld))
    assert (auction.bids_e8, auction.taken_e8, auction.free_uusd) == (0, 0, 0)
    # Without capital there is no owner, and accounts begin one number lower.
    assert fills(entries, BIDDERS) == [(15, (0, -10))]


def test_where_nobody_bids_the_two_sides_meet_at_the_mark() -> None:
    # Fifteen for sale, six wanted, two fifths of all that is for sale.
    for row in (held(purse_usd=0), held(purse_usd=99), held(least_usd=2_001)):
        entries = story(LONG, (5, 100, 15), SHORT, rows=[row])

        first = BIDDERS + (row["purse_usd"] > 0)
        assert prices(entries)[0] == (15, 100)
        assert lots(entries, first)[:3] == [
            (15, (0, -10, 4)), (15, (1, -5, 2)), (15, (2, 6, 6)),
        ]  # fmt: skip
        auction = next(e.event for e in entries if isinstance(e.event, AuctionHeld))
        assert (auction.bids_e8, auction.taken_e8) == (0, 0)
        assert auction.free_uusd == row["purse_usd"] * USD


def test_bids_worth_the_least_count() -> None:
    entries = story(LONG, rows=[held(purse_usd=100)])

    auction = next(e.event for e in entries if isinstance(e.event, AuctionHeld))
    assert auction.bids_e8 == UNIT


def test_what_is_put_up_in_an_auction_has_its_reserve_price_for_a_limit() -> None:
    limits = {"kind": "fund_limits", "max_draw_usd": 1, "max_window_usd": 5}
    entries = story(LONG, rows=[held(), limits], venue__fund__initial_usd=1_000)

    (lot,) = (e.event for e in entries if isinstance(e.event, LotOffered))
    (put_up,) = (e.event for e in entries if isinstance(e.event, TrancheStarted))
    decisions = [e.event for e in entries if isinstance(e.event, DecisionRecorded)]
    assert put_up.limit_price_e8 == lot.reserve_price_e8 == 97 * UNIT
    assert [e.action for e in decisions] == [Action.HELD]


def test_capital_and_the_position_limit_bound_the_bids() -> None:
    # Three hundred dollars pay for three units at the mark.
    for row in (held(purse_usd=300), held(position_limit_usd=300)):
        entries = story(LONG, rows=[row])

        (auction,) = (e.event for e in entries if isinstance(e.event, AuctionHeld))
        # At 97, three quarters of the way to the last bid, the long leaves.
        assert (auction.bids_e8, auction.price_e8) == (3 * UNIT, 97 * UNIT)
        assert auction.taken_e8 == 2_25000000


def test_bidders_sell_on_by_their_schedule() -> None:
    rows = [held(resale_delay="20s", resale_parts=2, resale_spacing="5s")]
    entries = story((5, 100, 15), (5, 100, 15), rows=rows, end=at(60))

    # Taken over in two parts at 15 s, and sold in two from 35 s on.
    sold = [
        (e.sim_time_us / S, e.event.ordered_e8 / UNIT)
        for e in entries
        if isinstance(e.event, InventorySold)
    ]
    assert sold == [(35, -5), (40, -5)]


# Who waits ----------------------------------------------------------------------------------------


def test_auctions_stand_on_a_grid_from_the_start_of_the_run() -> None:
    # The second is due at 14 s, when an auction is held: it waits for the next.
    entries = story(
        LONG, (10, 100, 42), rows=[held(period="7s")], maintenance={10: 4, 14: 5}, end=at(30)
    )

    assert waits(entries) == [(10, (0, 10, 14)), (14, (1, 10, 21))]
    assert [second for second, _ in prices(entries)] == [14, 21]


def test_each_slice_waits_for_an_auction_of_its_own() -> None:
    entries = story(LONG, venue__tranches__share=Decimal("0.5"))

    assert waits(entries) == [(10, (0, 5, 15)), (16, (0, 5, 20))]
    assert [second for second, _ in prices(entries)] == [15, 20]
    assert fills(entries) == []


def test_what_is_left_of_a_slice_goes_on() -> None:
    # Five units of ten are taken; after the spacing the rest goes to the book.
    entries = story(LONG, rows=[held(bids_usd=500, distance=Decimal("0.02"))])

    assert waits(entries) == [(10, (0, 10, 15))]
    assert fills(entries) == [(16, (0, -5))]


def test_without_a_period_nobody_waits() -> None:
    entries = story(LONG, SHORT, rows=[held(period="0s", purse_usd=0)])

    assert entries == story(LONG, SHORT, rows=[])


def test_whoever_is_bankrupt_at_the_mark_does_not_wait() -> None:
    # At 96 the long's 30 are gone.
    entries = story(LONG, price={0: 100, 10: 96})

    assert waits(entries) == []
    assert fills(entries)[0] == (10, (0, -10))


def test_whoever_is_bankrupt_by_then_does_not_take_part() -> None:
    entries = story(LONG, (10, 100, 60), price={0: 100, 12: 96}, maintenance={10: 7})

    assert [(at_s, who) for at_s, (who, _, _) in waits(entries)] == [(10, 0), (10, 1)]
    assert [who for _, (who, _, _) in lots(entries)] == [1]
    assert fills(entries)[0][0] == 15


def test_whoever_is_restored_by_then_does_not_take_part() -> None:
    entries = story(
        LONG, (10, 100, Decimal(32)), price={0: 100, 12: 101}, venue__tranches__restore_buffer=0,
        maintenance={10: 4},
    )  # fmt: skip

    # At 101 they have 40 and 42, the least is 40.4.
    assert [who for _, (who, _, _) in lots(entries)] == [0]


def test_crossing_comes_first_and_the_auction_is_for_the_rest() -> None:
    entries = story(LONG, SHORT, rows=[held(), {"kind": "crossing", "hold": "3s"}])

    met = times(entries, lambda e: e.price_e8 / UNIT if isinstance(e, TranchesCrossed) else None)
    assert met == [(10, 100)]
    # The rest is held until 13 s, then waits for the auction, where bidders take it.
    assert waits(entries) == [(10, (0, 10, 13)), (11, (0, 4, 13)), (13, (0, 4, 15))]
    assert lots(entries) == [(15, (0, -4, 4))]


def test_a_halt_holds_no_auction() -> None:
    # The mark falls by 1 % at 12 s: a halt until 22 s, in which the short becomes due.
    fall = {"observable": "fall", "window": "5s", "above": Decimal("0.005")}
    breaker = {"kind": "breaker", "when": [fall], "duration": "10s"}
    entries = story(
        (10, 100, 35), (-6, 100, 26), rows=[held(), breaker],
        price={0: 100, 12: 99}, maintenance={10: 4, 13: 6},
    )  # fmt: skip

    # The long has waited for its auction; the short waits for the next.
    assert waits(entries) == [(10, (0, 10, 15)), (22, (1, 6, 25))]
    assert [second for second, _ in prices(entries)] == [25]
    assert fills(entries)[0] == (22, (0, -10))


def test_what_waits_books_no_place_and_is_no_forced_flow() -> None:
    limit = {"kind": "rate_limit", "max_usd": 400, "span": "20s", "least_usd": 0}
    delays = {"kind": "delays", "per_million": "1h", "max": "1h", "window": "1h"}
    # Nine of ten units of the first are taken; the other one goes on as soon as it may.
    rows = [held(purse_usd=950, distance=Decimal("0.001")), limit, delays]
    entries = story(LONG, rows=rows)

    (auction,) = (e.event for e in entries if isinstance(e.event, AuctionHeld))
    assert auction.taken_e8 == 9_50000000
    assert fills(entries) == [(16, (0, -0.5))]


def test_what_rounding_takes_at_a_reserve_price_is_not_the_funds() -> None:
    # Two sevenths of a cent do not come out even: a part of either slice lacks a micro-dollar.
    odd = (7, 100, Decimal("10.000001"))
    entries = story((5, 100, 15), odd, odd, venue__fund__initial_usd=1_000)

    (auction,) = (e for e in entries if isinstance(e.event, AuctionHeld))
    assert 0 < lots(entries)[0][1][2] < 7
    drawn = [e for e in entries if isinstance(e.event, FundDrawn)]
    assert not [e for e in drawn if e.sim_time_us == auction.sim_time_us]


def test_whoever_waits_at_the_end_is_unresolved_for_that() -> None:
    entries = story(LONG, end=at(12), maintenance={10: 4})

    (left,) = (e.event for e in entries if isinstance(e.event, LiquidationUnresolved))
    assert left.reason is UnresolvedReason.PACED


def _turning(**row: Any) -> list[Entry]:
    """Return a story of two legs, the other one of which has lost more at each auction."""
    # Who has lost more turns every five seconds, a second before the auction.
    prices: list[dict[int, Any]] = [{0: 100}, {0: 100}]
    for n in range(2, 11):
        worse, better = (0, 1) if n % 2 else (1, 0)
        prices[worse][5 * n + 4], prices[better][5 * n + 4] = Decimal("98.9"), 99
    raw = small_scenario(
        markets__BTC=market(),
        markets__ETH__maintenance_changes=[{"at": at(10), "multiplier": 4}],
        markets__BTC__maintenance_changes=[{"at": at(10), "multiplier": 4}],
        venue__cross={"first_leg": "largest_loss"},
        venue__tranches={"share": 1, "spacing": "1s", "restore_buffer": 10},
        mitigations=[row],
    )
    return audited(prepared_by_hand(raw, [[(5, 100, 18)] * 2], *prices)).entries


@pytest.mark.parametrize(
    "row",
    [
        {"kind": "batch_auction", "period": "5s", "purse_usd": 0},
        {"kind": "crossing", "hold": "5s"},
    ],
)
def test_legs_that_come_first_in_turn_wait_once_each(row: Raw) -> None:
    entries = _turning(**row)

    held_ = [
        (e.sim_time_us / S, e.event.market_id)
        for e in entries
        if isinstance(e.event, DecisionRecorded)
    ]
    closed = [
        (e.sim_time_us / S, e.event.market_id) for e in entries if isinstance(e.event, OrderFilled)
    ]
    # At 20 s the first leg has waited already; the slice of the other is another one.
    assert held_ == [(10, 0), (15, 1), (21, 1)]
    assert closed[0] == (20, 0)
    assert [market_id for _, market_id in closed] == [0, 1]


# What is refused, and what an audit finds ---------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([held(), held(name="two")], r"mitigations.1.market = \"\" must differ from that of"),
        ([held(market="ETH"), held(name="two")], "a market has one batch auction"),
        ([held(period="-1s")], "mitigations.0.period"),
        ([held(distance=0)], "mitigations.0.distance"),
        ([held(discount=0)], "discount"),
        ([held(name="makers")], "mitigations.0.name"),
    ],
)
def test_what_a_scenario_may_not_say(rows: list[Raw], message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        load(auctioned(mitigations=rows))


def test_inverse_contracts_are_not_auctioned() -> None:
    raw = auctioned(
        markets__ETH__contract="inverse", population__cohorts__crowd__collateral="coin",
        markets__ETH__maintenance=[[0, Decimal("0.01")]],
    )  # fmt: skip

    with pytest.raises(ScenarioError, match="ETH is inverse"):
        load(raw)


def test_accounts_with_coins_are_not_auctioned() -> None:
    told = r"mitigations\.0\.market = \"\" must be .* in USD alone: accounts in ETH hold coins as"
    with pytest.raises(ScenarioError, match=told):
        load(auctioned(population__cohorts__crowd__collateral="coin"))


def _gapped() -> Raw:
    """A jump that leaves longs bankrupt at once."""
    return auctioned(markets__ETH__path=knots((0, 100), (40, 99), (41, 85), (180, 84)))


def _a_tick_better(lots: Any, **terms: int) -> tuple[int, list[int]]:
    price, fills = clear(lots, **terms)
    return price + 1, fills


def _last_first(lots: Any, **terms: int) -> tuple[int, list[int]]:
    price, fills = clear(lots[::-1], **terms)
    return price, fills[::-1]


def _half(lots: Any, **terms: int) -> tuple[int, list[int]]:
    price, fills = clear(lots, **terms)
    return price, [fill // 2 for fill in fills]


def _without_reserves(lots: Any, **terms: int) -> tuple[int, list[int]]:
    return clear([Lot(lot.quantity_e8, 0) for lot in lots], **terms)


def _cheaper(quantity_e8: int, price_e8: int) -> int:
    return _cost(quantity_e8, price_e8) + 1


_cost = venue.taker_cost_uusd

WRONG: Final[dict[str, tuple[tuple[Any, str, Any], str]]] = {
    "a tick better": ((venue, "clear", _a_tick_better), "auction"),
    "units left over go to the last": ((venue, "clear", _last_first), "auction"),
    "half": ((venue, "clear", _half), "auction"),
    "below what they would have to get": ((venue, "clear", _without_reserves), "auction"),
    "no auction": ((venue.Venue, "_hold_auction", lambda *_: None), "auction"),
    "nobody waits": ((Auctions, "wait", lambda *_: None), "hold"),
    "later": ((auctions, "next_auction_us", lambda now, step: now - now % step + 2 * step), "hold"),
    "on credit": ((Inventory, "free_uusd", lambda _: 10**12), "auction"),
    "the bankrupt wait": ((venue.Venue, "_is_bankrupt", lambda *_: False), "hold"),
    "who meets whom": ((venue, "pairs_e8", lambda sold, bought: []), "auction"),
    "another cost": ((venue, "taker_cost_uusd", _cheaper), "cost"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_by_the_rules_is_found(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch, code = WRONG[name]
    monkeypatch.setattr(*patch)
    base = _gapped if name == "the bankrupt wait" else auctioned
    assert code in codes_of(base(), tmp_path / "log.duckdb")


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("auctioned") / "log.duckdb"
    run_to_log(load(auctioned()), path)
    with Log(path) as reader:
        yield reader


def test_nothing_is_found_otherwise(log: Log) -> None:
    assert log.verify() == []


def test_views_of_lots_and_auctions_add_up(log: Log) -> None:
    ((held_, lots_, several, wrong, crossed),) = log.sql(
        "select count(*), sum(lots), count(*) filter (where lots > 1), count(*) filter (where "
        "for_sale + for_purchase <> 2 * crossed + abs(taken) + unfilled), sum(crossed) "
        "from auctions"
    ).fetchall()
    ((told, filled),) = log.sql("select count(*), sum(filled) from lots").fetchall()
    ((slices, settled),) = log.sql(
        "select count(*), sum(crossed + taken_over) from tranches where executor = 'auction'"
    ).fetchall()
    ((pairs,),) = log.sql("select sum(abs(quantity)) from crossings").fetchall()

    assert held_ > several > 3
    assert (told, wrong, pairs) == (lots_, 0, crossed)
    assert 0 < slices < lots_
    assert filled == settled


def test_all_of_an_auction_trades_at_its_price_and_none_beyond_its_reserve(log: Log) -> None:
    ((trades, wrong),) = log.sql(
        "select count(*), count(*) filter (where e.price <> l.price) from executions as e "
        "join tranches as t using (tranche_seq) join lots as l on l.bucket_id = e.bucket_id "
        "and l.sim_time = e.sim_time where t.executor = 'auction'"
    ).fetchall()
    ((beyond,),) = log.sql(
        "select count(*) from lots where filled > 0 and reserve_price > 0 and "
        "case when quantity < 0 then price < reserve_price else price > reserve_price end"
    ).fetchall()

    assert trades > 10
    assert (wrong, beyond) == (0, 0)


def test_what_auctioned_slices_lost_and_who_paid_are_one(log: Log) -> None:
    rows = log.sql(
        "select x.loss, p.paid from (select liquidation_seq, sum(loss_usd) as loss from "
        "execution_losses group by all) as x join (select liquidation_seq, sum(amount_usd) as "
        "paid from loss_payers group by all) as p using (liquidation_seq)"
    ).fetchall()

    assert len(rows) > 10
    assert all(loss == paid for loss, paid in rows)


def test_an_account_has_its_lots_in_its_life(log: Log) -> None:
    ((offered,),) = log.sql("select count(*) from lots").fetchall()
    told = log.sql("select note from account_events where what = 'offered'").fetchall()

    assert len(told) == offered
    assert all("in auction" in note for (note,) in told)
