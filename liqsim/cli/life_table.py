"""The life of one account: as plain values for JSON, and as text, one event after the other."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import ROUND_FLOOR, Decimal
from typing import Any, Final

import typer

from liqsim.cli.state_table import owner_named
from liqsim.cli.text import layout, price, printable, terminal_width, usd
from liqsim.errors import QueryError
from replay.log import Log
from replay.margin import E22_PER_UUSD, LegRule, margin_e22
from replay.terms import read_terms

_MICRO: Final = Decimal("0.000001")
_COLUMNS: Final = (
    "time", "event", "what", "market", "units", "price", "USD", "fee", "position", "cash",
    "mark", "equity", "margin", "note",
)  # fmt: skip


def describe_life(log: Log, name: str, limit: int | None = None) -> dict[str, Any]:
    """
    Return what happened to an account, in order, and where it stood after each event.

    All of it, or the first *limit* events and how many more there are.

    Positions are by market. Equity (cash and positions at their mark prices) and margin (equity
    less maintenance) are there where every position has a mark price, margin only with a position;
    both are rounded down to 1e-6 USD, from exact values.

    Raises:
        QueryError: No account has that *name*.
    """
    owner = owner_named(log, "--account", name)
    if owner.kind != "bucket":
        message = f"--account {name}: is no account but {owner.kind}; --owner shows what it has"
        raise QueryError(message)
    held: dict[int, dict[int, tuple[Decimal, Decimal, Decimal | None]]] = {}
    for seq, market_id, quantity, coins, mark in log.sql(
        "select seq, market_id, quantity, coins, mark_price from account_positions "
        f"where account_id = {owner.owner_id} order by seq, market_id"
    ).fetchall():
        held.setdefault(seq, {})[market_id] = (quantity, coins, mark)
    markets = read_terms(log.manifest.scenario_toml).markets
    rules = [market.rule for market in markets]
    changes = log.sql(
        "select seq, market_id, multiplier, null from maintenance_changed "
        "union all select seq, market_id, null, coin_haircut from coin_haircut_changed "
        "order by seq desc"
    ).fetchall()
    multipliers: dict[int, int] = {}
    haircuts: dict[int, int] = {}
    entries: dict[int, dict[int, Decimal]] = {}
    for seq, market_id, entry_price in log.sql(
        f"select seq, market_id, entry_price from entry_prices where bucket_id = {owner.owner_id}"
    ).fetchall():
        entries.setdefault(seq, {})[market_id] = entry_price
    entered: dict[int, Decimal] = {}
    lives = log.sql(
        "select seq, sim_time, what, market, quantity, price, cash_change_usd, fee_usd, "
        "cash_after_usd, mark_price, equity_usd, cause_seq, note "
        f"from account_life where account_id = {owner.owner_id} order by seq"
    )
    events = []
    rows = lives.fetchall()
    for row in rows[:limit]:
        event = dict(zip(lives.columns, row, strict=True))
        legs = {m: leg for m, leg in held.get(event["seq"], {}).items() if leg[0]}
        equity = event.pop("equity_usd")
        entered |= entries.get(event["seq"], {})
        while changes and changes[-1][0] < event["seq"]:
            _, market_id, multiplier, haircut = changes.pop()
            if haircut is None:
                multipliers[market_id] = int(multiplier.scaleb(6))
            else:
                haircuts[market_id] = int(haircut.scaleb(6))
            in_force = multipliers.get(market_id), haircuts.get(market_id)
            rules[market_id] = markets[market_id].rule_under(*in_force)
        margin = _margin_usd(rules, event["cash_after_usd"], legs, entered)
        events.append(
            {
                **event,
                "positions": {log.reader.markets[m]: leg[0] for m, leg in legs.items()},
                "equity_usd": (None if equity is None else equity.quantize(_MICRO, ROUND_FLOOR)),
                "margin_usd": margin,
            }
        )
    return {
        "scenario": log.manifest.scenario,
        "run_id": log.manifest.run_id,
        "log": str(log.reader.path),
        "status": log.manifest.status,
        "account": owner.name,
        "cohort": owner.cohort,
        "events": events,
        "left_count": len(rows) - len(events),
    }


def _margin_usd(
    rules: Sequence[LegRule],
    cash: Decimal,
    legs: Mapping[int, tuple[Decimal, Decimal, Decimal | None]],
    entered: Mapping[int, Decimal],
) -> Decimal | None:
    """Return the margin in exact arithmetic, rounded down; None where it is not defined."""
    exact = []
    for market_id, (*held, mark) in legs.items():
        if mark is None:
            return None
        quantity, coins, price = (int(number.scaleb(8)) for number in (*held, mark))
        entry = int(entered[market_id].scaleb(8))
        exact.append((rules[market_id], quantity, entry, coins, price))
    margin = margin_e22(int(cash.scaleb(6)), exact) // E22_PER_UUSD
    return Decimal(margin).scaleb(-6) if legs else None


def print_life(described: Mapping[str, Any]) -> None:
    """Print what `describe_life` returns: a table where there is room, else two lines per event."""
    cohort = f" of {described['cohort']}" if described["cohort"] else ""
    typer.echo(f"{printable(described['account'])}, account{cohort} in {described['scenario']}")
    if described["status"] != "sealed":
        typer.echo(f"(this run is {described['status']}; its log is a beginning)")
    typer.echo()
    rows = [_cells(event) for event in described["events"]]
    width = terminal_width()
    lines = list(layout(_COLUMNS, rows))
    if width and max(map(len, lines)) > width:
        lines = [line for row in rows for line in _two_lines(dict(zip(_COLUMNS, row, strict=True)))]
    for line in lines:
        typer.echo(line)
    if not rows:
        typer.echo("nothing happened to it")
    if described["left_count"]:
        typer.echo(f"{described['left_count']:,} more: a higher --limit", err=True)


def _cells(event: Mapping[str, Any]) -> list[str]:
    markets = event["positions"]
    # The one position needs no name; several do.
    positions = (
        _units(next(iter(markets.values()), Decimal(0)))
        if set(markets) <= {event["market"]} or (event["market"] is None and len(markets) < 2)  # noqa: PLR2004
        else " ".join(f"{name} {_units(quantity)}" for name, quantity in markets.items())
    )
    return [
        f"{event['sim_time']:%Y-%m-%d %H:%M:%S.%f}"[:-3],
        str(event["seq"]),
        event["what"],
        event["market"] or "",
        _signed(event["quantity"], _units),
        "" if event["price"] is None else price(event["price"]),
        _signed(event["cash_change_usd"], usd),
        usd(event["fee_usd"]) if event["fee_usd"] else "",
        positions,
        usd(event["cash_after_usd"]),
        "" if event["mark_price"] is None else price(event["mark_price"]),
        "" if event["equity_usd"] is None else usd(event["equity_usd"]),
        "" if event["margin_usd"] is None else usd(event["margin_usd"]),
        event["note"] or "",
    ]


def _two_lines(cells: Mapping[str, str]) -> Iterator[str]:
    """Yield what happened and where the account stood then, for a narrow terminal."""
    trade = f"{cells['units']} at {cells['price']}" if cells["price"] else cells["units"]
    money = f"{cells['USD']} USD" if cells["USD"] else ""
    fee = f"fee {cells['fee']}" if cells["fee"] else ""
    told = ", ".join(filter(None, (trade, money, fee, cells["note"])))
    yield f"{cells['time']}  {cells['what']} {cells['market']}".rstrip()
    if told:
        yield f"    {told}"
    stood = (
        f"{word} {cells[word]}" for word in ("position", "cash", "equity", "margin") if cells[word]
    )
    yield "    -> " + ", ".join(stood)


def _signed(value: Decimal | None, text: Any) -> str:
    if value is None:
        return ""
    return f"+{text(value)}" if value > 0 else str(text(value))


def _units(quantity: Decimal) -> str:
    """Return units without the zeros behind the last digit that says something."""
    text = f"{quantity:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
