"""
Margin rates that follow an observation: what is asked for, and the step towards it.

Volatility, open interest, concentration, correlation, an index of stress and the chance of a
cascade differ in what is observed, and in nothing else. Concentration is a concentration ratio,
CR_n of industrial economics: the share of the n largest.
Margin that rises with volatility is procyclical (EMIR RTS 153/2013, article 28, on central
counterparties): hence the bounds, the ramp and the notice.
"""

from bisect import bisect_right
from collections.abc import Iterable
from operator import itemgetter

from liqsim.scenario.mitigations import (
    ConcentrationMargin,
    CorrelationMargin,
    DynamicMargin,
    MarginScaling,
    OpenInterestMargin,
    Predictive,
    StressMargin,
)
from liqsim.units import RATIO_SCALE, ceil_div


def reference_of(spec: MarginScaling) -> int:
    """Return the observation at which rates are those of the start, in its own unit."""
    if isinstance(spec, OpenInterestMargin):
        return spec.reference_uusd
    known = ConcentrationMargin | CorrelationMargin | DynamicMargin | StressMargin | Predictive
    assert isinstance(spec, known)
    return spec.reference_e6


def next_multiplier_e6(spec: MarginScaling, multiplier_e6: int, observed: int) -> int:
    """
    Return the multiplier that follows *multiplier_e6* once *observed* is seen.

    The target, observed / reference rounded up to a grain, is held within bounds; the multiplier
    takes one step towards it.

    >>> spec = DynamicMargin("", "", True, 60, 10**6, 2 * 10**6, 300_000, 100_000, 1, 0, 60, 10**6)
    >>> next_multiplier_e6(spec, 10**6, 1_200_000), next_multiplier_e6(spec, 10**6, 3_000_000)
    (1200000, 1300000)
    >>> next_multiplier_e6(spec, 1_300_000, 0), next_multiplier_e6(spec, 1_050_000, 0)
    (1200000, 1000000)
    """
    grain = spec.grain_e6
    target = ceil_div(observed * RATIO_SCALE, reference_of(spec) * grain) * grain
    target = min(max(target, spec.low_e6), spec.high_e6)
    return min(max(target, multiplier_e6 - spec.restore_e6), multiplier_e6 + spec.ramp_e6)


def concentration_e6(positions: Iterable[int], largest: int, open_contracts: int) -> int | None:
    """
    Return the share of the *largest* positions in open interest, in 1e-6; None where there is none.

    Longs and shorts are one side each, and the side counts where they have more.

    Args:
        positions: Contracts of accounts, of any scale; negative is short.
        largest: How many count.
        open_contracts: Open interest: what all owners are long of them.

    >>> concentration_e6([5, 1, 2, -4, -2], 2, 9)
    777777
    """
    if not open_contracts:
        return None
    ordered = sorted(positions)
    shorts = -sum(position for position in ordered[:largest] if position < 0)
    longs = sum(position for position in ordered[-largest:] if position > 0)
    return max(longs, shorts) * RATIO_SCALE // open_contracts


def index_at(spec: StressMargin, at_us: int) -> int | None:
    """
    Return the index of stress at *at_us*, in 1e-6; None before its first point.

    >>> spec = StressMargin("", "", True, 1, 0, 1, 1, 1, 1, 0, ((10, 7), (20, 9)), 1)
    >>> index_at(spec, 9), index_at(spec, 19), index_at(spec, 20)
    (None, 7, 9)
    """
    known = bisect_right(spec.points, at_us, key=itemgetter(0))
    return spec.points[known - 1][1] if known else None
