-- takeovers: one row per slice that a keeper took over, or what another owner took of one.
--
-- seq              the event
-- sim_time         when the call landed
-- sent_at          when it was sent
-- tranche_seq      the tranche
-- liquidation_seq  its liquidation (the trigger)
-- keeper_id        the keeper, the desk, the vault, the pool or the bidder
-- keeper           its name
-- bucket_id        the account liquidated
-- bucket           its name
-- market           name of the market
-- quantity         the slice as the account's order: negative sells to the keeper
-- price            price between them
-- value_usd        |quantity| x price, exact
-- cost_usd         what the account paid, rounded up; negative for a sale
-- fee_usd          fee the account paid
-- call_cost_usd    what the call cost the keeper
create or replace temp view takeovers as
select k.seq, k.sim_time, k.sent_at, k.tranche_seq, t.liquidation_seq, k.keeper_id,
    w.name as keeper, k.bucket_id, o.name as bucket, a.name as market, k.quantity, k.price,
    abs(k.quantity)::decimal(38, 8) * k.price as value_usd, k.cost_usd, k.fee_usd, k.call_cost_usd
from tranche_taken_over as k
left join tranche_started as t on t.seq = k.tranche_seq
left join owners as w on w.owner_id = k.keeper_id
left join owners as o on o.owner_id = k.bucket_id
left join assets as a on a.market_id = k.market_id
