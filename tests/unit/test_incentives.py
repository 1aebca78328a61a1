"""
Shares of penalties and rewards of keepers, every balance worked out by hand.

Amounts in the comments are USD. The account is long 10 at 100 with a collateral of 100: bankrupt at
90, due below 90.909…, since maintenance is 1 %. At 90.6 it is worth 6. Keepers react and land at
once, and sell on at the reference price a second later. Owners: kit is 5, then the account, or burn
and the account.
"""

from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from support.auditor import audited
from support.scenarios import (
    INSTANTLY,
    Raw,
    at,
    engine_cascade,
    events_of,
    keeper,
    knots,
    load,
    prepared_by_hand,
    rewarded,
    small_scenario,
)
from support.sinks import ListSink

from liqsim.errors import ScenarioError
from liqsim.events import (
    Entry,
    KeeperCallFailed,
    KeeperRewarded,
    LiquidationUnresolved,
    OrderFilled,
    Owner,
    PenaltyRouted,
    Share,
    TrancheTakenOver,
    UnresolvedReason,
)
from liqsim.runner import Simulation, prepare, run_to_log
from liqsim.study.gains import gains
from replay.log import Log
from replay.measures import profits
from replay.verify import verify

LONG = (10, 100, 100)
KIT, BURN = 5, 6
FALL = {0: 100, 10: "90.6"}
THREE = ((10, 100, 100), (10, 100, 102), (10, 100, 104))
ONE_BY_ONE = {0: 100, 10: "90.8", 12: "90.6", 14: "90.4"}
"""Each of three becomes due at its own instant."""

ROUTED: Raw = {
    "kind": "penalty_routing",
    "keeper": Decimal("0.25"),
    "fund": Decimal("0.5"),
    "treasury": Decimal("0.15"),
    "burn": Decimal("0.1"),
}


def uusd(value: float | str) -> int:
    return int(Decimal(str(value)) * 10**6)


def bot(**changes: Any) -> Raw:
    """Return a keeper that asks for no loss, and pays 2 for a call."""
    terms = {"call_cost_usd": 2, "min_profit_usd": 0, "purse_usd": 10_000}
    return keeper(reaction=INSTANTLY, landing=INSTANTLY) | terms | changes


def offered(*mitigations: Raw, bots: Raw | None = None, **overrides: Any) -> Raw:
    """Return a scenario in which keepers execute, at the mark, for a penalty of 0.5 %."""
    raw = small_scenario(
        venue__executor="keepers",
        venue__keepers={"discount": 0, "bots": bots or {"kit": bot()}},
        venue__fees={"liquidation_on_execution": Decimal("0.005")},
        **overrides,
    )
    return raw | {"mitigations": list(mitigations)}


def reward(**changes: Any) -> Raw:
    return {"kind": "keeper_reward", "base_usd": 0} | changes


def rising(per_minute_usd: Any = 6, **changes: Any) -> Raw:
    """Return a reward that rises by 0.1 a second."""
    return reward(law="waiting", per_minute_usd=per_minute_usd, **changes)


class Run:
    def __init__(self, raw: Raw, *positions: Any, prices: Any = FALL) -> None:
        sink = ListSink()
        simulation = Simulation(prepared_by_hand(raw, list(positions or [LONG]), prices), sink)
        simulation.run()
        self.entries: list[Entry] = sink.entries
        self.cash = [Decimal(value).scaleb(-6) for value in simulation.world.ledger.cash.tolist()]

    def of(self, cls: type[Any]) -> list[Entry]:
        return [entry for entry in self.entries if isinstance(entry.event, cls)]

    def the(self, cls: type[Any]) -> Any:
        (entry,) = self.of(cls)
        return entry.event

    def when(self, cls: type[Any]) -> list[int]:
        return [entry.sim_time_us for entry in self.of(cls)]


# Penalties ----------------------------------------------------------------------------------------


