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
class Scaling:
    """
    A mitigation that scales the margin rates of a market.

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
        points: (since, index), if an index is observed.
        volatility: If volatility is.
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
    points: tuple[tuple[int, int], ...]
    volatility: Realised | None
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
class Watched:
    """
    All that observes markets period by period.

    Attributes:
        scalings: Of margin rates.
        fees: On leverage, in the order of their turn.
        charging: The fee that must be decided on now, and the volatility.
        paying: What must be paid next, in order.
        paying_for: The decision that said so.
    """

    scalings: list[Scaling] = attrs.Factory(list)
    fees: list[Fee] = attrs.Factory(list)
    charging: tuple[Fee, int] | None = None
    paying: deque[LeverageFeePaid] = attrs.Factory(deque)
    paying_for: int = -1


def watched_of(rows: tuple[MitigationTerms, ...], market_count: int, start_unix_us: int) -> Watched:
    """Return what mitigations of a run observe."""
    watched = Watched()
    for number, row in enumerate(rows):
        for market in range(market_count) if row.market_id is None else (row.market_id,):
            if row.kind.endswith("_margin") or row.kind == "predictive":
                watched.scalings.append(_scaling(number, row, market, start_unix_us))
            elif row.kind == "leverage_fee":
                watched.fees.append(_fee(number, row, market))
    return watched


def _realised(row: MitigationTerms) -> Realised:
    return Realised(row.duration("period"), row.duration("half_life"))


def _scaling(number: int, row: MitigationTerms, market: int, start_unix_us: int) -> Scaling:
    is_open_interest = row.kind == "open_interest_margin"
    period = row.duration("period")
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
        points=row.steps("points", start_unix_us) if row.kind == "stress_margin" else (),
        volatility=_realised(row) if row.kind == "dynamic_margin" else None,
        next_us=period,
        model=Model.of(row.word("content")) if row.kind == "predictive" else None,
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
