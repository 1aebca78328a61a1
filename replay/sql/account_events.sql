-- account_events: one row per account and event that is about it, with what the event moved.
--
-- account_id       the account, as an owner
-- seq              the event
-- sim_time         when
-- cause_seq        the event that brought it about
-- what             deposit, coin deposit, coins settled (with the makers), opening, trade (of its own will), reduced (by a mitigation), withdrawal, trigger, tranche, fill,
--                  takeover, decision (of a mitigation), closed against (its own slice, against a deleveraged account), crossed, offered (in an auction),
--                  deleveraged (itself, for a bankrupt account), surplus, fund draw, penalty shared (what it paid), keeper rewarded, funding, leverage fee, hole
--                  paid (its own, by another account or a staker), haircut or socialised (for another's hole),
--                  bad debt, settled, end, unresolved or shadow crossing (its balances became due
--                  at the shadow marks)
-- market_id        which market; null for a deposit of USD or a withdrawal
-- quantity         units it received; negative is given
-- price            price of the trade; null without one
-- cash_change_usd  USD it received, fees taken off; negative is paid
-- fee_usd          fee it paid, if there can be one
-- margin_usd       margin that the event recorded; null but at a trigger
-- note             the rest, in words
create or replace temp view account_events as
with shared as (
    select *, 'haircut' as what, 'out of the profit of ' as paid_by,
        ', entry price now ' || entry_price as detail
    from profit_cut
    union all by name
    select *, 'socialised' as what, 'by ' as paid_by, '' as detail
    from loss_socialised
),
slashed as (
    select s.*, t.market_id, o.name as staker
    from stake_slashed as s
    left join tranche_started as t on t.seq = s.tranche_seq
    left join owners as o on o.owner_id = s.staker_id
),
said as (
    select owner_id as account_id, seq, sim_time, cause_seq, 'deposit' as what,
        null::integer as market_id, null::decimal(18, 8) as price, null::decimal(18, 6) as fee_usd,
        null::decimal(18, 6) as margin_usd, null::varchar as note
    from funds_deposited
    union all
    select bucket_id, seq, sim_time, cause_seq, 'opening', market_id, price, null, null,
        case when quantity > 0 then 'long' else 'short' end
    from position_opened
    union all
    select bucket_id, seq, sim_time, cause_seq, 'trigger', market_id, null, null, margin_usd,
        'bankrupt at ' || bankruptcy_price
    from liquidation_triggered
    union all
    select bucket_id, seq, sim_time, cause_seq, 'decision', market_id, null, null, null,
        action || ' by mitigation ' || mitigation_id
        || coalesce(' until ' || until_at, '')
        || coalesce(', at most ' || amount_usd || ' USD', '')
    from decision_recorded
    where bucket_id is not null
    union all
    select bucket_id, seq, sim_time, cause_seq, 'tranche', market_id, null, null, null,
        'number ' || tranche_number || ', ' || executor || ': ' || quantity || ' at '
        || case when quantity < 0 and limit_price = 0.00000001 then 'any price, the fund paying'
            else limit_price || ' or better' end
    from tranche_started
    union all
    select bucket_id, seq, sim_time, cause_seq, 'fill', market_id, price, fee_usd, null,
        case when quantity <> ordered then 'of ' || ordered || ' ordered' end
    from order_filled
    union all
    select t.bucket_id, t.seq, t.sim_time, t.cause_seq, 'takeover', t.market_id, t.price,
        t.fee_usd, null, 'by ' || o.name
    from tranche_taken_over as t
    left join owners as o on o.owner_id = t.keeper_id
    union all
    select x.bucket_id, x.seq, x.sim_time, x.cause_seq, 'crossed', x.market_id, x.price, x.fee_usd,
        null, 'with ' || o.name || ', held since ' || x.held_since_at
    from tranches_crossed as x
    left join owners as o on o.owner_id = x.counterparty_id
    union all
    select x.counterparty_id, x.seq, x.sim_time, x.cause_seq, 'crossed', x.market_id, x.price,
        x.other_fee_usd, null, 'with ' || o.name || ', held since ' || x.held_since_at
    from tranches_crossed as x
    left join owners as o on o.owner_id = x.bucket_id
    union all
    select bucket_id, seq, sim_time, cause_seq, 'offered', market_id, null, null, null,
        filled || ' of ' || quantity || ' in auction ' || cause_seq
        || case when reserve_price > 0 then ', at ' || reserve_price || ' or better' else '' end
    from lot_offered
    union all
    select d.bucket_id, d.seq, d.sim_time, d.cause_seq, 'closed against', d.market_id, d.price,
        null, null, o.name || ', rank ' || d.rank_number
    from position_deleveraged as d
    left join owners as o on o.owner_id = d.counterparty_id
    union all
    select d.counterparty_id, d.seq, d.sim_time, d.cause_seq, 'deleveraged', d.market_id, d.price,
        null, null, 'for ' || o.name || ', rank ' || d.rank_number
    from position_deleveraged as d
    left join owners as o on o.owner_id = d.bucket_id
    union all
    select bucket_id, seq, sim_time, cause_seq, 'coin deposit', market_id, null, null, null,
        quantity || ' coins'
    from coins_deposited
    union all
    select account_id, seq, sim_time, cause_seq, 'coins settled', market_id, price, null, null,
        coins || ' coins'
    from coins_settled
    union all
    select s.bucket_id, s.seq, s.sim_time, s.cause_seq, 'surplus', t.market_id, null, null, null,
        'to the fund'
    from surplus_routed as s
    left join tranche_started as t on t.seq = s.tranche_seq
    union all
    select f.bucket_id, f.seq, f.sim_time, f.cause_seq, 'fund draw', t.market_id, null, null, null,
        'leaves the fund ' || f.balance_usd || ' USD'
    from fund_drawn as f
    left join tranche_started as t on t.seq = f.tranche_seq
    union all
    select p.bucket_id, p.seq, p.sim_time, p.cause_seq, 'penalty shared', t.market_id, null, null,
        null, p.amount_usd || ' USD to ' || o.name
    from penalty_routed as p
    left join tranche_started as t on t.seq = p.tranche_seq
    left join owners as o on o.owner_id = p.receiver_id
    union all
    select r.bucket_id, r.seq, r.sim_time, r.cause_seq, 'keeper rewarded', t.market_id, null, null,
        null, r.amount_usd || ' USD to ' || o.name
    from keeper_rewarded as r
    left join tranche_started as t on t.seq = r.tranche_seq
    left join owners as o on o.owner_id = r.keeper_id
    union all
    select p.bucket_id, p.seq, p.sim_time, p.cause_seq, 'hole paid', p.market_id, null, null, null,
        p.paid_by || o.name
    from shared as p
    left join owners as o on o.owner_id = p.payer_id
    union all
    select bucket_id, seq, sim_time, cause_seq, 'hole paid', market_id, null, null, null,
        'out of the stake of ' || staker
    from slashed
    union all
    select bucket_id, seq, sim_time, cause_seq, 'hole indexed', market_id, null, null, null,
        loss_usd || ' USD over ' || units || ' units'
    from funding_index_moved
    union all
    select p.payer_id, p.seq, p.sim_time, p.cause_seq, p.what, p.market_id, null, null, null,
        'for ' || o.name || p.detail
    from shared as p
    left join owners as o on o.owner_id = p.bucket_id
    union all
    select bucket_id, seq, sim_time, cause_seq, 'funding', market_id, null, null, null,
        'on a position of ' || quantity
    from funding_paid
    union all
    select bucket_id, seq, sim_time, cause_seq, 'leverage fee', market_id, null, null, null,
        'on a position of ' || quantity
    from leverage_fee_paid
    union all
    select b.bucket_id, b.seq, b.sim_time, b.cause_seq, 'bad debt', t.market_id, null, null, null,
        b.amount_usd || ' USD that nobody paid'
    from bad_debt_recorded as b
    left join tranche_started as t on t.seq = b.tranche_seq
    union all
    select s.bucket_id, s.seq, s.sim_time, s.cause_seq, 'settled', t.market_id, null, null, null,
        concat_ws(
            ', ', case when filled > 0 then 'filled ' || filled end,
            case when taken_over > 0 then 'taken over ' || taken_over end,
            case when deleveraged > 0 then 'deleveraged ' || deleveraged end,
            case when crossed > 0 then 'crossed ' || crossed end,
            case when cancelled > 0 then 'cancelled ' || cancelled end
        )
    from tranche_settled as s
    left join tranche_started as t on t.seq = s.tranche_seq
    union all
    select bucket_id, seq, sim_time, cause_seq, 'end', market_id, null, null, null, outcome
    from liquidation_ended
    union all
    select bucket_id, seq, sim_time, cause_seq, 'unresolved', market_id, null, null, null,
        'waits: ' || reason
    from liquidation_unresolved
    union all
    select bucket_id, seq, sim_time, cause_seq, 'trade', market_id, price, fee_usd, null,
        reason || case when quantity <> ordered then ', of ' || ordered || ' ordered' else '' end
    from trade_filled
    union all
    select bucket_id, seq, sim_time, cause_seq, 'reduced', market_id, price, fee_usd, null,
        'by a mitigation' || case when quantity <> ordered then ', of ' || ordered || ' ordered'
            else '' end
    from position_reduced
    union all
    select bucket_id, seq, sim_time, cause_seq, 'withdrawal', null, null, null, null, null
    from funds_withdrawn
    union all
    select bucket_id, seq, sim_time, cause_seq, 'shadow crossing', market_id, null, null, null,
        case when liquidation_seq is null then 'balances' else 'those of trigger '
            || liquidation_seq end || ', margin ' || shadow_margin_usd || ' USD at '
        || shadow_mark
    from shadow_crossed
),
cash as (
    select owner_id, seq, sum(amount)::decimal(18, 6) as amount
    from cash_postings group by owner_id, seq
),
units as (
    select owner_id, seq, asset_id, sum(amount)::decimal(18, 8) as amount
    from unit_postings group by owner_id, seq, asset_id
)
select s.account_id, s.seq, s.sim_time, s.cause_seq, s.what, s.market_id, u.amount as quantity,
    s.price, c.amount as cash_change_usd, s.fee_usd, s.margin_usd, s.note
from said as s
semi join owners as o on o.owner_id = s.account_id and o.kind = 'bucket'
left join cash as c on c.owner_id = s.account_id and c.seq = s.seq
left join units as u
    on u.owner_id = s.account_id and u.seq = s.seq and u.asset_id = s.market_id + 1
