"""
The scenario's classes out of TOML tables and back, by cattrs, from the metadata of their fields.

Reading fills in every default, so that writing what was read gives the full scenario.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from types import NoneType
from typing import Any, Final, get_args

import attrs
from cattrs import Converter
from cattrs.errors import (
    BaseValidationError,
    ClassValidationError,
    ForbiddenExtraKeysError,
    IterableValidationError,
    IterableValidationNote,
)
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from liqsim.scenario.fields import REQUIRED, Form, Scalar, key_of, name_of
from liqsim.scenario.mitigations import OTHERS, Mitigation, kind_of
from liqsim.scenario.model import KINDS, Scenario
from liqsim.scenario.toml import dotted
from liqsim.scenario.values import expected, read_value, write_value

Path = tuple[str | int, ...]
"""Where a value stands: keys, names of named tables, and rows of arrays."""

Problem = tuple[Path, str]
"""A place and what is wrong there, worded to follow the key and its value."""

_NAME_KEY: Final = "\0name"
"""Carries a named table's name to its class; not `name`, which stays unknown to TOML."""

_LIKE: Final = 0.5
"""How much alike a word and its nearest must be, from 0 to 1, to be named in one breath."""
_FEW: Final = 8

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
_Read = Callable[[Any], Any]


@attrs.frozen
class _Unread:
    """Stands for the value of a key that is given, and that nothing reads beside the others."""

    text: str


@lru_cache(maxsize=16)
def converter_for(start_us: int) -> Converter:
    """Return the converter for a scenario that starts at *start_us* of Unix time."""
    converter = Converter(detailed_validation=True, forbid_extra_keys=True)
    converter.register_structure_hook_factory(
        attrs.has, lambda cls: _class_reader(converter, cls, start_us)
    )
    converter.register_unstructure_hook_factory(
        attrs.has, lambda cls: _class_writer(converter, cls, start_us)
    )
    return converter


def problems_of(error: Exception, path: Path = ()) -> Iterator[Problem]:
    """Return every single thing that cattrs refused, with its place in the TOML."""
    match error:
        case ClassValidationError():
            attributes = attrs.fields_dict(error.cl)
            noted, other = error.group_exceptions()
            # Unknown keys come first: they often explain why others are missing.
            for inner in other:
                yield from problems_of(inner, path)
            for inner, note in noted:
                attribute = attributes[note.name]
                below = (*path, key_of(attribute) or note.name)
                if isinstance(inner, KeyError):
                    yield below, f"must be {_expected(attribute)}"
                else:
                    yield from problems_of(inner, below)
        case IterableValidationError():
            for inner, item in error.group_exceptions()[0]:
                index: Any = item.index  # To mypy, the method of str.
                yield from problems_of(inner, (*path, index))
        case ForbiddenExtraKeysError():
            known = list(filter(None, map(key_of, attrs.fields(error.cl))))
            for key in sorted(error.extra_fields):
                yield (*path, key), f"is not a known key{nearest(key, known, path)}"
        case _:
            yield path, str(error)


def nearest(word: str, known: Iterable[str], path: Path = ()) -> str:
    """Return the hint that names that of *known* that is most like *word*, or the few there are."""
    names = list(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=_LIKE)
    if close:
        return f", the nearest is {dotted((*path, close[0]))}"
    if not 0 < len(names) <= _FEW:
        return ""
    return f"; there {'is' if len(names) == 1 else 'are'} {', '.join(names)}"


def is_named(path: Path) -> bool:
    """Return whether *path* is that of a named table, such as a market."""
    return len(path) > 1 and path[-2] in _families(Scenario)


@lru_cache(maxsize=1)
def _families(root: type) -> frozenset[str]:
    """Return the keys below *root* that hold named tables whose names are the user's."""
    found: set[str] = set()
    waiting = [root]
    while waiting:
        for attribute in attrs.fields(waiting.pop()):
            if attribute.metadata.get("shorthand", "") is None:
                found.add(attribute.metadata["tables"])
            kinds = get_args(attribute.type) or (attribute.type,)
            waiting += [kind for kind in kinds if attrs.has(kind)]
    return frozenset(found)


