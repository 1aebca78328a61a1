"""What the treasury pays on of penalties, and to keepers on top, out of declared budgets."""

from collections.abc import Mapping, Sequence

import attrs

from liqsim.events import KeeperRewarded, Owner, PenaltyRouted, Share
from liqsim.mechanics.margin import MARGIN_SCALE
from liqsim.mechanics.mitigations.keeper_reward import (
    Payment,
    Seen,
    first_us,
    kept_for,
    owed_uusd,
    payable_uusd,
    used_uusd,
)
from liqsim.mechanics.mitigations.penalty_routing import split_uusd
from liqsim.processes.context import Context, MarketDesk
from liqsim.processes.margins import Margins
from liqsim.scenario.mitigations import KeeperReward, PenaltyRouting, purses_of


@attrs.define(eq=False)
class _Budget:
    """
    A reward, its number and market, or None, what it has left, and what a span may hold of it.

    Attributes:
        mitigation_id: Place of the mitigation in the scenario.
        market_id: The market where it acts; None for all.
        spec: Its parameters.
        left_uusd: What the budget has left.
        paid: Payments that a span may still hold.
    """

    mitigation_id: int
    market_id: int | None
    spec: KeeperReward
    left_uusd: int
    paid: list[Payment]

    def pays_uusd(self, seen: Seen, at_us: int, reserved_uusd: int = 0) -> int:
        """Return what it pays at an instant, not before the last payment, for what was seen."""
        used = used_uusd(self.spec, self.paid, at_us) + reserved_uusd
        left = self.left_uusd - reserved_uusd
        return payable_uusd(self.spec, owed_uusd(self.spec, seen), used, left)


@attrs.frozen
class Reward:
    """
    What one mitigation would pay for a takeover at this instant.

    Attributes:
        budget: The mitigation.
        seen: What its law has seen.
    """

    budget: _Budget
    seen: Seen

    @property
    def mitigation_id(self) -> int:
        """Place of the mitigation in the scenario."""
        return self.budget.mitigation_id

    def pays_uusd(self, now_us: int, at_us: int, reserved_uusd: int = 0) -> int:
        """Return what it pays at *at_us* if all but the time stays as it is *now_us*."""
        seen = self.seen
        if seen.waited_us is not None:
            seen = attrs.evolve(seen, waited_us=seen.waited_us + at_us - now_us)
        return self.budget.pays_uusd(seen, at_us, reserved_uusd)


Counted = Mapping[int, int]
"""What somebody counts on already of the rewards of mitigations, by number."""


@attrs.frozen
class Promise:
    """
    What a keeper is paid for a takeover at this instant, beside what it sells on.

    Attributes:
        now_us: The instant.
        last_us: The last instant of the run.
        penalty_uusd: Its share of the penalty.
        rewards: Its rewards.
    """

    now_us: int
    last_us: int
    penalty_uusd: int
    rewards: Sequence[Reward]

    def parts_uusd(self, counted: Counted) -> dict[int, int]:
        """Return what each reward pays now, by number, after what is *counted* on already."""
        return {
            reward.mitigation_id: reward.pays_uusd(
                self.now_us, self.now_us, counted.get(reward.mitigation_id, 0)
            )
            for reward in self.rewards
        }

    def is_made_by(self, law: str, least_uusd: int, counted: Counted) -> bool:
        """Return whether it is *least_uusd* now, and would not be without rewards of one law."""
        parts = self.parts_uusd(counted)
        whole = self.penalty_uusd + sum(parts.values())
        by_law = sum(
            parts[reward.mitigation_id] for reward in self.rewards if reward.budget.spec.law == law
        )
        return whole - by_law < least_uusd <= whole

    def from_us(self, least_uusd: int, counted: Counted) -> int | None:
        """Return from when on it is *least_uusd* if only time passes; None if not in this run."""

        def pays(at_us: int) -> int:
            return self.penalty_uusd + sum(
                reward.pays_uusd(self.now_us, at_us, counted.get(reward.mitigation_id, 0))
                for reward in self.rewards
            )

        if self.now_us >= self.last_us or pays(self.last_us) < least_uusd:
            return None
        return first_us(pays, least_uusd, self.now_us, self.last_us)


