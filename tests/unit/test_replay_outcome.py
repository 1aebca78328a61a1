"""The outcome of two stories worked out by hand, key by key."""

import json
import math
from collections import Counter
from decimal import Decimal
from fractions import Fraction

import pytest
from support.scenarios import (
    absorbed,
    at,
    comeback,
    engine_cascade,
    forewarned,
    funded,
    indexed,
    load,
    mingled,
    newcomers,
    panic,
    rationed,
    rebalanced,
    rewarded,
    scaled,
    stepped_down,
    tripped,
)
from unit.handmade_log import NONE, e8, engine_story, keeper_story, us, usd, write

from liqsim.cli.outcome_table import print_outcome
from liqsim.events import (
    Action,
    DecisionRecorded,
    FundDrawn,
    FundingIndexMoved,
    FundingPaid,
    FundsDeposited,
    KeeperRewarded,
    LeverageFeePaid,
    OrderFilled,
    Owner,
    PenaltyRouted,
    PositionOpened,
    PositionReduced,
    Share,
    StakeSlashed,
    TradeFilled,
    TradeReason,
    TrancheTakenOver,
    UnresolvedReason,
)
from liqsim.runner import run_to_log
from liqsim.scenario import load_scenario
from liqsim.scenario.toml import dump
from replay.log import Log
from replay.outcome import KEYS, keys_of
from replay.terms import count_basis, parse_toml

IN_THE_ORDER_OF_THE_TABLE = """
scenario run_id seed log status schema_version path_mode baseline start_at end_at digest event_count
wall_seconds events_per_second basis_fact basis_assumed basis_fitted overrides accounts
liquidated_accounts liquidations first_order accelerated induced rule_induced averted tranches
liquidated_usd first_order_usd accelerated_usd induced_usd rule_induced_usd regret_usd
lowest_market_eth lowest_market_btc lowest_reference_eth lowest_reference_btc amplification_eth
amplification_btc largest_displacement_eth largest_displacement_btc departure_eth departure_btc
beyond_history_eth beyond_history_btc branching_start_eth branching_start_btc episodes generations
largest_r fees_usd bad_debt_usd fund_start_usd
fund_lowest_usd fund_end_usd surplus_usd deleveraged_usd adl_events haircut_usd socialised_usd
contributed_usd fund_drawdown_usd makers_profit_usd keeper_attempts_won keeper_attempts_lost
keeper_profit_usd
keeper_purse_lowest_usd keepers_dry desk_profit_usd desk_inventory_usd
oracle_lag_p50_us oracle_lag_p99_us due_wait_max_us
first_liquidation_at last_liquidation_at unresolved_buckets unresolved_usd
unresolved_shortfall_usd unresolved_no_executor
unresolved_no_depth unresolved_no_fresh_price unresolved_halted unresolved_spacing
unresolved_run_ended unresolved_paced
topped_up_usd closed_by_will_usd reopened_usd rebalanced_usd relevered_usd
anticipated_usd funding_usd
arrived_accounts arrived_usd arrived_liquidated arrivals_used_up
halts halted_us risk_halted_us leverage_fees_usd index_residue_usd slashed_usd
reductions reduced_usd decisions
taker_fees_usd penalties_to_keepers_usd penalties_to_fund_usd penalties_to_treasury_usd burnt_usd
rewards rewards_usd rewards_left_usd
crossed_usd
""".split()  # noqa: SIM905 — reads as the table does


def outcome_of(tmp_path, story, **options):
    with Log(write(tmp_path / "log.duckdb", story, **options)) as log:
        return log.outcome()


def test_the_keys_are_those_of_the_table_in_its_order(tmp_path):
    found = outcome_of(tmp_path, engine_story())

    assert list(found) == IN_THE_ORDER_OF_THE_TABLE == keys_of(["ETH", "BTC"])
    assert found == json.loads(json.dumps(found))
    assert all(type_ and meaning.endswith(".") for type_, meaning in KEYS.values())


