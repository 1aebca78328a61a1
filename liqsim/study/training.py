"""
Trains a model of cascades: runs a scenario with seeds of its own, looks at the logs, and fits.

Seeds are kept apart: the last of them are held out, and say how good the model is. What is saved is
whole numbers, so that whoever uses a model computes with what was saved, and needs nothing of what
trained it.
"""

import hashlib
import math
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import attrs
import numpy as np
import numpy.typing as npt

from liqsim.api import Scenario, load_scenario, run_to_log
from liqsim.errors import StudyError
from liqsim.eventlog.reader import open_log
from liqsim.scenario.convert import converter_for
from liqsim.scenario.mitigations import Predictive
from liqsim.scenario.model_file import DRAWN, FORMAT, POSITIVES_MIN, canonical
from liqsim.scenario.trained import FEATURES
from replay.sights import Model
from replay.training import Example, Looks, examples

FIRST_SEED: Final = 1_000
"""Training begins here, so that comparisons over the seeds 0 to N - 1 meet others."""
_HELD_OUT: Final = 4
"""One in so many seeds, rounded up, is held out."""
_E6: Final = 10**6
_LEAST_SEEDS: Final = 2

Progress = Callable[[int, int], None]
_Floats = npt.NDArray[np.float64]


@attrs.frozen
class Training:
    """
    What is to be trained.

    Attributes:
        file: The scenario.
        settings: Keys set in every run.
        first_seed: The first seed.
        seeds: How many there are, from that one on.
        looks: When and how their logs are looked at.
    """

    file: Path
    settings: tuple[str, ...]
    first_seed: int
    seeds: int
    looks: Looks

    @property
    def parts(self) -> tuple[list[int], list[int]]:
        """The seeds to train on, and those that are held out."""
        seeds = list(range(self.first_seed, self.first_seed + self.seeds))
        count = math.ceil(self.seeds / _HELD_OUT)
        return seeds[:-count], seeds[-count:]


@attrs.frozen
class Trained:
    """
    A model as it is saved.

    Attributes:
        tree: All that it says.
        content: Its one line of text.
        sha256: Hash of the file.
    """

    tree: dict[str, Any]
    content: str
    sha256: str


def train(training: Training, *, jobs: int, progress: Progress) -> Trained:
    """
    Return the model of a scenario's cascades.

    Raises:
        ScenarioError: The scenario is refused.
        StudyError: It cannot be trained on, scikit-learn is not there, or there are too few
            cascades in the runs, or too few looks without one.
    """
    fit = _fitter()
    scenario = _checked(training)
    progress(0, training.seeds)
    trained_on, held_out = training.parts
    found: dict[int, tuple[list[Example], str | None]] = {}
    with _pool(min(jobs, training.seeds)) as run_all:
        look = partial(_look, training)
        for seed, of in zip(
            trained_on + held_out, run_all(look, trained_on + held_out), strict=True
        ):
            found[seed] = of
            progress(len(found), training.seeds)
    known, unknown = ([e for seed in part for e in found[seed][0]] for part in training.parts)
    _check_labels(known, "the seeds to train on", training)
    _check_labels(unknown, "the seeds held out", training)
    tree = _saved(training, scenario, fit(known)) | {
        "runs": {
            "scenario": scenario.name,
            "scenario_sha256": _digest_of(training),
            "paths": _kinds(scenario),
            "path_sha256": {str(seed): of[1] for seed, of in found.items()},
            "trained_on": trained_on,
            "held_out": held_out,
        },
    }
    tree["quality"] = _quality(tree, known, unknown)
    content = canonical(tree)
    return Trained(tree, content, Model.of(content).sha256)


def _checked(training: Training) -> Scenario:
    if training.seeds < _LEAST_SEEDS:
        message = f"--seeds {training.seeds}: must be at least {_LEAST_SEEDS}, as some are held out"
        raise StudyError(message)
    scenario = load_scenario(training.file, overrides=training.settings, seed=training.first_seed)
    for spec in scenario.mitigations:
        if isinstance(spec, Predictive):
            message = (
                f"{training.file}: the mitigation {spec.label!r} is predictive: a model is trained "
                "on runs without one"
            )
            raise StudyError(message)
    for market, kind in _kinds(scenario).items():
        if kind not in DRAWN:
            message = (
                f"{training.file}: markets.{market}.path.kind = {kind!r} must be "
                f"{' or '.join(DRAWN)} to train on: no seed changes what this path comes to, and "
                "every run would meet the same crash"
            )
            raise StudyError(message)
    if scenario.end_us < training.looks.period_us + training.looks.horizon_us:
        message = f"{training.file}: ends before the horizon of the first look"
        raise StudyError(message)
    return scenario


def _kinds(scenario: Scenario) -> dict[str, str]:
    """Return the kind of every market's path."""
    tables = converter_for(scenario.start_unix_us).unstructure(scenario)["markets"]
    return {name: table["path"]["kind"] for name, table in tables.items()}


