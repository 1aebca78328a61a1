"""
Logs made by hand, without the write side: tables, views and digests as the format describes them.

Two stories with every event kind in them, their figures worked out on paper, for tests to read, to
forge (changed events, digests made again) and to tamper with (changed rows, digests as they were).
"""

import hashlib
import struct
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import IntEnum
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs
import duckdb
import pyarrow as pa

from liqsim.events import (
    EVENT_CLASSES,
    SCHEMA_VERSION,
    BadDebtRecorded,
    DepthChanged,
    Event,
    Executor,
    FailedCall,
    FundDrawn,
    FundsDeposited,
    InventorySold,
    KeeperCallFailed,
    LiquidationEnded,
    LiquidationOutcome,
    LiquidationTriggered,
    LiquidationUnresolved,
    MaintenanceChanged,
    MarkBasis,
    MarketExtremes,
    MarkFeed,
    OracleUpdated,
    OrderFilled,
    Owner,
    PositionDeleveraged,
    PositionOpened,
    ShadowCrossed,
    ShadowUpdated,
    Standing,
    SurplusRouted,
    TrancheSettled,
    TrancheStarted,
    TrancheTakenOver,
    UnresolvedReason,
    UpdateReason,
)
from liqsim.events.schema import ENVELOPE, columns_of

START = datetime(2020, 3, 12, tzinfo=UTC)
END_S = 20
NONE = -1
BATCH = 65_536

SYSTEM = [(name, name, None, None) for name in ("outside", "makers", "fund", "treasury", "network")]
MARKETS = ("ETH", "BTC")
REFERENCES = {
    0: [100] * 5 + [Decimal("90.5")] * 5 + [89] * 10,
    1: [1000] * 20,
}

TOML = """
name = "{name}"
description = ""
start = 2020-03-12T00:00:00Z
end = 2020-03-12T00:00:20Z
seed = 7
path_mode = "on_top"
baseline = ""

[markets.ETH]
maintenance = [[0, 0.01]]
contract = "linear"

[markets.ETH.path]
kind = "gbm"
step = "1s"

[markets.ETH.liquidity]
kind = "power_book"
depth_usd = {depth}
exponent = {exponent}
reach = 0.25
permanent_share = 0
half_life = "60s"
schedule = [{schedule}]

[markets.ETH.oracle]
heartbeat = "5s"
quorum = 1
landing = {{ median = "100ms", p99 = "100ms" }}
sources = {{ index = {{}} }}

[markets.ETH.mark]
book_weight = 0
min_depth = 0
smoothing = "0s"
max_index_age = "0s"
band = 0.1
period = "1s"
deviation = 0.001
heartbeat = "60s"

[markets.BTC]
maintenance = [[0, 0.01], [5, 0.02]]
contract = "linear"
maintenance_changes = [{changes}]

[markets.BTC.path]
kind = "gbm"
step = "1s"

[markets.BTC.liquidity]
kind = "power_book"
depth_usd = 2500
exponent = 1
reach = 0.25
permanent_share = 0
half_life = "100ms"
schedule = []

[markets.BTC.oracle]
heartbeat = "5s"
quorum = 1
landing = {{ median = "100ms", p99 = "100ms" }}
sources = {{ index = {{}} }}

[markets.BTC.mark]
book_weight = 0
min_depth = 0
smoothing = "0s"
max_index_age = "0s"
band = 0.1
period = "1s"
deviation = 0.001
heartbeat = "60s"

[venue]
executor = "{executor}"
due_at_zero = false
mark_max_age = "8s"

[venue.margin]
unrealised_profit_haircut = 0
coin_haircut = 0

[venue.fees]
taker = 0.001
liquidation_on_mark = 0
liquidation_on_execution = 0

[venue.tranches]
share = 0.5
max_usd = 1000
spacing = "1s"
restore_to = "maintenance"
restore_buffer = 0

[venue.fund]
initial_usd = 10

[venue.waterfall]
surplus_to = "fund"
deleveraging = "ranked"
profit_haircut = "none"
haircut_severity = 1
socialise = "none"

[venue.cross]
first_leg = "largest_release"

[venue.engine]
reaction = "1s"

[venue.keepers]
reaction = "0s"
discount = 0.005

[venue.keepers.bots]
kit = {{ purse_usd = 1000, call_cost_usd = 0.3, resale_delay = "1s" }}
kay = {{ purse_usd = 1000, call_cost_usd = 0.3, resale_delay = "1s" }}

[basis]
"venue.fees" = {{ kind = "fact", source = "the venue's page" }}
"venue.fees.taker" = "fitted"
"markets.ETH" = "fact"
"""

