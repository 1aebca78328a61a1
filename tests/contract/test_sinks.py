"""
What every sink owes the journal: what was recorded comes back equal and in order.

The suite runs over the list of the tests and over the event log; what only a log can do (batches,
refusals) follows below it.
"""

import struct
from collections.abc import Callable, Iterator
from enum import IntEnum
from pathlib import Path
from typing import Any, get_type_hints

import attrs
import duckdb
import numpy as np
import pytest
from support.scenarios import engine_cascade, load, small_scenario
from support.sinks import ListSink

from liqsim.errors import BoundError
from liqsim.eventlog.writer import BATCH_EVENTS, EventLogWriter
from liqsim.events import (
    EVENT_CLASSES,
    NO_CAUSE,
    DepthChanged,
    Entry,
    Event,
    FundDrawn,
    FundsDeposited,
    MarkBasis,
    OracleUpdated,
    UpdateReason,
)
from liqsim.events.schema import columns_of
from liqsim.journal import Sink
from liqsim.processes.context import Context, Priority, Process
from liqsim.runner import Simulation, prepare, run_to_log
from replay.log import Log


@attrs.frozen
class Port:
    """A sink, and how to read back what it got."""

    sink: Sink
    read: Callable[[], list[Entry]]


def _writer(path: Path) -> EventLogWriter:
    return EventLogWriter.create(path, prepare(load(small_scenario())).header())


def _read(path: Path) -> list[Entry]:
    with Log(path) as log:
        return list(log.entries())


@pytest.fixture(params=["list", "log"])
def port(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Port]:
    if request.param == "list":
        sink = ListSink()
        yield Port(sink, lambda: sink.entries)
        return
    path = tmp_path / "contract.duckdb"
    writer = _writer(path)

    def read() -> list[Entry]:
        writer.seal(0.0)
        return _read(path)

    yield Port(writer, read)


def _event(cls: type[Any], choose: Callable[[int, int], int]) -> Event:
    """Return an event of *cls* whose fields are chosen from their declared ranges."""
    hints = get_type_hints(cls)
    values: dict[str, int] = {}
    for column in columns_of(cls):
        kind, value = hints[column.field], choose(column.low, column.high)
        values[column.field] = kind(value) if issubclass(kind, IntEnum) else value
    event: Event = cls(**values)
    return event


def _record(sink: Sink, entries: list[Entry]) -> None:
    recorders = {cls: sink.recorder_of(cls) for cls in EVENT_CLASSES}
    for entry in entries:
        recorders[type(entry.event)](entry.seq, entry.sim_time_us, entry.cause_seq, entry.event)


def _deposits(first_seq: int, count: int) -> dict[str, Any]:
    numbers = np.arange(first_seq, first_seq + count)
    return {"owner_id": numbers % 2**31, "amount_uusd": numbers * 3}


CHOICES: dict[str, Callable[[int, int], int]] = {
    "lowest": lambda low, _high: low,
    "highest": lambda _low, high: high,
    "middle": lambda low, high: (low + high) // 2 + (high > low),
}


@pytest.mark.parametrize("choice", CHOICES)
def test_every_kind_comes_back_equal_at_the_bounds_of_its_fields(port: Port, choice: str) -> None:
    events = [_event(cls, CHOICES[choice]) for cls in EVENT_CLASSES]
    entries = [
        Entry(seq, 7 * seq, seq - 1 if seq % 2 else NO_CAUSE, event)
        for seq, event in enumerate(events)
    ]

    _record(port.sink, entries)

    assert port.read() == entries


def test_kinds_that_take_turns_come_back_in_order(port: Port) -> None:
    kinds = [*EVENT_CLASSES, *reversed(EVENT_CLASSES), *EVENT_CLASSES[::3]]
    entries = [
        Entry(seq, 1_000, NO_CAUSE, _event(cls, lambda low, high, n=seq: min(low + n + 1, high)))
        for seq, cls in enumerate(kinds)
    ]

    _record(port.sink, entries)

    assert port.read() == entries


