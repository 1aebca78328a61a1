"""The public names of the write side."""

from liqsim.mechanics.branching import Branching
from liqsim.runner import Actor, Finished, Outlook, Progress, run_to_log
from liqsim.scenario import Scenario, load_scenario, scenario_from_toml
from liqsim.scenario.shipped import scenario_file, shipped

__all__ = [
    "Actor",
    "Branching",
    "Finished",
    "Outlook",
    "Progress",
    "Scenario",
    "load_scenario",
    "run_to_log",
    "scenario_file",
    "scenario_from_toml",
    "shipped",
]