def test_the_engine_story(tmp_path):
    found = outcome_of(tmp_path, engine_story())

    assert found["run_id"] == found["run_id"].lower()
    expected = {
        "scenario": "by_hand",
        "seed": 7,
        "log": str(tmp_path / "log.duckdb"),
        "status": "sealed",
        "schema_version": 2,
        "path_mode": "on_top",
        "start_at": "2020-03-12T00:00:00.000000Z",
        "end_at": "2020-03-12T00:00:20.000000Z",
        "event_count": 57,
        "wall_seconds": 0.5,
        "events_per_second": 114.0,
        "accounts": 6,
        "liquidated_accounts": 4,
        "liquidations": 4,
        "tranches": 7,
        # 452 + 449.5 + 89.5 + 440 in the book, 190 + 485 + 95 deleveraged.
        "liquidated_usd": "2201.000000",
        "first_order": 3,
        "accelerated": 1,  # gus.
        "induced": 0,
        "rule_induced": 0,
        "averted": 0,
        "first_order_usd": "2201.000000",
        "accelerated_usd": "0.000000",
        "lowest_market_eth": "87.50000000",
        "lowest_market_btc": "1000.00000000",
        "lowest_reference_eth": "89.00000000",
        "lowest_reference_btc": "1000.00000000",
        "amplification_eth": 12.5 / 11,
        "amplification_btc": None,
        "largest_displacement_eth": pytest.approx(math.log(87.5 / 90.5), abs=1e-15),
        "largest_displacement_btc": None,
        "branching_start_btc": 0.0,
        "episodes": 1,
        "generations": 2,
        # gus has nothing but a cancelled tranche.
        "largest_r": 0.0,
        "fees_usd": "0.452000",
        "bad_debt_usd": "39.452000",
        "fund_start_usd": "10.000000",
        "fund_lowest_usd": "0.000000",
        "fund_end_usd": "0.000000",
        "surplus_usd": "1.548000",
        "deleveraged_usd": "770.000000",
        "adl_events": 3,
        "haircut_usd": "0.000000",
        "socialised_usd": "0.000000",
        "contributed_usd": "0.000000",
        "fund_drawdown_usd": "11.548000",
        "makers_profit_usd": "180.035521",
        "keeper_attempts_won": None,
        "keeper_attempts_lost": None,
        "keeper_profit_usd": None,
        "keeper_purse_lowest_usd": None,
        "keepers_dry": None,
        "desk_profit_usd": None,
        "desk_inventory_usd": None,
        "oracle_lag_p50_us": 200_000,
        "oracle_lag_p99_us": 200_000,
        "due_wait_max_us": 8_800_000,  # gus, from 11.2 s to the end.
        "first_liquidation_at": "2020-03-12T00:00:05.200000Z",
        "last_liquidation_at": "2020-03-12T00:00:11.200000Z",
        "unresolved_buckets": 1,
        # One unit at 89; 0.50 of equity is left.
        "unresolved_usd": "89.000000",
        "unresolved_shortfall_usd": "0.000000",
        "unresolved_no_depth": 1,
        "unresolved_spacing": 0,
    }
    assert {key: found[key] for key in expected} == expected


def test_the_keeper_story(tmp_path):
    found = outcome_of(tmp_path, keeper_story())

    assert (found["keeper_attempts_won"], found["keeper_attempts_lost"]) == (2, 1)
    # kit: 360.4 - 450.2375 - 0.3 + one unit at 88.5; kay: 748.725 - 500.5 - 0.6.
    assert found["keeper_profit_usd"] == "245.987500"
    # kit, after the takeover: 1,000 - 450.2375 - 0.3.
    assert found["keeper_purse_lowest_usd"] == "549.462500"
    assert found["keepers_dry"] == 0
    assert found["due_wait_max_us"] == 300_000
    assert found["unresolved_spacing"] == 1
    # ana's half, once ana is out of liquidation.
    assert (found["first_order"], found["averted"]) == (2, 1)
    assert found["unresolved_usd"] == "745.000000"  # A short counts like a long.
    # Keepers' sales displace too, either way: kit's to 89.81, kay's to 1002.002 of 1000.
    expected = (math.log(89.80618328 / 90.5), math.log(1.00200200133))
    moved = (found["largest_displacement_eth"], found["largest_displacement_btc"])
    assert moved == pytest.approx(expected, abs=1e-15)


