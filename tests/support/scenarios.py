"""
Small scenarios that run in milliseconds: written by hand, and drawn at random.

`small_scenario` is a quiet base that a keyword moves: `venue__fund__initial_usd=0` sets
`venue.fund.initial_usd`. `HANDMADE` names the scenarios whose subject is one path or one reason;
`scenarios()` draws legal combinations, tuned so that rare paths are common.
"""

from collections.abc import Callable, Mapping
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any, Final

import attrs
import numpy as np
from hypothesis import strategies as st

from liqsim.events import Entry
from liqsim.mechanics.paths import ReferencePath
from liqsim.mechanics.population import Accounts
from liqsim.runner import Actor, Prepared, Simulation, prepare
from liqsim.scenario import Scenario, scenario_from_dict
from support.effort import apart
from support.files import FILES, data_file
from support.models import model_text
from support.sinks import ListSink
from support.slicing import slowed

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
INSTANTLY: Final = {"median": "0s", "p99": "0s"}

Raw = dict[str, Any]


def at(seconds: float) -> datetime:
    """Return the instant *seconds* after the start."""
    return START + timedelta(microseconds=round(seconds * 1_000_000))


def constant(duration: str) -> Raw:
    """Return a latency that is always *duration*."""
    return {"median": duration, "p99": duration}


def source(**changes: Any) -> Raw:
    """Return an oracle source that samples every second and reports at once."""
    return {"period": "1s", "latency": INSTANTLY} | changes


def keeper(**changes: Any) -> Raw:
    """Return a keeper with a large purse that is there two seconds after an offer."""
    return {
        "reaction": constant("1s"),
        "landing": constant("1s"),
        "purse_usd": 1_000_000,
        "call_cost_usd": Decimal("0.5"),
    } | changes


def cohort(**changes: Any) -> Raw:
    """Return one account of 1,000 USD at leverage 10, long."""
    return {
        "market": "ETH",
        "accounts": 1,
        "notional_usd": 1_000,
        "long_share": 1,
        "size": {"alpha": 2},
        "leverage": {"median": 10, "max": 50},
        "entry": {},
    } | changes


def knots(*points: tuple[float, float], step: str = "1s", volatility: float = 0) -> Raw:
    """Return a path through (seconds, price) points, straight in log price."""
    return {
        "kind": "knots",
        "step": step,
        "knots": [[at(seconds), Decimal(str(price))] for seconds, price in points],
        "bridge_volatility": volatility,
    }


def bars(*rows: tuple[Any, Any, Any, Any], bar_s: int = 20, step: str = "1s") -> Raw:
    """Return a path through a file of (open, high, low, close) bars from the start on."""
    return {"kind": "file", "step": step, "file": data_file(bars_csv(*rows, bar_s=bar_s))}


def bars_csv(*rows: tuple[Any, Any, Any, Any], bar_s: int = 20) -> str:
    """Return the file of such bars."""
    lines = ["timestamp,open,high,low,close,volume"]
    for number, row in enumerate(rows):
        lines.append(f"{at(number * bar_s):%Y-%m-%dT%H:%M:%SZ},{','.join(map(str, row))},1")
    return "\n".join(lines) + "\n"


def accounts_csv(*rows: tuple[Any, ...]) -> str:
    """Return the file of (account, market, quantity, entry price, collateral[, coins]) rows."""
    lines = ["account,market,quantity,entry_price,collateral_usd"]
    if any(len(row) > len(lines[0].split(",")) for row in rows):
        lines[0] += ",collateral_coins"
    return "\n".join([*lines, *(",".join(map(str, row)) for row in rows)]) + "\n"


def listed(*rows: tuple[Any, ...], **changes: Any) -> Raw:
    """Return a population of such accounts from a file."""
    return {"file": data_file(accounts_csv(*rows))} | changes


def market(**changes: Any) -> Raw:
    """Return a market of a contract near 100 USD that absorbs any order, with a plain oracle."""
    return {
        "maintenance": [[0, Decimal("0.01")]],
        "path": knots((0, 100), (60, 100)),
        "liquidity": {"kind": "no_impact"},
        "oracle": {
            "deviation": 0,
            "heartbeat": "1s",
            "landing": INSTANTLY,
            "sources": {"one": source()},
        },
    } | changes


def small_scenario(**overrides: Any) -> Raw:
    """
    Return a quiet minute of one market with an engine, with *overrides* applied.

    Two underscores in a keyword stand for a dot; tables on the way are made if they are not there.
    """
    raw: Raw = {
        "name": "small",
        "start": START,
        "end": at(60),
        "seed": 1,
        "markets": {"ETH": market()},
        "venue": {
            "executor": "engine",
            "fund": {"initial_usd": 0},
            "waterfall": {"surplus_to": "fund"},
            "engine": {"reaction": "0s"},
        },
        "population": {"cohorts": {"longs": cohort()}},
    }
    return changed(raw, overrides)


def changed(raw: Raw, overrides: Mapping[str, Any]) -> Raw:
    """Return a copy of *raw* with *overrides*, keyed by paths with two underscores for a dot."""
    raw = deepcopy(raw)
    for path, value in overrides.items():
        *tables, key = path.split("__")
        table = raw
        for name in tables:
            table = table.setdefault(name, {})
        table[key] = value
    return raw


def load(raw: Raw) -> Scenario:
    """Return the scenario in the tables *raw*."""
    return scenario_from_dict(raw, source="test", folder=FILES)


def run(raw: Raw, *actors: Actor) -> ListSink:
    """Run *raw* in memory and return what was recorded."""
    sink = ListSink()
    Simulation(prepare(load(raw)), sink, actors).run()
    return sink


def events_of(raw: Raw, *actors: Actor) -> list[Entry]:
    """Run *raw* in memory and return its events."""
    return run(raw, *actors).entries


# By hand ------------------------------------------------------------------------------------------


def _crowd(**changes: Any) -> Raw:
    """Return thirty accounts of both sides whose triggers are spread over a few percent."""
    return cohort(
        accounts=30,
        notional_usd=300_000,
        long_share=Decimal("0.6"),
        size={"alpha": 1.5, "max_usd": 60_000},
        leverage={"median": 15, "sigma": 0.6, "max": 50},
        entry={"long_sd": 0.02, "short_sd": 0.02},
        **changes,
    )


def _book(depth_usd: int = 30_000, **changes: Any) -> Raw:
    return {
        "kind": "power_book",
        "depth_usd": depth_usd,
        "half_life": "20s",
        "permanent_share": Decimal("0.2"),
    } | changes


def _noisy_oracle(**changes: Any) -> Raw:
    return {
        "deviation": Decimal("0.002"),
        "heartbeat": "20s",
        "quorum": 2,
        "landing": {"median": "400ms", "p99": "2s"},
        "sources": {
            "one": source(noise=Decimal("0.0005"), latency={"median": "300ms", "p99": "3s"}),
            "two": source(
                period="2s",
                offset="500ms",
                noise=Decimal("0.001"),
                pass_through=Decimal("0.5"),
                latency={"median": "1s", "p99": "4s"},
                outages=[[at(30), at(50)]],
            ),
            "three": source(period="3s", pass_through=0),
        },
    } | changes


def engine_cascade(**overrides: Any) -> Raw:
    """A crash through a thin book: child orders, tranches, surplus, draws, deleveraging."""
    raw = small_scenario(
        name="engine_cascade",
        end=at(180),
        markets__ETH=market(
            path=knots((0, 100), (20, 100), (80, 84), (180, 92), volatility=2),
            liquidity=_book(
                schedule=[
                    {"at": at(40), "multiplier": Decimal("0.3"), "half_life": "60s"},
                    {"at": at(120), "multiplier": 1, "half_life": "20s"},
                ]
            ),
            oracle=_noisy_oracle(),
            maintenance=[[0, Decimal("0.01")], [50, Decimal("0.02")], [200, Decimal("0.05")]],
        ),
        venue__fees={
            "taker": Decimal("0.0005"),
            "liquidation_on_mark": Decimal("0.002"),
            "liquidation_on_execution": Decimal("0.001"),
        },
        venue__fund__initial_usd=500,
        venue__tranches={
            "share": Decimal("0.4"),
            "max_usd": 8_000,
            "spacing": "2s",
            "restore_buffer": Decimal("0.1"),
        },
        venue__engine={"reaction": "1s", "child_order_usd": 3_000, "child_spacing": "500ms"},
        population__cohorts={"crowd": _crowd()},
    )
    return changed(raw, overrides)


def keeper_race(**overrides: Any) -> Raw:
    """The same crash served by three keepers, two of them identical and one often down."""
    racer = keeper(
        reaction={"median": "800ms", "p99": "3s"},
        landing={"median": "1s", "p99": "5s"},
        purse_usd=20_000,
        resale_delay="3s",
    )
    raw = engine_cascade(
        name="keeper_race",
        venue__executor="keepers",
        venue__keepers={
            "reaction": "500ms",
            "discount": Decimal("0.01"),
            "bots": {
                "ann": racer,
                "bob": racer,
                "cat": keeper(purse_usd=2_000, downtime=[[at(30), at(90)]]),
            },
        },
    )
    del raw["venue"]["engine"]
    return changed(raw, overrides)


def squeeze(**overrides: Any) -> Raw:
    """A rise that ruins shorts in two markets at the same instants, with no fund."""
    path = knots((0, 100), (20, 100), (60, 125), (120, 110), step="2s")
    shorts = _crowd() | {"long_share": Decimal("0.3")}
    raw = small_scenario(
        name="squeeze",
        end=at(120),
        markets__ETH=market(path=path, liquidity=_book(8_000)),
        markets__BTC=market(path=path, liquidity=_book(200_000)),
        venue__tranches={"share": Decimal("0.5"), "spacing": "1s"},
        population__cohorts={"eth": shorts, "btc": shorts | {"market": "BTC"}},
    )
    return changed(raw, overrides)


def cross_crash(**overrides: Any) -> Raw:
    """A fall of one market and a later rise of another against cross accounts, some hedged."""
    crowd = _crowd() | {
        "market": "",
        "accounts": 40,
        "legs": {
            "ETH": {"share": Decimal("0.4")},
            "BTC": {"share": Decimal("0.6"), "hedge_share": Decimal("0.3")},
        },
    }
    raw = small_scenario(
        name="cross_crash",
        end=at(120),
        markets__ETH=market(
            path=knots((0, 100), (20, 100), (50, 78), (120, 80)), liquidity=_book(8_000)
        ),
        markets__BTC=market(
            path=knots((0, 200), (60, 200), (100, 240), (120, 230)), liquidity=_book(40_000)
        ),
        venue__tranches={"share": Decimal("0.5"), "spacing": "1s"},
        venue__fund__initial_usd=300,
        population__cohorts={"cross": crowd, "eth": _crowd()},
    )
    return changed(raw, overrides)


