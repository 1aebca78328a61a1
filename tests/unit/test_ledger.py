"""Balances, the world's other state, and the one door through which both change."""

from collections import Counter, defaultdict
from enum import IntEnum
from random import Random
from typing import get_type_hints

import attrs
import numpy as np
import pytest
from support.floors import assert_floors
from support.sinks import ListSink

from liqsim.errors import BoundError
from liqsim.events import (
    EVENT_CLASSES,
    NO_CAUSE,
    BookSampled,
    CoinHaircutChanged,
    DepthChanged,
    FundsDeposited,
    InventorySold,
    KeeperRewarded,
    LiquidationEnded,
    LiquidationTriggered,
    MaintenanceChanged,
    OracleUpdated,
    OrderFilled,
    Owner,
    PenaltyRouted,
    PositionDeleveraged,
    PositionOpened,
    PositionReduced,
    ProfitCut,
    ShadowUpdated,
    Share,
    SurplusRouted,
    TradeFilled,
    TranchesCrossed,
    TrancheTakenOver,
)
from liqsim.events.schema import columns_of
from liqsim.journal import Journal
from liqsim.mechanics.liquidity import FiniteBook
from liqsim.units import BOUND, RATIO_SCALE
from liqsim.world.ledger import Ledger
from liqsim.world.markets import BookState, Flow, Market
from liqsim.world.world import World

OWNERS, MARKETS = 9, 3
BUCKET, OTHER = 6, 7
MOVING = [cls for cls in EVENT_CLASSES if cls.TRANSFERS]


def owner_fields(transfers):
    """Return the names of the fields that name an owner, without repeats."""
    names = (side for t in transfers for side in (t.payer, t.payee) if isinstance(side, str))
    return tuple(dict.fromkeys(names))


def random_event(cls, random: Random, top: int = BOUND - 1):
    """Return an event of *cls* with legal values of at most *top*, edges among them."""
    values = {}
    for column in columns_of(cls):
        kind = get_type_hints(cls)[column.field]
        if column.field in {*owner_fields(cls.TRANSFERS), "bucket_id", "keeper_id"}:
            values[column.field] = random.randrange(OWNERS)
        elif column.field == "market_id":
            values[column.field] = random.randrange(MARKETS)
        elif issubclass(kind, IntEnum):
            values[column.field] = random.choice(list(kind))
        else:
            low, high = max(column.low, -top), min(column.high, top)
            values[column.field] = random.choice([low, high, 0, 1, random.randint(low, high)])
            values[column.field] = min(max(values[column.field], low), high)
    return cls(**values)


def interpreted(event, balances: dict[tuple[int, int | None], int]) -> None:
    """Apply the declared transfers of *event* one by one; keys are (owner, asset)."""
    for transfer in type(event).TRANSFERS:
        amount = getattr(event, transfer.amount)
        market = None if transfer.market is None else getattr(event, transfer.market)
        asset = ~market if transfer.is_coin else market
        for side, sign in ((transfer.payer, -1), (transfer.payee, 1)):
            owner = int(side) if isinstance(side, Owner) else getattr(event, side)
            balances[owner, asset] += sign * amount


def balances_of(ledger: Ledger) -> dict[tuple[int, int | None], int]:
    """
    Return every balance, which array and view must agree on, by owner and asset.

    None is cash, a market's number its contract, the complement of that its coin.
    """
    assert ledger.cash_view.tolist() == ledger.cash.tolist()
    assert [view.tolist() for view in ledger.unit_views] == ledger.units.tolist()
    held = {(owner, None): balance for owner, balance in enumerate(ledger.cash.tolist())}
    for market, units in enumerate(ledger.units.tolist()):
        held |= {(owner, market): balance for owner, balance in enumerate(units)}
    assert [view.tolist() for view in ledger.coin_views] == ledger.coins.tolist()
    for market, coins in enumerate(ledger.coins.tolist()):
        held |= {(owner, ~market): balance for owner, balance in enumerate(coins)}
    return {key: balance for key, balance in held.items() if balance}


def nonzero(balances) -> dict[tuple[int, int | None], int]:
    return {key: balance for key, balance in balances.items() if balance}


def columns_from(cls, events) -> dict[str, np.ndarray]:
    names = [column.field for column in columns_of(cls)]
    return {
        name: np.array([getattr(event, name) for event in events], dtype=np.int64) for name in names
    }


