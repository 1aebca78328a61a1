"""
The read side's only door to a log: one DuckDB file, opened read-only and locked.

It hands out what was recorded, as integers, entries or relations, and judges nothing: a log that
can be read but contradicts itself is the business of `replay.verify`.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from functools import cache, cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, cast, get_type_hints

import attrs
import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from duckdb.func import SPECIAL

from liqsim.errors import LogError, LogInUseError, QueryError
from liqsim.events import EVENT_CLASSES, SCHEMA_VERSION, Entry, Event
from liqsim.events.schema import ENVELOPE, NO_CAUSE, Column, EventClass, columns_of

IntArray = npt.NDArray[np.int64]
Columns = dict[str, IntArray]
"""Columns of one kind by field name: seq, sim_time_us, cause_seq, then the payload."""

NULL: Final = -(2**63)
"""Stands for a null where none belongs; outside every legal range."""

UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_CHUNK: Final = 4 * 65_536
"""Entries built at a time: whole batches, so that a long log needs no more memory than a short."""

_TABLES: Final = {
    "runs": (
        "run_id scenario scenario_toml seed path_mode start_at end_at status schema_version "
        "package_version library_versions cpu_features event_count digest genesis_digest "
        "reference_digest history_digest wall_seconds error"
    ),
    "batches": "batch_number first_seq last_seq digest",
    "owners": "owner_id name kind cohort market_id",
    "assets": "asset_id name kind market_id",
    "historical_prices": "market_id sim_time price",
    "reference_prices": "market_id sim_time price",
}
_NULLABLE: Final = (
    "event_count", "digest", "reference_digest", "history_digest", "wall_seconds", "error"
)  # fmt: skip
_VIEWS: Final = ("events", "cash_postings", "unit_postings", "postings")


@attrs.frozen
class Manifest:
    """
    What the log says about its run: the one row of `runs`.

    Attributes:
        run_id: Name of the run.
        scenario: Name of the scenario.
        scenario_toml: The resolved scenario, as canonical TOML.
        seed: Seed of every draw.
        path_mode: How our flow and the reference price go together.
        start_unix_us: Start, in microseconds of Unix time.
        end_us: End, exclusive, in microseconds since the start.
        status: `running`, `sealed` or `failed`.
        schema_version: Version of the tables.
        package_version: Version of liqsim that wrote it.
        library_versions: Versions of what it was built on, as JSON.
        cpu_features: What the machine could do.
        event_count: Number of events, once the run is over.
        digest: Last digest of the chain, once the run is over.
        genesis_digest: First digest of the chain.
        reference_digest: Digest of the reference prices; of a purged run, once it is over.
        history_digest: Digest of the historical prices of a purged run that finds the reference.
        wall_seconds: How long the run took, once it is over.
        error: Why it failed.
    """

    run_id: str
    scenario: str
    scenario_toml: str
    seed: int
    path_mode: str
    start_unix_us: int
    end_us: int
    status: str
    schema_version: int
    package_version: str
    library_versions: str
    cpu_features: str
    event_count: int | None
    digest: str | None
    genesis_digest: str
    reference_digest: str | None
    history_digest: str | None
    wall_seconds: float | None
    error: str | None

    def utc(self, sim_time_us: int) -> datetime:
        """Return the UTC time of an instant given in microseconds since the start."""
        return UNIX_EPOCH + timedelta(microseconds=self.start_unix_us + sim_time_us)


@attrs.frozen
class OwnerRow:
    """One row of `owners`."""

    owner_id: int
    name: str
    kind: str
    cohort: str | None
    market_id: int | None


@attrs.frozen
class AssetRow:
    """One row of `assets`."""

    asset_id: int
    name: str
    kind: str
    market_id: int | None


@attrs.frozen
class BatchRow:
    """One row of `batches`."""

    batch_number: int
    first_seq: int
    last_seq: int
    digest: str


@attrs.frozen
class Span:
    """How many events of a kind there are, and their lowest and highest seq."""

    count: int
    first_seq: int
    last_seq: int


def open_log(path: str | Path) -> "LogReader":
    """
    Open the log at *path* read-only; use it as a context manager.

    Raises:
        LogInUseError: It is being written.
        LogError: It is not there, not a log, or a log of a newer schema.
    """
    path = Path(path)
    _check_file(path)
    # Connections to a path would share what DuckDB has of it: settings, functions, and the file
    # that was there before. A database of its own has none of another reader's.
    connection = duckdb.connect(":memory:")
    try:
        connection.execute(f"attach {_quoted(path)} as log (type duckdb, read_only)")
    except duckdb.Error as error:
        connection.close()
        raise _open_error(path, str(error)) from error
    try:
        aside = connection.cursor()
        for one in (connection, aside):
            one.execute("use log")
            one.execute("set enable_progress_bar = false")  # It would go to stdout.
        connection.execute(f"set temp_directory = {_quoted(path, '.tmp')}")
        connection.execute("set enable_external_access = false")
        connection.execute("set lock_configuration = true")
        _check_schema(path, connection)
    except duckdb.Error as error:
        connection.close()
        raise _read_error(path, error) from error
    except LogError:
        connection.close()
        raise
    return LogReader(path, connection, aside)


def _quoted(path: Path, ending: str = "") -> str:
    """Return a path for a statement; absolute, since a name may look like another database's."""
    return "'" + f"{path.absolute()}{ending}".replace("'", "''") + "'"


