"""Who holds what at the start: cohorts drawn into isolated and cross buckets."""

import math
from collections.abc import Sequence
from statistics import NormalDist

import attrs
import numpy as np
import numpy.typing as npt

from liqsim.errors import ScenarioError
from liqsim.mechanics.coins import collateral_e8
from liqsim.mechanics.margin import MarginRule, initial_margin_uusd, pieces, scaled_margin
from liqsim.rng import Stream
from liqsim.scenario.model import Cohort, Leg, Market, Population
from liqsim.units import NOTIONAL_DIVISOR, RATIO_SCALE, ceil_div, taker_cost_uusd

_NORMAL = NormalDist()
_FILL_ROUNDS = 64


@attrs.frozen(eq=False)
class Accounts:
    """
    The accounts at the start, and the legs that they open.

    Attributes:
        names: Their names.
        cohorts: The cohort of each; empty for accounts of a file.
        collaterals_uusd: int64: collateral deposited by each.
        rows: int64, one item per leg: the account it belongs to, not falling.
        market_ids: int64, per leg: its market; an account has one leg in a market at most.
        quantities_e8: int64, per leg: signed positions.
        entries_e8: int64, per leg: entry prices.
        coins_e8: int64: coins of its one market deposited by each account.
    """

    names: list[str]
    cohorts: list[str]
    collaterals_uusd: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    market_ids: npt.NDArray[np.int64]
    quantities_e8: npt.NDArray[np.int64]
    entries_e8: npt.NDArray[np.int64]
    coins_e8: npt.NDArray[np.int64] = attrs.field()

    @coins_e8.default
    def _no_coins(self) -> npt.NDArray[np.int64]:
        return np.zeros_like(self.collaterals_uusd)

    def markets_of_accounts(self) -> list[int | None]:
        """Return the market of every isolated account, None for those with several legs."""
        first = np.searchsorted(self.rows, np.arange(len(self.names)))
        counts = np.bincount(self.rows, minlength=len(self.names))
        return [
            market if count == 1 else None
            for market, count in zip(self.market_ids[first].tolist(), counts.tolist(), strict=True)
        ]


@attrs.frozen
class _Leg:
    """One leg of a cohort: market, its number, rule, start price, and what the cohort says."""

    market: Market
    rule: MarginRule
    market_id: int
    start_e8: int
    share_e6: int
    hedge_share_e6: int


_Account = tuple[int, list[tuple[int, int, int]], int]
"""Collateral, (market, quantity, entry price) of each leg, and coins that are collateral."""


def draw_accounts(
    population: Population,
    markets: tuple[Market, ...],
    start_prices_e8: list[int],
    *,
    rules: Sequence[MarginRule],
    seed: int,
    due_at_zero: bool,
) -> Accounts:
    """
    Draw every cohort's accounts, in scenario order; then come those of a file, in its order.

    Args:
        population: Who is to be there.
        markets: The markets, by number.
        start_prices_e8: Their reference prices at the start.
        rules: How positions in them count in a margin.
        seed: Seed of every draw.
        due_at_zero: Whether a margin of exactly zero is due.

    Raises:
        ScenarioError: A position is smaller than one unit of the quantity scale.
    """
    numbers = {market.name: number for number, market in enumerate(markets)}
    names: list[str] = []
    cohorts: list[str] = []
    accounts: list[_Account] = []
    for cohort in population.cohorts:
        specs = cohort.legs or (Leg(cohort.market, RATIO_SCALE, 0),)
        legs = [
            _Leg(
                markets[numbers[spec.market]],
                rules[numbers[spec.market]],
                numbers[spec.market],
                start_prices_e8[numbers[spec.market]],
                spec.share_e6,
                spec.hedge_share_e6,
            )
            for spec in specs
        ]
        names += [f"{cohort.name}_{index:05d}" for index in range(cohort.accounts)]
        cohorts += [cohort.name] * cohort.accounts
        accounts += _draw_cohort(
            cohort,
            legs,
            attempts=population.entry_attempts,
            seed=seed,
            due_at_zero=due_at_zero,
        )
    for holding in population.accounts.holdings if population.accounts is not None else ():
        names.append(holding.name)
        cohorts.append("")
        positions = [(numbers[name], quantity, entry) for name, quantity, entry in holding.legs]
        accounts.append((holding.collateral_uusd, positions, holding.coins_e8))
    flat = [(row, *leg) for row, (_, legs_of, _) in enumerate(accounts) for leg in legs_of]
    columns = np.array(flat, dtype=np.int64).reshape(-1, 4)
    collaterals = np.array([collateral for collateral, _, _ in accounts], dtype=np.int64)
    coins = np.array([coins for _, _, coins in accounts], dtype=np.int64)
    rows, market_ids, quantities, entries = (np.ascontiguousarray(columns[:, c]) for c in range(4))
    return Accounts(names, cohorts, collaterals, rows, market_ids, quantities, entries, coins)


