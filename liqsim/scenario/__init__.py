"""The frozen parameters of a run, and their loader: every bound is checked here."""

from liqsim.scenario.basis import basis_counts
from liqsim.scenario.inputs import names_files
from liqsim.scenario.loader import load_scenario, scenario_from_dict, scenario_from_toml
from liqsim.scenario.model import Scenario

__all__ = [
    "Scenario",
    "basis_counts",
    "load_scenario",
    "names_files",
    "scenario_from_dict",
    "scenario_from_toml",
]
