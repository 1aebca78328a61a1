"""
Whose sale brought a liquidation about: the views against a walk over the events, one by one.

The walk keeps the world's own books, looks each report up as of the instant that it shows, and
joins liquidations and fills into episodes by hand.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from property.test_ladder import World, run_into
from support.effort import cases
from support.floors import assert_floors
from support.scenarios import HANDMADE, Raw, scenarios

from liqsim.events import (
    BookSampled,
    CoinHaircutChanged,
    DepthChanged,
    Entry,
    FundingSet,
    InventorySold,
    LiquidationTriggered,
    MaintenanceChanged,
    OracleUpdated,
    OrderFilled,
    PositionDeleveraged,
    TranchesCrossed,
    TrancheStarted,
    TrancheTakenOver,
)
from liqsim.mechanics.liquidity import FrictionlessBook
from liqsim.world.markets import BookState

MANY_HELD = ("desk_takes", "vaulted", "pooled", "auctioned")
"""Runs in which one owner takes several slices over and sells them on together."""

Row = tuple[int, int | None, int | None, int, int, int]
"""Liquidation, parent fill, parent liquidation, generation, episode, USD in 1e-16."""


@attrs.frozen
class _Fill:
    seq: int
    at_us: int
    liquidation: int
    is_first_of_run: bool


def walked(  # noqa: PLR0915 — one branch per class
    world: World, census: Counter[str]
) -> list[Row]:
    """Return the genealogy of a run, from its events alone."""
    entries = world.entries
    states: list[list[BookState]] = [[calm] for calm in world.calm]
    fills: defaultdict[int, list[_Fill]] = defaultdict(list)
    joined: list[tuple[int, int]] = []
    parents: dict[int, tuple[int, int] | None] = {}
    usd: Counter[int] = Counter()
    sources = _sources(entries, census)
    for entry in entries:
        match entry.event:
            case DepthChanged() as e:
                state = states[e.market_id][-1]
                states[e.market_id].append(
                    state.with_depth(entry.sim_time_us, e.multiplier_e6, e.half_life_us)
                )
            case OrderFilled() | InventorySold() as e:
                state = states[e.market_id][-1]
                owner = _liquidation(entries, sources.get(entry.seq, entry))
                left = _left(world, e.market_id, state, entry.sim_time_us)
                if left:
                    joined.append((entry.seq, fills[e.market_id][-1].seq))
                census["runs of fills"] += not left
                joined.append((entry.seq, owner))
                fills[e.market_id].append(_Fill(entry.seq, entry.sim_time_us, owner, not left))
                states[e.market_id].append(
                    state.traded(entry.sim_time_us, e.quantity_e8, entry.seq)
                )
                if isinstance(e, OrderFilled):
                    usd[owner] += abs(e.quantity_e8) * e.price_e8
            case TrancheTakenOver() | PositionDeleveraged() as e:
                usd[_liquidation(entries, entry)] += abs(e.quantity_e8) * e.price_e8
            case TranchesCrossed() as e:
                for tranche in (e.tranche_seq, e.other_tranche_seq):
                    usd[entries[tranche].event.liquidation_seq] += abs(e.quantity_e8) * e.price_e8
            case LiquidationTriggered() as e:
                update = entries[entry.cause_seq].event
                shown = None
                if isinstance(update, OracleUpdated | BookSampled):
                    shown = _shown(world, states[e.market_id], fills[e.market_id], e, update)
                else:
                    assert isinstance(update, MaintenanceChanged | CoinHaircutChanged | FundingSet)
                    census["due to new rules"] += isinstance(update, MaintenanceChanged)
                    census["due to funding"] += isinstance(update, FundingSet)
                parents[entry.seq] = shown
                census["parent of another market's sale"] += bool(
                    shown and entries[shown[1]].event.market_id != e.market_id  # type: ignore[union-attr]
                )
                census["has a parent" if shown else "without a parent"] += 1
                if isinstance(update, OracleUpdated | BookSampled) and not shown:
                    shows_us = update.mark_shows_at_us
                    died_out = any(f.at_us < shows_us for f in fills[e.market_id])
                    census["a parent whose displacement has died out"] += died_out
                if shown:
                    joined.append((entry.seq, shown[0]))
    generations: dict[int, int] = {}
    for seq, parent in parents.items():
        generations[seq] = generations[parent[1]] + 1 if parent else 0
    episodes = _connected(list(parents), joined)
    census["generations"] += max(generations.values(), default=0)
    census["episodes"] += len(set(episodes.values()))
    return [
        (seq, *(parent or (None, None)), generations[seq], episodes[seq], usd[seq])
        for seq, parent in parents.items()
    ]


def _sources(entries: Sequence[Entry], census: Counter[str]) -> dict[int, Entry]:
    """
    Return the takeover from which most of each resale comes.

    The n-th unit that somebody gets goes against the n-th that goes out, whatever came between.
    """
    flows: defaultdict[tuple[int, int, bool], list[tuple[int, int, Entry]]] = defaultdict(list)
    for entry in entries:
        match entry.event:
            case TrancheTakenOver(keeper_id=owner, quantity_e8=ordered):
                change = -ordered
            case InventorySold(keeper_id=owner, quantity_e8=change):
                pass
            case _:
                continue
        flow = flows[owner, entry.event.market_id, change > 0]
        start = flow[-1][1] if flow else 0
        flow.append((start, start + abs(change), entry))
    found = {}
    for (owner, market, is_in), flow in flows.items():
        for start, end, entry in flow:
            if not isinstance(entry.event, InventorySold):
                continue
            parts = [
                (min(end, stop) - max(start, since), -other.seq, other)
                for since, stop, other in flows[owner, market, not is_in]
                if since < end and start < stop
            ]
            _, _, found[entry.seq] = max(parts)
            census["resales of several takeovers"] += len(parts) > 1
            census["resales of older takeovers"] += found[entry.seq].seq < entry.cause_seq
    return found


def _liquidation(entries: Sequence[Entry], entry: Entry) -> int:
    tranche = entries[entry.event.tranche_seq].event  # type: ignore[union-attr]
    assert isinstance(tranche, TrancheStarted)
    return tranche.liquidation_seq


def _left(world: World, market: int, state: BookState, at_us: int) -> bool:
    """Return whether something of what was consumed is left."""
    if isinstance(world.books[market], FrictionlessBook):
        return False
    return state.consumed_at(at_us) != 0.0


def _shown(
    world: World,
    states: Sequence[BookState],
    fills: Sequence[_Fill],
    trigger: LiquidationTriggered,
    update: OracleUpdated | BookSampled,
) -> tuple[int, int] | None:
    """Return the fill that a trigger's report shows, and the liquidation behind it."""
    before = [fill for fill in fills if fill.at_us < update.mark_shows_at_us]
    stood = states[0]
    for state in states[1:]:
        if state.at_us < update.mark_shows_at_us:
            stood = state
    if not before or not _left(world, trigger.market_id, stood, update.mark_shows_at_us):
        return None
    return before[-1].seq, before[-1].liquidation


