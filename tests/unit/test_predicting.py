"""
Margin rates that follow what a model expects, worked out by hand; models that are refused.

Amounts in the comments are USD. A model by hand has means of 0 and deviations of 1.
"""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import attrs
import pytest
from support.models import SEEDS, model_text, tree
from support.scenarios import (
    Raw,
    at,
    cross_crash,
    engine_cascade,
    foreseen,
    load,
    market,
    small_scenario,
)
from support.verdicts import codes
from unit.handmade_log import tamper
from unit.test_settlement_paths import LONG, Run

from liqsim.api import load_scenario, scenario_from_toml
from liqsim.errors import InputFileError, ScenarioError
from liqsim.eventlog.reader import open_log
from liqsim.events import Action, DecisionRecorded, MaintenanceChanged
from liqsim.processes import maintenance
from liqsim.processes.predicting import Observatory
from liqsim.runner import run_to_log
from liqsim.scenario.model_file import canonical, sha256_of
from liqsim.scenario.toml import dump
from liqsim.study.runs import Study, check
from liqsim.study.variants import Variant
from replay.training import Looks, examples
from replay.verify import verify

SAFE = (4, 100, 100)
SHORT = (-6, 100, 100)
ASKS: Final = [[Decimal("0.001"), 15], [Decimal("0.05"), 100]]
BIDS: Final = [[Decimal("0.001"), 20], [Decimal("0.05"), 100]]


def rule(content: str, **keys: Any) -> Raw:
    """Return a row whose multiplier is ten times the chance, at once and to the millionth."""
    return {
        "kind": "predictive",
        "model": "by_hand.json",
        "content": content,
        "period": "10s",
        "reference": Decimal("0.1"),
        "high": 19,
        "ramp": 50,
        "restore": 50,
        "grain": Decimal("0.000001"),
        "notice": "0s",
    } | keys


def under(row: Raw) -> Raw:
    """Return a minute in a book that takes 20 units and gives 15 within two percent."""
    book = {"kind": "ladder", "asks": ASKS, "bids": BIDS, "half_life": "1ms"}
    return small_scenario(mitigations=[row], markets__ETH=market(liquidity=book))


