"""What liquidated accounts would have been worth at the end, by hand."""

from collections import Counter
from decimal import Decimal

from support.scenarios import engine_cascade

from liqsim.api import run_to_log, scenario_from_toml
from liqsim.events import FundsDeposited, LiquidationTriggered, MarketExtremes, PositionOpened
from liqsim.scenario.toml import dump
from replay.log import Log

D = Decimal


def test_positions_of_the_trigger_are_valued_at_the_end(engine):
    # ETH ends at a reference of 89: ana's 10 are worth 890 then, and she had paid 900 for them.
    (ana,) = engine.sql(
        "select h.cash_usd, h.end_value_usd, h.end_equity_usd, h.is_solvent_at_end "
        "from hindsight as h join owners as o on o.owner_id = h.bucket_id where o.name = 'ana'"
    ).fetchall()
    assert ana == (D(-900), D(890), D(-10), False)


def test_regret_is_what_was_liquidated_of_accounts_that_recover(tmp_path):
    path = tmp_path / "log.duckdb"
    run_to_log(scenario_from_toml(dump(engine_cascade()), source="test"), path)
    with Log(path) as log:
        found = Decimal(log.outcome()["regret_usd"])
        entries = list(log.entries())
    cash, units, opened, regret = Counter(), Counter(), {}, Decimal(0)
    (end,) = (e.event.end_reference_e8 for e in entries if isinstance(e.event, MarketExtremes))
    for entry in entries:
        match entry.event:
            case FundsDeposited(owner_id=owner, amount_uusd=amount):
                cash[owner] += amount
            case PositionOpened(bucket_id=owner, quantity_e8=quantity, cost_uusd=cost):
                units[owner], cash[owner] = quantity, cash[owner] - cost
            case LiquidationTriggered(bucket_id=owner):
                # The first liquidation of each: nothing has moved before it.
                is_solvent = cash[owner] * 10**10 + units[owner] * end >= 0
                opened.setdefault(owner, (entry.seq, is_solvent))
    firsts = {seq for seq, is_solvent in opened.values() if is_solvent}
    with Log(path) as log:
        for seq, value, is_solvent in log.sql(
            "select liquidation_seq, liquidated_usd, is_solvent_at_end from hindsight"
        ).fetchall():
            regret += value if is_solvent else 0
            if seq in {first for first, _ in opened.values()}:
                assert is_solvent == (seq in firsts)

    assert firsts
    assert len(firsts) < len(opened)
    assert found == round(regret, 6)
