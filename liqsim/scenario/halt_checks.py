"""What must hold between the values of a breaker."""

from collections.abc import Iterator

from liqsim.scenario.convert import Path, Problem
from liqsim.scenario.mitigations import Breaker, Condition


def breaker_checks(path: Path, breaker: Breaker) -> Iterator[Problem]:
    """Yield what is wrong with the levels of *breaker*, which stands at *path*."""
    yield from _conditions((*path, "when"), breaker.when)
    for row, stage in enumerate(breaker.stages):
        yield from _conditions((*path, "stages", row, "when"), stage.when)


def _conditions(path: Path, conditions: tuple[Condition, ...]) -> Iterator[Problem]:
    if not conditions:
        yield path, "must have at least one condition"
    seen: set[str] = set()
    for row, condition in enumerate(conditions):
        if condition.observable in seen:
            # A decision has one column for each: another window needs a breaker of its own.
            yield (*path, row, "observable"), "must differ from that of the conditions before it"
        seen.add(condition.observable)
