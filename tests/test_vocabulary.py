"""
Every word of the event log is said somewhere, explained, and can be asked for in plain SQL.

Which scenario says which word is stated, so that a word that falls silent names its scenario.
"""

from collections.abc import Iterator
from enum import IntEnum
from functools import cache
from typing import Any, Final, get_type_hints

import attrs
import duckdb
import pytest
from support.scenarios import HANDMADE, events_of

from liqsim.eventlog.schema import MANIFEST_TABLES, statements
from liqsim.events import (
    EVENT_CLASSES,
    Action,
    AuctionHeld,
    BadDebtRecorded,
    BookSampled,
    CoinHaircutChanged,
    CoinsDeposited,
    CoinsSettled,
    ContributionPaid,
    DecisionRecorded,
    DepthChanged,
    Entry,
    Executor,
    FailedCall,
    FundDrawn,
    FundingIndexMoved,
    FundingPaid,
    FundingSet,
    FundsDeposited,
    FundsWithdrawn,
    InventorySold,
    KeeperCallFailed,
    KeeperRewarded,
    LeverageFeePaid,
    LiquidationEnded,
    LiquidationOutcome,
    LiquidationTriggered,
    LiquidationUnresolved,
    LossSocialised,
    LotOffered,
    MaintenanceChanged,
    MarkBasis,
    MarketExtremes,
    MarkFeed,
    OracleUpdated,
    OrderFilled,
    PenaltyRouted,
    PositionDeleveraged,
    PositionOpened,
    PositionReduced,
    ProfitCut,
    ShadowCrossed,
    ShadowUpdated,
    Share,
    StakeSlashed,
    Standing,
    SurplusRouted,
    TradeFilled,
    TradeReason,
    TranchesCrossed,
    TrancheSettled,
    TrancheStarted,
    TrancheTakenOver,
    UnresolvedReason,
    UpdateReason,
)
from liqsim.events.schema import ENVELOPE, attribute_docs, columns_of, summary_of

KIND_IN: Final[dict[type[Any], str]] = {
    FundsDeposited: "quiet",
    PositionOpened: "quiet",
    OracleUpdated: "quiet",
    MarketExtremes: "quiet",
    DepthChanged: "engine_cascade",
    LiquidationTriggered: "engine_cascade",
    TrancheStarted: "engine_cascade",
    OrderFilled: "engine_cascade",
    SurplusRouted: "engine_cascade",
    FundDrawn: "engine_cascade",
    PositionDeleveraged: "engine_cascade",
    TrancheSettled: "engine_cascade",
    LiquidationEnded: "engine_cascade",
    TradeFilled: "panic",
    FundsWithdrawn: "panic",
    BadDebtRecorded: "squeeze",
    TrancheTakenOver: "keeper_race",
    TranchesCrossed: "crossed",
    InventorySold: "keeper_race",
    KeeperCallFailed: "lost_race",
    LiquidationUnresolved: "run_ended",
    ProfitCut: "shared_losses",
    LossSocialised: "shared_losses",
    FundingIndexMoved: "indexed",
    ContributionPaid: "shared_losses",
    ShadowUpdated: "engine_cascade",
    ShadowCrossed: "engine_cascade",
    MaintenanceChanged: "tightened",
    CoinHaircutChanged: "cut_short",
    BookSampled: "own_marks",
    FundingSet: "funded",
    FundingPaid: "funded",
    CoinsDeposited: "in_coins",
    CoinsSettled: "in_coins",
    LeverageFeePaid: "scaled",
    PositionReduced: "stepped_down",
    StakeSlashed: "absorbed",
    PenaltyRouted: "rewarded",
    KeeperRewarded: "rewarded",
    DecisionRecorded: "rationed",
    AuctionHeld: "auctioned",
    LotOffered: "auctioned",
}

# Pairs, not a mapping: members of different enums are equal where their numbers are.
MEMBER_IN: Final[tuple[tuple[IntEnum, str], ...]] = (
    (UpdateReason.FIRST, "quiet"),
    (UpdateReason.DEVIATION, "engine_cascade"),
    (UpdateReason.HEARTBEAT, "steady"),
    (Executor.ENGINE, "engine_cascade"),
    (Executor.KEEPERS, "keeper_race"),
    (Executor.DESK, "desk_takes"),
    (Executor.CROSSING, "crossed"),
    (Executor.AUCTION, "auctioned"),
    (FailedCall.LOST_RACE, "lost_race"),
    (FailedCall.RESTORED, "restored_call"),
    (FailedCall.BEYOND_LIMIT, "beyond_limit"),
    (FailedCall.PURSE_SHORT, "purse_short"),
    (LiquidationOutcome.CLOSED, "engine_cascade"),
    (LiquidationOutcome.RESTORED, "engine_cascade"),
    (Share.KEEPER, "rewarded"),
    (Share.FUND, "rewarded"),
    (Share.BURN, "rewarded"),
    (Standing.FIRST_ORDER, "engine_cascade"),
    (Standing.RULE_INDUCED, "tightened"),
    (Standing.OPEN, "engine_cascade"),
    (MarkFeed.ORACLE, "engine_cascade"),
    (MarkFeed.BOOK, "own_marks"),
    (MarkBasis.INDEX, "quiet"),
    *((basis, "own_marks") for basis in MarkBasis if basis is not MarkBasis.INDEX),
    (UnresolvedReason.NO_EXECUTOR, "no_executor"),
    (UnresolvedReason.NO_DEPTH, "no_depth"),
    (UnresolvedReason.NO_FRESH_PRICE, "no_fresh_price"),
    (UnresolvedReason.SPACING, "spaced_out"),
    (UnresolvedReason.RUN_ENDED, "run_ended"),
    (TradeReason.REDUCED, "panic"),
    (TradeReason.CLOSED, "panic"),
    (TradeReason.STOPPED, "comeback"),
    (TradeReason.OPENED, "comeback"),
    (TradeReason.REBALANCED, "rebalanced"),
    (TradeReason.RELEVERED, "comeback"),
    (TradeReason.ARRIVED, "newcomers"),
    (TradeReason.ANTICIPATED, "forewarned"),
    (Action.RAISED, "scaled"),
    (Action.LOWERED, "scaled"),
    (Action.CHARGED, "scaled"),
    (Action.CAPPED, "absorbed"),
    (Action.ABSORBED, "pooled"),
    (Action.REDUCED, "stepped_down"),
    (UnresolvedReason.PACED, "queued"),
    (Action.CUT, "rationed"),
    (Action.DELAYED, "rationed"),
    (Action.HELD, "crossed"),
    (Action.HALTED, "tripped"),
    (Action.RISK_HALTED, "tripped"),
    (Action.WIDENED, "widened"),
    (FailedCall.HALTED, "tripped"),
    (UnresolvedReason.HALTED, "locked"),
)
UNREACHED: Final[tuple[tuple[IntEnum, str], ...]] = ()


