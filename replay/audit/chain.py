"""
The chain of digests, recomputed from the tables by code of its own.

A batch's digest is checked against the digest stored for the batch before it, so that a change in
one batch is reported there and not in every later one.
"""

import hashlib
from collections.abc import Mapping
from itertools import pairwise
from typing import Final, cast

import numpy as np

from liqsim.eventlog.reader import Columns, IntArray, LogReader
from liqsim.events import Event
from liqsim.events.schema import EventClass, columns_of
from replay.audit.findings import Findings
from replay.sights import Model
from replay.terms import Terms

BATCH_SIZE: Final = 65_536
_MAGIC: Final = b"liqsim-log-1\n"


def batch_digest(previous: bytes, kinds: Mapping[type[Event], Columns]) -> bytes:
    """Return the digest of a batch holding *kinds*, whose columns are in seq order."""
    digest = hashlib.sha256(previous)
    for cls in sorted(kinds, key=lambda kind: kind.TAG):
        columns = kinds[cls]
        if not len(columns["seq"]):
            continue
        digest.update(cls.TAG.encode() + b"\0" + _int64(len(columns["seq"])))
        fields = (column.field for column in columns_of(cast("EventClass", cls)))
        for name in ("seq", "sim_time_us", "cause_seq", *fields):
            digest.update(_array(columns[name]))
    return digest.digest()


Prices = Mapping[int, tuple[IntArray, IntArray]]
"""By market: instants and prices."""


def genesis_digest(log: LogReader, prices_digest: str) -> str:
    """Return the first digest of the chain, from scenario, owners, assets and the prices given."""
    owners = "".join(_line(o.owner_id, o.name, o.kind, o.cohort, o.market_id) for o in log.owners)
    assets = "".join(_line(a.asset_id, a.name, a.kind, a.market_id) for a in log.assets)
    digest = hashlib.sha256(_MAGIC)
    for part in (log.manifest.scenario_toml, owners, assets, prices_digest):
        data = part.encode()
        digest.update(_int64(len(data)) + data)
    return digest.hexdigest()


def prices_digest(prices: Prices, terms: Terms | None) -> str:
    """Return the digest of prices by market."""
    digest = hashlib.sha256()
    for market_id, (at_us, price_e8) in sorted(prices.items()):
        digest.update(_int64(market_id) + _int64(_step_us(market_id, at_us, terms)))
        digest.update(_int64(len(price_e8)) + _array(price_e8))
    return digest.hexdigest()


def _step_us(market_id: int, at_us: IntArray, terms: Terms | None) -> int:
    if terms is not None and market_id < len(terms.markets):
        return terms.markets[market_id].step_us
    return int(at_us[1] - at_us[0]) if len(at_us) > 1 else 0


def _line(*values: object) -> str:
    return "\t".join("" if value is None else str(value) for value in values) + "\n"


def _int64(value: int) -> bytes:
    return value.to_bytes(8, "little", signed=True)


def _array(values: IntArray) -> bytes:
    return np.ascontiguousarray(values, dtype="<i8").tobytes()


def check_manifest(log: LogReader, terms: Terms | None, findings: Findings) -> None:
    """Check the manifest against itself, the resolved scenario and the other inputs."""
    manifest = log.manifest
    if terms is not None:
        for name, actual, right in (
            ("scenario", manifest.scenario, terms.name),
            ("seed", manifest.seed, terms.seed),
            ("path_mode", manifest.path_mode, terms.path_mode),
            ("start_at", manifest.start_unix_us, terms.start_unix_us),
            ("end_at", manifest.end_us, terms.end_us),
            ("markets", list(log.markets.values()), [market.name for market in terms.markets]),
        ):
            findings.expect("manifest", None, name, actual, right)
        _check_models(terms, findings)
    given = _check_prices(log, terms, findings)
    # The stored digest goes in, so that changed prices are not reported twice.
    genesis = genesis_digest(log, given)
    what = "the manifest's genesis digest"
    findings.expect("genesis_digest", None, what, manifest.genesis_digest, genesis)
    if genesis == manifest.genesis_digest and (terms is None or terms.seed == manifest.seed):
        # Likewise: with another scenario or seed the identity cannot fit.
        identity = f"{manifest.scenario_toml}\n{manifest.seed}".encode()
        run_id = hashlib.sha256(identity).hexdigest()[:16]
        findings.expect("manifest", None, "run_id", manifest.run_id, run_id)
    _check_status(log, findings)


def _check_models(terms: Terms, findings: Findings) -> None:
    """Check that models are those of their hashes, and have not seen the run."""
    for row in terms.mitigations:
        if row.kind == "predictive":
            model = Model.of(row.word("content"))
            findings.expect("manifest", None, "sha256", row.word("sha256"), model.sha256)
            if terms.seed in model.seeds:
                message = f"the model of {row.name!r} was trained on seed {terms.seed}, the run's"
                findings.add("manifest", None, message)


