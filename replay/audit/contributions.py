"""What backers paid into the fund: by a rule, as much as they had, when it was due."""

import attrs

from liqsim.events import NO_CAUSE, ContributionPaid, Entry, FundDrawn
from replay.audit.findings import Findings
from replay.fold import FUND, Fold
from replay.terms import ContributionTerms


@attrs.define
class _Progress:
    """Payments by one rule, the last of them, and since when the fund has been below its level."""

    paid: int = 0
    last_us: int = 0
    below_since_us: int | None = None
    is_reported: bool = False


@attrs.define
class Contributions:
    """
    Checks event by event.

    Attributes:
        rules: The rules, in the order of their numbers.
        backers: Owner numbers by name.
        fold: What the events so far add up to.
        findings: Where findings go.
        newest_draw: The last draw on the fund.
    """

    rules: tuple[ContributionTerms, ...]
    backers: dict[str, int]
    fold: Fold
    findings: Findings
    newest_draw: int = NO_CAUSE
    _progress: list[_Progress] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._progress = [_Progress() for _ in self.rules]

    def before(self, entry: Entry) -> None:
        """Check *entry* before it is folded, and that nothing was due before it."""
        self.check_missing(entry.sim_time_us)
        if isinstance(entry.event, ContributionPaid):
            self._check(entry, entry.event)

    def after(self, entry: Entry) -> None:
        """Note where *entry*, folded, leaves the fund."""
        event = entry.event
        if isinstance(event, FundDrawn):
            self.newest_draw = entry.seq
        if isinstance(event, ContributionPaid):
            right = self.fold.fund_uusd
            self.findings.expect(
                "contribution", entry.seq, "balance_uusd", event.balance_uusd, right
            )
        for rule, progress in zip(self.rules, self._progress, strict=True):
            if rule.when_below_uusd is not None:
                is_below = self.fold.cash_uusd[FUND] < rule.when_below_uusd
                if not is_below:
                    progress.below_since_us = None
                elif progress.below_since_us is None:
                    progress.below_since_us = entry.sim_time_us

    def check_missing(self, now_us: int) -> None:
        """Report every rule by which something was due before *now_us* and did not come."""
        for number, (rule, progress) in enumerate(zip(self.rules, self._progress, strict=True), 1):
            due_us = self._due_us(rule, progress)
            if due_us is not None and due_us < now_us and not progress.is_reported:
                message = f"the payment by rule {number} that was due at {due_us} us is missing"
                self.findings.add("contribution", None, message)
                progress.is_reported = True

    def _due_us(self, rule: ContributionTerms, progress: _Progress) -> int | None:
        """Return when the next payment by a rule is due; None if none is."""
        backer = self.backers.get(rule.backer, -1)
        if progress.paid >= rule.times or self.fold.cash_uusd.get(backer, 0) <= 0:
            return None
        if rule.at_us is not None:
            return rule.at_us
        if progress.below_since_us is None:
            return None
        earliest = progress.last_us + rule.min_interval_us if progress.paid else 0
        return max(progress.below_since_us, earliest)

    def _check(self, entry: Entry, e: ContributionPaid) -> None:
        if e.rule_number > len(self.rules):
            self.findings.add("contribution", entry.seq, f"there is no rule {e.rule_number}")
            return
        rule, progress = self.rules[e.rule_number - 1], self._progress[e.rule_number - 1]
        backer = self.backers.get(rule.backer, -1)
        amount = min(rule.amount_uusd, max(self.fold.cash_uusd.get(backer, 0), 0))
        cause = NO_CAUSE if rule.at_us is not None else self.newest_draw
        for what, actual, right in (
            ("sim_time_us", entry.sim_time_us, self._due_us(rule, progress)),
            ("backer_id", e.backer_id, backer),
            ("amount_uusd", e.amount_uusd, amount),
            ("cause_seq", entry.cause_seq, cause),
        ):
            self.findings.expect("contribution", entry.seq, what, actual, right)
        progress.paid += 1
        progress.last_us = entry.sim_time_us
