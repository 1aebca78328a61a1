"""
Hypothesis strategies: crashes of a few minutes, in which most of what a venue has is met.

All of them give tables as TOML would, so that a test may change any key before it loads them.
Times are whole seconds from `START`; prices are in USD, and start near 100.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from hypothesis import strategies as st

Tables = dict[str, Any]
"""A scenario, or a table of it, as TOML would have it."""

Fault = Callable[[Tables], None]
"""Breaks something in a scenario's tables, in place."""

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
CRASH_S: Final = 150
"""By then prices have fallen, or risen, as far as they will; half as long again is calm."""
END_S: Final = 300

_START_PRICE: Final = 100


def at(second: int) -> datetime:
    """Return an instant, so many seconds after the start."""
    return START + timedelta(seconds=second)


@st.composite
def paths(draw: st.DrawFn, start_price: int = _START_PRICE) -> Tables:
    """
    Draw a path that falls or rises by 6 to 30 % within two and a half minutes, and is calm after.

    Knots with a noisy bridge between them, in steps of a second. The calm part has no noise to
    speak of, so that whatever is due can be settled.
    """
    move = draw(st.sampled_from((-30, -20, -12, -6, 8, 25)))
    low = start_price * (100 + move) // 100
    back = draw(st.sampled_from((0, 0, 50)))
    end = low + (start_price - low) * back // 100
    turn = draw(st.sampled_from((30, 60, 100)))
    knots = [(0, start_price), (10, start_price), (10 + turn, low), (CRASH_S, end), (END_S, end)]
    return {
        "kind": "knots",
        "step": "1s",
        "knots": [[at(second), Decimal(price)] for second, price in knots],
        "bridge_volatility": draw(st.sampled_from((0, 1, 2))),
    }


@st.composite
def populations(draw: st.DrawFn, market: str = "ETH") -> Tables:
    """
    Draw one or two cohorts of isolated accounts, some tens in all, of both sides.

    Leverage is high enough for a good part of them to be liquidated on a path of `paths`.
    """
    cohorts: Tables = {}
    for number in range(draw(st.integers(1, 2))):
        cohorts[f"{market.lower()}{number}"] = {
            "market": market,
            "accounts": draw(st.integers(8, 30)),
            "notional_usd": draw(st.sampled_from((100_000, 400_000))),
            "long_share": draw(st.sampled_from((0.3, 0.6, 1.0))),
            "size": {"alpha": draw(st.sampled_from((1.2, 2.0))), "max_usd": 100_000},
            "leverage": {"median": draw(st.sampled_from((8, 15))), "sigma": 0.5, "max": 40},
            "entry": {"long_sd": 0.02, "short_sd": 0.02},
        }
    return {"cohorts": cohorts}


def _market(path: Tables, depth_usd: int, half_life: str, permanent: Decimal) -> Tables:
    at_once = {"median": "0s", "p99": "0s"}
    late = {"median": "300ms", "p99": "2s"}
    return {
        "maintenance": [[0, Decimal("0.01")], [200, Decimal("0.02")]],
        "initial": [[0, Decimal("0.02")], [200, Decimal("0.04")]],
        "path": path,
        "liquidity": {
            "kind": "power_book",
            "depth_usd": depth_usd,
            "half_life": half_life,
            "permanent_share": permanent,
        },
        "oracle": {
            "deviation": Decimal("0.001"),
            "heartbeat": "10s",
            "landing": late,
            "sources": {"index": {"period": "1s", "latency": at_once}},
        },
    }


def plain(executor: str = "engine", *, has_coins: bool = False) -> Tables:
    """Return a scenario in which nothing happens, the same every time; else as `scenarios`."""
    knots = [[at(0), Decimal(_START_PRICE)], [at(END_S), Decimal(_START_PRICE)]]
    path = {"kind": "knots", "step": "1s", "knots": knots, "bridge_volatility": 0}
    calm = {
        "market": "ETH",
        "accounts": 1,
        "notional_usd": 1_000,
        "long_share": 1,
        "size": {"alpha": 2},
        "leverage": {"median": 2, "max": 2},
        "entry": {},
    }
    tables: Tables = {
        "name": "plain",
        "start": START,
        "end": at(END_S),
        "markets": {"ETH": _market(path, 100_000, "5s", Decimal(0))},
        "venue": {"executor": executor, "fund": {"initial_usd": 0}, "engine": {}}
        | ({"keepers": _keepers()} if executor == "keepers" else {}),
        "population": {"cohorts": {"calm": calm}},
    }
    if has_coins:
        _put_up_coins(tables)
    return tables