# Chosen so that the fills of each story have the prices they have.
ENGINE_TOML = TOML.format(
    name="by_hand",
    executor="engine",
    depth="1888.457884",
    exponent="0.4",
    schedule='{ at = 2020-03-12T00:00:03Z, multiplier = 0.5, half_life = "5s" }',
    changes="{ at = 2020-03-12T00:00:01Z, multiplier = 2 }",
)
KEEPER_TOML = TOML.format(
    name="by_hand_keepers",
    executor="keepers",
    depth="455.960112",
    exponent="0.5",
    schedule="",
    changes="",
)


def usd(text: str | int) -> int:
    """Return USD as micro-USD."""
    return int(Decimal(text) * 10**6)


def e8(text: str | int | Decimal) -> int:
    """Return a price or a quantity in 1e-8."""
    return int(Decimal(text) * 10**8)


def us(seconds: float | str) -> int:
    """Return seconds as microseconds."""
    return int(Decimal(str(seconds)) * 10**6)


Row = tuple[int, int, Event]
"""Time in microseconds, number of the cause or -1, event."""


@attrs.define
class Story:
    """
    Events in order, and names for some of them.

    Attributes:
        toml: The resolved scenario.
        owners: (name, kind, cohort, market_id) of every owner.
        rows: The events.
        names: Numbers of the events that tests speak of.
    """

    toml: str
    owners: list[tuple[str, str, str | None, int | None]]
    rows: list[Row] = attrs.Factory(list)
    names: dict[str, int] = attrs.Factory(dict)
    references: dict[int, Sequence[Any]] = attrs.Factory(lambda: dict(REFERENCES))

    def add(self, seconds: float | str, cause: int | str, event: Event, name: str = "") -> int:
        """Append an event; *cause* is a number or a name."""
        seq = len(self.rows)
        cause_seq = self.names[cause] if isinstance(cause, str) else cause
        self.rows.append((us(seconds), cause_seq, event))
        if name:
            self.names[name] = seq
        return seq

    def __getitem__(self, name: str) -> Any:
        return self.rows[self.names[name]][2]

    def change(self, name: str, **fields: Any) -> None:
        """Change fields of an event."""
        at_us, cause, event = self.rows[self.names[name]]
        self.rows[self.names[name]] = (at_us, cause, attrs.evolve(event, **fields))

    def move(
        self, name: str, *, seconds: float | str | None = None, cause: int | None = None
    ) -> None:
        """Change time or cause of an event."""
        at_us, cause_seq, event = self.rows[self.names[name]]
        self.rows[self.names[name]] = (
            at_us if seconds is None else us(seconds),
            cause_seq if cause is None else cause,
            event,
        )

    def insert(self, before: str, seconds: float | str, cause: int, event: Event) -> None:
        """Put an event before another, and renumber everything that points behind it."""
        place = self.names[before]
        self.rows.insert(place, (us(seconds), cause, event))
        self.names = {name: seq + (seq >= place) for name, seq in self.names.items()}
        for seq, (at_us, cause_seq, behind) in enumerate(self.rows[place + 1 :], place + 1):
            shifted = {
                name: getattr(behind, name) + (getattr(behind, name) >= place)
                for name in ("tranche_seq", "liquidation_seq")
                if hasattr(behind, name)
            }
            new_cause = cause_seq + (cause_seq >= place)
            self.rows[seq] = (at_us, new_cause, attrs.evolve(behind, **shifted))

    def remove(self, first: str, last: str) -> None:
        """Remove a range of events that nothing behind it points at."""
        del self.rows[self.names[first] : self.names[last] + 1]

    def owner_id(self, name: str) -> int:
        """Return the number of an owner."""
        return [owner[0] for owner in self.owners].index(name)

    def cut(self, count: int) -> None:
        """Keep only the first *count* events."""
        del self.rows[count:]


