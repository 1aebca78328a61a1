"""
Mitigations that absorb losses, one small scenario each, with every balance worked out by hand.

Amounts in the comments are USD. Unless a test says otherwise the account is long 10 at 100 with a
collateral of 100: cash 100 - 10 x 100 = -900, bankrupt at 90. Market orders get the reference
price.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from support.scenarios import (
    Raw,
    constant,
    events_of,
    keeper_race,
    load,
    market,
    prepared_by_hand,
    shared_losses,
    small_scenario,
    source,
    squeeze,
)
from support.sinks import ListSink

from liqsim.errors import ScenarioError
from liqsim.events import (
    Action,
    BadDebtRecorded,
    DecisionRecorded,
    Entry,
    FundDrawn,
    InventorySold,
    MarketExtremes,
    OrderFilled,
    PositionDeleveraged,
    ProfitCut,
    StakeSlashed,
    TrancheSettled,
    TrancheStarted,
    TrancheTakenOver,
)
from liqsim.runner import Simulation

LONG = (10, 100, 100)
FIRST = 5


class Run:
    """A finished run: its events, and its closing balances in USD and units."""

    def __init__(self, raw: Raw, positions: Sequence[Any], *prices: dict[int, Any]) -> None:
        sink = ListSink()
        simulation = Simulation(prepared_by_hand(raw, list(positions), *prices), sink)
        simulation.run()
        ledger = simulation.world.ledger
        self.entries: list[Entry] = sink.entries
        self.cash = [Decimal(value).scaleb(-6) for value in ledger.cash.tolist()]
        self.units = [Decimal(value).scaleb(-8) for value in ledger.units[0].tolist()]
        self.of = sink.of

    def the(self, cls: type[Any]) -> Any:
        """Return the only event of *cls*."""
        (event,) = self.of(cls)
        return event

    def entry_of(self, cls: type[Any]) -> Entry:
        (entry,) = (e for e in self.entries if isinstance(e.event, cls))
        return entry


def uusd(value: float | str) -> int:
    return int(Decimal(str(value)) * 10**6)


def e8(value: float | str) -> int:
    return int(Decimal(str(value)) * 10**8)


def with_fund(fund_usd: float, *mitigations: Raw, **overrides: Any) -> Raw:
    """Return a small scenario with a fund and mitigations."""
    raw = small_scenario(venue__fund__initial_usd=fund_usd, **overrides)
    return raw | {"mitigations": list(mitigations)}


def limits(**changes: Any) -> Raw:
    return {"kind": "fund_limits", "max_draw_usd": 999_999, "max_window_usd": 999_999} | changes


# What the fund pays at most -----------------------------------------------------------------------


def test_what_a_limit_keeps_the_fund_from_paying_is_deleveraged() -> None:
    raw = with_fund(100, limits(max_draw_usd=5))

    run = Run(raw, [LONG, (-12, 100, 300)], {0: 100, 10: 89})

    # It could pay 100 / 10 = 10 per unit, and may pay 5 / 10: the limit is 89.5, not 80. At 89
    # nothing is filled, so that the short buys all 10 at 90.
    decision = run.the(DecisionRecorded)
    assert (decision.action, decision.bucket_id) == (Action.CAPPED, FIRST)
    assert (decision.wanted_uusd, decision.amount_uusd) == (uusd(100), uusd(5))
    assert (decision.used_uusd, decision.paid_uusd) == (0, 0)
    start = run.entry_of(TrancheStarted)
    assert run.entry_of(DecisionRecorded).seq == start.seq - 1
    assert start.event.limit_price_e8 == e8("89.5")
    assert run.the(TrancheSettled).deleveraged_e8 == e8(10)
    assert run.cash == [-500, 1000 - 1200, 100, 0, 0, 0, 300 + 1200 - 900]


def test_a_slice_and_the_hole_that_it_leaves_share_one_limit() -> None:
    raw = with_fund(100, limits(max_draw_usd=4), venue__waterfall__deleveraging="none")

    run = Run(raw, [LONG], {0: 100, 10: 89})

    # Nobody is left to share the loss: sold for 890 at any price. Of the 10 that are missing the
    # fund pays 4, and nothing more of the hole of 6.
    _, fill, hole = run.of(DecisionRecorded)
    assert (fill.wanted_uusd, fill.paid_uusd, fill.amount_uusd) == (uusd(10), 0, uusd(4))
    assert (hole.wanted_uusd, hole.paid_uusd, hole.amount_uusd) == (uusd(6), uusd(4), 0)
    assert run.the(FundDrawn).amount_uusd == uusd(4)
    assert run.the(BadDebtRecorded).amount_uusd == uusd(6)
    assert run.cash == [-200, 110, 96, 0, 0, -6]


def test_a_span_limits_what_is_paid_for_several_accounts() -> None:
    raw = with_fund(100, limits(max_window_usd=25, span="5s"))

    run = Run(raw, [LONG, LONG, LONG, (-40, 100, 4000)], {0: 100, 10: 89, 13: 88})

    # At 89 all three are due at 10 s. Two are sold for 10 less than their debt; the third may cost
    # 5, so that its limit is 89.5, and is bought by the short at 90.
    assert [e.amount_uusd for e in run.of(FundDrawn)] == [uusd(10), uusd(10)]
    assert [e.bucket_id for e in run.of(OrderFilled)] == [FIRST, FIRST + 1]
    assert run.the(PositionDeleveraged).bucket_id == FIRST + 2
    assert [(e.used_uusd, e.amount_uusd) for e in run.of(DecisionRecorded)] == [
        (0, uusd(25)),
        (uusd(10), uusd(15)),
        (uusd(20), uusd(5)),
    ]
    assert run.cash[2] == 80


def test_a_limit_in_one_market_leaves_others_alone() -> None:
    other = with_fund(100, limits(max_draw_usd=5, market="ETH"))

    run = Run(other, [(1, 100, 10)], {0: 100, 10: 89})

    # Bankrupt at 90, sold at 89: the one dollar that is missing is within the limit, but the price
    # limit follows it: 90 - 5 instead of 90 - 100, which is the least price of all.
    assert run.the(FundDrawn).amount_uusd == uusd(1)
    assert run.the(TrancheStarted).limit_price_e8 == e8(85)
    assert run.cash[2] == 99


def test_a_limit_that_never_binds_changes_nothing() -> None:
    plain = Run(with_fund(100), [LONG, (-12, 100, 300)], {0: 100, 10: 89})
    limited = Run(with_fund(100, limits()), [LONG, (-12, 100, 300)], {0: 100, 10: 89})

    assert limited.entries == plain.entries
    assert limited.cash[2] == 90


# Stakes -------------------------------------------------------------------------------------------

ANN, BOB = FIRST, FIRST + 1


def staking(share: float, **purses: float) -> Raw:
    stakers = [{"name": name, "purse_usd": purse} for name, purse in purses.items()]
    return {"kind": "staking", "stakers": stakers, "max_share": Decimal(str(share))}


def test_stakes_fill_a_hole_in_proportion_after_the_fund() -> None:
    raw = with_fund(4, staking(0.5, ann=30, bob=10), venue__waterfall__deleveraging="none")

    run = Run(raw, [LONG], {0: 100, 10: 89})

    # Sold for 890 against 900: 4 from the fund, 6 from stakes of which 15 and 5 may be taken.
    ann, bob = run.of(StakeSlashed)
    assert (ann.staker_id, ann.basis_uusd, ann.amount_uusd) == (ANN, uusd(15), uusd("4.5"))
    assert (bob.staker_id, bob.basis_uusd, bob.amount_uusd) == (BOB, uusd(5), uusd("1.5"))
    assert (ann.balance_uusd, bob.balance_uusd) == (uusd("25.5"), uusd("8.5"))
    assert run.of(BadDebtRecorded) == []
    assert run.cash == [-144, 110, 0, 0, 0, Decimal("25.5"), Decimal("8.5"), 0]


def test_a_hole_takes_a_share_of_a_stake_and_winners_pay_the_rest() -> None:
    raw = with_fund(
        0,
        staking(0.1, ann=30, bob=10),
        venue__waterfall={"deleveraging": "none", "profit_haircut": "pro_rata"},
    )

    run = Run(raw, [LONG, (-1, 100, 100)], {0: 100, 10: 89})

    # A tenth of 30 and of 10: 4 of the 10. The short has a profit of 11, of which 6 are cut.
    assert [e.amount_uusd for e in run.of(StakeSlashed)] == [uusd(3), uusd(1)]
    assert run.the(ProfitCut).amount_uusd == uusd(6)
    assert run.cash[ANN:] == [27, 9, 0, 194]


def test_what_rounding_leaves_goes_to_the_largest_remainder_then_to_the_first() -> None:
    raw = with_fund(0, staking(1, ann=1, bob=1), venue__waterfall__deleveraging="none")

    run = Run(raw, [(3, 100, Decimal("29.999999"))], {0: 100, 10: 90})

    # -270.000001 + 270: a hole of one micro-dollar, which the first pays.
    (slash,) = run.of(StakeSlashed)
    assert (slash.staker_id, slash.amount_uusd) == (ANN, 1)


# Vaults -------------------------------------------------------------------------------------------

LATE = market(
    oracle={
        "deviation": 0,
        "heartbeat": "1s",
        "landing": constant("5s"),
        "sources": {"one": source()},
    }
)
"""The mark shows the price of five seconds ago."""

FALL = {0: 100, 10: "90.5", 12: 80}
VAULT = FIRST


def vault(**changes: Any) -> Raw:
    return {"kind": "backstop", "purse_usd": 10_000, "resale_delay": "10s"} | changes


def test_a_vault_takes_over_at_the_mark_what_the_book_does_not() -> None:
    raw = with_fund(
        0, vault(resale_parts=2, resale_spacing="5s"), markets__ETH=LATE,
        venue__waterfall__surplus_to="trader",
    )  # fmt: skip

    run = Run(raw, [LONG, (-12, 100, 300)], FALL)

    # The mark is 90.5 at 15 s, when the price is 80: below the limit, 90, nothing is filled. The
    # vault pays 905, which leaves the account 5. It sells 5 at 80 at 25 s, and 5 at 30 s.
    taken = run.the(TrancheTakenOver)
    assert (taken.keeper_id, taken.quantity_e8, taken.price_e8) == (VAULT, e8(-10), e8("90.5"))
    assert (taken.cost_uusd, taken.call_cost_uusd) == (uusd(-905), 0)
    assert run.of(PositionDeleveraged) == run.of(BadDebtRecorded) == []
    sold = [e for e in run.entries if isinstance(e.event, InventorySold)]
    assert [(e.sim_time_us, e.event.quantity_e8) for e in sold] == [
        (25_000_000, e8(-5)),
        (30_000_000, e8(-5)),
    ]
    settled = run.the(TrancheSettled)
    assert (settled.taken_over_e8, settled.deleveraged_e8) == (e8(10), 0)
    assert run.cash[VAULT:] == [10_000 - 905 + 800, 5, 1500]
    assert run.units[VAULT:] == [0, 0, -12]


def test_what_a_vault_has_no_room_for_is_deleveraged() -> None:
    raw = with_fund(0, vault(position_limit_usd=362, discount=Decimal("0.005")), markets__ETH=LATE)

    run = Run(raw, [LONG, (-12, 100, 300)], FALL)

    # 362 / 90.5 = 4 units, at 90.5 x 0.995 = 90.0475; the other 6 go to the short, at 90. What the
    # vault paid beyond 90, 4 x 0.0475 = 0.19, is a surplus for the fund.
    taken = run.the(TrancheTakenOver)
    assert (taken.quantity_e8, taken.price_e8) == (e8(-4), e8("90.0475"))
    assert run.the(PositionDeleveraged).quantity_e8 == e8(-6)
    assert run.cash[2] == Decimal("0.19")
    assert run.cash[FIRST + 1] == 0


def test_a_vault_does_not_pay_beyond_bankruptcy() -> None:
    run = Run(with_fund(0, vault()), [LONG, (-12, 100, 300)], {0: 100, 10: 89})

    assert run.of(TrancheTakenOver) == []
    assert run.the(PositionDeleveraged).quantity_e8 == e8(-10)


def falling(step: Decimal, row: Raw) -> Run:
    """Return a crash to which no book answers in time, and in which only *row* can help."""
    raw = with_fund(
        0,
        row,
        markets__ETH=LATE,
        venue__waterfall={"deleveraging": "none", "surplus_to": "trader"},
    )
    price, prices = Decimal(100), {}
    for second in range(55):
        prices[second] = price
        price *= 1 - step
    return Run(raw, [(10, 100, 40 + 15 * number) for number in range(12)], prices)


def test_a_gap_smaller_than_the_buffer_leaves_no_bad_debt_if_the_vault_has_capital() -> None:
    # The certificate: an account that is not due at a mark has 1 % of it left, so that at the next
    # mark, less than 1 % lower, it is still solvent; and the vault can pay for all positions.
    certain = falling(Decimal("0.009"), vault(purse_usd=12_000, resale_delay="1h"))

    assert certain.of(TrancheTakenOver)
    assert certain.of(BadDebtRecorded) == certain.of(FundDrawn) == []
    # Without either condition it does not hold.
    for step, purse_usd in (("0.04", 12_000), ("0.009", 1_000)):
        row = vault(purse_usd=purse_usd, resale_delay="1h")
        assert falling(Decimal(step), row).of(BadDebtRecorded)


# Who is deleveraged -------------------------------------------------------------------------------

CALM, EAGER, RICH, TENSE = (-6, 100, 300), (-6, 95, 20), (-6, 130, 40), (-6, 91, 12)
"""
Shorts of 6, at 90: profit, equity and notional / equity of each, then rank by three rules.