def steady(**overrides: Any) -> Raw:
    """An oracle that publishes because its time has come, not because anything moved."""
    raw = small_scenario(
        name="steady",
        markets__ETH__oracle__deviation=Decimal("0.01"),
        markets__ETH__oracle__heartbeat="15s",
    )
    return changed(raw, overrides)


def _falling_to(price: float, *, then: float | None = None) -> Raw:
    """Return a market at 100 that falls to *price* in its tenth second, and two later to *then*."""
    points = [(0, 100), (9, 100), (10, price)]
    if then is not None:
        points += [(11, price), (12, then)]
    return market(path=knots(*points, (60, points[-1][1])))


def _offered(market_raw: Raw, *bots: Raw, **overrides: Any) -> Raw:
    """Return one account of 10 units at leverage 10, offered to *bots*."""
    raw = small_scenario(
        markets__ETH=market_raw,
        venue__executor="keepers",
        venue__keepers={
            "discount": Decimal("0.005"),
            "bots": {f"k{number}": bot for number, bot in enumerate(bots)},
        },
        **overrides,
    )
    del raw["venue"]["engine"]
    return raw


def lost_race(**overrides: Any) -> Raw:
    """Two calls land at the same instant."""
    return changed(_offered(_falling_to(90.6), keeper(), keeper(), name="lost_race"), overrides)


def restored_call(**overrides: Any) -> Raw:
    """A call lands when the price has restored the margin."""
    raw = _offered(_falling_to(90.6, then=95), keeper(), name="restored_call")
    return changed(raw, overrides)


def beyond_limit(**overrides: Any) -> Raw:
    """A call lands when the price has fallen beyond bankruptcy."""
    raw = _offered(_falling_to(90.6, then=80), keeper(), name="beyond_limit")
    return changed(raw, overrides)


def purse_short(**overrides: Any) -> Raw:
    """A call lands when the slice, a short, has become dearer than the purse."""
    raw = _offered(
        _falling_to(109.2, then=110.5),
        keeper(purse_usd=1_102),
        name="purse_short",
        venue__fund__initial_usd=1_000,
        population__cohorts={"shorts": cohort(long_share=0)},
    )
    return changed(raw, overrides)


def no_executor(**overrides: Any) -> Raw:
    """The only keeper is down."""
    bot = keeper(downtime=[[at(5), at(60)]])
    return changed(_offered(_falling_to(90.6), bot, name="no_executor"), overrides)


def no_depth(**overrides: Any) -> Raw:
    """The book cannot take what nobody shares."""
    raw = small_scenario(
        name="no_depth",
        markets__ETH=_falling_to(90.5)
        | {"liquidity": _book(100, half_life="1h", reach=Decimal("0.001"))},
        venue__waterfall={"deleveraging": "none"},
        venue__tranches__spacing="30s",
    )
    return changed(raw, overrides)


def dry_book(**overrides: Any) -> Raw:
    """The crash through a venue whose own quotes run dry, and an engine that waits for them."""
    raw = engine_cascade(
        name="dry_book",
        markets__ETH__liquidity__fill_depth_usd=3_000,
        venue__engine__retry="5s",
    )
    return changed(raw, overrides)


def rungs(**overrides: Any) -> Raw:
    """A rise through a ladder."""
    levels = [[Decimal("0.001"), 100], [Decimal("0.01"), 300], [Decimal("0.1"), 3_000]]
    book = {"kind": "ladder", "asks": levels, "bids": levels, "half_life": "20s"}
    return changed(squeeze(name="rungs", markets__ETH__liquidity=book), overrides)


def no_fresh_price(**overrides: Any) -> Raw:
    """The oracle goes silent right after the trigger."""
    silent = market()["oracle"] | {"sources": {"one": source(outages=[[at(11), at(60)]])}}
    raw = small_scenario(
        name="no_fresh_price",
        markets__ETH=_falling_to(90.5) | {"oracle": silent},
        venue__mark_max_age="1s",
        venue__engine__reaction="3s",
    )
    return changed(raw, overrides)


def spaced_out(**overrides: Any) -> Raw:
    """The next tranche would come after the end."""
    raw = small_scenario(
        name="spaced_out",
        markets__ETH=_falling_to(90.5),
        venue__tranches={"share": Decimal("0.1"), "spacing": "55s", "restore_buffer": 10},
    )
    return changed(raw, overrides)


def choked(**overrides: Any) -> Raw:
    """The engine sends an order every two seconds, fails for a while, and then hardly sends any."""
    raw = engine_cascade(
        name="choked",
        venue__engine={
            "reaction": "1s",
            "child_order_usd": 3_000,
            "orders_per_second": Decimal("0.5"),
            "outages": [[at(50), at(75)]],
            "overloads": [{"from": at(80), "to": at(180), "orders_per_second": Decimal("0.1")}],
        },
    )
    return changed(raw, overrides)


def run_ended(**overrides: Any) -> Raw:
    """The first tranche would come after the end."""
    raw = small_scenario(
        name="run_ended", markets__ETH=_falling_to(90.5), venue__engine__reaction="55s"
    )
    return changed(raw, overrides)


def shared_losses(**overrides: Any) -> Raw:
    """Holes that a thin fund leaves: backers fill it up, winners and all others pay the rest."""
    raw = engine_cascade(
        name="shared_losses",
        venue__fund={
            "initial_usd": 20,
            "backers": {"parent": {"purse_usd": 500}, "friends": {"purse_usd": 60}},
            "contributions": [{"from": "parent", "amount_usd": 200, "at": at(70)}],
            "top_ups": [
                {
                    "from": "friends",
                    "amount_usd": 25,
                    "when_below_usd": 10,
                    "times": 4,
                    "min_interval": "5s",
                }
            ],
        },
        venue__waterfall={
            "surplus_to": "fund",
            "deleveraging": "none",
            "profit_haircut": "pro_rata",
            "haircut_severity": Decimal("0.5"),
            "socialise": "equity",
        },
    )
    return changed(raw, overrides)


def indexed(**overrides: Any) -> Raw:
    """Holes that are put on the funding index, for the side that gained to pay."""
    raw = shared_losses(
        name="indexed",
        venue__waterfall__profit_haircut="none",
        venue__waterfall__socialise="funding_index",
    )
    return changed(raw, overrides)


def tightened(**overrides: Any) -> Raw:
    """A venue that raises maintenance in the middle of the crash, and lowers it at its end."""
    raw = cross_crash(
        name="tightened",
        markets__ETH__maintenance_changes=[
            {"at": at(30), "multiplier": 4},
            {"at": at(90), "multiplier": Decimal("0.5")},
        ],
        markets__BTC__maintenance_changes=[{"at": at(45), "multiplier": Decimal("2.5")}],
    )
    return changed(raw, overrides)


def kinked(**overrides: Any) -> Raw:
    """The crash of hedged accounts under tiers by notional, where profits count in part."""
    raw = cross_crash(
        name="kinked",
        venue__margin__unrealised_profit_haircut=Decimal("0.3"),
        markets__ETH__maintenance_changes=[{"at": at(30), "multiplier": 2}],
    )
    rates = [Decimal("0.01"), Decimal("0.02"), Decimal("0.05")]
    for name in ("ETH", "BTC"):
        table = raw["markets"][name]
        del table["maintenance"]
        table["maintenance_usd"] = [[s, r] for s, r in zip((0, 3_000, 9_000), rates, strict=True)]
    raw["venue"]["tranches"]["restore_buffer"] = Decimal("0.1")
    return changed(raw, overrides)


def asking(**overrides: Any) -> Raw:
    """The crash through a thin book at a venue that asks for 5 % and more at the opening."""
    initial = [[0, Decimal("0.05")], [50, Decimal("0.06")], [200, Decimal("0.08")]]
    raw = engine_cascade(
        name="asking", markets__ETH__initial=initial, venue__tranches__restore_to="initial"
    )
    return changed(raw, overrides)


def own_marks(**overrides: Any) -> Raw:
    """A mark blended with the venue's own book, through a thin book and a silent oracle."""
    silent = [[at(125), at(155)]]
    sources = {
        name: spec | {"outages": [*spec.get("outages", []), *silent]}
        for name, spec in _noisy_oracle()["sources"].items()
    }
    raw = engine_cascade(
        name="own_marks",
        markets__ETH__oracle__sources=sources,
        markets__ETH__mark={
            "book_weight": Decimal("0.5"),
            "guard": Decimal("0.003"),
            "max_step": Decimal("0.01"),
            "min_depth": Decimal("0.5"),
            "smoothing": "10s",
            "max_index_age": "6s",
            "band": Decimal("0.01"),
            "deviation": Decimal("0.0005"),
            "heartbeat": "5s",
        },
    )
    return changed(raw, overrides)


def desk_takes(**overrides: Any) -> Raw:
    """The crash through a thin book whose venue takes over what its desk can pay for."""
    raw = engine_cascade(
        name="desk_takes",
        venue__executor="desk",
        venue__desk={
            "purse_usd": 30_000,
            "position_limit_usd": 12_000,
            "resale_delay": "5s",
            "resale_parts": 3,
            "resale_spacing": "4s",
        },
    )
    return changed(raw, overrides)


def funded(**overrides: Any) -> Raw:
    """Dear funding in a crash: longs are due by it, and pay it also while they are liquidated."""
    raw = own_marks(
        name="funded",
        markets__ETH__mark={"smoothing": "10s", "deviation": Decimal("0.0005")},
        markets__ETH__funding={
            "interval": "10s",
            "interest": Decimal("0.002"),
            "cap": Decimal("0.004"),
        },
    )
    return changed(raw, overrides)


