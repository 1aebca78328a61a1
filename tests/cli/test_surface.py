"""`liqsim surface`: shock by depth, from the rows of a sweep to a picture."""

from importlib import util

import duckdb
import numpy as np
import pytest

from liqsim.study import sweep as sweeping
from liqsim.study.heat_map import HeatMap, draw, is_of

POINTS = ("--shock", "ETH=0,-0.3/20s", "--depth", "1,0.25", "--jobs", 1)


def rows(file, sql):
    with duckdb.connect(file, read_only=True) as connection:
        return connection.execute(sql).fetchall()


def test_a_point_is_what_a_stress_of_it_comes_to(stranger, cascade):
    answer = stranger.says("surface", cascade, *POINTS, "--seeds", 2, "-o", "s.duckdb")
    assert answer.exit_code == 0, answer.stderr
    assert answer.stdout.startswith("cascade: chance of bad debt, 2 seeds, share of runs\n")
    assert answer.stdout.endswith("4 points; 8 runs made now, in s.duckdb\n")

    alone = stranger.says(
        "stress", cascade, "--shock", "ETH=-0.3/20s", "--depth", "0.25", "--seeds", 2,
        "--jobs", 1, "--json",
    ).json  # fmt: skip
    found = rows(
        "s.duckdb",
        "select liquidated_usd::varchar, unpaid_usd > 0 from runs "
        "where shock = -0.3 and depth = 0.25 order by seed",
    )
    assert [row[0] for row in found] == [run["liquidated_usd"] for run in alone["runs"]]
    assert np.mean([row[1] for row in found]) == alone["p_bad_debt"]
    line = next(line for line in answer.stdout.splitlines() if line.split()[:1] == ["0.25"])
    assert line.split()[-2:] == [f"{100 * alone['p_bad_debt']:.0f}", "%"]
    # Neither shock nor thinner books: the scenario as it is.
    plain = stranger.says("run", cascade, "--seed", 1, "--json", "--out", "a.duckdb").json
    ((digest,),) = rows("s.duckdb", "select digest from runs where point = 0 and seed = 1")
    assert digest == plain["digest"]


def test_a_surface_goes_on_where_it_stopped_and_is_drawn(stranger, cascade, monkeypatch):
    insert, made = sweeping._insert, []

    def stop(*arguments):
        insert(*arguments)
        made.append(1)
        if len(made) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(sweeping, "_insert", stop)
    words = ("surface", cascade, *POINTS, "-o", "s.duckdb")
    stopped = stranger.says(*words)
    assert stopped.exit_code == 130
    assert "what was run is in s.duckdb; the same command goes on" in stopped.stderr
    monkeypatch.setattr(sweeping, "_insert", insert)
    more = (*words, "--measure", "unpaid_usd", "--plot", "s.png")
    again = stranger.says(*more)

    assert "unpaid" not in again.stdout
    assert "bad debt and open shortfall, seed 0, USD" in again.stdout
    assert "\n\nOne seed: no interval.\n\n" in again.stdout
    assert again.stdout.splitlines()[2].split() == ["depth", "\\", "shock", "0", "%", "-30", "%"]
    assert again.stdout.endswith("4 points; 1 run made now, in s.duckdb\n")
    assert (stranger.folder / "s.png").read_bytes().startswith(b"\x89PNG")
    # Of the same surface, it is drawn anew; of another, or what is no picture of ours, it stays.
    (stranger.folder / "other.png").write_bytes(drawn := (stranger.folder / "s.png").read_bytes())
    assert stranger.says(*more, "--seeds", 2).exit_code == 0
    assert (stranger.folder / "s.png").read_bytes() != drawn
    for words_of_another in (
        (*words, "--plot", "other.png"),
        (*more[:2], "--shock", "ETH=-0.3/20s", *more[4:-1], "other.png"),
        (*more[:-1], "cascade.toml.png"),
    ):
        (stranger.folder / "cascade.toml.png").write_text("mine")
        refused = stranger.says(*words_of_another)
        assert (refused.exit_code, refused.stderr.count("exists already")) == (2, 1)
    assert (stranger.folder / "other.png").read_bytes() == drawn
    other = stranger.says(*words[:2], "--shock", "ETH=0,-0.3/10s", *words[4:])
    assert "s.duckdb: is a sweep of grid" in other.stderr


