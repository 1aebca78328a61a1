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
