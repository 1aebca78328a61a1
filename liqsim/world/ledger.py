"""
The double-entry ledger: cash per owner, contract units and coins per market and owner.

Columns are numpy arrays with a memoryview over each: scans read the array, single postings go
through the view, which gives Python integers and raises where numpy would wrap.
Posting functions are generated from the transfers that event classes declare; a test compares
them with an interpreter of the same declarations.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from liqsim.errors import BoundError
from liqsim.events.schema import EventClass, Owner, Transfer
from liqsim.units import BOUND
from liqsim.world.views import int_view

Posting = Callable[[Any, int, int], None]
"""Applies the transfers of (event, seq, sim_time_us); only the event matters to balances."""
_SUM_LIMIT: Final = 8.0e18
"""With a balance within BOUND on top, a sum up to here still fits an int64."""


class Ledger:
    """
    Balances of every owner.

    Attributes:
        cash: int64, shape (owners,): USD in 1e-6.
        units: int64, shape (markets, owners): contract units in 1e-8; negative is short.
        coins: int64, shape (markets, owners): coins that the contract is about, in 1e-8.
        cash_view: The same cash, item by item, as Python integers.
        unit_views: The same units, one view per market.
        coin_views: The same coins, likewise.
    """

    def __init__(self, owner_count: int, market_count: int) -> None:
        self.cash: npt.NDArray[np.int64] = np.zeros(owner_count, dtype=np.int64)
        self.units: npt.NDArray[np.int64] = np.zeros((market_count, owner_count), dtype=np.int64)
        self.coins: npt.NDArray[np.int64] = np.zeros((market_count, owner_count), dtype=np.int64)
        self.cash_view = int_view(self.cash)
        self.unit_views = tuple(int_view(row) for row in self.units)
        self.coin_views = tuple(int_view(row) for row in self.coins)

    def posting_of(self, cls: EventClass) -> Posting:
        """Return a function that applies the transfers of one event of *cls*."""
        source = _source(cls.TRANSFERS)
        scope: dict[str, Any] = {
            "cash": self.cash_view,
            "unit_views": self.unit_views,
            "coin_views": self.coin_views,
            "out_of_bounds": _out_of_bounds,
        }
        exec(compile(source, f"<postings of {cls.TAG}>", "exec"), scope)  # noqa: S102 — source is built from declarations only
        return scope["post"]  # type: ignore[no-any-return]

    def post_many(self, cls: EventClass, columns: dict[str, npt.NDArray[np.int64]]) -> None:
        """
        Apply the transfers of many events of *cls* at once.

        Raises:
            BoundError: A balance would leave (-BOUND, BOUND); balances are then undefined.
        """
        for transfer in cls.TRANSFERS:
            amount = columns[transfer.amount]
            if float(np.abs(amount.astype(np.float64)).sum()) > _SUM_LIMIT:
                message = f"{cls.TAG}: {transfer.amount} sums beyond the ledger's range"
                raise BoundError(message)
            rows_of_markets = list(self.coins if transfer.is_coin else self.units)
            balances = [self.cash] if transfer.market is None else rows_of_markets
            market = None if transfer.market is None else columns[transfer.market]
            for number, balance in enumerate(balances):
                rows: Any = slice(None) if market is None else np.flatnonzero(market == number)
                for side, sign in ((transfer.payer, -1), (transfer.payee, 1)):
                    if isinstance(side, Owner):
                        balance[side] += sign * int(amount[rows].sum())
                    else:
                        np.add.at(balance, columns[side][rows], sign * amount[rows])
                if bool((np.abs(balance) >= BOUND).any()):
                    message = f"{cls.TAG}: {transfer.amount} takes a balance beyond {BOUND}"
                    raise BoundError(message)


def _out_of_bounds(event: object, balance: int) -> None:
    message = f"{event} takes a balance to {balance}, must lie within +-{BOUND}"
    raise BoundError(message)


def _source(transfers: tuple[Transfer, ...]) -> str:
    lines = ["def post(event, seq, at_us):"]
    for transfer in transfers:
        lines.append(f"    amount = event.{transfer.amount}")
        if transfer.market is not None:
            views = "coin_views" if transfer.is_coin else "unit_views"
            lines.append(f"    units = {views}[event.{transfer.market}]")
        column = "cash" if transfer.market is None else "units"
        for side, sign in ((transfer.payer, "-"), (transfer.payee, "+")):
            owner = str(int(side)) if isinstance(side, Owner) else f"event.{side}"
            lines += [
                f"    balance = {column}[{owner}] {sign} amount",
                f"    if not {-BOUND} < balance < {BOUND}:",
                "        out_of_bounds(event, balance)",
                f"    {column}[{owner}] = balance",
            ]
    lines.append("    return None")
    return "\n".join(lines)
