-- shadow_marks: one row per event that set the shadow mark of a market.
--
-- seq        the event
-- sim_time   from when
-- market_id  which market
-- price      the shadow mark from then on
create or replace temp view shadow_marks as
select seq, sim_time, market_id, shadow_mark as price from marks
union all
select seq, sim_time, market_id, shadow_mark from shadow_updated
