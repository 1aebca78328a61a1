"""What an audit can find: the codes, and the list they are collected in."""

from collections import Counter
from typing import Final

import attrs

from liqsim.events import Event
from liqsim.events.schema import USD_ASSET
from liqsim.units import format_scaled

CODES: Final = {
    # Structure
    "seq_gap": "Numbers are missing between 0 and the last event.",
    "seq_duplicate": "A number is used by more than one event.",
    "time_order": "An event lies before the one with the number below.",
    "time_range": "An event lies outside the run.",
    "value_range": "A value is missing or outside its column's range.",
    "owner_unknown": "An id names no owner of the right kind, or no market.",
    "cause_order": "A cause is not an earlier event.",
    "cause_kind": "A cause is an event that cannot have brought this one about.",
    "reference_kind": "A tranche or liquidation number points at something else.",
    # Chain
    "manifest": "The manifest contradicts itself or the resolved scenario.",
    "event_count": "The manifest counts another number of events.",
    "genesis_digest": "Scenario, owners, assets or the digest of the prices given were changed.",
    "reference_digest": "The reference or historical prices were changed.",
    "batch_range": "The batches do not partition the events into 65,536 each.",
    "batch_digest": "The rows of a batch are not those that were committed.",
    "final_digest": "The manifest's digest is not that of the last batch.",
    # Money
    "cost": "A cost is not quantity x price, rounded up.",
    "posting_sum": "The postings of an event do not sum to zero.",
    "posting_move": "The postings of an event are not what its fields mean.",
    "posting_view": "The view over all postings does not add up to the folded balances.",
    "fund_negative": "The insurance fund fell below zero.",
    "keeper_negative": "A keeper's purse fell below zero.",
    "balance_bound": "A balance left the range of its column.",
    "fund_balance": "A draw records another balance of the fund than the fold has.",
    "bad_debt": "A bucket without position is neither at zero or above nor at its bad debt.",
    "deposit": "A deposit is not the fund's, a purse's or a bucket's, is missing, or came late.",
    "opening": "A bucket opened a position after the start, or a second one.",
    "call_cost": "A keeper's call did not cost what its calls cost.",
    # Rules
    "trader": "An account acted of its own will otherwise than its cohort's terms let it.",
    "entry_price": "An entry price after a trade is not the one recomputed.",
    "depth_schedule": "The changes of depth are not those of the market's schedule.",
    "first_update": "The first update of a market, and no other, must be recorded as the first.",
    "reports_count": "An update has fewer reports than its quorum, or more than sources.",
    "mark": "A mark price is not the last that the market was given.",
    "mark_rule": "A mark, shadow mark or premium is not what the mark rule makes of what landed.",
    "book_price": "A sample of the book is not the market price just before it, or is not due.",
    "mark_stale": "A tranche was put up, or an order filled, on a mark older than allowed.",
    "cause_fill": "An update names another fill than the newest that its median report shows.",
    "oracle_shows": "The displacement that an update shows is not that of one of its reports.",
    "heartbeat_early": "An update by heartbeat follows the one before it by less than a heartbeat.",
    "oracle_times": "An update landed before it was published, or was published before sampled.",
    "shadow": "A shadow mark, or its update, is not what the market's oracle can have made.",
    "maintenance_schedule": "The changes of maintenance are not those of schedule and mitigations.",
    "coin_haircut": "The changes of the haircut on coins are not those that mitigations announced.",
    "standing": "What a trigger says of its class is not the one recomputed.",
    "displacement": "The displacement in a trigger's mark is not the one recomputed.",
    "crossing": "Balances did not become due at the shadow marks, did so before, or unrecorded.",
    "position": "A recorded position is not the folded one.",
    "margin": "A margin or maintenance margin is not the one recomputed.",
    "initial_margin": "A bucket has opened with less than the initial margin of its positions.",
    "not_due": "A bucket was triggered whose margin did not make it due.",
    "trigger_missing": "A bucket that a mark made due was not triggered right after it.",
    "trigger_order": "Buckets that one mark made due were not triggered weakest first.",
    "bankruptcy_price": "A bankruptcy price is not the one recomputed.",
    "lifecycle": "A liquidation or tranche starts or goes on where it cannot.",
    "desk": "The desk takes over another part of a slice than it can, or nothing.",
    "backstop": "A vault or a pool takes over another part of a slice than it can, or nothing.",
    "pool": "A pool goes ahead of the book for another reason, or for another part, than it must.",
    "hold": "A slice was held that may not be, or was put up while it had to be held.",
    "crossed": "Slices of both sides were not crossed as recomputed, or not at all, or not due.",
    "auction": "An auction was not held, or did not clear, as recomputed, or was not due.",
    "executor": "A tranche is executed by another executor than the venue's.",
    "tranche_size": "A tranche is not the least of position, share and caps, or on a wrong side.",
    "decision": "A mitigation's decision is not the one recomputed, or is missing.",
    "halted": "What a halt stopped went on inside it.",
    "leverage_fee": "A fee on leverage is not the one recomputed, is missing, or is not due.",
    "reduction": "A step of a mitigation is not that of the next account, too large, or missing.",
    "leg_order": "A tranche is cut from another leg than the venue's rule puts first.",
    "tranche_number": "Tranches of a liquidation are not numbered from 1 without gaps.",
    "engine_outage": "The engine sent an order in an outage.",
    "engine_rate": "The engine sent an order sooner after another than its rate allows.",
    "engine_order": "The engine served a liquidation while one triggered earlier waited.",
    "resale": "A keeper sold inventory sooner, or in a larger or smaller part, than its terms say.",
    "tranche_spacing": "A tranche starts earlier than reaction or spacing allow.",
    "limit_price": "A tranche's limit is not that of bankruptcy price and fund.",
    "limit_crossed": "An order was filled beyond its limit while accounts could be deleveraged.",
    "fill_size": "An execution exceeds its order or slice, or turns a position round.",
    "market_price": "A market price is not the one that the book recomputed leaves.",
    "fill_price": "A fill's price lies outside the market prices before and after it.",
    "fill_depth": "More was filled than the book has.",
    "fill_reference": "A fill's reference price is not that of the path.",
    "purged_reference": "A reference price is not history without the displacement before it.",
    "fee": "A fee is not the one recomputed.",
    "takeover_price": "A takeover was not at the venue's discount to the mark.",
    "call_failed": "A call failed for a reason that did not hold.",
    "offer": "An offer was withdrawn without a reason, or stood or was taken against one.",
    "keeper_down": "A keeper sent a call, or sold, while it was down.",
    "keeper_profit": "A call was sent for an offer that promised less than the keeper asks for.",
    "keeper_capital": "A keeper took over with capital that it did not have, or had tied up.",
    "surplus": "A surplus of the fund is not the one recomputed, is missing, or is the trader's.",
    "draw": "A draw of the fund is not the one recomputed, is missing, or is not due.",
    "tranche_parts": "The parts of a tranche do not sum to its slice, or to its executions.",
    "deleverage_price": "A deleveraging was not at the bankruptcy price.",
    "deleverage_side": "A deleveraging turned or increased a counterparty, or took a wrong one.",
    "deleverage_rank": "Deleveraged accounts are not those first in the queue, in turn, in full.",
    "slashing": "A stake was not slashed as recomputed, or not at all, or is not due.",
    "haircut": "A cut of profit is not the one recomputed, is missing, or is not due.",
    "socialised": "A share of a loss is not the one recomputed, is missing, or is not due.",
    "penalty_routing": "A share of a penalty is not as recomputed, is missing, or is not due.",
    "keeper_reward": "A reward of a keeper is not as recomputed, is missing, or is not due.",
    "contribution": "A payment into the fund is not what a rule says, is missing, or is not due.",
    "funding": "A funding rate or payment is not the one recomputed, is missing, or is not due.",
    "coins": "Coins did not settle an execution or a debt, or not as recomputed.",
    "ended_state": "An ended liquidation records another state than the fold has, or ended early.",
    "unresolved_state": "An unresolved liquidation is not open, or records another position.",
    "unresolved_missing": "A liquidation is open at the end, and nothing in the log says so.",
    "due_unserved": "A bucket was due at the end, and nothing in the log says so.",
    "extremes": "Recorded extremes are not those of reference path and fills, or are missing.",
}
"""Every code an audit may report, and what it means."""