def mark_set(
    market: int,
    price: int,
    reason: UpdateReason,
    sampled_us: int,
    published_us: int,
    shadow: int | None = None,
) -> OracleUpdated:
    """Return an update by one report that shows all before its sample; the shadow is its own."""
    shadow_e8 = price if shadow is None else e8(shadow)
    return OracleUpdated(
        market, price, reason, 1, sampled_us, published_us, sampled_us, shadow_e8,
        price, MarkBasis.INDEX, sampled_us, 0, shadow_e8,
    )  # fmt: skip


def shadow_set(
    price: int, reason: UpdateReason, sampled_us: int, published_us: int
) -> ShadowUpdated:
    """Return an update of the first market's shadow mark by itself."""
    return ShadowUpdated(0, price, reason, sampled_us, published_us, MarkFeed.ORACLE, 0, price)


def _undisplaced(mark_e8: int, margin_uusd: int) -> tuple[int | Standing, ...]:
    """Return what a trigger says of its class where nothing has moved any price."""
    return mark_e8, margin_uusd, margin_uusd, 0, 0, 0, 0, Standing.FIRST_ORDER


@attrs.define
class EngineStory(Story):
    """A story with the venue's engine, in ETH."""

    def start(
        self,
        seconds: str,
        cause: str,
        of: str,
        number: int,
        units: str,
        limit: str,
        name: str,
        mark: str = "90.5",
    ) -> int:
        """Put up a slice of an ETH position."""
        event = TrancheStarted(
            self.names[of],
            self[of].bucket_id,
            0,
            number,
            e8(units),
            e8(mark),
            e8(limit),
            Executor.ENGINE,
        )
        return self.add(seconds, cause, event, name)

    def fill(
        self,
        tranche: str,
        units: str,
        price: str,
        cost: str,
        fee: str,
        arrival: str,
        market: str,
        name: str,
    ) -> int:
        """Fill a tranche at its start."""
        start_us, _, started = self.rows[self.names[tranche]]
        event = OrderFilled(
            self.names[tranche], started.bucket_id, 0, e8(units), e8(units), e8(price), usd(cost),
            usd(fee), e8("90.5"), e8(arrival), e8(market),
        )  # fmt: skip
        return self.add(Decimal(start_us) / 10**6, tranche, event, name)

    def settle(self, tranche: str, filled: str, deleveraged: str, cancelled: str = "0") -> int:
        """Settle a tranche at its start."""
        start_us, _, started = self.rows[self.names[tranche]]
        event = TrancheSettled(
            self.names[tranche], started.bucket_id, e8(filled), 0, e8(deleveraged), e8(cancelled), 0
        )
        return self.add(Decimal(start_us) / 10**6, tranche, event, f"{tranche}_settled")

    def deleverage(self, tranche: str, units: str, price: str, cost: str, name: str) -> int:
        """Close a part of a tranche against cem."""
        start_us, _, started = self.rows[self.names[tranche]]
        event = PositionDeleveraged(
            self.names[tranche], started.bucket_id, 6, 0, 1, e8(units), e8(price), usd(cost)
        )
        return self.add(Decimal(start_us) / 10**6, tranche, event, name)

    def end(self, of: str, cause: str, cash: str) -> int:
        """End a liquidation with no position."""
        event = LiquidationEnded(
            self.names[of], self[of].bucket_id, 0, LiquidationOutcome.CLOSED, 0, usd(cash)
        )
        return self.add("7.2", cause, event, f"{of}_ended")