# Postings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", MOVING, ids=lambda cls: cls.TAG)
def test_generated_postings_are_the_declared_transfers(cls):
    random, census = Random(cls.TAG), Counter()
    ledger = Ledger(OWNERS, MARKETS)
    post = ledger.posting_of(cls)
    expected = defaultdict(int)

    for _ in range(300):
        event = random_event(cls, random, top=10**15)
        interpreted(event, expected)
        post(event, 0, 0)

        assert balances_of(ledger) == nonzero(expected)
        named = [getattr(event, side) for side in owner_fields(cls.TRANSFERS)]
        census["owner pays itself"] += len(set(named)) < len(named)
        census["system owner named"] += any(owner < len(Owner) for owner in named)
        # What the parties gain is what the others lose, per asset.
        assert ledger.cash.sum() == 0
        assert not ledger.units.sum(axis=1).any()
        assert not ledger.coins.sum(axis=1).any()

    assert census["system owner named"] >= 50


@pytest.mark.parametrize("cls", MOVING, ids=lambda cls: cls.TAG)
def test_every_kind_moves_something(cls):
    for transfer in cls.TRANSFERS:
        ledger = Ledger(OWNERS, MARKETS)
        event = attrs.evolve(
            random_event(cls, Random(1), top=10),
            **{name: BUCKET + place for place, name in enumerate(owner_fields(cls.TRANSFERS))},
        )
        amounts = dict.fromkeys((other.amount for other in cls.TRANSFERS), 0)
        amounts[transfer.amount] = 5  # Alone: two transfers may pay one owner.
        ledger.posting_of(cls)(attrs.evolve(event, **amounts), 0, 0)

        assert 5 in {abs(balance) for balance in balances_of(ledger).values()}


def test_a_mixture_of_all_kinds_is_the_interpreter_too():
    random, expected = Random(5), defaultdict(int)
    ledger = Ledger(OWNERS, MARKETS)
    posts = {cls: ledger.posting_of(cls) for cls in MOVING}
    for _ in range(1_000):
        event = random_event(random.choice(MOVING), random, top=10**14)
        interpreted(event, expected)
        posts[type(event)](event, 0, 0)

    assert balances_of(ledger) == nonzero(expected)


@pytest.mark.parametrize("cls", MOVING, ids=lambda cls: cls.TAG)
def test_many_at_once_are_the_same_one_by_one(cls):
    random = Random(cls.TAG)
    for count in (1, 2, 60):
        # Nine owners: the same one is named many times, and as payer and payee.
        events = [random_event(cls, random, top=10**15) for _ in range(count)]
        one_by_one, at_once = Ledger(OWNERS, MARKETS), Ledger(OWNERS, MARKETS)
        post = one_by_one.posting_of(cls)
        for event in events:
            post(event, 0, 0)

        at_once.post_many(cls, columns_from(cls, events))

        assert balances_of(at_once) == balances_of(one_by_one)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("cls", MOVING, ids=lambda cls: cls.TAG)
def test_a_balance_stops_short_of_the_bound(cls, sign):
    census = Counter()
    for number, transfer in enumerate(cls.TRANSFERS):
        for payer_side in (True, False):
            side = transfer.payer if payer_side else transfer.payee
            event = attrs.evolve(
                random_event(cls, Random(2), top=10),
                **{name: BUCKET + place for place, name in enumerate(owner_fields(cls.TRANSFERS))},
                **{other.amount: 0 for other in cls.TRANSFERS},
            )
            amount = 7 if (sign > 0) != payer_side else -7
            event = attrs.evolve(event, **{cls.TRANSFERS[number].amount: amount})
            owner = int(side) if isinstance(side, Owner) else getattr(event, side)
            market = None if transfer.market is None else event.market_id
            for room, is_legal in ((8, True), (7, False)):
                ledger = Ledger(OWNERS, MARKETS)
                held = ledger.coins if transfer.is_coin else ledger.units
                balances = ledger.cash if market is None else held[market]
                balances[owner] = sign * (BOUND - room)
                for apply in (
                    lambda ledger=ledger, event=event: ledger.posting_of(cls)(event, 0, 0),
                    lambda ledger=ledger, event=event: ledger.post_many(
                        cls, columns_from(cls, [event])
                    ),
                ):
                    balances[owner] = sign * (BOUND - room)
                    if is_legal:
                        apply()
                        assert balances[owner] == sign * (BOUND - 1)
                    else:
                        with pytest.raises(BoundError):
                            apply()
                    census["legal" if is_legal else "illegal"] += 1
    floor = 4 * len(cls.TRANSFERS)
    assert_floors(census, {"legal": floor, "illegal": floor})


