"""Examples for a model of cascades: what was to be seen at each look, and what came after."""

from collections.abc import Callable, Iterator

import attrs

from liqsim.errors import LogError
from liqsim.eventlog.reader import LogReader
from liqsim.events import (
    Action,
    DecisionRecorded,
    DepthChanged,
    Entry,
    InventorySold,
    LeverageFeePaid,
    OrderFilled,
    TradeFilled,
)
from replay.audit.depth import MarketDepth
from replay.audit.findings import Findings
from replay.fold import Fold
from replay.sights import Seen, Sight, sum_between
from replay.terms import read_terms

_E6 = 10**6


@attrs.frozen
class Looks:
    """
    When and how a log is looked at, and what counts as a cascade.

    Attributes:
        period_us: From one look to the next; the first is one period after the start.
        window_us: How far back flows and volatility look.
        distance_e6: How far from the price depth and ladder reach, as a share of it.
        horizon_us: A cascade comes within this time after a look.
        above_e6: It is forced flow of more than so many times the depth at the look.
    """

    period_us: int
    window_us: int
    distance_e6: int
    horizon_us: int
    above_e6: int


@attrs.frozen
class Example:
    """
    One look at one market.

    Attributes:
        market_id: The market.
        at_us: When.
        seen: What was to be seen.
        is_cascade: Whether a cascade came within the horizon.
    """

    market_id: int
    at_us: int
    seen: Seen
    is_cascade: bool


def examples(log: LogReader, looks: Looks) -> list[Example]:
    """
    Return every look at every market of a sealed log whose horizon lies within the run.

    A look sees what a venue saw: events before its instant and, in it, changes of depth and fees,
    which come first. What came after is read for the label alone.

    Raises:
        LogError: The run has not come to its end.
    """
    if log.manifest.status != "sealed":
        message = f"{log.path}: is {log.manifest.status}, a run to train on must be sealed"
        raise LogError(message)
    terms, fold, paths = read_terms(log.manifest.scenario_toml), Fold(), log.reference_prices()
    given = log.historical_prices() or paths
    depths = {
        market: MarketDepth(terms.markets[market], int(prices[0]), Findings())
        for market, (_, prices) in given.items()
    }
    buckets = {o.owner_id: o.market_id for o in log.owners if o.kind == "bucket"}
    sight = Sight(terms, buckets, fold, depths, paths)
    found: list[tuple[int, int, Seen]] = []
    next_us = looks.period_us

    def look_until(is_over: Callable[[int], bool]) -> None:
        nonlocal next_us
        while is_over(next_us):
            for market in range(len(terms.markets)):
                seen = sight.look(market, next_us, looks.window_us, looks.distance_e6)
                found.extend((market, next_us, likeliest) for likeliest in seen[:1])
            next_us += looks.period_us

    for entry in log.entries():
        look_until(lambda at_us, e=entry: _is_past(at_us, e))  # type: ignore[misc]
        moves = fold.apply(entry)
        _note_depth(depths, entry)
        sight.note(entry, moves)
    look_until(lambda at_us: at_us < terms.end_us)
    return list(_labelled(found, sight, looks, terms.end_us))


def _is_past(at_us: int, entry: Entry) -> bool:
    """Return whether a look at an instant comes before an event."""
    if entry.sim_time_us != at_us:
        return at_us < entry.sim_time_us
    e = entry.event
    is_charge = isinstance(e, DecisionRecorded) and e.action is Action.CHARGED
    return not (is_charge or isinstance(e, DepthChanged | LeverageFeePaid))


def _note_depth(depths: dict[int, MarketDepth], entry: Entry) -> None:
    e = entry.event
    if isinstance(e, DepthChanged):
        depths[e.market_id].changed(entry, e)
    elif isinstance(e, OrderFilled | TradeFilled | InventorySold):
        depths[e.market_id].filled(entry, e)


def _labelled(
    found: list[tuple[int, int, Seen]], sight: Sight, looks: Looks, end_us: int
) -> Iterator[Example]:
    for market, at_us, seen in found:
        until_us = at_us + looks.horizon_us
        if until_us <= end_us:
            forced = sum_between(sight.forced[market], at_us, until_us)
            is_cascade = forced * _E6 > seen.depth_uusd * looks.above_e6
            yield Example(market, at_us, seen, is_cascade)
