"""
Writes the generated parts of the documentation from the code that they document.

    python docs/generate.py           rewrite what stands between the markers
    python docs/generate.py --check   change nothing; exit 1 if a file is stale

A generated part stands between `<!-- generated: NAME -->` and `<!-- end of NAME -->`; all else in
the files is written by hand.
"""

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import IntEnum
from pathlib import Path
from types import NoneType
from typing import Any, Final, get_args, get_type_hints

import attrs
import duckdb

from liqsim.eventlog.schema import MANIFEST_TABLES, STORED_VIEWS, statements
from liqsim.events import EVENT_CLASSES, Owner
from liqsim.events.schema import (
    ENVELOPE,
    Column,
    EventClass,
    Transfer,
    attribute_docs,
    columns_of,
    summary_of,
)
from liqsim.scenario.fields import REQUIRED, Form, Scalar, key_of
from liqsim.scenario.model import KINDS, Scenario
from liqsim.scenario.toml import inline
from liqsim.scenario.values import duration_text
from liqsim.units import SECOND_US, UNIT_SCALE
from replay.audit.findings import CODES
from replay.books import functions as book_functions
from replay.books import statements as book_statements
from replay.measures import MEASURES
from replay.outcome import KEYS, keys_of
from replay.views import IN_ORDER, MACROS, SHOWN_IN, described, view_sql

DOCS: Final = Path(__file__).resolve().parent

MEMBERS: Final = {
    "Share": {
        "keeper": "That of the keeper who executed.",
        "fund": "That of the insurance fund.",
        "burn": "What is burnt: it goes to the owner `burn`, who never pays.",
    },
    "Action": {
        "cut": "The next slice is smaller than it would have been.",
        "delayed": "The next slice waits, and may be smaller too.",
        "halted": "Nothing due is put up, filled or taken over until `until_at`.",
        "risk_halted": "Nobody opens or enlarges a position until `until_at`.",
        "widened": "Margin rates are multiplied from `from_at` until `until_at`.",
        "raised": "The multiple of margin rates goes up.",
        "lowered": "The multiple of margin rates goes down.",
        "charged": "A fee on leverage is due.",
        "capped": (
            "The insurance fund may pay less than it has: before `tranche_started` that moved the "
            "limit price, before or instead of `fund_drawn` it kept a shortfall from being paid."
        ),
        "absorbed": "A pool goes ahead of the book and takes over a slice, or part of it.",
        "held": "The next slice waits for due positions of the other side, or for an auction.",
        "reduced": "Positions that would be due next are reduced, one small step each.",
    },
    "Executor": {
        "engine": "The venue's own engine.",
        "keepers": "Keeper bots.",
        "desk": "The venue's desk, and its engine for what the desk cannot take.",
        "crossing": "The mitigation `crossing`: due positions of the other side.",
        "auction": "The mitigation `batch_auction`: due positions of the other side, and bidders.",
    },
    "TradeReason": {
        "reduced": "Near its liquidation, part of the position was traded away.",
        "closed": "Near its liquidation, the position was closed.",
        "stopped": "The mark had reached its stop, and the position was closed.",
        "opened": "After a liquidation, a position was opened again, on new collateral.",
        "rebalanced": "Its multiple of equity, or its volatility, was not what it is to have.",
        "relevered": "It had gained, and raised its leverage back to that of the start.",
        "arrived": "A new account opened its first position.",
        "anticipated": "It saw a halt coming, and traded part of its position away before it.",
    },
    "FailedCall": {
        "lost_race": "The offer was closed when the call landed: taken, or withdrawn.",
        "restored": "The margin was restored at the mark when the call landed.",
        "beyond_limit": (
            "The discounted mark had passed the limit of that instant, with what the fund held "
            "then; the offer is withdrawn. The tranche's `limit_price` is that of its start."
        ),
        "purse_short": "The purse could not pay for the slice and the call.",
        "halted": "A halt had withdrawn the offer.",
    },
    "LiquidationOutcome": {
        "closed": "The position is gone.",
        "restored": "The margin is restored.",
    },
    "MarkBasis": {
        "index": "The oracle's price: the rule uses no other, or nothing else has been sampled.",
        "blend": "The mean of the oracle's price and the book's, by `book_weight`.",
        "guarded": "The bound at `guard` from the book's price.",
        "model": "The index with the smoothed premium: the book was thinner than `min_depth`.",
        "book": "The book's price: the index was older than `max_index_age`, or there was none.",
        "banded": "The same, and the bound at `band` from the last index.",
        "clamped": "The bound at `max_step` from the last mark.",
    },
    "MarkFeed": {
        "oracle": "The market's oracle.",
        "book": "Samples of the venue's own book.",
    },
    "Standing": {
        "first_order": "Due at the shadow marks too, or before with the same balances.",
        "rule_induced": "Not due at the marks under the maintenance of the start.",
        "open": "Not due at the shadow marks: induced, or accelerated if a crossing follows.",
    },
    "UnresolvedReason": {
        "no_executor": (
            "On offer, and no bot was after it, being down, short of capital or not offered its "
            "least profit; or the engine was down or busy with others."
        ),
        "no_depth": "Part of the last tranche was cancelled; the next one was not due yet.",
        "no_fresh_price": "The mark was older than `venue.mark_max_age`.",
        "halted": "A halt of liquidations, or the grace period after it, had it wait.",
        "spacing": "The next tranche was not due yet.",
        "run_ended": "Reaction, child orders or a keeper's call were under way.",
        "paced": "A mitigation had it wait.",
    },
    "UpdateReason": {
        "first": "The first one: as many sources as `quorum` asks for had reported.",
        "deviation": "The median had moved by `deviation` or more.",
        "heartbeat": "`heartbeat` had passed since the last one.",
    },
}
"""What each enum member means; a member that is missing here stops the script."""

