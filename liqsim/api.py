"""The public names of the write side."""

from liqsim.mechanics.branching import Branching
from liqsim.runner import (
    Actor,
    Baseline,
    Finished,
    Outlook,
    Prices,
    Progress,
    logged_references,
    read_baseline,
    run_to_log,
)
from liqsim.scenario import Scenario, load_scenario, scenario_from_toml
from liqsim.scenario.shipped import scenario_file, shipped
from liqsim.scenario.twin import twin_of

__all__ = [
    "Actor",
    "Baseline",
    "Branching",
    "Finished",
    "Outlook",
    "Prices",
    "Progress",
    "Scenario",
    "load_scenario",
    "logged_references",
    "read_baseline",
    "run_to_log",
    "scenario_file",
    "scenario_from_toml",
    "shipped",
    "twin_of",
]