def test_sums_that_would_wrap_are_refused():
    deposits = {
        "owner_id": np.arange(10, dtype=np.int64) % OWNERS,
        "amount_uusd": np.full(10, BOUND - 1, dtype=np.int64),
    }
    ledger = Ledger(OWNERS, 0)

    with pytest.raises(BoundError, match=r"funds_deposited: amount_uusd sums beyond"):
        ledger.post_many(FundsDeposited, deposits)


def test_a_sum_that_would_land_on_the_lowest_int64_is_refused():
    # Its absolute value is itself, negative: a comparison with the bound alone would let it pass.
    count = 9
    start = 2**63 - count * (BOUND - 1)
    assert 0 < start < BOUND
    ledger = Ledger(len(Owner) + count, 0)
    ledger.cash[Owner.OUTSIDE] = -start

    with pytest.raises(BoundError):
        ledger.post_many(
            FundsDeposited,
            {
                "owner_id": np.arange(len(Owner), len(Owner) + count, dtype=np.int64),
                "amount_uusd": np.full(count, BOUND - 1, dtype=np.int64),
            },
        )


# What events do besides moving balances -----------------------------------------------------------


def state_of(world: World):
    return (
        balances_of(world.ledger),
        world.entry_e8.tolist(),
        world.liquidation_seq.tolist(),
        [
            (
                (m.mark_e8, m.mark_seq, m.mark_at_us, m.mark_shows_us),
                m.shadow_e8,
                (m.maintenance_e6, m.coin_haircut_e6),
                list(m.history),
            )
            for m in world.markets
        ],
    )


@pytest.mark.parametrize("cls", EVENT_CLASSES, ids=lambda cls: cls.TAG)
def test_an_event_changes_what_it_says_and_nothing_else(cls):
    random = Random(cls.TAG)
    world = World(OWNERS, [1_000] * MARKETS)
    for seq in range(50):
        event = random_event(cls, random, top=10**12)
        _, entries, liquidations, markets = state_of(world)
        expected = defaultdict(int, balances_of(world.ledger))

        world.evolve_of(cls)(event, seq, 10 * seq)

        interpreted(event, expected)
        if cls is PositionOpened:
            entries[event.market_id][event.bucket_id] = event.price_e8
        if cls is ProfitCut:
            entries[event.market_id][event.payer_id] = event.entry_price_e8
        if cls is LiquidationTriggered:
            liquidations[event.bucket_id] = seq
        if cls is LiquidationEnded:
            liquidations[event.bucket_id] = NO_CAUSE
        if cls in {OracleUpdated, BookSampled}:
            _, _, *rest = markets[event.market_id]
            mark = event.mark_price_e8, seq, 10 * seq, event.mark_shows_at_us
            markets[event.market_id] = (mark, event.shadow_mark_e8, *rest)
        if cls is ShadowUpdated:
            mark, _, *rest = markets[event.market_id]
            markets[event.market_id] = (mark, event.shadow_mark_e8, *rest)
        if cls is MaintenanceChanged:
            mark, shadow, (_, haircut), history = markets[event.market_id]
            rules = event.multiplier_e6, haircut
            markets[event.market_id] = (mark, shadow, rules, history)
        if cls is CoinHaircutChanged:
            mark, shadow, (multiplier, _), history = markets[event.market_id]
            rules = multiplier, event.coin_haircut_e6
            markets[event.market_id] = (mark, shadow, rules, history)
        if cls is TradeFilled:
            entries[event.market_id][event.bucket_id] = event.entry_price_e8
        if cls in {OrderFilled, InventorySold, TradeFilled, PositionReduced}:
            book = markets[event.market_id][3][-1]
            consumed = book.consumed_at(10 * seq) + event.quantity_e8
            gross = book.gross * 0.5 ** ((10 * seq - book.at_us) / book.half_life_us)
            gross = (gross if gross >= 1.0 else 0.0) + abs(event.quantity_e8)
            whole = consumed, book.net_e8 + event.quantity_e8  # All flow is of one kind here.
            markets[event.market_id][3].append(
                BookState(
                    10 * seq,
                    consumed,
                    book.net_e8 + event.quantity_e8,
                    RATIO_SCALE,
                    1_000,
                    seq,
                    gross=gross,
                    others=tuple(
                        whole if cls is own else (0.0, 0) for own in (InventorySold, TradeFilled)
                    ),
                )
            )
        if cls is DepthChanged:
            assert len(state_of(world)[3][event.market_id][3]) == (
                len(markets[event.market_id][3]) + 1
            )
            markets[event.market_id][3].append(world.markets[event.market_id].book)
            assert world.markets[event.market_id].book.multiplier_e6 == event.multiplier_e6
            assert world.markets[event.market_id].book.half_life_us == event.half_life_us
        assert state_of(world) == (nonzero(expected), entries, liquidations, markets)


