"""
A second, independent fold of the log, into plain dictionaries.

What moves is written here by hand from the meaning of the fields (cash moves by minus quantity x
price, rounded against the taker), not from the transfers that the write side declares: what
judges shares nothing with what is judged.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, Final

import attrs

from liqsim.events import (
    BadDebtRecorded,
    BookSampled,
    CoinHaircutChanged,
    CoinsDeposited,
    CoinsSettled,
    ContributionPaid,
    Entry,
    Event,
    FundDrawn,
    FundingIndexMoved,
    FundingPaid,
    FundsDeposited,
    FundsWithdrawn,
    InventorySold,
    KeeperCallFailed,
    KeeperRewarded,
    LeverageFeePaid,
    LiquidationEnded,
    LiquidationTriggered,
    LossSocialised,
    MaintenanceChanged,
    OracleUpdated,
    OrderFilled,
    PenaltyRouted,
    PositionDeleveraged,
    PositionOpened,
    PositionReduced,
    ProfitCut,
    ShadowUpdated,
    StakeSlashed,
    SurplusRouted,
    TradeFilled,
    TranchesCrossed,
    TrancheSettled,
    TrancheStarted,
    TrancheTakenOver,
)

OUTSIDE: Final = 0
MAKERS: Final = 1
FUND: Final = 2
TREASURY: Final = 3
NETWORK: Final = 4
USD: Final = 0

_E16_PER_UUSD: Final = 10**10

Move = tuple[int, int, int]
"""Owner, asset, signed change; the contract of market m is asset m + 1, its coin -(m + 1)."""


def cost_of(quantity_e8: int, price_e8: int) -> int:
    """
    Return what the taker of *quantity_e8* pays in micro-USD, rounded up; negative if it sells.

    >>> cost_of(3 * 10**8, 1_00000001), cost_of(-3 * 10**8, 1_00000001)
    (3000001, -3000000)
    """
    return -(-quantity_e8 * price_e8 // _E16_PER_UUSD)


def _trade(taker: int, maker: int, market: int, quantity: int, price: int) -> tuple[Move, ...]:
    cost = cost_of(quantity, price)
    asset = market + 1
    return (
        (taker, asset, quantity),
        (maker, asset, -quantity),
        (taker, USD, -cost),
        (maker, USD, cost),
    )


def _deposited(e: FundsDeposited) -> tuple[Move, ...]:
    return (OUTSIDE, USD, -e.amount_uusd), (e.owner_id, USD, e.amount_uusd)


def _opened(e: PositionOpened) -> tuple[Move, ...]:
    return _trade(e.bucket_id, MAKERS, e.market_id, e.quantity_e8, e.price_e8)


def _filled(e: OrderFilled) -> tuple[Move, ...]:
    return (
        *_trade(e.bucket_id, MAKERS, e.market_id, e.quantity_e8, e.price_e8),
        (e.bucket_id, USD, -e.fee_uusd),
        (TREASURY, USD, e.fee_uusd),
    )


def _reduced(e: PositionReduced) -> tuple[Move, ...]:
    return (
        *_trade(e.bucket_id, MAKERS, e.market_id, e.quantity_e8, e.price_e8),
        (e.bucket_id, USD, -e.fee_uusd),
        (TREASURY, USD, e.fee_uusd),
    )


def _traded(e: TradeFilled) -> tuple[Move, ...]:
    return (
        *_trade(e.bucket_id, MAKERS, e.market_id, e.quantity_e8, e.price_e8),
        (e.bucket_id, USD, -e.fee_uusd),
        (TREASURY, USD, e.fee_uusd),
    )


def _withdrawn(e: FundsWithdrawn) -> tuple[Move, ...]:
    return (e.bucket_id, USD, -e.amount_uusd), (OUTSIDE, USD, e.amount_uusd)


def _taken_over(e: TrancheTakenOver) -> tuple[Move, ...]:
    return (
        *_trade(e.bucket_id, e.keeper_id, e.market_id, e.quantity_e8, e.price_e8),
        (e.bucket_id, USD, -e.fee_uusd),
        (TREASURY, USD, e.fee_uusd),
        (e.keeper_id, USD, -e.call_cost_uusd),
        (NETWORK, USD, e.call_cost_uusd),
    )


def _crossed(e: TranchesCrossed) -> tuple[Move, ...]:
    return (
        *_trade(e.bucket_id, e.counterparty_id, e.market_id, e.quantity_e8, e.price_e8),
        (e.bucket_id, USD, -e.fee_uusd),
        (e.counterparty_id, USD, -e.other_fee_uusd),
        (TREASURY, USD, e.fee_uusd + e.other_fee_uusd),
    )


def _call_failed(e: KeeperCallFailed) -> tuple[Move, ...]:
    return (e.keeper_id, USD, -e.call_cost_uusd), (NETWORK, USD, e.call_cost_uusd)


def _sold(e: InventorySold) -> tuple[Move, ...]:
    return _trade(e.keeper_id, MAKERS, e.market_id, e.quantity_e8, e.price_e8)


def _surplus(e: SurplusRouted) -> tuple[Move, ...]:
    return (e.bucket_id, USD, -e.amount_uusd), (FUND, USD, e.amount_uusd)


def _drawn(e: FundDrawn) -> tuple[Move, ...]:
    return (FUND, USD, -e.amount_uusd), (e.bucket_id, USD, e.amount_uusd)


def _deleveraged(e: PositionDeleveraged) -> tuple[Move, ...]:
    return _trade(e.bucket_id, e.counterparty_id, e.market_id, e.quantity_e8, e.price_e8)


def _shared(e: ProfitCut | LossSocialised) -> tuple[Move, ...]:
    return (e.payer_id, USD, -e.amount_uusd), (e.bucket_id, USD, e.amount_uusd)


def _index_moved(e: FundingIndexMoved) -> tuple[Move, ...]:
    return (e.bucket_id, USD, -e.residue_uusd), (FUND, USD, e.residue_uusd)


def _slashed(e: StakeSlashed) -> tuple[Move, ...]:
    return (e.staker_id, USD, -e.amount_uusd), (e.bucket_id, USD, e.amount_uusd)


def _contributed(e: ContributionPaid) -> tuple[Move, ...]:
    return (e.backer_id, USD, -e.amount_uusd), (FUND, USD, e.amount_uusd)


def _leverage_fee(e: LeverageFeePaid) -> tuple[Move, ...]:
    return (e.bucket_id, USD, -e.amount_uusd), (FUND, USD, e.amount_uusd)


def _routed(e: PenaltyRouted) -> tuple[Move, ...]:
    return (TREASURY, USD, -e.amount_uusd), (e.receiver_id, USD, e.amount_uusd)


def _rewarded(e: KeeperRewarded) -> tuple[Move, ...]:
    return (TREASURY, USD, -e.amount_uusd), (e.keeper_id, USD, e.amount_uusd)


def _funding(e: FundingPaid) -> tuple[Move, ...]:
    return (e.bucket_id, USD, -e.amount_uusd), (MAKERS, USD, e.amount_uusd)


def _coins_deposited(e: CoinsDeposited) -> tuple[Move, ...]:
    coin = -e.market_id - 1
    return (OUTSIDE, coin, -e.quantity_e8), (e.bucket_id, coin, e.quantity_e8)


def _coins_settled(e: CoinsSettled) -> tuple[Move, ...]:
    contract = e.market_id + 1
    return (
        (e.account_id, contract, e.units_e8),
        (MAKERS, contract, -e.units_e8),
        (e.account_id, -contract, e.coins_e8),
        (MAKERS, -contract, -e.coins_e8),
        (e.account_id, USD, e.amount_uusd),
        (MAKERS, USD, -e.amount_uusd),
    )


_MOVES: Final[dict[type[Event], Callable[[Any], tuple[Move, ...]]]] = {
    FundsDeposited: _deposited,
    PositionOpened: _opened,
    OrderFilled: _filled,
    TrancheTakenOver: _taken_over,
    TranchesCrossed: _crossed,
    KeeperCallFailed: _call_failed,
    InventorySold: _sold,
    SurplusRouted: _surplus,
    FundDrawn: _drawn,
    PositionDeleveraged: _deleveraged,
    ProfitCut: _shared,
    LossSocialised: _shared,
    FundingIndexMoved: _index_moved,
    ContributionPaid: _contributed,
    StakeSlashed: _slashed,
    PenaltyRouted: _routed,
    KeeperRewarded: _rewarded,
    FundingPaid: _funding,
    LeverageFeePaid: _leverage_fee,
    PositionReduced: _reduced,
    TradeFilled: _traded,
    FundsWithdrawn: _withdrawn,
    CoinsDeposited: _coins_deposited,
    CoinsSettled: _coins_settled,
}


def moves_of(event: Event) -> tuple[Move, ...]:
    """Return what *event* moves, in micro-USD and 1e-8 units."""
    moves = _MOVES.get(type(event))
    return () if moves is None else moves(event)


@attrs.define
class Fold:
    """
    What the events so far add up to.

    Attributes:
        seq: The last event folded; -1 before the first.
        sim_time_us: Its time.
        cash_uusd: Cash by owner.
        units_e8: Units by (market, owner).
        coins_e8: Coins by (market, owner).
        marks_e8: Mark price by market.
        marked_at_us: When it landed, by market.
        shadow_marks_e8: Shadow mark by market.
        maintenance_e6: Maintenance rates as a multiple of those at the start, by market; a market
            whose rates have not changed is not there.
        coin_haircuts_e6: Haircut on coins that are collateral, by market, likewise.
        entry_prices_e8: Entry price by (market, bucket), moved by cuts of profit.
        open_liquidations: Triggers that have not ended, by seq.
        open_tranches: Tranches that are not settled, by seq.
        bad_debt_uusd: Recorded bad debt by bucket.
    """

    seq: int = -1
    sim_time_us: int = 0
    cash_uusd: defaultdict[int, int] = attrs.Factory(lambda: defaultdict(int))
    units_e8: defaultdict[tuple[int, int], int] = attrs.Factory(lambda: defaultdict(int))
    coins_e8: defaultdict[tuple[int, int], int] = attrs.Factory(lambda: defaultdict(int))
    marks_e8: dict[int, int] = attrs.Factory(dict)
    marked_at_us: dict[int, int] = attrs.Factory(dict)
    shadow_marks_e8: dict[int, int] = attrs.Factory(dict)
    maintenance_e6: dict[int, int] = attrs.Factory(dict)
    coin_haircuts_e6: dict[int, int] = attrs.Factory(dict)
    entry_prices_e8: dict[tuple[int, int], int] = attrs.Factory(dict)
    open_liquidations: dict[int, LiquidationTriggered] = attrs.Factory(dict)
    open_tranches: dict[int, TrancheStarted] = attrs.Factory(dict)
    bad_debt_uusd: defaultdict[int, int] = attrs.Factory(lambda: defaultdict(int))

    @property
    def fund_uusd(self) -> int:
        """Cash of the insurance fund."""
        return self.cash_uusd[FUND]

    def apply(self, entry: Entry) -> tuple[Move, ...]:
        """Fold one more event, and return what it moved."""
        event = entry.event
        self.seq = entry.seq
        self.sim_time_us = entry.sim_time_us
        moves = moves_of(event)
        for owner, asset, change in moves:
            if asset == USD:
                self.cash_uusd[owner] += change
            elif asset < 0:
                self.coins_e8[-asset - 1, owner] += change
            else:
                self.units_e8[asset - 1, owner] += change
        note = _NOTES.get(type(event))
        if note is not None:
            note(self, entry.seq, event)
        return moves


def _note_opened(fold: Fold, _seq: int, e: PositionOpened) -> None:
    fold.entry_prices_e8[e.market_id, e.bucket_id] = e.price_e8


def _note_traded(fold: Fold, _seq: int, e: TradeFilled) -> None:
    fold.entry_prices_e8[e.market_id, e.bucket_id] = e.entry_price_e8


def _note_cut(fold: Fold, _seq: int, e: ProfitCut) -> None:
    fold.entry_prices_e8[e.market_id, e.payer_id] = e.entry_price_e8


def _note_mark(fold: Fold, _seq: int, e: OracleUpdated | BookSampled) -> None:
    fold.marks_e8[e.market_id] = e.mark_price_e8
    fold.marked_at_us[e.market_id] = fold.sim_time_us
    fold.shadow_marks_e8[e.market_id] = e.shadow_mark_e8


def _note_shadow(fold: Fold, _seq: int, e: ShadowUpdated) -> None:
    fold.shadow_marks_e8[e.market_id] = e.shadow_mark_e8


def _note_maintenance(fold: Fold, _seq: int, e: MaintenanceChanged) -> None:
    fold.maintenance_e6[e.market_id] = e.multiplier_e6


def _note_coin_haircut(fold: Fold, _seq: int, e: CoinHaircutChanged) -> None:
    fold.coin_haircuts_e6[e.market_id] = e.coin_haircut_e6


def _note_triggered(fold: Fold, seq: int, e: LiquidationTriggered) -> None:
    fold.open_liquidations[seq] = e


def _note_started(fold: Fold, seq: int, e: TrancheStarted) -> None:
    fold.open_tranches[seq] = e


def _note_settled(fold: Fold, _seq: int, e: TrancheSettled) -> None:
    fold.open_tranches.pop(e.tranche_seq, None)


def _note_ended(fold: Fold, _seq: int, e: LiquidationEnded) -> None:
    fold.open_liquidations.pop(e.liquidation_seq, None)


def _note_bad_debt(fold: Fold, _seq: int, e: BadDebtRecorded) -> None:
    fold.bad_debt_uusd[e.bucket_id] += e.amount_uusd


_NOTES: Final[dict[type[Event], Callable[[Fold, int, Any], None]]] = {
    PositionOpened: _note_opened,
    ProfitCut: _note_cut,
    TradeFilled: _note_traded,
    OracleUpdated: _note_mark,
    BookSampled: _note_mark,
    ShadowUpdated: _note_shadow,
    MaintenanceChanged: _note_maintenance,
    CoinHaircutChanged: _note_coin_haircut,
    LiquidationTriggered: _note_triggered,
    TrancheStarted: _note_started,
    TrancheSettled: _note_settled,
    LiquidationEnded: _note_ended,
    BadDebtRecorded: _note_bad_debt,
}


def fold(entries: Iterable[Entry]) -> Fold:
    """Return what *entries*, in seq order, add up to."""
    state = Fold()
    for entry in entries:
        state.apply(entry)
    return state