def decisions(run: Run) -> list[tuple[int, DecisionRecorded]]:
    return [
        (entry.sim_time_us // 10**6, entry.event)
        for entry in run.entries
        if isinstance(entry.event, DecisionRecorded)
    ]


# What is seen -------------------------------------------------------------------------------------


def test_a_quiet_venue_shows_depth_ladder_and_open_interest() -> None:
    row = rule(model_text(intercept=-2, ladder=1, distance=Decimal("0.02")))
    run = Run(under(row), [(10, 100, 25), SAFE, SHORT])

    (when, e), *others = decisions(run)
    # At 98 the first has -975 + 980 - 9.8 < 0, and is due with its 10; at 102 nobody is.
    # Asks are the thinner side: 15 x 100. Long are 14, short 6 and the makers 8.
    assert (when, others) == (10, [])
    assert (e.depth_uusd, e.ladder_uusd, e.open_interest_uusd) == (
        1500_000000,
        1000_000000,
        1400_000000,
    )
    assert (e.imbalance_e6, e.forced_uusd, e.volatility_e6) == (0, 0, 0)
    # Root of 1000 / 1500 = 0.666666 is 0.816496; 1 / (1 + exp(2 - 0.816496)) = 0.234422.
    assert e.risk_e6 == 234_422
    assert (e.action, e.multiplier_e6, e.from_at_us) == (Action.RAISED, 2_344_220, 10_000_000)
    assert run.the(MaintenanceChanged).multiplier_e6 == 2_344_220


def test_a_liquidation_shows_as_forced_flow_imbalance_and_volatility() -> None:
    content = model_text(
        intercept=-3, forced=1, imbalance=Decimal("0.5"), volatility=Decimal("0.01"),
        interest=Decimal("0.1"), window_s=20, distance=Decimal("0.02"),
    )  # fmt: skip
    run = Run(under(rule(content)), [LONG, SAFE, SHORT], {0: 100, 12: "90.5"})

    (e,) = [e for when, e in decisions(run) if when == 20]
    # Ten are sold at 90.5 x 0.999 = 90.4095. Long are then 4, and the makers 2.
    assert (e.forced_uusd, e.imbalance_e6) == (904_095000, 1_000_000)
    assert (e.depth_uusd, e.open_interest_uusd) == (1357_500000, 543_000000)
    assert e.ladder_uusd == 0
    # Log of 100 / 90.5 = 0.0998203 once in 20 s: x root of 31,557,600 / 20 = 1,256.1369.
    assert e.volatility_e6 == 125_388_010
    # 0.5 + root of 0.665999 + 0.1 x root of 0.4 + 1.253880 - 3 = -0.366787.
    assert e.risk_e6 == 409_317


def test_what_leaves_the_window_is_forgotten_and_the_rates_go_back() -> None:
    content = model_text(intercept=-3, forced=2, window_s=15, distance=Decimal("0.02"))
    run = Run(under(rule(content)), [LONG, SAFE, SHORT], {0: 100, 12: "90.5"})

    # 1 / (1 + exp(3 - 2 x 0.816088)) = 0.202971; without flow 0.047425, below the reference.
    found = [(when, e.forced_uusd, e.risk_e6, e.multiplier_e6) for when, e in decisions(run)]
    assert found == [(20, 904_095000, 202_971, 2_029_710), (30, 0, 47_425, 1_000_000)]


def test_a_flow_without_depth_is_as_heavy_as_any() -> None:
    content = model_text(intercept=-3, forced=Decimal("0.02"), distance=Decimal("0.0005"))
    run = Run(under(rule(content)), [LONG, SAFE, SHORT], {0: 100, 12: "90.5"})

    ((_, e), *_) = decisions(run)
    # Nothing is quoted within 0.05 %: the root is taken of 10,000 at most. -3 + 0.02 x 100 = -1.
    assert (e.depth_uusd, e.risk_e6) == (0, 268_941)


# Sight of the write side and of the read side -----------------------------------------------------

_LOOKS: Final = Looks(2_000_000, 20_000_000, 30_000, 10_000_000, 200_000)


def logged(raw: Raw, path: Path) -> Path:
    run_to_log(load(raw), path)
    return path


@pytest.mark.parametrize("make", [cross_crash, engine_cascade])
def test_training_sees_what_the_venue_saw(make: Callable[..., Raw], tmp_path: Path) -> None:
    row = rule(model_text(intercept=-9), reference=1, period="2s")
    told: list[dict[str, int]] = []
    look = Observatory.look

    def heard(observatory: Observatory) -> Any:
        seen = look(observatory)
        if seen is not None:
            told.append(attrs.asdict(seen))
        return seen

    with patch.object(Observatory, "look", heard):
        path = logged(make(mitigations=[row]), tmp_path / "run.duckdb")
    with open_log(path) as log:
        found = examples(log, _LOOKS)
        markets = len(log.markets)

    seen = {(e.at_us, e.market_id): attrs.asdict(e.seen) for e in found}
    venue = iter(told)
    matched = [(one, next(venue)) for _, one in sorted(seen.items())]
    assert len(matched) > 40 * markets
    for one, other in matched:
        # A depth and a volatility are known to a rounding.
        assert one.pop("depth_uusd") == pytest.approx(other.pop("depth_uusd"), rel=1e-8)
        assert one.pop("volatility_e6") == pytest.approx(other.pop("volatility_e6"), abs=10)
        assert one == other
    assert sum(e.is_cascade for e in found) > 3
    assert sum(not e.is_cascade for e in found) > 3


@pytest.mark.parametrize("seconds", [25, 60])
def test_no_feature_looks_ahead(seconds: int, tmp_path: Path) -> None:
    raw, other = cross_crash(), cross_crash()
    for table in other["markets"].values():
        table["shocks"] = [{"at": at(seconds), "fraction": Decimal("-0.4"), "over": "3s"}]
    logs = [logged(made, tmp_path / f"{n}.duckdb") for n, made in enumerate((raw, other))]
    found = []
    for path in logs:
        with open_log(path) as log:
            found.append([(e.at_us, e.market_id, e.seen) for e in examples(log, _LOOKS)])

    one, two = ([row for row in rows if row[0] <= seconds * 10**6] for rows in found)
    assert len(one) > 15
    assert one == two
    assert found[0] != found[1]


def test_a_label_is_what_comes_from_the_look_on(tmp_path: Path) -> None:
    path = logged(cross_crash(), tmp_path / "run.duckdb")
    with open_log(path) as log:
        found = examples(log, attrs.evolve(_LOOKS, period_us=1_000_000))
        fills = log.rows("select market_id, epoch_us(sim_time), cost_usd from order_filled")
        start_us = log.manifest.start_unix_us

    positives = 0
    for e in found:
        forced = sum(
            abs(cost) * 10**6
            for market_id, at_us, cost in fills
            if market_id == e.market_id and 0 <= at_us - start_us - e.at_us < 10_000_000
        )
        assert e.is_cascade == (forced > Decimal(e.seen.depth_uusd) / 5)
        positives += e.is_cascade
    assert positives > 3


# What is refused ----------------------------------------------------------------------------------


def _with(**changes: Any) -> str:
    return canonical(tree() | changes)


BAD_MODELS: Final = {
    "no JSON": ("{", "as liqsim train writes it"),
    "another format": (_with(format="liqsim-predictive-0"), "liqsim-predictive-1"),
    "not to the byte": (json.dumps(tree()), "to the byte"),
    "other features": (
        _with(features=[{"name": "moon", "mean_e6": 0, "deviation_e6": 1, "weight_e6": 1}]),
        r"has the features \['moon'\]",
    ),
    "a float": (_with(intercept_e6=0.5), "intercept_e6 0.5, must be a whole number"),
    "no spread": (
        _with(features=[row | {"deviation_e6": 0} for row in tree()["features"]]),
        "deviation_e6 0",
    ),
    "too few cascades": (
        _with(quality={"positives": 19, "held_out_positives": 20}),
        "quality.positives 19, must be at least 20",
    ),
    "too few held out": (
        _with(quality={"positives": 20, "held_out_positives": 3}),
        "quality.held_out_positives 3",
    ),
    "a history": (
        _with(runs={"paths": {"ETH": "file"}, **SEEDS}),
        "trained on a path of kind 'file' in ETH, which no seed changes",
    ),
    "seeds on both sides": (
        _with(runs={"paths": {"ETH": "gbm"}, "trained_on": [1], "held_out": [1]}),
        "both in trained_on and in held_out",
    ),
    "no seeds": (
        _with(runs={"paths": {"ETH": "gbm"}, "trained_on": [], "held_out": [1]}),
        "runs.trained_on",
    ),
}


@pytest.mark.parametrize("name", BAD_MODELS)
def test_a_model_that_cannot_be_used_is_refused(name: str) -> None:
    content, told = BAD_MODELS[name]
    where = r"mitigations\.0\.model = .by_hand\.json. .*"
    with pytest.raises(InputFileError, match=where + told):
        load(under(rule(content)))


@pytest.mark.parametrize("seed", [900_001, 900_003])
def test_a_run_whose_seed_a_model_has_seen_is_refused(seed: int) -> None:
    with pytest.raises(ScenarioError, match=rf"seed = {seed} must be none of the 3 seeds"):
        load(under(rule(model_text())) | {"seed": seed})


def test_a_study_names_the_seed_before_its_first_run(tmp_path: Path) -> None:
    file = tmp_path / "one.toml"
    file.write_text(dump(under(rule(model_text()))), encoding="utf-8")
    with pytest.raises(ScenarioError, match=r"one\.toml: seed = 900002 must be none"):
        check(Study(file, (), (Variant("as it is"),), (0, 1, 900_002)))


def test_a_file_is_known_by_its_hash_and_is_not_needed_again(tmp_path: Path) -> None:
    content = model_text(intercept=-1, ladder=1)
    (tmp_path / "model.json").write_bytes(f"{content}\n".encode())
    raw = under(rule("", model="model.json"))
    file = tmp_path / "one.toml"
    file.write_text(dump(raw), encoding="utf-8")
    scenario = load_scenario(file)
    run_to_log(scenario, tmp_path / "run.duckdb")

    assert sha256_of(content) in scenario.resolved_toml
    (tmp_path / "model.json").unlink()
    with open_log(tmp_path / "run.duckdb") as log:
        again = scenario_from_toml(log.manifest.scenario_toml, source="log", folder=tmp_path)
    assert again == scenario
    assert verify(tmp_path / "run.duckdb") == []
    with pytest.raises(InputFileError, match=r"model\.json. is not there"):
        load_scenario(file)


def test_a_file_that_has_changed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_bytes(f"{model_text(intercept=-1)}\n".encode())
    raw = under(rule("", model="model.json", sha256=sha256_of(model_text(intercept=-2))))
    file = tmp_path / "one.toml"
    file.write_text(dump(raw), encoding="utf-8")

    with pytest.raises(InputFileError, match="it has changed: now it is"):
        load_scenario(file)
    off = raw | {"mitigations": [raw["mitigations"][0] | {"on": False}]}
    file.write_text(dump(off), encoding="utf-8")
    assert load_scenario(file).mitigations == ()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("", "must name the file of a model"),
        ("/etc/model.json", "must be a name relative to the folder"),
        (".", "is a directory"),
    ],
)
def test_a_file_that_cannot_be_is_refused(name: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "one.toml"
    file.write_text(dump(under(rule("", model=name))), encoding="utf-8")
    with pytest.raises(InputFileError, match=told):
        load_scenario(file)


# The audit ----------------------------------------------------------------------------------------


def _wrong(owner: Any, name: str, change: Callable[..., Any]) -> Callable[[], Any]:
    right = getattr(owner, name)
    return lambda: patch.object(owner, name, lambda *given: change(right(*given), *given))


def _seen(**changes: int) -> Callable[[], Any]:
    def more(seen: Any, *_given: Any) -> Any:
        return seen and attrs.evolve(
            seen, **{name: getattr(seen, name) + plus for name, plus in changes.items()}
        )

    return _wrong(Observatory, "look", more)


WRONG: Final = {
    "another chance": _wrong(maintenance, "risk_e6", lambda right, *_: right + 1),
    "never a chance": _wrong(maintenance, "risk_e6", lambda *_: 0),
    "another imbalance": _seen(imbalance_e6=1),
    "more forced flow": _seen(forced_uusd=1),
    "more depth": _seen(depth_uusd=10_000),
    "another ladder": _seen(ladder_uusd=1),
    "another open interest": _seen(open_interest_uusd=1),
    "another volatility": _seen(volatility_e6=10),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_decisions_are_found_out(name: str, tmp_path: Path) -> None:
    with WRONG[name]():
        run_to_log(load(foreseen()), tmp_path / "run.duckdb")

    assert codes(tmp_path / "run.duckdb") == {"decision"}


@pytest.fixture(scope="module")
def clean_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = logged(foreseen(), tmp_path_factory.mktemp("foreseen") / "run.duckdb")
    assert verify(path) == []
    return path


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("update decision_recorded set risk = risk + 0.000001", "risk is"),
        ("update decision_recorded set ladder_usd = ladder_usd + 1", "ladder_usd is"),
        ("update decision_recorded set depth_usd = depth_usd * 1.01", "depth_usd is"),
        ("update runs set scenario_toml = replace(scenario_toml, '40000', '40001')", "sha256"),
        (
            "update runs set scenario_toml = replace(scenario_toml, '900003', seed::varchar)",
            "was trained on seed",
        ),
    ],
)
def test_changed_rows_are_found_out(
    statement: str, told: str, tmp_path: Path, clean_log: Path
) -> None:
    path = tmp_path / "run.duckdb"
    path.write_bytes(clean_log.read_bytes())
    tamper(path, statement)

    assert any(told in finding.message for finding in verify(path))
