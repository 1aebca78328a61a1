"""By what runs of one scenario are compared, computed from their logs alone."""

import hashlib
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import attrs

from liqsim.eventlog.reader import LogReader
from liqsim.events import EVENT_CLASSES, DecisionRecorded, FundsDeposited
from liqsim.events.schema import columns_of
from replay.outcome import outcome
from replay.views import tables_of


@attrs.frozen
class Measure:
    """
    A figure of a run.

    Attributes:
        kind: `count`, `us` (microseconds), `usd` or `ratio`.
        label: What a table calls it.
        doc: What it is.
        is_worse_high: Whether the bad tail is the upper one.
    """

    kind: str
    label: str
    doc: str
    is_worse_high: bool = True


_PAYERS: Final[Mapping[str, str]] = {
    "collateral": "collateral",
    "fund": "the fund",
    "slashed": "slashed stakes",
    "haircut": "cut profits",
    "socialised": "solvent accounts",
    "nobody": "nobody",
}

MEASURES: Final[Mapping[str, Measure]] = {
    "amplification": Measure(
        "ratio",
        "amplification",
        "Largest over the markets of (start - lowest market) / (start - lowest reference).",
    ),
    "largest_displacement": Measure(
        "ratio", "largest displacement", "Largest |ln(market / reference)| over the markets."
    ),
    "liquidated_accounts": Measure(
        "count", "accounts liquidated", "Accounts triggered at least once."
    ),
    "liquidated_usd": Measure("usd", "liquidated, USD", "As in the outcome."),
    "induced_share": Measure(
        "ratio", "induced share", "Of liquidated_usd, that of induced ones; 0 without any."
    ),
    "accelerated_share": Measure(
        "ratio", "accelerated share", "Of liquidated_usd, that of accelerated ones; 0 without any."
    ),
    "rule_induced_share": Measure(
        "ratio",
        "rule-induced share",
        "Of liquidated_usd, that of rule-induced ones; 0 without any.",
    ),
    "largest_r": Measure("ratio", "largest R", "As in the outcome."),
    "bad_debt_usd": Measure("usd", "bad debt, USD", "As in the outcome."),
    "unresolved_shortfall_usd": Measure("usd", "shortfall still open, USD", "As in the outcome."),
    "unpaid_usd": Measure(
        "usd",
        "bad debt and open shortfall, USD",
        "bad_debt_usd + unresolved_shortfall_usd: what is, or at the end would be, nobody's.",
    ),
    "fund_used_usd": Measure("usd", "fund used, USD", "Sum of what the insurance fund paid."),
    "fund_drawdown_usd": Measure("usd", "fund's largest fall, USD", "As in the outcome."),
    "deleveraged_usd": Measure("usd", "deleveraged, USD", "As in the outcome."),
    "shared_losses_usd": Measure(
        "usd", "profits cut and losses shared, USD", "haircut_usd + socialised_usd."
    ),
    **{
        f"paid_by_{payer}_usd": Measure(
            "usd",
            f"losses paid by {who}, USD",
            f"Of what liquidations lost against bankruptcy, what {who} paid: loss_payers.",
        )
        for payer, who in _PAYERS.items()
    },
    "slippage_usd": Measure(
        "usd",
        "slippage paid, USD",
        "Landing price to average fill, over what was executed in a book.",
    ),
    "takeover_discount_usd": Measure(
        "usd",
        "discount of takeovers, USD",
        "Mark price to price over what keepers, desk, vaults, pools and bidders took over; below "
        "zero they paid more than the mark.",
    ),
    "deleveraging_spared_usd": Measure(
        "usd",
        "spared by deleveraging, USD",
        "Price less mark price over what was deleveraged: what liquidated accounts got at the "
        "deleveraging price above the mark, from the deleveraged, who closed at that price.",
        is_worse_high=False,
    ),
    "fees_usd": Measure("usd", "fees paid, USD", "As in the outcome."),
    "solvent_accounts_closed": Measure(
        "count",
        "solvent accounts closed",
        "Liquidated accounts that, left untouched, would have been solvent at the end.",
    ),
    "regret_usd": Measure("usd", "of liquidated in regret, USD", "As in the outcome."),
    "liquidated_accounts_loss_usd": Measure(
        "usd",
        "loss of liquidated accounts, USD",
        "What they were given less what they are worth at the end, in owner_profits.",
    ),
    "margin_asked_usd": Measure(
        "usd",
        "margin asked on top, USD",
        "Largest sum of more_usd over the markets at one change of rates, in margins_asked; "
        "at least 0: what accounts had to have more than under the rules of the start.",
    ),
    "hedges_broken_usd": Measure(
        "usd",
        "hedges broken, USD",
        "Deleveraged from accounts that began with positions on both sides.",
    ),
    "halted_us": Measure("us", "time halted", "As in the outcome."),
    "reduced_usd": Measure("usd", "reduced ahead, USD", "As in the outcome."),
    "reduction_slippage_usd": Measure(
        "usd",
        "slippage of what was reduced, USD",
        "Market price right before each step to its price, in reductions; not in slippage_usd.",
    ),
    "mitigation_acts": Measure(
        "count",
        "acts of mitigations",
        "Decisions of mitigations that made a difference, shares of penalties paid on, rewards of "
        "keepers, slices met with each other, and what else the owners that mitigations bring in "
        "(vaults, pools, bidders, stakers, burn) took part in: 0 if no rule ever bound.",
    ),
    "makers_profit_usd": Measure(
        "usd", "makers' profit, USD", "As in the outcome.", is_worse_high=False
    ),
    "keeper_profit_usd": Measure(
        "usd", "keepers' profit, USD", "As in the outcome.", is_worse_high=False
    ),
}
"""Every measure, by name; null where the outcome has null."""

