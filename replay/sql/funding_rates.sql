-- funding_rates: one row per funding rate that was set.
--
-- seq           the event
-- sim_time      when
-- market        name of the market
-- rate          what a long paid of its value at the mark; negative was received
-- premium       smoothed premium that it rests on
-- mark_price    mark price
-- accounts      accounts that paid or received
-- paid_usd      what accounts paid
-- received_usd  what accounts received; the makers have the difference
create or replace temp view funding_rates as
with sums as (
    select cause_seq, count(*) as accounts, sum(greatest(amount_usd, 0)) as paid_usd,
        sum(greatest(-amount_usd, 0)) as received_usd
    from funding_paid
    group by cause_seq
)
select f.seq, f.sim_time, a.name as market, f.rate, f.premium, f.mark_price,
    coalesce(s.accounts, 0) as accounts, coalesce(s.paid_usd, 0)::decimal(38, 6) as paid_usd,
    coalesce(s.received_usd, 0)::decimal(38, 6) as received_usd
from funding_set as f
left join sums as s on s.cause_seq = f.seq
left join assets as a on a.market_id = f.market_id
