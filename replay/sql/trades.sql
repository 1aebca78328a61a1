-- trades: one row per order that an account sent of its own will and that was filled.
--
-- seq              the event
-- sim_time         when
-- bucket_id        the account
-- bucket           its name
-- cohort           its cohort
-- market           name of the market
-- reason           why: reduced, closed, stopped, opened, rebalanced, relevered, arrived or
--                  anticipated
-- ordered          size of the order; negative sells
-- quantity         what was filled of it
-- price            average price
-- value_usd        |quantity| x price, exact
-- fee_usd          taker fee
-- entry_price      entry price of the position afterwards; 0 without one
-- mark_price       mark price when it traded
-- reference_price  reference price at the fill
-- market_price     market price right after it
-- closeness        of an order ahead of a halt, how close it was, as a share of the breaker's
--                  bound; else null
-- reacted_us       from the event that it reacted to; null without one
create or replace temp view trades as
select t.seq, t.sim_time, t.bucket_id, o.name as bucket, o.cohort, a.name as market, t.reason,
    t.ordered, t.quantity, t.price, abs(t.quantity)::decimal(38, 8) * t.price as value_usd,
    t.fee_usd, t.entry_price, t.mark_price, t.reference_price, t.market_price, t.closeness,
    epoch_us(t.sim_time) - epoch_us(c.sim_time) as reacted_us
from trade_filled as t
left join owners as o on o.owner_id = t.bucket_id
left join assets as a on a.market_id = t.market_id
left join events as c on c.seq = t.cause_seq
