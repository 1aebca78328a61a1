"""
What liquidations lost and who paid, and what makers, fund and keepers made of it, reckoned again.

The reckoning is in integers, over the events in order, and shares nothing with the views: each of
its figures must be the view's to the last unit of 1e-16 USD.
"""

from collections import Counter, defaultdict
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.effort import cases
from support.floors import assert_floors
from support.scenarios import HANDMADE, LAST_LAYERS, Raw, load, scenarios

from liqsim.events import (
    BadDebtRecorded,
    BookSampled,
    CoinsDeposited,
    CoinsSettled,
    ContributionPaid,
    Entry,
    FundDrawn,
    FundingIndexMoved,
    FundingPaid,
    FundsDeposited,
    FundsWithdrawn,
    InventorySold,
    KeeperCallFailed,
    LiquidationEnded,
    LiquidationTriggered,
    LossSocialised,
    MarketExtremes,
    OracleUpdated,
    OrderFilled,
    PositionDeleveraged,
    PositionOpened,
    PositionReduced,
    ProfitCut,
    ShadowCrossed,
    ShadowUpdated,
    Standing,
    SurplusRouted,
    TradeFilled,
    TrancheStarted,
    TrancheTakenOver,
)
from liqsim.runner import run_to_log
from replay.log import Log

OUTSIDE, MAKERS, FUND, TREASURY, NETWORK = range(5)
E10: Final = 10**10
"""USD in 1e-16 per micro-USD."""

_RUNS = 40
_TERMS = ("cushion", "displacement", "delay", "slippage", "fee")
_FLOORS_OF_BOTH = {
    "runs": _RUNS,
    "deleveraged": 80,
    "liquidation of several legs": 7,
    "crossed at the trigger": 90,
    "never crossed": 30,
    "a cushion": 300,
    "a displacement": 80,
    "a delay": 200,
    "a slippage": 300,
    "a fee": 8,
    "collateral": 60,
    "fund": 40,
    "nobody": 12,
    "surplus_to_account": 4,
    "open at the end": 20,
    "restored": 25,
    "revalued between moves": 1_000,
    "makers falls": 13,
    "converted": 60,
    "fund falls": 9,
    "an account in profit": 300,
    "unresolved": 10,
}
_FLOORS: Final[dict[str, dict[str, int]]] = {
    "engine": {
        "filled": 400,
        "partial fill": 200,
        "part of another leg": 15,
        "crossed before": 6,
        "crossed later": 4,
        "surplus_to_fund": 3,
    },
    "keepers": {"taken_over": 150, "keeper falls": 15, "keeper holds at the end": 6},
}
_FLOORS_OF_HOLES = {
    "haircut": 1_000,
    "socialised": 3_000,
    "nobody": 3,
    "backer": 4,
    "filled": 600,
    "a displacement": 500,
    "crossed before": 25,
    "crossed later": 130,
    "liquidation of several legs": 80,
    "part of another leg": 120,
}


def _e16(value: Decimal | None) -> int:
    assert value is not None
    scaled = value.scaleb(16)
    assert scaled == int(scaled)
    return int(scaled)


@attrs.define
class _Part:
    """An execution: its numbers in 1e-16 USD, by the name of the term."""

    liquidation: int
    market: int
    terms: dict[str, int]
    loss: int


@attrs.define
class _Case:
    """A liquidation: what its bucket had at the trigger, and what others paid it since."""

    seq: int
    bucket: int
    market: int
    cash: int
    units: dict[int, int]
    marks: dict[int, int]
    bankruptcy: dict[int, int]
    crossing: dict[int, int] | None
    parts: list[int] = attrs.Factory(list)
    paid: Counter[tuple[str, int | None]] = attrs.Factory(Counter)
    left: int | None = None

    def worth(self, cash: int, units: dict[int, int]) -> int:
        """Return what balances come to at the bankruptcy prices of the trigger."""
        return cash * E10 + sum(self.bankruptcy[m] * q for m, q in units.items())


