"""
Results of queries, and whole logs, as files: CSV, JSON and Parquet, always new ones.

A file appears under its name only when it is complete, a folder likewise; what exists is refused.
In Parquet a decimal stays a decimal and an instant stays a timestamp (UTC, without a zone).
"""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from liqsim.errors import ExportError
from replay.log import Log
from replay.query import to_csv, to_json

_BATCH: Final = 131_072


def write_parquet(table: pa.Table, path: Path) -> None:
    """
    Write a result to *path* as Parquet.

    Raises:
        ExportError: It has a column that Parquet cannot hold, or two of one name.
    """
    twice = sorted({name for name in table.column_names if table.column_names.count(name) > 1})
    if twice:
        message = f"Parquet needs different names: {', '.join(twice)} is there more than once"
        raise ExportError(message)
    try:
        pq.write_table(table, path)
    except pa.ArrowException as error:
        message = f"cannot be written as Parquet: {error}"
        raise ExportError(message) from error


def write_csv(table: pa.Table, path: Path) -> None:
    """Write a result to *path* as CSV."""
    path.write_text(to_csv(table), encoding="utf-8")


def write_json(table: pa.Table, path: Path) -> None:
    """Write a result to *path* as a JSON array of objects."""
    path.write_text(to_json(table), encoding="utf-8")


WRITERS: Final[Mapping[str, Callable[[pa.Table, Path], None]]] = {
    "csv": write_csv,
    "json": write_json,
    "parquet": write_parquet,
}
"""How a result becomes a file, by the ending of its name."""


def write_result(table: pa.Table, path: Path, kind: str) -> None:
    """
    Write a result to the new file *path*.

    Args:
        table: The result.
        path: Where; it must not exist.
        kind: `csv`, `json` or `parquet`.

    Raises:
        ExportError: The file exists, or its folder does not.
        OSError: It cannot be written; nothing is left behind.
    """
    refuse_unusable(path)
    partial = _partial(path)
    try:
        WRITERS[kind](table, partial)
        _reveal(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _reveal(partial: Path, path: Path) -> None:
    try:
        os.link(partial, path)  # Unlike a rename, never over somebody else's file.
    except FileExistsError as error:
        raise ExportError(_exists(path)) from error
    except OSError:
        # A file system without links: the next best thing.
        refuse_unusable(path)
        partial.rename(path)


def refuse_unusable(path: Path) -> None:
    """
    Refuse a *path* that something new cannot be written to.

    Raises:
        ExportError: It exists, or its folder does not.
    """
    if path.exists() or path.is_symlink():
        raise ExportError(_exists(path))
    if not path.parent.is_dir():
        message = f"{path}: there is no folder {path.parent}"
        raise ExportError(message)


def relations(log: Log) -> list[str]:
    """Return the names of every table and view of an open log, sorted."""
    rows = log.sql(
        "select table_name from duckdb_tables() where not internal and not temporary union "
        "select view_name from duckdb_views() where not internal order by 1"
    ).fetchall()
    return [name for (name,) in rows]


def export_log(
    log: Log, folder: Path, progress: Callable[[int, int], None] | None = None
) -> dict[str, int]:
    """
    Write every table and view of *log* as Parquet into the new *folder*; return their row counts.

    Each is a file `NAME.parquet`, its rows sorted by its columns from the first on. *progress* is
    called with (files written, all of them).

    Raises:
        ExportError: The folder exists, the one it is to be in does not, or a view cannot be
            computed.
        OSError: A file cannot be written; nothing is left behind.
    """
    refuse_unusable(folder)
    names, counts = relations(log), {}
    with _new_folder(folder) as partial:
        for number, name in enumerate(names, start=1):
            counts[name] = _export(log, name, partial / f"{name}.parquet")
            if progress is not None:
                progress(number, len(names))
    return counts


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    partial = _partial(folder)
    partial.mkdir()
    try:
        yield partial
        refuse_unusable(folder)  # A rename would replace an empty folder.
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _export(log: Log, name: str, path: Path) -> int:
    count = 0
    try:
        # In batches, so that a long log needs no more memory than a short one.
        reader = log.sql(f"select * from {name} order by all").to_arrow_reader(_BATCH)
        with pq.ParquetWriter(path, reader.schema) as writer:
            for batch in reader:
                writer.write_batch(batch)
                count += batch.num_rows
    except (duckdb.Error, pa.ArrowException) as error:
        message = f"{name} cannot be exported: {' '.join(str(error).split())}"
        raise ExportError(message) from error
    return count


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


def _exists(path: Path) -> str:
    return f"{path}: exists already; liqsim never overwrites"
