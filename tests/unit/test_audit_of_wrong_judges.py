"""The audit of logs whose mitigations break their terms, and record truthfully what they did."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import patch

import attrs
import pytest
from support.scenarios import Raw, engine_cascade, load
from support.verdicts import codes

from liqsim.mechanics.mitigations import slices
from liqsim.mechanics.mitigations.pacing import Verdict
from liqsim.processes import judges, pacing
from liqsim.processes.context import MarketDesk
from liqsim.processes.flows import Flows
from liqsim.runner import run_to_log
from replay.verify import verify

Wrong = Callable[[], Any]
_DEPTH = {"kind": "slices", "law": "depth_share", "least_usd": 10}
_FIXED = {"kind": "slices", "amount_usd": 500, "least_usd": 1}
_SHARE = {
    "kind": "slices",
    "law": "participation",
    "least_usd": 10,
    "background_usd_per_hour": 2_000_000,
}
_WANG = {"kind": "slices", "law": "obizhaeva_wang", "parts": 5, "least_usd": 1}
_DELAYS = {"kind": "delays", "per_million": "10m"}
_CAP = {"kind": "slippage_cap", "max_slippage": Decimal("0.001"), "least_usd": 10}


def _scaled(where: Any, name: str, factor: float) -> Any:
    right = getattr(where, name)
    return patch.object(where, name, lambda *args, **kw: int(right(*args, **kw) * factor))


def _verdicts(change: Callable[[Verdict], Verdict], judge: Any) -> Any:
    right = judge.judge
    return patch.object(judge, "judge", lambda self, ask: change(right(self, ask)))


def silent() -> Any:
    """Decide, and tell nobody."""
    return patch.object(pacing.Pacing, "_record_verdict", lambda *_args: None)


@contextmanager
def impatient() -> Iterator[None]:
    """Say when a slice may be put up, and put it up a second earlier."""
    right = pacing.Pacing.grant

    def early(self: Any, ask: Any, cause: int) -> tuple[int, int]:
        at_us, size = right(self, ask, cause)
        is_later = at_us > ask.now_us + 1_000_000
        return (at_us - 1_000_000, size) if is_later else (at_us, size)

    with patch.object(pacing.Pacing, "grant", early):
        yield


@pytest.mark.parametrize(
    ("row", "wrong"),
    [
        (_FIXED, lambda: _scaled(judges, "size_e8", 1.5)),
        (_DEPTH, lambda: _scaled(MarketDesk, "depth_e8", 1.001)),
        (_DEPTH, lambda: _scaled(MarketDesk, "depth_e8", 0.999)),
        (_SHARE, lambda: _scaled(slices, "room_uusd", 1.01)),
        (_SHARE, lambda: _scaled(Flows, "traded_uusd", 0.5)),
        (_SHARE, lambda: _scaled(Flows, "forced_uusd", 0.5)),
        (_WANG, lambda: _scaled(slices, "refilled_e9", 0.9)),
        (_DELAYS, lambda: _scaled(judges, "pause_us", 0.5)),
        (_DELAYS, lambda: _scaled(Flows, "since_us", 0.9)),
        (_CAP, lambda: _scaled(judges, "within_slippage_e8", 1.1)),
        (_CAP, lambda: _scaled(judges, "within_slippage_e8", 0.9)),
        (_FIXED, silent),
        (_DEPTH, silent),
        (_SHARE, silent),
        (_WANG, silent),
        (_DELAYS, silent),
        (_CAP, silent),
        (_FIXED, impatient),
        (_DELAYS, impatient),
        (
            _DEPTH,
            lambda: _verdicts(
                lambda v: attrs.evolve(v, size_e8=v.size_e8 and v.size_e8 + 1), judges.Slicer
            ),
        ),
    ],
)
def test_a_mitigation_that_breaks_its_terms_is_found_out(
    tmp_path: Path, row: Raw, wrong: Wrong
) -> None:
    raw = engine_cascade() | {"mitigations": [row]}
    with wrong():
        run_to_log(load(raw), tmp_path / "run.duckdb")

    found = codes(tmp_path / "run.duckdb")
    # Whom nobody told that it waits is unresolved for no reason.
    assert found & {"decision", "tranche_spacing", "unresolved_state"}


@pytest.mark.parametrize("row", [_FIXED | {"interval": "6s"}, _DELAYS | {"max": "8s"}])
def test_who_waits_for_a_mitigation_has_no_turn_to_lose(tmp_path: Path, row: Raw) -> None:
    """An engine that sends one order at a time serves others while the first one waits."""
    raw = engine_cascade(venue__engine__orders_per_second=2) | {"mitigations": [row]}
    run_to_log(load(raw), tmp_path / "run.duckdb")

    assert verify(tmp_path / "run.duckdb") == []
