"""The SQL views of the read side: one file each in `sql/`, installed as temporary views."""

from functools import cache
from importlib import resources
from typing import Final

from liqsim.eventlog.reader import LogReader

VIEWS: Final = (
    "log_end",
    "executions",
    "tranches",
    "liquidations",
    "fund",
    "prices",
    "oracle_lag",
    "keepers",
)
"""Every view; a later one may use an earlier one."""


@cache
def view_sql(name: str) -> str:
    """Return the file of one view; its header says what a row is and what the columns mean."""
    return resources.files("replay").joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")


def install_views(log: LogReader) -> None:
    """Make every view available to the log's queries."""
    for name in VIEWS:
        log.define(view_sql(name))
