"""Reference paths: where they pass, what shocks add, and what they depend on."""

import math
from decimal import Decimal
from statistics import fmean, pvariance

import numpy as np
import pytest
from support.scenarios import at, knots, load, market, small_scenario

from liqsim.errors import ScenarioError
from liqsim.mechanics.paths import ReferencePath, reference_path
from liqsim.units import SECOND_US, UNIT_SCALE, YEAR_US

E8 = UNIT_SCALE


def market_of(spec, *, shocks=(), end_s=60, name="ETH"):
    """Return a market *name* with the tables *spec* and *shocks*."""
    raw = small_scenario(end=at(end_s))
    raw["markets"] = {name: market(path=spec, shocks=list(shocks))}
    raw["population"]["cohorts"]["longs"] |= {"market": name, "notional_usd": 1}
    (one,) = load(raw).markets
    return one


def path_of(spec, *, shocks=(), end_s=60, seed=1, name="ETH") -> ReferencePath:
    one = market_of(spec, shocks=shocks, end_s=end_s, name=name)
    return reference_path(one, seed=seed, end_us=end_s * SECOND_US)


def gbm(**changes):
    return {"kind": "gbm", "step": "1s", "start_price": 100, "volatility": 1} | changes


def shock(**changes):
    return {"at": at(20), "fraction": Decimal("-0.3")} | changes


POINTS = ((0, 194.61), (7, 200), (8, 0.5), (30, 0.50000001), (60, 9_876.54321))


# Knots --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("volatility", [0, 2, 100])
def test_a_path_passes_through_its_knots(volatility):
    path = path_of(knots(*POINTS, volatility=volatility))

    assert len(path.prices_e8) == 60  # The end is exclusive: the last knot is only aimed at.
    for seconds, price in POINTS[:-1]:
        assert path.at(seconds * SECOND_US) == round(Decimal(str(price)) * E8)


def test_a_path_ends_where_its_last_knot_points():
    calm = path_of(knots(*POINTS))

    step = math.log(9_876.54321 / 0.50000001) / 30
    assert calm.view[59] / E8 == pytest.approx(9_876.54321 / math.exp(step), rel=1e-9)


def test_knots_beyond_the_end_shape_the_path_up_to_it():
    beyond = path_of(knots((0, 100), (240, 1_600)))

    assert len(beyond.view) == 60
    assert beyond.view[59] / E8 == pytest.approx(100 * 16 ** (59 / 240), rel=1e-9)


def test_without_volatility_a_path_is_straight_in_log_price():
    path = path_of(knots((0, 100), (10, 100), (40, 25), (60, 50)))

    for second in range(60):
        if second <= 10:
            expected = 100.0
        elif second <= 40:
            expected = 100.0 * 0.25 ** ((second - 10) / 30)
        else:
            expected = 25.0 * 2.0 ** ((second - 40) / 20)
        assert abs(path.view[second] - expected * E8) <= 1


@pytest.mark.parametrize("volatility", [1, 30, 100])
def test_a_bridge_stays_within_the_range_of_the_knots(volatility):
    # Hours, so that an annual volatility of 1 already leaves the narrow range.
    spec = knots((0, 100), (3_600, 101), (7_200, 100), step="10s", volatility=volatility)
    path = path_of(spec, end_s=7_200)

    assert path.prices_e8.min() == 100 * E8
    assert path.prices_e8.max() == 101 * E8
    assert len(set(path.view.tolist())) > 10


def test_the_moves_of_a_bridge_have_its_volatility():
    volatility, steps = 0.8, 20_000
    spec = knots(
        (0, 100), (1, 1), (2, 10_000), (3, 100), (60 * steps, 100), step="1s", volatility=volatility
    )
    end_s = 20_000  # The last bridge goes on well beyond the end, so its pull is weak.
    path = path_of(spec, end_s=end_s)

    moves = np.diff(np.log(path.prices_e8[4:] / E8))
    sigma = volatility * math.sqrt(SECOND_US / YEAR_US)
    assert fmean(moves) == pytest.approx(0.0, abs=4 * sigma / math.sqrt(end_s))
    assert pvariance(moves) == pytest.approx(sigma**2, rel=4 * math.sqrt(2 / end_s))


def test_the_noise_of_a_bridge_is_its_own_at_every_step():
    # Two bridges of one path are not copies of one another.
    spec = knots((0, 100), (1, 50), (2, 200), (3, 100), (31, 100), (60, 100), volatility=9)
    prices = path_of(spec).view.tolist()

    assert prices[3:30] != prices[31:58]
    assert np.corrcoef(np.diff(prices[3:31]), np.diff(prices[31:59]))[0, 1] < 0.6


# Geometric Brownian motion ------------------------------------------------------------------------