def bought_back(**overrides: Any) -> Raw:
    """
    Shorts that are bought back in a thin book hold a price up that would have ruined a long.

    The price rises through their triggers, and falls back to where the long would be due.
    """
    short = cohort(long_share=0, notional_usd=20_000, leverage={"median": 20, "max": 50})
    raw = small_scenario(
        name="bought_back",
        markets__ETH=market(
            path=knots((0, 100), (5, 100), (10, 106), (15, 106), (20, 95), (60, 95)),
            liquidity=_book(10_000, half_life="1h", permanent_share=1),
        ),
        venue__waterfall={"deleveraging": "none"},
        population__cohorts={
            "short": short,
            "long": cohort(leverage={"median": 20, "max": 50}),
        },
    )
    return changed(raw, overrides)


def panic(**overrides: Any) -> Raw:
    """The crash among accounts that top up, sell or leave as they come near their liquidation."""
    near = {
        "alert_buffer": 2,
        "top_up_share": Decimal("0.3"),
        "top_up_to": 4,
        "top_up_times": 2,
        "reduce_share": Decimal("0.3"),
        "close_share": Decimal("0.3"),
    }
    raw = engine_cascade(
        name="panic",
        population__cohorts__crowd__traders={
            "reaction": {"median": "3s", "p99": "20s"},
            "near": near,
        },
    )
    return changed(raw, overrides)


def comeback(**overrides: Any) -> Raw:
    """The crash among accounts with stops, of which some come back when they were liquidated."""
    raw = engine_cascade(
        name="comeback",
        population__cohorts__crowd__traders={
            "reaction": {"median": "1s", "p99": "8s"},
            "stop": {"share": Decimal("0.4"), "nearest": Decimal("0.02"), "farthest": 0.05},
            "relever": {"share": Decimal("0.5"), "gain": Decimal("0.02")},
            "return": {
                "share": Decimal("0.8"),
                "delay": {"median": "15s", "p99": "60s"},
                "windows": [[at(100), at(175)]],
                "same_side": Decimal("0.7"),
                "size": Decimal("0.5"),
                "size_sigma": 0.5,
            },
        },
    )
    return changed(raw, overrides)


def forewarned(**overrides: Any) -> Raw:
    """The crash under breakers that some accounts see coming, and run from."""
    run = {"share": Decimal("0.7"), "from": Decimal("0.3"), "reduce_by": Decimal("0.6"), "times": 2}
    fall = [{"observable": "fall", "window": "60s", "above": Decimal("0.08")}]
    rise = [{"observable": "rise", "window": "30s", "above": Decimal("0.03")}]
    raw = engine_cascade(
        name="forewarned",
        population__cohorts__crowd__traders={
            "reaction": {"median": "1s", "p99": "4s"},
            "anticipate": run | {"steepness": 2},
        },
        mitigations=[
            {"kind": "breaker", "when": fall, "duration": "20s", "cool_down": "20s"},
            {
                "kind": "breaker",
                "name": "rise",
                "when": rise,
                "action": "halt_new_risk",
                "duration": "10s",
                "cool_down": "10s",
            },
        ],
    )
    return changed(raw, overrides)


def rebalanced(**overrides: Any) -> Raw:
    """The crash among funds that keep their leverage, or their volatility."""
    crowd = _crowd() | {"leverage": {"median": 4, "max": 8}}
    funds = {"period": "10s", "target_leverage": 4}
    table = {"reaction": INSTANTLY, "rebalance": funds}
    calm = funds | {"target_volatility": 20, "half_life_periods": 3}
    raw = engine_cascade(
        name="rebalanced",
        population__cohorts={
            "levered": crowd | {"traders": table},
            "calm": crowd | {"traders": table | {"rebalance": calm}},
        },
    )
    return changed(raw, overrides)


def newcomers(**overrides: Any) -> Raw:
    """The crash among new accounts that buy the dip, and shun a higher margin and dear fees."""
    arrivals = {
        "per_hour": 500,
        "max_per_hour": 2_000,
        "accounts_max": 25,
        "windows": [[at(10), at(70)], [at(75), at(170)]],
        "long_share": Decimal("0.6"),
        "size": Decimal("0.5"),
        "dip_slope": 20,
        "dip_window": "60s",
        "margin_elasticity": 1,
        "margin_reference": Decimal("0.05"),
        "fee_elasticity": 1,
        "fee_reference": Decimal("0.0004"),
    }
    raw = asking(
        name="newcomers",
        markets__ETH__maintenance_changes=[{"at": at(90), "multiplier": Decimal("1.2")}],
        population__cohorts__crowd__traders={
            "reaction": {"median": "3s", "p99": "20s"},
            "stop": {"share": Decimal("0.4"), "nearest": Decimal("0.02"), "farthest": 0.05},
            "arrivals": arrivals,
        },
    )
    return changed(raw, overrides)


def mingled(**overrides: Any) -> Raw:
    """Accounts that act in every way, at a venue with own marks, funding, kinks and a desk."""
    of_comeback, of_panic = (
        story()["population"]["cohorts"]["crowd"]["traders"] for story in (comeback, panic)
    )
    raw = own_marks(
        name="mingled",
        markets__ETH__funding={"interval": "10s", "interest": Decimal("0.001")},
        venue__margin__unrealised_profit_haircut=Decimal("0.3"),
        venue__executor="desk",
        venue__desk=desk_takes()["venue"]["desk"],
        venue__tranches__restore_to="initial",
        venue__waterfall={"surplus_to": "trader", "profit_haircut": "pro_rata"},
        population__cohorts__crowd__traders=of_comeback
        | {
            "reaction": {"median": "4s", "p99": "20s"},
            "near": of_panic["near"],
            "rebalance": {"period": "15s", "target_leverage": 9},
        },
    )
    rates = [Decimal("0.01"), Decimal("0.02"), Decimal("0.05")]
    table = raw["markets"]["ETH"]
    del table["maintenance"]
    for key, factor in (("maintenance_usd", 1), ("initial_usd", Decimal("1.5"))):
        table[key] = [[s, r * factor] for s, r in zip((0, 5_000, 20_000), rates, strict=True)]
    return changed(raw, overrides)


def in_coins(**overrides: Any) -> Raw:
    """A fall of an inverse contract and a rise of a linear one, against collateral in coins."""
    by_notional = {"maintenance": [], "maintenance_usd": [[0, Decimal("0.01")]]}
    raw = small_scenario(
        name="in_coins",
        end=at(120),
        markets__ETH=market(
            path=knots((0, 100), (20, 100), (50, 82), (120, 90)),
            liquidity=_book(15_000),
            contract="inverse",
            **by_notional,
        ),
        markets__BTC=market(
            path=knots((0, 200), (30, 200), (70, 236), (120, 210)),
            liquidity=_book(8_000),
            **by_notional,
        ),
        venue__tranches={"share": Decimal("0.5"), "spacing": "1s"},
        venue__fund__initial_usd=300,
        venue__fees__taker=Decimal("0.0005"),
        population__cohorts={
            "eth": _crowd(collateral="coin"),
            "btc": _crowd(collateral="coin") | {"market": "BTC"},
        },
    )
    return changed(raw, overrides)


def scaled(**overrides: Any) -> Raw:
    """The crash under margin rates that follow what the venue sees, and fees on leverage."""
    mitigations = [
        {
            "kind": "dynamic_margin",
            "market": "ETH",
            "period": "2s",
            "half_life": "6s",
            "reference": 8,
            "low": Decimal("0.8"),
            "high": 2,
            "ramp": Decimal("0.3"),
            "restore": Decimal("0.05"),
            "notice": "3s",
        },
        {
            "kind": "open_interest_margin",
            "period": "5s",
            "reference_usd": 120_000,
            "low": Decimal("0.9"),
            "high": Decimal("1.5"),
            "ramp": Decimal("0.1"),
            "restore": Decimal("0.04"),
            "notice": "0s",
        },
        {
            "kind": "stress_margin",
            "period": "4s",
            "points": [[at(16), Decimal("1.6")], [at(70), Decimal("0.4")]],
            "reference": 1,
            "low": Decimal("0.7"),
            "high": Decimal("1.5"),
            "ramp": Decimal("0.4"),
            "restore": Decimal("0.2"),
            "notice": "9s",
        },
        {
            "kind": "leverage_fee",
            "period": "10s",
            "leverage": 6,
            "rate": Decimal("0.001"),
            "half_life": "30s",
            "reference": 5,
            "high": 2,
        },
    ]
    return changed(cross_crash(name="scaled", mitigations=mitigations), overrides)


def concentrated(**overrides: Any) -> Raw:
    """The crash under margin rates that follow how concentrated positions are."""
    rule = {
        "kind": "concentration_margin",
        "period": "2s",
        "largest": 3,
        "reference": Decimal("0.3"),
        "low": Decimal("0.5"),
        "high": 2,
        "ramp": Decimal("0.2"),
        "restore": Decimal("0.1"),
        "notice": "3s",
    }
    return changed(cross_crash(name="concentrated", mitigations=[rule]), overrides)


_BY_CORRELATION: Final = {
    "kind": "correlation_margin",
    "period": "2s",
    "half_life": "6s",
    "reference": Decimal("0.5"),
    "low": Decimal("0.8"),
    "high": Decimal("1.7"),
    "ramp": Decimal("0.2"),
    "restore": Decimal("0.1"),
    "notice": "3s",
}


def correlated(**overrides: Any) -> Raw:
    """The crash in two markets under margin rates that follow how much these move together."""
    # BTC turns round halfway, so that what moved together does not.
    path = knots((0, 200), (15, 200), (35, 173), (60, 187), (120, 167))
    raw = cross_crash(name="correlated", mitigations=[dict(_BY_CORRELATION)])
    raw["markets"]["BTC"]["path"] = path
    return changed(raw, overrides)


def cut_short(**overrides: Any) -> Raw:
    """Coins as collateral that count for less, the more two markets move together."""
    rule = _BY_CORRELATION | {"scales": "haircut"}
    # A second rule for one market, whose rates follow as well: at some instants all change.
    steep = rule | {"name": "steep", "market": "ETH", "high": Decimal("1.3")}
    rates = rule | {"name": "rates", "market": "ETH", "scales": "maintenance"}
    raw = in_coins(name="cut_short", mitigations=[rule, steep, rates])
    raw["venue"]["margin"] = {"coin_haircut": Decimal("0.1")}
    raw["markets"]["BTC"]["path"] = knots((0, 200), (15, 200), (35, 183), (60, 191), (120, 178))
    return changed(raw, overrides)