class Reckoning:
    """Books kept from the events of a log, in order."""

    def __init__(self, log: Log) -> None:
        self.kind = {owner.owner_id: owner.kind for owner in log.reader.owners}
        self.names = {owner.owner_id: owner.name for owner in log.reader.owners}
        self.cash: defaultdict[int, int] = defaultdict(int)
        self.units: defaultdict[int, Counter[int]] = defaultdict(Counter)
        self.marks: dict[int, int] = {}
        self.shadows: dict[int, int] = {}
        self.prices = {m: int(path[1][0]) for m, path in log.reader.reference_prices().items()}
        self.waiting: dict[int, dict[int, int]] = {}
        self.cases: dict[int, _Case] = {}
        self.tranches: dict[int, int] = {}
        self.parts: dict[int, _Part] = {}
        self.given: Counter[int] = Counter()
        self.brought: Counter[int] = Counter()
        self.brought_coins: defaultdict[int, Counter[int]] = defaultdict(Counter)
        self.triggered: set[int] = set()
        self.curves: dict[int, list[tuple[int, int, int, int, int]]] = {}
        self.capitalists = [
            owner
            for owner, kind in self.kind.items()
            if kind not in ("outside", "network", "bucket")
        ]
        self.touched: set[int] = set()
        self.census: Counter[str] = Counter()
        self._opening: int | None = None
        self.carried: dict[int, int] = {}
        for entry in log.entries():
            self._read(entry)
        for case in self.cases.values():
            if case.left is None:
                self._close(case)
                self.census["open at the end"] += bool(case.parts)

    # Books ----------------------------------------------------------------------------------------

    def _read(self, entry: Entry) -> None:
        event = entry.event
        opening = FundsDeposited | CoinsDeposited | PositionOpened
        is_opening = entry.sim_time_us == 0 and isinstance(event, opening)
        if not is_opening and self._opening is None:
            self._open(entry.seq - 1)
        before = {
            owner: {m: q for m, q in self.units[owner].items() if q} for owner in self.capitalists
        }
        self.touched = set()
        priced = self._apply(entry)
        for owner in self.touched & set(self.waiting):
            del self.waiting[owner]  # These balances are gone.
        if is_opening:
            return
        for owner in self.capitalists:
            holds = priced is not None and before[owner].get(priced)
            if owner in self.touched or holds:
                self._note(owner, entry.seq)
                self.census["revalued between moves"] += owner not in self.touched

    def _open(self, seq: int) -> None:
        self._opening = seq
        for owner in self.capitalists:
            if seq >= 0:
                self.carried[owner] = self._inventory(owner) + (self.cash[owner]) * E10
                self.carried[owner] -= self.given[owner] * E10
                self._note(owner, seq)

    def _inventory(self, owner: int) -> int:
        return sum(q * self.prices[m] for m, q in self.units[owner].items())

    def _note(self, owner: int, seq: int) -> None:
        cash, inventory = self.cash[owner] * E10, self._inventory(owner)
        gross = sum(abs(q) * self.prices[m] for m, q in self.units[owner].items())
        capital = self.given[owner] * E10 + self.carried[owner]
        self.curves.setdefault(owner, []).append((seq, cash, inventory, gross, capital))

    def _pay(self, payer: int, payee: int, amount: int) -> None:
        self.cash[payer] -= amount
        self.cash[payee] += amount
        self.brought[payee] += amount * (payer == OUTSIDE)
        self.brought[payer] -= amount * (payee == OUTSIDE)
        if amount:
            self.touched |= {payer, payee}

    def _trade(self, taker: int, other: int, event: Any) -> None:
        self.units[taker][event.market_id] += event.quantity_e8
        self.units[other][event.market_id] -= event.quantity_e8
        self.touched |= {taker, other}
        self._pay(taker, other, event.cost_uusd)

    def _apply(self, entry: Entry) -> int | None:
        """Post an event and note what it says; return the market whose price it states."""
        event: Any = entry.event
        match event:
            case FundsDeposited():
                self._pay(OUTSIDE, event.owner_id, event.amount_uusd)
                self.given[event.owner_id] += event.amount_uusd
            case PositionOpened():
                self._trade(event.bucket_id, MAKERS, event)
            case CoinsDeposited():
                self._bring_coins(event)
            case CoinsSettled():
                self._exchanged(entry.seq, event)
            case OracleUpdated() | BookSampled():
                self.marks[event.market_id] = event.mark_price_e8
                self.shadows[event.market_id] = event.shadow_mark_e8
                return self._price(event.market_id, event.mark_price_e8)
            case ShadowUpdated():
                self.shadows[event.market_id] = event.shadow_mark_e8
            case ShadowCrossed():
                self._crossed(event)
            case LiquidationTriggered():
                self._trigger(entry.seq, event)
            case TrancheStarted():
                self.tranches[entry.seq] = event.liquidation_seq
            case OrderFilled() | TrancheTakenOver() | PositionDeleveraged():
                return self._executed(entry.seq, event)
            case KeeperCallFailed():
                self._pay(event.keeper_id, NETWORK, event.call_cost_uusd)
            case FundsWithdrawn():
                self._pay(event.bucket_id, OUTSIDE, event.amount_uusd)
            case TradeFilled() | PositionReduced():
                self._trade(event.bucket_id, MAKERS, event)
                self._pay(event.bucket_id, TREASURY, event.fee_uusd)
                return self._price(event.market_id, event.market_price_e8)
            case InventorySold():
                self._trade(event.keeper_id, MAKERS, event)
                return self._price(event.market_id, event.market_price_e8)
            case (
                SurplusRouted() | FundDrawn() | ProfitCut() | LossSocialised() | FundingIndexMoved()
            ):
                self._settled(event)
            case BadDebtRecorded():
                self._case(event).paid["nobody", None] += event.amount_uusd
            case FundingPaid():
                self._pay(event.bucket_id, MAKERS, event.amount_uusd)
                for case in self.cases.values():
                    if case.bucket == event.bucket_id and case.left is None:
                        case.cash -= event.amount_uusd  # It is no part of what the case lost.
                        self.census["funding in a liquidation"] += 1
            case ContributionPaid():
                self._pay(event.backer_id, FUND, event.amount_uusd)
                self.given[FUND] += event.amount_uusd
                self.given[event.backer_id] -= event.amount_uusd
            case LiquidationEnded():
                self._close(self.cases[event.liquidation_seq])
                self.census[event.outcome.name.lower()] += 1
            case MarketExtremes():
                return self._price(event.market_id, event.end_market_e8)
        return None

    def _bring_coins(self, event: CoinsDeposited) -> None:
        self.units[event.bucket_id][event.market_id] += event.quantity_e8
        self.brought_coins[event.bucket_id][event.market_id] += event.quantity_e8
        self.census["coins brought"] += 1

    def _exchanged(self, seq: int, event: CoinsSettled) -> None:
        """Post an exchange with the makers; coins and contract units count alike."""
        account, market = event.account_id, event.market_id
        coins, case = event.units_e8 + event.coins_e8, self._case(event)
        self.units[account][market] += coins
        self.units[MAKERS][market] -= coins
        self._pay(MAKERS, account, event.amount_uusd)
        self.touched |= {account, MAKERS}
        if case.bucket == account and (coins or event.amount_uusd):
            self.census["converted"] += 1
            case.parts.append(seq)
            self.parts[seq] = _Part(
                case.seq,
                market,
                {
                    "landing": event.price_e8,
                    "fee": 0,
                    "paid": -event.amount_uusd * E10,
                    "closed": -coins,
                },
                0,
            )

    def _executed(self, seq: int, event: Any) -> int | None:
        """Post an execution, and note what it met; return the market whose price it states."""
        bucket, market = event.bucket_id, event.market_id
        match event:
            case OrderFilled():
                self.census["partial fill"] += event.quantity_e8 != event.ordered_e8
                self._execute(seq, "filled", event, event.arrival_price_e8, event.fee_uusd)
                self._trade(bucket, MAKERS, event)
                self._pay(bucket, TREASURY, event.fee_uusd)
                return self._price(market, event.market_price_e8)
            case TrancheTakenOver():
                self._execute(seq, "taken_over", event, self.marks[market], event.fee_uusd)
                self._trade(bucket, event.keeper_id, event)
                self._pay(bucket, TREASURY, event.fee_uusd)
                self._pay(event.keeper_id, NETWORK, event.call_cost_uusd)
            case PositionDeleveraged():
                self._execute(seq, "deleveraged", event, self.marks[market], 0)
                self._trade(bucket, event.counterparty_id, event)
        return None

    def _settled(self, event: Any) -> None:
        """Post what others paid for a liquidation, or had of it."""
        is_index = isinstance(event, FundingIndexMoved)
        amount = event.residue_uusd if is_index else event.amount_uusd
        paid = self._case(event).paid
        match event:
            case SurplusRouted() | FundingIndexMoved():
                self._pay(event.bucket_id, FUND, amount)
                paid["surplus_to_fund", FUND] -= amount
            case FundDrawn():
                self._pay(FUND, event.bucket_id, amount)
                paid["fund", FUND] += amount
            case ProfitCut() | LossSocialised():
                self._pay(event.payer_id, event.bucket_id, amount)
                layer = "haircut" if isinstance(event, ProfitCut) else "socialised"
                paid[layer, event.payer_id] += amount

    def _price(self, market: int, price: int) -> int:
        self.prices[market] = price
        return market

    # Liquidations ---------------------------------------------------------------------------------

    def _case(self, event: Any) -> _Case:
        return self.cases[self.tranches[event.tranche_seq]]

    def _crossed(self, event: ShadowCrossed) -> None:
        if event.liquidation_seq < 0:
            self.waiting[event.bucket_id] = dict(self.shadows)
        else:
            self.cases[event.liquidation_seq].crossing = dict(self.shadows)
            self.census["crossed later"] += 1

    def _trigger(self, seq: int, event: LiquidationTriggered) -> None:
        self.triggered.add(event.bucket_id)
        bucket = event.bucket_id
        crossing = self.waiting.pop(bucket, None)
        if crossing is not None:
            self.census["crossed before"] += 1
        elif event.standing is Standing.FIRST_ORDER:
            crossing = dict(self.shadows)
            self.census["crossed at the trigger"] += 1
        units = {m: q for m, q in self.units[bucket].items() if q or m == event.market_id}
        self.census["liquidation of several legs"] += len(units) > 1
        bankruptcy = {m: self.marks[m] for m in units} | {
            event.market_id: event.bankruptcy_price_e8
        }
        self.cases[seq] = _Case(
            seq, bucket, event.market_id, self.cash[bucket], units, dict(self.marks), bankruptcy,
            crossing,
        )  # fmt: skip

    def _execute(self, seq: int, route: str, event: Any, landing: int, fee: int) -> None:
        case, market = self._case(event), event.market_id
        case.parts.append(seq)
        self.census[route] += 1
        self.census["part of another leg"] += market != case.market
        self.parts[seq] = _Part(case.seq, market, {"landing": landing, "fee": fee * E10}, 0)
        self.parts[seq].terms["paid"] = event.cost_uusd * E10
        self.parts[seq].terms["closed"] = -event.quantity_e8

    def _close(self, case: _Case) -> None:
        """Note what the account has at its bankruptcy prices when the liquidation is over."""
        units = {m: q for m, q in self.units[case.bucket].items() if m in case.units}
        case.left = case.worth(self.cash[case.bucket], units)

    def judge(self) -> None:
        """Work the terms of every execution out, once it is known when each bucket crossed."""
        for part in self.parts.values():
            case, found = self.cases[part.liquidation], part.terms
            closed, market = found.pop("closed"), part.market
            landing, paid = found.pop("landing"), found.pop("paid")
            bankruptcy, trigger = case.bankruptcy[market], case.marks[market]
            crossing = trigger if case.crossing is None else case.crossing[market]
            part.terms = {
                "cushion": closed * (bankruptcy - crossing),
                "displacement": closed * (crossing - trigger),
                "delay": closed * (trigger - landing),
                "slippage": closed * landing + paid,
                "fee": found["fee"],
            }
            part.loss = closed * bankruptcy + paid + found["fee"]
            assert sum(part.terms.values()) == part.loss
            for name, value in part.terms.items():
                self.census[f"a {name}"] += value != 0
            if case.crossing is None:
                self.census["never crossed"] += 1

    def payers(self, case: _Case) -> Counter[tuple[str, int | None]]:
        """Return who paid what a liquidation lost, in 1e-16 USD."""
        paid = Counter({key: value * E10 for key, value in case.paid.items() if value})
        assert case.left is not None
        own = case.worth(case.cash, case.units) - case.left
        own -= paid.get(("nobody", None), 0)
        if own:
            paid["collateral" if own > 0 else "surplus_to_account", case.bucket] += own
        return paid


