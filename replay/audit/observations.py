"""What mitigations of a run look at, as an audit keeps it."""

import math
from collections import deque
from collections.abc import Sequence
from typing import Final

import attrs

from liqsim.events import LeverageFeePaid
from replay.sights import Model, Seen
from replay.terms import MitigationTerms

_YEAR_US: Final = 8_766 * 3_600_000_000


@attrs.define
class Realised:
    """
    Annual volatility of a mark seen once per period.

    Attributes:
        period_us: The period.
        half_life_us: Age at which a squared return counts half.
        last_e8: The mark before; 0 before the first.
        variance: Of a period; None before the second mark.
    """

    period_us: int
    half_life_us: int
    last_e8: int = 0
    variance: float | None = None

    def seen(self, mark_e8: int) -> int | None:
        """Return it in 1e-6 after one more look; None before the second mark."""
        if not mark_e8:
            return None
        if self.last_e8:
            square = (math.log(mark_e8) - math.log(self.last_e8)) ** 2
            weight = 2.0 ** (-self.period_us / self.half_life_us)
            old = square if self.variance is None else self.variance
            self.variance = weight * old + (1.0 - weight) * square
        self.last_e8 = mark_e8
        if self.variance is None:
            return None
        return round(math.sqrt(self.variance * _YEAR_US / self.period_us) * 1e6)


@attrs.define
class Together:
    """
    How much a market's mark moves with those of the others, seen once per period.

    Attributes:
        period_us: The period.
        half_life_us: Age at which a pair of returns counts half.
        last: The marks before, the market's own first.
        pairs: Own return and that of the others together, by period.
    """

    period_us: int
    half_life_us: int
    last: tuple[int, ...] = ()
    pairs: list[tuple[float, float]] = attrs.Factory(list)

    def seen(self, marks: tuple[int, ...], weights: tuple[int, ...]) -> int | None:
        """Return it in 1e-6 after one more look; None while it is unknown."""
        if all(marks):
            if self.last and sum(weights):
                own, *others = map(_log_ratio, marks, self.last)
                moved = sum(w * r for w, r in zip(weights, others, strict=True)) / sum(weights)
                self.pairs.append((own, moved))
            self.last = marks
        if len(self.pairs) * self.period_us < self.half_life_us:
            return None
        ages = range(len(self.pairs) - 1, -1, -1)
        fade = 2.0 ** (-self.period_us / self.half_life_us)
        # The first pair stands for all before it.
        parts = [fade**age * (1.0 if not n else 1.0 - fade) for n, age in enumerate(ages)]
        own, both, basket = (
            math.fsum(p * f(a, b) for p, (a, b) in zip(parts, self.pairs, strict=True))
            for f in (lambda a, _: a * a, lambda a, b: a * b, lambda _, b: b * b)
        )
        if not own or not basket:
            return None
        return round(min(max(both / math.sqrt(own * basket), 0.0), 1.0) * 1e6)


def _log_ratio(now_e8: int, before_e8: int) -> float:
    return math.log(now_e8) - math.log(before_e8)


@attrs.define
class Scaling:
    """
    A mitigation that scales the margin rates of a market, or its haircut on coins.

    Attributes:
        number: Its place in the scenario.
        kind: What sort it is.
        market_id: The market.
        period_us: From one observation to the next.
        low_e6: Smallest multiplier.
        high_e6: Largest multiplier.
        ramp_e6: Most that it rises per period.
        restore_e6: Most that it falls per period.
        grain_e6: What it is a multiple of, before that.
        notice_us: From a decision until it holds.
        reference: The observation at which the multiplier is 1.
        largest: How many positions count, if concentration is observed.
        points: (since, index), if an index is observed.
        volatility: If volatility is.
        together: If correlation is.
        next_us: When the next observation is due.
        model: The model, if it is a chance of a cascade that is observed.
        multiplier_e6: The last that was announced.
        open: The observation of now, which may be any of some, until a decision tells of it.
        seen: What a model was asked about now, which may be any of some.
    """

    number: int
    kind: str
    market_id: int
    period_us: int
    low_e6: int
    high_e6: int
    ramp_e6: int
    restore_e6: int
    grain_e6: int
    notice_us: int
    reference: int
    largest: int
    points: tuple[tuple[int, int], ...]
    volatility: Realised | None
    together: Together | None
    next_us: int
    model: Model | None
    multiplier_e6: int = 10**6
    open: tuple[int, Sequence[int]] | None = None
    seen: list[Seen] = attrs.Factory(list)


@attrs.define
class Fee:
    """
    A fee on leverage in a market.

    Attributes:
        number: Its place in the scenario.
        market_id: The market.
        period_us: From one payment to the next.
        leverage_e6: Above this an account pays.
        rate_e6: Of the value of a position, at the reference.
        reference_e6: Volatility at which the rate is so.
        high_e6: Largest multiple of it.
        volatility: What it is by.
        next_us: When it is due next.
    """

    number: int
    market_id: int
    period_us: int
    leverage_e6: int
    rate_e6: int
    reference_e6: int
    high_e6: int
    volatility: Realised
    next_us: int


