"""`liqsim compare`: variants on the same shocks, what they differ in, who gains and who loses."""

import json
from concurrent.futures.process import BrokenProcessPool
from decimal import Decimal
from pathlib import Path

import attrs
import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
from support.scenarios import HANDMADE, engine_cascade, keeper_race

from liqsim.cli.comparing import _cell, _shown
from liqsim.mitigations import Mitigation, register_mitigation
from liqsim.scenario.fields import text
from liqsim.scenario.mitigations import OTHERS
from liqsim.study import runs as studies
from liqsim.study.gains import Gain
from liqsim.study.presets import kinds
from liqsim.study.variants import read_variants
from replay.measures import MEASURES

SMALL = "small: venue.tranches.share=0.2, venue.tranches.spacing=5s"


@pytest.fixture
def race(stranger):
    """Give the file of a crash that keepers serve."""
    return stranger.write_scenario("race.toml", keeper_race())


def compared(stranger, *words):
    answer = stranger.says("compare", *words, "--jobs", 1, "--json")
    assert answer.exit_code == 0, answer.stderr
    return answer.json


def rows(log, sql):
    with duckdb.connect(log, read_only=True) as connection:
        return connection.execute(sql).fetchall()


def test_every_variant_is_the_run_that_its_settings_make(stranger, race):
    first, second = compared(stranger, race, "--with", "none", "--with", SMALL, "--keep", ".")
    words = ("--set", "venue.tranches.share=0.2", "--set", "venue.tranches.spacing=5s")
    for found, settings, log in ((first, (), "race_1.duckdb"), (second, words, "race_2.duckdb")):
        alone = stranger.says("run", race, *settings, "--json", "--out", f"alone_{log}").json
        own = {"log", "wall_seconds", "events_per_second"}
        assert {k: found[k] for k in alone if k not in own} == {
            k: v for k, v in alone.items() if k not in own
        }
        assert found["log"] == log
        assert stranger.says("verify", log).exit_code == 0
    assert [found["variant"] for found in (first, second)] == ["none", "small"]
    assert first["digest"] != second["digest"]
    prices = "from reference_prices order by all"
    assert rows("race_1.duckdb", prices) == rows("race_2.duckdb", prices)


def test_measures_are_what_the_log_says(stranger, race):
    (found,) = compared(stranger, race, "--with", "none", "--keep", ".")
    measures = found["measures"]

    assert list(measures) == list(MEASURES)
    taken = "race_1.duckdb"
    ((drawn,),) = rows(taken, "select sum(amount_usd) from fund_drawn")
    assert Decimal(measures["fund_used_usd"]) == (drawn or 0)
    ((open_, shut),) = rows(
        taken,
        "select (select sum(amount_usd) from cash_postings p join owners o using (owner_id)), "
        "(select count(distinct bucket_id) from liquidation_triggered)".replace(
            "amount_usd", "amount"
        ),
    )
    assert (open_, shut) == (0, measures["liquidated_accounts"])
    assert measures["amplification"] == found["amplification_eth"] > 1
    assert measures["largest_displacement"] == abs(found["largest_displacement_eth"]) > 0
    whole = Decimal(found["liquidated_usd"])
    for name in ("induced", "accelerated", "rule_induced"):
        share = float(Decimal(found[f"{name}_usd"]) / whole)
        assert measures[f"{name}_share"] == pytest.approx(share)
    shared = Decimal(found["haircut_usd"]) + Decimal(found["socialised_usd"])
    assert Decimal(measures["shared_losses_usd"]) == shared


def test_differences_are_to_the_first_and_gains_add_to_zero(stranger, race):
    first, second = compared(stranger, race, "--with", "none", "--with", SMALL)

    assert first["log"] is second["log"] is None
    assert {Decimal(str(v)) for v in first["differences"].values() if v is not None} == {Decimal(0)}
    assert {Decimal(row["net_usd"]) for row in first["gains"]} == {Decimal(0)}
    for name, value in second["differences"].items():
        one, other = first["measures"][name], second["measures"][name]
        assert (
            Decimal(str(value)) == Decimal(str(other)) - Decimal(str(one)) or value == other - one
        )
    nets = {row["group"]: Decimal(row["net_usd"]) for row in second["gains"]}
    assert sum(nets.values()) == 0
    assert any(nets.values())
    keepers = Decimal(second["keeper_profit_usd"]) - Decimal(first["keeper_profit_usd"])
    assert nets["keeper"] == pytest.approx(keepers, abs=Decimal("0.00001"))
    for row in second["gains"]:
        assert row["better"] + row["worse"] <= row["owners"]
        parts = Decimal(row["gained_usd"]) + Decimal(row["lost_usd"])
        assert Decimal(row["net_usd"]) == pytest.approx(parts, abs=Decimal("0.00001"))
    accounts = sum(row["owners"] for row in second["gains"] if row["group"].startswith("accounts"))
    assert accounts == first["accounts"]


