"""Flows that nearly cancel in a ladder's book: run and audit agree on whose displacement it is."""

from collections import Counter
from decimal import Decimal
from typing import Any, Final

import attrs
from hypothesis import given
from hypothesis import strategies as st
from support.effort import apart, cases
from support.floors import assert_floors

from liqsim.events import NO_CAUSE, Entry, InventorySold, OrderFilled, TradeFilled
from liqsim.mechanics.classes import displacement_by_flow_e9
from liqsim.mechanics.ladder import LadderBook
from liqsim.mechanics.liquidity import displaced_price_e8
from liqsim.world.markets import Flow, Market
from replay.audit.depth import MarketDepth
from replay.audit.findings import Findings
from replay.terms import LadderTerms

_REFERENCE_E8: Final = 100 * 10**8
_KINDS: Final = {
    Flow.FORCED: OrderFilled,
    Flow.HEDGING: InventorySold,
    Flow.TRADING: TradeFilled,
}
_LEVELS: Final = (
    ((50_000, 10**9),),
    ((50_000, 10**16),),
    ((1_000, 100), (50_000, 10**9)),
)


@attrs.frozen
class _Terms:
    """Of a market's terms what its book is made of."""

    depth: LadderTerms


def _fill(kind: Any, **columns: int) -> Any:
    """Return a fill; what no book asks for is one."""
    return kind(**{field.name: columns.get(field.name, 1) for field in attrs.fields(kind)})


@st.composite
def _trades(draw: st.DrawFn) -> list[tuple[int, Flow, int | None, int]]:
    """Draw (wait, flow, quantity, wait until seen); None undoes what is in the book, nearly."""
    size = draw(st.sampled_from((3, 100, 10**6, 10**8, 10**15)))
    row = st.tuples(
        st.sampled_from((0, 1, 7, 500, 1_000, 3_000_000)),
        st.sampled_from(list(Flow)),
        st.one_of(st.none(), st.integers(-size, size)),
        st.sampled_from((1, 11, 500, 7_777, 1_000_000)),
    )
    return draw(st.lists(row, min_size=2, max_size=6))


def test_run_and_audit_agree_on_whose_displacement_it_is() -> None:
    census: Counter[str] = Counter()

    @cases(600)
    @given(apart(_trades()), st.sampled_from(_LEVELS), st.sampled_from((1_000, 1_000_000)))
    def agree(trades: Any, levels: tuple[tuple[int, int], ...], half_life_us: int) -> None:
        ladder, market, at_us = LadderBook(levels, levels), Market(half_life_us), 0
        terms = tuple((Decimal(offset).scaleb(-6), units) for offset, units in levels)
        findings = Findings()
        depth = MarketDepth(
            _Terms(LadderTerms(terms, terms, half_life_us)),  # type: ignore[arg-type]
            _REFERENCE_E8,
            findings,
        )
        for seq, (wait_us, flow, wanted, seen_us) in enumerate(trades):
            at_us += wait_us
            book = market.book
            quantity = -round(book.consumed_at(at_us)) if wanted is None else wanted
            fill = quantity and ladder.fill(book, at_us, _REFERENCE_E8, quantity, None)
            if not fill:
                continue
            moved = ladder.displacement(book, at_us)
            event = _fill(
                _KINDS[flow],
                quantity_e8=fill.quantity_e8,
                price_e8=fill.price_e8,
                reference_price_e8=_REFERENCE_E8,
                arrival_price_e8=displaced_price_e8(_REFERENCE_E8, moved),
                market_price_e8=fill.market_price_e8,
            )
            depth.filled(Entry(seq, at_us, NO_CAUSE, event), event)
            market.set_book(book.traded(at_us, fill.quantity_e8, seq, flow))
            shown_us = at_us + seen_us
            parts = displacement_by_flow_e9(ladder.displacement, market.book, shown_us)
            ranges = depth.moved_by(shown_us)

            for part, (low, high) in zip(parts, ranges, strict=True):
                assert low * 1e9 - 2 <= part <= high * 1e9 + 2
            census["wide"] += any(high - low > 1e-6 for low, high in ranges)
            census["narrow"] += all(high - low < 1e-6 for low, high in ranges)
            _count(census, market, shown_us)
        assert findings.found == []

    agree()

    assert_floors(census, {"narrow": 600, "dust of a flow": 60, "dust of all": 60, "flows": 150})


def _count(census: Counter[str], market: Market, at_us: int) -> None:
    book = market.book
    parts = [book.part(flow)[0] for flow in Flow]
    left = 0.5 ** ((at_us - book.at_us) / book.half_life_us)
    census["flows"] += sum(map(bool, parts)) > 1
    census["dust of a flow"] += any(0 < abs(part * left) < 1 for part in parts)
    is_large = max(abs(part * left) for part in parts) > 1
    census["dust of all"] += is_large and book.consumed_at(at_us) == 0