def test_log_returns_have_the_moments_of_the_law():
    count, volatility, drift = 20_000, 1.5, 3.0
    path = path_of(
        gbm(step="10s", volatility=volatility, drift=drift, start_price=1_000), end_s=10 * count
    )

    returns = np.diff(np.log(path.prices_e8 / E8))
    step = 10 * SECOND_US / YEAR_US
    sigma = volatility * math.sqrt(step)
    mean = (drift - volatility**2 / 2) * step
    assert path.view[0] == 1_000 * E8
    assert fmean(returns) == pytest.approx(mean, abs=4 * sigma / math.sqrt(count))
    assert pvariance(returns) == pytest.approx(sigma**2, rel=4 * math.sqrt(2 / count))
    scaled = (returns - mean) / sigma
    assert fmean(scaled**3) == pytest.approx(0.0, abs=4 * math.sqrt(15 / count))
    assert fmean(scaled**4) == pytest.approx(3.0, abs=4 * math.sqrt(96 / count))
    assert abs(np.corrcoef(returns[:-1], returns[1:])[0, 1]) < 4 / math.sqrt(count)


def test_a_drift_alone_is_compound_interest():
    path = path_of(gbm(volatility=0, drift=100, step="20s"), end_s=60)

    for row in range(3):
        expected = 100 * math.exp(100 * row * 20 * SECOND_US / YEAR_US)
        assert abs(path.view[row] - expected * E8) <= 1


def test_the_drift_is_that_of_the_price_not_of_its_logarithm():
    # The mean over many seeds of the end price grows with the drift alone, whatever the volatility.
    one = market_of(gbm(step="2h", volatility=3, drift=0), end_s=172_800)
    ends = [
        reference_path(one, seed=seed, end_us=172_800 * SECOND_US).view[23] / 100 / E8
        for seed in range(1_000)
    ]

    sigma = 3 * math.sqrt(46 * 3_600 * SECOND_US / YEAR_US)
    assert fmean(ends) == pytest.approx(1.0, abs=4 * sigma / math.sqrt(len(ends)))


# Shocks -------------------------------------------------------------------------------------------


def factor(second: float, *, fraction: float, over: float = 0.0, recovery: float = 0.0) -> float:
    """Return what a shock at 20 s does to the price, from the words of the scenario."""
    if second < 20:
        return 1.0
    if second < 20 + over:
        return (1.0 + fraction) ** ((second - 20) / over)
    if not recovery:
        return 1.0 + fraction
    return (1.0 + fraction) ** (0.5 ** ((second - 20 - over) / recovery))


SHAPES = [
    {"fraction": -0.3},
    {"fraction": 0.5},
    {"fraction": -0.3, "over": 10.0},
    {"fraction": -0.3, "recovery": 5.0},
    {"fraction": 2.0, "over": 3.5, "recovery": 7.25},
    {"fraction": -0.999, "over": 0.25, "recovery": 0.5},
]


def table(shape):
    row = {"at": at(20), "fraction": shape["fraction"]}
    for key, word in (("over", "over"), ("recovery", "recovery_half_life")):
        if key in shape:
            row[word] = f"{round(shape[key] * 1_000)}ms"
    return row


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_shock_has_the_shape_of_its_formula(shape):
    path = path_of(knots((0, 100), (60, 100)), shocks=[table(shape)])

    for second in range(60):
        expected = 100 * E8 * factor(second, **shape)
        assert abs(path.view[second] - expected) <= 1 + 1e-12 * expected, second


def test_a_recovery_halves_what_is_left_of_the_move_in_log_price():
    row = {"at": at(20), "fraction": -0.36, "recovery_half_life": "10s"}
    path = path_of(knots((0, 100), (60, 100)), shocks=[row])

    # By hand: down to 64, then 64 ** (1/2), (1/4) of the way in logs: 80 and 89.442719….
    assert [path.view[second] / E8 for second in (19, 20, 30, 40)] == [
        100.0,
        64.0,
        80.0,
        pytest.approx(89.4427191),
    ]


def test_a_shock_between_steps_is_seen_at_the_next_one():
    spec = knots((0, 100), (60, 100), step="10s")
    jump = path_of(spec, shocks=[{"at": at(20.000001), "fraction": -0.5}])
    ramp = path_of(spec, shocks=[{"at": at(25), "fraction": -0.75, "over": "10s"}])

    assert [price / E8 for price in jump.view.tolist()] == [100, 100, 100, 50, 50, 50]
    assert [price / E8 for price in ramp.view.tolist()] == [100, 100, 100, 50, 25, 25]


