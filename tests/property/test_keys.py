"""
Every key of a scenario does something: two legal values of it give different events.

The keys are read from the classes of the scenario, so that a new key without a row here fails.
`*` stands for a name, `[]` for a row of an array, `:kind` for the table that `kind` picked.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from decimal import Decimal
from functools import partial
from types import NoneType
from typing import Any, Final, get_args

import attrs
import pytest
from support.models import model_text
from support.scenarios import (
    Raw,
    absorbed,
    asking,
    at,
    auctioned,
    bars,
    changed,
    cohort,
    comeback,
    concentrated,
    correlated,
    cross_crash,
    crossed,
    cut_short,
    desk_takes,
    engine_cascade,
    events_of,
    foreseen,
    forewarned,
    funded,
    in_coins,
    keeper,
    keeper_race,
    kinked,
    knots,
    listed,
    market,
    newcomers,
    own_marks,
    panic,
    pooled,
    rationed,
    rebalanced,
    rewarded,
    scaled,
    small_scenario,
    source,
    squeeze,
    steady,
    stepped_down,
    tightened,
    vaulted,
    widened,
)

from liqsim.scenario.fields import key_of
from liqsim.scenario.mitigations import MITIGATIONS
from liqsim.scenario.model import KINDS, Scenario

EXEMPT: Final = {
    **{
        f"mitigations.[]:{kind}.name": "names it for people; events know it by number"
        for kind in ("dynamic_margin", "open_interest_margin", "stress_margin", "leverage_fee")
    },
    "name": "names the run and its files; nothing in the run reads it",
    "description": "is read by people only",
    "venue.desk.name": "names an owner, like that of a backer",
    "baseline": "names the prices that are given with it; tests/cli/test_baseline.py",
    "markets.*.path:file.timestamps": "says how a file is read; one reading covers the run",
    "markets.*.path:file.sha256": "refuses any other file; tests/cli/test_bad_files.py",
    "mitigations.[]:predictive.model": "names the file of what `content` is",
    "mitigations.[]:predictive.sha256": "refuses any other file; tests/unit/test_predicting.py",
    "population.accounts.due_at_start": "refuses or not; tests/unit/test_account_file.py",
    "population.accounts.sha256": "refuses any other file; tests/cli/test_bad_files.py",
    "basis.*": "says what a parameter rests on, and is echoed with the outcome",
    "basis.*.kind": "likewise",
    "basis.*.source": "likewise",
    "venue.fund.backers.*": "names an owner; events know it by number and nothing draws for it",
    **{
        f"mitigations.[]:{kind}.name": "names it; events know it by number"
        for kind in MITIGATIONS.values()
    },
    "mitigations.[]:staking.stakers.[].name": "names an owner; events know it by number",
}


def _leaves(cls: type[Any], prefix: str = "") -> Iterator[str]:
    """Yield the pattern of every value that a scenario may set."""
    for attribute in attrs.fields(cls):
        metadata, key = attribute.metadata, key_of(attribute)
        if key is None:
            continue
        path = prefix + key
        if "scalar" in metadata:
            yield path
        elif "pairs" in metadata:
            yield from (f"{path}.[].{scalar.key}" for scalar in metadata["of"])
        elif "rows" in metadata:
            (item, _) = get_args(attribute.type)
            yield from _tables_of(item, f"{path}.[]")
        elif "tables" in metadata:
            yield f"{path}.*"
            yield from _leaves(get_args(attribute.type)[0], f"{path}.*.")
        else:
            yield from _tables_of(attribute.type, path)


def _tables_of(annotation: Any, path: str) -> Iterator[str]:
    """Yield the patterns below a table, or one of several tables by its kind."""
    classes = get_args(annotation) or (annotation,)
    if any(cls in KINDS for cls in classes):
        yield f"{path}.kind"
    for below in classes:
        if below is not NoneType:
            kind = f":{KINDS[below]}" if below in KINDS else ""
            yield from _leaves(below, f"{path}{kind}.")


def _put(raw: Raw, path: str, value: Any) -> Raw:
    """Return *raw* with *value* at a dotted *path*; numbers are places in arrays."""
    raw = deepcopy(raw)
    *tables, last = path.split(".")
    node: Any = raw
    for part in tables:
        node = node[int(part)] if isinstance(node, list) else node.setdefault(part, {})
    node[int(last) if isinstance(node, list) else last] = value
    return raw


def _rename(raw: Raw, path: str, name: str) -> Raw:
    """Return *raw* with the table at *path* under another *name*, in the same place."""
    raw = deepcopy(raw)
    *tables, last = path.split(".")
    node: Any = raw
    for part in tables:
        node = node[part]
    renamed = {name if key == last else key: value for key, value in node.items()}
    node.clear()
    node.update(renamed)
    return raw


def tripping() -> Raw:
    """The fall and the rise against cross accounts, where all that halts does."""
    when = {"observable": "fall", "window": "10s", "above": Decimal("0.03")}
    flow = {"observable": "flow", "window": "10s", "above": 6_000}
    high = [when | {"above": Decimal("0.05")}, flow | {"above": 9_000}]
    stages = [{"when": high, "join": "any", "duration": "15s"}]
    row = {"kind": "breaker", "when": [when, flow], "duration": "7s", "cool_down": "4s"}
    pause = {"kind": "divergence_pause", "above": Decimal("0.004"), "duration": "3s"}
    grace = {"kind": "grace", "span": "2s"}
    rows = [row | {"stages": stages}, pause | {"cool_down": "3s"}, grace]
    return cross_crash(mitigations=rows)


# Scenarios ----------------------------------------------------------------------------------------


def gbm(**overrides: Any) -> Raw:
    """A random walk, by random steps."""
    path = {"kind": "gbm", "step": "1s", "start_price": 100, "volatility": 5, "drift": 1}
    return changed(small_scenario(markets__ETH__path=path), overrides)


FALL: Final = ((100, 101, 99, 100), (100, 100, 88, 90), (90, 91, 89, 90.5))


def along_bars() -> Raw:
    """A fall along the bars of a file."""
    return small_scenario(markets__ETH__path=bars(*FALL))


def one_bar() -> Raw:
    """A file of one bar, which cannot show how long it is."""
    return small_scenario(markets__ETH__path=bars((100, 101, 88, 90)) | {"bar": "60s"})


def shock(**changes: Any) -> Raw:
    """A scripted fall on a calm path."""
    row = {"at": at(20), "fraction": Decimal("-0.2"), "over": "5s", "recovery_half_life": "9s"}
    return small_scenario(markets__ETH__shocks=[row | changes])


def fall(**overrides: Any) -> Raw:
    """One account that is sold a little above its bankruptcy price, in a calm market."""
    path = knots((0, 100), (9, 100), (10, 90.5), (60, 90.5))
    return changed(small_scenario(markets__ETH__path=path), overrides)


def asking_by_notional() -> Raw:
    """The same account at a venue that asks for more at the opening, by notional."""
    raw = fall()
    del raw["markets"]["ETH"]["maintenance"]
    rates = [[0, Decimal("0.12")], [500, Decimal("0.2")]]
    raw["markets"]["ETH"] |= {"maintenance_usd": [[0, Decimal("0.01")]], "initial_usd": rates}
    return raw


def fall_apart(**overrides: Any) -> Raw:
    """One account that is sold in orders of 200 USD."""
    return fall(venue__engine__child_order_usd=200, **overrides)


OVERLOAD: Final = [{"from": at(5), "to": at(30), "orders_per_second": 1}]


def deep_fall(**overrides: Any) -> Raw:
    """One account that is sold below its bankruptcy price, with a short to share the loss."""
    return fall(
        markets__ETH__path=knots((0, 100), (9, 100), (10, 89), (60, 89)),
        population__cohorts={
            "longs": cohort(),
            "shorts": cohort(long_share=0, notional_usd=400),
        },
        **overrides,
    )


def offer(**overrides: Any) -> Raw:
    """One account offered to one keeper."""
    raw = fall(
        markets__ETH__path=knots((0, 100), (9, 100), (10, 90.7), (60, 90.6)),
        venue__executor="keepers",
        venue__keepers={"discount": 0, "bots": {"ann": keeper()}},
        **overrides,
    )
    raw["venue"].pop("engine")
    return raw


def crowd(**changes: Any) -> Raw:
    """Ten accounts of many sizes, leverages and entries."""
    return small_scenario(
        population__cohorts={
            "longs": cohort(
                accounts=10,
                notional_usd=10_000,
                long_share=Decimal("0.5"),
                size={"alpha": 1.5, "max_usd": 5_000},
                leverage={"median": 10, "sigma": 0.5, "max": 50},
                entry={"long_sd": 0.02, "short_sd": 0.02},
            )
            | changes
        }
    )


def slow_mark() -> Raw:
    """An account that is due while no fresh price comes."""
    oracle = market()["oracle"] | {"sources": {"one": source(outages=[[at(11), at(30)]])}}
    return fall(markets__ETH__oracle=oracle, venue__engine__reaction="3s")


def at_zero() -> Raw:
    """One account whose margin becomes exactly zero."""
    # 10 at 125 with 450 of collateral: at 100 and 20 % of maintenance, -800 + 1,000 - 200 = 0.
    return fall(
        markets__ETH__path=knots((0, 125), (9, 125), (10, 100), (60, 100)),
        markets__ETH__maintenance=[[0, Decimal("0.2")]],
        population__cohorts__longs=cohort(
            notional_usd=1_250, leverage={"median": Decimal("2.777777777777778"), "max": 4}
        ),
    )


def rungs(base: Callable[..., Raw]) -> Raw:
    """A cascade through a ladder."""
    levels = [[Decimal("0.001"), 100], [Decimal("0.01"), 300], [Decimal("0.1"), 3_000]]
    change = {"at": at(40), "multiplier": Decimal("0.3"), "half_life": "60s"}
    ladder = {
        "kind": "ladder",
        "asks": levels,
        "bids": levels,
        "half_life": "20s",
        "schedule": [change],
    }
    return base(markets__ETH__liquidity=ladder)


def dry() -> Raw:
    """One account in a book that runs dry and refills."""
    return fall(
        markets__ETH__liquidity={
            "kind": "power_book",
            "depth_usd": 200,
            "reach": Decimal("0.01"),
            "half_life": "5s",
        },
        venue__fund__initial_usd=1_000,
    )


def hollow(**overrides: Any) -> Raw:
    """One account sold far below bankruptcy, with two shorts that win and a long that loses."""
    return fall(
        markets__ETH__path=knots((0, 100), (9, 100), (10, 88), (60, 88)),
        venue__waterfall__deleveraging="none",
        population__cohorts={
            "longs": cohort(),
            "shorts": cohort(long_share=0, notional_usd=400),
            "small": cohort(long_share=0, notional_usd=100, leverage={"median": 4, "max": 50}),
            "safe": cohort(notional_usd=300, leverage={"median": 2, "max": 50}),
        },
        **overrides,
    )


def backed(**overrides: Any) -> Raw:
    """A fund that is emptied twice, two backers, one payment by the clock and up to two others."""
    return hollow(
        venue__fund={
            "initial_usd": 5,
            "backers": {"ann": {"purse_usd": 30}, "bob": {"purse_usd": 30}},
            "contributions": [{"from": "ann", "amount_usd": 7, "at": at(20)}],
            "top_ups": [
                {
                    "from": "ann",
                    "amount_usd": 2,
                    "when_below_usd": 3,
                    "times": 1,
                    "min_interval": "4s",
                }
            ],
        },
        **overrides,
    )


def sliced(law: str) -> Raw:
    """The crash of an engine that puts up slices by a law."""
    return engine_cascade(mitigations=[{"kind": "slices", "law": law, "least_usd": 100}])


def capped() -> Raw:
    """The crash of an engine that puts up what slips little."""
    cap = {"kind": "slippage_cap", "max_slippage": Decimal("0.0005"), "least_usd": 1_000}
    return engine_cascade(mitigations=[cap])


ETH = "markets.ETH"
ORACLE = f"{ETH}.oracle"
ONE = f"{ORACLE}.sources.one"
BOOK = f"{ETH}.liquidity"
ANN = "venue.keepers.bots.ann"
CROWD = "population.cohorts.crowd"
LONGS = "population.cohorts.longs"
CROSS: Final = "population.cohorts.cross"
WATERFALL = "venue.waterfall"
FUND = "venue.fund"

Row = tuple[Callable[[], Raw], str, Any, Any]


def of_both() -> Raw:
    """Return a crash in two markets with all that absorbs losses."""
    return cross_crash(
        venue__fund={"initial_usd": 200},
        venue__waterfall={"deleveraging": "none", "surplus_to": "fund"},
        mitigations=[row for make in (absorbed, vaulted, pooled) for row in make()["mitigations"]],
    )


def of_engine() -> Raw:
    """Return a crash whose engine collects penalties, all of them the keepers'."""
    fees = {"liquidation_on_execution": Decimal("0.001")}
    row = {"kind": "penalty_routing", "keeper": 1, "fund": 0, "treasury": 0}
    return engine_cascade(venue__fees=fees, mitigations=[row])


