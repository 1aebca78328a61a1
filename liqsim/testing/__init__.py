"""
For tests of one's own mitigations: strategies for scenarios, and the contract of every mitigation.

Needs pytest and hypothesis: `pip install liqsim[testing]`.
"""

import pytest

pytest.register_assert_rewrite("liqsim.testing.contract")  # Or what failed is not told.

from liqsim.testing.contract import MitigationContract  # noqa: E402 — it is to be rewritten
from liqsim.testing.strategies import faults, paths, populations, scenarios  # noqa: E402

__all__ = ["MitigationContract", "faults", "paths", "populations", "scenarios"]
