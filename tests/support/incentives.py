"""Who is paid for a liquidation, judged by rules written from their description."""

from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any

import attrs

from liqsim.events import Entry, KeeperRewarded, PenaltyRouted, Share
from liqsim.scenario.mitigations import KeeperReward, PenaltyRouting

FUND = 2


@attrs.frozen
class Executed:
    """
    An execution, as the auditor knows it before it moves anything.

    Attributes:
        entry: It.
        market: Number of the market.
        keeper: The keeper who executed; -1 where none did.
        since_us: When the liquidation was triggered.
        below_uusd: How far the margin was below zero, exact; at least 0.
        mark_e8: The mark.
        holds: Whether the book holds so much within a distance, give or take so many ticks.
        lacking_uusd: What the keeper must have counted on beside what it sells on; None where
            that cannot be told.
    """

    entry: Entry
    market: int
    keeper: int
    since_us: int
    below_uusd: Fraction
    mark_e8: int
    holds: Callable[[int, int, int], bool]
    lacking_uusd: Fraction | None


class IncentiveJudge:
    """Works out what the treasury must pay after each execution."""

    def __init__(self, prepared: Any, census: Counter[str]) -> None:
        scenario, self._census = prepared.scenario, census
        self._rows = list(enumerate(scenario.mitigations))
        self._names = [market.name for market in scenario.markets]
        kinds = [row.kind for row in prepared.owners()[: prepared.first_bucket]]
        self._burn = kinds.index("burn") if "burn" in kinds else -1
        self._paid: list[tuple[int, int, int]] = []
        self._penalties: list[PenaltyRouted] = []
        self._rewards: list[int] = []
        self._last: Executed | None = None
        self._got = 0

    def executed(self, done: Executed, slices: Sequence[Sequence[int]]) -> None:
        """Note an execution, right before it is applied: *slices*, accounts and penalties."""
        self._last, self._penalties, self._rewards, self._got = done, [], [], 0
        for tranche_seq, bucket, fee in slices:
            self._penalised(done, tranche_seq, bucket, fee)
        if done.keeper >= 0:
            self._rewards = [number for number, _ in self._of(KeeperReward, done.market)]

    def _penalised(self, done: Executed, tranche_seq: int, bucket: int, fee: int) -> None:
        for number, row in self._of(PenaltyRouting, done.market):
            shares = {
                name: int(Fraction(getattr(row, f"{name}_e6"), 10**6) * fee)
                for name in ("keeper", "fund", "treasury", "burn")
            }
            rounding = fee - sum(shares.values())
            assert 0 <= rounding <= 3
            shares[row.remainder] += rounding
            if done.keeper < 0:
                shares[row.without_keeper] += shares.pop("keeper")
                self._census["penalty without a keeper"] += fee > 0
            to = {"keeper": done.keeper, "fund": FUND, "burn": self._burn}
            self._penalties += [
                PenaltyRouted(number, tranche_seq, bucket, share, to[name], fee, shares[name])
                for share in Share
                if shares.get(name := share.name.lower())
            ]
            self._census["penalty with a rest"] += rounding > 0

    def routed(self, entry: Entry, event: PenaltyRouted) -> None:
        """Judge a share of a penalty."""
        assert self._last is not None
        assert (event, entry.cause_seq) == (self._penalties.pop(0), self._last.entry.seq)
        self._got += event.amount_uusd if event.share is Share.KEEPER else 0
        self._census[f"penalty to {event.share.name.lower()}"] += 1

    def rewarded(self, entry: Entry, event: KeeperRewarded) -> None:
        """Judge a reward."""
        done = self._last
        assert done is not None
        assert not self._penalties, "penalties come first"
        assert entry.cause_seq == done.entry.seq
        while self._rewards[0] != event.mitigation_id:
            self._nothing_was_due(self._rewards.pop(0))
        number = self._rewards.pop(0)
        row = self._rows[number][1]
        if row.law == "scarcity":
            assert done.holds(event.depth_e8, row.distance_e6, 2)
            assert not done.holds(event.depth_e8 + 2, row.distance_e6, -2)
        right = self._reward(number, row, event.depth_e8)
        assert event == right
        assert event.amount_uusd > 0
        self._got += event.amount_uusd
        self._paid.append((number, entry.sim_time_us, event.amount_uusd))
        self._census[f"reward: {row.law}"] += 1
        self._census["reward capped"] += event.owed_uusd > row.max_uusd
        of_budget = event.budget_uusd == 0 and event.amount_uusd < event.owed_uusd
        self._census["budget exhausted"] += of_budget
        if row.max_window_uusd is not None:
            left = row.max_window_uusd - event.used_uusd
            self._census["window binds"] += event.amount_uusd == left < event.owed_uusd

    def settled(self) -> None:
        """Nothing may be left to pay."""
        assert not self._penalties, self._penalties
        while self._rewards:
            self._nothing_was_due(self._rewards.pop(0))
        done, self._last = self._last, None
        if done is not None and done.lacking_uusd is not None:
            assert self._got + 2 >= done.lacking_uusd, "called for more than it was paid"
            self._census["called for what is paid on top"] += done.lacking_uusd > 2

    def covered(self) -> None:
        """No budget has paid more than it was given."""
        for number, row in self._of(KeeperReward, None):
            assert sum(amount for who, _, amount in self._paid if who == number) <= row.budget_uusd

    def _of(self, kind: type[Any], market: int | None) -> list[tuple[int, Any]]:
        return [
            (number, row)
            for number, row in self._rows
            if isinstance(row, kind) and (market is None or row.market in ("", self._names[market]))
        ]

    def _reward(self, number: int, row: KeeperReward, depth_e8: int) -> KeeperRewarded:
        done = self._last
        assert done is not None
        now = done.entry.sim_time_us
        waited, below = now - done.since_us, int(done.below_uusd)
        seen: dict[str, int] = {}
        more = Fraction(0)
        if row.law == "waiting":
            more, seen = Fraction(row.per_minute_uusd * waited, 60 * 10**6), {"waited_us": waited}
        elif row.law == "violation":
            more, seen = Fraction(row.rate_e6 * below, 10**6), {"violation_uusd": below}
        elif row.law == "scarcity":
            worth = depth_e8 * done.mark_e8 // 10**10
            lacks = max(row.reference_uusd - worth, 0)
            more, seen = (
                Fraction(row.scarce_uusd * lacks, row.reference_uusd),
                {"depth_e8": depth_e8},
            )
        owed = row.base_uusd + int(more)
        mine = [(at, amount) for who, at, amount in self._paid if who == number]
        left = row.budget_uusd - sum(amount for _, amount in mine)
        used, bounds = 0, [owed, row.max_uusd, left]
        if row.max_window_uusd is not None:
            assert row.span_us is not None
            used = sum(amount for at, amount in mine if at + row.span_us > now)
            bounds.append(row.max_window_uusd - used)
        amount = max(min(bounds), 0)
        event = done.entry.event
        return KeeperRewarded(
            mitigation_id=number,
            tranche_seq=event.tranche_seq,
            bucket_id=event.bucket_id,
            keeper_id=done.keeper,
            owed_uusd=owed,
            used_uusd=used,
            amount_uusd=amount,
            budget_uusd=left - amount,
            **seen,
        )

    def _nothing_was_due(self, number: int) -> None:
        row, done = self._rows[number][1], self._last
        assert done is not None
        if row.law != "scarcity":
            due = self._reward(number, row, 0)
            assert not due.amount_uusd, f"{due} is missing"
            self._census["nothing left to pay"] += due.owed_uusd > 0
        elif self._reward(number, row, 10**18).amount_uusd == 0:
            # Where an empty book would be paid for, this one must hold what leaves nothing owed.
            if self._reward(number, row, 0).amount_uusd:
                short = row.reference_uusd * (1 - Fraction(1, max(row.scarce_uusd, 1)))
                assert done.holds(int(short * 10**10 / done.mark_e8), row.distance_e6, 2)
                self._census["deep enough"] += 1
        else:
            message = "a reward of scarcity is missing"
            raise AssertionError(message)


