-- hindsight: one row per liquidation: what the account would have been worth at the end, untouched.
--
-- liquidation_seq        the trigger
-- bucket_id              the account
-- liquidated_usd         |quantity| x price over all executions of the liquidation, exact
-- cash_usd               its cash at the trigger
-- end_value_usd          its positions and coins at the trigger at the reference prices of the end, exact; null
--                        while the log is not sealed
-- end_equity_usd         cash_usd + end_value_usd
-- is_solvent_at_end      whether that is not negative
create or replace temp view hindsight as
with held as (
    select t.seq, p.asset_id, sum(p.amount) as amount
    from liquidation_triggered as t
    join postings as p on p.owner_id = t.bucket_id and p.seq < t.seq
    group by t.seq, p.asset_id
),
worth as (
    select h.seq, coalesce(sum(h.amount) filter (where h.asset_id = 0), 0)::decimal(18, 6) as cash,
        case when count(e.end_reference) = count(*) filter (where h.asset_id <> 0)
            then sum(h.amount::decimal(18, 8)::decimal(38, 8) * e.end_reference) end as value
    from held as h
    left join market_extremes as e on e.market_id = abs(h.asset_id) - 1
    group by h.seq
)
select l.liquidation_seq, l.bucket_id, l.liquidated_usd, w.cash as cash_usd,
    w.value as end_value_usd, w.cash + w.value as end_equity_usd,
    w.cash + w.value >= 0 as is_solvent_at_end
from liquidations as l
left join worth as w on w.seq = l.liquidation_seq