def test_a_penalty_is_shared_and_a_rising_reward_waits_until_it_pays() -> None:
    run = Run(offered(ROUTED, rising(budget_usd=50)))

    # The penalty is 906 x 0.5 % = 4.53, of which 1.1325 is the keeper's, 2.265 the fund's, 0.453 is
    # burnt. Of the call's 2 that leaves 0.8675, owed 8.675 s after the trigger at 10 s.
    shares = [
        (e.event.share, e.event.receiver_id, e.event.amount_uusd) for e in run.of(PenaltyRouted)
    ]
    assert shares == [
        (Share.KEEPER, KIT, uusd("1.1325")),
        (Share.FUND, 2, uusd("2.265")),
        (Share.BURN, BURN, uusd("0.453")),
    ]
    assert run.when(TrancheTakenOver) == [18_675_000]
    paid = run.the(KeeperRewarded)
    assert (paid.waited_us, paid.owed_uusd, paid.amount_uusd) == (8_675_000, 867_500, 867_500)
    assert (paid.used_uusd, paid.budget_uusd) == (0, uusd("49.1325"))
    assert (paid.violation_uusd, paid.depth_e8) == (-1, -1)
    # What the execution left, 6 - 4.53, is surplus of the fund. The keeper has made nothing.
    fund, treasury = Decimal("2.265") + Decimal("1.47"), Decimal("0.6795") + Decimal("49.1325")
    assert run.cash[2:] == [fund, treasury, 2, 10_000, Decimal("0.453"), 0]
    assert sum(run.cash) == 0


def test_rounding_goes_to_one_of_them_and_without_a_keeper_its_share_to_another() -> None:
    third = {"keeper": Decimal("0.333333"), "fund": Decimal("0.333333"), "treasury": 0}
    row = {"kind": "penalty_routing", "burn": Decimal("0.333334"), "remainder": "fund"} | third
    raw = small_scenario(venue__fees={"liquidation_on_execution": Decimal("0.000001")})
    raw |= {"mitigations": [row | third | {"without_keeper": "burn"}]}

    run = Run(raw)

    # 906 x 1e-6 is 906 micro-dollars: 301.99… each for keeper and fund, 302.0… burnt. The engine
    # executes: what is the keeper's is burnt too.
    assert run.the(OrderFilled).fee_uusd == 906
    fund, burn = (entry.event for entry in run.of(PenaltyRouted))
    assert (fund.share, fund.amount_uusd) == (Share.FUND, 303)
    assert (burn.share, burn.amount_uusd, burn.receiver_id) == (Share.BURN, 302 + 301, 5)
    assert run.cash[3] == 0


@pytest.mark.parametrize(
    ("price", "fee", "penalty"),
    [("90.6", "5.436", "4.53"), ("90.2", "2", "1.098"), ("90.05", "0.5", "0")],
)
def test_the_taker_fee_of_an_order_is_no_penalty(price: str, fee: str, penalty: str) -> None:
    rates = {"taker": Decimal("0.001"), "liquidation_on_execution": Decimal("0.005")}
    raw = small_scenario(venue__fees=rates)
    row = {"kind": "penalty_routing", "keeper": 0, "fund": 1, "treasury": 0}
    run = Run(raw | {"mitigations": [row]}, prices={0: 100, 10: Decimal(price)})

    # Ten of 90.6, 90.2 and 90.05 leave 6, 2 and 0.5 above bankruptcy. A thousandth is the fee of
    # any order, and comes first.
    assert run.the(OrderFilled).fee_uusd == uusd(fee)
    assert sum(entry.event.amount_uusd for entry in run.of(PenaltyRouted)) == uusd(penalty)
    assert run.cash[3] == Decimal(fee) - Decimal(penalty)


def test_audit_and_auditor_know_the_taker_fee_too(tmp_path: Path) -> None:
    scenario = load(engine_cascade(mitigations=[ROUTED]))
    run_to_log(scenario, tmp_path / "run.duckdb")

    assert verify(tmp_path / "run.duckdb") == []
    census = audited(prepare(scenario)).census
    assert census["taker fee beside a penalty"] > 5


def test_a_keeper_counts_on_no_penalty_that_the_account_cannot_pay() -> None:
    all_of_it = {"kind": "penalty_routing", "keeper": 1, "fund": 0, "treasury": 0}
    raw = offered(all_of_it, bots={"kit": bot(call_cost_usd=Decimal("0.3"))})

    rich, poor = Run(raw), Run(raw, prices={0: 100, 10: "90.01"})

    # At 90.01 the account is worth 0.1, and that would be all of the penalty.
    assert rich.the(PenaltyRouted).amount_uusd == uusd("4.53")
    assert poor.of(TrancheTakenOver) == []
    assert poor.the(LiquidationUnresolved).reason is UnresolvedReason.NO_EXECUTOR


# Rewards ------------------------------------------------------------------------------------------


def test_a_reward_follows_how_far_the_margin_is_below_zero() -> None:
    run = Run(offered(reward(law="violation", rate=Decimal("0.7"))))

    # 6 - 9.06: 3.06 below, of which 2.142 are owed, before the takeover changes it.
    paid = run.the(KeeperRewarded)
    assert (paid.violation_uusd, paid.owed_uusd) == (uusd("3.06"), uusd("2.142"))
    assert run.when(TrancheTakenOver) == [10_000_000]


