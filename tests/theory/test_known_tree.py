"""
R of a known tree: who comes from whom, and R_g, worked out on paper.

Two roots sell 100 and 200 USD. Three reports show the second's sale: 60, 90 and 30. One shows the
sale of 90: 45. So R is 180 / 300, then 45 / 180. When all has refilled, one more sells 80: nobody's
child, an episode of its own.
"""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from unit.handmade_log import ENGINE_TOML, NONE, SYSTEM, Story, e8, mark_set, us, usd, write

from liqsim.events import (
    DepthChanged,
    Executor,
    LiquidationTriggered,
    OrderFilled,
    Standing,
    TrancheStarted,
    UpdateReason,
)
from replay.log import Log

NAMES = ("ada", "bob", "cat", "dot", "eli", "fox", "gil")
HALF_LIFE = "0.3"


def tree(half_life: str = HALF_LIFE) -> Story:
    """Return the tree as a story; what is sold refills by half in *half_life* seconds."""
    story = Story(ENGINE_TOML, [*SYSTEM, *((name, "bucket", "crowd", 0) for name in NAMES)])
    story.add(3, NONE, DepthChanged(0, 10**6, us(half_life)))

    def mark(at: str, shows: str, name: str) -> None:
        event = mark_set(0, e8(90), UpdateReason.DEVIATION, us(shows), us(shows))
        story.add(at, NONE, event, name)

    def due(at: str, update: str, name: str, units: str) -> None:
        triggered = LiquidationTriggered(
            story.owner_id(name), 0, e8(units), e8(90), usd(-1), usd(1), e8(89),
            e8(90), usd(-1), usd(-1), 0, 0, 0, 0, Standing.FIRST_ORDER,
        )  # fmt: skip
        story.add(at, update, triggered, name)

    def sell(at: str, name: str) -> None:
        start = TrancheStarted(
            story.names[name], story.owner_id(name), 0, 1, -story[name].quantity_e8, e8(90),
            e8(89), Executor.ENGINE,
        )  # fmt: skip
        tranche = story.add(at, name, start)
        sold = -story[name].quantity_e8
        fill = OrderFilled(
            tranche, story.owner_id(name), 0, sold, sold, e8(100), sold, 0, e8(100), e8(100), e8(99)
        )
        story.add(at, tranche, fill, f"{name}_fill")

    mark("5.2", "5", "u0")
    due("5.2", "u0", "ada", "1")
    due("5.2", "u0", "bob", "2")
    sell("6.2", "ada")
    sell("6.2", "bob")
    mark("7.1", "7", "u1")
    due("7.1", "u1", "cat", "0.6")
    due("7.1", "u1", "dot", "0.9")
    sell("7.2", "cat")
    sell("7.2", "dot")
    mark("7.3", "7.2", "u2")  # Just before the sales of that instant.
    due("7.3", "u2", "eli", "0.3")
    mark("7.4", "7.35", "u3")
    due("7.4", "u3", "fox", "0.45")
    sell("7.5", "eli")
    sell("7.5", "fox")
    mark("19", "18.9", "u4")
    due("19", "u4", "gil", "0.8")
    sell("19.2", "gil")
    return story


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    with Log(write(tmp_path_factory.mktemp("tree") / "log.duckdb", tree())) as opened:
        yield opened


def test_every_liquidation_has_the_parent_that_its_report_shows(log: Log) -> None:
    story = tree()
    rows = log.sql(
        """
        select parent_fill_seq, parent_liquidation_seq, generation, episode, usd
        from genealogy order by liquidation_seq
        """
    ).fetchall()

    def of(parent: str) -> tuple[int, int]:
        return story.names[f"{parent}_fill"], story.names[parent]

    first, last = story.names["ada"], story.names["gil"]
    assert rows == [
        (None, None, 0, first, Decimal(100)),
        (None, None, 0, first, Decimal(200)),
        (*of("bob"), 1, first, Decimal(60)),
        (*of("bob"), 1, first, Decimal(90)),
        (*of("bob"), 1, first, Decimal(30)),
        (*of("dot"), 2, first, Decimal(45)),
        (None, None, 0, last, Decimal(80)),
    ]


def test_r_of_every_generation(log: Log) -> None:
    story = tree()
    rows = log.sql(
        "select episode, generation, liquidations, usd, r from generations order by all"
    ).fetchall()

    first, last = story.names["ada"], story.names["gil"]
    assert rows == [
        (first, 0, 2, Decimal(300), 0.6),
        (first, 1, 3, Decimal(180), 0.25),
        (first, 2, 1, Decimal(45), 0.0),
        (last, 0, 1, Decimal(80), 0.0),
    ]


def test_episodes_end_where_the_displacement_has_died_out(log: Log) -> None:
    rows = log.sql(
        """
        select liquidations, roots, usd, generations, largest_r,
            epoch(started_at)::integer % 86400, epoch_ms(ended_at) % 86400000
        from episodes order by episode
        """
    ).fetchall()

    assert rows == [
        (6, 2, Decimal(525), 3, 0.6, 5, 7_500),
        (1, 1, Decimal(80), 1, 0.0, 19, 19_200),
    ]


def test_r_over_time_counts_children_where_their_parents_are(log: Log) -> None:
    (row,) = log.sql(
        "select liquidations, usd, children, children_usd, r from reproduction"
    ).fetchall()

    assert row == (7, Decimal(605), 4, Decimal(225), pytest.approx(225 / 605))


def test_what_has_not_refilled_yet_makes_one_episode_of_it(tmp_path: Path) -> None:
    # 0.75 of a unit, sold at 7.5 s, falls below 1e-8 units after 26.2 half-lives.
    with Log(write(tmp_path / "log.duckdb", tree("0.5"))) as log:
        gil = log.sql("from genealogy order by liquidation_seq").fetchall()[-1]
        assert log.sql("select liquidations, generations from episodes").fetchall() == [(7, 4)]
    assert gil[7] == 3  # A child of fox, who sold last.


@pytest.mark.parametrize("change", [('"power_book"', '"no_impact"')])
def test_nobody_is_a_child_without_impact(change: tuple[str, str], tmp_path: Path) -> None:
    story = tree()
    story.toml = story.toml.replace(*change, 1)
    with Log(write(tmp_path / "log.duckdb", story)) as log:
        rows = log.sql("select parent_fill_seq, generation from genealogy").fetchall()
        episodes = log.sql("select count(*) from episodes").fetchall()

    assert rows == [(None, 0)] * 7
    assert episodes == [(7,)]
