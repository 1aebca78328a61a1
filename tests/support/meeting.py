"""Runs in which longs and shorts of one market are due together: at random, and by hand."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from liqsim.runner import Prepared
from support.effort import apart
from support.scenarios import (
    Position,
    Raw,
    at,
    prepared_by_hand,
    scenarios,
    small_scenario,
)
from support.slicing import slowed


def meeting(executor: str) -> st.SearchStrategy[Raw]:
    """Return scenarios that cross, whose venues ask both sides for more margin all the time."""
    return apart(_meeting(executor))


@st.composite
def _meeting(draw: st.DrawFn, executor: str) -> Raw:
    def of(*values: object) -> object:
        return draw(st.sampled_from(values))

    raw = draw(scenarios(executor))
    for market in raw["markets"].values():
        market["maintenance_changes"] = [
            {"at": at(second), "multiplier": multiplier}
            for second, multiplier in (
                (8, 2),
                (of(13, 16), 3),
                (of(22, 30), 4),
                (of(41, 55), 5),
                (of(61, 75), of(1, 6)),
            )
        ]
        for key in ("maintenance", "maintenance_usd", "initial", "initial_usd"):
            for tier in market.get(key, ()):
                tier[1] = min(tier[1], Decimal("0.015"))
        if of(0, 1, 1, 1):  # Smaller moves leave fewer bankrupt at once.
            for knot in market["path"].get("knots", [])[1:]:
                start = Decimal(market["path"]["knots"][0][1])
                knot[1] = round(start + (Decimal(knot[1]) - start) / 8, 8)
            market["shocks"] = []
        if market["liquidity"]["kind"] == "ladder":
            market["liquidity"] = {"kind": "power_book", "depth_usd": 20_000, "half_life": "9s"}
        if market.get("contract") == "inverse":
            market["contract"] = "linear"
            for table in raw["population"]["cohorts"].values():
                table.pop("collateral", None)
    first = next(iter(raw["markets"]))
    for table in raw["population"]["cohorts"].values():
        table["long_share"] = Decimal("0.5")
        table["accounts"] += 8
        table["leverage"] |= {"median": 14, "sigma": 0.4}
        if "traders" in table:
            table["traders"]["near"]["alert_buffer"] = Decimal("0.05")
    raw["venue"]["tranches"]["restore_buffer"] = of(Decimal("0.1"), 1)
    raw["venue"]["tranches"]["spacing"] = of("1s", "1s", "4s")
    raw["venue"]["tranches"]["share"] = of(Decimal("0.5"), 1, 1)
    raw["venue"]["mark_max_age"] = of("0s", "0s", "6s")
    row = {"kind": "crossing", "hold": of("1s", "6s", "20s", "20s"), "market": of("", "", first)}
    rows = [row]
    beside = of("", "", "rate_limit", "slowed", "breaker", "grace")
    if beside == "rate_limit":
        rows += [
            {
                "kind": "rate_limit",
                "max_usd": of(1_000, 5_000, 20_000),
                "span": of("3s", "15s"),
                "window": of("rolling", "fixed"),
                "least_usd": of(0, 500),
            }
        ]
    elif beside == "slowed":
        rows += slowed(draw(st.integers(0, 10**6)), first)
    elif beside:
        moved = {"observable": of("fall", "rise"), "window": "30s", "above": Decimal("0.005")}
        rows += [{"kind": "breaker", "when": [moved], "duration": "9s", "cool_down": "12s"}]
        rows += [{"kind": "grace", "span": "3s"}] if beside == "grace" else []
    return raw | {"mitigations": rows}


def auctioning(executor: str) -> st.SearchStrategy[Raw]:
    """Return the same scenarios with auctions, some of them with crossing beside."""
    return apart(_auctioning(executor))


@st.composite
def _auctioning(draw: st.DrawFn, executor: str) -> Raw:
    def of(*values: object) -> object:
        return draw(st.sampled_from(values))

    raw = draw(_meeting(executor))
    for table in raw["population"]["cohorts"].values():
        table.pop("collateral", None)
    crossing, *others = raw["mitigations"]
    auction = {
        "kind": "batch_auction",
        "market": crossing["market"],
        "period": of("3s", "8s", "20s", "20s"),
        "bids_usd": of(500, 3_000, 20_000),
        "distance": of(Decimal("0.002"), Decimal("0.01"), Decimal("0.05")),
        "least_usd": 1,
        "purse_usd": of(0, 800, 4_000, 100_000),
        "position_limit_usd": of(4_000, 999_999_999),
        "resale_delay": of("1s", "10s"),
        "resale_parts": of(1, 4),
        "resale_spacing": of("0s", "7s"),
    }
    beside = [crossing | {"hold": of("1s", "6s")}] if of(0, 0, 1) else []
    return raw | {"mitigations": [auction, *beside, *others]}


def meeting_by_hand(
    positions: list[Position],
    rows: list[Raw],
    price: Mapping[int, Any] | None = None,
    maintenance: Mapping[int, Any] | None = None,
    **changes: Any,
) -> Prepared:
    """
    Return a quiet minute of these accounts, none of which is ever restored.

    Args:
        positions: (units, entry, collateral) of each.
        rows: Mitigations.
        price: The price from each second on; else 100.
        maintenance: Its rate in per cent from each second on; else 4 from 10 s, 5 from 12 s on.
        changes: To the scenario.
    """
    rates = maintenance or {10: 4, 12: 5}
    raw = small_scenario(
        **{
            "markets__ETH__maintenance_changes": [
                {"at": at(second), "multiplier": rate} for second, rate in rates.items()
            ],
            "venue__fees": {"liquidation_on_mark": Decimal("0.002")},
            "venue__tranches": {"share": 1, "spacing": "1s", "restore_buffer": 10},
            "mitigations": rows,
        }
        | changes
    )
    return prepared_by_hand(raw, positions, price or {0: 100})
