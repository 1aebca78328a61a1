"""Accounts out of a file: each cell by itself, each account, and all of them together."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from liqsim.scenario.convert import nearest
from liqsim.scenario.datafile import DataFile, number_reader, read_file, refuse
from liqsim.scenario.fields import Form, Scalar
from liqsim.scenario.holdings import Holding
from liqsim.scenario.model import PRICE, AccountsFile, Scenario
from liqsim.scenario.owners import OwnerNames
from liqsim.scenario.values import read_value
from liqsim.units import BOUND, UNIT_SCALE, USD_SCALE, amount_text, taker_cost_uusd

ACCOUNT: Final = "account"
MARKET: Final = "market"
QUANTITY: Final = "quantity"
ENTRY: Final = "entry_price"
COLLATERAL: Final = "collateral_usd"
COINS: Final = "collateral_coins"
"""Optional: coins of the account's market instead of USD."""

COLUMNS: Final = (ACCOUNT, MARKET, QUANTITY, ENTRY, COLLATERAL)
UNREAD: Final = (
    "notional_usd",
    "leverage",
    "mark_price",
    "liquidation_price",
    "unrealized_pnl_usd",
)
"""What exports carry beside these, and what follows from them."""

_NAME_CHARS: Final = 100
_TEXT = Scalar(ACCOUNT, Form.TEXT)
_QUANTITY = Scalar(
    QUANTITY, Form.SCALED, Decimal(-9_999_999_999), Decimal(9_999_999_999), scale=UNIT_SCALE
)
_COLLATERAL = Scalar(
    COLLATERAL, Form.SCALED, Decimal("0.000001"), Decimal(999_999_999_999), scale=USD_SCALE
)
_COINS = Scalar(COINS, Form.SCALED, Decimal("0.00000001"), Decimal(9_999_999_999), scale=UNIT_SCALE)


def read_account_file(
    folder: Path, spec: AccountsFile, scenario: Scenario
) -> tuple[str, tuple[Holding, ...]]:
    """
    Return the SHA-256 of the file that *spec* names, and the accounts in it, in its order.

    Raises:
        FileRefusedError: The file cannot be used with *scenario*.
    """
    file = read_file(
        folder, spec.file, columns=COLUMNS, optional=(COINS,), unread=UNREAD, sha256=spec.sha256
    )
    problems: list[str] = []
    names = file.read(ACCOUNT, _name_reader(scenario), problems)
    markets = file.read(MARKET, _market_reader(scenario), problems)
    quantities = file.read(QUANTITY, _read_quantity, problems)
    entries = file.read(ENTRY, number_reader(PRICE), problems)
    collaterals = file.read(COLLATERAL, _read_collateral, problems)
    coins: list[int | None] = [None] * len(file.lines)
    if COINS in file.columns:
        coins = file.read(COINS, _read_coins, problems)
    refuse(problems)
    rows_of: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        rows_of.setdefault(name, []).append(row)
    legs = list(zip(markets, quantities, entries, strict=True))
    holdings = []
    for name, rows in rows_of.items():
        problems += _repeated(file, rows, markets)
        problems += _inverse(file, rows, markets, coins, scenario)
        in_coins = [row for row in rows if coins[row] is not None]
        if in_coins:
            collateral_uusd, found = 0, _only_coins(file, rows, in_coins, collaterals)
        else:
            collateral_uusd, found = _collateral(file, rows, collaterals)
        holding = Holding(
            file.at(rows[0]),
            name,
            collateral_uusd,
            tuple(legs[row] for row in rows),
            sum(coins[row] or 0 for row in in_coins),
        )
        problems += found or _overflow(file, rows, holding)
        holdings.append(holding)
    refuse(problems)
    return file.sha256, tuple(holdings)


def _repeated(file: DataFile, rows: Sequence[int], markets: Sequence[str]) -> list[str]:
    """Return what is wrong if an account has two positions in one market."""
    first: dict[str, int] = {}
    problems = []
    for row in rows:
        if (other := first.setdefault(markets[row], row)) != row:
            text = f"has a position in {markets[row]} already, at {file.at(other)}"
            problems.append(file.refusal(row, ACCOUNT, text))
    return problems


