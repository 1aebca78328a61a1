"""Accounts from a file: which of them a run would liquidate at once."""

from collections.abc import Mapping, Sequence

from liqsim.mechanics.coins import value_uusd
from liqsim.mechanics.margin import (
    MARGIN_SCALE,
    MarginRule,
    initial_margin_uusd,
    pieces,
    scaled_margin,
)
from liqsim.scenario.holdings import Holding
from liqsim.scenario.model import Market
from liqsim.units import RATIO_SCALE, amount_text, ceil_div, taker_cost_uusd

_NAMED_MAX = 10


def due_holdings(
    holdings: Sequence[Holding],
    markets: Sequence[Market],
    start_prices_e8: Sequence[int],
    *,
    rules: Sequence[MarginRule],
    due_at_zero: bool,
) -> list[tuple[Holding, int]]:
    """Return the *holdings* that are due at the start prices, each with its margin in micro-USD."""
    terms = {
        market.name: (rule, price)
        for market, rule, price in zip(markets, rules, start_prices_e8, strict=True)
    }
    due = []
    for holding in holdings:
        margin = _scaled_margin(holding, terms)
        if margin < 0 or (due_at_zero and margin == 0):
            due.append((holding, -ceil_div(-margin, MARGIN_SCALE)))
    return due


def short_holdings(
    holdings: Sequence[Holding], markets: Sequence[Market], rules: Sequence[MarginRule]
) -> list[tuple[Holding, int]]:
    """Return the *holdings* with less collateral than initial margin, in micro-USD, with that."""
    rule_of = {market.name: rule for market, rule in zip(markets, rules, strict=True)}
    short = []
    for holding in holdings:
        needed = sum(
            initial_margin_uusd(rule_of[name], abs(quantity_e8), entry_e8)
            for name, quantity_e8, entry_e8 in holding.legs
        )
        given = holding.collateral_uusd
        if holding.coins_e8:
            name, _, entry_e8 = holding.legs[0]
            counts_e6 = RATIO_SCALE - rule_of[name].coin_haircut_e6
            given += value_uusd(holding.coins_e8, entry_e8) * counts_e6 // RATIO_SCALE
        if given < needed:
            short.append((holding, needed))
    return short


def refusal_of(
    due: Sequence[tuple[Holding, int]], short: Sequence[tuple[Holding, int]], file: str
) -> str:
    """Return the message that refuses accounts which are due or short of initial margin."""
    where, let = (
        f'population.accounts.file = "{file}"',
        'due_at_start = "liquidate" would let it be',
    )
    lines = [
        f"{where} at {holding.place}: {holding.name} is due at the start, its margin is "
        f"{amount_text(margin_uusd)} USD; {let}"
        for holding, margin_uusd in due[:_NAMED_MAX]
    ]
    lines += _more(where, len(due), "due at the start")
    lines += [
        f"{where} at {holding.place}: {holding.name} has {amount_text(holding.collateral_uusd)} "
        f"USD of collateral, must have the initial margin, {amount_text(needed_uusd)} USD; {let}"
        for holding, needed_uusd in short[:_NAMED_MAX]
    ]
    lines += _more(where, len(short), "short of initial margin")
    return "\n".join(lines)


def _more(where: str, count: int, what: str) -> list[str]:
    if count <= _NAMED_MAX:
        return []
    more = count - _NAMED_MAX
    accounts = "account that is" if more == 1 else "accounts that are"
    return [f"{where} has {more} more {accounts} {what}"]


def _scaled_margin(holding: Holding, terms: Mapping[str, tuple[MarginRule, int]]) -> int:
    cash_uusd = holding.collateral_uusd
    legs = []
    for name, quantity_e8, entry_e8 in holding.legs:
        rule, price_e8 = terms[name]
        cash_uusd -= taker_cost_uusd(quantity_e8, entry_e8)
        of = pieces(rule, quantity_e8, entry_e8, coins_e8=holding.coins_e8)
        legs.append((of, price_e8))
    return scaled_margin(cash_uusd, legs)
