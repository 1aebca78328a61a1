"""
The read side: it believes the log and shares no rule with what wrote it.

`Log` in `replay.log` joins its parts: fold, state at an instant, outcome, views, queries, audit.
"""
