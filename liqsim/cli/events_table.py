"""The events of a log, one after the other, each with what caused it."""

import difflib
import json
import textwrap
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import attrs
import typer

from liqsim.cli.text import printable, terminal_width
from liqsim.errors import QueryError
from replay.log import Log

_INDENT = " " * 8


@attrs.frozen
class Row:
    """
    One event.

    Attributes:
        seq: Its number.
        sim_time: When, UTC.
        kind: Its kind.
        cause_seq: What brought it about, if anything did.
        cause: The kind of that.
        fields: Its own fields; decimals and times are text.
    """

    seq: int
    sim_time: datetime
    kind: str
    cause_seq: int | None
    cause: str | None
    fields: Mapping[str, Any]


@attrs.frozen
class Listing:
    """
    Some events of a log, in their order.

    Attributes:
        rows: The events.
        left_count: How many more there are that the limit left out.
    """

    rows: list[Row]
    left_count: int


def list_events(
    log: Log,
    *,
    since: str | None,
    until: str | None,
    after: int | None,
    kinds: Sequence[str],
    limit: int,
) -> Listing:
    """
    Return the events within those bounds that are given.

    Raises:
        QueryError: A time is not in the log, or there is no such kind.
    """
    conditions = ["true"]
    for sign, time in ((">=", since), ("<=", until)):
        if time is not None:
            moment = log.state_at(time).at
            conditions.append(f"sim_time {sign} timestamp '{moment:%Y-%m-%d %H:%M:%S.%f}'")
    if after is not None:
        conditions.append(f"seq > {after}")
    if kinds:
        _refuse_unknown(log, kinds)
        quoted = ", ".join(f"'{kind}'" for kind in kinds)
        conditions.append(f"kind in ({quoted})")
    where = " and ".join(conditions)
    found = log.sql(
        "select seq, sim_time, kind, cause_seq, payload from events "
        f"where {where} order by seq limit {int(limit)}"
    ).fetchall()
    ((total,),) = log.sql(f"select count(*) from events where {where}").fetchall()
    causes = _kinds_of(log, {cause for _, _, _, cause, _ in found if cause is not None})
    rows = [
        Row(seq, at, kind, cause, causes.get(cause), json.loads(payload))
        for seq, at, kind, cause, payload in found
    ]
    return Listing(rows, total - len(rows))


def _kinds_of(log: Log, seqs: set[int]) -> dict[int, str]:
    if not seqs:
        return {}
    numbers = ", ".join(map(str, sorted(seqs)))
    return dict(log.sql(f"select seq, kind from events where seq in ({numbers})").fetchall())


def _refuse_unknown(log: Log, kinds: Sequence[str]) -> None:
    # Only the tables of events have a cause.
    known = [
        name
        for (name,) in log.sql(
            "select table_name from duckdb_columns() where column_name = 'cause_seq' "
            "and table_name in (select table_name from duckdb_tables()) order by table_name"
        ).fetchall()
    ]
    for kind in kinds:
        if kind not in known:
            near = difflib.get_close_matches(kind, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            message = f"--kind {kind}: there is no such event{hint} (events: {', '.join(known)})"
            raise QueryError(message)


def listing_as_dict(listing: Listing) -> dict[str, Any]:
    """Return *listing* for JSON."""
    return {
        "events": [attrs.asdict(row) for row in listing.rows],
        "left_count": listing.left_count,
    }


def print_listing(log: Log, listing: Listing) -> None:
    """Print one event per line, folded on a terminal; say how to go on if some were left out."""
    owners = {owner.owner_id: owner.name for owner in log.reader.owners}
    width = terminal_width()
    for row in listing.rows:
        for line in _folded(_text(row, owners, log.reader.markets), width):
            typer.echo(line)
    if not listing.rows:
        typer.echo("no such events", err=True)
    elif listing.left_count:
        last = listing.rows[-1].seq
        typer.echo(f"{listing.left_count:,} more: --after {last}, or a higher --limit", err=True)


def _text(row: Row, owners: Mapping[int, str], markets: Mapping[int, str]) -> str:
    cause = "" if row.cause_seq is None else f" <- {row.cause_seq} {row.cause or '(missing)'}"
    fields = " ".join(
        f"{key.removesuffix('_id')}={_named(key, value, owners, markets)}"
        for key, value in row.fields.items()
    )
    return f"{row.seq} {row.sim_time:%Y-%m-%d %H:%M:%S.%f} {row.kind}{cause} {fields}"


def _named(key: str, value: Any, owners: Mapping[int, str], markets: Mapping[int, str]) -> str:
    if key.endswith("_id"):
        return printable((markets if key == "market_id" else owners).get(value, value))
    return printable(value)


def _folded(text: str, width: int) -> list[str]:
    if not width or len(text) <= width:
        return [text]
    return textwrap.wrap(
        text, width, subsequent_indent=_INDENT, break_long_words=False, break_on_hyphens=False
    )
