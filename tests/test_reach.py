"""
Every kind of event can be found by a stranger: in a view, and in the life of the account it names.

A new kind fails here until it is; the messages say what to do, CONTRIBUTING.md says it at length.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.scenarios import HANDMADE, load
from test_vocabulary import KIND_IN
from unit.handmade_log import engine_story, keeper_story, write

from liqsim.events import EVENT_CLASSES
from liqsim.events.schema import columns_of
from liqsim.runner import run_to_log
from replay.log import Log
from replay.views import SHOWN_IN, VIEWS, described, view_sql

ADD_A_VIEW = (
    "{tag} is in no view. Add it to one, or a view of its own in replay/sql/ and in VIEWS "
    "(replay/views.py), and name there in SHOWN_IN the column that holds its seq."
)
ADD_TO_LIFE = (
    "{tag} names an owner in {names}, but replay/sql/account_events.sql does not read it. Add a "
    "branch to its union, one per name, with a word for what happened to the account; or, if such "
    "a column never names an account, name it in NEVER_ACCOUNTS (tests/test_reach.py)."
)
NEVER_ACCOUNTS = frozenset(
    {"market_id", "mitigation_id", "keeper_id", "backer_id", "staker_id", "receiver_id"}
)
"""Columns of events that end in _id and do not name an account."""


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Log]]:
    """Give a log of each scenario in which a kind is known to occur, and the two by hand."""
    folder: Path = tmp_path_factory.mktemp("reach")
    opened = {}
    for name in sorted(set(KIND_IN.values())):
        run_to_log(load(HANDMADE[name]()), folder / f"{name}.duckdb")
        opened[name] = Log(folder / f"{name}.duckdb")
    for story in (engine_story, keeper_story):
        opened[story.__name__] = Log(write(folder / f"{story.__name__}.duckdb", story()))
    yield opened
    for log in opened.values():
        log.close()


def _numbers(log: Log, sql: str) -> list[Any]:
    return [row[0] for row in log.sql(sql).fetchall()]


def test_nothing_is_shown_that_is_no_event() -> None:
    assert set(SHOWN_IN) <= {cls.TAG for cls in EVENT_CLASSES}


@pytest.mark.parametrize("cls", EVENT_CLASSES, ids=lambda cls: cls.TAG)
def test_every_event_is_in_the_rows_of_a_view(cls: Any, logs: dict[str, Log]) -> None:
    assert cls.TAG in SHOWN_IN, ADD_A_VIEW.format(tag=cls.TAG)
    view, column = SHOWN_IN[cls.TAG].split(".")
    assert view in VIEWS
    assert _numbers(logs[KIND_IN[cls]], f"select seq from {cls.TAG} limit 1")
    for name, log in logs.items():
        hidden = _numbers(
            log, f"select seq from {cls.TAG} where seq not in (select {column} from {view} "
            f"where {column} is not null)",
        )  # fmt: skip
        assert hidden == [], f"{name}: events {hidden[:5]} of {cls.TAG} are not in {view}.{column}"


def _owner_fields(cls: Any) -> list[str]:
    return [
        column.name
        for column in columns_of(cls)
        if column.name.endswith("_id") and column.name not in NEVER_ACCOUNTS
    ]


@pytest.mark.parametrize("cls", EVENT_CLASSES, ids=lambda cls: cls.TAG)
def test_every_event_of_an_account_is_in_its_life(cls: Any, logs: dict[str, Log]) -> None:
    names = _owner_fields(cls)
    if names:
        told = view_sql("account_events")
        assert f"from {cls.TAG}\n" in told or f"from {cls.TAG} as" in told, ADD_TO_LIFE.format(
            tag=cls.TAG, names=", ".join(names)
        )
    for name, log in logs.items():
        for field in names:
            missing = _numbers(
                log, f"select seq from {cls.TAG} where {field} in "
                "(select owner_id from owners where kind = 'bucket') and (seq, "
                f"{field}) not in (select (seq, account_id) from account_events)",
            )  # fmt: skip
            assert missing == [], f"{name}: {missing[:5]}, " + ADD_TO_LIFE.format(
                tag=cls.TAG, names=field
            )


def test_whatever_moves_something_of_an_account_is_in_its_life_once(logs: dict[str, Log]) -> None:
    for name, log in logs.items():
        strays = log.sql(
            "select seq, owner_id from postings where owner_id in "
            "(select owner_id from owners where kind = 'bucket') and amount <> 0 "
            "and (seq, owner_id) not in (select (seq, account_id) from account_events)"
        ).fetchall()
        doubled = log.sql(
            "select seq, account_id from account_events group by all having count(*) > 1"
        ).fetchall()
        assert (strays, doubled) == ([], []), name


@pytest.mark.parametrize("view", VIEWS)
def test_every_column_of_a_view_is_explained_and_plain_sql(view: str, logs: dict[str, Log]) -> None:
    log = logs["engine_story"]
    log.comment_views()
    rows = log.sql(
        "select column_name, comment from duckdb_columns() "
        f"where table_name = '{view}' and comment is not null order by column_index"
    ).fetchall()

    names = log.sql(f"from {view}").columns
    assert rows == list(described(view)[1].items())
    assert [name for name, _ in rows] == names
    (summary,) = _numbers(log, f"select comment from duckdb_views() where view_name = '{view}'")
    assert summary == described(view)[0]
    # Unquoted, as a column, an alias, a sort key and in a condition; a relation is only bound.
    each = ", ".join(f"{n}, t.{n} as {n}, max({n}) over (order by {n}) as m{n}" for n in names)
    present = " or ".join(f"{name} is not null" for name in names)
    log.sql(f"select {each} from {view} as t where {present} order by {', '.join(names)}")
    counted = " or ".join(f"count({name}) > 0" for name in names)
    log.sql(f"select 1 from {view} group by {', '.join(names)} having {counted}")
