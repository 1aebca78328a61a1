"""
Runs in which penalties are shared and keepers rewarded, judged event by event and by the audit.

Not drawn by Hypothesis: handmade crashes meet random rows, seed by seed. Contract line 14: what is
paid to keepers is covered, by the penalties collected and the budgets declared, at every event.
"""

from collections import Counter
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest
from support.auditor import audited
from support.floors import assert_floors
from support.incentives import incentivised
from support.scenarios import HANDMADE, INSTANTLY, Raw, load

from liqsim.events import Entry, KeeperRewarded, OrderFilled, PenaltyRouted, TrancheTakenOver
from liqsim.runner import prepare, run_to_log
from liqsim.scenario.mitigations import KeeperReward
from replay.log import Log

_NAMES = ("keeper_race", "engine_cascade", "desk_takes")


def _random(name: str, seed: int) -> Raw:
    random = Random(f"{name} {seed} incentives")
    raw = HANDMADE[name](seed=seed, venue__fund__initial_usd=random.choice([0, 500, 5_000]))
    rate = random.choice([Decimal("0.002"), Decimal("0.01")])
    raw["venue"]["fees"]["liquidation_on_execution"] = rate
    rows = incentivised(random)
    if name != "keeper_race":
        rows = [row for row in rows if row["kind"] == "penalty_routing"]
        return raw | {"mitigations": rows}
    for bot in raw["venue"]["keepers"]["bots"].values():
        bot["call_cost_usd"] = random.choice([0, Decimal("1.5"), 6])
        bot["min_profit_usd"] = random.choice([-20, 0, 5, 30])
        bot["landing"] = random.choice([INSTANTLY, INSTANTLY, bot["landing"]])
    return raw | {"mitigations": rows}


def test_every_law_holds_where_keepers_are_rewarded() -> None:
    census: Counter[str] = Counter()
    for name, seeds in (("keeper_race", 24), ("engine_cascade", 4), ("desk_takes", 4)):
        for seed in range(seeds):
            prepared = prepare(load(_random(name, seed)))
            judge = audited(prepared)
            budget = sum(
                row.budget_uusd
                for row in prepared.scenario.mitigations
                if isinstance(row, KeeperReward)
            )
            census.update(judge.census)
            census["at the bound of line 14"] += is_covered(judge.entries, budget)

    assert_floors(census, _FLOORS)


def is_covered(entries: list[Entry], budget_uusd: int) -> bool:
    """Check line 14 after every event; return whether the budget was used up."""
    collected = rewards = routed = 0
    for entry in entries:
        match entry.event:
            case OrderFilled(fee_uusd=fee) | TrancheTakenOver(fee_uusd=fee):
                collected += fee
            case PenaltyRouted(amount_uusd=amount):
                routed += amount
            case KeeperRewarded(amount_uusd=amount):
                rewards += amount
            case _:
                continue
        assert routed <= collected
        assert rewards <= budget_uusd
        assert rewards + routed <= collected + budget_uusd
    return 0 < budget_uusd == rewards


_FLOORS = {
    "penalty to keeper": 27,
    "penalty to fund": 57,
    "penalty to burn": 57,
    "penalty with a rest": 57,
    "penalty without a keeper": 30,
    "reward: fixed": 62,
    "reward: waiting": 86,
    "reward: violation": 71,
    "reward: scarcity": 109,
    "reward capped": 170,
    "window binds": 4,
    "budget exhausted": 7,
    "nothing left to pay": 330,
    "deep enough": 22,
    "called for what is paid on top": 70,
    "at the bound of line 14": 3,
}


@pytest.mark.parametrize("name", _NAMES)
def test_the_audit_finds_nothing_where_keepers_are_rewarded(name: str, tmp_path: Path) -> None:
    for seed in range(4 if name == "keeper_race" else 1):
        path = tmp_path / f"{seed}.duckdb"
        run_to_log(load(_random(name, seed)), path)

        with Log(path) as log:
            assert log.verify() == []
