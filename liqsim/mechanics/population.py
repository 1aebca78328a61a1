"""Who holds what at the start: cohorts drawn into isolated buckets."""

import math
from statistics import NormalDist

import attrs
import numpy as np
import numpy.typing as npt

from liqsim.errors import ScenarioError
from liqsim.mechanics.margin import scaled_margin, weight_e14
from liqsim.rng import Stream
from liqsim.scenario.model import Cohort, Market, Population
from liqsim.units import NOTIONAL_DIVISOR, RATIO_SCALE, taker_cost_uusd

_NORMAL = NormalDist()
_FILL_ROUNDS = 64


@attrs.frozen(eq=False)
class Accounts:
    """
    The accounts at the start, one row each.

    Attributes:
        names: Their names.
        cohorts: The cohort of each.
        market_ids: int64: their market.
        quantities_e8: int64: signed positions.
        entries_e8: int64: entry prices.
        collaterals_uusd: int64: collateral deposited.
    """

    names: list[str]
    cohorts: list[str]
    market_ids: npt.NDArray[np.int64]
    quantities_e8: npt.NDArray[np.int64]
    entries_e8: npt.NDArray[np.int64]
    collaterals_uusd: npt.NDArray[np.int64]


def draw_accounts(
    population: Population,
    markets: tuple[Market, ...],
    start_prices_e8: list[int],
    *,
    seed: int,
    due_at_zero: bool,
) -> Accounts:
    """
    Draw every cohort's accounts, in scenario order.

    Raises:
        ScenarioError: A position is smaller than one unit of the quantity scale.
    """
    numbers = {market.name: number for number, market in enumerate(markets)}
    names: list[str] = []
    cohorts: list[str] = []
    rows: list[tuple[int, int, int, int]] = []
    for cohort in population.cohorts:
        market_id = numbers[cohort.market]
        names += [f"{cohort.name}_{index:05d}" for index in range(cohort.accounts)]
        cohorts += [cohort.name] * cohort.accounts
        rows += _draw_cohort(
            cohort,
            markets[market_id],
            market_id,
            start_prices_e8[market_id],
            attempts=population.entry_attempts,
            seed=seed,
            due_at_zero=due_at_zero,
        )
    columns = np.array(rows, dtype=np.int64).reshape(-1, 4)
    return Accounts(names, cohorts, *(np.ascontiguousarray(columns[:, c]) for c in range(4)))


def _draw_cohort(
    cohort: Cohort,
    market: Market,
    market_id: int,
    start_e8: int,
    *,
    attempts: int,
    seed: int,
    due_at_zero: bool,
) -> list[tuple[int, int, int, int]]:
    actor = f"population.{cohort.name}"
    sizes, leverages = _sizes_and_leverages(cohort, seed, actor)
    longs = _sides(sizes, cohort.long_share_e6)
    entries = Stream(seed, actor, "entry")
    rows = []
    for index, (size_uusd, leverage, is_long) in enumerate(
        zip(sizes, leverages, longs, strict=True)
    ):
        for attempt in range(attempts + 1):
            entry = (
                _entry(cohort, is_long, entries.normal_at(index, attempt), start_e8)
                if attempt < attempts
                else start_e8
            )
            row = _account(market_id, size_uusd, leverage, is_long, entry)
            if not _is_due(row, market.maintenance, start_e8, due_at_zero=due_at_zero):
                break
        if row[1] == 0:
            message = (
                f"population.cohorts.{cohort.name}: account {index} of "
                f"{size_uusd / 1e6:g} USD is below one unit of quantity (1e-8)"
            )
            raise ScenarioError(message)
        rows.append(row)
    return rows


def _sizes_and_leverages(cohort: Cohort, seed: int, actor: str) -> tuple[list[int], list[float]]:
    """Return sizes in micro-USD and leverages, joined by a Gaussian copula."""
    # A rank correlation r needs the copula correlation 2 sin(pi r / 6).
    copula = 2.0 * math.sin(math.pi * cohort.size_leverage_correlation / 6.0)
    rest = math.sqrt(1.0 - copula * copula)
    size_draws = Stream(seed, actor, "size").uniforms(0, cohort.accounts)
    leverage_draws = Stream(seed, actor, "leverage").normals(0, cohort.accounts)
    weights = [(1.0 - u) ** (-1.0 / cohort.size.alpha) for u in size_draws]
    law = cohort.leverage
    leverages = []
    for u, normal in zip(size_draws, leverage_draws, strict=True):
        joint = copula * _NORMAL.inv_cdf(u) + rest * normal
        leverages.append(min(max(law.median * math.exp(law.sigma * joint), law.low), law.high))
    return _scaled(weights, cohort.notional_uusd, cohort.size.max_uusd), leverages


def _scaled(weights: list[float], total_uusd: int, max_uusd: int) -> list[int]:
    """Scale *weights* to sum to *total_uusd*, none above *max_uusd*; spread what that cuts off."""
    capped: set[int] = set()
    for _ in range(_FILL_ROUNDS):
        # fsum: the plain sum of floats differs between Python 3.11 and 3.12.
        free = math.fsum(w for index, w in enumerate(weights) if index not in capped)
        scale = (total_uusd - len(capped) * max_uusd) / free if free else 0.0
        over = {i for i, w in enumerate(weights) if i not in capped and w * scale > max_uusd}
        if not over:
            break
        capped |= over
    return [max_uusd if i in capped else int(w * scale) for i, w in enumerate(weights)]


def _sides(sizes: list[int], long_share_e6: int) -> list[bool]:
    """Return who is long: largest first, each to the side that is further behind its share."""
    sides = [False] * len(sizes)
    total = longs = 0
    for index in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        total += sizes[index]
        sides[index] = (longs + sizes[index] // 2) * RATIO_SCALE < total * long_share_e6
        longs += sizes[index] * sides[index]
    return sides


def _entry(cohort: Cohort, is_long: bool, normal: float, start_e8: int) -> int:  # noqa: FBT001 — private
    law = cohort.entry
    mean, sd = (law.long_mean, law.long_sd) if is_long else (law.short_mean, law.short_sd)
    return max(round(start_e8 * (1.0 + mean + sd * normal)), 1)


def _account(
    market_id: int,
    size_uusd: int,
    leverage: float,
    is_long: bool,  # noqa: FBT001 — private
    entry_e8: int,
) -> tuple[int, int, int, int]:
    quantity = size_uusd * NOTIONAL_DIVISOR // entry_e8
    collateral = math.ceil(size_uusd / leverage)
    return market_id, quantity if is_long else -quantity, entry_e8, collateral


def _is_due(
    row: tuple[int, int, int, int],
    tiers: tuple[tuple[int, int], ...],
    price_e8: int,
    *,
    due_at_zero: bool,
) -> bool:
    _, quantity, entry, collateral = row
    cash = collateral - taker_cost_uusd(quantity, entry)
    margin = scaled_margin(cash, [(quantity, weight_e14(tiers, abs(quantity)), price_e8)])
    return margin < 0 or (due_at_zero and margin == 0)
