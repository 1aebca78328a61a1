"""
The oracle: reports of n sources, their median, and the search for its next publication.

Source s samples at offset + k x period, sees reference x exp(pass-through x displacement + noise)
with the displacement that stood just before its catch-up began, and reports after a latency. The
oracle holds the newest sample of each source and publishes when the median has moved by the
deviation threshold since its last publication, or when the heartbeat has run out, a report has
arrived since, and the draw of that instant does not miss it.

Sample times, noise and latencies are exogenous, so they are laid out once; the search runs over
float medians without displacement, widened by the displacement in force, and every candidate is
decided in integers. Nothing is polled and a plan leaves no trace until it fires.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable
from copy import copy
from functools import cache
from typing import Final

import attrs
import numpy as np
import numpy.typing as npt

from liqsim.events import UpdateReason
from liqsim.mechanics.liquidity import Displacement
from liqsim.mechanics.paths import ReferencePath
from liqsim.mechanics.purged import PurgedPath
from liqsim.rng import Stream, lognormal_us, normal_table
from liqsim.scenario.model import Latency, Oracle, Source
from liqsim.units import RATIO_SCALE
from liqsim.world.markets import Market
from liqsim.world.views import float_view, int_view

_NEAR_LOOK: Final = 16
_LOOK_GROWTH: Final = 8
_LOG_ERROR: Final = 1e-9
"""Bound on the error of a proposed log median."""
_ROUNDING_E8: Final = 2.0
"""Bound on what rounding does to a median, in units of price."""


@attrs.frozen
class Publication:
    """
    An update that the oracle will publish unless a trade changes its reports first.

    Attributes:
        at_us: When it is published.
        price_e8: The median.
        reason: Why.
        reports_count: Sources behind it.
        sampled_at_us: When the median report was sampled; of two in the middle, the newer.
        shows_us: The instant just before which the displacement stood that the median report
            shows; of two in the middle, the later; 0 if it shows none.
        needs_displacement: Whether it would not be published on prices without displacement.
        instant: The arrival that completes it; internal to the feed.
        calm_e8: The median without displacement; internal to the feed.
    """

    at_us: int
    price_e8: int
    reason: UpdateReason
    reports_count: int
    sampled_at_us: int
    shows_us: int
    needs_displacement: bool
    instant: int
    calm_e8: int


class Feed:
    """
    The oracle of one market.

    Args:
        spec: Its parameters.
        name: Market name, which keys its draws.
        seed: The run's seed.
        path: Path of the market: its reference, or its history if that is purged.
        purged: What takes the displacement out of history; None if *path* is the reference.
        end_us: End of the run.
        market: Live market, of whose history the feed sees what its sources saw.
        displacement: The book's displacement function.
    """

    def __init__(
        self,
        spec: Oracle,
        name: str,
        *,
        seed: int,
        path: ReferencePath,
        end_us: int,
        market: Market,
        displacement: Displacement,
        purged: PurgedPath | None = None,
    ) -> None:
        self._spec = spec
        self._path = path
        self._purged = purged
        self._end_us = end_us
        self._market = market
        self._displacement = displacement
        self._landing = Stream(seed, f"oracle.{name}", "landing")
        self._misses = Stream(seed, f"oracle.{name}", "heartbeat")
        self._miss = spec.heartbeat_miss_e6 / RATIO_SCALE
        purged_step = None if purged is None else path.step_us
        self._sources = [_Samples(s, name, seed, end_us, purged_step) for s in spec.sources]
        self._lay_out()
        self._next = 0
        self._published_instant = -1
        self._last_price = 0
        self._last_calm = 0
        self._last_at = 0
        self._decided_us = -1
        self._least_catch_up_us = min(source.catch_up_us for source in spec.sources)
        self._shares = tuple({s.spec.pass_through_e6 / RATIO_SCALE: None for s in self._sources})

    def undisplaced(self) -> "Feed":
        """
        Return the same feed with sources that show no displacement.

        To be called before the first publication: samples, noise and delays are shared. Trades
        change nothing in it but a reference that is found as the run goes.
        """
        feed = copy(self)
        sources = [source.undisplaced() for source in self._sources]
        market = Market(1) if self._purged is None else self._market
        vars(feed).update(_market=market, _sources=sources, _shares=(0.0,))
        return feed

    def _lay_out(self) -> None:
        """Merge the sources' arrivals into instants and their undisplaced medians."""
        arrivals = np.concatenate([s.arrivals for s in self._sources])
        owner = np.concatenate([np.full(len(s.arrivals), n) for n, s in enumerate(self._sources)])
        row = np.concatenate([np.arange(len(s.arrivals)) for s in self._sources])
        order = np.argsort(arrivals, kind="stable")
        arrivals, owner, row = arrivals[order], owner[order], row[order]
        is_last = np.ones(len(arrivals), dtype=bool)
        is_last[:-1] = arrivals[1:] != arrivals[:-1]
        instants = arrivals[is_last]
        latest = np.empty((len(self._sources), len(instants)), dtype=np.int32)
        logs = np.empty(latest.shape)
        oldest = np.full(len(instants), np.iinfo(np.int64).max)
        newest = np.full(len(instants), -1)
        for number, samples in enumerate(self._sources):
            rows = np.maximum.accumulate(np.where(owner == number, row, -1))[is_last]
            latest[number] = rows
            reported = rows >= 0
            logs[number] = np.inf
            seen = rows[reported]
            reference = self._path.prices_e8[samples.times // self._path.step_us]
            samples.see(reference)
            logs[number, reported] = (np.log(reference) + samples.noises)[seen]
            oldest[reported] = np.minimum(oldest[reported], samples.since[seen])
            newest[reported] = np.maximum(newest[reported], samples.until[seen])
        present = (latest >= 0).sum(axis=0)
        logs.sort(axis=0)  # Sources that have not reported sort last, as infinity.
        columns = np.arange(len(instants))
        self._medians_low = logs[(present - 1) // 2, columns]
        self._medians_high = logs[present // 2, columns]
        self._low_view = float_view(self._medians_low)
        self._high_view = float_view(self._medians_high)
        self._instants: npt.NDArray[np.int64] = instants
        self._instant_view = int_view(instants)
        self._latest = [int_view(np.ascontiguousarray(line)) for line in latest]
        # The smallest from each instant on, so that it can be searched by bisection.
        self._oldest = int_view(np.minimum.accumulate(oldest[::-1])[::-1].copy())
        self._newest = int_view(newest)  # Never falls: no older sample replaces a newer.
        self._present = present

    def landing_us(self, at_us: int) -> int:
        """Return how long an update published at *at_us* takes to reach the venue."""
        spec = self._spec.landing
        if spec.median_us == spec.p99_us:
            return spec.median_us
        return lognormal_us(spec.median_us, spec.p99_us, self._landing.normal_at(0, at_us))

    def published(self, publication: Publication) -> None:
        """Take note that *publication* was published."""
        self._next = publication.instant + 1
        self._published_instant = publication.instant
        self._last_price = publication.price_e8
        self._last_calm = publication.calm_e8
        self._last_at = publication.at_us
        self._decided_us = max(self._decided_us, publication.at_us - 1)

    def traded(self, at_us: int) -> None:
        """
        Take note of a trade at *at_us*: it changes only reports that show a later instant.

        Instants before the first that can show one have been searched by the plan in force, which
        is kept if it is among them (`is_settled`), so that the next plan starts behind them.
        """
        self._next = max(self._next, bisect_right(self._newest, at_us))
        self._decided_us = at_us

    def is_settled(self, publication: Publication, at_us: int) -> bool:
        """Return whether no report behind *publication* can show a trade after *at_us*."""
        return self._newest[publication.instant] <= at_us

    def plan(self) -> Publication | None:
        """Return the next publication as things stand, or None if there is none before the end."""
        if self._published_instant < 0:
            return self._first()
        start, deadline = self._next, self._last_at + self._spec.heartbeat_us
        while True:
            due = bisect_right(self._instant_view, deadline)  # First arrival after the deadline.
            found = self._deviation(start, due)
            if found is not None:
                return found
            start = max(start, due)
            if due - 1 > self._published_instant:
                if not self._is_missed(deadline):
                    return self._publication(due - 1, deadline, UpdateReason.HEARTBEAT)
                deadline += self._spec.heartbeat_us
            elif due < len(self._instants):  # Overdue: it comes with the next report to arrive.
                deadline = self._instant_view[due]
            else:
                return None

    def _is_missed(self, at_us: int) -> bool:
        """Return whether the heartbeat due at *at_us* fails."""
        return self._miss > 0.0 and self._misses.at(0, at_us) < self._miss

    def _first(self) -> Publication | None:
        quorum = np.flatnonzero(self._present >= self._spec.quorum)
        if not len(quorum):
            return None
        first = int(quorum[0])
        return self._publication(first, self._instant_view[first], UpdateReason.FIRST)

    def _deviation(self, start: int, end: int) -> Publication | None:
        """Search instants [start, end) for the first median beyond the deviation threshold."""
        above, below = self._thresholds()
        # Reports that show what was before the newest trade mix displacements: one by one.
        near = self._quiet_from(start, end)
        found = self._first_deviating(range(start, near))
        look = _NEAR_LOOK
        while found is None and near < end:
            stop = min(near + look, end)
            found = self._proposed(near, stop, above, below)
            near, look = stop, look * _LOOK_GROWTH
        return None if found is None else self._at(found)

    def _proposed(self, start: int, stop: int, above: float, below: float) -> int | None:
        """Return the first deviating instant of [start, stop), looking only where bounds allow."""
        low, high = self._displacement_range(start, stop)
        above, below = above - high, below - low
        if stop - start <= _NEAR_LOOK:
            highs, lows = self._high_view, self._low_view
            candidates = [i for i in range(start, stop) if highs[i] >= above or lows[i] <= below]
        else:
            is_candidate = self._medians_high[start:stop] >= above
            is_candidate |= self._medians_low[start:stop] <= below
            candidates = (np.flatnonzero(is_candidate) + start).tolist()
        return self._first_deviating(candidates)

    def _first_deviating(self, instants: Iterable[int]) -> int | None:
        """Return the first of *instants* whose median deviates, deciding each in integers."""
        threshold, last = self._spec.deviation_e6 * self._last_price, self._last_price
        lines, sources = self._latest, self._sources
        rows, prices = [-1] * len(sources), [0] * len(sources)  # As before any report.
        for instant in instants:
            for number, line in enumerate(lines):
                row = line[instant]
                if row != rows[number]:
                    rows[number] = row
                    source = sources[number]
                    prices[number] = source.final_view[row] or self._report(source, row)
            ranked = sorted(prices)
            silent = rows.count(-1)  # Sources that have not reported rank first, with price 0.
            count = len(rows) - silent
            median = (ranked[silent + (count - 1) // 2] + ranked[silent + count // 2]) // 2
            if abs(median - last) * RATIO_SCALE >= threshold:
                return instant
        return None

    def _quiet_from(self, start: int, end: int) -> int:
        """Return the first instant of [start, end) all of whose reports show the newest trade."""
        newest = self._market.book.at_us
        if start >= end or self._oldest[start] > newest or len(self._market.history) == 1:
            return start
        return bisect_right(self._oldest, newest, start, end)

    def _displacement_range(self, start: int, stop: int) -> tuple[float, float]:
        """Bound the log displacement of any report behind instants [start, stop)."""
        book = self._market.book
        if book.fill_seq < 0:
            return 0.0, 0.0
        oldest, newest = self._oldest[start], self._instant_view[stop - 1]
        if self._purged is None:
            newest -= self._least_catch_up_us
        first = self._displacement(book, max(oldest, book.at_us))
        last = self._displacement(book, max(newest, book.at_us))
        # It decays monotonically from the newest trade on, so the ends bound it.
        ends = [share * d for share in self._shares for d in (first, last)]
        if self._purged is None:
            return min(ends), max(ends)
        taken = self._purged.moved(book, oldest), self._purged.moved(book, newest)
        return min(ends) - max(taken), max(ends) - min(taken)

    def _needs_displacement(self, price_e8: int, calm_e8: int) -> bool:
        """
        Return whether a deviation is displacement's doing.

        Like is compared with like: the median without displacement now, and at the last
        publication. A price that did not move needs nothing.
        """
        if self._market.book.fill_seq < 0 or price_e8 == self._last_price:
            return False
        moved = abs(calm_e8 - self._last_calm)
        return not moved or moved * RATIO_SCALE < self._spec.deviation_e6 * self._last_calm

    def _thresholds(self) -> tuple[float, float]:
        """Return the log medians from which a publication may be due, rounding allowed for."""
        deviation = self._spec.deviation_e6 / RATIO_SCALE
        above = self._last_price * (1.0 + deviation) - _ROUNDING_E8
        below = self._last_price * (1.0 - deviation) + _ROUNDING_E8
        # Down at a unit or two any report may be due: prices end at one unit.
        log_above = math.log(above) if above > _ROUNDING_E8 else -math.inf
        return log_above - _LOG_ERROR, math.log(below) + _LOG_ERROR

    def _at(self, instant: int) -> Publication | None:
        return self._publication(instant, self._instant_view[instant], UpdateReason.DEVIATION)

    def _publication(self, instant: int, at_us: int, reason: UpdateReason) -> Publication | None:
        if at_us >= self._end_us:
            return None
        price, count, sampled_at, shows = self._median(instant)
        has_traded = self._market.book.fill_seq >= 0
        calm = self._median(instant, displaced=False)[0] if has_traded else price
        return Publication(
            at_us,
            price,
            reason,
            count,
            sampled_at,
            shows,
            reason is UpdateReason.DEVIATION and self._needs_displacement(price, calm),
            instant,
            calm,
        )

    def _median(self, instant: int, *, displaced: bool = True) -> tuple[int, int, int, int]:
        """Return (price, reports, sample time of the median report, what it shows), in integers."""
        reports = []
        for line, source in zip(self._latest, self._sources, strict=True):
            row = line[instant]
            if row >= 0:
                # A report that shows no more than the newest decided instant is final and kept.
                price = (
                    source.final_view[row] or self._report(source, row)
                    if displaced
                    else source.price(row, 0.0, self._reference(source, row))
                )
                shows_us = source.shows_view[row] if source.has_share else 0
                reports.append((price, source.time_view[row], shows_us))
        reports.sort()
        low, high = reports[(len(reports) - 1) // 2], reports[len(reports) // 2]
        price = (low[0] + high[0]) // 2
        return price, len(reports), max(low[1], high[1]), max(low[2], high[2])

    def _report(self, source: "_Samples", row: int) -> int:
        """Return what *source* saw at its sample *row*, displacement included."""
        shows_us = source.shows_view[row]
        market = self._market
        book = market.book if shows_us > market.book.at_us else market.book_before(shows_us)
        displacement = (
            self._displacement(book, max(shows_us, book.at_us)) if book.fill_seq >= 0 else 0.0
        )
        price = source.price(row, displacement, self._reference(source, row))
        if source.until_view[row] <= self._decided_us:
            source.final_view[row] = price
        return price

    def _reference(self, source: "_Samples", row: int) -> int:
        """Return the reference price that *source* met at its sample *row*."""
        price = source.path_view[row]
        if self._purged is None:
            return price
        step = self._path.step_us
        return self._purged.without(price, source.time_view[row] // step * step)


class _Samples:
    """The exogenous part of one source: its samples, what they show, when reports arrive."""

    def __init__(
        self, spec: Source, market: str, seed: int, end_us: int, purged_step_us: int | None
    ) -> None:
        self.spec = spec
        actor = f"oracle.{market}.{spec.name}"
        index = np.arange(max(-(-(end_us - spec.offset_us) // spec.period_us), 0))
        times = spec.offset_us + index * spec.period_us
        quantiles = Stream(seed, actor, "noise").quantiles(0, len(index))
        noises = np.array(normal_table())[quantiles] * (spec.noise_e6 / RATIO_SCALE)
        latencies = _latencies(spec.latency, Stream(seed, actor, "latency"), len(index))
        is_up = np.ones(len(index), dtype=bool)
        for start, end in spec.outages:
            is_up &= (times < start) | (times >= end)
        self.times: npt.NDArray[np.int64] = times[is_up]
        self.noises: npt.NDArray[np.float64] = noises[is_up]
        self.arrivals: npt.NDArray[np.int64] = (times + latencies)[is_up]
        # Before the start there was no displacement to catch up with.
        self.shows: npt.NDArray[np.int64] = np.maximum(self.times - spec.catch_up_us, 0)
        self.time_view = int_view(self.times)
        # A report depends on the book of two instants: what it shows, and, of a purged path, when
        # the step of its sample began.
        if purged_step_us is None:
            self.since: npt.NDArray[np.int64] = self.shows
            self.until: npt.NDArray[np.int64] = self.shows
        else:
            steps = self.times // purged_step_us * purged_step_us
            self.since, self.until = np.minimum(self.shows, steps), np.maximum(self.shows, steps)
        self.shows_view = int_view(self.shows)
        self.until_view = int_view(self.until)
        self._noise_view = float_view(self.noises)
        self._shown = spec.pass_through_e6 / RATIO_SCALE
        self.has_share = spec.pass_through_e6 > 0
        self.final_view = int_view(np.zeros(len(self.times), dtype=np.int64))

    def see(self, prices: npt.NDArray[np.int64]) -> None:
        """Take the price of the path at every sample."""
        self.path_view = int_view(np.ascontiguousarray(prices))

    def undisplaced(self) -> "_Samples":
        """Return the same samples of a source that shows no displacement, without a report."""
        samples = copy(self)
        final = int_view(np.zeros(len(self.times), dtype=np.int64))
        vars(samples).update(_shown=0.0, has_share=False, final_view=final)
        return samples

    def price(self, row: int, displacement: float, reference_e8: int) -> int:
        """Return the report of sample *row*, given the displacement that it shows."""
        exponent = self._shown * displacement + self._noise_view[row]
        return reference_e8 if exponent == 0.0 else max(round(reference_e8 * math.exp(exponent)), 1)


def _latencies(spec: Latency, stream: Stream, count: int) -> npt.NDArray[np.int64]:
    if spec.median_us == spec.p99_us:
        return np.full(count, spec.median_us)
    return _latency_table(spec)[stream.quantiles(0, count)]


@cache
def _latency_table(spec: Latency) -> npt.NDArray[np.int64]:
    table = [lognormal_us(spec.median_us, spec.p99_us, normal) for normal in normal_table()]
    return np.array(table)