def test_shocks_multiply():
    rows = [
        {"at": at(10), "fraction": -0.5},
        {"at": at(20), "fraction": 1.0},
        {"at": at(20), "fraction": -0.75},
    ]
    path = path_of(knots((0, 100), (60, 100)), shocks=rows)

    assert [path.view[second] / E8 for second in (9, 10, 19, 20, 59)] == [100, 50, 50, 25, 25]


@pytest.mark.parametrize(
    "spec",
    [gbm(volatility=9), knots((0, 100), (30, 60), (60, 100), volatility=9)],
    ids=["gbm", "knots"],
)
def test_a_shock_moves_a_path_and_draws_nothing(spec):
    shape = {"fraction": -0.3, "over": 10.0, "recovery": 5.0}
    calm = path_of(spec)
    path = path_of(spec, shocks=[table(shape)])

    for second in range(60):
        # Both are rounded to a unit.
        assert abs(path.view[second] - calm.view[second] * factor(second, **shape)) <= 2


# Held between steps -------------------------------------------------------------------------------


def test_a_path_is_held_between_its_steps():
    path = ReferencePath(7, np.array([5, 9, 2], dtype=np.int64))

    assert [path.at(at_us) for at_us in range(21)] == [5] * 7 + [9] * 7 + [2] * 7
    assert all(type(path.at(at_us)) is int for at_us in range(21))


# What a path depends on ---------------------------------------------------------------------------

NOISY = [gbm(volatility=9), knots((0, 100), (1, 50), (2, 200), (60, 100), volatility=9)]


@pytest.mark.parametrize("spec", NOISY, ids=["gbm", "knots"])
def test_seed_and_market_name_are_the_key_of_a_path(spec):
    def prices(**changes):
        return tuple(path_of(spec, **changes).view.tolist())

    assert prices() == prices()
    different = {prices(), prices(seed=2), prices(name="BTC"), prices(name="ETH2")}
    assert len(different) == 4


def test_another_market_changes_nothing():
    raw = small_scenario(markets__ETH__path=gbm())
    alone = reference_path(load(raw).markets[0], seed=1, end_us=60 * SECOND_US)
    raw["markets"] = {"AAA": market(path=gbm()), **raw["markets"]}
    one, other = (reference_path(m, seed=1, end_us=60 * SECOND_US) for m in load(raw).markets)

    assert other.view.tolist() == alone.view.tolist()
    assert one.view.tolist() != alone.view.tolist()


@pytest.mark.parametrize("spec", NOISY[:1], ids=["gbm"])
def test_a_longer_run_begins_like_a_shorter_one(spec):
    short, long = path_of(spec, end_s=30), path_of(spec, end_s=60)

    assert long.view.tolist()[:30] == short.view.tolist()


def test_volatility_scales_the_same_draws():
    calm, wild = (path_of(gbm(volatility=v, start_price=10**5)) for v in (1, 2))
    dt = SECOND_US / YEAR_US
    one, two = (
        np.diff(np.log(path.prices_e8 / E8)) + volatility**2 / 2 * dt
        for path, volatility in ((calm, 1), (wild, 2))
    )

    assert two == pytest.approx(2 * one, abs=1e-12)


# Refusals -----------------------------------------------------------------------------------------

OUT_OF_RANGE = {
    "above": (gbm(start_price=9_000_000_000), [shock(fraction=1)]),
    "below": (gbm(start_price=Decimal("0.00000002")), [shock(fraction=Decimal("-0.9"))]),
    "far above": (gbm(), [shock(fraction=100) for _ in range(200)]),
    "far below": (gbm(), [shock(fraction=Decimal("-0.999999")) for _ in range(200)]),
    "above from the start": (gbm(), [shock(at=at(0), fraction=100) for _ in range(200)]),
    "by itself": (gbm(volatility=100, drift=-100, step="1h", start_price=1), []),
    "knots": (knots((0, 100), (60, 100)), [shock(fraction=100) for _ in range(6)]),
}


@pytest.mark.parametrize(("spec", "shocks"), OUT_OF_RANGE.values(), ids=OUT_OF_RANGE)
def test_a_price_that_no_ledger_can_hold_is_refused(spec, shocks):
    end_s = 30 * 86_400 if spec.get("step") == "1h" else 60
    with pytest.raises(ScenarioError, match=r"^markets\.ETH\.path: price reaches .* must stay"):
        path_of(spec, shocks=shocks, end_s=end_s)


@pytest.mark.parametrize("price", [1, E8 * 9_999_999_999])
def test_the_last_legal_prices_are_kept(price):
    text = Decimal(price).scaleb(-8)
    spec = knots((0, 100), (60, 100))
    spec["knots"] = [[at(0), text], [at(60), text]]

    # Beyond what a double holds, a price between knots is right to the precision of its logarithm.
    assert path_of(spec).view.tolist() == pytest.approx([price] * 60, rel=1e-14)