@pytest.mark.parametrize(("cls", "owner"), [(PositionOpened, "bucket_id"), (ProfitCut, "payer_id")])
def test_events_applied_at_once_are_those_applied_one_by_one(cls, owner):
    random = Random(3)
    events = [random_event(cls, random, top=10**12) for _ in range(30)]
    events = list({(getattr(event, owner), event.market_id): event for event in events}.values())
    one_by_one, at_once = (World(OWNERS, [1_000] * MARKETS) for _ in range(2))
    for event in events:
        one_by_one.evolve_of(cls)(event, 0, 0)

    at_once.evolve_many(cls, columns_from(cls, events))

    assert state_of(at_once) == state_of(one_by_one)


@pytest.mark.parametrize(
    "cls",
    [
        OrderFilled,
        InventorySold,
        TradeFilled,
        PositionReduced,
        OracleUpdated,
        BookSampled,
        ShadowUpdated,
        MaintenanceChanged,
        CoinHaircutChanged,
        LiquidationTriggered,
    ],
)
def test_kinds_with_effects_of_their_own_have_no_bulk_form(cls):
    columns = columns_from(cls, [random_event(cls, Random(4), top=10)])

    with pytest.raises(TypeError, match="no bulk form"):
        World(OWNERS, [1_000] * MARKETS).evolve_many(cls, columns)


# The book's clock ---------------------------------------------------------------------------------


def test_consumed_volume_halves_with_every_half_life():
    state = BookState(100, -8e9, -8 * 10**9, RATIO_SCALE, 50)

    assert [state.consumed_at(at_us) for at_us in (100, 150, 200, 250)] == [-8e9, -4e9, -2e9, -1e9]
    assert state.consumed_at(125) == pytest.approx(-8e9 / 2**0.5, rel=1e-15)
    assert state.consumed_at(10**9) == 0.0


@pytest.mark.parametrize("sign", [-1, 1])
def test_less_than_a_unit_counts_as_refilled(sign):
    state = BookState(0, 2.0 * sign, 2 * sign, RATIO_SCALE, 1_000)

    assert state.consumed_at(1_000) == sign
    assert state.consumed_at(1_001) == 0.0


def test_a_book_left_alone_does_not_depend_on_when_it_is_asked():
    # Two looks on the way change nothing: the state stays where its last event put it.
    state = BookState(0, 3e10, 3 * 10**10, RATIO_SCALE, 777)
    whole = state.consumed_at(5_000)
    for at_us in (1, 2_500, 4_999):
        state.consumed_at(at_us)

    assert state.consumed_at(5_000) == whole


def test_a_trade_adds_to_what_is_left_of_the_trades_before():
    state = BookState(0, 0.0, 0, RATIO_SCALE, 100)

    state = state.traded(10, -6 * 10**8, 4).traded(110, 10**8, 9)

    # Half of 6 is left of what was sold; what was bought since puts none of it back.
    assert state == BookState(110, -2e8, -5 * 10**8, RATIO_SCALE, 100, 9, gross=4e8)
    assert state.part(Flow.FORCED) == (-2e8, -5 * 10**8)
    assert (state.taken_at(110, 1), state.taken_at(110, -1)) == (1e8, 3e8)
    assert (state.taken_at(210, 1), state.taken_at(210, -1)) == (0.5e8, 1.5e8)


def test_flows_are_kept_apart_and_decay_alike():
    state = BookState(0, 0.0, 0, RATIO_SCALE, 100)

    state = state.traded(10, -6 * 10**8, 4, Flow.FORCED).traded(10, -(10**8), 5, Flow.HEDGING)
    state = state.traded(110, 4 * 10**8, 9, Flow.HEDGING).with_depth(210, 500_000, 100)

    # -6 and -1 are halved, +4 is new; then all is halved by time, and again with the depth.
    assert [state.part(flow) for flow in Flow] == [
        (-0.75e8, -6 * 10**8),
        (0.875e8, 3 * 10**8),
        (0.0, 0),
    ]


