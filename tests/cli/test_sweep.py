"""`liqsim sweep`: a grid over seeds into a file, which an interrupted sweep goes on with."""

import re
import shutil
from pathlib import Path

import duckdb
import pytest
from support.scenarios import engine_cascade
from support.stranger import Stranger

from liqsim.study import runs as studies
from liqsim.study import sweep as sweeping
from replay.measures import MEASURES

GRID = ("--grid", "venue.tranches.share=0.2,1", "--grid", "venue.fund.initial_usd=0,100000")


def rows(file, sql):
    with duckdb.connect(file, read_only=True) as connection:
        return connection.execute(sql).fetchall()


@pytest.fixture(scope="session")
def swept_original(tmp_path_factory):
    """Sweep four points and two seeds."""
    folder = tmp_path_factory.mktemp("swept")
    someone = Stranger(folder)
    file = someone.write_scenario("cascade.toml", engine_cascade())
    words = ("sweep", folder / file, *GRID, "--seeds", 2, "--jobs", 1, "-o", folder / "s.duckdb")
    answer = someone.says(*words)
    assert answer.exit_code == 0, answer.stderr
    assert "4 points; 8 runs made now, 8 in " in answer.stdout
    told = someone.says(*words, "--json").json
    assert (told["file"], told["runs_made"], told["runs"]) == (str(folder / "s.duckdb"), 0, 8)
    assert [point["venue_tranches_share"] for point in told["points"]] == [0.2, 0.2, 1, 1]
    assert all(point["liquidated_median_usd"] > 0 for point in told["points"])
    return folder / "s.duckdb"


@pytest.fixture
def swept(stranger, cascade, swept_original):
    """Give the file of that sweep."""
    shutil.copy(swept_original, "s.duckdb")
    return "s.duckdb"


def test_a_row_is_what_the_run_alone_comes_to(stranger, cascade, swept):
    settings = ("--set", "venue.tranches.share=1", "--set", "venue.fund.initial_usd=100000")
    alone = stranger.says(
        "run", cascade, *settings, "--seed", 1, "--json", "--out", "a.duckdb"
    ).json

    ((found,),) = rows(
        swept,
        "select {'digest': digest, 'liquidated_usd': liquidated_usd::varchar, "
        "'run_id': run_id, 'amplification_eth': amplification_eth, 'seed': seed} from runs "
        "where venue_tranches_share = 1 and venue_fund_initial_usd = 100000 and seed = 1",
    )
    assert found == {key: alone[key] for key in found}
    columns = {row[0] for row in rows(swept, "describe runs")}
    assert columns >= set(MEASURES) | {"lowest_market_eth", "first_liquidation_at"}
    assert stranger.files() == {"cascade.toml", "s.duckdb", "a.duckdb"}


def test_points_share_seeds_and_processes_change_nothing(stranger, cascade, swept):
    words = ("sweep", cascade, *GRID, "--seeds", 2, "--jobs", 2, "--quiet", "-o", "p.duckdb")
    assert stranger.starts(*words).stdout == "p.duckdb\n"

    sql = "select * exclude (wall_seconds, events_per_second) from runs order by point, seed"
    found = rows(swept, sql)
    assert [row[:4] for row in found] == [
        (point, seed, share, fund)
        for point, (share, fund) in enumerate([(0.2, 0), (0.2, 100_000), (1, 0), (1, 100_000)])
        for seed in (0, 1)
    ]
    assert found == rows("p.duckdb", sql)


def test_a_table_that_is_too_wide_is_told_in_parts(stranger, cascade, swept, monkeypatch):
    words = ("sweep", cascade, *GRID, "--seeds", 2, "-o", swept)
    told = {}
    for width in (300, 110, 60):
        monkeypatch.setenv("COLUMNS", str(width))
        told[width] = stranger.says(*words).stdout.split("\n\n")[:-1]
        assert max(len(line) for part in told[width] for line in part.splitlines()) <= width

    assert [len(parts) for parts in told.values()] == [1, 2, 3]
    assert [part.split()[0] for part in told[110]] == ["venue_tranches_share"] * 2
    assert [part.split()[0] for part in told[60]] == ["point"] * 3
    tails = rows(swept, "select unpaid_tail_usd from points")
    for line, (tail,) in zip(told[300][0].splitlines()[2:], tails, strict=True):
        assert float(line.split()[7].replace(",", "")) == pytest.approx(tail, abs=0.6)


