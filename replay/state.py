"""
The whole state at an instant, as the events up to it made it.

Everything is one aggregation in SQL over the rows up to a number: no replay. A price between
events is no state; `marks` says since when each mark price has stood.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

import attrs
import duckdb

from liqsim.errors import QueryError
from liqsim.eventlog.reader import UNIX_EPOCH, LogReader
from liqsim.events import EVENT_CLASSES

_FUND: Final = 2
_SYSTEM_KINDS: Final = "('outside', 'makers', 'fund', 'treasury', 'network')"


@attrs.frozen
class Mark:
    """
    A mark price.

    Attributes:
        market: Name of the market.
        price: The price, in USD.
        since: When it landed, UTC.
        seq: The update.
        shadow: The shadow mark, in USD.
        maintenance: Maintenance rates as a multiple of those at the start.
        coin_haircut: Haircut on coins that are collateral; None while it is that of the start.
    """

    market: str
    price: Decimal
    since: datetime
    seq: int
    shadow: Decimal
    maintenance: Decimal
    coin_haircut: Decimal | None


@attrs.frozen
class State:
    """
    What a log's events up to one of them add up to.

    Attributes:
        log: The log.
        seq: The last event that counts; -1 if none does.
        at: The instant it is about, UTC.
    """

    log: LogReader
    seq: int
    at: datetime

    def balances(
        self, owner_ids: Sequence[int] | None = None, *, system_only: bool = False
    ) -> duckdb.DuckDBPyRelation:
        """
        Return balances other than zero: owner_id, owner, kind, asset, balance.

        Args:
            owner_ids: Only of these owners; None is everyone.
            system_only: Only of outside, makers, fund, treasury and network.
        """
        if system_only:
            chosen = f"owner_id in (select owner_id from owners where kind in {_SYSTEM_KINDS})"
        elif owner_ids is None:
            chosen = "true"
        else:
            chosen = f"owner_id in ({', '.join(str(int(number)) for number in owner_ids)})"
        return self.log.relation(
            f"""
            select b.owner_id, o.name as owner, o.kind, a.name as asset, b.balance
            from (
                select owner_id, asset_id, sum(amount)::decimal(26, 8) as balance
                from postings
                where seq <= {self.seq} and {chosen}
                group by owner_id, asset_id
            ) as b
            join owners as o on o.owner_id = b.owner_id
            join assets as a on a.asset_id = b.asset_id
            where b.balance <> 0
            order by b.owner_id, b.asset_id
            """
        )

    def marks(self) -> list[Mark]:
        """Return the mark price of every market that has one, in market order."""
        rows = self.log.rows(
            f"""
            with marks as (
                select market_id, seq, sim_time, mark_price as price, shadow_mark
                from oracle_updated
                union all
                select market_id, seq, sim_time, mark_price, shadow_mark from book_sampled
            ),
            shadow_marks as (
                select market_id, seq, shadow_mark as price from marks
                union all
                select market_id, seq, shadow_mark from shadow_updated
            )
            select a.name, u.price, u.sim_time, u.seq, (
                select arg_max(s.price, s.seq) from shadow_marks as s
                where s.market_id = u.market_id and s.seq <= {self.seq}
            ), coalesce(
                (
                    select arg_max(c.multiplier, c.seq) from maintenance_changed as c
                    where c.market_id = u.market_id and c.seq <= {self.seq}
                ),
                1
            ), (
                select arg_max(h.coin_haircut, h.seq) from coin_haircut_changed as h
                where h.market_id = u.market_id and h.seq <= {self.seq}
            )
            from (
                select market_id, max(seq) as seq from marks
                where seq <= {self.seq} group by market_id
            ) as newest
            join marks as u on u.seq = newest.seq
            join assets as a on a.market_id = u.market_id
            order by u.market_id
            """
        )
        return [Mark(name, price, at.replace(tzinfo=UTC), *rest) for name, price, at, *rest in rows]

    def entry_prices(self, bucket_id: int) -> dict[str, Decimal]:
        """Return the entry price, in USD, of each position that an account ever had, by market."""
        rows = self.log.rows(
            f"""
            select a.name, arg_max(e.price, e.seq)
            from (
                select seq, market_id, price from position_opened where bucket_id = {bucket_id}
                union all
                select seq, market_id, entry_price from profit_cut where payer_id = {bucket_id}
                union all
                select seq, market_id, entry_price from trade_filled where bucket_id = {bucket_id}
            ) as e
            join assets as a on a.market_id = e.market_id
            where e.seq <= {self.seq}
            group by a.name
            """
        )
        return dict(rows)

    def fund_usd(self) -> Decimal:
        """Return what the insurance fund holds, in USD."""
        return self._total(
            f"select sum(amount) from cash_postings where owner_id = {_FUND} and seq <= {self.seq}"
        )

    def bad_debt_usd(self) -> Decimal:
        """Return the bad debt recorded so far, in USD."""
        return self._total(f"select sum(amount_usd) from bad_debt_recorded where seq <= {self.seq}")

    def open_liquidations(self) -> duckdb.DuckDBPyRelation:
        """Return the triggers that have not ended: liquidation_seq and what they recorded."""
        return self.log.relation(
            f"""
            select l.seq as liquidation_seq, l.sim_time as triggered_at, l.bucket_id,
                o.name as bucket, a.name as market, l.quantity, l.mark_price, l.margin_usd
            from liquidation_triggered as l
            join owners as o on o.owner_id = l.bucket_id
            join assets as a on a.market_id = l.market_id
            where l.seq <= {self.seq} and l.seq not in (
                select liquidation_seq from liquidation_ended where seq <= {self.seq}
            )
            order by l.seq
            """
        )

    def open_tranches(self) -> duckdb.DuckDBPyRelation:
        """Return the tranches that are not settled: tranche_seq and what they recorded."""
        return self.log.relation(
            f"""
            select t.seq as tranche_seq, t.liquidation_seq, t.sim_time as started_at,
                t.bucket_id, o.name as bucket, a.name as market, t.tranche_number, t.quantity,
                t.mark_price, t.limit_price, t.executor
            from tranche_started as t
            join owners as o on o.owner_id = t.bucket_id
            join assets as a on a.market_id = t.market_id
            where t.seq <= {self.seq} and t.seq not in (
                select tranche_seq from tranche_settled where seq <= {self.seq}
            )
            order by t.seq
            """
        )

    def _total(self, sql: str) -> Decimal:
        (total,) = self.log.rows(sql)[0]
        return Decimal("0.000000") if total is None else Decimal(total)


def state_at(log: LogReader, at: str | datetime | None = None, *, seq: int | None = None) -> State:
    """
    Return the state at an instant, or right after an event; at the end if neither is given.

    Args:
        log: The log.
        at: A UTC time; every event up to and including it counts.
        seq: Number of an event; it and every event before it count.

    Raises:
        QueryError: Both are given, or the log does not reach there.
    """
    if at is not None and seq is not None:
        message = "either a time or a seq, not both"
        raise QueryError(message)
    if seq is not None:
        return _after(log, seq)
    start, end = _bounds(log)
    moment = end if at is None else _utc(at)
    if not start <= moment <= end:
        message = f"{_iso(moment)} is not in the log, which goes from {_iso(start)} to {_iso(end)}"
        raise QueryError(message)
    return State(
        log, _last_seq(log, f"sim_time <= timestamp '{moment:%Y-%m-%d %H:%M:%S.%f}'"), moment
    )


def _after(log: LogReader, seq: int) -> State:
    if not 0 <= seq <= log.last_seq:
        message = f"event {seq} is not in the log, which has events 0 to {log.last_seq}"
        raise QueryError(message)
    (at,) = log.rows(f"select max(sim_time) from events where seq <= {seq}")[0]
    return State(log, seq, at.replace(tzinfo=UTC))


def _bounds(log: LogReader) -> tuple[datetime, datetime]:
    """Return from when to when the log tells what happened."""
    manifest = log.manifest
    if manifest.status == "sealed":
        return manifest.utc(0), manifest.utc(manifest.end_us)
    # Nothing is known of what an interrupted run would have done after its last event.
    (last,) = log.rows("select max(sim_time) from events")[0]
    return manifest.utc(0), manifest.utc(0) if last is None else last.replace(tzinfo=UTC)


def _last_seq(log: LogReader, condition: str) -> int:
    parts = " union all ".join(
        f"select max(seq) as seq from {cls.TAG} where {condition}" for cls in EVENT_CLASSES
    )
    (seq,) = log.rows(f"select max(seq) from ({parts})")[0]
    return -1 if seq is None else int(seq)


def _utc(at: str | datetime) -> datetime:
    """Return *at* as an aware UTC time; one without a zone is UTC."""
    if isinstance(at, str):
        try:
            at = datetime.fromisoformat(at)
        except ValueError:
            message = f"{at!r} is not a time such as 2020-03-12T14:31:00Z"
            raise QueryError(message) from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _iso(moment: datetime) -> str:
    return iso_utc((moment - UNIX_EPOCH) // timedelta(microseconds=1))


def iso_utc(unix_us: int) -> str:
    """
    Return microseconds of Unix time as a UTC time in ISO 8601, always with six decimals.

    >>> iso_utc(1_584_009_540_000_000)
    '2020-03-12T10:39:00.000000Z'
    """
    return f"{UNIX_EPOCH + timedelta(microseconds=unix_us):%Y-%m-%dT%H:%M:%S.%fZ}"