@pytest.mark.parametrize(("multiplier", "keeps"), [(500_000, "price"), (3_000_000, "volume")])
@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
def test_a_change_of_depth_keeps_what_pays_nobody(multiplier, keeps, exponent):
    book = FiniteBook(1e9, exponent, 0.25, 0.3)
    before = BookState(0, 0.0, 0, RATIO_SCALE, 100).traded(0, -(10**9), 5)

    after = before.with_depth(50, multiplier, 70)

    assert (after.at_us, after.multiplier_e6, after.half_life_us) == (50, multiplier, 70)
    assert (after.net_e8, after.fill_seq) == (before.net_e8, before.fill_seq)
    if keeps == "price":
        there = book.displacement(before, 50)
        assert book.displacement(after, 50) == pytest.approx(there, rel=1e-14)
    else:
        assert after.consumed == before.consumed_at(50)
        assert abs(book.displacement(after, 50)) < abs(book.displacement(before, 50))


def test_the_book_before_an_instant_has_seen_nothing_of_it():
    market = Market(100)
    for seq, at_us in enumerate([0, 20, 20, 50]):
        market.set_book(market.book.traded(at_us, 10**8, seq))

    seen = [market.book_before(at_us).fill_seq for at_us in (0, 1, 20, 21, 50, 51, 10**9)]

    assert seen == [NO_CAUSE, 0, 0, 2, 2, 3, 3]


# The journal --------------------------------------------------------------------------------------


class Hand:
    """A clock that stands until it is set."""

    now = 0


class Witness:
    """Notes what it is asked to record, and what the fund and OTHER held at that moment."""

    def __init__(self) -> None:
        self.world = World(OWNERS, [1_000] * MARKETS)
        self.notes = []
        self.is_broken = False

    def _note(self, *note):
        if self.is_broken:
            raise OSError
        cash = self.world.ledger.cash_view
        self.notes.append((*note, cash[Owner.FUND], cash[OTHER]))

    def recorder_of(self, cls):
        return self._note

    def record_many(self, cls, first_seq, sim_time_us, cause_seq, columns):
        self._note(first_seq, sim_time_us, cause_seq, (cls, len(columns["owner_id"])))


def test_an_event_is_numbered_then_recorded_then_applied():
    witness, clock = Witness(), Hand()
    journal = Journal(witness.world, witness, clock)
    gift, surplus = FundsDeposited(OTHER, 100), SurplusRouted(0, OTHER, 40)

    numbers = [journal.append(gift)]
    clock.now = 25
    numbers.append(journal.append(surplus, cause_seq=0))
    bulk = {"owner_id": np.array([OTHER] * 3), "amount_uusd": np.array([1, 2, 3])}
    numbers += journal.append_many(FundsDeposited, bulk, cause_seq=1)
    numbers.append(journal.append(surplus))

    assert numbers == [0, 1, 2, 3, 4, 5]
    assert journal.next_seq == 6
    # What stood in the books when each was recorded is what the ones before had done.
    assert witness.notes == [
        (0, 0, NO_CAUSE, gift, 0, 0),
        (1, 25, 0, surplus, 0, 100),
        (2, 25, 1, (FundsDeposited, 3), 40, 60),
        (5, 25, NO_CAUSE, surplus, 40, 66),
    ]
    assert witness.world.ledger.cash_view[Owner.FUND] == 80


def test_what_could_not_be_recorded_is_not_applied():
    witness = Witness()
    journal = Journal(witness.world, witness, Hand())
    before = state_of(witness.world)
    witness.is_broken = True
    bulk = {"owner_id": np.array([OTHER]), "amount_uusd": np.array([1])}

    with pytest.raises(OSError):  # noqa: PT011 — the witness's own
        journal.append(FundsDeposited(OTHER, 100))
    with pytest.raises(OSError):  # noqa: PT011 — likewise
        journal.append_many(FundsDeposited, bulk)

    assert state_of(witness.world) == before


def test_an_event_out_of_bounds_is_on_record_before_it_stops_the_run():
    sink, world = ListSink(), World(OWNERS, [1_000] * MARKETS)
    journal = Journal(world, sink, Hand())
    journal.append(FundsDeposited(OTHER, BOUND - 1))

    with pytest.raises(BoundError):
        journal.append(FundsDeposited(OTHER, 1))

    assert [entry.seq for entry in sink.entries] == [0, 1]