def incentivised(random: Random) -> list[dict[str, Any]]:
    """Return rows of `[[mitigations]]` that share penalties and pay keepers, at random."""
    pick = random.choice
    parts = sorted(random.sample(range(1, 10**6), 3))
    cuts = [parts[0], parts[1] - parts[0], parts[2] - parts[1], 10**6 - parts[2]]
    names = ["keeper", "fund", "treasury", "burn"]
    rows: list[dict[str, Any]] = []
    if pick((0, 1, 1)):
        rows.append(
            {"kind": "penalty_routing"}
            | {name: Decimal(cut).scaleb(-6) for name, cut in zip(names, cuts, strict=True)}
            | {"remainder": pick(names), "without_keeper": pick(names[1:])}
        )
    laws: list[dict[str, Any]] = [
        {"law": "fixed"},
        {"law": "waiting", "per_minute_usd": pick((6, 60, 900))},
        {"law": "violation", "rate": pick((Decimal("0.01"), Decimal("0.2"), 3))},
        {
            "law": "scarcity",
            "scarce_usd": pick((5, 50)),
            "reference_usd": pick((500, 20_000, 10**6)),
            "distance": pick((Decimal("0.002"), Decimal("0.05"))),
        },
    ]
    for place, law in enumerate(random.sample(laws, pick((1, 2, 3)))):
        row = {
            "kind": "keeper_reward",
            "name": f"reward{place}",
            "base_usd": pick((0, 1, 12)) if law["law"] != "fixed" else pick((1, 12)),
            "budget_usd": pick((0, 40, 40, 300, 10**6)),
            "max_usd": pick((3, 25, 10**6)),
        }
        if pick((0, 0, 1)):
            row |= {"max_window_usd": pick((5, 30, 200)), "span": pick(("1s", "10s", "1m"))}
        rows.append(row | law)
    return rows