def usd(uusd: int) -> str:
    """
    Return micro-USD as the log has them.

    >>> usd(-1_500_000)
    '-1.500000 USD'
    """
    return f"{format_scaled(int(uusd), 6)} USD"


def e8(value: float) -> str:
    """
    Return a quantity or price of 1e-8 as the log has it.

    >>> e8(9_050_000_000)
    '90.50000000'
    """
    return format_scaled(round(value), 8)


def amount_of(asset: int, value: int) -> str:
    """Return a balance in *asset* as the log has it."""
    return usd(value) if asset == USD_ASSET else f"{e8(value)} of asset {asset}"


def column_and_text(field: str, value: object) -> tuple[str, str]:
    """
    Return the column of a field and what would stand there for *value*.

    Instants are told from the start: not every check knows when that was.

    >>> column_and_text("tranche_started.limit_price_e8", 8_950_000_000)
    ('tranche_started.limit_price', '89.50000000')
    >>> column_and_text("sampled_at_us", 5_000_000)
    ('sampled_at', '5.000000 s after the start')
    """
    for suffix, column_suffix, decimals, unit in _SHOWN:
        if field.endswith(suffix):
            column = field.removesuffix(suffix) + column_suffix
            if isinstance(value, int):
                return column, format_scaled(value, decimals) + unit
            return column, str(value)
    return field, str(value)


