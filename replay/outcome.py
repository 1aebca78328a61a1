"""
What a run came to, computed from its log alone.

One flat dictionary with stable keys: USD and prices as exact decimal strings, counts and
durations as integers, times as ISO 8601 in UTC, null where a figure is not defined.
"""

import math
from decimal import Decimal
from typing import Any, Final

import numpy as np

from liqsim.eventlog.reader import LogReader
from liqsim.events import UnresolvedReason
from replay.state import iso_utc
from replay.terms import count_basis, parse_toml, read_terms
from replay.views import tables_of

_NEAR_ZERO: Final = 1e-6
"""An amplification is not defined where the reference fell by less than this part of its start."""

KEYS: Final[dict[str, tuple[str, str]]] = {
    "scenario": ("text", "Name of the scenario."),
    "run_id": ("text", "Identity of the run, from resolved scenario and seed."),
    "seed": ("count", "Seed of every draw."),
    "log": ("text", "Where the log is."),
    "status": ("text", "running, sealed or failed."),
    "schema_version": ("count", "Version of the log's tables."),
    "path_mode": ("text", "How our flow and the reference price go together."),
    "baseline": (
        "text",
        "Digest of the reference prices of the baseline that the run faces; null if it faces none.",
    ),
    "start_at": ("time", "Start of the run."),
    "end_at": ("time", "End of the run, exclusive."),
    "digest": ("text", "Digest of the log up to its end; null while it is running."),
    "event_count": ("count", "Events in the log."),
    "wall_seconds": ("seconds", "How long the run took; null until it is over."),
    "events_per_second": ("rate", "event_count / wall_seconds."),
    "basis_fact": ("count", "Parameters that rest on a fact with a source."),
    "basis_assumed": ("count", "Parameters that are assumed, said so or not."),
    "basis_fitted": ("count", "Parameters that were fitted."),
    "overrides": (
        "keys",
        "Keys that `--set` set, but for name, description and seed; their values are in the log.",
    ),
    "accounts": (
        "count",
        "Accounts (buckets), but for those that may arrive and have not.",
    ),
    "liquidated_accounts": ("count", "Accounts triggered at least once."),
    "liquidations": ("count", "Triggers."),
    "first_order": ("count", "Of these, due at the shadow marks too, or before."),
    "accelerated": ("count", "Of these, due at the shadow marks later."),
    "induced": ("count", "Of these, never due at the shadow marks until the end."),
    "rule_induced": ("count", "Of these, not due under the maintenance of the start."),
    "averted": (
        "count",
        "Times that balances became due at the shadow marks and were not liquidated.",
    ),
    "tranches": ("count", "Tranches put up."),
    "liquidated_usd": ("usd", "Sum of |quantity| x price over all routes, deleveraged included."),
    "first_order_usd": ("usd", "Of this, in liquidations of first order."),
    "accelerated_usd": ("usd", "Of this, in accelerated ones."),
    "induced_usd": ("usd", "Of this, in induced ones."),
    "rule_induced_usd": ("usd", "Of this, in rule-induced ones."),
    "regret_usd": (
        "usd",
        (
            "Of liquidated_usd, that of accounts which, left untouched, would have been solvent at "
            "the reference prices of the end; null unless sealed."
        ),
    ),
    "lowest_market": ("price", "Lowest market price; one key per market."),
    "lowest_reference": ("price", "Lowest reference price; one key per market."),
    "amplification": (
        "ratio",
        (
            "(start - lowest market) / (start - lowest reference); null where the reference fell "
            "by less than 1e-6 of the start; one key per market."
        ),
    ),
    "largest_displacement": (
        "ratio",
        (
            "ln(market price / reference price) right after the fill that left it furthest from "
            "zero, keepers' sales included; null without fills; one key per market."
        ),
    ),
    "departure": (
        "ratio",
        (
            "Largest |ln(reference / history)|: how much of history is the run's own doing; null "
            "unless the run found its reference in a history; one key per market."
        ),
    ),
    "beyond_history": (
        "ratio",
        (
            "How far in ln(price) the reference leaves the range of history, 0 within it: far "
            "outside, no market can have had this history; null likewise; one key per market."
        ),
    ),
    "branching_start": (
        "ratio",
        (
            "Largest b, ex ante, within 30 % of the price at the start, on either side; null where "
            "the book can fill nothing; one key per market."
        ),
    ),
    "episodes": ("count", "Episodes: sets of liquidations joined through forced fills."),
    "generations": ("count", "Generations of the longest line of liquidations; 0 without one."),
    "largest_r": (
        "ratio",
        (
            "Largest R of a generation (USD of the next / its own) in the episode that sold most; "
            "null without one."
        ),
    ),
    "fees_usd": ("usd", "Fees that liquidated accounts paid."),
    "bad_debt_usd": ("usd", "Recorded bad debt."),
    "fund_start_usd": ("usd", "What the insurance fund was given."),
    "fund_lowest_usd": ("usd", "Its lowest balance from then on."),
    "fund_end_usd": ("usd", "Its balance after the last event."),
    "surplus_usd": ("usd", "Surplus routed to it."),
    "deleveraged_usd": ("usd", "Sum of |quantity| x price over deleveragings."),
    "adl_events": ("count", "Deleveragings."),
    "haircut_usd": ("usd", "Cuts of winners' profits that filled holes."),
    "socialised_usd": ("usd", "Shares of losses that solvent accounts paid."),
    "contributed_usd": ("usd", "What backers paid into the fund."),
    "fund_drawdown_usd": (
        "usd",
        "Largest fall of the fund from a height before, contributions apart.",
    ),
    "makers_profit_usd": (
        "usd",
        "What the makers made since the opening: cash, and inventory at the market's last price.",
    ),
    "keeper_attempts_won": (
        "count",
        "Keepers' calls that took a tranche over; null with an engine.",
    ),
    "keeper_attempts_lost": ("count", "Keepers' calls sent that failed; null with an engine."),
    "keeper_profit_usd": (
        "usd",
        (
            "Change of the keepers' cash, deposits apart, plus inventory at the market's last "
            "price; null with an engine."
        ),
    ),
    "keeper_purse_lowest_usd": (
        "usd",
        "Least that a keeper's purse held; null with an engine, or if no keeper had any.",
    ),
    "keepers_dry": (
        "count",
        (
            "Keepers whose purse held less than a tranche was worth at the mark when it was put "
            "up; null with an engine."
        ),
    ),
    "desk_profit_usd": (
        "usd",
        "Profit of the desk, its inventory at the market price of the end; null without a desk.",
    ),
    "desk_inventory_usd": (
        "usd",
        "What it still held then, long or short, at that price; null without a desk.",
    ),
    "oracle_lag_p50_us": ("us", "Median time from sample to landing; null without updates."),
    "oracle_lag_p99_us": ("us", "99th percentile of it (nearest rank)."),
    "due_wait_max_us": (
        "us",
        (
            "Longest time from a trigger to the first settlement that moved anything (or to the "
            "end of the liquidation or of the log); null without liquidations."
        ),
    ),
    "first_liquidation_at": ("time", "First trigger; null without one."),
    "last_liquidation_at": ("time", "Last trigger; null without one."),
    "unresolved_buckets": (
        "count",
        "Accounts still in liquidation at the end; null unless sealed.",
    ),
    "unresolved_usd": (
        "usd",
        "Sum of |quantity| x mark price over all their positions; null unless sealed.",
    ),
    "unresolved_shortfall_usd": (
        "usd",
        (
            "Sum of what their equity at the marks is below zero: a loss that no layer has taken "
            "yet and that bad_debt_usd lacks; null unless sealed."
        ),
    ),
    **{
        f"unresolved_{reason.name.lower()}": (
            "count",
            f"Of these, for the reason {reason.name.lower()}.",
        )
        for reason in UnresolvedReason
    },
    "topped_up_usd": ("usd", "What accounts added to their collateral near their liquidation."),
    "closed_by_will_usd": (
        "usd",
        "Sum of |quantity| x price over what accounts traded away near liquidation or at stops.",
    ),
    "reopened_usd": (
        "usd",
        "Sum of |quantity| x price over what accounts opened again after a liquidation.",
    ),
    "rebalanced_usd": ("usd", "Sum of |quantity| x price over what accounts rebalanced by a rule."),
    "relevered_usd": (
        "usd",
        "Sum of |quantity| x price over what accounts added to positions in profit.",
    ),
    "anticipated_usd": (
        "usd",
        "Sum of |quantity| x price over what accounts traded away ahead of a halt.",
    ),
    "funding_usd": (
        "usd",
        "What accounts paid to the makers as funding, less what they received.",
    ),
    "arrived_accounts": ("count", "Of accounts, those that arrived during the run."),
    "arrived_usd": (
        "usd",
        "Sum of |quantity| x price over the positions with which accounts arrived.",
    ),
    "arrived_liquidated": ("count", "Of arrived_accounts, those triggered at least once."),
    "arrivals_used_up": (
        "count",
        "Cohorts in which as many accounts have arrived as may: who came later was lost.",
    ),
    "halts": ("count", "Halts that breakers announced, of liquidations or of new risk."),
    "halted_us": ("us", "Microseconds in which liquidations were halted in some market."),
    "risk_halted_us": ("us", "Microseconds in which new risk was halted in some market."),
    "leverage_fees_usd": ("usd", "What accounts with high leverage paid into the fund as a fee."),
    "index_residue_usd": ("usd", "What the fund kept of losses charged per unit: the rounding."),
    "slashed_usd": ("usd", "Stakes that were slashed for holes."),
    "reductions": ("count", "Steps by which mitigations reduced positions before they were due."),
    "reduced_usd": ("usd", "Sum of |quantity| x price over these steps."),
    "decisions": ("count", "Decisions of mitigations that made a difference."),
    "taker_fees_usd": ("usd", "Of fees_usd, what any order pays: the rest is penalties."),
    "penalties_to_keepers_usd": ("usd", "Of penalties, what keepers received."),
    "penalties_to_fund_usd": ("usd", "Of penalties, what the insurance fund received."),
    "penalties_to_treasury_usd": ("usd", "Of penalties, what the treasury kept."),
    "burnt_usd": ("usd", "Of penalties, what was burnt: what the owner `burn` has."),
    "rewards": ("count", "Rewards that keepers were paid on top."),
    "rewards_usd": ("usd", "What they came to."),
    "rewards_left_usd": ("usd", "What their budgets have left."),
    "crossed_usd": (
        "usd",
        "Of liquidated_usd, due longs and shorts that were met with each other; both count.",
    ),
}
"""Every key, its type, its meaning; those of markets are followed by _ and the market's name."""

