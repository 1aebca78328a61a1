"""The audit of third parties' mitigations: each is asked again, wherever its class is to be had."""

import itertools
import json
import random
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import duckdb
import pytest
from support.scenarios import engine_cascade, keeper_race, load
from typer.testing import CliRunner

from liqsim.api import run_to_log
from liqsim.cli import app
from liqsim.events import Action, DecisionRecorded
from liqsim.mitigations import (
    Ask,
    Mitigation,
    Sight,
    Verdict,
    choice,
    count,
    duration,
    flag,
    ratio,
    register_mitigation,
    text,
    usd,
)
from liqsim.scenario.mitigations import OTHERS
from replay.audit.findings import Finding
from replay.log import Log


@attrs.frozen
class Watchful(Mitigation):
    """Looks at all that there is to be seen, and tells of the book only if it is to."""

    share_e6: int = ratio("share", "0", "1", default=Decimal("0.05"))
    pause_us: int = duration("pause", default="1500ms")
    calm_uusd: int = usd("calm_usd", default=Decimal(2_000))
    parts: int = count("parts", 1, 100, default=3)
    word: str = text("word", default="so")
    shape: str = choice("shape", "tells", "hides", "halves", default="tells")
    has_patience: bool = flag("patience", default=True)

    def judge(self, ask: Ask, sight: Sight) -> Verdict:
        """Wait after the last slice while much is sold; then have a part of the near depth."""
        forced, traded = sight.forced_uusd(7_000_000), sight.traded_uusd(3_000_000)
        ready_us = sight.since_us() + self.pause_us * min(ask.tranche_number, self.parts)
        if self.has_patience and forced > self.calm_uusd and ask.now_us < ready_us:
            return Verdict(until_us=ready_us, forced_uusd=forced, traded_uusd=traded)
        near = sight.depth_e8(2_000)
        far = sight.depth_e8(20_000) if self.shape == "hides" else near
        most = -(-ask.at_trigger_e8 // self.parts)
        size = max(min((near + far) * self.share_e6 // 10**6, most), ask.wanted_e8 // 50, 1)
        seen = {"tells": near, "hides": None, "halves": near // 2}[self.shape]
        return Verdict(size_e8=size + (not ask.is_long), depth_e8=seen, traded_uusd=traded)


@pytest.fixture
def kinds() -> Iterator[dict[str, type[Mitigation]]]:
    """Kinds that are forgotten after the test."""
    before = dict(OTHERS)
    register_mitigation("watchful", Watchful)
    yield OTHERS
    OTHERS.clear()
    OTHERS.update(before)


def audited(raw: Any, path: Path) -> tuple[list[Finding], Counter[str], list[DecisionRecorded]]:
    run_to_log(load(raw), path)
    with Log(path) as log:
        audit = log.audit()
        told = [e.event for e in log.entries() if isinstance(e.event, DecisionRecorded)]
        return audit.in_order(), audit.unchecked, told


@pytest.mark.usefixtures("kinds")
@pytest.mark.parametrize("base", [engine_cascade, keeper_race])
@pytest.mark.parametrize("shape", ["tells", "hides", "halves"])
def test_who_says_the_same_again_is_clean(base: Any, shape: str, tmp_path: Path) -> None:
    row = {"kind": "watchful", "shape": shape}
    others = [{"kind": "rate_limit", "max_usd": 30_000, "span": "10s", "least_usd": 100}]
    found, unchecked, told = audited(base(mitigations=[*others, row]), tmp_path / "log.duckdb")

    census = Counter((e.mitigation_id, e.action) for e in told)
    assert census[1, Action.CUT] > 20
    assert census[1, Action.DELAYED] > 5
    assert found == []
    assert not unchecked


def test_who_is_not_installed_is_counted(kinds: Any, tmp_path: Path) -> None:
    run_to_log(load(engine_cascade(mitigations=[{"kind": "watchful"}])), tmp_path / "log.duckdb")
    del kinds["watchful"]
    with Log(tmp_path / "log.duckdb") as log:
        audit = log.audit()
        decisions = sum(isinstance(e.event, DecisionRecorded) for e in log.entries())

    assert audit.in_order() == []
    assert audit.unchecked == {"watchful": decisions}
    assert decisions > 20


# What its class here would not have said ----------------------------------------------------------


TAMPERED = {
    "a slice is smaller": "update decision_recorded set size = size - 0.00000001 where seq = {cut}",
    "a wait is longer": (
        "update decision_recorded set until_at = until_at + interval 1 microsecond "
        "where seq = {delayed}"
    ),
    "another forced flow": (
        "update decision_recorded set forced_usd = forced_usd + 0.000001 where seq = {delayed}"
    ),
    "another flow of trades": (
        "update decision_recorded set traded_usd = traded_usd + 0.000001 where seq = {cut}"
    ),
    "another book": "update decision_recorded set depth = depth * 1.001 where seq = {cut}",
    "a book that was not looked at": "update decision_recorded set depth = null where seq = {cut}",
}


@pytest.mark.usefixtures("kinds")
@pytest.mark.parametrize("name", TAMPERED)
def test_what_its_class_would_not_have_said_is_found(name: str, tmp_path: Path) -> None:
    path = tmp_path / "log.duckdb"
    run_to_log(load(engine_cascade(mitigations=[{"kind": "watchful"}])), path)
    with duckdb.connect(str(path)) as connection:
        one = "select max(seq) from decision_recorded where action = '{}'"
        cut, delayed = (
            connection.execute(one.format(action)).fetchall()[0][0] for action in ("cut", "delayed")
        )
        connection.execute(TAMPERED[name].format(cut=cut, delayed=delayed))

    with Log(path) as log:
        found = {(finding.code, finding.seq) for finding in log.verify()}
    assert found & {("decision", cut), ("decision", delayed)}


def test_a_decision_that_lacks_is_found(kinds: Any, tmp_path: Path) -> None:
    """It lets slices through that its class, as it is here, would have cut."""
    generous = attrs.make_class("Generous", {}, bases=(Watchful,), frozen=True, slots=False)
    generous.judge = lambda _self, _ask, _sight: Verdict()
    kinds["watchful"] = generous
    run_to_log(load(engine_cascade(mitigations=[{"kind": "watchful"}])), tmp_path / "log.duckdb")
    kinds["watchful"] = Watchful

    with Log(tmp_path / "log.duckdb") as log:
        told = {(finding.code, finding.message.split(" on ")[0]) for finding in log.verify()}
    assert told == {("decision", "a decision of mitigation 0")}


# What nobody can ask again ------------------------------------------------------------------------


@attrs.frozen
class Counting(Mitigation):
    """Cuts every other slice that it is asked about."""

    calls: Any = attrs.field(factory=itertools.count, eq=False)

    def judge(self, ask: Ask, _sight: Sight) -> Verdict:
        """Return a half, every other time."""
        return Verdict(size_e8=max(ask.wanted_e8 // (1 + next(self.calls) % 2), 1))


_REMEMBERED: Counter[int] = Counter()


@attrs.frozen
class Remembering(Mitigation):
    """Cuts the more, the more often an account was asked about in this process."""

    def judge(self, ask: Ask, _sight: Sight) -> Verdict:
        """Return less each time."""
        _REMEMBERED[ask.bucket_id] += 1
        return Verdict(size_e8=max(ask.wanted_e8 // (1 + _REMEMBERED[ask.bucket_id]), 1))


@attrs.frozen
class Drawing(Mitigation):
    """Draws what it says."""

    def judge(self, ask: Ask, _sight: Sight) -> Verdict:
        """Return a random part."""
        return Verdict(size_e8=random.randint(1, ask.wanted_e8))


_MOOD = ["good"]


@attrs.frozen
class Moody(Mitigation):
    """Depends on something that is not in the log."""

    def judge(self, ask: Ask, _sight: Sight) -> Verdict:
        """Return a half, or a third."""
        return Verdict(size_e8=max(ask.wanted_e8 // (2 if _MOOD == ["good"] else 3), 1))


@attrs.frozen
class Failing(Mitigation):
    """Fails when it is asked again."""

    def judge(self, ask: Ask, _sight: Sight) -> Verdict:
        """Return a half, or fail."""
        if _MOOD != ["good"]:
            raise RuntimeError(ask)
        return Verdict(size_e8=max(ask.wanted_e8 // 2, 1))


@pytest.mark.parametrize("cls", [Counting, Remembering, Drawing, Moody, Failing])
def test_who_answers_otherwise_another_time_is_found(
    cls: type[Mitigation], kinds: Any, tmp_path: Path
) -> None:
    register_mitigation(cls.__name__.lower(), cls)
    raw = engine_cascade(mitigations=[{"kind": cls.__name__.lower()}])
    run_to_log(load(raw), tmp_path / "log.duckdb")
    _MOOD[:] = ["bad"]
    try:
        with Log(tmp_path / "log.duckdb") as log:
            findings = log.verify()
    finally:
        _MOOD[:] = ["good"]

    assert {finding.code for finding in findings} == {"decision"}
    keeps_something = cls in (Counting, Remembering, Drawing)
    assert any("asked again" in f.message for f in findings) == keeps_something


def test_the_command_line_says_what_it_could_not_work_out(kinds: Any, tmp_path: Path) -> None:
    path = tmp_path / "log.duckdb"
    run_to_log(load(engine_cascade(mitigations=[{"kind": "watchful"}])), path)
    del kinds["watchful"]
    told = CliRunner().invoke(app, ["verify", str(path)])
    in_json = json.loads(CliRunner().invoke(app, ["verify", str(path), "--json"]).stdout)

    count = in_json["unchecked_decisions"]["watchful"]
    assert (told.exit_code, in_json["is_clean"]) == (0, True)
    assert told.stdout.splitlines()[-1] == (
        f"{count} decisions of watchful not worked out: it is not installed"
    )