def engine_story() -> Story:
    """
    Four longs and a short under the venue's engine, and a calm account in the other market.

    ana sells both halves in the book: one above bankruptcy (fee, surplus), one below (fund).
    eve's halves are deleveraged against cem, but for one unit that the fund helps to sell. fay's
    second half finds nobody left to deleverage: the fund is emptied, the rest is bad debt. gus is
    due at the end and finds no depth.
    """
    s = _opened_engine_story()
    ana, eve, fay, gus = (s.owner_id(name) for name in ("ana", "eve", "fay", "gus"))
    s.start("6.2", "ana", "ana", 1, "-5", "88", "ana1")
    # Its half carries -450 of cash; 452 leave 2 above: 0.452 of fee, the rest is surplus.
    s.fill("ana1", "-5", "90.4", "-452", "0.452", "90.5", "90.31552509", "ana1_fill")
    s.add("6.2", "ana1_fill", SurplusRouted(s.names["ana1"], ana, usd("1.548")), "surplus")
    s.settle("ana1", "5", "0")
    s.start("6.2", "eve", "eve", 1, "-2", "89.226", "eve1")
    s.deleverage("eve1", "-2", "95", "-190", "eve1_adl")
    s.settle("eve1", "0", "2")
    s.start("6.2", "fay", "fay", 1, "-5", "94.6904", "fay1")
    s.deleverage("fay1", "-5", "97", "-485", "fay1_adl")
    s.settle("fay1", "0", "5")

    # Of the 5 sold, 4.35275 have not refilled a second later: 0.14427 % below the reference.
    s.start("7.2", "ana1_settled", "ana", 2, "-5", "87.6904", "ana2")
    s.fill("ana2", "-5", "89.9", "-449.5", "0", "90.36951757", "89.62060232", "ana2_fill")
    drawn = FundDrawn(s.names["ana2"], ana, usd("0.5"), usd("11.048"))
    s.add("7.2", "ana2_fill", drawn, "ana2_draw")
    s.settle("ana2", "5", "0")
    s.end("ana", "ana2_settled", "0")
    s.start("7.2", "eve1_settled", "eve", 2, "-2", "89.476", "eve2")
    s.fill("eve2", "-1", "89.5", "-89.5", "0", "89.62060232", "89.36795314", "eve2_fill")
    drawn = FundDrawn(s.names["eve2"], eve, usd("5.5"), usd("5.548"))
    s.add("7.2", "eve2_fill", drawn, "eve2_draw")
    s.deleverage("eve2", "-1", "95", "-95", "eve2_adl")
    s.settle("eve2", "1", "1")
    s.end("eve", "eve2_settled", "0")
    s.start("7.2", "fay1_settled", "fay", 2, "-5", "95.8904", "fay2")
    s.fill("fay2", "-5", "88", "-440", "0", "89.36795314", "87.5", "fay2_fill")
    drawn = FundDrawn(s.names["fay2"], fay, usd("5.548"), 0)
    s.add("7.2", "fay2_fill", drawn, "fay2_draw")
    s.add("7.2", "fay2", BadDebtRecorded(s.names["fay2"], fay, usd("39.452")), "bad_debt")
    s.settle("fay2", "5", "0")
    s.end("fay", "fay2_settled", "-39.452")

    low = mark_set(0, e8(89), UpdateReason.HEARTBEAT, us(11), us("11.1"), shadow=90)
    s.add("11.2", "fay2_fill", low, "low_mark")
    # At 90 gus has 1.50 of equity and a margin of 0.60; of the fills, -9.0658 is left at 11 s.
    due = LiquidationTriggered(
        gus, 0, e8(1), e8(89), usd("-0.39"), usd("0.89"), e8("88.5"),
        e8(90), usd("0.6"), usd("-0.39"), 0, -9032654, 0, 0, Standing.OPEN,
    )  # fmt: skip
    s.add("11.2", "low_mark", due, "gus")
    sank = shadow_set(e8(89), UpdateReason.HEARTBEAT, us("11.7"), us("11.8"))
    s.add("11.9", NONE, sank, "shadow")
    crossed = ShadowCrossed(gus, 0, s.names["gus"], e8(89), usd("-0.39"))
    s.add("11.9", "shadow", crossed, "gus_crossed")
    s.start("12.2", "gus", "gus", 1, "-0.5", "88.5", "gus1", mark="89")
    s.settle("gus1", "0", "0", "0.5")
    last = END_S - Decimal("0.000001")
    unresolved = LiquidationUnresolved(s.names["gus"], gus, 0, e8(1), UnresolvedReason.NO_DEPTH)
    s.add(last, "gus", unresolved, "unresolved")
    _add_extremes(s, last, lowest="87.5", at="7.2", end="88.96447911")
    return s


