-- fund: one row per movement of the insurance fund.
--
-- seq          the event
-- sim_time     when
-- movement     deposit, contribution, surplus, leverage fee or draw
-- amount_usd   what it added; negative for a draw
-- balance_usd  what the fund had after it
-- bucket_id    the bucket it is about; null for a deposit or a contribution
-- tranche_seq  the tranche it is about; null for a deposit, a contribution or a fee
-- cause_seq    the event that brought it about
-- cause        kind of that event; null without one
-- backer       who paid a contribution; null for other movements
create or replace temp view fund as
with movements as (
    select seq, sim_time, cause_seq, 'deposit' as movement, amount_usd,
        null::integer as bucket_id, null::bigint as tranche_seq, null::integer as backer_id
    from funds_deposited where owner_id = 2
    union all
    select seq, sim_time, cause_seq, 'contribution', amount_usd, null, null, backer_id
    from contribution_paid
    union all
    select seq, sim_time, cause_seq, 'surplus', amount_usd, bucket_id, tranche_seq, null
    from surplus_routed
    union all
    select seq, sim_time, cause_seq, 'leverage fee', amount_usd, bucket_id, null, null
    from leverage_fee_paid
    union all
    select seq, sim_time, cause_seq, 'draw', -amount_usd, bucket_id, tranche_seq, null
    from fund_drawn
)
select m.seq, m.sim_time, m.movement, m.amount_usd,
    sum(m.amount_usd) over (order by m.seq)::decimal(38, 6) as balance_usd, m.bucket_id,
    m.tranche_seq, m.cause_seq,
    case when f.seq is not null then 'order_filled'
        when k.seq is not null then 'tranche_taken_over'
        when x.seq is not null then 'tranches_crossed'
        when d.seq is not null then 'position_deleveraged'
        when t.seq is not null then 'tranche_started'
        when w.seq is not null then 'fund_drawn'
        when n.seq is not null then 'decision_recorded' end as cause,
    o.name as backer
from movements as m
left join order_filled as f on f.seq = m.cause_seq
left join tranche_taken_over as k on k.seq = m.cause_seq
left join tranches_crossed as x on x.seq = m.cause_seq
left join position_deleveraged as d on d.seq = m.cause_seq
left join tranche_started as t on t.seq = m.cause_seq
left join fund_drawn as w on w.seq = m.cause_seq
left join decision_recorded as n on n.seq = m.cause_seq
left join owners as o on o.owner_id = m.backer_id