def foreseen(**overrides: Any) -> Raw:
    """The crash under margin rates that follow what a model expects of it."""
    rule = {
        "kind": "predictive",
        "model": "by_hand.json",
        "content": model_text(intercept=-4, ladder=2, forced=1, imbalance=Decimal("0.5")),
        "period": "2s",
        "high": Decimal("1.5"),
        "low": Decimal("0.9"),
        "ramp": Decimal("0.1"),
        "restore": Decimal("0.03"),
        "notice": "3s",
    }
    return changed(cross_crash(name="foreseen", mitigations=[rule]), overrides)


def stepped_down(**overrides: Any) -> Raw:
    """The crash in which positions are reduced, step by step, once a model expects it."""
    rule = {
        "kind": "predictive",
        "action": "deleverage",
        "model": "by_hand.json",
        "content": model_text(intercept=-4, ladder=2, forced=1, imbalance=Decimal("0.5")),
        "period": "2s",
        "above": Decimal("0.1"),
        "step": Decimal("0.1"),
        "cap": Decimal("0.25"),
        "most_usd": 2_000,
        "slippage": Decimal("0.002"),
    }
    return changed(cross_crash(name="stepped_down", mitigations=[rule]), overrides)


def vaulted(**overrides: Any) -> Raw:
    """A crash in which a vault takes over what the book does not, and sells it on."""
    vault = {
        "kind": "backstop",
        "purse_usd": 20_000,
        "discount": Decimal("0.001"),
        "position_limit_usd": 15_000,
        "resale_delay": "5s",
        "resale_parts": 3,
        "resale_spacing": "4s",
    }
    return engine_cascade(mitigations=[vault], **overrides)


def pooled(**overrides: Any) -> Raw:
    """A crash in which a pool goes ahead of a book that would give a worse price."""
    pool = {
        "kind": "pool",
        "deposits": [{"amount_usd": 3_000}, {"amount_usd": Decimal("1_000.000001")}],
        "discount": Decimal("0.001"),
        "leverage": Decimal("0.9"),
        "position_limit_usd": 3_500,
        "resale_delay": "5s",
        "resale_parts": 3,
        "resale_spacing": "4s",
    }
    return engine_cascade(mitigations=[pool], **overrides)


def absorbed(**overrides: Any) -> Raw:
    """Holes of a crash that a limited fund, then stakers pay for, before others do."""
    raw = shared_losses(
        name="absorbed",
        venue__fund={"initial_usd": 200},
        mitigations=[
            {"kind": "fund_limits", "max_draw_usd": 5, "max_window_usd": 30, "span": "20s"},
            {
                "kind": "staking",
                "stakers": [
                    {"name": "whale", "purse_usd": 300},
                    {"name": "shrimp", "purse_usd": 20},
                ],
                "max_share": Decimal("0.1"),
            },
        ],
    )
    return changed(raw, overrides)


def rewarded(**overrides: Any) -> Raw:
    """The crash of keepers who wait until rewards and shares of penalties pay for their calls."""
    raw = keeper_race(
        name="rewarded",
        venue__fees={"taker": Decimal("0.0005"), "liquidation_on_execution": Decimal("0.005")},
        mitigations=[
            {
                "kind": "penalty_routing",
                "keeper": Decimal("0.333333"),
                "fund": Decimal("0.333333"),
                "treasury": Decimal("0.133333"),
                "burn": Decimal("0.200001"),
            },
            {
                "kind": "keeper_reward",
                "name": "auction",
                "law": "waiting",
                "base_usd": 1,
                "per_minute_usd": 60,
                "max_usd": 20,
                "budget_usd": 600,
            },
            {
                "kind": "keeper_reward",
                "name": "depths",
                "law": "violation",
                "base_usd": 0,
                "rate": Decimal("0.1"),
                "max_window_usd": 30,
                "span": "20s",
                "budget_usd": 400,
            },
            {
                "kind": "keeper_reward",
                "name": "drought",
                "law": "scarcity",
                "base_usd": 0,
                "scarce_usd": 20,
                "reference_usd": 20_000,
                "distance": Decimal("0.02"),
            },
        ],
    )
    for bot in raw["venue"]["keepers"]["bots"].values():
        bot["min_profit_usd"] = 20
        bot["call_cost_usd"] = 3
    return changed(raw, overrides)


def rationed(**overrides: Any) -> Raw:
    """The crash of an engine that may put up only so much in ten seconds, cut and delayed."""
    limit = {"kind": "rate_limit", "max_usd": 20_000, "span": "10s", "least_usd": 1_000}
    return engine_cascade(mitigations=[limit], **overrides)


def queued(**overrides: Any) -> Raw:
    """A run that ends while accounts wait for a rate limit."""
    limit = {"kind": "rate_limit", "max_usd": 500, "span": "60s", "least_usd": 0}
    return engine_cascade(mitigations=[limit], **overrides)


def crossed(**overrides: Any) -> Raw:
    """Maintenance rises, for both sides: due longs and shorts are held for each other, and met."""
    raw = engine_cascade(
        name="crossed",
        markets__ETH__path=knots((0, 100), (20, 100), (40, 97), (60, 103), (180, 99)),
        markets__ETH__maintenance_changes=[
            {"at": at(second), "multiplier": multiplier}
            for second, multiplier in ((30, 2), (50, Decimal("2.5")), (80, 3), (120, 4))
        ],
        mitigations=[{"kind": "crossing", "hold": "20s"}],
        population__cohorts__crowd__long_share=Decimal("0.5"),
    )
    return changed(raw, overrides)


def auctioned(**overrides: Any) -> Raw:
    """The same, cleared in auctions: bidders take what longs and shorts leave each other."""
    auction = {
        "kind": "batch_auction",
        "period": "10s",
        "bids_usd": 12_000,
        "distance": Decimal("0.02"),
        "purse_usd": 30_000,
        "position_limit_usd": 20_000,
        "resale_delay": "5s",
        "resale_parts": 3,
        "resale_spacing": "4s",
    }
    return changed(crossed(name="auctioned", mitigations=[auction]), overrides)


def tripped(**overrides: Any) -> Raw:
    """The crash of the keepers at a venue whose breakers trip, and are followed by a grace."""
    fall = {"observable": "fall", "window": "30s", "above": Decimal("0.03")}
    flow = {"observable": "flow", "window": "10s", "above": 20_000}
    shaken = {"observable": "volatility", "window": "10s", "above": 4}
    times = {"duration": "15s", "cool_down": "20s"}
    stages = [{"when": [fall | {"above": Decimal("0.08")}], "duration": "30s"}]
    calls = {"kind": "breaker", "name": "calls", "when": [fall, flow], "stages": stages} | times
    risk = {"kind": "breaker", "name": "risk", "action": "halt_new_risk", "when": [shaken]} | times
    rows = [calls, risk, {"kind": "grace", "span": "4s"}]
    return changed(keeper_race(mitigations=rows), overrides)


def widened(**overrides: Any) -> Raw:
    """The crash in two markets, in which a breaker widens margins at two levels."""
    fall = {"observable": "fall", "window": "30s", "above": Decimal("0.03")}
    deep = {
        "when": [fall | {"above": Decimal("0.08")}],
        "duration": "30s",
        "factor": Decimal("1.8"),
    }
    row = {
        "kind": "breaker",
        "action": "widen_margin",
        "when": [fall],
        "factor": Decimal("1.3"),
        "notice": "2s",
        "duration": "15s",
        "cool_down": "20s",
        "stages": [deep],
    }
    return changed(cross_crash(name="widened", mitigations=[row]), overrides)


def locked(**overrides: Any) -> Raw:
    """A run that ends inside a halt."""
    fall = {"observable": "fall", "window": "30s", "above": Decimal("0.03")}
    row = {"kind": "breaker", "when": [fall], "duration": "1h"}
    return changed(engine_cascade(mitigations=[row]), overrides)


HANDMADE: Final[dict[str, Callable[..., Raw]]] = {
    "quiet": small_scenario,
    "steady": steady,
    "engine_cascade": engine_cascade,
    "keeper_race": keeper_race,
    "squeeze": squeeze,
    "cross_crash": cross_crash,
    "lost_race": lost_race,
    "restored_call": restored_call,
    "beyond_limit": beyond_limit,
    "purse_short": purse_short,
    "no_executor": no_executor,
    "no_depth": no_depth,
    "dry_book": dry_book,
    "rungs": rungs,
    "no_fresh_price": no_fresh_price,
    "spaced_out": spaced_out,
    "run_ended": run_ended,
    "choked": choked,
    "shared_losses": shared_losses,
    "indexed": indexed,
    "tightened": tightened,
    "bought_back": bought_back,
    "kinked": kinked,
    "asking": asking,
    "own_marks": own_marks,
    "desk_takes": desk_takes,
    "funded": funded,
    "panic": panic,
    "comeback": comeback,
    "rebalanced": rebalanced,
    "mingled": mingled,
    "newcomers": newcomers,
    "forewarned": forewarned,
    "in_coins": in_coins,
    "scaled": scaled,
    "concentrated": concentrated,
    "correlated": correlated,
    "cut_short": cut_short,
    "foreseen": foreseen,
    "stepped_down": stepped_down,
    "absorbed": absorbed,
    "rewarded": rewarded,
    "vaulted": vaulted,
    "pooled": pooled,
    "rationed": rationed,
    "queued": queued,
    "crossed": crossed,
    "auctioned": auctioned,
    "tripped": tripped,
    "widened": widened,
    "locked": locked,
}
"""The hand-written scenarios, by name."""


# At random ----------------------------------------------------------------------------------------


def absorbing(random: Random) -> list[Raw]:
    """Return rows of `[[mitigations]]` that absorb losses, at random."""
    rows = [
        {
            "kind": "fund_limits",
            "name": f"limits{number}",
            "max_draw_usd": random.choice([0, 3, 30, 999_999]),
            "max_window_usd": random.choice([10, 100, 999_999]),
            "span": random.choice(["1s", "20s", "10m"]),
        }
        for number in range(random.choice([0, 0, 1, 2]))
    ]
    rows += [
        {
            "kind": "staking",
            "name": f"stakes{number}",
            "stakers": [
                {"name": f"staker{number}{place}", "purse_usd": random.choice([0, 7, 40, 900])}
                for place in range(random.choice([1, 3]))
            ],
            "max_share": random.choice([1, Decimal("0.3"), Decimal("0.01")]),
        }
        for number in range(random.choice([0, 1, 1, 2]))
    ]
    rows += [
        {
            "kind": "backstop",
            "name": f"vault{number}",
            "purse_usd": random.choice([300, 5_000, 900_000]),
            "discount": random.choice([0, Decimal("0.001"), Decimal("0.02")]),
            "position_limit_usd": random.choice([2_000, 999_999_999]),
            "resale_delay": random.choice(["1s", "10s"]),
            "resale_parts": random.choice([1, 4]),
            "resale_spacing": random.choice(["0s", "7s"]),
        }
        for number in range(random.choice([0, 0, 1, 2]))
    ]
    return rows


