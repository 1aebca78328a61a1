"""
Runs in which mitigations absorb losses, judged event by event, and by the audit of their logs.

Not drawn by Hypothesis: every handmade crash meets random combinations, seed by seed.
"""

from collections import Counter
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest
from support.auditor import audited
from support.floors import assert_floors
from support.scenarios import HANDMADE, LAST_LAYERS, Raw, absorbing, load

from liqsim.eventlog.writer import EventLogWriter
from liqsim.runner import Simulation, prepare
from replay.log import Log

_RULES = ("none", "ranked", "bitmex", "hyperliquid", "pro_rata", "risk_weighted")
_NAMES = ("engine_cascade", "keeper_race", "squeeze", "shared_losses", "cross_crash", "in_coins")


def _random(name: str, seed: int) -> Raw:
    random = Random(f"{name} {seed}")
    raw = HANDMADE[name](
        seed=seed,
        venue__fund__initial_usd=random.choice([0, 20, 500, 5_000]),
        venue__tranches__spacing=random.choice(["1s", "5s"]),
    )
    layers = random.choice(LAST_LAYERS)
    raw["venue"]["waterfall"] |= {
        "deleveraging": random.choice(_RULES),
        "deleveraging_cap": random.choice([1, 1, Decimal("0.3"), Decimal("0.05")]),
        **layers,
    }
    if name == "in_coins":
        raw["venue"]["waterfall"]["profit_haircut"] = "none"
    return raw | {"mitigations": absorbing(random)}


def test_every_law_holds_where_losses_are_absorbed() -> None:
    census: Counter[str] = Counter()
    for name in _NAMES:
        for seed in range(4):
            census.update(audited(prepare(load(_random(name, seed)))).census)

    assert_floors(census, _FLOORS)


_FLOORS = {
    "fund capped: a fill": 54,
    "fund capped: a limit": 238,
    "fund capped: a hole": 35,
    "slashed for a hole": 21,
    "taken over by a vault": 34,
    "a vault takes a part": 25,
    "deleveraging: bitmex": 75,
    "deleveraging: hyperliquid": 54,
    "deleveraging: pro_rata": 11,
    "deleveraging: risk_weighted": 46,
    "deleveraged to a cap": 1636,
    "slashed in part of a hole": 10,
}


@pytest.mark.parametrize("name", _NAMES)
def test_the_audit_finds_nothing_where_losses_are_absorbed(name: str, tmp_path: Path) -> None:
    for seed in range(1):
        prepared = prepare(load(_random(name, seed)))
        path = tmp_path / f"{seed}.duckdb"
        writer = EventLogWriter.create(path, prepared.header())
        Simulation(prepared, writer).run()
        writer.seal(0.0)

        with Log(path) as log:
            assert log.verify() == []
