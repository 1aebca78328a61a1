"""A scenario under shocks of several sizes and books of several depths: a sweep of both."""

import re
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Final

import attrs
import duckdb

from liqsim.api import load_scenario
from liqsim.errors import StudyError
from liqsim.study.stress import Shock, Stress, read_depth, read_shock, scenario_of, variant_of
from liqsim.study.sweep import Axis, Sweep
from replay.measures import MEASURES

CHANCES: Final = {
    "p_bad_debt": ("chance of bad debt", "unpaid_usd"),
    "p_deleveraged": ("chance of deleveraging", "deleveraged_usd"),
}
"""Shares of runs, as in `points`: what a picture calls them, and what is above zero in those."""

_FORM: Final = "must have the form MARKET=FRACTION,FRACTION,…/DURATION: ETH=-0.1,-0.3/20m"


@attrs.frozen
class Surface:
    """
    What is to be run.

    Attributes:
        file: The scenario.
        settings: Keys set in it.
        shocks: Moves of one market over one time, of which each point has one.
        depths: What every book's depth is multiplied by from then on.
        at: When both begin; None for a tenth of the run.
        seeds: How many seeds.
    """

    file: Path
    settings: tuple[str, ...]
    shocks: tuple[Shock, ...]
    depths: tuple[Decimal, ...]
    at: datetime | None
    seeds: int

    def sweep(self) -> Sweep:
        """
        Return the runs; a shock of 0 is none, and a depth of 1 leaves the books as they are.

        Raises:
            StudyError: See `liqsim.study.stress`.
            ScenarioError: The scenario, or a point, is refused.
        """
        scenario = scenario_of(self._stress())
        begins = self._stress().begins(scenario)
        first = self.shocks[0]
        over = f"{first.over or '0s'} from {begins:%Y-%m-%dT%H:%M:%S.%fZ}"
        axes = (
            Axis(
                f"{first.market} over {over}", "shock", tuple(str(s.fraction) for s in self.shocks)
            ),
            Axis("depth", "depth", tuple(map(str, self.depths))),
        )
        stresses = {
            (str(shock.fraction), str(depth)): self._stress(shock, depth)
            for shock in self.shocks
            for depth in self.depths
        }
        settings = {
            point: variant_of(stress, scenario, name=f"shock={point[0]}, depth={point[1]}").settings
            for point, stress in stresses.items()
        }
        return Sweep(
            self.file,
            self.settings,
            axes,
            self.seeds,
            settings_at=lambda values: settings[values[0], values[1]],
        )

    def mark(self, measure: str) -> str:
        """Return what tells pictures of a measure of this surface from all others."""
        scenario = load_scenario(self.file, overrides=self.settings, seed=0)
        about = (scenario.resolved_toml, self.sweep().axes, measure)
        return f"liqsim surface {sha256(repr(about).encode()).hexdigest()}"

    def _stress(self, shock: Shock | None = None, depth: Decimal = Decimal(1)) -> Stress:
        shocks = (shock,) if shock is not None and shock.fraction else ()
        thinner = None if depth == 1 else depth
        return Stress(self.file, self.settings, shocks, thinner, self.at, self.seeds)


def read_shocks(text: str) -> tuple[Shock, ...]:
    """
    Return the shocks that MARKET=FRACTION,FRACTION,…/DURATION names.

    >>> [str(shock.fraction) for shock in read_shocks("ETH=-0.1, -0.3/20m")]
    ['-0.1', '-0.3']

    Raises:
        StudyError: It has another form, or a fraction twice.
    """
    match = re.fullmatch(r"([^=]+)=([^/]+)(/[^/]+)?", text)
    if match is None:
        message = f"--shock {text!r}: {_FORM}"
        raise StudyError(message)
    market, body, over = match[1], match[2], match[3] or ""
    try:
        shocks = tuple(read_shock(f"{market}={part.strip()}{over}") for part in body.split(","))
    except StudyError:
        message = f"--shock {text!r}: {_FORM}"
        raise StudyError(message) from None
    _refuse_twice("--shock", text, [shock.fraction for shock in shocks])
    return shocks


def read_depths(text: str) -> tuple[Decimal, ...]:
    """
    Return the multiples of depth that RATIO,RATIO,… names.

    Raises:
        StudyError: One is refused by `read_depth`, or is given twice.
    """
    depths = tuple(map(read_depth, text.split(",")))
    _refuse_twice("--depth", text, depths)
    return depths


def _refuse_twice(option: str, text: str, values: Sequence[Decimal]) -> None:
    for value in values:
        if values.count(value) > 1:
            message = f"{option} {text!r}: has {value} twice"
            raise StudyError(message)


def heights(file: Path, measure: str, seeds: int) -> dict[tuple[float, float], float | None]:
    """
    Return a measure at every (shock, depth) of a surface: its median over seeds, or a chance.

    Args:
        file: Where the rows of the runs are.
        measure: One of `CHANCES` or of `replay.measures.MEASURES`; None where it is not defined.
        seeds: Of the first so many.
    """
    height = (
        f"avg(({CHANCES[measure][1]} > 0)::int)"
        if measure in CHANCES
        else f"median({measure}::double)"
    )
    with duckdb.connect(str(file), read_only=True) as store:
        rows = store.execute(
            f"select shock, depth, {height} from runs where seed < ? group by shock, depth", [seeds]
        ).fetchall()
    return {(shock, depth): height for shock, depth, height in rows}


def label_of(measure: str, seeds: int) -> str:
    """
    Return what a picture of a measure over some seeds is of.

    >>> label_of("unpaid_usd", 20), label_of("p_bad_debt", 1)
    ('bad debt and open shortfall, median over 20 seeds', 'chance of bad debt, seed 0')
    """
    over = "seed 0" if seeds == 1 else f"{seeds} seeds"
    if measure in CHANCES:
        return f"{CHANCES[measure][0]}, {over}"
    label = MEASURES[measure].label.removesuffix(", USD")
    return f"{label}, {'' if seeds == 1 else 'median over '}{over}"


def unit_of(measure: str) -> str:
    """Return the unit of a measure."""
    if measure in CHANCES:
        return "share of runs"
    about = MEASURES[measure]
    if about.kind == "ratio":
        return "ratio"
    return {"usd": "USD", "us": "us"}.get(about.kind, about.label)