def _inverse(
    file: DataFile,
    rows: Sequence[int],
    markets: Sequence[str],
    coins: Sequence[int | None],
    scenario: Scenario,
) -> list[str]:
    """Return what is wrong if an account with an inverse contract has anything else but coins."""
    inverse = {market.name for market in scenario.markets if market.is_inverse}
    text = f"has an inverse contract: give its account no other position, and {COINS}"
    is_right = len(rows) == 1 and coins[rows[0]] is not None
    held = [row for row in rows if markets[row] in inverse]
    return [file.refusal(row, MARKET, text) for row in held if not is_right]


def _only_coins(
    file: DataFile,
    rows: Sequence[int],
    in_coins: Sequence[int],
    collaterals: Sequence[int | None],
) -> list[str]:
    """Return what is wrong with an account that has coins."""
    if len(rows) > 1:
        text = "must be empty: an account with positions in several markets holds no coins"
        return [file.refusal(row, COINS, text) for row in in_coins]
    if collaterals[rows[0]] is not None:
        return [file.refusal(rows[0], COINS, f"must be empty beside {COLLATERAL}")]
    return []


def _collateral(
    file: DataFile, rows: Sequence[int], collaterals: Sequence[int | None]
) -> tuple[int, list[str]]:
    """
    Return the collateral of an account, or what is wrong with it.

    It is one amount behind all legs, so it must stand once: an export that repeats it in every row
    would otherwise be summed.
    """
    given = [row for row in rows if collaterals[row] is not None]
    if not given:
        text = "must be given in one of the rows of an account"
        return 0, [file.refusal(rows[0], COLLATERAL, text)]
    text = f"is given for the account already, at {file.at(given[0])}: leave one of them empty"
    again = [file.refusal(row, COLLATERAL, text) for row in given[1:]]
    return collaterals[given[0]] or 0, again


def _name_reader(scenario: Scenario) -> Callable[[Any], str]:
    names = OwnerNames(scenario)

    def read(cell: Any) -> str:
        # Parquet may keep account numbers as such.
        name = str(cell) if isinstance(cell, int) and not isinstance(cell, bool) else cell
        if not isinstance(name, str):
            name = ""
        try:
            read_value(_TEXT, name, 0)
        except ValueError:
            msg = "must be a name on one line, without control characters"
            raise ValueError(msg) from None
        if not name or name != name.strip() or len(name) > _NAME_CHARS:
            msg = f"must be a name of 1 to {_NAME_CHARS} characters, without spaces at its ends"
            raise ValueError(msg)
        if refusal := names.refusal(name, "account"):
            raise ValueError(refusal)
        return str(name)

    return read


def _market_reader(scenario: Scenario) -> Callable[[Any], str]:
    known = [market.name for market in scenario.markets]

    def read(cell: Any) -> str:
        if cell in known:
            return str(cell)
        msg = f"must be a market{nearest(str(cell), known)}"
        raise ValueError(msg)

    return read


_read_signed = number_reader(_QUANTITY)
_read_amount = number_reader(_COLLATERAL)
_read_quantity_of_coins = number_reader(_COINS)


def _read_quantity(cell: Any) -> int:
    quantity_e8 = _read_signed(cell)
    if quantity_e8 == 0:
        msg = "must not be 0"
        raise ValueError(msg)
    return quantity_e8


def _read_collateral(cell: Any) -> int | None:
    return None if cell is None or cell == "" else _read_amount(cell)


def _read_coins(cell: Any) -> int | None:
    return None if cell is None or cell == "" else _read_quantity_of_coins(cell)


def _overflow(file: DataFile, rows: Sequence[int], holding: Holding) -> list[str]:
    """Return what is wrong if a position's value or the account's cash leaves the ledger."""
    limit = f"of less than {amount_text(BOUND)} USD"
    cash_uusd = holding.collateral_uusd
    for row, (_, quantity_e8, entry_e8) in zip(rows, holding.legs, strict=True):
        cost_uusd = taker_cost_uusd(quantity_e8, entry_e8)
        if abs(cost_uusd) >= BOUND:
            text = f"must make a value at entry {limit}, not {amount_text(abs(cost_uusd))}"
            return [file.refusal(row, QUANTITY, text)]
        cash_uusd -= cost_uusd
        # The positions are opened one after the other.
        if abs(cash_uusd) >= BOUND:
            text = f"must leave the account cash {limit}, not {amount_text(abs(cash_uusd))}"
            return [file.refusal(row, QUANTITY, text)]
    return []
