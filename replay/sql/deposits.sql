-- deposits: one row per deposit from outside: collateral of an account, the fund's start, a purse.
--
-- seq         the event
-- sim_time    when
-- owner_id    who received it
-- owner       its name
-- owner_kind  fund, keeper, desk, backer, staker, vault, pool, bidder or bucket (an account)
-- cohort      cohort of an account; null for others
-- amount_usd  how much
-- purpose     start; top-up of an account near its liquidation, return of one liquidated before, or
--             arrival of a new one
create or replace temp view deposits as
select d.seq, d.sim_time, d.owner_id, o.name as owner, o.kind as owner_kind, o.cohort, d.amount_usd,
    case when d.sim_time = r.start_at then 'start' when d.cause_seq is null then 'arrival'
        when l.seq is null then 'top-up' else 'return' end as purpose
from funds_deposited as d
cross join runs as r
left join liquidation_ended as l on l.seq = d.cause_seq
left join owners as o on o.owner_id = d.owner_id
