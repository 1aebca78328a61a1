"""
An oracle that plans nothing: it takes every sample of every source in turn, as it arrives.

Written from the description of the oracle, in plain Python. It shares the keyed draws (which are
the scenario's, not the planner's) and the book's clock function, and no other rule.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

import attrs

from liqsim.events import UpdateReason
from liqsim.rng import Stream, lognormal_us, normal_table
from liqsim.scenario.model import Latency, Oracle, Source
from liqsim.world.markets import BookState

Displacement = Callable[[BookState, int], float]


@attrs.frozen
class Past:
    """
    What flow did to one book, in order of time.

    Attributes:
        states: The book after each fill and each change of depth; before the first it is calm.
        displacement: The book's clock function.
    """

    states: Sequence[BookState]
    displacement: Displacement

    def before(self, at_us: int) -> BookState | None:
        """Return the newest state strictly before *at_us*, or None if the book was untouched."""
        found = None
        for state in self.states:
            if state.at_us < at_us:
                found = state
        return found

    def displaced_at(self, at_us: int) -> float:
        """Return what a source that samples at *at_us* sees of our flow."""
        state = self.before(at_us)
        return 0.0 if state is None else self.displacement(state, at_us)


@attrs.frozen
class Report:
    """
    One sample of one source on its way.

    Attributes:
        arrives_us: When the oracle has it.
        sampled_us: When it was taken.
        shows_us: Just before this the displacement stood that it shows; 0 if it shows none.
        source: Number of the source.
        price_e8: What the source saw.
        calm_e8: What it would have seen without displacement.
    """

    arrives_us: int
    sampled_us: int
    shows_us: int
    source: int
    price_e8: int
    calm_e8: int


@attrs.frozen
class Update:
    """A publication; the fields mean what they mean in `liqsim.mechanics.oracle.Publication`."""

    at_us: int
    price_e8: int
    reason: UpdateReason
    reports_count: int
    sampled_at_us: int
    shows_us: int
    needs_displacement: bool


def updates(
    spec: Oracle,
    market: str,
    *,
    seed: int,
    reference_at: Callable[[int], int],
    past: Past,
    end_us: int,
    census: Counter[str],
) -> list[Update]:
    """Return everything the oracle of *market* publishes before *end_us*; count cases."""
    reports: list[Report] = []
    for number, source in enumerate(spec.sources):
        reports += _reports(source, number, market, seed, reference_at, past, end_us)
    reports.sort(key=lambda report: report.arrives_us)
    published: list[Update] = []
    held: dict[int, Report] = {}
    last_calm = 0
    is_news = False  # Whether a report has arrived since the last publication.
    chance_us = 0  # When the heartbeat may next publish.
    misses = Stream(seed, f"oracle.{market}", "heartbeat")
    for at_us, group in groupby(reports, key=lambda report: report.arrives_us):
        while is_news and chance_us < min(at_us, end_us):
            if not _is_missed(spec, misses, chance_us, census):
                published.append(_update(chance_us, UpdateReason.HEARTBEAT, held))
                last_calm = _median([report.calm_e8 for report in held.values()])
                is_news = False
            chance_us += spec.heartbeat_us
        if at_us >= end_us:
            return published
        _take(held, list(group), census)
        is_news = bool(published)
        reason = _reason(spec, published, held, is_due=at_us >= chance_us)
        if reason is UpdateReason.HEARTBEAT and _is_missed(spec, misses, at_us, census):
            chance_us, reason = at_us + spec.heartbeat_us, None
        if reason is not None:
            price = _median([report.price_e8 for report in held.values()])
            calm = _median([report.calm_e8 for report in held.values()])
            needs = reason is UpdateReason.DEVIATION and price != published[-1].price_e8
            needs = needs and (calm == last_calm or not _deviates(spec, last_calm, calm))
            census["by displacement alone"] += needs and at_us < chance_us
            published.append(_update(at_us, reason, held, needs_displacement=needs))
            last_calm, is_news = calm, False
            chance_us = at_us + spec.heartbeat_us
    while is_news and chance_us < end_us:
        if not _is_missed(spec, misses, chance_us, census):
            published.append(_update(chance_us, UpdateReason.HEARTBEAT, held))
            is_news = False
        chance_us += spec.heartbeat_us
    return published


def _is_missed(spec: Oracle, misses: Stream, at_us: int, census: Counter[str]) -> bool:
    """Return whether the draw of an instant lets a heartbeat fail."""
    is_missed = misses.at(0, at_us) < spec.heartbeat_miss_e6 / 10**6
    census["heartbeats missed"] += is_missed
    return is_missed


def _reports(
    source: Source,
    number: int,
    market: str,
    seed: int,
    reference_at: Callable[[int], int],
    past: Past,
    end_us: int,
) -> Iterable[Report]:
    actor = f"oracle.{market}.{source.name}"
    times = range(source.offset_us, end_us, source.period_us)
    # The draws of a source are numbered by its samples, also by those that an outage suppresses.
    noises = Stream(seed, actor, "noise").quantiles(0, len(times)).tolist()
    delays = Stream(seed, actor, "latency").quantiles(0, len(times)).tolist()
    pass_through, noise = source.pass_through_e6 / 10**6, source.noise_e6 / 10**6
    for sampled_us, noise_row, delay_row in zip(times, noises, delays, strict=True):
        if any(start <= sampled_us < end for start, end in source.outages):
            continue
        reference, error = reference_at(sampled_us), normal_table()[noise_row] * noise
        shows_us = max(sampled_us - source.catch_up_us, 0)  # Before the start it was calm.
        displaced = pass_through * past.displaced_at(shows_us)
        yield Report(
            arrives_us=sampled_us + _delay_us(source.latency, delay_row),
            sampled_us=sampled_us,
            shows_us=shows_us if pass_through else 0,
            source=number,
            price_e8=_seen(reference, displaced + error),
            calm_e8=_seen(reference, error),
        )


def _delay_us(latency: Latency, row: int) -> int:
    if latency.median_us == latency.p99_us:
        return latency.median_us
    return lognormal_us(latency.median_us, latency.p99_us, normal_table()[row])


def _seen(reference_e8: int, exponent: float) -> int:
    return max(1, round(reference_e8 * math.exp(exponent))) if exponent else reference_e8


def _take(held: dict[int, Report], arrived: list[Report], census: Counter[str]) -> None:
    """Let every report of one instant replace an older one of the same source."""
    census["ties of arrivals"] += len(arrived) > 1
    for report in arrived:
        before = held.get(report.source)
        if before is None or before.sampled_us < report.sampled_us:
            held[report.source] = report
        else:
            census["out-of-order arrivals"] += 1


def _reason(
    spec: Oracle, published: list[Update], held: dict[int, Report], *, is_due: bool
) -> UpdateReason | None:
    """Return why the oracle publishes at an arrival, or None if it does not."""
    if not published:
        return UpdateReason.FIRST if len(held) >= spec.quorum else None
    if _deviates(spec, published[-1].price_e8, _median([r.price_e8 for r in held.values()])):
        return UpdateReason.DEVIATION
    return UpdateReason.HEARTBEAT if is_due else None


def _deviates(spec: Oracle, last_e8: int | None, median_e8: int) -> bool:
    assert last_e8 is not None
    return abs(median_e8 - last_e8) * 10**6 >= spec.deviation_e6 * last_e8


def _median(prices: list[int]) -> int:
    ranked, half = sorted(prices), len(prices) // 2
    return ranked[half] if len(ranked) % 2 else (ranked[half - 1] + ranked[half]) // 2


def _update(
    at_us: int, reason: UpdateReason, held: dict[int, Report], *, needs_displacement: bool = False
) -> Update:
    # Of two in the middle, the newer report's time is told.
    ranked = sorted(held.values(), key=lambda r: (r.price_e8, r.sampled_us, r.shows_us))
    middle = (ranked[(len(ranked) - 1) // 2], ranked[len(ranked) // 2])
    sampled_us = max(report.sampled_us for report in middle)
    shows_us = max(report.shows_us for report in middle)
    price = _median([report.price_e8 for report in ranked])
    return Update(at_us, price, reason, len(ranked), sampled_us, shows_us, needs_displacement)
