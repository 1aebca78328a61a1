"""Hypothesis profiles: `normal` is the same every time, `deep` looks for what nobody thought of."""

import os
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis.internal.conjecture import providers

# Hypothesis also draws the constants of our own code, so that a new module anywhere would change
# what every test draws, and how often its rare cases are met. It has no setting for that; where it
# knows none, as in an older version, this does nothing.
_own_constants: Any = getattr(providers, "_local_constants", None)
providers._get_local_constants = lambda: _own_constants

settings.register_profile(
    "normal",
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "deep",
    max_examples=2_000,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
# A planted fault is to be found, not made small: shrinking may take minutes.
settings.register_profile(
    "fault", settings.get_profile("normal"), phases=[Phase.explicit, Phase.generate]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "normal"))
