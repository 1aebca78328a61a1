"""How many cases a property looks at: a count of its own, scaled by the Hypothesis profile."""

from hypothesis import HealthCheck, settings

_PROFILE_DEFAULT = 100
"""What Hypothesis runs by default; a profile with ten times as many runs ten times every count."""


def cases(count: int) -> settings:
    """Return settings for *count* cases in the normal run."""
    return settings(
        max_examples=max(count * settings.default.max_examples // _PROFILE_DEFAULT, 1),
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
