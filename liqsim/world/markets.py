"""Markets: the book's declared clock functions, the mark price, and the history an oracle sees."""

from bisect import bisect_left
from enum import IntEnum

import attrs

from liqsim.events import NO_CAUSE
from liqsim.units import RATIO_SCALE

_DUST_E8 = 1.0
"""Consumed volume below one unit of the ledger counts as refilled."""


class Flow(IntEnum):
    """Whose orders move a book."""

    FORCED = 0
    HEDGING = 1
    TRADING = 2


_NO_OTHERS = ((0.0, 0),) * (len(Flow) - 1)


@attrs.frozen
class BookState:
    """
    What flow has done to a book, as of one instant; between instants it decays by the clock.

    Attributes:
        at_us: The instant.
        consumed: Volume consumed and not yet refilled, in 1e-8 units; negative was sold.
        net_e8: Signed volume ever traded, in 1e-8 units; carries the permanent impact.
        multiplier_e6: Depth as a multiple of the calm depth.
        half_life_us: Time in which half of the consumed volume refills.
        fill_seq: Newest forced fill, or `NO_CAUSE`.
        gross: Like *consumed*, but bought and sold add up instead of cancelling.
        others: (consumed, net_e8) of each `Flow` but the forced one, whose part is what is left.
    """

    at_us: int
    consumed: float
    net_e8: int
    multiplier_e6: int
    half_life_us: int
    fill_seq: int = NO_CAUSE
    gross: float = 0.0
    others: tuple[tuple[float, int], ...] = _NO_OTHERS

    def part(self, flow: Flow) -> tuple[float, int]:
        """Return what of consumed and net volume is one flow's, as of the state's own instant."""
        if flow is not Flow.FORCED:
            return self.others[flow - 1]
        consumed = self.consumed - sum(consumed for consumed, _ in self.others)
        return consumed, self.net_e8 - sum(net_e8 for _, net_e8 in self.others)

    def consumed_at(self, at_us: int) -> float:
        """Return the consumed volume at *at_us*, not before the state's own instant."""
        return self._left(self.consumed, at_us)

    def taken_at(self, at_us: int, sign: int) -> float:
        """Return what buyers (*sign* 1) or sellers (-1) took by itself and has not come back."""
        taken = (self._left(self.gross, at_us) + sign * self.consumed_at(at_us)) / 2.0
        return max(taken, 0.0)

    def _left(self, volume: float, at_us: int) -> float:
        if volume == 0.0 or at_us == self.at_us:
            return volume
        volume *= 0.5 ** ((at_us - self.at_us) / self.half_life_us)
        return volume if abs(volume) >= _DUST_E8 else 0.0

    def traded(
        self, at_us: int, quantity_e8: int, fill_seq: int, flow: Flow = Flow.FORCED
    ) -> "BookState":
        """Return the state after a fill of *quantity_e8* (negative: sold)."""
        others = [(self._left(consumed, at_us), net_e8) for consumed, net_e8 in self.others]
        if flow is not Flow.FORCED:
            consumed, net_e8 = others[flow - 1]
            others[flow - 1] = consumed + quantity_e8, net_e8 + quantity_e8
        return BookState(
            at_us=at_us,
            consumed=self.consumed_at(at_us) + quantity_e8,
            net_e8=self.net_e8 + quantity_e8,
            multiplier_e6=self.multiplier_e6,
            half_life_us=self.half_life_us,
            fill_seq=fill_seq,
            gross=self._left(self.gross, at_us) + abs(quantity_e8),
            others=tuple(others),
        )

    def with_depth(self, at_us: int, multiplier_e6: int, half_life_us: int) -> "BookState":
        """
        Return the state after a change of depth.

        A falling multiplier keeps the displacement, a rising one the consumed volume, so that the
        change pays nobody.
        """
        kept = min(multiplier_e6 / self.multiplier_e6, 1.0)
        return attrs.evolve(
            self,
            at_us=at_us,
            consumed=self.consumed_at(at_us) * kept,
            gross=self._left(self.gross, at_us) * kept,
            others=tuple((self._left(part, at_us) * kept, net) for part, net in self.others),
            multiplier_e6=multiplier_e6,
            half_life_us=half_life_us,
        )