def _check_losses(log: Log, own: Reckoning) -> None:
    own.judge()
    shown = log.sql(
        "select seq, liquidation_seq, market_id, cushion_usd, displacement_usd, delay_usd, "
        "slippage_usd, fee_usd, loss_usd from execution_losses order by seq"
    ).fetchall()
    right = [
        (seq, part.liquidation, part.market, *(part.terms[name] for name in _TERMS), part.loss)
        for seq, part in sorted(own.parts.items())
    ]
    assert [(*row[:3], *map(_e16, row[3:])) for row in shown] == right

    paid = log.sql(
        "select liquidation_seq, payer, owner_id, amount_usd from loss_payers"
    ).fetchall()
    by_case: defaultdict[int, Counter[tuple[str, int | None]]] = defaultdict(Counter)
    for seq, payer, owner, amount in paid:
        assert (payer, owner) not in by_case[seq]
        by_case[seq][payer, owner] = _e16(amount)
        own.census[payer] += 1
    for seq, case in own.cases.items():
        assert by_case[seq] == own.payers(case), seq
        lost = sum(own.parts[part].loss for part in case.parts)
        assert sum(by_case[seq].values()) == lost, f"payers of {seq} do not sum to its loss"

    told = log.sql(
        "select liquidation_seq, cushion_usd, displacement_usd, delay_usd, slippage_usd, fee_usd, "
        "loss_usd, collateral_usd + fund_usd + haircut_usd + socialised_usd + nobody_usd "
        "+ surplus_to_fund_usd + surplus_to_account_usd from liquidation_story order by all"
    ).fetchall()
    assert [row[0] for row in told] == sorted(own.cases)
    for seq, *amounts in told:
        *terms, loss, everybody = map(_e16, amounts)
        parts = [own.parts[part] for part in own.cases[seq].parts]
        assert terms == [sum(part.terms[name] for part in parts) for name in _TERMS]
        assert sum(terms) == loss == everybody == sum(part.loss for part in parts)


