"""The story of one liquidation: as plain values for JSON, and as text."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import typer

from liqsim.cli.text import layout, price, printable, usd
from liqsim.errors import QueryError
from replay.log import Log

_TERMS: Final = {
    "cushion": "bankruptcy - shadow crossing",
    "displacement": "shadow crossing - mark at the trigger",
    "delay": "mark at the trigger - landing",
    "slippage": "landing - fill",
    "fee": "",
    "loss": "positive is a cost to the account",
}
"""What a loss is made of, and what each part says."""

_CLASSES: Final = {
    "first_order": "due at the shadow marks too, or before",
    "accelerated": "due at the shadow marks only later",
    "induced": "never due at the shadow marks",
    "rule_induced": "not due under the maintenance of the start",
}
_NOBODY: Final = "nobody: bad debt"


def describe_story(log: Log, seq: int) -> dict[str, Any]:
    """
    Return the row of a liquidation in `liquidation_story`, and its rows in `loss_payers`.

    Raises:
        QueryError: Event *seq* is no trigger.
    """
    found = log.sql(f"from liquidation_story where liquidation_seq = {seq}")
    rows = found.fetchall()
    if not rows:
        kinds = log.sql(f"select kind from events where seq = {seq}").fetchall()
        what = f"event {seq} is {kinds[0][0]}" if kinds else f"there is no event {seq}"
        message = f"--liquidation {seq}: {what}, not a trigger; view liquidations has them all"
        raise QueryError(message)
    payers = log.sql(
        "select payer, owner, amount_usd from loss_payers "
        f"where liquidation_seq = {seq} order by amount_usd desc, owner"
    )
    return {
        "scenario": log.manifest.scenario,
        "run_id": log.manifest.run_id,
        "log": str(log.reader.path),
        "status": log.manifest.status,
        **dict(zip(found.columns, rows[0], strict=True)),
        "payers": [dict(zip(payers.columns, row, strict=True)) for row in payers.fetchall()],
    }


def print_story(story: Mapping[str, Any]) -> None:
    """Print what `describe_story` returns."""
    for line in _lines(story):
        typer.echo(line)


def _lines(story: Mapping[str, Any]) -> Iterator[str]:
    places = len(price(story["mark_price"]).partition(".")[2])
    when = f"{story['triggered_at']:%Y-%m-%d %H:%M:%S.%f}"[:-3]
    yield (
        f"liquidation {story['liquidation_seq']}, {printable(story['bucket'])}, "
        f"{story['side']} {abs(story['quantity']).normalize():f} {story['market']}"
    )
    yield f"  triggered   {when} UTC"
    yield f"  class       {story['class'].replace('_', '-')}: {_CLASSES[story['class']]}"
    yield f"  mark        {price(story['mark_price'])}, shadow mark {price(story['shadow_mark'])}"
    yield f"  bankruptcy  {price(story['bankruptcy_price'])}"
    if story["fill_price"] is not None:
        yield f"  fill        {price(story['fill_price'])}, {story['closed'].normalize():f} units"
    yield f"  outcome     {story['outcome'] or 'open at the end of the log'}"
    if not any(story[f"{name}_usd"] for name in _TERMS):
        yield "  nothing of it was executed"
        return
    yield ""
    yield from layout(
        ["lost to", "USD", "per unit", ""],
        [
            [
                name,
                usd(story[f"{name}_usd"]),
                "" if story["closed"] is None else f"{story[f'{name}_per_unit']:,.{places}f}",
                meaning,
            ]
            for name, meaning in _TERMS.items()
        ],
    )
    if story["payers"]:
        yield ""
        yield from layout(
            ["paid by", "", "USD"],
            [
                [
                    _NOBODY if row["owner"] is None else row["payer"].replace("_", " "),
                    "" if row["owner"] is None else printable(row["owner"]),
                    usd(row["amount_usd"]),
                ]
                for row in story["payers"]
            ],
        )
