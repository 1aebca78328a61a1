-- depth_changes: one row per change of a book's depth.
--
-- seq           the event
-- sim_time      when
-- market        name of the market
-- multiplier    depth from then on, as a multiple of the calm depth
-- half_life_us  time from then on in which half of the consumed volume refills
create or replace temp view depth_changes as
select d.seq, d.sim_time, a.name as market, d.multiplier, d.half_life_us
from depth_changed as d
left join assets as a on a.market_id = d.market_id
