"""Floors under randomised tests: a test that no longer meets the case it exists for must fail."""

from collections import Counter
from collections.abc import Mapping


def assert_floors(census: Counter[str], floors: Mapping[str, int]) -> None:
    """Fail with every case in *census* that was met less often than *floors* asks."""
    short = {
        case: f"{census[case]} of {least}" for case, least in floors.items() if census[case] < least
    }
    assert not short, f"cases met too seldom: {short}; all: {dict(sorted(census.items()))}"
