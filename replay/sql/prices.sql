-- prices: one row per price of a market that the log states.
--
-- market    name of the market
-- sim_time  from when, or when
-- price     the price
-- kind      reference (held until the next), mark and shadow (likewise), market (right after a
--           forced fill) or fill (its average)
-- seq       the event; null for a reference price
create or replace temp view prices as
with stated as (
    select market_id, sim_time, price, 'reference' as kind, null::bigint as seq
    from reference_prices
    union all
    select market_id, sim_time, price, 'mark', seq from marks
    union all
    select market_id, sim_time, price, 'shadow', seq from shadow_marks
    union all
    select market_id, sim_time, market_price, 'market', seq from order_filled
    union all
    select market_id, sim_time, market_price, 'market', seq from inventory_sold
    union all
    select market_id, sim_time, price, 'fill', seq from order_filled
    union all
    select market_id, sim_time, price, 'fill', seq from inventory_sold
    union all
    select market_id, sim_time, market_price, 'market', seq from trade_filled
    union all
    select market_id, sim_time, price, 'fill', seq from trade_filled
    union all
    select market_id, sim_time, market_price, 'market', seq from position_reduced
    union all
    select market_id, sim_time, price, 'fill', seq from position_reduced
)
select a.name as market, s.sim_time, s.price, s.kind, s.seq
from stated as s
join assets as a on a.market_id = s.market_id
