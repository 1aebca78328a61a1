"""
B6: impact grows with the square root of size, over four decades.

In the power book, depth within x is proportional to x ** exponent, so impact is proportional to
size ** (1 / exponent): an exponent of 2 is the square-root law. Seventeen markets of one run are
alike but for the size of the one position in them; what its liquidation did to the price is read
with SQL from the sealed log.
"""

import math
from decimal import Decimal
from pathlib import Path

import pytest
from support.scenarios import cohort, knots, load, market, small_scenario

from liqsim.runner import run_to_log
from replay.log import Log

DEPTH_USD = 10**6
SIZES_USD = [10 * 10 ** (quarter / 4) for quarter in range(17)]
"""Four decades, from a hundred-thousandth to a tenth of the depth within 1 %."""

Point = tuple[float, float, float]


def metaorders(
    log: Path, *, exponent: float, permanent_share: str = "0", slices: int = 1
) -> list[Point]:
    """Return (size, impact, average cost) of every liquidation; both in log price."""
    names = [f"M{number}" for number in range(len(SIZES_USD))]
    book = {
        "kind": "power_book",
        "depth_usd": DEPTH_USD,
        "exponent": exponent,
        "permanent_share": Decimal(permanent_share),
        "half_life": "10s",
    }
    path = knots((0, 1000), (9, 1000), (10, 905), (60, 905))
    raw = small_scenario(
        markets={name: market(path=path, liquidity=book) for name in names},
        venue__tranches={"share": Decimal(1) / slices, "spacing": "2s"},
        population__cohorts={
            name: cohort(
                market=name, notional_usd=Decimal(repr(size)).quantize(Decimal("0.000001"))
            )
            for name, size in zip(names, SIZES_USD, strict=True)
        },
    )
    run_to_log(load(raw), log)
    with Log(log) as reader:
        points = reader.sql(
            "select -sum(quantity), max(ln(reference_price / market_price)), "
            "ln(max(reference_price) / (sum(cost_usd) / sum(quantity))), count(*) "
            "from order_filled group by market_id order by 1"
        ).fetchall()
        assert reader.verify() == []
    assert {count for *_, count in points} == {slices}
    return [(float(size), impact, float(cost)) for size, impact, cost, _ in points]


def fitted(points: list[Point]) -> float:
    """Return the exponent of impact on size, by least squares in logs."""
    x = [math.log(size) for size, *_ in points]
    y = [math.log(impact) for _, impact, _ in points]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / sum(
        (a - mean_x) ** 2 for a in x
    )


@pytest.mark.parametrize("permanent_share", ["0", "0.1"])
@pytest.mark.parametrize("slices", [1, 10])
def test_b6_exponent_two_is_the_square_root_law(
    permanent_share: str, slices: int, tmp_path: Path
) -> None:
    """At once or over eighteen seconds, and with the permanent share of the shipped crash."""
    points = metaorders(
        tmp_path / "b6.duckdb", exponent=2, permanent_share=permanent_share, slices=slices
    )

    assert len(points) == len(SIZES_USD)
    assert math.log10(points[-1][0] / points[0][0]) == pytest.approx(4, abs=1e-3)
    assert fitted(points) == pytest.approx(0.50, abs=0.05)
    if (permanent_share, slices) == ("0", 1):
        assert fitted(points) == pytest.approx(0.5, abs=1e-4)


def test_b6_exponent_one_is_linear(tmp_path: Path) -> None:
    points = metaorders(tmp_path / "b6.duckdb", exponent=1)

    assert fitted(points) == pytest.approx(1.0, abs=1e-3)


def test_b6_impact_is_concave_per_unit_of_consumed_volume(tmp_path: Path) -> None:
    points = metaorders(tmp_path / "b6.duckdb", exponent=2)

    per_unit = [impact / size for size, impact, _ in points]
    assert per_unit == sorted(per_unit, reverse=True)
    # The average unit of a square root pays two thirds of what the last one does.
    for _, impact, cost in points[8:]:
        assert cost / impact == pytest.approx(2 / 3, abs=0.002)
