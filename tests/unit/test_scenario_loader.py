"""The scenario loader: what it reads, what it fills in, and what it refuses and how."""

import tomllib
from decimal import Decimal
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqsim.errors import ScenarioError
from liqsim.scenario import (
    Scenario,
    basis_counts,
    load_scenario,
    scenario_from_dict,
    scenario_from_toml,
)
from liqsim.scenario.fields import Form, Scalar
from liqsim.scenario.model import KINDS, Basis, GbmPath, KnotsPath, NoImpact, PowerBook
from liqsim.scenario.toml import dump
from liqsim.scenario.values import duration_text, read_value, write_value

SPAN_US = 2 * 86_400 * 10**6

CRASH = """\
name = "crash"
start = 2020-03-12T00:00:00Z
end = 2020-03-14T00:00:00Z

[markets.ETH]
maintenance = [[0, 0.01], [2038.00000001, 0.02]]
[markets.ETH.path]
kind = "knots"
step = "1s"
knots = [[2020-03-12T00:00:00Z, 194.61], [2020-03-14T00:00:00Z, 134.06]]
[[markets.ETH.shocks]]
at = 2020-03-12T05:00:00Z
fraction = -0.1
over = "10m"
[markets.ETH.liquidity]
kind = "power_book"
depth_usd = 20_000_000
half_life = "60s"
schedule = [
  { at = 2020-03-12T10:00:00Z, multiplier = 0.15, half_life = "300s" },
  { at = 2020-03-12T11:00:00Z, multiplier = 0.3, half_life = "300s" },
]
[markets.ETH.oracle]
deviation = 0.001
heartbeat = "60s"
landing = { median = "0s", p99 = "0s" }
[markets.ETH.oracle.sources.one]
period = "1s"
latency = { median = "2s", p99 = "15s" }
outages = [
  [2020-03-13T00:00:00Z, 2020-03-13T00:10:00Z],
  [2020-03-13T01:00:00Z, 2020-03-13T01:10:00Z],
]

[markets.BTC]
maintenance = [[0, 0.005]]
path = { kind = "gbm", step = "1s", start_price = 7_900, volatility = 1.5 }
liquidity = { kind = "no_impact" }
[markets.BTC.oracle]
deviation = 0
heartbeat = "1s"
landing = { median = "0s", p99 = "0s" }
sources.only = { period = "1s", latency = { median = "0s", p99 = "0s" } }

[venue]
executor = "engine"
fund.initial_usd = 33_600_000
fees.taker = 0.00075
[venue.engine]

[population.cohorts.small]
market = "ETH"
accounts = 1000
notional_usd = 36_000_000
long_share = 0.56
size = { alpha = 1.3, max_usd = 2_400_000 }
leverage = { median = 20, sigma = 0.7, max = 50 }

[basis]
"venue" = "fitted"
"venue.fees" = { kind = "fact", source = "fee schedule, March 2020" }
"markets.ETH.path.knots" = { kind = "fact", source = "hourly bars" }
"""

BOT = (
    '{ reaction = { median = "1s", p99 = "2s" }, landing = { median = "1s", p99 = "2s" }, '
    "purse_usd = 1 }"
)


@pytest.fixture
def crash(tmp_path: Path) -> Path:
    path = tmp_path / "crash.toml"
    path.write_text(CRASH)
    return path


def refusal(path: Path, *overrides: str, seed: int | None = None) -> list[str]:
    with pytest.raises(ScenarioError) as refused:
        load_scenario(path, overrides=overrides, seed=seed)
    return str(refused.value).splitlines()


