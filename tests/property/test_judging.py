"""
Mitigations that say when and how large slices are put up.

Off or inert they are absent; whatever they let through is within their terms (`SliceJudge` works
that out again); without impact they do not move the market.
"""

from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from support.auditor import audited
from support.effort import cases
from support.floors import assert_floors
from support.scenarios import (
    Raw,
    cross_crash,
    engine_cascade,
    events_of,
    keeper_race,
    load,
    scenarios,
    squeeze,
)
from support.slicing import slowed

from liqsim.api import run_to_log
from liqsim.events import DecisionRecorded, MarketExtremes
from liqsim.runner import prepare
from replay.log import Log

CRASHES = {
    "engine": engine_cascade,
    "keepers": keeper_race,
    "cross": cross_crash,
    "squeeze": squeeze,
}
INERT: dict[str, Raw] = {
    "fixed": {"kind": "slices", "amount_usd": 10**9, "interval": "0s"},
    "depth_share": {"kind": "slices", "law": "depth_share", "least_usd": 10**9, "interval": "0s"},
    "participation": {
        "kind": "slices",
        "law": "participation",
        "background_usd_per_hour": 10**11,
        "interval": "0s",
    },
    "time_weighted": {
        "kind": "slices",
        "law": "time_weighted",
        "parts": 2,
        "least_usd": 10**9,
        "interval": "0s",
    },
    "obizhaeva_wang": {
        "kind": "slices",
        "law": "obizhaeva_wang",
        "least_usd": 10**9,
        "interval": "0s",
    },
    "delays": {"kind": "delays", "per_million": "0s"},
    "delays without a time": {"kind": "delays", "per_million": "1h", "max": "0s"},
    "slippage_cap": {"kind": "slippage_cap", "max_slippage": 10},
}
BINDING: dict[str, Raw] = {
    "fixed": {"kind": "slices", "amount_usd": 500, "least_usd": 1},
    "depth_share": {"kind": "slices", "law": "depth_share", "least_usd": 10},
    "participation": {
        "kind": "slices",
        "law": "participation",
        "least_usd": 10,
        "background_usd_per_hour": 2_000_000,
    },
    "time_weighted": {"kind": "slices", "law": "time_weighted", "parts": 5, "least_usd": 1},
    "obizhaeva_wang": {"kind": "slices", "law": "obizhaeva_wang", "parts": 5, "least_usd": 1},
    "delays": {"kind": "delays", "per_million": "10m"},
    "slippage_cap": {"kind": "slippage_cap", "max_slippage": Decimal("0.001"), "least_usd": 10},
}
_FLOORS = {
    "cut: fixed": 40,
    "cut: depth_share": 10,
    "cut: participation": 20,
    "cut: time_weighted": 20,
    "cut: obizhaeva_wang": 10,
    "cut: SlippageCap": 20,
    "waits: Slices": 50,
    "waits: Delays": 10,
    "waits: SlippageCap": 30,
    "unresolved: paced": 1,
}


@pytest.mark.parametrize("executor", ["engine", "keepers"])
def test_every_slice_of_random_runs_is_within_its_terms(executor: str) -> None:
    census: Counter[str] = Counter()

    @cases(30)
    @given(scenarios(executor))
    def every_slice_is(raw: Raw) -> None:
        rows = slowed(census["runs"], next(iter(raw["markets"])))
        census.update(audited(prepare(load(raw | {"mitigations": rows}))).census)

    every_slice_is()

    assert_floors(census, _FLOORS)


@pytest.mark.parametrize("crash", CRASHES)
def test_what_never_binds_leaves_no_trace(crash: str) -> None:
    raw = CRASHES[crash]()
    without = events_of(raw)

    for name, row in INERT.items():
        assert events_of(raw | {"mitigations": [row]}) == without, name
    assert events_of(raw | {"mitigations": list(_named(INERT))}) == without


@pytest.mark.parametrize("kind", BINDING)
def test_without_impact_no_mitigation_moves_the_market(kind: str) -> None:
    def flat(*rows: Raw) -> Raw:
        raw = engine_cascade(markets__ETH__liquidity={"kind": "no_impact"})
        return raw | {"mitigations": list(rows)}

    without, with_it = (events_of(raw) for raw in (flat(), flat(BINDING[kind])))

    prices = [
        [e.event for e in run if isinstance(e.event, MarketExtremes)] for run in (without, with_it)
    ]
    assert prices[0] == prices[1]
    has_decided = any(isinstance(e.event, DecisionRecorded) for e in with_it)
    # Where the book takes anything at the reference price there is no slippage.
    assert has_decided == (kind != "slippage_cap")


@pytest.mark.parametrize(
    ("crash", "kinds"),
    [
        ("engine", ("depth_share", "slippage_cap", "delays")),
        ("keepers", ("participation", "delays")),
        ("cross", ("obizhaeva_wang", "slippage_cap")),
        ("squeeze", ("fixed", "time_weighted")),
    ],
)
def test_the_audit_agrees_with_decisions_of_several_at_once(
    crash: str, kinds: tuple[str, ...], tmp_path: Path
) -> None:
    limit = {"kind": "rate_limit", "max_usd": 3_000, "span": "10s", "least_usd": 100}
    rows = [*_named({kind: BINDING[kind] for kind in kinds}), limit]
    log = tmp_path / "run.duckdb"
    run_to_log(load(CRASHES[crash]() | {"mitigations": rows}), log)

    with Log(log) as reader:
        assert reader.verify() == []
        ((decisions,),) = reader.sql("select count(*) from decision_recorded").fetchall()
    assert decisions > 10


def _named(rows: dict[str, Any]) -> Any:
    return ({"name": name} | row for name, row in rows.items())