def _opened_engine_story() -> EngineStory:
    ana, cem, eve, fay, dan, gus = range(5, 11)
    buckets = [
        (name, "bucket", "crowd", market)
        for name, market in (("ana", 0), ("cem", 0), ("eve", 0), ("fay", 0), ("dan", 1), ("gus", 0))
    ]
    s = EngineStory(ENGINE_TOML, SYSTEM + buckets)
    s.add(0, NONE, FundsDeposited(2, usd(10)), "fund_deposit")
    for owner, amount in ((ana, 100), (cem, 200), (eve, 20), (fay, 30), (dan, 500), (gus, "11.5")):
        s.add(0, NONE, FundsDeposited(owner, usd(amount)), f"deposit_{owner}")
    for owner, market, units, price, cost in (
        (ana, 0, 10, 100, 1000),
        (cem, 0, -8, 100, -800),
        (eve, 0, 4, 100, 400),
        (fay, 0, 10, 100, 1000),
        (dan, 1, 1, 1000, 1000),
        (gus, 0, 1, 100, 100),
    ):
        opened = PositionOpened(owner, market, e8(units), e8(price), usd(cost))
        s.add(0, NONE, opened, f"opened_{owner}")
    first = UpdateReason.FIRST
    s.add("0.2", NONE, mark_set(0, e8(100), first, 0, us("0.1")), "first_mark")
    s.add("0.2", NONE, mark_set(1, e8(1000), first, 0, us("0.1")), "btc_mark")
    s.add(1, NONE, MaintenanceChanged(1, 2_000_000), "doubled")
    s.add(3, NONE, DepthChanged(0, 500_000, us(5)), "depth")
    fall = mark_set(0, e8("90.5"), UpdateReason.DEVIATION, us(5), us("5.1"))
    s.add("5.2", NONE, fall, "mark")
    # By margin / notional: -0.082, -0.060, -0.004.
    for name, owner, units, margin, maintenance, bankruptcy in (
        ("fay", fay, 10, "-74.05", "9.05", 97),
        ("eve", eve, 4, "-21.62", "3.62", 95),
        ("ana", ana, 10, "-4.05", "9.05", 90),
    ):
        triggered = LiquidationTriggered(
            owner, 0, e8(units), e8("90.5"), usd(margin), usd(maintenance), e8(bankruptcy),
            *_undisplaced(e8("90.5"), usd(margin)),
        )  # fmt: skip
        s.add("5.2", "mark", triggered, name)
    return s


