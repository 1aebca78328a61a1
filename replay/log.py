"""An open log with everything the read side can do with it."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import pyarrow as pa

from liqsim.eventlog.reader import LogReader, Manifest, open_log
from liqsim.events import Entry
from replay.audit.findings import Findings
from replay.fold import Fold, fold
from replay.outcome import outcome
from replay.query import admitted, query
from replay.state import State, state_at
from replay.verify import Finding, Progress, audit, verify_open
from replay.views import install_comments, install_views


class Log:
    """
    A log opened for reading; use it as a context manager.

    >>> with Log("runs/my_run.duckdb") as log:  # doctest: +SKIP
    ...     log.sql("select market, sum(liquidated_usd) from liquidations group by market").df()

    Args:
        path: The log.

    Raises:
        LogInUseError: Another process is writing it.
        LogError: It is not there, not a log, or a log of a newer schema.
    """

    def __init__(self, path: str | Path) -> None:
        self.reader: LogReader = open_log(path)

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open the log at *path*."""
        return cls(path)

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
        self.reader.close()

    @property
    def manifest(self) -> Manifest:
        """What the log says about its run."""
        return self.reader.manifest

    def sql(self, text: str) -> duckdb.DuckDBPyRelation:
        """Return one SELECT or EXPLAIN over tables and views as a lazy relation."""
        install_views(self.reader)
        return admitted(self.reader, text)

    def query(self, text: str) -> pa.Table:
        """Return the result of one SELECT or EXPLAIN."""
        install_views(self.reader)
        return query(self.reader, text)

    def comment_views(self) -> None:
        """
        Make the meaning of the views and of their columns known to `duckdb_columns()`.

        It takes about as long as opening the log, so it is left to whoever wants it.
        """
        install_views(self.reader)
        install_comments(self.reader)

    def entries(self, first_seq: int = 0, last_seq: int | None = None) -> Iterator[Entry]:
        """Yield every event in its envelope, in seq order, within a range of seq."""
        return self.reader.entries(first_seq, last_seq)

    def fold(self, last_seq: int | None = None) -> Fold:
        """Return what the events, up to one of them, add up to."""
        return fold(self.reader.entries(0, last_seq))

    def state_at(self, at: str | datetime | None = None, *, seq: int | None = None) -> State:
        """Return the state at a UTC time, or right after event *seq*; at the end by default."""
        return state_at(self.reader, at, seq=seq)

    def liquidation_ladder(
        self, at: str | datetime | None = None, *, seq: int | None = None
    ) -> duckdb.DuckDBPyRelation:
        """
        Return what would become due per 1 % of price, against the book, and b: ex ante.

        At a UTC time, or right after event *seq*; at the end by default. The columns are those of
        `liquidation_ladder_at`; the view `liquidation_ladder` has the same for start and end.

        Raises:
            QueryError: Both are given, or the log does not reach there.
        """
        return self.ladder_of(self.state_at(at, seq=seq))

    def ladder_of(self, state: State) -> duckdb.DuckDBPyRelation:
        """Return the `liquidation_ladder` of a state of this log."""
        install_views(self.reader)
        return self.reader.relation(
            f"from liquidation_ladder_at({state.seq}, timestamp '{state.at:%Y-%m-%d %H:%M:%S.%f}') "
            "order by market, side, step"
        )

    def outcome(self) -> dict[str, Any]:
        """Return what the run came to."""
        return outcome(self.reader)

    def verify(self, progress: Progress | None = None) -> list[Finding]:
        """Return everything that is wrong with the log; *progress* hears how far it is."""
        return verify_open(self.reader, progress)

    def audit(self, progress: Progress | None = None) -> Findings:
        """Return that, and how many decisions of which kinds nobody here can work out."""
        return audit(self.reader, progress)
