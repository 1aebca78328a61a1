"""What an audit finds where losses were absorbed in another way than the scenario says."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
from support.scenarios import Raw, absorbed, engine_cascade, load, own_marks, pooled, vaulted
from support.verdicts import codes_of

from liqsim.mechanics import waterfall
from liqsim.mechanics.desk import free_capital_uusd
from liqsim.mechanics.mitigations.fund_limits import payable_uusd
from liqsim.mechanics.mitigations.pool import goes_ahead
from liqsim.mechanics.mitigations.staking import Slash, decide_slashing
from liqsim.mechanics.tranches import takeover_price_e8
from liqsim.processes import fund, resale, staking, venue
from liqsim.runner import run_to_log
from replay.log import Log
from replay.verify import verify

Patch = tuple[Any, str, Any]


def _first_pays_more(*given: Any) -> list[Slash]:
    slashes = decide_slashing(*given)
    first = slashes[0]
    return [attrs.evolve(first, amount_uusd=first.amount_uusd - 1), *slashes[1:]]


def _no_window(spec: Any, used_uusd: int, paid_uusd: int) -> int:
    return payable_uusd(attrs.evolve(spec, max_window_uusd=10**17), used_uusd, paid_uusd)


def _vault_is_asked_for_half(self: Any, tranche: Any, size_e8: int) -> int:
    return _backstop(self, tranche, size_e8 // 2)


_backstop = venue.Venue.backstop


def _one_unit_moved(*given: Any) -> list[int]:
    shares = _shared(*given)
    if len(shares) > 1 and shares[0] > 1:
        shares[0] -= 1
        shares[1] += 1
    return shares


_shared = waterfall.shared_e8


def _behind_the_book(*_given: Any, **_words: Any) -> bool:
    return False


def _ahead_of_a_better_book(when: str, *given: Any, **words: Any) -> bool:
    return goes_ahead("always", *given, **words)


def _pays_the_mark(mark_e8: int, _discount_e6: int, position_e8: int) -> int:
    return takeover_price_e8(mark_e8, 0, position_e8)


def _all_of_its_capital(cash_uusd: int, worth_uusd: Any, _leverage_e6: int) -> int:
    return free_capital_uusd(cash_uusd, worth_uusd, 10**6)


def _a_better_book(self: Any, tranche: Any, size_e8: int) -> int | None:
    price = _price_in_book(self, tranche, size_e8)
    return None if price is None else price - price // 1_000


_price_in_book = venue.Venue._price_in_book


def _early(self: Any, *given: Any, **words: Any) -> None:
    _opened(self, *given, **words)
    self._terms = attrs.evolve(self._terms, resale_delay_us=1_000_000)


_opened = resale.Inventory.__init__


def _in_proportion() -> Raw:
    return engine_cascade(venue__waterfall__deleveraging="pro_rata", venue__fund__initial_usd=0)


def _capped() -> Raw:
    cap = Decimal("0.2")
    return engine_cascade(venue__waterfall__deleveraging_cap=cap, venue__fund__initial_usd=0)


WRONG: Final[dict[str, tuple[Callable[[], Raw], Patch, str]]] = {
    "a staker pays less": (absorbed, (staking, "decide_slashing", _first_pays_more), "slashing"),
    "nobody is slashed": (absorbed, (staking.Stakers, "slash", lambda *_: 0), "slashing"),
    "no span limits the fund": (absorbed, (fund, "payable_uusd", _no_window), "draw"),
    "nothing is said": (absorbed, (fund.Fund, "_record", lambda *_: None), "decision"),
    "a vault is not asked": (vaulted, (venue.Venue, "backstop", lambda *_: 0), "backstop"),
    "for half": (vaulted, (venue.Venue, "backstop", _vault_is_asked_for_half), "backstop"),
    "a pool is behind the book": (pooled, (venue, "goes_ahead", _behind_the_book), "pool"),
    "a pool is ahead of it": (pooled, (venue, "goes_ahead", _ahead_of_a_better_book), "pool"),
    "a pool pays the mark": (
        pooled,
        (venue, "takeover_price_e8", _pays_the_mark),
        "takeover_price",
    ),
    "a pool spends all": (pooled, (resale, "free_capital_uusd", _all_of_its_capital), "pool"),
    "it sees another book": (pooled, (venue.Venue, "_price_in_book", _a_better_book), "pool"),
    "it sells early": (pooled, (resale.Inventory, "__init__", _early), "resale"),
    "a unit moved": (_in_proportion, (waterfall, "shared_e8", _one_unit_moved), "deleverage_rank"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_by_the_rules_is_found(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, patch, code = WRONG[name]
    monkeypatch.setattr(*patch)
    assert code in codes_of(base(), tmp_path / "log.duckdb")


@pytest.mark.parametrize("base", [absorbed, vaulted, pooled, _in_proportion, _capped])
def test_nothing_is_found_otherwise(base: Callable[[], Raw], tmp_path: Path) -> None:
    run_to_log(load(base()), tmp_path / "log.duckdb")

    assert verify(tmp_path / "log.duckdb") == []


# What is right is found right ---------------------------------------------------------------------


def _pool(name: str, amount_usd: int, **keys: Any) -> Raw:
    return {
        "kind": "pool", "name": name, "deposits": [{"amount_usd": amount_usd}], "discount": 0,
        "resale_delay": "2s",
    } | keys  # fmt: skip


def test_two_pools_take_over_though_a_penalty_is_shared_in_between(tmp_path: Path) -> None:
    rows = [_pool("small", 5_000), _pool("large", 400_000), {"kind": "penalty_routing"}]
    path = tmp_path / "run.duckdb"
    raw = engine_cascade(mitigations=rows)
    raw["venue"]["fees"] = {"liquidation_on_execution": Decimal("0.004")}
    run_to_log(load(raw), path)

    with Log(path) as log:
        assert log.verify() == []
        assert log.outcome()["penalties_to_fund_usd"] > "0"
        ((both,),) = log.sql(
            "select count(*) from (select tranche_seq from tranche_taken_over "
            "group by all having count(distinct keeper_id) = 2)"
        ).fetchall()
    assert both > 0, "no slice was taken over by both"


def test_no_vault_is_asked_for_what_a_halt_has_cut_off(tmp_path: Path) -> None:
    halt = {
        "kind": "breaker", "duration": "4s", "cool_down": "6s",
        "when": [{"observable": "flow", "window": "20s", "above": 3_000}],
    }  # fmt: skip
    vault = {"kind": "backstop", "purse_usd": 3_000, "resale_delay": "4s"}
    path = tmp_path / "run.duckdb"
    run_to_log(load(own_marks(mitigations=[vault, halt])), path)

    with Log(path) as log:
        assert log.verify() == []
        ((cut,),) = log.sql(
            "select count(*) from tranche_settled as s join halts as h on "
            "s.sim_time between h.halted_at and h.until_at where cancelled > 0 and filled > 0"
        ).fetchall()
    assert cut > 0, "no halt came between the orders of a slice"
