"""Every mitigation against the contract that users' own are held against."""

from collections import Counter
from decimal import Decimal

from support.floors import assert_floors
from support.models import model_text

from liqsim.events import (
    AuctionHeld,
    CoinHaircutChanged,
    KeeperRewarded,
    PenaltyRouted,
    PositionReduced,
    TranchesCrossed,
    TrancheTakenOver,
)
from liqsim.testing import MitigationContract
from liqsim.testing.strategies import Tables, at
from replay.fold import Fold


class TestRateLimit(MitigationContract):
    mitigation = {"kind": "rate_limit", "max_usd": 60_000, "span": "10s", "least_usd": 1_000}
    inert = {"kind": "rate_limit", "max_usd": 10**11}


class TestRateLimitPerFixedSpan(MitigationContract):
    mitigation = {
        "kind": "rate_limit", "max_usd": 40_000, "span": "5s", "least_usd": 0, "window": "fixed",
    }  # fmt: skip
    inert = {"kind": "rate_limit", "max_usd": 10**11, "window": "fixed"}
    executor = "keepers"


class TestCrossing(MitigationContract):
    mitigation = {"kind": "crossing", "hold": "6s"}
    inert = {"kind": "crossing", "hold": "0s"}
    hits_both_sides = True
    deed = TranchesCrossed
    splits_at_once = True  # Who is met in part waits on: of two halves one is met whole.


class TestCrossingWithKeepers(TestCrossing):
    executor = "keepers"


class TestBatchAuction(MitigationContract):
    mitigation = {
        "kind": "batch_auction",
        "period": "6s",
        "bids_usd": 60_000,
        "distance": Decimal("0.01"),
        "purse_usd": 200_000,
        "resale_delay": "5s",
    }
    inert = {"kind": "batch_auction", "period": "0s", "purse_usd": 200_000}
    inert_has_capital = True
    hits_both_sides = True
    deed = AuctionHeld
    runs = 6


class TestBatchAuctionWithKeepers(TestBatchAuction):
    executor = "keepers"


class TestBreaker(MitigationContract):
    mitigation = {
        "kind": "breaker",
        "when": [{"observable": "fall", "window": "30s", "above": Decimal("0.02")}],
        "duration": "10s",
        "cool_down": "20s",
    }
    inert = {"kind": "breaker", "when": [{"observable": "fall", "above": 1}]}


class TestDivergencePause(MitigationContract):
    mitigation = {
        "kind": "divergence_pause", "above": Decimal("0.004"), "duration": "4s", "cool_down": "5s",
    }  # fmt: skip
    inert = {"kind": "divergence_pause", "above": 1_000}
    unsplittable = "what the first half sells may halt the second"


class TestGrace(MitigationContract):
    mitigation = {"kind": "grace", "span": "6s"}
    inert = {"kind": "grace", "span": "6s"}  # Nothing is halted, and no fault is drawn.
    runs = 12  # A grace period follows faults of the engine alone.


class TestDynamicMargin(MitigationContract):
    mitigation = {
        "kind": "dynamic_margin", "period": "5s", "reference": 5, "high": 2, "notice": "5s",
    }  # fmt: skip
    inert = {"kind": "dynamic_margin", "period": "5s", "high": 1}


class TestOpenInterestMargin(MitigationContract):
    mitigation = {
        "kind": "open_interest_margin", "period": "5s", "reference_usd": 100_000, "low": 0.5,
    }  # fmt: skip
    inert = {"kind": "open_interest_margin", "period": "5s", "reference_usd": 10**11}


class TestWideningBreaker(MitigationContract):
    mitigation = {
        "kind": "breaker",
        "action": "widen_margin",
        "when": [{"observable": "fall", "window": "30s", "above": Decimal("0.02")}],
        "factor": 2,
        "notice": "3s",
        "duration": "10s",
        "cool_down": "20s",
    }
    inert = {
        "kind": "breaker", "action": "widen_margin", "when": [{"observable": "fall", "above": 1}],
    }  # fmt: skip


class TestConcentrationMargin(MitigationContract):
    mitigation = {
        "kind": "concentration_margin", "period": "5s", "largest": 2, "reference": Decimal("0.05"),
        "low": Decimal("0.5"),
    }  # fmt: skip
    inert = {"kind": "concentration_margin", "period": "5s", "reference": 1}


class TestCorrelationMargin(MitigationContract):
    mitigation = {
        "kind": "correlation_margin", "period": "5s", "half_life": "10s",
        "reference": Decimal("0.4"), "low": Decimal("0.7"), "notice": "5s",
    }  # fmt: skip
    inert = {"kind": "correlation_margin", "period": "5s", "reference": 1}


