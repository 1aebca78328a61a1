"""How money and positions come in, and what changes at a date: by the scenario, by nothing else."""

import math
from collections import defaultdict
from collections.abc import Mapping
from fractions import Fraction
from itertools import groupby
from operator import itemgetter
from typing import Final

import attrs
import numpy as np

from liqsim.eventlog.reader import Columns, LogReader
from liqsim.events import (
    NO_CAUSE,
    Action,
    CoinHaircutChanged,
    CoinsDeposited,
    DecisionRecorded,
    DepthChanged,
    Event,
    FundsDeposited,
    MaintenanceChanged,
    PositionOpened,
)
from liqsim.events.mitigation import NOT_OBSERVED
from replay.audit.findings import Findings, usd
from replay.fold import FUND, TREASURY
from replay.margin import E22_PER_UUSD, maintenance_e22
from replay.terms import Terms

_E6: Final = 10**6
_E10: Final = 10**10
_DATED: Final[Mapping[type[Event], tuple[str, tuple[str, ...]]]] = {
    DepthChanged: ("depth_schedule", ("sim_time_us", "multiplier_e6", "half_life_us")),
    MaintenanceChanged: ("maintenance_schedule", ("sim_time_us", "multiplier_e6", "cause_seq")),
    CoinHaircutChanged: ("coin_haircut", ("sim_time_us", "coin_haircut_e6", "cause_seq")),
}
"""The code of what is wrong with changes of a kind, and what of them must be as it must be."""

Scaled = tuple[int, int, int, int]
"""From when on, number of the mitigation (-1 for the schedule), multiplier, decision."""