_PENALTY_SHARES: Final = ("penalties_to_keepers", "penalties_to_fund", "burnt")
_CLASSES: Final = ("first_order", "accelerated", "induced", "rule_induced")
_PER_MARKET: Final = (
    "lowest_market",
    "lowest_reference",
    "amplification",
    "largest_displacement",
    "departure",
    "beyond_history",
    "branching_start",
)
_OVERRIDE: Final = "set by an override"
"""Source that `--set` leaves in the basis."""


def keys_of(markets: list[str]) -> list[str]:
    """
    Return the keys of an outcome with *markets*, in order.

    >>> [key for key in keys_of(["ETH"]) if "eth" in key]
    ['lowest_market_eth', 'lowest_reference_eth', 'amplification_eth', 'largest_displacement_eth', \
'departure_eth', 'beyond_history_eth', 'branching_start_eth']
    """
    return [
        name
        for key in KEYS
        for name in (
            [f"{key}_{market.lower()}" for market in markets] if key in _PER_MARKET else [key]
        )
    ]


def outcome(log: LogReader) -> dict[str, Any]:
    """Return the outcome of an open log; its keys are `keys_of` its markets."""
    log = tables_of(log)
    values: dict[str, Any] = {
        **_identity(log),
        **_baseline(log),
        **_basis(log),
        **_liquidations(log),
        **_regret(log),
        **_classes(log),
        **_markets(log),
        **_departures(log),
        **_genealogy(log),
        **_fund(log),
        **_keepers(log),
        **_incentives(log),
        **_desk(log),
        **_times(log),
        **_unresolved(log),
        **_traders(log),
        **_arrivals(log),
        **_halts(log),
    }
    return {key: values[key] for key in keys_of(list(log.markets.values()))}


