"""`liqsim stress`: a shock and thinner books on top of a scenario, over seeds."""

from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from support.scenarios import at, engine_cascade

from liqsim.api import load_scenario
from liqsim.study.stress import Stress, read_shock, settings_of

HARD = ("--shock", "ETH=-0.30/20s", "--depth", "0.25", "--jobs", 1)


def settled(file, stress):
    return load_scenario(file, overrides=settings_of(stress, load_scenario(file)))


def planned(file, *shocks, depth=None, moment=None):
    return Stress(Path(file), (), tuple(map(read_shock, shocks)), depth, moment, 1)


def test_shocks_come_behind_those_of_the_scenario_and_books_thin_from_then_on(stranger, cascade):
    moment = at(60)
    stress = planned(cascade, "ETH=-0.30/20s", "ETH=0.1", depth=Decimal("0.5"), moment=moment)
    before, found = load_scenario(cascade), settled(cascade, stress)

    (market,) = found.markets
    first, second = market.shocks[-2:]
    assert market.shocks[:-2] == before.markets[0].shocks
    assert (first.at_us, first.fraction, first.over_us) == (60_000_000, -0.3, 20_000_000)
    assert (second.at_us, second.fraction, second.over_us) == (60_000_000, 0.1, 0)
    told = [(row.at_us // 10**6, row.multiplier_e6) for row in market.liquidity.schedule]
    # 0.3 from 40 s on and 1 from 120 s on, both halved from 60 s on.
    assert told == [(40, 300_000), (60, 150_000), (120, 500_000)]
    lives = [row.half_life_us // 10**6 for row in market.liquidity.schedule]
    assert lives == [60, 60, 20]


def test_without_a_time_the_shock_begins_after_a_tenth(stranger, cascade):
    (market,) = settled(cascade, planned(cascade, "ETH=-0.5/1m")).markets

    assert market.shocks[-1].at_us == 18_000_000


def test_chances_and_tails_are_those_of_the_runs(stranger, cascade):
    words = ("stress", cascade, *HARD, "--seeds", 3)
    found = stranger.says(*words, "--json").json

    assert found["at"] == "2026-01-01T00:00:18.000000Z"
    runs = found["runs"]
    assert [run["seed"] for run in runs] == [0, 1, 2]
    lost = [float(r["bad_debt_usd"]) + float(r["unresolved_shortfall_usd"]) for r in runs]
    assert found["p_bad_debt"] == np.mean([x > 0 for x in lost]) > 0
    assert found["unpaid_tail_usd"] == pytest.approx(max(lost))
    assert found["p_deleveraged"] == np.mean([float(r["deleveraged_usd"]) > 0 for r in runs])
    text = stranger.says(*words).stdout
    assert text.startswith("engine_cascade, 3 seeds\nfrom 2026-01-01 00:00:18 UTC: ETH -30 % over")
    assert "chance of bad debt" in text
    assert "losses paid by nobody" in text


def test_a_run_is_the_scenario_with_those_settings(stranger, cascade):
    found = stranger.says("stress", cascade, *HARD, "--seeds", 1, "--json").json
    settings = settings_of(
        planned(cascade, "ETH=-0.30/20s", depth=Decimal("0.25")), load_scenario(cascade)
    )
    words = [word for setting in settings for word in ("--set", setting)]
    alone = stranger.says("run", cascade, *words, "--seed", 0, "--json", "--out", "a.duckdb").json

    assert found["runs"][0]["liquidated_usd"] == alone["liquidated_usd"]


def test_the_smallest_shock_is_just_above_the_limit(stranger, cascade):
    words = ("stress", cascade, "--shock", "ETH=-0.6/20s", "--seeds", 1, "--jobs", 1, "--json")
    limit = 1000
    found = stranger.says(*words, "--reverse", limit).json
    part = found["smallest_part"]
    assert 0 < part < 1

    def bad_debt(factor):
        fraction = Decimal("-0.6") * Decimal(factor)
        told = stranger.says(*words[:3], f"ETH={fraction}/20s", *words[4:]).json
        return told["unpaid_tail_usd"]

    assert bad_debt(part) > limit >= bad_debt(part - 1 / 256)
    assert stranger.says(*words, "--reverse", 1e9).json["smallest_part"] is None


def test_where_no_shock_is_needed_none_is_named(stranger):
    raw = engine_cascade(venue__fund__initial_usd=0, venue__waterfall={"deleveraging": "none"})
    file = stranger.write_scenario("poor.toml", raw)
    words = ("stress", file, "--shock", "ETH=-0.01", "--seeds", 1, "--jobs", 1, "--reverse", 0)

    assert stranger.says(*words, "--json").json["smallest_part"] == 0
    assert (
        "without any shock the worst 5 % have a bad debt above 0 USD"
        in stranger.says(*words).stdout
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "nothing to stress"),
        (("--shock", "ETH"), "must have the form MARKET=FRACTION/DURATION"),
        (("--shock", "ETH=-/1m"), "must have the form MARKET=FRACTION/DURATION"),
        (("--shock", "BTC=-0.3/1m"), "--shock BTC: the scenario has the markets ETH"),
        (("--shock", "ETH=-1/1m"), "fraction = -1 must be above -1"),
        (("--depth", "0"), "--depth 0: must be a number from 0.000001 to 1"),
        (("--depth", "thin"), "--depth thin: must be a number from 0.000001 to 1"),
        (("--depth", "nan"), "--depth nan: must be a number from 0.000001 to 1"),
        (("--shock", "ETH=-0.3/1m", "--reverse", "nan"), "--reverse nan: must be an amount of USD"),
        (
            ("--shock", "ETH=-0.3/10m"),
            "--shock ETH=-0.3/10m: must be over when the run ends, at 2026-01-01 00:03:00",
        ),
        (("--shock", "ETH=-0.3/1m", "--at", "noon"), "--at noon: must be a UTC time such as"),
        (("--shock", "ETH=-0.3/20x"), "(in the variant '--shock ETH=-0.3/20x')"),
        (("--shock", "ETH=-0.3/1m", "--set", "seed=2"), "seed=2: the seeds are given already"),
        (("--depth", "0.5", "--reverse", 1), "--reverse looks for a part of a shock"),
        (
            ("--shock", "ETH=-0.3/1m", "--at", "2027-01-01 00:00"),
            "must lie within the run, from 2026-01-01 00:00:00 to 2026-01-01 00:03:00",
        ),
        (("--shock", "ETH=-0.3/1m", "--set", "path_mode=purged"), "path_mode is purged"),
    ],
)
def test_what_cannot_be_stressed_is_refused(stranger, cascade, words, message):
    answer = stranger.says("stress", cascade, *words)

    assert answer.exit_code == 2
    assert message in answer.stderr
    assert len(answer.stderr.splitlines()) == 1
    assert stranger.files() == {"cascade.toml"}


def test_a_book_without_depth_cannot_be_thinned(stranger):
    raw = engine_cascade()
    raw["markets"]["ETH"]["liquidity"] = {"kind": "no_impact"}
    file = stranger.write_scenario("still.toml", raw)
    answer = stranger.says("stress", file, "--depth", "0.5")

    assert answer.exit_code == 2
    assert "the book of ETH is of kind no_impact, which has no depth" in answer.stderr
