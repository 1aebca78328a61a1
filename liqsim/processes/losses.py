"""The last layers of the waterfall: winners and solvent accounts fill what the fund cannot."""

from collections.abc import Callable

import numpy as np

from liqsim.events import FundingIndexMoved, LossSocialised, ProfitCut
from liqsim.mechanics.losses import (
    Accounts,
    Payments,
    budget_uusd,
    cut_entries_e8,
    decide_haircut,
    decide_index_move,
    decide_socialised,
)
from liqsim.mechanics.radius import Ints
from liqsim.processes.context import Context, MarketDesk
from liqsim.processes.margins import Margins
from liqsim.units import format_usd


def share_loss(
    context: Context,
    margins: Margins,
    watch_all: Callable[[Ints], None],
    desk: MarketDesk,
    tranche_seq: int,
    bucket: int,
    *,
    was_long: bool,
) -> None:
    """
    Have the other accounts of a market pay what *bucket* owes without a position, as configured.

    Args:
        context: The run.
        margins: The margins of the venue's buckets.
        watch_all: Indexes payers anew.
        desk: The market in which its position was closed.
        tranche_seq: The tranche that closed it.
        bucket: Whose cash is negative.
        was_long: Whether its position was long.
    """
    spec, ledger = context.scenario.venue.waterfall, context.world.ledger
    mark = desk.state.mark_e8

    def record(
        cls: type[ProfitCut | LossSocialised], accounts: Accounts, payments: Payments
    ) -> None:
        if not len(payments.rows):
            return
        context.log.info(cls.TAG, bucket_id=bucket, usd=format_usd(payments.total_uusd))
        payers = accounts.ids[payments.rows]
        columns = {
            "tranche_seq": np.full_like(payers, tranche_seq),
            "bucket_id": np.full_like(payers, bucket),
            "payer_id": payers,
            "market_id": np.full_like(payers, desk.market_id),
            "mark_price_e8": np.full_like(payers, mark),
            "basis_uusd": payments.basis_uusd,
            "amount_uusd": payments.amounts_uusd,
        }
        if cls is ProfitCut:
            columns["entry_price_e8"] = cut_entries_e8(
                accounts.units[payments.rows],
                accounts.entry_e8[payments.rows],
                payments.amounts_uusd,
            )
        context.journal.append_many(cls, columns, tranche_seq)
        watch_all(payers)

    if spec.profit_haircut != "none":
        budget = budget_uusd(-ledger.cash_view[bucket], spec.haircut_severity_e6)
        accounts = _accounts(context, margins, desk)
        is_queue = spec.profit_haircut == "queue"
        record(
            ProfitCut,
            accounts,
            decide_haircut(accounts, budget_uusd=budget, mark_e8=mark, is_queue=is_queue),
        )
    if spec.socialise != "none" and ledger.cash_view[bucket] < 0:
        accounts = _accounts(context, margins, desk)
        loss = -ledger.cash_view[bucket]
        if spec.socialise == "funding_index":
            move = decide_index_move(accounts, loss_uusd=loss, longs_pay=not was_long)
            if move is not None:
                event = FundingIndexMoved(
                    tranche_seq, bucket, desk.market_id, move.units_e8, loss, move.residue_uusd
                )
                context.journal.append(event, tranche_seq)
                record(LossSocialised, accounts, move.payments)
            return
        by_equity = spec.socialise == "equity"
        record(
            LossSocialised,
            accounts,
            decide_socialised(
                accounts,
                loss_uusd=loss,
                mark_e8=mark,
                by_equity=by_equity,
                is_inverse=desk.rule.is_inverse,
            ),
        )


def _accounts(context: Context, margins: Margins, desk: MarketDesk) -> Accounts:
    """Return the accounts with a position in a market and in no liquidation."""
    mark_e8 = desk.state.mark_e8
    world, first = context.world, context.first_bucket
    held = world.ledger.units[desk.market_id, first:]
    ids = np.flatnonzero((held != 0) & (world.liquidation_seq[first:] < 0)) + first
    return Accounts(
        ids=ids,
        cash=margins.backing_of_all(desk, mark_e8, ids),
        units=world.ledger.units[desk.market_id, ids],
        entry_e8=world.entry_e8[desk.market_id, ids],
        room_uusd=margins.rooms_at_least(ids),
        exact_room_uusd=lambda row: margins.room_uusd(int(ids[row])),
    )