_ALWAYS: Final = (
    "('outside', 'makers', 'fund', 'treasury', 'network', 'keeper', 'bucket', 'backer', 'desk')"
)
"""Kinds of owners that no mitigation brings in."""
_GIVEN: Final = _ALWAYS.replace("'treasury', ", "")
"""Of these, those given nothing for a mitigation: the treasury is given the budgets of rewards."""
_NO_OWNERS: Final = ("market_id", "seen_market_id", "mitigation_id")
"""Columns of events that end in _id and name no owner."""

_SHARES: Final = ("induced", "accelerated", "rule_induced")


@attrs.frozen
class Profit:
    """
    What an owner has made of a run.

    Attributes:
        kind: The owner's kind.
        name: Its name.
        has_arrived: Whether it is an account that opened during the run.
        is_liquidated: Whether it was triggered at least once.
        usd: Its profit, exact.
        cohort: Cohort of an account; None for others and for accounts of a file.
        owes_usd: What it has less than nothing at the end.
        covered_usd: What others paid because its liquidations lost more than it had: the fund,
            stakes, cut profits, solvent accounts.
        paid_usd: What it paid for others in that way.
        opened_usd: Notional of what it opened at the start, or when it arrived.
    """

    kind: str
    name: str
    has_arrived: bool
    is_liquidated: bool
    usd: Decimal
    cohort: str | None = None
    owes_usd: Decimal = Decimal(0)
    covered_usd: Decimal = Decimal(0)
    paid_usd: Decimal = Decimal(0)
    opened_usd: Decimal = Decimal(0)


