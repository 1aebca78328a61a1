"""
Writes one run into one new DuckDB file.

Events are buffered per kind in rows of int64; every 65,536 events become one batch: turned into
columns, checked against their declared ranges, hashed into the chain, widened to Arrow and
committed in one transaction. The file appears under its name only once its manifest is in it, so a
log either does not exist or can be opened.
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from struct import Struct
from typing import Any, Final

import attrs
import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from liqsim.errors import BoundError, LogError, ResumeError
from liqsim.eventlog.schema import statements
from liqsim.events import EVENT_CLASSES, NO_CAUSE, SCHEMA_VERSION, Event
from liqsim.events.schema import ENVELOPE, Column, columns_of

BATCH_EVENTS: Final = 65_536
_HASH_HEAD: Final = b"liqsim-log-1\n"
_INT = "<i8"

Columns = dict[str, npt.NDArray[np.int64]]
Prices = tuple[int, npt.NDArray[np.int64]]
"""Step in microseconds, and prices in 1e-8 from time 0."""


@attrs.frozen
class OwnerRow:
    """One row of `owners`."""

    name: str
    kind: str
    cohort: str | None = None
    market_id: int | None = None


@attrs.frozen(eq=False)
class Header:
    """
    Everything a log holds before its first event.

    Attributes:
        run_id: Identity of the run.
        scenario: Name.
        scenario_toml: Resolved TOML.
        seed: Seed.
        path_mode: Path mode.
        start_unix_us: Start, in microseconds of Unix time.
        end_us: End, in microseconds since the start.
        owners: All owners, by number.
        markets: Names of the markets, by number.
        coin_markets: Numbers of the markets whose coin is collateral of somebody.
        prices: Per market: step in microseconds and prices in 1e-8.
        is_history: Whether these are history, and the reference prices come when the log is sealed.
        versions: Versions of package and libraries; not part of any digest.
        cpu_features: Vector extensions; not part of any digest.
    """

    run_id: str
    scenario: str
    scenario_toml: str
    seed: int
    path_mode: str
    start_unix_us: int
    end_us: int
    owners: list[OwnerRow]
    markets: list[str]
    coin_markets: tuple[int, ...]
    prices: list[Prices]
    is_history: bool
    versions: dict[str, str]
    cpu_features: str

    def assets(self) -> list[tuple[int, str, str, int | None]]:
        """Return the rows of `assets`, by number."""
        contracts = [(row + 1, name, "contract", row) for row, name in enumerate(self.markets)]
        coins = [(-row - 1, f"{self.markets[row]} coin", "coin", None) for row in self.coin_markets]
        return sorted([*coins, (0, "USD", "cash", None), *contracts])

    def genesis(self) -> bytes:
        """Return the digest from which the chain of batches starts."""
        owners = "".join(
            f"{number}\t{o.name}\t{o.kind}\t{o.cohort or ''}\t"
            f"{'' if o.market_id is None else o.market_id}\n"
            for number, o in enumerate(self.owners)
        )
        assets = "".join(
            f"{number}\t{name}\t{kind}\t{'' if market is None else market}\n"
            for number, name, kind, market in self.assets()
        )
        digest = hashlib.sha256(_HASH_HEAD)
        for part in (self.scenario_toml, owners, assets, prices_digest(self.prices)):
            encoded = part.encode()
            digest.update(len(encoded).to_bytes(8, "little") + encoded)
        return digest.digest()


class EventLogWriter:
    """
    The sink that a run records into.

    Use `create` for a new log and `reopen` to finish an interrupted one; then `seal` or `fail`.

    Attributes:
        digest: Chained digest of the batches so far.
        event_count: Events recorded so far.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, header: Header, kept: list[tuple[int, str]]
    ) -> None:
        self._connection = connection
        self._start_us = header.start_unix_us
        self._kept = kept  # (last_seq, digest) of batches that are in the file already.
        self._batch_number = 0
        self._first_seq = 0
        self._next_full = BATCH_EVENTS - 1
        self._is_in_transaction = False
        self.digest = header.genesis()
        self.event_count = 0
        self._buffers = {cls: _Buffer(cls) for cls in sorted(EVENT_CLASSES, key=_tag)}

    @classmethod
    def create(cls, path: Path, header: Header) -> "EventLogWriter":
        """
        Make a new log at *path* with its manifest in it.

        Raises:
            LogError: *path* exists already or cannot be written.
        """
        remains = path.with_name(f"{path.name}.wal")
        if remains.exists():
            message = f"{remains} exists: it belongs to a log that is gone; move it away first"
            raise LogError(message)
        draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
        try:
            with _connected(draft) as connection:
                _write_header(connection, header)
                connection.execute("checkpoint")
            os.link(draft, path)  # Unlike a rename, it refuses to replace an existing log.
        except FileExistsError:
            message = f"{path} exists already; liqsim never overwrites a log"
            raise LogError(message) from None
        except (OSError, duckdb.Error) as error:
            message = f"{path} cannot be created: {_first_line(error)}"
            raise LogError(message) from error
        finally:
            draft.unlink(missing_ok=True)
        return cls(_connected(path), header, [])

    @classmethod
    def reopen(cls, path: Path, header: Header) -> "EventLogWriter":
        """
        Open an interrupted log to finish it by re-execution.

        Full batches stay; re-execution must reproduce their digests. A short last batch, left by
        a failure, is reproduced, then written again as part of a full one.

        Raises:
            ResumeError: The log is sealed, or was not made from this header.
        """
        try:
            connection = _connected(path)
            stored = connection.execute("select status, genesis_digest from runs").fetchone()
        except duckdb.Error as error:
            message = f"{path} cannot be opened for writing: {_first_line(error)}"
            raise LogError(message) from error
        if stored is None or stored[0] == "sealed" or stored[1] != header.genesis().hex():
            connection.close()
            is_sealed = stored is not None and stored[0] == "sealed"
            reason = "is sealed already" if is_sealed else "was not made from this scenario"
            message = f"{path} {reason}"
            raise ResumeError(message)
        kept = connection.execute("select last_seq, digest from batches order by 1").fetchall()
        return cls(connection, header, kept)

    def recorder_of(self, cls: type[Event]) -> Callable[[int, int, int, Any], None]:
        """Return the generated function that buffers one event of *cls*."""
        buffer = self._buffers[cls]
        names = [column.field for column in columns_of(cls)]
        scope: dict[str, Any] = {
            "extend": buffer.rows.extend,
            "pack": Struct(f"<{len(buffer.specs)}q").pack,
            "log": self,
            "commit": self._commit_full,
        }
        values = ", ".join(["seq", "at_us", "cause_seq", *(f"event.{name}" for name in names)])
        lines = ["def record(seq, at_us, cause_seq, event):"]
        lines += [f"    extend(pack({values}))"]  # Half the time of an append to each column.
        lines += ["    if seq == log._next_full:", "        commit()"]
        exec(compile("\n".join(lines), f"<recorder of {cls.TAG}>", "exec"), scope)  # noqa: S102 — source is built from declarations only
        return scope["record"]  # type: ignore[no-any-return]

    def record_many(
        self, cls: type[Event], first_seq: int, sim_time_us: int, cause_seq: int, columns: Columns
    ) -> None:
        """Buffer one event of *cls* per row of *columns*, cut where a batch is full."""
        names = [column.field for column in columns_of(cls)]
        count = len(columns[names[0]])
        done = 0
        while done < count:
            take = min(count - done, self._next_full + 1 - (first_seq + done))
            seqs = np.arange(first_seq + done, first_seq + done + take)
            values = [seqs, np.full(take, sim_time_us), np.full(take, cause_seq)]
            values += [columns[name][done : done + take] for name in names]
            self._buffers[cls].rows.extend(np.stack(values, axis=1).astype(_INT).tobytes())
            done += take
            if first_seq + done > self._next_full:
                self._commit_full()

    def close(self) -> None:
        """Leave the file as it is."""
        if self._is_in_transaction:
            self._connection.execute("rollback")
        self._connection.close()

    def seal(self, wall_seconds: float, references: Sequence[Prices] = ()) -> None:
        """
        Commit what is left, mark the log sealed, and leave one file.

        Args:
            wall_seconds: Real time the run took.
            references: The reference prices, of a log whose header holds history.
        """
        self._finish("sealed", wall_seconds, None, references)
        self._connection.close()

    def fail(self, wall_seconds: float, error: str) -> None:
        """Commit what is left as a short batch and mark the log failed."""
        if self._is_in_transaction:
            self._connection.execute("rollback")
        # An event out of range ends the log just before it.
        last = min(buffer.last_legal_seq() for buffer in self._buffers.values())
        for buffer in self._buffers.values():
            buffer.cut_after(last)
        try:
            self._finish("failed", wall_seconds, error)
        finally:
            self._connection.close()

    def _finish(
        self,
        status: str,
        wall_seconds: float,
        error: str | None,
        references: Sequence[Prices] = (),
    ) -> None:
        self._begin()
        batch = self._insert_batch()
        if references:
            _insert_prices(self._connection, "reference_prices", references, self._start_us)
            self._connection.execute(
                "update runs set reference_digest = ?", [prices_digest(references)]
            )
        self._connection.execute(
            "update runs set status = ?, event_count = ?, digest = ?, wall_seconds = ?, error = ?",
            [status, batch.last_seq + 1, batch.digest.hex(), wall_seconds, error],
        )
        self._commit(batch)
        self._connection.execute("checkpoint")

    def _commit_full(self) -> None:
        self._begin()
        self._commit(self._insert_batch())
        self._next_full += BATCH_EVENTS

    def _begin(self) -> None:
        self._connection.execute("begin")
        self._is_in_transaction = True

    def _commit(self, batch: "_Batch") -> None:
        """Commit, and only then forget what is buffered: until here a failure can write it anew."""
        self._connection.execute("commit")
        self._is_in_transaction = False
        self.digest = batch.digest
        self.event_count = batch.last_seq + 1
        if batch.columns:
            self._batch_number += 1
            self._first_seq = batch.last_seq + 1
        for buffer in batch.columns:
            buffer.clear()

    def _insert_batch(self) -> "_Batch":
        """Hash the buffered events into the chain and insert them, unless the file has them."""
        columns = {b: b.snapshot() for b in self._buffers.values() if b.rows}
        if not columns:
            return _Batch(columns, self._first_seq - 1, self.digest)
        for buffer, values in columns.items():
            buffer.check(values)
        last_seq = self._first_seq + sum(len(values[0]) for values in columns.values()) - 1
        batch = _Batch(columns, last_seq, _chained(self.digest, columns))
        if not self._is_kept(batch):
            for buffer, values in columns.items():
                self._connection.register("batch_rows", buffer.arrow(values, self._start_us))
                self._connection.execute(f"insert into {buffer.cls.TAG} select * from batch_rows")
                self._connection.unregister("batch_rows")
            self._connection.execute(
                "insert into batches values (?, ?, ?, ?)",
                [self._batch_number, self._first_seq, last_seq, batch.digest.hex()],
            )
        return batch

    def _is_kept(self, batch: "_Batch") -> bool:
        """Return whether the file holds this batch; check it, and drop a short one that grew."""
        if self._batch_number >= len(self._kept):
            return False
        kept_last, kept_digest = self._kept[self._batch_number]
        is_grown = kept_last < batch.last_seq and self._batch_number == len(self._kept) - 1
        again = batch.digest
        if is_grown:
            again = _chained(
                self.digest, {b: _until(v, kept_last) for b, v in batch.columns.items()}
            )
        if kept_digest != again.hex() or (kept_last != batch.last_seq and not is_grown):
            message = (
                f"batch {self._batch_number} (events {self._first_seq} to {kept_last}) is not what "
                "re-execution gives; other library versions, or an edited log"
            )
            raise ResumeError(message)
        if not is_grown:
            return True
        # The rows come back in this same transaction, so nothing logged is ever lost.
        self._connection.execute(
            "update runs set status = 'running', event_count = null, digest = null, "
            "wall_seconds = null, error = null"
        )
        for buffer in self._buffers.values():
            self._connection.execute(
                f"delete from {buffer.cls.TAG} where seq >= ?", [self._first_seq]
            )
        self._connection.execute("delete from batches where batch_number = ?", [self._batch_number])
        return False


