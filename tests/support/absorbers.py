"""What absorbs losses by a mitigation, judged by rules written from their description."""

from collections.abc import Callable, Sequence
from typing import Any

from liqsim.scenario.mitigations import FundLimits

Capped = tuple[int, int, int, int, int]
"""Mitigation, paid in its span, paid for the slice, what may be paid, what was wanted."""


class FundJudge:
    """What the fund may pay, worked out from all that it has ever paid."""

    def __init__(self, mitigations: Sequence[Any], markets: Sequence[str]) -> None:
        self._limits = [
            (number, row, markets.index(row.market) if row.market else None)
            for number, row in enumerate(mitigations)
            if isinstance(row, FundLimits)
        ]
        self._paid: list[tuple[int, int, int, int]] = []

    def pays(self, at_us: int, market: int, tranche: int, amount: int) -> None:
        self._paid.append((at_us, market, tranche, amount))

    def rooms(self, at_us: int, market: int, tranche: int) -> list[tuple[int, int, int, int]]:
        """Return (mitigation, paid in its span, and for the slice, most) of each limit."""
        of_slice = sum(amount for _, _, which, amount in self._paid if which == tranche)
        found = []
        for number, row, only in self._limits:
            if only in (None, market):
                used = sum(
                    amount
                    for when, where, _, amount in self._paid
                    if only in (None, where) and when + row.span_us > at_us
                )
                most = min(row.max_draw_uusd - of_slice, row.max_window_uusd - used)
                found.append((number, used, of_slice, max(most, 0)))
        return found

    def can_pay(self, at_us: int, market: int, tranche: int, balance: int) -> int:
        return min([balance, *(most for _, _, _, most in self.rooms(at_us, market, tranche))])

    def binding(
        self, at_us: int, market: int, tranche: int, wanted: int, binds: Callable[[int], bool]
    ) -> list[Capped]:
        """Return what must be recorded of the limits that bind."""
        return [
            (number, used, of_slice, most, wanted)
            for number, used, of_slice, most in self.rooms(at_us, market, tranche)
            if binds(most)
        ]
