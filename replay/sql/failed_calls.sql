-- failed_calls: one row per keeper's call that was sent and got nothing.
--
-- seq              the event
-- sim_time         when it landed
-- sent_at          when it was sent
-- keeper_id        the keeper
-- keeper           its name
-- reason           why it failed: lost_race, restored, beyond_limit (of the limit of that instant, by
--                  what the fund held then, not of the tranche's limit_price) or purse_short
-- call_cost_usd    what it cost all the same
-- tranche_seq      the tranche it was after
-- liquidation_seq  its liquidation (the trigger)
-- bucket_id        the account liquidated
-- bucket           its name
-- market           name of the market
create or replace temp view failed_calls as
select c.seq, c.sim_time, c.sent_at, c.keeper_id, w.name as keeper, c.reason, c.call_cost_usd,
    c.tranche_seq, t.liquidation_seq, t.bucket_id, o.name as bucket, a.name as market
from keeper_call_failed as c
left join tranche_started as t on t.seq = c.tranche_seq
left join owners as w on w.owner_id = c.keeper_id
left join owners as o on o.owner_id = t.bucket_id
left join assets as a on a.market_id = t.market_id
