-- openings: one row per position entered against the makers.
--
-- seq        the event
-- sim_time   when
-- bucket_id  the account
-- bucket     its name
-- cohort     its cohort
-- market     name of the market
-- side       long or short
-- quantity   signed size; negative is short
-- price      entry price
-- value_usd  |quantity| x price, exact
-- cost_usd   what the account paid, rounded up; negative for a short
create or replace temp view openings as
select p.seq, p.sim_time, p.bucket_id, o.name as bucket, o.cohort, a.name as market,
    case when p.quantity > 0 then 'long' else 'short' end as side, p.quantity, p.price,
    abs(p.quantity)::decimal(38, 8) * p.price as value_usd, p.cost_usd
from position_opened as p
left join owners as o on o.owner_id = p.bucket_id
left join assets as a on a.market_id = p.market_id