class TestHaircutOnCoins(MitigationContract):
    has_coins = True
    deed = CoinHaircutChanged
    mitigation = {
        "kind": "correlation_margin", "scales": "haircut", "period": "5s", "half_life": "10s",
        "reference": Decimal("0.4"), "low": Decimal("0.7"), "notice": "5s",
    }  # fmt: skip
    inert = {"kind": "correlation_margin", "scales": "haircut", "period": "5s", "reference": 1}


class TestStressMargin(MitigationContract):
    mitigation = {
        "kind": "stress_margin", "period": "5s", "points": [[at(40), 2], [at(120), 1]],
    }  # fmt: skip
    inert = {"kind": "stress_margin", "period": "5s"}


class TestPredictive(MitigationContract):
    mitigation = {
        "kind": "predictive",
        "model": "by_hand.json",
        "content": model_text(intercept=-4, ladder=2, forced=1, imbalance=Decimal("0.5")),
        "period": "5s",
        "notice": "5s",
    }  # fmt: skip
    inert = {
        "kind": "predictive", "model": "calm.json", "content": model_text(ladder=1), "high": 1,
    }  # fmt: skip


class TestReducingPositions(MitigationContract):
    mitigation = {
        "kind": "predictive",
        "action": "deleverage",
        "model": "by_hand.json",
        "content": model_text(intercept=-4, ladder=2, forced=1, imbalance=Decimal("0.5")),
        "period": "2s",
        "above": Decimal("0.1"),
        "cap": Decimal("0.1"),
        "most_usd": 2_000,
    }  # fmt: skip
    inert = {
        "kind": "predictive", "action": "deleverage", "model": "by_hand.json",
        "content": model_text(ladder=1), "cap": 0,
    }  # fmt: skip
    runs = 12

    def test_4_steps_keep_their_caps(self) -> None:
        """A step, a look and an account have each their most; nobody is left due or turned."""
        told = Counter[str]()
        most_uusd = self.mitigation["most_usd"] * 10**6

        def are_kept(tables: Tables) -> None:
            fold = Fold()
            first: dict[tuple[int, int], int] = {}
            closed, looks = Counter[tuple[int, int]](), Counter[int]()
            for entry in self._events(tables, self.mitigation):
                e = entry.event
                if isinstance(e, PositionReduced):
                    key, size = (e.market_id, e.bucket_id), abs(e.quantity_e8)
                    held = fold.units_e8[key]
                    first.setdefault(key, abs(held))
                    closed[key] += size
                    looks[entry.cause_seq] += size * e.mark_price_e8
                    assert held * e.quantity_e8 < 0
                    assert size * 20 <= abs(held)
                    assert closed[key] * 10 <= first[key]
                    assert looks[entry.cause_seq] <= most_uusd * 10**10
                    assert not any(
                        t.bucket_id == e.bucket_id for t in fold.open_liquidations.values()
                    )
                    told["steps"] += 1
                    told["looks used up"] += looks[entry.cause_seq] > most_uusd * 10**10 * 0.999
                fold.apply(entry)
            told["caps used up"] += sum(closed[key] * 10 > first[key] * 0.999 for key in first)

        self._for_all(are_kept)

        assert_floors(told, {"steps": 100, "looks used up": 10, "caps used up": 15})


class TestLeverageFee(MitigationContract):
    mitigation = {"kind": "leverage_fee", "period": "20s", "leverage": 4, "reference": 5}
    inert = {"kind": "leverage_fee", "period": "20s", "leverage": 1_000_000}


class TestFundLimits(MitigationContract):
    mitigation = {"kind": "fund_limits", "max_draw_usd": 50, "max_window_usd": 200, "span": "30s"}
    inert = {"kind": "fund_limits", "max_draw_usd": 10**11, "max_window_usd": 10**11}
    runs = 10  # In some crashes there is no fund.
    unsplittable = "max_draw_usd is per slice: two halves may draw twice as much"


class TestStaking(MitigationContract):
    mitigation = {
        "kind": "staking", "stakers": [{"name": "whale", "purse_usd": 5_000}], "max_share": 1,
    }  # fmt: skip
    inert = {
        "kind": "staking", "stakers": [{"name": "whale", "purse_usd": 5_000}], "max_share": 0,
    }  # fmt: skip
    inert_has_capital = True
    least_decisions = 0  # A slashing is an event of its own.
    fills_holes = True


class TestBackstop(MitigationContract):
    mitigation = {"kind": "backstop", "purse_usd": 200_000, "resale_delay": "5s"}
    inert = {"kind": "backstop", "purse_usd": 200_000, "position_limit_usd": 0}
    inert_has_capital = True
    least_decisions = 0  # So is a takeover.
    deed = TrancheTakenOver
    fills_holes = True


