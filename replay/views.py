"""The SQL views of the read side: one file each in `sql/`, installed as temporary views."""

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Final
from weakref import WeakKeyDictionary, WeakSet

import duckdb

from liqsim.eventlog.reader import LogReader
from replay.books import define_books

VIEWS: Final = (
    "log_end",
    "executions",
    "loss_shares",
    "funding_index",
    "tranches",
    "liquidations",
    "hindsight",
    "fund",
    "marks",
    "shadow_marks",
    "premiums",
    "prices",
    "stated_prices",
    "oracle_lag",
    "keepers",
    "deposits",
    "openings",
    "fills",
    "takeovers",
    "crossings",
    "auctions",
    "lots",
    "failed_calls",
    "resales",
    "deleveragings",
    "bad_debt",
    "depth_changes",
    "maintenance_changes",
    "coin_haircut_changes",
    "entry_prices",
    "funding_rates",
    "funding_payments",
    "shadow_crossings",
    "liquidation_classes",
    "extremes",
    "account_events",
    "account_positions",
    "account_life",
    "unresolved",
    "purses",
    "forced_fills",
    "residuals",
    "genealogy",
    "generations",
    "episodes",
    "reproduction",
    "moments",
    "liquidation_ladder",
    "branching",
    "capital_curves",
    "capital_accounts",
    "execution_losses",
    "loss_payers",
    "liquidation_story",
    "trades",
    "withdrawals",
    "coin_deposits",
    "coin_settlements",
    "owner_profits",
    "pool_deposits",
    "halts",
    "margins_asked",
    "decisions",
    "reductions",
    "incentives",
)
"""Every view; a later one may use an earlier one."""

MACROS: Final = ("books_at", "liquidation_ladder_at")
"""
Views of any instant: table macros of two arguments, the last event that counts and the time.

`from liquidation_ladder_at(1234, timestamp '2020-03-12 10:45')`
"""

IN_ORDER: Final = (
    *VIEWS[: VIEWS.index("liquidation_ladder")],
    *MACROS,
    *VIEWS[VIEWS.index("liquidation_ladder") :],
)
"""Views and macros, each behind what it uses."""

SHOWN_IN: Final[Mapping[str, str]] = {
    "funds_deposited": "deposits.seq",
    "position_opened": "openings.seq",
    "depth_changed": "depth_changes.seq",
    "maintenance_changed": "maintenance_changes.seq",
    "coin_haircut_changed": "coin_haircut_changes.seq",
    "oracle_updated": "oracle_lag.seq",
    "book_sampled": "premiums.seq",
    "shadow_updated": "prices.seq",
    "funding_set": "funding_rates.seq",
    "funding_paid": "funding_payments.seq",
    "liquidation_triggered": "liquidations.liquidation_seq",
    "shadow_crossed": "shadow_crossings.seq",
    "tranche_started": "tranches.tranche_seq",
    "order_filled": "fills.seq",
    "tranche_taken_over": "takeovers.seq",
    "tranches_crossed": "crossings.seq",
    "auction_held": "auctions.seq",
    "lot_offered": "lots.seq",
    "keeper_call_failed": "failed_calls.seq",
    "inventory_sold": "resales.seq",
    "surplus_routed": "fund.seq",
    "fund_drawn": "fund.seq",
    "position_deleveraged": "deleveragings.seq",
    "profit_cut": "loss_shares.seq",
    "loss_socialised": "loss_shares.seq",
    "funding_index_moved": "funding_index.seq",
    "stake_slashed": "loss_shares.seq",
    "contribution_paid": "fund.seq",
    "bad_debt_recorded": "bad_debt.seq",
    "tranche_settled": "tranches.settled_seq",
    "liquidation_ended": "liquidations.ended_seq",
    "liquidation_unresolved": "unresolved.seq",
    "market_extremes": "extremes.seq",
    "trade_filled": "trades.seq",
    "funds_withdrawn": "withdrawals.seq",
    "coins_deposited": "coin_deposits.seq",
    "coins_settled": "coin_settlements.seq",
    "leverage_fee_paid": "fund.seq",
    "position_reduced": "reductions.seq",
    "decision_recorded": "decisions.seq",
    "penalty_routed": "incentives.seq",
    "keeper_rewarded": "incentives.seq",
}
"""Where a reader finds each kind of event: the column of a view with the number of every one."""


