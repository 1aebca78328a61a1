-- resales: one row per trade by which a keeper got rid of what it had taken over.
--
-- seq              the event
-- sim_time         when
-- keeper_id        the keeper
-- keeper           its name
-- market           name of the market
-- ordered          size of the order; negative sells, positive buys a short back
-- quantity         what was filled of it
-- price            average price
-- value_usd        |quantity| x price, exact
-- cost_usd         what the keeper paid, rounded up; negative for a sale
-- reference_price  reference price at the fill
-- market_price     market price right after it
-- displacement     ln(market price / reference price)
-- cause_seq        the newest takeover before it, which need not be the one that it sells: forced_fills
create or replace temp view resales as
select s.seq, s.sim_time, s.keeper_id, w.name as keeper, a.name as market, s.ordered, s.quantity,
    s.price, abs(s.quantity)::decimal(38, 8) * s.price as value_usd, s.cost_usd,
    s.reference_price, s.market_price,
    ln(s.market_price::double / s.reference_price::double) as displacement, s.cause_seq
from inventory_sold as s
left join owners as w on w.owner_id = s.keeper_id
left join assets as a on a.market_id = s.market_id