def _one(log: LogReader, sql: str) -> dict[str, Any]:
    relation = log.relation(sql)
    return dict(zip(relation.columns, relation.fetchall()[0], strict=True))


def _usd(value: Decimal | None) -> str:
    return f"{Decimal(0) if value is None else value:.6f}"


def _identity(log: LogReader) -> dict[str, Any]:
    manifest = log.manifest
    count = manifest.event_count
    if count is None:
        count = sum(span.count for span in log.spans.values())
    seconds = manifest.wall_seconds
    return {
        "scenario": manifest.scenario,
        "run_id": manifest.run_id,
        "seed": manifest.seed,
        "log": str(log.path),
        "status": manifest.status,
        "schema_version": manifest.schema_version,
        "path_mode": manifest.path_mode,
        "start_at": iso_utc(manifest.start_unix_us),
        "end_at": iso_utc(manifest.start_unix_us + manifest.end_us),
        "digest": manifest.digest,
        "event_count": count,
        "wall_seconds": seconds,
        "events_per_second": count / seconds if seconds else None,
    }


def _baseline(log: LogReader) -> dict[str, Any]:
    try:
        return {"baseline": parse_toml(log.manifest.scenario_toml).get("baseline") or None}
    except ValueError:
        return {"baseline": None}


def _departures(log: LogReader) -> dict[str, Any]:
    values: dict[str, Any] = {}
    references, histories = log.reference_prices(), log.historical_prices()
    for market_id, name in log.markets.items():
        departure = beyond = None
        if market_id in references and market_id in histories:
            reference, history = (
                np.log(prices[market_id][1]) for prices in (references, histories)
            )
            if len(reference) == len(history):
                departure = float(np.abs(reference - history).max())
                above, below = reference.max() - history.max(), history.min() - reference.min()
                beyond = max(float(above), float(below), 0.0)
        values |= {f"departure_{name.lower()}": departure, f"beyond_history_{name.lower()}": beyond}
    return values


