"""A picture of a surface: shock by depth, a colour and a figure in every cell."""

import textwrap
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import attrs

from liqsim.errors import StudyError

FORMS: Final = (".png", ".svg", ".pdf")
_WHOLE: Final = 100
"""Figures from there on have no decimals."""
_TITLE_WIDTH: Final = 60
_DARK: Final = 0.55
"""From that share of the scale on a cell is dark, and its figure white."""


@attrs.frozen
class HeatMap:
    """
    What is drawn.

    Attributes:
        title: Above it.
        across: What the columns are, with their unit.
        columns: Their names.
        up: What the rows are, with their unit.
        rows: Their names, from the top.
        unit: Of what the colours are.
        is_share: Whether they are shares: their scale then ends at 1.
        cells: Figures by row and column; None where there is none.
    """

    title: str
    across: str
    columns: Sequence[str]
    up: str
    rows: Sequence[str]
    unit: str
    is_share: bool
    cells: Sequence[Sequence[float | None]]


def refuse_undrawable(path: Path) -> None:
    """
    Refuse a picture that could not be drawn, before anything is run for it.

    Raises:
        StudyError: Its ending is none of `FORMS`, or matplotlib is not there.
    """
    if path.suffix not in FORMS:
        message = f"{path}: must end in {', '.join(FORMS)}"
        raise StudyError(message)
    if find_spec("matplotlib") is None:
        message = f"{path}: a picture needs matplotlib: pip install 'liqsim[plot]'"
        raise StudyError(message)


def scale_of(values: Sequence[float], *, is_share: bool) -> tuple[float, float]:
    """
    Return the ends of the colours' scale: never one and the same, and 0 within.

    >>> scale_of([], is_share=False), scale_of([0, 0], is_share=True), scale_of([7], is_share=False)
    ((0.0, 1.0), (0.0, 1.0), (0.0, 7.0))
    """
    low, high = float(min([0.0, *values])), float(max([0.0, *values]))
    if is_share or low == high:
        return low, low + 1.0
    return low, high


def is_of(path: Path, mark: str) -> bool:
    """Return whether the file at *path* is a picture that was drawn with *mark*."""
    return path.is_file() and mark.encode() in path.read_bytes()


def figure_text(value: float | None, *, is_share: bool) -> str:
    """
    Return what stands in a cell.

    >>> [figure_text(x, is_share=False) for x in (None, 0.0, 1.25, 123.4, 4_560_000.0, -7.8e9)]
    ['-', '0', '1.25', '123', '4.56M', '-7.8B']
    >>> figure_text(0.35, is_share=True)
    '35 %'
    """
    if value is None:
        return "-"
    if is_share:
        return f"{100 * value:.0f} %"
    size = abs(value)
    for least, unit, letter in ((1e9, 1e9, "B"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if size >= least:
            return f"{value / unit:.3g}{letter}"
    return f"{value:.3g}" if size < _WHOLE else f"{value:.0f}"


def draw(about: HeatMap, path: Path, mark: str) -> None:
    """Draw *about* into *path*, a file of one of `FORMS`, which has *mark* for its title."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 — an extra
    from matplotlib.figure import Figure  # noqa: PLC0415
    from matplotlib.ticker import FuncFormatter  # noqa: PLC0415

    known = [value for row in about.cells for value in row if value is not None]
    low, high = scale_of(known, is_share=about.is_share)
    size = max(5.5, 3 + 0.85 * len(about.columns)), max(3.2, 2 + 0.5 * len(about.rows))
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    colours = [[float("nan") if v is None else v for v in row] for row in about.cells]
    image = axes.imshow(colours, cmap="viridis_r", vmin=low, vmax=high, aspect="auto")
    axes.set_facecolor("lightgrey")  # Where there is no figure.
    for row, line in enumerate(about.cells):
        for column, value in enumerate(line):
            is_dark = value is not None and value - low > _DARK * (high - low)
            text = figure_text(value, is_share=about.is_share)
            colour = "white" if is_dark else "black"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(len(about.columns)), about.columns)
    axes.set_yticks(range(len(about.rows)), about.rows)
    axes.set_xlabel(about.across)
    axes.set_ylabel(about.up)
    axes.set_title("\n".join(textwrap.wrap(about.title, _TITLE_WIDTH)), fontsize=10)
    bar = figure.colorbar(image, ax=axes, label=about.unit)
    if not about.is_share and not any(known):
        bar.set_ticks([0])  # The scale has another end, but nothing is there.
    bar.formatter = FuncFormatter(lambda value, _: figure_text(value, is_share=about.is_share))
    figure.savefig(path, dpi=150, metadata={"Title": mark})