_INSTALLED: Final[WeakSet[LogReader]] = WeakSet()
"""Open logs that have the views: to define them takes longer than most questions."""


@cache
def view_sql(name: str) -> str:
    """Return the file of one view; its header says what a row is and what the columns mean."""
    return resources.files("replay").joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")


@cache
def described(name: str) -> tuple[str, Mapping[str, str]]:
    """Return what a view holds, and what each of its columns means, from the header of its file."""
    lines = [
        line.removeprefix("--").rstrip()
        for line in view_sql(name).splitlines()
        if line.startswith("--")
    ]
    split = lines.index("")
    summary = " ".join(line.strip() for line in lines[:split]).removeprefix(f"{name}: ")
    meanings: dict[str, str] = {}
    last = ""
    for line in lines[split + 1 :]:
        entry = re.fullmatch(r" (\w+) +(\S.*)", line)
        if entry:
            last = entry[1]
            meanings[last] = entry[2]
        elif line.strip():
            meanings[last] += f" {line.strip()}"
    return _sentence(summary), {column: _sentence(text) for column, text in meanings.items()}


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + ("" if text.endswith(".") else ".")


def install_views(log: LogReader) -> None:
    """Make every view available to the log's queries, if they are not."""
    if log in _INSTALLED:
        return
    define_books(log)
    for name in IN_ORDER:
        log.define(view_sql(name))
    _INSTALLED.add(log)


_READ_ONCE: Final = ("capital_accounts", "capital_curves", "oracle_lag", "residuals")
"""Views that are long, and of which one reader wants a part: less work than a table of all."""


class Tables(LogReader):
    """
    An open log whose views are tables, each computed once, when something first reads it.

    As a view, what many questions rest on is planned and worked out for each of them.

    Args:
        log: The log.
    """

    def __init__(self, log: LogReader) -> None:
        super().__init__(log.path, log.aside, log.aside)
        self._made: set[str] = set()
        define_books(self)

    def relation(self, sql: str) -> duckdb.DuckDBPyRelation:
        """Return *sql*, one of our own selects, as a lazy relation."""
        self._make(sql)
        return super().relation(sql)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the result of *sql*, one of our own selects, as a few tuples."""
        self._make(sql)
        return super().rows(sql)

    def _make(self, sql: str, before: int | None = None) -> None:
        """Make what *sql* reads, of the views *before* a place in the order."""
        for name in _READ.findall(sql):
            if name in IN_ORDER[:before] and name not in self._made:
                text = _COMMENT.sub("", view_sql(name))
                self._make(text, IN_ORDER.index(name))
                if name not in _READ_ONCE:
                    text = text.replace("create or replace temp view", "create temp table", 1)
                self.define(text)
                self._made.add(name)


_READ: Final = re.compile(r"\b(?:from|join)\s+(\w+)")
_COMMENT: Final = re.compile(r"--.*")
_TABLED: Final[WeakKeyDictionary[LogReader, Tables]] = WeakKeyDictionary()


def tables_of(log: LogReader) -> Tables:
    """Return an open log with its views as tables, always the same."""
    if log not in _TABLED:
        _TABLED[log] = Tables(log)
    return _TABLED[log]


def install_comments(log: LogReader) -> None:
    """Put the comments on the installed views and their columns that a stranger would look for."""
    statements = []
    for name in VIEWS:
        summary, meanings = described(name)
        statements.append(f"comment on view temp.main.{name} is {_quoted(summary)}")
        statements += (
            f"comment on column temp.main.{name}.{column} is {_quoted(meaning)}"
            for column, meaning in meanings.items()
        )
    log.define(";\n".join(statements))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