def _basis(log: LogReader) -> dict[str, Any]:
    try:
        document = parse_toml(log.manifest.scenario_toml)
        counts = count_basis(document)
    except ValueError:
        return dict.fromkeys(("basis_fact", "basis_assumed", "basis_fitted", "overrides"))
    basis = document.get("basis", {})
    set_keys = sorted(
        key
        for key, entry in basis.items()
        if isinstance(entry, dict) and entry.get("source") == _OVERRIDE
    )
    return {f"basis_{kind}": count for kind, count in counts.items()} | {"overrides": set_keys}


def _liquidations(log: LogReader) -> dict[str, Any]:
    found = _one(
        log,
        """
        select
            (select count(distinct bucket_id) from liquidation_triggered) as liquidated_accounts,
            (select count(*) from liquidation_triggered) as liquidations,
            (select count(*) from tranche_started) as tranches,
            (select count(*) from decision_recorded) as decisions,
            (select count(*) from position_reduced) as reductions,
            (select sum(value_usd)::decimal(38, 6) from reductions) as reduced_usd,
            sum(value_usd)::decimal(38, 6) as liquidated_usd,
            sum(fee_usd) as fees_usd,
            (sum(value_usd) filter (where route = 'deleveraged'))::decimal(38, 6)
                as deleveraged_usd,
            count(*) filter (where route = 'deleveraged') as adl_events,
            (sum(value_usd) filter (where route = 'crossed'))::decimal(38, 6) as crossed_usd,
            (select sum(amount_usd) from bad_debt_recorded) as bad_debt_usd,
            (select sum(amount_usd) from stake_slashed) as slashed_usd,
            (select sum(amount_usd) from profit_cut) as haircut_usd,
            (select sum(amount_usd) from loss_socialised) as socialised_usd
        from executions
        """,
    )
    return {key: _usd(value) if key.endswith("_usd") else value for key, value in found.items()}