def shared(**shares: str) -> Raw:
    """Return shares of a penalty; what they leave is the treasury's."""
    given = dict.fromkeys(("keeper", "fund", "burn"), Decimal(0))
    given |= {name: Decimal(share) for name, share in shares.items()}
    return {"kind": "penalty_routing", **given, "treasury": 1 - sum(given.values())}


SCALING: Final = (
    ("on", True, False),
    ("market", "ETH", "BTC"),
    ("period", "4s", "5s"),
    ("low", Decimal("0.9"), 1),
    ("high", Decimal("1.1"), Decimal("1.3")),
    ("ramp", Decimal("0.1"), Decimal("0.03")),
    ("restore", Decimal("0.01"), Decimal("0.02")),
    ("notice", "1s", "2s"),
)
"""Keys of rules that scale margin rates, and two values of each."""

TOGETHER: Final = (
    ("on", True, False),
    ("market", "ETH", "BTC"),
    ("period", "2s", "3s"),
    ("ramp", Decimal("0.1"), Decimal("0.2")),
    ("grain", Decimal("0.000001"), Decimal("0.5")),
    ("notice", "1s", "2s"),
)
"""The same of rules about several positions or markets."""


def either_way() -> Raw:
    """Return a crash that a model foresees, with no key that one action alone reads."""
    rule = {key: stepped_down()["mitigations"][0][key] for key in ("kind", "model", "content")}
    return cross_crash(mitigations=[rule | {"period": "2s"}])


