"""The audit of coins that were settled: by a venue that is wrong, and in a log that was forged."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import attrs
import duckdb
import pytest
from support.scenarios import engine_cascade, events_of, in_coins, load
from support.verdicts import codes, codes_of

from liqsim.events import CoinsSettled
from liqsim.mechanics.coins import decide_coins
from liqsim.processes import coins
from liqsim.processes.coins import Coins
from liqsim.runner import run_to_log
from replay.audit import executions
from replay.verify import verify

Wrong = Callable[[], Any]


def test_what_was_settled_right_is_clean(tmp_path: Path) -> None:
    assert codes_of(in_coins(), tmp_path / "run.duckdb") == set()


def decided(**changes: int) -> Any:
    def others(**given: int) -> Any:
        right = decide_coins(**given)
        return attrs.evolve(
            right, **{name: getattr(right, name) + more for name, more in changes.items()}
        )

    return patch.object(coins, "decide_coins", others)


def a_unit_of_the_coin_too_many() -> Any:
    return decided(coins_e8=1)


def a_micro_dollar_too_much() -> Any:
    return decided(amount_uusd=1)


def a_unit_of_the_contract_too_many() -> Any:
    return decided(units_e8=1)


def debts_are_left() -> Any:
    return patch.object(Coins, "pay_debt", lambda *_: None)


@pytest.mark.parametrize(
    ("wrong", "column"),
    [
        (a_unit_of_the_coin_too_many, "coins"),
        (a_micro_dollar_too_much, "amount_usd"),
        (a_unit_of_the_contract_too_many, "units"),
    ],
    ids=lambda wrong: getattr(wrong, "__name__", wrong),
)
def test_a_settlement_that_is_a_unit_off_is_found_out(
    wrong: Wrong, column: str, tmp_path: Path
) -> None:
    path = tmp_path / "run.duckdb"
    with wrong():
        run_to_log(load(in_coins()), path)

    # A settlement that is off leads to others: that column must be the one that is named.
    told = [finding.message for finding in verify(path) if finding.code == "coins"]
    assert any(message.startswith(f"{column} is ") for message in told)


def test_a_debt_that_coins_could_pay_is_found_out(tmp_path: Path) -> None:
    with debts_are_left():
        found = codes_of(in_coins(), tmp_path / "run.duckdb")

    assert "coins" in found


FORGERIES = {
    "deposit to another": ("update coins_deposited set quantity = 0 where seq = 1", "deposit"),
    "price of a settlement": ("update coins_settled set price = price + 1", "coins"),
    "whose settlement": ("update coins_settled set account_id = 5", "coins"),
    "none at all": ("delete from coins_settled", "coins"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_is_named(name: str, tmp_path: Path) -> None:
    statement, code = FORGERIES[name]
    path = tmp_path / "run.duckdb"
    run_to_log(load(in_coins()), path)
    with duckdb.connect(str(path)) as connection:
        connection.execute(statement)

    assert code in codes(path)


def test_coins_given_where_collateral_is_cash_are_found_out(tmp_path: Path) -> None:
    path = tmp_path / "run.duckdb"
    run_to_log(load(engine_cascade()), path)
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "insert into coins_deposited select seq, sim_time, null, owner_id, 0, 1 "
            "from funds_deposited where owner_id = (select max(owner_id) from funds_deposited)"
        )

    assert "deposit" in codes(path)


def test_settlements_are_events_of_both_sorts_of_contract() -> None:
    # What this file breaks is met in the scenario that it breaks.
    settled = [e.event for e in events_of(in_coins()) if isinstance(e.event, CoinsSettled)]

    assert {event.market_id for event in settled} == {0, 1}


@pytest.mark.parametrize(("units", "could"), [(1, None), (10**8, 18)])
def test_dust_that_no_slice_can_close_is_in_nobodys_queue(
    monkeypatch: pytest.MonkeyPatch, units: int, could: int | None
) -> None:
    """A unit bought at 100 is less than one at a mark of 123."""
    monkeypatch.setattr(executions, "candidates", lambda *_: iter([18]))
    book = SimpleNamespace(
        terms=SimpleNamespace(deleveraging="ranked", deleveraging_cap_e6=10**6),
        bankruptcy_price=lambda *_: 105 * 10**8,
        closable=lambda _market, _account, mark: units * 100 * 10**8 // mark,
    )
    start = SimpleNamespace(market_id=0, bucket_id=14, mark_price_e8=123 * 10**8)
    tranche = SimpleNamespace(start=start, cut=())

    assert executions._deleverageable(book, tranche) == could
