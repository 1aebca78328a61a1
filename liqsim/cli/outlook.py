"""Whether a cascade would feed itself, as `liqsim run` says it before the run."""

from collections.abc import Iterator, Sequence

import typer

from liqsim.api import Branching
from liqsim.processes.commentary import commentary


def print_outlook(found: Sequence[Branching], *, is_shown: bool) -> None:
    """
    Print b at the start of every market, if *is_shown*; if not, warn where it is above 1.

    All to stderr: stdout is the outcome's.
    """
    if is_shown:
        for line in outlook_lines(found):
            typer.echo(line, err=True)
        return
    for one in found:
        if one.above_one:
            commentary().warning(
                "branching_above_one",
                market=one.market,
                side="long" if one.is_long else "short",
                largest=round(one.ratio, 3),
                largest_at=f"{_distance(one, one.step)} %",
                above_one_at=f"{_spans(one)} %",
            )


def outlook_lines(found: Sequence[Branching]) -> Iterator[str]:
    """
    Yield a line per market: the largest b on either side, and how far from the start price.

    >>> eth = [Branching("ETH", True, 2.4, 5, (4, 5, 6, 9)), Branching("ETH", False, 0.0, 1, ())]
    >>> list(outlook_lines(eth))
    ['b at start, ETH: longs 2.400 at -5 % (above 1 at -4 to -6, -9 %), shorts 0']
    """
    for market in dict.fromkeys(one.market for one in found):
        sides = ", ".join(_side(one) for one in found if one.market == market)
        yield f"b at start, {market}: {sides}"


def _side(one: Branching) -> str:
    name = "longs" if one.is_long else "shorts"
    if not one.ratio:
        return f"{name} 0"
    above = f" (above 1 at {_spans(one)} %)" if one.above_one else ""
    return f"{name} {one.ratio:.3f} at {_distance(one, one.step)} %{above}"


def _spans(one: Branching) -> str:
    spans: list[list[int]] = []
    for step in one.above_one:
        if spans and step == spans[-1][-1] + 1:
            spans[-1] = [spans[-1][0], step]
        else:
            spans.append([step])
    return ", ".join(" to ".join(_distance(one, step) for step in span) for span in spans)


def _distance(one: Branching, step: int) -> str:
    return f"{'-' if one.is_long else '+'}{step}"
