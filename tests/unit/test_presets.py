"""Words of a variant: what they stand for in a scenario, and that every scenario takes them."""

from decimal import Decimal
from typing import Any

import pytest
from support.scenarios import at, engine_cascade, listed, load, small_scenario

from liqsim.api import load_scenario, scenario_file, shipped
from liqsim.errors import ScenarioError, StudyError
from liqsim.scenario import scenario_from_toml
from liqsim.scenario.mitigations import MITIGATIONS, OTHERS
from liqsim.scenario.overrides import apply_overrides
from liqsim.study.presets import GENERATIONS, measure_of, settings_of, words
from liqsim.study.variants import read_variant

OWN = {"kind": "rate_limit", "max_usd": 500, "least_usd": 0}


def kinds_of(words: str, **changes: Any) -> list[str]:
    """Return the kinds of mitigations that a variant has in the crash of an engine."""
    raw = engine_cascade(**changes)
    variant = read_variant(words).resolved(load(raw))
    apply_overrides(raw, variant.settings, source="test")
    return [MITIGATIONS[type(spec)] for spec in load(raw).mitigations]


def test_words_take_the_place_of_what_the_scenario_has() -> None:
    assert kinds_of("as_is", mitigations=[OWN]) == ["rate_limit"]
    assert kinds_of("none", mitigations=[OWN]) == []
    assert kinds_of("breaker", mitigations=[OWN]) == ["breaker"]
    assert kinds_of("venue.tranches.share=1", mitigations=[OWN]) == ["rate_limit"]


def test_words_add_up_and_settings_come_after_them() -> None:
    variant = read_variant("mixed: breaker, grace, venue.tranches.share=0.5")

    assert kinds_of("breaker, grace") == ["breaker", "grace"]
    assert variant.resolved(load(engine_cascade())).settings[-1] == "venue.tranches.share=0.5"


def test_none_sets_nothing_where_there_is_nothing() -> None:
    assert settings_of(("none",), load(engine_cascade())) == ()


def test_what_a_kind_needs_in_usd_fits_the_scenario() -> None:
    scenario = load(engine_cascade())
    (setting,) = settings_of(("rate_limit",), scenario)

    assert measure_of(scenario).depth_usd == 30_000
    assert "max_usd = 15000.00" in setting
    assert "least_usd = 150.00" in setting


def test_rates_that_several_kinds_scale_stay_below_one() -> None:
    words = ("dynamic_margin", "grace", "stress_margin")
    with scenario_file("linear_cascade") as file:
        half = load_scenario(file)

    assert half.markets[0].highest_rate_e6 == 500_000
    assert "high" not in settings_of(("dynamic_margin",), half)[0]  # 1.5 times 0.5.
    assert settings_of(words, half)[0].count("high = 1.41") == 2  # The root of two, rounded down.
    assert "high" not in settings_of(words, load(engine_cascade()))[0]


def test_accounts_of_a_file_count_and_a_scenario_without_a_book_has_a_depth() -> None:
    raw = small_scenario(population={"accounts": listed(("one", "ETH", 10, 100, 500))})

    assert measure_of(load(raw)).interest_usd == 1_000
    assert measure_of(load(raw)).depth_usd == Decimal(10)


def test_each_generation_has_what_it_is_named_for() -> None:
    assert kinds_of("generation_1") == []
    assert set(kinds_of("generation_2")) == {"slices", "slippage_cap", "rate_limit", "backstop"}
    adaptive = {"dynamic_margin", "correlation_margin", "breaker", "delays", "grace"}
    assert adaptive <= set(kinds_of("generation_3"))


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_scenario_takes_every_word(name: str) -> None:
    with scenario_file(name) as file:
        base, refused = load_scenario(file), set()
        for word in set(words()) - set(OTHERS):  # Other tests may have registered some.
            settings = settings_of((word,), base)
            assert word in (*GENERATIONS, *MITIGATIONS.values()) or not settings
            try:
                load_scenario(file, overrides=settings)
            except ScenarioError:
                refused.add(word)

    refusable = {"predictive"}  # No word knows the file of a model.
    if base.venue.executor != "keepers":
        refusable.add("keeper_reward")  # Nobody could earn it.
    if base.coin_markets:
        refusable.add("batch_auction")  # Nobody bids for coins.
    assert refused <= refusable


def test_a_word_that_is_none_is_refused_with_the_nearest() -> None:
    with pytest.raises(StudyError, match="did you mean breaker"):
        read_variant("braker")


def test_a_resolved_scenario_has_no_words_left() -> None:
    raw = engine_cascade(mitigations=[OWN], end=at(180))
    text = load(raw).resolved_toml

    assert scenario_from_toml(text, source="again").resolved_toml == text


def test_a_word_that_is_none_is_refused_with_those_that_are() -> None:
    with pytest.raises(
        StudyError, match=r"'xyzzy' must have the form table.key=value or be one of"
    ):
        read_variant("xyzzy")


def test_a_key_of_a_mitigation_is_told_where_it_is() -> None:
    with pytest.raises(StudyError, match=r"that of crossing is mitigations\.1\.hold"):
        read_variant("grace, crossing, hold=10s")
    assert read_variant("crossing, mitigations.0.hold=10s").words == ("crossing",)
    assert read_variant("crossing, seed=3").settings == ("seed=3",)
