"""
Runs in which mitigations absorb losses, judged event by event, and by the audit of their logs.

Not drawn by Hypothesis: every handmade crash meets random combinations, seed by seed.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from decimal import Decimal
from itertools import product
from pathlib import Path
from random import Random

import pytest
from support.auditor import audited
from support.floors import assert_floors
from support.scenarios import HANDMADE, LAST_LAYERS, Raw, absorbing, load, pooling

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


def _census(make: Callable[[str, int], Raw], names: Iterable[str], seeds: int) -> Counter[str]:
    """Return what was met in runs that *make* makes of scenarios of these names."""
    census: Counter[str] = Counter()
    for name, seed in product(names, range(seeds)):
        census.update(audited(prepare(load(make(name, seed)))).census)
    return census


def test_every_law_holds_where_losses_are_absorbed() -> None:
    assert_floors(_census(_random, _NAMES, 4), _FLOORS)


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


_POOLED_NAMES = (*_NAMES, "desk_takes", "rungs", "dry_book")


def _pooled(name: str, seed: int) -> Raw:
    raw = _random(name, seed)
    random = Random(f"pool {name} {seed}")
    limits = [row for row in raw["mitigations"] if row["kind"] == "fund_limits"]
    return raw | {"mitigations": limits + pooling(random, has_book=name != "keeper_race")}


def test_every_law_holds_where_pools_absorb() -> None:
    assert_floors(_census(_pooled, _POOLED_NAMES, 3), _FLOORS_OF_POOLS)


_FLOORS_OF_POOLS = {
    "a pool goes ahead: worse": 340,
    "a pool goes ahead: always": 85,
    "a pool leaves it to the book": 125,
    "a pool takes a part": 390,
    "a pool's capital is exhausted": 320,
    "a pool keeps a part of its capital": 1150,
    "a pool sees too small a book": 270,
    "a pool is the last resort": 7,
    "a pool exits at a loss": 100,
    "a pool exits at a profit": 16,
}


@pytest.mark.parametrize("name", _POOLED_NAMES)
def test_the_audit_finds_nothing_where_pools_absorb(name: str, tmp_path: Path) -> None:
    assert _findings(_pooled(name, 7), tmp_path / "run.duckdb") == []


_INDEXED = (*(name for name in _NAMES if name != "in_coins"), "indexed")
"""Inverse contracts have no index."""


def _indexed(name: str, seed: int) -> Raw:
    raw = _random(name, seed)
    random = Random(f"index {name} {seed}")
    raw["venue"]["fund"]["initial_usd"] = random.choice([0, 20])
    raw["venue"]["waterfall"] |= {
        "deleveraging": random.choice(["none", "none", "ranked"]),
        "deleveraging_cap": Decimal("0.05"),
        "profit_haircut": random.choice(["none", "none", "queue"]),
        "haircut_severity": Decimal("0.5"),
        "socialise": "funding_index",
    }
    return raw


def test_every_law_holds_where_losses_are_put_on_the_funding_index() -> None:
    assert_floors(_census(_indexed, _INDEXED, 4), _FLOORS_OF_INDICES)


_FLOORS_OF_INDICES = {
    "index moved: shorts pay": 170,
    "index moved: longs pay": 65,
    "index moved: a residue": 230,
    "index moved: bad debt is left": 2,
    "share capped": 2,
    "profit_cut: queue": 38,
}


@pytest.mark.parametrize("name", _INDEXED)
def test_the_audit_finds_nothing_where_losses_are_put_on_the_index(
    name: str, tmp_path: Path
) -> None:
    for seed in range(2):
        assert _findings(_indexed(name, seed), tmp_path / f"{seed}.duckdb") == []


def _findings(raw: Raw, path: Path) -> list[object]:
    prepared = prepare(load(raw))
    writer = EventLogWriter.create(path, prepared.header())
    Simulation(prepared, writer).run()
    writer.seal(0.0)
    with Log(path) as log:
        return list(log.verify())


@pytest.mark.parametrize("name", _NAMES)
def test_the_audit_finds_nothing_where_losses_are_absorbed(name: str, tmp_path: Path) -> None:
    assert _findings(_random(name, 0), tmp_path / "run.duckdb") == []