def test_values_arrive_in_their_integer_units(crash: Path) -> None:
    scenario = load_scenario(crash)
    eth, btc = scenario.markets

    assert scenario.start_unix_us == 1_583_971_200_000_000
    assert scenario.end_us == SPAN_US
    assert eth.maintenance == ((0, 10_000), (2038_00000001, 20_000))
    assert eth.path == KnotsPath(1_000_000, ((0, 194_61000000), (SPAN_US, 134_06000000)), 2.0)
    assert eth.shocks[0].at_us == 5 * 3_600 * 10**6
    assert eth.shocks[0].fraction == -0.1
    assert isinstance(eth.liquidity, PowerBook)
    assert eth.liquidity.depth_uusd == 20_000_000_000_000
    assert [change.multiplier_e6 for change in eth.liquidity.schedule] == [150_000, 300_000]
    assert eth.oracle.sources[0].name == "one"
    assert eth.oracle.sources[0].outages[0] == (86_400 * 10**6, 87_000 * 10**6)
    assert (btc.name, btc.path) == ("BTC", GbmPath(1_000_000, 7_900_00000000, 1.5, 0.0))
    assert isinstance(btc.liquidity, NoImpact)
    assert scenario.venue.fees.taker_e6 == 750


def test_what_is_absent_takes_its_default_or_stays_absent(crash: Path) -> None:
    scenario = load_scenario(crash)
    tree = tomllib.loads(scenario.resolved_toml)

    assert scenario.seed == 0
    assert scenario.venue.tranches.share_e6 == 1_000_000
    assert scenario.venue.engine is not None
    assert scenario.venue.engine.reaction_us == 1_000_000
    assert scenario.venue.keepers is None
    assert tree["venue"]["tranches"]["spacing"] == "1s"
    assert tree["venue"]["engine"]["reaction"] == "1s"
    assert "keepers" not in tree["venue"]
    assert tree["markets"]["BTC"]["shocks"] == []


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("venue.executor=keepers", f"venue.keepers={{ discount = 0.005, bots.a = {BOT} }}"),
        ('description="a \\"quoted\\" é \\\\ line"', "population={}"),
        ("markets.ETH.path.knots.0.1=0.1", "markets.ETH.path.bridge_volatility=1e-7"),
        ('basis."venue.fund"={ kind = "fact", source = "quarterly report" }', "name=a-b_1"),
    ],
)
def test_the_resolved_text_loads_to_the_same_scenario_and_text(
    crash: Path, overrides: tuple[str, ...]
) -> None:
    scenario = load_scenario(crash, overrides=overrides, seed=7)
    again = scenario_from_toml(scenario.resolved_toml, source="log")

    assert scenario.seed == 7
    assert again == scenario
    assert again.resolved_toml == scenario.resolved_toml


def test_one_scenario_has_one_text_however_it_is_written(crash: Path) -> None:
    expected = load_scenario(crash).resolved_toml
    crash.write_text(
        CRASH.replace('"60s"', '"1m"').replace("0.00075", "75e-5").replace("-0.1\n", "-0.100\n")
    )

    assert load_scenario(crash).resolved_toml == expected


def test_dictionaries_may_hold_floats() -> None:
    raw = tomllib.loads(CRASH)

    assert scenario_from_dict(raw, source="test") == scenario_from_toml(CRASH, source="test")


@given(st.integers(0, 10**18))
def test_scaled_values_survive_the_round_trip_exactly(value: int) -> None:
    scalar = Scalar("x", Form.SCALED, scale=10**8)
    tree = tomllib.loads(dump({"x": write_value(scalar, value, 0)}), parse_float=Decimal)

    assert read_value(scalar, tree["x"], 0) == value


@given(st.integers(0, 31_557_600_000_000))
def test_durations_survive_the_round_trip_exactly(value: int) -> None:
    scalar = Scalar("x", Form.DURATION, high=Decimal(31_557_600))

    assert read_value(scalar, duration_text(value), 0) == value


@pytest.mark.parametrize(
    ("text", "expected_us"),
    [
        ("250ms", 250_000),
        ("1.5s", 1_500_000),
        ("0.000001s", 1),
        ("1us", 1),
        ("15m", 900_000_000),
        ("4h", 14_400_000_000),
        ("0.5d", 43_200_000_000),
    ],
)
def test_durations(text: str, expected_us: int) -> None:
    scalar = Scalar("x", Form.DURATION, high=Decimal(31_557_600))

    assert read_value(scalar, text, 0) == expected_us


def test_every_kind_is_named_once() -> None:
    assert len(set(KINDS.values())) == len(KINDS)


