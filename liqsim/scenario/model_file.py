"""
Models of the chance of a cascade: one canonical JSON file each, in whole numbers.

A model is frozen: it is known by the hash of its bytes, and its text is part of the resolved
scenario, so that a log says all that a run was decided by. Nothing here needs what trained it.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Final

from liqsim.scenario.datafile import fail
from liqsim.scenario.trained import FEATURES, TrainedModel, Weight
from liqsim.units import RATIO_SCALE, YEAR_US

FORMAT: Final = "liqsim-predictive-1"
POSITIVES_MIN: Final = 20
"""Fewer looks before a cascade, in training or held out, and a model is guesswork."""
DRAWN: Final = ("gbm",)
"""Kinds of paths that a seed draws in full: in any other, every seed meets the same crash."""

_WEIGHT_MAX_E6: Final = 10**12
_FEATURE_MAX_E6: Final = 10**15
_SEED_MAX: Final = 2**62
_BYTES_MAX: Final = 100_000


def canonical(model: Mapping[str, Any]) -> str:
    """
    Return the one text of a model: sorted keys, no blanks, no floats, one line.

    >>> canonical({"b": [1, 2], "a": "x"})
    '{"a":"x","b":[1,2]}'
    """
    return json.dumps(model, sort_keys=True, separators=(",", ":"), allow_nan=False)


def sha256_of(content: str) -> str:
    """Return the hash of the file that holds *content* in its one line."""
    return hashlib.sha256(f"{content}\n".encode()).hexdigest()


def read_model(folder: Path, name: str, content: str, sha256: str) -> tuple[str, TrainedModel]:
    """
    Return the text of a model and the model.

    Args:
        folder: What *name* is relative to.
        name: Its file, as `liqsim train` wrote it.
        content: What the file holds, if that is known: the file is then not read.
        sha256: What the file must hash to, unless empty.

    Raises:
        FileRefusedError: It cannot be read, has changed, or is no model that can be used.
    """
    text = content or _text(folder, name)
    digest = sha256_of(text)
    if sha256 and digest != sha256.lower():
        fail(f"must be the model of SHA-256 {sha256}; it has changed: now it is {digest}")
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):
        tree = None
    if not isinstance(tree, dict) or tree.get("format") != FORMAT:
        fail(f"must be a model of format {FORMAT}, as liqsim train writes it")
    if canonical(tree) != text:
        fail("must be as liqsim train wrote it, to the byte")
    return text, _model(tree)


def _text(folder: Path, name: str) -> str:
    if not name:
        fail("must name the file of a model: liqsim train writes one")
    if PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive:
        fail("must be a name relative to the folder of the scenario")
    path = folder / name
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        fail(f"is not there: there is no file {path}; it must be where the scenario is")
    except IsADirectoryError:
        fail(f"must be a file; {path} is a directory")
    except (OSError, ValueError) as error:
        fail(f"cannot be read: {getattr(error, 'strerror', None) or error}")
    if len(data) > _BYTES_MAX:
        fail(f"has {len(data)} bytes, a model has at most {_BYTES_MAX}")
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError:
        text = ""
    if not text.endswith("\n") or "\n" in text[:-1]:
        fail(f"must be a model of format {FORMAT}, as liqsim train writes it")
    return text[:-1]


def _model(tree: Mapping[str, Any]) -> TrainedModel:
    rows = _rows(tree.get("features"))
    names = [row.get("name") for row in rows]
    if names != list(FEATURES):
        fail(f"has the features {names}, must have {list(FEATURES)}")
    runs, quality = _table(tree, "runs"), _table(tree, "quality")
    for market, kind in sorted(_table(runs, "paths").items()):
        if kind not in DRAWN:
            fail(
                f"was trained on a path of kind {kind!r} in {market}, which no seed changes: "
                f"must be {', '.join(DRAWN)}"
            )
    for key in ("positives", "held_out_positives"):
        count = _whole(quality, key, 0, 2**62)
        if count < POSITIVES_MIN:
            fail(f"has quality.{key} {count}, must be at least {POSITIVES_MIN}")
    trained, held_out = _seeds(runs, "trained_on"), _seeds(runs, "held_out")
    if trained & held_out:
        fail(f"has seeds {sorted(trained & held_out)} both in trained_on and in held_out")
    return TrainedModel(
        window_us=_whole(tree, "window_us", 1, YEAR_US),
        distance_e6=_whole(tree, "distance_e6", 1, RATIO_SCALE - 1),
        intercept_e6=_whole(tree, "intercept_e6", -_WEIGHT_MAX_E6, _WEIGHT_MAX_E6),
        weights=tuple(
            Weight(
                name=row["name"],
                mean_e6=_whole(row, "mean_e6", -_FEATURE_MAX_E6, _FEATURE_MAX_E6),
                deviation_e6=_whole(row, "deviation_e6", 1, _FEATURE_MAX_E6),
                weight_e6=_whole(row, "weight_e6", -_WEIGHT_MAX_E6, _WEIGHT_MAX_E6),
            )
            for row in rows
        ),
        seeds=trained | held_out,
    )


def _rows(value: Any) -> list[Mapping[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        fail("has no array of features")
    return value


def _table(tree: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = tree.get(key)
    if not isinstance(value, dict) or not value:
        fail(f"has no table {key}")
    return value


def _whole(tree: Mapping[str, Any], key: str, low: int, high: int) -> int:
    value = tree.get(key)
    if type(value) is not int or not low <= value <= high:
        fail(f"has {key} {value!r}, must be a whole number from {low} to {high}")
    return value


def _seeds(runs: Mapping[str, Any], key: str) -> frozenset[int]:
    value: Any = runs.get(key)
    is_list = isinstance(value, list) and value
    if not is_list or not all(type(s) is int and 0 <= s <= _SEED_MAX for s in value):
        fail(f"has runs.{key} {value!r}, must be seeds")
    return frozenset(value)