@attrs.frozen(eq=False)
class _Batch:
    """
    Events about to be committed.

    Attributes:
        columns: The columns of each kind that has events.
        last_seq: The last of them; the one before the batch if there are none.
        digest: The chain's digest up to and including them.
    """

    columns: "dict[_Buffer, list[npt.NDArray[np.int64]]]"
    last_seq: int
    digest: bytes


def _chained(previous: bytes, columns: "dict[_Buffer, list[npt.NDArray[np.int64]]]") -> bytes:
    """Return the digest of a batch that follows *previous*; kinds stand in order of their tags."""
    digest = hashlib.sha256(previous)
    for buffer, values in columns.items():
        if len(values[0]):
            digest.update(buffer.cls.TAG.encode() + b"\0" + len(values[0]).to_bytes(8, "little"))
        for column in values:
            digest.update(column.astype(_INT, copy=False).tobytes())
    return digest.digest()


def _until(values: list[npt.NDArray[np.int64]], seq: int) -> list[npt.NDArray[np.int64]]:
    """Return the part of a kind's columns up to event *seq*."""
    count = int(np.searchsorted(values[0], seq, side="right"))
    return [column[:count] for column in values]


class _Buffer:
    """The rows of one kind: int64 values, envelope first, one row after the other."""

    def __init__(self, cls: type[Event]) -> None:
        self.cls = cls
        self.specs: tuple[Column, ...] = (*ENVELOPE, *columns_of(cls))
        self.rows = bytearray()

    def snapshot(self) -> list[npt.NDArray[np.int64]]:
        """Return a copy of the columns."""
        rows = np.frombuffer(self.rows, dtype=_INT).reshape(-1, len(self.specs))
        return list(rows.T.astype(np.int64, order="C"))

    def clear(self) -> None:
        """Start afresh."""
        del self.rows[:]

    def last_legal_seq(self) -> int:
        """Return the event before the first one out of range; a number beyond all if none is."""
        seqs, *_ = columns = self.snapshot()
        illegal = np.zeros(len(seqs), dtype=bool)
        for spec, column in zip(self.specs, columns, strict=True):
            illegal |= (column < spec.low) | (column > spec.high)
        return int(seqs[illegal].min()) - 1 if illegal.any() else 2**62

    def cut_after(self, seq: int) -> None:
        """Drop the events after *seq*."""
        seqs, *columns = self.snapshot()
        keep = int(np.searchsorted(seqs, seq, side="right"))
        del self.rows[keep * seqs.itemsize * (1 + len(columns)) :]

    def check(self, columns: list[npt.NDArray[np.int64]]) -> None:
        """
        Check every column against its declared range.

        Raises:
            BoundError: A value is outside; nothing of the batch is committed.
        """
        for spec, column in zip(self.specs, columns, strict=True):
            low, high = int(column.min()), int(column.max())
            if low < spec.low or high > spec.high:
                value = low if low < spec.low else high
                message = (
                    f"{self.cls.TAG}.{spec.field} was {value}, must be in [{spec.low}, {spec.high}]"
                )
                raise BoundError(message)

    def arrow(self, columns: list[npt.NDArray[np.int64]], start_us: int) -> pa.Table:
        """Return the columns in their SQL types."""
        return pa.table(
            {
                spec.name: _arrow_column(spec, column, start_us)
                for spec, column in zip(self.specs, columns, strict=True)
            }
        )


