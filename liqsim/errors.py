"""What can go wrong, one class per policy."""


class LiqsimError(Exception):
    """Base of every error that liqsim raises on purpose."""


class ScenarioError(LiqsimError):
    """The scenario is refused before anything is written. Names file, key, value and bound."""


class InputFileError(ScenarioError):
    """A file that the scenario names is refused or has changed: nothing is run without it."""


class LogError(LiqsimError):
    """An event log cannot be opened, read or created; nothing in it was changed."""


class LogInUseError(LogError):
    """Another process is writing the log. Wait for it, or stop it."""


class QueryError(LiqsimError):
    """A query is refused: it is not one SELECT or EXPLAIN, or DuckDB rejects it."""


class ExportError(LiqsimError):
    """A file is refused: it exists, or cannot be there. What was there is left as it was."""


class ResumeError(LiqsimError):
    """Re-execution does not reproduce what was logged; the log is left as it was."""


class BoundError(LiqsimError):
    """A posting or an event field left its range. Stops the run: the log ends as failed."""


class MitigationError(LiqsimError):
    """A mitigation of a third party raised, or answered nonsense. The log ends as failed."""


class StudyError(LiqsimError):
    """A comparison is refused before anything is run: a variant, or how many runs."""
