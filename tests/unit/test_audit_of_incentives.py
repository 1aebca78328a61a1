"""What an audit finds where penalties are shared, or keepers paid, in another way than is said."""

from pathlib import Path
from typing import Any, Final

import attrs
import pytest
from support.scenarios import load, rewarded
from support.verdicts import codes_of

from liqsim.mechanics.mitigations.keeper_reward import Seen, owed_uusd, payable_uusd
from liqsim.mechanics.mitigations.penalty_routing import split_uusd
from liqsim.processes import incentives, venue
from liqsim.processes.context import MarketDesk
from liqsim.runner import run_to_log
from liqsim.scenario.mitigations import KeeperReward, PenaltyRouting
from replay.verify import verify

Patch = tuple[Any, str, Any]


def _one_to_the_keeper(spec: PenaltyRouting, penalty: int, *, has_keeper: bool) -> dict[str, int]:
    parts = split_uusd(spec, penalty, has_keeper=has_keeper)
    return parts | {"keeper": parts["keeper"] + 1, "treasury": parts["treasury"] - 1}


def _none_burnt(spec: PenaltyRouting, penalty: int, *, has_keeper: bool) -> dict[str, int]:
    return split_uusd(spec, penalty, has_keeper=has_keeper) | {"burn": 0}


def _a_little_more(spec: KeeperReward, seen: Seen) -> int:
    return owed_uusd(spec, seen) + 1


def _without_a_cap(spec: KeeperReward, *given: int) -> int:
    return payable_uusd(attrs.evolve(spec, max_uusd=10**17), *given)


def _without_a_window(spec: KeeperReward, *given: int) -> int:
    return payable_uusd(attrs.evolve(spec, max_window_uusd=10**17), *given)


def _twice_as_deep(*given: Any, **side: bool) -> int:
    return 2 * _depth(*given, **side)


_depth = MarketDesk.depth_e8
_seen = incentives.Incentives._seen


def _since_ever(self: Any, spec: Any, desk: Any, bucket: int, _since_us: int) -> Seen:
    return _seen(self, spec, desk, bucket, 0)


def _hopes(self: Any, offer: Any) -> incentives.Promise:
    return attrs.evolve(_promise(self, offer), penalty_uusd=10**9)


_promise = venue.Venue.promise


WRONG: Final[dict[str, tuple[Patch, str]]] = {
    "a keeper gets more": ((incentives, "split_uusd", _one_to_the_keeper), "penalty_routing"),
    "nothing is burnt": ((incentives, "split_uusd", _none_burnt), "penalty_routing"),
    "nothing is shared": ((incentives.Incentives, "route", lambda *_: None), "penalty_routing"),
    "more is owed": ((incentives, "owed_uusd", _a_little_more), "keeper_reward"),
    "no cap": ((incentives, "payable_uusd", _without_a_cap), "keeper_reward"),
    "no window": ((incentives, "payable_uusd", _without_a_window), "keeper_reward"),
    "nobody is paid": ((incentives.Incentives, "pay", lambda *_: None), "keeper_reward"),
    "a deeper book": ((MarketDesk, "depth_e8", _twice_as_deep), "keeper_reward"),
    "since the start": ((incentives.Incentives, "_seen", _since_ever), "keeper_reward"),
    "a keeper hopes": ((venue.Venue, "promise", _hopes), "keeper_profit"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_by_the_rules_is_found(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch, code = WRONG[name]
    monkeypatch.setattr(*patch)
    assert code in codes_of(rewarded(), tmp_path / "log.duckdb")


def test_nothing_is_found_otherwise(tmp_path: Path) -> None:
    run_to_log(load(rewarded()), tmp_path / "log.duckdb")

    assert verify(tmp_path / "log.duckdb") == []
