"""Sinks for tests: a list instead of a log."""

from collections.abc import Callable
from typing import Any

from liqsim.events import Entry
from liqsim.events.schema import columns_of


class ListSink:
    """Keeps every entry, in order."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def recorder_of(self, cls: type[Any]) -> Callable[[int, int, int, Any], None]:
        def record(seq: int, at_us: int, cause_seq: int, event: Any) -> None:
            self.entries.append(Entry(seq, at_us, cause_seq, event))

        return record

    def record_many(
        self, cls: type[Any], first_seq: int, sim_time_us: int, cause_seq: int, columns: Any
    ) -> None:
        names = [column.field for column in columns_of(cls)]
        rows = zip(*(columns[name].tolist() for name in names), strict=True)
        for offset, row in enumerate(rows):
            self.entries.append(Entry(first_seq + offset, sim_time_us, cause_seq, cls(*row)))

    def of(self, cls: type[Any]) -> list[Any]:
        """Return the events of one class."""
        return [entry.event for entry in self.entries if isinstance(entry.event, cls)]
