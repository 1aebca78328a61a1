-- unresolved: one row per account that was still due when the run ended.
--
-- seq              the event
-- liquidation_seq  its liquidation (the trigger)
-- bucket_id        the account
-- bucket           its name
-- cohort           its cohort
-- market           name of the market
-- reason           what it was waiting for, in one word
-- waits_for        the same in a sentence
-- due_since        when it was triggered
-- due_us           from then to the end of the run
-- quantity         position left
-- mark_price       mark price at the end; null without one
-- value_usd        quantity x mark price, exact
-- notional_usd     |quantity| x mark price over every position of it, exact; null without one
-- cash_usd         its cash
-- equity_usd       cash plus every position and its coins at their mark prices, exact; null without
--                  one
-- tranches         tranches put up in this liquidation
-- last_tranche_at  when the last of them was put up; null without one
create or replace temp view unresolved as
with last_marks as (
    select market_id, arg_max(price, seq) as price from marks group by market_id
),
cash as (
    select owner_id, sum(amount)::decimal(18, 6) as amount
    from cash_postings where owner_id in (select bucket_id from liquidation_unresolved)
    group by owner_id
),
positions as (
    select owner_id, market_id, sum(units)::decimal(18, 8) as units,
        sum(coins)::decimal(18, 8) as coins
    from (
        select owner_id, asset_id - 1 as market_id, amount as units, 0 as coins from unit_postings
        union all
        select owner_id, -asset_id - 1, 0, amount from coin_postings
    )
    where owner_id in (select bucket_id from liquidation_unresolved)
    group by owner_id, market_id
),
held as (
    select p.owner_id,
        case when count(*) = count(m.price)
            then sum((p.units + p.coins)::decimal(38, 8) * m.price) end as value_usd,
        case when count(*) = count(m.price)
            then sum(abs(p.units)::decimal(38, 8) * m.price) end as notional_usd
    from positions as p
    left join last_marks as m on m.market_id = p.market_id
    where p.units <> 0 or p.coins <> 0
    group by p.owner_id
),
executor as (select count(*) > 0 as has_keepers from owners where kind = 'keeper'),
puts as (
    select liquidation_seq, count(*) as tranches, max(sim_time) as last_tranche_at
    from tranche_started
    group by liquidation_seq
)
select u.seq, u.liquidation_seq, u.bucket_id, o.name as bucket, o.cohort, a.name as market,
    u.reason,
    case u.reason
        when 'no_executor' then case when x.has_keepers
            then 'a keeper: a slice is on offer, and all are down, short of capital or unwilling'
            else 'the engine: it is down, or busy with the orders of earlier triggers' end
        when 'no_depth' then 'depth: part of the last slice found none, the next is not due yet'
        when 'no_fresh_price' then 'a fresh mark price: the last one is too old to act on'
        when 'paced' then 'a mitigation, which has it wait'
        when 'halted' then 'the venue, which is halted'
        when 'spacing' then 'the spacing between two tranches to pass'
        when 'run_ended' then case when x.has_keepers
            then 'nothing: a reaction or a keeper''s call is under way'
            else 'nothing: the engine reacts, or sends child orders' end
    end as waits_for,
    l.sim_time as due_since, epoch_us(z.ends_at) - epoch_us(l.sim_time) as due_us, u.quantity,
    m.price as mark_price, u.quantity::decimal(38, 8) * m.price as value_usd,
    h.notional_usd::decimal(38, 16) as notional_usd,
    coalesce(c.amount, 0)::decimal(18, 6) as cash_usd,
    (coalesce(c.amount, 0)::decimal(38, 16) + h.value_usd)::decimal(38, 16) as equity_usd,
    coalesce(t.tranches, 0) as tranches, t.last_tranche_at
from liquidation_unresolved as u
cross join log_end as z
cross join executor as x
left join liquidation_triggered as l on l.seq = u.liquidation_seq
left join owners as o on o.owner_id = u.bucket_id
left join assets as a on a.market_id = u.market_id
left join last_marks as m on m.market_id = u.market_id
left join cash as c on c.owner_id = u.bucket_id
left join held as h on h.owner_id = u.bucket_id
left join puts as t on t.liquidation_seq = u.liquidation_seq
