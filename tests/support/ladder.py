"""
The linear cascade of anchor B1 as a scenario: trigger levels uniform in log price.

Units are basis points of log price: a shock of *shock_bp*, an impact of *impact_bp* per contract
unit, all of it permanent, and *density* units that become due per basis point of fall. Each level
is one account; maintenance of one half keeps every bankruptcy price far below its trigger, so no
limit binds and everything due is sold in the book.
"""

import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

START = datetime(2024, 1, 1, tzinfo=UTC)
START_PRICE = 1000
BP = 1e-4
MAINTENANCE = Decimal("0.5")
LEVERAGE = Decimal("1.5")
SHOCK_AFTER_S = 2


def ladder(
    *,
    shock_bp: float,
    impact_bp: float,
    density: float,
    spacing_bp: float,
    levels: int,
    seconds: int = 120,
    name: str = "linear_cascade",
) -> dict[str, Any]:
    """Return the scenario as a dictionary for the loader."""
    units = density * spacing_bp
    # trigger = entry x (1 - 1 / leverage) / (1 - maintenance)
    ratio = float((1 - 1 / LEVERAGE) / (1 - MAINTENANCE))
    cohorts = {}
    for number in range(1, levels + 1):
        entry = START_PRICE * math.exp(-spacing_bp * number * BP) / ratio
        cohorts[f"level_{number:04d}"] = {
            "market": "LIN",
            "accounts": 1,
            "notional_usd": _decimal(units * entry, 6),
            "long_share": 1,
            "size": {"alpha": 1},
            "leverage": {"median": LEVERAGE, "min": 1, "max": LEVERAGE},
            "entry": {"long_mean": _decimal(entry / START_PRICE - 1, 12)},
        }
    return {
        "name": name,
        "description": "Theory: trigger levels evenly spaced in log price, permanent linear impact",
        "start": START,
        "end": START + timedelta(seconds=seconds),
        "seed": 1,
        "path_mode": "on_top",
        "markets": {
            "LIN": {
                "maintenance": [[0, MAINTENANCE]],
                "path": {
                    "kind": "knots",
                    "step": "1s",
                    "bridge_volatility": 0,
                    "knots": [
                        [START, START_PRICE],
                        [START + timedelta(seconds=seconds), START_PRICE],
                    ],
                },
                "shocks": [
                    {
                        "at": START + timedelta(seconds=SHOCK_AFTER_S),
                        "fraction": _decimal(math.expm1(-shock_bp * BP), 15),
                    }
                ],
                "liquidity": {
                    "kind": "power_book",
                    # One unit moves the price by impact_bp: 1 % takes 100 / impact_bp units.
                    "depth_usd": _decimal(100 / impact_bp * START_PRICE, 6),
                    "exponent": 1,
                    "reach": 1,
                    "permanent_share": 1,
                    "half_life": "1s",
                },
                "oracle": {
                    "deviation": 0,
                    "heartbeat": "1h",
                    "landing": {"median": "0s", "p99": "0s"},
                    "sources": {
                        "last": {
                            "period": "1s",
                            "latency": {"median": "0s", "p99": "0s"},
                            "noise": 0,
                            "pass_through": 1,
                        }
                    },
                },
            }
        },
        "venue": {
            "executor": "engine",
            "tranches": {"share": 1, "spacing": "1s"},
            "fund": {"initial_usd": 0},
            "waterfall": {"surplus_to": "trader", "deleveraging": "none"},
            "engine": {"reaction": "0s"},
        },
        "population": {"cohorts": cohorts},
        "basis": {
            "markets": {"kind": "assumed", "source": "theory: linear permanent impact, no noise"},
            "population": {"kind": "assumed", "source": "theory: a uniform ladder of triggers"},
        },
    }


def _decimal(value: float, places: int) -> Decimal:
    return Decimal(repr(value)).quantize(Decimal(1).scaleb(-places))