AT_LEAST: Final = {
    "markets": "at least one",
    "sources": "at least one",
    "bots": "at least one if keepers execute",
}
"""Named tables that may not be empty."""

_INSIDE = re.compile(
    r",? in microseconds( of Unix time| since the start)?|, in 1e-6"
    r"|^\([^)]*_e8[^)]*\)[:,] (sorted; )?"
)

OUTCOME_TYPES: Final = {
    "text": "string",
    "count": "integer",
    "time": "string, ISO 8601 in UTC, six decimals, `Z`",
    "seconds": "number, seconds",
    "rate": "number, per second",
    "usd": "string, exact decimal, USD, 6 places",
    "price": "string, exact decimal, USD per unit, 8 places",
    "ratio": "number",
    "us": "integer, microseconds",
    "keys": "array of strings, dotted keys",
}
"""How each type of an outcome key looks in JSON."""


def main(arguments: Sequence[str]) -> int:
    """Write or check every file; return the exit code."""
    is_check = list(arguments) == ["--check"]
    if arguments and not is_check:
        print(__doc__)
        return 2
    stale = [name for name, blocks in FILES.items() if _refresh(DOCS / name, blocks, is_check)]
    for name in stale:
        print(f"docs/{name} {'is stale: run python docs/generate.py' if is_check else 'written'}")
    return 1 if is_check and stale else 0


def _refresh(path: Path, blocks: Mapping[str, Callable[[], str]], is_check: bool) -> bool:  # noqa: FBT001 — private
    """Bring *path* up to date unless *is_check*; return whether it was stale."""
    old = path.read_text(encoding="utf-8")
    new = old
    for name, build in blocks.items():
        head, tail = f"<!-- generated: {name} -->", f"<!-- end of {name} -->"
        before, found_head, rest = new.partition(head)
        _, found_tail, after = rest.partition(tail)
        if not found_head or not found_tail:
            message = f"{path.name} has no markers for {name}"
            raise SystemExit(message)
        new = f"{before}{head}\n\n{build().strip()}\n\n{tail}{after}"
    if new != old and not is_check:
        path.write_text(new, encoding="utf-8")
    return new != old