@cache
def _entries(name: str) -> tuple[Entry, ...]:
    return tuple(events_of(HANDMADE[name]()))


def _enums_of(cls: type[Any]) -> Iterator[type[IntEnum]]:
    for kind in get_type_hints(cls).values():
        if isinstance(kind, type) and issubclass(kind, IntEnum):
            yield kind


def test_every_kind_and_member_has_a_scenario() -> None:
    members = {
        str((enum, member)) for cls in EVENT_CLASSES for enum in _enums_of(cls) for member in enum
    }
    stated = [str((type(member), member)) for member, _ in (*MEMBER_IN, *UNREACHED)]

    assert set(KIND_IN) == set(EVENT_CLASSES)
    assert sorted(stated) == sorted(members)


@pytest.mark.parametrize("cls", KIND_IN, ids=lambda cls: cls.TAG)
def test_every_kind_occurs(cls: type[Any]) -> None:
    assert any(isinstance(entry.event, cls) for entry in _entries(KIND_IN[cls]))


@pytest.mark.parametrize(("member", "name"), MEMBER_IN, ids=repr)
def test_every_member_occurs(member: IntEnum, name: str) -> None:
    said = [
        value
        for entry in _entries(name)
        for value in attrs.astuple(entry.event, recurse=False)
        if type(value) is type(member)
    ]

    assert member in said


@pytest.mark.parametrize("cls", EVENT_CLASSES, ids=lambda cls: cls.TAG)
def test_every_field_is_explained(cls: type[Any]) -> None:
    docs = attribute_docs(cls)
    fields = [field.name for field in attrs.fields(cls)]

    assert list(docs) == fields
    assert all(text.endswith(".") for text in docs.values())
    assert summary_of(cls).endswith(".")
    assert len(columns_of(cls)) == len(fields)


def test_tags_are_the_names_of_the_classes() -> None:
    for cls in EVENT_CLASSES:
        words = "".join(part.capitalize() for part in cls.TAG.split("_"))
        assert words == cls.__name__


@pytest.fixture(scope="module")
def empty_log() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        for statement in statements():
            connection.execute(statement)
        yield connection


def _relations() -> list[str]:
    tables = [cls.TAG for cls in EVENT_CLASSES]
    return [*tables, *MANIFEST_TABLES, "events", "postings", "cash_postings", "unit_postings"]


@pytest.mark.parametrize("table", _relations())
def test_every_column_is_plain_sql(table: str, empty_log: duckdb.DuckDBPyConnection) -> None:
    described = empty_log.execute(f"describe {table}").fetchall()
    names = [row[0] for row in described]

    assert names
    for name in names:
        # Unquoted, as a column, an alias, a sort key and in a condition.
        empty_log.execute(
            f"select {name}, t.{name} as {name}, max({name}) over (order by {name}) as m "
            f"from {table} as t where {name} is not null order by {name}"
        )
        empty_log.execute(f"select {name} from {table} group by {name} having count({name}) > 0")
    empty_log.execute(f"select {', '.join(names)} from {table}")


def test_the_views_in_the_log_cover_every_kind(empty_log: duckdb.DuckDBPyConnection) -> None:
    assert [column.name for column in ENVELOPE] == ["seq", "sim_time", "cause_seq"]
    for view in ("events", "postings", "cash_postings", "unit_postings"):
        assert empty_log.execute(f"select count(*) from {view}").fetchone() == (0,)


def test_everything_in_the_log_carries_a_comment(empty_log: duckdb.DuckDBPyConnection) -> None:
    silent = empty_log.execute(
        "select table_name, column_name from duckdb_columns() where not internal "
        "and comment is null "
        "union all select table_name, null from duckdb_tables() where comment is null "
        "union all select view_name, null from duckdb_views() "
        "where not internal and comment is null"
    ).fetchall()

    assert silent == []
