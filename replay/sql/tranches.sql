-- tranches: one row per tranche put up.
--
-- tranche_seq       its tranche_started
-- liquidation_seq   its liquidation (the trigger)
-- started_at        when it was put up
-- settled_at        when it was settled; null while open
-- settled_seq       its tranche_settled; null while open
-- bucket_id         the bucket
-- market            name of the market
-- tranche_number    count within the liquidation
-- executor          engine, keepers, desk, crossing or auction
-- quantity          the slice, signed as an order: negative sells a long
-- mark_price        mark price at the start
-- limit_price       worst price of its execution
-- filled            units filled in the book
-- taken_over        units taken over by a keeper
-- deleveraged       units closed against other accounts
-- crossed           units met with due positions of the other side
-- cancelled         units not executed; the five are null while it is open
-- executions        executions by any route
-- liquidated_usd    |quantity| x price over them, exact
-- average_price     liquidated_usd per unit, rounded to 1e-8; null without executions
-- fees_usd          fees the bucket paid
-- surplus_usd       surplus routed to the fund
-- fund_draw_usd     paid by the fund
-- slashed_usd       paid out of stakes
-- haircut_usd       paid by cuts of winners' profits
-- socialised_usd    paid by solvent accounts in shares
-- bad_debt_usd      recorded bad debt
-- keeper_id         who took it over; null if nobody
-- calls_failed      keepers' calls for it that failed
create or replace temp view tranches as
with executed as (
    select tranche_seq, count(*) as executions, sum(value_usd) as value_usd,
        sum(abs(quantity)) as units, sum(fee_usd) as fees_usd,
        max(counterparty_id) filter (where route = 'taken_over') as keeper_id
    from executions
    group by tranche_seq
),
surplus as (
    select tranche_seq, sum(amount_usd) as amount_usd from surplus_routed group by tranche_seq
),
draws as (select tranche_seq, sum(amount_usd) as amount_usd from fund_drawn group by tranche_seq),
shared as (
    select tranche_seq, sum(amount_usd) filter (where layer = 'slashed') as slashed_usd,
        sum(amount_usd) filter (where layer = 'haircut') as haircut_usd,
        sum(amount_usd) filter (where layer = 'socialised') as socialised_usd
    from loss_shares
    group by tranche_seq
),
debts as (
    select tranche_seq, sum(amount_usd) as amount_usd from bad_debt_recorded group by tranche_seq
),
calls as (select tranche_seq, count(*) as failed from keeper_call_failed group by tranche_seq)
select t.seq as tranche_seq, t.liquidation_seq, t.sim_time as started_at,
    s.sim_time as settled_at, s.seq as settled_seq, t.bucket_id, a.name as market,
    t.tranche_number, t.executor, t.quantity, t.mark_price, t.limit_price, s.filled, s.taken_over, s.deleveraged, s.crossed, s.cancelled,
    coalesce(e.executions, 0) as executions,
    coalesce(e.value_usd, 0)::decimal(38, 16) as liquidated_usd,
    (e.value_usd / nullif(e.units, 0))::decimal(18, 8) as average_price,
    coalesce(e.fees_usd, 0)::decimal(38, 6) as fees_usd,
    coalesce(u.amount_usd, 0)::decimal(38, 6) as surplus_usd,
    coalesce(d.amount_usd, 0)::decimal(38, 6) as fund_draw_usd,
    coalesce(h.slashed_usd, 0)::decimal(38, 6) as slashed_usd,
    coalesce(h.haircut_usd, 0)::decimal(38, 6) as haircut_usd,
    coalesce(h.socialised_usd, 0)::decimal(38, 6) as socialised_usd,
    coalesce(b.amount_usd, 0)::decimal(38, 6) as bad_debt_usd,
    e.keeper_id, coalesce(c.failed, 0) as calls_failed
from tranche_started as t
left join assets as a on a.market_id = t.market_id
left join tranche_settled as s on s.tranche_seq = t.seq
left join executed as e on e.tranche_seq = t.seq
left join surplus as u on u.tranche_seq = t.seq
left join draws as d on d.tranche_seq = t.seq
left join shared as h on h.tranche_seq = t.seq
left join debts as b on b.tranche_seq = t.seq
left join calls as c on c.tranche_seq = t.seq
