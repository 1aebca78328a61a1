"""
The operator's log: what a run says about itself while it goes on. Never read by a program.

Who uses liqsim as a library has stdout to himself: until he configures structlog, commentary goes
to the logger `liqsim` of the standard library, which shows warnings on stderr.
"""

import logging
from typing import Any

import structlog


def commentary(**bound: Any) -> structlog.typing.FilteringBoundLogger:
    """Return a logger with *bound* on every line."""
    if structlog.is_configured():
        log = structlog.get_logger(**bound)
    else:
        log = structlog.wrap_logger(
            logging.getLogger("liqsim"),
            processors=[
                structlog.stdlib.filter_by_level,
                structlog.processors.KeyValueRenderer(key_order=["event"]),
            ],
            wrapper_class=structlog.stdlib.BoundLogger,
            **bound,
        )
    return log  # type: ignore[no-any-return]
