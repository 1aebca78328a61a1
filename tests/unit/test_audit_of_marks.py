"""The audit of marks: a rule that decides otherwise, a wrong sample, rows that were changed."""

from pathlib import Path
from typing import Any
from unittest.mock import patch

import attrs
import pytest
from support.scenarios import load, own_marks
from support.verdicts import codes
from unit.handmade_log import tamper

from liqsim.events import MarkBasis
from liqsim.mechanics.mark import Marked, marked, premium_e9
from liqsim.processes import marks
from liqsim.runner import run_to_log
from liqsim.scenario.model import Mark


def codes_of_run(path: Path) -> set[str]:
    run_to_log(load(own_marks()), path)
    return codes(path)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Give the file of a run by the rules."""
    path: Path = tmp_path_factory.mktemp("marks") / "run.duckdb"
    assert codes_of_run(path) == set()
    return path.read_bytes()


def _changed(what: Any, **values: Any) -> Any:
    """Return a rule whose outcome of one basis is another."""

    def rule(*args: Any, **given: Any) -> Marked:
        right = marked(*args, **given)
        if right.basis is not what:
            return right
        return attrs.evolve(right, **{k: change(right) for k, change in values.items()})

    return patch.object(marks, "marked", rule)


@pytest.mark.parametrize("basis", [basis for basis in MarkBasis if basis is not MarkBasis.INDEX])
def test_a_mark_one_unit_off_is_found_out(basis: MarkBasis, tmp_path: Path) -> None:
    with _changed(basis, price_e8=lambda right: right.price_e8 + 1):
        assert codes_of_run(tmp_path / "run.duckdb") == {"mark_rule"}


def test_another_basis_than_decided_is_found_out(tmp_path: Path) -> None:
    with _changed(MarkBasis.GUARDED, basis=lambda _: MarkBasis.BLEND):
        assert codes_of_run(tmp_path / "run.duckdb") == {"mark_rule"}


def test_a_mark_that_shows_another_instant_is_found_out(tmp_path: Path) -> None:
    with _changed(MarkBasis.BLEND, shows_us=lambda right: max(right.shows_us - 1, 0)):
        assert "mark_rule" in codes_of_run(tmp_path / "run.duckdb")


def test_another_premium_is_found_out(tmp_path: Path) -> None:
    def too_large(*args: Any, **given: Any) -> int:
        return premium_e9(*args, **given) + 5

    with patch.object(marks, "premium_e9", too_large):
        assert codes_of_run(tmp_path / "run.duckdb") == {"mark_rule"}


def test_samples_that_are_not_the_market_price_are_found_out(tmp_path: Path) -> None:
    right = Mark.book_oracle.fget
    assert right is not None

    def half_seen(rule: Mark) -> Any:
        spec = right(rule)
        source = attrs.evolve(spec.sources[0], pass_through_e6=500_000)
        return attrs.evolve(spec, sources=(source,))

    with patch.object(Mark, "book_oracle", property(half_seen)):
        # What no displacement is seen in is seen before: the cause does not hang on the share.
        assert codes_of_run(tmp_path / "run.duckdb") == {"book_price"}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"period_us": 2_000_000}, "book_price"),
        ({"deviation_e6": 100}, "book_price"),
        ({"heartbeat_us": 9_000_000}, "book_price"),
        ({"smoothing_us": 8_000_000}, "mark_rule"),
        ({"book_weight_e6": 499_999}, "mark_rule"),
        ({"min_depth_e6": 300_000}, "mark_rule"),
        ({"max_index_age_us": 7_000_000}, "mark_rule"),
    ],
    ids=str,
)
def test_a_rule_that_is_not_the_stated_one_is_found_out(
    changes: dict[str, int], code: str, tmp_path: Path
) -> None:
    scenario = load(own_marks())
    (market,) = scenario.markets
    other = attrs.evolve(market, mark=attrs.evolve(market.mark, **changes))
    path = tmp_path / "run.duckdb"
    # The text in the manifest stays the one that was loaded.
    run_to_log(attrs.evolve(scenario, markets=(other,)), path)

    assert code in codes(path)


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("update book_sampled set price = price + 0.00001", "book_price"),
        ("update book_sampled set reason = 'heartbeat' where reason = 'deviation'", "book_price"),
        ("update book_sampled set index_price = index_price + 1", "mark_rule"),
        ("update book_sampled set shadow_price = shadow_price + 1", "book_price"),
        ("update book_sampled set shadow_mark = shadow_mark + 1", "mark_rule"),
        ("update book_sampled set shadow_premium = 0.5", "mark_rule"),
        ("update oracle_updated set book_price = book_price + 1", "mark_rule"),
        ("update oracle_updated set mark_shows_at = shows_at", "mark_rule"),
        ("update shadow_updated set premium = 0.5 where feed = 'oracle'", "mark_rule"),
        ("update shadow_updated set feed = 'book' where feed = 'oracle'", "book_price"),
        ("update shadow_updated set shadow_mark = shadow_mark + 1", "mark_rule"),
    ],
)
def test_changed_rows_are_found_out(
    statement: str, code: str, sound: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "changed.duckdb"
    path.write_bytes(sound)
    tamper(path, statement)

    assert {code, "batch_digest"} <= codes(path)
