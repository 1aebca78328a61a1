"""
TOML text out of plain values, always the same text for the same values.

Written here and not taken from a library: the resolved scenario is hashed into every log's digest,
so its layout must not change with somebody else's release.
"""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

_SHOWN_CHARS = 60
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def dotted(path: tuple[str | int, ...]) -> str:
    """
    Return *path* as a dotted TOML key.

    >>> dotted(("basis", "venue.fees", 0))
    'basis."venue.fees".0'
    """
    return ".".join(part if _BARE_KEY.fullmatch(part) else _quoted(part) for part in map(str, path))


def inline(value: Any) -> str:
    """
    Return *value* on one line, as it would stand after a key.

    >>> inline([1, True, {"a": "b"}])
    '[1, true, { a = "b" }]'
    """
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _quoted(value)
        case datetime() if value.tzinfo is not None:
            text = value.isoformat()
            return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text
        case list() | tuple():
            return f"[{', '.join(map(inline, value))}]"
        case Mapping():
            pairs = (f"{dotted((key,))} = {inline(item)}" for key, item in value.items())
            return f"{{ {', '.join(pairs)} }}"
        case _:
            return str(value)


def shown(value: Any) -> str:
    """Return *value* as `inline` does, cut short for a message."""
    try:
        text = inline(value)
    except ValueError:  # An int of more digits than Python writes out.
        text = f"{Decimal(value):.6E}"
    except RecursionError:
        text = "…"
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"


def dump(tree: Mapping[str, Any]) -> str:
    """Return *tree* as a TOML document: plain keys first, then tables, both in their order."""
    lines: list[str] = []
    _append_table(lines, tree, ())
    return "\n".join(lines) + "\n"


def _append_table(lines: list[str], table: Mapping[str, Any], path: tuple[str, ...]) -> None:
    nested = {key: value for key, value in table.items() if _is_nested(value)}
    lines += [
        f"{dotted((key,))} = {inline(value)}" for key, value in table.items() if key not in nested
    ]
    for key, value in nested.items():
        below = (*path, key)
        if isinstance(value, list):
            for row in value:
                lines += ["", f"[[{dotted(below)}]]"]
                _append_table(lines, row, below)
        else:
            # The header of a table that only holds tables goes without saying.
            if not value or not all(map(_is_nested, value.values())):
                lines += ["", f"[{dotted(below)}]"]
            _append_table(lines, value, below)


def _is_nested(value: Any) -> bool:
    return isinstance(value, Mapping) or (
        isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)
    )


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