def _check_capital(log: Log, own: Reckoning) -> None:
    shown = log.sql(
        "select owner_id, seq, cash_usd, inventory_usd, gross_usd, capital_usd, equity_usd, "
        "profit_usd from capital_curves order by owner_id, seq"
    ).fetchall()
    curves: defaultdict[int, list[tuple[int, ...]]] = defaultdict(list)
    for owner, seq, *amounts in shown:
        cash, inventory, gross, capital, equity, profit = map(_e16, amounts)
        curves[owner].append((seq, cash, inventory, gross, capital))
        assert equity == cash + inventory == capital + profit
    assert curves == own.curves

    accounts = log.sql(
        "select owner_id, kind, deposits_usd, contributions_usd, carried_in_usd, equity_usd, "
        "profit_usd, lowest_equity_usd, highest_equity_usd, drawdown_usd, drawdown_share, "
        "capital_usd, return_on_capital from capital_accounts"
    ).fetchall()
    assert {row[0] for row in accounts} == set(own.capitalists)
    for owner, kind, *values in accounts:
        curve = own.curves[owner]
        equities = [cash + inventory for _, cash, inventory, _, _ in curve]
        profits = [equity - row[4] for equity, row in zip(equities, curve, strict=True)]
        deposits, paid, carried, equity, profit, low, high, fall = map(_e16, values[:8])
        share, employed, made = values[8:]
        assert deposits + paid == own.given[owner] * E10
        assert carried == own.carried[owner]
        assert (equity, profit) == (equities[-1], profits[-1])
        assert (low, high) == (min(equities), max(equities))
        falls = [max(profits[: n + 1]) - here for n, here in enumerate(profits)]
        assert fall == max(falls)
        shares = [Fraction(f, e + f) for e, f in zip(equities, falls, strict=True) if e + f > 0]
        assert (share is None) is not bool(shares)
        assert share is None or share == pytest.approx(float(max(shares)))
        own.census[f"{kind} falls"] += fall > 0
        if kind == "treasury":
            assert employed is made is None
            continue
        needed = max(max(gross, -cash) for _, cash, _, gross, _ in curve)
        given = deposits + (paid if kind == "fund" else 0)
        assert _e16(employed) == (needed if kind == "makers" else given)
        if kind == "keeper":
            own.census["keeper holds at the end"] += any(own.units[owner].values())
        own.census[kind] += 1

    # What the older views say of the same owners.
    of_keepers = log.sql("select keeper_id, sum(profit_usd) from keepers group by all").fetchall()
    made_by = {row[0]: row[6] for row in accounts}
    assert dict(of_keepers) == {k: made_by[k] for k, kind in own.kind.items() if kind == "keeper"}
    moved = log.sql(
        "select sum(amount_usd) from fund where movement in ('surplus', 'index residue', 'draw')"
    )
    assert made_by[FUND] == (moved.fetchall()[0][0] or 0)