def _classes(log: LogReader) -> dict[str, Any]:
    found = {
        name: (count, value)
        for name, count, value in log.rows(
            "select class, count(*), sum(liquidated_usd)::decimal(38, 6) "
            "from liquidation_classes group by class"
        )
    }
    (averted,) = log.rows("select count(*) from shadow_crossings where kind = 'averted'")[0]
    values: dict[str, Any] = {"averted": averted}
    for name in _CLASSES:
        count, value = found.get(name, (0, None))
        values |= {name: count, f"{name}_usd": _usd(value)}
    return values


def _markets(log: LogReader) -> dict[str, Any]:
    values: dict[str, Any] = {
        f"{key}_{name.lower()}": None for key in _PER_MARKET for name in log.markets.values()
    }
    rows = log.rows(
        "select market_id, start_price, lowest_market, lowest_reference from market_extremes"
    )
    for market_id, start, market, reference in rows:
        name = log.markets[market_id].lower()
        values[f"lowest_market_{name}"] = f"{market:.8f}"
        values[f"lowest_reference_{name}"] = f"{reference:.8f}"
        values[f"amplification_{name}"] = _amplification(start, market, reference)
    moved = log.rows(
        """
        select market_id, min(displacement), max(displacement)
        from (
            select market_id, ln(market_price::double / reference_price::double) as displacement
            from order_filled
            union all
            select market_id, ln(market_price::double / reference_price::double)
            from inventory_sold
            union all
            select market_id, ln(market_price::double / reference_price::double)
            from trade_filled
            union all
            select market_id, ln(market_price::double / reference_price::double)
            from position_reduced
        )
        group by market_id
        """
    )
    for market_id, least, most in moved:
        key = f"largest_displacement_{log.markets[market_id].lower()}"
        values[key] = least if -least >= most else most
    return values


def _regret(log: LogReader) -> dict[str, Any]:
    if log.manifest.status != "sealed":
        return {"regret_usd": None}  # Nobody knows the end.
    (found,) = log.rows(
        "select sum(liquidated_usd)::decimal(38, 6) from hindsight where is_solvent_at_end"
    )[0]
    return {"regret_usd": _usd(found)}


def _genealogy(log: LogReader) -> dict[str, Any]:
    found = _one(
        log,
        """
        select count(*) as episodes, coalesce(max(generations), 0) as generations,
            arg_max(largest_r, usd) as largest_r
        from episodes
        """,
    )
    rows = log.rows("select market, max(b) from branching where moment = 'start' group by market")
    return found | {f"branching_start_{market.lower()}": b for market, b in rows}


def _amplification(start: Decimal, market: Decimal, reference: Decimal) -> float | None:
    fall = start - reference
    if fall < start * Decimal(_NEAR_ZERO):
        return None
    return float((start - market) / fall)


def _fund(log: LogReader) -> dict[str, Any]:
    found = _one(
        log,
        """
        select sum(amount_usd) filter (where movement = 'deposit') as fund_start_usd,
            min(balance_usd) as fund_lowest_usd,
            arg_max(balance_usd, seq) as fund_end_usd,
            sum(amount_usd) filter (where movement = 'surplus') as surplus_usd,
            sum(amount_usd) filter (where movement = 'contribution') as contributed_usd,
            sum(amount_usd) filter (where movement = 'leverage fee') as leverage_fees_usd,
            sum(amount_usd) filter (where movement = 'index residue') as index_residue_usd
        from fund
        """,
    ) | _one(
        log,
        """
        select max(drawdown_usd) filter (where kind = 'fund') as fund_drawdown_usd,
            max(profit_usd) filter (where kind = 'makers') as makers_profit_usd
        from capital_accounts
        """,
    )
    return {key: _usd(value) for key, value in found.items()}