def test_seeds_are_paired_and_processes_change_nothing(stranger, race):
    words = ("compare", race, "--with", "none", "--with", SMALL, "--seeds", 4, "--json")
    alone = stranger.starts(*words, "--jobs", 1).json
    together = stranger.starts(*words, "--jobs", 2).json
    for variant in (*alone, *together):
        for run in variant["runs"]:
            del run["wall_seconds"], run["events_per_second"]
    assert alone == together

    first, second = alone
    assert [run["seed"] for run in second["runs"]] == [0, 1, 2, 3]
    assert len({run["digest"] for run in second["runs"]}) == 4
    for name, about in MEASURES.items():
        pairs = [
            (float(here["measures"][name]), float(there["measures"][name]))
            for here, there in zip(second["runs"], first["runs"], strict=True)
            if here["measures"][name] is not None and there["measures"][name] is not None
        ]
        found = second["summaries"][name]
        if not pairs:
            assert found is None
            continue
        here, there = np.array(pairs).T
        assert found["runs"] == len(pairs)
        assert found["median"] == pytest.approx(np.median(here))
        worst = max(here) if about.is_worse_high else min(here)
        assert found["tail_mean"] == pytest.approx(worst)
        difference = found["median_difference"]
        assert difference["value"] == pytest.approx(np.median(here - there))
        assert difference["low"] <= difference["value"] <= difference["high"]
    assert {
        found["median_difference"]["high"] for found in first["summaries"].values() if found
    } == {0.0}
    assert sum(Decimal(row["net_usd"]) for row in second["gains"]) == 0


def test_others_face_what_the_first_variant_has_purged(stranger, cascade):
    words = (cascade, "--set", "path_mode=purged", "--keep", ".", "--with", "none", "--with", SMALL)
    first, second = compared(stranger, *words)

    assert first["baseline"] is None
    ((digest,),) = rows("cascade_1.duckdb", "select reference_digest from runs")
    assert second["baseline"] == digest
    prices = "from reference_prices order by all"
    assert rows("cascade_1.duckdb", prices) == rows("cascade_2.duckdb", prices)
    assert first["departure_eth"] > 0


def test_a_row_per_run_goes_into_a_file(stranger, cascade):
    words = ("--with", "none", "--with", SMALL, "--seeds", 2, "--jobs", 1, "-o", "runs.parquet")
    answer = stranger.says("compare", cascade, *words)
    assert answer.exit_code == 0, answer.stderr
    table = pq.read_table("runs.parquet")

    assert table.column_names == ["variant", "seed", "digest", *MEASURES]
    assert table["variant"].to_pylist() == ["none", "small", "none", "small"]
    assert table["seed"].to_pylist() == [0, 0, 1, 1]
    assert all(value > 0 for value in table["liquidated_usd"].to_pylist())


