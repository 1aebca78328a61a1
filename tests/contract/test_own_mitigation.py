"""A mitigation of a third party: registered, run, audited, and held against the contract."""

import json
from collections.abc import Iterator
from decimal import Decimal
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any
from unittest.mock import patch

import attrs
import duckdb
import pytest
from support.scenarios import Raw, engine_cascade, events_of, load
from typer.testing import CliRunner

from liqsim.cli import app
from liqsim.errors import MitigationError, ScenarioError
from liqsim.events import Action, DecisionRecorded
from liqsim.mitigations import (
    Ask,
    Mitigation,
    Sight,
    Verdict,
    duration,
    ratio,
    register_mitigation,
)
from liqsim.runner import run_to_log
from liqsim.scenario.mitigations import OTHERS
from liqsim.scenario.plugins import load_plugins
from liqsim.scenario.values import instant_of
from liqsim.study.variants import read_variant
from liqsim.testing import MitigationContract
from replay.log import Log
from replay.verify import verify


@attrs.frozen
class Lull(Mitigation):
    """The example of the README."""

    share_e6: int = ratio("share", "0", "1000", default=Decimal("0.1"))
    pause_us: int = duration("pause", default="5s")

    def judge(self, ask: Ask, sight: Sight) -> Verdict:
        ready_us = sight.since_us() + self.pause_us
        if ask.now_us < ready_us:
            return Verdict(until_us=ready_us)
        depth = sight.depth_e8(10_000)
        size = max(depth * self.share_e6 // 10**6, ask.wanted_e8 // 100, 1)
        return Verdict(size_e8=size, depth_e8=depth)


@attrs.frozen
class Nagging(Mitigation):
    """Says of every slice that it may have all that it wants, and calls it a cut."""

    def judge(self, ask: Ask, _sight: Sight) -> Verdict:
        return Verdict(until_us=ask.now_us + 1, size_e8=ask.wanted_e8)


register_mitigation("lull", Lull)

ROW = {"kind": "lull", "share": Decimal("0.05"), "pause": "3s"}


def readme_example() -> str:
    """Return the code of the README that makes a mitigation, and holds it to the contract."""
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    blocks = text.split("```python\n")[1:]
    (code,) = [block.split("```")[0] for block in blocks if "MitigationContract" in block]
    return code


_EXAMPLE: dict[str, Any] = {}
exec(compile(readme_example(), "README.md", "exec"), _EXAMPLE)
_BREATHER: Any = OTHERS.pop("breather")  # Other tests run the README, too.
_CONTRACT: Any = _EXAMPLE["TestBreather"]


class TestBreather(_CONTRACT):
    """What whoever copies the example has pytest collect."""

    @pytest.fixture(autouse=True)
    def its_kind(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(OTHERS, "breather", _BREATHER)


def test_the_readmes_example_is_short() -> None:
    lines = readme_example().splitlines()
    contract = lines[next(n for n, line in enumerate(lines) if "(MitigationContract)" in line) :]

    assert len(lines) < 40
    assert len(contract) <= 5
    assert issubclass(_CONTRACT, MitigationContract)


def test_what_it_decides_is_recorded_and_audited(tmp_path: Path) -> None:
    run_to_log(load(engine_cascade(mitigations=[ROW])), tmp_path / "log.duckdb")
    with Log(tmp_path / "log.duckdb") as log:
        rows = log.sql("select kind, action, depth > 0 from decisions group by all").fetchall()
        assert log.verify() == []

    assert set(rows) == {("lull", "delayed", None), ("lull", "cut", True)}


def test_a_decision_that_is_of_no_use_is_found(tmp_path: Path) -> None:
    run_to_log(load(engine_cascade(mitigations=[ROW])), tmp_path / "log.duckdb")
    with duckdb.connect(str(tmp_path / "log.duckdb")) as connection:
        connection.execute("update decision_recorded set size = wanted where action = 'cut'")

    told = [finding.message for finding in verify(tmp_path / "log.duckdb")]
    assert "it neither cuts the slice nor has it wait" in told


def test_the_resolved_scenario_reads_back() -> None:
    scenario = load(engine_cascade(mitigations=[ROW]))

    assert scenario.mitigations[0].label == "lull"
    assert 'kind = "lull"' in scenario.resolved_toml


def test_slices_are_no_larger_than_it_says() -> None:
    told = [e.event for e in events_of(engine_cascade(mitigations=[ROW]))]
    cuts = [e for e in told if isinstance(e, DecisionRecorded) and e.action is Action.CUT]

    assert len(cuts) > 10
    assert all(cut.size_e8 == max(cut.depth_e8 // 20, cut.wanted_e8 // 100) for cut in cuts)


@attrs.frozen
class Senseless(Mitigation):
    """Lets everything pass at first, and then does what it is told."""

    def judge(self, ask: Ask, sight: Sight) -> Any:
        answer = ANSWERS[0] if ask.now_us >= LATE_US else _halves
        return answer(ask, sight) if callable(answer) else answer


LATE_US = 70 * 10**6
"""By then some slices have been put up in the cascade, and some have not."""

ANSWERS: list[Any] = []


def _halves(ask: Ask, _sight: Sight) -> Verdict:
    return Verdict(size_e8=max(ask.wanted_e8 // 2, 1))


def _raises(ask: Ask, _sight: Sight) -> Verdict:
    message = f"no idea about account {ask.bucket_id}"
    raise KeyError(message)


def _looks_where_nothing_is(_ask: Ask, sight: Sight) -> Verdict:
    return Verdict(depth_e8=sight.depth("1%"))  # type: ignore[attr-defined]


NONSENSE = {
    "nothing": (None, "answered None"),
    "no units": (Verdict(size_e8=0), "answered Verdict"),
    "less than none": (Verdict(size_e8=-1, until_us=LATE_US * 2), "answered Verdict"),
    "a broken size": (Verdict(size_e8=1.5), "answered Verdict"),  # type: ignore[arg-type]
    "a yes": (Verdict(size_e8=True), "answered Verdict"),
    "a broken instant": (Verdict(until_us=3.5), "answered Verdict"),  # type: ignore[arg-type]
    "an instant beyond time": (Verdict(until_us=2**62), "answered Verdict"),
    "a depth below none": (Verdict(size_e8=5, depth_e8=-7), "answered Verdict"),
    "a flow beyond the ledger": (Verdict(size_e8=5, forced_uusd=10**18), "answered Verdict"),
    "a trade in words": (Verdict(size_e8=5, traded_uusd="much"), "answered"),  # type: ignore[arg-type]
    "an error": (_raises, "raised KeyError: 'no idea about account "),
    "an error where it looks": (_looks_where_nothing_is, "raised AttributeError: "),
}


@pytest.fixture
def senseless() -> Iterator[Raw]:
    """Yield a scenario with a mitigation that makes no sense after a time, under its own name."""
    register_mitigation("senseless", Senseless)
    yield engine_cascade(mitigations=[{"kind": "senseless", "name": "mine"}])
    OTHERS.pop("senseless", None)
    ANSWERS.clear()


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_ends_the_run_by_name(name: str, senseless: Raw) -> None:
    answer, problem = NONSENSE[name]
    ANSWERS[:] = [answer]

    with pytest.raises(MitigationError) as caught:
        events_of(senseless)

    told = str(caught.value)
    assert told.startswith("the mitigation 'mine' of kind 'senseless', asked in ETH at 2026-01-01T")
    assert f"Z, {problem}" in told


@pytest.mark.parametrize("name", ["an error", "a depth below none"])
def test_nothing_that_was_logged_before_nonsense_is_lost(
    name: str, senseless: Raw, tmp_path: Path
) -> None:
    scenario, path = load(senseless), tmp_path / "log.duckdb"
    ANSWERS[:] = [_halves]
    sound = events_of(senseless)
    ANSWERS[:] = [NONSENSE[name][0]]

    with pytest.raises(MitigationError) as caught:
        run_to_log(scenario, path)

    told = str(caught.value)
    with Log(path) as log:
        assert log.outcome()["status"] == "failed"
        logged = list(log.entries())
    assert any(isinstance(entry.event, DecisionRecorded) for entry in logged)
    assert logged == sound[: len(logged)]
    # It was asked for what would have come next, at the instant that the error tells.
    asked_us = sound[len(logged)].sim_time_us
    assert f"{instant_of(scenario.start_unix_us + asked_us):%H:%M:%S.%fZ}" in told
    said = CliRunner().invoke(app, ["verify", str(path)])
    assert said.exit_code == 0
    count = f"{len(logged):,} events"
    assert said.stdout.startswith(f"clean: {count} (failed: MitigationError: {told}; ")
    as_json = CliRunner().invoke(app, ["verify", "--json", str(path)])
    assert json.loads(as_json.stdout)["error"] == f"MitigationError: {told}"


def test_a_mitigation_that_is_mended_lets_its_run_be_finished(
    senseless: Raw, tmp_path: Path
) -> None:
    scenario, path = load(senseless), tmp_path / "log.duckdb"
    ANSWERS[:] = [_raises]
    with pytest.raises(MitigationError):
        run_to_log(scenario, path)
    with pytest.raises(MitigationError):  # As it is, it ends the same way again.
        run_to_log(scenario, path, resume=True)

    ANSWERS[:] = [Verdict()]
    run_to_log(scenario, path, resume=True)

    with Log(path) as log:
        assert log.outcome()["status"] == "sealed"
        assert log.verify() == []


def test_what_is_no_mitigation_is_refused() -> None:
    for cls in (int, Mitigation, "Lull"):
        with pytest.raises(TypeError, match="method judge"):
            register_mitigation("other", cls)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="letters"):
        register_mitigation("has space", Lull)


def test_a_kind_of_another_package_is_a_word_of_a_comparison() -> None:
    assert read_variant("lull").words == ("lull",)


def test_a_kind_belongs_to_one_class() -> None:
    register_mitigation("lull", Lull)
    for kind in ("lull", "breaker"):
        with pytest.raises(ValueError, match="another mitigation"):
            register_mitigation(kind, Nagging)


def test_entry_points_are_found() -> None:
    point = EntryPoint("nagging", f"{__name__}:Nagging", "liqsim.mitigations")
    row: dict[str, Any] = {"kind": "nagging"}
    with pytest.raises(ScenarioError, match="nagging"):
        load(engine_cascade(mitigations=[row]))
    try:
        with (
            patch("liqsim.scenario.plugins.entry_points", lambda group: [point]),
            patch.object(EntryPoint, "load", lambda _: Nagging),
        ):
            load_plugins.cache_clear()
            assert load(engine_cascade(mitigations=[row])).mitigations[0].label == "nagging"
    finally:
        OTHERS.pop("nagging", None)
        load_plugins.cache_clear()
