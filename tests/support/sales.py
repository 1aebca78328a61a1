"""
A schedule of sales as a scenario: who sells how much, in which second, in a book that refills.

Every sale is a liquidation: a path falls in a straight line, by parts in a million, and an account
is due in its second for the first time. The mark shows the reference price alone, so that sales
hasten nobody; maintenance of one half keeps every bankruptcy price far below, so that no limit
binds. Impact is additive in the models that this serves and multiplicative here: sizes must move
the price by little.
"""

import math
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from liqsim.api import run_to_log
from liqsim.scenario import scenario_from_dict
from replay.log import Log
from support.ladder import LEVERAGE, MAINTENANCE, START

FALL_PER_SECOND = 1e-8
"""In log price; a trigger lies in the middle of two seconds."""


def seller(second: int, units: float, start_price: int) -> dict[str, Any]:
    """Return a cohort of one account that is due at *second* for the first time."""
    ratio = float((1 - 1 / LEVERAGE) / (1 - MAINTENANCE))
    entry = start_price * math.exp(-FALL_PER_SECOND * (second - 0.5)) / ratio
    return {
        "market": "LIN",
        "accounts": 1,
        "notional_usd": Decimal(repr(units * entry)).quantize(Decimal("0.000001")),
        "long_share": 1,
        "size": {"alpha": 1},
        "leverage": {"median": LEVERAGE, "min": 1, "max": LEVERAGE},
        "entry": {
            "long_mean": Decimal(repr(entry / start_price - 1)).quantize(Decimal("1e-14")),
        },
    }


def sale(
    *,
    depth: float,
    permanent: float,
    resilience: float,
    schedule: dict[int, float],
    start_price: int = 100_000,
) -> dict[str, Any]:
    """
    Return the scenario that sells *schedule*: units by second.

    *depth* is units per unit of price, *permanent* price per unit, *resilience* per second.
    """
    end_s = max(schedule) + 10
    end = START + timedelta(seconds=end_s)
    return {
        "name": "sales",
        "description": "Theory: a schedule of sales in a book that refills exponentially",
        "start": START,
        "end": end,
        "path_mode": "on_top",
        "markets": {
            "LIN": {
                "maintenance": [[0, MAINTENANCE]],
                "path": {
                    "kind": "knots",
                    "step": "1s",
                    "bridge_volatility": 0,
                    "knots": [
                        [START, start_price],
                        [end, round(start_price * math.exp(-FALL_PER_SECOND * end_s), 8)],
                    ],
                },
                "liquidity": {
                    "kind": "power_book",
                    # A unit moves the price by 1 / q: 1 % of the price takes q x 1 % of it.
                    "depth_usd": int(depth * 0.01 * start_price * start_price),
                    "reach": 1,
                    "permanent_share": Decimal(repr(round(permanent * depth, 6))),
                    "half_life": f"{math.log(2) / resilience:.6f}s",
                },
                "oracle": {
                    "deviation": 0,
                    "heartbeat": "1h",
                    "landing": {"median": "0s", "p99": "0s"},
                    "sources": {
                        "reference": {
                            "period": "1s",
                            "latency": {"median": "0s", "p99": "0s"},
                            "pass_through": 0,
                        }
                    },
                },
            }
        },
        "venue": {
            "executor": "engine",
            "fund": {"initial_usd": 0},
            "waterfall": {"surplus_to": "trader", "deleveraging": "none"},
            "engine": {"reaction": "0s"},
        },
        "population": {
            "cohorts": {
                f"at_{s:04d}": seller(s, units, start_price) for s, units in schedule.items()
            }
        },
        "basis": {
            "markets": {"kind": "assumed", "source": "theory: depth and resilience of the table"},
            "population": {"kind": "assumed", "source": "theory: a schedule of sales"},
        },
    }


def cost_of(scenario: dict[str, Any], log: Path) -> tuple[float, float, int]:
    """Return (cost against the reference price, units sold, sales) of a run."""
    run_to_log(scenario_from_dict(scenario, source="theory"), log)
    with Log(log) as reader:
        assert reader.verify() == []
        ((cost, units, orders),) = reader.sql(
            "select sum(-quantity::double * (reference_price - price)::double), "
            "-sum(quantity)::double, count(*) from order_filled"
        ).fetchall()
    return float(cost), float(units), int(orders)
