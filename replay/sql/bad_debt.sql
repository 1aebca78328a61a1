-- bad_debt: one row per hole that nobody paid; the account keeps exactly this negative balance.
--
-- seq              the event
-- sim_time         when
-- tranche_seq      the tranche that closed the position
-- liquidation_seq  its liquidation (the trigger)
-- bucket_id        the account
-- bucket           its name
-- cohort           its cohort
-- market           name of the market of that tranche
-- amount_usd       how much
-- total_usd        recorded so far, this row included
create or replace temp view bad_debt as
select b.seq, b.sim_time, b.tranche_seq, t.liquidation_seq, b.bucket_id, o.name as bucket,
    o.cohort, a.name as market, b.amount_usd,
    sum(b.amount_usd) over (order by b.seq)::decimal(38, 6) as total_usd
from bad_debt_recorded as b
left join tranche_started as t on t.seq = b.tranche_seq
left join owners as o on o.owner_id = b.bucket_id
left join assets as a on a.market_id = t.market_id
