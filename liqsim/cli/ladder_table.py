"""The liquidation ladder of an instant: as plain values for JSON, and as text."""

from collections.abc import Mapping
from typing import Any

import typer

from liqsim.cli.text import layout, price, terminal_width, usd
from replay.log import Log
from replay.state import State


def describe_ladder(log: Log, state: State) -> dict[str, Any]:
    """Return the ladder of *state*, every market, side and step."""
    relation = log.ladder_of(state)
    rows = [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]
    return {"scenario": log.manifest.scenario, "at": state.at, "seq": state.seq, "ladder": rows}


def print_ladder(described: Mapping[str, Any]) -> None:
    """Print what `describe_ladder` returns; steps at which nothing becomes due are left out."""
    typer.echo(
        f"{described['scenario']} at {described['at']:%Y-%m-%d %H:%M:%S.%f} UTC, "
        f"after event {described['seq']}"
    )
    typer.echo()
    names = ["market", "side", "%", "price", "accounts", "due, USD", "sum, USD", "depth, USD", "b"]
    cells = [
        [
            row["market"],
            row["side"],
            f"{'-' if row['side'] == 'long' else '+'}{row['step']}",
            price(row["price"]),
            f"{row['accounts']:,}",
            usd(row["due_usd"]),
            usd(row["due_within_usd"]),
            "no end" if row["depth_usd"] is None else f"{row['depth_usd']:,.2f}",
            "-" if row["b"] is None else f"{row['b']:.3f}",
        ]
        for row in described["ladder"]
        if row["accounts"]
    ]
    lines = layout(names, cells, terminal_width()) if cells else ["nothing within 30 %"]
    for line in lines:
        typer.echo(line)
    typer.echo()
    typer.echo("due when the mark moves so far, per 1 % and in sum; depth moves the market as far")
