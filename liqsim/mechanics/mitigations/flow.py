"""Sums over rolling windows."""

from bisect import bisect_right


class Tally:
    """Amounts by the instant at which they came, added in order of time."""

    def __init__(self) -> None:
        self._at_us: list[int] = []
        self._totals = [0]

    def add(self, at_us: int, amount: int) -> None:
        """Add an amount."""
        self._at_us.append(at_us)
        self._totals.append(self._totals[-1] + amount)

    def after(self, at_us: int) -> int:
        """
        Return the sum of what came after an instant.

        >>> tally = Tally()
        >>> tally.add(3, 10), tally.add(5, 7)
        (None, None)
        >>> tally.after(2), tally.after(3), tally.after(5)
        (17, 7, 0)
        """
        return self._totals[-1] - self._totals[bisect_right(self._at_us, at_us)]
