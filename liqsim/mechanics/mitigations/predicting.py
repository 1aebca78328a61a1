"""
The chance of a cascade in what a venue observes, by a frozen logistic regression; its small steps.

Features are whole millionths. Amounts are held against the depth of the book, so that a venue
twice as large sees the same; of these ratios, which have heavy tails, the root is taken. A sum of
products of integers has no order, and the logistic function is computed in decimal arithmetic,
whose exponential is correctly rounded: the score is the same on every machine.
"""

import math
from decimal import Context, Decimal
from typing import Final

import attrs

from liqsim.scenario.mitigations import Predictive
from liqsim.scenario.trained import TrainedModel
from liqsim.units import RATIO_SCALE

_RATIO_MAX_E6: Final = 10_000 * RATIO_SCALE
"""What an amount is at most as a multiple of the depth: no book at all is that thin."""
_ODDS_MAX_E6: Final = 40 * RATIO_SCALE
"""Log odds beyond which the chance is 0 or 1 to the last millionth."""
_PRECISE: Final = Context(prec=40)


@attrs.frozen
class Observation:
    """
    What is observed of a market at one look; amounts in USD are at the mark.

    Attributes:
        imbalance_e6: Bought less sold in the venue's own book over the window, without sign, as a
            share of both.
        forced_uusd: What liquidations had filled and taken over in the window.
        depth_uusd: What the book would take within the distance, on its thinner side.
        ladder_uusd: What would be due if the mark moved by the distance, to the worse side.
        open_interest_uusd: What owners are long; inverse contracts count by their dollars, also in
            the ladder.
        volatility_e6: Annual volatility of the mark, realised over the window.
    """

    imbalance_e6: int
    forced_uusd: int
    depth_uusd: int
    ladder_uusd: int
    open_interest_uusd: int
    volatility_e6: int

    @property
    def features(self) -> tuple[int, ...]:
        """The features, in the order of `liqsim.scenario.trained.FEATURES`, in 1e-6."""
        return (
            self.imbalance_e6,
            root_of_ratio_e6(self.forced_uusd, self.depth_uusd),
            root_of_ratio_e6(self.open_interest_uusd, self.depth_uusd),
            root_of_ratio_e6(self.ladder_uusd, self.depth_uusd),
            self.volatility_e6,
        )


def root_of_ratio_e6(amount_uusd: int, depth_uusd: int) -> int:
    """
    Return the root of amount / depth in 1e-6, rounded down; at most 100, and 0 of nothing.

    >>> root_of_ratio_e6(9_000_000, 4_000_000), root_of_ratio_e6(1, 0), root_of_ratio_e6(0, 0)
    (1500000, 100000000, 0)
    """
    if not amount_uusd:
        return 0
    ratio_e6 = amount_uusd * RATIO_SCALE // depth_uusd if depth_uusd else _RATIO_MAX_E6
    return math.isqrt(min(ratio_e6, _RATIO_MAX_E6) * RATIO_SCALE)


def imbalance_e6(signed_uusd: int, gross_uusd: int) -> int:
    """
    Return the order-flow imbalance without sign, rounded down; 0 where nothing was traded.

    >>> imbalance_e6(-30, 90), imbalance_e6(0, 0)
    (333333, 0)
    """
    return abs(signed_uusd) * RATIO_SCALE // gross_uusd if gross_uusd else 0


def log_odds_e6(model: TrainedModel, features_e6: tuple[int, ...]) -> int:
    """Return the log odds of a cascade in 1e-6: each feature's part is rounded down."""
    return model.intercept_e6 + sum(
        w.weight_e6 * (x - w.mean_e6) // w.deviation_e6
        for w, x in zip(model.weights, features_e6, strict=True)
    )


def chance_e6(odds_e6: int) -> int:
    """
    Return 1 / (1 + exp(-log odds)) in 1e-6, rounded down.

    >>> chance_e6(0), chance_e6(1_000_000), chance_e6(-(10**12)), chance_e6(10**12)
    (500000, 731058, 0, 999999)
    """
    bounded = min(max(odds_e6, -_ODDS_MAX_E6), _ODDS_MAX_E6)
    inverse = _PRECISE.exp(Decimal(-bounded).scaleb(-6))
    return int(_PRECISE.divide(Decimal(RATIO_SCALE), _PRECISE.add(Decimal(1), inverse)))


def risk_e6(model: TrainedModel, seen: Observation) -> int:
    """Return the chance of a cascade that *model* finds in what was seen, in 1e-6."""
    return chance_e6(log_odds_e6(model, seen.features))


def step_e8(spec: Predictive, held_e8: int, first_e8: int, closed_e8: int, left_e8: int) -> int:
    """
    Return the order that reduces a position, negative sells; all that bounds it is rounded down.

    Args:
        spec: The mitigation.
        held_e8: The position; negative is short.
        first_e8: Its size before the mitigation first reduced it.
        closed_e8: What it has been reduced by since.
        left_e8: What the look may still trade away.
    """
    step = abs(held_e8) * spec.step_e6 // RATIO_SCALE
    size = max(min(step, first_e8 * spec.cap_e6 // RATIO_SCALE - closed_e8, left_e8), 0)
    return -size if held_e8 > 0 else size
