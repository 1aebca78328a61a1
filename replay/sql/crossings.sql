-- crossings: one row per pair of slices, of a long and a short, that were met with each other.
--
-- seq                    the event
-- sim_time               when
-- mitigation             name of the mitigation, or its kind
-- market                 name of the market
-- tranche_seq            the tranche of the account that asked; in an auction, of the one that sells
-- liquidation_seq        its liquidation (the trigger)
-- bucket_id              that account
-- bucket                 its name
-- other_tranche_seq      the tranche of the account that was held; in an auction, of the one that buys
-- other_liquidation_seq  its liquidation (the trigger)
-- counterparty_id        that account
-- counterparty           its name
-- quantity               the order of the first account: negative sells to the other
-- price                  the mark price, or that of the auction
-- value_usd              |quantity| x price, exact
-- cost_usd               what the first account paid, rounded up; negative for a sale
-- fee_usd                fee of the first account
-- other_fee_usd          fee of the other
-- held_since_at          when the other's slice could first have been put up
create or replace temp view crossings as
select x.seq, x.sim_time, m.name as mitigation, a.name as market, x.tranche_seq, t.liquidation_seq,
    x.bucket_id, o.name as bucket, x.other_tranche_seq,
    u.liquidation_seq as other_liquidation_seq, x.counterparty_id, c.name as counterparty,
    x.quantity, x.price, abs(x.quantity)::decimal(38, 8) * x.price as value_usd, x.cost_usd,
    x.fee_usd, x.other_fee_usd, x.held_since_at
from tranches_crossed as x
left join tranche_started as t on t.seq = x.tranche_seq
left join tranche_started as u on u.seq = x.other_tranche_seq
left join mitigations as m on m.mitigation_id = x.mitigation_id
left join owners as o on o.owner_id = x.bucket_id
left join owners as c on c.owner_id = x.counterparty_id
left join assets as a on a.market_id = x.market_id