def _class_reader(converter: Converter, cls: type, start_us: int) -> Callable[[Any, Any], Any]:
    defaults: dict[str, Any] = {}
    overrides: dict[str, Any] = {}
    for attribute in attrs.fields(cls):
        key = key_of(attribute)
        if key is not None:
            read = _attribute_reader(converter, attribute, start_us)
            overrides[attribute.name] = override(rename=key, struct_hook=_hook(read))
            if (default := _default_of(attribute)) is not REQUIRED:
                defaults[key] = default
        elif attribute.default is attrs.NOTHING:
            overrides[attribute.name] = override(rename=_NAME_KEY)
        else:
            overrides[attribute.name] = override(omit=True)
    structure: Callable[[Any, Any], Any] = make_dict_structure_fn(cls, converter, **overrides)

    selected = _selected(cls)

    def read_table(raw: Any, _: Any) -> Any:
        given = _table(raw)
        return structure({**defaults, **given, **_unread(selected, given, defaults)}, cls)

    return read_table


def _selected(cls: type) -> dict[str, tuple[Scalar, tuple[str, ...]]]:
    """Return which keys are read only beside some words, what those words stand for, and they."""
    scalars = {key_of(a): a.metadata.get("scalar") for a in attrs.fields(cls)}
    return {
        str(key_of(a)): (scalars[a.metadata["read_by"][0]], a.metadata["read_by"][1])
        for a in attrs.fields(cls)
        if "read_by" in a.metadata
    }


def _unread(
    selected: Mapping[str, tuple[Scalar, tuple[str, ...]]],
    given: Mapping[str, Any],
    defaults: Mapping[str, Any],
) -> dict[str, _Unread]:
    """Return the keys of *given* that nothing reads beside the others."""
    found = {}
    for key, (selector, words) in selected.items():
        word = given.get(selector.key, defaults.get(selector.key))
        if key in given and word in selector.choices and word not in words:
            others = ", ".join(f'"{other}"' for other in words)
            reads = "reads" if len(words) == 1 else "read"
            text = f'has no effect: {selector.key} is "{word}", and only {others} {reads} it'
            found[key] = _Unread(text)
    return found


def _hook(read: _Read) -> Callable[[Any, Any], Any]:
    def read_given(raw: Any, _: Any) -> Any:
        if isinstance(raw, _Unread):
            raise ValueError(raw.text)  # noqa: TRY004 — the value is refused, not its type
        return read(raw)

    return read_given


def _class_writer(converter: Converter, cls: type, start_us: int) -> Callable[[Any], Any]:
    overrides: dict[str, Any] = {
        attribute.name: override(
            rename=key, unstruct_hook=_attribute_writer(converter, attribute, start_us)
        )
        if (key := key_of(attribute)) is not None
        else override(omit=True)
        for attribute in attrs.fields(cls)
    }
    unstructure: Callable[[Any], dict[str, Any]] = make_dict_unstructure_fn(
        cls, converter, **overrides
    )
    word = kind_of(cls) if issubclass(cls, Mitigation) else KINDS.get(cls)
    kind = {} if word is None else {"kind": word}
    selected = _selected(cls)

    def write_table(value: Any) -> dict[str, Any]:
        table = unstructure(value)
        unread = {key for key, (by, words) in selected.items() if table[by.key] not in words}
        return kind | {
            key: item for key, item in table.items() if item is not None and key not in unread
        }

    return write_table


def _default_of(attribute: "attrs.Attribute[Any]") -> Any:
    metadata = attribute.metadata
    if "table" in metadata:
        # An absent table is an empty one: what it then lacks is named key by key.
        return None if NoneType in get_args(attribute.type) else {}
    if "tables" in metadata:
        return {}
    return metadata["scalar"].default if "scalar" in metadata else metadata["default"]


def _attribute_reader(
    converter: Converter, attribute: "attrs.Attribute[Any]", start_us: int
) -> _Read:
    metadata = attribute.metadata
    if "scalar" in metadata:
        scalar = metadata["scalar"]
        # TOML has no word for None: it is what an absent key stands for, and is not written.
        is_optional = scalar.default is None
        return lambda raw: (
            None if raw is None and is_optional else read_value(scalar, raw, start_us)
        )
    if "table" in metadata:
        return _table_reader(converter, attribute.type)
    if "pairs" in metadata:
        return lambda raw: _each(
            enumerate(_array(raw)), lambda row: _pair(row, metadata["of"], start_us)
        )
    (cls, _) = get_args(attribute.type)
    if "rows" in metadata:
        read_row = _table_reader(converter, cls)
        return lambda raw: _each(enumerate(_array(raw)), read_row)
    return _named_reader(converter, cls, metadata["shorthand"])