def _check_file(path: Path) -> None:
    if not path.exists():
        message = f"{path}: there is no such file"
        raise LogError(message)
    if path.is_dir():
        message = f"{path}: is a directory, not a log"
        raise LogError(message)
    with path.open("rb") as file:
        # DuckDB takes some endings for other formats; its own files say so in their ninth byte.
        if file.read(12)[8:] != b"DUCK":
            message = f"{path}: not a log (not a DuckDB file)"
            raise LogError(message)


def _open_error(path: Path, text: str) -> LogError:
    holder = re.search(r"\(PID (\d+)\)", text)
    if holder:
        return LogInUseError(f"{path}: in use by process {holder[1]}")
    if "already attached" in text:
        return LogInUseError(f"{path}: in use by this process")
    if "not a valid DuckDB database" in text:
        return LogError(f"{path}: not a log (not a DuckDB file)")
    return LogError(f"{path}: cannot be read: {text.splitlines()[0]}")


def _read_error(path: Path, error: Exception) -> LogError:
    return LogError(f"{path}: cannot be read: {str(error).splitlines()[0]}")


def _check_schema(path: Path, connection: duckdb.DuckDBPyConnection) -> None:
    rows = connection.execute(
        "select table_name, column_name, data_type from duckdb_columns() "
        "where database_name = current_database() and not internal"
    ).fetchall()
    found: dict[str, dict[str, str]] = {}
    for table, column, data_type in rows:
        found.setdefault(table, {})[column] = data_type
    if "sweep" in found:
        message = f"{path}: is a sweep, not a log; any DuckDB reads it, docs/compare.md says what"
        raise LogError(message)
    if "schema_version" not in found.get("runs", {}):
        message = f"{path}: not a log (a DuckDB file without the table runs)"
        raise LogError(message)
    versions = connection.execute("select schema_version from runs").fetchall()
    if len(versions) != 1:
        message = f"{path}: not a log (runs has {len(versions)} rows, must have 1)"
        raise LogError(message)
    version = versions[0][0]
    if version is not None and version != SCHEMA_VERSION:
        age = "newer" if version > SCHEMA_VERSION else "older"
        message = (
            f"{path}: schema version {version} is {age} than {SCHEMA_VERSION}, "
            "the one that this version of liqsim reads"
        )
        raise LogError(message)
    for table, column, data_type in _expected_columns():
        actual = found.get(table, {}).get(column)
        if actual is None or (data_type is not None and actual != data_type):
            want = f" {data_type}" if data_type else ""
            has = "it is missing" if actual is None else f"it is {actual}"
            message = f"{path}: not a complete log: {table}.{column}{want} expected, {has}"
            raise LogError(message)


def _expected_columns() -> Iterator[tuple[str, str, str | None]]:
    for table, names in _TABLES.items():
        for name in names.split():
            yield table, name, None
    for cls in EVENT_CLASSES:
        for column in (*ENVELOPE, *columns_of(cls)):
            yield cls.TAG, column.name, column.sql_type
    for view in _VIEWS:
        yield view, "seq", None