def test_a_sweep_goes_on_where_it_stopped(stranger, cascade, swept, monkeypatch):
    with duckdb.connect(swept) as connection:
        whole = connection.execute("from runs order by all").fetchall()
        connection.execute("delete from runs where (point + seed) % 2 = 0")
    words = ("sweep", cascade, *GRID, "--jobs", 1, "-o", swept)
    again = stranger.says(*words, "--seeds", 2)

    assert again.stdout.endswith("4 points; 4 runs made now, 8 in s.duckdb\n")
    told = "select digest from runs order by point, seed"
    digests = [row[0] for row in rows(swept, told)]
    assert len(set(digests)) == len(digests) == len(whole)
    with duckdb.connect(swept, read_only=True) as connection:
        kept = connection.execute("select digest from runs order by all").fetchall()
    assert {d for (d,) in kept} == set(digests)
    # More seeds of the same grid: the others stay as they are.
    more = stranger.says(*words, "--seeds", 3)
    assert more.stdout.endswith("4 points; 4 runs made now, 12 in s.duckdb\n")
    # What has no run left to make makes none.
    monkeypatch.setattr(sweeping, "_insert", None)
    none = stranger.says(*words, "--seeds", 2)
    assert none.stdout.endswith("4 points; 0 runs made now, 12 in s.duckdb\n")


def test_an_interrupted_sweep_leaves_what_it_has(stranger, cascade, monkeypatch):
    insert, made = sweeping._insert, []

    def stop(*arguments):
        insert(*arguments)
        made.append(1)
        if len(made) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(sweeping, "_insert", stop)
    words = ("sweep", cascade, *GRID, "--seeds", 2, "--jobs", 1, "-o", "s.duckdb")
    stopped = stranger.says(*words)
    assert stopped.exit_code == 130
    assert "what was run is in s.duckdb; the same command goes on" in stopped.stderr
    assert rows("s.duckdb", "select count(*) from runs") == [(3,)]
    monkeypatch.setattr(sweeping, "_insert", insert)
    assert stranger.says(*words).stdout.endswith("5 runs made now, 8 in s.duckdb\n")


def test_views_of_a_sweep_are_the_figures_of_its_rows(swept):
    points = rows(swept, "select point, runs, p_bad_debt, p_deleveraged from points")
    for point, runs, bad, deleveraged in points:
        found = rows(
            swept,
            "select bad_debt_usd + unresolved_shortfall_usd, deleveraged_usd, fund_drawdown_usd "
            f"from runs where point = {point}",
        )
        assert runs == len(found) == 2
        assert bad == sum(row[0] > 0 for row in found) / 2
        assert deleveraged == sum(row[1] > 0 for row in found) / 2
        ((middle, most),) = rows(
            swept, f"select draw_50_usd, draw_max_usd from fund_sizing where point = {point}"
        )
        draws = [float(row[2]) for row in found]
        assert (middle, most) == pytest.approx((sum(draws) / 2, max(draws)))
    assert len(rows(swept, "select distinct draw_max_usd from fund_sizing")) > 1


def test_the_questions_of_the_docs_have_answers(swept):
    text = (Path(__file__).parents[2] / "docs" / "compare.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```text\n(-- .*?)```", text, re.DOTALL)
    heat, sizing = filter(str.strip, block.split(";"))

    assert len(rows(swept, heat)) == 2
    ((size, is_lower_bound),) = rows(swept, sizing)
    draws = rows(swept, "select fund_drawdown_usd from runs where point = 3 order by 1")
    assert (size, is_lower_bound) == (draws[1][0], False)