def test_many_at_once_are_as_many_one_by_one(port: Port) -> None:
    first = Entry(0, 0, NO_CAUSE, FundsDeposited(9, 1))
    last = Entry(6, 60, 2, FundDrawn(1, 5, 3, 0))

    _record(port.sink, [first])
    port.sink.record_many(FundsDeposited, 1, 50, 0, _deposits(1, 5))
    _record(port.sink, [last])

    many = [Entry(seq, 50, 0, FundsDeposited(seq, 3 * seq)) for seq in range(1, 6)]
    assert port.read() == [first, *many, last]


def test_none_at_once_are_nothing(port: Port) -> None:
    port.sink.record_many(FundsDeposited, 0, 0, NO_CAUSE, _deposits(0, 0))

    assert port.read() == []


def test_a_whole_run_is_the_same_in_every_sink(port: Port) -> None:
    prepared = prepare(load(engine_cascade()))
    other = ListSink()

    Simulation(prepared, port.sink).run()
    Simulation(prepared, other).run()

    assert port.read() == other.entries
    assert len(other.entries) > 200


# Batches ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parts",
    [
        [BATCH_EVENTS - 1],
        [BATCH_EVENTS],
        [BATCH_EVENTS + 1],
        [BATCH_EVENTS - 1, 1],
        [BATCH_EVENTS - 1, 2, 3],
        [10, 2 * BATCH_EVENTS],
        [3 * BATCH_EVENTS],
        [BATCH_EVENTS, BATCH_EVENTS],
    ],
    ids=lambda parts: "+".join(map(str, parts)),
)
def test_a_batch_ends_after_exactly_its_number_of_events(parts: list[int], tmp_path: Path) -> None:
    path, total = tmp_path / "batches.duckdb", sum(parts)
    writer = _writer(path)
    done = 0
    for part in parts:
        writer.record_many(FundsDeposited, done, 5, NO_CAUSE, _deposits(done, part))
        done += part
        # What is committed is whole batches, whatever came at once.
        assert writer.event_count == done // BATCH_EVENTS * BATCH_EVENTS
    writer.seal(0.0)

    with Log(path) as log:
        spans = [(b.batch_number, b.first_seq, b.last_seq) for b in log.reader.batches]
        columns = log.reader.columns(FundsDeposited)
        assert log.manifest.event_count == total
    starts = range(0, total, BATCH_EVENTS)
    ends = [min(start + BATCH_EVENTS, total) - 1 for start in starts]
    assert spans == list(zip(range(len(starts)), starts, ends, strict=True))
    assert columns["seq"].tolist() == list(range(total))
    assert columns["amount_uusd"].tolist() == [3 * seq for seq in range(total)]


def test_the_digest_does_not_depend_on_how_events_came(tmp_path: Path) -> None:
    total = BATCH_EVENTS + 20
    digests = []
    for name, part in (("singly", 1), ("in_parts", 1_000), ("at_once", total)):
        writer = _writer(tmp_path / f"{name}.duckdb")
        record = writer.recorder_of(FundsDeposited)
        for first in range(0, total, part):
            count = min(part, total - first)
            if part == 1:
                record(first, 5, NO_CAUSE, FundsDeposited(first, 3 * first))
            else:
                writer.record_many(FundsDeposited, first, 5, NO_CAUSE, _deposits(first, count))
        writer.seal(0.0)
        digests.append(writer.digest)

    assert len(set(digests)) == 1


def test_a_batch_of_mixed_kinds_ends_where_all_of_them_reach_its_size(tmp_path: Path) -> None:
    path = tmp_path / "mixed.duckdb"
    writer = _writer(path)
    half = BATCH_EVENTS // 2
    change = DepthChanged(0, 10**6, 1)

    writer.record_many(FundsDeposited, 0, 0, NO_CAUSE, _deposits(0, half))
    record = writer.recorder_of(DepthChanged)
    for seq in range(half, BATCH_EVENTS):
        assert writer.event_count == 0
        record(seq, 9, NO_CAUSE, change)
    assert writer.event_count == BATCH_EVENTS
    record(BATCH_EVENTS, 9, NO_CAUSE, change)
    writer.seal(0.0)

    with Log(path) as log:
        assert [b.last_seq for b in log.reader.batches] == [BATCH_EVENTS - 1, BATCH_EVENTS]


