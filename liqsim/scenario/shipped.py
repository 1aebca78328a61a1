"""The scenarios that come with the package, and how a person's word for one is understood."""

import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from liqsim.errors import ScenarioError


def shipped() -> dict[str, Traversable]:
    """Return the shipped scenario files by name."""
    package = resources.files("liqsim")
    folder = package / "scenarios"
    if not folder.is_dir() and isinstance(package, Path):
        folder = package.parent / "scenarios"  # A checkout: the wheel moves them in.
    if not folder.is_dir():
        return {}
    files = (file for file in folder.iterdir() if file.name.endswith(".toml"))
    return {file.name.removesuffix(".toml"): file for file in sorted(files, key=lambda f: f.name)}


@contextmanager
def scenario_file(word: str) -> Iterator[Path]:
    """
    Give the file that *word* means: a path, or else the name of a shipped scenario.

    Raises:
        ScenarioError: It is neither.
    """
    path, known = Path(word), shipped()
    if path.is_file() or (path.exists() and word not in known):
        yield path
        return
    if word not in known:
        raise ScenarioError(_unknown(word, list(known)))
    with resources.as_file(known[word]) as file:
        yield file


def _unknown(word: str, known: list[str]) -> str:
    stem = Path(word).name.removesuffix(".toml")
    near = difflib.get_close_matches(stem, known, n=1, cutoff=0.3)
    hint = f"; did you mean {near[0]}?" if near else ""
    return (
        f"{word}: there is no such file, and no shipped scenario of that name{hint} "
        f"(shipped: {', '.join(known) or 'none'})"
    )
