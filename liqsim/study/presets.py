"""
Words of a variant: mitigations by their kinds, and sets of them by the generation of their idea.

What a kind needs in USD is made to fit the scenario, by its shallowest book and its open interest,
and how far kinds may scale margin rates, by the highest of these; all else is the kind's
default. Words take the place of the scenario's own mitigations.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import ROUND_DOWN, Decimal
from typing import Any, Final

import attrs

from liqsim.scenario import Scenario
from liqsim.scenario.fields import key_of
from liqsim.scenario.mitigations import MITIGATIONS, OTHERS, MarginScaling
from liqsim.scenario.model import PowerBook
from liqsim.scenario.plugins import load_plugins
from liqsim.scenario.toml import inline
from liqsim.units import RATIO_SCALE, USD_SCALE, taker_cost_uusd

NONE: Final = "none"
"""The scenario without its mitigations."""
AS_IS: Final = "as_is"
"""The scenario as it is."""

Row = Mapping[str, Any]

_CENT: Final = Decimal("0.01")
_HIGH: Final[Decimal] = attrs.fields(MarginScaling).high_e6.metadata["scalar"].default
"""How far a kind scales margin rates if it is not told."""


@attrs.frozen
class Measure:
    """
    How large a scenario is.

    Attributes:
        depth_usd: USD within 1 % of mid on one side of its shallowest book; of one that has none,
            a hundredth of open interest.
        interest_usd: Positions at the start, longs and shorts together, at their entry prices.
        fund_usd: The insurance fund at the start.
        rates_room: How many times as high the highest margin rate can be and stay below 1.
    """

    depth_usd: Decimal
    interest_usd: Decimal
    fund_usd: Decimal
    rates_room: Decimal


def measure_of(scenario: Scenario) -> Measure:
    """Return how large *scenario* is."""
    listed = scenario.population.accounts
    legs = [leg for row in (listed.holdings if listed else ()) for leg in row.legs]
    interest = sum(cohort.notional_uusd for cohort in scenario.population.cohorts)
    interest += sum(abs(taker_cost_uusd(quantity, entry)) for _, quantity, entry in legs)
    books = [market.liquidity for market in scenario.markets]
    depths = [book.depth_uusd for book in books if isinstance(book, PowerBook)]
    depth = min(depths, default=interest // 100)
    highest_e12 = max(m.highest_rate_e6 * m.highest_change_e6 for m in scenario.markets)
    return Measure(
        depth_usd=Decimal(depth) / USD_SCALE,
        interest_usd=Decimal(interest) / USD_SCALE,
        fund_usd=Decimal(scenario.venue.fund.initial_uusd) / USD_SCALE,
        rates_room=Decimal((RATIO_SCALE - 1) * RATIO_SCALE) / max(highest_e12, 1),
    )


def _share(of_usd: Decimal, share: str) -> Decimal:
    return max((of_usd * Decimal(share)).quantize(_CENT), _CENT)


_FITTED: Final[Mapping[str, Callable[[Measure], Row]]] = {
    "rate_limit": lambda m: {
        "max_usd": _share(m.depth_usd, "0.5"), "least_usd": _share(m.depth_usd, "0.005"),
    },
    "slices": lambda m: {"law": "depth_share", "least_usd": _share(m.depth_usd, "0.001")},
    "slippage_cap": lambda m: {"least_usd": _share(m.depth_usd, "0.001")},
    # Forced flow of the whole depth in the window has every slice wait half a minute.
    "delays": lambda m: {"per_million": f"{30_000_000 * 10**6 // max(int(m.depth_usd), 1) + 1}us"},
    "open_interest_margin": lambda m: {"reference_usd": _share(m.interest_usd, "0.5")},
    "fund_limits": lambda m: {
        "max_draw_usd": _share(m.fund_usd, "0.05"), "max_window_usd": _share(m.fund_usd, "0.25"),
    },
    "staking": lambda m: {
        "stakers": [{"name": "stakers", "purse_usd": _share(m.interest_usd, "0.01")}],
    },
    "backstop": lambda m: {"purse_usd": _share(m.interest_usd, "0.02")},
    "pool": lambda m: {"deposits": [{"amount_usd": _share(m.interest_usd, "0.02")}]},
    # Whoever bids there brings about as much depth as the book has.
    "batch_auction": lambda m: {
        "bids_usd": _share(m.depth_usd, "1"), "purse_usd": _share(m.interest_usd, "0.02"),
    },
}  # fmt: skip

_WHOLE: Final = ("venue.tranches.share=1", "venue.tranches.max_usd=999999999999")
_PARTIAL: Final = ("venue.tranches.share=0.2", "venue.tranches.restore_buffer=0.1")
_HALT: Final[Row] = {
    "kind": "breaker",
    "scope": "venue",
    "when": [{"observable": "fall", "window": "10m", "above": Decimal("0.1")}],
    "duration": "2m",
    "cool_down": "10m",
}

GENERATIONS: Final[Mapping[str, tuple[tuple[str, ...], tuple[str | Row, ...]]]] = {
    "generation_1": (_WHOLE, ()),
    "generation_2": (_PARTIAL, ("slices", "slippage_cap", "rate_limit", "backstop")),
    "generation_3": (
        _PARTIAL,
        (
            "slices", "slippage_cap", "delays", "backstop",
            "dynamic_margin", "correlation_margin", _HALT, "grace",
        ),
    ),
}  # fmt: skip
"""Settings and mitigations of each: every account for itself, its book's impact, all together."""