def _attribute_writer(
    converter: Converter, attribute: "attrs.Attribute[Any]", start_us: int
) -> _Read:
    metadata = attribute.metadata
    if "scalar" in metadata:
        return lambda value: (
            None if value is None else write_value(metadata["scalar"], value, start_us)
        )
    if "table" in metadata:
        return converter.unstructure
    if "rows" in metadata:
        return lambda rows: [converter.unstructure(row) for row in rows]
    if "tables" in metadata:
        return lambda items: {name_of(item): converter.unstructure(item) for item in items}
    return lambda pairs: [
        [write_value(*of, start_us) for of in zip(metadata["of"], pair, strict=True)]
        for pair in pairs
    ]


def _table_reader(converter: Converter, annotation: Any) -> _Read:
    """Return the reader of one table: of a class, or of one of several by its `kind`."""
    classes = [cls for cls in get_args(annotation) or (annotation,) if cls is not NoneType]
    own = {KINDS[cls]: cls for cls in classes if cls in KINDS}
    is_open = any(issubclass(cls, Mitigation) for cls in classes)

    def read(raw: Any) -> Any:
        if raw is None:
            return None
        if not own:
            return converter.structure(raw, classes[0])
        by_kind = own | (OTHERS if is_open else {})  # Others may have come since.
        kind = Scalar("kind", Form.CHOICE, choices=tuple(by_kind))

        def read_kind(word: Any) -> Any:
            if is_open and isinstance(word, str) and word not in by_kind:
                hint = nearest(word, by_kind) or "; an installed package may bring others"
                msg = f"must be one of {', '.join(sorted(by_kind))}{hint}"
                raise ValueError(msg)
            return read_value(kind, word, start_us=0)

        table = _table(raw)
        (word,) = _each([("kind", table.get("kind"))], read_kind)
        rest = {key: value for key, value in table.items() if key != "kind"}
        return converter.structure(rest, by_kind[word])

    return read


def _named_reader(converter: Converter, cls: type, shorthand: str | None) -> _Read:
    """Return the reader of named tables."""

    def read(raw: Any) -> tuple[Any, ...]:
        tables = _table(raw)
        first_of = {name.casefold(): name for name in reversed(list(tables))}

        def read_one(item: tuple[str, Any]) -> Any:
            name, table = item
            if shorthand is not None:
                table = {shorthand: table} if isinstance(table, str) else table
            elif not _NAME.fullmatch(name):
                msg = (
                    "must have a name of letters, digits and underscores that begins with a letter"
                )
                raise ValueError(msg)
            elif (first := first_of[name.casefold()]) != name:
                msg = f"must have a name that differs from {first} not only in case"
                raise ValueError(msg)
            return converter.structure({**_table(table), _NAME_KEY: name}, cls)

        return _each(((name, (name, table)) for name, table in tables.items()), read_one)

    return read


def _pair(raw: Any, of: tuple[Scalar, Scalar], start_us: int) -> tuple[Any, ...]:
    row = _array(raw)
    if len(row) != len(of):
        msg = f"must be [{', '.join(scalar.key for scalar in of)}]"
        raise ValueError(msg)
    return _each(
        enumerate(zip(of, row, strict=True)), lambda item: read_value(item[0], item[1], start_us)
    )


def _each(items: Iterable[tuple[str | int, Any]], read: _Read) -> tuple[Any, ...]:
    """Read all *items*; if some are refused, say so of each, by its index."""
    values = []
    errors: list[Exception] = []
    for index, item in items:
        try:
            values.append(read(item))
        except (ValueError, BaseValidationError) as error:
            error.add_note(IterableValidationNote("", index, None))
            errors.append(error)
    if errors:
        msg = "some items are refused"
        raise IterableValidationError(msg, errors, tuple)
    return tuple(values)


def _table(raw: Any) -> Mapping[str, Any]:
    if isinstance(raw, Mapping):
        return raw
    msg = "must be a table"
    raise ValueError(msg)


def _array(raw: Any) -> list[Any] | tuple[Any, ...]:
    if isinstance(raw, list | tuple):
        return raw
    msg = "must be an array"
    raise ValueError(msg)


def _expected(attribute: "attrs.Attribute[Any]") -> str:
    metadata = attribute.metadata
    if "scalar" in metadata:
        return expected(metadata["scalar"])
    if "pairs" in metadata:
        return f"an array of [{', '.join(scalar.key for scalar in metadata['of'])}]"
    return "an array of tables"
