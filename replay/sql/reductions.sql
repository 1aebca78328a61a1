-- reductions: one row per step by which a mitigation reduced a position.
--
-- seq              the event
-- sim_time         when
-- mitigation       name of the mitigation
-- bucket_id        the account
-- bucket           its name
-- cohort           its cohort
-- market           name of the market
-- ordered          size of the order; negative sells
-- quantity         what was filled of it
-- price            average price
-- value_usd        |quantity| x price, exact
-- slippage_usd     what it lost to the market price right before it, exact
-- fee_usd          taker fee
-- mark_price       mark price then
-- reference_price  reference price at the fill
-- arrival_price    market price right before it
-- market_price     market price right after it
-- risk             chance of a cascade that the look had found
-- decision_seq     the decision on that look
create or replace temp view reductions as
select r.seq, r.sim_time, d.mitigation, r.bucket_id, o.name as bucket, o.cohort, a.name as market,
    r.ordered, r.quantity, r.price, abs(r.quantity)::decimal(38, 8) * r.price as value_usd,
    r.quantity::decimal(38, 8) * (r.price - r.arrival_price) as slippage_usd, r.fee_usd,
    r.mark_price, r.reference_price, r.arrival_price, r.market_price, d.risk,
    r.cause_seq as decision_seq
from position_reduced as r
left join decisions as d on d.seq = r.cause_seq
left join owners as o on o.owner_id = r.bucket_id
left join assets as a on a.market_id = r.market_id
