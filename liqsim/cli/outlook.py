"""Whether a cascade would feed itself, as `liqsim run` says it before the run."""

from collections.abc import Iterator, Sequence

import typer

from liqsim.api import Branching


def print_outlook(found: Sequence[Branching], *, is_shown: bool, is_warned: bool) -> None:
    """Print b at the start of every market if *is_shown*; if *is_warned*, where it is above 1."""
    if is_shown:
        for line in outlook_lines(found):
            typer.echo(line)
    for one in found:
        if one.above_one and is_warned:
            typer.echo(f"warning: {warning_of(one)}", err=True)


def outlook_lines(found: Sequence[Branching]) -> Iterator[str]:
    """
    Yield a line per market: the largest b on either side, and how far from the start price.

    >>> eth = [Branching("ETH", True, 0.261, 17, ()), Branching("ETH", False, 0.0, 1, ())]
    >>> list(outlook_lines(eth))
    ['b at start, ETH: longs 0.261 at -17 %, shorts 0']
    """
    for market in dict.fromkeys(one.market for one in found):
        sides = ", ".join(_side(one) for one in found if one.market == market)
        yield f"b at start, {market}: {sides}"


def _side(one: Branching) -> str:
    name = "longs" if one.is_long else "shorts"
    return f"{name} {one.ratio:.3f} at {_distance(one, one.step)} %" if one.ratio else f"{name} 0"


def warning_of(one: Branching) -> str:
    """
    Say where b is above 1, and how large.

    >>> warning_of(Branching("ETH", True, 2.4, 5, (4, 5, 6, 9)))
    'b of ETH longs is above 1 at -4 to -6, -9 %, 2.400 at -5 %: what is due there feeds itself'
    """
    spans: list[list[int]] = []
    for step in one.above_one:
        if spans and step == spans[-1][-1] + 1:
            spans[-1] = [spans[-1][0], step]
        else:
            spans.append([step])
    where = ", ".join(" to ".join(_distance(one, step) for step in span) for span in spans)
    side = "longs" if one.is_long else "shorts"
    return (
        f"b of {one.market} {side} is above 1 at {where} %, {one.ratio:.3f} at "
        f"{_distance(one, one.step)} %: what is due there feeds itself"
    )


def _distance(one: Branching, step: int) -> str:
    return f"{'-' if one.is_long else '+'}{step}"