def _check_prices(log: LogReader, terms: Terms | None, findings: Findings) -> str:
    """Check historical and reference prices; return the digest of those that the run was given."""
    manifest = log.manifest
    is_purging = terms is not None and terms.path_mode == "purged" and not terms.baseline
    for name, prices, stored, is_there in (
        ("historical", log.historical_prices(), manifest.history_digest, is_purging),
        (
            "reference",
            log.reference_prices(),
            manifest.reference_digest,
            not is_purging or manifest.status == "sealed",
        ),
    ):
        right = prices_digest(prices, terms) if is_there or prices else None
        what = f"the manifest's digest of the {name} prices"
        findings.expect("reference_digest", None, what, stored, right)
        if is_there:
            _check_steps(log, name, prices, terms, findings)
    if terms is not None and terms.baseline:
        what = "the digest of the reference prices"
        findings.expect("manifest", None, what, manifest.reference_digest, terms.baseline)
    return (manifest.history_digest if is_purging else manifest.reference_digest) or ""


def _check_steps(
    log: LogReader, name: str, prices: Prices, terms: Terms | None, findings: Findings
) -> None:
    """Check what the digest does not cover: when each price is said to hold."""
    for market_id in log.markets:
        at_us = prices[market_id][0] if market_id in prices else np.zeros(0, np.int64)
        step = _step_us(market_id, at_us, terms)
        if not len(at_us) or np.any(at_us != np.arange(len(at_us)) * step):
            findings.add(
                "reference_digest", None,
                f"{name} prices of market {market_id} are not one per {step} us from the start",
            )  # fmt: skip
        elif len(at_us) * step < log.manifest.end_us:
            findings.add(
                "reference_digest", None,
                f"{name} prices of market {market_id} end before the run does",
            )  # fmt: skip


def _check_status(log: LogReader, findings: Findings) -> None:
    manifest = log.manifest
    is_over = manifest.status in ("sealed", "failed")
    if not is_over and manifest.status != "running":
        findings.add("manifest", None, f"status is {manifest.status!r}")
    for name, value, is_expected in (
        ("event_count", manifest.event_count, is_over),
        ("digest", manifest.digest, is_over),
        ("wall_seconds", manifest.wall_seconds, is_over),
        ("error", manifest.error, manifest.status == "failed"),
    ):
        if (value is not None) != is_expected:
            message = f"{name} is {value!r} although the status is {manifest.status}"
            findings.add("manifest", None, message)


def check_batches(log: LogReader, event_count: int, findings: Findings) -> None:
    """Check that batches partition the events, and that the manifest ends the chain."""
    batches = log.batches
    for number, batch in enumerate(batches):
        name = f"batch {batch.batch_number}"
        findings.expect("batch_range", None, f"{name}: number", batch.batch_number, number)
        size = batch.last_seq - batch.first_seq + 1
        is_last = number == len(batches) - 1
        if not 1 <= size <= BATCH_SIZE or (size < BATCH_SIZE and not is_last):
            findings.add("batch_range", batch.first_seq, f"{name} has {size} events")
    first = batches[0].first_seq if batches else 0
    findings.expect("batch_range", None, "first_seq of the first batch", first, 0)
    for left, right in pairwise(batches):
        name = f"batch {right.batch_number}: first_seq"
        findings.expect("batch_range", None, name, right.first_seq, left.last_seq + 1)
    last = batches[-1].last_seq if batches else -1
    findings.expect("batch_range", None, "last_seq of the last batch", last, log.last_seq)
    manifest = log.manifest
    if manifest.event_count is not None:
        findings.expect("event_count", None, "event_count", manifest.event_count, event_count)
    if manifest.digest is not None:
        final = batches[-1].digest if batches else manifest.genesis_digest
        findings.expect("final_digest", None, "the manifest's digest", manifest.digest, final)


def check_digests(
    log: LogReader, kinds: Mapping[type[Event], Columns], low: int, high: int, findings: Findings
) -> None:
    """Check the digest of every batch that starts within [*low*, *high*], all of it in *kinds*."""
    for number, batch in enumerate(log.batches):
        if not low <= batch.first_seq <= high:
            continue
        stored = log.batches[number - 1].digest if number else log.manifest.genesis_digest
        rows = {
            cls: _between(columns, batch.first_seq, batch.last_seq)
            for cls, columns in kinds.items()
        }
        try:
            digest = batch_digest(bytes.fromhex(stored), rows).hex()
        except ValueError:
            digest = "unknown, the digest before it is malformed"
        what = f"digest of batch {batch.batch_number} (to event {batch.last_seq})"
        findings.expect("batch_digest", batch.first_seq, what, batch.digest, digest)


def _between(columns: Columns, first: int, last: int) -> Columns:
    low, high = np.searchsorted(columns["seq"], (first, last + 1))
    return {name: array[low:high] for name, array in columns.items()}