ROWS: Final[dict[str, Row]] = {
    **{
        f"mitigations.[]:penalty_routing.{key}": (rewarded, "mitigations.0", one, other)
        for key, one, other in (
            ("keeper", shared(keeper="0.5"), shared(keeper="0.6")),
            ("fund", shared(fund="0.5"), shared(fund="0.6")),
            ("treasury", shared(burn="0.3"), shared(burn="0.2")),
            ("burn", shared(burn="0.5"), shared(burn="0.6")),
        )
    },
    "mitigations.[]:penalty_routing.without_keeper": (
        of_engine,
        "mitigations.0.without_keeper",
        "fund",
        "treasury",
    ),
    "mitigations.[]:keeper_reward.law": (
        rewarded,
        "mitigations.1",
        {"kind": "keeper_reward", "base_usd": 20},
        {"kind": "keeper_reward", "base_usd": 20, "law": "waiting", "per_minute_usd": 9},
    ),
    **{
        f"mitigations.[]:{kind}.{key}": (
            lambda: rewarded(markets__BTC=market(path=knots((0, 100), (180, 100)))),
            f"mitigations.{place}.{key}",
            one,
            other,
        )
        for kind, place, key, one, other in (
            ("penalty_routing", 0, "on", True, False),
            ("penalty_routing", 0, "market", "ETH", "BTC"),
            ("penalty_routing", 0, "remainder", "fund", "burn"),
            ("keeper_reward", 1, "on", True, False),
            ("keeper_reward", 1, "market", "ETH", "BTC"),
            ("keeper_reward", 1, "base_usd", 1, 2),
            ("keeper_reward", 1, "budget_usd", 600, 60),
            ("keeper_reward", 1, "max_usd", 20, 15),
            ("keeper_reward", 1, "per_minute_usd", 60, 90),
            ("keeper_reward", 2, "rate", Decimal("0.1"), Decimal("0.2")),
            ("keeper_reward", 2, "max_window_usd", 30, 20),
            ("keeper_reward", 2, "span", "20s", "2s"),
            ("keeper_reward", 3, "scarce_usd", 20, 30),
            ("keeper_reward", 3, "reference_usd", 20_000, 10_000),
            ("keeper_reward", 3, "distance", Decimal("0.02"), Decimal("0.01")),
        )
    },
    "start": (gbm, "start", at(0), at(1)),
    "end": (engine_cascade, "end", at(180), at(170)),
    "venue.margin.unrealised_profit_haircut": (
        kinked,
        "venue.margin.unrealised_profit_haircut",
        0,
        Decimal("0.3"),
    ),
    "seed": (keeper_race, "seed", 1, 2),
    "path_mode": (engine_cascade, "path_mode", "on_top", "purged"),
    "markets.*.maintenance.[].from_units": (engine_cascade, f"{ETH}.maintenance.1.0", 50, 10),
    "markets.*.maintenance.[].rate": (
        engine_cascade,
        f"{ETH}.maintenance.0.1",
        Decimal("0.01"),
        Decimal("0.005"),
    ),
    "venue.desk.purse_usd": (desk_takes, "venue.desk.purse_usd", 30_000, 3_000),
    "venue.desk.price": (desk_takes, "venue.desk.price", "bankruptcy", "mark"),
    "venue.desk.discount": (
        lambda: desk_takes(venue__desk__price="mark"),
        "venue.desk.discount",
        0,
        Decimal("0.005"),
    ),
    "venue.desk.position_limit_usd": (
        desk_takes,
        "venue.desk.position_limit_usd",
        12_000,
        1_000,
    ),
    "venue.desk.resale_delay": (desk_takes, "venue.desk.resale_delay", "5s", "2s"),
    "venue.desk.resale_parts": (desk_takes, "venue.desk.resale_parts", 3, 2),
    "venue.desk.resale_spacing": (desk_takes, "venue.desk.resale_spacing", "4s", "6s"),
    "markets.*.initial.[].from_units": (asking, f"{ETH}.initial.1.0", 50, 10),
    "markets.*.initial.[].rate": (
        asking,
        f"{ETH}.initial.0.1",
        Decimal("0.05"),
        Decimal("0.055"),
    ),
    "markets.*.initial_usd.[].from_usd": (asking_by_notional, f"{ETH}.initial_usd.1.0", 500, 800),
    "markets.*.initial_usd.[].rate": (
        asking_by_notional,
        f"{ETH}.initial_usd.0.1",
        Decimal("0.12"),
        Decimal("0.15"),
    ),
    "venue.tranches.restore_to": (
        asking,
        "venue.tranches.restore_to",
        "initial",
        "maintenance",
    ),
    "markets.*.maintenance_usd.[].from_usd": (
        kinked,
        f"{ETH}.maintenance_usd.1.0",
        3_000,
        6_000,
    ),
    "markets.*.maintenance_usd.[].rate": (
        kinked,
        f"{ETH}.maintenance_usd.1.1",
        Decimal("0.02"),
        Decimal("0.03"),
    ),
    "markets.*.maintenance_changes.[].at": (
        tightened,
        f"{ETH}.maintenance_changes.0.at",
        at(30),
        at(28),
    ),
    "markets.*.maintenance_changes.[].multiplier": (
        tightened,
        f"{ETH}.maintenance_changes.0.multiplier",
        4,
        3,
    ),
    "markets.*.mark.book_weight": (
        own_marks,
        f"{ETH}.mark.book_weight",
        Decimal("0.5"),
        Decimal("0.6"),
    ),
    "markets.*.mark.guard": (own_marks, f"{ETH}.mark.guard", Decimal("0.003"), Decimal("0.004")),
    "markets.*.mark.max_step": (
        own_marks,
        f"{ETH}.mark.max_step",
        Decimal("0.01"),
        Decimal("0.009"),
    ),
    "markets.*.mark.min_depth": (
        own_marks,
        f"{ETH}.mark.min_depth",
        Decimal("0.5"),
        Decimal("0.2"),
    ),
    "markets.*.mark.smoothing": (own_marks, f"{ETH}.mark.smoothing", "10s", "20s"),
    "markets.*.mark.max_index_age": (own_marks, f"{ETH}.mark.max_index_age", "6s", "9s"),
    "markets.*.mark.band": (own_marks, f"{ETH}.mark.band", Decimal("0.01"), Decimal("0.011")),
    "markets.*.mark.period": (own_marks, f"{ETH}.mark.period", "1s", "2s"),
    "markets.*.mark.deviation": (
        own_marks,
        f"{ETH}.mark.deviation",
        Decimal("0.0005"),
        Decimal("0.001"),
    ),
    "markets.*.mark.heartbeat": (own_marks, f"{ETH}.mark.heartbeat", "5s", "7s"),
    "markets.*.funding.interval": (funded, f"{ETH}.funding.interval", "10s", "15s"),
    "markets.*.funding.interest": (funded, f"{ETH}.funding.interest", Decimal("0.002"), 0),
    "markets.*.funding.premium_weight": (funded, f"{ETH}.funding.premium_weight", 1, 0),
    "markets.*.contract": (in_coins, f"{ETH}.contract", "linear", "inverse"),
    "population.cohorts.*.collateral": (
        in_coins,
        "population.cohorts.btc.collateral",
        "usd",
        "coin",
    ),
    "venue.margin.coin_haircut": (in_coins, "venue.margin.coin_haircut", 0, Decimal("0.2")),
    "markets.*.funding.cap": (funded, f"{ETH}.funding.cap", Decimal("0.004"), Decimal("0.003")),
    "markets.*.path.kind": (
        small_scenario,
        f"{ETH}.path",
        knots((0, 100), (60, 100)),
        {"kind": "gbm", "step": "1s", "start_price": 100, "volatility": 1},
    ),
    "markets.*.path:knots.step": (engine_cascade, f"{ETH}.path.step", "1s", "5s"),
    "markets.*.path:knots.knots.[].time": (engine_cascade, f"{ETH}.path.knots.1.0", at(20), at(30)),
    "markets.*.path:knots.knots.[].price": (engine_cascade, f"{ETH}.path.knots.2.1", 84, 80),
    "markets.*.path:knots.bridge_volatility": (
        engine_cascade,
        f"{ETH}.path.bridge_volatility",
        2,
        0,
    ),
    "markets.*.path:gbm.step": (gbm, f"{ETH}.path.step", "1s", "2s"),
    "markets.*.path:gbm.start_price": (gbm, f"{ETH}.path.start_price", 100, 101),
    "markets.*.path:gbm.volatility": (gbm, f"{ETH}.path.volatility", 5, 4),
    "markets.*.path:gbm.drift": (gbm, f"{ETH}.path.drift", 1, -50),
    "markets.*.path:file.step": (along_bars, f"{ETH}.path.step", "1s", "5s"),
    "markets.*.path:file.file": (
        along_bars,
        f"{ETH}.path.file",
        bars(*FALL)["file"],
        bars(*reversed(FALL))["file"],
    ),
    "markets.*.path:file.bar": (one_bar, f"{ETH}.path.bar", "60s", "2m"),
    "markets.*.shocks.[].at": (shock, f"{ETH}.shocks.0.at", at(20), at(30)),
    "markets.*.shocks.[].fraction": (
        shock,
        f"{ETH}.shocks.0.fraction",
        Decimal("-0.2"),
        Decimal("-0.1"),
    ),
    "markets.*.shocks.[].over": (shock, f"{ETH}.shocks.0.over", "5s", "0s"),
    "markets.*.shocks.[].recovery_half_life": (
        shock,
        f"{ETH}.shocks.0.recovery_half_life",
        "9s",
        "0s",
    ),
    "markets.*.liquidity.kind": (
        fall,
        BOOK,
        {"kind": "no_impact"},
        {"kind": "power_book", "depth_usd": 100_000, "half_life": "1s"},
    ),
    "markets.*.liquidity:power_book.depth_usd": (
        engine_cascade,
        f"{BOOK}.depth_usd",
        30_000,
        40_000,
    ),
    "markets.*.liquidity:power_book.exponent": (
        engine_cascade,
        f"{BOOK}.exponent",
        1,
        Decimal("1.5"),
    ),
    "markets.*.liquidity:power_book.reach": (
        engine_cascade,
        f"{BOOK}.reach",
        Decimal("0.25"),
        Decimal("0.001"),
    ),
    "markets.*.liquidity:power_book.permanent_share": (
        engine_cascade,
        f"{BOOK}.permanent_share",
        0,
        1,
    ),
    "markets.*.liquidity:power_book.half_life": (engine_cascade, f"{BOOK}.half_life", "20s", "1s"),
    "markets.*.liquidity:power_book.schedule.[].at": (
        engine_cascade,
        f"{BOOK}.schedule.0.at",
        at(40),
        at(10),
    ),
    "markets.*.liquidity:power_book.schedule.[].multiplier": (
        engine_cascade,
        f"{BOOK}.schedule.0.multiplier",
        Decimal("0.3"),
        Decimal("0.2"),
    ),
    "markets.*.liquidity:power_book.schedule.[].half_life": (
        engine_cascade,
        f"{BOOK}.schedule.0.half_life",
        "60s",
        "10s",
    ),
    "markets.*.liquidity:power_book.fill_depth_usd": (
        engine_cascade,
        f"{BOOK}.fill_depth_usd",
        1_000_000,
        2_000,
    ),
    "markets.*.liquidity:ladder.asks.[].offset": (
        lambda: rungs(squeeze),
        f"{BOOK}.asks.0.0",
        0,
        Decimal("0.002"),
    ),
    "markets.*.liquidity:ladder.asks.[].units": (
        lambda: rungs(squeeze),
        f"{BOOK}.asks.0.1",
        100,
        1,
    ),
    "markets.*.liquidity:ladder.bids.[].offset": (
        lambda: rungs(engine_cascade),
        f"{BOOK}.bids.0.0",
        0,
        Decimal("0.002"),
    ),
    "markets.*.liquidity:ladder.bids.[].units": (
        lambda: rungs(engine_cascade),
        f"{BOOK}.bids.0.1",
        100,
        1,
    ),
    "markets.*.liquidity:ladder.half_life": (
        lambda: rungs(engine_cascade),
        f"{BOOK}.half_life",
        "20s",
        "1s",
    ),
    "markets.*.liquidity:ladder.schedule.[].at": (
        lambda: rungs(engine_cascade),
        f"{BOOK}.schedule.0.at",
        at(40),
        at(10),
    ),
    "markets.*.liquidity:ladder.schedule.[].multiplier": (
        lambda: rungs(engine_cascade),
        f"{BOOK}.schedule.0.multiplier",
        Decimal("0.3"),
        Decimal("0.2"),
    ),
    "markets.*.liquidity:ladder.schedule.[].half_life": (
        lambda: rungs(engine_cascade),
        f"{BOOK}.schedule.0.half_life",
        "60s",
        "10s",
    ),
    "markets.*.oracle.deviation": (
        engine_cascade,
        f"{ORACLE}.deviation",
        Decimal("0.002"),
        Decimal("0.01"),
    ),
    "markets.*.oracle.heartbeat": (engine_cascade, f"{ORACLE}.heartbeat", "20s", "5s"),
    "markets.*.oracle.heartbeat_miss": (
        steady,
        f"{ORACLE}.heartbeat_miss",
        0,
        Decimal("0.9"),
    ),
    "markets.*.oracle.quorum": (engine_cascade, f"{ORACLE}.quorum", 2, 1),
    "markets.*.oracle.landing.median": (
        engine_cascade,
        f"{ORACLE}.landing.median",
        "400ms",
        "300ms",
    ),
    "markets.*.oracle.landing.p99": (engine_cascade, f"{ORACLE}.landing.p99", "2s", "3s"),
    "markets.*.oracle.sources.*.period": (engine_cascade, f"{ONE}.period", "1s", "3s"),
    "markets.*.oracle.sources.*.offset": (engine_cascade, f"{ONE}.offset", "0s", "400ms"),
    "markets.*.oracle.sources.*.latency.median": (
        engine_cascade,
        f"{ONE}.latency.median",
        "300ms",
        "1s",
    ),
    "markets.*.oracle.sources.*.latency.p99": (engine_cascade, f"{ONE}.latency.p99", "3s", "9s"),
    "markets.*.oracle.sources.*.noise": (engine_cascade, f"{ONE}.noise", 0, Decimal("0.002")),
    "markets.*.oracle.sources.*.pass_through": (engine_cascade, f"{ONE}.pass_through", 1, 0),
    "markets.*.oracle.sources.*.catch_up": (squeeze, f"{ONE}.catch_up", "0s", "5s"),
    "markets.*.oracle.sources.*.outages.[].from": (slow_mark, f"{ONE}.outages.0.0", at(11), at(5)),
    "markets.*.oracle.sources.*.outages.[].to": (slow_mark, f"{ONE}.outages.0.1", at(30), at(40)),
    "venue.executor": (
        lambda: changed(offer(), {"venue__engine": {}}),
        "venue.executor",
        "keepers",
        "engine",
    ),
    "venue.due_at_zero": (at_zero, "venue.due_at_zero", False, True),
    "venue.mark_max_age": (slow_mark, "venue.mark_max_age", "0s", "1s"),
    "venue.fees.taker": (fall, "venue.fees.taker", 0, Decimal("0.001")),
    "venue.fees.liquidation_on_mark": (fall, "venue.fees.liquidation_on_mark", 0, Decimal("0.001")),
    "venue.fees.liquidation_on_execution": (
        offer,
        "venue.fees.liquidation_on_execution",
        0,
        Decimal("0.001"),
    ),
    "venue.waterfall.profit_haircut": (hollow, f"{WATERFALL}.profit_haircut", "pro_rata", "queue"),
    "venue.waterfall.haircut_severity": (
        lambda: hollow(venue__waterfall__profit_haircut="pro_rata"),
        f"{WATERFALL}.haircut_severity",
        1,
        Decimal("0.5"),
    ),
    "venue.waterfall.socialise": (hollow, f"{WATERFALL}.socialise", "notional", "equity"),
    "venue.fund.backers.*.purse_usd": (backed, f"{FUND}.backers.ann.purse_usd", 30, 4),
    "venue.fund.contributions.[].from": (backed, f"{FUND}.contributions.0.from", "ann", "bob"),
    "venue.fund.contributions.[].amount_usd": (backed, f"{FUND}.contributions.0.amount_usd", 7, 8),
    "venue.fund.contributions.[].at": (backed, f"{FUND}.contributions.0.at", at(20), at(21)),
    "venue.fund.top_ups.[].from": (backed, f"{FUND}.top_ups.0.from", "ann", "bob"),
    "venue.fund.top_ups.[].amount_usd": (backed, f"{FUND}.top_ups.0.amount_usd", 2, 1),
    "venue.fund.top_ups.[].when_below_usd": (backed, f"{FUND}.top_ups.0.when_below_usd", 3, 6),
    "venue.fund.top_ups.[].times": (backed, f"{FUND}.top_ups.0.times", 1, 2),
    "venue.fund.top_ups.[].min_interval": (
        lambda: _put(backed(), f"{FUND}.top_ups.0.times", 2),
        f"{FUND}.top_ups.0.min_interval",
        "4s",
        "5s",
    ),
    "venue.tranches.share": (fall, "venue.tranches.share", 1, Decimal("0.5")),
    "venue.tranches.max_usd": (fall, "venue.tranches.max_usd", 1_000, 200),
    "venue.tranches.spacing": (
        lambda: fall(venue__tranches__share=Decimal("0.1")),
        "venue.tranches.spacing",
        "1s",
        "2s",
    ),
    "venue.tranches.restore_buffer": (
        lambda: fall(venue__tranches__share=Decimal("0.1"), venue__waterfall__surplus_to="trader"),
        "venue.tranches.restore_buffer",
        0,
        1,
    ),
    "venue.fund.initial_usd": (deep_fall, "venue.fund.initial_usd", 0, 100),
    "venue.waterfall.surplus_to": (fall, "venue.waterfall.surplus_to", "fund", "trader"),
    "venue.cross.first_leg": (
        cross_crash,
        "venue.cross.first_leg",
        "largest_release",
        "largest_loss",
    ),
    "venue.waterfall.deleveraging": (deep_fall, "venue.waterfall.deleveraging", "ranked", "none"),
    "venue.engine.reaction": (fall, "venue.engine.reaction", "0s", "1s"),
    "venue.engine.child_order_usd": (fall, "venue.engine.child_order_usd", 1_000, 300),
    "venue.engine.child_spacing": (
        lambda: fall(venue__engine__child_order_usd=300),
        "venue.engine.child_spacing",
        "0s",
        "1s",
    ),
    "venue.engine.retry": (dry, "venue.engine.retry", "0s", "5s"),
    "venue.tranches.min_usd": (
        lambda: fall(venue__tranches__share=Decimal("0.6")),
        "venue.tranches.min_usd",
        0,
        400,
    ),
    "venue.engine.orders_per_second": (fall_apart, "venue.engine.orders_per_second", 0, 2),
    "venue.engine.outages.[].from": (
        lambda: fall_apart(venue__engine__outages=[[at(5), at(20)]]),
        "venue.engine.outages.0.0",
        at(5),
        at(15),
    ),
    "venue.engine.outages.[].to": (
        lambda: fall_apart(venue__engine__outages=[[at(5), at(20)]]),
        "venue.engine.outages.0.1",
        at(20),
        at(30),
    ),
    "venue.engine.overloads.[].from": (
        lambda: fall_apart(venue__engine__overloads=OVERLOAD),
        "venue.engine.overloads.0.from",
        at(5),
        at(15),
    ),
    "venue.engine.overloads.[].to": (
        lambda: fall_apart(venue__engine__overloads=OVERLOAD),
        "venue.engine.overloads.0.to",
        at(30),
        at(11),
    ),
    "venue.engine.overloads.[].orders_per_second": (
        lambda: fall_apart(venue__engine__overloads=OVERLOAD),
        "venue.engine.overloads.0.orders_per_second",
        1,
        2,
    ),
    "venue.keepers.reaction": (offer, "venue.keepers.reaction", "0s", "1s"),
    "venue.keepers.discount": (offer, "venue.keepers.discount", 0, Decimal("0.001")),
    "venue.keepers.bots.*.reaction.median": (
        keeper_race,
        f"{ANN}.reaction.median",
        "800ms",
        "700ms",
    ),
    "venue.keepers.bots.*.reaction.p99": (keeper_race, f"{ANN}.reaction.p99", "3s", "8s"),
    "venue.keepers.bots.*.landing.median": (keeper_race, f"{ANN}.landing.median", "1s", "900ms"),
    "venue.keepers.bots.*.landing.p99": (keeper_race, f"{ANN}.landing.p99", "5s", "8s"),
    "venue.keepers.bots.*.purse_usd": (offer, f"{ANN}.purse_usd", 1_000_000, 100),
    "venue.keepers.bots.*.call_cost_usd": (offer, f"{ANN}.call_cost_usd", 1, 2),
    "venue.keepers.bots.*.resale_delay": (offer, f"{ANN}.resale_delay", "1s", "2s"),
    "venue.keepers.bots.*.min_profit_usd": (offer, f"{ANN}.min_profit_usd", -10, 10),
    "venue.keepers.bots.*.resale_parts": (offer, f"{ANN}.resale_parts", 1, 2),
    "venue.keepers.bots.*.resale_spacing": (
        lambda: _put(offer(), f"{ANN}.resale_parts", 2),
        f"{ANN}.resale_spacing",
        "0s",
        "2s",
    ),
    "venue.keepers.bots.*.downtime.[].from": (
        lambda: _put(offer(), f"{ANN}.downtime", [[at(20), at(30)]]),
        f"{ANN}.downtime.0.0",
        at(20),
        at(10),
    ),
    "venue.keepers.bots.*.downtime.[].to": (
        lambda: _put(offer(), f"{ANN}.downtime", [[at(10), at(20)]]),
        f"{ANN}.downtime.0.1",
        at(20),
        at(30),
    ),
    "population.entry_attempts": (
        # Many draws of an entry would be due at once; the last resort is the start price.
        lambda: crowd(entry={"long_mean": 0.1, "long_sd": 0.05, "short_sd": 0.05}),
        "population.entry_attempts",
        1,
        50,
    ),
    "population.accounts.file": (
        small_scenario,
        "population.accounts",
        listed(("me", "ETH", 1, 100, 10)),
        listed(("me", "ETH", -1, 100, 10)),
    ),
    "population.cohorts.*.market": (
        lambda: changed(crowd(), {"markets__BTC": market()}),
        f"{LONGS}.market",
        "ETH",
        "BTC",
    ),
    "population.cohorts.*.legs.*.share": (
        # The shares sum to one, so that one of them cannot be moved alone.
        cross_crash,
        f"{CROSS}.legs",
        {"ETH": {"share": Decimal("0.4")}, "BTC": {"share": Decimal("0.6")}},
        {"ETH": {"share": Decimal("0.5")}, "BTC": {"share": Decimal("0.5")}},
    ),
    "population.cohorts.*.legs.*.hedge_share": (
        cross_crash,
        f"{CROSS}.legs.BTC.hedge_share",
        0,
        Decimal("0.5"),
    ),
    "population.cohorts.*.legs.*": (
        # Names a market, whose order decides which leg the others hedge.
        cross_crash,
        f"{CROSS}.legs",
        {"ETH": {"share": Decimal("0.4")}, "BTC": {"share": Decimal("0.6")}},
        {"BTC": {"share": Decimal("0.4")}, "ETH": {"share": Decimal("0.6")}},
    ),
    "population.cohorts.*.accounts": (crowd, f"{LONGS}.accounts", 10, 11),
    "population.cohorts.*.notional_usd": (crowd, f"{LONGS}.notional_usd", 10_000, 9_000),
    "population.cohorts.*.long_share": (crowd, f"{LONGS}.long_share", Decimal("0.5"), 1),
    "population.cohorts.*.size_leverage_correlation": (
        crowd,
        f"{LONGS}.size_leverage_correlation",
        0,
        Decimal("0.9"),
    ),
    "population.cohorts.*.size.alpha": (crowd, f"{LONGS}.size.alpha", Decimal("1.5"), 2),
    "population.cohorts.*.size.max_usd": (crowd, f"{LONGS}.size.max_usd", 5_000, 1_100),
    "population.cohorts.*.leverage.median": (crowd, f"{LONGS}.leverage.median", 10, 11),
    "population.cohorts.*.leverage.sigma": (crowd, f"{LONGS}.leverage.sigma", 1, 2),
    "population.cohorts.*.leverage.min": (crowd, f"{LONGS}.leverage.min", 1, 9),
    "population.cohorts.*.leverage.max": (crowd, f"{LONGS}.leverage.max", 50, 11),
    "population.cohorts.*.entry.long_mean": (crowd, f"{LONGS}.entry.long_mean", 0, Decimal("0.01")),
    "population.cohorts.*.entry.long_sd": (crowd, f"{LONGS}.entry.long_sd", 0, Decimal("0.01")),
    "population.cohorts.*.entry.short_mean": (
        crowd,
        f"{LONGS}.entry.short_mean",
        0,
        Decimal("0.01"),
    ),
    **{
        f"population.cohorts.*.traders.{key}": (panic, f"{CROWD}.traders.{key}", one, other)
        for key, one, other in (
            ("reaction.median", "3s", "4s"),
            ("reaction.p99", "20s", "30s"),
            ("slippage", Decimal("0.1"), Decimal("0.001")),
            ("near.alert_buffer", 2, 1),
            ("near.top_up_share", Decimal("0.3"), 0),
            ("near.top_up_to", 4, 5),
            ("near.top_up_times", 2, 1),
            ("near.reduce_share", Decimal("0.3"), 0),
            ("near.reduce_by", Decimal("0.5"), 1),
            ("near.close_share", Decimal("0.3"), 0),
        )
    },
    **{
        f"population.cohorts.*.traders.{key}": (comeback, f"{CROWD}.traders.{key}", one, other)
        for key, one, other in (
            ("stop.share", Decimal("0.4"), 1),
            ("stop.nearest", Decimal("0.02"), Decimal("0.03")),
            ("stop.farthest", Decimal("0.05"), Decimal("0.03")),
            ("relever.share", Decimal("0.5"), 1),
            ("relever.gain", Decimal("0.02"), Decimal("0.03")),
            ("return.share", Decimal("0.8"), Decimal("0.2")),
            ("return.delay.median", "15s", "16s"),
            ("return.delay.p99", "60s", "50s"),
            ("return.same_side", Decimal("0.7"), 0),
            ("return.size", Decimal("0.5"), Decimal("0.4")),
            ("return.size_sigma", Decimal("0.5"), 0),
        )
    },
    **{
        f"population.cohorts.*.traders.anticipate.{key}": (
            forewarned,
            f"{CROWD}.traders.anticipate.{key}",
            one,
            other,
        )
        for key, one, other in (
            ("share", Decimal("0.7"), 1),
            ("from", Decimal("0.3"), Decimal("0.6")),
            ("steepness", 2, 3),
            ("reduce_by", Decimal("0.6"), 1),
            ("times", 2, 1),
        )
    },
    "population.cohorts.*.traders.return.windows.[].from": (
        comeback,
        f"{CROWD}.traders.return.windows",
        [[at(100), at(175)]],
        [[at(130), at(175)]],
    ),
    "population.cohorts.*.traders.return.windows.[].to": (
        comeback,
        f"{CROWD}.traders.return.windows",
        [[at(100), at(175)]],
        [[at(100), at(101)]],
    ),
    **{
        f"population.cohorts.*.traders.rebalance.{key}": (
            rebalanced,
            f"population.cohorts.calm.traders.rebalance.{key}",
            one,
            other,
        )
        for key, one, other in (
            ("period", "10s", "9s"),
            ("target_leverage", 4, 3),
            ("target_volatility", 20, 10),
            ("half_life_periods", 3, 1),
        )
    },
    "population.cohorts.*.entry.short_sd": (crowd, f"{LONGS}.entry.short_sd", 0, Decimal("0.01")),
    **{
        f"population.cohorts.*.traders.arrivals.{key}": (
            newcomers,
            f"{CROWD}.traders.arrivals.{key}",
            one,
            other,
        )
        for key, one, other in (
            ("per_hour", 500, 900),
            ("max_per_hour", 2_000, 3_000),
            ("accounts_max", 25, 3),
            ("long_share", Decimal("0.6"), 0),
            ("size", Decimal("0.5"), 1),
            ("dip_slope", 20, 0),
            ("dip_window", "60s", "5s"),
            ("margin_elasticity", 1, 3),
            ("margin_reference", Decimal("0.05"), Decimal("0.1")),
            ("fee_elasticity", 1, 10),
            ("fee_reference", Decimal("0.0004"), Decimal("0.001")),
        )
    },
    **{
        f"mitigations.[]:rate_limit.{key}": (rationed, f"mitigations.0.{key}", one, other)
        for key, one, other in (
            ("on", True, False),
            ("max_usd", 20_000, 30_000),
            ("span", "10s", "20s"),
            ("window", "rolling", "fixed"),
            ("least_usd", 1_000, 5_000),
        )
    },
    "mitigations.[].kind": (
        lambda: squeeze(mitigations=[{"kind": "rate_limit"}]),
        "mitigations.0.kind",
        "rate_limit",
        "slippage_cap",
    ),
    **{
        f"mitigations.[]:slices.{key}": (partial(sliced, law), f"mitigations.0.{key}", one, other)
        for law, key, one, other in (
            ("fixed", "law", "fixed", "time_weighted"),
            ("time_weighted", "on", True, False),
            ("fixed", "interval", "3s", "6s"),
            ("time_weighted", "least_usd", 1, 3_000),
            ("fixed", "amount_usd", 1_000, 2_000),
            ("depth_share", "share", Decimal("0.1"), Decimal("0.2")),
            ("depth_share", "distance", Decimal("0.01"), Decimal("0.02")),
            ("participation", "window", "10s", "60s"),
            ("participation", "background_usd_per_hour", 0, 10_000_000),
            ("time_weighted", "parts", 4, 5),
            ("obizhaeva_wang", "half_life", "2s", "20s"),
        )
    },
    **{
        f"mitigations.[]:crossing.{key}": (crossed, f"mitigations.0.{key}", one, other)
        for key, one, other in (("on", True, False), ("hold", "20s", "5s"))
    },
    **{
        f"mitigations.[]:batch_auction.{key}": (auctioned, f"mitigations.0.{key}", one, other)
        for key, one, other in (
            ("on", True, False),
            ("period", "10s", "7s"),
            ("bids_usd", 12_000, 6_000),
            ("distance", Decimal("0.02"), Decimal("0.01")),
            ("least_usd", 100, 20_000),
            ("purse_usd", 30_000, 8_000),
            ("position_limit_usd", 20_000, 3_000),
            ("resale_delay", "5s", "9s"),
            ("resale_parts", 3, 1),
            ("resale_spacing", "4s", "9s"),
        )
    },
    **{
        f"mitigations.[]:delays.{key}": (
            lambda: engine_cascade(mitigations=[{"kind": "delays", "per_million": "1h"}]),
            f"mitigations.0.{key}",
            one,
            other,
        )
        for key, one, other in (
            ("on", True, False),
            ("window", "5s", "5m"),
            ("per_million", "10m", "1h"),
            ("max", "5s", "1m"),
        )
    },
    **{
        f"mitigations.[]:slippage_cap.{key}": (capped, f"mitigations.0.{key}", one, other)
        for key, one, other in (
            ("on", True, False),
            ("max_slippage", Decimal("0.0005"), Decimal("0.001")),
            ("least_usd", 10, 3_000),
            ("retry", "2s", "9s"),
        )
    },
    **{
        f"mitigations.[]:{kind}.market": (
            partial(cross_crash, mitigations=[row]),
            "mitigations.0.market",
            "",
            "ETH",
        )
        for kind, row in (
            ("slices", {"kind": "slices", "law": "time_weighted", "least_usd": 1}),
            ("crossing", {"kind": "crossing"}),
            ("batch_auction", {"kind": "batch_auction"}),
            ("delays", {"kind": "delays", "per_million": "1h"}),
            ("slippage_cap", {"kind": "slippage_cap", "max_slippage": Decimal("0.0005")}),
        )
    },
    **{
        f"mitigations.[]:{kind}.{key}": (
            tripping,
            f"mitigations.{number}.{key.replace('[]', '0')}",
            one,
            other,
        )
        for number, kind, key, one, other in (
            (0, "breaker", "on", True, False),
            (1, "divergence_pause", "on", True, False),
            (2, "grace", "on", True, False),
            (0, "breaker", "action", "halt_liquidations", "halt_new_risk"),
            (0, "breaker", "scope", "market", "venue"),
            (0, "breaker", "market", "", "BTC"),
            (0, "breaker", "join", "any", "all"),
            (0, "breaker", "duration", "5s", "9s"),
            (0, "breaker", "cool_down", "5s", "9s"),
            (0, "breaker", "when.[].observable", "fall", "rise"),
            (0, "breaker", "when.[].window", "2s", "30s"),
            (0, "breaker", "when.[].above", Decimal("0.02"), Decimal("0.04")),
            (0, "breaker", "stages.[].join", "any", "all"),
            (0, "breaker", "stages.[].duration", "12s", "20s"),
            (0, "breaker", "stages.[].when.[].observable", "fall", "rise"),
            (0, "breaker", "stages.[].when.[].window", "1s", "30s"),
            (0, "breaker", "stages.[].when.[].above", Decimal("0.05"), Decimal("0.12")),
            (1, "divergence_pause", "market", "", "BTC"),
            (1, "divergence_pause", "above", Decimal("0.002"), Decimal("0.02")),
            (1, "divergence_pause", "duration", "2s", "4s"),
            (1, "divergence_pause", "cool_down", "2s", "4s"),
            (2, "grace", "market", "", "BTC"),
            (2, "grace", "span", "3s", "6s"),
            (2, "grace", "after_halts", True, False),
        )
    },
    **{
        f"mitigations.[]:breaker.{key}": (widened, f"mitigations.0.{path}", one, other)
        for key, path, one, other in (
            ("factor", "factor", Decimal("1.3"), Decimal("1.5")),
            ("notice", "notice", "2s", "3s"),
            ("stages.[].factor", "stages.0.factor", Decimal("1.8"), 2),
        )
    },
    "mitigations.[]:grace.after_outages": (
        lambda: fall(
            venue__engine={"reaction": "0s", "outages": [[at(8), at(20)]]},
            mitigations=[{"kind": "grace", "span": "5s"}],
        ),
        "mitigations.0.after_outages",
        True,
        False,
    ),
    "mitigations.[]:grace.after_stale": (
        lambda: changed(
            slow_mark(),
            {"venue__mark_max_age": "1s", "mitigations": [{"kind": "grace", "span": "5s"}]},
        ),
        "mitigations.0.after_stale",
        True,
        False,
    ),
    "mitigations.[]:rate_limit.market": (
        lambda: cross_crash(mitigations=rationed()["mitigations"]),
        "mitigations.0.market",
        "",
        "ETH",
    ),
    **{
        f"mitigations.[]:{kind}.{key}": (absorbed, f"mitigations.{place}.{path}", one, other)
        for kind, place, key, path, one, other in (
            ("fund_limits", 0, "on", "on", True, False),
            ("staking", 1, "on", "on", True, False),
            ("fund_limits", 0, "max_draw_usd", "max_draw_usd", 5, 6),
            ("fund_limits", 0, "max_window_usd", "max_window_usd", 30, 40),
            ("fund_limits", 0, "span", "span", "20s", "2s"),
            ("staking", 1, "stakers.[].purse_usd", "stakers.0.purse_usd", 300, 200),
            ("staking", 1, "max_share", "max_share", Decimal("0.1"), 1),
        )
    },
    **{
        f"mitigations.[]:backstop.{key}": (vaulted, f"mitigations.0.{key}", one, other)
        for key, one, other in (
            ("on", True, False),
            ("purse_usd", 20_000, 3_000),
            ("discount", Decimal("0.001"), 0),
            ("position_limit_usd", 15_000, 2_000),
            ("resale_delay", "5s", "6s"),
            ("resale_parts", 3, 1),
            ("resale_spacing", "4s", "3s"),
        )
    },
    **{
        f"mitigations.[]:pool.{key}": (pooled, f"mitigations.0.{path}", one, other)
        for key, path, one, other in (
            ("on", "on", True, False),
            ("deposits.[].amount_usd", "deposits.0.amount_usd", 3_000, 2_000),
            ("discount", "discount", Decimal("0.001"), 0),
            ("leverage", "leverage", Decimal("0.9"), Decimal("0.5")),
            ("when", "when", "worse", "always"),
            ("position_limit_usd", "position_limit_usd", 3_500, 900),
            ("resale_delay", "resale_delay", "5s", "6s"),
            ("resale_parts", "resale_parts", 3, 1),
            ("resale_spacing", "resale_spacing", "4s", "3s"),
        )
    },
    **{
        f"mitigations.[]:{kind}.market": (of_both, f"mitigations.{place}.market", "BTC", "ETH")
        for place, kind in enumerate(("fund_limits", "staking", "backstop", "pool"))
    },
    "venue.waterfall.deleveraging_cap": (
        engine_cascade,
        "venue.waterfall.deleveraging_cap",
        1,
        Decimal("0.1"),
    ),
    "population.cohorts.*.traders.arrivals.windows.[].from": (
        newcomers,
        f"{CROWD}.traders.arrivals.windows",
        [[at(10), at(170)]],
        [[at(30), at(170)]],
    ),
    "population.cohorts.*.traders.arrivals.windows.[].to": (
        newcomers,
        f"{CROWD}.traders.arrivals.windows",
        [[at(10), at(170)]],
        [[at(10), at(60)]],
    ),
    **{
        f"mitigations.[]:{kind}.{key}": (scaled, f"mitigations.{row}.{key}", one, other)
        for row, kind in enumerate(("dynamic_margin", "open_interest_margin", "stress_margin"))
        for key, one, other in (*SCALING, ("grain", Decimal("0.000001"), 2))
    },
    **{
        f"mitigations.[]:predictive.{key}": (foreseen, f"mitigations.0.{key}", one, other)
        for key, one, other in (
            *SCALING,
            ("grain", Decimal("0.000001"), Decimal("0.5")),
            ("reference", Decimal("0.1"), Decimal("0.3")),
            ("content", model_text(intercept=-3), model_text(intercept=-2)),
        )
    },
    "mitigations.[]:predictive.action": (
        either_way,
        "mitigations.0.action",
        "raise_margin",
        "deleverage",
    ),
    **{
        f"mitigations.[]:predictive.{key}": (stepped_down, f"mitigations.0.{key}", one, other)
        for key, one, other in (
            ("above", Decimal("0.1"), Decimal("0.4")),
            ("step", Decimal("0.1"), Decimal("0.2")),
            ("cap", Decimal("0.1"), Decimal("0.3")),
            ("most_usd", 500, 900),
            ("slippage", Decimal("0.0001"), Decimal("0.01")),
        )
    },
    "mitigations.[]:dynamic_margin.half_life": (scaled, "mitigations.0.half_life", "6s", "9s"),
    "mitigations.[]:dynamic_margin.reference": (scaled, "mitigations.0.reference", 8, 9),
    "mitigations.[]:open_interest_margin.reference_usd": (
        scaled,
        "mitigations.1.reference_usd",
        120_000,
        50_000,
    ),
    **{
        f"mitigations.[]:concentration_margin.{key}": (
            concentrated,
            f"mitigations.0.{key}",
            one,
            other,
        )
        for key, one, other in (
            *TOGETHER,
            ("largest", 1, 3),
            ("reference", Decimal("0.3"), Decimal("0.4")),
            ("low", Decimal("0.9"), 1),
            ("high", Decimal("1.1"), 2),
            ("restore", Decimal("0.01"), Decimal("0.02")),
        )
    },
    **{
        f"mitigations.[]:correlation_margin.{key}": (
            correlated,
            f"mitigations.0.{key}",
            one,
            other,
        )
        for key, one, other in (
            *TOGETHER,
            ("half_life", "6s", "12s"),
            ("reference", Decimal("0.5"), Decimal("0.9")),
            ("low", 1, Decimal("0.5")),
            ("high", Decimal("1.1"), Decimal("1.7")),
            ("restore", Decimal("0.05"), Decimal("0.1")),
        )
    },
    "mitigations.[]:correlation_margin.scales": (
        cut_short,
        "mitigations.0.scales",
        "maintenance",
        "haircut",
    ),
    "mitigations.[]:stress_margin.reference": (scaled, "mitigations.2.reference", 1, 2),
    "mitigations.[]:stress_margin.points.[].from": (
        scaled,
        "mitigations.2.points",
        [[at(16), 2]],
        [[at(17), 2]],
    ),
    "mitigations.[]:stress_margin.points.[].index": (
        scaled,
        "mitigations.2.points",
        [[at(16), Decimal("1.2")]],
        [[at(16), Decimal("1.3")]],
    ),
    **{
        f"mitigations.[]:leverage_fee.{key}": (scaled, f"mitigations.3.{key}", one, other)
        for key, one, other in (
            ("on", True, False),
            ("market", "ETH", "BTC"),
            ("period", "10s", "15s"),
            ("leverage", 6, 9),
            ("rate", Decimal("0.001"), Decimal("0.002")),
            ("half_life", "30s", "10s"),
            ("reference", 5, 3),
            ("high", 2, 1),
        )
    },
}

