"""
For tests of one's own mitigations: strategies for scenarios, and the contract of every mitigation.

Needs pytest and hypothesis: `pip install liqsim[testing]`.
"""

from liqsim.testing.contract import MitigationContract
from liqsim.testing.strategies import faults, paths, populations, scenarios

__all__ = ["MitigationContract", "faults", "paths", "populations", "scenarios"]