def pooling(random: Random, *, has_book: bool = True) -> list[Raw]:
    """Return rows of pools, and perhaps of a vault beside them, at random."""
    rows = [
        {
            "kind": "pool",
            "name": f"pool{number}",
            "deposits": [
                {"amount_usd": random.choice([0, 1, 400, 5_000, 90_000])}
                for _ in range(random.choice([1, 3]))
            ],
            "discount": random.choice([0, Decimal("0.0005"), Decimal("0.002"), Decimal("0.02")]),
            "leverage": random.choice([1, 1, Decimal("0.4")]),
            "when": random.choice(["worse", "worse", "always"]) if has_book else "worse",
            "position_limit_usd": random.choice([2_000, 999_999_999]),
            "resale_delay": random.choice(["1s", "10s"]),
            "resale_parts": random.choice([1, 4]),
            "resale_spacing": random.choice(["0s", "7s"]),
        }
        for number in range(random.choice([1, 2]))
    ]
    vault = {"kind": "backstop", "name": "vault", "purse_usd": random.choice([300, 50_000])}
    rows.insert(random.choice([0, len(rows)]), vault)
    return rows if random.choice([True, False]) else [r for r in rows if r is not vault]


_START_PRICES: Final = {"ETH": 100, "BTC": 60_000, "PEPE": Decimal("0.02")}
_NOTIONAL_USD: Final = 100_000
_DELAYS: Final = ("0s", "250ms", "1s", "3s")
_LATENCIES: Final = (
    INSTANTLY,
    INSTANTLY,
    constant("700ms"),
    {"median": "500ms", "p99": "4s"},
    {"median": "2s", "p99": "12s"},
)
_MOVES: Final = tuple(Decimal(n) / 100 for n in (-55, -30, -18, -10, -5, -2, 0, 3, 8, 15, 30, 70))
_LAST_MOVES: Final = (Decimal(0), Decimal(0), Decimal("-0.1"), Decimal("0.2"))
"""A flat end lets the mark grow old."""

_WICKS: Final = tuple(Decimal(n) / 100 for n in (0, 0, 0, 2, 12))
_BAR_S: Final = 40


def _of(*values: Any) -> Any:
    return st.sampled_from(values)


def _decimal(low: int, high: int, decimals: int) -> st.SearchStrategy[Decimal]:
    return st.integers(low, high).map(lambda n: Decimal(n).scaleb(-decimals))


@st.composite
def _windows(draw: st.DrawFn, end_s: int) -> list[list[datetime]]:
    cuts = draw(st.lists(st.integers(0, end_s), min_size=0, max_size=4, unique=True))
    cuts = sorted(cuts)
    return [[at(a), at(b)] for a, b in zip(cuts[0::2], cuts[1::2], strict=False)]