class Incentives:
    """
    Pays shares of penalties, and rewards.

    Args:
        context: The run.
        margins: The margins of the venue's buckets.
        first_purse: Owner number of the first owner that mitigations bring in.
    """

    def __init__(self, context: Context, margins: Margins, first_purse: int) -> None:
        self._context = context
        self._margins = margins
        numbers = {market.name: n for n, market in enumerate(context.scenario.markets)}
        rows = [
            (number, numbers.get(spec.market), spec)
            for number, spec in enumerate(context.scenario.mitigations)
        ]
        self._routings = [
            (number, market_id, spec)
            for number, market_id, spec in rows
            if isinstance(spec, PenaltyRouting)
        ]
        self._budgets = [
            _Budget(number, market_id, spec, spec.budget_uusd, [])
            for number, market_id, spec in rows
            if isinstance(spec, KeeperReward)
        ]
        purses = enumerate(purses_of(context.scenario.mitigations), first_purse)
        self._burn_id = next((owner for owner, purse in purses if purse.kind == "burn"), -1)

    @property
    def has_rewards(self) -> bool:
        """Whether keepers may be paid on top."""
        return bool(self._budgets)

    @property
    def has_routing(self) -> bool:
        """Whether penalties are paid on."""
        return bool(self._routings)

    def has_law(self, law: str, market_id: int | None) -> bool:
        """Return whether keepers may be paid by a law in a market; None is any market."""
        return any(
            budget.spec.law == law and (market_id is None or budget.market_id in (None, market_id))
            for budget in self._budgets
        )

    # Penalties ----------------------------------------------------------------------------------

    def route(
        self,
        tranche_seq: int,
        bucket: int,
        market_id: int,
        penalty_uusd: int,
        keeper_id: int | None,
        cause: int,
    ) -> None:
        """Have the treasury, which has received a penalty, pay on what is not its own."""
        for number, only, spec in self._routings:
            if not penalty_uusd or only not in (None, market_id):
                continue
            parts = split_uusd(spec, penalty_uusd, has_keeper=keeper_id is not None)
            for share, receiver in (
                (Share.KEEPER, keeper_id),
                (Share.FUND, Owner.FUND),
                (Share.BURN, self._burn_id),
            ):
                amount = parts[share.name.lower()]
                if amount:
                    assert receiver is not None
                    event = PenaltyRouted(
                        mitigation_id=number,
                        tranche_seq=tranche_seq,
                        bucket_id=bucket,
                        share=share,
                        receiver_id=int(receiver),
                        penalty_uusd=penalty_uusd,
                        amount_uusd=amount,
                    )
                    self._context.journal.append(event, cause)

    def keeper_share_uusd(self, market_id: int, penalty_uusd: int) -> int:
        """Return what of a penalty would be a keeper's who executes."""
        return sum(
            split_uusd(spec, penalty_uusd, has_keeper=True)["keeper"]
            for _, only, spec in self._routings
            if only in (None, market_id)
        )

    # Rewards ------------------------------------------------------------------------------------

    def rewards(self, desk: MarketDesk, bucket: int, since_us: int) -> list[Reward]:
        """
        Return what is paid for taking a slice of *bucket* over now.

        Args:
            desk: The market of the slice.
            bucket: The account.
            since_us: When its liquidation was triggered.
        """
        return [
            Reward(budget, self._seen(budget.spec, desk, bucket, since_us))
            for budget in self._budgets
            if budget.market_id in (None, desk.market_id)
        ]

    def pay(
        self,
        rewards: Sequence[Reward],
        tranche_seq: int,
        bucket: int,
        keeper_id: int,
        cause: int,
    ) -> None:
        """Pay what takeover *cause* earns its keeper, as it was seen right before it."""
        now = self._context.now_us
        for reward in rewards:
            budget, seen = reward.budget, reward.seen
            amount = reward.pays_uusd(now, now)
            if not amount:
                continue
            used = used_uusd(budget.spec, budget.paid, now)
            budget.left_uusd -= amount
            budget.paid = [
                *kept_for(budget.spec, budget.paid, now),
                Payment(now, amount),
            ]
            if not budget.left_uusd:
                self._context.log.info("budget_exhausted", mitigation=budget.spec.label)
            observed = {
                name: value
                for name in ("waited_us", "violation_uusd", "depth_e8")
                if (value := getattr(seen, name)) is not None
            }
            event = KeeperRewarded(
                mitigation_id=budget.mitigation_id,
                tranche_seq=tranche_seq,
                bucket_id=bucket,
                keeper_id=keeper_id,
                owed_uusd=owed_uusd(budget.spec, seen),
                used_uusd=used,
                amount_uusd=amount,
                budget_uusd=budget.left_uusd,
                **observed,
            )
            self._context.journal.append(event, cause)

    def _seen(self, spec: KeeperReward, desk: MarketDesk, bucket: int, since_us: int) -> Seen:
        match spec.law:
            case "waiting":
                return Seen(waited_us=self._context.now_us - since_us)
            case "violation":
                below = max(-self._margins.margin(bucket), 0)
                return Seen(violation_uusd=below // MARGIN_SCALE)
            case "scarcity":
                assert spec.distance_e6 is not None
                is_sale = self._margins.position(desk, bucket) > 0
                depth = desk.depth_e8(self._context.now_us, spec.distance_e6, is_sale=is_sale)
                return Seen(depth_e8=depth, mark_e8=desk.state.mark_e8)
            case _:
                return Seen()
