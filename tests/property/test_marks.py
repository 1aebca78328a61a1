"""The mark rule: its promises, what it leaves alone, and that nothing but displacement tells it."""

from collections import Counter
from decimal import Decimal
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.auditor import audited
from support.effort import cases
from support.floors import assert_floors
from support.scenarios import HANDMADE, Raw, engine_cascade, events_of, load, own_marks

from liqsim.events import (
    BookSampled,
    LiquidationTriggered,
    MarkBasis,
    OracleUpdated,
    ShadowUpdated,
    Standing,
)
from liqsim.mechanics.mark import PREMIUM_SCALE, marked, premium_e9
from liqsim.runner import prepare
from liqsim.scenario.model import Mark
from liqsim.units import BOUND, RATIO_SCALE
from liqsim.world.markets import MarkInputs

_share = st.integers(0, RATIO_SCALE)
_price = st.one_of(st.integers(1, 200), st.integers(1, BOUND - 1))
_near = st.integers(-(10**8), 10**8)

rules = st.builds(
    Mark,
    book_weight_e6=_share,
    guard_e6=st.none() | _share,
    max_step_e6=st.none() | st.integers(1, RATIO_SCALE),
    min_depth_e6=st.sampled_from([0, RATIO_SCALE // 2, RATIO_SCALE]),
    smoothing_us=st.sampled_from([0, 1, 10**6, 10**9]),
    max_index_age_us=st.sampled_from([0, 10**6]),
    band_e6=_share,
    period_us=st.just(10**6),
    deviation_e6=st.just(1_000),
    heartbeat_us=st.just(10**7),
)


@st.composite
def situations(draw: st.DrawFn) -> tuple[MarkInputs, int, int, int]:
    """Draw what has landed, the last mark, the instant and the depth."""
    index = draw(_price)
    book = min(max(index + index * draw(_near) // 10**9, 1), BOUND - 1)
    last = min(max(index + index * draw(_near) // 10**9, 1), BOUND - 1)
    now = draw(st.integers(0, 10**7))
    inputs = MarkInputs(
        index_e8=draw(st.sampled_from([index, index, index, 0])),
        index_at_us=draw(st.integers(0, now)),
        index_shows_us=3,
        book_e8=book,
        book_at_us=draw(st.integers(0, now)),
        book_shows_us=5,
        premium_e9=draw(st.integers(-(10**9), 10**12)),
    )
    return inputs, draw(st.sampled_from([last, 0])), now, draw(st.sampled_from([10**5, 10**6]))


def test_a_mark_keeps_to_guard_band_and_step() -> None:
    census: Counter[str] = Counter()

    @cases(7_000)
    @given(rules, situations())
    def it_does(rule: Mark, situation: tuple[MarkInputs, int, int, int]) -> None:
        inputs, last, now, depth = situation
        mark = marked(rule, inputs, last_e8=last, now_us=now, depth_e6=depth)
        price, basis = mark.price_e8, mark.basis

        def is_within(centre: int, share_e6: int) -> bool:
            # At the ends of the range of prices there may be none within.
            return price in {1, BOUND - 1} or abs(price - centre) * RATIO_SCALE <= share_e6 * centre

        assert 1 <= price < BOUND
        if last and rule.max_step_e6 is not None:
            assert is_within(last, rule.max_step_e6)
        if basis in {MarkBasis.BLEND, MarkBasis.GUARDED, MarkBasis.INDEX}:
            ends = sorted((inputs.index_e8, inputs.book_e8))
            if rule.guard_e6 is not None:
                assert is_within(inputs.book_e8, rule.guard_e6)
            assert ends[0] <= price <= ends[1]
        if basis in {MarkBasis.BOOK, MarkBasis.BANDED} and inputs.index_e8:
            assert is_within(inputs.index_e8, rule.band_e6)
        if basis is MarkBasis.MODEL:
            assert depth < rule.min_depth_e6
        census[basis.name] += 1

    it_does()

    assert_floors(
        census,
        {"BLEND": 50, "GUARDED": 50, "MODEL": 80, "BOOK": 80, "BANDED": 15, "CLAMPED": 100},
    )


@cases(300)
@given(rules, situations(), _near)
def test_a_premium_moves_from_the_last_one_towards_the_newest(
    rule: Mark, situation: tuple[MarkInputs, int, int, int], moved: int
) -> None:
    inputs, _, now, depth = situation
    book = max(inputs.book_e8 + inputs.book_e8 * moved // 10**9, 1)
    premium = premium_e9(rule, inputs, book, now_us=now, depth_e6=depth)
    if not inputs.index_e8 or depth < rule.min_depth_e6:
        assert premium == inputs.premium_e9
        return
    newest = (book - inputs.index_e8) * PREMIUM_SCALE // inputs.index_e8
    low, high = sorted((inputs.premium_e9, newest))
    assert low - 1 <= premium <= high + 1


def test_a_worked_example() -> None:
    """Index 100, book 99, weight a half: 99.5; a guard of 0.2 % of 99 leaves 99.198."""
    inputs = MarkInputs(index_e8=100 * 10**8, index_shows_us=7, book_e8=99 * 10**8, book_shows_us=9)
    rule = load(own_marks()).markets[0].mark
    rule = attrs.evolve(rule, guard_e6=None, max_step_e6=None)
    given_ = {"last_e8": 100 * 10**8, "now_us": 10**6, "depth_e6": 10**6}

    blend = marked(rule, inputs, **given_)
    guarded = marked(attrs.evolve(rule, guard_e6=2_000), inputs, **given_)
    clamped = marked(attrs.evolve(rule, max_step_e6=1_000), inputs, **given_)
    thin = attrs.evolve(inputs, premium_e9=-4_000_000)
    model = marked(rule, thin, **(given_ | {"depth_e6": 499_999}))
    stale = marked(attrs.evolve(rule, max_index_age_us=999_999), inputs, **given_)
    banded = marked(attrs.evolve(rule, max_index_age_us=999_999, band_e6=4_000), inputs, **given_)

    assert (blend.price_e8, blend.basis, blend.shows_us) == (9_950_000_000, MarkBasis.BLEND, 9)
    assert (guarded.price_e8, guarded.basis) == (9_919_800_000, MarkBasis.GUARDED)
    assert (clamped.price_e8, clamped.basis) == (9_990_000_000, MarkBasis.CLAMPED)
    assert (model.price_e8, model.basis, model.shows_us) == (9_960_000_000, MarkBasis.MODEL, 7)
    assert (stale.price_e8, stale.basis) == (9_900_000_000, MarkBasis.BOOK)
    assert (banded.price_e8, banded.basis, banded.shows_us) == (
        9_960_000_000,
        MarkBasis.BANDED,
        7,
    )


def _plain(raw: Raw) -> list[tuple[int, Any]]:
    """Return the events but samples of the book, without numbers of events."""
    rows = []
    for entry in events_of(raw):
        event: Any = entry.event
        is_sample = isinstance(event, BookSampled)
        if is_sample or (isinstance(event, ShadowUpdated) and event.feed.name == "BOOK"):
            continue
        fields = attrs.asdict(event)
        of_book = {"book_price_e8", "premium_e9"}
        names = [n for n in fields if not n.endswith("_seq") and n not in of_book]
        rows.append((entry.sim_time_us, type(event), *(fields[name] for name in names)))
    return rows


@pytest.mark.parametrize("name", ["engine_cascade", "keeper_race", "squeeze"])
def test_a_mark_of_weight_zero_is_the_index_row_for_row(name: str) -> None:
    raw = HANDMADE[name]()
    unused = HANDMADE[name](markets__ETH__mark={"book_weight": 0, "period": "2s"})
    # The book is looked at, and guards against what never happens.
    far = HANDMADE[name](markets__ETH__mark={"guard": 1, "smoothing": "5s"})

    assert events_of(unused) == events_of(raw)
    assert any(isinstance(entry.event, BookSampled) for entry in events_of(far))
    assert _plain(far) == _plain(raw)


@pytest.mark.parametrize(
    "rule",
    [
        {"book_weight": Decimal("0.5")},
        {"book_weight": 1, "max_step": Decimal("0.002")},
        {"guard": Decimal("0.0001"), "period": "3s"},
        {"min_depth": 1, "smoothing": "10s", "book_weight": Decimal("0.2")},
        {"max_index_age": "3s", "band": Decimal("0.002")},
        {"max_step": Decimal("0.001")},
    ],
    ids=str,
)
def test_without_impact_marks_are_shadow_marks_and_all_is_of_first_order(rule: Raw) -> None:
    raw = engine_cascade(markets__ETH__mark=rule, markets__ETH__liquidity={"kind": "no_impact"})
    entries = events_of(raw)
    triggers = [e.event for e in entries if isinstance(e.event, LiquidationTriggered)]

    for entry in entries:
        event = entry.event
        assert not isinstance(event, ShadowUpdated)
        if isinstance(event, OracleUpdated | BookSampled):
            assert event.shadow_mark_e8 == event.mark_price_e8
    assert len(triggers) > 5
    assert {trigger.standing for trigger in triggers} == {Standing.FIRST_ORDER}


@pytest.mark.parametrize("seed", range(3))
def test_laws_hold_where_the_mark_is_of_every_kind(seed: int) -> None:
    census = audited(prepare(load(own_marks(seed=seed)))).census
    purged = audited(prepare(load(own_marks(seed=seed, path_mode="purged")))).census

    for basis in (MarkBasis.BLEND, MarkBasis.GUARDED, MarkBasis.MODEL, MarkBasis.BANDED):
        assert census[f"mark: {basis.name.lower()}"]
        assert purged[f"mark: {basis.name.lower()}"]