def _incentives(log: LogReader) -> dict[str, Any]:
    """Return what became of penalties, and what keepers were paid on top."""
    found = _one(
        log,
        """
        select
            (select sum(fee_usd) from executions) as fees_usd,
            sum(amount_usd) filter (where kind = 'penalty' and receiver_kind = 'keeper')
                as penalties_to_keepers_usd,
            sum(amount_usd) filter (where kind = 'penalty' and receiver_kind = 'fund')
                as penalties_to_fund_usd,
            sum(amount_usd) filter (where receiver_kind = 'burn') as burnt_usd,
            count(*) filter (where kind = 'reward') as rewards,
            sum(amount_usd) filter (where kind = 'reward') as rewards_usd,
            (select sum(amount_usd) from funds_deposited where owner_id = 3) as budget_usd
        from incentives
        """,
    )
    zero = Decimal(0)
    fees, budget = found.pop("fees_usd") or zero, found.pop("budget_usd") or zero
    taker_fees = _taker_fees_usd(log)
    shared = (found[f"{key}_usd"] or zero for key in _PENALTY_SHARES)
    found |= {
        "taker_fees_usd": taker_fees,
        "penalties_to_treasury_usd": fees - taker_fees - sum(shared, zero),
        "rewards_left_usd": budget - (found["rewards_usd"] or zero),
    }
    return {key: _usd(value) if key.endswith("_usd") else value for key, value in found.items()}