@attrs.define
class Reducer:
    """
    A mitigation that reduces positions in a market.

    Attributes:
        number: Its place in the scenario.
        market_id: The market.
        period_us: From one look to the next.
        model: What it asks for the chance of a cascade.
        above_e6: Chance from which it acts.
        step_e6: The most of a position that a look closes.
        cap_e6: The most of it that all looks close.
        most_uusd: The most that a look trades away.
        slippage_e6: How far from the market price an order goes.
        next_us: When the next look is due.
        first_e8: Size of each position before its first step.
        closed_e8: What it has been reduced by.
    """

    number: int
    market_id: int
    period_us: int
    model: Model
    above_e6: int
    step_e6: int
    cap_e6: int
    most_uusd: int
    slippage_e6: int
    next_us: int
    first_e8: dict[int, int] = attrs.Factory(dict)
    closed_e8: dict[int, int] = attrs.Factory(dict)


@attrs.define
class Reducing:
    """
    A look after which positions are reduced.

    Attributes:
        reducer: The mitigation.
        at_us: When it was.
        seen: What its model was asked about, which may be any of some.
        waiting: Who may still be reduced, in order.
        left_e8: What the look may still trade away.
        seq: The decision; -1 until it is recorded.
        steps: How many there were.
    """

    reducer: Reducer
    at_us: int
    seen: list[Seen]
    waiting: list[int]
    left_e8: int
    seq: int = -1
    steps: int = 0


@attrs.define
class Watched:
    """
    All that observes markets period by period.

    Attributes:
        scalings: Of margin rates.
        fees: On leverage, in the order of their turn.
        reducers: Of positions, likewise.
        charging: The fee that must be decided on now, and the volatility.
        paying: What must be paid next, in order.
        paying_for: The decision that said so.
        reducing: The look after which positions are reduced now.
    """

    scalings: list[Scaling] = attrs.Factory(list)
    fees: list[Fee] = attrs.Factory(list)
    reducers: list[Reducer] = attrs.Factory(list)
    charging: tuple[Fee, int] | None = None
    paying: deque[LeverageFeePaid] = attrs.Factory(deque)
    paying_for: int = -1
    reducing: Reducing | None = None


def watched_of(
    rows: tuple[MitigationTerms, ...],
    market_count: int,
    start_unix_us: int,
    coin_markets: frozenset[int] = frozenset(),
) -> Watched:
    """Return what mitigations of a run observe; *coin_markets* have coins that are collateral."""
    watched = Watched()
    for number, row in enumerate(rows):
        for market in range(market_count) if row.market_id is None else (row.market_id,):
            if row.is_of_haircut and market not in coin_markets:
                continue
            if row.kind == "predictive" and row.word("action") == "deleverage":
                watched.reducers.append(_reducer(number, row, market))
            elif row.kind.endswith("_margin") or row.kind == "predictive":
                watched.scalings.append(_scaling(number, row, market, start_unix_us))
            elif row.kind == "leverage_fee":
                watched.fees.append(_fee(number, row, market))
    return watched


def _realised(row: MitigationTerms) -> Realised:
    return Realised(row.duration("period"), row.duration("half_life"))


def _scaling(number: int, row: MitigationTerms, market: int, start_unix_us: int) -> Scaling:
    period, is_together = row.duration("period"), row.kind == "correlation_margin"
    is_open_interest = row.kind == "open_interest_margin"
    return Scaling(
        number=number,
        kind=row.kind,
        market_id=market,
        period_us=period,
        low_e6=row.ratio("low"),
        high_e6=row.ratio("high"),
        ramp_e6=row.ratio("ramp"),
        restore_e6=row.ratio("restore"),
        grain_e6=row.ratio("grain"),
        notice_us=row.duration("notice"),
        reference=row.usd("reference_usd") if is_open_interest else row.ratio("reference"),
        largest=int(row.values.get("largest", 0)),
        points=row.steps("points", start_unix_us) if row.kind == "stress_margin" else (),
        volatility=_realised(row) if row.kind == "dynamic_margin" else None,
        together=Together(period, row.duration("half_life")) if is_together else None,
        next_us=period,
        model=Model.of(row.word("content")) if row.kind == "predictive" else None,
    )


def _reducer(number: int, row: MitigationTerms, market: int) -> Reducer:
    return Reducer(
        number=number,
        market_id=market,
        period_us=row.duration("period"),
        model=Model.of(row.word("content")),
        above_e6=row.ratio("above"),
        step_e6=row.ratio("step"),
        cap_e6=row.ratio("cap"),
        most_uusd=row.usd("most_usd"),
        slippage_e6=row.ratio("slippage"),
        next_us=row.duration("period"),
    )


def _fee(number: int, row: MitigationTerms, market: int) -> Fee:
    return Fee(
        number=number,
        market_id=market,
        period_us=row.duration("period"),
        leverage_e6=row.ratio("leverage"),
        rate_e6=row.ratio("rate"),
        reference_e6=row.ratio("reference"),
        high_e6=row.ratio("high"),
        volatility=_realised(row),
        next_us=row.duration("period"),
    )
