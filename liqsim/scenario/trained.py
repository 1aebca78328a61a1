"""What a model of the chance of a cascade is; `liqsim.scenario.model_file` reads one."""

from typing import Final

import attrs

FEATURES: Final = ("imbalance", "forced", "interest", "ladder", "volatility")
"""What a model weighs, in order; see `liqsim.mechanics.mitigations.predicting`."""


@attrs.frozen
class Weight:
    """
    What a model makes of one feature: weight x (feature - mean) / deviation.

    Attributes:
        name: The feature.
        mean_e6: Its mean where the model was trained, in 1e-6.
        deviation_e6: Its standard deviation there, likewise.
        weight_e6: Log odds per deviation, likewise.
    """

    name: str
    mean_e6: int
    deviation_e6: int
    weight_e6: int


@attrs.frozen
class TrainedModel:
    """
    A logistic regression on what a venue observes.

    Attributes:
        window_us: How far flows and volatility look back.
        distance_e6: How far from the price depth and ladder reach, as a share of it.
        intercept_e6: Log odds at the mean of all features, in 1e-6.
        weights: One per feature, in the order of `FEATURES`.
        seeds: Seeds of the runs that it was trained on, or its quality measured on.
    """

    window_us: int
    distance_e6: int
    intercept_e6: int
    weights: tuple[Weight, ...]
    seeds: frozenset[int]
