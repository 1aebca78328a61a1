"""
The markets' books for SQL: what flow has done to each, and what would then move its price.

Views join and add up; what a view cannot say in plain SQL is a function here, taken from the
scenario in the manifest and from nothing that decides. Each is a scalar function of whole columns,
as lists in the order of the events, so that a long log costs one call.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final

import attrs

from liqsim.eventlog.reader import LogReader
from replay.audit.shapes import FlatShape, Shape, shape_of
from replay.terms import Terms, read_terms

_E6: Final = 10**6
_E8: Final = 10**8
_Ints = Sequence[int]
_HALVINGS: Final = 200
"""More than a float has digits: a bisection ends by itself before."""


@attrs.frozen
class _Flow:
    """
    What flow has done to a book, as of one instant, in 1e-8 units.

    Attributes:
        consumed_e8: Volume not yet refilled, signed.
        net_e8: Volume ever traded, signed.
        bought_e8: What buyers took and has not refilled, by itself.
        sold_e8: What sellers took, likewise.
        multiplier: Depth as a multiple of the calm depth.
    """

    consumed_e8: float
    net_e8: int
    bought_e8: float
    sold_e8: float
    multiplier: float


_Row = tuple[int, int, int, int]
"""
Microseconds since the start, signed fill, new multiplier in 1e-6, new half-life.

A fill has no multiplier; a row with neither only looks.
"""


@attrs.frozen
class _Book:
    """A market's book: its shape, and how fast it refills at the start."""

    shape: Shape
    half_life_us: int

    def flows(self, rows: Iterable[_Row]) -> Iterator[tuple[float, int, float, float, float]]:
        """Yield the values of a `_Flow` just before each row."""
        consumed, net, bought, sold = 0.0, 0, 0.0, 0.0
        since, half_life, depth_e6 = 0, self.half_life_us, _E6
        for instant, quantity, multiplier_e6, next_half_life in rows:
            if instant > since:
                left = math.exp2((since - instant) / half_life)
                consumed, bought, sold = consumed * left, bought * left, sold * left
                # Less than a unit counts as refilled; time alone sweeps it.
                consumed = consumed if abs(consumed) >= 1.0 else 0.0
                bought = bought if bought >= 1.0 else 0.0
                sold = sold if sold >= 1.0 else 0.0
                since = instant
            yield consumed, net, bought, sold, depth_e6 / _E6
            if multiplier_e6 > 0:
                kept = min(multiplier_e6 / depth_e6, 1.0)
                consumed, bought, sold = consumed * kept, bought * kept, sold * kept
                depth_e6, half_life = multiplier_e6, max(next_half_life, 1)
            else:
                consumed += quantity
                net += quantity
                bought += max(quantity, 0)
                sold += max(-quantity, 0)

    def room(self, sign: int, flow: _Flow) -> float:
        """Return the units in 1e-8 that buyers (1) or sellers (-1) can still get; may be inf."""
        taken = flow.bought_e8 if sign > 0 else flow.sold_e8
        room = self.shape.capacity(sign, flow.multiplier) - sign * flow.consumed_e8
        return max(min(room, self.shape.own(flow.multiplier) - taken), 0.0)

    def move(self, sign: int, units_e8: float, flow: _Flow) -> float:
        """Return by how much *units_e8* would move the log price in their direction."""
        moved, traded = self.shape.moved, sign * units_e8
        before = float(moved(flow.consumed_e8, flow.net_e8, flow.multiplier))
        after = moved(flow.consumed_e8 + traded, flow.net_e8 + traded, flow.multiplier)
        return abs(float(after) - before)

    def depth(self, sign: int, distance: float, flow: _Flow) -> float:
        """Return the units that move the log price by at most *distance*, within the room."""
        low, high = 0.0, self.room(sign, flow)
        if self.move(sign, high, flow) <= distance:
            return high
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            if middle in (low, high):
                break
            if self.move(sign, middle, flow) <= distance:
                low = middle
            else:
                high = middle
        return low


def _flow_of(state: Mapping[str, Any]) -> _Flow:
    return _Flow(
        consumed_e8=state["consumed"] * _E8,
        net_e8=round(state["net"] * _E8),
        bought_e8=state["bought"] * _E8,
        sold_e8=state["sold"] * _E8,
        multiplier=state["multiplier"],
    )


