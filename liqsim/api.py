"""The public names of the write side."""

from liqsim.runner import Actor, Finished, Progress, run_to_log
from liqsim.scenario import Scenario, load_scenario, scenario_from_toml

__all__ = [
    "Actor",
    "Finished",
    "Progress",
    "Scenario",
    "load_scenario",
    "run_to_log",
    "scenario_from_toml",
]