def test_a_person_sees_variants_side_by_side_and_who_pays(stranger, cascade, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    answer = stranger.says("compare", cascade, "--with", "none", "--with", SMALL, "--jobs", 1)

    lines = answer.stdout.splitlines()
    assert lines[0] == "engine_cascade, seed 1, path on_top: none | small"
    assert lines[1].startswith("none: b at the start of ETH is up to ")
    assert lines[3].split() == ["none", "small", "difference"]
    text = " ".join(answer.stdout.split())
    for about in MEASURES.values():  # In the table, or among those that are zero in all.
        assert about.label.removesuffix(", USD") in text
    assert "Zero or not defined in all: rule-induced share" in text
    assert any(line.startswith("liquidated, USD  ") for line in lines)
    assert "small against none: who gains and who loses, USD" in lines
    assert lines[-1].split() == ["all", "0.00"]
    assert stranger.files() == {"cascade.toml"}


def test_a_person_sees_medians_tails_and_intervals(stranger, cascade, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    words = ("--with", "none", "--with", SMALL, "--seeds", 2, "--jobs", 1)
    answer = stranger.says("compare", cascade, *words)

    assert "2 seeds" in answer.stdout.splitlines()[0]
    assert "median of differences to none" in answer.stdout
    assert "means over seeds" in answer.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "--with: nothing to compare"),
        (
            ("--with", "nothing"),
            "'nothing' must have the form table.key=value or be one of none, as_is, gen",
        ),
        (("--with", "none", "--with", "none"), "two variants are named 'none'"),
        (
            ("--with", "none", "--with", "a: venue.tranches.share=2"),
            "venue.tranches.share = 2 must be above 0 and at most 1",
        ),
        (
            ("--with", "a: venue.tranches.share=2"),
            "share = 2 must be above 0 and at most 1 (in the variant 'a')\n",
        ),
        (
            ("--set", "venue.fund.initial_usd=-1", "--with", "a: venue.tranches.share=1"),
            "(--set venue.fund.initial_usd=…)\n",
        ),
        (("--set", "venue.fund.initial_usd=-1", "--with", "as_is"), "initial_usd=…)\n"),
        (("--with", "none", "--with", "path_mode=purged"), "differ in path_mode: they do not face"),
        (
            ("--with", "none", "--with", "seed=5"),
            "differ in seed: they do not face the same shocks",
        ),
        (
            ("--with", "none", "--with", "seed=5", "--seed", 3),
            "seed=5: the seeds are given already",
        ),
        (("--with", "none", "--with", "end=2026-01-01T00:02:59Z"), "differ in end"),
        (
            ("--with", "none", "--set", "path_mode=purged", "--set", f"baseline='{'ab' * 32}'"),
            "the first variant is the others' baseline",
        ),
        (("--with", "none", "--seeds", 0), "--seeds 0: must be from 1 to 100000"),
        (("--with", "none", "--seeds", 2, "--seed", 1), "give one of them"),
        (("--with", "none", "--keep", "nowhere/deep"), "nowhere/deep: No such file or directory"),
        (("--with", "none", "-o", "nowhere/runs.parquet"), "nowhere"),
        (("--with", "none", "-o", "runs.csv"), "runs.csv: must end in .parquet"),
        (("--with", "none", "--measure", "pain"), "--measure pain: must be one of amplification"),
        (
            ("--with", "none", "--measure", "fee_usd"),
            "--measure fee_usd: is not known; did you mean fees_usd?",
        ),
        (("--with", "breker"), "'breker' is not known; did you mean breaker?"),
        (
            ("--with", "grace, crossing, hold='10s'"),
            "hold is no key of the scenario; that of crossing is mitigations.1.hold",
        ),
        (("--with", "none", "--json", "--markdown"), "--json and --markdown contradict"),
        (("--with", "none", "--with", "breaker, each"), "each must stand alone: --with each"),
        (("--with", "each", "--with", "each"), "two variants are named 'rate_limit'"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_runs(stranger, cascade, words, message):
    answer = stranger.says("compare", cascade, *words)

    assert answer.exit_code == 2
    assert message in answer.stderr
    assert stranger.files() == {"cascade.toml"}


def test_a_log_in_the_way_is_refused_before_anything_runs(stranger, cascade):
    Path("cascade_2.duckdb").touch()
    words = ("--with", "none", "--with", SMALL, "--keep", ".")
    answer = stranger.says("compare", cascade, *words)

    assert answer.exit_code == 2
    assert "cascade_2.duckdb: exists already" in answer.stderr
    assert stranger.files() == {"cascade.toml", "cascade_2.duckdb"}


def test_json_of_a_comparison_has_no_float_that_is_money(stranger, cascade):
    (found,) = compared(stranger, cascade, "--with", "none")

    for name, value in found["measures"].items():
        assert isinstance(value, str) is (MEASURES[name].kind == "usd" and value is not None)
    json.dumps(found, allow_nan=False)
    assert engine_cascade()["name"] == found["scenario"]


def test_who_arrives_is_held_against_whoever_arrived(stranger):
    raw = engine_cascade()
    raw["population"]["cohorts"]["crowd"]["traders"] = {
        "reaction": {"median": "1s", "p99": "1s"},
        "arrivals": {"per_hour": 900, "max_per_hour": 2_000, "accounts_max": 400, "dip_slope": 20},
    }
    file = stranger.write_scenario("arrivals.toml", raw)
    first, second = compared(stranger, file, "--with", "none", "--with", SMALL)

    (row,) = (row for row in second["gains"] if row["group"] == "accounts that arrived")
    assert row["owners"] == second["arrived_accounts"] > 5
    accounts = sum(row["owners"] for row in second["gains"] if row["group"].startswith("accounts"))
    start = second["accounts"] - second["arrived_accounts"]
    assert start == first["accounts"] - first["arrived_accounts"]
    assert accounts == second["accounts"] < start + 400
    assert sum(Decimal(row["net_usd"]) for row in second["gains"]) == 0


def test_a_run_that_is_killed_is_no_bug_of_ours(stranger, cascade, monkeypatch):
    def killed(*_arguments):
        raise BrokenProcessPool

    monkeypatch.setattr(studies, "_run", killed)
    answer = stranger.says("compare", cascade, "--with", "none", "--with", SMALL, "--jobs", 1)

    assert answer.exit_code == 2
    assert "error: a run was killed" in answer.stderr


def table_of(answer):
    """Return the rows of a table in Markdown by their first cell, and what stands under it."""
    assert answer.exit_code == 0, answer.stderr
    table, _, notes = answer.stdout.partition("\n\n")
    header, _, *rows = (
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()
    )
    return {row[0]: dict(zip(header[1:], row[1:], strict=True)) for row in rows}, notes


@attrs.frozen
class Needy(Mitigation):
    """
    A rule that cannot be without a file.

    Attributes:
        model: Which.
    """

    model: str = text("model")

    def judge(self, _seen):
        raise AssertionError


@pytest.mark.parametrize("name", ["engine_cascade", "keeper_race", "in_coins"])
def test_every_kind_stands_beside_what_is_named(stranger, name):
    file = stranger.write_scenario("any.toml", HANDMADE[name]())
    words = ("--with", "none", "--with", "generation_1", "--with", "each", "--markdown")
    words += ("--measure", "liquidated_usd", "--measure", "mitigation_acts")
    register_mitigation("needy", Needy)
    try:
        answer = stranger.says("compare", file, *words, "--jobs", 1)
    finally:
        OTHERS.pop("needy")
    rows, notes = table_of(answer)

    left_out = {line.split(": ")[0].removeprefix("Left out, ") for line in notes.splitlines()[1:]}
    assert "Left out, needy: mitigations.0.model" in notes
    # What needs a model, or keepers; linear contracts; or rates that leave room below one.
    assert left_out <= {
        "needy", "predictive", "keeper_reward", "crossing", "batch_auction",
        "dynamic_margin",
        "open_interest_margin", "concentration_margin", "correlation_margin", "stress_margin",
    }  # fmt: skip
    assert [*rows] == [
        "none", "generation_1", *(k for k in kinds() if k not in left_out)
    ]  # fmt: skip
    assert {tuple(row) for row in rows.values()} == {("liquidated, USD", "acts of mitigations")}
    first, *_ = notes.splitlines()
    same = first.removeprefix("Nothing happened otherwise than in none: ").rstrip(".").split(", ")
    acts = {kind: int(row["acts of mitigations"].replace(",", "")) for kind, row in rows.items()}
    assert acts["none"] == acts["generation_1"] == 0
    # No trace is left by who did nothing; who did something, did it to somebody.
    assert set(same) >= {kind for kind, count in acts.items() if not count} - {
        "none", "generation_1"
    }  # fmt: skip
    assert len(same) >= 4
    assert sum(count > 0 for count in acts.values()) >= 4
    assert (
        rows["breaker" if "breaker" in same else same[0]]["liquidated, USD"]
        == (rows["none"]["liquidated, USD"])
    )


def test_each_as_the_first_stands_behind_none_and_not_for_what_is_named():
    named = [variant.name for variant in read_variants(["each", "breaker", "none"])]

    assert named == ["none", *(k for k in kinds() if k != "breaker"), "breaker"]


def test_a_vault_that_never_acts_changes_nothing_and_one_that_does_does(stranger, cascade):
    vaults = [
        f"mitigations=[{{kind='backstop',purse_usd=99_000,position_limit_usd={limit}}}]"
        for limit in (0, 99_000)
    ]
    words = [word for vault in vaults for word in ("--with", vault)]
    none, idle, busy = compared(stranger, cascade, "--with", "none", *words, "--keep", ".")

    assert (none["is_same"], idle["is_same"], busy["is_same"]) == (True, True, False)
    assert idle["event_count"] == none["event_count"] + 1  # What the vault was given.
    assert idle["measures"]["mitigation_acts"] == 0 < busy["measures"]["mitigation_acts"]
    taken = rows("cascade_3.duckdb", "select count(*) from tranche_taken_over")
    assert busy["measures"]["mitigation_acts"] >= taken[0][0] > 0


def test_only_the_measures_that_were_asked_for_are_shown(stranger, cascade, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    words = ("--with", "none", "--with", SMALL, "--measure", "fees_usd", "--jobs", 1)
    lines = stranger.says("compare", cascade, *words).stdout.splitlines()

    table = lines[lines.index("") + 1 :]
    assert table[2].startswith("fees paid, USD ")
    assert table[3:5] == ["", "small against none: who gains and who loses, USD"]
    seeds = (*words[:-2], "--jobs", 1, "--seeds", 2, "--markdown")
    found, notes = table_of(stranger.says("compare", cascade, *seeds))
    several = compared(stranger, cascade, *words[:4], "--seeds", 2)
    assert [row["fees paid, USD"] for row in found.values()] == [
        f"{variant['summaries']['fees_usd']['median']:,.2f}" for variant in several
    ]
    assert notes.startswith("Medians over 2 seeds.")


def test_a_long_variant_is_a_number_in_tables_and_told_once(stranger, cascade):
    long = "mitigations=[{kind='breaker',when=[{observable='fall',above=0.01}],duration='15s'}]"
    words = ("--with", "none", "--with", long, "--measure", "halted_us", "--jobs", 1)
    answer = stranger.says("compare", cascade, *words)

    lines = answer.stdout.splitlines()
    assert lines[0].endswith(": none | #2")
    assert "".join(line.strip() for line in lines[1:3]) == f"#2: {long}"
    assert answer.stdout.count("breaker") == 1
    assert max(map(len, lines)) <= 80
    (row,) = (line for line in lines if line.startswith("time halted"))
    halted = compared(stranger, cascade, *words[:4])[1]["measures"]["halted_us"]
    assert row.split("  ")[-1].strip() == _cell("us", halted, sign=True)
    found, notes = table_of(stranger.says("compare", cascade, *words, "--markdown"))
    assert found["#2"] == {"time halted": _cell("us", halted)}
    assert f"#2: {long}" in notes.splitlines()


def test_a_duration_is_told_in_units_of_a_person():
    assert _cell("us", 15_000_000) == "15 s"
    assert (_cell("us", -90_000_000.4, sign=True), _cell("us", 90_000_000, sign=True)) == (
        "-1 m 30 s", "+1 m 30 s",
    )  # fmt: skip
    assert (_cell("us", 0, sign=True), _cell("us", None)) == ("0 s", "-")


def test_dust_of_rounding_has_no_row_but_is_in_the_sum():
    cent, dust = Decimal("0.01"), Decimal("0.009999")
    found = [
        Gain("makers", 1, 1, 0, cent, Decimal(0), cent),
        Gain("fund", 1, 0, 1, Decimal(0), -dust, -dust),
        Gain("treasury", 1, 0, 1, Decimal(0), dust - cent, dust - cent),
    ]

    assert [row[0] for row in _shown(found)] == ["makers", "all"]
    assert _shown(found)[-1][-1] == "0.00"


def test_what_deleveraging_spared_is_no_slippage(stranger):
    raw = HANDMADE["squeeze"]()
    (found,) = compared(
        stranger, stranger.write_scenario("s.toml", raw), "--with", "as_is", "--keep", "."
    )

    routes = dict(rows("s_1.duckdb", "select 'deleveraged', count(*) from position_deleveraged"))
    assert routes["deleveraged"] > 0
    measures = found["measures"]
    assert Decimal(measures["slippage_usd"]) > 0
    assert Decimal(measures["deleveraging_spared_usd"]) > 0
    assert Decimal(measures["takeover_discount_usd"]) == 0


def test_variants_that_change_nothing_have_no_tables(stranger, cascade):
    words = ("compare", cascade, "--with", "none", "--with", "as_is", "--jobs", 1)
    for seeds in ((), ("--seeds", 2)):
        said = stranger.says(*words, *seeds).stdout

        assert "Nothing happened otherwise than in none: as_is." in said
        assert "as_is against none" not in said
        assert "In brackets" not in said
        assert "median of differences" not in said
