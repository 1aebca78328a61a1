-- incentives: one row per payment that the treasury made for a liquidation: a share of its penalty,
--             or a reward.
--
-- seq              the event
-- sim_time         when
-- kind             penalty (a share of it) or reward
-- mitigation_id    place of the mitigation in the scenario, from 0
-- mitigation       its name, or its kind
-- from_id          who paid, as an owner
-- payer            its name
-- to_id            who received it, as an owner
-- receiver         its name
-- receiver_kind    keeper, fund or burn
-- amount_usd       how much
-- whole_usd        of what: the penalty, or what the law of the reward asks for
-- tranche_seq      the tranche
-- liquidation_seq  its liquidation (the trigger)
-- bucket_id        the account liquidated
-- bucket           its name
-- market           name of the market
-- waited_us        time since the trigger, where the reward follows that
-- violation_usd    how far the margin was below zero, where it follows that
-- depth            units that the venue's own book would take, where it follows that
-- used_usd         rewards paid already in the span; null for a penalty
-- budget_usd       what the budget has left; null for a penalty
-- cause_seq        the execution that it was paid for
-- cause            kind of that event
create or replace temp view incentives as
with paid as (
    select seq, sim_time, cause_seq, 'penalty' as kind, mitigation_id, tranche_seq, bucket_id,
        receiver_id as to_id, amount_usd, penalty_usd as whole_usd, null::bigint as waited_us,
        null::decimal(18, 6) as violation_usd, null::decimal(18, 8) as depth,
        null::decimal(18, 6) as used_usd, null::decimal(18, 6) as budget_usd
    from penalty_routed
    union all
    select seq, sim_time, cause_seq, 'reward', mitigation_id, tranche_seq, bucket_id, keeper_id,
        amount_usd, owed_usd, waited_us, violation_usd, depth, used_usd, budget_usd
    from keeper_rewarded
)
select p.seq, p.sim_time, p.kind, p.mitigation_id, m.name as mitigation, 3 as from_id,
    f.name as payer, p.to_id, r.name as receiver, r.kind as receiver_kind, p.amount_usd,
    p.whole_usd, p.tranche_seq, t.liquidation_seq, p.bucket_id, b.name as bucket,
    a.name as market, p.waited_us, p.violation_usd, p.depth, p.used_usd, p.budget_usd, p.cause_seq,
    case when k.seq is not null then 'tranche_taken_over'
        when x.seq is not null then 'tranches_crossed'
        when o.seq is not null then 'order_filled' end as cause
from paid as p
left join mitigations as m on m.mitigation_id = p.mitigation_id
left join tranche_started as t on t.seq = p.tranche_seq
left join owners as f on f.owner_id = 3
left join owners as r on r.owner_id = p.to_id
left join owners as b on b.owner_id = p.bucket_id
left join assets as a on a.market_id = t.market_id
left join tranche_taken_over as k on k.seq = p.cause_seq
left join tranches_crossed as x on x.seq = p.cause_seq
left join order_filled as o on o.seq = p.cause_seq