@st.composite
def _paths(draw: st.DrawFn, start: Any, end_s: int) -> tuple[Raw, list[Raw]]:
    step_s = draw(_of(1, 5, 10))
    shocks = [
        {
            "at": at(draw(_of(end_s // 8, end_s // 2, end_s - 4))),
            "fraction": draw(st.sampled_from(_MOVES)),
            "over": draw(_of("0s", "5s", "40s")),
            "recovery_half_life": draw(_of("0s", "10s", "60s")),
        }
        for _ in range(draw(_of(0, 0, 1, 2)))
    ]
    if draw(_of("knots", "knots", "gbm")) == "gbm":
        path = {
            "kind": "gbm",
            "step": f"{step_s}s",
            "start_price": start,
            "volatility": draw(_of(5, 20, 50)),
            "drift": draw(_of(0, 0, -100, 100)),
        }
        if not shocks:
            shocks = [{"at": at(end_s // 3), "fraction": draw(st.sampled_from(_MOVES))}]
        return path, shocks
    points = [(0, start)]
    for share in (4, 2):
        move = draw(st.sampled_from(_MOVES))
        points.append((end_s // share, round(Decimal(start) * (1 + move), 8)))
    last = draw(st.sampled_from(_LAST_MOVES))
    points.append((end_s, round(Decimal(points[-1][1]) * (1 + last), 8)))
    path = knots(*points, step=f"{step_s}s", volatility=draw(_of(0, 0, 10)))
    return path, shocks


@st.composite
def _rows(draw: st.DrawFn, start: Any, count: int) -> list[tuple[Decimal, ...]]:
    """Draw bars of (open, high, low, close); now and then the price jumps between two of them."""

    def moved(price: Decimal, moves: tuple[Decimal, ...]) -> Decimal:
        return round(price * (1 + draw(st.sampled_from(moves))), 8)

    rows = []
    opening = Decimal(start)
    for number in range(count):
        close = moved(opening, _MOVES if number < 2 else _LAST_MOVES)
        high = moved(max(opening, close), _WICKS)
        low = moved(min(opening, close), tuple(-wick for wick in _WICKS))
        rows.append((opening, high, low, close))
        opening = moved(close, (Decimal(0), Decimal(0), Decimal("0.02")))
    return rows


@st.composite
def _levels(draw: st.DrawFn, units: Decimal) -> Raw:
    """Draw a ladder that holds about *units* within 1 % of the reference."""
    offsets = draw(_of(("0", "0.01", "0.1"), ("0.0005", "0.005", "0.02", "0.3"), ("0.001",)))
    sizes = draw(_of((1, 4, 10), (Decimal("0.5"), 1, 3)))
    levels = [
        [Decimal(offset), round(units * sizes[min(row, 2)], 8)]
        for row, offset in enumerate(offsets)
    ]
    return {"asks": levels, "bids": levels[: draw(_of(1, 4))]}


@st.composite
def _books(draw: st.DrawFn, start: Any, end_s: int) -> Raw:
    if draw(st.integers(0, 5)) == 0:
        return {"kind": "no_impact"}
    changes = sorted(draw(st.lists(st.integers(0, end_s - 1), max_size=3, unique=True)))
    refill: Raw = {
        "half_life": draw(_of("500ms", "20s", "10m")),
        "schedule": [
            {
                "at": at(seconds),
                "multiplier": draw(_of(Decimal("0.02"), Decimal("0.3"), 2)),
                "half_life": draw(_of("1s", "60s")),
            }
            for seconds in changes
        ],
    }
    depth_usd = draw(_of(1_000, 4_000, 20_000, 200_000))
    if draw(st.integers(0, 4)) == 0:
        return {"kind": "ladder"} | refill | draw(_levels(Decimal(depth_usd) / start))
    raw = {
        "kind": "power_book",
        "depth_usd": depth_usd,
        "exponent": draw(_of(1, 1, 0.5, 2.5)),
        "reach": draw(_of(Decimal("0.02"), Decimal("0.25"), Decimal("0.25"), 1)),
        "permanent_share": draw(_of(0, 0, Decimal("0.3"), 1)),
    } | refill
    if draw(st.booleans()):
        raw["fill_depth_usd"] = depth_usd * draw(_of(Decimal("0.3"), 2))
    # A sweep may move the price for good by a factor of e ** 20 at most; the loader refuses more.
    if float(raw["permanent_share"]) * float(100 * raw["reach"]) ** raw["exponent"] > 1_000:
        raw["permanent_share"] = 0
    return raw


@st.composite
def _oracles(draw: st.DrawFn, end_s: int) -> Raw:
    sources = {
        f"s{number}": source(
            period=draw(_of("1s", "1s", "2s", "7s")),
            offset=draw(_of("0s", "0s", "300ms")),
            latency=draw(st.sampled_from(_LATENCIES)),
            noise=draw(_of(0, 0, Decimal("0.0005"), Decimal("0.005"))),
            pass_through=draw(_of(1, 1, Decimal("0.5"), 0)),
            catch_up=draw(_of("0s", "0s", "500ms", "5s")),
            outages=draw(_windows(end_s)) if draw(st.integers(0, 2)) == 0 else [],
        )
        for number in range(draw(_of(1, 1, 2, 3, 4)))
    }
    return {
        "deviation": draw(_of(Decimal("0.0001"), Decimal("0.001"), Decimal("0.01"))),
        "heartbeat": draw(_of("2s", "15s", "10m")),
        "heartbeat_miss": draw(_of(0, 0, Decimal("0.4"))),
        "quorum": draw(st.integers(1, len(sources))),
        "landing": draw(st.sampled_from(_LATENCIES)),
        "sources": sources,
    }


@st.composite
def _markets(draw: st.DrawFn, name: str, end_s: int) -> Raw:
    path, shocks = draw(_paths(_START_PRICES[name], end_s))
    first = draw(_of(Decimal("0.004"), Decimal("0.01"), Decimal("0.02")))
    units = Decimal(5_000) / _START_PRICES[name]
    tiers = [[0, first], [round(units, 8), first * 2], [round(units * 4, 8), first * 5]]
    return {
        "maintenance": tiers[: draw(st.integers(1, 3))],
        "path": path,
        "shocks": shocks,
        "liquidity": draw(_books(_START_PRICES[name], end_s)),
        "oracle": draw(_oracles(end_s)),
    }


@st.composite
def _bots(draw: st.DrawFn, end_s: int, slice_usd: int) -> Raw:
    # A purse that just pays for a slice falls short when the price moves on before the call lands.
    purse = draw(_of(300, round(slice_usd * 1.03), round(slice_usd * 1.03), 30_000, 1_000_000))
    bots = {}
    for number in range(draw(st.integers(1, 4))):
        bots[f"k{number}"] = keeper(
            reaction=draw(st.sampled_from(_LATENCIES)),
            landing=draw(st.sampled_from(_LATENCIES)),
            purse_usd=draw(_of(purse, purse, purse, 0, 10_000)),
            call_cost_usd=draw(_of(0, Decimal("0.5"), 40)),
            resale_delay=draw(_of("200ms", "2s", "30s")),
            **_resales(draw(st.integers(0, 5))),
            downtime=draw(_windows(end_s)) if draw(st.integers(0, 2)) == 0 else [],
        )
    return bots


def _resales(number: int) -> Raw:
    """Return how a keeper sells on and what it asks for: mostly at once, and nothing."""
    kinds: list[Raw] = [
        {"resale_parts": 3},
        {"resale_parts": 4, "resale_spacing": "700ms"},
        {"min_profit_usd": 1, "resale_parts": 2},
    ]
    return kinds[number] if number < len(kinds) else {}


@st.composite
def _limits(draw: st.DrawFn, end_s: int) -> Raw:
    """Draw what an engine cannot do: mostly some of it."""
    rate = draw(_of(0, 0, Decimal("0.5"), 3, 40))
    limits: Raw = {"orders_per_second": rate, "outages": draw(_windows(end_s))}
    if draw(st.booleans()):
        slow = min(rate or 1, Decimal("0.4"))
        window = {"from": at(end_s // 8), "to": at(draw(_of(end_s // 2, end_s)))}
        limits["overloads"] = [window | {"orders_per_second": slow}]
    return limits if draw(st.booleans()) else {}


def _top_up(**changes: Any) -> Raw:
    row = {"from": "ada", "amount_usd": 30, "when_below_usd": 4, "times": 3, "min_interval": "3s"}
    return row | changes


@st.composite
def _funds(draw: st.DrawFn, end_s: int) -> Raw:
    """Draw a fund; who pays by which rules is one draw, to leave the others as they are."""
    initial = {"initial_usd": draw(_of(0, 5, 300, 1_000_000))}
    purses = {"ada": {"purse_usd": 100}, "bea": {"purse_usd": 3}}
    dated = [
        {"from": "bea", "amount_usd": 2, "at": at(end_s // 4)},
        {"from": "ada", "amount_usd": 80, "at": at(end_s // 2)},
        {"from": "bea", "amount_usd": 80, "at": at(end_s - 1)},
    ]
    rules: list[Raw] = [
        {},
        {},
        {"contributions": dated},
        {"top_ups": [_top_up()]},
        {"top_ups": [_top_up(amount_usd=Decimal("0.5"), times=20, min_interval="0s")]},
        {"contributions": dated[:2], "top_ups": [_top_up(when_below_usd=200, amount_usd=60)]},
        {"top_ups": [_top_up(**{"from": "bea"}), _top_up(min_interval="30s", when_below_usd=1)]},
    ]
    chosen = draw(st.sampled_from(rules))
    return initial | ({"backers": purses} | chosen if chosen else {})


LAST_LAYERS: Final = [
    {"profit_haircut": haircut, "haircut_severity": severity, "socialise": socialise}
    for haircut, severity in (
        ("none", 1),
        ("pro_rata", 1),
        ("pro_rata", Decimal("0.05")),
        ("queue", 1),
        ("queue", Decimal("0.5")),
    )
    for socialise in ("none", "notional", "equity")
]
"""Every combination of the last layers of a waterfall."""


@st.composite
def _venues(draw: st.DrawFn, executor: str, end_s: int) -> Raw:
    slice_usd = draw(_of(999_999_999, 5_000, 800))
    venue: Raw = {
        "executor": executor,
        "due_at_zero": draw(st.booleans()),
        "mark_max_age": draw(_of("0s", "1s", "5s")),
        "fees": {
            "taker": draw(_of(0, Decimal("0.0005"))),
            "liquidation_on_mark": draw(_of(0, Decimal("0.003"))),
            "liquidation_on_execution": draw(_of(0, 0, Decimal("0.01"))),
        },
        "tranches": {
            "share": draw(_of(1, Decimal("0.5"), Decimal("0.2"))),
            "max_usd": slice_usd,
            "min_usd": draw(_of(0, 0, 300, 3_000)),
            "spacing": draw(_of("1s", "2s", "15s")),
            "restore_buffer": draw(_of(0, Decimal("0.1"), 1)),
        },
        "fund": draw(_funds(end_s)),
        "waterfall": {
            "surplus_to": draw(_of("fund", "trader")),
            "deleveraging": draw(_of("ranked", "ranked", "none")),
        }
        | draw(st.sampled_from(LAST_LAYERS)),
        "cross": {"first_leg": draw(_of("largest_release", "largest_loss", "most_liquid"))},
    }
    if executor == "engine":
        venue["engine"] = {
            "reaction": draw(_of(*_DELAYS, "20s")),  # Long enough to meet an end or a recovery.
            "child_order_usd": draw(_of(999_999_999, 4_000, 500)),
            "child_spacing": draw(_of("0s", "1s", "5s")),
            "retry": draw(_of("0s", "5s", "20s")),
            **draw(_limits(end_s)),
        }
    else:
        venue["keepers"] = {
            "reaction": draw(_of(*_DELAYS, "20s")),  # Long enough to meet an end or a recovery.
            "discount": draw(_of(0, Decimal("0.005"), Decimal("0.05"))),
            "bots": draw(_bots(end_s, min(slice_usd, 20_000))),
        }
    return venue


@st.composite
def _cohorts(draw: st.DrawFn, name: str, max_leverage: int) -> Raw:
    accounts = draw(st.integers(1, 20))
    return cohort(
        market=name,
        accounts=accounts,
        notional_usd=_NOTIONAL_USD,
        long_share=draw(_of(0, Decimal("0.3"), Decimal("0.5"), Decimal("0.7"), 1)),
        size_leverage_correlation=draw(_of(0, 0.8, -0.8)),
        size={"alpha": draw(_of(1.1, 3, 50)), "max_usd": _NOTIONAL_USD},
        leverage={
            "median": draw(_of(4, 12, max_leverage)),
            "sigma": draw(_of(0, 0.5, 1.5)),
            "max": max_leverage,
        },
        entry={
            "long_mean": draw(_of(0, 0, -0.1, 0.02)),
            "long_sd": draw(_of(0, 0.03)),
            "short_mean": draw(_of(0, 0, 0.1, -0.02)),
            "short_sd": draw(_of(0, 0.03)),
        },
    )


@st.composite
def _listed(draw: st.DrawFn, names: list[str], inverse: set[str]) -> Raw:
    """Draw accounts of a file, with coins in *inverse* markets; one in a few is due at first."""
    rows: list[tuple[Any, ...]] = []
    held: set[tuple[int, str]] = set()
    for _ in range(draw(st.integers(1, 5))):
        name, number = draw(st.sampled_from(names)), draw(st.integers(0, 4))
        if (number, name) in held or (-1 - number, name) in held:
            continue
        is_cross = any(number == other for other, _ in held)
        held.add((number, name))
        entry = round(_START_PRICES[name] * draw(_of(1, 1, Decimal("0.98"), Decimal("1.05"))), 8)
        size_usd = draw(_decimal(1_000, 2_000_000, 2))
        quantity = max(round(size_usd / entry, 8), Decimal("0.00000001"))
        collateral = max(round(size_usd / draw(_of(5, 12, 24, 80)), 6), Decimal("0.01"))
        signed = quantity * draw(_of(1, -1))
        if name in inverse:
            coins = max(round(collateral / entry, 8), Decimal("0.00000001"))
            rows.append((f"coin {number} {name}", name, signed, entry, "", coins))
            held.remove((number, name))
            held.add((-1 - number, name))
        else:
            rows.append((f"real {number}", name, signed, entry, "" if is_cross else collateral, ""))
    return listed(*rows, due_at_start="liquidate")


def scenarios(executor: str) -> st.SearchStrategy[Raw]:
    """Return legal scenarios of a few minutes, whose *executor* is `engine` or `keepers`."""
    return apart(_scenarios(executor))


@st.composite
def _legs(draw: st.DrawFn, names: list[str]) -> Raw:
    first, *others = draw(st.permutations(names))
    others = others[: draw(st.integers(1, len(others)))]
    share = draw(_of(Decimal("0.2"), Decimal("0.4")))
    legs: Raw = {first: {"share": 1 - share * len(others)}}
    for name in others:
        hedge_share = draw(_of(0, Decimal("0.5"), 1))
        legs[name] = {"share": share, "hedge_share": hedge_share}
    return legs


@st.composite
def _scenarios(draw: st.DrawFn, executor: str) -> Raw:
    end_s = 40 * draw(st.integers(2, 4))
    names = list(_START_PRICES)[: draw(_of(1, 1, 2, 3))]
    cohorts: Raw = {}
    for name in names:
        for number in range(draw(_of(1, 2))):
            cohorts[f"{name.lower()}{number}"] = draw(_cohorts(name, 24))
    if len(names) > 1 and draw(_of(True, True, False)):
        cohorts["cross"] = draw(_cohorts("", 24)) | {"legs": draw(_legs(names))}
    raw = {
        "name": "random",
        "start": START,
        "end": at(end_s),
        "seed": draw(st.integers(0, 2**31)),
        "markets": {name: draw(_markets(name, end_s)) for name in names},
        "venue": draw(_venues(executor, end_s)),
        "population": {"entry_attempts": draw(_of(1, 20)), "cohorts": cohorts},
    }
    for name in names:  # Last, to leave all other draws as they are.
        raw["markets"][name]["maintenance_changes"] = draw(_changes(end_s))
    for table in cohorts.values():
        if "legs" not in table and draw(_of(False, False, True)):
            table["traders"] = draw(traders())
    # Where a sweep moves the price by powers of e, no history can contain it.
    is_mild = all(
        not market["liquidity"].get("permanent_share") and market["liquidity"].get("reach", 0) < 1
        for market in raw["markets"].values()
    )
    if draw(_of(False, False, True)) and is_mild:
        raw["path_mode"] = "purged"
    draw(_kinks(raw))  # Last of all, for the same reason.
    for name in names:
        raw["markets"][name]["mark"] = draw(_mark_rules())
    draw(_desks(raw["venue"]))
    for name in names:
        funding = draw(_fundings())
        if funding is not None:
            raw["markets"][name]["funding"] = funding
    draw(_growing(raw))
    draw(_coins(raw))
    draw(_mitigations(raw))
    return raw


@st.composite
def reducing(draw: st.DrawFn, raw: Raw, most: int) -> None:
    """Have positions of *raw* reduced by *most* rules, where nobody has coins as collateral."""
    for table in raw["population"].get("cohorts", {}).values():
        table.pop("collateral", None)
    for market in raw["markets"].values():
        market.pop("contract", None)
    names = list(raw["markets"])
    rules = [
        draw(_models())
        | {
            "kind": "predictive",
            "action": "deleverage",
            "name": f"steps {number}",
            "market": draw(_of("", names[0], names[-1])),
            "period": draw(_of("4s", "2500ms")),
            "above": draw(_of(0, Decimal("0.05"))),
            "step": draw(_of(Decimal("0.04"), Decimal("0.3"), 1)),
            "cap": draw(_of(Decimal("0.2"), 1)),
            "most_usd": draw(_of(1_000, 50_000)),
            "slippage": draw(_of(Decimal("0.0005"), Decimal("0.02"))),
        }
        for number in range(most)
    ]
    raw["mitigations"] = [*raw.get("mitigations", ()), *rules]


@st.composite
def scalings(draw: st.DrawFn, raw: Raw, most: int) -> None:
    """Let margin rates of *raw* follow what the venue sees, by *most* rules, and maybe charge."""
    names = list(raw["markets"])
    rules = []
    for _ in range(most):
        kind = draw(_of("dynamic_margin", "open_interest_margin", "stress_margin", "predictive"))
        rule = {
            "kind": kind,
            "name": f"rule {len(rules)}",
            "market": draw(_of("", names[0], names[-1])),
            "period": draw(_of("1s", "4s", "2500ms")),
            "low": draw(_of(0, Decimal("0.5"), 1)),
            "high": draw(_of(Decimal("1.3"), Decimal("1.5"))),
            "ramp": draw(_of(Decimal("0.03"), Decimal("0.2"), 9)),
            "restore": draw(_of(Decimal("0.02"), Decimal("0.3"))),
            "grain": draw(_of(Decimal("0.000001"), Decimal("0.07"))),
            "notice": draw(_of("0s", "2s", "13s")),
        }
        if kind == "dynamic_margin":
            rule |= {"half_life": draw(_of("2s", "30s")), "reference": draw(_of(4, 90))}
        elif kind == "open_interest_margin":
            rule |= {"reference_usd": draw(_of(40_000, 90_000))}
        elif kind == "predictive":
            rule |= draw(_models()) | {"reference": draw(_of(Decimal("0.1"), Decimal("0.5")))}
        else:
            index = st.sampled_from((Decimal("0.4"), Decimal("1.2"), 3))
            rule |= {"points": [[at(s), draw(index)] for s in (0, 9, 30, 50)][draw(_of(0, 1)) :]}
        rules.append(rule)
    for market in raw["markets"].values():  # Rates stay below one together.
        for change in market["maintenance_changes"]:
            change["multiplier"] = min(change["multiplier"], Decimal("1.2"))
    if draw(st.booleans()):
        rules.append(
            {
                "kind": "leverage_fee",
                "market": draw(_of("", names[0])),
                "period": draw(_of("5s", "9s")),
                "leverage": draw(_of(0, 8)),
                "rate": draw(_of(Decimal("0.0005"), Decimal("0.02"))),
                "half_life": "10s",
                "reference": draw(_of(1, 9)),
                "high": draw(_of(1, 10)),
            }
        )
    raw["mitigations"] = [*raw["mitigations"], *rules]


@st.composite
def concentrations(draw: st.DrawFn, raw: Raw) -> None:
    """Let margin rates of *raw* follow how concentrated its markets are."""
    names = list(raw["markets"])
    rule = {
        "kind": "concentration_margin",
        "market": draw(_of("", names[0])),
        "period": draw(_of("1s", "2500ms")),
        "largest": draw(_of(1, 2, 40)),
        "reference": draw(_of(Decimal("0.4"), Decimal("0.7"), 1)),
        "low": draw(_of(0, Decimal("0.4"))),
        "high": draw(_of(Decimal("1.2"), Decimal("1.5"))),
        "ramp": draw(_of(Decimal("0.03"), Decimal("0.3"))),
        "restore": draw(_of(Decimal("0.05"), Decimal("0.3"))),
        "grain": draw(_of(Decimal("0.000001"), Decimal("0.07"))),
        "notice": draw(_of("0s", "2s")),
    }
    raw["mitigations"] = [*raw["mitigations"], rule]


@st.composite
def correlations(draw: st.DrawFn, raw: Raw) -> None:
    """Let margin rates of *raw*, if it has several markets, follow how they move together."""
    names = list(raw["markets"])
    rule = {
        "kind": "correlation_margin",
        "name": "together",
        "market": draw(_of("", names[0], names[-1])),
        "period": draw(_of("1s", "2500ms")),
        "half_life": draw(_of("2s", "4s", "20s")),
        "reference": draw(_of(Decimal("0.2"), Decimal("0.5"), 1)),
        "low": draw(_of(0, Decimal("0.7"), 1)),
        "high": draw(_of(Decimal("1.2"), Decimal("1.5"))),
        "ramp": draw(_of(Decimal("0.03"), Decimal("0.3"))),
        "restore": draw(_of(Decimal("0.05"), Decimal("0.3"))),
        "grain": draw(_of(Decimal("0.000001"), Decimal("0.07"))),
        "notice": draw(_of("0s", "2s")),
    }
    if len(names) > 1:
        raw["mitigations"] = [*raw["mitigations"], rule]


@st.composite
def haircuts(draw: st.DrawFn, raw: Raw) -> None:
    """Let the haircut on coins of *raw*, if it has several markets, follow how they move."""
    names = list(raw["markets"])
    isolated = [table for table in raw["population"]["cohorts"].values() if table.get("market")]
    if len(names) == 1 or not isolated:
        return
    if draw(_of(True, True, False)):
        for table in isolated:
            table["collateral"] = "coin"
            table.pop("traders", None)
    with_coins = sorted({t["market"] for t in isolated if t.get("collateral") == "coin"})
    if not with_coins:
        return
    margin = raw["venue"]["margin"]
    margin["coin_haircut"] = margin["coin_haircut"] or draw(_of(Decimal("0.1"), Decimal("0.3")))
    rules = [
        {
            "kind": "correlation_margin",
            "name": f"haircut {number}",
            "scales": "haircut",
            "market": draw(_of("", *with_coins)),
            "period": draw(_of("1s", "2500ms")),
            "half_life": draw(_of("2s", "4s")),
            "reference": draw(_of(Decimal("0.2"), Decimal("0.5"))),
            "low": draw(_of(0, Decimal("0.7"), 1)),
            "high": draw(_of(Decimal("1.2"), Decimal("1.4"))),
            "ramp": draw(_of(Decimal("0.03"), 1)),
            "restore": draw(_of(Decimal("0.05"), Decimal("0.3"))),
            "grain": draw(_of(Decimal("0.000001"), Decimal("0.07"))),
            "notice": draw(_of("0s", "2s")),
        }
        for number in range(draw(_of(1, 2)))
    ]
    raw["mitigations"] = [*raw["mitigations"], *rules]


@st.composite
def _models(draw: st.DrawFn) -> Raw:
    """Draw a model of cascades: features weigh for risk, or against it, or nothing."""
    weights = {
        "imbalance": draw(_of(0, 1, -1)),
        "forced": draw(_of(0, 2)),
        "interest": draw(_of(0, Decimal("0.3"))),
        "ladder": draw(_of(1, 3)),
        "volatility": draw(_of(0, Decimal("0.05"))),
    }
    content = model_text(
        intercept=draw(_of(-5, -2)),
        window_s=draw(_of(3, 20)),
        distance=draw(_of(Decimal("0.01"), Decimal("0.05"))),
        **weights,
    )
    return {"model": "drawn.json", "content": content}


@st.composite
def _growing(draw: st.DrawFn, raw: Raw) -> None:
    """Let new accounts arrive in some of the cohorts of *raw* that act."""
    for table in raw["population"]["cohorts"].values():
        if "traders" in table and draw(_of(True, False)):
            table["traders"]["arrivals"] = draw(arrivals(raw, table["market"]))


@st.composite
def arrivals(draw: st.DrawFn, raw: Raw, market_name: str) -> Raw:
    """Draw how accounts arrive in a market of *raw*: some dozens, if they are let."""
    per_hour = draw(_of(300, 1_000))
    law = {
        "per_hour": per_hour,
        "max_per_hour": per_hour * draw(_of(1, 3)),
        "accounts_max": draw(_of(2, 10)),
        "windows": draw(_of([], [], [[at(5), at(40)]], [[at(0), at(20)], [at(30), at(80)]])),
        "size": draw(_of(Decimal("0.3"), 1)),
        "dip_slope": draw(_of(0, 30)),
        "dip_window": draw(_of("6s", "24h")),
    }
    long_share = draw(_of(None, 0, Decimal("0.5"), 1))
    elasticity = draw(_of(0, 1, Decimal("2.5")))
    if long_share is not None:
        law["long_share"] = long_share
    if raw["venue"].get("fees", {}).get("taker"):
        law |= {"fee_elasticity": elasticity, "fee_reference": Decimal("0.0004")}
    table = raw["markets"][market_name]
    if table.get("initial") or table.get("initial_usd"):
        law |= {"margin_elasticity": elasticity, "margin_reference": Decimal("0.05")}
    return law


@st.composite
def _coins(draw: st.DrawFn, raw: Raw) -> None:
    """Give some cohorts coins as collateral, and have some contracts be inverse; mostly neither."""
    cohorts = raw["population"]["cohorts"]
    raw["venue"]["margin"]["coin_haircut"] = draw(_of(0, 0, Decimal("0.1"), Decimal("0.5")))
    crossed = {name for table in cohorts.values() for name in table.get("legs", ())}
    for name in raw["markets"]:
        isolated = [table for table in cohorts.values() if table.get("market") == name]
        is_inverse = draw(_of(False, False, False, True)) and name not in crossed
        for table in isolated:
            if is_inverse or draw(_of(False, False, False, True)):
                table["collateral"] = "coin"
                table.pop("traders", None)
        if is_inverse:
            make_inverse(raw, name)


@st.composite
def _mitigations(draw: st.DrawFn, raw: Raw) -> None:
    """Add mitigations, alone or together; mostly none."""
    count = draw(_of(0, 0, 0, 1, 2))
    rows = [draw(_of(*_MITIGATIONS))(draw, list(raw["markets"])) for _ in range(count)]
    raw["mitigations"] = [row | {"name": f"m{number}"} for number, row in enumerate(rows)]


def _rate_limit(draw: st.DrawFn, markets: list[str]) -> Raw:
    return {
        "kind": "rate_limit",
        "market": draw(_of("", "", markets[0])),
        "max_usd": draw(_of(3_000, 20_000, 100_000)),
        "span": draw(_of("2s", "10s", "45s")),
        "window": draw(_of("rolling", "fixed")),
        "least_usd": draw(_of(0, 1_000)),
    }


def _slowed(draw: st.DrawFn, markets: list[str]) -> Raw:
    return slowed(draw(st.integers(0, 10**6)), markets[0])[0]


_MITIGATIONS: Final = (_rate_limit, _slowed)


def make_inverse(raw: Raw, name: str) -> None:
    """Have the contract of a market of *raw* be inverse, and drop what does not go with it."""
    market = raw["markets"][name]
    market["contract"] = "inverse"
    market.pop("funding", None)
    raw["venue"].setdefault("waterfall", {})["profit_haircut"] = "none"
    for key in ("maintenance", "initial"):
        if market.get(key):
            rates = [rate for _, rate in market.pop(key)]
            starts = (0, 5_000, 20_000)
            market[f"{key}_usd"] = [list(tier) for tier in zip(starts, rates, strict=False)]
    for table in raw["population"]["cohorts"].values():
        if table.get("market") == name:
            table["collateral"] = "coin"


def _return(**changes: Any) -> Raw:
    return {"share": Decimal("0.8"), "delay": {"median": "3s", "p99": "20s"}} | changes


@st.composite
def traders(draw: st.DrawFn) -> Raw:
    """Draw how accounts act; often all of a cohort do the same, after one time."""
    share = Decimal("0.3")
    shares = dict.fromkeys(("top_up_share", "reduce_share", "close_share"), share)
    alert = draw(_of(Decimal("0.2"), 1, 2))
    near = {"alert_buffer": alert, "top_up_to": draw(_of(alert, Decimal("2.2")))} | draw(
        _of(shares, shares, {"top_up_share": 1}, {"reduce_share": 1}, {"close_share": 1})
    )
    near |= {
        "top_up_times": draw(_of(1, 3)),
        "reduce_by": draw(_of(Decimal("0.3"), Decimal("0.5"), 1)),
    }
    others: list[Raw] = [
        {},
        {},
        {},
        {"stop": {"share": 1, "nearest": Decimal("0.01"), "farthest": Decimal("0.03")}},
        {"return": _return(), "relever": {"share": 1, "gain": Decimal("0.01")}},
        {"return": _return(delay=constant("4s"), same_side=0, size_sigma=1)},
        {
            "stop": {"share": Decimal("0.5"), "nearest": Decimal("0.02"), "farthest": 0.1},
            "return": _return(windows=[[at(30), at(50)], [at(60), at(80)]]),
        },
        {"rebalance": {"period": "20s", "target_leverage": 5}},
        {"rebalance": {"period": "9s", "target_leverage": 20, "target_volatility": 4}},
    ]
    return draw(st.sampled_from(others)) | {
        "reaction": draw(st.sampled_from((*_LATENCIES[1:], constant("5s"), constant("15s")))),
        "slippage": draw(_of(Decimal("0.002"), Decimal("0.1"), 1)),
        "near": near,
    }


def leave_room(raw: Raw) -> None:
    """Lower alerts where profits count in part: raised rates and the haircut sum to below one."""
    if not raw["venue"]["margin"]["unrealised_profit_haircut"]:
        return
    for table in raw["population"]["cohorts"].values():
        near = table.get("traders", {}).get("near", {})
        near |= {key: min(near[key], 1) for key in ("alert_buffer", "top_up_to") if key in near}


@st.composite
def _kinks(draw: st.DrawFn, raw: Raw) -> None:
    """Let tiers of *raw* go by notional, and count unrealised profits in part; mostly neither."""
    for market in raw["markets"].values():
        if draw(_of(False, False, True)):
            rates = [rate for _, rate in market.pop("maintenance")]
            starts = draw(_of((0, 2_000, 9_000), (0, 700, 40_000)))
            market["maintenance_usd"] = [list(tier) for tier in zip(starts, rates, strict=False)]
    share = draw(_of(0, 0, Decimal("0.2"), Decimal("0.35")))
    raw["venue"]["margin"] = {"unrealised_profit_haircut": share}
    leave_room(raw)
    if draw(_of(False, False, True)):
        for market in raw["markets"].values():
            for key in ("maintenance", "maintenance_usd"):
                market[key.replace("maintenance", "initial")] = [
                    [start, max(rate * Decimal("1.4"), Decimal("0.05"))]
                    for start, rate in market.get(key, ())
                ]
        # A long's margin must rise with its price.
        if draw(st.booleans()) and not share:
            raw["venue"]["tranches"]["restore_to"] = "initial"


@st.composite
def _fundings(draw: st.DrawFn) -> Raw | None:
    """Draw funding, dear enough to be felt in two minutes; mostly none."""
    if draw(_of(True, True, False)):
        return None
    return {
        "interval": draw(_of("10s", "30s")),
        "interest": draw(_of(0, Decimal("0.002"), Decimal("-0.0000125"))),
        "premium_weight": draw(_of(0, 1, Decimal("0.3"))),
        "cap": draw(_of(1, Decimal("0.004"))),
    }


@st.composite
def _mark_rules(draw: st.DrawFn) -> Raw:
    """Draw a mark rule; half the time the mark is the index."""
    if draw(_of(True, False)):
        return {}
    rule = {
        "book_weight": draw(_of(0, Decimal("0.3"), Decimal("0.5"), 1)),
        "guard": draw(_of(None, None, Decimal("0.0005"), Decimal("0.01"))),
        "max_step": draw(_of(None, None, Decimal("0.003"), Decimal("0.03"))),
        "min_depth": draw(_of(0, 0, Decimal("0.9"), 100)),
        "smoothing": draw(_of("0s", "4s", "30s")),
        "max_index_age": draw(_of("0s", "0s", "1500ms", "6s")),
        "band": draw(_of(Decimal("0.0001"), Decimal("0.05"))),
        "period": draw(_of("1s", "1s", "2500ms")),
        "deviation": draw(_of(Decimal("0.0005"), Decimal("0.005"))),
        "heartbeat": draw(_of("4s", "30s")),
    }
    return {key: value for key, value in rule.items() if value is not None}


@st.composite
def _desks(draw: st.DrawFn, venue: Raw) -> None:
    """Give some venues with an engine a desk that takes over before the market does."""
    if venue["executor"] == "engine" and draw(_of(False, False, False, True)):
        venue["executor"] = "desk"
        venue["desk"] = {
            "purse_usd": draw(_of(0, 900, 20_000, 1_000_000)),
            "price": draw(_of("bankruptcy", "mark")),
            "discount": draw(_of(0, Decimal("0.01"))),
            "position_limit_usd": draw(_of(700, 15_000, 999_999_999)),
            "resale_delay": draw(_of("200ms", "3s", "30s")),
            **{k: v for k, v in _resales(draw(st.integers(0, 5))).items() if k != "min_profit_usd"},
        }


@st.composite
def _changes(draw: st.DrawFn, end_s: int) -> list[Raw]:
    """Draw a venue that asks for more margin, and perhaps for another one later; mostly neither."""
    changes = [
        {"at": at(end_s // 4), "multiplier": draw(_of(Decimal("1.7"), 3))},
        {"at": at(end_s // 2), "multiplier": draw(_of(0, Decimal("0.5"), 2))},
    ]
    return changes[: draw(_of(0, 0, 0, 1, 2))]


def scenarios_from_files(executor: str) -> st.SearchStrategy[Raw]:
    """Return such scenarios whose first market follows bars of a file, with accounts of a file."""
    return apart(_scenarios_from_files(executor))


@st.composite
def _scenarios_from_files(draw: st.DrawFn, executor: str) -> Raw:
    raw = draw(_scenarios(executor))
    names, (first, table) = list(raw["markets"]), next(iter(raw["markets"].items()))
    count = -(-(raw["end"] - START) // timedelta(seconds=_BAR_S))
    rows = draw(_rows(_START_PRICES[first], count))
    table["path"] = bars(*rows, bar_s=_BAR_S, step=draw(_of("1s", "10s")))
    inverse = {name for name in names if raw["markets"][name].get("contract") == "inverse"}
    raw["population"]["accounts"] = draw(_listed(names, inverse))
    return raw


# Accounts and prices by hand ----------------------------------------------------------------------


Position = tuple[Any, ...]
"""(signed units, entry price, collateral), in units and USD; of isolated ones perhaps coins."""


def prepared_by_hand(
    raw: Raw,
    positions: list[Position | list[Position | None]],
    *prices: Mapping[int, Any],
) -> Prepared:
    """
    Return *raw* with these accounts and these paths instead of drawn ones.

    Args:
        raw: A scenario whose paths have steps of one second.
        positions: An isolated account's position in the first market, or a cross account's leg in
            each, None where it has none; the collaterals of legs are deposited as one sum.
        prices: Per market from the first on, the price from each second on; the first from 0.
    """
    prepared = prepare(load(raw))
    legs: list[tuple[int, int, int, int]] = []
    collaterals = []
    coins = np.zeros(len(positions), dtype=np.int64)
    for row, account in enumerate(positions):
        total = Decimal(0)
        for market_id, leg in enumerate(account if isinstance(account, list) else [account]):
            if leg is not None:
                units, entry, collateral, *rest = map(Decimal, leg)
                coins[row] = round(sum(rest, Decimal(0)) * 10**8)
                legs.append((row, market_id, round(units * 10**8), round(entry * 10**8)))
                total += collateral
        collaterals.append(round(total * 10**6))
    columns = [np.array(column, dtype=np.int64) for column in zip(*legs, strict=True)]
    names = [f"account_{number}" for number in range(len(positions))]
    paths = list(prepared.paths)
    for market_id, points in enumerate(prices):
        held = np.zeros(len(paths[market_id].prices_e8), dtype=np.int64)
        for second, price in sorted(points.items()):
            held[second:] = round(Decimal(price) * 10**8)
        paths[market_id] = ReferencePath(paths[market_id].step_us, held)
    accounts = Accounts(
        names, ["hand"] * len(names), np.array(collaterals, dtype=np.int64), *columns, coins
    )
    return attrs.evolve(prepared, paths=tuple(paths), accounts=accounts)