@pytest.fixture
def draws(swept):
    """Give a sweep whose first point has draws of 1 to 10 USD."""
    with duckdb.connect(swept) as connection:
        connection.execute(
            "create table ten as select * replace (s as seed, s + 1 as fund_drawdown_usd, "
            "5 as fund_lowest_usd, 0 as deleveraged_usd, 0 as unpaid_usd, 0 as slashed_usd, "
            "0 as haircut_usd, 0 as socialised_usd) "
            "from runs, range(0, 10) as t(s) where point = 0 and seed = 0"
        )
        connection.execute("delete from runs where point = 0")
        connection.execute("insert into runs by name select * exclude (s) from ten")
    return swept


@pytest.mark.parametrize(
    ("confidence", "fund"),
    [("0.95", 10), ("0.9", 9), ("0.7", 7), ("0.71", 8), ("0.7::double", 7), ("1e-9", 1), ("1", 10)],
)
def test_a_fund_is_sized_at_a_draw_that_suffices(draws, confidence, fund):
    found = rows(draws, f"select fund_usd, runs from fund_size({confidence}) where point = 0")

    assert found == [(fund, 10)]
    within = rows(
        draws, f"select avg((fund_drawdown_usd <= {fund})::int) from runs where point = 0"
    )
    assert within[0][0] >= float(confidence.partition(":")[0])


@pytest.mark.parametrize("confidence", ["0", "-0.5", "1.01", "95", "'nan'::double", "null"])
def test_a_confidence_that_is_none_is_refused(draws, confidence):
    with pytest.raises(duckdb.Error, match="confidence must be above 0 and at most 1"):
        rows(draws, f"from fund_size({confidence})")


@pytest.mark.parametrize(
    "setting",
    [
        "fund_lowest_usd = 0",
        "deleveraged_usd = 1",
        "unpaid_usd = 1",
        "slashed_usd = 1",
        "haircut_usd = 1",
        "socialised_usd = 1",
    ],
)
def test_a_fund_beside_which_others_paid_may_have_needed_more(draws, setting):
    with duckdb.connect(draws) as connection:
        connection.execute(f"update runs set {setting} where point = 0 and seed = 7")

    # The draw of 8 was cut off by the fund: nothing is known of quantiles from there on.
    for confidence, is_lower_bound in (("0.7", False), ("0.8", True), ("0.9", True)):
        sql = f"select is_lower_bound from fund_size({confidence}) where point = 0"
        assert rows(draws, sql) == [(is_lower_bound,)]
    assert rows(draws, "select p_capped from fund_sizing where point = 0") == [(0.1,)]


def test_a_sweep_with_other_measures_is_refused(stranger, cascade, swept):
    with duckdb.connect(swept) as connection:
        for view in ("points", "fund_sizing"):
            connection.execute(f"drop view {view}")
        connection.execute("create table less as select * exclude (slippage_usd) from runs")
        connection.execute("drop table runs")
        connection.execute("alter table less rename to runs")
    answer = stranger.says("sweep", cascade, *GRID, "--seeds", 2, "-o", swept)

    assert answer.exit_code == 2
    assert "s.duckdb: is a sweep of a version with other measures" in answer.stderr


def test_shocks_and_depth_make_a_grid(stranger, cascade):
    shock = '[{at=2026-01-01T00:00:30Z,fraction=%s,over="10s"}]'
    words = ("--grid", f"markets.ETH.shocks={shock % -0.1},{shock % -0.4}", "--jobs", 1)
    answer = stranger.says("sweep", cascade, *words, "-o", "s.duckdb")
    assert answer.exit_code == 0, answer.stderr

    found = rows("s.duckdb", "select markets_eth_shocks, lowest_reference_eth from runs order by 2")
    assert found[0][0] == shock % -0.4
    assert found[0][1] < found[1][1]


def test_a_file_from_which_nothing_came_is_no_obstacle(stranger, cascade):
    duckdb.connect("s.duckdb").close()
    answer = stranger.says("sweep", cascade, *GRID[:2], "--jobs", 1, "-o", "s.duckdb")

    assert answer.stdout.endswith("2 points; 2 runs made now, 2 in s.duckdb\n")