def test_what_accounts_still_due_lack_is_no_bad_debt_and_is_told(tmp_path):
    story = engine_story()
    story.change("gus", margin_uusd=usd("-1.39"))
    story.change("low_mark", mark_price_e8=e8(88))
    found = outcome_of(tmp_path, story)

    # One unit at 88 and cash of -88.50.
    assert found["unresolved_usd"] == "88.000000"
    assert found["unresolved_shortfall_usd"] == "0.500000"
    assert found["bad_debt_usd"] == "39.452000"


def test_a_run_whose_engine_never_works_hides_no_loss(tmp_path):
    raw = engine_cascade(venue__engine__outages=[[at(0), at(180)]])
    run_to_log(load(raw), tmp_path / "log.duckdb")
    with Log(tmp_path / "log.duckdb") as log:
        found = log.outcome()
        lacking = log.sql("select -sum(equity_usd) from unresolved where equity_usd < 0")
        ((shortfall,),) = lacking.fetchall()

    assert (found["bad_debt_usd"], found["tranches"]) == ("0.000000", 0)
    assert Decimal(found["unresolved_shortfall_usd"]) == round(shortfall, 6) > 1_000
    assert found["unresolved_no_executor"] == found["unresolved_buckets"] > 10


def test_the_keys_that_were_set_are_told(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(dump(engine_cascade()), encoding="utf-8")
    overrides = ["venue.fees.taker=0.001", "seed=3", "markets.ETH.maintenance.0.1=0.015"]
    run_to_log(load_scenario(path, overrides=overrides), tmp_path / "log.duckdb")
    with Log(tmp_path / "log.duckdb") as log:
        found = log.outcome()

    assert found["overrides"] == ["markets.ETH.maintenance", "venue.fees.taker"]
    assert found["seed"] == 3


def test_what_accounts_traded_and_paid_of_their_own_will_adds_up(tmp_path):
    keys_of_reasons = {
        TradeReason.REDUCED: "closed_by_will_usd",
        TradeReason.CLOSED: "closed_by_will_usd",
        TradeReason.STOPPED: "closed_by_will_usd",
        TradeReason.OPENED: "reopened_usd",
        TradeReason.REBALANCED: "rebalanced_usd",
        TradeReason.RELEVERED: "relevered_usd",
        TradeReason.ARRIVED: "arrived_usd",
        TradeReason.ANTICIPATED: "anticipated_usd",
    }
    met = Counter()
    for story in (panic, comeback, rebalanced, funded, mingled, newcomers, forewarned):
        run_to_log(load(story()), tmp_path / f"{story.__name__}.duckdb")
        with Log(tmp_path / f"{story.__name__}.duckdb") as log:
            told, entries = log.outcome(), list(log.entries())
        own = dict.fromkeys((*keys_of_reasons.values(), "topped_up_usd", "funding_usd"), Decimal(0))
        opened_by = {e.cause_seq for e in entries if isinstance(e.event, TradeFilled)}
        for seq, event, is_start in ((e.seq, e.event, not e.sim_time_us) for e in entries):
            match event:
                case TradeFilled():
                    value = Decimal(abs(event.quantity_e8) * event.price_e8).scaleb(-16)
                    own[keys_of_reasons[event.reason]] += value
                case FundsDeposited() if not is_start and seq not in opened_by:
                    own["topped_up_usd"] += Decimal(event.amount_uusd).scaleb(-6)
                case FundingPaid():
                    own["funding_usd"] += Decimal(event.amount_uusd).scaleb(-6)
        for key, value in own.items():
            assert abs(Decimal(told[key]) - value) <= Decimal("0.000001"), (story.__name__, key)
            met[key] += value != 0
    assert all(met[key] >= 1 for key in own), met


def _incentives_in(events, taker_e6):
    shares = Counter()
    for e in events:
        if isinstance(e, PenaltyRouted):
            shares[e.share] += e.amount_uusd
    fees = sum(e.fee_uusd for e in events if isinstance(e, OrderFilled | TrancheTakenOver))
    taker = sum(
        min(e.fee_uusd, math.ceil(Fraction(abs(e.quantity_e8) * e.price_e8 * taker_e6, 10**16)))
        for e in events
        if isinstance(e, OrderFilled)
    )
    rewards = [e.amount_uusd for e in events if isinstance(e, KeeperRewarded)]
    is_budget = (isinstance(e, FundsDeposited) and e.owner_id == Owner.TREASURY for e in events)
    given = sum(e.amount_uusd for e, is_it in zip(events, is_budget, strict=True) if is_it)
    in_usd = {
        "penalties_to_keepers_usd": shares[Share.KEEPER],
        "penalties_to_fund_usd": shares[Share.FUND],
        "burnt_usd": shares[Share.BURN],
        "taker_fees_usd": taker,
        "penalties_to_treasury_usd": fees - taker - sum(shares.values()),
        "rewards_usd": sum(rewards),
        "rewards_left_usd": given - sum(rewards),
    }
    return {key: Decimal(uusd).scaleb(-6) for key, uusd in in_usd.items()} | {
        "rewards": len(rewards)
    }


def _shared():
    return engine_cascade(name="shared", mitigations=[{"kind": "penalty_routing"}])


def test_what_mitigations_did_adds_up(tmp_path):
    met = Counter()
    stories = rationed, scaled, absorbed, tripped, rewarded, _shared, indexed, stepped_down
    for story in stories:
        run_to_log(load(story()), tmp_path / f"{story.__name__}.duckdb")
        with Log(tmp_path / f"{story.__name__}.duckdb") as log:
            told, events = log.outcome(), [entry.event for entry in log.entries()]
        own = {
            "decisions": sum(isinstance(e, DecisionRecorded) for e in events),
            "halts": sum(
                isinstance(e, DecisionRecorded) and e.action in (Action.HALTED, Action.RISK_HALTED)
                for e in events
            ),
        }
        for kind, key in ((LeverageFeePaid, "leverage_fees_usd"), (StakeSlashed, "slashed_usd")):
            paid = sum(e.amount_uusd for e in events if isinstance(e, kind))
            own[key] = Decimal(paid).scaleb(-6)
        residue = sum(e.residue_uusd for e in events if isinstance(e, FundingIndexMoved))
        own["index_residue_usd"] = Decimal(residue).scaleb(-6)
        own |= _incentives_in(events, load(story()).venue.fees.taker_e6)
        steps = [e for e in events if isinstance(e, PositionReduced)]
        worth = sum(abs(e.quantity_e8) * e.price_e8 for e in steps)
        own |= {"reductions": len(steps), "reduced_usd": round(Decimal(worth).scaleb(-16), 6)}
        for key, value in own.items():
            assert Decimal(told[key]) == value, (story.__name__, key)
            met[key] += value != 0
        drawn = Decimal(sum(e.amount_uusd for e in events if isinstance(e, FundDrawn))).scaleb(-6)
        received = sum(Decimal(told[key]) for key in _RECEIVED_BY_FUND)
        assert Decimal(told["fund_end_usd"]) == received - drawn, story.__name__
    assert all(met[key] >= 1 for key in own), met


_RECEIVED_BY_FUND = (
    "fund_start_usd",
    "surplus_usd",
    "contributed_usd",
    "penalties_to_fund_usd",
    "leverage_fees_usd",
    "index_residue_usd",
)


def test_what_rounding_left_to_the_fund_is_not_paid_out(tmp_path, capsys, monkeypatch):
    run_to_log(load(indexed()), tmp_path / "run.duckdb")
    with Log(tmp_path / "run.duckdb") as log:
        ((drawn,),) = log.sql("select sum(amount_usd) from fund_drawn").fetchall()
        told = log.outcome()
        for key in ("index_residue_usd", "fund_end_usd"):
            told[key] = str(Decimal(told[key]) + 5)
        monkeypatch.setattr(log, "outcome", lambda: told)
        print_outcome(log, as_json=False, verbose=0)

    (line,) = (line for line in capsys.readouterr().out.splitlines() if "paid out" in line)
    assert f" {drawn:,.2f}" in line


def test_a_run_in_which_nothing_happens(tmp_path):
    story = engine_story()
    extremes = [row for row in story.rows if type(row[2]).TAG == "market_extremes"]
    story.rows[:] = [
        (0, NONE, FundsDeposited(9, usd(500))),
        (0, NONE, PositionOpened(9, 1, e8(1), e8(1000), usd(1000))),
        *extremes,
    ]
    found = outcome_of(tmp_path, story)

    nothing = {
        "liquidations": 0,
        "liquidated_usd": "0.000000",
        "episodes": 0,
        "generations": 0,
        "largest_r": None,
        "fund_start_usd": "0.000000",
        "fund_lowest_usd": "0.000000",
        "oracle_lag_p50_us": None,
        "due_wait_max_us": None,
        "first_liquidation_at": None,
    }
    assert {key: found[key] for key in nothing} == nothing


def test_an_interrupted_run_has_no_extremes_and_no_digest(tmp_path):
    story = engine_story()
    story.cut(22)
    found = outcome_of(tmp_path, story, status="running")

    assert (found["digest"], found["wall_seconds"], found["events_per_second"]) == (None,) * 3
    assert (found["lowest_market_eth"], found["amplification_eth"]) == (None, None)
    assert found["event_count"] == 22
    assert found["due_wait_max_us"] == us(1)  # To the last event that is there.


def test_lag_percentiles_are_nearest_ranks(tmp_path):
    story = engine_story()
    story.change("low_mark", sampled_at_us=us(10))
    found = outcome_of(tmp_path, story)

    assert (found["oracle_lag_p50_us"], found["oracle_lag_p99_us"]) == (200_000, 1_200_000)


def test_every_reason_has_a_key():
    assert {f"unresolved_{reason.name.lower()}" for reason in UnresolvedReason} <= set(KEYS)


@pytest.mark.parametrize(
    ("basis", "expected"),
    [
        ("", {"fact": 0, "assumed": 4, "fitted": 0}),
        ('"a" = "fact"', {"fact": 3, "assumed": 1, "fitted": 0}),
        ('"a" = "fact"\n"a.y" = { kind = "fitted" }', {"fact": 1, "assumed": 1, "fitted": 2}),
        ('a.y.z = { kind = "fact", source = "paper" }', {"fact": 1, "assumed": 3, "fitted": 0}),
        ('"a.x" = "fact"\n"a" = "fitted"', {"fact": 1, "assumed": 1, "fitted": 2}),
        ('"" = "fact"\n"ab" = "fact"', {"fact": 0, "assumed": 4, "fitted": 0}),
    ],
)
def test_the_longest_covering_key_decides_what_a_parameter_rests_on(basis, expected):
    document = f"""
    name = "x"
    description = "y"
    seed = 1
    b = [[1, 2], [3, 4]]
    [a]
    x = 1
    y.z = 2
    y.name = 3
    [basis]
    {basis}
    """

    assert expected == count_basis(parse_toml(document))