def test_a_reward_follows_how_little_the_book_holds() -> None:
    ladder = {
        "kind": "ladder",
        "bids": [[Decimal("0.001"), 4], [Decimal("0.05"), 100]],
        "asks": [[Decimal("0.001"), 4], [Decimal("0.05"), 100]],
        "half_life": "10s",
    }
    row = {"scarce_usd": 10, "reference_usd": Decimal("724.8"), "distance": Decimal("0.01")}
    bots = {"kit": bot(min_profit_usd=-1_000)}
    raw = offered(reward(law="scarcity", **row), bots=bots, markets__ETH__liquidity=ladder)

    paid = Run(raw).the(KeeperRewarded)

    # Four units, 362.4, are half of what would be enough.
    assert (paid.depth_e8, paid.owed_uusd) == (4 * 10**8, uusd(5))


def test_a_reward_is_capped_and_so_is_what_a_keeper_counts_on() -> None:
    capped = Run(offered(reward(base_usd=5, max_usd=3)))
    short = Run(offered(reward(base_usd=5, max_usd=Decimal("1.999999"))))

    assert (capped.the(KeeperRewarded).owed_uusd, capped.cash[KIT]) == (uusd(5), 10_001)
    assert short.of(TrancheTakenOver) == []


def test_who_counts_on_a_budget_that_is_used_up_does_not_call() -> None:
    run = Run(offered(reward(base_usd=2, budget_usd=5)), *THREE, prices=ONE_BY_ONE)

    # Of the budget of 5 two get 2 each; 1 is not enough for the third.
    assert [entry.event.budget_uusd for entry in run.of(KeeperRewarded)] == [uusd(3), uusd(1)]
    assert len(run.of(TrancheTakenOver)) == 2
    assert run.cash[3] == 1 + Decimal("4.54") + Decimal("4.53")


def test_who_has_calls_on_their_way_does_not_count_on_one_budget_twice() -> None:
    run = Run(offered(reward(base_usd=2, budget_usd=5)), LONG, LONG, LONG)

    # All three are due at once, and it calls for two.
    assert run.when(TrancheTakenOver) == [10_000_000] * 2
    assert [entry.event.budget_uusd for entry in run.of(KeeperRewarded)] == [uusd(3), uusd(1)]


def test_a_keeper_is_paid_what_is_left_of_a_budget() -> None:
    bots = {"kit": bot(min_profit_usd=-1)}
    run = Run(offered(reward(base_usd=2, budget_usd=5), bots=bots), LONG, LONG, LONG)

    assert [e.event.amount_uusd for e in run.of(KeeperRewarded)] == [uusd(2), uusd(2), uusd(1)]
    assert run.of(KeeperRewarded)[-1].event.budget_uusd == 0


def test_a_keeper_waits_until_a_span_has_room_again() -> None:
    row = reward(base_usd=2, max_window_usd=Decimal("3.5"), span="6700ms")

    run = Run(offered(row), *THREE, prices=ONE_BY_ONE)

    # 1.5 are not enough for the second, who has to wait until the first payment leaves the span.
    assert run.when(TrancheTakenOver) == [10_000_000, 16_700_000, 23_400_000]


@pytest.mark.parametrize("late", ["ann", "bob"])
def test_who_waits_for_one_reward_calls_together(late: str) -> None:
    bots = {name: bot(call_cost_usd=Decimal("2.05")) for name in ("ann", "bob")}
    bots[late]["downtime"] = [[at(9), at(13)]]

    run = Run(offered(rising(), bots=bots))

    # At 30.5 s, between two marks, both call, whoever was the first to put the offer off.
    assert run.when(TrancheTakenOver) == run.when(KeeperCallFailed) == [30_500_000]
    assert run.the(TrancheTakenOver).keeper_id == KIT


def test_of_two_who_wait_the_one_with_the_cheaper_call_is_first() -> None:
    bots = {"ann": bot(), "bob": bot(call_cost_usd=Decimal("1.05"))}

    run = Run(offered(rising(), bots=bots))

    assert run.when(TrancheTakenOver) == [20_500_000]
    assert run.the(TrancheTakenOver).keeper_id == KIT + 1
    assert run.of(KeeperCallFailed) == []


@pytest.mark.parametrize("row", rewarded()["mitigations"][1:], ids=lambda row: row["law"])
def test_without_a_budget_it_is_as_if_it_were_not_there(row: Raw) -> None:
    absent = rewarded(mitigations=[])
    assert events_of(rewarded(mitigations=[row | {"budget_usd": 0}])) == events_of(absent)
    assert events_of(rewarded(mitigations=[row])) != events_of(absent)