def generations_of(seqs: _Ints | None, parents: _Ints | None) -> list[int]:
    """
    Return how many ancestors each of *seqs*, in rising order, has; -1 is no parent.

    >>> generations_of([3, 5, 8, 9], [-1, 3, 5, 3])
    [0, 1, 2, 1]
    """
    known: dict[int, int] = {-1: -1}
    for seq, parent in zip(seqs or (), parents or (), strict=True):
        known[seq] = known.get(parent, -1) + 1
    return [known[seq] for seq in seqs or ()]


def components_of(left: _Ints | None, right: _Ints | None) -> list[int]:
    """
    Return the least number of the connected set that each of *left* is in.

    >>> components_of([1, 2, 3, 4], [7, 8, 7, 4])
    [1, 2, 1, 4]
    """
    above: dict[int, int] = {}

    def top(node: int) -> int:
        while (parent := above.setdefault(node, node)) != node:
            above[node] = node = above[parent]
        return node

    for one, other in zip(left or (), right or (), strict=True):
        low, high = sorted((top(one), top(other)))
        above[high] = low
    return [top(node) for node in left or ()]


def sources_of(seqs: _Ints | None, changes: _Ints | None) -> list[int]:
    """
    Return, for each change of what somebody holds, the one from which most of it comes.

    What has been held longest goes first. Whoever closes nothing comes from itself.

    >>> sources_of([1, 2, 5, 6], [40, 60, -50, -50])
    [1, 2, 1, 2]
    """
    held: deque[tuple[int, int]] = deque()
    found = []
    for seq, change in zip(seqs or (), changes or (), strict=True):
        source, most, left = seq, 0, change
        while left and held and (held[0][1] > 0) is not (left > 0):
            first, units = held.popleft()
            closed = min(abs(units), abs(left))
            if closed > most:
                source, most = first, closed
            left += closed if left < 0 else -closed
            if abs(units) > closed:
                held.appendleft((first, units - closed if units > 0 else units + closed))
        if left:
            held.append((seq, left))
        found.append(source)
    return found


_STATE: Final = "struct(consumed double, net double, bought double, sold double, multiplier double)"
_ROWS: Final = ("bigint[]",) * 4

Function = tuple[str, Callable[..., Any], Sequence[str], str]
"""Name, function, types of its parameters, type of its result."""


def statements(terms: Terms | None, in_force: Iterable[tuple[int, int]] = ()) -> Iterator[str]:
    """
    Yield the tables of parameters that views read; empty without *terms*.

    Maintenance is tabled for every (market, multiplier in 1e-6) *in_force* at some time.
    """
    markets = terms.markets if terms is not None else ()
    due_at_zero = terms is not None and terms.due_at_zero
    books = [
        (
            number,
            market.depth is not None,
            due_at_zero,
            market.rule.unrealised_haircut_e6,
            market.rule.coin_haircut_e6,
            market.rule.is_inverse,
        )
        for number, market in enumerate(markets)
    ]
    columns = (
        "market_id int, has_impact bool, due_at_zero bool, unrealised_haircut_e6 hugeint, "
        "coin_haircut_e6 hugeint, is_inverse bool"
    )
    yield _table("scenario_books", columns, books)
    by_size, by_notional = [], []
    for number, market in enumerate(markets):
        changed = {multiplier_e6 for of, multiplier_e6 in in_force if of == number}
        for multiplier_e6 in sorted({10**6, *changed}):
            below = less_e22 = 0
            for start, rate in market.rule_at(multiplier_e6).tiers:
                less_e22 += (rate - below) * start * 10**10
                if market.rule.is_by_notional:
                    by_notional.append((number, multiplier_e6, rate, less_e22))
                else:
                    by_size.append((number, multiplier_e6, start, rate - below))
                below = rate
    columns = "market_id int, multiplier_e6 bigint, start_e8 hugeint, step_e6 hugeint"
    yield _table("scenario_tiers", columns, by_size)
    columns = "market_id int, multiplier_e6 bigint, rate_e6 hugeint, less_e22 hugeint"
    yield _table("scenario_notional_tiers", columns, by_notional)

    yield _table("mitigations", "mitigation_id int, name varchar, kind varchar", [])
    for number, row in enumerate(terms.mitigations if terms is not None else ()):
        # Names are the user's: letters, digits and the like, checked when the scenario was loaded.
        name, kind = (text.replace("'", "''") for text in (row.name, row.kind))
        yield f"insert into mitigations values ({number}, '{name}', '{kind}')"


