"""The audit of the last layers and of payments into the fund: real runs, then forged ones."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from support.scenarios import changed, knots, market, prepared_by_hand, small_scenario
from support.sinks import ListSink
from unit.handmade_log import NONE, START, Story, e8, usd, write

from liqsim.events import BadDebtRecorded, ContributionPaid, LossSocialised, ProfitCut
from liqsim.runner import Simulation
from replay.log import Log

PARENT, FIRST = 5, 6
ACCOUNTS: list[tuple[Any, Any, Any]] = [
    (10, 100, 100),
    (-2, "96.5", 4),
    (-1, "96.5", 20),
    (1, 99, 20),
    (2, 95, 16),
]


def story(**overrides: Any) -> Story:
    """Return a run of twenty seconds in which others pay for a hole, to be forged."""
    later = [START.replace(second=second) for second in (0, 15, 20)]
    flat = knots((0, 96), (60, 96))
    flat["knots"] = [[later[0], 96], [later[2], 96]]
    raw = small_scenario(
        name="by_hand_losses",
        start=START,
        end=later[2],
        seed=7,
        markets={"ETH": market(path=flat), "BTC": market(path=flat)},
        venue__fund={
            "initial_usd": 6,
            "backers": {"parent": {"purse_usd": 20}},
            "contributions": [{"from": "parent", "amount_usd": 3, "at": later[1]}],
            "top_ups": [
                {
                    "from": "parent",
                    "amount_usd": 2,
                    "when_below_usd": 5,
                    "times": 3,
                    "min_interval": "2s",
                }
            ],
        },
        venue__waterfall={
            "deleveraging": "none",
            "profit_haircut": "pro_rata",
            "haircut_severity": Decimal("0.5"),
            "socialise": "notional",
        },
    )
    prepared = prepared_by_hand(changed(raw, overrides), ACCOUNTS, {0: 96, 10: 88})
    sink = ListSink()
    Simulation(prepared, sink).run()
    made = Story(
        prepared.scenario.resolved_toml,
        [(o.name, o.kind, o.cohort, o.market_id) for o in prepared.owners()],
        [(e.sim_time_us, e.cause_seq, e.event) for e in sink.entries],
        references={
            number: [Decimal(price).scaleb(-8) for price in path.prices_e8.tolist()]
            for number, path in enumerate(prepared.paths)
        },
    )
    counts: dict[str, int] = {}
    for seq, (_, _, event) in enumerate(made.rows):
        tag = type(event).TAG
        made.names[f"{tag}_{counts.setdefault(tag, 0)}"] = seq
        counts[tag] += 1
    return made


def found(made: Story, path: Path) -> list[str]:
    with Log(write(path / "log.duckdb", made)) as log:
        return [finding.code for finding in log.verify()]


def test_a_run_in_which_others_pay_is_clean(tmp_path: Path) -> None:
    made = story()

    kinds = [type(event) for _, _, event in made.rows]
    # Sold at 88, 20 below its debt, of which the fund has 6: half of 14 by profits, half by all,
    # but the last of them cannot pay its share.
    assert kinds.count(ProfitCut) == 2
    assert kinds.count(LossSocialised) == 4
    assert kinds.count(BadDebtRecorded) == 1
    assert kinds.count(ContributionPaid) == 4
    assert found(made, tmp_path) == []


@pytest.mark.parametrize("key", ["none", "equity", "funding_index"])
@pytest.mark.parametrize("order", ["none", "queue"])
def test_other_orders_and_keys_are_clean(order: str, key: str, tmp_path: Path) -> None:
    made = story(venue__waterfall__profit_haircut=order, venue__waterfall__socialise=key)

    assert found(made, tmp_path) == []


def shift(made: Story, tag: str, field: str, by: int = 1) -> None:
    """Move a field of the first event of a kind up, and that of the second down."""
    first, second = f"{tag}_0", f"{tag}_1"
    made.change(first, **{field: getattr(made[first], field) + by})
    made.change(second, **{field: getattr(made[second], field) - by})


def swap(made: Story, tag: str) -> None:
    """Record the first two events of a kind in the other order."""
    first, second = made.names[f"{tag}_0"], made.names[f"{tag}_1"]
    made.rows[first], made.rows[second] = made.rows[second], made.rows[first]


def drop(made: Story, name: str) -> None:
    """Remove an event that nothing names, and renumber what points behind it."""
    place = made.names[name]
    made.remove(name, name)
    for seq, (at_us, cause, event) in enumerate(made.rows):
        moved = {
            field: getattr(event, field) - (getattr(event, field) > place)
            for field in ("tranche_seq", "liquidation_seq")
            if hasattr(event, field)
        }
        made.rows[seq] = at_us, cause - (cause > place), attrs.evolve(event, **moved)


def pay_more(made: Story) -> None:
    """Have an account pay of its own what is recorded as bad debt."""
    debt = made["bad_debt_recorded_0"].amount_uusd
    made.change("loss_socialised_0", amount_uusd=made["loss_socialised_0"].amount_uusd + debt)


FORGERIES: dict[str, tuple[Callable[[Story], None], str]] = {
    "cuts a unit apart": (lambda s: shift(s, "profit_cut", "amount_uusd"), "haircut"),
    "another profit": (lambda s: s.change("profit_cut_0", basis_uusd=1), "haircut"),
    "another entry price": (lambda s: s.change("profit_cut_1", entry_price_e8=e8(95)), "haircut"),
    "a loser's profit": (lambda s: s.change("profit_cut_1", payer_id=FIRST + 3), "haircut"),
    "cuts out of order": (lambda s: swap(s, "profit_cut"), "haircut"),
    "a cut missing": (lambda s: drop(s, "profit_cut_1"), "haircut"),
    "shares a unit apart": (lambda s: shift(s, "loss_socialised", "amount_uusd"), "socialised"),
    "another mark": (lambda s: s.change("loss_socialised_2", mark_price_e8=e8(89)), "socialised"),
    "shares out of order": (lambda s: swap(s, "loss_socialised"), "socialised"),
    "a share missing": (lambda s: drop(s, "loss_socialised_3"), "socialised"),
    "more than a share": (pay_more, "socialised"),
    "no bad debt": (lambda s: drop(s, "bad_debt_recorded_0"), "bad_debt"),
    "less than the rule says": (
        lambda s: s.change("contribution_paid_3", amount_uusd=usd(1), balance_uusd=usd(7)),
        "contribution",
    ),
    "another balance": (
        lambda s: s.change("contribution_paid_0", balance_uusd=usd(1)),
        "contribution",
    ),
    "another rule": (lambda s: s.change("contribution_paid_0", rule_number=1), "contribution"),
    "no rule": (lambda s: s.change("contribution_paid_0", rule_number=9), "contribution"),
    "too late": (lambda s: s.move("contribution_paid_1", seconds=13), "contribution"),
    "no cause": (lambda s: s.move("contribution_paid_1", cause=NONE), "contribution"),
    "a payment missing": (lambda s: drop(s, "contribution_paid_3"), "contribution"),
    "no backer": (lambda s: s.change("contribution_paid_3", backer_id=FIRST), "owner_unknown"),
}


@pytest.mark.parametrize(("forge", "code"), FORGERIES.values(), ids=FORGERIES)
def test_a_forgery_is_named(forge: Callable[[Story], None], code: str, tmp_path: Path) -> None:
    made = story()

    forge(made)

    assert code in found(made, tmp_path)


def test_paying_while_the_fund_has_money_is_named(tmp_path: Path) -> None:
    made = story()
    draw = made["fund_drawn_0"]
    made.change("fund_drawn_0", amount_uusd=draw.amount_uusd - 1, balance_uusd=1)

    assert "draw" in found(made, tmp_path)


def test_a_layer_that_the_venue_does_not_have_is_named(tmp_path: Path) -> None:
    made = story()
    made.toml = made.toml.replace('profit_haircut = "pro_rata"', 'profit_haircut = "none"')

    assert "haircut" in found(made, tmp_path)


INDEXED = {"venue__waterfall__socialise": "funding_index"}
INDEX_FORGERIES: dict[str, Callable[[Story], None]] = {
    "a charge a unit apart": lambda s: shift(s, "loss_socialised", "amount_uusd"),
    "another charge": lambda s: s.change("loss_socialised_0", basis_uusd=1),
    "over other units": lambda s: s.change("funding_index_moved_0", units_e8=e8(-1)),
    "another loss": lambda s: s.change("funding_index_moved_0", loss_uusd=usd(8)),
    "another residue": lambda s: s.change("funding_index_moved_0", residue_uusd=7),
    "no move of the index": lambda s: drop(s, "funding_index_moved_0"),
    "a payer of the other side": lambda s: s.change("loss_socialised_0", payer_id=FIRST + 3),
}


@pytest.mark.parametrize("forge", INDEX_FORGERIES.values(), ids=INDEX_FORGERIES)
def test_a_forged_index_is_named(forge: Callable[[Story], None], tmp_path: Path) -> None:
    made = story(**INDEXED)

    forge(made)

    assert "socialised" in found(made, tmp_path)


def test_views_tell_what_a_unit_was_charged(tmp_path: Path) -> None:
    with Log(write(tmp_path / "log.duckdb", story(**INDEXED))) as log:
        moves = log.sql(
            "select side, units, loss_usd, charge_usd, index_usd, paid_usd, residue_usd "
            "from funding_index"
        ).fetchall()
        payers = log.sql(
            "select payer, sum(amount_usd) from loss_payers group by payer order by payer"
        ).fetchall()
        (losses,) = log.sql("select sum(loss_usd) from execution_losses").fetchall()
        residues = log.sql("select amount_usd from fund where movement = 'index residue'")
        assert residues.fetchall() == [(Decimal("0.000001"),)]

    # Half of 14 is left, over 3 units of shorts.
    (move,) = moves
    assert move[:3] == ("short", 3, 7)
    assert move[3] == move[4] == pytest.approx(7 / 3)
    assert move[5:] == (Decimal("7.000001"), Decimal("0.000001"))
    assert dict(payers)["socialised"] == Decimal("7.000001")
    assert dict(payers)["surplus_to_fund"] == Decimal("-0.000001")
    assert sum(dict(payers).values()) == losses[0]


def test_views_and_outcome_tell_who_paid(tmp_path: Path) -> None:
    with Log(write(tmp_path / "log.duckdb", story())) as log:
        outcome = log.outcome()
        shares = log.sql("select layer, payer_id, amount_usd from loss_shares order by seq")
        layers = shares.fetchall()
        of_tranches = log.sql("select haircut_usd, socialised_usd, bad_debt_usd from tranches")
        parts = of_tranches.fetchall()
        of_liquidations = log.sql("select haircut_usd, socialised_usd from liquidations")
        liquidations = of_liquidations.fetchall()
        movements = log.sql("select movement, amount_usd, backer, cause from fund order by seq")
        fund = movements.fetchall()

    # Profits of 17 and 8.5: two thirds of 7 and one. Notionals of 176, 88, 88 and 176: the
    # largest remainders are those of 88. The last has 16 - 14 = 2 over a maintenance of 1.76.
    assert layers == [
        ("haircut", FIRST + 1, Decimal("4.666667")),
        ("haircut", FIRST + 2, Decimal("2.333333")),
        ("socialised", FIRST + 1, Decimal("2.333333")),
        ("socialised", FIRST + 2, Decimal("1.166667")),
        ("socialised", FIRST + 3, Decimal("1.166667")),
        ("socialised", FIRST + 4, Decimal("0.24")),
    ]
    cut, socialised, debt = Decimal(7), Decimal("4.906667"), Decimal("2.093333")
    assert parts == [(cut, socialised, debt)]
    assert liquidations == [(cut, socialised)]
    assert fund[1:] == [
        ("draw", -6, None, "order_filled"),
        ("contribution", 2, "parent", "fund_drawn"),
        ("contribution", 2, "parent", "fund_drawn"),
        ("contribution", 2, "parent", "fund_drawn"),
        ("contribution", 3, "parent", None),
    ]
    assert outcome["haircut_usd"] == f"{cut:.6f}"
    assert outcome["socialised_usd"] == f"{socialised:.6f}"
    assert outcome["contributed_usd"] == "9.000000"
    assert outcome["bad_debt_usd"] == f"{debt:.6f}"
