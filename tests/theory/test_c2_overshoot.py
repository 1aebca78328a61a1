"""
C2: by how much a price seen at intervals has passed a level when it is first seen beyond it.

Mean log overshoot = 0.5825971579 x volatility x sqrt(interval), -zeta(1/2) / sqrt(2 pi), for a
start at least five steps away. What is measured: paths of our `gbm` generator, levels that are
trigger prices of our margin rule; and a run, which must trigger at these very prices.
"""

import math
from datetime import timedelta
from decimal import Decimal
from itertools import count

import numpy as np
import numpy.typing as npt
import pytest
from support.scenarios import START, constant, events_of, load, small_scenario
from support.single import account
from support.walks import Position, gbm, opened, prices_of, step_sd

from liqsim.events import LiquidationTriggered, PositionOpened
from liqsim.mechanics.paths import reference_path

OVERSHOOT = 0.5825971579
MINUTE, HOUR = 60 * 10**6, 3_600 * 10**6
DISTANCE = 8.0  # Steps from a start to its levels.
MAINTENANCE = "0.005"


def _bracket(entry_e8: int, sd: float) -> tuple[Position, Position]:
    """Return a long and a short whose triggers lie `DISTANCE` steps below and above."""
    low, rate = math.exp(-DISTANCE * sd), float(MAINTENANCE)
    long = opened(entry_e8, 1 - low * (1 - rate), MAINTENANCE, side=1)
    short = opened(entry_e8, (1 + rate) / low - 1, MAINTENANCE, side=-1)
    return long, short


def _overshoots(prices: npt.NDArray[np.int64], sd: float) -> list[float]:
    """Return the log overshoot of each exit; where one ends, the next bracket is set up."""
    found, start = [], 0
    while True:
        long, short = _bracket(int(prices[start]), sd)
        ahead = prices[start : start + 4_000]
        beyond = np.flatnonzero((ahead <= long.trigger_e8) | (ahead >= short.trigger_e8))
        if not len(beyond):
            return found
        start += int(beyond[0])
        price, before = int(prices[start]), int(prices[start - 1])
        due = long if price <= long.trigger_e8 else short
        assert due.is_due(price)
        assert not long.is_due(before)
        assert not short.is_due(before)
        found.append(abs(math.log(price / due.trigger_e8)))


@pytest.mark.parametrize(
    ("volatility", "step_us", "percent"),
    [(0.8, HOUR, 0.49780), (0.8, MINUTE, 0.064266), (3.0, HOUR, 1.86676)],
    ids=["hourly_0.49780", "minutely_0.064266", "volatile_1.86676"],
)
def test_c2_mean_overshoot(volatility: float, step_us: int, percent: float) -> None:
    sd = step_sd(volatility, step_us)
    market = gbm(volatility, step_us)
    assert percent == pytest.approx(100 * OVERSHOOT * sd, rel=2e-5)

    found: list[float] = []
    for seed in count():
        found += _overshoots(prices_of(market, seed=seed, steps=8_000), sd)
        if len(found) >= 12_000:
            break
    mean, error = np.mean(found), np.std(found) / math.sqrt(len(found))

    assert error / mean < 0.01
    assert 100 * mean == pytest.approx(percent, abs=100 * 3 * error)


def test_c2_a_run_triggers_at_the_first_price_beyond_the_level() -> None:
    sd, ladder = step_sd(0.8, HOUR), range(1, 13)
    cohorts = {}
    for is_long in (True, False):
        for level in ladder:
            low, rate = math.exp(-DISTANCE * level * sd), float(MAINTENANCE)
            share = 1 - low * (1 - rate) if is_long else (1 + rate) / low - 1
            cohorts[f"{'long' if is_long else 'short'}{level}"] = account(
                notional_usd=1_000,
                leverage=Decimal(repr(1 / share)).quantize(Decimal("1e-9")),
                is_long=is_long,
                market="ETH",
            )
    raw = small_scenario(
        end=START + timedelta(hours=4_000),
        seed=3,
        markets__ETH__maintenance=[[0, Decimal(MAINTENANCE)]],
        markets__ETH__path={
            "kind": "gbm",
            "step": "1h",
            "start_price": 10_000,
            "volatility": Decimal("0.8"),
        },
        markets__ETH__oracle={
            "deviation": 0,
            "heartbeat": "1h",
            "landing": constant("0s"),
            "sources": {"one": {"period": "1h", "latency": constant("0s")}},
        },
        # A passed level is often past bankruptcy: nobody else is to lose a position for it.
        venue__waterfall__deleveraging="none",
        population__cohorts=cohorts,
    )
    scenario = load(raw)
    path = reference_path(scenario.markets[0], seed=scenario.seed, end_us=scenario.end_us)
    entries = events_of(raw)
    triggers = {
        entry.event.bucket_id: (entry.sim_time_us, entry.event.mark_price_e8)
        for entry in entries
        if isinstance(entry.event, LiquidationTriggered)
    }

    overshoots = []
    for number, entry in enumerate(e for e in entries if isinstance(e.event, PositionOpened)):
        event = entry.event
        assert isinstance(event, PositionOpened)
        level = math.exp(math.copysign(DISTANCE * (number % 12 + 1) * sd, -event.quantity_e8))
        trigger_e8 = event.price_e8 * level
        is_long = event.quantity_e8 > 0
        beyond = path.prices_e8 <= trigger_e8 if is_long else path.prices_e8 >= trigger_e8
        if not beyond.any():
            assert event.bucket_id not in triggers
            continue
        first = int(beyond.argmax())
        assert triggers[event.bucket_id] == (first * HOUR, path.prices_e8[first])
        overshoots.append(abs(math.log(int(path.prices_e8[first]) / trigger_e8)))

    assert len(overshoots) >= 6
    assert 0 < np.mean(overshoots) < 4 * sd