def _check_profits(log: Log, own: Reckoning) -> None:
    rows = log.sql(
        "select owner_id, owner, kind, is_liquidated, given_usd, equity_usd, profit_usd "
        "from owner_profits order by owner_id"
    ).fetchall()
    whole, seen = 0, {OUTSIDE}
    for owner, name, kind, is_liquidated, *amounts in rows:
        assert (name, kind) == (own.names[owner], own.kind[owner])
        assert is_liquidated is (owner in own.triggered)
        given, equity, profit = map(_e16, amounts)
        seen.add(owner)
        coins = sum(q * own.prices[m] for m, q in own.brought_coins[owner].items())
        assert given == own.brought[owner] * E10 + coins
        assert equity == own.cash[owner] * E10 + own._inventory(owner)
        assert profit == equity - given
        whole += profit
        own.census["an account in profit"] += kind == "bucket" and profit > 0
        own.census["a withdrawal"] += kind == "bucket" and own.brought[owner] < 0
    assert whole == 0
    due = log.sql("select bucket_id, equity_usd from unresolved where equity_usd is not null")
    for owner, equity in due.fetchall():
        marked = sum(q * own.marks[m] for m, q in own.units[owner].items())
        assert _e16(equity) == own.cash[owner] * E10 + marked
        own.census["unresolved"] += 1
    for owner in set(own.kind) - seen:  # Kept for an arrival that never came.
        assert own.kind[owner] == "bucket"
        assert not own.cash[owner]
        assert not own._inventory(owner)
        own.census["never arrived"] += 1


