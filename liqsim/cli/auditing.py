"""`liqsim verify` and `liqsim outcome`: is a log right, and what did its run come to."""

import json
from collections import Counter
from collections.abc import Mapping

import attrs
import typer

from liqsim.cli.options import AsJson, LogPath, Verbose
from liqsim.cli.outcome_table import print_outcome
from liqsim.cli.policy import FINDINGS
from liqsim.cli.progress import share_done
from liqsim.cli.text import counted
from replay.log import Log
from replay.verify import CODES, Finding


def outcome(log_path: LogPath, *, as_json: AsJson = False, verbose: Verbose = 0) -> None:
    """
    Print again what the run behind a log came to.

    With -v also what its parameters rest on.

    Example: liqsim outcome runs/LOG.duckdb --json
    """
    with Log(log_path) as log:
        print_outcome(log, as_json=as_json, verbose=verbose)


def verify(log_path: LogPath, *, as_json: AsJson = False, verbose: Verbose = 0) -> None:
    """
    Audit a log, and list everything that is wrong with it.

    Exit code 0: clean; 1: findings; 2: it could not be looked at.

    Example: liqsim verify runs/LOG.duckdb
    """
    del verbose  # Asked for by the policy on errors.
    with Log(log_path) as log:
        status, error, count = log.manifest.status, log.manifest.error, log.reader.last_seq + 1
        with share_done("auditing", is_shown=not as_json) as report:
            audit = log.audit(report)
    findings = audit.in_order()
    if as_json:
        described = {
            "log": str(log_path),
            "status": status,
            "error": error,
            "event_count": count,
            "is_clean": not findings,
            "findings": [attrs.asdict(finding) for finding in findings],
            "unchecked_decisions": dict(audit.unchecked),
        }
        typer.echo(json.dumps(described))
    else:
        _print_findings(findings, status, error, count)
        _print_unchecked(audit.unchecked)
    if findings:
        raise typer.Exit(FINDINGS)


def _print_unchecked(unchecked: Mapping[str, int]) -> None:
    for kind, count in sorted(unchecked.items()):
        typer.echo(f"{counted(count, 'decision')} of {kind} not worked out: it is not installed")


def _print_findings(
    findings: list[Finding], status: str, error: str | None, event_count: int
) -> None:
    for finding in findings:
        place = "log" if finding.seq is None else f"seq {finding.seq}"
        typer.echo(f"{place}  {finding.code}  {finding.message}")
    # Nobody writes it, or it could not have been opened: a run that is "running" was cut off.
    word = {"running": "interrupted"}.get(status, status)
    state = word if word == "sealed" else f"{word}; `liqsim resume` finishes it"
    if status == "failed" and error is not None and not error.startswith("KeyboardInterrupt"):
        # Done again it ends the same way, unless what ended it has been mended.
        state = f"failed: {error}; once that is mended, `liqsim resume` finishes it"
    if not findings:
        typer.echo(f"clean: {event_count:,} events ({state})")
        return
    typer.echo(f"{counted(len(findings), 'finding')} in {event_count:,} events ({state})")
    for code, count in Counter(finding.code for finding in findings).most_common():
        typer.echo(f"  {count:,} {code}: {CODES[code]}")