def kinds() -> tuple[str, ...]:
    """Return every kind of mitigation, other packages' included."""
    load_plugins()
    return (*MITIGATIONS.values(), *OTHERS)


def keys_of(word: str) -> frozenset[str]:
    """
    Return the keys of a kind of mitigation; none of a word that is no kind.

    >>> "hold" in keys_of("crossing"), keys_of("none")
    (True, frozenset())
    """
    classes = {kind: cls for cls, kind in MITIGATIONS.items()} | OTHERS
    if word not in classes:
        return frozenset()
    return frozenset(key for key in map(key_of, attrs.fields(classes[word])) if key)


def words() -> tuple[str, ...]:
    """Return every word that stands for something in a variant."""
    return (NONE, AS_IS, *GENERATIONS, *kinds())


def settings_of(words: Sequence[str], scenario: Scenario) -> tuple[str, ...]:
    """
    Return the settings for which *words* stand in *scenario*, in their order.

    Several words add up: `breaker` and `backstop` are both.
    """
    if not words or AS_IS in words:
        return ()
    size = measure_of(scenario)
    settings: list[str] = []
    rows: list[Row] = []
    for word in words:
        for setting_or_row in _meaning(word, size):
            if isinstance(setting_or_row, str):
                settings.append(setting_or_row)
            else:
                rows.append(setting_or_row)
    rows = _below_one(rows, size)
    if rows or scenario.mitigations:
        settings.append(f"mitigations={inline(rows)}")
    return tuple(settings)


def _meaning(word: str, size: Measure) -> Iterator[str | Row]:
    if word in GENERATIONS:
        settings, parts = GENERATIONS[word]
        yield from settings
        for part in parts:
            yield _row(part, size) if isinstance(part, str) else part
    elif word != NONE:
        yield _row(word, size)


def _below_one(rows: Sequence[Row], size: Measure) -> list[Row]:
    """Return *rows* so that no margin rate reaches 1 when all that scale rates do so together."""
    scaling = {kind for cls, kind in MITIGATIONS.items() if issubclass(cls, MarginScaling)}
    number = sum(row["kind"] in scaling for row in rows)
    if _HIGH**number <= size.rates_room:
        return list(rows)
    high = (size.rates_room ** (Decimal(1) / number)).quantize(_CENT, ROUND_DOWN)
    return [
        {**row, "high": max(high, Decimal(1))} if row["kind"] in scaling else row for row in rows
    ]


def _row(kind: str, size: Measure) -> Row:
    return {"kind": kind, **(_FITTED[kind](size) if kind in _FITTED else {})}
