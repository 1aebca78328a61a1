-- coin_haircut_changes: one row per change of the haircut on coins that are collateral in a market.
--
-- seq           the event
-- sim_time      when
-- market        name of the market
-- coin_haircut  share of their value that does not count from then on
create or replace temp view coin_haircut_changes as
select c.seq, c.sim_time, a.name as market, c.coin_haircut
from coin_haircut_changed as c
left join assets as a on a.market_id = c.market_id