def _table(name: str, columns: str, rows: Sequence[tuple[Any, ...]]) -> str:
    values = ", ".join(f"({', '.join(map(str, row))})" for row in rows)
    insert = f"; insert into {name} values {values}" if rows else ""
    return f"create or replace temp table {name} ({columns}){insert}"


def functions(terms: Terms | None, starts_e8: Mapping[int, int]) -> Iterator[Function]:
    """Yield the functions that views call, for the books of *terms* that start at *starts_e8*."""
    markets = terms.markets if terms is not None else ()
    flat = _Book(FlatShape(), 1)
    books = {
        number: _Book(shape_of(market.depth, starts_e8[number]), max(market.depth.half_life_us, 1))
        for number, market in enumerate(markets)
        if market.depth is not None and starts_e8.get(number)
    }

    def residual_path(
        market_id: int, instants_us: _Ints, quantities: _Ints, multipliers: _Ints, lives: _Ints
    ) -> list[float]:
        if market_id not in books:
            return [0.0] * len(instants_us)
        rows = zip(instants_us, quantities, multipliers, lives, strict=True)
        return [flow[0] for flow in books[market_id].flows(rows)]

    def book_state(
        market_id: int,
        at_us: int,
        instants_us: _Ints,
        quantities: _Ints,
        multipliers: _Ints,
        lives: _Ints,
    ) -> dict[str, float]:
        rows = zip(instants_us, quantities, multipliers, lives, strict=True)
        *_, flow = books.get(market_id, flat).flows(chain(rows, [(at_us, 0, 0, 0)]))
        consumed, net, bought, sold, multiplier = flow
        volumes = {"consumed": consumed, "net": net, "bought": bought, "sold": sold}
        return {name: volume / _E8 for name, volume in volumes.items()} | {"multiplier": multiplier}

    def book_depth(
        market_id: int, sign: int, distance: float, state: Mapping[str, Any]
    ) -> float | None:
        depth = books.get(market_id, flat).depth(sign, distance, _flow_of(state))
        return depth / _E8 if math.isfinite(depth) else None

    def book_impact(
        market_id: int, sign: int, units: float, state: Mapping[str, Any]
    ) -> float | None:
        book, flow = books.get(market_id, flat), _flow_of(state)
        filled_e8 = min(units * _E8, book.room(sign, flow))
        return book.move(sign, filled_e8, flow) / filled_e8 * _E8 if filled_e8 >= 1.0 else None

    yield "residual_path", residual_path, ("integer", *_ROWS), "double[]"
    yield "book_state", book_state, ("integer", "bigint", *_ROWS), _STATE
    yield "book_depth", book_depth, ("integer", "integer", "double", _STATE), "double"
    yield "book_impact", book_impact, ("integer", "integer", "double", _STATE), "double"
    yield "generations_of", generations_of, ("bigint[]", "bigint[]"), "bigint[]"
    yield "sources_of", sources_of, ("bigint[]", "bigint[]"), "bigint[]"
    yield "components_of", components_of, ("bigint[]", "bigint[]"), "bigint[]"


def define_books(log: LogReader) -> None:
    """Give the log's queries the parameters and functions that views of books are made of."""
    try:
        terms = read_terms(log.manifest.scenario_toml)
    except ValueError:
        terms = None  # An audit says so; what rests on the book is empty.
    starts = log.rows(
        "select market_id, arg_min(price, sim_time) from reference_prices group by market_id"
    )
    starts_e8 = {market: int(price.scaleb(8)) for market, price in starts if price}
    changes = log.rows("select distinct market_id, multiplier from maintenance_changed")
    in_force = [(market, int(m.scaleb(6))) for market, m in changes if m is not None]
    for statement in statements(terms, in_force):
        log.define(statement)
    for function in functions(terms, starts_e8):
        log.define_function(*function)