def keeper_story() -> Story:
    """
    One long under keepers: kit takes a half over and sells four of five on, kay comes too late.

    The mark recovers and restores the margin of what is left. A short is bought back by kay.
    """
    kit, kay, ana, ben = range(5, 9)
    owners = [
        *SYSTEM,
        ("kit", "keeper", None, None),
        ("kay", "keeper", None, None),
        ("ana", "bucket", "crowd", 0),
        ("ben", "bucket", "crowd", 1),
    ]
    s = Story(KEEPER_TOML, owners)
    for owner, amount in ((2, 10), (kit, 1000), (kay, 1000), (ana, 100), (ben, "497.45")):
        s.add(0, NONE, FundsDeposited(owner, usd(amount)), f"deposit_{owner}")
    s.add(0, NONE, PositionOpened(ana, 0, e8(10), e8(100), usd(1000)), "opened_ana")
    s.add(0, NONE, PositionOpened(ben, 1, e8(-1), e8(1000), usd(-1000)), "opened_ben")
    first = UpdateReason.FIRST
    s.add("0.2", NONE, mark_set(0, e8(100), first, 0, us("0.1")), "first_mark")
    s.add("0.2", NONE, mark_set(1, e8(1000), first, 0, us("0.1")), "btc_mark")
    fall = mark_set(0, e8("90.5"), UpdateReason.DEVIATION, us(5), us("5.1"))
    s.add("5.2", NONE, fall, "mark")
    due = LiquidationTriggered(
        ana, 0, e8(10), e8("90.5"), usd("-4.05"), usd("9.05"), e8(90),
        *_undisplaced(e8("90.5"), usd("-4.05")),
    )  # fmt: skip
    s.add("5.2", "mark", due, "ana")
    started = TrancheStarted(
        s.names["ana"], ana, 0, 1, e8(-5), e8("90.5"), e8(88), Executor.KEEPERS
    )
    s.add("5.2", "ana", started, "ana1")
    # 90.5 less half a percent; 0.2375 above bankruptcy, all of it surplus.
    taken = TrancheTakenOver(
        s.names["ana1"],
        ana,
        kit,
        0,
        e8(-5),
        e8("90.0475"),
        usd("-450.2375"),
        0,
        usd("0.3"),
        us("5.3"),
    )
    s.add("5.5", "ana1", taken, "takeover")
    s.add("5.5", "takeover", SurplusRouted(s.names["ana1"], ana, usd("0.2375")), "surplus")
    s.add("5.5", "ana1", TrancheSettled(s.names["ana1"], ana, 0, e8(5), 0, 0, 0), "ana1_settled")
    failed = KeeperCallFailed(s.names["ana1"], kay, FailedCall.LOST_RACE, usd("0.3"), us("5.3"))
    s.add("5.6", "ana1", failed, "failed")
    rise = mark_set(0, e8(95), UpdateReason.DEVIATION, us("5.9"), us("5.95"))
    s.add(6, NONE, rise, "rise")
    restored = LiquidationEnded(
        s.names["ana"], ana, 0, LiquidationOutcome.RESTORED, e8(5), usd(-450)
    )
    s.add("6.5", "ana1_settled", restored, "ana_ended")
    sold = InventorySold(
        kit,
        0,
        e8(-5),
        e8(-4),
        e8("90.1"),
        usd("-360.4"),
        e8("90.5"),
        e8("89.80618328"),
    )
    s.add("6.5", "takeover", sold, "sold")
    # Without whoever bought, ana's half would be due: 452.50 - 450 - 4.525.
    sank = shadow_set(e8("90.5"), UpdateReason.DEVIATION, us("6.6"), us("6.7"))
    s.add("6.8", NONE, sank, "shadow")
    s.add("6.8", "shadow", ShadowCrossed(ana, 0, NONE, e8("90.5"), usd("-2.025")), "ana_crossed")
    # ben's short: 1497.45 of cash, due at a mark of 1490 (maintenance 14.9, margin -7.45).
    up = mark_set(1, e8(1490), UpdateReason.DEVIATION, us("7"), us("7.1"))
    s.add("7.2", NONE, up, "btc_rise")
    due = LiquidationTriggered(
        ben, 1, e8(-1), e8(1490), usd("-7.45"), usd("14.9"), e8("1497.45"),
        *_undisplaced(e8(1490), usd("-7.45")),
    )  # fmt: skip
    s.add("7.2", "btc_rise", due, "ben")
    started = TrancheStarted(
        s.names["ben"], ben, 1, 1, e8("0.5"), e8(1490), e8("1517.925"), Executor.KEEPERS
    )
    s.add("7.2", "ben", started, "ben1")
    # 1490 plus half a percent, which is the bankruptcy price: no surplus, no draw.
    taken = TrancheTakenOver(
        s.names["ben1"],
        ben,
        kay,
        1,
        e8("0.5"),
        e8("1497.45"),
        usd("748.725"),
        0,
        usd("0.3"),
        us("7.3"),
    )
    s.add("7.5", "ben1", taken, "takeover_ben")
    s.add(
        "7.5", "ben1", TrancheSettled(s.names["ben1"], ben, 0, e8("0.5"), 0, 0, 0), "ben1_settled"
    )
    bought = InventorySold(
        kay,
        1,
        e8("0.5"),
        e8("0.5"),
        e8(1001),
        usd("500.5"),
        e8(1000),
        e8("1002.00200133"),
    )
    s.add("8.5", "takeover_ben", bought, "bought")
    last = END_S - Decimal("0.000001")
    waits = LiquidationUnresolved(s.names["ben"], ben, 1, e8("-0.5"), UnresolvedReason.SPACING)
    s.add(last, "ben", waits, "unresolved")
    _add_extremes(s, last, lowest="88.37050007", at="10", end="88.5", btc_high="1002.00200133")
    return s


def _add_extremes(
    s: Story, last: Decimal, *, lowest: str, at: str, end: str, btc_high: str = "1000"
) -> None:
    eth = MarketExtremes(
        0, e8(100), e8(lowest), us(at), e8(100), 0, e8(89), us(10), e8(100), 0, e8(end), e8(89)
    )
    s.add(last, NONE, eth, "eth_extremes")
    at_us = 0 if btc_high == "1000" else us("8.5")
    btc = MarketExtremes(
        1, e8(1000), e8(1000), 0, e8(btc_high), at_us, e8(1000), 0, e8(1000), 0, e8(1000), e8(1000)
    )
    s.add(last, NONE, btc, "btc_extremes")