# Overrides.


def test_overrides_reach_tables_names_and_rows_and_create_what_is_absent(crash: Path) -> None:
    scenario = load_scenario(
        crash,
        overrides=[
            "markets.ETH.shocks.0.fraction=-0.25",
            "markets.ETH.path.knots.1.1=100",
            "venue.tranches.share=0.2",
            "venue.tranches.spacing=5s",
            "venue.waterfall.surplus_to=fund",
            "seed=3",
        ],
    )
    path = scenario.markets[0].path

    assert isinstance(path, KnotsPath)
    assert path.knots[1][1] == 100_00000000
    assert scenario.markets[0].shocks[0].fraction == -0.25
    assert scenario.venue.tranches.share_e6 == 200_000
    assert scenario.venue.tranches.spacing_us == 5_000_000
    assert scenario.venue.waterfall.surplus_to == "fund"
    assert scenario.seed == 3


def test_a_path_and_a_setting_may_be_text(crash: Path) -> None:
    assert load_scenario(str(crash), overrides="seed=9") == load_scenario(crash, seed=9)


@pytest.mark.parametrize(
    ("kind", "hint"),
    [
        ("braker", "staking, stress_margin, the nearest is breaker"),
        ("zyx", "stress_margin; an installed package may bring others"),
    ],
)
def test_a_kind_of_mitigation_that_is_none(crash: Path, kind: str, hint: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        load_scenario(crash, overrides=f'mitigations=[{{kind="{kind}"}}]')

    said = str(refused.value)
    assert f'mitigations.0.kind = "{kind}" must be one of backstop, batch_auction, ' in said
    assert f"{hint} (--set mitigations=…)" in said


def test_the_seed_argument_wins(crash: Path) -> None:
    assert load_scenario(crash, overrides=["seed=3"], seed=4).seed == 4


def test_an_override_takes_the_basis_from_what_it_sets(crash: Path) -> None:
    before = basis_counts(load_scenario(crash))
    scenario = load_scenario(
        crash, overrides=["venue.fees.taker=0.001", "markets.ETH.path.knots.1.1=100"]
    )
    kinds = {basis.key: basis.kind for basis in scenario.basis}
    after = basis_counts(scenario)

    assert kinds["venue.fees.taker"] == kinds["markets.ETH.path.knots"] == "assumed"
    assert kinds["venue.fees"] == "fact"
    assert after["fact"] == before["fact"] - 2
    assert after["assumed"] == before["assumed"] + 2


def test_replacing_a_table_drops_the_basis_of_what_it_held(crash: Path) -> None:
    scenario = load_scenario(
        crash,
        overrides=[
            'basis."markets.ETH.liquidity.depth_usd"=fitted',
            'markets.ETH.liquidity={ kind = "no_impact" }',
        ],
    )

    assert "markets.ETH.liquidity.depth_usd" not in {basis.key for basis in scenario.basis}


@pytest.mark.parametrize(
    ("override", "fragments"),
    [
        ("venue", ["'venue'", "table.key=value"]),
        ("=3", ["'=3'", "table.key=value"]),
        ("a b=3", ["'a b=3'", "table.key=value"]),
        ("venue.fees.taker.x=3", ["venue.fees.taker.x = 3", "venue.fees.taker = 0.00075", "table"]),
        ("markets.ETH.shocks.1.fraction=0", ["markets.ETH.shocks has the rows 0 to 0"]),
        ("venue.tranches.shar=1", ["venue.tranches.shar = 1", "venue.tranches.share"]),
    ],
)
def test_bad_overrides(crash: Path, override: str, fragments: list[str]) -> None:
    (line,) = refusal(crash, override)

    assert line.startswith(f"{crash}: ")
    assert [fragment for fragment in fragments if fragment not in line] == []


# Basis.


def test_the_basis_is_sorted_by_depth_and_counted_by_the_longest_entry(crash: Path) -> None:
    scenario = load_scenario(crash)

    assert scenario.basis == (
        Basis("venue", "fitted", ""),
        Basis("venue.fees", "fact", "fee schedule, March 2020"),
        Basis("markets.ETH.path.knots", "fact", "hourly bars"),
    )
    # Facts: three fees and the knots. Fitted: what else the venue has, its engine included.
    counts = basis_counts(scenario)
    leaves = {"fact": 3 + 1, "fitted": 3 + 2 + 6 + 3 + 6 + 1 + 7}
    assert {kind: counts[kind] for kind in leaves} == leaves
    assert counts["assumed"] > 0


# Refusals.

ETH = "markets.ETH"
SMALL = "population.cohorts.small"
BARE_MARKET = (
    '{ maintenance = [[0, 0]], path = { kind = "gbm", step = "1h", start_price = 1, '
    'volatility = 0 }, liquidity.kind = "no_impact", oracle = { deviation = 0, heartbeat = "1s", '
    'landing = { median = "0s", p99 = "0s" }, '
    'sources.a = { period = "1h", latency = { median = "0s", p99 = "0s" } } } }'
)
LADDER = (
    'markets.ETH.liquidity={{ kind = "ladder", asks = {asks}, bids = {bids}, half_life = "1s" }}'
)
KEEPERS = f"venue.keepers={{ discount = 0, bots.a = {BOT} }}"

BAD_INPUT = [
    # Keys.
    (["venue.trances.share=1"], ["venue.trances", "not a known key", "venue.tranches"]),
    (["market.ETH.x=1"], ["market ", "not a known key", "nearest is markets"]),
    ([f"{ETH}.name=ETC"], [f"{ETH}.name", '"ETC"', "not a known key"]),
    (["venue.fund={}"], ["venue.fund.initial_usd is missing", "from 0 to 999999999999"]),
    ([f"{ETH}.path={{}}"], [f"{ETH}.path.kind is missing", '"knots", "gbm"']),
    ([f"{ETH}.path.kind=walk"], [f"{ETH}.path.kind", '"walk"', '"knots", "gbm"']),
    # Types and units.
    (["venue=3"], ["venue = 3", "must be a table"]),
    ([f"{ETH}.shocks={{}}"], [f"{ETH}.shocks", "must be an array"]),
    ([f"{ETH}.path.knots=[[1]]"], [f"{ETH}.path.knots.0 = [1]", "[time, price]"]),
    (["venue.due_at_zero=1"], ["venue.due_at_zero = 1", "true or false"]),
    (["venue.executor=robots"], ["venue.executor", '"robots"', '"engine", "keepers"']),
    (["venue.tranches.share=true"], ["venue.tranches.share = true", "a number"]),
    (['venue.tranches.share="0.5"'], ['venue.tranches.share = "0.5"', "a number"]),
    (["venue.tranches.share=0.1234567"], ["venue.tranches.share = 0.1234567", "6 decimals"]),
    (["venue.tranches.share=1e-999999999"], ["venue.tranches.share", "6 decimals"]),
    ([f"{ETH}.path.knots.1.1=1.123456789"], [f"{ETH}.path.knots.1.1", "8 decimals"]),
    (["venue.tranches.spacing=1"], ["venue.tranches.spacing = 1", "us, ms, s, m, h or d"]),
    (["venue.tranches.spacing=1w"], ['venue.tranches.spacing = "1w"', "us, ms, s, m, h or d"]),
    (["venue.tranches.spacing=1.5us"], ['spacing = "1.5us"', "whole number of microseconds"]),
    ([f"{SMALL}.accounts=1.0"], [f"{SMALL}.accounts = 1.0", "whole number", "1 to 10000000"]),
    (["description=[]"], ["description = []", "text"]),
    (['description="a\\nb"'], ['description = "a\\nb"', "one line"]),
    (["end=2020-03-14T00:00:00"], ["end = 2020-03-14 00:00:00", "UTC"]),
    (["end=2020-03-14T00:00:00+01:00"], ["end = 2020-03-14T00:00:00+01:00", "UTC"]),
    # Bounds.
    (["venue.tranches.share=0"], ["venue.tranches.share = 0 must be above 0 and at most 1"]),
    (["venue.tranches.share=1.1"], ["venue.tranches.share = 1.1", "at most 1"]),
    (["venue.tranches.share=nan"], ["venue.tranches.share = NaN", "finite", "at most 1"]),
    (["venue.fund.initial_usd=inf"], ["venue.fund.initial_usd = Infinity", "finite"]),
    (["venue.fund.initial_usd=-1"], ["venue.fund.initial_usd = -1", "from 0"]),
    (["venue.fund.initial_usd=1e12"], ["venue.fund.initial_usd = 1E+12", "999999999999"]),
    ([f"{SMALL}.accounts=0x{'F' * 4000}"], [f"{SMALL}.accounts = 3.019469E+4816", "to 10000000"]),
    ([f"{ETH}.shocks.0.fraction=-1"], ["fraction = -1 must be above -1 and at most 100"]),
    ([f"{ETH}.oracle.heartbeat_miss=1"], ["heartbeat_miss = 1 must be from 0 to 0.99"]),
    ([f"{ETH}.oracle.sources.one.catch_up=-1s"], ['catch_up = "-1s" must be from 0s to 8766h']),
    ([f"{ETH}.shocks.0.fraction=-0.{'9' * 30}"], [f"{ETH}.shocks.0.fraction", "above -1"]),
    (["venue.tranches.spacing=-1s"], ['spacing = "-1s"', "from 1us to 8766h"]),
    ([f"{ETH}.path.step=0.5ms"], [f'{ETH}.path.step = "0.5ms"', "from 1ms to 1d"]),
    ([f"{ETH}.oracle.sources.one.period=0s"], ['one.period = "0s"', "from 1ms"]),
    (["seed=-1"], ["seed = -1", "from 0"]),
    # Names.
    (["name=../x"], ['name = "../x"', "letters, digits"]),
    (["population.cohorts.1st={}"], ["population.cohorts.1st", "begins with a letter"]),
    ([f"{ETH}.oracle.sources.a-b={{}}"], [f"{ETH}.oracle.sources.a-b", "underscores"]),
    (["markets.Usd=" + BARE_MARKET], ["markets.Usd", "cash asset, USD"]),
    (["markets.eth={}"], ["markets.eth", "differs from ETH"]),
    ([KEEPERS.replace("bots.a", "bots.fund")], ["venue.keepers.bots.fund", "treasury"]),
    # Times.
    (["end=2020-03-11T00:00:00Z"], ["end = 2020-03-11T00:00:00Z", "after start, 2020-03-12T"]),
    (
        [f"{ETH}.shocks.0.at=2020-03-14T00:00:01Z"],
        [f"{ETH}.shocks.0.at = ", "to before 2020-03-14T"],
    ),
    (
        [f"{ETH}.liquidity.schedule.1.at=2020-03-15T00:00:00Z"],
        [f"{ETH}.liquidity.schedule.1.at = 2020-03-15T00:00:00Z", "to before 2020-03-14T"],
    ),
    (
        [f"{ETH}.liquidity.schedule.1.at=2020-03-12T10:00:00Z"],
        [f"{ETH}.liquidity.schedule.1.at", "above the one before"],
    ),
    # Ladders.
    ([LADDER.format(asks="[]", bids="[[0, 1]]")], [f"{ETH}.liquidity.asks", "at least one level"]),
    (
        [LADDER.format(asks="[[0.01, 1], [0.01, 2]]", bids="[[0, 1]]")],
        [f"{ETH}.liquidity.asks.1.0 = 0.01", "above the one before"],
    ),
    (
        [LADDER.format(asks="[[0, 0]]", bids="[[0, 1]]")],
        [f"{ETH}.liquidity.asks.0.1 = 0", "above 0"],
    ),
    (
        [LADDER.format(asks="[[0, 1]]", bids="[[1, 1]]")],
        [f"{ETH}.liquidity.bids.0.0 = 1", "0.999999"],
    ),
    (
        [LADDER.format(asks="[[0, 6e9], [1, 6e9]]", bids="[[0, 1]]")],
        [f"{ETH}.liquidity.asks", "less than 10000000000 units, not 12000000000"],
    ),
    (
        [f"{ETH}.oracle.sources.one.outages.0.0=2020-03-13T00:10:00Z"],
        [f"{ETH}.oracle.sources.one.outages.0", "must end after it begins"],
    ),
    (
        [f"{ETH}.oracle.sources.one.outages.0.0=2020-03-11T00:10:00Z"],
        [f"{ETH}.oracle.sources.one.outages.0", "must be in the run"],
    ),
    (
        [f"{ETH}.oracle.sources.one.outages.1.0=2020-03-13T00:05:00Z"],
        [f"{ETH}.oracle.sources.one.outages.1", "end of the window before it"],
    ),
    (
        ["venue.executor=keepers", KEEPERS.replace("purse", "downtime = [[], []], purse")],
        ["venue.keepers.bots.a.downtime.0 = []", "[from, to]"],
    ),
    # Paths.
    ([f"{ETH}.path.knots=[]"], [f"{ETH}.path.knots = []", "at least 2 knots"]),
    (
        [f"{ETH}.path.knots.0.0=2020-03-12T00:00:01Z"],
        [f"{ETH}.path.knots.0.0 = 2020-03-12T00:00:01Z", "the start, 2020-03-12T00:00:00Z"],
    ),
    (
        [f"{ETH}.path.knots.1.0=2020-03-12T00:00:00Z"],
        [f"{ETH}.path.knots.1.0 = 2020-03-12T00:00:00Z", "above the one before"],
    ),
    (
        [f"{ETH}.path.knots.1.0=2020-03-13T00:00:00Z"],
        [f"{ETH}.path.knots.1.0 = 2020-03-13T00:00:00Z", "after the end, 2020-03-14T00:00:00Z"],
    ),
    (
        [f"{ETH}.path.knots.1.0=2020-03-14T00:00:00.5Z"],
        [f"{ETH}.path.knots.1.0 = 2020-03-14T00:00:00.500000Z", "steps of 1s"],
    ),
    (["markets.BTC.path.step=7s"], ['markets.BTC.path.step = "7s"', "divide the run of 2d"]),
    ([f"{ETH}.path.step=1ms"], [f'{ETH}.path.step = "1ms"', "at least 3456us", "50000000"]),
    ([f"{ETH}.oracle.sources.one.period=1ms"], [f"{ETH}.oracle.sources", "100000000", "172800000"]),
    # Oracle and latencies.
    ([f"{ETH}.oracle.sources={{}}"], [f"{ETH}.oracle.sources", "at least one source"]),
    ([f"{ETH}.oracle.quorum=2"], [f"{ETH}.oracle.quorum = 2", "number of sources, 1"]),
    (
        [f"{ETH}.oracle.sources.one.latency.p99=1s"],
        [f'{ETH}.oracle.sources.one.latency.p99 = "1s"', "median, 2s"],
    ),
    (
        [f"{ETH}.oracle.sources.one.latency.median=0s"],
        [f'{ETH}.oracle.sources.one.latency.p99 = "15s"', "must be 0s"],
    ),
    # Maintenance.
    ([f"{ETH}.maintenance=[]"], [f"{ETH}.maintenance = []", "at least one tier"]),
    ([f"{ETH}.maintenance.0.0=1"], [f"{ETH}.maintenance.0.0 = 1", "must be 0"]),
    ([f"{ETH}.maintenance.1.0=0"], [f"{ETH}.maintenance.1.0 = 0", "above the one before"]),
    ([f"{ETH}.maintenance.1.1=0.009"], [f"{ETH}.maintenance.1.1 = 0.009", "at least", "0.01"]),
    ([f"{ETH}.maintenance.1.1=1"], [f"{ETH}.maintenance.1.1 = 1", "below 1"]),
    # Executors.
    (["venue.executor=keepers"], ["venue.keepers is missing", "at least one bot", "keepers"]),
    (
        ["venue.executor=keepers", "venue.keepers.discount=0"],
        ["venue.keepers.bots", "at least one bot"],
    ),
    # Population.
    ([f"{SMALL}.market=ETC"], [f'{SMALL}.market = "ETC"', "nearest is ETH"]),
    ([f"{SMALL}.leverage.min=21"], [f"{SMALL}.leverage.min = 21", "at most the median, 20"]),
    ([f"{SMALL}.leverage.max=19"], [f"{SMALL}.leverage.max = 19", "at least the median, 20"]),
    ([f"{SMALL}.leverage.max=100"], [f"{SMALL}.leverage.max = 100", "below 100", "ETH is 0.01"]),
    ([f"{SMALL}.size.max_usd=35999.99"], [f"{SMALL}.size.max_usd = 35999.99", "at least 36000"]),
    (
        ["venue.fund.initial_usd=999_999_999_999"],
        [
            "venue.fund.initial_usd = 999999999999",
            "less than 1,000,000,000,000",
            "1,000,035,999,999",
        ],
    ),
    ([f"{ETH}.path.knots.0.1=0.003"], ["population.cohorts", "10,000,000,000 units", "0.003"]),
    (
        [f"{ETH}.path.knots.0.1=0.00194", f"{SMALL}.notional_usd=1"],
        [f"{ETH}.liquidity.depth_usd = 20000000", "10,000,000,000 units of ETH", "0.00194"],
    ),
    # Basis.
    (["basis.venu=fitted"], ["basis.venu", "not a known key", "nearest is venue"]),
    (['basis."venue.fees.take"=fitted'], ["venue.fees.take", 'nearest is "venue.fees.taker"']),
    (["basis.foo=fitted"], ["basis.foo", "is not a known key"]),
    (["basis.venue=guess"], ["basis.venue.kind", '"fact", "assumed", "fitted"']),
    (["basis.venue=fact"], ["basis.venue.source", "published"]),
    (["basis.venue=3"], ["basis.venue = 3", "must be a table"]),
]


@pytest.mark.parametrize(("overrides", "fragments"), BAD_INPUT, ids=lambda row: row[0][:60])
def test_bad_input_is_refused_by_file_key_value_and_bound(
    crash: Path, overrides: list[str], fragments: list[str]
) -> None:
    lines = refusal(crash, *overrides)

    assert all(line.startswith(f"{crash}: ") for line in lines)
    assert any(all(fragment in line for fragment in fragments) for line in lines), lines


def test_far_fetched_hints_are_not_given(crash: Path) -> None:
    (line,) = refusal(crash, "basis.foo.kind=fitted")

    assert line == f"{crash}: basis.foo is not a known key"
    (line,) = refusal(crash, f"{SMALL}.market=DOGE")
    told = f'market = "DOGE" must be a market; there are ETH, BTC (--set {SMALL}.market=…)'
    assert line.endswith(told)


def test_an_empty_file_lacks_a_market_too(tmp_path: Path) -> None:
    empty = tmp_path / "empty.toml"
    empty.touch()

    assert f"{empty}: markets is missing, must have at least one market" in refusal(empty)
    assert len([line for line in refusal(empty) if ": markets" in line]) == 1


def test_a_named_table_that_an_override_makes_in_part_is_a_wrong_name(crash: Path) -> None:
    (line,) = refusal(crash, "markets.SOL.path.step=1s")

    assert line.startswith(f"{crash}: markets.SOL is not in the file, which has ETH, BTC: ")
    assert "an override made it, and it lacks path.kind, " in line
    several = refusal(crash, "markets.SOL.path.step=1s", "venue.fees.taker=-1", "venue.keepers={}")
    assert [line.partition(" ")[2].split(" ")[0] for line in several] == [
        "markets.SOL", "venue.fees.taker", "venue.keepers.discount",
    ]  # fmt: skip


def test_a_row_of_an_array_that_is_left_out_is_no_table(crash: Path) -> None:
    (line,) = refusal(crash, "venue.engine.outages.0=[2020-03-12T00:00:00Z, 2020-03-12T00:00:01Z]")

    assert "venue.engine.outages.0 = " in line
    assert line.endswith(
        "cannot be set: venue.engine.outages is not in the scenario: set the whole array"
        " (--set venue.engine.outages.0=…)"
    )


def test_a_scenario_needs_a_market(crash: Path) -> None:
    assert f"{crash}: markets must have at least one market (--set markets=…)" in refusal(
        crash, "markets={}", "population={}", "basis={}"
    )


def test_what_an_override_set_is_told_from_what_the_file_has(crash: Path) -> None:
    crash.write_text(crash.read_text().replace("taker = 0.00075", "taker = -1"))
    rows = '[{ kind = "rate_limit", max_usd = 0 }]'
    file, row, share = sorted(
        refusal(crash, "venue.tranches.share=0.2", "venue.tranches.share=2", f"mitigations={rows}"),
        key=lambda line: "--set" in line,
    )

    assert "venue.fees.taker = -1 must be" in file
    assert row.endswith(" (--set mitigations=…)") or share.endswith(" (--set mitigations=…)")
    assert {line.rpartition(" (")[2] for line in (row, share)} == {
        "--set venue.tranches.share=…)", "--set mitigations=…)",
    }  # fmt: skip


def test_the_engine_needs_its_table(crash: Path) -> None:
    crash.write_text(CRASH.replace("[venue.engine]\n", ""))
    (line,) = refusal(crash)

    assert "venue.engine is missing" in line
    assert 'venue.executor is "engine"' in line


def test_the_sum_of_notionals_is_bounded(crash: Path) -> None:
    cohort = '{ market = "BTC", accounts = 1, notional_usd = 600e9, long_share = 1, '
    cohort += "size.alpha = 1, leverage.median = 2 }"
    (line,) = refusal(crash, *(f"population.cohorts.{name}={cohort}" for name in ("a", "b")))

    assert "population.cohorts must have notional_usd of less than 1,000,000,000,000 USD" in line
    assert "1,200,036,000,000" in line


def test_all_that_is_wrong_is_said_line_by_line(crash: Path) -> None:
    lines = refusal(crash, "venue.tranches.share=0", f"{SMALL}.accounts=0", "venue.x=1")

    assert len(lines) == 3


@pytest.mark.parametrize(
    ("content", "fragments"),
    [
        (b"name = \n", ["TOML", "line 1, column 8"]),
        (b'name = "a"\nname = "b"\n', ["TOML", "line 2"]),
        (b"name = '\xff'\n", ["UTF-8", "byte 8"]),
        (b"name = " + b"[" * 5_000, ["nested too deeply"]),
        (b"name = " + b"[" * 200 + b"]" * 200, ["name must be one line of text"]),
        (b".".join([b"a"] * 5_000) + b" = 1", ["a is not a known key"]),
        (b"seed = " + b"9" * 5_000, ["TOML"]),
        (b"", ["name is missing"]),
    ],
)
def test_files_that_are_no_scenario(tmp_path: Path, content: bytes, fragments: list[str]) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    first = refusal(path)[0]

    assert first.startswith(f"{path}: ")
    assert [fragment for fragment in fragments if fragment not in first] == []


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    absent = tmp_path / "absent.toml"

    assert refusal(absent) == [f"{absent}: there is no such file"]
    assert refusal(tmp_path) == [f"{tmp_path}: is a directory, must be a TOML file"]


def test_an_impossible_path_is_refused(tmp_path: Path) -> None:
    for name in ("x" * 5_000, "nul\0"):
        assert "cannot be read: " in refusal(tmp_path / name)[0]


def test_a_scenario_is_frozen(crash: Path) -> None:
    scenario: Scenario = load_scenario(crash)

    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        scenario.seed = 2  # type: ignore[misc]


def test_an_optional_key_that_is_absent_stays_absent():
    calm = scenario_from_toml(CRASH, source="crash")
    text = CRASH.replace("depth_usd = 20_000_000", "depth_usd = 20_000_000\nfill_depth_usd = 7")
    capped = scenario_from_toml(text, source="crash")

    assert calm.markets[0].liquidity.fill_depth_uusd is None
    assert capped.markets[0].liquidity.fill_depth_uusd == 7_000_000
    assert "fill_depth_usd" not in calm.resolved_toml
    assert "fill_depth_usd = 7" in capped.resolved_toml