@attrs.frozen
class MarkInputs:
    """
    The newest prices of a market that have landed, of which its mark is made.

    Attributes:
        index_e8: Oracle's price; 0 before the first update.
        index_at_us: When it landed.
        index_shows_us: The instant just before which the displacement stood that it shows.
        book_e8: The book's price; 0 before the first sample.
        book_at_us: When it was sampled.
        book_shows_us: The instant just before which it stood.
        premium_e9: Smoothed premium of the book's price over the index.
    """

    index_e8: int = 0
    index_at_us: int = 0
    index_shows_us: int = 0
    book_e8: int = 0
    book_at_us: int = 0
    book_shows_us: int = 0
    premium_e9: int = 0

    def with_index(self, price_e8: int, at_us: int, shows_us: int) -> "MarkInputs":
        """Return what there is once an oracle update has landed."""
        book = self.book_e8, self.book_at_us, self.book_shows_us, self.premium_e9
        return MarkInputs(price_e8, at_us, shows_us, *book)  # Twice per update: evolve is slow.

    def with_book(self, price_e8: int, at_us: int, shows_us: int, premium_e9: int) -> "MarkInputs":
        """Return what there is once the book's price has been sampled."""
        index = self.index_e8, self.index_at_us, self.index_shows_us
        return MarkInputs(*index, price_e8, at_us, shows_us, premium_e9)


class Market:
    """
    State of one market.

    Attributes:
        mark_e8: Mark price at the venue; 0 before the first oracle update.
        mark_seq: The event that set it, or `NO_CAUSE`.
        mark_at_us: When it landed.
        mark_shows_us: The instant just before which the displacement stood that it shows.
        shadow_e8: Shadow mark: what the mark would be without displacement; 0 before the first.
        inputs: Of what the mark is made.
        shadow_inputs: Of what the shadow mark is made.
        maintenance_e6: Maintenance rates in force as a multiple of those at the start.
        coin_haircut_e6: Haircut in force on coins that are collateral; None for that of the start.
        halted_until_us: Before this no due position in it is put up, filled or taken over.
        risk_halted_until_us: Before this nobody opens or enlarges a position in it.
        history: Every state of the book, oldest first.
    """

    def __init__(self, half_life_us: int) -> None:
        self.mark_e8 = 0
        self.mark_seq = NO_CAUSE
        self.mark_at_us = 0
        self.mark_shows_us = 0
        self.shadow_e8 = 0
        self.inputs = self.shadow_inputs = MarkInputs()
        self.maintenance_e6 = RATIO_SCALE
        self.coin_haircut_e6: int | None = None
        self.halted_until_us = self.risk_halted_until_us = 0
        self.history = [BookState(0, 0.0, 0, RATIO_SCALE, half_life_us)]
        self._history_at = [-1]  # The calm start precedes even the samples taken at time 0.

    @property
    def book(self) -> BookState:
        """The book now."""
        return self.history[-1]

    def book_before(self, at_us: int) -> BookState:
        """Return the book as it stood just before *at_us*."""
        return self.history[bisect_left(self._history_at, at_us) - 1]

    def set_book(self, state: BookState) -> None:
        """Replace the book; called by `evolve` alone."""
        self.history.append(state)
        self._history_at.append(state.at_us)

    def set_mark(self, price_e8: int, seq: int, at_us: int, shows_us: int) -> None:
        """Replace the mark price; called by `evolve` alone."""
        self.mark_e8, self.mark_seq, self.mark_at_us = price_e8, seq, at_us
        self.mark_shows_us = shows_us