class LogReader:
    """
    An open log. Made by `open_log`; closes at the end of its `with` block.

    Attributes:
        path: Where it is.
        aside: A second connection to the same file, with temporary tables and views of its own.
        manifest: What it says about its run.
    """

    def __init__(
        self,
        path: Path,
        connection: duckdb.DuckDBPyConnection,
        aside: duckdb.DuckDBPyConnection,
    ) -> None:
        self.path = path
        self.aside = aside
        self._connection = connection
        self.manifest = self._read_manifest()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; relations taken from it end with it."""
        self.aside.close()
        self._connection.close()

    @cached_property
    def owners(self) -> tuple[OwnerRow, ...]:
        """Every owner, in id order."""
        return tuple(OwnerRow(*row) for row in self._rows("owners", "owner_id"))

    @cached_property
    def assets(self) -> tuple[AssetRow, ...]:
        """Every asset, in id order."""
        return tuple(AssetRow(*row) for row in self._rows("assets", "asset_id"))

    @cached_property
    def batches(self) -> tuple[BatchRow, ...]:
        """Every batch, in order."""
        return tuple(BatchRow(*row) for row in self._rows("batches", "batch_number"))

    @cached_property
    def markets(self) -> dict[int, str]:
        """Names of the markets by their number."""
        return {asset.market_id: asset.name for asset in self.assets if asset.market_id is not None}

    @cached_property
    def _counts(self) -> list[tuple[type[Event], int, Span]]:
        """Every kind with rows: how many of them have no seq, and the span of the others."""
        sql = " union all ".join(
            f"select {number}, count(*) - count(seq), count(seq), min(seq), max(seq) from {cls.TAG}"
            for number, cls in enumerate(EVENT_CLASSES)
        )
        return [
            (EVENT_CLASSES[number], without, Span(*span))
            for number, without, *span in self.rows(sql)
            if without or span[0]
        ]

    @property
    def spans(self) -> dict[type[Event], Span]:
        """Count and range of seq of each kind that has rows."""
        return {cls: span for cls, _, span in self._counts if span.count}

    @property
    def unnumbered(self) -> dict[type[Event], int]:
        """How many rows lack a seq, for the kinds that have such rows."""
        return {cls: without for cls, without, _ in self._counts if without}

    @property
    def last_seq(self) -> int:
        """Seq of the last event; -1 if there is none."""
        return max((span.last_seq for span in self.spans.values()), default=-1)

    def relation(self, sql: str) -> duckdb.DuckDBPyRelation:
        """Return *sql*, one of our own selects, as a lazy relation."""
        try:
            return self._connection.sql(sql)
        except duckdb.Error as error:
            raise _read_error(self.path, error) from error

    def table(self, sql: str) -> pa.Table:
        """Return the result of *sql*, one of our own selects, as an Arrow table."""
        try:
            return self.relation(sql).to_arrow_table()
        except duckdb.Error as error:
            raise _read_error(self.path, error) from error

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the result of *sql*, one of our own selects, as a few tuples."""
        try:
            return self._connection.execute(sql).fetchall()
        except duckdb.Error as error:
            raise _read_error(self.path, error) from error

    def define(self, statement: str) -> None:
        """Run a `create temp …`; it lives as long as the reader and leaves the file alone."""
        try:
            self._connection.execute(statement)
        except duckdb.Error as error:
            raise _read_error(self.path, error) from error

    def define_function(
        self, name: str, function: Callable[..., Any], parameters: Sequence[str], result: str
    ) -> None:
        """
        Let queries call *function* by *name*, unless one of that name is there already.

        Types are DuckDB's; nulls are handed over as None.
        """
        types: list[Any] = [duckdb.type(parameter) for parameter in parameters]
        # The connections of a reader share their functions.
        with suppress(duckdb.CatalogException):
            self._connection.create_function(
                name, function, types, duckdb.type(result), null_handling=SPECIAL
            )

    def statement_types(self, sql: str) -> list[str]:
        """
        Return the type of each statement in *sql*, in DuckDB's words, without running any.

        Raises:
            QueryError: DuckDB cannot read it.
        """
        try:
            return [str(part.type.name) for part in self._connection.extract_statements(sql)]
        except duckdb.Error as error:
            raise QueryError(_one_line(error)) from error

    def ask(self, sql: str) -> duckdb.DuckDBPyRelation:
        """
        Return somebody else's select, admitted already, as a lazy relation.

        Raises:
            QueryError: DuckDB rejects it.
        """
        try:
            return self._connection.sql(sql)
        except duckdb.Error as error:
            raise QueryError(_one_line(error)) from error

    def columns(self, cls: type[Event], first_seq: int = 0, last_seq: int | None = None) -> Columns:
        """
        Return the columns of one kind as int64 arrays in seq order, within a range of seq.

        The integers are those of the event classes; a null where none belongs is `NULL`, an
        unknown enum name -1.
        """
        wanted = (*ENVELOPE, *columns_of(cast("EventClass", cls)))
        where = "" if last_seq is None else f" where seq between {first_seq} and {last_seq}"
        if last_seq is None and first_seq > 0:
            where = f" where seq >= {first_seq}"
        names = ", ".join(column.name for column in wanted)
        table = self.table(f"select {names} from {cls.TAG}{where}").combine_chunks()
        arrays = {
            column.field: _integers(table.column(column.name), column, self.manifest.start_unix_us)
            for column in wanted
        }
        for column in wanted:
            if column.is_optional:
                values = arrays[column.field]
                arrays[column.field] = np.where(values == NULL, NO_CAUSE, values)
        seq = arrays["seq"]
        if np.any(seq[1:] <= seq[:-1]):
            order = np.argsort(seq, kind="stable")
            arrays = {name: array[order] for name, array in arrays.items()}
        return arrays

    def entries(self, first_seq: int = 0, last_seq: int | None = None) -> Iterator[Entry]:
        """
        Yield every event in its envelope, in seq order, within a range of seq.

        Raises:
            LogError: A value has no meaning, such as an unknown enum name.
        """
        end = self.last_seq if last_seq is None else last_seq
        for start, stop in self.chunks:
            low, high = max(start, first_seq), min(stop, end)
            if low <= high:
                kinds = self.chunk(low, high)
                self._refuse_unknown_names(kinds)
                yield from entries_of(kinds)

    def _refuse_unknown_names(self, kinds: Mapping[type[Event], Columns]) -> None:
        for cls, columns in kinds.items():
            for column in columns_of(cast("EventClass", cls)):
                array = columns[column.field]
                if array.size and int(array.min()) == (-1 if column.members else NULL):
                    seq = int(columns["seq"][int(array.argmin())])
                    message = f"{self.path}: event {seq} has no legal {cls.TAG}.{column.name}"
                    raise LogError(message)

    def reference_prices(self) -> dict[int, tuple[IntArray, IntArray]]:
        """Return per market when its reference price changed (µs since the start) and to what."""
        return self._prices("reference_prices")

    def historical_prices(self) -> dict[int, tuple[IntArray, IntArray]]:
        """Return the same of the history that a purged run was given; nothing of other runs."""
        return self._prices("historical_prices")

    def _prices(self, name: str) -> dict[int, tuple[IntArray, IntArray]]:
        table = self.table(
            f"select market_id, sim_time, price from {name} order by market_id, sim_time"
        ).combine_chunks()
        market = _integers(table.column("market_id"), _MARKET, 0)
        at_us = _integers(table.column("sim_time"), _AT, self.manifest.start_unix_us)
        price = _integers(table.column("price"), _PRICE, 0)
        return {
            int(number): (at_us[market == number], price[market == number])
            for number in np.unique(market)
        }

    def postings(self, view: str, first_seq: int, last_seq: int) -> IntArray:
        """Return the rows of a view over postings as four arrays: seq, owner, asset, amount."""
        table = self.table(
            f"select seq, owner_id, asset_id, amount from {view} "
            f"where seq between {first_seq} and {last_seq}"
        ).combine_chunks()
        return np.stack(
            [
                _integers(table.column(name), _PRICE if name == "amount" else _MARKET, 0)
                for name in ("seq", "owner_id", "asset_id", "amount")
            ]
        )

    @property
    def chunks(self) -> tuple[tuple[int, int], ...]:
        """
        Ranges of seq, whole batches each, that hold every event.

        Taken from the rows, not from the highest number, which in a damaged log may be anything.
        """
        spans = self.spans.values()
        if not spans:
            return ()
        first = min(span.first_seq for span in spans) // _CHUNK
        last = max(span.last_seq for span in spans) // _CHUNK
        numbers: Sequence[int] = range(first, last + 1)
        if last - first > sum(span.count for span in spans):
            sql = " union ".join(
                f"select distinct (floor(seq / {_CHUNK}))::hugeint from {cls.TAG} "
                "where seq is not null"
                for cls in self.spans
            )
            numbers = sorted(int(row[0]) for row in self.rows(sql))
        return tuple((n * _CHUNK, (n + 1) * _CHUNK - 1) for n in numbers)

    def chunk(self, low: int, high: int) -> dict[type[Event], Columns]:
        """Return the columns of every kind that has rows in a range of seq."""
        kinds = {
            cls: self.columns(cls, low, high)
            for cls, span in self.spans.items()
            if span.first_seq <= high and span.last_seq >= low
        }
        # A bulk of one kind can fill the range between two rows of another.
        return {cls: columns for cls, columns in kinds.items() if len(columns["seq"])}

    def _rows(self, table: str, order: str) -> list[tuple[Any, ...]]:
        names = _TABLES[table].replace(" ", ", ")
        return self.rows(f"select {names} from {table} order by {order}")

    def _read_manifest(self) -> Manifest:
        names = _TABLES["runs"].split()
        # What has to be there is read as empty where it is not: an audit can say so, not a crash.
        read_as = {name: f"coalesce({name}, '')" for name in names if name not in _NULLABLE}
        read_as |= {
            "seed": "coalesce(seed, -1)",
            "schema_version": "coalesce(schema_version, 0)",
            "start_at": "coalesce(epoch_us(start_at), 0)",
            "end_at": "coalesce(epoch_us(end_at) - epoch_us(start_at), 0)",
        }
        selected = ", ".join(read_as.get(name, name) for name in names)
        return Manifest(*self.rows(f"select {selected} from runs")[0])