@attrs.define
class Openings:
    """
    Checks chunk after chunk.

    Attributes:
        log: The log.
        terms: The terms of the run.
        findings: Where findings go.
        due_uusd: Deposits that the scenario names and that have not come yet, by owner, in order.
        opened: (market, bucket) of the positions opened so far.
        changes: (what it says, event) of the dated changes so far, by code and market.
        scaled: What mitigations have announced of margin rates, by market.
        cut: What they have of the haircut on coins, likewise.
        widened: What breakers have: (from, until, factor, decision), by market and mitigation.
        given_uusd: Collateral of each bucket at the start.
        coins_e8: Coins of each bucket at the start.
        entered_e8: Entry price of each bucket, at which its coins count.
        asked_e22: Initial margin that its positions of the start ask for.
        is_open: Whether anything but deposits has happened.
        last_us: Time of the last event.
    """

    log: LogReader
    terms: Terms
    findings: Findings
    due_uusd: dict[int, list[int]] = attrs.field(init=False)
    opened: set[tuple[int, int]] = attrs.Factory(set)
    changes: defaultdict[tuple[str, int], list[tuple[tuple[int, ...], int]]] = attrs.Factory(
        lambda: defaultdict(list)
    )
    scaled: defaultdict[int, list[Scaled]] = attrs.Factory(lambda: defaultdict(list))
    cut: defaultdict[int, list[Scaled]] = attrs.Factory(lambda: defaultdict(list))
    widened: defaultdict[tuple[int, int], list[Scaled]] = attrs.Factory(lambda: defaultdict(list))
    given_uusd: defaultdict[int, int] = attrs.Factory(lambda: defaultdict(int))
    coins_e8: dict[int, int] = attrs.Factory(dict)
    entered_e8: dict[int, int] = attrs.Factory(dict)
    asked_e22: defaultdict[int, int] = attrs.Factory(lambda: defaultdict(int))
    is_open: bool = False
    last_us: int = 0
    _buckets: frozenset[int] = attrs.field(init=False)
    _known: frozenset[int] = attrs.field(init=False)
    _acting: frozenset[int] = attrs.field(init=False)
    _drawn: frozenset[int] = attrs.field(init=False)
    _in_coins: frozenset[int] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        owners, keepers = self.log.owners, self.terms.keepers
        self._buckets = frozenset(o.owner_id for o in owners if o.kind == "bucket")
        self._known = frozenset(o.owner_id for o in owners)
        self._acting = frozenset(o.owner_id for o in owners if o.cohort in self.terms.traders)
        self._drawn = frozenset(o.owner_id for o in owners if o.cohort)
        in_coins = self.terms.coin_cohorts
        self._in_coins = frozenset(o.owner_id for o in owners if o.cohort in in_coins)
        purses = {
            o.owner_id: keepers[o.name].purse_uusd
            for o in owners
            if o.kind in ("keeper", "desk", "vault", "bidder") and o.name in keepers
        }
        purses |= {
            o.owner_id: self.terms.backers[o.name]
            for o in owners
            if o.kind == "backer" and o.name in self.terms.backers
        }
        pools = {row.name: row for row in self.terms.mitigations if row.kind == "pool"}
        brought = {name: purse for _, _, name, purse in self.terms.purses}
        purses |= {
            o.owner_id: brought[o.name] for o in owners if o.kind == "staker" and o.name in brought
        }
        named = {FUND: self.terms.fund_uusd, TREASURY: self.terms.treasury_uusd} | purses
        self.due_uusd = {owner: [amount] for owner, amount in named.items() if amount}
        self.due_uusd |= {
            o.owner_id: [amount for amount in pools[o.name].deposits_uusd if amount]
            for o in owners
            if o.kind == "pool" and o.name in pools
        }

    def check(self, kinds: Mapping[type[Event], Columns]) -> None:
        """Check the next chunk."""
        for cls, columns in kinds.items():
            self.last_us = max(self.last_us, int(columns["sim_time_us"].max()))
            if cls is FundsDeposited:
                self._check_deposits(columns)
                continue
            if cls is CoinsDeposited:
                self._check_coins(columns)
                continue
            self.is_open = True
            if cls is PositionOpened:
                self._check_openings(columns)
            elif cls is DecisionRecorded:
                self._note_decisions(columns)
            elif cls in _DATED:
                code, names = _DATED[cls]
                rows = zip(*(columns[name].tolist() for name in names), strict=True)
                places = zip(columns["market_id"].tolist(), columns["seq"].tolist(), strict=True)
                for (market, seq), row in zip(places, rows, strict=True):
                    self.changes[code, market].append((row, seq))

    def finish(self, *, is_sealed: bool) -> None:
        """Check that nothing is missing."""
        if self.is_open or is_sealed:
            for owner, amounts in self.due_uusd.items():
                if not amounts:
                    continue
                message = f"owner {owner} was never given its {usd(sum(amounts))}"
                self.findings.add("deposit", None, message)
        self._check_initial_margins()
        for number, market in enumerate(self.terms.markets):
            changes = [(at_us, -1, e6, NO_CAUSE) for at_us, e6 in market.maintenance_changes]
            for cls, schedule in (
                (DepthChanged, market.schedule),
                (MaintenanceChanged, _products([*changes, *self._scaled_in(number)])),
                (CoinHaircutChanged, _haircuts(market.rule.coin_haircut_e6, self.cut[number])),
            ):
                self._check_schedule(number, *_DATED[cls], schedule, is_sealed=is_sealed)

    def _note_decisions(self, columns: Columns) -> None:
        names = (
            "market_id", "action", "from_at_us", "until_at_us", "mitigation_id", "multiplier_e6",
            "seq",
        )  # fmt: skip
        rows = self.terms.mitigations
        of_haircut = {number for number, row in enumerate(rows) if row.is_of_haircut}
        for market, action, *told in zip(*(columns[name].tolist() for name in names), strict=True):
            from_us, until_us, number, multiplier, seq = told
            if action == Action.WIDENED:
                wide = market == NOT_OBSERVED
                for one in range(len(self.terms.markets)) if wide else (market,):
                    self.widened[one, number].append((from_us, until_us, multiplier, seq))
            elif from_us >= 0 and multiplier >= 0:
                of = self.cut if number in of_haircut else self.scaled
                of[market].append((from_us, number, multiplier, seq))

    def _scaled_in(self, market: int) -> list[Scaled]:
        """Return all that mitigations announced for a market: a breaker's widest level counts."""
        found = list(self.scaled[market])
        for (where, number), spans in self.widened.items():
            if where == market:
                for at_us in {instant for span in spans for instant in span[:2]}:
                    widest = max((f for a, b, f, _ in spans if a <= at_us < b), default=_E6)
                    cause = max(seq for a, b, _, seq in spans if at_us in (a, b))
                    found.append((at_us, number, widest, cause))
        return found

    def _check_deposits(self, columns: Columns) -> None:
        names = ("seq", "sim_time_us", "owner_id", "amount_uusd")
        for seq, at_us, owner, amount in zip(*(columns[n].tolist() for n in names), strict=True):
            if at_us and owner not in self._acting:
                message = f"owner {owner} was given {usd(amount)} {at_us} us after the start"
                self.findings.add("deposit", seq, message)
            elif owner in self._buckets:
                self.given_uusd[owner] += amount
                if owner in self._in_coins:
                    message = f"bucket {owner} was given {usd(amount)}, must be given coins"
                    self.findings.add("deposit", seq, message)
            elif owner in self._known:
                due = self.due_uusd.get(owner)
                right = due.pop(0) if due else 0
                if amount != right or not right:
                    message = f"owner {owner} was given {usd(amount)}, must be given {usd(right)}"
                    self.findings.add("deposit", seq, message)

    def _check_coins(self, columns: Columns) -> None:
        names = ("seq", "sim_time_us", "bucket_id", "quantity_e8")
        for seq, at_us, bucket, coins in zip(*(columns[n].tolist() for n in names), strict=True):
            if at_us or bucket in self.coins_e8 or not coins:
                message = f"bucket {bucket} was given coins {at_us} us after the start, or again"
                self.findings.add("deposit", seq, message)
            elif bucket in self._drawn and bucket not in self._in_coins:
                message = f"bucket {bucket} was given coins, must be given USD"
                self.findings.add("deposit", seq, message)
            self.coins_e8[bucket] = coins

    def _check_initial_margins(self) -> None:
        """Check that nobody has opened with less than the venue asks for."""
        listed = {o.owner_id for o in self.log.owners if o.kind == "bucket" and not o.cohort}
        for bucket, asked in self.asked_e22.items():
            in_coins = self.coins_e8.get(bucket, 0) * self.entered_e8[bucket] // _E10
            cut_e6 = max((m.rule.coin_haircut_e6 for m in self.terms.markets), default=0)
            in_coins = in_coins * (_E6 - cut_e6) // _E6
            given = self.given_uusd[bucket] + in_coins
            is_let = self.terms.lets_short_open and bucket in listed
            if given * E22_PER_UUSD < asked and not is_let:
                least = usd(-(-asked // E22_PER_UUSD))
                message = f"bucket {bucket} opened with {usd(given)}, must be at least {least}"
                self.findings.add("initial_margin", None, message)

    def _check_openings(self, columns: Columns) -> None:
        late = columns["sim_time_us"] != 0
        for row in np.flatnonzero(late).tolist():
            message = f"opened at {int(columns['sim_time_us'][row])} us, must be at the start"
            self.findings.add("opening", int(columns["seq"][row]), message)
        names = ("seq", "market_id", "bucket_id", "quantity_e8", "price_e8")
        for seq, *leg in zip(*(columns[name].tolist() for name in names), strict=True):
            market, bucket, quantity, price = leg
            self.entered_e8[bucket] = price
            if market < len(self.terms.markets):
                rule = self.terms.markets[market].rule.as_initial
                self.asked_e22[bucket] += maintenance_e22(rule, quantity, price)
            if (market, bucket) in self.opened:
                message = f"bucket {bucket} has opened a position in market {market} before"
                self.findings.add("opening", seq, message)
            self.opened.add((market, bucket))

    def _check_schedule(
        self,
        market: int,
        code: str,
        names: tuple[str, ...],
        schedule: tuple[tuple[int, ...], ...],
        *,
        is_sealed: bool,
    ) -> None:
        recorded = self.changes[code, market]
        for (row, seq), right in zip(recorded, schedule, strict=False):
            for what, found, due in zip(names, row, right, strict=True):
                self.findings.expect(code, seq, what, found, due)
        for _, seq in recorded[len(schedule) :]:
            message = f"there must be only {len(schedule)} such changes of market {market}"
            self.findings.add(code, seq, message)
        # Of a log that is not sealed, the last instant may be half over.
        until = self.log.manifest.end_us if is_sealed else self.last_us
        for at_us, *_ in schedule[len(recorded) :]:
            if at_us < until:
                message = f"the change of market {market} at {at_us} us is missing"
                self.findings.add(code, None, message)


def _products(changes: list[Scaled]) -> tuple[tuple[int, ...], ...]:
    """
    Return when the rates of a market must change, to which product, and by which decision.

    A date of the schedule is always told, another only if the product differs.
    """
    products: list[tuple[int, ...]] = []
    parts: dict[int, int] = {}
    last_e6 = _E6
    for at_us, group in groupby(sorted(changes), key=itemgetter(0)):
        now = sorted(group, key=itemgetter(3))
        parts |= {number: multiplier for _, number, multiplier, _ in now}
        product = math.ceil(_E6 * math.prod(Fraction(part, _E6) for part in parts.values()))
        if product != last_e6 or any(number < 0 for _, number, _, _ in now):
            products.append((at_us, product, now[-1][3]))
        last_e6 = product
    return tuple(products)


def _haircuts(start_e6: int, changes: list[Scaled]) -> tuple[tuple[int, ...], ...]:
    """Return when the haircut on coins must change, to what, and by which decision."""
    haircuts: list[tuple[int, ...]] = []
    last_e6 = start_e6
    for at_us, product, cause in _products(changes):
        haircut_e6 = -(-start_e6 * product // _E6)
        if haircut_e6 != last_e6:
            haircuts.append((at_us, haircut_e6, cause))
        last_e6 = haircut_e6
    return tuple(haircuts)
