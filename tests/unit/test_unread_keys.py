"""Keys of a mitigation that another law, action or observable reads: refused, and not written."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from support.halting import when
from support.scenarios import Raw, load, small_scenario

from liqsim.errors import ScenarioError
from liqsim.scenario import load_scenario, scenario_from_toml
from liqsim.scenario.fields import key_of
from liqsim.scenario.mitigations import MITIGATIONS, Breaker, Slices
from liqsim.scenario.toml import dump


def _selected(cls: type[Any]) -> Iterator[tuple[str, str, tuple[str, ...], Any, tuple[str, ...]]]:
    """Yield key, key that selects it, words that read it, its default, and all words."""
    scalars = {key_of(a): a.metadata.get("scalar") for a in attrs.fields(cls)}
    for attribute in attrs.fields(cls):
        if "read_by" in attribute.metadata:
            selector, words = attribute.metadata["read_by"]
            scalar = attribute.metadata["scalar"]
            yield scalar.key, selector, words, scalar.default, scalars[selector].choices


CASES = [
    (kind, key, selector, word, value, word in words)
    for cls, kind in MITIGATIONS.items()
    for key, selector, words, value, choices in _selected(cls)
    for word in choices
]


def test_the_cases_are_those_that_are_known() -> None:
    assert {(kind, key) for kind, key, *_ in CASES} >= {
        ("slices", "amount_usd"),
        ("slices", "half_life"),
        ("keeper_reward", "per_minute_usd"),
        ("keeper_reward", "rate"),
        ("keeper_reward", "scarce_usd"),
        ("keeper_reward", "reference_usd"),
        ("keeper_reward", "distance"),
        ("breaker", "factor"),
        ("breaker", "notice"),
    }
    for cls in MITIGATIONS:  # A word that is none would have its key refused everywhere.
        for _, _, words, _, choices in _selected(cls):
            assert set(words) < set(choices)


@pytest.mark.parametrize(("kind", "key", "selector", "word", "value", "is_read"), CASES)
def test_a_key_is_taken_where_it_is_read_and_refused_elsewhere(
    kind: str, key: str, selector: str, word: str, value: Any, *, is_read: bool
) -> None:
    # Off, as a kind may need what this scenario has not.
    raw = small_scenario(mitigations=[{"kind": kind, selector: word, key: value, "on": False}])
    if is_read:
        load(raw)
        return
    with pytest.raises(ScenarioError) as refused:
        load(raw)

    assert f"mitigations.0.{key} = " in str(refused.value)
    assert f'has no effect: {selector} is "{word}", and only' in str(refused.value)


def test_the_error_names_file_key_value_and_who_reads_it(tmp_path: Path) -> None:
    row = {"kind": "slices", "law": "time_weighted", "share": 1, "amount_usd": 5}
    file = tmp_path / "mine.toml"
    file.write_text(dump(small_scenario(mitigations=[row])), encoding="utf-8")
    with pytest.raises(ScenarioError) as refused:
        load_scenario(file)

    why = 'has no effect: law is "time_weighted", and only'
    assert str(refused.value).splitlines() == [
        f'{file}: mitigations.0.amount_usd = 5 {why} "fixed" reads it',
        f'{file}: mitigations.0.share = 1 {why} "depth_share", "participation" read it',
    ]


def test_the_word_that_stands_there_by_default_counts() -> None:
    with pytest.raises(ScenarioError, match='law is "fixed", and only'):
        load(small_scenario(mitigations=[{"kind": "slices", "parts": 4}]))


def test_a_word_that_is_none_is_refused_for_itself() -> None:
    row = {"kind": "slices", "law": "evenly", "parts": 4}
    with pytest.raises(ScenarioError, match="law") as refused:
        load(small_scenario(mitigations=[row]))

    assert "parts" not in str(refused.value)


@pytest.mark.parametrize("observable", ["drawdown", "divergence"])
def test_what_looks_back_on_nothing_takes_no_window(observable: str) -> None:
    row = {"kind": "breaker", "when": [when(observable, 1) | {"window": "5s"}]}
    with pytest.raises(ScenarioError, match=r"when\.0\.window = .5s. has no effect"):
        load(small_scenario(mitigations=[row]))


@pytest.mark.parametrize(
    "row",
    [
        *(
            {"kind": "slices", "law": law}
            for law in attrs.fields(Slices).law.metadata["scalar"].choices
        ),
        *(
            {"kind": "breaker", "action": action, "when": [when("drawdown", 1)], "stages": [{}]}
            for action in attrs.fields(Breaker).action.metadata["scalar"].choices
        ),
    ],
)
def test_the_resolved_scenario_has_no_such_key_and_loads_again(row: Raw) -> None:
    text = load(small_scenario(mitigations=[row])).resolved_toml

    again = scenario_from_toml(text, source="again")
    assert again.resolved_toml == text
    assert again.mitigations == load(small_scenario(mitigations=[row])).mitigations
    assert ("factor = " in text) == (row.get("action") == "widen_margin")
    assert ("amount_usd = " in text) == (row.get("law") == "fixed")
