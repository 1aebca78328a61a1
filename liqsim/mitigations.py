"""
What a mitigation of one's own is made of.

A class of parameters, made of the fields below, with a method `judge`: it is asked before every
slice of a due position, sees what the venue sees, and says how large the slice may be or until when
it waits. `register_mitigation` makes it a kind; so does an entry point in the group
`liqsim.mitigations`. `liqsim.testing.MitigationContract` holds it to what every one promises.
"""

from liqsim.mechanics.mitigations.pacing import Ask, Sight, Verdict
from liqsim.scenario.fields import choice, count, duration, flag, ratio, text, usd
from liqsim.scenario.mitigations import Mitigation
from liqsim.scenario.plugins import installed_mitigations, register_mitigation

__all__ = [
    "Ask",
    "Mitigation",
    "Sight",
    "Verdict",
    "choice",
    "count",
    "duration",
    "flag",
    "installed_mitigations",
    "ratio",
    "register_mitigation",
    "text",
    "usd",
]
