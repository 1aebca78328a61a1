"""
Run a scenario and kill the process with SIGKILL at a named point of the log's life.

Usage: python killed_run.py SCENARIO LOG POINT, where POINT is before_first, inside, between,
sealing_before, sealing_after, or at_event:N.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import liqsim.eventlog.writer as writing
from liqsim.api import load_scenario, run_to_log


def die() -> None:
    """End this process as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


class DoomedConnection:
    """Passes everything to DuckDB until a chosen statement has run."""

    def __init__(self, connection: Any, *, fatal: str, count: int) -> None:
        self._connection = connection
        self._fatal = fatal
        self._left = count

    def execute(self, sql: str, *args: Any) -> Any:
        result = self._connection.execute(sql, *args)
        if sql.startswith(self._fatal):
            self._left -= 1
            if self._left == 0:
                die()
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


# After which statement, met for which time, the process dies.
POINTS = {
    "before_first": ("begin", 1),
    "inside": ("insert into batches", 3),
    "between": ("commit", 2),
    "sealing_before": ("update runs", 1),
    "sealing_after": ("commit", 6),
}


def main(scenario: str, log: str, point: str) -> None:
    create = writing.EventLogWriter.create.__func__

    def doomed(cls: Any, path: Path, header: Any) -> Any:
        writer = create(cls, path, header)
        fatal, count = POINTS[point]
        writer._connection = DoomedConnection(writer._connection, fatal=fatal, count=count)
        return writer

    if point.startswith("at_event:"):
        last = int(point.removeprefix("at_event:"))
        recorder_of = writing.EventLogWriter.recorder_of

        def watching(self: Any, cls: Any) -> Any:
            record = recorder_of(self, cls)

            def recorded(seq: int, *rest: Any) -> None:
                record(seq, *rest)
                if seq >= last:
                    die()

            return recorded

        writing.EventLogWriter.recorder_of = watching
    else:
        writing.EventLogWriter.create = classmethod(doomed)
    run_to_log(load_scenario(Path(scenario)), Path(log))


if __name__ == "__main__":
    main(*sys.argv[1:])
