-- deleveragings: one row per profitable position closed against a bankrupt one.
--
-- seq              the event
-- sim_time         when
-- tranche_seq      the tranche of the bankrupt account
-- liquidation_seq  its liquidation (the trigger)
-- bucket_id        the bankrupt account
-- bucket           its name
-- counterparty_id  the account deleveraged
-- counterparty     its name
-- market           name of the market
-- rank_number      place in the queue of this tranche, from 1
-- quantity         the bankrupt account's order: negative sells to the counterparty
-- price            the bankruptcy price
-- value_usd        |quantity| x price, exact
-- cost_usd         what the bankrupt account paid, rounded up; negative for a sale
create or replace temp view deleveragings as
select d.seq, d.sim_time, d.tranche_seq, t.liquidation_seq, d.bucket_id, o.name as bucket,
    d.counterparty_id, c.name as counterparty, a.name as market, d.rank_number, d.quantity,
    d.price, abs(d.quantity)::decimal(38, 8) * d.price as value_usd, d.cost_usd
from position_deleveraged as d
left join tranche_started as t on t.seq = d.tranche_seq
left join owners as o on o.owner_id = d.bucket_id
left join owners as c on c.owner_id = d.counterparty_id
left join assets as a on a.market_id = d.market_id