def _taker_fees_usd(log: LogReader) -> Decimal:
    """Return what of the fees of orders is the taker fee, which comes before a penalty."""
    try:
        rate = read_terms(log.manifest.scenario_toml).taker_fee_e6
    except ValueError:
        rate = 0
    if not rate:
        return Decimal(0)
    query = "select abs(quantity), price, fee_usd from order_filled where fee_usd > 0"
    paid_uusd = 0
    for size, price, fee in log.rows(query):
        value_e16 = int(size.scaleb(8)) * int(price.scaleb(8))
        paid_uusd += min(int(fee.scaleb(6)), -(-value_e16 * rate // 10**16))
    return Decimal(paid_uusd).scaleb(-6)


def _keepers(log: LogReader) -> dict[str, Any]:
    names = ("keeper_attempts_won", "keeper_attempts_lost", "keeper_profit_usd")
    purse_names = ("keeper_purse_lowest_usd", "keepers_dry")
    if not any(owner.kind == "keeper" for owner in log.owners):
        return dict.fromkeys(names + purse_names)
    won, lost, profit = log.rows("select sum(won), sum(lost), sum(profit_usd) from keepers")[0]
    lowest, dry = log.rows(
        """
        select (select min(balance_usd) from purses), count(distinct k.owner_id)
        from owners as k
        cross join tranche_started as t
        asof left join purses as p on p.keeper_id = k.owner_id and p.seq <= t.seq
        where k.kind = 'keeper' and t.executor = 'keepers'
            and coalesce(p.balance_usd, 0) < abs(t.quantity)::decimal(38, 8) * t.mark_price
        """
    )[0]
    return {
        **dict(zip(names, (int(won), int(lost), _usd(profit)), strict=True)),
        **dict(zip(purse_names, (None if lowest is None else _usd(lowest), dry), strict=True)),
    }


def _desk(log: LogReader) -> dict[str, Any]:
    names = ("desk_profit_usd", "desk_inventory_usd")
    if not any(owner.kind == "desk" for owner in log.owners):
        return dict.fromkeys(names)
    profit, held = log.rows(
        "select arg_max(profit_usd, seq), arg_max(gross_usd, seq) "
        "from capital_curves where kind = 'desk'"
    )[0]
    return dict(zip(names, (_usd(profit), _usd(held)), strict=True))


def _traders(log: LogReader) -> dict[str, Any]:
    found = _one(
        log,
        """
        select
            (
                select sum(amount_usd) from deposits where purpose = 'top-up'
            ) as topped_up_usd,
            (
                select sum(value_usd)::decimal(38, 6) from trades
                where reason in ('reduced', 'closed', 'stopped')
            ) as closed_by_will_usd,
            (
                select sum(value_usd)::decimal(38, 6) from trades where reason = 'opened'
            ) as reopened_usd,
            (
                select sum(value_usd)::decimal(38, 6) from trades where reason = 'rebalanced'
            ) as rebalanced_usd,
            (
                select sum(value_usd)::decimal(38, 6) from trades where reason = 'relevered'
            ) as relevered_usd,
            (
                select sum(value_usd)::decimal(38, 6) from trades where reason = 'anticipated'
            ) as anticipated_usd,
            (select sum(amount_usd) from funding_payments) as funding_usd
        """,
    )
    return {key: _usd(value) for key, value in found.items()}


def _arrivals(log: LogReader) -> dict[str, Any]:
    (buckets,) = log.rows("select count(*) from owners where kind = 'bucket'")[0]
    arrived = dict(
        log.rows("select cohort, count(*) from deposits where purpose = 'arrival' group by cohort")
    )
    found = _one(
        log,
        """
        select
            (
                select sum(value_usd)::decimal(38, 6) from trades where reason = 'arrived'
            ) as arrived_usd,
            count(distinct bucket_id) as arrived_liquidated
        from liquidation_triggered
        where bucket_id in (select owner_id from deposits where purpose = 'arrival')
        """,
    )
    most = _arrivals_max(log)
    return {
        "accounts": buckets - sum(most.values()) + sum(arrived.values()),
        "arrived_accounts": sum(arrived.values()),
        "arrived_usd": _usd(found["arrived_usd"]),
        "arrived_liquidated": found["arrived_liquidated"],
        "arrivals_used_up": sum(arrived.get(cohort) == count for cohort, count in most.items()),
    }


def _halts(log: LogReader) -> dict[str, Any]:
    rows = log.rows(
        "select action, epoch_us(halted_at), halted_us from halts order by halted_at, seq"
    )
    found = {"halts": len(rows), "halted_us": 0, "risk_halted_us": 0}
    for action in ("halted", "risk_halted"):
        done_us = 0
        for of, from_us, span_us in rows:
            if of == action:  # Halts of several markets and levels may overlap.
                until_us = from_us + span_us
                found[f"{action}_us"] += max(until_us - max(from_us, done_us), 0)
                done_us = max(done_us, until_us)
    return found


def _arrivals_max(log: LogReader) -> dict[str, int]:
    """Return how many accounts may arrive, by cohort, where any may."""
    try:
        cohorts = parse_toml(log.manifest.scenario_toml).get("population", {}).get("cohorts", {})
    except ValueError:
        return {}
    return {
        name: table["traders"]["arrivals"]["accounts_max"]
        for name, table in cohorts.items()
        if "arrivals" in table.get("traders", {})
    }


def _times(log: LogReader) -> dict[str, Any]:
    found = _one(
        log,
        """
        select max(waited_us) as due_wait_max_us,
            epoch_us(min(triggered_at)) as first_liquidation_at,
            epoch_us(max(triggered_at)) as last_liquidation_at
        from liquidations
        """,
    )
    for key in ("first_liquidation_at", "last_liquidation_at"):
        found[key] = None if found[key] is None else iso_utc(found[key])
    lags = [row[0] for row in log.rows("select lag_us from oracle_lag order by lag_us")]
    return {
        **found,
        "oracle_lag_p50_us": _nearest_rank(lags, 50),
        "oracle_lag_p99_us": _nearest_rank(lags, 99),
    }


def _nearest_rank(ordered: list[int], percent: int) -> int | None:
    """Return the smallest value that at least *percent* of *ordered* do not exceed."""
    return ordered[math.ceil(len(ordered) * percent / 100) - 1] if ordered else None


def _unresolved(log: LogReader) -> dict[str, Any]:
    counts = {f"unresolved_{reason.name.lower()}": 0 for reason in UnresolvedReason}
    if log.manifest.status != "sealed":
        # Nobody has counted yet.
        names = ("unresolved_buckets", "unresolved_usd", "unresolved_shortfall_usd", *counts)
        return dict.fromkeys(names)
    rows = log.rows("select reason, count(*) from liquidation_unresolved group by reason")
    counts |= {f"unresolved_{reason}": count for reason, count in rows}
    buckets, value, shortfall = log.rows(
        "select count(distinct bucket_id), sum(notional_usd)::decimal(38, 6), "
        "(-sum(equity_usd) filter (where equity_usd < 0))::decimal(38, 6) from unresolved"
    )[0]
    return {
        "unresolved_buckets": buckets,
        "unresolved_usd": _usd(value),
        "unresolved_shortfall_usd": _usd(shortfall),
        **counts,
    }
