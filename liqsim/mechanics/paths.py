"""
Reference price paths: what the market would have done without our forced flow.

A path is held between its steps. All transcendental math is scalar, so that the same scenario and
seed give the same integers on every CPU of a platform.
"""

import math
from itertools import accumulate, pairwise
from typing import assert_never

import attrs
import numpy as np
import numpy.typing as npt

from liqsim.errors import ScenarioError
from liqsim.mechanics.bar_paths import bar_prices
from liqsim.rng import Stream
from liqsim.scenario.model import FilePath, GbmPath, KnotsPath, Market, Shock
from liqsim.units import BOUND, UNIT_SCALE, YEAR_US
from liqsim.world.views import int_view


@attrs.frozen(eq=False)
class ReferencePath:
    """
    A held path.

    Attributes:
        step_us: Time for which each price holds.
        prices_e8: int64, one price per step from time 0.
        view: The same prices as Python integers.
    """

    step_us: int
    prices_e8: npt.NDArray[np.int64]
    view: "memoryview[int]" = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "view", int_view(self.prices_e8))

    def at(self, at_us: int) -> int:
        """Return the price at *at_us*, which lies within the run."""
        return self.view[at_us // self.step_us]


def reference_path(market: Market, *, seed: int, end_us: int) -> ReferencePath:
    """
    Return the reference path of *market* over [0, *end_us*), shocks included.

    Raises:
        ScenarioError: A price leaves the range that the ledger can hold.
    """
    spec = market.path
    count = -(-end_us // spec.step_us)
    stream = Stream(seed, f"market.{market.name}", "path")
    match spec:
        case KnotsPath():
            logs = _knots_logs(spec, count, stream)
        case GbmPath():
            logs = _gbm_logs(spec, count, stream)
        case FilePath():
            assert spec.bars is not None, "a scenario is not loaded without its files"
            prices = bar_prices(spec.bars, spec.step_us, count, seed=seed, market=market.name)
            if not market.shocks:
                return ReferencePath(spec.step_us, np.array(prices, dtype=np.int64))
            logs = [math.log(price) for price in prices]
        case _:
            assert_never(spec)
    for shock in market.shocks:
        _add_shock(logs, shock, spec.step_us)
    if max(logs) >= math.log(BOUND) or min(logs) < 0.0:
        low, high = (math.exp(min(edge, 700.0)) / UNIT_SCALE for edge in (min(logs), max(logs)))
        message = (
            f"markets.{market.name}.path: price reaches {low:g} to {high:g} USD, "
            f"must stay within 1e-8 and {BOUND // UNIT_SCALE}"
        )
        raise ScenarioError(message)
    prices = [round(math.exp(value)) for value in logs]
    if not market.shocks and not isinstance(spec, FilePath):
        _set_exactly(prices, spec)
    return ReferencePath(spec.step_us, np.array(prices, dtype=np.int64))


def _set_exactly(prices: list[int], spec: KnotsPath | GbmPath) -> None:
    """Put the given prices where they belong, whatever exp(log(price)) rounds to."""
    if isinstance(spec, GbmPath):
        prices[0] = spec.start_e8
        return
    low, high = min(price for _, price in spec.knots), max(price for _, price in spec.knots)
    prices[:] = [min(max(price, low), high) for price in prices]
    for at_us, price in spec.knots:
        if at_us // spec.step_us < len(prices):
            prices[at_us // spec.step_us] = price


def _knots_logs(spec: KnotsPath, count: int, stream: Stream) -> list[float]:
    """Return log prices: a Brownian bridge between knots, clipped to their range."""
    low = math.log(min(price for _, price in spec.knots))
    high = math.log(max(price for _, price in spec.knots))
    sigma = spec.bridge_volatility * math.sqrt(spec.step_us / YEAR_US)
    noise = stream.normals(0, count + 1) if sigma else [0.0] * (count + 1)
    logs: list[float] = []
    for (start_us, start_price), (end_us, end_price) in pairwise(spec.knots):
        first, last = start_us // spec.step_us, end_us // spec.step_us
        steps = last - first
        start, slope = math.log(start_price), math.log(end_price / start_price) / steps
        # Beyond the end of the run there is no noise: such a knot only sets the slope.
        steps_of = (sigma * normal for normal in noise[first:last])
        walk = list(accumulate(steps_of, initial=0.0))
        walk += [walk[-1]] * (steps + 1 - len(walk))
        slope -= walk[-1] / steps
        logs += [
            min(max(start + slope * offset + walk[offset], low), high)
            for offset in range(min(steps, count - first))
        ]
        if len(logs) >= count:
            break
    return logs


def _gbm_logs(spec: GbmPath, count: int, stream: Stream) -> list[float]:
    step = spec.step_us / YEAR_US
    drift = (spec.drift - spec.volatility**2 / 2.0) * step
    sigma = spec.volatility * math.sqrt(step)
    logs = [math.log(spec.start_e8)]
    for normal in stream.normals(0, count - 1):
        logs.append(logs[-1] + drift + sigma * normal)
    return logs


def _add_shock(logs: list[float], shock: Shock, step_us: int) -> None:
    depth = math.log1p(shock.fraction)
    full_us = shock.at_us + shock.over_us
    for index in range(-(-shock.at_us // step_us), len(logs)):
        at_us = index * step_us
        if at_us < full_us:
            logs[index] += depth * (at_us - shock.at_us) / shock.over_us
        elif shock.recovery_us:
            logs[index] += depth * 0.5 ** ((at_us - full_us) / shock.recovery_us)
        else:
            logs[index] += depth
