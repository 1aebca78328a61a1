-- funding_payments: one row per account and funding rate that it paid or received.
--
-- seq         the event
-- sim_time    when
-- bucket_id   the account
-- bucket      its name
-- cohort      its cohort
-- market      name of the market
-- quantity    its position; negative is short
-- rate        the rate
-- mark_price  mark price
-- amount_usd  what it paid; negative was received
-- cause_seq   the event that set the rate
create or replace temp view funding_payments as
select p.seq, p.sim_time, p.bucket_id, o.name as bucket, o.cohort, a.name as market, p.quantity,
    f.rate, f.mark_price, p.amount_usd, p.cause_seq
from funding_paid as p
left join funding_set as f on f.seq = p.cause_seq
left join owners as o on o.owner_id = p.bucket_id
left join assets as a on a.market_id = p.market_id
