"""Costs against prices, and postings against what the fields of the events mean."""

from collections.abc import Mapping

import attrs
import numpy as np

from liqsim.eventlog.reader import Columns, IntArray, LogReader
from liqsim.events import Event
from replay.audit.findings import Findings, amount_of
from replay.fold import USD, Fold, Move, cost_of

_VIEWS = ("cash_postings", "unit_postings", "coin_postings")
_BITS = 20
"""Bits left for an asset below the owner in a sort key."""


@attrs.define
class Money:
    """
    Checks chunk after chunk.

    Attributes:
        log: The log.
        findings: Where findings go.
    """

    log: LogReader
    findings: Findings
    _moved: list[int] = attrs.Factory(list)
    _wrong_costs: set[int] = attrs.Factory(set)

    def check_costs(self, kinds: Mapping[type[Event], Columns]) -> None:
        """Check that every cost is quantity x price, rounded up."""
        for cls, columns in kinds.items():
            if "cost_uusd" not in columns:
                continue
            names = ("seq", "quantity_e8", "price_e8", "cost_uusd")
            rows = zip(*(columns[name].tolist() for name in names), strict=True)
            for seq, quantity, price, cost in rows:
                right = cost_of(quantity, price)
                if cost != right:
                    self.findings.expect("cost", seq, f"{cls.TAG}.cost_uusd", cost, right)
                    self._wrong_costs.add(seq)

    def note_moves(self, seq: int, moves: tuple[Move, ...]) -> None:
        """Remember what the fold moved by event *seq*."""
        for move in moves:
            self._moved.append(seq)
            self._moved.extend(move)

    def check_postings(self, low: int, high: int) -> None:
        """Check the postings of [*low*, *high*] against what was noted since the last call."""
        recorded = self._recorded(low, high)
        unbalanced = _unbalanced(recorded[0], recorded[2], recorded[3])
        for seq in unbalanced:
            self.findings.add("posting_sum", seq, "its postings do not sum to zero per asset")
        meant = np.array(self._moved, dtype=np.int64).reshape(-1, 4).T
        self._moved = []
        both = np.concatenate([recorded, meant], axis=1)
        both[3, recorded.shape[1] :] *= -1
        owner_asset = both[1] << _BITS | both[2] & (1 << _BITS) - 1
        for seq in _unbalanced(both[0], owner_asset, both[3]):
            # A wrong cost is posted as it stands; one finding about an event is enough.
            if seq not in self._wrong_costs and seq not in unbalanced:
                self.findings.add("posting_move", seq, "its postings are not what its fields mean")

    def _recorded(self, low: int, high: int) -> IntArray:
        parts = [self.log.postings(view, low, high) for view in _VIEWS]
        return np.concatenate(parts, axis=1)

    def check_totals(self, fold: Fold) -> None:
        """Check that the union of all postings adds up to the folded balances."""
        sql = "select owner_id, asset_id, sum(amount) from postings group by owner_id, asset_id"
        recorded = {
            (owner, asset): int(amount.scaleb(6 if asset == USD else 8))
            for owner, asset, amount in self.log.rows(sql)
            if amount
        }
        folded = {(owner, USD): cash for owner, cash in fold.cash_uusd.items() if cash}
        folded |= {(o, market + 1): units for (market, o), units in fold.units_e8.items() if units}
        folded |= {(o, -market - 1): coins for (market, o), coins in fold.coins_e8.items() if coins}
        is_known = {"posting_sum", "posting_move"} & {f.code for f in self.findings.found}
        if self._wrong_costs or is_known:
            return  # The same, said once.
        for key in sorted(recorded.keys() | folded.keys()):
            if recorded.get(key, 0) != folded.get(key, 0):
                self.findings.add(
                    "posting_view", None,
                    f"owner {key[0]} has {amount_of(key[1], recorded.get(key, 0))} in the view "
                    f"postings, must have {amount_of(key[1], folded.get(key, 0))}",
                )  # fmt: skip


def _unbalanced(seq: IntArray, key: IntArray, amount: IntArray) -> dict[int, None]:
    """Return the numbers of events whose amounts do not cancel for some key."""
    if not len(seq):
        return {}
    order = np.lexsort((key, seq))
    seq, key, amount = seq[order], key[order], amount[order]
    starts = np.flatnonzero(np.r_[True, (np.diff(seq) != 0) | (np.diff(key) != 0)])
    sums = np.add.reduceat(amount, starts)
    return dict.fromkeys(seq[starts[sums != 0]].tolist())