_SHOWN: Final = (
    ("_uusd", "_usd", 6, ""),
    ("_e9", "", 9, ""),
    ("_e8", "", 8, ""),
    ("_e6", "", 6, ""),
    ("_at_us", "_at", 6, " s after the start"),
    ("sim_time_us", "sim_time", 6, " s after the start"),
)


def event_text(event: Event) -> str:
    """Return *event* with its columns, as the log would have them."""
    fields = (column_and_text(key, value) for key, value in attrs.asdict(event).items())
    return f"{event.TAG}({', '.join(f'{column}={text}' for column, text in fields)})"


@attrs.frozen
class Finding:
    """
    Something a log gets wrong.

    Attributes:
        code: A key of `CODES`.
        seq: The event it is about, if it is about one.
        message: What was found and what was expected.
    """

    code: str
    seq: int | None
    message: str


@attrs.define
class Findings:
    """
    The findings so far.

    Attributes:
        found: What was found.
        unchecked: How many decisions nobody here can work out, by the kind of the mitigation.
    """

    found: list[Finding] = attrs.Factory(list)
    unchecked: Counter[str] = attrs.Factory(Counter)

    def add(self, code: str, seq: int | None, message: str) -> None:
        """Add one."""
        assert code in CODES, f"{code} is not a declared code"
        self.found.append(Finding(code, seq, message))

    def expect(self, code: str, seq: int | None, what: str, actual: object, right: object) -> None:
        """Add one if *actual* is not *right*, both in the unit of the field *what*."""
        if actual != right:
            (column, found), (_, due) = column_and_text(what, actual), column_and_text(what, right)
            self.add(code, seq, f"{column} is {found}, must be {due}")

    def in_order(self) -> list[Finding]:
        """Return all, those about the whole log first, then in order of the events."""
        return sorted(self.found, key=lambda f: (-1 if f.seq is None else f.seq, f.code))