def _arrow_column(spec: Column, column: npt.NDArray[np.int64], start_us: int) -> pa.Array:
    values = _arrow_values(spec, column, start_us)
    if not spec.is_optional:
        return values
    return pc.if_else(pa.array(column != NO_CAUSE), values, pa.scalar(None, values.type))


def _arrow_values(spec: Column, column: npt.NDArray[np.int64], start_us: int) -> pa.Array:
    if spec.scale is not None:
        return decimal_column(column, spec.scale)
    if spec.members is not None:
        return pa.DictionaryArray.from_arrays(column.astype(np.int8), list(spec.members))
    if spec.is_instant:
        return pa.array(column + start_us).cast(pa.timestamp("us"))
    return pa.array(column)


def decimal_column(column: npt.NDArray[np.int64], scale: int) -> pa.Array:
    """Return int64 units as DECIMAL(18, *scale*), widened without a division."""
    words = np.empty((len(column), 2), dtype=np.int64)
    words[:, 0] = column
    words[:, 1] = column >> 63  # Sign extension to 128 bits.
    return pa.Array.from_buffers(pa.decimal128(18, scale), len(column), [None, pa.py_buffer(words)])


def _write_header(connection: duckdb.DuckDBPyConnection, header: Header) -> None:
    connection.execute("begin")
    for statement in statements():
        connection.execute(statement)
    start = header.start_unix_us
    versions = dict(header.versions)
    connection.execute(
        "insert into runs select ?, ?, ?, ?, ?, make_timestamp(?), make_timestamp(?), 'running', "
        "?, ?, ?, ?, null, null, ?, ?, ?, null, null",
        [
            header.run_id,
            header.scenario,
            header.scenario_toml,
            header.seed,
            header.path_mode,
            start,
            start + header.end_us,
            SCHEMA_VERSION,
            versions.pop("liqsim"),
            json.dumps(versions, sort_keys=True),
            header.cpu_features,
            header.genesis().hex(),
            None if header.is_history else prices_digest(header.prices),
            prices_digest(header.prices) if header.is_history else None,
        ],
    )
    _insert(
        connection,
        "owners",
        {
            "owner_id": pa.array(range(len(header.owners)), pa.int32()),
            "name": pa.array([o.name for o in header.owners]),
            "kind": pa.array([o.kind for o in header.owners]),
            "cohort": pa.array([o.cohort for o in header.owners], pa.string()),
            "market_id": pa.array([o.market_id for o in header.owners], pa.int32()),
        },
    )
    numbers, names, asset_kinds, markets = zip(*header.assets(), strict=True)
    _insert(
        connection,
        "assets",
        {
            "asset_id": pa.array(numbers, pa.int32()),
            "name": pa.array(names),
            "kind": pa.array(asset_kinds),
            "market_id": pa.array(markets, pa.int32()),
        },
    )
    table = "historical_prices" if header.is_history else "reference_prices"
    _insert_prices(connection, table, header.prices, start)
    connection.execute("commit")


