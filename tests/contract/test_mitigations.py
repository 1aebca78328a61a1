"""Every mitigation against the contract that users' own are held against."""

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