# The file -----------------------------------------------------------------------------------------


def write(path: Path, story: Story, *, status: str = "sealed") -> Path:
    """Write *story* as a log, with a chain of digests that fits it."""
    path.write_bytes(_empty_log())
    connection = duckdb.connect(str(path))
    connection.execute("begin")
    for cls in EVENT_CLASSES:
        rows = [_sql_row(seq, row) for seq, row in enumerate(story.rows) if type(row[2]) is cls]
        _insert(connection, cls.TAG, rows)
    owners = [(number, *row) for number, row in enumerate(story.owners)]
    assets = [(0, "USD", "cash", None)]
    assets += [(m + 1, name, "contract", m) for m, name in enumerate(MARKETS)]
    _insert(connection, "owners", owners)
    _insert(connection, "assets", assets)
    references = [
        (market, _naive(second * 10**6), Decimal(price))
        for market, prices in story.references.items()
        for second, price in enumerate(prices)
    ]
    _insert(connection, "reference_prices", references)
    reference_digest = _reference_digest(story.references)
    genesis = _genesis(story.toml, owners, assets, reference_digest)
    batches = list(_batches(genesis, story.rows))
    _insert(connection, "batches", batches)
    name = story.toml.split('"')[1]
    is_over = status != "running"
    run_id = hashlib.sha256(f"{story.toml}\n7".encode()).hexdigest()[:16]
    digest = batches[-1][3] if batches else genesis.hex()
    manifest = (
        run_id, name, story.toml, 7, "on_top", _naive(0), _naive(END_S * 10**6), status,
        SCHEMA_VERSION, "0.1.0", "{}", "", len(story.rows) if is_over else None,
        digest if is_over else None, genesis.hex(), reference_digest, None,
        0.5 if is_over else None, "boom" if status == "failed" else None,
    )  # fmt: skip
    _insert(connection, "runs", [manifest])
    connection.execute("commit")
    connection.close()
    return path


@cache
def _empty_log() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "empty.duckdb"
        connection = duckdb.connect(str(path))
        connection.execute("begin")
        for statement in _ddl():
            connection.execute(statement)
        connection.execute("commit")
        connection.close()
        return path.read_bytes()


def tamper(path: Path, *statements: str) -> Path:
    """Run SQL on a log that is there, and leave its digests as they are."""
    connection = duckdb.connect(str(path))
    for statement in statements:
        connection.execute(statement)
    connection.close()
    return path


def keep_views(path: Path, *names: str) -> None:
    """Keep copies of views under `…_as_they_were`, for what is put in their place to read."""
    connection = duckdb.connect(str(path))
    for name in names:
        (sql,) = connection.execute(
            "select sql from duckdb_views() where view_name = ?", [name]
        ).fetchall()[0]
        connection.execute(sql.replace(f"VIEW {name}", f"VIEW {name}_as_they_were", 1))
    connection.close()


def _ddl() -> Iterable[str]:
    yield (
        "create table runs (run_id varchar, scenario varchar, scenario_toml varchar, seed bigint, "
        "path_mode varchar, start_at timestamp, end_at timestamp, status varchar, "
        "schema_version integer, package_version varchar, library_versions varchar, "
        "cpu_features varchar, event_count bigint, digest varchar, genesis_digest varchar, "
        "reference_digest varchar, history_digest varchar, wall_seconds double, error varchar)"
    )
    yield (
        "create table batches (batch_number integer, first_seq bigint, last_seq bigint, "
        "digest varchar)"
    )
    yield (
        "create table owners (owner_id integer, name varchar, kind varchar, cohort varchar, "
        "market_id integer)"
    )
    yield "create table assets (asset_id integer, name varchar, kind varchar, market_id integer)"
    yield (
        "create table reference_prices (market_id integer, sim_time timestamp, price decimal(18,8))"
    )
    yield (
        "create table historical_prices (market_id integer, sim_time timestamp, "
        "price decimal(18,8))"
    )
    for cls in EVENT_CLASSES:
        columns = ", ".join(f"{c.name} {c.sql_type}" for c in (*ENVELOPE, *columns_of(cls)))
        yield f"create table {cls.TAG} ({columns})"
    events = " union all ".join(
        f"select seq, sim_time, cause_seq, '{cls.TAG}' as kind from {cls.TAG}"
        for cls in EVENT_CLASSES
    )
    yield f"create view events as {events}"
    for kind in ("cash", "unit", "coin"):
        yield f"create view {kind}_postings as {' union all '.join(_postings(kind))}"
    yield (
        "create view postings as select seq, owner_id, asset_id, amount::decimal(26,8) as amount "
        "from cash_postings union all select seq, owner_id, asset_id, amount::decimal(26,8) "
        "from unit_postings union all select seq, owner_id, asset_id, amount::decimal(26,8) "
        "from coin_postings"
    )


