"""The state of a run at an instant: as plain values for JSON, and as text."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any, Final

import typer

from liqsim.cli.text import clock, layout, price, printable, terminal_width, usd
from liqsim.errors import QueryError
from liqsim.eventlog.reader import OwnerRow
from liqsim.units import BOUND
from replay.log import Log
from replay.margin import E22_PER_UUSD, bankruptcy_price_e8, maintenance_e22, margin_e22
from replay.state import State
from replay.terms import read_terms

_CASH: Final = "USD"
_LIQUIDATIONS_SHOWN: Final = 20
_MICRO: Final = Decimal("0.000001")


def describe_state(log: Log, state: State) -> dict[str, Any]:
    """Return the whole state: marks, fund, debts, open liquidations, balances."""
    balances = _balances(state, [o.owner_id for o in log.reader.owners if o.kind != "bucket"])
    treasury = [b["balance"] for b in balances if b["owner"] == "treasury" and b["asset"] == _CASH]
    return {
        **_header(log, state),
        "marks": _marks(state),
        "fund_usd": state.fund_usd(),
        "bad_debt_usd": state.bad_debt_usd(),
        "treasury_usd": sum(treasury, Decimal("0.000000")),
        "open_liquidations": _rows(state.open_liquidations()),
        "balances": balances,
    }


def describe_owner(log: Log, state: State, name: str) -> dict[str, Any]:
    """
    Return what one owner has; for an account also its position and margin at the mark price.

    Raises:
        QueryError: Nobody has that *name*.
    """
    owner = owner_named(log, "--owner", name)
    balances = _balances(state, [owner.owner_id])
    return {
        **_header(log, state),
        "owner": owner.name,
        "kind": owner.kind,
        "cohort": owner.cohort,
        "balances": balances,
        **_positions(log, state, balances, owner),
        "liquidation": next(
            (
                liquidation
                for liquidation in _rows(state.open_liquidations())
                if liquidation["bucket_id"] == owner.owner_id
            ),
            None,
        ),
    }


def owner_named(log: Log, option: str, name: str) -> OwnerRow:
    """
    Return the owner of that *name*, which *option* gave.

    Raises:
        QueryError: Nobody has it; the message says who has one like it.
    """
    owner = next((owner for owner in log.reader.owners if owner.name == name), None)
    if owner is None:
        near = difflib.get_close_matches(name, [o.name for o in log.reader.owners], n=3)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        message = f"{option} {name}: nobody in {log.reader.path} has that name{hint}"
        raise QueryError(message)
    return owner


def _header(log: Log, state: State) -> dict[str, Any]:
    manifest = log.manifest
    return {
        "scenario": manifest.scenario,
        "run_id": manifest.run_id,
        "log": str(log.reader.path),
        "status": manifest.status,
        "at": state.at,
        "seq": state.seq,
    }


def _marks(state: State) -> list[dict[str, Any]]:
    return [
        {
            "market": mark.market,
            "price": mark.price,
            "since": mark.since,
            "seq": mark.seq,
            "shadow": mark.shadow,
            "maintenance": mark.maintenance,
            "coin_haircut": mark.coin_haircut,
        }
        for mark in state.marks()
    ]


def _balances(state: State, owner_ids: Sequence[int]) -> list[dict[str, Any]]:
    rows = _rows(state.balances(owner_ids))
    for row in rows:
        if row["asset"] == _CASH:
            row["balance"] = row["balance"].quantize(_MICRO)  # Exact: cash has no more places.
    return rows


def _share(haircut: Decimal | None) -> str:
    return "as at first" if haircut is None else f"{haircut.normalize():f}"


def _e6(share: Decimal | None) -> int | None:
    return None if share is None else int(share.scaleb(6))


def _rows(relation: Any) -> list[dict[str, Any]]:
    return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]


def _positions(
    log: Log, state: State, balances: Sequence[Mapping[str, Any]], owner: OwnerRow
) -> dict[str, Any]:
    """Return the legs of an account and its margin, exact; no margin without legs and marks."""
    held = {row["asset"]: row["balance"] for row in balances}
    cash = held.get(_CASH, Decimal(0))
    stated = {mark.market: mark for mark in state.marks()}
    marks = {name: mark.price for name, mark in stated.items()}
    markets = read_terms(log.manifest.scenario_toml).markets
    rules = {
        market.name: market.rule_under(int(mark.maintenance.scaleb(6)), _e6(mark.coin_haircut))
        for market in markets
        if (mark := stated.get(market.name)) is not None
    }
    open_legs = [
        market.name for market in markets if owner.kind == "bucket" and held.get(market.name)
    ]
    if not open_legs or not all(name in marks for name in open_legs):
        return {"legs": [], "margin": None}
    coins = {name: held.get(f"{name} coin", Decimal(0)) for name in open_legs}
    value = {name: (held[name] + coins[name]) * marks[name] for name in open_legs}
    entries = state.entry_prices(owner.owner_id)
    exact = [
        (
            rules[name],
            int(held[name].scaleb(8)),
            int(entries[name].scaleb(8)),
            int(coins[name].scaleb(8)),
            int(marks[name].scaleb(8)),
        )
        for name in open_legs
    ]
    legs = []
    for name, leg in zip(open_legs, exact, strict=True):
        others = sum((value[other] for other in open_legs if other != name), Decimal(0))
        backing = int((cash + others).quantize(_MICRO, ROUND_FLOOR).scaleb(6))
        bankrupt_e8 = bankruptcy_price_e8(backing, leg[1] + leg[3])
        legs.append(
            {
                "market": name,
                "quantity": held[name],
                "mark_price": marks[name],
                "value_usd": (held[name] * marks[name]).quantize(_MICRO, ROUND_FLOOR),
                "bankruptcy_price": Decimal(bankrupt_e8 if bankrupt_e8 < BOUND else 0).scaleb(-8),
            }
        )
    maintenance = Decimal(
        sum(
            maintenance_e22(rule, units, rule.price_that_counts(entry, mark))
            for rule, units, entry, _, mark in exact
        )
    ).scaleb(-22)
    margin = margin_e22(int(cash.scaleb(6)), exact) // E22_PER_UUSD
    return {
        "legs": legs,
        "margin": {
            "equity_usd": (cash + sum(value.values())).quantize(_MICRO, ROUND_FLOOR),
            "maintenance_usd": maintenance.quantize(_MICRO, ROUND_CEILING),
            "margin_usd": Decimal(margin).scaleb(-6),
        },
    }


def print_state(described: Mapping[str, Any]) -> None:
    """Print what `describe_state` returns."""
    _print_header(described)
    haircuts = [mark["coin_haircut"] for mark in described["marks"]]
    has_changed = any(haircut is not None for haircut in haircuts)
    _print_table(
        ["market", "mark price", "since", "event", "shadow mark", "maintenance"]
        + ["coin haircut"] * has_changed,
        [
            [
                mark["market"],
                price(mark["price"]),
                clock(mark["since"]),
                f"{mark['seq']:,}",
                price(mark["shadow"]),
                f"x {mark['maintenance'].normalize():f}",
                *([_share(mark["coin_haircut"])] * has_changed),
            ]
            for mark in described["marks"]
        ],
        empty="no mark prices yet",
    )
    for label, key in (
        ("insurance fund, USD", "fund_usd"),
        ("treasury, USD", "treasury_usd"),
        ("bad debt, USD", "bad_debt_usd"),
    ):
        typer.echo(f"{label:<20}{usd(described[key]):>24}")
    typer.echo()
    _print_liquidations(described["open_liquidations"])
    _print_table(*_by_owner(described["balances"]), empty="no balances")


def print_owner(described: Mapping[str, Any]) -> None:
    """Print what `describe_owner` returns."""
    _print_header(described)
    cohort = f" of {described['cohort']}" if described["cohort"] else ""
    typer.echo(f"{printable(described['owner'])}, {described['kind']}{cohort}")
    for row in described["balances"]:
        amount = usd(row["balance"]) if row["asset"] == _CASH else _units(row["balance"])
        typer.echo(f"  {row['asset']:<20}{amount:>24}")
    if not described["balances"]:
        typer.echo("  nothing")
    if described["margin"] is not None:
        _print_table(
            ["market", "mark price", "value, USD", "bankruptcy price"],
            [
                [
                    leg["market"],
                    price(leg["mark_price"]),
                    usd(leg["value_usd"]),
                    price(leg["bankruptcy_price"]),
                ]
                for leg in described["legs"]
            ],
            empty="no positions",
        )
        for key, amount in described["margin"].items():
            typer.echo(f"{key.removesuffix('_usd') + ', USD':<20}{usd(amount):>24}")
    liquidation = described["liquidation"]
    if liquidation is not None:
        since = clock(liquidation["triggered_at"])
        typer.echo(f"in liquidation since {since} (event {liquidation['liquidation_seq']})")


def _print_header(described: Mapping[str, Any]) -> None:
    typer.echo(
        f"{described['scenario']} at {described['at']:%Y-%m-%d %H:%M:%S.%f} UTC, "
        f"after event {described['seq']}"
    )
    if described["status"] != "sealed":
        typer.echo(f"(this run is {described['status']}; its log is a beginning)")
    typer.echo()


def _print_liquidations(rows: Sequence[Mapping[str, Any]]) -> None:
    largest = sorted(rows, key=lambda row: -abs(row["quantity"] * row["mark_price"]))
    shown = largest[:_LIQUIDATIONS_SHOWN]
    if len(rows) > len(shown):
        typer.echo(f"open liquidations: {len(rows):,}, the {len(shown)} largest:")
    elif rows:
        typer.echo("open liquidations:")
    _print_table(
        ["account", "market", "triggered", "quantity", "mark then", "margin then"],
        [
            [
                row["bucket"],
                row["market"],
                f"{row['triggered_at']:%m-%d %H:%M:%S}",
                _units(row["quantity"]),
                price(row["mark_price"]),
                usd(row["margin_usd"]),
            ]
            for row in shown
        ],
        empty="no open liquidations",
    )


def _by_owner(balances: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Return balances as a table with a column per asset."""
    assets = list(dict.fromkeys([_CASH, *(row["asset"] for row in balances)]))
    owners: dict[str, dict[str, str]] = {}
    for row in balances:
        amount = usd(row["balance"]) if row["asset"] == _CASH else _units(row["balance"])
        owners.setdefault(row["owner"], {})[row["asset"]] = amount
    return (
        ["balance of", *assets],
        [[name, *(held.get(asset, "") for asset in assets)] for name, held in owners.items()],
    )


def _print_table(names: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str) -> None:
    lines: Iterator[str] = layout(names, rows, terminal_width()) if rows else iter([empty])
    for line in lines:
        typer.echo(line)
    typer.echo()


def _units(quantity: Decimal) -> str:
    return f"{quantity:,f}"