class TestPool(MitigationContract):
    mitigation = {
        "kind": "pool",
        "deposits": [{"amount_usd": 120_000}, {"amount_usd": 80_000}],
        "discount": Decimal("0.001"),
        "resale_delay": "5s",
    }
    inert = {"kind": "pool", "deposits": [{"amount_usd": 200_000}], "position_limit_usd": 0}
    inert_has_capital = True
    unsplittable = "a book may take half at a better price than the pool, and not the whole"


class TestPoolWhereKeepersExecute(MitigationContract):
    mitigation = {"kind": "pool", "deposits": [{"amount_usd": 200_000}], "resale_delay": "5s"}
    inert = {"kind": "pool", "deposits": [{"amount_usd": 200_000}], "position_limit_usd": 0}
    inert_has_capital = True
    executor = "keepers"
    least_decisions = 0  # It is asked last, as a vault is.
    deed = TrancheTakenOver


class TestSlicesByDepth(MitigationContract):
    mitigation = {"kind": "slices", "law": "depth_share", "least_usd": 1_000, "interval": "2s"}
    inert = {"kind": "slices", "law": "depth_share", "least_usd": 10**11, "interval": "0s"}
    runs = 3
    unsplittable = "the share of the depth is per slice: two halves have two"


class TestSlicesOfASchedule(MitigationContract):
    mitigation = {
        "kind": "slices", "law": "obizhaeva_wang", "parts": 4, "least_usd": 1, "interval": "2s",
    }  # fmt: skip
    inert = {"kind": "slices", "law": "obizhaeva_wang", "least_usd": 10**11, "interval": "0s"}
    executor = "keepers"
    runs = 3


class TestSlicesByParticipation(MitigationContract):
    mitigation = {
        "kind": "slices",
        "law": "participation",
        "least_usd": 2_500,  # The largest position, 100,000, is gone in 200 s, whatever the share.
        "background_usd_per_hour": 1_000_000,
        "interval": "2s",
    }
    inert = {"kind": "slices", "law": "participation", "least_usd": 10**11, "interval": "0s"}
    runs = 3
    unsplittable = "least_usd is per slice: two halves have two"


class TestDelays(MitigationContract):
    mitigation = {"kind": "delays", "per_million": "1m", "max": "8s"}
    inert = {"kind": "delays", "per_million": "0s"}
    runs = 3
    is_scale_free = False  # It says how long per million.
    unsplittable = "the flow of the first half delays the second"


class TestSlippageCap(MitigationContract):
    mitigation = {
        "kind": "slippage_cap", "max_slippage": Decimal("0.001"), "least_usd": 100, "retry": "2s",
    }  # fmt: skip
    inert = {"kind": "slippage_cap", "max_slippage": 10}
    runs = 3
    unsplittable = "slippage counts from where the first half has left the price"


class TestPenaltyRouting(MitigationContract):
    mitigation = {
        "kind": "penalty_routing",
        "keeper": Decimal("0.3"), "fund": Decimal("0.3"), "treasury": 0, "burn": Decimal("0.4"),
        "remainder": "burn",
    }  # fmt: skip
    inert = {"kind": "penalty_routing", "keeper": 0, "fund": 0, "treasury": 1}
    executor = "keepers"
    least_decisions = 0  # A payment is an event of its own.
    deed = PenaltyRouted
    hits_both_sides = True  # By rates that leave enough for a penalty.
    fills_holes = True  # Without impact, which would leave less for that of the second half.
    runs = 3


class TestPenaltyRoutingWithoutKeepers(TestPenaltyRouting):
    executor = "engine"


class TestRisingReward(MitigationContract):
    mitigation = {
        "kind": "keeper_reward", "law": "waiting", "base_usd": 1, "per_minute_usd": 30,
        "budget_usd": 40,
    }  # fmt: skip
    inert = {"kind": "keeper_reward", "law": "waiting", "base_usd": 0, "per_minute_usd": 0}
    inert_has_capital = True
    executor = "keepers"
    least_decisions = 0  # So is a reward.
    deed = KeeperRewarded
    runs = 3
    unsplittable = "a reward is of a takeover: two halves are two"


class TestRewardOfViolation(TestRisingReward):
    runs = 6
    mitigation = {
        "kind": "keeper_reward", "law": "violation", "base_usd": 1, "rate": 1,
        "max_window_usd": 10, "span": "20s", "budget_usd": 10_000,
    }  # fmt: skip
    inert = {"kind": "keeper_reward", "law": "violation", "base_usd": 0, "rate": 0}


class TestRewardOfScarcity(TestRisingReward):
    mitigation = {
        "kind": "keeper_reward", "law": "scarcity", "base_usd": 0, "scarce_usd": 20,
        "reference_usd": 100_000, "distance": Decimal("0.01"), "max_usd": 10, "budget_usd": 90,
    }  # fmt: skip
    inert = {"kind": "keeper_reward", "law": "scarcity", "max_usd": 0}
