"""
The audit of logs in which accounts act of their own will otherwise than they may.

As with wrong venues, what was done is recorded truthfully; only working it out again can find it.
"""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import pytest
from support.scenarios import (
    Raw,
    comeback,
    constant,
    forewarned,
    load,
    newcomers,
    panic,
    rebalanced,
)
from support.verdicts import codes

from liqsim.mechanics import traders as rules
from liqsim.processes import arrivals, halts, orders, rebalancing, traders
from liqsim.runner import run_to_log
from replay.verify import verify

Wrong = Callable[[], Any]


def _off_by_one(module: Any, name: str) -> Wrong:
    right = getattr(module, name)
    return lambda: patch.object(module, name, lambda *args, **sides: right(*args, **sides) + 1)


def _always(owner: Any, name: str, value: Any) -> Wrong:
    return lambda: patch.object(owner, name, lambda *_, **__: value)


def _unless_in_debt() -> Any:
    def is_allowed(account: rules.Account) -> bool:
        return bool(account.quantity_e8) or account.cash_uusd >= 0

    return patch.object(rules.Account, "is_allowed", is_allowed)


def _panic() -> Raw:
    traders_of = "population__cohorts__crowd__traders__"
    return panic(**{f"{traders_of}reaction": constant("8s"), f"{traders_of}slippage": 1})


def _comeback() -> Raw:
    law = "population__cohorts__crowd__traders__return__"
    return comeback(**{f"{law}delay": constant("30s"), f"{law}same_side": 1, f"{law}size_sigma": 0})


def _newcomers_short() -> Raw:
    return newcomers(population__cohorts__crowd__traders__arrivals__long_share=0)


def _often() -> Any:
    class Fresh(traders._Trader):
        @property
        def times_ahead(self) -> int:
            return 0

        @times_ahead.setter
        def times_ahead(self, _: int) -> None: ...

    return patch.object(traders, "_Trader", Fresh)


def _always_open() -> Any:
    class Open(halts.Levels):
        def open_at(self, now_us: int) -> list[int]:
            return super().open_at(now_us) if self.is_asked_to_halt() else [1]

        def is_asked_to_halt(self) -> bool:
            return inspect.stack()[2].function == "_look_at"

    return patch.object(halts, "Levels", Open)


def _out_of_turn() -> Any:
    return patch.object(arrivals, "reversed", list, create=True)


def _used_twice() -> Any:
    class Sticky(list[int]):
        def pop(self, *_: Any) -> int:  # type: ignore[override]
            return self[-1]

    return patch.object(arrivals, "list", lambda row: Sticky([*row]), create=True)


def _all_long() -> Any:
    class Low(arrivals.Stream):
        def __init__(self, seed: int, actor: str, purpose: str) -> None:
            super().__init__(seed, actor, purpose)
            self._is_low = purpose == "arrival_side"

        def at(self, entity: int, index: int) -> float:
            return -1.0 if self._is_low else super().at(entity, index)

    return patch.object(arrivals, "Stream", Low)


WRONG_TRADERS: Final[dict[str, tuple[Callable[[], Raw], Wrong, set[str]]]] = {
    "an entry price off by one": (_panic, _off_by_one(rules, "entry_after_e8"), {"entry_price"}),
    "a top-up that is too large": (_panic, _off_by_one(traders, "top_up_uusd"), {"trader"}),
    "a reduction that is too large": (_panic, _off_by_one(traders, "reduction_e8"), {"trader"}),
    "a fee that is too large": (_panic, _off_by_one(orders, "taker_fee_uusd"), {"fee"}),
    "a reaction before its time": (_panic, _always(traders, "_delay_us", 1), {"trader"}),
    "a trade that leaves an account due": (_panic, _unless_in_debt, {"trader"}),
    "a stop too near": (_comeback, _always(traders, "stop_distance_e6", 1_000), {"trader"}),
    "a gain too small": (_comeback, _always(traders, "gain_e8", 1), {"trader"}),
    "a leverage raised too far": (_comeback, _off_by_one(traders, "rebalancing_e8"), {"trader"}),
    "a halt seen closer": (forewarned, _off_by_one(halts, "closeness_e6"), {"trader"}),
    "a halt that is not seen": (forewarned, _always(halts, "closeness_e6", 999_999), {"trader"}),
    "a run before its time": (forewarned, _always(traders, "acts_from_e6", 1), {"trader"}),
    "a run too far": (forewarned, _off_by_one(traders, "reduction_e8"), {"trader"}),
    "a run too often": (forewarned, _often, {"trader"}),
    "a run from a level that cools down": (forewarned, _always_open, {"trader"}),
    "a return too early": (_comeback, _always(traders, "return_us", 170 * 10**6), {"trader"}),
    "a return at no leverage": (_comeback, _always(traders, "leverage_of", 0.5), {"trader"}),
    "a return too large": (_comeback, _always(traders, "return_size_uusd", 10**9), {"trader"}),
    "an arrival outside its windows": (newcomers, _always(arrivals, "is_inside", True), {"trader"}),
    "an arrival at no leverage": (newcomers, _always(arrivals, "leverage_of", 0.5), {"trader"}),
    "an arrival too large": (newcomers, _always(arrivals, "share_of_uusd", 10**9), {"trader"}),
    "an arrival out of turn": (newcomers, _out_of_turn, {"trader"}),
    "an arrival with more than one account": (newcomers, _used_twice, {"trader"}),
    "an arrival on the wrong side": (_newcomers_short, _all_long, {"trader"}),
    "a rebalancing off by one": (
        rebalanced,
        _off_by_one(rebalancing, "rebalancing_e8"),
        {"trader"},
    ),
    "a volatility unseen": (
        rebalanced,
        _always(rebalancing, "target_leverage_e6", 4 * 10**6),
        {"trader"},
    ),
}


@pytest.mark.parametrize("name", WRONG_TRADERS)
def test_a_log_of_wrong_traders_is_found_out(name: str, tmp_path: Path) -> None:
    story, wrong, expected = WRONG_TRADERS[name]
    with wrong():
        run_to_log(load(story()), tmp_path / "run.duckdb")

    found = codes(tmp_path / "run.duckdb")

    assert expected <= found


@pytest.mark.parametrize("story", [_panic, _comeback, rebalanced, newcomers, forewarned])
def test_a_log_of_right_traders_is_clean(story: Callable[[], Raw], tmp_path: Path) -> None:
    run_to_log(load(story()), tmp_path / "run.duckdb")

    assert verify(tmp_path / "run.duckdb") == []