def measures(log: LogReader, found: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """
    Return every measure of an open log; *found* is its outcome, if that is known already.

    USD are exact decimal strings.
    """
    found = outcome(log) if found is None else found
    log = tables_of(log)
    markets = [name.lower() for name in log.markets.values()]
    more = _more(log)
    values: dict[str, Any] = {name: found.get(name) for name in MEASURES} | more
    values["amplification"] = _largest(found[f"amplification_{market}"] for market in markets)
    values["largest_displacement"] = _largest(
        None if (moved := found[f"largest_displacement_{market}"]) is None else abs(moved)
        for market in markets
    )
    whole = Decimal(found["liquidated_usd"])
    for name in _SHARES:
        values[f"{name}_share"] = float(Decimal(found[f"{name}_usd"]) / whole) if whole else 0.0
    if found["unresolved_shortfall_usd"] is not None:
        unpaid = Decimal(found["bad_debt_usd"]) + Decimal(found["unresolved_shortfall_usd"])
        values["unpaid_usd"] = f"{unpaid:.6f}"
    shared = Decimal(found["haircut_usd"]) + Decimal(found["socialised_usd"])
    values["shared_losses_usd"] = f"{shared:.6f}"
    paid = dict(log.rows("select payer, sum(amount_usd) from loss_payers group by payer"))
    values |= {f"paid_by_{payer}_usd": f"{paid.get(payer, 0):.6f}" for payer in _PAYERS}
    return {name: values[name] for name in MEASURES}


def profits(log: LogReader) -> list[Profit]:
    """Return what every owner but `outside` has made; together nothing."""
    log = tables_of(log)
    rows = log.rows(
        """
        with covered as (
            select t.bucket_id, sum(p.amount_usd) as amount_usd
            from loss_payers as p
            join liquidation_triggered as t on t.seq = p.liquidation_seq
            where p.payer in ('fund', 'slashed', 'haircut', 'socialised')
            group by t.bucket_id
        ),
        paid as (
            select owner_id, sum(amount_usd) as amount_usd
            from loss_payers
            where payer in ('haircut', 'socialised')
            group by owner_id
        ),
        opened as (
            select bucket_id, sum(value_usd) as amount_usd
            from (
                select bucket_id, value_usd from openings
                union all
                select bucket_id, value_usd from trades where reason = 'arrived'
            )
            group by bucket_id
        )
        select o.kind, o.owner, coalesce(o.has_arrived, false), o.is_liquidated, o.profit_usd,
            o.cohort, case when o.kind = 'bucket' then greatest(-o.equity_usd, 0) else 0 end,
            coalesce(c.amount_usd, 0), coalesce(p.amount_usd, 0), coalesce(n.amount_usd, 0)
        from owner_profits as o
        left join covered as c on c.bucket_id = o.owner_id
        left join paid as p on p.owner_id = o.owner_id
        left join opened as n on n.bucket_id = o.owner_id
        order by o.owner_id
        """
    )
    return [Profit(*row) for row in rows]


def story(log: LogReader) -> str:
    """
    Return a digest of what happened, the same for logs with the same events.

    Numbers of events and of owners do not count: a vault that never acts moves both. Nor do the
    decisions of mitigations, and what they have owners given at the start: those that they bring
    in, and the treasury for rewards.
    """
    parts = []
    for cls in EVENT_CLASSES:
        if cls is DecisionRecorded:
            continue
        cells = ["sim_time"]
        for column in columns_of(cls):
            if column.name.endswith("_id") and column.name not in _NO_OWNERS:
                cells.append(f"names[{column.name} + 1]")
            elif not column.name.endswith("_seq"):
                cells.append(column.name)
        kinds = f"where kinds[owner_id + 1] in {_GIVEN}" if cls is FundsDeposited else ""
        parts += log.rows(
            f"select count(*), sum(hash({', '.join(cells)}))::varchar from {cls.TAG}, "
            "(select list(name order by owner_id) as names, list(kind order by owner_id) as kinds "
            f"from owners) {kinds}"
        )
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _more(log: LogReader) -> dict[str, Any]:
    relation = log.relation(
        f"""
        select
            (select sum(amount_usd) from fund_drawn) as fund_used_usd,
            (
                select sum(slippage_usd) from execution_losses
                where route not in ('taken_over', 'deleveraged')
            ) as slippage_usd,
            (select sum(slippage_usd) from execution_losses where route = 'taken_over')
                as takeover_discount_usd,
            (select -sum(slippage_usd) from execution_losses where route = 'deleveraged')
                as deleveraging_spared_usd,
            (select sum(slippage_usd) from reductions) as reduction_slippage_usd,
            (select count(distinct bucket_id) from hindsight where is_solvent_at_end)
                as solvent_accounts_closed,
            (select -sum(profit_usd) from owner_profits where is_liquidated)
                as liquidated_accounts_loss_usd,
            (
                select greatest(max(more_usd), 0)
                from (select sum(more_usd) as more_usd from margins_asked group by seq)
            ) as margin_asked_usd,
            (
                select sum(abs(quantity)::decimal(38, 8) * price)
                from position_deleveraged
                where counterparty_id in (
                    select bucket_id from position_opened group by bucket_id
                    having min(quantity) < 0 and max(quantity) > 0
                )
            ) as hedges_broken_usd,
            (select count(*) from decision_recorded) + (
                select count(distinct seq)
                from (
                    select seq from postings
                    where owner_id in (select owner_id from owners where kind not in {_ALWAYS})
                    and seq not in (select seq from funds_deposited)
                    union all
                    select seq from keeper_rewarded
                    union all
                    select seq from penalty_routed
                    union all
                    select seq from tranches_crossed
                )
            ) as mitigation_acts
        """
    )
    row = dict(zip(relation.columns, relation.fetchall()[0], strict=True))
    return {
        name: f"{Decimal(0) if value is None else value:.6f}" if name.endswith("_usd") else value
        for name, value in row.items()
    }


def _largest(values: Any) -> float | None:
    known = [value for value in values if value is not None]
    return max(known) if known else None