def test_only_the_seeds_that_were_asked_for_are_shown(stranger, cascade):
    words = ("surface", cascade, "--shock", "ETH=-0.3/20s", "-o", "s.duckdb", "--jobs", 1)
    measure = ("--measure", "liquidated_usd")
    first = stranger.says(*words, *measure).stdout.splitlines()
    stranger.says(*words, *measure, "--seeds", 3)
    again = stranger.says(*words, *measure).stdout.splitlines()

    assert again[:-1] == first[:-1]
    assert rows("s.duckdb", "select count(*) from runs") == [(3,)]


@pytest.mark.parametrize(
    ("cells", "is_share"),
    [
        ([[0.0, 0.0], [0.0, 0.0]], False),
        ([[0.0]], True),
        ([[None, None]], False),
        ([[None, -2.0], [1e9, 3.0]], False),
    ],
)
def test_any_figures_can_be_drawn(tmp_path, cells, is_share):
    names = ["-10", "-30"]
    about = HeatMap(
        "a title that goes on and on until it is wider than any picture could ever be",
        "move of ETH, %", names[: len(cells[0])], "depth, ratio", names[: len(cells)],
        "USD", is_share, cells,
    )  # fmt: skip
    for form in ("png", "svg", "pdf"):
        draw(about, tmp_path / f"map.{form}", "the mark of it")
        assert is_of(tmp_path / f"map.{form}", "the mark of it")
        assert not is_of(tmp_path / f"map.{form}", "of another")
    text = (tmp_path / "map.svg").read_text(encoding="utf-8")
    assert text.count("<!-- move of ETH, % -->") == 1
    assert text.count("<!-- depth, ratio -->") == 1
    assert text.count("<!-- USD -->") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--shock", "ETH"), "--shock 'ETH': must have the form MARKET=FRACTION,FRACTION,…/DUR"),
        (("--shock", "ETH=-0.1,x/1m"), "must have the form MARKET=FRACTION,FRACTION,…/DURATION"),
        (("--shock", "ETH=-0.1,-0.10/1m"), "has -0.1 twice"),
        (("--shock", "BTC=-0.1/1m"), "--shock BTC: the scenario has the markets ETH"),
        (("--shock", "ETH=-0.1,-1/1m"), "fraction = -1 must be above -1"),
        (("--shock", "ETH=-0.1/10m"), "must be over when the run ends"),
        (("--shock", "ETH=-0.1", "--depth", "1,2"), "--depth 2: must be a number from 0.000001"),
        (("--shock", "ETH=-0.1", "--depth", "1,1.0"), "--depth '1,1.0': has 1 twice"),
        (("--shock", "ETH=-0.1", "--shock", "ETH=0"), "--shock ETH=0: is given twice"),
        (("--shock", "ETH=-0.1", "--depth", "1", "--depth", "0.5"), "--depth 0.5: is given twice"),
        (("--shock", "ETH=-0.1", "--measure", "pain"), "--measure pain: must be one of p_bad_debt"),
        (
            ("--shock", "ETH=-0.1", "--measure", "p_bad_det"),
            "--measure p_bad_det: is not known; did you mean p_bad_debt?",
        ),
        (("--shock", "ETH=-0.1", "--plot", "s.gif"), "s.gif: must end in .png, .svg, .pdf"),
        (("--shock", "ETH=-0.1", "--plot", "no/s.png"), "no/s.png: there is no folder no"),
        (("--shock", "ETH=-0.1", "--set", "path_mode=purged"), "path_mode is purged"),
        (("--shock", "ETH=-0.1", "--at", "noon"), "--at noon: must be a UTC time"),
    ],
)
def test_what_cannot_be_run_is_refused_before_there_is_a_file(stranger, cascade, words, message):
    answer = stranger.says("surface", cascade, *words, "-o", "s.duckdb")

    assert answer.exit_code == 2
    assert message in answer.stderr
    assert stranger.files() == {"cascade.toml"}


def test_without_matplotlib_a_picture_is_refused_first(stranger, cascade, monkeypatch):
    monkeypatch.setattr("liqsim.study.heat_map.find_spec", lambda _name: None)
    assert util.find_spec("matplotlib") is not None
    words = ("surface", cascade, *POINTS, "-o", "s.duckdb", "--plot", "s.png")
    answer = stranger.says(*words)

    assert answer.exit_code == 2
    assert "s.png: a picture needs matplotlib: pip install 'liqsim[plot]'" in answer.stderr
    assert stranger.files() == {"cascade.toml"}
