-- stated_prices: one row per price of a market at which what is held is valued.
--
-- market_id  which market
-- seq        the event that stated it
-- price      the mark price, the market price right after a fill, and at the end
create or replace temp view stated_prices as
select market_id, seq, price from marks
union all
select market_id, seq, market_price from order_filled
union all
select market_id, seq, market_price from inventory_sold
union all
select market_id, seq, market_price from trade_filled
union all
select market_id, seq, market_price from position_reduced
union all
select market_id, seq, end_market from market_extremes