# What no log takes --------------------------------------------------------------------------------


def _illegal_values() -> Iterator[tuple[type[Any], str, int]]:
    """Yield, per illegal value next to a range, the first field that refuses it."""
    values = set()
    for cls in EVENT_CLASSES:
        for column in columns_of(cls):
            for value in (column.low - 1, column.high + 1):
                if column.members is None and value not in values:
                    values.add(value)
                    yield cls, column.field, value


@pytest.mark.parametrize(
    ("cls", "field", "value"),
    list(_illegal_values()),
    ids=lambda part: part.TAG if isinstance(part, type) else str(part),
)
def test_a_field_out_of_range_is_refused_by_name_and_bound(
    cls: type[Any], field: str, value: int, tmp_path: Path
) -> None:
    path = tmp_path / "refused.duckdb"
    writer = _writer(path)
    legal = [Entry(seq, seq, NO_CAUSE, FundsDeposited(seq, 1)) for seq in range(3)]
    wrong = attrs.evolve(_event(cls, CHOICES["middle"]), **{field: value})
    _record(writer, [*legal, Entry(3, 3, NO_CAUSE, wrong), attrs.evolve(legal[0], seq=4)])

    with pytest.raises(BoundError, match=rf"{cls.TAG}\.{field} was {value}, must be in \["):
        writer.seal(0.0)
    writer.fail(0.0, "refused")

    with Log(path) as log:
        assert (log.manifest.status, log.manifest.event_count) == ("failed", 3)
    assert _read(path) == legal


class Saboteur:
    """An actor that appends an event with a field out of range, half-way."""

    def __init__(self, reports_count: int, *, then_s: int) -> None:
        self._reports_count = reports_count
        self._then_us = then_s * 1_000_000
        self.seq = -1

    def __call__(self, context: Context) -> Process:
        yield context.wake(self._then_us, Priority.ACTOR)
        price = 100 * 10**8
        wrong = OracleUpdated(
            0, price, UpdateReason.HEARTBEAT, self._reports_count, 0, 0, 0, price,
            price, MarkBasis.INDEX, 0, 0, price,
        )  # fmt: skip
        self.seq = context.journal.next_seq
        context.journal.append(wrong)


@pytest.mark.parametrize(
    ("reports_count", "error"),
    [(-1, BoundError), (2**31, BoundError), (2**70, struct.error)],
)
def test_a_run_that_leaves_a_range_ends_as_failed_and_keeps_what_came_before(
    reports_count: int, error: type[Exception], tmp_path: Path
) -> None:
    scenario = load(engine_cascade())
    undisturbed = ListSink()
    Simulation(prepare(scenario), undisturbed).run()
    path = tmp_path / "failed.duckdb"
    saboteur = Saboteur(reports_count, then_s=60)

    with pytest.raises((BoundError, error)):
        run_to_log(scenario, path, actors=[saboteur])

    assert 50 < saboteur.seq < len(undisturbed.entries)
    with Log(path) as log:
        assert log.manifest.status == "failed"
        assert log.verify() == []
    assert _read(path) == undisturbed.entries[: saboteur.seq]


def test_no_bar_is_shown_where_a_slow_write_would_print_one(tmp_path, monkeypatch):
    connect = duckdb.connect

    def as_a_shell(path):
        connection = connect(path)
        connection.execute("set enable_progress_bar = true")  # As DuckDB has it under python -c.
        return connection

    monkeypatch.setattr(duckdb, "connect", as_a_shell)
    writer = _writer(tmp_path / "log.duckdb")

    asked = writer._connection.execute("select current_setting('enable_progress_bar')")
    assert asked.fetchall() == [(False,)]