_MARKET: Final = Column("market_id", "market_id", "INTEGER", None, None, 0, 0, "")
_AT: Final = Column("sim_time_us", "sim_time", "TIMESTAMP", None, None, 0, 0, "", is_instant=True)
_PRICE: Final = Column("price_e8", "price", "DECIMAL(18,8)", 8, None, 0, 0, "")


def _integers(chunks: pa.ChunkedArray, column: Column, start_unix_us: int) -> IntArray:
    array = (
        chunks.chunk(0)
        if chunks.num_chunks == 1
        else pa.concat_arrays(chunks.chunks)
        if chunks.num_chunks
        else pa.array([], chunks.type)
    )
    if column.members is not None:
        index = pc.index_in(array, value_set=pa.array(column.members))
        return np.asarray(pc.fill_null(index, -1).to_numpy(zero_copy_only=False), np.int64)
    if column.scale is not None:
        # A DECIMAL(18) fits the low word of each 128-bit value, already scaled to an integer.
        words = np.frombuffer(array.buffers()[1] or b"", np.int64)
        values = words[2 * array.offset : 2 * (array.offset + len(array)) : 2].copy()
    else:
        values = _plain_integers(array, start_unix_us if column.is_instant else 0)
    if array.null_count:
        values[array.is_null().to_numpy(zero_copy_only=False)] = NULL
    return values