CALM: 60, 360, 1.5: 60/300, 60/600 and 100/90 times that are 0.3, 0.15, 1.67.
EAGER: 30, 50, 10.8: 30/20, 30/570 and 95/90 times that are 16.2, 0.568, 11.4.
RICH: 240, 280, 1.93: 240/40, 240/780 and 130/90 times that are 11.6, 0.593, 2.79.
TENSE: 6, 18, 30: 6/12, 6/546 and 91/90 times that are 15, 0.330, 30.3.
"""


def deleveraged(**waterfall: Any) -> list[tuple[int, Decimal]]:
    """Return who is closed against a long of 10, bankrupt at 90, as (place, units)."""
    raw = with_fund(0, venue__waterfall=waterfall)
    run = Run(raw, [LONG, CALM, EAGER, RICH, TENSE], {0: 91, 10: 89})
    assert run.units[FIRST] == 0
    return [
        (event.counterparty_id - FIRST, Decimal(-event.quantity_e8).scaleb(-8))
        for event in run.of(PositionDeleveraged)
    ]


@pytest.mark.parametrize(
    ("rule", "parts"),
    [
        ("ranked", [(2, 6), (4, 4)]),
        ("bitmex", [(3, 6), (2, 4)]),
        ("hyperliquid", [(4, 6), (2, 4)]),
        ("pro_rata", [(number, Decimal("2.5")) for number in (1, 2, 3, 4)]),
    ],
)
def test_every_rule_has_its_own_queue(rule: str, parts: list[tuple[int, Decimal]]) -> None:
    assert deleveraged(deleveraging=rule) == parts


def test_by_risk_nobody_gives_more_than_it_has() -> None:
    # By leverage, 1.5, 10.8, 1.93 and 30 of 44.2, the last would give 6.8: it gives 6. Of the other
    # 4 the first gives 1.5 / 14.228571.
    parts = dict(deleveraged(deleveraging="risk_weighted"))

    assert parts[4] == 6
    assert [round(parts[place], 4) for place in (1, 2, 3)] == [
        Decimal("0.4217"),
        Decimal("3.0361"),
        Decimal("0.5422"),
    ]
    assert sum(parts.values()) == 10


def test_a_cap_spreads_what_is_deleveraged_over_more_accounts() -> None:
    half = deleveraged(deleveraging="ranked", deleveraging_cap=Decimal("0.5"))

    assert half == [(2, 3), (4, 3), (3, 3), (1, 1)]


# What a larger fund does --------------------------------------------------------------------------


def squeezed(fund_usd: int, seed: int = 1) -> tuple[int, int, int]:
    """
    Return when a squeeze first deleverages, how much in all, in 1e-6 USD, and its highest price.

    Under a limit per slice that is small beside it a fund is read only as "can pay this draw": two
    runs go alike until the smaller one cannot.
    """
    limit = limits(max_draw_usd=200)
    entries = events_of(squeeze(venue__fund__initial_usd=fund_usd, seed=seed, mitigations=[limit]))
    found = [e for e in entries if isinstance(e.event, PositionDeleveraged)]
    peak = max(e.event.highest_market_e8 for e in entries if isinstance(e.event, MarketExtremes))
    return found[0].sim_time_us, sum(abs(e.event.cost_uusd) for e in found), peak


def test_a_larger_fund_puts_the_first_deleveraging_off_but_not_the_sum_of_all() -> None:
    firsts, totals, _ = zip(*(squeezed(fund) for fund in (0, 25, 100, 200, 600)), strict=True)

    assert list(firsts) == sorted(firsts)
    assert firsts[0] < firsts[-1]
    # What the fund pays for at first drives the price on, and more is deleveraged later.
    assert totals[0] < totals[1] < totals[2] > totals[4]


def test_a_larger_fund_brings_no_first_deleveraging_forward() -> None:
    put_off = 0
    for seed in range(2, 12):
        firsts = [squeezed(fund, seed)[0] for fund in (0, 100, 400, 1_000)]

        assert firsts == sorted(firsts), seed
        put_off += firsts[0] < firsts[-1]

    assert put_off >= 6


def test_a_larger_fund_can_drive_the_price_further() -> None:
    # In a squeeze the way down is up. The fund lets orders go on to worse prices than without it,
    # where others would have been deleveraged: mostly it ends lower, here it ends higher.
    peaks = [squeezed(fund, seed=12)[2] for fund in (200, 400, 1_000)]

    assert peaks[0] > peaks[1] < peaks[2]
    assert peaks[2] > peaks[0]


# Nothing ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", [squeeze, keeper_race, shared_losses])
def test_without_money_stakers_and_vaults_leave_no_trace(base: Any) -> None:
    inert = [staking(1, x=0, y=0), vault(purse_usd=0)]

    assert events_of(base(mitigations=inert)) == events_of(base())


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [staking(1, ann=1)],
            r"mitigations.0.stakers.0.name = \"ann\" must not be the name of a keep",
        ),
        (
            [staking(1, x=1), vault(name="X")],
            r"mitigations.1.name = \"X\" must not be the name of a",
        ),
        (
            [{"kind": "pool", "deposits": []}],
            r"mitigations.0.deposits = \[\] must have at least one",
        ),
        ([{"kind": "staking", "stakers": []}], r"mitigations.0.stakers = \[\] must have at least"),
        ([vault(name="treasury")], r"mitigations.0.name = \"treasury\" must not be one of outside"),
    ],
)
def test_what_owners_that_mitigations_bring_in_cannot_be(rows: list[Raw], message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        load(keeper_race(mitigations=rows))
