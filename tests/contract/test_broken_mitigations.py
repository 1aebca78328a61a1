"""
Broken mitigations and processes, two or more for each line of what must hold; what finds them.

The lines are those of the contract suite: 1 money, 2 absence, 3 no look-ahead, 4 triggers,
5 slices, 6 halts, 7 funds, 8 deleveraging, 9 shared losses, 10 parameters, 11 liveness,
12 decisions, 13 scale, 14 incentives, 15 metamorphic laws. `IN_A_LOG` are found by `verify` in the
log of a small crash, under a code; `IN_THE_SUITE` by a test of `MitigationContract`, by name;
`BY_THE_JUDGE` by the auditor that follows the live ledger. Unbroken, each of them passes.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from decimal import Decimal
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from unittest.mock import patch

import attrs
import numpy as np
import pytest
from support.auditor import audited
from support.scenarios import (
    Raw,
    absorbed,
    auctioned,
    concentrated,
    correlated,
    cross_crash,
    crossed,
    cut_short,
    engine_cascade,
    foreseen,
    keeper_race,
    load,
    pooled,
    queued,
    rewarded,
    shared_losses,
    squeeze,
    stepped_down,
    tripped,
    vaulted,
    widened,
)
from support.verdicts import codes

from liqsim.events import (
    BadDebtRecorded,
    DecisionRecorded,
    FundDrawn,
    KeeperRewarded,
    LiquidationUnresolved,
    OrderFilled,
    Owner,
    TranchesCrossed,
)
from liqsim.journal import Journal
from liqsim.mechanics import losses as loss_rules
from liqsim.mechanics import waterfall
from liqsim.mechanics.liquidity import Fill, FrictionlessBook
from liqsim.mechanics.mitigations.breaker import Levels
from liqsim.mitigations import Ask, Mitigation, Verdict
from liqsim.processes import (
    fund,
    incentives,
    losses,
    maintenance,
    pacing,
    reductions,
    resale,
    venue,
)
from liqsim.processes.context import MarketDesk
from liqsim.processes.flows import Flows
from liqsim.processes.margins import Margins
from liqsim.processes.resale import Inventory
from liqsim.runner import prepare, run_to_log
from liqsim.scenario import loader
from liqsim.scenario.mitigations import OTHERS
from liqsim.testing import MitigationContract
from liqsim.units import taker_cost_uusd
from liqsim.world.ledger import Ledger

Break = Callable[[], AbstractContextManager[Any]]
Story = Callable[[], Raw]


def instead(where: Any, name: str, broken: Callable[..., Any]) -> Break:
    """Return what puts *broken* in the place of a function, which it is given first."""
    right = getattr(where, name)
    return lambda: patch.object(where, name, lambda *args, **kw: broken(right, *args, **kw))


def changing(where: Any, name: str, change: Callable[[Any], Any]) -> Break:
    """Return what changes whatever a function returns."""
    return instead(where, name, lambda right, *args, **kw: change(right(*args, **kw)))


# 1. Money -----------------------------------------------------------------------------------------


def after_each(cls: type[Any], effect: Callable[[Ledger, Any], None]) -> Break:
    """Return what has the live ledger do something more after each posting of a kind."""

    def posting_of(right: Any, ledger: Ledger, kind: type[Any]) -> Any:
        posting = right(ledger, kind)
        if kind is not cls:
            return posting

        def post(event: Any, seq: int, at_us: int) -> None:
            posting(event, seq, at_us)
            effect(ledger, event)

        return post

    return instead(Ledger, "posting_of", posting_of)


def _unit_lost(ledger: Ledger, fill: OrderFilled) -> None:
    ledger.unit_views[fill.market_id][fill.bucket_id] += 1 if fill.quantity_e8 > 0 else -1


def _pays_nothing(ledger: Ledger, draw: FundDrawn) -> None:
    ledger.cash_view[Owner.FUND] += draw.amount_uusd


# 3. Look-ahead ------------------------------------------------------------------------------------


def _half_a_minute_ahead(right: Any, desk: Any, now_us: int) -> Any:
    """Tell the market price as it would be at the reference of later."""
    last_us = desk.path.step_us * len(desk.path.prices_e8) - 1
    return right(desk, min(now_us + 30_000_000, last_us))


# 4 to 6. Triggers, slices, halts ------------------------------------------------------------------


def _solvent_too(right: Any, self: venue.Venue, desk: Any, cause: int) -> None:
    """Have the first account that is not due triggered with those that are."""
    right(self, desk, cause)
    world, margins = self._context.world, self.margins
    held = np.flatnonzero(world.ledger.units[desk.market_id] * (world.liquidation_seq < 0))
    solvent = [b for b in held.tolist() if b >= self._context.first_bucket]
    if self._liquidations and solvent:
        self._trigger(desk, solvent[0], margins.margin(solvent[0]), cause)


def _impatient(right: Any, self: Any, ask: Ask, cause: int) -> tuple[int, int]:
    """Say when a slice may be put up, and put it up at once."""
    at_us, size = right(self, ask, cause)
    return ask.now_us, (size if at_us <= ask.now_us else ask.wanted_e8)


def _larger(right: Any, self: Any, ask: Ask, cause: int) -> tuple[int, int]:
    at_us, size = right(self, ask, cause)
    return at_us, min(size + 1, ask.wanted_e8)


def _lost_on_the_way(
    right: Any, self: Any, whose: Any, slice_: Any, *parts: int, **kw: int
) -> None:
    filled, *others = parts or (0,)
    right(self, whose, slice_, max(filled - 1, 0), *others, **kw)


def _for_a_better_price(right: Any, self: Any, *lot: Any) -> None:
    """Have who sells to an account get more than who sells to bidders."""
    number, tranche, theirs, size, price, since_us = lot
    right(self, number, tranche, theirs, size, price + 1, since_us)


def _only_bids(cleared: tuple[int, list[int]]) -> tuple[int, list[int]]:
    price, fills = cleared
    return price, [*fills[:-1], 0]


def _always_open(_right: Any, self: Levels, _now_us: int) -> list[int]:
    return list(range(len(self._levels), 0, -1))


def _halted_crossing() -> Raw:
    """A breaker that halts while longs and shorts are held for each other."""
    raw, fall = crossed(), {"observable": "fall", "window": "30s", "above": Decimal("0.005")}
    raw["mitigations"] += [{"kind": "breaker", "when": [fall], "duration": "9s", "cool_down": "9s"}]
    return raw


def _only_without_company(right: Any, self: venue.Venue, liquidation: Any) -> int:
    """Let nobody be stopped by a halt while somebody is held to be met."""
    return 0 if self._crossings._holds.held(0) else right(self, liquidation)  # type: ignore[no-any-return]


# 7 to 9. Funds, deleveraging, losses --------------------------------------------------------------


def _on_credit(right: Any, *args: Any) -> int:
    return right(*args) + 10**8  # type: ignore[no-any-return]


@contextmanager
def _on_credit_in_secret() -> Iterator[None]:
    """Have the fund pay what it has not, and say that nothing is left."""

    def draw(tranche_seq: int, bucket: int, amount: int, left: int) -> FundDrawn:
        return FundDrawn(tranche_seq, bucket, amount, max(left, 0))

    with instead(fund.Fund, "payable_uusd", _on_credit)(), patch.object(fund, "FundDrawn", draw):
        yield


def _worst_first(_right: Any, ranks: Any, _sizes: Any, _size_e8: int) -> Iterator[int]:
    return iter(np.argsort(ranks, kind="stable").tolist())


def _twice(parts: list[Any]) -> list[Any]:
    """Have the first one closed twice over, as far as there is to be closed, and nobody else."""
    whole = sum(part.size_e8 for part in parts)
    first = [attrs.evolve(part, size_e8=min(2 * part.size_e8, whole)) for part in parts[:1]]
    return first if len(parts) > 1 else parts


def _one_pays_less(payments: Any) -> Any:
    amounts = payments.amounts_uusd.copy()
    amounts[:1] -= amounts[:1] > 1
    return attrs.evolve(payments, amounts_uusd=amounts)


def _evenly(right: Any, total_uusd: int, weights: Any) -> Any:
    return right(total_uusd, np.ones_like(weights))


def unrecorded(*kinds: type[Any]) -> Break:
    """Return what keeps events of a kind out of the journal."""

    def append(right: Any, self: Journal, event: Any, *cause: Any) -> int:
        return self.next_seq - 1 if isinstance(event, kinds) else right(self, event, *cause)

    return instead(Journal, "append", append)


# 10. Parameters -----------------------------------------------------------------------------------


def _at_once(right: Any, self: Any, decision: DecisionRecorded) -> None:
    """Have what is announced hold now."""
    context = self._context
    with patch.object(context, "call", lambda _wait, *rest: type(context).call(context, 0, *rest)):
        right(self, decision)


def _unannounced(right: Any, self: Any, decision: DecisionRecorded) -> None:
    """Have what was to be announced hold without a word."""
    with patch.object(self._context.journal, "append", lambda *_: 0):
        right(self, decision)


def _in_one_leap(_right: Any, spec: Any, _multiplier: int, _observed: int) -> int:
    return spec.high_e6  # type: ignore[no-any-return]


def _out_of_bounds(_right: Any, spec: Any, multiplier: int, _observed: int) -> int:
    """Rise by whole ramps, whatever the bounds are."""
    return multiplier + int(spec.ramp_e6 or 0)


def _for_good(right: Any, self: Any, decision: Any, cause: int, is_begin: bool) -> None:
    if is_begin:
        right(self, decision, cause, is_begin)


def _never_by_a_rule(right: Any, *, is_due_on_shadow: bool, **_: bool) -> Any:
    return right(is_due_under_start=True, is_due_on_shadow=is_due_on_shadow)


# 14. Incentives -----------------------------------------------------------------------------------


def _uncapped_fee(right: Any, *args: Any, **others: Any) -> Any:
    """Have the fee taken in full, out of what is left or not."""
    settlement = right(*args, **others)
    return attrs.evolve(settlement, fee_uusd=args[4])


def _all_of_its_capital(_right: Any, cash_uusd: int, *_: Any) -> int:
    return cash_uusd


def _burns_less(right: Any, *args: Any, **others: Any) -> Any:
    """Lose a part of every penalty between its shares."""
    parts = right(*args, **others)
    return parts | {"burn": parts["burn"] // 2}


def _poor_rewards() -> Raw:
    """Rewards that soon have nothing left."""
    raw = rewarded()
    raw["mitigations"][1]["budget_usd"] = 30
    return raw


@contextmanager
def _beyond_the_budget() -> Iterator[None]:
    """Have rewards paid as if nothing had been paid yet, and say that nothing is left."""

    def payable(right: Any, spec: Any, owed: int, used: int, _left: int) -> int:
        return right(spec, owed, used, spec.budget_uusd)  # type: ignore[no-any-return]

    def reward(*, budget_uusd: int, **others: Any) -> KeeperRewarded:
        return KeeperRewarded(budget_uusd=max(budget_uusd, 0), **others)

    with (
        instead(incentives, "payable_uusd", payable)(),
        patch.object(incentives, "KeeperRewarded", reward),
    ):
        yield


def _at_a_better_price(right: Any, self: Journal, event: Any, *cause: Any) -> int:
    """Have slices cross a cent off the mark."""
    if isinstance(event, TranchesCrossed):
        event = attrs.evolve(event, price_e8=event.price_e8 + 10**6)
        event = attrs.evolve(event, cost_uusd=taker_cost_uusd(event.quantity_e8, event.price_e8))
    return right(self, event, *cause)  # type: ignore[no-any-return]


# What `verify` finds ------------------------------------------------------------------------------


_PACED: Final = {"kind": "rate_limit", "max_usd": 20_000, "span": "10s", "least_usd": 1_000}
_SHARE: Final = {
    "kind": "slices",
    "law": "participation",
    "least_usd": 10,
    "background_usd_per_hour": 2_000_000,
}
_DEPTH: Final = {"kind": "slices", "law": "depth_share", "least_usd": 10}
_CAP: Final = {"kind": "slippage_cap", "max_slippage": Decimal("0.001"), "least_usd": 10}


def _with(*rows: Raw, story: Callable[..., Raw] = engine_cascade) -> Story:
    return lambda: story(mitigations=list(rows))


def _unshared() -> Raw:
    """A squeeze whose losses nobody pays."""
    return squeeze(venue__waterfall__deleveraging="none")


def _poor_vault() -> Raw:
    """A vault that can buy little."""
    raw = vaulted()
    raw["mitigations"][0]["purse_usd"] = 300
    return raw


def _raising() -> Raw:
    """Margin rates that rise by steps, with notice."""
    row = {
        "kind": "dynamic_margin",
        "period": "2s",
        "half_life": "6s",
        "reference": 4,
        "high": 3,
        "ramp": Decimal("0.2"),
        "notice": "5s",
    }
    return cross_crash(mitigations=[row])


def _cut() -> Raw:
    """A haircut on coins alone: what scales rates besides is left out."""
    raw = cut_short()
    raw["mitigations"] = raw["mitigations"][:2]
    return raw


def _halted_steps() -> Raw:
    raw = stepped_down()
    halt = {"kind": "breaker", "when": [{"observable": "fall", "above": Decimal("0.001")}]}
    raw["mitigations"].append(halt)
    return raw


IN_A_LOG: Final[dict[str, tuple[int, Story, Break, str]]] = {
    "a unit is lost in every fill": (
        1, engine_cascade, after_each(OrderFilled, _unit_lost), "tranche_size",
    ),
    "what the fund pays is made of nothing": (
        1, engine_cascade, after_each(FundDrawn, _pays_nothing), "fund_balance",
    ),
    "it looks half a minute ahead in the book": (
        3, _with(_CAP), instead(MarketDesk, "market_price_e8", _half_a_minute_ahead), "decision",
    ),
    "solvent accounts are liquidated, too": (
        4, engine_cascade, instead(venue.Venue, "_judge", _solvent_too), "not_due",
    ),
    "restored accounts are liquidated on": (
        4, cross_crash, changing(Margins, "is_restored", lambda _: False), "lifecycle",
    ),
    "a slice is larger than its cap": (
        5, _with(_DEPTH), instead(pacing.Pacing, "grant", _larger), "tranche_size",
    ),
    "slices come sooner than promised": (
        5, _with(_PACED), instead(pacing.Pacing, "grant", _impatient), "tranche_spacing",
    ),
    "part of a slice is lost on the way": (
        5, engine_cascade, instead(venue.Venue, "_settle", _lost_on_the_way), "tranche_parts",
    ),
    "liquidations go on in a halt": (
        6, tripped, changing(venue.Venue, "_is_halted", lambda _: False), "halted",
    ),
    "a breaker never cools down": (
        6, tripped, instead(Levels, "open_at", _always_open), "decision",
    ),
    "a halt is longer than its terms": (
        6, tripped, changing(Levels, "trip", lambda until_us: until_us + 1), "decision",
    ),
    "the fund pays on credit": (
        7, engine_cascade, _on_credit_in_secret, "fund_negative",
    ),
    "stakers pay although the fund could": (
        7, absorbed, changing(fund.Fund, "payable_uusd", lambda _: 0), "draw",
    ),
    "a limit on the fund is not kept": (
        7,
        absorbed,
        instead(fund, "payable_uusd", lambda _right, _spec, _used, _paid: 10**12),
        "draw",
    ),
    "the worst rank is deleveraged first": (
        8, engine_cascade, instead(waterfall, "best_first", _worst_first), "deleverage_rank",
    ),
    "deleveraging turns a position round": (
        8, engine_cascade, changing(venue, "decide_deleveraging", _twice), "deleverage_side",
    ),
    "the last one in the queue is spared": (
        8,
        engine_cascade,
        changing(venue, "decide_deleveraging", lambda p: p[:-1] if len(p) > 1 else p),
        "deleverage_rank",
    ),
    "a share of a loss is forgiven": (
        9, shared_losses, changing(losses, "decide_socialised", _one_pays_less), "socialised",
    ),
    "profits are not cut in proportion": (
        9, shared_losses, instead(loss_rules, "shares_uusd", _evenly), "haircut",
    ),
    "what caps leave over is nobody's debt": (
        9, _unshared, unrecorded(BadDebtRecorded), "bad_debt",
    ),
    "rates rise before they were to": (
        10, _raising, instead(maintenance.Maintenance, "announce", _at_once),
        "maintenance_schedule",
    ),
    "rates rise without a word": (
        10, _raising, instead(maintenance.Maintenance, "announce", _unannounced),
        "maintenance_schedule",
    ),
    "rates rise in one leap": (
        10, _raising, instead(maintenance, "next_multiplier_e6", _in_one_leap), "decision",
    ),
    "what a rule brought about is laid to the crash": (
        10,
        _raising,
        instead(venue, "standing_of", _never_by_a_rule),
        "standing",
    ),
    "whoever is left at the end is not listed": (
        11, queued, unrecorded(LiquidationUnresolved), "unresolved_missing",
    ),
    "a step is above its cap": (
        4, stepped_down, changing(reductions, "step_e8", lambda order: 2 * order), "reduction",
    ),
    "a step turns a position round": (
        4, stepped_down, changing(reductions, "step_e8", lambda order: 30 * order), "reduction",
    ),
    "positions are reduced inside a halt": (
        6, _halted_steps, changing(venue.Venue, "holds_back", lambda _: False), "halted",
    ),
    "half of the flow is observed": (
        12, _with(_SHARE), changing(Flows, "traded_uusd", lambda flow: flow // 2), "decision",
    ),
    "nobody is told of a decision": (
        12, _with(_PACED), unrecorded(DecisionRecorded), "decision",
    ),
    "a keeper is paid more than the discount": (
        14,
        keeper_race,
        instead(venue, "takeover_price_e8", lambda right, m, d, p: right(m, d + 1_000, p)),
        "takeover_price",
    ),
    "the penalty exceeds what is left": (
        14, engine_cascade, instead(venue, "decide_settlement", _uncapped_fee), "fee",
    ),
    "an auction has two prices": (
        5, auctioned, instead(venue.Venue, "_exchange", _for_a_better_price), "auction",
    ),
    "a slice is auctioned below its reserve price": (
        5, auctioned, changing(Margins, "bankruptcy_price_e8", lambda _: 1), "auction",
    ),
    "bidders are forgotten where they bid": (
        5, auctioned, changing(venue, "clear", _only_bids), "auction",
    ),
    "slices cross a cent off the mark": (
        1, crossed, instead(Journal, "append", _at_a_better_price), "crossed",
    ),
    "shares of a penalty do not add up": (
        1, rewarded, instead(incentives, "split_uusd", _burns_less), "penalty_routing",
    ),
    "slices cross in a halt": (
        6, _halted_crossing, instead(venue.Venue, "_stopped_us", _only_without_company), "halted",
    ),
    "a model has rates rise without a word": (
        10, foreseen, instead(maintenance.Maintenance, "announce", _unannounced),
        "maintenance_schedule",
    ),
    "a model has rates rise in one leap": (
        10, foreseen, instead(maintenance, "next_multiplier_e6", _in_one_leap), "decision",
    ),
    "correlation takes rates out of bounds": (
        10, correlated, instead(maintenance, "next_multiplier_e6", _out_of_bounds), "decision",
    ),
    "coins count for less in one leap": (
        10, _cut, instead(maintenance, "next_multiplier_e6", _in_one_leap), "decision",
    ),
    "coins count for less without a word": (
        10, _cut, instead(maintenance.Maintenance, "announce", _unannounced), "coin_haircut",
    ),
    "coins count for less before they were to": (
        10, _cut, instead(maintenance.Maintenance, "announce", _at_once), "coin_haircut",
    ),
    "concentration takes rates out of bounds": (
        10, concentrated, instead(maintenance, "next_multiplier_e6", _out_of_bounds), "decision",
    ),
    "widened margins are not taken back": (
        10, widened, instead(maintenance.Maintenance, "_widen", _for_good),
        "maintenance_schedule",
    ),
    "a pool goes ahead of a better book": (
        12, pooled, instead(venue, "goes_ahead", lambda *_, **__: True), "pool",
    ),
    "a pool pays more than its discount": (
        14,
        pooled,
        instead(venue, "takeover_price_e8", lambda right, mark, _off, size: right(mark, 0, size)),
        "takeover_price",
    ),
    "a pool takes more than its capital": (
        14, pooled, instead(resale, "free_capital_uusd", _all_of_its_capital), "pool",
    ),
    "keepers are paid beyond the budget": (
        14, _poor_rewards, _beyond_the_budget, "keeper_reward",
    ),
    "a vault buys more than it has": (
        14, _poor_vault, changing(Inventory, "free_uusd", lambda _: 10**12), "backstop",
    ),
}  # fmt: skip


@cache
def _found_unbroken(story: Story) -> set[str]:
    with TemporaryDirectory() as folder:
        run_to_log(load(story()), Path(folder) / "log.duckdb")
        return codes(Path(folder) / "log.duckdb")


@pytest.mark.parametrize("name", IN_A_LOG)
def test_what_is_broken_is_found_in_its_log(name: str, tmp_path: Path) -> None:
    _, story, broken, code = IN_A_LOG[name]
    assert _found_unbroken(story) == set()
    with broken():
        run_to_log(load(story()), tmp_path / "log.duckdb")

    assert code in codes(tmp_path / "log.duckdb")


# What the auditor finds, who follows the live ledger ----------------------------------------------


BY_THE_JUDGE: Final[dict[str, tuple[int, Story, Break]]] = {
    "a unit is lost in every fill": (1, engine_cascade, after_each(OrderFilled, _unit_lost)),
    "what the fund pays is made of nothing": (
        1, engine_cascade, after_each(FundDrawn, _pays_nothing),
    ),
    "solvent accounts are liquidated, too": (
        4, engine_cascade, instead(venue.Venue, "_judge", _solvent_too),
    ),
    "slices come sooner than promised": (
        5, _with(_PACED), instead(pacing.Pacing, "grant", _impatient),
    ),
    "liquidations go on in a halt": (
        6, tripped, changing(venue.Venue, "_is_halted", lambda _: False),
    ),
    "a step turns a position round": (
        4, stepped_down, changing(reductions, "step_e8", lambda order: 30 * order),
    ),
    "a step is above its cap": (
        4, stepped_down, changing(reductions, "step_e8", lambda order: 2 * order),
    ),
    "positions are reduced inside a halt": (
        6, _halted_steps, changing(venue.Venue, "holds_back", lambda _: False),
    ),
    "deleveraging turns a position round": (
        8, engine_cascade, changing(venue, "decide_deleveraging", _twice),
    ),
    "a share of a loss is forgiven": (
        9, shared_losses, changing(losses, "decide_socialised", _one_pays_less),
    ),
    "rates rise before they were to": (
        10, _raising, instead(maintenance.Maintenance, "announce", _at_once),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BY_THE_JUDGE)
def test_what_is_broken_is_found_as_it_happens(name: str) -> None:
    _, story, broken = BY_THE_JUDGE[name]
    audited(prepare(load(story())))
    with broken(), pytest.raises((AssertionError, KeyError)):
        audited(prepare(load(story())))


# What the contract suite finds --------------------------------------------------------------------


@attrs.frozen
class Fair(Mitigation):
    """What the broken ones below would be: it cuts to a fifth."""

    def judge(self, ask: Ask, _sight: Any) -> Verdict:
        """Return a fifth, but no dust."""
        size = max(ask.wanted_e8 // 5, ask.at_trigger_e8 // 25)
        return Verdict(size_e8=size) if self.name != "inert" else Verdict()


@attrs.frozen
class Meddling(Fair):
    """Cuts a little even where it is to do nothing."""

    def judge(self, ask: Ask, sight: Any) -> Verdict:
        """Return all but a unit."""
        fair = super().judge(ask, sight)
        return fair if fair.size_e8 else Verdict(size_e8=max(ask.wanted_e8 - 1, 1))


@attrs.frozen
class Clairvoyant(Fair):
    """Waits while prices are about to fall, by a path that it was not shown."""

    def judge(self, ask: Ask, sight: Any) -> Verdict:
        """Wait a second if the reference is to be lower half a minute on."""
        context = sight._context
        path, end_us = context.markets[ask.market_id].path, context.scenario.end_us
        later_us = min(ask.now_us + 30_000_000, end_us - 1)
        if path.at(later_us) * 100 < path.at(ask.now_us) * 99:
            return Verdict(until_us=ask.now_us + 1_000_000)
        return super().judge(ask, sight)


@attrs.frozen
class Stubborn(Fair):
    """Lets nobody be liquidated."""

    def judge(self, ask: Ask, sight: Any) -> Verdict:
        """Have everybody wait an hour."""
        fair = super().judge(ask, sight)
        return Verdict(until_us=ask.now_us + 3_600_000_000) if fair.size_e8 else fair


_ASKED: dict[int, int] = {}


@attrs.frozen
class Remembering(Fair):
    """Cuts the more, the more often it was asked about an account."""

    def judge(self, ask: Ask, _sight: Any) -> Verdict:
        """Return less each time."""
        _ASKED[ask.bucket_id] = _ASKED.get(ask.bucket_id, 0) + 1
        return Verdict(size_e8=max(ask.wanted_e8 // (1 + _ASKED[ask.bucket_id] % 5), 1))


@attrs.frozen
class Absolute(Fair):
    """Has a size of its own."""

    def judge(self, ask: Ask, _sight: Any) -> Verdict:
        """Return eight units and a fifth."""
        return Verdict(size_e8=8 * 10**8 + ask.wanted_e8 // 5)


@attrs.frozen
class PerAccount(Fair):
    """Has a cap for each account."""

    def judge(self, ask: Ask, _sight: Any) -> Verdict:
        """Return what a thousand USD buys at the mark, until the slice is a small one."""
        return Verdict(size_e8=10**19 // ask.mark_e8)


@attrs.frozen
class Nominal(Fair):
    """Knows a price by its number."""

    def judge(self, ask: Ask, sight: Any) -> Verdict:
        """Cut below 97 USD."""
        fair = super().judge(ask, sight)
        return fair if ask.mark_e8 < 97 * 10**8 else Verdict()


def contract_of(cls: type[Mitigation]) -> MitigationContract:
    """Return the contract of a kind, over few crashes."""
    kind = cls.__name__.lower()
    contract = MitigationContract()
    contract.__class__ = type(
        "Held",
        (MitigationContract,),
        {"mitigation": {"kind": kind}, "inert": {"kind": kind, "name": "inert"}, "runs": 2},
    )
    return contract


def _stingy_if_rich(right: Any, its: fund.Fund, *args: Any) -> int:
    return 0 if its.balance_uusd > 10**9 else right(its, *args)  # type: ignore[no-any-return]


@contextmanager
def _nothing_is_left_out() -> Iterator[None]:
    """Have the scenario keep its rows that are off."""

    def evolve(scenario: Any, **changes: Any) -> Any:
        if "mitigations" in changes:
            changes["mitigations"] = scenario.mitigations
        return attrs.evolve(scenario, **changes)

    with patch.object(loader, "attrs", type("", (), {"evolve": staticmethod(evolve)})):
        yield


def _moves_the_price(fill: Fill | None) -> Fill | None:
    return None if fill is None else attrs.evolve(fill, market_price_e8=fill.market_price_e8 - 1)


def nothing() -> AbstractContextManager[None]:
    """Break nothing beside the class."""
    return nullcontext()


IN_THE_SUITE: Final[dict[str, tuple[int, type[Mitigation], Break, str]]] = {
    "it draws": (12, Remembering, nothing, "test_1_the_log_of_every_run_is_clean"),
    "it acts where it is to do nothing": (
        2, Meddling, nothing, "test_2_inert_is_absent",
    ),
    "what is off acts": (
        2, Fair, _nothing_is_left_out, "test_2_off_is_absent",
    ),
    "it knows what comes": (3, Clairvoyant, nothing, "test_3_nothing_looks_ahead"),
    "it looks where no log shows": (
        3, Clairvoyant, nothing, "test_1_the_log_of_every_run_is_clean",
    ),
    "it lets nobody be liquidated": (
        11, Stubborn, nothing, "test_11_what_is_due_is_settled_once_all_is_calm",
    ),
    "it has a size of its own": (
        13, Absolute, nothing, "test_13_k_times_as_large_is_the_same_story",
    ),
    "it has a cap for each account": (
        13, PerAccount, nothing, "test_13_two_halves_are_a_whole",
    ),
    "it knows prices by their numbers": (
        13, Nominal, nothing, "test_13_the_unit_of_a_contract_is_of_no_matter",
    ),
    "fills move prices without impact": (
        15, Fair, changing(FrictionlessBook, "fill", _moves_the_price),
        "test_15_without_impact_no_price_changes",
    ),
    "a rich fund pays less": (
        15, Fair, instead(fund.Fund, "payable_uusd", _stingy_if_rich),
        "test_15_a_larger_fund_never_brings_the_first_deleveraging_forward",
    ),
}  # fmt: skip


@pytest.fixture
def kinds(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Have a class be a kind for as long as the test lasts."""
    return lambda cls: monkeypatch.setitem(OTHERS, cls.__name__.lower(), cls)


@pytest.mark.parametrize("name", IN_THE_SUITE)
def test_what_is_broken_is_found_by_the_suite(name: str, kinds: Any) -> None:
    _, cls, broken, test = IN_THE_SUITE[name]
    for one in (Fair, cls):
        kinds(one)
    getattr(contract_of(Fair), test)()

    with broken(), pytest.raises(AssertionError):
        getattr(contract_of(cls), test)()


def test_a_rule_that_acts_too_rarely_is_told() -> None:
    mitigation = {"kind": "crossing", "hold": "6s"}
    rule = {"mitigation": mitigation, "deed": TranchesCrossed, "runs": 2}
    contract = MitigationContract()
    contract.__class__ = type("Held", (MitigationContract,), rule)

    with pytest.raises(AssertionError, match="tranches_crossed occurs 0 times in 2 runs"):
        contract.test_13_k_times_as_large_is_the_same_story()


@pytest.mark.parametrize("line", range(1, 16))
def test_every_line_has_two_that_break_it(line: int) -> None:
    names = {
        name for table in (IN_A_LOG, IN_THE_SUITE) for name, row in table.items() if row[0] == line
    }
    assert len(names) >= 2