def _done(raw: Raw) -> list[tuple[Any, ...]]:
    """Return what happened, but for what the treasury is given and for numbers of events."""
    found = []
    for entry in events_of(raw):
        values = {
            key: value
            for key, value in attrs.asdict(entry.event).items()
            if key != "mitigation_id" and not key.endswith("_seq")
        }
        if values.get("owner_id") != Owner.TREASURY:
            found.append((entry.sim_time_us, type(entry.event).__name__, values))
    return found


UNPAID = (
    reward(name="unpaid", law="scarcity", scarce_usd=0),
    reward(name="unpaid", law="scarcity", max_usd=0),
    reward(name="unpaid", law="violation", rate=0),
    reward(name="unpaid", law="violation", max_window_usd=0, span="1s"),
    rising(name="unpaid", per_minute_usd=0),
    reward(name="unpaid"),
)


@pytest.mark.parametrize("row", UNPAID, ids=lambda row: f"{row.get('law')} {len(row)}")
@pytest.mark.parametrize("beside", ["nothing", "others"])
def test_a_reward_that_never_pays_has_nobody_take_over_at_another_time(
    row: Raw, beside: str
) -> None:
    moving: Raw = {
        "markets__ETH__maintenance_changes": [
            {"at": at(second), "multiplier": Decimal(1) + Decimal(second % 7) / 20}
            for second in range(25, 100, 5)
        ],
        "markets__ETH__funding": {"interval": "10s", "interest": Decimal("0.001")},
    }
    taken = 0
    for seed in range(2):
        raw = rewarded(seed=seed, **({} if beside == "others" else moving))
        rows = [ROUTED, reward(base_usd=8)] if beside == "others" else []
        for bot in raw["venue"]["keepers"]["bots"].values():
            bot["min_profit_usd"] = 20 if rows else 5
        done = _done(raw | {"mitigations": rows})
        assert _done(raw | {"mitigations": [*rows, row]}) == done
        taken += sum(name == "TrancheTakenOver" for _, name, _ in done)
    assert taken > 5


def test_a_keeper_calls_once_a_sale_in_the_book_has_moved_a_reward() -> None:
    ladder = {
        "kind": "ladder",
        "bids": [[Decimal("0.001"), 20], [Decimal("0.05"), 1_000]],
        "asks": [[Decimal("0.001"), 20], [Decimal("0.05"), 1_000]],
        "half_life": "10m",
    }
    row = {"scarce_usd": 50, "reference_usd": 1_800, "distance": Decimal("0.01")}
    # Ann has capital for one, and less after selling it at a loss. Bob asks for 15.
    ann = bot(purse_usd=909, min_profit_usd=-100, resale_delay="1s", resale_parts=1)
    raw = offered(
        reward(law="scarcity", **row),
        bots={"ann": ann, "bob": bot(min_profit_usd=15)},
        markets__ETH__liquidity=ladder,
    )

    run = Run(raw, LONG, LONG)

    # 20 units, 1 812, are enough; of the 10 that are left, 906, half is missing, which pays 24.83.
    assert run.when(TrancheTakenOver) == [10_000_000, 11_000_000]
    assert run.the(KeeperRewarded).owed_uusd == 50 * (1_800 - 906) * 10**6 // 1_800


def test_a_keeper_calls_once_new_maintenance_has_moved_a_reward() -> None:
    changes = [{"at": at(20), "multiplier": 2}]
    raw = offered(
        reward(law="violation", rate=1),
        bots={"kit": bot(min_profit_usd=10)},
        markets__ETH__maintenance_changes=changes,
    )

    run = Run(raw)

    # 6 - 9.06 is 3.06 below; with twice the maintenance it is 12.12 below, for a call of 2.
    assert run.when(TrancheTakenOver) == [20_000_000]
    assert run.the(KeeperRewarded).owed_uusd == uusd("12.12")


def test_several_rewards_add_up() -> None:
    rows = [rising(name="one"), reward(name="two", base_usd=Decimal("1.45"))]

    run = Run(offered(*rows))

    assert run.when(TrancheTakenOver) == [15_500_000]
    assert [e.event.amount_uusd for e in run.of(KeeperRewarded)] == [uusd("0.55"), uusd("1.45")]


def test_of_another_market_nothing_is_paid() -> None:
    rows = [ROUTED | {"market": "BTC"}, reward(base_usd=9, market="BTC")]
    raw = offered(*rows)
    raw["markets"]["BTC"] = raw["markets"]["ETH"]

    assert Run(raw).of(TrancheTakenOver) == []


