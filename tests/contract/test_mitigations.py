"""Every mitigation against the contract that users' own are held against."""

from decimal import Decimal

from liqsim.testing import MitigationContract


class TestRateLimit(MitigationContract):
    mitigation = {"kind": "rate_limit", "max_usd": 60_000, "span": "10s", "least_usd": 1_000}
    inert = {"kind": "rate_limit", "max_usd": 10**11}


class TestRateLimitPerFixedSpan(MitigationContract):
    mitigation = {
        "kind": "rate_limit", "max_usd": 40_000, "span": "5s", "least_usd": 0, "window": "fixed",
    }  # fmt: skip
    inert = {"kind": "rate_limit", "max_usd": 10**11, "window": "fixed"}
    executor = "keepers"


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