def _check(raw: Raw, path: Path, census: Counter[str]) -> None:
    run_to_log(load(raw), path)
    with Log(path) as log:
        own = Reckoning(log)
        _check_losses(log, own)
        _check_capital(log, own)
        _check_profits(log, own)
    path.unlink()
    census.update(own.census)
    census["runs"] += 1


@pytest.mark.parametrize("executor", ["engine", "keepers"])
def test_losses_and_capital_of_random_runs_are_the_reckoned_ones(
    executor: str, tmp_path: Path
) -> None:
    census: Counter[str] = Counter()

    @cases(_RUNS)
    @given(scenarios(executor), st.booleans())
    def they_are(raw: Raw, is_poor: bool) -> None:
        if is_poor:  # Else somebody nearly always fills the hole.
            raw["venue"]["fund"]["initial_usd"] = 0
            raw["venue"]["waterfall"] = {"deleveraging": "none"}
        _check(raw, tmp_path / "run.duckdb", census)

    they_are()
    if executor == "engine":  # Where forced orders of both sides meet, shadows cross first.
        for number in range(1, 6):
            _check(HANDMADE["engine_cascade"](seed=number), tmp_path / "run.duckdb", census)

    assert_floors(census, _FLOORS_OF_BOTH | _FLOORS[executor])


def test_losses_of_holes_that_others_fill_are_the_reckoned_ones(tmp_path: Path) -> None:
    census: Counter[str] = Counter()
    # Losses shared by either key, with and without a haircut before.
    for name, first in (("shared_losses", 1), ("squeeze", 2), ("cross_crash", 2)):
        for number, layers in enumerate(LAST_LAYERS[first::6]):
            raw = HANDMADE[name](
                seed=number,
                venue__fund__initial_usd=20,
                venue__waterfall={"deleveraging": "none"} | layers,
            )
            _check(raw, tmp_path / "run.duckdb", census)

    assert_floors(census, _FLOORS_OF_HOLES)


@pytest.mark.parametrize(
    "name",
    [
        "engine_cascade",
        "keeper_race",
        "squeeze",
        "cross_crash",
        "shared_losses",
        "rungs",
        "own_marks",
        "funded",
        "desk_takes",
        "comeback",
        "mingled",
        "indexed",
        "pooled",
    ],
)
def test_losses_and_capital_of_handmade_runs_are_the_reckoned_ones(
    name: str, tmp_path: Path
) -> None:
    _check(HANDMADE[name](), tmp_path / "run.duckdb", Counter())
