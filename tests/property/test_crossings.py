"""
Crossing in random runs: judged event by event, audited from the log, and absent where it should be.

A judge that remembers asks, not holds, works out who is held and who meets whom
(support/crossings.py); the audit of the log does so by its own code.
"""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.auditor import audited
from support.effort import cases
from support.floors import assert_floors
from support.meeting import meeting
from support.scenarios import Raw, load

from liqsim.runner import prepare, run_to_log
from replay.log import Log
from replay.verify import verify

_LOST_AND_PAID = """
with lost as (
    select liquidation_seq, sum(loss_usd) as usd from execution_losses group by liquidation_seq
),
paid as (
    select liquidation_seq, sum(amount_usd) as usd from loss_payers group by liquidation_seq
)
select (select count(*) from crossings),
    count(*) filter (where l.usd <> coalesce(p.usd, 0))
from lost as l left join paid as p using (liquidation_seq)
"""
_FLOORS = {
    "runs": 12,
    "held": 100,
    "held again after a crossing": 3,
    "held in vain": 60,
    "tranches_crossed": 25,
    "met several at once": 3,
    "asker crossed in part": 3,
    "asked again and met": 3,
    "held one crossed in part": 6,
}


@pytest.mark.parametrize("executor", ["engine", "keepers"])
def test_every_law_holds_after_every_event_of_runs_that_cross(executor: str) -> None:
    census: Counter[str] = Counter()

    @cases(12)
    @given(meeting(executor))
    def every_law_holds(raw: Raw) -> None:
        census.update(audited(prepare(load(raw))).census)

    every_law_holds()

    assert_floors(census, _FLOORS)


def test_the_audit_finds_nothing_in_runs_that_cross(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    census: Counter[str] = Counter()

    @cases(5)
    @given(st.one_of(meeting("engine"), meeting("keepers")))
    def nothing_is_found(raw: Raw) -> None:
        path = tmp_path_factory.mktemp("audit") / "run.duckdb"
        run_to_log(load(raw), path)

        assert verify(path) == []
        with Log(path) as log:
            # What crossed slices lost, and who paid it, is one: two rows of one event each.
            ((crossings, wrong),) = log.sql(_LOST_AND_PAID).fetchall()
        census["crossings"] += crossings
        assert wrong == 0

    nothing_is_found()

    assert_floors(census, {"crossings": 6})
