-- purses: one row per movement of the cash of a keeper, the desk, a vault, a pool or a bidder.
--
-- seq          the event
-- sim_time     when
-- keeper_id    the keeper
-- keeper       its name
-- movement     deposit, takeover (the call's cost included), failed_call, sale, penalty (its
--              share) or reward
-- amount_usd   what it added; negative for what was paid
-- balance_usd  what the purse held after it
-- market       name of the market; null for a deposit
-- tranche_seq  the tranche it is about; null for deposits and sales
create or replace temp view purses as
with movements as (
    select d.seq, d.sim_time, d.owner_id as keeper_id, 'deposit' as movement, d.amount_usd,
        null::integer as market_id, null::bigint as tranche_seq
    from funds_deposited as d
    join owners as o on o.owner_id = d.owner_id and o.kind in ('keeper', 'desk', 'vault', 'pool', 'bidder')
    union all
    select seq, sim_time, keeper_id, 'takeover', cost_usd - call_cost_usd, market_id, tranche_seq
    from tranche_taken_over
    union all
    select f.seq, f.sim_time, f.keeper_id, 'failed_call', -f.call_cost_usd, t.market_id,
        f.tranche_seq
    from keeper_call_failed as f
    left join tranche_started as t on t.seq = f.tranche_seq
    union all
    select seq, sim_time, keeper_id, 'sale', -cost_usd, market_id, null from inventory_sold
    union all
    select p.seq, p.sim_time, p.receiver_id, 'penalty', p.amount_usd, t.market_id, p.tranche_seq
    from penalty_routed as p
    left join tranche_started as t on t.seq = p.tranche_seq
    where p.share = 'keeper'
    union all
    select r.seq, r.sim_time, r.keeper_id, 'reward', r.amount_usd, t.market_id, r.tranche_seq
    from keeper_rewarded as r
    left join tranche_started as t on t.seq = r.tranche_seq
)
select m.seq, m.sim_time, m.keeper_id, o.name as keeper, m.movement, m.amount_usd,
    sum(m.amount_usd) over (partition by m.keeper_id order by m.seq)::decimal(38, 6)
        as balance_usd,
    a.name as market, m.tranche_seq
from movements as m
left join owners as o on o.owner_id = m.keeper_id
left join assets as a on a.market_id = m.market_id
