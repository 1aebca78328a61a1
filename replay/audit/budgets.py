"""What rewards of keepers may cost, as an audit keeps it."""

import attrs

from replay.terms import MitigationTerms

_E6 = 10**6
_E10 = 10**10
_MINUTE_US = 60_000_000


@attrs.define
class Budget:
    """
    The budget of one reward, and what was paid out of it.

    Attributes:
        number: Its place in the scenario.
        terms: Its parameters.
        paid: (when, how much) of all payments.
    """

    number: int
    terms: MitigationTerms
    paid: list[tuple[int, int]] = attrs.Factory(list)

    @property
    def law(self) -> str:
        """What a reward follows."""
        return self.terms.word("law")

    def left(self, before_us: int | None = None) -> int:
        """Return what is left of it: now, or, at most, at an earlier instant."""
        whole = self.terms.usd("budget_usd")
        return whole - sum(a for at, a in self.paid if before_us is None or at < before_us)

    def used(self, now_us: int, *, before_us: int | None = None) -> int:
        """Return what was paid in the span that ends now, at least if *before_us*."""
        if "span" not in self.terms.values:
            return 0
        span_us = self.terms.duration("span")
        return sum(
            amount
            for at, amount in self.paid
            if now_us - at < span_us and (before_us is None or at < before_us)
        )

    def owed(self, waited_us: int, violation_uusd: int, depth_e8: int, mark_e8: int) -> int:
        """Return what the law asks for; it looks at its own part alone."""
        terms, more = self.terms, 0
        match self.law:
            case "waiting":
                more = terms.usd("per_minute_usd") * waited_us // _MINUTE_US
            case "violation":
                more = terms.ratio("rate") * violation_uusd // _E6
            case "scarcity":
                enough = terms.usd("reference_usd")
                there = min(depth_e8 * mark_e8 // _E10, enough)
                more = terms.usd("scarce_usd") * (enough - there) // enough
        return terms.usd("base_usd") + more

    def pays(self, owed_uusd: int, used_uusd: int, left_uusd: int) -> int:
        """Return what of that is paid."""
        most = min(owed_uusd, self.terms.usd("max_usd"), left_uusd)
        if "max_window_usd" in self.terms.values:
            most = min(most, self.terms.usd("max_window_usd") - used_uusd)
        return max(most, 0)


def budgets_of(rows: tuple[MitigationTerms, ...]) -> tuple[Budget, ...]:
    """Return the budgets of a run."""
    return tuple(Budget(n, row) for n, row in enumerate(rows) if row.kind == "keeper_reward")