def test_a_purged_sweep_faces_what_the_scenario_itself_finds(stranger, cascade, monkeypatch):
    words = ("--set", "path_mode=purged", "--grid", "venue.tranches.share=0.2,1", "--jobs", 1)
    answer = stranger.says("sweep", cascade, *words, "-o", "s.duckdb")
    assert answer.exit_code == 0, answer.stderr
    found = stranger.says("run", cascade, *words[:2], "--seed", 0, "--out", "a.duckdb")
    assert found.exit_code == 0

    ((digest,),) = rows("a.duckdb", "select reference_digest from runs")
    assert rows("s.duckdb", "select distinct baseline from runs") == [(digest,)]
    made = []
    monkeypatch.setattr(studies, "_run", made.append)
    again = stranger.says("sweep", cascade, *words, "-o", "s.duckdb")
    assert again.stdout.endswith("2 points; 0 runs made now, 2 in s.duckdb\n")
    assert not made  # Not the base either.


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "--grid: nothing to vary"),
        (("--grid", "venue.tranches.share"), "must have the form table.key=VALUE,VALUE"),
        (("--grid", "venue.tranches.share=0.2,,1"), "must have the form table.key=VALUE,VALUE"),
        (("--grid", "venue.tranches.share=1,1"), "has 1 twice"),
        (("--grid", "venue.tranches.share=0.10,0.1"), "has 0.10 twice"),
        (("--grid", "path_mode=on_top,purged"), "is a column of what comes out"),
        ((*GRID, "--set", "seed=3"), "seed=3: the seeds are given already"),
        (
            ("--set", "path_mode=purged", "--grid", "markets.ETH.path.bridge_volatility=0,1"),
            "differ in markets.ETH.path: they do not face the same shocks",
        ),
        (("--grid", "seed=1,2"), "--seeds says which seeds there are"),
        (("--grid", "venue.tranches.share=0.5,2"), "share = 2 must be above 0 and at most 1"),
        ((*GRID, "--grid", "venue.tranches.share=0.1,0.3"), "is given twice"),
    ],
)
def test_what_cannot_be_swept_is_refused_before_there_is_a_file(stranger, cascade, words, message):
    answer = stranger.says("sweep", cascade, *words, "-o", "s.duckdb")

    assert answer.exit_code == 2
    assert message in answer.stderr
    assert stranger.files() == {"cascade.toml"}


def test_a_file_of_something_else_is_left_as_it_is(stranger, cascade, swept, log):
    other = stranger.write_scenario("other.toml", engine_cascade(venue__tranches={"share": 1}))
    for words, message in (
        ((other, *GRID, "-o", swept), "s.duckdb: is a sweep of another scenario"),
        ((cascade, *GRID[:2], "-o", swept), "s.duckdb: is a sweep of grid "),
        ((cascade, *GRID, "-o", log), "sealed.duckdb: is no sweep"),
        ((cascade, *GRID, "-o", cascade), "cascade.toml: must end in .duckdb"),
        ((cascade, *GRID, "-o", "nowhere/s.duckdb"), "there is no folder nowhere"),
    ):
        answer = stranger.says("sweep", *words)
        assert answer.exit_code == 2
        assert message in answer.stderr
    assert rows(swept, "select count(*) from runs") == [(8,)]
    for words in (("query", swept), ("verify", swept), ("outcome", swept)):
        answer = stranger.says(*words)
        assert answer.exit_code == 2
        assert "s.duckdb: is a sweep, not a log" in answer.stderr


def test_what_a_grid_sets_is_shown_in_full(stranger, cascade):
    grid = "venue.fund.initial_usd=100000,1000000"
    said = stranger.says("sweep", cascade, "--grid", grid, "--jobs", 1, "-o", "s.duckdb").stdout

    assert [line.split()[0] for line in said.splitlines()[2:4]] == ["100,000", "1,000,000"]
