-- fills: one row per fill of a liquidation's order in the book.
--
-- seq              the event
-- sim_time         when
-- tranche_seq      its tranche
-- liquidation_seq  its liquidation (the trigger)
-- bucket_id        the account liquidated
-- bucket           its name
-- market           name of the market
-- ordered          size of the order; negative sells
-- quantity         what was filled of it
-- price            average price
-- limit_price      worst price that the tranche allowed
-- value_usd        |quantity| x price, exact
-- cost_usd         what the account paid, rounded up; negative for a sale
-- fee_usd          fee it paid
-- reference_price  reference price at the fill
-- market_price     market price right after it
-- displacement     ln(market price / reference price)
create or replace temp view fills as
select f.seq, f.sim_time, f.tranche_seq, t.liquidation_seq, f.bucket_id, o.name as bucket,
    a.name as market, f.ordered, f.quantity, f.price, t.limit_price,
    abs(f.quantity)::decimal(38, 8) * f.price as value_usd, f.cost_usd, f.fee_usd,
    f.reference_price, f.market_price,
    ln(f.market_price::double / f.reference_price::double) as displacement
from order_filled as f
left join tranche_started as t on t.seq = f.tranche_seq
left join owners as o on o.owner_id = f.bucket_id
left join assets as a on a.market_id = f.market_id
