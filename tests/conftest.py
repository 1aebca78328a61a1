"""Hypothesis profiles: `normal` is the same every time, `deep` looks for what nobody thought of."""

import importlib
import os
import pkgutil

from hypothesis import HealthCheck, Phase, settings

import liqsim
import replay

# Hypothesis also draws the constants of whatever code has been imported so far. With all of it
# imported, a test meets the same cases whether it runs alone, among all others, or on a worker.
for package in (liqsim, replay):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)

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
