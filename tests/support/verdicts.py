"""What an audit says of a log, and of the run of a scenario."""

from pathlib import Path

from liqsim.runner import run_to_log
from replay.verify import verify
from support.scenarios import Raw, load


def codes(path: Path) -> set[str]:
    """Return the codes of what is found in a log."""
    return {finding.code for finding in verify(path)}


def codes_of(raw: Raw, path: Path) -> set[str]:
    """Run a scenario into *path*, and return the codes of what is found there."""
    run_to_log(load(raw), path)
    return codes(path)
