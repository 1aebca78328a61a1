"""
The reference behind a history that contains its own liquidations.

ref(t) = hist(t) x exp(-displacement), with the displacement that stood just before the step of t
began, in one causal pass of the run that is history's own: so its market price, just before every
step, is the historical one within the rounding of a unit. Between steps nothing is taken out. The
reference is a clock function of history and of the fills, not an input.
"""

import math

import numpy as np

from liqsim.errors import BoundError
from liqsim.mechanics.liquidity import Displacement
from liqsim.mechanics.paths import ReferencePath
from liqsim.units import BOUND
from liqsim.world.markets import BookState, Market


class PurgedPath:
    """
    The reference path of a market whose history contains the run's own impact.

    Args:
        name: Name of the market, for errors.
        history: What the market did.
        market: The live market.
        displacement: The book's displacement function.
    """

    def __init__(
        self, name: str, history: ReferencePath, market: Market, displacement: Displacement
    ) -> None:
        self.step_us = history.step_us
        self._name = name
        self._history = history
        self._market = market
        self._displacement = displacement
        self._newest = (-1, 0)

    def at(self, at_us: int) -> int:
        """Return the reference price at *at_us*, which is not later than now."""
        step = at_us // self.step_us
        if step != self._newest[0]:
            # Fills of the step itself do not change it: what was found once stays.
            self._newest = (step, self.without(self._history.view[step], step * self.step_us))
        return self._newest[1]

    def without(self, price_e8: int, step_us: int) -> int:
        """
        Return *price_e8* without the displacement that stood just before the step at *step_us*.

        Raises:
            BoundError: What is left is beyond the range of the ledger.
        """
        book = self._market.book_before(step_us)
        displacement = self.moved(book, step_us)
        if displacement == 0.0:
            return price_e8
        price = price_e8 * math.exp(min(-displacement, _FAR))
        if price >= BOUND:
            message = (
                f"markets.{self._name}: without the displacement of its own liquidations the price "
                f"would be {price / 10**8:g} USD, must stay below {BOUND // 10**8}: no such market "
                "can have had this history; give it more depth or fewer accounts"
            )
            raise BoundError(message)
        return max(round(price), 1)

    def moved(self, book: BookState, at_us: int) -> float:
        """Return the displacement of *book* at *at_us*, or at its own instant if that is later."""
        return self._displacement(book, max(at_us, book.at_us))

    def reference(self) -> ReferencePath:
        """Return the whole reference path, once the run is over."""
        prices = [
            self.without(price, step * self.step_us)
            for step, price in enumerate(self._history.view)
        ]
        return ReferencePath(self.step_us, np.array(prices, dtype=np.int64))


_FAR = 100.0
"""Displacement beyond which no price is left in range."""
