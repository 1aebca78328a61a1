"""
The journal: the one door through which state changes. Number, record, apply, in that order.

It owns the port it records through; the event log is one sink, a list is another.
"""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from liqsim.events import EVENT_CLASSES, NO_CAUSE, Event
from liqsim.world.world import World

Columns = dict[str, npt.NDArray[np.int64]]
Record = Callable[[int, int, int, Any], None]
"""Records (seq, sim_time_us, cause_seq, event)."""
Listener = Callable[[Any, int, int], None]
"""Is told of (event, seq, sim_time_us) once it has been applied."""


class Clock(Protocol):
    """What tells the time: simulated, in integer microseconds since the start."""

    @property
    def now(self) -> int:
        """The present instant."""
        ...


class Sink(Protocol):
    """Where entries go."""

    def recorder_of(self, cls: type[Event]) -> Record:
        """Return the function that records one event of *cls*."""
        ...

    def record_many(
        self, cls: type[Event], first_seq: int, sim_time_us: int, cause_seq: int, columns: Columns
    ) -> None:
        """Record one event of *cls* per row of *columns*, numbered from *first_seq*."""
        ...


class Journal:
    """
    Appends events to one run.

    Attributes:
        next_seq: Number of the next event.
    """

    def __init__(self, world: World, sink: Sink, clock: Clock) -> None:
        self.next_seq = 0
        self._world = world
        self._sink = sink
        self._clock = clock
        self._doors = {cls: (sink.recorder_of(cls), world.evolve_of(cls)) for cls in EVENT_CLASSES}
        self._listeners: dict[type[Event], list[Listener]] = {}

    def listen(self, cls: type[Event], listener: Listener) -> None:
        """
        Have *listener* told of every event of *cls*, after it has been applied.

        It takes note, or plans; whoever appended the event is not done yet, so it appends none.
        """
        if cls not in self._listeners:
            listeners = self._listeners[cls] = []
            record, evolve = self._doors[cls]

            def evolve_and_tell(event: Any, seq: int, at_us: int) -> None:
                evolve(event, seq, at_us)
                for each in listeners:
                    each(event, seq, at_us)

            self._doors[cls] = record, evolve_and_tell  # Kinds nobody listens to cost nothing.
        self._listeners[cls].append(listener)

    def append(self, event: Event, cause_seq: int = NO_CAUSE) -> int:
        """Record *event*, apply it, and return its sequence number."""
        seq = self.next_seq
        assert cause_seq < seq
        record, evolve = self._doors[type(event)]
        at_us = self._clock.now
        self.next_seq = seq + 1
        record(seq, at_us, cause_seq, event)
        evolve(event, seq, at_us)
        return seq

    def append_many(self, cls: type[Event], columns: Columns, cause_seq: int = NO_CAUSE) -> range:
        """Record and apply one event of *cls* per row of *columns*; return their numbers."""
        count = len(next(iter(columns.values())))
        first = self.next_seq
        assert cause_seq < first
        self.next_seq = first + count
        self._sink.record_many(cls, first, self._clock.now, cause_seq, columns)
        self._world.evolve_many(cls, columns)
        if cls in self._listeners:
            rows = zip(*(column.tolist() for column in columns.values()), strict=True)
            for seq, row in enumerate(rows, start=first):
                event = cls(**dict(zip(columns, row, strict=True)))
                for each in self._listeners[cls]:
                    each(event, seq, self._clock.now)
        return range(first, first + count)
