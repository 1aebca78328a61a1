"""
Four to eight mitigations at once, at random, of every kind that has a contract of its own.

The rows are those of `test_mitigations.py`: whoever adds a kind there adds it here. Each crash is
run under the auditor that follows the live ledger, and to a log that must be clean; and what the
contract says of one mitigation alone must hold of all of them together.
"""

from collections import Counter
from importlib import import_module
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Final

from hypothesis import given
from hypothesis import strategies as st
from support.auditor import audited
from support.effort import apart, cases
from support.floors import assert_floors
from support.scenarios import Raw, events_of, load
from support.scenarios import scenarios as any_scenarios

from liqsim.api import run_to_log
from liqsim.errors import ScenarioError
from liqsim.events import Entry, MarketExtremes
from liqsim.runner import Prepared, prepare
from liqsim.scenario.mitigations import MITIGATIONS
from liqsim.testing import MitigationContract, faults, scenarios
from liqsim.testing.contract import _bent
from replay.log import Log

_RUNS: Final = 48

CLASSES: Final[list[type[MitigationContract]]] = [
    held
    for held in vars(import_module("contract.test_mitigations")).values()
    if isinstance(held, type)
    and issubclass(held, MitigationContract)
    and held is not MitigationContract
]
"""Each has a row that binds in the crashes drawn."""

_LEAST_PRESENT: Final = 5
_LEAST_ACTED: Final = 3
LEAST_ACTED: Final[dict[str, int]] = {"rate_limit": 1, "slippage_cap": 1, "backstop": 1}
"""In how many crashes a kind must have acted, where that is another number."""


def kinds_of(classes: list[type[MitigationContract]]) -> list[str]:
    """Return the kind of each."""
    return [str(held.mitigation["kind"]) for held in classes]


SHARING: Final = [
    held for held in CLASSES if kinds_of(CLASSES).count(str(held.mitigation["kind"])) > 1
]
"""Those whose kind others have too."""
RARELY: Final = ("TestRateLimit", "TestRateLimitPerFixedSpan")
"""Both bind seldom; how often one of the two has, their kind counts."""


@st.composite
def combined(
    draw: st.DrawFn, base: st.SearchStrategy[Raw]
) -> tuple[Raw, list[type[MitigationContract]]]:
    """Draw a crash, and four to eight classes whose rows are in it, some in one market alone."""
    # One of those that share a kind is always asked for, or each of them would be rare.
    order = [draw(st.sampled_from(SHARING))]
    raw = draw(scenarios(has_coins=True) if order[0].has_coins else base)
    random = Random(draw(st.integers(0, 2**32)))
    kinds = random.sample(sorted(set(kinds_of(CLASSES))), len(set(kinds_of(CLASSES))))
    if raw["venue"].get("executor") == "keepers" and random.random() < 0.6:
        kinds.insert(0, kinds.pop(kinds.index("keeper_reward")))  # It is refused everywhere else.
    most, market = random.randint(4, 8), next(iter(raw["markets"]))
    for kind in kinds:
        if kind not in kinds_of(order):
            order.append(random.choice([c for c in CLASSES if c.mitigation["kind"] == kind]))
    classes: list[type[MitigationContract]] = []
    for held in order:
        where = {"name": f"m{len(classes)}", "market": random.choice(("", "", "", market))}
        rows = [*(raw["mitigations"] if classes else []), dict(held.mitigation) | where]
        try:
            load(raw | {"mitigations": rows})
        except ScenarioError:
            continue  # Rates that would not stay below one, or nobody to reward, for instance.
        raw["mitigations"], classes = rows, [*classes, held]
        if len(classes) == most:
            break
    return raw, classes


def crashes(executor: str) -> st.SearchStrategy[Raw]:
    """Return crashes of the contract suite in which something breaks, or nothing."""

    def broken(drawn: tuple[Raw, Any]) -> Raw:
        drawn[1](drawn[0])
        return drawn[0]

    crash = scenarios(executor)
    return st.one_of(crash, st.tuples(crash, faults()).map(broken))


def acted(prepared: Prepared, entries: list[Entry]) -> set[int]:
    """Return the numbers of the mitigations that decided something, or whose owners did."""
    found = {e.event.mitigation_id for e in entries if hasattr(e.event, "mitigation_id")}
    owners = dict(enumerate((p.mitigation_id for p in prepared.purses), prepared.first_purse))
    for entry in entries:
        for field in ("keeper_id", "staker_id"):
            found.add(owners.get(getattr(entry.event, field, -1), -1))
    return found - {-1}


def test_every_kind_takes_part() -> None:
    assert set(kinds_of(CLASSES)) == set(MITIGATIONS.values())


def test_every_law_holds_of_any_mitigations_together() -> None:
    census: Counter[str] = Counter()

    @cases(_RUNS)
    @given(
        apart(
            combined(
                st.one_of(
                    crashes("engine"),
                    crashes("keepers"),
                    any_scenarios("engine"),
                    any_scenarios("keepers"),
                )
            )
        )
    )
    def every_law_holds(drawn: tuple[Raw, list[type[MitigationContract]]]) -> None:
        raw, classes = drawn
        prepared = prepare(load(raw))
        entries = audited(prepared).entries
        with TemporaryDirectory() as folder:
            run_to_log(load(raw), Path(folder) / "log.duckdb")
            with Log(Path(folder) / "log.duckdb") as log:
                assert log.verify() == []
                assert log.reader.last_seq + 1 == len(entries)
        kinds, numbers = kinds_of(classes), acted(prepared, entries)
        census.update(f"present: {kind}" for kind in set(kinds))
        census.update(f"acted: {kind}" for kind in {kinds[number] for number in numbers})
        census.update({f"acted: {classes[number].__name__}" for number in numbers})
        census["four or more act"] += len(numbers) >= 4

    every_law_holds()

    floors = {"four or more act": _RUNS // 3}
    floors |= {f"present: {kind}": _LEAST_PRESENT for kind in MITIGATIONS.values()}
    floors |= {
        f"acted: {kind}": LEAST_ACTED.get(kind, _LEAST_ACTED) for kind in MITIGATIONS.values()
    }
    floors |= {f"acted: {held.__name__}": 1 for held in SHARING if held.__name__ not in RARELY}
    assert_floors(census, floors)


def test_what_holds_of_each_holds_of_all_together() -> None:
    census: Counter[str] = Counter()

    @cases(12)
    @given(apart(combined(st.one_of(scenarios("engine"), scenarios("keepers")))))
    def laws_of_the_contract_hold(drawn: tuple[Raw, list[type[MitigationContract]]]) -> None:
        raw, _ = drawn
        entries = events_of(raw)
        off = raw | {"mitigations": [row | {"on": False} for row in raw["mitigations"]]}
        none = events_of(raw | {"mitigations": []})
        assert events_of(off) == none
        census["make a difference"] += entries != none
        later = events_of(_bent(raw, 60))
        before = [entry for entry in entries if entry.sim_time_us < 60_000_000]
        assert [entry for entry in later if entry.sim_time_us < 60_000_000] == before
        for market in raw["markets"].values():
            market["liquidity"] = {"kind": "no_impact"}
        for entry in events_of(raw):
            if isinstance(entry.event, MarketExtremes):
                assert entry.event.lowest_market_e8 == entry.event.lowest_reference_e8
                assert entry.event.highest_market_e8 == entry.event.highest_reference_e8

    laws_of_the_contract_hold()

    assert_floors(census, {"make a difference": 8})