@st.composite
def scenarios(
    draw: st.DrawFn,
    executor: str = "engine",
    *,
    has_impact: bool = True,
    hits_both_sides: bool = False,
    has_coins: bool = False,
) -> Tables:
    """
    Draw a scenario of five minutes, the last two and a half of them calm.

    Args:
        draw: Given by Hypothesis.
        executor: `engine` or `keepers`.
        has_impact: Whether forced sales move the price.
        hits_both_sides: Whether prices hardly move, and rising margin rates make longs and shorts
            due together.
        has_coins: Whether what accounts put up is coins, nine tenths of whose value count.
    """
    names = draw(st.sampled_from((("ETH",), ("ETH", "BTC"))))
    markets: Tables = {}
    cohorts: Tables = {}
    for name in names:
        path = draw(paths())
        depth = draw(st.sampled_from((20_000, 60_000, 300_000)))
        half_life = draw(st.sampled_from(("5s", "30s")))
        permanent = draw(st.sampled_from((Decimal(0), Decimal("0.2"))))
        markets[name] = _market(path, depth, half_life, permanent)
        if not has_impact:
            markets[name]["liquidity"] = {"kind": "no_impact"}
        cohorts |= draw(populations(name))["cohorts"]
    venue: Tables = {
        "executor": executor,
        "fees": {"taker": Decimal("0.0005"), "liquidation_on_mark": Decimal("0.005")},
        "tranches": {
            "share": draw(st.sampled_from((Decimal("0.25"), 1))),
            "spacing": draw(st.sampled_from(("1s", "5s"))),
            "restore_buffer": Decimal("0.1"),
        },
        "fund": {"initial_usd": draw(st.sampled_from((0, 500, 50_000)))},
        "waterfall": {
            "surplus_to": draw(st.sampled_from(("fund", "trader"))),
            "deleveraging": draw(st.sampled_from(("ranked", "ranked", "none"))),
        },
        "engine": {"reaction": "1s", "retry": "5s"},
    }
    if executor == "keepers":
        venue["keepers"] = _keepers()
    drawn = {
        "name": "drawn",
        "start": START,
        "end": at(END_S),
        "seed": draw(st.integers(0, 2**31)),
        "markets": markets,
        "venue": venue,
        "population": {"cohorts": cohorts},
    }
    if hits_both_sides:
        _hit_both_sides(drawn)
    if has_coins:
        _put_up_coins(drawn)
    return drawn


def _hit_both_sides(tables: Tables) -> None:
    for market in tables["markets"].values():
        knots = market["path"]["knots"]
        market["path"]["knots"] = [
            [when, _START_PRICE + (price - _START_PRICE) / 10] for when, price in knots
        ]
        market["maintenance_changes"] = [
            {"at": at(second), "multiplier": multiplier}
            for second, multiplier in ((30, 3), (50, 5), (75, 7), (100, 9))
        ]
    for cohort in tables["population"]["cohorts"].values():
        cohort["long_share"] = Decimal("0.45")


def _put_up_coins(tables: Tables) -> None:
    tables["venue"]["margin"] = {"coin_haircut": Decimal("0.1")}
    for cohort in tables["population"]["cohorts"].values():
        cohort["collateral"] = "coin"


def _keepers() -> Tables:
    seconds = {"median": "1s", "p99": "3s"}
    bots = {
        name: {
            "reaction": seconds,
            "landing": seconds,
            "purse_usd": purse,
            "call_cost_usd": Decimal("0.5"),
            "resale_delay": "2s",
        }
        for name, purse in (("ann", 30_000), ("bob", 1_000_000))
    }
    return {"discount": Decimal("0.01"), "bots": bots}


def faults() -> st.SearchStrategy[Fault]:
    """Draw something that breaks during the crash: prices, the engine, the keepers or the depth."""
    return st.sampled_from((_no_prices, _no_engine, _no_keepers, _no_depth))


def _no_prices(tables: Tables) -> None:
    for market in tables["markets"].values():
        for source in market["oracle"]["sources"].values():
            source["outages"] = [[at(40), at(80)]]
    tables["venue"]["mark_max_age"] = "15s"


def _no_engine(tables: Tables) -> None:
    if "engine" in tables["venue"]:
        tables["venue"]["engine"]["outages"] = [[at(40), at(70)]]


def _no_keepers(tables: Tables) -> None:
    for bot in tables["venue"].get("keepers", {}).get("bots", {}).values():
        bot["downtime"] = [[at(40), at(70)]]


def _no_depth(tables: Tables) -> None:
    for market in tables["markets"].values():
        if market["liquidity"]["kind"] == "power_book":
            market["liquidity"]["schedule"] = [
                {"at": at(30), "multiplier": Decimal("0.1"), "half_life": "60s"},
                {"at": at(CRASH_S), "multiplier": 1, "half_life": "5s"},
            ]
