-- liquidation_classes: one row per trigger: its class, and what of its mark is displacement.
--
-- liquidation_seq       the trigger
-- triggered_at          when
-- bucket_id             the account
-- bucket                its name
-- cohort                its cohort
-- market                name of the market
-- class                 first_order (due at the shadow marks too, or before), accelerated (due
--                       there later), induced (never until the end of the log) or rule_induced
--                       (not due under the maintenance of the start)
-- mark_price            mark price at the trigger
-- shadow_mark           shadow mark at the trigger
-- margin_usd            margin at the marks
-- shadow_margin_usd     margin at the shadow marks
-- start_margin_usd      margin at the marks under the maintenance of the start
-- forced_displacement   displacement that the mark shows, in log price, by orders of liquidations
--                       and steps that reduce positions
-- hedging_displacement  likewise by keepers who sold on
-- trading_displacement  likewise by accounts that traded of their own will
-- other_assets_usd      margin lost to displacement in the marks of its other legs
-- crossed_seq           the shadow crossing of the balances at the trigger; null if none is recorded
-- crossed_at            when they became due at the shadow marks: then, or at the trigger; null if
--                       they never did
-- crossed_price         shadow mark at that instant; null likewise
-- liquidated_usd        |quantity| x price over all executions of the liquidation, exact
create or replace temp view liquidation_classes as
with executed as (
    select liquidation_seq, sum(value_usd) as value_usd from executions group by liquidation_seq
)
select l.seq as liquidation_seq, l.sim_time as triggered_at, l.bucket_id, o.name as bucket,
    o.cohort, a.name as market,
    case when l.standing <> 'open' then l.standing::varchar
        when c.seq is not null then 'accelerated' else 'induced' end as class,
    l.mark_price, l.shadow_mark, l.margin_usd, l.shadow_margin_usd, l.start_margin_usd,
    l.forced_displacement, l.hedging_displacement, l.trading_displacement, l.other_assets_usd, c.seq as crossed_seq,
    coalesce(c.sim_time, case when l.standing = 'first_order' then l.sim_time end) as crossed_at,
    coalesce(c.shadow_mark, case when l.standing = 'first_order' then l.shadow_mark end)
        as crossed_price,
    coalesce(x.value_usd, 0)::decimal(38, 16) as liquidated_usd
from liquidation_triggered as l
left join owners as o on o.owner_id = l.bucket_id
left join assets as a on a.market_id = l.market_id
left join shadow_crossings as c on c.liquidation_seq = l.seq
left join executed as x on x.liquidation_seq = l.seq