def test_every_payment_is_a_row_of_a_view(tmp_path: Path) -> None:
    raw = offered(ROUTED, rising(budget_usd=50))
    raw["markets"]["ETH"]["path"] = knots((0, 100), (10, 100), (11, "90.6"), (60, "90.6"))
    run_to_log(load(raw), tmp_path / "log")
    with Log(tmp_path / "log") as log:
        rows = log.sql(
            "select kind, mitigation, payer, receiver, receiver_kind, amount_usd, whole_usd, "
            "budget_usd, waited_us, cause from incentives order by seq"
        ).fetchall()
        moved = log.sql(
            "select movement, amount_usd from purses where keeper = 'kit' order by seq"
        ).fetchall()
        profit = log.sql("select incentives_usd, profit_usd from keepers").fetchall()
        fund = log.sql("select movement, amount_usd from fund order by seq").fetchall()

    share = ("penalty", "penalty_routing", "treasury")
    whole, none = Decimal("4.53"), (None, None, "tranche_taken_over")
    owed, budget = Decimal("0.8675"), (Decimal("49.1325"), 8_675_000, "tranche_taken_over")
    assert rows == [
        (*share, "kit", "keeper", Decimal("1.1325"), whole, *none),
        (*share, "fund", "fund", Decimal("2.265"), whole, *none),
        (*share, "burn", "burn", Decimal("0.453"), whole, *none),
        ("reward", "keeper_reward", "treasury", "kit", "keeper", owed, owed, *budget),
    ]
    assert moved == [
        ("deposit", 10_000),
        ("takeover", -908),
        ("penalty", Decimal("1.1325")),
        ("reward", Decimal("0.8675")),
        ("sale", 906),
    ]
    assert profit == [(2, 0)]
    assert fund == [("surplus", Decimal("1.47")), ("penalty", Decimal("2.265"))]


def test_what_is_burnt_is_a_gain_of_burn_and_all_gains_add_to_zero(tmp_path: Path) -> None:
    made = []
    for name, rows in (("none", []), ("routed", [ROUTED])):
        raw = offered(*rows, bots={"kit": bot(min_profit_usd=-100)})
        raw["markets"]["ETH"]["path"] = knots((0, 100), (10, 100), (11, "90.6"), (60, "90.6"))
        run_to_log(load(raw), tmp_path / name)
        with Log(tmp_path / name) as log:
            made.append(profits(log.reader))

    rows = {gain.group: gain.net_usd for gain in gains(*made)}
    burnt = rows.pop("burn")
    assert burnt > 0
    assert rows["treasury"] == -Decimal("8.5") * burnt  # 0.85 are not its own, 0.1 are burnt.
    assert burnt + sum(rows.values()) == 0


# What is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (ROUTED | {"burn": 0}, "treasury = 0.15 must be 0.25, so that"),
        (ROUTED | {"burn": 1}, "keeper = 0.25 must add to at most 1 with fund and burn"),
        (ROUTED | {"burn": 2}, "burn"),
        (ROUTED | {"remainder": "nobody"}, "remainder"),
        (
            {
                "kind": "penalty_routing",
                "fund": Decimal("0.75"),
                "treasury": 0,
                "remainder": "burn",
            },
            'remainder = "burn" must be one with a share, and burn has none',
        ),
        (
            {"kind": "penalty_routing", "keeper": 0, "fund": 1, "treasury": 0}
            | {"without_keeper": "fund"},
            'without_keeper = "fund" must be left out where keepers have no share',
        ),
        (rising(rate=1), 'rate = 1 has no effect: law is "waiting", and only "violation" reads it'),
        (reward(span="1s"), 'span = "1s" must be left out without max_window_usd'),
        (reward(max_window_usd=1), "span is missing, needed with max_window_usd"),
        (reward(budget_usd=-1), "budget_usd"),
    ],
)
def test_what_is_refused(row: Raw, message: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        load(offered(row))
    assert f"mitigations.0.{message}" in str(refused.value)


def test_rewards_are_refused_where_nobody_can_earn_them() -> None:
    row = reward()
    with pytest.raises(ScenarioError, match=r'must go with venue\.executor = "keepers"'):
        load(small_scenario() | {"mitigations": [row]})


def test_a_penalty_is_routed_once() -> None:
    rows = [ROUTED | {"name": "one"}, ROUTED | {"name": "two", "market": "ETH"}]
    with pytest.raises(ScenarioError, match=r"mitigations\.1\.market"):
        load(offered(*rows))


def test_nobody_else_is_called_burn() -> None:
    with pytest.raises(ScenarioError, match="must not be the name of a keeper"):
        load(offered(ROUTED, bots={"burn": bot()}))
