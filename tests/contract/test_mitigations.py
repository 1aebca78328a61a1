"""Every mitigation against the contract that users' own are held against."""

from decimal import Decimal

from liqsim.testing import MitigationContract
from liqsim.testing.strategies import at


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
    runs = 3


class TestCrossingWithKeepers(TestCrossing):
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


class TestStressMargin(MitigationContract):
    mitigation = {
        "kind": "stress_margin", "period": "5s", "points": [[at(40), 2], [at(120), 1]],
    }  # fmt: skip
    inert = {"kind": "stress_margin", "period": "5s"}


class TestLeverageFee(MitigationContract):
    mitigation = {"kind": "leverage_fee", "period": "20s", "leverage": 4, "reference": 5}
    inert = {"kind": "leverage_fee", "period": "20s", "leverage": 1_000_000}


class TestFundLimits(MitigationContract):
    mitigation = {"kind": "fund_limits", "max_draw_usd": 50, "max_window_usd": 200, "span": "30s"}
    inert = {"kind": "fund_limits", "max_draw_usd": 10**11, "max_window_usd": 10**11}


class TestStaking(MitigationContract):
    mitigation = {
        "kind": "staking", "stakers": [{"name": "whale", "purse_usd": 5_000}], "max_share": 1,
    }  # fmt: skip
    inert = {"kind": "staking", "stakers": []}
    least_decisions = 0  # A slashing is an event of its own.


class TestBackstop(MitigationContract):
    mitigation = {"kind": "backstop", "purse_usd": 200_000, "resale_delay": "5s"}
    inert = {"kind": "backstop", "purse_usd": 0}
    least_decisions = 0  # So is a takeover.


class TestSlicesByDepth(MitigationContract):
    mitigation = {"kind": "slices", "law": "depth_share", "least_usd": 1_000, "interval": "2s"}
    inert = {"kind": "slices", "law": "depth_share", "least_usd": 10**11, "interval": "0s"}
    runs = 3


class TestSlicesOfASchedule(MitigationContract):
    mitigation = {
        "kind": "slices", "law": "obizhaeva_wang", "parts": 4, "least_usd": 1_000, "interval": "2s",
    }  # fmt: skip
    inert = {"kind": "slices", "law": "obizhaeva_wang", "least_usd": 10**11, "interval": "0s"}
    executor = "keepers"
    runs = 3


class TestDelays(MitigationContract):
    mitigation = {"kind": "delays", "per_million": "1m", "max": "8s"}
    inert = {"kind": "delays", "per_million": "0s"}
    runs = 3
    is_scale_free = False  # It says how long per million.


class TestSlippageCap(MitigationContract):
    mitigation = {
        "kind": "slippage_cap", "max_slippage": Decimal("0.001"), "least_usd": 100, "retry": "2s",
    }  # fmt: skip
    inert = {"kind": "slippage_cap", "max_slippage": 10}
    runs = 3
