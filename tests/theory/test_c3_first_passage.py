"""
C3: the probability that a position is due within a day, watched at 2,000 points.

P = N((b - v T) / s sqrt(T)) + exp(2 v b / s^2) N((b + v T) / s sqrt(T)), v = -s^2 / 2, b the log of
the trigger level; watching at intervals shifts the level by exp(-0.5826 s sqrt(interval)).

What is measured: the trigger price of our margin rule; the `gbm` generator, drawn with a drift
that makes the event common and weighed back; and 400,000 days of which numpy draws every twentieth
point, and our bridge (`knots`) fills in whatever the level could be passed in.
"""

import math
from statistics import NormalDist

import attrs
import numpy as np
import pytest
from support.walks import START_E8, Position, gbm, market_of, opened, prices_of, step_sd

from liqsim.scenario.model import KnotsPath
from liqsim.units import YEAR_US

DAY = 86_400 * 10**6
POINTS = 2_000
STEP = DAY // POINTS
COARSE = 20
"""Points that our bridge draws for each one of numpy's."""
CANNOT = 1e-8
"""Probability below which a bridge between two points is taken not to pass the level."""


@attrs.frozen
class Anchor:
    """
    One published case.

    Attributes:
        leverage: Leverage.
        maintenance: Maintenance rate.
        volatility: Annual volatility.
        level: Trigger price over entry price.
        watched: Probability that a day watched at 2,000 points makes it due.
        always: The same, watched without pause.
    """

    leverage: float
    maintenance: str
    volatility: float
    level: float
    always: float
    watched: float

    def position(self) -> Position:
        return opened(START_E8, 1 / self.leverage, self.maintenance, side=1)


RARE = Anchor(10, "0.01", 0.6, 0.909091, 0.002515, 0.002409)
COMMON = Anchor(20, "0.005", 0.8, 0.954774, 0.275153, 0.269495)
BOTH = pytest.mark.parametrize("anchor", [RARE, COMMON], ids=["0.002409", "0.269495"])


def passage(level: float, volatility: float) -> float:
    """Return the probability that a day passes *level*, watched without pause."""
    sd, drift = volatility * math.sqrt(DAY / YEAR_US), -(volatility**2) / 2 * (DAY / YEAR_US)
    b, normal = math.log(level), NormalDist().cdf
    return normal((b - drift) / sd) + math.exp(2 * drift * b / sd**2) * normal((b + drift) / sd)


@BOTH
def test_c3_closed_form_at_our_trigger_price(anchor: Anchor) -> None:
    level = anchor.position().trigger_e8 / START_E8
    shift = math.exp(-0.5825971579 * step_sd(anchor.volatility, STEP))

    assert level == pytest.approx(anchor.level, abs=5e-7)
    assert passage(level, anchor.volatility) == pytest.approx(anchor.always, abs=5e-7)
    assert passage(level * shift, anchor.volatility) == pytest.approx(anchor.watched, abs=1e-6)


@pytest.mark.parametrize(
    ("anchor", "days"), [(RARE, 2_000), (COMMON, 800)], ids=["0.002409", "0.269495"]
)
def test_c3_days_of_our_generator(anchor: Anchor, days: int) -> None:
    # Drawn with a drift towards the level, each passage is weighed by how likely it is without.
    position, variance = anchor.position(), anchor.volatility**2
    without, drift = -variance / 2, math.log(anchor.level) / (DAY / YEAR_US)
    market = gbm(anchor.volatility, STEP, log_drift=drift)
    weights = np.zeros(days)
    for day in range(days):
        prices = prices_of(market, seed=day, steps=POINTS)
        due = np.flatnonzero(prices <= position.trigger_e8)
        if len(due):
            first = int(due[0])
            assert position.is_due(int(prices[first]))
            assert not position.is_due(int(prices[first - 1]))
            moved, years = math.log(prices[first] / START_E8), first * STEP / YEAR_US
            exponent = (without - drift) * moved - (without**2 - drift**2) / 2 * years
            weights[day] = math.exp(exponent / variance)

    error = float(weights.std()) / math.sqrt(days)

    assert (
        error < 0.05 * anchor.watched
    )  # It takes 166,000 plain days to know the rare one as well.
    assert weights.mean() == pytest.approx(anchor.watched, abs=3 * error)


@pytest.mark.parametrize(
    ("anchor", "days"), [(RARE, 400_000), (COMMON, 25_000)], ids=["0.002409", "0.269495"]
)
def test_c3_many_days_filled_in_by_our_bridge(anchor: Anchor, days: int) -> None:
    position, sd = anchor.position(), step_sd(anchor.volatility, STEP * COARSE)
    trigger = math.log(position.trigger_e8 / START_E8)
    random, at_points, between, filled_in = np.random.default_rng(3), 0, 0, 0
    for first in range(0, days, 40_000):
        moves = random.standard_normal((min(40_000, days - first), POINTS // COARSE))
        logs = np.cumsum(moves * sd - sd**2 / 2, axis=1)
        logs = np.concatenate([np.zeros((len(logs), 1)), logs], axis=1)
        is_due = (logs <= trigger).any(axis=1)
        at_points += int(is_due.sum())
        gaps = (logs[:, :-1] - trigger) * (logs[:, 1:] - trigger)
        is_open = ~is_due[:, None] & (np.exp(-2 * gaps / sd**2) > CANNOT)
        for row in np.flatnonzero(is_open.any(axis=1)).tolist():
            spans = np.flatnonzero(is_open[row])
            points = logs[row, spans[0] : spans[-1] + 2]
            between += _is_passed(position, points, anchor.volatility, seed=first + row)
            filled_in += 1

    probability = (at_points + between) / days
    error = math.sqrt(anchor.watched * (1 - anchor.watched) / days)
    assert filled_in > 500
    assert probability == pytest.approx(anchor.watched, abs=3 * error)
    # The hundred points alone miss more, as much as the shift of the level says.
    shift = math.exp(-0.5825971579 * sd)
    expected = passage(position.trigger_e8 / START_E8 * shift, anchor.volatility)
    assert at_points / days == pytest.approx(expected, abs=3 * error)
    assert probability > at_points / days + 3 * error * (anchor is COMMON)


def _is_passed(
    position: Position, logs: "np.typing.NDArray[np.float64]", volatility: float, *, seed: int
) -> bool:
    """Return whether the bridge through points `COARSE` steps apart makes *position* due."""
    prices = np.rint(START_E8 * np.exp(logs)).astype(np.int64).tolist()
    # A bridge is clipped to the range of its knots: two beyond the end take the clips out of play.
    prices += [START_E8 // 2, START_E8 * 2]
    knots = tuple((place * COARSE * STEP, price) for place, price in enumerate(prices))
    market = market_of(KnotsPath(STEP, knots, volatility))
    path = prices_of(market, seed=seed, steps=COARSE * (len(logs) - 1))
    lowest = int(path.min())
    assert position.is_due(lowest) == (lowest <= position.trigger_e8)
    return position.is_due(lowest)