def _table(head: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join(lines)


# The log ----------------------------------------------------------------------------------------


def log_manifest() -> str:
    """Return the tables that are not events."""
    parts = []
    for name, (comment, columns) in MANIFEST_TABLES.items():
        rows = ((f"`{c}`", sql, _unit_of_name(c, sql), text) for c, sql, text in columns)
        table = _table(("column", "type", "unit", "meaning"), rows)
        parts.append(f"### `{name}`\n\n{comment}\n\n{table}")
    return "\n\n".join(parts)


def log_events() -> str:
    """Return the envelope and one section per event class."""
    envelope = _table(("column", "type", "unit", "meaning"), map(_column_row, ENVELOPE))
    parts = [f"Every event table begins with the envelope:\n\n{envelope}"]
    for cls in EVENT_CLASSES:
        rows = _table(("column", "type", "unit", "meaning"), map(_column_row, columns_of(cls)))
        moves = "\n".join(f"- {_move(cls, transfer)}" for transfer in cls.TRANSFERS)
        moved = f"Moves:\n\n{moves}" if moves else "Moves nothing."
        details = _details_of(cls)
        intro = "\n\n".join(filter(None, (summary_of(cls), details, moved)))
        parts.append(f"### `{cls.TAG}`\n\n{intro}\n\n{rows}")
    return "\n\n".join(parts)


def _details_of(cls: EventClass) -> str:
    """Return the paragraphs of a docstring between its first sentence and its attributes."""
    text = (cls.__doc__ or "").partition("Attributes:")[0].strip()
    paragraphs = text.split("\n\n")[1:]
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _column_row(column: Column) -> tuple[str, ...]:
    meaning = column.comment
    if column.members is not None:
        meaning += f" One of {', '.join(f'`{name}`' for name in column.members)}."
    return f"`{column.name}`", column.sql_type, _unit(column), meaning


def _unit(column: Column) -> str:
    if column.field.endswith("_e8"):
        # A price is never zero; quantities and the one price that may be are told by name.
        return "USD per unit" if column.low == 1 or "price" in column.field else "units"
    if column.field.endswith("_e9"):
        return "log price"
    if column.field.endswith("_e6"):
        return "ratio"
    return _unit_of_name(column.name, column.sql_type)


def _unit_of_name(name: str, sql_type: str) -> str:
    if sql_type == "TIMESTAMP":
        return "UTC"
    for suffix, unit in (
        ("_usd", "USD"),
        ("_us", "µs"),
        ("_seconds", "s"),
        ("price", "USD per unit"),
    ):
        if name.endswith(suffix):
            return unit
    return ""


def _move(cls: EventClass, transfer: Transfer) -> str:
    names = {column.field: column.name for column in columns_of(cls)}

    def side(owner: str | Owner) -> str:
        return owner.name.lower() if isinstance(owner, Owner) else f"`{names[owner]}`"

    asset = "USD" if transfer.market is None else f"units of `{names[transfer.market]}`"
    amount = names[transfer.amount]
    return f"`{amount}` {asset}: {side(transfer.payer)} → {side(transfer.payee)}"


def log_enums() -> str:
    """Return the members of every enum that an event uses."""
    used: dict[str, type[IntEnum]] = {}
    where: dict[str, list[str]] = {}
    for cls in EVENT_CLASSES:
        for field, hint in get_type_hints(cls).items():
            if isinstance(hint, type) and issubclass(hint, IntEnum):
                used[hint.__name__] = hint
                where.setdefault(hint.__name__, []).append(f"`{cls.TAG}.{field}`")
    parts = []
    for name, enum in sorted(used.items()):
        rows = (
            (f"`{member.name.lower()}`", str(int(member)), MEMBERS[name][member.name.lower()])
            for member in enum
        )
        table = _table(("member", "number", "meaning"), rows)
        parts.append(f"**{', '.join(where[name])}**: {(enum.__doc__ or '').strip()}\n\n{table}")
    return "\n\n".join(parts)


def log_stored_views() -> str:
    """Return the views that are in the file."""
    with _empty_log() as log:
        parts = [
            f"### `{name}`\n\n{comment}\n\n{_view_table(log, name, meanings)}"
            for name, (comment, meanings) in STORED_VIEWS.items()
        ]
    return "\n\n".join(parts)


def log_places() -> str:
    """Return where a reader finds each kind of event."""
    rows = (
        (f"[`{cls.TAG}`](#{cls.TAG})", f"[`{view}`](#{view})", f"`{column}`", summary_of(cls))
        for cls in EVENT_CLASSES
        for view, column in (SHOWN_IN[cls.TAG].split("."),)
    )
    return _table(("event", "view", "its number is in", "what happened"), rows)


def log_replay_views() -> str:
    """Return the views that `replay` installs."""
    parts = []
    with _empty_log() as log:
        _define_books(log)
        for name in IN_ORDER:
            log.execute(view_sql(name))
            summary, meanings = described(name)
            table = _view_table(log, name, meanings)
            call = f"{name}(upto, instant)" if name in MACROS else name
            parts.append(f"### `{call}`\n\n{summary}\n\n{table}")
    return "\n\n".join(parts)


def _empty_log() -> duckdb.DuckDBPyConnection:
    log = duckdb.connect()
    for statement in statements():
        log.execute(statement)
    return log


def _define_books(log: duckdb.DuckDBPyConnection) -> None:
    for statement in book_statements(None):
        log.execute(statement)
    for name, function, parameters, result in book_functions(None, {}):
        types = [duckdb.type(parameter) for parameter in parameters]
        log.create_function(name, function, types, duckdb.type(result))


def _view_table(log: duckdb.DuckDBPyConnection, name: str, meanings: Mapping[str, str]) -> str:
    source = f"{name}(0, timestamp '2020-01-01')" if name in MACROS else name
    columns = [(row[0], row[1]) for row in log.execute(f"describe from {source}").fetchall()]
    if [column for column, _ in columns] != list(meanings):
        message = f"view {name} has the columns {columns}, its comments name {list(meanings)}"
        raise SystemExit(message)
    rows = ((f"`{column}`", sql_type, meanings[column]) for column, sql_type in columns)
    return _table(("column", "type", "meaning"), rows)


def log_codes() -> str:
    """Return every finding that an audit may report."""
    return _table(("code", "meaning"), ((f"`{code}`", text) for code, text in CODES.items()))


# The scenario -----------------------------------------------------------------------------------


def scenario_keys() -> str:
    """Return one section per TOML table."""
    return "\n\n".join(_sections(Scenario, ""))


def _sections(cls: type[Any], path: str, kind: str = "", note: str = "") -> Iterator[str]:
    """Yield the section of *cls*, then those of the tables below it."""
    docs = {}
    for one in reversed(cls.__mro__[:-1]):  # What several kinds have is said in the class above.
        docs |= attribute_docs(one)
    rows = []
    below: list[Iterator[str]] = []
    for attribute in attrs.fields(cls):
        key = key_of(attribute)
        if key is None:
            continue
        row, sections = _key_row(attribute, key, _outside(docs[attribute.name]), path)
        rows.append(row)
        below.append(sections)
    title = f"`[{path}]`" if path else "Top level"
    title += f' with `kind = "{kind}"`' if kind else ""
    summary = " ".join((cls.__doc__ or "").strip().split("\n\n")[0].split())
    text = f"### {title}\n\n{summary}" + (f"\n{note}" if note else "")
    if rows:
        head = ("key", "value", "bounds", "default", "meaning")
        text += f"\n\n{_table(head, iter(rows))}"
    yield text
    for sections in below:
        yield from sections


def _key_row(
    attribute: "attrs.Attribute[Any]", key: str, meaning: str, path: str
) -> tuple[tuple[str, ...], Iterator[str]]:
    metadata, here = attribute.metadata, f"{path}.{key}" if path else key
    if "scalar" in metadata:
        scalar: Scalar = metadata["scalar"]
        row = (f"`{key}`", _form(scalar), _bounds(scalar), _default(scalar.default), meaning)
        return row, iter(())
    if "pairs" in metadata:
        first, second = metadata["of"]
        value = f"array of `[{first.key}, {second.key}]`: {_form(first)}; {_form(second)}"
        bounds = "; ".join(
            f"{scalar.key} {bound}" for scalar in (first, second) if (bound := _bounds(scalar))
        )
        return (f"`{key}`", value, bounds, _default(metadata["default"]), meaning), iter(())
    if "rows" in metadata:
        row = (f"`{key}`", "array of tables, see below", "", _default(metadata["default"]), meaning)
        note, item = "Each entry of the array is a table.", _item_of(attribute)
        classes = get_args(item) or (item,)
        return row, (s for c in classes for s in _sections(c, here, KINDS.get(c, ""), note))
    if "tables" in metadata:
        row = (f"`{key}`", "named tables, see below", AT_LEAST.get(key, ""), "none", meaning)
        note = ""
        if metadata["shorthand"]:
            note = (
                f"The name is the path of a key or table, in quotes. A bare string stands for a "
                f"table with only `{metadata['shorthand']}`."
            )
        return row, _sections(_item_of(attribute), f"{here}.NAME", note=note)
    classes = [c for c in get_args(attribute.type) or (attribute.type,) if c is not NoneType]
    is_optional = NoneType in get_args(attribute.type)
    row = (f"`{key}`", "table, see below", "", "none" if is_optional else "", meaning)
    return row, (s for c in classes for s in _sections(c, here, KINDS.get(c, "")))


def _outside(text: str) -> str:
    """Return an attribute's text without the units in which the code keeps it."""
    text = _INSIDE.sub("", text)
    return text[0].upper() + text[1:]


def _item_of(attribute: "attrs.Attribute[Any]") -> type[Any]:
    item: type[Any] = get_args(attribute.type)[0]
    return item


_FORMS: Final = {
    Form.TEXT: "text",
    Form.FLAG: "`true` or `false`",
    Form.COUNT: "whole number",
    Form.REAL: "number",
    Form.DURATION: "duration",
    Form.INSTANT: "UTC time",
    Form.CHOICE: "word",
}


def _form(scalar: Scalar) -> str:
    if scalar.form is not Form.SCALED:
        return _FORMS[scalar.form]
    if scalar.scale == UNIT_SCALE:
        return f"number, {'units' if scalar.key.endswith('units') else 'USD per unit'}"
    if scalar.key.endswith("_per_second"):
        return "number, per second"
    if scalar.key.endswith("_usd_per_hour"):
        return "number, USD per hour"
    return f"number, {'USD' if scalar.key.endswith('_usd') else 'ratio'}"


def _bounds(scalar: Scalar) -> str:
    if scalar.form is Form.CHOICE:
        return ", ".join(f"`{word}`" for word in scalar.choices)
    if scalar.form is Form.DURATION:
        low, high = (duration_text(int(b * SECOND_US)) for b in (scalar.low, scalar.high))
    elif scalar.form in (Form.COUNT, Form.SCALED, Form.REAL):
        low, high = f"{scalar.low:f}", f"{scalar.high:f}"
    else:
        return ""
    return f"above {low}, to {high}" if scalar.low_open else f"{low} to {high}"


def _default(value: Any) -> str:
    if value is REQUIRED:
        return "required"
    if value is None:
        return "none"
    if value == "":
        return "empty"
    return f"`{inline(value)}`"


# The outcome ------------------------------------------------------------------------------------


def outcome_keys() -> str:
    """Return every key of the outcome."""
    names = keys_of(["…"])  # Stands for the name of any market.
    rows = (
        (f"`{name}`", OUTCOME_TYPES[kind], meaning)
        for name, (kind, meaning) in zip(names, KEYS.values(), strict=True)
    )
    return _table(("key", "type", "meaning"), rows)


def measures() -> str:
    """Return every measure by which runs are compared."""
    rows = (
        (
            f"`{name}`",
            about.label,
            {"count": "integer", "us": "integer", "usd": "USD", "ratio": "number"}[about.kind],
            "highest" if about.is_worse_high else "lowest",
            about.doc.replace("As in the outcome.", "As in [outcome.md](outcome.md)."),
        )
        for name, about in MEASURES.items()
    )
    return _table(("measure", "in the table", "type", "worst", "meaning"), rows)


FILES: Final[dict[str, dict[str, Callable[[], str]]]] = {
    "log-format.md": {
        "manifest": log_manifest,
        "events": log_events,
        "enums": log_enums,
        "stored views": log_stored_views,
        "places": log_places,
        "replay views": log_replay_views,
        "findings": log_codes,
    },
    "scenario-format.md": {"keys": scenario_keys},
    "outcome.md": {"outcome": outcome_keys},
    "compare.md": {"measures": measures},
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