def prices_digest(paths: Sequence[Prices]) -> str:
    """Return the hash of the prices of all markets, in hex."""
    digest = hashlib.sha256()
    for number, (step_us, prices) in enumerate(paths):
        digest.update(np.array([number, step_us, len(prices)], dtype=_INT).tobytes())
        digest.update(prices.astype(_INT).tobytes())
    return digest.hexdigest()


def _insert_prices(
    connection: duckdb.DuckDBPyConnection, table: str, paths: Sequence[Prices], start_us: int
) -> None:
    for number, (step_us, prices) in enumerate(paths):
        times = start_us + np.arange(len(prices)) * step_us
        _insert(
            connection,
            table,
            {
                "market_id": pa.array(np.full(len(prices), number, dtype=np.int32)),
                "sim_time": pa.array(times).cast(pa.timestamp("us")),
                "price": decimal_column(prices, 8),
            },
        )


def _insert(connection: duckdb.DuckDBPyConnection, name: str, columns: dict[str, pa.Array]) -> None:
    connection.register("header_rows", pa.table(columns))
    connection.execute(f"insert into {name} select * from header_rows")
    connection.unregister("header_rows")


def _tag(cls: type[Event]) -> str:
    return cls.TAG


def _connected(path: Path) -> duckdb.DuckDBPyConnection:
    """Open a log for writing, without the bar that DuckDB shows on stdout when it is slow."""
    connection = duckdb.connect(path)
    connection.execute("set enable_progress_bar = false")
    return connection


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