def _connected(liquidations: list[int], joined: list[tuple[int, int]]) -> dict[int, int]:
    neighbours: defaultdict[int, set[int]] = defaultdict(set)
    for one, other in joined:
        neighbours[one].add(other)
        neighbours[other].add(one)
    found: dict[int, int] = {}
    for seq in liquidations:
        if seq in found:
            continue
        reach, waiting = {seq}, [seq]
        while waiting:
            new = neighbours[waiting.pop()] - reach
            reach |= new
            waiting += new
        found |= {node: seq for node in reach if node in set(liquidations)}
    return found


def viewed(world: World) -> list[Row]:
    """Return the genealogy of a run, from the view."""
    rows = world.log.sql(
        "select liquidation_seq, parent_fill_seq, parent_liquidation_seq, generation, episode, usd "
        "from genealogy order by liquidation_seq"
    ).fetchall()
    return [(*row[:5], int(row[5].scaleb(16))) for row in rows]


def check_sums(world: World, rows: Sequence[Row]) -> None:
    """Hold generations, episodes and reproduction against the rows that they sum."""
    usd: Counter[tuple[int, int]] = Counter()
    counts: Counter[tuple[int, int]] = Counter()
    for _, _, _, generation, episode, value in rows:
        usd[episode, generation] += value
        counts[episode, generation] += 1
    found = world.log.sql(
        "select episode, generation, liquidations, usd, next_usd, r from generations"
    ).fetchall()
    assert {(episode, generation): n for episode, generation, n, *_ in found} == dict(counts)
    for episode, generation, _, own, following, ratio in found:
        assert int(own.scaleb(16)) == usd[episode, generation]
        assert int(following.scaleb(16)) == usd[episode, generation + 1]
        right = usd[episode, generation + 1] / usd[episode, generation] if own else None
        assert ratio == (None if right is None else pytest.approx(right, rel=1e-9))
    totals = world.log.sql(
        "select sum(liquidations), sum(roots), sum(usd), max(generations) from episodes"
    ).fetchall()[0]
    children, born_usd, windowed = world.log.sql(
        "select sum(children), sum(children_usd), sum(usd) from reproduction"
    ).fetchall()[0]
    if rows:
        roots = sum(row[1] is None for row in rows)
        all_usd = sum(row[5] for row in rows)
        assert totals[:2] == (len(rows), roots)
        assert int(totals[2].scaleb(16)) == int(windowed.scaleb(16)) == all_usd
        assert totals[3] == max(row[3] for row in rows) + 1
        assert children == len(rows) - roots
        assert int(born_usd.scaleb(16)) == sum(row[5] for row in rows if row[1] is not None)


def test_the_genealogy_is_a_walk_over_the_events(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    census: Counter[str] = Counter()

    def it_is(raw: Raw) -> None:
        world = run_into(tmp_path_factory.mktemp("genealogy") / "run.duckdb", raw)
        with world.log:
            rows = walked(world, census)
            assert viewed(world) == rows
            check_sums(world, rows)

    @cases(24)
    @given(st.one_of(scenarios("engine"), scenarios("keepers")))
    def of_random_runs(raw: Raw) -> None:
        it_is(raw)

    for name in (*MANY_HELD, "engine_cascade", "keeper_race", "squeeze", "cross_crash", "rungs"):
        for half_life in ("5s", "200ms"):
            raw = HANDMADE[name]()
            for market in raw["markets"].values():
                if "half_life" in market["liquidity"]:
                    market["liquidity"]["half_life"] = half_life
            it_is(raw)
    of_random_runs()

    floors = {
        "has a parent": 200,
        "without a parent": 200,
        "a parent whose displacement has died out": 15,
        "generations": 55,
        "episodes": 140,
        "runs of fills": 75,
        "resales of several takeovers": 100,
        "resales of older takeovers": 100,
    }
    assert_floors(census, floors)
