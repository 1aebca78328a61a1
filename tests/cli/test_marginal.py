"""`liqsim marginal`: what a dollar more of a cohort costs others, and what it owes itself."""

from decimal import Decimal

import pytest
from support.scenarios import at, changed, cohort, engine_cascade, knots, market, small_scenario

EXACT = {"median": 20, "sigma": 0, "min": 20, "max": 20}
CALM = {"median": 2, "sigma": 0, "min": 2, "max": 2}


def gap(**changes):
    """
    Return a market that jumps from 100 to 90, with a cohort at 20 x and one that is hardly geared.

    Ten thousand dollars at 20 x have 500 of collateral. At 90 they lose 1,000: 500 are missing,
    5 cents per dollar of notional, 500 bp. Nobody's sale moves the price.
    """
    raw = small_scenario(
        markets__ETH=market(
            path=knots((0, 100), (60, 100)),
            shocks=[{"at": at(10), "fraction": Decimal("-0.1")}],
        ),
        venue__waterfall__deleveraging="none",
        population__cohorts={
            "bold": cohort(notional_usd=10_000, leverage=EXACT),
            "calm": cohort(notional_usd=50_000, leverage=CALM),
        },
    )
    return changed(raw, changes)


def priced(stranger, raw, *words):
    file = stranger.write_scenario("any.toml", raw)
    answer = stranger.says("marginal", file, *words, "--jobs", 1, "--json")
    assert answer.exit_code == 0, answer.stderr
    return {row["cohort"]: row for row in answer.json}


@pytest.mark.parametrize(
    "changes",
    [
        {},  # Bad debt that is nobody's.
        {"venue__fund__initial_usd": 10_000},
        {"venue__waterfall__socialise": "notional"},
        {"venue__engine__outages": [[at(0), at(60)]]},  # It still has its position, and owes.
    ],
    ids=["nobody pays", "the fund pays", "the others pay", "still due"],
)
def test_a_cohort_pays_for_its_own_debts_apart_from_what_it_costs_others(stranger, changes):
    found = priced(stranger, gap(**changes))

    assert found["bold"]["debts_bp"] == pytest.approx(500, abs=0.01)
    assert found["bold"]["others_bp"] == pytest.approx(0, abs=0.01)
    assert found["bold"]["fee_bp"] == pytest.approx(500, abs=0.01)
    assert found["calm"]["debts_bp"] == 0
    assert found["calm"]["others_bp"] == pytest.approx(0, abs=0.01)


def joined(**law):
    """Return the same with four accounts that join the bold one, each as large, before the gap."""
    rate = {"per_hour": 50_000, "max_per_hour": 50_000, "accounts_max": 4}
    arrivals = rate | {"windows": [[at(2), at(8)]]} | law
    raw = gap(
        population__cohorts__bold__traders={
            "reaction": {"median": "1s", "p99": "1s"},
            "arrivals": arrivals,
        }
    )
    raw["population"]["cohorts"]["bold"]["accounts"] = 1
    return raw


def test_who_arrives_is_moved_as_well_and_counts(stranger):
    raw = joined()
    found = priced(stranger, raw, "--cohort", "bold")["bold"]

    log = stranger.says("run", "any.toml", "--out", "a.duckdb", "--json").json
    assert (log["arrived_accounts"], log["arrived_liquidated"]) == (4, 4)
    assert log["arrived_usd"] == "40000.000000"
    # Each of the five owes 500 bp of its notional, as the one does without the others.
    assert found["debts_bp"] == pytest.approx(500, abs=0.01)
    assert found["fee_bp"] == pytest.approx(500, abs=0.01)


def test_a_cohort_that_opens_no_more_has_no_price(stranger):
    file = stranger.write_scenario("gap.toml", gap())
    answer = stranger.says("marginal", file, "--by", "1e-11", "--jobs", 1)

    assert answer.exit_code == 2
    assert (
        "error: --by 1E-11: with seed 0 the cohort bold opened +0.000000 USD more" in answer.stderr
    )