def test_no_event_names_a_cause_that_is_not_before_it():
    journal = Journal(World(OWNERS, [1_000]), ListSink(), Hand())
    bulk = {"owner_id": np.array([OTHER]), "amount_uusd": np.array([1])}

    with pytest.raises(AssertionError):
        journal.append(FundsDeposited(OTHER, 1), cause_seq=0)
    with pytest.raises(AssertionError):
        journal.append_many(FundsDeposited, bulk, cause_seq=0)


def test_owners_named_by_events_are_part_of_the_vocabulary():
    declared = {cls.TAG: owner_fields(cls.TRANSFERS) for cls in MOVING}

    assert declared == {
        "funds_deposited": ("owner_id",),
        "position_opened": ("bucket_id",),
        "order_filled": ("bucket_id",),
        "tranche_taken_over": ("keeper_id", "bucket_id"),
        "tranches_crossed": ("counterparty_id", "bucket_id"),
        "keeper_call_failed": ("keeper_id",),
        "inventory_sold": ("keeper_id",),
        "surplus_routed": ("bucket_id",),
        "fund_drawn": ("bucket_id",),
        "position_deleveraged": ("counterparty_id", "bucket_id"),
        "profit_cut": ("payer_id", "bucket_id"),
        "loss_socialised": ("payer_id", "bucket_id"),
        "funding_index_moved": ("bucket_id",),
        "contribution_paid": ("backer_id",),
        "trade_filled": ("bucket_id",),
        "funds_withdrawn": ("bucket_id",),
        "funding_paid": ("bucket_id",),
        "coins_deposited": ("bucket_id",),
        "coins_settled": ("account_id",),
        "stake_slashed": ("staker_id", "bucket_id"),
        "leverage_fee_paid": ("bucket_id",),
        "position_reduced": ("bucket_id",),
        "penalty_routed": ("receiver_id",),
        "keeper_rewarded": ("keeper_id",),
    }


BY_HAND = [
    (
        OrderFilled(0, BUCKET, 1, -5, -5, 1, -70, 3, 1, 1, 1),
        {
            (BUCKET, 1): -5,
            (Owner.MAKERS, 1): 5,
            (BUCKET, None): 67,
            (Owner.MAKERS, None): -70,
            (Owner.TREASURY, None): 3,
        },
    ),
    (
        PositionReduced(BUCKET, 1, -5, -5, 1, -70, 3, 1, 1, 1, 1),
        {
            (BUCKET, 1): -5,
            (Owner.MAKERS, 1): 5,
            (BUCKET, None): 67,
            (Owner.MAKERS, None): -70,
            (Owner.TREASURY, None): 3,
        },
    ),
    (
        PenaltyRouted(0, 0, BUCKET, Share.BURN, OTHER, 9, 4),
        {(Owner.TREASURY, None): -4, (OTHER, None): 4},
    ),
    (
        KeeperRewarded(0, 0, BUCKET, OTHER, 9, 0, 4, 5),
        {(Owner.TREASURY, None): -4, (OTHER, None): 4},
    ),
    (
        TrancheTakenOver(0, BUCKET, OTHER, 2, 5, 1, 70, 3, 2, 0),
        {
            (BUCKET, 2): 5,
            (OTHER, 2): -5,
            (BUCKET, None): -73,
            (OTHER, None): 68,
            (Owner.TREASURY, None): 3,
            (Owner.NETWORK, None): 2,
        },
    ),
    (
        TranchesCrossed(0, 0, BUCKET, 1, OTHER, 2, 5, 1, 70, 3, 2, 0),
        {
            (BUCKET, 2): 5,
            (OTHER, 2): -5,
            (BUCKET, None): -73,
            (OTHER, None): 68,
            (Owner.TREASURY, None): 5,
        },
    ),
    (
        PositionDeleveraged(0, BUCKET, OTHER, 0, 1, -5, 1, -70),
        {(BUCKET, 0): -5, (OTHER, 0): 5, (BUCKET, None): 70, (OTHER, None): -70},
    ),
]


@pytest.mark.parametrize(("event", "expected"), BY_HAND, ids=lambda x: getattr(x, "TAG", ""))
def test_balances_by_hand(event, expected):
    ledger = Ledger(OWNERS, MARKETS)

    ledger.posting_of(type(event))(event, 0, 0)

    assert balances_of(ledger) == expected
