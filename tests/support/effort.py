"""How many cases a property looks at, scaled by the Hypothesis profile, and how unlike they are."""

from random import Random
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.internal.conjecture.data import ConjectureData

_PROFILE_DEFAULT = 100
"""What Hypothesis runs by default; a profile with ten times as many runs ten times every count."""


def cases(count: int) -> settings:
    """Return settings for *count* cases in the normal run."""
    return settings(
        max_examples=max(count * settings.default.max_examples // _PROFILE_DEFAULT, 1),
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def apart(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """
    Return *strategy*, drawn anew for every case.

    Hypothesis makes most cases by copying parts of the case before, so that of a hundred large
    ones some twenty differ, and whether a rare path is met hangs on constants of the code. Drawn
    apart, what is met hangs on the strategy. The price: a failing case is not made smaller.
    """

    def drawn(seed: int) -> Any:
        return ConjectureData(random=Random(seed)).draw(strategy)

    return st.integers(0, 2**64 - 1).map(drawn)