def two_sorts(**changes):
    """Return the crash of an engine with a geared cohort and another beside it."""
    raw = engine_cascade(**changes)
    crowd = raw["population"]["cohorts"]["crowd"]
    calm = crowd | {"leverage": {"median": 5, "sigma": 0.2, "max": 8}, "long_share": 1}
    raw["population"]["cohorts"] = {"crowd": crowd | {"long_share": 1}, "calm": calm}
    raw["venue"]["waterfall"] = {"surplus_to": "fund", "deleveraging": "none"}
    raw["venue"]["fund"]["initial_usd"] = 10**8
    return raw


def test_others_are_those_outside_the_cohort_and_losses_those_of_the_logs(stranger):
    raw = two_sorts()
    found = priced(stranger, raw, "--cohort", "crowd", "--by", "0.2", "--seeds", 2)["crowd"]

    file, whole = "any.toml", []
    for seed in (0, 1):
        lost = []
        for notional in (300_000, 360_000):
            log = f"{notional}_{seed}.duckdb"
            words = ("--set", f"population.cohorts.crowd.notional_usd={notional}")
            stranger.says("run", file, *words, "--seed", seed, "--out", log)
            view = "select -sum(profit_usd) from owner_profits where cohort = 'calm'"
            answer = stranger.says("query", log, view, "--json").json
            covered = (
                "select coalesce(sum(p.amount_usd), 0) from loss_payers as p "
                "join liquidations as l using (liquidation_seq) "
                "where p.payer = 'fund' and l.cohort = 'calm'"
            )
            paid = stranger.says("query", log, covered, "--json").json
            lost.append(sum(float(next(iter(row[0].values()))) for row in (answer, paid)))
        whole.append((lost[1] - lost[0]) / 60_000 * 10_000)
    assert found["others_by_seed_bp"] == pytest.approx(whole, abs=1e-6)
    assert found["others_bp"] == pytest.approx(sum(whole) / 2)
    assert max(map(abs, whole)) > 1
    low, high = found["others_interval_bp"]
    assert low <= found["others_bp"] <= high
    assert found["fee_bp"] == pytest.approx(max(found["others_bp"] + found["debts_bp"], 0))


def test_one_seed_has_no_interval(stranger, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    file = stranger.write_scenario("gap.toml", gap())
    one = stranger.says("marginal", file, "--jobs", 1)
    assert one.exit_code == 0, one.stderr
    assert one.stdout.startswith("gap, 1 seed, notional moved by +10")
    assert "One seed has no interval." in one.stdout
    assert " to " not in one.stdout
    row = next(line for line in one.stdout.splitlines() if line.startswith("bold"))
    assert row.split() == ["bold", "1", "20", "10,000.00", "+0.00", "+500.00", "500.00"]
    assert priced(stranger, gap())["bold"]["debts_interval_bp"] is None

    two = stranger.says("marginal", file, "--seeds", 2, "--jobs", 1).stdout
    assert "+500.00 (+500.00 to +500.00)" in two
    assert "With 2 seeds an interval says little." in two


def test_less_of_a_cohort_is_as_good_as_more(stranger):
    more, less = (priced(stranger, gap(), "--by", by)["bold"] for by in ("0.1", "-0.1"))

    assert more["debts_bp"] == pytest.approx(less["debts_bp"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--cohort", "brave"), "--cohort brave: must be one of bold, calm"),
        (("--by", "0"), "--by 0: must be above -1, to 1000000000000, and not 0"),
        (("--by", "-1"), "--by -1: must be above -1, to 1000000000000, and not 0"),
        (("--by", "nan"), "--by NaN: must be above -1, to 1000000000000, and not 0"),
        (("--by", "1e30"), "--by 1E+30: must be above -1, to 1000000000000, and not 0"),
        (("--by", "much"), "--by much: must be a number above -1, and not 0"),
        (("--by", "1e9"), "population.cohorts.bold.notional_usd"),
        (("--set", "seed=3"), "seed=3: the seeds are given already"),
    ],
)
def test_what_cannot_be_moved_is_refused(stranger, words, message):
    file = stranger.write_scenario("gap.toml", gap())
    answer = stranger.says("marginal", file, *words)

    assert answer.exit_code == 2
    assert message in answer.stderr
    assert stranger.files() == {"gap.toml"}