def _digest_of(training: Training) -> str:
    """Return the hash of the resolved scenario, as it is with seed 0."""
    text = load_scenario(training.file, overrides=training.settings, seed=0).resolved_toml
    return hashlib.sha256(text.encode()).hexdigest()


def _look(training: Training, seed: int) -> tuple[list[Example], str | None]:
    """Run one seed; return the looks at its log, and the digest of its reference prices."""
    scenario = load_scenario(training.file, overrides=training.settings, seed=seed)
    with tempfile.TemporaryDirectory(prefix="liqsim_") as folder:
        path = Path(folder) / f"{os.getpid()}_{seed}.duckdb"
        run_to_log(scenario, path)
        with open_log(path) as log:
            return examples(log, training.looks), log.manifest.reference_digest


def _check_labels(of: Sequence[Example], where: str, training: Training) -> None:
    positives = sum(example.is_cascade for example in of)
    for count, what, less in (
        (positives, "before a cascade", "a lower --above"),
        (len(of) - positives, "before none", "a higher --above"),
    ):
        if count < POSITIVES_MIN:
            message = (
                f"{training.file}: {count} of {len(of)} looks at {where} are {what}, must be at "
                f"least {POSITIVES_MIN}: give more --seeds, or {less}"
            )
            raise StudyError(message)


# The model ----------------------------------------------------------------------------------------


@attrs.frozen
class _Fit:
    means: _Floats
    deviations: _Floats
    weights: _Floats
    intercept: float


def _fitter() -> Callable[[Sequence[Example]], _Fit]:
    """Return what fits; scikit-learn is an extra that only training needs."""
    try:
        from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    except ImportError:
        message = "liqsim train needs scikit-learn: pip install 'liqsim[predict]'"
        raise StudyError(message) from None

    def fit(of: Sequence[Example]) -> _Fit:
        features, labels = _columns(of)
        # The means and deviations that are saved are those that it was fitted with.
        means = np.round(features.mean(axis=0))
        deviations = np.maximum(np.round(features.std(axis=0)), 1.0)
        model = LogisticRegression(max_iter=1_000)
        model.fit((features - means) / deviations, labels)
        return _Fit(means, deviations, model.coef_[0], float(model.intercept_[0]))

    return fit


def _columns(of: Sequence[Example]) -> tuple[_Floats, npt.NDArray[np.bool_]]:
    features = [[e.seen.features[name] for name in FEATURES] for e in of]
    return np.array(features, dtype=np.float64), np.array([e.is_cascade for e in of])


def _saved(training: Training, scenario: Scenario, fit: _Fit) -> dict[str, Any]:
    looks = training.looks
    rows = zip(FEATURES, fit.means, fit.deviations, fit.weights, strict=True)
    return {
        "format": FORMAT,
        "features": [
            {
                "name": name,
                "mean_e6": int(mean),
                "deviation_e6": int(deviation),
                "weight_e6": round(float(weight) * _E6),
            }
            for name, mean, deviation, weight in rows
        ],
        "intercept_e6": round(fit.intercept * _E6),
        "window_us": looks.window_us,
        "distance_e6": looks.distance_e6,
        "period_us": looks.period_us,
        "label": {"horizon_us": looks.horizon_us, "above_e6": looks.above_e6},
        "end_us": scenario.end_us,
        "versions": {name: version(name) for name in ("liqsim", "scikit-learn", "numpy")},
    }


def _quality(
    tree: dict[str, Any], known: Sequence[Example], unknown: Sequence[Example]
) -> dict[str, int]:
    """Return how good the model, as it is saved, is on runs that it was not trained on."""
    from sklearn.metrics import log_loss, roc_auc_score  # noqa: PLC0415

    model = Model.of(canonical(tree))
    labels = np.array([e.is_cascade for e in unknown])
    chances = np.array([model.risk_e6(e.seen) for e in unknown]) / _E6
    chances = np.clip(chances, 1 / _E6, 1 - 1 / _E6)  # What was rounded to never is not never.
    positives = sum(e.is_cascade for e in known)
    base = np.full(len(unknown), positives / len(known))
    return {
        "looks": len(known),
        "positives": positives,
        "held_out_looks": len(unknown),
        "held_out_positives": int(labels.sum()),
        "log_loss_e6": round(float(log_loss(labels, chances)) * _E6),
        "base_log_loss_e6": round(float(log_loss(labels, base)) * _E6),
        "auc_e6": round(float(roc_auc_score(labels, chances)) * _E6),
    }


_Look = Callable[[int], tuple[list[Example], str | None]]


@contextmanager
def _pool(jobs: int) -> Iterator[Callable[[_Look, Sequence[int]], Any]]:
    if jobs == 1:
        yield map
        return
    # A fork of a process in which DuckDB has threads may stand still for good.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        try:
            yield pool.map
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
