"""Scenarios of one market without impact, latency or noise, with accounts given one by one."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

START = datetime(2024, 1, 1, tzinfo=UTC)


def account(
    *, notional_usd: Any, leverage: Any, is_long: bool, entry: Any = 0, market: str = "ONE"
) -> dict[str, Any]:
    """Return a cohort of one account; *entry* is relative to the start price."""
    return {
        "market": market,
        "accounts": 1,
        "notional_usd": notional_usd,
        "long_share": int(is_long),
        "size": {"alpha": 1},
        "leverage": {"median": leverage, "min": min(1, leverage), "max": leverage},
        "entry": {"long_mean": entry, "short_mean": entry},
    }


def frictionless(
    cohorts: dict[str, dict[str, Any]],
    *,
    knots: list[tuple[int, Any]],
    maintenance: list[list[Any]],
    step: str = "1s",
    bridge_volatility: Any = 0,
    venue: dict[str, Any] | None = None,
    liquidity: dict[str, Any] | None = None,
    shocks: list[dict[str, Any]] | None = None,
    seed: int = 1,
) -> dict[str, Any]:
    """
    Return a scenario in which mark, market and reference price are one.

    Args:
        cohorts: Accounts by name.
        knots: (seconds since the start, price).
        maintenance: Tiers.
        step: Resolution of the path; the oracle samples at it.
        bridge_volatility: Annual volatility between the knots.
        venue: Changes to the venue's tables.
        liquidity: A book instead of none.
        shocks: Scripted moves.
        seed: Seed.
    """
    return {
        "name": "frictionless",
        "start": START,
        "end": START + timedelta(seconds=knots[-1][0]),
        "seed": seed,
        "markets": {
            "ONE": {
                "maintenance": maintenance,
                "path": {
                    "kind": "knots",
                    "step": step,
                    "bridge_volatility": bridge_volatility,
                    "knots": [[START + timedelta(seconds=at), price] for at, price in knots],
                },
                "shocks": shocks or [],
                "liquidity": liquidity or {"kind": "no_impact"},
                "oracle": {
                    "deviation": 0,
                    "heartbeat": "1h",
                    "landing": {"median": "0s", "p99": "0s"},
                    "sources": {"last": {"period": step, "latency": {"median": "0s", "p99": "0s"}}},
                },
            }
        },
        "venue": {
            "executor": "engine",
            "tranches": {"share": 1, "spacing": "1s"},
            "fund": {"initial_usd": Decimal(1_000_000)},
            "waterfall": {"surplus_to": "trader", "deleveraging": "none"},
            "engine": {"reaction": "0s"},
        }
        | (venue or {}),
        "population": {"cohorts": cohorts},
    }