def _plain_integers(array: pa.Array, start_unix_us: int) -> IntArray:
    integers = array.cast(pa.int64())
    if integers.null_count:
        integers = pc.fill_null(integers, 0)
    return np.asarray(integers.to_numpy(), np.int64) - start_unix_us


def entries_of(kinds: Mapping[type[Event], Columns]) -> Iterator[Entry]:
    """Yield the events of *kinds*, built from their columns, merged in seq order."""
    if not kinds:
        return
    envelope = {
        name: np.concatenate([columns[name] for columns in kinds.values()])
        for name in ("seq", "sim_time_us", "cause_seq")
    }
    order = np.argsort(envelope["seq"], kind="stable")
    sizes = [len(columns["seq"]) for columns in kinds.values()]
    kind_of = np.repeat(np.arange(len(sizes)), sizes)[order].tolist()
    # Each event is built when its turn comes: a chunk of them alive at once would have the garbage
    # collector walk over all, again and again, for as long as building them takes.
    streams = [_events(cls, columns) for cls, columns in kinds.items()]
    yield from map(
        Entry,
        envelope["seq"][order].tolist(),
        envelope["sim_time_us"][order].tolist(),
        envelope["cause_seq"][order].tolist(),
        map(next, map(streams.__getitem__, kind_of)),
    )


def _events(cls: type[Event], columns: Columns) -> Iterator[Event]:
    enums = _enums_of(cast("EventClass", cls))
    values = (
        np.array(enums[name], dtype=object)[columns[name]].tolist()
        if name in enums
        else columns[name].tolist()
        for name in (column.field for column in columns_of(cast("EventClass", cls)))
    )
    return map(cls, *values)


@cache
def _enums_of(cls: EventClass) -> dict[str, list[IntEnum]]:
    return {
        name: list(kind)
        for name, kind in get_type_hints(cls).items()
        if isinstance(kind, type) and issubclass(kind, IntEnum)
    }


def _one_line(error: Exception) -> str:
    """Return DuckDB's message without the picture of the place."""
    return " ".join(str(error).split("\n\nLINE", maxsplit=1)[0].split())