NAMES: Final[dict[str, tuple[Callable[[], Raw], str, str]]] = {
    "markets.*": (lambda: small_scenario(markets={"ETH": gbm()["markets"]["ETH"]}), ETH, "SOL"),
    "markets.*.oracle.sources.*": (engine_cascade, ONE, "another"),
    "venue.keepers.bots.*": (keeper_race, ANN, "zoe"),
    "population.cohorts.*": (crowd, LONGS, "another"),
}
"""Draws are keyed by names: another name draws other numbers."""


def test_every_key_has_a_row() -> None:
    keys = list(_leaves(Scenario))

    assert len(keys) == len(set(keys)) > 80
    assert sorted({*ROWS, *NAMES, *EXEMPT}) == sorted(keys)
    assert not {*ROWS} & {*EXEMPT}


@pytest.mark.parametrize("key", ROWS)
def test_two_values_of_a_key_give_different_events(key: str) -> None:
    base, path, one, other = ROWS[key]

    assert one != other
    assert events_of(_put(base(), path, one)) != events_of(_put(base(), path, other))


@pytest.mark.parametrize("key", NAMES)
def test_another_name_gives_other_draws(key: str) -> None:
    base, path, name = NAMES[key]
    raw = base()
    renamed = _rename(raw, path, name)
    if key == "markets.*":
        renamed = _put(renamed, f"{LONGS}.market", name)

    assert events_of(raw) != events_of(renamed)


def test_an_equal_scenario_gives_equal_events() -> None:
    # Without this, a run that differs from itself would pass every test above.
    assert events_of(keeper_race()) == events_of(keeper_race())
