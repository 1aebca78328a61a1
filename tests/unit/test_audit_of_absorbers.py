"""What an audit finds where losses were absorbed in another way than the scenario says."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
from support.scenarios import Raw, absorbed, engine_cascade, load, vaulted

from liqsim.mechanics import waterfall
from liqsim.mechanics.mitigations.fund_limits import payable_uusd
from liqsim.mechanics.mitigations.staking import Slash, decide_slashing
from liqsim.processes import fund, staking, venue
from liqsim.runner import run_to_log
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
    "a unit moved": (_in_proportion, (waterfall, "shared_e8", _one_unit_moved), "deleverage_rank"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_by_the_rules_is_found(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, patch, code = WRONG[name]
    monkeypatch.setattr(*patch)
    run_to_log(load(base()), tmp_path / "log.duckdb")

    assert code in {finding.code for finding in verify(tmp_path / "log.duckdb")}


@pytest.mark.parametrize("base", [absorbed, vaulted, _in_proportion, _capped])
def test_nothing_is_found_otherwise(base: Callable[[], Raw], tmp_path: Path) -> None:
    run_to_log(load(base()), tmp_path / "log.duckdb")

    assert verify(tmp_path / "log.duckdb") == []
