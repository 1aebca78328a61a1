-- liquidations: one row per trigger.
--
-- liquidation_seq     the trigger
-- triggered_at        when the bucket's margin fell below zero
-- bucket_id           the bucket
-- bucket              its name
-- cohort              its cohort
-- market              name of the market
-- side                long or short
-- quantity            position at the trigger
-- mark_price          mark price at the trigger
-- margin_usd          margin at the trigger
-- maintenance_usd     maintenance margin at the trigger
-- bankruptcy_price    price at which equity was zero
-- first_tranche_at    when the first tranche was put up; null if none was
-- tranches            tranches put up
-- filled              units filled in the book
-- taken_over          units taken over by keepers
-- deleveraged         units closed against other accounts
-- crossed             units met with due positions of the other side
-- cancelled           units put up and not executed
-- liquidated_usd      |quantity| x price over all executions, exact
-- average_price       liquidated_usd per unit, rounded to 1e-8; null without executions
-- fees_usd            fees the bucket paid
-- surplus_usd         surplus routed to the fund
-- fund_draw_usd       paid by the fund
-- slashed_usd         paid out of stakes
-- haircut_usd         paid by cuts of winners' profits
-- socialised_usd      paid by solvent accounts in shares
-- bad_debt_usd        recorded bad debt
-- waited_us           from the trigger to the first settlement that moved anything, to the end of
--                     the liquidation if it ended before, else to the end of the log
-- ended_at            when it ended; null if it did not
-- ended_seq           its liquidation_ended; null if it did not end
-- outcome             closed or restored; null if it did not end
-- unresolved_reason   what it waited for at the end of the run, if it was still due
create or replace temp view liquidations as
with slices as (
    select liquidation_seq, min(started_at) as first_tranche_at, count(*) as tranches,
        sum(filled) as filled, sum(taken_over) as taken_over, sum(deleveraged) as deleveraged,
        sum(crossed) as crossed, sum(cancelled) as cancelled,
        min(settled_at) filter (where filled + taken_over + deleveraged + crossed > 0) as moved_at,
        sum(surplus_usd) as surplus_usd, sum(fund_draw_usd) as fund_draw_usd,
        sum(slashed_usd) as slashed_usd, sum(haircut_usd) as haircut_usd, sum(socialised_usd) as socialised_usd,
        sum(bad_debt_usd) as bad_debt_usd
    from tranches
    group by liquidation_seq
),
executed as (
    select liquidation_seq, sum(value_usd) as value_usd, sum(abs(quantity)) as units,
        sum(fee_usd) as fees_usd
    from executions
    group by liquidation_seq
)
select l.seq as liquidation_seq, l.sim_time as triggered_at, l.bucket_id, o.name as bucket,
    o.cohort, a.name as market, case when l.quantity > 0 then 'long' else 'short' end as side,
    l.quantity, l.mark_price, l.margin_usd, l.maintenance_usd, l.bankruptcy_price,
    s.first_tranche_at, coalesce(s.tranches, 0) as tranches,
    coalesce(s.filled, 0)::decimal(38, 8) as filled,
    coalesce(s.taken_over, 0)::decimal(38, 8) as taken_over,
    coalesce(s.deleveraged, 0)::decimal(38, 8) as deleveraged,
    coalesce(s.crossed, 0)::decimal(38, 8) as crossed,
    coalesce(s.cancelled, 0)::decimal(38, 8) as cancelled,
    coalesce(x.value_usd, 0)::decimal(38, 16) as liquidated_usd,
    (x.value_usd / nullif(x.units, 0))::decimal(18, 8) as average_price,
    coalesce(x.fees_usd, 0)::decimal(38, 6) as fees_usd,
    coalesce(s.surplus_usd, 0)::decimal(38, 6) as surplus_usd,
    coalesce(s.fund_draw_usd, 0)::decimal(38, 6) as fund_draw_usd,
    coalesce(s.slashed_usd, 0)::decimal(38, 6) as slashed_usd,
    coalesce(s.haircut_usd, 0)::decimal(38, 6) as haircut_usd,
    coalesce(s.socialised_usd, 0)::decimal(38, 6) as socialised_usd,
    coalesce(s.bad_debt_usd, 0)::decimal(38, 6) as bad_debt_usd,
    epoch_us(coalesce(least(s.moved_at, e.sim_time), z.ends_at)) - epoch_us(l.sim_time)
        as waited_us,
    e.sim_time as ended_at, e.seq as ended_seq, e.outcome, u.reason as unresolved_reason
from liquidation_triggered as l
cross join log_end as z
left join owners as o on o.owner_id = l.bucket_id
left join assets as a on a.market_id = l.market_id
left join slices as s on s.liquidation_seq = l.seq
left join executed as x on x.liquidation_seq = l.seq
left join liquidation_ended as e on e.liquidation_seq = l.seq
left join liquidation_unresolved as u on u.liquidation_seq = l.seq
