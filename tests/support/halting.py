"""Scenarios with breakers and grace periods: by hand, and drawn at random."""

from copy import deepcopy
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from support.effort import apart
from support.scenarios import INSTANTLY, Raw, constant, scalings, scenarios

OBSERVABLES = {
    "fall": (Decimal("0.01"), Decimal("0.04")),
    "rise": (Decimal("0.01"), Decimal("0.04")),
    "volatility": (2, 12),
    "flow": (2_000, 20_000),
    "drawdown": (0, Decimal("0.4")),
    "divergence": (Decimal("0.002"), Decimal("0.02")),
}
"""Of each, a bound that is often met, and one that seldom is."""

NEVER = 999_999_999_999
"""A bound that nothing meets."""


def when(observable: str, above: Any, window: str = "10s") -> Raw:
    """Return a condition; what looks back on nothing has no window."""
    looks_back = {} if observable in ("drawdown", "divergence") else {"window": window}
    return {"observable": observable, "above": above} | looks_back


def breaker(*conditions: Raw, **changes: Any) -> Raw:
    """Return a breaker of liquidations that lasts 20 s and then cools down for as long."""
    return {
        "kind": "breaker",
        "when": list(conditions),
        "duration": "20s",
        "cool_down": "20s",
    } | changes


def grace(**changes: Any) -> Raw:
    """Return a grace period of five seconds."""
    return {"kind": "grace", "span": "5s"} | changes


def inert() -> list[Raw]:
    """Return one mitigation of each sort that halts, none of which ever binds."""
    never = [when(name, NEVER) for name in OBSERVABLES]
    return [
        breaker(*never, stages=[{"when": never}]),
        breaker(*never, action="halt_new_risk", scope="venue"),
        {"kind": "divergence_pause", "above": 1000},
        grace(after_outages=False, after_stale=False),
    ]


def halting(executor: str) -> st.SearchStrategy[Raw]:
    """Return random scenarios, each with breakers that often trip and some with a grace period."""
    return apart(_halting(executor))


def foreseen(executor: str) -> st.SearchStrategy[Raw]:
    """Return scenarios with breakers that accounts see coming, and run from."""
    return apart(_foreseen(executor))


@st.composite
def _foreseen(draw: st.DrawFn, executor: str) -> Raw:
    raw = deepcopy(draw(_halting(executor)))
    for table in raw["population"]["cohorts"].values():
        if "legs" in table or table.get("collateral") == "coin":
            continue
        reaction = draw(st.sampled_from((INSTANTLY, constant("900ms"), constant("3s"))))
        table["traders"] = {"reaction": reaction} | table.get("traders", {})
        table["traders"]["anticipate"] = {
            "share": draw(st.sampled_from((Decimal("0.4"), 1, 1))),
            "from": draw(st.sampled_from((Decimal("0.05"), Decimal("0.5"), Decimal("0.9")))),
            "steepness": draw(st.sampled_from((1, 3))),
            "reduce_by": draw(st.sampled_from((Decimal("0.2"), Decimal("0.2"), 1))),
            "times": draw(st.sampled_from((1, 4, 4))),
        }
    return raw


@st.composite
def _conditions(draw: st.DrawFn, *, is_high: bool = False) -> list[Raw]:
    names = draw(st.lists(st.sampled_from(list(OBSERVABLES)), min_size=1, max_size=2, unique=True))
    windows = st.sampled_from(("3s", "10s", "60s"))
    return [
        when(name, OBSERVABLES[name][is_high or draw(st.integers(0, 3)) == 0], draw(windows))
        for name in names
    ]


@st.composite
def _breakers(draw: st.DrawFn, markets: list[str]) -> Raw:
    stages = [
        {
            "when": draw(_conditions(is_high=True)),
            "join": draw(st.sampled_from(("any", "all"))),
            "duration": draw(st.sampled_from(("12s", "40s"))),
        }
        for _ in range(draw(st.integers(0, 2)))
    ]
    return breaker(
        *draw(_conditions()),
        action=draw(st.sampled_from(("halt_liquidations",) * 3 + ("halt_new_risk",))),
        scope=draw(st.sampled_from(("market", "market", "venue"))),
        market=draw(st.sampled_from(("", "", *markets))),
        join=draw(st.sampled_from(("any", "any", "all"))),
        duration=draw(st.sampled_from(("1s", "7500ms", "30s"))),
        cool_down=draw(st.sampled_from(("1ms", "6s", "40s"))),
        stages=stages,
    )


def widening(executor: str) -> st.SearchStrategy[Raw]:
    """Return random scenarios, each with breakers that widen margins, some beside other rules."""
    return apart(_widening(executor))


@st.composite
def _widening(draw: st.DrawFn, executor: str) -> Raw:
    raw = draw(scenarios(executor))
    draw(scalings(raw, draw(st.integers(0, 1))))
    markets = list(raw["markets"])
    rows = []
    for _ in range(draw(st.integers(1, 2))):
        row = draw(_breakers(markets))
        factors = st.sampled_from((Decimal("1.1"), Decimal("1.4"), Decimal("1.6")))
        for stage in row["stages"]:
            if draw(st.booleans()):
                stage["factor"] = draw(factors)
        times = {"notice": draw(st.sampled_from(("1ms", "500ms", "4s")))}
        rows.append(row | {"action": "widen_margin", "factor": draw(factors)} | times)
    if draw(st.integers(0, 2)) == 0:
        rows.append(draw(_breakers(markets)))
    named = [
        row | {"name": f"m{number}"} for number, row in enumerate([*raw["mitigations"], *rows])
    ]
    return raw | {"mitigations": named}


@st.composite
def _halting(draw: st.DrawFn, executor: str) -> Raw:
    raw = draw(scenarios(executor))
    markets = list(raw["markets"])
    rows = [draw(_breakers(markets)) for _ in range(draw(st.integers(1, 2)))]
    if draw(st.integers(0, 2)) == 0:
        rows.append(
            {
                "kind": "divergence_pause",
                "above": Decimal("0.005"),
                "duration": draw(st.sampled_from(("3s", "15s"))),
                "cool_down": "5s",
            }
        )
    if draw(st.booleans()):
        flags = {f"after_{what}": draw(st.booleans()) for what in ("halts", "outages", "stale")}
        rows.append(grace(span=draw(st.sampled_from(("2s", "9s"))), **flags))
    named = [
        row | {"name": f"m{number}"} for number, row in enumerate([*raw["mitigations"], *rows])
    ]
    return raw | {"mitigations": named}