def _draw_cohort(
    cohort: Cohort, legs: list[_Leg], *, attempts: int, seed: int, due_at_zero: bool
) -> list[_Account]:
    actor = f"population.{cohort.name}"
    sizes, leverages = _sizes_and_leverages(cohort, seed, actor)
    longs = _sides(sizes, cohort.long_share_e6)
    # The first leg draws as the only leg of an isolated account does.
    entries = [Stream(seed, actor, "entry")]
    entries += [Stream(seed, actor, f"entry.{leg.market.name}") for leg in legs[1:]]
    hedges = [
        Stream(seed, actor, f"hedge.{leg.market.name}").uniforms(0, cohort.accounts)
        for leg in legs[1:]
    ]
    accounts = []
    for index, (size_uusd, leverage, is_long) in enumerate(
        zip(sizes, leverages, longs, strict=True)
    ):
        sides = [is_long] + [
            is_long != (draws[index] * RATIO_SCALE < leg.hedge_share_e6)
            for leg, draws in zip(legs[1:], hedges, strict=True)
        ]
        for attempt in range(attempts + 1):
            positions = []
            for leg, side, draws in zip(legs, sides, entries, strict=True):
                entry = (
                    _entry(cohort, side, draws.normal_at(index, attempt), leg.start_e8)
                    if attempt < attempts
                    else leg.start_e8
                )
                quantity = size_uusd * leg.share_e6 // RATIO_SCALE * NOTIONAL_DIVISOR // entry
                positions.append((leg.market_id, quantity if side else -quantity, entry))
            # What the venue asks of whoever opens caps the leverage that was drawn.
            needed = sum(
                initial_margin_uusd(leg.rule, abs(quantity), entry)
                for leg, (_, quantity, entry) in zip(legs, positions, strict=True)
            )
            if cohort.has_coins:
                needed = ceil_div(needed * RATIO_SCALE, RATIO_SCALE - legs[0].rule.coin_haircut_e6)
            collateral = max(math.ceil(size_uusd / leverage), needed)
            account = (
                (0, positions, collateral_e8(collateral, positions[0][2]))
                if cohort.has_coins
                else (collateral, positions, 0)
            )
            if not _is_due(account, legs, due_at_zero=due_at_zero):
                break
        if not all(quantity for _, quantity, _ in account[1]):
            message = (
                f"population.cohorts.{cohort.name}: account {index} of "
                f"{size_uusd / 1e6:g} USD is below one unit of quantity (1e-8)"
            )
            raise ScenarioError(message)
        accounts.append(account)
    return accounts


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


def _is_due(account: _Account, legs: list[_Leg], *, due_at_zero: bool) -> bool:
    collateral, positions, coins = account
    cash = collateral - sum(taker_cost_uusd(quantity, entry) for _, quantity, entry in positions)
    margin = scaled_margin(
        cash,
        [
            (pieces(leg.rule, quantity, entry, coins_e8=coins), leg.start_e8)
            for leg, (_, quantity, entry) in zip(legs, positions, strict=True)
        ],
    )
    return margin < 0 or (due_at_zero and margin == 0)
