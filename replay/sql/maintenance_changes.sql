-- maintenance_changes: one row per change of a market's maintenance rates.
--
-- seq         the event
-- sim_time    when
-- market      name of the market
-- multiplier  rates from then on, as a multiple of those at the start
create or replace temp view maintenance_changes as
select c.seq, c.sim_time, a.name as market, c.multiplier
from maintenance_changed as c
left join assets as a on a.market_id = c.market_id