def _postings(kind: str) -> Iterable[str]:
    for cls in EVENT_CLASSES:
        names = {column.field: column.name for column in columns_of(cls)}
        for transfer in cls.TRANSFERS:
            if kind != ("cash" if transfer.market is None else ("unit", "coin")[transfer.is_coin]):
                continue
            asset = "0" if transfer.market is None else f"{names[transfer.market]} + 1"
            asset = f"-({asset})" if kind == "coin" else asset
            for side, sign in ((transfer.payer, "-"), (transfer.payee, "+")):
                owner = f"{side:d}" if isinstance(side, Owner) else names[side]
                yield (
                    f"select seq, {owner}::integer as owner_id, ({asset})::integer as asset_id, "
                    f"{sign}{names[transfer.amount]} as amount from {cls.TAG}"
                )


def _insert(connection: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Any]) -> None:
    if rows:
        columns = {f"c{i}": list(column) for i, column in enumerate(zip(*rows, strict=True))}
        connection.register("incoming", pa.table(columns))
        connection.execute(f"insert into {table} select * from incoming")
        connection.unregister("incoming")


def _naive(at_us: int) -> datetime:
    return (START + timedelta(microseconds=at_us)).replace(tzinfo=None)


def _sql_row(seq: int, row: Row) -> tuple[Any, ...]:
    at_us, cause, event = row
    values: list[Any] = [seq, _naive(at_us), None if cause == NONE else cause]
    for column in columns_of(type(event)):
        value = getattr(event, column.field)
        if isinstance(value, IntEnum):
            values.append(value.name.lower())
        elif column.is_optional and value == NONE:
            values.append(None)
        elif column.scale is not None:
            values.append(Decimal(value).scaleb(-column.scale))
        else:
            values.append(_naive(value) if column.is_instant else value)
    return tuple(values)


def _int64(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}q", *values)


def _reference_digest(references: dict[int, Sequence[Any]]) -> str:
    parts = [
        _int64(market, 10**6, len(prices), *map(e8, prices))
        for market, prices in sorted(references.items())
    ]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def _genesis(toml: str, owners: Sequence[Any], assets: Sequence[Any], reference: str) -> bytes:
    texts = [toml]
    for table in (owners, assets):
        lines = ["\t".join("" if cell is None else str(cell) for cell in row) for row in table]
        texts.append("".join(f"{line}\n" for line in lines))
    texts.append(reference)
    hashed = b"liqsim-log-1\n"
    for text in texts:
        hashed += _int64(len(text.encode())) + text.encode()
    return hashlib.sha256(hashed).digest()


def _batches(digest: bytes, rows: Sequence[Row]) -> Iterable[tuple[int, int, int, str]]:
    for number, first in enumerate(range(0, len(rows), BATCH)):
        batch = list(enumerate(rows))[first : first + BATCH]
        hashed = digest
        for cls in sorted(EVENT_CLASSES, key=lambda kind: kind.TAG):
            own = [(seq, *row) for seq, row in batch if isinstance(row[2], cls)]
            if not own:
                continue
            hashed += cls.TAG.encode() + b"\0" + _int64(len(own))
            hashed += b"".join(
                _int64(*column) for column in zip(*(row[:3] for row in own), strict=True)
            )
            for column in columns_of(cls):
                hashed += _int64(*(getattr(row[3], column.field) for row in own))
        digest = hashlib.sha256(hashed).digest()
        yield number, first, batch[-1][0], digest.hex()
