"""Models of cascades by hand, as texts that need no file."""

from typing import Any

from liqsim.scenario.model_file import FORMAT, canonical
from liqsim.scenario.trained import FEATURES

SEEDS = {"trained_on": [900_001, 900_002], "held_out": [900_003]}
"""What models by hand have seen: no scenario of a test has one of these."""


def tree(
    intercept: Any = 0,
    *,
    window_s: Any = 20,
    distance: Any = 0.03,
    **weights: Any,
) -> dict[str, Any]:
    """Return a model with weights by feature, mean 0 and deviation 1; others weigh nothing."""
    return {
        "format": FORMAT,
        "features": [
            {
                "name": name,
                "mean_e6": 0,
                "deviation_e6": 10**6,
                "weight_e6": round(weights.get(name, 0) * 10**6),
            }
            for name in FEATURES
        ],
        "intercept_e6": round(intercept * 10**6),
        "window_us": round(window_s * 10**6),
        "distance_e6": round(distance * 10**6),
        "label": {"above_e6": 500_000, "horizon_us": 60_000_000},
        "runs": {"paths": {"ETH": "gbm"}, **SEEDS},
        "quality": {"positives": 50, "held_out_positives": 20},
    }


def model_text(intercept: Any = 0, **model: Any) -> str:
    """Return the text of `tree(intercept, **model)`."""
    return canonical(tree(intercept, **model))
