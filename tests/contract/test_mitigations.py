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
