"""Numbers, times, ranges and owners, checked column by column."""

from bisect import bisect_right
from collections.abc import Mapping
from typing import Final, cast

import attrs
import numpy as np
import numpy.typing as npt

from liqsim.eventlog.reader import NULL, Columns, IntArray, LogReader
from liqsim.events import NO_CAUSE, Event
from liqsim.events.schema import ENVELOPE, Column, EventClass, columns_of
from replay.audit.findings import Findings, column_and_text

_BUCKET_FIELDS: Final = frozenset({"bucket_id", "counterparty_id", "payer_id", "account_id"})


@attrs.define
class Structure:
    """
    Checks chunk after chunk of columns.

    Attributes:
        log: The log.
        findings: Where findings go.
        event_count: Events seen so far.
        last_seq: Number of the last event seen.
        last_time_us: Its time.
        gaps: Ranges of missing numbers, in order.
    """

    log: LogReader
    findings: Findings
    event_count: int = 0
    last_seq: int = -1
    last_time_us: int = 0
    gaps: list[tuple[int, int]] = attrs.Factory(list)
    _kinds: dict[str, IntArray] = attrs.field(init=False)
    _market_of: IntArray = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        owners = self.log.owners
        self._kinds = {
            kind: np.array([o.owner_id for o in owners if kind in ("", o.kind)], dtype=np.int64)
            for kind in ("", "bucket", "keeper", "backer", "staker")
        }
        desks = [
            owner.owner_id for owner in owners if owner.kind in ("desk", "vault", "pool", "bidder")
        ]
        self._kinds["keeper"] = np.append(self._kinds["keeper"], np.array(desks, dtype=np.int64))
        size = max((o.owner_id for o in owners), default=-1) + 1
        self._market_of = np.full(size, -1, dtype=np.int64)
        for owner in owners:
            if owner.market_id is not None and owner.owner_id >= 0:
                self._market_of[owner.owner_id] = owner.market_id

    def check(self, kinds: Mapping[type[Event], Columns]) -> None:
        """Check the next chunk."""
        self._check_order(kinds)
        for cls, columns in kinds.items():
            self._check_ranges(cls, columns)
            self._check_owners(cls, columns)

    def check_unnumbered(self) -> None:
        """Check that every row has a number; those without are in no chunk."""
        for cls, count in self.log.unnumbered.items():
            self.findings.add("value_range", None, f"{count} rows of {cls.TAG} have no seq")

    def has(self, seq: int) -> bool:
        """Return whether an event up to the last one seen has the number *seq*."""
        place = bisect_right(self.gaps, (seq, self.last_seq))
        return 0 <= seq <= self.last_seq and not (place and self.gaps[place - 1][1] >= seq)

    def _check_order(self, kinds: Mapping[type[Event], Columns]) -> None:
        seq = np.concatenate([columns["seq"] for columns in kinds.values()])
        time = np.concatenate([columns["sim_time_us"] for columns in kinds.values()])
        order = np.argsort(seq, kind="stable")
        seq, time = seq[order], time[order]
        self.event_count += len(seq)
        steps = np.diff(seq, prepend=self.last_seq)
        for place in np.flatnonzero(steps == 0).tolist():
            self.findings.add("seq_duplicate", int(seq[place]), "the number is used more than once")
        for place in np.flatnonzero(steps > 1).tolist():
            first, last = int(seq[place] - steps[place]) + 1, int(seq[place]) - 1
            self.gaps.append((first, last))
            what = f"event {first} is" if first == last else f"events {first} to {last} are"
            self.findings.add("seq_gap", first, f"{what} missing")
        falls = np.diff(time, prepend=self.last_time_us) < 0
        for place in np.flatnonzero(falls).tolist():
            before = int(time[place - 1]) if place else self.last_time_us
            self.findings.add(
                "time_order", int(seq[place]), f"at {int(time[place])} us, after {before} us"
            )
        end_us = self.log.manifest.end_us
        for place in np.flatnonzero((time < 0) | (time >= end_us)).tolist():
            self.findings.add(
                "time_range", int(seq[place]), f"at {int(time[place])} us, must be in [0, {end_us})"
            )
        self.last_seq, self.last_time_us = int(seq[-1]), int(time[-1])

    def _check_ranges(self, cls: type[Event], columns: Columns) -> None:
        for column in (*ENVELOPE, *columns_of(cast("EventClass", cls))):
            if column.field == "sim_time_us":
                continue  # Reported as time_range.
            array = columns[column.field]
            wrong = (array < column.low) | (array > column.high)
            for row in np.flatnonzero(wrong).tolist():
                self.findings.add(
                    "value_range",
                    int(columns["seq"][row]),
                    f"{cls.TAG}.{column.name} {_explain(int(array[row]), column)}",
                )

    def _check_owners(self, cls: type[Event], columns: Columns) -> None:
        for name in columns:
            if name in _BUCKET_FIELDS:
                self._expect_in(cls, columns, name, "bucket")
            elif name in ("keeper_id", "backer_id", "staker_id"):
                self._expect_in(cls, columns, name, name.removesuffix("_id"))
            elif name in ("owner_id", "receiver_id"):
                self._expect_in(cls, columns, name, "")
        if "market_id" not in columns:
            return
        markets = np.array(list(self.log.markets), dtype=np.int64)
        known = np.isin(columns["market_id"], markets) | _is_nothing(cls, columns, "market_id")
        self._report(cls, columns, "market_id", ~known, "names no market")
        for name in _BUCKET_FIELDS & columns.keys():
            bucket = columns[name]
            valid = known & np.isin(bucket, self._kinds["bucket"])
            # An isolated bucket trades in its own market only.
            home = self._market_of[np.where(valid, bucket, 0)]
            other = valid & (home >= 0) & (home != columns["market_id"])
            self._report(cls, columns, name, other, "names a bucket of another market")

    def _expect_in(self, cls: type[Event], columns: Columns, name: str, kind: str) -> None:
        wrong = ~np.isin(columns[name], self._kinds[kind]) & ~_is_nothing(cls, columns, name)
        self._report(cls, columns, name, wrong, f"names no {kind or 'owner'}")

    def _report(
        self, cls: type[Event], columns: Columns, name: str, wrong: npt.NDArray[np.bool_], why: str
    ) -> None:
        for row in np.flatnonzero(wrong).tolist():
            self.findings.add(
                "owner_unknown",
                int(columns["seq"][row]),
                f"{cls.TAG}.{name} = {int(columns[name][row])} {why}",
            )


def _explain(value: int, column: Column) -> str:
    if value == NULL:
        return "is empty"
    if column.members is not None:
        return f"must be one of {', '.join(column.members)}"
    texts = (column_and_text(column.field, bound)[1] for bound in (value, column.low, column.high))
    return "is {}, must be in [{}, {}]".format(*texts)


def _is_nothing(cls: type[Event], columns: Columns, name: str) -> npt.NDArray[np.bool_]:
    """Return where a field says nothing, and may."""
    shape = columns_of(cast("EventClass", cls))
    may = any(column.field == name and column.is_optional for column in shape)
    nothing: npt.NDArray[np.bool_] = (columns[name] == NO_CAUSE) & may
    return nothing
