"""The operator's log: structlog, configured here and nowhere else. It goes to stderr."""

import logging
import sys
from typing import Any

import structlog


class _Stderr:
    """Writes lines to whatever stderr is at the time, so that they pass above a progress bar."""

    def msg(self, message: str) -> None:
        sys.stderr.write(message + "\n")

    log = debug = info = warning = error = critical = exception = msg


def configure(*, verbose: int, quiet: bool, as_json: bool) -> None:
    """Send warnings to stderr; *verbose* 1 adds information, 2 details; *quiet* only errors."""
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG)
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR if quiet else level),
        logger_factory=lambda *_args: _Stderr(),
        cache_logger_on_first_use=False,
    )
